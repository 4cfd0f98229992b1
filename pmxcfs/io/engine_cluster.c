/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster mode on the cfs thread: corosync's quorum and node list, and both groups. */
#include "lib/port/clock.h"
#include "pmxcfs/io/engine_priv.h"

#define CONFIG_GROUP "pve_dcdb_v1"

static void on_config_event(void *ctx, const GroupEvent *ev)
{
    if (engine_own(ctx)) {
        engine_step(ctx, &(ReplicaEvent){.kind = REPLICA_EV_GROUP, .group = ev});
        engine_disown(ctx);
    }
}

/* ---- quorum and node list ------------------------------------------------------------------ */

static void tell_replica(Engine *e)
{
    if (engine_own(e)) {
        engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_QUORUM,
                                       .quorate = atomic_load(&e->quorate),
                                       .nodes = e->nodes,
                                       .n_nodes = e->n_nodes,
                                       .quorum_nodes = e->quorum_nodes,
                                       .n_quorum_nodes = e->n_quorum_nodes});
        engine_disown(e);
    }
}

/* Callers are refused before anybody else hears of a loss. */
static void on_quorum(void *ctx, bool quorate, const uint32_t *nodes, guint n_nodes)
{
    Engine *e = ctx;
    EngineNotice n = {.kind = ENGINE_NOTICE_QUORUM, .quorate = quorate};
    bool was = atomic_exchange(&e->quorate, quorate);

    e->quorum_nodes = nodes;
    e->n_quorum_nodes = n_nodes;
    pthread_mutex_lock(&e->status_lock);
    status_set_quorate(e->status, quorate);
    pthread_mutex_unlock(&e->status_lock);
    tell_replica(e);
    if (was != quorate && engine_own(e)) {
        feed_append_quorum(e->feed, quorate, clock_wall());
        engine_notify(e, &n);
        engine_disown(e);
    }
}

static void on_cluster(
    void *ctx, const char *name, uint64_t config_version, const StatusNode *nodes, guint n_nodes)
{
    Engine *e = ctx;
    StatusGroupUpdate nothing = {0};

    pthread_mutex_lock(&e->status_lock);
    status_set_cluster(e->status, name, config_version, nodes, n_nodes);
    pthread_mutex_unlock(&e->status_lock);
    e->n_nodes = MIN(n_nodes, REPLICA_NODES_MAX);
    for (guint i = 0; i < e->n_nodes; i++) {
        e->nodes[i] = (ReplicaNode){nodes[i].nodeid, nodes[i].votes};
    }
    tell_replica(e);
    engine_status_perform(e, &nothing);
}

/* ---- life ---------------------------------------------------------------------------------- */

void engine_cluster_start(Engine *e)
{
    GroupCpgEvents config_events = {.event = on_config_event, .ctx = e};
    GroupCpgEvents status_events = {.event = engine_status_event, .ctx = e};
    CorosyncInfoEvents info_events = {.quorum = on_quorum, .cluster = on_cluster, .ctx = e};

    e->conf_sync = corosync_conf_sync_new(e->host_conf, NULL, &e->log_dcdb);
    e->config_cpg = group_cpg_new(e->context, CONFIG_GROUP, &config_events, &e->log_dcdb);
    e->status_cpg = group_cpg_new(e->context, STATUSGROUP_NAME, &status_events, &e->log_status);
    e->info = corosync_info_new(e->context, &info_events, &e->log_quorum);
    corosync_info_start(e->info);
}

void engine_cluster_stop(Engine *e)
{
    g_clear_pointer(&e->info, corosync_info_free);
    atomic_store(&e->quorate, false); /* silently: nobody is left to be told */
    g_clear_pointer(&e->config_cpg, group_cpg_free);
    g_clear_pointer(&e->status_cpg, group_cpg_free);
}
