/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guestprops: the `key: value` lines of one guest config, parsed once and asked many times (IPC
 * requests 11 and 13; reference pmxcfs 15.3). Only lines before the first section (`[...]`) count.
 *
 * Pure; immutable once made, so any thread may read it.
 */
#ifndef PMXCFS_CORE_GUESTPROPS_H
#define PMXCFS_CORE_GUESTPROPS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct GuestProps GuestProps;

/* `text` (`size` bytes, any content) is not kept. */
GuestProps *guestprops_parse(const char *text, size_t size);
void guestprops_free(GuestProps *p); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestProps, guestprops_free)

/* Appends `"<vmid>":{"<name>": "<value>",...}` with the hits in the order of `names` (`n` strings,
 * each with its NUL, back to back). False, and nothing appended, without a hit. A key that occurs
 * again counts as the original counts it: later lines replace, until one hit more than names was
 * seen. */
bool guestprops_format(
    const GuestProps *p, uint32_t vmid, const char *names, unsigned n, GString *out);

#endif
