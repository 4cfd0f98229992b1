/* SPDX-License-Identifier: Apache-2.0 */
/* What CRM, LRM and workers see of the world. Every call takes time, may be held up, and does
 * nothing any more once its process is dead. */
#include "ha-manager/core/ha_resources.h"
#include "tests/sim/ha/hasafe.h"

#include <errno.h>
#include <string.h>

#define SEC       US_PER_SEC
#define CFS_LIMIT (20 * SEC) /* the filesystem answers with an error after this */

void hasafe_caller_init(HaSafeCaller *c, HaSafeDaemon *d, HaSafeWorker *worker)
{
    *c = (HaSafeCaller){.d = d, .life = d->life, .boot = d->node->boot, .worker = worker};
    c->ops = hasafe_ops;
    if (!d->s->opt.verbose) {
        c->ops.log = NULL;
    }
    c->env = (HaEnv){.ops = &c->ops,
                     .ctx = c,
                     .node = d->node->name,
                     .timing = &d->s->timing,
                     .conduct = ha_conduct_improved,
                     .max_workers = HASAFE_WORKERS,
                     .seed = prng_u64(&d->s->rng)};
    if (d->s->opt.defect == HASAFE_PATIENT) {
        c->env.conduct.quarantine = false;
    }
}

bool hasafe_alive(const HaSafeCaller *c)
{
    const HaSafeNode *n = c->d->node;

    return n->up && n->boot == c->boot && !n->s->failed &&
           (c->worker != NULL || (c->d->running && c->d->life == c->life));
}

static void count_call(const HaSafeCaller *c)
{
    HaSafeDaemon *d = c->d;

    if (c->worker == NULL && d->calls_left > 0 && --d->calls_left == 0 && !d->s->calm) {
        d->paused_until = hasafe_now(d->s) + d->pause_us;
        hasafe_say(d->s, d->node->name, "%s paused in a call for %d ms", d->is_lrm ? "lrm" : "crm",
                   (int)(d->pause_us / 1000));
    }
}

static int64_t held_up(const HaSafeCaller *c)
{
    int64_t until = c->worker == NULL ? c->d->paused_until : 0;

    return until - hasafe_now(c->d->s);
}

void hasafe_call(HaSafeCaller *c)
{
    if (!hasafe_alive(c)) {
        return;
    }
    count_call(c);
    hasafe_sleep(c->d->s, hasafe_random(c->d->s, 20, 400));
    while (hasafe_alive(c) && held_up(c) > 0) {
        hasafe_sleep(c->d->s, held_up(c));
    }
}

bool hasafe_cfs_ready(HaSafeCaller *c)
{
    const HaSafeNode *n = c->d->node;
    int64_t limit = hasafe_now(n->s) + CFS_LIMIT;

    hasafe_call(c);
    while (hasafe_alive(c) && hasafe_now(n->s) < n->cfs_until && hasafe_now(n->s) < limit) {
        hasafe_sleep(n->s, MIN(n->cfs_until, limit) - hasafe_now(n->s));
    }
    return hasafe_alive(c) && hasafe_now(n->s) >= n->cfs_until;
}

/* A message goes round; while membership is not settled it waits for the outcome. */
bool hasafe_cfs_write(HaSafeCaller *c)
{
    HaSafeNode *n = c->d->node;
    int64_t limit = hasafe_now(n->s) + CFS_LIMIT;

    if (!hasafe_cfs_ready(c) || (n->stable && !n->quorate)) {
        return false;
    }
    hasafe_sleep(n->s, hasafe_random(n->s, 500, hasafe_chance(n->s, 1, 50) ? SEC : 20000));
    while (hasafe_alive(c) && !n->stable && hasafe_now(n->s) < limit) {
        hasafe_sleep(n->s, SEC / 10);
    }
    return hasafe_alive(c) && n->stable && n->quorate;
}

/* The answer of a write comes back to the caller: time passes, the change has happened. */
static int answered(HaSafeCaller *c)
{
    hasafe_call(c);
    return hasafe_alive(c) ? 0 : -EIO;
}

static MonoTime env_mono(void *ctx)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        c->beyond += 10 * SEC;
    }
    return (MonoTime){hasafe_mono(c->d->node) + c->beyond};
}

static void env_sleep(void *ctx, int64_t ms)
{
    HaSafeCaller *c = ctx;

    if (hasafe_alive(c)) {
        hasafe_sleep(c->d->s, ms * US_PER_MS);
        hasafe_call(c);
    }
}

static void env_log(void *ctx, TraceLevel level, const char *text)
{
    const HaSafeCaller *c = ctx;

    if (hasafe_alive(c) && level != TRACE_DEBUG) {
        hasafe_say(c->d->s, c->d->node->name, "%s: %s", c->d->is_lrm ? "lrm" : "crm", text);
    }
}

static void env_notify(void *ctx, const HaNotice *what)
{
    HaSafeCaller *c = ctx;

    if (hasafe_alive(c) && strcmp(what->prefix, "FENCE") == 0) {
        c->d->s->result.fences++;
    }
    if (hasafe_alive(c) && strcmp(what->prefix, "QUARANTINE") == 0) {
        c->d->s->result.quarantines++;
    }
}

static bool env_quorate(void *ctx)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    return hasafe_alive(c) && c->d->node->quorate;
}

static int env_refresh(void *ctx)
{
    return hasafe_cfs_ready(ctx) ? 0 : -EIO;
}

static int env_members(void *ctx, StrMap *ret_online, Err *err)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;

    if (!hasafe_cfs_ready(c)) {
        return err_setf(err, -EIO, "the cluster filesystem does not answer");
    }
    for (unsigned i = 0; i < s->n_nodes; i++) {
        bool online = (c->d->node->members >> i & 1u) != 0;

        strmap_set(ret_online, s->nodes[i].name, GINT_TO_POINTER(online));
    }
    return 0;
}

static char **slot(HaSafeTree *t, HaSafe *s, HaFile file, const char *node)
{
    return file == HA_FILE_LRM_STATUS ? &t->lrm_status[hasafe_node_by_name(s, node)->index]
                                      : &t->files[file];
}

static int env_read(void *ctx, HaFile file, const char *node, char **ret_text, Err *err)
{
    HaSafeCaller *c = ctx;
    const char *text;

    if (!hasafe_cfs_ready(c)) {
        return err_setf(err, -EIO, "the cluster filesystem does not answer");
    }
    text = *slot((HaSafeTree *)hasafe_view(c->d->node), c->d->s, file, node);
    *ret_text = g_strdup(text != NULL ? text : "");
    return 0;
}

static int apply_file(HaSafeNode *n, const HaSafeChange *change)
{
    (void)n;
    g_clear_pointer(change->where, g_ref_string_release);
    *change->where = g_ref_string_acquire(change->text);
    return 0;
}

/* How often the master's last word rests on a reboot. */
static void count_reboots(HaSafe *s, const char *before, const char *after)
{
    static const char *const proof = "node-rebooted";
    int more = 0;

    for (const char *p = after; (p = strstr(p, proof)) != NULL; p++) {
        more++;
    }
    for (const char *p = before; p != NULL && (p = strstr(p, proof)) != NULL; p++) {
        more--;
    }
    s->result.rebooted += (unsigned)MAX(more, 0);
}

/* As ha_node.c has it. */
static bool still_master(HaSafeCaller *c)
{
    return ha_leases_in_time(c->leases, HA_MANAGER_LOCK);
}

static int env_write(void *ctx, HaFile file, const char *node, const char *text, Err *err)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;
    char *copy;
    int r;

    if (file == HA_FILE_MANAGER_STATUS && !still_master(c)) {
        return err_setf(err, -ESTALE, "the lease is over");
    }
    copy = g_ref_string_new(text);
    if (file == HA_FILE_MANAGER_STATUS) {
        count_reboots(s, s->tree.files[file], text);
    }
    r = hasafe_change(
        c, &(HaSafeChange){apply_file, .where = slot(&s->tree, s, file, node), .text = copy});
    g_ref_string_release(copy);
    if (r < 0) {
        return err_setf(err, r, "not written");
    }
    if (file == HA_FILE_MANAGER_STATUS) {
        ha_leases_settle(c->leases, HA_MANAGER_LOCK); /* what they were taken for is written */
    }
    return 0;
}

/* The domain lock is not modelled: reading and writing are one step. */
static int env_update(void *ctx, HaFile file, HaEdit edit, void *data, Err *err)
{
    HaSafeCaller *c = ctx;
    g_autofree char *text = NULL;
    char **where = &c->d->s->tree.files[file];
    int r;

    if (!still_master(c)) {
        return err_setf(err, -ESTALE, "the lease is over");
    }
    if (!hasafe_cfs_write(c)) {
        return err_setf(err, -EACCES, "no quorum");
    }
    r = edit(*where != NULL ? *where : "", &text, data, err);
    if (r == 0) {
        g_clear_pointer(where, g_ref_string_release);
        *where = g_ref_string_new(text);
        r = answered(c);
    }
    return r < 0 ? r : 0;
}

/* ---- locks: as ha_node.c has them ---- */

static int env_lock(void *ctx, const char *name)
{
    HaSafeCaller *c = ctx;
    int64_t life_ms = c->d->s->timing.lease_ms;
    bool other = !c->d->is_lrm && strcmp(name, HA_MANAGER_LOCK) != 0;
    int r = other ? ha_leases_lock_other(c->leases, name, life_ms)
                  : ha_leases_lock(c->leases, name, life_ms);

    if (r == 0 && c->d->is_lrm) {
        ha_leases_settle(c->leases, name); /* nothing has to be written for our own */
    }
    return r;
}

static int env_unlock(void *ctx, const char *name)
{
    HaSafeCaller *c = ctx;

    return ha_leases_unlock(c->leases, name);
}

/* ---- watchdog ---- */

static HaSafeClient *client(const HaSafeCaller *c)
{
    return &c->d->node->clients[c->d->is_lrm ? 1 : 0];
}

static int env_watchdog_open(void *ctx)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    hasafe_watchdog_open(c->d->node, client(c));
    return answered(c);
}

static int env_watchdog_feed(void *ctx, MonoTime since)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    if (!hasafe_alive(c) || !client(c)->open) {
        return -EIO;
    }
    client(c)->fed = since.us;
    return answered(c);
}

static int env_watchdog_close(void *ctx)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    hasafe_watchdog_close(c->d->node, client(c), true);
    return 0;
}

/* ---- guests ---- */

static int env_guests(void *ctx, StrMap *ret_guests, Err *err)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;

    if (!hasafe_cfs_ready(c)) {
        return err_setf(err, -EIO, "the cluster filesystem does not answer");
    }
    for (unsigned i = 0; i < s->n_services; i++) {
        g_autofree char *sid = hasafe_sid(i);
        HaGuest *guest = g_new0(HaGuest, 1);

        guest->node = g_strdup(s->nodes[hasafe_view(c->d->node)->where[i]].name);
        guest->started = s->wanted[i];
        strmap_set(ret_guests, sid, guest);
    }
    return 0;
}

static char *env_guest_node(void *ctx, const char *sid)
{
    HaSafeCaller *c = ctx;
    int i = hasafe_service(sid);

    if (i < 0 || !hasafe_cfs_ready(c)) {
        return NULL;
    }
    return g_strdup(c->d->s->nodes[hasafe_view(c->d->node)->where[i]].name);
}

static int apply_move(HaSafeNode *n, const HaSafeChange *change)
{
    unsigned *where = &n->s->tree.where[change->service];

    if (*where != change->from) {
        return *where == change->to ? 0 : -ENOENT;
    }
    *where = change->to;
    return 0;
}

static int env_guest_move(void *ctx, const char *sid, const char *from, const char *to, Err *err)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;
    int r;

    if (!still_master(c)) {
        return err_setf(err, -ESTALE, "the lease is over");
    }
    r = hasafe_change(c, &(HaSafeChange){apply_move, .service = (unsigned)hasafe_service(sid),
                                         .from = hasafe_node_by_name(s, from)->index,
                                         .to = hasafe_node_by_name(s, to)->index});
    return r < 0 ? err_setf(err, r, "%s is not on %s, or no quorum", sid, from) : 0;
}

static char *env_guest_lock(void *ctx, const char *sid)
{
    (void)ctx;
    (void)sid;
    return NULL;
}

static int env_guest_unlock(void *ctx, const char *sid, const char *lock, Err *err)
{
    (void)ctx;
    (void)lock;
    return err_setf(err, -ENOENT, "%s is not locked", sid);
}

static int env_loads(void *ctx, HaScheduler mode, HaLoads *loads, Err *err)
{
    (void)ctx;
    (void)mode;
    (void)loads;
    return err_setf(err, -ENODATA, "no loads");
}

static char *env_node_version(void *ctx, const char *node)
{
    (void)ctx;
    (void)node;
    return NULL;
}

static bool env_has_type(void *ctx, const char *type)
{
    (void)ctx;
    return strcmp(type, "vm") == 0;
}

const HaEnvOps hasafe_ops = {
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
    .fence = hasafe_fence,
    .can_fence = hasafe_can_fence,
    .fence_over = hasafe_fence_over,
    .lock_dead = hasafe_lock_dead,
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
    .agent_has_type = env_has_type,
    .agent_running = hasafe_agent_running,
    .agent_start = hasafe_agent_start,
    .agent_stop = hasafe_agent_stop,
    .agent_migrate = hasafe_agent_migrate,
    .worker_start = hasafe_worker_start,
    .worker_reap = hasafe_worker_reap,
};
