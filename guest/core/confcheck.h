/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confcheck: rules for single values that a kind and limits cannot express: addresses, names,
 * lists. Each returns 0, or -EINVAL with the rule in words. Pure; any thread.
 */
#ifndef GUEST_CORE_CONFCHECK_H
#define GUEST_CORE_CONFCHECK_H

#include "lib/base/err.h"

#include <stdbool.h>

int check_boot_legacy(const char *value, Err *err) must_check; /* up to 4 of a c d n */
int check_bootdisk(const char *value, Err *err) must_check;    /* name of a disk */
int check_bridge(const char *value, Err *err) must_check;      /* interface name */
int check_cpu_flags(const char *value, Err *err) must_check;   /* +aes;-pcid */
int check_cpu_list(const char *value, Err *err) must_check;    /* 0-3,8 */
int check_cpu_model(const char *value, Err *err) must_check;   /* letters digits . _ - */
int check_cpu_set(const char *value, Err *err) must_check;     /* 0-3;8 */
int check_date(const char *value, Err *err) must_check;        /* now | date | date and time */
int check_dns_name(const char *value, Err *err) must_check;    /* labels with dots */
int check_file_name(const char *value, Err *err) must_check;   /* no slash, not hidden */
int check_hex4(const char *value, Err *err) must_check;        /* 0x1234 */
int check_hotplug(const char *value, Err *err) must_check;     /* 0, 1, or a list of features */
int check_hv_vendor(const char *value, Err *err) must_check;   /* up to 12 characters */
int check_ipv4_config(const char *value, Err *err) must_check; /* cidr | dhcp */
int check_ipv4(const char *value, Err *err) must_check;
int check_ipv6_config(const char *value, Err *err) must_check; /* cidr | dhcp | auto */
int check_ipv6(const char *value, Err *err) must_check;
int check_mac(const char *value, Err *err) must_check;             /* unicast AA:BB:CC:DD:EE:FF */
int check_machine_type(const char *value, Err *err) must_check;    /* pc, q35, pc-q35-7.2 ... */
int check_mapping_id(const char *value, Err *err) must_check;      /* letter, letters digits _ - */
int check_pci_list(const char *value, Err *err) must_check;        /* 01:00.0;01:00.1 */
int check_phys_bits(const char *value, Err *err) must_check;       /* 8..64 or host */
int check_serial_device(const char *value, Err *err) must_check;   /* socket or /dev/... */
int check_parallel_device(const char *value, Err *err) must_check; /* /dev/parport0 ... */
int check_tags(const char *value, Err *err) must_check;            /* a;b */
int check_trunks(const char *value, Err *err) must_check;          /* 10-20;30 */
int check_usb_host(const char *value, Err *err) must_check;        /* 1234:abcd | 1-2.3 | spice */
int check_uuid(const char *value, Err *err) must_check;
int check_vmgenid(const char *value, Err *err) must_check; /* uuid, 0 or 1 */
int check_volume(const char *value, Err *err) must_check;  /* volume id, path, none, cdrom */
int check_wwn(const char *value, Err *err) must_check;     /* 0x and 16 hex digits */

#endif
