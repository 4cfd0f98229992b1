/* SPDX-License-Identifier: Apache-2.0 */
/* The run: a cluster is made, faults come, faults end, everything has to settle. */
#include "tests/sim/ha/hasafe.h"

#include <stdio.h>
#include <string.h>

#define SEC US_PER_SEC

STRTAB_DEFINE(hasafe_defect, HaSafeDefect, HASAFE_DEFECT_LIST, HASAFE_DEFECT_N)

int64_t hasafe_random(HaSafe *s, int64_t lo, int64_t hi)
{
    return prng_range(&s->rng, lo, hi);
}

bool hasafe_chance(HaSafe *s, uint32_t num, uint32_t den)
{
    return prng_chance(&s->rng, num, den);
}

void hasafe_say(const HaSafe *s, const char *who, const char *fmt, ...)
{
    va_list ap;

    if (!s->opt.verbose) {
        return;
    }
    printf("%9.3f %-6s ", (double)hasafe_now(s) / (double)SEC, who);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void hasafe_fail(HaSafe *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed) {
        return;
    }
    s->failed = true;
    fprintf(stderr, "FAILED: profile %s, defect %s, seed %" G_GUINT64_FORMAT ", at %.3f s: ",
            s->opt.timing->name, hasafe_defect_name(s->opt.defect), s->opt.seed,
            (double)hasafe_now(s) / (double)SEC);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
}

char *hasafe_sid(unsigned service)
{
    return g_strdup_printf("vm:%u", 100 + service);
}

int hasafe_service(const char *sid)
{
    return strncmp(sid, "vm:1", 4) == 0 ? (sid[4] - '0') * 10 + (sid[5] - '0') : -1;
}

HaSafeNode *hasafe_node_by_name(HaSafe *s, const char *name)
{
    return &s->nodes[name[strlen(name) - 1] - '1'];
}

static void ref_copy(char **to, const char *from)
{
    *to = from != NULL ? g_ref_string_acquire((char *)from) : NULL;
}

void hasafe_tree_copy(HaSafeTree *to, const HaSafeTree *from)
{
    hasafe_tree_done(to);
    *to = *from;
    for (unsigned i = 0; i < HA_FILE_N; i++) {
        ref_copy(&to->files[i], from->files[i]);
    }
    for (unsigned i = 0; i < HASAFE_NODES_MAX; i++) {
        ref_copy(&to->lrm_status[i], from->lrm_status[i]);
    }
}

void hasafe_tree_done(HaSafeTree *t)
{
    for (unsigned i = 0; i < HA_FILE_N; i++) {
        g_clear_pointer(&t->files[i], g_ref_string_release);
    }
    for (unsigned i = 0; i < HASAFE_NODES_MAX; i++) {
        g_clear_pointer(&t->lrm_status[i], g_ref_string_release);
    }
}

static void node_init(HaSafe *s, unsigned i)
{
    HaSafeNode *n = &s->nodes[i];

    *n = (HaSafeNode){.s = s, .index = i, .part = 1, .workers = g_ptr_array_new()};
    n->name = g_strdup_printf("node%u", i + 1);
    s->lock_names[i] = ha_agent_lock_name(n->name);
    n->drift_ppm = hasafe_random(s, -s->timing.drift_ppm, s->timing.drift_ppm);
    n->crm = (HaSafeDaemon){.s = s, .node = n};
    n->lrm = (HaSafeDaemon){.s = s, .node = n, .is_lrm = true};
}

static void node_done(HaSafeNode *n)
{
    hasafe_tree_done(&n->view);
    g_ptr_array_unref(n->workers);
    g_free(n->s->lock_names[n->index]);
    g_free(n->name);
}

/* Devices for all nodes, or for most. Where only they count, watchdogs may be of no use. */
static void choose_fencing(HaSafe *s)
{
    static const char *const modes[] = {"watchdog", "both", "hardware"};
    static const char *const policies[] = {"conditional", "failover", "freeze", "migrate"};
    unsigned mode = (unsigned)hasafe_random(s, 0, 2);
    bool all = hasafe_chance(s, 2, 3);
    g_autofree char *text =
        g_strdup_printf("fencing: %s\nha: shutdown_policy=%s\n", modes[mode],
                        policies[hasafe_random(s, 0, (int64_t)G_N_ELEMENTS(policies) - 1)]);

    s->tree.files[HA_FILE_DATACENTER] = g_ref_string_new(text);
    hasafe_say(s, "-", "%s", text);
    for (unsigned i = 0; i < s->n_nodes; i++) {
        bool has = all || hasafe_chance(s, 1, 2);

        s->nodes[i].device =
            has ? (HaSafeDevice)hasafe_random(s, HASAFE_RIGHT, HASAFE_HANGING) : HASAFE_NO_DEVICE;
    }
    s->dogs_fire =
        s->opt.defect != HASAFE_NO_WATCHDOG && !(mode == 2 && all && hasafe_chance(s, 3, 4));
}

/* Every wanted service runs, each on one node, the one that has its configuration. */
static bool settled(const HaSafe *s)
{
    for (unsigned i = 0; i < s->n_services; i++) {
        unsigned where = s->tree.where[i];

        if (s->wanted[i] != s->nodes[where].runs[i] || s->disabled[i]) {
            return false;
        }
    }
    return true;
}

/* The longest way: an armed watchdog, a boot, a frozen service of a node that stays away, a lease
 * that began anew because the lowest member changed, and the rounds between. */
static int64_t settle_limit(const HaSafe *s)
{
    const HaTiming *t = &s->timing;

    return (ha_conduct_improved.freeze_max_ms + 4 * t->lease_ms + t->fence_delay_ms +
            20 * t->crm_round_ms + 60000) *
           US_PER_MS;
}

void hasafe_settle(HaSafe *s)
{
    int64_t begin = hasafe_now(s);
    int64_t limit = begin + settle_limit(s);
    unsigned calm = 0;

    /* It has to stay so for a while: rounds that are under way may still change it. */
    while (!s->failed && calm < 30) {
        hasafe_run_until(s, hasafe_now(s) + SEC);
        hasafe_mend_errors(s);
        calm = settled(s) ? calm + 1 : 0;
        if (calm == 0 && hasafe_now(s) > limit) {
            for (unsigned i = 0; i < s->n_services; i++) {
                if (s->wanted[i] != s->nodes[s->tree.where[i]].runs[i]) {
                    hasafe_fail(s, "vm:%u (on %s) is %s, %s after the last fault", 100 + i,
                                s->nodes[s->tree.where[i]].name,
                                s->wanted[i] ? "still down" : "still up", "too long");
                }
            }
        }
    }
    s->result.settle_us = hasafe_now(s) - 30 * SEC - begin;
}

static void begin(HaSafe *s)
{
    s->clock = hasafe_clock_new(s);
    for (unsigned i = 0; i < s->n_nodes; i++) {
        node_init(s, i);
    }
    for (unsigned i = 0; i < s->n_services; i++) {
        s->tree.where[i] = (unsigned)hasafe_random(s, 0, (int64_t)s->n_nodes - 1);
    }
    if (s->opt.drill) {
        s->dogs_fire = true;
    } else {
        choose_fencing(s);
    }
    hasafe_faults_start(s);
    for (unsigned i = 0; i < s->n_nodes; i++) {
        hasafe_power_on(&s->nodes[i]);
    }
}

static void end(HaSafe *s)
{
    for (unsigned i = 0; i < s->n_nodes; i++) {
        hasafe_daemon_kill(&s->nodes[i].crm);
        hasafe_daemon_kill(&s->nodes[i].lrm);
        s->nodes[i].up = false;
    }
    hasafe_clock_free(s->clock);
    for (unsigned i = 0; i < s->n_nodes; i++) {
        node_done(&s->nodes[i]);
    }
    hasafe_tree_done(&s->tree);
}

static void live_through_faults(HaSafe *s)
{
    hasafe_run_until(s, s->timing.lease_ms * US_PER_MS * hasafe_random(s, 3, 12));
    if (!s->failed) {
        hasafe_faults_end(s);
        hasafe_settle(s);
    }
}

bool hasafe_run(const HaSafeOptions *opt, HaSafeResult *ret)
{
    HaSafe *s = g_new0(HaSafe, 1);
    bool good;

    s->opt = *opt;
    s->timing = *opt->timing;
    if (opt->defect == HASAFE_SLOW_RESET) {
        s->timing.client_ms = 2 * s->timing.lease_ms;
    }
    prng_init(&s->rng, opt->seed);
    s->n_nodes = (unsigned)hasafe_random(s, 3, HASAFE_NODES_MAX);
    /* In the drill there are enough of them for the emptiest node to get one, however they fall. */
    s->n_services = (unsigned)hasafe_random(s, opt->drill ? s->n_nodes : 1, HASAFE_SERVICES_MAX);
    s->calm = opt->drill;
    begin(s);
    if (opt->drill) {
        hasafe_drill(s);
    } else {
        live_through_faults(s);
    }
    good = !s->failed;
    end(s);
    *ret = s->result;
    g_free(s);
    return good;
}
