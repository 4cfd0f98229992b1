# SPDX-License-Identifier: Apache-2.0
# sudo tests/bench/bench_mount.sh [BUILD-DIRECTORY]
EXTRA_PROGRAMS += %D%/bench_mount %D%/bench_memfs
%C%_bench_mount_SOURCES = %D%/bench_mount.c
%C%_bench_mount_LDADD = $(GLIB_LIBS) -lpthread
%C%_bench_memfs_SOURCES = %D%/bench_memfs.c
%C%_bench_memfs_CFLAGS = $(AM_CFLAGS) $(FUSE3_CFLAGS)
%C%_bench_memfs_LDADD = $(FUSE3_LIBS) $(GLIB_LIBS) -lpthread
EXTRA_DIST += %D%/bench_mount.sh
EXTRA_DIST += %D%/bench_qm_list.sh
EXTRA_DIST += %D%/guest_start.py


# sudo tests/bench/bench_cluster.py [NODES...]
EXTRA_PROGRAMS += %D%/bench_cpg
%C%_bench_cpg_SOURCES = %D%/bench_cpg.c
%C%_bench_cpg_CFLAGS = $(AM_CFLAGS) $(CPG_CFLAGS)
%C%_bench_cpg_LDADD = $(CPG_LIBS) $(GLIB_LIBS)
EXTRA_PROGRAMS += %D%/bench_changes
%C%_bench_changes_SOURCES = %D%/bench_changes.c
%C%_bench_changes_LDADD = $(GLIB_LIBS) -lpthread
EXTRA_DIST += %D%/bench_cluster.py

# sudo tests/bench/bench_join.sh [FILES [NODES...]]; sudo tests/bench/bench_migration.py
EXTRA_DIST += %D%/bench_join.sh %D%/bench_migration.py %D%/bench_guest.S
