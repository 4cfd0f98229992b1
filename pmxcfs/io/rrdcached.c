/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/rrdcached.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096u /* longest line of an answer */

struct Rrdcached {
    char *path;
    int64_t timeout_ms;
    int fd; /* -1: not connected */
    MonoTime retry_at;
    char buf[LINE_MAX_BYTES]; /* bytes read and not yet used */
    size_t used;
};

Rrdcached *rrdcached_new(const char *socket_path, int64_t timeout_ms)
{
    Rrdcached *c = g_new0(Rrdcached, 1);

    c->path = g_strdup(socket_path);
    c->timeout_ms = timeout_ms > 0 ? timeout_ms : RRDCACHED_TIMEOUT_MS;
    c->fd = -1;
    return c;
}

static void disconnect(Rrdcached *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
    c->used = 0;
}

void rrdcached_free(Rrdcached *c)
{
    if (c != NULL) {
        disconnect(c);
        g_free(c->path);
        g_free(c);
    }
}

static int connect_now(Rrdcached *c)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    MonoTime now = clock_mono();

    if (c->fd >= 0) {
        return 0;
    }
    if (mono_before(now, c->retry_at) || strlen(c->path) >= sizeof addr.sun_path) {
        return -ENOTCONN;
    }
    c->retry_at = mono_add_ms(now, RRDCACHED_RETRY_MS);
    memcpy(addr.sun_path, c->path, strlen(c->path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        disconnect(c); /* nobody there, or too busy to let us in */
        return -ENOTCONN;
    }
    return 0;
}

/* Waits until the socket is ready; -ETIMEDOUT at the deadline. */
static int wait_ready(const Rrdcached *c, short events, MonoTime deadline)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    int64_t ms = mono_diff_us(deadline, clock_mono()) / US_PER_MS;
    int rc = poll(&p, 1, ms > 0 ? (int)ms : 0);

    return rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
}

static int send_all(Rrdcached *c, const char *data, size_t size, MonoTime deadline)
{
    while (size > 0) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            int rc = wait_ready(c, POLLOUT, deadline);

            if (rc < 0) {
                return rc;
            }
        } else if (n < 0 && errno != EINTR) {
            return -errno;
        } else if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* The next line of the answer without its newline, in `line`. */
static int read_line(Rrdcached *c, char line[LINE_MAX_BYTES], MonoTime deadline)
{
    for (;;) {
        char *nl = memchr(c->buf, '\n', c->used);
        ssize_t n;
        int rc;

        if (nl != NULL) {
            size_t len = (size_t)(nl - c->buf);

            memcpy(line, c->buf, len);
            line[len] = '\0';
            c->used -= len + 1;
            memmove(c->buf, nl + 1, c->used);
            return 0;
        }
        if (c->used == sizeof c->buf) {
            return -EBADMSG;
        }
        rc = wait_ready(c, POLLIN, deadline);
        if (rc < 0) {
            return rc;
        }
        n = recv(c->fd, c->buf + c->used, sizeof c->buf - c->used, 0);
        if (n == 0) {
            return -ECONNRESET;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        c->used += n > 0 ? (size_t)n : 0;
    }
}

/* "<number> <text>": the number in front of each status line. */
static int status_of(const char *line, gint64 *ret)
{
    char *end;

    *ret = g_ascii_strtoll(line, &end, 10);
    return end != line ? 0 : -EBADMSG;
}

/* After the batch come "<n> errors" and n lines "<command number> <text>". */
static int read_results(Rrdcached *c, RrdcachedUpdate *updates, unsigned n, MonoTime deadline)
{
    char line[LINE_MAX_BYTES];
    gint64 errors = 0;
    int rc = read_line(c, line, deadline);

    if (rc == 0) {
        rc = status_of(line, &errors);
    }
    if (rc < 0 || errors < 0 || errors > n) {
        return -EBADMSG;
    }
    while (errors-- > 0) {
        gint64 which = 0;

        rc = read_line(c, line, deadline);
        if (rc == 0) {
            rc = status_of(line, &which);
        }
        if (rc < 0 || which < 1 || which > n) {
            return -EBADMSG;
        }
        updates[which - 1].result = strstr(line, "No such file") != NULL ? -ENOENT : -EINVAL;
        g_strlcpy(updates[which - 1].text, line, sizeof updates[which - 1].text);
    }
    return 0;
}

static int exchange(Rrdcached *c, RrdcachedUpdate *updates, unsigned n)
{
    MonoTime deadline = mono_add_ms(clock_mono(), c->timeout_ms);
    g_autoptr(GString) text = g_string_new("BATCH\n");
    char line[LINE_MAX_BYTES];
    gint64 status = 0;
    int rc = send_all(c, text->str, text->len, deadline);

    if (rc == 0) {
        rc = read_line(c, line, deadline);
    }
    if (rc == 0) {
        rc = status_of(line, &status);
    }
    if (rc < 0 || status < 0) {
        return -EIO;
    }
    g_string_truncate(text, 0);
    for (unsigned i = 0; i < n; i++) {
        updates[i].result = 0;
        updates[i].text[0] = '\0';
        g_string_append_printf(text, "UPDATE %s %s\n", updates[i].path, updates[i].row);
    }
    g_string_append(text, ".\n");
    rc = send_all(c, text->str, text->len, deadline);
    if (rc == 0) {
        rc = read_results(c, updates, n, deadline);
    }
    return rc < 0 ? -EIO : 0;
}

int rrdcached_update(Rrdcached *c, RrdcachedUpdate *updates, unsigned n)
{
    int rc = connect_now(c);

    g_assert(n <= RRDCACHED_BATCH_MAX);
    if (rc < 0 || n == 0) {
        return rc;
    }
    rc = exchange(c, updates, n);
    if (rc < 0) {
        disconnect(c);
    }
    return rc;
}
