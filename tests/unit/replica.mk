# SPDX-License-Identifier: Apache-2.0
# Tests of the message formats, the replica and what carries its messages.
noinst_HEADERS += %D%/testdata.h

check_PROGRAMS += %D%/test_wire_dfsm
%C%_test_wire_dfsm_SOURCES = %D%/test_wire_dfsm.c %D%/testdata.c
%C%_test_wire_dfsm_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_dfsm

check_PROGRAMS += %D%/test_wire_dcdb
%C%_test_wire_dcdb_SOURCES = %D%/test_wire_dcdb.c %D%/testdata.c
%C%_test_wire_dcdb_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_dcdb

check_PROGRAMS += %D%/test_wire_native
%C%_test_wire_native_SOURCES = %D%/test_wire_native.c %D%/testdata.c
%C%_test_wire_native_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_wire_native

replica_test_libs = pmxcfs/core/libpmxcfs_core.a lib/wire/libwire.a lib/base/libbase.a \
	$(CRYPTO_LIBS) $(GLIB_LIBS)

check_PROGRAMS += %D%/test_dfsm
%C%_test_dfsm_SOURCES = %D%/test_dfsm.c
%C%_test_dfsm_LDADD = $(replica_test_libs)
TESTS += %D%/test_dfsm

check_PROGRAMS += %D%/test_dcdb
%C%_test_dcdb_SOURCES = %D%/test_dcdb.c %D%/testdata.c
%C%_test_dcdb_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_test_dcdb_LDADD = $(replica_test_libs) $(SQLITE_LIBS)
TESTS += %D%/test_dcdb

check_PROGRAMS += %D%/test_replica
%C%_test_replica_SOURCES = %D%/test_replica.c
%C%_test_replica_LDADD = $(replica_test_libs)
TESTS += %D%/test_replica

check_PROGRAMS += %D%/test_nsync
%C%_test_nsync_SOURCES = %D%/test_nsync.c
%C%_test_nsync_LDADD = $(replica_test_libs)
TESTS += %D%/test_nsync

# The drawings in docs/states against the tables in the code.
check_PROGRAMS += %D%/test_states
%C%_test_states_SOURCES = %D%/test_states.c
%C%_test_states_LDADD = $(replica_test_libs)
TESTS += %D%/test_states

check_PROGRAMS += %D%/test_native
%C%_test_native_SOURCES = %D%/test_native.c
%C%_test_native_LDADD = $(replica_test_libs)
TESTS += %D%/test_native
