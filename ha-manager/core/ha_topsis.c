/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_topsis.h"

#include <math.h>

/* Average CPU, highest CPU, average memory, highest memory. */
static const double weights[HA_CRITERIA] = {1.0, 2.0, 5.0, 10.0};
static const double weight_sum = 18.0;

double ha_use_cpu(const HaNodeUse *use)
{
    return use->maxcpu > 0 ? use->cpu / use->maxcpu : 0.0;
}

double ha_use_mem(const HaNodeUse *use)
{
    return use->maxmem > 0 ? use->mem / use->maxmem : 0.0;
}

void ha_topsis_criteria(const HaNodeUse *nodes, size_t n_nodes, double ret_row[HA_CRITERIA])
{
    double cpu_squares = 0;
    double mem_squares = 0;
    double cpu_max = 0;
    double mem_max = 0;
    double n = n_nodes > 0 ? (double)n_nodes : 1.0;

    for (size_t i = 0; i < n_nodes; i++) {
        double c = ha_use_cpu(&nodes[i]);
        double m = ha_use_mem(&nodes[i]);

        cpu_squares += c * c;
        mem_squares += m * m;
        cpu_max = fmax(cpu_max, c);
        mem_max = fmax(mem_max, m);
    }
    ret_row[0] = 1.0 + sqrt(cpu_squares / n);
    ret_row[1] = 1.0 + cpu_max;
    ret_row[2] = 1.0 + sqrt(mem_squares / n);
    ret_row[3] = 1.0 + mem_max;
}

/* What a column needs: its norm, and its extremes after division by it. */
typedef struct Column {
    double norm;
    double best;
    double worst;
} Column;

static Column measure(const double (*rows)[HA_CRITERIA], size_t n, int j)
{
    Column col = {0, INFINITY, -INFINITY};

    for (size_t i = 0; i < n; i++) {
        col.norm += rows[i][j] * rows[i][j];
    }
    col.norm = col.norm > 0 ? sqrt(col.norm) : 1.0;
    for (size_t i = 0; i < n; i++) {
        double x = rows[i][j] / col.norm;

        col.best = fmin(col.best, x);
        col.worst = fmax(col.worst, x);
    }
    return col;
}

void ha_topsis_score(const double (*rows)[HA_CRITERIA], size_t n, double *ret_scores)
{
    Column cols[HA_CRITERIA];

    for (int j = 0; j < HA_CRITERIA; j++) {
        cols[j] = measure(rows, n, j);
    }
    for (size_t i = 0; i < n; i++) {
        double to_best = 0;
        double to_worst = 0;

        for (int j = 0; j < HA_CRITERIA; j++) {
            double w = weights[j] / weight_sum;
            double x = rows[i][j] / cols[j].norm;
            double db = w * (x - cols[j].best);
            double dw = w * (x - cols[j].worst);

            to_best += db * db;
            to_worst += dw * dw;
        }
        to_best = sqrt(to_best);
        to_worst = sqrt(to_worst);
        ret_scores[i] = to_best + to_worst > 0 ? to_worst / (to_worst + to_best) : 0.0;
    }
}

double ha_imbalance(const HaNodeUse *nodes, size_t n_nodes)
{
    double sum = 0;
    double squares = 0;
    double mean;

    for (size_t i = 0; i < n_nodes; i++) {
        sum += (ha_use_cpu(&nodes[i]) + ha_use_mem(&nodes[i])) / 2.0;
    }
    if (sum <= 0) {
        return 0.0;
    }
    mean = sum / (double)n_nodes;
    for (size_t i = 0; i < n_nodes; i++) {
        double d = (ha_use_cpu(&nodes[i]) + ha_use_mem(&nodes[i])) / 2.0 - mean;

        squares += d * d;
    }
    return sqrt(squares / (double)n_nodes) / mean;
}
