/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_world.h"

#include "ha-manager/core/ha_resources.h"

#include <errno.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)

#define DEFAULT_VERSION "9.0.0~2"

/* What a guest or node has when the scenario does not say. */
#define DEFAULT_GUEST_MAXCPU 4.0
#define DEFAULT_GUEST_MAXMEM (4096 * MIB)
#define DEFAULT_GUEST_CPU    2.0
#define DEFAULT_GUEST_MEM    (2048 * MIB)
#define DEFAULT_NODE_MAXCPU  24.0
#define DEFAULT_NODE_MAXMEM  (131072 * MIB)

static void stop_daemon(HaSimDaemon *d)
{
    g_clear_pointer(&d->crm, ha_crm_free);
    g_clear_pointer(&d->lrm, ha_lrm_free);
}

static void node_free(void *data)
{
    HaSimNode *n = data;

    stop_daemon(&n->crm);
    stop_daemon(&n->lrm);
    g_free(n->crm.source);
    g_free(n->lrm.source);
    strmap_free(n->running);
    g_array_unref(n->watchdogs);
    g_free(n->lrm_status);
    g_free(n->version);
    g_free(n->name);
    g_free(n);
}

static void guest_free(void *data)
{
    HaSimGuest *g = data;

    g_free(g->node);
    g_free(g->lock);
    g_free(g);
}

static void lock_free(void *data)
{
    HaSimLock *l = data;

    g_free(l->node);
    g_free(l);
}

HaSimWorld *hasim_world_new(HaSimLog log, void *log_ctx)
{
    HaSimWorld *w = g_new0(HaSimWorld, 1);

    w->nodes = strmap_new(node_free);
    w->guests = strmap_new(guest_free);
    w->locks = strmap_new(lock_free);
    w->types = g_new0(char *, 1);
    w->timing = &ha_timing_compatible;
    w->conduct = ha_conduct_documented;
    w->log = log;
    w->log_ctx = log_ctx;
    return w;
}

void hasim_world_free(HaSimWorld *w)
{
    if (w == NULL) {
        return;
    }
    strmap_free(w->nodes);
    strmap_free(w->guests);
    strmap_free(w->locks);
    g_strfreev(w->types);
    for (int i = 0; i < HA_FILE_N; i++) {
        g_free(w->files[i]);
    }
    g_free(w);
}

static void daemon_init(HaSimDaemon *d, HaSimWorld *w, HaSimNode *n, bool is_lrm)
{
    d->world = w;
    d->node = n;
    d->is_lrm = is_lrm;
    d->source = g_strdup_printf("%s/%s", n->name, is_lrm ? "lrm" : "crm");
}

HaSimNode *hasim_world_add_node(HaSimWorld *w, const char *name)
{
    HaSimNode *n = g_new0(HaSimNode, 1);

    n->name = g_strdup(name);
    n->version = g_strdup(DEFAULT_VERSION);
    n->running = strmap_new(NULL);
    n->watchdogs = g_array_new(FALSE, FALSE, sizeof(HaSimWatchdog));
    daemon_init(&n->crm, w, n, false);
    daemon_init(&n->lrm, w, n, true);
    strmap_set(w->nodes, name, n);
    return n;
}

HaSimNode *hasim_world_node(const HaSimWorld *w, const char *name)
{
    return strmap_get(w->nodes, name);
}

HaSimGuest *hasim_world_add_guest(HaSimWorld *w, const char *sid, const char *node)
{
    HaSimGuest *g = g_new0(HaSimGuest, 1);

    g->node = g_strdup(node);
    strmap_set(w->guests, sid, g);
    return g;
}

HaSimGuest *hasim_world_guest(const HaSimWorld *w, const char *sid)
{
    return strmap_get(w->guests, sid);
}

void hasim_world_default_load(const HaSimWorld *w, HaSimGuest *g)
{
    if (w->default_static) {
        g->has_static = true;
        g->load.maxcpu = DEFAULT_GUEST_MAXCPU;
        g->load.maxmem = DEFAULT_GUEST_MAXMEM;
    }
    if (w->default_dynamic && g->has_static) {
        g->load.cpu = DEFAULT_GUEST_CPU;
        g->load.mem = DEFAULT_GUEST_MEM;
    }
}

void hasim_log(const HaSimWorld *w, const char *level, const char *source, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    w->log(w->log_ctx, level, w->time, source, text);
}

bool hasim_world_quorate(const HaSimWorld *w)
{
    guint online = 0;

    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        const HaSimNode *n = strmap_value(w->nodes, i);

        online += n->power && n->network;
    }
    return online > strmap_size(w->nodes) / 2;
}

bool hasim_node_online(const HaSimWorld *w, const HaSimNode *n)
{
    return n->power && n->network && hasim_world_quorate(w);
}

void hasim_start_crm(HaSimNode *n, HaSimWorld *w)
{
    if (n->crm.crm == NULL) {
        n->crm.watchdog = 0;
        hasim_env_init(&n->crm);
        n->crm.env.seed = ++w->next_seed;
        n->crm.crm = ha_crm_new(&n->crm.env);
    }
}

void hasim_start_lrm(HaSimNode *n, HaSimWorld *w)
{
    if (n->lrm.lrm == NULL) {
        n->lrm.watchdog = 0;
        hasim_env_init(&n->lrm);
        n->lrm.env.seed = ++w->next_seed;
        n->lrm.lrm = ha_lrm_new(&n->lrm.env, NULL);
    }
}

void hasim_node_power_on(HaSimNode *n, HaSimWorld *w)
{
    if (!n->power) {
        hasim_start_crm(n, w);
        hasim_start_lrm(n, w);
        n->restart_lrm = false;
        n->cfs_rw_fail = false;
        n->cfs_update_fail = false;
    }
    n->power = true;
    n->network = true;
    n->shutdown = HASIM_NO_SHUTDOWN;
}

static void kill_daemon(HaSimDaemon *d)
{
    if (d->crm != NULL || d->lrm != NULL) {
        d->world->log(d->world->log_ctx, "info", d->clock, d->source, "killed by poweroff");
        stop_daemon(d);
    }
}

void hasim_node_power_off(HaSimNode *n, HaSimWorld *w)
{
    (void)w;
    if (n->power) {
        kill_daemon(&n->crm);
        kill_daemon(&n->lrm);
        g_array_set_size(n->watchdogs, 0);
        strmap_clear(n->running);
    }
    n->power = false;
    n->network = false;
    n->shutdown = HASIM_NO_SHUTDOWN;
}

bool hasim_node_watchdog_expired(HaSimNode *n, const HaSimWorld *w)
{
    bool expired = false;

    for (guint i = 0; i < n->watchdogs->len;) {
        if (w->time - g_array_index(n->watchdogs, HaSimWatchdog, i).fed > HASIM_WATCHDOG_LIFE) {
            g_array_remove_index(n->watchdogs, i);
            expired = true;
        } else {
            i++;
        }
    }
    return expired;
}

const char *hasim_world_file(const HaSimWorld *w, HaFile file)
{
    return w->files[file] != NULL ? w->files[file] : "";
}

void hasim_world_set_file(HaSimWorld *w, HaFile file, const char *text)
{
    g_free(w->files[file]);
    w->files[file] = g_strdup(text);
}

int hasim_world_edit(HaSimWorld *w, HaFile file, HaEdit edit, void *data, Err *err)
{
    g_autofree char *text = NULL;
    int r = edit(hasim_world_file(w, file), &text, data, err);

    if (r == 0) {
        hasim_world_set_file(w, file, text);
    }
    return r < 0 ? r : 0;
}

static HaLoad node_load(const HaSimWorld *w, const HaSimNode *n, HaScheduler mode)
{
    HaLoad load = {.maxcpu = n->maxcpu, .maxmem = n->maxmem};

    if (mode != HA_SCHEDULER_DYNAMIC) {
        return load;
    }
    load.maxcpu = load.maxcpu > 0 ? load.maxcpu : DEFAULT_NODE_MAXCPU;
    load.maxmem = load.maxmem > 0 ? load.maxmem : DEFAULT_NODE_MAXMEM;
    for (guint i = 0; i < strmap_size(w->guests); i++) {
        const HaSimGuest *g = strmap_value(w->guests, i);

        if (strcmp(g->node, n->name) == 0 && strmap_has(n->running, strmap_key(w->guests, i))) {
            load.cpu += g->load.cpu;
            load.mem += g->load.mem;
        }
    }
    return load;
}

void hasim_world_loads(const HaSimWorld *w, HaScheduler mode, HaLoads *loads)
{
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        const HaSimNode *n = strmap_value(w->nodes, i);
        HaLoad load = node_load(w, n, mode);

        if (load.maxcpu > 0 || load.maxmem > 0) {
            strmap_set(loads->nodes, n->name, g_memdup2(&load, sizeof load));
        }
    }
    for (guint i = 0; i < strmap_size(w->guests); i++) {
        const HaSimGuest *g = strmap_value(w->guests, i);

        if (g->has_static) {
            strmap_set(loads->guests, strmap_key(w->guests, i),
                       g_memdup2(&g->load, sizeof g->load));
        }
    }
}
