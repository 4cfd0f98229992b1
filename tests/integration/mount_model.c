/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a real mount beside a model of what POSIX says they do, by this process and,
 * now and then, by another node. After each step what was touched is compared, after each run
 * everything, in the mount and in the tree behind it.
 *
 *   mount_model [--seed N] [--runs N] [--steps N] [--trace] [--dir DIR]
 *
 * The seed of a failed run is printed; --seed N --runs 1 repeats it.
 */
#include "lib/base/prng.h"
#include "tests/lib/mount_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRS        3
#define FILES       5
#define HANDLES_MAX 8
#define FILE_LIMIT  1048576

typedef struct Node {
    gatomicrefcount refs;
    bool is_dir, linked, unsaved;
    GByteArray *data;
} Node;

typedef struct Handle {
    int fd, flags;
    Node *node;
} Handle;

typedef struct Model {
    Prng prng;
    uint64_t seed;
    int step;
    GHashTable *tree; /* path -> Node */
    Handle handles[HANDLES_MAX];
    int n_handles;
    bool with_remote, say;
} Model;

/* With --trace: what is done, for who looks for the cause of a failure. */
#define SAY(m, ...)                                                                                \
    do {                                                                                           \
        if ((m)->say) {                                                                            \
            g_autofree char *line = g_strdup_printf(__VA_ARGS__);                                  \
            fprintf(stderr, "%d: %s\n", (m)->step, line);                                          \
        }                                                                                          \
    } while (0)

#define FAIL(m, ...)                                                                               \
    do {                                                                                           \
        g_autofree char *why = g_strdup_printf(__VA_ARGS__);                                       \
        fprintf(stderr, "seed %" PRIu64 " step %d: %s\n", (m)->seed, (m)->step, why);              \
        abort();                                                                                   \
    } while (0)

static Node *node_ref(Node *n)
{
    g_atomic_ref_count_inc(&n->refs);
    return n;
}

static void node_unref(gpointer p)
{
    Node *n = p;
    if (g_atomic_ref_count_dec(&n->refs)) {
        g_byte_array_unref(n->data);
        g_free(n);
    }
}

static Node *node_new(bool is_dir)
{
    Node *n = g_new0(Node, 1);
    g_atomic_ref_count_init(&n->refs);
    n->is_dir = is_dir;
    n->linked = true;
    n->data = g_byte_array_new();
    return n;
}

static Node *lookup(Model *m, const char *path)
{
    return g_hash_table_lookup(m->tree, path);
}

static void insert(Model *m, const char *path, Node *n)
{
    g_hash_table_insert(m->tree, g_strdup(path), n);
}

static void drop(Model *m, const char *path)
{
    lookup(m, path)->linked = false;
    g_hash_table_remove(m->tree, path);
}

static bool parent_exists(Model *m, const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    return strcmp(dir, "md") == 0 || lookup(m, dir) != NULL;
}

static bool dir_is_empty(Model *m, const char *path)
{
    GHashTableIter iter;
    gpointer key;
    gsize len = strlen(path);
    g_hash_table_iter_init(&iter, m->tree);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (strncmp(key, path, len) == 0 && ((const char *)key)[len] == '/') {
            return false;
        }
    }
    return true;
}

static char *pick_dir(Model *m)
{
    return g_strdup_printf("md/d%d", (int)prng_below(&m->prng, DIRS));
}

static char *pick_file(Model *m)
{
    int dir = (int)prng_below(&m->prng, DIRS + 2);
    int file = (int)prng_below(&m->prng, FILES);
    return dir >= DIRS ? g_strdup_printf("md/f%d", file) : g_strdup_printf("md/d%d/f%d", dir, file);
}

/* Compares the outcome of a call with 0 or the errno that it should have. */
static void outcome(Model *m, const char *what, const char *path, int r, int want)
{
    int is = r < 0 ? errno : 0;
    SAY(m, "%s %s: %s", what, path, is != 0 ? g_strerror(is) : "success");
    if (is != want) {
        FAIL(m, "%s %s: %s, expected %s", what, path, is != 0 ? g_strerror(is) : "success",
             want != 0 ? g_strerror(want) : "success");
    }
}

/* ---- comparing ----------------------------------------------------------------------------- */

static void compare_fd(Model *m, int fd, const Node *n, const char *what)
{
    struct stat st;
    g_autofree char *buf = g_malloc(n->data->len + 1);
    MT_OK(fstat(fd, &st));
    if ((guint)st.st_size != n->data->len) {
        FAIL(m, "%s: size %lld, expected %u", what, (long long)st.st_size, n->data->len);
    }
    ssize_t got = pread(fd, buf, n->data->len + 1, 0);
    if (got != (ssize_t)n->data->len) {
        FAIL(m, "%s: read %zd bytes, expected %u", what, got, n->data->len);
    }
    for (guint i = 0; i < n->data->len; i++) {
        if ((guint8)buf[i] != n->data->data[i]) {
            FAIL(m, "%s: byte %u is %d, expected %d", what, i, buf[i], n->data->data[i]);
        }
    }
}

static void compare_path(Model *m, const char *path)
{
    struct stat st;
    Node *n = lookup(m, path);
    int r = lstat(mt("%s", path), &st);
    bool below = parent_exists(m, path);
    outcome(m, "stat", path, r, n != NULL ? 0 : ENOENT);
    if (n == NULL || !below) {
        return;
    }
    if (S_ISDIR(st.st_mode) != n->is_dir) {
        FAIL(m, "%s: wrong kind", path);
    }
    if (!n->is_dir) {
        int fd = open(mt("%s", path), O_RDONLY);
        MT_OK(fd);
        compare_fd(m, fd, n, path);
        close(fd);
    }
}

static void compare_listing(Model *m, const char *dir)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    DIR *d = opendir(mt("%s", dir));
    g_assert_nonnull(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char *path = g_strdup_printf("%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.') {
            g_free(path);
            continue;
        }
        if (lookup(m, path) == NULL) {
            FAIL(m, "%s is listed", path);
        }
        if (!g_hash_table_add(seen, path)) {
            FAIL(m, "%s is listed twice", path);
        }
    }
    closedir(d);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, m->tree);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_autofree char *parent = g_path_get_dirname(key);
        if (strcmp(parent, dir) == 0 && !g_hash_table_contains(seen, key)) {
            FAIL(m, "%s is not listed", (const char *)key);
        }
    }
}

/* ---- steps of this process ----------------------------------------------------------------- */

static void do_mkdir(Model *m)
{
    g_autofree char *path = pick_dir(m);
    int r = mkdir(mt("%s", path), 0755);
    outcome(m, "mkdir", path, r, lookup(m, path) != NULL ? EEXIST : 0);
    if (r == 0) {
        insert(m, path, node_new(true));
    }
}

static void do_rmdir(Model *m)
{
    g_autofree char *path = pick_dir(m);
    Node *n = lookup(m, path);
    int want = n == NULL ? ENOENT : !n->is_dir ? ENOTDIR : !dir_is_empty(m, path) ? ENOTEMPTY : 0;
    int r = rmdir(mt("%s", path));
    outcome(m, "rmdir", path, r, want);
    if (r == 0) {
        drop(m, path);
    }
}

static void do_unlink(Model *m)
{
    g_autofree char *path = pick_file(m);
    int r = unlink(mt("%s", path));
    outcome(m, "unlink", path, r, lookup(m, path) == NULL ? ENOENT : 0);
    if (r == 0) {
        drop(m, path);
    }
}

static int rename_errno(Model *m, const char *from, const char *to)
{
    Node *a = lookup(m, from);
    Node *b = lookup(m, to);
    if (!parent_exists(m, from) || a == NULL || !parent_exists(m, to)) {
        return ENOENT;
    }
    if (b != NULL && a != b && a->is_dir != b->is_dir) {
        return b->is_dir ? EISDIR : ENOTDIR;
    }
    if (a != b && a->is_dir && !dir_is_empty(m, from)) {
        return ENOTEMPTY;
    }
    return b != NULL && a != b && b->is_dir && !dir_is_empty(m, to) ? ENOTEMPTY : 0;
}

static void do_rename(Model *m)
{
    bool dirs = prng_chance(&m->prng, 1, 4);
    g_autofree char *from = dirs ? pick_dir(m) : pick_file(m);
    g_autofree char *to = dirs ? pick_dir(m) : pick_file(m);
    int want = rename_errno(m, from, to);
    SAY(m, "rename %s to %s", from, to);
    int r = rename(mt("%s", from), mt("%s", to));
    outcome(m, "rename", from, r, want);
    if (r == 0 && strcmp(from, to) != 0) {
        Node *n = node_ref(lookup(m, from));
        if (lookup(m, to) != NULL) {
            drop(m, to);
        }
        drop(m, from);
        n->linked = true;
        n->unsaved = false; /* what was written goes first */
        insert(m, to, n);
    }
}

static void do_open(Model *m)
{
    static const int kinds[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND};
    g_autofree char *path = pick_file(m);
    int flags = kinds[prng_below(&m->prng, G_N_ELEMENTS(kinds))];
    flags |= prng_chance(&m->prng, 2, 3) ? O_CREAT : 0;
    flags |= prng_chance(&m->prng, 1, 6) ? O_EXCL : 0;
    if ((flags & O_ACCMODE) != O_RDONLY && prng_chance(&m->prng, 1, 3)) {
        flags |= O_TRUNC;
    }
    Node *n = lookup(m, path);
    int want = 0;
    if (!parent_exists(m, path) || (n == NULL && (flags & O_CREAT) == 0)) {
        want = ENOENT;
    } else if (n != NULL && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        want = EEXIST;
    }
    if (m->n_handles == HANDLES_MAX) {
        return;
    }
    int fd = open(mt("%s", path), flags, 0640);
    outcome(m, "open", path, fd, want);
    SAY(m, "  is %d, flags %o", fd, (unsigned)flags);
    if (fd < 0) {
        return;
    }
    if (n == NULL) {
        n = node_new(false);
        insert(m, path, n);
    }
    if ((flags & O_TRUNC) != 0) {
        g_byte_array_set_size(n->data, 0);
        n->unsaved = true;
    }
    m->handles[m->n_handles++] = (Handle){fd, flags, node_ref(n)};
}

static Handle *pick_handle(Model *m, bool writes)
{
    for (int i = 0; i < 4 && m->n_handles > 0; i++) {
        Handle *h = &m->handles[prng_below(&m->prng, (uint64_t)m->n_handles)];
        if (!writes || (h->flags & O_ACCMODE) != O_RDONLY) {
            return h;
        }
    }
    return NULL;
}

static void model_resize(Node *n, guint size)
{
    guint old = n->data->len;
    g_byte_array_set_size(n->data, size);
    if (size > old) {
        memset(n->data->data + old, 0, size - old);
    }
}

/* Mostly small files; now and then the end of what is allowed. */
static guint pick_offset(Model *m)
{
    switch (prng_below(&m->prng, 8)) {
    case 0:
        return (guint)prng_below(&m->prng, 20000);
    case 1:
        return FILE_LIMIT - 10 + (guint)prng_below(&m->prng, 20);
    default:
        return (guint)prng_below(&m->prng, 200);
    }
}

static void do_write(Model *m)
{
    Handle *h = pick_handle(m, true);
    if (h == NULL) {
        return;
    }
    guint len = (guint)prng_range(&m->prng, 1, prng_chance(&m->prng, 1, 5) ? 9000 : 50);
    g_autofree char *text = g_strnfill(len, (char)('a' + prng_below(&m->prng, 26)));
    bool append = (h->flags & O_APPEND) != 0;
    guint off = append ? h->node->data->len : pick_offset(m);
    ssize_t n = append ? write(h->fd, text, len) : pwrite(h->fd, text, len, off);
    SAY(m, "write %d: %u at %u", h->fd, len, off);
    if (off >= FILE_LIMIT) {
        outcome(m, "write", "beyond the limit", (int)n, EFBIG);
        return;
    }
    guint want = MIN(len, FILE_LIMIT - off);
    if (n != (ssize_t)want) {
        FAIL(m, "write of %u at %u gave %zd (%s)", len, off, n, g_strerror(errno));
    }
    if (off + want > h->node->data->len) {
        model_resize(h->node, off + want);
    }
    memcpy(h->node->data->data + off, text, want);
    h->node->unsaved = true;
}

static void do_ftruncate(Model *m)
{
    Handle *h = pick_handle(m, true);
    guint size = prng_chance(&m->prng, 1, 3) ? 0 : pick_offset(m);
    if (h != NULL) {
        SAY(m, "ftruncate %d to %u", h->fd, size);
        outcome(m, "ftruncate", "", ftruncate(h->fd, size), size > FILE_LIMIT ? EFBIG : 0);
        if (size <= FILE_LIMIT) {
            model_resize(h->node, size);
            h->node->unsaved = true;
        }
    }
}

static void do_truncate(Model *m)
{
    g_autofree char *path = pick_file(m);
    Node *n = lookup(m, path);
    guint size = (guint)prng_below(&m->prng, 300);
    int r = truncate(mt("%s", path), size);
    SAY(m, "truncate to %u", size);
    outcome(m, "truncate", path, r, n == NULL ? ENOENT : 0);
    if (r == 0) {
        model_resize(n, size);
        n->unsaved = true; /* a handle opened just now may hold it back */
    }
}

static void do_sync(Model *m)
{
    Handle *h = pick_handle(m, true);
    if (h != NULL) {
        SAY(m, "fsync %d", h->fd);
        outcome(m, "fsync", "", fsync(h->fd), 0);
    }
}

static void do_close(Model *m)
{
    Handle *h = pick_handle(m, false);
    if (h == NULL) {
        return;
    }
    SAY(m, "close %d", h->fd);
    outcome(m, "close", "", close(h->fd), 0);
    bool others = false;
    Node *n = h->node;
    *h = m->handles[--m->n_handles];
    for (int i = 0; i < m->n_handles; i++) {
        others =
            others || (m->handles[i].node == n && (m->handles[i].flags & O_ACCMODE) != O_RDONLY);
    }
    n->unsaved = n->unsaved && others;
    node_unref(n);
}

static void do_compare_handle(Model *m)
{
    Handle *h = pick_handle(m, false);
    if (h != NULL && (h->flags & O_ACCMODE) != O_WRONLY) {
        SAY(m, "compare %d", h->fd);
        g_autofree char *what = g_strdup_printf("handle %d of %p", h->fd, (void *)h->node);
        compare_fd(m, h->fd, h->node, what);
    }
}

static void do_compare(Model *m)
{
    g_autofree char *path = prng_chance(&m->prng, 1, 4) ? pick_dir(m) : pick_file(m);
    compare_path(m, path);
    if (prng_chance(&m->prng, 1, 4)) {
        compare_listing(m, "md");
    }
}

static void do_touch(Model *m)
{
    g_autofree char *path = pick_file(m);
    struct timespec t = {(time_t)prng_below(&m->prng, 1u << 31), 0};
    struct timespec times[2] = {t, t};
    int r = utimensat(AT_FDCWD, mt("%s", path), times, 0);
    outcome(m, "utimensat", path, r, lookup(m, path) == NULL ? ENOENT : 0);
    if (r == 0) {
        struct stat st;
        MT_OK(stat(mt("%s", path), &st));
        if (st.st_mtime != t.tv_sec) {
            FAIL(m, "%s: time %lld, expected %lld", path, (long long)st.st_mtime,
                 (long long)t.tv_sec);
        }
        lookup(m, path)->unsaved = false;
    }
}

/* ---- steps of another node ----------------------------------------------------------------- */

static bool is_listed(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    DIR *d = opendir(mt("%s", parent));
    bool found = false;
    if (d == NULL) {
        return false;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        found = found || strcmp(e->d_name, name) == 0;
    }
    closedir(d);
    return found;
}

/* News of an entry and of the listing that it is in come one after the other. */
static bool matches(const char *path, const Node *n)
{
    struct stat st;
    if (is_listed(path) != (n != NULL)) {
        return false;
    }
    if (n == NULL) {
        return lstat(mt("%s", path), &st) != 0;
    }
    GString *is = mt_read(mt("%s", path));
    bool same = is != NULL && is->len == n->data->len &&
                memcmp(is->str, n->data->data, is->len) == 0 && stat(mt("%s", path), &st) == 0 &&
                (gsize)st.st_size == is->len;
    if (is != NULL) {
        g_string_free(is, TRUE);
    }
    return same;
}

static void await(Model *m, const char *path)
{
    gint64 until = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;
    while (!matches(path, lookup(m, path))) {
        if (g_get_monotonic_time() > until) {
            FAIL(m, "%s: the change of another node is not seen", path);
        }
        g_usleep(200);
    }
}

static void do_remote(Model *m)
{
    g_autofree char *path = pick_file(m);
    Node *n = lookup(m, path);
    if (!m->with_remote || !parent_exists(m, path) || (n != NULL && n->unsaved)) {
        return;
    }
    if (n != NULL && prng_chance(&m->prng, 1, 3)) {
        outcome(m, "remote delete", path, (int)mt_ctl("delete %s", path), 0);
        drop(m, path);
    } else {
        guint len = (guint)prng_range(&m->prng, 1, 300);
        g_autofree char *text = g_strnfill(len, (char)('A' + prng_below(&m->prng, 26)));
        int64_t r = mt_ctl("write %s %s", path, text);
        SAY(m, "remote write %s: %u", path, len);
        if (r != len) {
            FAIL(m, "remote write %s gave %" PRId64, path, r);
        }
        if (n == NULL) {
            n = node_new(false);
            insert(m, path, n);
        }
        g_byte_array_set_size(n->data, 0);
        g_byte_array_append(n->data, (const guint8 *)text, len);
    }
    await(m, path);
}

/* ---- a run --------------------------------------------------------------------------------- */

static void one_step(Model *m)
{
    static void (*const steps[])(Model *) = {
        do_open,           do_open,  do_open,   do_open,    do_write,     do_write,
        do_write,          do_write, do_write,  do_compare, do_compare,   do_compare_handle,
        do_compare_handle, do_close, do_close,  do_close,   do_ftruncate, do_ftruncate,
        do_truncate,       do_sync,  do_rename, do_rename,  do_unlink,    do_mkdir,
        do_rmdir,          do_touch, do_remote, do_remote,
    };
    steps[prng_below(&m->prng, G_N_ELEMENTS(steps))](m);
}

static uint32_t fnv(const GByteArray *data)
{
    uint32_t hash = 2166136261u;
    for (guint i = 0; i < data->len; i++) {
        hash = (hash ^ data->data[i]) * 16777619u;
    }
    return hash;
}

static void compare_all(Model *m)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    compare_listing(m, "md");
    g_hash_table_iter_init(&iter, m->tree);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        Node *n = value;
        compare_path(m, key);
        if (n->is_dir) {
            compare_listing(m, key);
        } else if (m->with_remote && mt_ctl("sum %s", (const char *)key) != fnv(n->data)) {
            FAIL(m, "%s: the tree has another content", (const char *)key);
        }
    }
}

static void remove_all(Model *m)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    for (int dirs = 0; dirs < 2; dirs++) {
        g_hash_table_iter_init(&iter, m->tree);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
            if (((Node *)value)->is_dir == (dirs != 0)) {
                MT_OK(remove(mt("%s", (const char *)key)));
            }
        }
    }
    MT_OK(rmdir(mt("md")));
}

static void run(uint64_t seed, int steps, bool say)
{
    Model m = {.seed = seed, .with_remote = mt_has_ctl(), .say = say};
    prng_init(&m.prng, seed);
    m.tree = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_unref);
    MT_OK(mkdir(mt("md"), 0755));
    for (m.step = 0; m.step < steps; m.step++) {
        one_step(&m);
    }
    while (m.n_handles > 0) {
        do_close(&m);
    }
    compare_all(&m);
    remove_all(&m);
    g_hash_table_unref(m.tree);
}

int main(int argc, char **argv)
{
    gint64 seed = 1;
    int runs = 40;
    int steps = 600;
    char *dir = NULL;
    gboolean say = FALSE;
    GOptionEntry entries[] = {
        {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "First seed", "N"},
        {"runs", 0, 0, G_OPTION_ARG_INT, &runs, "How many", "N"},
        {"steps", 0, 0, G_OPTION_ARG_INT, &steps, "Of each", "N"},
        {"trace", 0, 0, G_OPTION_ARG_NONE, &say, "Say what is done", NULL},
        {"dir", 0, 0, G_OPTION_ARG_FILENAME, &dir, "A mounted tree to use", "DIR"},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, NULL) || argc > 1) {
        fprintf(stderr,
                "usage: mount_model [--seed N] [--runs N] [--steps N] [--trace] [--dir DIR]\n");
        return 2;
    }
    mt_start(dir);
    printf("1..1\n# seeds %" PRId64 " to %" PRId64 ", %d steps each\n", seed, seed + runs - 1,
           steps);
    for (int i = 0; i < runs; i++) {
        run((uint64_t)seed + (uint64_t)i, steps, say);
    }
    printf("ok 1 /mount-model/random-operations-match\n");
    mt_stop();
    g_free(dir);
    return 0;
}
