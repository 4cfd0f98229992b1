/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_local.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_SIZE 65536u
#define OUTPUT_MAX    (4u * 1024 * 1024) /* a client that does not read is left */
#define CLIENTS_MAX   256u

struct MigLocalClient {
    MigLocal *local;
    int fd;
    guint input, output;
    GByteArray *in, *out;
    char *watched;
};

struct MigLocal {
    char *path;
    int fd;
    guint source;
    MigLocalAsk ask;
    void *ctx;
    GPtrArray *clients;
};

static void client_free(void *data)
{
    MigLocalClient *c = data;

    if (c->input != 0) {
        (void)g_source_remove(c->input);
    }
    if (c->output != 0) {
        (void)g_source_remove(c->output);
    }
    (void)close(c->fd); /* what it did not read is lost with it */
    g_byte_array_unref(c->in);
    g_byte_array_unref(c->out);
    g_free(c->watched);
    g_free(c);
}

static bool flush(MigLocalClient *c)
{
    while (c->out->len > 0) {
        ssize_t n = send(c->fd, c->out->data, c->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        }
        g_byte_array_remove_range(c->out, 0, (guint)n);
    }
    return true;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
    MigLocalClient *c = data;

    (void)fd;
    (void)condition;
    if (!flush(c)) {
        g_byte_array_set_size(c->out, 0); /* its end is seen while reading */
    }
    if (c->out->len > 0) {
        return G_SOURCE_CONTINUE;
    }
    c->output = 0;
    return G_SOURCE_REMOVE;
}

void mig_local_say(MigLocalClient *c, const char *line)
{
    if (c->out->len + strlen(line) > OUTPUT_MAX) {
        return;
    }
    g_byte_array_append(c->out, (const guint8 *)line, (guint)strlen(line));
    g_byte_array_append(c->out, (const guint8 *)"\n", 1);
    if (flush(c) && c->out->len > 0 && c->output == 0) {
        c->output = g_unix_fd_add(c->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable, c);
    }
}

void mig_local_fail(MigLocalClient *c, int exit_code, const char *text)
{
    g_autoptr(JsonTree) t = jsontree_new_object();
    g_autoptr(GString) line = g_string_new(NULL);

    jsontree_set_text(t, "event", "end");
    jsontree_set_text(t, "result", "refused");
    jsontree_set_int(t, "exit", exit_code);
    jsontree_set_text(t, "why", text);
    jsontree_append(line, t);
    mig_local_say(c, line->str);
}

static void on_line(MigLocalClient *c, const char *line, gsize len)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    if (jsontree_parse(line, len, &t, &err) < 0) {
        mig_local_fail(c, 2, err_text(&err));
    } else {
        c->local->ask(c->local->ctx, c, t);
    }
}

static bool take_lines(MigLocalClient *c)
{
    for (;;) {
        guint8 *end = c->in->len > 0 ? memchr(c->in->data, '\n', c->in->len) : NULL;
        g_autofree char *line = NULL;
        gsize len;

        if (end == NULL) {
            return c->in->len <= LINE_MAX_SIZE;
        }
        len = (gsize)(end - c->in->data);
        line = g_strndup((const char *)c->in->data, len);
        g_byte_array_remove_range(c->in, 0, (guint)len + 1);
        on_line(c, line, len);
    }
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    MigLocalClient *c = data;
    guint8 piece[4096];
    ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);

    (void)condition;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n > 0) {
        g_byte_array_append(c->in, piece, (guint)n);
        if (take_lines(c)) {
            return G_SOURCE_CONTINUE;
        }
    }
    c->input = 0;
    (void)g_ptr_array_remove(c->local->clients, c); /* frees it */
    return G_SOURCE_REMOVE;
}

static bool is_root(int fd)
{
    struct ucred cred;
    socklen_t size = sizeof cred;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 && cred.uid == 0;
}

static gboolean on_connect(gint fd, GIOCondition condition, gpointer data)
{
    MigLocal *l = data;
    MigLocalClient *c;
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)condition;
    if (got < 0) {
        return G_SOURCE_CONTINUE;
    }
    if (!is_root(got) || l->clients->len >= CLIENTS_MAX) {
        (void)close(got); /* nothing was said */
        return G_SOURCE_CONTINUE;
    }
    c = g_new0(MigLocalClient, 1);
    c->local = l;
    c->fd = got;
    c->in = g_byte_array_new();
    c->out = g_byte_array_new();
    c->input = g_unix_fd_add(got, G_IO_IN | G_IO_ERR | G_IO_HUP, on_readable, c);
    g_ptr_array_add(l->clients, c);
    return G_SOURCE_CONTINUE;
}

int mig_local_new(const char *path, MigLocalAsk ask, void *ctx, MigLocal **ret, Err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    MigLocal *l;
    int fd, r;

    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(path); /* of a dead daemon; bind tells what stands in the way */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(path, 0600) < 0 || listen(fd, 64) < 0) {
        r = -errno;
        if (fd >= 0) {
            (void)close(fd); /* never was of use */
        }
        return err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    l = g_new0(MigLocal, 1);
    l->path = g_strdup(path);
    l->fd = fd;
    l->ask = ask;
    l->ctx = ctx;
    l->clients = g_ptr_array_new_with_free_func(client_free);
    l->source = g_unix_fd_add(fd, G_IO_IN, on_connect, l);
    *ret = l;
    return 0;
}

void mig_local_free(MigLocal *l)
{
    if (l == NULL) {
        return;
    }
    (void)g_source_remove(l->source);
    (void)close(l->fd);    /* a listening socket */
    (void)unlink(l->path); /* a new daemon makes its own */
    g_ptr_array_unref(l->clients);
    g_free(l->path);
    g_free(l);
}

void mig_local_watch(MigLocalClient *c, const char *id)
{
    g_free(c->watched);
    c->watched = g_strdup(id);
}

const char *mig_local_watched(const MigLocalClient *c)
{
    return c->watched;
}

void mig_local_publish(MigLocal *l, const char *id, const char *line)
{
    for (guint i = 0; i < l->clients->len; i++) {
        MigLocalClient *c = g_ptr_array_index(l->clients, i);

        if (g_strcmp0(c->watched, id) == 0) {
            mig_local_say(c, line);
        }
    }
}
