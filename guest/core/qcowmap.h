/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcowmap: what a snapshot inside a qcow2 image says of its clusters, and how two of them differ.
 * The tables of a snapshot never change while it is there, so they can be read while a guest has
 * the image open. QEMU's docs/interop/qcow2.txt: a snapshot has a table of the first level, whose
 * entries are the offsets of tables of the second, a cluster each, whose entries say where clusters
 * are. Two snapshots that name the same place share what is there. Numbers are big-endian.
 * Pure; any thread.
 */
#ifndef GUEST_CORE_QCOWMAP_H
#define GUEST_CORE_QCOWMAP_H

#include "guest/core/imagehead.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QCOWMAP_SNAPSHOT_MAX 4096                /* bytes of one entry that are looked at */
#define QCOWMAP_SNAPSHOTS    65536               /* QEMU's own limits */
#define QCOWMAP_L1_MAX       (4u * 1024 * 1024u) /* entries */

typedef struct QcowSnapshot {
    uint64_t table; /* offset of its first level */
    uint32_t entries;
    uint64_t size; /* what a guest saw then */
    char *name;
} QcowSnapshot;

void qcow_snapshot_clear(QcowSnapshot *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QcowSnapshot, qcow_snapshot_clear)

/* Its snapshots can be read that way. -ENOTSUP: they cannot, and why; -EBADMSG. */
int qcowmap_check(const ImageHead *head, Err *err) must_check;

/* The snapshot at the beginning of `bytes`, where as many follow as there are, up to
 * QCOWMAP_SNAPSHOT_MAX; *ret_used is where the next one begins. -EBADMSG. */
int qcowmap_snapshot(const ImageHead *head,
                     const void *bytes,
                     size_t len,
                     QcowSnapshot *ret,
                     size_t *ret_used,
                     Err *err) must_check;

/* Entries of one table of the second level. */
uint64_t qcowmap_per_table(const ImageHead *head);
/* Where entry `i` of a first level points to; 0: nowhere. */
uint64_t qcowmap_table_at(const void *first, uint64_t i);

typedef enum QcowChange {
    QCOW_SAME,
    QCOW_ZERO, /* reads as zeroes now */
    QCOW_DATA, /* has to be read */
} QcowChange;

/* What became of cluster `i` of two tables of the second level; NULL: a table that is not there. */
QcowChange qcowmap_change(const ImageHead *head, const void *before, const void *now, uint64_t i);

#endif
