/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_overlay: what was written to an open file and is not yet a change of the tree.
 *
 * A program writes in pieces; the cluster shall see one change. Until then the pieces lie over the
 * content of the tree ("below"): extents of new bytes, and perhaps a cut, the point from which on
 * nothing of what is below counts any more because the file was truncated there. Because only
 * differences are kept, an append of few bytes stays few bytes, and a change by another node to
 * what is below shows through.
 *
 * Pure: no I/O, no locks. Sizes and offsets are bytes and must stay below 2^31; the caller bounds
 * them by the file size limit.
 */
#ifndef PMXCFS_IO_MOUNT_OVERLAY_H
#define PMXCFS_IO_MOUNT_OVERLAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Overlay {
    GArray *extents; /* private; NULL when there is none */
    bool cut_set;    /* the size was set: `cut` and `size` hold */
    uint32_t cut;    /* bytes of what is below that still count */
    uint32_t size;   /* of the file */
} Overlay;

/* One write operation of the tree: `data` at `offset`, file ends after it when `truncate`. */
typedef struct OverlayOp {
    uint32_t offset;
    bool truncate;
    GBytes *data; /* owned; NULL: none */
} OverlayOp;

/* A zeroed Overlay is empty and ready. Forgets everything; ready again afterwards. */
void overlay_clear(Overlay *o);
bool overlay_is_empty(const Overlay *o);

/* Bytes of memory held for content. */
size_t overlay_bytes(const Overlay *o);

/* Size of the file when what is below has `below` bytes. */
uint32_t overlay_size(const Overlay *o, uint32_t below);

/* Puts `len` > 0 bytes at `off`. A gap to what is there before reads as zeros. */
void overlay_write(Overlay *o, uint32_t off, const void *data, uint32_t len);

/* Makes the file `size` bytes long, cutting or adding zeros. */
void overlay_truncate(Overlay *o, uint32_t below, uint32_t size);

/* Lays the pieces over `buf`, which holds bytes [off, off + len) of what is below (zeros from its
 * end `below` on). Bytes at and after overlay_size are zero afterwards. */
void overlay_apply(const Overlay *o, uint32_t below, uint32_t off, uint32_t len, uint8_t *buf);

/* Turns everything into one operation and empties the overlay; it must not be empty.
 * `data` (NULL: zeros), `size`: what is below. The result of applying the operation to that is what
 * the overlay showed. It never is the one that has a size but no bytes (reference chapter 17). */
void overlay_take_op(Overlay *o, const uint8_t *data, uint32_t size, OverlayOp *ret);

void overlay_op_clear(OverlayOp *op);
/* The same two questions for an operation that is on its way. */
uint32_t overlay_op_size(const OverlayOp *op, uint32_t below);
void overlay_op_apply(
    const OverlayOp *op, uint32_t below, uint32_t off, uint32_t len, uint8_t *buf);

#endif
