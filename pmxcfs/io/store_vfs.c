/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store_vfs.h"

#include "pmxcfs/io/store_wal.h"

#include <errno.h>
#include <glib.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

struct StoreVfs {
    sqlite3_vfs vfs; /* pAppData is this object */
    sqlite3_vfs *base;
    _Atomic uint64_t bytes;
    _Atomic uint64_t syncs;
    _Atomic uint64_t read_failures;
    int last_errno;                 /* of the newest failed call */
    struct StoreVfsFile *main_file; /* the open database, or NULL */
    StoreWal *wal;                  /* of the open WAL, where it is collected; or NULL */
    bool keep_write_lock, keep_exclusive;
    bool collect; /* what goes to a WAL */
    bool real;    /* the base VFS is that of the system: its files can be opened here */
    char name[32];
};

typedef struct StoreVfsFile {
    sqlite3_file file;
    StoreVfs *vfs;
    int level;         /* lock of the file that SQLite believes to hold */
    int held_level;    /* the one that is really held */
    bool write_locked; /* the same for the WAL's write lock */
    bool held_write_lock;
    StoreWal *wal;   /* NULL: no WAL, or written as it comes */
    uint64_t base[]; /* the file object of the base VFS; SQLite aligns to 8 bytes */
} StoreVfsFile;

static sqlite3_file *base_of(sqlite3_file *f)
{
    return (sqlite3_file *)(void *)((StoreVfsFile *)f)->base;
}

static StoreVfs *vfs_of(sqlite3_vfs *v)
{
    return v->pAppData;
}

/* Passes a result through; of a failure the errno is kept while it is fresh. */
static int keep(StoreVfs *v, int rc)
{
    if (rc != SQLITE_OK && v->base->xGetLastError != NULL) {
        v->last_errno = v->base->xGetLastError(v->base, 0, NULL);
    }
    return rc;
}

static int keep_file(sqlite3_file *f, int rc)
{
    return keep(((StoreVfsFile *)f)->vfs, rc);
}

/* ---- files ------------------------------------------------------------------------------- */

static void collect_wal(StoreVfsFile *file, const char *name)
{
    StoreVfs *v = file->vfs;

    file->wal = g_new(StoreWal, 1);
    store_wal_init(file->wal, base_of(&file->file), v->real ? name : NULL, &v->bytes);
    v->wal = file->wal;
}

static void end_wal(StoreVfsFile *file)
{
    if (file->wal != NULL) {
        file->vfs->wal = file->vfs->wal == file->wal ? NULL : file->vfs->wal;
        store_wal_done(file->wal);
        g_clear_pointer(&file->wal, g_free);
    }
}

static int keep_wal(StoreVfsFile *file, int rc)
{
    if (rc != SQLITE_OK && file->wal->error != 0) {
        file->vfs->last_errno = file->wal->error;
        return rc;
    }
    return keep(file->vfs, rc);
}

/* Before a call that looks at the file, or makes it durable. */
static int flush_wal(sqlite3_file *f)
{
    StoreVfsFile *file = (StoreVfsFile *)f;

    return file->wal != NULL ? keep_wal(file, store_wal_flush(file->wal)) : SQLITE_OK;
}

static int file_close(sqlite3_file *f)
{
    StoreVfs *v = ((StoreVfsFile *)f)->vfs;

    if (v->main_file == (StoreVfsFile *)f) {
        v->main_file = NULL;
    }
    end_wal((StoreVfsFile *)f);
    return keep_file(f, base_of(f)->pMethods->xClose(base_of(f)));
}

static int file_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 at)
{
    int rc = flush_wal(f);

    if (rc == SQLITE_OK) {
        rc = keep_file(f, base_of(f)->pMethods->xRead(base_of(f), buf, n, at));
    }
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        atomic_fetch_add(&((StoreVfsFile *)f)->vfs->read_failures, 1);
    }
    return rc;
}

static int file_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 at)
{
    StoreVfsFile *file = (StoreVfsFile *)f;

    if (file->wal != NULL) {
        return keep_wal(file, store_wal_write(file->wal, buf, (size_t)n, at));
    }
    atomic_fetch_add(&file->vfs->bytes, (uint64_t)n);
    return keep_file(f, base_of(f)->pMethods->xWrite(base_of(f), buf, n, at));
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    StoreVfsFile *file = (StoreVfsFile *)f;
    int rc = flush_wal(f);

    if (rc == SQLITE_OK) {
        rc = keep_file(f, base_of(f)->pMethods->xTruncate(base_of(f), size));
    }
    if (file->wal != NULL) {
        store_wal_forget(file->wal);
    }
    return rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
    int rc = flush_wal(f);

    if (rc != SQLITE_OK) {
        return rc;
    }
    atomic_fetch_add(&((StoreVfsFile *)f)->vfs->syncs, 1);
    return keep_file(f, base_of(f)->pMethods->xSync(base_of(f), flags));
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    int rc = flush_wal(f);

    return rc == SQLITE_OK ? keep_file(f, base_of(f)->pMethods->xFileSize(base_of(f), ret)) : rc;
}

/* ---- locks ------------------------------------------------------------------------------- */

static int file_lock(sqlite3_file *f, int level)
{
    StoreVfsFile *file = (StoreVfsFile *)f;
    int rc = SQLITE_OK;

    if (level > file->held_level) {
        rc = base_of(f)->pMethods->xLock(base_of(f), level);
        file->held_level = rc == SQLITE_OK ? level : file->held_level;
    }
    if (rc == SQLITE_OK && level > file->level) {
        file->level = level;
    }
    return rc;
}

/* Also where the level is the same: a failed attempt at the exclusive lock may have left a part. */
static int release_file(StoreVfsFile *file)
{
    file->held_level = file->level;
    return base_of(&file->file)->pMethods->xUnlock(base_of(&file->file), file->level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    StoreVfsFile *file = (StoreVfsFile *)f;

    file->level = MIN(file->level, level);
    if (file->vfs->keep_exclusive && file->held_level == SQLITE_LOCK_EXCLUSIVE) {
        return SQLITE_OK;
    }
    return release_file(file);
}

#define WAL_WRITE_SLOT 0 /* of the lock slots that SQLite's file format documents */

static int release_write_lock(StoreVfsFile *file)
{
    int rc = SQLITE_OK;

    if (file->held_write_lock && !file->write_locked) {
        rc = base_of(&file->file)
                 ->pMethods->xShmLock(base_of(&file->file), WAL_WRITE_SLOT, 1,
                                      SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
        file->held_write_lock = false;
    }
    return rc;
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    StoreVfsFile *file = (StoreVfsFile *)f;
    int rc = SQLITE_OK;

    if (offset != WAL_WRITE_SLOT || n != 1) {
        return base_of(f)->pMethods->xShmLock(base_of(f), offset, n, flags);
    }
    if (flags & SQLITE_SHM_UNLOCK) {
        file->write_locked = false;
        return file->vfs->keep_write_lock ? SQLITE_OK : release_write_lock(file);
    }
    if (!file->held_write_lock) {
        rc = base_of(f)->pMethods->xShmLock(base_of(f), offset, n, flags);
        if (file->vfs->wal != NULL) {
            store_wal_forget(file->vfs->wal); /* others may have written */
        }
    }
    file->write_locked = file->write_locked || rc == SQLITE_OK;
    file->held_write_lock = file->held_write_lock || rc == SQLITE_OK;
    return rc;
}

void store_vfs_keep_write_lock(StoreVfs *v, bool keep)
{
    v->keep_write_lock = keep;
    if (!keep && v->main_file != NULL) {
        (void)release_write_lock(v->main_file); /* a lock of this process: nothing can fail */
    }
}

void store_vfs_keep_exclusive(StoreVfs *v, bool keep)
{
    bool ends = v->keep_exclusive && !keep;

    v->keep_exclusive = keep;
    if (ends && v->main_file != NULL) {
        (void)release_file(v->main_file); /* a lock of this process: nothing can fail */
    }
}

bool store_vfs_keeps_exclusive(const StoreVfs *v)
{
    return v->keep_exclusive;
}

/* While more is held than SQLite knows of, the base VFS would take our own lock for that of a
 * writer at work, and SQLite would leave a journal alone that it has to play back. */
static int file_check_reserved(sqlite3_file *f, int *ret)
{
    const StoreVfsFile *file = (const StoreVfsFile *)f;

    if (file->held_level >= SQLITE_LOCK_RESERVED) {
        *ret = file->level >= SQLITE_LOCK_RESERVED; /* ours, so nobody else's */
        return SQLITE_OK;
    }
    return base_of(f)->pMethods->xCheckReservedLock(base_of(f), ret);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return base_of(f)->pMethods->xFileControl(base_of(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
    return base_of(f)->pMethods->xSectorSize(base_of(f));
}

static int file_characteristics(sqlite3_file *f)
{
    return base_of(f)->pMethods->xDeviceCharacteristics(base_of(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return keep_file(f, base_of(f)->pMethods->xShmMap(base_of(f), page, size, extend, ret));
}

static void file_shm_barrier(sqlite3_file *f)
{
    base_of(f)->pMethods->xShmBarrier(base_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
    StoreVfsFile *file = (StoreVfsFile *)f;

    file->write_locked = false;
    (void)release_write_lock(file);
    return base_of(f)->pMethods->xShmUnmap(base_of(f), remove);
}

/* Version 2: with shared memory for the WAL index; no memory mapped reads, so that a file which
 * another program cuts short gives an error and no signal. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ----------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret)
{
    StoreVfsFile *file = (StoreVfsFile *)f;
    StoreVfs *self = vfs_of(v);
    int rc;

    memset(file, 0, sizeof(*file) + (size_t)self->base->szOsFile);
    file->vfs = self;
    rc = keep(self, self->base->xOpen(self->base, name, base_of(f), flags, ret));
    if (base_of(f)->pMethods != NULL) {
        file->file.pMethods = &file_methods;
        if (flags & SQLITE_OPEN_MAIN_DB) {
            self->main_file = file;
        }
        if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) && self->collect) {
            collect_wal(file, name);
        }
    }
    return rc;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
    return keep(vfs_of(v), vfs_of(v)->base->xDelete(vfs_of(v)->base, name, sync_dir));
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    return keep(vfs_of(v), vfs_of(v)->base->xAccess(vfs_of(v)->base, name, flags, ret));
}

static int vfs_full_pathname(sqlite3_vfs *v, const char *name, int n, char *ret)
{
    return keep(vfs_of(v), vfs_of(v)->base->xFullPathname(vfs_of(v)->base, name, n, ret));
}

static int vfs_randomness(sqlite3_vfs *v, int n, char *ret)
{
    return vfs_of(v)->base->xRandomness(vfs_of(v)->base, n, ret);
}

static int vfs_sleep(sqlite3_vfs *v, int us)
{
    return vfs_of(v)->base->xSleep(vfs_of(v)->base, us);
}

static int vfs_current_time(sqlite3_vfs *v, double *ret)
{
    return vfs_of(v)->base->xCurrentTime(vfs_of(v)->base, ret);
}

static int vfs_current_time64(sqlite3_vfs *v, sqlite3_int64 *ret)
{
    return vfs_of(v)->base->xCurrentTimeInt64(vfs_of(v)->base, ret);
}

static int vfs_last_error(sqlite3_vfs *v, int n, char *ret)
{
    if (n > 0 && ret != NULL) {
        ret[0] = '\0';
    }
    return vfs_of(v)->last_errno;
}

int store_vfs_new(const char *base, StoreVfs **ret, Err *err)
{
    static _Atomic unsigned counter;
    sqlite3_vfs *found = sqlite3_vfs_find(base);
    StoreVfs *v;

    if (found == NULL) {
        return err_setf(err, -ENOENT, "no SQLite VFS named %s", base != NULL ? base : "(default)");
    }
    v = g_new0(StoreVfs, 1);
    v->base = found;
    v->real = base == NULL;
    g_snprintf(v->name, sizeof(v->name), "pmxcfs-store-%u", atomic_fetch_add(&counter, 1));
    v->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(StoreVfsFile) + found->szOsFile,
        .mxPathname = found->mxPathname,
        .zName = v->name,
        .pAppData = v,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_current_time64,
    };
    if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
        g_free(v);
        return err_setf(err, -ENOMEM, "cannot register a SQLite VFS");
    }
    *ret = v;
    return 0;
}

void store_vfs_free(StoreVfs *v)
{
    if (v != NULL) {
        (void)sqlite3_vfs_unregister(&v->vfs); /* fails only for a VFS that is not registered */
        g_free(v);
    }
}

const char *store_vfs_name(const StoreVfs *v)
{
    return v->name;
}

void store_vfs_collect_wal(StoreVfs *v)
{
    v->collect = true;
}

uint64_t store_vfs_bytes(const StoreVfs *v)
{
    return atomic_load(&v->bytes);
}

uint64_t store_vfs_syncs(const StoreVfs *v)
{
    return atomic_load(&v->syncs);
}

uint64_t store_vfs_read_failures(const StoreVfs *v)
{
    return atomic_load(&v->read_failures);
}

int store_vfs_errno(const StoreVfs *v)
{
    return v->last_errno;
}
