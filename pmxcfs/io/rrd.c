/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/rrd.h"

#include "lib/port/clock.h"
#include "pmxcfs/core/rrdmap.h"
#include "pmxcfs/io/metrics.h"
#include "pmxcfs/io/rrdcached.h"

#include <errno.h>
#include <rrd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Refusals are told once in a while, with their number: a misconfigured node sends them every few
 * seconds. */
#define COMPLAIN_MS 60000

typedef struct Item {
    char *id;
    GBytes *value;
} Item;

struct RrdWriter {
    char *base_dir;
    Tracer tracer;
    GThread *thread;
    GMutex lock; /* guards what follows */
    GCond cond;
    GQueue queue; /* of Item */
    bool stopping;
    MonoTime stop_at;
    RrdWriterStats stats;
    /* writer thread only */
    Rrdcached *cached; /* NULL: files only */
    GHashTable *known; /* paths of files that exist */
    MonoTime complain_at;
    uint64_t complaints;
};

/* One value on its way into a file. */
typedef struct Job {
    RrdTarget target;
    char *path;
    char *row;
} Job;

static void item_free(gpointer data)
{
    Item *item = data;

    g_free(item->id);
    g_bytes_unref(item->value);
    g_free(item);
}

static void job_clear(gpointer data)
{
    Job *job = data;

    g_free(job->path);
    g_free(job->row);
}

static void count_written(RrdWriter *w, bool cached)
{
    g_mutex_lock(&w->lock);
    w->stats.written++;
    w->stats.cached += cached;
    g_mutex_unlock(&w->lock);
    metrics_add(METRIC_RRD_WRITTEN, 1);
}

static void refuse(RrdWriter *w, const char *id, const char *why)
{
    MonoTime now = clock_mono();

    g_mutex_lock(&w->lock);
    w->stats.refused++;
    g_mutex_unlock(&w->lock);
    metrics_add(METRIC_RRD_REFUSED, 1);
    w->complaints++;
    if (!mono_before(now, w->complain_at)) {
        trace(&w->tracer, TRACE_WARNING,
              "rrd: %" G_GUINT64_FORMAT " values not stored, last '%s': %s", w->complaints, id,
              why);
        w->complaints = 0;
        w->complain_at = mono_add_ms(now, COMPLAIN_MS);
    }
}

/* ---- files ---- */

static WallTime local_midnight(WallTime now)
{
    time_t t = (time_t)now.sec;
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL) {
        return now;
    }
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    t = mktime(&tm);
    return t != (time_t)-1 ? (WallTime){t} : now;
}

static int create_file(const Job *job)
{
    const char *const *defs = rrdmap_definitions(job->target.kind);
    g_autofree char *dir = g_path_get_dirname(job->path);
    unsigned n = 0;

    while (defs[n] != NULL) {
        n++;
    }
    if (g_mkdir_with_parents(dir, 0750) < 0) {
        return -errno;
    }
    rrd_clear_error();
    if (rrd_create_r2(job->path, RRDMAP_STEP_SEC, (time_t)local_midnight(clock_wall()).sec, 1, NULL,
                      NULL, (int)n, (const char **)defs) != 0) {
        return -EIO;
    }
    return 0;
}

/* Makes the file when there is none. */
static int ensure_file(RrdWriter *w, const Job *job)
{
    struct stat st;
    int rc = 0;

    if (g_hash_table_contains(w->known, job->path)) {
        return 0;
    }
    if (stat(job->path, &st) < 0) {
        rc = errno == ENOENT || errno == ENOTDIR ? create_file(job) : -errno;
    }
    if (rc < 0) {
        refuse(w, job->target.file, rc == -EIO ? rrd_get_error() : g_strerror(-rc));
        return rc;
    }
    g_hash_table_add(w->known, g_strdup(job->path));
    return 0;
}

static void write_file(RrdWriter *w, const Job *job)
{
    const char *argv[] = {job->row};
    struct stat st;

    rrd_clear_error();
    if (rrd_update_r(job->path, NULL, 1, argv) == 0) {
        count_written(w, false);
        return;
    }
    refuse(w, job->target.file, rrd_get_error());
    if (stat(job->path, &st) < 0) { /* taken away: made anew with the next value */
        g_hash_table_remove(w->known, job->path);
    }
}

/* ---- batches ---- */

/* Through rrdcached; false when there is none, and files must be written directly. */
static bool write_cached(RrdWriter *w, GArray *jobs)
{
    g_autofree RrdcachedUpdate *updates = g_new0(RrdcachedUpdate, jobs->len);
    int rc;

    if (w->cached == NULL) {
        return false;
    }
    for (guint i = 0; i < jobs->len; i++) {
        const Job *job = &g_array_index(jobs, Job, i);

        updates[i].path = job->path;
        updates[i].row = job->row;
    }
    rc = rrdcached_update(w->cached, updates, jobs->len);
    if (rc < 0) {
        return false; /* after -EIO some may come twice: RRD refuses the second one */
    }
    for (guint i = 0; i < jobs->len; i++) {
        const Job *job = &g_array_index(jobs, Job, i);

        if (updates[i].result == 0) {
            count_written(w, true);
        } else {
            if (updates[i].result == -ENOENT) {
                g_hash_table_remove(w->known, job->path);
            }
            refuse(w, job->target.file, updates[i].text);
        }
    }
    return true;
}

static void write_batch(RrdWriter *w, GArray *jobs)
{
    if (jobs->len == 0 || write_cached(w, jobs)) {
        return;
    }
    for (guint i = 0; i < jobs->len; i++) {
        write_file(w, &g_array_index(jobs, Job, i));
    }
}

/* What the value says, when it belongs into a file. */
static bool make_job(RrdWriter *w, const Item *item, Job *ret)
{
    Job job = {0};
    const char *value = g_bytes_get_data(item->value, NULL); /* its last byte is NUL */

    if (rrdmap_target(item->id, &job.target) < 0) {
        refuse(w, item->id, "unknown source");
        return false;
    }
    if (rrdmap_row(&job.target, value, &job.row) < 0) {
        refuse(w, item->id, "malformed value");
        return false;
    }
    job.path = g_build_filename(w->base_dir, job.target.file, NULL);
    *ret = job;
    if (ensure_file(w, ret) < 0) {
        job_clear(ret);
        return false;
    }
    return true;
}

static bool may_go_on(const RrdWriter *w)
{
    return !w->stopping ||
           (!g_queue_is_empty((GQueue *)&w->queue) && mono_before(clock_mono(), w->stop_at));
}

static gpointer run(gpointer data)
{
    RrdWriter *w = data;

    g_mutex_lock(&w->lock);
    while (may_go_on(w)) {
        GQueue batch = G_QUEUE_INIT;
        g_autoptr(GArray) jobs = g_array_new(FALSE, FALSE, sizeof(Job));

        if (g_queue_is_empty(&w->queue)) {
            g_cond_wait(&w->cond, &w->lock);
            continue;
        }
        while (!g_queue_is_empty(&w->queue) && g_queue_get_length(&batch) < RRDCACHED_BATCH_MAX) {
            g_queue_push_tail(&batch, g_queue_pop_head(&w->queue));
        }
        g_mutex_unlock(&w->lock);
        g_array_set_clear_func(jobs, job_clear);
        for (Item *item; (item = g_queue_pop_head(&batch)) != NULL; item_free(item)) {
            Job job;

            if (make_job(w, item, &job)) {
                g_array_append_val(jobs, job);
            }
        }
        write_batch(w, jobs);
        g_mutex_lock(&w->lock);
    }
    g_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- life ---- */

RrdWriter *rrd_writer_start(const RrdWriterConfig *cfg)
{
    const char *sock = cfg->cached_socket != NULL ? cfg->cached_socket : RRD_CACHED_SOCKET;
    RrdWriter *w = g_new0(RrdWriter, 1);

    w->base_dir = g_strdup(cfg->base_dir != NULL ? cfg->base_dir : RRD_BASE_DIR);
    w->tracer = cfg->tracer != NULL ? *cfg->tracer : (Tracer){0};
    w->cached = sock[0] != '\0' ? rrdcached_new(sock, cfg->cached_timeout_ms) : NULL;
    w->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&w->lock);
    g_cond_init(&w->cond);
    g_queue_init(&w->queue);
    w->thread = g_thread_new("rrd", run, w);
    return w;
}

void rrd_writer_push(RrdWriter *w, const char *id, GBytes *value)
{
    Item *item = g_new0(Item, 1);
    Item *oldest = NULL;

    item->id = g_strdup(id);
    item->value = g_bytes_ref(value);
    g_mutex_lock(&w->lock);
    if (g_queue_get_length(&w->queue) >= RRD_QUEUE_MAX) {
        oldest = g_queue_pop_head(&w->queue);
        w->stats.dropped++;
    }
    g_queue_push_tail(&w->queue, item);
    g_cond_signal(&w->cond);
    g_mutex_unlock(&w->lock);
    if (oldest != NULL) {
        metrics_add(METRIC_RRD_DROPPED, 1);
        item_free(oldest);
    }
}

void rrd_writer_stop(RrdWriter *w)
{
    if (w == NULL) {
        return;
    }
    g_mutex_lock(&w->lock);
    w->stopping = true;
    w->stop_at = mono_add_ms(clock_mono(), RRD_STOP_MS);
    g_cond_signal(&w->cond);
    g_mutex_unlock(&w->lock);
    g_thread_join(w->thread);
    rrdcached_free(w->cached);
    g_hash_table_unref(w->known);
    g_queue_clear_full(&w->queue, item_free);
    g_mutex_clear(&w->lock);
    g_cond_clear(&w->cond);
    g_free(w->base_dir);
    g_free(w);
}

void rrd_writer_stats(RrdWriter *w, RrdWriterStats *ret)
{
    g_mutex_lock(&w->lock);
    *ret = w->stats;
    ret->waiting = g_queue_get_length(&w->queue);
    g_mutex_unlock(&w->lock);
}
