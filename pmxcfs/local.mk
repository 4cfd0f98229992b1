# SPDX-License-Identifier: Apache-2.0
# pmxcfs: core decides (pure), io performs. One `+=` line per module, so that rooms merge easily.
noinst_LIBRARIES += %D%/core/libpmxcfs_core.a
%C%_core_libpmxcfs_core_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(CRYPTO_CFLAGS)
%C%_core_libpmxcfs_core_a_SOURCES = %D%/core/pmxcfs_limits.h %D%/core/group.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/cfspath.c %D%/core/cfspath.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/ledger.c %D%/core/ledger.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/replica.c %D%/core/replica.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/replica_update.c %D%/core/replica_priv.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/entry.c %D%/core/entry.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/treeop.c %D%/core/treeop.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/vmlist.c %D%/core/vmlist.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/tracked.c %D%/core/tracked.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/locks.c %D%/core/locks.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/memdb.c %D%/core/memdb.h %D%/core/memdb_priv.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/memdb_apply.c %D%/core/memdb_load.c
