/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_front: HTTPS on the API port (libmicrohttpd, GnuTLS). Holds no privilege and no secret but
 * the node's TLS key: reads requests, bounds them, passes them to the root daemon that serves the
 * path, and sends its answer back; one about another node goes to that node (api_peer). Threads of
 * the library's own.
 */
#ifndef API_IO_API_FRONT_H
#define API_IO_API_FRONT_H

#include "lib/base/err.h"
#include "lib/base/tracer.h"

#include <stdint.h>

#define API_PORT            8006
#define API_CONNECTIONS_MAX 256
#define API_PER_PEER_MAX    32
#define API_IDLE_SEC        30
#define API_REFUSE_MS       3000 /* from request to answer 401 */

typedef struct ApiFront ApiFront;

typedef struct ApiFrontConfig {
    uint16_t port;
    const char *cert;    /* PEM: node certificate, then the CA's: clients pin the CA */
    const char *key;     /* PEM */
    const char *run_dir; /* where the daemons' sockets are */
    const char *pve;     /* the tree: where the other nodes are */
    const Tracer *tracer;
} ApiFrontConfig;

/* -EADDRINUSE; -EBADMSG when certificate or key cannot be used. */
int api_front_start(const ApiFrontConfig *cfg, ApiFront **ret, Err *err) must_check;
void api_front_stop(ApiFront *f); /* NULL is allowed */

#endif
