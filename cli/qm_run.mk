# SPDX-License-Identifier: Apache-2.0
# qm: verbs that work on running guests.
%C%_qm_SOURCES += %D%/qm_run_table.c
