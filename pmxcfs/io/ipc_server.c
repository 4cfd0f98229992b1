/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/ipc_server.h"

#include "pmxcfs/io/ipc_dispatch.h"
#include "pmxcfs/io/metrics.h"
#include "pmxcfs/io/shmipc.h"

#include <errno.h>

struct IpcServer {
    IpcDispatch *dispatch;
    char *service_name;
    gid_t read_only_gid;
    Tracer tracer;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    GThreadPool *workers;
    ShmIpc *service; /* loop thread only, like the next two */
    uint32_t connections, read_only_connections;
    GMutex lock; /* guards what follows, until the start is over */
    GCond started_cond;
    bool started;
    int start_code;
    Err start_err;
};

/* One client. Loop thread only, but for the first two, which do not change. */
typedef struct Client {
    gatomicrefcount refs; /* the connection holds one, each job one */
    IpcPeer peer;
    size_t message_max;
    ShmIpcConn *c; /* NULL once closed */
} Client;

/* A request on its way to a worker and back. */
typedef struct Job {
    IpcServer *server;
    Client *client; /* one reference */
    GBytes *request;
    IpcAnswer answer;
} Job;

static void client_unref(Client *client)
{
    if (g_atomic_ref_count_dec(&client->refs)) {
        g_free(client);
    }
}

static void job_free(gpointer data)
{
    Job *job = data;

    client_unref(job->client);
    g_bytes_unref(job->request);
    ipc_answer_clear(&job->answer);
    g_free(job);
}

/* ---- requests ---- */

static void perform(IpcServer *s, const Client *client, GBytes *request, IpcAnswer *ret)
{
    WireIpcResponse response;
    gsize size;
    const void *data = g_bytes_get_data(request, &size);
    bool failed;

    ipc_dispatch(s->dispatch, &client->peer, data, size, client->message_max, ret);
    failed = ret->body == NULL &&
             wire_ipc_decode_response(ret->head, sizeof ret->head, &response) == 0 &&
             response.error < 0;
    metrics_add(failed ? METRIC_IPC_ERROR : METRIC_IPC_OK, 1);
}

static void send_answer(IpcServer *s, const Client *client, const IpcAnswer *a)
{
    gsize size = 0;
    const void *body = a->body != NULL ? g_bytes_get_data(a->body, &size) : NULL;
    const struct iovec iov[] = {
        {.iov_base = (void *)a->head, .iov_len = sizeof a->head},
        {.iov_base = (void *)body, .iov_len = size},
    };
    int rc;

    if (client->c == NULL) {
        return; /* it did not wait */
    }
    rc = shmipc_send(client->c, iov, G_N_ELEMENTS(iov));
    if (rc < 0) {
        trace(&s->tracer, TRACE_WARNING, "ipc: cannot answer pid=%u, closed: %s", client->peer.pid,
              g_strerror(-rc));
        shmipc_close(client->c);
    }
}

/* Loop thread: a worker has an answer. */
static gboolean job_done(gpointer ctx)
{
    Job *job = ctx;

    send_answer(job->server, job->client, &job->answer);
    if (job->client->c != NULL) {
        shmipc_resume(job->client->c);
    }
    return G_SOURCE_REMOVE;
}

/* Worker thread. */
static void work(gpointer data, gpointer user)
{
    Job *job = data;
    IpcServer *s = user;

    perform(s, job->client, job->request, &job->answer);
    g_main_context_invoke_full(s->context, G_PRIORITY_DEFAULT, job_done, job, job_free);
}

static void on_message(void *ctx, ShmIpcConn *c, GBytes *message)
{
    IpcServer *s = ctx;
    Client *client = shmipc_user(c);
    gsize size;
    const void *data = g_bytes_get_data(message, &size);

    if (ipc_dispatch_is_slow(data, size)) {
        Job *job = g_new0(Job, 1);

        g_atomic_ref_count_inc(&client->refs);
        job->server = s;
        job->client = client;
        job->request = g_bytes_ref(message);
        shmipc_pause(c);                                 /* answers keep the order of requests */
        (void)g_thread_pool_push(s->workers, job, NULL); /* exclusive: its threads exist already */
    } else {
        g_auto(IpcAnswer) answer = {0};

        perform(s, client, message, &answer);
        send_answer(s, client, &answer);
    }
}

/* ---- connections ---- */

static int on_accept(void *ctx, const ShmIpcPeer *peer, ShmIpcConn *c, void **ret_user)
{
    IpcServer *s = ctx;
    bool read_only = peer->gid == s->read_only_gid;
    Client *client;
    int rc = 0;

    if (!read_only && (peer->uid != 0 || peer->gid != 0)) {
        rc = -EACCES;
    } else if (peer->message_max > IPC_BUFFER_MAX) {
        rc = -EMSGSIZE;
    } else if (s->connections >= IPC_CONNECTIONS_MAX ||
               (read_only && s->read_only_connections >= IPC_CONNECTIONS_RO_MAX)) {
        rc = -EMFILE;
    }
    if (rc < 0) {
        trace(&s->tracer, TRACE_WARNING, "ipc: refused client uid=%u gid=%u pid=%d: %s", peer->uid,
              peer->gid, peer->pid, g_strerror(-rc));
        metrics_add(METRIC_IPC_REFUSED, 1);
        return rc;
    }
    client = g_new0(Client, 1);
    g_atomic_ref_count_init(&client->refs);
    client->peer = (IpcPeer){.pid = (uint32_t)peer->pid, .read_only = read_only};
    client->message_max = peer->message_max;
    client->c = c;
    s->read_only_connections += read_only;
    s->connections++;
    *ret_user = client;
    return 0;
}

static void on_closed(void *ctx, ShmIpcConn *c)
{
    IpcServer *s = ctx;
    Client *client = shmipc_user(c);

    s->read_only_connections -= client->peer.read_only;
    s->connections--;
    client->c = NULL;
    client_unref(client);
}

/* ---- life ---- */

static const ShmIpcHandlers handlers = {
    .accept = on_accept,
    .message = on_message,
    .closed = on_closed,
};

static gpointer run(gpointer data)
{
    IpcServer *s = data;
    int rc;

    g_main_context_push_thread_default(s->context);
    g_mutex_lock(&s->lock);
    rc = shmipc_new(s->service_name, s->context, &handlers, s, &s->service, &s->start_err);
    s->start_code = rc;
    s->started = true;
    g_cond_signal(&s->started_cond);
    g_mutex_unlock(&s->lock);
    if (rc == 0) {
        g_main_loop_run(s->loop);
        shmipc_free(g_steal_pointer(&s->service));
        g_thread_pool_free(g_steal_pointer(&s->workers), FALSE, TRUE);
        while (g_main_context_iteration(s->context, FALSE)) {
            /* answers that nobody waits for any more */
        }
    }
    g_main_context_pop_thread_default(s->context);
    return NULL;
}

static void server_free(IpcServer *s)
{
    if (s->workers != NULL) {
        g_thread_pool_free(s->workers, TRUE, TRUE);
    }
    ipc_dispatch_free(s->dispatch);
    g_main_loop_unref(s->loop);
    g_main_context_unref(s->context);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->started_cond);
    g_free(s->service_name);
    g_free(s);
}

int ipc_server_start(const IpcServerConfig *cfg, IpcServer **ret, Err *err)
{
    IpcServer *s = g_new0(IpcServer, 1);
    int rc;

    s->dispatch = ipc_dispatch_new(cfg->engine);
    s->service_name = g_strdup(cfg->service != NULL ? cfg->service : WIRE_IPC_SERVICE);
    s->read_only_gid = cfg->read_only_gid;
    s->tracer = cfg->tracer != NULL ? *cfg->tracer : (Tracer){0};
    s->context = g_main_context_new();
    s->loop = g_main_loop_new(s->context, FALSE);
    s->workers = g_thread_pool_new(work, s, IPC_WORKERS, TRUE, NULL);
    g_mutex_init(&s->lock);
    g_cond_init(&s->started_cond);
    s->thread = g_thread_new("ipc", run, s);
    g_mutex_lock(&s->lock);
    while (!s->started) {
        g_cond_wait(&s->started_cond, &s->lock);
    }
    rc = s->start_code;
    g_mutex_unlock(&s->lock);
    if (rc < 0) {
        g_thread_join(s->thread);
        err_setf(err, rc, "%s", s->start_err.text);
        server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static gboolean quit(gpointer ctx)
{
    g_main_loop_quit(ctx);
    return G_SOURCE_REMOVE;
}

void ipc_server_stop(IpcServer *s)
{
    GSource *source;

    if (s == NULL) {
        return;
    }
    /* A source of the loop's own, so that it also ends a loop that has not begun yet. */
    source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_HIGH);
    g_source_set_callback(source, quit, s->loop, NULL);
    g_source_attach(source, s->context);
    g_source_unref(source);
    g_thread_join(s->thread);
    server_free(s);
}
