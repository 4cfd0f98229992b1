/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_ha: how long one round of the master takes in a large cluster.
 *
 *   bench_ha [SERVICES [NODES]]      10000 and 32 when not told
 *
 * The CRM runs on the simulator's cluster in memory; what the simulated environment costs is in the
 * numbers. The LRMs are played: whatever the master asks for has succeeded by its next round. Each
 * row is a cluster of its own: services are started, some rounds pass, the last node is lost, its
 * services are recovered. Times are of the processor; waiting for one is not in them.
 */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/sim/hasim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET_ROUNDS 10
#define ROUND_S      10
#define ROUNDS_MAX   40
#define RULE_SIZE    10

/* Rebalancing looks for the best motion in every round, and finds that it is not worth it. */
typedef struct Case {
    const char *name;
    const char *datacenter;
    bool rules;
} Case;

static const Case cases[] = {
    {"basic", "crs: ha=basic\n", false},
    {"static", "crs: ha=static\n", false},
    {"static, rebalance on start", "crs: ha=static,ha-rebalance-on-start=1\n", false},
    {"dynamic", "crs: ha=dynamic\n", false},
    {"dynamic, automatic rebalancing",
     "crs: ha=dynamic,ha-auto-rebalance=1,ha-auto-rebalance-threshold=0,"
     "ha-auto-rebalance-margin=1,"
     "ha-auto-rebalance-hold-duration=1\n",
     false},
    {"the same by topsis",
     "crs: ha=dynamic,ha-auto-rebalance=1,ha-auto-rebalance-threshold=0,"
     "ha-auto-rebalance-margin=1,"
     "ha-auto-rebalance-method=topsis,ha-auto-rebalance-hold-duration=1\n",
     false},
    {"dynamic, half of the services in rules", "crs: ha=dynamic\n", true},
};

typedef struct Times {
    double first; /* takes up all services */
    double quiet; /* the longest while nothing happens */
    double lost;  /* the longest from the loss of a node until all runs again */
    gsize size;   /* of manager_status, the largest */
} Times;

static void be_quiet(void *ctx, const char *level, int64_t at, const char *source, const char *text)
{
    (void)ctx;
    (void)level;
    (void)at;
    (void)source;
    (void)text;
}

static double cpu_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* every Linux has it */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* In turns: rules that bind services to nodes, and rules that keep some apart. */
static char *rules_text(guint services)
{
    GString *out = g_string_new(NULL);

    for (guint rule = 0; (rule + 1) * RULE_SIZE <= services / 2; rule++) {
        g_string_append_printf(out,
                               rule % 2 == 0 ? "node-affinity: r%u\n\tnodes node01:2,node02:1\n"
                                             : "resource-affinity: r%u\n\taffinity negative\n",
                               rule);
        for (guint i = 0; i < RULE_SIZE; i++) {
            g_string_append_printf(out, "%svm:%u", i == 0 ? "\tresources " : ",",
                                   100 + rule * RULE_SIZE + i);
        }
        g_string_append(out, "\n\n");
    }
    return g_string_free(out, FALSE);
}

static HaSimWorld *make_world(const Case *c, guint services, guint nodes)
{
    HaSimWorld *w = hasim_world_new(be_quiet, NULL);
    g_autoptr(GString) resources = g_string_new(NULL);

    w->conduct = ha_conduct_improved;
    w->default_static = true;
    w->default_dynamic = true;
    for (guint i = 0; i < nodes; i++) {
        g_autofree char *name = g_strdup_printf("node%02u", i + 1);
        HaSimNode *n = hasim_world_add_node(w, name);

        n->maxcpu = 64;
        n->maxmem = 2e12;
        n->power = true;
        n->network = true;
    }
    for (guint i = 0; i < services; i++) {
        g_autofree char *sid = g_strdup_printf("vm:%u", 100 + i);
        HaSimGuest *g = hasim_world_add_guest(w, sid, strmap_key(w->nodes, i % nodes));

        hasim_world_default_load(w, g);
        g->load.cpu = 0.1 * (i % 7); /* the nodes are never quite equal */
        g_string_append_printf(resources, "vm: %u\n\tstate started\n\n", 100 + i);
    }
    hasim_world_set_file(w, HA_FILE_RESOURCES, resources->str);
    hasim_world_set_file(w, HA_FILE_DATACENTER, c->datacenter);
    if (c->rules) {
        g_autofree char *text = rules_text(services);

        hasim_world_set_file(w, HA_FILE_RULES, text);
    }
    hasim_start_crm(strmap_value(w->nodes, 0), w);
    return w;
}

/* Everybody's results, as if every LRM had carried out what it was asked for. */
static void play_lrm(const HaManagerStatus *ms, HaSimNode *n, int64_t at)
{
    g_autoptr(HaLrmStatus) ls = ha_lrm_status_new();

    ls->has_state = true;
    ls->state = HA_LRM_ACTIVE;
    ls->mode = HA_MODE_ACTIVE;
    ls->timestamp = at;
    ls->boot_id = g_strdup(n->name);
    strmap_clear(n->running);
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        if (strcmp(s->node, n->name) == 0) {
            strmap_set(n->running, strmap_key(ms->services, i), GINT_TO_POINTER(1));
            strmap_set(ls->results, s->uid,
                       ha_result_new(strmap_key(ms->services, i), ha_service_state_name(s->state),
                                     HA_EXIT_SUCCESS));
        }
    }
    g_free(n->lrm_status);
    n->lrm_status = ha_lrm_status_format(ls);
}

/* One round of the master and of every LRM; what the master's took, in milliseconds. */
static double run_round(HaSimWorld *w, Times *t)
{
    HaSimDaemon *d = &((HaSimNode *)strmap_value(w->nodes, 0))->crm;
    const HaManagerStatus *ms;
    double start = cpu_ms();
    double took;

    d->clock = w->time;
    (void)ha_crm_round(d->crm, (HaNow){{w->time * US_PER_SEC}, {w->time}});
    took = cpu_ms() - start;
    ms = ha_crm_manager_status(d->crm);
    for (guint i = 0; ms != NULL && i < strmap_size(w->nodes); i++) {
        HaSimNode *n = strmap_value(w->nodes, i);

        if (n->power) {
            play_lrm(ms, n, w->time);
        }
    }
    w->time += ROUND_S;
    t->size = MAX(t->size, strlen(hasim_world_file(w, HA_FILE_MANAGER_STATUS)));
    return took;
}

/* Services that run, on nodes that are there. */
static guint count_running(const HaSimWorld *w)
{
    const HaSimNode *master = strmap_value(w->nodes, 0);
    const HaManagerStatus *ms = ha_crm_manager_status(master->crm.crm);
    guint n = 0;

    for (guint i = 0; ms != NULL && i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        n += s->state == HA_SERVICE_STARTED && s->running && hasim_world_node(w, s->node)->power;
    }
    return n;
}

/* A measurement of a cluster that did not do its work would be worth nothing. */
static double run_until_all_run(HaSimWorld *w, guint services, const char *when, Times *t)
{
    double longest = 0;

    for (int i = 0; i < ROUNDS_MAX; i++) {
        longest = MAX(longest, run_round(w, t));
        if (count_running(w) == services) {
            return longest;
        }
    }
    g_printerr("bench_ha: only %u of %u services run %s\n", count_running(w), services, when);
    exit(1);
}

static void measure(const Case *c, guint services, guint nodes)
{
    g_autoptr(HaSimWorld) w = make_world(c, services, nodes);
    HaSimNode *lost;
    Times t = {0};

    t.first = run_until_all_run(w, services, "after the start", &t);
    for (int i = 0; i < QUIET_ROUNDS; i++) {
        t.quiet = MAX(t.quiet, run_round(w, &t));
    }
    lost = strmap_value(w->nodes, nodes - 1);
    lost->power = false;
    lost->network = false;
    t.lost = run_until_all_run(w, services, "after the loss of a node", &t);
    printf("| %s | %.0f | %.0f | %.0f | %.0f |\n", c->name, t.first, t.quiet, t.lost,
           (double)t.size / 1024);
    if (t.size > HA_TEXT_MAX) {
        printf("too large: a file may have %d KiB\n", HA_TEXT_MAX / 1024);
    }
    (void)fflush(stdout); /* its failure shows at exit */
}

int main(int argc, char **argv)
{
    guint64 services = 10000;
    guint64 nodes = 32;

    if ((argc > 1 &&
         !g_ascii_string_to_unsigned(argv[1], 10, 1, HA_SERVICES_MAX, &services, NULL)) ||
        (argc > 2 && !g_ascii_string_to_unsigned(argv[2], 10, 3, 99, &nodes, NULL))) {
        g_printerr("usage: bench_ha [SERVICES [NODES]]\n");
        return 2;
    }
    puts("| scheduler | start, ms | quiet, ms | node lost, ms | status, KiB |\n"
         "|---|---|---|---|---|");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        measure(&cases[i], (guint)services, (guint)nodes);
    }
    return 0;
}
