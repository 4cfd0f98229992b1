/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group: the vocabulary between a pure group member (replica, status group) and whatever carries
 * its messages: corosync CPG (pmxcfs/io/group_cpg) or the simulation's model. Plain data, no
 * functions but the names. Reference: pmxcfs chapter 8.
 */
#ifndef PMXCFS_CORE_GROUP_H
#define PMXCFS_CORE_GROUP_H

#include "lib/base/strtab.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GROUP_MEMBERS_MAX 128u /* corosync's CPG_MEMBERS_MAX */
#define GROUP_MESSAGE_MAX                                                                          \
    (20u * 1024u * 1024u) /* longest message handed up; longer: bad message                        \
                           */

typedef struct GroupMember {
    uint32_t nodeid;
    uint32_t pid;
} GroupMember;

/* Order of members everywhere: by node id, then pid. */
int group_member_compare(const GroupMember *a, const GroupMember *b);
bool group_member_equal(const GroupMember *a, const GroupMember *b);

/* Modes of a member (8.3). The first four are the normal way in; in the last three the member is
 * out of the group or on its way out. docs/states/dfsm.md tells what each may rely on. */
#define GROUP_MODE_LIST(X)                                                                         \
    X(GROUP_MODE_START, "START")                                                                   \
    X(GROUP_MODE_START_SYNC, "START_SYNC")                                                         \
    X(GROUP_MODE_SYNCED, "SYNCED")                                                                 \
    X(GROUP_MODE_UPDATE, "UPDATE")                                                                 \
    X(GROUP_MODE_LEAVE, "LEAVE")                                                                   \
    X(GROUP_MODE_VERSION_ERROR, "VERSION_ERROR")                                                   \
    X(GROUP_MODE_ERROR, "ERROR")
typedef enum GroupMode { GROUP_MODE_LIST(STRTAB_ENUM) GROUP_MODE_N } GroupMode;
STRTAB_DECLARE(group_mode, GroupMode);

typedef enum GroupEventKind {
    GROUP_EV_CONNECTED,    /* handle open, nothing joined yet; `self` is known */
    GROUP_EV_VIEW,         /* configuration change: members, joined, left */
    GROUP_EV_MESSAGE,      /* agreed delivery of one message from `sender` */
    GROUP_EV_SENT,         /* the oldest SEND was accepted by the group layer */
    GROUP_EV_SEND_FAILED,  /* the oldest SEND was refused for good (`code`) */
    GROUP_EV_BACKPRESSURE, /* `on`: the group takes no more for now (flow control) */
    GROUP_EV_DISCONNECTED, /* connection lost or closed: nothing more comes from it */
    GROUP_EV_N
} GroupEventKind;

typedef struct GroupEvent {
    GroupEventKind kind;
    GroupMember self;           /* CONNECTED */
    const GroupMember *members; /* VIEW: all members now, any order */
    uint32_t n_members;
    const GroupMember *joined; /* VIEW */
    uint32_t n_joined;
    const GroupMember *left; /* VIEW */
    uint32_t n_left;
    GroupMember sender; /* MESSAGE */
    const void *data;   /* MESSAGE: borrowed for the call */
    size_t size;
    int code; /* SEND_FAILED, DISCONNECTED: -errno */
    bool on;  /* BACKPRESSURE */
} GroupEvent;

#endif
