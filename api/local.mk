# SPDX-License-Identifier: Apache-2.0
# The REST API's outer shell: an unprivileged worker in front of root daemons.
noinst_LIBRARIES += %D%/libapicore.a
%C%_libapicore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libapicore_a_SOURCES = %D%/core/api_format.c %D%/core/api_format.h
%C%_libapicore_a_SOURCES += %D%/core/api_guard.c %D%/core/api_guard.h
%C%_libapicore_a_SOURCES += %D%/core/api_ignored.c %D%/core/api_ignored.h
%C%_libapicore_a_SOURCES += %D%/core/api_route.c %D%/core/api_route.h
%C%_libapicore_a_SOURCES += %D%/core/cluster_view.c %D%/core/cluster_view.h

noinst_LIBRARIES += %D%/libapiio.a
%C%_libapiio_a_CFLAGS = $(AM_CFLAGS) $(MICROHTTPD_CFLAGS) $(GNUTLS_CFLAGS)
%C%_libapiio_a_SOURCES = %D%/io/api_front.c %D%/io/api_front.h \
	%D%/io/api_peer.c %D%/io/api_peer.h

sbin_PROGRAMS += %D%/quorate-api
%C%_quorate_api_SOURCES = %D%/main.c
%C%_quorate_api_LDADD = %D%/libapiio.a %D%/libapicore.a lib/port/libport.a lib/wire/libwire.a \
	lib/base/libbase.a $(MICROHTTPD_LIBS) $(GNUTLS_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) \
	$(GLIB_LIBS)
dist_man_MANS += %D%/quorate-api.8

# The root daemon behind it: logins, tasks.
noinst_LIBRARIES += %D%/libapidio.a
%C%_libapidio_a_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_libapidio_a_SOURCES = %D%/io/access_api.c %D%/io/access_api.h
%C%_libapidio_a_SOURCES += %D%/io/cluster_api.c %D%/io/cluster_api.h
%C%_libapidio_a_SOURCES += %D%/io/password.c %D%/io/password.h
%C%_libapidio_a_SOURCES += %D%/io/task_api.c %D%/io/task_api.h

sbin_PROGRAMS += %D%/quorate-apid
%C%_quorate_apid_SOURCES = %D%/main_apid.c
%C%_quorate_apid_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS) -DQUORATE_LIBEXEC='"$(pkglibexecdir)"'
%C%_quorate_apid_LDADD = %D%/libapidio.a %D%/libapicore.a lib/cfs/libcfs.a lib/port/libport.a \
	lib/conf/libconf.a lib/wire/libwire.a lib/base/libbase.a $(CRYPTO_LIBS) $(CRYPT_LIBS) \
	$(GIO_LIBS) $(GLIB_LIBS)
dist_man_MANS += %D%/quorate-apid.8

pkglibexec_PROGRAMS += %D%/quorate-pam
%C%_quorate_pam_SOURCES = %D%/pam_check.c
%C%_quorate_pam_LDADD = lib/port/libport.a $(PAM_LIBS)
pamdir = $(sysconfdir)/pam.d
EXTRA_DIST += %D%/quorate.pam
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(pamdir)'
	$(INSTALL_DATA) '$(top_srcdir)/api/quorate.pam' '$(DESTDIR)$(pamdir)/quorate'
uninstall-local:
	rm -f '$(DESTDIR)$(pamdir)/quorate'
