/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [CASES=PREFIX] bench_mount DIR [PID]: what a directory of a mounted file system can do. Prints
 * "CASE NUMBER", a number of operations per second; with the process id of the pmxcfs that is
 * mounted at DIR also the bytes it writes per byte of content. Works in DIR/bench, which it makes
 * and removes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES      1000
#define SMALL      1024
#define LARGE      (1024 * 1024)
#define RUN_US     1000000 /* each case runs at least so long */
#define THREADS    8
#define COST_FILES 3000 /* the WAL is folded several times */
#define COST_LARGE 4

static char *top;
static char content[LARGE];

static void new_content(void)
{
    static guint32 seed = 1;

    for (size_t i = 0; i < LARGE; i++) {
        seed = seed * 1664525 + 1013904223;
        content[i] = (char)(seed >> 24);
    }
}

typedef struct Case {
    const char *name;
    int threads;
    guint64 times_max; /* 0: no bound */
    void (*once)(int thread, guint64 i);
} Case;

static void fail(const char *what, const char *path)
{
    g_printerr("bench_mount: %s %s: %s\n", what, path, g_strerror(errno));
    exit(1);
}

static void write_file(const char *path, int flags, const char *data, size_t size, size_t piece)
{
    int fd = open(path, O_WRONLY | flags, 0644);

    if (fd < 0) {
        fail("open", path);
    }
    for (size_t at = 0; at < size; at += piece) {
        size_t n = MIN(piece, size - at);

        if (write(fd, data + at, n) != (ssize_t)n) {
            fail("write", path);
        }
    }
    if (close(fd) != 0) {
        fail("close", path);
    }
}

static void name_of(char *buf, size_t size, const char *kind, guint64 i)
{
    (void)g_snprintf(buf, (gulong)size, "%s/%s%" G_GUINT64_FORMAT, top, kind, i);
}

/* ---- the cases --------------------------------------------------------------------------- */

static void once_stat(int thread, guint64 i)
{
    char path[256];
    struct stat st;

    (void)thread;
    name_of(path, sizeof path, "f", i % FILES);
    if (stat(path, &st) != 0) {
        fail("stat", path);
    }
}

static void once_read(int thread, guint64 i)
{
    char path[256];
    char buf[SMALL];
    int fd;

    (void)thread;
    name_of(path, sizeof path, "f", i % FILES);
    fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, buf, sizeof buf) != SMALL || close(fd) != 0) {
        fail("read", path);
    }
}

static void once_readdir(int thread, guint64 i)
{
    DIR *dir = opendir(top);
    int n = 0;

    (void)thread;
    (void)i;
    if (dir == NULL) {
        fail("opendir", top);
    }
    while (readdir(dir) != NULL) {
        n++;
    }
    if (closedir(dir) != 0 || n < FILES) {
        fail("readdir", top);
    }
}

static void once_create(int thread, guint64 i)
{
    char path[256];

    name_of(path, sizeof path, "new", i * THREADS + (guint64)thread);
    write_file(path, O_CREAT | O_EXCL, NULL, 0, 1);
}

static void once_create_filled(int thread, guint64 i)
{
    char path[256];

    name_of(path, sizeof path, "full", i * THREADS + (guint64)thread);
    write_file(path, O_CREAT | O_EXCL, content + i % 512, SMALL, SMALL);
}

static void once_overwrite(int thread, guint64 i)
{
    char path[256];

    name_of(path, sizeof path, "f", (guint64)thread);
    write_file(path, O_TRUNC, content + i % 512, SMALL, SMALL);
}

static void once_large(guint64 i, size_t piece)
{
    char path[256];

    name_of(path, sizeof path, "large", 0);
    content[i % LARGE]++;
    write_file(path, O_CREAT | O_TRUNC, content, LARGE, piece);
}

static void once_large_4k(int thread, guint64 i)
{
    (void)thread;
    once_large(i, 4096);
}

static void once_large_1m(int thread, guint64 i)
{
    (void)thread;
    once_large(i, LARGE);
}

static const Case cases[] = {
    {"stat", 1, 0, once_stat},
    {"open-read-close", 1, 0, once_read},
    {"open-read-close-8", THREADS, 0, once_read},
    {"readdir-1000", 1, 0, once_readdir},
    {"overwrite-1k", 1, 0, once_overwrite},
    {"overwrite-1k-8", THREADS, 0, once_overwrite},
    {"write-1m-in-4k", 1, 0, once_large_4k},
    {"write-1m-in-1m", 1, 0, once_large_1m},
    {"create", 1, 20000, once_create},
    {"create-8", THREADS, 2500, once_create},
    {"create-1k", 1, 20000, once_create_filled},
    {"create-1k-8", THREADS, 2500, once_create_filled},
};

/* ---- running them ------------------------------------------------------------------------ */

typedef struct Worker {
    const Case *c;
    int thread;
    gint64 until;
    guint64 done;
} Worker;

static gpointer work(gpointer p)
{
    Worker *w = p;

    while (g_get_monotonic_time() < w->until &&
           (w->c->times_max == 0 || w->done < w->c->times_max)) {
        w->c->once(w->thread, w->done++);
    }
    return NULL;
}

/* Lists first: what is removed while one lists may hide the rest. */
static void empty_of(const char *kind)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(top, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (g_str_has_prefix(name, kind)) {
            g_ptr_array_add(paths, g_build_filename(top, name, NULL));
        }
    }
    for (guint i = 0; i < paths->len; i++) {
        if (unlink(paths->pdata[i]) != 0) {
            fail("unlink", paths->pdata[i]);
        }
    }
}

static void run(const Case *c)
{
    GThread *threads[THREADS];
    Worker workers[THREADS];
    gint64 start = g_get_monotonic_time();
    guint64 done = 0;

    for (int i = 0; i < c->threads; i++) {
        workers[i] = (Worker){.c = c, .thread = i, .until = start + RUN_US};
        threads[i] = g_thread_new("bench", work, &workers[i]);
    }
    for (int i = 0; i < c->threads; i++) {
        (void)g_thread_join(threads[i]);
        done += workers[i].done;
    }
    printf("%s %.0f\n", c->name, (double)done * 1e6 / (double)(g_get_monotonic_time() - start));
    (void)fflush(stdout);
    empty_of("new");
    empty_of("full");
}

/* ---- bytes ------------------------------------------------------------------------------- */

static guint64 number_after(const char *path, const char *word)
{
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL) || (at = strstr(text, word)) == NULL) {
        errno = ENODATA;
        fail("read", path);
    }
    return g_ascii_strtoull(at + strlen(word), NULL, 10);
}

/* What the daemon handed to the system for its database, and what went to the device. */
static guint64 written(void)
{
    g_autofree char *path = g_build_filename(top, "..", ".metrics", NULL);

    return number_after(path, "\npmxcfs_disk_bytes_total ");
}

static guint64 to_device(const char *pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/io", pid);

    return number_after(path, "\nwrite_bytes: ");
}

static void cost(const char *name, const char *pid, size_t size, size_t piece, int files)
{
    double payload = (double)size * files;
    guint64 before = written();
    guint64 device = to_device(pid);

    for (int i = 0; i < files; i++) {
        char path[256];

        new_content();
        name_of(path, sizeof path, "cost", size == LARGE ? 0 : (guint64)i);
        write_file(path, O_CREAT | O_TRUNC, content, size, piece);
    }
    g_usleep(1000000); /* what is folded later belongs to it */
    printf("%s-written %.2f\n", name, (double)(written() - before) / payload);
    printf("%s-device %.2f\n", name, (double)(to_device(pid) - device) / payload);
    empty_of("cost");
}

int main(int argc, char **argv)
{
    const char *only = g_getenv("CASES");

    if (argc < 2 || argc > 3 || !g_path_is_absolute(argv[1])) {
        g_printerr("usage: bench_mount DIR [PID]\n");
        return 2;
    }
    new_content();
    top = g_build_filename(argv[1], "bench", NULL);
    if (mkdir(top, 0755) != 0) {
        fail("mkdir", top);
    }
    for (guint64 i = 0; i < FILES; i++) {
        char path[256];

        name_of(path, sizeof path, "f", i);
        write_file(path, O_CREAT, content + i, SMALL, SMALL);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (only == NULL || g_str_has_prefix(cases[i].name, only)) {
            run(&cases[i]);
        }
    }
    if (argc == 3 && only == NULL) {
        cost("bytes-4k-files", argv[2], 4096, 4096, COST_FILES);
        cost("bytes-1m-in-4k", argv[2], LARGE, 4096, COST_LARGE);
        cost("bytes-1m-in-1m", argv[2], LARGE, LARGE, COST_LARGE);
    }
    empty_of("");
    if (rmdir(top) != 0) {
        fail("rmdir", top);
    }
    g_free(top);
    return 0;
}
