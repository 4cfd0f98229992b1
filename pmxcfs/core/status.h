/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: what nodes tell each other and never store: key/value status, addresses, who is online,
 * RRD values, and the cluster log. Pure: time comes in, bytes and views come out; the status group
 * (statusgroup.h) replicates it. Reference: pmxcfs chapters 11 to 13.
 *
 * One owner at a time: the engine guards it with its status lock, held for short moments only.
 */
#ifndef PMXCFS_CORE_STATUS_H
#define PMXCFS_CORE_STATUS_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "pmxcfs/core/group.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Status Status;

typedef struct StatusNode {
    uint32_t nodeid;
    char *name; /* owned by the array that carries it */
    uint32_t votes;
} StatusNode;

/* `nodename`: short name of this node; `starttime`: Unix seconds of process start; `pid`: own pid.
 * Writes the first cluster log entry ("starting cluster log"). `tracer` (may be NULL) is copied. */
Status *status_new(const char *nodename, uint32_t pid, WallTime starttime, const Tracer *tracer);
void status_free(Status *s); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Status, status_free)

/* ---- who there is ---- */

/* Cluster information from cmap: name, totem.config_version, nodes. Online flags and key tables are
 * kept by node id. `cluster_name` NULL: no cluster information (local mode). */
void status_set_cluster(Status *s,
                        const char *cluster_name,
                        uint64_t config_version,
                        const StatusNode *nodes,
                        guint n_nodes);
void status_set_quorate(Status *s, bool quorate);

/* Processes now in the status group; NULL, 0 when we are not in it (nobody is then shown online but
 * ourselves: beats 18.1.22). A node that comes with another process id than before was restarted:
 * its keys are forgotten. */
void status_set_members(Status *s, const GroupMember *members, guint n);

/* A synchronisation begins: every member sends all its keys again and then its `nodeip`. Keys sent
 * again with the value they have keep their version; keys of a node that were not sent again when
 * its `nodeip` comes are stale and are forgotten. */
void status_resync(Status *s);

/* ---- key/value (11.1, 15.3) ---- */

/* The part of `key` behind "rrd/", NULL when it is no such key: values that go to RRD files too. */
const char *status_rrd_id(const char *key);

/* Stores a key of a node (`nodeid` 0 or own id: local). `now` stamps RRD values. Not multicast
 * here, and nothing that is refused here may be. -EFBIG   longer than CFS_STATUS_SIZE_MAX -ENOMEM
 * `nodeip` or `rrd/` that is empty, too long or not NUL terminated (as documented) -EINVAL  key
 * longer than its field -ENOENT  node not in the node list -ENOSPC  too many keys or bytes of one
 * node, too many RRD sources */
int status_set(Status *s,
               uint32_t nodeid,
               const char *key,
               const void *value,
               size_t size,
               MonoTime now,
               Err *err) must_check;

/* The stored bytes (one reference to the caller); `node` NULL or "": this node. -ENOENT, also for
 * `nodeip` and `rrd/`, which have no value of their own. */
int status_get(const Status *s, const char *node, const char *key, GBytes **ret) must_check;

/* Own keys to be sent again at synchronisation, in a stable order: callback per key. */
void status_foreach_own(const Status *s,
                        void (*fn)(void *ctx, const char *key, const void *value, size_t size),
                        void *ctx);

/* ---- cluster log (chapter 12) ---- */

/* Adds a local entry; `ret_entry` (may be NULL) gets its wire form to be multicast. -EINVAL on bad
 * priority. */
int status_log(Status *s,
               uint8_t priority,
               const char *ident,
               const char *tag,
               uint32_t pid,
               const char *text,
               WallTime wall,
               GBytes **ret_entry,
               Err *err) must_check;
/* Inserts an entry received as a LOG message: 1 inserted, 0 an old one; -EBADMSG when malformed. */
int status_log_insert(Status *s, const void *entry, size_t size) must_check;
GBytes *status_log_state(Status *s);                                   /* sorted ring for STATE */
void status_log_merge(Status *s, GBytes *const *rings, guint n_rings); /* other members' rings */

/* ---- views; exact bytes of the reference, always valid JSON ---- */

/* `tracked`: the lines of memdb_format_tracked. */
void status_format_version(Status *s, const char *tracked, uint32_t vmlist_version, GString *out);
void status_format_members(const Status *s, GString *out);
/* `user` NULL or "": all; `max` 0: 50. */
void status_format_clusterlog(const Status *s, const char *user, uint32_t max, GString *out);
/* Drops entries not refreshed for CFS_RRD_EXPIRE_SEC first. */
void status_format_rrd(Status *s, MonoTime now, GString *out);

/* Raised by each change of any view of this object: cheap test for caches and the change feed. */
uint64_t status_generation(const Status *s);

#endif
