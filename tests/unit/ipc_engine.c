/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ipc_engine.h"

#include "tests/unit/testdata.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

struct Engine {
    GMutex lock; /* one for all: this is a test */
    Memdb *db;
    Status *status;
    GCond changed;
    bool hold;
    guint held;
};

static const MonoTime t0 = {1000000};

Engine *ipc_engine_new(void)
{
    static const GroupMember members[] = {{1, 101}, {2, 102}, {3, 103}};
    const StatusNode nodes[] = {
        {1, (char *)"n1", 1},
        {2, (char *)"n2", 1},
        {3, (char *)"n3", 1},
    };
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    Engine *e = g_new0(Engine, 1);
    int rc;

    g_mutex_init(&e->lock);
    g_cond_init(&e->changed);
    e->db = memdb_new(NULL, NULL);
    rc = memdb_load(e->db, none, NULL, t0, NULL, NULL);
    g_assert_cmpint(rc, ==, 0);
    e->status = status_new("n1", 15969, (WallTime){1795309371}, NULL);
    status_set_cluster(e->status, "lab", 5, nodes, 3);
    status_set_quorate(e->status, true);
    for (int i = 0; i < 3; i++) {
        status_set_members(e->status, members, 3);
    }
    return e;
}

void engine_free(Engine *e)
{
    memdb_free(e->db);
    status_free(e->status);
    g_mutex_clear(&e->lock);
    g_cond_clear(&e->changed);
    g_free(e);
}

static GPtrArray *read_rows(const char *path, MemdbRoot *ret_root)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_autofree char *uri = g_strdup_printf("file:%s?immutable=1", path);
    sqlite3 *sql = NULL;
    sqlite3_stmt *stmt = NULL;

    g_assert_cmpint(sqlite3_open_v2(uri, &sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), ==,
                    0);
    g_assert_cmpint(sqlite3_prepare_v2(sql,
                                       "SELECT inode, parent, version, type, name, data FROM tree",
                                       -1, &stmt, NULL),
                    ==, 0);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        g_autoptr(GBytes) data =
            g_bytes_new(sqlite3_column_blob(stmt, 5), (gsize)sqlite3_column_bytes(stmt, 5));
        EntryInit init = {
            .inode = (uint64_t)sqlite3_column_int64(stmt, 0),
            .parent = (uint64_t)sqlite3_column_int64(stmt, 1),
            .version = (uint64_t)sqlite3_column_int64(stmt, 2),
            .type = (EntryType)sqlite3_column_int(stmt, 3),
            .name = (const char *)sqlite3_column_text(stmt, 4),
            .data = data,
        };

        if (init.inode == 0) {
            ret_root->version = init.version;
        } else {
            g_ptr_array_add(entries, entry_new(&init));
        }
    }
    sqlite3_finalize(stmt);
    sqlite3_close(sql);
    return entries;
}

bool ipc_engine_load_sample(Engine *e, const char *name)
{
    g_autofree char *relative = g_build_filename("reference", "pmxcfs-samples", name, NULL);
    g_autofree char *path = testdata_path(relative);
    g_autoptr(GPtrArray) entries = NULL;
    MemdbRoot root = {0};
    int rc;

    if (path == NULL) {
        return false;
    }
    entries = read_rows(path, &root);
    memdb_free(e->db);
    e->db = memdb_new(NULL, NULL);
    rc = memdb_load(e->db, entries, &root, t0, NULL, NULL);
    g_assert_cmpint(rc, ==, 0);
    return true;
}

static int apply(Engine *e, const TreeOp *op)
{
    g_autoptr(MemdbDelta) delta = NULL;

    return memdb_apply(e->db, op, (TreeOrigin){0, 1700000000}, true, t0, &delta);
}

void ipc_engine_write(Engine *e, const char *path, const void *data, gsize size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    int rc;

    g_mutex_lock(&e->lock);
    for (const char *s = strchr(path, '/'); s != NULL; s = strchr(s + 1, '/')) {
        g_autofree char *dir = g_strndup(path, (gsize)(s - path));

        rc = apply(e, &(TreeOp){.kind = TREE_OP_MKDIR, .path = dir});
        g_assert_true(rc == 0 || rc == -EEXIST);
    }
    rc = apply(e, &(TreeOp){.kind = TREE_OP_CREATE, .path = path});
    g_assert_true(rc == 0 || rc == -EEXIST);
    rc = apply(e, &(TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = bytes, .truncate = true});
    g_assert_cmpint(rc, >=, 0);
    g_mutex_unlock(&e->lock);
}

void ipc_engine_delete(Engine *e, const char *path)
{
    g_mutex_lock(&e->lock);
    g_assert_cmpint(apply(e, &(TreeOp){.kind = TREE_OP_DELETE, .path = path}), ==, 0);
    g_mutex_unlock(&e->lock);
}

void ipc_engine_hold(Engine *e, bool hold)
{
    g_mutex_lock(&e->lock);
    e->hold = hold;
    g_cond_broadcast(&e->changed);
    g_mutex_unlock(&e->lock);
}

void ipc_engine_wait_held(Engine *e, guint n)
{
    g_mutex_lock(&e->lock);
    while (e->held < n) {
        g_cond_wait(&e->changed, &e->lock);
    }
    g_mutex_unlock(&e->lock);
}

Status *ipc_engine_status(Engine *e)
{
    return e->status;
}

/* ---- engine.h ---- */

int engine_lookup(Engine *e, const char *path, Entry **ret)
{
    int rc;

    g_mutex_lock(&e->lock);
    rc = memdb_lookup(e->db, path, ret);
    g_mutex_unlock(&e->lock);
    return rc;
}

int engine_view(Engine *e, const char *name, GString **ret)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GString) tracked = g_string_new(NULL);
    int rc = 0;

    g_mutex_lock(&e->lock);
    if (strcmp(name, ".version") == 0) {
        memdb_format_tracked(e->db, tracked);
        status_format_version(e->status, tracked->str, memdb_vmlist_version(e->db), out);
    } else if (strcmp(name, ".members") == 0) {
        status_format_members(e->status, out);
    } else if (strcmp(name, ".vmlist") == 0) {
        memdb_format_vmlist(e->db, out);
    } else if (strcmp(name, ".rrd") == 0) {
        status_format_rrd(e->status, t0, out);
    } else {
        rc = -ENOENT;
    }
    g_mutex_unlock(&e->lock);
    if (rc == 0) {
        *ret = g_steal_pointer(&out);
    }
    return rc;
}

int engine_status_set(Engine *e, const char *key, const void *value, size_t size, Err *err)
{
    int rc;

    g_mutex_lock(&e->lock);
    if (g_str_has_prefix(key, "slow")) {
        e->held++;
        g_cond_broadcast(&e->changed);
        while (e->hold) {
            g_cond_wait(&e->changed, &e->lock);
        }
        e->held--;
    }
    rc = status_set(e->status, 0, key, value, size, t0, err);
    g_mutex_unlock(&e->lock);
    return rc;
}

int engine_status_get(Engine *e, const char *node, const char *key, GBytes **ret)
{
    int rc;

    g_mutex_lock(&e->lock);
    rc = status_get(e->status, node, key, ret);
    g_mutex_unlock(&e->lock);
    return rc;
}

int engine_log(Engine *e,
               uint8_t priority,
               const char *ident,
               const char *tag,
               uint32_t pid,
               const char *text,
               Err *err)
{
    int rc;

    g_mutex_lock(&e->lock);
    rc = status_log(e->status, priority, ident, tag, pid, text, (WallTime){1795309483}, NULL, err);
    g_mutex_unlock(&e->lock);
    return rc;
}

int engine_clusterlog(Engine *e, const char *user, uint32_t max, GString **ret)
{
    GString *out = g_string_new(NULL);

    g_mutex_lock(&e->lock);
    status_format_clusterlog(e->status, user, max, out);
    g_mutex_unlock(&e->lock);
    *ret = out;
    return 0;
}

int engine_verify(Engine *e, char **ret, Err *err)
{
    (void)e;
    (void)err;
    *ret = g_strdup("{\"members\":3,\"checksum\":\"00ff\",\"left\":[2]}");
    return 1;
}

bool engine_find_guest(
    Engine *e, uint32_t vmid, char **ret_node, char **ret_type, uint32_t *ret_version)
{
    bool found;

    g_mutex_lock(&e->lock);
    found = memdb_find_guest(e->db, vmid, ret_node, ret_type, ret_version);
    g_mutex_unlock(&e->lock);
    return found;
}

GArray *engine_guests(Engine *e)
{
    GArray *guests;

    g_mutex_lock(&e->lock);
    guests = memdb_guests(e->db);
    g_mutex_unlock(&e->lock);
    return guests;
}
