/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the pure parts of a migration: who may run a guest, which volumes move, the map of
 * storages, requests; and the ports with their queue. Method: machines are brought to a state by
 * events and asked what they would do. Whole runs with faults are in tests/sim/migsim.
 */
#include "migration/core/mig_caps.h"
#include "migration/core/mig_cpu.h"
#include "migration/core/mig_crowd.h"
#include "migration/core/mig_predict.h"
#include "migration/core/mig_request.h"
#include "migration/core/mig_source.h"
#include "migration/core/mig_target.h"
#include "migration/core/mig_volumes.h"
#include "migration/io/mig_job.h"
#include "migration/io/mig_ports.h"
#include "migration/io/mig_probe.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_target_ops.h"
#include "migration/io/mig_tls.h"
#include "migration/io/mig_tree.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nobody else is there, and no connection gets such a port by itself. */
#define LOOPBACK "127.93.0.7"

static const MonoTime start = {1000000};

/* ---- the source -------------------------------------------------------------------------------
 */

static MigStep source_event(MigSource *s, MigEventKind kind, MigOp op, int r, int64_t ms)
{
    MigEvent ev = {.kind = kind, .now = mono_add_ms(start, ms), .op = op, .r = r};
    MigStep out;

    mig_source_step(s, &ev, &out);
    return out;
}

static void source_until(MigSource *s, MigSrcState state)
{
    MigStep out = source_event(s, MIG_EV_START, MIG_OP_N, 0, 0);

    while (s->state != state) {
        g_assert_true(s->busy != MIG_OP_N);
        out = source_event(s, MIG_EV_DONE, s->busy, 0, 10);
    }
    g_assert_cmpuint(out.n, >, 0);
}

static void test_forward(void)
{
    MigSource s;

    mig_source_init(&s);
    s.online = s.copies = s.mirrors = true;
    source_until(&s, MIG_SRC_DONE);
    g_assert_cmpint(s.result, ==, MIG_RESULT_MOVED);
    g_assert_true(s.run_sent && s.moved);
}

static void test_dry_run(void)
{
    MigSource s;

    mig_source_init(&s);
    s.online = s.dry_run = true;
    source_until(&s, MIG_SRC_DONE);
    g_assert_false(s.locked || s.prepared);
}

static void test_silent_target_is_not_robbed(void)
{
    MigSource s;
    MigStep out;

    mig_source_init(&s);
    s.online = true;
    source_until(&s, MIG_SRC_HANDOVER);
    (void)source_event(&s, MIG_EV_LOST, MIG_OP_N, 0, 20);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_RENAME, 0, 21);
    g_assert_cmpint(s.state, ==, MIG_SRC_STUCK);
    g_assert_false(s.run_sent);
    /* Before the lease is over it only asks. */
    (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 2000);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_PLACE, 1, 2001);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONNECT, -EHOSTUNREACH, 2002);
    g_assert_cmpint(s.busy, ==, MIG_OP_N);
    /* After it the claim comes first. */
    (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, MIG_LEASE_MS + 3000);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_PLACE, 1, MIG_LEASE_MS + 3001);
    out = source_event(&s, MIG_EV_DONE, MIG_OP_CONNECT, -EHOSTUNREACH, MIG_LEASE_MS + 3002);
    g_assert_cmpint(s.busy, ==, MIG_OP_CLAIM);
    g_assert_cmpuint(out.n, ==, 1);
    out = source_event(&s, MIG_EV_DONE, MIG_OP_CLAIM, -EEXIST, MIG_LEASE_MS + 3003);
    g_assert_cmpint(out.ops[0], ==, MIG_OP_PLACE); /* and neither `back` nor `cont` */
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_PLACE, 1, MIG_LEASE_MS + 3004);
    g_assert_cmpint(s.state, ==, MIG_SRC_STUCK);
}

static void test_order_is_final(void)
{
    MigSource s;

    mig_source_init(&s);
    s.online = true;
    source_until(&s, MIG_SRC_RUN);
    (void)source_event(&s, MIG_EV_LOST, MIG_OP_N, 0, 20);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_RUN, -EPIPE, 21);
    for (int64_t ms = 2000; ms < 600000; ms += 2000) {
        (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, ms);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_PLACE, 1, ms + 1);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONNECT, -EHOSTUNREACH, ms + 2);
        g_assert_cmpint(s.state, ==, MIG_SRC_STUCK);
        g_assert_true(s.busy == MIG_OP_N);
    }
    g_assert_true(s.reported);
    g_assert_cmpint(s.result, ==, MIG_RESULT_PROBLEMS);
    /* Somebody gives it back: the guest goes on here. */
    (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 700000);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_PLACE, 0, 700001);
    g_assert_cmpint(s.busy, ==, MIG_OP_CONT);
}

static void test_policies(void)
{
    for (int policy = 0; policy < MIG_POLICY_N; policy++) {
        MigSource s;
        MigStep out;

        mig_source_init(&s);
        s.online = true;
        s.policy = (MigPolicy)policy;
        s.timeout_ms = 1000;
        source_until(&s, MIG_SRC_MOVE);
        out = source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 5000);
        g_assert_cmpuint(out.n, ==, 1);
        g_assert_cmpint(out.ops[0], ==,
                        policy == MIG_POLICY_ABORT      ? MIG_OP_INTERRUPT
                        : policy == MIG_POLICY_THROTTLE ? MIG_OP_THROTTLE
                                                        : MIG_OP_POSTCOPY);
        if (policy == MIG_POLICY_THROTTLE) {
            out = source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 10000);
            g_assert_cmpint(out.ops[0], ==, MIG_OP_INTERRUPT);
            g_assert_cmpint(s.code, ==, -ETIME);
        }
    }
}

/* The guest stands still, and nothing more is heard: it goes on here, within what was promised and
 * a few seconds. */
static void test_switch_has_an_end(void)
{
    MigSource s;
    MigStep out;

    mig_source_init(&s);
    s.online = s.mirrors = true;
    source_until(&s, MIG_SRC_SWITCH);
    out = source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, MIG_SWITCH_MS);
    g_assert_cmpuint(out.n, ==, 0);
    out = source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 10 + MIG_DOWNTIME_MS + MIG_SWITCH_MS);
    g_assert_cmpint(out.ops[0], ==, MIG_OP_INTERRUPT);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_SWITCH, -EINTR, 6000);
    g_assert_cmpint(s.busy, ==, MIG_OP_CANCEL);
    /* The target had it all the moment before: it is ended first, then the guest goes on. */
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_CANCEL, 1, 6001);
    g_assert_cmpint(s.busy, ==, MIG_OP_ABORT);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_ABORT, 0, 6002);
    g_assert_cmpint(s.busy, ==, MIG_OP_CONT);
    g_assert_cmpint(s.code, ==, -ETIMEDOUT);
}

/* The target cannot run it, and gives it up; nor can this side, until its storage is back. */
static void test_goes_on_when_it_can(void)
{
    for (int ends = 0; ends < 2; ends++) {
        MigSource s;
        MigStep out;

        mig_source_init(&s);
        s.online = true;
        source_until(&s, MIG_SRC_RUN);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_RUN, -EIO, 20);
        g_assert_cmpint(s.busy, ==, MIG_OP_ABORT); /* not before the target's QEMU has ended */
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_ABORT, 0, 21);
        g_assert_cmpint(s.busy, ==, MIG_OP_BACK);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_BACK, 0, 22);
        for (int64_t ms = 100; ms < 600000; ms += 2000) {
            g_assert_cmpint(s.busy, ==, MIG_OP_CONT);
            (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONT, -EIO, ms);
            g_assert_cmpint(s.state, ==, MIG_SRC_RESUME);
            g_assert_cmpint(s.busy, ==, MIG_OP_N);
            g_assert_true(s.reported);
            (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, ms + MIG_RETRY_MS);
        }
        out = source_event(&s, MIG_EV_DONE, MIG_OP_CONT, ends == 0 ? 0 : -ESRCH, 600001);
        g_assert_cmpint(s.busy, ==, MIG_OP_UNLOCK);
        g_assert_cmpuint(out.n, ==, 1);
        g_assert_cmpint(s.result, ==, MIG_RESULT_FAILED);
    }
}

/* The stream was cancelled after QEMU had given the disks up, and it cannot have them back now. */
static void test_stands_still(void)
{
    MigSource s;

    mig_source_init(&s);
    s.online = true;
    source_until(&s, MIG_SRC_SWITCH);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_SWITCH, -EIO, 20);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_CANCEL, MIG_CANCELED_STANDS, 21);
    g_assert_cmpint(s.busy, ==, MIG_OP_ABORT);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_ABORT, 0, 22);
    g_assert_cmpint(s.busy, ==, MIG_OP_CONT);
    (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONT, 0, 23);
    g_assert_cmpint(s.busy, ==, MIG_OP_UNLOCK);
}

/* A target that says it has all pages ends post-copy, however the stream looks from here. */
static void test_postcopy_recovery(void)
{
    static const struct {
        int answer;
        MigSrcState state;
        MigOp busy;
    } cases[] = {
        {0, MIG_SRC_RUN, MIG_OP_REST},
        {-EALREADY, MIG_SRC_CLEAN, MIG_OP_CLEAN},
        {-ETIMEDOUT, MIG_SRC_RUN, MIG_OP_N}, /* again in a moment */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigSource s;

        mig_source_init(&s);
        s.online = true;
        s.policy = MIG_POLICY_POSTCOPY;
        s.timeout_ms = 1000;
        source_until(&s, MIG_SRC_MOVE);
        (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 5000);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_MIGRATE, 0, 5001);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_RENAME, 0, 5002);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONTINUE, 0, 5003);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_RUN, 0, 5004);
        g_assert_cmpint(s.busy, ==, MIG_OP_REST);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_REST, -EAGAIN, 6000);
        (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 8000);
        g_assert_cmpint(s.busy, ==, MIG_OP_RECOVER);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_RECOVER, cases[i].answer, 8001);
        g_assert_cmpint(s.state, ==, cases[i].state);
        g_assert_cmpint(s.busy, ==, cases[i].busy);
    }
}

/* The answer to the goodbye was lost with the link: a target that has forgotten the move says so,
 * one that does not answer is asked for a while. */
static void test_goodbye(void)
{
    static const struct {
        int answer;
        MigSrcState state;
    } cases[] = {
        {0, MIG_SRC_DONE},
        {-EPROTO, MIG_SRC_DONE},
        {-EPIPE, MIG_SRC_FINISH},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigSource s;

        mig_source_init(&s);
        s.online = true;
        source_until(&s, MIG_SRC_FINISH);
        (void)source_event(&s, MIG_EV_LOST, MIG_OP_N, 0, 20);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_FINISH, -EPIPE, 21);
        (void)source_event(&s, MIG_EV_TICK, MIG_OP_N, 0, 2000);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_CONNECT, MIG_PEER_RUNS, 2001);
        g_assert_cmpint(s.busy, ==, MIG_OP_FINISH);
        (void)source_event(&s, MIG_EV_DONE, MIG_OP_FINISH, cases[i].answer, 2002);
        g_assert_cmpint(s.state, ==, cases[i].state);
        g_assert_cmpint(s.result, ==, MIG_RESULT_MOVED);
    }
}

static JsonTree *capabilities(const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", -1);
    JsonTree *list = jsontree_new_array();

    for (int i = 0; words[i] != NULL; i++) {
        jsontree_add(list, jsontree_new_text(words[i]));
    }
    return list;
}

/* Two QEMUs of different versions: the common set, or a word on what is missing where. */
static void test_capabilities(void)
{
    static const char all[] = "xbzrle auto-converge events postcopy-ram return-path "
                              "pause-before-switchover multifd late-block-activate";
    static const struct {
        const char *source, *target;
        bool multifd, postcopy;
        const char *refusal; /* NULL: they agree */
    } cases[] = {
        {all, all, true, true, NULL},
        {all, "events return-path", false, false, NULL},
        {"events return-path pause-before-switchover", all, false, false, NULL},
        {"events return-path pause-before-switchover multifd", all, true, false, NULL},
        {all, "events return-path postcopy-ram", false, true, NULL},
        {all, "events multifd", false, false, "'there' lacks 'return-path'"},
        {"events return-path multifd", all, false, false, "'here' lacks 'pause-before-switchover'"},
        {"return-path pause-before-switchover", all, false, false, "'here' lacks 'events'"},
        {all, "return-path", false, false, "'there' lacks 'events'"},
        {all, "", false, false, "'there' lacks 'return-path'"},
        {"", all, false, false, "'here' lacks 'return-path'"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonTree) source = capabilities(cases[i].source);
        g_autoptr(JsonTree) target = capabilities(cases[i].target);
        MigCaps both = {true, true}, none = {false, false};
        Err err = ERR_INIT;
        int r = mig_caps_agree(source, "here", target, "there", &both, &err);

        g_assert_cmpint(r, ==, cases[i].refusal != NULL ? -ENOTSUP : 0);
        if (r < 0) {
            g_assert_nonnull(strstr(err_text(&err), cases[i].refusal));
            continue;
        }
        g_assert_true(both.multifd == cases[i].multifd && both.postcopy == cases[i].postcopy);
        g_assert_cmpint(mig_caps_agree(source, "here", target, "there", &none, &err), ==, 0);
        g_assert_false(none.multifd || none.postcopy); /* nobody wished for it */
    }
}

static void test_full_advice(void)
{
    g_autofree char *full = mig_volumes_full_advice("write: No space left on device", "b", "tank");
    g_autofree char *other = mig_volumes_full_advice("write: Input/output error", "b", "tank");
    g_autofree char *none = mig_volumes_full_advice(NULL, "b", "tank");

    g_assert_nonnull(strstr(full, "storage 'tank' of node 'b' is full"));
    g_assert_nonnull(strstr(full, "--targetstorage"));
    g_assert_cmpstr(other, ==, "");
    g_assert_cmpstr(none, ==, "");
}

/* ---- the tree --------------------------------------------------------------------------------
 */

static void write_conf(const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, text, -1, &error));
}

/* A node without quorum sees what was, not what the source has just given it. */
static void test_unlock_needs_quorum(void)
{
    g_autofree char *dir = g_dir_make_tmp("mig-tree-XXXXXX", NULL);
    g_autofree char *own = g_build_filename(dir, "nodes", "b", "qemu-server", NULL);
    g_autofree char *conf = g_build_filename(own, "100.conf", NULL);
    g_autofree char *priv = g_build_filename(dir, "priv", NULL);
    g_autofree char *claims = g_build_filename(priv, "migration", NULL);
    g_autofree char *text = NULL;
    MigTree t = {dir, "b", dir};
    Err err = ERR_INIT;

    g_assert_cmpint(g_mkdir_with_parents(own, 0755), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(priv, 0755), ==, 0);
    /* A file where the directory of claims belongs: nothing can be made there. */
    write_conf(claims, "");
    g_assert_cmpint(mig_tree_settle(&t, 100, NULL, true, &err), <, 0);
    err_clear(&err);
    g_assert_cmpint(mig_tree_settle(&t, 100, NULL, false, &err), ==, 0);
    g_assert_cmpint(g_remove(claims), ==, 0);
    /* Now it can write, and so it sees all: the guest is not here. */
    g_assert_cmpint(mig_tree_settle(&t, 100, NULL, true, &err), ==, 0);
    write_conf(conf, "lock: migrate\nmemory: 64\n");
    g_assert_cmpint(mig_tree_settle(&t, 100, NULL, true, &err), ==, 0);
    g_assert_true(g_file_get_contents(conf, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "memory: 64\n");
    test_remove_tree(dir);
}

/* Whether a note that a guest was given up is still wanted: not the clock alone decides. */
static void test_moves(void)
{
    g_autofree char *dir = g_dir_make_tmp("mig-tree-XXXXXX", NULL);
    g_autofree char *other = g_build_filename(dir, "nodes", "a", "qemu-server", NULL);
    g_autofree char *conf = g_build_filename(other, "100.conf", NULL);
    g_autofree char *members = g_build_filename(dir, ".members", NULL);
    MigTree t = {dir, "b", dir};

    g_assert_true(mig_tree_moves(&t, 100)); /* not mounted: who knows */
    g_assert_cmpint(g_mkdir_with_parents(other, 0755), ==, 0);
    write_conf(members, "{\"nodename\": \"b\", \"cluster\": {\"quorate\": 1}}");
    g_assert_false(mig_tree_moves(&t, 100));
    write_conf(conf, "lock: migrate\nmemory: 64\n");
    g_assert_true(mig_tree_moves(&t, 100));
    g_assert_false(mig_tree_moves(&t, 101));
    write_conf(conf, "lock: backup\nmemory: 64\n");
    g_assert_false(mig_tree_moves(&t, 100));
    write_conf(members, "{\"nodename\": \"b\", \"cluster\": {\"quorate\": 0}}");
    g_assert_true(mig_tree_moves(&t, 100));
    test_remove_tree(dir);
}

/* ---- the target -------------------------------------------------------------------------------
 */

static MigTgtStep target_event(MigTarget *t, MigTevKind kind, MigTop op, int r, int64_t ms)
{
    MigTgtEvent ev = {.kind = kind, .now = mono_add_ms(start, ms), .op = op, .r = r};
    MigTgtStep out;

    mig_target_step(t, &ev, &out);
    return out;
}

static void target_loaded(MigTarget *t)
{
    static const MigTevKind asks[] = {MIG_TEV_CHECK, MIG_TEV_PREPARE, MIG_TEV_START};

    mig_target_init(t);
    t->online = true;
    for (guint i = 0; i < G_N_ELEMENTS(asks); i++) {
        (void)target_event(t, asks[i], MIG_TOP_N, 0, 1);
        (void)target_event(t, MIG_TEV_DONE, t->busy, 0, 2);
    }
    (void)target_event(t, MIG_TEV_LOADED, MIG_TOP_N, 0, 3);
    g_assert_cmpint(t->state, ==, MIG_TGT_LOADED);
}

static void test_alone_needs_the_claim(void)
{
    static const int answers[] = {0, -EEXIST, -EACCES};

    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        MigTarget t;
        MigTgtStep out;

        target_loaded(&t);
        (void)target_event(&t, MIG_TEV_LOST, MIG_TOP_N, 0, 10);
        g_assert_cmpint(t.busy, ==, MIG_TOP_PLACE);
        (void)target_event(&t, MIG_TEV_DONE, MIG_TOP_PLACE, 1, 11);
        g_assert_cmpint(t.busy, ==, MIG_TOP_CLAIM);
        out = target_event(&t, MIG_TEV_DONE, MIG_TOP_CLAIM, answers[i], 12);
        if (answers[i] == 0) {
            g_assert_cmpint(out.ops[0], ==, MIG_TOP_RUN);
        } else if (answers[i] == -EEXIST) {
            g_assert_cmpint(out.ops[0], ==, MIG_TOP_KILL);
        } else {
            g_assert_cmpint(t.state, ==, MIG_TGT_ALONE);
            g_assert_cmpuint(out.n, ==, 0);
        }
    }
}

static void test_alone_gives_up(void)
{
    static const int answers[] = {0, -EAGAIN}; /* not here; no quorum */

    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        MigTarget t;

        target_loaded(&t);
        (void)target_event(&t, MIG_TEV_LOST, MIG_TOP_N, 0, 10);
        (void)target_event(&t, MIG_TEV_DONE, MIG_TOP_PLACE, answers[i], 11);
        g_assert_cmpint(t.state, ==, MIG_TGT_ALONE);
        (void)target_event(&t, MIG_TEV_TICK, MIG_TOP_N, 0, MIG_HOLD_MS + 20);
        (void)target_event(&t, MIG_TEV_DONE, MIG_TOP_PLACE, answers[i], MIG_HOLD_MS + 21);
        g_assert_cmpint(t.busy, ==, MIG_TOP_KILL);
    }
}

static void test_abort_does_not_stop_a_running_guest(void)
{
    MigTarget t;
    MigTgtStep out;

    target_loaded(&t);
    (void)target_event(&t, MIG_TEV_RUN, MIG_TOP_N, 0, 10);
    (void)target_event(&t, MIG_TEV_DONE, MIG_TOP_RUN, 0, 11);
    g_assert_cmpint(t.state, ==, MIG_TGT_RUNNING);
    out = target_event(&t, MIG_TEV_ABORT, MIG_TOP_N, 0, 12);
    g_assert_cmpuint(out.n, ==, 1);
    g_assert_cmpint(out.ops[0], ==, MIG_TOP_SAY_ERROR);
    g_assert_cmpint(t.code, ==, -EBUSY);
}

/* While it is unlocked, over a new connection: one answer, when that is done. */
static void test_goodbye_again(void)
{
    MigTarget t;
    MigTgtStep out;

    target_loaded(&t);
    (void)target_event(&t, MIG_TEV_RUN, MIG_TOP_N, 0, 10);
    (void)target_event(&t, MIG_TEV_DONE, MIG_TOP_RUN, 0, 11);
    (void)target_event(&t, MIG_TEV_FINISH, MIG_TOP_N, 0, 12);
    (void)target_event(&t, MIG_TEV_LOST, MIG_TOP_N, 0, 13);
    (void)target_event(&t, MIG_TEV_LINKED, MIG_TOP_N, 0, 14);
    out = target_event(&t, MIG_TEV_FINISH, MIG_TOP_N, 0, 15);
    g_assert_cmpuint(out.n, ==, 0);
    out = target_event(&t, MIG_TEV_DONE, MIG_TOP_UNLOCK, 0, 16);
    g_assert_cmpint(out.ops[0], ==, MIG_TOP_SAY_FINISHED);
    g_assert_cmpint(t.state, ==, MIG_TGT_DONE);
}

/* Ordered, but the guard of HA's guests is gone: it does not run, and the source hears of it. */
static void test_refused_to_run(void)
{
    MigTarget t;
    MigTgtStep out;

    target_loaded(&t);
    (void)target_event(&t, MIG_TEV_RUN, MIG_TOP_N, 0, 10);
    out = target_event(&t, MIG_TEV_DONE, MIG_TOP_RUN, -EPERM, 11);
    g_assert_cmpuint(out.n, ==, 2);
    g_assert_cmpint(out.ops[0], ==, MIG_TOP_SAY_ERROR);
    g_assert_cmpint(out.ops[1], ==, MIG_TOP_KILL);
}

static void put(const char *dir, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_guard(void)
{
    g_autofree char *dir = g_dir_make_tmp("mig-guard-XXXXXX", NULL);
    g_autofree char *ha = g_build_filename(dir, "ha", NULL);
    g_autofree char *resources = g_build_filename(ha, "resources.cfg", NULL);
    g_autofree char *guard = g_build_filename(dir, "ha-lrm.guarded", NULL);
    MigSetup setup = {.tree = {.pve = dir}, .own_run = dir};
    MigJob j = {.setup = &setup, .vmid = 100};
    Err err = ERR_INIT;

    g_assert_cmpint(mig_target_guarded(&j, &err), ==, 0); /* no HA at all */
    g_assert_cmpint(g_mkdir(ha, 0700), ==, 0);
    put(ha, "resources.cfg", "vm: 1000\n\tstate started\n");
    g_assert_cmpint(mig_target_guarded(&j, &err), ==, 0);
    put(ha, "resources.cfg", "vm: 100\n\tmax_restart 2\n\tstate ignored\n\nvm: 101\n");
    g_assert_cmpint(mig_target_guarded(&j, &err), ==, 0);
    put(ha, "resources.cfg", "vm: 1000\n\tstate ignored\n\nvm: 100\n\tstate started\n");
    g_assert_cmpint(mig_target_guarded(&j, &err), ==, -EPERM);
    put(dir, "ha-lrm.guarded", "");
    g_assert_cmpint(mig_target_guarded(&j, &err), ==, 0);
    g_assert_cmpint(g_unlink(guard), ==, 0);
    g_assert_cmpint(mig_target_guarded(&j, &err), ==, -EPERM);
    g_assert_cmpint(g_unlink(resources), ==, 0);
    g_assert_cmpint(g_rmdir(ha), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

/* Every event in every state: no assertion, and no step runs a guest out of turn. */
static void test_every_pair(void)
{
    for (int state = 0; state < MIG_TGT_N; state++) {
        for (int kind = 0; kind < MIG_TEV_N; kind++) {
            MigTarget t;
            MigTgtStep out;

            mig_target_init(&t);
            t.online = t.prepared = true;
            t.state = (MigTgtState)state;
            out = target_event(&t, (MigTevKind)kind, MIG_TOP_N, 0, 1);
            for (unsigned i = 0; i < out.n; i++) {
                g_assert_true(out.ops[i] != MIG_TOP_RUN || kind == MIG_TEV_RUN);
            }
        }
    }
    for (int state = 0; state < MIG_SRC_N; state++) {
        for (int kind = 0; kind < MIG_EV_N; kind++) {
            MigSource s;
            MigStep out;

            mig_source_init(&s);
            s.online = true;
            s.state = (MigSrcState)state;
            out = source_event(&s, (MigEventKind)kind, MIG_OP_N, 0, 1);
            for (unsigned i = 0; i < out.n; i++) {
                g_assert_true(out.ops[i] != MIG_OP_RUN && out.ops[i] != MIG_OP_CONT);
            }
        }
    }
}

/* ---- volumes and requests ---------------------------------------------------------------------
 */

static void test_map(void)
{
    static const char *const good[] = {"", "1", "a:b", "a:b,c:d,x", "a:b c:d", "x"};
    static const char *const bad[] = {"a:b,a:c", "x,y", "a:b:c", "1,x:", ":b", "a:"};
    Err err = ERR_INIT;
    g_autofree char *mapped = mig_map_storage("a:b,c:d,x", "c");
    g_autofree char *fallback = mig_map_storage("a:b,c:d,x", "other");
    g_autofree char *same = mig_map_storage("a:b", "other");

    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_cmpint(mig_map_check(good[i], &err), ==, 0);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(mig_map_check(bad[i], &err), ==, -EINVAL);
    }
    g_assert_cmpstr(mapped, ==, "d");
    g_assert_cmpstr(fallback, ==, "x");
    g_assert_cmpstr(same, ==, "other");
}

static const char storages[] = "lvm: thick\n\tvgname v\n\tcontent images\n\n"
                               "dir: disk\n\tpath /d\n\tcontent images\n\n"
                               "dir: other\n\tpath /o\n\tcontent images\n\n"
                               "dir: chain\n\tpath /c\n\tsnapshot-as-volume-chain 1\n\n"
                               "lvmthin: thin\n\tvgname vg\n\tthinpool tp\n\n"
                               "dir: tank\n\tpath /t\n\tcontent images\n\tshared 1\n";

static MigVolumes *plan_to(const char *text, bool online, bool local_disks, const char *map)
{
    g_autoptr(StorageCfg) cfg = NULL;
    g_autoptr(VmConf) conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(storagecfg_parse(storages, strlen(storages), &cfg, &err), ==, 0);
    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, &err), ==, 0);
    return mig_volumes_plan(conf, cfg,
                            &(MigVolumesHow){.vmid = 100,
                                             .online = online,
                                             .local_disks = local_disks,
                                             .map = map,
                                             .target = "node2"});
}

static MigVolumes *plan(const char *text, bool online, bool local_disks)
{
    return plan_to(text, online, local_disks, "");
}

static void test_plan(void)
{
    g_autoptr(MigVolumes) v =
        plan("scsi0: disk:100/vm-100-disk-0.qcow2,size=8M\n"
             "scsi1: tank:100/vm-100-disk-1.raw,size=8M\n"
             "unused0: disk:100/vm-100-disk-2.raw\n"
             "ide2: none,media=cdrom\nnet0: virtio=02:00:00:00:00:01,bridge=vmbr0\n",
             true, true);
    const MigVolume *a;

    g_assert_cmpuint(v->problems->len, ==, 0);
    g_assert_cmpuint(v->list->len, ==, 2);
    a = mig_volumes_find(v, "disk:100/vm-100-disk-0.qcow2");
    g_assert_nonnull(a);
    g_assert_cmpint(a->how, ==, MIG_VOLUME_MIRROR);
    g_assert_cmpstr(a->format, ==, "qcow2");
    g_assert_cmpint(mig_volumes_find(v, "disk:100/vm-100-disk-2.raw")->how, ==, MIG_VOLUME_COPY);
    g_assert_cmpstr(g_ptr_array_index(v->bridges, 0), ==, "vmbr0");
}

/* Part of its data is in the base: what goes over the wire is all of it, as one disk. */
static void test_plan_clone(void)
{
    static const char volid[] = "disk:7/base-7-disk-0.qcow2/100/vm-100-disk-0.qcow2";
    g_autofree char *text = g_strdup_printf("scsi0: %s,size=8M\n", volid);

    for (int online = 0; online < 2; online++) {
        g_autoptr(MigVolumes) v = plan(text, online != 0, true);
        const MigVolume *m = mig_volumes_find(v, volid);

        g_assert_cmpuint(v->problems->len, ==, 0);
        g_assert_nonnull(m);
        g_assert_cmpstr(m->format, ==, online != 0 ? "qcow2" : "raw");
    }
}

static void refused(const char *text, bool online, bool local_disks, const char *part)
{
    g_autoptr(MigVolumes) v = plan(text, online, local_disks);
    bool found = false;

    for (guint i = 0; i < v->problems->len; i++) {
        found = found || strstr(g_ptr_array_index(v->problems, i), part) != NULL;
    }
    g_assert_true(found);
}

/* A template keeps the names of its images; a clone of it is none. */
static void test_plan_template(void)
{
    g_autoptr(MigVolumes) v =
        plan("template: 1\nscsi0: disk:100/base-100-disk-0.raw\n", false, false);
    g_autoptr(MigVolumes) clone =
        plan("scsi0: disk:101/base-101-disk-0.qcow2/100/vm-100-disk-0.qcow2\n", false, false);
    const MigVolume *m;

    g_assert_cmpuint(v->problems->len, ==, 0);
    g_assert_cmpuint(v->list->len, ==, 1);
    m = g_ptr_array_index(v->list, 0);
    g_assert_true(m->base);
    g_assert_cmpuint(clone->problems->len, ==, 0);
    m = g_ptr_array_index(clone->list, 0);
    g_assert_false(m->base);
}

static void test_plan_refuses(void)
{
    const char *disk = "scsi0: disk:100/vm-100-disk-0.raw,size=8M\n";

    refused(disk, true, false, "--with-local-disks");
    refused("scsi0: disk:100/vm-100-disk-0.raw\n[snap]\nscsi0: disk:100/vm-100-disk-0.raw\n", true,
            true, "snapshots");
    refused("scsi0: disk:101/vm-101-disk-0.raw\n", false, false, "another guest");
    refused("scsi0: thick:100/base-100-disk-0.raw\n", false, false, "base image of a template");
    refused("scsi0: disk:101/base-101-disk-0.raw\n", false, false, "another guest");
    refused("ide2: cdrom,media=cdrom\n", true, true, "drive of this machine");
    refused("scsi0: /dev/sdb\n", false, false, "local device");
    refused("scsi0: /dev/sdb,shared=off\n", false, false, "local device");
    refused("scsi0: /dev/sdb,serial=unshared=1\n", false, false, "local device");
    for (unsigned i = 0; i < 2; i++) {
        const char *text = i == 0 ? "scsi0: /dev/sdb,shared=1\n" : "scsi0: /dev/sdb,shared=yes\n";
        g_autoptr(MigVolumes) v = plan(text, false, false);

        g_assert_cmpuint(v->problems->len, ==, 0);
    }
    refused("scsi0: nowhere:100/vm-100-disk-0.raw\n", false, false, "nowhere");
    refused("hostpci0: 0000:01:00.0\n", true, true, "device of this node");
    refused("serial0: /dev/ttyS0\n", true, true, "device of this node");
}

static const char with_snapshot[] = "scsi0: disk:100/vm-100-disk-0.qcow2,size=8M\n"
                                    "scsi1: disk:100/vm-100-disk-1.raw,size=8M\n"
                                    "[snap]\nscsi0: disk:100/vm-100-disk-0.qcow2,size=8M\n"
                                    "vmstate: disk:100/vm-100-state-snap.raw\n";

/* The snapshots inside a disk go before QEMU mirrors it; memory of a snapshot is a volume like any
 * other; a disk that no snapshot knows goes as it always did. */
static void test_plan_snapshots(void)
{
    g_autoptr(MigVolumes) v = plan_to(with_snapshot, true, true, "other");
    g_autoptr(JsonTree) list = mig_volumes_write(v);
    g_autoptr(JsonTree) none = jsontree_new_array();
    MigVolume *first;
    const MigVolume *m;
    Err err = ERR_INIT;

    g_assert_cmpuint(v->problems->len, ==, 0);
    g_assert_cmpuint(v->list->len, ==, 3);
    m = mig_volumes_find(v, "disk:100/vm-100-disk-0.qcow2");
    g_assert_true(m->how == MIG_VOLUME_MIRROR && m->snapshots && mig_volume_is_copied(m));
    g_assert_true(jsontree_get_bool(jsontree_at(list, 0), "snapshots", false));
    g_assert_cmpstr(jsontree_get_text(jsontree_at(list, 0), "how"), ==, "mirror");
    m = mig_volumes_find(v, "disk:100/vm-100-state-snap.raw");
    g_assert_true(m->how == MIG_VOLUME_COPY);
    m = mig_volumes_find(v, "disk:100/vm-100-disk-1.raw");
    g_assert_true(m->how == MIG_VOLUME_MIRROR && !m->snapshots && !mig_volume_is_copied(m));
    /* `prepare` makes only what no copy will. */
    g_assert_cmpint(mig_volumes_note_new(v, none, &err), ==, -EBADMSG);
    g_assert_nonnull(strstr(err_text(&err), "scsi1"));
    /* What the mirror writes comes on top of all that was in the file. */
    first = g_ptr_array_index(v->list, 0);
    first->used = 3 << 20;
    {
        g_autoptr(JsonTree) space = mig_volumes_space(v);

        g_assert_cmpint(jsontree_get_int(jsontree_at(space, 0), "size", 0), ==, (8 + 8 + 3) << 20);
        g_assert_cmpint(jsontree_get_int(jsontree_at(space, 0), "used", 0), ==, 3 << 20);
    }
}

/* Said before anything is changed: the target's storage has no place for snapshots. */
static void test_plan_snapshots_nowhere(void)
{
    static const char *const maps[] = {"thin", "chain"};
    static const char clone[] =
        "scsi0: disk:7/base-7-disk-0.qcow2/100/vm-100-disk-0.qcow2\n[snap]\n";

    for (int i = 0; i < 4; i++) {
        g_autoptr(MigVolumes) v = plan_to(with_snapshot, i / 2 != 0, true, maps[i % 2]);

        g_assert_cmpuint(v->problems->len, ==, 1);
        g_assert_nonnull(strstr(g_ptr_array_index(v->problems, 0), "cannot hold"));
    }
    refused(clone, true, true, "linked clone");
    refused(clone, false, false, "linked clone");
}

static void test_new_names(void)
{
    static const char text[] = "scsi0: disk:100/vm-100-disk-0.raw,size=8M\n"
                               "[snap]\nscsi0: disk:100/vm-100-disk-0.raw,size=8M\n";
    g_autoptr(MigVolumes) v = plan(text, false, false);
    g_autoptr(JsonTree) fresh = NULL;
    g_autoptr(JsonTree) pairs = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *out = NULL;
    Err err = ERR_INIT;
    const char *answer =
        "[{\"volid\":\"disk:100/vm-100-disk-0.raw\",\"new\":\"other:vm-100-disk-7\"}]";

    g_assert_cmpint(jsontree_parse(answer, strlen(answer), &fresh, &err), ==, 0);
    g_assert_cmpint(mig_volumes_note_new(v, fresh, &err), ==, 0);
    pairs = mig_volumes_pairs(v);
    g_assert_nonnull(pairs);
    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, &err), ==, 0);
    mig_volumes_rename(conf, pairs);
    out = vmconf_format(conf);
    g_assert_null(strstr(out, "disk:100"));
    g_assert_nonnull(strstr(out, "scsi0: other:vm-100-disk-7,size=8M\n"));
}

static void test_limits(void)
{
    static const char cfg_text[] = "dir: disk\n\tpath /d\n\tcontent images\n"
                                   "\tbwlimit migration=500,default=100\n\n"
                                   "dir: slow\n\tpath /s\n\tcontent images\n"
                                   "\tbwlimit default=200\n\n"
                                   "dir: free\n\tpath /f\n\tcontent images\n";
    static const struct {
        const char *map;
        int64_t limit;
    } cases[] = {{"", 500}, {"disk:slow", 200}, {"disk:free", 500}};
    const char *text = "scsi0: disk:100/vm-100-disk-0.raw,size=2G\n";
    g_autoptr(StorageCfg) cfg = NULL;
    g_autoptr(VmConf) conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(storagecfg_parse(cfg_text, strlen(cfg_text), &cfg, &err), ==, 0);
    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, &err), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigVolumesHow how = {.vmid = 100, .map = cases[i].map, .target = "node2"};
        g_autoptr(MigVolumes) v = mig_volumes_plan(conf, cfg, &how);
        g_autoptr(JsonTree) space = mig_volumes_space(v);
        const MigVolume *m = g_ptr_array_index(v->list, 0);

        g_assert_cmpint(m->limit_kib, ==, cases[i].limit);
        g_assert_cmpint(m->size, ==, INT64_C(2) << 30);
        g_assert_cmpuint(jsontree_count(space), ==, 1);
        g_assert_cmpstr(jsontree_get_text(jsontree_at(space, 0), "storage"), ==, m->to);
        g_assert_cmpint(jsontree_get_int(jsontree_at(space, 0), "size", 0), ==, m->size);
    }
}

static void test_mtus(void)
{
    static const char text[] = "net0: virtio=02:00:00:00:00:01,bridge=vmbr0,mtu=9000\n"
                               "net1: virtio=02:00:00:00:00:02,bridge=vmbr1\n"
                               "net2: virtio=02:00:00:00:00:03,mtu=1,bridge=vmbr2\n"
                               "netz: bridge=vmbr3,mtu=1500\n[snap]\n"
                               "net0: virtio=02:00:00:00:00:01,bridge=vmbr9,mtu=1500\n";
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(JsonTree) list = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, &err), ==, 0);
    list = mig_volumes_mtus(conf);
    g_assert_cmpuint(jsontree_count(list), ==, 2);
    g_assert_cmpstr(jsontree_get_text(jsontree_at(list, 0), "bridge"), ==, "vmbr0");
    g_assert_cmpint(jsontree_get_int(jsontree_at(list, 0), "mtu", 0), ==, 9000);
    g_assert_cmpstr(jsontree_get_text(jsontree_at(list, 1), "bridge"), ==, "vmbr2");
    g_assert_cmpint(jsontree_get_int(jsontree_at(list, 1), "mtu", 0), ==, 1);
}

static JsonTree *json(const char *text)
{
    JsonTree *t = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(jsontree_parse(text, strlen(text), &t, &err), ==, 0);
    return t;
}

static void test_cpu(void)
{
    g_autoptr(JsonTree) model =
        mig_cpu_model("qemu64,-apic,+aes,sse4.2=on,hv-time,vendor=X,svm=off");
    g_autoptr(JsonTree) mine =
        json("{\"aes\":true,\"avx2\":true,\"svm\":false,\"sse4.1\":true,\"sse4-1\":true,"
             "\"sse4_1\":true,\"migratable\":true,\"hv-time\":true,\"vme\":true,\"level\":13}");
    g_autoptr(JsonTree) max =
        json("{\"aes\":true,\"avx2\":true,\"svm\":true,\"sse4-1\":true,\"sse4.1\":true,"
             "\"migratable\":true,\"hv-time\":true,\"vme\":false,\"level\":13}");
    g_autoptr(JsonTree) theirs = json("{\"aes\":true,\"avx2\":false}");
    g_autoptr(JsonTree) needs = mig_cpu_needs(mine, max);
    g_autofree char *missing = mig_cpu_missing(needs, theirs);
    const JsonTree *props = jsontree_get(model, "props");

    g_assert_cmpstr(jsontree_get_text(model, "name"), ==, "qemu64");
    g_assert_cmpuint(jsontree_count(props), ==, 5);
    g_assert_false(jsontree_get_bool(props, "apic", true));
    g_assert_true(jsontree_get_bool(props, "aes", false));
    g_assert_true(jsontree_get_bool(props, "sse4.2", false));
    g_assert_false(jsontree_get_bool(props, "svm", true));
    g_assert_cmpuint(jsontree_count(needs), ==, 3); /* vme is none that the source could give */
    g_assert_cmpstr(missing, ==, "avx2, sse4-1");
    g_assert_null(mig_cpu_missing(needs, max));
}

static void test_predict(void)
{
    const int64_t mib = 1 << 20;
    MigPredictAsk idle = {1024 * mib, 0, 1024 * mib, 0, 300};
    MigPredictAsk busy = {1024 * mib, 0, 1024 * mib, 512 * mib, 300};
    MigPredictAsk hopeless = {1024 * mib, 0, 100 * mib, 400 * mib, 300};
    MigPredictAsk disks = {0, 4096 * mib, 1024 * mib, 0, 300};
    MigPredictAsk unknown = {1024 * mib, 0, 0, 0, 300};
    MigPrediction p = mig_predict(&idle);
    const int64_t fixed = 500 + MIG_SWITCH_COST_MS;

    g_assert_true(p.known && p.converges);
    g_assert_cmpuint(p.rounds, ==, 1);
    g_assert_cmpint(p.total_ms, ==, fixed + 1000);
    g_assert_cmpint(p.downtime_ms, ==, MIG_DOWNTIME_FIRST_MS + MIG_SWITCH_COST_MS);
    p = mig_predict(&busy); /* 1024, 512, 256 MiB; the 128 after them fit into 240 ms */
    g_assert_true(p.converges);
    g_assert_cmpuint(p.rounds, ==, 3);
    g_assert_cmpint(p.downtime_ms, ==, 125 + MIG_SWITCH_COST_MS);
    g_assert_cmpint(p.total_ms, ==, fixed + 1000 + 500 + 250 + 125);
    p = mig_predict(&hopeless);
    g_assert_true(p.known && !p.converges);
    g_assert_cmpint(mig_predict(&disks).total_ms, ==, fixed + 4000);
    g_assert_false(mig_predict(&unknown).known);
    g_assert_true(mig_compression_pays(125000000, 0));
    g_assert_false(mig_compression_pays(125000000, 1000));
    g_assert_false(mig_compression_pays(1250000000, 0));
    g_assert_false(mig_compression_pays(0, 0));
    g_assert_cmpuint(mig_tls_channels(0, 64), ==, 2);
    g_assert_cmpuint(mig_tls_channels(125000000, 64), ==, 2);
    g_assert_cmpuint(mig_tls_channels(1250000000, 64), ==, 5);
    g_assert_cmpuint(mig_tls_channels(1250000000, 8), ==, 4);
    g_assert_cmpuint(mig_tls_channels(1250000000, 2), ==, 2);
    g_assert_cmpuint(mig_tls_channels(12500000000, 64), ==, 8);
}

/* Little at first, never more than the promise without what QEMU does not count. */
static void test_downtime_limit(void)
{
    g_assert_cmpint(mig_downtime_limit(300, 1), ==, MIG_DOWNTIME_FIRST_MS);
    g_assert_cmpint(mig_downtime_limit(300, 2), ==, 2 * MIG_DOWNTIME_FIRST_MS);
    g_assert_cmpint(mig_downtime_limit(300, 3), ==, 4 * MIG_DOWNTIME_FIRST_MS);
    g_assert_cmpint(mig_downtime_limit(300, 4), ==, 300 - MIG_SWITCH_COST_MS);
    g_assert_cmpint(mig_downtime_limit(300, 4000000000U), ==, 300 - MIG_SWITCH_COST_MS);
    g_assert_cmpint(mig_downtime_limit(85, 1), ==, 85 - MIG_SWITCH_COST_MS);
    g_assert_cmpint(mig_downtime_limit(1, 7), ==, MIG_DOWNTIME_MIN_MS);
    g_assert_cmpint(mig_downtime_limit(MIG_DOWNTIME_MAX_MS, 99), ==,
                    MIG_DOWNTIME_MAX_MS - MIG_SWITCH_COST_MS);
}

/* The oldest of those who are most; of equals, of the one who came first. */
static void test_crowd(void)
{
    const char *const one[] = {"a"};
    const char *const flood[] = {"b", "a", "c", "a", "a", "c"};
    const char *const equal[] = {"b", "a", "a", "b"};

    g_assert_cmpuint(mig_crowd_leaves(one, G_N_ELEMENTS(one)), ==, 0);
    g_assert_cmpuint(mig_crowd_leaves(flood, G_N_ELEMENTS(flood)), ==, 1);
    g_assert_cmpuint(mig_crowd_leaves(equal, G_N_ELEMENTS(equal)), ==, 0);
}

static void test_request(void)
{
    g_autoptr(JsonTree) t = jsontree_new_object();
    g_autoptr(JsonTree) again = NULL;
    MigRequest q, second;
    Err err = ERR_INIT;

    g_assert_cmpint(mig_request_read(t, &q, &err), ==, -EINVAL);
    jsontree_set_int(t, "vmid", 100);
    g_assert_cmpint(mig_request_read(t, &q, &err), ==, -EINVAL);
    jsontree_set_text(t, "target", "node2");
    g_assert_cmpint(mig_request_read(t, &q, &err), ==, 0);
    g_assert_cmpint(q.downtime_ms, ==, MIG_DOWNTIME_MS);
    g_assert_false(q.insecure);
    again = mig_request_write(&q);
    g_assert_cmpint(mig_request_read(again, &second, &err), ==, 0);
    g_assert_cmpmem(&q, sizeof q, &second, sizeof second);
    jsontree_set_text(t, "on-timeout", "never");
    g_assert_cmpint(mig_request_read(t, &q, &err), ==, -EINVAL);
}

static JsonTree *plain_request(void)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_int(t, "vmid", 100);
    jsontree_set_text(t, "target", "node2");
    return t;
}

/* What was typed is judged, not left out. */
static void test_request_numbers(void)
{
    static const struct {
        const char *key;
        int64_t value;
        bool good;
    } cases[] = {
        {"bwlimit", -1, false},
        {"bwlimit", 0, true},
        {"downtime", 0, false},
        {"downtime", -5, false},
        {"downtime", 1, true},
        {"timeout", 0, false},
        {"timeout", 1, true},
        {"timeout", 604801, false},
        {"channels", -1, false},
        {"channels", 0, true},
        {"channels", MIG_CHANNELS_MAX + 1, false},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonTree) t = plain_request();
        MigRequest q;
        Err err = ERR_INIT;

        jsontree_set_int(t, cases[i].key, cases[i].value);
        g_assert_cmpint(mig_request_read(t, &q, &err), ==, cases[i].good ? 0 : -EINVAL);
        g_assert_true(cases[i].good || strstr(err_text(&err), cases[i].key) != NULL);
    }
}

static void test_request_network(void)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"10.0.0.0/24", true},  {"fd00::/64", true},  {"::/0", true},
        {"0.0.0.0/32", true},   {"bogus", false},     {"10.0.0.0", false},
        {"10.0.0.0/33", false}, {"10.0.0.0/", false}, {"10.0.0.0/-1", false},
        {"fd00::/129", false},  {"/24", false},       {"10.0.0.0/24/1", false},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonTree) t = plain_request();
        MigRequest q;
        Err err = ERR_INIT;

        jsontree_set_text(t, "migration_network", cases[i].text);
        g_assert_cmpint(mig_request_read(t, &q, &err), ==, cases[i].good ? 0 : -EINVAL);
    }
}

/* ---- ports ------------------------------------------------------------------------------------
 */

static void test_addresses(void)
{
    static const char *const none[] = {"", "node1", "1.2.3", "::1%lo", "[::1]", "1.2.3.4:5"};
    struct sockaddr_storage a = {0};
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a;

    g_assert_cmpint(mig_address_parse("127.0.0.1", 60001, &a), ==, sizeof *in);
    g_assert_cmpint(in->sin_family, ==, AF_INET);
    g_assert_cmpint(in->sin_port, ==, htons(60001));
    g_assert_cmpint(in->sin_addr.s_addr, ==, htonl(INADDR_LOOPBACK));
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        g_assert_cmpint(mig_address_parse(none[i], 1, &a), ==, -EINVAL);
        g_assert_cmpint(in->sin_port, ==, htons(60001));
    }
    g_assert_cmpint(mig_address_parse("::1", 60002, &a), ==, sizeof *in6);
    g_assert_cmpint(in6->sin6_family, ==, AF_INET6);
    g_assert_cmpint(in6->sin6_port, ==, htons(60002));
    g_assert_true(IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
}

static int buffer_of(int fd)
{
    int n = 0;
    socklen_t size = sizeof n;

    g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, &size), ==, 0);
    return n;
}

/* The connections to that port, and no others; this process plays QEMU. */
static void test_bounded_sockets(void)
{
    MigPorts *p = mig_ports_new(23390, 23390);
    MigPorts *q = mig_ports_new(23391, 23391);
    const unsigned ports[] = {23390, 23390, 23391};
    MigLease *lease = NULL, *other = NULL;
    unsigned place = 0;
    int fds[3];
    Err err = ERR_INIT;

    g_assert_cmpint(mig_socket_room(-1), ==, mig_socket_room(0));
    g_assert_cmpint(mig_socket_room(10000), ==, mig_socket_room(0) + 1250000);
    g_assert_cmpint(mig_socket_room(INT64_MAX), >, mig_socket_room(10000));
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, &p, &place, &lease, &err), ==, 0);
    g_assert_cmpint(mig_ports_take(q, LOOPBACK, &q, &place, &other, &err), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        const int small = 8192; /* less than any bound, however long the round trip is */

        fds[i] = mig_socket_connect(LOOPBACK, ports[i], 60000, &err);
        g_assert_cmpint(fds[i], >=, 0);
        g_assert_cmpint(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), ==, 0);
    }
    g_assert_cmpint(mig_socket_rtt_us(fds[0]), >=, 0);
    g_assert_cmpint(mig_socket_bound(getpid(), LOOPBACK, 23390, &err), ==, 2);
    g_assert_cmpint(buffer_of(fds[0]), >, buffer_of(fds[2]));
    g_assert_cmpint(buffer_of(fds[1]), >, buffer_of(fds[2]));
    g_assert_cmpint(mig_socket_bound(getpid(), LOOPBACK, 23389, &err), ==, 0);
    g_assert_cmpint(mig_socket_bound(getpid(), "nowhere", 1, &err), ==, -EINVAL);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_assert_cmpint(close(fds[i]), ==, 0);
    }
    mig_lease_free(lease);
    mig_lease_free(other);
    mig_ports_free(p);
    mig_ports_free(q);
}

static void test_ports(void)
{
    MigPorts *p = mig_ports_new(23311, 23312);
    MigLease *a = NULL, *b = NULL, *c = NULL;
    unsigned position = 0;
    Err err = ERR_INIT;

    g_assert_cmpint(mig_ports_take(p, LOOPBACK, &a, &position, &a, &err), ==, 0);
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, &b, &position, &b, &err), ==, 0);
    g_assert_cmpuint(a->port, !=, b->port);
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, "first", &position, &c, &err), ==, -EAGAIN);
    g_assert_cmpuint(position, ==, 1);
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, "second", &position, &c, &err), ==, -EAGAIN);
    g_assert_cmpuint(position, ==, 2);
    g_assert_cmpuint(mig_ports_use(p).waiting, ==, 2);
    mig_lease_free(a);
    /* Who waits longer comes first. */
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, "second", &position, &c, &err), ==, -EAGAIN);
    g_assert_cmpint(mig_ports_take(p, LOOPBACK, "first", &position, &c, &err), ==, 0);
    mig_ports_leave(p, "second");
    g_assert_cmpuint(mig_ports_use(p).waiting, ==, 0);
    g_assert_cmpuint(mig_ports_use(p).taken, ==, 2);
    mig_lease_free(b);
    mig_lease_free(c);
    g_assert_cmpuint(mig_ports_use(p).taken, ==, 0);
    mig_ports_free(p);
}

/* 51 and more at 50 ports, real sockets: each has a port or a place, and gets one in its turn. */
static void test_ports_crowd(void)
{
    enum { PORTS = 50, ASKS = 120 };
    MigPorts *p = mig_ports_new(23320, 23320 + PORTS - 1);
    MigLease *lease[ASKS] = {NULL};
    unsigned place[ASKS] = {0};
    unsigned next = PORTS, held = 0;
    Err err = ERR_INIT;

    for (guint i = 0; i < ASKS; i++) {
        int r = mig_ports_take(p, LOOPBACK, &lease[i], &place[i], &lease[i], &err);

        g_assert_cmpint(r, ==, i < PORTS ? 0 : -EAGAIN);
        g_assert_cmpuint(place[i], ==, i < PORTS ? 0 : i - PORTS + 1);
    }
    g_assert_cmpuint(mig_ports_use(p).waiting, ==, ASKS - PORTS);
    for (guint i = 0; i < ASKS; i++) {
        g_assert_nonnull(lease[i]); /* its turn came before it is looked at here */
        held++;
        mig_lease_free(lease[i]);
        /* All ask again, from the last to the first: only the one in front gets it. */
        for (guint k = ASKS; k-- > next;) {
            int r = mig_ports_take(p, LOOPBACK, &lease[k], &place[k], &lease[k], &err);

            g_assert_cmpint(r, ==, k == next ? 0 : -EAGAIN);
            g_assert_true(r == 0 || place[k] == k - next + 1);
        }
        next += next < ASKS;
    }
    g_assert_cmpuint(held, ==, ASKS);
    g_assert_cmpuint(mig_ports_use(p).taken, ==, 0);
    g_assert_cmpuint(mig_ports_use(p).waiting, ==, 0);
    mig_ports_free(p);
}

static void test_probe(void)
{
    MigPorts *p = mig_ports_new(23380, 23380);
    unsigned port = 0;
    int64_t speed = 0;
    Err err = ERR_INIT;

    g_assert_cmpint(mig_probe_listen(p, LOOPBACK, &port, &err), ==, 0);
    g_assert_cmpuint(port, ==, 23380);
    g_assert_cmpint(mig_probe_listen(p, LOOPBACK, &port, &err), ==, -EAGAIN);
    g_assert_cmpuint(mig_ports_use(p).waiting, ==, 0); /* a probe does not queue */
    g_assert_cmpint(mig_probe_connect(LOOPBACK, port, &speed, &err), ==, 0);
    g_assert_cmpint(speed, >, 0);
    for (int i = 0; mig_ports_use(p).taken > 0; i++) {
        g_assert_cmpint(i, <, 6000);
        g_usleep(10000);
    }
    g_assert_cmpint(mig_probe_connect(LOOPBACK, port, NULL, &err), ==, -ECONNREFUSED);
    mig_ports_free(p);
}

/* ---- what QEMU reads ---------------------------------------------------------------------------
 */

/* The group is there, of 2048 bits, root's own; made again over an earlier one. */
static void test_tls_dir(void)
{
    g_autofree char *tmp = g_dir_make_tmp("quorate-tls-XXXXXX", NULL);
    g_autofree char *dir = g_build_filename(tmp, "tls", NULL);
    g_autofree char *group = g_build_filename(dir, "dh-params.pem", NULL);
    static const char *const links[] = {"ca-cert.pem", "server-cert.pem", "server-key.pem",
                                        "client-cert.pem", "client-key.pem"};
    Err err;

    for (int pass = 0; pass < 2; pass++) {
        EVP_PKEY *params;
        struct stat st;
        BIO *file;

        g_assert_cmpint(mig_tls_qemu_dir("/etc/pve", "node1", dir, &err), ==, 0);
        g_assert_cmpint(g_stat(group, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
        file = BIO_new_file(group, "r");
        g_assert_nonnull(file);
        params = PEM_read_bio_Parameters(file, NULL);
        g_assert_nonnull(params);
        g_assert_cmpint(EVP_PKEY_get_bits(params), ==, 2048);
        EVP_PKEY_free(params);
        BIO_free(file);
    }
    g_assert_cmpint(g_unlink(group), ==, 0);
    g_assert_cmpint(g_mkdir(group, 0700), ==, 0); /* something stands in the way */
    g_assert_cmpint(mig_tls_qemu_dir("/etc/pve", "node1", dir, &err), ==, -EIO);
    g_assert_nonnull(strstr(err.text, "dh-params.pem"));
    g_assert_cmpint(g_rmdir(group), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *link = g_build_filename(dir, links[i], NULL);

        g_assert_cmpint(g_unlink(link), ==, 0);
    }
    g_assert_cmpint(g_rmdir(dir), ==, 0);
    g_assert_cmpint(g_rmdir(tmp), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration/source/forward", test_forward);
    g_test_add_func("/migration/source/dry-run-changes-nothing", test_dry_run);
    g_test_add_func("/migration/source/silent-target-is-not-robbed",
                    test_silent_target_is_not_robbed);
    g_test_add_func("/migration/source/an-order-is-final", test_order_is_final);
    g_test_add_func("/migration/source/policies-at-the-deadline", test_policies);
    g_test_add_func("/migration/source/the-switch-has-an-end", test_switch_has_an_end);
    g_test_add_func("/migration/source/goes-on-when-it-can", test_goes_on_when_it_can);
    g_test_add_func("/migration/source/stands-still", test_stands_still);
    g_test_add_func("/migration/source/post-copy-made-anew", test_postcopy_recovery);
    g_test_add_func("/migration/source/goodbye", test_goodbye);
    g_test_add_func("/migration/tree/unlock-needs-quorum", test_unlock_needs_quorum);
    g_test_add_func("/migration/tree/moves", test_moves);
    g_test_add_func("/migration/volumes/template", test_plan_template);
    g_test_add_func("/migration/target/goodbye-again", test_goodbye_again);
    g_test_add_func("/migration/target/refuses-to-run", test_refused_to_run);
    g_test_add_func("/migration/target/guard-of-ha-guests", test_guard);
    g_test_add_func("/migration/target/alone-needs-the-claim", test_alone_needs_the_claim);
    g_test_add_func("/migration/target/alone-gives-up", test_alone_gives_up);
    g_test_add_func("/migration/target/abort-does-not-stop-a-running-guest",
                    test_abort_does_not_stop_a_running_guest);
    g_test_add_func("/migration/every-event-in-every-state", test_every_pair);
    g_test_add_func("/migration/map-of-storages", test_map);
    g_test_add_func("/migration/volumes/plan", test_plan);
    g_test_add_func("/migration/volumes/linked-clone", test_plan_clone);
    g_test_add_func("/migration/volumes/what-cannot-move-is-named", test_plan_refuses);
    g_test_add_func("/migration/volumes/snapshots", test_plan_snapshots);
    g_test_add_func("/migration/volumes/snapshots-nowhere", test_plan_snapshots_nowhere);
    g_test_add_func("/migration/volumes/new-names-in-all-sections", test_new_names);
    g_test_add_func("/migration/volumes/limits-and-space", test_limits);
    g_test_add_func("/migration/volumes/mtus", test_mtus);
    g_test_add_func("/migration/capabilities", test_capabilities);
    g_test_add_func("/migration/volumes/full", test_full_advice);
    g_test_add_func("/migration/cpu-flags", test_cpu);
    g_test_add_func("/migration/prediction", test_predict);
    g_test_add_func("/migration/downtime-limit", test_downtime_limit);
    g_test_add_func("/migration/crowd", test_crowd);
    g_test_add_func("/migration/request", test_request);
    g_test_add_func("/migration/request/numbers", test_request_numbers);
    g_test_add_func("/migration/request/network", test_request_network);
    g_test_add_func("/migration/addresses", test_addresses);
    g_test_add_func("/migration/bounded-sockets", test_bounded_sockets);
    g_test_add_func("/migration/ports/crowd", test_ports_crowd);
    g_test_add_func("/migration/ports/probe", test_probe);
    g_test_add_func("/migration/ports/queue-in-order", test_ports);
    g_test_add_func("/migration/tls-directory", test_tls_dir);
    return g_test_run();
}
