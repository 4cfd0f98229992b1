/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an IPC request, from root and from a read-only client, against a small tree: there
 * is one well-formed answer, and it is JSON where it is meant to be. */
#include "pmxcfs/io/ipc_dispatch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/ipc_engine.h"

#include <json-glib/json-glib.h>
#include <string.h>

static Engine *engine;
static IpcDispatch *dispatch;

static void prepare(void)
{
    static const char conf[] = "name: web\nmemory: 2048\ntags: a\ntags: b\n[snap]\nname: old\n";
    static const char odd[] = "name: \"q\\\" \001\xff\nlock:\n: x\nname";

    engine = ipc_engine_new();
    dispatch = ipc_dispatch_new(engine);
    ipc_engine_write(engine, "storage.cfg", "dir: local\n", 11);
    ipc_engine_write(engine, "priv/token.cfg", "u@pam!t secret\n", 15);
    ipc_engine_write(engine, "nodes/n1/qemu-server/100.conf", conf, sizeof conf - 1);
    ipc_engine_write(engine, "nodes/n2/lxc/101.conf", odd, sizeof odd - 1);
}

static bool is_json(int32_t id)
{
    return id == WIRE_IPC_GET_VERSION || id == WIRE_IPC_GET_MEMBERS || id == WIRE_IPC_GET_VMLIST ||
           id == WIRE_IPC_GET_LOG || id == WIRE_IPC_GUEST_PROPERTY ||
           id == WIRE_IPC_GUEST_PROPERTIES;
}

static void check_json(GBytes *body)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    json_parser_load_from_data(parser, g_bytes_get_data(body, NULL), (gssize)g_bytes_get_size(body),
                               &error);
    g_assert_no_error(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (engine == NULL) {
        prepare();
    }
    for (int i = 0; i < 2; i++) {
        const IpcPeer peer = {.pid = 1, .read_only = i == 1};
        g_auto(IpcAnswer) a = {0};
        WireIpcResponse r;
        uint8_t head[WIRE_IPC_RESPONSE_HEAD];

        (void)ipc_dispatch_is_slow(data, size);
        ipc_dispatch(dispatch, &peer, data, size, WIRE_IPC_MESSAGE_MAX, &a);
        memcpy(head, a.head, sizeof head);
        if (a.body != NULL && is_json(head[0])) {
            check_json(a.body);
        }
        if (a.body == NULL) {
            g_assert_cmpint(wire_ipc_decode_response(head, sizeof head, &r), ==, 0);
        }
    }
    return 0;
}
