/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ovf: the descriptor of a virtual machine that other products export (OVF, DMTF DSP0243, versions
 * 1 and 2): processors, memory, disks, firmware. Text from anywhere: bounded, no document types, no
 * names of files that leave its folder (INV-7). Pure: which files there are is for others to say.
 */
#ifndef GUEST_CORE_OVF_H
#define GUEST_CORE_OVF_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVF_TEXT_MAX  (4u << 20) /* real ones have some ten KiB, with translations a few hundred */
#define OVF_DEPTH_MAX 64         /* of elements; real ones have eight */
#define OVF_NODES_MAX 50000u     /* elements; bounds memory beside the text */
#define OVF_DISKS_MAX 64u        /* more than the buses hold is refused anyway */

typedef struct OvfDisk {
    char *slot;        /* "scsi0" */
    char *href;        /* relative name of the file, as written; NULL: an empty disk */
    char *path;        /* for the caller, who finds the file: where it is */
    uint64_t capacity; /* bytes; 0: not said */
    int64_t file_size; /* bytes the file must have, -1: not said */
} OvfDisk;

typedef struct Ovf {
    char *name; /* as a guest may be called, or NULL */
    char *ostype;
    char *scsihw;
    int64_t cores;
    int64_t sockets;
    int64_t memory_mib;
    bool efi;
    unsigned cards; /* of the network, which are not taken over */
    GPtrArray *disks;
} Ovf;

void ovf_free(Ovf *o);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ovf, ovf_free)

/* -EBADMSG for what is no OVF; -ENOTSUP for what no guest is made of (several machines, files in
 * pieces or packed); -EINVAL for values out of bounds and file names that lead elsewhere. */
int ovf_parse(const char *text, size_t len, Ovf **ret, Err *err) must_check;

/* The name stays in the folder of the descriptor: relative, no "..", no URL. */
int ovf_check_href(const char *href, Err *err) must_check;

/* Options as `qm create` takes them: key -> value, char *. The paths are known. The caller owns
 * *ret. -EINVAL for a path that no option can hold. */
int ovf_options(const Ovf *o, const char *storage, const char *format, GHashTable **ret, Err *err)
    must_check;

#endif
