/* SPDX-License-Identifier: Apache-2.0 */
/* store_db_priv: what the parts of store_db share among themselves (store_db*.c, store_schema.c).
 */
#ifndef PMXCFS_IO_STORE_DB_PRIV_H
#define PMXCFS_IO_STORE_DB_PRIV_H

#include "pmxcfs/io/store_db.h"
#include "pmxcfs/io/store_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>

typedef enum StoreDbMode {
    STORE_DB_WAL,    /* small commits; readers welcome */
    STORE_DB_DIRECT, /* rollback journal, the file is locked against everybody */
} StoreDbMode;

typedef enum StoreStmt {
    STORE_STMT_REPLACE, /* whole row, always into new pages */
    STORE_STMT_UPDATE,  /* all but the type; same size: only pages that differ are touched */
    STORE_STMT_ATTRS,   /* all but type and content */
    STORE_STMT_DELETE,
    STORE_STMT_META,
    STORE_STMT_BEGIN, /* in WAL mode */
    STORE_STMT_COMMIT,
    STORE_STMT_N
} StoreStmt;

struct StoreDb {
    sqlite3 *db;
    StoreVfs *vfs;
    char *path;     /* absolute */
    char *copy_dir; /* private copy that a read-only open works on, or NULL */
    int guard_fd;   /* the file, with our flock on it; -1 under a foreign VFS */
    bool read_only;
    bool synced;
    bool held;               /* nobody else can write */
    struct timespec changed; /* before it is held: when the file was changed last */
    StoreDbMode mode;
    bool wal_unusable; /* the file system cannot do it: direct mode for good */
    size_t checkpoint_bytes, direct_bytes_min;
    int page_size;
    int wal_pages;          /* in the WAL now */
    int fold_at_pages;      /* checkpoint when wal_pages reaches this */
    unsigned small_batches; /* since the newest large one */
    bool has_meta;          /* our own table exists */
    GHashTable *meta;       /* what it held at opening, until taken */
    GBytes *record;         /* MEMDB_RECORD_KEY, as read or committed last; NULL: none */
    bool has_row0;          /* row 0, as read or committed last */
    MemdbRoot row0;
    bool row0_from_sync;
    GHashTable *doubt; /* of StoreDoubt, as a set by inode; NULL: none. See store_db_write.c */
    _Atomic uint64_t checkpoints;
    sqlite3_stmt *stmt[STORE_STMT_N];
};

/* A row that a failed commit may nevertheless have changed. */
typedef struct StoreDoubt {
    uint64_t inode;
    Entry *before; /* what must be in the file; NULL: no such row. Owns a reference */
} StoreDoubt;

#define STORE_META_TABLE "quorate_meta"

/* Fills `err` from the connection's newest error: "what: text". Returns the errno, never 0. */
int store_db_fail(StoreDb *d, Err *err, const char *what);

/* Runs statements that return nothing of interest. */
int store_db_exec(StoreDb *d, const char *sql, Err *err);

/* First column of the first row as text, cut to `size`; "" when there is no row. */
int store_db_text(StoreDb *d, const char *sql, char *buf, size_t size, Err *err) must_check;
int store_db_int(StoreDb *d, const char *sql, int64_t *ret, Err *err) must_check;

/* Opens the transaction of a batch, as the mode demands. */
int store_db_begin(StoreDb *d, Err *err) must_check;

/* Before the first row of a batch: chooses the way of writing for that much new content and makes
 * sure that a transaction is open. */
int store_db_prepare_write(StoreDb *d, size_t fresh_bytes, Err *err) must_check;

/* After a failure: rolls back, and leaves nothing of the batch for a crash to find. */
void store_db_undo_write(StoreDb *d);

/* After a commit of doubtful outcome: makes the file what it was before, if the disk permits. */
void store_db_settle_doubt(StoreDb *d);

/* Looks at the shape of the tables, reads no row: is there a tree, is it ours to use? */
int store_schema_check(StoreDb *d, bool *ret_has_tree, Err *err) must_check;
int store_schema_create(StoreDb *d, Err *err) must_check;
int store_schema_create_meta(StoreDb *d, Err *err) must_check;
/* Own values into d->meta: -EBADMSG when they cannot be ours. */
int store_db_read_meta(StoreDb *d, Err *err) must_check;
/* Every page readable and in its place. */
int store_schema_check_pages(StoreDb *d, Err *err) must_check;

#endif
