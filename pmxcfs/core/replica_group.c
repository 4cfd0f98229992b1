/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_dcdb.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/core/replica_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- changes of our callers ------------------------------------------------------------------ */

bool replica_group_ready(const Replica *r)
{
    if (native_decides(r)) {
        return native_ready(r);
    }
    return r->quorate && dfsm_mode(r->dfsm) == GROUP_MODE_SYNCED && !dfsm_backpressure(r->dfsm) &&
           r->sent.length < REPLICA_WINDOW_MESSAGES && r->sent_bytes < REPLICA_WINDOW_BYTES;
}

/* Is an UNLOCK_REQUEST worth a message? The lowest node decides, by its own timer; when ours is far
 * from running out, so is its, unless we came later: so ask now and then (18.2, lock polling). */
static bool judges(const Replica *r)
{
    return native_decides(r) ? native_judges(r) : dfsm_is_lowest(r->dfsm);
}

static bool worth_asking(Replica *r, const TreeOp *op)
{
    bool expired = memdb_lock_expired(r->db, op->path, op->csum, r->now);
    const MonoTime *last = g_hash_table_lookup(r->unlock_asked, op->path);
    int64_t pause_ms = expired ? REPLICA_UNLOCK_ASK_MS : REPLICA_UNLOCK_ASK_EARLY_MS;

    if (judges(r) && !expired) {
        return false;
    }
    if (last != NULL && mono_before(r->now, mono_add_ms(*last, pause_ms))) {
        return false;
    }
    if (g_hash_table_size(r->unlock_asked) >= REPLICA_UNLOCK_ASKED_MAX) {
        g_hash_table_remove_all(r->unlock_asked);
    }
    (void)g_hash_table_replace(r->unlock_asked, g_strdup(op->path),
                               g_memdup2(&r->now, sizeof r->now));
    return true;
}

/* "Remove this lock if it is expired": answered at once, whatever comes of it. */
static void ask_unlock(Replica *r, Request *q)
{
    g_autoptr(GBytes) payload = NULL;
    gsize size;
    const void *data;

    request_answer(r, q, 0, 0, NULL);
    if (memdb_check(r->db, q->op, (TreeOrigin){0}) < 0 || !worth_asking(r, q->op)) {
        request_free(q);
        return;
    }
    if (judges(r)) {
        q->op->kind = TREE_OP_UNLOCK; /* we are the one who decides, and it is expired */
    }
    if (native_decides(r)) {
        native_perform(r, q);
        return;
    }
    if (dcdb_encode_op(q->op, &payload) == 0) {
        data = g_bytes_get_data(payload, &size);
        (void)dfsm_send(r->dfsm, (uint16_t)q->op->kind, data, size); /* nobody waits for it */
    }
    request_free(q);
}

/* A truncation to N that finds an empty file would leave a size without content on documented
 * peers, which die when they read it (18.1.1). So the byte before N travels with it: the same
 * result, and safe even when somebody empties the file meanwhile. */
static void avoid_hollow_file(Replica *r, Request *q)
{
    g_autoptr(Entry) e = NULL;
    TreeOp *op = q->op;
    uint8_t last = 0;

    if (op->kind != TREE_OP_WRITE || !op->truncate || op->data != NULL || op->offset == 0 ||
        memdb_lookup(r->db, op->path, &e) < 0) {
        return;
    }
    (void)entry_read(e, op->offset - 1, &last, 1); /* stays 0 beyond the end */
    op->data = g_bytes_new(&last, 1);
    op->offset--;
    q->no_count = true;
}

void replica_group_perform(Replica *r, Request *q)
{
    TreeOrigin from = {.writer = dfsm_self(r->dfsm).nodeid, .time = wall_u32(r->wall)};
    g_autoptr(GBytes) payload = NULL;
    gsize size;
    const void *data;
    int ret;

    if (q->op->kind == TREE_OP_UNLOCK_REQUEST) {
        ask_unlock(r, q);
        return;
    }
    if (native_decides(r)) {
        native_perform(r, q);
        return;
    }
    ret = memdb_check(r->db, q->op, from);
    if (ret >= 0) {
        avoid_hollow_file(r, q);
        ret = dcdb_encode_op(q->op, &payload);
    }
    if (ret < 0) {
        request_answer(r, q, ret, 0, NULL);
        request_free(q);
        return;
    }
    data = g_bytes_get_data(payload, &size);
    q->count = dfsm_send(r->dfsm, (uint16_t)q->op->kind, data, size);
    q->size = size;
    q->deadline = mono_min(q->limit, mono_add_ms(r->now, REPLICA_ANSWER_MS));
    r->sent_bytes += size;
    g_queue_push_tail(&r->sent, q);
}

/* Takes the request that message `count` of ours carried off the list; NULL when there is none. */
static Request *take_sent(Replica *r, uint64_t count)
{
    for (GList *l = r->sent.head; l != NULL; l = l->next) {
        Request *q = l->data;

        if (!q->native && q->count == count) {
            r->sent_bytes -= q->size;
            g_queue_delete_link(&r->sent, l);
            return q;
        }
    }
    return NULL;
}

void replica_group_lost(Replica *r)
{
    Request *q;

    while ((q = g_queue_pop_head(&r->sent)) != NULL) {
        request_answer(r, q, -EBUSY, 0, REPLICA_TEXT_UNKNOWN);
        request_free(q);
    }
    r->sent_bytes = 0;
}

/* In the native protocol a documented change has no effect anywhere; ours is sent again. */
static void void_delivery(Replica *r, Request *q)
{
    if (q != NULL) {
        q->count = 0;
        q->deadline = mono_min(q->deadline, mono_add_ms(r->now, REPLICA_SEND_MS));
        g_queue_push_head(&r->inbox, q);
    }
}

/* ---- delivery -------------------------------------------------------------------------------- */

/* The lowest node decides whether a lock is expired, by its own timer (chapter 6). */
static void judge_lock(Replica *r, TreeOp *op)
{
    g_autoptr(GBytes) payload = NULL;
    gsize size;
    const void *data;

    if (!dfsm_is_lowest(r->dfsm) || memdb_check(r->db, op, (TreeOrigin){0}) < 0 ||
        !memdb_lock_expired(r->db, op->path, op->csum, r->now)) {
        return;
    }
    op->kind = TREE_OP_UNLOCK;
    if (dcdb_encode_op(op, &payload) == 0) {
        data = g_bytes_get_data(payload, &size);
        (void)dfsm_send(r->dfsm, WIRE_DCDB_UNLOCK, data, size); /* nobody waits for it */
    }
}

static void apply_delivered(Replica *r, const DfsmDelivery *d, const TreeOp *op, Request *q)
{
    TreeOrigin from = {.writer = d->sender.nodeid, .time = d->time};
    MemdbDelta *delta = NULL;
    int ret = memdb_apply(r->db, op, from, true, r->now, &delta);

    if (q != NULL && ret >= 0) {
        request_applied(r, q, q->no_count ? 0 : ret, delta);
        return;
    }
    if (q != NULL && d->again) {
        request_answer(r, q, -EBUSY, 0, REPLICA_TEXT_UNKNOWN);
    } else if (q != NULL) {
        request_answer(r, q, ret, 0, NULL);
    }
    if (delta != NULL) {
        (void)ledger_add(r->ledger, delta, false, r->up);
    }
}

static int on_deliver(void *ctx, const DfsmDelivery *d)
{
    Replica *r = ctx;
    Request *q = d->own ? take_sent(r, d->count) : NULL;
    TreeOp op;
    int ret = 0;

    if (native_decides(r)) {
        void_delivery(r, q);
        return 0;
    }
    if (!r->quorate) {
        /* Others may be quorate and apply it: only a synchronisation makes us equal again. */
        ret = -EPERM;
    } else {
        ret = dcdb_decode_op(d->subtype, d->payload, d->size, &op);
    }
    if (ret < 0) {
        trace(&r->tracer, TRACE_ERR, "dcdb: message %u of member %u not applied: %s", d->subtype,
              d->sender.nodeid, ret == -EPERM ? "no quorum" : "malformed");
        if (q != NULL) {
            request_answer(r, q, -EPERM, 0, REPLICA_TEXT_UNKNOWN);
            request_free(q);
        }
        return ret;
    }
    if (op.kind == TREE_OP_UNLOCK_REQUEST) {
        judge_lock(r, &op);
    } else {
        apply_delivered(r, d, &op, q);
    }
    g_clear_pointer(&op.data, g_bytes_unref);
    if (q != NULL) {
        request_free(q);
    }
    return 0;
}

/* ---- synchronisation ------------------------------------------------------------------------- */

/* Gives a hollow file the zeros that it reads as. */
static void fill_hollow(Replica *r, const Entry *e)
{
    g_autofree char *path = memdb_path(r->db, e->inode);
    g_autoptr(GBytes) zeros = g_bytes_new_take(g_malloc0(e->size), e->size);
    TreeOrigin from = {.writer = dfsm_self(r->dfsm).nodeid, .time = wall_u32(r->wall)};
    MemdbDelta *delta = NULL;

    if (path != NULL &&
        memdb_apply(r->db, &(TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = zeros}, from,
                    true, r->now, &delta) >= 0) {
        trace(&r->tracer, TRACE_WARNING, "dcdb: gave '%s' its %u zero bytes", path, e->size);
        (void)ledger_add(r->ledger, delta, false, r->up);
    }
}

static bool any_hollow(const GPtrArray *all)
{
    for (guint i = 0; i < all->len; i++) {
        if (((const Entry *)all->pdata[i])->hollow) {
            return true;
        }
    }
    return false;
}

/* Is a guest configured twice (18.1.7)? */
static bool any_twins(const Replica *r, const GPtrArray *all)
{
    g_autoptr(GHashTable) vmids = g_hash_table_new(g_direct_hash, g_direct_equal);

    for (guint i = 0; i < all->len; i++) {
        const Entry *e = all->pdata[i];
        g_autofree char *path = e->type == ENTRY_FILE ? memdb_path(r->db, e->inode) : NULL;
        CfsGuest guest;

        if (path != NULL && cfspath_guest(path, &guest) &&
            !g_hash_table_add(vmids, GUINT_TO_POINTER(guest.vmid))) {
            return true;
        }
    }
    return false;
}

/* An UPDATE cannot carry a file with a size and no content: who lacks it would never get in, and
 * an original that leads dies of it (18.1.1). A member that has the group's content makes it an
 * ordinary file now, while no change can come between: it leads by one version, and all follow.
 * Not where a guest is configured twice: an original that had to follow would be out for good. */
static void fill_hollow_files(Replica *r)
{
    g_autoptr(GPtrArray) all = NULL;

    if (!r->settled || !r->quorate) {
        return;
    }
    all = memdb_all(r->db);
    if (!any_hollow(all) || any_twins(r, all)) {
        return;
    }
    for (guint i = 0; i < all->len; i++) {
        const Entry *e = all->pdata[i];

        if (e->hollow) {
            fill_hollow(r, e);
        }
    }
}

static GBytes *on_get_state(void *ctx)
{
    Replica *r = ctx;

    if (r->native != NULL) {
        native_documented_begins(r);
    }
    fill_hollow_files(r);
    return memdb_index(r->db);
}

static int on_states(void *ctx, DfsmMember *members, uint32_t n, uint32_t self)
{
    Replica *r = ctx;
    int ret = dcdb_sync_states(r->sync, members, n, self);

    if (ret == 0) {
        replica_group_stream(r);
    }
    return ret;
}

void replica_group_stream(Replica *r)
{
    while (dcdb_sync_leading(r->sync) && dfsm_unsent_bytes(r->dfsm) < REPLICA_STREAM_BYTES &&
           !dfsm_backpressure(r->dfsm)) {
        g_autoptr(GBytes) update = dcdb_sync_next_update(r->sync);
        gsize size;
        const void *data;

        if (update == NULL) {
            dfsm_send_update_complete(r->dfsm);
            return;
        }
        data = g_bytes_get_data(update, &size);
        dfsm_send_update(r->dfsm, data, size);
    }
}

static int on_update(void *ctx, const void *payload, size_t size)
{
    return dcdb_sync_update(((Replica *)ctx)->sync, payload, size);
}

static int on_commit(void *ctx)
{
    Replica *r = ctx;
    g_autoptr(GPtrArray) before = dcdb_sync_loses(r->sync) ? memdb_all(r->db) : NULL;
    MemdbRoot root = memdb_root(r->db);
    MemdbDelta *delta = NULL;
    Err err = ERR_INIT;
    int ret = dcdb_sync_commit(r->sync, r->now, &delta, &err);

    if (ret < 0) {
        trace(&r->tracer, TRACE_ERR, "dcdb: commit failed: %s", err_text(&err));
        return ret;
    }
    if (before != NULL) {
        g_autofree char *why =
            g_strdup_printf("synchronised-from-node-%u", dcdb_sync_leader(r->sync));

        update_save_losing(r->up, before, root, why);
    }
    /* What our callers still wait for may not be in the tree that was taken over. */
    ledger_release(r->ledger, 0, -EBUSY, REPLICA_TEXT_UNKNOWN, r->up);
    (void)ledger_add(r->ledger, delta, false, r->up);
    return 0;
}

static void on_checksum(void *ctx, uint8_t csum[WIRE_DFSM_CSUM_SIZE])
{
    memdb_checksum(((Replica *)ctx)->db, csum);
}

static void
on_verified(void *ctx, GroupMember asked, const uint8_t csum[WIRE_DFSM_CSUM_SIZE], bool equal)
{
    (void)equal; /* who differs leaves: that is what is told */
    replica_verify_compared(ctx, asked, csum);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void on_send(void *ctx, GBytes *message)
{
    update_send(((Replica *)ctx)->up, message);
}

static void on_join(void *ctx, MonoTime at)
{
    update_at(((Replica *)ctx)->up, REPLICA_ACT_JOIN, at);
}

static void on_leave(void *ctx)
{
    update_simple(((Replica *)ctx)->up, REPLICA_ACT_LEAVE);
}

static void on_cleanup(void *ctx)
{
    dcdb_sync_reset(((Replica *)ctx)->sync);
}

static void on_view(void *ctx, const DfsmMember *members, uint32_t n)
{
    Replica *r = ctx;

    if (n == 0) {
        replica_group_lost(r);
    }
    replica_verify_view(r, members, n);
    if (r->native != NULL) {
        native_view(r, members, n);
    }
}

static void on_mode(void *ctx, GroupMode was, GroupMode now)
{
    Replica *r = ctx;

    (void)was;
    if (now == GROUP_MODE_SYNCED) {
        r->settled = true;
    } else if (now != GROUP_MODE_START_SYNC) {
        r->settled = false;
    }
    if (r->native != NULL && now == GROUP_MODE_SYNCED) {
        native_documented_synced(r);
    }
}

static bool on_hold_sync(void *ctx)
{
    return ((Replica *)ctx)->native != NULL;
}

static bool on_documented(void *ctx)
{
    Replica *r = ctx;

    return r->native == NULL || native_documented(r);
}

static void on_foreign_epoch(void *ctx, GroupMember sender, const WireDfsmMessage *m)
{
    Replica *r = ctx;

    if (r->native != NULL) {
        native_message(r, sender, m);
    }
}

static void on_sent(void *ctx)
{
    replica_group_stream(ctx);
    native_stream(ctx);
}

static void on_send_failed(void *ctx, uint64_t count, int code)
{
    Replica *r = ctx;
    Request *q = take_sent(r, count);

    if (q != NULL) {
        g_autofree char *text = g_strdup_printf("could not be sent (%s)", g_strerror(-code));

        request_answer(r, q, -EACCES, 0, text);
        request_free(q);
    }
}

void replica_group_init(Replica *r)
{
    DfsmConfig cfg = {.name = "dcdb",
                      .version = DCDB_VERSION,
                      .verify_interval_ms = CFS_VERIFY_INTERVAL_SEC * 1000,
                      .seed = r->cfg.seed};
    DfsmHooks hooks = {.ctx = r,
                       .send = on_send,
                       .join = on_join,
                       .leave = on_leave,
                       .get_state = on_get_state,
                       .process_states = on_states,
                       .process_update = on_update,
                       .commit = on_commit,
                       .deliver = on_deliver,
                       .checksum = on_checksum,
                       .verified = on_verified,
                       .cleanup = on_cleanup,
                       .view = on_view,
                       .mode = on_mode,
                       .hold_sync = on_hold_sync,
                       .documented = on_documented,
                       .foreign_epoch = on_foreign_epoch,
                       .sent = on_sent,
                       .send_failed = on_send_failed};

    r->dfsm = dfsm_new(&cfg, &hooks, &r->tracer);
    r->sync = dcdb_sync_new(r->db, &r->tracer);
    r->unlock_asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void replica_group_done(Replica *r)
{
    g_clear_pointer(&r->dfsm, dfsm_free);
    g_clear_pointer(&r->sync, dcdb_sync_free);
    g_clear_pointer(&r->unlock_asked, g_hash_table_unref);
}

/* ---- disk ------------------------------------------------------------------------------------ */

bool replica_group_alone(const Replica *r)
{
    uint32_t members = 1;

    if (r->dfsm != NULL) {
        (void)dfsm_members(r->dfsm, &members);
    }
    return members == 1;
}

/* The others have applied what our disk refused: we are behind until a synchronisation, which needs
 * the disk. */
void replica_group_disk_failed(Replica *r, int code)
{
    r->disk_code = code;
    r->disk_tries = 0;
    dfsm_leave_and_stay_out(r->dfsm, "the disk refused a change");
    update_at(r->up, REPLICA_ACT_STORE_PROBE, mono_add_ms(r->now, REPLICA_PROBE_FIRST_MS));
}

void replica_group_probed(Replica *r, int code)
{
    int64_t ms = REPLICA_PROBE_FIRST_MS;

    if (r->disk_code == 0) {
        return;
    }
    if (code == 0) {
        r->disk_code = 0;
        dfsm_rejoin(r->dfsm);
        return;
    }
    r->disk_code = code;
    r->disk_tries++;
    for (uint32_t i = 0; i < r->disk_tries && ms < REPLICA_PROBE_MAX_MS; i++) {
        ms *= 2;
    }
    update_at(r->up, REPLICA_ACT_STORE_PROBE, mono_add_ms(r->now, MIN(ms, REPLICA_PROBE_MAX_MS)));
}
