# SPDX-License-Identifier: Apache-2.0
# guest: QEMU guests. core decides (pure), io performs. One `+=` line per module.
noinst_LIBRARIES += %D%/core/libguest_core.a
%C%_core_libguest_core_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_core_libguest_core_a_SOURCES = %D%/core/confcheck.c %D%/core/confcheck.h
%C%_core_libguest_core_a_SOURCES += %D%/core/confprops.c %D%/core/confprops.h
%C%_core_libguest_core_a_SOURCES += %D%/core/confschema.c %D%/core/confschema.h
%C%_core_libguest_core_a_SOURCES += %D%/core/machine.c %D%/core/machine.h
%C%_core_libguest_core_a_SOURCES += %D%/core/volid.c %D%/core/volid.h
%C%_core_libguest_core_a_SOURCES += %D%/core/cmdbuild.c %D%/core/cmdbuild.h
%C%_core_libguest_core_a_SOURCES += %D%/core/qemucmd.c %D%/core/qemucmd.h
%C%_core_libguest_core_a_SOURCES += %D%/core/cpu_models.c %D%/core/cpu_models.h
%C%_core_libguest_core_a_SOURCES += %D%/core/drive.c %D%/core/drive.h
%C%_core_libguest_core_a_SOURCES += %D%/core/guestconf.c %D%/core/guestconf.h
%C%_core_libguest_core_a_SOURCES += %D%/core/host_facts.c %D%/core/host_facts.h
%C%_core_libguest_core_a_SOURCES += %D%/core/storage_path.c %D%/core/storage_path.h
%C%_core_libguest_core_a_SOURCES += %D%/core/blockdev.c %D%/core/blockdev.h
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_chipset.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_confidential.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_cpu.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_disk.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_display.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_firmware.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_hostpci.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_memory.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_misc.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_net.c
%C%_core_libguest_core_a_SOURCES += %D%/core/cmd_usb.c
%C%_core_libguest_core_a_SOURCES += %D%/core/storage_block.c
%C%_core_libguest_core_a_SOURCES += %D%/core/storage_dir.c
%C%_core_libguest_core_a_SOURCES += %D%/core/storage_net.c

noinst_LIBRARIES += %D%/io/libguest_io.a
%C%_io_libguest_io_a_CPPFLAGS = $(AM_CPPFLAGS) -DQM_SCRIPT_DIR='"$(libexecdir)/quorate"'
%C%_io_libguest_io_a_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(GIO_CFLAGS)
%C%_io_libguest_io_a_SOURCES = %D%/io/textfile.c %D%/io/textfile.h
%C%_io_libguest_io_a_SOURCES += %D%/io/host_world.c %D%/io/host_world.h %D%/io/host_world_priv.h
%C%_io_libguest_io_a_SOURCES += %D%/io/host_assume.c %D%/io/host_probe.c

dist_man_MANS += %D%/vmid.conf.5
%C%_core_libguest_core_a_SOURCES += %D%/core/hotplan.c %D%/core/hotplan.h
%C%_core_libguest_core_a_SOURCES += %D%/core/guest_change.c %D%/core/guest_change.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_tree.c %D%/io/guest_tree.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_edit.c %D%/io/guest_edit.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_leftover.c %D%/io/guest_leftover.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_work.c %D%/io/guest_work.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_recover.c %D%/io/guest_recover.h

%C%_core_libguest_core_a_SOURCES += %D%/core/snapplan.c %D%/core/snapplan.h
%C%_core_libguest_core_a_SOURCES += %D%/core/startorder.c %D%/core/startorder.h
%C%_core_libguest_core_a_SOURCES += %D%/core/netplan.c %D%/core/netplan.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_host.c %D%/io/guest_host.h
%C%_io_libguest_io_a_SOURCES += %D%/io/event_daemon.c %D%/io/event_daemon.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_end.c %D%/io/guest_end.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_snapshot.c %D%/io/guest_snapshot.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_state.c %D%/io/guest_state.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_suspend.c %D%/io/guest_suspend.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_status.c %D%/io/guest_status.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_stop.c %D%/io/guest_stop.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_hook.c %D%/io/guest_hook.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_net.c %D%/io/guest_net.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_proc.c %D%/io/guest_proc.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_qmp.c %D%/io/guest_qmp.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_nodes.c %D%/io/guest_nodes.h
%C%_core_libguest_core_a_SOURCES += %D%/core/ovf.c %D%/core/ovf.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_ovf.c %D%/io/guest_ovf.h
%C%_core_libguest_core_a_SOURCES += %D%/core/hugeplan.c %D%/core/hugeplan.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_huge.c %D%/io/guest_huge.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_pci.c %D%/io/guest_pci.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_scope.c %D%/io/guest_scope.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_tpm.c %D%/io/guest_tpm.h
%C%_io_libguest_io_a_SOURCES += %D%/io/rawhead.c %D%/io/rawhead.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_spawn.c %D%/io/guest_spawn.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_virtiofs.c %D%/io/guest_virtiofs.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_start.c %D%/io/guest_start.h

guest_run_ldadd = guest/io/libguest_io.a guest/core/libguest_core.a lib/cfs/libcfs.a \
	lib/port/libport.a lib/wire/libwire.a lib/conf/libconf.a lib/base/libbase.a \
	$(QB_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(GLIB_LIBS)

# What QEMU runs when it makes or gives up a tap.
quoratelibexecdir = $(libexecdir)/quorate
quoratelibexec_PROGRAMS = %D%/qm-bridge %D%/qm-bridgedown
%C%_qm_bridge_SOURCES = %D%/qm_bridge.c
%C%_qm_bridge_LDADD = $(guest_run_ldadd)
%C%_qm_bridgedown_SOURCES = %D%/qm_bridgedown.c
%C%_qm_bridgedown_LDADD = $(guest_run_ldadd)

sbin_PROGRAMS += %D%/qmeventd
%C%_qmeventd_SOURCES = %D%/main_qmeventd.c
%C%_qmeventd_LDADD = $(guest_run_ldadd)
dist_man_MANS += %D%/qmeventd.8

# What this node and its guests use, for the cluster.
%C%_core_libguest_core_a_SOURCES += %D%/core/guest_size.c %D%/core/guest_size.h
%C%_core_libguest_core_a_SOURCES += %D%/core/stat_line.c %D%/core/stat_line.h
%C%_core_libguest_core_a_SOURCES += %D%/core/stat_rate.c %D%/core/stat_rate.h
%C%_core_libguest_core_a_SOURCES += %D%/core/stat_text.c %D%/core/stat_text.h
%C%_core_libguest_core_a_SOURCES += %D%/core/stat_limits.h
%C%_core_libguest_core_a_SOURCES += %D%/core/container_size.c %D%/core/container_size.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_container.c %D%/io/stat_container.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_daemon.c %D%/io/stat_daemon.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_guests.c %D%/io/stat_guests.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_host.c %D%/io/stat_host.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_monitor.c %D%/io/stat_monitor.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stat_storage.c %D%/io/stat_storage.h

sbin_PROGRAMS += %D%/quorate-statd
%C%_quorate_statd_SOURCES = %D%/main_statd.c
%C%_quorate_statd_LDADD = $(guest_run_ldadd)
dist_man_MANS += %D%/quorate-statd.8
