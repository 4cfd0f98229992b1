# SPDX-License-Identifier: Apache-2.0
# pvesm: storages and volumes.
bin_PROGRAMS += %D%/pvesm
%C%_pvesm_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS) $(JSON_CFLAGS)
%C%_pvesm_SOURCES = %D%/pvesm.c %D%/pvesm_verbs.h %D%/pvesm_table.c %D%/pvesm_show.c \
	%D%/pvesm_volume.c %D%/pvesm_config.c %D%/guest_cli.c %D%/guest_cli.h
%C%_pvesm_LDADD = %D%/libcmdline.a guest/io/libguest_io.a guest/core/libguest_core.a \
	lib/cfs/libcfs.a lib/port/libport.a lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a \
	$(QB_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
dist_man_MANS += %D%/pvesm.1
dist_bashcompletion_DATA += %D%/completion/pvesm
