/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define START_US       (1000 * US_PER_SEC)
#define HEAL_LIMIT_SEC 240 /* longest wait of the product, twice over, and some */
#define CALM_LIMIT_SEC 5
#define TRACE_KEPT     4000u

typedef struct SimEvent {
    MonoTime at;
    uint64_t order; /* equal times keep the order in which they were asked for */
    SimFn fn;
    void *data;
    GDestroyNotify free_data;
} SimEvent;

struct Sim {
    SimOptions opt;
    Prng rng;
    MonoTime now;
    uint64_t order;
    GArray *heap; /* of SimEvent, least first */
    SimNode *nodes[SIM_HOSTS_MAX + 1];
    SimRing *ring;
    SimClients *clients;
    SimCheck *check;
    uint32_t steps_left, fault_den; /* one step in so many brings a fault */
    GQueue lines;                   /* the newest lines of the transcript */
    uint64_t digest;
};

/* ---- events ---------------------------------------------------------------------------------- */

static bool earlier(const SimEvent *a, const SimEvent *b)
{
    return a->at.us != b->at.us ? a->at.us < b->at.us : a->order < b->order;
}

static SimEvent *heap_at(Sim *sim, guint i)
{
    return &g_array_index(sim->heap, SimEvent, i);
}

static void heap_swap(Sim *sim, guint a, guint b)
{
    SimEvent t = *heap_at(sim, a);

    *heap_at(sim, a) = *heap_at(sim, b);
    *heap_at(sim, b) = t;
}

void sim_at(Sim *sim, MonoTime at, SimFn fn, void *data, GDestroyNotify free_data)
{
    SimEvent ev = {at, ++sim->order, fn, data, free_data};
    guint i = sim->heap->len;

    if (mono_before(at, sim->now)) {
        ev.at = sim->now;
    }
    g_array_append_val(sim->heap, ev);
    while (i > 0 && earlier(heap_at(sim, i), heap_at(sim, (i - 1) / 2))) {
        heap_swap(sim, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

void sim_after_us(Sim *sim, int64_t us, SimFn fn, void *data, GDestroyNotify free_data)
{
    sim_at(sim, (MonoTime){sim->now.us + us}, fn, data, free_data);
}

static SimEvent heap_pop(Sim *sim)
{
    SimEvent first = *heap_at(sim, 0);
    guint i = 0, n = sim->heap->len - 1;

    heap_swap(sim, 0, n);
    g_array_set_size(sim->heap, n);
    for (;;) {
        guint least = i;

        for (guint child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            if (earlier(heap_at(sim, child), heap_at(sim, least))) {
                least = child;
            }
        }
        if (least == i) {
            return first;
        }
        heap_swap(sim, i, least);
        i = least;
    }
}

static void run_one(Sim *sim)
{
    SimEvent ev = heap_pop(sim);

    sim->now = ev.at;
    ev.fn(sim, ev.data);
    if (ev.free_data != NULL) {
        ev.free_data(ev.data);
    }
}

/* ---- what the other parts ask for ------------------------------------------------------------ */

MonoTime sim_now(const Sim *sim)
{
    return sim->now;
}

Prng *sim_rng(Sim *sim)
{
    return &sim->rng;
}

int64_t sim_random(Sim *sim, int64_t lo, int64_t hi)
{
    return prng_range(&sim->rng, lo, hi);
}

bool sim_chance(Sim *sim, uint32_t num, uint32_t den)
{
    return prng_chance(&sim->rng, num, den);
}

const SimOptions *sim_options(const Sim *sim)
{
    return &sim->opt;
}

SimNode *sim_node(Sim *sim, uint32_t host)
{
    g_assert(host >= 1 && host <= sim->opt.hosts);
    return sim->nodes[host];
}

SimRing *sim_ring(Sim *sim)
{
    return sim->ring;
}

SimClients *sim_clients(Sim *sim)
{
    return sim->clients;
}

SimCheck *sim_check(Sim *sim)
{
    return sim->check;
}

static void add_to_digest(Sim *sim, const char *line)
{
    for (; *line != '\0'; line++) {
        sim->digest = (sim->digest ^ (uint8_t)*line) * UINT64_C(0x100000001b3);
    }
}

void sim_trace(Sim *sim, uint32_t host, const char *fmt, ...)
{
    char text[1200];
    char *line;
    va_list ap;

    va_start(ap, fmt);
    (void)g_vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    line = g_strdup_printf("%10.6f %u: %s", (double)(sim->now.us - START_US) / 1e6, host, text);
    add_to_digest(sim, line);
    if (sim->opt.verbose) {
        g_print("%s\n", line);
    }
    g_queue_push_tail(&sim->lines, line);
    if (sim->lines.length > TRACE_KEPT) {
        g_free(g_queue_pop_head(&sim->lines));
    }
}

void sim_fail(Sim *sim, const char *fmt, ...)
{
    char *line;
    va_list ap;

    while (!sim->opt.verbose && (line = g_queue_pop_head(&sim->lines)) != NULL) {
        g_printerr("%s\n", line);
        g_free(line);
    }
    g_printerr("sim: seed %" G_GUINT64_FORMAT " hosts %u%s%s: FAILED: ", sim->opt.seed,
               sim->opt.hosts, sim->opt.native ? " native" : "", sim->opt.mixed ? " mixed" : "");
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    g_printerr("\n");
    exit(1);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void activity(Sim *sim, void *data)
{
    (void)data;
    if (sim->steps_left == 0) {
        return;
    }
    sim->steps_left--;
    sim_clients_step(sim->clients);
    if (sim_chance(sim, 1, sim->fault_den)) {
        sim_fault_step(sim);
    }
    sim_after_us(sim, sim_random(sim, 100, sim_chance(sim, 1, 20) ? 2000000 : 60000), activity,
                 NULL, NULL);
}

static Entry *make_dir(uint64_t inode, uint64_t parent, const char *name)
{
    return entry_new(&(EntryInit){
        .parent = parent, .inode = inode, .version = inode, .type = ENTRY_DIR, .name = name});
}

/* What every node starts from: the directories that clients work in. */
static void initial_tree(Sim *sim)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    uint64_t inode = 6;

    g_ptr_array_add(entries, make_dir(2, 0, "priv"));
    g_ptr_array_add(entries, make_dir(3, 2, "lock"));
    g_ptr_array_add(entries, make_dir(4, 0, "unique"));
    g_ptr_array_add(entries, make_dir(5, 0, "counter"));
    g_ptr_array_add(entries, make_dir(6, 0, "nodes"));
    for (uint32_t i = 1; i <= 2; i++) {
        g_autofree char *name = g_strdup_printf("n%u", i);

        inode++;
        g_ptr_array_add(entries, make_dir(inode, 6, name));
        g_ptr_array_add(entries, make_dir(inode + 1, inode, "qemu-server"));
        inode++;
    }
    for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
        sim_disk_write_initial(sim_node_disk(sim->nodes[host]), entries, (MemdbRoot){inode, 0, 0});
    }
}

static void choose_options(Sim *sim, const SimOptions *opt)
{
    sim->opt = *opt;
    prng_init(&sim->rng, opt->seed);
    if (sim->opt.hosts == 0) {
        sim->opt.hosts = (uint32_t)sim_random(sim, 1, 5);
    }
    if (sim->opt.steps == 0) {
        sim->opt.steps = (uint32_t)sim_random(sim, 50, 800);
    }
    sim->steps_left = sim->opt.steps;
    sim->fault_den = (uint32_t)1 << sim_random(sim, 4, 9);
}

static Sim *sim_new(const SimOptions *opt)
{
    Sim *sim = g_new0(Sim, 1);

    choose_options(sim, opt);
    sim->now.us = START_US;
    sim->digest = UINT64_C(0xcbf29ce484222325);
    sim->heap = g_array_new(FALSE, FALSE, sizeof(SimEvent));
    g_queue_init(&sim->lines);
    sim->ring = sim_ring_new(sim);
    sim->check = sim_check_new(sim);
    sim->clients = sim_clients_new(sim);
    for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
        sim->nodes[host] = sim_node_new(sim, host);
        sim_node_set_native(sim->nodes[host],
                            sim->opt.native && (!sim->opt.mixed || sim_chance(sim, 1, 2)));
    }
    initial_tree(sim);
    for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
        sim_node_start(sim->nodes[host]);
    }
    sim_after_us(sim, sim_random(sim, 0, 3000000), activity, NULL, NULL);
    return sim;
}

static void sim_free(Sim *sim)
{
    for (guint i = 0; i < sim->heap->len; i++) {
        SimEvent *ev = heap_at(sim, i);

        if (ev->free_data != NULL) {
            ev->free_data(ev->data);
        }
    }
    g_array_unref(sim->heap);
    for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
        sim_node_free(sim->nodes[host]);
    }
    sim_clients_free(sim->clients);
    sim_check_free(sim->check);
    sim_ring_free(sim->ring);
    g_queue_clear_full(&sim->lines, g_free);
    g_free(sim);
}

/* Runs until all nodes agree and nobody waits; gives up after a bounded time. */
static int64_t converge(Sim *sim)
{
    MonoTime begin = sim->now;
    MonoTime limit = mono_add_sec(sim->now, HEAL_LIMIT_SEC);
    char *why = NULL;

    while (!sim_check_converged(sim->check, &why)) {
        MonoTime pause = mono_add_ms(sim->now, 50);

        if (!mono_before(sim->now, limit)) {
            sim_fail(sim, "no agreement %d s after the last fault: %s", HEAL_LIMIT_SEC, why);
        }
        g_clear_pointer(&why, g_free);
        while (sim->heap->len > 0 && mono_before(heap_at(sim, 0)->at, pause)) {
            run_one(sim);
        }
        sim->now = pause;
    }
    return mono_diff_us(sim->now, begin) / US_PER_MS;
}

/* With everything in order, callers are answered soon: those who change and those who sync what
 * others have changed. */
static void calm(Sim *sim)
{
    for (int round = 0; round < 3; round++) {
        MonoTime end;

        for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
            if (sim_chance(sim, 1, 2)) {
                sim_clients_burst(sim->clients, host);
            }
        }
        end = mono_add_ms(sim->now, sim_random(sim, 1, 300));
        while (sim->heap->len > 0 && mono_before(heap_at(sim, 0)->at, end)) {
            run_one(sim);
        }
        for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
            sim_clients_sync(sim->clients, host);
        }
        end = mono_add_sec(sim->now, CALM_LIMIT_SEC);
        while (sim->heap->len > 0 && mono_before(heap_at(sim, 0)->at, end)) {
            run_one(sim);
        }
        sim->now = end;
        if (sim_clients_waiting(sim->clients) > 0) {
            sim_fail(sim, "%u callers wait for more than %d s though nothing is wrong",
                     sim_clients_waiting(sim->clients), CALM_LIMIT_SEC);
        }
    }
}

void sim_run(const SimOptions *opt, SimResult *ret)
{
    Sim *sim = sim_new(opt);

    while (sim->steps_left > 0) {
        run_one(sim);
    }
    sim_trace(sim, 0, "faults stop");
    sim_fault_stop(sim);
    ret->heal_ms = converge(sim);
    calm(sim);
    for (uint32_t host = 1; host <= sim->opt.hosts; host++) {
        sim_clients_check_end(sim->clients, sim->nodes[host]);
    }
    sim_clients_count(sim->clients, ret);
    ret->digest = sim->digest;
    sim_free(sim);
}
