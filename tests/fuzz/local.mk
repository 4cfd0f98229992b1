# SPDX-License-Identifier: Apache-2.0
# One target per byte format: fuzz_programs += one, its source fuzz_NAME.c, and at least one file in
# corpus/NAME. `make check` replays the corpus; with --enable-fuzz the program is a libFuzzer one.
if ENABLE_FUZZ
fuzz_main =
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_main = %D%/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
endif
noinst_HEADERS += %D%/fuzz.h
EXTRA_DIST += %D%/replay.c %D%/corpus
fuzz_programs =

fuzz_programs += %D%/fuzz_wire_dfsm %D%/fuzz_wire_dcdb
%C%_fuzz_wire_dfsm_SOURCES = %D%/fuzz_wire_dfsm.c $(fuzz_main)
%C%_fuzz_wire_dfsm_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_dfsm_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
%C%_fuzz_wire_dcdb_SOURCES = %D%/fuzz_wire_dcdb.c $(fuzz_main)
%C%_fuzz_wire_dcdb_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_dcdb_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_wire_native
%C%_fuzz_wire_native_SOURCES = %D%/fuzz_wire_native.c $(fuzz_main)
%C%_fuzz_wire_native_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_native_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_corosync_conf %D%/fuzz_join
%C%_fuzz_corosync_conf_SOURCES = %D%/fuzz_corosync_conf.c $(fuzz_main)
%C%_fuzz_corosync_conf_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_corosync_conf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
%C%_fuzz_join_SOURCES = %D%/fuzz_join.c $(fuzz_main)
%C%_fuzz_join_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_join_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/wire/libwire.a \
	lib/base/libbase.a $(JSON_LIBS) $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_api
%C%_fuzz_api_SOURCES = %D%/fuzz_api.c $(fuzz_main)
%C%_fuzz_api_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_api_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/wire/libwire.a \
	lib/base/libbase.a $(JSON_LIBS) $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_vmconf %D%/fuzz_propstring
%C%_fuzz_vmconf_SOURCES = %D%/fuzz_vmconf.c $(fuzz_main)
%C%_fuzz_vmconf_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_vmconf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
%C%_fuzz_propstring_SOURCES = %D%/fuzz_propstring.c $(fuzz_main)
%C%_fuzz_propstring_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_propstring_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
fuzz_programs += %D%/fuzz_clog_entry %D%/fuzz_clog_ring %D%/fuzz_wire_kvstore
fuzz_status_libs = pmxcfs/core/libpmxcfs_core.a lib/wire/libwire.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
%C%_fuzz_clog_entry_SOURCES = %D%/fuzz_clog_entry.c $(fuzz_main)
%C%_fuzz_clog_entry_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_clog_entry_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
%C%_fuzz_clog_ring_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_fuzz_clog_ring_SOURCES = %D%/fuzz_clog_ring.c $(fuzz_main)
%C%_fuzz_clog_ring_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_clog_ring_LDADD = $(fuzz_status_libs)
%C%_fuzz_wire_kvstore_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_fuzz_wire_kvstore_SOURCES = %D%/fuzz_wire_kvstore.c $(fuzz_main)
%C%_fuzz_wire_kvstore_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_kvstore_LDADD = $(fuzz_status_libs)
fuzz_programs += %D%/fuzz_ipc_request
%C%_fuzz_ipc_request_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(SQLITE_CFLAGS)
%C%_fuzz_ipc_request_SOURCES = %D%/fuzz_ipc_request.c tests/unit/ipc_engine.c \
	tests/unit/testdata.c $(fuzz_main)
%C%_fuzz_ipc_request_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ipc_request_LDADD = pmxcfs/io/libpmxcfs_ipc.a pmxcfs/core/libpmxcfs_core.a \
	lib/wire/libwire.a lib/base/libbase.a $(SQLITE_LIBS) $(CRYPTO_LIBS) $(JSON_LIBS) $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_wire_qmp
%C%_fuzz_wire_qmp_SOURCES = %D%/fuzz_wire_qmp.c $(fuzz_main)
%C%_fuzz_wire_qmp_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_wire_qmp_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)

fuzz_programs += %D%/fuzz_storagecfg %D%/fuzz_volid %D%/fuzz_qemucmd
%C%_fuzz_storagecfg_SOURCES = %D%/fuzz_storagecfg.c $(fuzz_main)
%C%_fuzz_storagecfg_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_storagecfg_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
%C%_fuzz_volid_SOURCES = %D%/fuzz_volid.c $(fuzz_main)
%C%_fuzz_volid_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_volid_LDADD = $(guest_core_ldadd)
%C%_fuzz_qemucmd_SOURCES = %D%/fuzz_qemucmd.c $(fuzz_main)
%C%_fuzz_qemucmd_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_qemucmd_LDADD = $(guest_core_ldadd)

fuzz_programs += %D%/fuzz_store
%C%_fuzz_store_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_fuzz_store_SOURCES = %D%/fuzz_store.c $(fuzz_main)
%C%_fuzz_store_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_store_LDADD = tests/lib/libstoretest.a $(store_libs)

check_PROGRAMS += $(fuzz_programs)
if !ENABLE_FUZZ
TESTS += $(fuzz_programs)
endif
