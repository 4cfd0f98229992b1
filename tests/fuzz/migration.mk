# SPDX-License-Identifier: Apache-2.0
fuzz_programs += %D%/fuzz_wire_migration
%C%_fuzz_wire_migration_SOURCES = %D%/fuzz_wire_migration.c $(fuzz_main)
%C%_fuzz_wire_migration_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_migration_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
