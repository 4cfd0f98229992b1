/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/storeplace.h"

#include <glib/gstdio.h>
#include <sqlite3.h>

void place_init(Place *p, gconstpointer unused)
{
    (void)unused;
    p->dir = g_dir_make_tmp("test-store-XXXXXX", NULL);
    g_assert_nonnull(p->dir);
    p->db = g_build_filename(p->dir, "config.db", NULL);
}

void place_done(Place *p, gconstpointer unused)
{
    GDir *dir = g_dir_open(p->dir, 0, NULL);
    const char *name;

    (void)unused;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(p->dir, name, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(p->dir), ==, 0);
    g_free(p->dir);
    g_free(p->db);
}

char *place_path(const Place *p, const char *suffix)
{
    return g_strconcat(p->db, suffix, NULL);
}

bool place_has(const Place *p, const char *suffix)
{
    g_autofree char *path = place_path(p, suffix);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

char *place_sql(const char *path, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int rc;

    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 2000);
    rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            const char *value = (const char *)sqlite3_column_text(st, 0);

            g_string_append_printf(out, "%s%s", out->len > 0 ? " " : "",
                                   value != NULL ? value : "NULL");
        }
    }
    if (rc != SQLITE_DONE) {
        g_string_printf(out, "error %d: %s", rc, sqlite3_errmsg(db));
    }
    sqlite3_finalize(st);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

void place_exec(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *msg = NULL;

    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK) {
        g_error("%s: %s", text, msg);
    }
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

StoreRig *place_open(const char *path)
{
    Err err = ERR_INIT;
    StoreRig *rig = storerig_open(path, NULL, &err);

    if (rig == NULL) {
        g_error("%s", err_text(&err));
    }
    return rig;
}

void place_close(StoreRig *rig)
{
    int rc = -1;

    g_assert_cmpint(storerig_flush(rig), ==, 0);
    storerig_close(rig, &rc);
    g_assert_cmpint(rc, ==, 0);
}

int place_try_open(const char *path, Err *err)
{
    StoreOptions opt = {.durability = STORE_SYNCED};
    Store *s = NULL;
    int rc = store_open(path, &opt, &s, NULL, err);

    if (rc == 0) {
        g_assert_cmpint(store_close(s), ==, 0);
    }
    return rc;
}
