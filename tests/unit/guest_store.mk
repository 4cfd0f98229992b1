# SPDX-License-Identifier: Apache-2.0
# Tests of what changes configurations and volumes of guests.
guest_io_ldadd = guest/io/libguest_io.a guest/core/libguest_core.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a $(QB_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(CRYPT_LIBS) $(GLIB_LIBS)

check_PROGRAMS += %D%/test_guest_edit
%C%_test_guest_edit_SOURCES = %D%/test_guest_edit.c
%C%_test_guest_edit_LDADD = $(guest_io_ldadd)
TESTS += %D%/test_guest_edit

check_PROGRAMS += %D%/test_guest_work
%C%_test_guest_work_SOURCES = %D%/test_guest_work.c
%C%_test_guest_work_LDADD = $(guest_io_ldadd)
TESTS += %D%/test_guest_work

check_PROGRAMS += %D%/test_storagecfg_edit
%C%_test_storagecfg_edit_SOURCES = %D%/test_storagecfg_edit.c
%C%_test_storagecfg_edit_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_storagecfg_edit

check_PROGRAMS += %D%/test_volname
%C%_test_volname_SOURCES = %D%/test_volname.c
%C%_test_volname_LDADD = guest/core/libguest_core.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_volname

check_PROGRAMS += %D%/test_cloudinit
%C%_test_cloudinit_SOURCES = %D%/test_cloudinit.c
%C%_test_cloudinit_LDADD = guest/core/libguest_core.a lib/conf/libconf.a lib/base/libbase.a \
	$(GLIB_LIBS)
TESTS += %D%/test_cloudinit

check_PROGRAMS += %D%/test_ovf
%C%_test_ovf_SOURCES = %D%/test_ovf.c
%C%_test_ovf_LDADD = $(guest_io_ldadd)
TESTS += %D%/test_ovf

check_PROGRAMS += %D%/test_statestream
%C%_test_statestream_SOURCES = %D%/test_statestream.c
%C%_test_statestream_LDADD = guest/core/libguest_core.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_statestream
