/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_check: is this corosync.conf one that corosync and the cluster can live with? Gives all
 * faults at once, each with its line. Pure; any thread. Reference: join chapter 5.
 */
#ifndef LIB_CONF_COROSYNC_CHECK_H
#define LIB_CONF_COROSYNC_CHECK_H

#include "lib/conf/corosync_conf.h"

typedef enum CorosyncSeverity {
    COROSYNC_WARNING, /* works, but somebody should look */
    COROSYNC_ERROR,   /* must not reach corosync */
} CorosyncSeverity;

typedef struct CorosyncProblem {
    CorosyncSeverity severity;
    unsigned line; /* 0: the document as a whole */
    char *text;
} CorosyncProblem;

/* Problems of `conf` by itself, in line order (GPtrArray of CorosyncProblem*, owned by the array).
 */
GPtrArray *corosync_check(const CorosyncConf *conf);

/* Additionally what is wrong with `next` as the successor of `now` (NULL: none): version not
 * raised, another cluster name, a node id that changed its name. Appends to `problems`. */
void corosync_check_successor(const CorosyncConf *next,
                              const CorosyncConf *now,
                              GPtrArray *problems);

/* Parses and checks a text in one go, as the mount does when /etc/pve/corosync.conf is closed. 0,
 * or -EINVAL with the first error ("line N: ..."). `now_text` NULL: no predecessor. */
int corosync_check_text(
    const char *text, size_t size, const char *now_text, size_t now_size, Err *err) must_check;

/* Milliseconds that corosync takes with this file to agree that a silent member is gone: token and
 * consensus time. 0 for a node alone. */
uint64_t corosync_detection_ms(const CorosyncConf *conf);

/* "line N: text" or "text"; caller frees. */
char *corosync_problem_format(const CorosyncProblem *p);

/* The first error in `problems`, NULL when there are only warnings. Borrowed. */
const CorosyncProblem *corosync_first_error(const GPtrArray *problems);

#endif
