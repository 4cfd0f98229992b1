/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/member_server.h"

#include "lib/base/jsontext.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"
#include "lib/port/api_socket.h"
#include "lib/port/clock.h"
#include "quorum/core/member_request.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/node_remove.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool proven(JoinServer *s, const MemberRequest *q, GBytes *exporter, Err *err)
{
    uint8_t proof[JOINTOKEN_KEY_SIZE];
    g_autofree char *key = NULL;
    gsize size = 0;

    if (exporter == NULL || g_bytes_get_size(exporter) != JOINTOKEN_EXPORTER_SIZE ||
        cfsfile_read(s->authkey, COROSYNC_KEY_MAX, &key, &size, err) < 0) {
        return false;
    }
    member_proof(key, size, g_bytes_get_data(exporter, NULL), q->node, proof);
    explicit_bzero(key, size);
    return jointoken_same_proof(proof, q->proof);
}

/* ---- door -------------------------------------------------------------------------------------
 */

static char *refusal_text(const MemberRequest *q, const char *cluster)
{
    g_autofree char *id = q->nodeid != 0 ? g_strdup_printf(" (id %u)", q->nodeid) : g_strdup("");

    return g_strdup_printf("node '%s'%s is not in cluster '%s' any more", q->node, id, cluster);
}

/* One that does not know its own number may be the node of its name, as long as the ring does not
 * have that one: it was in the ring for a moment when a list without it was written, and got it. */
static bool is_caller(const CorosyncNode *node, const MemberRequest *q)
{
    g_autoptr(QuorumReport) report = NULL;

    if (node == NULL || q->nodeid != 0) {
        return node != NULL && node->nodeid == q->nodeid;
    }
    return quorum_query(NULL, 0, &report, NULL) == 0 &&
           !quorum_has_member(&report->facts, node->nodeid);
}

/* A change of addresses takes the node out of the list and in again, under one lock. One whose
 * holder died counts until it expires, though nobody may remove it for long. */
static bool is_being_changed(const char *pve)
{
    g_autofree char *path = g_build_filename(pve, "priv", "lock", CONF_EDIT_LOCK, NULL);
    struct stat st;

    return stat(path, &st) == 0 && st.st_mtime + CFSLOCK_LIFE_SEC >= clock_wall().sec;
}

/* The list decides; a tombstone explains why a node is not in it. A node that lives under this name
 * with another id is another one. Without quorum this member may itself be the one that missed
 * something, and calls nobody removed. But a newer list than the caller's was written with quorum,
 * whoever has it: of two nodes, neither could go on if the other kept to the older one. */
static int do_door(JoinServer *s, const MemberRequest *q, ApiAnswer *ret, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autoptr(GString) out = g_string_new("{\"data\":{\"state\":");
    g_auto(Tombstone) t = {0};
    g_autofree char *text = NULL;
    const CorosyncNode *node;
    const char *cluster;
    bool listed;
    int r = node_tree_conf(s->pve, &conf, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(conf);
    node = corosync_nodes_find(nodes, q->node);
    listed = is_caller(node, q);
    if (quorum_is_quorate(NULL) != 1 && (!listed || corosync_conf_version(conf) <= q->config)) {
        return err_setf(err, -EAGAIN, "this member has no quorum");
    }
    cluster = corosync_conf_get(conf, "totem.cluster_name");
    if (listed) {
        text = corosync_conf_format(conf);
        g_string_append(out, "\"member\",\"corosync_conf\":");
    } else if (node_tree_tombstone(s->pve, q->node, &t, NULL) == 0) {
        text = tombstone_text(&t, cluster != NULL ? cluster : "");
        g_string_append(out, "\"removed\",\"text\":");
    } else if (is_being_changed(s->pve)) {
        return err_setf(err, -EAGAIN, "the list of nodes is just being changed");
    } else {
        text = refusal_text(q, cluster != NULL ? cluster : "");
        g_string_append(out, "\"removed\",\"text\":");
    }
    json_append_string(out, text);
    g_string_append(out, "}}");
    api_answer_set(ret, 200, out->str);
    return 0;
}

/* ---- leaving ----------------------------------------------------------------------------------
 */

static RemoveOptions options_of(const MemberRequest *q)
{
    /* The node has its guests; the cluster keeps a copy of what it knew of them. */
    return (RemoveOptions){.node = q->node,
                           .guests = q->keep_guests ? REMOVE_GUESTS_ARCHIVE : REMOVE_GUESTS_REFUSE,
                           .left = true};
}

static int do_ask(JoinServer *s, const MemberRequest *q, ApiAnswer *ret, Err *err)
{
    RemoveOptions opt = options_of(q);
    g_autoptr(GPtrArray) problems = node_remove_problems(s->pve, &opt, err);
    g_autoptr(GString) out = g_string_new("{\"data\":{\"problems\":[");

    if (problems == NULL) {
        return -EAGAIN;
    }
    for (guint i = 0; i < problems->len; i++) {
        g_string_append(out, i > 0 ? "," : "");
        json_append_string(out, g_ptr_array_index(problems, i));
    }
    g_string_append(out, "]}}");
    api_answer_set(ret, 200, out->str);
    return 0;
}

static int do_remove(JoinServer *s, const MemberRequest *q, ApiAnswer *ret, Err *err)
{
    ClusterPaths paths = {.pve = s->pve, .authkey = s->authkey};
    NodeChange change = {.paths = &paths};
    RemoveOptions opt = options_of(q);
    int r = node_remove(&change, &opt, false, err);

    if (r == -EALREADY) {
        err_clear(err);
        r = 0; /* the answer to an earlier request was lost */
    }
    if (r == 0) {
        trace(&s->tracer, TRACE_NOTICE, "node '%s' has left the cluster", q->node);
        api_answer_set(ret, 200, "{\"data\":{\"state\":\"removed\"}}");
    }
    return r;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static int do_step(JoinServer *s, const MemberRequest *q, ApiAnswer *ret, Err *err)
{
    switch (q->step) {
    case MEMBER_STEP_DOOR:
        return do_door(s, q, ret, err);
    case MEMBER_STEP_ASK:
        return do_ask(s, q, ret, err);
    case MEMBER_STEP_REMOVE:
        return do_remove(s, q, ret, err);
    case MEMBER_STEP_N:
        break;
    }
    return -EBADMSG;
}

/* Only a plan that was taken back is a clear "no"; everything else may be asked again. */
static uint32_t status_of(int code)
{
    switch (code) {
    case -EBADMSG:
    case -EINVAL:
        return 400;
    case -ECANCELED:
        return 403;
    default:
        return 503;
    }
}

void member_server_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret)
{
    g_auto(MemberRequest) q = {0};
    Err err = ERR_INIT;
    int r;

    if (strcmp(request->method, "POST") != 0) {
        api_answer_error(ret, 405, "POST is what this path knows");
        return;
    }
    if (request->body == NULL ||
        member_request_parse(g_bytes_get_data(request->body, NULL), g_bytes_get_size(request->body),
                             &q, &err) < 0) {
        api_answer_error(ret, 400, err.code != 0 ? err_text(&err) : "the request has no body");
        return;
    }
    if (!proven(s, &q, request->exporter, &err)) {
        trace(&s->tracer, TRACE_WARNING, "a request of '%s' from %s was refused: wrong proof",
              q.node, request->peer);
        api_answer_error(ret, 401, "the proof is not by this cluster's key");
        return;
    }
    if ((r = do_step(s, &q, ret, &err)) < 0) {
        trace(&s->tracer, TRACE_WARNING, "'%s' of node '%s' from %s: %s", member_step_name(q.step),
              q.node, request->peer, err_text(&err));
        api_answer_error(ret, status_of(r), err_text(&err));
    }
}
