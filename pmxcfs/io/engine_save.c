/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of content that a synchronisation replaces. The rule of the group is that the highest
 * version wins, whatever it is worth (reference 18.1.3); here nothing is lost by it: the tree that
 * loses is written to a file beside the database before the new one may reach the disk.
 *
 * A node that was merely behind loses nothing of value, but that cannot always be told. Copies
 * whose reason says no more than "synchronised" are kept for a few times only.
 */
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "pmxcfs/io/engine_priv.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define ROUTINE      "synchronised" /* begin of the reason of a copy that is one of many */
#define ROUTINE_KEPT 5
#define NAME_TRIES   100

typedef struct SaveTask {
    Engine *engine;
    GPtrArray *entries;
    MemdbRoot root;
    char *dir, *prefix, *reason;
} SaveTask;

static void task_free(gpointer data)
{
    SaveTask *t = data;

    g_ptr_array_unref(t->entries);
    g_free(t->dir);
    g_free(t->prefix);
    g_free(t->reason);
    g_free(t);
}

/* ---- the saver's thread -------------------------------------------------------------------- */

static gint by_text_descending(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

/* Names begin alike and go on with the time: the greatest are the newest. */
static void prune(const SaveTask *t)
{
    g_autoptr(GDir) dir = g_dir_open(t->dir, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (g_str_has_prefix(name, t->prefix) && strstr(name, "-" ROUTINE) != NULL) {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_ptr_array_sort(names, by_text_descending);
    for (guint i = ROUTINE_KEPT; i < names->len; i++) {
        g_autofree char *path = g_build_filename(t->dir, g_ptr_array_index(names, i), NULL);
        if (g_unlink(path) < 0) {
            log_line(TRACE_WARNING, "database", "'%s': %s", path, g_strerror(errno));
        }
    }
}

static int save_tree(const SaveTask *t, Err *err)
{
    g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc(clock_wall().sec);
    g_autofree char *stamp = g_date_time_format(when, "%Y%m%dT%H%M%SZ");
    int r = -EEXIST;

    for (int i = 1; i <= NAME_TRIES && r == -EEXIST; i++) {
        g_autofree char *name = g_strdup_printf("%s%s-v%" G_GUINT64_FORMAT "-%s-%d", t->prefix,
                                                stamp, t->root.version, t->reason, i);
        r = store_save_tree(t->dir, name, t->entries, &t->root, err);
        if (r == 0) {
            log_line(g_str_has_prefix(t->reason, ROUTINE) ? TRACE_INFO : TRACE_WARNING, "database",
                     "the content that was replaced is kept as '%s/%s'", t->dir, name);
        }
    }
    return r;
}

static gpointer save_thread(gpointer data)
{
    SaveTask *t = data;
    Job *job = engine_job_new(JOB_SAVED);
    Err err = ERR_INIT;

    job->code = save_tree(t, &err);
    if (job->code < 0) {
        log_line(TRACE_ERR, "database", "keeping a copy of the content to be replaced in '%s': %s",
                 t->dir, err_text(&err));
    } else {
        prune(t);
    }
    engine_push(t->engine, job);
    task_free(t);
    return NULL;
}

/* ---- the cfs thread ------------------------------------------------------------------------ */

/* The reason becomes part of a file name. */
static char *name_part(const char *text)
{
    char *part = g_strndup(text != NULL ? text : ROUTINE, 64);

    return g_strcanon(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", '-');
}

/* One copy at a time: a disk that hangs holds up those behind it, and not this thread. */
static void save_next(Engine *e)
{
    if (e->saver == NULL && !g_queue_is_empty(&e->to_save)) {
        e->saver = g_thread_new("save", save_thread, g_queue_pop_head(&e->to_save));
    }
}

void engine_save_losing_tree(Engine *e, const ReplicaAction *a)
{
    g_autofree char *base = g_path_get_basename(e->database);
    SaveTask *t = g_new0(SaveTask, 1);

    t->engine = e;
    t->entries = g_ptr_array_ref(a->entries);
    t->root = a->root;
    t->dir = g_path_get_dirname(e->database);
    t->prefix = g_strconcat(base, ".replaced-", NULL);
    t->reason = name_part(a->text);
    log_line(TRACE_NOTICE, "dcdb", "local content is replaced: %s", t->reason);
    e->saving++;
    g_queue_push_tail(&e->to_save, t);
    save_next(e);
}

static void submit(Engine *e, MemdbDelta *delta, uint64_t seq, bool more)
{
    e->submitted = store_submit(e->store, delta, more || e->caller_leads);
    g_assert(e->submitted == seq + e->seq_base);
}

void engine_store(Engine *e, const ReplicaAction *a, bool more)
{
    if (e->saving > 0) {
        a->delta->seq = a->seq; /* the store will set its own */
        g_queue_push_tail(&e->held, memdb_delta_ref(a->delta));
    } else {
        submit(e, a->delta, a->seq, more);
    }
}

/* Without a copy the change must not reach the disk: it is reported as failed, and the replica
 * takes it back. Its number, and those behind it, go to the store for nothing, so that both keep
 * counting alike. */
void engine_saved(Engine *e, int code)
{
    const MemdbDelta *first = g_queue_peek_head(&e->held);
    uint64_t seq = first != NULL ? first->seq : 0;
    MemdbRoot root = first != NULL ? first->root_before : (MemdbRoot){0};
    MemdbDelta *delta;

    (void)g_thread_join(g_steal_pointer(&e->saver)); /* this was its last word */
    save_next(e);
    if (code < 0 && e->save_code == 0) {
        e->save_code = code;
    }
    if (--e->saving > 0) {
        return;
    }
    code = e->save_code;
    e->save_code = 0;
    while ((delta = g_queue_pop_head(&e->held)) != NULL) {
        g_autoptr(MemdbDelta) nothing = memdb_empty_delta(&root);
        submit(e, code < 0 ? nothing : delta, delta->seq, e->held.length > 0);
        memdb_delta_unref(delta);
    }
    if (code < 0 && seq != 0) {
        engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_STORE_FAILED, .seq = seq, .code = code});
    }
}

void engine_save_init(Engine *e)
{
    g_queue_init(&e->held);
    g_queue_init(&e->to_save);
}

void engine_save_done(Engine *e)
{
    if (e->saver != NULL) {
        (void)g_thread_join(e->saver);
    }
    g_queue_clear_full(&e->to_save, task_free);
    g_queue_clear_full(&e->held, (GDestroyNotify)memdb_delta_unref);
}
