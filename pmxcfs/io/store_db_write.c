/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch, one transaction (reference 3.3).
 *
 * Which statement writes a row decides how many pages change. UPDATE with an unchanged row size
 * compares and touches only pages that differ: best for small changes. But of a page that changes
 * the rollback journal keeps the old state, so a large file rewritten in place costs twice its
 * size; REPLACE puts the new content into fresh pages first and frees the old ones afterwards, and
 * neither fresh nor freed pages are journaled.
 *
 * Doubt: a COMMIT that reports an error may have taken place all the same, for example when the
 * journal was cut short but that could not be synced. The owner takes the batch back in memory, so
 * the file must follow: what each of its rows was before is kept, and put back by a transaction at
 * once or, where the disk refuses that too, by the next one that succeeds.
 */
#include "pmxcfs/io/store_db_priv.h"

#include <errno.h>

static const char *const stmt_sql[STORE_STMT_N] = {
    [STORE_STMT_REPLACE] = "INSERT OR REPLACE INTO tree"
                           " (inode, parent, version, writer, mtime, name, data, type)"
                           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    /* `type` is not set on purpose: SQLite reads it from the old row, and having looked at the old
     * row it can overwrite in place. An inode that is another kind of entry after a synchronisation
     * is no such row: it is replaced. */
    [STORE_STMT_UPDATE] = "UPDATE tree SET parent = ?2, version = ?3, writer = ?4, mtime = ?5,"
                          " name = ?6, data = ?7 WHERE inode = ?1 AND type = ?8",
    [STORE_STMT_ATTRS] = "UPDATE tree SET parent = ?2, version = ?3, writer = ?4, mtime = ?5,"
                         " name = ?6 WHERE inode = ?1 AND type = ?8",
    [STORE_STMT_DELETE] = "DELETE FROM tree WHERE inode = ?1",
    [STORE_STMT_META] = "INSERT OR REPLACE INTO " STORE_META_TABLE " (key, value) VALUES (?1, ?2)",
    [STORE_STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STORE_STMT_COMMIT] = "COMMIT",
};

static sqlite3_stmt *get_stmt(StoreDb *d, StoreStmt which, Err *err)
{
    if (d->stmt[which] == NULL &&
        sqlite3_prepare_v3(d->db, stmt_sql[which], -1, SQLITE_PREPARE_PERSISTENT, &d->stmt[which],
                           NULL) != SQLITE_OK) {
        (void)store_db_fail(d, err, "cannot prepare a statement");
        return NULL;
    }
    return d->stmt[which];
}

/* Runs a statement; `what` failed if it does. */
static int run(StoreDb *d, sqlite3_stmt *st, const char *what, Err *err)
{
    int rc = sqlite3_step(st) == SQLITE_DONE ? 0 : store_db_fail(d, err, what);

    (void)sqlite3_reset(st); /* repeats the error of the step */
    return rc;
}

/* Runs a bound statement and lets go of what was bound. */
static int finish(StoreDb *d, sqlite3_stmt *st, Err *err)
{
    int rc = run(d, st, "cannot write", err);

    (void)sqlite3_clear_bindings(st);
    return rc;
}

/* Without parameters. */
static int run_plain(StoreDb *d, StoreStmt which, Err *err)
{
    sqlite3_stmt *st = get_stmt(d, which, err);

    return st != NULL ? run(d, st, stmt_sql[which], err) : store_db_fail(d, err, stmt_sql[which]);
}

int store_db_begin(StoreDb *d, Err *err)
{
    return d->mode == STORE_DB_WAL ? run_plain(d, STORE_STMT_BEGIN, err)
                                   : store_db_exec(d, "BEGIN EXCLUSIVE", err);
}

static int bind_data(sqlite3_stmt *st, int at, const Entry *e, bool empty_blob)
{
    gsize size = 0;
    const void *data = e->data != NULL ? g_bytes_get_data(e->data, &size) : NULL;

    if (size > 0) {
        return sqlite3_bind_blob64(st, at, data, size, SQLITE_STATIC);
    }
    return e->type == ENTRY_DIR && empty_blob ? sqlite3_bind_zeroblob(st, at, 0)
                                              : sqlite3_bind_null(st, at);
}

static int put(StoreDb *d, StoreStmt which, const Entry *e, bool empty_blob, Err *err)
{
    sqlite3_stmt *st = get_stmt(d, which, err);
    int bad;

    if (st == NULL) {
        return err_wrapf(err, store_errno(sqlite3_extended_errcode(d->db), 0), "entry %s", e->name);
    }
    /* 64 bit values are stored as the signed number with the same bits (chapter 3.4). */
    bad = sqlite3_bind_int64(st, 1, (int64_t)e->inode) |
          sqlite3_bind_int64(st, 2, (int64_t)e->parent) |
          sqlite3_bind_int64(st, 3, (int64_t)e->version) | sqlite3_bind_int64(st, 4, e->writer) |
          sqlite3_bind_int64(st, 5, e->mtime) |
          sqlite3_bind_text(st, 6, e->name, -1, SQLITE_STATIC);
    if (which != STORE_STMT_ATTRS) {
        bad |= bind_data(st, 7, e, empty_blob);
    }
    bad |= sqlite3_bind_int64(st, 8, e->type);
    if (bad != SQLITE_OK) {
        (void)sqlite3_clear_bindings(st);
        return store_db_fail(d, err, "cannot write");
    }
    return finish(d, st, err);
}

static bool same_data(const StoreRow *row)
{
    const Entry *a = row->before;
    const Entry *b = row->after;

    /* A directory's blob may change from NULL to empty; it costs nothing to write it. */
    return a != NULL && a->type == ENTRY_FILE && row->fresh_bytes == 0 && a->size == b->size &&
           a->hollow == b->hollow;
}

static int delete_row(StoreDb *d, uint64_t inode, Err *err)
{
    sqlite3_stmt *st = get_stmt(d, STORE_STMT_DELETE, err);

    if (st == NULL || sqlite3_bind_int64(st, 1, (int64_t)inode) != SQLITE_OK) {
        return store_db_fail(d, err, "cannot write");
    }
    return finish(d, st, err);
}

static int update_row(StoreDb *d, StoreStmt which, const Entry *e, bool empty_blob, Err *err)
{
    int rc = put(d, which, e, empty_blob, err);

    if (rc == 0 && sqlite3_changes(d->db) == 0) {
        rc = put(d, STORE_STMT_REPLACE, e, empty_blob, err); /* there was no such row */
    }
    return rc;
}

static int write_row(StoreDb *d, const StoreRow *row, Err *err)
{
    if (row->after == NULL) {
        return delete_row(d, row->inode, err);
    }
    if (row->before == NULL ||
        (d->mode == STORE_DB_DIRECT && row->fresh_bytes > row->after->size / 2)) {
        return put(d, STORE_STMT_REPLACE, row->after, row->empty_blob, err);
    }
    return update_row(d, same_data(row) ? STORE_STMT_ATTRS : STORE_STMT_UPDATE, row->after,
                      row->empty_blob, err);
}

/* Row 0: type 8 after a normal change, 4 after a synchronisation commit (3.2). */
static int write_root(StoreDb *d, const MemdbRoot *root, bool from_sync, Err *err)
{
    sqlite3_stmt *st = get_stmt(d, STORE_STMT_REPLACE, err);
    int bad;

    if (st == NULL) {
        return store_db_fail(d, err, "cannot write");
    }
    bad = sqlite3_bind_int64(st, 1, 0) | sqlite3_bind_int64(st, 2, 0) |
          sqlite3_bind_int64(st, 3, (int64_t)root->version) |
          sqlite3_bind_int64(st, 4, root->writer) | sqlite3_bind_int64(st, 5, root->mtime) |
          sqlite3_bind_text(st, 6, "__version__", -1, SQLITE_STATIC) | sqlite3_bind_null(st, 7) |
          sqlite3_bind_int64(st, 8, from_sync ? ENTRY_DIR : ENTRY_FILE);
    if (bad != SQLITE_OK) {
        (void)sqlite3_clear_bindings(st);
        return store_db_fail(d, err, "cannot write");
    }
    return finish(d, st, err);
}

static int write_value(StoreDb *d, const char *key, GBytes *value, Err *err)
{
    gsize size;
    const void *data = g_bytes_get_data(value, &size);
    sqlite3_stmt *st = get_stmt(d, STORE_STMT_META, err);

    if (st == NULL ||
        (sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) |
         sqlite3_bind_blob64(st, 2, size > 0 ? data : "", size, SQLITE_STATIC)) != SQLITE_OK) {
        return store_db_fail(d, err, "cannot write");
    }
    return finish(d, st, err);
}

static int write_meta(StoreDb *d, GHashTable *meta, Err *err)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    int rc = 0;

    g_hash_table_iter_init(&iter, meta);
    while (rc == 0 && g_hash_table_iter_next(&iter, &key, &value)) {
        rc = write_value(d, key, value, err);
    }
    return rc;
}

static int write_all(StoreDb *d, const StoreBatch *b, Err *err)
{
    int rc = 0;

    if ((b->meta != NULL || b->record != NULL) && !d->has_meta) {
        rc = store_schema_create_meta(d, err);
    }
    for (guint i = 0; rc == 0 && i < b->rows->len; i++) {
        rc = write_row(d, &g_array_index(b->rows, StoreRow, i), err);
    }
    if (rc == 0 && b->has_root) {
        rc = write_root(d, &b->root, b->root_from_sync, err);
    }
    if (rc == 0 && b->meta != NULL) {
        rc = write_meta(d, b->meta, err);
    }
    if (rc == 0 && b->record != NULL) {
        rc = write_value(d, MEMDB_RECORD_KEY, b->record, err);
    }
    return rc;
}

/* ---- commits of doubtful outcome --------------------------------------------------------- */

static void doubt_free(gpointer p)
{
    entry_unref(((StoreDoubt *)p)->before);
    g_free(p);
}

/* Every batch begins at the same state as long as none succeeds, so the rows of several failed ones
 * can be kept together: what each was before is the same in all of them. */
static void add_doubt(StoreDb *d, const StoreBatch *b)
{
    if (d->doubt == NULL) {
        d->doubt = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, doubt_free);
    }
    for (guint i = 0; i < b->rows->len; i++) {
        const StoreRow *row = &g_array_index(b->rows, StoreRow, i);

        if (!g_hash_table_contains(d->doubt, &row->inode)) {
            StoreDoubt *doubt = g_new0(StoreDoubt, 1);

            doubt->inode = row->inode;
            doubt->before = row->before != NULL ? entry_ref((Entry *)row->before) : NULL;
            g_hash_table_insert(d->doubt, &doubt->inode, doubt);
        }
    }
}

/* In a transaction: every doubtful row, and row 0, as they were. Costs nothing where they still
 * are. */
static int put_back(StoreDb *d, Err *err)
{
    GHashTableIter iter;
    gpointer value;
    int rc = 0;

    g_hash_table_iter_init(&iter, d->doubt);
    while (rc == 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        const StoreDoubt *doubt = value;

        rc = doubt->before != NULL ? update_row(d, STORE_STMT_UPDATE, doubt->before, false, err)
                                   : delete_row(d, doubt->inode, err);
    }
    if (rc == 0 && d->has_row0) {
        rc = write_root(d, &d->row0, d->row0_from_sync, err);
    } else if (rc == 0) {
        rc = store_db_exec(d, "DELETE FROM tree WHERE inode = 0", err);
    }
    if (rc == 0 && d->record != NULL) {
        rc = write_value(d, MEMDB_RECORD_KEY, d->record, err);
    } else if (rc == 0 && d->has_meta) {
        rc = store_db_exec(d, "DELETE FROM " STORE_META_TABLE " WHERE key = '" MEMDB_RECORD_KEY "'",
                           err);
    }
    return rc;
}

static int commit(StoreDb *d, Err *err)
{
    int rc = run_plain(d, STORE_STMT_COMMIT, err);

    if (rc == 0) {
        g_clear_pointer(&d->doubt, g_hash_table_unref);
    }
    return rc;
}

void store_db_settle_doubt(StoreDb *d)
{
    int rc;

    if (d->doubt == NULL) {
        return;
    }
    rc = store_db_prepare_write(d, 0, NULL);

    rc = rc < 0 ? rc : put_back(d, NULL);
    rc = rc < 0 ? rc : commit(d, NULL);
    if (rc < 0) {
        store_db_undo_write(d); /* the doubt stays */
    }
}

int store_db_write(StoreDb *d, const StoreBatch *b, Err *err)
{
    int rc = store_db_prepare_write(d, b->fresh_bytes, err);

    if (rc == 0 && d->doubt != NULL) {
        rc = put_back(d, err);
    }
    rc = rc < 0 ? rc : write_all(d, b, err);
    if (rc < 0) {
        store_db_undo_write(d);
        return rc;
    }
    rc = commit(d, err);
    if (rc < 0) {
        store_db_undo_write(d);
        add_doubt(d, b);
        store_db_settle_doubt(d);
        return rc;
    }
    d->has_meta = d->has_meta || b->meta != NULL || b->record != NULL;
    if (b->record != NULL) {
        g_clear_pointer(&d->record, g_bytes_unref);
        d->record = g_bytes_ref(b->record);
    }
    if (b->has_root) {
        d->has_row0 = true;
        d->row0 = b->root;
        d->row0_from_sync = b->root_from_sync;
    }
    return 0;
}
