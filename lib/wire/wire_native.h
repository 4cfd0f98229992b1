/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_native: the native protocol of the configuration group (docs/wire/native.md).
 *
 * Its messages travel as the payload of a state message (UPDATE) whose epoch no exchange ever has:
 * the documented protocol ignores those in every mode, so a foreign member never notices them. Also
 * here: the record that a member keeps on disk about the history of its content.
 *
 * Pure. Decoded values borrow from the payload.
 */
#ifndef LIB_WIRE_WIRE_NATIVE_H
#define LIB_WIRE_WIRE_NATIVE_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"
#include "lib/wire/wire_dfsm.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_NATIVE_VERSION     2u
#define WIRE_NATIVE_DIGEST_SIZE 32u
#define WIRE_NATIVE_HISTORY_MAX 32u /* newest terms that are remembered */

/* Bounds of one message; a longer list is malformed. */
#define WIRE_NATIVE_MEMBERS_MAX 128u
#define WIRE_NATIVE_LEAVES_MAX  1024u /* digests of leaves in one TOP */
#define WIRE_NATIVE_LEAF_MAX    64u   /* entries below one leaf */
#define WIRE_NATIVE_WANT_MAX    4096u
#define WIRE_NATIVE_OPS_MAX     1024u /* changes in one BATCH */

#define WIRE_NATIVE_KIND_LIST(X)                                                                   \
    X(WIRE_NATIVE_HELLO, "HELLO")                                                                  \
    X(WIRE_NATIVE_START, "START")                                                                  \
    X(WIRE_NATIVE_STATE, "STATE")                                                                  \
    X(WIRE_NATIVE_PROMISE, "PROMISE")                                                              \
    X(WIRE_NATIVE_BATCH, "BATCH")                                                                  \
    X(WIRE_NATIVE_PIECE, "PIECE")                                                                  \
    X(WIRE_NATIVE_ACK, "ACK")                                                                      \
    X(WIRE_NATIVE_TOP, "TOP")                                                                      \
    X(WIRE_NATIVE_WANT_LEAVES, "WANT_LEAVES")                                                      \
    X(WIRE_NATIVE_LEAF, "LEAF")                                                                    \
    X(WIRE_NATIVE_WANT_ENTRIES, "WANT_ENTRIES")                                                    \
    X(WIRE_NATIVE_ENTRY, "ENTRY")
typedef enum WireNativeKind {
    WIRE_NATIVE_NONE,
    WIRE_NATIVE_KIND_LIST(STRTAB_ENUM) WIRE_NATIVE_KIND_N
} WireNativeKind;
STRTAB_DECLARE(wire_native_kind, WireNativeKind);

/* Epoch of the state messages that carry the native protocol. */
extern const WireDfsmEpoch wire_native_epoch;

typedef struct WireNativeTerm {
    uint64_t term, base; /* the term began with tree version `base` */
} WireNativeTerm;

/* Where the content of a member comes from; also what it keeps on disk. */
typedef struct WireNativeMeta {
    uint64_t promised; /* highest term it has agreed to take part in */
    uint64_t term;     /* in which the newest change was made; 0: before all terms */
    uint64_t clean;    /* tree version up to which that holds; UINT64_MAX: all of it */
    uint64_t told;     /* up to which somebody was told that it is on this disk, when a view or an
                          exchange ended the term; UINT64_MAX: it stands for itself */
    uint32_t n_history;
    WireNativeTerm history[WIRE_NATIVE_HISTORY_MAX]; /* oldest first */
} WireNativeMeta;

/* Ends the history with `term`; the oldest is forgotten when it is full. */
void wire_native_meta_begin_term(WireNativeMeta *meta, uint64_t term, uint64_t base);
GBytes *wire_native_encode_meta(const WireNativeMeta *meta);
/* -EBADMSG: malformed; -EPROTO: of a later version. */
int wire_native_decode_meta(const void *data, size_t size, WireNativeMeta *ret) must_check;

#define WIRE_NATIVE_HELLO_WANT  1u /* asks to be taken in again */
#define WIRE_NATIVE_STATE_BLANK 1u /* a database that was made empty and never had content */

/* One message. Which fields are meant follows from `kind`. */
typedef struct WireNative {
    WireNativeKind kind;
    WireDfsmEpoch epoch; /* of the exchange it belongs to; not HELLO */

    uint32_t version, flags; /* HELLO; flags also STATE */
    uint64_t promised, term; /* HELLO */

    uint32_t needed;  /* START: votes of nodes whose disks make a term, and a change in it, safe */
    uint32_t readers; /* START: votes of nodes with content that must have told their state */
    uint32_t n_members;    /* START, HELLO (members it knows to be native) */
    const uint8_t *member; /* see wire_native_member */

    WireNativeMeta meta;   /* STATE */
    uint64_t tree_version; /* STATE */
    uint32_t mtime;        /* STATE: of the root */
    const uint8_t *digest; /* STATE: of the index of the tree; LEAF, TOP: see below */

    uint64_t number;     /* BATCH, PIECE: of the sender's process; ACK: tree version; ENTRY: inode;
                            LEAF: index of the leaf; TOP: leaves in all */
    uint32_t n;          /* BATCH: changes; TOP, WANT_*, LEAF: elements */
    uint32_t first;      /* TOP: index of the first leaf in this message; PIECE, ENTRY: offset */
    uint32_t total;      /* PIECE, ENTRY: bytes in all */
    const uint8_t *data; /* BATCH, PIECE, ENTRY: bytes; TOP, LEAF: elements of 40 bytes (first
                            inode and digest), WANT_*: of 8 bytes */
    size_t size;         /* of data */
} WireNative;

/* -EBADMSG: malformed or out of bounds; -EPROTO: a kind that a later version may know. */
int wire_native_decode(const void *payload, size_t size, WireNative *ret) must_check;
/* `member` is not used: START and HELLO take `members` of 3 numbers each (node id, pid, share). */
GBytes *wire_native_encode(const WireNative *m, const uint32_t (*members)[3]);

/* Member `i` of a START or HELLO. Share 0: it does not take part; else 1 more than its votes. */
void wire_native_member(
    const WireNative *m, uint32_t i, uint32_t *ret_nodeid, uint32_t *ret_pid, uint32_t *ret_share);
/* Element `i` of TOP or LEAF: inode and, borrowed, digest; of WANT_*: the number. */
uint64_t wire_native_item(const WireNative *m, uint32_t i, const uint8_t **ret_digest);

/* ---- changes in a BATCH, and the content of a stream of PIECEs ---- */

#define WIRE_NATIVE_OP_HEAD      28u
#define WIRE_NATIVE_OP_TRUNCATE  1u
#define WIRE_NATIVE_OP_NOREPLACE 2u

typedef struct WireNativeOp {
    uint8_t kind;  /* as the subtypes of the documented messages */
    uint8_t flags; /* unknown ones are malformed */
    uint64_t offset;
    uint32_t mtime;
    const char *path;
    const char *to;   /* RENAME; else NULL */
    const void *data; /* UNLOCK*: the checksum */
    uint32_t size;
} WireNativeOp;

/* Takes one change from the front of `data`; *ret_used: its length. -EBADMSG. */
int wire_native_decode_op(const void *data, size_t size, WireNativeOp *ret, size_t *ret_used)
    must_check;
GBytes *wire_native_encode_op(const WireNativeOp *op);

#endif
