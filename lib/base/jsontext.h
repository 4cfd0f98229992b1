/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontext: JSON strings for the views whose exact bytes are part of a documented format and
 * therefore cannot come from a JSON library. Pure; any thread.
 */
#ifndef LIB_BASE_JSONTEXT_H
#define LIB_BASE_JSONTEXT_H

#include <glib.h>

/* Appends `s` as a JSON string with its quotes. Escapes `"`, `\`, and control characters; bytes
 * that are not valid UTF-8 become U+FFFD, so that the result always parses. */
void json_append_string(GString *out, const char *s);

/* The same for `len` bytes that may contain NUL. */
void json_append_string_len(GString *out, const char *s, gsize len);

#endif
