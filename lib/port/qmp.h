/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp: client of a QEMU machine protocol socket (and of the guest agent's), on a GLib main context.
 *
 * Connecting, the greeting and the negotiation happen in the background; commands may be given from
 * the start and are sent when the peer is ready. Every command has a deadline: a peer that hangs
 * costs its caller that time and no more (INV-4). What the peer sends is bounded and checked
 * (lib/wire/wire_qmp); a peer that sends nonsense is left.
 *
 * All functions and all callbacks run on the thread of the context. A callback may free the client.
 */
#ifndef LIB_PORT_QMP_H
#define LIB_PORT_QMP_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/wire/wire_qmp.h"

#include <glib.h>

typedef struct QmpClient QmpClient;

/* Answer of one command: `r` 0 and its value (borrowed, never NULL), or a negative errno with the
 * reason: -ETIMEDOUT no answer in time (it may still have been done), -EPIPE the connection ended
 * first, what wire_qmp_errno says for QEMU's own errors. Called exactly once per command. */
typedef void (*QmpReply)(void *ctx, int r, const JsonTree *value, const Err *err);

typedef struct QmpHandlers {
    void (*event)(void *ctx, const WireQmp *event); /* may be NULL */
    /* The connection is gone, for good; waiting commands have been answered. May be NULL. */
    void (*closed)(void *ctx, const Err *why);
    void *ctx;
} QmpHandlers;

#define QMP_CONNECT_MS 5000 /* until the peer must have greeted */

/* `context` NULL is the default one. -ENOENT, -ECONNREFUSED and other errno of connect(2);
 * -ENAMETOOLONG. */
int qmp_client_new(GMainContext *context,
                   const char *path,
                   const QmpHandlers *handlers,
                   QmpClient **ret,
                   Err *err) must_check;

/* The same over a connected stream socket, which is taken over also on failure. */
int qmp_client_new_fd(GMainContext *context,
                      int fd,
                      const QmpHandlers *handlers,
                      QmpClient **ret,
                      Err *err) must_check;

/* The same for the socket of a guest agent, which greets nobody: what is left from earlier talks is
 * skipped up to the answer of a synchronising command. The guest is not trusted. An agent that
 * misses a deadline is left, because its answers could no longer be told apart. */
int qmp_client_new_agent(GMainContext *context,
                         const char *path,
                         const QmpHandlers *handlers,
                         QmpClient **ret,
                         Err *err) must_check;
int qmp_client_new_agent_fd(GMainContext *context,
                            int fd,
                            const QmpHandlers *handlers,
                            QmpClient **ret,
                            Err *err) must_check;

/* Closes; waiting commands are answered with -ECANCELED, `closed` is not called. NULL is fine. */
void qmp_client_free(QmpClient *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpClient, qmp_client_free)

/* Sends a command; takes `arguments` (may be NULL). `timeout_ms` 0 is qmp_timeout_ms(command).
 * `reply` may be NULL. */
void qmp_execute(QmpClient *q,
                 const char *command,
                 JsonTree *arguments,
                 unsigned timeout_ms,
                 QmpReply reply,
                 void *ctx);

/* Sends and waits for the answer; for programs that do one thing after the other. Runs the context,
 * so other callbacks may come meanwhile. The caller owns *ret (may be NULL). */
int qmp_call(QmpClient *q,
             const char *command,
             JsonTree *arguments,
             unsigned timeout_ms,
             JsonTree **ret,
             Err *err) must_check;

/* qmp_call of `getfd`: QEMU gets a copy of `fd` under this name, for "fd:NAME". */
int qmp_give_fd(QmpClient *q, const char *name, int fd, Err *err) must_check;

/* To be called right after making the client, for a monitor that nobody else needs: commands by
 * qmp_call_oob are then done ahead of others, even while QEMU's main loop hangs. A QEMU that does
 * not offer it is used without. */
void qmp_client_want_oob(QmpClient *q);
int qmp_call_oob(QmpClient *q,
                 const char *command,
                 JsonTree *arguments,
                 unsigned timeout_ms,
                 Err *err) must_check;

/* How long a command may take by its nature; reference guest.md section 9. */
unsigned qmp_timeout_ms(const char *command);

#endif
