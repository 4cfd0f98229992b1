/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: changes and synchronisation of the configuration group as documented. Method: the exchange
 * that was captured from the documented peer is replayed from both sides; damaged exchanges change
 * nothing.
 */
#include "lib/wire/wire_dcdb.h"
#include "pmxcfs/core/dcdb.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

static const MonoTime now = {0};

/* ---- trees ---- */

static void add_row(GPtrArray *entries, MemdbRoot *root, sqlite3_stmt *row)
{
    int size = sqlite3_column_bytes(row, 7);
    g_autoptr(GBytes) data =
        size > 0 ? g_bytes_new(sqlite3_column_blob(row, 7), (gsize)size) : NULL;
    EntryInit init = {.inode = (uint64_t)sqlite3_column_int64(row, 0),
                      .parent = (uint64_t)sqlite3_column_int64(row, 1),
                      .version = (uint64_t)sqlite3_column_int64(row, 2),
                      .writer = (uint32_t)sqlite3_column_int64(row, 3),
                      .mtime = (uint32_t)sqlite3_column_int64(row, 4),
                      .type = (EntryType)sqlite3_column_int(row, 5),
                      .name = (const char *)sqlite3_column_text(row, 6),
                      .data = data};

    if (init.inode == 0) {
        *root = (MemdbRoot){init.version, init.writer, init.mtime};
    } else {
        g_ptr_array_add(entries, entry_new(&init));
    }
}

/* The tree in a sample database; NULL, with the test skipped, when there is none. */
static Memdb *sample_tree(const char *name)
{
    g_autofree char *relative = g_build_filename("reference", "pmxcfs-samples", name, NULL);
    g_autofree char *path = testdata_path(relative);
    g_autofree char *uri = path != NULL ? g_strdup_printf("file:%s?immutable=1", path) : NULL;
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    Memdb *db = memdb_new(NULL, NULL);
    MemdbRoot root = {0};
    sqlite3 *sql = NULL;
    sqlite3_stmt *row = NULL;

    if (uri == NULL) {
        memdb_free(db);
        return NULL;
    }
    g_assert_cmpint(sqlite3_open_v2(uri, &sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), ==,
                    SQLITE_OK);
    g_assert_cmpint(sqlite3_prepare_v2(sql,
                                       "SELECT inode, parent, version, writer, mtime, type, name,"
                                       " data FROM tree",
                                       -1, &row, NULL),
                    ==, SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        add_row(entries, &root, row);
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(sql);
    g_assert_cmpint(memdb_load(db, entries, &root, now, NULL, NULL), ==, 0);
    return db;
}

static Memdb *small_tree(void)
{
    Memdb *db = memdb_new(NULL, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    g_assert_cmpint(memdb_load(db, none, NULL, now, NULL, NULL), ==, 0);
    return db;
}

static void change(Memdb *db, TreeOp op)
{
    g_autoptr(MemdbDelta) delta = NULL;

    g_assert_cmpint(memdb_apply(db, &op, (TreeOrigin){1, 1000}, true, now, &delta), >=, 0);
}

static void write_text(Memdb *db, const char *path, const char *text)
{
    g_autoptr(GBytes) data = g_bytes_new(text, strlen(text));

    change(db, (TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = data, .truncate = true});
}

/* ---- messages ---- */

/* Payload of a captured message; NULL, with the test skipped, when there is none. */
static GBytes *captured_payload(const char *name)
{
    g_autoptr(GBytes) bytes = testdata_sample(name);
    WireDfsmMessage m;
    gsize size;
    const void *data;

    if (bytes == NULL) {
        return NULL;
    }
    data = g_bytes_get_data(bytes, &size);
    g_assert_cmpint(wire_dfsm_decode(data, size, DCDB_VERSION, &m), ==, 0);
    return g_bytes_new(m.payload, m.payload_size);
}

static int feed(DcdbSync *s, GBytes *payload)
{
    gsize size;
    const void *data = g_bytes_get_data(payload, &size);

    return dcdb_sync_update(s, data, size);
}

static void member_states(DfsmMember members[2], GBytes *one, GBytes *two)
{
    members[0] = (DfsmMember){.id = {1, 10}, .state = one};
    members[1] = (DfsmMember){.id = {2, 20}, .state = two};
}

/* ---- the captured exchange ---- */

static void captured_exchange_updates_the_older_node(void)
{
    g_autoptr(Memdb) a = sample_tree("config-a.db");
    g_autoptr(GBytes) newer = captured_payload("wire-dcdb-state-1.hex");
    g_autoptr(GBytes) older = captured_payload("wire-dcdb-state-2.hex");
    g_autoptr(GBytes) own = NULL, after = NULL;
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(DcdbSync) s = NULL;
    DfsmMember members[2];
    Err err = ERR_INIT;

    if (a == NULL || newer == NULL || older == NULL) {
        return;
    }
    s = dcdb_sync_new(a, NULL);
    own = memdb_index(a);
    g_assert_true(g_bytes_equal(own, older));
    member_states(members, newer, older);
    g_assert_cmpint(dcdb_sync_states(s, members, 2, 1), ==, 0);
    g_assert_true(members[0].synced);
    g_assert_false(members[1].synced);
    g_assert_cmpuint(dcdb_sync_leader(s), ==, 1);
    g_assert_false(dcdb_sync_leading(s));
    for (int i = 1; i <= 4; i++) {
        g_autofree char *name = g_strdup_printf("wire-dcdb-update-%d.hex", i);
        g_autoptr(GBytes) update = captured_payload(name);

        g_assert_cmpint(feed(s, update), ==, 0);
    }
    g_assert_true(dcdb_sync_loses(s));
    g_assert_cmpint(dcdb_sync_commit(s, now, &delta, &err), ==, 0);
    after = memdb_index(a);
    g_assert_true(g_bytes_equal(after, newer));
    g_assert_true(delta->replaces_tree);
}

static void captured_exchange_is_led_the_same_way(void)
{
    g_autoptr(Memdb) b = sample_tree("config-b.db");
    g_autoptr(GBytes) newer = captured_payload("wire-dcdb-state-1.hex");
    g_autoptr(GBytes) older = captured_payload("wire-dcdb-state-2.hex");
    g_autoptr(GHashTable) sent =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    g_autoptr(DcdbSync) s = NULL;
    DfsmMember members[2];
    GBytes *update;

    if (b == NULL || newer == NULL || older == NULL) {
        return;
    }
    s = dcdb_sync_new(b, NULL);
    member_states(members, newer, older);
    g_assert_cmpint(dcdb_sync_states(s, members, 2, 0), ==, 0);
    g_assert_true(dcdb_sync_leading(s));
    while ((update = dcdb_sync_next_update(s)) != NULL) {
        (void)g_hash_table_add(sent, update);
    }
    g_assert_false(dcdb_sync_leading(s));
    g_assert_cmpuint(g_hash_table_size(sent), ==, 4);
    for (int i = 1; i <= 4; i++) {
        g_autofree char *name = g_strdup_printf("wire-dcdb-update-%d.hex", i);
        g_autoptr(GBytes) captured = captured_payload(name);

        g_assert_true(g_hash_table_contains(sent, captured));
    }
}

/* ---- leader rule ---- */

static GBytes *index_of(uint64_t version, uint32_t mtime, uint32_t writer)
{
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbRoot root = {version, writer, mtime};

    g_assert_cmpint(memdb_load(db, none, &root, now, NULL, NULL), ==, 0);
    return memdb_index(db);
}

static void expect_leader(uint32_t want, GBytes *one, GBytes *two, bool one_synced, bool two_synced)
{
    g_autoptr(Memdb) db = small_tree();
    g_autoptr(DcdbSync) s = dcdb_sync_new(db, NULL);
    DfsmMember members[2];

    member_states(members, one, two);
    g_assert_cmpint(dcdb_sync_states(s, members, 2, 2), ==, 0); /* seen by neither */
    g_assert_cmpuint(dcdb_sync_leader(s), ==, want);
    g_assert_cmpint(members[0].synced, ==, one_synced);
    g_assert_cmpint(members[1].synced, ==, two_synced);
    g_bytes_unref(one);
    g_bytes_unref(two);
}

static void leader_has_the_highest_version_then_time_then_lowest_id(void)
{
    expect_leader(1, index_of(5, 9, 0), index_of(4, 99, 0), true, false);
    expect_leader(2, index_of(4, 99, 0), index_of(5, 9, 0), false, true);
    expect_leader(2, index_of(5, 9, 0), index_of(5, 10, 0), false, true);
    expect_leader(1, index_of(5, 9, 0), index_of(5, 9, 7), true, false);
    expect_leader(1, index_of(5, 9, 0), index_of(5, 9, 0), true, true);
}

static void state_that_is_no_index_is_refused(void)
{
    g_autoptr(Memdb) db = small_tree();
    g_autoptr(DcdbSync) s = dcdb_sync_new(db, NULL);
    g_autoptr(GBytes) good = memdb_index(db);
    g_autoptr(GBytes) bad = g_bytes_new_static("short", 5);
    DfsmMember members[2];

    member_states(members, good, bad);
    g_assert_cmpint(dcdb_sync_states(s, members, 2, 0), ==, -EBADMSG);
}

/* ---- an exchange between two trees of our own ---- */

typedef struct Pair {
    Memdb *ahead, *behind;
    DcdbSync *leader, *follower;
    GBytes *states[2];
    GPtrArray *updates;
} Pair;

static void pair_begin(Pair *p)
{
    DfsmMember members[2];
    GBytes *update;

    p->states[0] = memdb_index(p->ahead);
    p->states[1] = memdb_index(p->behind);
    p->leader = dcdb_sync_new(p->ahead, NULL);
    p->follower = dcdb_sync_new(p->behind, NULL);
    p->updates = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    member_states(members, p->states[0], p->states[1]);
    g_assert_cmpint(dcdb_sync_states(p->leader, members, 2, 0), ==, 0);
    g_assert_cmpint(dcdb_sync_states(p->follower, members, 2, 1), ==, 0);
    write_text(p->ahead, "f", "changed while updates are on their way");
    while ((update = dcdb_sync_next_update(p->leader)) != NULL) {
        g_ptr_array_add(p->updates, update);
    }
}

static Pair *pair_new(void)
{
    Pair *p = g_new0(Pair, 1);

    p->ahead = small_tree();
    p->behind = small_tree();
    change(p->ahead, (TreeOp){.kind = TREE_OP_CREATE, .path = "f"});
    write_text(p->ahead, "f", "one");
    change(p->behind, (TreeOp){.kind = TREE_OP_CREATE, .path = "mine"});
    return p;
}

static void pair_free(Pair *p)
{
    g_clear_pointer(&p->leader, dcdb_sync_free);
    g_clear_pointer(&p->follower, dcdb_sync_free);
    memdb_free(p->ahead);
    memdb_free(p->behind);
    g_clear_pointer(&p->states[0], g_bytes_unref);
    g_clear_pointer(&p->states[1], g_bytes_unref);
    g_clear_pointer(&p->updates, g_ptr_array_unref);
    g_free(p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pair, pair_free)

static int pair_commit(Pair *p)
{
    g_autoptr(MemdbDelta) delta = NULL;
    Err err = ERR_INIT;

    return dcdb_sync_commit(p->follower, now, &delta, &err);
}

static void updates_are_those_of_the_moment_the_states_were_in(void)
{
    g_autoptr(Pair) p = pair_new();
    g_autoptr(GBytes) after = NULL;
    g_autoptr(Entry) e = NULL;

    pair_begin(p);
    for (guint i = 0; i < p->updates->len; i++) {
        g_assert_cmpint(feed(p->follower, p->updates->pdata[i]), ==, 0);
    }
    g_assert_true(dcdb_sync_loses(p->follower));
    g_assert_cmpint(pair_commit(p), ==, 0);
    after = memdb_index(p->behind);
    g_assert_true(g_bytes_equal(after, p->states[0]));
    g_assert_cmpint(memdb_lookup(p->behind, "mine", &e), ==, -ENOENT);
}

static void missing_update_commits_nothing(void)
{
    g_autoptr(Pair) p = pair_new();
    g_autoptr(GBytes) after = NULL;

    pair_begin(p);
    for (guint i = 1; i < p->updates->len; i++) {
        g_assert_cmpint(feed(p->follower, p->updates->pdata[i]), ==, 0);
    }
    g_assert_cmpint(pair_commit(p), ==, -EBADMSG);
    after = memdb_index(p->behind);
    g_assert_true(g_bytes_equal(after, p->states[1]));
}

static void damaged_update_is_refused(void)
{
    g_autoptr(Pair) p = pair_new();

    pair_begin(p);
    for (guint i = 0; i < p->updates->len; i++) {
        gsize size;
        const void *data = g_bytes_get_data(p->updates->pdata[i], &size);

        for (gsize at = 0; at < size; at++) {
            g_autofree guint8 *copy = g_memdup2(data, size);

            copy[at] ^= 0x40;
            g_assert_cmpint(dcdb_sync_update(p->follower, copy, size), ==, -EBADMSG);
        }
    }
}

static void update_without_exchange_is_refused(void)
{
    g_autoptr(Pair) p = pair_new();

    pair_begin(p);
    dcdb_sync_reset(p->follower);
    g_assert_cmpint(feed(p->follower, p->updates->pdata[0]), ==, -EBADMSG);
    g_assert_cmpint(pair_commit(p), ==, -EBADMSG);
}

static void hollow_file_is_taken_over_as_such(void)
{
    g_autoptr(Pair) p = pair_new();
    g_autoptr(GBytes) after = NULL;
    g_autoptr(Entry) e = NULL;

    change(p->ahead, (TreeOp){.kind = TREE_OP_CREATE, .path = "h"});
    change(p->ahead, (TreeOp){.kind = TREE_OP_WRITE, .path = "h", .offset = 9, .truncate = true});
    pair_begin(p);
    for (guint i = 0; i < p->updates->len; i++) {
        g_assert_cmpint(feed(p->follower, p->updates->pdata[i]), ==, 0);
    }
    g_assert_cmpint(pair_commit(p), ==, 0);
    g_assert_cmpint(memdb_lookup(p->behind, "h", &e), ==, 0);
    g_assert_true(e->hollow);
    g_assert_cmpuint(e->size, ==, 9);
    after = memdb_index(p->behind);
    g_assert_true(g_bytes_equal(after, p->states[0]));
}

static void equal_trees_lose_nothing(void)
{
    g_autoptr(Memdb) db = small_tree();
    g_autoptr(DcdbSync) s = dcdb_sync_new(db, NULL);
    g_autoptr(GBytes) index = memdb_index(db);
    DfsmMember members[2];

    member_states(members, index, index);
    g_assert_cmpint(dcdb_sync_states(s, members, 2, 1), ==, 0);
    g_assert_false(dcdb_sync_loses(s));
}

/* ---- changes ---- */

static void expect_round_trip(const TreeOp *op)
{
    g_autoptr(GBytes) payload = NULL;
    TreeOp back;
    gsize size;
    const void *data;

    g_assert_cmpint(dcdb_encode_op(op, &payload), ==, 0);
    data = g_bytes_get_data(payload, &size);
    g_assert_cmpint(dcdb_decode_op((uint16_t)op->kind, data, size, &back), ==, 0);
    g_assert_cmpint(back.kind, ==, op->kind);
    g_assert_cmpstr(back.path, ==, op->path);
    g_assert_cmpstr(back.to, ==, op->to);
    g_assert_cmpuint(back.offset, ==, op->offset);
    g_assert_cmpuint(back.mtime, ==, op->mtime);
    g_assert_cmpint(back.truncate, ==, op->truncate);
    g_assert_cmpmem(back.csum, sizeof back.csum, op->csum, sizeof op->csum);
    g_assert_true((back.data == NULL) == (op->data == NULL));
    if (back.data != NULL) {
        g_assert_true(g_bytes_equal(back.data, op->data));
        g_bytes_unref(back.data);
    }
}

static void changes_survive_the_wire(void)
{
    g_autoptr(GBytes) data = g_bytes_new_static("xyz", 3);

    expect_round_trip(&(TreeOp){
        .kind = TREE_OP_WRITE, .path = "a", .data = data, .offset = UINT32_MAX, .truncate = true});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_MKDIR, .path = "a"});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_DELETE, .path = "a/b"});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_RENAME, .path = "a", .to = "b"});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_CREATE, .path = "a"});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_MTIME, .path = "a", .mtime = 0xfffffffe});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_UNLOCK_REQUEST, .path = "l", .csum = {1, 2}});
    expect_round_trip(&(TreeOp){.kind = TREE_OP_UNLOCK, .path = "l", .csum = {3}});
}

static void what_the_wire_cannot_tell_is_refused_at_the_sender(void)
{
    g_autoptr(GBytes) payload = NULL;
    TreeOp far = {.kind = TREE_OP_WRITE, .path = "a", .offset = (uint64_t)UINT32_MAX + 1};
    TreeOp noreplace = {.kind = TREE_OP_RENAME, .path = "a", .to = "b", .noreplace = true};

    g_assert_cmpint(dcdb_encode_op(&far, &payload), ==, -EFBIG);
    g_assert_cmpint(dcdb_encode_op(&noreplace, &payload), ==, -EINVAL);
}

static void unknown_and_malformed_changes_are_refused(void)
{
    g_autoptr(GBytes) no_path = testdata_hex("00000000 00000000 00000000 00000000 00000000");
    g_autoptr(GBytes) one_path = testdata_hex("00000000 00000000 02000000 00000000 00000000 6100");
    TreeOp op;
    gsize size;
    const void *data = g_bytes_get_data(one_path, &size);

    for (uint16_t subtype = 0; subtype < 20; subtype++) {
        bool known = subtype >= 1 && subtype <= 6 && subtype != TREE_OP_RENAME;

        g_assert_cmpint(dcdb_decode_op(subtype, data, size, &op), ==, known ? 0 : -EBADMSG);
    }
    data = g_bytes_get_data(no_path, &size);
    g_assert_cmpint(dcdb_decode_op(TREE_OP_CREATE, data, size, &op), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        {"/dcdb/captured-exchange-updates", captured_exchange_updates_the_older_node},
        {"/dcdb/captured-exchange-is-led", captured_exchange_is_led_the_same_way},
        {"/dcdb/leader-rule", leader_has_the_highest_version_then_time_then_lowest_id},
        {"/dcdb/bad-state-is-refused", state_that_is_no_index_is_refused},
        {"/dcdb/updates-are-of-one-moment", updates_are_those_of_the_moment_the_states_were_in},
        {"/dcdb/missing-update-commits-nothing", missing_update_commits_nothing},
        {"/dcdb/damaged-update-is-refused", damaged_update_is_refused},
        {"/dcdb/update-without-exchange", update_without_exchange_is_refused},
        {"/dcdb/hollow-file-is-taken-over", hollow_file_is_taken_over_as_such},
        {"/dcdb/equal-trees-lose-nothing", equal_trees_lose_nothing},
        {"/dcdb/changes-survive-the-wire", changes_survive_the_wire},
        {"/dcdb/refused-at-the-sender", what_the_wire_cannot_tell_is_refused_at_the_sender},
        {"/dcdb/unknown-changes-are-refused", unknown_and_malformed_changes_are_refused},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].name, tests[i].fn);
    }
    return g_test_run();
}
