/* SPDX-License-Identifier: Apache-2.0 */
/*
 * joiner: what a node that joins knows, and is given, on its way through the steps of the plan. The
 * modules that perform them share it: join_check (may it?), join_list (the cluster's list of
 * nodes), join_host (what is on this host), join_ring (corosync), join_tree (the mounted tree),
 * join_login (the documented endpoints in place of a token). One thread.
 */
#ifndef QUORUM_IO_JOINER_H
#define QUORUM_IO_JOINER_H

#include "quorum/core/jointoken.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/join_client.h"

#define JOINER_GUEST_MAX (1024u * 1024u) /* bytes of a guest's configuration */

typedef struct JoinerGuest {
    char *dir, *name; /* "qemu-server", "100.conf" */
    char *text;       /* NULL: only known by name */
    gsize size;
} JoinerGuest;

typedef struct Joiner {
    const ClusterPaths *paths;
    const JoinClientOptions *opt;
    JoinToken token;
    char *token_line; /* NULL: under a login */
    char *peer;       /* then: the member */
    int version;      /* and its join API */
    bool was_listed;  /* there the cluster lists a node of this name already */
    bool unstaged;    /* and has taken this one out again */
    char *node, *fqdn;
    GPtrArray *addresses;
    char *address; /* own one for single-link clusters */
    char *backup;  /* directory with everything that is put back */
    char *key;     /* node's new private key */
    char *cert, *ca, *conf;
    uint8_t authkey[COROSYNC_KEY_MAX];
    gsize authkey_size;
    GPtrArray *guests; /* of JoinerGuest */
} Joiner;

/* `paths` and `opt` are borrowed. */
void joiner_init(Joiner *j, const ClusterPaths *paths, const JoinClientOptions *opt);
void joiner_done(Joiner *j); /* wipes */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Joiner, joiner_done)

/* Who this node is, and how it joins: `line` is a token, or NULL; then `peer` is the member. */
int joiner_prepare(Joiner *j, const char *line, const char *peer, Err *err) must_check;

/* By a token, or by the documented endpoints? */
bool joiner_by_token(const Joiner *j);

/* A guest that comes along, still without text. Borrowed. */
JoinerGuest *joiner_add_guest(Joiner *j, const char *dir, const char *name);

/* Where `name` is saved while the join is under way. Caller frees. */
char *joiner_saved(const Joiner *j, const char *name);

/* One line for the person who asked. */
void joiner_say(const Joiner *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tells what stands against joining, and counts it: all of it is told before giving up. */
void joiner_problem(Joiner *j, int *count, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
