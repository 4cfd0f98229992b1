/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_relay: between the source's QEMU and the NBD server of the target's.
 *
 * QEMU opens an NBD node on its main thread: the guest stands still until the server has answered.
 * A server that dies or falls silent in the middle of a TLS handshake held QEMU 7.2 for ever (its
 * thread that connects waits for the main loop, which waits for that thread). So the agent connects
 * and shakes hands, under a deadline, and QEMU opens a socket of this node, behind which all is
 * ready; while it opens, silence ends the connection. Afterwards the relay passes bytes on until
 * either side ends.
 *
 * One thread per relay. Any thread may call.
 */
#ifndef MIGRATION_IO_MIG_RELAY_H
#define MIGRATION_IO_MIG_RELAY_H

#include "lib/base/err.h"

#include <glib.h>

#define MIG_RELAY_CONNECT_MS 5000 /* for connecting, and for each answer of the handshake */
#define MIG_RELAY_SILENCE_MS 5000 /* while QEMU opens it: longest time without a byte */

typedef struct MigRelay MigRelay;

typedef struct MigRelayTo {
    const char *pve, *node; /* own certificate: see mig_tls_new */
    const char *peer;       /* name in the other's certificate; NULL: no TLS */
    const char *address;    /* a number */
    unsigned port;
    const char *path; /* of the socket for QEMU; replaced when it is there */
} MigRelayTo;

/* Connects, and listens on `path` for one connection, which has to come within
 * MIG_RELAY_SILENCE_MS. -ECONNREFUSED, -ETIMEDOUT ...; -EPROTO when the other is no NBD server or
 * will not have TLS; -EPIPE when the handshake fails. Blocks. */
int mig_relay_open(const MigRelayTo *to, MigRelay **ret, Err *err) must_check;

/* QEMU has opened it: from now on silence is no fault. */
void mig_relay_settled(MigRelay *r);

/* Gives the handle back; NULL is allowed. A relay that was not settled ends, another goes on until
 * one of its sides ends. */
void mig_relay_free(MigRelay *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRelay, mig_relay_free)

#endif
