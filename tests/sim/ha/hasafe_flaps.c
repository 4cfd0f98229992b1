/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drill of quarantine: one node is lost a few times, near together or not, some of the times
 * only after it has said good-bye. Then another node is made to lose all services, and where they
 * go shows whether the first is in quarantine: empty as it is, it would get some of them. The
 * policy is the one of ha-manager(8), counted here once more; nothing is asked of what the stack
 * counts.
 */
#include "ha-manager/core/ha_manager_status.h"
#include "tests/sim/ha/hasafe.h"

#include <string.h>

#define SEC      US_PER_SEC
#define MINUTE   (60 * SEC)
#define LOSSES   3               /* this often ... */
#define WINDOW   (30 * MINUTE)   /* ... within this time */
#define HOLD     (30 * MINUTE)   /* since the last of them */
#define NEAR     (10 * SEC)      /* a date so near to an end of these may count or not */
#define LIMIT    (30 * MINUTE)   /* for anything that is waited for */
#define FAR_AWAY (1000 * MINUTE) /* it is switched on when the drill says so */

typedef struct Drill {
    HaSafe *s;
    HaSafeNode *flaps;
    HaSafeNode *victim;   /* of a probe */
    int64_t lost[LOSSES]; /* when the master noted it */
    int64_t ends;         /* of the quarantine; 0: there is none */
    bool unclear;         /* it hangs on seconds whether there is one */
} Drill;

/* ---- waiting ---- */

typedef bool (*Question)(const Drill *d, const HaSafeNode *n);

static void wait_until(Drill *d, Question is_so, const HaSafeNode *n, const char *what)
{
    HaSafe *s = d->s;
    int64_t limit = hasafe_now(s) + LIMIT;

    while (!s->failed && !is_so(d, n)) {
        hasafe_run_until(s, hasafe_now(s) + SEC);
        if (hasafe_now(s) > limit) {
            hasafe_fail(s, "drill: %s: not yet %s", n->name, what);
        }
    }
}

static void let_pass(Drill *d, int64_t lo, int64_t hi)
{
    hasafe_run_until(d->s, hasafe_now(d->s) + hasafe_random(d->s, lo, hi));
}

static bool is_online(const Drill *d, const HaSafeNode *n)
{
    const char *text = d->s->tree.files[HA_FILE_MANAGER_STATUS];
    g_autoptr(HaManagerStatus) ms = NULL;

    return ha_manager_status_parse(text != NULL ? text : "", NULL, NULL, &ms, NULL) == 0 &&
           ha_manager_status_node(ms, n->name) == HA_NODE_ONLINE;
}

static bool is_missed(const Drill *d, const HaSafeNode *n)
{
    return !is_online(d, n);
}

static bool is_off(const Drill *d, const HaSafeNode *n)
{
    (void)d;
    return !n->up;
}

static bool has_all(const Drill *d, const HaSafeNode *n)
{
    bool all = true;

    for (unsigned i = 0; i < d->s->n_services; i++) {
        all = all && d->s->tree.where[i] == n->index && n->runs[i];
    }
    return all;
}

static bool has_none(const Drill *d, const HaSafeNode *n)
{
    const HaSafe *s = d->s;
    bool none = true;

    for (unsigned i = 0; i < s->n_services; i++) {
        none = none && s->tree.where[i] != n->index && s->nodes[s->tree.where[i]].runs[i];
    }
    return none;
}

/* ---- coming and going ---- */

static void come_back(Drill *d, HaSafeNode *n)
{
    n->part = 1;
    n->next_power = hasafe_now(d->s);
    hasafe_network_changed(d->s);
    wait_until(d, is_online, n, "online again");
    hasafe_settle(d->s);
}

static void lose(Drill *d, HaSafeNode *n, bool by_power)
{
    n->next_power = hasafe_now(d->s) + FAR_AWAY;
    if (by_power) {
        hasafe_power_off(n);
    } else {
        n->part = 2;
        hasafe_network_changed(d->s);
    }
    wait_until(d, is_missed, n, "missed");
}

/* It says so before it goes, and is not missed. */
static void reboot(Drill *d, HaSafeNode *n)
{
    n->next_power = hasafe_now(d->s) + FAR_AWAY;
    n->going_down = true;
    hasafe_daemon_ask(&n->lrm, (HaShutdown){true, true});
    wait_until(d, is_off, n, "off");
    wait_until(d, is_missed, n, "missed");
    come_back(d, n);
}

static void flap(Drill *d)
{
    memmove(d->lost, d->lost + 1, (LOSSES - 1) * sizeof d->lost[0]);
    lose(d, d->flaps, hasafe_chance(d->s, 2, 3));
    d->lost[LOSSES - 1] = hasafe_now(d->s);
    let_pass(d, 0, MINUTE);
    come_back(d, d->flaps);
}

/* ---- what it is all about ---- */

static void expect(Drill *d)
{
    int64_t span = d->lost[LOSSES - 1] - d->lost[0];
    bool all = d->lost[0] > 0;

    d->unclear = all && ABS(span - WINDOW) <= NEAR;
    d->ends = all && span <= WINDOW ? d->lost[LOSSES - 1] + HOLD : 0;
}

static void check_alerts(Drill *d)
{
    unsigned expected = d->ends > 0 ? 1 : 0;

    if (d->s->result.quarantines != expected && !d->unclear) {
        hasafe_fail(d->s, "drill: %u alerts of quarantine, not %u", d->s->result.quarantines,
                    expected);
    }
}

static unsigned count_on(const HaSafe *s, const HaSafeNode *n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->n_services; i++) {
        count += s->tree.where[i] == n->index ? 1 : 0;
    }
    return count;
}

/* A move may fail, for its target begins to work only when something is to come. */
static void gather(Drill *d, const HaSafeNode *n)
{
    HaSafe *s = d->s;
    int64_t limit = hasafe_now(s) + LIMIT;

    while (!s->failed && !has_all(d, n) && hasafe_now(s) < limit) {
        for (unsigned i = 0; i < s->n_services; i++) {
            g_autofree char *sid = hasafe_sid(i);
            g_autofree char *text = g_strdup_printf("migrate %s %s", sid, n->name);

            hasafe_add_command(s, text);
        }
        let_pass(d, 2 * MINUTE, 2 * MINUTE);
    }
    wait_until(d, has_all, n, "the home of all services");
}

static void probe(Drill *d)
{
    HaSafe *s = d->s;
    int64_t begin;
    int64_t end;
    unsigned count;

    gather(d, d->victim);
    begin = hasafe_now(s);
    lose(d, d->victim, true);
    wait_until(d, has_none, d->victim, "relieved of its services");
    end = hasafe_now(s);
    count = count_on(s, d->flaps);
    if (!s->failed && !d->unclear && d->ends > end + NEAR && count > 0) {
        hasafe_fail(s, "drill: %s is in quarantine, but was given %u services", d->flaps->name,
                    count);
    }
    if (!s->failed && !d->unclear && d->ends < begin - NEAR && count == 0) {
        hasafe_fail(s, "drill: %s is in no quarantine, but was given nothing", d->flaps->name);
    }
    come_back(d, d->victim);
}

static void flap_a_few_times(Drill *d)
{
    HaSafe *s = d->s;
    unsigned times = (unsigned)hasafe_random(s, LOSSES - 1, LOSSES + 1);
    bool apart = hasafe_chance(s, 1, 4);
    unsigned good_bye = (unsigned)hasafe_random(s, 0, 3); /* before this one, if it comes to that */

    for (unsigned i = 0; i < times && !s->failed && d->ends == 0; i++) {
        if (i == good_bye) {
            reboot(d, d->flaps);
        }
        if (apart && i + 1 == LOSSES) {
            hasafe_run_until(s, d->lost[1] + WINDOW + MINUTE);
        }
        flap(d);
        expect(d);
        let_pass(d, 0, MINUTE);
    }
    check_alerts(d);
}

/* Somebody has looked after the node. */
static void pardon(Drill *d)
{
    g_autofree char *text = g_strdup_printf("disable-node-maintenance %s", d->flaps->name);

    hasafe_add_command(d->s, text);
    let_pass(d, MINUTE, MINUTE);
    d->ends = 1;
}

void hasafe_drill(HaSafe *s)
{
    Drill d = {.s = s};
    unsigned first = (unsigned)hasafe_random(s, 0, (int64_t)s->n_nodes - 1);
    unsigned other = (unsigned)hasafe_random(s, 1, (int64_t)s->n_nodes - 1);

    d.flaps = &s->nodes[first];
    d.victim = &s->nodes[(first + other) % s->n_nodes];
    hasafe_settle(s);
    flap_a_few_times(&d);
    probe(&d);
    if (d.ends > 0) {
        if (hasafe_chance(s, 1, 3)) {
            pardon(&d);
        } else {
            hasafe_run_until(s, d.ends + NEAR + SEC);
        }
        probe(&d);
        check_alerts(&d);
    }
}
