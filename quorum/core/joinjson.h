/* SPDX-License-Identifier: Apache-2.0 */
/*
 * joinjson: members of the JSON objects that nodes and their tools send one another, and the list
 * of what speaks against a request. A member of another kind than asked for counts as missing.
 * Pure; any thread.
 */
#ifndef QUORUM_CORE_JOINJSON_H
#define QUORUM_CORE_JOINJSON_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Borrowed from `o`, which may be NULL; NULL when there is no such text. */
const char *joinjson_text(JsonObject *o, const char *name);

/* False, and `ret` as it was, when there is no such whole number. */
bool joinjson_number(JsonObject *o, const char *name, int64_t *ret);

/* One more reason why not, in words for people. */
void problems_add(GPtrArray *problems, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
