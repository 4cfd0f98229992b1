/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a join request survives its JSON, bad ones are refused, and the cluster's answer names
 * every problem with its remedy. */
#include "quorum/core/join_request.h"

#include <errno.h>
#include <string.h>

static const char conf_text[] =
    "totem {\n  version: 2\n  cluster_name: lab\n  config_version: 3\n  secauth: on\n}\n"
    "nodelist {\n  node {\n    name: n1\n    nodeid: 1\n    quorum_votes: 1\n"
    "    ring0_addr: 10.0.0.1\n  }\n}\nquorum {\n  provider: corosync_votequorum\n}\n";

static CorosyncConf *conf(void)
{
    CorosyncConf *c = NULL;

    g_assert_cmpint(corosync_conf_parse(conf_text, strlen(conf_text), &c, NULL), ==, 0);
    return c;
}

static JoinRequest request(void)
{
    JoinRequest r = {.step = JOIN_STEP_STAGE, .id = {1}, .proof = {2}, .clock = {1000}};
    uint32_t vmid = 100;

    r.node = g_strdup("n2");
    r.csr = g_strdup("PEM\nlines");
    r.address = g_strdup("10.0.0.2");
    r.vmids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_array_append_val(r.vmids, vmid);
    return r;
}

static void round_trip(void)
{
    g_auto(JoinRequest) r = request();
    g_auto(JoinRequest) back = {0};
    g_autofree char *json = NULL;
    Err err = ERR_INIT;

    r.link[1] = g_strdup("10.1.0.2");
    json = join_request_format(&r);
    g_assert_cmpint(join_request_parse(json, strlen(json), &back, &err), ==, 0);
    g_assert_cmpint(back.step, ==, JOIN_STEP_STAGE);
    g_assert_cmpstr(back.node, ==, "n2");
    g_assert_cmpstr(back.csr, ==, "PEM\nlines");
    g_assert_cmpstr(back.link[1], ==, "10.1.0.2");
    g_assert_null(back.link[0]);
    g_assert_cmpmem(back.proof, sizeof back.proof, r.proof, sizeof r.proof);
    g_assert_cmpuint(g_array_index(back.vmids, uint32_t, 0), ==, 100);
}

static void every_truncation_is_refused(void)
{
    g_auto(JoinRequest) r = request();
    g_autofree char *json = join_request_format(&r);

    for (gsize n = 0; n < strlen(json); n++) {
        g_auto(JoinRequest) back = {0};

        g_assert_cmpint(join_request_parse(json, n, &back, NULL), ==, -EBADMSG);
        g_assert_null(back.node);
    }
}

static void a_good_request_meets_no_problem(void)
{
    g_auto(JoinRequest) r = request();
    g_autoptr(CorosyncConf) c = conf();
    g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(GPtrArray) problems = join_problems(&r, c, used, false, true, (WallTime){1010});

    g_assert_cmpuint(problems->len, ==, 0);
}

static void every_problem_is_named_at_once(void)
{
    g_auto(JoinRequest) r = request();
    g_autoptr(CorosyncConf) c = conf();
    g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(GPtrArray) problems = NULL;
    uint32_t vmid = 100;

    g_array_append_val(used, vmid);
    g_free(r.address);
    r.address = g_strdup("10.0.0.1");
    problems = join_problems(&r, c, used, false, false, (WallTime){90000});
    g_assert_cmpuint(problems->len, ==, 4);
    g_assert_nonnull(strstr(g_ptr_array_index(problems, 0), "no quorum"));
    g_assert_nonnull(strstr(g_ptr_array_index(problems, 1), "89000 s"));
    g_assert_nonnull(strstr(g_ptr_array_index(problems, 2), "belongs to node 'n1'"));
    g_assert_nonnull(strstr(g_ptr_array_index(problems, 3), "taken in the cluster: 100"));
}

static void staging_gives_no_vote_and_can_be_repeated(void)
{
    g_auto(JoinRequest) r = request();
    g_autoptr(CorosyncConf) c = conf();
    uint32_t id = 0, again = 0;
    Err err = ERR_INIT;

    g_assert_cmpint(join_stage(c, &r, false, &id, &err), ==, 0);
    g_assert_cmpuint(id, ==, 2);
    g_assert_cmpuint(corosync_expected_votes(c), ==, 1);
    g_assert_cmpuint(corosync_conf_version(c), ==, 4);
    g_assert_cmpint(join_stage(c, &r, true, &again, &err), ==, 0);
    g_assert_cmpuint(again, ==, 2);
    g_assert_cmpuint(corosync_conf_version(c), ==, 4);
    g_assert_cmpint(join_stage(c, &r, false, &again, &err), ==, -EEXIST);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/join-request/round-trip", round_trip);
    g_test_add_func("/join-request/every-truncation-refused", every_truncation_is_refused);
    g_test_add_func("/join-request/good-meets-no-problem", a_good_request_meets_no_problem);
    g_test_add_func("/join-request/every-problem-named", every_problem_is_named_at_once);
    g_test_add_func("/join-request/staging-gives-no-vote",
                    staging_gives_no_vote_and_can_be_repeated);
    return g_test_run();
}
