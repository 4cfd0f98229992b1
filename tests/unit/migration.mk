# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/test_wire_migration
%C%_test_wire_migration_SOURCES = %D%/test_wire_migration.c
%C%_test_wire_migration_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_migration
