/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/strmap.h"

#include <assert.h>
#include <string.h>

typedef struct Entry {
    char *key;
    void *value;
} Entry;

struct StrMap {
    GArray *entries; /* Entry, ascending by key */
    GDestroyNotify free_value;
};

static Entry *at(const StrMap *m, guint i)
{
    assert(i < m->entries->len);
    return &g_array_index(m->entries, Entry, i);
}

StrMap *strmap_new(GDestroyNotify free_value)
{
    StrMap *m = g_new0(StrMap, 1);

    m->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    m->free_value = free_value;
    return m;
}

static void entry_done(const StrMap *m, Entry *e)
{
    g_free(e->key);
    if (m->free_value != NULL && e->value != NULL) {
        m->free_value(e->value);
    }
}

void strmap_clear(StrMap *m)
{
    for (guint i = 0; i < m->entries->len; i++) {
        entry_done(m, at(m, i));
    }
    g_array_set_size(m->entries, 0);
}

void strmap_free(StrMap *m)
{
    if (m == NULL) {
        return;
    }
    strmap_clear(m);
    g_array_unref(m->entries);
    g_free(m);
}

guint strmap_size(const StrMap *m)
{
    return m->entries->len;
}

const char *strmap_key(const StrMap *m, guint i)
{
    return at(m, i)->key;
}

void *strmap_value(const StrMap *m, guint i)
{
    return at(m, i)->value;
}

/* First place whose key is not below `key`. Files come sorted, so the end is tried first. */
static guint lower_bound(const StrMap *m, const char *key)
{
    guint lo = 0;
    guint hi = m->entries->len;

    if (hi > 0 && strcmp(at(m, hi - 1)->key, key) < 0) {
        return hi;
    }
    while (lo < hi) {
        guint mid = lo + (hi - lo) / 2;

        if (strcmp(at(m, mid)->key, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool strmap_find(const StrMap *m, const char *key, guint *ret_index)
{
    guint i = lower_bound(m, key);

    if (i < m->entries->len && strcmp(at(m, i)->key, key) == 0) {
        *ret_index = i;
        return true;
    }
    return false;
}

void *strmap_get(const StrMap *m, const char *key)
{
    guint i;

    return strmap_find(m, key, &i) ? at(m, i)->value : NULL;
}

bool strmap_has(const StrMap *m, const char *key)
{
    guint i;

    return strmap_find(m, key, &i);
}

const char *strmap_set(StrMap *m, const char *key, void *value)
{
    guint i = lower_bound(m, key);
    Entry fresh;

    if (i < m->entries->len && strcmp(at(m, i)->key, key) == 0) {
        Entry *e = at(m, i);

        if (m->free_value != NULL && e->value != NULL && e->value != value) {
            m->free_value(e->value);
        }
        e->value = value;
        return e->key;
    }
    fresh = (Entry){g_strdup(key), value};
    g_array_insert_val(m->entries, i, fresh);
    return fresh.key;
}

void strmap_remove_at(StrMap *m, guint i)
{
    Entry e = *at(m, i);

    g_array_remove_index(m->entries, i);
    entry_done(m, &e);
}

bool strmap_remove(StrMap *m, const char *key)
{
    guint i;

    if (!strmap_find(m, key, &i)) {
        return false;
    }
    strmap_remove_at(m, i);
    return true;
}
