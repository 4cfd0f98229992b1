# SPDX-License-Identifier: Apache-2.0
# The REST API's outer shell: an unprivileged worker in front of root daemons.
noinst_LIBRARIES += %D%/libapicore.a
%C%_libapicore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libapicore_a_SOURCES = %D%/core/api_guard.c %D%/core/api_guard.h
%C%_libapicore_a_SOURCES += %D%/core/api_route.c %D%/core/api_route.h

noinst_LIBRARIES += %D%/libapiio.a
%C%_libapiio_a_CFLAGS = $(AM_CFLAGS) $(MICROHTTPD_CFLAGS) $(GNUTLS_CFLAGS)
%C%_libapiio_a_SOURCES = %D%/io/api_front.c %D%/io/api_front.h

sbin_PROGRAMS += %D%/quorate-api
%C%_quorate_api_SOURCES = %D%/main.c
%C%_quorate_api_LDADD = %D%/libapiio.a %D%/libapicore.a lib/port/libport.a lib/wire/libwire.a \
	lib/base/libbase.a $(MICROHTTPD_LIBS) $(GNUTLS_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) \
	$(GLIB_LIBS)
dist_man_MANS += %D%/quorate-api.8
