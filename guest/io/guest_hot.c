/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_hot.h"

#include "guest/core/confschema.h"
#include "guest/core/guest_change.h"
#include "guest/core/volid.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/volume.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

/* The drive of a value, when it is a CD drive; NULL otherwise. */
static PropString *read_cdrom(const char *key, const char *value)
{
    const ConfOption *option = confschema_find(key, NULL);
    g_autoptr(PropString) p = NULL;

    if (option == NULL || value == NULL || !(option->flags & CONF_DISK) ||
        propstring_parse(option->props, value, NULL, &p, NULL) < 0 ||
        g_strcmp0(propstring_text(p, "media"), "cdrom") != 0) {
        return NULL;
    }
    return g_steal_pointer(&p);
}

static int change_disc(GuestStore *s, uint32_t vmid, const char *key, const PropString *p, Err *err)
{
    const char *file = propstring_text(p, "file");
    JsonTree *arguments = jsontree_new_object();
    g_autofree char *path = NULL;
    Volid v;
    int r = volid_parse(file, &v, err);

    jsontree_set_text(arguments, "id", key);
    if (r == 0 && v.kind == VOLID_NONE) {
        jsontree_set_bool(arguments, "force", true);
        return guest_qmp_call(s->host->run_dir, vmid, "eject", arguments, 0, NULL, err);
    }
    if (r == 0) {
        r = v.kind == VOLID_CDROM
                ? err_setf(err, -ENOTSUP, "the host's own drive comes at the next start")
                : volume_path(s->set, file, &path, err);
    }
    if (r < 0) {
        jsontree_free(arguments);
        return r;
    }
    jsontree_set_text(arguments, "filename", path);
    jsontree_set_text(arguments, "format", "raw");
    return guest_qmp_call(s->host->run_dir, vmid, "blockdev-change-medium", arguments, 0, NULL,
                          err);
}

static int set_balloon(GuestStore *s, uint32_t vmid, const char *value, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_int(arguments, "value", g_ascii_strtoll(value, NULL, 10) * MIB);
    return guest_qmp_call(s->host->run_dir, vmid, "balloon", arguments, 0, NULL, err);
}

/* 1: done, 0: cannot be while it runs. */
static int try_one(GuestStore *s, uint32_t vmid, const VmSection *main, const VmEntry *e, Err *err)
{
    const char *now = vmsection_get(main, e->key);
    g_autoptr(PropString) old = read_cdrom(e->key, now);
    g_autoptr(PropString) next = read_cdrom(e->key, e->value);
    int r = 0;

    if (old != NULL && next != NULL && strstr(e->value, "cloudinit") == NULL) {
        r = change_disc(s, vmid, e->key, next, err);
    } else if (strcmp(e->key, "balloon") == 0 && strcmp(e->value, "0") != 0 &&
               g_strcmp0(now, "0") != 0) {
        r = set_balloon(s, vmid, e->value, err);
    } else {
        return 0;
    }
    return r < 0 ? r : 1;
}

static GPtrArray *keys_of(const VmSection *pending)
{
    GPtrArray *keys = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; pending != NULL && i < pending->entries->len; i++) {
        g_ptr_array_add(keys, g_strdup(((const VmEntry *)pending->entries->pdata[i])->key));
    }
    return keys;
}

/* What QEMU took counts from now on. */
static int settle(VmConf *conf, const char *key, Err *err)
{
    const char *value = vmsection_get(vmconf_section(conf, VM_SECTION_PENDING, NULL), key);
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_auto(GuestChange) change;

    guest_change_init(&change);
    g_hash_table_insert(change.set, g_strdup(key), g_strdup(value));
    return guest_change_apply(conf, &change, freed, err);
}

int guest_hot_apply(GuestStore *s, uint32_t vmid, GuestEdit *edit, Err *err)
{
    VmConf *conf = guest_edit_conf(edit);
    g_autoptr(GPtrArray) keys = keys_of(vmconf_section(conf, VM_SECTION_PENDING, NULL));
    int r = 0;

    for (guint i = 0; r >= 0 && i < keys->len; i++) {
        const VmSection *pending = vmconf_section(conf, VM_SECTION_PENDING, NULL);
        const VmEntry *e = pending != NULL ? vmsection_entry(pending, keys->pdata[i]) : NULL;
        Err why = ERR_INIT;

        r = e != NULL ? try_one(s, vmid, vmconf_main(conf), e, &why) : 0;
        if (r < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s waits for the next start: %s",
                      (const char *)keys->pdata[i], err_text(&why));
            r = 0;
        } else if (r > 0) {
            r = settle(conf, keys->pdata[i], err);
        }
    }
    return r < 0 ? r : guest_edit_commit(edit, err);
}
