/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_qemu: one running QEMU as a migration sees it: a held monitor with out-of-band commands, and
 * the commands of both sides. Calls block, but run the context of the thread meanwhile, so events
 * are handed out during them. One thread per object.
 */
#ifndef MIGRATION_IO_MIG_QEMU_H
#define MIGRATION_IO_MIG_QEMU_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigQemu MigQemu;

typedef struct MigQemuHandlers {
    /* `status` of an event MIGRATION: "active", "pre-switchover", "completed", ... */
    void (*migration)(void *ctx, const char *status);
    /* The memory is gone through for the `n`-th time, from 1. */
    void (*pass)(void *ctx, unsigned n);
    /* Job `id` of a mirror went over to `status`. */
    void (*job)(void *ctx, const char *id, const char *status);
    void (*gone)(void *ctx, const char *why); /* QEMU has ended, or its monitor */
    void *ctx;
} MigQemuHandlers;

/* `run_dir`/VMID.mig, or VMID.qmp when there is none. -ENOENT, -ECONNREFUSED: it does not run. */
int mig_qemu_open(GMainContext *context,
                  const char *run_dir,
                  uint32_t vmid,
                  const MigQemuHandlers *handlers,
                  MigQemu **ret,
                  Err *err) must_check;
void mig_qemu_free(MigQemu *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigQemu, mig_qemu_free)
bool mig_qemu_alive(const MigQemu *q);

/* Any command; `arguments` is taken; `ret` may be NULL. */
int mig_qemu_call(MigQemu *q, const char *command, JsonTree *arguments, JsonTree **ret, Err *err)
    must_check;
/* 0 when it answers a question within `ms`. */
int mig_qemu_answers(MigQemu *q, unsigned ms, Err *err) must_check;

/* QEMU gets a copy of the descriptor, under `name`; the caller keeps its own. */
int mig_qemu_give_fd(MigQemu *q, const char *name, int fd, Err *err) must_check;
/* Cuts the connection of the memory stream (`node` NULL) or of a block node, whatever else hangs.
 */
int mig_qemu_yank(MigQemu *q, const char *node, Err *err) must_check;

/* "running", "paused", "postmigrate", ... Caller frees; NULL on failure. */
char *mig_qemu_run_state(MigQemu *q, Err *err);
/* Answer of query-migrate, or NULL. Caller frees. */
JsonTree *mig_qemu_query_migrate(MigQemu *q, Err *err);
/* Why the stream failed, as QEMU says it; "" when it does not. Caller frees. */
char *mig_qemu_migrate_error(MigQemu *q);
/* Names of the migration capabilities this QEMU has. */
int mig_qemu_capabilities(MigQemu *q, GPtrArray **ret, Err *err) must_check;
/* Sets every capability: on when it is in `on` (NULL terminated) and QEMU has it, else off. */
int mig_qemu_set_capabilities(MigQemu *q, const char *const *on, Err *err) must_check;

/* Credentials "migtls" from `dir`. An older object of that name is replaced. */
int mig_qemu_tls(MigQemu *q, const char *dir, const char *endpoint, Err *err) must_check;
/* Only the peer with this subject may connect: object "migauth". */
int mig_qemu_tls_peer(MigQemu *q, const char *subject, Err *err) must_check;
/* Removes what the two above have made. */
void mig_qemu_forget_tls(MigQemu *q);

/* What a CPU means to this QEMU: `model` {name, props} with all its properties, as an object of
 * name -> value. Takes `model`. Caller frees. -EIO when this QEMU cannot tell. */
int mig_qemu_cpu(MigQemu *q, JsonTree *model, JsonTree **ret, Err *err) must_check;

/* The block node behind drive `ds` ("scsi0") and its virtual size. Caller frees *ret_node. */
int mig_qemu_drive_node(MigQemu *q, const char *ds, char **ret_node, int64_t *ret_size, Err *err)
    must_check;
/* Bytes that the image of drive `ds` takes on its storage; 0 when QEMU does not know. */
int64_t mig_qemu_drive_used(MigQemu *q, const char *ds);

typedef struct MigQemuMirror {
    const char *ds;
    const char *socket, *export; /* of a MigRelay; what the target exports */
    int64_t speed; /* bytes per second, 0: unlimited */
} MigQemuMirror;
/* Opens the target's drive, for which QEMU stops until it is answered: node "mirror-DS". */
int mig_qemu_mirror_open(MigQemu *q, const MigQemuMirror *m, Err *err) must_check;
/* Mirrors to that node: job "mirror-DS". On failure the node is closed. */
int mig_qemu_mirror(MigQemu *q, const MigQemuMirror *m, Err *err) must_check;
/* Another limit, bytes per second; 0: none. */
int mig_qemu_mirror_speed(MigQemu *q, const char *ds, int64_t speed, Err *err) must_check;
/* Status of job "mirror-DS" ("" when there is none); its error if it has one. Callers free. */
int mig_qemu_mirror_state(MigQemu *q,
                          const char *ds,
                          char **ret_status,
                          char **ret_error,
                          int64_t *ret_done,
                          int64_t *ret_total,
                          Err *err) must_check;
/* Ends a ready mirror with equal disks (`force` false) or at once, and removes what belongs to it.
 */
int mig_qemu_mirror_end(MigQemu *q, const char *ds, bool force, Err *err) must_check;

#endif
