/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: index, digests and checksum equal those of the original, byte for byte (reference pmxcfs
 * chapter 16). Method: the documented vectors, and the sample databases read through SQLite. */
#include "lib/base/cursor.h"
#include "pmxcfs/core/memdb.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static const MonoTime now = {0};

static void apply_ok(Memdb *db, const TreeOp *op, uint32_t time)
{
    g_autoptr(MemdbDelta) delta = NULL;

    g_assert_cmpint(memdb_apply(db, op, (TreeOrigin){0, time}, false, now, &delta), >=, 0);
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    g_autoptr(GString) got = g_string_new(NULL);

    for (int i = 0; i < ENTRY_DIGEST_SIZE; i++) {
        g_string_append_printf(got, "%02x", bytes[i]);
    }
    g_assert_cmpstr(got->str, ==, hex);
}

static void test_fresh_tree(void)
{
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_autofree uint8_t *zeros = g_malloc0(32768);
    g_autoptr(GBytes) data = g_bytes_new(zeros, 32768);
    g_autoptr(Sha256) h = sha256_new();
    uint8_t digest[SHA256_SIZE];
    gsize size;

    g_assert_cmpint(memdb_load(db, none, NULL, now, NULL, NULL), ==, 0);
    for (int i = 0; i < 100; i++) {
        g_autofree char *path = g_strdup_printf("testfile%d", i);
        apply_ok(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = path}, 1234);
        apply_ok(db, &(TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = data}, 1234);
    }
    g_autoptr(GBytes) index = memdb_index(db);
    const void *bytes = g_bytes_get_data(index, &size);
    g_assert_cmpuint(size, ==, 4072);
    sha256_bytes(h, bytes, size);
    sha256_finish(h, digest);
    assert_hex(digest, "913fd95015af9d93f10dd51ba2a7bb11351bcfe040be21e95fcba834adc3ec10");
}

/* ---- samples ---- */

static char *sample(const char *name)
{
    const char *shared = g_getenv("QUORATE_SHARED");
    char *path =
        g_build_filename(shared != NULL ? shared : ".", "reference", "pmxcfs-samples", name, NULL);

    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_test_skip("sample data not found: set QUORATE_SHARED");
        g_clear_pointer(&path, g_free);
    }
    return path;
}

static GBytes *read_hex(const char *name)
{
    g_autofree char *path = sample(name);
    g_autofree char *text = NULL;
    gsize len;
    GByteArray *out = g_byte_array_new();

    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    for (gsize i = 0; i + 1 < len; i++) {
        if (g_ascii_isxdigit(text[i])) {
            guint8 byte =
                (guint8)(g_ascii_xdigit_value(text[i]) * 16 + g_ascii_xdigit_value(text[i + 1]));
            g_byte_array_append(out, &byte, 1);
            i++;
        }
    }
    return g_byte_array_free_to_bytes(out);
}

/* Reads all rows; the file is opened as immutable, so that nothing is written beside it. */
static GPtrArray *read_rows(const char *path, MemdbRoot *ret_root)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_autofree char *uri = g_strdup_printf("file:%s?immutable=1", path);
    sqlite3 *sql = NULL;
    sqlite3_stmt *stmt = NULL;

    g_assert_cmpint(sqlite3_open_v2(uri, &sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), ==,
                    SQLITE_OK);
    g_assert_cmpint(sqlite3_prepare_v2(
                        sql,
                        "SELECT inode, parent, version, writer, mtime, type, name, data FROM tree",
                        -1, &stmt, NULL),
                    ==, SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        int size = sqlite3_column_bytes(stmt, 7);
        g_autoptr(GBytes) data = g_bytes_new(sqlite3_column_blob(stmt, 7), (gsize)size);
        EntryInit init = {
            .inode = (uint64_t)sqlite3_column_int64(stmt, 0),
            .parent = (uint64_t)sqlite3_column_int64(stmt, 1),
            .version = (uint64_t)sqlite3_column_int64(stmt, 2),
            .writer = (uint32_t)sqlite3_column_int64(stmt, 3),
            .mtime = (uint32_t)sqlite3_column_int64(stmt, 4),
            .type = (EntryType)sqlite3_column_int(stmt, 5),
            .name = (const char *)sqlite3_column_text(stmt, 6),
            .data = data,
        };
        if (init.inode == 0) {
            *ret_root = (MemdbRoot){init.version, init.writer, init.mtime};
        } else {
            g_ptr_array_add(entries, entry_new(&init));
        }
    }
    sqlite3_finalize(stmt);
    sqlite3_close(sql);
    return entries;
}

static Memdb *load_sample(const char *name)
{
    g_autofree char *path = sample(name);
    MemdbRoot root = {0};
    Err err = ERR_INIT;

    if (path == NULL) {
        return NULL;
    }
    g_autoptr(GPtrArray) entries = read_rows(path, &root);
    Memdb *db = memdb_new(NULL, NULL);
    if (memdb_load(db, entries, &root, now, NULL, &err) < 0) {
        g_error("%s", err_text(&err));
    }
    return db;
}

/* The payload of a STATE message, which is an index. */
static void assert_index_is_state(Memdb *db, const char *state)
{
    g_autoptr(GBytes) message = read_hex(state);
    g_autoptr(GBytes) expected =
        g_bytes_new_from_bytes(message, 32, g_bytes_get_size(message) - 32);
    g_autoptr(GBytes) index = memdb_index(db);

    g_assert_cmpmem(g_bytes_get_data(index, NULL), g_bytes_get_size(index),
                    g_bytes_get_data(expected, NULL), g_bytes_get_size(expected));
}

static void test_sample_index(gconstpointer which)
{
    bool a = g_str_equal(which, "a");
    g_autoptr(Memdb) db = load_sample(a ? "config-a.db" : "config-b.db");

    if (db == NULL) {
        return;
    }
    assert_index_is_state(db, a ? "wire-dcdb-state-2.hex" : "wire-dcdb-state-1.hex");
    if (!a) {
        g_autoptr(Entry) root = memdb_get(db, 0);
        assert_hex(entry_digest(root),
                   "0499c6893e2baa7bee90adc2f24667951cd83f2b4832903d590084abde6ea76c");
    }
}

/* Performs one captured file message (reference chapter 9) as the original's receivers did. */
static void replay(Memdb *db, const char *name)
{
    g_autoptr(GBytes) message = read_hex(name);
    gsize size;
    Reader r = {0};
    const void *bytes = g_bytes_get_data(message, &size);
    TreeOp op = {0};
    TreeOrigin from = {.writer = 1};
    g_autoptr(MemdbDelta) delta = NULL;

    r = reader_init(bytes, size);
    reader_skip(&r, 2);
    op.kind = (TreeOpKind)reader_le16(&r);
    reader_skip(&r, 4);
    from.time = reader_le32(&r);
    reader_skip(&r, 12);
    uint32_t count = reader_le32(&r);
    op.offset = op.mtime = reader_le32(&r);
    uint32_t path_len = reader_le32(&r), to_len = reader_le32(&r);
    op.truncate = reader_le32(&r) != 0;
    op.path = reader_strz(&r, path_len);
    op.to = to_len > 0 ? reader_strz(&r, to_len) : NULL;
    g_autoptr(GBytes) data = g_bytes_new(reader_bytes(&r, count), count);
    op.data = data;
    g_assert_true(reader_done(&r));
    g_assert_cmpint(memdb_apply(db, &op, from, true, now, &delta), ==, count);
}

/* After config-b.db the captured messages were applied, `ha/sub` was removed and a lock taken,
 * asked for, and released. The checksum of the lock travelled in UNLOCK_REQUEST, that of the tree
 * at the end in VERIFY. */
static void test_captured_session(void)
{
    static const char *const messages[] = {"mkdir",   "create", "write-1", "write-2",
                                           "write-3", "rename", "mtime",   "delete"};
    const uint32_t locked_at = 0x6b023f44, released_at = 0x6b023f45;
    const TreeOrigin at_lock = {1, locked_at}, at_release = {1, released_at};
    const char *lock = "priv/lock/file-user_cfg";
    g_autoptr(Memdb) db = load_sample("config-b.db");
    MemdbDelta *deltas[3] = {0};
    uint8_t csum[ENTRY_DIGEST_SIZE];

    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
        g_autofree char *name = g_strdup_printf("wire-dcdb-normal-%s.hex", messages[i]);
        replay(db, name);
    }
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_DELETE, .path = "ha/sub"}, at_lock,
                                true, now, &deltas[0]),
                    ==, 0);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_MKDIR, .path = lock}, at_lock, true,
                                now, &deltas[1]),
                    ==, 0);
    g_autoptr(Entry) e = NULL;
    g_assert_cmpint(memdb_lookup(db, lock, &e), ==, 0);
    entry_checksum(e, csum);
    g_autoptr(GBytes) request = read_hex("wire-dcdb-normal-unlock-request.hex");
    g_assert_cmpmem(csum, 32, (const uint8_t *)g_bytes_get_data(request, NULL) + 24, 32);

    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_DELETE, .path = lock}, at_release,
                                true, now, &deltas[2]),
                    ==, 0);
    g_autoptr(GBytes) verify = read_hex("wire-dcdb-verify.hex");
    g_assert_cmpuint(g_bytes_get_size(verify), ==, 72);
    for (int again = 0; again < 2; again++) { /* computed, then from the cache */
        memdb_checksum(db, csum);
        g_assert_cmpmem(csum, 32, (const uint8_t *)g_bytes_get_data(verify, NULL) + 40, 32);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(deltas); i++) {
        memdb_delta_unref(deltas[i]);
    }
}

/* a, the four captured updates and the deletion of inode 25 give b, by way of memdb_replace. */
static void test_sample_sync(void)
{
    g_autoptr(Memdb) a = load_sample("config-a.db");
    g_autoptr(MemdbDelta) delta = NULL, back = NULL;
    Err err = ERR_INIT;

    if (a == NULL) {
        return;
    }
    g_autoptr(Memdb) b = load_sample("config-b.db");
    g_autoptr(GPtrArray) target = memdb_all(b);
    MemdbRoot root = memdb_root(b);
    g_ptr_array_remove_index(target, 0); /* the root travels apart */
    if (memdb_replace(a, target, &root, now, &delta, &err) < 0) {
        g_error("%s", err_text(&err));
    }
    assert_index_is_state(a, "wire-dcdb-state-1.hex");
    g_assert_true(delta->replaces_tree);
    g_assert_cmpuint(delta->edits->len, ==, 4);
    static const struct {
        uint64_t inode;
        bool before, after;
    } edits[] = {{25, true, false}, {14, true, true}, {18, true, true}, {38, false, true}};
    for (guint i = 0; i < 4; i++) {
        const MemdbEdit *edit = &g_array_index(delta->edits, MemdbEdit, i);
        const Entry *e = edit->after != NULL ? edit->after : edit->before;
        g_assert_cmpuint(e->inode, ==, edits[i].inode);
        g_assert_cmpint(edit->before != NULL, ==, edits[i].before);
        g_assert_cmpint(edit->after != NULL, ==, edits[i].after);
        g_assert_cmpint(edit->path_before != NULL, ==, edits[i].before);
        g_assert_cmpint(edit->path_after != NULL, ==, edits[i].after);
    }
    memdb_undo(a, delta, now, &back);
    assert_index_is_state(a, "wire-dcdb-state-2.hex");
}

/* The guest list of the sample, as the original answered it over IPC. */
static void test_sample_vmlist(void)
{
    g_autoptr(Memdb) b = load_sample("config-b.db");
    g_autoptr(GString) text = g_string_new(NULL);

    if (b == NULL) {
        return;
    }
    memdb_format_vmlist(b, text);
    g_assert_nonnull(strstr(text->str, "\"100\": { \"node\": \"n2\", \"type\": \"qemu\", "));
    g_assert_nonnull(strstr(text->str, "\"101\": { \"node\": \"n1\", \"type\": \"lxc\", "));
    g_assert_true(g_str_has_prefix(text->str, "{\n\"version\": 1,\n\"ids\": {\n\"100\""));
    g_assert_true(g_str_has_suffix(text->str, " }}\n\n}\n"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memdb/vectors/fresh-tree-of-100-files", test_fresh_tree);
    g_test_add_data_func("/memdb/vectors/sample-a-index-is-captured-state", "a", test_sample_index);
    g_test_add_data_func("/memdb/vectors/sample-b-index-is-captured-state", "b", test_sample_index);
    g_test_add_func("/memdb/vectors/captured-session-gives-captured-checksums",
                    test_captured_session);
    g_test_add_func("/memdb/vectors/replace-turns-a-into-b-and-undo-back", test_sample_sync);
    g_test_add_func("/memdb/vectors/sample-guest-list", test_sample_vmlist);
    return g_test_run();
}
