/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: content that a synchronisation replaces is in a file of its own before the disk gets the
 * new one; when that file cannot be written the change is taken back and work goes on. Method: an
 * engine without its thread; the test does the thread's work, one job at a time. */
#include "lib/port/clock.h"
#include "pmxcfs/io/engine_priv.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct Fix {
    char *dir, *database;
    Engine *e;
    uint64_t token;
    uint64_t stored; /* newest number that came back from the store */
} Fix;

static void setup(Fix *f, gconstpointer data)
{
    Err err = ERR_INIT;

    (void)data;
    memset(f, 0, sizeof *f);
    f->dir = g_dir_make_tmp("quorate-save-XXXXXX", NULL);
    f->database = g_build_filename(f->dir, "config.db", NULL);
    EngineConfig cfg = {.nodename = "n1",
                        .database = f->database,
                        .host_corosync_conf = "/nonexistent",
                        .local = true};
    g_assert_cmpint(engine_open(&cfg, &f->e, &err), ==, 0);
    f->e->local = false; /* so that all work is left to the thread: to us */
    g_assert_cmpint(store_start(f->e->store, &err), ==, 0);
    g_assert_cmpint(engine_write_seeds(f->e, &err), ==, 0);
}

static void teardown(Fix *f, gconstpointer data)
{
    g_autoptr(GDir) d = g_dir_open(f->dir, 0, NULL);
    const char *name;

    (void)data;
    engine_free(f->e);
    while ((name = g_dir_read_name(d)) != NULL) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->database);
}

/* Does one round of the thread's work. */
static void work(Fix *f)
{
    Job *job = engine_take_all(f->e), *next;

    for (; job != NULL; job = next) {
        next = job->next;
        if (job->kind == JOB_SAVED) {
            engine_saved(f->e, job->code);
        } else if (job->kind == JOB_STORED) {
            f->stored = job->seq;
            engine_step(f->e, &(ReplicaEvent){.kind = REPLICA_EV_STORED, .seq = job->seq});
        } else {
            g_error("unexpected job %d", job->kind);
        }
        engine_job_free(job);
    }
}

static void work_until_stored(Fix *f, uint64_t seq)
{
    for (int i = 0; i < 60000 && f->stored < seq; i++) {
        work(f);
        g_usleep(1000);
    }
    g_assert_cmpuint(f->stored, ==, seq);
}

static void work_until_saved(Fix *f)
{
    for (int i = 0; i < 60000 && f->e->saving > 0; i++) {
        work(f);
        g_usleep(1000);
    }
    g_assert_cmpuint(f->e->saving, ==, 0);
}

static void create(Fix *f, const char *path)
{
    TreeOp op = {.kind = TREE_OP_CREATE, .path = path};

    engine_step(f->e, &(ReplicaEvent){.kind = REPLICA_EV_SUBMIT, .token = ++f->token, .op = &op});
}

static bool exists(Fix *f, const char *path)
{
    g_autoptr(Entry) e = NULL;

    return engine_lookup(f->e, path, &e) == 0;
}

static void save(Fix *f, const char *reason)
{
    g_autoptr(GPtrArray) entries = memdb_all(f->e->db);
    ReplicaAction a = {.kind = REPLICA_ACT_SAVE_LOSING_TREE,
                       .entries = entries,
                       .root = memdb_root(f->e->db),
                       .text = (char *)reason};

    g_ptr_array_remove_index(entries, 0); /* the root travels apart */
    engine_save_losing_tree(f->e, &a);
}

static GPtrArray *copies(Fix *f)
{
    g_autoptr(GDir) d = g_dir_open(f->dir, 0, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while ((name = g_dir_read_name(d)) != NULL) {
        if (strstr(name, ".replaced-") != NULL) {
            g_ptr_array_add(names, g_build_filename(f->dir, name, NULL));
        }
    }
    return names;
}

static guint rows_in(const char *path)
{
    StoreOptions opt = {.read_only = true};
    MemdbLimits limits = {1 << 20, 1 << 20, 1000};
    g_autoptr(GPtrArray) entries = NULL;
    MemdbRoot root;
    Store *store = NULL;
    bool flag;
    Err err = ERR_INIT;

    if (store_open(path, &opt, &store, &flag, &err) < 0 ||
        store_read(store, &limits, &entries, &root, &flag, NULL, &err) < 0) {
        g_error("%s", err_text(&err));
    }
    g_assert_cmpint(store_close(store), ==, 0);
    return entries->len;
}

static void test_copy_first(Fix *f, gconstpointer data)
{
    (void)data;
    create(f, "before");
    work_until_stored(f, 1);
    save(f, "diverged from node/2");
    create(f, "after");
    create(f, "later");
    g_assert_true(exists(f, "after"));          /* visible at once */
    g_assert_cmpuint(f->e->held.length, ==, 2); /* but not on disk */
    work_until_saved(f);
    work_until_stored(f, 3);
    g_autoptr(GPtrArray) names = copies(f);
    g_assert_cmpuint(names->len, ==, 1);
    g_assert_nonnull(strstr(g_ptr_array_index(names, 0), "-v2-diverged-from-node-2-1"));
    g_assert_cmpuint(rows_in(g_ptr_array_index(names, 0)), ==, 1);
}

static void test_no_copy_no_change(Fix *f, gconstpointer data)
{
    (void)data;
    create(f, "before");
    work_until_stored(f, 1);
    g_free(f->e->database);
    f->e->database = g_strdup("/nonexistent/config.db");
    save(f, "x");
    create(f, "after");
    create(f, "later");
    work_until_saved(f);
    g_assert_false(exists(f, "after"));
    g_assert_false(exists(f, "later"));
    g_assert_true(exists(f, "before"));
    create(f, "next"); /* the numbers still agree: engine_store asserts it */
    work_until_stored(f, 4);
    g_clear_pointer(&f->e, engine_free);
    g_assert_cmpuint(rows_in(f->database), ==, 2); /* "before" and "next" */
}

/* Three copies to be written, the first of which fails: nothing between is stored. */
static void test_several_at_once(Fix *f, gconstpointer data)
{
    g_autofree char *good = g_strdup(f->e->database);

    (void)data;
    g_free(f->e->database);
    f->e->database = g_strdup("/nonexistent/config.db");
    save(f, "x");
    create(f, "one");
    g_free(f->e->database);
    f->e->database = g_steal_pointer(&good);
    save(f, "y");
    create(f, "two");
    save(f, "z");
    g_assert_cmpuint(f->e->saving, ==, 3); /* nobody was waited for */
    work_until_saved(f);
    g_assert_false(exists(f, "one"));
    g_assert_false(exists(f, "two"));
    g_autoptr(GPtrArray) names = copies(f);
    g_assert_cmpuint(names->len, ==, 2);
    create(f, "three");
    work_until_stored(f, 3);
}

static void test_pruning(Fix *f, gconstpointer data)
{
    (void)data;
    create(f, "x");
    work_until_stored(f, 1);
    save(f, "diverged");
    work_until_saved(f);
    for (int i = 0; i < 8; i++) {
        save(f, "synchronised-from-node-3");
        work_until_saved(f);
    }
    g_autoptr(GPtrArray) names = copies(f);
    guint diverged = 0;
    for (guint i = 0; i < names->len; i++) {
        diverged += strstr(g_ptr_array_index(names, i), "-diverged-") != NULL;
    }
    g_assert_cmpuint(names->len, ==, 6);
    g_assert_cmpuint(diverged, ==, 1);
}

#define ADD(name, fn) g_test_add("/engine/save/" name, Fix, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("the-copy-comes-first", test_copy_first);
    ADD("without-a-copy-the-change-is-taken-back", test_no_copy_no_change);
    ADD("several-copies-at-once", test_several_at_once);
    ADD("routine-copies-are-few", test_pruning);
    return g_test_run();
}
