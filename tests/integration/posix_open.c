/* SPDX-License-Identifier: Apache-2.0 */
/* Several handles of one file, its end while it is open, O_TRUNC, and what makes one change. */
#include "tests/integration/posix.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/wait.h>

static void check_read(int fd, const char *text)
{
    char buf[256] = "";
    g_assert_cmpint(pread(fd, buf, sizeof(buf) - 1, 0), ==, (ssize_t)strlen(text));
    g_assert_cmpstr(buf, ==, text);
}

static off_t size_of(int fd)
{
    struct stat st;
    MT_OK(fstat(fd, &st));
    return st.st_size;
}

static guint entries_of(const char *dir)
{
    DIR *d = opendir(dir);
    g_assert_nonnull(d);
    guint n = 0;
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

/* Goal: what one handle writes, the others of this node see at once, through any kind of handle. */
static void test_two_handles(void)
{
    mt_text(mt("two"), "old");
    int r = open(mt("two"), O_RDONLY);
    int w = open(mt("two"), O_RDWR);
    int v = open(mt("two"), O_RDWR);
    MT_OK(r);
    MT_OK(w);
    MT_OK(v);
    check_read(r, "old");
    MT_OK(pwrite(w, "new text", 8, 0));
    check_read(r, "new text");
    check_read(v, "new text");
    g_assert_cmpint(size_of(r), ==, 8);
    g_assert_true(mt_has(mt("two"), "new text"));
    MT_OK(pwrite(v, "N", 1, 0));
    check_read(w, "New text");
    MT_OK(ftruncate(w, 3));
    check_read(r, "New");
    check_read(v, "New");
    MT_OK(close(w));
    check_read(r, "New");
    MT_OK(pwrite(v, "!", 1, 3));
    MT_OK(close(v));
    check_read(r, "New!");
    MT_OK(close(r));
    MT_OK(unlink(mt("two")));
}

static void test_unlink_open(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "still here");
    int r = open(mt("a/f"), O_RDONLY);
    int w = open(mt("a/f"), O_RDWR);
    MT_OK(r);
    MT_OK(w);
    MT_OK(unlink(mt("a/f")));
    g_assert_cmpuint(entries_of(mt("a")), ==, 0); /* no .fuse_hidden */
    check_read(r, "still here");
    struct stat st;
    MT_OK(fstat(r, &st));
    g_assert_cmpint(st.st_nlink, ==, 0);
    MT_OK(pwrite(w, "STILL", 5, 0));
    check_read(r, "STILL here");
    MT_OK(fsync(w));
    check_read(r, "STILL here");
    mt_text(mt("a/f"), "another");
    check_read(r, "STILL here");
    MT_OK(close(w));
    g_assert_true(mt_has(mt("a/f"), "another"));
    MT_OK(close(r));
    posix_dir_remove("a");
}

/* What one handle cut off a removed file stays cut off for the others when it is closed. */
static void test_cut_unlinked(void)
{
    mt_text(mt("cut"), "long enough");
    int w = open(mt("cut"), O_RDWR);
    int cuts = open(mt("cut"), O_WRONLY);
    MT_OK(w);
    MT_OK(cuts);
    MT_OK(unlink(mt("cut")));
    MT_OK(ftruncate(cuts, 0));
    check_read(w, "");
    MT_OK(close(cuts));
    MT_OK(fsync(w));
    check_read(w, "");
    MT_OK(pwrite(w, "new", 3, 0));
    check_read(w, "new");
    MT_OK(close(w));
}

static void test_rename_over_open(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "old");
    mt_text(mt("a/f.tmp"), "new");
    int r = open(mt("a/f"), O_RDONLY);
    int w = open(mt("a/f"), O_WRONLY);
    MT_OK(r);
    MT_OK(w);
    MT_OK(pwrite(w, "O", 1, 0)); /* not yet a change when its file goes */
    MT_OK(rename(mt("a/f.tmp"), mt("a/f")));
    g_assert_cmpuint(entries_of(mt("a")), ==, 1);
    check_read(r, "Old");
    MT_OK(close(w));
    g_assert_true(mt_has(mt("a/f"), "new"));
    MT_OK(close(r));
    posix_dir_remove("a");
}

/* Goal: a write goes where its file is now, not to the name it was opened by. */
static void test_rename_open(void)
{
    posix_dir_make("a");
    int w = open(mt("a/f"), O_WRONLY | O_CREAT, 0640);
    MT_OK(w);
    MT_OK(write(w, "one", 3));
    MT_OK(rename(mt("a/f"), mt("a/g")));
    g_assert_true(mt_has(mt("a/g"), "one"));
    mt_text(mt("a/f"), "other");
    MT_OK(write(w, " two", 4));
    MT_OK(close(w));
    g_assert_true(mt_has(mt("a/g"), "one two"));
    g_assert_true(mt_has(mt("a/f"), "other"));
    posix_dir_remove("a");
}

static void test_trunc(void)
{
    mt_text(mt("tr"), "some old text");
    int r = open(mt("tr"), O_RDONLY);
    MT_OK(r);
    int w = open(mt("tr"), O_RDWR | O_TRUNC);
    MT_OK(w);
    /* The process that cuts sees it at once. */
    g_assert_cmpint(size_of(w), ==, 0);
    char c;
    g_assert_cmpint(pread(w, &c, 1, 0), ==, 0);
    g_assert_cmpint(lseek(w, 0, SEEK_END), ==, 0);
    MT_OK(write(w, "new", 3));
    check_read(r, "new");
    MT_OK(close(w));
    check_read(r, "new");
    w = open(mt("tr"), O_WRONLY | O_TRUNC);
    MT_OK(w);
    MT_OK(close(w));
    check_read(r, "");
    g_assert_true(mt_has(mt("tr"), ""));
    w = open(mt("tr"), O_WRONLY | O_TRUNC | O_APPEND);
    MT_OK(w);
    MT_OK(write(w, "x", 1));
    MT_OK(write(w, "y", 1));
    MT_OK(close(w));
    check_read(r, "xy");
    MT_OK(close(r));
    MT_OK(unlink(mt("tr")));
}

static int reads_nonempty(const void *path)
{
    GString *is = mt_read(path);
    return is != NULL && is->len > 0 ? 0 : 1;
}

/* Goal: a file that is rewritten in place is never seen empty by others. */
static void test_never_empty(void)
{
    mt_text(mt("ne"), "old");
    int w = open(mt("ne"), O_WRONLY | O_TRUNC);
    MT_OK(w);
    g_assert_cmpint(mt_as(0, 0, reads_nonempty, mt("ne")), ==, 0);
    int copy = dup(w);
    MT_OK(close(copy)); /* as a shell does before it writes */
    g_assert_cmpint(mt_as(0, 0, reads_nonempty, mt("ne")), ==, 0);
    MT_OK(write(w, "new", 3));
    g_assert_true(mt_has(mt("ne"), "new"));
    MT_OK(close(w));
    g_assert_true(mt_has(mt("ne"), "new"));
    /* A reader beside a writer. */
    pid_t pid = fork();
    MT_OK(pid);
    if (pid == 0) {
        for (int i = 0; i < 300; i++) {
            mt_text(mt("ne"), i % 2 != 0 ? "aaaaaaaa" : "bbbbbbbb");
        }
        _exit(0);
    }
    int status = 0;
    guint empty = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        empty += (guint)reads_nonempty(mt("ne"));
    }
    g_assert_cmpuint(empty, ==, 0);
    MT_OK(unlink(mt("ne")));
}

static int64_t changes(void)
{
    return mt_ctl("changes");
}

/* Goal: what a user does once is one change for the cluster. */
static void test_one_change(void)
{
    g_autofree char *bytes = g_strnfill(FILE_MAX, 'b');
    mt_text(mt("one"), "x");
    int64_t n = changes();
    int fd = open(mt("one"), O_WRONLY);
    for (int i = 0; i < 256; i++) {
        MT_OK(write(fd, bytes, 4096));
    }
    g_assert_cmpint(changes(), ==, n);
    MT_OK(close(fd));
    g_assert_cmpint(changes(), ==, ++n);
    mt_text(mt("one"), "rewritten"); /* O_TRUNC and write */
    g_assert_cmpint(changes(), ==, ++n);
    fd = open(mt("one"), O_WRONLY | O_APPEND);
    MT_OK(write(fd, "a", 1));
    MT_OK(fsync(fd));
    g_assert_cmpint(changes(), ==, ++n);
    MT_OK(fsync(fd));
    MT_OK(close(fd));
    g_assert_cmpint(changes(), ==, n);
    fd = open(mt("one"), O_RDWR);
    MT_OK(close(fd));
    g_assert_cmpint(changes(), ==, n);
    mt_text(mt("one.tmp"), "by a temporary file"); /* create, write, rename */
    MT_OK(rename(mt("one.tmp"), mt("one")));
    g_assert_cmpint(changes(), ==, n += 3);
    MT_OK(unlink(mt("one")));
    g_assert_cmpint(changes(), ==, ++n);
}

/* Goal: other nodes see what is written to a file that is never closed, but not each piece; nothing
 * is tried, and so lost, while there is no quorum. */
static void test_stays_open(void)
{
    gint64 until = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;
    mt_text(mt("log"), "a");
    int64_t n = changes();
    int fd = open(mt("log"), O_WRONLY | O_APPEND);
    MT_OK(write(fd, "b", 1));
    MT_OK(write(fd, "c", 1));
    mt_ctl("quorum 0");
    g_usleep(9 * G_USEC_PER_SEC);
    g_assert_cmpint(changes(), ==, n);
    g_assert_true(mt_has(mt("log"), "abc"));
    mt_ctl("quorum 1");
    while (changes() == n) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_usleep(50000);
    }
    g_assert_cmpint(changes(), ==, n + 1);
    MT_OK(close(fd));
    g_assert_cmpint(changes(), ==, n + 1);
    g_assert_true(mt_has(mt("log"), "abc"));
    MT_OK(unlink(mt("log")));
}

/* Goal: a redirection of a shell is one change, a bare one too. */
static void test_shell(void)
{
    mt_text(mt("sh"), "old");
    int64_t n = changes();
    const char *scripts[] = {"echo new > '%s'", ": > '%s'", "printf 'a\\nb\\n' >> '%s'",
                             "{ echo x; echo y; } > '%s'"};
    const char *results[] = {"new\n", "", "a\nb\n", "x\ny\n"};
    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
        GString *script = g_string_new(scripts[i]);
        g_string_replace(script, "%s", mt("sh"), 0);
        char *argv[] = {(char *)(uintptr_t) "/bin/bash", (char *)(uintptr_t) "-c", script->str,
                        NULL};
        int status = -1;
        g_assert_true(
            g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL));
        g_assert_cmpint(status, ==, 0);
        g_string_free(script, TRUE);
        g_assert_true(mt_has(mt("sh"), results[i]));
        if (i < 3) {
            g_assert_cmpint(changes(), ==, n + i + 1);
        }
    }
    MT_OK(unlink(mt("sh")));
}

static void test_exclusive_create(void)
{
    enum { PROCESSES = 8 };
    pid_t pids[PROCESSES];
    for (int round = 0; round < 20; round++) {
        int winners = 0;
        const char *path = mt("excl%d", round);
        for (int i = 0; i < PROCESSES; i++) {
            pids[i] = fork();
            MT_OK(pids[i]);
            if (pids[i] == 0) {
                _exit(open(path, O_WRONLY | O_CREAT | O_EXCL, 0640) >= 0 ? 0 : 1);
            }
        }
        for (int i = 0; i < PROCESSES; i++) {
            int status = 0;
            MT_OK(waitpid(pids[i], &status, 0));
            winners += WEXITSTATUS(status) == 0;
        }
        g_assert_cmpint(winners, ==, 1);
        MT_OK(unlink(path));
    }
}

/* Can another process lock the file right now? */
static int try_flock(const void *path)
{
    int fd = open(path, O_RDONLY);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : 1;
}

static int try_fcntl(const void *path)
{
    int fd = open(path, O_RDWR);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_SETLK, &l) == 0 ? 0 : 1;
}

static void test_file_locks(void)
{
    mt_text(mt("lk"), "x");
    int fd = open(mt("lk"), O_RDWR);
    MT_OK(fd);
    MT_OK(flock(fd, LOCK_EX));
    g_assert_cmpint(mt_as(0, 0, try_flock, mt("lk")), ==, 1);
    MT_OK(flock(fd, LOCK_UN));
    g_assert_cmpint(mt_as(0, 0, try_flock, mt("lk")), ==, 0);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    MT_OK(fcntl(fd, F_SETLK, &l));
    g_assert_cmpint(mt_as(0, 0, try_fcntl, mt("lk")), ==, 1);
    l.l_type = F_UNLCK;
    MT_OK(fcntl(fd, F_SETLK, &l));
    g_assert_cmpint(mt_as(0, 0, try_fcntl, mt("lk")), ==, 0);
    MT_OK(close(fd));
    MT_OK(unlink(mt("lk")));
}

/* Goal: files that are made and closed empty, which go to the disk before they are closed when many
 * were, are there, and so are those that are written after all, in whole. */
static void test_empty_files(void)
{
    for (int i = 0; i < 40; i++) {
        bool full = i > 8 && i % 3 == 0;
        int fd = open(mt("ef%d", i), O_WRONLY | O_CREAT | O_EXCL, 0640);
        MT_OK(fd);
        if (full) {
            MT_OK(write(fd, "full", 4));
        }
        MT_OK(close(fd));
        g_assert_true(mt_has(mt("ef%d", i), full ? "full" : ""));
    }
    for (int i = 0; i < 40; i++) {
        g_assert_true(mt_has(mt("ef%d", i), i > 8 && i % 3 == 0 ? "full" : ""));
        MT_OK(unlink(mt("ef%d", i)));
    }
}

void posix_add_open(void)
{
    g_test_add_func("/posix/open/empty-files", test_empty_files);
    g_test_add_func("/posix/open/two-handles-one-file", test_two_handles);
    g_test_add_func("/posix/open/unlinked-file-stays-readable", test_unlink_open);
    g_test_add_func("/posix/open/unlinked-file-stays-cut", test_cut_unlinked);
    g_test_add_func("/posix/open/replaced-file-stays-readable", test_rename_over_open);
    g_test_add_func("/posix/open/renamed-file-keeps-its-writes", test_rename_open);
    g_test_add_func("/posix/open/o-trunc", test_trunc);
    g_test_add_func("/posix/open/rewritten-is-never-empty", test_never_empty);
    posix_add_steered("/posix/open/one-change", test_one_change);
    posix_add_steered("/posix/open/stays-open", test_stays_open);
    posix_add_steered("/posix/open/shell-redirection", test_shell);
    g_test_add_func("/posix/open/exclusive-create-has-one-winner", test_exclusive_create);
    g_test_add_func("/posix/open/flock-and-fcntl", test_file_locks);
}
