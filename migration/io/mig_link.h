/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_link: one connection between two agents: TLS, whole messages, a ping each second, and the
 * notice of its loss after MIG_LOST_MS of silence. All links live on one thread (that of the
 * context given); what they hear is handed out on that thread. Sending is allowed from any thread.
 *
 * A link is reference counted. After `lost`, or mig_link_close, no more handlers are called.
 */
#ifndef MIGRATION_IO_MIG_LINK_H
#define MIGRATION_IO_MIG_LINK_H

#include "lib/base/err.h"
#include "lib/wire/wire_migration.h"

#include <glib.h>

typedef struct MigLink MigLink;

typedef struct MigLinkHandlers {
    void (*ready)(void *ctx, MigLink *link);               /* hands were shaken; may be NULL */
    void (*message)(void *ctx, MigLink *link, WireMig *m); /* may take what it holds */
    void (*lost)(void *ctx, MigLink *link, const Err *why);
    void *ctx;
} MigLinkHandlers;

typedef struct MigIdentity {
    const char *pve;  /* /etc/pve */
    const char *node; /* own name */
} MigIdentity;

/* Connects to the agent of node `name` at a numeric address. Any thread; comes back at once.
 * `context` is where it lives; NULL: the default one. */
int mig_link_connect(GMainContext *context,
                     const MigIdentity *me,
                     const char *name,
                     const char *address,
                     unsigned port,
                     const MigLinkHandlers *handlers,
                     MigLink **ret,
                     Err *err) must_check;

/* Takes a connection over, also on failure. It is lost when nothing but pings comes for
 * MIG_HELLO_MS. On the thread of the context. */
int mig_link_accept(GMainContext *context,
                    const MigIdentity *me,
                    int fd,
                    const MigLinkHandlers *handlers,
                    MigLink **ret,
                    Err *err) must_check;

MigLink *mig_link_ref(MigLink *l);
void mig_link_unref(MigLink *l); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLink, mig_link_unref)

/* On the link's thread, inside a handler: another owner from now on. */
void mig_link_set_handlers(MigLink *l, const MigLinkHandlers *handlers);

/* Takes the message (NULL: nothing is sent). */
void mig_link_send(MigLink *l, GBytes *message);
/* What was sent before still goes out, for a moment; no more handlers. */
void mig_link_close(MigLink *l);

/* Of the peer; after `ready`, on the link's thread. */
bool mig_link_peer_has_name(MigLink *l, const char *name);
char *mig_link_peer_subject(MigLink *l); /* caller frees */
/* Shortest round trip so far, microseconds; -1: not known. Any thread. */
int64_t mig_link_rtt_us(const MigLink *l);
/* Address of the peer as text, borrowed. */
const char *mig_link_peer_address(const MigLink *l);

/* On the link's thread, inside a handler: gives the socket and its TLS away, blocking; the link is
 * closed. What has been received beyond the current message is in *ret_rest. */
void mig_link_steal(MigLink *l, int *ret_fd, void **ret_ssl, GByteArray **ret_rest);

#endif
