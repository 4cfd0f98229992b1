/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a watcher gets every line of the feed once and in order, hears when it may have missed
 * some, and works with a daemon that has no feed. Method: the feed played by a pipe with a name,
 * `.version` by a file. That the real feed continues after a restart is tried by the integration
 * tests.
 */
#include "lib/cfs/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Fixture {
    char *dir, *events, *version;
    int fd; /* our end of the feed */
} Fixture;

static void make_feed(Fixture *f)
{
    g_assert_cmpint(mkfifo(f->events, 0600), ==, 0);
    f->fd = open(f->events, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(f->fd, >=, 0);
}

static void say(Fixture *f, const char *text)
{
    g_assert_cmpint(write(f->fd, text, strlen(text)), ==, (ssize_t)strlen(text));
}

static void setup(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->dir = g_dir_make_tmp("quorate-watch-XXXXXX", NULL);
    f->events = g_build_filename(f->dir, ".events", NULL);
    f->version = g_build_filename(f->dir, ".version", NULL);
    f->fd = -1;
}

static void teardown(Fixture *f, gconstpointer unused)
{
    (void)unused;
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    (void)g_unlink(f->events);
    (void)g_unlink(f->version);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->events);
    g_free(f->version);
}

static CfsWatch *greeted(Fixture *f)
{
    CfsWatch *w = NULL;

    make_feed(f);
    say(f, "{\"seq\":10,\"time\":1,\"op\":\"open\"}\n");
    g_assert_cmpint(cfs_watch_open(f->dir, NULL, &w, NULL), ==, 0);
    g_assert_cmpuint(cfs_watch_seq(w), ==, 10);
    return w;
}

static void in_order(Fixture *f, gconstpointer unused)
{
    g_autoptr(CfsWatch) w = greeted(f);
    g_auto(CfsChange) a = {0};
    g_auto(CfsChange) b = {0};
    g_auto(CfsChange) none = {0};

    (void)unused;
    g_assert_cmpint(cfs_watch_next(w, 50, &none, NULL), ==, 0);
    say(f,
        "{\"seq\":11,\"op\":\"write\",\"path\":\"ha/x\",\"own\":true}\n{\"seq\":12,\"op\":\"ren");
    g_assert_cmpint(cfs_watch_next(w, 5000, &a, NULL), ==, 1);
    g_assert_cmpint(a.kind, ==, CFS_CHANGE_ENTRY);
    g_assert_cmpuint(a.seq, ==, 11);
    g_assert_cmpstr(a.op, ==, "write");
    g_assert_cmpstr(a.path, ==, "ha/x");
    g_assert_true(a.own && !a.undone);
    g_assert_cmpint(cfs_watch_next(w, 50, &none, NULL), ==, 0); /* half a line */
    say(f, "ame\",\"path\":\"a\",\"to\":\"b\"}\n");
    g_assert_cmpint(cfs_watch_next(w, 5000, &b, NULL), ==, 1);
    g_assert_cmpstr(b.to, ==, "b");
    g_assert_cmpuint(cfs_watch_seq(w), ==, 12);
}

static void kinds(Fixture *f, gconstpointer unused)
{
    g_autoptr(CfsWatch) w = greeted(f);
    const CfsChangeKind want[] = {CFS_CHANGE_QUORUM, CFS_CHANGE_ANYTHING, CFS_CHANGE_ANYTHING,
                                  CFS_CHANGE_ENTRY};

    (void)unused;
    say(f, "{\"seq\":11,\"op\":\"quorum\",\"quorate\":true}\n{\"seq\":12,\"op\":\"resync\"}\n"
           "{\"seq\":13,\"op\":\"lost\"}\n{\"seq\":14,\"op\":\"invented later\"}\n"
           "{\"seq\":15,\"op\":\"delete\",\"path\":\"x\",\"undone\":true}\n");
    for (gsize i = 0; i < G_N_ELEMENTS(want); i++) {
        g_auto(CfsChange) c = {0};

        g_assert_cmpint(cfs_watch_next(w, 5000, &c, NULL), ==, 1);
        g_assert_cmpint(c.kind, ==, want[i]);
        g_assert_true(c.kind != CFS_CHANGE_QUORUM || c.quorate);
        g_assert_true(c.kind != CFS_CHANGE_ENTRY || c.undone);
    }
    g_assert_cmpuint(cfs_watch_seq(w), ==, 15);
}

static void concerns(Fixture *f, gconstpointer unused)
{
    const CfsChange write = {.kind = CFS_CHANGE_ENTRY, .path = (char *)"ha/resources.cfg"};
    const CfsChange move = {.kind = CFS_CHANGE_ENTRY, .path = (char *)"a", .to = (char *)"ha/x"};
    const CfsChange any = {.kind = CFS_CHANGE_ANYTHING};
    const CfsChange quorum = {.kind = CFS_CHANGE_QUORUM};

    (void)f;
    (void)unused;
    g_assert_true(cfs_change_concerns(&write, "ha"));
    g_assert_true(cfs_change_concerns(&write, "ha/resources.cfg"));
    g_assert_true(cfs_change_concerns(&write, ""));
    g_assert_false(cfs_change_concerns(&write, "h"));
    g_assert_false(cfs_change_concerns(&write, "ha/resources"));
    g_assert_false(cfs_change_concerns(&write, "ha/resources.cfg/x"));
    g_assert_true(cfs_change_concerns(&move, "ha"));
    g_assert_true(cfs_change_concerns(&move, "a"));
    g_assert_true(cfs_change_concerns(&any, "ha"));
    g_assert_false(cfs_change_concerns(&quorum, "ha"));
}

static void broken_lines(Fixture *f, gconstpointer unused)
{
    g_autoptr(CfsWatch) w = greeted(f);
    g_auto(CfsChange) c = {0};
    g_autofree char *endless = g_strnfill(60000, 'x');
    Err err = ERR_INIT;

    (void)unused;
    say(f, "no json\n{\"seq\":12,\"op\":\"write\",\"path\":\"x\"}\n");
    g_assert_cmpint(cfs_watch_next(w, 5000, &c, &err), ==, -EBADMSG);
    g_assert_cmpint(cfs_watch_next(w, 5000, &c, NULL), ==, 1); /* the next one is fine */
    cfs_change_clear(&c);
    say(f, endless);
    g_assert_cmpint(cfs_watch_next(w, 100, &c, &err), ==, 0);
    say(f, endless);
    g_assert_cmpint(cfs_watch_next(w, 1000, &c, &err), ==, -EBADMSG);
}

/* The file system goes away and comes back; the pipe cannot seek: so something may be missed. */
static void goes_and_returns(Fixture *f, gconstpointer unused)
{
    g_autoptr(CfsWatch) w = greeted(f);
    g_auto(CfsChange) none = {0};
    g_auto(CfsChange) any = {0};
    g_auto(CfsChange) c = {0};

    (void)unused;
    g_assert_cmpint(close(f->fd), ==, 0);
    g_assert_cmpint(g_unlink(f->events), ==, 0);
    g_assert_cmpint(cfs_watch_next(w, 300, &none, NULL), ==, 0);
    make_feed(f);
    g_assert_cmpint(cfs_watch_next(w, 5000, &any, NULL), ==, 1);
    g_assert_cmpint(any.kind, ==, CFS_CHANGE_ANYTHING);
    say(f, "{\"seq\":20,\"op\":\"open\"}\n{\"seq\":21,\"op\":\"write\",\"path\":\"x\"}\n");
    g_assert_cmpint(cfs_watch_next(w, 5000, &c, NULL), ==, 1);
    g_assert_cmpuint(c.seq, ==, 21);
}

static void fails_when_told_to(Fixture *f, gconstpointer unused)
{
    const CfsWatchOptions opt = {.fail_when_gone = true};
    g_autoptr(CfsWatch) w = NULL;
    g_auto(CfsChange) c = {0};
    Err err = ERR_INIT;

    (void)unused;
    make_feed(f);
    say(f, "{\"seq\":10,\"op\":\"open\"}\n");
    g_assert_cmpint(cfs_watch_open(f->dir, &opt, &w, NULL), ==, 0);
    g_assert_cmpint(close(f->fd), ==, 0);
    f->fd = -1;
    g_assert_cmpint(cfs_watch_next(w, 5000, &c, &err), ==, -ENOTCONN);
}

static void without_a_feed(Fixture *f, gconstpointer unused)
{
    g_autoptr(CfsWatch) w = NULL;
    g_auto(CfsChange) none = {0};
    g_auto(CfsChange) any = {0};

    (void)unused;
    g_assert_true(g_file_set_contents(f->version, "{\"starttime\": 1}", -1, NULL));
    g_assert_cmpint(cfs_watch_open(f->dir, NULL, &w, NULL), ==, 0);
    g_assert_cmpuint(cfs_watch_seq(w), ==, 0);
    g_assert_cmpint(cfs_watch_next(w, 100, &none, NULL), ==, 0);
    g_assert_true(g_file_set_contents(f->version, "{\"starttime\": 2}", -1, NULL));
    g_assert_cmpint(cfs_watch_next(w, 5000, &any, NULL), ==, 1);
    g_assert_cmpint(any.kind, ==, CFS_CHANGE_ANYTHING);
    g_assert_cmpint(cfs_watch_next(w, 0, &none, NULL), ==, 0);
}

static void not_mounted(Fixture *f, gconstpointer unused)
{
    CfsWatch *w = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_cmpint(cfs_watch_open(f->dir, NULL, &w, &err), ==, -ENOTCONN);
    g_assert_nonnull(strstr(err_text(&err), f->dir));
}

#define ADD(path, fn) g_test_add("/watch/" path, Fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("changes-come-in-order", in_order);
    ADD("kinds", kinds);
    ADD("concerns", concerns);
    ADD("broken-lines", broken_lines);
    ADD("goes-away-and-returns", goes_and_returns);
    ADD("fails-when-told-to", fails_when_told_to);
    ADD("without-a-feed", without_a_feed);
    ADD("not-mounted", not_mounted);
    return g_test_run();
}
