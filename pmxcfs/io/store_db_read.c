/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All rows into memory, each one checked as far as a single row can be (reference 3.4). What needs
 * the other rows (parents, duplicates, cycles) is the tree's own work: memdb_load.
 */
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/store.h"
#include "pmxcfs/io/store_db_priv.h"

#include <errno.h>
#include <string.h>

enum { COL_INODE, COL_PARENT, COL_VERSION, COL_WRITER, COL_MTIME, COL_TYPE, COL_NAME, COL_DATA };

/* A content that is too large comes as its size, so that it is never read. */
static const char select_rows[] =
    "SELECT inode, parent, version, writer, mtime, type, name,"
    " CASE WHEN typeof(data) = 'blob' AND length(data) > ?1 THEN length(data) ELSE data END"
    " FROM tree";

/* Names are bounded one by one and all together: as if each had the longest that a kernel takes. */
#define NAME_BYTES_MAX CFS_PATH_MAX

typedef struct ReadState {
    const MemdbLimits *limits;
    GPtrArray *entries;
    MemdbRoot root;
    bool has_root;
    GArray *faults;
    uint64_t content_bytes, name_bytes;
    uint32_t rows;
} ReadState;

/* The name in the row, NUL terminated, or NULL when it cannot be one. Borrowed from the statement.
 */
static const char *row_name(ReadState *r, sqlite3_stmt *st, uint64_t inode)
{
    const char *name = NULL;
    size_t size = 0;

    if (sqlite3_column_type(st, COL_NAME) != SQLITE_NULL) {
        name = (const char *)sqlite3_column_text(st, COL_NAME);
        size = (size_t)sqlite3_column_bytes(st, COL_NAME);
    }
    if (name == NULL || size == 0) {
        memdb_fault_add(r->faults, MEMDB_FAULT_NAME_EMPTY, true, inode,
                        "inode %" G_GUINT64_FORMAT " has no name", inode);
        return NULL;
    }
    if (size >= NAME_BYTES_MAX || memchr(name, '\0', size) != NULL) {
        memdb_fault_add(r->faults, MEMDB_FAULT_NAME_INVALID, true, inode,
                        "name of inode %" G_GUINT64_FORMAT " is too long or contains NUL", inode);
        return NULL;
    }
    r->name_bytes += size;
    return name;
}

/* The content; false when it cannot be taken. *ret NULL: empty. */
static bool row_data(ReadState *r, sqlite3_stmt *st, uint64_t inode, GBytes **ret)
{
    int type = sqlite3_column_type(st, COL_DATA);
    size_t size;

    *ret = NULL;
    if (type == SQLITE_NULL) {
        return true;
    }
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
        /* A size from the query, or a number where content belongs. */
        memdb_fault_add(r->faults, MEMDB_FAULT_FILE_SIZE, true, inode,
                        "content of inode %" G_GUINT64_FORMAT
                        " is larger than %u bytes or a number",
                        inode, r->limits->file_size_max);
        return false;
    }
    const void *data = sqlite3_column_blob(st, COL_DATA); /* text is read like a blob */
    size = (size_t)sqlite3_column_bytes(st, COL_DATA);
    if (size > r->limits->file_size_max) {
        memdb_fault_add(r->faults, MEMDB_FAULT_FILE_SIZE, true, inode,
                        "content of inode %" G_GUINT64_FORMAT " has %zu bytes, more than %u", inode,
                        size, r->limits->file_size_max);
        return false;
    }
    if (size > 0 && data != NULL) {
        *ret = g_bytes_new(data, size);
        r->content_bytes += size;
    }
    return true;
}

static bool all_integers(ReadState *r, sqlite3_stmt *st, uint64_t inode)
{
    for (int i = COL_INODE; i <= COL_TYPE; i++) {
        if (sqlite3_column_type(st, i) != SQLITE_INTEGER) {
            memdb_fault_add(r->faults, MEMDB_FAULT_TYPE, true, inode,
                            "inode %" G_GUINT64_FORMAT ": column %s is no integer", inode,
                            sqlite3_column_name(st, i));
            return false;
        }
    }
    return true;
}

static void take_root(ReadState *r, sqlite3_stmt *st, const char *name)
{
    if (strcmp(name, "__version__") != 0) {
        memdb_fault_add(r->faults, MEMDB_FAULT_ROOT_NAME, true, 0, "inode 0 has the name \"%.64s\"",
                        name);
        return;
    }
    r->has_root = true;
    r->root = (MemdbRoot){
        .version = (uint64_t)sqlite3_column_int64(st, COL_VERSION),
        .writer = (uint32_t)sqlite3_column_int64(st, COL_WRITER),
        .mtime = (uint32_t)sqlite3_column_int64(st, COL_MTIME),
    };
}

static void take_row(ReadState *r, sqlite3_stmt *st)
{
    uint64_t inode = (uint64_t)sqlite3_column_int64(st, COL_INODE);
    uint8_t type = (uint8_t)sqlite3_column_int64(st, COL_TYPE); /* modulo 256, as the original */
    g_autoptr(GBytes) data = NULL;
    const char *name;

    if (!all_integers(r, st, inode)) {
        return;
    }
    name = row_name(r, st, inode);
    if (name == NULL) {
        return;
    }
    if (type != ENTRY_DIR && type != ENTRY_FILE) {
        memdb_fault_add(r->faults, MEMDB_FAULT_TYPE, true, inode,
                        "inode %" G_GUINT64_FORMAT " has the type %u", inode, type);
        return;
    }
    if (!row_data(r, st, inode, &data)) {
        return;
    }
    if (type == ENTRY_DIR && data != NULL) {
        memdb_fault_add(r->faults, MEMDB_FAULT_DIR_DATA, true, inode,
                        "directory %" G_GUINT64_FORMAT " has content", inode);
        return;
    }
    if (inode == 0) {
        take_root(r, st, name);
        return;
    }
    EntryInit init = {
        .parent = (uint64_t)sqlite3_column_int64(st, COL_PARENT),
        .inode = inode,
        .version = (uint64_t)sqlite3_column_int64(st, COL_VERSION),
        .writer = (uint32_t)sqlite3_column_int64(st, COL_WRITER),
        .mtime = (uint32_t)sqlite3_column_int64(st, COL_MTIME),
        .type = (EntryType)type,
        .name = name,
        .data = data,
    };
    g_ptr_array_add(r->entries, entry_new(&init));
}

static int check_bounds(const ReadState *r, Err *err)
{
    const MemdbLimits *l = r->limits;

    if (r->rows > l->inodes_max) {
        return err_setf(err, -E2BIG, "more than %u entries", l->inodes_max);
    }
    if (r->content_bytes > l->total_size_max) {
        return err_setf(err, -E2BIG, "more than %" G_GUINT64_FORMAT " bytes of content",
                        l->total_size_max);
    }
    if (r->name_bytes > (uint64_t)l->inodes_max * CFS_NAME_REPORTED) {
        return err_setf(err, -E2BIG, "names are too long");
    }
    return 0;
}

int store_db_read(StoreDb *d,
                  const MemdbLimits *limits,
                  GPtrArray **ret_entries,
                  MemdbRoot *ret_root,
                  bool *ret_has_root,
                  GArray *faults,
                  Err *err)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    ReadState r = {.limits = limits, .entries = entries, .faults = faults};
    sqlite3_stmt *st = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(d->db, select_rows, -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(st, 1, limits->file_size_max) != SQLITE_OK) {
        rc = store_db_fail(d, err, "cannot read table tree");
    }
    while (rc == 0) {
        int step = sqlite3_step(st);

        if (step == SQLITE_DONE) {
            break;
        }
        if (step != SQLITE_ROW) {
            rc = store_db_fail(d, err, "cannot read table tree");
            break;
        }
        r.rows++;
        take_row(&r, st);
        rc = check_bounds(&r, err);
    }
    sqlite3_finalize(st);
    if (rc < 0) {
        return err_wrapf(err, rc, "%s", d->path);
    }
    *ret_entries = g_steal_pointer(&entries);
    *ret_root = r.root;
    *ret_has_root = r.has_root;
    return 0;
}

/* ---- our own values ---------------------------------------------------------------------- */

static int take_meta(sqlite3_stmt *st, GHashTable *meta, size_t *total, Err *err)
{
    const char *key = (const char *)sqlite3_column_text(st, 0);
    size_t key_size = (size_t)sqlite3_column_bytes(st, 0);
    size_t size = (size_t)sqlite3_column_int64(st, 2);

    if (key == NULL || key_size == 0 || key_size > STORE_META_KEY_MAX || strlen(key) != key_size ||
        size > STORE_META_VALUE_MAX || g_hash_table_size(meta) >= STORE_META_KEYS_MAX) {
        return err_setf(err, -EBADMSG, "table " STORE_META_TABLE " holds what is not ours");
    }
    *total += size;
    if (*total > STORE_META_TOTAL_MAX) {
        return err_setf(err, -EBADMSG, "table " STORE_META_TABLE " is too large");
    }
    g_hash_table_replace(meta, g_strdup(key), g_bytes_new(sqlite3_column_blob(st, 1), size));
    return 0;
}

int store_db_read_meta(StoreDb *d, Err *err)
{
    sqlite3_stmt *st = NULL;
    size_t total = 0;
    int rc = 0;

    d->meta = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    if (!d->has_meta) {
        return 0;
    }
    /* A value that is too large is not read, only counted. */
    if (sqlite3_prepare_v2(d->db,
                           "SELECT key, CASE WHEN length(value) <= ?1 THEN CAST(value AS BLOB) END,"
                           " length(CAST(value AS BLOB)) FROM " STORE_META_TABLE,
                           -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(st, 1, STORE_META_VALUE_MAX) != SQLITE_OK) {
        rc = store_db_fail(d, err, "cannot read table " STORE_META_TABLE);
    }
    while (rc == 0) {
        int step = sqlite3_step(st);

        if (step == SQLITE_DONE) {
            break;
        }
        rc = step == SQLITE_ROW ? take_meta(st, d->meta, &total, err)
                                : store_db_fail(d, err, "cannot read table " STORE_META_TABLE);
    }
    sqlite3_finalize(st);
    if (rc == 0 && g_hash_table_contains(d->meta, MEMDB_RECORD_KEY)) {
        d->record = g_bytes_ref(g_hash_table_lookup(d->meta, MEMDB_RECORD_KEY));
    }
    return rc;
}

GHashTable *store_db_take_meta(StoreDb *d)
{
    return g_steal_pointer(&d->meta);
}
