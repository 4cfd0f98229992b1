/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapplan: what snapshots do to the text of a configuration: the section of a new one, its commit,
 * its removal, going back to it, and the tree that `qm listsnapshot` shows. Reference: guest.md
 * section 13. Pure: disks and memory are the caller's.
 */
#ifndef GUEST_CORE_SNAPPLAN_H
#define GUEST_CORE_SNAPPLAN_H

#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Adds the section of a snapshot that is being made: a copy of the main section with
 * `snapstate: prepare`. Borrowed in *ret. -EEXIST, -EINVAL for the name, -EPERM for templates. */
int snapplan_prepare(VmConf *conf,
                     const char *name,
                     const char *description,
                     int64_t now_sec,
                     VmSection **ret,
                     Err *err) must_check;

/* The snapshot is complete: the main section goes on from it. */
void snapplan_commit(VmConf *conf, const char *name);

/* Takes the section away; its children become its parent's. */
void snapplan_remove(VmConf *conf, const char *name);

/* The snapshot, whole. -ENOENT; -EBUSY when it is half made or half removed and not `broken_too`.
 * Borrowed. */
int snapplan_find(const VmConf *conf, const char *name, bool broken_too, VmSection **ret, Err *err)
    must_check;

/* The main section becomes what the snapshot holds. `vmgenid` (NULL: leave) is set when the guest
 * has one. Disks that the snapshot does not know stay as unusedN. -ENOSPC. */
int snapplan_rollback(VmConf *conf, const char *name, const char *vmgenid, Err *err) must_check;

/* "`-> name  2026-11-28 12:00:00  description", one line each, "current" last.
 * `format_time` (NULL: seconds as they are) gives local time; the caller frees what it returns. */
char *snapplan_tree(const VmConf *conf, char *(*format_time)(int64_t sec));

/* Volumes of all disks of a section that a snapshot covers: char *, owned by the caller, each with
 * its drive ("scsi0") before it. Empty and CD drives are left out. */
GPtrArray *snapplan_volumes(const VmSection *section);

#endif
