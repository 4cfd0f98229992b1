/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/guest_change.h"

#include "guest/core/confschema.h"
#include "guest/core/volid.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DELETE_KEY "delete"
#define UNUSED_MAX 256

void guest_change_init(GuestChange *c)
{
    *c = (GuestChange){0};
    c->set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    c->remove = g_ptr_array_new_with_free_func(g_free);
    c->revert = g_ptr_array_new_with_free_func(g_free);
}

void guest_change_clear(GuestChange *c)
{
    g_clear_pointer(&c->set, g_hash_table_unref);
    g_clear_pointer(&c->remove, g_ptr_array_unref);
    g_clear_pointer(&c->revert, g_ptr_array_unref);
}

/* ----------------------------------------------------------------- volumes */

/* The volume that the value of `key` owns; NULL when it owns none (CD drives, paths, other keys).
 * Caller frees. */
static char *owned_volume(const char *key, const char *value)
{
    const ConfOption *option = confschema_find(key, NULL);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    const char *file;
    Volid v;

    if (option == NULL || !(option->flags & CONF_VOLUME) ||
        propstring_parse(option->props, value, unknown, &p, NULL) < 0) {
        return NULL;
    }
    if ((option->flags & CONF_DISK) && g_strcmp0(propstring_text(p, "media"), "cdrom") == 0) {
        return NULL;
    }
    file = propstring_text(p, "file");
    if (volid_parse(file, &v, NULL) < 0 || v.kind != VOLID_VOLUME) {
        return NULL;
    }
    return g_strdup(file);
}

static bool section_uses(const VmSection *s, const char *volid, bool with_unused)
{
    for (guint i = 0; i < s->entries->len; i++) {
        const VmEntry *e = s->entries->pdata[i];
        g_autofree char *volume = owned_volume(e->key, e->value);
        bool unused = g_str_has_prefix(e->key, "unused");
        if (volume != NULL && (with_unused || !unused) && strcmp(volume, volid) == 0) {
            return true;
        }
        if (strcmp(e->key, "vmstate") == 0 && strcmp(e->value, volid) == 0) {
            return true;
        }
    }
    return false;
}

bool guest_uses_volume(const VmConf *conf, const char *volid)
{
    for (guint i = 0; i < conf->sections->len; i++) {
        if (section_uses(conf->sections->pdata[i], volid, true)) {
            return true;
        }
    }
    return false;
}

int guest_keep_unused(VmConf *conf, const char *volid, Err *err)
{
    VmSection *main = vmconf_main(conf);

    if (section_uses(main, volid, true)) {
        return 0;
    }
    for (int i = 0; i < UNUSED_MAX; i++) {
        g_autofree char *key = g_strdup_printf("unused%d", i);
        if (vmsection_entry(main, key) == NULL) {
            vmsection_set(main, key, volid);
            return 0;
        }
    }
    return err_setf(err, -ENOSPC, "all of unused0..unused%d are taken", UNUSED_MAX - 1);
}

/* A volume that is used again is not unused any more. */
static void drop_unused_of(VmSection *main, const char *volid)
{
    for (int i = 0; i < UNUSED_MAX; i++) {
        g_autofree char *key = g_strdup_printf("unused%d", i);
        const char *value = vmsection_get(main, key);
        g_autofree char *volume = value != NULL ? owned_volume(key, value) : NULL;
        if (volume != NULL && strcmp(volume, volid) == 0) {
            (void)vmsection_unset(main, key); /* it was there */
        }
    }
}

/* ------------------------------------------------- the main section changes */

/* Takes `key` out of main. A disk stays as unused; an unused one, or a forced one, is freed when no
 * snapshot needs it. */
static int remove_now(VmConf *conf, const char *key, bool force, GPtrArray *freed, Err *err)
{
    VmSection *main = vmconf_main(conf);
    const char *value = vmsection_get(main, key);
    g_autofree char *volume = value != NULL ? owned_volume(key, value) : NULL;

    if (strcmp(key, "description") == 0) {
        vmsection_set_description(main, NULL);
        return 0;
    }
    if (!vmsection_unset(main, key) || volume == NULL) {
        return 0;
    }
    if (!force && !g_str_has_prefix(key, "unused")) {
        return guest_keep_unused(conf, volume, err);
    }
    if (guest_uses_volume(conf, volume)) {
        return 0; /* a snapshot, or another disk */
    }
    g_ptr_array_add(freed, g_steal_pointer(&volume));
    return 0;
}

static int set_now(VmConf *conf, const char *key, const char *value, Err *err)
{
    VmSection *main = vmconf_main(conf);
    const char *old = vmsection_get(main, key);
    g_autofree char *old_volume = old != NULL ? owned_volume(key, old) : NULL;
    g_autofree char *new_volume = owned_volume(key, value);

    if (strcmp(key, "description") == 0) {
        vmsection_set_description(main, value);
        return 0;
    }
    vmsection_set(main, key, value);
    if (new_volume != NULL && !g_str_has_prefix(key, "unused")) {
        drop_unused_of(main, new_volume);
    }
    if (old_volume != NULL && g_strcmp0(old_volume, new_volume) != 0) {
        return guest_keep_unused(conf, old_volume, err);
    }
    return 0;
}

/* ----------------------------------------------------------------- pending */

/* The list under `delete`: key -> forced. The caller owns it. */
static GHashTable *read_deletes(const VmConf *conf)
{
    GHashTable *deletes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
    const char *list = pending != NULL ? vmsection_get(pending, DELETE_KEY) : NULL;
    g_auto(GStrv) words = g_strsplit_set(list != NULL ? list : "", ",; ", -1);

    for (char **word = words; *word != NULL; word++) {
        bool forced = (*word)[0] == '!';
        if ((*word)[forced ? 1 : 0] != '\0') {
            g_hash_table_insert(deletes, g_strdup(*word + (forced ? 1 : 0)),
                                GINT_TO_POINTER(forced));
        }
    }
    return deletes;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_deletes(VmConf *conf, GHashTable *deletes)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = NULL;
    GHashTableIter iter;
    void *key;
    void *forced;

    g_hash_table_iter_init(&iter, deletes);
    while (g_hash_table_iter_next(&iter, &key, &forced)) {
        g_ptr_array_add(words,
                        g_strconcat(GPOINTER_TO_INT(forced) ? "!" : "", (const char *)key, NULL));
    }
    if (words->len == 0) {
        VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
        if (pending != NULL) {
            (void)vmsection_unset(pending, DELETE_KEY); /* there may be none */
        }
        return;
    }
    g_ptr_array_sort(words, compare_text);
    g_ptr_array_add(words, NULL);
    text = g_strjoinv(",", (char **)words->pdata);
    vmsection_set(vmconf_need_section(conf, VM_SECTION_PENDING, NULL), DELETE_KEY, text);
}

static void drop_empty_pending(VmConf *conf)
{
    const VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);

    if (pending != NULL && pending->entries->len == 0 && pending->kept->len == 0 &&
        pending->description == NULL) {
        (void)vmconf_remove_section(conf, VM_SECTION_PENDING, NULL); /* it is there */
    }
}

static void keep_if_possible(VmConf *conf, const char *volume)
{
    Err full = ERR_INIT;

    if (guest_keep_unused(conf, volume, &full) < 0) {
        err_clear(&full);
    }
}

/* Drops what waits for `key`. A disk that waited to be attached stays as unused, unless `next`, the
 * value that comes in its place, has the same volume. */
static void unpend(VmConf *conf, const char *key, const char *next)
{
    VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
    const char *value = pending != NULL ? vmsection_get(pending, key) : NULL;
    g_autofree char *volume = value != NULL ? owned_volume(key, value) : NULL;
    g_autofree char *next_volume = next != NULL ? owned_volume(key, next) : NULL;
    g_autoptr(GHashTable) deletes = read_deletes(conf);

    if (pending != NULL) {
        (void)vmsection_unset(pending, key); /* it may be only in the list below */
    }
    if (volume != NULL && g_strcmp0(volume, next_volume) != 0 && !guest_uses_volume(conf, volume)) {
        /* With all numbers of unused taken its name is lost, its data stays. */
        keep_if_possible(conf, volume);
    }
    if (g_hash_table_remove(deletes, key)) {
        write_deletes(conf, deletes);
    }
}

static void pend_delete(VmConf *conf, const char *key, bool force)
{
    g_autoptr(GHashTable) deletes = NULL;

    unpend(conf, key, NULL);
    if (vmsection_entry(vmconf_main(conf), key) == NULL) {
        return;
    }
    deletes = read_deletes(conf);
    g_hash_table_insert(deletes, g_strdup(key), GINT_TO_POINTER(force));
    write_deletes(conf, deletes);
}

static void pend_set(VmConf *conf, const char *key, const char *value)
{
    unpend(conf, key, value);
    if (g_strcmp0(vmsection_get(vmconf_main(conf), key), value) != 0) {
        vmsection_set(vmconf_need_section(conf, VM_SECTION_PENDING, NULL), key, value);
    }
}

void guest_pending_apply(VmConf *conf, GPtrArray *freed)
{
    VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
    g_autoptr(GHashTable) deletes = read_deletes(conf);
    GHashTableIter iter;
    void *key;
    void *forced;

    if (pending == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, deletes);
    while (g_hash_table_iter_next(&iter, &key, &forced)) {
        /* With all numbers of unused taken the disk leaves the file, its data stays. */
        (void)remove_now(conf, key, GPOINTER_TO_INT(forced) != 0, freed, NULL);
    }
    for (guint i = 0; i < pending->entries->len; i++) {
        const VmEntry *e = pending->entries->pdata[i];
        if (strcmp(e->key, DELETE_KEY) != 0) {
            (void)set_now(conf, e->key, e->value, NULL); /* as above */
        }
    }
    if (pending->description != NULL) {
        vmsection_set_description(vmconf_main(conf), pending->description);
    }
    (void)vmconf_remove_section(conf, VM_SECTION_PENDING, NULL); /* it is there */
}

static const VmEntry *entry_at(const VmSection *s, guint i)
{
    return s != NULL && i < s->entries->len ? s->entries->pdata[i] : NULL;
}

GArray *guest_pending_list(const VmConf *conf)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(GuestPending));
    const VmSection *main = vmconf_main(conf);
    const VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
    g_autoptr(GHashTable) deletes = read_deletes(conf);
    guint m = 0;
    guint p = 0;

    while (entry_at(main, m) != NULL || entry_at(pending, p) != NULL) {
        const VmEntry *a = entry_at(main, m);
        const VmEntry *b = entry_at(pending, p);
        int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->key, b->key);
        GuestPending item = {0};

        if (order <= 0) {
            item.key = a->key;
            item.current = a->value;
            item.removed = g_hash_table_contains(deletes, a->key);
            item.forced = GPOINTER_TO_INT(g_hash_table_lookup(deletes, a->key)) != 0;
            m++;
        }
        if (order >= 0) {
            item.key = b->key;
            item.next = b->value;
            p++;
        }
        if (strcmp(item.key, DELETE_KEY) != 0) {
            g_array_append_val(list, item);
        }
    }
    return list;
}

/* ------------------------------------------------------------- one change */

static int check_set(const char *key, const char *value, Err *err)
{
    const ConfOption *option = confschema_find(key, NULL);
    g_autofree char *stored = NULL;

    if (option != NULL && (option->flags & CONF_INTERNAL) && strcmp(key, "lock") != 0) {
        return err_setf(err, -EINVAL, "%s: is kept by the program and cannot be set", key);
    }
    if (strpbrk(value, "\r\n") != NULL && strcmp(key, "description") != 0) {
        return err_setf(err, -EINVAL, "%s: a value cannot hold line breaks", key);
    }
    if (strcmp(key, "description") == 0) {
        return 0;
    }
    int r = confschema_check(key, value, NULL, &stored, err);
    return r == -ENOENT ? err_setf(err, -EINVAL, "unknown option '%.60s'", key) : r;
}

static int check_remove(const VmConf *conf, const char *key, bool force, Err *err)
{
    const VmSection *main = vmconf_main(conf);
    const VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
    const char *value = vmsection_get(main, key);
    const char *protected = vmsection_get(main, "protection");
    g_autofree char *volume = value != NULL ? owned_volume(key, value) : NULL;
    bool frees = volume != NULL && (force || g_str_has_prefix(key, "unused"));

    if (strcmp(key, "description") == 0) {
        return 0;
    }
    if (value == NULL && (pending == NULL || vmsection_get(pending, key) == NULL)) {
        return confschema_find(key, NULL) != NULL
                   ? 0 /* taking away what is at its default already is no mistake */
                   : err_setf(err, -ENOENT, "unknown option '%.60s'", key);
    }
    if (frees && protected != NULL && propstring_parse_bool(protected) == 1) {
        return err_setf(err, -EPERM, "%s: the guest is protected", key);
    }
    return 0;
}

static int check_all(const VmConf *conf, const GuestChange *c, Err *err)
{
    GHashTableIter iter;
    void *key;
    void *value;
    int r = 0;

    g_hash_table_iter_init(&iter, c->set);
    while (r == 0 && g_hash_table_iter_next(&iter, &key, &value)) {
        r = check_set(key, value, err);
    }
    for (guint i = 0; r == 0 && i < c->remove->len; i++) {
        const char *name = c->remove->pdata[i];
        if (g_hash_table_contains(c->set, name)) {
            return err_setf(err, -EINVAL, "%s: cannot be set and deleted at once", name);
        }
        r = check_remove(conf, name, c->force, err);
    }
    return r;
}

static bool counts_now(const GuestChange *c, const char *key)
{
    const ConfOption *option = confschema_find(key, NULL);

    return !c->running || (option != NULL && (option->flags & CONF_IMMEDIATE));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int change(VmConf *conf, const GuestChange *c, GPtrArray *freed, Err *err)
{
    g_autofree const char **keys = NULL;
    guint n = 0;
    int r = 0;

    for (guint i = 0; i < c->revert->len; i++) {
        unpend(conf, c->revert->pdata[i], NULL);
    }
    for (guint i = 0; r == 0 && i < c->remove->len; i++) {
        const char *key = c->remove->pdata[i];
        if (counts_now(c, key)) {
            unpend(conf, key, NULL);
            r = remove_now(conf, key, c->force, freed, err);
        } else {
            pend_delete(conf, key, c->force);
        }
    }
    keys = (const char **)g_hash_table_get_keys_as_array(c->set, &n);
    qsort(keys, n, sizeof *keys, compare_names); /* the same change gives the same file */
    for (guint i = 0; r == 0 && i < n; i++) {
        const char *value = g_hash_table_lookup(c->set, keys[i]);
        if (counts_now(c, keys[i])) {
            unpend(conf, keys[i], value);
            r = set_now(conf, keys[i], value, err);
        } else {
            pend_set(conf, keys[i], value);
        }
    }
    drop_empty_pending(conf);
    return r;
}

int guest_change_apply(VmConf *conf, const GuestChange *c, GPtrArray *freed, Err *err)
{
    g_autoptr(VmConf) draft = NULL;
    GPtrArray *sections;
    int r = check_all(conf, c, err);

    if (r < 0) {
        return r;
    }
    draft = vmconf_copy(conf);
    r = change(draft, c, freed, err);
    if (r < 0) {
        g_ptr_array_set_size(freed, 0);
        return r;
    }
    sections = conf->sections;
    conf->sections = draft->sections;
    draft->sections = sections;
    return 0;
}

/* ------------------------------------------------------------------- small */

int guest_check_lock(const VmConf *conf, bool skip, Err *err)
{
    const char *lock = vmsection_get(vmconf_main(conf), "lock");

    if (lock == NULL || skip) {
        return 0;
    }
    if (strcmp(lock, "create") == 0 || strcmp(lock, "clone") == 0) {
        return err_setf(err, -EBUSY,
                        "the guest is locked (%s): when nothing makes it any more, 'qm destroy' "
                        "removes what there is of it",
                        lock);
    }
    if (strcmp(lock, "rollback") == 0) {
        return err_setf(err, -EBUSY,
                        "the guest is locked (%s): when nothing takes it back any more, "
                        "'qm rollback' again does it whole",
                        lock);
    }
    return err_setf(
        err, -EBUSY,
        "the guest is locked (%s); when nothing works on it any more, 'qm unlock' helps", lock);
}

char *guest_uuid(const guint8 b[16])
{
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-4%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x",
                           b[0], b[1], b[2], b[3], b[4], b[5], b[6] & 0xfu, b[7], 8u | (b[8] & 3u),
                           b[8] >> 4 & 0xfu, b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}
