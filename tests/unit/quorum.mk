# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_corosync_conf
tests_unit_test_corosync_conf_SOURCES = tests/unit/test_corosync_conf.c
tests_unit_test_corosync_conf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_corosync_conf
