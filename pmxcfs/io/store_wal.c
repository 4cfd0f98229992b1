/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_ALIGN 4096 /* what any device asks for */
#define ROOM_FIRST   (64 * 1024)
/* SQLite never writes more than a page at once, and its own VFS takes no 128 KiB. */
#define BASE_WRITE_MAX ((size_t)64 * 1024)

G_STATIC_ASSERT(STORE_WAL_HELD_MAX % STORE_WAL_SECTOR == 0);

static size_t round_up(size_t size)
{
    return (size + STORE_WAL_SECTOR - 1) / STORE_WAL_SECTOR * STORE_WAL_SECTOR;
}

void store_wal_init(StoreWal *w, sqlite3_file *base, const char *name, _Atomic uint64_t *written)
{
    *w = (StoreWal){.base = base, .direct = -1, .written = written};
    store_wal_forget(w);
    if (name != NULL) {
        /* Where this fails, the page cache has to do. */
        w->direct = open(name, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
    }
}

void store_wal_done(StoreWal *w)
{
    if (w->direct >= 0) {
        (void)close(w->direct); /* nothing is cached behind it */
    }
    w->direct = -1;
    free(w->held);
    w->held = NULL;
    w->room = w->size = w->clean = 0;
}

void store_wal_forget(StoreWal *w)
{
    if (w->clean == w->size) {
        w->size = w->clean = 0;
    }
    w->highest = 0;
    if (w->base->pMethods->xFileSize(w->base, &w->length) != SQLITE_OK) {
        w->length = INT64_MAX; /* does not grow by steps then */
    }
}

/* ---- the file ---------------------------------------------------------------------------- */

static int write_base(StoreWal *w, const uint8_t *data, size_t size, sqlite3_int64 at)
{
    int rc = SQLITE_OK;

    w->error = 0;
    atomic_fetch_add(w->written, size);
    for (size_t done = 0; rc == SQLITE_OK && done < size; done += BASE_WRITE_MAX) {
        rc = w->base->pMethods->xWrite(w->base, data + done, (int)MIN(size - done, BASE_WRITE_MAX),
                                       at + (sqlite3_int64)done);
    }
    w->length = rc == SQLITE_OK ? MAX(w->length, at + (sqlite3_int64)size) : w->length;
    return rc;
}

/* -EINVAL, -EOPNOTSUPP: it cannot be written so, here. */
static int write_direct(StoreWal *w, const uint8_t *data, size_t size, sqlite3_int64 at)
{
    while (size > 0) {
        ssize_t n = pwrite(w->direct, data, size, at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || n % STORE_WAL_SECTOR != 0) {
            return n < 0 ? -errno : n == 0 ? -ENOSPC : -EINVAL;
        }
        atomic_fetch_add(w->written, (uint64_t)n);
        data += n;
        size -= (size_t)n;
        at += n;
        w->length = MAX(w->length, at);
    }
    return 0;
}

static int write_sectors(StoreWal *w, const uint8_t *data, size_t size, sqlite3_int64 at)
{
    int r = w->direct >= 0 ? write_direct(w, data, size, at) : -EINVAL;

    if (r == -EINVAL || r == -EOPNOTSUPP) {
        if (w->direct >= 0) {
            (void)close(w->direct); /* nothing is cached behind it */
            w->direct = -1;
        }
        return write_base(w, data, size, at);
    }
    w->error = -r;
    return r == 0 ? SQLITE_OK : r == -ENOSPC || r == -EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

/* Behind what was just written, up to the next step. What does not work here was not asked for. */
static void grow(StoreWal *w)
{
    static const uint8_t zeros[BASE_WRITE_MAX] __attribute__((aligned(MEMORY_ALIGN)));
    sqlite3_int64 step = w->length < STORE_WAL_GROWTH ? STORE_WAL_GROWTH_1 : STORE_WAL_GROWTH;
    sqlite3_int64 end = (w->length + step - 1) / step * step;
    int rc = SQLITE_OK;

    while (rc == SQLITE_OK && w->length < end) {
        size_t size = (size_t)MIN(end - w->length, (sqlite3_int64)sizeof zeros);

        rc = write_sectors(w, zeros, size, w->length);
    }
    w->error = 0;
}

/* ---- what is held ------------------------------------------------------------------------ */

static int make_room(StoreWal *w, size_t size)
{
    size_t room = MAX(w->room, ROOM_FIRST);
    void *held = NULL;

    if (size <= w->room) {
        return SQLITE_OK;
    }
    while (room < size) {
        room *= 2;
    }
    if (posix_memalign(&held, MEMORY_ALIGN, room) != 0) {
        return SQLITE_NOMEM;
    }
    if (w->size > 0) {
        memcpy(held, w->held, w->size);
    }
    free(w->held);
    w->held = held;
    w->room = room;
    return SQLITE_OK;
}

static int put(StoreWal *w, const void *data, size_t size, sqlite3_int64 at)
{
    size_t from = (size_t)(at - w->at);
    int rc = make_room(w, round_up(from + size));

    if (rc != SQLITE_OK) {
        return rc;
    }
    memcpy(w->held + from, data, size);
    w->size = MAX(w->size, from + size);
    w->clean = MIN(w->clean, from);
    w->highest = MAX(w->highest, at + (sqlite3_int64)size);
    return w->size >= STORE_WAL_HELD_MAX ? store_wal_flush(w) : SQLITE_OK;
}

/* A new stretch that is to go on at `at`: with what the file has before that in the same sector. */
static int begin(StoreWal *w, sqlite3_int64 at)
{
    size_t head = (size_t)(at % STORE_WAL_SECTOR);
    int rc = make_room(w, STORE_WAL_SECTOR);

    w->size = w->clean = 0;
    w->at = at - (sqlite3_int64)head;
    if (rc == SQLITE_OK && head > 0) {
        w->error = 0;
        rc = w->base->pMethods->xRead(w->base, w->held, (int)head, w->at);
        rc = rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc; /* the rest was set to zero */
    }
    if (rc == SQLITE_OK) {
        w->size = w->clean = head;
    }
    return rc;
}

int store_wal_write(StoreWal *w, const void *data, size_t size, sqlite3_int64 at)
{
    bool inside = w->size > 0 && at >= w->at && at <= w->at + (sqlite3_int64)w->size;
    int rc;

    if (at == 0) {
        /* The header: the WAL begins anew, and nothing of before is alive. */
        w->size = w->clean = 0;
        w->highest = 0;
    } else if (inside) {
        return put(w, data, size, at);
    }
    rc = store_wal_flush(w);
    w->size = w->clean = 0;
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (at < w->highest) {
        w->highest = MAX(w->highest, at + (sqlite3_int64)size);
        return write_base(w, data, size, at); /* what follows there must stay as it is */
    }
    rc = begin(w, at);
    return rc == SQLITE_OK ? put(w, data, size, at) : rc;
}

int store_wal_flush(StoreWal *w)
{
    size_t from = w->clean / STORE_WAL_SECTOR * STORE_WAL_SECTOR;
    size_t end = round_up(w->size);
    size_t tail = w->size / STORE_WAL_SECTOR * STORE_WAL_SECTOR;
    bool longer = w->at + (sqlite3_int64)end > w->length;
    int rc;

    if (w->clean == w->size) {
        return SQLITE_OK;
    }
    /* Behind the end of the WAL nothing is alive. */
    memset(w->held + w->size, 0, end - w->size);
    rc = write_sectors(w, w->held + from, end - from, w->at + (sqlite3_int64)from);
    if (rc != SQLITE_OK) {
        w->size = w->clean = 0;
        return rc;
    }
    if (longer) {
        grow(w);
    }
    /* The last sector, if it is not full, begins the next stretch. */
    memmove(w->held, w->held + tail, w->size - tail);
    w->at += (sqlite3_int64)tail;
    w->size -= tail;
    w->clean = w->size;
    return SQLITE_OK;
}
