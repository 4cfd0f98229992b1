/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/statusgroup.h"

#include "lib/wire/wire_kvstore.h"
#include "pmxcfs/core/dfsm.h"

#include <errno.h>
#include <string.h>

struct StatusGroup {
    StatusGroupConfig cfg; /* node_address is not in it */
    char *node_address;
    Status *status;
    Tracer tracer;
    Dfsm *dfsm;            /* NULL in local mode */
    StatusGroupUpdate *up; /* of the call that runs; hooks append to it */
    MonoTime timer;        /* last one asked for */
    bool resync;           /* all states came in the event that is being handled */
};

/* ---- actions ---- */

static void action_clear(gpointer data)
{
    StatusGroupAction *a = data;

    g_clear_pointer(&a->bytes, g_bytes_unref);
    g_clear_pointer(&a->id, g_free);
}

void statusgroup_update_init(StatusGroupUpdate *up)
{
    up->actions = g_array_new(FALSE, FALSE, sizeof(StatusGroupAction));
    g_array_set_clear_func(up->actions, action_clear);
}

void statusgroup_update_done(StatusGroupUpdate *up)
{
    g_clear_pointer(&up->actions, g_array_unref);
}

static void act(StatusGroup *g, const StatusGroupAction *a)
{
    g_array_append_vals(g->up->actions, a, 1);
}

static void act_rrd(StatusGroup *g, const char *id, const void *value, size_t size)
{
    const StatusGroupAction a = {
        .kind = STATUSGROUP_ACT_RRD, .id = g_strdup(id), .bytes = g_bytes_new(value, size)};

    act(g, &a);
}

/* ---- sending ---- */

static void send_key(StatusGroup *g, const char *key, const void *value, size_t size)
{
    const WireKvstoreUpdate u = {.key = key, .value = value, .size = size};
    g_autoptr(GBytes) payload = NULL;
    int rc = wire_kvstore_encode_update(&u, &payload);

    g_assert(rc == 0); /* Status has the same limits and took it */
    (void)dfsm_send(g->dfsm, WIRE_KVSTORE_UPDATE, g_bytes_get_data(payload, NULL),
                    g_bytes_get_size(payload));
}

static void send_own_key(void *ctx, const char *key, const void *value, size_t size)
{
    send_key(ctx, key, value, size);
}

static bool in_group(const StatusGroup *g)
{
    return g->dfsm != NULL && dfsm_in_view(g->dfsm);
}

static void publish_address(StatusGroup *g)
{
    Err err = ERR_INIT;
    int rc;

    if (g->node_address == NULL) {
        return;
    }
    rc = status_set(g->status, 0, "nodeip", g->node_address, strlen(g->node_address) + 1,
                    (MonoTime){0}, &err);
    if (rc < 0) {
        trace(&g->tracer, TRACE_ERR, "status: own address is not published: %s", err_text(&err));
    } else if (in_group(g)) {
        send_key(g, "nodeip", g->node_address, strlen(g->node_address) + 1);
    }
}

/* ---- hooks of the group protocol ---- */

static void on_send(void *ctx, GBytes *message)
{
    const StatusGroupAction a = {.kind = STATUSGROUP_ACT_SEND, .bytes = g_bytes_ref(message)};

    act(ctx, &a);
}

static void on_join(void *ctx, MonoTime at)
{
    const StatusGroupAction a = {.kind = STATUSGROUP_ACT_JOIN, .at = at};

    act(ctx, &a);
}

static void on_leave(void *ctx)
{
    const StatusGroupAction a = {.kind = STATUSGROUP_ACT_LEAVE};

    act(ctx, &a);
}

static GBytes *get_state(void *ctx)
{
    StatusGroup *g = ctx;

    return status_log_state(g->status);
}

static void merge_logs(StatusGroup *g, const DfsmMember *members, uint32_t n, uint32_t self)
{
    g_autofree GBytes **rings = g_new0(GBytes *, n);
    guint n_rings = 0;

    for (uint32_t i = 0; i < n; i++) {
        /* Our own is taken from memory, where it may be newer by now. */
        if (i != self && members[i].state != NULL) {
            rings[n_rings++] = members[i].state;
        }
    }
    status_log_merge(g->status, rings, n_rings);
}

/* All logs are there: everybody merges them and sends its keys again, so all have the same at once.
 */
static int process_states(void *ctx, DfsmMember *members, uint32_t n, uint32_t self)
{
    StatusGroup *g = ctx;

    for (uint32_t i = 0; i < n; i++) {
        members[i].synced = true;
    }
    merge_logs(g, members, n, self);
    g->resync = true;
    status_foreach_own(g->status, send_own_key, g);
    if (dfsm_mode(g->dfsm) == GROUP_MODE_SYNCED) {
        publish_address(g); /* we went on before; else when we become it */
    }
    return 0;
}

/* Keys belong to those who send them, and logs are merged in any order: so nobody has to wait. What
 * others sent again may have come already: nothing of theirs counts as stale until all are there.
 */
static int go_on(void *ctx, DfsmMember *members, uint32_t n, uint32_t self)
{
    StatusGroup *g = ctx;

    merge_logs(g, members, n, self);
    status_foreach_own(g->status, send_own_key, g);
    return 0;
}

static int process_update(void *ctx, const void *payload, size_t size)
{
    (void)ctx;
    (void)payload;
    (void)size;
    return -EPROTO; /* there are none in this group */
}

static int commit(void *ctx)
{
    (void)ctx;
    return -EPROTO; /* nobody is ever without the state once all are in */
}

static void take_key(StatusGroup *g, const DfsmDelivery *d)
{
    WireKvstoreUpdate u;
    Err err = ERR_INIT;
    const char *rrd_id;
    int rc = wire_kvstore_decode_update(d->payload, d->size, &u);

    if (rc < 0) {
        trace(&g->tracer, TRACE_WARNING, "status: malformed update from node id %u ignored",
              d->sender.nodeid);
        return;
    }
    rc = status_set(g->status, d->sender.nodeid, u.key, u.value, u.size, dfsm_now(g->dfsm), &err);
    if (rc < 0) {
        trace(&g->tracer, TRACE_WARNING, "status: update from node id %u ignored: %s",
              d->sender.nodeid, err_text(&err));
        return;
    }
    rrd_id = status_rrd_id(u.key);
    if (rrd_id != NULL) {
        act_rrd(g, rrd_id, u.value, u.size);
    }
}

static void take_log(StatusGroup *g, const DfsmDelivery *d)
{
    if (status_log_insert(g->status, d->payload, d->size) < 0) {
        trace(&g->tracer, TRACE_WARNING, "status: malformed log entry from node id %u ignored",
              d->sender.nodeid);
    }
}

/* What cannot be used is logged, never a reason to leave: so the documented members do, too. */
static int deliver(void *ctx, const DfsmDelivery *d)
{
    StatusGroup *g = ctx;

    if (d->own) {
        return 0; /* done when it was sent */
    }
    switch (d->subtype) {
    case WIRE_KVSTORE_UPDATE:
        take_key(g, d);
        break;
    case WIRE_KVSTORE_LOG:
        take_log(g, d);
        break;
    case WIRE_KVSTORE_UPDATE_COMPLETE:
    default:
        trace(&g->tracer, TRACE_WARNING, "status: message of kind %u from node id %u ignored",
              d->subtype, d->sender.nodeid);
        break;
    }
    return 0;
}

static void on_mode(void *ctx, GroupMode was, GroupMode now)
{
    if (now == GROUP_MODE_SYNCED && was != GROUP_MODE_SYNCED) {
        publish_address(ctx); /* after our keys: it tells the others that these were all */
    }
}

static void on_view(void *ctx, const DfsmMember *members, uint32_t n)
{
    StatusGroup *g = ctx;
    g_autofree GroupMember *ids = g_new0(GroupMember, MAX(n, 1));

    for (uint32_t i = 0; i < n; i++) {
        ids[i] = members[i].id;
    }
    status_set_members(g->status, ids, n);
}

static void on_send_failed(void *ctx, uint64_t count, int code)
{
    const StatusGroup *g = ctx;

    trace(&g->tracer, TRACE_WARNING, "status: message %" G_GUINT64_FORMAT " was not sent: %s",
          count, g_strerror(-code));
}

/* ---- life ---- */

StatusGroup *statusgroup_new(const StatusGroupConfig *cfg, Status *s, const Tracer *tracer)
{
    const DfsmConfig dfsm_cfg = {.name = "status",
                                 .version = STATUSGROUP_VERSION,
                                 .answer_ms = STATUSGROUP_ANSWER_MS,
                                 .seed = cfg->seed};
    StatusGroup *g = g_new0(StatusGroup, 1);
    const DfsmHooks hooks = {
        .ctx = g,
        .send = on_send,
        .join = on_join,
        .leave = on_leave,
        .get_state = get_state,
        .process_states = process_states,
        .go_on = go_on,
        .process_update = process_update,
        .commit = commit,
        .deliver = deliver,
        .mode = on_mode,
        .view = on_view,
        .send_failed = on_send_failed,
    };

    g->cfg = *cfg;
    g->cfg.node_address = NULL;
    g->node_address = g_strdup(cfg->node_address);
    g->status = s;
    g->tracer = tracer != NULL ? *tracer : (Tracer){0};
    g->timer = MONO_NEVER;
    if (!cfg->local) {
        g->dfsm = dfsm_new(&dfsm_cfg, &hooks, tracer);
    }
    return g;
}

void statusgroup_free(StatusGroup *g)
{
    if (g == NULL) {
        return;
    }
    dfsm_free(g->dfsm);
    g_free(g->node_address);
    g_free(g);
}

/* ---- events ---- */

/* Between these two, hooks may run. */
static void begin(StatusGroup *g, StatusGroupUpdate *up)
{
    g->up = up;
}

static void end(StatusGroup *g)
{
    MonoTime next = g->dfsm != NULL ? dfsm_next_tick(g->dfsm) : MONO_NEVER;

    if (g->resync) {
        /* Only now: what lay in the queue was sent before the exchange, also an old `nodeip`. What
         * the others send again comes in later events. */
        g->resync = false;
        status_resync(g->status);
    }
    if (next.us != g->timer.us) {
        const StatusGroupAction a = {.kind = STATUSGROUP_ACT_TIMER, .at = next};

        act(g, &a);
        g->timer = next;
    }
    g->up = NULL;
}

void statusgroup_start(StatusGroup *g, MonoTime now, WallTime wall, StatusGroupUpdate *up)
{
    begin(g, up);
    if (g->dfsm != NULL) { /* without a group the address has no place to be shown */
        dfsm_start(g->dfsm, now, wall);
    }
    end(g);
}

void statusgroup_event(
    StatusGroup *g, const GroupEvent *ev, MonoTime now, WallTime wall, StatusGroupUpdate *up)
{
    g_assert(g->dfsm != NULL);
    begin(g, up);
    dfsm_group_event(g->dfsm, ev, now, wall);
    end(g);
}

void statusgroup_tick(StatusGroup *g, MonoTime now, WallTime wall, StatusGroupUpdate *up)
{
    begin(g, up);
    g->timer = MONO_NEVER; /* it has gone off */
    if (g->dfsm != NULL) {
        dfsm_tick(g->dfsm, now, wall);
    }
    end(g);
}

static int check_room(const StatusGroup *g, Err *err)
{
    if (in_group(g) && dfsm_unsent_bytes(g->dfsm) > STATUSGROUP_UNSENT_MAX) {
        return err_setf(err, -EBUSY, "status: more than %u bytes wait to be sent",
                        STATUSGROUP_UNSENT_MAX);
    }
    return 0;
}

/* Sends outside of an event of the group: dfsm stamps messages with the time of its last event, so
 * it is told the time first. */
static void tell(StatusGroup *g, uint16_t subtype, GBytes *payload, MonoTime now, WallTime wall)
{
    if (in_group(g)) {
        dfsm_tick(g->dfsm, now, wall);
    }
    if (in_group(g)) {
        (void)dfsm_send(g->dfsm, subtype, g_bytes_get_data(payload, NULL),
                        g_bytes_get_size(payload));
    }
}

int statusgroup_set(StatusGroup *g,
                    const char *key,
                    const void *value,
                    size_t size,
                    MonoTime now,
                    WallTime wall,
                    StatusGroupUpdate *up,
                    Err *err)
{
    const WireKvstoreUpdate u = {.key = key, .value = value, .size = size};
    g_autoptr(GBytes) payload = NULL;
    const char *rrd_id = status_rrd_id(key);
    int rc = check_room(g, err);

    if (rc == 0) {
        rc = status_set(g->status, 0, key, value, size, now, err);
    }
    if (rc < 0) {
        return rc; /* nobody hears of it (reference 18.1.23) */
    }
    rc = wire_kvstore_encode_update(&u, &payload);
    g_assert(rc == 0); /* the same limits */
    begin(g, up);
    tell(g, WIRE_KVSTORE_UPDATE, payload, now, wall);
    if (rrd_id != NULL) {
        act_rrd(g, rrd_id, value, size);
    }
    end(g);
    return 0;
}

int statusgroup_log(StatusGroup *g,
                    uint8_t priority,
                    const char *ident,
                    const char *tag,
                    uint32_t pid,
                    const char *text,
                    MonoTime now,
                    WallTime wall,
                    StatusGroupUpdate *up,
                    Err *err)
{
    g_autoptr(GBytes) entry = NULL;
    int rc = check_room(g, err);

    if (rc == 0) {
        rc = status_log(g->status, priority, ident, tag, pid, text, wall, &entry, err);
    }
    if (rc < 0) {
        return rc;
    }
    begin(g, up);
    tell(g, WIRE_KVSTORE_LOG, entry, now, wall);
    end(g);
    return 0;
}

GroupMode statusgroup_mode(const StatusGroup *g)
{
    return g->dfsm != NULL ? dfsm_mode(g->dfsm) : GROUP_MODE_START;
}

uint32_t statusgroup_members(const StatusGroup *g)
{
    uint32_t n = 0;

    if (in_group(g)) {
        (void)dfsm_members(g->dfsm, &n);
    }
    return n;
}
