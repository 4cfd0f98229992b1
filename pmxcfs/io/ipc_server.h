/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc_server: the service `pve2` through which tools talk to the daemon (reference pmxcfs chapter
 * 15; docs/wire/ipc.md). Decides who may connect, keeps the requests of one connection in order,
 * and lets no slow request hold up other connections. What requests do is ipc_dispatch's, how bytes
 * travel is shmipc's.
 *
 * Has a thread of its own, and a few workers for requests that wait for the cfs thread.
 */
#ifndef PMXCFS_IO_IPC_SERVER_H
#define PMXCFS_IO_IPC_SERVER_H

#include "lib/base/err.h"
#include "lib/base/tracer.h"
#include "pmxcfs/io/engine.h"

#include <sys/types.h>

/* Bounds, each with its reason. */
#define IPC_CONNECTIONS_MAX    1024u                /* each takes 3 MiB of /dev/shm */
#define IPC_CONNECTIONS_RO_MAX 768u                 /* read-only clients leave room for root */
#define IPC_BUFFER_MAX         (4u * 1024u * 1024u) /* largest message a client may ask for */
#define IPC_WORKERS            4                    /* requests that wait at the same time */

typedef struct IpcServer IpcServer;

typedef struct IpcServerConfig {
    Engine *engine;       /* borrowed; must outlive the server */
    const char *service;  /* NULL: WIRE_IPC_SERVICE */
    gid_t read_only_gid;  /* group of the read-only clients: www-data */
    const Tracer *tracer; /* may be NULL; copied; called on the server's thread */
} IpcServerConfig;

/* Starts the service; when this returns 0, clients can connect. -EADDRINUSE: another instance
 * serves in this network namespace. */
int ipc_server_start(const IpcServerConfig *cfg, IpcServer **ret, Err *err) must_check;

/* Closes all connections, waits for requests under way, frees. NULL is allowed. */
void ipc_server_stop(IpcServer *s);

#endif
