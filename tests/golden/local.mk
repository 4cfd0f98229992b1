# SPDX-License-Identifier: Apache-2.0
# Expected output of whole commands.
TESTS += %D%/guest_commands.sh %D%/reference_commands.sh %D%/showcmd_words.sh
TESTS += %D%/history_check.sh
EXTRA_DIST += %D%/history_check.sh
EXTRA_DIST += %D%/guest_commands.sh %D%/reference_commands.sh %D%/guest
EXTRA_DIST += %D%/showcmd_words.sh
TESTS += %D%/json_outputs.sh
EXTRA_DIST += %D%/json_outputs.sh
%D%/json_outputs.log: cli/qm$(EXEEXT) cli/pvesm$(EXEEXT) cli/pmxcfs-db$(EXEEXT)
%D%/guest_commands.log: cli/qm$(EXEEXT)
%D%/reference_commands.log: cli/qm$(EXEEXT)
%D%/showcmd_words.log: cli/qm$(EXEEXT)

check_PROGRAMS += %D%/print_options
%C%_print_options_SOURCES = %D%/print_options.c
%C%_print_options_LDADD = $(guest_core_ldadd)
TESTS += %D%/vmid_conf_page.sh
EXTRA_DIST += %D%/vmid_conf_page.sh
%D%/vmid_conf_page.log: %D%/print_options$(EXEEXT)
