/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shmipc: a service that libqb's clients connect to with the shared memory transport: abstract
 * socket, handshake with credentials, three rings per connection (docs/wire/libqb-shm.md).
 *
 * Differs from libqb's own server in what a client can do to it: nothing. It never waits for a
 * client, and believes nothing that a client can write (docs/decisions/0006-ipc-transport.md).
 *
 * All functions and callbacks belong to the thread that iterates the context given to shmipc_new.
 */
#ifndef PMXCFS_IO_SHMIPC_H
#define PMXCFS_IO_SHMIPC_H

#include "lib/base/err.h"

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SHMIPC_HANDSHAKE_MS   10000 /* a client that connects and says nothing is dropped then */
#define SHMIPC_HANDSHAKES_MAX 128u  /* of them at the same time; the oldest make room */

typedef struct ShmIpc ShmIpc;
typedef struct ShmIpcConn ShmIpcConn;

typedef struct ShmIpcPeer {
    uid_t uid; /* as the kernel says */
    gid_t gid; /* primary group */
    pid_t pid;
    size_t message_max; /* bytes of the longest message it can take */
} ShmIpcPeer;

typedef struct ShmIpcHandlers {
    /* Decides about a client: 0, or a negative errno that its connect call gets. `*ret_user`
     * becomes what shmipc_user gives. */
    int (*accept)(void *ctx, const ShmIpcPeer *peer, ShmIpcConn *c, void **ret_user);
    /* One message, as it arrived: our own copy. May answer at once or later, or close. */
    void (*message)(void *ctx, ShmIpcConn *c, GBytes *message);
    /* The connection has ended; `c` is gone when this returns. Called once per accepted one. */
    void (*closed)(void *ctx, ShmIpcConn *c);
} ShmIpcHandlers;

/* Listens at the abstract address of `name`. `handlers` and `ctx` must outlive the service.
 * -EADDRINUSE: somebody does so already. */
int shmipc_new(const char *name,
               GMainContext *context,
               const ShmIpcHandlers *handlers,
               void *ctx,
               ShmIpc **ret,
               Err *err) must_check;

/* Closes everything. NULL is allowed. */
void shmipc_free(ShmIpc *s);

/* What `accept` gave for it. */
void *shmipc_user(const ShmIpcConn *c);

/* Takes no further message from the connection until resumed: what it sent waits in its ring. May
 * be called in `message`. */
void shmipc_pause(ShmIpcConn *c);
void shmipc_resume(ShmIpcConn *c);

/* Sends one message of `n` pieces; on failure (see shmring_put) the connection should be closed. */
int shmipc_send(ShmIpcConn *c, const struct iovec *iov, int n) must_check;

/* Ends the connection soon; `closed` is called from the context, never from here. */
void shmipc_close(ShmIpcConn *c);

#endif
