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
