/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_socket: both ends of the local socket between the API worker and a root daemon (wire_api.h).
 * One request per connection; every step has a deadline.
 */
#ifndef LIB_PORT_API_SOCKET_H
#define LIB_PORT_API_SOCKET_H

#include "lib/base/tracer.h"
#include "lib/wire/wire_api.h"

#include <sys/types.h>

#define API_SOCKET_TIMEOUT_SEC 90 /* a join step waits for locks and quorum */
#define API_SOCKET_THREADS_MAX 16

/* Asks the daemon behind `path`. Any thread; blocks. -ENOENT, -ECONNREFUSED: it does not run. */
int api_socket_ask(const char *path, const ApiRequest *request, ApiAnswer *ret, Err *err)
    must_check;

/* Answers one request; fills status and body. Called on a thread of the pool; requests may run side
 * by side. */
typedef void (*ApiHandler)(void *ctx, const ApiRequest *request, ApiAnswer *ret);

typedef struct ApiServer ApiServer;

/* Makes the folder of the sockets, unless it is there, and tells the group that the worker runs as.
 * Main thread, at the start. -ENOENT without that group. */
int api_run_dir(const char *path, gid_t *ret_gid, Err *err) must_check;

/* Serves `path` (mode 0660, root:gid; a leftover of a dead daemon is replaced). Only root and
 * members of `gid` are answered. */
int api_server_start(const char *path,
                     gid_t gid,
                     ApiHandler handler,
                     void *ctx,
                     const Tracer *tracer,
                     ApiServer **ret,
                     Err *err) must_check;
void api_server_stop(ApiServer *s); /* waits for requests under way; NULL is allowed */

/* Sets a JSON body. */
void api_answer_set(ApiAnswer *a, uint32_t status, const char *json);
/* {"data":null,"message":TEXT} as the original's API reports errors. */
void api_answer_error(ApiAnswer *a, uint32_t status, const char *text);

#endif
