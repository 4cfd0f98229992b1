/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontext: JSON strings for the views whose exact bytes are part of a documented format and
 * therefore cannot come from a JSON library; and what is checked of a text before a JSON library
 * may have it. Pure; any thread.
 */
#ifndef LIB_BASE_JSONTEXT_H
#define LIB_BASE_JSONTEXT_H

#include "lib/base/err.h"

#include <glib.h>

#define JSON_DEPTH_MAX 16 /* nothing that we read this way nests deeper than five */

/* Whether `size` bytes have the outline of one object or array, nested at most `depth_max` deep:
 * nothing after it, no comments. json-glib reads on behind a value, forgets to free it when the
 * next one is none, and recurses once per level. -EBADMSG with the reason. */
int json_check_outline(const char *text, gsize size, unsigned depth_max, Err *err) must_check;

/* Appends `s` as a JSON string with its quotes. Escapes `"`, `\`, and control characters; bytes
 * that are not valid UTF-8 become U+FFFD, so that the result always parses. */
void json_append_string(GString *out, const char *s);

/* The same for `len` bytes that may contain NUL. */
void json_append_string_len(GString *out, const char *s, gsize len);

#endif
