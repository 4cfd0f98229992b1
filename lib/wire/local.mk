# SPDX-License-Identifier: Apache-2.0
# One file per byte format; pure.
noinst_LIBRARIES += %D%/libwire.a
%C%_libwire_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libwire_a_SOURCES =
%C%_libwire_a_SOURCES += %D%/wire_dcdb.c %D%/wire_dcdb.h
%C%_libwire_a_SOURCES += %D%/wire_dfsm.c %D%/wire_dfsm.h
%C%_libwire_a_SOURCES += %D%/wire_native.c %D%/wire_native.h
%C%_libwire_a_SOURCES += %D%/wire_clog.c %D%/wire_clog.h
%C%_libwire_a_SOURCES += %D%/wire_kvstore.c %D%/wire_kvstore.h
%C%_libwire_a_SOURCES += %D%/wire_http.c %D%/wire_http.h
%C%_libwire_a_SOURCES += %D%/wire_api.c %D%/wire_api.h
%C%_libwire_a_SOURCES += %D%/wire_ipc.c %D%/wire_ipc.h
%C%_libwire_a_SOURCES += %D%/wire_qmp.c %D%/wire_qmp.h
%C%_libwire_a_SOURCES += %D%/wire_nbd.c %D%/wire_nbd.h
%C%_libwire_a_SOURCES += %D%/wire_params.c %D%/wire_params.h
%C%_libwire_a_SOURCES += %D%/wire_ticket.c %D%/wire_ticket.h
%C%_libwire_a_SOURCES += %D%/wire_upid.c %D%/wire_upid.h
%C%_libwire_a_SOURCES += %D%/wire_migration.c %D%/wire_migration.h
