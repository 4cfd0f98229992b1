/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_disks.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/drive.h"
#include "guest/core/guestconf.h"
#include "guest/core/volid.h"
#include "guest/io/rawhead.h"
#include "guest/io/volume.h"
#include "lib/base/sizetext.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CLOUDINIT_WORD "cloudinit"
#define FIRMWARE_DIR   "/usr/share/OVMF"
#define ARM_VARS       "/usr/share/AAVMF/AAVMF_VARS.fd"
#define GIB            (UINT64_C(1) << 30)

/* ------------------------------------------------------------------ wishes */

/* "32", "0.5": GiB */
static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    size_t fraction = text[digits] == '.' ? 1 + strspn(text + digits + 1, "0123456789") : 0;

    return digits > 0 && fraction != 1 && text[digits + fraction] == '\0';
}

bool guest_disk_is_wish(const char *value)
{
    size_t len = strcspn(value, ",");
    const char *eq = memchr(value, '=', len);
    g_autofree char *file =
        eq == NULL ? g_strndup(value, len) : g_strndup(eq + 1, len - (size_t)(eq + 1 - value));
    Volid v;

    return volid_parse(file, &v, NULL) == 0 && v.kind == VOLID_VOLUME &&
           (is_number(v.rest) || strcmp(v.rest, CLOUDINIT_WORD) == 0);
}

/* A drive that is about to be made. */
typedef struct Wish {
    GuestStore *store;
    uint32_t vmid;
    const char *key;
    const VmSection *section;
    const char *storage;
    const char *amount; /* "32", "cloudinit" */
    PropString *props;
} Wish;

static int amount_bytes(const Wish *w, uint64_t *ret, Err *err)
{
    g_autofree char *text = g_strconcat(w->amount, "G", NULL);
    uint64_t size = 0;
    int r = size_parse(text, &size, err);

    if (r < 0) {
        return err_wrapf(err, r, "%s", w->key);
    }
    *ret = (size + RAWHEAD_ALIGN - 1) / RAWHEAD_ALIGN * RAWHEAD_ALIGN;
    return 0;
}

static bool is_arm(const VmSection *s)
{
    return g_strcmp0(vmsection_get(s, "arch"), "aarch64") == 0;
}

/* The variables that the firmware starts with. */
static char *efi_template(const Wish *w)
{
    bool keys = propstring_bool(w->props, "pre-enrolled-keys");
    bool small = g_strcmp0(propstring_value(w->props, "efitype"), "2m") == 0;

    if (is_arm(w->section)) {
        return g_strdup(ARM_VARS);
    }
    return g_strdup_printf("%s/OVMF_VARS%s%s.fd", FIRMWARE_DIR, small ? "" : "_4M",
                           keys ? ".ms" : "");
}

static int make_efi(const Wish *w, char **ret, Err *err)
{
    g_autofree char *from = efi_template(w);
    VolumeCopy copy = {.from = from,
                       .storage = w->storage,
                       .vmid = w->vmid,
                       .format = propstring_text(w->props, "format")};

    if (access(from, R_OK) < 0) {
        return err_setf(err, -ENOENT,
                        "%s: the firmware's variables are not here (%s); on Debian "
                        "the package ovmf has them",
                        w->key, from);
    }
    return volume_copy(w->store->set, &copy, ret, err);
}

static int make_cloudinit(const Wish *w, char **ret, Err *err)
{
    const char *format = propstring_text(w->props, "format");
    g_autofree char *name =
        g_strdup_printf("vm-%u-cloudinit.%s", w->vmid, format != NULL ? format : "qcow2");
    VolumeSpec spec = {.vmid = w->vmid,
                       .name = name,
                       .format = format != NULL ? format : "qcow2",
                       .size = CLOUDINIT_BYTES};
    int r = propstring_set(w->props, "media", "cdrom", err);

    return r == 0 ? volume_alloc(w->store->set, w->storage, &spec, ret, err) : r;
}

static int make_imported(const Wish *w, uint64_t size, char **ret, Err *err)
{
    VolumeCopy copy = {.from = propstring_text(w->props, "import-from"),
                       .storage = w->storage,
                       .vmid = w->vmid,
                       .format = propstring_text(w->props, "format"),
                       .size_min = size};
    int r = volume_copy(w->store->set, &copy, ret, err);

    return r < 0 ? err_wrapf(err, r, "%s: import-from", w->key) : 0;
}

static int make_plain(const Wish *w, char **ret, Err *err)
{
    VolumeSpec spec = {.vmid = w->vmid, .format = propstring_text(w->props, "format")};
    int r = amount_bytes(w, &spec.size, err);

    if (r < 0) {
        return r;
    }
    if (strcmp(w->key, "tpmstate0") == 0) {
        spec.size = TPMSTATE_BYTES;
        spec.format = "raw";
    } else if (propstring_text(w->props, "import-from") != NULL) {
        return make_imported(w, spec.size, ret, err);
    }
    if (spec.size == 0) {
        return err_setf(err, -EINVAL, "%s: a disk of size 0 cannot be made", w->key);
    }
    return volume_alloc(w->store->set, w->storage, &spec, ret, err);
}

static int make_wish(const Wish *w, Err *err)
{
    static const char *const once[] = {"format", "import-from"};
    bool efi = strcmp(w->key, "efidisk0") == 0 && propstring_text(w->props, "import-from") == NULL;
    bool disk = confschema_find(w->key, NULL)->flags & CONF_DISK;
    g_autofree char *volid = NULL;
    int r;

    if (strcmp(w->amount, CLOUDINIT_WORD) == 0) {
        r = disk ? make_cloudinit(w, &volid, err)
                 : err_setf(err, -EINVAL, "%s: cannot hold cloud-init data", w->key);
    } else if (disk && g_strcmp0(propstring_text(w->props, "media"), "cdrom") == 0) {
        r = err_setf(err, -EINVAL, "%s: a CD drive takes an ISO: STORAGE:iso/NAME.iso", w->key);
    } else {
        r = efi ? make_efi(w, &volid, err) : make_plain(w, &volid, err);
    }
    if (r < 0) {
        return r;
    }
    guest_store_add(w->store, volid);
    guest_say(w->store->host, GUEST_SAY_PROGRESS, "%s: successfully created disk '%s'", w->key,
              volid);
    for (size_t i = 0; i < G_N_ELEMENTS(once); i++) {
        propstring_unset(w->props, once[i]);
    }
    return propstring_set(w->props, "file", volid, err);
}

/* --------------------------------------------------------------- resolving */

static bool is_cdrom(const ConfOption *option, const PropString *p)
{
    return (option->flags & CONF_DISK) && g_strcmp0(propstring_text(p, "media"), "cdrom") == 0;
}

/* What is there already: it exists, it is ours, and so large. */
static int
look_at(GuestStore *s, uint32_t vmid, const char *key, bool cdrom, PropString *p, Err *err)
{
    const char *file = propstring_text(p, "file");
    g_auto(VolumeRef) ref = {0};
    g_autofree char *size = NULL;
    VolumeInfo info = {0};
    Volid v;
    int r = volid_parse(file, &v, err);

    if (r < 0 || v.kind != VOLID_VOLUME) {
        return r; /* paths and empty drives */
    }
    r = volume_ref(s->set, file, &ref, err);
    if (r == 0) {
        r = volume_check_content(&s->set->facts, file, err);
    }
    if (r == 0) {
        r = ref.kind->info(ref.storage, &ref.name, &info, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", key);
    }
    if (!cdrom && (strcmp(ref.name.content, "images") != 0 || ref.name.owner != vmid)) {
        return err_setf(err, -EPERM, "%s: volume '%s' does not belong to guest %u", key, file,
                        vmid);
    }
    size = size_format(info.size);
    return propstring_set(p, "size", size, err);
}

int guest_disk_resolve(GuestStore *s,
                       uint32_t vmid,
                       const VmSection *section,
                       const char *key,
                       const char *value,
                       char **ret,
                       Err *err)
{
    const ConfOption *option = confschema_find(key, NULL);
    g_autoptr(PropString) p = NULL;
    Wish wish = {.store = s, .vmid = vmid, .key = key, .section = section};
    Volid v = {0};
    int r;

    if (option == NULL || !(option->flags & CONF_VOLUME)) {
        *ret = g_strdup(value);
        return 0;
    }
    r = propstring_parse(option->props, value, NULL, &p, err);
    if (r == 0 && guest_disk_is_wish(value)) {
        g_autofree char *file = g_strdup(propstring_text(p, "file"));
        r = volid_parse(file, &v, err);
        if (r == 0) {
            wish.storage = v.storage;
            wish.amount = v.rest;
            wish.props = p;
            r = make_wish(&wish, err);
        }
    } else if (r == 0 && propstring_text(p, "import-from") != NULL) {
        r = err_setf(err, -EINVAL, "%s: import-from goes with STORAGE:0", key);
    }
    if (r == 0 && (option->flags & CONF_DISK)) {
        r = drive_limits_to_mbps(p, err);
        r = r < 0 ? err_wrapf(err, r, "%s", key) : 0;
    }
    if (r == 0) {
        r = look_at(s, vmid, key, is_cdrom(option, p), p, err);
    }
    if (r == 0) {
        *ret = propstring_format(p);
    }
    return r;
}

int guest_disks_check(const VmSection *section, uint32_t vmid, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) drives = NULL;
    g_autoptr(GuestConf) gc = NULL;
    int r = guestconf_new(section, vmid, warnings, &gc, err);

    return r == 0 ? drives_list(gc, false, &drives, err) : r;
}

/* ----------------------------------------------------------------- looking */

void guest_disk_free(void *disk)
{
    GuestDisk *d = disk;

    g_free(d->key);
    propstring_free(d->props);
    g_free(d);
}

static bool is_cloudinit(const char *volid)
{
    const char *leaf = strrchr(volid, '/');

    leaf = leaf != NULL ? leaf + 1 : strchr(volid, ':') + 1;
    return strstr(leaf, "-" CLOUDINIT_WORD) != NULL;
}

/* NULL in *ret: no disk, an empty drive, or a path. */
static int read_disk(const VmEntry *e, bool with_unused, GuestDisk **ret, Err *err)
{
    const ConfOption *option = confschema_find(e->key, NULL);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    GuestDisk *d;
    Volid v = {0};
    int r;

    *ret = NULL;
    if (option == NULL || !(option->flags & CONF_VOLUME) ||
        (!with_unused && option->props == &props_unused)) {
        return 0;
    }
    r = propstring_parse(option->props, e->value, unknown, &p, err);
    if (r == 0) {
        r = volid_parse(propstring_text(p, "file"), &v, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", e->key);
    }
    if (v.kind == VOLID_VOLUME) {
        d = g_new0(GuestDisk, 1);
        d->key = g_strdup(e->key);
        d->volid = propstring_text(p, "file");
        d->cdrom = is_cdrom(option, p);
        d->cloudinit = d->cdrom && is_cloudinit(d->volid);
        d->props = g_steal_pointer(&p);
        *ret = d;
    }
    return 0;
}

int guest_disks_of(const VmSection *section, bool with_unused, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(guest_disk_free);

    for (guint i = 0; i < section->entries->len; i++) {
        GuestDisk *d;
        int r = read_disk(section->entries->pdata[i], with_unused, &d, err);
        if (r < 0) {
            return r;
        }
        if (d != NULL) {
            g_ptr_array_add(disks, d);
        }
    }
    *ret = g_steal_pointer(&disks);
    return 0;
}

char *guest_disk_with(const GuestDisk *d, const char *volid, uint64_t size)
{
    g_autoptr(PropString) p = NULL;
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = propstring_format(d->props);
    g_autofree char *amount = size_format(size);
    const ConfOption *option = confschema_find(d->key, NULL);

    if (propstring_parse(option->props, text, unknown, &p, NULL) < 0 ||
        propstring_set(p, "file", volid, NULL) < 0 || propstring_set(p, "size", amount, NULL) < 0) {
        return g_strdup(volid); /* cannot be: it was read from the same text */
    }
    propstring_unset(p, "format");
    return propstring_format(p);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What cannot be read names nothing that we would dare to free. */
static void add_volumes(GHashTable *set, const VmSection *s)
{
    const char *state = vmsection_get(s, "vmstate");

    if (state != NULL) {
        g_hash_table_add(set, g_strdup(state));
    }
    for (guint i = 0; i < s->entries->len; i++) {
        GuestDisk *d;
        if (read_disk(s->entries->pdata[i], true, &d, NULL) == 0 && d != NULL) {
            if (!d->cdrom || d->cloudinit) {
                g_hash_table_add(set, g_strdup(d->volid));
            }
            guest_disk_free(d);
        }
    }
}

GPtrArray *guest_volumes_of(const VmConf *conf)
{
    g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *key;

    for (guint i = 0; i < conf->sections->len; i++) {
        add_volumes(set, conf->sections->pdata[i]);
    }
    g_hash_table_iter_init(&iter, set);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_ptr_array_add(list, g_strdup(key));
    }
    g_ptr_array_sort(list, compare_text);
    return list;
}
