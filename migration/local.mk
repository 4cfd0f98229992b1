# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libmigcore.a
%C%_libmigcore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libmigcore_a_SOURCES = \
	%D%/core/mig_caps.c %D%/core/mig_caps.h \
	%D%/core/mig_cpu.c %D%/core/mig_cpu.h \
	%D%/core/mig_crowd.c %D%/core/mig_crowd.h \
	%D%/core/mig_limits.h \
	%D%/core/mig_predict.c %D%/core/mig_predict.h \
	%D%/core/mig_request.c %D%/core/mig_request.h \
	%D%/core/mig_source.c %D%/core/mig_source.h \
	%D%/core/mig_target.c %D%/core/mig_target.h \
	%D%/core/mig_volumes.c %D%/core/mig_volumes.h

noinst_LIBRARIES += %D%/libmigio.a
%C%_libmigio_a_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(CRYPTO_CFLAGS) $(GIO_CFLAGS)
%C%_libmigio_a_SOURCES = \
	%D%/io/mig_agent.c %D%/io/mig_agent.h \
	%D%/io/mig_copy.c \
	%D%/io/mig_host.c %D%/io/mig_host.h \
	%D%/io/mig_job.c %D%/io/mig_job.h \
	%D%/io/mig_link.c %D%/io/mig_link.h \
	%D%/io/mig_local.c %D%/io/mig_local.h \
	%D%/io/mig_ports.c %D%/io/mig_ports.h \
	%D%/io/mig_probe.c %D%/io/mig_probe.h \
	%D%/io/mig_qemu.c %D%/io/mig_qemu.h \
	%D%/io/mig_relay.c %D%/io/mig_relay.h \
	%D%/io/mig_socket.c %D%/io/mig_socket.h \
	%D%/io/mig_source_job.c \
	%D%/io/mig_source_ops.h %D%/io/mig_source_plan.c %D%/io/mig_source_qemu.c \
	%D%/io/mig_target_check.c %D%/io/mig_target_job.c \
	%D%/io/mig_target_ops.h %D%/io/mig_target_qemu.c %D%/io/mig_target_volumes.c \
	%D%/io/mig_tls.c %D%/io/mig_tls.h \
	%D%/io/mig_tree.c %D%/io/mig_tree.h

sbin_PROGRAMS += %D%/quorate-migrated
%C%_quorate_migrated_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(GIO_CFLAGS)
%C%_quorate_migrated_SOURCES = %D%/main_migrated.c
%C%_quorate_migrated_LDADD = %D%/libmigio.a %D%/libmigcore.a lib/cfs/libcfs.a lib/port/libport.a \
	lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a $(SSL_LIBS) $(CRYPTO_LIBS) \
	$(JSON_LIBS) $(QB_LIBS) $(GIO_LIBS) $(GLIB_LIBS) -lpthread
dist_man_MANS += %D%/quorate-migrated.8
