/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/witness.h"

#include "lib/base/hextext.h"
#include "lib/base/jsontree.h"
#include "lib/conf/corosync_nodes.h"

#include <errno.h>
#include <string.h>

#define PREFIX "PVEW1."
#define FORMAT 1

STRTAB_DEFINE(witness_step, WitnessStep, WITNESS_STEP_LIST, WITNESS_STEP_N)

void witness_token_done(WitnessToken *t)
{
    g_clear_pointer(&t->host, g_free);
    explicit_bzero(t->secret, sizeof t->secret);
}

bool witness_valid_host(const char *host)
{
    gsize n = strnlen(host, WITNESS_HOST_MAX + 1);

    if (n == 0 || n > WITNESS_HOST_MAX || host[0] == '-') {
        return false;
    }
    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isalnum(host[i]) && strchr(".:-", host[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* ---- the line ----------------------------------------------------------------------------------
 */

char *witness_token_format(const WitnessToken *t)
{
    g_autoptr(JsonTree) tree = jsontree_new_object();
    g_autoptr(GString) json = g_string_new(NULL);
    g_autofree char *fingerprint = hextext_format(t->fingerprint, sizeof t->fingerprint);
    char *secret = hextext_format(t->secret, sizeof t->secret);
    char *base64, *line;

    jsontree_set_int(tree, "v", FORMAT);
    jsontree_set_text(tree, "host", t->host);
    jsontree_set_int(tree, "port", t->port);
    jsontree_set_text(tree, "fingerprint", fingerprint);
    jsontree_set_text(tree, "secret", secret);
    jsontree_set_int(tree, "expires", t->expires.sec);
    jsontree_append(json, tree);
    jointoken_free_line(secret);
    base64 = g_base64_encode((const guchar *)json->str, json->len);
    for (char *c = base64; *c != '\0'; c++) {
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
    base64[strcspn(base64, "=")] = '\0';
    line = g_strconcat(PREFIX, base64, NULL);
    jointoken_free_line(base64);
    explicit_bzero(json->str, json->len);
    return line;
}

/* JSON behind the prefix; NULL when it is none. Caller wipes and frees. */
static char *decode(const char *line, gsize *ret_size)
{
    g_autofree char *copy = g_strdup(line);
    char *text = g_strstrip(copy);
    GString *base64;
    char *payload;

    if (!g_str_has_prefix(text, PREFIX)) {
        return NULL;
    }
    base64 = g_string_new(text + strlen(PREFIX));
    explicit_bzero(copy, strlen(line));
    for (char *c = base64->str; *c != '\0'; c++) {
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_') {
            jointoken_free_line(g_string_free(base64, FALSE));
            return NULL;
        }
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    while (base64->len % 4 != 0) {
        g_string_append_c(base64, '=');
    }
    payload = (char *)g_base64_decode(base64->str, ret_size);
    jointoken_free_line(g_string_free(base64, FALSE));
    return payload;
}

static int read_token(const JsonTree *tree, WitnessToken *t, Err *err)
{
    const char *host = jsontree_get_text(tree, "host");
    int64_t port = jsontree_get_int(tree, "port", 0);

    if (jsontree_get_int(tree, "v", 0) != FORMAT) {
        return err_setf(err, -EBADMSG, "the token is of an unknown version: update this node");
    }
    if (host == NULL || !witness_valid_host(host) || port < 1 || port > 65535 ||
        !hextext_parse(jsontree_get_text(tree, "fingerprint"), t->fingerprint,
                       sizeof t->fingerprint) ||
        !hextext_parse(jsontree_get_text(tree, "secret"), t->secret, sizeof t->secret)) {
        return err_setf(err, -EBADMSG, "the token is damaged: was it copied whole?");
    }
    t->host = g_strdup(host);
    t->port = (uint16_t)port;
    t->expires = (WallTime){jsontree_get_int(tree, "expires", 0)};
    return 0;
}

int witness_token_parse(const char *line, WitnessToken *ret, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    g_auto(WitnessToken) t = {0};
    char *json = NULL;
    gsize size = 0;
    int r;

    if (strnlen(line, WITNESS_LINE_MAX + 1) > WITNESS_LINE_MAX ||
        (json = decode(line, &size)) == NULL) {
        return err_setf(err, -EBADMSG, "this is no witness token (it starts with %s)", PREFIX);
    }
    r = jsontree_parse(json, size, &tree, NULL);
    explicit_bzero(json, size);
    g_free(json);
    if (r < 0) {
        return err_setf(err, -EBADMSG, "the token is damaged: was it copied whole?");
    }
    if ((r = read_token(tree, &t, err)) < 0) {
        return r;
    }
    *ret = t;
    t = (WitnessToken){0};
    return 0;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

void witness_request_done(WitnessRequest *q)
{
    g_clear_pointer(&q->cluster, g_free);
    g_clear_pointer(&q->crq, g_free);
}

static char *text_of(const JsonTree *tree)
{
    GString *out = g_string_new(NULL);

    jsontree_append(out, tree);
    return g_string_free(out, FALSE);
}

char *witness_request_format(const WitnessRequest *q)
{
    g_autoptr(JsonTree) tree = jsontree_new_object();
    g_autofree char *proof = hextext_format(q->proof, sizeof q->proof);

    jsontree_set_int(tree, "version", FORMAT);
    jsontree_set_text(tree, "step", witness_step_name(q->step));
    jsontree_set_text(tree, "cluster", q->cluster);
    jsontree_set_text(tree, "proof", proof);
    if (q->crq_size > 0) {
        g_autofree char *crq = g_base64_encode(q->crq, q->crq_size);

        jsontree_set_text(tree, "crq", crq);
    }
    return text_of(tree);
}

static int read_crq(const JsonTree *tree, WitnessRequest *q, Err *err)
{
    const char *crq = jsontree_get_text(tree, "crq");

    if (q->step != WITNESS_STEP_SIGN) {
        return 0;
    }
    if (crq == NULL || strlen(crq) > 2 * WITNESS_CRQ_MAX) {
        return err_setf(err, -EBADMSG, "the request holds no certificate request (crq)");
    }
    q->crq = g_base64_decode(crq, &q->crq_size);
    return q->crq_size > 0 && q->crq_size <= WITNESS_CRQ_MAX
               ? 0
               : err_setf(err, -EBADMSG, "the certificate request has an impossible size");
}

int witness_request_parse(const char *json, gsize size, WitnessRequest *ret, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    g_auto(WitnessRequest) q = {0};
    const char *cluster, *step;
    int at, r;

    if (jsontree_parse(json, size, &tree, NULL) < 0 ||
        jsontree_get_int(tree, "version", 0) != FORMAT) {
        return err_setf(err, -EBADMSG, "the request is no JSON object of version %d", FORMAT);
    }
    step = jsontree_get_text(tree, "step");
    cluster = jsontree_get_text(tree, "cluster");
    at = step != NULL ? witness_step_from_name(step) : -1;
    /* The cluster's name becomes part of a file name: it must be one. */
    if (at < 0 || cluster == NULL || !corosync_valid_name(cluster) ||
        !hextext_parse(jsontree_get_text(tree, "proof"), q.proof, sizeof q.proof)) {
        return err_setf(err, -EBADMSG, "the request lacks step, cluster or proof");
    }
    q.step = (WitnessStep)at;
    q.cluster = g_strdup(cluster);
    if ((r = read_crq(tree, &q, err)) < 0) {
        return r;
    }
    *ret = q;
    q = (WitnessRequest){0};
    return 0;
}

char *witness_answer_format(const char *name, const void *data, gsize size)
{
    g_autoptr(JsonTree) tree = jsontree_new_object();
    JsonTree *inner = jsontree_new_object();
    g_autofree char *base64 = g_base64_encode(data, size);

    jsontree_set_text(inner, name, base64);
    jsontree_set(tree, "data", inner);
    return text_of(tree);
}

int witness_answer_parse(
    const char *json, gsize size, const char *name, guint8 **ret, gsize *ret_size, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    const char *text;
    gsize n = 0;
    guint8 *data;

    if (jsontree_parse(json, size, &tree, NULL) < 0 ||
        (text = jsontree_get_text(jsontree_get(tree, "data"), name)) == NULL ||
        strlen(text) > 2 * WITNESS_CRQ_MAX) {
        return err_setf(err, -EBADMSG, "the witness' answer holds no '%s'", name);
    }
    data = g_base64_decode(text, &n);
    if (n == 0) {
        g_free(data);
        return err_setf(err, -EBADMSG, "the witness' answer holds an empty '%s'", name);
    }
    *ret = data;
    *ret_size = n;
    return 0;
}
