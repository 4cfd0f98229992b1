/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_ha: runs of the HA stack from seeds.
 *
 *   sim_ha --seed N [--profile NAME] [--verbose]   one run
 *   sim_ha --seeds A-B [--profile NAME]            many; all profiles unless one is named
 *   sim_ha --quarantine --seeds A-B                drills of quarantine instead of random faults
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
    bool drill;
} Args;

static int usage(void)
{
    fprintf(stderr, "usage: sim_ha --seed N | --seeds A-B [--profile NAME] [--quarantine] "
                    "[--defect NAME] [--verbose]\n");
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
        } else if (strcmp(argv[i], "--quarantine") == 0) {
            a->drill = true;
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
    uint64_t agents, switched_off, confirmed, rebooted, dropped, quarantines;
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
    sums->agents += r->agents;
    sums->switched_off += r->switched_off;
    sums->confirmed += r->confirmed;
    sums->rebooted += r->rebooted;
    sums->dropped += r->dropped;
    sums->quarantines += r->quarantines;
    sums->settle_max_us = MAX(sums->settle_max_us, r->settle_us);
}

static void run_profile(const Args *a, const HaTiming *timing, Sums *sums)
{
    for (uint64_t seed = a->first; seed <= a->last; seed++) {
        HaSafeOptions opt = {seed, timing, a->defect, a->verbose, a->drill};
        HaSafeResult result = {0};
        bool good = hasafe_run(&opt, &result);

        add(sums, good, &result);
        if (!good && a->defect != HASAFE_SOUND) {
            return; /* found */
        }
    }
}

static void print_sums(const Sums *s)
{
    printf("%" G_GUINT64_FORMAT " runs, %" G_GUINT64_FORMAT " failed: %" G_GUINT64_FORMAT
           " starts, %" G_GUINT64_FORMAT " moves, %" G_GUINT64_FORMAT " resets, %" G_GUINT64_FORMAT
           " fences, %" G_GUINT64_FORMAT " pauses, %" G_GUINT64_FORMAT " network changes, ",
           s->runs, s->failed, s->starts, s->moves, s->resets, s->fences, s->pauses, s->partitions);
    printf("%" G_GUINT64_FORMAT " fence agents, %" G_GUINT64_FORMAT
           " nodes switched off, %" G_GUINT64_FORMAT " confirmed, %" G_GUINT64_FORMAT
           " proven by reboot, %" G_GUINT64_FORMAT " old locks dropped, %" G_GUINT64_FORMAT
           " quarantines; settled after %.0f s at most\n",
           s->agents, s->switched_off, s->confirmed, s->rebooted, s->dropped, s->quarantines,
           (double)s->settle_max_us / (double)US_PER_SEC);
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
    print_sums(&sums);
    if (a.defect != HASAFE_SOUND) {
        return sums.failed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    return sums.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
