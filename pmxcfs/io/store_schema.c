/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of the tables (reference 3.2), and the distrust in it: a file from elsewhere may hold a
 * view, a virtual table or a table with computed columns under the name that we read (INV-7).
 * Triggers and views are switched off for the whole connection, so they need no look here.
 */
#include "pmxcfs/io/store_db_priv.h"

#include <errno.h>
#include <string.h>

/* Name and what must hold; the order does not matter since statements name their columns. */
static const char *const tree_columns[] = {
    "inode", "parent", "version", "writer", "mtime", "type", "name", "data",
};

#define CHECK_INT(column) "CHECK(typeof(" column ")=='integer')"

static const char create_tree[] =
    "CREATE TABLE IF NOT EXISTS tree ("
    "  inode INTEGER PRIMARY KEY NOT NULL,"
    "  parent INTEGER NOT NULL " CHECK_INT(
        "parent") ","
                  "  version INTEGER NOT NULL " CHECK_INT(
                      "version") ","
                                 "  writer INTEGER NOT NULL " CHECK_INT(
                                     "writer") ","
                                               "  mtime INTEGER NOT NULL " CHECK_INT(
                                                   "mtime") ","
                                                            "  type INTEGER NOT NULL " CHECK_INT(
                                                                "type") ","
                                                                        "  name TEXT NOT NULL,"
                                                                        "  data BLOB)";

static const char create_meta[] =
    "CREATE TABLE IF NOT EXISTS " STORE_META_TABLE " ("
    "key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID";

int store_schema_create(StoreDb *d, Err *err)
{
    return store_db_exec(d, create_tree, err);
}

int store_schema_create_meta(StoreDb *d, Err *err)
{
    return store_db_exec(d, create_meta, err);
}

static int column_index(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(tree_columns); i++) {
        if (sqlite3_stricmp(name, tree_columns[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int check_column(sqlite3_stmt *st, unsigned *seen, Err *err)
{
    const char *name = (const char *)sqlite3_column_text(st, 0);
    const char *type = (const char *)sqlite3_column_text(st, 1);
    int key = sqlite3_column_int(st, 2);
    int hidden = sqlite3_column_int(st, 3);
    int i = name != NULL ? column_index(name) : -1;

    if (i < 0) {
        return err_setf(err, -EBADMSG, "table tree has an unknown column %.64s",
                        name != NULL ? name : "?");
    }
    if (hidden != 0) {
        return err_setf(err, -EBADMSG, "column %s of table tree is computed", tree_columns[i]);
    }
    /* Only "INTEGER PRIMARY KEY" makes the inode the address of the row. */
    if ((i == 0) != (key != 0) || (i == 0 && (type == NULL || sqlite3_stricmp(type, "INTEGER")))) {
        return err_setf(err, -EBADMSG, "table tree does not have inode as its integer primary key");
    }
    *seen |= 1u << i;
    return 0;
}

static int check_columns(StoreDb *d, Err *err)
{
    sqlite3_stmt *st = NULL;
    unsigned seen = 0;
    int rc = 0;

    if (sqlite3_prepare_v2(d->db, "SELECT name, type, pk, hidden FROM pragma_table_xinfo('tree')",
                           -1, &st, NULL) != SQLITE_OK) {
        return store_db_fail(d, err, "columns of table tree");
    }
    while (rc == 0) {
        int step = sqlite3_step(st);

        if (step == SQLITE_DONE) {
            break;
        }
        rc = step == SQLITE_ROW ? check_column(st, &seen, err)
                                : store_db_fail(d, err, "columns of table tree");
    }
    sqlite3_finalize(st);
    for (size_t i = 0; rc == 0 && i < G_N_ELEMENTS(tree_columns); i++) {
        if ((seen & (1u << i)) == 0) {
            rc = err_setf(err, -EBADMSG, "table tree lacks the column %s", tree_columns[i]);
        }
    }
    return rc;
}

/* 1 when a plain rowid table of this name is there, 0 when nothing is. */
static int find_table(StoreDb *d, const char *sql, const char *name, Err *err)
{
    char kind[32];
    int rc = store_db_text(d, sql, kind, sizeof(kind), err);

    if (rc < 0) {
        return rc;
    }
    if (kind[0] == '\0') {
        return 0;
    }
    if (strcmp(kind, "table") != 0) {
        return err_setf(err, -EBADMSG, "%s is a %s, not a plain table", name, kind);
    }
    return 1;
}

int store_schema_check(StoreDb *d, bool *ret_has_tree, Err *err)
{
    int64_t unique = 0;
    int tree = find_table(d,
                          "SELECT CASE WHEN wr THEN 'table without rowid' ELSE type END"
                          " FROM pragma_table_list WHERE schema = 'main' AND lower(name) = 'tree'",
                          "tree", err);
    int meta = tree < 0 ? tree
                        : find_table(d,
                                     "SELECT type FROM pragma_table_list WHERE schema = 'main'"
                                     " AND lower(name) = '" STORE_META_TABLE "'",
                                     STORE_META_TABLE, err);
    int rc;

    if (meta < 0) {
        return meta;
    }
    if (tree > 0) {
        rc = check_columns(d, err);
        if (rc < 0) {
            return rc;
        }
        /* It would make one replaced row delete another. */
        rc = store_db_int(d, "SELECT count(*) FROM pragma_index_list('tree') WHERE \"unique\" != 0",
                          &unique, err);
        if (rc < 0) {
            return rc;
        }
        if (unique > 0) {
            return err_setf(err, -EBADMSG, "table tree has a unique index that is not ours");
        }
    }
    d->has_meta = meta > 0;
    *ret_has_tree = tree > 0;
    return 0;
}

int store_schema_check_pages(StoreDb *d, Err *err)
{
    char text[256];
    uint64_t failures = store_vfs_read_failures(d->vfs);
    int rc = store_db_text(d, "PRAGMA quick_check(1)", text, sizeof(text), err);

    if (rc < 0) {
        return rc;
    }
    if (strcmp(text, "ok") == 0) {
        return 0;
    }
    if (store_vfs_read_failures(d->vfs) != failures) {
        /* SQLite words a page that could not be read as damage. It is not: the file may be well. */
        return err_setf(err, store_errno(SQLITE_IOERR_READ, store_vfs_errno(d->vfs)),
                        "cannot read the whole file");
    }
    g_strdelimit(text, "\n", ' ');
    return err_setf(err, -EBADMSG, "damaged: %s", text);
}
