/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/api_peer.h"

#include "lib/base/jsontree.h"
#include "lib/port/api_socket.h"
#include "lib/port/tls_client.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#define PEER_PORT    "8006"
#define NODES_PREFIX "/api2/json/nodes/"

char *api_peer_node(const char *path, const char *self)
{
    const char *name = path + sizeof NODES_PREFIX - 1;
    gsize size;

    if (!g_str_has_prefix(path, NODES_PREFIX)) {
        return NULL;
    }
    size = strcspn(name, "/");
    if (size == 0 || (strlen(self) == size && strncmp(name, self, size) == 0) ||
        (size == strlen("localhost") && strncmp(name, "localhost", size) == 0)) {
        return NULL;
    }
    return g_strndup(name, size);
}

/* Part of a path, so no name of a file elsewhere. */
static bool plain_name(const char *node)
{
    for (const char *p = node; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && *p != '-') {
            return false;
        }
    }
    return *node != '\0';
}

/* Where the cluster sees the node; NULL: it knows none of that name. Caller frees. */
static char *address_of(const char *pve, const char *node)
{
    g_autofree char *path = g_build_filename(pve, ".members", NULL);
    g_autofree char *text = NULL;
    g_autoptr(JsonTree) tree = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &text, &size, NULL) ||
        jsontree_parse(text, size, &tree, NULL) < 0) {
        return NULL;
    }
    return g_strdup(jsontree_get_text(jsontree_get(jsontree_get(tree, "nodelist"), node), "ip"));
}

static bool pem_digest(const char *pem, gsize size, uint8_t ret[TLS_FINGERPRINT_SIZE])
{
    const gnutls_datum_t datum = {(unsigned char *)pem, (unsigned)size};
    gnutls_x509_crt_t crt;
    size_t n = TLS_FINGERPRINT_SIZE;
    bool good;

    if (gnutls_x509_crt_init(&crt) != GNUTLS_E_SUCCESS) {
        return false;
    }
    good = gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_PEM) == GNUTLS_E_SUCCESS &&
           gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, ret, &n) == GNUTLS_E_SUCCESS;
    gnutls_x509_crt_deinit(crt);
    return good;
}

/* Of the certificate that the node shows on its API port. */
static bool known_digest(const char *pve, const char *node, uint8_t ret[TLS_FINGERPRINT_SIZE])
{
    static const char *const names[] = {"pveproxy-ssl.pem", "pve-ssl.pem"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(pve, "nodes", node, names[i], NULL);
        g_autofree char *pem = NULL;
        gsize size = 0;

        if (g_file_get_contents(path, &pem, &size, NULL)) {
            return pem_digest(pem, size, ret);
        }
    }
    return false;
}

static int exchange(const TlsConfig *cfg, const ApiRequest *request, HttpAnswer *ret, Err *err)
{
    g_autofree char *path = g_uri_escape_string(request->path, "/:@!$&'()*+,;=", FALSE);
    g_autofree char *target =
        g_strconcat(path, request->query != NULL ? "?" : "", request->query, NULL);
    g_autoptr(TlsClient) tls = NULL;
    HttpRequest http = {.method = request->method,
                        .target = target,
                        .authorization = request->authorization,
                        .cookie = request->cookie,
                        .csrf = request->csrf,
                        .forwarded_for = request->peer};
    int r = tls_client_connect(cfg, &tls, err);

    if (r < 0) {
        return r;
    }
    if (request->body != NULL) {
        http.body = g_bytes_get_data(request->body, &http.body_size);
        http.content_type = *(const char *)http.body == '{' ? "application/json"
                                                            : "application/x-www-form-urlencoded";
    }
    return tls_client_request(tls, &http, ret, err);
}

void api_peer_ask(const char *pve, const char *node, const ApiRequest *request, ApiAnswer *ret)
{
    uint8_t digest[TLS_FINGERPRINT_SIZE];
    g_autofree char *address = plain_name(node) ? address_of(pve, node) : NULL;
    g_auto(HttpAnswer) answer = {0};
    g_autofree char *text = NULL;
    TlsConfig cfg = {.host = address,
                     .port = PEER_PORT,
                     .trust = TLS_TRUST_FINGERPRINT,
                     .digest = digest,
                     .timeout_ms = API_PEER_TIMEOUT_MS};
    Err err = ERR_INIT;
    int r;

    if (address == NULL || !known_digest(pve, node, digest)) {
        text = g_strdup_printf("no such cluster node '%.64s'", node);
        api_answer_error(ret, 500, text);
        return;
    }
    r = exchange(&cfg, request, &answer, &err);
    if (r < 0) {
        text = g_strdup_printf("node '%s': %s", node, err_text(&err));
        api_answer_error(ret, r == -EKEYREJECTED || r == -ETIMEDOUT ? 596 : 595, text);
        return;
    }
    ret->status = (uint32_t)answer.status;
    if (ret->body != NULL) {
        g_bytes_unref(ret->body);
    }
    ret->body = g_steal_pointer(&answer.body);
}
