/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every request gets the documented answer, byte for byte; nobody reads or changes what is
 * not theirs; and what is text for a JSON parser always parses. Method: the captured requests
 * against the captured database; the rules of 15.3 one by one.
 */
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/ipc_dispatch.h"
#include "tests/unit/ipc_engine.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

static const IpcPeer root = {.pid = 16284, .read_only = false};
static const IpcPeer www = {.pid = 33, .read_only = true};

typedef struct Fixture {
    Engine *e;
    IpcDispatch *d;
} Fixture;

static void setup(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->e = ipc_engine_new();
    f->d = ipc_dispatch_new(f->e);
}

static void teardown(Fixture *f, gconstpointer unused)
{
    (void)unused;
    ipc_dispatch_free(f->d);
    engine_free(f->e);
}

/* The whole response to a whole request. */
static GBytes *ask_bytes(Fixture *f, const IpcPeer *who, GBytes *request, gsize max)
{
    g_auto(IpcAnswer) a = {0};
    GByteArray *out = g_byte_array_new();

    ipc_dispatch(f->d, who, g_bytes_get_data(request, NULL), g_bytes_get_size(request), max, &a);
    g_byte_array_append(out, a.head, sizeof a.head);
    if (a.body != NULL) {
        g_byte_array_append(out, g_bytes_get_data(a.body, NULL), (guint)g_bytes_get_size(a.body));
    }
    return g_byte_array_free_to_bytes(out);
}

/* Error code, and the data as text. */
static int ask(Fixture *f, const IpcPeer *who, const WireIpcRequest *req, char **ret)
{
    g_autoptr(GBytes) request = NULL;
    g_autoptr(GBytes) response = NULL;
    WireIpcResponse r;

    g_assert_cmpint(wire_ipc_encode(req, &request), ==, 0);
    response = ask_bytes(f, who, request, WIRE_IPC_MESSAGE_MAX);
    g_assert_cmpint(
        wire_ipc_decode_response(g_bytes_get_data(response, NULL), g_bytes_get_size(response), &r),
        ==, 0);
    g_assert_cmpint(r.id, ==, req->id);
    if (ret != NULL) {
        *ret = g_strndup((const char *)r.data, r.size);
    }
    return r.error;
}

static int get_file(Fixture *f, const IpcPeer *who, const char *path)
{
    return ask(f, who, &(WireIpcRequest){.id = WIRE_IPC_GET_FILE, .u.path = {path, strlen(path)}},
               NULL);
}

static int get_property(Fixture *f, uint32_t vmid, const char *name, char **ret)
{
    const WireIpcRequest req = {.id = WIRE_IPC_GUEST_PROPERTY,
                                .u.properties = {.vmid = vmid, .n_names = 1, .names = name}};

    return ask(f, &root, &req, ret);
}

static int set_status(Fixture *f, const IpcPeer *who, const char *key, const char *v, gsize n)
{
    const WireIpcRequest req = {.id = WIRE_IPC_SET_STATUS, .u.set_status = {key, v, n}};

    return ask(f, who, &req, NULL);
}

static int write_log(Fixture *f, const IpcPeer *who, uint8_t priority, const char *text)
{
    const WireIpcRequest req = {
        .id = WIRE_IPC_LOG,
        .u.log = {
            .priority = priority, .ident = "root@pam", .tag = "tag", .text = {text, strlen(text)}}};

    return ask(f, who, &req, NULL);
}

static int check_token(Fixture *f, const IpcPeer *who, const char *token)
{
    return ask(f, who, &(WireIpcRequest){.id = WIRE_IPC_VERIFY_TOKEN, .u.token = token}, NULL);
}

static void write_text(Fixture *f, const char *path, const char *text)
{
    ipc_engine_write(f->e, path, text, strlen(text));
}

/* ---- captured ---- */

/* The data of n1 when the answers were captured. */
static void restore_status(Fixture *f)
{
    Status *s = ipc_engine_status(f->e);
    const MonoTime t = {1000000};

    g_assert_cmpint(status_set(s, 1, "nodeip", "10.99.0.11", 11, t, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 2, "nodeip", "10.99.0.12", 11, t, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 3, "nodeip", "10.99.0.13", 11, t, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 0, "tasklist", "[]", 3, t, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 0, "kv/bar", "baz", 4, t, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 0, "rrd/pve-node-9.0/n1", "1:2:3:4", 8, t, NULL), ==, 0);
}

static void captured_answers(Fixture *f, gconstpointer unused)
{
    static const char *const names[] = {
        "01-fs-version", "02-cluster-info",      "03-guest-list",   "04-set-status",
        "05-get-status", "06-get-config-enoent", "06-get-config",   "07-log-msg",
        "10-rrd-dump",   "11-guest-property",    "12-verify-token", "13-guest-properties",
    };

    (void)unused;
    if (!ipc_engine_load_sample(f->e, "config-b.db")) {
        return;
    }
    restore_status(f);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *req = g_strdup_printf("ipc-%s-request.hex", names[i]);
        g_autofree char *resp = g_strdup_printf("ipc-%s-response.hex", names[i]);
        g_autoptr(GBytes) request = testdata_sample(req);
        g_autoptr(GBytes) want = testdata_sample(resp);
        g_autoptr(GBytes) got = ask_bytes(f, &root, request, WIRE_IPC_MESSAGE_MAX);

        g_test_message("%s", names[i]);
        g_assert_cmpmem(g_bytes_get_data(got, NULL), g_bytes_get_size(got),
                        g_bytes_get_data(want, NULL), g_bytes_get_size(want));
    }
}

/* The newest two entries, of which the older one came from another node. */
static void captured_log(Fixture *f, gconstpointer unused)
{
    g_autoptr(GBytes) request = testdata_sample("ipc-08-get-cluster-log-request.hex");
    g_autoptr(GBytes) want = testdata_sample("ipc-08-get-cluster-log-response.hex");
    g_autoptr(Status) n3 = status_new("n3", 15969, (WallTime){1795309476}, NULL);
    g_autoptr(GBytes) ring = status_log_state(n3);
    g_autoptr(GBytes) got = NULL;
    Status *s = ipc_engine_status(f->e);

    (void)unused;
    if (want == NULL) {
        return;
    }
    g_assert_cmpint(status_log(s, 6, "root", "t", 1, "uid 2", (WallTime){1795309400}, NULL, NULL),
                    ==, 0);
    status_log_merge(s, &ring, 1);
    g_assert_cmpint(write_log(f, &root, 6, "hello"), ==, 0);
    got = ask_bytes(f, &root, request, WIRE_IPC_MESSAGE_MAX);
    g_assert_cmpmem(g_bytes_get_data(got, NULL), g_bytes_get_size(got),
                    g_bytes_get_data(want, NULL), g_bytes_get_size(want));
}

/* ---- who may what ---- */

static void private_files(Fixture *f, gconstpointer unused)
{
    static const char *const hidden[] = {
        "priv/token.cfg",
        "/priv/token.cfg",
        "//priv//token.cfg",
        "nodes/n1/priv/key",
        "nodes//n1/priv/key",
        "nodes/n1//priv/key",
        "nodes///n1///priv//key",
        "/nodes/n1/priv/key/",
        "priv/missing",
        "nodes/n1/priv",
        "priv",
        "nodes//n9/priv/missing",
    };

    (void)unused;
    write_text(f, "priv/token.cfg", "secret");
    write_text(f, "nodes/n1/priv/key", "secret");
    write_text(f, "user.cfg", "public");
    for (gsize i = 0; i < G_N_ELEMENTS(hidden); i++) {
        g_test_message("%s", hidden[i]);
        g_assert_cmpint(get_file(f, &www, hidden[i]), ==, -EPERM);
    }
    g_autofree char *rest = g_strnfill(CFS_PATH_MAX, 'x');
    g_autofree char *endless = g_strconcat("priv/", rest, NULL);
    g_assert_cmpint(get_file(f, &www, endless), ==, -EPERM); /* before any other fault */
    g_assert_cmpint(get_file(f, &root, endless), ==, -ENOENT);
    g_assert_cmpint(get_file(f, &root, "nodes//n1/priv/key"), ==, 0);
    g_assert_cmpint(get_file(f, &root, "/priv//token.cfg"), ==, 0);
    g_assert_cmpint(get_file(f, &www, "user.cfg"), ==, 0);
    g_assert_cmpint(get_file(f, &www, "//user.cfg"), ==, 0);
}

/* Who left is an answer, not an error. */
static void verification(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = NULL;

    (void)unused;
    g_assert_cmpint(ask(f, &root, &(WireIpcRequest){.id = WIRE_IPC_VERIFY}, &text), ==, 0);
    g_assert_cmpstr(text, ==, "{\"members\":3,\"checksum\":\"00ff\",\"left\":[2]}");
}

static void read_only_peers(Fixture *f, gconstpointer unused)
{
    (void)unused;
    write_text(f, "priv/token.cfg", "u@pam!t s\n");
    g_assert_cmpint(set_status(f, &www, "kv/x", "y", 2), ==, -EPERM);
    g_assert_cmpint(write_log(f, &www, 6, "x"), ==, -EPERM);
    g_assert_cmpint(write_log(f, &www, 9, "x"), ==, -EPERM);
    g_assert_cmpint(ask(f, &www, &(WireIpcRequest){.id = WIRE_IPC_VERIFY}, NULL), ==, -EPERM);
    g_assert_cmpint(check_token(f, &www, "u@pam!t s"), ==, 0);
    for (int32_t id = WIRE_IPC_GET_VERSION; id <= WIRE_IPC_GET_VMLIST; id++) {
        g_assert_cmpint(ask(f, &www, &(WireIpcRequest){.id = id}, NULL), ==, 0);
    }
}

/* ---- files ---- */

static void what_is_no_file(Fixture *f, gconstpointer unused)
{
    static const char *const paths[] = {
        "",
        "/",
        "nodes",
        "nodes/n1",
        ".version",
        ".members",
        ".clusterlog",
        "local",
        "lxc",
        "local/qemu-server/100.conf",
        "missing",
        "missing/x",
        "nodes/../user.cfg",
        "./user.cfg",
        "user.cfg/x",
    };
    g_autofree char *deep = g_strnfill(5000, 'x');

    (void)unused;
    write_text(f, "nodes/n1/qemu-server/100.conf", "name: x\n");
    write_text(f, "user.cfg", "x");
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_test_message("%s", paths[i]);
        g_assert_cmpint(get_file(f, &root, paths[i]), ==, -ENOENT);
    }
    g_assert_cmpint(get_file(f, &root, deep), ==, -ENOENT);
}

static void file_sizes(Fixture *f, gconstpointer unused)
{
    const gsize fits = WIRE_IPC_MESSAGE_MAX - WIRE_IPC_RESPONSE_HEAD;
    g_autofree char *big = g_malloc0(1024 * 1024);
    g_autofree char *text = NULL;

    (void)unused;
    ipc_engine_write(f->e, "big", big, fits);
    g_assert_cmpint(get_file(f, &root, "big"), ==, 0);
    ipc_engine_write(f->e, "big", big, fits + 1); /* an answer the client could not take */
    g_assert_cmpint(get_file(f, &root, "big"), ==, -EMSGSIZE);
    ipc_engine_write(f->e, "empty", "", 0);
    g_assert_cmpint(
        ask(f, &root, &(WireIpcRequest){.id = WIRE_IPC_GET_FILE, .u.path = {"empty", 5}}, &text),
        ==, 0);
    g_assert_cmpstr(text, ==, "");
}

/* ---- status and log ---- */

static void status_rules(Fixture *f, gconstpointer unused)
{
    g_autofree char *big = g_malloc0(40000);
    WireIpcRequest get = {.id = WIRE_IPC_GET_STATUS, .u.get_status = {"kv/x", "n1"}};
    g_autofree char *text = NULL;

    (void)unused;
    g_assert_cmpint(ask(f, &root, &get, NULL), ==, -ENOENT);
    g_assert_cmpint(set_status(f, &root, "kv/x", "val", 4), ==, 0);
    g_assert_cmpint(ask(f, &www, &get, &text), ==, 0);
    g_assert_cmpstr(text, ==, "val");
    g_assert_cmpint(set_status(f, &root, "kv/x", big, 32768), ==, 0);
    g_assert_cmpint(set_status(f, &root, "kv/x", big, 32769), ==, -EFBIG);
    g_assert_cmpint(set_status(f, &root, "nodeip", "10.0.0.1", 8), ==, -ENOMEM);
    g_assert_cmpint(set_status(f, &root, "rrd/pve-node-9.0/n1", "", 0), ==, -ENOMEM);
    g_assert_cmpint(set_status(f, &root, "rrd/whatever", "1:2", 4), ==, 0);
    g_assert_cmpint(set_status(f, &root, "kv/x", "", 0), ==, 0);
    g_assert_cmpint(ask(f, &root, &get, NULL), ==, -ENOENT);
    get.u.get_status = (WireIpcGetStatus){"nodeip", ""};
    g_assert_cmpint(ask(f, &root, &get, NULL), ==, -ENOENT);
    get.u.get_status = (WireIpcGetStatus){"kv/x", "n9"};
    g_assert_cmpint(ask(f, &root, &get, NULL), ==, -ENOENT);
}

static void log_rules(Fixture *f, gconstpointer unused)
{
    const WireIpcRequest get = {.id = WIRE_IPC_GET_LOG, .u.get_log = {.max = 0, .user = ""}};
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autofree char *later = NULL;

    (void)unused;
    g_assert_cmpint(ask(f, &root, &get, &before), ==, 0);
    g_assert_cmpint(write_log(f, &root, 8, "too unimportant"), ==, 0);
    g_assert_cmpint(ask(f, &root, &get, &after), ==, 0);
    g_assert_cmpstr(before, ==, after);
    g_assert_cmpint(write_log(f, &root, 7, "C:\\dir \"quoted\""), ==, 0);
    g_assert_cmpint(ask(f, &root, &get, &later), ==, 0);
    g_assert_nonnull(strstr(later, "\"pid\": 16284"));
    g_assert_nonnull(strstr(later, "\"msg\": \"C:\\\\dir \\\"quoted\\\"\""));
}

/* ---- tokens ---- */

static void tokens(Fixture *f, gconstpointer unused)
{
    (void)unused;
    g_assert_cmpint(check_token(f, &root, "u@pam!a s1"), ==, -ENOENT); /* no file */
    write_text(f, "priv/token.cfg", "");
    g_assert_cmpint(check_token(f, &root, "u@pam!a s1"), ==, -ENOENT);
    write_text(f, "priv/token.cfg", "u@pam!a s1\nu@pam!b s2\nu@pam!c s3");
    g_assert_cmpint(check_token(f, &root, "u@pam!a s1"), ==, 0);
    g_assert_cmpint(check_token(f, &root, "u@pam!b s2"), ==, 0);
    g_assert_cmpint(check_token(f, &root, "u@pam!c s3"), ==, 0); /* last line without newline */
    g_assert_cmpint(check_token(f, &root, "u@pam!a s"), ==, -ENOENT);
    g_assert_cmpint(check_token(f, &root, "u@pam!a s11"), ==, -ENOENT);
    g_assert_cmpint(check_token(f, &root, "u@pam!a s2"), ==, -ENOENT);
    g_assert_cmpint(check_token(f, &root, "s1"), ==, -ENOENT);
}

/* ---- guest properties ---- */

static void assert_property(Fixture *f, uint32_t vmid, const char *name, const char *want)
{
    g_autofree char *got = NULL;

    g_assert_cmpint(get_property(f, vmid, name, &got), ==, 0);
    g_assert_cmpstr(got, ==, want);
}

static void property_bytes(Fixture *f, gconstpointer unused)
{
    (void)unused;
    assert_property(f, 0, "name", "{\n\n}\n"); /* no guests */
    write_text(f, "nodes/n1/qemu-server/100.conf",
               "name:  web \t\nempty: \nbare:\nLoud: yes\nlock: backup\n"
               "[snap]\nname: old\nonly: there\n");
    write_text(f, "nodes/n2/lxc/200.conf", "name: ct\nlast: line");
    write_text(f, "nodes/n2/lxc/300.conf", "cores: 2\n");
    assert_property(f, 0, "name",
                    "{\n\"100\":{\"name\": \"web\"},\n\"200\":{\"name\": \"ct\"}\n}\n");
    assert_property(f, 100, "name", "{\n\"100\":{\"name\": \"web\"}\n}\n");
    assert_property(f, 200, "last", "{\n\"200\":{\"last\": \"line\"}\n}\n");
    assert_property(f, 100, "only", "{\n\n}\n");
    assert_property(f, 100, "bare", "{\n\n}\n");
    assert_property(f, 100, "empty", "{\n\"100\":{\"empty\": \"\"}\n}\n");
    assert_property(f, 300, "name", "{\n\n}\n");
    /* Only the request for several insists on small letters. */
    assert_property(f, 100, "Loud", "{\n\"100\":{\"Loud\": \"yes\"}\n}\n");
    g_assert_cmpint(get_property(f, 99, "name", NULL), ==, -EINVAL);
    g_assert_cmpint(get_property(f, 1, "name", NULL), ==, -EINVAL);
    g_assert_cmpint(get_property(f, 101, "name", NULL), ==, -ENOENT);
}

static void several_properties(Fixture *f, gconstpointer unused)
{
    const WireIpcRequest req = {
        .id = WIRE_IPC_GUEST_PROPERTIES,
        .u.properties = {.vmid = 100, .n_names = 3, .names = "memory\0missing\0name"}};
    g_autofree char *got = NULL;

    (void)unused;
    write_text(f, "nodes/n1/qemu-server/100.conf", "name: web\nmemory: 2048\n");
    g_assert_cmpint(ask(f, &root, &req, &got), ==, 0);
    g_assert_cmpstr(got, ==, "{\n\"100\":{\"memory\": \"2048\",\"name\": \"web\"}\n}\n");
}

static void repeated_keys(Fixture *f, gconstpointer unused)
{
    (void)unused;
    write_text(f, "nodes/n1/qemu-server/100.conf", "tags: a\ntags: b\ntags: c\n");
    assert_property(f, 100, "tags", "{\n\"100\":{\"tags\": \"b\"}\n}\n"); /* as documented */
}

/* Parsed once, but never stale: through writes, moves and removals. */
static void properties_are_fresh(Fixture *f, gconstpointer unused)
{
    (void)unused;
    write_text(f, "nodes/n1/qemu-server/100.conf", "name: one\n");
    assert_property(f, 100, "name", "{\n\"100\":{\"name\": \"one\"}\n}\n");
    assert_property(f, 100, "name", "{\n\"100\":{\"name\": \"one\"}\n}\n");
    write_text(f, "nodes/n1/qemu-server/100.conf", "name: two\n");
    assert_property(f, 100, "name", "{\n\"100\":{\"name\": \"two\"}\n}\n");
    ipc_engine_delete(f->e, "nodes/n1/qemu-server/100.conf");
    g_assert_cmpint(get_property(f, 100, "name", NULL), ==, -ENOENT);
    assert_property(f, 0, "name", "{\n\n}\n");
    write_text(f, "nodes/n2/lxc/100.conf", "name: three\n");
    assert_property(f, 0, "name", "{\n\"100\":{\"name\": \"three\"}\n}\n");
}

/* 15.3, last part: the original gives broken JSON for a control character. */
static void properties_always_parse(Fixture *f, gconstpointer unused)
{
    static const char text[] = "name: a\"b\\c\td\001e\xff\xfe\nother: \xc3\xa4 \xc3\n";
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *got = NULL;

    (void)unused;
    ipc_engine_write(f->e, "nodes/n1/qemu-server/100.conf", text, sizeof text); /* with a NUL */
    g_assert_cmpint(get_property(f, 100, "name", &got), ==, 0);
    json_parser_load_from_data(parser, got, -1, &error);
    g_assert_no_error(error);
    g_clear_pointer(&got, g_free);
    g_assert_cmpint(get_property(f, 0, "other", &got), ==, 0);
    json_parser_load_from_data(parser, got, -1, &error);
    g_assert_no_error(error);
}

/* ---- any bytes ---- */

static Fixture *mutated;

static void ask_anything(const void *data, gsize size)
{
    const IpcPeer *peers[] = {&root, &www};

    for (int i = 0; i < 2; i++) {
        g_auto(IpcAnswer) a = {0};
        WireIpcResponse r;
        GByteArray *all = g_byte_array_new();

        ipc_dispatch(mutated->d, peers[i], data, size, WIRE_IPC_MESSAGE_MAX, &a);
        g_byte_array_append(all, a.head, sizeof a.head);
        if (a.body != NULL) {
            g_byte_array_append(all, g_bytes_get_data(a.body, NULL),
                                (guint)g_bytes_get_size(a.body));
        }
        g_assert_cmpint(wire_ipc_decode_response(all->data, all->len, &r), ==, 0);
        g_byte_array_unref(all);
    }
}

static void any_bytes_get_an_answer(Fixture *f, gconstpointer unused)
{
    static const char *const names[] = {
        "04-set-status",     "06-get-config",   "07-log-msg",          "08-get-cluster-log",
        "11-guest-property", "12-verify-token", "13-guest-properties",
    };

    (void)unused;
    write_text(f, "nodes/n1/qemu-server/100.conf", "name: web\n");
    write_text(f, "priv/token.cfg", "u@pam!a s1\n");
    mutated = f;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *file = g_strdup_printf("ipc-%s-request.hex", names[i]);
        g_autoptr(GBytes) request = testdata_sample(file);

        if (request == NULL) {
            return;
        }
        testdata_mutate(request, ask_anything);
    }
}

static void slow_ones(Fixture *f, gconstpointer unused)
{
    static const int32_t fast[] = {1, 2, 3, 10};

    (void)f;
    (void)unused;
    for (gsize i = 0; i < G_N_ELEMENTS(fast); i++) {
        g_autoptr(GBytes) b = NULL;

        g_assert_cmpint(wire_ipc_encode(&(WireIpcRequest){.id = fast[i]}, &b), ==, 0);
        g_assert_false(ipc_dispatch_is_slow(g_bytes_get_data(b, NULL), g_bytes_get_size(b)));
    }
    g_assert_false(ipc_dispatch_is_slow("x", 1));
}

#define ADD(path, fn) g_test_add("/ipc_dispatch/" path, Fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("captured-answers", captured_answers);
    ADD("captured-log", captured_log);
    ADD("access/private-files-however-spelled", private_files);
    ADD("verification", verification);
    ADD("access/read-only-peers-change-nothing", read_only_peers);
    ADD("files/what-is-no-file", what_is_no_file);
    ADD("files/sizes", file_sizes);
    ADD("status/rules", status_rules);
    ADD("log/rules", log_rules);
    ADD("tokens", tokens);
    ADD("properties/documented-bytes", property_bytes);
    ADD("properties/several", several_properties);
    ADD("properties/repeated-keys", repeated_keys);
    ADD("properties/never-stale", properties_are_fresh);
    ADD("properties/always-parse", properties_always_parse);
    ADD("any-bytes-get-an-answer", any_bytes_get_an_answer);
    ADD("slow-requests-are-known", slow_ones);
    return g_test_run();
}
