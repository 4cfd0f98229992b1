# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libquorumcore.a
%C%_libquorumcore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(JSON_CFLAGS)
%C%_libquorumcore_a_SOURCES = \
	%D%/core/join_request.c %D%/core/join_request.h \
	%D%/core/jointoken.c %D%/core/jointoken.h \
	%D%/core/quorum_view.c %D%/core/quorum_view.h

noinst_LIBRARIES += %D%/libquorumio.a
%C%_libquorumio_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(GIO_CFLAGS)
%C%_libquorumio_a_SOURCES = \
	%D%/io/certs.c %D%/io/certs.h \
	%D%/io/cluster_create.c %D%/io/cluster_create.h \
	%D%/io/corosync_key.c %D%/io/corosync_key.h \
	%D%/io/node_files.c %D%/io/node_files.h \
	%D%/io/services.c %D%/io/services.h \
	%D%/io/quorum_query.c %D%/io/quorum_query.h
