/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_node: the environment of CRM and LRM (HaEnv) on a real node: the mounted tree, the IPC service
 * of the cluster filesystem, watchdog-mux, the guest tools, fence agents and alerts.
 *
 * One thread. A forked worker uses its copy, without the watchdog, which is the parent's.
 */
#ifndef HA_MANAGER_IO_HA_NODE_H
#define HA_MANAGER_IO_HA_NODE_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_status_cache.h"
#include "ha-manager/io/ha_agents.h"
#include "ha-manager/io/ha_cluster.h"
#include "ha-manager/io/ha_dog.h"
#include "ha-manager/io/ha_fencing.h"
#include "ha-manager/io/ha_leases.h"
#include "ha-manager/io/ha_patience.h"
#include "ha-manager/io/ha_workers.h"

#include <stdbool.h>

/* There while the LRM of this node has a watchdog open: services that arrive are guarded. */
#define HA_GUARDED_FILE "/run/quorate/ha-lrm.guarded"

typedef struct HaNodeOptions {
    const char *pve;    /* NULL: /etc/pve */
    const char *domain; /* of log lines: "crm" or "lrm"; kept by pointer */
    bool lrm;           /* otherwise: CRM */
} HaNodeOptions;

typedef struct HaNode {
    HaEnv env;
    HaNodeOptions o;
    char *pve;
    char *name; /* of this node */
    HaCluster *cluster;
    HaLeases *leases;
    HaPatience *patience;
    HaDog dog;
    MonoTime fed; /* the watchdog, as of then */
    HaAgents agents;
    HaWorkers *workers;
    HaFencer *fencing;
    HaStatusCache master;      /* manager_status, as it was when a lock was looked at last */
    const HaTiming *published; /* profile that our last status file told of; NULL: none yet */
    int64_t detection_ms;      /* corosync's time to notice a loss, as read last */
    bool told_slow;            /* that the timing asked for does not fit this cluster */
    char *forced_timing;       /* NULL: chosen by who is there */
    bool all_ours;             /* no member of another make */
} HaNode;

/* `node` is the name of this node. */
HaNode *ha_node_new(const HaNodeOptions *options, const char *node);
void ha_node_free(HaNode *n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaNode, ha_node_free)

/* Chooses the timing profile for the coming round by who is in the cluster, and watches the locks
 * that may have to be taken. */
void ha_node_prepare_round(HaNode *n);

/* An alert: to the cluster log, and to mail and hooks (ha_alerts.h). */
void ha_node_notify(HaNode *n, const HaNotice *notice);

#endif
