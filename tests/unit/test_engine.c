/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the engine of one node keeps its promises: what was acknowledged is in the file, a disk
 * that is full or broken gives its errno to the caller and memory never stays ahead of it, nobody
 * waits for ever, readers and writers in many threads see whole files, a damaged file is never
 * overwritten. Method: real engines on temporary directories and on a disk in memory that can fill
 * up and break. */
#include "pmxcfs/io/engine_priv.h"
#include "pmxcfs/io/store.h"
#include "tests/lib/crashdisk.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>

typedef struct Fix {
    char *dir, *database, *host_conf;
    EngineConfig cfg;
    Engine *e;
    Err err;
    bool then; /* changes are asked for by engine_submit_then */
} Fix;

static void setup(Fix *f, gconstpointer data)
{
    (void)data;
    memset(f, 0, sizeof *f);
    f->dir = g_dir_make_tmp("quorate-engine-XXXXXX", NULL);
    f->database = g_build_filename(f->dir, "config.db", NULL);
    f->host_conf = g_build_filename(f->dir, "corosync.conf", NULL);
    f->cfg = (EngineConfig){.nodename = "n1",
                            .database = f->database,
                            .host_corosync_conf = f->host_conf,
                            .local = true,
                            .durability = REPLICA_DURABILITY_QUORUM,
                            .node_address = "10.0.0.1"};
}

static void remove_dir(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name(d)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static void teardown(Fix *f, gconstpointer data)
{
    (void)data;
    engine_free(f->e);
    remove_dir(f->dir);
    g_free(f->dir);
    g_free(f->database);
    g_free(f->host_conf);
}

static int try_open(Fix *f)
{
    err_clear(&f->err);
    return engine_open(&f->cfg, &f->e, &f->err);
}

static void open_only(Fix *f)
{
    if (try_open(f) < 0) {
        g_error("engine_open: %s", err_text(&f->err));
    }
}

static void start(Fix *f)
{
    open_only(f);
    if (engine_start(f->e, &f->err) < 0) {
        g_error("engine_start: %s", err_text(&f->err));
    }
}

static void restart(Fix *f)
{
    g_clear_pointer(&f->e, engine_free);
    start(f);
}

/* What engine_submit_then calls. */
typedef struct Outcome {
    GMutex lock;
    GCond cond;
    int calls, result;
    Err err;
    GThread *by;
} Outcome;

static void on_outcome(void *ctx, int result, const Err *err)
{
    Outcome *o = ctx;

    g_mutex_lock(&o->lock);
    o->calls++;
    o->result = result;
    o->err = *err;
    o->by = g_thread_self();
    g_cond_signal(&o->cond);
    g_mutex_unlock(&o->lock);
}

static bool has_outcome(Outcome *o)
{
    g_mutex_lock(&o->lock);
    bool has = o->calls > 0;
    g_mutex_unlock(&o->lock);
    return has;
}

static int await_outcome(Outcome *o)
{
    gint64 end = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;

    g_mutex_lock(&o->lock);
    while (o->calls == 0) {
        g_assert_true(g_cond_wait_until(&o->cond, &o->lock, end));
    }
    g_assert_cmpint(o->calls, ==, 1);
    g_mutex_unlock(&o->lock);
    return o->result;
}

static int submit_then(Engine *e, const TreeOp *op, Err *err, GThread **ret_by)
{
    Outcome o = {.calls = 0};
    int r;

    g_mutex_init(&o.lock);
    g_cond_init(&o.cond);
    engine_submit_then(e, op, on_outcome, &o);
    r = await_outcome(&o);
    g_mutex_clear(&o.lock);
    g_cond_clear(&o.cond);
    *err = o.err;
    *ret_by = o.by;
    return r;
}

static int submit(Fix *f, TreeOp op)
{
    GThread *by;

    err_clear(&f->err);
    return f->then ? submit_then(f->e, &op, &f->err, &by)
                   : engine_submit(f->e, &op, REPLICA_WAIT_DURABLE, NULL, &f->err);
}

static int make(Fix *f, const char *path)
{
    return submit(f, (TreeOp){.kind = TREE_OP_CREATE, .path = path});
}

static int make_dir(Fix *f, const char *path)
{
    return submit(f, (TreeOp){.kind = TREE_OP_MKDIR, .path = path});
}

static int put(Fix *f, const char *path, const char *bytes, size_t n)
{
    g_autoptr(GBytes) data = g_bytes_new(bytes, n);

    return submit(f, (TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = data, .truncate = true});
}

static void assert_content(Fix *f, const char *path, const char *text)
{
    g_autoptr(Entry) e = NULL;
    char buf[256];

    g_assert_cmpint(engine_lookup(f->e, path, &e), ==, 0);
    g_assert_cmpmem(buf, entry_read(e, 0, buf, sizeof buf), text, strlen(text));
}

static int lookup(Fix *f, const char *path)
{
    g_autoptr(Entry) e = NULL;

    return engine_lookup(f->e, path, &e);
}

static char *view(Fix *f, const char *name)
{
    GString *s = NULL;

    g_assert_cmpint(engine_view(f->e, name, &s), ==, 0);
    return g_string_free(s, FALSE);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void test_changes_survive(Fix *f, gconstpointer data)
{
    (void)data;
    start(f);
    g_assert_true(engine_quorate(f->e));
    g_assert_true(engine_is_local(f->e));
    g_assert_cmpint(make_dir(f, "a"), ==, 0);
    g_assert_cmpint(make(f, "a/b"), ==, 0);
    g_assert_cmpint(put(f, "a/b", "hello", 5), ==, 5);
    g_assert_cmpint(make(f, "a/b"), ==, -EEXIST);
    g_assert_cmpint(make(f, "none/b"), ==, -ENOENT);
    g_assert_cmpint(submit(f, (TreeOp){.kind = TREE_OP_RENAME, .path = "a/b", .to = "c"}), ==, 0);
    restart(f);
    assert_content(f, "c", "hello");
    g_assert_cmpint(lookup(f, "a"), ==, 0);
    g_assert_cmpint(lookup(f, "a/b"), ==, -ENOENT);
    g_autofree char *metrics = view(f, ".metrics");
    g_assert_nonnull(strstr(metrics, "pmxcfs_tree_version 5\n"));
}

/* The same, asked for without waiting; what is refused is told, too. */
static void test_then_survives(Fix *f, gconstpointer data)
{
    Outcome o = {.calls = 0};

    f->then = true;
    test_changes_survive(f, data);
    engine_sync_then(f->e, 0, on_outcome, &o);
    g_assert_cmpint(await_outcome(&o), ==, 0);
    engine_stop(f->e);
    g_assert_cmpint(make(f, "late"), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&f->err), "stopping"));
}

static void test_sync_then(Fix *f, gconstpointer data)
{
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "x"};
    Outcome o = {.calls = 0};
    uint64_t seq = 0;

    (void)data;
    start(f);
    g_assert_cmpint(engine_submit(f->e, &op, REPLICA_WAIT_APPLIED, &seq, &f->err), ==, 0);
    engine_sync_then(f->e, seq, on_outcome, &o);
    g_assert_cmpint(await_outcome(&o), ==, 0);
    restart(f);
    g_assert_cmpint(lookup(f, "x"), ==, 0);
}

static void test_hurry(Fix *f, gconstpointer data)
{
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "x"};
    uint64_t seq = 0;

    (void)data;
    start(f);
    engine_hurry(f->e); /* for nothing */
    g_assert_cmpint(engine_submit(f->e, &op, REPLICA_WAIT_APPLIED, &seq, &f->err), ==, 0);
    engine_hurry(f->e);
    g_assert_cmpint(engine_sync(f->e, seq, &f->err), ==, 0);
    engine_stop(f->e);
    engine_hurry(f->e);
    restart(f);
    g_assert_cmpint(lookup(f, "x"), ==, 0);
}

/* Who does not wait writes to the disk itself, unless somebody is at it already. */
static void test_then_leads(Fix *f, gconstpointer data)
{
    gint64 end = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;
    TreeOp op = {.kind = TREE_OP_MTIME, .path = "x", .mtime = 1};
    GThread *by = NULL;

    (void)data;
    start(f);
    g_assert_cmpint(make(f, "x"), ==, 0);
    while (by != g_thread_self() && g_get_monotonic_time() < end) {
        g_assert_cmpint(submit_then(f->e, &op, &f->err, &by), ==, 0);
    }
    g_assert_true(by == g_thread_self());
}

/* A change that was only applied is durable after engine_sync of its number. */
static void test_sync(Fix *f, gconstpointer data)
{
    uint64_t seq = 0;
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "x"};

    (void)data;
    start(f);
    g_assert_cmpint(engine_sync(f->e, 0, &f->err), ==, 0);
    g_assert_cmpint(engine_submit(f->e, &op, REPLICA_WAIT_APPLIED, &seq, &f->err), ==, 0);
    g_assert_cmpuint(seq, >, 0);
    g_assert_cmpint(lookup(f, "x"), ==, 0);
    g_assert_cmpint(engine_sync(f->e, seq, &f->err), ==, 0);
    restart(f);
    g_assert_cmpint(lookup(f, "x"), ==, 0);
}

static void test_lock_poke(Fix *f, gconstpointer data)
{
    (void)data;
    start(f);
    g_assert_cmpint(make_dir(f, "priv"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock"), ==, 0);
    g_assert_cmpint(engine_lock_poke(f->e, "priv/lock/l", &f->err), ==, -ENOENT);
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(engine_lock_poke(f->e, "priv/lock/l", &f->err), ==, -EACCES); /* it lives */
    g_assert_cmpint(lookup(f, "priv/lock/l"), ==, 0);
}

/* Only forward (reference 4.6), also by a second or from the future: the clock was not set back. */
static void test_lock_renewal(Fix *f, gconstpointer data)
{
    uint32_t now = (uint32_t)(g_get_real_time() / G_USEC_PER_SEC);
    g_autoptr(Entry) e = NULL;
    TreeOp op = {.kind = TREE_OP_MTIME, .path = "priv/lock/l", .mtime = now + 5000};

    (void)data;
    start(f);
    g_assert_cmpint(make_dir(f, "priv"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(engine_lookup(f->e, "priv/lock/l", &e), ==, 0);
    op.mtime = e->mtime - 1;
    g_assert_cmpint(submit(f, op), ==, -EACCES);
    op.mtime = e->mtime;
    g_assert_cmpint(submit(f, op), ==, 0);
    op.mtime = now + 5000;
    g_assert_cmpint(submit(f, op), ==, 0);
    op.mtime = now;
    g_assert_cmpint(submit(f, op), ==, -EACCES);
}

/* ---- opening ------------------------------------------------------------------------------- */

static const char conf_of_two[] = "totem {\n  version: 2\n  config_version: 3\n"
                                  "  cluster_name: lab\n}\nnodelist {\n"
                                  "  node {\n    name: n1\n    nodeid: 1\n    ring0_addr: a\n  }\n"
                                  "  node {\n    name: n2\n    nodeid: 2\n    ring0_addr: b\n  }\n"
                                  "}\n";

static void test_fresh_record(Fix *f, gconstpointer data)
{
    (void)data;
    start(f);
    g_clear_pointer(&f->e, engine_free);
    open_only(f);
    g_autofree char *metrics = view(f, ".metrics");
    g_assert_nonnull(strstr(metrics, "pmxcfs_tree_version 1\n"));
    g_assert_nonnull(strstr(metrics, "pmxcfs_tree_entries 1\n"));
}

/* Reference 2.2: inode 2, version 3; not with -l, and not into a database that exists. */
static void test_import(Fix *f, gconstpointer data)
{
    g_autoptr(Entry) e = NULL;

    (void)data;
    g_assert_true(g_file_set_contents(f->host_conf, conf_of_two, -1, NULL));
    f->cfg.local = false;
    open_only(f);
    g_assert_false(engine_is_local(f->e));
    g_assert_false(engine_quorate(f->e));
    g_assert_cmpint(engine_lookup(f->e, "corosync.conf", &e), ==, 0);
    g_assert_cmpuint(e->inode, ==, 2);
    g_assert_cmpuint(e->version, ==, 3);
    g_assert_cmpuint(e->writer, ==, 0);
    g_assert_cmpuint(e->size, ==, strlen(conf_of_two));
}

static void test_import_written(Fix *f, gconstpointer data)
{
    (void)data;
    g_assert_true(g_file_set_contents(f->host_conf, conf_of_two, -1, NULL));
    start(f); /* local: nothing is imported */
    g_assert_cmpint(lookup(f, "corosync.conf"), ==, -ENOENT);
    g_clear_pointer(&f->e, engine_free);
    f->cfg.local = false;
    start(f); /* the database exists: neither now */
    g_assert_cmpint(lookup(f, "corosync.conf"), ==, -ENOENT);
    g_assert_true(engine_is_local(f->e));
    g_assert_cmpint(put(f, "corosync.conf", "", 0), ==, -ENOENT);
    g_assert_cmpint(make(f, "corosync.conf"), ==, 0);
    g_clear_pointer(&f->e, engine_free);
    open_only(f); /* even an empty one makes it a cluster */
    g_assert_false(engine_is_local(f->e));
    g_clear_pointer(&f->e, engine_free);
    f->cfg.local = true;
    open_only(f); /* unless forced */
    g_assert_true(engine_is_local(f->e));
}

/* Goal: a database of another cluster is known as such; without a cluster nobody is beside it. What
 * becomes of it shows tests/integration/odd_members.sh. */
static void test_other_cluster(Fix *f, gconstpointer data)
{
    g_auto(GStrv) parts = g_strsplit(conf_of_two, "name: lab", 2);
    g_autofree char *other = g_strjoinv("name: xyz", parts);

    (void)data;
    start(f);
    g_assert_cmpint(make(f, "corosync.conf"), ==, 0);
    g_assert_cmpint(put(f, "corosync.conf", conf_of_two, strlen(conf_of_two)), >, 0);
    g_clear_pointer(&f->e, engine_free);
    g_assert_true(g_file_set_contents(f->host_conf, other, -1, NULL));
    f->cfg.local = false;
    open_only(f);
    g_assert_true(f->e->disowned);
    g_clear_pointer(&f->e, engine_free);
    f->cfg.local = true;
    open_only(f);
    g_assert_false(f->e->disowned);
    g_clear_pointer(&f->e, engine_free);
    g_assert_true(g_file_set_contents(f->host_conf, conf_of_two, -1, NULL));
    f->cfg.local = false;
    open_only(f);
    g_assert_false(f->e->disowned);
}

static guint files_with(Fix *f, const char *prefix)
{
    g_autoptr(GDir) d = g_dir_open(f->dir, 0, NULL);
    const char *name;
    guint n = 0;

    while ((name = g_dir_read_name(d)) != NULL) {
        n += g_str_has_prefix(name, prefix);
    }
    return n;
}

static void test_damaged_refused(Fix *f, gconstpointer data)
{
    g_autofree char *after = NULL;
    gsize size = 0;

    (void)data;
    g_assert_true(g_file_set_contents(f->database, "this is no database", -1, NULL));
    g_assert_cmpint(try_open(f), ==, -EBADMSG);
    g_assert_nonnull(strstr(err_text(&f->err), "pmxcfs-db"));
    g_assert_true(g_file_get_contents(f->database, &after, &size, NULL));
    g_assert_cmpmem(after, size, "this is no database", 19);
    /* With -l nobody else can bring the content back either. */
    g_assert_true(g_file_set_contents(f->host_conf, conf_of_two, -1, NULL));
    g_assert_cmpint(try_open(f), ==, -EBADMSG);
    g_assert_cmpuint(files_with(f, "config.db.damaged-"), ==, 0);
}

/* A file without a directory, put there by another program in its own way of writing. */
static void add_orphan(Fix *f, const char *journal_mode)
{
    g_autofree char *sql = g_strdup_printf(
        "PRAGMA journal_mode=%s; INSERT INTO tree VALUES (77, 76, 1, 0, 1, 8, 'lost', x'31')",
        journal_mode);
    sqlite3 *db = NULL;

    g_assert_cmpint(sqlite3_open(f->database, &db), ==, SQLITE_OK);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

static GBytes *file_bytes(const char *path)
{
    char *text = NULL;
    gsize size = 0;

    return g_file_get_contents(path, &text, &size, NULL) ? g_bytes_new_take(text, size)
                                                         : g_bytes_new(NULL, 0);
}

/* Pages in order, content not: not even the header of the file may change. */
static void test_bad_content_untouched(Fix *f, gconstpointer journal_mode)
{
    g_autofree char *wal_path = g_strconcat(f->database, "-wal", NULL);
    bool in_wal = strcmp(journal_mode, "wal") == 0;

    start(f);
    g_assert_cmpint(make(f, "file"), ==, 0);
    g_clear_pointer(&f->e, engine_free);
    add_orphan(f, journal_mode);
    g_autoptr(GBytes) before = file_bytes(f->database);
    g_autoptr(GBytes) wal_before = file_bytes(wal_path);
    g_assert_true(in_wal == (g_bytes_get_size(wal_before) > 0));
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(try_open(f), ==, -EBADMSG);
        g_assert_nonnull(strstr(err_text(&f->err), "'lost'"));
        g_autoptr(GBytes) after = file_bytes(f->database);
        g_autoptr(GBytes) wal_after = file_bytes(wal_path);
        g_assert_true(g_bytes_equal(before, after));
        g_assert_true(g_bytes_equal(wal_before, wal_after));
    }
}

static void test_damaged_set_aside(Fix *f, gconstpointer data)
{
    (void)data;
    g_assert_true(g_file_set_contents(f->database, "this is no database", -1, NULL));
    g_assert_true(g_file_set_contents(f->host_conf, conf_of_two, -1, NULL));
    f->cfg.local = false;
    open_only(f);
    g_assert_cmpuint(files_with(f, "config.db.damaged-"), ==, 1);
    g_assert_false(engine_is_local(f->e));
    g_assert_cmpint(lookup(f, "corosync.conf"), ==, 0);
}

static void test_second_instance(Fix *f, gconstpointer data)
{
    Engine *second = NULL;

    (void)data;
    start(f);
    g_assert_cmpint(engine_open(&f->cfg, &second, &f->err), <, 0);
    g_assert_null(second);
    g_assert_cmpint(make(f, "still-alive"), ==, 0);
}

/* ---- views --------------------------------------------------------------------------------- */

static void test_views(Fix *f, gconstpointer data)
{
    GString *none = NULL;

    (void)data;
    start(f);
    g_autofree char *members = view(f, ".members");
    g_assert_cmpstr(members, ==, "{\n\"nodename\": \"n1\",\n\"version\": 0\n}\n");
    g_autofree char *vmlist = view(f, ".vmlist");
    g_assert_cmpstr(vmlist, ==, "{\n\"version\": 0\n\n}\n");
    g_autofree char *debug = view(f, ".debug");
    g_assert_cmpstr(debug, ==, "0\n");
    g_assert_cmpint(engine_status_set(f->e, "kv/x", "1", 1, &f->err), ==, 0);
    g_autofree char *version = view(f, ".version");
    g_assert_nonnull(strstr(version, "\"vmlist\": 0,\n\"corosync.conf\": 1,\n"));
    g_assert_true(g_str_has_suffix(version, "\"kvstore\": {\n\"n1\": {\n\"kv/x\": 0}\n}\n}\n"));
    g_autoptr(GBytes) value = NULL;
    g_assert_cmpint(engine_status_get(f->e, "", "kv/x", &value), ==, 0);
    g_assert_cmpuint(g_bytes_get_size(value), ==, 1);
    g_assert_cmpint(engine_log(f->e, 6, "root@pam", "tag", 42, "a \"message\"", &f->err), ==, 0);
    g_autofree char *log = view(f, ".clusterlog");
    g_assert_nonnull(strstr(log, "a \\\"message\\\""));
    g_assert_nonnull(strstr(log, "starting cluster log"));
    g_assert_cmpint(engine_view(f->e, "local", &none), ==, -ENOENT);
    g_assert_cmpint(engine_view(f->e, ".events", &none), ==, -ENOENT);
}

/* ---- listeners and feed -------------------------------------------------------------------- */

typedef struct Heard {
    int deltas, status, undone;
    uint64_t version;
} Heard;

static void hear(void *ctx, const EngineNotice *n)
{
    Heard *h = ctx;

    if (n->kind == ENGINE_NOTICE_DELTA) {
        h->deltas += n->own;
        h->undone += n->delta->root_after.version < n->delta->root_before.version;
        h->version = n->delta->root_after.version;
    } else if (n->kind == ENGINE_NOTICE_STATUS) {
        h->status++;
    }
}

static void test_notices(Fix *f, gconstpointer data)
{
    Heard h = {0};
    FeedCursor c;
    char buf[512];

    (void)data;
    open_only(f);
    engine_listen(f->e, hear, &h);
    g_assert_cmpint(engine_start(f->e, &f->err), ==, 0);
    feed_cursor_init(&c, engine_feed(f->e), true, (WallTime){1});
    size_t at = feed_read(engine_feed(f->e), &c, 0, buf, sizeof buf);
    g_assert_cmpint(make(f, "x"), ==, 0);
    g_assert_cmpint(h.deltas, ==, 1); /* heard before the caller was answered */
    g_assert_cmpuint(h.version, ==, 2);
    g_assert_cmpint(make(f, "x"), ==, -EEXIST);
    g_assert_cmpint(h.deltas, ==, 1);
    size_t n = feed_read(engine_feed(f->e), &c, at, buf, sizeof buf - 1);
    buf[n] = '\0';
    g_assert_nonnull(strstr(buf, "\"op\":\"create\",\"path\":\"x\",\"version\":2"));
    feed_cursor_done(&c);
    g_clear_pointer(&f->e, engine_free);
}

static void test_after_stop(Fix *f, gconstpointer data)
{
    (void)data;
    start(f);
    g_assert_cmpint(make(f, "x"), ==, 0);
    engine_stop(f->e);
    g_assert_cmpint(make(f, "y"), ==, -EBUSY);
    g_assert_cmpint(lookup(f, "x"), ==, 0);
    g_autofree char *metrics = view(f, ".metrics");
    g_assert_nonnull(strstr(metrics, "pmxcfs_disk_bytes_total 0\n"));
    engine_stop(f->e);
}

/* ---- a bad disk ---------------------------------------------------------------------------- */

static CrashDisk *disk;

static void setup_disk(Fix *f, gconstpointer data)
{
    setup(f, data);
    disk = crashdisk_new("engine-test");
    f->cfg.vfs = "engine-test";
    f->cfg.database = "config.db";
    start(f);
}

static void teardown_disk(Fix *f, gconstpointer data)
{
    g_clear_pointer(&f->e, engine_free);
    crashdisk_free(disk);
    teardown(f, data);
}

/* 18.1.9: ENOSPC reaches the caller, memory does not stay ahead, and when space returns work goes
 * on without a restart. The content is larger than what is free and all that folding the WAL frees.
 */
static void test_disk_full(Fix *f, gconstpointer data)
{
    g_autofree char *big = g_strnfill(600000, 'x');

    (void)data;
    g_assert_cmpint(make(f, "small"), ==, 0);
    g_assert_cmpint(make(f, "big"), ==, 0);
    crashdisk_set_capacity(disk, crashdisk_used(disk) + 50000);
    g_assert_cmpint(put(f, "big", big, 600000), ==, -ENOSPC);
    assert_content(f, "big", "");
    g_assert_cmpint(put(f, "big", big, 600000), ==, -ENOSPC); /* again, no latch */
    crashdisk_set_capacity(disk, 0);
    g_assert_cmpint(put(f, "big", big, 600000), ==, 600000);
    g_assert_cmpint(put(f, "small", "works", 5), ==, 5);
    restart(f);
    assert_content(f, "small", "works");
}

/* Reading never fails, whatever the disk does (INV-3). */
static void test_disk_broken(Fix *f, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(make(f, "x"), ==, 0);
    g_assert_cmpint(put(f, "x", "before", 6), ==, 6);
    crashdisk_fault(disk, FAULT_EIO, 1, CRASHDISK_LASTING);
    g_assert_cmpint(put(f, "x", "never", 5), ==, -EIO);
    assert_content(f, "x", "before");
    g_assert_cmpint(make(f, "y"), ==, -EIO);
    g_assert_cmpint(lookup(f, "y"), ==, -ENOENT);
    crashdisk_fault(disk, FAULT_NONE, 0, 0);
    g_assert_cmpint(put(f, "x", "after", 5), ==, 5);
    restart(f);
    assert_content(f, "x", "after");
}

typedef struct Writer {
    Engine *e;
    const char *path;
    bool then;
    Outcome *outcome;
    gint returned;
} Writer;

static gpointer write_mtime(gpointer data)
{
    Writer *w = data;
    TreeOp op = {.kind = TREE_OP_MTIME, .path = w->path, .mtime = 7};

    if (w->then) {
        engine_submit_then(w->e, &op, on_outcome, w->outcome);
    } else {
        on_outcome(w->outcome,
                   engine_submit(w->e, &op, REPLICA_WAIT_DURABLE, NULL, &w->outcome->err),
                   &w->outcome->err);
    }
    g_atomic_int_set(&w->returned, 1);
    return NULL;
}

static void await(bool (*fn)(void *ctx), void *ctx)
{
    for (int i = 0; i < 90000 && !fn(ctx); i++) {
        g_usleep(1000);
    }
    g_assert_true(fn(ctx));
}

static bool disk_hangs(void *ctx)
{
    (void)ctx;
    return crashdisk_hanging(disk) > 0;
}

static bool has_returned(void *ctx)
{
    return g_atomic_int_get(&((Writer *)ctx)->returned) != 0;
}

/* A disk that does not come back keeps the one thread that writes to it, and no other: what it was
 * asked for is visible, readers read, and who comes after gets the thread back. */
static void test_disk_hangs(Fix *f, gconstpointer data)
{
    Outcome outcomes[3] = {{.calls = 0}};
    Writer writers[3];
    GThread *threads[3];

    (void)data;
    g_assert_cmpint(make(f, "0"), ==, 0);
    crashdisk_hang(disk, true);
    for (int i = 0; i < 3; i++) {
        writers[i] = (Writer){f->e, "0", i < 2, &outcomes[i], 0};
        threads[i] = g_thread_new("writer", write_mtime, &writers[i]);
        if (i == 0) {
            await(disk_hangs, NULL);
        } else if (i == 1) {
            await(has_returned, &writers[i]);
        }
    }
    g_autoptr(Entry) e = NULL;
    g_assert_cmpint(engine_lookup(f->e, "0", &e), ==, 0);
    g_assert_cmpuint(e->mtime, ==, 7);
    for (int i = 0; i < 3; i++) {
        g_assert_false(has_outcome(&outcomes[i])); /* nothing is durable */
    }
    g_assert_cmpuint(crashdisk_hanging(disk), ==, 1);
    crashdisk_hang(disk, false);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(await_outcome(&outcomes[i]), ==, 0);
        g_thread_join(threads[i]);
    }
}

/* A daemon that is to stop does not hold a caller for as long as its disk does. */
static void test_disk_hangs_ending(Fix *f, gconstpointer data)
{
    Outcome outcomes[2] = {{.calls = 0}};
    Writer writers[2];
    GThread *threads[2];

    (void)data;
    g_assert_cmpint(make(f, "0"), ==, 0);
    crashdisk_hang(disk, true);
    for (int i = 0; i < 2; i++) {
        writers[i] = (Writer){f->e, "0", i == 0, &outcomes[i], 0};
        threads[i] = g_thread_new("writer", write_mtime, &writers[i]);
        if (i == 0) {
            await(disk_hangs, NULL);
        }
    }
    engine_ending(f->e);
    engine_ending(f->e); /* counts from the first */
    g_assert_cmpint(await_outcome(&outcomes[1]), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&outcomes[1].err), "stopping"));
    g_assert_cmpuint(crashdisk_hanging(disk), ==, 1);
    crashdisk_hang(disk, false);
    g_assert_cmpint(await_outcome(&outcomes[0]), ==, 0);
    for (int i = 0; i < 2; i++) {
        g_thread_join(threads[i]);
    }
}

static void test_then_disk_full(Fix *f, gconstpointer data)
{
    f->then = true;
    test_disk_full(f, data);
}

static void test_then_disk_broken(Fix *f, gconstpointer data)
{
    f->then = true;
    test_disk_broken(f, data);
}

/* All that a reader sees, as text. */
static void snapshot_dir(Fix *f, uint64_t dir, const char *path, GString *out)
{
    g_autoptr(GPtrArray) list = engine_list(f->e, dir);

    for (guint i = 0; i < list->len; i++) {
        const Entry *e = g_ptr_array_index(list, i);
        g_autofree char *full = g_strdup_printf("%s/%s", path, e->name);
        char buf[64];
        size_t n = entry_read(e, 0, buf, sizeof buf);
        g_string_append_printf(out, "%s %d %u %.*s\n", full, e->type, e->size, (int)n, buf);
        if (e->type == ENTRY_DIR) {
            snapshot_dir(f, e->inode, full, out);
        }
    }
}

static char *snapshot(Fix *f)
{
    GString *out = g_string_new(NULL);

    snapshot_dir(f, 0, "", out);
    return g_string_free(out, FALSE);
}

static int delete_all(Fix *f)
{
    static const char *const paths[] = {"d/a", "b", "c", "d"};
    int n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        n += submit(f, (TreeOp){.kind = TREE_OP_DELETE, .path = paths[i]}) == 0;
    }
    return n;
}

/* Results do not matter: each call tells the truth, whatever that is. */
static int some_changes(Fix *f)
{
    int failed = 0;

    failed += make_dir(f, "d") < 0;
    failed += make(f, "d/a") < 0;
    failed += put(f, "d/a", "one", 3) < 0;
    failed += submit(f, (TreeOp){.kind = TREE_OP_RENAME, .path = "d/a", .to = "b"}) < 0;
    failed += put(f, "b", "two", 3) < 0;
    failed += make(f, "c") < 0;
    failed += submit(f, (TreeOp){.kind = TREE_OP_RENAME, .path = "c", .to = "b"}) < 0;
    failed += submit(f, (TreeOp){.kind = TREE_OP_DELETE, .path = "d"}) < 0;
    return failed;
}

/* One call of the disk fails, each in turn: memory and file agree afterwards, and work goes on. */
static void test_disk_each_call(Fix *f, gconstpointer data)
{
    bool met = true;
    guint runs = 0, refused = 0;

    (void)data;
    for (int kind = FAULT_NONE + 1; kind < FAULT_N; kind++) {
        met = true;
        for (uint64_t n = 1; met; n++) {
            crashdisk_fault(disk, (FaultKind)kind, n, 1);
            refused += some_changes(f) > 0;
            met = crashdisk_fault_met(disk);
            crashdisk_fault(disk, FAULT_NONE, 0, 0);
            g_autofree char *in_memory = snapshot(f);
            restart(f);
            g_autofree char *on_disk = snapshot(f);
            g_assert_cmpstr(in_memory, ==, on_disk);
            (void)delete_all(f);
            g_assert_cmpint(some_changes(f), ==, 0);
            (void)delete_all(f);
            runs++;
        }
    }
    g_test_message("%u runs, %u with refused changes", runs, refused);
    g_assert_cmpuint(refused, >, 20);
}

/* ---- threads ------------------------------------------------------------------------------- */

#define WRITERS 4
#define READERS 4

typedef struct Crowd {
    Fix *f;
    int id;
    int rounds;
    gint *stop;
} Crowd;

/* Rewrites its files with blocks of one letter, makes and removes others. */
static gpointer writer(gpointer data)
{
    Crowd *c = data;
    g_autofree char *path = g_strdup_printf("file%d", c->id);
    g_autofree char *other = g_strdup_printf("other%d", c->id);
    g_autofree char *renamed = g_strdup_printf("renamed%d", c->id);

    for (int i = 0; i < c->rounds; i++) {
        g_autofree char *block = g_strnfill(1000 + (gsize)i, (char)('a' + i % 26));
        g_autoptr(GBytes) bytes = g_bytes_new(block, strlen(block));
        TreeOp ops[] = {
            {.kind = TREE_OP_WRITE, .path = path, .data = bytes, .truncate = true},
            {.kind = TREE_OP_CREATE, .path = other},
            {.kind = TREE_OP_RENAME, .path = other, .to = renamed},
            {.kind = TREE_OP_DELETE, .path = renamed},
        };
        for (size_t k = 0; k < G_N_ELEMENTS(ops); k++) {
            ReplicaWait wait = k == 0 ? REPLICA_WAIT_DURABLE : REPLICA_WAIT_APPLIED;
            g_assert_cmpint(engine_submit(c->f->e, &ops[k], wait, NULL, NULL), >=, 0);
        }
    }
    return NULL;
}

static void read_whole_file(Crowd *c, const char *path)
{
    g_autoptr(Entry) e = NULL;
    char buf[4096];

    g_assert_cmpint(engine_lookup(c->f->e, path, &e), ==, 0);
    size_t n = entry_read(e, 0, buf, sizeof buf);
    for (size_t i = 1; i < n; i++) {
        g_assert_cmpint(buf[i], ==, buf[0]); /* never half of one and half of another */
    }
}

static gpointer reader(gpointer data)
{
    Crowd *c = data;

    while (g_atomic_int_get(c->stop) == 0) {
        for (int i = 0; i < WRITERS; i++) {
            g_autofree char *path = g_strdup_printf("file%d", i);
            read_whole_file(c, path);
        }
        g_autoptr(GPtrArray) list = engine_list(c->f->e, 0);
        g_assert_cmpuint(list->len, >=, WRITERS);
        g_autofree char *version = view(c->f, ".version");
        g_autofree char *metrics = view(c->f, ".metrics");
        g_assert_nonnull(strstr(version, "starttime"));
        g_assert_nonnull(strstr(metrics, "pmxcfs_changes_total"));
        g_assert_cmpint(engine_status_set(c->f->e, "kv/x", "y", 1, NULL), ==, 0);
    }
    return NULL;
}

static void test_crowd(Fix *f, gconstpointer data)
{
    gint stop = 0;
    Crowd crowd[WRITERS + READERS];
    GThread *threads[WRITERS + READERS];

    (void)data;
    f->cfg.durability = REPLICA_DURABILITY_RELAXED;
    start(f);
    for (int i = 0; i < WRITERS; i++) {
        g_autofree char *path = g_strdup_printf("file%d", i);
        g_assert_cmpint(make(f, path), ==, 0);
    }
    for (int i = 0; i < WRITERS + READERS; i++) {
        crowd[i] = (Crowd){.f = f, .id = i, .rounds = g_test_quick() ? 100 : 2000, .stop = &stop};
        threads[i] = g_thread_new("crowd", i < WRITERS ? writer : reader, &crowd[i]);
    }
    for (int i = 0; i < WRITERS + READERS; i++) {
        if (i == WRITERS) {
            g_atomic_int_set(&stop, 1);
        }
        g_thread_join(threads[i]);
    }
    g_autoptr(GPtrArray) list = engine_list(f->e, 0);
    g_assert_cmpuint(list->len, ==, WRITERS);
}

static void test_then_each_call(Fix *f, gconstpointer data)
{
    f->then = true;
    test_disk_each_call(f, data);
}

/* Callers that wait while the engine stops get an answer. */
static gpointer write_until_stopped(gpointer data)
{
    Crowd *c = data;
    int r;

    do {
        TreeOp op = {.kind = TREE_OP_MTIME, .path = "x", .mtime = 1};
        Err err = ERR_INIT;
        GThread *by;
        r = c->f->then ? submit_then(c->f->e, &op, &err, &by)
                       : engine_submit(c->f->e, &op, REPLICA_WAIT_DURABLE, NULL, NULL);
    } while (r >= 0);
    return GINT_TO_POINTER(r);
}

static void test_stop_under_load(Fix *f, gconstpointer data)
{
    GThread *threads[WRITERS];
    Crowd c = {.f = f};

    (void)data;
    start(f);
    g_assert_cmpint(make(f, "x"), ==, 0);
    for (int i = 0; i < WRITERS; i++) {
        threads[i] = g_thread_new("load", write_until_stopped, &c);
    }
    g_usleep(50000);
    engine_stop(f->e);
    for (int i = 0; i < WRITERS; i++) {
        g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(threads[i])), ==, -EBUSY);
    }
}

static void test_then_stop_under_load(Fix *f, gconstpointer data)
{
    f->then = true;
    test_stop_under_load(f, data);
}

#define ADD(name, fn)      g_test_add("/engine/" name, Fix, NULL, setup, fn, teardown)
#define ADD_DISK(name, fn) g_test_add("/engine/" name, Fix, NULL, setup_disk, fn, teardown_disk)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("changes/survive-a-restart", test_changes_survive);
    ADD("changes/sync-makes-durable", test_sync);
    ADD("then/survives-a-restart", test_then_survives);
    ADD("then/sync-makes-durable", test_sync_then);
    ADD("then/writes-itself", test_then_leads);
    ADD("hurry", test_hurry);
    ADD("lock/poke-of-a-live-lock-is-refused", test_lock_poke);
    ADD("lock/renewal-only-forward", test_lock_renewal);
    ADD("open/fresh-file-has-version-1", test_fresh_record);
    ADD("open/fresh-file-imports-corosync-conf", test_import);
    ADD("open/mode-follows-the-tree", test_import_written);
    ADD("open/database-of-another-cluster", test_other_cluster);
    ADD("open/damaged-file-is-refused-and-kept", test_damaged_refused);
    g_test_add("/engine/open/bad-content-is-untouched/delete", Fix, "delete", setup,
               test_bad_content_untouched, teardown);
    g_test_add("/engine/open/bad-content-is-untouched/wal", Fix, "wal", setup,
               test_bad_content_untouched, teardown);
    ADD("open/damaged-file-is-set-aside-in-a-cluster", test_damaged_set_aside);
    ADD("open/second-instance-is-refused", test_second_instance);
    ADD("views", test_views);
    ADD("notices/heard-before-the-answer", test_notices);
    ADD("stop/changes-are-refused-reads-go-on", test_after_stop);
    ADD("stop/waiting-callers-are-answered", test_stop_under_load);
    ADD("then/stop", test_then_stop_under_load);
    ADD("threads/whole-files-only", test_crowd);
    ADD_DISK("disk/full-and-space-returns", test_disk_full);
    ADD_DISK("disk/broken-and-repaired", test_disk_broken);
    ADD_DISK("disk/each-call-fails-once", test_disk_each_call);
    ADD_DISK("disk/hangs", test_disk_hangs);
    ADD_DISK("disk/hangs-when-ending", test_disk_hangs_ending);
    ADD_DISK("then/disk-full", test_then_disk_full);
    ADD_DISK("then/disk-broken", test_then_disk_broken);
    ADD_DISK("then/each-call-fails-once", test_then_each_call);
    return g_test_run();
}
