/* SPDX-License-Identifier: Apache-2.0 */
/*
 * propstring: property strings, the `key=value,key=value` values of configuration files
 * (`scsi0: local:100/vm-100-disk-0.raw,discard=on,size=32G`). Reference: guest.md section 4.
 *
 * A schema table says which keys exist and what their values may be. One key may be the default key
 * and then appears as a bare value. An alias key stands for another key; an alias may also carry a
 * second key whose value is the alias' own name (`virtio=AA:BB:...` is `model=virtio` with
 * `macaddr=AA:BB:...`). A key that appears twice is an error.
 *
 * Values are stored normalised (booleans as 0 and 1). Pure. One thread at a time per object.
 */
#ifndef LIB_CONF_PROPSTRING_H
#define LIB_CONF_PROPSTRING_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROPSTRING_TEXT_MAX                                                                        \
    (64 * 1024)                /* no documented value comes near; a line of 64 KiB is junk */
#define PROPSTRING_KEYS_MAX 96 /* the largest schema (drives) has about 60 */

typedef enum PropKind {
    PROP_TEXT,   /* any text without a comma, at most `max` bytes when `max` is not 0 */
    PROP_BOOL,   /* 1 on yes true / 0 off no false; stored "1" or "0" */
    PROP_INT,    /* decimal digits, `min` to `max` */
    PROP_NUMBER, /* decimal digits with an optional fraction, `min` to `max` */
    PROP_WORD,   /* one of `words` */
    PROP_SIZE,   /* 104858K, 32G; stored as written */
} PropKind;

enum {                       /* PropKey.flags */
       PROP_DEFAULT_KEY = 1, /* may stand as a bare value; at most one per schema */
       PROP_REQUIRED = 2,
};

typedef struct PropKey {
    const char *name;
    PropKind kind;
    unsigned flags;
    int64_t min;
    int64_t max;
    const char *words;   /* accepted words separated by one blank */
    const char *alias;   /* this key stands for that one and has no value of its own */
    const char *implies; /* with `alias`: that key is set to this key's name */
    int (*check)(const char *value, Err *err); /* further rule, or NULL */
    const char *fallback;                      /* what holds when the key is absent, or NULL */
    const char *text;                          /* one line for people */
} PropKey;

typedef struct PropSchema {
    const char *name; /* what an error calls the whole: "drive" */
    const PropKey *keys;
    size_t n_keys; /* at most PROPSTRING_KEYS_MAX */
} PropSchema;

typedef struct PropString PropString;

/* An empty one; `schema` must live as long. */
PropString *propstring_new(const PropSchema *schema);
void propstring_free(PropString *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PropString, propstring_free)

/* Parses `text`. -EINVAL names the key and what it accepts. With `unknown` NULL an unknown key is
 * such an error; otherwise it is kept, and `unknown` (GPtrArray of char *, owned by the caller,
 * freed with g_free) gets its name, so that the caller can warn about what a newer program wrote.
 */
int propstring_parse(const PropSchema *schema,
                     const char *text,
                     GPtrArray *unknown,
                     PropString **ret,
                     Err *err) must_check;

/* The text: default key first and bare, required keys sorted, the rest sorted. Caller frees. */
char *propstring_format(const PropString *p);

/* As stored, or NULL when absent; borrowed until the key changes. `key` must be in the schema. */
const char *propstring_text(const PropString *p, const char *key);

/* Stored value, or the schema's fallback, or NULL. */
const char *propstring_value(const PropString *p, const char *key);

/* Stored value, else the schema's fallback, else false / 0. `key` must be of that kind. */
bool propstring_bool(const PropString *p, const char *key);
int64_t propstring_int(const PropString *p, const char *key);
double propstring_number(const PropString *p, const char *key);

/* Checks and stores; replaces what was there. */
int propstring_set(PropString *p, const char *key, const char *value, Err *err) must_check;
void propstring_unset(PropString *p, const char *key);

/* What a value of `key` may be, as a phrase: "1..4094", "one of on, ignore". Caller frees. */
char *propkey_accepts(const PropKey *key);

/* Checks one value against one key and gives the form in which it is stored. Caller frees *ret. */
int propkey_check(const PropKey *key, const char *value, char **ret, Err *err) must_check;

/* Whether a part of a comma list begins with `start` ("media="): for texts that are not checked. */
bool propstring_has_part(const char *text, const char *start);

/* 1 or 0 for the words that mean true and false, -EINVAL for all others. */
int propstring_parse_bool(const char *text);

#endif
