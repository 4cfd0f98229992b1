/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treeop: one change to the tree, as asked for by a caller or received from a peer.
 * Reference: pmxcfs chapters 4 and 9. Plain data; who makes it owns what it points to.
 */
#ifndef PMXCFS_CORE_TREEOP_H
#define PMXCFS_CORE_TREEOP_H

#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Values are the subtypes of the configuration group's messages (reference chapter 9). */
typedef enum TreeOpKind {
    TREE_OP_WRITE = 1,
    TREE_OP_MKDIR = 2,
    TREE_OP_DELETE = 3,
    TREE_OP_RENAME = 4,
    TREE_OP_CREATE = 5,
    TREE_OP_MTIME = 6,
    TREE_OP_UNLOCK_REQUEST = 7, /* "remove this lock if it is expired" */
    TREE_OP_UNLOCK = 8,         /* "it is expired: remove it" */
    TREE_OP_N
} TreeOpKind;

typedef struct TreeOp {
    TreeOpKind kind;
    const char *path; /* relative to the mount, without leading slash, NUL terminated */
    const char *to;   /* RENAME only */
    GBytes *data;     /* WRITE: the bytes; NULL means none. The tree keeps a reference, so they own
                         their memory and are no slice of something larger */
    uint64_t offset;  /* WRITE: file offset in bytes */
    bool truncate;    /* WRITE: file ends after offset + bytes */
    uint32_t mtime;   /* MTIME: Unix seconds */
    uint8_t csum[32]; /* UNLOCK*: checksum of the lock directory (entry_checksum) */
    bool noreplace;   /* RENAME: EEXIST when `to` exists. The documented wire cannot carry it: there
                         the sender checks before the send and peers replace; local mode and the
                         native protocol decide it at application */
} TreeOp;

/* Who made a change and when: writer 0 in local mode; time is the sender's clock. */
typedef struct TreeOrigin {
    uint32_t writer;
    uint32_t time; /* Unix seconds modulo 2^32 */
} TreeOrigin;

const char *tree_op_name(TreeOpKind kind); /* "WRITE", ...; NULL when unknown */

/* A copy that owns its strings; `data` is shared. Freed with tree_op_free. */
TreeOp *tree_op_copy(const TreeOp *op);
void tree_op_free(TreeOp *op); /* only for copies; NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TreeOp, tree_op_free)

#endif
