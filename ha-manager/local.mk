# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libhacore.a %D%/libhasim.a %D%/libhaio.a

%C%_libhacore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(JSON_CFLAGS)
%C%_libhacore_a_SOURCES = \
	%D%/core/ha_affinity.c %D%/core/ha_affinity.h \
	%D%/core/ha_agent.c %D%/core/ha_agent.h \
	%D%/core/ha_crm.c %D%/core/ha_crm.h \
	%D%/core/ha_edit.c %D%/core/ha_edit.h \
	%D%/core/ha_env.c %D%/core/ha_env.h \
	%D%/core/ha_fence.c %D%/core/ha_fence.h \
	%D%/core/ha_flaps.c %D%/core/ha_flaps.h \
	%D%/core/ha_groups.c %D%/core/ha_groups.h \
	%D%/core/ha_json.c %D%/core/ha_json.h \
	%D%/core/ha_lease.c %D%/core/ha_lease.h \
	%D%/core/ha_limits.h \
	%D%/core/ha_lrm.c %D%/core/ha_lrm.h \
	%D%/core/ha_lrm_status.c %D%/core/ha_lrm_status.h \
	%D%/core/ha_lrm_work.c %D%/core/ha_lrm_work.h \
	%D%/core/ha_manager.c %D%/core/ha_manager.h %D%/core/ha_manager_priv.h \
	%D%/core/ha_manager_balance.c \
	%D%/core/ha_manager_command.c \
	%D%/core/ha_manager_disarm.c \
	%D%/core/ha_manager_group.c \
	%D%/core/ha_manager_node.c \
	%D%/core/ha_manager_service.c \
	%D%/core/ha_manager_status.c %D%/core/ha_manager_status.h \
	%D%/core/ha_names.c %D%/core/ha_names.h \
	%D%/core/ha_placement.c %D%/core/ha_placement.h \
	%D%/core/ha_resources.c %D%/core/ha_resources.h \
	%D%/core/ha_rules.c %D%/core/ha_rules.h \
	%D%/core/ha_rules_check.c \
	%D%/core/ha_rules_transform.c \
	%D%/core/ha_service.c %D%/core/ha_service.h \
	%D%/core/ha_settings.c %D%/core/ha_settings.h \
	%D%/core/ha_status_cache.c %D%/core/ha_status_cache.h \
	%D%/core/ha_shellwords.c %D%/core/ha_shellwords.h \
	%D%/core/ha_timing.c %D%/core/ha_timing.h \
	%D%/core/ha_topsis.c %D%/core/ha_topsis.h \
	%D%/core/ha_usage.c %D%/core/ha_usage.h

%C%_libhasim_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(JSON_CFLAGS)
%C%_libhasim_a_SOURCES = \
	%D%/sim/hasim_agent.c \
	%D%/sim/hasim_check.c %D%/sim/hasim_check.h \
	%D%/sim/hasim_command.c %D%/sim/hasim_command.h \
	%D%/sim/hasim_env.c \
	%D%/sim/hasim_hardware.c %D%/sim/hasim_hardware.h \
	%D%/sim/hasim_scenario.c %D%/sim/hasim_scenario.h \
	%D%/sim/hasim_shell.c %D%/sim/hasim_shell.h \
	%D%/sim/hasim_view.c %D%/sim/hasim_view.h \
	%D%/sim/hasim_world.c %D%/sim/hasim_world.h

HA_CORE_LIBS = %D%/libhacore.a lib/conf/libconf.a lib/base/libbase.a $(JSON_LIBS) $(GLIB_LIBS) -lm
HA_SIM_LIBS = %D%/libhasim.a $(HA_CORE_LIBS)

dist_man_MANS += %D%/ha-simulator.8
sbin_PROGRAMS += %D%/ha-simulator
%C%_ha_simulator_SOURCES = %D%/sim/main_simulator.c
%C%_ha_simulator_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_ha_simulator_LDADD = $(HA_SIM_LIBS)

%C%_libhaio_a_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_libhaio_a_SOURCES =
%C%_libhaio_a_SOURCES += %D%/io/ha_agents.c %D%/io/ha_agents.h
%C%_libhaio_a_SOURCES += %D%/io/ha_alerts.c %D%/io/ha_alerts.h
%C%_libhaio_a_SOURCES += %D%/io/ha_blackbox.c %D%/io/ha_blackbox.h
%C%_libhaio_a_SOURCES += %D%/io/ha_cluster.c %D%/io/ha_cluster.h
%C%_libhaio_a_SOURCES += %D%/io/ha_daemon.c %D%/io/ha_daemon.h
%C%_libhaio_a_SOURCES += %D%/io/ha_dog.c %D%/io/ha_dog.h
%C%_libhaio_a_SOURCES += %D%/io/ha_fencing.c %D%/io/ha_fencing.h
%C%_libhaio_a_SOURCES += %D%/io/ha_lease_dirs.c %D%/io/ha_lease_dirs.h
%C%_libhaio_a_SOURCES += %D%/io/ha_leases.c %D%/io/ha_leases.h
%C%_libhaio_a_SOURCES += %D%/io/ha_loads.c %D%/io/ha_loads.h
%C%_libhaio_a_SOURCES += %D%/io/ha_node.c %D%/io/ha_node.h
%C%_libhaio_a_SOURCES += %D%/io/ha_node_end.c %D%/io/ha_node_end.h
%C%_libhaio_a_SOURCES += %D%/io/ha_patience.c %D%/io/ha_patience.h
%C%_libhaio_a_SOURCES += %D%/io/ha_report.c %D%/io/ha_report.h
%C%_libhaio_a_SOURCES += %D%/io/ha_tree.c %D%/io/ha_tree.h
%C%_libhaio_a_SOURCES += %D%/io/ha_whatif.c %D%/io/ha_whatif.h
%C%_libhaio_a_SOURCES += %D%/io/ha_workers.c %D%/io/ha_workers.h

HA_IO_LIBS = %D%/libhaio.a %D%/libhacore.a lib/cfs/libcfs.a lib/wire/libwire.a lib/port/libport.a \
	lib/conf/libconf.a lib/base/libbase.a $(QB_LIBS) $(JSON_LIBS) $(GIO_LIBS) $(CRYPTO_LIBS) \
	$(GLIB_LIBS) -lm

sbin_PROGRAMS += %D%/pve-ha-crm %D%/pve-ha-lrm
%C%_pve_ha_crm_SOURCES = %D%/main_crm.c
%C%_pve_ha_crm_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_pve_ha_crm_LDADD = $(HA_IO_LIBS)
%C%_pve_ha_lrm_SOURCES = %D%/main_lrm.c
%C%_pve_ha_lrm_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_pve_ha_lrm_LDADD = $(HA_IO_LIBS)

# Stands alone: libc only.
sbin_PROGRAMS += %D%/watchdog-mux/watchdog-mux
%C%_watchdog_mux_watchdog_mux_SOURCES = %D%/watchdog-mux/watchdog_mux.c
dist_man_MANS += %D%/pve-ha-crm.8 %D%/pve-ha-lrm.8 %D%/watchdog-mux.8
