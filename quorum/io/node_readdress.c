/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_readdress.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/tls_client.h"
#include "quorum/io/certs.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/node_remove.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#define API_PORT         "8006"
#define PROBE_TIMEOUT_MS 5000
#define HOLD_MARGIN_MS   2000 /* beyond the token time: by then a lost node is known to be lost */
#define WAIT_SEC         60

/* Value "new3" or "old3"; NULL: link 3 does not change. */
static const char *address_of(const NodeJob *job, const char *which, unsigned link)
{
    char name[8];

    (void)snprintf(name, sizeof name, "%s%u", which, link);
    return node_job_get(job, name);
}

static void set_address(NodeJob *job, const char *which, unsigned link, const char *address)
{
    char name[8];

    (void)snprintf(name, sizeof name, "%s%u", which, link);
    node_job_set(job, name, address);
}

/* ---- check ------------------------------------------------------------------------------------
 */

/* A node of this cluster answers there, by its certificate. */
static int probe(const NodeJob *job, const char *address, Err *err)
{
    g_autofree char *path = g_build_filename(job->change->paths->pve, "pve-root-ca.pem", NULL);
    uint8_t digest[TLS_FINGERPRINT_SIZE];
    g_autofree char *ca = NULL;
    g_autoptr(TlsClient) tls = NULL;
    TlsConfig cfg = {.host = address,
                     .port = API_PORT,
                     .trust = TLS_TRUST_CA_KEY,
                     .digest = digest,
                     .timeout_ms = PROBE_TIMEOUT_MS};
    int r;

    if ((r = cfsfile_read(path, CERTS_PEM_SIZE_MAX, &ca, NULL, err)) < 0 ||
        (r = certs_key_digest(ca, digest, err)) < 0) {
        return r;
    }
    r = tls_client_connect(&cfg, &tls, err);
    return r < 0 ? err_wrapf(err, r,
                             "nothing of this cluster answers at %s (the node must have the new "
                             "address beside the old one)",
                             address)
                 : 0;
}

static bool is_online(const NodeJob *job, const char *id)
{
    g_auto(GStrv) ids = g_strsplit(node_job_get(job, "online"), " ", -1);

    return g_strv_contains((const char *const *)ids, id);
}

static int check_address(NodeJob *job, const char *address, Err *err)
{
    if (!is_online(job, node_job_get(job, "nodeid"))) {
        node_job_say(job, "the node is off: its new address is not tried");
        return 0;
    }
    return probe(job, address, err);
}

/* 1 when it has changed something. */
static int change_conf(const NodeJob *job, CorosyncConf *conf, const char *which, Err *err)
{
    const char *node = node_job_get(job, "node");
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const CorosyncNode *n = corosync_nodes_find(nodes, node);

    bool changed = false;

    if (n == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", node);
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const char *address = address_of(job, which, i);
        int r = 0;

        if (address != NULL && (n->link[i] == NULL || strcmp(n->link[i], address) != 0)) {
            r = corosync_conf_readdress(conf, node, i, address, err);
            changed = true;
        }
        if (r < 0) {
            return r;
        }
    }
    return changed;
}

static int do_check(NodeJob *job, Err *err)
{
    g_autofree char *self = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) own = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    int r;

    if ((r = cluster_this_node(&self, &fqdn, &own, err)) < 0 ||
        (r = node_tree_conf(job->change->paths->pve, &conf, err)) < 0 ||
        (r = change_conf(job, conf, "new", err)) < 0) {
        return r;
    }
    if (strcmp(self, node_job_get(job, "node")) == 0) {
        return err_setf(err, -EINVAL,
                        "a node leaves the ring while its address changes: give this one its new "
                        "address on another node, with 'pvecm readdress %s'",
                        self);
    }
    /* For a moment the others go on without the node. */
    if ((r = node_may_go(job, node_job_get(job, "node"), err)) < 0) {
        return r;
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const char *address = address_of(job, "new", i);

        if (address != NULL && (r = check_address(job, address, err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- list, verify -----------------------------------------------------------------------------
 */

static CorosyncConf *copy_conf(const CorosyncConf *conf)
{
    g_autofree char *text = corosync_conf_format(conf);
    CorosyncConf *copy = NULL;
    int r = corosync_conf_parse(text, strlen(text), &copy, NULL);

    g_assert(r == 0); /* our own text */
    return copy;
}

/* corosync changes no address of a link in use: the node goes out, and comes in again. */
static int take_out(NodeJob *job, ConfEdit *edit, Err *err)
{
    int r = node_kick_out(job, edit, err);

    if (r < 0 || (r = node_kick_over(job, err)) < 0) {
        return r;
    }
    conf_edit_spread(corosync_conf_version(edit->conf));
    return node_wait_expected(edit->conf, REMOVE_COUNT_TIMEOUT_SEC, err);
}

/* An interrupted change may have left the list without the node. */
static int put_in(const NodeJob *job, CorosyncConf *conf, const char *which, Err *err)
{
    CorosyncAddNode add = {
        .name = node_job_get(job, "node"),
        .nodeid = (uint32_t)g_ascii_strtoull(node_job_get(job, "nodeid"), NULL, 10),
        .votes = (uint32_t)g_ascii_strtoull(node_job_get(job, "votes"), NULL, 10)};
    uint32_t id = 0;

    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const char *address = address_of(job, which, i);

        add.link[i] = address != NULL ? address : address_of(job, "all", i);
    }
    return corosync_conf_add_node(conf, &add, &id, err);
}

/* The list is as it was, but the node may have been told to leave the ring: a higher version makes
 * it start corosync again (door). */
static int call_back(const NodeJob *job, ConfEdit *edit, Err *err)
{
    int r;

    if (!is_online(job, node_job_get(job, "nodeid"))) {
        return 0; /* it was off before */
    }
    corosync_conf_bump(edit->conf);
    if ((r = node_edit_commit(job, edit, err)) == 0) {
        conf_edit_tell(edit);
    }
    return r;
}

static int write_addresses(NodeJob *job, const char *which, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    g_autoptr(CorosyncConf) next = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    int r;

    if ((r = node_edit_begin(job, &edit, err)) < 0) {
        return r;
    }
    next = copy_conf(edit.conf);
    nodes = corosync_nodes(edit.conf);
    if (corosync_nodes_find(nodes, node_job_get(job, "node")) == NULL) {
        r = put_in(job, next, which, err);
    } else if ((r = change_conf(job, next, which, err)) == 0) {
        return strcmp(which, "old") == 0 ? call_back(job, &edit, err) : 0; /* done before */
    } else if (r > 0) {
        r = take_out(job, &edit, err);
    }
    if (r < 0) {
        return r;
    }
    while (corosync_conf_version(next) <= corosync_conf_version(edit.conf)) {
        corosync_conf_bump(next);
    }
    corosync_conf_free(edit.conf);
    edit.conf = g_steal_pointer(&next);
    if ((r = node_edit_commit(job, &edit, err)) == 0) {
        conf_edit_tell(&edit);
    }
    return r;
}

/* How long a ring needs to notice that a node is gone. */
static gint64 hold_us(const NodeJob *job)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    uint64_t token = COROSYNC_TOKEN_MS, coefficient = COROSYNC_LIBRARY_COEFFICIENT;

    if (node_tree_conf(job->change->paths->pve, &conf, NULL) == 0) {
        nodes = corosync_nodes(conf);
        (void)corosync_conf_get_u64(conf, "totem.token", &token);
        (void)corosync_conf_get_u64(conf, "totem.token_coefficient", &coefficient);
        token += nodes->len > 2 ? (nodes->len - 2) * coefficient : 0;
    }
    return (gint64)MIN(token + HOLD_MARGIN_MS, UINT64_C(30000)) * 1000;
}

static bool taken_over(const NodeJob *job)
{
    uint32_t id = (uint32_t)g_ascii_strtoull(node_job_get(job, "nodeid"), NULL, 10);

    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const char *want = address_of(job, "new", i);
        g_autofree char *have = NULL;

        if (want != NULL &&
            (quorum_node_address(id, i, &have, NULL) < 0 || strcmp(have, want) != 0)) {
            return false;
        }
    }
    return true;
}

static bool all_there(const NodeJob *job)
{
    g_auto(GStrv) ids = g_strsplit(node_job_get(job, "online"), " ", -1);
    g_autoptr(QuorumReport) report = NULL;
    guint found = 0;

    if (quorum_query(NULL, 0, &report, NULL) < 0 || !report->facts.quorate) {
        return false;
    }
    for (guint i = 0; ids[i] != NULL; i++) {
        uint32_t id = (uint32_t)g_ascii_strtoull(ids[i], NULL, 10);

        found += quorum_has_member(&report->facts, id);
    }
    return found == g_strv_length(ids);
}

static int do_verify(NodeJob *job, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + READDRESS_TIMEOUT_SEC * G_USEC_PER_SEC;
    gint64 hold = hold_us(job);
    gint64 good_since = 0;

    for (;;) {
        gint64 now = g_get_monotonic_time();

        if (!taken_over(job) || !all_there(job)) {
            good_since = 0;
        } else if (good_since == 0) {
            good_since = now;
        } else if (now - good_since > hold) {
            break;
        }
        if (now > deadline) {
            return err_setf(err, -ETIMEDOUT,
                            "with the new address not everybody was seen for %d s: is it reachable "
                            "from all nodes, with UDP 5405-5412 open?",
                            READDRESS_TIMEOUT_SEC);
        }
        g_usleep(200 * 1000);
    }
    cluster_log(LOG_NOTICE, "node '%s' has new addresses", node_job_get(job, "node"));
    return 0;
}

static int undo_list(NodeJob *job, Err *err)
{
    int r;

    if ((r = node_kick_resume(job, err)) < 0 ||
        (r = cluster_wait_quorate(job->change->paths, WAIT_SEC, err)) < 0) {
        return err_wrapf(
            err, r,
            "this node is cut off; give the old addresses on another node, with 'pvecm "
            "readdress %s'",
            node_job_get(job, "node"));
    }
    return write_addresses(job, "old", err);
}

/* ---- the plan's operations --------------------------------------------------------------------
 */

static int perform(NodeJob *job, unsigned step, Err *err)
{
    switch ((ReaddressStep)step) {
    case READDRESS_STEP_CHECK:
        return do_check(job, err);
    case READDRESS_STEP_LIST:
        return write_addresses(job, "new", err);
    case READDRESS_STEP_VERIFY:
        return do_verify(job, err);
    case READDRESS_STEP_N:
        break;
    }
    return -EINVAL;
}

static int undo(NodeJob *job, unsigned step, Err *err)
{
    return step == READDRESS_STEP_LIST ? undo_list(job, err) : 0;
}

static const char *const texts[READDRESS_STEP_N] = {
    [READDRESS_STEP_CHECK] = "checking",
    [READDRESS_STEP_LIST] = "taking the node out of the ring, and in with the new address",
    [READDRESS_STEP_VERIFY] = "waiting until everybody sees everybody",
};

const NodeJobType node_readdress_type = {NODE_PLAN_READDRESS, perform, undo, texts};

/* ---- entry ------------------------------------------------------------------------------------
 */

static void note_online(NodeJob *job)
{
    g_autoptr(QuorumReport) report = NULL;
    g_autoptr(GString) ids = g_string_new(NULL);

    if (quorum_query(NULL, 0, &report, NULL) == 0) {
        for (uint32_t i = 0; i < report->facts.n_members; i++) {
            g_string_append_printf(ids, "%s%u", i > 0 ? " " : "", report->facts.members[i].nodeid);
        }
    }
    node_job_set(job, "online", ids->str);
}

/* 1 when something changes. */
static int fill_job(NodeJob *job, const CorosyncNode *node, const CorosyncLink *links, Err *err)
{
    g_autofree char *id = g_strdup_printf("%u", node->nodeid);
    g_autofree char *votes = g_strdup_printf("%u", node->votes);
    bool changes = false;

    node_job_set(job, "node", node->name);
    node_job_set(job, "nodeid", id);
    node_job_set(job, "votes", votes);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        set_address(job, "all", i, node->link[i]);
        if (!links[i].present) {
            continue;
        }
        if (node->link[i] == NULL) {
            return err_setf(err, -EINVAL, "node '%s' has no link %u", node->name, i);
        }
        if (strcmp(node->link[i], links[i].address) != 0) {
            set_address(job, "new", i, links[i].address);
            set_address(job, "old", i, node->link[i]);
            changes = true;
        }
    }
    note_online(job);
    return changes;
}

int node_readdress(const NodeChange *change,
                   const char *node,
                   const CorosyncLink links[COROSYNC_LINKS_MAX],
                   Err *err)
{
    g_auto(NodeJob) job = {0};
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *found;
    int r = node_tree_conf(change->paths->pve, &conf, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(conf);
    found = corosync_nodes_find_any(nodes, node);
    if (found == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", node);
    }
    node_job_init(&job, change, &node_readdress_type);
    if ((r = fill_job(&job, found, links, err)) < 0) {
        return r;
    }
    if (r == 0) {
        return err_setf(err, -EALREADY, "node '%s' has these addresses", found->name);
    }
    r = node_job_run(&job, err);
    if (r == 0 && change->dry_run) {
        node_job_say(&job, "would give node '%s' the new addresses", found->name);
    }
    return r;
}
