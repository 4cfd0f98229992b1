# SPDX-License-Identifier: Apache-2.0
# The mount: an archive of its own, linked by the daemon, its tests and its benchmarks.
noinst_LIBRARIES += %D%/libpmxcfs_mount.a
%C%_libpmxcfs_mount_a_CFLAGS = $(AM_CFLAGS) $(FUSE3_CFLAGS) $(CRYPTO_CFLAGS)
%C%_libpmxcfs_mount_a_SOURCES = \
	%D%/mount.c %D%/mount.h %D%/mount_priv.h \
	%D%/mount_attr.c \
	%D%/mount_call.c \
	%D%/mount_commit.c \
	%D%/mount_dir.c \
	%D%/mount_events.c \
	%D%/mount_file.c \
	%D%/mount_guard.c \
	%D%/mount_linger.c \
	%D%/mount_name.c \
	%D%/mount_node.c \
	%D%/mount_notify.c \
	%D%/mount_overlay.c %D%/mount_overlay.h \
	%D%/mount_setattr.c \
	%D%/mount_special.c \
	%D%/mount_stats.c %D%/mount_stats.h \
	%D%/mount_view.c \
	%D%/mount_write.c
