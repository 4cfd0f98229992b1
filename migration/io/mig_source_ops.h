/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_source_ops: the operations of the source's machine that deal with QEMU, volumes and the check
 * before anything is changed. All run on the thread of the job.
 */
#ifndef MIGRATION_IO_MIG_SOURCE_OPS_H
#define MIGRATION_IO_MIG_SOURCE_OPS_H

#include "migration/io/mig_job.h"

/* An operation has ended: a note for the machine. */
void mig_source_done(MigJob *j, MigOp op, int r, const char *text);

/* ---- mig_source_plan.c */

/* Reads the configuration and the running QEMU; then `check` can be asked. Problems found here are
 * in j->problems. -errno when the guest cannot be looked at at all. */
int mig_source_look(MigJob *j, Err *err) must_check;
JsonTree *mig_source_needs(MigJob *j);
/* The target's `checked`: 0, or -EPERM with all that stands against it in one line. */
int mig_source_judge(MigJob *j, const JsonTree *checked, Err *err) must_check;
/* What `--dry-run` prints, as lines and as JSON. */
void mig_source_show_plan(MigJob *j);
/* Body of `start`. NULL with text in `err`. */
JsonTree *mig_source_start_body(MigJob *j, Err *err);
/* The migration capabilities of the target's QEMU: what ours cannot do with them is given up, and
 * said. -ENOTSUP when nothing safe is left. */
int mig_source_agree(MigJob *j, const JsonTree *theirs, Err *err) must_check;

/* ---- mig_source_qemu.c */

/* Bytes per second that a stream may take now: the least of the job's limit, its share of the
 * node's, and that of the volume's storages (NULL: the memory). 0: no limit. */
int64_t mig_source_limit(const MigJob *j, const MigVolume *v);
int mig_source_open_qemu(MigJob *j, Err *err) must_check;
void mig_source_mirror(MigJob *j);
void mig_source_migrate(MigJob *j);
void mig_source_switch(MigJob *j);
void mig_source_throttle(MigJob *j);
void mig_source_postcopy(MigJob *j);
void mig_source_pause_postcopy(MigJob *j);
void mig_source_continue(MigJob *j);
void mig_source_rest(MigJob *j);
void mig_source_cancel_stream(MigJob *j);
void mig_source_cont(MigJob *j);
/* The stream of post-copy is broken, and QEMU waits for a new one. */
bool mig_source_is_paused(MigJob *j);
void mig_source_recover(MigJob *j, const char *host, unsigned port);
/* News of QEMU: status of the stream, its end, time to look. */
void mig_source_news(MigJob *j, const MigNote *n);
void mig_source_stop_poll(MigJob *j);
/* QEMU's own figures, once the guest runs on the target. */
void mig_source_final_stats(MigJob *j);

/* ---- mig_copy.c */

/* Sends all volumes that no QEMU mirrors, one after the other; ends `copy`. */
void mig_source_copy(MigJob *j);

#endif
