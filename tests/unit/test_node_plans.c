/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: wherever the removal, departure, renaming or re-addressing of a node fails or its process
 * dies, it ends fully done or fully undone; a node goes only when the rest can do without it; what
 * is read from others is checked. Method: a model of what each step changes; every step of every
 * plan fails once, before and half done, and is interrupted once and recovered from. Texts
 * round-trip, and are cut and changed at every byte.
 */
#include "quorum/core/member_request.h"
#include "quorum/core/node_plans.h"
#include "quorum/core/tombstone.h"

#include <errno.h>
#include <string.h>

#define STEPS_MAX 16

/* ---- plans ----------------------------------------------------------------------------------- */

typedef struct Model {
    const StepPlan *plan;
    bool changed[STEPS_MAX]; /* what the step did is there */
    unsigned journal;        /* step under way, plan->count: none */
    int fail_at, fail_code;  /* step whose perform fails, -1: none */
    bool fail_half;          /* after having changed something */
    int undo_fail_at;
    int die_at; /* everything after this record call fails silently, as for a dead process */
    bool dead;
} Model;

static int perform(void *ctx, unsigned step, Err *err)
{
    Model *m = ctx;

    if (m->dead) {
        return -EINTR;
    }
    if (m->fail_at == (int)step) {
        m->changed[step] = m->fail_half;
        return err_setf(err, m->fail_code, "step %s failed", m->plan->step_name(step));
    }
    m->changed[step] = true;
    return 0;
}

static int undo(void *ctx, unsigned step, Err *err)
{
    Model *m = ctx;

    if (m->dead) {
        return -EINTR;
    }
    if (m->undo_fail_at == (int)step) {
        return err_setf(err, -EIO, "disk");
    }
    g_assert_cmpuint(step, <, m->plan->commit); /* there is no way back behind it */
    for (unsigned later = step + 1; later < m->plan->count; later++) {
        g_assert_false(m->changed[later]); /* taken back in reverse order */
    }
    m->changed[step] = false;
    return 0;
}

static int record(void *ctx, unsigned step, Err *err)
{
    Model *m = ctx;

    (void)err;
    if (m->dead) {
        return -EINTR;
    }
    m->journal = step;
    if (m->die_at == (int)step) {
        m->dead = true;
    }
    return 0;
}

static bool refused(int code)
{
    return code == -EPERM;
}

static StepOps ops_of(Model *m)
{
    return (StepOps){
        .perform = perform, .undo = undo, .record = record, .refused = refused, .ctx = m};
}

static Model fresh(NodePlanKind kind)
{
    const StepPlan *plan = node_plan(kind);

    g_assert_cmpuint(plan->count, <=, STEPS_MAX);
    return (Model){
        .plan = plan, .journal = plan->count, .fail_at = -1, .undo_fail_at = -1, .die_at = -1};
}

static void expect_all(const Model *m, bool changed)
{
    for (unsigned i = 0; i < m->plan->count; i++) {
        g_assert_cmpint(m->changed[i], ==, changed);
    }
    g_assert_cmpuint(m->journal, ==, m->plan->count);
}

static void all_well_is_done(void)
{
    for (int kind = 0; kind < NODE_PLAN_N; kind++) {
        Model m = fresh((NodePlanKind)kind);
        StepOps ops = ops_of(&m);

        g_assert_cmpint(step_plan_run(m.plan, &ops, NULL), ==, STEP_DONE);
        expect_all(&m, true);
    }
}

/* Before the point of no return: undone. Behind it: stuck, and finished by the next try. */
static void fail_once(NodePlanKind kind, unsigned step, bool half)
{
    Model m = fresh(kind);
    StepOps ops = ops_of(&m);
    Err err = ERR_INIT;
    StepOutcome outcome;

    m.fail_at = (int)step;
    m.fail_half = half;
    m.fail_code = -EIO;
    outcome = step_plan_run(m.plan, &ops, &err);
    g_assert_nonnull(strstr(err.text, "failed"));
    if (step < m.plan->commit) {
        g_assert_cmpint(outcome, ==, STEP_UNDONE);
        expect_all(&m, false);
        return;
    }
    g_assert_cmpint(outcome, ==, STEP_STUCK);
    g_assert_cmpuint(m.journal, ==, step);
    m.fail_at = -1;
    g_assert_cmpint(step_plan_recover(m.plan, &ops, step, &err), ==, STEP_DONE);
    expect_all(&m, true);
}

static void every_failing_step_is_undone_or_finished(void)
{
    for (int kind = 0; kind < NODE_PLAN_N; kind++) {
        for (unsigned step = 0; step < node_plan((NodePlanKind)kind)->count; step++) {
            fail_once((NodePlanKind)kind, step, false);
            fail_once((NodePlanKind)kind, step, true);
        }
    }
}

static void every_death_is_recovered_from(void)
{
    for (int kind = 0; kind < NODE_PLAN_N; kind++) {
        for (unsigned step = 0; step < node_plan((NodePlanKind)kind)->count; step++) {
            Model m = fresh((NodePlanKind)kind);
            StepOps ops = ops_of(&m);
            Err err = ERR_INIT;
            bool forward = step >= m.plan->commit;

            m.die_at = (int)step;
            (void)step_plan_run(m.plan, &ops,
                                &err); /* what a dead process returns does not matter */
            m.dead = false;
            m.die_at = -1;
            g_assert_cmpuint(m.journal, ==, step);
            g_assert_cmpint(step_plan_recover(m.plan, &ops, step, &err), ==,
                            forward ? STEP_DONE : STEP_UNDONE);
            expect_all(&m, forward);
        }
    }
}

/* The members say no: then everything is taken back, however late it is. */
static void a_clear_refusal_leads_back(void)
{
    for (int kind = 0; kind < NODE_PLAN_N; kind++) {
        Model m = fresh((NodePlanKind)kind);
        StepOps ops = ops_of(&m);
        Err err = ERR_INIT;

        if (m.plan->commit == m.plan->count) {
            continue;
        }
        m.fail_at = (int)m.plan->commit;
        m.fail_code = -EPERM;
        g_assert_cmpint(step_plan_run(m.plan, &ops, &err), ==, STEP_UNDONE);
        expect_all(&m, false);
    }
}

static void a_failing_undo_is_told_and_repeated(void)
{
    Model m = fresh(NODE_PLAN_LEAVE);
    StepOps ops = ops_of(&m);
    Err err = ERR_INIT;

    m.fail_at = LEAVE_STEP_STOP;
    m.fail_code = -EIO;
    m.undo_fail_at = LEAVE_STEP_VOTES;
    g_assert_cmpint(step_plan_run(m.plan, &ops, &err), ==, STEP_STUCK);
    g_assert_nonnull(strstr(err.text, "undoing step 'votes': disk"));
    m.undo_fail_at = -1;
    g_assert_cmpint(step_plan_recover(m.plan, &ops, m.journal, &err), ==, STEP_UNDONE);
    expect_all(&m, false);
}

static void steps_have_names(void)
{
    for (int kind = 0; kind < NODE_PLAN_N; kind++) {
        for (unsigned i = 0; i < node_plan((NodePlanKind)kind)->count; i++) {
            const char *name = node_plan((NodePlanKind)kind)->step_name(i);

            g_assert_cmpint(node_plan_step((NodePlanKind)kind, name), ==, (int)i);
        }
        g_assert_cmpint(node_plan_step((NodePlanKind)kind, "nonsense"), ==, -1);
    }
}

/* ---- interrupted kick ------------------------------------------------------------------------ */

static void an_interrupted_kick_is_gone_on_with(void)
{
    static const struct {
        KickFacts facts;
        KickResume want;
    } rows[] = {
        /* of two: not gone yet, still there with quorum lost or lowered, gone */
        {{.listed = true, .online = true, .others = 1, .quorum = 2, .expected = 2},
         KICK_RESUME_AGAIN},
        {{.listed = true, .online = true, .others = 1, .quorum = 1, .expected = 1},
         KICK_RESUME_AGAIN},
        {{.listed = true, .others = 1, .quorum = 2, .expected = 2}, KICK_RESUME_WITHOUT},
        /* its votes were lowered before the death, or the list had been written */
        {{.listed = true, .others = 1, .quorum = 1, .expected = 1}, KICK_RESUME_NOTHING},
        {{.listed = false}, KICK_RESUME_NOTHING},
        /* of four, one of which was off */
        {{.listed = true, .others = 2, .quorum = 3, .expected = 4}, KICK_RESUME_WITHOUT},
        {{.listed = true, .others = 3, .quorum = 3, .expected = 4}, KICK_RESUME_NOTHING},
        /* of four, two of which cannot be seen and may have taken the node back */
        {{.listed = true, .others = 1, .quorum = 3, .expected = 4}, KICK_RESUME_WAIT},
        /* the node has three of six votes: with the one not seen it decides alone */
        {{.listed = true, .others = 2, .quorum = 4, .expected = 6}, KICK_RESUME_WAIT},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(kick_resume(&rows[i].facts), ==, rows[i].want);
    }
}

/* Whatever the votes: the rest never decides without us where we go on without the node. */
static void who_goes_on_without_is_the_only_one(void)
{
    for (uint32_t expected = 1; expected <= 12; expected++) {
        for (uint32_t others = 0; others <= expected; others++) {
            KickFacts f = {.listed = true,
                           .others = others,
                           .quorum = expected / 2 + 1,
                           .expected = expected};

            if (kick_resume(&f) == KICK_RESUME_WITHOUT) {
                g_assert_cmpuint(expected - others, <, f.quorum);
            }
        }
    }
}

/* ---- may it go? ------------------------------------------------------------------------------ */

static CorosyncConf *cluster_of(unsigned n)
{
    g_autoptr(GString) text = g_string_new(
        "totem {\n  version: 2\n  cluster_name: c\n  config_version: 7\n}\n"
        "quorum {\n  provider: corosync_votequorum\n  expected_votes: 9\n  two_node: 1\n}\n"
        "nodelist {\n");
    CorosyncConf *conf = NULL;

    for (unsigned i = 1; i <= n; i++) {
        g_string_append_printf(text,
                               "  node {\n    name: n%u\n    nodeid: %u\n    quorum_votes: 1\n"
                               "    ring0_addr: 10.0.0.%u\n  }\n",
                               i, i, i);
    }
    g_string_append(text, "}\n");
    g_assert_cmpint(corosync_conf_parse(text->str, text->len, &conf, NULL), ==, 0);
    return conf;
}

/* Problems when n1 goes from a cluster of `n` of which the first `up` are there. */
static char *problems_of(unsigned n, unsigned up, bool quorate, const char *guest, const char *ha)
{
    g_autoptr(CorosyncConf) conf = cluster_of(n);
    g_autoptr(GArray) online = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(GPtrArray) guests = g_ptr_array_new();
    g_autoptr(GPtrArray) ha_guests = g_ptr_array_new();
    g_autoptr(GPtrArray) problems = NULL;
    DepartFacts f = {.node = "n1",
                     .conf = conf,
                     .online = online,
                     .quorate = quorate,
                     .guests = guests,
                     .ha_guests = ha_guests,
                     .guests_remedy = "do something"};

    for (uint32_t id = 1; id <= up; id++) {
        g_array_append_val(online, id);
    }
    if (guest != NULL) {
        g_ptr_array_add(guests, (char *)guest);
    }
    if (ha != NULL) {
        g_ptr_array_add(ha_guests, (char *)ha);
    }
    problems = depart_problems(&f);
    g_ptr_array_add(problems, NULL);
    return g_strjoinv("|", (char **)problems->pdata);
}

static void expect_problem(char *have, const char *want)
{
    if (want == NULL) {
        g_assert_cmpstr(have, ==, "");
    } else {
        g_assert_nonnull(strstr(have, want));
    }
    g_free(have);
}

static void a_node_goes_when_the_rest_can_decide(void)
{
    expect_problem(problems_of(3, 3, true, NULL, NULL), NULL);
    expect_problem(problems_of(2, 2, true, NULL, NULL), NULL);
    expect_problem(problems_of(5, 4, true, NULL, NULL), NULL);
    expect_problem(problems_of(5, 3, true, NULL, NULL), "would have 2 of 4 votes");
    expect_problem(problems_of(3, 2, true, NULL, NULL), "would have 1 of 2 votes");
    expect_problem(problems_of(3, 0, false, NULL, NULL), "no quorum, not seen: n1, n2, n3: bring");
    expect_problem(problems_of(2, 1, false, NULL, NULL), "no quorum, not seen: n2: bring");
    expect_problem(problems_of(1, 1, true, NULL, NULL), "last node");
    expect_problem(problems_of(3, 3, true, "100", NULL), "still has guests: 100; do something");
    expect_problem(problems_of(3, 3, true, "100", "vm:100"),
                   "HA manages guests of node 'n1': vm:100");
}

static void quorum_keys_follow_the_list(void)
{
    g_autoptr(CorosyncConf) conf = cluster_of(3);
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_remove_node(conf, "n3", &err), ==, 0);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 8);
    g_assert_cmpstr(corosync_conf_get(conf, "quorum.expected_votes"), ==, "2");
    g_assert_cmpstr(corosync_conf_get(conf, "quorum.two_node"), ==, "1");
    g_assert_cmpint(corosync_conf_set_votes(conf, "n2", 0, &err), ==, 0);
    g_assert_cmpstr(corosync_conf_get(conf, "quorum.expected_votes"), ==, "1");
    g_assert_cmpint(corosync_conf_remove_node(conf, "n2", &err), ==, 0);
    g_assert_null(corosync_conf_get(conf, "quorum.two_node"));
    g_assert_cmpint(corosync_conf_remove_node(conf, "n1", &err), ==, -EBUSY);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 10);
}

static void a_node_is_renamed_in_the_list(void)
{
    g_autoptr(CorosyncConf) conf = cluster_of(3);
    Err err = ERR_INIT;

    g_assert_cmpint(corosync_conf_rename_node(conf, "n2", "n3", &err), ==, -EEXIST);
    g_assert_cmpint(corosync_conf_rename_node(conf, "n9", "x", &err), ==, -ENOENT);
    g_assert_cmpint(corosync_conf_rename_node(conf, "n2", "bad_name", &err), ==, -EINVAL);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 7);
    g_assert_cmpint(corosync_conf_rename_node(conf, "n2", "new", &err), ==, 0);
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    g_assert_cmpuint(corosync_nodes_find(nodes, "new")->nodeid, ==, 2);
    g_assert_cmpuint(corosync_conf_version(conf), ==, 8);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void tombstones_round_trip(void)
{
    Tombstone t = {
        .node = (char *)"n1", .nodeid = 4, .when = {1700000000}, .by = (char *)"n2", .left = true};
    g_autofree char *text = tombstone_format(&t);
    g_auto(Tombstone) back = {0};
    g_autofree char *told = NULL;

    g_assert_cmpint(tombstone_parse(text, strlen(text), &back, NULL), ==, 0);
    g_assert_cmpstr(back.node, ==, "n1");
    g_assert_cmpstr(back.by, ==, "n2");
    g_assert_cmpuint(back.nodeid, ==, 4);
    g_assert_cmpint(back.when.sec, ==, 1700000000);
    g_assert_true(back.left);
    told = tombstone_text(&back, "c");
    g_assert_true(g_str_has_prefix(told, "node 'n1' left cluster 'c' on 2023-11-14 22:13 UTC"));
}

static void damaged_tombstones_are_refused(void)
{
    static const char good[] = "version: 1\nnode: n1\nnodeid: 4\nwhen: 17\nby: n2\nhow: removed\n";
    static const char *const bad[] = {
        "",
        "version: 2\nnode: n1\nnodeid: 4\nwhen: 17\nby: n2\nhow: left\n",
        "version: 1\nnode: ../x\nnodeid: 4\nwhen: 17\nby: n2\nhow: left\n",
        "version: 1\nnode: n1\nnodeid: 0\nwhen: 17\nby: n2\nhow: left\n",
        "version: 1\nnode: n1\nnodeid: 4\nwhen: -1\nby: n2\nhow: left\n",
        "version: 1\nnode: n1\nnodeid: 4\nwhen: 17\nby: n2\nhow: died\n",
        "version: 1\nnode: n1\nnode: n3\nnodeid: 4\nby: n2\n",
        "version: 1\nnonsense\nnode: n1\nnodeid: 4\nby: n2\n"};
    g_auto(Tombstone) t = {0};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(tombstone_parse(bad[i], strlen(bad[i]), &t, NULL), ==, -EBADMSG);
    }
    /* Cut anywhere before its last needed line it is damaged, never half a truth. */
    for (size_t n = 0; n < strlen("version: 1\nnode: n1\nnodeid: 4\nwhen: 17\nby: "); n++) {
        g_assert_cmpint(tombstone_parse(good, n, &t, NULL), ==, -EBADMSG);
    }
    g_assert_null(t.node);
}

static void member_requests_round_trip(void)
{
    for (int step = 0; step < MEMBER_STEP_N; step++) {
        MemberRequest q = {.step = (MemberStep)step,
                           .node = (char *)"n1",
                           .nodeid = 7,
                           .keep_guests = step == 2,
                           .config = step == 0 ? 88 : UINT64_MAX};
        g_auto(MemberRequest) back = {0};
        g_autofree char *text = NULL;

        memset(q.proof, 0xa5, sizeof q.proof);
        text = member_request_format(&q);
        g_assert_cmpint(member_request_parse(text, strlen(text), &back, NULL), ==, 0);
        g_assert_cmpint(back.step, ==, step);
        g_assert_cmpstr(back.node, ==, "n1");
        g_assert_cmpuint(back.nodeid, ==, 7);
        g_assert_cmpint(back.keep_guests, ==, step == 2);
        g_assert_cmpuint(back.config, ==, q.config);
        g_assert_cmpmem(back.proof, sizeof back.proof, q.proof, sizeof q.proof);
        for (size_t n = 0; n < strlen(text); n++) {
            g_auto(MemberRequest) cut = {0};

            g_assert_cmpint(member_request_parse(text, n, &cut, NULL), ==, -EBADMSG);
        }
    }
}

/* A node that its own list does not name has no number. It may ask, no more. */
static void only_the_door_takes_no_number(void)
{
    for (int step = 0; step < MEMBER_STEP_N; step++) {
        MemberRequest q = {.step = (MemberStep)step, .node = (char *)"n1", .config = 18};
        g_auto(MemberRequest) back = {0};
        g_autofree char *text = member_request_format(&q);
        int want = step == MEMBER_STEP_DOOR ? 0 : -EBADMSG;

        g_assert_cmpint(member_request_parse(text, strlen(text), &back, NULL), ==, want);
        g_assert_cmpuint(back.nodeid, ==, 0);
    }
}

static void the_proof_is_for_one_key_channel_and_node(void)
{
    uint8_t exporter[JOINTOKEN_EXPORTER_SIZE] = {1}, other[JOINTOKEN_EXPORTER_SIZE] = {2};
    uint8_t a[JOINTOKEN_KEY_SIZE], b[JOINTOKEN_KEY_SIZE];

    member_proof("0123456789", 10, exporter, "n1", a);
    member_proof("0123456789", 10, exporter, "n1", b);
    g_assert_true(jointoken_same_proof(a, b));
    member_proof("0123456788", 10, exporter, "n1", b);
    g_assert_false(jointoken_same_proof(a, b));
    member_proof("0123456789", 10, other, "n1", b);
    g_assert_false(jointoken_same_proof(a, b));
    member_proof("0123456789", 10, exporter, "n2", b);
    g_assert_false(jointoken_same_proof(a, b));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/node-plans/all-well-is-done", all_well_is_done);
    g_test_add_func("/node-plans/every-failing-step-is-undone-or-finished",
                    every_failing_step_is_undone_or_finished);
    g_test_add_func("/node-plans/every-death-is-recovered-from", every_death_is_recovered_from);
    g_test_add_func("/node-plans/a-clear-refusal-leads-back", a_clear_refusal_leads_back);
    g_test_add_func("/node-plans/failing-undo-is-told", a_failing_undo_is_told_and_repeated);
    g_test_add_func("/node-plans/steps-have-names", steps_have_names);
    g_test_add_func("/kick/an-interrupted-one-is-gone-on-with",
                    an_interrupted_kick_is_gone_on_with);
    g_test_add_func("/kick/who-goes-on-is-the-only-one", who_goes_on_without_is_the_only_one);
    g_test_add_func("/depart/a-node-goes-when-the-rest-can-decide",
                    a_node_goes_when_the_rest_can_decide);
    g_test_add_func("/depart/quorum-keys-follow-the-list", quorum_keys_follow_the_list);
    g_test_add_func("/depart/a-node-is-renamed-in-the-list", a_node_is_renamed_in_the_list);
    g_test_add_func("/tombstone/round-trip", tombstones_round_trip);
    g_test_add_func("/tombstone/damaged-ones-are-refused", damaged_tombstones_are_refused);
    g_test_add_func("/member-request/round-trip", member_requests_round_trip);
    g_test_add_func("/member-request/only-the-door-takes-no-number", only_the_door_takes_no_number);
    g_test_add_func("/member-request/proof-is-for-one-key-channel-and-node",
                    the_proof_is_for_one_key_channel_and_node);
    return g_test_run();
}
