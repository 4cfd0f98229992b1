/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/nbd_disk.h"

#include "guest/io/textfile.h"
#include "lib/port/clock.h"
#include "lib/port/process.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* All numbers of the protocol are big-endian. */
#define NBD_HELLO          "NBDMAGICIHAVEOPT"
#define NBD_OPTION         "IHAVEOPT"
#define NBD_OPT_EXPORT     1
#define NBD_CLIENT_FLAGS   3 /* fixed newstyle, no zeroes behind the answer */
#define NBD_REQUEST_MAGIC  0x25609513u
#define NBD_REPLY_MAGIC    0x67446698u
#define NBD_READ           0
#define NBD_WRITE          1
#define NBD_DISCONNECT     2
#define NBD_FLUSH          3
#define NBD_ZERO           6
#define ANSWER_TIMEOUT_SEC 120 /* of one request: a disk that hangs so long is gone */
#define END_TIMEOUT_MS     30000

struct NbdDisk {
    char *dir; /* of the socket and the pid file */
    char *socket_path;
    char *pid_path;
    int fd;
    int server; /* pidfd; -1: none */
    uint64_t size;
};

static void put(uint8_t *at, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
}

static uint64_t get(const uint8_t *at, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

static int send_all(int fd, const void *data, size_t len, Err *err)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "qemu-nbd: %s", g_strerror(errno));
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int recv_all(int fd, void *data, size_t len, Err *err)
{
    uint8_t *at = data;

    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n == 0) {
            return err_setf(err, -ECONNRESET, "qemu-nbd: ended early");
        }
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "qemu-nbd: %s", g_strerror(errno));
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* ----------------------------------------------------------------- opening */

/* The image as qemu-nbd is to take it: options, where a plain name would lock it. Caller frees. */
static char *image_of(const NbdDiskOptions *o)
{
    g_auto(GStrv) parts = NULL;
    g_autofree char *path = NULL;

    if (!o->in_use) {
        return g_strdup(o->path);
    }
    parts = g_strsplit(o->path, ",", -1);
    path = g_strjoinv(",,", parts);
    return g_strdup_printf("driver=%s,force-share=on,file.driver=file,file.filename=%s", o->format,
                           path);
}

static int start_server(NbdDisk *d, const NbdDiskOptions *o, Err *err)
{
    g_autofree char *snapshot =
        o->snapshot != NULL ? g_strdup_printf("snapshot.name=%s", o->snapshot) : NULL;
    g_autofree char *image = image_of(o);
    g_autofree char *pid_text = NULL;
    const char *argv[24] = {"qemu-nbd", "--fork", "--pid-file", d->pid_path, "-k", d->socket_path};
    size_t n = 6;
    size_t len;
    pid_t pid;
    int r;

    if (o->in_use) {
        argv[n++] = "--image-opts";
    } else {
        argv[n++] = "-f";
        argv[n++] = o->format;
    }
    if (!o->writable) {
        argv[n++] = "-r";
    }
    if (snapshot != NULL) {
        argv[n++] = "-l";
        argv[n++] = snapshot;
    }
    argv[n++] = "--discard=unmap";
    argv[n++] = image;
    argv[n] = NULL;
    r = process_check(argv, NULL, NULL, err);
    if (r == 0) {
        r = textfile_read(d->pid_path, 64, &pid_text, &len, err);
    }
    if (r == 0) {
        pid = (pid_t)g_ascii_strtoll(pid_text, NULL, 10);
        d->server = pid > 0 ? pidfd_open(pid, 0) : -1; /* one that has ended does not answer */
    }
    return r;
}

static int connect_server(NbdDisk *d, Err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_TIMEOUT_SEC};

    if (strlen(d->socket_path) >= sizeof addr.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", d->socket_path);
    }
    g_strlcpy(addr.sun_path, d->socket_path, sizeof addr.sun_path);
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (d->fd < 0 || setsockopt(d->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(d->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
        connect(d->fd, (const struct sockaddr *)&addr, sizeof addr) < 0) {
        return err_setf(err, -errno, "%s: %s", d->socket_path, g_strerror(errno));
    }
    return 0;
}

static int shake_hands(NbdDisk *d, Err *err)
{
    uint8_t hello[18];
    uint8_t wish[20];
    uint8_t answer[10];
    int r = recv_all(d->fd, hello, sizeof hello, err);

    if (r == 0 && memcmp(hello, NBD_HELLO, strlen(NBD_HELLO)) != 0) {
        r = err_setf(err, -EBADMSG, "qemu-nbd: speaks another protocol");
    }
    if (r < 0) {
        return r;
    }
    put(wish, NBD_CLIENT_FLAGS, 4);
    memcpy(wish + 4, NBD_OPTION, 8);
    put(wish + 12, NBD_OPT_EXPORT, 4);
    put(wish + 16, 0, 4); /* the export without a name */
    r = send_all(d->fd, wish, sizeof wish, err);
    if (r == 0) {
        r = recv_all(d->fd, answer, sizeof answer, err);
    }
    if (r == 0) {
        d->size = get(answer, 8);
    }
    return r;
}

/* Once connected nobody needs them: who is killed from now on leaves nothing behind. */
static void remove_names(NbdDisk *d)
{
    if (d->dir != NULL) {
        (void)g_unlink(d->socket_path); /* not there when the server did not start, or removed it */
        (void)g_unlink(d->pid_path);
        (void)g_rmdir(d->dir);
    }
    g_clear_pointer(&d->dir, g_free);
}

int nbd_disk_open(const NbdDiskOptions *options, NbdDisk **ret, Err *err)
{
    g_autoptr(NbdDisk) d = g_new0(NbdDisk, 1);
    g_autoptr(GError) error = NULL;
    int r;

    d->fd = d->server = -1;
    d->dir = g_dir_make_tmp("quorate-nbd-XXXXXX", &error);
    if (d->dir == NULL) {
        return err_setf(err, -EIO, "%s", error->message);
    }
    d->socket_path = g_build_filename(d->dir, "s", NULL);
    d->pid_path = g_build_filename(d->dir, "pid", NULL);
    r = start_server(d, options, err);
    if (r == 0) {
        r = connect_server(d, err);
    }
    if (r == 0) {
        r = shake_hands(d, err);
    }
    if (r == 0) {
        remove_names(d);
        *ret = g_steal_pointer(&d);
    }
    return r;
}

/* ---------------------------------------------------------------- requests */

static int request(NbdDisk *d, uint16_t type, uint64_t offset, size_t len, Err *err)
{
    uint8_t bytes[28];

    put(bytes, NBD_REQUEST_MAGIC, 4);
    put(bytes + 4, 0, 2);
    put(bytes + 6, type, 2);
    put(bytes + 8, 1, 8); /* one request at a time needs no numbers */
    put(bytes + 16, offset, 8);
    put(bytes + 24, len, 4);
    return send_all(d->fd, bytes, sizeof bytes, err);
}

static int read_reply(NbdDisk *d, const char *what, Err *err)
{
    uint8_t reply[16];
    int r = recv_all(d->fd, reply, sizeof reply, err);

    if (r == 0 && (get(reply, 4) != NBD_REPLY_MAGIC || get(reply + 8, 8) != 1)) {
        r = err_setf(err, -EBADMSG, "qemu-nbd: answers nonsense");
    }
    if (r == 0 && get(reply + 4, 4) != 0) {
        int code = (int)get(reply + 4, 4); /* Linux numbers by the protocol's definition */
        r = err_setf(err, code > 0 && code < 4096 ? -code : -EIO, "%s: %s", what, g_strerror(code));
    }
    return r;
}

uint64_t nbd_disk_size(const NbdDisk *d)
{
    return d->size;
}

int nbd_disk_read(NbdDisk *d, uint64_t offset, void *buf, size_t len, Err *err)
{
    int r = request(d, NBD_READ, offset, len, err);

    if (r == 0) {
        r = read_reply(d, "reading the image", err);
    }
    return r == 0 ? recv_all(d->fd, buf, len, err) : r;
}

int nbd_disk_write(NbdDisk *d, uint64_t offset, const void *buf, size_t len, Err *err)
{
    int r = request(d, NBD_WRITE, offset, len, err);

    if (r == 0) {
        r = send_all(d->fd, buf, len, err);
    }
    return r == 0 ? read_reply(d, "writing the image", err) : r;
}

int nbd_disk_zero(NbdDisk *d, uint64_t offset, uint32_t len, Err *err)
{
    int r = request(d, NBD_ZERO, offset, len, err);

    return r == 0 ? read_reply(d, "writing the image", err) : r;
}

int nbd_disk_flush(NbdDisk *d, Err *err)
{
    int r = request(d, NBD_FLUSH, 0, 0, err);

    return r == 0 ? read_reply(d, "syncing the image", err) : r;
}

/* ----------------------------------------------------------------- closing */

/* It ends by itself when its one client has gone. It is no child of ours: it has forked away, and
 * whoever is its parent now may take long to notice. */
static void end_server(int server)
{
    struct pollfd p = {.fd = server, .events = POLLIN};
    MonoTime deadline = mono_add_ms(clock_mono(), END_TIMEOUT_MS);
    int64_t left_ms;

    do {
        left_ms = MAX(mono_diff_us(deadline, clock_mono()) / US_PER_MS, 0);
    } while (poll(&p, 1, (int)left_ms) < 0 && errno == EINTR);
    if (p.revents == 0) {
        (void)pidfd_send_signal(server, SIGKILL, NULL, 0); /* it may end this very moment */
    }
}

void nbd_disk_close(NbdDisk *d)
{
    if (d == NULL) {
        return;
    }
    if (d->fd >= 0) {
        (void)request(d, NBD_DISCONNECT, 0, 0, NULL); /* closing says the same */
        (void)close(d->fd);
    } else if (d->server >= 0) {
        (void)pidfd_send_signal(d->server, SIGTERM, NULL, 0); /* nobody came: it would wait on */
    }
    if (d->server >= 0) {
        end_server(d->server);
        (void)close(d->server); /* a pidfd: nothing to lose */
    }
    remove_names(d);
    g_free(d->socket_path);
    g_free(d->pid_path);
    g_free(d);
}
