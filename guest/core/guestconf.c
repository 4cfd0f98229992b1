/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/guestconf.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct GuestConf {
    const VmSection *section;
    uint32_t vmid;
    GHashTable *values; /* key -> char *: checked and normalised */
    GHashTable *props;  /* key -> PropString * */
    char *default_name;
};

void guestconf_free(GuestConf *gc)
{
    if (gc != NULL) {
        g_hash_table_unref(gc->values);
        g_hash_table_unref(gc->props);
        g_free(gc->default_name);
        g_free(gc);
    }
}

static void warn_unknown(GPtrArray *warnings, const VmEntry *e, GPtrArray *unknown)
{
    for (guint i = 0; i < unknown->len; i++) {
        g_ptr_array_add(warnings,
                        g_strdup_printf("line %u: %s: unknown property '%s', ignored", e->line,
                                        e->key, (const char *)unknown->pdata[i]));
    }
}

static int
read_props(GuestConf *gc, const VmEntry *e, const PropSchema *schema, GPtrArray *warnings, Err *err)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    PropString *p;
    int r = propstring_parse(schema, e->value, unknown, &p, err);

    if (r < 0) {
        return err_wrapf(err, r, "line %u: %s", e->line, e->key);
    }
    warn_unknown(warnings, e, unknown);
    g_hash_table_insert(gc->props, g_strdup(e->key), p);
    return 0;
}

static int read_entry(GuestConf *gc, const VmEntry *e, GPtrArray *warnings, Err *err)
{
    const ConfOption *option = confschema_find(e->key, NULL);
    char *value;
    int r;

    if (option == NULL) {
        g_ptr_array_add(warnings,
                        g_strdup_printf("line %u: unknown option '%s', ignored", e->line, e->key));
        return 0;
    }
    if (option->props != NULL) {
        return read_props(gc, e, option->props, warnings, err);
    }
    r = confschema_check(e->key, e->value, NULL, &value, err);
    if (r < 0) {
        return err_wrapf(err, r, "line %u", e->line);
    }
    g_hash_table_insert(gc->values, g_strdup(e->key), value);
    return 0;
}

static void free_props(void *data)
{
    propstring_free(data);
}

int guestconf_new(
    const VmSection *section, uint32_t vmid, GPtrArray *warnings, GuestConf **ret, Err *err)
{
    g_autoptr(GuestConf) gc = g_new0(GuestConf, 1);

    gc->section = section;
    gc->vmid = vmid;
    gc->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    gc->props = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_props);
    gc->default_name = g_strdup_printf("vm%u", vmid);
    for (guint i = 0; i < section->entries->len; i++) {
        int r = read_entry(gc, section->entries->pdata[i], warnings, err);
        if (r < 0) {
            return r;
        }
    }
    *ret = g_steal_pointer(&gc);
    return 0;
}

uint32_t guestconf_vmid(const GuestConf *gc)
{
    return gc->vmid;
}

bool guestconf_has(const GuestConf *gc, const char *key)
{
    return vmsection_entry(gc->section, key) != NULL;
}

const char *guestconf_text(const GuestConf *gc, const char *key)
{
    const char *value = g_hash_table_lookup(gc->values, key);
    const ConfOption *option = confschema_find(key, NULL);

    assert(option != NULL && option->props == NULL);
    return value != NULL ? value : option->value.fallback;
}

bool guestconf_bool(const GuestConf *gc, const char *key)
{
    const char *value = guestconf_text(gc, key);

    return value != NULL && propstring_parse_bool(value) == 1;
}

int64_t guestconf_int(const GuestConf *gc, const char *key)
{
    const char *value = guestconf_text(gc, key);

    return value != NULL ? g_ascii_strtoll(value, NULL, 10) : 0;
}

const PropString *guestconf_props(const GuestConf *gc, const char *key)
{
    return g_hash_table_lookup(gc->props, key);
}

const PropString *guestconf_props_at(const GuestConf *gc, const char *name, int index)
{
    g_autofree char *key = g_strdup_printf("%s%d", name, index);

    return guestconf_props(gc, key);
}

const char *guestconf_name(const GuestConf *gc)
{
    const char *name = guestconf_text(gc, "name");

    return name != NULL ? name : gc->default_name;
}

int guestconf_windows(const GuestConf *gc)
{
    static const struct {
        const char *ostype;
        int version;
    } versions[] = {{"wxp", 5},  {"w2k", 5},  {"w2k3", 5},   {"wvista", 6}, {"w2k8", 6},
                    {"win7", 7}, {"win8", 8}, {"win10", 10}, {"win11", 11}};
    const char *ostype = guestconf_text(gc, "ostype");

    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
        if (strcmp(versions[i].ostype, ostype) == 0) {
            return versions[i].version;
        }
    }
    return 0;
}

bool guestconf_hotplug(const GuestConf *gc, const char *class)
{
    const char *value = guestconf_text(gc, "hotplug");
    g_auto(GStrv) words = NULL;

    if (strcmp(value, "0") == 0) {
        return false;
    }
    if (strcmp(value, "1") == 0) {
        value = confschema_find("hotplug", NULL)->value.fallback;
    }
    words = g_strsplit_set(value, ",; ", -1);
    return g_strv_contains((const char *const *)words, class);
}

bool guestconf_freezes(const VmSection *section)
{
    const char *agent = vmsection_get(section, "agent");
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;

    return agent != NULL && propstring_parse(&props_agent, agent, unknown, &p, NULL) == 0 &&
           propstring_bool(p, "enabled") && propstring_bool(p, "freeze-fs");
}
