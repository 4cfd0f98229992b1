/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: one file or directory of the tree, as an immutable, reference counted value.
 *
 * A change never edits an entry: it makes a new one and swaps it into the tree. So a reader that
 * holds a reference keeps a consistent file for as long as it likes, an undo is a swap back, and
 * the store writes exactly what was applied. Reference: pmxcfs chapters 4 and 10.2.
 *
 * Any thread may ref, unref and read the fields. entry_digest caches and is for the owner thread of
 * the tree alone.
 */
#ifndef PMXCFS_CORE_ENTRY_H
#define PMXCFS_CORE_ENTRY_H

#include "lib/base/sha256.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define ENTRY_DIGEST_SIZE SHA256_SIZE

typedef enum EntryType {
    ENTRY_DIR = 4, /* DT_DIR */
    ENTRY_FILE = 8 /* DT_REG */
} EntryType;

typedef struct Entry {
    int refs; /* atomic; not by GLib, whose atomics the thread checker cannot see */
    uint64_t parent;  /* inode of the directory; 0 is the root */
    uint64_t inode;   /* unique for ever; 0 is the root itself */
    uint64_t version; /* tree version of the last change */
    uint32_t writer;  /* node id of the changer, 0 in local mode */
    uint32_t mtime;   /* Unix seconds */
    uint32_t size;    /* bytes; 0 for directories */
    EntryType type;
    bool hollow;  /* size without content: only from an upstream peer (reference chapter 17); reads
                     as zeros, digests as if it had no content */
    GBytes *data; /* NULL when size is 0 or hollow */
    uint8_t digest[ENTRY_DIGEST_SIZE]; /* valid when has_digest; see entry_digest */
    bool has_digest;
    char name[]; /* last path component; "" for the root */
} Entry;

/* The fields of an entry to be made; `data` is shared, not copied. */
typedef struct EntryInit {
    uint64_t parent, inode, version;
    uint32_t writer, mtime;
    EntryType type;
    const char *name;     /* borrowed */
    GBytes *data;         /* borrowed; NULL: empty (file) */
    uint32_t hollow_size; /* > 0 makes a hollow file; `data` must be NULL then */
} EntryInit;

/* A new entry with one reference. `data` must be shorter than 4 GiB. */
Entry *entry_new(const EntryInit *init);
Entry *entry_ref(Entry *e);
void entry_unref(Entry *e); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Entry, entry_unref)

/* What `init` must hold to make the same entry again; a change starts from this. Borrowed. */
EntryInit entry_init_from(const Entry *e);

/* Copies up to `n` bytes from `offset`; hollow parts read as zeros. Returns the count, 0 at or
 * after the end and for directories. Any thread that holds a reference. */
size_t entry_read(const Entry *e, uint64_t offset, void *buf, size_t n);

/* Index digest of the entry (reference 10.2): SHA-256 over version, writer, mtime, size, type,
 * parent, name and content. Computed once, then cached. Owner thread only. Borrowed. */
const uint8_t *entry_digest(Entry *e);

/* Single entry checksum, used by locks: the same with the inode in front. Not cached. */
void entry_checksum(const Entry *e, uint8_t ret_csum[ENTRY_DIGEST_SIZE]);

/* Feeds inode and all that entry_digest covers into `h`: one step of the tree checksum. */
void entry_hash(const Entry *e, Sha256 *h);

#endif
