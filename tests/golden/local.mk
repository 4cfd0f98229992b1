# SPDX-License-Identifier: Apache-2.0
# Expected output of whole commands.
TESTS += %D%/guest_commands.sh %D%/reference_commands.sh
EXTRA_DIST += %D%/guest_commands.sh %D%/reference_commands.sh %D%/guest
%D%/guest_commands.log: cli/qm$(EXEEXT)
%D%/reference_commands.log: cli/qm$(EXEEXT)
