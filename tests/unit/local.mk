# SPDX-License-Identifier: Apache-2.0
# Unit tests print TAP (GLib g_test); automake's TAP driver reports each case.
check_PROGRAMS += tests/unit/test_base
tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_LDADD = lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_base

check_PROGRAMS += tests/unit/test_hextext
tests_unit_test_hextext_SOURCES = tests/unit/test_hextext.c
tests_unit_test_hextext_LDADD = lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_hextext
