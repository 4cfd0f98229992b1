/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_topsis: choosing among alternatives by several criteria: the best is nearest to the ideal and
 * farthest from the worst. Reference: ha.md section 8.4. Pure arithmetic; every sum runs in index
 * order, so equal alternatives get exactly equal scores.
 */
#ifndef HA_MANAGER_CORE_HA_TOPSIS_H
#define HA_MANAGER_CORE_HA_TOPSIS_H

#include <stddef.h>

#define HA_CRITERIA 4

/* One node of one alternative. */
typedef struct HaNodeUse {
    double cpu;    /* used cores */
    double maxcpu; /* cores */
    double mem;    /* used bytes */
    double maxmem; /* bytes */
} HaNodeUse;

/* cpu / maxcpu, mem / maxmem; 0 when there is no capacity at all. */
double ha_use_cpu(const HaNodeUse *use);
double ha_use_mem(const HaNodeUse *use);

/* The four criteria of a cluster load: average and highest cpu, average and highest memory; lower
 * is better. */
void ha_topsis_criteria(const HaNodeUse *nodes, size_t n_nodes, double ret_row[HA_CRITERIA]);

/* Scores 0 to 1 for `n` rows; higher is better. */
void ha_topsis_score(const double (*rows)[HA_CRITERIA], size_t n, double *ret_scores);

/* Standard deviation of the node loads over their mean; 0 when nothing is used. */
double ha_imbalance(const HaNodeUse *nodes, size_t n_nodes);

#endif
