/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_params: parameters of a REST request: from the query, and from a body that is either a form
 * (application/x-www-form-urlencoded) or one JSON object. Bounded; checked against a table, with
 * the error texts clients know (reference api, chapters 3 and 4). Pure; one thread per object.
 */
#ifndef LIB_WIRE_WIRE_PARAMS_H
#define LIB_WIRE_WIRE_PARAMS_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define WIRE_PARAMS_MAX      256u
#define WIRE_PARAMS_NAME_MAX 64u
#define WIRE_PARAMS_TEXT_MAX 65536u

typedef struct Params Params;

/* `query` without "?", may be NULL; `body` may be empty. A name given twice keeps both values
 * (params_get: the last). "_dc" is ignored. -EBADMSG, -E2BIG. */
int params_parse(const char *query, const void *body, gsize size, Params **ret, Err *err)
    must_check;
void params_free(Params *p); /* wipes: passwords pass through here */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Params, params_free)

typedef enum ParamKind {
    PARAM_TEXT,
    PARAM_INT,
    PARAM_BOOL, /* 0 1 true false on off yes no */
} ParamKind;

typedef struct ParamSpec {
    const char *name;
    ParamKind kind;
    int64_t min, max; /* INT: value; TEXT: length, max 0: WIRE_PARAMS_TEXT_MAX */
    bool required;
    bool (*valid)(const char *text); /* further check of a text; may be NULL */
    const char *what;                /* "node name": for the message when `valid` says no */
} ParamSpec;

/* Checks all against `specs` (ends with a NULL name). NULL when good; else the JSON object of
 * errors, name to text, which the caller frees. */
char *params_check(const Params *p, const ParamSpec *specs);

/* Takes out a parameter that repeats what the path says, as clients send it. False: one of its
 * values is another; that one stays. */
bool params_drop_repeated(Params *p, const char *name, const char *value);

/* The last value, or NULL. Borrowed. */
const char *params_get(const Params *p, const char *name);
/* Only after params_check. */
int64_t params_int(const Params *p, const char *name, int64_t fallback);
bool params_bool(const Params *p, const char *name, bool fallback);

/* Reads a boolean as clients write it. False when it is none. */
bool params_parse_bool(const char *text, bool *ret);

#endif
