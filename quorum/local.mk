# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libquorumcore.a
%C%_libquorumcore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(JSON_CFLAGS)
%C%_libquorumcore_a_SOURCES = \
	%D%/core/join_info.c %D%/core/join_info.h \
	%D%/core/join_plan.c %D%/core/join_plan.h \
	%D%/core/joinjson.c %D%/core/joinjson.h \
	%D%/core/join_request.c %D%/core/join_request.h \
	%D%/core/jointoken.c %D%/core/jointoken.h \
	%D%/core/member_request.c %D%/core/member_request.h \
	%D%/core/node_plans.c %D%/core/node_plans.h \
	%D%/core/step_plan.c %D%/core/step_plan.h \
	%D%/core/tombstone.c %D%/core/tombstone.h \
	%D%/core/witness.c %D%/core/witness.h \
	%D%/core/quorum_view.c %D%/core/quorum_view.h

noinst_LIBRARIES += %D%/libquorumio.a
%C%_libquorumio_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(GIO_CFLAGS) $(JSON_CFLAGS)
%C%_libquorumio_a_SOURCES = \
	%D%/io/api_session.c %D%/io/api_session.h \
	%D%/io/backups.c %D%/io/backups.h \
	%D%/io/certs.c %D%/io/certs.h \
	%D%/io/cluster_create.c %D%/io/cluster_create.h \
	%D%/io/cluster_log.c %D%/io/cluster_log.h \
	%D%/io/conf_edit.c %D%/io/conf_edit.h \
	%D%/io/config_api.c %D%/io/config_api.h \
	%D%/io/door.c %D%/io/door.h \
	%D%/io/join_call.c %D%/io/join_call.h \
	%D%/io/join_check.c %D%/io/join_check.h \
	%D%/io/join_classic.c %D%/io/join_classic.h \
	%D%/io/join_client.c %D%/io/join_client.h \
	%D%/io/join_gate.c %D%/io/join_gate.h \
	%D%/io/join_host.c %D%/io/join_host.h \
	%D%/io/join_journal.c %D%/io/join_journal.h \
	%D%/io/join_links.c %D%/io/join_links.h \
	%D%/io/join_list.c %D%/io/join_list.h \
	%D%/io/join_login.c %D%/io/join_login.h \
	%D%/io/join_records.c %D%/io/join_records.h \
	%D%/io/join_ring.c %D%/io/join_ring.h \
	%D%/io/join_server.c %D%/io/join_server.h \
	%D%/io/join_tree.c %D%/io/join_tree.h \
	%D%/io/joiner.c %D%/io/joiner.h \
	%D%/io/corosync_key.c %D%/io/corosync_key.h \
	%D%/io/member_client.c %D%/io/member_client.h \
	%D%/io/member_server.c %D%/io/member_server.h \
	%D%/io/node_add.c %D%/io/node_add.h \
	%D%/io/node_files.c %D%/io/node_files.h \
	%D%/io/node_job.c %D%/io/node_job.h \
	%D%/io/node_leave.c %D%/io/node_leave.h \
	%D%/io/node_readdress.c %D%/io/node_readdress.h \
	%D%/io/node_remove.c %D%/io/node_remove.h \
	%D%/io/node_rename.c %D%/io/node_rename.h \
	%D%/io/node_tree.c %D%/io/node_tree.h \
	%D%/io/own_lock.c %D%/io/own_lock.h \
	%D%/io/package_conf.c %D%/io/package_conf.h \
	%D%/io/services.c %D%/io/services.h \
	%D%/io/upkeep.c %D%/io/upkeep.h \
	%D%/io/witness_host.c %D%/io/witness_host.h \
	%D%/io/witness_peer.c \
	%D%/io/witness_setup.c %D%/io/witness_setup.h \
	%D%/io/witness_sync.c %D%/io/witness_sync.h \
	%D%/io/quorum_query.c %D%/io/quorum_query.h

sbin_PROGRAMS += %D%/quorate-joind
%C%_quorate_joind_SOURCES = %D%/main_joind.c
%C%_quorate_joind_LDADD = %D%/libquorumio.a %D%/libquorumcore.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/conf/libconf.a lib/wire/libwire.a lib/base/libbase.a $(JSON_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS) $(QUORUM_LIBS) $(VOTEQUORUM_LIBS) $(CMAP_LIBS) $(CFG_LIBS) \
	$(COROSYNC_COMMON_LIBS) $(GIO_LIBS) $(QB_LIBS) $(GLIB_LIBS)
dist_man_MANS += %D%/quorate-joind.8
