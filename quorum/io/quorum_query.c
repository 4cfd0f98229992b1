/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/quorum_query.h"

#include "lib/conf/corosync_nodes.h"

#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define WAIT_LOOK_MS 100

void quorum_report_free(QuorumReport *r)
{
    if (r == NULL) {
        return;
    }
    g_clear_pointer(&r->members, g_array_unref);
    g_clear_pointer(&r->strings, g_ptr_array_unref);
    g_free(r);
}

/* The one place where corosync's codes become ours. */
static int cs_errno(cs_error_t rc)
{
    switch (rc) {
    case CS_OK:
        return 0;
    case CS_ERR_TRY_AGAIN:
    case CS_ERR_TIMEOUT:
        return -ETIMEDOUT;
    case CS_ERR_LIBRARY:
    case CS_ERR_BAD_HANDLE:
    case CS_ERR_INIT:
        return -ENOTCONN;
    case CS_ERR_INVALID_PARAM:
        return -EINVAL;
    case CS_ERR_ACCESS:
    case CS_ERR_SECURITY:
        return -EACCES;
    case CS_ERR_NOT_EXIST:
        return -ENOENT;
    default:
        return -EIO;
    }
}

static int fail(cs_error_t rc, const char *what, Err *err)
{
    int code = cs_errno(rc);

    if (code == -ENOTCONN) {
        return err_setf(err, code, "%s: corosync does not run on this node", what);
    }
    return err_setf(err, code, "%s: corosync says %s", what, cs_strerror(rc));
}

/* Repeats a call that corosync cannot take right now (it is between two memberships), with a bound.
 */
#define CS_RETRY(rc, call)                                                                         \
    do {                                                                                           \
        int left_ms = QUORUM_QUERY_TIMEOUT_MS;                                                     \
        while (((rc) = (call)) == CS_ERR_TRY_AGAIN && left_ms > 0) {                               \
            g_usleep(50 * 1000);                                                                   \
            left_ms -= 50;                                                                         \
        }                                                                                          \
    } while (0)

/* ---- libquorum: ring id and view ------------------------------------------------------------ */

typedef struct RingView {
    bool seen;
    QuorumReport *report;
} RingView;

static void on_quorum(quorum_handle_t handle,
                      uint32_t quorate,
                      struct quorum_ring_id ring_id,
                      uint32_t n,
                      const uint32_t *list)
{
    RingView *view = NULL;

    if (quorum_context_get(handle, (const void **)&view) != CS_OK || view == NULL) {
        return;
    }
    view->seen = true;
    view->report->facts.quorate = quorate != 0;
    view->report->facts.ring_nodeid = ring_id.nodeid;
    view->report->facts.ring_seq = ring_id.seq;
    g_array_set_size(view->report->members, 0);
    for (uint32_t i = 0; i < n && i < COROSYNC_NODES_MAX; i++) {
        QuorumMember m = {.nodeid = list[i], .name = "", .address = ""};

        g_array_append_val(view->report->members, m);
    }
}

static cs_error_t wait_for_view(quorum_handle_t handle, RingView *view)
{
    gint64 deadline = g_get_monotonic_time() + QUORUM_QUERY_TIMEOUT_MS * 1000;
    int fd = -1;
    cs_error_t rc = quorum_fd_get(handle, &fd);

    while (rc == CS_OK && !view->seen) {
        gint64 left_ms = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0) {
            return CS_ERR_TIMEOUT;
        }
        rc = quorum_dispatch(handle, CS_DISPATCH_ONE_NONBLOCKING);
        rc = rc == CS_ERR_TRY_AGAIN ? CS_OK : rc;
    }
    return rc;
}

static int query_ring(QuorumReport *report, Err *err)
{
    quorum_model_v1_data_t model = {.model = QUORUM_MODEL_V1, .quorum_notify_fn = on_quorum};
    RingView view = {.report = report};
    quorum_handle_t handle;
    uint32_t type = 0;
    cs_error_t rc;

    CS_RETRY(rc, quorum_model_initialize(&handle, QUORUM_MODEL_V1, (quorum_model_data_t *)&model,
                                         &type, &view));
    if (rc != CS_OK) {
        return fail(rc, "quorum service", err);
    }
    rc = type == QUORUM_SET ? CS_OK : CS_ERR_NOT_SUPPORTED;
    if (rc == CS_OK) {
        CS_RETRY(rc, quorum_trackstart(handle, CS_TRACK_CURRENT));
    }
    if (rc == CS_OK) {
        rc = wait_for_view(handle, &view);
    }
    (void)quorum_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? 0 : fail(rc, "quorum service", err);
}

int quorum_is_quorate(Err *err)
{
    quorum_callbacks_t callbacks = {.quorum_notify_fn = NULL};
    quorum_handle_t handle;
    uint32_t type = 0;
    int quorate = 0;
    cs_error_t rc;

    CS_RETRY(rc, quorum_initialize(&handle, &callbacks, &type));
    if (rc != CS_OK) {
        return fail(rc, "quorum service", err);
    }
    CS_RETRY(rc, quorum_getquorate(handle, &quorate));
    (void)quorum_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? quorate != 0 : fail(rc, "quorum service", err);
}

bool quorum_wait(void (*say)(void *ctx, const char *line), void *ctx)
{
    gint64 deadline = g_get_monotonic_time() + QUORUM_WAIT_SEC * G_USEC_PER_SEC;
    bool told = say == NULL;
    int r;

    while ((r = quorum_is_quorate(NULL)) == 0 && g_get_monotonic_time() < deadline) {
        if (!told) {
            say(ctx, QUORUM_WAIT_TEXT);
            told = true;
        }
        g_usleep(WAIT_LOOK_MS * 1000);
    }
    return r == 1;
}

/* ---- libvotequorum: votes and flags --------------------------------------------------------- */

static void take_cluster_votes(QuorumReport *report, const struct votequorum_info *info)
{
    QuorumFacts *f = &report->facts;

    f->expected = info->node_expected_votes;
    f->highest_expected = info->highest_expected;
    f->total = info->total_votes;
    f->quorum = info->quorum;
    f->flags = info->flags;
    f->qdevice_votes = info->qdevice_votes;
    if (info->qdevice_name[0] != '\0') {
        char *name = g_strndup(info->qdevice_name, sizeof info->qdevice_name);

        g_ptr_array_add(report->strings, name);
        f->qdevice_name = name;
    }
}

static int query_votes(QuorumReport *report, Err *err)
{
    votequorum_callbacks_t callbacks = {.votequorum_quorum_notify_fn = NULL};
    struct votequorum_info info = {0};
    votequorum_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, votequorum_initialize(&handle, &callbacks));
    if (rc != CS_OK) {
        return fail(rc, "votequorum service", err);
    }
    CS_RETRY(rc, votequorum_getinfo(handle, VOTEQUORUM_QDEVICE_NODEID, &info));
    uint32_t device_votes = rc == CS_OK ? info.qdevice_votes : 0;
    CS_RETRY(rc, votequorum_getinfo(handle, report->facts.nodeid, &info));
    if (rc == CS_OK) {
        take_cluster_votes(report, &info);
        report->facts.qdevice_votes = MAX(report->facts.qdevice_votes, device_votes);
    }
    for (guint i = 0; rc == CS_OK && i < report->members->len; i++) {
        QuorumMember *m = &g_array_index(report->members, QuorumMember, i);

        /* A node may have left since the view was taken: then it just has no votes. */
        if (votequorum_getinfo(handle, m->nodeid, &info) == CS_OK) {
            m->votes = info.node_votes;
            m->flags = info.flags;
        }
    }
    (void)votequorum_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? 0 : fail(rc, "votequorum service", err);
}

int quorum_set_expected(uint32_t expected, Err *err)
{
    votequorum_callbacks_t callbacks = {.votequorum_quorum_notify_fn = NULL};
    votequorum_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, votequorum_initialize(&handle, &callbacks));
    if (rc != CS_OK) {
        return fail(rc, "votequorum service", err);
    }
    CS_RETRY(rc, votequorum_setexpected(handle, expected));
    (void)votequorum_finalize(handle); /* nothing to do about a failing close */
    if (rc == CS_ERR_INVALID_PARAM) {
        return err_setf(err, -EINVAL,
                        "votequorum refuses %u expected votes: it must be at least 1 and must not "
                        "take quorum away from the nodes that are up",
                        expected);
    }
    return rc == CS_OK ? 0 : fail(rc, "expected votes", err);
}

/* ---- cmap and cfg: names, addresses, kicking ------------------------------------------------- */

static char *cmap_string(cmap_handle_t handle, uint32_t position, const char *key)
{
    g_autofree char *path = g_strdup_printf("nodelist.node.%u.%s", position, key);
    char *value = NULL;
    char *copy;

    if (cmap_get_string(handle, path, &value) != CS_OK) {
        return NULL;
    }
    copy = g_strdup(value);
    free(value);
    return copy;
}

static void name_member(QuorumReport *report, uint32_t nodeid, char *name, char *address)
{
    for (guint i = 0; i < report->members->len; i++) {
        QuorumMember *m = &g_array_index(report->members, QuorumMember, i);

        if (m->nodeid == nodeid) {
            m->address = address != NULL ? address : "";
            m->name = name != NULL ? name : m->address;
        }
    }
    g_ptr_array_add(report->strings, name);
    g_ptr_array_add(report->strings, address);
}

static int query_names(QuorumReport *report, Err *err)
{
    cmap_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, cmap_initialize(&handle));
    if (rc != CS_OK) {
        return fail(rc, "configuration map", err);
    }
    rc = cmap_get_uint32(handle, "runtime.votequorum.this_node_id", &report->facts.nodeid);
    for (uint32_t i = 0; rc == CS_OK && i < COROSYNC_NODES_MAX; i++) {
        g_autofree char *key = g_strdup_printf("nodelist.node.%u.nodeid", i);
        uint32_t nodeid;

        if (cmap_get_uint32(handle, key, &nodeid) != CS_OK) {
            break;
        }
        name_member(report, nodeid, cmap_string(handle, i, "name"),
                    cmap_string(handle, i, "ring0_addr"));
    }
    (void)cmap_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? 0 : fail(rc, "configuration map", err);
}

int quorum_node_address(uint32_t nodeid, unsigned link, char **ret, Err *err)
{
    g_autofree char *address = g_strdup_printf("ring%u_addr", link);
    char *found = NULL;
    cmap_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, cmap_initialize(&handle));
    if (rc != CS_OK) {
        return fail(rc, "configuration map", err);
    }
    for (uint32_t i = 0; found == NULL && i < COROSYNC_NODES_MAX; i++) {
        g_autofree char *key = g_strdup_printf("nodelist.node.%u.nodeid", i);
        uint32_t id = 0;

        if (cmap_get_uint32(handle, key, &id) == CS_OK && id == nodeid) {
            found = cmap_string(handle, i, address);
        }
    }
    (void)cmap_finalize(handle); /* nothing to do about a failing close */
    if (found == NULL) {
        return err_setf(err, -ENOENT, "corosync has no address of node %u on link %u", nodeid,
                        link);
    }
    *ret = found;
    return 0;
}

int quorum_node_links(uint32_t nodeid, uint32_t *ret_links, Err *err)
{
    cmap_handle_t handle;
    uint32_t links = 0;
    bool any = false;
    cs_error_t rc;

    CS_RETRY(rc, cmap_initialize_map(&handle, CMAP_MAP_STATS));
    if (rc != CS_OK) {
        return fail(rc, "statistics map", err);
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        g_autofree char *key = g_strdup_printf("stats.knet.node%u.link%u.connected", nodeid, i);
        uint8_t connected = 0;

        if (cmap_get_uint8(handle, key, &connected) == CS_OK) {
            any = true;
            links |= connected != 0 ? 1u << i : 0;
        }
    }
    (void)cmap_finalize(handle); /* nothing to do about a failing close */
    if (!any) {
        return err_setf(err, -ENOENT, "corosync tells nothing about links to node %u", nodeid);
    }
    *ret_links = links;
    return 0;
}

int quorum_config_version(uint64_t *ret, Err *err)
{
    cmap_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, cmap_initialize(&handle));
    if (rc != CS_OK) {
        return fail(rc, "configuration map", err);
    }
    rc = cmap_get_uint64(handle, "totem.config_version", ret);
    (void)cmap_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? 0 : fail(rc, "version of the configuration", err);
}

int quorum_kick_node(uint32_t nodeid, Err *err)
{
    corosync_cfg_callbacks_t callbacks = {.corosync_cfg_shutdown_callback = NULL};
    corosync_cfg_handle_t handle;
    cs_error_t rc;

    CS_RETRY(rc, corosync_cfg_initialize(&handle, &callbacks));
    if (rc != CS_OK) {
        return fail(rc, "cfg service", err);
    }
    CS_RETRY(rc, corosync_cfg_kill_node(handle, nodeid, "removed from the cluster"));
    (void)corosync_cfg_finalize(handle); /* nothing to do about a failing close */
    return rc == CS_OK ? 0 : fail(rc, "removing the node from the membership", err);
}

/* ---- whole --------------------------------------------------------------------------------- */

static char *keep(QuorumReport *report, const char *text)
{
    char *copy = text != NULL ? g_strdup(text) : NULL;

    g_ptr_array_add(report->strings, copy);
    return copy;
}

static void take_config(QuorumReport *report, const char *conf, size_t size)
{
    g_autoptr(CorosyncConf) doc = NULL;

    report->facts.config_version = -1;
    /* A damaged file is shown as one without these keys; `pvecm check` tells what is wrong. */
    if (conf == NULL || corosync_conf_parse(conf, size, &doc, NULL) < 0) {
        return;
    }
    report->facts.cluster_name = keep(report, corosync_conf_get(doc, "totem.cluster_name"));
    report->facts.transport = keep(report, corosync_conf_get(doc, "totem.transport"));
    report->facts.secauth = keep(report, corosync_conf_get(doc, "totem.secauth"));
    if (corosync_conf_get(doc, "totem.config_version") != NULL) {
        report->facts.config_version = (int64_t)corosync_conf_version(doc);
    }
}

static char *date_now(void)
{
    time_t now = (time_t)(g_get_real_time() / G_USEC_PER_SEC);
    char text[64] = "";

    (void)ctime_r(&now, text); /* only fails for years beyond any clock */
    g_strchomp(text);
    return g_strdup(text);
}

int quorum_query(const char *conf, size_t conf_size, QuorumReport **ret, Err *err)
{
    g_autoptr(QuorumReport) report = g_new0(QuorumReport, 1);
    char *date = date_now();
    int r;

    report->members = g_array_new(FALSE, TRUE, sizeof(QuorumMember));
    report->strings = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(report->strings, date);
    take_config(report, conf, conf_size);
    report->facts.date = date;
    report->facts.provider = "corosync_votequorum";
    if ((r = query_ring(report, err)) < 0 || (r = query_names(report, err)) < 0 ||
        (r = query_votes(report, err)) < 0) {
        return r;
    }
    report->facts.members = (const QuorumMember *)(const void *)report->members->data;
    report->facts.n_members = report->members->len;
    *ret = g_steal_pointer(&report);
    return 0;
}
