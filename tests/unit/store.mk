# SPDX-License-Identifier: Apache-2.0
# Tests of the database file.
noinst_HEADERS += tests/lib/crashdisk.h tests/lib/storeplace.h tests/lib/storerig.h \
	tests/lib/test_seed.h tests/lib/test_tree.h
check_LIBRARIES += tests/lib/libstoretest.a
tests_lib_libstoretest_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS) -pthread
tests_lib_libstoretest_a_SOURCES = tests/lib/crashdisk.c tests/lib/storeplace.c \
	tests/lib/storerig.c

store_libs = pmxcfs/io/libpmxcfs_store.a pmxcfs/core/libpmxcfs_core.a lib/wire/libwire.a \
	lib/base/libbase.a $(SQLITE_LIBS) $(JSON_LIBS) $(CRYPTO_LIBS) $(GLIB_LIBS) -lpthread

check_PROGRAMS += %D%/test_store_crash
%C%_test_store_crash_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_store_crash_SOURCES = %D%/test_store_crash.c
%C%_test_store_crash_LDADD = tests/lib/libstoretest.a $(store_libs)
TESTS += %D%/test_store_crash
THREADED_TESTS += %D%/test_store_crash

check_PROGRAMS += %D%/test_store
%C%_test_store_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_store_SOURCES = %D%/test_store.c %D%/testdata.c
%C%_test_store_LDADD = tests/lib/libstoretest.a $(store_libs)
TESTS += %D%/test_store
THREADED_TESTS += %D%/test_store

check_PROGRAMS += %D%/test_store_files
%C%_test_store_files_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_store_files_SOURCES = %D%/test_store_files.c %D%/testdata.c
%C%_test_store_files_LDADD = tests/lib/libstoretest.a $(store_libs)
TESTS += %D%/test_store_files
THREADED_TESTS += %D%/test_store_files

check_PROGRAMS += %D%/test_pmxcfs_db
%C%_test_pmxcfs_db_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS) $(JSON_CFLAGS)
%C%_test_pmxcfs_db_SOURCES = %D%/test_pmxcfs_db.c
%C%_test_pmxcfs_db_LDADD = tests/lib/libstoretest.a $(store_libs)
EXTRA_%C%_test_pmxcfs_db_DEPENDENCIES = cli/pmxcfs-db
TESTS += %D%/test_pmxcfs_db

check_PROGRAMS += %D%/test_store_wal
%C%_test_store_wal_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_store_wal_SOURCES = %D%/test_store_wal.c
%C%_test_store_wal_LDADD = $(store_libs)
TESTS += %D%/test_store_wal
