# SPDX-License-Identifier: Apache-2.0
# qm: verbs that work on running guests.
%C%_qm_SOURCES += %D%/qm_run_table.c %D%/qm_run.c %D%/qm_run.h
%C%_qm_SOURCES += %D%/qm_migrate.c %D%/qm_migrate.h
%C%_qm_SOURCES += %D%/qm_start.c %D%/qm_status.c %D%/qm_stop.c
%C%_qm_SOURCES += %D%/qm_power.c %D%/qm_snapshot.c
%C%_qm_SOURCES += %D%/qm_agent.c %D%/qm_console.c
%C%_qm_SOURCES += %D%/qm_all.c
