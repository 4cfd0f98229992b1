# SPDX-License-Identifier: Apache-2.0
# Programs that test a real mount; each skips without root or /dev/fuse.
mount_test_libs = tests/lib/libmount_test.a lib/base/libbase.a $(GLIB_LIBS) -lpthread

check_PROGRAMS += %D%/posix_suite
%C%_posix_suite_SOURCES = %D%/posix_suite.c %D%/posix.h %D%/posix_attr.c %D%/posix_data.c \
	%D%/posix_locks.c %D%/posix_names.c %D%/posix_open.c %D%/posix_quorum.c \
	%D%/posix_special.c %D%/posix_users.c
%C%_posix_suite_LDADD = $(mount_test_libs)

check_PROGRAMS += %D%/mount_coherence
%C%_mount_coherence_SOURCES = %D%/mount_coherence.c
%C%_mount_coherence_LDADD = $(mount_test_libs)

check_PROGRAMS += %D%/mount_model
%C%_mount_model_SOURCES = %D%/mount_model.c
%C%_mount_model_LDADD = $(mount_test_libs)

check_PROGRAMS += %D%/mount_stress
%C%_mount_stress_SOURCES = %D%/mount_stress.c
%C%_mount_stress_LDADD = $(mount_test_libs)
