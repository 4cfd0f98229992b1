/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_usage.h"

#include <errno.h>
#include <string.h>

typedef struct Entry {
    int current; /* node index, -1: none */
    int target;
    bool running; /* its measured load is already part of the node's */
} Entry;

typedef struct Node {
    const char *name; /* borrowed from `online` */
    StrMap *services; /* sid -> Entry *, borrowed */
    HaLoad load;      /* measured (dynamic), capacity */
    bool dirty;       /* sums below are out of date */
    HaNodeUse scoring;
    HaNodeUse balance;
} Node;

struct HaUsage {
    HaScheduler mode;
    StrMap *online; /* name -> index + 1 */
    Node *nodes;
    guint n_nodes;
    StrMap *entries; /* sid -> Entry * */
    HaLoads loads;
    HaNodeUse *view; /* scratch: one per node */
    HaNodeUse *trial;
    double (*rows)[HA_CRITERIA];
};

static HaUsage *usage_alloc(HaScheduler mode, const StrMap *online)
{
    HaUsage *u = g_new0(HaUsage, 1);

    u->mode = mode;
    u->n_nodes = strmap_size(online);
    u->online = strmap_new(NULL);
    u->nodes = g_new0(Node, u->n_nodes + 1);
    u->view = g_new0(HaNodeUse, u->n_nodes + 1);
    u->trial = g_new0(HaNodeUse, u->n_nodes + 1);
    u->rows = g_malloc0_n(u->n_nodes + 1, sizeof *u->rows);
    u->entries = strmap_new(g_free);
    ha_loads_init(&u->loads);
    for (guint i = 0; i < u->n_nodes; i++) {
        u->nodes[i].name = strmap_set(u->online, strmap_key(online, i), GUINT_TO_POINTER(i + 1));
        u->nodes[i].services = strmap_new(NULL);
        u->nodes[i].dirty = true;
    }
    return u;
}

void ha_usage_free(HaUsage *u)
{
    if (u == NULL) {
        return;
    }
    for (guint i = 0; i < u->n_nodes; i++) {
        strmap_free(u->nodes[i].services);
    }
    g_free(u->nodes);
    g_free(u->view);
    g_free(u->trial);
    g_free(u->rows);
    strmap_free(u->online);
    strmap_free(u->entries);
    ha_loads_done(&u->loads);
    g_free(u);
}

static int take_node_load(HaUsage *u, Node *node, Err *err)
{
    const HaLoad *load = strmap_get(u->loads.nodes, node->name);

    if (load == NULL) {
        return err_setf(err, -ENODATA, "did not get %s node usage information for '%s'",
                        ha_scheduler_name(u->mode), node->name);
    }
    if (load->maxcpu <= 0) {
        return err_setf(err, -ENODATA, "%s node usage information for '%s' missing cpu count",
                        ha_scheduler_name(u->mode), node->name);
    }
    if (load->maxmem <= 0) {
        return err_setf(err, -ENODATA, "%s node usage information for '%s' missing memory",
                        ha_scheduler_name(u->mode), node->name);
    }
    node->load = *load;
    return 0;
}

int ha_usage_new(
    HaScheduler mode, const StrMap *online, HaLoads *loads, HaUsage **ret_usage, Err *err)
{
    g_autoptr(HaUsage) u = usage_alloc(mode, online);

    if (mode != HA_SCHEDULER_BASIC) {
        ha_loads_done(&u->loads);
        u->loads = *loads;
        loads->nodes = NULL;
        loads->guests = NULL;
        for (guint i = 0; i < u->n_nodes; i++) {
            int r = take_node_load(u, &u->nodes[i], err);

            if (r < 0) {
                return r;
            }
        }
    }
    *ret_usage = g_steal_pointer(&u);
    return 0;
}

HaScheduler ha_usage_mode(const HaUsage *u)
{
    return u->mode;
}

guint ha_usage_n_nodes(const HaUsage *u)
{
    return u->n_nodes;
}

const char *ha_usage_node(const HaUsage *u, guint i)
{
    return u->nodes[i].name;
}

int ha_usage_index(const HaUsage *u, const char *node)
{
    return node != NULL ? GPOINTER_TO_INT(strmap_get(u->online, node)) - 1 : -1;
}

void ha_usage_nodes_of(const HaUsage *u, const HaService *s, int *ret_current, int *ret_target)
{
    *ret_current = -1;
    *ret_target = -1;
    switch (s->state) {
    case HA_SERVICE_MIGRATE:
    case HA_SERVICE_RELOCATE:
        *ret_current = ha_usage_index(u, s->node);
        *ret_target = ha_usage_index(u, s->target);
        break;
    case HA_SERVICE_REQUEST_START_BALANCE:
        *ret_target = ha_usage_index(u, s->target);
        break;
    case HA_SERVICE_STARTED:
    case HA_SERVICE_REQUEST_STOP:
    case HA_SERVICE_FENCE:
    case HA_SERVICE_FREEZE:
    case HA_SERVICE_ERROR:
    case HA_SERVICE_RECOVERY:
        *ret_current = ha_usage_index(u, s->node);
        break;
    case HA_SERVICE_STOPPED:
    case HA_SERVICE_REQUEST_START:
    case HA_SERVICE_STATE_N:
        break;
    }
}

static void detach(HaUsage *u, const char *sid, const Entry *e)
{
    const int places[] = {e->current, e->target};

    for (int i = 0; i < 2; i++) {
        if (places[i] >= 0) {
            (void)strmap_remove(u->nodes[places[i]].services, sid); /* both may be one node */
            u->nodes[places[i]].dirty = true;
        }
    }
}

static void attach(HaUsage *u, const char *sid, int current, int target, bool running)
{
    Entry *e = strmap_get(u->entries, sid);

    if (e != NULL) {
        detach(u, sid, e);
    } else if (current < 0 && target < 0) {
        return;
    } else {
        e = g_new0(Entry, 1);
        strmap_set(u->entries, sid, e);
    }
    *e = (Entry){current, target, running};
    if (current >= 0) {
        strmap_set(u->nodes[current].services, sid, e);
        u->nodes[current].dirty = true;
    }
    if (target >= 0) {
        strmap_set(u->nodes[target].services, sid, e);
        u->nodes[target].dirty = true;
    }
}

void ha_usage_add_service(HaUsage *u, const char *sid, const HaService *s)
{
    bool running;
    int current;
    int target;

    ha_usage_nodes_of(u, s, &current, &target);
    running = s->state == HA_SERVICE_STARTED ? s->running : current >= 0;
    if (current < 0) {
        current = target; /* what is only on its way counts where it goes */
        target = -1;
    }
    attach(u, sid, current, target, running);
}

void ha_usage_add_guest(HaUsage *u, const char *sid, const char *node)
{
    attach(u, sid, ha_usage_index(u, node), -1, true);
}

static void add_started(const Node *node, const HaLoad *load, HaNodeUse *use)
{
    use->cpu += load->maxcpu > 0 ? load->maxcpu : node->load.maxcpu;
    use->mem += load->maxmem;
}

static void refresh(HaUsage *u, Node *node)
{
    HaNodeUse use = {.maxcpu = node->load.maxcpu, .maxmem = node->load.maxmem};

    if (!node->dirty) {
        return;
    }
    if (u->mode == HA_SCHEDULER_DYNAMIC) {
        use.cpu = node->load.cpu;
        use.mem = node->load.mem;
        node->balance = use;
    }
    for (guint i = 0; i < strmap_size(node->services); i++) {
        const Entry *e = strmap_value(node->services, i);
        const HaLoad *load = strmap_get(u->loads.guests, strmap_key(node->services, i));

        if (load != NULL && (u->mode == HA_SCHEDULER_STATIC || !e->running)) {
            add_started(node, load, &use);
        }
    }
    node->scoring = use;
    if (u->mode == HA_SCHEDULER_STATIC) {
        node->balance = use;
    }
    node->dirty = false;
}

int ha_usage_score(HaUsage *u, const char *sid, double *ret_scores, Err *err)
{
    const HaLoad *load;

    if (u->mode == HA_SCHEDULER_BASIC) {
        for (guint i = 0; i < u->n_nodes; i++) {
            ret_scores[i] = strmap_size(u->nodes[i].services);
        }
        return 0;
    }
    load = strmap_get(u->loads.guests, sid);
    if (load == NULL) {
        memset(ret_scores, 0, u->n_nodes * sizeof *ret_scores);
        return err_setf(err, -ENODATA, "did not get %s service usage information for '%s'",
                        ha_scheduler_name(u->mode), sid);
    }
    for (guint i = 0; i < u->n_nodes; i++) {
        refresh(u, &u->nodes[i]);
        u->trial[i] = u->nodes[i].scoring;
    }
    for (guint i = 0; i < u->n_nodes; i++) {
        HaNodeUse before = u->trial[i];

        add_started(&u->nodes[i], load, &u->trial[i]);
        ha_topsis_criteria(u->trial, u->n_nodes, u->rows[i]);
        u->trial[i] = before;
    }
    ha_topsis_score((const double(*)[HA_CRITERIA])u->rows, u->n_nodes, ret_scores);
    for (guint i = 0; i < u->n_nodes; i++) {
        ret_scores[i] = -ret_scores[i];
    }
    return 0;
}

const HaNodeUse *ha_usage_balance_view(HaUsage *u)
{
    for (guint i = 0; i < u->n_nodes; i++) {
        refresh(u, &u->nodes[i]);
        u->view[i] = u->nodes[i].balance;
    }
    return u->view;
}

bool ha_usage_running_load(const HaUsage *u, const char *sid, double *ret_cpu, double *ret_mem)
{
    const HaLoad *load = strmap_get(u->loads.guests, sid);

    if (load == NULL) {
        return false;
    }
    *ret_cpu = u->mode == HA_SCHEDULER_STATIC ? load->maxcpu : load->cpu;
    *ret_mem = u->mode == HA_SCHEDULER_STATIC ? load->maxmem : load->mem;
    return true;
}
