/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_host: the steps of a join that change this host: what it had is saved, key and configuration
 * of corosync are written, its own tree is stopped and its database set aside; and each taken back.
 * One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_HOST_H
#define QUORUM_IO_JOIN_HOST_H

#include "quorum/io/joiner.h"

int join_host_save(Joiner *j, Err *err) must_check; /* JOIN_PLAN_SAVE */
int join_host_undo_save(Joiner *j, Err *err) must_check;

int join_host_keys(Joiner *j, Err *err) must_check; /* JOIN_PLAN_KEYS */
int join_host_undo_keys(Joiner *j, Err *err) must_check;

int join_host_stop(Joiner *j, Err *err) must_check; /* JOIN_PLAN_STOP */
int join_host_undo_stop(Joiner *j, Err *err) must_check;

/* Writes the configuration the joiner was given, as the last part of JOIN_PLAN_KEYS or anew. */
int join_host_write_conf(const Joiner *j, Err *err) must_check;

#endif
