# SPDX-License-Identifier: Apache-2.0
# Client of the cluster filesystem: the mounted tree and the daemon's IPC service. One `+=` line per
# module.
noinst_LIBRARIES += %D%/libcfs.a
%C%_libcfs_a_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS) $(JSON_CFLAGS)
%C%_libcfs_a_SOURCES =
%C%_libcfs_a_SOURCES += %D%/cfsfile.c %D%/cfsfile.h
%C%_libcfs_a_SOURCES += %D%/cfslock.c %D%/cfslock.h
%C%_libcfs_a_SOURCES += %D%/ipcc.c %D%/ipcc.h
%C%_libcfs_a_SOURCES += %D%/watch.c %D%/watch.h
%C%_libcfs_a_CFLAGS += $(CRYPTO_CFLAGS)
%C%_libcfs_a_SOURCES += %D%/api_auth.c %D%/api_auth.h
%C%_libcfs_a_SOURCES += %D%/api_call.c %D%/api_call.h
%C%_libcfs_a_SOURCES += %D%/ticket_keys.c %D%/ticket_keys.h
