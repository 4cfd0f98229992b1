/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_monitor.h"

#include "guest/core/stat_limits.h"
#include "guest/core/stat_rate.h"
#include "guest/io/guest_qmp.h"

#define BALLOON "/machine/peripheral/balloon0"

static const StatMonitorWords nothing = {STAT_UNKNOWN, STAT_UNKNOWN, STAT_UNKNOWN};

typedef struct Monitor {
    StatMonitors *all;
    uint32_t vmid;
    pid_t pid;
    StatBackoff backoff;
    QmpClient *client; /* while it is asked */
    guint open;        /* questions without an answer */
    bool silent;       /* one of them had none in time */
    bool balloon_told; /* the balloon was asked to report */
    guint age;         /* rounds since the last answer */
    StatMonitorWords words;
} Monitor;

struct StatMonitors {
    char *run_dir;
    GHashTable *table; /* GUINT_TO_POINTER(vmid) -> Monitor */
    GQueue waiting;    /* Monitor *: their turn is to come */
    guint busy;        /* with a connection */
};

static void monitor_free(void *data)
{
    Monitor *mon = data;
    QmpClient *client = g_steal_pointer(&mon->client);

    if (client != NULL) {
        mon->all->busy--;
    }
    (void)g_queue_remove(&mon->all->waiting, mon); /* often not in it */
    qmp_client_free(client);
    g_free(mon);
}

StatMonitors *stat_monitors_new(const char *run_dir)
{
    StatMonitors *m = g_new0(StatMonitors, 1);

    m->run_dir = g_strdup(run_dir);
    m->table = g_hash_table_new_full(NULL, NULL, NULL, monitor_free);
    g_queue_init(&m->waiting);
    return m;
}

void stat_monitors_free(StatMonitors *m)
{
    if (m != NULL) {
        g_hash_table_unref(m->table);
        g_queue_clear(&m->waiting);
        g_free(m->run_dir);
        g_free(m);
    }
}

static void ask_next(StatMonitors *m);

static void finish(Monitor *mon)
{
    QmpClient *client = g_steal_pointer(&mon->client); /* its last answers find it gone */

    qmp_client_free(client);
    mon->all->busy--;
    stat_backoff_note(&mon->backoff, !mon->silent);
    ask_next(mon->all);
}

/* True when the answer is of use. After the last one the connection is left. */
static bool answered(Monitor *mon, int r)
{
    if (mon->client == NULL) {
        return false;
    }
    mon->silent = mon->silent || r == -ETIMEDOUT || r == -EPIPE;
    mon->open--;
    return r == 0;
}

static void leave_if_done(Monitor *mon)
{
    /* One that is silent would keep the others waiting as long. */
    if (mon->client != NULL && (mon->open == 0 || mon->silent)) {
        finish(mon);
    }
}

static int64_t add_bytes(int64_t sum, const JsonTree *stats, const char *name)
{
    int64_t more = jsontree_get_int(stats, name, 0);
    int64_t out;

    return more > 0 && !__builtin_add_overflow(sum, more, &out) ? out : sum;
}

static void on_blocks(void *ctx, int r, const JsonTree *value, const Err *err)
{
    Monitor *mon = ctx;

    (void)err; /* a guest that cannot tell has unknown values */
    if (answered(mon, r)) {
        mon->words.disk_read = 0;
        mon->words.disk_written = 0;
        for (guint i = 0; i < jsontree_count(value); i++) {
            const JsonTree *stats = jsontree_get(jsontree_at(value, i), "stats");

            mon->words.disk_read = add_bytes(mon->words.disk_read, stats, "rd_bytes");
            mon->words.disk_written = add_bytes(mon->words.disk_written, stats, "wr_bytes");
        }
        mon->age = 0;
    }
    leave_if_done(mon);
}

static void on_nothing(void *ctx, int r, const JsonTree *value, const Err *err)
{
    (void)value;
    (void)err; /* a balloon that does not report: memory is counted from outside */
    (void)answered(ctx, r);
    leave_if_done(ctx);
}

static JsonTree *balloon_property(const char *name)
{
    JsonTree *args = jsontree_new_object();

    jsontree_set_text(args, "path", BALLOON);
    jsontree_set_text(args, "property", name);
    return args;
}

/* It reports only when it is told how often. */
static void tell_balloon(Monitor *mon)
{
    JsonTree *args = balloon_property("guest-stats-polling-interval");

    jsontree_set_int(args, "value", STAT_BALLOON_SECONDS);
    mon->balloon_told = true;
    mon->open++;
    qmp_execute(mon->client, "qom-set", args, STAT_MONITOR_MS, on_nothing, mon);
}

static void on_balloon(void *ctx, int r, const JsonTree *value, const Err *err)
{
    Monitor *mon = ctx;
    const JsonTree *stats = jsontree_get(value, "stats");
    int64_t total = jsontree_get_int(stats, "stat-total-memory", STAT_UNKNOWN);
    int64_t spare = jsontree_get_int(stats, "stat-free-memory", STAT_UNKNOWN);

    (void)err; /* no balloon, or a guest without its driver */
    mon->words.mem = STAT_UNKNOWN;
    if (answered(mon, r)) {
        if (jsontree_get_int(value, "last-update", 0) != 0 && total > 0 && spare >= 0) {
            mon->words.mem = MAX(total - spare, 0);
        } else if (!mon->balloon_told) {
            tell_balloon(mon);
        }
    }
    leave_if_done(mon);
}

static void ask(Monitor *mon)
{
    StatMonitors *m = mon->all;

    mon->silent = false;
    mon->open = 2;
    if (guest_qmp_open(m->run_dir, mon->vmid, &mon->client, NULL) < 0) {
        mon->client = NULL;
        stat_backoff_note(&mon->backoff, false);
        return;
    }
    m->busy++;
    qmp_execute(mon->client, "query-blockstats", NULL, STAT_MONITOR_MS, on_blocks, mon);
    if (mon->client != NULL) {
        qmp_execute(mon->client, "qom-get", balloon_property("guest-stats"), STAT_MONITOR_MS,
                    on_balloon, mon);
    }
}

static void ask_next(StatMonitors *m)
{
    Monitor *mon;

    while (m->busy < STAT_MONITOR_BUSY && (mon = g_queue_pop_head(&m->waiting)) != NULL) {
        ask(mon);
    }
}

void stat_monitors_ask(StatMonitors *m, uint32_t vmid, pid_t pid)
{
    Monitor *mon = g_hash_table_lookup(m->table, GUINT_TO_POINTER(vmid));

    if (mon != NULL && mon->pid != pid) {
        stat_monitors_forget(m, vmid);
        mon = NULL;
    }
    if (mon == NULL) {
        mon = g_new0(Monitor, 1);
        *mon = (Monitor){
            .all = m, .vmid = vmid, .pid = pid, .age = STAT_VALUE_ROUNDS, .words = nothing};
        g_hash_table_insert(m->table, GUINT_TO_POINTER(vmid), mon);
    }
    mon->age = MIN(mon->age + 1, STAT_VALUE_ROUNDS);
    if (mon->client == NULL && g_queue_find(&m->waiting, mon) == NULL &&
        stat_backoff_due(&mon->backoff)) {
        g_queue_push_tail(&m->waiting, mon);
        ask_next(m);
    }
}

void stat_monitors_forget(StatMonitors *m, uint32_t vmid)
{
    if (g_hash_table_remove(m->table, GUINT_TO_POINTER(vmid))) {
        ask_next(m);
    }
}

bool stat_monitors_busy(const StatMonitors *m)
{
    return m->busy > 0;
}

StatMonitorWords stat_monitors_get(const StatMonitors *m, uint32_t vmid)
{
    const Monitor *mon = g_hash_table_lookup(m->table, GUINT_TO_POINTER(vmid));

    return mon != NULL && mon->age < STAT_VALUE_ROUNDS ? mon->words : nothing;
}
