/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_volumes.h"

#include "lib/conf/propstring.h"
#include "migration/core/mig_limits.h"
#include "migration/core/mig_request.h"

#include <errno.h>
#include <string.h>

static void volume_free(void *data)
{
    MigVolume *v = data;

    g_free(v->drive);
    g_free(v->volid);
    g_free(v->storage);
    g_free(v->to);
    g_free(v->format);
    g_free(v->new_volid);
    g_free(v);
}

void mig_volumes_free(MigVolumes *v)
{
    if (v != NULL) {
        g_ptr_array_unref(v->list);
        g_ptr_array_unref(v->problems);
        g_ptr_array_unref(v->storages);
        g_ptr_array_unref(v->bridges);
        g_free(v);
    }
}

static void problem(MigVolumes *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void problem(MigVolumes *v, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(v->problems, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

static void add_name(GPtrArray *list, const char *name)
{
    if (!g_ptr_array_find_with_equal_func(list, name, g_str_equal, NULL)) {
        g_ptr_array_add(list, g_strdup(name));
    }
}

/* "scsi3" for prefix "scsi". */
static bool numbered(const char *key, const char *prefix)
{
    gsize n = strlen(prefix);

    return strncmp(key, prefix, n) == 0 && g_ascii_isdigit(key[n]);
}

static bool is_drive_key(const char *key)
{
    static const char *const kinds[] = {"ide",    "sata",    "scsi",    "virtio",
                                        "unused", "efidisk", "tpmstate"};

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (numbered(key, kinds[i])) {
            return true;
        }
    }
    return false;
}

/* Value of `name=` in a property string; NULL when absent. Caller frees. */
static char *property(const char *value, const char *name)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);

    for (int i = 0; parts[i] != NULL; i++) {
        if (g_str_has_prefix(parts[i], name) && parts[i][strlen(name)] == '=') {
            return g_strdup(parts[i] + strlen(name) + 1);
        }
    }
    return NULL;
}

/* The volume of a drive: the first part, or `file=`. Caller frees. */
static char *drive_volume(const char *value)
{
    char *file = property(value, "file");

    return file != NULL ? file : g_strndup(value, strcspn(value, ","));
}

/* "32G", "512K", "100" as bytes; 0 when it is none. */
static int64_t size_of(const char *text)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    int64_t n = text != NULL ? g_ascii_strtoll(text, &end, 10) : 0;
    const char *unit = end != NULL && *end != '\0' ? strchr(units, *end) : NULL;

    if (n <= 0 || n > INT64_MAX >> 41 || (end != NULL && *end != '\0' && unit == NULL)) {
        return 0;
    }
    return unit != NULL ? n << (10 * (unit - units + 1)) : n;
}

static bool is_named(const char *volid, const char *kind, uint32_t vmid)
{
    g_autofree char *part = g_strdup_printf("%s-%u-", kind, vmid);
    const char *at = strstr(volid, part);

    return at != NULL && (at[-1] == '/' || at[-1] == ':');
}

/* "disk:100/base-100-disk-0.raw": what linked clones of a template are made of. */
static bool is_base(const char *volid, uint32_t vmid)
{
    return is_named(volid, "base", vmid) && strchr(strstr(volid, "base-"), '/') == NULL;
}

static bool belongs_to(const char *volid, uint32_t vmid)
{
    return is_named(volid, "vm", vmid) || is_base(volid, vmid);
}

static const char *format_of(const char *volid)
{
    return g_str_has_suffix(volid, ".qcow2")  ? "qcow2"
           : g_str_has_suffix(volid, ".vmdk") ? "vmdk"
                                              : "raw";
}

/* "disk:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2": part of its data is in the base. */
static bool is_linked_clone(const char *volid)
{
    const char *at = strstr(volid, "base-");

    return at != NULL && (at[-1] == '/' || at[-1] == ':') && strchr(at, '/') != NULL;
}

/* What goes over the wire: a clone stands alone where it arrives. */
static const char *stream_format(const char *volid)
{
    const char *format = is_linked_clone(volid) ? "raw" : format_of(volid);

    return strcmp(format, "vmdk") == 0 ? "raw" : format;
}

/* ---- one drive ------------------------------------------------------------------------------- */

/* `bwlimit: migration=N,default=M` of a storage; 0: none. */
static int64_t limit_of(const StorageCfg *cfg, const char *storage)
{
    const Storage *s = NULL;
    Err err = ERR_INIT;
    const char *text =
        storagecfg_get(cfg, storage, &s, &err) == 0 ? storage_prop(s, "bwlimit") : NULL;
    g_autofree char *own = text != NULL ? property(text, "migration") : NULL;
    g_autofree char *fallback = text != NULL ? property(text, "default") : NULL;
    const char *chosen = own != NULL ? own : fallback;

    return chosen != NULL ? MAX(g_ascii_strtoll(chosen, NULL, 10), 0) : 0;
}

static bool is_dir(const StorageCfg *cfg, const char *storage)
{
    const Storage *s = NULL;
    Err err = ERR_INIT;

    return storagecfg_get(cfg, storage, &s, &err) == 0 && strcmp(s->type, "dir") == 0;
}

static void add_local(MigVolumes *v,
                      const char *key,
                      const char *value,
                      const char *volid,
                      const char *storage,
                      const StorageCfg *cfg,
                      const MigVolumesHow *how,
                      bool snapshot)
{
    bool attached = !numbered(key, "unused") && !numbered(key, "tpmstate") && !snapshot &&
                    strstr(volid, "-cloudinit") == NULL;
    g_autofree char *size = property(value, "size");
    MigVolume *m = g_new0(MigVolume, 1);

    m->drive = g_strdup(key);
    m->volid = g_strdup(volid);
    m->storage = g_strdup(storage);
    m->kept = snapshot;
    m->to = mig_map_storage(how->map, storage);
    m->size = size_of(size);
    m->base = is_base(volid, how->vmid);
    m->limit_kib = mig_least_limit(limit_of(cfg, storage), limit_of(cfg, m->to));
    m->how = how->online && attached ? MIG_VOLUME_MIRROR : MIG_VOLUME_COPY;
    m->format = g_strdup(m->how == MIG_VOLUME_COPY ? stream_format(volid) : format_of(volid));
    g_ptr_array_add(v->list, m);
    add_name(v->storages, m->to);
    v->has_disks = true;
    if (m->base && (!is_dir(cfg, storage) || !is_dir(cfg, m->to))) {
        problem(v,
                "%s: '%s' is the base image of a template, which moves between storages of type "
                "'dir' only: clone the template in full, and move the clone",
                key, volid);
    }
    if (m->how == MIG_VOLUME_MIRROR && !how->local_disks) {
        problem(v,
                "%s is on the local storage '%s': a running guest takes it along with "
                "--with-local-disks",
                key, storage);
    }
}

static bool is_said_to_be_shared(const char *value)
{
    g_autofree char *shared = property(value, "shared");

    return shared != NULL && propstring_parse_bool(shared) == 1;
}

static MigVolume *find(const MigVolumes *v, const char *volid)
{
    for (guint i = 0; i < v->list->len; i++) {
        MigVolume *m = g_ptr_array_index(v->list, i);

        if (strcmp(m->volid, volid) == 0) {
            return m;
        }
    }
    return NULL;
}

static bool is_known(MigVolumes *v, const char *volid, bool snapshot)
{
    MigVolume *m = find(v, volid);

    if (m != NULL) {
        m->kept = m->kept || snapshot;
    }
    return m != NULL;
}

static void judge(MigVolumes *v,
                  const char *key,
                  const char *value,
                  const StorageCfg *cfg,
                  const MigVolumesHow *how,
                  bool snapshot)
{
    g_autofree char *volid = drive_volume(value);
    g_autofree char *media = property(value, "media");
    g_autofree char *storage = g_strndup(volid, strcspn(volid, ":"));
    bool cdrom = g_strcmp0(media, "cdrom") == 0 && strstr(volid, "-cloudinit") == NULL;
    const Storage *s = NULL;
    Err err = ERR_INIT;

    if (strcmp(volid, "none") == 0 || is_known(v, volid, snapshot)) {
        return;
    }
    if (strcmp(volid, "cdrom") == 0) {
        problem(v, "%s is the drive of this machine: take it out first", key);
        return;
    }
    if (*volid == '/') {
        if (!is_said_to_be_shared(value)) {
            problem(v, "%s is the local device %s: say shared=1 if the target has it too", key,
                    volid);
        }
        return;
    }
    if (storagecfg_get(cfg, storage, &s, &err) < 0) {
        problem(v, "%s: %s", key, err_text(&err));
    } else if (storage_is_shared(s)) {
        add_name(v->storages, storage);
        if (!storage_on_node(s, how->target)) {
            problem(v, "%s: node '%s' may not use storage '%s'", key, how->target, storage);
        }
    } else if (cdrom) {
        problem(v, "%s: '%s' is on the local storage '%s': take it out first", key, volid, storage);
    } else if (!belongs_to(volid, how->vmid)) {
        problem(v, "%s: '%s' belongs to another guest", key, volid);
    } else {
        add_local(v, key, value, volid, storage, cfg, how, snapshot);
    }
}

/* ---- devices of this host -------------------------------------------------------------------- */

static void judge_device(MigVolumes *v, const char *key, const char *value, bool online, bool force)
{
    bool local = numbered(key, "hostpci") || strcmp(key, "ivshmem") == 0 ||
                 numbered(key, "parallel") || numbered(key, "virtiofs") ||
                 (numbered(key, "serial") && strcmp(value, "socket") != 0) ||
                 (numbered(key, "usb") && strncmp(value, "spice", 5) != 0);

    if (local && (online || !force)) {
        problem(v, "%s is a device of this node%s", key,
                online ? "" : " (--force moves a stopped guest all the same)");
    }
    if (online && (strcmp(key, "amd-sev") == 0 || strcmp(key, "intel-tdx") == 0)) {
        problem(v, "%s: the memory of this guest cannot leave the machine", key);
    }
    if (numbered(key, "net")) {
        g_autofree char *bridge = property(value, "bridge");

        if (bridge != NULL) {
            add_name(v->bridges, bridge);
        }
    }
}

static void
judge_section(MigVolumes *v, const VmSection *s, const StorageCfg *cfg, const MigVolumesHow *how)
{
    bool snapshot = s->kind == VM_SECTION_SNAPSHOT;

    for (guint i = 0; i < s->entries->len; i++) {
        const VmEntry *e = g_ptr_array_index(s->entries, i);

        if (is_drive_key(e->key)) {
            judge(v, e->key, e->value, cfg, how, snapshot);
        } else if (strcmp(e->key, "vmstate") == 0) {
            judge(v, e->key, e->value, cfg, how, true);
        } else if (s->kind == VM_SECTION_MAIN) {
            judge_device(v, e->key, e->value, how->online, how->force);
        }
    }
}

static MigVolumes *new_volumes(void)
{
    MigVolumes *v = g_new0(MigVolumes, 1);

    v->list = g_ptr_array_new_with_free_func(volume_free);
    v->problems = g_ptr_array_new_with_free_func(g_free);
    v->storages = g_ptr_array_new_with_free_func(g_free);
    v->bridges = g_ptr_array_new_with_free_func(g_free);
    return v;
}

/* Snapshots live in qcow2 files, and those in directories. */
static bool holds_snapshots(const StorageCfg *cfg, const char *storage)
{
    static const char *const kinds[] = {"dir", "nfs", "cifs", "cephfs"};
    const Storage *s = NULL;
    Err err = ERR_INIT;

    if (storagecfg_get(cfg, storage, &s, &err) < 0) {
        return true; /* the target says that it has no such storage */
    }
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(s->type, kinds[i]) == 0) {
            return !storage_flag(s, "snapshot-as-volume-chain", false);
        }
    }
    return false;
}

/* Of a guest that has snapshots. */
static void judge_snapshots(MigVolumes *v, MigVolume *m, const StorageCfg *cfg)
{
    bool mirror = m->how == MIG_VOLUME_MIRROR, qcow2 = strcmp(format_of(m->volid), "qcow2") == 0;

    m->snapshots = !mirror || qcow2;
    if (m->snapshots && is_linked_clone(m->volid)) {
        problem(v,
                "%s: '%s' is a linked clone with snapshots, which cannot leave its base: "
                "remove them, or make it stand alone (qm move-disk)",
                m->drive, m->volid);
    } else if (mirror && !qcow2 && m->kept) {
        problem(v,
                "%s: '%s' is in snapshots of the guest, which a running guest takes along in "
                "qcow2 files only: stop it, or remove them",
                m->drive, m->volid);
    } else if (qcow2 && !holds_snapshots(cfg, m->to)) {
        problem(v,
                "%s: the guest has snapshots, and storage '%s' cannot hold those of '%s': choose "
                "a directory (--targetstorage), or remove them",
                m->drive, m->to, m->volid);
    }
}

MigVolumes *mig_volumes_plan(const VmConf *conf, const StorageCfg *cfg, const MigVolumesHow *how)
{
    MigVolumes *v = new_volumes();
    bool snapshots = false;

    for (guint i = 0; i < conf->sections->len; i++) {
        const VmSection *s = g_ptr_array_index(conf->sections, i);

        if (s->kind != VM_SECTION_UNKNOWN && s->kind != VM_SECTION_SPECIAL) {
            judge_section(v, s, cfg, how);
        }
        snapshots = snapshots || s->kind == VM_SECTION_SNAPSHOT;
    }
    for (guint i = 0; snapshots && i < v->list->len; i++) {
        judge_snapshots(v, g_ptr_array_index(v->list, i), cfg);
    }
    if (v->list->len > MIG_VOLUMES_MAX) {
        problem(v, "the guest has %u local volumes; %d is the most that can move", v->list->len,
                MIG_VOLUMES_MAX);
    }
    return v;
}

char *mig_volumes_full_advice(const char *words, const char *node, const char *storage)
{
    if (words == NULL || strstr(words, g_strerror(ENOSPC)) == NULL) {
        return g_strdup("");
    }
    return g_strdup_printf(" (storage '%s' of node '%s' is full: make room there, or choose "
                           "another one with --targetstorage)",
                           storage, node);
}

/* ---- new names ------------------------------------------------------------------------------- */

const MigVolume *mig_volumes_find(const MigVolumes *v, const char *volid)
{
    return find(v, volid);
}

bool mig_volume_is_copied(const MigVolume *m)
{
    return m->how == MIG_VOLUME_COPY || m->snapshots;
}

JsonTree *mig_volumes_write(const MigVolumes *v)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < v->list->len; i++) {
        const MigVolume *m = g_ptr_array_index(v->list, i);
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "drive", m->drive);
        jsontree_set_text(one, "volid", m->volid);
        jsontree_set_text(one, "storage", m->to);
        jsontree_set_text(one, "format", m->format);
        jsontree_set_int(one, "size", m->size);
        jsontree_set_text(one, "how", m->how == MIG_VOLUME_MIRROR ? "mirror" : "copy");
        jsontree_set_bool(one, "snapshots", m->snapshots);
        jsontree_set_bool(one, "base", m->base);
        jsontree_add(list, one);
    }
    return list;
}

MigVolumes *mig_volumes_restore(const JsonTree *list)
{
    MigVolumes *v = new_volumes();

    for (guint i = 0; i < jsontree_count(list); i++) {
        const JsonTree *one = jsontree_at(list, i);
        bool mirror = g_strcmp0(jsontree_get_text(one, "how"), "mirror") == 0;
        MigVolume *m;

        if (jsontree_get_text(one, "volid") == NULL || jsontree_get_text(one, "drive") == NULL) {
            continue;
        }
        m = g_new0(MigVolume, 1);
        m->drive = g_strdup(jsontree_get_text(one, "drive"));
        m->volid = g_strdup(jsontree_get_text(one, "volid"));
        m->to = g_strdup(jsontree_get_text(one, "storage"));
        m->format = g_strdup(jsontree_get_text(one, "format"));
        m->size = jsontree_get_int(one, "size", 0);
        m->how = mirror ? MIG_VOLUME_MIRROR : MIG_VOLUME_COPY;
        g_ptr_array_add(v->list, m);
    }
    return v;
}

int mig_volumes_note_new(MigVolumes *v, const JsonTree *volumes, Err *err)
{
    for (guint i = 0; i < v->list->len; i++) {
        MigVolume *m = g_ptr_array_index(v->list, i);
        const char *fresh = NULL;

        for (guint k = 0; k < jsontree_count(volumes); k++) {
            const JsonTree *one = jsontree_at(volumes, k);

            if (g_strcmp0(jsontree_get_text(one, "volid"), m->volid) == 0) {
                fresh = jsontree_get_text(one, "new");
            }
        }
        if (fresh == NULL && !mig_volume_is_copied(m)) {
            return err_setf(err, -EBADMSG, "the target made no volume for %s", m->drive);
        }
        if (fresh != NULL) {
            g_free(m->new_volid);
            m->new_volid = g_strdup(fresh);
        }
    }
    return 0;
}

JsonTree *mig_volumes_pairs(const MigVolumes *v)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < v->list->len; i++) {
        const MigVolume *m = g_ptr_array_index(v->list, i);

        if (m->new_volid != NULL && strcmp(m->volid, m->new_volid) != 0) {
            JsonTree *one = jsontree_new_object();

            jsontree_set_text(one, "old", m->volid);
            jsontree_set_text(one, "new", m->new_volid);
            jsontree_add(list, one);
        }
    }
    if (jsontree_count(list) == 0) {
        jsontree_free(list);
        return NULL;
    }
    return list;
}

static const char *new_name(const JsonTree *pairs, const char *volid)
{
    for (guint i = 0; i < jsontree_count(pairs); i++) {
        const JsonTree *one = jsontree_at(pairs, i);

        if (g_strcmp0(jsontree_get_text(one, "old"), volid) == 0) {
            return jsontree_get_text(one, "new");
        }
    }
    return NULL;
}

static void rename_section(VmSection *s, const JsonTree *pairs)
{
    for (guint i = 0; i < s->entries->len; i++) {
        VmEntry *e = g_ptr_array_index(s->entries, i);
        g_autofree char *volid = drive_volume(e->value);
        const char *fresh = new_name(pairs, volid);
        const char *at = fresh != NULL ? strstr(e->value, volid) : NULL;

        if (at != NULL && (is_drive_key(e->key) || strcmp(e->key, "vmstate") == 0)) {
            char *value = g_strdup_printf("%.*s%s%s", (int)(at - e->value), e->value, fresh,
                                          at + strlen(volid));

            g_free(e->value);
            e->value = value;
        }
    }
}

void mig_volumes_rename(VmConf *conf, const JsonTree *pairs)
{
    for (guint i = 0; i < conf->sections->len; i++) {
        rename_section(g_ptr_array_index(conf->sections, i), pairs);
    }
}

JsonTree *mig_volumes_mtus(const VmConf *conf)
{
    const VmSection *s = vmconf_main(conf);
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < s->entries->len; i++) {
        const VmEntry *e = g_ptr_array_index(s->entries, i);
        g_autofree char *bridge = numbered(e->key, "net") ? property(e->value, "bridge") : NULL;
        g_autofree char *mtu = bridge != NULL ? property(e->value, "mtu") : NULL;
        int64_t n = mtu != NULL ? g_ascii_strtoll(mtu, NULL, 10) : 0;

        if (n > 0) {
            JsonTree *one = jsontree_new_object();

            jsontree_set_text(one, "bridge", bridge);
            jsontree_set_int(one, "mtu", n);
            jsontree_add(list, one);
        }
    }
    return list;
}

/* A mirror shares nothing with the snapshots that came before it. */
static int64_t space_of(const MigVolume *m)
{
    return m->how == MIG_VOLUME_MIRROR && m->snapshots ? m->size + m->used : MAX(m->size, m->used);
}

JsonTree *mig_volumes_space(const MigVolumes *v)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < v->storages->len; i++) {
        const char *storage = g_ptr_array_index(v->storages, i);
        int64_t size = 0, used = 0;
        JsonTree *one;

        for (guint k = 0; k < v->list->len; k++) {
            const MigVolume *m = g_ptr_array_index(v->list, k);

            if (strcmp(m->to, storage) == 0) {
                size += space_of(m);
                used += m->used;
            }
        }
        if (size == 0) {
            continue; /* shared, or nobody knows */
        }
        one = jsontree_new_object();
        jsontree_set_text(one, "storage", storage);
        jsontree_set_int(one, "size", size);
        jsontree_set_int(one, "used", used);
        jsontree_add(list, one);
    }
    return list;
}
