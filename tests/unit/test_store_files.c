/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the original wrote opens and comes back the same, what was made to hurt is refused and
 * left alone, own values and whole files keep their promises, each error has its errno.
 * Method: real SQLite files in a temporary directory, looked at through a second, plain connection.
 */
#include "pmxcfs/io/store.h"

#include "pmxcfs/io/store_db.h"
#include "tests/lib/storeplace.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const MemdbLimits limits = {
    .file_size_max = 1u << 20,
    .total_size_max = 128u << 20,
    .inodes_max = 262144,
};

/* ---- samples of the original ------------------------------------------------------------- */

static void copy_sample(const char *from, const char *to)
{
    g_autofree char *content = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(from, &content, &size, NULL));
    g_assert_true(g_file_set_contents(to, content, (gssize)size, NULL));
}

static void check_sample(Place *p, const char *name, const char *state)
{
    g_autofree char *relative = g_strconcat("reference/pmxcfs-samples/", name, NULL);
    g_autofree char *from = testdata_path(relative);
    g_autoptr(GBytes) message = from != NULL ? testdata_sample(state) : NULL;
    g_autoptr(GBytes) index = NULL;
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GBytes) again = NULL;
    uint8_t csum[ENTRY_DIGEST_SIZE];
    StoreRig *rig;
    MemdbRoot root;

    if (message == NULL) {
        return; /* marked as skipped */
    }
    copy_sample(from, p->db);
    rig = place_open(p->db);
    g_assert_false(storerig_fresh(rig));
    index = memdb_index(storerig_tree(rig));
    g_autoptr(GBytes) payload = g_bytes_new_from_bytes(message, 32, g_bytes_get_size(message) - 32);
    g_assert_true(g_bytes_equal(index, payload));
    /* Written back as a database of its own, it is the same tree. */
    memdb_checksum(storerig_tree(rig), csum);
    all = memdb_all(storerig_tree(rig));
    root = memdb_root(storerig_tree(rig));
    g_assert_cmpint(store_save_tree(p->dir, "saved.db", all, &root, NULL), ==, 0);
    g_autofree char *saved = g_build_filename(p->dir, "saved.db", NULL);
    g_assert_cmpint(storerig_checksum(saved, NULL, &again, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), csum, sizeof(csum));
    storerig_assert_sound(saved, NULL);
    place_assert_sql(saved, "PRAGMA page_size", "512");
    /* And every row has the same values as in the original's file. */
    g_autofree char *attach =
        g_strdup_printf("ATTACH '%s' AS o; CREATE TEMP TABLE diff AS SELECT * FROM main.tree"
                        " EXCEPT SELECT * FROM o.tree; CREATE TABLE result AS SELECT count(*) AS n"
                        " FROM diff",
                        p->db);
    place_close(rig);
    place_exec(saved, attach);
    place_assert_sql(saved, "SELECT n FROM result", "0");
}

static void test_sample_a(Place *p, gconstpointer unused)
{
    (void)unused;
    check_sample(p, "config-a.db", "wire-dcdb-state-2.hex");
}

static void test_sample_b(Place *p, gconstpointer unused)
{
    (void)unused;
    check_sample(p, "config-b.db", "wire-dcdb-state-1.hex");
}

/* ---- refused files ----------------------------------------------------------------------- */

static void assert_refused(Place *p, int code, const char *word)
{
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    gsize size_before;
    gsize size_after;
    Err err = ERR_INIT;

    g_assert_true(g_file_get_contents(p->db, &before, &size_before, NULL));
    g_assert_cmpint(place_try_open(p->db, &err), ==, code);
    if (strstr(err_text(&err), word) == NULL || strstr(err_text(&err), p->db) == NULL) {
        g_error("\"%s\" names neither the file nor \"%s\"", err_text(&err), word);
    }
    g_assert_true(g_file_get_contents(p->db, &after, &size_after, NULL));
    g_assert_cmpmem(before, size_before, after, size_after); /* not touched */
}

#define GOOD_COLUMNS                                                                               \
    "parent INTEGER NOT NULL, version INTEGER NOT NULL, writer INTEGER NOT NULL,"                  \
    " mtime INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB"

static void test_refuses(Place *p, gconstpointer unused)
{
    static const struct {
        const char *sql, *word;
    } cases[] = {
        {"CREATE TABLE t (a); CREATE VIEW tree AS SELECT 1 AS inode, 0 AS parent", "is a view"},
        {"CREATE VIRTUAL TABLE tree USING fts5(inode, parent, version)", "is a virtual"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent)", "lacks the column version"},
        {"CREATE TABLE tree (inode TEXT PRIMARY KEY, " GOOD_COLUMNS ")", "integer primary key"},
        {"CREATE TABLE tree (inode INTEGER, " GOOD_COLUMNS ")", "integer primary key"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ") WITHOUT ROWID",
         "without rowid"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, extra TEXT, " GOOD_COLUMNS ")",
         "unknown column extra"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent INTEGER, version INTEGER, writer"
         " INTEGER, mtime INTEGER, type INTEGER, name TEXT, data BLOB AS (zeroblob(9)))",
         "computed"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE UNIQUE INDEX i ON tree (parent, name)",
         "unique index"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE TABLE t (a); CREATE VIEW quorate_meta AS SELECT 1",
         "is a view"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE TABLE quorate_meta (key TEXT, value BLOB);"
         "INSERT INTO quorate_meta VALUES ('k', zeroblob(9000000))",
         "not ours"},
    };

    (void)unused;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        (void)g_unlink(p->db);
        place_exec(p->db, cases[i].sql);
        assert_refused(p, -EBADMSG, cases[i].word);
    }
}

static void test_refuses_what_is_no_database(Place *p, gconstpointer unused)
{
    g_autofree char *path = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_true(g_file_set_contents(p->db, "hello, this is no database at all\n", -1, NULL));
    assert_refused(p, -EBADMSG, "not a database");
    g_assert_cmpint(g_unlink(p->db), ==, 0);
    g_assert_cmpint(place_try_open(p->dir, &err), ==, -EISDIR);
    path = g_build_filename(p->dir, "no", "such", "dir", NULL);
    g_assert_cmpint(place_try_open(path, &err), ==, -ENOENT);
    g_assert_cmpint(mkfifo(p->db, 0600), ==, 0);
    g_assert_cmpint(place_try_open(p->db, &err), ==, -EINVAL);
}

static void test_refuses_sparse_giant(Place *p, gconstpointer unused)
{
    Err err = ERR_INIT;
    int fd = open(p->db, O_RDWR | O_CREAT, 0600);

    (void)unused;
    g_assert_cmpint(ftruncate(fd, (off_t)STORE_FILE_SIZE_MAX + 1), ==, 0);
    g_assert_cmpint(close(fd), ==, 0);
    g_assert_cmpint(place_try_open(p->db, &err), ==, -EFBIG);
}

/* Each damaged page is found at the start; nothing is written to the file. */
static void test_refuses_damaged_pages(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    g_autofree char *content = NULL;
    gsize size;
    unsigned refused = 0;

    (void)unused;
    for (int i = 0; i < 40; i++) {
        g_autofree char *path = g_strdup_printf("f%d", i);

        (void)storerig_create(rig, path);
        (void)storerig_fill(rig, path, 1500, (uint64_t)i);
    }
    place_close(rig);
    g_assert_true(g_file_get_contents(p->db, &content, &size, NULL));
    for (gsize page = 512; page < size; page += 512 * 7) {
        g_autofree char *bad = g_memdup2(content, size);
        Err err = ERR_INIT;
        int rc;

        memset(bad + page, 0xff, 8); /* the head of a node, or the link of an overflow page */
        g_assert_true(g_file_set_contents(p->db, bad, (gssize)size, NULL));
        rc = place_try_open(p->db, &err);
        g_assert_true(rc == 0 || rc == -EBADMSG);
        refused += rc == -EBADMSG;
    }
    g_assert_cmpuint(refused, >, size / 512 / 7 / 2);
}

/* Rows that break a rule are named; the others are read. */
static void test_row_faults(Place *p, gconstpointer unused)
{
    static const struct {
        const char *row;
        MemdbFaultKind kind;
    } cases[] = {
        {"(2, 0, 2, 0, 1, 8, '', NULL)", MEMDB_FAULT_NAME_EMPTY},
        {"(3, 0, 2, 0, 1, 7, 'n', NULL)", MEMDB_FAULT_TYPE},
        {"(4, 0, 2, 0, 1, 4, 'd', x'00')", MEMDB_FAULT_DIR_DATA},
        {"(5, 0, 2, 0, 1, 8, CAST(x'61006200' AS TEXT), NULL)", MEMDB_FAULT_NAME_INVALID},
        {"(6, 0, 2, 0, 1, 8, 'large', zeroblob(1048577))", MEMDB_FAULT_FILE_SIZE},
        {"(7, 0, 2, 0, 1, 8, 'number', 5)", MEMDB_FAULT_FILE_SIZE},
        {"(8, 0, 'x', 0, 1, 8, 'n', NULL)", MEMDB_FAULT_TYPE},
        {"(0, 0, 2, 0, 1, 8, 'version', NULL)", MEMDB_FAULT_ROOT_NAME},
        {"(9, 0, 2, 0, 1, 8, hex(zeroblob(3000)), NULL)", MEMDB_FAULT_NAME_INVALID},
    };
    g_autoptr(GArray) faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    g_autoptr(GPtrArray) entries = NULL;
    StoreOptions opt = {.read_only = true};
    Store *s = NULL;
    MemdbRoot root;
    bool has_root;

    (void)unused;
    place_exec(p->db, "CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
                      "INSERT INTO tree VALUES (11, 0, 2, -1, -1, 264, 'text', 'typed as text'),"
                      " (12, 11, 2, 0, 1, 8, '..', NULL)");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat("INSERT INTO tree VALUES ", cases[i].row, NULL);

        place_exec(p->db, text);
    }
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
    g_assert_cmpint(store_read(s, &limits, &entries, &root, &has_root, faults, NULL), ==, 0);
    g_assert_cmpuint(faults->len, ==, G_N_ELEMENTS(cases));
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *f = &g_array_index(faults, MemdbFault, i);
        guint at = f->inode == 0 ? 7 : (guint)f->inode - (f->inode == 9 ? 1 : 2);

        g_assert_true(f->fatal);
        g_assert_cmpint(f->kind, ==, (int)cases[at].kind);
    }
    g_assert_false(has_root);
    g_assert_cmpuint(entries->len, ==, 2); /* what is only odd is the tree's to judge */
    const Entry *e = g_ptr_array_index(entries, 0);
    g_assert_cmpuint(e->size, ==, 13); /* text is read like a blob; type modulo 256 */
    g_assert_cmpuint(e->type, ==, ENTRY_FILE);
    g_assert_cmpuint(e->writer, ==, UINT32_MAX);
    g_assert_cmpint(store_close(s), ==, 0);
}

static void test_read_is_bounded(Place *p, gconstpointer unused)
{
    MemdbLimits tight[] = {limits, limits};
    StoreOptions opt = {.read_only = true};

    (void)unused;
    place_exec(p->db, "CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
                      "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
                      " INSERT INTO tree SELECT i, 0, i, 0, 1, 8, 'f' || i, zeroblob(1000) FROM n");
    tight[0].inodes_max = 99;
    tight[1].total_size_max = 99999;
    for (size_t i = 0; i < G_N_ELEMENTS(tight); i++) {
        g_autoptr(GPtrArray) entries = NULL;
        Store *s = NULL;
        MemdbRoot root;
        bool has_root;
        Err err = ERR_INIT;

        g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
        g_assert_cmpint(store_read(s, &tight[i], &entries, &root, &has_root, NULL, &err), ==,
                        -E2BIG);
        g_assert_null(entries);
        g_assert_cmpint(store_close(s), ==, 0);
    }
}

/* Triggers of a file from elsewhere never run. */
static void test_triggers_are_dead(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);

    (void)unused;
    (void)storerig_create(rig, "f");
    place_close(rig);
    place_exec(p->db, "CREATE TRIGGER t AFTER INSERT ON tree BEGIN DELETE FROM tree; END;"
                      "CREATE TRIGGER u AFTER UPDATE ON tree BEGIN DELETE FROM tree; END");
    rig = place_open(p->db);
    (void)storerig_create(rig, "g");
    (void)storerig_fill(rig, "f", 10, 1);
    place_close(rig);
    place_assert_sql(p->db, "SELECT count(*) FROM tree", "3");
}

/* ---- reading without touching ------------------------------------------------------------ */

static void test_read_only_leaves_a_crashed_file_alone(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    g_autofree char *copy = g_build_filename(p->dir, "crashed.db", NULL);
    g_autofree char *copy_wal = g_strconcat(copy, "-wal", NULL);
    g_autofree char *wal = place_path(p, "-wal");
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GBytes) found = NULL;
    g_autoptr(GPtrArray) states = NULL;
    StoreOptions opt = {.read_only = true};
    gsize size_before;
    gsize size_after;
    uint64_t last;

    (void)unused;
    (void)storerig_create(rig, "f");
    last = storerig_fill(rig, "f", 5000, 1);
    g_assert_cmpint(storerig_wait(rig, last), ==, 0);
    copy_sample(p->db, copy); /* as kill -9 would leave it */
    copy_sample(wal, copy_wal);
    states = storerig_states(rig, false);
    place_close(rig);
    g_assert_true(g_file_get_contents(copy_wal, &before, &size_before, NULL));
    g_assert_cmpint(storerig_checksum(copy, &opt, &found, NULL), ==, 0);
    g_assert_true(g_bytes_equal(found, g_ptr_array_index(states, last))); /* with the WAL */
    g_assert_true(g_file_get_contents(copy_wal, &after, &size_after, NULL));
    g_assert_cmpmem(before, size_before, after, size_after);
    g_autofree char *shm = g_strconcat(copy, "-shm", NULL);
    g_assert_false(g_file_test(shm, G_FILE_TEST_EXISTS));
}

static void test_read_only_refuses_changes(Place *p, gconstpointer unused)
{
    StoreOptions opt = {.read_only = true};
    Store *s = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, -ENOENT);
    g_assert_false(place_has(p, ""));
    place_close(place_open(p->db));
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, 0);
    g_assert_cmpint(store_start(s, NULL), ==, -EROFS);
    g_assert_cmpint(store_set_meta(s, "k", "v", 1, true, NULL), ==, -EROFS);
    g_assert_cmpint(store_probe(s, NULL), ==, -EROFS);
    g_assert_cmpint(place_try_open(p->db, &err), ==, -EBUSY); /* and keeps writers out meanwhile */
    g_assert_cmpint(store_close(s), ==, 0);
    StoreRig *rig = place_open(p->db);
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, -EBUSY);
    place_close(rig);
}

/* ---- own values -------------------------------------------------------------------------- */

static void assert_meta(Store *s, const char *key, const char *expected)
{
    g_autoptr(GBytes) value = NULL;

    if (expected == NULL) {
        g_assert_cmpint(store_get_meta(s, key, &value, NULL), ==, -ENOENT);
        return;
    }
    g_assert_cmpint(store_get_meta(s, key, &value, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), expected,
                    strlen(expected));
}

static void test_meta(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    Store *s = storerig_store(rig);
    g_autofree char *large = g_malloc0(STORE_META_VALUE_MAX + 1);
    g_autofree char *longkey = g_strnfill(STORE_META_KEY_MAX + 1, 'k');

    (void)unused;
    assert_meta(s, "a", NULL);
    g_assert_cmpint(store_set_meta(s, "a", "1", 1, true, NULL), ==, 0);
    place_assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1"); /* at once */
    g_assert_cmpint(store_set_meta(s, "a", "22", 2, false, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "empty", NULL, 0, false, NULL), ==, 0);
    assert_meta(s, "a", "22");
    assert_meta(s, "empty", "");
    place_assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1"); /* not yet */
    (void)storerig_mkdir(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=22 empty=");
    g_assert_cmpint(store_set_meta(s, "late", "x", 1, false, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "l", large, STORE_META_VALUE_MAX + 1, false, NULL), ==,
                    -E2BIG);
    g_assert_cmpint(store_set_meta(s, longkey, "x", 1, false, NULL), ==, -E2BIG);
    g_assert_cmpint(store_set_meta(s, "", "x", 1, false, NULL), ==, -E2BIG);
    for (int i = 0; i < 8; i++) {
        g_autofree char *key = g_strdup_printf("l%d", i);
        int rc = store_set_meta(s, key, large, STORE_META_VALUE_MAX, false, NULL);

        g_assert_cmpint(rc, ==, i < 7 ? 0 : -E2BIG);
    }
    place_close(rig);
    rig = place_open(p->db);
    assert_meta(storerig_store(rig), "a", "22");
    assert_meta(storerig_store(rig), "empty", "");
    assert_meta(storerig_store(rig), "late", "x"); /* written at the end at the latest */
    assert_meta(storerig_store(rig), "l", NULL);
    place_close(rig);
}

static void test_meta_before_start(Place *p, gconstpointer unused)
{
    StoreOptions opt = {.durability = STORE_SYNCED};
    Store *s = NULL;

    (void)unused;
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "a", "1", 1, true, NULL), ==, 0);
    g_assert_cmpint(store_close(s), ==, 0);
    place_assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1");
}

static void test_probe(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    StoreStats before;
    StoreStats after;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        store_stats(storerig_store(rig), &before);
        g_assert_cmpint(store_probe(storerig_store(rig), NULL), ==, 0);
        store_stats(storerig_store(rig), &after);
        g_assert_cmpuint(after.syncs, >, before.syncs); /* it really writes, every time */
        g_assert_cmpuint(after.disk_bytes, >, before.disk_bytes);
    }
    (void)storerig_create(rig, "f");
    place_close(rig);
}

/* ---- whole files ------------------------------------------------------------------------- */

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

static void test_set_aside(Place *p, gconstpointer unused)
{
    g_autofree char *wal = place_path(p, "-wal");
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    (void)unused;
    for (int i = 0; i < 2; i++) { /* twice in one second: two names */
        char **name = i == 0 ? &first : &second;

        g_assert_true(g_file_set_contents(p->db, "damaged", -1, NULL));
        g_assert_true(g_file_set_contents(wal, "its wal", -1, NULL));
        g_assert_cmpint(store_set_aside(p->db, "bad page/../x", name, NULL), ==, 0);
        g_assert_false(place_has(p, ""));
        g_assert_false(place_has(p, "-wal"));
        g_autofree char *moved_wal = g_strconcat(*name, "-wal", NULL);
        g_autofree char *content = NULL;
        g_assert_true(g_file_get_contents(moved_wal, &content, NULL, NULL));
        g_assert_cmpstr(content, ==, "its wal");
    }
    g_assert_cmpstr(first, !=, second);
    g_assert_true(
        g_regex_match_simple("/config\\.db\\.damaged-\\d{8}T\\d{6}Z-bad-page----x$", first, 0, 0));
    g_assert_cmpint(store_set_aside(p->db, "x", NULL, NULL), ==, -ENOENT);
}

/* SQLite would silently throw away the WAL of a lost database. */
static void test_stray_wal_is_kept(Place *p, gconstpointer unused)
{
    g_autofree char *wal = place_path(p, "-wal");
    g_autoptr(GPtrArray) names = NULL;

    (void)unused;
    g_assert_true(g_file_set_contents(wal, "changes nobody folded in", -1, NULL));
    place_close(place_open(p->db));
    names = names_with(p, "-wal.damaged-");
    g_assert_cmpuint(names->len, ==, 1);
    g_autofree char *kept = g_build_filename(p->dir, g_ptr_array_index(names, 0), NULL);
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(kept, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "changes nobody folded in");
}

static void test_save_tree(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GBytes) saved = NULL;
    g_autofree char *path = g_build_filename(p->dir, "losing.db", NULL);
    uint8_t csum[ENTRY_DIGEST_SIZE];
    struct stat st;
    MemdbRoot root;
    Err err = ERR_INIT;

    (void)unused;
    (void)storerig_mkdir(rig, "d");
    for (int i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("d/f%d", i);

        (void)storerig_create(rig, name);
        (void)storerig_fill(rig, name, (size_t)i * 400, (uint64_t)i);
    }
    all = memdb_all(storerig_tree(rig));
    root = memdb_root(storerig_tree(rig));
    memdb_checksum(storerig_tree(rig), csum);
    g_assert_cmpint(store_save_tree(p->dir, "losing.db", all, &root, NULL), ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpint(storerig_checksum(path, NULL, &saved, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(saved, NULL), g_bytes_get_size(saved), csum, sizeof(csum));
    g_assert_cmpint(store_save_tree(p->dir, "losing.db", all, &root, &err), ==, -EEXIST);
    g_assert_cmpint(store_save_tree("/nonexistent", "x.db", all, &root, &err), ==, -ENOENT);
    place_close(rig);
    left = names_with(p, "losing");
    g_assert_cmpuint(left->len, ==, 1); /* no temporary file, no journal */
}

/* ---- errno ------------------------------------------------------------------------------- */

static void test_errno(void)
{
    static const struct {
        int rc, sys, code;
    } cases[] = {
        {SQLITE_OK, EIO, 0},
        {SQLITE_ROW, 0, 0},
        {SQLITE_DONE, 0, 0},
        {SQLITE_FULL, 0, -ENOSPC},
        {SQLITE_IOERR, 0, -EIO},
        {SQLITE_IOERR_WRITE, ENOSPC, -ENOSPC},
        {SQLITE_IOERR_WRITE, EDQUOT, -EDQUOT},
        {SQLITE_IOERR_WRITE, EROFS, -EROFS},
        {SQLITE_IOERR_WRITE, EFBIG, -EFBIG},
        {SQLITE_IOERR_WRITE, ENOENT, -EIO}, /* left over from another call */
        {SQLITE_IOERR_FSYNC, EIO, -EIO},
        {SQLITE_IOERR_NOMEM, 0, -ENOMEM},
        {SQLITE_IOERR_SHORT_READ, ENOENT, -EIO},
        {SQLITE_CANTOPEN, EACCES, -EACCES},
        {SQLITE_CANTOPEN, EISDIR, -EISDIR},
        {SQLITE_CANTOPEN, EMFILE, -EMFILE},
        {SQLITE_CANTOPEN, 0, -EIO},
        {SQLITE_READONLY, 0, -EROFS},
        {SQLITE_READONLY_DBMOVED, 0, -EROFS},
        {SQLITE_PERM, 0, -EACCES},
        {SQLITE_AUTH, 0, -EACCES},
        {SQLITE_BUSY, 0, -EBUSY},
        {SQLITE_BUSY_SNAPSHOT, 0, -EBUSY},
        {SQLITE_LOCKED, 0, -EBUSY},
        {SQLITE_PROTOCOL, 0, -EBUSY},
        {SQLITE_NOMEM, 0, -ENOMEM},
        {SQLITE_INTERRUPT, 0, -ECANCELED},
        {SQLITE_ABORT, 0, -ECANCELED},
        {SQLITE_TOOBIG, 0, -EFBIG},
        {SQLITE_NOLFS, 0, -EFBIG},
        {SQLITE_CORRUPT, 0, -EBADMSG},
        {SQLITE_CORRUPT_VTAB, 0, -EBADMSG},
        {SQLITE_NOTADB, 0, -EBADMSG},
        {SQLITE_FORMAT, 0, -EBADMSG},
        {SQLITE_SCHEMA, 0, -EBADMSG},
        {SQLITE_CONSTRAINT, 0, -EBADMSG},
        {SQLITE_MISMATCH, 0, -EBADMSG},
        {SQLITE_ERROR, 0, -EBADMSG},
        {SQLITE_MISUSE, 0, -EINVAL},
        {SQLITE_INTERNAL, 0, -EINVAL},
        {SQLITE_RANGE, 0, -EINVAL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(store_errno(cases[i].rc, cases[i].sys), ==, cases[i].code);
    }
    for (int rc = 1; rc < 100; rc++) { /* no failure is ever taken for success */
        g_assert_cmpint(store_errno(rc, 0), <, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/store-files/" name, Place, NULL, place_init, fn, place_done)
    ADD("sample-a-matches", test_sample_a);
    ADD("sample-b-matches", test_sample_b);
    ADD("refuses/foreign-schemas", test_refuses);
    ADD("refuses/what-is-no-database", test_refuses_what_is_no_database);
    ADD("refuses/sparse-giant", test_refuses_sparse_giant);
    ADD("refuses/damaged-pages", test_refuses_damaged_pages);
    ADD("row-faults-are-named", test_row_faults);
    ADD("read-is-bounded", test_read_is_bounded);
    ADD("triggers-are-dead", test_triggers_are_dead);
    ADD("read-only/leaves-a-crashed-file-alone", test_read_only_leaves_a_crashed_file_alone);
    ADD("read-only/refuses-changes", test_read_only_refuses_changes);
    ADD("meta/is-committed-with-deltas-or-at-once", test_meta);
    ADD("meta/before-the-start", test_meta_before_start);
    ADD("probe-writes", test_probe);
    ADD("file/set-aside-keeps-everything", test_set_aside);
    ADD("file/stray-wal-is-kept", test_stray_wal_is_kept);
    ADD("file/saved-tree-is-complete", test_save_tree);
    g_test_add_func("/store-files/errno-value-by-value", test_errno);
    return g_test_run();
}
