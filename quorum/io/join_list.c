/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_list.h"

#include "lib/port/clock.h"
#include "quorum/core/joinjson.h"
#include "quorum/io/certs.h"
#include "quorum/io/join_call.h"
#include "quorum/io/join_login.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <string.h>

#define VOTE_TIMEOUT_SEC 15 /* until corosync counts the vote */

static int take_answer(Joiner *j, JsonObject *data, Err *err)
{
    const char *conf = joinjson_text(data, "corosync_conf");
    const char *key = joinjson_text(data, "corosync_authkey");
    const char *ca = joinjson_text(data, "ca");
    const char *cert = joinjson_text(data, "cert");
    g_autofree guchar *raw = NULL;
    gsize size = 0;
    int r;

    if (conf == NULL || key == NULL || ca == NULL || cert == NULL) {
        return err_setf(err, -EBADMSG, "the cluster's answer is incomplete");
    }
    raw = g_base64_decode(key, &size);
    if (size < COROSYNC_KEY_MIN || size > sizeof j->authkey) {
        return err_setf(err, -EBADMSG,
                        "the cluster's key has the impossible size of %" G_GSIZE_FORMAT " bytes",
                        size);
    }
    memcpy(j->authkey, raw, size);
    j->authkey_size = size;
    explicit_bzero(raw, size);
    if ((r = certs_verify(ca, cert, j->key, clock_wall(), err)) < 0) {
        return r;
    }
    j->conf = g_strdup(conf);
    j->ca = g_strdup(ca);
    j->cert = g_strdup(cert);
    return 0;
}

int join_list_stage(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    g_autofree char *csr = NULL;
    int r;

    if (!joiner_by_token(j)) {
        return join_login_stage(j, err);
    }
    if ((r = certs_make_key(CERTS_NODE_BITS, &j->key, err)) < 0 ||
        (r = certs_make_request(j->key, j->node, &csr, err)) < 0 ||
        (r = join_call_patiently(j, JOIN_STEP_STAGE, csr, &parser, err)) < 0) {
        return r;
    }
    return take_answer(j, join_call_data(parser), err);
}

int join_list_stage_again(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    g_autofree char *csr = NULL;
    int r;

    if ((r = certs_make_request(j->key, j->node, &csr, err)) < 0 ||
        (r = join_call_patiently(j, JOIN_STEP_STAGE, csr, &parser, err)) < 0) {
        return r;
    }
    g_clear_pointer(&j->conf, g_free);
    g_clear_pointer(&j->ca, g_free);
    g_clear_pointer(&j->cert, g_free);
    return take_answer(j, join_call_data(parser), err);
}

/* corosync learns of the vote a moment after the file was written; the node counts when it has. */
static void wait_for_vote(Joiner *j)
{
    gint64 deadline = g_get_monotonic_time() + VOTE_TIMEOUT_SEC * G_USEC_PER_SEC;

    while (g_get_monotonic_time() < deadline) {
        g_autoptr(QuorumReport) report = NULL;

        if (quorum_query(NULL, 0, &report, NULL) == 0) {
            for (uint32_t i = 0; i < report->facts.n_members; i++) {
                const QuorumMember *m = &report->facts.members[i];

                if (m->nodeid == report->facts.nodeid && m->votes > 0) {
                    return;
                }
            }
        }
        g_usleep(100 * 1000);
    }
    joiner_say(j, "the node's vote is not counted yet; 'pvecm status' will show it");
}

int join_list_ready(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data;
    int r;

    if (!joiner_by_token(j)) {
        wait_for_vote(j); /* the member gives it when it sees the node */
        return 0;
    }
    r = join_call_patiently(j, JOIN_STEP_READY, NULL, &parser, err);
    if (r < 0) {
        return r;
    }
    data = join_call_data(parser);
    if (data != NULL && json_object_get_int_member_with_default(data, "votes", 0) > 0) {
        wait_for_vote(j);
    }
    return 0;
}

/* By token the node has no votes before the last step: it can be told later as well. */
void join_list_undo_early(Joiner *j)
{
    if (!joiner_by_token(j)) {
        join_login_unstage_early(j);
    }
}

/* The cluster's entry. When no member can be reached it takes the node out by itself after a while.
 */
int join_list_undo_stage(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    Err e = ERR_INIT;
    int r;

    (void)err;
    if (!joiner_by_token(j)) {
        join_login_unstage(j);
        return 0;
    }
    r = join_call(j, JOIN_STEP_ABORT, NULL, &parser, &e);
    if (r < 0 && r != -EPERM) {
        joiner_say(j, "the cluster could not be told (%s); it forgets this node within %d s",
                   err_text(&e), JOIN_PENDING_SEC);
    }
    return 0;
}
