# SPDX-License-Identifier: Apache-2.0
# Tests of running guests.
check_PROGRAMS += %D%/test_netplan
%C%_test_netplan_SOURCES = %D%/test_netplan.c
%C%_test_netplan_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_netplan

check_PROGRAMS += %D%/test_guest_proc
%C%_test_guest_proc_SOURCES = %D%/test_guest_proc.c
%C%_test_guest_proc_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_guest_proc

check_PROGRAMS += %D%/test_snapplan
%C%_test_snapplan_SOURCES = %D%/test_snapplan.c
%C%_test_snapplan_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_snapplan

check_PROGRAMS += %D%/test_hotplan
%C%_test_hotplan_SOURCES = %D%/test_hotplan.c
%C%_test_hotplan_LDADD = $(guest_core_ldadd)
TESTS += %D%/test_hotplan

check_PROGRAMS += %D%/test_guest_scope
%C%_test_guest_scope_SOURCES = %D%/test_guest_scope.c
%C%_test_guest_scope_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_guest_scope
