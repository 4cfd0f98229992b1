/* SPDX-License-Identifier: Apache-2.0 */
/* The first program of a machine with a real watchdog (it_72): starts watchdog-mux, is its client,
 * and tells on the console what happens. How it ends is a word of the kernel's command line:
 *
 *   silent   leaves in order, lives on, comes back, and then feeds no more
 *   dies     a client ends without a word; another lives on, with a new wish at each feeding
 *   killed   the multiplexer is killed
 *
 * A machine that is still there long after that says so and turns itself off. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_MS 2000u
#define DEVICE_MS 4000u

static pid_t mux;

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

static void say(const char *text, int64_t value)
{
    printf("\nTEST %s %lld\n", text, (long long)value);
    (void)fflush(stdout);
}

/* A module that is built in is not there as a file. */
static void load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0) < 0) {
        perror(path);
    }
}

static void start_mux(void)
{
    mux = fork();
    if (mux == 0) {
        execl("/watchdog-mux", "watchdog-mux", (char *)NULL);
        _exit(127);
    }
}

static int client(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/watchdog-mux.sock"};

    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
            return fd;
        }
        (void)close(fd);
        pause_ms(100);
    }
}

/* Gives the time of the feeding. */
static int64_t feed_once(int fd, uint32_t device_ms)
{
    uint8_t message[17] = {0x02};
    uint32_t client_ms = CLIENT_MS;
    int64_t fed = now_ms();
    uint64_t as_of = (uint64_t)fed * 1000;

    memcpy(message + 1, &client_ms, 4);
    memcpy(message + 5, &device_ms, 4);
    memcpy(message + 9, &as_of, 8);
    if (write(fd, message, sizeof message) != sizeof message) {
        say("REFUSED", 0);
    }
    return fed;
}

/* Feeds for so long; gives the time of the last feeding. */
static int64_t feed(int fd, int64_t ms)
{
    int64_t end = now_ms() + ms;
    int64_t fed;

    do {
        fed = feed_once(fd, DEVICE_MS);
        pause_ms(300);
    } while (now_ms() < end);
    return fed;
}

static void leave(int fd)
{
    if (write(fd, "V", 1) != 1) {
        say("REFUSED", 1);
    }
    (void)close(fd);
}

/* The console shows how long the machine has lived since then. `other` (-1: none) is a client that
 * lives on: the device must not even be told its wishes, since the kernel feeds it for that. */
static void wait_for_the_end(int64_t since, int other)
{
    for (unsigned i = 0; now_ms() - since < 60000; i++) {
        say("SINCE", now_ms() - since);
        if (other >= 0) {
            (void)feed_once(other, DEVICE_MS + 1000 * (i % 2));
        }
        pause_ms(100);
    }
    say("SURVIVED", now_ms() - since);
}

static void play(const char *how)
{
    int fd = client();
    int other = strcmp(how, "dies") == 0 ? client() : -1;

    if (strcmp(how, "silent") == 0) {
        (void)feed(fd, 1000);
        leave(fd);
        pause_ms(2 * DEVICE_MS + CLIENT_MS + 1000);
        say("LEFT", 0);
        fd = client();
    }
    /* Longer than the device forgives: only what is fed lives so long. The other is served for a
     * minute without having said a word. */
    int64_t fed = feed(fd, 2 * DEVICE_MS);
    say("FED", 2 * DEVICE_MS);
    if (strcmp(how, "dies") == 0) {
        (void)close(fd);
    } else if (strcmp(how, "killed") == 0) {
        (void)kill(mux, SIGKILL);
    }
    wait_for_the_end(fed, other);
}

int main(void)
{
    char line[1024] = "";
    const char *how;
    int fd;

    (void)mount("dev", "/dev", "devtmpfs", 0, NULL); /* the kernel may have done it */
    (void)mkdir("/proc", 0755);
    (void)mkdir("/sys", 0755);
    (void)mkdir("/run", 0755);
    (void)mkdir("/var", 0755);
    (void)mkdir("/var/lib", 0755);
    (void)mkdir("/var/lib/quorate", 0755);
    (void)mount("proc", "/proc", "proc", 0, NULL);
    (void)mount("sys", "/sys", "sysfs", 0, NULL);
    fd = open("/dev/console", O_RDWR);
    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) {
        return 1;
    }
    fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, line, sizeof line - 1) < 0) {
        return 1;
    }
    how = strstr(line, "how=");
    load("/watchdog.ko");
    load("/softdog.ko");
    start_mux();
    if (how != NULL) {
        char *word = strdup(how + 4);

        word[strcspn(word, " \n")] = '\0';
        play(word);
    }
    (void)reboot(RB_POWER_OFF); /* does not come back */
    return 1;
}
