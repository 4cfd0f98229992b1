/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an agent speaks with members of its own cluster and with nobody else, whichever side it is
 * on. Method: both ends of a connection in one process, with certificates made for the test.
 */
#include "migration/io/mig_tls.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DAY_S  86400L
#define ROUNDS 100 /* of a handshake; a few are enough */

typedef struct Ca {
    EVP_PKEY *key;
    X509 *cert;
} Ca;

/* Of the test's life: ours, that of another cluster, and trees of nodes. `own` is as it should be;
 * in `stranger` the nodes trust our CA, but have certificates of the other one. */
typedef struct Place {
    char *dir, *own, *stranger, *expired;
    Ca ours, other;
} Place;

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    g_assert_nonnull(e);
    g_assert_cmpint(X509_add_ext(cert, e, -1), ==, 1);
    X509_EXTENSION_free(e);
}

/* A certificate for `name`, by `ca` (NULL: by itself), valid from and until so many seconds from
 * now. The caller frees both. */
static X509 *
make_cert(const char *name, const Ca *ca, long from_s, long until_s, EVP_PKEY **ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    g_autofree char *san = g_strdup_printf("DNS:%s", name);

    g_assert_cmpint(X509_set_version(cert, 2), ==, 1);
    g_assert_cmpint(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), ==, 1);
    g_assert_nonnull(X509_gmtime_adj(X509_getm_notBefore(cert), from_s));
    g_assert_nonnull(X509_gmtime_adj(X509_getm_notAfter(cert), until_s));
    g_assert_cmpint(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                               (const unsigned char *)name, -1, -1, 0),
                    ==, 1);
    g_assert_cmpint(
        X509_set_issuer_name(cert, ca != NULL ? X509_get_subject_name(ca->cert) : subject), ==, 1);
    g_assert_cmpint(X509_set_pubkey(cert, key), ==, 1);
    if (ca == NULL) {
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(cert, NID_key_usage, "keyCertSign");
    } else {
        add_extension(cert, NID_subject_alt_name, san);
        add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth");
    }
    g_assert_cmpint(X509_sign(cert, ca != NULL ? ca->key : key, EVP_sha256()), >, 0);
    *ret_key = key;
    return cert;
}

static void write_pem(const char *dir, const char *name, X509 *cert, EVP_PKEY *key)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    BIO *bio = BIO_new_file(path, "w");

    g_assert_nonnull(bio);
    g_assert_cmpint(cert != NULL
                        ? PEM_write_bio_X509(bio, cert)
                        : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL),
                    ==, 1);
    BIO_free(bio);
}

/* A tree with nodes a and b, that trusts `trusted` and whose certificates are of `ca`. */
static char *
make_tree(const Place *p, const char *name, const Ca *trusted, const Ca *ca, long until)
{
    char *pve = g_build_filename(p->dir, name, NULL);

    for (const char *node = "ab"; *node != '\0'; node++) {
        const char one[] = {*node, '\0'};
        g_autofree char *dir = g_build_filename(pve, "nodes", one, NULL);
        EVP_PKEY *key = NULL;
        X509 *cert = make_cert(one, ca, -2 * DAY_S, until, &key);

        g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
        write_pem(dir, "pve-ssl.pem", cert, NULL);
        write_pem(dir, "pve-ssl.key", NULL, key);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    write_pem(pve, "pve-root-ca.pem", trusted->cert, NULL);
    return pve;
}

static void place_init(Place *p)
{
    p->dir = g_dir_make_tmp("mig-tls-XXXXXX", NULL);
    g_assert_nonnull(p->dir);
    p->ours.cert = make_cert("our CA", NULL, -2 * DAY_S, DAY_S, &p->ours.key);
    p->other.cert = make_cert("other CA", NULL, -2 * DAY_S, DAY_S, &p->other.key);
    p->own = make_tree(p, "own", &p->ours, &p->ours, DAY_S);
    p->stranger = make_tree(p, "stranger", &p->ours, &p->other, DAY_S);
    p->expired = make_tree(p, "expired", &p->ours, &p->ours, -DAY_S);
}

static void place_done(Place *p)
{
    test_remove_tree(p->dir);
    X509_free(p->ours.cert);
    X509_free(p->other.cert);
    EVP_PKEY_free(p->ours.key);
    EVP_PKEY_free(p->other.key);
    g_free(p->dir);
    g_free(p->own);
    g_free(p->stranger);
    g_free(p->expired);
}

/* ---- connections ----------------------------------------------------------------------------- */

typedef struct Pair {
    int fds[2];
    SSL *client, *server;
    bool client_fails, server_fails;
} Pair;

/* One step of one side: it is through, or has failed. */
static bool step(SSL *ssl, bool *ret_fails)
{
    int r = *ret_fails ? 1 : SSL_do_handshake(ssl);
    int why = r == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, r);

    if (r != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        *ret_fails = true;
    }
    return r == 1 || *ret_fails;
}

/* Node a, of the tree `client` (NULL: somebody without any certificate), calls node b of `server`,
 * and wants it to be `expect`. */
static void connect_pair(Pair *p, const char *client, const char *server, const char *expect)
{
    Err err = ERR_INIT;
    bool here = false, there = false;

    *p = (Pair){.client = NULL};
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), ==, 0);
    if (client != NULL) {
        g_assert_cmpint(mig_tls_new(client, "a", expect, p->fds[0], &p->client, &err), ==, 0);
    } else {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

        p->client = SSL_new(ctx);
        SSL_CTX_free(ctx);
        g_assert_cmpint(SSL_set_fd(p->client, p->fds[0]), ==, 1);
        SSL_set_connect_state(p->client);
    }
    g_assert_cmpint(mig_tls_new(server, "b", NULL, p->fds[1], &p->server, &err), ==, 0);
    for (int i = 0; i < ROUNDS && !(here && there); i++) {
        here = step(p->client, &p->client_fails);
        there = step(p->server, &p->server_fails);
        there = there || p->client_fails; /* it waits for what will not come */
    }
    g_assert_true(here && there);
}

static void pair_done(Pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    g_assert_cmpint(close(p->fds[0]), ==, 0);
    g_assert_cmpint(close(p->fds[1]), ==, 0);
    ERR_clear_error();
}

static void test_members(void)
{
    Place place;
    Pair p;

    place_init(&place);
    connect_pair(&p, place.own, place.own, "b");
    g_assert_false(p.client_fails || p.server_fails);
    g_assert_true(mig_tls_peer_has_name(p.server, "a"));
    g_assert_false(mig_tls_peer_has_name(p.server, "b"));
    g_assert_true(mig_tls_peer_has_name(p.client, "b"));
    pair_done(&p);
    place_done(&place);
}

static void test_others(void)
{
    Place place;

    place_init(&place);
    const struct {
        const char *client, *server, *expect;
        bool client_refuses; /* else the server does */
        const char *reason;  /* part of it; NULL: any */
    } cases[] = {
        {NULL, place.own, NULL, false, NULL},
        {place.stranger, place.own, "b", false, NULL},
        {place.own, place.stranger, "b", true, NULL},
        {place.expired, place.own, "b", false, "expired"},
        {place.own, place.expired, "b", true, "expired"},
        {place.own, place.own, "c", true, "ostname"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Err err = ERR_INIT;
        Pair p;

        connect_pair(&p, cases[i].client, cases[i].server, cases[i].expect);
        g_assert_true(cases[i].client_refuses ? p.client_fails : p.server_fails);
        mig_tls_reason(cases[i].client_refuses ? p.client : p.server, &err, -EKEYREJECTED, "peer");
        g_assert_cmpint(err.code, ==, -EKEYREJECTED);
        if (cases[i].reason != NULL) {
            g_assert_nonnull(strstr(err_text(&err), cases[i].reason));
        }
        pair_done(&p);
    }
    place_done(&place);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mig-tls/members-shake-hands", test_members);
    g_test_add_func("/mig-tls/nobody-else-does", test_others);
    return g_test_run();
}
