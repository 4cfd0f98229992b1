# SPDX-License-Identifier: Apache-2.0
# Tests of guest configuration and of what is made of it.
check_PROGRAMS += %D%/test_propstring
%C%_test_propstring_SOURCES = %D%/test_propstring.c
%C%_test_propstring_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_propstring

check_PROGRAMS += %D%/test_vmconf
%C%_test_vmconf_SOURCES = %D%/test_vmconf.c
%C%_test_vmconf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_vmconf

check_PROGRAMS += %D%/test_storagecfg
%C%_test_storagecfg_SOURCES = %D%/test_storagecfg.c
%C%_test_storagecfg_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_storagecfg

guest_core_ldadd = guest/core/libguest_core.a lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)

check_PROGRAMS += %D%/test_confschema
%C%_test_confschema_SOURCES = %D%/test_confschema.c
%C%_test_confschema_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_confschema

check_PROGRAMS += %D%/test_volume
%C%_test_volume_SOURCES = %D%/test_volume.c
%C%_test_volume_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_volume

check_PROGRAMS += %D%/test_qemucmd
%C%_test_qemucmd_SOURCES = %D%/test_qemucmd.c
%C%_test_qemucmd_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_qemucmd

check_PROGRAMS += %D%/test_jsontree
%C%_test_jsontree_SOURCES = %D%/test_jsontree.c
%C%_test_jsontree_LDADD = lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_jsontree

check_PROGRAMS += %D%/test_qmp
%C%_test_qmp_SOURCES = %D%/test_qmp.c
%C%_test_qmp_LDADD = lib/port/libport.a lib/wire/libwire.a lib/base/libbase.a $(GIO_LIBS) \
	$(GLIB_LIBS)
TESTS += %D%/test_qmp

check_PROGRAMS += %D%/test_lockfile
%C%_test_lockfile_SOURCES = %D%/test_lockfile.c
%C%_test_lockfile_LDADD = lib/port/libport.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_lockfile

check_PROGRAMS += %D%/test_prompt
%C%_test_prompt_SOURCES = %D%/test_prompt.c
%C%_test_prompt_LDADD = lib/port/libport.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_prompt

check_PROGRAMS += %D%/test_process
%C%_test_process_SOURCES = %D%/test_process.c
%C%_test_process_LDADD = lib/port/libport.a lib/base/libbase.a $(GIO_LIBS) $(GLIB_LIBS)
TESTS += %D%/test_process

check_PROGRAMS += %D%/test_guest_change
%C%_test_guest_change_SOURCES = %D%/test_guest_change.c
%C%_test_guest_change_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_guest_change
