/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, closing and the two ways of writing.
 *
 * The order at opening is: our own lock on the file, then everything that SQLite offers against a
 * hostile file, then the shape of the tables, then the pages; only then anything is written. With
 * look_first the content comes before that as well. Until then closing must not fold the WAL into
 * the file either.
 */
#include "pmxcfs/io/store_db_priv.h"
#include "pmxcfs/io/store_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_RETRY_SHARE 4 /* a checkpoint that could not finish waits for 1/4 more */
#define COLUMN_BYTES_MAX       (32 * 1024 * 1024) /* twice the largest file: bounds one row */
#define CACHE_KIB              2048
#define WAL_KEEP_BYTES         (2 * STORE_CHECKPOINT_BYTES)

/* ---- small helpers ----------------------------------------------------------------------- */

int store_db_fail(StoreDb *d, Err *err, const char *what)
{
    int rc = sqlite3_extended_errcode(d->db);
    int code = store_errno(rc, sqlite3_system_errno(d->db));

    if (code == 0) {
        code = -EIO; /* never success on a path that failed */
    }
    return err_setf(err, code, "%s: %s (%s)", what, sqlite3_errmsg(d->db), g_strerror(-code));
}

int store_db_exec(StoreDb *d, const char *sql, Err *err)
{
    if (sqlite3_exec(d->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        g_autofree char *what = g_strndup(sql, strcspn(sql, "(;"));

        return store_db_fail(d, err, g_strstrip(what));
    }
    return 0;
}

int store_db_text(StoreDb *d, const char *sql, char *buf, size_t size, Err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = 0;
    int step;

    buf[0] = '\0';
    if (sqlite3_prepare_v2(d->db, sql, -1, &st, NULL) != SQLITE_OK) {
        return store_db_fail(d, err, "cannot read the database");
    }
    step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);

        (void)g_strlcpy(buf, text != NULL ? text : "", size); /* cut on purpose */
    } else if (step != SQLITE_DONE) {
        rc = store_db_fail(d, err, "cannot read the database");
    }
    sqlite3_finalize(st);
    return rc;
}

int store_db_int(StoreDb *d, const char *sql, int64_t *ret, Err *err)
{
    char text[32];
    int rc = store_db_text(d, sql, text, sizeof(text), err);

    if (rc == 0) {
        *ret = g_ascii_strtoll(text, NULL, 10); /* an integer of SQLite's own making */
    }
    return rc;
}

struct sqlite3 *store_db_handle(StoreDb *d)
{
    return d->db;
}

void store_db_stats(const StoreDb *d, StoreDbStats *ret)
{
    *ret = (StoreDbStats){
        .disk_bytes = store_vfs_bytes(d->vfs),
        .syncs = store_vfs_syncs(d->vfs),
        .checkpoints = atomic_load(&d->checkpoints),
    };
}

/* ---- the write lock, the WAL and the rollback journal ------------------------------------ */

static int on_wal(void *ctx, sqlite3 *db, const char *schema, int pages)
{
    StoreDb *d = ctx;

    (void)db;
    (void)schema;
    d->wal_pages = pages;
    return SQLITE_OK;
}

/* What mode the connection is in, asked of SQLite itself: a change of mode that failed halfway
 * leaves that to it. */
static int read_mode(StoreDb *d, Err *err)
{
    char text[16];
    int rc = store_db_text(d, "PRAGMA journal_mode", text, sizeof(text), err);

    if (rc == 0) {
        d->mode = strcmp(text, "wal") == 0 ? STORE_DB_WAL : STORE_DB_DIRECT;
    }
    return rc;
}

static int set_journal_mode(StoreDb *d, const char *mode, Err *err)
{
    g_autofree char *sql = g_strdup_printf("PRAGMA journal_mode=%s", mode);
    char text[16];
    int rc = store_db_text(d, sql, text, sizeof(text), err);

    if (rc == 0 && g_ascii_strcasecmp(text, mode) != 0) {
        return err_setf(err, -EOPNOTSUPP, "journal mode stays %s", text);
    }
    return rc;
}

static void roll_back(StoreDb *d)
{
    if (sqlite3_get_autocommit(d->db) == 0) {
        /* Its failure leaves a state that the next transaction cleans up or reports. */
        (void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

/* Makes SQLite look at the file. Where taking a failed transaction back has failed too, half of it
 * is in the file and the way back in the journal: looking plays that back, or fails again. */
static int look(StoreDb *d, Err *err)
{
    return store_db_exec(d, "SELECT 1 FROM sqlite_master LIMIT 1", err);
}

static int read_row0(StoreDb *d, Err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = 0;
    int step;

    if (sqlite3_prepare_v2(d->db, "SELECT version, writer, mtime, type FROM tree WHERE inode = 0",
                           -1, &st, NULL) != SQLITE_OK) {
        return store_db_fail(d, err, "cannot read row 0");
    }
    step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        d->has_row0 = true;
        d->row0 = (MemdbRoot){
            .version = (uint64_t)sqlite3_column_int64(st, 0),
            .writer = (uint32_t)sqlite3_column_int64(st, 1),
            .mtime = (uint32_t)sqlite3_column_int64(st, 2),
        };
        d->row0_from_sync = sqlite3_column_int64(st, 3) == ENTRY_DIR;
    } else if (step != SQLITE_DONE) {
        rc = store_db_fail(d, err, "cannot read row 0");
    }
    sqlite3_finalize(st);
    return rc;
}

/* EXTRA syncs each commit and also the end of a rollback journal. NORMAL does neither in WAL mode
 * and still keeps the file whole over a power cut; with a rollback journal it would not. */
static int set_syncs(StoreDb *d, bool wal, Err *err)
{
    return store_db_exec(
        d, wal && !d->synced ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=EXTRA", err);
}

/* From WAL to the rollback journal: folds the WAL. Fails, harmlessly, while somebody reads. In all
 * of it, and from then on, the file stays locked. */
static int go_direct(StoreDb *d, Err *err)
{
    int rc;

    roll_back(d);
    store_vfs_keep_exclusive(d->vfs, true);
    rc = set_syncs(d, false, err);
    rc = rc < 0 ? rc : store_db_exec(d, "PRAGMA locking_mode=EXCLUSIVE", err);
    rc = rc < 0 ? rc : set_journal_mode(d, "truncate", err);
    if (rc < 0 && (read_mode(d, NULL) < 0 || d->mode == STORE_DB_WAL)) {
        (void)store_db_exec(d, "PRAGMA locking_mode=NORMAL", NULL);
        (void)set_syncs(d, true, NULL);
        store_vfs_keep_exclusive(d->vfs, false);
        return rc;
    }
    d->mode = STORE_DB_DIRECT;
    d->small_batches = 0;
    d->wal_pages = 0;
    d->fold_at_pages = (int)d->checkpoint_bytes / d->page_size;
    return 0;
}

/* Takes the lock that keeps other writers out; the VFS keeps it. */
static int take_write_lock(StoreDb *d, Err *err)
{
    int rc;

    store_vfs_keep_write_lock(d->vfs, true);
    rc = store_db_begin(d, err);
    roll_back(d);
    return rc;
}

static int go_wal(StoreDb *d, Err *err)
{
    int rc;

    roll_back(d);
    /* The change to DELETE below removes the journal without asking whether it is still needed. */
    rc = look(d, err);
    if (rc < 0) {
        d->small_batches = 0;
        return rc;
    }
    /* The shared wal-index, which lets others read, needs the normal lock mode. By way of DELETE,
     * since only that removes the empty journal file. */
    rc = store_db_exec(d, "PRAGMA locking_mode=NORMAL", err);
    rc = rc < 0 ? rc : set_journal_mode(d, "delete", err);
    rc = rc < 0 ? rc : set_journal_mode(d, "wal", err);
    if (rc < 0 && (read_mode(d, NULL) < 0 || d->mode == STORE_DB_DIRECT)) {
        /* Stay: the next try comes with the next batches. */
        (void)set_journal_mode(d, "truncate", NULL);
        (void)store_db_exec(d, "PRAGMA locking_mode=EXCLUSIVE", NULL);
        d->small_batches = 0;
        return rc;
    }
    d->mode = STORE_DB_WAL;
    rc = take_write_lock(d, err);
    if (rc == 0) {
        store_vfs_keep_exclusive(d->vfs, false);
        rc = set_syncs(d, true, err);
    }
    return rc;
}

/* Is the file still where it was? Who writes to one that was replaced or removed loses everything.
 */
static int check_place(StoreDb *d, Err *err)
{
    int moved = 0;

    if (sqlite3_file_control(d->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
        moved != 0) {
        return err_setf(err, -ESTALE, "%s was removed or replaced while in use", d->path);
    }
    return 0;
}

int store_db_prepare_write(StoreDb *d, size_t fresh_bytes, Err *err)
{
    int rc = check_place(d, err);

    if (rc < 0) {
        return rc;
    }
    if (fresh_bytes >= d->direct_bytes_min) {
        d->small_batches = 0;
        if (d->mode == STORE_DB_WAL) {
            (void)go_direct(d, NULL); /* else the WAL takes it: more bytes, same promise */
        }
    } else if (d->mode == STORE_DB_DIRECT && !d->wal_unusable &&
               ++d->small_batches > STORE_DIRECT_SMALL_MAX) {
        (void)go_wal(d, NULL); /* else direct mode goes on: more syncs, same promise */
    }
    return store_db_begin(d, err);
}

/* A commit that failed may have left a complete transaction behind the end of the WAL, which a
 * crash now would bring to life. Cutting the WAL prevents that; where the disk refuses even this,
 * the next successful commit overwrites it. */
static void scrub(StoreDb *d)
{
    if (d->mode == STORE_DB_WAL) {
        (void)sqlite3_busy_timeout(d->db, 0); /* readers may keep us from it: no reason to wait */
        (void)sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        (void)sqlite3_busy_timeout(d->db, STORE_BUSY_MS);
    }
}

void store_db_undo_write(StoreDb *d)
{
    roll_back(d);
    scrub(d);
    (void)read_mode(d, NULL);
}

static void fold(StoreDb *d)
{
    int in_wal = 0;
    int folded = 0;
    int rc = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &folded);
    int pages = (int)d->checkpoint_bytes / d->page_size;

    atomic_fetch_add(&d->checkpoints, 1);
    if (rc == SQLITE_OK && in_wal == folded) {
        d->fold_at_pages = pages;
        d->wal_pages = 0; /* the next commit starts the WAL from its beginning */
    } else {
        d->fold_at_pages = d->wal_pages + pages / CHECKPOINT_RETRY_SHARE;
    }
}

void store_db_settle(StoreDb *d)
{
    if (d->mode == STORE_DB_WAL) {
        store_vfs_keep_exclusive(d->vfs, false); /* where go_wal was cut short by a fault */
        if (d->wal_pages >= d->fold_at_pages) {
            fold(d);
        }
    }
}

bool store_db_wants_settle(const StoreDb *d)
{
    return d->mode == STORE_DB_WAL &&
           (d->wal_pages >= d->fold_at_pages || store_vfs_keeps_exclusive(d->vfs));
}

bool store_db_wants_idle(const StoreDb *d)
{
    return d->mode == STORE_DB_DIRECT && !d->wal_unusable;
}

void store_db_idle(StoreDb *d)
{
    if (store_db_wants_idle(d)) {
        (void)go_wal(d, NULL); /* else later */
    }
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Everything that SQLite offers against a file that was made to hurt (INV-7). */
static void distrust(StoreDb *d)
{
    static const struct {
        int option, value;
    } options[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},   {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 0},      {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},          {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1}, /* until we know that the file is ours */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        int rc = sqlite3_db_config(d->db, options[i].option, options[i].value, NULL);

        g_assert(rc == SQLITE_OK); /* all known to the oldest SQLite that configure accepts */
    }
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, COLUMN_BYTES_MAX);
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_SQL_LENGTH, 65536);
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_EXPR_DEPTH, 64);
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_WORKER_THREADS, 0);
}

static int configure(StoreDb *d, Err *err)
{
    g_autofree char *sql = g_strdup_printf(
        "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d;"
        "PRAGMA mmap_size=0; PRAGMA journal_size_limit=%u; PRAGMA synchronous=EXTRA",
        CACHE_KIB, WAL_KEEP_BYTES);
    int rc;

    distrust(d);
    (void)sqlite3_busy_timeout(d->db, STORE_BUSY_MS);
    (void)sqlite3_wal_autocheckpoint(d->db, 0); /* store_db_settle does it, when nobody waits */
    (void)sqlite3_wal_hook(d->db, on_wal, d);
    rc = store_db_exec(d, sql, err);
    if (rc == 0) {
        /* Debian's SQLite zeroes deleted pages by default, which writes them once more. FAST still
         * clears what shares a page with something that is written anyway. */
        rc = store_db_exec(d, "PRAGMA secure_delete=FAST", err);
    }
    return rc;
}

static int connect_file(StoreDb *d, const char *path, bool immutable, Err *err)
{
    g_autofree char *escaped = g_uri_escape_string(path, "/", FALSE);
    g_autofree char *uri = g_strdup_printf("file:%s%s", escaped, immutable ? "?immutable=1" : "");
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc;

    flags |= immutable ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    rc = sqlite3_open_v2(uri, &d->db, flags, store_vfs_name(d->vfs));
    if (rc != SQLITE_OK) {
        return d->db != NULL ? store_db_fail(d, err, "cannot open")
                             : err_setf(err, -ENOMEM, "cannot open: out of memory");
    }
    return configure(d, err);
}

/* First page of a database that is about to be made. */
static int lay_out(StoreDb *d, Err *err)
{
    g_autofree char *sql = g_strdup_printf(
        "PRAGMA page_size=%d; PRAGMA auto_vacuum=NONE; PRAGMA encoding='UTF-8'", STORE_PAGE_SIZE);

    return store_db_exec(d, sql, err);
}

static int enter_wal(StoreDb *d, Err *err)
{
    int rc = set_journal_mode(d, "wal", err);

    if (rc < 0 && rc != -EOPNOTSUPP) {
        return rc;
    }
    if (rc < 0) {
        /* No shared memory on this file system. The promises hold without WAL too. */
        err_clear(err);
        d->wal_unusable = true;
        d->mode = STORE_DB_DIRECT;
        store_vfs_keep_exclusive(d->vfs, true);
        rc = set_journal_mode(d, "truncate", err);
        return rc < 0 ? rc : store_db_exec(d, "PRAGMA locking_mode=EXCLUSIVE", err);
    }
    d->mode = STORE_DB_WAL;
    return set_syncs(d, true, err);
}

static int read_page_size(StoreDb *d, Err *err)
{
    int64_t size = 0;
    int rc = store_db_int(d, "PRAGMA page_size", &size, err);

    if (rc == 0) {
        d->page_size = (int)size;
        d->fold_at_pages = (int)d->checkpoint_bytes / d->page_size;
    }
    return rc;
}

/* What the file itself says, looked at before anything is written. */
typedef struct Found {
    bool has_pages, has_tree, has_rows;
} Found;

static int look_at(StoreDb *d, bool damaged_ok, Found *ret, Err *err)
{
    int64_t n = 0;
    int rc = store_db_int(d, "PRAGMA page_count", &n, err);

    *ret = (Found){.has_pages = n > 0};
    if (rc == 0 && ret->has_pages) {
        rc = store_schema_check(d, &ret->has_tree, err);
    }
    if (rc == 0 && ret->has_pages && !damaged_ok) {
        rc = store_schema_check_pages(d, err);
        rc = rc < 0 ? rc : store_db_read_meta(d, err);
    }
    if (rc == 0 && ret->has_tree && !damaged_ok) {
        rc = store_db_int(d, "SELECT EXISTS(SELECT 1 FROM tree)", &n, err);
        ret->has_rows = n > 0;
    }
    return rc;
}

/* From here on nobody else writes. */
static int hold(StoreDb *d, Err *err)
{
    int rc = enter_wal(d, err);

    rc = rc < 0 ? rc : take_write_lock(d, err);
    if (rc == 0) {
        d->held = true;
    }
    return rc;
}

/* When the file was changed last; 0 under a foreign VFS. */
static struct timespec changed_at(const StoreDb *d)
{
    struct stat st = {0};

    if (d->guard_fd >= 0) {
        (void)fstat(d->guard_fd, &st); /* open: cannot fail */
    }
    return st.st_mtim;
}

/* A database with content may still turn out to be damaged, and must be found as it was then. One
 * in WAL mode is held without a change; the header of any other tells of the change to WAL, so that
 * comes later. */
static int hold_unchanged(StoreDb *d, Err *err)
{
    int rc = read_mode(d, err);

    if (rc == 0 && d->mode == STORE_DB_WAL) {
        return hold(d, err);
    }
    d->changed = changed_at(d);
    return rc;
}

int store_db_take_over(StoreDb *d, Err *err)
{
    struct timespec changed = changed_at(d);
    int rc = 0;

    if (!d->held &&
        (changed.tv_sec != d->changed.tv_sec || changed.tv_nsec != d->changed.tv_nsec)) {
        return err_setf(err, -EBUSY, "%s: another process changed it just now", d->path);
    }
    if (!d->held) {
        rc = hold(d, err);
    }
    if (rc == 0) {
        (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        rc = read_page_size(d, err);
    }
    return rc < 0 ? rc : read_row0(d, err);
}

static int make_tree(StoreDb *d, const Found *found, Err *err)
{
    int rc = found->has_pages ? 0 : lay_out(d, err);

    rc = rc < 0 ? rc : hold(d, err);
    return rc < 0 ? rc : store_schema_create(d, err);
}

static int take_up(StoreDb *d, const StoreDbOptions *opt, bool *ret_fresh, Err *err)
{
    Found found;
    int rc = look_at(d, d->read_only && opt->damaged_ok, &found, err);

    if (rc == 0 && d->read_only && !found.has_tree) {
        rc = err_setf(err, -EBADMSG, "no table named tree");
    }
    if (rc == 0 && !d->read_only) {
        rc = found.has_tree ? hold_unchanged(d, err) : make_tree(d, &found, err);
    }
    if (rc == 0 && !d->read_only && !opt->look_first) {
        rc = store_db_take_over(d, err);
    }
    if (rc == 0) {
        *ret_fresh = !found.has_rows;
    }
    return rc;
}

static int open_for_reading(StoreDb *d, bool real, Err *err)
{
    g_autofree char *copy = NULL;
    int rc;

    if (!real) {
        return connect_file(d, d->path, false, err);
    }
    rc = store_file_lock(d->path, false, &d->guard_fd, NULL, err);
    if (rc == 0 && store_file_has_leftovers(d->path)) {
        /* A crash left changes beside the file. SQLite would fold them in; we work on a copy. */
        rc = store_file_private_copy(d->path, &d->copy_dir, &copy, err);
        return rc < 0 ? rc : connect_file(d, copy, false, err);
    }
    return rc < 0 ? rc : connect_file(d, d->path, true, err);
}

static int open_for_writing(StoreDb *d, bool real, Err *err)
{
    bool created = false;
    int rc = 0;

    if (real) {
        rc = store_file_lock(d->path, true, &d->guard_fd, &created, err);
        if (rc == 0 && created) {
            rc = store_file_sync_dir(d->path, err);
        }
    }
    return rc < 0 ? rc : connect_file(d, d->path, false, err);
}

int store_db_open(
    const char *path, const StoreDbOptions *opt, StoreDb **ret, bool *ret_fresh, Err *err)
{
    StoreDb *d = g_new0(StoreDb, 1);
    bool real = opt->vfs == NULL;
    int rc;

    d->guard_fd = -1;
    d->path = g_canonicalize_filename(path, NULL);
    d->read_only = opt->read_only;
    d->synced = opt->synced;
    d->checkpoint_bytes =
        opt->checkpoint_bytes > 0 ? opt->checkpoint_bytes : STORE_CHECKPOINT_BYTES;
    d->direct_bytes_min =
        opt->direct_bytes_min > 0 ? opt->direct_bytes_min : STORE_DIRECT_BYTES_MIN;
    rc = store_vfs_new(opt->vfs, &d->vfs, err);
    if (rc == 0) {
        if (d->synced) {
            store_vfs_collect_wal(d->vfs);
        }
        rc = d->read_only ? open_for_reading(d, real, err) : open_for_writing(d, real, err);
    }
    if (rc == 0) {
        rc = take_up(d, opt, ret_fresh, err);
    }
    if (rc < 0) {
        (void)store_db_close(d, NULL); /* what went wrong is in `err` already */
        return err_wrapf(err, rc, "%s", path);
    }
    *ret = d;
    return 0;
}

/* ---- probing and closing ----------------------------------------------------------------- */

int store_db_probe(StoreDb *d, Err *err)
{
    g_auto(StoreBatch) batch;
    static const char key[] = "store.probe";
    const uint64_t mark = d->row0.version;

    store_batch_init(&batch);
    if (d->read_only) {
        return err_setf(err, -EROFS, "%s is open for reading only", d->path);
    }
    batch.meta =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_bytes_unref);
    g_hash_table_insert(batch.meta, (gpointer)key, g_bytes_new(&mark, sizeof(mark)));
    return store_db_write(d, &batch, err);
}

int store_db_compact(StoreDb *d, Err *err)
{
    g_autofree char *sql = g_strdup_printf("PRAGMA page_size=%d; VACUUM", STORE_PAGE_SIZE);
    int rc = d->mode == STORE_DB_WAL ? go_direct(d, err) : 0; /* in WAL mode the size stays */

    /* VACUUM builds the new content in a database of its own, attached for the time. */
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 1);
    rc = rc < 0 ? rc : store_db_exec(d, sql, err);
    (void)sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
    return rc < 0 ? rc : read_page_size(d, err);
}

static int fold_for_good(StoreDb *d, Err *err)
{
    int rc = 0;

    if (d->mode == STORE_DB_DIRECT && !d->wal_unusable) {
        rc = go_wal(d, err); /* the original keeps its files in WAL mode; so do we */
    }
    roll_back(d);
    if (rc == 0 && d->mode == STORE_DB_WAL &&
        sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
            SQLITE_OK &&
        sqlite3_errcode(d->db) != SQLITE_BUSY) { /* a reader: it folds when it leaves */
        rc = store_db_fail(d, err, "cannot fold the write-ahead log into the database");
    }
    return rc;
}

int store_db_close(StoreDb *d, Err *err)
{
    int rc = 0;

    if (d == NULL) {
        return 0;
    }
    if (d->db != NULL) {
        int kept = 1;

        (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, -1, &kept);
        if (kept == 0) {
            store_db_settle_doubt(d);
            rc = fold_for_good(d, err);
        }
        for (int i = 0; i < STORE_STMT_N; i++) {
            sqlite3_finalize(d->stmt[i]);
        }
        if (sqlite3_close(d->db) != SQLITE_OK) {
            g_assert_not_reached(); /* all statements are finalized */
        }
    }
    /* Only now: closing any descriptor of the file drops SQLite's own locks on it. */
    if (d->guard_fd >= 0) {
        (void)close(d->guard_fd);
    }
    if (d->copy_dir != NULL) {
        store_file_remove_copy(d->copy_dir);
        g_free(d->copy_dir);
    }
    g_clear_pointer(&d->doubt, g_hash_table_unref);
    g_clear_pointer(&d->meta, g_hash_table_unref);
    g_clear_pointer(&d->record, g_bytes_unref);
    store_vfs_free(d->vfs);
    g_free(d->path);
    g_free(d);
    return rc;
}
