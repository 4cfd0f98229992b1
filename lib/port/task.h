/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task: runs a command as a recorded task: under an id (UPID), with its output in a log, in the
 * list of active tasks while it runs and in the index afterwards. Any thread. Reference: api,
 * chapter 10.
 *
 * The command outlives the daemon that started it; then its last line is missing in the log, which
 * readers report as "unexpected status".
 */
#ifndef LIB_PORT_TASK_H
#define LIB_PORT_TASK_H

#include "lib/wire/wire_upid.h"

#include <stdbool.h>

#define TASK_DIR      "/var/log/pve/tasks"
#define TASK_LOG_MAX  (8u * 1024u * 1024u)
#define TASK_LINE_MAX 4096u

typedef struct TaskSpec {
    const char *const *argv; /* ends with NULL */
    const char *input;       /* for standard input (secrets); NULL: empty */
    const char *node, *type, *id, *user;
} TaskSpec;

/* Returns at once. -errno when it could not be started. Caller frees the id. The command has
 * TASK_ENV in its environment. */
int task_start(const char *dir, const TaskSpec *spec, char **ret_upid, Err *err) must_check;

/* This process as a task: a command that somebody typed, whose log is written by itself. */
typedef struct TaskRecord TaskRecord;

#define TASK_ENV "QUORATE_TASK" /* set where a command is a task of somebody else already */

/* `spec`: node, type, id and user. -errno when the log cannot be written. */
int task_record_begin(const char *dir, const TaskSpec *spec, TaskRecord **ret, Err *err) must_check;

/* One more line of the log. NULL is allowed. */
void task_record_say(TaskRecord *t, const char *line);

/* `error` NULL: it succeeded. Frees the record; NULL is allowed. */
void task_record_end(TaskRecord *t, const char *error);

typedef struct TaskStatus {
    bool running;
    char *exitstatus; /* "OK", "WARNINGS: n", an error text; NULL while it runs */
} TaskStatus;

/* -ENOENT: no such task here. Caller frees exitstatus. */
int task_status(const char *dir, const char *upid, TaskStatus *ret, Err *err) must_check;

/* The whole log. -ENOENT, -EFBIG. Caller frees. */
int task_log(const char *dir, const char *upid, char **ret, gsize *ret_size, Err *err) must_check;

#endif
