/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_records: the records of tokens and of nodes under way, priv/join-tokens/ID in the tree. Any
 * thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_RECORDS_H
#define QUORUM_IO_JOIN_RECORDS_H

#include "quorum/core/jointoken.h"

#define JOIN_RECORDS_MAX 1024 /* more are not looked at in one go */

/* `made-by` of nodes that were added by the documented ways. */
#define JOIN_RECORD_BY_PASSWORD "password"

char *join_record_path(const char *pve, const uint8_t id[JOINTOKEN_ID_SIZE]); /* caller frees */
int join_record_read(const char *path, JoinRecord *ret, Err *err) must_check;
int join_record_write(const char *path, const JoinRecord *record, Err *err) must_check;

#endif
