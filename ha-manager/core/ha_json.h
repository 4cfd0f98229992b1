/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_json: reading the JSON of status files without trusting it. A thin layer over json-glib that
 * bounds size and depth first and gives typed members; a member of the wrong type counts as absent.
 * Pure; any thread.
 */
#ifndef HA_MANAGER_CORE_HA_JSON_H
#define HA_MANAGER_CORE_HA_JSON_H

#include "lib/base/err.h"

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The object that is the whole text; an empty text gives an empty object. -EFBIG, -EBADMSG. The
 * caller unrefs *ret_object. */
int ha_json_parse_object(const char *text, JsonObject **ret_object, Err *err) must_check;

/* Any value, for inputs that are not objects; the caller frees *ret_node. */
int ha_json_parse(const char *text, JsonNode **ret_node, Err *err) must_check;

/* Borrowed; NULL when absent or of another type. */
const char *ha_json_text(JsonObject *o, const char *name);
JsonObject *ha_json_object(JsonObject *o, const char *name);
JsonArray *ha_json_array(JsonObject *o, const char *name);

/* Numbers may be written as JSON strings ("2"); `fallback` when absent or no number. */
int64_t ha_json_int(JsonObject *o, const char *name, int64_t fallback);
double ha_json_double(JsonObject *o, const char *name, double fallback);

/* The member as text, numbers in their decimal form; NULL when absent. Caller frees. */
char *ha_json_scalar(JsonObject *o, const char *name);

#endif
