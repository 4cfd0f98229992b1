# SPDX-License-Identifier: Apache-2.0
# Tests of the HA daemons' adapters.
check_PROGRAMS += %D%/test_watchdog_mux %D%/test_ha_leases %D%/test_ha_io %D%/test_ha_patience
%C%_test_watchdog_mux_SOURCES = %D%/test_watchdog_mux.c
%C%_test_watchdog_mux_LDADD = $(HA_IO_LIBS)
%C%_test_ha_leases_SOURCES = %D%/test_ha_leases.c
%C%_test_ha_leases_LDADD = $(HA_IO_LIBS)
%C%_test_ha_io_SOURCES = %D%/test_ha_io.c
%C%_test_ha_io_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_ha_io_LDADD = $(HA_IO_LIBS)
TESTS += %D%/test_watchdog_mux %D%/test_ha_leases %D%/test_ha_io %D%/test_ha_patience
%C%_test_ha_patience_SOURCES = %D%/test_ha_patience.c
%C%_test_ha_patience_LDADD = $(HA_IO_LIBS)
THREADED_TESTS += %D%/test_ha_patience
EXTRA_DIST += tests/integration/it_71_ha.sh tests/integration/it_72_watchdog.sh
EXTRA_DIST += tests/integration/ha_times.sh
EXTRA_DIST += tests/integration/ha_verbs.sh tests/integration/ha_verbs.expect \
	tests/integration/ha_groups.expect
EXTRA_DIST += tests/integration/watchdog_guest_init.c tests/integration/initrd.py
check_PROGRAMS += %D%/test_ha_alerts
%C%_test_ha_alerts_SOURCES = %D%/test_ha_alerts.c
%C%_test_ha_alerts_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_ha_alerts_LDADD = $(HA_IO_LIBS)
TESTS += %D%/test_ha_alerts
check_PROGRAMS += %D%/test_ha_loads
%C%_test_ha_loads_SOURCES = %D%/test_ha_loads.c
%C%_test_ha_loads_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_test_ha_loads_LDADD = $(HA_IO_LIBS)
TESTS += %D%/test_ha_loads
check_PROGRAMS += %D%/test_ha_lease_folder %D%/test_ha_lease_dirs
%C%_test_ha_lease_folder_SOURCES = %D%/test_ha_lease_folder.c
%C%_test_ha_lease_folder_LDADD = $(HA_IO_LIBS)
TESTS += %D%/test_ha_lease_folder %D%/test_ha_lease_dirs
%C%_test_ha_lease_dirs_SOURCES = %D%/test_ha_lease_dirs.c
%C%_test_ha_lease_dirs_LDADD = $(HA_IO_LIBS)
