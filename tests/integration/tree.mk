# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/ackload
%C%_ackload_SOURCES = %D%/ackload.c
%C%_ackload_LDADD = $(GLIB_LIBS)
EXTRA_DIST += %D%/clock_jump.c
EXTRA_DIST += %D%/one_node.sh %D%/it_03_kill9.sh
EXTRA_DIST += %D%/it_02_daemon.sh
EXTRA_DIST += %D%/it_11_cluster_glue.sh
EXTRA_DIST += %D%/it_12_native.sh
EXTRA_DIST += %D%/it_16_peer.sh %D%/peer_long.sh %D%/odd_members.sh %D%/peer/peer.sh
EXTRA_DIST += %D%/peer/clog.py %D%/peer/corosync.py %D%/peer/group.py %D%/peer/look.py
EXTRA_DIST += %D%/peer/ipc_client.py %D%/peer/peer.py %D%/peer/scenes.py %D%/peer/tree.py
EXTRA_DIST += %D%/it_13_many_nodes.sh %D%/soak_faults.sh %D%/it_15_mixed.sh
