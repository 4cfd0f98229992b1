/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/corosync_info.h"

#include "pmxcfs/core/pmxcfs_limits.h"

#include <corosync/cmap.h>
#include <corosync/quorum.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS   (CFS_SERVICE_RETRY_SEC * 1000)
#define REREAD_MS      50  /* several keys change at once: read the list once for all */
#define NODES_MAX      256 /* positions looked at in the node list */

typedef struct Service {
    const char *name;
    bool (*connect)(CorosyncInfo *c);
    void (*close)(CorosyncInfo *c);
    GSource *watch; /* descriptor of the open connection */
    GSource *retry;
    unsigned delay_ms;
    bool failed; /* the failure was logged; do not log the next ones */
} Service;

struct CorosyncInfo {
    GMainContext *context;
    CorosyncInfoEvents events;
    Tracer tracer;
    Service quorum, cmap;
    quorum_handle_t quorum_handle;
    bool quorate, quorate_known;
    uint32_t quorum_nodes[NODES_MAX];
    guint n_quorum_nodes;
    cmap_handle_t cmap_handle;
    cmap_track_handle_t track_nodes, track_version;
    bool twins; /* two nodes of one name or id were reported */
    GSource *reread;
};

static void drop_source(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static GSource *add_timer(CorosyncInfo *c, guint ms, GSourceFunc fn, gpointer data)
{
    GSource *source = g_timeout_source_new(ms);

    g_source_set_callback(source, fn, data, NULL);
    g_source_attach(source, c->context);
    return source;
}

static void tell_quorum(CorosyncInfo *c, bool quorate, const uint32_t *nodes, guint n)
{
    bool same = c->quorate_known && c->quorate == quorate;

    n = MIN(n, (guint)NODES_MAX);
    if (same && n == c->n_quorum_nodes &&
        (n == 0 || memcmp(nodes, c->quorum_nodes, n * sizeof *nodes) == 0)) {
        return;
    }
    c->quorate_known = true;
    c->quorate = quorate;
    c->n_quorum_nodes = n;
    if (n > 0) {
        memcpy(c->quorum_nodes, nodes, n * sizeof *nodes);
    }
    if (!same) {
        trace(&c->tracer, TRACE_NOTICE, quorate ? "node has quorum" : "node lost quorum");
    }
    c->events.quorum(c->events.ctx, quorate, c->quorum_nodes, n);
}

/* ---- connecting and losing ------------------------------------------------------------------ */

static void try_connect(CorosyncInfo *c, Service *s);

typedef struct Retry {
    CorosyncInfo *c;
    Service *s;
} Retry;

static gboolean on_retry(gpointer data)
{
    Retry *retry = data;

    g_clear_pointer(&retry->s->retry, g_source_unref);
    try_connect(retry->c, retry->s);
    return G_SOURCE_REMOVE;
}

static void schedule_retry(CorosyncInfo *c, Service *s)
{
    Retry *retry = g_new(Retry, 1);

    *retry = (Retry){c, s};
    s->retry = g_timeout_source_new(s->delay_ms);
    g_source_set_callback(s->retry, on_retry, retry, g_free);
    g_source_attach(s->retry, c->context);
    s->delay_ms = MIN(s->delay_ms * 2, (unsigned)RETRY_MAX_MS);
}

static void lose(CorosyncInfo *c, Service *s)
{
    drop_source(&s->watch);
    s->close(c);
    trace(&c->tracer, TRACE_WARNING, "%s: connection to corosync lost, connecting again", s->name);
    s->failed = true;
    if (s == &c->quorum) {
        tell_quorum(c, false, NULL, 0);
    }
    if (s->retry == NULL) {
        s->delay_ms = RETRY_FIRST_MS;
        schedule_retry(c, s);
    }
}

static void try_connect(CorosyncInfo *c, Service *s)
{
    if (s->connect(c)) {
        if (s->failed) {
            trace(&c->tracer, TRACE_NOTICE, "%s: connected to corosync", s->name);
        }
        s->failed = false;
        s->delay_ms = RETRY_FIRST_MS;
        return;
    }
    s->close(c);
    if (!s->failed) {
        trace(&c->tracer, TRACE_ERR, "%s: can't initialize service: is corosync running?", s->name);
        s->failed = true;
    }
    schedule_retry(c, s);
}

static void watch_fd(CorosyncInfo *c, Service *s, int fd, GUnixFDSourceFunc fn)
{
    s->watch = g_unix_fd_source_new(fd, G_IO_IN | G_IO_ERR | G_IO_HUP);
    g_source_set_callback(s->watch, G_SOURCE_FUNC(fn), c, NULL);
    g_source_attach(s->watch, c->context);
}

/* ---- quorum --------------------------------------------------------------------------------- */

static void
on_quorum(quorum_handle_t handle, uint32_t quorate, uint64_t ring_seq, uint32_t n, uint32_t *list)
{
    CorosyncInfo *c = NULL;

    (void)ring_seq;
    if (quorum_context_get(handle, (const void **)&c) == CS_OK && c != NULL) {
        tell_quorum(c, quorate != 0, list, n);
    }
}

static gboolean on_quorum_fd(gint fd, GIOCondition condition, gpointer data)
{
    CorosyncInfo *c = data;
    cs_error_t rc = quorum_dispatch(c->quorum_handle, CS_DISPATCH_ALL);

    (void)fd, (void)condition;
    if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN) {
        lose(c, &c->quorum);
    }
    return c->quorum.watch != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static bool quorum_open(CorosyncInfo *c)
{
    quorum_callbacks_t callbacks = {.quorum_notify_fn = on_quorum};
    uint32_t type = 0;
    int fd = -1;

    if (quorum_initialize(&c->quorum_handle, &callbacks, &type) != CS_OK) {
        c->quorum_handle = 0;
        return false;
    }
    if (type != QUORUM_SET) {
        trace(&c->tracer, TRACE_ERR, "quorum: corosync has no quorum provider configured");
        return false;
    }
    if (quorum_context_set(c->quorum_handle, c) != CS_OK ||
        quorum_trackstart(c->quorum_handle, CS_TRACK_CHANGES | CS_TRACK_CURRENT) != CS_OK ||
        quorum_fd_get(c->quorum_handle, &fd) != CS_OK) {
        return false;
    }
    watch_fd(c, &c->quorum, fd, on_quorum_fd);
    return true;
}

static void quorum_close(CorosyncInfo *c)
{
    if (c->quorum_handle != 0) {
        (void)quorum_finalize(c->quorum_handle); /* the other side may be gone already */
        c->quorum_handle = 0;
    }
}

/* ---- node list ------------------------------------------------------------------------------ */

static char *get_text(cmap_handle_t handle, unsigned position, const char *field)
{
    g_autofree char *key = g_strdup_printf("nodelist.node.%u.%s", position, field);
    char *value = NULL;
    char *copy;

    if (cmap_get_string(handle, key, &value) != CS_OK) {
        return NULL;
    }
    copy = g_strdup(value);
    free(value);
    return copy;
}

static bool get_number(cmap_handle_t handle, unsigned position, const char *field, uint32_t *ret)
{
    g_autofree char *key = g_strdup_printf("nodelist.node.%u.%s", position, field);

    return cmap_get_uint32(handle, key, ret) == CS_OK;
}

static void clear_node(gpointer data)
{
    g_free(((StatusNode *)data)->name);
}

static GArray *read_nodes(CorosyncInfo *c)
{
    GArray *nodes = g_array_new(FALSE, TRUE, sizeof(StatusNode));

    g_array_set_clear_func(nodes, clear_node);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        StatusNode node = {.votes = 1};

        if (!get_number(c->cmap_handle, i, "nodeid", &node.nodeid)) {
            continue; /* positions may have gaps after a node was removed at run time */
        }
        node.name = get_text(c->cmap_handle, i, "name");
        if (node.name == NULL) {
            node.name = get_text(c->cmap_handle, i, "ring0_addr");
        }
        if (node.name == NULL) {
            continue;
        }
        (void)get_number(c->cmap_handle, i, "quorum_votes", &node.votes); /* default 1 */
        g_array_append_val(nodes, node);
    }
    return nodes;
}

/* Corosync takes such a list, and everything that goes by the name finds the first of them. */
static void report_twins(CorosyncInfo *c, const GArray *nodes)
{
    bool found = false;

    for (guint i = 0; i < nodes->len; i++) {
        const StatusNode *a = &g_array_index(nodes, StatusNode, i);

        for (guint j = i + 1; j < nodes->len; j++) {
            const StatusNode *b = &g_array_index(nodes, StatusNode, j);
            bool name = strcmp(a->name, b->name) == 0;

            if ((name || a->nodeid == b->nodeid) && !c->twins) {
                trace(&c->tracer, TRACE_ERR,
                      "confdb: corosync.conf gives two nodes one %s: '%s' with id %u and '%s' with "
                      "id %u",
                      name ? "name" : "id", a->name, a->nodeid, b->name, b->nodeid);
            }
            found = found || name || a->nodeid == b->nodeid;
        }
    }
    c->twins = found;
}

static void read_cluster(CorosyncInfo *c)
{
    g_autoptr(GArray) nodes = NULL;
    uint64_t version = 0;
    char *name = NULL;

    if (cmap_get_string(c->cmap_handle, "totem.cluster_name", &name) != CS_OK) {
        trace(&c->tracer, TRACE_ERR, "confdb: corosync.conf has no totem.cluster_name");
        return;
    }
    (void)cmap_get_uint64(c->cmap_handle, "totem.config_version", &version); /* optional */
    nodes = read_nodes(c);
    report_twins(c, nodes);
    c->events.cluster(c->events.ctx, name, version, (const StatusNode *)(const void *)nodes->data,
                      nodes->len);
    free(name);
}

static gboolean on_reread(gpointer data)
{
    CorosyncInfo *c = data;

    g_clear_pointer(&c->reread, g_source_unref);
    if (c->cmap_handle != 0) {
        read_cluster(c);
    }
    return G_SOURCE_REMOVE;
}

static void on_key(cmap_handle_t handle,
                   cmap_track_handle_t track,
                   int32_t event,
                   const char *key,
                   struct cmap_notify_value new_value,
                   struct cmap_notify_value old_value,
                   void *data)
{
    CorosyncInfo *c = data;

    (void)handle, (void)track, (void)event, (void)key, (void)new_value, (void)old_value;
    if (c->reread == NULL) {
        c->reread = add_timer(c, REREAD_MS, on_reread, c);
    }
}

static gboolean on_cmap_fd(gint fd, GIOCondition condition, gpointer data)
{
    CorosyncInfo *c = data;
    cs_error_t rc = cmap_dispatch(c->cmap_handle, CS_DISPATCH_ALL);

    (void)fd, (void)condition;
    if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN) {
        lose(c, &c->cmap);
    }
    return c->cmap.watch != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static bool cmap_open(CorosyncInfo *c)
{
    const int32_t changes = CMAP_TRACK_ADD | CMAP_TRACK_DELETE | CMAP_TRACK_MODIFY;
    int fd = -1;

    if (cmap_initialize(&c->cmap_handle) != CS_OK) {
        c->cmap_handle = 0;
        return false;
    }
    if (cmap_track_add(c->cmap_handle, "nodelist.node.", changes | CMAP_TRACK_PREFIX, on_key, c,
                       &c->track_nodes) != CS_OK ||
        cmap_track_add(c->cmap_handle, "totem.config_version", changes, on_key, c,
                       &c->track_version) != CS_OK ||
        cmap_fd_get(c->cmap_handle, &fd) != CS_OK) {
        return false;
    }
    watch_fd(c, &c->cmap, fd, on_cmap_fd);
    read_cluster(c);
    return true;
}

static void cmap_close(CorosyncInfo *c)
{
    drop_source(&c->reread);
    if (c->cmap_handle != 0) {
        (void)cmap_finalize(c->cmap_handle); /* the other side may be gone already */
        c->cmap_handle = 0;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

CorosyncInfo *
corosync_info_new(GMainContext *context, const CorosyncInfoEvents *events, const Tracer *tracer)
{
    CorosyncInfo *c = g_new0(CorosyncInfo, 1);

    c->context = context;
    c->events = *events;
    c->tracer = tracer != NULL ? *tracer : (Tracer){0};
    c->quorum = (Service){.name = "quorum",
                          .connect = quorum_open,
                          .close = quorum_close,
                          .delay_ms = RETRY_FIRST_MS};
    c->cmap = (Service){
        .name = "confdb", .connect = cmap_open, .close = cmap_close, .delay_ms = RETRY_FIRST_MS};
    return c;
}

void corosync_info_start(CorosyncInfo *c)
{
    try_connect(c, &c->quorum);
    try_connect(c, &c->cmap);
}

void corosync_info_free(CorosyncInfo *c)
{
    if (c == NULL) {
        return;
    }
    drop_source(&c->quorum.watch);
    drop_source(&c->quorum.retry);
    drop_source(&c->cmap.watch);
    drop_source(&c->cmap.retry);
    quorum_close(c);
    cmap_close(c);
    g_free(c);
}
