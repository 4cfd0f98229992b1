/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clusterlog: what the nodes log for all to see, newest entries in a ring of fixed size (reference
 * pmxcfs chapter 12). Decides what is added, dropped as a duplicate, merged and shown; the bytes
 * are lib/wire/wire_clog's. Part of Status (status.h), which gives it its lock and its group.
 *
 * Pure; one owner at a time.
 */
#ifndef PMXCFS_CORE_CLUSTERLOG_H
#define PMXCFS_CORE_CLUSTERLOG_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"

#include <glib.h>
#include <stdint.h>

#define CLUSTERLOG_DUMP_DEFAULT 50u   /* entries in a dump when no number is asked for */
#define CLUSTERLOG_STEP_MAX_SEC 3600u /* a clock that steps back further was wrong before */

typedef struct Clusterlog Clusterlog;

typedef struct ClusterlogText {
    uint8_t priority; /* syslog level, 0 to 7 */
    const char *ident;
    const char *tag;
    uint32_t pid;
    const char *text; /* as a person wrote it, any bytes: made safe when stored */
} ClusterlogText;

/* `nodename` is copied; so is `tracer` (may be NULL). */
Clusterlog *clusterlog_new(const char *nodename, const Tracer *tracer);
void clusterlog_free(Clusterlog *log); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Clusterlog, clusterlog_free)

/* Adds an entry of this node; it is never dropped. When the wall clock stands before the newest own
 * entry, it gets that one's time and a later uid, so that neither we nor the other members take it
 * for an old one (reference 18.1.18); after a step of more than CLUSTERLOG_STEP_MAX_SEC it gets the
 * true time. `ret_entry` (may be NULL) gets its wire form, to be sent as a
 * LOG message. -EINVAL: priority above 7. */
int clusterlog_add(Clusterlog *log,
                   const ClusterlogText *t,
                   WallTime wall,
                   GBytes **ret_entry,
                   Err *err) must_check;

/* Inserts an entry from another node: 1 inserted, 0 dropped because it is not newer than the newest
 * one known of its node (unless its clock was set back by far), -EBADMSG malformed. */
int clusterlog_insert(Clusterlog *log, const void *entry, size_t size) must_check;

/* The whole ring, its entries put in ascending order first: payload of STATE. */
GBytes *clusterlog_state(Clusterlog *log);

/* Replaces the content by the newest entries of our own ring and of `rings`, payloads of the other
 * members' STATE messages. A ring that is malformed is left out, or used as far as it can be read.
 */
void clusterlog_merge(Clusterlog *log, GBytes *const *rings, guint n_rings);

/* Appends the dump (12.5), newest first: at most `max` entries (0: CLUSTERLOG_DUMP_DEFAULT), only
 * those of ident `user` unless NULL or "". Always valid JSON, whatever the entries contain. */
void clusterlog_format(const Clusterlog *log, const char *user, uint32_t max, GString *out);

/* Appends `text` in the form in which entries carry it (12.1), at most `space` bytes with a NUL.
 * Public for tests. */
void clusterlog_convert_text(const char *text, size_t space, GString *out);

#endif
