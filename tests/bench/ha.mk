# SPDX-License-Identifier: Apache-2.0
# make tests/bench/bench_ha && tests/bench/bench_ha
EXTRA_PROGRAMS += %D%/bench_ha
%C%_bench_ha_SOURCES = %D%/bench_ha.c
%C%_bench_ha_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_bench_ha_LDADD = $(HA_SIM_LIBS)
