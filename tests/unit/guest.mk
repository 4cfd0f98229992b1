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
