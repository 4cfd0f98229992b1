/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipcc: client of the cluster filesystem's IPC service (docs/wire/ipc.md), over libqb.
 *
 * Connects when first used and again after a failure; every call has a deadline. While the daemon
 * restarts (its flag file exists), calls wait for it as the documented clients do. A child after
 * fork gets a connection of its own.
 *
 * One thread at a time per object; calls block.
 */
#ifndef LIB_CFS_IPCC_H
#define LIB_CFS_IPCC_H

#include "lib/base/err.h"
#include "lib/wire/wire_ipc.h"

#include <glib.h>
#include <stdint.h>

#define IPCC_TIMEOUT_MS       30000 /* default of a call */
#define IPCC_RESTART_WAIT_MS  10000 /* how long a restarting daemon is waited for */
#define IPCC_RESTART_RETRY_MS 100

typedef struct Ipcc Ipcc;

typedef struct IpccOptions {
    const char *service;      /* NULL: WIRE_IPC_SERVICE */
    const char *restart_flag; /* NULL: /run/pve-cluster/cfs-restart-flag */
    int64_t timeout_ms;       /* of each call; 0: IPCC_TIMEOUT_MS */
} IpccOptions;

/* `opt` may be NULL; strings are copied. Does not connect yet. */
Ipcc *ipcc_new(const IpccOptions *opt);
void ipcc_free(Ipcc *c); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ipcc, ipcc_free)

/* Performs one request. *ret (may be NULL) gets the data, NULL when there is none.
 * Returns 0, the negative errno of the daemon's answer, or
 *  -ECONNREFUSED  no daemon (or we may not talk to it: -EACCES)
 *  -ETIMEDOUT     no answer in time; it may have been performed
 *  -EMSGSIZE      request too long
 *  -EBADMSG       not an answer
 * A connection that breaks is made anew and the request sent again once, unless it was a log
 * message that may have been taken. */
int ipcc_call(Ipcc *c, const WireIpcRequest *req, GBytes **ret, Err *err) must_check;

/* The same for a whole request as bytes; `*ret` is the whole response. For tests and tools. */
int ipcc_call_raw(Ipcc *c, const void *request, size_t size, GBytes **ret, Err *err) must_check;

/* ---- the common ones ---- */

/* Content of a file of the tree; `*ret` is never NULL on success. */
int ipcc_get_file(Ipcc *c, const char *path, GBytes **ret, Err *err) must_check;
/* Value of a status key with its NUL added, as the documented clients store it; NULL removes it. */
int ipcc_set_status(Ipcc *c, const char *key, const char *value, Err *err) must_check;
/* `node` NULL: the local one. */
int ipcc_get_status(Ipcc *c, const char *node, const char *key, GBytes **ret, Err *err) must_check;
/* An entry of the cluster log; priority as in syslog. */
int ipcc_log(Ipcc *c,
             uint8_t priority,
             const char *ident,
             const char *tag,
             const char *text,
             Err *err) must_check;

#endif
