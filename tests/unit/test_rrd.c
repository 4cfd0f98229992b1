/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: files have the documented layout, to the byte of their size; values go through rrdcached
 * over one connection while it is there, and into the files otherwise; a daemon that hangs, lies or
 * goes away stops neither the writer nor who hands values to it. Method: the writer on a folder of
 * its own; the real rrdcached when it is installed; a false one played by the test.
 */
#include "lib/port/clock.h"
#include "pmxcfs/io/rrd.h"
#include "pmxcfs/io/rrdcached.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <rrd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 120000 /* of what comes about, however busy the machine */

typedef struct Fixture {
    char *dir;
    char *db;
    char *sock;
    int64_t timeout_ms; /* of an exchange with rrdcached */
    RrdWriter *w;
} Fixture;

static void start(Fixture *f, const char *sock)
{
    const RrdWriterConfig cfg = {
        .base_dir = f->db,
        .cached_socket = sock,
        .cached_timeout_ms = f->timeout_ms,
    };

    f->w = rrd_writer_start(&cfg);
}

static void setup(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->timeout_ms = PATIENCE_MS;
    f->dir = g_dir_make_tmp("quorate-rrd-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->db = g_build_filename(f->dir, "db", NULL);
    f->sock = g_build_filename(f->dir, "sock", NULL);
}

static void teardown(Fixture *f, gconstpointer unused)
{
    (void)unused;
    rrd_writer_stop(f->w);
    test_remove_tree(f->dir);
    g_free(f->dir);
    g_free(f->db);
    g_free(f->sock);
}

static void push(Fixture *f, const char *id, const char *value)
{
    g_autoptr(GBytes) bytes = g_bytes_new(value, strlen(value) + 1);

    rrd_writer_push(f->w, id, bytes);
}

/* A value of `n` columns at `seconds` after now. */
static void push_columns(Fixture *f, const char *id, const char *live, unsigned n, int seconds)
{
    g_autoptr(GString) s = g_string_new(live);

    g_string_append_printf(s, "%" G_GINT64_FORMAT, clock_wall().sec + seconds);
    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(s, ":%u", i);
    }
    push(f, id, s->str);
}

/* Waits until all that was pushed has met its fate. */
static RrdWriterStats settle(Fixture *f, uint64_t total)
{
    RrdWriterStats stats;
    int tries = 0;

    do {
        g_usleep(5000);
        rrd_writer_stats(f->w, &stats);
        g_assert_cmpint(tries++, <, PATIENCE_MS / 5);
    } while (stats.written + stats.refused + stats.dropped < total);
    return stats;
}

static gint64 size_of(Fixture *f, const char *file)
{
    g_autofree char *path = g_build_filename(f->db, file, NULL);
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

static rrd_info_t *info_of(Fixture *f, const char *file)
{
    g_autofree char *path = g_build_filename(f->db, file, NULL);
    rrd_info_t *info = rrd_info_r(path);

    g_assert_nonnull(info);
    return info;
}

static const rrd_info_t *find_info(const rrd_info_t *info, const char *key)
{
    while (info != NULL && strcmp(info->key, key) != 0) {
        info = info->next;
    }
    g_assert_nonnull(info);
    return info;
}

/* ---- files ---- */

static void documented_layout(Fixture *f, gconstpointer unused)
{
    RrdWriterStats stats;
    rrd_info_t *info;

    (void)unused;
    start(f, "");
    push_columns(f, "pve2-node/n1", "5000:c:", 12, 0);
    push_columns(f, "pve-vm-9.0/100", "5000:web:running:0:", 17, 0);
    push_columns(f, "pve2-storage/n1/local", "", 2, 0);
    stats = settle(f, 3);
    g_assert_cmpuint(stats.written, ==, 3);
    g_assert_cmpint(size_of(f, "pve-node-9.0/n1"), ==, 1504296);
    g_assert_cmpint(size_of(f, "pve-vm-9.0/100"), ==, 1346072);
    g_assert_cmpint(size_of(f, "pve-storage-9.0/n1/local"), ==, 159392);
    info = info_of(f, "pve-node-9.0/n1");
    g_assert_cmpuint(find_info(info, "step")->value.u_cnt, ==, 60);
    g_assert_cmpstr(find_info(info, "ds[loadavg].type")->value.u_str, ==, "GAUGE");
    g_assert_cmpuint(find_info(info, "ds[loadavg].index")->value.u_cnt, ==, 0);
    g_assert_cmpstr(find_info(info, "ds[netout].type")->value.u_str, ==, "DERIVE");
    g_assert_cmpuint(find_info(info, "ds[netout].index")->value.u_cnt, ==, 11);
    g_assert_cmpuint(find_info(info, "ds[memavailable].index")->value.u_cnt, ==, 12);
    g_assert_cmpuint(find_info(info, "ds[pressurememoryfull].index")->value.u_cnt, ==, 18);
    g_assert_cmpuint(find_info(info, "ds[cpu].minimal_heartbeat")->value.u_cnt, ==, 120);
    g_assert_cmpstr(find_info(info, "rra[0].cf")->value.u_str, ==, "AVERAGE");
    g_assert_cmpstr(find_info(info, "rra[4].cf")->value.u_str, ==, "MAX");
    g_assert_cmpuint(find_info(info, "rra[3].rows")->value.u_cnt, ==, 570);
    g_assert_cmpuint(find_info(info, "rra[7].pdp_per_row")->value.u_cnt, ==, 10080);
    g_assert_cmpstr(find_info(info, "ds[loadavg].last_ds")->value.u_str, ==, "0");
    g_assert_cmpstr(find_info(info, "ds[netout].last_ds")->value.u_str, ==, "11");
    g_assert_cmpstr(find_info(info, "ds[arcsize].last_ds")->value.u_str, ==, "U");
    rrd_info_free(info);
}

static void refused_ones(Fixture *f, gconstpointer unused)
{
    RrdWriterStats stats;

    (void)unused;
    start(f, "");
    push(f, "unknown/x", "1:2:3");
    push(f, "pve2-node/../../x", "1:2:3");
    push(f, "pve2-storage/n1/s", "junk");
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    push_columns(f, "pve2-storage/n1/s", "", 2, -100000); /* time goes backwards */
    push_columns(f, "pve2-storage/n1/s", "", 2, 60);
    stats = settle(f, 6);
    g_assert_cmpuint(stats.written, ==, 2);
    g_assert_cmpuint(stats.refused, ==, 4);
}

/* A file that somebody removed is made again. */
static void removed_file(Fixture *f, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(f->db, "pve-storage-9.0/n1/s", NULL);

    (void)unused;
    start(f, "");
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    (void)settle(f, 1);
    g_assert_cmpint(g_unlink(path), ==, 0);
    push_columns(f, "pve2-storage/n1/s", "", 2, 60); /* lost */
    (void)settle(f, 2);
    push_columns(f, "pve2-storage/n1/s", "", 2, 120);
    (void)settle(f, 3);
    g_assert_cmpint(size_of(f, "pve-storage-9.0/n1/s"), ==, 159392);
}

static void folder_that_cannot_be(Fixture *f, gconstpointer unused)
{
    RrdWriterStats stats;

    (void)unused;
    g_assert_true(g_file_set_contents(f->db, "a file", -1, NULL));
    start(f, "");
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    stats = settle(f, 1);
    g_assert_cmpuint(stats.refused, ==, 1);
    g_assert_cmpint(g_unlink(f->db), ==, 0);
    push_columns(f, "pve2-storage/n1/s", "", 2, 60);
    stats = settle(f, 2);
    g_assert_cmpuint(stats.written, ==, 1);
}

/* ---- the real rrdcached ---- */

static void wait_listening(const Fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int rc = -1;

    memcpy(addr.sun_path, f->sock, strlen(f->sock));
    for (int i = 0; i < PATIENCE_MS / 5 && rc < 0; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        rc = connect(fd, (struct sockaddr *)&addr, sizeof addr);
        (void)close(fd);
        g_usleep(5000);
    }
    g_assert_cmpint(rc, ==, 0);
}

static pid_t real_daemon(Fixture *f)
{
    g_autofree char *exe = g_find_program_in_path("rrdcached");
    g_autofree char *pid_file = g_build_filename(f->dir, "pid", NULL);
    g_autofree char *listen_at = g_strdup_printf("unix:%s", f->sock);
    pid_t pid;

    if (exe == NULL) {
        g_test_skip("rrdcached is not installed");
        return -1;
    }
    g_assert_cmpint(g_mkdir_with_parents(f->db, 0750), ==, 0);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        execl(exe, exe, "-g", "-p", pid_file, "-l", listen_at, "-b", f->db, "-B", "-R", NULL);
        _exit(127);
    }
    wait_listening(f);
    return pid;
}

static void end_daemon(pid_t pid)
{
    g_assert_cmpint(kill(pid, SIGTERM), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void through_rrdcached(Fixture *f, gconstpointer unused)
{
    pid_t pid = real_daemon(f);
    RrdWriterStats stats;
    rrd_info_t *info;

    (void)unused;
    if (pid < 0) {
        return;
    }
    start(f, f->sock);
    for (int i = 0; i < 300; i++) {
        g_autofree char *id = g_strdup_printf("pve2-storage/n1/s%d", i % 30);

        push_columns(f, id, "", 2, i);
    }
    push_columns(f, "pve2-storage/n1/s0", "", 2, -100000); /* too old: an error among the others */
    stats = settle(f, 301);
    g_assert_cmpuint(stats.written, ==, 300);
    g_assert_cmpuint(stats.cached, ==, 300);
    g_assert_cmpuint(stats.refused, ==, 1);
    end_daemon(pid); /* writes everything */
    info = info_of(f, "pve-storage-9.0/n1/s7");
    g_assert_cmpstr(find_info(info, "ds[used].last_ds")->value.u_str, ==, "1");
    rrd_info_free(info);
    push_columns(f, "pve2-storage/n1/s7", "", 2, 1000); /* without it: into the file */
    stats = settle(f, 302);
    g_assert_cmpuint(stats.written, ==, 301);
    g_assert_cmpuint(stats.cached, ==, 300);
}

/* A file that goes away while rrdcached is used. */
static void removed_under_rrdcached(Fixture *f, gconstpointer unused)
{
    pid_t pid = real_daemon(f);
    g_autofree char *path = g_build_filename(f->db, "pve-storage-9.0/n1/s", NULL);
    RrdWriterStats stats;

    (void)unused;
    if (pid < 0) {
        return;
    }
    start(f, f->sock);
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    push_columns(f, "pve2-storage/n1/other", "", 2, 0);
    (void)settle(f, 2);
    end_daemon(pid);
    g_assert_cmpint(g_unlink(path), ==, 0);
    pid = real_daemon(f);
    g_usleep((RRDCACHED_RETRY_MS + 100) * 1000);
    push_columns(f, "pve2-storage/n1/s", "", 2, 60); /* lost, and noticed */
    (void)settle(f, 3);
    push_columns(f, "pve2-storage/n1/s", "", 2, 120);
    stats = settle(f, 4);
    g_assert_cmpuint(stats.written, ==, 3);
    end_daemon(pid);
    g_assert_cmpint(size_of(f, "pve-storage-9.0/n1/s"), ==, 159392);
}

/* ---- a false one ---- */

typedef struct False {
    int fd;
    const char *answer; /* to everything; NULL: silence */
    gint accepted;
    gint stop;
} False;

static gpointer play(gpointer data)
{
    False *d = data;

    while (!g_atomic_int_get(&d->stop)) {
        int c = accept(d->fd, NULL, NULL);
        char buf[4096];

        if (c < 0) {
            g_usleep(2000);
            continue;
        }
        g_atomic_int_inc(&d->accepted);
        while (d->answer != NULL && recv(c, buf, sizeof buf, 0) > 0) {
            if (send(c, d->answer, strlen(d->answer), MSG_NOSIGNAL) < 0) {
                break;
            }
        }
        while (d->answer == NULL && !g_atomic_int_get(&d->stop)) {
            g_usleep(2000);
        }
        (void)close(c);
    }
    return NULL;
}

static GThread *false_daemon(Fixture *f, False *d)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memcpy(addr.sun_path, f->sock, strlen(f->sock));
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(d->fd, (struct sockaddr *)&addr, sizeof addr), ==, 0);
    g_assert_cmpint(listen(d->fd, 5), ==, 0);
    return g_thread_new("false", play, d);
}

/* Until the writer has connected, and so waits for an answer. */
static void wait_accepted(False *d)
{
    for (int i = 0; i < PATIENCE_MS / 2 && g_atomic_int_get(&d->accepted) == 0; i++) {
        g_usleep(2000);
    }
    g_assert_cmpint(g_atomic_int_get(&d->accepted), ==, 1);
}

static void lies(Fixture *f, gconstpointer answer)
{
    False d = {.answer = answer};
    GThread *t = false_daemon(f, &d);
    RrdWriterStats stats;

    start(f, f->sock);
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    push_columns(f, "pve2-storage/n1/t", "", 2, 0);
    stats = settle(f, 2);
    g_assert_cmpuint(stats.written, ==, 2); /* directly */
    g_assert_cmpuint(stats.cached, ==, 0);
    g_atomic_int_set(&d.stop, 1);
    rrd_writer_stop(g_steal_pointer(&f->w));
    g_thread_join(t);
    (void)close(d.fd);
}

/* It accepts and says nothing: who pushes does not wait with the writer. */
static void hangs(Fixture *f, gconstpointer unused)
{
    False d = {.answer = NULL};
    GThread *t = false_daemon(f, &d);
    RrdWriterStats stats;

    (void)unused;
    start(f, f->sock);
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    wait_accepted(&d);
    for (int i = 0; i < 1000; i++) {
        push_columns(f, "pve2-storage/n1/s", "", 2, 1 + i);
    }
    rrd_writer_stats(f->w, &stats);
    g_assert_cmpuint(stats.waiting, ==, 1000);
    g_atomic_int_set(&d.stop, 1); /* it goes away: all of it reaches the files */
    g_assert_cmpuint(settle(f, 1001).written, ==, 1001);
    rrd_writer_stop(g_steal_pointer(&f->w));
    g_thread_join(t);
    (void)close(d.fd);
}

/* It stays and says nothing: the writer gives it up, and its end does not wait for it either. */
static void is_given_up(Fixture *f, gconstpointer unused)
{
    False d = {.answer = NULL};
    GThread *t = false_daemon(f, &d);

    (void)unused;
    f->timeout_ms = 100;
    start(f, f->sock);
    for (int i = 0; i < 1000; i++) {
        push_columns(f, "pve2-storage/n1/s", "", 2, i);
    }
    g_assert_cmpuint(settle(f, 1000).written, ==, 1000);
    rrd_writer_stop(g_steal_pointer(&f->w));
    g_atomic_int_set(&d.stop, 1);
    g_thread_join(t);
    (void)close(d.fd);
}

static void one_connection(Fixture *f, gconstpointer unused)
{
    pid_t pid = real_daemon(f);
    g_autoptr(Rrdcached) c = rrdcached_new(f->sock, PATIENCE_MS);

    (void)unused;
    if (pid < 0) {
        return;
    }
    for (int i = 0; i < 50; i++) {
        RrdcachedUpdate u[2] = {{.path = "missing", .row = "1:2"}, {.path = "x", .row = "1:2"}};

        g_assert_cmpint(rrdcached_update(c, u, 2), ==, 0); /* a second connect would be too early */
        g_assert_cmpint(u[0].result, <, 0);
        g_assert_cmpint(u[1].result, <, 0);
    }
    end_daemon(pid);
}

/* More than the queue holds: the oldest go, and who pushes does not wait. */
static void overflow(Fixture *f, gconstpointer unused)
{
    False d = {.answer = NULL};
    GThread *t = false_daemon(f, &d);
    RrdWriterStats stats;

    (void)unused;
    start(f, f->sock);
    push_columns(f, "pve2-storage/n1/s", "", 2, 0);
    wait_accepted(&d);
    for (unsigned i = 0; i < RRD_QUEUE_MAX + 1000; i++) {
        push(f, "unknown/x", "1");
    }
    rrd_writer_stats(f->w, &stats);
    g_assert_cmpuint(stats.waiting, ==, RRD_QUEUE_MAX);
    g_assert_cmpuint(stats.dropped, ==, 1000);
    g_atomic_int_set(&d.stop, 1);
    rrd_writer_stop(g_steal_pointer(&f->w));
    g_thread_join(t);
    (void)close(d.fd);
}

#define ADD(path, data, fn) g_test_add("/rrd/" path, Fixture, data, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("files/documented-layout", NULL, documented_layout);
    ADD("files/refused-values", NULL, refused_ones);
    ADD("files/removed-file-is-made-again", NULL, removed_file);
    ADD("files/folder-that-cannot-be", NULL, folder_that_cannot_be);
    ADD("rrdcached/through-it", NULL, through_rrdcached);
    ADD("rrdcached/removed-file", NULL, removed_under_rrdcached);
    ADD("rrdcached/one-connection", NULL, one_connection);
    ADD("rrdcached/lies/no-number", "hello\n", lies);
    ADD("rrdcached/lies/negative", "-1 no\n", lies);
    ADD("rrdcached/lies/too-many-errors", "999999 errors\n", lies);
    ADD("rrdcached/hangs", NULL, hangs);
    ADD("rrdcached/is-given-up", NULL, is_given_up);
    ADD("overflow-drops-the-oldest", NULL, overflow);
    return g_test_run();
}
