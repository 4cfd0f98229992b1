# SPDX-License-Identifier: Apache-2.0
# pmxcfs: core decides (pure), io performs. One `+=` line per module, so that rooms merge easily.
noinst_LIBRARIES += %D%/core/libpmxcfs_core.a
%C%_core_libpmxcfs_core_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(CRYPTO_CFLAGS)
%C%_core_libpmxcfs_core_a_SOURCES = %D%/core/pmxcfs_limits.h %D%/core/group.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/cfspath.c %D%/core/cfspath.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/ledger.c %D%/core/ledger.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/replica.c %D%/core/replica.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/replica_update.c %D%/core/replica_priv.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/clusterlog.c %D%/core/clusterlog.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/rrdtable.c %D%/core/rrdtable.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/status.c %D%/core/status.h
