# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_corosync_conf
tests_unit_test_corosync_conf_SOURCES = tests/unit/test_corosync_conf.c
tests_unit_test_corosync_conf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_corosync_conf

check_PROGRAMS += tests/unit/test_quorum_view
tests_unit_test_quorum_view_SOURCES = tests/unit/test_quorum_view.c
tests_unit_test_quorum_view_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_unit_test_quorum_view_LDADD = quorum/libquorumcore.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_quorum_view

check_PROGRAMS += tests/unit/test_certs
tests_unit_test_certs_SOURCES = tests/unit/test_certs.c
tests_unit_test_certs_LDADD = quorum/libquorumio.a lib/base/libbase.a $(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_certs

check_PROGRAMS += tests/unit/test_jointoken
tests_unit_test_jointoken_SOURCES = tests/unit/test_jointoken.c
tests_unit_test_jointoken_LDADD = quorum/libquorumcore.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_jointoken

check_PROGRAMS += tests/unit/test_node_files
tests_unit_test_node_files_SOURCES = tests/unit/test_node_files.c
tests_unit_test_node_files_LDADD = quorum/libquorumio.a lib/cfs/libcfs.a lib/base/libbase.a \
	$(CRYPTO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_node_files

check_PROGRAMS += tests/unit/test_wire_http
tests_unit_test_wire_http_SOURCES = tests/unit/test_wire_http.c
tests_unit_test_wire_http_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_wire_http

check_PROGRAMS += tests/unit/test_join_request
tests_unit_test_join_request_SOURCES = tests/unit/test_join_request.c
tests_unit_test_join_request_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_join_request

check_PROGRAMS += tests/unit/test_wire_api tests/unit/test_api_core
tests_unit_test_wire_api_SOURCES = tests/unit/test_wire_api.c
tests_unit_test_wire_api_LDADD = lib/wire/libwire.a lib/base/libbase.a $(GLIB_LIBS)
tests_unit_test_api_core_SOURCES = tests/unit/test_api_core.c
tests_unit_test_api_core_LDADD = api/libapicore.a lib/wire/libwire.a lib/base/libbase.a \
	$(GLIB_LIBS)
TESTS += tests/unit/test_wire_api tests/unit/test_api_core

check_PROGRAMS += tests/unit/test_api_front
tests_unit_test_api_front_SOURCES = tests/unit/test_api_front.c
tests_unit_test_api_front_LDADD = api/libapiio.a api/libapicore.a quorum/libquorumio.a \
	lib/port/libport.a lib/wire/libwire.a lib/base/libbase.a $(MICROHTTPD_LIBS) $(GNUTLS_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_api_front

check_PROGRAMS += tests/unit/test_join_plan
tests_unit_test_join_plan_SOURCES = tests/unit/test_join_plan.c
tests_unit_test_join_plan_LDADD = quorum/libquorumcore.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += tests/unit/test_join_plan

check_PROGRAMS += tests/unit/test_join_info tests/unit/test_login
tests_unit_test_join_info_SOURCES = tests/unit/test_join_info.c
tests_unit_test_join_info_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
tests_unit_test_login_SOURCES = tests/unit/test_login.c
tests_unit_test_login_LDADD = lib/cfs/libcfs.a lib/port/libport.a lib/conf/libconf.a \
	lib/wire/libwire.a lib/base/libbase.a $(CRYPTO_LIBS) $(GIO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_join_info tests/unit/test_login

check_PROGRAMS += tests/unit/test_node_plans
tests_unit_test_node_plans_SOURCES = tests/unit/test_node_plans.c
tests_unit_test_node_plans_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_node_plans
check_PROGRAMS += tests/unit/test_witness
tests_unit_test_witness_SOURCES = tests/unit/test_witness.c
tests_unit_test_witness_LDADD = quorum/libquorumcore.a lib/conf/libconf.a lib/base/libbase.a \
	$(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_witness

check_PROGRAMS += tests/unit/test_join_gate
tests_unit_test_join_gate_SOURCES = tests/unit/test_join_gate.c
tests_unit_test_join_gate_LDADD = quorum/libquorumio.a $(GLIB_LIBS)
TESTS += tests/unit/test_join_gate
THREADED_TESTS += tests/unit/test_join_gate

check_PROGRAMS += tests/unit/test_task
tests_unit_test_task_SOURCES = tests/unit/test_task.c
tests_unit_test_task_LDADD = lib/port/libport.a lib/wire/libwire.a lib/base/libbase.a \
	$(GIO_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_task

check_PROGRAMS += tests/unit/test_backups
tests_unit_test_backups_SOURCES = tests/unit/test_backups.c
tests_unit_test_backups_LDADD = quorum/libquorumio.a quorum/libquorumcore.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/conf/libconf.a lib/base/libbase.a $(JSON_LIBS) $(GLIB_LIBS)
TESTS += tests/unit/test_backups
