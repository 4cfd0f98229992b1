/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_make.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/machine.h"
#include "guest/io/guest_disks.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_hot.h"
#include "guest/io/volume.h"

#include <crypt.h>
#include <errno.h>
#include <string.h>

#define SALT_BYTES 16

/* --------------------------------------------------------------- normalise */

/* A password as /etc/shadow has it. What looks like a hash is one already. */
static int hash_password(const FreshSource *f, const char *password, char **ret, Err *err)
{
    uint8_t bytes[SALT_BYTES];
    struct crypt_data *data;
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *hash = NULL;

    if (password[0] == '$') {
        *ret = g_strdup(password);
        return 0;
    }
    f->random(f->ctx, bytes, sizeof bytes);
    data = g_new0(struct crypt_data, 1);
    if (crypt_gensalt_rn("$6$", 0, (const char *)bytes, sizeof bytes, setting, sizeof setting) !=
        NULL) {
        hash = crypt_r(password, setting, data);
    }
    *ret = hash != NULL && hash[0] == '$' ? g_strdup(hash) : NULL;
    g_free(data);
    return *ret != NULL ? 0 : err_setf(err, -ENOTSUP, "cipassword: cannot be hashed here");
}

static int normalise(const FreshSource *f, const char *key, const char *value, char **ret, Err *err)
{
    const ConfOption *option = confschema_find(key, NULL);

    if (option == NULL || strcmp(key, "description") == 0) {
        *ret = g_strdup(value);
        return 0;
    }
    if (option->props == &props_net) {
        int r = fresh_net(f, value, false, ret, err);
        return r < 0 ? err_wrapf(err, r, "%s", key) : 0;
    }
    if (strcmp(key, "cipassword") == 0) {
        return hash_password(f, value, ret, err);
    }
    if (strcmp(key, "tags") == 0) {
        *ret = fresh_tags(value);
        return 0;
    }
    return confschema_check(key, value, NULL, ret, err); /* "on" is written as 1 */
}

int guest_normalise(GuestStore *s, GHashTable *options, Err *err)
{
    FreshSource fresh = guest_store_fresh(s, false);
    GHashTableIter iter;
    void *key;
    void *value;

    g_hash_table_iter_init(&iter, options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        char *text = NULL;
        int r = normalise(&fresh, key, value, &text, err);
        if (r < 0) {
            return r;
        }
        g_hash_table_iter_replace(&iter, text);
    }
    return 0;
}

/* Sorted, so that the same request gives the same volumes. */
static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *sorted_keys(GHashTable *options)
{
    GPtrArray *keys = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, options);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_ptr_array_add(keys, g_strdup(key));
    }
    g_ptr_array_sort(keys, compare_text);
    return keys;
}

/* Makes the volumes that the values of drives wish for. */
static int
resolve_all(GuestStore *s, uint32_t vmid, const VmSection *main, GHashTable *options, Err *err)
{
    g_autoptr(GPtrArray) keys = sorted_keys(options);

    for (guint i = 0; i < keys->len; i++) {
        const char *key = keys->pdata[i];
        char *text = NULL;
        int r =
            guest_disk_resolve(s, vmid, main, key, g_hash_table_lookup(options, key), &text, err);
        if (r < 0) {
            return r;
        }
        g_hash_table_insert(options, g_strdup(key), text);
    }
    return 0;
}

/* ------------------------------------------------------------------ create */

/* Windows notices changed hardware: it keeps the machine that it was installed on. */
static void pin_machine(const FreshSource *f, VmSection *main)
{
    const char *ostype = vmsection_get(main, "ostype");
    const char *type = vmsection_get(main, "machine");
    bool windows = ostype != NULL && ostype[0] == 'w';
    QemuVersion v;

    if (!windows || f->qemu == NULL || qemu_version_parse(f->qemu, &v, NULL) < 0) {
        return;
    }
    if (type == NULL || strcmp(type, "pc") == 0 || strcmp(type, "q35") == 0) {
        g_autofree char *pinned = g_strdup_printf(
            "pc-%s-%d.%d", g_strcmp0(type, "q35") == 0 ? "q35" : "i440fx", v.major, v.minor);
        vmsection_set(main, "machine", pinned);
    }
}

/* The configuration as asked for, with volumes not made yet. */
static int draft_of(uint32_t vmid, GHashTable *options, VmConf **ret, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) draft = vmconf_new();
    g_auto(GuestChange) change;
    GHashTableIter iter;
    void *key;
    void *value;
    int r;

    guest_change_init(&change);
    g_hash_table_iter_init(&iter, options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_hash_table_insert(change.set, g_strdup(key), g_strdup(value));
    }
    r = guest_change_apply(draft, &change, freed, err);
    if (r == 0) {
        r = guest_disks_check(vmconf_main(draft), vmid, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&draft);
    }
    return r;
}

static int fill(GuestStore *s,
                uint32_t vmid,
                GHashTable *options,
                GuestEdit *edit,
                const VmConf *plan,
                Err *err)
{
    FreshSource fresh = guest_store_fresh(s, true);
    g_autoptr(VmConf) conf = NULL;
    int r = resolve_all(s, vmid, vmconf_main(plan), options, err);

    if (r == 0) {
        r = draft_of(vmid, options, &conf, err);
    }
    if (r == 0) {
        pin_machine(&fresh, vmconf_main(conf));
        r = fresh_create(&fresh, vmconf_main(conf), err);
    }
    if (r == 0) {
        guest_edit_replace(edit, g_steal_pointer(&conf));
        r = guest_edit_commit(edit, err);
    }
    return r;
}

int guest_create(GuestStore *s, uint32_t vmid, GHashTable *options, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(VmConf) plan = NULL;
    int r = guest_normalise(s, options, err);

    if (r == 0) {
        r = draft_of(vmid, options, &plan, err);
    }
    if (r == 0) {
        r = guest_edit_create(s->host->tree, vmid, "create", &edit, err);
    }
    if (r < 0) {
        return r;
    }
    r = fill(s, vmid, options, edit, plan, err);
    if (r == 0) {
        guest_store_keep(s);
        return 0;
    }
    guest_store_undo(s);
    if (guest_edit_remove(edit, NULL) < 0) {
        guest_say(
            s->host, GUEST_SAY_WARNING,
            "the configuration of guest %u stays, locked (create): remove it with 'qm destroy "
            "%u --skiplock'",
            vmid, vmid);
    }
    return r;
}

/* --------------------------------------------------------------------- set */

/* What the change would give must be a guest; checked before anything is made. */
static int check_plan(uint32_t vmid, const VmConf *conf, const GuestChange *change, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) draft = vmconf_copy(conf);
    GuestChange now = *change;
    int r;

    now.running = false; /* as it will be after the next start */
    r = guest_change_apply(draft, &now, freed, err);
    return r == 0 ? guest_disks_check(vmconf_main(draft), vmid, err) : r;
}

static void vmgenid_wish(GuestStore *s, GHashTable *options)
{
    const char *value = g_hash_table_lookup(options, "vmgenid");

    if (value != NULL && strcmp(value, "1") == 0) {
        FreshSource fresh = guest_store_fresh(s, false);
        guint8 bytes[16];
        fresh.random(fresh.ctx, bytes, sizeof bytes);
        g_hash_table_insert(options, g_strdup("vmgenid"), guest_uuid(bytes));
    }
}

static int apply(GuestStore *s, uint32_t vmid, GuestSet *set, GuestEdit *edit, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    VmConf *conf = guest_edit_conf(edit);
    int r = guest_store_running(s, vmid, err);

    if (r < 0) {
        return r;
    }
    set->change.running = r > 0;
    r = guest_normalise(s, set->change.set, err);
    if (r == 0) {
        vmgenid_wish(s, set->change.set);
        r = check_plan(vmid, conf, &set->change, err);
    }
    if (r == 0) {
        r = resolve_all(s, vmid, vmconf_main(conf), set->change.set, err);
    }
    if (r == 0) {
        r = guest_change_apply(conf, &set->change, freed, err);
    }
    for (guint i = 0; r == 0 && i < freed->len; i++) {
        guest_store_note(s, GUEST_WORK_VOLUME, freed->pdata[i]);
    }
    if (r == 0) {
        r = guest_edit_commit(edit, err);
    }
    if (r < 0) {
        guest_store_undo(s);
        return r;
    }
    guest_store_keep(s);
    guest_store_free(s, vmid, freed);
    return set->change.running ? guest_hot_apply(s, vmid, edit, err) : 0;
}

int guest_set(GuestStore *s, uint32_t vmid, GuestSet *set, Err *err)
{
    GuestEditOptions options = {.digest = set->digest, .skiplock = set->skiplock};
    g_autoptr(GuestEdit) edit = NULL;
    int r = guest_edit_begin(s->host->tree, vmid, &options, &edit, err);

    if (r < 0) {
        return r;
    }
    guest_store_works_on(s, vmid);
    return apply(s, vmid, set, edit, err);
}
