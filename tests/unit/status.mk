# SPDX-License-Identifier: Apache-2.0
# Status, cluster log, RRD and IPC.
status_core_libs = pmxcfs/core/libpmxcfs_core.a lib/wire/libwire.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)

check_PROGRAMS += %D%/test_wire_clog
%C%_test_wire_clog_SOURCES = %D%/test_wire_clog.c %D%/testdata.c
%C%_test_wire_clog_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_clog

check_PROGRAMS += %D%/test_wire_kvstore
%C%_test_wire_kvstore_SOURCES = %D%/test_wire_kvstore.c %D%/testdata.c
%C%_test_wire_kvstore_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_kvstore

check_PROGRAMS += %D%/test_clusterlog
%C%_test_clusterlog_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_clusterlog_SOURCES = %D%/test_clusterlog.c %D%/testdata.c
%C%_test_clusterlog_LDADD = $(status_core_libs)
TESTS += %D%/test_clusterlog

check_PROGRAMS += %D%/test_status
%C%_test_status_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_status_SOURCES = %D%/test_status.c %D%/testdata.c
%C%_test_status_LDADD = $(status_core_libs)
TESTS += %D%/test_status

check_PROGRAMS += %D%/test_wire_ipc
%C%_test_wire_ipc_SOURCES = %D%/test_wire_ipc.c %D%/testdata.c
%C%_test_wire_ipc_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_ipc

noinst_HEADERS += %D%/ipc_engine.h
ipc_test_libs = pmxcfs/io/libpmxcfs_ipc.a pmxcfs/io/libpmxcfs_engine.a lib/cfs/libcfs.a \
	pmxcfs/core/libpmxcfs_core.a \
	lib/wire/libwire.a lib/port/libport.a lib/base/libbase.a $(QB_LIBS) $(SQLITE_LIBS) \
	$(CRYPTO_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(GLIB_LIBS)

check_PROGRAMS += %D%/test_ipc_dispatch
%C%_test_ipc_dispatch_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_ipc_dispatch_SOURCES = %D%/test_ipc_dispatch.c %D%/ipc_engine.c %D%/testdata.c
%C%_test_ipc_dispatch_LDADD = $(ipc_test_libs)
TESTS += %D%/test_ipc_dispatch

check_PROGRAMS += %D%/test_shmring
%C%_test_shmring_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS)
%C%_test_shmring_SOURCES = %D%/test_shmring.c
%C%_test_shmring_LDADD = $(ipc_test_libs)
TESTS += %D%/test_shmring

check_PROGRAMS += %D%/test_ipc_server
%C%_test_ipc_server_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS)
%C%_test_ipc_server_SOURCES = %D%/test_ipc_server.c %D%/ipc_engine.c %D%/testdata.c
%C%_test_ipc_server_LDADD = $(ipc_test_libs)
TESTS += %D%/test_ipc_server
THREADED_TESTS += %D%/test_ipc_server

check_PROGRAMS += %D%/test_statusgroup
%C%_test_statusgroup_SOURCES = %D%/test_statusgroup.c %D%/testdata.c
%C%_test_statusgroup_LDADD = $(status_core_libs)
TESTS += %D%/test_statusgroup

check_PROGRAMS += %D%/test_rrdmap
%C%_test_rrdmap_SOURCES = %D%/test_rrdmap.c
%C%_test_rrdmap_LDADD = $(status_core_libs)
TESTS += %D%/test_rrdmap

check_PROGRAMS += %D%/test_rrd
%C%_test_rrd_CFLAGS = $(AM_CFLAGS) $(RRD_CFLAGS)
%C%_test_rrd_SOURCES = %D%/test_rrd.c
%C%_test_rrd_LDADD = pmxcfs/io/libpmxcfs_rrd.a pmxcfs/io/libpmxcfs_engine.a \
	pmxcfs/core/libpmxcfs_core.a lib/port/libport.a lib/base/libbase.a $(RRD_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_rrd
THREADED_TESTS += %D%/test_rrd

check_PROGRAMS += %D%/test_watch
%C%_test_watch_SOURCES = %D%/test_watch.c
%C%_test_watch_LDADD = lib/cfs/libcfs.a lib/port/libport.a lib/base/libbase.a $(JSON_LIBS) \
	$(GLIB_LIBS)
TESTS += %D%/test_watch

check_PROGRAMS += %D%/test_cfsfile
%C%_test_cfsfile_SOURCES = %D%/test_cfsfile.c
%C%_test_cfsfile_LDADD = lib/cfs/libcfs.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_cfsfile

check_PROGRAMS += tests/integration/watch_probe
tests_integration_watch_probe_SOURCES = tests/integration/watch_probe.c
tests_integration_watch_probe_LDADD = $(%C%_test_watch_LDADD)
