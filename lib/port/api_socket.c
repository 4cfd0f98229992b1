/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/api_socket.h"

#include "lib/base/jsontext.h"

#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- frames -----------------------------------------------------------------------------------
 */

/* GIO's codes become ours here. */
static int gio_fail(const GError *gerror, const char *what, Err *err)
{
    int code = -EIO;

    if (g_error_matches(gerror, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        code = -ETIMEDOUT;
    } else if (g_error_matches(gerror, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        code = -ENOENT;
    } else if (g_error_matches(gerror, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
        code = -ECONNREFUSED;
    }
    return err_setf(err, code, "%s: %s", what, gerror->message);
}

static int send_frame(GIOStream *stream, GBytes *frame, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    gsize size;
    const void *data = g_bytes_get_data(frame, &size);

    if (!g_output_stream_write_all(g_io_stream_get_output_stream(stream), data, size, NULL, NULL,
                                   &gerror)) {
        return gio_fail(gerror, "sending on a local socket", err);
    }
    return 0;
}

static int read_exactly(GInputStream *in, void *data, gsize size, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    gsize n = 0;

    if (!g_input_stream_read_all(in, data, size, &n, NULL, &gerror)) {
        return gio_fail(gerror, "reading from a local socket", err);
    }
    return n == size ? 0 : err_setf(err, -EBADMSG, "the local peer closed the connection early");
}

static int receive_frame(GIOStream *stream, GBytes **ret, Err *err)
{
    GInputStream *in = g_io_stream_get_input_stream(stream);
    uint8_t head[4];
    g_autofree uint8_t *data = NULL;
    uint32_t size;
    int r = read_exactly(in, head, sizeof head, err);

    if (r < 0) {
        return r;
    }
    size = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    if (size == 0 || size > WIRE_API_FRAME_MAX) {
        return err_setf(err, -EBADMSG, "a local message of %u bytes is refused", size);
    }
    data = g_malloc(size);
    r = read_exactly(in, data, size, err);
    if (r == 0) {
        *ret = g_bytes_new_take(g_steal_pointer(&data), size);
    }
    return r;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

int api_socket_ask(const char *path, const ApiRequest *request, ApiAnswer *ret, Err *err)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GBytes) frame = wire_api_request_encode(request);
    g_autoptr(GBytes) answer = NULL;
    g_autoptr(GError) gerror = NULL;
    int r;

    if (frame == NULL) {
        return err_setf(err, -E2BIG, "the request is too large");
    }
    g_socket_client_set_timeout(client, API_SOCKET_TIMEOUT_SEC);
    connection = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, &gerror);
    if (connection == NULL) {
        return gio_fail(gerror, path, err);
    }
    if ((r = send_frame(G_IO_STREAM(connection), frame, err)) < 0 ||
        (r = receive_frame(G_IO_STREAM(connection), &answer, err)) < 0) {
        return r;
    }
    return wire_api_answer_decode(g_bytes_get_data(answer, NULL), g_bytes_get_size(answer), ret,
                                  err);
}

/* ---- serving ----------------------------------------------------------------------------------
 */

struct ApiServer {
    GSocketService *service;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    char *path;
    gid_t gid;
    ApiHandler handler;
    void *ctx;
    Tracer tracer;
    gint active;
};

void api_answer_set(ApiAnswer *a, uint32_t status, const char *json)
{
    g_clear_pointer(&a->body, g_bytes_unref);
    a->status = status;
    a->body = g_bytes_new(json, strlen(json));
}

void api_answer_error(ApiAnswer *a, uint32_t status, const char *text)
{
    g_autoptr(GString) out = g_string_new("{\"data\":null,\"message\":");

    json_append_string(out, text);
    g_string_append_c(out, '}');
    api_answer_set(a, status, out->str);
}

static bool peer_allowed(ApiServer *s, GSocketConnection *connection)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    int fd = g_socket_get_fd(g_socket_connection_get_socket(connection));

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == 0 || cred.gid == s->gid);
}

static gboolean on_connection(GThreadedSocketService *service,
                              GSocketConnection *connection,
                              GObject *source,
                              gpointer data)
{
    ApiServer *s = data;
    g_autoptr(GBytes) frame = NULL;
    g_autoptr(GBytes) reply = NULL;
    g_auto(ApiRequest) request = {0};
    g_auto(ApiAnswer) answer = {0};
    Err err = ERR_INIT;

    (void)service, (void)source;
    g_atomic_int_inc(&s->active);
    g_socket_set_timeout(g_socket_connection_get_socket(connection), API_SOCKET_TIMEOUT_SEC);
    if (!peer_allowed(s, connection)) {
        trace(&s->tracer, TRACE_WARNING, "a local process that may not was refused at %s", s->path);
    } else if (receive_frame(G_IO_STREAM(connection), &frame, &err) < 0 ||
               wire_api_request_decode(g_bytes_get_data(frame, NULL), g_bytes_get_size(frame),
                                       &request, &err) < 0) {
        trace(&s->tracer, TRACE_WARNING, "a request at %s was dropped: %s", s->path,
              err_text(&err));
    } else {
        s->handler(s->ctx, &request, &answer);
        if (answer.body == NULL) {
            api_answer_error(&answer, 500, "the daemon gave no answer");
        }
        reply = wire_api_answer_encode(&answer);
        if (reply == NULL || send_frame(G_IO_STREAM(connection), reply, &err) < 0) {
            trace(&s->tracer, TRACE_INFO, "an answer at %s found no reader", s->path);
        }
    }
    (void)g_atomic_int_dec_and_test(&s->active);
    return TRUE;
}

static int bind_socket(ApiServer *s, Err *err)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(s->path);
    g_autoptr(GError) gerror = NULL;

    (void)g_unlink(s->path); /* a leftover; a living daemon is kept away by its own lock */
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(s->service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &gerror)) {
        return gio_fail(gerror, s->path, err);
    }
    if (chown(s->path, 0, s->gid) < 0 || chmod(s->path, 0660) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", s->path, strerror(-r));
    }
    return 0;
}

static gpointer run_loop(gpointer data)
{
    ApiServer *s = data;

    g_main_context_push_thread_default(s->context);
    g_main_loop_run(s->loop);
    g_main_context_pop_thread_default(s->context);
    return NULL;
}

int api_run_dir(const char *path, gid_t *ret_gid, Err *err)
{
    const struct group *group = getgrnam("www-data");

    if (group == NULL) {
        return err_setf(err, -ENOENT, "group 'www-data' does not exist");
    }
    if ((mkdir(path, 0750) < 0 && errno != EEXIST) || chown(path, 0, group->gr_gid) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    *ret_gid = group->gr_gid;
    return 0;
}

int api_server_start(const char *path,
                     gid_t gid,
                     ApiHandler handler,
                     void *ctx,
                     const Tracer *tracer,
                     ApiServer **ret,
                     Err *err)
{
    ApiServer *s = g_new0(ApiServer, 1);
    mode_t old_mask;
    int r;

    s->path = g_strdup(path);
    s->gid = gid;
    s->handler = handler;
    s->ctx = ctx;
    s->tracer = tracer != NULL ? *tracer : (Tracer){0};
    s->context = g_main_context_new();
    s->loop = g_main_loop_new(s->context, FALSE);
    g_main_context_push_thread_default(s->context);
    s->service = g_threaded_socket_service_new(API_SOCKET_THREADS_MAX);
    g_signal_connect(s->service, "run", G_CALLBACK(on_connection), s);
    old_mask = umask(0117); /* no moment in which others could connect */
    r = bind_socket(s, err);
    (void)umask(old_mask);
    if (r == 0) {
        g_socket_service_start(s->service);
    }
    g_main_context_pop_thread_default(s->context);
    if (r < 0) {
        api_server_stop(s);
        return r;
    }
    s->thread = g_thread_new("api", run_loop, s);
    *ret = s;
    return 0;
}

void api_server_stop(ApiServer *s)
{
    if (s == NULL) {
        return;
    }
    g_socket_service_stop(s->service);
    g_socket_listener_close(G_SOCKET_LISTENER(s->service));
    if (s->thread != NULL) {
        g_main_loop_quit(s->loop);
        (void)g_thread_join(s->thread);
    }
    while (g_atomic_int_get(&s->active) > 0) {
        g_usleep(10 * 1000); /* bounded: every step of a request has a deadline */
    }
    (void)g_unlink(s->path);
    g_object_unref(s->service);
    g_main_loop_unref(s->loop);
    g_main_context_unref(s->context);
    g_free(s->path);
    g_free(s);
}
