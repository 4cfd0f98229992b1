# SPDX-License-Identifier: Apache-2.0
# The mount on an engine in memory: what its tests and benchmarks run.
check_LIBRARIES += %D%/libengine_mem.a
%C%_libengine_mem_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
%C%_libengine_mem_a_SOURCES = %D%/engine_mem.c %D%/engine_mem.h

check_PROGRAMS += %D%/mount_host
%C%_mount_host_CFLAGS = $(AM_CFLAGS) $(FUSE3_CFLAGS)
%C%_mount_host_SOURCES = %D%/mount_host.c
%C%_mount_host_LDADD = pmxcfs/io/libpmxcfs_mount.a %D%/libengine_mem.a \
	pmxcfs/io/libpmxcfs_engine.a pmxcfs/core/libpmxcfs_core.a lib/base/libbase.a \
	$(FUSE3_LIBS) $(CRYPTO_LIBS) $(GLIB_LIBS) -lpthread

check_LIBRARIES += %D%/libmount_test.a
%C%_libmount_test_a_SOURCES = %D%/mount_test.c %D%/mount_test.h
