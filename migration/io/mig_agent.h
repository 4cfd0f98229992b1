/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_agent: the daemon: listens for other agents and on the local socket, keeps the table of jobs,
 * finds unfinished ones in the journals. Main thread, unless said otherwise.
 */
#ifndef MIGRATION_IO_MIG_AGENT_H
#define MIGRATION_IO_MIG_AGENT_H

#include "lib/base/jsontree.h"
#include "migration/io/mig_job.h"

int mig_agent_new(MigSetup *setup, MigAgent **ret, Err *err) must_check;
/* Opens the sockets and resumes what the journals tell of. */
int mig_agent_start(MigAgent *a, const char *listen, Err *err) must_check;
void mig_agent_free(MigAgent *a);

/* From the thread of a job. */
void mig_agent_job_ended(MigAgent *a, MigJob *j);
/* A line for all who watch migration `id`; takes `t`. Any thread. */
void mig_agent_publish(MigAgent *a, const char *id, JsonTree *t);
/* KiB per second of the node's limit for one move away, now; 0: there is none. Any thread. */
int64_t mig_agent_share(MigAgent *a);
/* What a stream of memory got through to `peer`, bytes per second: note it, when no limit held it
 * back; ask what was noted of late, 0: nothing yet. Any thread. */
void mig_agent_note_stream(MigAgent *a, const char *peer, bool secure, int64_t speed);
int64_t mig_agent_stream_speed(MigAgent *a, const char *peer, bool secure);
/* Counts. Any thread. */
typedef enum MigCounter {
    MIG_COUNT_STARTED,
    MIG_COUNT_MOVED,
    MIG_COUNT_FAILED,
    MIG_COUNT_CANCELLED,
    MIG_COUNT_REFUSED,
    MIG_COUNT_LOST,
    MIG_COUNT_INCOMING,
    MIG_COUNT_BYTES,
    MIG_COUNT_DOWNTIME_MS,
    MIG_COUNT_LINKS_REFUSED,
    MIG_COUNT_N,
} MigCounter;
void mig_agent_count(MigAgent *a, MigCounter c, int64_t n);

#endif
