/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs-ipc: issues each request of the daemon's IPC service, for scripts and for tests. See
 * pmxcfs-ipc(1); requests in docs/wire/ipc.md.
 */
#include "cli/cmdline.h"
#include "lib/base/hextext.h"
#include "lib/cfs/ipcc.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (4u * 1024u * 1024u) /* bytes taken from standard input */

static char *opt_service, *opt_value, *opt_node, *opt_ident, *opt_tag, *opt_priority, *opt_user;
static double opt_timeout;
static gint64 opt_vmid, opt_max, opt_size = -1;
static gboolean opt_remove, opt_exact, opt_whole;

#define COMMON_OPTIONS                                                                             \
    {"service", 0, 0, G_OPTION_ARG_STRING, &opt_service, "Name of the service, default pve2",      \
     "NAME"},                                                                                      \
    {                                                                                              \
        "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &opt_timeout, "Seconds to wait, default 30", "SEC"   \
    }

static Ipcc *client(void)
{
    const IpccOptions opt = {.service = opt_service, .timeout_ms = (int64_t)(opt_timeout * 1000)};

    return ipcc_new(&opt);
}

/* ---- input and output ---- */

static int read_input(GByteArray **ret, Err *err)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    guint8 buf[65536];
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf, sizeof buf)) != 0) {
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "standard input: %s", g_strerror(errno));
        }
        if (n > 0 && all->len + (size_t)n > INPUT_MAX) {
            return err_setf(err, -EFBIG, "standard input is longer than %u bytes", INPUT_MAX);
        }
        g_byte_array_append(all, buf, n > 0 ? (guint)n : 0);
    }
    *ret = g_steal_pointer(&all);
    return 0;
}

/* Text from standard input: without the newline at its end, and without any NUL. */
static int read_text(char **ret, Err *err)
{
    g_autoptr(GByteArray) all = NULL;
    int rc = read_input(&all, err);

    if (rc < 0) {
        return rc;
    }
    if (all->len > 0 && all->data[all->len - 1] == '\n') {
        g_byte_array_set_size(all, all->len - 1);
    }
    if (all->len > 0 && memchr(all->data, 0, all->len) != NULL) {
        return err_setf(err, -EINVAL, "standard input has a NUL in it");
    }
    *ret = all->len > 0 ? g_strndup((const char *)all->data, all->len) : g_strdup("");
    return 0;
}

static int write_output(const void *data, size_t size, Err *err)
{
    if (size > 0 && fwrite(data, 1, size, stdout) != size) {
        return err_setf(err, -EIO, "standard output: %s", g_strerror(errno));
    }
    if (fflush(stdout) != 0) {
        return err_setf(err, -EIO, "standard output: %s", g_strerror(errno));
    }
    return 0;
}

static int write_bytes(GBytes *data, Err *err)
{
    gsize size = 0;
    const void *p = data != NULL ? g_bytes_get_data(data, &size) : NULL;

    return write_output(p, size, err);
}

static int write_json(JsonBuilder *b, Err *err)
{
    g_autoptr(JsonNode) root = json_builder_get_root(b);
    g_autofree char *text = json_to_string(root, TRUE);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    return write_output(line, strlen(line), err);
}

/* Bytes as a JSON string: text as it is, anything else replaced where it is not UTF-8. */
static void add_text(JsonBuilder *b, const char *name, const char *data, gsize size)
{
    g_autofree char *text = g_utf8_make_valid(data, (gssize)size);

    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, text);
}

/* ---- simple requests ---- */

static int call(const WireIpcRequest *req, GBytes **ret, Err *err)
{
    g_autoptr(Ipcc) c = client();

    return ipcc_call(c, req, ret, err);
}

static int print_answer(const WireIpcRequest *req, Err *err)
{
    g_autoptr(GBytes) data = NULL;
    int rc = call(req, &data, err);

    return rc < 0 ? rc : write_bytes(data, err);
}

static int run_version(char **operands, Err *err)
{
    (void)operands;
    return print_answer(&(WireIpcRequest){.id = WIRE_IPC_GET_VERSION}, err);
}

static int run_members(char **operands, Err *err)
{
    (void)operands;
    return print_answer(&(WireIpcRequest){.id = WIRE_IPC_GET_MEMBERS}, err);
}

static int run_vmlist(char **operands, Err *err)
{
    (void)operands;
    return print_answer(&(WireIpcRequest){.id = WIRE_IPC_GET_VMLIST}, err);
}

static int run_get_file(char **operands, Err *err)
{
    g_autoptr(Ipcc) c = client();
    g_autoptr(GBytes) data = NULL;
    int rc = ipcc_get_file(c, operands[0], &data, err);

    return rc < 0 ? rc : write_bytes(data, err);
}

static int run_get_log(char **operands, Err *err)
{
    const WireIpcRequest req = {
        .id = WIRE_IPC_GET_LOG,
        .u.get_log = {.max = (uint32_t)CLAMP(opt_max, 0, UINT32_MAX),
                      .user = opt_user != NULL ? opt_user : ""},
    };

    (void)operands;
    return print_answer(&req, err);
}

/* ---- status ---- */

static int run_set_status(char **operands, Err *err)
{
    WireIpcRequest req = {.id = WIRE_IPC_SET_STATUS, .u.set_status = {.key = operands[0]}};
    g_autoptr(GByteArray) value = NULL;
    int rc;

    if (opt_value != NULL) {
        value = g_byte_array_new();
        g_byte_array_append(value, (const guint8 *)opt_value, (guint)strlen(opt_value));
    } else if (!opt_remove && (rc = read_input(&value, err)) < 0) {
        return rc;
    }
    if (!opt_remove) {
        if (!opt_exact) { /* as the documented clients store text */
            g_byte_array_append(value, (const guint8 *)"", 1);
        }
        req.u.set_status.value = value->data;
        req.u.set_status.size = value->len;
    }
    rc = call(&req, NULL, err);
    return rc < 0 ? err_wrapf(err, rc, "%s", operands[0]) : 0;
}

static int run_get_status(char **operands, Err *err)
{
    const char *node = opt_node != NULL ? opt_node : "";
    const WireIpcRequest req = {.id = WIRE_IPC_GET_STATUS,
                                .u.get_status = {.key = operands[0], .node = node}};
    g_autoptr(GBytes) value = NULL;
    g_autoptr(JsonBuilder) b = NULL;
    const char *data;
    gsize size;
    bool json = false;
    int rc = cli_wants_json(&json, err);

    if (rc == 0) {
        rc = call(&req, &value, err);
    }
    if (rc < 0) {
        return err_wrapf(err, rc, "%s", operands[0]);
    }
    data = value != NULL ? g_bytes_get_data(value, &size) : "";
    size = value != NULL ? g_bytes_get_size(value) : 0;
    if (size > 0 && data[size - 1] == '\0' && !opt_exact) {
        size--;
    }
    if (!json) {
        return write_output(data, size, err);
    }
    b = json_builder_new();
    json_builder_begin_object(b);
    add_text(b, "key", operands[0], strlen(operands[0]));
    add_text(b, "node", node, strlen(node));
    add_text(b, "value", data, size);
    json_builder_end_object(b);
    return write_json(b, err);
}

/* ---- log ---- */

static int parse_priority(uint8_t *ret, Err *err)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};

    *ret = 6;
    if (opt_priority == NULL) {
        return 0;
    }
    for (uint8_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(opt_priority, names[i]) == 0 ||
            (opt_priority[0] == '0' + i && opt_priority[1] == '\0')) {
            *ret = i;
            return 0;
        }
    }
    return err_setf(err, -EINVAL, "--priority %s: expected 0 to 7, or emerg to debug",
                    opt_priority);
}

static int run_log(char **operands, Err *err)
{
    g_autofree char *text = g_strdup(operands[0]);
    WireIpcRequest req = {
        .id = WIRE_IPC_LOG,
        .u.log = {.ident = opt_ident != NULL ? opt_ident : "root@pam",
                  .tag = opt_tag != NULL ? opt_tag : "pmxcfs-ipc"},
    };
    int rc = parse_priority(&req.u.log.priority, err);

    if (rc == 0 && text == NULL) {
        rc = read_text(&text, err);
    }
    if (rc < 0) {
        return rc;
    }
    req.u.log.text = (WireIpcText){.s = text, .len = strlen(text)};
    return call(&req, NULL, err);
}

/* ---- RRD ---- */

static int print_rrd_json(const char *dump, Err *err)
{
    g_auto(GStrv) lines = g_strsplit(dump, "\n", -1);
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    for (char **line = lines; *line != NULL; line++) {
        const char *colon = strchr(*line, ':');

        if (colon != NULL) {
            g_autofree char *id = g_strndup(*line, (gsize)(colon - *line));
            g_autofree char *name = g_utf8_make_valid(id, -1);

            add_text(b, name, colon + 1, strlen(colon + 1));
        }
    }
    json_builder_end_object(b);
    return write_json(b, err);
}

static int run_rrd(char **operands, Err *err)
{
    g_autoptr(GBytes) data = NULL;
    g_autofree char *text = NULL;
    bool json = false;
    int rc = cli_wants_json(&json, err);

    (void)operands;
    if (rc == 0) {
        rc = call(&(WireIpcRequest){.id = WIRE_IPC_GET_RRD}, &data, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (data != NULL) { /* it may end in a NUL */
        text = g_strndup(g_bytes_get_data(data, NULL), g_bytes_get_size(data));
    } else {
        text = g_strdup("");
    }
    return json ? print_rrd_json(text, err) : write_output(text, strlen(text), err);
}

/* ---- guests ---- */

static int parse_vmid(uint32_t *ret, Err *err)
{
    if (opt_vmid < 0 || opt_vmid > UINT32_MAX) {
        return err_setf(err, -EINVAL, "--vmid %" G_GINT64_FORMAT ": out of range", opt_vmid);
    }
    *ret = (uint32_t)opt_vmid;
    return 0;
}

static int run_guest_property(char **operands, Err *err)
{
    WireIpcRequest req = {.id = WIRE_IPC_GUEST_PROPERTY,
                          .u.properties = {.n_names = 1, .names = operands[0]}};
    int rc = parse_vmid(&req.u.properties.vmid, err);

    return rc < 0 ? rc : print_answer(&req, err);
}

static int run_guest_properties(char **operands, Err *err)
{
    WireIpcRequest req = {.id = WIRE_IPC_GUEST_PROPERTIES};
    g_autoptr(GString) names = g_string_new(NULL);
    guint n = 0;
    int rc = parse_vmid(&req.u.properties.vmid, err);

    if (rc < 0) {
        return rc;
    }
    if (g_strv_length(operands) > UINT8_MAX) {
        return err_setf(err, -E2BIG, "at most %d properties at once", UINT8_MAX);
    }
    for (; operands[n] != NULL; n++) {
        g_string_append_len(names, operands[n], (gssize)strlen(operands[n]) + 1);
    }
    req.u.properties.n_names = (uint8_t)n;
    req.u.properties.names = names->str;
    return print_answer(&req, err);
}

/* ---- tokens ---- */

/* The line comes on standard input: arguments of a process are for everybody to see (INV-8). */
static int run_verify_token(char **operands, Err *err)
{
    g_autofree char *token = NULL;
    int rc = read_text(&token, err);

    (void)operands;
    if (rc < 0) {
        return rc;
    }
    rc = call(&(WireIpcRequest){.id = WIRE_IPC_VERIFY_TOKEN, .u.token = token}, NULL, err);
    explicit_bzero(token, strlen(token));
    return rc == -ENOENT ? err_setf(err, rc, "no such token") : rc;
}

/* ---- verification ---- */

/* One line for people; *ret_left: how many members left. */
static int describe_verification(const char *data, gsize size, char **ret, gint64 *ret_left)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GString) nodes = g_string_new(NULL);
    JsonNode *root;
    JsonObject *o;
    JsonArray *left;

    if (!json_parser_load_from_data(parser, data, (gssize)size, NULL) ||
        (root = json_parser_get_root(parser)) == NULL || !JSON_NODE_HOLDS_OBJECT(root) ||
        !json_object_has_member(o = json_node_get_object(root), "left") ||
        !json_object_has_member(o, "members") || !json_object_has_member(o, "checksum")) {
        return -EBADMSG;
    }
    left = json_object_get_array_member(o, "left");
    *ret_left = json_array_get_length(left);
    for (guint i = 0; i < json_array_get_length(left); i++) {
        g_string_append_printf(nodes, " %" G_GINT64_FORMAT, json_array_get_int_element(left, i));
    }
    *ret =
        *ret_left == 0
            ? g_strdup_printf("content is equal on %" G_GINT64_FORMAT " member(s): %s\n",
                              json_object_get_int_member(o, "members"),
                              json_object_get_string_member(o, "checksum"))
            : g_strdup_printf("these nodes had other content, or stopped:%s; they left the group "
                              "and take its content when they come back\n",
                              nodes->str);
    return 0;
}

static int run_verify(char **operands, Err *err)
{
    g_autoptr(GBytes) data = NULL;
    g_autofree char *text = NULL;
    bool json = false;
    gint64 left = 0;
    int rc = cli_wants_json(&json, err);

    (void)operands;
    if (rc == 0) {
        rc = call(&(WireIpcRequest){.id = WIRE_IPC_VERIFY}, &data, err);
    }
    if (rc == -EBUSY) {
        return err_setf(err, rc,
                        "the node is not synchronised, or members came or went: ask again");
    }
    if (rc == -ENOTCONN) {
        return err_setf(err, rc, "the node is in no cluster: there is nobody to compare with");
    }
    if (rc == 0) {
        gsize size = data != NULL ? g_bytes_get_size(data) : 0;

        rc =
            describe_verification(size > 0 ? g_bytes_get_data(data, NULL) : "", size, &text, &left);
    }
    if (rc == 0) {
        rc = json ? write_bytes(data, err) : write_output(text, strlen(text), err);
    }
    return rc == 0 && left > 0 ? err_setf(err, -EUCLEAN, "content differed") : rc;
}

/* ---- any bytes ---- */

static int from_hex(const GByteArray *text, GByteArray *out, Err *err)
{
    int high = -1;

    for (guint i = 0; i < text->len; i++) {
        int digit = g_ascii_xdigit_value((char)text->data[i]);

        if (g_ascii_isspace((char)text->data[i])) {
            continue;
        }
        if (digit < 0) {
            return err_setf(err, -EINVAL, "standard input: byte %u is no hexadecimal digit", i);
        }
        if (high < 0) {
            high = digit;
        } else {
            guint8 b = (guint8)(high << 4 | digit);

            g_byte_array_append(out, &b, 1);
            high = -1;
        }
    }
    return high < 0 ? 0 : err_setf(err, -EINVAL, "standard input: half a byte at the end");
}

static void put_le32(GByteArray *out, gsize at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        out->data[at + i] = (guint8)(v >> (8 * i));
    }
}

static int print_response(GBytes *response, Err *err)
{
    g_autoptr(JsonBuilder) b = NULL;
    g_autofree char *hex = NULL;
    WireIpcResponse r;
    bool json = false;
    int rc = cli_wants_json(&json, err);

    if (rc < 0) {
        return rc;
    }
    if (wire_ipc_decode_response(g_bytes_get_data(response, NULL), g_bytes_get_size(response), &r) <
        0) {
        return err_setf(err, -EBADMSG, "malformed answer");
    }
    hex = hextext_format(r.data, r.size);
    if (!json) {
        g_autofree char *all = g_strdup_printf("id %d\nerror %d %s\n%s\n", r.id, -r.error,
                                               r.error < 0 ? g_strerror(-r.error) : "none", hex);

        return write_output(all, strlen(all), err);
    }
    b = json_builder_new();
    json_builder_begin_object(b);
    json_builder_set_member_name(b, "id");
    json_builder_add_int_value(b, r.id);
    json_builder_set_member_name(b, "errno");
    json_builder_add_int_value(b, -r.error);
    add_text(b, "data", hex, strlen(hex));
    json_builder_end_object(b);
    return write_json(b, err);
}

static int run_raw(char **operands, Err *err)
{
    g_autoptr(Ipcc) c = client();
    g_autoptr(GByteArray) text = NULL;
    g_autoptr(GByteArray) request = g_byte_array_new();
    g_autoptr(GBytes) response = NULL;
    gint64 id;
    int rc;

    if (!g_ascii_string_to_signed(operands[0], 10, INT32_MIN, INT32_MAX, &id, NULL)) {
        return err_setf(err, -EINVAL, "%s: not a request number", operands[0]);
    }
    rc = read_input(&text, err);
    if (rc == 0) {
        g_byte_array_set_size(request, opt_whole ? 0 : WIRE_IPC_REQUEST_HEAD);
        if (request->len > 0) {
            memset(request->data, 0, request->len);
        }
        rc = from_hex(text, request, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!opt_whole) {
        put_le32(request, 0, (uint32_t)id);
        put_le32(request, 8, opt_size >= 0 ? (uint32_t)opt_size : request->len);
    }
    rc = ipcc_call_raw(c, request->data, request->len, &response, err);
    return rc < 0 ? rc : print_response(response, err);
}

/* ---- table ---- */

static GOptionEntry options_common[] = {COMMON_OPTIONS, {0}};
static GOptionEntry options_rrd[] = {CLI_OUTPUT_FORMAT_OPTION, COMMON_OPTIONS, {0}};
static GOptionEntry options_set[] = {
    {"value", 0, 0, G_OPTION_ARG_STRING, &opt_value, "The value; default: standard input", "TEXT"},
    {"remove", 0, 0, G_OPTION_ARG_NONE, &opt_remove, "Remove the key", NULL},
    {"exact", 0, 0, G_OPTION_ARG_NONE, &opt_exact, "Do not add a NUL to the value", NULL},
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_get[] = {
    {"node", 0, 0, G_OPTION_ARG_STRING, &opt_node, "Whose key, default this node's", "NODE"},
    {"exact", 0, 0, G_OPTION_ARG_NONE, &opt_exact, "Print the NUL at the end too", NULL},
    CLI_OUTPUT_FORMAT_OPTION,
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_log[] = {
    {"priority", 0, 0, G_OPTION_ARG_STRING, &opt_priority, "0 to 7 or a name, default info",
     "PRIORITY"},
    {"ident", 0, 0, G_OPTION_ARG_STRING, &opt_ident, "User, default root@pam", "USER"},
    {"tag", 0, 0, G_OPTION_ARG_STRING, &opt_tag, "Default pmxcfs-ipc", "TAG"},
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_get_log[] = {
    {"max", 0, 0, G_OPTION_ARG_INT64, &opt_max, "Entries, default 50", "NUMBER"},
    {"user", 0, 0, G_OPTION_ARG_STRING, &opt_user, "Only entries of this user", "USER"},
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_guest[] = {
    {"vmid", 0, 0, G_OPTION_ARG_INT64, &opt_vmid, "One guest; default: all", "VMID"},
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_verify[] = {
    CLI_OUTPUT_FORMAT_OPTION,
    COMMON_OPTIONS,
    {0},
};
static GOptionEntry options_raw[] = {
    {"size", 0, 0, G_OPTION_ARG_INT64, &opt_size, "Claim this size in the header", "BYTES"},
    {"whole", 0, 0, G_OPTION_ARG_NONE, &opt_whole, "Standard input has the header too", NULL},
    CLI_OUTPUT_FORMAT_OPTION,
    COMMON_OPTIONS,
    {0},
};

static const CliVerb verbs[] = {
    {"version", "", "Change counters: .version", 0, 0, options_common, run_version},
    {"members", "", "Nodes of the cluster: .members", 0, 0, options_common, run_members},
    {"vmlist", "", "Guests of the cluster: .vmlist", 0, 0, options_common, run_vmlist},
    {"get-file", "PATH", "Content of a file", 1, 1, options_common, run_get_file},
    {"set-status", "KEY", "Set a status key of this node", 1, 1, options_set, run_set_status},
    {"get-status", "KEY", "Value of a status key", 1, 1, options_get, run_get_status},
    {"log", "[TEXT]", "Write into the cluster log", 0, 1, options_log, run_log},
    {"get-log", "", "Read the cluster log", 0, 0, options_get_log, run_get_log},
    {"rrd", "", "Newest RRD values", 0, 0, options_rrd, run_rrd},
    {"guest-property", "NAME", "A property of guests", 1, 1, options_guest, run_guest_property},
    {"guest-properties", "NAME...", "Several properties of guests", 1, 255, options_guest,
     run_guest_properties},
    {"verify-token", "", "Is the token on standard input known?", 0, 0, options_common,
     run_verify_token},
    {"verify", "", "Have all members the same content?", 0, 0, options_verify, run_verify},
    {"raw", "ID", "Any request, payload as hex on standard input", 1, 1, options_raw, run_raw},
    {0},
};

int main(int argc, char **argv)
{
    return cli_main("pmxcfs-ipc", "Asks the cluster filesystem daemon over its IPC service.", verbs,
                    argc, argv);
}
