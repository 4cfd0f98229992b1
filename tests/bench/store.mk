# SPDX-License-Identifier: Apache-2.0
# make tests/bench/bench_store && tests/bench/bench_store DIR
EXTRA_PROGRAMS += %D%/bench_store
%C%_bench_store_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
%C%_bench_store_SOURCES = %D%/bench_store.c
%C%_bench_store_LDADD = tests/lib/libstoretest.a $(store_libs)
