/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_dcdb: payloads of the configuration group (docs/wire/dcdb.md; reference pmxcfs chapters 9
 * and 10): changes of files, lock removal, the index of a tree, and one entry of a tree. The
 * headers in front of them are wire_dfsm's.
 *
 * Pure. Decoded values borrow from the payload.
 */
#ifndef LIB_WIRE_WIRE_DCDB_H
#define LIB_WIRE_WIRE_DCDB_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_DCDB_CSUM_SIZE 32u

/* Subtypes of NORMAL messages in the configuration group. */
#define WIRE_DCDB_SUBTYPE_LIST(X)                                                                  \
    X(WIRE_DCDB_WRITE, "WRITE")                                                                    \
    X(WIRE_DCDB_MKDIR, "MKDIR")                                                                    \
    X(WIRE_DCDB_DELETE, "DELETE")                                                                  \
    X(WIRE_DCDB_RENAME, "RENAME")                                                                  \
    X(WIRE_DCDB_CREATE, "CREATE")                                                                  \
    X(WIRE_DCDB_MTIME, "MTIME")                                                                    \
    X(WIRE_DCDB_UNLOCK_REQUEST, "UNLOCK_REQUEST")                                                  \
    X(WIRE_DCDB_UNLOCK, "UNLOCK")
typedef enum WireDcdbSubtype {
    WIRE_DCDB_NONE,
    WIRE_DCDB_SUBTYPE_LIST(STRTAB_ENUM) WIRE_DCDB_SUBTYPE_N
} WireDcdbSubtype;
STRTAB_DECLARE(wire_dcdb_subtype, WireDcdbSubtype);

/* ---- WRITE to MTIME ---- */

typedef struct WireDcdbFile {
    uint32_t offset;  /* WRITE: file offset; MTIME: Unix seconds */
    bool truncate;    /* WRITE: the file ends after the data */
    const char *path; /* NULL: none */
    const char *to;   /* RENAME; NULL: none */
    const void *data; /* WRITE; never NULL when decoded */
    size_t size;
} WireDcdbFile;

/* -EBADMSG: lengths that do not add up, a path that does not end in NUL. A path with another NUL
 * inside ends there, as in the original. Unknown flags are ignored. */
int wire_dcdb_decode_file(const void *payload, size_t size, WireDcdbFile *ret) must_check;

/* -EMSGSIZE: more than 32 bit lengths can tell. */
int wire_dcdb_encode_file(const WireDcdbFile *f, GBytes **ret) must_check;

/* ---- UNLOCK_REQUEST, UNLOCK ---- */

typedef struct WireDcdbUnlock {
    const uint8_t *csum; /* WIRE_DCDB_CSUM_SIZE bytes: checksum of the entry */
    const char *path;
} WireDcdbUnlock;

/* -EBADMSG: shorter than checksum and NUL, or no NUL at the end. */
int wire_dcdb_decode_unlock(const void *payload, size_t size, WireDcdbUnlock *ret) must_check;
GBytes *wire_dcdb_encode_unlock(const WireDcdbUnlock *u);

/* ---- index: payload of STATE ---- */

#define WIRE_DCDB_INDEX_HEAD  32u
#define WIRE_DCDB_INDEX_ENTRY 40u

typedef struct WireDcdbIndex {
    uint64_t version;    /* of the tree */
    uint64_t last_inode; /* highest inode */
    uint32_t writer;     /* of the tree's newest change */
    uint32_t mtime;
    uint32_t n; /* entries, inode 0 included */
    const uint8_t *entries;
} WireDcdbIndex;

/* -EBADMSG: length, byte count and entry count disagree, or inodes do not ascend. */
int wire_dcdb_decode_index(const void *payload, size_t size, WireDcdbIndex *ret) must_check;

/* Entry `i` (< n) of a decoded index: inode and, borrowed, its digest. */
uint64_t wire_dcdb_index_inode(const WireDcdbIndex *index, uint32_t i);
const uint8_t *wire_dcdb_index_digest(const WireDcdbIndex *index, uint32_t i);

/* ---- one entry: payload of the UPDATE state message ---- */

#define WIRE_DCDB_UPDATE_HEAD 41u

typedef struct WireDcdbUpdate {
    uint64_t parent, inode, version;
    uint32_t writer, mtime;
    uint8_t type;     /* 4 directory, 8 file */
    const char *name; /* "" for inode 0 */
    const void *data; /* never NULL when decoded */
    uint32_t size;
} WireDcdbUpdate;

/* -EBADMSG: lengths that do not add up, a name without or with an inner NUL, an unknown type, a
 * directory with content. */
int wire_dcdb_decode_update(const void *payload, size_t size, WireDcdbUpdate *ret) must_check;
GBytes *wire_dcdb_encode_update(const WireDcdbUpdate *u);

#endif
