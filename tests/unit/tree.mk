# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/test_cfspath
%C%_test_cfspath_SOURCES = %D%/test_cfspath.c
%C%_test_cfspath_LDADD = pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_cfspath
check_PROGRAMS += %D%/test_memdb_vectors
%C%_test_memdb_vectors_SOURCES = %D%/test_memdb_vectors.c
%C%_test_memdb_vectors_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_memdb_vectors_LDADD = pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a \
	$(SQLITE_LIBS) $(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_memdb_vectors
check_PROGRAMS += %D%/test_memdb
%C%_test_memdb_SOURCES = %D%/test_memdb.c
%C%_test_memdb_LDADD = pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a $(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_memdb
check_PROGRAMS += %D%/test_memdb_tree
%C%_test_memdb_tree_SOURCES = %D%/test_memdb_tree.c
%C%_test_memdb_tree_LDADD = pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a $(CRYPTO_LIBS) \
	$(GLIB_LIBS)
TESTS += %D%/test_memdb_tree
check_PROGRAMS += %D%/test_feed
%C%_test_feed_SOURCES = %D%/test_feed.c
%C%_test_feed_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_feed_LDADD = pmxcfs/io/libpmxcfs_engine.a pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a \
	$(JSON_LIBS) $(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_feed
THREADED_TESTS += %D%/test_feed
check_PROGRAMS += %D%/test_group_cpg
%C%_test_group_cpg_SOURCES = %D%/test_group_cpg.c
%C%_test_group_cpg_LDADD = pmxcfs/io/libpmxcfs_host.a pmxcfs/core/libpmxcfs_core.a \
	lib/port/libport.a lib/base/libbase.a $(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_group_cpg
check_PROGRAMS += %D%/test_loop_timer
%C%_test_loop_timer_SOURCES = %D%/test_loop_timer.c
%C%_test_loop_timer_LDADD = pmxcfs/io/libpmxcfs_host.a lib/port/libport.a lib/base/libbase.a \
	$(GLIB_LIBS)
TESTS += %D%/test_loop_timer
check_PROGRAMS += %D%/test_engine
%C%_test_engine_SOURCES = %D%/test_engine.c
%C%_test_engine_LDADD = tests/lib/libstoretest.a pmxcfs/io/libpmxcfs_engine.a \
	pmxcfs/io/libpmxcfs_store.a pmxcfs/io/libpmxcfs_host.a pmxcfs/core/libpmxcfs_core.a \
	lib/conf/libconf.a lib/wire/libwire.a lib/port/libport.a lib/base/libbase.a $(CPG_LIBS) \
	$(QUORUM_LIBS) $(CMAP_LIBS) $(SQLITE_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_engine
THREADED_TESTS += %D%/test_engine
check_PROGRAMS += %D%/test_engine_save
%C%_test_engine_save_SOURCES = %D%/test_engine_save.c
%C%_test_engine_save_LDADD = $(tests_unit_test_engine_LDADD)
TESTS += %D%/test_engine_save
THREADED_TESTS += %D%/test_engine_save
