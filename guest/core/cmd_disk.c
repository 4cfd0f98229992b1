/* SPDX-License-Identifier: Apache-2.0 */
/* Disks, CD drives and their controllers. Reference guest.md sections 5 to 7. */
#include "guest/core/blockdev.h"
#include "guest/core/cmdbuild.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SATA_PER_CONTROLLER   6
#define LSI_PER_CONTROLLER    7
#define SCSI_PER_CONTROLLER   256
#define SCSI_OLD_MACHINES_MAX 14

typedef struct DiskBuild {
    CmdBuild *b;
    const Drive *d;
    VolumeSource *source; /* NULL: empty CD drive */
    DiskOptions o;
    GArray *limits;
} DiskBuild;

/* -------------------------------------------------------------- controllers */

typedef struct ScsiPlace {
    const char *prefix; /* "scsihw" or "virtioscsi" */
    int controller;
    int unit;
    bool one_lun; /* the unit is the SCSI id; else id 0 and the unit is the LUN */
} ScsiPlace;

static ScsiPlace scsi_place(const CmdBuild *b, int index)
{
    const char *hw = guestconf_text(b->conf, "scsihw");
    bool single = strcmp(hw, "virtio-scsi-single") == 0;
    bool lsi = g_str_has_prefix(hw, "lsi");
    int per = lsi ? LSI_PER_CONTROLLER : single ? 1 : SCSI_PER_CONTROLLER;

    return (ScsiPlace){.prefix = single ? "virtioscsi" : "scsihw",
                       .controller = index / per,
                       .unit = lsi ? index % per : index,
                       .one_lun = lsi || strcmp(hw, "pvscsi") == 0};
}

static const char *scsi_device_name(const char *hw)
{
    if (strcmp(hw, "virtio-scsi-single") == 0) {
        return "virtio-scsi-pci";
    }
    return hw;
}

static int add_scsi_controller(DiskBuild *k, GHashTable *made, Err *err)
{
    CmdBuild *b = k->b;
    const char *hw = guestconf_text(b->conf, "scsihw");
    bool single = strcmp(hw, "virtio-scsi-single") == 0;
    ScsiPlace place = scsi_place(b, k->d->index);
    g_autofree char *id = g_strdup_printf("%s%d", place.prefix, place.controller);
    const char *queues = propstring_text(k->d->props, "queues");
    bool thread = propstring_bool(k->d->props, "iothread");
    g_autofree char *addr = NULL;

    if (k->d->index >= SCSI_OLD_MACHINES_MAX && !cmd_machine(b, 4, 1, 2)) {
        return err_setf(err, -ENOTSUP,
                        "%s: more than %d SCSI disks need machine version 4.1+pve2 or newer",
                        k->d->name, SCSI_OLD_MACHINES_MAX);
    }
    if (thread && !single) {
        cmd_warn(b, "%s: iothread is only for virtio disks and scsihw virtio-scsi-single, ignored",
                 k->d->name);
    }
    if (!g_hash_table_add(made, g_strdup(id))) {
        return 0;
    }
    addr = cmd_pci_addr(b, id);
    if (single && thread) {
        cmd_option(b, "-object", "iothread,id=iothread-%s", id);
    }
    cmd_device(b, "%s,id=%s%s%s%s%s%s", scsi_device_name(hw), id, addr,
               single && thread ? ",iothread=iothread-" : "", single && thread ? id : "",
               single && queues != NULL ? ",num_queues=" : "",
               single && queues != NULL ? queues : "");
    return 0;
}

static int add_controller(DiskBuild *k, GHashTable *made, Err *err)
{
    CmdBuild *b = k->b;

    if (k->d->bus == DRIVE_SCSI) {
        return add_scsi_controller(k, made, err);
    }
    if (k->d->bus == DRIVE_SATA) {
        g_autofree char *id = g_strdup_printf("ahci%d", k->d->index / SATA_PER_CONTROLLER);
        if (g_hash_table_add(made, g_strdup(id))) {
            g_autofree char *addr = cmd_pci_addr(b, id);
            cmd_device(b, "ahci,id=%s,multifunction=on%s", id, addr);
        }
    }
    if (k->d->bus == DRIVE_VIRTIO && propstring_bool(k->d->props, "iothread")) {
        cmd_option(b, "-object", "iothread,id=iothread-%s", k->d->name);
    }
    if (k->d->bus == DRIVE_IDE && b->machine.family == MACHINE_VIRT) {
        return err_setf(err, -EINVAL, "%s: machine type virt has no IDE", k->d->name);
    }
    return 0;
}

/* ------------------------------------------------------------------ options */

static const char *prop(const DiskBuild *k, const char *key)
{
    return propstring_text(k->d->props, key);
}

/* How the data is cached: what is configured, else what the storage wants. */
static void choose_cache(DiskBuild *k)
{
    const char *cache = prop(k, "cache");

    if (cache == NULL) {
        k->o.direct = !k->d->cdrom && !k->source->buffered;
        return;
    }
    k->o.direct = strcmp(cache, "none") == 0 || strcmp(cache, "directsync") == 0;
    k->o.no_flush = strcmp(cache, "unsafe") == 0;
    k->o.write_through = strcmp(cache, "writethrough") == 0 || strcmp(cache, "directsync") == 0;
}

static const char *choose_aio(const DiskBuild *k)
{
    const char *aio = prop(k, "aio");

    if (k->source->kind == SOURCE_RBD || k->source->kind == SOURCE_ISCSI) {
        return NULL;
    }
    if (aio != NULL) {
        return aio;
    }
    if (k->source->uring == URING_ALWAYS || (k->source->uring == URING_DIRECT && k->o.direct)) {
        return "io_uring";
    }
    return k->o.direct ? "native" : "threads";
}

static void choose_discard(DiskBuild *k)
{
    const char *discard = prop(k, "discard");
    const char *zeroes = prop(k, "detect_zeroes");
    bool on = g_strcmp0(discard, "on") == 0;

    if (k->d->cdrom) {
        return;
    }
    k->o.discard = on ? "unmap" : "ignore";
    k->o.detect_zeroes = g_strcmp0(zeroes, "0") == 0 ? "off" : on ? "unmap" : "on";
}

static void choose_options(DiskBuild *k)
{
    bool read_only = k->d->cdrom || k->b->template ||
                     ((k->d->bus == DRIVE_SCSI || k->d->bus == DRIVE_VIRTIO) &&
                      propstring_bool(k->d->props, "ro"));

    k->o.drive = k->d->name;
    k->o.cdrom = k->d->cdrom;
    k->o.read_only = read_only;
    k->o.overlay = propstring_bool(k->d->props, "snapshot");
    if (k->source == NULL) {
        k->o.aio = "io_uring";
        return;
    }
    choose_cache(k);
    k->o.aio = choose_aio(k);
    if (g_strcmp0(k->o.aio, "native") == 0 && !k->o.direct) {
        cmd_warn(k->b, "%s: aio=native needs cache=none or cache=directsync, QEMU will refuse it",
                 k->d->name);
    }
    choose_discard(k);
    /* Commands passed through to the disk cannot go through a filter. */
    k->o.throttle = k->d->bus != DRIVE_SCSI || !propstring_bool(k->d->props, "scsiblock");
}

/* Finds the data; leaves `source` NULL for an empty drive. */
static int locate(DiskBuild *k, Err *err)
{
    const char *file = prop(k, "file");
    const char *format = prop(k, "format");
    int r;

    if (k->d->volid.kind == VOLID_NONE) {
        return 0;
    }
    r = volume_check_content(k->b->host, file, err);
    if (r == 0) {
        r = volume_locate(k->b->host, file, &k->source, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", k->d->name);
    }
    if (strcmp(k->source->content, "iso") == 0 && prop(k, "media") == NULL) {
        return err_setf(err, -EINVAL,
                        "%s: an ISO image needs 'media=cdrom' (or media=disk) to be said",
                        k->d->name);
    }
    /* The name of a volume on a storage tells its format; for a path the configuration does. */
    if (format != NULL && k->d->volid.kind == VOLID_PATH) {
        k->source->format = format;
    }
    return 0;
}

static bool new_style(const DiskBuild *k)
{
    return cmd_machine(k->b, 10, 0, 0) && !blockdev_needs_drive(k->source, &k->o);
}

static void add_data(DiskBuild *k)
{
    g_autofree char *value = NULL;

    if (k->source == NULL) {
        if (!cmd_machine(k->b, 10, 0, 0)) {
            value = blockdev_drive(NULL, &k->o, NULL);
            cmd_device_option(k->b, "-drive", "if=none,%s", value);
        }
        return;
    }
    if (new_style(k)) {
        g_autofree char *group = blockdev_throttle_group(k->d->name, k->limits);
        cmd_option(k->b, "-object", "%s", group);
        value = blockdev_json(k->source, &k->o);
        cmd_device_option(k->b, "-blockdev", "%s", value);
        return;
    }
    value = blockdev_drive(k->source, &k->o, k->limits);
    cmd_device_option(k->b, "-drive", "%s,if=none%s%s%s%s", value,
                      prop(k, "werror") != NULL ? ",werror=" : "",
                      prop(k, "werror") != NULL ? prop(k, "werror") : "",
                      prop(k, "rerror") != NULL ? ",rerror=" : "",
                      prop(k, "rerror") != NULL ? prop(k, "rerror") : "");
}

/* ------------------------------------------------------------------ devices */

/* hd, cd, block (SCSI commands go to the disk as they are) or generic (tapes). */
static const char *scsi_type(const DiskBuild *k)
{
    int type;

    if (k->d->cdrom || k->d->cloudinit) {
        return "cd";
    }
    if (k->source->kind == SOURCE_ISCSI && !cmd_machine(k->b, 4, 1, 0)) {
        return "generic";
    }
    if (k->d->volid.kind != VOLID_PATH) {
        return "hd";
    }
    type = host_scsi_type(k->b->host, k->source->path);
    if (type == 0 && propstring_bool(k->d->props, "scsiblock")) {
        return "block";
    }
    return type == 1 ? "generic" : "hd";
}

static void append_prop(GString *out, const DiskBuild *k, const char *key)
{
    if (prop(k, key) != NULL) {
        g_autofree char *escaped = cmd_escape(prop(k, key));
        g_string_append_printf(out, ",%s=%s", key, escaped);
    }
}

static void append_decoded(GString *out, const DiskBuild *k, const char *key)
{
    g_autofree char *text = NULL;
    g_autofree char *escaped = NULL;

    if (prop(k, key) != NULL && drive_decode_text(prop(k, key), &text, NULL) == 0) {
        escaped = cmd_escape(text);
        g_string_append_printf(out, ",%s=%s", key, escaped);
    }
}

static void append_drive(GString *out, const DiskBuild *k)
{
    if (k->source != NULL || !cmd_machine(k->b, 10, 0, 0)) {
        g_string_append_printf(out, ",drive=drive-%s", k->d->name);
    }
    g_string_append_printf(out, ",id=%s", k->d->name);
}

static void scsi_device(GString *out, const DiskBuild *k)
{
    ScsiPlace place = scsi_place(k->b, k->d->index);
    const char *type = scsi_type(k);
    bool emulated = type[0] == 'h' || type[0] == 'c';

    g_string_append_printf(out, "scsi-%s,bus=%s%d.0", type, place.prefix, place.controller);
    g_string_append_printf(out, place.one_lun ? ",scsi-id=%d" : ",channel=0,scsi-id=0,lun=%d",
                           place.unit);
    append_drive(out, k);
    if (propstring_bool(k->d->props, "ssd") && (type[0] == 'h' || type[0] == 'b')) {
        g_string_append(out, ",rotation_rate=1");
    }
    if (type[0] != 'g') {
        append_prop(out, k, "wwn");
    }
    if (emulated) {
        append_prop(out, k, "vendor");
        append_prop(out, k, "product");
        /* Guests know the disk by this name, which QEMU takes from -drive only. */
        if (cmd_machine(k->b, 10, 0, 0) && k->source != NULL) {
            g_string_append_printf(out, ",device_id=drive-%s", k->d->name);
        }
        append_decoded(out, k, "serial");
    }
}

/* IDE and SATA disks cannot be read-only, CD drives can: a template, which never runs, has those.
 */
static bool ide_shows_cd(const DiskBuild *k)
{
    return k->d->cdrom || k->b->template;
}

static void ide_device(GString *out, const DiskBuild *k)
{
    bool cd = ide_shows_cd(k);
    int index = k->d->index;

    g_string_append_printf(out, "ide-%s", cd ? "cd" : "hd");
    if (k->d->bus == DRIVE_SATA) {
        g_string_append_printf(out, ",bus=ahci%d.%d", index / SATA_PER_CONTROLLER,
                               index % SATA_PER_CONTROLLER);
    } else if (cmd_is_q35(k->b)) {
        /* Ports of AHCI take one unit each; even drives keep the bus they have on pc. */
        g_string_append_printf(out, ",bus=ide.%d,unit=0", index / 2 + index % 2 * 2);
    } else {
        g_string_append_printf(out, ",bus=ide.%d,unit=%d", index / 2, index % 2);
    }
    append_drive(out, k);
    if (!cd) {
        if (k->d->bus == DRIVE_IDE) {
            append_decoded(out, k, "model");
        }
        if (propstring_bool(k->d->props, "ssd")) {
            g_string_append(out, ",rotation_rate=1");
        }
    }
    append_prop(out, k, "wwn");
    append_decoded(out, k, "serial");
}

static void virtio_device(GString *out, const DiskBuild *k)
{
    g_autofree char *addr = cmd_pci_addr(k->b, k->d->name);

    g_string_append(out, "virtio-blk-pci");
    append_drive(out, k);
    g_string_append(out, addr);
    if (propstring_bool(k->d->props, "iothread")) {
        g_string_append_printf(out, ",iothread=iothread-%s", k->d->name);
    }
    append_decoded(out, k, "serial");
}

static void add_device(DiskBuild *k)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *boot = cmd_bootindex(k->b, k->d->name);

    switch (k->d->bus) {
    case DRIVE_SCSI:
        scsi_device(out, k);
        break;
    case DRIVE_IDE:
    case DRIVE_SATA:
        ide_device(out, k);
        break;
    case DRIVE_VIRTIO:
        virtio_device(out, k);
        break;
    case DRIVE_EFIDISK:
    case DRIVE_TPMSTATE:
    case DRIVE_BUS_N:
        assert(false); /* not in the list of disks */
    }
    g_string_append(out, boot);
    if (k->source != NULL && new_style(k)) {
        if (strstr(out->str, "-cd,") == NULL && !g_str_has_prefix(out->str, "scsi-block") &&
            !g_str_has_prefix(out->str, "scsi-generic")) {
            g_string_append_printf(out, ",write-cache=%s", k->o.write_through ? "off" : "on");
        }
        append_prop(out, k, "werror");
        append_prop(out, k, "rerror");
    }
    cmd_device(k->b, "%s", out->str);
}

static int add_disk(CmdBuild *b, const Drive *d, GHashTable *controllers, Err *err)
{
    DiskBuild k = {.b = b, .d = d};
    g_autoptr(VolumeSource) source = NULL;
    g_autoptr(GArray) limits = drive_limits(d);
    int r = locate(&k, err);

    source = k.source;
    if (r < 0) {
        return r;
    }
    k.limits = limits;
    choose_options(&k);
    r = add_controller(&k, controllers, err);
    if (r < 0) {
        return r;
    }
    add_data(&k);
    add_device(&k);
    return 0;
}

int cmd_disks(CmdBuild *b, Err *err)
{
    g_autoptr(GHashTable) controllers =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) drives = NULL;
    int r = drives_list(b->conf, true, &drives, err);

    for (guint i = 0; r == 0 && i < drives->len; i++) {
        r = add_disk(b, drives->pdata[i], controllers, err);
    }
    return r;
}
