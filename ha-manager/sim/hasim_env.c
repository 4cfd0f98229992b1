/* SPDX-License-Identifier: Apache-2.0 */
/* What CRM and LRM see of the simulated cluster: HaEnvOps on a HaSimDaemon. */
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/sim/hasim_world.h"

#include <errno.h>
#include <string.h>

static MonoTime env_mono(void *ctx)
{
    const HaSimDaemon *d = ctx;

    return (MonoTime){d->clock * US_PER_SEC};
}

/* A round happens at one instant: sleeping passes no time. */
static void env_sleep(void *ctx, int64_t ms)
{
    (void)ctx;
    (void)ms;
}

static const char *level_text(TraceLevel level)
{
    switch (level) {
    case TRACE_CRIT:
        return "crit";
    case TRACE_ERR:
        return "err";
    case TRACE_WARNING:
        return "warn";
    case TRACE_NOTICE:
        return "noti";
    case TRACE_INFO:
    case TRACE_DEBUG:
        break;
    }
    return "info";
}

static void env_log(void *ctx, TraceLevel level, const char *text)
{
    const HaSimDaemon *d = ctx;

    if (level != TRACE_DEBUG) {
        d->world->log(d->world->log_ctx, level_text(level), d->clock, d->source, text);
    }
}

static void env_notify(void *ctx, const HaNotice *notice)
{
    const HaSimDaemon *d = ctx;
    g_autofree char *text = g_strdup_printf("%s: %s", notice->prefix, notice->text);

    d->world->log(d->world->log_ctx, "emai", d->clock, d->source, text);
}

static bool env_quorate(void *ctx)
{
    const HaSimDaemon *d = ctx;

    return hasim_node_online(d->world, d->node);
}

static int env_refresh(void *ctx)
{
    const HaSimDaemon *d = ctx;

    return d->node->cfs_update_fail ? -EIO : 0;
}

static int env_members(void *ctx, StrMap *ret_online, Err *err)
{
    const HaSimDaemon *d = ctx;

    (void)err;
    for (guint i = 0; i < strmap_size(d->world->nodes); i++) {
        const HaSimNode *n = strmap_value(d->world->nodes, i);

        strmap_set(ret_online, n->name, GINT_TO_POINTER(hasim_node_online(d->world, n)));
    }
    return 0;
}

static int check_cfs(const HaSimDaemon *d, HaFile file, Err *err)
{
    if (d->node->cfs_rw_fail && file != HA_FILE_DATACENTER) {
        return err_setf(err, -ENOTCONN, "cfs connection refused - not mounted?");
    }
    return 0;
}

static int env_read(void *ctx, HaFile file, const char *node, char **ret_text, Err *err)
{
    const HaSimDaemon *d = ctx;
    int r = check_cfs(d, file, err);

    if (r < 0) {
        return r;
    }
    if (file == HA_FILE_LRM_STATUS) {
        const HaSimNode *n = hasim_world_node(d->world, node);

        *ret_text = g_strdup(n != NULL && n->lrm_status != NULL ? n->lrm_status : "");
    } else {
        *ret_text = g_strdup(hasim_world_file(d->world, file));
    }
    return 0;
}

static int env_write(void *ctx, HaFile file, const char *node, const char *text, Err *err)
{
    HaSimDaemon *d = ctx;
    int r = check_cfs(d, file, err);

    if (r < 0) {
        return r;
    }
    if (file == HA_FILE_LRM_STATUS) {
        HaSimNode *n = hasim_world_node(d->world, node);

        g_free(n->lrm_status);
        n->lrm_status = g_strdup(text);
    } else {
        hasim_world_set_file(d->world, file, text);
    }
    return 0;
}

static int env_update(void *ctx, HaFile file, HaEdit edit, void *data, Err *err)
{
    HaSimDaemon *d = ctx;
    int r = check_cfs(d, file, err);

    return r < 0 ? r : hasim_world_edit(d->world, file, edit, data, err);
}

static int env_lock(void *ctx, const char *name)
{
    HaSimDaemon *d = ctx;
    HaSimLock *l = strmap_get(d->world->locks, name);
    g_autofree char *text = NULL;

    if (!hasim_node_online(d->world, d->node)) {
        return -EROFS;
    }
    if (l != NULL && d->clock - l->time <= HASIM_LOCK_LIFE) {
        if (strcmp(l->node, d->node->name) != 0) {
            return -EBUSY;
        }
        l->time = d->clock;
        return 0;
    }
    l = g_new0(HaSimLock, 1);
    l->node = g_strdup(d->node->name);
    l->time = d->clock;
    strmap_set(d->world->locks, name, l);
    text = g_strdup_printf("got lock '%s'", name);
    env_log(d, TRACE_INFO, text);
    return 0;
}

static int env_unlock(void *ctx, const char *name)
{
    HaSimDaemon *d = ctx;
    const HaSimLock *l = strmap_get(d->world->locks, name);

    if (!hasim_node_online(d->world, d->node)) {
        return -EROFS;
    }
    if (l == NULL || strcmp(l->node, d->node->name) != 0) {
        return -EPERM;
    }
    if (d->clock - l->time <= HASIM_LOCK_LIFE) {
        (void)strmap_remove(d->world->locks, name); /* was found above */
    }
    return 0;
}

static HaSimWatchdog *find_watchdog(const HaSimDaemon *d)
{
    for (guint i = 0; i < d->node->watchdogs->len; i++) {
        HaSimWatchdog *wd = &g_array_index(d->node->watchdogs, HaSimWatchdog, i);

        if (wd->handle == d->watchdog) {
            return wd;
        }
    }
    return NULL;
}

static int env_watchdog_open(void *ctx)
{
    HaSimDaemon *d = ctx;
    HaSimWatchdog wd = {++d->world->next_watchdog, d->clock};

    d->watchdog = wd.handle;
    g_array_append_val(d->node->watchdogs, wd);
    return 0;
}

/* 0 when the handle is there and has not run out. */
static int check_watchdog(const HaSimDaemon *d, HaSimWatchdog **ret_wd)
{
    HaSimWatchdog *wd = find_watchdog(d);

    if (wd == NULL || d->clock - wd->fed > HASIM_WATCHDOG_LIFE) {
        return -ESTALE;
    }
    *ret_wd = wd;
    return 0;
}

static int env_watchdog_feed(void *ctx, MonoTime since)
{
    HaSimWatchdog *wd;
    int r = check_watchdog(ctx, &wd);

    if (r == 0) {
        wd->fed = since.us / US_PER_SEC;
    }
    return r;
}

static int env_watchdog_close(void *ctx)
{
    HaSimDaemon *d = ctx;
    HaSimWatchdog *wd;
    int r = check_watchdog(d, &wd);

    if (r == 0) {
        g_array_remove_index(d->node->watchdogs,
                             (guint)(wd - &g_array_index(d->node->watchdogs, HaSimWatchdog, 0)));
        d->watchdog = 0;
    }
    return r;
}

static int env_guests(void *ctx, StrMap *ret_guests, Err *err)
{
    const HaSimDaemon *d = ctx;
    const HaSimWorld *w = d->world;
    g_autoptr(HaResources) res = NULL;
    int r = ha_resources_parse((const char *const *)w->types,
                               hasim_world_file(w, HA_FILE_RESOURCES), NULL, NULL, NULL, &res, err);

    for (guint i = 0; r == 0 && i < strmap_size(w->guests); i++) {
        const char *sid = strmap_key(w->guests, i);
        const HaSimGuest *g = strmap_value(w->guests, i);
        HaGuest *guest = g_new0(HaGuest, 1);

        guest->node = g_strdup(g->node);
        guest->started = ha_resources_request(res, sid) == HA_REQUEST_STARTED;
        strmap_set(ret_guests, sid, guest);
    }
    return r;
}

static char *env_guest_node(void *ctx, const char *sid)
{
    const HaSimDaemon *d = ctx;
    const HaSimGuest *g = hasim_world_guest(d->world, sid);

    return g != NULL ? g_strdup(g->node) : NULL;
}

static int env_guest_move(void *ctx, const char *sid, const char *from, const char *to, Err *err)
{
    const HaSimDaemon *d = ctx;
    HaSimGuest *g = hasim_world_guest(d->world, sid);

    if (g == NULL) {
        return err_setf(err, -ENOENT, "service '%s' has no guest", sid);
    }
    if (strcmp(g->node, from) != 0) {
        return err_setf(err, -ESTALE, "service '%s' is on node '%s', not on '%s'", sid, g->node,
                        from);
    }
    g_free(g->node);
    g->node = g_strdup(to);
    return 0;
}

static char *env_guest_lock(void *ctx, const char *sid)
{
    const HaSimDaemon *d = ctx;
    const HaSimGuest *g = hasim_world_guest(d->world, sid);

    return g != NULL ? g_strdup(g->lock) : NULL;
}

static int env_guest_unlock(void *ctx, const char *sid, const char *lock, Err *err)
{
    const HaSimDaemon *d = ctx;
    HaSimGuest *g = hasim_world_guest(d->world, sid);

    if (g == NULL || g_strcmp0(g->lock, lock) != 0) {
        return err_setf(err, -ENOENT, "no such lock");
    }
    g_clear_pointer(&g->lock, g_free);
    return 0;
}

static int env_loads(void *ctx, HaScheduler mode, HaLoads *loads, Err *err)
{
    const HaSimDaemon *d = ctx;

    (void)err;
    hasim_world_loads(d->world, mode, loads);
    return 0;
}

static char *env_node_version(void *ctx, const char *node)
{
    const HaSimDaemon *d = ctx;
    const HaSimNode *n = hasim_world_node(d->world, node);

    return n != NULL ? g_strdup(n->version) : NULL;
}

static const HaEnvOps sim_ops = {
    .mono = env_mono,
    .sleep_ms = env_sleep,
    .log = env_log,
    .notify = env_notify,
    .quorate = env_quorate,
    .refresh = env_refresh,
    .members = env_members,
    .read = env_read,
    .write = env_write,
    .update = env_update,
    .lock = env_lock,
    .unlock = env_unlock,
    .watchdog_open = env_watchdog_open,
    .watchdog_feed = env_watchdog_feed,
    .watchdog_close = env_watchdog_close,
    .guests = env_guests,
    .guest_node = env_guest_node,
    .guest_move = env_guest_move,
    .guest_lock = env_guest_lock,
    .guest_unlock = env_guest_unlock,
    .loads = env_loads,
    .node_version = env_node_version,
    .agent_has_type = hasim_agent_has_type,
    .agent_running = hasim_agent_running,
    .agent_start = hasim_agent_start,
    .agent_stop = hasim_agent_stop,
    .agent_migrate = hasim_agent_migrate,
};

void hasim_env_init(HaSimDaemon *d)
{
    HaSimWorld *w = d->world;

    d->env = (HaEnv){
        .ops = &sim_ops,
        .ctx = d,
        .node = d->node->name,
        .timing = w->timing,
        .conduct = w->conduct,
        .types = (const char *const *)w->types,
        .max_workers = 0,
        .first_write_done = d->is_lrm ? &w->lrm_status_written : NULL,
    };
}
