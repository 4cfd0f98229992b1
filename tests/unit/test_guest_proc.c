/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a guest runs exactly when its pid file names a living process that was started with this
 * pid file; no other process is ever taken for it, let alone signalled. Method: small programs with
 * the command lines in question.
 */
#include "guest/io/guest_proc.h"

#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Fixture {
    char *dir;
    char *pid_file;
    GPid pid;
} Fixture;

static void set_up(Fixture *f, const void *data)
{
    (void)data;
    f->dir = g_dir_make_tmp("guest-proc-XXXXXX", NULL);
    f->pid_file = guest_run_path(f->dir, 100, "pid");
}

static void end_child(Fixture *f)
{
    if (f->pid > 0) {
        int status;
        (void)kill(f->pid, SIGKILL); /* it may have ended */
        g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
        f->pid = 0;
    }
}

static void tear_down(Fixture *f, const void *data)
{
    (void)data;
    end_child(f);
    guest_run_sweep(f->dir, 100);
    (void)g_rmdir(f->dir); /* some cases leave a file for tmp cleaners to take */
    g_free(f->dir);
    g_free(f->pid_file);
}

/* A process whose command line says `-pidfile NAMED`, written down in the guest's pid file. */
static void run(Fixture *f, const char *named)
{
    char *argv[] = {(char *)"tail",
                    (char *)"-f",
                    (char *)"/dev/null",
                    (char *)"--",
                    (char *)"-pidfile",
                    (char *)(uintptr_t)named,
                    NULL};
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_spawn_async(NULL, argv, NULL,
                                G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                    G_SPAWN_STDERR_TO_DEV_NULL | G_SPAWN_STDOUT_TO_DEV_NULL,
                                NULL, NULL, &f->pid, &error));
    text = g_strdup_printf("%d\n", (int)f->pid);
    g_assert_cmpint(cfsfile_write(f->pid_file, text, strlen(text), NULL), ==, 0);
}

static int find(const Fixture *f, GuestProc *ret)
{
    Err err = ERR_INIT;

    return guest_proc_find(f->dir, 100, ret, &err);
}

static void test_runs(Fixture *f, const void *data)
{
    g_auto(GuestProc) p = GUEST_PROC_INIT;
    int status;

    (void)data;
    g_assert_cmpint(find(f, &p), ==, 0);
    run(f, f->pid_file);
    g_assert_cmpint(find(f, &p), ==, 1);
    g_assert_cmpint(p.pid, ==, f->pid);
    g_assert_false(guest_proc_wait(&p, 0));
    g_assert_cmpint(guest_proc_end(&p, 30000, 30000, NULL), ==, 0);
    g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
    f->pid = 0;
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    guest_proc_clear(&p);
    g_assert_cmpint(find(f, &p), ==, 0);
}

static void test_another(Fixture *f, const void *data)
{
    g_auto(GuestProc) p = GUEST_PROC_INIT;
    g_autofree char *other = guest_run_path(f->dir, 101, "pid");

    (void)data;
    run(f, other);
    g_assert_cmpint(find(f, &p), ==, 0);
    g_assert_cmpint(p.pid, ==, 0);
}

static void test_link(Fixture *f, const void *data)
{
    g_auto(GuestProc) p = GUEST_PROC_INIT;
    g_autofree char *link = g_strconcat(f->dir, "-link", NULL);
    g_autofree char *named = guest_run_path(link, 100, "pid");

    (void)data;
    g_assert_cmpint(symlink(f->dir, link), ==, 0);
    run(f, named);
    g_assert_cmpint(find(f, &p), ==, 1);
    g_assert_cmpint(g_unlink(link), ==, 0);
}

static void test_junk(Fixture *f, const void *data)
{
    static const char *const texts[] = {
        "", "\n", "0", "1", "-1", "abc", "12x", "99999999999999999999", "2147483647"};
    g_auto(GuestProc) p = GUEST_PROC_INIT;

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_assert_cmpint(cfsfile_write(f->pid_file, texts[i], strlen(texts[i]), NULL), ==, 0);
        g_assert_cmpint(find(f, &p), ==, 0);
    }
    g_assert_cmpint(
        cfsfile_write(f->pid_file, "0123456789012345678901234567890123456789", 40, NULL), ==, 0);
    g_assert_cmpint(find(f, &p), ==, -EFBIG);
}

static void test_list(Fixture *f, const void *data)
{
    static const char *const names[] = {"200.pid", "100.pid", "99.pid", "100.qmp", "x.pid", "7"};
    g_autoptr(GArray) list = NULL;

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(f->dir, names[i], NULL);
        g_assert_cmpint(cfsfile_write(path, "1", 1, NULL), ==, 0);
    }
    list = guest_run_list(f->dir);
    g_assert_cmpint(list->len, ==, 2);
    g_assert_cmpint(g_array_index(list, uint32_t, 0), ==, 100);
    g_assert_cmpint(g_array_index(list, uint32_t, 1), ==, 200);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(f->dir, names[i], NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define CASE(name, function)                                                                       \
    g_test_add("/guest-proc/" name, Fixture, NULL, set_up, function, tear_down)
    CASE("a-process-with-this-pid-file-is-found-and-ended", test_runs);
    CASE("a-process-with-another-pid-file-is-not-the-guest", test_another);
    CASE("a-linked-directory-is-the-same", test_link);
    CASE("junk-in-the-pid-file-is-no-process", test_junk);
    CASE("the-list-has-guests-only", test_list);
    return g_test_run();
}
