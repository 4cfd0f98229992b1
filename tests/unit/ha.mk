# SPDX-License-Identifier: Apache-2.0
# Tests of the HA core and of its simulator.
ha_test_cflags = $(AM_CFLAGS) $(JSON_CFLAGS)

check_PROGRAMS += %D%/test_ha_scenarios
%C%_test_ha_scenarios_SOURCES = %D%/test_ha_scenarios.c
%C%_test_ha_scenarios_CFLAGS = $(ha_test_cflags)
%C%_test_ha_scenarios_LDADD = $(HA_SIM_LIBS)
TESTS += %D%/test_ha_scenarios
EXTRA_DIST += tests/sim/scenarios/ha tests/sim/scenarios/ha-improved
EXTRA_DIST += tests/integration/it_70_ha_scenarios.sh

check_PROGRAMS += %D%/test_ha_rules %D%/test_ha_placement %D%/test_ha_fence %D%/test_ha_files
%C%_test_ha_rules_SOURCES = %D%/test_ha_rules.c
%C%_test_ha_rules_CFLAGS = $(ha_test_cflags)
%C%_test_ha_rules_LDADD = $(HA_CORE_LIBS)
%C%_test_ha_placement_SOURCES = %D%/test_ha_placement.c
%C%_test_ha_placement_CFLAGS = $(ha_test_cflags)
%C%_test_ha_placement_LDADD = $(HA_CORE_LIBS)
%C%_test_ha_fence_SOURCES = %D%/test_ha_fence.c
%C%_test_ha_fence_CFLAGS = $(ha_test_cflags)
%C%_test_ha_fence_LDADD = $(HA_CORE_LIBS)
%C%_test_ha_files_SOURCES = %D%/test_ha_files.c
%C%_test_ha_files_CFLAGS = $(ha_test_cflags)
%C%_test_ha_files_LDADD = $(HA_CORE_LIBS)
TESTS += %D%/test_ha_rules %D%/test_ha_placement %D%/test_ha_fence %D%/test_ha_files

check_PROGRAMS += %D%/test_ha_lease
%C%_test_ha_lease_SOURCES = %D%/test_ha_lease.c
%C%_test_ha_lease_CFLAGS = $(ha_test_cflags)
%C%_test_ha_lease_LDADD = $(HA_CORE_LIBS)
TESTS += %D%/test_ha_lease

check_PROGRAMS += %D%/test_ha_work
%C%_test_ha_work_SOURCES = %D%/test_ha_work.c
%C%_test_ha_work_CFLAGS = $(ha_test_cflags)
%C%_test_ha_work_LDADD = $(HA_CORE_LIBS)
TESTS += %D%/test_ha_work

# The stack with damaged files; an LRM and a CRM alone, where the test is all the rest.
check_PROGRAMS += %D%/test_ha_damage %D%/test_ha_lrm %D%/test_ha_crm
%C%_test_ha_damage_SOURCES = %D%/test_ha_damage.c
%C%_test_ha_damage_CFLAGS = $(ha_test_cflags)
%C%_test_ha_damage_LDADD = $(HA_SIM_LIBS)
%C%_test_ha_lrm_SOURCES = %D%/test_ha_lrm.c
%C%_test_ha_lrm_CFLAGS = $(ha_test_cflags)
%C%_test_ha_lrm_LDADD = $(HA_SIM_LIBS)
%C%_test_ha_crm_SOURCES = %D%/test_ha_crm.c
%C%_test_ha_crm_CFLAGS = $(ha_test_cflags)
%C%_test_ha_crm_LDADD = $(HA_SIM_LIBS)
TESTS += %D%/test_ha_damage %D%/test_ha_lrm %D%/test_ha_crm

check_PROGRAMS += %D%/test_sectionconf
%C%_test_sectionconf_SOURCES = %D%/test_sectionconf.c
%C%_test_sectionconf_LDADD = lib/conf/libconf.a lib/base/libbase.a $(GLIB_LIBS)
TESTS += %D%/test_sectionconf

check_PROGRAMS += %D%/test_ha_reboot
%C%_test_ha_reboot_SOURCES = %D%/test_ha_reboot.c
%C%_test_ha_reboot_CFLAGS = $(ha_test_cflags)
%C%_test_ha_reboot_LDADD = $(HA_SIM_LIBS)
TESTS += %D%/test_ha_reboot

check_PROGRAMS += %D%/test_ha_commands
%C%_test_ha_commands_SOURCES = %D%/test_ha_commands.c
%C%_test_ha_commands_CFLAGS = $(ha_test_cflags)
%C%_test_ha_commands_LDADD = $(HA_SIM_LIBS)
TESTS += %D%/test_ha_commands

# The drawings in docs/states/ha.md against the names and the scenarios.
check_PROGRAMS += %D%/test_ha_states
%C%_test_ha_states_SOURCES = %D%/test_ha_states.c
%C%_test_ha_states_CFLAGS = $(ha_test_cflags)
%C%_test_ha_states_LDADD = $(HA_CORE_LIBS)
TESTS += %D%/test_ha_states
