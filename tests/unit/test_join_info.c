/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the documented texts of a join are written and read as the peers do: join information, the
 * copied text, corosync's key; and the witness' votes follow the nodes.
 */
#include "lib/conf/corosync_device.h"
#include "quorum/core/join_info.h"

#include <errno.h>
#include <string.h>

static const char conf_text[] = "totem {\n  cluster_name: lab\n  config_version: 3\n"
                                "  interface {\n    linknumber: 0\n  }\n"
                                "  interface {\n    linknumber: 1\n    knet_link_priority: 5\n  }\n"
                                "  version: 2\n}\n"
                                "nodelist {\n"
                                "  node {\n    name: a\n    nodeid: 1\n    quorum_votes: 1\n"
                                "    ring0_addr: 10.0.0.1\n    ring1_addr: 10.1.0.1\n  }\n"
                                "  node {\n    name: b\n    nodeid: 2\n    quorum_votes: 1\n"
                                "    ring0_addr: 10.0.0.2\n    ring1_addr: 10.1.0.2\n  }\n}\n"
                                "quorum {\n  provider: corosync_votequorum\n}\n";

static CorosyncConf *parsed(const char *text)
{
    CorosyncConf *conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_parse(text, strlen(text), &conf, &err), ==, 0);
    return conf;
}

static void expect_json(const JsonTree *t, const char *want)
{
    g_autoptr(GString) out = g_string_new(NULL);

    jsontree_append(out, t);
    g_assert_cmpstr(out->str, ==, want);
}

static void configuration_becomes_objects(void)
{
    g_autoptr(CorosyncConf) conf = parsed(conf_text);
    g_autoptr(JsonTree) totem = join_info_totem(conf);
    g_autoptr(JsonTree) nodes = join_info_nodes(conf, true);

    expect_json(totem, "{\"cluster_name\":\"lab\",\"config_version\":\"3\",\"version\":\"2\","
                       "\"interface\":{\"0\":{\"linknumber\":\"0\"},"
                       "\"1\":{\"linknumber\":\"1\",\"knet_link_priority\":\"5\"}}}");
    expect_json(jsontree_at(nodes, 1),
                "{\"name\":\"b\",\"nodeid\":\"2\",\"quorum_votes\":\"1\","
                "\"ring0_addr\":\"10.0.0.2\",\"ring1_addr\":\"10.1.0.2\",\"node\":\"b\"}");
}

static char *fingerprint(void)
{
    uint8_t digest[32];

    for (unsigned i = 0; i < sizeof digest; i++) {
        digest[i] = (uint8_t)(i * 8);
    }
    return join_fingerprint_format(digest);
}

/* As `GET /cluster/config/join` answers. */
static JsonTree *information(void)
{
    g_autoptr(CorosyncConf) conf = parsed(conf_text);
    g_autofree char *fp = fingerprint();
    JsonTree *data = jsontree_new_object();
    JsonTree *nodes = jsontree_new_array();
    g_autoptr(JsonTree) plain = join_info_nodes(conf, false);

    for (guint i = 0; i < jsontree_count(plain); i++) {
        JsonTree *node = jsontree_copy(jsontree_at(plain, i));

        jsontree_set_text(node, "pve_addr", i == 0 ? "192.0.2.1" : "192.0.2.2");
        jsontree_set_text(node, "pve_fp", fp);
        jsontree_add(nodes, node);
    }
    jsontree_set(data, "nodelist", nodes);
    jsontree_set_text(data, "preferred_node", "b");
    jsontree_set(data, "totem", join_info_totem(conf));
    return data;
}

static void the_copied_text_comes_back(void)
{
    g_autoptr(JsonTree) data = information();
    g_autofree char *text = NULL;
    g_autofree char *fp = fingerprint();
    g_auto(JoinBlob) blob = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(join_info_blob(data, &text, &err), ==, 0);
    g_assert_true(join_blob_looks_like(text));
    g_assert_cmpint(join_blob_parse(text, &blob, &err), ==, 0);
    g_assert_cmpstr(blob.address, ==, "192.0.2.2");
    g_assert_cmpstr(blob.fingerprint, ==, fp);
    g_assert_cmpstr(blob.cluster, ==, "lab");
    for (gsize n = 0; n < strlen(text); n += 5) {
        g_autofree char *cut = g_strndup(text, n);
        g_auto(JoinBlob) none = {0};

        g_assert_cmpint(join_blob_parse(cut, &none, &err), ==, -EBADMSG);
    }
    jsontree_set_text(data, "preferred_node", "nobody");
    g_free(text);
    text = NULL;
    g_assert_cmpint(join_info_blob(data, &text, &err), ==, -EBADMSG);
}

static void host_names_do_not_look_like_the_text(void)
{
    g_assert_false(join_blob_looks_like("node1"));
    g_assert_false(join_blob_looks_like("10.0.0.1"));
    g_assert_false(join_blob_looks_like("eye"));
    g_assert_false(join_blob_looks_like("eywood-a-very-long-name-for-a-host.example.org"));
}

static void fingerprints_are_checked(void)
{
    g_autofree char *fp = fingerprint();
    g_autofree char *lower = g_ascii_strdown(fp, -1);
    uint8_t digest[32];

    g_assert_true(join_fingerprint_parse(fp, digest));
    g_assert_true(join_fingerprint_parse(lower, digest));
    g_assert_cmpuint(digest[31], ==, 248);
    for (gsize i = 0; i < strlen(fp); i++) {
        g_autofree char *changed = g_strdup(fp);

        changed[i] = 'x';
        g_assert_false(join_fingerprint_parse(changed, digest));
    }
    g_assert_false(join_fingerprint_parse("", digest));
}

static void every_byte_of_a_key_survives_as_text(void)
{
    uint8_t key[512];
    g_autoptr(GString) out = g_string_new("{\"data\":{\"corosync_authkey\":");
    g_auto(JoinClassicAnswer) a = {0};
    Err err = ERR_INIT;

    for (unsigned i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)(i < 256 ? i : 255 - i % 256);
    }
    join_authkey_append(out, key, sizeof key);
    g_assert_true(g_utf8_validate(out->str, (gssize)out->len, NULL));
    g_string_append(out, ",\"corosync_conf\":\"totem {\\n}\\n\\\\u0000\",\"warnings\":[\"w\"]}}");
    g_assert_cmpint(join_classic_parse(out->str, &a, &err), ==, 0);
    g_assert_cmpmem(a.authkey, a.authkey_size, key, sizeof key);
    g_assert_cmpstr(a.conf, ==, "totem {\n}\n\\u0000"); /* an escaped backslash is none */
    g_assert_cmpuint(a.warnings->len, ==, 1);
}

static void answers_without_key_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"data\":null}",
        "{\"data\":{\"corosync_conf\":\"x\"}}",
        "{\"data\":{\"corosync_conf\":\"x\",\"corosync_authkey\":\"\\u0200\"}}",
        "{\"data\":{\"corosync_conf\":\"x\",\"corosync_authkey\":3}}"};
    Err err = ERR_INIT;

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup(bad[i]);
        g_auto(JoinClassicAnswer) a = {0};

        g_assert_cmpint(join_classic_parse(text, &a, &err), ==, -EBADMSG);
    }
}

/* ---- the witness -----------------------------------------------------------------------------
 */

static void expect_device(const CorosyncConf *conf, const char *algorithm, const char *votes)
{
    CorosyncDevice d;

    g_assert_true(corosync_device_get(conf, &d));
    g_assert_cmpstr(d.algorithm, ==, algorithm);
    g_assert_cmpstr(d.votes, ==, votes);
    g_assert_cmpstr(d.host, ==, "192.0.2.9");
}

static void add_node(CorosyncConf *conf, const char *name, uint32_t votes, unsigned n)
{
    g_autofree char *a = g_strdup_printf("10.0.0.%u", n);
    g_autofree char *b = g_strdup_printf("10.1.0.%u", n);
    CorosyncAddNode add = {.name = name, .votes = votes, .link = {a, b}};
    uint32_t id;
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_add_node(conf, &add, &id, &err), ==, 0);
}

static void the_vote_of_a_witness_follows_the_nodes(void)
{
    g_autoptr(CorosyncConf) conf = parsed(conf_text);
    Err err = ERR_INIT;

    g_assert_false(corosync_device_follow(conf)); /* none there */
    corosync_device_set(conf, "192.0.2.9");
    g_assert_cmpuint(corosync_conf_version(conf), ==, 4);
    expect_device(conf, "ffsplit", "1");
    g_assert_cmpuint(corosync_expected_votes(conf), ==, 3);
    g_assert_false(corosync_device_follow(conf));
    add_node(conf, "c", 0, 3); /* joining, has no vote yet */
    g_assert_false(corosync_device_follow(conf));
    g_assert_cmpint(corosync_conf_set_votes(conf, "c", 1, &err), ==, 0);
    g_assert_true(corosync_device_follow(conf));
    expect_device(conf, "lms", NULL);
    g_assert_cmpuint(corosync_expected_votes(conf), ==, 5);
    g_assert_false(corosync_device_follow(conf));
    g_assert_cmpint(corosync_conf_remove_node(conf, "b", &err), ==, 0);
    g_assert_true(corosync_device_follow(conf));
    expect_device(conf, "ffsplit", "1");
    g_assert_true(corosync_device_remove(conf));
    g_assert_false(corosync_device_remove(conf));
}

static void other_algorithms_are_left_alone(void)
{
    g_autoptr(CorosyncConf) conf = parsed(conf_text);

    add_node(conf, "c", 1, 3);
    corosync_device_set(conf, "192.0.2.9");
    expect_device(conf, "lms", NULL);
    corosync_conf_set(conf, "quorum.device.net.algorithm", "2nodelms");
    add_node(conf, "d", 1, 4);
    g_assert_false(corosync_device_follow(conf));
    expect_device(conf, "2nodelms", NULL);
}

static void a_list_tells_by_which_addresses_a_node_is_known(void)
{
    static const char text[] = "[{\"node\":\"a\",\"ring0_addr\":\"10.0.0.1\"},"
                               "{\"name\":\"b\",\"ring0_addr\":\"10.0.0.2\","
                               "\"ring7_addr\":\"10.1.0.2\",\"ring8_addr\":\"10.2.0.2\"},7,"
                               "{\"name\":\"c\",\"ring0_addr\":3}]";
    g_autoptr(JsonTree) nodes = NULL;
    g_autoptr(GPtrArray) a = NULL, b = NULL, c = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(jsontree_parse(text, sizeof text - 1, &nodes, &err), ==, 0);
    a = join_info_addresses(nodes, "a");
    b = join_info_addresses(nodes, "b");
    c = join_info_addresses(nodes, "c");
    g_assert_cmpuint(a->len, ==, 1);
    g_assert_cmpstr(a->pdata[0], ==, "10.0.0.1");
    g_assert_cmpuint(b->len, ==, 2);
    g_assert_cmpstr(b->pdata[1], ==, "10.1.0.2");
    g_assert_cmpuint(c->len, ==, 0);
    g_assert_null(join_info_addresses(nodes, "d"));
}

static CorosyncConf *told(const char *nodes_text, const char *totem_text, int want)
{
    g_autoptr(JsonTree) nodes = NULL;
    g_autoptr(JsonTree) totem = NULL;
    CorosyncConf *conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(jsontree_parse(nodes_text, strlen(nodes_text), &nodes, &err), ==, 0);
    if (totem_text != NULL) {
        g_assert_cmpint(jsontree_parse(totem_text, strlen(totem_text), &totem, &err), ==, 0);
    }
    g_assert_cmpint(join_info_conf(nodes, totem, &conf, &err), ==, want);
    return conf;
}

/* NULL: the node would be added. */
static void
expect_refusal(const char *nodes, const char *totem, CorosyncAddNode add, const char *text)
{
    g_autoptr(CorosyncConf) conf = told(nodes, totem, 0);
    Err err = ERR_INIT;
    uint32_t id = 0;
    int r = corosync_conf_add_node(conf, &add, &id, &err);

    if (text == NULL) {
        g_assert_cmpint(r, ==, 0);
    } else {
        g_assert_cmpint(r, <, 0);
        g_assert_nonnull(strstr(err.text, text));
    }
}

static void what_a_member_tells_is_enough_to_try_the_rules(void)
{
    /* One has its name as `node` alone, and numbers in place of texts. */
    static const char nodes[] =
        "[{\"name\":\"a\",\"nodeid\":\"1\",\"quorum_votes\":\"1\",\"ring0_addr\":\"10.0.0.1\"},"
        "{\"node\":\"b\",\"nodeid\":7,\"quorum_votes\":1,\"ring0_addr\":\"10.0.0.2\","
        "\"x\":{\"y\":1},\"bad\":\"a\\nb\",\"empty\":\"\"},3]";
    static const char two_links[] =
        "{\"interface\":{\"0\":{\"linknumber\":\"0\"},\"3\":{},\"9\":{},\"z\":{}}}";
    CorosyncAddNode add = {.name = "c", .votes = 1, .fallback_address = "10.0.0.3"};

    expect_refusal(nodes, NULL, add, NULL);
    expect_refusal(nodes, two_links, add, "uses link 0");
    add.link[0] = "10.0.0.3";
    expect_refusal(nodes, two_links, add, "uses link 3");
    add.link[3] = "10.3.0.3";
    expect_refusal(nodes, two_links, add, NULL);
    expect_refusal(nodes, NULL, add, "does not use link 3");
    add.link[3] = NULL;
    add.nodeid = 7;
    expect_refusal(nodes, NULL, add, "node id 7 already belongs to node 'b'");
    add.nodeid = 8;
    expect_refusal(nodes, NULL, add, NULL);
    add.link[0] = "10.0.0.2";
    expect_refusal(nodes, NULL, add, "'10.0.0.2' already belongs to node 'b'");
    add.name = "b";
    expect_refusal(nodes, NULL, add, "'b' is already in the cluster");
    g_assert_null(told("{}", NULL, -EBADMSG));
    g_assert_null(told("null", NULL, -EBADMSG));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/join-info/configuration-becomes-objects", configuration_becomes_objects);
    g_test_add_func("/join-info/the-copied-text-comes-back", the_copied_text_comes_back);
    g_test_add_func("/join-info/host-names-do-not-look-like-the-text",
                    host_names_do_not_look_like_the_text);
    g_test_add_func("/join-info/fingerprints-are-checked", fingerprints_are_checked);
    g_test_add_func("/join-info/every-byte-of-a-key-survives-as-text",
                    every_byte_of_a_key_survives_as_text);
    g_test_add_func("/join-info/answers-without-key-are-refused", answers_without_key_are_refused);
    g_test_add_func("/join-info/a-list-tells-by-which-addresses-a-node-is-known",
                    a_list_tells_by_which_addresses_a_node_is_known);
    g_test_add_func("/join-info/what-a-member-tells-is-enough-to-try-the-rules",
                    what_a_member_tells_is_enough_to_try_the_rules);
    g_test_add_func("/witness/the-vote-follows-the-nodes", the_vote_of_a_witness_follows_the_nodes);
    g_test_add_func("/witness/other-algorithms-are-left-alone", other_algorithms_are_left_alone);
    return g_test_run();
}
