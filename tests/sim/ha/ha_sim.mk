# SPDX-License-Identifier: Apache-2.0
# The whole HA stack in one process, on a virtual clock.
check_PROGRAMS += tests/sim/sim_ha
tests_sim_sim_ha_SOURCES = %D%/hasafe.c %D%/hasafe.h %D%/hasafe_agent.c %D%/hasafe_env.c \
	%D%/hasafe_fault.c %D%/hasafe_fence.c %D%/hasafe_flaps.c %D%/hasafe_json.c %D%/hasafe_node.c \
	%D%/hasafe_share.c %D%/hasafe_task.c %D%/hasafe_tree.c %D%/sim_ha.c
tests_sim_sim_ha_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_sim_sim_ha_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=ha_json_parse_object \
	-Wl,--wrap=ha_lrm_status_free,--wrap=ha_lrm_status_parse,--wrap=ha_manager_new \
	-Wl,--wrap=ha_manager_status_free,--wrap=ha_manager_status_parse
tests_sim_sim_ha_LDADD = $(HA_IO_LIBS)
TESTS += tests/sim/test_sim_ha
EXTRA_DIST += tests/sim/test_sim_ha
