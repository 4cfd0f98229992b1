# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/test_cfspath
%C%_test_cfspath_SOURCES = %D%/test_cfspath.c
%C%_test_cfspath_LDADD = pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_cfspath
