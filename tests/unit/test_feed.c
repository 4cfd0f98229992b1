/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the change feed tells every change once, in order, to everybody who may know of it; who
 * comes back with a number misses nothing or is told so. Also the text of the metrics. Method: a
 * real tree makes the deltas; readers with small and large buffers. */
#include "pmxcfs/io/feed.h"
#include "pmxcfs/io/metrics.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define START_SEQ (1000 * (guint64)FEED_NUMBERS_PER_SEC)

static const WallTime wall = {1234};

typedef struct Fix {
    Feed *feed;
    Memdb *db;
    int woken;
} Fix;

static void wake(void *ctx)
{
    ((Fix *)ctx)->woken++;
}

static void setup(Fix *f, gconstpointer data)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    (void)data;
    *f = (Fix){.feed = feed_new((WallTime){1000}), .db = memdb_new(NULL, NULL)};
    feed_set_listener(f->feed, wake, f);
    g_assert_cmpint(memdb_load(f->db, none, NULL, (MonoTime){0}, NULL, NULL), ==, 0);
}

static void teardown(Fix *f, gconstpointer data)
{
    (void)data;
    feed_free(f->feed);
    memdb_free(f->db);
}

static void change(Fix *f, TreeOp op)
{
    g_autoptr(MemdbDelta) delta = NULL;

    g_assert_cmpint(memdb_apply(f->db, &op, (TreeOrigin){3, 0}, false, (MonoTime){0}, &delta), >=,
                    0);
    feed_append_delta(f->feed, delta, true, wall);
}

static void make(Fix *f, const char *path)
{
    change(f, (TreeOp){.kind = TREE_OP_CREATE, .path = path});
}

/* Reads on until nothing comes, `step` bytes at a time. */
static char *read_all(Fix *f, FeedCursor *c, uint64_t *offset, size_t step)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char buf[4096];
    size_t n;

    while ((n = feed_read(f->feed, c, *offset, buf, step)) > 0) {
        g_string_append_len(out, buf, (gssize)n);
        *offset += n;
    }
    return g_strdup(out->str);
}

static void test_lines(Fix *f, gconstpointer data)
{
    FeedCursor c;
    uint64_t offset = 0;
    g_autoptr(GBytes) bytes = g_bytes_new("x", 1);

    (void)data;
    feed_cursor_init(&c, f->feed, true, wall);
    g_assert_true(feed_ready(f->feed, &c));
    g_autofree char *hello = read_all(f, &c, &offset, 4096);
    g_assert_cmpstr(hello, ==, "{\"seq\":1048576000,\"time\":1234,\"op\":\"open\"}\n");
    g_assert_false(feed_ready(f->feed, &c));

    make(f, "a\"b");
    change(f, (TreeOp){.kind = TREE_OP_WRITE, .path = "a\"b", .data = bytes});
    change(f, (TreeOp){.kind = TREE_OP_MTIME, .path = "a\"b", .mtime = 9});
    change(f, (TreeOp){.kind = TREE_OP_MKDIR, .path = "d"});
    make(f, "d/old");
    change(f, (TreeOp){.kind = TREE_OP_RENAME, .path = "a\"b", .to = "d/old"});
    change(f, (TreeOp){.kind = TREE_OP_DELETE, .path = "d/old"});
    change(f, (TreeOp){.kind = TREE_OP_DELETE, .path = "d"});
    feed_append_quorum(f->feed, false, wall);
    g_assert_cmpint(f->woken, ==, 9);
    g_assert_true(feed_ready(f->feed, &c));

    static const char *const ops[] = {"create", "write",  "touch",  "mkdir", "create",
                                      "delete", "rename", "delete", "rmdir", "quorum"};
    g_autofree char *text = read_all(f, &c, &offset, 4096);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, G_N_ELEMENTS(ops) + 1);
    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
        g_autoptr(JsonNode) node = json_from_string(lines[i], NULL);
        g_assert_nonnull(node);
        JsonObject *o = json_node_get_object(node);
        g_assert_cmpstr(json_object_get_string_member(o, "op"), ==, ops[i]);
        g_assert_cmpint(json_object_get_int_member(o, "seq"), ==, START_SEQ + 1 + i);
    }
    g_assert_cmpstr(lines[6], ==,
                    "{\"seq\":1048576007,\"time\":1234,\"op\":\"rename\",\"path\":\"a\\\"b\","
                    "\"to\":\"d/old\",\"version\":7,\"node\":3,\"own\":true}");
    feed_cursor_done(&c);
}

static void test_small_buffers(Fix *f, gconstpointer data)
{
    FeedCursor big, small;
    uint64_t big_offset = 0, small_offset = 0;

    (void)data;
    feed_cursor_init(&big, f->feed, true, wall);
    feed_cursor_init(&small, f->feed, true, wall);
    for (int i = 0; i < 50; i++) {
        g_autofree char *path = g_strdup_printf("file%d", i);
        make(f, path);
    }
    g_autofree char *a = read_all(f, &big, &big_offset, 4096);
    g_autofree char *b = read_all(f, &small, &small_offset, 7);
    g_assert_cmpstr(a, ==, b);
    feed_cursor_done(&big);
    feed_cursor_done(&small);
}

static void test_resume(Fix *f, gconstpointer data)
{
    FeedCursor c;
    uint64_t offset = START_SEQ + 1; /* after the first line */

    (void)data;
    make(f, "a");
    make(f, "b");
    feed_cursor_init(&c, f->feed, true, wall);
    g_autofree char *text = read_all(f, &c, &offset, 4096);
    g_assert_nonnull(strstr(text, "\"path\":\"b\""));
    g_assert_null(strstr(text, "\"path\":\"a\""));
    g_assert_null(strstr(text, "open"));
    make(f, "c");
    g_autofree char *more = read_all(f, &c, &offset, 4096);
    g_assert_nonnull(strstr(more, "\"path\":\"c\""));
    offset = START_SEQ; /* and back */
    g_autofree char *again = read_all(f, &c, &offset, 4096);
    g_assert_nonnull(strstr(again, "\"path\":\"a\""));
    g_assert_nonnull(strstr(again, "\"path\":\"c\""));
    offset = START_SEQ + 1000000; /* never given */
    g_assert_cmpuint(feed_read(f->feed, &c, offset, NULL, 0), ==, 0);
    make(f, "d");
    g_autofree char *next = read_all(f, &c, &offset, 4096);
    g_assert_true(g_str_has_prefix(next, "{\"seq\":1048576004,"));
    feed_cursor_done(&c);
}

static void test_lost(Fix *f, gconstpointer data)
{
    FeedCursor c;
    uint64_t offset = START_SEQ + 1;
    char buf[64];

    (void)data;
    for (guint i = 0; i < FEED_LINES_MAX + 100; i++) {
        feed_append_quorum(f->feed, i % 2 == 0, wall);
    }
    feed_cursor_init(&c, f->feed, true, wall);
    g_assert_cmpuint(feed_read(f->feed, &c, offset, buf, sizeof buf), ==, sizeof buf);
    /* 100 lines are gone; the first that is left is number 101. */
    g_assert_true(
        g_str_has_prefix(buf, "{\"seq\":1048576100,\"op\":\"lost\"}\n{\"seq\":1048576101"));
    /* A number of an earlier process is lost as well, not taken for a new one. */
    offset = 999 * (guint64)FEED_NUMBERS_PER_SEC + 5;
    g_assert_cmpuint(feed_read(f->feed, &c, offset, buf, sizeof buf), ==, sizeof buf);
    g_assert_nonnull(g_strstr_len(buf, sizeof buf, "\"lost\""));
    feed_cursor_done(&c);
}

static void test_bytes_bounded(Fix *f, gconstpointer data)
{
    g_autofree char *name = g_strnfill(255, '\1'); /* six bytes each in JSON */
    FeedCursor c;
    uint64_t offset = START_SEQ;
    gsize total = 0;

    (void)data;
    make(f, name);
    for (guint i = 0; i < 4000; i++) {
        change(f, (TreeOp){.kind = TREE_OP_MTIME, .path = name, .mtime = i});
    }
    feed_cursor_init(&c, f->feed, true, wall);
    g_autofree char *text = read_all(f, &c, &offset, 4096);
    total = strlen(text);
    g_assert_cmpuint(total, <=, FEED_BYTES_MAX + 64);
    g_assert_cmpuint(total, >, FEED_BYTES_MAX - 4096);
    feed_cursor_done(&c);
}

/* INV-8: who may not list a private directory does not learn its names here. */
static void test_private(Fix *f, gconstpointer data)
{
    FeedCursor root, user;
    uint64_t root_offset = 0, user_offset = 0;

    (void)data;
    feed_cursor_init(&root, f->feed, true, wall);
    feed_cursor_init(&user, f->feed, false, wall);
    g_autofree char *r0 = read_all(f, &root, &root_offset, 4096);
    g_autofree char *u0 = read_all(f, &user, &user_offset, 4096);
    g_assert_cmpstr(u0, ==, r0);
    change(f, (TreeOp){.kind = TREE_OP_MKDIR, .path = "priv"});
    make(f, "priv/secret");
    g_assert_true(feed_ready(f->feed, &root));
    g_assert_false(feed_ready(f->feed, &user));
    make(f, "public");
    change(f, (TreeOp){.kind = TREE_OP_RENAME, .path = "public", .to = "priv/hidden"});
    g_assert_true(feed_ready(f->feed, &user));
    g_autofree char *r1 = read_all(f, &root, &root_offset, 4096);
    g_autofree char *u1 = read_all(f, &user, &user_offset, 4096);
    g_assert_nonnull(strstr(r1, "priv/secret"));
    g_assert_nonnull(strstr(r1, "priv/hidden"));
    g_assert_null(strstr(u1, "priv"));
    g_assert_nonnull(strstr(u1, "\"path\":\"public\""));
    feed_cursor_done(&root);
    feed_cursor_done(&user);
}

static void test_undo_and_resync(Fix *f, gconstpointer data)
{
    FeedCursor c;
    uint64_t offset = 0;
    g_autoptr(MemdbDelta) delta = NULL, back = NULL, all = NULL;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbRoot root = {50, 1, 1};
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "a"};

    (void)data;
    feed_cursor_init(&c, f->feed, true, wall);
    g_assert_cmpint(memdb_apply(f->db, &op, (TreeOrigin){3, 0}, false, (MonoTime){0}, &delta), ==,
                    0);
    memdb_undo(f->db, delta, (MonoTime){0}, &back);
    feed_append_delta(f->feed, back, false, wall);
    g_assert_cmpint(memdb_replace(f->db, none, &root, (MonoTime){0}, &all, NULL), ==, 0);
    feed_append_delta(f->feed, all, false, wall);
    g_autofree char *text = read_all(f, &c, &offset, 4096);
    g_assert_nonnull(strstr(text, "\"op\":\"delete\",\"path\":\"a\",\"version\":1,\"node\":0,"
                                  "\"own\":false,\"undone\":true}"));
    g_assert_nonnull(strstr(text, "\"op\":\"resync\",\"version\":50}"));
    feed_cursor_done(&c);
}

static void count_news(void *ctx)
{
    ++*(int *)ctx;
}

static void test_listener(Fix *f, gconstpointer data)
{
    FeedCursor c;
    uint64_t offset = 0;
    int news = 0;

    (void)data;
    feed_set_listener(f->feed, count_news, &news);
    feed_cursor_init(&c, f->feed, true, wall);
    g_free(read_all(f, &c, &offset, 4096));
    g_assert_false(feed_ready(f->feed, &c));
    feed_append_quorum(f->feed, true, wall);
    g_assert_cmpint(news, ==, 1);
    g_free(read_all(f, &c, &offset, 4096));
    g_assert_false(feed_ready(f->feed, &c));
    feed_shutdown(f->feed);
    g_assert_cmpint(news, ==, 2);
    g_assert_true(feed_ready(f->feed, &c));
    feed_cursor_done(&c);
}

static void test_metrics(void)
{
    g_autoptr(GString) s = g_string_new(NULL);

    metrics_add(METRIC_BYTES_IN, 42);
    metrics_change(TREE_OP_CREATE, 0, 99);
    metrics_change(TREE_OP_WRITE, 4096, 100);
    metrics_change(TREE_OP_WRITE, -ENOSPC, 101);
    metrics_change(TREE_OP_WRITE, -ENOTCONN, 2000000000);
    metrics_sync(0, 1500000);
    metrics_format(s);
    metrics_format_value(s, "x", "gauge", "Something", 7);
    static const char *const expected[] = {
        ("# HELP pmxcfs_changes_total Changes asked for on this node.\n"
         "# TYPE pmxcfs_changes_total counter\n"),
        "pmxcfs_changes_total{op=\"create\",result=\"ok\"} 1\n",
        "pmxcfs_changes_total{op=\"write\",result=\"ok\"} 1\n",
        "pmxcfs_changes_total{op=\"write\",result=\"ENOSPC\"} 1\n",
        "pmxcfs_changes_total{op=\"write\",result=\"other\"} 1\n",
        "pmxcfs_changes_total{op=\"unlock\",result=\"ok\"} 0\n",
        "pmxcfs_change_bytes_total 42\n",
        "pmxcfs_ipc_requests_total{result=\"ok\"} 0\n",
        "pmxcfs_change_seconds_bucket{le=\"0.0001\"} 2\n",
        "pmxcfs_change_seconds_bucket{le=\"0.00025\"} 3\n",
        "pmxcfs_change_seconds_bucket{le=\"30\"} 3\n",
        "pmxcfs_change_seconds_bucket{le=\"+Inf\"} 4\n",
        "pmxcfs_change_seconds_sum 2000.000300\n",
        "pmxcfs_change_seconds_count 4\n",
        "pmxcfs_sync_seconds_sum 1.500000\n",
        "# HELP x Something.\n# TYPE x gauge\nx 7\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        if (strstr(s->str, expected[i]) == NULL) {
            g_error("missing: %s in\n%s", expected[i], s->str);
        }
    }
}

#define ADD(name, fn) g_test_add("/feed/" name, Fix, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("lines-are-json-in-order", test_lines);
    ADD("small-buffers-get-the-same-bytes", test_small_buffers);
    ADD("a-number-resumes", test_resume);
    ADD("who-missed-lines-is-told", test_lost);
    ADD("bytes-are-bounded", test_bytes_bounded);
    ADD("private-names-are-for-root", test_private);
    ADD("undo-and-resync", test_undo_and_resync);
    ADD("listener-and-end", test_listener);
    g_test_add_func("/metrics/prometheus-text", test_metrics);
    return g_test_run();
}
