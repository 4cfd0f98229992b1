/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migsim: both machines of a migration in one process, with models of what is around them: two
 * agents that can be killed, two QEMUs, the cluster's tree with quorum on each side, volumes,
 * ports, links that are cut or stall. Every fault is put into every phase, many times from
 * different seeds, and after each run:
 *
 *   - at no moment did the guest run on two sides, nor without all of its state (INV-5)
 *   - when all has calmed down it runs on the side whose directory has its configuration, unless
 *     the fault itself took its process away
 *   - no lock word, port, process, journal or volume is left over
 *   - the outcome is one of those in the table of docs/states/migration.md
 *
 *   migsim                       all cells, compared with the page (--page FILE)
 *   migsim --table               prints the table as it belongs into the page
 *   migsim --cell PHASE FAULT SEED   one run, told line by line
 *   migsim --doubles FROM COUNT      two faults in each run
 *   migsim --double SEED             one of them, told line by line
 */
#include "tests/sim/migsim.h"

#include <stdio.h>
#include <string.h>

#define SEEDS   100
#define DOUBLES 20000

/* ---- all --------------------------------------------------------------------------------------
 */

static const MigSrcState phases[] = {
    MIG_SRC_CONNECT, MIG_SRC_CHECK,  MIG_SRC_LOCK,  MIG_SRC_PREPARE, MIG_SRC_COPY,
    MIG_SRC_START,   MIG_SRC_MIRROR, MIG_SRC_MOVE,  MIG_SRC_SWITCH,  MIG_SRC_HANDOVER,
    MIG_SRC_RUN,     MIG_SRC_CLEAN,  MIG_SRC_FINISH};

/* Outcomes of a cell over all seeds, as text. Caller frees; NULL when a rule was broken. */
static char *cell(MigSrcState phase, Fault fault)
{
    bool seen[OUTCOME_N] = {false};
    GString *out = g_string_new(NULL);
    World w;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Outcome o = migsim_run(&w, phase, fault, seed, false);

        seen[o] = true;
        if (w.broken[0] != '\0') {
            printf("# phase %s, %s, seed %d: %s\n", mig_src_name(phase), fault_name(fault),
                   (int)seed, w.broken);
            (void)g_string_free(out, TRUE);
            return NULL;
        }
    }
    for (int i = 0; i < OUTCOME_N; i++) {
        if (seen[i]) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? ", " : "", outcome_name((Outcome)i));
        }
    }
    return g_string_free(out, FALSE);
}

static char *row(Fault fault, bool *ret_ok)
{
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "| %s |", fault_name(fault));
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        g_autofree char *text = cell(phases[i], fault);

        *ret_ok = *ret_ok && text != NULL;
        g_string_append_printf(line, " %s |", text != NULL ? text : "BROKEN");
    }
    return g_string_free(line, FALSE);
}

static int print_table(void)
{
    bool ok = true;

    printf("| |");
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        printf(" %s |", mig_src_name(phases[i]));
    }
    printf("\n|---|");
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        printf("---|");
    }
    printf("\n");
    for (int f = 0; f < FAULT_N; f++) {
        g_autofree char *line = row((Fault)f, &ok);

        printf("%s\n", line);
    }
    return ok ? 0 : 1;
}

static int double_faults(uint64_t from, uint64_t count)
{
    int failed = 0;
    World w;

    for (uint64_t seed = from; seed < from + count; seed++) {
        migsim_run_double(&w, seed, false);
        if (w.broken[0] != '\0') {
            printf("# seed %" G_GUINT64_FORMAT ": %s at %s, %s at %s: %s\n", seed,
                   fault_name(w.fault[0]), mig_src_name(w.phase[0]), fault_name(w.fault[1]),
                   mig_src_name(w.phase[1]), w.broken);
            failed++;
        }
    }
    return failed;
}

static int compare(const char *page_path)
{
    g_autofree char *page = NULL;
    int failed = 0;

    if (!g_file_get_contents(page_path, &page, NULL, NULL)) {
        printf("1..0 # SKIP no %s\n", page_path);
        return 1;
    }
    printf("1..%d\n", (int)FAULT_N + 1);
    for (int f = 0; f < FAULT_N; f++) {
        bool ok = true;
        g_autofree char *line = row((Fault)f, &ok);

        ok = ok && strstr(page, line) != NULL;
        if (!ok) {
            printf("# the page should have: %s\n", line);
            failed++;
        }
        printf("%s %d - %s, in each phase, ends as the page says\n", ok ? "ok" : "not ok", f + 1,
               fault_name((Fault)f));
    }
    failed += double_faults(1, DOUBLES);
    printf("%s %d - two faults, %d seeds\n", failed == 0 ? "ok" : "not ok", (int)FAULT_N + 1,
           DOUBLES);
    return failed > 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--table") == 0) {
        return print_table();
    }
    if (argc == 5 && strcmp(argv[1], "--cell") == 0) {
        int phase = mig_src_from_name(argv[2]);
        int fault = fault_from_name(argv[3]);
        World w;
        Outcome o;

        if (phase < 0 || fault < 0) {
            fprintf(stderr, "migsim: unknown phase or fault\n");
            return 2;
        }
        o = migsim_run(&w, (MigSrcState)phase, (Fault)fault, g_ascii_strtoull(argv[4], NULL, 10),
                       true);
        printf("outcome: %s%s%s\n", outcome_name(o), w.broken[0] != '\0' ? "; BROKEN: " : "",
               w.broken);
        return w.broken[0] != '\0';
    }
    if (argc == 4 && strcmp(argv[1], "--doubles") == 0) {
        return double_faults(g_ascii_strtoull(argv[2], NULL, 10),
                             g_ascii_strtoull(argv[3], NULL, 10)) > 0;
    }
    if (argc == 3 && strcmp(argv[1], "--double") == 0) {
        World w;

        migsim_run_double(&w, g_ascii_strtoull(argv[2], NULL, 10), true);
        printf("%s\n", w.broken[0] != '\0' ? w.broken : "no rule was broken");
        return w.broken[0] != '\0';
    }
    if (argc == 3 && strcmp(argv[1], "--page") == 0) {
        return compare(argv[2]);
    }
    fprintf(stderr, "usage: migsim --table | --page FILE | --cell PHASE FAULT SEED\n");
    return 2;
}
