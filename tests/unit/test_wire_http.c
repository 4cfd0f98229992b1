/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: whole answers are read, whatever the cuts; damaged or endless ones are refused. */
#include "lib/wire/wire_http.h"

#include <errno.h>
#include <string.h>

static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
static const char chunked[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
static const char until_close[] = "HTTP/1.0 404 Not Found\r\n\r\nhello";

static void expect_hello(const char *text, gsize size, bool closed, int status)
{
    g_auto(HttpAnswer) a = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(wire_http_answer(text, size, closed, &a, &err), ==, 1);
    g_assert_cmpint(a.status, ==, status);
    g_assert_cmpmem(g_bytes_get_data(a.body, NULL), g_bytes_get_size(a.body), "hello", 5);
}

static void whole_answers_are_read(void)
{
    expect_hello(plain, sizeof plain - 1, false, 200);
    expect_hello(chunked, sizeof chunked - 1, false, 200);
    expect_hello(until_close, sizeof until_close - 1, true, 404);
}

static void every_cut_asks_for_more(void)
{
    static const char *const all[] = {plain, chunked};

    for (guint k = 0; k < G_N_ELEMENTS(all); k++) {
        gsize n = strlen(all[k]) - (k == 1 ? 4 : 0); /* the end of the last chunk is not needed */

        for (gsize i = 0; i < n; i++) {
            g_auto(HttpAnswer) a = {0};

            g_assert_cmpint(wire_http_answer(all[k], i, false, &a, NULL), ==, 0);
            g_assert_cmpint(wire_http_answer(all[k], i, true, &a, NULL), ==, -EBADMSG);
        }
    }
}

static void damaged_answers_are_refused(void)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"SSH-2.0-x\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 20 OK\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 999 OK\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", -E2BIG},
        {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", -EBADMSG},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", -E2BIG},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcd", -EBADMSG},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(HttpAnswer) a = {0};

        g_assert_cmpint(wire_http_answer(cases[i].text, strlen(cases[i].text), false, &a, NULL), ==,
                        cases[i].code);
        g_assert_null(a.body);
    }
}

static void endless_headers_are_refused(void)
{
    g_autofree char *text = g_strnfill(WIRE_HTTP_HEAD_MAX + 1, 'a');
    g_auto(HttpAnswer) a = {0};

    g_assert_cmpint(wire_http_answer(text, WIRE_HTTP_HEAD_MAX + 1, false, &a, NULL), ==, -E2BIG);
}

static void requests_cannot_be_split(void)
{
    HttpRequest r = {.method = "POST", .host = "n1:8006", .target = "/x"};
    g_autoptr(GBytes) bytes = NULL;

    r.target = "/x\r\nEvil: 1";
    g_assert_cmpint(wire_http_request(&r, &bytes, NULL), ==, -EINVAL);
    r.target = "/x";
    r.cookie = "a\nb";
    g_assert_cmpint(wire_http_request(&r, &bytes, NULL), ==, -EINVAL);
    r.cookie = NULL;
    r.content_type = "application/json";
    r.body = "{}";
    r.body_size = 2;
    g_assert_cmpint(wire_http_request(&r, &bytes, NULL), ==, 0);
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    g_assert_cmpstr(text, ==,
                    "POST /x HTTP/1.1\r\nHost: n1:8006\r\nContent-Type: application/json\r\n"
                    "Content-Length: 2\r\nAccept: application/json\r\nConnection: close\r\n\r\n{}");
}

static void forwarded_requests_say_so(void)
{
    HttpRequest r = {
        .method = "GET", .host = "n1:8006", .target = "/x", .forwarded_for = "10.0.0.1"};
    g_autoptr(GBytes) bytes = NULL;

    g_assert_cmpint(wire_http_request(&r, &bytes, NULL), ==, 0);
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    g_assert_cmpstr(text, ==,
                    "GET /x HTTP/1.1\r\nHost: n1:8006\r\nPVEClientIP: 10.0.0.1\r\n"
                    "PVEDisableProxy: true\r\nAccept: application/json\r\n"
                    "Connection: close\r\n\r\n");
    r.forwarded_for = "10.0.0.1\r\nX: y";
    g_assert_cmpint(wire_http_request(&r, &bytes, NULL), ==, -EINVAL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http/whole-answers", whole_answers_are_read);
    g_test_add_func("/http/every-cut-asks-for-more", every_cut_asks_for_more);
    g_test_add_func("/http/damaged-refused", damaged_answers_are_refused);
    g_test_add_func("/http/endless-headers-refused", endless_headers_are_refused);
    g_test_add_func("/http/requests-cannot-be-split", requests_cannot_be_split);
    g_test_add_func("/http/forwarded-requests-say-so", forwarded_requests_say_so);
    return g_test_run();
}
