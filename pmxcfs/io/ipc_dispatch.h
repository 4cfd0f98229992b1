/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc_dispatch: what each IPC request does and what it answers (reference pmxcfs chapter 15). Knows
 * nothing of libqb: whole requests in, whole answers out. The service around it is ipc_server.h.
 *
 * Any thread; requests may run side by side.
 */
#ifndef PMXCFS_IO_IPC_DISPATCH_H
#define PMXCFS_IO_IPC_DISPATCH_H

#include "lib/wire/wire_ipc.h"
#include "pmxcfs/io/engine.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct IpcDispatch IpcDispatch;

/* Who asks, as the kernel says. */
typedef struct IpcPeer {
    uint32_t pid;
    bool read_only; /* member of the group that owns the files, not root */
} IpcPeer;

typedef struct IpcAnswer {
    uint8_t head[WIRE_IPC_RESPONSE_HEAD];
    GBytes *body; /* owned; NULL: none. File content is shared with the tree, not copied */
} IpcAnswer;

void ipc_answer_clear(IpcAnswer *a);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(IpcAnswer, ipc_answer_clear)

/* `e` is borrowed and must outlive the result. */
IpcDispatch *ipc_dispatch_new(Engine *e);
void ipc_dispatch_free(IpcDispatch *d); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IpcDispatch, ipc_dispatch_free)

/* May this request wait for the cfs thread, or work for long? Then it should not run where others
 * wait behind it. */
bool ipc_dispatch_is_slow(const void *request, size_t size);

/* Performs one request of `size` bytes that arrived. There is always an answer; one longer than
 * `answer_max` bytes, which the client could not receive, becomes the error -EMSGSIZE. */
void ipc_dispatch(IpcDispatch *d,
                  const IpcPeer *peer,
                  const void *request,
                  size_t size,
                  size_t answer_max,
                  IpcAnswer *ret);

#endif
