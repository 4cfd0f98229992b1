/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what a cluster and its witness say to each other comes through whole, or is refused. */
#include "quorum/core/witness.h"

#include <errno.h>
#include <string.h>

static WitnessToken example(void)
{
    WitnessToken t = {.host = g_strdup("fd00::9"), .port = 5402, .expires = {1764345600}};

    for (unsigned i = 0; i < sizeof t.secret; i++) {
        t.secret[i] = (uint8_t)(i + 1);
        t.fingerprint[i] = (uint8_t)(255 - i);
    }
    return t;
}

static void a_token_comes_back(void)
{
    g_auto(WitnessToken) t = example();
    g_auto(WitnessToken) again = {0};
    g_autofree char *line = witness_token_format(&t);
    g_autofree char *padded = g_strconcat("  ", line, "\n", NULL);
    Err err = ERR_INIT;

    g_assert_true(g_str_has_prefix(line, "PVEW1."));
    g_assert_cmpuint(strlen(line), <=, WITNESS_LINE_MAX);
    g_assert_cmpint(witness_token_parse(padded, &again, &err), ==, 0);
    g_assert_cmpstr(again.host, ==, "fd00::9");
    g_assert_cmpuint(again.port, ==, 5402);
    g_assert_cmpint(again.expires.sec, ==, 1764345600);
    g_assert_cmpmem(again.secret, sizeof again.secret, t.secret, sizeof t.secret);
    g_assert_cmpmem(again.fingerprint, 32, t.fingerprint, 32);
}

static void a_damaged_token_is_refused_without_telling_it(void)
{
    g_auto(WitnessToken) t = example();
    g_autofree char *line = witness_token_format(&t);

    for (gsize n = 0; n < strlen(line) - 3; n++) {
        g_autofree char *cut = g_strndup(line, n);
        g_auto(WitnessToken) none = {0};
        Err err = ERR_INIT;

        g_assert_cmpint(witness_token_parse(cut, &none, &err), ==, -EBADMSG);
        g_assert_true(n < 8 || strstr(err_text(&err), cut + 6) == NULL);
    }
}

static void hosts_that_are_none_are_refused(void)
{
    g_assert_true(witness_valid_host("10.0.0.1"));
    g_assert_true(witness_valid_host("witness.example.org"));
    g_assert_false(witness_valid_host(""));
    g_assert_false(witness_valid_host("-oProxyCommand=x"));
    g_assert_false(witness_valid_host("a b"));
    g_assert_false(witness_valid_host("a;b"));
}

static void requests_come_through(void)
{
    g_auto(WitnessRequest) q = {.step = WITNESS_STEP_SIGN,
                                .cluster = g_strdup("lab1"),
                                .crq = g_memdup2("\0\1\2", 3),
                                .crq_size = 3};
    g_auto(WitnessRequest) again = {0};
    g_autofree char *json = NULL;
    Err err = ERR_INIT;

    q.proof[31] = 7;
    json = witness_request_format(&q);
    g_assert_cmpint(witness_request_parse(json, strlen(json), &again, &err), ==, 0);
    g_assert_cmpint(again.step, ==, WITNESS_STEP_SIGN);
    g_assert_cmpstr(again.cluster, ==, "lab1");
    g_assert_cmpmem(again.crq, again.crq_size, "\0\1\2", 3);
    g_assert_cmpuint(again.proof[31], ==, 7);
    for (gsize n = 0; n < strlen(json); n++) {
        g_auto(WitnessRequest) none = {0};

        g_assert_cmpint(witness_request_parse(json, n, &none, &err), ==, -EBADMSG);
    }
}

static void requests_that_would_name_another_file_are_refused(void)
{
    static const char *const names[] = {"../x", "a/b", "", "a b", "a;b", "a_b"};
    Err err = ERR_INIT;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(WitnessRequest) q = {.step = WITNESS_STEP_HELLO, .cluster = g_strdup(names[i])};
        g_auto(WitnessRequest) none = {0};
        g_autofree char *json = witness_request_format(&q);

        g_assert_cmpint(witness_request_parse(json, strlen(json), &none, &err), ==, -EBADMSG);
    }
}

static void answers_come_through(void)
{
    g_autofree char *json = witness_answer_format("ca", "\0x", 2);
    g_autofree guint8 *data = NULL;
    gsize size = 0;
    Err err = ERR_INIT;

    g_assert_cmpint(witness_answer_parse(json, strlen(json), "crt", &data, &size, &err), ==,
                    -EBADMSG);
    g_assert_cmpint(witness_answer_parse(json, strlen(json), "ca", &data, &size, &err), ==, 0);
    g_assert_cmpmem(data, size, "\0x", 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/witness/a-token-comes-back", a_token_comes_back);
    g_test_add_func("/witness/a-damaged-token-is-refused-without-telling-it",
                    a_damaged_token_is_refused_without_telling_it);
    g_test_add_func("/witness/hosts-that-are-none-are-refused", hosts_that_are_none_are_refused);
    g_test_add_func("/witness/requests-come-through", requests_come_through);
    g_test_add_func("/witness/requests-that-would-name-another-file-are-refused",
                    requests_that_would_name_another_file_are_refused);
    g_test_add_func("/witness/answers-come-through", answers_come_through);
    return g_test_run();
}
