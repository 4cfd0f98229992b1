# SPDX-License-Identifier: Apache-2.0
# The fence protocol as a model for Spin.
check_PROGRAMS += %D%/print_timing
%C%_print_timing_SOURCES = %D%/print_timing.c
%C%_print_timing_LDADD = $(HA_CORE_LIBS)
TESTS += %D%/test_model
EXTRA_DIST += %D%/test_model %D%/ha_lease.pml
