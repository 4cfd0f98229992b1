/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: every rule and errno of reference pmxcfs chapters 4, 6 and 7, and what chapters 17 and 18
 * ask to do better. Method: small trees, one rule at a time. */
#include "pmxcfs/core/locks.h"
#include "pmxcfs/core/memdb.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

/* A tree and who changes it, when. */
typedef struct Fix {
    Memdb *db;
    TreeOrigin from;
    bool peer; /* documented rules alone */
    MonoTime now;
    MemdbDelta *delta; /* of the newest change */
    int entered, left;
} Fix;

static void count_enter(void *ctx)
{
    Fix *f = ctx;

    g_assert_cmpint(f->entered, ==, f->left);
    f->entered++;
}

static void count_leave(void *ctx)
{
    ((Fix *)ctx)->left++;
}

static void setup(Fix *f, gconstpointer data)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbGuard guard = {count_enter, count_leave, f};

    (void)data;
    memset(f, 0, sizeof *f);
    f->db = memdb_new(NULL, &guard);
    f->from = (TreeOrigin){0, 1000};
    g_assert_cmpint(memdb_load(f->db, none, NULL, f->now, NULL, NULL), ==, 0);
}

static void teardown(Fix *f, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(f->entered, ==, f->left);
    memdb_delta_unref(f->delta);
    memdb_free(f->db);
}

/* Applies; a failure must leave version, count and checksum as they were. */
static int apply(Fix *f, const TreeOp *op)
{
    uint8_t before[ENTRY_DIGEST_SIZE], after[ENTRY_DIGEST_SIZE];
    MemdbDelta *delta = NULL;
    uint64_t version = memdb_root(f->db).version;
    int checked = memdb_check(f->db, op, f->from);

    memdb_checksum(f->db, before);
    int r = memdb_apply(f->db, op, f->from, f->peer, f->now, &delta);
    if (!f->peer && op->kind != TREE_OP_UNLOCK_REQUEST) {
        g_assert_cmpint(checked, ==, r);
    }
    if (r < 0) {
        g_assert_null(delta);
        memdb_checksum(f->db, after);
        g_assert_cmpmem(before, sizeof before, after, sizeof after);
        return r;
    }
    g_assert_cmpuint(memdb_root(f->db).version, ==, version + 1);
    g_assert_cmpuint(delta->root_before.version, ==, version);
    g_assert_cmpuint(delta->root_after.version, ==, version + 1);
    g_assert_cmpint(delta->kind, ==, op->kind);
    memdb_checksum(f->db, after);
    g_assert_true(memcmp(before, after, sizeof before) != 0);
    memdb_delta_unref(f->delta);
    f->delta = delta;
    return r;
}

static int create(Fix *f, const char *path)
{
    return apply(f, &(TreeOp){.kind = TREE_OP_CREATE, .path = path});
}

static int make_dir(Fix *f, const char *path)
{
    return apply(f, &(TreeOp){.kind = TREE_OP_MKDIR, .path = path});
}

static int delete (Fix *f, const char *path)
{
    return apply(f, &(TreeOp){.kind = TREE_OP_DELETE, .path = path});
}

static int move(Fix *f, const char *from, const char *to)
{
    return apply(f, &(TreeOp){.kind = TREE_OP_RENAME, .path = from, .to = to});
}

static int set_mtime(Fix *f, const char *path, uint32_t t)
{
    return apply(f, &(TreeOp){.kind = TREE_OP_MTIME, .path = path, .mtime = t});
}

static int write_at(Fix *f, const char *path, const char *text, uint64_t offset, bool truncate)
{
    g_autoptr(GBytes) data = text != NULL ? g_bytes_new(text, strlen(text)) : NULL;

    return apply(f, &(TreeOp){.kind = TREE_OP_WRITE,
                              .path = path,
                              .data = data,
                              .offset = offset,
                              .truncate = truncate});
}

static Entry *find(Fix *f, const char *path) /* reference */
{
    Entry *e = NULL;

    g_assert_cmpint(memdb_lookup(f->db, path, &e), ==, 0);
    return e;
}

static void assert_content(Fix *f, const char *path, const char *bytes, size_t n)
{
    g_autoptr(Entry) e = find(f, path);
    char buf[256];

    g_assert_cmpuint(e->size, ==, n);
    g_assert_cmpuint(entry_read(e, 0, buf, sizeof buf), ==, n);
    g_assert_cmpmem(buf, n, bytes, n);
}

/* nodes/n1 and n2 with both kinds of guest directories, priv/lock, a file and a directory. */
static void make_tree(Fix *f)
{
    static const char *const dirs[] = {"nodes",        "nodes/n1", "nodes/n1/qemu-server",
                                       "nodes/n1/lxc", "nodes/n2", "nodes/n2/qemu-server",
                                       "nodes/n2/lxc", "priv",     "priv/lock",
                                       "dir"};

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_assert_cmpint(make_dir(f, dirs[i]), ==, 0);
    }
    g_assert_cmpint(create(f, "file"), ==, 0);
}

static char *vmlist(Fix *f)
{
    GString *s = g_string_new(NULL);

    memdb_format_vmlist(f->db, s);
    return g_string_free(s, FALSE);
}

static void assert_vmlist(Fix *f, const char *expected)
{
    g_autofree char *got = vmlist(f);

    g_assert_cmpstr(got, ==, expected);
}

/* ---- create -------------------------------------------------------------------------------- */

static void test_create(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(create(f, "none/x"), ==, -ENOENT);
    g_assert_cmpint(create(f, "file/x"), ==, -ENOTDIR);
    g_assert_cmpint(create(f, ""), ==, -EACCES);
    g_assert_cmpint(create(f, "."), ==, -EACCES);
    g_assert_cmpint(create(f, "dir/."), ==, -EACCES);
    g_assert_cmpint(create(f, "dir/.."), ==, -EACCES);
    g_assert_cmpint(create(f, "none/.."), ==, -ENOENT); /* the directory is looked at first */
    g_assert_cmpint(create(f, "dir"), ==, -ENOTDIR);
    g_assert_cmpint(create(f, "file"), ==, -EEXIST);

    f->from = (TreeOrigin){7, 4711};
    uint64_t version = memdb_root(f->db).version + 1;
    g_assert_cmpint(create(f, "dir//new"), ==, 0);
    g_autoptr(Entry) e = find(f, "dir/new");
    g_autoptr(Entry) dir = find(f, "dir");
    g_assert_cmpuint(e->inode, ==, version);
    g_assert_cmpuint(e->version, ==, version);
    g_assert_cmpuint(e->writer, ==, 7);
    g_assert_cmpuint(e->mtime, ==, 4711);
    g_assert_cmpuint(e->size, ==, 0);
    g_assert_cmpint(e->type, ==, ENTRY_FILE);
    g_assert_cmpuint(e->parent, ==, dir->inode);
    g_assert_cmpuint(dir->version, <, version); /* directories keep their version and time */
    g_assert_cmpuint(dir->mtime, ==, 1000);
    MemdbRoot root = memdb_root(f->db);
    g_assert_cmpuint(root.version, ==, version);
    g_assert_cmpuint(root.writer, ==, 7);
    g_assert_cmpuint(root.mtime, ==, 4711);

    g_assert_cmpuint(f->delta->edits->len, ==, 1);
    const MemdbEdit *edit = &g_array_index(f->delta->edits, MemdbEdit, 0);
    g_assert_null(edit->before);
    g_assert_null(edit->path_before);
    g_assert_true(edit->after == e);
    g_assert_cmpstr(edit->path_after, ==, "dir/new");
}

static void test_long_names(Fix *f, gconstpointer data)
{
    g_autofree char *n255 = g_strnfill(255, 'n');
    g_autofree char *longest = g_strnfill(CFS_NAME_MAX, 'n');
    g_autofree char *longer = g_strnfill(CFS_NAME_MAX + 1, 'n');
    g_autoptr(GString) deep = g_string_new(NULL);

    (void)data;
    g_assert_cmpint(create(f, n255), ==, 0);
    g_assert_cmpint(create(f, longest), ==, 0);
    g_assert_cmpint(create(f, longer), ==, -ENAMETOOLONG);
    for (int i = 0; i < 16; i++) {
        g_string_append_printf(deep, "%s%.250s", i == 0 ? "" : "/", n255);
        g_assert_cmpint(make_dir(f, deep->str), ==, 0);
    }
    g_string_append_c(deep, '/');
    g_string_append_len(deep, n255, (gssize)(CFS_PATH_MAX - 1 - deep->len));
    g_assert_cmpint(create(f, deep->str), ==, 0);
    g_string_append_c(deep, 'x');
    g_assert_cmpint(create(f, deep->str), ==, -ENAMETOOLONG);
    f->peer = true;
    g_assert_cmpint(create(f, longer), ==, 0);
    g_assert_cmpint(create(f, deep->str), ==, 0);
}

/* ---- write --------------------------------------------------------------------------------- */

static void test_write_errors(Fix *f, gconstpointer data)
{
    g_autofree char *full = g_strnfill(CFS_FILE_SIZE_MAX, 'x');

    (void)data;
    make_tree(f);
    /* The size is looked at before anything else. */
    g_assert_cmpint(write_at(f, "none/x", "x", CFS_FILE_SIZE_MAX, false), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "none/x", "x", 0, false), ==, -ENOENT);
    g_assert_cmpint(write_at(f, "file/x", "x", 0, false), ==, -ENOTDIR);
    g_assert_cmpint(write_at(f, "dir/..", "x", 0, false), ==, -EACCES);
    g_assert_cmpint(write_at(f, "", "x", 0, false), ==, -EACCES);
    g_assert_cmpint(write_at(f, "none", "x", 0, false), ==, -ENOENT);
    g_assert_cmpint(write_at(f, "dir", "x", 0, false), ==, -EISDIR);
    g_assert_cmpint(write_at(f, "file", full, 0, false), ==, CFS_FILE_SIZE_MAX);
    g_autofree char *more = g_strnfill(CFS_FILE_SIZE_MAX + 1, 'x');
    g_assert_cmpint(write_at(f, "file", more, 0, false), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "file", full, 1, false), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "file", NULL, CFS_FILE_SIZE_MAX, true), ==, 0);
    g_assert_cmpint(write_at(f, "file", NULL, CFS_FILE_SIZE_MAX + 1, true), ==, -EFBIG);
    /* Offsets of 2^32 and more never wrap (18.1.6). */
    g_assert_cmpint(write_at(f, "file", NULL, (UINT64_C(1) << 32) + 3, true), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "file", "x", (UINT64_C(1) << 32) + 1, false), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "file", "xy", UINT64_MAX, false), ==, -EFBIG);
}

static void test_write_content(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(write_at(f, "file", "hello", 0, false), ==, 5);
    assert_content(f, "file", "hello", 5);
    g_assert_cmpuint(f->delta->payload_bytes, ==, 5);
    g_assert_cmpint(write_at(f, "file", "J", 0, false), ==, 1);
    assert_content(f, "file", "Jello", 5);
    g_assert_cmpint(write_at(f, "file", "p!", 3, true), ==, 2);
    assert_content(f, "file", "Jelp!", 5);
    g_assert_cmpint(write_at(f, "file", "x", 8, false), ==, 1);
    assert_content(f, "file", "Jelp!\0\0\0x", 9);
    g_assert_cmpint(write_at(f, "file", NULL, 3, true), ==, 0);
    assert_content(f, "file", "Jel", 3);
    g_assert_cmpint(write_at(f, "file", NULL, 5, true), ==, 0);
    assert_content(f, "file", "Jel\0\0", 5);
    g_assert_cmpint(write_at(f, "file", NULL, 2, false), ==, 0); /* nothing to do, still a change */
    assert_content(f, "file", "Jel\0\0", 5);
    g_assert_cmpint(write_at(f, "file", "ab", 0, true), ==, 2);
    assert_content(f, "file", "ab", 2);
    g_assert_cmpint(write_at(f, "file", NULL, 0, true), ==, 0);
    assert_content(f, "file", "", 0);
    g_autoptr(Entry) e = find(f, "file");
    g_assert_null(e->data);
    g_assert_cmpuint(memdb_content_bytes(f->db), ==, 0);

    f->from = (TreeOrigin){3, 5};
    g_assert_cmpint(write_at(f, "file", "x", 0, false), ==, 1);
    g_autoptr(Entry) after = find(f, "file");
    g_assert_cmpuint(after->inode, ==, e->inode);
    g_assert_cmpuint(after->version, ==, memdb_root(f->db).version);
    g_assert_cmpuint(after->writer, ==, 3);
    g_assert_cmpuint(after->mtime, ==, 5);
    g_assert_cmpuint(e->size, ==, 0); /* who held the old file still has it */
    g_assert_cmpuint(memdb_content_bytes(f->db), ==, 1);
}

/* 18.1.1: a truncate upward of an empty file crashes the original when read. */
static void test_truncate_up_empty(Fix *f, gconstpointer data)
{
    g_autoptr(Entry) e = NULL;

    (void)data;
    make_tree(f);
    g_assert_cmpint(write_at(f, "file", NULL, 10, true), ==, 0);
    assert_content(f, "file", "\0\0\0\0\0\0\0\0\0\0", 10);
    e = find(f, "file");
    g_assert_false(e->hollow);
    g_assert_nonnull(e->data);
}

/* From a foreign peer the size comes without content, and digests must agree with that. */
static void test_hollow(Fix *f, gconstpointer data)
{
    g_autoptr(Sha256) h = sha256_new();
    uint8_t digest[SHA256_SIZE];

    (void)data;
    make_tree(f);
    f->peer = true;
    g_assert_cmpint(write_at(f, "file", NULL, 10, true), ==, 0);
    assert_content(f, "file", "\0\0\0\0\0\0\0\0\0\0", 10);
    g_autoptr(Entry) e = find(f, "file");
    g_assert_true(e->hollow);
    g_assert_null(e->data);
    g_assert_cmpuint(f->delta->payload_bytes, ==, 0);
    sha256_le64(h, e->version);
    sha256_le32(h, e->writer);
    sha256_le32(h, e->mtime);
    sha256_le32(h, 10);
    sha256_u8(h, 8);
    sha256_le64(h, 0);
    sha256_bytes(h, "file", 4);
    sha256_finish(h, digest);
    g_assert_cmpmem(entry_digest(e), 32, digest, 32);

    g_assert_cmpint(set_mtime(f, "file", 77), ==, 0); /* other changes keep the state */
    g_assert_cmpint(move(f, "file", "dir/file"), ==, 0);
    g_assert_cmpint(write_at(f, "dir/file", NULL, 4, true), ==, 0);
    g_clear_pointer(&e, entry_unref);
    e = find(f, "dir/file");
    g_assert_true(e->hollow);
    assert_content(f, "dir/file", "\0\0\0\0", 4);
    g_assert_cmpint(write_at(f, "dir/file", "x", 2, false), ==, 1);
    g_clear_pointer(&e, entry_unref);
    e = find(f, "dir/file");
    g_assert_false(e->hollow);
    assert_content(f, "dir/file", "\0\0x\0", 4);
}

static void test_limits(Fix *f, gconstpointer data)
{
    MemdbLimits limits = {100, 150, 5};

    (void)data;
    memdb_set_limits(f->db, &limits);
    g_assert_cmpint(create(f, "a"), ==, 0);
    g_assert_cmpint(create(f, "b"), ==, 0);
    g_autofree char *full = g_strnfill(100, 'x');
    g_assert_cmpint(write_at(f, "a", full, 0, false), ==, 100);
    g_assert_cmpint(write_at(f, "a", full, 1, false), ==, -EFBIG);
    g_assert_cmpint(write_at(f, "b", full + 50, 0, false), ==, 50);
    g_assert_cmpint(write_at(f, "b", "x", 50, false), ==, -ENOSPC);
    g_assert_cmpint(write_at(f, "b", "x", 49, false), ==, 1); /* no growth */
    g_assert_cmpint(make_dir(f, "c"), ==, 0);
    g_assert_cmpint(create(f, "d"), ==, 0);
    g_assert_cmpint(create(f, "e"), ==, -ENOSPC);
    g_assert_cmpint(make_dir(f, "e"), ==, -ENOSPC);
    g_assert_cmpint(create(f, "a"), ==, -EEXIST); /* documented answers come first */
    f->peer = true;
    g_assert_cmpint(create(f, "e"), ==, 0);
    g_assert_cmpint(write_at(f, "b", "x", 50, false), ==, 1);
    f->peer = false;
    g_assert_cmpint(write_at(f, "a", NULL, 10, true), ==, 0); /* above the limit one can shrink */
    g_assert_cmpint(delete (f, "b"), ==, 0);
    g_assert_cmpint(memdb_limits(f->db)->inodes_max, ==, 5);
}

/* ---- mkdir, delete ------------------------------------------------------------------------- */

static void test_mkdir(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(make_dir(f, "none/x"), ==, -ENOENT);
    g_assert_cmpint(make_dir(f, "file/x"), ==, -ENOTDIR);
    g_assert_cmpint(make_dir(f, "dir/."), ==, -EACCES);
    g_assert_cmpint(make_dir(f, ""), ==, -EACCES);
    g_assert_cmpint(make_dir(f, "dir"), ==, -EEXIST);
    g_assert_cmpint(make_dir(f, "file"), ==, -EEXIST);
    g_assert_cmpint(make_dir(f, "dir/sub"), ==, 0);
    g_autoptr(Entry) e = find(f, "dir/sub");
    g_assert_cmpuint(e->inode, ==, memdb_root(f->db).version);
    g_assert_cmpint(e->type, ==, ENTRY_DIR);
}

static void test_delete(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(delete (f, "none"), ==, -ENOENT);
    g_assert_cmpint(delete (f, ""), ==, -EACCES);
    g_assert_cmpint(delete (f, "."), ==, -EACCES);
    g_assert_cmpint(delete (f, "nodes"), ==, -ENOTEMPTY);
    g_autoptr(Entry) e = find(f, "file");
    g_assert_cmpint(delete (f, "file"), ==, 0);
    const MemdbEdit *edit = &g_array_index(f->delta->edits, MemdbEdit, 0);
    g_assert_true(edit->before == e);
    g_assert_null(edit->after);
    g_assert_cmpstr(edit->path_before, ==, "file");
    g_assert_null(memdb_get(f->db, e->inode));
    g_assert_cmpint(delete (f, "file"), ==, -ENOENT);
    g_assert_cmpint(delete (f, "dir"), ==, 0);
    Entry *gone = NULL;
    g_assert_cmpint(memdb_lookup(f->db, "dir", &gone), ==, -ENOENT);
}

/* ---- rename -------------------------------------------------------------------------------- */

static void test_rename_errors(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(make_dir(f, "full"), ==, 0);
    g_assert_cmpint(create(f, "full/x"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l/deep"), ==, 0);
    g_assert_cmpint(move(f, "none", "x"), ==, -ENOENT);
    g_assert_cmpint(move(f, "", "x"), ==, -EACCES);
    g_assert_cmpint(move(f, "priv/lock/l/deep", "x"), ==, -EACCES);
    g_assert_cmpint(move(f, "priv/lock/l", "x"), ==, -EACCES);
    g_assert_cmpint(move(f, "file", "none/x"), ==, -ENOENT);
    g_assert_cmpint(move(f, "file", "full/x/y"), ==, -ENOTDIR);
    g_assert_cmpint(move(f, "file", "dir/.."), ==, -EACCES);
    g_assert_cmpint(move(f, "dir", ""), ==, -EACCES);
    g_assert_cmpint(move(f, "file", "file"), ==, -EINVAL);
    g_assert_cmpint(move(f, "dir", "dir/sub"), ==, -EINVAL);
    g_assert_cmpint(move(f, "full", "new"), ==, -ENOTEMPTY);
    g_assert_cmpint(move(f, "dir", "full"), ==, -ENOTEMPTY);
    g_assert_cmpint(move(f, "file", "dir"), ==, -EISDIR);
    g_assert_cmpint(move(f, "dir", "file"), ==, -ENOTDIR);
    /* 18.1.8: the empty target of a refused rename is still there. */
    g_assert_cmpint(move(f, "full", "dir"), ==, -ENOTEMPTY);
    g_autoptr(Entry) still = find(f, "dir");
    g_assert_nonnull(still);
    f->peer = true;
    g_assert_cmpint(move(f, "dir", "full"), ==, -ENOTEMPTY);
    /* The original compares no types: the kernel does, for it. */
    g_assert_cmpint(move(f, "file", "dir"), ==, 0);
}

/* 18.1.8: the original has lost the target when it refuses, so its digests are without it. */
static void test_rename_by_peer_loses_target(Fix *f, gconstpointer data)
{
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(MemdbDelta) back = NULL;
    uint8_t before[ENTRY_DIGEST_SIZE], after[ENTRY_DIGEST_SIZE];

    (void)data;
    make_tree(f);
    g_assert_cmpint(make_dir(f, "full"), ==, 0);
    g_assert_cmpint(create(f, "full/x"), ==, 0);
    memdb_checksum(f->db, before);
    g_autoptr(Entry) lost = find(f, "dir");
    TreeOp op = {.kind = TREE_OP_RENAME, .path = "full", .to = "dir"};
    MemdbRoot root = memdb_root(f->db);
    g_assert_cmpint(memdb_apply(f->db, &op, f->from, true, f->now, &delta), ==, -ENOTEMPTY);
    g_assert_nonnull(delta);
    g_assert_cmpuint(delta->edits->len, ==, 1);
    g_assert_true(g_array_index(delta->edits, MemdbEdit, 0).before == lost);
    g_autoptr(Entry) gone = NULL;
    g_assert_cmpint(memdb_lookup(f->db, "dir", &gone), ==, -ENOENT);
    g_assert_cmpuint(memdb_root(f->db).version, ==, root.version);
    g_assert_cmpuint(memdb_root(f->db).mtime, ==, root.mtime);
    memdb_undo(f->db, delta, f->now, &back);
    memdb_checksum(f->db, after);
    g_assert_cmpmem(before, sizeof before, after, sizeof after);
}

static void test_rename(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(write_at(f, "file", "abc", 0, false), ==, 3);
    g_assert_cmpint(create(f, "dir/old"), ==, 0);
    g_autoptr(Entry) file = find(f, "file");
    g_autoptr(Entry) old = find(f, "dir/old");
    g_autoptr(Entry) dir = find(f, "dir");
    f->from = (TreeOrigin){2, 2000};
    g_assert_cmpint(move(f, "file", "dir/old"), ==, 0);
    g_autoptr(Entry) e = find(f, "dir/old");
    g_assert_cmpuint(e->inode, ==, file->inode);
    g_assert_cmpuint(e->version, ==, memdb_root(f->db).version);
    g_assert_cmpuint(e->writer, ==, 2);
    g_assert_cmpuint(e->mtime, ==, 2000); /* rename changes the time */
    g_assert_cmpuint(e->parent, ==, dir->inode);
    g_assert_true(e->data == file->data);
    g_assert_cmpuint(f->delta->edits->len, ==, 2);
    const MemdbEdit *first = &g_array_index(f->delta->edits, MemdbEdit, 0);
    const MemdbEdit *second = &g_array_index(f->delta->edits, MemdbEdit, 1);
    g_assert_true(first->before == old && first->after == NULL);
    g_assert_true(second->before == file && second->after == e);
    g_assert_cmpstr(second->path_before, ==, "file");
    g_assert_cmpstr(second->path_after, ==, "dir/old");
    Entry *gone = NULL;
    g_assert_cmpint(memdb_lookup(f->db, "file", &gone), ==, -ENOENT);
    g_assert_null(memdb_get(f->db, old->inode));

    g_assert_cmpint(make_dir(f, "empty"), ==, 0);
    g_assert_cmpint(make_dir(f, "empty2"), ==, 0);
    g_assert_cmpint(move(f, "empty", "empty2"), ==, 0);
    g_assert_cmpint(move(f, "priv/lock", "priv/lock2"), ==, 0); /* while it is empty */
}

static void test_rename_noreplace(Fix *f, gconstpointer data)
{
    TreeOp op = {.kind = TREE_OP_RENAME, .path = "file", .to = "other", .noreplace = true};

    (void)data;
    make_tree(f);
    g_assert_cmpint(create(f, "other"), ==, 0);
    g_assert_cmpint(apply(f, &op), ==, -EEXIST);
    op.to = "third";
    g_assert_cmpint(apply(f, &op), ==, 0);
}

/* ---- mtime and locks ----------------------------------------------------------------------- */

static void test_mtime(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(set_mtime(f, "none/x", 1), ==, -ENOENT);
    g_assert_cmpint(set_mtime(f, "file/x", 1), ==, -ENOTDIR);
    g_assert_cmpint(set_mtime(f, "", 1), ==, -EACCES);
    g_assert_cmpint(set_mtime(f, "dir/.", 1), ==, -EACCES);
    g_assert_cmpint(set_mtime(f, "none", 1), ==, -ENOENT);
    f->from = (TreeOrigin){4, 3000};
    g_assert_cmpint(set_mtime(f, "file", 4294967295u), ==, 0);
    g_autoptr(Entry) e = find(f, "file");
    g_assert_cmpuint(e->mtime, ==, 4294967295u);
    g_assert_cmpuint(e->writer, ==, 4);
    g_assert_cmpuint(e->version, ==, memdb_root(f->db).version);
    g_assert_cmpuint(memdb_root(f->db).mtime, ==, 4294967295u); /* also the tree's own time */
    g_assert_cmpint(set_mtime(f, "dir", 0), ==, 0);
}

static void test_lock_mtime(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    f->from = (TreeOrigin){1, 1000};
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l/deep"), ==, 0);
    g_assert_cmpint(create(f, "priv/lock/regular"), ==, 0);
    g_assert_cmpint(set_mtime(f, "priv/lock/l", 999), ==, -EACCES);
    g_assert_cmpint(set_mtime(f, "priv/lock/l", 1000), ==, 0);
    g_assert_cmpint(set_mtime(f, "priv/lock/l", 999999), ==, 0); /* the future is allowed */
    f->from.writer = 2;
    g_assert_cmpint(set_mtime(f, "priv/lock/l", 9999999), ==, -EACCES);
    g_assert_cmpint(set_mtime(f, "priv/lock/l/deep", 1), ==, 0);
    g_assert_cmpint(set_mtime(f, "priv/lock/regular", 1), ==, 0);
    g_assert_cmpint(set_mtime(f, "priv/lock", 1), ==, 0);
}

static bool expired(Fix *f, const char *path)
{
    g_autoptr(Entry) e = find(f, path);
    uint8_t csum[ENTRY_DIGEST_SIZE];

    entry_checksum(e, csum);
    return memdb_lock_expired(f->db, path, csum, f->now);
}

static void pass_ms(Fix *f, int64_t ms)
{
    f->now = mono_add_ms(f->now, ms);
}

static void test_lock_expiry(Fix *f, gconstpointer data)
{
    uint8_t wrong[ENTRY_DIGEST_SIZE] = {0};

    (void)data;
    make_tree(f);
    f->from.time = 1;
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    pass_ms(f, 120999); /* 120 whole seconds are not more than 120 */
    g_assert_false(expired(f, "priv/lock/l"));
    pass_ms(f, 1);
    g_assert_true(expired(f, "priv//lock/l"));
    g_assert_cmpint(set_mtime(f, "priv/lock/l", 2), ==, 0); /* renewed: counts again */
    pass_ms(f, 120999);
    g_assert_false(expired(f, "priv/lock/l"));
    g_assert_false(memdb_lock_expired(f->db, "priv/lock/l", wrong, f->now));
    pass_ms(f, 1);
    g_assert_true(expired(f, "priv/lock/l"));
    g_assert_cmpint(delete (f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_false(expired(f, "priv/lock/l"));

    /* Deeper directories have no timer until somebody asks. */
    g_assert_cmpint(make_dir(f, "priv/lock/l/deep"), ==, 0);
    pass_ms(f, 500000);
    g_assert_false(expired(f, "priv/lock/l/deep"));
    pass_ms(f, 121000);
    g_assert_true(expired(f, "priv/lock/l/deep"));

    g_assert_cmpint(create(f, "priv/lock/regular"), ==, 0);
    pass_ms(f, 500000);
    g_assert_false(expired(f, "priv/lock/regular"));
    g_assert_false(expired(f, "dir"));
    pass_ms(f, 500000);
    g_assert_false(expired(f, "dir"));
    g_assert_false(memdb_lock_expired(f->db, "priv/lock/none", wrong, f->now));
}

/* What is written as the time of a lock plays no part in its age (18.1.18). */
static void test_lock_wall_clock(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    f->from.time = 1000000;
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    f->from.time = 2000000; /* the clock steps forward */
    pass_ms(f, 5000);
    g_assert_false(expired(f, "priv/lock/l"));
    f->from.time = 1; /* and back */
    pass_ms(f, 116000);
    g_assert_true(expired(f, "priv/lock/l"));
}

/* A holder can renew after its clock was set back; a time that goes back by itself is refused. */
static void test_lock_clock_set_back(Fix *f, gconstpointer data)
{
    const uint32_t t = 1700000000;

    (void)f;
    (void)data;
    g_assert_cmpuint(locks_renewal_time(t + 5, t, t + 5, t + 5), ==, t + 5); /* as always */
    g_assert_cmpuint(locks_renewal_time(t - 1, t, t, t), ==, t - 1);
    g_assert_cmpuint(locks_renewal_time(t, t + 500, t, t), ==, t);
    /* An hour back: "now" is what the lock has. */
    g_assert_cmpuint(locks_renewal_time(t - 3600, t, t - 3600, t), ==, t);
    g_assert_cmpuint(locks_renewal_time(t - 3595, t, t - 3600, t), ==, t);
    g_assert_cmpuint(locks_renewal_time(t - 3700, t, t - 3600, t), ==, t - 3700); /* not now */
    g_assert_cmpuint(locks_renewal_time(t - 3600, t + 500, t - 3600, t), ==, t - 3600);
    g_assert_cmpuint(locks_renewal_time(0, t, t - 3600, t), ==, 0); /* asks for removal */
}

static int unlock(Fix *f, const char *path, const char *csum_of)
{
    TreeOp op = {.kind = TREE_OP_UNLOCK, .path = path};

    if (csum_of != NULL) {
        g_autoptr(Entry) e = find(f, csum_of);
        entry_checksum(e, op.csum);
    }
    return apply(f, &op);
}

static void test_unlock(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(make_dir(f, "priv/lock/l"), ==, 0);
    g_assert_cmpint(make_dir(f, "priv/lock/l/deep"), ==, 0);
    g_assert_cmpint(create(f, "priv/lock/regular"), ==, 0);
    g_assert_cmpint(unlock(f, "priv/lock/none", NULL), ==, -ENOENT);
    g_assert_cmpint(unlock(f, "priv/lock/l/deep", NULL), ==, -ESTALE);
    g_assert_cmpint(unlock(f, "priv/lock/l/deep", "priv/lock/l"), ==, -ESTALE);
    g_assert_cmpint(unlock(f, "priv/lock/regular", "priv/lock/regular"), ==, -ESTALE);
    g_assert_cmpint(unlock(f, "dir", "dir"), ==, -ESTALE);
    g_assert_cmpint(unlock(f, "priv/lock/l", "priv/lock/l"), ==, -ENOTEMPTY);
    g_assert_cmpint(unlock(f, "priv/lock/l/deep", "priv/lock/l/deep"), ==, 0);
    g_assert_cmpint(unlock(f, "priv/lock/l", "priv/lock/l"), ==, 0);
    g_assert_cmpint(apply(f, &(TreeOp){.kind = TREE_OP_UNLOCK_REQUEST, .path = "dir"}), ==,
                    -EINVAL);
    g_assert_cmpint(apply(f, &(TreeOp){.kind = (TreeOpKind)99, .path = "dir"}), ==, -EINVAL);
}

/* ---- guests -------------------------------------------------------------------------------- */

#define N1_100 "nodes/n1/qemu-server/100.conf"
#define N2_100 "nodes/n2/qemu-server/100.conf"

static void test_guest_rules(Fix *f, gconstpointer data)
{
    (void)data;
    assert_vmlist(f, "{\n\"version\": 0\n\n}\n"); /* no directory "nodes" at load: not counted */
    make_tree(f);
    g_assert_cmpint(create(f, N1_100), ==, 0);
    assert_vmlist(f, "{\n\"version\": 1,\n\"ids\": {\n"
                     "\"100\": { \"node\": \"n1\", \"type\": \"qemu\", \"version\": 1 }}\n\n}\n");
    g_assert_cmpint(create(f, N1_100), ==, -EEXIST);
    g_assert_cmpint(create(f, N2_100), ==, -EEXIST);
    g_assert_cmpint(create(f, "nodes/n1/lxc/100.conf"), ==, -EEXIST);
    /* The guest rule comes before the existence of the file. */
    g_assert_cmpint(write_at(f, N2_100, "x", 0, false), ==, -EEXIST);
    g_assert_cmpint(write_at(f, N1_100, "x", 0, false), ==, 1);
    g_assert_cmpint(create(f, "nodes/n2/lxc/101.conf"), ==, 0);
    assert_vmlist(f, "{\n\"version\": 3,\n\"ids\": {\n"
                     "\"100\": { \"node\": \"n1\", \"type\": \"qemu\", \"version\": 2 },\n"
                     "\"101\": { \"node\": \"n2\", \"type\": \"lxc\", \"version\": 3 }}\n\n}\n");
    g_assert_cmpint(create(f, "file2"), ==, 0);
    g_assert_cmpint(move(f, "file2", N2_100), ==, -EEXIST);
    g_assert_cmpint(move(f, "nodes/n2/lxc/101.conf", N2_100), ==, -EEXIST);
    g_assert_cmpint(move(f, "file2", N1_100), ==, 0); /* the same place: replaced */
    g_assert_cmpuint(memdb_vmlist_version(f->db), ==, 4);
    g_assert_cmpint(move(f, N1_100, N2_100), ==, 0); /* the same guest: it moves */
    g_assert_cmpuint(memdb_vmlist_version(f->db), ==, 6);
    g_assert_cmpint(move(f, N2_100, "dir/x"), ==, 0); /* no guest any more */
    g_assert_cmpuint(memdb_vmlist_version(f->db), ==, 7);
    g_assert_false(memdb_find_guest(f->db, 100, NULL, NULL, NULL));
    g_assert_cmpint(move(f, "dir/x", "nodes/n1/lxc/100.conf"), ==, 0);
    g_assert_cmpint(delete (f, "nodes/n1/lxc/100.conf"), ==, 0);
    g_assert_cmpuint(memdb_vmlist_version(f->db), ==, 9);

    g_autofree char *node = NULL, *type = NULL;
    uint32_t version = 0;
    g_assert_true(memdb_find_guest(f->db, 101, &node, &type, &version));
    g_assert_cmpstr(node, ==, "n2");
    g_assert_cmpstr(type, ==, "lxc");
    g_assert_cmpuint(version, ==, 3);
    g_autoptr(GArray) ids = memdb_guests(f->db);
    g_assert_cmpuint(ids->len, ==, 1);
    g_assert_cmpuint(g_array_index(ids, uint32_t, 0), ==, 101);
}

/* 18.1.7: a directory with the name of a guest config must not free a VMID. */
static void test_guest_directories(Fix *f, gconstpointer data)
{
    (void)data;
    make_tree(f);
    g_assert_cmpint(create(f, N1_100), ==, 0);
    g_assert_cmpint(make_dir(f, N2_100), ==, -EACCES);
    g_assert_cmpint(move(f, "dir", N2_100), ==, -EACCES);
    g_assert_cmpint(make_dir(f, "nodes/n2/qemu-server/999.conf"), ==, -EACCES);

    /* A peer may make one. Its removal frees the VMID in the peers' eyes alone: we must accept what
     * they accept, and go on refusing local callers. */
    f->peer = true;
    g_assert_cmpint(make_dir(f, N2_100), ==, 0);
    f->peer = false;
    g_assert_cmpint(delete (f, N2_100), ==, 0);
    g_assert_true(memdb_find_guest(f->db, 100, NULL, NULL, NULL));
    g_assert_cmpint(create(f, N2_100), ==, -EEXIST);
    f->peer = true;
    g_assert_cmpint(create(f, N2_100), ==, -EEXIST); /* a local removal frees nothing */
    g_assert_cmpint(make_dir(f, N2_100), ==, 0);
    g_assert_cmpint(delete (f, N2_100), ==, 0);
    g_assert_true(memdb_find_guest(f->db, 100, NULL, NULL, NULL));
    f->peer = false;
    g_assert_cmpint(create(f, N2_100), ==, -EEXIST);
    f->peer = true;
    g_assert_cmpint(create(f, N2_100), ==, 0);
}

/* ---- tracked files ------------------------------------------------------------------------- */

static uint32_t tracked_count(Fix *f, const char *path)
{
    g_autoptr(GString) s = g_string_new(NULL);
    g_autofree char *key = g_strdup_printf("\"%s\": ", path);

    memdb_format_tracked(f->db, s);
    const char *at = strstr(s->str, key);
    g_assert_nonnull(at);
    return (uint32_t)g_ascii_strtoull(at + strlen(key), NULL, 10);
}

static void test_tracked(Fix *f, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(tracked_count(f, "mapping/usb.cfg"), ==, 1);
    g_assert_cmpint(create(f, "user.cfg"), ==, 0);
    g_assert_cmpint(write_at(f, "user.cfg", "x", 0, false), ==, 1);
    g_assert_cmpint(write_at(f, "user.cfg", "y", 1, false), ==, 1);
    g_assert_cmpint(set_mtime(f, "user.cfg", 3), ==, 0);
    g_assert_cmpint(tracked_count(f, "user.cfg"), ==, 5);
    g_assert_cmpint(move(f, "user.cfg", "storage.cfg"), ==, 0);
    g_assert_cmpint(tracked_count(f, "user.cfg"), ==, 6);
    g_assert_cmpint(tracked_count(f, "storage.cfg"), ==, 2);
    g_assert_cmpint(delete (f, "storage.cfg"), ==, 0);
    g_assert_cmpint(tracked_count(f, "storage.cfg"), ==, 3);
    g_assert_cmpint(make_dir(f, "jobs.cfg"), ==, 0); /* mkdir does not count */
    g_assert_cmpint(tracked_count(f, "jobs.cfg"), ==, 1);
    g_assert_cmpint(create(f, "jobs.cfg"), ==, -ENOTDIR);
    g_assert_cmpint(tracked_count(f, "jobs.cfg"), ==, 1);

    g_autoptr(GString) s = g_string_new(NULL);
    memdb_format_tracked(f->db, s);
    g_assert_true(g_str_has_prefix(s->str, "\"corosync.conf\": 1,\n\"corosync.conf.new\": 1,\n"));
    g_assert_true(g_str_has_suffix(s->str, "\"mapping/pci.cfg\": 1,\n\"mapping/usb.cfg\": 1,\n"));
    guint lines = 0;
    for (const char *p = s->str; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    g_assert_cmpuint(lines, ==, 43);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void test_reading(Fix *f, gconstpointer data)
{
    Entry *none = NULL;

    (void)data;
    make_tree(f);
    g_autoptr(Entry) root = find(f, ".");
    g_assert_cmpuint(root->inode, ==, 0);
    g_assert_cmpstr(root->name, ==, "");
    g_autoptr(Entry) again = find(f, "///");
    g_assert_true(root == again);
    g_autoptr(Entry) lxc = find(f, "/nodes//n1/lxc/");
    g_autofree char *path = memdb_path(f->db, lxc->inode);
    g_assert_cmpstr(path, ==, "nodes/n1/lxc");
    g_autofree char *root_path = memdb_path(f->db, 0);
    g_assert_cmpstr(root_path, ==, "");
    g_assert_null(memdb_path(f->db, 9999));
    g_assert_cmpint(memdb_lookup(f->db, "file/x/y", &none), ==, -ENOTDIR);
    g_assert_cmpint(memdb_lookup(f->db, "nodes/./n1", &none), ==, -ENOENT);
    g_assert_cmpint(memdb_lookup(f->db, "nodes/..", &none), ==, -ENOENT);
    g_assert_null(none);
    g_autoptr(GPtrArray) list = memdb_list(f->db, 0);
    static const char *const names[] = {"dir", "file", "nodes", "priv"};
    g_assert_cmpuint(list->len, ==, 4);
    for (guint i = 0; i < 4; i++) {
        g_assert_cmpstr(((Entry *)g_ptr_array_index(list, i))->name, ==, names[i]);
    }
    g_autoptr(Entry) file = memdb_child(f->db, 0, "file");
    g_assert_null(memdb_list(f->db, file->inode));
    g_assert_null(memdb_list(f->db, 9999));
    g_assert_null(memdb_child(f->db, 0, "none"));
    g_assert_null(memdb_child(f->db, file->inode, "x"));
    g_autoptr(GPtrArray) all = memdb_all(f->db);
    g_assert_cmpuint(all->len, ==, memdb_count(f->db));
    for (guint i = 1; i < all->len; i++) {
        g_assert_cmpuint(((Entry *)g_ptr_array_index(all, i - 1))->inode, <,
                         ((Entry *)g_ptr_array_index(all, i))->inode);
    }
}

/* ---- version counter ----------------------------------------------------------------------- */

static void test_counter_end(void)
{
    g_autoptr(Memdb) db = memdb_new(NULL, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbRoot root = {MEMDB_VERSION_MAX - 1, 0, 0};
    g_autoptr(MemdbDelta) delta = NULL, second = NULL;

    g_assert_cmpint(memdb_load(db, none, &root, (MonoTime){0}, NULL, NULL), ==, 0);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = "a"},
                                (TreeOrigin){0, 0}, true, (MonoTime){0}, &delta),
                    ==, 0);
    g_assert_cmpint(memdb_apply(db, &(TreeOp){.kind = TREE_OP_CREATE, .path = "b"},
                                (TreeOrigin){0, 0}, true, (MonoTime){0}, &second),
                    ==, -EOVERFLOW);
}

#define ADD(name, fn) g_test_add("/memdb/" name, Fix, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("create/rules-in-order-and-fields", test_create);
    ADD("create/too-long-names-are-refused-locally-only", test_long_names);
    ADD("write/rules-in-order", test_write_errors);
    ADD("write/content", test_write_content);
    ADD("write/truncate-up-of-empty-file-has-content", test_truncate_up_empty);
    ADD("write/hollow-file-from-a-peer", test_hollow);
    ADD("limits/enforced-for-local-callers", test_limits);
    ADD("mkdir/rules-and-fields", test_mkdir);
    ADD("delete/rules", test_delete);
    ADD("rename/rules-in-order-and-nothing-lost", test_rename_errors);
    ADD("rename/fields-and-delta", test_rename);
    ADD("rename/by-a-peer-loses-the-target", test_rename_by_peer_loses_target);
    ADD("rename/noreplace", test_rename_noreplace);
    ADD("mtime/rules-and-fields", test_mtime);
    ADD("lock/mtime-only-forward-and-by-its-writer", test_lock_mtime);
    ADD("lock/expires-after-more-than-120-seconds-unchanged", test_lock_expiry);
    ADD("lock/age-ignores-the-wall-clock", test_lock_wall_clock);
    ADD("lock/renewal-survives-a-clock-set-back", test_lock_clock_set_back);
    ADD("lock/unlock-needs-this-very-lock", test_unlock);
    ADD("guest/one-place-per-vmid", test_guest_rules);
    ADD("guest/directories-never-free-a-vmid", test_guest_directories);
    ADD("tracked/counts-what-names-the-path", test_tracked);
    ADD("read/lookup-list-path-all", test_reading);
    g_test_add_func("/memdb/counter/ends-with-an-error", test_counter_end);
    return g_test_run();
}
