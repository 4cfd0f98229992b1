/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strmap: a map from string to pointer whose order is the byte order of its keys.
 *
 * For decisions that must come out the same on every run: walking it needs no sorting and never
 * depends on hashing. A sorted array, so lookup is O(log n) and appending in key order is O(1);
 * inserting elsewhere moves the tail. Made for up to some ten thousand entries.
 *
 * Keys are copied; values are owned when a free function was given. Walk with an index:
 *     for (guint i = 0; i < strmap_size(m); i++) { strmap_key(m, i); strmap_value(m, i); }
 * Adding or removing invalidates indexes at and after the changed place, and borrowed keys removed.
 * One thread at a time per object.
 */
#ifndef LIB_BASE_STRMAP_H
#define LIB_BASE_STRMAP_H

#include <glib.h>
#include <stdbool.h>

typedef struct StrMap StrMap;

/* `free_value` may be NULL: values are then borrowed or plain numbers. */
StrMap *strmap_new(GDestroyNotify free_value);
void strmap_free(StrMap *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrMap, strmap_free)

/* Number of keys. */
guint strmap_size(const StrMap *m);

/* `i` must be below strmap_size. Borrowed. */
const char *strmap_key(const StrMap *m, guint i);
void *strmap_value(const StrMap *m, guint i);

/* The value, or NULL when the key is absent (or its value is NULL). */
void *strmap_get(const StrMap *m, const char *key);
bool strmap_has(const StrMap *m, const char *key);

/* True when present; then its place is in *ret_index. */
bool strmap_find(const StrMap *m, const char *key, guint *ret_index);

/* Adds, or replaces and frees the old value. Returns the key as stored, borrowed. */
const char *strmap_set(StrMap *m, const char *key, void *value);

/* True when something was removed. */
bool strmap_remove(StrMap *m, const char *key);
void strmap_remove_at(StrMap *m, guint i);
void strmap_clear(StrMap *m);

#endif
