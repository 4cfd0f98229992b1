# SPDX-License-Identifier: Apache-2.0
# Shared adapters. One `+=` line per module, so that rooms merge easily.
noinst_LIBRARIES += %D%/libport.a
%C%_libport_a_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_libport_a_SOURCES =
%C%_libport_a_SOURCES += %D%/clock.c %D%/clock.h
%C%_libport_a_SOURCES += %D%/log.c %D%/log.h
%C%_libport_a_SOURCES += %D%/api_socket.c %D%/api_socket.h
%C%_libport_a_CFLAGS += $(SSL_CFLAGS)
%C%_libport_a_SOURCES += %D%/tls_client.c %D%/tls_client.h
%C%_libport_a_SOURCES += %D%/qmp.c %D%/qmp.h
%C%_libport_a_SOURCES += %D%/process.c %D%/process.h
%C%_libport_a_SOURCES += %D%/lockfile.c %D%/lockfile.h
%C%_libport_a_SOURCES += %D%/prompt.c %D%/prompt.h
%C%_libport_a_SOURCES += %D%/secrecy.c %D%/secrecy.h
%C%_libport_a_SOURCES += %D%/stdfds.c %D%/stdfds.h
%C%_libport_a_SOURCES += %D%/task.c %D%/task.h
