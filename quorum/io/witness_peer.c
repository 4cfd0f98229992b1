/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways to a witness host: by token over TLS, and by ssh. */
#include "lib/port/tls_client.h"
#include "quorum/io/witness_setup.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

#define TLS_TIMEOUT_MS 60000 /* making certificates takes the witness some seconds */

/* ---- by token ----------------------------------------------------------------------------------
 */

static int refusal(const HttpAnswer *a, Err *err)
{
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);
    g_autofree char *copy = g_strndup(text != NULL ? text : "", MIN(size, (gsize)300));

    return err_setf(err, a->status == 401 || a->status == 403 ? -EPERM : -EREMOTEIO,
                    "the witness refuses (%d): %s", a->status, g_strstrip(copy));
}

static int ask(const WitnessToken *t,
               WitnessRequest *q,
               const char *name,
               guint8 **ret,
               gsize *ret_size,
               Err *err)
{
    char port[8];
    TlsConfig cfg = {.host = t->host,
                     .port = port,
                     .trust = TLS_TRUST_FINGERPRINT,
                     .digest = t->fingerprint,
                     .timeout_ms = TLS_TIMEOUT_MS};
    HttpRequest http = {
        .method = "POST", .target = WITNESS_PATH, .content_type = "application/json"};
    uint8_t exporter[JOINTOKEN_EXPORTER_SIZE], key[JOINTOKEN_KEY_SIZE];
    g_autoptr(TlsClient) tls = NULL;
    g_auto(HttpAnswer) a = {0};
    g_autofree char *body = NULL;
    const char *text;
    gsize size;
    int r;

    (void)snprintf(port, sizeof port, "%u", t->port);
    if ((r = tls_client_connect(&cfg, &tls, err)) < 0 ||
        (r = tls_client_exporter(tls, JOINTOKEN_EXPORTER, exporter, sizeof exporter, err)) < 0) {
        return r;
    }
    jointoken_derive(t->secret, key);
    jointoken_proof(key, exporter, q->cluster, q->proof);
    explicit_bzero(key, sizeof key);
    body = witness_request_format(q);
    http.body = body;
    http.body_size = strlen(body);
    if ((r = tls_client_request(tls, &http, &a, err)) < 0) {
        return r;
    }
    if (a.status != 200) {
        return refusal(&a, err);
    }
    text = g_bytes_get_data(a.body, &size);
    return witness_answer_parse(text != NULL ? text : "", size, name, ret, ret_size, err);
}

static int token_ca(void *ctx, const char *cluster, guint8 **ret, gsize *ret_size, Err *err)
{
    g_auto(WitnessRequest) q = {.step = WITNESS_STEP_HELLO, .cluster = g_strdup(cluster)};

    return ask(ctx, &q, "ca", ret, ret_size, err);
}

static int token_sign(void *ctx,
                      const char *cluster,
                      const guint8 *crq,
                      gsize crq_size,
                      guint8 **ret,
                      gsize *ret_size,
                      Err *err)
{
    g_auto(WitnessRequest) q = {.step = WITNESS_STEP_SIGN,
                                .cluster = g_strdup(cluster),
                                .crq = g_memdup2(crq, crq_size),
                                .crq_size = crq_size};

    return ask(ctx, &q, "crt", ret, ret_size, err);
}

WitnessPeer witness_peer_by_token(const WitnessToken *token)
{
    return (WitnessPeer){
        .host = token->host, .ca = token_ca, .sign = token_sign, .ctx = (void *)token};
}

/* ---- by ssh ------------------------------------------------------------------------------------
 */

#define QNETD_DIR "/etc/corosync/qnetd/nssdb"

/* Runs a command on the host; ssh talks to the person by the terminal itself. */
static int by_ssh(
    const char *host, const char *command, GBytes *input, guint8 **ret, gsize *ret_size, Err *err)
{
    g_autofree char *login = g_strconcat("root@", host, NULL);
    const char *argv[] = {"ssh", "-T", "--", login, command, NULL};
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    g_autoptr(GBytes) output = NULL;
    g_autoptr(GSubprocess) child = g_subprocess_newv(
        argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &gerror);
    gsize size = 0;

    if (child == NULL || !g_subprocess_communicate(child, input != NULL ? input : nothing, NULL,
                                                   &output, NULL, &gerror)) {
        return err_setf(err, -EIO, "ssh: %s", gerror->message);
    }
    if (!g_subprocess_get_successful(child)) {
        return err_setf(err, -EREMOTEIO,
                        "the command on '%s' failed: is corosync-qnetd installed "
                        "there?",
                        host);
    }
    size = g_bytes_get_size(output);
    if (size == 0 || size > WITNESS_CRQ_MAX) {
        return err_setf(err, -EBADMSG, "'%s' answers with %" G_GSIZE_FORMAT " bytes", host, size);
    }
    *ret = g_memdup2(g_bytes_get_data(output, NULL), size);
    *ret_size = size;
    return 0;
}

static int ssh_ca(void *ctx, const char *cluster, guint8 **ret, gsize *ret_size, Err *err)
{
    (void)cluster;
    return by_ssh(ctx,
                  "test -e " QNETD_DIR " -a -n \"$(ls " QNETD_DIR ")\" || "
                  "corosync-qnetd-certutil -i >&2; cat " QNETD_DIR "/qnetd-cacert.crt",
                  NULL, ret, ret_size, err);
}

static int ssh_sign(void *ctx,
                    const char *cluster,
                    const guint8 *crq,
                    gsize crq_size,
                    guint8 **ret,
                    gsize *ret_size,
                    Err *err)
{
    g_autoptr(GBytes) input = g_bytes_new(crq, crq_size);
    /* The name has been checked to be one: letters, digits, hyphens. */
    g_autofree char *command = g_strdup_printf(
        "f=$(mktemp) && cat >\"$f\" && corosync-qnetd-certutil -s -c \"$f\" -n %s >&2 && "
        "cat " QNETD_DIR "/cluster-%s.crt; s=$?; rm -f \"$f\"; exit $s",
        cluster, cluster);

    return by_ssh(ctx, command, input, ret, ret_size, err);
}

WitnessPeer witness_peer_by_ssh(const char *host)
{
    return (WitnessPeer){.host = host, .ca = ssh_ca, .sign = ssh_sign, .ctx = (void *)host};
}
