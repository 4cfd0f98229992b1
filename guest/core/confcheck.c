/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/confcheck.h"

#include "guest/core/machine.h"
#include "guest/core/volid.h"
#include "lib/conf/propstring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#define IFACE_NAME_MAX 15 /* what the kernel takes, without the NUL */
#define DNS_NAME_MAX   255
#define DNS_LABEL_MAX  63
#define HV_VENDOR_MAX  12

static int refuse(const char *value, const char *what, Err *err)
{
    return err_setf(err, -EINVAL, "'%.100s' is not %s", value, what);
}

static bool only(const char *value, const char *chars)
{
    return value[0] != '\0' && value[strspn(value, chars)] == '\0';
}

/* Every part of `value` between separators passes `ok`; at least one part. */
static bool each_part(const char *value, const char *separators, bool (*ok)(const char *part))
{
    g_auto(GStrv) parts = g_strsplit_set(value, separators, -1);

    for (char **part = parts; *part != NULL; part++) {
        if (!ok(*part)) {
            return false;
        }
    }
    return value[0] != '\0';
}

/* Digits at *at, moved past; -1 when there are none or they pass `max`. */
static int take_number(const char **at, int max)
{
    int n = 0;

    if (!g_ascii_isdigit(**at)) {
        return -1;
    }
    for (; g_ascii_isdigit(**at); (*at)++) {
        n = n * 10 + (**at - '0');
        if (n > max) {
            return -1;
        }
    }
    return n;
}

/* "7" or "7-9", both within [min, max], in order. */
static bool is_range(const char *part, int min, int max)
{
    int first = take_number(&part, max);
    int last = first;

    if (part[0] == '-') {
        part++;
        last = take_number(&part, max);
    }
    return part[0] == '\0' && first >= min && last >= first;
}

/* ------------------------------------------------------------------ names */

int check_dns_name(const char *value, Err *err)
{
    static const char what[] = "a DNS name: letters, digits, '-' and dots between";
    g_auto(GStrv) labels = g_strsplit(value, ".", -1);

    if (value[0] == '\0' || strlen(value) > DNS_NAME_MAX) {
        return refuse(value, what, err);
    }
    for (char **label = labels; *label != NULL; label++) {
        size_t len = strlen(*label);
        if (len == 0 || len > DNS_LABEL_MAX || (*label)[0] == '-' || (*label)[len - 1] == '-') {
            return refuse(value, what, err);
        }
        for (size_t i = 0; i < len; i++) {
            if (!g_ascii_isalnum((*label)[i]) && (*label)[i] != '-') {
                return refuse(value, what, err);
            }
        }
    }
    return 0;
}

int check_bridge(const char *value, Err *err)
{
    if (value[0] == '\0' || value[0] == '.' || value[0] == '-' || strlen(value) > IFACE_NAME_MAX ||
        strpbrk(value, " \t/:;,'\"\\") != NULL) {
        return refuse(value, "an interface name of at most 15 characters", err);
    }
    return 0;
}

int check_mapping_id(const char *value, Err *err)
{
    bool ok = g_ascii_isalpha(value[0]) && value[1] != '\0';

    for (const char *c = value; *c != '\0'; c++) {
        ok = ok && (g_ascii_isalnum(*c) || *c == '_' || *c == '-');
    }
    return ok ? 0 : refuse(value, "a mapping name: a letter, then letters, digits, '_', '-'", err);
}

int check_cpu_model(const char *value, Err *err)
{
    bool ok = g_ascii_isalnum(value[0]);

    for (const char *c = value; *c != '\0'; c++) {
        ok = ok && (g_ascii_isalnum(*c) || strchr("._-", *c) != NULL);
    }
    return ok ? 0 : refuse(value, "a CPU model name", err);
}

int check_file_name(const char *value, Err *err)
{
    if (value[0] == '\0' || value[0] == '.' || strchr(value, '/') != NULL) {
        return refuse(value, "a plain file name", err);
    }
    return 0;
}

static bool is_tag(const char *part)
{
    if (!g_ascii_isalnum(part[0]) && part[0] != '_') {
        return false;
    }
    for (const char *c = part + 1; *c != '\0'; c++) {
        if (!g_ascii_isalnum(*c) && strchr("_+.-", *c) == NULL) {
            return false;
        }
    }
    return true;
}

int check_tags(const char *value, Err *err)
{
    if (value[0] != '\0' && !each_part(value, ";, ", is_tag)) {
        return refuse(value, "a list of tags (letters, digits, '_', '+', '.', '-') with ';'", err);
    }
    return 0;
}

/* -------------------------------------------------------------- addresses */

int check_mac(const char *value, Err *err)
{
    bool ok = strlen(value) == 17;

    for (int i = 0; ok && i < 17; i++) {
        ok = i % 3 == 2 ? value[i] == ':' : g_ascii_isxdigit(value[i]);
    }
    if (!ok) {
        return refuse(value, "a MAC address like BC:24:11:0A:0B:0C", err);
    }
    if (g_ascii_xdigit_value(value[1]) & 1) {
        return refuse(value, "a unicast MAC address (its first byte is odd)", err);
    }
    return 0;
}

static bool is_address(int family, const char *text)
{
    unsigned char bytes[16];

    return inet_pton(family, text, bytes) == 1;
}

static bool is_cidr(int family, const char *value)
{
    g_autofree char *copy = g_strdup(value);
    char *slash = strchr(copy, '/');
    const char *bits;

    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    bits = slash + 1;
    return is_address(family, copy) && take_number(&bits, family == AF_INET ? 32 : 128) >= 0 &&
           bits[0] == '\0';
}

int check_ipv4(const char *value, Err *err)
{
    return is_address(AF_INET, value) ? 0 : refuse(value, "an IPv4 address", err);
}

int check_ipv6(const char *value, Err *err)
{
    return is_address(AF_INET6, value) ? 0 : refuse(value, "an IPv6 address", err);
}

int check_ipv4_config(const char *value, Err *err)
{
    if (strcmp(value, "dhcp") == 0 || is_cidr(AF_INET, value)) {
        return 0;
    }
    return refuse(value, "'dhcp' or an IPv4 address with its prefix length", err);
}

int check_ipv6_config(const char *value, Err *err)
{
    if (strcmp(value, "dhcp") == 0 || strcmp(value, "auto") == 0 || is_cidr(AF_INET6, value)) {
        return 0;
    }
    return refuse(value, "'dhcp', 'auto' or an IPv6 address with its prefix length", err);
}

static bool is_uuid(const char *value)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(value) != strlen(shape)) {
        return false;
    }
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == '-' ? value[i] != '-' : !g_ascii_isxdigit(value[i])) {
            return false;
        }
    }
    return true;
}

int check_uuid(const char *value, Err *err)
{
    return is_uuid(value) ? 0 : refuse(value, "a UUID", err);
}

int check_vmgenid(const char *value, Err *err)
{
    if (strcmp(value, "0") == 0 || strcmp(value, "1") == 0 || is_uuid(value)) {
        return 0;
    }
    return refuse(value, "a UUID, 1 (generate one) or 0 (none)", err);
}

/* --------------------------------------------------------- lists and sets */

static bool is_vlan_range(const char *part)
{
    return is_range(part, 1, 4094);
}

int check_trunks(const char *value, Err *err)
{
    return each_part(value, ";", is_vlan_range)
               ? 0
               : refuse(value, "a list of VLAN ids and ranges (1..4094) with ';'", err);
}

#define CPU_INDEX_MAX 8191 /* more than any kernel is built for */

static bool is_cpu_range(const char *part)
{
    return is_range(part, 0, CPU_INDEX_MAX);
}

int check_cpu_list(const char *value, Err *err)
{
    return each_part(value, ",", is_cpu_range)
               ? 0
               : refuse(value, "a list of CPU numbers and ranges with ','", err);
}

int check_cpu_set(const char *value, Err *err)
{
    return each_part(value, ";", is_cpu_range)
               ? 0
               : refuse(value, "a list of numbers and ranges with ';'", err);
}

static bool is_cpu_flag(const char *part)
{
    if (part[0] != '+' && part[0] != '-') {
        return false;
    }
    if (!g_ascii_isalnum(part[1])) {
        return false;
    }
    for (const char *c = part + 1; *c != '\0'; c++) {
        if (!g_ascii_isalnum(*c) && strchr("_.-", *c) == NULL) {
            return false;
        }
    }
    return true;
}

int check_cpu_flags(const char *value, Err *err)
{
    return value[0] == '\0' || each_part(value, ";", is_cpu_flag)
               ? 0
               : refuse(value, "a list of +flag and -flag with ';'", err);
}

static bool is_hotplug_word(const char *part)
{
    static const char *const words[] = {"network",   "disk", "usb", "cpu", "memory",
                                        "cloudinit", "0",    "1",   "",    NULL};

    return g_strv_contains(words, part);
}

int check_hotplug(const char *value, Err *err)
{
    if (value[0] == '\0' || each_part(value, ",; ", is_hotplug_word)) {
        return 0;
    }
    return refuse(value, "0, 1 or a list of network disk usb cpu memory cloudinit", err);
}

int check_boot_legacy(const char *value, Err *err)
{
    if (value[0] == '\0' || (strlen(value) <= 4 && only(value, "acdn"))) {
        return 0;
    }
    return refuse(value, "'order=DEVICE;DEVICE' or up to four of the letters a c d n", err);
}

/* ---------------------------------------------------------------- devices */

int check_hex4(const char *value, Err *err)
{
    size_t digits = g_str_has_prefix(value, "0x") ? strlen(value + 2) : 0;

    if (digits == 0 || digits > 4 || !only(value + 2, "0123456789abcdefABCDEF")) {
        return refuse(value, "0x and up to four hexadecimal digits", err);
    }
    return 0;
}

int check_wwn(const char *value, Err *err)
{
    if (strlen(value) != 18 || !g_str_has_prefix(value, "0x") ||
        !only(value + 2, "0123456789abcdefABCDEF")) {
        return refuse(value, "0x and 16 hexadecimal digits", err);
    }
    return 0;
}

int check_hv_vendor(const char *value, Err *err)
{
    bool ok = value[0] != '\0' && strlen(value) <= HV_VENDOR_MAX;

    for (const char *c = value; *c != '\0'; c++) {
        ok = ok && g_ascii_isalnum(*c);
    }
    return ok ? 0 : refuse(value, "1 to 12 letters and digits", err);
}

int check_phys_bits(const char *value, Err *err)
{
    const char *at = value;

    if (strcmp(value, "host") == 0 || (take_number(&at, 64) >= 8 && at[0] == '\0')) {
        return 0;
    }
    return refuse(value, "8..64 or 'host'", err);
}

/* xdigits, `min` to `max` of them, moved past. */
static bool take_hex(const char **at, size_t min, size_t max)
{
    size_t n = strspn(*at, "0123456789abcdefABCDEF");

    *at += n;
    return n >= min && n <= max;
}

static bool is_pci_address(const char *part)
{
    const char *at = part;

    if (strlen(part) > 32) {
        return false;
    }
    /* domain:bus:slot.function; domain and function may be left out */
    if (strchr(part, ':') != strrchr(part, ':') && (!take_hex(&at, 4, 8) || *at++ != ':')) {
        return false;
    }
    if (!take_hex(&at, 2, 2) || *at++ != ':' || !take_hex(&at, 2, 2)) {
        return false;
    }
    if (at[0] == '.') {
        at++;
        return take_hex(&at, 1, 1) && at[0] == '\0';
    }
    return at[0] == '\0';
}

int check_pci_list(const char *value, Err *err)
{
    return each_part(value, ";", is_pci_address)
               ? 0
               : refuse(value, "a list of PCI addresses like 01:00.0 with ';'", err);
}

static bool is_usb_id(const char *value)
{
    const char *at = g_str_has_prefix(value, "0x") ? value + 2 : value;

    if (!take_hex(&at, 4, 4) || *at++ != ':') {
        return false;
    }
    at += g_str_has_prefix(at, "0x") ? 2 : 0;
    return take_hex(&at, 4, 4) && at[0] == '\0';
}

static bool is_usb_port(const char *value)
{
    const char *at = value;

    if (take_number(&at, 999) < 0 || *at++ != '-') {
        return false;
    }
    for (;;) {
        if (take_number(&at, 999) < 0) {
            return false;
        }
        if (at[0] != '.') {
            return at[0] == '\0';
        }
        at++;
    }
}

int check_usb_host(const char *value, Err *err)
{
    if (g_ascii_strcasecmp(value, "spice") == 0 || is_usb_id(value) || is_usb_port(value)) {
        return 0;
    }
    return refuse(value, "VENDOR:PRODUCT in hexadecimal, BUS-PORT, or 'spice'", err);
}

static bool is_device_path(const char *value)
{
    return g_str_has_prefix(value, "/dev/") && strstr(value, "..") == NULL;
}

int check_serial_device(const char *value, Err *err)
{
    if (strcmp(value, "socket") == 0 || is_device_path(value)) {
        return 0;
    }
    return refuse(value, "'socket' or a device below /dev", err);
}

int check_parallel_device(const char *value, Err *err)
{
    if (g_str_has_prefix(value, "/dev/parport") || g_str_has_prefix(value, "/dev/usb/lp")) {
        return is_device_path(value) ? 0 : refuse(value, "a device below /dev", err);
    }
    return refuse(value, "/dev/parportN or /dev/usb/lpN", err);
}

/* ----------------------------------------------------------------- others */

/* "now", "2006-06-17T16:01:21" or "2006-06-17" */
int check_date(const char *value, Err *err)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    size_t len = strlen(value);
    bool ok = len == 10 || len == strlen(shape);

    if (strcmp(value, "now") == 0) {
        return 0;
    }
    for (size_t i = 0; ok && i < len; i++) {
        ok = shape[i] == 'd' ? g_ascii_isdigit(value[i]) : value[i] == shape[i];
    }
    return ok ? 0 : refuse(value, "'now', a date 2006-06-17 or a time 2006-06-17T16:01:21", err);
}

int check_machine_type(const char *value, Err *err)
{
    Machine machine;

    return machine_parse(value, &machine, err);
}

int check_volume(const char *value, Err *err)
{
    return volid_check(value, err);
}

int check_bootdisk(const char *value, Err *err)
{
    static const char *const buses[] = {"ide", "sata", "scsi", "virtio"};

    for (size_t i = 0; i < G_N_ELEMENTS(buses); i++) {
        if (g_str_has_prefix(value, buses[i]) && only(value + strlen(buses[i]), "0123456789") &&
            strlen(value) <= 8) {
            return 0;
        }
    }
    return refuse(value, "the name of a disk, such as scsi0", err);
}
