/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashdisk: a disk in memory that can lose power, fill up and break, as a SQLite VFS.
 *
 * It keeps for every file what the program sees and what is durable. A write, truncation, creation
 * or removal becomes durable by a sync of the file or of the directory (which, as in SQLite's own
 * VFS, comes with the first sync of a new journal or WAL). crashdisk_restart then decides what a
 * power cut left of the rest: sector by sector, each kept or lost on its own.
 *
 * All names live in one flat directory. Any thread may call; files must be closed before a restart.
 */
#ifndef TESTS_LIB_CRASHDISK_H
#define TESTS_LIB_CRASHDISK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct CrashDisk CrashDisk;

/* Registers a VFS of this name. */
CrashDisk *crashdisk_new(const char *vfs_name);
void crashdisk_free(CrashDisk *d);

/* Changing calls so far: writes, truncations, syncs, creations, removals. */
uint64_t crashdisk_changes(CrashDisk *d);
/* All calls so far that a fault may hit. */
uint64_t crashdisk_calls(CrashDisk *d);

/* The machine stops in the middle of the n-th changing call from the very start: that call and all
 * later calls fail. 0: never. */
void crashdisk_stop_at(CrashDisk *d, uint64_t n);
bool crashdisk_stopped(CrashDisk *d);

typedef enum CrashKind {
    CRASH_KILL, /* the program died: everything written is there, the last write perhaps in part */
    CRASH_POWER_NONE, /* nothing is left of what was not synced */
    CRASH_POWER_ALL,  /* all of it is left but the interrupted call */
    CRASH_POWER_TORN, /* of each sector and directory change, decided by `seed` */
    CRASH_POWER_TAIL, /* all up to some point in time, decided by `seed` */
    CRASH_N
} CrashKind;

/* The machine comes back with what survived; no fault is armed any more. */
void crashdisk_restart(CrashDisk *d, CrashKind kind, uint64_t seed);

/* Keeps the state between stop and restart, to try several restarts of one crash. */
typedef struct CrashState CrashState;
CrashState *crashdisk_save(CrashDisk *d);
void crashdisk_load(CrashDisk *d, const CrashState *s);
void crashdisk_state_free(CrashState *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CrashState, crashdisk_state_free)

typedef enum FaultKind {
    FAULT_NONE,
    FAULT_ENOSPC, /* writes: no space */
    FAULT_SHORT,  /* writes: half is written, then no space */
    FAULT_EIO,    /* every call: I/O error */
    FAULT_SYNC,   /* syncs: I/O error, and what was to be synced will never become durable */
    FAULT_EROFS,  /* writes, truncations, creations: read-only */
    FAULT_N
} FaultKind;

/* The n-th call (from 1) from now on to which `kind` applies fails, and those after it, `length` of
 * them altogether. */
#define CRASHDISK_LASTING UINT64_MAX
void crashdisk_fault(CrashDisk *d, FaultKind kind, uint64_t n, uint64_t length);
/* Has the fault been met? */
bool crashdisk_fault_met(CrashDisk *d);

/* From now on syncs do not return until this is taken back. How many are there? */
void crashdisk_hang(CrashDisk *d, bool hang);
unsigned crashdisk_hanging(CrashDisk *d);

/* Bytes that all files together may have; 0: no bound. */
void crashdisk_set_capacity(CrashDisk *d, uint64_t bytes);
uint64_t crashdisk_used(CrashDisk *d);

/* Removes every file; none may be open. */
void crashdisk_format(CrashDisk *d);

/* Whole files as the program sees them; NULL: no such file. */
GBytes *crashdisk_get(CrashDisk *d, const char *name);
void crashdisk_put(CrashDisk *d, const char *name, GBytes *content);

#endif
