/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: pmxcfs-db tells the truth about a database, keeps what can be kept, and loses nothing.
 * Method: the built program itself, on files in a temporary directory; its exit codes, its output,
 * and the files it leaves.
 */
#include "tests/lib/storerig.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_FOUND = 3, EXIT_BUSY = 4 };

#define OUTPUT_SHOWN 4096 /* bytes of a command's output that the log of the test keeps */

/* ---- fixture ----------------------------------------------------------------------------- */

typedef struct Place {
    char *dir;
    char *db; /* DIR/config.db, not there yet */
} Place;

static void place_init(Place *p, gconstpointer unused)
{
    (void)unused;
    p->dir = g_dir_make_tmp("test-pmxcfs-db-XXXXXX", NULL);
    g_assert_nonnull(p->dir);
    p->db = g_build_filename(p->dir, "config.db", NULL);
}

static void place_done(Place *p, gconstpointer unused)
{
    (void)unused;
    test_remove_tree(p->dir);
    g_free(p->dir);
    g_free(p->db);
}

static char *in(const Place *p, const char *name)
{
    return g_build_filename(p->dir, name, NULL);
}

/* Runs `pmxcfs-db WORDS...`; "DB" stands for the database, "DIR/..." for a path beside it. */
static int run(Place *p, char **ret_out, char **ret_err, const char *words)
{
    g_auto(GStrv) parts = g_strsplit(words, " ", -1);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *out = NULL;
    g_autofree char *errors = NULL;
    const char *build = g_getenv("top_builddir");
    g_autoptr(GError) error = NULL;
    int status = 0;

    g_ptr_array_add(argv, g_build_filename(build != NULL ? build : ".", "cli", "pmxcfs-db", NULL));
    for (char **part = parts; *part != NULL; part++) {
        g_ptr_array_add(argv, strcmp(*part, "DB") == 0          ? g_strdup(p->db)
                              : g_str_has_prefix(*part, "DIR/") ? in(p, *part + 4)
                                                                : g_strdup(*part));
    }
    g_ptr_array_add(argv, NULL);
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &errors,
                      &status, &error)) {
        g_error("%s", error->message);
    }
    g_assert_true(g_spawn_check_wait_status(status, &error) ||
                  error->domain == G_SPAWN_EXIT_ERROR); /* no signal */
    g_test_message("%s: %d\n%.*s%s", words, error != NULL ? error->code : 0, OUTPUT_SHOWN, out,
                   errors);
    if (ret_out != NULL) {
        *ret_out = g_steal_pointer(&out);
    }
    if (ret_err != NULL) {
        *ret_err = g_steal_pointer(&errors);
    }
    return error != NULL ? error->code : 0;
}

static void exec_many(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *msg = NULL;

    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK) {
        g_error("%s: %s", text, msg);
    }
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

/* nodes/n1/qemu-server/100.conf (14), priv/key (20), top (22). */
static void make_sample(const char *path)
{
    exec_many(path,
              "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL,"
              " version INTEGER NOT NULL, writer INTEGER NOT NULL, mtime INTEGER NOT NULL,"
              " type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB);"
              "INSERT INTO tree VALUES (0, 0, 30, 1, 1700000000, 8, '__version__', NULL),"
              " (4, 0, 4, 0, 1700000000, 4, 'nodes', NULL),"
              " (5, 4, 5, 0, 1700000000, 4, 'n1', NULL),"
              " (6, 5, 6, 0, 1700000000, 4, 'qemu-server', NULL),"
              " (14, 6, 15, 0, 1700000001, 8, '100.conf', CAST('name: a' AS BLOB)),"
              " (16, 0, 16, 0, 1700000000, 4, 'priv', NULL),"
              " (20, 16, 21, 0, 1700000002, 8, 'key', CAST('secret' AS BLOB)),"
              " (22, 0, 23, 0, 1700000003, 8, 'top', CAST('hello' AS BLOB))");
}

static void assert_content(const Place *p, const char *name, const char *expected)
{
    g_autofree char *path = in(p, name);
    g_autofree char *content = NULL;

    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, expected);
}

static void assert_mode(const Place *p, const char *name, mode_t mode)
{
    g_autofree char *path = in(p, name);
    struct stat st;

    g_assert_cmpint(lstat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, mode);
}

static JsonObject *parse(const char *text, JsonNode **ret_node)
{
    g_autoptr(GError) error = NULL;

    *ret_node = json_from_string(text, &error);
    if (*ret_node == NULL) {
        g_error("%s: %s", error->message, text);
    }
    return json_node_get_object(*ret_node);
}

/* The names in the directory that contain `part`. */
static GPtrArray *names_with(const Place *p, const char *part)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(p->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        if (strstr(name, part) != NULL) {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_dir_close(dir);
    return names;
}

static GBytes *file_bytes(const char *path)
{
    char *content = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &content, &size, NULL));
    return g_bytes_new_take(content, size);
}

/* ---- looking ----------------------------------------------------------------------------- */

static void test_healthy(Place *p, gconstpointer unused)
{
    g_autofree char *out = NULL;
    g_autofree char *json = NULL;
    g_autofree char *stat_json = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(JsonNode) stat_node = NULL;
    g_autoptr(GBytes) before = NULL;
    g_autoptr(GBytes) after = NULL;
    JsonObject *o;

    (void)unused;
    make_sample(p->db);
    before = file_bytes(p->db);
    g_assert_cmpint(run(p, &out, NULL, "check -d DB"), ==, EXIT_OK);
    g_assert_nonnull(strstr(out, "7 entries, version 30, no faults"));
    g_assert_cmpint(run(p, &json, NULL, "check -d DB --output-format json"), ==, EXIT_OK);
    o = parse(json, &node);
    g_assert_true(json_object_get_boolean_member(o, "usable"));
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(o, "faults")), ==, 0);
    g_assert_cmpint(run(p, NULL, NULL, "stat -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, &stat_json, NULL, "stat -d DB --output-format json"), ==, EXIT_OK);
    o = parse(stat_json, &stat_node);
    g_assert_cmpint(json_object_get_int_member(o, "version"), ==, 30);
    g_assert_cmpint(json_object_get_int_member(o, "files"), ==, 3);
    g_assert_cmpint(json_object_get_int_member(o, "content_bytes"), ==, 18);
    g_assert_cmpstr(json_object_get_string_member(o, "largest"), ==,
                    "nodes/n1/qemu-server/100.conf");
    g_assert_cmpint(run(p, NULL, NULL, "repair -d DB"), ==, EXIT_OK); /* nothing to do */
    after = file_bytes(p->db);
    g_assert_true(g_bytes_equal(before, after)); /* looking changes nothing */
    g_autoptr(GPtrArray) names = names_with(p, "");
    g_assert_cmpuint(names->len, ==, 1);
}

static void test_dump(Place *p, gconstpointer unused)
{
    g_autofree char *out = NULL;
    g_autofree char *json = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(GError) error = NULL;

    (void)unused;
    make_sample(p->db);
    g_assert_cmpint(run(p, &out, NULL, "dump -d DB priv"), ==, EXIT_OK);
    g_assert_nonnull(strstr(out, "priv/key\n"));
    g_assert_null(strstr(out, "top"));
    g_assert_null(strstr(out, "secret")); /* content only when asked for */
    g_assert_cmpint(run(p, NULL, NULL, "dump -d DB nothing"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, &json, NULL, "dump -d DB top --output-format json --content"), ==,
                    EXIT_OK);
    node = json_from_string(json, &error);
    g_assert_no_error(error);
    JsonObject *o = json_array_get_object_element(json_node_get_array(node), 0);
    g_assert_cmpstr(json_object_get_string_member(o, "content"), ==, "aGVsbG8=");
    g_assert_cmpint(json_object_get_int_member(o, "inode"), ==, 22);
    g_assert_cmpuint(strlen(json_object_get_string_member(o, "digest")), ==, 64);
}

static void test_usage(Place *p, gconstpointer unused)
{
    (void)unused;
    g_assert_cmpint(run(p, NULL, NULL, "nonsense"), ==, EXIT_USAGE);
    g_assert_cmpint(run(p, NULL, NULL, "check --nonsense"), ==, EXIT_USAGE);
    g_assert_cmpint(run(p, NULL, NULL, "export"), ==, EXIT_USAGE);
    g_assert_cmpint(run(p, NULL, NULL, "create DIR/a"), ==, EXIT_USAGE);
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB --output-format xml"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_FAILED); /* no such file */
    g_assert_cmpint(run(p, NULL, NULL, "compact -d DB"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "repair -d DB"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "stat -d DIR/"), ==, EXIT_FAILED);
    g_autoptr(GPtrArray) names = names_with(p, "");
    g_assert_cmpuint(names->len, ==, 0);
}

/* Each verb refuses while our daemon, or the original, has the database. */
static void test_refuses_while_running(Place *p, gconstpointer unused)
{
    static const char *const verbs[] = {
        "check -d DB",
        "stat -d DB",
        "dump -d DB",
        "export -d DB DIR/out",
        "repair -d DB",
        "import -d DB DIR/in --replace",
        "compact -d DB",
        "restore -d DB DIR/saved.db top",
        "compare DB DIR/saved.db",
        "repair -d DB --dry-run",
    };
    g_autofree char *lock = in(p, ".pmxcfs.lockfile");
    g_autofree char *input = in(p, "in");
    g_autofree char *saved = in(p, "saved.db");
    g_autofree char *errors = NULL;
    StoreRig *rig;
    int fd;

    (void)unused;
    make_sample(p->db);
    make_sample(saved);
    g_assert_cmpint(g_mkdir(input, 0700), ==, 0);
    fd = open(lock, O_RDWR | O_CREAT, 0600);
    g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0); /* as the original holds it */
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_assert_cmpint(run(p, NULL, NULL, verbs[i]), ==, EXIT_BUSY);
    }
    g_assert_cmpint(run(p, NULL, &errors, "check -d DB"), ==, EXIT_BUSY);
    g_assert_nonnull(strstr(errors, "pmxcfs is running"));
    g_assert_cmpint(close(fd), ==, 0);
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_OK);
    rig = storerig_open(p->db, NULL, NULL); /* the database's own lock */
    g_assert_nonnull(rig);
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (strstr(verbs[i], "import") == NULL) { /* it does not read the old one */
            g_assert_cmpint(run(p, NULL, NULL, verbs[i]), ==, EXIT_BUSY);
        }
    }
    storerig_close(rig, NULL);
}

static void test_compare(Place *p, gconstpointer unused)
{
    g_autofree char *other = in(p, "other.db");
    g_autofree char *out = NULL;
    g_autofree char *json = NULL;
    g_autoptr(JsonNode) node = NULL;

    (void)unused;
    make_sample(p->db);
    make_sample(other);
    g_assert_cmpint(run(p, NULL, NULL, "compare DB DIR/other.db"), ==, EXIT_OK);
    exec_many(other, "UPDATE tree SET data = x'00' WHERE inode = 20;"
                     "UPDATE tree SET mtime = 1 WHERE inode = 22;"
                     "DELETE FROM tree WHERE inode = 14;"
                     "INSERT INTO tree VALUES (40, 0, 29, 0, 1, 4, 'new', NULL)");
    g_assert_cmpint(run(p, &out, NULL, "compare DB DIR/other.db"), ==, EXIT_FOUND);
    g_assert_nonnull(strstr(out, "content     priv/key"));
    g_assert_nonnull(strstr(out, "fields      top (mtime)"));
    g_assert_nonnull(strstr(out, "only-first  nodes/n1/qemu-server/100.conf"));
    g_assert_nonnull(strstr(out, "only-second new"));
    g_assert_cmpint(run(p, &json, NULL, "compare -d DB DIR/other.db --output-format json"), ==,
                    EXIT_FOUND);
    JsonObject *o = parse(json, &node);
    g_assert_false(json_object_get_boolean_member(o, "equal"));
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(o, "differences")), ==, 4);
}

/* ---- files out and in -------------------------------------------------------------------- */

static void test_export_import(Place *p, gconstpointer unused)
{
    g_autofree char *link = in(p, "out/local");
    g_autofree char *fake = in(p, "out/.version");
    g_autofree char *out = NULL;

    (void)unused;
    make_sample(p->db);
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out"), ==, EXIT_OK);
    assert_content(p, "out/nodes/n1/qemu-server/100.conf", "name: a");
    assert_content(p, "out/priv/key", "secret");
    assert_mode(p, "out", 0700);
    assert_mode(p, "out/nodes/n1", 0700);
    assert_mode(p, "out/priv/key", 0600);
    assert_mode(p, "out/top", 0600);
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out"), ==, EXIT_FAILED); /* exists */
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/some priv top/"), ==, EXIT_OK);
    assert_content(p, "some/priv/key", "secret");
    assert_content(p, "some/top", "hello");
    g_autofree char *left = in(p, "some/nodes");
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/none no/such"), ==, EXIT_FAILED);
    /* A copy of a mounted tree has links and views, which are no content. */
    g_assert_cmpint(symlink("/etc/passwd", link), ==, 0);
    g_assert_true(g_file_set_contents(fake, "{}", -1, NULL));
    g_assert_cmpint(run(p, NULL, NULL, "import -d DIR/new.db DIR/out"), ==, EXIT_OK);
    g_assert_cmpint(run(p, &out, NULL, "compare DB DIR/new.db"), ==, EXIT_FOUND);
    g_assert_nonnull(strstr(out, "0 only in the first, 0 only in the second, 0 with other"));
    assert_mode(p, "new.db", 0600);
    g_assert_cmpint(run(p, NULL, NULL, "import -d DIR/new.db DIR/out"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "import -d DIR/new.db DIR/some --replace"), ==, EXIT_OK);
    g_autoptr(GPtrArray) kept = names_with(p, "new.db.backup-");
    g_assert_cmpuint(kept->len, ==, 1);
    g_assert_cmpint(run(p, NULL, NULL, "import -d DIR/x.db DIR/missing"), ==, EXIT_FAILED);
}

/* In the way of the companion tool: numbers as in the reference, no recursion. */
static void test_create(Place *p, gconstpointer unused)
{
    g_autofree char *dir = in(p, "in");
    g_autofree char *sub = in(p, "in/sub");
    g_autofree char *conf = in(p, "in/corosync.conf");
    g_autofree char *out = NULL;

    (void)unused;
    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    g_assert_cmpint(g_mkdir(sub, 0700), ==, 0);
    g_assert_true(g_file_set_contents(conf, "totem {}\n", -1, NULL));
    g_assert_cmpint(run(p, NULL, NULL, "create DIR/in DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, &out, NULL, "dump -d DB"), ==, EXIT_OK);
    g_assert_true(g_regex_match_simple("^- +2 +0 +3 +0 +\\d+ +9  corosync.conf\n$", out, 0, 0));
    g_assert_cmpint(run(p, NULL, NULL, "create DIR/in DB"), ==, EXIT_FAILED); /* exists */
}

static void test_import_refuses(Place *p, gconstpointer unused)
{
    g_autofree char *dir = in(p, "in");
    g_autofree char *large = in(p, "in/large");
    g_autofree char *content = g_malloc0(1024 * 1024 + 1);
    g_autofree char *errors = NULL;

    (void)unused;
    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(large, content, 1024 * 1024 + 1, NULL));
    g_assert_cmpint(run(p, NULL, &errors, "import -d DB DIR/in"), ==, EXIT_FAILED);
    g_assert_nonnull(strstr(errors, "large is larger than"));
    g_assert_false(g_file_test(p->db, G_FILE_TEST_EXISTS));
    g_assert_cmpint(truncate(large, 1024 * 1024), ==, 0);
    g_assert_cmpint(run(p, NULL, NULL, "import -d DB DIR/in"), ==, EXIT_OK);
}

/* A name in the database can lead out of the directory no more than into it. */
static void test_hostile_names(Place *p, gconstpointer unused)
{
    g_autofree char *victim = in(p, "victim");

    (void)unused;
    make_sample(p->db);
    exec_many(p->db, "INSERT INTO tree VALUES (50, 0, 24, 0, 1, 8, '../victim', x'41'),"
                     " (51, 0, 25, 0, 1, 4, '..', NULL), (52, 51, 26, 0, 1, 8, 'victim', x'42'),"
                     " (53, 0, 27, 0, 1, 8, '/etc/victim', x'43')");
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out"), ==, EXIT_FOUND);
    g_assert_false(g_file_test(victim, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test("/etc/victim", G_FILE_TEST_EXISTS));
    assert_content(p, "out/.._victim", "A");
    assert_content(p, "out/inode-51/victim", "B");
    assert_content(p, "out/_etc_victim", "C");
}

/* The tree takes longer names than directories do: the copy has all content all the same. */
static void test_long_names(Place *p, gconstpointer unused)
{
    g_autofree char *name = g_strnfill(300, 'n');
    g_autofree char *sql =
        g_strdup_printf("INSERT INTO tree VALUES (50, 0, 24, 0, 1, 8, '%sa', x'41'),"
                        " (51, 0, 25, 0, 1, 4, '%sb', NULL), (52, 51, 26, 0, 1, 8, '%sc', x'42')",
                        name, name, name);
    g_autofree char *errors = NULL;
    g_autofree char *dir = in(p, "out");
    g_autoptr(GDir) list = NULL;
    const char *seen;
    guint cut = 0;

    (void)unused;
    make_sample(p->db);
    exec_many(p->db, sql);
    g_assert_cmpint(run(p, NULL, &errors, "export -d DB DIR/out"), ==, EXIT_FOUND);
    g_assert_nonnull(strstr(errors, "inode 52: name of 301 bytes is cut"));
    assert_content(p, "out/top", "hello"); /* comes after them */
    list = g_dir_open(dir, 0, NULL);
    while ((seen = g_dir_read_name(list)) != NULL) {
        cut += g_str_has_prefix(seen, "nnnn") && strchr(seen, '~') != NULL;
    }
    g_assert_cmpuint(cut, ==, 2);
}

/* Far deeper than any path: no crash, nothing endless. */
static void test_hostile_depth(Place *p, gconstpointer unused)
{
    (void)unused;
    make_sample(p->db);
    exec_many(p->db, "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT"
                     " 60000) INSERT INTO tree SELECT i, CASE i WHEN 1000 THEN 0 ELSE i - 1 END, 1,"
                     " 0, 1, 4, 'd', NULL FROM n; UPDATE tree SET version = 100000 WHERE inode = 0;"
                     "INSERT INTO tree VALUES (90000, 90001, 1, 0, 1, 4, 'loop', NULL),"
                     " (90001, 90000, 1, 0, 1, 4, 'pool', NULL)");
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_FOUND); /* the loop */
    g_assert_cmpint(run(p, NULL, NULL, "dump -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "compare DB DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "repair -n -d DB"), ==, EXIT_FOUND);
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out top"), ==, EXIT_FOUND);
}

/* ---- repair ------------------------------------------------------------------------------ */

static void test_repair_content(Place *p, gconstpointer unused)
{
    g_autofree char *out = NULL;
    g_autofree char *json = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(GBytes) before = NULL;
    g_autoptr(GBytes) kept = NULL;
    JsonObject *o;

    (void)unused;
    make_sample(p->db);
    exec_many(p->db,
              "INSERT INTO tree VALUES (30, 99, 24, 0, 1, 8, 'orphan', CAST('alone' AS BLOB)),"
              " (31, 98, 24, 0, 1, 4, 'dir', NULL), (32, 31, 24, 0, 1, 8, 'below', x'61'),"
              " (33, 22, 24, 0, 1, 8, 'in-a-file', x'62'),"
              " (34, 0, 2, 0, 1, 8, 'top', CAST('older' AS BLOB)),"
              " (35, 5, 25, 0, 1, 4, 'lxc', NULL),"
              " (36, 35, 26, 0, 1, 8, '100.conf', CAST('newer' AS BLOB)),"
              " (37, 37, 26, 0, 1, 4, 'self', NULL), (38, 0, 26, 0, 1, 9, 'odd', x'63'),"
              " (39, 0, 26, 0, 1, 8, '', x'64'), (41, 0, -1, 0, 1, 8, 'wrapped', x'65')");
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_FOUND);
    g_assert_cmpint(run(p, &out, NULL, "repair -d DB --dry-run"), ==, EXIT_FOUND);
    before = file_bytes(p->db);
    g_assert_cmpint(run(p, &json, NULL, "repair -d DB --output-format json"), ==, EXIT_FOUND);
    o = parse(json, &node);
    g_assert_cmpint(json_object_get_int_member(o, "lost"), ==, 5);
    g_assert_cmpint(json_object_get_int_member(o, "gone"), ==, 0);
    kept = file_bytes(json_object_get_string_member(o, "kept_as"));
    g_assert_true(g_bytes_equal(before, kept)); /* the original as it was */
    const char *lost = json_object_get_string_member(o, "lost_files");
    g_autofree char *orphan = g_build_filename(lost, "inode-30-orphan", NULL);
    g_autofree char *below = g_build_filename(lost, "inode-31-dir", "below", NULL);
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(orphan, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "alone");
    g_assert_true(g_file_test(below, G_FILE_TEST_IS_REGULAR));
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "repair -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out"), ==, EXIT_OK);
    assert_content(p, "out/top", "hello"); /* the newer of two keeps the name */
    assert_content(p, "out/top.duplicate-34", "older");
    assert_content(p, "out/nodes/n1/lxc/100.conf", "newer");
    assert_content(p, "out/nodes/n1/qemu-server/100.conf.duplicate-14", "name: a");
    assert_content(p, "out/odd", "c");
    assert_content(p, "out/inode-39", "d");
    assert_content(p, "out/wrapped", "e");
    StoreRig *rig = storerig_open(p->db, NULL, NULL); /* the daemon takes it */
    g_assert_nonnull(rig);
    g_assert_cmpuint(memdb_root(storerig_tree(rig)).version, >, 41); /* another content: newer */
    storerig_close(rig, NULL);
}

static void test_repair_pages(Place *p, gconstpointer unused)
{
    g_autofree char *content = NULL;
    gsize size;
    guint kept_some = 0;

    (void)unused;
    make_sample(p->db);
    exec_many(p->db, "PRAGMA page_size=512; VACUUM;"
                     "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 60)"
                     " INSERT INTO tree SELECT i, 0, i, 0, 1, 8, 'f' || i, zeroblob(700) FROM n;"
                     "UPDATE tree SET version = 2000 WHERE inode = 0");
    g_assert_true(g_file_get_contents(p->db, &content, &size, NULL));
    for (gsize page = 1024; page + 512 <= size; page += 512 * 13) {
        g_autofree char *bad = g_memdup2(content, size);
        g_autofree char *json = NULL;
        g_autoptr(JsonNode) node = NULL;
        int rc;

        memset(bad + page, 0xff, 512);
        g_assert_true(g_file_set_contents(p->db, bad, (gssize)size, NULL));
        rc = run(p, NULL, NULL, "check -d DB");
        if (rc == EXIT_OK) {
            continue; /* in the middle of a content: nothing that could be noticed */
        }
        g_assert_cmpint(rc, ==, EXIT_FOUND);
        rc = run(p, &json, NULL, "repair -d DB --output-format json");
        g_assert_true(rc == EXIT_FOUND || rc == EXIT_OK);
        JsonObject *o = parse(json, &node);
        if (json_object_get_int_member(o, "entries") >= 40) {
            kept_some++;
        }
        g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_OK);
    }
    g_assert_cmpuint(kept_some, >=, 5);
    memset(content, 0, 100);
    g_assert_true(g_file_set_contents(p->db, content, (gssize)size, NULL));
    g_assert_cmpint(run(p, NULL, NULL, "repair -d DB"), ==, EXIT_FAILED); /* no database at all */
    g_autoptr(GBytes) after = file_bytes(p->db);
    g_assert_cmpmem(content, size, g_bytes_get_data(after, NULL), g_bytes_get_size(after));
}

/* ---- restore, compact -------------------------------------------------------------------- */

static void test_restore(Place *p, gconstpointer unused)
{
    g_autofree char *saved = in(p, "saved.db");
    g_autofree char *out = NULL;

    (void)unused;
    make_sample(p->db);
    make_sample(saved);
    exec_many(saved, "INSERT INTO tree VALUES (60, 5, 60, 0, 1, 4, 'sub', NULL),"
                     " (61, 60, 61, 0, 1, 8, 'file', CAST('from before' AS BLOB)),"
                     " (62, 60, 62, 0, 1, 8, 'empty', NULL),"
                     " (63, 16, 63, 0, 1, 4, 'lock', NULL), (64, 63, 64, 0, 1, 4, 'held', NULL);"
                     "UPDATE tree SET data = CAST('other' AS BLOB) WHERE inode = 22;"
                     "UPDATE tree SET version = 70 WHERE inode = 0");
    g_assert_cmpint(run(p, NULL, NULL, "restore -d DB DIR/saved.db no/such"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "restore -d DB DIR/saved.db top"), ==, EXIT_FAILED);
    g_assert_cmpint(run(p, NULL, NULL, "restore -n -d DB DIR/saved.db nodes/n1/sub"), ==, EXIT_OK);
    g_autoptr(GPtrArray) none = names_with(p, "backup");
    g_assert_cmpuint(none->len, ==, 0); /* so far nothing was changed */
    g_assert_cmpint(run(p, NULL, NULL, "restore -d DB DIR/saved.db /nodes/n1/sub/ priv"), ==,
                    EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "restore -d DB --overwrite DIR/saved.db top"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "check -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "export -d DB DIR/out"), ==, EXIT_OK);
    assert_content(p, "out/nodes/n1/sub/file", "from before");
    assert_content(p, "out/nodes/n1/sub/empty", "");
    assert_content(p, "out/top", "other");
    g_autofree char *lock = in(p, "out/priv/lock/held");
    g_assert_false(g_file_test(lock, G_FILE_TEST_EXISTS)); /* locks are of the moment */
    g_autoptr(GPtrArray) backups = names_with(p, "config.db.backup-");
    g_assert_cmpuint(backups->len, ==, 2);
    g_assert_cmpint(run(p, &out, NULL, "dump -d DB nodes/n1/sub/file"), ==, EXIT_OK);
    g_assert_nonnull(strstr(out, " 33 ")); /* a new entry of this tree, with its own number */
}

static void test_compact(Place *p, gconstpointer unused)
{
    g_autofree char *copy = in(p, "copy.db");
    g_autofree char *json = NULL;
    g_autoptr(JsonNode) node = NULL;

    (void)unused;
    exec_many(p->db, "PRAGMA page_size=4096; CREATE TABLE theirs (a);"
                     "INSERT INTO theirs VALUES (1)");
    make_sample(p->db);
    make_sample(copy);
    exec_many(p->db, "INSERT INTO tree VALUES (99, 0, 29, 0, 1, 8, 'x', zeroblob(900000));"
                     "DELETE FROM tree WHERE inode = 99");
    g_assert_cmpint(run(p, NULL, NULL, "compact -d DB"), ==, EXIT_OK);
    g_assert_cmpint(run(p, NULL, NULL, "compare DB DIR/copy.db"), ==, EXIT_OK);
    g_assert_cmpint(run(p, &json, NULL, "stat -d DB --output-format json"), ==, EXIT_OK);
    JsonObject *o = parse(json, &node);
    g_assert_cmpint(json_object_get_int_member(o, "page_size"), ==, 512);
    g_assert_cmpint(json_object_get_int_member(o, "free_pages"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(o, "file_bytes"), <, 10000);
    exec_many(p->db, "INSERT INTO theirs VALUES (2)"); /* what is not ours survives */
    g_autoptr(GPtrArray) left = names_with(p, "config.db-");
    g_assert_cmpuint(left->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/pmxcfs-db/" name, Place, NULL, place_init, fn, place_done)
    ADD("looking-changes-nothing", test_healthy);
    ADD("dump-lists-fields", test_dump);
    ADD("wrong-command-lines", test_usage);
    ADD("refuses-while-the-daemon-runs", test_refuses_while_running);
    ADD("compare-names-differences", test_compare);
    ADD("export-and-import-are-private-and-faithful", test_export_import);
    ADD("create-counts-as-documented", test_create);
    ADD("import-refuses-what-does-not-fit", test_import_refuses);
    ADD("hostile-names-stay-inside", test_hostile_names);
    ADD("export-cuts-long-names", test_long_names);
    ADD("hostile-depth-ends", test_hostile_depth);
    ADD("repair-keeps-every-entry", test_repair_content);
    ADD("repair-keeps-readable-rows", test_repair_pages);
    ADD("restore-takes-selected-paths", test_restore);
    ADD("compact-keeps-everything", test_compact);
    return g_test_run();
}
