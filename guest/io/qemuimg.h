/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemuimg: image files by the program qemu-img, without a shell, formats always spoken out: nothing
 * is ever guessed from an image's content. Progress in percent, and an end when the user asks for
 * it. Blocks; main thread.
 */
#ifndef GUEST_IO_QEMUIMG_H
#define GUEST_IO_QEMUIMG_H

#include "lib/base/err.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* What long work tells while it goes on, and whether it should go on. Any member may be NULL. */
typedef struct ImageProgress {
    void (*percent)(void *ctx, double percent);
    void *ctx;
    const volatile sig_atomic_t *cancel;
    uint64_t rate_bytes; /* per second; 0: no limit */
} ImageProgress;

typedef struct ImageCreate {
    const char *path; /* overwritten when it is there */
    const char *format;
    uint64_t size;
    const char *preallocation;  /* off, metadata, falloc, full; NULL: off */
    const char *backing;        /* name as it is stored in the image; NULL: none */
    const char *backing_format; /* with `backing` */
} ImageCreate;

/* Makes an image; what stands at its place is overwritten. These three block, at most as long as
 * a copy may take; -errno, with what qemu-img said; `cancel` of the progress ends them. What was
 * begun stays. */
int qemuimg_create(const ImageCreate *c, const ImageProgress *progress, Err *err) must_check;

/* `size` in bytes; smaller only with `shrink`: what was behind the end is lost. */
int qemuimg_resize(const char *path, const char *format, uint64_t size, bool shrink, Err *err)
    must_check;

typedef struct ImageCopy {
    const char *from;
    const char *from_format;
    const char *snapshot; /* internal snapshot to read; NULL: now */
    const char *to;       /* exists with the right size already */
    const char *to_format;
    bool to_is_zero; /* `to` reads as zeroes: holes need not be written */
    bool in_use;     /* a guest has `from` open; only with `snapshot`, which does not change */
} ImageCopy;

/* Into an image that is there and large enough. */
int qemuimg_copy(const ImageCopy *c, const ImageProgress *progress, Err *err) must_check;

typedef enum ImageSnapshotAction {
    IMAGE_SNAPSHOT_CREATE,
    IMAGE_SNAPSHOT_APPLY,
    IMAGE_SNAPSHOT_DELETE,
} ImageSnapshotAction;

/* Internal snapshot of a qcow2 image that nobody has open. -EEXIST, -ENOENT by its name. */
int qemuimg_snapshot(const char *path, ImageSnapshotAction action, const char *name, Err *err)
    must_check;

typedef struct ImageInfo {
    uint64_t size;        /* what a guest sees */
    char *backing;        /* name as it is stored, or NULL */
    GPtrArray *snapshots; /* char *: names of internal snapshots */
    bool foreign;         /* its data is (also) in other files than itself and `backing` */
} ImageInfo;

void image_info_clear(ImageInfo *i);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImageInfo, image_info_clear)

/* Also of an image that a running guest has open. */
int qemuimg_info(const char *path, const char *format, ImageInfo *ret, Err *err) must_check;

/* -EBADMSG when the image is damaged. Formats without a check (raw) are always sound. */
int qemuimg_check(const char *path, const char *format, Err *err) must_check;

#endif
