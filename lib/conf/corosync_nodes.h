/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_nodes: the node list of a corosync.conf, and the changes that making, joining, leaving
 * and re-addressing need. Each change raises totem.config_version by one, takes `two_node` away
 * from a cluster that has not two nodes, and keeps `expected_votes`, where it is written, at the
 * sum. Pure; one thread per document. Reference: join chapters 1, 4, 6, 10, 12.
 */
#ifndef LIB_CONF_COROSYNC_NODES_H
#define LIB_CONF_COROSYNC_NODES_H

#include "lib/conf/corosync_conf.h"

#define COROSYNC_LINKS_MAX           8u   /* links 0 to 7 */
#define COROSYNC_NODES_MAX           128u /* members of a CPG group */
#define COROSYNC_CLUSTER_NAME_MAX    15u  /* characters */
#define COROSYNC_PRIORITY_MAX        255u
#define COROSYNC_TOKEN_COEFFICIENT   50u   /* ms per node beyond two, for clusters we create */
#define COROSYNC_CREATE_TOKEN_MS     1000u /* token time of two nodes, the same: HA is to be fast */
#define COROSYNC_LIBRARY_COEFFICIENT 650u  /* the same without the key, by corosync itself */
#define COROSYNC_TOKEN_MS            3000u /* token time of two nodes, by corosync itself */

typedef struct CorosyncNode {
    char *name; /* never empty: the ring0 address when the text has no name */
    uint32_t nodeid;
    uint32_t votes;
    char *link[COROSYNC_LINKS_MAX]; /* address per link; NULL: not on this link */
} CorosyncNode;

typedef struct CorosyncLink {
    bool present;
    char *address;     /* of this node on the link; NULL: none given */
    uint32_t priority; /* 0: not written */
} CorosyncLink;

void corosync_node_free(CorosyncNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CorosyncNode, corosync_node_free)
void corosync_link_clear(CorosyncLink *link);

/* Name grammar of nodes and clusters: letters, digits, inner hyphens; 1 to 63 characters. */
bool corosync_valid_name(const char *name);

/* `[address=]<host-or-ip>[,priority=<0..255>]`. -EINVAL with the reason. */
int corosync_link_parse(const char *text, CorosyncLink *ret, Err *err) must_check;

/* All nodes in the order of the text (GPtrArray of CorosyncNode*). Nodes without a readable id have
 * id 0: corosync_check names them. */
GPtrArray *corosync_nodes(const CorosyncConf *conf);
const CorosyncNode *corosync_nodes_find(const GPtrArray *nodes, const char *name);
const CorosyncNode *corosync_nodes_find_id(const GPtrArray *nodes, uint32_t nodeid);

/* Node by name or by any of its addresses; NULL when there is none. */
const CorosyncNode *corosync_nodes_find_any(const GPtrArray *nodes, const char *name_or_address);

/* Is it the example that Debian's corosync package installs? One node at a loopback address,
 * without a config_version, which every file of ours has: no cluster that another node could ever
 * join. */
bool corosync_is_example(const CorosyncConf *conf);

/* Bit n is set when the cluster uses link n (by interface sections, else by addresses). */
uint32_t corosync_links(const CorosyncConf *conf);

/* A new cluster of one node (reference chapter 6): version 1. `links` has COROSYNC_LINKS_MAX
 * members, link 0 must be present. `token_coefficient` in ms. */
CorosyncConf *corosync_conf_create(const char *cluster_name,
                                   const char *node_name,
                                   uint32_t nodeid,
                                   uint32_t votes,
                                   const CorosyncLink *links,
                                   uint32_t token_coefficient);

typedef struct CorosyncAddNode {
    const char *name;
    uint32_t nodeid; /* 0: the smallest free one */
    uint32_t votes;  /* 0: the key is left out and the node does not vote */
    const char *link[COROSYNC_LINKS_MAX];
    const char *fallback_address; /* for link 0 of a single-link cluster; may be NULL */
    bool force;                   /* the name may exist when id and votes stay */
} CorosyncAddNode;

/* Adds a node by the rules of chapter 10. -EEXIST (name, id or address taken), -EINVAL (links do
 * not match, bad name), -ENOSPC (too many nodes), with text; nothing changed then. */
int corosync_conf_add_node(CorosyncConf *conf,
                           const CorosyncAddNode *add,
                           uint32_t *ret_nodeid,
                           Err *err) must_check;

/* Removes a node by name. -ENOENT; -EBUSY for the last node. */
int corosync_conf_remove_node(CorosyncConf *conf, const char *name, Err *err) must_check;

/* Changes votes of a node. -ENOENT. */
int corosync_conf_set_votes(CorosyncConf *conf, const char *name, uint32_t votes, Err *err)
    must_check;

/* Gives a node another name; id, votes and addresses stay. -ENOENT, -EEXIST, -EINVAL. */
int corosync_conf_rename_node(CorosyncConf *conf, const char *name, const char *to, Err *err)
    must_check;

/* Changes the address of a node on a link it already has. -ENOENT, -EEXIST, -EINVAL. */
int corosync_conf_readdress(
    CorosyncConf *conf, const char *name, unsigned link, const char *address, Err *err) must_check;

/* totem.config_version += 1. */
void corosync_conf_bump(CorosyncConf *conf);

/* Sum of votes, with those of a quorum device. */
uint32_t corosync_expected_votes(const CorosyncConf *conf);

#endif
