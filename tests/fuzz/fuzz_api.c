/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what clients of the REST API send and what nodes that join the documented way read:
 * parameters, tickets, cookies, task ids, users, the copied text, a member's answer, and what a
 * cluster and its witness say to each other. */
#include "lib/conf/usercfg.h"
#include "lib/wire/wire_params.h"
#include "lib/wire/wire_ticket.h"
#include "lib/wire/wire_upid.h"
#include "quorum/core/join_info.h"
#include "quorum/core/witness.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void as_parameters(const char *text, const uint8_t *data, size_t size)
{
    static const ParamSpec specs[] = {{"a", PARAM_INT, 0, 9, true, NULL, NULL}, {0}};
    Params *p = NULL;

    if (params_parse(NULL, data, size, &p, NULL) == 0) {
        g_autofree char *errors = params_check(p, specs);

        g_assert_true(errors != NULL || params_int(p, "a", -1) >= 0);
    }
    params_free(p);
    p = NULL;
    if (params_parse(text, NULL, 0, &p, NULL) == 0) {
        (void)params_bool(p, "a", false);
    }
    params_free(p);
}

/* A number may come with a zero more than it needs; what is written reads as the same task. */
static void as_task(const Upid *upid)
{
    g_auto(Upid) same = {0};
    g_autofree char *again = upid_format(upid);
    g_autofree char *third = NULL;

    g_assert_null(strchr(again, '/'));
    g_assert_cmpint(upid_parse(again, &same, NULL), ==, 0);
    third = upid_format(&same);
    g_assert_cmpstr(third, ==, again);
    g_assert_cmpuint(same.pid, ==, upid->pid);
    g_assert_cmpuint(same.pstart, ==, upid->pstart);
    g_assert_cmpuint(same.starttime, ==, upid->starttime);
    g_assert_cmpstr(same.type, ==, upid->type);
    g_assert_cmpstr(same.id, ==, upid->id);
    g_assert_cmpstr(same.user, ==, upid->user);
}

static void as_login(const char *text)
{
    g_auto(Ticket) ticket = {0};
    g_auto(Upid) upid = {0};
    g_autofree char *cookie = wire_ticket_from_cookie(text);
    g_autofree char *id = NULL;
    g_autofree char *secret = NULL;

    g_assert_true(cookie == NULL || strstr(text, WIRE_TICKET_COOKIE_NAME) != NULL);
    if (wire_ticket_parse(text, &ticket, NULL) == 0) {
        g_assert_true(wire_ticket_valid_user(ticket.user));
    }
    if (wire_api_token_parse(text, &id, &secret)) {
        g_assert_true(wire_ticket_valid_token_id(id));
    }
    if (upid_parse(text, &upid, NULL) == 0) {
        as_task(&upid);
    }
    g_assert_cmpint(wire_csrf_check(text, "key", "root@pam", (WallTime){0}, NULL), <, 0);
}

static void as_join(const char *text)
{
    g_auto(JoinBlob) blob = {0};
    g_auto(JoinClassicAnswer) answer = {0};
    g_autofree char *copy = g_strdup(text);

    if (join_blob_parse(text, &blob, NULL) == 0) {
        g_assert_cmpuint(strlen(blob.fingerprint), ==, 95);
    }
    if (join_classic_parse(copy, &answer, NULL) == 0) {
        g_assert_nonnull(answer.conf);
    }
}

/* A member's lists of nodes and links, and the rules of adding a node on what they say. */
static void as_nodes(const char *text, size_t size)
{
    const CorosyncAddNode add = {.name = "fuzz", .votes = 1, .fallback_address = "192.0.2.1"};
    g_autoptr(JsonTree) tree = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    uint32_t id = 0;

    if (jsontree_parse(text, size, &tree, NULL) == 0 &&
        join_info_conf(jsontree_get(tree, "nodes"), jsontree_get(tree, "totem"), &conf, NULL) ==
            0 &&
        corosync_conf_add_node(conf, &add, &id, NULL) == 0) {
        g_autofree char *written = corosync_conf_format(conf);

        g_assert_nonnull(strstr(written, "name: fuzz\n"));
        g_assert_cmpuint(id, >, 0);
    }
}

static void as_witness(const char *text, size_t size)
{
    g_auto(WitnessToken) token = {0};
    g_auto(WitnessRequest) request = {0};
    g_autofree guint8 *answer = NULL;
    gsize n = 0;

    if (witness_token_parse(text, &token, NULL) == 0) {
        g_assert_true(witness_valid_host(token.host));
    }
    if (witness_request_parse(text, size, &request, NULL) == 0) {
        g_assert_null(strpbrk(request.cluster, "/. ;"));
        g_assert_cmpuint(request.crq_size, <=, WITNESS_CRQ_MAX);
    }
    if (witness_answer_parse(text, size, "ca", &answer, &n, NULL) == 0) {
        g_assert_cmpuint(n, >, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    UserCfg *users = NULL;

    as_parameters(text, data, size);
    as_login(text);
    as_join(text);
    as_nodes(text, size);
    as_witness(text, strlen(text));
    if (usercfg_parse(text, strlen(text), &users, NULL) == 0) {
        (void)usercfg_privileges(users, "joe@pve", "/vms/100");
        (void)usercfg_privileges(users, "joe@pve!t", "/storage/a");
    }
    usercfg_free(users);
    return 0;
}
