/* SPDX-License-Identifier: Apache-2.0 */
/*
 * door: a node without quorum asks the members whether it still belongs to the cluster. When it was
 * removed while it was away it stops its corosync, says why on the console, in the log and in
 * `pvecm status`, and may join again by a token. When it missed a change of addresses it gets the
 * corosync.conf that is in force, so that it finds the others again. Blocks; one thread.
 */
#ifndef QUORUM_IO_DOOR_H
#define QUORUM_IO_DOOR_H

#include "lib/base/tracer.h"
#include "quorum/io/cluster_create.h"

#include <stdbool.h>

#define DOOR_MARKER      "removed" /* below state_dir: the text of the refusal */
#define DOOR_TEXT_MAX    1024u
#define DOOR_FIRST_SEC   10 /* after the start: time for corosync to find the others */
#define DOOR_REPEAT_SEC  5  /* looks at quorum */
#define DOOR_REMOVED_SEC 60 /* of a node that was refused */

typedef enum DoorAnswer {
    DOOR_MEMBER,  /* a member, or nobody needs to be asked: quorate, or in no cluster */
    DOOR_UPDATED, /* a member that had missed something: corosync has the new configuration */
    DOOR_REMOVED, /* refused; the marker says why */
    DOOR_UNKNOWN, /* nobody could be asked; `err` says why */
} DoorAnswer;

/* Asks, and acts on the answer. */
DoorAnswer
door_ask(const ClusterPaths *paths, const char *state_dir, const Tracer *tracer, Err *err);

/* The text of an earlier refusal; NULL: none. Caller frees. */
char *door_refusal(const char *state_dir);

/* Has a member said that this node was removed, and is that still in force? */
bool door_refused(const char *state_dir);

/* The node is no member any more, or one again: no refusal is in force. */
void door_forget(const char *state_dir);

#endif
