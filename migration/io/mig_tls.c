/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_tls.h"

#include <errno.h>
#include <glib.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int load(SSL_CTX *ctx, const char *pve, const char *node, Err *err)
{
    g_autofree char *ca = g_build_filename(pve, "pve-root-ca.pem", NULL);
    g_autofree char *cert = g_build_filename(pve, "nodes", node, "pve-ssl.pem", NULL);
    g_autofree char *key = g_build_filename(pve, "nodes", node, "pve-ssl.key", NULL);
    int r = 0;

    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        r = err_setf(err, -ENOKEY,
                     "%s or its key cannot be used: `pvecm updatecerts` makes them anew", cert);
    } else if (SSL_CTX_load_verify_file(ctx, ca) != 1) {
        r = err_setf(err, -ENOKEY, "%s cannot be used", ca);
    }
    ERR_clear_error();
    return r;
}

int mig_tls_new(const char *pve, const char *node, const char *expect, int fd, SSL **ret, Err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL *ssl = NULL;
    int r;

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return err_setf(err, -ENOMEM, "TLS cannot be used");
    }
    r = load(ctx, pve, node, err);
    if (r == 0) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        ssl = SSL_new(ctx);
        if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 ||
            (expect != NULL && SSL_set1_host(ssl, expect) != 1)) {
            SSL_free(ssl);
            r = err_setf(err, -ENOMEM, "TLS cannot be used");
        }
    }
    SSL_CTX_free(ctx); /* the connection holds a reference */
    if (r < 0) {
        return r;
    }
    (void)SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (expect != NULL) {
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    *ret = ssl;
    return 0;
}

bool mig_tls_peer_has_name(SSL *ssl, const char *name)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);

    return cert != NULL && X509_check_host(cert, name, 0, 0, NULL) == 1;
}

char *mig_tls_peer_subject(SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *data = NULL;
    long n;

    if (cert != NULL && bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_DN_REV) >= 0 &&
        (n = BIO_get_mem_data(bio, &data)) > 0) {
        text = g_strndup(data, (gsize)n);
    }
    BIO_free(bio);
    return text;
}

void mig_tls_reason(SSL *ssl, Err *err, int code, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    long verify = SSL_get_verify_result(ssl);
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

    if (verify != X509_V_OK) {
        reason = X509_verify_cert_error_string(verify);
    }
    (void)err_setf(err, code, "%s: %s", what,
                   reason != NULL ? reason : "the connection was closed");
    ERR_clear_error();
}

static int make_link(const char *dir, const char *name, const char *target, Err *err)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    (void)unlink(path); /* of an earlier life; symlink tells what stands in the way */
    if (symlink(target, path) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    return 0;
}

/* The group ffdhe2048 of RFC 7919 as PEM; the caller frees it with BIO_free. NULL: no memory. */
static BIO *dh_group(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *group = NULL;

    if (ctx == NULL || bio == NULL || EVP_PKEY_paramgen_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_dh_nid(ctx, NID_ffdhe2048) != 1 || EVP_PKEY_paramgen(ctx, &group) != 1 ||
        PEM_write_bio_Parameters(bio, group) != 1) {
        BIO_free(bio);
        bio = NULL;
    }
    EVP_PKEY_free(group);
    EVP_PKEY_CTX_free(ctx);
    return bio;
}

/* Without this file the target's QEMU searches a prime of its own for each move: 0.1 to 0.5 s of a
 * processor before it listens, for a key exchange that two QEMUs of today never choose. */
static int write_dh_group(const char *dir, Err *err)
{
    g_autofree char *path = g_build_filename(dir, "dh-params.pem", NULL);
    g_autoptr(GError) error = NULL;
    BIO *bio = dh_group();
    char *data = NULL;
    long n = bio != NULL ? BIO_get_mem_data(bio, &data) : 0;
    int r = 0;

    if (n <= 0) {
        r = err_setf(err, -ENOMEM, "%s: the group of RFC 7919 cannot be made", path);
    } else if (!g_file_set_contents_full(path, data, n, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                         &error)) {
        r = err_setf(err, -EIO, "%s", error->message);
    }
    BIO_free(bio);
    ERR_clear_error();
    return r;
}

int mig_tls_qemu_dir(const char *pve, const char *node, const char *dir, Err *err)
{
    g_autofree char *ca = g_build_filename(pve, "pve-root-ca.pem", NULL);
    g_autofree char *cert = g_build_filename(pve, "nodes", node, "pve-ssl.pem", NULL);
    g_autofree char *key = g_build_filename(pve, "nodes", node, "pve-ssl.key", NULL);
    const char *const links[][2] = {{"ca-cert.pem", ca},
                                    {"server-cert.pem", cert},
                                    {"server-key.pem", key},
                                    {"client-cert.pem", cert},
                                    {"client-key.pem", key}};

    if (g_mkdir_with_parents(dir, 0700) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", dir, g_strerror(-r));
    }
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        int r = make_link(dir, links[i][0], links[i][1], err);

        if (r < 0) {
            return r;
        }
    }
    return write_dh_group(dir, err);
}
