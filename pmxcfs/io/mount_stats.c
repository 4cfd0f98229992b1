/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/mount_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

STRTAB_DEFINE(mount_op, MountOp, MOUNT_OP_LIST, MOUNT_OP_N)
STRTAB_DEFINE(mount_count, MountCount, MOUNT_COUNT_LIST, MOUNT_COUNT_N)

/* Results that callers of the mount can get; everything else is counted as "other". */
#define RESULT_LIST(X)                                                                             \
    X(EPERM)                                                                                       \
    X(ENOENT)                                                                                      \
    X(EIO)                                                                                         \
    X(EAGAIN)                                                                                      \
    X(EACCES)                                                                                      \
    X(EBUSY)                                                                                       \
    X(EEXIST)                                                                                      \
    X(ENOTDIR)                                                                                     \
    X(EISDIR)                                                                                      \
    X(EINVAL)                                                                                      \
    X(EFBIG)                                                                                       \
    X(ENOSPC)                                                                                      \
    X(EROFS)                                                                                       \
    X(ENAMETOOLONG)                                                                                \
    X(ENOSYS)                                                                                      \
    X(ENOTEMPTY)                                                                                   \
    X(ESTALE)                                                                                      \
    X(EINTR)
#define RESULT_NUMBER(e) e,
#define RESULT_TEXT(e)   #e,
static const int result_errno[] = {0, RESULT_LIST(RESULT_NUMBER) - 1};
static const char *const result_text[] = {"ok", RESULT_LIST(RESULT_TEXT) "other"};
#define RESULT_N G_N_ELEMENTS(result_errno)

/* Upper bounds of the latency classes; the last class has none. */
static const int64_t class_us[] = {50, 200, 1000, 5000, 20000, 100000, 500000, 2000000, 10000000};
#define CLASS_N (G_N_ELEMENTS(class_us) + 1)

typedef struct OpStats {
    atomic_uint_fast64_t results[RESULT_N];
    atomic_uint_fast64_t classes[CLASS_N];
    atomic_uint_fast64_t us_total;
} OpStats;

struct MountStats {
    OpStats ops[MOUNT_OP_N];
    atomic_uint_fast64_t counts[MOUNT_COUNT_N];
};

MountStats *mount_stats_new(void)
{
    return g_new0(MountStats, 1);
}

void mount_stats_free(MountStats *s)
{
    g_free(s);
}

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void mount_stats_request(MountStats *s, MountOp op, int error, int64_t us)
{
    OpStats *o = &s->ops[op];
    guint result = 0;
    while (result < RESULT_N - 1 && result_errno[result] != error) {
        result++;
    }
    guint bucket = 0;
    while (bucket < CLASS_N - 1 && us > class_us[bucket]) {
        bucket++;
    }
    add(&o->results[result], 1);
    add(&o->classes[bucket], 1);
    add(&o->us_total, (uint64_t)MAX(us, 0));
}

void mount_stats_add(MountStats *s, MountCount what, uint64_t n)
{
    add(&s->counts[what], n);
}

uint64_t mount_stats_requests(const MountStats *s)
{
    uint64_t sum = 0;
    for (int op = 0; op < MOUNT_OP_N; op++) {
        for (guint r = 0; op != MOUNT_OP_FORGET && r < RESULT_N; r++) {
            sum += get(&s->ops[op].results[r]);
        }
    }
    return sum;
}

static void format_requests(const MountStats *s, GString *out)
{
    g_string_append(out, "# HELP pmxcfs_mount_requests_total Requests of the kernel answered.\n"
                         "# TYPE pmxcfs_mount_requests_total counter\n");
    for (int op = 0; op < MOUNT_OP_N; op++) {
        for (guint r = 0; r < RESULT_N; r++) {
            uint64_t n = get(&s->ops[op].results[r]);
            if (n > 0) {
                g_string_append_printf(
                    out, "pmxcfs_mount_requests_total{op=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                    mount_op_name(op), result_text[r], n);
            }
        }
    }
}

static void format_latency(const MountStats *s, GString *out)
{
    const char *name = "pmxcfs_mount_request_seconds";
    g_string_append_printf(out, "# HELP %s Time from request to answer.\n# TYPE %s histogram\n",
                           name, name);
    for (int op = 0; op < MOUNT_OP_N; op++) {
        const OpStats *o = &s->ops[op];
        uint64_t n = 0;
        for (guint c = 0; c < CLASS_N; c++) {
            n += get(&o->classes[c]);
        }
        if (n == 0) {
            continue;
        }
        uint64_t sum = 0;
        for (guint c = 0; c < CLASS_N - 1; c++) {
            sum += get(&o->classes[c]);
            g_string_append_printf(out, "%s_bucket{op=\"%s\",le=\"%g\"} %" PRIu64 "\n", name,
                                   mount_op_name(op), (double)class_us[c] / 1e6, sum);
        }
        g_string_append_printf(out,
                               "%s_bucket{op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                               "%s_sum{op=\"%s\"} %.6f\n%s_count{op=\"%s\"} %" PRIu64 "\n",
                               name, mount_op_name(op), n, name, mount_op_name(op),
                               (double)get(&o->us_total) / 1e6, name, mount_op_name(op), n);
    }
}

void mount_stats_format(const MountStats *s, GString *out)
{
    format_requests(s, out);
    format_latency(s, out);
    for (int c = 0; c < MOUNT_COUNT_N; c++) {
        g_string_append_printf(out, "# TYPE %s counter\n%s %" PRIu64 "\n", mount_count_name(c),
                               mount_count_name(c), get(&s->counts[c]));
    }
}
