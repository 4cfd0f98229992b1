# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/test_wire_migration
%C%_test_wire_migration_SOURCES = %D%/test_wire_migration.c
%C%_test_wire_migration_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_migration

check_PROGRAMS += %D%/test_migration
%C%_test_migration_SOURCES = %D%/test_migration.c
%C%_test_migration_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_test_migration_LDADD = migration/libmigio.a migration/libmigcore.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a $(SSL_LIBS) \
	$(CRYPTO_LIBS) $(JSON_LIBS) $(QB_LIBS) $(GIO_LIBS) $(GLIB_LIBS) -lpthread
TESTS += %D%/test_migration

check_PROGRAMS += %D%/test_wire_nbd
%C%_test_wire_nbd_SOURCES = %D%/test_wire_nbd.c
%C%_test_wire_nbd_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_nbd

check_PROGRAMS += %D%/test_mig_relay
%C%_test_mig_relay_SOURCES = %D%/test_mig_relay.c
%C%_test_mig_relay_LDADD = migration/libmigio.a lib/port/libport.a lib/wire/libwire.a \
	lib/base/libbase.a $(SSL_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS) -lpthread
TESTS += %D%/test_mig_relay
THREADED_TESTS += %D%/test_mig_relay

check_PROGRAMS += %D%/test_mig_tls
%C%_test_mig_tls_SOURCES = %D%/test_mig_tls.c
%C%_test_mig_tls_LDADD = migration/libmigio.a lib/port/libport.a lib/base/libbase.a $(SSL_LIBS) \
	$(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS) -lpthread
TESTS += %D%/test_mig_tls
