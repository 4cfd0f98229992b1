/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorum_view: what `pvecm status` and `nodes` say, from facts that somebody else collected. Text
 * layouts are those administrators and their scripts know (reference join, chapter 2); JSON has
 * one stable name per fact. Pure; any thread.
 */
#ifndef QUORUM_CORE_QUORUM_VIEW_H
#define QUORUM_CORE_QUORUM_VIEW_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Flags as votequorum reports them. */
typedef enum QuorumFlag {
    QUORUM_FLAG_TWO_NODE = 1 << 0,
    QUORUM_FLAG_QUORATE = 1 << 1,
    QUORUM_FLAG_WAIT_FOR_ALL = 1 << 2,
    QUORUM_FLAG_LAST_MAN_STANDING = 1 << 3,
    QUORUM_FLAG_AUTO_TIE_BREAKER = 1 << 4,
    QUORUM_FLAG_ALLOW_DOWNSCALE = 1 << 5,
    QUORUM_FLAG_QDEVICE = 1 << 6,
    QUORUM_FLAG_QDEVICE_ALIVE = 1 << 7,
    QUORUM_FLAG_QDEVICE_VOTE = 1 << 8,
    QUORUM_FLAG_QDEVICE_MASTER_WINS = 1 << 9,
} QuorumFlag;

typedef struct QuorumMember {
    uint32_t nodeid;
    uint32_t votes;
    uint32_t flags;      /* QUORUM_FLAG_QDEVICE* of this node */
    const char *name;    /* node name, "" when unknown; borrowed */
    const char *address; /* of link 0, "" when unknown; borrowed */
} QuorumMember;

typedef struct QuorumFacts {
    /* From /etc/pve/corosync.conf; NULL or negative when the key is absent. */
    const char *cluster_name;
    int64_t config_version;
    const char *transport; /* NULL: "knet" */
    const char *secauth;   /* NULL: "off" */
    /* From the running corosync. */
    const char *date;     /* as ctime writes it, without newline */
    const char *provider; /* "corosync_votequorum" */
    uint32_t nodeid;      /* own */
    uint32_t ring_nodeid; /* representative of the ring */
    uint64_t ring_seq;
    bool quorate;
    uint32_t expected, highest_expected, total, quorum; /* votes */
    uint32_t flags;                                     /* QuorumFlag of the cluster */
    const QuorumMember *members;                        /* ascending by node id */
    uint32_t n_members;
    uint32_t qdevice_votes; /* 0: no quorum device */
    const char *qdevice_name;
} QuorumFacts;

/* Is the node among the members that corosync sees? */
bool quorum_has_member(const QuorumFacts *f, uint32_t nodeid);

/* How many more nodes may fail, whichever they are, with quorum kept. With `known` votes of the
 * members that are up; a registered device that votes stays up. 0 also when not quorate. */
uint32_t quorum_tolerates(const QuorumFacts *f);

void quorum_format_status(const QuorumFacts *f, GString *out); /* `pvecm status` */
void quorum_format_nodes(const QuorumFacts *f, GString *out);  /* `pvecm nodes` */
void quorum_format_status_json(const QuorumFacts *f, GString *out);
void quorum_format_nodes_json(const QuorumFacts *f, GString *out);

#endif
