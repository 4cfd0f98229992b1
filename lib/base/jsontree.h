/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontree: JSON (RFC 8259) as a tree of values, with bounds on what a peer can make us hold. For
 * what comes over sockets; the pure rooms cannot use a library that allocates without limits.
 *
 * Text must be UTF-8; a key that appears twice keeps its last value; numbers without fraction and
 * exponent that fit are integers, all others reals. One thread at a time per tree.
 */
#ifndef LIB_BASE_JSONTREE_H
#define LIB_BASE_JSONTREE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum JsonTreeKind {
    JSONTREE_NULL,
    JSONTREE_BOOL,
    JSONTREE_INT,
    JSONTREE_REAL,
    JSONTREE_TEXT,
    JSONTREE_ARRAY,
    JSONTREE_OBJECT,
} JsonTreeKind;

#define JSONTREE_DEPTH_MAX 64       /* nobody we talk to nests deeper than ten */
#define JSONTREE_NODES_MAX 1000000u /* a million values; bounds memory beside the text */

typedef struct JsonTree JsonTree;

/* Parses all of `len` bytes as one value. -EBADMSG says what and where; -E2BIG beyond the limits.
 */
int jsontree_parse(const char *text, size_t len, JsonTree **ret, Err *err) must_check;
void jsontree_free(JsonTree *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonTree, jsontree_free)
JsonTree *jsontree_copy(const JsonTree *t);

/* ---- reading; all accept NULL and values of another kind, and then answer "nothing" */

JsonTreeKind jsontree_kind(const JsonTree *t); /* NULL pointer: JSONTREE_NULL */
/* Value under `key` of an object, or NULL; borrowed. */
const JsonTree *jsontree_get(const JsonTree *t, const char *key);
/* Members of an object or elements of an array. */
guint jsontree_count(const JsonTree *t);
const JsonTree *jsontree_at(const JsonTree *t, guint i);
const char *jsontree_key(const JsonTree *t, guint i);
/* NULL when it is no text; borrowed. */
const char *jsontree_text(const JsonTree *t);
bool jsontree_bool(const JsonTree *t, bool fallback);
int64_t jsontree_int(const JsonTree *t, int64_t fallback);
double jsontree_real(const JsonTree *t, double fallback); /* integers too */
/* The same for the value under `key`. */
const char *jsontree_get_text(const JsonTree *t, const char *key);
bool jsontree_get_bool(const JsonTree *t, const char *key, bool fallback);
int64_t jsontree_get_int(const JsonTree *t, const char *key, int64_t fallback);

/* ---- building */

/* New values, owned by the caller until they are put into another. Texts are copied. */
JsonTree *jsontree_new_object(void);
JsonTree *jsontree_new_array(void);
JsonTree *jsontree_new_text(const char *text);
JsonTree *jsontree_new_int(int64_t value);
JsonTree *jsontree_new_real(double value);
JsonTree *jsontree_new_bool(bool value);
/* Adds or replaces a member; takes `value`. `t` must be an object. */
void jsontree_set(JsonTree *t, const char *key, JsonTree *value);
void jsontree_set_text(JsonTree *t, const char *key, const char *value); /* NULL: leaves it out */
void jsontree_set_int(JsonTree *t, const char *key, int64_t value);
void jsontree_set_bool(JsonTree *t, const char *key, bool value);
/* Appends; takes `value`. `t` must be an array. */
void jsontree_add(JsonTree *t, JsonTree *value);

/* ---- writing */

/* Compact, members in the order they were set. */
void jsontree_append(GString *out, const JsonTree *t);
/* Indented by three blanks, members sorted by key, a newline at the end. Caller frees. */
char *jsontree_pretty(const JsonTree *t);

#endif
