/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_ha: runs of the HA stack from seeds.
 *
 *   sim_ha --seed N [--profile NAME] [--verbose]   one run
 *   sim_ha --seeds A-B [--profile NAME]            many; all profiles unless one is named
 *   sim_ha --defect NAME --seeds A-B               with a defect: succeeds when it is found
 */
#include "tests/sim/ha/hasafe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Args {
    uint64_t first, last;
    const HaTiming *only;
    HaSafeDefect defect;
    bool verbose;
} Args;

static int usage(void)
{
    fprintf(stderr, "usage: sim_ha --seed N | --seeds A-B [--profile NAME] [--defect NAME] "
                    "[--verbose]\n");
    return 2;
}

static bool parse_seeds(const char *text, Args *a)
{
    char *end;

    a->first = a->last = g_ascii_strtoull(text, &end, 10);
    if (*end == '-') {
        a->last = g_ascii_strtoull(end + 1, &end, 10);
    }
    return end != text && *end == '\0' && a->last >= a->first;
}

static bool parse(int argc, char **argv, Args *a)
{
    bool seeds = false;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--verbose") == 0) {
            a->verbose = true;
        } else if (strcmp(argv[i], "--seed") == 0 || strcmp(argv[i], "--seeds") == 0) {
            seeds = parse_seeds(value, a);
            i++;
        } else if (strcmp(argv[i], "--profile") == 0) {
            a->only = ha_timing_by_name(value);
            if (a->only == NULL) {
                return false;
            }
            i++;
        } else if (strcmp(argv[i], "--defect") == 0 && hasafe_defect_from_name(value) >= 0) {
            a->defect = (HaSafeDefect)hasafe_defect_from_name(value);
            i++;
        } else {
            return false;
        }
    }
    return seeds;
}

typedef struct Sums {
    uint64_t runs, failed;
    uint64_t starts, moves, resets, fences, pauses, partitions;
    int64_t settle_max_us;
} Sums;

static void add(Sums *sums, bool good, const HaSafeResult *r)
{
    sums->runs++;
    sums->failed += good ? 0 : 1;
    sums->starts += r->starts;
    sums->moves += r->moves;
    sums->resets += r->resets;
    sums->fences += r->fences;
    sums->pauses += r->pauses;
    sums->partitions += r->partitions;
    sums->settle_max_us = MAX(sums->settle_max_us, r->settle_us);
}

static void run_profile(const Args *a, const HaTiming *timing, Sums *sums)
{
    for (uint64_t seed = a->first; seed <= a->last; seed++) {
        HaSafeOptions opt = {seed, timing, a->defect, a->verbose};
        HaSafeResult result = {0};
        bool good = hasafe_run(&opt, &result);

        add(sums, good, &result);
        if (!good && a->defect != HASAFE_SOUND) {
            return; /* found */
        }
    }
}

int main(int argc, char **argv)
{
    Args a = {0};
    Sums sums = {0};

    if (!parse(argc, argv, &a)) {
        return usage();
    }
    for (size_t i = 0; ha_timing_profiles[i] != NULL; i++) {
        if (a.only == NULL || a.only == ha_timing_profiles[i]) {
            run_profile(&a, ha_timing_profiles[i], &sums);
        }
    }
    printf("%" G_GUINT64_FORMAT " runs, %" G_GUINT64_FORMAT " failed: %" G_GUINT64_FORMAT
           " starts, %" G_GUINT64_FORMAT " moves, %" G_GUINT64_FORMAT " resets, %" G_GUINT64_FORMAT
           " fences, %" G_GUINT64_FORMAT " pauses, %" G_GUINT64_FORMAT
           " network changes; settled after %.0f s at most\n",
           sums.runs, sums.failed, sums.starts, sums.moves, sums.resets, sums.fences, sums.pauses,
           sums.partitions, (double)sums.settle_max_us / (double)US_PER_SEC);
    if (a.defect != HASAFE_SOUND) {
        return sums.failed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    return sums.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
