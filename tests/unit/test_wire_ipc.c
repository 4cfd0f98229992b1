/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: requests and responses have the bytes of the documented clients and daemon; nothing
 * malformed passes, and each fault gets its documented errno. Method: every captured request is
 * decoded and encoded again, every captured response decoded; all truncations and single-byte
 * changes; one request per rule of the reference (15.3).
 */
#include "lib/wire/wire_ipc.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

static const char *const names[] = {
    "01-fs-version",       "02-cluster-info",      "03-guest-list",     "04-set-status",
    "05-get-status",       "06-get-config-enoent", "06-get-config",     "07-log-msg",
    "08-get-cluster-log",  "10-rrd-dump",          "11-guest-property", "12-verify-token",
    "13-guest-properties",
};

static GBytes *sample(const char *name, const char *kind)
{
    g_autofree char *file = g_strdup_printf("ipc-%s-%s.hex", name, kind);

    return testdata_sample(file);
}

static int decode(GBytes *bytes, WireIpcRequest *ret)
{
    return wire_ipc_decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), ret);
}

static void captured_requests(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GBytes) bytes = sample(names[i], "request");
        g_autoptr(GBytes) again = NULL;
        WireIpcRequest req;

        if (bytes == NULL) {
            return;
        }
        g_assert_cmpint(decode(bytes, &req), ==, 0);
        g_assert_cmpint(req.id, ==, g_ascii_strtoll(names[i], NULL, 10));
        g_assert_nonnull(wire_ipc_name(req.id));
        g_assert_cmpint(wire_ipc_encode(&req, &again), ==, 0);
        g_assert_true(g_bytes_equal(bytes, again));
    }
}

static void captured_responses(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GBytes) bytes = sample(names[i], "response");
        WireIpcResponse resp;
        uint8_t head[WIRE_IPC_RESPONSE_HEAD];
        const uint8_t *data;
        gsize size;

        if (bytes == NULL) {
            return;
        }
        data = g_bytes_get_data(bytes, &size);
        g_assert_cmpint(wire_ipc_decode_response(data, size, &resp), ==, 0);
        g_assert_cmpint(resp.error, ==, strstr(names[i], "enoent") != NULL ? -ENOENT : 0);
        wire_ipc_encode_response_head(resp.id, size, resp.error, head);
        g_assert_cmpmem(head, sizeof head, data, sizeof head);
    }
}

/* ---- anything else ---- */

/* What decodes lies inside the bytes and encodes to something that decodes to the same kind. */
static void check_any(const void *data, gsize size)
{
    g_autoptr(GBytes) again = NULL;
    WireIpcRequest req = {0};

    if (wire_ipc_decode(data, size, &req) == 0) {
        WireIpcRequest second;

        g_assert_cmpint(wire_ipc_encode(&req, &again), ==, 0);
        g_assert_cmpint(decode(again, &second), ==, 0);
        g_assert_cmpint(second.id, ==, req.id);
    }
}

static void mutations(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GBytes) bytes = sample(names[i], "request");

        if (bytes == NULL) {
            return;
        }
        testdata_mutate(bytes, check_any);
    }
}

/* A request of `id` with `n` bytes of payload, header as it should be. */
static int try_payload(int32_t id, const void *payload, gsize n)
{
    g_autofree uint8_t *bytes = g_malloc0(16 + n);
    WireIpcRequest req;

    bytes[0] = (uint8_t)id;
    bytes[8] = (uint8_t)(16 + n);
    bytes[9] = (uint8_t)((16 + n) >> 8);
    if (n > 0) {
        memcpy(bytes + 16, payload, n);
    }
    return wire_ipc_decode(bytes, 16 + n, &req);
}

#define TRY(id, text) try_payload(id, text, sizeof(text) - 1) /* without the literal's own NUL */

/* 18.1.27: what the header says is compared with what came. */
static void header_size(void)
{
    const gsize sizes[] = {0, 1, 8, 15};
    uint8_t bytes[40] = {1};
    WireIpcRequest req;

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_cmpint(wire_ipc_decode(bytes, sizes[i], &req), ==, -EINVAL);
    }
    for (unsigned stated = 0; stated < 256; stated++) {
        bytes[8] = (uint8_t)stated;
        g_assert_cmpint(wire_ipc_decode(bytes, 16, &req), ==, stated == 16 ? 0 : -EINVAL);
    }
    bytes[0] = 6;
    bytes[8] = 0x00; /* 100000000 */
    bytes[9] = 0xe1;
    bytes[10] = 0xf5;
    bytes[11] = 0x05;
    g_assert_cmpint(wire_ipc_decode(bytes, 20, &req), ==, -EINVAL);
    g_assert_cmpint(req.id, ==, 6); /* for the answer */
    memset(bytes + 8, 0xff, 4);     /* -1 */
    g_assert_cmpint(wire_ipc_decode(bytes, 20, &req), ==, -EINVAL);
}

static void unknown_ids(void)
{
    const int32_t ids[] = {0, 9, 14, 100};

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_assert_cmpint(try_payload(ids[i], NULL, 0), ==, -ECHRNG);
        g_assert_null(wire_ipc_name(ids[i]));
    }
}

static void rules_of_views(void)
{
    const int32_t ids[] = {1, 2, 3, 10};

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_assert_cmpint(try_payload(ids[i], NULL, 0), ==, 0);
        g_assert_cmpint(try_payload(ids[i], "", 1), ==, -EINVAL);
    }
}

static void rules_of_status(void)
{
    g_autofree char *fields = g_malloc0(600);
    g_autofree char *full = g_strnfill(600, 'x');

    fields[0] = fields[256] = 'k';
    g_assert_cmpint(try_payload(4, fields, 255), ==, -EINVAL);
    g_assert_cmpint(try_payload(4, fields, 256), ==, 0);
    g_assert_cmpint(try_payload(4, full, 300), ==, -EINVAL);
    g_assert_cmpint(try_payload(5, fields, 511), ==, -EINVAL);
    g_assert_cmpint(try_payload(5, fields, 512), ==, 0);
    g_assert_cmpint(try_payload(5, fields, 513), ==, 0); /* as the original */
    g_assert_cmpint(try_payload(5, full, 512), ==, -EINVAL);
}

static void rules_of_files(void)
{
    g_assert_cmpint(TRY(6, ""), ==, -EINVAL);
    g_assert_cmpint(TRY(6, "storage.cfg\0"), ==, 0);
    g_assert_cmpint(TRY(6, "storage.cfg"), ==, 0); /* the original adds the NUL itself */
    g_assert_cmpint(TRY(6, "\0"), ==, 0);
}

static void rules_of_log(void)
{
    g_assert_cmpint(TRY(7, "\x06\x02\x02i\0t\0m\0"), ==, 0);
    g_assert_cmpint(TRY(7, "\x06\x02\x02i\0t\0m"), ==, 0); /* accepted by the original too */
    g_assert_cmpint(TRY(7, "\x06\x02\x02i\0t\0\0"), ==, 0);
    g_assert_cmpint(TRY(7, "\x06\x01\x01\0\0m\0"), ==, 0);
    g_assert_cmpint(TRY(7, "\x06\x02\x02i\0t\0"), ==, -EINVAL); /* no message */
    g_assert_cmpint(TRY(7, "\x06\x00\x02t\0m\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(7, "\x06\x02\x00i\0m\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(7, "\x06\x02\x02ixt\0m\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(7, "\x06\x02\x02i\0txm\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(7, "\x06\xff\x02i\0t\0m\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(7, "\x06\x02"), ==, -EINVAL);
    g_assert_cmpint(TRY(8, "\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), ==, 0);
    g_assert_cmpint(TRY(8, "\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), ==, -EINVAL); /* size 32 */
    g_assert_cmpint(TRY(8, "\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0user"), ==, -EINVAL);
}

static void rules_of_properties(void)
{
    g_assert_cmpint(TRY(11, "\0\0\0\0name\0"), ==, 0);
    g_assert_cmpint(TRY(11, "\0\0\0\0name"), ==, -EINVAL);
    g_assert_cmpint(TRY(11, "\0\0\0\0\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(11, "\0\0\0\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(11, "\0\0\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x02name\0lock\0"), ==, 0);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x00name\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x01name"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x02name\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x02name\0\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x01name\0lock\0"), ==, -EINVAL); /* left over */
    g_assert_cmpint(TRY(13, "\0\0\0\0\x01Name\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0\x01[a]\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(13, "\0\0\0\0"), ==, -EINVAL);
}

static void rules_of_tokens(void)
{
    g_assert_cmpint(TRY(12, "u@pam!t secret\0"), ==, 0);
    g_assert_cmpint(TRY(12, "u@pam!t secret"), ==, -EINVAL);
    g_assert_cmpint(TRY(12, ""), ==, -EINVAL);
    g_assert_cmpint(TRY(12, "\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(12, "a\nb\0"), ==, -EINVAL);
    g_assert_cmpint(TRY(12, "a\0b\0"), ==, -EINVAL);
}

static void encode_limits(void)
{
    g_autofree char *key = g_strnfill(256, 'k');
    g_autofree char *big = g_malloc0(WIRE_IPC_MESSAGE_MAX);
    WireIpcRequest req = {.id = WIRE_IPC_SET_STATUS};
    GBytes *bytes = NULL;

    req.u.set_status = (WireIpcSetStatus){.key = key, .value = "", .size = 0};
    g_assert_cmpint(wire_ipc_encode(&req, &bytes), ==, -EMSGSIZE);
    req.u.set_status = (WireIpcSetStatus){.key = "k", .value = big, .size = WIRE_IPC_MESSAGE_MAX};
    g_assert_cmpint(wire_ipc_encode(&req, &bytes), ==, -EMSGSIZE);
    req.id = WIRE_IPC_LOG;
    req.u.log = (WireIpcLog){.ident = key, .tag = "t", .text = {"m", 1}};
    g_assert_cmpint(wire_ipc_encode(&req, &bytes), ==, -EMSGSIZE);
}

static void bad_responses(void)
{
    uint8_t head[WIRE_IPC_RESPONSE_HEAD + 1] = {0};
    WireIpcResponse resp;

    wire_ipc_encode_response_head(6, sizeof head, 0, head);
    for (gsize n = 0; n < sizeof head; n++) {
        g_assert_cmpint(wire_ipc_decode_response(head, n, &resp), ==, -EBADMSG);
    }
    g_assert_cmpint(wire_ipc_decode_response(head, sizeof head, &resp), ==, 0);
    g_assert_cmpuint(resp.size, ==, 1);
    wire_ipc_encode_response_head(6, sizeof head, -EPERM, head); /* data with an error */
    g_assert_cmpint(wire_ipc_decode_response(head, sizeof head, &resp), ==, -EBADMSG);
    wire_ipc_encode_response_head(6, 24, 0, head);
    head[16] = 2; /* a positive error */
    g_assert_cmpint(wire_ipc_decode_response(head, 24, &resp), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire_ipc/captured-requests", captured_requests);
    g_test_add_func("/wire_ipc/captured-responses", captured_responses);
    g_test_add_func("/wire_ipc/every-truncation-and-byte-change-is-safe", mutations);
    g_test_add_func("/wire_ipc/header/size-must-be-what-came", header_size);
    g_test_add_func("/wire_ipc/header/unknown-id-is-echrng", unknown_ids);
    g_test_add_func("/wire_ipc/rules/views-have-no-payload", rules_of_views);
    g_test_add_func("/wire_ipc/rules/status", rules_of_status);
    g_test_add_func("/wire_ipc/rules/files", rules_of_files);
    g_test_add_func("/wire_ipc/rules/log", rules_of_log);
    g_test_add_func("/wire_ipc/rules/guest-properties", rules_of_properties);
    g_test_add_func("/wire_ipc/rules/tokens", rules_of_tokens);
    g_test_add_func("/wire_ipc/too-long-is-not-encoded", encode_limits);
    g_test_add_func("/wire_ipc/bad-responses-are-refused", bad_responses);
    return g_test_run();
}
