# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/ackload
%C%_ackload_SOURCES = %D%/ackload.c
%C%_ackload_LDADD = $(GLIB_LIBS)
EXTRA_DIST += %D%/one_node.sh %D%/it_03_kill9.sh
EXTRA_DIST += %D%/it_02_daemon.sh
EXTRA_DIST += %D%/it_11_cluster_glue.sh
EXTRA_DIST += %D%/it_12_native.sh
EXTRA_DIST += %D%/it_13_many_nodes.sh %D%/soak_faults.sh %D%/it_15_mixed.sh
