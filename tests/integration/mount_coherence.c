/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel caching: hot operations do not enter the daemon, and what other nodes change is seen.
 * "Hot" is counted, not timed: the host tells how many requests reached it.
 */
#include "tests/lib/mount_test.h"

#include "lib/base/prng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPEAT 100

static int64_t requests(void)
{
    return mt_ctl("requests");
}

/* Waits until requests of before, such as releases, and news to the kernel have come to an end: a
 * busy machine may take a while between two of them. */
static int64_t settled(void)
{
    int64_t now = requests();
    for (int quiet = 0; quiet < 5; quiet++) {
        g_usleep(20000);
        int64_t before = now;
        now = requests();
        quiet = now == before ? quiet : 0;
    }
    return now;
}

static void list(const char *dir)
{
    DIR *d = opendir(dir);
    g_assert_nonnull(d);
    while (readdir(d) != NULL) {
    }
    closedir(d);
}

static bool is_listed(const char *dir, const char *name)
{
    DIR *d = opendir(dir);
    bool found = false;
    g_assert_nonnull(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        found = found || strcmp(e->d_name, name) == 0;
    }
    closedir(d);
    return found;
}

/* ---- hot ----------------------------------------------------------------------------------- */

static void hot_all(int fd)
{
    struct stat st;
    char buf[4096];
    char link[64];
    MT_OK(stat(mt("h/f"), &st));
    MT_OK(fstat(fd, &st));
    MT_OK(access(mt("h/f"), R_OK));
    MT_FAILS(stat(mt("h/none"), &st), ENOENT);
    MT_OK(lstat(mt("local"), &st));
    MT_OK(readlink(mt("local"), link, sizeof(link)));
    MT_OK(pread(fd, buf, sizeof(buf), 0));
    list(mt("h"));
    list(mt_dir());
}

static void test_hot(void)
{
    MT_OK(mkdir(mt("h"), 0755));
    for (int i = 0; i < 300; i++) {
        mt_text(mt("h/x%d", i), "");
    }
    mt_text(mt("h/f"), "content");
    int fd = open(mt("h/f"), O_RDONLY);
    MT_OK(fd);
    for (int i = 0; i < 4; i++) {
        hot_all(fd);
    }
    int64_t before = settled();
    for (int i = 0; i < REPEAT; i++) {
        hot_all(fd);
    }
    g_assert_cmpint(requests() - before, ==, 0);
    close(fd);
}

/* Goal: to open, read and close a known file takes what the kernel asks of any file system: one
 * open and one release. */
static void test_hot_open(void)
{
    g_assert_true(mt_has(mt("h/f"), "content"));
    int64_t before = settled();
    for (int i = 0; i < REPEAT; i++) {
        g_assert_true(mt_has(mt("h/f"), "content"));
    }
    g_assert_cmpint(settled() - before, ==, 2 * REPEAT);
}

/* Goal: changes elsewhere in the tree, own or remote, leave hot what they do not touch. */
static void test_stays_hot(void)
{
    struct stat st;
    MT_OK(stat(mt("h/f"), &st));
    mt_text(mt("elsewhere"), "own");
    g_assert_cmpint(mt_ctl("write far remote"), ==, 6);
    g_assert_true(mt_becomes(mt("far"), "remote"));
    MT_OK(unlink(mt("elsewhere")));
    MT_OK(unlink(mt("far")));
    int64_t before = settled();
    for (int i = 0; i < REPEAT; i++) {
        MT_OK(stat(mt("h/f"), &st));
    }
    /* The root was changed: its attributes are asked for once. */
    g_assert_cmpint(requests() - before, <=, 1);
}

/* ---- news ---------------------------------------------------------------------------------- */

#define BECOMES(condition)                                                                         \
    do {                                                                                           \
        gint64 until = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;                               \
        while (!(condition) && g_get_monotonic_time() < until) {                                   \
            g_usleep(500);                                                                         \
        }                                                                                          \
        g_assert_true(condition);                                                                  \
    } while (0)

static bool has_size(const char *path, off_t size)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size == size;
}

static bool shows(int fd, const char *text)
{
    char buf[256] = "";
    ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
    return n == (ssize_t)strlen(text) && strcmp(buf, text) == 0;
}

static void test_remote_content(void)
{
    MT_OK(mkdir(mt("n"), 0755));
    mt_text(mt("n/f"), "one");
    int fd = open(mt("n/f"), O_RDONLY);
    MT_OK(fd);
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    g_assert_true(map != MAP_FAILED);
    g_assert_cmpstr(map, ==, "one");
    const char *texts[] = {"two", "longer-than-before", "x", "same-length-1", "same-length-2"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_assert_cmpint(mt_ctl("write n/f %s", texts[i]), >, 0);
        BECOMES(mt_has(mt("n/f"), texts[i]));
        BECOMES(shows(fd, texts[i]));
        BECOMES(has_size(mt("n/f"), (off_t)strlen(texts[i])));
        BECOMES(strcmp(map, texts[i]) == 0);
    }
    g_assert_cmpint(mt_ctl("mtime n/f 12345"), ==, 0);
    struct stat st;
    BECOMES(stat(mt("n/f"), &st) == 0 && st.st_mtime == 12345);
    munmap(map, 4096);
    close(fd);
}

/* Goal: a truncation that nobody wrote after goes with a rename: what another node then writes is
 * seen, and stays. */
static void test_truncated_and_renamed(void)
{
    mt_text(mt("n/was"), "long before");
    mt_text(mt("n/is"), "replaced");
    int fd = open(mt("n/was"), O_WRONLY);
    MT_OK(fd);
    MT_OK(ftruncate(fd, 0));
    MT_OK(rename(mt("n/was"), mt("n/is")));
    g_assert_true(mt_has(mt("n/is"), ""));
    g_assert_cmpint(mt_ctl("write n/is of-another"), >, 0);
    BECOMES(mt_has(mt("n/is"), "of-another"));
    MT_OK(close(fd));
    g_assert_true(mt_has(mt("n/is"), "of-another"));
}

static int64_t requests_to_read(const char *path, const char *text)
{
    struct stat st;
    MT_OK(stat(path, &st));
    int64_t before = settled();
    g_assert_true(mt_has(path, text));
    return settled() - before;
}

static void becomes_hot(const char *path, const char *text)
{
    for (int i = 0; i < 600 && requests_to_read(path, text) != 2; i++) {
        g_usleep(100000);
    }
    g_assert_cmpint(requests_to_read(path, text), ==, 2);
}

/* Goal: what changed in place is read around the page cache for a moment, and is hot again then. */
static void test_hot_again(void)
{
    mt_text(mt("n/again"), "one");
    g_assert_cmpint(mt_ctl("write n/again longer"), >, 0);
    BECOMES(mt_has(mt("n/again"), "longer"));
    becomes_hot(mt("n/again"), "longer");
    mt_text(mt("n/again"), "own");
    becomes_hot(mt("n/again"), "own");
}

static void test_remote_names(void)
{
    MT_FAILS(access(mt("n/new"), F_OK), ENOENT);
    g_assert_false(is_listed(mt("n"), "new"));
    g_assert_cmpint(mt_ctl("create n/new"), ==, 0);
    BECOMES(access(mt("n/new"), F_OK) == 0);
    BECOMES(is_listed(mt("n"), "new"));
    MT_FAILS(access(mt("n/moved"), F_OK), ENOENT);
    g_assert_cmpint(mt_ctl("rename n/new n/moved"), ==, 0);
    BECOMES(access(mt("n/moved"), F_OK) == 0);
    BECOMES(access(mt("n/new"), F_OK) != 0);
    BECOMES(is_listed(mt("n"), "moved") && !is_listed(mt("n"), "new"));
    g_assert_cmpint(mt_ctl("delete n/moved"), ==, 0);
    BECOMES(access(mt("n/moved"), F_OK) != 0);
    BECOMES(!is_listed(mt("n"), "moved"));
    g_assert_cmpint(mt_ctl("mkdir n/d"), ==, 0);
    g_assert_cmpint(mt_ctl("write n/d/f inside"), ==, 6);
    BECOMES(mt_has(mt("n/d/f"), "inside"));
    /* A file in the place of a directory. */
    g_assert_cmpint(mt_ctl("delete n/d/f"), ==, 0);
    g_assert_cmpint(mt_ctl("delete n/d"), ==, 0);
    g_assert_cmpint(mt_ctl("write n/d flat"), ==, 4);
    BECOMES(mt_has(mt("n/d"), "flat"));
}

/* Goal: a handle keeps the file that another node removed, in its last state. */
static void test_remote_removal(void)
{
    mt_text(mt("n/gone"), "one");
    int fd = open(mt("n/gone"), O_RDONLY);
    MT_OK(fd);
    g_assert_true(shows(fd, "one"));
    g_assert_cmpint(mt_ctl("write n/gone last-state"), >, 0);
    g_assert_cmpint(mt_ctl("delete n/gone"), ==, 0);
    BECOMES(access(mt("n/gone"), F_OK) != 0);
    BECOMES(shows(fd, "last-state"));
    struct stat st;
    MT_OK(fstat(fd, &st));
    g_assert_cmpint(st.st_nlink, ==, 0);
    close(fd);
}

/* Goal: an own unfinished write lies over what others change meanwhile. */
static void test_remote_under_own(void)
{
    mt_text(mt("n/both"), "0123456789");
    int w = open(mt("n/both"), O_WRONLY);
    MT_OK(w);
    MT_OK(pwrite(w, "XY", 2, 2));
    g_assert_cmpint(mt_ctl("write n/both abcdefghij"), >, 0);
    BECOMES(mt_has(mt("n/both"), "abXYefghij"));
    MT_OK(close(w));
    g_assert_true(mt_has(mt("n/both"), "abXYefghij"));
}

/* Goal: a change of another node that came before an own one hides nothing of that, also while the
 * kernel, for the sake of somebody who reads, has not been told yet of the former. */
static void test_remote_before_own(void)
{
    struct stat st;
    char buf[64];
    mt_text(mt("n/order"), "first");
    becomes_hot(mt("n/order"), "first");
    int r = open(mt("n/order"), O_RDONLY);
    MT_OK(r);
    g_assert_cmpint(pread(r, buf, sizeof(buf), 0), ==, 5);
    int w = open(mt("n/order"), O_WRONLY);
    MT_OK(w);
    g_assert_cmpint(pwrite(w, "mine, longer", 12, 0), ==, 12);
    g_assert_cmpint(mt_ctl("write n/order other"), >, 0);
    MT_OK(close(w));
    MT_OK(stat(mt("n/order"), &st));
    g_assert_cmpint(st.st_size, ==, 12);
    g_assert_true(mt_has(mt("n/order"), "mine, longer"));
    g_assert_cmpint(pread(r, buf, sizeof(buf), 0), ==, 12);
    close(r);
}

static void test_replaced_tree(void)
{
    MT_FAILS(access(mt("synced"), F_OK), ENOENT);
    list(mt_dir());
    g_assert_cmpint(mt_ctl("replace synced by-another"), ==, 0);
    BECOMES(mt_has(mt("synced"), "by-another"));
    BECOMES(is_listed(mt_dir(), "synced"));
    g_assert_true(mt_has(mt("h/f"), "content"));
    MT_OK(unlink(mt("synced")));
}

/* ---- races --------------------------------------------------------------------------------- */

/* Looks at the names as fast as it can, in a process of its own. */
static pid_t start_looker(const char *dir, int names, uint64_t seed)
{
    pid_t pid = fork();
    MT_OK(pid);
    if (pid != 0) {
        return pid;
    }
    Prng prng;
    prng_init(&prng, seed);
    for (;;) {
        struct stat st;
        char path[256];
        char buf[256];
        g_snprintf(path, sizeof(path), "%s/f%d", dir, (int)prng_below(&prng, (uint64_t)names));
        int kind = (int)prng_below(&prng, 4);
        if (kind == 0) {
            (void)!stat(path, &st);
        } else if (kind == 1) {
            int fd = open(path, O_RDONLY);
            if (fd >= 0) {
                (void)!read(fd, buf, sizeof(buf));
                close(fd);
            }
        } else if (kind == 2) {
            (void)!access(path, F_OK);
        } else {
            DIR *d = opendir(dir);
            while (d != NULL && readdir(d) != NULL) {
            }
            if (d != NULL) {
                closedir(d);
            }
        }
    }
}

static void remote_step(Prng *prng, GPtrArray *texts, int round)
{
    guint i = (guint)prng_below(prng, texts->len);
    char **text = (char **)&texts->pdata[i];
    if (*text != NULL && prng_chance(prng, 1, 4)) {
        g_assert_cmpint(mt_ctl("delete r%d/f%u", round, i), ==, 0);
        g_clear_pointer(text, g_free);
        return;
    }
    g_free(*text);
    *text = g_strnfill((gsize)prng_range(prng, 1, 60), (char)('a' + prng_below(prng, 26)));
    g_assert_cmpint(mt_ctl("write r%d/f%u %s", round, i, *text), >, 0);
}

/* Goal: an answer on its way while the kernel is told of a change leaves nothing stale behind.
 * Method: names and contents change remotely while others look; then all is compared. */
static void test_races(void)
{
    enum { NAMES = 12, LOOKERS = 3, ROUNDS = 25, STEPS = 300 };
    for (int round = 0; round < ROUNDS; round++) {
        Prng prng;
        pid_t pids[LOOKERS];
        prng_init(&prng, (uint64_t)round + 1);
        g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_set_size(texts, NAMES);
        g_assert_cmpint(mt_ctl("mkdir r%d", round), ==, 0);
        for (int i = 0; i < LOOKERS; i++) {
            pids[i] = start_looker(mt("r%d", round), NAMES, (uint64_t)(round * LOOKERS + i));
        }
        for (int i = 0; i < STEPS; i++) {
            remote_step(&prng, texts, round);
        }
        for (int i = 0; i < LOOKERS; i++) {
            kill(pids[i], SIGKILL);
            MT_OK(waitpid(pids[i], NULL, 0));
        }
        for (guint i = 0; i < NAMES; i++) {
            const char *path = mt("r%d/f%u", round, i);
            const char *text = texts->pdata[i];
            char name[16];
            g_snprintf(name, sizeof(name), "f%u", i);
            BECOMES(text != NULL ? mt_has(path, text) : access(path, F_OK) != 0);
            BECOMES(text == NULL || has_size(path, (off_t)strlen(text)));
            BECOMES(is_listed(mt("r%d", round), name) == (text != NULL));
        }
    }
}

/* ---- a stuck directory --------------------------------------------------------------------- */

static pid_t start_mkdir(const char *path)
{
    pid_t pid = fork();
    MT_OK(pid);
    if (pid == 0) {
        _exit(mkdir(path, 0755) == 0 ? 0 : 1);
    }
    return pid;
}

static void finish(pid_t pid)
{
    int status = -1;
    MT_OK(waitpid(pid, &status, 0));
    g_assert_cmpint(status, ==, 0);
}

/* Goal: a request that waits for the disk in one directory delays no news of files, and none of
 * other directories. */
static void test_stuck_directory(void)
{
    MT_OK(mkdir(mt("st"), 0755));
    MT_OK(mkdir(mt("st/in"), 0755));
    mt_text(mt("st/f"), "old");
    mt_text(mt("n/g"), "old");
    mt_ctl("hold 1");
    pid_t pid = start_mkdir(mt("st/in/slow"));
    BECOMES(mt_ctl("held") == 1);
    g_assert_cmpint(mt_ctl("create st/in/other"), ==, 0); /* its news must wait */
    g_assert_cmpint(mt_ctl("write st/f new"), >, 0);
    g_assert_cmpint(mt_ctl("write n/g new"), >, 0);
    BECOMES(mt_has(mt("st/f"), "new"));
    BECOMES(mt_has(mt("n/g"), "new"));
    mt_ctl("hold 0");
    finish(pid);
    BECOMES(is_listed(mt("st/in"), "other"));
}

/* Goal: readers are answered however many writers wait (INV-3). */
static void test_readers_pass_writers(void)
{
    enum { WRITERS = 80 };
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        MT_OK(mkdir(mt("st/w%d", i), 0755));
    }
    mt_text(mt("st/cold"), "read me");
    mt_ctl("hold 1");
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = start_mkdir(mt("st/w%d/d", i));
    }
    BECOMES(mt_ctl("held") > 0);
    g_usleep(300000);                                   /* the others as well, as many as may */
    g_assert_cmpint(mt_ctl("write st/cold new"), >, 0); /* so that it must be asked for */
    BECOMES(mt_has(mt("st/cold"), "new"));
    MT_FAILS(access(mt("st/never-seen"), F_OK), ENOENT);
    list(mt("st"));
    mt_ctl("hold 0");
    for (int i = 0; i < WRITERS; i++) {
        finish(pids[i]);
    }
}

/* Goal: more news than are kept: the kernel is told to look at everything again. */
static void test_overflow(void)
{
    enum { MANY = 20000 };
    MT_OK(mkdir(mt("ov"), 0755));
    MT_OK(mkdir(mt("ov2"), 0755));
    mt_text(mt("ov/stays"), "old");
    mt_text(mt("ov/goes"), "old");
    const int seen[] = {0, 1, 777, MANY - 1};
    for (guint i = 0; i < G_N_ELEMENTS(seen); i++) {
        MT_FAILS(access(mt("ov/b%d", seen[i]), F_OK), ENOENT);
    }
    mt_ctl("hold 1");
    pid_t pid = start_mkdir(mt("ov/slow"));
    BECOMES(mt_ctl("held") == 1); /* the news of this directory wait now */
    for (int i = 0; i < MANY; i++) {
        g_assert_cmpint(mt_ctl("create ov/b%d", i), ==, 0);
    }
    g_assert_cmpint(mt_ctl("write ov/stays new"), >, 0);
    g_assert_cmpint(mt_ctl("delete ov/goes"), ==, 0);
    mt_ctl("hold 0");
    finish(pid);
    for (guint i = 0; i < G_N_ELEMENTS(seen); i++) {
        BECOMES(access(mt("ov/b%d", seen[i]), F_OK) == 0);
    }
    BECOMES(mt_has(mt("ov/stays"), "new"));
    BECOMES(access(mt("ov/goes"), F_OK) != 0);
    BECOMES(is_listed(mt("ov"), "b777"));
    GString *metrics = mt_read(mt(".metrics"));
    g_assert_null(strstr(metrics->str, "pmxcfs_mount_notify_wholesale_total 0\n"));
    g_string_free(metrics, TRUE);
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_alarm(int number)
{
    (void)number;
}

static void test_events(void)
{
    char buf[8192];
    int fd = open(mt(".events"), O_RDONLY);
    MT_OK(fd);
    MT_OK(read(fd, buf, sizeof(buf))); /* the line that says where one is */
    struct pollfd p = {.fd = fd, .events = POLLIN};
    g_assert_cmpint(poll(&p, 1, 0), ==, 0);
    pid_t pid = fork();
    MT_OK(pid);
    if (pid == 0) {
        g_usleep(100000);
        mt_text(mt("ev-own"), "x");
        _exit(0);
    }
    g_assert_cmpint(poll(&p, 1, 90000), ==, 1);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    g_assert_cmpint(n, >, 0);
    buf[n] = '\0';
    g_assert_nonnull(strstr(buf, "ev-own"));
    finish(pid);
    while (poll(&p, 1, 0) == 1) {
        MT_OK(read(fd, buf, sizeof(buf)));
    }
    pid = fork();
    MT_OK(pid);
    if (pid == 0) { /* blocks, then is woken by a change of another node */
        n = read(fd, buf, sizeof(buf) - 1);
        buf[MAX(n, 0)] = '\0';
        _exit(n > 0 && strstr(buf, "ev-remote") != NULL ? 0 : 1);
    }
    g_usleep(100000);
    g_assert_cmpint(mt_ctl("create ev-remote"), ==, 0);
    finish(pid);
    close(fd);
    fd = open(mt(".events"), O_RDONLY | O_NONBLOCK);
    MT_OK(fd);
    MT_OK(read(fd, buf, sizeof(buf)));
    MT_FAILS(read(fd, buf, sizeof(buf)), EAGAIN);
    close(fd);
}

/* Goal: who waits can be interrupted, and killed. */
static void test_events_interrupted(void)
{
    char buf[8192];
    struct sigaction action = {.sa_handler = on_alarm};
    int fd = open(mt(".events"), O_RDONLY);
    MT_OK(fd);
    MT_OK(read(fd, buf, sizeof(buf)));
    MT_OK(sigaction(SIGALRM, &action, NULL));
    for (int i = 0; i < 20; i++) {
        ualarm(5000 + (useconds_t)i * 1000, 0);
        MT_FAILS(read(fd, buf, sizeof(buf)), EINTR);
    }
    pid_t pid = fork();
    MT_OK(pid);
    if (pid == 0) {
        (void)!read(fd, buf, sizeof(buf));
        _exit(0);
    }
    g_usleep(50000);
    MT_OK(kill(pid, SIGKILL));
    int status = 0;
    MT_OK(waitpid(pid, &status, 0));
    g_assert_true(WIFSIGNALED(status));
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mt_start(NULL);
    g_test_add_func("/coherence/hot-operations-enter-nobody", test_hot);
    g_test_add_func("/coherence/hot-open-read-close", test_hot_open);
    g_test_add_func("/coherence/other-changes-leave-hot", test_stays_hot);
    g_test_add_func("/coherence/remote-content", test_remote_content);
    g_test_add_func("/coherence/changed-content-is-hot-again", test_hot_again);
    g_test_add_func("/coherence/truncated-and-renamed", test_truncated_and_renamed);
    g_test_add_func("/coherence/remote-names", test_remote_names);
    g_test_add_func("/coherence/remote-removal", test_remote_removal);
    g_test_add_func("/coherence/remote-change-under-own-write", test_remote_under_own);
    g_test_add_func("/coherence/remote-change-before-own-write", test_remote_before_own);
    g_test_add_func("/coherence/replaced-tree", test_replaced_tree);
    g_test_add_func("/coherence/races-leave-nothing-stale", test_races);
    g_test_add_func("/coherence/stuck-directory-delays-only-itself", test_stuck_directory);
    g_test_add_func("/coherence/readers-pass-waiting-writers", test_readers_pass_writers);
    g_test_add_func("/coherence/overflow", test_overflow);
    g_test_add_func("/coherence/events", test_events);
    g_test_add_func("/coherence/events-interrupted", test_events_interrupted);
    int r = g_test_run();
    mt_stop();
    return r;
}
