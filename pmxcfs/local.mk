# SPDX-License-Identifier: Apache-2.0
# pmxcfs: core decides (pure), io performs. One `+=` line per module, so that rooms merge easily.
noinst_LIBRARIES += %D%/core/libpmxcfs_core.a
%C%_core_libpmxcfs_core_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(CRYPTO_CFLAGS)
%C%_core_libpmxcfs_core_a_SOURCES = %D%/core/pmxcfs_limits.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/cfspath.c %D%/core/cfspath.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/group.c %D%/core/group.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/dfsm.c %D%/core/dfsm.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/dfsm_queue.c %D%/core/dfsm_queue.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/dcdb.c %D%/core/dcdb.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/replica_group.c %D%/core/replica_verify.c
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native.c %D%/core/native.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native_batch.c %D%/core/native_priv.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native_alarm.c
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native_content.c
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native_exchange.c
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/native_peers.c
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/nsync.c %D%/core/nsync.h
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
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/clusterlog.c %D%/core/clusterlog.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/rrdtable.c %D%/core/rrdtable.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/rrdmap.c %D%/core/rrdmap.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/status.c %D%/core/status.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/statusgroup.c %D%/core/statusgroup.h
%C%_core_libpmxcfs_core_a_SOURCES += %D%/core/guestprops.c %D%/core/guestprops.h

# What ties the daemon to its host and to corosync's services.
noinst_LIBRARIES += %D%/io/libpmxcfs_host.a
%C%_io_libpmxcfs_host_a_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_io_libpmxcfs_host_a_SOURCES = %D%/io/instance.c %D%/io/instance.h
%C%_io_libpmxcfs_host_a_SOURCES += %D%/io/corosync_info.c %D%/io/corosync_info.h
%C%_io_libpmxcfs_host_a_SOURCES += %D%/io/corosync_conf_sync.c %D%/io/corosync_conf_sync.h
%C%_io_libpmxcfs_host_a_SOURCES += %D%/io/group_cpg.c %D%/io/group_cpg.h
%C%_io_libpmxcfs_host_a_SOURCES += %D%/io/loop_timer.c %D%/io/loop_timer.h

# The engine and what it shows to people.
noinst_LIBRARIES += %D%/io/libpmxcfs_engine.a
%C%_io_libpmxcfs_engine_a_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_io_libpmxcfs_engine_a_SOURCES = %D%/io/feed.c %D%/io/feed.h
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/metrics.c %D%/io/metrics.h
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/engine.c %D%/io/engine.h %D%/io/engine_priv.h
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/engine_open.c %D%/io/engine_loop.c
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/engine_conf.c
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/engine_cluster.c %D%/io/engine_status.c
%C%_io_libpmxcfs_engine_a_SOURCES += %D%/io/engine_save.c %D%/io/engine_view.c
dist_man_MANS += %D%/pmxcfs-events.5

# IPC service.
noinst_LIBRARIES += %D%/io/libpmxcfs_ipc.a
%C%_io_libpmxcfs_ipc_a_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_io_libpmxcfs_ipc_a_SOURCES = %D%/io/shmring.c %D%/io/shmring.h
%C%_io_libpmxcfs_ipc_a_SOURCES += %D%/io/shmipc.c %D%/io/shmipc.h
%C%_io_libpmxcfs_ipc_a_SOURCES += %D%/io/ipc_dispatch.c %D%/io/ipc_dispatch.h
%C%_io_libpmxcfs_ipc_a_SOURCES += %D%/io/ipc_server.c %D%/io/ipc_server.h

# The database file. An archive of its own, since tools and tests need it without the daemon.
noinst_LIBRARIES += %D%/io/libpmxcfs_store.a
%C%_io_libpmxcfs_store_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS) -pthread
%C%_io_libpmxcfs_store_a_SOURCES = %D%/io/store.c %D%/io/store.h
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_batch.c %D%/io/store_batch.h
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_db.c %D%/io/store_db.h %D%/io/store_db_priv.h
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_db_read.c %D%/io/store_db_write.c
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_errno.c %D%/io/store_schema.c
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_file.c %D%/io/store_file.h
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_vfs.c %D%/io/store_vfs.h
%C%_io_libpmxcfs_store_a_SOURCES += %D%/io/store_wal.c %D%/io/store_wal.h

# The daemon.
sbin_PROGRAMS += %D%/pmxcfs
%C%_pmxcfs_SOURCES = %D%/main.c
%C%_pmxcfs_LDADD = %D%/io/libpmxcfs_mount.a %D%/io/libpmxcfs_ipc.a %D%/io/libpmxcfs_rrd.a \
	%D%/io/libpmxcfs_engine.a %D%/io/libpmxcfs_store.a %D%/io/libpmxcfs_host.a \
	%D%/core/libpmxcfs_core.a lib/conf/libconf.a lib/wire/libwire.a lib/port/libport.a \
	lib/base/libbase.a $(FUSE3_LIBS) $(QB_LIBS) $(CPG_LIBS) $(QUORUM_LIBS) $(CMAP_LIBS) \
	$(COROSYNC_COMMON_LIBS) $(SQLITE_LIBS) $(RRD_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
dist_man_MANS += %D%/pmxcfs.8

# RRD files.
noinst_LIBRARIES += %D%/io/libpmxcfs_rrd.a
%C%_io_libpmxcfs_rrd_a_CFLAGS = $(AM_CFLAGS) $(RRD_CFLAGS)
%C%_io_libpmxcfs_rrd_a_SOURCES = %D%/io/rrd.c %D%/io/rrd.h
%C%_io_libpmxcfs_rrd_a_SOURCES += %D%/io/rrdcached.c %D%/io/rrdcached.h
