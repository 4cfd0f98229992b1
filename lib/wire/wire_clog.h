/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_clog: bytes of the cluster log: one entry (LOG message of the status group) and the ring
 * that holds entries and travels whole as STATE. Layout and rules: docs/wire/clog.md (reference
 * pmxcfs chapter 12). What is logged, dropped or merged is decided by pmxcfs/core/clusterlog.
 *
 * Pure. Decoded entries borrow from the bytes they were decoded from.
 */
#ifndef LIB_WIRE_WIRE_CLOG_H
#define LIB_WIRE_WIRE_CLOG_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_CLOG_RING_SIZE  131072u             /* bytes of our ring, header included */
#define WIRE_CLOG_RING_MAX   WIRE_CLOG_RING_SIZE /* largest ring taken from a peer */
#define WIRE_CLOG_RING_HEAD  8u
#define WIRE_CLOG_ENTRY_MAX  4096u /* one entry with its strings and slack */
#define WIRE_CLOG_ENTRY_HEAD 44u   /* offset of the strings */
#define WIRE_CLOG_ENTRY_TAIL 4u    /* slack after the strings, part of the size */
#define WIRE_CLOG_NAME_MAX   254u  /* bytes of node, ident and tag without NUL */

typedef struct WireClogEntry {
    uint32_t uid;  /* counter of the process that logged it */
    uint32_t time; /* Unix seconds */
    uint64_t node_digest;
    uint64_t ident_digest;
    uint32_t pid;
    uint8_t priority; /* syslog level, 0 to 7; a peer may send more */
    const char *node;
    const char *ident;
    const char *tag;
    const char *text;
} WireClogEntry;

/* 64 bit FNV-1a over the string and its NUL. */
uint64_t wire_clog_digest(const char *s);

/* Decodes exactly one entry. `prev` and `next` in it mean nothing outside a ring and are not read.
 * -EBADMSG when a length is wrong, a string is not NUL terminated (or earlier than stated), bytes
 * are left over, or it is longer than WIRE_CLOG_ENTRY_MAX. */
int wire_clog_decode(const void *data, size_t size, WireClogEntry *ret) must_check;

/* The entry as sent: prev, next and slack zero. -EMSGSIZE when a name is longer than
 * WIRE_CLOG_NAME_MAX or the whole longer than WIRE_CLOG_ENTRY_MAX. */
int wire_clog_encode(const WireClogEntry *e, GBytes **ret) must_check;

/* ---- ring of WIRE_CLOG_RING_SIZE bytes, ours ---- */

/* Makes `ring` empty: all bytes zero but the size field. */
void wire_clog_ring_init(uint8_t ring[WIRE_CLOG_RING_SIZE]);

/* Adds an encoded entry, which becomes the newest and overwrites the oldest ones as needed. `size`
 * is that of the entry, checked by wire_clog_decode before. */
void wire_clog_ring_append(uint8_t ring[WIRE_CLOG_RING_SIZE], const void *entry, size_t size);

/* ---- walking any ring, ours or a peer's, from the newest entry to the oldest ---- */

typedef struct WireClogWalk {
    const uint8_t *ring;
    uint32_t size;
    uint32_t newest; /* offset */
    uint32_t at;     /* offset of the entry to give next, 0: end */
} WireClogWalk;

/* -EBADMSG when the ring is not longer than its header, longer than WIRE_CLOG_RING_MAX, its size
 * field is not `size`, or its newest offset lies outside. */
int wire_clog_walk_init(WireClogWalk *w, const void *ring, size_t size) must_check;

/* Gives the next older entry and, when `ret_raw` is not NULL, its bytes (`*ret_size` long, starting
 * with prev and next). False at the end, and at the first entry that cannot be right: what lies
 * behind it is unreachable. Ends after at most size / 48 steps whatever the bytes are. */
bool wire_clog_walk_next(WireClogWalk *w,
                         WireClogEntry *ret,
                         const uint8_t **ret_raw,
                         size_t *ret_size);

/* Bytes that an entry of `size` bytes takes in a ring. */
static inline uint32_t wire_clog_space(size_t size)
{
    return ((uint32_t)size + 7u) & ~7u;
}

#endif
