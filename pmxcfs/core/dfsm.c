/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/dfsm.h"

#include "lib/base/prng.h"
#include "pmxcfs/core/dfsm_queue.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(dfsm_reaction, DfsmReaction, DFSM_REACTION_LIST, DFSM_REACTION_N)

/* A message given to the outside and not yet reported as sent. */
typedef struct Unsent {
    uint64_t count; /* 0: a state message */
    size_t size;
} Unsent;

struct Dfsm {
    DfsmConfig cfg;
    DfsmHooks hooks;
    Tracer tracer;
    Prng rng;
    MonoTime now;
    WallTime wall;

    GroupMode mode;
    bool connected;
    bool joined;   /* a view with us in it came since the connection was made */
    bool stay_out; /* comes back only when asked to */
    bool held;     /* the documented exchange waits for hold_sync's owner */
    GroupMember self;
    DfsmMember members[GROUP_MEMBERS_MAX];
    uint32_t n_members, self_index;

    uint32_t epoch_counter;
    WireDfsmEpoch epoch;
    uint64_t count; /* of the last NORMAL message */
    uint64_t again; /* the highest of those that were sent a second time */
    DfsmQueue first, second;
    GQueue unsent; /* of Unsent* */
    size_t unsent_bytes;
    bool backpressure;

    uint64_t verify_id;      /* last one requested here */
    uint64_t verify_waiting; /* requested and not yet delivered; 0: none */
    uint64_t saved_id;
    WireDfsmEpoch saved_epoch;
    uint8_t saved_csum[WIRE_DFSM_CSUM_SIZE];
    MonoTime verify_at;

    MonoTime answer_at; /* do something about members that do not answer */
    bool begun;         /* the exchange of this view */
    bool asked;         /* for it, in place of the lowest */
    bool open;          /* SYNCED, and the states of some members are still to come */

    MonoTime stall_at;      /* report an exchange that takes too long */
    MonoTime healthy_since; /* SYNCED since */
    uint32_t leave_streak, connect_streak;
};

/* ---- the table ------------------------------------------------------------------------------- */

#define TO(mode) (1u << (mode))
#define TO_OUT   (TO(GROUP_MODE_LEAVE) | TO(GROUP_MODE_VERSION_ERROR) | TO(GROUP_MODE_ERROR))

static const uint8_t mode_next[GROUP_MODE_N] = {
    [GROUP_MODE_START] =
        TO(GROUP_MODE_START) | TO(GROUP_MODE_START_SYNC) | TO(GROUP_MODE_SYNCED) | TO_OUT,
    [GROUP_MODE_START_SYNC] = TO(GROUP_MODE_START) | TO(GROUP_MODE_START_SYNC) |
                              TO(GROUP_MODE_SYNCED) | TO(GROUP_MODE_UPDATE) | TO_OUT,
    [GROUP_MODE_SYNCED] =
        TO(GROUP_MODE_START) | TO(GROUP_MODE_START_SYNC) | TO(GROUP_MODE_SYNCED) | TO_OUT,
    [GROUP_MODE_UPDATE] =
        TO(GROUP_MODE_START) | TO(GROUP_MODE_START_SYNC) | TO(GROUP_MODE_SYNCED) | TO_OUT,
    [GROUP_MODE_LEAVE] = TO(GROUP_MODE_START) | TO_OUT,
    [GROUP_MODE_VERSION_ERROR] =
        TO(GROUP_MODE_START) | TO(GROUP_MODE_VERSION_ERROR) | TO(GROUP_MODE_ERROR),
    [GROUP_MODE_ERROR] = TO(GROUP_MODE_ERROR),
};

#define ALL_TYPES(reaction)                                                                        \
    {                                                                                              \
        reaction, reaction, reaction, reaction, reaction, reaction, reaction, DFSM_IGNORE          \
    }

/* Columns: NORMAL, SYNC_START, STATE, UPDATE, UPDATE_COMPLETE, VERIFY_REQUEST, VERIFY, unknown.
 * A type that a later version may know is ignored: it must not be able to take a node down. */
static const uint8_t reactions[GROUP_MODE_N][WIRE_DFSM_TYPE_N + 1] = {
    [GROUP_MODE_START] = ALL_TYPES(DFSM_LEAVE),
    [GROUP_MODE_START_SYNC] = {DFSM_QUEUE, DFSM_BEGIN, DFSM_COLLECT, DFSM_LEAVE, DFSM_LEAVE,
                               DFSM_IGNORE, DFSM_IGNORE, DFSM_IGNORE},
    [GROUP_MODE_SYNCED] = {DFSM_DELIVER, DFSM_IGNORE, DFSM_IGNORE, DFSM_IGNORE, DFSM_RELEASE,
                           DFSM_ANSWER, DFSM_COMPARE, DFSM_IGNORE},
    [GROUP_MODE_UPDATE] = {DFSM_QUEUE, DFSM_LEAVE, DFSM_LEAVE, DFSM_UPDATE, DFSM_COMMIT,
                           DFSM_IGNORE, DFSM_IGNORE, DFSM_IGNORE},
    [GROUP_MODE_LEAVE] = ALL_TYPES(DFSM_IGNORE),
    [GROUP_MODE_VERSION_ERROR] = ALL_TYPES(DFSM_IGNORE),
    [GROUP_MODE_ERROR] = ALL_TYPES(DFSM_IGNORE),
};

DfsmReaction dfsm_reaction(GroupMode mode, WireDfsmType type)
{
    return (DfsmReaction)reactions[mode][MIN(type, WIRE_DFSM_TYPE_N)];
}

bool dfsm_mode_allowed(GroupMode from, GroupMode to)
{
    return (mode_next[from] & TO(to)) != 0;
}

static bool is_out(GroupMode mode)
{
    return mode >= GROUP_MODE_LEAVE;
}

/* The only place where the mode changes. */
static void set_mode(Dfsm *d, GroupMode next, const char *why)
{
    GroupMode was = d->mode;

    assert(dfsm_mode_allowed(was, next));
    d->mode = next;
    if (was != next) {
        trace(&d->tracer, TRACE_NOTICE, "dfsm[%s]: mode %s -> %s (%s)", d->cfg.name,
              group_mode_name(was), group_mode_name(next), why);
    }
    d->stall_at = next == GROUP_MODE_START_SYNC || next == GROUP_MODE_UPDATE
                      ? mono_add_ms(d->now, DFSM_STALL_MS)
                      : MONO_NEVER;
    d->answer_at = MONO_NEVER;
    d->open = false;
    if (next == GROUP_MODE_START_SYNC && d->cfg.answer_ms > 0) {
        d->answer_at = mono_add_ms(d->now, d->cfg.answer_ms + d->self_index * DFSM_RANK_MS);
    }
    if (next == GROUP_MODE_SYNCED && was != next) {
        d->healthy_since = d->now;
    }
    if (was != next && d->hooks.mode != NULL) {
        d->hooks.mode(d->hooks.ctx, was, next);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

Dfsm *dfsm_new(const DfsmConfig *cfg, const DfsmHooks *hooks, const Tracer *tracer)
{
    Dfsm *d = g_new0(Dfsm, 1);

    d->cfg = *cfg;
    d->hooks = *hooks;
    if (tracer != NULL) {
        d->tracer = *tracer;
    }
    prng_init(&d->rng, cfg->seed);
    dfsm_queue_init(&d->first);
    dfsm_queue_init(&d->second);
    g_queue_init(&d->unsent);
    d->verify_at = MONO_NEVER;
    d->answer_at = MONO_NEVER;
    d->stall_at = MONO_NEVER;
    return d;
}

static void forget_states(Dfsm *d)
{
    for (uint32_t i = 0; i < d->n_members; i++) {
        g_clear_pointer(&d->members[i].state, g_bytes_unref);
    }
}

static void forget_unsent(Dfsm *d)
{
    g_queue_clear_full(&d->unsent, g_free);
    d->unsent_bytes = 0;
    d->backpressure = false;
}

void dfsm_free(Dfsm *d)
{
    if (d == NULL) {
        return;
    }
    forget_states(d);
    forget_unsent(d);
    dfsm_queue_clear(&d->first);
    dfsm_queue_clear(&d->second);
    g_free(d);
}

/* `first_ms` doubled `streak` times up to `max_ms`, then up to a quarter more, so that nodes which
 * fell out together do not come back together. */
static int64_t backoff_ms(Dfsm *d, uint32_t streak, int64_t first_ms, int64_t max_ms)
{
    int64_t ms = first_ms;

    while (streak-- > 0 && ms < max_ms) {
        ms *= 2;
    }
    ms = MIN(ms, max_ms);
    return ms + prng_range(&d->rng, 0, ms / 4);
}

/* We are in no view any more, and nothing that was sent can be counted on. */
static void drop_view(Dfsm *d)
{
    d->joined = false;
    forget_states(d);
    forget_unsent(d);
    dfsm_queue_clear(&d->first);
    dfsm_queue_clear(&d->second);
    if (d->hooks.cleanup != NULL) {
        d->hooks.cleanup(d->hooks.ctx);
    }
    if (d->n_members > 0) {
        d->n_members = 0;
        if (d->hooks.view != NULL) {
            d->hooks.view(d->hooks.ctx, d->members, 0);
        }
    }
}

static void join_later(Dfsm *d, int64_t ms)
{
    d->connected = false;
    d->hooks.join(d->hooks.ctx, mono_add_ms(d->now, ms));
}

static void leave(Dfsm *d, GroupMode mode, const char *why)
{
    int64_t ms;

    if (is_out(d->mode)) {
        return;
    }
    if (d->mode == GROUP_MODE_SYNCED &&
        mono_diff_us(d->now, d->healthy_since) >= DFSM_HEALTHY_MS * US_PER_MS) {
        d->leave_streak = 0;
    }
    set_mode(d, mode, why);
    d->hooks.leave(d->hooks.ctx);
    drop_view(d);
    if (d->stay_out) {
        return;
    }
    ms = mode == GROUP_MODE_VERSION_ERROR
             ? backoff_ms(d, 0, DFSM_VERSION_RETRY_MS, DFSM_VERSION_RETRY_MS)
             : backoff_ms(d, d->leave_streak++, DFSM_REJOIN_FIRST_MS, DFSM_REJOIN_MAX_MS);
    join_later(d, ms);
}

void dfsm_leave(Dfsm *d, const char *why)
{
    leave(d, GROUP_MODE_LEAVE, why);
}

void dfsm_leave_and_stay_out(Dfsm *d, const char *why)
{
    bool was_out = is_out(d->mode);

    d->stay_out = true;
    leave(d, GROUP_MODE_LEAVE, why);
    if (was_out) {
        d->hooks.leave(d->hooks.ctx); /* a rejoin may be on its way: take it back */
    }
}

void dfsm_rejoin(Dfsm *d)
{
    if (d->stay_out) {
        d->stay_out = false;
        join_later(d, 0);
    }
}

void dfsm_set_time(Dfsm *d, MonoTime now, WallTime wall)
{
    d->now = now;
    d->wall = wall;
}

void dfsm_start(Dfsm *d, MonoTime now, WallTime wall)
{
    dfsm_set_time(d, now, wall);
    if (d->cfg.verify_interval_ms > 0) {
        d->verify_at = mono_add_ms(now, d->cfg.verify_interval_ms);
    }
    join_later(d, 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void put(Dfsm *d, uint64_t count, GBytes *message)
{
    Unsent *u = g_new(Unsent, 1);

    *u = (Unsent){.count = count, .size = g_bytes_get_size(message)};
    g_queue_push_tail(&d->unsent, u);
    d->unsent_bytes += u->size;
    d->hooks.send(d->hooks.ctx, message);
}

static void
put_state(Dfsm *d, WireDfsmType type, const WireDfsmEpoch *epoch, const void *payload, size_t size)
{
    WireDfsmHeader head = {.type = (uint16_t)type,
                           .version = d->cfg.version,
                           .time = wall_u32(d->wall),
                           .epoch = *epoch};
    g_autoptr(GBytes) message = wire_dfsm_encode(&head, payload, size);

    put(d, 0, message);
}

uint64_t dfsm_send(Dfsm *d, uint16_t subtype, const void *payload, size_t size)
{
    WireDfsmHeader head = {.type = WIRE_DFSM_NORMAL,
                           .subtype = subtype,
                           .version = d->cfg.version,
                           .time = wall_u32(d->wall),
                           .count = ++d->count};
    g_autoptr(GBytes) message = wire_dfsm_encode(&head, payload, size);

    assert(dfsm_in_view(d));
    put(d, head.count, message);
    return head.count;
}

void dfsm_send_update(Dfsm *d, const void *payload, size_t size)
{
    put_state(d, WIRE_DFSM_UPDATE, &d->epoch, payload, size);
}

void dfsm_send_update_complete(Dfsm *d)
{
    put_state(d, WIRE_DFSM_UPDATE_COMPLETE, &d->epoch, NULL, 0);
}

void dfsm_send_foreign_epoch(
    Dfsm *d, WireDfsmType type, const WireDfsmEpoch *epoch, const void *payload, size_t size)
{
    assert(type != WIRE_DFSM_NORMAL && type != WIRE_DFSM_SYNC_START);
    put_state(d, type, epoch, payload, size);
}

void dfsm_start_sync(Dfsm *d)
{
    assert(dfsm_in_view(d));
    d->held = false;
    put_state(d, WIRE_DFSM_SYNC_START, &d->epoch, NULL, 0);
}

/* Epochs must not repeat; an answer to a verification that belongs to an earlier one is void. */
WireDfsmEpoch dfsm_new_epoch(Dfsm *d)
{
    return (WireDfsmEpoch){.counter = ++d->epoch_counter,
                           .time = wall_u32(d->wall),
                           .nodeid = d->self.nodeid,
                           .pid = d->self.pid};
}

void dfsm_begin_other(Dfsm *d, const WireDfsmEpoch *epoch, const char *why)
{
    assert(dfsm_in_view(d));
    d->epoch = *epoch;
    d->held = true;
    d->saved_id = d->verify_id;
    d->saved_epoch = (WireDfsmEpoch){0};
    d->verify_waiting = 0;
    forget_states(d);
    for (uint32_t i = 0; i < d->n_members; i++) {
        d->members[i].synced = false;
    }
    set_mode(d, GROUP_MODE_START_SYNC, why);
}

/* ---- members --------------------------------------------------------------------------------- */

static DfsmMember *find_member(Dfsm *d, GroupMember who)
{
    for (uint32_t i = 0; i < d->n_members; i++) {
        if (group_member_equal(&d->members[i].id, &who)) {
            return &d->members[i];
        }
    }
    return NULL;
}

static bool all_synced(const Dfsm *d)
{
    for (uint32_t i = 0; i < d->n_members; i++) {
        if (!d->members[i].synced) {
            return false;
        }
    }
    return true;
}

static void mark_all_synced(Dfsm *d)
{
    for (uint32_t i = 0; i < d->n_members; i++) {
        d->members[i].synced = true;
    }
}

/* ---- NORMAL messages ------------------------------------------------------------------------- */

static void deliver(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    bool own = group_member_equal(&sender, &d->self);
    DfsmDelivery delivery = {.sender = sender,
                             .time = m->head.time,
                             .subtype = m->head.subtype,
                             .count = m->head.count,
                             .own = own,
                             .again = own && m->head.count <= d->again,
                             .payload = m->payload,
                             .size = m->payload_size};

    if (d->hooks.deliver(d->hooks.ctx, &delivery) < 0) {
        leave(d, GROUP_MODE_LEAVE, "message could not be applied");
    }
}

static void deliver_queued(Dfsm *d, const DfsmQueued *entry)
{
    WireDfsmMessage m;
    gsize size;
    const void *data = g_bytes_get_data(entry->message, &size);

    if (wire_dfsm_decode(data, size, d->cfg.version, &m) < 0) {
        assert(false); /* decoded before it was queued */
    }
    deliver(d, entry->sender, &m);
}

static void
enqueue(Dfsm *d, GroupMember sender, const WireDfsmMessage *m, const void *data, size_t size)
{
    if (find_member(d, sender) == NULL) {
        leave(d, GROUP_MODE_LEAVE, "message of an unknown member");
        return;
    }
    if (d->first.bytes + d->second.bytes + size > DFSM_QUEUE_BYTES_MAX ||
        d->first.items.length + d->second.items.length >= DFSM_QUEUE_LEN_MAX) {
        leave(d, GROUP_MODE_LEAVE, "too many messages during a synchronisation");
        return;
    }
    /* In mode UPDATE the synced members take this message at once, whoever sent it: ours comes in
     * the same place, after what they had queued and before what waits for UPDATE_COMPLETE. */
    if (d->mode == GROUP_MODE_UPDATE) {
        dfsm_queue_push(&d->second, dfsm_queued_new(sender, m->head.count, data, size));
    } else {
        dfsm_queue_push_by_count(&d->first, dfsm_queued_new(sender, m->head.count, data, size));
    }
}

/* Walks the first queue by the rules of 8.6: what non-members sent is dropped, what synced members
 * sent takes effect (or moves to the second queue), the rest stays. */
static void deliver_first_queue(Dfsm *d)
{
    for (guint n = d->first.items.length; n > 0 && dfsm_in_view(d); n--) {
        g_autoptr(DfsmQueued) entry = dfsm_queue_pop(&d->first);
        const DfsmMember *sender = find_member(d, entry->sender);

        if (sender == NULL) {
            continue;
        }
        if (!sender->synced) {
            dfsm_queue_push(&d->first, g_steal_pointer(&entry)); /* once around keeps the order */
        } else if (d->mode == GROUP_MODE_UPDATE) {
            dfsm_queue_push(&d->second, g_steal_pointer(&entry));
        } else {
            deliver_queued(d, entry);
        }
    }
}

static void deliver_second_queue(Dfsm *d)
{
    while (d->mode == GROUP_MODE_SYNCED && d->second.items.length > 0) {
        g_autoptr(DfsmQueued) entry = dfsm_queue_pop(&d->second);

        deliver_queued(d, entry);
    }
}

/* Who joins did not see what is queued: each node sends its own part again, and all forget theirs.
 */
static void remulticast_queue(Dfsm *d)
{
    DfsmQueued *entry;

    while ((entry = dfsm_queue_pop(&d->first)) != NULL) {
        if (group_member_equal(&entry->sender, &d->self)) {
            put(d, entry->count, entry->message);
            d->again = MAX(d->again, entry->count);
        }
        dfsm_queued_free(entry);
    }
}

/* ---- views ----------------------------------------------------------------------------------- */

static int compare_members(const void *a, const void *b)
{
    return group_member_compare(&((const DfsmMember *)a)->id, &((const DfsmMember *)b)->id);
}

static bool has_us(const Dfsm *d, const GroupEvent *ev)
{
    for (uint32_t i = 0; i < ev->n_members; i++) {
        if (group_member_equal(&ev->members[i], &d->self)) {
            return true;
        }
    }
    return false;
}

static void rebuild_members(Dfsm *d, const GroupEvent *ev)
{
    DfsmMember fresh[GROUP_MEMBERS_MAX];

    forget_states(d);
    for (uint32_t i = 0; i < ev->n_members; i++) {
        const DfsmMember *old = find_member(d, ev->members[i]);

        fresh[i] = (DfsmMember){.id = ev->members[i], .spoke = old != NULL && old->spoke};
    }
    d->n_members = ev->n_members;
    memcpy(d->members, fresh, d->n_members * sizeof fresh[0]);
    qsort(d->members, d->n_members, sizeof d->members[0], compare_members);
    for (uint32_t i = 0; i < d->n_members; i++) {
        if (group_member_equal(&d->members[i].id, &d->self)) {
            d->self_index = i;
        }
    }
}

static void enter_alone(Dfsm *d)
{
    if (d->held) {
        set_mode(d, GROUP_MODE_START_SYNC, "only member");
        return;
    }
    set_mode(d, GROUP_MODE_SYNCED, "only member");
    d->members[0].synced = true;
    deliver_first_queue(d);
}

static void enter_with_others(Dfsm *d, const GroupEvent *ev)
{
    if (ev->n_joined > 0 && d->first.items.length > 0) {
        remulticast_queue(d);
    }
    set_mode(d, GROUP_MODE_START_SYNC, ev->n_joined > 0 ? "member joined" : "member left");
    if (dfsm_is_lowest(d) && !d->held) {
        dfsm_start_sync(d);
    }
}

static void on_view(Dfsm *d, const GroupEvent *ev)
{
    d->epoch = dfsm_new_epoch(d);
    d->saved_id = d->verify_id;
    d->saved_epoch = (WireDfsmEpoch){0};
    d->verify_waiting = 0;
    d->begun = d->asked = false;
    dfsm_queue_clear(&d->second);
    if (is_out(d->mode)) {
        return;
    }
    if (!has_us(d, ev) || ev->n_members > GROUP_MEMBERS_MAX) {
        if (d->mode != GROUP_MODE_START) {
            leave(d, GROUP_MODE_LEAVE, "not in the member list");
        }
        return;
    }
    if (d->hooks.cleanup != NULL) {
        d->hooks.cleanup(d->hooks.ctx);
    }
    rebuild_members(d, ev);
    d->joined = true;
    d->connect_streak = 0;
    d->held = d->hooks.hold_sync != NULL && d->hooks.hold_sync(d->hooks.ctx);
    if (d->n_members == 1) {
        enter_alone(d);
    } else {
        enter_with_others(d, ev);
    }
    if (dfsm_in_view(d) && d->hooks.view != NULL) {
        d->hooks.view(d->hooks.ctx, d->members, d->n_members);
    }
}

/* ---- state messages -------------------------------------------------------------------------- */

static bool documented_is_ignored(Dfsm *d)
{
    return d->hooks.documented != NULL && !d->hooks.documented(d->hooks.ctx);
}

static void begin_exchange(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    g_autoptr(GBytes) state = NULL;
    gsize size;
    const void *data;

    if (documented_is_ignored(d)) {
        return;
    }
    d->held = false;
    d->begun = true;
    if (d->mode == GROUP_MODE_START_SYNC && d->cfg.answer_ms > 0) {
        d->answer_at = mono_add_ms(d->now, d->cfg.answer_ms);
    }
    if (sender.nodeid != d->members[0].id.nodeid) {
        trace(&d->tracer, TRACE_WARNING, "dfsm[%s]: exchange begun by member %u, not the lowest",
              d->cfg.name, sender.nodeid);
    }
    d->epoch = m->head.epoch;
    forget_states(d);
    if (d->hooks.cleanup != NULL) {
        d->hooks.cleanup(d->hooks.ctx);
    }
    state = d->hooks.get_state(d->hooks.ctx);
    if (state == NULL) {
        leave(d, GROUP_MODE_LEAVE, "no state to tell");
        return;
    }
    data = g_bytes_get_data(state, &size);
    put_state(d, WIRE_DFSM_STATE, &d->epoch, data, size);
}

static void states_complete(Dfsm *d)
{
    if (documented_is_ignored(d)) {
        forget_states(d);
        d->held = true;
        return;
    }
    if (d->hooks.process_states(d->hooks.ctx, d->members, d->n_members, d->self_index) < 0) {
        leave(d, GROUP_MODE_LEAVE, "states could not be used");
        return;
    }
    if (d->members[d->self_index].synced) {
        set_mode(d, GROUP_MODE_SYNCED, "has the group's state");
        forget_states(d);
    } else {
        set_mode(d, GROUP_MODE_UPDATE, "lacks part of the group's state");
    }
    deliver_first_queue(d);
}

static void collect_state(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    DfsmMember *member = find_member(d, sender);

    if (member == NULL || member->state != NULL) {
        leave(d, GROUP_MODE_LEAVE, member == NULL ? "state of an unknown member" : "second state");
        return;
    }
    member->state = g_bytes_new(m->payload, m->payload_size);
    for (uint32_t i = 0; i < d->n_members; i++) {
        if (d->members[i].state == NULL) {
            return;
        }
    }
    states_complete(d);
}

/* ---- members that do not answer -------------------------------------------------------------- */

static char *missing_members(const Dfsm *d)
{
    GString *missing = g_string_new(NULL);

    for (uint32_t i = 0; i < d->n_members; i++) {
        if (d->members[i].state == NULL) {
            g_string_append_printf(missing, " %u", d->members[i].id.nodeid);
        }
    }
    return g_string_free(missing, FALSE);
}

/* The lowest member should have begun, then all should have answered. */
static void waited_for_answers(Dfsm *d)
{
    g_autofree char *missing = missing_members(d);

    d->answer_at = MONO_NEVER;
    if (!d->begun && !d->asked) {
        d->asked = true;
        d->answer_at = mono_add_ms(d->now, d->cfg.answer_ms);
        dfsm_start_sync(d);
        return;
    }
    trace(&d->tracer, TRACE_WARNING, "dfsm[%s]: goes on without members that do not answer:%s",
          d->cfg.name, missing);
    if (d->hooks.go_on(d->hooks.ctx, d->members, d->n_members, d->self_index) < 0) {
        leave(d, GROUP_MODE_LEAVE, "states could not be used");
        return;
    }
    set_mode(d, GROUP_MODE_SYNCED, "some members do not answer");
    d->open = true;
    mark_all_synced(d);
    deliver_first_queue(d);
}

/* SYNC_START or STATE for us who went on: the silent member is back. True: it was one. */
static bool take_late(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    DfsmMember *member = find_member(d, sender);

    if (!d->open || (m->head.type != WIRE_DFSM_SYNC_START && m->head.type != WIRE_DFSM_STATE)) {
        return false;
    }
    if (m->head.type == WIRE_DFSM_SYNC_START) {
        begin_exchange(d, sender, m);
        return true;
    }
    if (member != NULL && member->state == NULL) {
        member->state = g_bytes_new(m->payload, m->payload_size);
    }
    for (uint32_t i = 0; i < d->n_members; i++) {
        if (d->members[i].state == NULL) {
            return true;
        }
    }
    d->open = false;
    if (d->hooks.process_states(d->hooks.ctx, d->members, d->n_members, d->self_index) < 0) {
        leave(d, GROUP_MODE_LEAVE, "states could not be used");
        return true;
    }
    forget_states(d);
    return true;
}

static void take_update(Dfsm *d, const WireDfsmMessage *m)
{
    if (d->hooks.process_update(d->hooks.ctx, m->payload, m->payload_size) < 0) {
        leave(d, GROUP_MODE_LEAVE, "update could not be used");
    }
}

void dfsm_set_synced(Dfsm *d, const char *why)
{
    mark_all_synced(d);
    set_mode(d, GROUP_MODE_SYNCED, why);
    deliver_second_queue(d);
    deliver_first_queue(d);
    if (d->mode == GROUP_MODE_SYNCED) {
        forget_states(d);
    }
}

static void commit(Dfsm *d)
{
    if (d->hooks.commit(d->hooks.ctx) < 0) {
        leave(d, GROUP_MODE_LEAVE, "updates could not be committed");
        return;
    }
    dfsm_set_synced(d, "updates committed");
}

static void release_queue(Dfsm *d)
{
    if (!all_synced(d)) {
        mark_all_synced(d);
        deliver_first_queue(d);
    }
}

/* ---- verification ---------------------------------------------------------------------------- */

static void request_verify(Dfsm *d)
{
    g_autoptr(GBytes) payload = NULL;
    WireDfsmVerify v = {.id = ++d->verify_id};
    gsize size;
    const void *data;

    d->verify_waiting = v.id;
    payload = wire_dfsm_encode_verify(&v);
    data = g_bytes_get_data(payload, &size);
    put_state(d, WIRE_DFSM_VERIFY_REQUEST, &d->epoch, data, size);
}

static void answer_verify(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    g_autoptr(GBytes) payload = NULL;
    WireDfsmVerify v;
    gsize size;
    const void *data;

    if (d->hooks.checksum == NULL) {
        return;
    }
    if (wire_dfsm_decode_verify(WIRE_DFSM_VERIFY_REQUEST, m->payload, m->payload_size, &v) < 0) {
        leave(d, GROUP_MODE_LEAVE, "malformed VERIFY_REQUEST");
        return;
    }
    d->hooks.checksum(d->hooks.ctx, d->saved_csum);
    d->saved_id = v.id;
    d->saved_epoch = m->head.epoch;
    if (!group_member_equal(&sender, &d->self)) {
        return;
    }
    d->verify_waiting = 0;
    v.csum = d->saved_csum;
    payload = wire_dfsm_encode_verify(&v);
    data = g_bytes_get_data(payload, &size);
    put_state(d, WIRE_DFSM_VERIFY, &d->epoch, data, size);
}

static void compare_verify(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    WireDfsmVerify v;
    bool equal;

    if (d->hooks.checksum == NULL) {
        return;
    }
    if (wire_dfsm_decode_verify(WIRE_DFSM_VERIFY, m->payload, m->payload_size, &v) < 0) {
        leave(d, GROUP_MODE_LEAVE, "malformed VERIFY");
        return;
    }
    if (v.id != d->saved_id || !wire_dfsm_epoch_equal(&m->head.epoch, &d->saved_epoch)) {
        trace(&d->tracer, TRACE_INFO, "dfsm[%s]: verification %" G_GUINT64_FORMAT " skipped",
              d->cfg.name, v.id);
        return;
    }
    equal = memcmp(v.csum, d->saved_csum, WIRE_DFSM_CSUM_SIZE) == 0;
    trace(&d->tracer, equal ? TRACE_INFO : TRACE_ERR,
          "dfsm[%s]: verification %" G_GUINT64_FORMAT ": %s", d->cfg.name, v.id,
          equal ? "content equal" : "content differs");
    if (d->hooks.verified != NULL) {
        d->hooks.verified(d->hooks.ctx, sender, v.csum, equal);
    }
    if (!equal) {
        leave(d, GROUP_MODE_LEAVE, "content differs from the verifying member");
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void react(Dfsm *d, const GroupEvent *ev, const WireDfsmMessage *m)
{
    switch (dfsm_reaction(d->mode, (WireDfsmType)m->head.type)) {
    case DFSM_IGNORE:
        break;
    case DFSM_LEAVE:
        leave(d, GROUP_MODE_LEAVE, "message out of place");
        break;
    case DFSM_QUEUE:
        enqueue(d, ev->sender, m, ev->data, ev->size);
        break;
    case DFSM_DELIVER:
        deliver(d, ev->sender, m);
        break;
    case DFSM_BEGIN:
        begin_exchange(d, ev->sender, m);
        break;
    case DFSM_COLLECT:
        collect_state(d, ev->sender, m);
        break;
    case DFSM_UPDATE:
        take_update(d, m);
        break;
    case DFSM_COMMIT:
        commit(d);
        break;
    case DFSM_RELEASE:
        release_queue(d);
        break;
    case DFSM_ANSWER:
        answer_verify(d, ev->sender, m);
        break;
    case DFSM_COMPARE:
        compare_verify(d, ev->sender, m);
        break;
    case DFSM_REACTION_N:
        assert(false);
    }
}

/* UPDATE is also how another protocol travels, and VERIFY says nothing new. */
static void note_speaker(Dfsm *d, GroupMember sender, const WireDfsmMessage *m)
{
    DfsmMember *member = find_member(d, sender);

    if (member != NULL && m->head.type <= WIRE_DFSM_STATE) {
        member->spoke = true;
    }
}

static void on_message(Dfsm *d, const GroupEvent *ev)
{
    WireDfsmMessage m;
    int ret;

    if (is_out(d->mode)) {
        return;
    }
    if (ev->size > GROUP_MESSAGE_MAX) {
        leave(d, GROUP_MODE_LEAVE, "message too long");
        return;
    }
    ret = wire_dfsm_decode(ev->data, ev->size, d->cfg.version, &m);
    if (ret == -EPROTO) {
        leave(d, GROUP_MODE_VERSION_ERROR, "a member speaks a newer protocol");
        return;
    }
    if (ret == -ESTALE) {
        trace(&d->tracer, TRACE_WARNING, "dfsm[%s]: member %u speaks an older protocol: ignored",
              d->cfg.name, ev->sender.nodeid);
        return;
    }
    if (ret < 0) {
        leave(d, GROUP_MODE_LEAVE, "malformed message");
        return;
    }
    note_speaker(d, ev->sender, &m);
    if (m.head.type != WIRE_DFSM_NORMAL && m.head.type != WIRE_DFSM_SYNC_START &&
        !wire_dfsm_epoch_equal(&m.head.epoch, &d->epoch)) {
        if (d->hooks.foreign_epoch != NULL) {
            d->hooks.foreign_epoch(d->hooks.ctx, ev->sender, &m);
        }
        return;
    }
    if (!take_late(d, ev->sender, &m)) {
        react(d, ev, &m);
    }
}

/* Takes the oldest unsent message off the list; false when there was none. */
static bool shift_unsent(Dfsm *d, uint64_t *ret_count)
{
    g_autofree Unsent *u = g_queue_pop_head(&d->unsent);

    if (u == NULL) {
        return false;
    }
    d->unsent_bytes -= u->size;
    *ret_count = u->count;
    return true;
}

static void on_send_failed(Dfsm *d, int code)
{
    uint64_t count;

    if (!shift_unsent(d, &count)) {
        return;
    }
    if (count != 0 && d->hooks.send_failed != NULL) {
        d->hooks.send_failed(d->hooks.ctx, count, code);
    } else {
        leave(d, GROUP_MODE_LEAVE, "could not send");
    }
}

static void on_disconnected(Dfsm *d)
{
    d->connected = false;
    if (!is_out(d->mode)) {
        set_mode(d, GROUP_MODE_START, "connection lost");
        drop_view(d);
    } else if (d->mode != GROUP_MODE_ERROR) {
        set_mode(d, GROUP_MODE_START, "connection lost");
    }
    if (!d->stay_out) {
        join_later(d,
                   backoff_ms(d, d->connect_streak++, DFSM_CONNECT_FIRST_MS, DFSM_CONNECT_MAX_MS));
    }
}

void dfsm_group_event(Dfsm *d, const GroupEvent *ev, MonoTime now, WallTime wall)
{
    uint64_t count;

    dfsm_set_time(d, now, wall);
    switch (ev->kind) {
    case GROUP_EV_CONNECTED:
        d->self = ev->self;
        d->connected = true;
        if (d->mode != GROUP_MODE_ERROR) {
            set_mode(d, GROUP_MODE_START, "connected");
        }
        break;
    case GROUP_EV_VIEW:
        on_view(d, ev);
        break;
    case GROUP_EV_MESSAGE:
        on_message(d, ev);
        break;
    case GROUP_EV_SENT:
        if (shift_unsent(d, &count) && d->hooks.sent != NULL) {
            d->hooks.sent(d->hooks.ctx);
        }
        break;
    case GROUP_EV_SEND_FAILED:
        on_send_failed(d, ev->code);
        break;
    case GROUP_EV_BACKPRESSURE:
        d->backpressure = ev->on;
        if (!ev->on && d->hooks.sent != NULL) {
            d->hooks.sent(d->hooks.ctx);
        }
        break;
    case GROUP_EV_DISCONNECTED:
        on_disconnected(d);
        break;
    case GROUP_EV_N:
        assert(false);
    }
}

/* Names the members whose state is missing. */
static void report_stall(Dfsm *d)
{
    g_autofree char *missing = missing_members(d);

    d->stall_at = mono_add_ms(d->now, DFSM_STALL_MS);
    if (d->held) {
        return; /* whoever holds it back reports */
    }
    trace(&d->tracer, TRACE_WARNING, "dfsm[%s]: synchronisation does not end: waiting for%s",
          d->cfg.name, d->mode == GROUP_MODE_UPDATE ? " updates" : missing);
}

static void verify_when_due(Dfsm *d)
{
    if (d->cfg.verify_interval_ms == 0 || mono_before(d->now, d->verify_at)) {
        return;
    }
    if (d->mode == GROUP_MODE_SYNCED && dfsm_is_lowest(d) && d->verify_waiting == 0) {
        request_verify(d);
    }
    d->verify_at = mono_add_ms(d->now, d->cfg.verify_interval_ms);
}

void dfsm_tick(Dfsm *d, MonoTime now, WallTime wall)
{
    dfsm_set_time(d, now, wall);
    if (!mono_before(now, d->stall_at)) {
        report_stall(d);
    }
    if (!mono_before(now, d->answer_at)) {
        waited_for_answers(d);
    }
    verify_when_due(d);
}

bool dfsm_verify(Dfsm *d)
{
    if (d->mode != GROUP_MODE_SYNCED || d->hooks.checksum == NULL) {
        return false;
    }
    request_verify(d);
    return true;
}

MonoTime dfsm_next_tick(const Dfsm *d)
{
    MonoTime at = mono_min(d->stall_at, d->answer_at);

    return d->cfg.verify_interval_ms > 0 ? mono_min(at, d->verify_at) : at;
}

/* ---- reading --------------------------------------------------------------------------------- */

GroupMode dfsm_mode(const Dfsm *d)
{
    return d->mode;
}

bool dfsm_in_view(const Dfsm *d)
{
    return d->joined && !is_out(d->mode) && d->mode != GROUP_MODE_START;
}

bool dfsm_is_lowest(const Dfsm *d)
{
    return d->n_members > 0 && d->members[0].id.nodeid == d->self.nodeid;
}

GroupMember dfsm_self(const Dfsm *d)
{
    return d->self;
}

const WireDfsmEpoch *dfsm_epoch(const Dfsm *d)
{
    return &d->epoch;
}

const DfsmMember *dfsm_members(const Dfsm *d, uint32_t *ret_n)
{
    *ret_n = d->n_members;
    return d->members;
}

uint32_t dfsm_queued(const Dfsm *d)
{
    return d->first.items.length + d->second.items.length;
}

size_t dfsm_unsent_bytes(const Dfsm *d)
{
    return d->unsent_bytes;
}

bool dfsm_backpressure(const Dfsm *d)
{
    return d->backpressure;
}

MonoTime dfsm_now(const Dfsm *d)
{
    return d->now;
}
