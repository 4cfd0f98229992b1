/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads at once on a real mount, with promises that each can check for itself: a replaced
 * file is whole, a rewritten one is never empty or mixed, appended lines are all there, a lock has
 * one holder, a count kept under a lock is right. Meanwhile another node changes what it likes.
 *
 *   mount_stress [--seconds N] [--dir DIR]
 */
#include "lib/base/prng.h"
#include "tests/lib/mount_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD 3000

static atomic_bool ending;
static atomic_uint rounds[16]; /* of each kind of thread: shows that all of them moved */

typedef struct Worker {
    const char *name;
    gpointer (*run)(gpointer number);
    int copies;
} Worker;

static bool go_on(int kind)
{
    atomic_fetch_add(&rounds[kind], 1);
    return !atomic_load(&ending);
}

/* A record of one letter. The length tells the letter too, so that mixtures show. */
static size_t record(char *buf, char letter)
{
    size_t len = RECORD - (size_t)(letter - 'a') * 100;
    memset(buf, letter, len);
    return len;
}

static void check_record(const char *what, const char *buf, ssize_t n)
{
    if (n <= 0) {
        g_error("%s: read gave %zd (%s)", what, n, g_strerror(errno));
    }
    char want[RECORD];
    if (buf[0] < 'a' || buf[0] > 'z' || record(want, buf[0]) != (size_t)n ||
        memcmp(buf, want, (size_t)n) != 0) {
        size_t same = 0;
        while (same < (size_t)n && buf[same] == buf[0]) {
            same++;
        }
        g_error("%s: %zd bytes, '%c' up to %zu, then %d", what, n, buf[0], same,
                same < (size_t)n ? buf[same] : 0);
    }
}

static ssize_t read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return -1;
    }
    ssize_t n = read(fd, buf, size);
    close(fd);
    return n;
}

/* ---- replaced by rename --------------------------------------------------------------------- */

static gpointer replacer(gpointer number)
{
    int id = GPOINTER_TO_INT(number);
    const char *tmp = mt("s/replaced.tmp.%d", id);
    char buf[RECORD];
    Prng prng;
    prng_init(&prng, (uint64_t)id);
    while (go_on(0)) {
        size_t len = record(buf, (char)('a' + prng_below(&prng, 26)));
        int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL, 0640);
        MT_OK(fd);
        g_assert_cmpint(write(fd, buf, len), ==, (ssize_t)len);
        MT_OK(close(fd));
        MT_OK(rename(tmp, mt("s/replaced")));
    }
    return NULL;
}

static gpointer replaced_reader(gpointer number)
{
    char buf[RECORD + 1];
    (void)number;
    while (go_on(1)) {
        check_record("replaced", buf, read_file(mt("s/replaced"), buf, sizeof(buf)));
    }
    return NULL;
}

/* ---- rewritten in place ---------------------------------------------------------------------- */

static gpointer rewriter(gpointer number)
{
    char buf[RECORD];
    Prng prng;
    prng_init(&prng, 77);
    (void)number;
    while (go_on(2)) {
        mt_write(mt("s/rewritten"), buf, record(buf, (char)('a' + prng_below(&prng, 26))));
    }
    return NULL;
}

static gpointer rewritten_reader(gpointer number)
{
    char buf[RECORD + 1];
    (void)number;
    while (go_on(3)) {
        check_record("rewritten", buf, read_file(mt("s/rewritten"), buf, sizeof(buf)));
    }
    return NULL;
}

/* ---- rewritten by another node --------------------------------------------------------------- */

static gpointer remote_rewriter(gpointer number)
{
    char buf[RECORD + 1];
    Prng prng;
    prng_init(&prng, 78);
    (void)number;
    while (go_on(8) && mt_has_ctl()) {
        size_t len = record(buf, (char)('a' + prng_below(&prng, 26)));
        buf[len] = '\0';
        g_assert_cmpint(mt_ctl("write s/remote %s", buf), ==, (gint64)len);
        g_usleep(100);
    }
    return NULL;
}

static gpointer remote_reader(gpointer number)
{
    char buf[RECORD + 1];
    (void)number;
    while (go_on(9)) {
        check_record("remote", buf, read_file(mt("s/remote"), buf, sizeof(buf)));
    }
    return NULL;
}

/* ---- appended -------------------------------------------------------------------------------- */

static atomic_int appended;

static gpointer appender(gpointer number)
{
    int id = GPOINTER_TO_INT(number);
    char line[32];
    int i = 0;
    while (go_on(4) && i < 3000) {
        int fd = open(mt("s/log"), O_WRONLY | O_APPEND);
        MT_OK(fd);
        for (int k = 0; k < 10; k++, i++) {
            g_snprintf(line, sizeof(line), "%02d %06d line\n", id, i);
            g_assert_cmpint(write(fd, line, 15), ==, 15);
            atomic_fetch_add(&appended, 1);
        }
        MT_OK(close(fd));
    }
    return NULL;
}

static void check_log(void)
{
    GString *text = mt_read(mt("s/log"));
    g_assert_nonnull(text);
    g_assert_cmpuint(text->len, ==, (gsize)atomic_load(&appended) * 15);
    int next[16] = {0};
    for (gsize at = 0; at < text->len; at += 15) {
        int id = 0;
        int i = 0;
        g_assert_cmpint(sscanf(text->str + at, "%2d %6d line\n", &id, &i), ==, 2);
        g_assert_cmpint(i, ==, next[id]);
        next[id]++;
    }
    g_string_free(text, TRUE);
}

/* ---- a lock and what it guards ----------------------------------------------------------------
 */

static atomic_int counted;

static void count_under_lock(void)
{
    char text[32] = "";
    MT_OK(read_file(mt("s/count"), text, sizeof(text) - 1));
    gint64 n = g_ascii_strtoll(text, NULL, 10);
    g_snprintf(text, sizeof(text), "%lld\n", (long long)n + 1);
    mt_text(mt("s/count"), text);
    atomic_fetch_add(&counted, 1);
}

static gpointer locker(gpointer number)
{
    (void)number;
    while (go_on(5)) {
        if (mkdir(mt("priv/lock/stress"), 0755) != 0) {
            g_assert_cmpint(errno, ==, EEXIST);
            continue;
        }
        count_under_lock();
        MT_OK(rmdir(mt("priv/lock/stress")));
    }
    return NULL;
}

/* ---- anything ---------------------------------------------------------------------------------
 */

static void any_step(Prng *prng)
{
    struct stat st;
    const char *path = mt("s/any/%d", (int)prng_below(prng, 6));
    const char *other = mt("s/any/%d", (int)prng_below(prng, 6));
    char buf[64];
    int fd = -1;
    switch (prng_below(prng, 10)) {
    case 0:
        (void)!unlink(path);
        break;
    case 1:
        (void)!rename(path, other);
        break;
    case 2:
        (void)!stat(path, &st);
        break;
    case 3:
        (void)!truncate(path, (off_t)prng_below(prng, 5000));
        break;
    case 4:
        (void)!utimensat(AT_FDCWD, path, NULL, 0);
        break;
    default:
        fd = open(path, O_RDWR | O_CREAT | (prng_chance(prng, 1, 2) ? O_TRUNC : 0), 0640);
    }
    if (fd >= 0) {
        (void)!pread(fd, buf, sizeof(buf), (off_t)prng_below(prng, 100));
        if (prng_chance(prng, 2, 3)) {
            (void)!pwrite(fd, "somebytes", 9, (off_t)prng_below(prng, 9000));
            (void)!ftruncate(fd, (off_t)prng_below(prng, 9000));
        }
        if (prng_chance(prng, 1, 3)) {
            (void)!fsync(fd);
        }
        close(fd);
    }
}

static gpointer anything(gpointer number)
{
    Prng prng;
    prng_init(&prng, (uint64_t)GPOINTER_TO_INT(number) + 100);
    while (go_on(6)) {
        any_step(&prng);
        if (prng_chance(&prng, 1, 20)) {
            DIR *d = opendir(mt("s/any"));
            g_assert_nonnull(d);
            while (readdir(d) != NULL) {
            }
            closedir(d);
        }
    }
    return NULL;
}

static gpointer another_node(gpointer number)
{
    Prng prng;
    prng_init(&prng, 7);
    (void)number;
    while (go_on(7)) {
        if (!mt_has_ctl()) {
            break;
        }
        int i = (int)prng_below(&prng, 6);
        /* What fails, fails: the others are there too. */
        switch (prng_below(&prng, 4)) {
        case 0:
            (void)mt_ctl("delete s/any/%d", i);
            break;
        case 1:
            (void)mt_ctl("rename s/any/%d s/any/%d", i, (int)prng_below(&prng, 6));
            break;
        default:
            (void)mt_ctl("write s/any/%d text-of-another-node-%d", i, (int)prng_below(&prng, 9999));
        }
        g_usleep(200);
    }
    return NULL;
}

/* ---- all together -----------------------------------------------------------------------------
 */

static const Worker workers[] = {
    {"replacer", replacer, 2},
    {"replaced_reader", replaced_reader, 2},
    {"rewriter", rewriter, 1},
    {"rewritten_reader", rewritten_reader, 2},
    {"appender", appender, 3},
    {"locker", locker, 2},
    {"anything", anything, 4},
    {"another_node", another_node, 1},
    {"remote_rewriter", remote_rewriter, 1},
    {"remote_reader", remote_reader, 2},
};

static void prepare(void)
{
    char buf[RECORD];
    MT_OK(mkdir(mt("s"), 0755));
    MT_OK(mkdir(mt("s/any"), 0755));
    if (mkdir(mt("priv"), 0755) != 0 || mkdir(mt("priv/lock"), 0755) != 0) {
        g_assert_cmpint(errno, ==, EEXIST);
        (void)!mkdir(mt("priv/lock"), 0755); /* there already, perhaps */
    }
    mt_write(mt("s/replaced"), buf, record(buf, 'a'));
    mt_write(mt("s/rewritten"), buf, record(buf, 'a'));
    mt_write(mt("s/remote"), buf, record(buf, 'a'));
    mt_text(mt("s/log"), "");
    mt_text(mt("s/count"), "0\n");
}

static void check_end(void)
{
    g_autofree char *count = g_strdup_printf("%d\n", atomic_load(&counted));
    g_assert_true(mt_has(mt("s/count"), count));
    check_log();
    for (guint i = 0; i < G_N_ELEMENTS(workers); i++) {
        printf("# %s: %u rounds\n", workers[i].name, atomic_load(&rounds[i]));
        g_assert_cmpuint(atomic_load(&rounds[i]), >, 0);
    }
    DIR *d = opendir(mt("s/any"));
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        g_assert_null(strstr(e->d_name, "fuse_hidden"));
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    int seconds = 10;
    char *dir = NULL;
    GOptionEntry entries[] = {
        {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "How long", "N"},
        {"dir", 0, 0, G_OPTION_ARG_FILENAME, &dir, "A mounted tree to use", "DIR"},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, NULL) || argc > 1) {
        fprintf(stderr, "usage: mount_stress [--seconds N] [--dir DIR]\n");
        return 2;
    }
    mt_start(dir);
    prepare();
    for (guint i = 0; i < G_N_ELEMENTS(workers); i++) {
        for (int k = 0; k < workers[i].copies; k++) {
            g_ptr_array_add(threads,
                            g_thread_new(workers[i].name, workers[i].run, GINT_TO_POINTER(k)));
        }
    }
    g_usleep((gulong)seconds * G_USEC_PER_SEC);
    atomic_store(&ending, true);
    for (guint i = 0; i < threads->len; i++) {
        g_thread_join(threads->pdata[i]);
    }
    check_end();
    printf("1..1\nok 1 /mount-stress/promises-hold\n");
    mt_stop();
    g_free(dir);
    return 0;
}
