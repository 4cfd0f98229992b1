/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store_file.h"

#include "pmxcfs/io/store.h"
#include "pmxcfs/io/store_db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BUFFER_BYTES (256u * 1024u)
#define REASON_MAX        48u /* characters of a reason in a file name */
#define NAME_TRIES_MAX    1000

static const char *const companions[] = {"-wal", "-shm", "-journal"};

static int fail(Err *err, const char *what, const char *path)
{
    int code = -errno;

    return err_setf(err, code, "%s %s: %s", what, path, g_strerror(-code));
}

int store_file_sync_dir(const char *path, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0) {
        return fail(err, "cannot open directory", dir);
    }
    if (fsync(fd) < 0 && errno != EINVAL) { /* EINVAL: this file system has nothing to sync */
        rc = fail(err, "cannot sync directory", dir);
    }
    (void)close(fd); /* opened for reading: nothing can be lost */
    return rc;
}

int store_file_rename_new(const char *from, const char *to, Err *err)
{
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

    if (rc < 0 && (errno == EINVAL || errno == ENOSYS)) {
        /* A file system without this flag. A link is as exclusive. */
        rc = link(from, to);
        if (rc == 0) {
            rc = unlink(from);
        }
    }
    return rc < 0 ? fail(err, "cannot rename", from) : 0;
}

/* ---- moving aside ------------------------------------------------------------------------ */

static char *stamped_name(const char *path, const char *word, const char *reason, unsigned try)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *stamp = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    g_autofree char *why = g_strndup(reason, REASON_MAX);

    g_strcanon(why, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-", '-');
    return try == 0 ? g_strdup_printf("%s.%s-%s-%s", path, word, stamp, why)
                    : g_strdup_printf("%s.%s-%s-%s-%u", path, word, stamp, why, try);
}

typedef int (*PlaceFn)(const char *from, const char *to, Err *err);

/* Renames or copies `path` to the first free name, without its companions. */
static int place_at_free_name(
    PlaceFn place, const char *path, const char *word, const char *reason, char **ret, Err *err)
{
    for (unsigned try = 0; try < NAME_TRIES_MAX; try++) {
        g_autofree char *to = stamped_name(path, word, reason, try);
        int rc = place(path, to, err);

        if (rc == 0) {
            *ret = g_steal_pointer(&to);
            return 0;
        }
        if (rc != -EEXIST) {
            return rc;
        }
    }
    return err_setf(err, -EEXIST, "no free name beside %s", path);
}

/* The database first: without it the WAL cannot be taken for that of a healthy database, and a
 * crash right here leaves a WAL alone, which the next store_open moves aside as well. */
static int place_all(
    PlaceFn place, const char *path, const char *word, const char *reason, char **ret, Err *err)
{
    g_autofree char *to = NULL;
    int rc = place_at_free_name(place, path, word, reason, &to, err);

    for (size_t i = 0; rc == 0 && i < G_N_ELEMENTS(companions); i++) {
        g_autofree char *side = g_strconcat(path, companions[i], NULL);
        g_autofree char *side_to = g_strconcat(to, companions[i], NULL);
        Err missing = ERR_INIT;
        int side_rc = place(side, side_to, &missing);

        if (side_rc < 0 && side_rc != -ENOENT) {
            rc = err_setf(err, side_rc, "%s", missing.text);
        }
    }
    if (rc == 0) {
        rc = store_file_sync_dir(path, err);
    }
    if (rc == 0 && ret != NULL) {
        *ret = g_steal_pointer(&to);
    }
    return rc;
}

int store_file_keep(
    const char *path, const char *word, const char *reason, char **ret_name, Err *err)
{
    return place_all(store_file_rename_new, path, word, reason, ret_name, err);
}

int store_file_back_up(const char *path, const char *reason, char **ret_name, Err *err)
{
    return place_all(store_file_copy, path, "backup", reason, ret_name, err);
}

int store_set_aside(const char *path, const char *reason, char **ret_name, Err *err)
{
    return store_file_keep(path, "damaged", reason, ret_name, err);
}

/* ---- locking ----------------------------------------------------------------------------- */

/* A WAL whose database is gone holds the newest changes of something: SQLite would throw it away.
 */
static int move_strays_aside(const char *path, Err *err)
{
    static const char *const with_content[] = {"-wal", "-journal"};
    struct stat st;

    if (lstat(path, &st) == 0 && st.st_size > 0) {
        return 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(with_content); i++) {
        g_autofree char *side = g_strconcat(path, with_content[i], NULL);

        if (lstat(side, &st) == 0 && st.st_size > 0) {
            g_autofree char *to = NULL;
            int rc = place_at_free_name(store_file_rename_new, side, "damaged", "without-database",
                                        &to, err);

            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int make_private(int fd, const char *path, Err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)) {
        return fail(err, "cannot set mode 0600 of", path);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(companions); i++) {
        g_autofree char *side = g_strconcat(path, companions[i], NULL);
        int side_fd = open(side, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        int rc = 0;

        if (side_fd < 0) {
            if (errno != ENOENT) {
                return fail(err, "cannot open", side);
            }
            continue;
        }
        if (fchmod(side_fd, 0600) < 0) {
            rc = fail(err, "cannot set mode 0600 of", side);
        }
        (void)close(side_fd); /* opened for reading: nothing can be lost */
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_file(int fd, const char *path, Err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return fail(err, "cannot look at", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_setf(err, -EINVAL, "not a regular file");
    }
    if ((uint64_t)st.st_size > STORE_FILE_SIZE_MAX) {
        return err_setf(err, -EFBIG, "the file is larger than %" G_GUINT64_FORMAT " bytes",
                        STORE_FILE_SIZE_MAX);
    }
    return 0;
}

static int open_file(const char *path, bool writable, bool *ret_created)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd;

    *ret_created = false;
    if (!writable) {
        return open(path, flags | O_RDONLY);
    }
    fd = open(path, flags | O_RDWR);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
        *ret_created = fd >= 0;
    }
    return fd;
}

int store_file_lock(const char *path, bool writable, int *ret_fd, bool *ret_created, Err *err)
{
    bool created = false;
    int rc = writable ? move_strays_aside(path, err) : 0;
    int fd;

    if (rc < 0) {
        return rc;
    }
    fd = open_file(path, writable, &created);
    if (fd < 0) {
        return fail(err, "cannot open", path);
    }
    rc = check_file(fd, path, err);
    if (rc == 0 && flock(fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? err_setf(err, -EBUSY, "in use by another process")
                                  : fail(err, "cannot lock", path);
    }
    if (rc == 0 && writable) {
        rc = make_private(fd, path, err);
    }
    if (rc < 0) {
        (void)close(fd); /* nothing was written through it */
        return rc;
    }
    *ret_fd = fd;
    if (ret_created != NULL) {
        *ret_created = created;
    }
    return 0;
}

/* ---- copies ------------------------------------------------------------------------------ */

bool store_file_has_leftovers(const char *path)
{
    static const char *const with_content[] = {"-wal", "-journal"};
    struct stat st;

    for (size_t i = 0; i < G_N_ELEMENTS(with_content); i++) {
        g_autofree char *side = g_strconcat(path, with_content[i], NULL);

        if (lstat(side, &st) == 0 && st.st_size > 0) {
            return true;
        }
    }
    return false;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static int copy_content(int from, int to)
{
    g_autofree char *buf = g_malloc(COPY_BUFFER_BYTES);

    for (;;) {
        ssize_t n = read(from, buf, COPY_BUFFER_BYTES);
        int rc;

        if (n == 0) {
            return fsync(to) < 0 ? -errno : 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        rc = n < 0 ? -errno : write_all(to, buf, (size_t)n);
        if (rc < 0) {
            return rc;
        }
    }
}

int store_file_copy(const char *from, const char *to, Err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int out;
    int rc;

    if (in < 0) {
        return fail(err, "cannot open", from);
    }
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out < 0) {
        rc = fail(err, "cannot create", to);
        (void)close(in); /* opened for reading: nothing can be lost */
        return rc;
    }
    rc = copy_content(in, out);
    (void)close(in); /* opened for reading: nothing can be lost */
    if (close(out) < 0 && rc == 0) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)unlink(to); /* half a copy is worse than none; its own failure changes nothing here */
        return err_setf(err, rc, "cannot copy %s to %s: %s", from, to, g_strerror(-rc));
    }
    return 0;
}

int store_file_private_copy(const char *path, char **ret_dir, char **ret_path, Err *err)
{
    static const char *const parts[] = {"", "-wal", "-journal"};
    g_autofree char *dir = g_build_filename(g_get_tmp_dir(), "pmxcfs-db-XXXXXX", NULL);
    g_autofree char *base = NULL;
    int rc = 0;

    if (g_mkdtemp(dir) == NULL) { /* mode 0700 */
        return fail(err, "cannot make a directory below", g_get_tmp_dir());
    }
    base = g_build_filename(dir, "config.db", NULL);
    for (size_t i = 0; rc == 0 && i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *from = g_strconcat(path, parts[i], NULL);
        g_autofree char *to = g_strconcat(base, parts[i], NULL);

        if (i == 0 || access(from, F_OK) == 0) {
            rc = store_file_copy(from, to, err);
        }
    }
    if (rc < 0) {
        store_file_remove_copy(dir);
        return rc;
    }
    *ret_dir = g_steal_pointer(&dir);
    *ret_path = g_steal_pointer(&base);
    return 0;
}

/* Best effort: what stays is in a private directory below the temporary one. */
void store_file_remove_copy(const char *dir)
{
    static const char *const names[] = {"config.db", "config.db-wal", "config.db-shm",
                                        "config.db-journal"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        (void)unlink(path);
    }
    (void)rmdir(dir);
}

/* ---- a tree as a database of its own ----------------------------------------------------- */

static int by_inode(gconstpointer a, gconstpointer b)
{
    const StoreRow *x = a;
    const StoreRow *y = b;

    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* One batch in ascending order: every page is written once, at the end of the file. */
static int write_tree(const char *path, GPtrArray *entries, const MemdbRoot *root, Err *err)
{
    StoreDbOptions opt = {.synced = true};
    g_auto(StoreBatch) batch;
    StoreDb *db = NULL;
    bool fresh;
    int rc;
    int closed;

    store_batch_init(&batch);
    for (guint i = 0; i < entries->len; i++) {
        const Entry *e = g_ptr_array_index(entries, i);
        StoreRow row = {
            .inode = e->inode, .after = e, .fresh_bytes = e->data != NULL ? e->size : 0};

        if (e->inode != 0) { /* the synthesised root: it is row 0 already */
            g_array_append_val(batch.rows, row);
            batch.fresh_bytes += row.fresh_bytes;
        }
    }
    g_array_sort(batch.rows, by_inode);
    batch.has_root = true;
    batch.root = *root;
    rc = store_db_open(path, &opt, &db, &fresh, err);
    if (rc < 0) {
        return rc;
    }
    rc = store_db_write(db, &batch, err);
    closed = store_db_close(db, rc == 0 ? err : NULL);
    return rc < 0 ? rc : closed;
}

int store_save_tree(
    const char *dir, const char *name, GPtrArray *entries, const MemdbRoot *root, Err *err)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *temp = g_strdup_printf("%s/.%s.XXXXXX", dir, name);
    int fd;
    int rc;

    if (access(path, F_OK) == 0) {
        return err_setf(err, -EEXIST, "%s exists", path);
    }
    fd = g_mkstemp_full(temp, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(err, "cannot create a file like", temp);
    }
    (void)close(fd); /* empty: nothing can be lost */
    rc = write_tree(temp, entries, root, err);
    if (rc == 0) {
        rc = store_file_rename_new(temp, path, err);
    }
    if (rc < 0) {
        for (size_t i = 0; i < G_N_ELEMENTS(companions); i++) {
            g_autofree char *side = g_strconcat(temp, companions[i], NULL);

            (void)unlink(side); /* may not be there */
        }
        (void)unlink(temp); /* unfinished */
        return err_wrapf(err, rc, "cannot save the tree to %s", path);
    }
    return store_file_sync_dir(path, err);
}
