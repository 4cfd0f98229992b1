/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_leave.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/backups.h"
#include "quorum/io/certs.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/door.h"
#include "quorum/io/member_client.h"
#include "quorum/io/node_remove.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define DATABASE_MAX    (512u * 1024u * 1024u)
#define GUEST_MAX       (1024u * 1024u)
#define START_WAIT_SEC  60
#define REMOVE_WAIT_SEC 150

static bool is_set(const NodeJob *job, const char *name)
{
    return node_job_get(job, name) != NULL;
}

static char *saved(const NodeJob *job, const char *name)
{
    return g_build_filename(node_job_get(job, "backup"), name, NULL);
}

/* ---- check ------------------------------------------------------------------------------------
 */

static int peers(const NodeJob *job, MemberPeers **ret, Err *err)
{
    g_autofree char *conf = saved(job, "corosync.conf");
    g_autofree char *ca = saved(job, "pve-root-ca.pem");
    g_autofree char *key = saved(job, "authkey");

    return member_peers_read(conf, ca, key, node_job_get(job, "node"), ret, err);
}

static int peers_now(const NodeJob *job, MemberPeers **ret, Err *err)
{
    const ClusterPaths *paths = job->change->paths;
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);
    g_autofree char *ca = g_build_filename(paths->pve, "pve-root-ca.pem", NULL);

    return member_peers_read(conf, ca, paths->authkey, node_job_get(job, "node"), ret, err);
}

/* What another member has against it: it sees the cluster as it will be without this node. */
static int ask_members(NodeJob *job, Err *err)
{
    g_autoptr(MemberPeers) members = NULL;
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;
    JsonNode *node;
    JsonArray *list;
    int r;

    if ((r = peers_now(job, &members, err)) < 0 ||
        (r = member_ask(members, MEMBER_STEP_ASK, is_set(job, "keep-guests"), &parser, &data,
                        err)) < 0) {
        return err_wrapf(err, r,
                         "asking the other nodes (does quorate-api run there? those that are gone "
                         "for good are removed with 'pvecm delnode' first)");
    }
    node = json_object_get_member(data, "problems");
    list = node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    if (list == NULL) {
        return err_setf(err, -EBADMSG, "the member's answer lacks its list of problems");
    }
    for (guint i = 0; i < json_array_get_length(list); i++) {
        const char *text = json_array_get_string_element(list, i);

        if (i + 1 == json_array_get_length(list)) {
            return err_setf(err, -EPERM, "%s", text);
        }
        node_job_say(job, "problem: %s", text);
    }
    return 0;
}

static int do_check(NodeJob *job, Err *err)
{
    g_autofree char *cwd = g_get_current_dir();
    int r;

    if (g_str_has_prefix(cwd, job->change->paths->pve)) {
        return err_setf(err, -EBUSY, "leave %s first: it is mounted anew", cwd);
    }
    if (is_set(job, "alone")) {
        return 0;
    }
    /* Without quorum no member can help: that is said before one that cannot be reached. */
    r = node_may_go(job, node_job_get(job, "node"), err);
    return r < 0 ? r : ask_members(job, err);
}

/* ---- save -------------------------------------------------------------------------------------
 */

static int copy_file(const char *from, const char *to, gsize max, Err *err)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(from, max, &text, &size, err);

    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    if (r == 0) {
        (void)g_unlink(to); /* of an earlier try */
        r = cfsfile_write(to, text, size, err);
        explicit_bzero(text, size);
    }
    return r;
}

static int do_save(NodeJob *job, Err *err)
{
    const ClusterPaths *paths = job->change->paths;
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);
    g_autofree char *ca = g_build_filename(paths->pve, "pve-root-ca.pem", NULL);
    g_autofree char *conf_to = saved(job, "corosync.conf");
    g_autofree char *ca_to = saved(job, "pve-root-ca.pem");
    g_autofree char *key_to = saved(job, "authkey");
    int r;

    if (g_mkdir_with_parents(node_job_get(job, "backup"), 0700) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", node_job_get(job, "backup"), strerror(-r));
    }
    if ((r = copy_file(conf, conf_to, COROSYNC_CONF_SIZE_MAX, err)) < 0 ||
        (r = copy_file(ca, ca_to, CERTS_PEM_SIZE_MAX, err)) < 0) {
        return r;
    }
    return copy_file(paths->authkey, key_to, COROSYNC_KEY_MAX, err);
}

/* ---- votes ------------------------------------------------------------------------------------
 */

static int set_votes(NodeJob *job, uint32_t votes, Err *err)
{
    const char *node = node_job_get(job, "node");
    g_auto(ConfEdit) edit = {0};
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *own;
    int r = conf_edit_begin(job->change->paths->pve, &edit, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(edit.conf);
    own = corosync_nodes_find(nodes, node);
    if (own != NULL && own->votes != votes &&
        ((r = corosync_conf_set_votes(edit.conf, node, votes, err)) < 0 ||
         (r = conf_edit_commit(&edit, err)) < 0)) {
        return r;
    }
    conf_edit_tell(&edit);
    return node_wait_expected(edit.conf, LEAVE_COUNT_TIMEOUT_SEC, err);
}

static int undo_votes(NodeJob *job, Err *err)
{
    if (is_set(job, "alone")) {
        return 0;
    }
    int r = cluster_wait_quorate(job->change->paths, START_WAIT_SEC, err);

    return r < 0 ? r
                 : set_votes(job, (uint32_t)g_ascii_strtoull(node_job_get(job, "votes"), NULL, 10),
                             err);
}

/* ---- stop -------------------------------------------------------------------------------------
 */

static const char *const database_files[] = {"config.db", "config.db-wal", "config.db-shm",
                                             "config.db-journal"};

static int do_stop(NodeJob *job, Err *err)
{
    int r;

    if ((r = service_stop(SERVICE_PMXCFS, err)) < 0 ||
        (r = service_stop(SERVICE_COROSYNC, err)) < 0) {
        return r;
    }
    for (guint i = 0; i < G_N_ELEMENTS(database_files); i++) {
        g_autofree char *from = g_build_filename(job->change->state_dir, database_files[i], NULL);
        g_autofree char *to = saved(job, database_files[i]);

        if ((r = copy_file(from, to, DATABASE_MAX, err)) < 0) {
            return r;
        }
    }
    return 0;
}

static int undo_stop(NodeJob *job, Err *err)
{
    int r;

    /* A removed node's corosync stays off: it was off, or is alone. */
    if ((!is_set(job, "removed") && (r = service_start(SERVICE_COROSYNC, err)) < 0) ||
        (r = service_start(SERVICE_PMXCFS, err)) < 0) {
        return r;
    }
    return is_set(job, "alone") ? 0 : cluster_wait_quorate(job->change->paths, START_WAIT_SEC, err);
}

/* ---- remove -----------------------------------------------------------------------------------
 */

static int do_remove(NodeJob *job, Err *err)
{
    gint64 deadline;
    g_autoptr(MemberPeers) members = NULL;
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;
    int r;

    if (is_set(job, "alone")) {
        return 0;
    }
    if ((r = peers(job, &members, err)) < 0) {
        return r;
    }
    /* A member that died with the cluster's lock leaves it behind for two minutes. */
    deadline = g_get_monotonic_time() + REMOVE_WAIT_SEC * G_USEC_PER_SEC;
    while ((r = member_ask(members, MEMBER_STEP_REMOVE, is_set(job, "keep-guests"), &parser, &data,
                           err)) < 0 &&
           r != -EPERM && g_get_monotonic_time() < deadline) {
        g_usleep(G_USEC_PER_SEC);
    }
    return r < 0 ? err_wrapf(err, r, "asking the other nodes to take this one out") : 0;
}

/* ---- local ------------------------------------------------------------------------------------
 */

/* The cluster has decided on the guests of a node that it removed: they run elsewhere, or wait
 * there under the node's name. Its own copies are old, and are only kept in the backup. */
static int set_guests_aside(NodeJob *job, Err *err)
{
    const char *pve = job->change->paths->pve;
    const char *node = node_job_get(job, "node");
    g_autoptr(GPtrArray) guests = node_tree_guests(pve, node);

    for (guint i = 0; i < guests->len; i++) {
        const char *guest = g_ptr_array_index(guests, i);
        g_autofree char *path = g_build_filename(pve, "nodes", node, guest, NULL);
        g_autofree char *name = g_strdelimit(g_strdup(guest), "/", '-');
        g_autofree char *to = saved(job, name);
        int r;

        if ((r = copy_file(path, to, GUEST_MAX, err)) < 0 ||
            (r = node_tree_delete(path, err)) < 0) {
            return r;
        }
        node_job_say(job, "the cluster has decided on guest %s; this node's copy is %s", guest, to);
    }
    return 0;
}

/* What was the cluster's and not this node's. Storage, users and firewall stay as they were. */
static int strip_tree(NodeJob *job, Err *err)
{
    static const char *const gone[] = {"corosync.conf.new",
                                       "pve-root-ca.pem",
                                       "priv/pve-root-ca.key",
                                       "priv/pve-root-ca.srl",
                                       "authkey.pub",
                                       "authkey.pub.old",
                                       "priv/authkey.key",
                                       "priv/authkey.key.old",
                                       "pve-www.key",
                                       "priv/join-tokens",
                                       "priv/removed-nodes",
                                       "priv/removed",
                                       "priv/lock/file-corosync_conf",
                                       "ha/manager_status",
                                       "corosync.conf"};
    const char *pve = job->change->paths->pve;
    const char *node = node_job_get(job, "node");
    g_autofree char *nodes = g_build_filename(pve, "nodes", NULL);
    g_autofree char *key = g_build_filename(nodes, node, "pve-ssl.key", NULL);
    g_autofree char *cert = g_build_filename(nodes, node, "pve-ssl.pem", NULL);
    g_autoptr(GDir) dir = g_dir_open(nodes, 0, NULL);
    const char *name;
    int r;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(nodes, name, NULL);

        if (strcmp(name, node) != 0 && (r = node_tree_delete(path, err)) < 0) {
            return r;
        }
    }
    if ((r = node_tree_delete(key, err)) < 0 || (r = node_tree_delete(cert, err)) < 0) {
        return r;
    }
    /* corosync.conf last: with it, an interrupted strip is still the tree of a cluster. */
    for (guint i = 0; i < G_N_ELEMENTS(gone); i++) {
        g_autofree char *path = g_build_filename(pve, gone[i], NULL);

        if ((r = node_tree_delete(path, err)) < 0) {
            return r;
        }
    }
    return 0;
}

static int wait_mounted(const NodeJob *job, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + START_WAIT_SEC * G_USEC_PER_SEC;
    g_autofree char *path = g_build_filename(job->change->paths->pve, ".version", NULL);

    while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "%s was not mounted after %d s",
                            job->change->paths->pve, START_WAIT_SEC);
        }
        g_usleep(50 * 1000);
    }
    return 0;
}

/* corosync's own memory of the ring would let an old ring id come back. */
static void forget_rings(void)
{
    static const char *const path = "/var/lib/corosync";
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (g_str_has_prefix(name, "ringid_")) {
            g_autofree char *file = g_build_filename(path, name, NULL);

            (void)g_unlink(file); /* it only matters to a cluster this node has left */
        }
    }
}

static int do_local(NodeJob *job, Err *err)
{
    const ClusterPaths *paths = job->change->paths;
    Err stop_err = ERR_INIT;
    int r, stopped;

    if ((r = service_stop(SERVICE_COROSYNC, err)) < 0 ||
        (r = service_stop(SERVICE_PMXCFS, err)) < 0 || (r = service_stop_local(err)) < 0 ||
        (r = service_start_local(err)) < 0) {
        return r;
    }
    r = wait_mounted(job, err);
    if (r == 0 && is_set(job, "removed")) {
        r = set_guests_aside(job, err);
    }
    if (r == 0) {
        r = strip_tree(job, err);
    }
    stopped = service_stop_local(&stop_err);
    if (r == 0 && stopped < 0) {
        r = err_setf(err, stopped, "%s", err_text(&stop_err));
    }
    if (r == 0 && (r = node_tree_delete(paths->host_conf, err)) == 0) {
        r = node_tree_delete(paths->authkey, err);
    }
    forget_rings();
    return r;
}

/* ---- start ------------------------------------------------------------------------------------
 */

static void say_line(void *ctx, const char *line)
{
    node_job_say(ctx, "%s", line);
}

static int do_start(NodeJob *job, Err *err)
{
    int r;

    if ((r = service_start(SERVICE_PMXCFS, err)) < 0 || (r = wait_mounted(job, err)) < 0 ||
        (r = cluster_update_certs(job->change->paths, false, say_line, job, err)) < 0) {
        return r;
    }
    door_forget(job->change->state_dir);
    if (backups_prune(job->change->state_dir, node_job_get(job, "backup"), err) < 0) {
        node_job_say(job, "warning: removing old backups: %s", err_text(err));
        err_clear(err);
    }
    cluster_log(LOG_NOTICE, "this node is in no cluster any more");
    return 0;
}

/* ---- the plan's operations --------------------------------------------------------------------
 */

static int perform(NodeJob *job, unsigned step, Err *err)
{
    switch ((LeaveStep)step) {
    case LEAVE_STEP_CHECK:
        return do_check(job, err);
    case LEAVE_STEP_SAVE:
        return do_save(job, err);
    case LEAVE_STEP_VOTES:
        return is_set(job, "alone") ? 0 : set_votes(job, 0, err);
    case LEAVE_STEP_STOP:
        return do_stop(job, err);
    case LEAVE_STEP_REMOVE:
        return do_remove(job, err);
    case LEAVE_STEP_LOCAL:
        return do_local(job, err);
    case LEAVE_STEP_START:
        return do_start(job, err);
    case LEAVE_STEP_N:
        break;
    }
    return -EINVAL;
}

static int undo(NodeJob *job, unsigned step, Err *err)
{
    switch ((LeaveStep)step) {
    case LEAVE_STEP_STOP:
        return undo_stop(job, err);
    case LEAVE_STEP_VOTES:
        return undo_votes(job, err);
    case LEAVE_STEP_CHECK:
    case LEAVE_STEP_SAVE: /* what was saved may stay */
    case LEAVE_STEP_REMOVE:
    case LEAVE_STEP_LOCAL:
    case LEAVE_STEP_START:
    case LEAVE_STEP_N:
        break;
    }
    return 0;
}

static const char *const texts[LEAVE_STEP_N] = {
    [LEAVE_STEP_CHECK] = "checking whether the cluster can do without this node",
    [LEAVE_STEP_SAVE] = "saving the configuration",
    [LEAVE_STEP_VOTES] = "giving the votes back",
    [LEAVE_STEP_STOP] = "stopping corosync and the tree",
    [LEAVE_STEP_REMOVE] = "being taken out by a member",
    [LEAVE_STEP_LOCAL] = "clearing away what was the cluster's",
    [LEAVE_STEP_START] = "starting as a node without cluster",
};

const NodeJobType node_leave_type = {NODE_PLAN_LEAVE, perform, undo, texts};

/* ---- entry ------------------------------------------------------------------------------------
 */

static int fill_job(NodeJob *job, const LeaveOptions *opt, Err *err)
{
    g_autofree char *node = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    g_autofree char *backup = backups_path(job->change->state_dir, "leave");
    g_autofree char *votes = NULL;
    const CorosyncNode *own;
    int r;

    if ((r = cluster_this_node(&node, &fqdn, &addresses, err)) < 0 ||
        (r = node_tree_conf(job->change->paths->pve, &conf, err)) < 0) {
        return r;
    }
    nodes = corosync_nodes(conf);
    own = corosync_nodes_find(nodes, node);
    if (own == NULL && !opt->removed) {
        return err_setf(err, -ENOENT, "this node ('%s') is not in the cluster's list", node);
    }
    votes = g_strdup_printf("%u", own != NULL ? own->votes : 0);
    node_job_set(job, "node", node);
    node_job_set(job, "votes", votes);
    node_job_set(job, "backup", backup);
    node_job_set(job, "alone", opt->removed || nodes->len == 1 ? "1" : NULL);
    node_job_set(job, "removed", opt->removed ? "1" : NULL);
    node_job_set(job, "keep-guests", opt->keep_guests ? "1" : NULL);
    return 0;
}

int node_leave(const NodeChange *change, const LeaveOptions *opt, Err *err)
{
    g_auto(NodeJob) job = {0};
    int r;

    node_job_init(&job, change, &node_leave_type);
    if ((r = fill_job(&job, opt, err)) < 0 || (r = node_job_run(&job, err)) < 0) {
        return r;
    }
    if (change->dry_run) {
        node_job_say(&job, "nothing stands against leaving");
    } else {
        node_job_say(&job, "what the node had as a member is in %s", node_job_get(&job, "backup"));
    }
    return 0;
}

int node_forget_removed(const NodeChange *change, Err *err)
{
    const LeaveOptions opt = {.keep_guests = true, .removed = true};
    g_autofree char *conf = g_build_filename(change->paths->pve, "corosync.conf", NULL);
    g_autofree char *refusal = NULL;
    Tracer silent = {0};
    Err unknown = ERR_INIT; /* nobody could be asked: then it stays a member */
    int r;

    if (!g_file_test(conf, G_FILE_TEST_EXISTS) ||
        (!door_refused(change->state_dir) &&
         door_ask(change->paths, change->state_dir, &silent, &unknown) != DOOR_REMOVED)) {
        return 0;
    }
    refusal = door_refusal(change->state_dir);
    if (change->say != NULL && refusal != NULL) {
        change->say(change->ctx, refusal);
        change->say(change->ctx, "forgetting the old cluster first");
    }
    if (change->dry_run) {
        return 1;
    }
    r = node_leave(change, &opt, err);
    return r < 0 ? r : 1;
}
