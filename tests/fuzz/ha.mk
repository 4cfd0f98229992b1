# SPDX-License-Identifier: Apache-2.0
fuzz_programs += %D%/fuzz_ha_rules %D%/fuzz_ha_fence %D%/fuzz_ha_files
%C%_fuzz_ha_rules_SOURCES = %D%/fuzz_ha_rules.c $(fuzz_main)
%C%_fuzz_ha_rules_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_fuzz_ha_rules_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ha_rules_LDADD = $(HA_CORE_LIBS)
%C%_fuzz_ha_fence_SOURCES = %D%/fuzz_ha_fence.c $(fuzz_main)
%C%_fuzz_ha_fence_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ha_fence_LDADD = $(HA_CORE_LIBS)
%C%_fuzz_ha_files_SOURCES = %D%/fuzz_ha_files.c $(fuzz_main)
%C%_fuzz_ha_files_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_fuzz_ha_files_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ha_files_LDADD = $(HA_SIM_LIBS)
