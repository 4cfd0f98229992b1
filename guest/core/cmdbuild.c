/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/cmdbuild.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

static void add(GPtrArray *list, const char *option, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void add(GPtrArray *list, const char *option, const char *fmt, va_list ap)
{
    g_ptr_array_add(list, g_strdup(option));
    g_ptr_array_add(list, g_strdup_vprintf(fmt, ap));
}

void cmd_option(CmdBuild *b, const char *option, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(b->options, option, fmt, ap);
    va_end(ap);
}

void cmd_flag(CmdBuild *b, const char *option)
{
    g_ptr_array_add(b->options, g_strdup(option));
}

void cmd_device_option(CmdBuild *b, const char *option, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(b->devices, option, fmt, ap);
    va_end(ap);
}

void cmd_device(CmdBuild *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(b->devices, "-device", fmt, ap);
    va_end(ap);
}

void cmd_front_device(CmdBuild *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(b->front_devices, "-device", fmt, ap);
    va_end(ap);
}

void cmd_first_device(CmdBuild *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_insert(b->front_devices, 0, g_strdup_vprintf(fmt, ap));
    g_ptr_array_insert(b->front_devices, 0, g_strdup("-device"));
    va_end(ap);
}

void cmd_machine_flag(CmdBuild *b, const char *flag)
{
    g_ptr_array_add(b->machine_flags, g_strdup(flag));
}

void cmd_warn(CmdBuild *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(b->warnings, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

char *cmd_escape(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

bool cmd_machine(const CmdBuild *b, int major, int minor, int revision)
{
    return machine_at_least(&b->machine, major, minor, revision);
}

bool cmd_qemu(const CmdBuild *b, int major, int minor)
{
    return qemu_version_at_least(&b->host->qemu, major, minor);
}

bool cmd_is_q35(const CmdBuild *b)
{
    return b->machine.family == MACHINE_Q35;
}

char *cmd_bootindex(const CmdBuild *b, const char *device)
{
    int index = GPOINTER_TO_INT(g_hash_table_lookup(b->boot, device));

    return index > 0 ? g_strdup_printf(",bootindex=%d", index) : g_strdup("");
}

/* ---------------------------------------------------------------- PCI map */

/* Where each device sits. A guest finds its devices by these addresses and a migration compares
 * them: rows are added, never changed. Reference guest.md section 7. */
static const struct PciRow {
    const char *name; /* without index when count > 0 */
    int first;
    int count;
    int bus;
    int addr;
} pci_rows[] = {
    {"piix3", 0, 0, 0, 1},
    {"ehci", 0, 0, 0, 1}, /* in the place of piix3 on virt */
    {"vga", 0, 0, 0, 2},
    {"legacy-igd", 0, 0, 0, 2},
    {"balloon", 0, 1, 0, 3},
    {"watchdog", 0, 0, 0, 4},
    {"scsihw", 0, 2, 0, 5},
    {"pci.3", 0, 0, 0, 5}, /* there is no scsihw0 when there is a pci.3 */
    {"ahci", 0, 1, 0, 7},
    {"qga", 0, 1, 0, 8},
    {"spice", 0, 0, 0, 9},
    {"virtio", 0, 6, 0, 10},
    {"hostpci", 0, 2, 0, 16},
    {"net", 0, 6, 0, 18},
    {"vga", 1, 3, 0, 24},
    {"hostpci", 2, 2, 0, 27},
    {"pci.1", 0, 0, 0, 30},
    {"pci.2", 0, 0, 0, 31},
    {"net", 6, 26, 1, 1},
    {"xhci", 0, 0, 1, 27},
    {"pci.4", 0, 0, 1, 28},
    {"rng", 0, 1, 1, 29},
    {"pci.2-igd", 0, 0, 1, 30}, /* Intel graphics want the ISA bridge at 31 */
    {"virtio", 6, 10, 2, 1},
    {"ivshmem", 0, 0, 2, 11},
    {"audio", 0, 1, 2, 12},
    {"hostpci", 4, 12, 2, 13},
    {"virtioscsi", 0, 31, 3, 1},
    {"scsihw", 2, 3, 4, 1},
};

/* "net12" -> "net" and 12; -1 when there are no digits at the end. */
static int split_index(const char *id, size_t *ret_len)
{
    size_t len = strlen(id);

    *ret_len = len;
    while (*ret_len > 0 && g_ascii_isdigit(id[*ret_len - 1])) {
        (*ret_len)--;
    }
    return *ret_len < len ? (int)g_ascii_strtoll(id + *ret_len, NULL, 10) : -1;
}

bool pci_slot(const char *id, int *ret_bus, int *ret_addr)
{
    size_t len;
    int index = split_index(id, &len);

    for (size_t i = 0; i < G_N_ELEMENTS(pci_rows); i++) {
        const struct PciRow *row = &pci_rows[i];
        bool found;
        if (row->count == 0) {
            found = strcmp(row->name, id) == 0;
        } else {
            found = index >= row->first && index < row->first + row->count &&
                    strlen(row->name) == len && strncmp(row->name, id, len) == 0;
        }
        if (found) {
            *ret_bus = row->bus;
            *ret_addr = row->addr + (row->count > 0 ? index - row->first : 0);
            return true;
        }
    }
    return false;
}

char *cmd_pci_addr(CmdBuild *b, const char *id)
{
    int bus = 0;
    int addr = 0;
    bool found = pci_slot(id, &bus, &addr);

    assert(found); /* every device of the option table has a row */
    b->bridges |= 1u << bus;
    return g_strdup_printf(",bus=%s.%d,addr=0x%x",
                           b->machine.family == MACHINE_VIRT && bus == 0 ? "pcie" : "pci", bus,
                           (unsigned)addr);
}

char *cmd_pci_addr_at(CmdBuild *b, const char *name, int index)
{
    g_autofree char *id = g_strdup_printf("%s%d", name, index);

    return cmd_pci_addr(b, id);
}
