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

check_PROGRAMS += %D%/test_event_daemon
%C%_test_event_daemon_SOURCES = %D%/test_event_daemon.c
%C%_test_event_daemon_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_event_daemon

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
check_PROGRAMS += %D%/test_stat %D%/test_stat_monitor
%C%_test_stat_SOURCES = %D%/test_stat.c
%C%_test_stat_LDADD = $(guest_run_ldadd)
%C%_test_stat_monitor_SOURCES = %D%/test_stat_monitor.c
%C%_test_stat_monitor_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_stat %D%/test_stat_monitor
THREADED_TESTS += %D%/test_stat

check_PROGRAMS += %D%/test_guest_pci
%C%_test_guest_pci_SOURCES = %D%/test_guest_pci.c
%C%_test_guest_pci_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_guest_pci

check_PROGRAMS += %D%/test_rawhead
%C%_test_rawhead_SOURCES = %D%/test_rawhead.c
%C%_test_rawhead_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_rawhead

check_PROGRAMS += %D%/test_hugeplan
%C%_test_hugeplan_SOURCES = %D%/test_hugeplan.c
%C%_test_hugeplan_LDADD = $(guest_run_ldadd)
TESTS += %D%/test_hugeplan
