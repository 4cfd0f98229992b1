/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct TlsClient {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    char *host_field;
    unsigned timeout_ms;
    TlsConfig cfg;
    uint8_t digest[TLS_FINGERPRINT_SIZE];
};

static gint64 deadline_of(unsigned timeout_ms)
{
    return g_get_monotonic_time() + (gint64)timeout_ms * 1000;
}

static int wait_fd(int fd, short events, gint64 deadline)
{
    for (;;) {
        gint64 left_ms = (deadline - g_get_monotonic_time() + 999) / 1000;
        struct pollfd p = {.fd = fd, .events = events};
        int n = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;

        if (n > 0) {
            return 0;
        }
        if (n == 0) {
            return -ETIMEDOUT;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

/* ---- TCP ---------------------------------------------------------------------------------------
 */

static int connect_one(const struct addrinfo *ai, gint64 deadline, int *ret_fd)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int so_error = 0;
    socklen_t len = sizeof so_error;
    int r = 0;

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        r = errno == EINPROGRESS ? wait_fd(fd, POLLOUT, deadline) : -errno;
        if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &len) == 0) {
            r = -so_error;
        }
    }
    if (r < 0) {
        (void)close(fd); /* never was a connection */
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int connect_tcp(const char *host, const char *port, gint64 deadline, int *ret_fd, Err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    int r = -EHOSTUNREACH;

    if (rc != 0) {
        return err_setf(err, -EHOSTUNREACH, "%s: %s", host, gai_strerror(rc));
    }
    for (const struct addrinfo *ai = list; ai != NULL && r < 0; ai = ai->ai_next) {
        r = connect_one(ai, deadline, ret_fd);
    }
    freeaddrinfo(list);
    return r < 0 ? err_setf(err, r, "connecting to %s port %s: %s", host, port, strerror(-r)) : 0;
}

/* ---- proving the server ------------------------------------------------------------------------
 */

static void hex(const uint8_t digest[TLS_FINGERPRINT_SIZE], char *ret)
{
    for (int i = 0; i < TLS_FINGERPRINT_SIZE; i++) {
        ret[3 * i] = "0123456789ABCDEF"[digest[i] >> 4];
        ret[3 * i + 1] = "0123456789ABCDEF"[digest[i] & 15];
        ret[3 * i + 2] = i + 1 < TLS_FINGERPRINT_SIZE ? ':' : '\0';
    }
}

static bool cert_digest(X509 *cert, uint8_t ret[TLS_FINGERPRINT_SIZE])
{
    unsigned n = 0;

    return X509_digest(cert, EVP_sha256(), ret, &n) == 1 && n == TLS_FINGERPRINT_SIZE;
}

static bool key_digest(X509 *cert, uint8_t ret[TLS_FINGERPRINT_SIZE])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, ret, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

static int check_fingerprint(TlsClient *c, X509 *cert, Err *err)
{
    uint8_t found[TLS_FINGERPRINT_SIZE];
    char want_text[96], found_text[96];

    if (!cert_digest(cert, found)) {
        return err_setf(err, -EKEYREJECTED, "the certificate of %s cannot be read", c->cfg.host);
    }
    if (CRYPTO_memcmp(found, c->digest, sizeof found) != 0) {
        hex(c->digest, want_text);
        hex(found, found_text);
        return err_setf(err, -EKEYREJECTED,
                        "%s shows another certificate than expected: fingerprint %s, not %s",
                        c->cfg.host, found_text, want_text);
    }
    return 0;
}

/* The CA in the chain the server sent whose key has the expected digest; NULL when there is none.
 */
static X509 *pinned_ca(TlsClient *c)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(c->ssl);

    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        uint8_t found[TLS_FINGERPRINT_SIZE];

        if (X509_check_ca(cert) == 1 && key_digest(cert, found) &&
            CRYPTO_memcmp(found, c->digest, sizeof found) == 0) {
            return cert;
        }
    }
    return NULL;
}

static int check_pinned_ca(TlsClient *c, X509 *cert, Err *err)
{
    X509 *ca = pinned_ca(c);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int r = 0;

    if (ca == NULL) {
        r = err_setf(err, -EKEYREJECTED,
                     "%s does not belong to the cluster that made the token, or its certificate "
                     "authority was replaced since",
                     c->cfg.host);
    } else if (store == NULL || ctx == NULL || X509_STORE_add_cert(store, ca) != 1 ||
               X509_STORE_CTX_init(ctx, store, cert, NULL) != 1) {
        r = err_setf(err, -ENOMEM, "checking the certificate of %s failed", c->cfg.host);
    } else if (X509_verify_cert(ctx) != 1) {
        r = err_setf(err, -EKEYREJECTED, "the certificate of %s is not good: %s", c->cfg.host,
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return r;
}

static int check_server(TlsClient *c, Err *err)
{
    X509 *cert = SSL_get0_peer_certificate(c->ssl);

    if (cert == NULL) {
        return err_setf(err, -EKEYREJECTED, "%s shows no certificate", c->cfg.host);
    }
    switch (c->cfg.trust) {
    case TLS_TRUST_CA_KEY:
        return check_pinned_ca(c, cert, err);
    case TLS_TRUST_FINGERPRINT:
        return check_fingerprint(c, cert, err);
    case TLS_TRUST_CA_FILE:
        return 0; /* OpenSSL has verified chain and name during the handshake */
    }
    return -EINVAL;
}

/* ---- TLS ---------------------------------------------------------------------------------------
 */

static int ssl_fail(TlsClient *c, int rc, const char *what, Err *err)
{
    unsigned long e = ERR_get_error();
    long verify = SSL_get_verify_result(c->ssl);
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

    (void)rc;
    ERR_clear_error();
    if (c->cfg.trust == TLS_TRUST_CA_FILE && verify != X509_V_OK) {
        return err_setf(err, -EKEYREJECTED, "the certificate of %s is not good: %s", c->cfg.host,
                        X509_verify_cert_error_string(verify));
    }
    return err_setf(err, -EPROTO, "%s %s: %s", what, c->cfg.host,
                    reason != NULL ? reason : "the connection was closed");
}

/* After a call that did not succeed: 0 to repeat it, or the error. */
static int want(TlsClient *c, int rc, gint64 deadline, const char *what, Err *err)
{
    int code = SSL_get_error(c->ssl, rc);
    int r;

    if (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE) {
        return ssl_fail(c, rc, what, err);
    }
    r = wait_fd(c->fd, code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
    return r < 0 ? err_setf(err, r, "%s %s: %s", what, c->cfg.host, strerror(-r)) : 0;
}

static int load_identity(TlsClient *c, Err *err)
{
    const TlsConfig *cfg = &c->cfg;

    if (cfg->cert_file != NULL &&
        (SSL_CTX_use_certificate_chain_file(c->ctx, cfg->cert_file) != 1 ||
         SSL_CTX_use_PrivateKey_file(c->ctx, cfg->key_file, SSL_FILETYPE_PEM) != 1)) {
        ERR_clear_error();
        return err_setf(err, -EBADMSG, "the node's certificate or key cannot be used: %s",
                        cfg->cert_file);
    }
    if (cfg->trust == TLS_TRUST_CA_FILE && SSL_CTX_load_verify_file(c->ctx, cfg->ca_file) != 1) {
        ERR_clear_error();
        return err_setf(err, -EBADMSG, "the certificate authority cannot be read: %s",
                        cfg->ca_file);
    }
    return 0;
}

static int set_up(TlsClient *c, Err *err)
{
    int r;

    c->ctx = SSL_CTX_new(TLS_client_method());
    if (c->ctx == NULL || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1) {
        return err_setf(err, -ENOMEM, "TLS cannot be used");
    }
    if ((r = load_identity(c, err)) < 0) {
        return r;
    }
    SSL_CTX_set_verify(c->ctx,
                       c->cfg.trust == TLS_TRUST_CA_FILE ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    c->ssl = SSL_new(c->ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        return err_setf(err, -ENOMEM, "TLS cannot be used");
    }
    if (c->cfg.trust == TLS_TRUST_CA_FILE) {
        X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);

        if (X509_VERIFY_PARAM_set1_ip_asc(param, c->cfg.host) != 1 &&
            X509_VERIFY_PARAM_set1_host(param, c->cfg.host, 0) != 1) {
            return err_setf(err, -EINVAL, "'%s' is no host", c->cfg.host);
        }
    }
    ERR_clear_error();
    return 0;
}

static int handshake(TlsClient *c, gint64 deadline, Err *err)
{
    int rc;

    while ((rc = SSL_connect(c->ssl)) != 1) {
        int r = want(c, rc, deadline, "TLS with", err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int tls_client_connect(const TlsConfig *cfg, TlsClient **ret, Err *err)
{
    g_autoptr(TlsClient) c = g_new0(TlsClient, 1);
    gint64 deadline = deadline_of(cfg->timeout_ms);
    int r;

    c->fd = -1;
    c->cfg = *cfg;
    c->timeout_ms = cfg->timeout_ms;
    if (cfg->digest != NULL) {
        memcpy(c->digest, cfg->digest, sizeof c->digest);
    }
    c->host_field = strchr(cfg->host, ':') != NULL
                        ? g_strdup_printf("[%s]:%s", cfg->host, cfg->port)
                        : g_strdup_printf("%s:%s", cfg->host, cfg->port);
    if ((r = connect_tcp(cfg->host, cfg->port, deadline, &c->fd, err)) < 0 ||
        (r = set_up(c, err)) < 0 || (r = handshake(c, deadline, err)) < 0 ||
        (r = check_server(c, err)) < 0) {
        return r;
    }
    *ret = g_steal_pointer(&c);
    return 0;
}

void tls_client_free(TlsClient *c)
{
    if (c == NULL) {
        return;
    }
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    if (c->fd >= 0) {
        (void)close(c->fd); /* everything that matters was read */
    }
    g_free(c->host_field);
    g_free(c);
}

int tls_client_exporter(TlsClient *c, const char *label, void *ret, size_t size, Err *err)
{
    if (SSL_export_keying_material(c->ssl, ret, size, label, strlen(label), NULL, 0, 0) != 1) {
        ERR_clear_error();
        return err_setf(err, -EPROTO, "the TLS connection gives no keying material");
    }
    return 0;
}

/* ---- request -----------------------------------------------------------------------------------
 */

static int send_all(TlsClient *c, GBytes *bytes, gint64 deadline, Err *err)
{
    gsize left = 0;
    const char *data = g_bytes_get_data(bytes, &left);

    while (left > 0) {
        size_t n = 0;
        int rc = SSL_write_ex(c->ssl, data, left, &n);

        if (rc != 1) {
            int r = want(c, rc, deadline, "sending to", err);

            if (r < 0) {
                return r;
            }
            continue;
        }
        data += n;
        left -= n;
    }
    return 0;
}

/* Reads once: 1 bytes came, 0 the peer closed, or -errno. */
static int read_some(TlsClient *c, GByteArray *in, gint64 deadline, Err *err)
{
    uint8_t buf[16384];
    size_t n = 0;
    int rc;

    while ((rc = SSL_read_ex(c->ssl, buf, sizeof buf, &n)) != 1) {
        int code = SSL_get_error(c->ssl, rc);
        int r;

        if (code == SSL_ERROR_ZERO_RETURN) {
            return 0;
        }
        r = want(c, rc, deadline, "reading from", err);
        if (r < 0) {
            return r;
        }
    }
    g_byte_array_append(in, buf, (guint)n);
    return 1;
}

int tls_client_request(TlsClient *c, HttpRequest *request, HttpAnswer *ret, Err *err)
{
    g_autoptr(GByteArray) in = g_byte_array_new();
    g_autoptr(GBytes) out = NULL;
    gint64 deadline = deadline_of(c->timeout_ms);
    int more, r;

    request->host = c->host_field;
    if ((r = wire_http_request(request, &out, err)) < 0 ||
        (r = send_all(c, out, deadline, err)) < 0) {
        return r;
    }
    do {
        more = read_some(c, in, deadline, err);
        if (more < 0) {
            return more;
        }
        r = wire_http_answer(in->data, in->len, more == 0, ret, err);
    } while (r == 0);
    return r < 0 ? err_wrapf(err, r, "%s", c->cfg.host) : 0;
}

int tls_client_peek(const char *host,
                    const char *port,
                    unsigned timeout_ms,
                    uint8_t ret[TLS_FINGERPRINT_SIZE],
                    Err *err)
{
    TlsConfig cfg = {
        .host = host, .port = port, .trust = TLS_TRUST_FINGERPRINT, .timeout_ms = timeout_ms};
    g_autoptr(TlsClient) c = g_new0(TlsClient, 1);
    gint64 deadline = deadline_of(timeout_ms);
    X509 *cert;
    int r;

    c->cfg = cfg;
    c->fd = -1;
    if ((r = connect_tcp(host, port, deadline, &c->fd, err)) < 0 || (r = set_up(c, err)) < 0 ||
        (r = handshake(c, deadline, err)) < 0) {
        return r;
    }
    cert = SSL_get0_peer_certificate(c->ssl);
    if (cert == NULL || !cert_digest(cert, ret)) {
        return err_setf(err, -EPROTO, "%s shows no certificate", host);
    }
    return 0;
}
