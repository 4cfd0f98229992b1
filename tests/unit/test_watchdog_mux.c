/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: watchdog-mux feeds its device while, and only while, every client keeps its word, opens it
 * for the first client and releases it after the last. Method: the real program with a pipe as its
 * device, and clients that leave in order, vanish, fall silent, or feed with an old time. */
#include "ha-manager/io/ha_dog.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS   90000
#define SILENT_MS 1500 /* no feeding for that long: it has ended (a tick is 500 ms) */

typedef struct Rig {
    char *dir;
    char *device;
    char *socket;
    char *marker;
    char *log;
    char *said; /* standard error */
    GPid pid;
    int pipe; /* our end of the device */
    GString *fed;
} Rig;

static char *in(const Rig *r, const char *name)
{
    return g_build_filename(r->dir, name, NULL);
}

/* In the child: it goes when the test goes, however that ends; what it says is kept. */
static void die_with_test(gpointer said)
{
    int fd = open(said, O_WRONLY | O_CREAT | O_APPEND, 0600);

    (void)dup2(fd, STDERR_FILENO);          /* if that failed, its words are missed below */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail with a valid signal */
}

/* `device_ms`: NULL for a device that is asked by ioctl. */
static void start_with(Rig *r, const char *device_ms)
{
    const char *build = g_getenv("top_builddir");
    g_autofree char *program =
        g_build_filename(build != NULL ? build : ".", "ha-manager/watchdog-mux/watchdog-mux", NULL);
    char *argv[] = {program, NULL};
    g_auto(GStrv) env = g_get_environ();
    g_autoptr(GError) error = NULL;
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL;

    env = g_environ_setenv(env, "WATCHDOG_DEVICE", r->device, TRUE);
    env = g_environ_setenv(env, "WATCHDOG_SOCKET", r->socket, TRUE);
    env = g_environ_setenv(env, "WATCHDOG_MARKER", r->marker, TRUE);
    env = g_environ_setenv(env, "WATCHDOG_LOG", r->log, TRUE);
    env = device_ms != NULL ? g_environ_setenv(env, "WATCHDOG_DEVICE_MS", device_ms, TRUE)
                            : g_environ_unsetenv(env, "WATCHDOG_DEVICE_MS");
    g_assert_true(g_spawn_async(NULL, argv, env, flags, die_with_test, r->said, &r->pid, &error));
    for (int i = 0; i < WAIT_MS / 10 && access(r->socket, F_OK) != 0; i++) {
        g_usleep(10000);
    }
}

static void start(Rig *r)
{
    start_with(r, "1000");
}

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->dir = g_dir_make_tmp("mux.XXXXXX", NULL);
    r->device = in(r, "device");
    r->socket = in(r, "sock");
    r->marker = in(r, "active");
    r->log = in(r, "log");
    r->said = in(r, "said");
    r->fed = g_string_new(NULL);
    g_assert_cmpint(mkfifo(r->device, 0600), ==, 0);
    r->pipe = open(r->device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    g_assert_cmpint(r->pipe, >=, 0);
    start(r);
}

static int end(Rig *r, int number)
{
    int status = 0;

    (void)kill(r->pid, number);
    g_assert_cmpint(waitpid(r->pid, &status, 0), ==, r->pid);
    r->pid = 0;
    return status;
}

static void tear_down(Rig *r, gconstpointer data)
{
    g_autofree char *lock = g_strconcat(r->socket, ".lock", NULL);

    (void)data;
    if (r->pid != 0) {
        (void)end(r, SIGKILL);
    }
    (void)close(r->pipe);
    (void)g_unlink(r->device);
    (void)g_unlink(r->socket);
    (void)g_rmdir(r->marker);
    (void)g_unlink(r->log);
    (void)g_unlink(r->said);
    (void)g_unlink(lock);
    g_assert_cmpint(g_rmdir(r->dir), ==, 0);
    g_free(r->dir);
    g_free(r->device);
    g_free(r->socket);
    g_free(r->marker);
    g_free(r->log);
    g_free(r->said);
    (void)g_string_free(r->fed, TRUE);
}

/* What came to the device since the last look. */
static gsize look(Rig *r)
{
    char buffer[4096];
    gsize before = r->fed->len;
    ssize_t n;

    while ((n = read(r->pipe, buffer, sizeof buffer)) > 0) {
        g_string_append_len(r->fed, buffer, n);
    }
    return r->fed->len - before;
}

static void wait_fed(Rig *r)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (look(r) > 0) {
            return;
        }
        g_usleep(10000);
    }
    g_assert_not_reached();
}

/* Feeding has ended: nothing comes for a while, however long it takes until then. */
static void wait_starved(Rig *r)
{
    int64_t quiet_since = clock_boot().us;
    int64_t deadline = quiet_since + WAIT_MS * US_PER_MS;

    while (clock_boot().us < deadline) {
        if (look(r) > 0) {
            quiet_since = clock_boot().us;
        }
        if (clock_boot().us - quiet_since > SILENT_MS * US_PER_MS) {
            return;
        }
        g_usleep(10000);
    }
    g_assert_not_reached();
}

/* The device was told to stop. */
static void wait_closed(Rig *r)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        (void)look(r);
        if (r->fed->len > 0 && r->fed->str[r->fed->len - 1] == 'V') {
            return;
        }
        g_usleep(10000);
    }
    g_assert_not_reached();
}

/* The socket has its name a moment before somebody listens there. */
static HaDog open_dog(const Rig *r)
{
    HaDog dog;
    Err err = ERR_INIT;
    int code = -ECONNREFUSED;

    ha_dog_init(&dog, r->socket);
    for (int i = 0; i < WAIT_MS / 10 && code == -ECONNREFUSED; i++) {
        code = ha_dog_open(&dog, &err);
        g_usleep(code < 0 ? 10000 : 0);
    }
    g_assert_cmpint(code, ==, 0);
    return dog;
}

static bool log_says(const Rig *r, const char *text)
{
    g_autofree char *log = NULL;

    return g_file_get_contents(r->log, &log, NULL, NULL) && strstr(log, text) != NULL;
}

static void device_rests_without_clients(Rig *r, gconstpointer data)
{
    (void)data;
    g_usleep(SILENT_MS * 1000);
    g_assert_cmpuint(look(r), ==, 0);
    g_assert_cmpint(access(r->marker, F_OK), !=, 0);
}

static void first_client_opens_and_last_releases(Rig *r, gconstpointer data)
{
    HaDog one = open_dog(r);
    HaDog two;

    (void)data;
    wait_fed(r);
    g_assert_cmpint(access(r->marker, F_OK), ==, 0);
    two = open_dog(r);
    g_assert_cmpint(ha_dog_feed(&one, clock_boot(), 60000, 10000, NULL), ==, 0);
    g_assert_cmpint(ha_dog_close(&one, NULL), ==, 0);
    wait_fed(r);
    wait_fed(r);
    g_assert_cmpint(ha_dog_close(&two, NULL), ==, 0);
    wait_closed(r);
    g_assert_cmpint(end(r, SIGTERM), ==, 0);
}

/* Until it is hung up on. */
static void wait_hung_up(HaDog *dog)
{
    int code = 0;

    for (int i = 0; i < WAIT_MS / 10 && code == 0; i++) {
        code = ha_dog_feed(dog, clock_boot(), 60000, 10000, NULL);
        g_usleep(10000);
    }
    g_assert_cmpint(code, <, 0);
    ha_dog_drop(dog);
}

static void client_that_dies_ends_feeding(Rig *r, gconstpointer data)
{
    HaDog dog = open_dog(r);
    HaDog late;
    int status;

    (void)data;
    wait_fed(r);
    ha_dog_drop(&dog); /* as when the process is killed */
    wait_starved(r);
    g_assert_true(log_says(r, "ended without leaving"));
    g_assert_null(memchr(r->fed->str, 'V', r->fed->len));
    late = open_dog(r); /* is hung up on: nobody may rely on this watchdog any more */
    wait_hung_up(&late);
    status = end(r, SIGTERM);
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    (void)look(r);
    g_assert_null(memchr(r->fed->str, 'V', r->fed->len)); /* the device stays armed */
}

static void silent_client_ends_feeding(Rig *r, gconstpointer data)
{
    HaDog dog = open_dog(r);

    (void)data;
    g_assert_cmpint(ha_dog_feed(&dog, clock_boot(), 2000, 1000, NULL), ==, 0);
    wait_fed(r);
    wait_starved(r);
    g_assert_true(log_says(r, "expired"));
    ha_dog_drop(&dog);
}

/* A process paused between its renewal and its feeding: the feeding is as old as the renewal. */
static void feeding_counts_from_its_time(Rig *r, gconstpointer data)
{
    HaDog dog = open_dog(r);
    MonoTime old = mono_add_ms(clock_boot(), -5000);

    (void)data;
    g_assert_cmpint(ha_dog_feed(&dog, clock_boot(), 3000, 1000, NULL), ==, 0);
    wait_fed(r);
    for (int i = 0; i < WAIT_MS / 100 && !log_says(r, "expired"); i++) {
        /* However often: it says nothing that is younger. */
        (void)!ha_dog_feed(&dog, old, 3000, 1000, NULL); /* until it is hung up on */
        g_usleep(100000);
    }
    g_assert_true(log_says(r, "expired"));
    wait_starved(r);
    ha_dog_drop(&dog);
}

/* More than once a second, as one who is not ours might: must not keep it from feeding. */
static void chatty_client_starves_nobody(Rig *r, gconstpointer data)
{
    HaDog dog = open_dog(r);

    (void)data;
    for (int i = 0; i < 200; i++) {
        g_assert_cmpint(write(dog.fd, "", 1), ==, 1); /* the short form: one byte */
        g_usleep(10000);
    }
    g_assert_cmpuint(look(r), >, 1);
    g_assert_cmpint(ha_dog_close(&dog, NULL), ==, 0);
    wait_closed(r);
}

/* A pipe knows no timeout, so it may take longer than anybody can wait for: nobody is served, and
 * nobody is reset for having asked. */
static void device_of_unknown_timeout_serves_nobody(Rig *r, gconstpointer data)
{
    g_autofree char *said = NULL;
    HaDog dog;

    (void)data;
    g_assert_cmpint(end(r, SIGTERM), ==, 0);
    (void)g_unlink(r->said);
    start_with(r, NULL);
    dog = open_dog(r);
    wait_hung_up(&dog);
    wait_closed(r);
    g_assert_cmpint(access(r->log, F_OK), !=, 0); /* nothing to explain after a reset */
    g_assert_cmpint(end(r, SIGTERM), ==, 0);
    g_assert_true(g_file_get_contents(r->said, &said, NULL, NULL));
    g_assert_nonnull(strstr(said, "cannot set or read the timeout"));
    g_assert_nonnull(strstr(said, "refused"));
    g_assert_null(strstr(said, "added"));
}

/* The line of /proc/PID/status, in KiB. */
static guint64 status_kib(const Rig *r, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)r->pid);
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, name);
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen(name), NULL, 10);
}

/* What the program has mapped, without the stack. */
static char *mappings(const Rig *r)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)r->pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GString *out = g_string_new(NULL);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        if (strstr(lines[i], "[stack]") == NULL) {
            g_string_append_printf(out, "%s\n", lines[i]);
        }
    }
    return g_string_free(out, FALSE);
}

/* It has no heap before, while and after it serves, so nothing it does can wait for memory; and
 * what it has is never paged out. */
static void memory_is_locked_and_never_asked_for(Rig *r, gconstpointer data)
{
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autofree char *said = NULL;
    HaDog dogs[8];

    (void)data;
#ifdef __SANITIZE_ADDRESS__
    g_test_skip("the sanitizer has a heap of its own");
    return;
#endif
    dogs[0] = open_dog(r);
    wait_fed(r);
    before = mappings(r);
    g_assert_null(strstr(before, "[heap]"));
    for (gsize i = 1; i < G_N_ELEMENTS(dogs); i++) {
        dogs[i] = open_dog(r);
        g_assert_cmpint(ha_dog_feed(&dogs[i], clock_boot(), 60000, 2000, NULL), ==, 0);
    }
    for (gsize i = 1; i < G_N_ELEMENTS(dogs); i++) {
        g_assert_cmpint(ha_dog_close(&dogs[i], NULL), ==, 0);
    }
    ha_dog_drop(&dogs[0]); /* writes the black box, too */
    wait_starved(r);
    after = mappings(r);
    g_assert_cmpstr(before, ==, after);
    g_assert_true(g_file_get_contents(r->said, &said, NULL, NULL));
    if (strstr(said, "cannot lock memory") != NULL) {
        g_test_skip("this user may not lock memory");
        return;
    }
    g_assert_cmpuint(status_kib(r, "VmLck:"), >=, status_kib(r, "VmRSS:") / 2);
    g_assert_cmpuint(status_kib(r, "VmSwap:"), ==, 0);
}

static void expect_refusal(Rig *r)
{
    GPid first = r->pid;
    int status;

    start(r);
    g_assert_cmpint(waitpid(r->pid, &status, 0), ==, r->pid);
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    r->pid = first;
}

static void second_multiplexer_refuses(Rig *r, gconstpointer data)
{
    HaDog dog;

    (void)data;
    expect_refusal(r); /* no client yet: the socket is not taken away */
    dog = open_dog(r);
    wait_fed(r);
    expect_refusal(r);
    wait_fed(r);
    g_assert_cmpint(ha_dog_close(&dog, NULL), ==, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Rig *, gconstpointer);
    } cases[] = {
        {"/watchdog-mux/device-rests-without-clients", device_rests_without_clients},
        {"/watchdog-mux/first-client-opens-and-last-releases",
         first_client_opens_and_last_releases},
        {"/watchdog-mux/client-that-dies-ends-feeding", client_that_dies_ends_feeding},
        {"/watchdog-mux/silent-client-ends-feeding", silent_client_ends_feeding},
        {"/watchdog-mux/feeding-counts-from-its-time", feeding_counts_from_its_time},
        {"/watchdog-mux/chatty-client-starves-nobody", chatty_client_starves_nobody},
        {"/watchdog-mux/device-of-unknown-timeout-serves-nobody",
         device_of_unknown_timeout_serves_nobody},
        {"/watchdog-mux/memory-is-locked-and-never-asked-for",
         memory_is_locked_and_never_asked_for},
        {"/watchdog-mux/second-multiplexer-refuses", second_multiplexer_refuses},
    };

    (void)signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].name, Rig, NULL, set_up, cases[i].run, tear_down);
    }
    return g_test_run();
}
