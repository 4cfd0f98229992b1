/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: `pvecm status` and `nodes` read like what administrators and scripts know. */
#include "quorum/core/quorum_view.h"

#include <json-glib/json-glib.h>
#include <string.h>

static const QuorumMember three[] = {
    {.nodeid = 1, .votes = 1, .name = "alpha", .address = "10.0.0.1"},
    {.nodeid = 2, .votes = 1, .name = "beta", .address = "10.0.0.2"},
    {.nodeid = 3, .votes = 1, .name = "gamma", .address = "10.0.0.3"},
};

static QuorumFacts base_facts(void)
{
    return (QuorumFacts){.cluster_name = "demo",
                         .config_version = 3,
                         .secauth = "on",
                         .date = "Sun Nov 22 10:00:00 2026",
                         .provider = "corosync_votequorum",
                         .nodeid = 1,
                         .ring_nodeid = 1,
                         .ring_seq = 0x1a8,
                         .quorate = true,
                         .expected = 3,
                         .highest_expected = 3,
                         .total = 3,
                         .quorum = 2,
                         .flags = QUORUM_FLAG_QUORATE,
                         .members = three,
                         .n_members = 3};
}

static void status_has_the_known_layout(void)
{
    QuorumFacts f = base_facts();
    g_autoptr(GString) out = g_string_new(NULL);

    quorum_format_status(&f, out);
    g_assert_cmpstr(out->str, ==,
                    "Cluster information\n"
                    "-------------------\n"
                    "Name:             demo\n"
                    "Config Version:   3\n"
                    "Transport:        knet\n"
                    "Secure auth:      on\n"
                    "Fault tolerance:  1 more node may fail\n"
                    "\n"
                    "Quorum information\n"
                    "------------------\n"
                    "Date:             Sun Nov 22 10:00:00 2026\n"
                    "Quorum provider:  corosync_votequorum\n"
                    "Nodes:            3\n"
                    "Node ID:          0x00000001\n"
                    "Ring ID:          1.1a8\n"
                    "Quorate:          Yes\n"
                    "\n"
                    "Votequorum information\n"
                    "----------------------\n"
                    "Expected votes:   3\n"
                    "Highest expected: 3\n"
                    "Total votes:      3\n"
                    "Quorum:           2  \n"
                    "Flags:            Quorate \n"
                    "\n"
                    "Membership information\n"
                    "----------------------\n"
                    "    Nodeid      Votes Name\n"
                    "0x00000001          1 10.0.0.1 (local)\n"
                    "0x00000002          1 10.0.0.2\n"
                    "0x00000003          1 10.0.0.3\n");
}

static void nodes_has_the_known_layout(void)
{
    QuorumFacts f = base_facts();
    g_autoptr(GString) out = g_string_new(NULL);

    f.n_members = 2;
    quorum_format_nodes(&f, out);
    g_assert_cmpstr(out->str, ==,
                    "\n"
                    "Membership information\n"
                    "----------------------\n"
                    "    Nodeid      Votes Name\n"
                    "         1          1 alpha (local)\n"
                    "         2          1 beta\n");
}

static void blocked_and_qdevice_are_shown(void)
{
    QuorumMember two[2];
    QuorumFacts f = base_facts();
    g_autoptr(GString) out = g_string_new(NULL);

    memcpy(two, three, sizeof two);
    two[0].flags = QUORUM_FLAG_QDEVICE | QUORUM_FLAG_QDEVICE_ALIVE | QUORUM_FLAG_QDEVICE_VOTE;
    f.members = two;
    f.n_members = 2;
    f.quorate = false;
    f.flags = QUORUM_FLAG_QDEVICE;
    f.qdevice_votes = 1;
    quorum_format_status(&f, out);
    g_assert_nonnull(strstr(out->str, "Quorum:           2 Activity blocked\n"));
    g_assert_nonnull(strstr(out->str, "    Nodeid      Votes    Qdevice Name\n"
                                      "0x00000001          1    A,V,NMW 10.0.0.1 (local)\n"
                                      "0x00000002          1         NR 10.0.0.2\n"
                                      "0x00000000          0            Qdevice (votes 1)\n"));
    g_assert_nonnull(strstr(out->str, "0 more nodes may fail (no quorum now)"));
}

static void tolerance_counts_the_worst_case(void)
{
    QuorumMember m[] = {{.votes = 3}, {.votes = 1}, {.votes = 1}, {.votes = 1}};
    QuorumFacts f = base_facts();

    g_assert_cmpuint(quorum_tolerates(&f), ==, 1);
    f.members = m;
    f.n_members = 4;
    f.total = 6;
    f.quorum = 4;
    g_assert_cmpuint(quorum_tolerates(&f), ==, 0); /* the heavy node may be the one */
    f.total = 7;                                   /* a device votes along */
    g_assert_cmpuint(quorum_tolerates(&f), ==, 1);
    f.members = three;
    f.n_members = 1;
    f.total = 1;
    f.quorum = 1;
    g_assert_cmpuint(quorum_tolerates(&f), ==, 0);
}

static void json_parses_and_agrees(void)
{
    QuorumFacts f = base_facts();
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *o;

    quorum_format_status_json(&f, out);
    g_assert_true(json_parser_load_from_data(parser, out->str, -1, NULL));
    o = json_node_get_object(json_parser_get_root(parser));
    g_assert_cmpint(json_object_get_int_member(o, "may_fail"), ==, 1);
    g_assert_cmpstr(json_object_get_string_member(o, "flags"), ==, "Quorate");
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(o, "members")), ==, 3);
    g_string_truncate(out, 0);
    f.n_members = 0;
    quorum_format_nodes_json(&f, out);
    g_assert_cmpstr(out->str, ==, "[]\n");
}

/* Who edits corosync.conf by hand may write anything. */
static void hostile_names_stay_json(void)
{
    const QuorumMember hostile = {.nodeid = 1,
                                  .votes = 1,
                                  .name = "a\"b\\c\001\n\377",
                                  .address = "\"}],\303("};
    QuorumFacts f = base_facts();
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *o;

    f.cluster_name = "\\\"\177\t\376";
    f.members = &hostile;
    f.n_members = 1;
    quorum_format_status_json(&f, out);
    g_assert_true(g_utf8_validate(out->str, (gssize)out->len, NULL));
    g_assert_true(json_parser_load_from_data(parser, out->str, -1, NULL));
    o = json_node_get_object(json_parser_get_root(parser));
    o = json_array_get_object_element(json_object_get_array_member(o, "members"), 0);
    g_assert_cmpstr(json_object_get_string_member(o, "name"), ==, "a\"b\\c\001\n\357\277\275");
    g_string_truncate(out, 0);
    quorum_format_nodes_json(&f, out);
    g_assert_true(json_parser_load_from_data(parser, out->str, -1, NULL));
}

static void ring_has_its_members_only(void)
{
    QuorumFacts f = base_facts();

    g_assert_true(quorum_has_member(&f, 3));
    g_assert_false(quorum_has_member(&f, 4));
    f.n_members = 0;
    g_assert_false(quorum_has_member(&f, 1));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quorum-view/status-layout", status_has_the_known_layout);
    g_test_add_func("/quorum-view/nodes-layout", nodes_has_the_known_layout);
    g_test_add_func("/quorum-view/blocked-and-qdevice", blocked_and_qdevice_are_shown);
    g_test_add_func("/quorum-view/tolerance-counts-worst-case", tolerance_counts_the_worst_case);
    g_test_add_func("/quorum-view/json-parses-and-agrees", json_parses_and_agrees);
    g_test_add_func("/quorum-view/hostile-names-stay-json", hostile_names_stay_json);
    g_test_add_func("/quorum-view/ring-has-its-members-only", ring_has_its_members_only);
    return g_test_run();
}
