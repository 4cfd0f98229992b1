# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += %D%/test_mount_overlay
%C%_test_mount_overlay_SOURCES = %D%/test_mount_overlay.c
%C%_test_mount_overlay_LDADD = pmxcfs/io/libpmxcfs_mount.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_mount_overlay
