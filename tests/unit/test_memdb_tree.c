/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: whole trees. Load names each fault; replace keeps what did not change; undo gives back
 * exactly what was; after any sequence of operations the tree equals a naive model, and the deltas
 * alone rebuild it. Method: crafted sets of entries, and random operations from a seed. */
#include "lib/base/prng.h"
#include "pmxcfs/core/memdb.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "tests/lib/test_seed.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static const MonoTime t0 = {0};

/* ---- load ---------------------------------------------------------------------------------- */

typedef struct Row {
    uint64_t inode, parent, version;
    char type; /* 'd', 'f', 0 ends the list */
    const char *name;
    uint32_t size;
} Row;

static GPtrArray *make_entries(const Row *rows)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);

    for (; rows->type != 0; rows++) {
        g_autoptr(GBytes) data =
            rows->size > 0 ? g_bytes_new_take(g_malloc0(rows->size), rows->size) : NULL;
        EntryInit init = {
            .inode = rows->inode,
            .parent = rows->parent,
            .version = rows->version,
            .type = rows->type == 'd' ? ENTRY_DIR : ENTRY_FILE,
            .name = rows->name,
            .data = data,
        };
        g_ptr_array_add(entries, entry_new(&init));
    }
    return entries;
}

typedef struct LoadCase {
    const char *name;
    Row rows[6];
    uint64_t root_version; /* 0: no record */
    MemdbFaultKind kind;
    bool fatal;
    uint64_t inode;
} LoadCase;

static const LoadCase load_cases[] = {
    {"name-empty", {{1, 0, 1, 'f', "", 0}}, 9, MEMDB_FAULT_NAME_EMPTY, true, 1},
    {"name-slash", {{1, 0, 1, 'f', "a/b", 0}}, 9, MEMDB_FAULT_NAME_INVALID, false, 1},
    {"name-dots", {{1, 0, 1, 'd', "..", 0}}, 9, MEMDB_FAULT_NAME_INVALID, false, 1},
    {"root-inode", {{0, 0, 1, 'f', "a", 0}}, 9, MEMDB_FAULT_DUPLICATE_INODE, true, 0},
    {"parent-missing", {{2, 1, 2, 'f', "a", 0}}, 9, MEMDB_FAULT_PARENT_MISSING, true, 2},
    {"parent-file",
     {{2, 1, 2, 'f', "a", 0}, {1, 0, 1, 'f', "b", 0}},
     9,
     MEMDB_FAULT_PARENT_FILE,
     true,
     2},
    {"duplicate-name",
     {{1, 0, 1, 'f', "a", 0}, {2, 0, 2, 'd', "a", 0}},
     9,
     MEMDB_FAULT_DUPLICATE_NAME,
     true,
     2},
    {"duplicate-inode",
     {{1, 0, 1, 'f', "a", 0}, {1, 0, 2, 'f', "b", 0}},
     9,
     MEMDB_FAULT_DUPLICATE_INODE,
     true,
     1},
    {"own-parent", {{1, 1, 1, 'd', "a", 0}}, 9, MEMDB_FAULT_CYCLE, false, 1},
    {"cycle-of-two",
     {{1, 2, 1, 'd', "a", 0}, {2, 1, 2, 'd', "b", 0}, {3, 1, 3, 'f', "c", 0}},
     9,
     MEMDB_FAULT_CYCLE,
     false,
     1},
    {"file-above-limit",
     {{1, 0, 1, 'f', "a", CFS_FILE_SIZE_MAX + 1}},
     9,
     MEMDB_FAULT_FILE_SIZE,
     false,
     1},
    {"file-above-hard-limit",
     {{1, 0, 1, 'f', "a", CFS_FILE_SIZE_MAX_NATIVE + 1}},
     9,
     MEMDB_FAULT_FILE_SIZE,
     true,
     1},
    {"version-behind", {{5, 0, 7, 'f', "a", 0}}, 4, MEMDB_FAULT_VERSION_BEHIND, false, 0},
    {"inode-behind", {{8, 0, 7, 'f', "a", 0}}, 7, MEMDB_FAULT_VERSION_BEHIND, false, 0},
    {"root-version-wraps", {{0}}, UINT64_MAX, MEMDB_FAULT_VERSION_RANGE, false, 0},
    {"entry-version-wraps",
     {{1, 0, UINT64_MAX, 'f', "a", 0}},
     9,
     MEMDB_FAULT_VERSION_RANGE,
     true,
     1},
    {"inode-out-of-range",
     {{UINT64_C(1) << 63, 0, 1, 'f', "a", 0}},
     9,
     MEMDB_FAULT_VERSION_RANGE,
     true,
     UINT64_C(1) << 63},
    {"no-record", {{1, 0, 1, 'f', "a", 0}}, 0, MEMDB_FAULT_ROOT_MISSING, false, 0},
};

static void test_load_fault(gconstpointer data)
{
    const LoadCase *c = data;
    g_autoptr(GPtrArray) entries = make_entries(c->rows);
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {c->root_version, 1, 2};
    Err err = ERR_INIT;
    int r = memdb_load(db, entries, c->root_version != 0 ? &root : NULL, t0, faults, &err);
    bool found = false;

    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *fault = &g_array_index(faults, MemdbFault, i);
        g_test_message("%s: %s", memdb_fault_name(fault->kind), fault->text);
        found |= fault->kind == c->kind && fault->fatal == c->fatal && fault->inode == c->inode;
        g_assert_null(strchr(fault->text, '\n'));
    }
    g_assert_true(found);
    g_assert_cmpint(r, ==, c->fatal ? -EBADMSG : 0);
    if (c->fatal) {
        g_assert_nonnull(strstr(err_text(&err), memdb_fault_name(c->kind)));
        g_assert_cmpuint(memdb_count(db), ==, 1);
        g_assert_cmpuint(memdb_root(db).version, ==, 0);
        /* The tree can still be filled with something better. */
        g_ptr_array_set_size(entries, 0);
        g_assert_cmpint(memdb_load(db, entries, NULL, t0, NULL, NULL), ==, 0);
        g_assert_cmpuint(memdb_root(db).version, ==, 1);
    } else {
        g_assert_cmpuint(memdb_count(db), ==, entries->len + 1);
    }
}

/* 18.1.16: a version record behind the entries would make later creates overwrite them. */
static void test_load_clamps(void)
{
    static const Row rows[] = {{5, 0, 7, 'f', "a", 0}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    g_autoptr(MemdbDelta) delta = NULL;
    MemdbRoot root = {4, 1, 2};

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_assert_cmpuint(memdb_root(db).version, ==, 7);
    g_autoptr(MemdbDelta) repair = memdb_root_delta(db);
    g_assert_cmpuint(repair->root_after.version, ==, 7);
    g_assert_cmpuint(repair->edits->len, ==, 0);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = "b"},
                                (TreeOrigin){0, 0}, false, t0, &delta),
                    ==, 0);
    g_autoptr(Entry) b = memdb_child(db, 0, "b");
    g_assert_cmpuint(b->inode, ==, 8);
}

/* Reference 3.4: a counter stored as -1 loads, and the original dies of the first change. Here it
 * gives way to the newest entry. What a member sends is never changed: it is refused. */
static void test_load_clamps_what_wraps(void)
{
    static const Row rows[] = {{5, 0, 7, 'f', "a", 0}, {0}};
    static const Row none[] = {{0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(GPtrArray) nothing = make_entries(none);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    g_autoptr(Memdb) empty = memdb_new(NULL, NULL);
    MemdbDelta *delta = NULL;
    MemdbRoot root = {UINT64_MAX, 1, 2};

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_assert_cmpuint(memdb_root(db).version, ==, 7);
    g_assert_cmpint(memdb_replace(db, entries, &root, t0, &delta, NULL), ==, -EBADMSG);
    g_assert_cmpuint(memdb_root(db).version, ==, 7);
    g_assert_cmpint(memdb_load(empty, nothing, &root, t0, NULL, NULL), ==, 0);
    g_assert_cmpuint(memdb_root(empty).version, ==, 1);
}

static void test_load_cycle_is_unreachable(void)
{
    static const Row rows[] = {
        {1, 2, 1, 'd', "a", 0}, {2, 1, 2, 'd', "b", 0}, {3, 0, 3, 'f', "c", 0}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {4, 1, 2};
    Entry *e = NULL;

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_assert_null(memdb_path(db, 1));
    g_assert_cmpint(memdb_lookup(db, "a", &e), ==, -ENOENT);
    g_autoptr(GBytes) index = memdb_index(db); /* but part of what peers compare */
    g_assert_cmpuint(g_bytes_get_size(index), ==, 32 + 40 * 4);
}

static const Row guest_rows[] = {{1, 0, 1, 'd', "nodes", 0},
                                 {2, 1, 2, 'd', "n1", 0},
                                 {3, 2, 3, 'd', "qemu-server", 0},
                                 {4, 3, 4, 'f', "100.conf", 3},
                                 {5, 3, 5, 'f', "101.conf", 3},
                                 {6, 3, 6, 'd', "102.conf", 0},
                                 {0}};

static void test_load_duplicate_vmid(void)
{
    g_autoptr(GPtrArray) entries = make_entries(guest_rows);
    static const Row more[] = {{7, 2, 7, 'd', "lxc", 0}, {8, 7, 8, 'f', "100.conf", 0}, {0}};
    g_autoptr(GPtrArray) extra = make_entries(more);
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {9, 0, 0};
    Err err = ERR_INIT;

    g_ptr_array_extend(entries, extra, (GCopyFunc)(void (*)(void))entry_ref, NULL);
    g_assert_cmpint(memdb_load(db, entries, &root, t0, faults, &err), ==, -EBADMSG);
    g_assert_cmpuint(faults->len, ==, 1);
    g_assert_cmpint(g_array_index(faults, MemdbFault, 0).kind, ==, MEMDB_FAULT_DUPLICATE_VMID);
    g_assert_nonnull(strstr(err_text(&err), "guest 100"));
}

/* 18.1.7: a group with a foreign member can have what no start accepts. */
static void test_replace_takes_two_configs_of_one_guest(void)
{
    for (uint64_t newer = 8; newer <= 9; newer++) {
        const Row more[] = {{7, 2, 7, 'd', "lxc", 0},
                            {8, 7, newer, 'f', "100.conf", 0},
                            {9, 3, 17 - newer, 'f', "103.conf", 0},
                            {10, 7, newer, 'f', "103.conf", 0},
                            {0}};
        g_autoptr(GPtrArray) entries = make_entries(guest_rows);
        g_autoptr(GPtrArray) extra = make_entries(more);
        g_autoptr(Memdb) db = memdb_new(NULL, NULL);
        g_autoptr(GPtrArray) none = make_entries(&more[4]);
        g_autoptr(MemdbDelta) delta = NULL;
        g_autofree char *node = NULL, *type = NULL;
        MemdbRoot root = {10, 0, 0};
        uint32_t version;

        g_assert_cmpint(memdb_load(db, none, NULL, t0, NULL, NULL), ==, 0);
        g_ptr_array_extend(entries, extra, (GCopyFunc)(void (*)(void))entry_ref, NULL);
        g_assert_cmpint(memdb_replace(db, entries, &root, t0, &delta, NULL), ==, 0);
        g_assert_true(memdb_find_guest(db, 100, &node, &type, &version));
        g_assert_cmpstr(type, ==, "lxc");
        g_clear_pointer(&node, g_free);
        g_clear_pointer(&type, g_free);
        g_assert_true(memdb_find_guest(db, 103, &node, &type, &version));
        g_assert_cmpstr(type, ==, newer == 9 ? "lxc" : "qemu"); /* what was written last */
    }
}

static void test_load_sums(void)
{
    static const Row rows[] = {
        {1, 0, 1, 'f', "a", 60}, {2, 0, 2, 'f', "b", 60}, {3, 0, 3, 'f', "c", 0}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbLimits limits = {60, 119, 3};
    MemdbRoot root = {9, 0, 0};

    memdb_set_limits(db, &limits);
    g_assert_cmpint(memdb_load(db, entries, &root, t0, faults, NULL), ==, 0);
    g_assert_cmpuint(faults->len, ==, 2);
    g_assert_cmpint(g_array_index(faults, MemdbFault, 0).kind, ==, MEMDB_FAULT_TOTAL_SIZE);
    g_assert_cmpint(g_array_index(faults, MemdbFault, 1).kind, ==, MEMDB_FAULT_TOO_MANY);
    g_assert_cmpuint(memdb_content_bytes(db), ==, 120);
}

/* Names from a file never break the line of a report. */
static void test_fault_text(void)
{
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    g_autofree char *long_name = g_strnfill(1000, 'x');

    memdb_fault_add(faults, MEMDB_FAULT_TYPE, true, 3, "a\nb\x7f %s", long_name);
    const MemdbFault *fault = &g_array_index(faults, MemdbFault, 0);
    g_assert_true(g_str_has_prefix(fault->text, "a?b? xxx"));
    g_assert_cmpuint(strlen(fault->text), ==, sizeof fault->text - 1);
    memdb_fault_add(NULL, MEMDB_FAULT_TYPE, true, 3, "nobody listens");
    for (int i = 0; i < MEMDB_FAULT_N; i++) {
        g_assert_cmpint(memdb_fault_from_name(memdb_fault_name((MemdbFaultKind)i)), ==, i);
    }
}

/* ---- replace ------------------------------------------------------------------------------- */

static Memdb *guest_tree(void)
{
    g_autoptr(GPtrArray) entries = make_entries(guest_rows);
    Memdb *db = memdb_new(NULL, NULL);
    MemdbRoot root = {9, 0, 0};

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    return db;
}

static GPtrArray *all_but_root(const Memdb *db)
{
    GPtrArray *all = memdb_all(db);

    g_ptr_array_remove_index(all, 0);
    return all;
}

static void test_replace_keeps_unchanged(void)
{
    g_autoptr(Memdb) db = guest_tree();
    /* Equal content in new objects, one guest rewritten, one entry gone. */
    static const Row rows[] = {{1, 0, 1, 'd', "nodes", 0},       {2, 1, 2, 'd', "n1", 0},
                               {3, 2, 3, 'd', "qemu-server", 0}, {4, 3, 4, 'f', "100.conf", 3},
                               {5, 3, 11, 'f', "101.conf", 4},   {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    MemdbRoot root = {11, 2, 3};
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(Entry) before = memdb_get(db, 4);
    uint32_t v100 = 0, v101 = 0, after100 = 0, after101 = 0;

    memdb_find_guest(db, 100, NULL, NULL, &v100);
    memdb_find_guest(db, 101, NULL, NULL, &v101);
    g_assert_cmpuint(memdb_vmlist_version(db), ==, 1);
    g_assert_cmpint(memdb_replace(db, entries, &root, t0, &delta, NULL), ==, 0);
    g_autoptr(Entry) after = memdb_get(db, 4);
    g_assert_true(before == after); /* same object: digest known, kernel cache valid */
    g_assert_cmpuint(memdb_vmlist_version(db), ==, 2);
    memdb_find_guest(db, 100, NULL, NULL, &after100);
    memdb_find_guest(db, 101, NULL, NULL, &after101);
    g_assert_cmpuint(after100, ==, v100);
    g_assert_cmpuint(after101, >, MAX(v100, v101));
    g_assert_cmpuint(delta->edits->len, ==, 2);
    g_assert_cmpuint(g_array_index(delta->edits, MemdbEdit, 0).before->inode, ==, 6);
    g_assert_cmpuint(g_array_index(delta->edits, MemdbEdit, 1).after->inode, ==, 5);
    g_assert_cmpuint(memdb_root(db).version, ==, 11);
    g_assert_cmpuint(memdb_root(db).writer, ==, 2);
    g_assert_cmpuint(memdb_content_bytes(db), ==, 7);
    g_autoptr(GString) tracked = g_string_new(NULL);
    memdb_format_tracked(db, tracked);
    g_assert_true(g_str_has_prefix(tracked->str, "\"corosync.conf\": 2,\n"));
}

static void test_replace_refuses_faults(void)
{
    g_autoptr(Memdb) db = guest_tree();
    static const Row rows[] = {{2, 1, 2, 'd', "n1", 0}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    MemdbRoot root = {11, 2, 3};
    MemdbDelta *delta = NULL;
    Err err = ERR_INIT;
    g_autoptr(GBytes) before = memdb_index(db);

    g_assert_cmpint(memdb_replace(db, entries, &root, t0, &delta, &err), ==, -EBADMSG);
    g_assert_null(delta);
    g_assert_nonnull(strstr(err_text(&err), "parent-missing"));
    g_autoptr(GBytes) after = memdb_index(db);
    g_assert_true(g_bytes_equal(before, after));
}

/* The leader's record is taken as it is; a create that would overwrite an entry is refused. */
static void test_replace_keeps_root_behind(void)
{
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    static const Row rows[] = {{12, 0, 12, 'f', "a", 0}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbRoot root = {11, 2, 3};
    MemdbDelta *second = NULL;
    g_autoptr(MemdbDelta) delta = NULL;

    g_assert_cmpint(memdb_load(db, none, NULL, t0, NULL, NULL), ==, 0);
    g_assert_cmpint(memdb_replace(db, entries, &root, t0, &delta, NULL), ==, 0);
    g_assert_cmpuint(memdb_root(db).version, ==, 11);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = "b"},
                                (TreeOrigin){0, 0}, true, t0, &second),
                    ==, -EOVERFLOW);
}

/* 18.1.17: a synchronisation does not give locks another 120 seconds. */
static void test_replace_keeps_lock_timers(void)
{
    static const Row rows[] = {{1, 0, 1, 'd', "priv", 0},
                               {2, 1, 2, 'd', "lock", 0},
                               {3, 2, 3, 'd', "old", 0},
                               {4, 2, 4, 'd', "changed", 0},
                               {0}};
    static const Row later[] = {{1, 0, 1, 'd', "priv", 0},
                                {2, 1, 2, 'd', "lock", 0},
                                {3, 2, 3, 'd', "old", 0},
                                {4, 2, 8, 'd', "changed", 0},
                                {0}};
    static const char *const paths[] = {"priv/lock/old", "priv/lock/changed"};
    g_autoptr(GPtrArray) entries = make_entries(rows), after = make_entries(later);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {9, 0, 0}, root_after = {10, 0, 0};
    g_autoptr(MemdbDelta) delta = NULL;

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_assert_cmpint(memdb_replace(db, after, &root_after, mono_add_sec(t0, 60), &delta, NULL), ==,
                    0);
    for (int i = 0; i < 2; i++) {
        uint8_t csum[ENTRY_DIGEST_SIZE];
        g_autoptr(Entry) e = NULL;
        g_assert_cmpint(memdb_lookup(db, paths[i], &e), ==, 0);
        entry_checksum(e, csum);
        g_assert_cmpint(memdb_lock_expired(db, paths[i], csum, mono_add_sec(t0, 121)), ==, i == 0);
        g_assert_true(memdb_lock_expired(db, paths[i], csum, mono_add_sec(t0, 182)));
    }
}

/* Two entries that exchange names within one replace. */
static void test_replace_swaps_names(void)
{
    static const Row rows[] = {{1, 0, 1, 'f', "a", 1}, {2, 0, 2, 'f', "b", 2}, {0}};
    static const Row later[] = {{1, 0, 3, 'f', "b", 1}, {2, 0, 4, 'f', "a", 2}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows), after = make_entries(later);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {2, 0, 0}, root_after = {4, 0, 0};
    g_autoptr(MemdbDelta) delta = NULL, back = NULL;

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_autoptr(GBytes) before = memdb_index(db);
    g_assert_cmpint(memdb_replace(db, after, &root_after, t0, &delta, NULL), ==, 0);
    g_autoptr(Entry) a = memdb_child(db, 0, "a");
    g_assert_cmpuint(a->inode, ==, 2);
    memdb_undo(db, delta, t0, &back);
    g_autoptr(GBytes) undone = memdb_index(db);
    g_assert_true(g_bytes_equal(before, undone));
    g_autoptr(Entry) b = memdb_child(db, 0, "b");
    g_assert_cmpuint(b->inode, ==, 2);
    g_assert_cmpuint(memdb_content_bytes(db), ==, 3);
}

/* ---- undo ---------------------------------------------------------------------------------- */

static void test_undo_guests_and_locks(void)
{
    g_autoptr(Memdb) db = guest_tree();
    g_autoptr(MemdbDelta) moved = NULL, back = NULL, gone = NULL, back2 = NULL;
    g_autofree char *node = NULL;

    g_assert_cmpint(memdb_apply(db,
                                &(TreeOp){.kind = TREE_OP_RENAME,
                                          .path = "nodes/n1/qemu-server/100.conf",
                                          .to = "nodes/x"},
                                (TreeOrigin){0, 0}, false, t0, &moved),
                    ==, 0);
    g_assert_false(memdb_find_guest(db, 100, NULL, NULL, NULL));
    memdb_undo(db, moved, t0, &back);
    g_assert_true(memdb_find_guest(db, 100, &node, NULL, NULL));
    g_assert_cmpstr(node, ==, "n1");
    const MemdbEdit *edit = &g_array_index(back->edits, MemdbEdit, 0);
    g_assert_cmpstr(edit->path_before, ==, "nodes/x");
    g_assert_cmpstr(edit->path_after, ==, "nodes/n1/qemu-server/100.conf");

    g_assert_cmpint(
        memdb_apply(db, &(TreeOp){.kind = TREE_OP_DELETE, .path = "nodes/n1/qemu-server/101.conf"},
                    (TreeOrigin){0, 0}, false, t0, &gone),
        ==, 0);
    memdb_undo(db, gone, t0, &back2);
    g_assert_true(memdb_find_guest(db, 101, NULL, NULL, NULL));
}

static void test_undo_create_guest(void)
{
    g_autoptr(Memdb) db = guest_tree();
    g_autoptr(MemdbDelta) made = NULL, back = NULL;

    g_assert_cmpint(
        memdb_apply(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = "nodes/n1/qemu-server/200.conf"},
                    (TreeOrigin){0, 0}, false, t0, &made),
        ==, 0);
    g_assert_true(memdb_find_guest(db, 200, NULL, NULL, NULL));
    memdb_undo(db, made, t0, &back);
    g_assert_false(memdb_find_guest(db, 200, NULL, NULL, NULL));
}

/* Who follows the delta of an undo sees the steps in reverse. */
static void test_undo_order(void)
{
    static const Row rows[] = {{1, 0, 1, 'f', "a", 1}, {2, 0, 2, 'f', "b", 2}, {0}};
    g_autoptr(GPtrArray) entries = make_entries(rows);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {2, 0, 0};
    g_autoptr(MemdbDelta) moved = NULL, back = NULL;

    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_RENAME, .path = "a", .to = "b"},
                                (TreeOrigin){0, 0}, false, t0, &moved),
                    ==, 0);
    memdb_undo(db, moved, t0, &back);
    g_assert_cmpuint(back->edits->len, ==, 2);
    const MemdbEdit *first = &g_array_index(back->edits, MemdbEdit, 0);
    const MemdbEdit *second = &g_array_index(back->edits, MemdbEdit, 1);
    g_assert_cmpstr(first->path_before, ==, "b");
    g_assert_cmpstr(first->path_after, ==, "a");
    g_assert_null(second->before);
    g_assert_cmpstr(second->path_after, ==, "b");
    g_assert_cmpuint(back->payload_bytes, ==, 3);
}

/* ---- random operations against a model ----------------------------------------------------- */

typedef struct Node { /* of the model: path -> Node */
    bool is_dir;
    GByteArray *content;
} Node;

static void node_free(gpointer p)
{
    Node *n = p;

    g_byte_array_unref(n->content);
    g_free(n);
}

static Node *node_new(bool is_dir)
{
    Node *n = g_new0(Node, 1);

    n->is_dir = is_dir;
    n->content = g_byte_array_new();
    return n;
}

typedef struct World {
    Prng prng;
    Memdb *db;
    GHashTable *model;  /* path -> Node */
    GHashTable *shadow; /* inode -> Entry, made from deltas alone */
    MemdbRoot shadow_root;
} World;

static int model_place(World *w, const char *path) /* directory part */
{
    g_autofree char *dir = g_path_get_dirname(path);
    const Node *n;

    if (strcmp(dir, ".") == 0) {
        return 0;
    }
    n = g_hash_table_lookup(w->model, dir);
    if (n == NULL) {
        int above = model_place(w, dir);
        return above < 0 ? above : -ENOENT;
    }
    return n->is_dir ? 0 : -ENOTDIR;
}

static bool model_has_children(World *w, const char *path)
{
    g_autofree char *prefix = g_strconcat(path, "/", NULL);
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, w->model);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (g_str_has_prefix(key, prefix)) {
            return true;
        }
    }
    return false;
}

static int model_write(Node *n, const TreeOp *op)
{
    gsize count;
    const guint8 *bytes = g_bytes_get_data(op->data, &count);
    guint end = (guint)(op->offset + count), old = n->content->len;

    if (end > old) {
        g_byte_array_set_size(n->content, end);
        memset(n->content->data + old, 0, end - old);
    } else if (op->truncate) {
        g_byte_array_set_size(n->content, end);
    }
    if (count > 0) {
        memcpy(n->content->data + op->offset, bytes, count);
    }
    return (int)count;
}

static int model_rename(World *w, const TreeOp *op, const Node *from)
{
    Node *to = g_hash_table_lookup(w->model, op->to);
    g_autofree char *below = g_strconcat(op->path, "/", NULL);
    gpointer key, value;
    int place;

    if (strcmp(op->path, op->to) == 0 || g_str_has_prefix(op->to, below)) {
        return -EINVAL;
    }
    place = model_place(w, op->to);
    if (to == NULL && place < 0) {
        return place;
    }
    if (to != NULL && to->is_dir != from->is_dir) {
        return to->is_dir ? -EISDIR : -ENOTDIR;
    }
    if ((to != NULL && model_has_children(w, op->to)) || model_has_children(w, op->path)) {
        return -ENOTEMPTY;
    }
    g_assert_true(g_hash_table_steal_extended(w->model, op->path, &key, &value));
    g_hash_table_replace(w->model, g_strdup(op->to), value);
    g_free(key);
    return 0;
}

static int model_apply(World *w, const TreeOp *op)
{
    Node *n = g_hash_table_lookup(w->model, op->path);
    int place = model_place(w, op->path);

    if (n == NULL && place < 0) {
        return place;
    }
    switch (op->kind) {
    case TREE_OP_CREATE:
    case TREE_OP_MKDIR:
        if (n != NULL) {
            return op->kind == TREE_OP_CREATE && n->is_dir ? -ENOTDIR : -EEXIST;
        }
        g_hash_table_insert(w->model, g_strdup(op->path), node_new(op->kind == TREE_OP_MKDIR));
        return 0;
    case TREE_OP_WRITE:
        return n == NULL ? -ENOENT : n->is_dir ? -EISDIR : model_write(n, op);
    case TREE_OP_DELETE:
        if (n == NULL || model_has_children(w, op->path)) {
            return n == NULL ? -ENOENT : -ENOTEMPTY;
        }
        g_hash_table_remove(w->model, op->path);
        return 0;
    case TREE_OP_RENAME:
        return n == NULL ? -ENOENT : model_rename(w, op, n);
    default:
        return n == NULL ? -ENOENT : 0; /* MTIME */
    }
}

static void shadow_apply(World *w, const MemdbDelta *d)
{
    for (guint i = 0; i < d->edits->len; i++) {
        const MemdbEdit *edit = &g_array_index(d->edits, MemdbEdit, i);
        if (edit->after != NULL) {
            g_hash_table_replace(w->shadow, &edit->after->inode, entry_ref(edit->after));
        } else {
            g_hash_table_remove(w->shadow, &edit->before->inode);
        }
    }
    w->shadow_root = d->root_after;
}

static char *random_path(World *w)
{
    GString *s = g_string_new(NULL);
    uint64_t depth = 1 + prng_below(&w->prng, 3);

    for (uint64_t i = 0; i < depth; i++) {
        g_string_append_printf(s, "%s%c", i == 0 ? "" : "/", (char)('a' + prng_below(&w->prng, 4)));
    }
    return g_string_free(s, FALSE);
}

static void check_world(World *w)
{
    g_autoptr(GPtrArray) all = all_but_root(w->db);
    uint64_t bytes = 0;

    g_assert_cmpuint(all->len, ==, g_hash_table_size(w->model));
    g_assert_cmpuint(all->len, ==, g_hash_table_size(w->shadow));
    for (guint i = 0; i < all->len; i++) {
        Entry *e = g_ptr_array_index(all, i);
        g_autofree char *path = memdb_path(w->db, e->inode);
        const Node *n = g_hash_table_lookup(w->model, path);
        g_autofree char *buf = g_malloc(e->size + 1);
        g_assert_nonnull(n);
        g_assert_true(g_hash_table_lookup(w->shadow, &e->inode) == e);
        g_assert_cmpint(n->is_dir, ==, e->type == ENTRY_DIR);
        g_assert_cmpmem(buf, entry_read(e, 0, buf, e->size + 1), n->content->data, n->content->len);
        g_assert_cmpuint(e->version, <=, memdb_root(w->db).version);
        bytes += e->size;
    }
    g_assert_cmpuint(bytes, ==, memdb_content_bytes(w->db));
}

/* A second tree, loaded from what the deltas left, has the same index. */
static void check_reload(World *w)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new();
    g_autoptr(Memdb) second = memdb_new(NULL, NULL);
    GHashTableIter iter;
    gpointer e;

    g_hash_table_iter_init(&iter, w->shadow);
    while (g_hash_table_iter_next(&iter, NULL, &e)) {
        g_ptr_array_add(entries, e);
    }
    g_assert_cmpint(memdb_load(second, entries, &w->shadow_root, t0, NULL, NULL), ==, 0);
    g_autoptr(GBytes) a = memdb_index(w->db);
    g_autoptr(GBytes) b = memdb_index(second);
    g_assert_true(g_bytes_equal(a, b));
}

static TreeOpKind random_kind(World *w)
{
    static const TreeOpKind kinds[] = {TREE_OP_CREATE, TREE_OP_CREATE, TREE_OP_WRITE,
                                       TREE_OP_WRITE,  TREE_OP_MKDIR,  TREE_OP_DELETE,
                                       TREE_OP_RENAME, TREE_OP_MTIME};

    return kinds[prng_below(&w->prng, G_N_ELEMENTS(kinds))];
}

/* Some operations, then all of them undone: the index is as before, the shadow too. */
static void random_undo(World *w)
{
    g_autoptr(GBytes) before = memdb_index(w->db);
    g_autoptr(GPtrArray) deltas = g_ptr_array_new_with_free_func((GDestroyNotify)memdb_delta_unref);

    for (int i = 0; i < 8; i++) {
        g_autofree char *path = random_path(w), *to = random_path(w);
        g_autoptr(GBytes) data = g_bytes_new("undo", prng_below(&w->prng, 5));
        TreeOp op = {.kind = random_kind(w),
                     .path = path,
                     .to = to,
                     .data = data,
                     .truncate = prng_chance(&w->prng, 1, 2)};
        MemdbDelta *d = NULL;
        if (memdb_apply(w->db, &op, (TreeOrigin){2, 7}, false, t0, &d) >= 0) {
            shadow_apply(w, d);
            g_ptr_array_add(deltas, d);
        }
    }
    for (guint i = deltas->len; i > 0; i--) {
        g_autoptr(MemdbDelta) back = NULL;
        memdb_undo(w->db, g_ptr_array_index(deltas, i - 1), t0, &back);
        shadow_apply(w, back);
    }
    g_autoptr(GBytes) after = memdb_index(w->db);
    g_assert_true(g_bytes_equal(before, after));
}

static void random_step(World *w)
{
    g_autofree char *path = random_path(w), *to = random_path(w);
    g_autoptr(GBytes) data = g_bytes_new("0123456789", prng_below(&w->prng, 11));
    TreeOp op = {.kind = random_kind(w),
                 .path = path,
                 .to = to,
                 .data = data,
                 .offset = prng_below(&w->prng, 12),
                 .truncate = prng_chance(&w->prng, 1, 2),
                 .mtime = (uint32_t)prng_u64(&w->prng)};
    TreeOrigin from = {(uint32_t)prng_below(&w->prng, 4), (uint32_t)prng_u64(&w->prng)};
    MemdbDelta *d = NULL;
    int check = memdb_check(w->db, &op, from);
    int expected = model_apply(w, &op);
    int got = memdb_apply(w->db, &op, from, false, t0, &d);

    if (got != expected || check != expected) {
        g_error("%s %s %s: model %d, memdb %d, check %d", tree_op_name(op.kind), path, to, expected,
                got, check);
    }
    if (d != NULL) {
        shadow_apply(w, d);
        memdb_delta_unref(d);
    }
}

static void test_random(void)
{
    uint64_t seed = test_seed();
    World w = {0};
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    g_test_message("seed %" G_GUINT64_FORMAT, seed);
    prng_init(&w.prng, seed);
    w.db = memdb_new(NULL, NULL);
    w.model = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free);
    w.shadow =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)entry_unref);
    g_assert_cmpint(memdb_load(w.db, none, NULL, t0, NULL, NULL), ==, 0);
    w.shadow_root = memdb_root(w.db);
    for (int i = 0; i < (g_test_quick() ? 20000 : 200000); i++) {
        random_step(&w);
        if (i % 50 == 0) {
            random_undo(&w);
            check_world(&w);
            check_reload(&w);
        }
    }
    memdb_free(w.db);
    g_hash_table_destroy(w.model);
    g_hash_table_destroy(w.shadow);
}

/* What this thread has used of the processor: how busy the machine is does not matter. */
static gint64 used_us(void)
{
    struct timespec t;

    g_assert_cmpint(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), ==, 0);
    return (gint64)t.tv_sec * G_USEC_PER_SEC + t.tv_nsec / 1000;
}

/* 18.2: listing a directory of n entries is not quadratic. */
static void test_listing_is_quick(void)
{
    const guint n = 20000;
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    MemdbRoot root = {n, 0, 0};

    for (guint i = 1; i <= n; i++) {
        g_autofree char *name = g_strdup_printf("f%u", i);
        EntryInit init = {.inode = i, .version = i, .type = ENTRY_FILE, .name = name};
        g_ptr_array_add(entries, entry_new(&init));
    }
    g_assert_cmpint(memdb_load(db, entries, &root, t0, NULL, NULL), ==, 0);
    gint64 start = used_us();
    g_autoptr(GPtrArray) list = memdb_list(db, 0);
    gint64 us = used_us() - start;
    g_assert_cmpuint(list->len, ==, n);
    g_test_message("%u entries listed in %" G_GINT64_FORMAT " us", n, us);
    /* The original needs 58 ms for 6000; quadratic growth would be 640 ms here. */
    g_assert_cmpint(us, <, 400000);
    for (guint i = 1; i < list->len; i++) {
        g_assert_cmpint(strcmp(((Entry *)g_ptr_array_index(list, i - 1))->name,
                               ((Entry *)g_ptr_array_index(list, i))->name),
                        <, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(load_cases); i++) {
        g_autofree char *name = g_strdup_printf("/memdb/load/fault/%s", load_cases[i].name);
        g_test_add_data_func(name, &load_cases[i], test_load_fault);
    }
    g_test_add_func("/memdb/load/clamps-the-version", test_load_clamps);
    g_test_add_func("/memdb/load/clamps-a-version-that-wraps", test_load_clamps_what_wraps);
    g_test_add_func("/memdb/load/cycle-is-out-of-reach", test_load_cycle_is_unreachable);
    g_test_add_func("/memdb/load/refuses-two-configs-of-one-guest", test_load_duplicate_vmid);
    g_test_add_func("/memdb/replace/takes-two-configs-of-one-guest",
                    test_replace_takes_two_configs_of_one_guest);
    g_test_add_func("/memdb/load/reports-sums-above-limits", test_load_sums);
    g_test_add_func("/memdb/load/fault-is-one-line", test_fault_text);
    g_test_add_func("/memdb/replace/keeps-what-did-not-change", test_replace_keeps_unchanged);
    g_test_add_func("/memdb/replace/refuses-faults-and-changes-nothing",
                    test_replace_refuses_faults);
    g_test_add_func("/memdb/replace/never-overwrites-an-entry", test_replace_keeps_root_behind);
    g_test_add_func("/memdb/replace/keeps-lock-timers", test_replace_keeps_lock_timers);
    g_test_add_func("/memdb/replace/names-can-be-exchanged", test_replace_swaps_names);
    g_test_add_func("/memdb/undo/guests", test_undo_guests_and_locks);
    g_test_add_func("/memdb/undo/frees-the-vmid-of-a-create", test_undo_create_guest);
    g_test_add_func("/memdb/undo/steps-in-reverse", test_undo_order);
    g_test_add_func("/memdb/random/equals-the-model-and-its-deltas", test_random);
    g_test_add_func("/memdb/list/is-not-quadratic", test_listing_is_quick);
    return g_test_run();
}
