/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_dog.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FEED_HEAD  0x02
#define FEED_MAGIC 'V'

void ha_dog_init(HaDog *dog, const char *path)
{
    *dog = (HaDog){.socket = path, .fd = -1};
}

int ha_dog_open(HaDog *dog, Err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;
    int r = 0;

    if (dog->fd >= 0) {
        return 0;
    }
    if (g_strlcpy(a.sun_path, dog->socket, sizeof a.sun_path) >= sizeof a.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: path is too long for a socket", dog->socket);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        r = -errno;
        if (fd >= 0) {
            (void)close(fd); /* nothing was said */
        }
        return err_setf(err, r, "%s: %s - is watchdog-mux running?", dog->socket, strerror(-r));
    }
    dog->fd = fd;
    return 0;
}

bool ha_dog_is_open(const HaDog *dog)
{
    return dog->fd >= 0;
}

/* The multiplexer never speaks: what can be read is its having hung up. */
static bool is_given_up(const HaDog *dog)
{
    struct pollfd p = {dog->fd, POLLIN, 0};

    return poll(&p, 1, 0) > 0;
}

static int say(HaDog *dog, const void *data, size_t size, Err *err)
{
    ssize_t n;

    if (dog->fd < 0) {
        return err_setf(err, -ENOTCONN, "the watchdog is not open");
    }
    if (is_given_up(dog)) {
        return err_setf(err, -EPIPE, "watchdog-mux has ended the connection");
    }
    n = send(dog->fd, data, size, MSG_NOSIGNAL);
    if (n != (ssize_t)size) {
        int r = n < 0 ? -errno : -EIO;

        return err_setf(err, r, "watchdog-mux: %s", strerror(-r));
    }
    return 0;
}

int ha_dog_feed(HaDog *dog, MonoTime since, int64_t client_ms, int64_t device_ms, Err *err)
{
    uint8_t message[17] = {FEED_HEAD};
    uint32_t client = (uint32_t)client_ms;
    uint32_t device = (uint32_t)device_ms;
    uint64_t as_of = (uint64_t)since.us;

    memcpy(message + 1, &client, sizeof client);
    memcpy(message + 5, &device, sizeof device);
    memcpy(message + 9, &as_of, sizeof as_of);
    return say(dog, message, sizeof message, err);
}

int ha_dog_close(HaDog *dog, Err *err)
{
    const char magic = FEED_MAGIC;
    int r = say(dog, &magic, 1, err);

    if (r == 0) {
        (void)close(dog->fd); /* what was said is with the multiplexer */
        dog->fd = -1;
    }
    return r;
}

void ha_dog_drop(HaDog *dog)
{
    if (dog->fd >= 0) {
        (void)close(dog->fd); /* a copy */
        dog->fd = -1;
    }
}
