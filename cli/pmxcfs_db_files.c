/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs-db files: trees as plain directories. Written and read relative to open directories and
 * without following a symlink, since a database may hold any name, and whoever can write into the
 * directory that is read must not make root read something else.
 */
#include "cli/pmxcfs_db.h"

#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INO       G_GUINT64_FORMAT
#define LOST_NAME "lost+found"

/* Longest name that file systems take; the tree takes longer ones. */
#define DISK_NAME_MAX 255

static int fail_at(Err *err, const char *what, const char *path)
{
    int code = -errno;

    return err_setf(err, code, "%s %s: %s", what, path, g_strerror(-code));
}

/* ---- writing ----------------------------------------------------------------------------- */

static int write_content(int fd, const Entry *e)
{
    gsize size = 0;
    const char *data = e->data != NULL ? g_bytes_get_data(e->data, &size) : NULL;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = e->mtime}};

    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        data += MAX(n, 0);
        size -= (gsize)MAX(n, 0);
    }
    (void)futimens(fd, times); /* the content is what matters */
    return 0;
}

static int write_file(int dir, const char *name, const Entry *e, Err *err)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0) {
        return fail_at(err, "cannot create", name);
    }
    rc = write_content(fd, e);
    if (close(fd) < 0 && rc == 0) {
        rc = -errno;
    }
    return rc < 0 ? err_setf(err, rc, "cannot write %s: %s", name, g_strerror(-rc)) : 0;
}

static int make_dir(int dir, const char *name, int *ret_fd, Err *err)
{
    if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST) {
        return fail_at(err, "cannot make directory", name);
    }
    *ret_fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? fail_at(err, "cannot open directory", name) : 0;
}

/* Makes the directories of `path` below `dir`; the last component stays for the caller. */
static int open_parent(int dir, const char *path, int *ret_fd, const char **ret_name, Err *err)
{
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    int rc = fd < 0 ? fail_at(err, "cannot open directory of", path) : 0;
    const char *end;

    while (rc == 0 && (end = strchr(path, '/')) != NULL) {
        g_autofree char *name = g_strndup(path, (gsize)(end - path));
        int next = -1;

        rc = make_dir(fd, name, &next, err);
        (void)close(fd); /* opened for reading: nothing can be lost */
        fd = next;
        path = end + 1;
    }
    if (rc == 0) {
        *ret_fd = fd;
        *ret_name = path;
    }
    return rc;
}

/* The path with too long names cut, and told apart by their hash. */
static char *disk_path(const char *path)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    for (gsize i = 0; names[i] != NULL; i++) {
        g_string_append(out, i > 0 ? "/" : "");
        if (strlen(names[i]) <= DISK_NAME_MAX) {
            g_string_append(out, names[i]);
        } else {
            g_string_append_printf(out, "%.200s~%08x", names[i], g_str_hash(names[i]));
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void note_long_names(DbSalvage *s, const GPtrArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        const Entry *e = g_ptr_array_index(entries, i);

        if (strlen(e->name) > DISK_NAME_MAX) {
            db_note(s, "inode %" INO ": name of %zu bytes is cut in the copy", e->inode,
                    strlen(e->name));
        }
    }
}

static int write_entry(int dir, const char *path, const Entry *e, Err *err)
{
    g_autofree char *fitting = disk_path(path);
    const char *name = NULL;
    int parent = -1;
    int made = -1;
    int rc = open_parent(dir, fitting, &parent, &name, err);

    if (rc == 0 && e->type == ENTRY_DIR) {
        rc = make_dir(parent, name, &made, err);
    } else if (rc == 0) {
        rc = write_file(parent, name, e, err);
    }
    if (made >= 0) {
        (void)close(made); /* opened for reading: nothing can be lost */
    }
    if (parent >= 0) {
        (void)close(parent);
    }
    return rc;
}

typedef struct Export {
    int dir;
    char **paths;
    bool *used; /* per path: did it lead to something? */
    bool has_lost_name;
    guint files;
    int rc;
    Err *err;
} Export;

static bool wanted(Export *x, const char *path)
{
    bool any = x->paths == NULL || x->paths[0] == NULL;

    for (gsize i = 0; !any && x->paths[i] != NULL; i++) {
        gsize n = strlen(x->paths[i]);

        if (strncmp(path, x->paths[i], n) == 0 && (path[n] == '\0' || path[n] == '/')) {
            x->used[i] = true;
            return true;
        }
    }
    return any;
}

static void export_visit(void *ctx, const char *path, Entry *e)
{
    Export *x = ctx;

    x->has_lost_name = x->has_lost_name || strcmp(path, LOST_NAME) == 0;
    if (x->rc == 0 && wanted(x, path)) {
        x->rc = write_entry(x->dir, path, e, x->err);
        x->files += e->type == ENTRY_FILE;
    }
}

/* Where a lost entry goes: below the uppermost directory of its kind that is lost too. NULL when
 * that is a loop or deeper than any path. */
static char *lost_path(GHashTable *by_inode, const Entry *e)
{
    g_autoptr(GString) path = g_string_new(e->name);
    const Entry *top = e;
    const Entry *up;

    while ((up = g_hash_table_lookup(by_inode, &top->parent)) != NULL && up->type == ENTRY_DIR) {
        g_string_prepend_c(path, '/');
        g_string_prepend(path, up->name);
        top = up;
        if (path->len > CFS_PATH_MAX) {
            return NULL;
        }
    }
    return g_strdup_printf("inode-%" INO "-%s", top->inode, path->str);
}

static int write_lost(int dir, const DbSalvage *s, Err *err)
{
    g_autoptr(GHashTable) by_inode = g_hash_table_new(g_int64_hash, g_int64_equal);
    int rc = 0;

    for (guint i = 0; i < s->lost->len; i++) {
        Entry *e = g_ptr_array_index(s->lost, i);

        g_hash_table_insert(by_inode, &e->inode, e);
    }
    for (guint i = 0; rc == 0 && i < s->lost->len; i++) {
        const Entry *e = g_ptr_array_index(s->lost, i);
        g_autofree char *path = lost_path(by_inode, e);

        if (path == NULL) { /* in a loop: each on its own */
            path = g_strdup_printf("inode-%" INO "-%s", e->inode, e->name);
        }
        rc = write_entry(dir, path, e, err);
        if (rc == -EEXIST) { /* two lost files of one name */
            g_autofree char *other = g_strdup_printf("%s.inode-%" INO, path, e->inode);

            err_clear(err);
            rc = write_entry(dir, other, e, err);
        }
    }
    return rc;
}

static int open_new_dir(const char *dir, int *ret_fd, Err *err)
{
    if (mkdir(dir, 0700) < 0) {
        return fail_at(err, "cannot make directory", dir);
    }
    *ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? fail_at(err, "cannot open directory", dir) : 0;
}

int db_write_lost(const char *dir, const DbSalvage *s, Err *err)
{
    int fd = -1;
    int rc = open_new_dir(dir, &fd, err);

    if (rc == 0) {
        rc = write_lost(fd, s, err);
        (void)close(fd); /* opened for reading: nothing can be lost */
    }
    return rc;
}

static int check_used(const Export *x, Err *err)
{
    for (gsize i = 0; x->paths != NULL && x->paths[i] != NULL; i++) {
        if (!x->used[i]) {
            return err_setf(err, -ENOENT, "no entry %s in the database", x->paths[i]);
        }
    }
    return 0;
}

static int write_lost_below(Export *x, const DbSalvage *s, Err *err)
{
    int fd = -1;
    int rc = make_dir(x->dir, x->has_lost_name ? LOST_NAME ".pmxcfs-db" : LOST_NAME, &fd, err);

    if (rc == 0) {
        rc = write_lost(fd, s, err);
        (void)close(fd); /* opened for reading: nothing can be lost */
    }
    return rc;
}

int db_write_files(const char *dir, const DbSalvage *s, char **paths, guint *ret_files, Err *err)
{
    g_autoptr(Memdb) tree = memdb_new(NULL, NULL);
    bool all = paths == NULL || paths[0] == NULL;
    g_autofree bool *used = g_new0(bool, all ? 1 : g_strv_length(paths));
    Export x = {.paths = paths, .used = used, .err = err};
    int rc = memdb_load(tree, s->kept, &s->root, (MonoTime){0}, NULL, err);

    rc = rc < 0 ? rc : open_new_dir(dir, &x.dir, err);
    if (rc < 0) {
        return rc;
    }
    db_walk(tree, export_visit, &x);
    rc = x.rc < 0 ? x.rc : check_used(&x, err);
    if (rc == 0 && all && s->lost->len > 0) {
        rc = write_lost_below(&x, s, err);
    }
    if (x.files == 0) {
        (void)rmdir(dir); /* only an empty one goes */
    }
    (void)close(x.dir); /* opened for reading: nothing can be lost */
    *ret_files = x.files;
    return rc < 0 ? err_wrapf(err, rc, "%s", dir) : 0;
}

static void print_notes(const DbSalvage *s)
{
    for (guint i = 0; i < s->notes->len; i++) {
        g_printerr("%s: %s\n", g_get_prgname(), (const char *)g_ptr_array_index(s->notes, i));
    }
}

int db_verb_export(char **operands, Err *err)
{
    g_auto(DbSalvage) s;
    g_auto(GStrv) paths = NULL;
    guint files = 0;
    int lock = -1;
    int rc;

    db_salvage_init(&s);
    paths = g_strdupv(operands + 1);
    for (char **path = paths; *path != NULL; path++) {
        char *normal = cfspath_normalize(*path);

        g_free(*path);
        *path = normal;
    }
    rc = db_lock(db_path(), false, &lock, err);
    rc = rc < 0 ? rc : db_salvage_read(db_path(), &s, err);
    rc = rc < 0 ? rc : db_salvage_settle(&s, err);
    rc = rc < 0 ? rc : db_write_files(operands[0], &s, paths, &files, err);
    if (rc == 0) {
        note_long_names(&s, s.kept);
        note_long_names(&s, s.lost);
        print_notes(&s);
        g_print("%u files written to %s\n", files, operands[0]);
        rc = s.notes->len > 0 ? DB_EXIT_FOUND : CLI_EXIT_OK;
    }
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- reading ----------------------------------------------------------------------------- */

typedef struct Import {
    GPtrArray *entries; /* of Entry*, owned */
    uint64_t version;
    uint64_t content_bytes;
    guint skipped;
    bool recursive;
    bool own_time; /* files keep their time of change */
} Import;

static int read_file(int dir, const char *name, GBytes **ret, uint32_t *ret_mtime, Err *err)
{
    g_autoptr(GByteArray) content = g_byte_array_new();
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    ssize_t n = 1;
    int rc = 0;

    if (fd < 0) {
        return fail_at(err, "cannot open", name);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        rc = err_setf(err, -EINVAL, "%s is no regular file any more", name);
    }
    while (rc == 0 && n > 0) {
        char buf[65536];

        n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno != EINTR) {
            rc = fail_at(err, "cannot read", name);
        }
        if (n > 0) {
            g_byte_array_append(content, (const guint8 *)buf, (guint)n);
        }
        n = n < 0 ? 1 : n;
        if (content->len > CFS_FILE_SIZE_MAX) {
            rc = err_setf(err, -EFBIG, "%s is larger than %u bytes", name, CFS_FILE_SIZE_MAX);
        }
    }
    (void)close(fd); /* opened for reading: nothing can be lost */
    if (rc == 0) {
        *ret = g_byte_array_free_to_bytes(g_steal_pointer(&content));
        *ret_mtime = (uint32_t)st.st_mtim.tv_sec;
    }
    return rc;
}

static int add_entry(Import *im, const EntryInit *init, Err *err)
{
    if (!cfspath_name_ok(init->name)) {
        return err_setf(err, -EINVAL, "%s is no usable name", init->name);
    }
    if (im->entries->len + 1 >= CFS_INODES_MAX) {
        return err_setf(err, -ENOSPC, "more than %u entries", CFS_INODES_MAX);
    }
    im->content_bytes += init->data != NULL ? g_bytes_get_size(init->data) : 0;
    if (im->content_bytes > CFS_TOTAL_SIZE_MAX) {
        return err_setf(err, -ENOSPC, "more than %u bytes of content", CFS_TOTAL_SIZE_MAX);
    }
    g_ptr_array_add(im->entries, entry_new(init));
    return 0;
}

/* As one create and one write: two versions, the inode is the first of them (reference 2.5). */
static int import_file(Import *im, int dir, const char *name, uint64_t parent, Err *err)
{
    g_autoptr(GBytes) data = NULL;
    uint32_t mtime = 0;
    int rc = read_file(dir, name, &data, &mtime, err);

    if (rc < 0) {
        return rc;
    }
    im->version += 2;
    return add_entry(im,
                     &(EntryInit){.parent = parent,
                                  .inode = im->version - 1,
                                  .version = im->version,
                                  .mtime = im->own_time ? mtime : db_now(),
                                  .type = ENTRY_FILE,
                                  .name = name,
                                  .data = g_bytes_get_size(data) > 0 ? data : NULL},
                     err);
}

static gint by_bytes(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *sorted_names(int dir, Err *err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (d == NULL) {
        (void)fail_at(err, "cannot read", "directory");
        if (fd >= 0) {
            (void)close(fd); /* opened for reading: nothing can be lost */
        }
        return NULL;
    }
    errno = 0;
    while ((entry = readdir(d)) != NULL && names->len <= CFS_INODES_MAX) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    (void)closedir(d);
    g_ptr_array_sort(names, by_bytes);
    return g_steal_pointer(&names);
}

static int import_dir(Import *im, int dir, uint64_t parent, guint depth, Err *err);

static int
import_subdir(Import *im, int dir, const char *name, uint64_t parent, guint depth, Err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc;

    if (fd < 0) {
        return fail_at(err, "cannot open directory", name);
    }
    if (depth >= CFS_DEPTH_MAX) {
        (void)close(fd); /* opened for reading: nothing can be lost */
        return err_setf(err, -ELOOP, "more than %u directories below each other", CFS_DEPTH_MAX);
    }
    im->version++;
    rc = add_entry(im,
                   &(EntryInit){.parent = parent,
                                .inode = im->version,
                                .version = im->version,
                                .mtime = db_now(),
                                .type = ENTRY_DIR,
                                .name = name},
                   err);
    rc = rc < 0 ? rc : import_dir(im, fd, im->version, depth + 1, err);
    (void)close(fd); /* opened for reading: nothing can be lost */
    return rc < 0 ? err_wrapf(err, rc, "%s", name) : 0;
}

static int
import_name(Import *im, int dir, const char *name, uint64_t parent, guint depth, Err *err)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return fail_at(err, "cannot look at", name);
    }
    if (depth == 0 && cfs_special_from_name(name) >= 0) {
        /* A copy of a mounted tree has what the mount makes up itself. */
        g_printerr("%s: %s: made by the mount, left out\n", g_get_prgname(), name);
        im->skipped++;
        return 0;
    }
    if (S_ISREG(st.st_mode)) {
        return import_file(im, dir, name, parent, err);
    }
    if (S_ISDIR(st.st_mode) && im->recursive) {
        return import_subdir(im, dir, name, parent, depth, err);
    }
    if (!S_ISDIR(st.st_mode)) {
        g_printerr("%s: %s: neither file nor directory, left out\n", g_get_prgname(), name);
        im->skipped++;
    }
    return 0;
}

static int import_dir(Import *im, int dir, uint64_t parent, guint depth, Err *err)
{
    g_autoptr(GPtrArray) names = sorted_names(dir, err);
    int rc = names == NULL ? -EIO : 0;

    for (guint i = 0; rc == 0 && i < names->len; i++) {
        rc = import_name(im, dir, g_ptr_array_index(names, i), parent, depth, err);
    }
    return rc;
}

/* Reads all of it and checks it as the daemon will. */
static int collect(Import *im, const char *dir, MemdbRoot *ret_root, Err *err)
{
    g_autoptr(Memdb) tree = memdb_new(NULL, NULL);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0) {
        return fail_at(err, "cannot open directory", dir);
    }
    im->version = 1;
    rc = import_dir(im, fd, 0, 0, err);
    (void)close(fd); /* opened for reading: nothing can be lost */
    *ret_root = (MemdbRoot){.version = im->version, .mtime = db_now()};
    rc = rc < 0 ? rc : memdb_load(tree, im->entries, ret_root, (MonoTime){0}, NULL, err);
    return rc < 0 ? err_wrapf(err, rc, "%s", dir) : 0;
}

static int make_database(const char *dir, const char *file, Import *im, bool replace, Err *err)
{
    g_autofree char *kept = NULL;
    MemdbRoot root;
    int lock = -1;
    int rc = db_lock(file, true, &lock, err);

    if (rc == 0 && !replace && g_file_test(file, G_FILE_TEST_EXISTS)) {
        rc = err_setf(err, -EEXIST, "%s exists", file);
    }
    im->entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    rc = rc < 0 ? rc : collect(im, dir, &root, err);
    rc = rc < 0 ? rc : db_put_in_place(file, im->entries, &root, "before-import", &kept, err);
    if (rc == 0) {
        g_print("%u entries imported into %s\n", im->entries->len, file);
        if (kept != NULL) {
            g_print("the old database is kept as %s\n", kept);
        }
    }
    g_ptr_array_unref(im->entries);
    db_unlock(lock);
    return db_exit(rc, err);
}

int db_verb_import(char **operands, Err *err)
{
    Import im = {.recursive = true, .own_time = true};

    return make_database(operands[0], db_path(), &im, db_replace, err);
}

int db_verb_create(char **operands, Err *err)
{
    Import im = {.recursive = false};

    return make_database(operands[0], operands[1], &im, false, err);
}
