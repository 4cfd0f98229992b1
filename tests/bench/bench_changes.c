/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_changes: changes of small files as fast as they are acknowledged.
 *
 *   bench_changes files FOLDER THREADS SECONDS   each thread overwrites a file of its own, 1 KiB
 *   bench_changes locks FOLDER THREADS SECONDS   each thread makes and removes a directory
 *
 * Prints how many a second, and the processor time of this program for each in microseconds. A
 * program of its own, because a scripting language would use more than what is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE        1024
#define THREADS_MAX 1024

static const char *folder;
static bool (*once)(int number);
static gint64 until_us;
static _Atomic guint64 done;

static bool overwrite(int number)
{
    static const char data[SIZE] = {'x'};
    g_autofree char *path = g_strdup_printf("%s/f%d", folder, number);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    bool ok = fd >= 0 && write(fd, data, sizeof data) == (ssize_t)sizeof data;

    return (fd < 0 || close(fd) == 0) && ok;
}

static bool lock_and_unlock(int number)
{
    g_autofree char *path = g_strdup_printf("%s/lock%d", folder, number);

    return mkdir(path, 0750) == 0 && rmdir(path) == 0;
}

static gpointer work(gpointer data)
{
    while (g_get_monotonic_time() < until_us) {
        if (!once(GPOINTER_TO_INT(data))) {
            g_printerr("bench_changes: in '%s': %s\n", folder, g_strerror(errno));
            return GINT_TO_POINTER(1);
        }
        atomic_fetch_add(&done, 1);
    }
    return NULL;
}

static void report(gint64 took_us)
{
    struct rusage u;
    guint64 n = MAX(done, 1);
    gint64 used_us;

    (void)getrusage(RUSAGE_SELF, &u); /* cannot fail with these arguments */
    used_us = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * G_USEC_PER_SEC + u.ru_utime.tv_usec +
              u.ru_stime.tv_usec;
    printf("%.0f %.1f\n", (double)done * G_USEC_PER_SEC / (double)took_us,
           (double)used_us / (double)n);
}

int main(int argc, char **argv)
{
    int threads = argc == 5 ? (int)g_ascii_strtoll(argv[3], NULL, 10) : 0;
    GThread *thread[THREADS_MAX];
    gint64 start;
    int failed = 0;

    if (argc == 5 && strcmp(argv[1], "files") == 0) {
        once = overwrite;
    } else if (argc == 5 && strcmp(argv[1], "locks") == 0) {
        once = lock_and_unlock;
    }
    if (once == NULL || threads < 1 || threads > THREADS_MAX) {
        g_printerr("usage: bench_changes files|locks FOLDER THREADS SECONDS\n");
        return 2;
    }
    folder = argv[2];
    if (mkdir(folder, 0750) < 0 && errno != EEXIST) {
        g_printerr("bench_changes: '%s': %s\n", folder, g_strerror(errno));
        return 1;
    }
    start = g_get_monotonic_time();
    until_us = start + (gint64)(g_ascii_strtod(argv[4], NULL) * G_USEC_PER_SEC);
    for (int i = 0; i < threads; i++) {
        thread[i] = g_thread_new("work", work, GINT_TO_POINTER(i));
    }
    for (int i = 0; i < threads; i++) {
        failed |= GPOINTER_TO_INT(g_thread_join(thread[i]));
    }
    report(g_get_monotonic_time() - start);
    return failed;
}
