/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/drive.h"

#include "guest/core/confschema.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(drive_bus, DriveBus, DRIVE_BUS_LIST, DRIVE_BUS_N)

#define MIB        1048576.0
#define SERIAL_MAX 20 /* what a SCSI inquiry and an ATA identify page hold */

/* The three directions of a limit: in configuration keys, and in QEMU's words. */
static const struct LimitDirection {
    const char *suffix;
    const char *qemu;
} directions[] = {{"", "-total"}, {"_rd", "-read"}, {"_wr", "-write"}};

static bool is_disk(const Drive *d)
{
    return d->bus != DRIVE_EFIDISK && d->bus != DRIVE_TPMSTATE;
}

/* Value of a key that only disks have; NULL for the others. */
static const char *disk_text(const Drive *d, const char *key)
{
    return is_disk(d) ? propstring_text(d->props, key) : NULL;
}

/* The limit "KINDsuffix" as number; 0 when it is not set. */
static double limit_value(const Drive *d, const char *kind, const char *suffix, const char *rest)
{
    g_autofree char *key = g_strconcat(kind, suffix, rest, NULL);
    const char *text = propstring_text(d->props, key);

    return text != NULL ? g_ascii_strtod(text, NULL) : 0;
}

/* The same for a rate (`rest` is "") or burst ("_max"); `bps` is `mbps` in bytes, without bursts
 * of its own. */
static bool has_limit(const Drive *d, bool iops, const char *suffix, const char *rest)
{
    if (iops) {
        return limit_value(d, "iops", suffix, rest) > 0;
    }
    return limit_value(d, "mbps", suffix, rest) > 0 ||
           (rest[0] == '\0' && limit_value(d, "bps", suffix, rest) > 0);
}

static int check_limits(const Drive *d, Err *err)
{
    static const char *const rests[] = {"", "_max"};

    for (int iops = 0; iops < 2; iops++) {
        for (size_t m = 0; m < G_N_ELEMENTS(rests); m++) {
            if (has_limit(d, iops, "", rests[m]) &&
                (has_limit(d, iops, "_rd", rests[m]) || has_limit(d, iops, "_wr", rests[m]))) {
                return err_setf(err, -EINVAL, "%s: '%s%s' and its _rd and _wr exclude each other",
                                d->name, iops ? "iops" : "mbps", rests[m]);
            }
        }
    }
    return 0;
}

static int check_cdrom(const Drive *d, Err *err)
{
    static const char *const excluded[] = {"snapshot", "format"};

    if (d->bus == DRIVE_VIRTIO) {
        return err_setf(err, -EINVAL, "%s: a CD drive cannot be on the virtio bus", d->name);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(excluded); i++) {
        if (propstring_text(d->props, excluded[i]) != NULL && !d->cloudinit) {
            return err_setf(err, -EINVAL, "%s: '%s' is not for CD drives", d->name, excluded[i]);
        }
    }
    return 0;
}

static int check_drive(const Drive *d, Err *err)
{
    const char *serial = disk_text(d, "serial");
    int r = 0;

    if (d->cdrom) {
        r = check_cdrom(d, err);
    } else if (d->volid.kind != VOLID_VOLUME && d->volid.kind != VOLID_PATH) {
        return err_setf(err, -EINVAL, "%s: '%s' is only for CD drives (media=cdrom)", d->name,
                        d->volid.rest);
    }
    if (r == 0 && is_disk(d)) {
        r = check_limits(d, err);
    }
    if (r == 0 && serial != NULL) {
        g_autofree char *decoded = NULL;
        r = drive_decode_text(serial, &decoded, err);
        if (r == 0 && strlen(decoded) > SERIAL_MAX) {
            r = err_setf(err, -EINVAL, "serial: '%s' is longer than %d bytes", decoded, SERIAL_MAX);
        }
        if (r < 0) {
            return err_wrapf(err, r, "%s", d->name);
        }
    }
    return r;
}

/* "vm-100-cloudinit", with or without folder and suffix */
static bool is_cloudinit(const Volid *v)
{
    const char *leaf;
    size_t digits;

    if (v->kind != VOLID_VOLUME) {
        return false;
    }
    leaf = strrchr(v->rest, '/') != NULL ? strrchr(v->rest, '/') + 1 : v->rest;
    if (!g_str_has_prefix(leaf, "vm-")) {
        return false;
    }
    leaf += strlen("vm-");
    digits = strspn(leaf, "0123456789");
    return digits > 0 && g_str_has_prefix(leaf + digits, "-cloudinit") &&
           strchr(".", leaf[digits + strlen("-cloudinit")]) != NULL;
}

static int read_drive(Drive *d, Err *err)
{
    const char *media = disk_text(d, "media");
    int r = volid_parse(propstring_text(d->props, "file"), &d->volid, err);

    if (r < 0) {
        return err_wrapf(err, r, "%s", d->name);
    }
    d->cloudinit = is_disk(d) && is_cloudinit(&d->volid);
    d->cdrom = media != NULL && strcmp(media, "cdrom") == 0;
    return check_drive(d, err);
}

int drives_list(const GuestConf *gc, bool disks_only, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);

    for (int bus = 0; bus < (disks_only ? DRIVE_EFIDISK : DRIVE_BUS_N); bus++) {
        const char *bus_name = drive_bus_name((DriveBus)bus);
        g_autofree char *first = g_strdup_printf("%s0", bus_name);
        const ConfOption *option = confschema_find(first, NULL);

        assert(option != NULL);
        for (int i = 0; i < option->count; i++) {
            const PropString *props = guestconf_props_at(gc, bus_name, i);
            g_autofree Drive *d = NULL;
            int r;
            if (props == NULL) {
                continue;
            }
            d = g_new0(Drive, 1);
            *d = (Drive){.bus = (DriveBus)bus, .index = i, .props = props};
            (void)g_snprintf(d->name, sizeof d->name, "%s%d", bus_name, i); /* at most 9 bytes */
            r = read_drive(d, err);
            if (r < 0) {
                return r;
            }
            g_ptr_array_add(list, g_steal_pointer(&d));
        }
    }
    *ret = g_steal_pointer(&list);
    return 0;
}

/* ----------------------------------------------------------------- limits */

/* QEMU's name of each limit, by kind (bps, iops), direction and what it limits. */
static const char *limit_name(bool iops, size_t direction, int what)
{
    static const char *const names[2][G_N_ELEMENTS(directions)][3] = {
        {{"bps-total", "bps-total-max", "bps-total-max-length"},
         {"bps-read", "bps-read-max", "bps-read-max-length"},
         {"bps-write", "bps-write-max", "bps-write-max-length"}},
        {{"iops-total", "iops-total-max", "iops-total-max-length"},
         {"iops-read", "iops-read-max", "iops-read-max-length"},
         {"iops-write", "iops-write-max", "iops-write-max-length"}},
    };

    return names[iops ? 1 : 0][direction][what];
}

static void add_limit(GArray *list, bool iops, size_t direction, int what, double value)
{
    if (value >= 1) {
        DriveLimit limit = {limit_name(iops, direction, what), (int64_t)value};
        g_array_append_val(list, limit);
    }
}

GArray *drive_limits(const Drive *d)
{
    static const char *const rests[] = {"", "_max", "_max_length"};
    GArray *list = g_array_new(FALSE, FALSE, sizeof(DriveLimit));

    for (size_t dir = 0; is_disk(d) && dir < G_N_ELEMENTS(directions); dir++) {
        const char *suffix = directions[dir].suffix;
        for (int what = 0; what < 2; what++) {
            double bytes = limit_value(d, "mbps", suffix, rests[what]) * MIB;
            if (bytes < 1 && what == 0) {
                bytes = limit_value(d, "bps", suffix, "");
            }
            add_limit(list, false, dir, what, bytes);
        }
        add_limit(list, false, dir, 2, limit_value(d, "bps", suffix, rests[2]));
        for (int what = 0; what < 3; what++) {
            add_limit(list, true, dir, what, limit_value(d, "iops", suffix, rests[what]));
        }
    }
    return list;
}

/* The shortest text that drive_limits reads as these bytes again. Caller frees. */
static char *mbps_text(double bytes)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    char format[] = "%.0f";

    /* A bit more than the bytes: it is cut when read. Seven digits tell bytes apart. */
    for (; format[2] <= '7'; format[2]++) {
        (void)g_ascii_formatd(text, sizeof text, format, (bytes + 0.25) / MIB);
        if ((int64_t)(g_ascii_strtod(text, NULL) * MIB) == (int64_t)bytes) {
            break;
        }
    }
    return g_strdup(text);
}

int drive_limits_to_mbps(PropString *props, Err *err)
{
    for (size_t dir = 0; dir < G_N_ELEMENTS(directions); dir++) {
        g_autofree char *bps = g_strconcat("bps", directions[dir].suffix, NULL);
        g_autofree char *mbps = g_strconcat("m", bps, NULL);
        g_autofree char *text = NULL;
        int r;

        if (propstring_text(props, bps) == NULL) {
            continue;
        }
        if (propstring_text(props, mbps) != NULL) {
            return err_setf(err, -EINVAL, "'%s' and '%s' are the same limit", bps, mbps);
        }
        text = mbps_text(propstring_number(props, bps));
        r = propstring_set(props, mbps, text, err);
        if (r < 0) {
            return r;
        }
        propstring_unset(props, bps);
    }
    return 0;
}

int drive_decode_text(const char *text, char **ret, Err *err)
{
    g_autofree char *decoded = g_uri_unescape_string(text, NULL);

    if (decoded == NULL || !g_utf8_validate(decoded, -1, NULL)) {
        return err_setf(err, -EINVAL, "'%.60s' is not URL-encoded text", text);
    }
    for (const char *c = decoded; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return err_setf(err, -EINVAL, "'%.60s' holds a control character", text);
        }
    }
    *ret = g_steal_pointer(&decoded);
    return 0;
}

/* -------------------------------------------------------------- boot order */

#define BOOTINDEX_FIRST 100 /* leaves room for devices that `args` puts before ours */
#define LEGACY_DEFAULT  "cdn"

static void put(GHashTable *order, const char *name, int index)
{
    g_hash_table_replace(order, g_strdup(name), GINT_TO_POINTER(index));
}

/* `order=scsi0;net0`: 100, 101, ... */
static void order_by_list(const char *list, GHashTable *order)
{
    g_auto(GStrv) names = g_strsplit_set(list, ";, ", -1);
    int index = BOOTINDEX_FIRST;

    for (char **name = names; *name != NULL; name++) {
        if (**name != '\0') {
            put(order, *name, index++);
        }
    }
}

/* Letters: c is the disk named by `bootdisk`, d the CD drives, n the network cards. The place of
 * the letter gives the hundred; each device of a kind takes the next number, also disks that are
 * not the boot disk. */
static int order_by_letters(const GuestConf *gc, const char *letters, GHashTable *order, Err *err)
{
    g_autoptr(GPtrArray) drives = NULL;
    const char *bootdisk = guestconf_text(gc, "bootdisk");
    int next[128] = {0};
    int r = drives_list(gc, true, &drives, err);

    if (r < 0) {
        return r;
    }
    for (int i = 0; letters[i] != '\0'; i++) {
        next[(unsigned char)letters[i] & 127] = (i + 1) * 100;
    }
    for (guint i = 0; i < drives->len; i++) {
        const Drive *d = drives->pdata[i];
        bool cd = d->cdrom && !d->cloudinit;
        int *index = &next[cd ? 'd' : 'c'];
        if (*index == 0) {
            continue;
        }
        if (cd || (bootdisk != NULL && strcmp(bootdisk, d->name) == 0)) {
            put(order, d->name, *index);
        }
        (*index)++;
    }
    for (int i = 0; next['n'] != 0 && i < confschema_find("net0", NULL)->count; i++) {
        g_autofree char *name = g_strdup_printf("net%d", i);
        if (guestconf_has(gc, name)) {
            put(order, name, next['n']++);
        }
    }
    return 0;
}

int boot_order(const GuestConf *gc, GHashTable **ret, Err *err)
{
    g_autoptr(GHashTable) order = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const PropString *boot = guestconf_props(gc, "boot");
    const char *legacy = boot != NULL ? propstring_text(boot, "legacy") : LEGACY_DEFAULT;
    int r = 0;

    if (legacy != NULL && legacy[0] != '\0') {
        r = order_by_letters(gc, legacy, order, err);
    } else if (boot != NULL && propstring_text(boot, "order") != NULL) {
        order_by_list(propstring_text(boot, "order"), order);
    }
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&order);
    return 0;
}
