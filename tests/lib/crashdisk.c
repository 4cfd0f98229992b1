/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/crashdisk.h"

#include "lib/base/prng.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#define SECTOR   512u
#define SHM_SLOT 8

/* ---- what the disk holds ----------------------------------------------------------------- */

typedef struct Change {
    bool truncates;
    uint64_t at;   /* offset, or the new size */
    GBytes *data;  /* NULL when it truncates */
    uint64_t when; /* number of the changing call */
} Change;

typedef struct Node {
    gatomicrefcount refs;
    GByteArray *now;
    GByteArray *durable;
    GArray *pending; /* of Change, in order */
    /* Locks and shared memory, as long as somebody has the file open. */
    int shared;
    const void *reserved, *exclusive;
    GPtrArray *shm;
    int shm_users;
    int shm_shared[SHM_SLOT];
    const void *shm_exclusive[SHM_SLOT];
} Node;

typedef struct DirChange {
    char *name;
    Node *node; /* NULL: removed */
    uint64_t when;
} DirChange;

typedef struct Dir {
    GHashTable *now;     /* name -> Node */
    GHashTable *durable; /* name -> Node */
    GPtrArray *pending;  /* of DirChange */
} Dir;

struct CrashDisk {
    sqlite3_vfs vfs;
    char *name;
    pthread_mutex_t lock;
    Dir dir;
    uint64_t changes, calls, stop_at;
    bool stopped;
    int last_errno;
    FaultKind fault;
    uint64_t fault_in, fault_length;
    bool fault_met;
    uint64_t capacity;
    Prng prng;
    bool hang;
    unsigned hanging; /* syncs that wait for its end */
    pthread_cond_t hang_ends;
};

struct CrashState {
    Dir dir;
    uint64_t changes;
};

typedef struct CrashFile {
    sqlite3_file file;
    CrashDisk *disk;
    Node *node;
    int level;
    bool sync_dir;
    bool shm_mapped;
    uint32_t shm_shared, shm_exclusive; /* bit masks of slots held */
} CrashFile;

static void change_clear(gpointer p)
{
    g_clear_pointer(&((Change *)p)->data, g_bytes_unref);
}

static GArray *changes_new(void)
{
    GArray *a = g_array_new(FALSE, TRUE, sizeof(Change));

    g_array_set_clear_func(a, change_clear);
    return a;
}

static Node *node_new(void)
{
    Node *n = g_new0(Node, 1);

    g_atomic_ref_count_init(&n->refs);
    n->now = g_byte_array_new();
    n->durable = g_byte_array_new();
    n->pending = changes_new();
    n->shm = g_ptr_array_new_with_free_func(g_free);
    return n;
}

static Node *node_ref(Node *n)
{
    g_atomic_ref_count_inc(&n->refs);
    return n;
}

static void node_unref(gpointer p)
{
    Node *n = p;

    if (n != NULL && g_atomic_ref_count_dec(&n->refs)) {
        g_byte_array_unref(n->now);
        g_byte_array_unref(n->durable);
        g_array_unref(n->pending);
        g_ptr_array_unref(n->shm);
        g_free(n);
    }
}

static void dir_change_free(gpointer p)
{
    DirChange *c = p;

    g_free(c->name);
    node_unref(c->node);
    g_free(c);
}

static void dir_init(Dir *dir)
{
    dir->now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_unref);
    dir->durable = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_unref);
    dir->pending = g_ptr_array_new_with_free_func(dir_change_free);
}

static void dir_done(Dir *dir)
{
    g_hash_table_unref(dir->now);
    g_hash_table_unref(dir->durable);
    g_ptr_array_unref(dir->pending);
}

static void dir_set(GHashTable *names, const char *name, Node *node)
{
    if (node != NULL) {
        g_hash_table_replace(names, g_strdup(name), node_ref(node));
    } else {
        (void)g_hash_table_remove(names, name);
    }
}

static void dir_change(CrashDisk *d, const char *name, Node *node)
{
    DirChange *c = g_new0(DirChange, 1);

    dir_set(d->dir.now, name, node);
    c->name = g_strdup(name);
    c->node = node != NULL ? node_ref(node) : NULL;
    c->when = d->changes;
    g_ptr_array_add(d->dir.pending, c);
}

static void dir_sync(Dir *dir)
{
    for (guint i = 0; i < dir->pending->len; i++) {
        const DirChange *c = g_ptr_array_index(dir->pending, i);

        dir_set(dir->durable, c->name, c->node);
    }
    g_ptr_array_set_size(dir->pending, 0);
}

/* ---- content ----------------------------------------------------------------------------- */

static void resize(GByteArray *a, uint64_t size)
{
    guint old = a->len;

    g_byte_array_set_size(a, (guint)size);
    if (size > old) {
        memset(a->data + old, 0, size - old);
    }
}

static void poke(GByteArray *a, uint64_t at, const uint8_t *data, size_t n)
{
    if (a->len < at + n) {
        resize(a, at + n);
    }
    memcpy(a->data + at, data, n);
}

static void play(GByteArray *a, const Change *c)
{
    if (c->truncates) {
        resize(a, c->at);
    } else {
        gsize n;
        const uint8_t *data = g_bytes_get_data(c->data, &n);

        poke(a, c->at, data, n);
    }
}

/* Each sector that the write touches stays or is lost on its own. */
static void play_torn(GByteArray *a, const Change *c, Prng *prng)
{
    gsize n;
    const uint8_t *data;

    if (c->truncates) {
        if (prng_chance(prng, 1, 2)) {
            resize(a, c->at);
        }
        return;
    }
    data = g_bytes_get_data(c->data, &n);
    for (uint64_t at = c->at; at < c->at + n;) {
        uint64_t end = MIN((at / SECTOR + 1) * SECTOR, c->at + n);

        if (prng_chance(prng, 1, 2)) {
            poke(a, at, data + (at - c->at), end - at);
        }
        at = end;
    }
}

/* ---- faults ------------------------------------------------------------------------------ */

typedef enum Call {
    CALL_OPEN,
    CALL_CREATE,
    CALL_READ,
    CALL_WRITE,
    CALL_TRUNCATE,
    CALL_SYNC,
    CALL_SIZE,
    CALL_DELETE,
    CALL_ACCESS,
    CALL_SHM,
} Call;

static bool fault_applies(FaultKind kind, Call call)
{
    switch (kind) {
    case FAULT_ENOSPC:
        return call == CALL_WRITE || call == CALL_CREATE;
    case FAULT_SHORT:
        return call == CALL_WRITE;
    case FAULT_EIO:
        return true;
    case FAULT_SYNC:
        return call == CALL_SYNC;
    case FAULT_EROFS:
        return call == CALL_WRITE || call == CALL_TRUNCATE || call == CALL_CREATE ||
               call == CALL_DELETE;
    case FAULT_NONE:
    case FAULT_N:
        break;
    }
    return false;
}

static bool changes_disk(Call call)
{
    return call == CALL_WRITE || call == CALL_TRUNCATE || call == CALL_SYNC ||
           call == CALL_DELETE || call == CALL_CREATE;
}

/* Counts the call. FAULT_NONE: goes well; else it must fail. */
static FaultKind count(CrashDisk *d, Call call, bool *ret_stop)
{
    *ret_stop = false;
    d->calls++;
    if (d->stopped) {
        d->last_errno = EIO;
        return FAULT_EIO;
    }
    if (changes_disk(call)) {
        d->changes++;
        if (d->stop_at != 0 && d->changes >= d->stop_at) {
            d->stopped = true;
            d->last_errno = EIO;
            *ret_stop = true;
            return FAULT_EIO;
        }
    }
    if (fault_applies(d->fault, call) && d->fault_in > 0 && --d->fault_in == 0) {
        d->fault_met = true;
        d->fault_length -= d->fault_length != CRASHDISK_LASTING;
        d->fault_in = d->fault_length > 0 ? 1 : 0;
        d->last_errno = d->fault == FAULT_EROFS                               ? EROFS
                        : d->fault == FAULT_ENOSPC || d->fault == FAULT_SHORT ? ENOSPC
                                                                              : EIO;
        return d->fault;
    }
    return FAULT_NONE;
}

static uint64_t used(CrashDisk *d)
{
    GHashTableIter iter;
    gpointer node;
    uint64_t sum = 0;

    g_hash_table_iter_init(&iter, d->dir.now);
    while (g_hash_table_iter_next(&iter, NULL, &node)) {
        sum += ((Node *)node)->now->len;
    }
    return sum;
}

/* ---- SQLite's file calls ----------------------------------------------------------------- */

static CrashFile *crash(sqlite3_file *f)
{
    return (CrashFile *)f;
}

static void release_locks(CrashFile *f)
{
    for (int i = 0; i < SHM_SLOT; i++) {
        if (f->shm_shared & (1u << i)) {
            f->node->shm_shared[i]--;
        }
        if (f->shm_exclusive & (1u << i)) {
            f->node->shm_exclusive[i] = NULL;
        }
    }
    f->shm_shared = 0;
    f->shm_exclusive = 0;
}

/* As SQLite's own: the first to come finds it empty, whatever the last to leave left there. */
static void leave_shm(CrashFile *f)
{
    release_locks(f);
    if (f->shm_mapped && --f->node->shm_users == 0) {
        g_ptr_array_set_size(f->node->shm, 0);
    }
    f->shm_mapped = false;
}

static int unlock_to(CrashFile *f, int level)
{
    Node *n = f->node;

    if (f->level > level) {
        n->exclusive = n->exclusive == f ? NULL : n->exclusive;
        n->reserved = n->reserved == f ? NULL : n->reserved;
        if (level == SQLITE_LOCK_NONE && f->level >= SQLITE_LOCK_SHARED) {
            n->shared--;
        }
        f->level = level;
    }
    return SQLITE_OK;
}

static int cf_close(sqlite3_file *file)
{
    CrashFile *f = crash(file);

    (void)pthread_mutex_lock(&f->disk->lock);
    leave_shm(f);
    (void)unlock_to(f, SQLITE_LOCK_NONE);
    node_unref(f->node);
    (void)pthread_mutex_unlock(&f->disk->lock);
    return SQLITE_OK;
}

static int cf_read(sqlite3_file *file, void *buf, int n, sqlite3_int64 at)
{
    CrashFile *f = crash(file);
    const GByteArray *now = f->node->now;
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&f->disk->lock);
    if (count(f->disk, CALL_READ, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_READ;
    } else {
        uint64_t have = (uint64_t)at < now->len ? MIN((uint64_t)n, now->len - (uint64_t)at) : 0;

        if (have > 0) {
            memcpy(buf, now->data + at, have);
        }
        if (have < (uint64_t)n) {
            memset((char *)buf + have, 0, (size_t)n - have);
            rc = SQLITE_IOERR_SHORT_READ;
        }
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static void write_now(CrashFile *f, const void *buf, size_t n, uint64_t at)
{
    Change c = {.at = at, .data = g_bytes_new(buf, n), .when = f->disk->changes};

    play(f->node->now, &c);
    g_array_append_val(f->node->pending, c);
}

static int cf_write(sqlite3_file *file, const void *buf, int n, sqlite3_int64 at)
{
    CrashFile *f = crash(file);
    CrashDisk *d = f->disk;
    int rc = SQLITE_OK;
    bool stop;
    FaultKind fault;

    (void)pthread_mutex_lock(&d->lock);
    fault = count(d, CALL_WRITE, &stop);
    if (stop) {
        /* It was under way: all of it may be there, or a part, or nothing. */
        write_now(f, buf, (size_t)prng_below(&d->prng, (uint64_t)n + 1), (uint64_t)at);
        rc = SQLITE_IOERR_WRITE;
    } else if (fault == FAULT_SHORT) {
        write_now(f, buf, (size_t)n / 2, (uint64_t)at);
        rc = SQLITE_FULL;
    } else if (fault != FAULT_NONE) {
        rc = fault == FAULT_ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    } else if (d->capacity > 0 && (uint64_t)(at + n) > f->node->now->len &&
               used(d) - f->node->now->len + (uint64_t)(at + n) > d->capacity) {
        d->last_errno = ENOSPC;
        rc = SQLITE_FULL;
    } else {
        write_now(f, buf, (size_t)n, (uint64_t)at);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int cf_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    CrashFile *f = crash(file);
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&f->disk->lock);
    if (count(f->disk, CALL_TRUNCATE, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_TRUNCATE;
    } else {
        Change c = {.truncates = true, .at = (uint64_t)size, .when = f->disk->changes};

        play(f->node->now, &c);
        g_array_append_val(f->node->pending, c);
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static int cf_sync(sqlite3_file *file, int flags)
{
    CrashFile *f = crash(file);
    GArray *pending = f->node->pending;
    FaultKind fault;
    int rc = SQLITE_OK;
    bool stop;

    (void)flags;
    (void)pthread_mutex_lock(&f->disk->lock);
    f->disk->hanging++;
    while (f->disk->hang) {
        (void)pthread_cond_wait(&f->disk->hang_ends, &f->disk->lock);
    }
    f->disk->hanging--;
    fault = count(f->disk, CALL_SYNC, &stop);
    if (fault != FAULT_NONE) {
        rc = SQLITE_IOERR_FSYNC;
        if (fault == FAULT_SYNC) {
            /* The kernel tells once and then takes the pages for clean. */
            g_array_set_size(pending, 0);
        }
    } else {
        for (guint i = 0; i < pending->len; i++) {
            play(f->node->durable, &g_array_index(pending, Change, i));
        }
        g_array_set_size(pending, 0);
        if (f->sync_dir) {
            dir_sync(&f->disk->dir);
            f->sync_dir = false;
        }
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static int cf_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    CrashFile *f = crash(file);
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&f->disk->lock);
    if (count(f->disk, CALL_SIZE, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_FSTAT;
    } else {
        *ret = f->node->now->len;
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static int cf_lock(sqlite3_file *file, int level)
{
    CrashFile *f = crash(file);
    Node *n = f->node;
    int rc = SQLITE_OK;

    (void)pthread_mutex_lock(&f->disk->lock);
    if (f->level < level) {
        if (f->level < SQLITE_LOCK_SHARED) {
            if (n->exclusive != NULL) {
                rc = SQLITE_BUSY;
            } else {
                n->shared++;
                f->level = SQLITE_LOCK_SHARED;
            }
        }
        if (rc == SQLITE_OK && level >= SQLITE_LOCK_RESERVED) {
            if (n->reserved != NULL && n->reserved != f) {
                rc = SQLITE_BUSY;
            } else {
                n->reserved = f;
                f->level = SQLITE_LOCK_RESERVED;
            }
        }
        if (rc == SQLITE_OK && level == SQLITE_LOCK_EXCLUSIVE) {
            if (n->shared > 1) {
                rc = SQLITE_BUSY;
            } else {
                n->exclusive = f;
                f->level = SQLITE_LOCK_EXCLUSIVE;
            }
        }
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static int cf_unlock(sqlite3_file *file, int level)
{
    CrashFile *f = crash(file);

    (void)pthread_mutex_lock(&f->disk->lock);
    (void)unlock_to(f, level);
    (void)pthread_mutex_unlock(&f->disk->lock);
    return SQLITE_OK;
}

static int cf_check_reserved(sqlite3_file *file, int *ret)
{
    CrashFile *f = crash(file);

    (void)pthread_mutex_lock(&f->disk->lock);
    *ret = f->node->reserved != NULL;
    (void)pthread_mutex_unlock(&f->disk->lock);
    return SQLITE_OK;
}

static int cf_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int cf_sector_size(sqlite3_file *file)
{
    (void)file;
    return 4096; /* as SQLite's own */
}

static int cf_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite's own: a torn write hurts no neighbour */
}

static int cf_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    CrashFile *f = crash(file);
    GPtrArray *shm = f->node->shm;
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&f->disk->lock);
    *ret = NULL;
    if (count(f->disk, CALL_SHM, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_SHMMAP;
    } else {
        f->node->shm_users += !f->shm_mapped;
        f->shm_mapped = true;
        while (extend && (int)shm->len <= page) {
            g_ptr_array_add(shm, g_malloc0((gsize)size));
        }
        *ret = (int)shm->len > page ? g_ptr_array_index(shm, page) : NULL;
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static bool shm_conflict(CrashFile *f, int i, bool shared)
{
    const void *owner = f->node->shm_exclusive[i];
    int others = f->node->shm_shared[i] - ((f->shm_shared & (1u << i)) != 0);

    return (owner != NULL && owner != f) || (!shared && others > 0);
}

static void shm_set(CrashFile *f, int i, bool lock, bool shared)
{
    uint32_t bit = 1u << i;

    if (shared && lock && !(f->shm_shared & bit)) {
        f->node->shm_shared[i]++;
        f->shm_shared |= bit;
    } else if (shared && !lock && (f->shm_shared & bit)) {
        f->node->shm_shared[i]--;
        f->shm_shared &= ~bit;
    } else if (!shared) {
        f->node->shm_exclusive[i] = lock ? f : NULL;
        f->shm_exclusive = lock ? f->shm_exclusive | bit : f->shm_exclusive & ~bit;
    }
}

static int cf_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    CrashFile *f = crash(file);
    bool lock = (flags & SQLITE_SHM_LOCK) != 0;
    bool shared = (flags & SQLITE_SHM_SHARED) != 0;
    int rc = SQLITE_OK;

    (void)pthread_mutex_lock(&f->disk->lock);
    for (int i = offset; lock && i < offset + n; i++) {
        rc = shm_conflict(f, i, shared) ? SQLITE_BUSY : rc;
    }
    for (int i = offset; rc == SQLITE_OK && i < offset + n; i++) {
        shm_set(f, i, lock, shared);
    }
    (void)pthread_mutex_unlock(&f->disk->lock);
    return rc;
}

static void cf_shm_barrier(sqlite3_file *file)
{
    CrashFile *f = crash(file);

    (void)pthread_mutex_lock(&f->disk->lock);
    (void)pthread_mutex_unlock(&f->disk->lock);
}

static int cf_shm_unmap(sqlite3_file *file, int remove)
{
    CrashFile *f = crash(file);

    (void)remove; /* what nobody uses is forgotten anyway */
    (void)pthread_mutex_lock(&f->disk->lock);
    leave_shm(f);
    (void)pthread_mutex_unlock(&f->disk->lock);
    return SQLITE_OK;
}

static const sqlite3_io_methods crash_methods = {
    .iVersion = 2,
    .xClose = cf_close,
    .xRead = cf_read,
    .xWrite = cf_write,
    .xTruncate = cf_truncate,
    .xSync = cf_sync,
    .xFileSize = cf_size,
    .xLock = cf_lock,
    .xUnlock = cf_unlock,
    .xCheckReservedLock = cf_check_reserved,
    .xFileControl = cf_control,
    .xSectorSize = cf_sector_size,
    .xDeviceCharacteristics = cf_characteristics,
    .xShmMap = cf_shm_map,
    .xShmLock = cf_shm_lock,
    .xShmBarrier = cf_shm_barrier,
    .xShmUnmap = cf_shm_unmap,
};

/* ---- SQLite's calls on names ------------------------------------------------------------- */

static int cv_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *ret)
{
    CrashDisk *d = v->pAppData;
    CrashFile *f = crash(file);
    Node *node;
    int rc = SQLITE_OK;
    bool stop;

    memset(f, 0, sizeof(*f));
    (void)pthread_mutex_lock(&d->lock);
    node = name != NULL ? g_hash_table_lookup(d->dir.now, name) : NULL;
    if (count(d, node != NULL ? CALL_OPEN : CALL_CREATE, &stop) != FAULT_NONE) {
        rc = SQLITE_CANTOPEN;
    } else if (node == NULL && (flags & SQLITE_OPEN_CREATE) == 0) {
        d->last_errno = ENOENT;
        rc = SQLITE_CANTOPEN;
    } else {
        f->node = node != NULL ? node_ref(node) : node_new();
        if (node == NULL && name != NULL) {
            dir_change(d, name, f->node);
        }
        f->disk = d;
        f->sync_dir = (flags & SQLITE_OPEN_CREATE) != 0 &&
                      (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
        f->file.pMethods = &crash_methods;
        if (ret != NULL) {
            *ret = flags;
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int cv_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
    CrashDisk *d = v->pAppData;
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&d->lock);
    if (!g_hash_table_contains(d->dir.now, name)) {
        d->last_errno = ENOENT;
        rc = SQLITE_IOERR_DELETE_NOENT;
    } else if (count(d, CALL_DELETE, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_DELETE;
    } else {
        dir_change(d, name, NULL);
        if (sync_dir) {
            dir_sync(&d->dir);
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int cv_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    CrashDisk *d = v->pAppData;
    const Node *node;
    int rc = SQLITE_OK;
    bool stop;

    (void)pthread_mutex_lock(&d->lock);
    if (count(d, CALL_ACCESS, &stop) != FAULT_NONE) {
        rc = SQLITE_IOERR_ACCESS;
    } else {
        node = g_hash_table_lookup(d->dir.now, name);
        /* As SQLite's own VFS: an empty file does not count as existing. */
        *ret = node != NULL && (flags != SQLITE_ACCESS_EXISTS || node->now->len > 0);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int cv_full_pathname(sqlite3_vfs *v, const char *name, int n, char *ret)
{
    (void)v;
    return g_strlcpy(ret, name, (gsize)n) < (gsize)n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int cv_randomness(sqlite3_vfs *v, int n, char *ret)
{
    (void)v;
    memset(ret, 0x5a, (size_t)n);
    return n;
}

static int cv_sleep(sqlite3_vfs *v, int us)
{
    (void)v;
    return us; /* waiting for a lock of this process would be waiting for ever */
}

static int cv_current_time(sqlite3_vfs *v, double *ret)
{
    (void)v;
    *ret = 2460000.5;
    return SQLITE_OK;
}

static int cv_current_time64(sqlite3_vfs *v, sqlite3_int64 *ret)
{
    (void)v;
    *ret = INT64_C(212544043200000);
    return SQLITE_OK;
}

static int cv_last_error(sqlite3_vfs *v, int n, char *ret)
{
    (void)n;
    (void)ret;
    return ((CrashDisk *)v->pAppData)->last_errno;
}

CrashDisk *crashdisk_new(const char *vfs_name)
{
    CrashDisk *d = g_new0(CrashDisk, 1);

    d->name = g_strdup(vfs_name);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_cond_init(&d->hang_ends, NULL);
    dir_init(&d->dir);
    prng_init(&d->prng, 1);
    d->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(CrashFile),
        .mxPathname = 512,
        .zName = d->name,
        .pAppData = d,
        .xOpen = cv_open,
        .xDelete = cv_delete,
        .xAccess = cv_access,
        .xFullPathname = cv_full_pathname,
        .xRandomness = cv_randomness,
        .xSleep = cv_sleep,
        .xCurrentTime = cv_current_time,
        .xGetLastError = cv_last_error,
        .xCurrentTimeInt64 = cv_current_time64,
    };
    g_assert(sqlite3_vfs_register(&d->vfs, 0) == SQLITE_OK);
    return d;
}

void crashdisk_free(CrashDisk *d)
{
    g_assert(sqlite3_vfs_unregister(&d->vfs) == SQLITE_OK);
    dir_done(&d->dir);
    (void)pthread_cond_destroy(&d->hang_ends);
    (void)pthread_mutex_destroy(&d->lock);
    g_free(d->name);
    g_free(d);
}

/* ---- control ----------------------------------------------------------------------------- */

uint64_t crashdisk_changes(CrashDisk *d)
{
    uint64_t n;

    (void)pthread_mutex_lock(&d->lock);
    n = d->changes;
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

uint64_t crashdisk_calls(CrashDisk *d)
{
    uint64_t n;

    (void)pthread_mutex_lock(&d->lock);
    n = d->calls;
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

void crashdisk_stop_at(CrashDisk *d, uint64_t n)
{
    (void)pthread_mutex_lock(&d->lock);
    d->stop_at = n;
    (void)pthread_mutex_unlock(&d->lock);
}

bool crashdisk_stopped(CrashDisk *d)
{
    bool stopped;

    (void)pthread_mutex_lock(&d->lock);
    stopped = d->stopped;
    (void)pthread_mutex_unlock(&d->lock);
    return stopped;
}

void crashdisk_fault(CrashDisk *d, FaultKind kind, uint64_t n, uint64_t length)
{
    (void)pthread_mutex_lock(&d->lock);
    d->fault = kind;
    d->fault_in = n;
    d->fault_length = length;
    d->fault_met = kind == FAULT_NONE && d->fault_met; /* a repair does not forget */
    (void)pthread_mutex_unlock(&d->lock);
}

bool crashdisk_fault_met(CrashDisk *d)
{
    bool met;

    (void)pthread_mutex_lock(&d->lock);
    met = d->fault_met;
    (void)pthread_mutex_unlock(&d->lock);
    return met;
}

void crashdisk_hang(CrashDisk *d, bool hang)
{
    (void)pthread_mutex_lock(&d->lock);
    d->hang = hang;
    (void)pthread_cond_broadcast(&d->hang_ends);
    (void)pthread_mutex_unlock(&d->lock);
}

unsigned crashdisk_hanging(CrashDisk *d)
{
    unsigned n;

    (void)pthread_mutex_lock(&d->lock);
    n = d->hanging;
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

void crashdisk_set_capacity(CrashDisk *d, uint64_t bytes)
{
    (void)pthread_mutex_lock(&d->lock);
    d->capacity = bytes;
    (void)pthread_mutex_unlock(&d->lock);
}

uint64_t crashdisk_used(CrashDisk *d)
{
    uint64_t n;

    (void)pthread_mutex_lock(&d->lock);
    n = used(d);
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

void crashdisk_format(CrashDisk *d)
{
    (void)pthread_mutex_lock(&d->lock);
    dir_done(&d->dir);
    dir_init(&d->dir);
    (void)pthread_mutex_unlock(&d->lock);
}

GBytes *crashdisk_get(CrashDisk *d, const char *name)
{
    const Node *node;
    GBytes *bytes = NULL;

    (void)pthread_mutex_lock(&d->lock);
    node = g_hash_table_lookup(d->dir.now, name);
    if (node != NULL) {
        bytes = g_bytes_new(node->now->data, node->now->len);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return bytes;
}

void crashdisk_put(CrashDisk *d, const char *name, GBytes *content)
{
    Node *node = node_new();
    gsize n;
    const void *data = g_bytes_get_data(content, &n);

    (void)pthread_mutex_lock(&d->lock);
    if (n > 0) {
        g_byte_array_append(node->now, data, (guint)n);
        g_byte_array_append(node->durable, data, (guint)n);
    }
    dir_set(d->dir.now, name, node);
    dir_set(d->dir.durable, name, node);
    (void)pthread_mutex_unlock(&d->lock);
    node_unref(node);
}

/* ---- crash and restart ------------------------------------------------------------------- */

static Node *node_copy(const Node *from)
{
    Node *n = node_new();

    g_byte_array_append(n->now, from->now->data, from->now->len);
    g_byte_array_append(n->durable, from->durable->data, from->durable->len);
    for (guint i = 0; i < from->pending->len; i++) {
        Change c = g_array_index(from->pending, Change, i);

        c.data = c.data != NULL ? g_bytes_ref(c.data) : NULL;
        g_array_append_val(n->pending, c);
    }
    return n;
}

/* The copy of a node, the same one however often it is named. */
static Node *copied(GHashTable *copies, Node *node)
{
    Node *copy;

    if (node == NULL) {
        return NULL;
    }
    copy = g_hash_table_lookup(copies, node);
    if (copy == NULL) {
        copy = node_copy(node);
        g_hash_table_insert(copies, node, copy);
    }
    return copy;
}

static void copy_names(GHashTable *from, GHashTable *to, GHashTable *copies)
{
    GHashTableIter iter;
    gpointer name;
    gpointer node;

    g_hash_table_iter_init(&iter, from);
    while (g_hash_table_iter_next(&iter, &name, &node)) {
        dir_set(to, name, copied(copies, node));
    }
}

static void dir_copy(const Dir *from, Dir *to)
{
    g_autoptr(GHashTable) copies = g_hash_table_new_full(NULL, NULL, NULL, node_unref);

    dir_init(to);
    copy_names(from->now, to->now, copies);
    copy_names(from->durable, to->durable, copies);
    for (guint i = 0; i < from->pending->len; i++) {
        const DirChange *c = g_ptr_array_index(from->pending, i);
        DirChange *copy = g_new0(DirChange, 1);
        Node *node = copied(copies, c->node);

        *copy = (DirChange){g_strdup(c->name), node != NULL ? node_ref(node) : NULL, c->when};
        g_ptr_array_add(to->pending, copy);
    }
}

CrashState *crashdisk_save(CrashDisk *d)
{
    CrashState *s = g_new0(CrashState, 1);

    (void)pthread_mutex_lock(&d->lock);
    dir_copy(&d->dir, &s->dir);
    s->changes = d->changes;
    (void)pthread_mutex_unlock(&d->lock);
    return s;
}

void crashdisk_load(CrashDisk *d, const CrashState *s)
{
    (void)pthread_mutex_lock(&d->lock);
    dir_done(&d->dir);
    dir_copy(&s->dir, &d->dir);
    d->changes = s->changes;
    (void)pthread_mutex_unlock(&d->lock);
}

void crashdisk_state_free(CrashState *s)
{
    dir_done(&s->dir);
    g_free(s);
}

typedef struct Survival {
    CrashKind kind;
    Prng prng;
    uint64_t until; /* POWER_TAIL: changes before this one survive */
} Survival;

static void settle_node(Node *n, Survival *s)
{
    GByteArray *content = n->durable;

    if (s->kind == CRASH_KILL) {
        content = n->now;
    }
    for (guint i = 0; s->kind != CRASH_KILL && i < n->pending->len; i++) {
        const Change *c = &g_array_index(n->pending, Change, i);

        if (s->kind == CRASH_POWER_TORN) {
            play_torn(content, c, &s->prng);
        } else if (s->kind == CRASH_POWER_ALL ||
                   (s->kind == CRASH_POWER_TAIL && c->when < s->until)) {
            play(content, c);
        }
    }
    if (content == n->now) {
        g_byte_array_set_size(n->durable, 0);
        g_byte_array_append(n->durable, n->now->data, n->now->len);
    } else {
        g_byte_array_set_size(n->now, 0);
        g_byte_array_append(n->now, n->durable->data, n->durable->len);
    }
    g_array_set_size(n->pending, 0);
    n->shared = 0;
    n->reserved = NULL;
    n->exclusive = NULL;
    g_ptr_array_set_size(n->shm, 0);
    n->shm_users = 0;
    memset(n->shm_shared, 0, sizeof(n->shm_shared));
    memset(n->shm_exclusive, 0, sizeof(n->shm_exclusive));
}

static bool dir_change_survives(const DirChange *c, Survival *s)
{
    switch (s->kind) {
    case CRASH_KILL:
    case CRASH_POWER_ALL:
        return true;
    case CRASH_POWER_TORN:
        return prng_chance(&s->prng, 1, 2);
    case CRASH_POWER_TAIL:
        return c->when < s->until;
    case CRASH_POWER_NONE:
    case CRASH_N:
        break;
    }
    return false;
}

void crashdisk_restart(CrashDisk *d, CrashKind kind, uint64_t seed)
{
    Survival s = {.kind = kind};
    GHashTableIter iter;
    gpointer name;
    gpointer node;
    uint64_t lost;

    prng_init(&s.prng, seed);
    lost = prng_below(&s.prng, 40);
    (void)pthread_mutex_lock(&d->lock);
    s.until = d->changes > lost ? d->changes - lost : 0;
    for (guint i = 0; i < d->dir.pending->len; i++) {
        const DirChange *c = g_ptr_array_index(d->dir.pending, i);

        if (dir_change_survives(c, &s)) {
            dir_set(d->dir.durable, c->name, c->node);
        }
    }
    g_ptr_array_set_size(d->dir.pending, 0);
    g_hash_table_remove_all(d->dir.now);
    g_hash_table_iter_init(&iter, d->dir.durable);
    while (g_hash_table_iter_next(&iter, &name, &node)) {
        dir_set(d->dir.now, name, node);
        settle_node(node, &s);
    }
    d->stopped = false;
    d->stop_at = 0;
    d->fault = FAULT_NONE;
    (void)pthread_mutex_unlock(&d->lock);
}
