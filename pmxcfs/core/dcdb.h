/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dcdb: content of the configuration group: changes of the tree as messages, and the documented way
 * of making trees equal when a view begins. Reference: pmxcfs chapters 9 and 10. Pure; used by the
 * replica.
 */
#ifndef PMXCFS_CORE_DCDB_H
#define PMXCFS_CORE_DCDB_H

#include "lib/base/err.h"
#include "pmxcfs/core/dfsm.h"
#include "pmxcfs/core/memdb.h"

#define DCDB_GROUP_NAME "pve_dcdb_v1"
#define DCDB_VERSION    1u

/* ---- changes ---- */

/* Payload of the NORMAL message with subtype op->kind. -EFBIG: an offset that 32 bits cannot tell
 * (the original sends it cut, 18.1.6); -EINVAL: noreplace, which the message cannot tell. */
int dcdb_encode_op(const TreeOp *op, GBytes **ret) must_check;

/* The change in a NORMAL message; strings are borrowed from the payload, `ret->data` is a new
 * reference (or NULL). -EBADMSG: malformed, or the subtype is unknown. */
int dcdb_decode_op(uint16_t subtype, const void *payload, size_t size, TreeOp *ret) must_check;

/* ---- synchronisation ---- */

typedef struct DcdbSync DcdbSync;

#define DCDB_UPDATE_BYTES_MAX (2ull * 1024u * 1024u * 1024u) /* content taken in one exchange */

DcdbSync *dcdb_sync_new(Memdb *db, const Tracer *tracer); /* both borrowed */
void dcdb_sync_free(DcdbSync *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DcdbSync, dcdb_sync_free)

/* Forgets the exchange. */
void dcdb_sync_reset(DcdbSync *s);

/* All states are in: finds the leader by the documented rule, marks the members that equal it as
 * synced. The leader then has dcdb_sync_next_update to send until it gives NULL. -EBADMSG: a state
 * is no index. */
int dcdb_sync_states(DcdbSync *s, DfsmMember *members, uint32_t n, uint32_t self) must_check;

/* We lead the exchange and have not yet been asked for everything that others lack. */
bool dcdb_sync_leading(const DcdbSync *s);

/* Payload of the next UPDATE, NULL when all were given (`dcdb_sync_leading` is false from then on).
 * The content is that of the moment of dcdb_sync_states. */
GBytes *dcdb_sync_next_update(DcdbSync *s);

/* Takes one UPDATE. -EBADMSG: malformed, or not what the leader announced. */
int dcdb_sync_update(DcdbSync *s, const void *payload, size_t size) must_check;

/* Does the commit replace anything that only this node had? Always true when in doubt. */
bool dcdb_sync_loses(const DcdbSync *s);
uint32_t dcdb_sync_leader(const DcdbSync *s); /* node id; 0 when none is known */

/* Makes the tree equal to the leader's, or fails and changes nothing. */
int dcdb_sync_commit(DcdbSync *s, MonoTime now, MemdbDelta **ret_delta, Err *err) must_check;

#endif
