# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libcmdline.a
%C%_libcmdline_a_SOURCES = %D%/cmdline.c %D%/cmdline.h

# pvecm
bin_PROGRAMS += %D%/pvecm
%C%_pvecm_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS)
%C%_pvecm_SOURCES = %D%/pvecm.c %D%/pvecm_verbs.h %D%/pvecm_ask.c %D%/pvecm_ask.h \
	%D%/pvecm_internal.c %D%/pvecm_join.c %D%/pvecm_make.c %D%/pvecm_nodes.c \
	%D%/pvecm_show.c \
	%D%/pvecm_table.c %D%/pvecm_task.c %D%/pvecm_task.h %D%/pvecm_witness.c
%C%_pvecm_LDADD = %D%/libcmdline.a quorum/libquorumio.a quorum/libquorumcore.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/conf/libconf.a lib/wire/libwire.a lib/base/libbase.a $(JSON_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) $(QUORUM_LIBS) $(VOTEQUORUM_LIBS) $(CMAP_LIBS) \
	$(CFG_LIBS) $(COROSYNC_COMMON_LIBS) $(QB_LIBS) $(GLIB_LIBS)

dist_man_MANS += %D%/pvecm.1
dist_bashcompletion_DATA += %D%/completion/pvecm

# qm
bin_PROGRAMS += %D%/qm
%C%_qm_CFLAGS = $(AM_CFLAGS) $(GIO_CFLAGS) $(JSON_CFLAGS)
%C%_qm_SOURCES = %D%/qm.c %D%/qm_verbs.h
%C%_qm_LDADD = %D%/libcmdline.a guest/io/libguest_io.a guest/core/libguest_core.a \
	lib/cfs/libcfs.a lib/port/libport.a lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a \
	$(QB_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(CRYPT_LIBS) $(GLIB_LIBS)

# pmxcfs-wait
bin_PROGRAMS += %D%/pmxcfs-wait
%C%_pmxcfs_wait_SOURCES = %D%/pmxcfs_wait.c
%C%_pmxcfs_wait_LDADD = lib/cfs/libcfs.a lib/port/libport.a lib/base/libbase.a $(JSON_LIBS) \
	$(GLIB_LIBS)
dist_man_MANS += %D%/pmxcfs-wait.1

# pmxcfs-ipc
bin_PROGRAMS += %D%/pmxcfs-ipc
%C%_pmxcfs_ipc_SOURCES = %D%/pmxcfs_ipc.c
%C%_pmxcfs_ipc_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_pmxcfs_ipc_LDADD = %D%/libcmdline.a lib/cfs/libcfs.a lib/wire/libwire.a lib/port/libport.a \
	lib/base/libbase.a $(QB_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
dist_man_MANS += %D%/pmxcfs-ipc.1
dist_bashcompletion_DATA += %D%/completion/pmxcfs-ipc
dist_man_MANS += %D%/qm.1

# pmxcfs-db
sbin_PROGRAMS += %D%/pmxcfs-db
%C%_pmxcfs_db_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_pmxcfs_db_SOURCES = %D%/pmxcfs_db.c %D%/pmxcfs_db.h %D%/pmxcfs_db_change.c \
	%D%/pmxcfs_db_files.c %D%/pmxcfs_db_salvage.c %D%/pmxcfs_db_show.c
%C%_pmxcfs_db_LDADD = %D%/libcmdline.a pmxcfs/io/libpmxcfs_store.a \
	pmxcfs/core/libpmxcfs_core.a lib/port/libport.a lib/wire/libwire.a lib/base/libbase.a \
	$(SQLITE_LIBS) $(JSON_LIBS) $(CRYPTO_LIBS) $(GLIB_LIBS) -lpthread
dist_bin_SCRIPTS += %D%/create_pmxcfs_db
dist_man_MANS += %D%/pmxcfs-db.8
dist_bashcompletion_DATA += %D%/completion/pmxcfs-db
