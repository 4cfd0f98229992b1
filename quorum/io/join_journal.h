/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_journal: the step of a join that is under way, in a file for root only, so that `pvecm
 * recover` can finish or take back what a killed command began. One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_JOURNAL_H
#define QUORUM_IO_JOIN_JOURNAL_H

#include "quorum/io/joiner.h"

/* Notes durably that `step` begins; JOIN_PLAN_N: nothing is under way any more. */
int join_journal_record(Joiner *j, JoinPlanStep step, Err *err) must_check;

/* What was noted: prepares the joiner by it, with the names of the guests that were brought along.
 * -ENOENT: nothing is under way; -EBADMSG: damaged. */
int join_journal_read(Joiner *j, JoinPlanStep *ret_step, Err *err) must_check;

/* Is there one? */
bool join_journal_exists(const char *state_dir);

#endif
