/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fence devices and the agents that work them (ha_fencing.h): some switch off at once and say so,
 * some much later, some fail or hang and may have switched the node off all the same, then or some
 * time after. A node that was switched off may be up again before its end is confirmed.
 */
#include "tests/sim/ha/hasafe.h"

#include <errno.h>
#include <string.h>

#define SEC     US_PER_SEC
#define TIMEOUT (60 * SEC) /* HA_FENCE_TIMEOUT_MS of an agent */
#define RETRY   (10 * SEC) /* RETRY_MS of ha_fencing.c */

/* What a CRM knows of its agents; they may outlive it. */
struct HaSafeFencer {
    struct {
        bool begun, busy, done, failed;
        int64_t failed_at; /* own clock */
    } of[HASAFE_NODES_MAX];
};

typedef struct Agent {
    HaSafeFencer *fencer;
    HaSafeNode *host;
    unsigned boot; /* of the host */
    HaSafeNode *target;
} Agent;

HaSafeFencer *hasafe_fencer_new(void)
{
    return g_rc_box_new0(HaSafeFencer);
}

void hasafe_fencer_free(HaSafeFencer *f)
{
    g_rc_box_release(f);
}

static void switch_off(HaSafeNode *n)
{
    HaSafe *s = n->s;

    hasafe_say(s, n->name, "switched off by its fence device");
    s->result.switched_off += n->up ? 1 : 0;
    hasafe_power_off(n);
    n->next_power = hasafe_now(s) + (hasafe_chance(s, 1, 2) ? hasafe_random(s, 0, 10 * SEC)
                                                            : hasafe_random(s, SEC, 300 * SEC));
}

static void switch_off_late(HaSafe *s, void *data)
{
    if (!s->calm) {
        switch_off(data);
    }
}

/* The agent still lives. */
static bool passes(const Agent *a, int64_t us)
{
    hasafe_sleep(a->host->s, us);
    return a->host->up && a->host->boot == a->boot && !a->host->s->failed;
}

/* True: the device says that the node is off. */
static bool work(const Agent *a, bool *ret_alive)
{
    HaSafe *s = a->host->s;
    HaSafeDevice device = s->calm ? HASAFE_RIGHT : a->target->device;
    int64_t before = hasafe_random(s, SEC / 5, device == HASAFE_LATE ? TIMEOUT / 2 : 5 * SEC);
    int64_t after = hasafe_random(s, 0, device == HASAFE_LATE ? TIMEOUT / 2 : 2 * SEC);

    *ret_alive = passes(a, device == HASAFE_HANGING ? TIMEOUT : before);
    if (!*ret_alive) {
        return false;
    }
    if (device == HASAFE_HANGING && hasafe_chance(s, 1, 2)) {
        hasafe_after(s, hasafe_random(s, 0, 2 * TIMEOUT), switch_off_late, a->target);
    }
    if (s->opt.defect != HASAFE_LYING_DEVICE &&
        (device == HASAFE_RIGHT || device == HASAFE_LATE ||
         (device == HASAFE_FAILING && hasafe_chance(s, 1, 3)))) {
        switch_off(a->target);
    }
    *ret_alive = passes(a, after);
    return device == HASAFE_RIGHT || device == HASAFE_LATE;
}

/* Between the agent's word and what follows from it much may happen, in some other place. */
static void stall(HaSafeNode *host)
{
    HaSafe *s = host->s;

    if (!s->calm && hasafe_chance(s, 1, 3)) {
        host->crm.calls_left = (unsigned)hasafe_random(s, 1, 40);
        host->crm.pause_us = hasafe_random(s, SEC, 3 * s->timing.lease_ms * US_PER_MS);
    }
}

static void agent_main(HaSafe *s, void *data)
{
    Agent *a = data;
    unsigned i = a->target->index;
    bool alive = false;
    bool off = work(a, &alive);

    if (alive) {
        hasafe_say(s, a->host->name, "fence agent for %s: %s", a->target->name,
                   off ? "it is off" : "failed");
        a->fencer->of[i].busy = false;
        a->fencer->of[i].done = off && a->fencer->of[i].begun; /* else nobody waits for it */
        a->fencer->of[i].failed = !off;
        a->fencer->of[i].failed_at = hasafe_mono(a->host);
        stall(a->host);
    }
    hasafe_fencer_free(a->fencer);
    g_free(a);
}

static HaSafeNode *target_of(HaSafeCaller *c, const char *node)
{
    return hasafe_node_by_name(c->d->s, node);
}

bool hasafe_can_fence(void *ctx, const char *node)
{
    return target_of(ctx, node)->device != HASAFE_NO_DEVICE;
}

/* env_fence of ha_node.c and ha_fencing_fence. */
int hasafe_fence(void *ctx, const char *node)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;
    HaSafeNode *target = target_of(c, node);
    HaSafeFencer *f = c->fencer;
    unsigned i = target->index;
    Agent *a;

    hasafe_call(c);
    if (hasafe_alive(c) && !f->of[i].begun) {
        ha_leases_mark(c->leases, s->lock_names[i]);
    }
    if (!hasafe_alive(c) || f->of[i].done || f->of[i].busy ||
        (f->of[i].failed && hasafe_mono(c->d->node) - f->of[i].failed_at < RETRY)) {
        return hasafe_alive(c) && f->of[i].done ? 1 : 0;
    }
    f->of[i].begun = f->of[i].busy = true;
    f->of[i].failed = false;
    s->result.agents++;
    a = g_new(Agent, 1);
    *a = (Agent){g_rc_box_acquire(f), c->d->node, c->boot, target};
    hasafe_spawn(s, agent_main, a);
    return 0;
}

void hasafe_fence_over(void *ctx, const char *node)
{
    HaSafeCaller *c = ctx;
    unsigned i = target_of(c, node)->index;

    c->fencer->of[i].begun = c->fencer->of[i].done = c->fencer->of[i].failed = false;
}

/* What is proven dead by a device runs nothing while the prover has its lock. (One who was held up
 * until that lock had expired has lost the manager's lease as well.) */
static void check_dead(HaSafeCaller *c, const HaSafeNode *dead)
{
    HaSafe *s = c->d->s;
    const HaSafeDir *lock = &s->tree.dirs[dead->index];

    for (unsigned k = 0; k < s->n_services && lock->there && lock->owner == c->d->node->index;
         k++) {
        if (dead->runs[k]) {
            hasafe_fail(s, "%s is confirmed to be dead, but runs vm:%u", dead->name, 100 + k);
        }
    }
}

/* Beside what the product checks. */
int hasafe_lock_dead(void *ctx, const char *name)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;
    int r;

    if (s->opt.defect == HASAFE_BLIND_CONFIRM) {
        ha_leases_mark(c->leases, name);
    }
    r = ha_leases_lock_dead(c->leases, name, s->timing.lease_ms);
    if (r != 0 || !hasafe_alive(c)) {
        return hasafe_alive(c) ? r : -EIO;
    }
    s->result.confirmed++;
    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (strcmp(s->lock_names[i], name) == 0) {
            check_dead(c, &s->nodes[i]);
        }
    }
    return 0;
}
