/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: CA and node certificates are what RFC 5280 and our TLS peers need, and nothing else passes.
 */
#include "quorum/io/certs.h"

#include <errno.h>
#include <string.h>

static const WallTime now = {1795309371};
static const char *const node_names[] = {"127.0.0.1", "::1",     "localhost", "10.0.0.1",
                                         "n1",        "n1.test", "n1",        NULL};

typedef struct Pki {
    char *ca_key, *ca, *key, *cert;
} Pki;

static Pki pki;

static CertNames names_of_n1(void)
{
    return (CertNames){.common_name = "n1.test", .names = node_names};
}

static void make_pki(void)
{
    CertNames names = names_of_n1();
    Err err = ERR_INIT;

    /* Small keys: the tests look at the certificates, not at the arithmetic. */
    g_assert_cmpint(certs_make_key(2048, &pki.ca_key, &err), ==, 0);
    g_assert_cmpint(certs_make_ca(pki.ca_key, now, &pki.ca, &err), ==, 0);
    g_assert_cmpint(certs_make_key(2048, &pki.key, &err), ==, 0);
    g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, pki.key, &names, 0, now, &pki.cert, &err), ==,
                    0);
}

static void node_certificate_carries_its_names(void)
{
    g_auto(CertInfo) info = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(certs_inspect(pki.cert, &info, &err), ==, 0);
    g_assert_cmpuint(info.names->len, ==, 6); /* the duplicate is dropped */
    g_assert_true(g_ptr_array_find_with_equal_func(info.names, "::1", g_str_equal, NULL));
    g_assert_true(g_ptr_array_find_with_equal_func(info.names, "n1.test", g_str_equal, NULL));
    g_assert_false(info.is_ca);
    g_assert_cmpint(info.not_after.sec - info.not_before.sec, ==, 730 * 86400);
    g_assert_cmpuint(strlen(info.fingerprint), ==, 95);
    g_assert_cmpint(certs_verify(pki.ca, pki.cert, pki.key, now, &err), ==, 0);
}

static void ca_is_a_ca(void)
{
    g_auto(CertInfo) info = {0};

    g_assert_cmpint(certs_inspect(pki.ca, &info, NULL), ==, 0);
    g_assert_true(info.is_ca);
    g_assert_nonnull(strstr(info.subject, "PVE Cluster Manager CA"));
}

static void foreign_and_expired_are_refused(void)
{
    g_autofree char *other_key = NULL;
    g_autofree char *other_ca = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(certs_make_key(2048, &other_key, &err), ==, 0);
    g_assert_cmpint(certs_make_ca(other_key, now, &other_ca, &err), ==, 0);
    g_assert_cmpint(certs_verify(other_ca, pki.cert, NULL, now, &err), ==, -EKEYREJECTED);
    g_assert_cmpint(certs_verify(pki.ca, pki.cert, other_key, now, &err), ==, -EKEYREJECTED);
    g_assert_nonnull(strstr(err.text, "does not belong"));
    g_assert_cmpint(certs_verify(pki.ca, pki.cert, NULL, (WallTime){now.sec + 731 * 86400}, &err),
                    ==, -EKEYREJECTED);
    g_assert_nonnull(strstr(err.text, "has expired"));
    g_assert_cmpint(certs_verify(pki.ca, pki.cert, NULL, (WallTime){now.sec - 3 * 86400}, &err), ==,
                    -EKEYREJECTED);
    g_assert_nonnull(strstr(err.text, "check the clock"));
    g_assert_cmpint(certs_verify("rubbish", pki.cert, NULL, now, &err), ==, -EKEYREJECTED);
}

static void request_must_prove_its_key(void)
{
    CertNames names = names_of_n1();
    g_autofree char *csr = NULL;
    g_autofree char *cert = NULL;
    Err err = ERR_INIT;
    char *body;

    g_assert_cmpint(certs_make_request(pki.key, "n1", &csr, &err), ==, 0);
    g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, csr, &names, 90, now, &cert, &err), ==, 0);
    g_assert_cmpint(certs_verify(pki.ca, cert, pki.key, now, &err), ==, 0);
    g_clear_pointer(&cert, g_free);
    body = strstr(csr, "\n-----END");
    g_assert_nonnull(body);
    body[-20] = body[-20] == 'A' ? 'B' : 'A'; /* breaks the signature or the form */
    g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, csr, &names, 90, now, &cert, &err), ==,
                    -EBADMSG);
    g_assert_null(cert);
}

static void names_cannot_smuggle_extensions(void)
{
    static const char *const bad[] = {"n1,CA:TRUE", "n1\nx", "", "*.evil", "n1 n2", "-n"};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *const list[] = {bad[i], NULL};
        CertNames names = {.common_name = "n1", .names = list};
        char *cert = NULL;

        g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, pki.key, &names, 0, now, &cert, NULL), ==,
                        -EINVAL);
    }
}

static void life_ends_before_the_ca(void)
{
    CertNames names = names_of_n1();
    WallTime late = {now.sec + 3300 * INT64_C(86400)};
    g_autofree char *cert = NULL;
    g_auto(CertInfo) info = {0}, ca = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, pki.key, &names, 0, late, &cert, &err), ==, 0);
    g_assert_cmpint(certs_inspect(cert, &info, &err), ==, 0);
    g_assert_cmpint(certs_inspect(pki.ca, &ca, &err), ==, 0);
    g_assert_cmpint(ca.not_after.sec - info.not_after.sec, ==, 2 * 86400);
    g_assert_cmpint(ca.not_after.sec - ca.not_before.sec, ==, INT64_C(3650) * 86400);
    g_clear_pointer(&cert, g_free);
    late.sec = now.sec + 3649 * INT64_C(86400);
    g_assert_cmpint(certs_sign(pki.ca_key, pki.ca, pki.key, &names, 0, late, &cert, &err), ==,
                    -EINVAL);
}

static void renewal_is_due_at_two_thirds_or_for_new_names(void)
{
    static const char *const more[] = {"n1", "10.9.9.9", NULL};
    CertNames names = names_of_n1();
    CertNames moved = {.common_name = "n1", .names = more};
    g_auto(CertInfo) info = {0};
    const char *why = NULL;

    g_assert_cmpint(certs_inspect(pki.cert, &info, NULL), ==, 0);
    g_assert_false(certs_needs_renewal(&info, &names, now, &why));
    g_assert_null(why);
    g_assert_true(certs_needs_renewal(&info, &names, (WallTime){now.sec + 490 * 86400}, &why));
    g_assert_true(certs_needs_renewal(&info, &moved, now, &why));
    g_assert_nonnull(strstr(why, "address"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_pki();
    g_test_add_func("/certs/node-carries-its-names", node_certificate_carries_its_names);
    g_test_add_func("/certs/ca-is-a-ca", ca_is_a_ca);
    g_test_add_func("/certs/foreign-and-expired-refused", foreign_and_expired_are_refused);
    g_test_add_func("/certs/request-proves-its-key", request_must_prove_its_key);
    g_test_add_func("/certs/names-cannot-smuggle", names_cannot_smuggle_extensions);
    g_test_add_func("/certs/life-ends-before-ca", life_ends_before_the_ca);
    g_test_add_func("/certs/renewal-is-due", renewal_is_due_at_two_thirds_or_for_new_names);
    int r = g_test_run();

    certs_free_key(pki.ca_key);
    certs_free_key(pki.key);
    g_free(pki.ca);
    g_free(pki.cert);
    return r;
}
