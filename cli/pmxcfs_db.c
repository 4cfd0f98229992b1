/* SPDX-License-Identifier: Apache-2.0 */
/* pmxcfs-db: looks into, checks, repairs and moves database files while the daemon is down. */
#include "cli/pmxcfs_db.h"

#include "lib/port/clock.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/store.h"
#include "pmxcfs/io/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DEFAULT_DATABASE "/var/lib/pve-cluster/config.db"
#define INSTANCE_LOCK    ".pmxcfs.lockfile" /* reference 1.1; in the directory of the database */

static char *database;
gboolean db_dry_run, db_replace, db_overwrite, db_content;

const MemdbLimits db_limits = {
    .file_size_max = 2 * CFS_FILE_SIZE_MAX_NATIVE,
    .total_size_max = UINT64_C(2) * CFS_TOTAL_SIZE_MAX_NATIVE,
    .inodes_max = 16 * CFS_INODES_MAX,
};

const char *db_path(void)
{
    return database != NULL ? database : DEFAULT_DATABASE;
}

uint32_t db_now(void)
{
    return wall_u32(clock_wall());
}

/* ---- locks and errors -------------------------------------------------------------------- */

int db_lock(const char *path, bool exclusive, int *ret_fd, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *lock = g_build_filename(dir, INSTANCE_LOCK, NULL);
    int fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int code;

    if (fd < 0 && errno == ENOENT) {
        *ret_fd = -1; /* no daemon ever ran here; the database file has a lock of its own */
        return 0;
    }
    if (fd < 0 || flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
        code = -errno;
        if (fd >= 0) {
            (void)close(fd); /* opened for reading: nothing can be lost */
        }
        return code == -EWOULDBLOCK
                   ? err_setf(err, -EBUSY, "%s: pmxcfs is running; stop it first", path)
                   : err_setf(err, code, "%s: %s", lock, g_strerror(-code));
    }
    *ret_fd = fd;
    return 0;
}

void db_unlock(int fd)
{
    if (fd >= 0) {
        (void)close(fd); /* opened for reading: nothing can be lost */
    }
}

int db_exit(int rc, const Err *err)
{
    if (rc == -EBUSY) {
        fprintf(stderr, "%s: %s\n", g_get_prgname(), err_text(err));
        return DB_EXIT_BUSY;
    }
    return rc;
}

/* ---- a tree read from a file ------------------------------------------------------------- */

void db_tree_done(DbTree *t)
{
    g_clear_pointer(&t->tree, memdb_free);
    g_clear_pointer(&t->faults, g_array_unref);
    g_clear_pointer(&t->entries, g_ptr_array_unref);
}

static const MemdbFault *first_fatal(const DbTree *t)
{
    for (guint i = 0; i < t->faults->len; i++) {
        const MemdbFault *f = &g_array_index(t->faults, MemdbFault, i);

        if (f->fatal) {
            return f;
        }
    }
    return NULL;
}

int db_tree_load(const char *path, DbTree *ret, Err *err)
{
    StoreOptions opt = {.read_only = true};
    Store *store = NULL;
    int rc = store_open(path, &opt, &store, NULL, err);

    if (rc < 0) {
        return rc;
    }
    ret->faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    rc = store_read(store, &db_limits, &ret->entries, &ret->root, &ret->has_root, ret->faults, err);
    (void)store_close(store); /* opened for reading: nothing can be lost */
    if (rc < 0) {
        return rc;
    }
    ret->tree = memdb_new(NULL, NULL);
    if (memdb_load(ret->tree, ret->entries, ret->has_root ? &ret->root : NULL, (MonoTime){0},
                   ret->faults, NULL) < 0 ||
        first_fatal(ret) != NULL) {
        g_clear_pointer(&ret->tree, memdb_free);
    }
    ret->usable = ret->tree != NULL;
    return 0;
}

int db_tree_load_usable(const char *path, DbTree *ret, Err *err)
{
    int rc = db_tree_load(path, ret, err);

    if (rc == 0 && !ret->usable) {
        const MemdbFault *f = first_fatal(ret);

        rc = err_setf(err, -EBADMSG, "%s: %s: %s; see 'pmxcfs-db check' and 'pmxcfs-db repair'",
                      path, memdb_fault_name(f->kind), f->text);
    }
    return rc;
}

static void walk_below(const Memdb *tree, uint64_t dir, GString *path, DbVisit visit, void *ctx)
{
    g_autoptr(GPtrArray) children = memdb_list(tree, dir);
    gsize base = path->len;

    for (guint i = 0; children != NULL && i < children->len; i++) {
        Entry *e = g_ptr_array_index(children, i);

        if (base + strlen(e->name) + 2 > CFS_PATH_MAX) {
            continue; /* also bounds the depth of this recursion */
        }
        g_string_append_printf(path, "%s%s", base > 0 ? "/" : "", e->name);
        visit(ctx, path->str, e);
        if (e->type == ENTRY_DIR && e->name[0] != '\0') {
            walk_below(tree, e->inode, path, visit, ctx);
        }
        g_string_truncate(path, base);
    }
}

void db_walk(const Memdb *tree, DbVisit visit, void *ctx)
{
    g_autoptr(GString) path = g_string_new(NULL);

    walk_below(tree, 0, path, visit, ctx);
}

/* ---- a finished database ----------------------------------------------------------------- */

int db_put_in_place(const char *path,
                    GPtrArray *entries,
                    const MemdbRoot *root,
                    const char *reason,
                    char **ret_kept,
                    Err *err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *base = g_path_get_basename(path);
    g_autofree char *name = g_strdup_printf("%s.new-%d", base, (int)getpid());
    g_autofree char *temp = g_build_filename(dir, name, NULL);
    g_autofree char *kept = NULL;
    int rc = store_save_tree(dir, name, entries, root, err);

    if (rc < 0) {
        return rc;
    }
    rc = store_file_keep(path, "backup", reason, &kept, err);
    if (rc == 0 || rc == -ENOENT) {
        err_clear(err);
        rc = store_file_rename_new(temp, path, err);
    }
    if (rc < 0) {
        (void)unlink(temp); /* the old state is there, here or under its new name */
        return kept != NULL ? err_wrapf(err, rc, "the old database is now %s", kept) : rc;
    }
    *ret_kept = g_steal_pointer(&kept);
    return store_file_sync_dir(path, err);
}

/* ---- the program ------------------------------------------------------------------------- */

#define DATABASE_OPTION                                                                            \
    {                                                                                              \
        "database", 'd', 0, G_OPTION_ARG_FILENAME, &database, "Default " DEFAULT_DATABASE, "FILE"  \
    }
#define FLAG(name, short_name, variable, text)                                                     \
    {                                                                                              \
        name, short_name, 0, G_OPTION_ARG_NONE, &(variable), text, NULL                            \
    }

static GOptionEntry show_options[] = {
    DATABASE_OPTION, CLI_OUTPUT_FORMAT_OPTION, {NULL, 0, 0, 0, NULL, NULL, NULL}};
static GOptionEntry dump_options[] = {
    DATABASE_OPTION,
    CLI_OUTPUT_FORMAT_OPTION,
    FLAG("content", 0, db_content, "With the content of files, as base64 (json only)"),
    {NULL, 0, 0, 0, NULL, NULL, NULL}};
static GOptionEntry import_options[] = {
    DATABASE_OPTION,
    FLAG("replace", 0, db_replace, "Replace the database; the old one is kept beside it"),
    {NULL, 0, 0, 0, NULL, NULL, NULL}};
static GOptionEntry repair_options[] = {
    DATABASE_OPTION,
    CLI_OUTPUT_FORMAT_OPTION,
    FLAG("dry-run", 'n', db_dry_run, "Only say what would be done"),
    {NULL, 0, 0, 0, NULL, NULL, NULL}};
static GOptionEntry restore_options[] = {
    DATABASE_OPTION,
    FLAG("overwrite", 0, db_overwrite, "Also replace files that are there with other content"),
    FLAG("dry-run", 'n', db_dry_run, "Only say what would be done"),
    {NULL, 0, 0, 0, NULL, NULL, NULL}};

static GOptionEntry database_options[] = {DATABASE_OPTION, {NULL, 0, 0, 0, NULL, NULL, NULL}};

#define MANY 100000

static const CliVerb verbs[] = {
    {"check", "", "look for damage and for faults of the content", 0, 0, show_options,
     db_verb_check},
    {"stat", "", "sizes, counts and versions", 0, 0, show_options, db_verb_stat},
    {"dump", "[PATH...]", "list the entries with all their fields", 0, MANY, dump_options,
     db_verb_dump},
    {"compare", "FILE [FILE]", "differences of two databases", 1, 2, show_options, db_verb_compare},
    {"export", "DIR [PATH...]", "write the files into a new directory", 1, MANY, database_options,
     db_verb_export},
    {"import", "DIR", "make a database from the files below a directory", 1, 1, import_options,
     db_verb_import},
    {"create", "DIR FILE", "make a new database from the files directly in a directory", 2, 2, NULL,
     db_verb_create},
    {"repair", "", "keep what can be kept of a damaged database", 0, 0, repair_options,
     db_verb_repair},
    {"restore", "SAVED PATH...", "take files back out of a saved database", 2, MANY,
     restore_options, db_verb_restore},
    {"compact", "", "rewrite the file in small pages without gaps", 0, 0, database_options,
     db_verb_compact},
    {NULL, NULL, NULL, 0, 0, NULL, NULL},
};

int main(int argc, char **argv)
{
    int rc;

    rc = cli_main("pmxcfs-db", "Works on the database of pmxcfs while the daemon does not run.",
                  verbs, argc, argv);
    if (fflush(stdout) != 0 && rc == CLI_EXIT_OK) {
        perror("pmxcfs-db: cannot write the result");
        rc = CLI_EXIT_FAILED;
    }
    return rc;
}
