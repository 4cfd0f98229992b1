/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/snapplan.h"

#include "guest/core/confschema.h"
#include "guest/core/guest_change.h"
#include "guest/core/volid.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

/* Of the snapshot itself: not part of the guest it describes. */
static const char *const own_keys[] = {"snaptime",       "snapstate",  "vmstate",
                                       "runningmachine", "runningcpu", "running-nets-host-mtu"};

static bool is_drive(const char *key)
{
    const ConfOption *option = confschema_find(key, NULL);

    return option != NULL && (option->flags & CONF_VOLUME) != 0 &&
           strcmp(option->value.name, "unused") != 0;
}

/* ------------------------------------------------------------------- making */

int snapplan_prepare(VmConf *conf,
                     const char *name,
                     const char *description,
                     int64_t now_sec,
                     VmSection **ret,
                     Err *err)
{
    const VmSection *main = vmconf_main(conf);
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, now_sec);
    VmSection *section;
    int r = vmconf_check_snapname(name, err);

    if (r == 0 && strcmp(name, "current") == 0) {
        r = err_setf(err, -EINVAL, "a snapshot cannot be called 'current'");
    }
    if (r == 0 && propstring_parse_bool(vmsection_get(main, "template") != NULL
                                            ? vmsection_get(main, "template")
                                            : "0") == 1) {
        r = err_setf(err, -EPERM, "a template has no snapshots");
    }
    if (r == 0 && vmconf_section(conf, VM_SECTION_SNAPSHOT, name) != NULL) {
        r = err_setf(err, -EEXIST, "there is a snapshot '%s' already", name);
    }
    if (r < 0) {
        return r;
    }
    section = vmconf_need_section(conf, VM_SECTION_SNAPSHOT, name);
    vmsection_assign(section, vmconf_main(conf));
    (void)vmsection_unset(section, "lock");
    vmsection_set_description(section, description);
    vmsection_set(section, "snaptime", now);
    vmsection_set(section, "snapstate", "prepare");
    *ret = section;
    return 0;
}

void snapplan_commit(VmConf *conf, const char *name)
{
    VmSection *section = vmconf_section(conf, VM_SECTION_SNAPSHOT, name);

    if (section != NULL) {
        (void)vmsection_unset(section, "snapstate");
        vmsection_set(vmconf_main(conf), "parent", name);
    }
}

/* ----------------------------------------------------------------- removing */

void snapplan_remove(VmConf *conf, const char *name)
{
    const VmSection *section = vmconf_section(conf, VM_SECTION_SNAPSHOT, name);
    g_autofree char *parent = section != NULL ? g_strdup(vmsection_get(section, "parent")) : NULL;

    for (guint i = 0; i < conf->sections->len; i++) {
        VmSection *s = conf->sections->pdata[i];
        if ((s->kind != VM_SECTION_MAIN && s->kind != VM_SECTION_SNAPSHOT) ||
            g_strcmp0(vmsection_get(s, "parent"), name) != 0) {
            continue;
        }
        if (parent != NULL) {
            vmsection_set(s, "parent", parent);
        } else {
            (void)vmsection_unset(s, "parent");
        }
    }
    (void)vmconf_remove_section(conf, VM_SECTION_SNAPSHOT, name);
}

int snapplan_find(const VmConf *conf, const char *name, bool broken_too, VmSection **ret, Err *err)
{
    VmSection *section = vmconf_section(conf, VM_SECTION_SNAPSHOT, name);
    const char *state = section != NULL ? vmsection_get(section, "snapstate") : NULL;

    if (section == NULL) {
        return err_setf(err, -ENOENT, "there is no snapshot '%s'", name);
    }
    if (state != NULL && !broken_too) {
        return err_setf(err, -EBUSY,
                        "snapshot '%s' is not complete (snapstate: %s): remove it with "
                        "'qm delsnapshot ... --force'",
                        name, state);
    }
    *ret = section;
    return 0;
}

/* ----------------------------------------------------------------- going back */

/* The first part of a drive's value. Caller frees. */
static char *drive_volume(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);

    for (char **part = parts; *part != NULL; part++) {
        if (g_str_has_prefix(*part, "file=")) {
            return g_strdup(*part + strlen("file="));
        }
        if (strchr(*part, '=') == NULL) {
            return g_strdup(*part);
        }
    }
    return g_strdup("");
}

static bool is_cdrom(const char *value)
{
    return propstring_has_part(value, "media=cdrom");
}

GPtrArray *snapplan_volumes(const VmSection *section)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < section->entries->len; i++) {
        const VmEntry *e = section->entries->pdata[i];
        g_autofree char *volume = is_drive(e->key) ? drive_volume(e->value) : NULL;
        Volid id;
        if (volume != NULL && !is_cdrom(e->value) && volid_parse(volume, &id, NULL) == 0 &&
            id.kind != VOLID_NONE && id.kind != VOLID_CDROM) {
            g_ptr_array_add(out, g_strdup(e->key));
            g_ptr_array_add(out, g_steal_pointer(&volume));
        }
    }
    return out;
}

/* Keys of the guest as it is now that going back must not lose. */
static void keep_now(VmSection *to, const VmSection *now, const char *key)
{
    const char *value = vmsection_get(now, key);

    if (value != NULL) {
        vmsection_set(to, key, value);
    } else {
        (void)vmsection_unset(to, key);
    }
}

int snapplan_rollback(VmConf *conf, const char *name, const char *vmgenid, Err *err)
{
    const VmSection *section = vmconf_section(conf, VM_SECTION_SNAPSHOT, name);
    g_autoptr(VmConf) before = vmconf_copy(conf);
    const VmSection *old = vmconf_main(before);
    g_autoptr(GPtrArray) volumes = snapplan_volumes(old);
    VmSection *main = vmconf_main(conf);
    int r = 0;

    if (section == NULL) {
        return err_setf(err, -ENOENT, "there is no snapshot '%s'", name);
    }
    vmsection_assign(main, section);
    for (size_t i = 0; i < G_N_ELEMENTS(own_keys); i++) {
        (void)vmsection_unset(main, own_keys[i]);
    }
    vmsection_set_description(main, old->description);
    keep_now(main, old, "lock");
    vmsection_set(main, "parent", name);
    if (vmgenid != NULL && vmsection_get(main, "vmgenid") != NULL &&
        strcmp(vmsection_get(main, "vmgenid"), "0") != 0) {
        vmsection_set(main, "vmgenid", vmgenid);
    }
    (void)vmconf_remove_section(conf, VM_SECTION_PENDING, NULL);
    for (guint i = 1; r == 0 && i < volumes->len; i += 2) {
        r = guest_keep_unused(conf, volumes->pdata[i], err);
    }
    for (guint i = 0; r == 0 && i < old->entries->len; i++) {
        const VmEntry *e = old->entries->pdata[i];
        if (g_str_has_prefix(e->key, "unused")) {
            r = guest_keep_unused(conf, e->value, err);
        }
    }
    return r;
}

/* -------------------------------------------------------------------- showing */

typedef struct Tree {
    const VmConf *conf;
    GString *out;
    char *(*format_time)(int64_t sec);
    bool current_shown;
} Tree;

static char *first_line(const char *text)
{
    return text != NULL ? g_strndup(text, strcspn(text, "\n")) : g_strdup("");
}

static void add_line(Tree *t, unsigned depth, const char *name, const char *time, const char *text)
{
    g_autofree char *line =
        g_strdup_printf("%*s`-> %-20s %-19s %s", (int)depth, "", name, time, text);

    g_string_append_printf(t->out, "%s\n", g_strchomp(line));
}

static char *time_of(const Tree *t, const VmSection *s)
{
    const char *sec = vmsection_get(s, "snaptime");

    if (sec == NULL) {
        return g_strdup("");
    }
    return t->format_time != NULL ? t->format_time(g_ascii_strtoll(sec, NULL, 10)) : g_strdup(sec);
}

static int by_time(const void *a, const void *b)
{
    const VmSection *x = *(const VmSection *const *)a;
    const VmSection *y = *(const VmSection *const *)b;
    const char *at_x = vmsection_get(x, "snaptime");
    const char *at_y = vmsection_get(y, "snaptime");
    gint64 tx = at_x != NULL ? g_ascii_strtoll(at_x, NULL, 10) : 0;
    gint64 ty = at_y != NULL ? g_ascii_strtoll(at_y, NULL, 10) : 0;

    return tx != ty ? (tx < ty ? -1 : 1) : strcmp(x->name, y->name);
}

/* The snapshot's parent when there is one; a name that leads nowhere makes a root. */
static const char *parent_of(const Tree *t, const VmSection *s)
{
    const char *parent = vmsection_get(s, "parent");

    return parent != NULL && vmconf_section(t->conf, VM_SECTION_SNAPSHOT, parent) != NULL ? parent
                                                                                          : NULL;
}

/* Lines of all that have this parent. The depth is bounded by the number of snapshots: a circle
 * of parents (a file changed by hand) is never entered from a root. */
static void add_children(Tree *t, const char *parent, unsigned depth)
{
    g_autoptr(GPtrArray) children = g_ptr_array_new();

    for (guint i = 0; i < t->conf->sections->len; i++) {
        VmSection *s = t->conf->sections->pdata[i];
        if (s->kind == VM_SECTION_SNAPSHOT && g_strcmp0(parent_of(t, s), parent) == 0) {
            g_ptr_array_add(children, s);
        }
    }
    g_ptr_array_sort(children, by_time);
    for (guint i = 0; i < children->len; i++) {
        const VmSection *s = children->pdata[i];
        g_autofree char *time = time_of(t, s);
        g_autofree char *text = first_line(s->description);
        add_line(t, depth, s->name, time, text[0] != '\0' ? text : "no-description");
        add_children(t, s->name, depth + 1);
    }
    if (g_strcmp0(parent_of(t, vmconf_main(t->conf)), parent) == 0) {
        add_line(t, depth, "current", "", "You are here!");
        t->current_shown = true;
    }
}

char *snapplan_tree(const VmConf *conf, char *(*format_time)(int64_t sec))
{
    Tree t = {.conf = conf, .out = g_string_new(NULL), .format_time = format_time};

    add_children(&t, NULL, 0);
    if (!t.current_shown) {
        add_line(&t, 0, "current", "", "You are here!");
    }
    return g_string_free(t.out, FALSE);
}
