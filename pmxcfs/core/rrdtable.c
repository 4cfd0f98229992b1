/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/rrdtable.h"

#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

typedef struct Value {
    char *text; /* owned */
    MonoTime arrived;
} Value;

struct RrdTable {
    GTree *values; /* id -> Value; sorted, so that dumps are */
    GString *dump;
    MonoTime dumped;
    bool has_dump; /* false since the newest change: a dump is never stale */
};

static void value_free(gpointer data)
{
    Value *v = data;

    g_free(v->text);
    g_free(v);
}

static gint id_compare(gconstpointer a, gconstpointer b, gpointer unused)
{
    (void)unused;
    return strcmp(a, b);
}

RrdTable *rrdtable_new(void)
{
    RrdTable *t = g_new0(RrdTable, 1);

    t->values = g_tree_new_full(id_compare, NULL, g_free, value_free);
    t->dump = g_string_new(NULL);
    return t;
}

void rrdtable_free(RrdTable *t)
{
    if (t == NULL) {
        return;
    }
    g_tree_unref(t->values);
    g_string_free(t->dump, TRUE);
    g_free(t);
}

bool rrdtable_value_ok(const void *value, size_t size)
{
    return size > 0 && size < CFS_RRD_SIZE_MAX && ((const char *)value)[size - 1] == '\0';
}

static bool is_expired(const Value *v, MonoTime now)
{
    return mono_diff_us(now, v->arrived) > CFS_RRD_EXPIRE_SEC * US_PER_SEC;
}

typedef struct Sweep {
    MonoTime now;
    GPtrArray *ids; /* borrowed */
} Sweep;

static gboolean find_expired(gpointer key, gpointer value, gpointer ctx)
{
    Sweep *s = ctx;

    if (is_expired(value, s->now)) {
        g_ptr_array_add(s->ids, key);
    }
    return FALSE;
}

static void drop_expired(RrdTable *t, MonoTime now)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    Sweep s = {.now = now, .ids = ids};

    g_tree_foreach(t->values, find_expired, &s);
    for (guint i = 0; i < ids->len; i++) {
        g_tree_remove(t->values, g_ptr_array_index(ids, i));
    }
}

int rrdtable_set(RrdTable *t, const char *id, const char *value, MonoTime now)
{
    Value *v = g_tree_lookup(t->values, id);

    if (v == NULL) {
        if (g_tree_nnodes(t->values) >= (gint)CFS_RRD_IDS_MAX) {
            drop_expired(t, now);
        }
        if (g_tree_nnodes(t->values) >= (gint)CFS_RRD_IDS_MAX) {
            return -ENOSPC;
        }
        v = g_new0(Value, 1);
        g_tree_insert(t->values, g_strdup(id), v);
    }
    g_free(v->text);
    v->text = g_strdup(value);
    v->arrived = now;
    t->has_dump = false;
    return 0;
}

static gboolean append_line(gpointer key, gpointer value, gpointer ctx)
{
    const Value *v = value;
    GString *out = ctx;

    g_string_append(out, key);
    g_string_append_c(out, ':');
    g_string_append(out, v->text);
    g_string_append_c(out, '\n');
    return FALSE;
}

void rrdtable_format(RrdTable *t, MonoTime now, GString *out)
{
    int64_t age_us = mono_diff_us(now, t->dumped);

    if (!t->has_dump || age_us < 0 || age_us >= CFS_RRD_DUMP_REUSE_MS * US_PER_MS) {
        drop_expired(t, now);
        g_string_truncate(t->dump, 0);
        g_tree_foreach(t->values, append_line, t->dump);
        t->dumped = now;
        t->has_dump = true;
    }
    g_string_append_len(out, t->dump->str, (gssize)t->dump->len);
}
