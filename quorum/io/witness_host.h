/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_host: the enrolment of one cluster on the host that is to be its witness (`pvecm witness
 * token`). Prepares corosync-qnetd and its certificates, prints a token, and waits for the cluster
 * to come with it, behind a `quorate-api` of its own without privileges. Blocks; main thread.
 */
#ifndef QUORUM_IO_WITNESS_HOST_H
#define QUORUM_IO_WITNESS_HOST_H

#include "quorum/core/witness.h"

typedef struct WitnessHostOptions {
    const char *address; /* NULL: the first one of this host that is not local */
    unsigned port, ttl_sec;
    bool dry_run;                               /* only say what would be done */
    void (*token)(void *ctx, const char *line); /* the line to copy */
    void (*say)(void *ctx, const char *line);
    void *ctx;
} WitnessHostOptions;

/* 0: a cluster was enrolled. -ETIMEDOUT: nobody came; -EINTR: ended by a signal; -ENOENT:
 * corosync-qnetd is not installed. */
int witness_host_serve(const WitnessHostOptions *opt, Err *err) must_check;

#endif
