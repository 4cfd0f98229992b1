# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += %D%/it_50_guest_cmds.sh %D%/guest_start.py %D%/it_51_guest_store.sh %D%/guest_model.py
