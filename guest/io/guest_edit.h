/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_edit: reading and changing a guest's configuration file as one step that nobody can get
 * between: the local lock of the file, the rules of the cluster (owner, quorum, `lock:` word,
 * digest), a draft, and one atomic write. Reference: guest.md sections 1 and 2, migration.md 18.
 *
 *     g_autoptr(GuestEdit) edit = NULL;
 *     r = guest_edit_begin(tree, vmid, &(GuestEditOptions){.digest = d}, &edit, err);
 *     ... change guest_edit_conf(edit) ...
 *     r = guest_edit_commit(edit, err);       may be called again after further changes
 *
 * Work that takes long does not hold the lock: it sets the `lock:` word (guest_edit_lock_word),
 * works, and takes it away again. The lock is given back by guest_edit_free or when the process
 * ends; children do not inherit it. Main thread.
 */
#ifndef GUEST_IO_GUEST_EDIT_H
#define GUEST_IO_GUEST_EDIT_H

#include "guest/io/guest_tree.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_EDIT_TIMEOUT_MS 10000 /* for the local lock */

/* Reads the configuration without lock: for showing. `node` NULL: this one. -ENOENT names the node
 * that has the guest. `warn` and `ctx` as in VmConfParse, may be NULL. */
int guest_conf_read(const GuestTree *t,
                    const char *node,
                    uint32_t vmid,
                    VmConfWarn warn,
                    void *ctx,
                    VmConf **ret,
                    Err *err) must_check;

/* The local lock of a VMID alone; it need not exist. */
typedef struct GuestLock GuestLock;
/* -EBUSY with the process that has it when it is not free within `timeout_ms` (0: the usual). */
int guest_lock_take(
    const GuestTree *t, uint32_t vmid, unsigned timeout_ms, GuestLock **ret, Err *err) must_check;
void guest_lock_release(GuestLock *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestLock, guest_lock_release)

typedef struct GuestEditOptions {
    const char *digest;  /* what the caller has seen; NULL: whatever is there */
    bool skiplock;       /* do not look at the `lock:` word */
    const char *my_lock; /* this `lock:` word must be there: it is ours. NULL: none may be there */
    unsigned timeout_ms; /* 0: GUEST_EDIT_TIMEOUT_MS */
    VmConfWarn warn;     /* what was not understood in the file; may be NULL */
    void *ctx;
} GuestEditOptions;

typedef struct GuestEdit GuestEdit;

/* Takes the lock, then reads and checks. `options` may be NULL. -EBUSY (lock), -ENOENT (not on this
 * node), -EACCES (no quorum), -ESTALE (digest), -EBADMSG and others of the file. */
int guest_edit_begin(const GuestTree *t,
                     uint32_t vmid,
                     const GuestEditOptions *options,
                     GuestEdit **ret,
                     Err *err) must_check;

/* A new guest: takes the lock, checks that the VMID is free in the whole cluster, and writes a file
 * with `lock: WORD` alone, so that the id is taken. -EEXIST naming the node that has it. */
int guest_edit_create(
    const GuestTree *t, uint32_t vmid, const char *lock_word, GuestEdit **ret, Err *err) must_check;

/* The draft; change it in place. Borrowed. */
VmConf *guest_edit_conf(GuestEdit *e);
/* Puts another draft in its place; takes it over. */
void guest_edit_replace(GuestEdit *e, VmConf *conf);

/* Writes the draft when it differs from the file: readers see the old or the new text. -ESTALE when
 * somebody changed the file without taking the lock, -EACCES without quorum; the file is then
 * unchanged. Afterwards the draft's digest is that of the file. */
int guest_edit_commit(GuestEdit *e, Err *err) must_check;

/* Removes the file; the VMID is free afterwards. */
int guest_edit_remove(GuestEdit *e, Err *err) must_check;

/* Keeps the file as it is and gives the lock back. NULL is allowed. */
void guest_edit_free(GuestEdit *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestEdit, guest_edit_free)

/* One whole edit: `lock: FROM` (NULL: no word) becomes `lock: TO` (NULL: no word). -EBUSY when the
 * file says something else than `from`. */
int guest_edit_lock_word(
    const GuestTree *t, uint32_t vmid, const char *from, const char *to, Err *err) must_check;

#endif
