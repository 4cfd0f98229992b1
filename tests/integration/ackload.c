/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ackload: writes to a mounted cluster file system and notes what was acknowledged, so that after a
 * crash somebody can look whether all of it is there.
 *
 *     ackload run DIR LOG THREADS SECONDS   until the time is over or a call fails; exit 0
 *     ackload check DIR LOG                 exit 0 when every acknowledged change is there and
 * every file is whole; else each fault on stdout, exit 1
 *
 * Each thread has files of its own: f<t> is replaced by rename, i<t> rewritten in place, n<t>-<n>
 * made once and removed three rounds later. A line of LOG is written after the call that
 * acknowledges: "put t n", "inp t n", "new t n", "del t n"; "try t n" before a removal.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 16
#define CONTENT_MAX 40000u

static const char *dir;
static int log_fd = -1;
static gint stop;

/* ---- content ------------------------------------------------------------------------------- */

/* Whole content number `n`: any part of another one, or a missing part, shows. */
static GString *content(unsigned t, unsigned n)
{
    unsigned len = (n * 7919u + t * 104729u) % CONTENT_MAX;
    GString *s = g_string_new(NULL);

    g_string_append_printf(s, "%u %u %u\n", t, n, len);
    for (unsigned i = 0; i < len; i++) {
        g_string_append_c(s, (char)('a' + (n + i) % 26));
    }
    g_string_append_printf(s, "end %u\n", n);
    return s;
}

/* The number of the content of a file; -1: none, -2: not whole (told on stdout). */
static long number_in(const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    unsigned t = 0, n = 0;

    if (!g_file_get_contents(path, &text, &size, NULL)) {
        return -1;
    }
    if (size == 0) {
        return 0; /* created, its first content not acknowledged */
    }
    if (sscanf(text, "%u %u ", &t, &n) == 2) {
        GString *whole = content(t, n);
        bool same = whole->len == size && memcmp(whole->str, text, size) == 0;
        g_string_free(whole, TRUE);
        if (same) {
            return (long)n;
        }
    }
    printf("%s: not whole: %zu bytes, begins '%.20s'\n", name, size, text);
    return -2;
}

/* ---- running ------------------------------------------------------------------------------- */

static void note(const char *what, unsigned t, unsigned n)
{
    char line[64];
    int len = g_snprintf(line, sizeof line, "%s %u %u\n", what, t, n);

    if (write(log_fd, line, (size_t)len) != len) {
        perror("ackload: log");
        exit(2);
    }
}

static bool put(const char *path, int flags, unsigned t, unsigned n)
{
    GString *s = content(t, n);
    int fd = open(path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, s->str, s->len) == (ssize_t)s->len;

    if (fd >= 0 && close(fd) < 0) {
        ok = false;
    }
    g_string_free(s, TRUE);
    return ok;
}

static bool one_round(unsigned t, unsigned n)
{
    g_autofree char *temp = g_strdup_printf("%s/f%u.tmp", dir, t);
    g_autofree char *file = g_strdup_printf("%s/f%u", dir, t);
    g_autofree char *inplace = g_strdup_printf("%s/i%u", dir, t);
    g_autofree char *fresh = g_strdup_printf("%s/n%u-%u", dir, t, n);
    g_autofree char *old = g_strdup_printf("%s/n%u-%u", dir, t, n - 3);

    if (!put(temp, O_TRUNC, t, n) || rename(temp, file) < 0) {
        return false;
    }
    note("put", t, n);
    if (!put(inplace, O_TRUNC, t, n)) {
        return false;
    }
    note("inp", t, n);
    if (!put(fresh, O_EXCL, t, n)) {
        return false;
    }
    note("new", t, n);
    if (g_access(old, F_OK) == 0) {
        note("try", t, n - 3);
        if (unlink(old) < 0) {
            return false;
        }
        note("del", t, n - 3);
    }
    return true;
}

static gpointer work(gpointer data)
{
    unsigned t = GPOINTER_TO_UINT(data);
    g_autofree char *name = g_strdup_printf("f%u", t);
    g_autofree char *other = g_strdup_printf("i%u", t);
    unsigned n = (unsigned)MAX(MAX(number_in(name), number_in(other)), 0) + 4;

    while (g_atomic_int_get(&stop) == 0 && one_round(t, n)) {
        n++;
    }
    return NULL;
}

static int run(unsigned threads, unsigned seconds)
{
    GThread *ids[THREADS_MAX];

    for (unsigned t = 0; t < threads; t++) {
        ids[t] = g_thread_new("load", work, GUINT_TO_POINTER(t));
    }
    g_usleep(seconds * G_USEC_PER_SEC);
    g_atomic_int_set(&stop, 1);
    for (unsigned t = 0; t < threads; t++) {
        g_thread_join(ids[t]);
    }
    return 0;
}

/* ---- checking ------------------------------------------------------------------------------ */

static int faults;

static void fault(const char *name, long have, unsigned want, const char *what)
{
    printf("%s: acknowledged %u, have %ld: %s\n", name, want, have, what);
    faults++;
}

static void check_newest(const char *kind, unsigned t, unsigned acked)
{
    g_autofree char *name = g_strdup_printf("%s%u", kind, t);
    long have = number_in(name);

    if (have < (long)acked) {
        fault(name, have, acked, "an acknowledged change is lost");
    }
}

/* What the log says of n<t>-<n>. */
typedef struct Fate {
    bool made, tried, removed;
} Fate;

static void check_fates(GHashTable *fates)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, fates);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const Fate *fate = value;
        long have = number_in(key);
        if (have == -2) {
            faults++;
        }
        if (fate->removed && have != -1) {
            fault(key, have, 0, "was removed, and is there");
        }
        if (fate->made && !fate->tried && have < 1) {
            fault(key, have, 1, "was made, and is gone or empty");
        }
    }
}

static Fate *fate_of(GHashTable *fates, unsigned t, unsigned n)
{
    g_autofree char *name = g_strdup_printf("n%u-%u", t, n);
    Fate *fate = g_hash_table_lookup(fates, name);

    if (fate == NULL) {
        fate = g_new0(Fate, 1);
        g_hash_table_insert(fates, g_steal_pointer(&name), fate);
    }
    return fate;
}

static int check(const char *log)
{
    g_autofree char *text = NULL;
    g_autoptr(GHashTable) fates = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    unsigned put_n[THREADS_MAX] = {0}, inp_n[THREADS_MAX] = {0}, lines = 0;

    if (!g_file_get_contents(log, &text, NULL, NULL)) {
        return 0; /* nothing was acknowledged yet */
    }
    for (char *p = text; *p != '\0'; p = strchr(p, '\n') + 1) {
        char what[4] = "";
        unsigned t = 0, n = 0;
        if (sscanf(p, "%3s %u %u", what, &t, &n) != 3 || t >= THREADS_MAX) {
            printf("log: bad line '%.20s'\n", p);
            return 1;
        }
        if (strcmp(what, "put") == 0) {
            put_n[t] = n;
        } else if (strcmp(what, "inp") == 0) {
            inp_n[t] = n;
        } else {
            Fate *fate = fate_of(fates, t, n);
            fate->made |= strcmp(what, "new") == 0;
            fate->tried |= strcmp(what, "try") == 0;
            fate->removed |= strcmp(what, "del") == 0;
        }
        lines++;
    }
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        if (put_n[t] > 0) {
            check_newest("f", t, put_n[t]);
        }
        if (inp_n[t] > 0) {
            check_newest("i", t, inp_n[t]);
        }
    }
    check_fates(fates);
    printf("%u acknowledged changes looked for, %d faults\n", lines, faults);
    return faults == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    guint64 threads = 0, seconds = 0;

    if (argc == 4 && strcmp(argv[1], "check") == 0) {
        dir = argv[2];
        return check(argv[3]);
    }
    if (argc != 6 || strcmp(argv[1], "run") != 0 ||
        !g_ascii_string_to_unsigned(argv[4], 10, 1, THREADS_MAX, &threads, NULL) ||
        !g_ascii_string_to_unsigned(argv[5], 10, 1, 3600, &seconds, NULL)) {
        fprintf(stderr, "usage: ackload run DIR LOG THREADS SECONDS | ackload check DIR LOG\n");
        return 2;
    }
    dir = argv[2];
    log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        perror(argv[3]);
        return 2;
    }
    return run((unsigned)threads, (unsigned)seconds);
}
