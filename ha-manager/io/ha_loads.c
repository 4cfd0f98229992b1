/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_loads.h"

#include "lib/conf/vmconf.h"

#include <string.h>

#define MIB         (1024.0 * 1024.0)
#define MEMORY_MIB  512.0 /* of a guest that does not say */
#define COLUMNS_MAX 64

#define NODE_ID  "pve-node-9.0/%s"
#define GUEST_ID "pve-vm-9.0/%s"

/* Columns of both kinds: reference pmxcfs 13. */
enum { NODE_MAXCPU = 4, NODE_CPU = 5, NODE_MAXMEM = 7, NODE_MEM = 8 };
enum { GUEST_STATUS = 2, GUEST_MAXCPU = 5, GUEST_CPU = 6, GUEST_MAXMEM = 7, GUEST_MEM = 8 };

struct HaValues {
    char *text;       /* cut into ids and columns */
    GHashTable *rows; /* id -> its columns; both in `text` */
};

HaValues *ha_values_new(const char *text, gsize size)
{
    HaValues *v = g_new0(HaValues, 1);
    char *next;

    v->text = g_strndup(text, size);
    v->rows = g_hash_table_new(g_str_hash, g_str_equal);
    for (char *line = v->text; line != NULL; line = next) {
        char *colon;

        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        colon = strchr(line, ':');
        if (colon != NULL) {
            *colon = '\0';
            g_hash_table_insert(v->rows, line, colon + 1);
        }
    }
    return v;
}

void ha_values_free(HaValues *v)
{
    if (v != NULL) {
        g_hash_table_unref(v->rows);
        g_free(v->text);
        g_free(v);
    }
}

/* NULL terminated; NULL: nothing is known under this id. Caller frees. */
static char **columns(const HaValues *v, const char *id)
{
    const char *row = g_hash_table_lookup(v->rows, id);

    return row != NULL ? g_strsplit(row, ":", COLUMNS_MAX) : NULL;
}

static char **guest_columns(const HaValues *v, const char *sid)
{
    const char *colon = strchr(sid, ':');
    g_autofree char *id = g_strdup_printf(GUEST_ID, colon != NULL ? colon + 1 : "");

    return columns(v, id);
}

static double number(char **values, guint i)
{
    double d;

    if (g_strv_length(values) <= i) {
        return 0;
    }
    d = g_ascii_strtod(values[i], NULL); /* "U" reads as 0 */
    return d > 0 ? d : 0;
}

bool ha_values_guest_runs(const HaValues *v, const char *sid)
{
    g_auto(GStrv) c = guest_columns(v, sid);

    return c != NULL && g_strv_length(c) > GUEST_STATUS && strcmp(c[GUEST_STATUS], "running") == 0;
}

/* A share of all CPUs is told, cores are weighed. */
HaLoad *ha_values_node_load(const HaValues *v, const char *node)
{
    g_autofree char *id = g_strdup_printf(NODE_ID, node);
    g_auto(GStrv) c = columns(v, id);
    HaLoad *load;

    if (c == NULL || number(c, NODE_MAXCPU) <= 0) {
        return NULL;
    }
    load = g_new0(HaLoad, 1);
    *load = (HaLoad){.maxcpu = number(c, NODE_MAXCPU),
                     .cpu = number(c, NODE_CPU) * number(c, NODE_MAXCPU),
                     .maxmem = number(c, NODE_MAXMEM),
                     .mem = number(c, NODE_MEM)};
    return load;
}

HaLoad *ha_values_guest_load(const HaValues *v, const char *sid)
{
    g_auto(GStrv) c = guest_columns(v, sid);
    HaLoad *load;

    if (c == NULL) {
        return NULL;
    }
    load = g_new0(HaLoad, 1);
    *load = (HaLoad){.maxcpu = number(c, GUEST_MAXCPU),
                     .cpu = number(c, GUEST_CPU) * number(c, GUEST_MAXCPU),
                     .maxmem = number(c, GUEST_MAXMEM),
                     .mem = number(c, GUEST_MEM)};
    return load;
}

HaLoad *ha_load_of_static_info(const char *text, gsize size)
{
    g_autoptr(JsonTree) tree = NULL;
    HaLoad *load;

    if (jsontree_parse(text, size, &tree, NULL) < 0) {
        return NULL;
    }
    load = g_new0(HaLoad, 1);
    load->maxcpu = jsontree_real(jsontree_get(tree, "cpus"), 0);
    load->maxmem = jsontree_real(jsontree_get(tree, "memory"), 0);
    return load;
}

/* What a configuration says under a key; NULL: nothing. */
typedef const char *(*Lookup)(const void *conf, const char *key);

static const char *in_section(const void *conf, const char *key)
{
    return vmsection_get(conf, key);
}

static const char *in_properties(const void *conf, const char *key)
{
    return jsontree_get_text(conf, key);
}

static double conf_number(Lookup get, const void *conf, const char *key, double fallback)
{
    const char *value = get(conf, key);

    if (value != NULL && g_str_has_prefix(value, "current=")) {
        value += strlen("current=");
    }
    return value != NULL ? g_ascii_strtod(value, NULL) : fallback;
}

static HaLoad configured(const char *sid, Lookup get, const void *conf)
{
    HaLoad load = {0};

    if (g_str_has_prefix(sid, "ct:")) {
        load.maxcpu = conf_number(get, conf, "cpulimit", conf_number(get, conf, "cores", 0));
    } else {
        load.maxcpu =
            conf_number(get, conf, "vcpus",
                        conf_number(get, conf, "sockets", 1) * conf_number(get, conf, "cores", 1));
    }
    load.maxmem = conf_number(get, conf, "memory", MEMORY_MIB) * MIB;
    load.cpu = load.maxcpu;
    load.mem = load.maxmem;
    return load;
}

HaLoad *ha_load_of_config(const char *sid, const char *text, gsize size)
{
    g_autoptr(VmConf) conf = NULL;
    HaLoad *load = g_new0(HaLoad, 1);

    if (vmconf_parse(text, size, &(VmConfParse){0}, &conf, NULL) == 0) {
        *load = configured(sid, in_section, vmconf_main(conf));
    }
    return load;
}

HaLoad *ha_load_of_properties(const char *sid, const JsonTree *properties)
{
    HaLoad *load = g_new0(HaLoad, 1);

    *load = configured(sid, in_properties, properties);
    return load;
}
