/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tombstone: what a cluster remembers of a node that it took out, in priv/removed-nodes/NAME:
 * `key: value` lines. A node of that name that comes back with its old configuration is told so; a
 * join under the name removes it. Pure; any thread.
 */
#ifndef QUORUM_CORE_TOMBSTONE_H
#define QUORUM_CORE_TOMBSTONE_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TOMBSTONE_SIZE_MAX 1024u /* bytes of the text */

typedef struct Tombstone {
    char *node;
    uint32_t nodeid;
    WallTime when;
    char *by;  /* node on which it was done */
    bool left; /* it left by itself */
} Tombstone;

void tombstone_done(Tombstone *t);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tombstone, tombstone_done)

char *tombstone_format(const Tombstone *t); /* caller frees */
int tombstone_parse(const char *text, size_t size, Tombstone *ret, Err *err) must_check;

/* What the node is told, in one line. Caller frees. */
char *tombstone_text(const Tombstone *t, const char *cluster);

#endif
