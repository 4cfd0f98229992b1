/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the views have the documented bytes, each rule and limit of a status key holds, and nothing
 * is shown about nodes that is no longer true.
 * Method: the views after sequences of events, compared as text, with the captured answers where
 * there are any.
 */
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/core/status.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

static const StatusNode lab[] = {
    {.nodeid = 3, .name = (char *)"n3", .votes = 1},
    {.nodeid = 1, .name = (char *)"n1", .votes = 1},
    {.nodeid = 2, .name = (char *)"n2", .votes = 1},
};
static const GroupMember all[] = {{1, 101}, {2, 102}, {3, 103}};
static const MonoTime t0 = {1000};

static Status *new_status(void)
{
    return status_new("n1", 4711, (WallTime){1795309371}, NULL);
}

static Status *new_cluster(void)
{
    Status *s = new_status();

    status_set_cluster(s, "lab", 5, lab, G_N_ELEMENTS(lab));
    status_set_quorate(s, true);
    return s;
}

/* Sets a text with its NUL. */
static int set(Status *s, uint32_t nodeid, const char *key, const char *text)
{
    return status_set(s, nodeid, key, text, strlen(text) + 1, t0, NULL);
}

static int clear(Status *s, uint32_t nodeid, const char *key)
{
    return status_set(s, nodeid, key, "", 0, t0, NULL);
}

static char *members(const Status *s)
{
    GString *out = g_string_new(NULL);

    status_format_members(s, out);
    return g_string_free(out, FALSE);
}

/* The tail of `.version`. */
static char *keys(Status *s)
{
    GString *out = g_string_new(NULL);
    char *tail;

    status_format_version(s, "", 0, out);
    tail = g_strdup(strstr(out->str, "\"kvstore\""));
    g_string_free(out, TRUE);
    return tail;
}

static char *rrd(Status *s, MonoTime now)
{
    GString *out = g_string_new(NULL);

    status_format_rrd(s, now, out);
    return g_string_free(out, FALSE);
}

/* Both take the text that was made. */
static void assert_text(char *made, const char *want)
{
    g_assert_cmpstr(made, ==, want);
    g_free(made);
}

static void assert_has(char *made, const char *part)
{
    g_assert_nonnull(strstr(made, part));
    g_free(made);
}

static void assert_parses(const char *text)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    json_parser_load_from_data(parser, text, -1, &error);
    g_assert_no_error(error);
}

/* ---- views ---- */

static void members_local(void)
{
    g_autoptr(Status) s = new_status();

    assert_text(members(s), "{\n\"nodename\": \"n1\",\n\"version\": 0\n}\n");
}

/* The captured answer to IPC request 2. */
static void members_golden(void)
{
    g_autoptr(GBytes) response = testdata_sample("ipc-02-cluster-info-response.hex");
    g_autoptr(Status) s = new_cluster(); /* 1 */
    g_autofree char *got = NULL;

    if (response == NULL) {
        return;
    }
    g_assert_cmpint(set(s, 1, "nodeip", "10.99.0.11"), ==, 0); /* 2 */
    g_assert_cmpint(set(s, 2, "nodeip", "10.99.0.12"), ==, 0); /* 3 */
    g_assert_cmpint(set(s, 3, "nodeip", "10.99.0.13"), ==, 0); /* 4 */
    status_set_members(s, all, 1);                             /* 5 */
    status_set_members(s, all, 2);                             /* 6 */
    status_set_members(s, all, 3);                             /* 7 */
    got = members(s);
    g_assert_cmpmem(got, strlen(got), (const char *)g_bytes_get_data(response, NULL) + 24,
                    g_bytes_get_size(response) - 24);
}

static void members_without_address(void)
{
    g_autoptr(Status) s = new_cluster();

    status_set_members(s, all, 2);
    assert_has(members(s), "  \"n2\": { \"id\": 2, \"online\": 1},\n"
                           "  \"n3\": { \"id\": 3, \"online\": 0}\n  }\n}\n");
    g_assert_cmpint(set(s, 3, "nodeip", ""), ==, 0);
    assert_has(members(s), "\"n3\": { \"id\": 3, \"online\": 0}\n");
}

/* The captured answer to IPC request 1, whose tracked files all stand at 1. */
static void version_golden(void)
{
    g_autoptr(GBytes) response = testdata_sample("ipc-01-fs-version-response.hex");
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GString) got = g_string_new(NULL);
    g_autofree char *want = NULL;
    g_autofree char *tracked = NULL;
    const char *from, *to;

    if (response == NULL) {
        return;
    }
    want = g_strndup((const char *)g_bytes_get_data(response, NULL) + 24,
                     g_bytes_get_size(response) - 24);
    from = strstr(want, "\"corosync.conf\"");
    to = strstr(want, "\"kvstore\"");
    tracked = g_strndup(from, (gsize)(to - from));
    for (int i = 0; i < 6; i++) {
        status_set_members(s, all, 3);
    }
    g_assert_cmpint(set(s, 0, "tasklist", "[]"), ==, 0);
    g_assert_cmpint(set(s, 1, "kv/bar", "baz"), ==, 0);
    status_format_version(s, tracked, 1, got);
    g_assert_cmpstr(got->str, ==, want);
}

static void version_sorted(void)
{
    g_autoptr(Status) s = new_cluster();

    g_assert_cmpint(set(s, 3, "b", "x"), ==, 0);
    g_assert_cmpint(set(s, 3, "a", "x"), ==, 0);
    g_assert_cmpint(set(s, 2, "gone", "x"), ==, 0);
    g_assert_cmpint(clear(s, 2, "gone"), ==, 0);
    assert_text(keys(s), "\"kvstore\": {\n\"n1\": {\n}\n,\n\"n2\": {\n}\n,\n"
                         "\"n3\": {\n\"a\": 0,\n\"b\": 0}\n}\n}\n");
}

/* 18.1.12: quotes, backslashes and control characters anywhere. */
static void views_always_parse(void)
{
    static const char *const bad = "q\" b\\ n\n c\001 \xff \xc3\xa4";
    const StatusNode nodes[] = {{.nodeid = 1, .name = (char *)"n1"},
                                {.nodeid = 2, .name = (char *)bad}};
    g_autoptr(Status) s = status_new("n\"1\\", 1, (WallTime){5}, NULL);
    g_autoptr(GString) out = g_string_new(NULL);

    status_set_cluster(s, bad, 1, nodes, 2);
    g_assert_cmpint(set(s, 2, bad, "x"), ==, 0);
    g_assert_cmpint(set(s, 0, bad, "x"), ==, 0);
    g_assert_cmpint(set(s, 2, "nodeip", bad), ==, 0);
    status_format_version(s, "", 0, out);
    assert_parses(out->str);
    g_string_truncate(out, 0);
    status_format_members(s, out);
    assert_parses(out->str);
    g_assert_cmpint(status_log(s, 3, bad, bad, 1, bad, (WallTime){6}, NULL, NULL), ==, 0);
    g_string_truncate(out, 0);
    status_format_clusterlog(s, NULL, 0, out);
    assert_parses(out->str);
}

static void first_log_entry(void)
{
    g_autoptr(Status) s = new_status();
    g_autoptr(GString) out = g_string_new(NULL);

    status_format_clusterlog(s, NULL, 0, out);
    g_assert_cmpstr(out->str, ==,
                    "{\n\"data\": [\n{\"uid\": 1, \"time\": 1795309371, \"pri\": 6, "
                    "\"tag\": \"cluster\", \"pid\": 4711, \"node\": \"n1\", \"user\": \"root\", "
                    "\"msg\": \"starting cluster log\"}\n]\n}\n");
}

/* ---- rules of keys ---- */

static void values_and_versions(void)
{
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GBytes) value = NULL;

    g_assert_cmpint(status_get(s, NULL, "kv/x", &value), ==, -ENOENT);
    g_assert_cmpint(set(s, 0, "kv/x", "one"), ==, 0);
    assert_has(keys(s), "\"kv/x\": 0");
    g_assert_cmpint(set(s, 1, "kv/x", "one"), ==, 0); /* equal data counts too */
    assert_has(keys(s), "\"kv/x\": 1");
    g_assert_cmpint(status_get(s, "n1", "kv/x", &value), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), "one", 4);
    g_clear_pointer(&value, g_bytes_unref);
    g_assert_cmpint(clear(s, 0, "kv/x"), ==, 0);
    g_assert_cmpint(clear(s, 0, "kv/x"), ==, 0); /* not there: no error */
    g_assert_cmpint(status_get(s, "", "kv/x", &value), ==, -ENOENT);
    g_assert_cmpint(set(s, 0, "kv/x", "two"), ==, 0);
    assert_has(keys(s), "\"kv/x\": 0"); /* removed and added again */
}

static void keys_of_other_nodes(void)
{
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GBytes) value = NULL;

    g_assert_cmpint(set(s, 2, "kv/x", "two"), ==, 0);
    g_assert_cmpint(status_get(s, "n1", "kv/x", &value), ==, -ENOENT);
    g_assert_cmpint(status_get(s, "n3", "kv/x", &value), ==, -ENOENT);
    g_assert_cmpint(status_get(s, "n9", "kv/x", &value), ==, -ENOENT);
    g_assert_cmpint(status_get(s, "n2", "kv/x", &value), ==, 0);
    g_assert_cmpint(set(s, 9, "kv/x", "x"), ==, -ENOENT);
}

static void limits(void)
{
    g_autoptr(Status) s = new_cluster();
    g_autofree char *big = g_malloc0(CFS_STATUS_SIZE_MAX + 1);
    g_autofree char *key = g_strnfill(CFS_STATUS_KEY_MAX, 'k');
    guint i = 0;
    int rc = 0;

    g_assert_cmpint(status_set(s, 0, "k", big, CFS_STATUS_SIZE_MAX, t0, NULL), ==, 0);
    g_assert_cmpint(status_set(s, 0, "k", big, CFS_STATUS_SIZE_MAX + 1, t0, NULL), ==, -EFBIG);
    g_assert_cmpint(set(s, 0, key, "x"), ==, -EINVAL);
    key[CFS_STATUS_KEY_MAX - 1] = '\0';
    g_assert_cmpint(set(s, 0, key, "x"), ==, 0);
    for (i = 0; rc == 0 && i < 2 * CFS_STATUS_KEYS_MAX; i++) {
        g_autofree char *k = g_strdup_printf("many/%u", i);

        rc = set(s, 2, k, "x");
    }
    g_assert_cmpint(rc, ==, -ENOSPC);
    g_assert_cmpuint(i - 1, ==, CFS_STATUS_KEYS_MAX);
    g_assert_cmpint(set(s, 2, "many/0", "changed"), ==, 0); /* known ones still can change */
    for (i = 0, rc = 0; rc == 0 && i < 2 * CFS_STATUS_KEYS_MAX; i++) {
        g_autofree char *k = g_strdup_printf("large/%u", i);

        rc = status_set(s, 3, k, big, CFS_STATUS_SIZE_MAX, t0, NULL);
    }
    g_assert_cmpint(rc, ==, -ENOSPC);
    g_assert_cmpuint(i - 1, ==, CFS_STATUS_NODE_BYTES_MAX / CFS_STATUS_SIZE_MAX);
}

static void special_keys(void)
{
    static const char *const names[] = {"nodeip", "rrd/pve-node-9.0/n1"};
    static const size_t max[] = {CFS_NODEIP_MAX - 1, CFS_RRD_SIZE_MAX - 1};
    g_autofree char *text = g_strnfill(CFS_RRD_SIZE_MAX, '1');
    g_autoptr(GBytes) value = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Status) s = new_cluster();

        g_assert_cmpint(clear(s, 0, names[i]), ==, -ENOMEM);
        g_assert_cmpint(status_set(s, 0, names[i], "1:2", 3, t0, NULL), ==, -ENOMEM);
        g_assert_cmpint(status_set(s, 0, names[i], text, max[i], t0, NULL), ==, -ENOMEM);
        text[max[i] - 1] = '\0';
        g_assert_cmpint(status_set(s, 0, names[i], text, max[i], t0, NULL), ==, 0);
        text[max[i] - 1] = '1';
        text[max[i]] = '\0';
        g_assert_cmpint(status_set(s, 0, names[i], text, max[i] + 1, t0, NULL), ==, -ENOMEM);
        text[max[i]] = '1';
        g_assert_cmpint(status_get(s, NULL, names[i], &value), ==, -ENOENT);
        assert_text(keys(s), "\"kvstore\": {\n\"n1\": {\n}\n}\n}\n");
    }
}

/* ---- truth about other nodes ---- */

/* 18.1.22: out of the group, nobody else is shown online. */
static void alone_nobody_is_online(void)
{
    g_autoptr(Status) s = new_cluster();
    uint64_t before;

    status_set_members(s, all, 3);
    assert_has(members(s), "\"n2\": { \"id\": 2, \"online\": 1}");
    before = status_generation(s);
    status_set_members(s, NULL, 0);
    assert_has(members(s), "\"n1\": { \"id\": 1, \"online\": 1}");
    assert_has(members(s), "\"n2\": { \"id\": 2, \"online\": 0}");
    assert_has(members(s), "\"n3\": { \"id\": 3, \"online\": 0}");
    g_assert_cmpuint(status_generation(s), >, before);
}

/* Keys of a node that left stay; those of one that was restarted go, and never show an old version
 * with new content. */
static void restarted_node(void)
{
    static const GroupMember reborn[] = {{1, 101}, {2, 999}, {3, 103}};
    static const GroupMember without[] = {{1, 101}, {3, 103}};
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GBytes) value = NULL;

    status_set_members(s, all, 3);
    g_assert_cmpint(set(s, 2, "kv/x", "old"), ==, 0);
    g_assert_cmpint(set(s, 3, "kv/x", "other"), ==, 0);
    status_set_members(s, without, 2);
    g_assert_cmpint(status_get(s, "n2", "kv/x", &value), ==, 0);
    g_clear_pointer(&value, g_bytes_unref);
    status_set_members(s, reborn, 3);
    g_assert_cmpint(status_get(s, "n2", "kv/x", &value), ==, -ENOENT);
    assert_text(keys(s), "\"kvstore\": {\n\"n1\": {\n}\n,\n\"n2\": {\n}\n,\n"
                         "\"n3\": {\n\"kv/x\": 0}\n}\n}\n");
    g_assert_cmpint(set(s, 2, "kv/x", "new"), ==, 0);
    assert_has(keys(s), "\"n2\": {\n\"kv/x\": 1}");
}

/* After a synchronisation, what was not sent again is gone; what is unchanged keeps its version. */
static void resync(void)
{
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GBytes) value = NULL;

    status_set_members(s, all, 3);
    g_assert_cmpint(set(s, 2, "same", "a"), ==, 0);
    g_assert_cmpint(set(s, 2, "changed", "a"), ==, 0);
    g_assert_cmpint(set(s, 2, "removed", "a"), ==, 0);
    g_assert_cmpint(set(s, 1, "own", "a"), ==, 0);
    status_resync(s);
    g_assert_cmpint(set(s, 2, "same", "a"), ==, 0);
    g_assert_cmpint(set(s, 2, "changed", "b"), ==, 0);
    g_assert_cmpint(set(s, 1, "nodeip", "10.0.0.1"), ==, 0); /* another node's: ends nothing here */
    g_assert_cmpint(status_get(s, "n2", "removed", &value), ==, 0);
    g_clear_pointer(&value, g_bytes_unref);
    g_assert_cmpint(set(s, 2, "nodeip", "10.0.0.2"), ==, 0);
    assert_text(keys(s), "\"kvstore\": {\n\"n1\": {\n\"own\": 0}\n,\n"
                         "\"n2\": {\n\"changed\": 1,\n\"same\": 0}\n}\n}\n");
    g_assert_cmpint(set(s, 2, "same", "a"), ==, 0); /* a real change now */
    g_assert_cmpint(set(s, 2, "nodeip", "10.0.0.2"), ==, 0);
    assert_text(keys(s), "\"kvstore\": {\n\"n1\": {\n\"own\": 0}\n,\n"
                         "\"n2\": {\n\"changed\": 1,\n\"same\": 1}\n}\n}\n");
}

static void node_list_changes(void)
{
    g_autoptr(Status) s = new_cluster();
    const StatusNode fewer[] = {lab[1], lab[2]};
    g_autoptr(GBytes) value = NULL;

    status_set_members(s, all, 3);
    g_assert_cmpint(set(s, 2, "k", "x"), ==, 0);
    g_assert_cmpint(set(s, 3, "k", "x"), ==, 0);
    g_assert_cmpint(set(s, 3, "nodeip", "10.0.0.3"), ==, 0);
    status_set_cluster(s, "lab", 6, fewer, 2);
    g_assert_cmpint(status_get(s, "n2", "k", &value), ==, 0);
    g_clear_pointer(&value, g_bytes_unref);
    g_assert_cmpint(status_get(s, "n3", "k", &value), ==, -ENOENT);
    assert_has(members(s), "\"cluster\": { \"name\": \"lab\", \"version\": 6, \"nodes\": 2, "
                           "\"quorate\": 1 },\n");
    assert_has(members(s), "\"n2\": { \"id\": 2, \"online\": 1}\n");
    status_set_cluster(s, "lab", 7, lab, 3); /* n3 is back: as a stranger */
    assert_has(members(s), "\"n3\": { \"id\": 3, \"online\": 0}\n");
    status_set_cluster(s, NULL, 0, NULL, 0);
    assert_has(members(s), "\"version\": ");
    g_assert_cmpint(set(s, 2, "k", "x"), ==, -ENOENT);
}

static void own_keys_to_send(void *ctx, const char *key, const void *value, size_t size)
{
    g_string_append_printf(ctx, "%s=%.*s;", key, (int)size, (const char *)value);
}

static void foreach_own(void)
{
    g_autoptr(Status) s = new_cluster();
    g_autoptr(GString) got = g_string_new(NULL);

    g_assert_cmpint(set(s, 0, "b", "2"), ==, 0);
    g_assert_cmpint(set(s, 0, "a", "1"), ==, 0);
    g_assert_cmpint(set(s, 0, "rrd/pve-node-9.0/n1", "1:2"), ==, 0);
    g_assert_cmpint(set(s, 0, "nodeip", "10.0.0.1"), ==, 0);
    g_assert_cmpint(set(s, 2, "c", "3"), ==, 0);
    status_foreach_own(s, own_keys_to_send, got);
    g_assert_cmpstr(got->str, ==, "a=1;b=2;");
}

/* ---- RRD ---- */

static void rrd_lines(void)
{
    g_autoptr(Status) s = new_cluster();

    assert_text(rrd(s, t0), "");
    g_assert_cmpint(set(s, 2, "rrd/pve-vm-9.0/100", "1:web:running:0:2"), ==, 0);
    g_assert_cmpint(set(s, 0, "rrd/pve-node-9.0/n1", "1:2:3:4"), ==, 0);
    assert_text(rrd(s, t0), "pve-node-9.0/n1:1:2:3:4\npve-vm-9.0/100:1:web:running:0:2\n");
    g_assert_cmpint(set(s, 0, "rrd/pve-node-9.0/n1", "5:6"), ==, 0); /* never stale */
    assert_text(rrd(s, t0), "pve-node-9.0/n1:5:6\npve-vm-9.0/100:1:web:running:0:2\n");
}

static void rrd_expiry(void)
{
    g_autoptr(Status) s = new_cluster();
    const MonoTime later = mono_add_sec(t0, 100);

    g_assert_cmpint(set(s, 0, "rrd/a", "1"), ==, 0);
    g_assert_cmpint(status_set(s, 0, "rrd/b", "2", 2, later, NULL), ==, 0);
    assert_text(rrd(s, mono_add_sec(t0, 300)), "a:1\nb:2\n"); /* exactly 300 s is not yet over */
    assert_text(rrd(s, mono_add_sec(t0, 301)), "a:1\nb:2\n"); /* reused: less than 2 s old */
    assert_text(rrd(s, mono_add_sec(t0, 303)), "b:2\n");
    assert_text(rrd(s, mono_add_sec(t0, 500)), "");
}

static void rrd_limit(void)
{
    g_autoptr(Status) s = new_cluster();

    for (guint i = 0; i < CFS_RRD_IDS_MAX; i++) {
        char id[32];

        g_snprintf(id, sizeof id, "rrd/%u", i);
        g_assert_cmpint(set(s, 0, id, "1"), ==, 0);
    }
    g_assert_cmpint(set(s, 0, "rrd/more", "1"), ==, -ENOSPC);
    g_assert_cmpint(set(s, 0, "rrd/0", "2"), ==, 0);
    g_assert_cmpint(status_set(s, 0, "rrd/more", "1", 2, mono_add_sec(t0, 301), NULL), ==, 0);
}

static void rrd_ids(void)
{
    g_assert_cmpstr(status_rrd_id("rrd/x/y"), ==, "x/y");
    g_assert_null(status_rrd_id("rrdx/y"));
    g_assert_null(status_rrd_id("kv/rrd/x"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/status/members/local", members_local);
    g_test_add_func("/status/members/captured-answer", members_golden);
    g_test_add_func("/status/members/no-address-no-field", members_without_address);
    g_test_add_func("/status/version/captured-answer", version_golden);
    g_test_add_func("/status/version/sorted", version_sorted);
    g_test_add_func("/status/views-always-parse", views_always_parse);
    g_test_add_func("/status/log/first-entry", first_log_entry);
    g_test_add_func("/status/keys/values-and-versions", values_and_versions);
    g_test_add_func("/status/keys/other-nodes", keys_of_other_nodes);
    g_test_add_func("/status/keys/limits", limits);
    g_test_add_func("/status/keys/nodeip-and-rrd-are-checked", special_keys);
    g_test_add_func("/status/truth/alone-nobody-else-is-online", alone_nobody_is_online);
    g_test_add_func("/status/truth/restarted-node-loses-its-keys", restarted_node);
    g_test_add_func("/status/truth/resync-drops-what-is-not-sent-again", resync);
    g_test_add_func("/status/truth/node-list-changes", node_list_changes);
    g_test_add_func("/status/own-keys-in-order", foreach_own);
    g_test_add_func("/status/rrd/lines", rrd_lines);
    g_test_add_func("/status/rrd/expiry", rrd_expiry);
    g_test_add_func("/status/rrd/limit", rrd_limit);
    g_test_add_func("/status/rrd/ids", rrd_ids);
    return g_test_run();
}
