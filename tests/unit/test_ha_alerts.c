/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what gets worse in the cluster is told once, by hooks and by mail, and neither a hook nor a
 * sendmail that fails or hangs keeps the daemon or another from its work. Method: hooks and a
 * sendmail that are scripts of the test, run as children as in the daemon.
 */
#include "ha-manager/io/ha_alerts.h"
#include "tests/lib/test_tree.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_S 90

typedef struct Rig {
    char *dir;
    char *hooks;
    char *mail;
    char *sendmail;
    HaAlertPaths paths;
    HaWorkers *workers;
    GString *told; /* by ha_alerts_look */
} Rig;

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->dir = g_dir_make_tmp("haalerts.XXXXXX", NULL);
    r->hooks = g_build_filename(r->dir, "hooks", NULL);
    r->mail = g_build_filename(r->dir, "addresses", NULL);
    r->sendmail = g_build_filename(r->dir, "sendmail", NULL);
    r->paths = (HaAlertPaths){r->hooks, r->mail, r->sendmail, DEADLINE_S * 1000};
    r->workers = ha_workers_new(NULL, NULL);
    r->told = g_string_new(NULL);
    g_assert_cmpint(g_mkdir(r->hooks, 0755), ==, 0);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpuint(ha_workers_count(r->workers), ==, 0);
    ha_workers_free(r->workers);
    test_remove_tree(r->dir);
    g_free(r->dir);
    g_free(r->hooks);
    g_free(r->mail);
    g_free(r->sendmail);
    (void)g_string_free(r->told, TRUE);
}

/* A script that works in the directory of the test. */
static void script(const Rig *r, const char *path, int mode, const char *body)
{
    g_autofree char *text = g_strdup_printf("#!/bin/sh\ncd %s\n%s\n", r->dir, body);

    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, mode, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
}

static void hook(const Rig *r, const char *name, int mode, const char *body)
{
    g_autofree char *path = g_build_filename(r->hooks, name, NULL);

    script(r, path, mode, body);
}

static void addresses(const Rig *r, const char *text)
{
    g_assert_true(g_file_set_contents(r->mail, text, -1, NULL));
}

static char *content(const Rig *r, const char *name)
{
    g_autofree char *path = g_build_filename(r->dir, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static void send(Rig *r, const char *kind, const char *text, const char *node, const char *sid)
{
    HaNotice notice = {kind, text, node, sid};

    ha_alerts_send(r->workers, &r->paths, &notice, "node1", "{\"status\":1}");
}

static void finish(Rig *r)
{
    gint64 until = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    while (ha_workers_count(r->workers) > 0) {
        g_autofree char *tag = NULL;
        int status;

        g_assert_cmpint(g_get_monotonic_time(), <, until);
        if (ha_workers_reap(r->workers, &tag, &status) == 0) {
            g_usleep(10000);
            continue;
        }
        g_assert_cmpstr(tag, ==, "alert");
        g_assert_cmpint(status, ==, 0);
    }
}

static bool need_root(void)
{
    if (getuid() != 0) {
        g_test_skip("hooks must belong to root");
        return false;
    }
    return true;
}

/* ---- hooks and mail ---------------------------------------------------------------------------
 */

static const char note[] = "echo \"$HA_ALERT_KIND|$HA_ALERT_TEXT|$HA_ALERT_NODE|$HA_ALERT_SID|"
                           "$HA_ALERT_MASTER\" >>said";

static void hook_hears_of_everything(Rig *r, gconstpointer data)
{
    static const char expected[] = "FENCE|Try to fence node 'node2'|node2||node1\n"
                                   "RECOVERY|service 'vm:1' was recovered|node3|vm:1|node1\n"
                                   "ERROR|service 'vm:2' needs help|node1|vm:2|node1\n"
                                   "REDUNDANCY|lost redundancy: $(too much)|||node1\n";
    g_autofree char *said = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    hook(r, "note", 0755, note);
    send(r, "FENCE", "Try to fence node 'node2'", "node2", NULL);
    finish(r);
    send(r, "RECOVERY", "service 'vm:1' was recovered", "node3", "vm:1");
    finish(r);
    send(r, "ERROR", "service 'vm:2' needs help", "node1", "vm:2");
    finish(r);
    send(r, "REDUNDANCY", "lost redundancy: $(too much)", NULL, NULL);
    finish(r);
    said = content(r, "said");
    g_assert_cmpstr(said, ==, expected);
}

static void hooks_run_by_name_and_only_proper_ones(Rig *r, gconstpointer data)
{
    g_autofree char *said = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    hook(r, "30-last", 0755, "echo last >>said");
    hook(r, "10-fails", 0755, "echo fails >>said; exit 3");
    hook(r, "20-next", 0700, "echo next >>said");
    hook(r, "05-no-program", 0644, "echo no-program >>said");
    hook(r, "06-of-everybody", 0777, "echo of-everybody >>said");
    send(r, "FENCE", "text", "node2", NULL);
    finish(r);
    said = content(r, "said");
    g_assert_cmpstr(said, ==, "fails\nnext\nlast\n");
}

static void mail_goes_to_all_addresses(Rig *r, gconstpointer data)
{
    g_autofree char *words = NULL;
    g_autofree char *mail = NULL;

    (void)data;
    addresses(r, "one@example.com\ntwo@example.com\n");
    script(r, r->sendmail, 0755, "echo \"$@\" >words; cat >message");
    send(r, "ERROR", "service 'vm:2' needs help", "node3", "vm:2");
    finish(r);
    words = content(r, "words");
    mail = content(r, "message");
    g_assert_cmpstr(words, ==, "-t -i\n");
    g_assert_true(g_str_has_prefix(mail, "To: one@example.com,two@example.com\n"
                                         "Subject: ERROR: service 'vm:2' needs help\n"));
    g_assert_nonnull(strstr(mail, "\nmaster: node1\n"));
    g_assert_nonnull(strstr(mail, "\nnode: node3\n"));
    g_assert_nonnull(strstr(mail, "{\"status\":1}"));
}

static void no_addresses_no_mail(Rig *r, gconstpointer data)
{
    g_autofree char *mail = NULL;

    (void)data;
    script(r, r->sendmail, 0755, "cat >message");
    send(r, "ERROR", "text", "node3", "vm:2");
    finish(r);
    mail = content(r, "message");
    g_assert_cmpstr(mail, ==, "");
}

static void nothing_configured_is_no_error(Rig *r, gconstpointer data)
{
    (void)data;
    addresses(r, "one@example.com\n"); /* but there is no sendmail, and no hook */
    send(r, "ERROR", "text", "node3", "vm:2");
    finish(r);
    g_assert_cmpint(g_rmdir(r->hooks), ==, 0);
    send(r, "ERROR", "text", "node3", "vm:2");
    finish(r);
    g_assert_cmpint(g_mkdir(r->hooks, 0755), ==, 0);
}

/* ---- nobody waits for them --------------------------------------------------------------------
 */

/* The hook ends only after the caller is back: were it waited for, this would never end. */
static void caller_does_not_wait(Rig *r, gconstpointer data)
{
    g_autofree char *go = g_build_filename(r->dir, "go", NULL);
    g_autofree char *said = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    hook(r, "wait", 0755, "while [ ! -e go ]; do sleep 0.05; done; echo went >>said");
    send(r, "FENCE", "one", "node2", NULL);
    send(r, "FENCE", "two", "node3", NULL); /* side by side */
    g_assert_true(ha_workers_busy(r->workers, "alert"));
    g_assert_cmpuint(ha_workers_count(r->workers), ==, 2);
    g_assert_true(g_file_set_contents(go, "", 0, NULL));
    finish(r);
    said = content(r, "said");
    g_assert_cmpstr(said, ==, "went\nwent\n");
}

static void hanging_hook_does_not_keep_the_others(Rig *r, gconstpointer data)
{
    g_autofree char *said = NULL;
    g_autofree char *mail = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    r->paths.patience_ms = 3000;
    hook(r, "10-hangs", 0755, "sleep 10000; echo never >>said");
    send(r, "FENCE", "text", "node2", NULL);
    finish(r); /* within the deadline of the test, not within that of the hook */
    r->paths.patience_ms = DEADLINE_S * 1000;
    hook(r, "10-hangs", 0755, "exit 1");
    hook(r, "20-next", 0755, "echo next >>said");
    addresses(r, "one@example.com\n");
    script(r, r->sendmail, 0755, "cat >message");
    send(r, "FENCE", "text", "node2", NULL);
    finish(r);
    said = content(r, "said");
    mail = content(r, "message");
    g_assert_cmpstr(said, ==, "next\n");
    g_assert_cmpstr(mail, !=, "");
}

static void hanging_sendmail_is_ended(Rig *r, gconstpointer data)
{
    (void)data;
    r->paths.patience_ms = 500;
    addresses(r, "one@example.com\n");
    script(r, r->sendmail, 0755, "trap '' TERM; sleep 10000");
    send(r, "FENCE", "text", "node2", NULL);
    finish(r);
}

static void failing_sendmail_is_no_failure_of_ours(Rig *r, gconstpointer data)
{
    (void)data;
    addresses(r, "one@example.com\n");
    script(r, r->sendmail, 0755, "exit 75");
    send(r, "FENCE", "text", "node2", NULL);
    finish(r);
}

/* ---- what is told -----------------------------------------------------------------------------
 */

static void take(void *ctx, const HaNotice *notice)
{
    Rig *r = ctx;

    g_string_append_printf(r->told, "%s %s %s\n", notice->prefix,
                           notice->node != NULL ? notice->node : "-",
                           notice->sid != NULL ? notice->sid : "-");
}

typedef struct Step {
    HaServiceState state;
    const char *node;
    const char *proof;
    const char *told;
} Step;

/* One service through its states; a look after each. */
static void walk(Rig *r, const Step *steps, gsize n)
{
    g_autoptr(HaManagerStatus) ms = ha_manager_status_new();
    HaAlerts *a = ha_alerts_new();

    for (gsize i = 0; i < n; i++) {
        HaService *s = ha_service_new(steps[i].state, steps[i].node);

        s->proof = g_strdup(steps[i].proof);
        strmap_set(ms->services, "vm:1", s);
        g_string_truncate(r->told, 0);
        ha_alerts_look(a, ms, take, r);
        g_assert_cmpstr(r->told->str, ==, steps[i].told);
    }
    strmap_clear(ms->services);
    g_string_truncate(r->told, 0);
    ha_alerts_look(a, ms, take, r); /* a service that is no more */
    g_assert_cmpstr(r->told->str, ==, "");
    ha_alerts_free(a);
}

static void recovery_is_told_once(Rig *r, gconstpointer data)
{
    static const Step steps[] = {
        {HA_SERVICE_STARTED, "n1", NULL, ""},
        {HA_SERVICE_FENCE, "n1", NULL, ""}, /* told by the core */
        {HA_SERVICE_RECOVERY, "n1", "lease-expired", ""},
        {HA_SERVICE_STARTED, "n2", "lease-expired", "RECOVERY n2 vm:1\n"},
        {HA_SERVICE_STARTED, "n2", "lease-expired", ""},
        {HA_SERVICE_FENCE, "n2", "lease-expired", ""},
        {HA_SERVICE_STARTED, "n3", "fence-confirmed", "RECOVERY n3 vm:1\n"},
    };

    (void)data;
    walk(r, steps, G_N_ELEMENTS(steps));
}

static void recovery_within_one_round_is_told(Rig *r, gconstpointer data)
{
    static const Step steps[] = {
        {HA_SERVICE_STARTED, "n1", NULL, ""},
        {HA_SERVICE_STARTED, "n2", "lease-expired", "RECOVERY n2 vm:1\n"},
        {HA_SERVICE_MIGRATE, "n2", "lease-expired", ""},
        {HA_SERVICE_STARTED, "n1", "lease-expired", ""}, /* moved, as was asked for */
    };

    (void)data;
    walk(r, steps, G_N_ELEMENTS(steps));
}

static void error_is_told_once(Rig *r, gconstpointer data)
{
    static const Step steps[] = {
        {HA_SERVICE_ERROR, "n1", NULL, ""}, /* for long, as far as we know */
        {HA_SERVICE_STOPPED, "n1", NULL, ""},
        {HA_SERVICE_STARTED, "n1", NULL, ""},
        {HA_SERVICE_ERROR, "n1", NULL, "ERROR n1 vm:1\n"},
        {HA_SERVICE_ERROR, "n1", NULL, ""},
    };

    (void)data;
    walk(r, steps, G_N_ELEMENTS(steps));
}

/* What the last master left in which state, and what is told after the first round of the next. */
static void check_takeover(Rig *r, const Step *left, const Step *made)
{
    const Step *steps[] = {left, made, made};
    g_autoptr(HaManagerStatus) ms = ha_manager_status_new();
    HaAlerts *a = ha_alerts_new();

    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        HaService *s = ha_service_new(steps[i]->state, steps[i]->node);

        s->proof = g_strdup(steps[i]->proof);
        strmap_set(ms->services, "vm:1", s);
        g_string_truncate(r->told, 0);
        if (i == 0) {
            ha_alerts_observe(a, ms);
        } else {
            ha_alerts_look(a, ms, take, r);
        }
        g_assert_cmpstr(r->told->str, ==, i == 1 ? made->told : "");
    }
    ha_alerts_free(a);
}

static void next_master_tells_what_it_changes_and_no_more(Rig *r, gconstpointer data)
{
    static const Step pairs[][2] = {
        {{HA_SERVICE_STARTED, "n1", NULL, NULL},
         {HA_SERVICE_STARTED, "n2", "lease-expired", "RECOVERY n2 vm:1\n"}},
        {{HA_SERVICE_RECOVERY, "n1", "lease-expired", NULL},
         {HA_SERVICE_STARTED, "n2", "lease-expired", "RECOVERY n2 vm:1\n"}},
        {{HA_SERVICE_STARTED, "n2", "lease-expired", NULL},
         {HA_SERVICE_STARTED, "n2", "lease-expired", ""}},
        {{HA_SERVICE_STARTED, "n1", NULL, NULL}, {HA_SERVICE_ERROR, "n1", NULL, "ERROR n1 vm:1\n"}},
        {{HA_SERVICE_ERROR, "n1", NULL, NULL}, {HA_SERVICE_ERROR, "n1", NULL, ""}},
    };

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        check_takeover(r, &pairs[i][0], &pairs[i][1]);
    }
}

/* The next master reads it; another state is another matter. */
static void being_told_is_written_with_the_state(Rig *r, gconstpointer data)
{
    g_autoptr(HaManagerStatus) ms = ha_manager_status_new();
    g_autoptr(HaManagerStatus) read = NULL;
    g_autofree char *text = NULL;
    HaService *s = ha_service_new(HA_SERVICE_RECOVERY, "n1");

    (void)r;
    (void)data;
    s->alerted = true;
    strmap_set(ms->services, "vm:1", s);
    strmap_set(ms->services, "vm:2", ha_service_new(HA_SERVICE_RECOVERY, "n1"));
    text = ha_manager_status_format(ms);
    g_assert_cmpint(ha_manager_status_parse(text, NULL, NULL, &read, NULL), ==, 0);
    g_assert_true(((const HaService *)strmap_get(read->services, "vm:1"))->alerted);
    g_assert_false(((const HaService *)strmap_get(read->services, "vm:2"))->alerted);
    ha_service_prune(s);
    g_assert_false(s->alerted);
}

/* Masters come and go; each finds in the file what people were told last. */
static void redundancy_is_told_when_it_goes_and_comes(Rig *r, gconstpointer data)
{
    static const struct {
        const char *why;
        const char *told;
    } looks[] = {
        {NULL, ""},         {"without n1", "REDUNDANCY - -\n"},
        {"without n2", ""}, {NULL, "REDUNDANCY - -\n"},
        {NULL, ""},
    };
    bool lost = false;

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(looks); i++) {
        g_autoptr(HaManagerStatus) ms = ha_manager_status_new();
        g_autoptr(HaManagerStatus) read = NULL;
        g_autofree char *text = NULL;

        g_string_truncate(r->told, 0);
        ms->no_spare = ha_alerts_look_at_spare(lost, looks[i].why, take, r);
        g_assert_cmpstr(r->told->str, ==, looks[i].told);
        text = ha_manager_status_format(ms);
        g_assert_cmpint(ha_manager_status_parse(text, NULL, NULL, &read, NULL), ==, 0);
        lost = read->no_spare;
        g_assert_cmpint(lost, ==, looks[i].why != NULL);
    }
}

#define CASE(name, function) g_test_add(name, Rig, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("/ha/alerts/hook-hears-of-everything", hook_hears_of_everything);
    CASE("/ha/alerts/hooks-run-by-name-and-only-proper-ones",
         hooks_run_by_name_and_only_proper_ones);
    CASE("/ha/alerts/mail-goes-to-all-addresses", mail_goes_to_all_addresses);
    CASE("/ha/alerts/no-addresses-no-mail", no_addresses_no_mail);
    CASE("/ha/alerts/nothing-configured-is-no-error", nothing_configured_is_no_error);
    CASE("/ha/alerts/caller-does-not-wait", caller_does_not_wait);
    CASE("/ha/alerts/hanging-hook-does-not-keep-the-others", hanging_hook_does_not_keep_the_others);
    CASE("/ha/alerts/hanging-sendmail-is-ended", hanging_sendmail_is_ended);
    CASE("/ha/alerts/failing-sendmail-is-no-failure-of-ours",
         failing_sendmail_is_no_failure_of_ours);
    CASE("/ha/alerts/recovery-is-told-once", recovery_is_told_once);
    CASE("/ha/alerts/recovery-within-one-round-is-told", recovery_within_one_round_is_told);
    CASE("/ha/alerts/error-is-told-once", error_is_told_once);
    CASE("/ha/alerts/next-master-tells-what-it-changes",
         next_master_tells_what_it_changes_and_no_more);
    CASE("/ha/alerts/being-told-is-written-with-the-state", being_told_is_written_with_the_state);
    CASE("/ha/alerts/redundancy-is-told-when-it-goes-and-comes",
         redundancy_is_told_when_it_goes_and_comes);
    return g_test_run();
}
