/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: messages between API worker and root daemons survive the way, damaged ones never do. */
#include "lib/wire/wire_api.h"

#include <errno.h>
#include <string.h>

static GBytes *sample(void)
{
    g_auto(ApiRequest) r = {0};

    r.method = g_strdup("POST");
    r.path = g_strdup("/api2/json/cluster/config/join2");
    r.body = g_bytes_new("{}", 2);
    r.peer = g_strdup("10.0.0.9");
    r.exporter = g_bytes_new("\0\1\2", 3);
    return wire_api_request_encode(&r);
}

static void request_round_trip(void)
{
    g_autoptr(GBytes) bytes = sample();
    g_auto(ApiRequest) back = {0};
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);

    g_assert_cmpint(wire_api_request_decode(data + 4, n - 4, &back, NULL), ==, 0);
    g_assert_cmpstr(back.path, ==, "/api2/json/cluster/config/join2");
    g_assert_null(back.query);
    g_assert_cmpmem(g_bytes_get_data(back.exporter, NULL), 3, "\0\1\2", 3);
    g_assert_cmpint(data[0] + 256 * data[1], ==, n - 4);
}

static void answer_round_trip(void)
{
    g_autoptr(GBytes) bytes = NULL;
    g_auto(ApiAnswer) a = {.status = 403}, back = {0};
    gsize n;

    a.body = g_bytes_new("{\"data\":null}", 13);
    bytes = wire_api_answer_encode(&a);
    const char *data = g_bytes_get_data(bytes, &n);
    g_assert_cmpint(wire_api_answer_decode(data + 4, n - 4, &back, NULL), ==, 0);
    g_assert_cmpuint(back.status, ==, 403);
    g_assert_cmpuint(g_bytes_get_size(back.body), ==, 13);
}

static void cut_and_trailing_bytes_are_refused(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    g_autofree char *longer = g_malloc0(n + 1);

    for (gsize i = 0; i < n - 4; i++) {
        g_auto(ApiRequest) back = {0};
        g_auto(ApiAnswer) answer = {0};

        g_assert_cmpint(wire_api_request_decode(data + 4, i, &back, NULL), ==, -EBADMSG);
        g_assert_cmpint(wire_api_answer_decode(data + 4, i, &answer, NULL), ==, -EBADMSG);
    }
    memcpy(longer, data, n);
    g_auto(ApiRequest) back = {0};
    g_assert_cmpint(wire_api_request_decode(longer + 4, n - 3, &back, NULL), ==, -EBADMSG);
}

static void every_flip_is_bounded(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);

    for (gsize i = 0; i < 8 * (n - 4); i++) {
        g_autofree char *copy = g_memdup2(data + 4, n - 4);
        g_auto(ApiRequest) back = {0};
        int r;

        copy[i / 8] = (char)(copy[i / 8] ^ (1 << (i % 8)));
        r = wire_api_request_decode(copy, n - 4, &back, NULL);
        g_assert_true(r == 0 || r == -EBADMSG);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-api/request-round-trip", request_round_trip);
    g_test_add_func("/wire-api/answer-round-trip", answer_round_trip);
    g_test_add_func("/wire-api/cut-and-trailing-refused", cut_and_trailing_bytes_are_refused);
    g_test_add_func("/wire-api/every-flip-is-bounded", every_flip_is_bounded);
    return g_test_run();
}
