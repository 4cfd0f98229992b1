/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_shellwords: words split and quoted as a shell would, for fence.cfg. No shell is involved:
 * fence agents get their arguments as an array. Pure; any thread.
 */
#ifndef HA_MANAGER_CORE_HA_SHELLWORDS_H
#define HA_MANAGER_CORE_HA_SHELLWORDS_H

#include "lib/base/err.h"

#include <glib.h>

/* Splits at blanks outside of quotes; '...' literal, "..." with backslash before " and \, backslash
 * elsewhere takes the next character. -EINVAL for a quote that is not closed. Owned char *. */
int ha_shellwords_split(const char *text, GPtrArray **ret_words, Err *err) must_check;

/* Appends the word, in single quotes when it holds anything but plain characters. */
void ha_shellwords_append_quoted(GString *out, const char *word);

#endif
