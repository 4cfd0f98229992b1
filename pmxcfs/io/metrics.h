/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: counters and latency histograms of the daemon, shown in `.metrics` as Prometheus text.
 * One global set; every function may be called from any thread at any time and never blocks.
 */
#ifndef PMXCFS_IO_METRICS_H
#define PMXCFS_IO_METRICS_H

#include "pmxcfs/core/treeop.h"

#include <glib.h>

/* Plain counters: enum, name in the text, labels, help. Counters of one name stand together. */
#define METRIC_LIST(X)                                                                             \
    X(METRIC_BYTES_IN, "pmxcfs_change_bytes_total", "", "Content bytes of successful writes")      \
    X(METRIC_IPC_OK, "pmxcfs_ipc_requests_total", "result=\"ok\"", "Requests of IPC clients")      \
    X(METRIC_IPC_ERROR, "pmxcfs_ipc_requests_total", "result=\"error\"", NULL)                     \
    X(METRIC_IPC_REFUSED, "pmxcfs_ipc_requests_total", "result=\"refused\"", NULL)                 \
    X(METRIC_RRD_WRITTEN, "pmxcfs_rrd_values_total", "result=\"written\"", "RRD values")           \
    X(METRIC_RRD_REFUSED, "pmxcfs_rrd_values_total", "result=\"refused\"", NULL)                   \
    X(METRIC_RRD_DROPPED, "pmxcfs_rrd_values_total", "result=\"dropped\"", NULL)                   \
    X(METRIC_UNDONE, "pmxcfs_changes_undone_total", "", "Changes taken back: the disk refused")    \
    X(METRIC_DEADLINES, "pmxcfs_deadlines_total", "", "Callers who got no answer in time")         \
    X(METRIC_EVENTS, "pmxcfs_events_total", "", "Lines of the change feed")                        \
    X(METRIC_EVENTS_LOST, "pmxcfs_event_readers_lost_total", "", "Readers who missed lines")
#define METRIC_ENUM(value, name, labels, help) value,
typedef enum Metric { METRIC_LIST(METRIC_ENUM) METRIC_N } Metric;

/* One counter. Any thread. */
void metrics_add(Metric m, uint64_t n);
uint64_t metrics_get(Metric m);

/* A change that was answered: `result` >= 0 or -errno, `us` from the call to the answer. */
void metrics_change(TreeOpKind kind, int result, int64_t us);

/* A caller who asked for durability (fsync, close) was answered. */
void metrics_sync(int result, int64_t us);

/* All of the above as text. */
void metrics_format(GString *out);

/* One line of a value that somebody else keeps, with its TYPE and HELP lines. `type`: "counter" or
 * "gauge". */
void metrics_format_value(
    GString *out, const char *name, const char *type, const char *help, uint64_t value);

#endif
