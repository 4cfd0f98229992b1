# SPDX-License-Identifier: Apache-2.0
# qm: verbs that read and change configurations and volumes.
%C%_qm_SOURCES += %D%/qm_table.c %D%/qm_showcmd.c %D%/qm_store.c %D%/qm_store.h \
	%D%/qm_create.c %D%/qm_config.c %D%/qm_list.c %D%/qm_destroy.c %D%/guest_cli.c %D%/guest_cli.h \
	%D%/qm_clone.c %D%/qm_disk.c %D%/qm_cloudinit.c %D%/qm_ovf.c
dist_bashcompletion_DATA += %D%/completion/qm
