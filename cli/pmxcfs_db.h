/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs_db: what the verbs of pmxcfs-db share. Man page: pmxcfs-db(8). One thread (main).
 *
 * Reading never changes the database nor its companions; changing takes the locks of the daemon
 * and keeps the old state beside the new one.
 */
#ifndef CLI_PMXCFS_DB_H
#define CLI_PMXCFS_DB_H

#include "cli/cmdline.h"
#include "pmxcfs/core/memdb.h"

/* Exit codes beyond CLI_EXIT_*. */
#define DB_EXIT_FOUND 3 /* faults, differences or losses; they were printed */
#define DB_EXIT_BUSY  4 /* the daemon or another program uses the database */

/* The database: --database or the default. */
const char *db_path(void);

/* Options, filled by GOption. */
extern gboolean db_dry_run, db_replace, db_overwrite, db_content;

/* What tools read at most: whatever the original may have made, and no more than memory holds. */
extern const MemdbLimits db_limits;

/* ---- locks and errors -------------------------------------------------------------------- */

/* Keeps the daemon from starting, ours or the original, and finds it running: -EBUSY. `exclusive`:
 * against other tools too. *ret_fd -1 when there is no instance lock file beside the database. */
int db_lock(const char *path, bool exclusive, int *ret_fd, Err *err) must_check;
void db_unlock(int fd);

/* Exit code of a verb from an errno: prints the text of -EBUSY; other failures stay negative, for
 * cli_main to print. */
int db_exit(int rc, const Err *err);

/* ---- a tree read from a file ------------------------------------------------------------- */

typedef struct DbTree {
    GPtrArray *entries; /* of Entry*, without the root */
    MemdbRoot root;
    bool has_root;
    GArray *faults; /* of MemdbFault */
    bool usable;    /* no fatal fault */
    Memdb *tree;    /* NULL unless usable */
} DbTree;

void db_tree_done(DbTree *t);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DbTree, db_tree_done)

/* Reads all; faults of the content are no error. -EBADMSG when pages are damaged. Safe to call
 * db_tree_done after a failure; `ret` must be zeroed before. */
int db_tree_load(const char *path, DbTree *ret, Err *err) must_check;
/* The same, but the content must be usable: -EBADMSG names the first fault and `check`. */
int db_tree_load_usable(const char *path, DbTree *ret, Err *err) must_check;

typedef void (*DbVisit)(void *ctx, const char *path, Entry *e);

/* Every entry that a path of usual length leads to, directories before what is in them, each
 * directory ascending by name. The path has no leading slash. */
void db_walk(const Memdb *tree, DbVisit visit, void *ctx);

/* ---- salvage: what can be read, made into a tree that loads ------------------------------ */

typedef struct DbSalvage {
    GPtrArray *kept;  /* of Entry*: loads without fault */
    GPtrArray *lost;  /* of Entry*: readable, but with no place in the tree */
    MemdbRoot root;   /* for `kept`; newer than anything read when something was changed */
    GPtrArray *notes; /* of char*: one line for each thing that was done */
    guint gone;       /* entries or contents that cannot be read any more */
} DbSalvage;

void db_salvage_init(DbSalvage *s);
void db_salvage_done(DbSalvage *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DbSalvage, db_salvage_done)

/* Reads every row that SQLite can still reach, of a private copy when a crash left changes beside
 * the file. -EBADMSG when not even that works. */
int db_salvage_read(const char *path, DbSalvage *s, Err *err) must_check;
/* Settles names, types, duplicates, orphans and cycles. */
int db_salvage_settle(DbSalvage *s, Err *err) must_check;

/* Adds to `notes`. */
void db_note(DbSalvage *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- files ------------------------------------------------------------------------------- */

/* Writes `kept` below a new directory `dir` (0700, files 0600, no symlink followed), only what is
 * at or below one of `paths` (NULL-terminated; NULL or empty: all), and, when all was asked for,
 * `lost` below "lost+found". -ENOENT: no such path. */
int db_write_files(const char *dir, const DbSalvage *s, char **paths, guint *ret_files, Err *err)
    must_check;
/* `lost` alone, below a new directory. */
int db_write_lost(const char *dir, const DbSalvage *s, Err *err) must_check;

/* Puts a finished database in the place of `path`. An old one is kept as PATH.backup-...; its name
 * in *ret_kept, NULL when there was none. */
int db_put_in_place(const char *path,
                    GPtrArray *entries,
                    const MemdbRoot *root,
                    const char *reason,
                    char **ret_kept,
                    Err *err) must_check;

/* Unix seconds, for version records. */
uint32_t db_now(void);

/* ---- verbs: operands end with NULL ------------------------------------------------------- */

/* The verbs: see `run` of CliVerb. */
int db_verb_check(char **operands, Err *err);
int db_verb_stat(char **operands, Err *err);
int db_verb_dump(char **operands, Err *err);
int db_verb_compare(char **operands, Err *err);
int db_verb_export(char **operands, Err *err);
int db_verb_import(char **operands, Err *err);
int db_verb_create(char **operands, Err *err);
int db_verb_repair(char **operands, Err *err);
int db_verb_restore(char **operands, Err *err);
int db_verb_compact(char **operands, Err *err);

#endif
