# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += %D%/it_50_guest_cmds.sh %D%/guest_start.py %D%/it_51_guest_store.sh %D%/guest_model.py
EXTRA_DIST += %D%/it_52_guest_run.sh %D%/guest_probe.py
EXTRA_DIST += %D%/it_53_guest_linux.sh %D%/linux_guest_init.c
