# SPDX-License-Identifier: Apache-2.0
# qm: verbs that read and change configurations and volumes.
%C%_qm_SOURCES += %D%/qm_table.c %D%/qm_showcmd.c
