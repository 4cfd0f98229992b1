/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/storagecfg.h"

#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

#define LOCAL_ID   "local"
#define LOCAL_PATH "/var/lib/vz"

/* `local` as it is when nobody wrote it down. */
static const char local_text[] = "dir: " LOCAL_ID "\n\tpath " LOCAL_PATH
                                 "\n\tcontent backup,images,iso,rootdir,snippets,vztmpl\n"
                                 "\tprune-backups keep-all=1\n";

/* What each kind needs and what it keeps when `content` is not given. */
static const struct StorageKindRow {
    const char *type;
    const char *required;
    const char *content;
    bool shared;
} kinds[] = {
    {"btrfs", "path", "images,rootdir", false},
    {"cephfs", "path", "backup", true},
    {"cifs", "path server share", "images", true},
    {"dir", "path", "images,rootdir", false},
    {"esxi", "server username", "import", true},
    {"iscsi", "portal target", "images", true},
    {"iscsidirect", "portal target", "images", true},
    {"lvm", "vgname", "images", false},
    {"lvmthin", "vgname thinpool", "images,rootdir", false},
    {"nfs", "path server export", "images", true},
    {"pbs", "server datastore", "backup", true},
    {"rbd", "pool", "images", true},
    {"zfs", "pool portal target iscsiprovider", "images", true},
    {"zfspool", "pool", "images,rootdir", false},
};

struct StorageCfg {
    SectionLines *text;
    SectionLines *local; /* the implicit section, NULL when the file has its own */
    GPtrArray *storages; /* Storage *, owned */
};

static void storage_free(void *data)
{
    Storage *s = data;

    g_free(s->error);
    g_free(s);
}

void storagecfg_free(StorageCfg *cfg)
{
    if (cfg == NULL) {
        return;
    }
    if (cfg->storages != NULL) {
        g_ptr_array_unref(cfg->storages);
    }
    sectionlines_free(cfg->text);
    sectionlines_free(cfg->local);
    g_free(cfg);
}

static const struct StorageKindRow *kind_of(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* The mount point that network storages get when the file does not name one. */
static bool has_default_path(const char *type)
{
    return strcmp(type, "nfs") == 0 || strcmp(type, "cifs") == 0 || strcmp(type, "cephfs") == 0;
}

static char *missing_property(const SectionLinesEntry *e)
{
    const struct StorageKindRow *kind = kind_of(e->type);
    g_auto(GStrv) required = g_strsplit(kind != NULL ? kind->required : "", " ", -1);

    for (char **key = required; *key != NULL; key++) {
        bool implied = strcmp(*key, "path") == 0 &&
                       (has_default_path(e->type) || strcmp(e->id, LOCAL_ID) == 0);
        if (**key != '\0' && !implied && sectionlines_get(e, *key) == NULL) {
            return g_strdup_printf("line %u: storage '%s' (%s) has no '%s'", e->line, e->id,
                                   e->type, *key);
        }
    }
    return NULL;
}

static char *find_error(const StorageCfg *cfg, const SectionLinesEntry *e)
{
    if (e->error != NULL) {
        return g_strdup(e->error);
    }
    if (e->type[0] == '\0') {
        return g_strdup_printf("line %u: '%s' has no type", e->line, e->id);
    }
    for (guint i = 0; i < cfg->storages->len; i++) {
        const Storage *other = cfg->storages->pdata[i];
        if (strcmp(other->id, e->id) == 0) {
            return g_strdup_printf("line %u: storage '%s' is there twice (line %u)", e->line, e->id,
                                   other->entry->line);
        }
    }
    return missing_property(e);
}

static void add_all(StorageCfg *cfg, const SectionLines *text)
{
    for (guint i = 0; i < text->sections->len; i++) {
        const SectionLinesEntry *e = text->sections->pdata[i];
        Storage *s = g_new0(Storage, 1);
        *s = (Storage){.type = e->type, .id = e->id, .entry = e, .error = find_error(cfg, e)};
        g_ptr_array_add(cfg->storages, s);
    }
}

static const Storage *find_storage(const StorageCfg *cfg, const char *id)
{
    for (guint i = 0; i < cfg->storages->len; i++) {
        const Storage *s = cfg->storages->pdata[i];
        if (strcmp(s->id, id) == 0) {
            return s;
        }
    }
    return NULL;
}

int storagecfg_parse(const char *text, size_t len, StorageCfg **ret, Err *err)
{
    g_autoptr(StorageCfg) cfg = g_new0(StorageCfg, 1);
    const Storage *local;
    int r;

    cfg->storages = g_ptr_array_new_with_free_func(storage_free);
    r = sectionlines_parse(text, len, &cfg->text, err);
    if (r < 0) {
        return err_wrapf(err, r, "storage.cfg");
    }
    add_all(cfg, cfg->text);
    local = find_storage(cfg, LOCAL_ID);
    if (local == NULL) {
        r = sectionlines_parse(local_text, strlen(local_text), &cfg->local, err);
        if (r < 0) {
            return r;
        }
        add_all(cfg, cfg->local);
    } else if (strcmp(local->type, "dir") != 0) {
        Storage *wrong = (Storage *)local;
        g_free(wrong->error);
        wrong->error = g_strdup_printf("line %u: '%s' must be of type dir, not %s",
                                       local->entry->line, LOCAL_ID, local->type);
    }
    *ret = g_steal_pointer(&cfg);
    return 0;
}

int storagecfg_get(const StorageCfg *cfg, const char *id, const Storage **ret, Err *err)
{
    const Storage *s = find_storage(cfg, id);

    if (s == NULL) {
        return err_setf(err, -ENOENT, "storage '%.64s' does not exist", id);
    }
    if (s->error != NULL) {
        return err_setf(err, -EINVAL, "storage.cfg: %s", s->error);
    }
    *ret = s;
    return 0;
}

guint storagecfg_count(const StorageCfg *cfg)
{
    return cfg->storages->len;
}

const Storage *storagecfg_at(const StorageCfg *cfg, guint i)
{
    return cfg->storages->pdata[i];
}

const char *storage_prop(const Storage *s, const char *key)
{
    /* The place of `local` is part of the format and cannot be moved. */
    if (strcmp(key, "path") == 0 && strcmp(s->id, LOCAL_ID) == 0) {
        return LOCAL_PATH;
    }
    return sectionlines_get(s->entry, key);
}

bool storage_flag(const Storage *s, const char *key, bool fallback)
{
    const char *value = storage_prop(s, key);
    int yes;

    if (value == NULL) {
        return fallback;
    }
    yes = value[0] == '\0' ? 1 : propstring_parse_bool(value);
    return yes < 0 ? fallback : yes == 1;
}

static bool in_list(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit_set(list, ",; \t", -1);

    return g_strv_contains((const char *const *)words, word);
}

bool storage_has_content(const Storage *s, const char *content)
{
    const struct StorageKindRow *kind = kind_of(s->type);
    const char *list = storage_prop(s, "content");

    if (list == NULL) {
        list = kind != NULL ? kind->content : "";
    }
    return in_list(list, content);
}

bool storage_on_node(const Storage *s, const char *node)
{
    const char *nodes = storage_prop(s, "nodes");

    if (storage_flag(s, "disable", false)) {
        return false;
    }
    return nodes == NULL || nodes[0] == '\0' || strcmp(s->id, LOCAL_ID) == 0 ||
           in_list(nodes, node);
}

int storage_check_node(const Storage *s, const char *node, Err *err)
{
    if (storage_flag(s, "disable", false)) {
        return err_setf(err, -EACCES, "storage '%s' is disabled", s->id);
    }
    if (!storage_on_node(s, node)) {
        return err_setf(err, -EACCES, "storage '%s' is not for node '%s' (nodes %s)", s->id, node,
                        storage_prop(s, "nodes"));
    }
    return 0;
}

bool storage_is_shared(const Storage *s)
{
    const struct StorageKindRow *kind = kind_of(s->type);

    return (kind != NULL && kind->shared) || storage_flag(s, "shared", false);
}
