/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_target_ops: the operations of the target's machine. All run on the thread of the job.
 */
#ifndef MIGRATION_IO_MIG_TARGET_OPS_H
#define MIGRATION_IO_MIG_TARGET_OPS_H

#include "migration/io/mig_job.h"

void mig_target_done(MigJob *j, MigTop op, int r, const char *text);
/* Writes down where the move is, so that a restarted agent goes on from there. */
void mig_target_journal(MigJob *j);

/* ---- mig_target_check.c */

/* Can the guest run here? Answers `checked`. */
void mig_target_check(MigJob *j);
/* 0: the guest is not HA's, or this node guards HA services; else -EPERM, or -errno when nobody can
 * tell. Asked before anything is done and again right before the guest runs. */
int mig_target_guarded(const MigJob *j, Err *err) must_check;
/* 1: HA manages the guest; 0: not; -errno. */
int mig_target_is_ha(const MigJob *j, Err *err) must_check;
/* Address for the streams: in `network` (CIDR), or that of this node in the cluster. */
int mig_target_address(MigJob *j, const char *network, char **ret, Err *err) must_check;

/* ---- mig_target_qemu.c */

/* Begins to start the QEMU that waits for the guest. */
void mig_target_start(MigJob *j);
void mig_target_start_command(MigJob *j, const MigNote *n); /* `qm start` has ended */
void mig_target_qemu_run(MigJob *j);
void mig_target_new_stream(MigJob *j);
/* What a restarted agent finds: MigTgtFound. */
int mig_target_find(MigJob *j);

/* ---- mig_target_volumes.c */

/* Reserves ports, then makes the volumes that come along: a command at a time, each ends in the
 * second one. */
void mig_target_prepare(MigJob *j);
void mig_target_prepare_next(MigJob *j, const MigNote *n);
/* Volumes will be made on this storage: which ones of the guest are there before goes into the
 * journal, so that a restarted agent finds the others. Blocks as long as `pvesm list`. */
int mig_target_intend(MigJob *j, const char *storage, Err *err) must_check;
/* Of one that `prepare` asked for: QEMU will mirror it onto its snapshots, which come before. */
bool mig_target_is_replayed(const JsonTree *volume);
/* A volume of the guest has its place here from now on: into the journal. */
void mig_target_note_volume(MigJob *j, const char *old, const char *fresh);
void mig_target_free(MigJob *j);
void mig_target_free_next(MigJob *j, const MigNote *n);

#endif
