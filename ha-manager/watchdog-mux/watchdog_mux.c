/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchdog-mux: owns the machine's watchdog device and offers a watchdog to each of its clients
 * over a socket (docs/wire/watchdog-mux.md). While every client keeps its word the device is fed;
 * when one does not, feeding ends for good, and the device resets the machine (INV-6).
 *
 * Stands alone: nothing but libc, no allocation after start, one thread, memory locked. The device
 * is opened for the first client and released when the last has left in order, where its driver
 * allows that. Times are of CLOCK_BOOTTIME: a machine that slept is late.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE    2
#define CLIENTS_MAX   100
#define TICK_MS       500    /* looks at the clients and feeds the device that often */
#define CLIENT_MS     60000u /* a client's silence, unless it asks for less */
#define CLIENT_MS_MIN 1000u  /* below, a busy machine would be reset for nothing */
#define DEVICE_MS     10000u /* the device's timeout, unless a client wants a shorter one */
#define FEED_HEAD     0x02   /* first byte of the long form of a feeding */
#define FEED_SIZE     17     /* with its head: u32 client ms, u32 device ms, u64 as of, us */
#define MAGIC         'V'    /* last word of a client that leaves in order */
#define US_PER_MS     INT64_C(1000)

typedef struct Client {
    int fd;         /* -1: free */
    pid_t pid;      /* of the peer */
    int64_t fed_us; /* as of */
    uint32_t client_ms;
    uint32_t device_ms;
    bool leaving; /* the last byte was MAGIC */
    bool warned;
    uint8_t part[FEED_SIZE]; /* of a feeding in the long form */
    uint8_t n_part;
} Client;

/* Set by read_options; the last: the device cannot be asked, it fires after so many ms. */
static const char *opt_device, *opt_module, *opt_socket, *opt_marker, *opt_log, *opt_device_ms;

static Client clients[CLIENTS_MAX];
static unsigned n_clients;
static int device = -1;
static unsigned device_ms;   /* what the device is set to */
static bool device_keeps_on; /* once opened, the driver never stops it */
static bool doomed;          /* feeding has ended for good */

/* stderr is unbuffered: no allocation. */
#define say(...) ((void)fprintf(stderr, __VA_ARGS__), (void)fputc('\n', stderr))

static int64_t now_us(clockid_t clock)
{
    struct timespec t = {0};

    (void)clock_gettime(clock, &t); /* cannot fail: the clocks exist since Linux 2.6.39 */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The black box: the reason must be on disk before the device fires. */
static void doom(const Client *c, const char *why)
{
    char text[256];
    int64_t silent_ms = (now_us(CLOCK_BOOTTIME) - c->fed_us) / US_PER_MS;
    int n = snprintf(text, sizeof text, "%lld client (PID %d) %s, silent for %lld ms of %u ms\n",
                     (long long)(now_us(CLOCK_REALTIME) / 1000000), (int)c->pid, why,
                     (long long)silent_ms, c->client_ms);
    int fd;

    doomed = true;
    fd = open(opt_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (write(fd, text, (size_t)n) != n || fsync(fd) < 0) {
            say("%s: %s", opt_log, strerror(errno));
        }
        (void)close(fd);
    }
}

static void load_module(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        execl("/sbin/modprobe", "modprobe", "-q", opt_module, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0); /* whether it worked shows when the device is opened */
}

/* The shortest that a client wants. Not once feeding has ended: setting the timeout feeds the
 * device as well, and those who still live would keep a machine going that is to be reset. */
static void set_timeout(void)
{
    uint32_t ms = DEVICE_MS;
    int seconds;

    if (doomed) {
        return;
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].fd >= 0 && clients[i].device_ms < ms) {
            ms = clients[i].device_ms;
        }
    }
    seconds = (int)(ms / 1000);
    if (device_ms == ms) {
        return;
    }
    if (opt_device_ms != NULL) {
        device_ms = (unsigned)strtoul(opt_device_ms, NULL, 10);
        return;
    }
    if (ioctl(device, WDIOC_SETTIMEOUT, &seconds) < 0 &&
        ioctl(device, WDIOC_GETTIMEOUT, &seconds) < 0) {
        say("%s: cannot set or read the timeout: %s", opt_device, strerror(errno));
        seconds = (int)(CLIENT_MS / 1000); /* so long that no client can accept it */
    }
    device_ms = (unsigned)seconds * 1000;
}

/* Some kernels never stop a watchdog, whatever its driver could do. */
static bool is_nowayout(void)
{
    char c = '0';
    int fd = open("/sys/class/watchdog/watchdog0/nowayout", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!read(fd, &c, 1); /* then it stays '0' */
        (void)close(fd);
    }
    return c == '1';
}

static bool open_device(void)
{
    struct watchdog_info info = {0};

    device = open(opt_device, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (device < 0 && (errno == ENOENT || errno == ENODEV)) {
        load_module();
        device = open(opt_device, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (device < 0) {
        say("cannot open %s: %s", opt_device, strerror(errno));
        return false;
    }
    if (mkdir(opt_marker, 0600) < 0 && errno != EEXIST) {
        say("%s: %s", opt_marker, strerror(errno));
    }
    device_ms = 0;
    if (ioctl(device, WDIOC_GETSUPPORT, &info) == 0) { /* else: a stand-in, which can be stopped */
        device_keeps_on = (info.options & WDIOF_MAGICCLOSE) == 0 || is_nowayout();
        say("watchdog '%.32s', driver version %u%s", (const char *)info.identity,
            info.firmware_version, device_keeps_on ? ", never stops once it runs" : "");
    }
    set_timeout();
    return true; /* opening it was its first feeding */
}

/* The last client has left in order: no reason is left to reset this machine. */
static void release_device(void)
{
    (void)rmdir(opt_marker); /* one that stays only keeps us from being started again */
    if (device_keeps_on) {
        return; /* it would fire: go on feeding */
    }
    if (write(device, "V", 1) != 1) {
        say("stopping %s failed: %s", opt_device, strerror(errno));
        return;
    }
    (void)close(device); /* MAGIC was taken: the device is stopped */
    device = -1;
}

/* How long this client may be silent: less when the device takes longer than it was told. */
static int64_t patience_ms(const Client *c)
{
    int64_t ms = c->client_ms;

    if (device_ms > c->device_ms) {
        ms -= 2 * (int64_t)(device_ms - c->device_ms);
    }
    return ms;
}

static void remove_client(Client *c)
{
    (void)close(c->fd); /* a socket: nothing can be lost */
    c->fd = -1;
    n_clients--;
    if (n_clients == 0 && device >= 0 && !doomed) {
        say("all watchdog client connections to the multiplexer closed");
        release_device();
    }
}

static void client_gone(Client *c)
{
    if (c->leaving) {
        say("client (PID %d) has disconnected cleanly. Removing it gracefully from the watch",
            (int)c->pid);
    } else {
        say("client (PID %d) did not stop watchdog - disable watchdog updates", (int)c->pid);
        doom(c, "ended without leaving");
    }
    remove_client(c);
}

static uint32_t clamp(uint32_t v, uint32_t low, uint32_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void fed(Client *c, int64_t as_of_us)
{
    int64_t now = now_us(CLOCK_BOOTTIME);

    if (c->warned && as_of_us > c->fed_us) {
        say("client (PID %d) watchdog was updated before expiring", (int)c->pid);
        c->warned = false;
    }
    c->leaving = false;
    if (as_of_us > now) {
        as_of_us = now; /* nobody feeds ahead */
    }
    if (as_of_us > c->fed_us) {
        c->fed_us = as_of_us;
    }
}

/* False: the device takes so long that the client's silence could not be ended in time. It is told,
 * by hanging up, rather than left with a watchdog that is none. */
static bool can_serve(const Client *c)
{
    if (patience_ms(c) >= (int64_t)CLIENT_MS_MIN) {
        return true;
    }
    say("client (PID %d) refused: %s takes %u ms to fire, %u ms were wanted", (int)c->pid,
        opt_device, device_ms, c->device_ms);
    return false;
}

/* A feeding in its long form is complete. False: the client cannot be served. */
static bool take_long(Client *c)
{
    struct {
        uint32_t client_ms, device_ms;
        uint64_t as_of_us;
    } word;

    memcpy(&word, c->part + 1, sizeof word);
    c->n_part = 0;
    c->client_ms = clamp(word.client_ms, CLIENT_MS_MIN, CLIENT_MS);
    c->device_ms = clamp(word.device_ms, 1000, DEVICE_MS);
    set_timeout();
    fed(c, (int64_t)word.as_of_us);
    return can_serve(c);
}

static bool take_byte(Client *c, uint8_t byte)
{
    if (c->n_part > 0 || byte == FEED_HEAD) {
        c->part[c->n_part++] = byte;
        return c->n_part < FEED_SIZE || take_long(c);
    }
    fed(c, now_us(CLOCK_BOOTTIME));
    c->leaving = byte == MAGIC;
    return true;
}

static void read_client(Client *c)
{
    uint8_t buffer[256];
    ssize_t n = read(c->fd, buffer, sizeof buffer);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        client_gone(c); /* an error of one client is the death of that client, and no more */
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (!take_byte(c, buffer[i])) {
            remove_client(c);
            return;
        }
    }
}

static void add_client(int listener)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    Client *c = clients;

    while (c < clients + CLIENTS_MAX && c->fd >= 0) {
        c++;
    }
    if (fd < 0) {
        return;
    }
    if (c == clients + CLIENTS_MAX || doomed || (device < 0 && !open_device())) {
        say("no new client: %s", doomed ? "about to be reset" : "no place, or no device");
        (void)close(fd); /* the client sees it */
        return;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size); /* else: PID 0 in messages */
    *c = (Client){fd, peer.pid, now_us(CLOCK_BOOTTIME), CLIENT_MS, DEVICE_MS, 0, 0, {0}, 0};
    n_clients++;
    if (!can_serve(c)) {
        remove_client(c); /* no wish in a long form could mend it: these are the most patient */
        return;
    }
    say("added new client (PID %d) to watch", (int)c->pid);
}

static void check_client(Client *c, int64_t now)
{
    int64_t silent_ms = (now - c->fed_us) / US_PER_MS;
    int64_t patience = patience_ms(c);

    if (silent_ms > patience) {
        say("client (PID %d) watchdog expired - disable watchdog updates", (int)c->pid);
        doom(c, "expired");
    } else if (silent_ms > patience - patience / 6 && !c->warned) {
        say("client (PID %d) watchdog is about to expire", (int)c->pid);
        c->warned = true;
    }
}

static void tick(int timer)
{
    uint64_t times;
    int64_t now = now_us(CLOCK_BOOTTIME);

    (void)!read(timer, &times, sizeof times); /* how often it fired does not matter */
    for (unsigned i = 0; i < CLIENTS_MAX && !doomed; i++) {
        if (clients[i].fd >= 0) {
            check_client(&clients[i], now);
        }
    }
    if (device >= 0 && !doomed && write(device, "\0", 1) != 1) {
        say("feeding %s failed: %s", opt_device, strerror(errno));
    }
}

/* True: leave. */
static bool take_signal(int fd)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) != sizeof info) {
        return false;
    }
    if (info.ssi_signo == SIGHUP) {
        say("got SIGHUP - ignored");
        return false;
    }
    say("got terminate request");
    return true;
}

static void loop(int listener, int signals, int timer)
{
    struct pollfd polls[3 + CLIENTS_MAX] = {
        {listener, POLLIN, 0}, {signals, POLLIN, 0}, {timer, POLLIN, 0}};

    while (true) {
        for (unsigned i = 0; i < CLIENTS_MAX; i++) {
            polls[3 + i] = (struct pollfd){clients[i].fd, POLLIN, 0};
        }
        if (poll(polls, 3 + CLIENTS_MAX, -1) < 0) {
            continue; /* a signal that is none of ours */
        }
        for (unsigned i = 0; i < CLIENTS_MAX; i++) {
            if (polls[3 + i].revents != 0 && clients[i].fd >= 0) {
                read_client(&clients[i]);
            }
        }
        if (polls[2].revents != 0) {
            tick(timer);
        }
        if (polls[0].revents != 0) {
            add_client(listener);
        }
        if (polls[1].revents != 0 && take_signal(signals)) {
            return;
        }
    }
}

static int must(int r, const char *what)
{
    if (r < 0) {
        say("%s: %s", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return r;
}

/* Held for as long as we live: a second one would take the socket of the first away, and clients
 * with it. */
static void lock_socket(void)
{
    char path[256];
    int fd;

    (void)snprintf(path, sizeof path, "%s.lock", opt_socket); /* longer ones cannot be bound */
    fd = must(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        say("%s: %s", path, errno == EWOULDBLOCK ? "another watchdog-mux runs" : strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static int listen_socket(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");

    (void)umask(0077);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", opt_socket); /* bind fails when cut */
    (void)unlink(opt_socket);                                        /* of one that is gone */
    (void)must(bind(fd, (struct sockaddr *)&a, sizeof a), opt_socket);
    (void)must(listen(fd, 16), opt_socket);
    return fd;
}

static int make_timer(void)
{
    struct itimerspec every = {{0, TICK_MS * 1000000L}, {0, TICK_MS * 1000000L}};
    int fd = must(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK), "timer");

    (void)must(timerfd_settime(fd, 0, &every, NULL), "timer");
    return fd;
}

static int make_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return must(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

/* What keeps us going on a machine in trouble; without it we do what we can. */
static void harden(void)
{
    struct sched_param first = {.sched_priority = sched_get_priority_max(SCHED_RR)};

    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        say("warning: cannot lock memory: %s", strerror(errno));
    }
    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &first) < 0) {
        say("warning: cannot run at real-time priority: %s", strerror(errno));
    }
}

static const char *setting(const char *name, const char *fallback)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : fallback;
}

static void read_options(void)
{
    opt_device = setting("WATCHDOG_DEVICE", "/dev/watchdog");
    opt_module = setting("WATCHDOG_MODULE", "softdog");
    opt_socket = setting("WATCHDOG_SOCKET", "/run/watchdog-mux.sock");
    opt_marker = setting("WATCHDOG_MARKER", "/run/watchdog-mux.active");
    opt_log = setting("WATCHDOG_LOG", "/var/lib/quorate/watchdog-mux.log");
    opt_device_ms = setting("WATCHDOG_DEVICE_MS", NULL);
}

/* All is set by the environment; whoever gives arguments wants to know what this is. */
static int explain(const char *word)
{
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;

    if (strcmp(word, "--version") == 0) {
        (void)printf("watchdog-mux (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    (void)fprintf(help ? stdout : stderr,
                  "Usage: watchdog-mux\n\n"
                  "Shares the machine's watchdog device. No arguments: see watchdog-mux(8).\n");
    return help ? EXIT_SUCCESS : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct stat st;
    int listener, signals, timer;

    if (argc > 1) {
        return explain(argv[1]);
    }
    read_options();
    if (stat(opt_marker, &st) == 0) {
        say("watchdog active - unable to restart watchdog-mux");
        return EXIT_FAILURE;
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        clients[i].fd = -1;
    }
    lock_socket();
    signals = make_signals();
    timer = make_timer();
    listener = listen_socket();
    harden();
    loop(listener, signals, timer);
    if (n_clients > 0 || doomed) {
        say("exit watchdog-mux with active connections");
        return EXIT_FAILURE; /* the device stays armed: it will reset the machine */
    }
    if (device >= 0) {
        release_device();
    }
    (void)unlink(opt_socket); /* a new one makes it anew anyway */
    say("clean exit");
    return EXIT_SUCCESS;
}
