/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager explain, simulate, why-rebooted, fence-test: what the original has not. */
#include "cli/hamgr_verbs.h"
#include "ha-manager/core/ha_fence.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/io/ha_blackbox.h"
#include "ha-manager/io/ha_fencing.h"
#include "ha-manager/io/ha_whatif.h"
#include "lib/base/jsontree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MUX_LOG_MAX (1024 * 1024)

/* ---- explain ----------------------------------------------------------------------------------
 */

/* Answers as they come: name and text, for people and for JSON alike. */
static void say(JsonTree *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(JsonTree *out, const char *name, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    jsontree_set_text(out, name, text);
}

static const char *proof_text(const char *proof)
{
    if (strcmp(proof, "lease-expired") == 0) {
        return "the lease of its node had run out, and the node's watchdog with it";
    }
    if (strcmp(proof, "fence-confirmed") == 0) {
        return "a fence device confirmed that its node was off";
    }
    if (strcmp(proof, "node-rebooted") == 0) {
        return "its node had come back in another boot";
    }
    return proof;
}

/* `res`: NULL when it is not configured any more. */
static void say_why_here(const HaService *s, const HaResource *res, JsonTree *out)
{
    if (s->proof != NULL && s->state == HA_SERVICE_RECOVERY) {
        say(out, "proof", "starting it on another node is safe since %s", proof_text(s->proof));
    } else if (s->proof != NULL) {
        say(out, "recovered", "to '%s'; that was safe since %s", s->node, proof_text(s->proof));
    }
    if (s->maintenance_node != NULL && res != NULL && !res->failback) {
        say(out, "maintenance", "came from '%s'; it stays, since failback is off",
            s->maintenance_node);
    } else if (s->maintenance_node != NULL) {
        say(out, "maintenance", "came from '%s' and returns when that is back from maintenance",
            s->maintenance_node);
    }
    if (s->failed_nodes != NULL) {
        g_autofree char *nodes = ha_service_failed_nodes_text(s);

        say(out, "failed", "starting failed on: %s", nodes);
    }
    if (s->pending != HA_PENDING_NONE) {
        say(out, "command", "a command waits: %s %s",
            s->pending == HA_PENDING_STOP      ? "stop"
            : s->pending == HA_PENDING_MIGRATE ? "migrate to"
                                               : "relocate to",
            s->pending_target != NULL ? s->pending_target : "");
    }
}

static char *join(const GPtrArray *words)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < words->len; i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "",
                               (const char *)g_ptr_array_index(words, i));
    }
    return g_string_free(out, FALSE);
}

static void say_rules(const Hamgr *h, const char *sid, JsonTree *out)
{
    HaAffinity *a = NULL;
    const StrMap *nodes;
    g_autofree char *together = NULL;
    g_autofree char *apart = NULL;
    GString *list;

    if (hamgr_affinity(h, &a, NULL) < 0) {
        say(out, "rules", "cannot be read: none is in use");
        return;
    }
    nodes = ha_affinity_nodes(a, sid);
    if (nodes != NULL) {
        list = g_string_new(NULL);
        for (guint i = 0; i < strmap_size(nodes); i++) {
            g_string_append_printf(list, "%s%s (%d)", i > 0 ? ", " : "", strmap_key(nodes, i),
                                   GPOINTER_TO_INT(strmap_value(nodes, i)));
        }
        say(out, "nodes", "rules allow these, the highest number first: %s", list->str);
        (void)g_string_free(list, TRUE);
    }
    together = join(ha_affinity_together(a, sid));
    apart = join(ha_affinity_apart(a, sid));
    if (*together != '\0') {
        say(out, "together", "rules keep it on the node of: %s", together);
    }
    if (*apart != '\0') {
        say(out, "apart", "rules keep it away from: %s", apart);
    }
    ha_affinity_free(a);
}

/* What has to happen before anything changes. */
static void say_waiting(const Hamgr *h, const HaService *s, JsonTree *out)
{
    HaNodeState node = ha_manager_status_node(h->ms, s->node);
    int64_t age = clock_wall().sec - h->ms->timestamp;

    if (age > 30) {
        say(out, "master", "the status is %lld s old: no master is at work, nothing is decided",
            (long long)age);
    }
    if (h->ms->disarm) {
        say(out, "waits", "HA is disarmed: until 'ha-manager crm-command arm-ha' nothing is done");
    } else if (s->state == HA_SERVICE_FENCE) {
        say(out, "waits",
            "for proof that node '%s' is dead: its lease has to run out, or a fence device to "
            "confirm",
            s->node);
    } else if (s->state == HA_SERVICE_RECOVERY) {
        say(out, "waits", "for a node that may take it: none is online that its rules allow");
    } else if (s->state == HA_SERVICE_ERROR) {
        say(out, "waits",
            "for a person: repair it, then 'ha-manager set SID --state disabled', "
            "then started");
    } else if (s->state == HA_SERVICE_FREEZE) {
        say(out, "waits", "for the LRM of node '%s', which restarts or reboots", s->node);
    } else if (node == HA_NODE_UNKNOWN || node == HA_NODE_GONE) {
        say(out, "waits", "node '%s' is not seen: if it stays away it will be fenced", s->node);
    } else if (s->state == HA_SERVICE_MIGRATE || s->state == HA_SERVICE_RELOCATE) {
        say(out, "waits", "for the LRM of '%s', which moves it to '%s'", s->node,
            s->target != NULL ? s->target : "?");
    } else if (s->state == HA_SERVICE_REQUEST_STOP ||
               (s->state == HA_SERVICE_STARTED && !s->running)) {
        say(out, "waits", "for the LRM of '%s' to %s it", s->node,
            s->state == HA_SERVICE_STARTED ? "start" : "stop");
    }
}

static void say_answer(const Hamgr *h, const HaService *s, JsonTree *out)
{
    g_autofree char *text = NULL;
    g_autoptr(HaLrmStatus) ls = NULL;
    const HaResult *result;

    if (hamgr_read(h, HA_FILE_LRM_STATUS, s->node, &text, NULL) < 0 ||
        ha_lrm_status_parse(text, &ls, NULL) < 0) {
        say(out, "lrm", "the status of the LRM of '%s' cannot be read", s->node);
        return;
    }
    result = strmap_get(ls->results, s->uid);
    if (result != NULL) {
        say(out, "lrm", "the LRM of '%s' answered: %s, exit code %d", s->node, result->state,
            result->exit_code);
    }
}

static void explain(const Hamgr *h, const char *sid, JsonTree *out)
{
    const HaService *s = strmap_get(h->ms->services, sid);
    const HaResource *res = ha_resources_get(h->resources, sid);

    jsontree_set_text(out, "sid", sid);
    jsontree_set_text(out, "state", hamgr_shown_state(h, sid));
    if (res != NULL) {
        jsontree_set_text(out, "requested", ha_request_name(res->request));
        if (res->node == NULL) {
            say(out, "waits", "there is no such guest: nothing is done until there is");
        }
    }
    if (s == NULL) {
        if (res != NULL && res->node != NULL && res->request != HA_REQUEST_IGNORED) {
            say(out, "waits", "for the master to take it up");
        }
        return;
    }
    jsontree_set_text(out, "node", s->node);
    say(out, "node-state", "%s", ha_node_state_name(ha_manager_status_node(h->ms, s->node)));
    say_why_here(s, res, out);
    say_rules(h, sid, out);
    say_answer(h, s, out);
    say_waiting(h, s, out);
}

static void print_object(const JsonTree *o)
{
    for (guint i = 0; i < jsontree_count(o); i++) {
        const char *text = jsontree_text(jsontree_at(o, i));

        if (text != NULL) {
            g_autofree char *shown = hamgr_printable(text);

            (void)printf("%-12s %s\n", jsontree_key(o, i), shown);
        }
    }
}

static void print_pretty(const JsonTree *tree)
{
    g_autofree char *text = jsontree_pretty(tree);

    (void)fputs(text, stdout);
}

int hamgr_explain(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    g_autoptr(JsonTree) out = jsontree_new_object();
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0) {
        r = hamgr_sid(&h, operands[0], &sid, err);
    }
    if (r == 0 && ha_resources_get(h.resources, sid) == NULL && !strmap_has(h.ms->services, sid)) {
        r = err_setf(err, -ENOENT, "resource '%s' is not HA managed", sid);
    }
    if (r < 0) {
        return r;
    }
    explain(&h, sid, out);
    if (json) {
        print_pretty(out);
    } else {
        print_object(out);
    }
    return 0;
}

/* ---- simulate ---------------------------------------------------------------------------------
 */

/* Where it is now; NULL: nowhere. The master may not have taken it up yet. */
static const char *now_on(const Hamgr *h, const HaService *before, const char *sid)
{
    const HaResource *res = ha_resources_get(h->resources, sid);

    return before != NULL ? before->node : res != NULL ? res->node : NULL;
}

static JsonTree *moves_of(const Hamgr *h, const HaWhatif *what)
{
    JsonTree *moves = jsontree_new_array();

    for (guint i = 0; i < strmap_size(what->after->services); i++) {
        const char *sid = strmap_key(what->after->services, i);
        const HaService *after = strmap_value(what->after->services, i);
        const HaService *before = strmap_get(what->before->services, sid);
        const char *from = now_on(h, before, sid);
        JsonTree *o;

        if (from == NULL || (strcmp(from, after->node) == 0 && after->target == NULL &&
                             (before == NULL || before->state == after->state))) {
            continue;
        }
        o = jsontree_new_object();
        jsontree_set_text(o, "sid", sid);
        jsontree_set_text(o, "from", from);
        jsontree_set_text(o, "to", after->target != NULL ? after->target : after->node);
        jsontree_set_text(o, "state", ha_service_state_name(after->state));
        jsontree_add(moves, o);
    }
    return moves;
}

static JsonTree *words_json(const GPtrArray *words)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < words->len; i++) {
        jsontree_add(list, jsontree_new_text(g_ptr_array_index(words, i)));
    }
    return list;
}

static void print_moves(const JsonTree *moves, const HaWhatif *what)
{
    for (guint i = 0; i < jsontree_count(moves); i++) {
        const JsonTree *o = jsontree_at(moves, i);
        const char *state = jsontree_get_text(o, "state");

        if (strcmp(state, "recovery") == 0) {
            (void)printf("%s: stays down, no node may take it\n", jsontree_get_text(o, "sid"));
        } else {
            (void)printf("%s: from %s to %s (%s)\n", jsontree_get_text(o, "sid"),
                         jsontree_get_text(o, "from"), jsontree_get_text(o, "to"), state);
        }
    }
    if (jsontree_count(moves) == 0) {
        (void)printf("no service would move\n");
    }
    for (guint i = 0; i < what->full->len; i++) {
        (void)printf("warning: %s\n", (const char *)g_ptr_array_index(what->full, i));
    }
}

int hamgr_simulate(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autoptr(StrMap) failed = strmap_new(NULL);
    g_autoptr(StrMap) members = strmap_new(NULL);
    g_autoptr(HaWhatif) what = NULL;
    g_autoptr(JsonTree) out = jsontree_new_object();
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0 && h.ms->disarm) {
        r = err_setf(err, -EAGAIN, "HA is disarmed: nothing is done when a node is lost");
    }
    if (r == 0) {
        r = ha_cluster_members(h.cluster, members, err);
    }
    for (gsize i = 0; r == 0 && operands[i] != NULL; i++) {
        if (!strmap_has(members, operands[i])) {
            r = err_setf(err, -ENOENT, "no such cluster node '%s'", operands[i]);
        }
        strmap_set(failed, operands[i], GINT_TO_POINTER(1));
    }
    if (r == 0) {
        r = ha_whatif_run(h.cluster, failed, &what, err);
    }
    if (r < 0) {
        return r;
    }
    jsontree_set(out, "moves", moves_of(&h, what));
    jsontree_set(out, "stuck", words_json(what->stuck));
    jsontree_set(out, "memory", words_json(what->full));
    jsontree_set(out, "log", words_json(what->log));
    if (json) {
        print_pretty(out);
    } else {
        print_moves(jsontree_get(out, "moves"), what);
    }
    return 0;
}

/* ---- why-rebooted -----------------------------------------------------------------------------
 */

static char *when(int64_t sec)
{
    time_t t = (time_t)sec;
    struct tm tm;
    char text[64] = "?";

    if (localtime_r(&t, &tm) != NULL) {
        (void)strftime(text, sizeof text, "%F %T", &tm); /* fits */
    }
    return g_strdup(text);
}

static void print_facts(const JsonTree *facts)
{
    for (guint i = 0; i < jsontree_count(facts); i++) {
        const JsonTree *value = jsontree_at(facts, i);
        GString *text = g_string_new(NULL);
        g_autofree char *shown = NULL;

        if (jsontree_kind(value) == JSONTREE_TEXT) {
            g_string_append(text, jsontree_text(value));
        } else {
            jsontree_append(text, value);
        }
        shown = hamgr_printable(text->str);
        (void)printf("    %s: %s\n", jsontree_key(facts, i), shown);
        (void)g_string_free(text, TRUE);
    }
}

static void print_entries(const JsonTree *entries, const char *boot)
{
    for (guint i = 0; i < jsontree_count(entries); i++) {
        const JsonTree *e = jsontree_at(entries, i);
        const char *was = jsontree_get_text(e, "boot_id");
        g_autofree char *date = when(jsontree_get_int(e, "time", 0));

        (void)printf("%s %s%s\n", date, jsontree_get_text(e, "event"),
                     g_strcmp0(was, boot) == 0 ? " (this boot)" : "");
        print_facts(jsontree_get(e, "facts"));
    }
}

/* Lines of watchdog-mux: seconds, then words. */
static JsonTree *mux_entries(void)
{
    JsonTree *list = jsontree_new_array();
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (cfsfile_read(HA_BLACKBOX_MUX, MUX_LOG_MAX, &text, NULL, NULL) < 0) {
        return list;
    }
    lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        char *words = NULL;
        gint64 sec = g_ascii_strtoll(lines[i], &words, 10);
        JsonTree *o;

        if (words == lines[i]) {
            continue;
        }
        o = jsontree_new_object();
        jsontree_set_int(o, "time", sec);
        jsontree_set_text(o, "event", g_strstrip(words));
        jsontree_add(list, o);
    }
    return list;
}

int hamgr_why_rebooted(char **operands, Err *err)
{
    g_autofree char *boot = ha_blackbox_boot_id();
    g_autoptr(JsonTree) out = jsontree_new_object();
    JsonTree *entries = NULL;
    bool json = false;
    int r = cli_wants_json(&json, err);

    (void)operands;
    if (r == 0) {
        r = ha_blackbox_read(HA_BLACKBOX_FILE, &entries, err);
    }
    if (r < 0) {
        return r;
    }
    jsontree_set_text(out, "boot_id", boot);
    jsontree_set(out, "blackbox", entries);
    jsontree_set(out, "watchdog", mux_entries());
    if (json) {
        print_pretty(out);
        return 0;
    }
    if (jsontree_count(entries) == 0 && jsontree_count(jsontree_get(out, "watchdog")) == 0) {
        (void)printf("HA has never had a reason to reset this node\n");
        return 0;
    }
    print_entries(entries, boot);
    print_entries(jsontree_get(out, "watchdog"), "");
    return 0;
}

/* ---- fence-test -------------------------------------------------------------------------------
 */

static void print_line(void *ctx, const char *line)
{
    g_autofree char *shown = hamgr_printable(line);

    (void)ctx;
    (void)printf("%s\n", shown);
}

int hamgr_fence_test(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autoptr(HaFence) fence = NULL;
    g_autofree char *text = NULL;
    g_autofree char *errors = NULL;
    HaFenceAction action = hamgr_options.really ? HA_FENCE_AS_CONFIGURED : HA_FENCE_STATUS;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = hamgr_read(&h, HA_FILE_FENCE, NULL, &text, err);
    }
    if (r < 0) {
        return r;
    }
    r = ha_fence_parse(text, "/etc/pve/ha/fence.cfg", NULL, NULL, &fence, &errors);
    if (r < 0) {
        return err_setf(err, r, "%s", errors != NULL ? errors : "fence.cfg cannot be read");
    }
    if (hamgr_options.dry_run && !hamgr_options.really) {
        action = HA_FENCE_AS_CONFIGURED; /* what would be run if it came to that */
    }
    r = ha_fencing_run(fence, operands[0], action, hamgr_options.dry_run != 0, print_line, NULL,
                       err);
    if (r == 0 && !hamgr_options.dry_run) {
        (void)printf("%s\n", hamgr_options.really ? "the node is off" : "all devices answer");
    }
    return r;
}
