/* SPDX-License-Identifier: Apache-2.0 */
/* pmxcfs-db repair, restore, compact: the verbs that change a database. Each keeps the old one. */
#include "cli/pmxcfs_db.h"

#include "lib/base/jsontext.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/io/store_db.h"
#include "pmxcfs/io/store_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INO G_GUINT64_FORMAT

/* ---- repair ------------------------------------------------------------------------------ */

typedef struct Repair {
    bool json;
    char *kept, *lost_dir;
} Repair;

static int write_lost_files(const DbSalvage *s, Repair *r, Err *err)
{
    if (s->lost->len == 0) {
        return 0;
    }
    /* Beside the kept database, named alike. */
    r->lost_dir = g_strconcat(r->kept != NULL ? r->kept : db_path(), ".lost+found", NULL);
    return db_write_lost(r->lost_dir, s, err);
}

static int do_repair(DbSalvage *s, Repair *r, Err *err)
{
    int rc = db_put_in_place(db_path(), s->kept, &s->root, "before-repair", &r->kept, err);

    return rc < 0 ? rc : write_lost_files(s, r, err);
}

static void print_member(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, ",\n \"%s\": ", key);
    if (value != NULL) {
        json_append_string(out, value);
    } else {
        g_string_append(out, "null");
    }
}

static void print_repair_json(const DbSalvage *s, const Repair *r)
{
    g_autoptr(GString) out = g_string_new("{\"database\": ");

    json_append_string(out, db_path());
    g_string_append_printf(
        out,
        ",\n \"entries\": %u, \"lost\": %u, \"gone\": %u, \"version\": %" INO ", \"dry_run\": %s",
        s->kept->len, s->lost->len, s->gone, s->root.version, db_dry_run ? "true" : "false");
    print_member(out, "kept_as", r->kept);
    print_member(out, "lost_files", r->lost_dir);
    g_string_append(out, ",\n \"notes\": [");
    for (guint i = 0; i < s->notes->len; i++) {
        g_string_append(out, i > 0 ? ",\n  " : "\n  ");
        json_append_string(out, g_ptr_array_index(s->notes, i));
    }
    g_string_append(out, "]}\n");
    (void)fwrite(out->str, 1, out->len, stdout); /* main looks at the stream in the end */
}

static void print_repair_text(const DbSalvage *s, const Repair *r)
{
    for (guint i = 0; i < s->notes->len; i++) {
        printf("%s\n", (const char *)g_ptr_array_index(s->notes, i));
    }
    printf("%s: %u entries %s, version %" INO ", %u without a place, %u gone\n", db_path(),
           s->kept->len, db_dry_run ? "would be kept" : "kept", s->root.version, s->lost->len,
           s->gone);
    if (r->kept != NULL) {
        printf("the damaged database is kept as %s\n", r->kept);
    }
    if (r->lost_dir != NULL) {
        printf("files without a place are in %s\n", r->lost_dir);
    }
}

/* Nothing wrong with pages nor content? */
static bool is_in_order(int *ret_rc, Err *err)
{
    g_auto(DbTree) tree = {0};
    int rc = db_tree_load(db_path(), &tree, err);
    guint faults = 0;

    if (rc == -EBADMSG || rc == -E2BIG) {
        err_clear(err);
        rc = 0;
        faults = 1;
    }
    for (guint i = 0; rc == 0 && tree.faults != NULL && i < tree.faults->len; i++) {
        const MemdbFault *f = &g_array_index(tree.faults, MemdbFault, i);

        faults += f->kind != MEMDB_FAULT_ROOT_MISSING || tree.entries->len > 0;
    }
    *ret_rc = rc;
    return faults == 0;
}

int db_verb_repair(char **operands, Err *err)
{
    g_auto(DbSalvage) s;
    Repair r = {0};
    int lock = -1;
    int rc = cli_wants_json(&r.json, err);
    bool in_order;

    (void)operands;
    db_salvage_init(&s);
    rc = rc < 0 ? rc : db_lock(db_path(), !db_dry_run, &lock, err);
    in_order = rc == 0 && is_in_order(&rc, err);
    rc = rc < 0 ? rc : db_salvage_read(db_path(), &s, err);
    rc = rc < 0 ? rc : db_salvage_settle(&s, err);
    if (rc == 0 && !in_order && !db_dry_run) {
        rc = do_repair(&s, &r, err);
    }
    if (rc == 0 && r.json) {
        print_repair_json(&s, &r);
    } else if (rc == 0 && in_order) {
        printf("%s: nothing to repair\n", db_path());
    } else if (rc == 0) {
        print_repair_text(&s, &r);
    }
    if (rc == 0 && (s.lost->len > 0 || s.gone > 0 || (db_dry_run && !in_order))) {
        rc = DB_EXIT_FOUND;
    }
    g_free(r.kept);
    g_free(r.lost_dir);
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- restore ----------------------------------------------------------------------------- */

typedef struct Restore {
    Memdb *tree; /* of the database that is changed */
    StoreBatch *batch;
    char **paths;
    bool *used;
    guint changes;
    int rc;
    Err *err;
} Restore;

static void apply(Restore *r, const TreeOp *op)
{
    g_autoptr(MemdbDelta) delta = NULL;
    TreeOrigin from = {.writer = 0, .time = db_now()};
    int rc = memdb_apply(r->tree, op, from, false, (MonoTime){0}, &delta);

    if (rc < 0) {
        r->rc =
            err_setf(r->err, rc, "%s %s: %s", tree_op_name(op->kind), op->path, g_strerror(-rc));
        return;
    }
    store_batch_add(r->batch, delta);
}

static void make_parents(Restore *r, const char *path)
{
    const char *end = path;

    while (r->rc == 0 && (end = strchr(end, '/')) != NULL) {
        g_autofree char *dir = g_strndup(path, (gsize)(end - path));
        g_autoptr(Entry) e = NULL;

        if (memdb_lookup(r->tree, dir, &e) == -ENOENT) {
            apply(r, &(TreeOp){.kind = TREE_OP_MKDIR, .path = dir});
        }
        end++;
    }
}

static void restore_file(Restore *r, const char *path, const Entry *saved, const Entry *there)
{
    bool same = there != NULL && there->type == saved->type && there->size == saved->size &&
                (saved->size == 0 || (saved->data != NULL && there->data != NULL &&
                                      g_bytes_equal(saved->data, there->data)));

    if (same) {
        printf("%s: already so\n", path);
        return;
    }
    if (there != NULL && !db_overwrite) {
        r->rc = err_setf(r->err, -EEXIST, "%s has other content now; see --overwrite", path);
        return;
    }
    if (there == NULL) {
        apply(r, &(TreeOp){.kind = TREE_OP_CREATE, .path = path});
    }
    if (r->rc == 0 && (there != NULL || saved->size > 0)) {
        apply(r, &(TreeOp){
                     .kind = TREE_OP_WRITE, .path = path, .data = saved->data, .truncate = true});
    }
    if (r->rc == 0) {
        printf("%s: %s\n", path, there == NULL ? "restored" : "replaced");
        r->changes++;
    }
}

static bool selected(Restore *r, const char *path)
{
    bool any = false;

    for (gsize i = 0; r->paths[i] != NULL; i++) {
        gsize n = strlen(r->paths[i]);

        if (n == 0 || (strncmp(path, r->paths[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))) {
            r->used[i] = true;
            any = true;
        }
    }
    return any;
}

static void restore_visit(void *ctx, const char *path, Entry *saved)
{
    Restore *r = ctx;
    g_autoptr(Entry) there = NULL;

    /* Locks are of the moment; who held one is not alive any more. */
    if (r->rc < 0 || !selected(r, path) || cfspath_is_below_lock(path)) {
        return;
    }
    make_parents(r, path);
    if (r->rc < 0) {
        return;
    }
    (void)!memdb_lookup(r->tree, path, &there); /* NULL: not there */
    if (saved->type == ENTRY_FILE) {
        restore_file(r, path, saved, there);
    } else if (there == NULL) {
        apply(r, &(TreeOp){.kind = TREE_OP_MKDIR, .path = path});
        r->changes++;
    }
}

/* The changes into the file, as one transaction. */
static int commit_restore(const StoreBatch *batch, Err *err)
{
    StoreDbOptions opt = {.synced = true};
    g_autofree char *backup = NULL;
    StoreDb *db = NULL;
    bool fresh;
    int rc = store_file_back_up(db_path(), "before-restore", &backup, err);
    int closed;

    rc = rc < 0 ? rc : store_db_open(db_path(), &opt, &db, &fresh, err);
    if (rc < 0) {
        return rc;
    }
    rc = store_db_write(db, batch, err);
    closed = store_db_close(db, rc == 0 ? err : NULL);
    if (rc == 0 && closed == 0) {
        printf("the database as it was is kept as %s\n", backup);
    }
    return rc < 0 ? rc : closed;
}

static int restore_from(const DbTree *saved, const DbTree *now, char **paths, Err *err)
{
    g_autofree bool *used = g_new0(bool, g_strv_length(paths) + 1);
    g_auto(StoreBatch) batch;
    Restore r = {.tree = now->tree, .batch = &batch, .paths = paths, .used = used, .err = err};

    store_batch_init(&batch);
    db_walk(saved->tree, restore_visit, &r);
    for (gsize i = 0; r.rc == 0 && paths[i] != NULL; i++) {
        if (!used[i]) {
            r.rc = err_setf(err, -ENOENT, "no entry %s in the saved database", paths[i]);
        }
    }
    if (r.rc < 0 || batch.deltas->len == 0 || db_dry_run) {
        return r.rc;
    }
    store_batch_seal(&batch);
    return commit_restore(&batch, err);
}

int db_verb_restore(char **operands, Err *err)
{
    g_auto(GStrv) paths = g_strdupv(operands + 1);
    g_auto(DbTree) saved = {0};
    g_auto(DbTree) now = {0};
    int lock = -1;
    int rc;

    for (char **path = paths; *path != NULL; path++) {
        char *normal = cfspath_normalize(*path);

        g_free(*path);
        *path = normal;
    }
    rc = db_lock(db_path(), !db_dry_run, &lock, err);
    rc = rc < 0 ? rc : db_tree_load_usable(operands[0], &saved, err);
    rc = rc < 0 ? rc : db_tree_load_usable(db_path(), &now, err);
    rc = rc < 0 ? rc : restore_from(&saved, &now, paths, err);
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- compact ----------------------------------------------------------------------------- */

int db_verb_compact(char **operands, Err *err)
{
    StoreDbOptions opt = {.synced = true};
    StoreDb *db = NULL;
    bool fresh;
    int lock = -1;
    int rc = db_lock(db_path(), true, &lock, err);
    int closed;

    (void)operands;
    if (rc == 0 && !g_file_test(db_path(), G_FILE_TEST_EXISTS)) {
        rc = err_setf(err, -ENOENT, "%s: %s", db_path(), g_strerror(ENOENT));
    }
    rc = rc < 0 ? rc : store_db_open(db_path(), &opt, &db, &fresh, err);
    if (rc == 0) {
        rc = store_db_compact(db, err);
        closed = store_db_close(db, rc == 0 ? err : NULL);
        rc = rc < 0 ? rc : closed;
    }
    if (rc == 0) {
        printf("%s: rewritten\n", db_path());
    }
    db_unlock(lock);
    return db_exit(rc, err);
}
