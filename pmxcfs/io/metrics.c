/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/metrics.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/timeval.h"

/* ---- plain counters ---- */

static _Atomic uint64_t counters[METRIC_N];

static const struct {
    const char *name, *labels, *help;
} texts[METRIC_N] = {
#define METRIC_TEXT(value, name_, labels_, help_) [value] = {name_, labels_, help_},
    METRIC_LIST(METRIC_TEXT)};

void metrics_add(Metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&counters[m], n, memory_order_relaxed);
}

uint64_t metrics_get(Metric m)
{
    return atomic_load_explicit(&counters[m], memory_order_relaxed);
}

/* ---- changes by kind and result ---- */

static const struct {
    int code;
    const char *name;
} results[] = {
    {0, "ok"},
    {-EACCES, "EACCES"},
    {-EBUSY, "EBUSY"},
    {-EEXIST, "EEXIST"},
    {-EFBIG, "EFBIG"},
    {-EINVAL, "EINVAL"},
    {-EIO, "EIO"},
    {-EISDIR, "EISDIR"},
    {-ENAMETOOLONG, "ENAMETOOLONG"},
    {-ENOENT, "ENOENT"},
    {-ENOSPC, "ENOSPC"},
    {-ENOTDIR, "ENOTDIR"},
    {-ENOTEMPTY, "ENOTEMPTY"},
    {-EPERM, "EPERM"},
    {-EROFS, "EROFS"},
    {-ETIMEDOUT, "ETIMEDOUT"},
    {1, "other"}, /* any other code */
};
#define N_RESULTS G_N_ELEMENTS(results)

static _Atomic uint64_t changes[TREE_OP_N][N_RESULTS];

static size_t result_index(int result)
{
    size_t i = 0;

    if (result < 0) {
        for (i = 1; i + 1 < N_RESULTS && results[i].code != result; i++) {
        }
    }
    return i;
}

/* ---- histograms ---- */

static const struct {
    int64_t us;
    const char *le; /* seconds, as text: exact */
} buckets[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},     {1000, "0.001"},  {2500, "0.0025"},
    {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},    {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},      {2500000, "2.5"}, {5000000, "5"},
    {10000000, "10"}, {30000000, "30"}, {INT64_MAX, "+Inf"},
};
#define N_BUCKETS G_N_ELEMENTS(buckets)

typedef struct Histogram {
    _Atomic uint64_t count[N_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us;
} Histogram;

static Histogram change_time, sync_time;

static void observe(Histogram *h, int64_t us)
{
    size_t i = 0;

    us = MAX(us, 0);
    while (us > buckets[i].us) {
        i++;
    }
    atomic_fetch_add_explicit(&h->count[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void metrics_change(TreeOpKind kind, int result, int64_t us)
{
    if ((size_t)kind < TREE_OP_N) {
        atomic_fetch_add_explicit(&changes[kind][result_index(result)], 1, memory_order_relaxed);
    }
    observe(&change_time, us);
}

void metrics_sync(int result, int64_t us)
{
    (void)result; /* a failed sync is counted by the change that failed */
    observe(&sync_time, us);
}

/* ---- text ---- */

static void header(GString *out, const char *name, const char *type, const char *help)
{
    g_string_append_printf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void format_histogram(GString *out, const char *name, const char *help, Histogram *h)
{
    uint64_t total = 0;

    header(out, name, "histogram", help);
    for (size_t i = 0; i < N_BUCKETS; i++) {
        total += atomic_load_explicit(&h->count[i], memory_order_relaxed);
        g_string_append_printf(out, "%s_bucket{le=\"%s\"} %" G_GUINT64_FORMAT "\n", name,
                               buckets[i].le, total);
    }
    uint64_t us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    g_string_append_printf(out,
                           "%s_sum %" G_GUINT64_FORMAT ".%06u\n%s_count %" G_GUINT64_FORMAT "\n",
                           name, us / US_PER_SEC, (unsigned)(us % US_PER_SEC), name, total);
}

static void format_changes(GString *out)
{
    header(out, "pmxcfs_changes_total", "counter", "Changes asked for on this node");
    for (int kind = 1; kind < TREE_OP_N; kind++) {
        g_autofree char *op = g_ascii_strdown(tree_op_name((TreeOpKind)kind), -1);
        for (size_t i = 0; i < N_RESULTS; i++) {
            uint64_t n = atomic_load_explicit(&changes[kind][i], memory_order_relaxed);
            if (n > 0 || i == 0) {
                g_string_append_printf(
                    out, "pmxcfs_changes_total{op=\"%s\",result=\"%s\"} %" G_GUINT64_FORMAT "\n",
                    op, results[i].name, n);
            }
        }
    }
}

void metrics_format(GString *out)
{
    format_changes(out);
    for (int m = 0; m < METRIC_N; m++) {
        bool labels = texts[m].labels[0] != '\0';
        if (texts[m].help != NULL) {
            header(out, texts[m].name, "counter", texts[m].help);
        }
        g_string_append_printf(out, "%s%s%s%s %" G_GUINT64_FORMAT "\n", texts[m].name,
                               labels ? "{" : "", texts[m].labels, labels ? "}" : "",
                               metrics_get((Metric)m));
    }
    format_histogram(out, "pmxcfs_change_seconds", "Time from a change to its answer",
                     &change_time);
    format_histogram(out, "pmxcfs_sync_seconds", "Time of waiting for durability", &sync_time);
}

void metrics_format_value(
    GString *out, const char *name, const char *type, const char *help, uint64_t value)
{
    header(out, name, type, help);
    g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", name, value);
}
