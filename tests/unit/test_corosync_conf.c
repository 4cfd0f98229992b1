/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: corosync.conf is read, checked, changed and written without losing anything. */
#include "lib/conf/corosync_check.h"
#include "lib/conf/corosync_nodes.h"

#include <errno.h>
#include <string.h>

static const char two_nodes[] = "# kept by hand\n"
                                "totem {\n"
                                "  version: 2\n"
                                "  cluster_name: lab # the lab\n"
                                "  config_version: 7\n"
                                "  secauth: on\n"
                                "  x_unknown: a value with blanks\n"
                                "  interface {\n"
                                "    linknumber: 0\n"
                                "  }\n"
                                "}\n"
                                "\n"
                                "nodelist {\n"
                                "  # the first\n"
                                "  node {\n"
                                "    name: n1\n"
                                "    nodeid: 1\n"
                                "    quorum_votes: 1\n"
                                "    ring0_addr: 10.0.0.1\n"
                                "  }\n"
                                "  node {\n"
                                "    name: n2\n"
                                "    nodeid: 2\n"
                                "    quorum_votes: 1\n"
                                "    ring0_addr: 10.0.0.2\n"
                                "  }\n"
                                "}\n"
                                "\n"
                                "quorum {\n"
                                "  provider: corosync_votequorum\n"
                                "}\n"
                                "\n";

static CorosyncConf *must_parse(const char *text)
{
    CorosyncConf *conf = NULL;
    Err err = ERR_INIT;
    int r = corosync_conf_parse(text, strlen(text), &conf, &err);

    g_assert_cmpstr(err_text(&err), ==, "");
    g_assert_cmpint(r, ==, 0);
    return conf;
}

static void round_trip_keeps_every_byte(void)
{
    g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
    g_autofree char *text = corosync_conf_format(conf);

    g_assert_cmpstr(text, ==, two_nodes);
    g_assert_cmpstr(corosync_conf_get(conf, "totem.x_unknown"), ==, "a value with blanks");
    g_assert_cmpstr(corosync_conf_get(conf, "totem.cluster_name"), ==, "lab");
}

static void one_line_layout_is_read(void)
{
    g_autoptr(CorosyncConf) conf =
        must_parse("totem { version: 2 } nodelist { node { nodeid: 1 } # c\n }");

    g_assert_cmpstr(corosync_conf_get(conf, "totem.version"), ==, "2");
    g_assert_cmpstr(corosync_conf_get(conf, "nodelist.node.nodeid"), ==, "1");
}

static void bad_grammar_names_the_line(void)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"totem {\n version 2\n}\n", "line 2: 'version' is neither"},
        {"totem {\n version:\n}\n", "line 2: key 'version' has no value"},
        {"totem {\n", "line 1: section 'totem' is never closed"},
        {"totem {\n version:#2\n}\n", "line 2: key 'version' has no value"},
        {"}\n", "line 1: '}' without an open section"},
        {"a: b\n", "line 1: key 'a' stands outside"},
        {"\n\n  !\n", "line 3: unexpected character '!'"},
        {"a{b{c{d{e{f{g{h{i{", "nested deeper"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        CorosyncConf *conf = NULL;
        Err err = ERR_INIT;

        g_assert_cmpint(corosync_conf_parse(cases[i].text, strlen(cases[i].text), &conf, &err), <,
                        0);
        g_assert_null(conf);
        g_assert_nonnull(strstr(err.text, cases[i].reason));
    }
}

static char *edited(const char *from, const char *to)
{
    g_autoptr(GString) text = g_string_new(two_nodes);

    g_assert_cmpuint(g_string_replace(text, from, to, 1), ==, 1);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void faults_are_found_with_their_line(void)
{
    static const struct {
        const char *from, *to, *reason;
    } cases[] = {
        {"nodeid: 2", "nodeid: 1", "line 23: node id 1 is used twice"},
        {"nodeid: 2", "nodeid: x", "line 23: 'nodeid: x' is no number above 0"},
        {"10.0.0.2", "10.0.0.1", "line 25: address '10.0.0.1' is used twice"},
        {"10.0.0.2", "fe80::1", "line 25: link 0 mixes IPv4 and IPv6"},
        {"ring0_addr: 10.0.0.2", "ring1_addr: 10.0.0.2",
         "line 21: node lacks an address for link 0"},
        {"ring0_addr: 10.0.0.2", "ring9_addr: 10.0.0.2", "line 25: 'ring9_addr': links go from"},
        {"name: n2", "name: n1", "line 22: node name 'n1' is used twice"},
        {"linknumber: 0", "linknumber: 8", "line 9: 'linknumber: 8' is no link"},
        {"config_version: 7", "x: 7", "line 2: 'config_version' is missing"},
        {"version: 2\n", "version: 1\n", "line 3: 'version: 2' is missing"},
        {"provider: corosync_votequorum", "provider: other", "provider: corosync_votequorum"},
        {"secauth: on", "secauth: maybe", "expected one of on, off"},
        {"quorum {", "quorums {", "section 'quorum' is missing"},
        {"nodelist {", "totem {", "section 'totem' appears twice"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = edited(cases[i].from, cases[i].to);
        g_autoptr(CorosyncConf) conf = must_parse(text);
        g_autoptr(GPtrArray) problems = corosync_check(conf);
        g_autoptr(GString) all = g_string_new(NULL);

        g_assert_nonnull(corosync_first_error(problems));
        for (guint k = 0; k < problems->len; k++) {
            g_autofree char *line = corosync_problem_format(g_ptr_array_index(problems, k));

            g_string_append_printf(all, "%s\n", line);
        }
        if (strstr(all->str, cases[i].reason) == NULL) {
            g_error("'%s' not in:\n%s", cases[i].reason, all->str);
        }
    }
}

static void good_file_has_no_error(void)
{
    g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
    g_autoptr(GPtrArray) problems = corosync_check(conf);

    g_assert_cmpuint(problems->len, ==, 0);
}

static void successor_must_raise_the_version(void)
{
    g_autofree char *next = edited("config_version: 7", "config_version: 8");
    Err err = ERR_INIT;
    size_t n = strlen(two_nodes);

    g_assert_cmpint(corosync_check_text(two_nodes, n, two_nodes, n, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.text, "config_version 7 is not above the 7"));
    g_assert_cmpint(corosync_check_text(next, strlen(next), two_nodes, n, &err), ==, 0);
    g_assert_cmpint(corosync_check_text(next, strlen(next), "rubbish", 7, &err), ==, 0);
}

static void adding_a_node_keeps_comments_and_bumps(void)
{
    g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
    g_autoptr(GPtrArray) nodes = NULL;
    g_autofree char *text = NULL;
    Err err = ERR_INIT;
    uint32_t id = 0;
    CorosyncAddNode add = {.name = "n3", .votes = 1, .fallback_address = "10.0.0.3"};

    g_assert_cmpint(corosync_conf_add_node(conf, &add, &id, &err), ==, 0);
    g_assert_cmpuint(id, ==, 3);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 8);
    g_assert_cmpuint(corosync_expected_votes(conf), ==, 3);
    text = corosync_conf_format(conf);
    g_assert_nonnull(strstr(text, "# the first\n  node {\n    name: n1\n"));
    g_assert_nonnull(strstr(text, "  node {\n    name: n3\n    nodeid: 3\n    quorum_votes: 1\n"
                                  "    ring0_addr: 10.0.0.3\n  }\n}\n\nquorum {"));
    nodes = corosync_nodes(conf);
    g_assert_cmpstr(corosync_nodes_find_any(nodes, "10.0.0.3")->name, ==, "n3");
}

static void adding_refuses_what_would_hurt(void)
{
    static const struct {
        CorosyncAddNode add;
        int code;
        const char *reason;
    } cases[] = {
        {{.name = "n3", .link = {"10.0.0.2"}}, -EEXIST, "already belongs to node 'n2'"},
        {{.name = "n2", .link = {"10.0.0.9"}}, -EEXIST, "already in the cluster"},
        {{.name = "n3", .nodeid = 1, .link = {"10.0.0.9"}}, -EEXIST, "node id 1 already"},
        {{.name = "n3", .link = {"10.0.0.9", "10.1.0.9"}}, -EINVAL, "leave out --link1"},
        {{.name = "n3", .link = {NULL, "10.1.0.9"}}, -EINVAL, "uses link 0"},
        {{.name = "bad_name", .link = {"10.0.0.9"}}, -EINVAL, "no node name"},
        {{.name = "n3", .link = {"10.0.0.9\nx: y"}}, -EINVAL, "no address"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
        g_autofree char *text = NULL;
        Err err = ERR_INIT;
        uint32_t id = 0;

        g_assert_cmpint(corosync_conf_add_node(conf, &cases[i].add, &id, &err), ==, cases[i].code);
        g_assert_nonnull(strstr(err.text, cases[i].reason));
        text = corosync_conf_format(conf);
        g_assert_cmpstr(text, ==, two_nodes); /* nothing changed */
    }
}

/* Such a file may be in use for years: it is not refused. */
static void odd_node_names_are_warned_of(void)
{
    g_autofree char *text = edited("name: n2", "name: n\xc3\xb6_2");
    g_autoptr(CorosyncConf) conf = must_parse(text);
    g_autoptr(GPtrArray) problems = corosync_check(conf);
    const CorosyncProblem *p;

    g_assert_null(corosync_first_error(problems));
    g_assert_cmpuint(problems->len, >=, 1);
    p = g_ptr_array_index(problems, 0);
    g_assert_cmpuint(p->line, ==, 22);
    g_assert_nonnull(strstr(p->text, "is no node name"));
}

static void removing_takes_the_comment_along(void)
{
    g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
    g_autofree char *text = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_remove_node(conf, "n9", &err), ==, -ENOENT);
    g_assert_cmpint(corosync_conf_remove_node(conf, "n1", &err), ==, 0);
    text = corosync_conf_format(conf);
    g_assert_null(strstr(text, "# the first"));
    g_assert_null(strstr(text, "n1"));
    g_assert_cmpint(corosync_conf_remove_node(conf, "n2", &err), ==, -EBUSY);
}

static void created_file_is_valid_and_sorted(void)
{
    CorosyncLink links[COROSYNC_LINKS_MAX] = {{0}};
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    g_autofree char *text = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_link_parse("10.0.0.1,priority=20", &links[0], &err), ==, 0);
    g_assert_cmpint(corosync_link_parse("address=10.1.0.1", &links[1], &err), ==, 0);
    conf = corosync_conf_create("demo", "alpha", 1, 1, links, COROSYNC_TOKEN_COEFFICIENT);
    problems = corosync_check(conf);
    g_assert_null(corosync_first_error(problems));
    text = corosync_conf_format(conf);
    g_assert_cmpstr(text, ==,
                    "logging {\n  debug: off\n  to_syslog: yes\n}\n\n"
                    "nodelist {\n  node {\n    name: alpha\n    nodeid: 1\n    quorum_votes: 1\n"
                    "    ring0_addr: 10.0.0.1\n    ring1_addr: 10.1.0.1\n  }\n}\n\n"
                    "quorum {\n  provider: corosync_votequorum\n}\n\n"
                    "totem {\n  cluster_name: demo\n  config_version: 1\n"
                    "  interface {\n    knet_link_priority: 20\n    linknumber: 0\n  }\n"
                    "  interface {\n    linknumber: 1\n  }\n"
                    "  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n"
                    "  token_coefficient: 50\n  version: 2\n}\n\n");
    corosync_link_clear(&links[0]);
    corosync_link_clear(&links[1]);
}

/* Reference join, chapter 15: token + (nodes - 2) * coefficient, consensus 1.2 times that. */
static void detection_time_is_known(void)
{
    const struct {
        const char *totem;
        unsigned nodes;
        uint64_t ms;
    } cases[] = {
        {"", 1, 0},
        {"", 2, 6600},
        {"", 3, 8030},
        {"token: 1000\ntoken_coefficient: 0\n", 3, 2200},
        {"token: 1000\ntoken_coefficient: 50\n", 13, 3410},
        {"token: 1000\nconsensus: 5000\n", 2, 6000},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) text = g_string_new("totem {\n");
        g_autoptr(CorosyncConf) conf = NULL;

        g_string_append_printf(text, "%s}\nnodelist {\n", cases[i].totem);
        for (unsigned n = 1; n <= cases[i].nodes; n++) {
            g_string_append_printf(
                text, "node {\nname: n%u\nnodeid: %u\nring0_addr: 10.0.0.%u\n}\n", n, n, n);
        }
        g_string_append(text, "}\n");
        g_assert_cmpint(corosync_conf_parse(text->str, text->len, &conf, NULL), ==, 0);
        g_assert_cmpuint(corosync_detection_ms(conf), ==, cases[i].ms);
    }
}

static void links_are_parsed_strictly(void)
{
    static const char *const bad[] = {
        "",    "a b",      "10.0.0.1,priority=256", "10.0.0.1,prio=1", "priority=3",
        "a,b", "address=", "10.0.0.1,priority=x"};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        CorosyncLink link = {0};

        g_assert_cmpint(corosync_link_parse(bad[i], &link, NULL), ==, -EINVAL);
        g_assert_false(link.present);
    }
}

static void version_is_found_in_any_text(void)
{
    uint64_t v = 0;
    const char text[] = "rubbish config_version config_version \t: 12x";

    g_assert_true(corosync_text_version(text, sizeof text - 1, &v));
    g_assert_cmpuint(v, ==, 12);
    g_assert_false(corosync_text_version("config_version: x", 17, &v));
    g_assert_false(corosync_text_version("config_version", 14, &v));
}

static void readdress_moves_one_node(void)
{
    g_autoptr(CorosyncConf) conf = must_parse(two_nodes);
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_readdress(conf, "n2", 0, "10.0.0.1", &err), ==, -EEXIST);
    g_assert_cmpint(corosync_conf_readdress(conf, "n2", 1, "10.0.0.7", &err), ==, -EINVAL);
    g_assert_cmpint(corosync_conf_readdress(conf, "n2", 0, "10.0.0.7", &err), ==, 0);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 8);
    g_assert_cmpint(corosync_conf_set_votes(conf, "n2", 3, &err), ==, 0);
    g_assert_cmpuint(corosync_expected_votes(conf), ==, 4);
}

static void the_example_of_debian_is_known(void)
{
    static const char example[] =
        "# Please read the corosync.conf.5 manual page\n"
        "totem {\n\tversion: 2\n\n\tcluster_name: debian\n\tcrypto_cipher: none\n"
        "\tcrypto_hash: none\n}\nquorum {\n\tprovider: corosync_votequorum\n}\n"
        "nodelist {\n\tnode {\n\t\tname: node1\n\t\tnodeid: 1\n"
        "\t\tring0_addr: 127.0.0.1\n\t}\n}\n";
    static const char *const changes[][2] = {{"127.0.0.1", "10.0.0.1"},
                                             {"cluster_name: debian", "cluster_name: lab"},
                                             {"version: 2", "version: 2\n\tconfig_version: 1"}};
    g_autoptr(CorosyncConf) as_installed = must_parse(example);
    g_autoptr(CorosyncConf) cluster = must_parse(two_nodes);

    g_assert_true(corosync_is_example(as_installed));
    g_assert_false(corosync_is_example(cluster));
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_auto(GStrv) parts = g_strsplit(example, changes[i][0], 2);
        g_autofree char *text = g_strjoin(changes[i][1], parts[0], parts[1], NULL);
        g_autoptr(CorosyncConf) used = must_parse(text);

        g_assert_false(corosync_is_example(used));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/corosync-conf/round-trip-keeps-every-byte", round_trip_keeps_every_byte);
    g_test_add_func("/corosync-conf/one-line-layout-is-read", one_line_layout_is_read);
    g_test_add_func("/corosync-conf/bad-grammar-names-the-line", bad_grammar_names_the_line);
    g_test_add_func("/corosync-conf/faults-have-their-line", faults_are_found_with_their_line);
    g_test_add_func("/corosync-conf/odd-node-names-are-warned-of", odd_node_names_are_warned_of);
    g_test_add_func("/corosync-conf/good-file-has-no-error", good_file_has_no_error);
    g_test_add_func("/corosync-conf/successor-raises-version", successor_must_raise_the_version);
    g_test_add_func("/corosync-conf/add-keeps-comments", adding_a_node_keeps_comments_and_bumps);
    g_test_add_func("/corosync-conf/add-refuses-what-hurts", adding_refuses_what_would_hurt);
    g_test_add_func("/corosync-conf/remove-takes-comment", removing_takes_the_comment_along);
    g_test_add_func("/corosync-conf/created-is-valid-and-sorted", created_file_is_valid_and_sorted);
    g_test_add_func("/corosync-conf/links-parsed-strictly", links_are_parsed_strictly);
    g_test_add_func("/corosync-conf/detection-time", detection_time_is_known);
    g_test_add_func("/corosync-conf/version-in-any-text", version_is_found_in_any_text);
    g_test_add_func("/corosync-conf/readdress-moves-one-node", readdress_moves_one_node);
    g_test_add_func("/corosync-conf/example-of-debian-is-known", the_example_of_debian_is_known);
    return g_test_run();
}
