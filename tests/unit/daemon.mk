# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_corosync_conf_sync
tests_unit_test_corosync_conf_sync_SOURCES = tests/unit/test_corosync_conf_sync.c
tests_unit_test_corosync_conf_sync_LDADD = pmxcfs/io/libpmxcfs_host.a lib/conf/libconf.a \
	lib/port/libport.a lib/base/libbase.a $(GIO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_corosync_conf_sync
THREADED_TESTS += tests/unit/test_corosync_conf_sync

check_PROGRAMS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = lib/port/libport.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_log
