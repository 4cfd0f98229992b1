/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs seeds. Prints the seed first and last, so that a failing run can be repeated:
 *
 *   sim [--seed N | --seeds A-B] [--nodes N] [--steps N] [--native] [--mixed] [--twice] [--verbose]
 */
#include "tests/sim/sim.h"

#include <string.h>

static gint64 opt_seed = -1;
static char *opt_seeds;
static int opt_nodes, opt_steps;
static gboolean opt_native, opt_mixed, opt_twice, opt_verbose;

static const GOptionEntry entries[] = {
    {"seed", 's', 0, G_OPTION_ARG_INT64, &opt_seed, "one run", "N"},
    {"seeds", 'S', 0, G_OPTION_ARG_STRING, &opt_seeds, "all runs from A to B", "A-B"},
    {"nodes", 'n', 0, G_OPTION_ARG_INT, &opt_nodes, "hosts (default: by the seed)", "N"},
    {"steps", 't', 0, G_OPTION_ARG_INT, &opt_steps, "steps with faults (default: by the seed)",
     "N"},
    {"native", 0, 0, G_OPTION_ARG_NONE, &opt_native, "nodes announce the native protocol", NULL},
    {"mixed", 0, 0, G_OPTION_ARG_NONE, &opt_mixed, "with --native: some nodes never do", NULL},
    {"twice", 0, 0, G_OPTION_ARG_NONE, &opt_twice, "run each seed twice and compare", NULL},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &opt_verbose, "print the transcript", NULL},
    {NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
};

typedef struct Totals {
    uint64_t runs, acknowledged, unknown, refused;
    int64_t heal_ms_max;
} Totals;

static bool parse_range(const char *text, uint64_t *first, uint64_t *last)
{
    g_auto(GStrv) parts = g_strsplit(text, "-", 2);

    return g_strv_length(parts) == 2 &&
           g_ascii_string_to_unsigned(parts[0], 10, 0, G_MAXUINT64, first, NULL) &&
           g_ascii_string_to_unsigned(parts[1], 10, 0, G_MAXUINT64, last, NULL);
}

static void run_seed(uint64_t seed, Totals *t)
{
    SimOptions opt = {.seed = seed,
                      .hosts = (uint32_t)opt_nodes,
                      .steps = (uint32_t)opt_steps,
                      .native = opt_native,
                      .mixed = opt_mixed,
                      .verbose = opt_verbose};
    SimResult result, again;

    sim_run(&opt, &result);
    if (opt_twice) {
        sim_run(&opt, &again);
        g_assert_cmpuint(result.digest, ==, again.digest);
    }
    t->runs++;
    t->acknowledged += result.acknowledged;
    t->unknown += result.unknown;
    t->refused += result.refused;
    t->heal_ms_max = MAX(t->heal_ms_max, result.heal_ms);
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    uint64_t first = 1, last = 1;
    Totals t = {0};

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1 || opt_nodes < 0 ||
        opt_nodes > (int)SIM_HOSTS_MAX || opt_steps < 0 ||
        (opt_seeds != NULL && !parse_range(opt_seeds, &first, &last))) {
        g_printerr("sim: %s\n", error != NULL ? error->message : "bad arguments");
        return 2;
    }
    if (opt_seeds == NULL) {
        first = last = opt_seed >= 0 ? (uint64_t)opt_seed : 1;
    }
    g_print("# seeds %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "\n", first, last);
    for (uint64_t seed = first; seed <= last; seed++) {
        run_seed(seed, &t);
    }
    g_print("# seeds %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
            " runs held; changes: %" G_GUINT64_FORMAT " acknowledged, %" G_GUINT64_FORMAT
            " unknown, %" G_GUINT64_FORMAT " refused; longest way back %.1f s\n",
            first, last, t.runs, t.acknowledged, t.unknown, t.refused,
            (double)t.heal_ms_max / 1000);
    return 0;
}
