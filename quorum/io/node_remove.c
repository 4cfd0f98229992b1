/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_remove.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define GUESTS_REMEDY                                                                              \
    "move them away first, or give --adopt-to NODE (another node gets their configurations), "     \
    "--purge (the configurations are archived) or --force (they stay where they are)"

#define KICK_COMMITS_MAX 3u /* each waits for quorum */
#define EDIT_WAIT_SEC    45 /* until a node that comes back by the door is in the ring */
#define EDIT_RETRY_MS    200

#define NOTE_KICKED "kicked" /* in the journal: the node may have been told to leave the ring */

/* ---- facts ------------------------------------------------------------------------------------
 */

static char *this_node(void)
{
    return g_strndup(g_get_host_name(), strcspn(g_get_host_name(), "."));
}

/* Ids of the members that are up, and whether they are quorate. */
static GArray *online_members(bool *ret_quorate)
{
    g_autoptr(QuorumReport) report = NULL;
    GArray *out = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    *ret_quorate = false;
    if (quorum_query(NULL, 0, &report, NULL) < 0) {
        return out; /* no corosync: nobody, and no quorum */
    }
    *ret_quorate = report->facts.quorate;
    for (uint32_t i = 0; i < report->facts.n_members; i++) {
        g_array_append_val(out, report->facts.members[i].nodeid);
    }
    return out;
}

static GPtrArray *problems_of(const char *pve,
                              const CorosyncConf *conf,
                              const char *node,
                              RemoveGuests guests_mode,
                              const char *remedy)
{
    g_autoptr(GPtrArray) guests = node_tree_guests(pve, node);
    g_autoptr(GPtrArray) names = node_tree_guest_names(guests);
    g_autoptr(GPtrArray) ha = node_tree_ha_guests(pve, guests);
    DepartFacts f = {.node = node, .conf = conf, .guests = names, .ha_guests = ha};
    g_autoptr(GArray) online = online_members(&f.quorate);

    f.online = online;
    f.guests_remedy = guests_mode == REMOVE_GUESTS_REFUSE ? remedy : NULL;
    if (guests_mode == REMOVE_GUESTS_REFUSE || guests_mode == REMOVE_GUESTS_LEAVE ||
        guests_mode == REMOVE_GUESTS_ADOPT) {
        /* HA goes on with them, or will be told where they are. */
        g_ptr_array_set_size(ha, 0);
    }
    return depart_problems(&f);
}

GPtrArray *node_remove_problems(const char *pve, const RemoveOptions *opt, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;

    if (node_tree_conf(pve, &conf, err) < 0) {
        return NULL;
    }
    return problems_of(pve, conf, opt->node, opt->guests,
                       "move them away first, or take them along with --keep-guests");
}

int node_may_go(NodeJob *job, const char *node, Err *err)
{
    const RemoveOptions opt = {.node = node, .guests = REMOVE_GUESTS_LEAVE};
    g_autoptr(GPtrArray) problems = NULL;

    (void)node_job_wait_quorum(job); /* without, it is one of the problems */
    problems = node_remove_problems(job->change->paths->pve, &opt, err);
    if (problems == NULL) {
        return -EIO;
    }
    return problems->len == 0
               ? 0
               : err_setf(err, -EPERM, "%s", (const char *)g_ptr_array_index(problems, 0));
}

int node_wait_expected(const CorosyncConf *conf, unsigned timeout_sec, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_sec * G_USEC_PER_SEC;
    uint32_t want = corosync_expected_votes(conf);
    uint32_t have = 0;

    for (;;) {
        g_autoptr(QuorumReport) report = NULL;

        if (quorum_query(NULL, 0, &report, NULL) == 0) {
            have = report->facts.expected;
        }
        if (have == want) {
            return 0;
        }
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "corosync expects %u votes, not %u, after %u s", have,
                            want, timeout_sec);
        }
        g_usleep(50 * 1000);
    }
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static int check_target(NodeJob *job, const CorosyncConf *conf, Err *err)
{
    const char *to = node_job_get(job, "adopt-to");
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);

    if (to != NULL && strcmp(to, node_job_get(job, "node")) == 0) {
        return err_setf(err, -EINVAL, "--adopt-to %s: that is the node to be removed", to);
    }
    if (to != NULL && corosync_nodes_find(nodes, to) == NULL) {
        return err_setf(err, -ENOENT, "--adopt-to %s: no node of the cluster", to);
    }
    return 0;
}

static int do_check(NodeJob *job, Err *err)
{
    const char *pve = job->change->paths->pve;
    const char *node = node_job_get(job, "node");
    g_autofree char *self = this_node();
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    int r = node_tree_conf(pve, &conf, err);

    if (r < 0 || (r = check_target(job, conf, err)) < 0) {
        return r;
    }
    if (strcmp(node, self) == 0) {
        return err_setf(err, -EINVAL,
                        "'%s' is this node: run 'pvecm leave' here, or 'pvecm delnode' elsewhere",
                        node);
    }
    (void)node_job_wait_quorum(job); /* without, it is one of the problems */
    problems = problems_of(pve, conf, node,
                           (RemoveGuests)g_ascii_strtoull(node_job_get(job, "guests"), NULL, 10),
                           GUESTS_REMEDY);
    for (guint i = 0; i + 1 < problems->len; i++) {
        node_job_say(job, "problem: %s", (const char *)g_ptr_array_index(problems, i));
    }
    if (problems->len > 0) {
        return err_setf(err, -EPERM, "%s",
                        (const char *)g_ptr_array_index(problems, problems->len - 1));
    }
    return 0;
}

static char *archive_path(const NodeJob *job)
{
    return g_build_filename(job->change->paths->pve, "priv", "removed",
                            node_job_get(job, "archive"), NULL);
}

static int make_archive(const NodeJob *job, Err *err)
{
    g_autofree char *path = archive_path(job);
    g_autofree char *parent = g_path_get_dirname(path);

    if ((g_mkdir(parent, 0700) < 0 && errno != EEXIST) ||
        (g_mkdir(path, 0700) < 0 && errno != EEXIST)) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

/* Where a guest is, and where it goes; false when it stays. */
static bool guest_paths(const NodeJob *job, const char *guest, char **ret_from, char **ret_to)
{
    const char *pve = job->change->paths->pve;
    const char *mode = node_job_get(job, "guests");

    if (g_ascii_strtoull(mode, NULL, 10) == REMOVE_GUESTS_ADOPT) {
        *ret_to = g_build_filename(pve, "nodes", node_job_get(job, "adopt-to"), guest, NULL);
    } else if (g_ascii_strtoull(mode, NULL, 10) == REMOVE_GUESTS_ARCHIVE) {
        g_autofree char *archive = archive_path(job);
        g_autofree char *name = g_strdelimit(g_strdup(guest), "/", '-');

        *ret_to = g_build_filename(archive, name, NULL);
    } else {
        return false;
    }
    *ret_from = g_build_filename(pve, "nodes", node_job_get(job, "node"), guest, NULL);
    return true;
}

static int move_guest(const NodeJob *job, const char *guest, bool back, Err *err)
{
    g_autofree char *from = NULL;
    g_autofree char *to = NULL;

    if (!guest_paths(job, guest, &from, &to)) {
        return 0;
    }
    if (g_rename(back ? to : from, back ? from : to) < 0 && errno != ENOENT) {
        int r = -errno;

        return err_setf(err, r, "moving %s to %s: %s", back ? to : from, back ? from : to,
                        strerror(-r));
    }
    if (!back) {
        node_job_say(job, "guest %s is now %s", guest, to);
    }
    return 0;
}

static int move_guests(NodeJob *job, bool back, Err *err)
{
    g_auto(GStrv) list = g_strsplit(node_job_get(job, "list"), " ", -1);

    for (guint i = 0; list[i] != NULL; i++) {
        int r = list[i][0] != '\0' ? move_guest(job, list[i], back, err) : 0;

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int do_guests(NodeJob *job, Err *err)
{
    int r = g_ascii_strtoull(node_job_get(job, "guests"), NULL, 10) == REMOVE_GUESTS_ARCHIVE
                ? make_archive(job, err)
                : 0;

    return r < 0 ? r : move_guests(job, false, err);
}

static int do_tombstone(NodeJob *job, Err *err)
{
    g_autofree char *self = this_node();
    Tombstone t = {.node = (char *)node_job_get(job, "node"),
                   .nodeid = (uint32_t)g_ascii_strtoull(node_job_get(job, "nodeid"), NULL, 10),
                   .when = clock_wall(),
                   .by = self,
                   .left = node_job_get(job, "left") != NULL};

    return node_tree_bury(job->change->paths->pve, &t, err);
}

/* Votes of the members other than `nodeid` that are up; `ret_online`: is that one up, too? */
static uint32_t votes_without(const QuorumReport *report, uint32_t nodeid, bool *ret_online)
{
    uint32_t votes = report->facts.qdevice_votes;

    *ret_online = false;
    for (uint32_t i = 0; i < report->facts.n_members; i++) {
        const QuorumMember *m = &report->facts.members[i];

        votes += m->nodeid != nodeid ? m->votes : 0;
        *ret_online = *ret_online || m->nodeid == nodeid;
    }
    return votes;
}

/* The others decide only among what is left (one of two, two of four): once the node is out of the
 * ring its votes are not expected any more, or nobody could write the new configuration. */
static int go_on_without(const NodeJob *job, const CorosyncNode *node, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + REMOVE_COUNT_TIMEOUT_SEC * G_USEC_PER_SEC;
    bool online = true;
    int r = -ETIMEDOUT;

    while (r < 0 && g_get_monotonic_time() < deadline) {
        g_autoptr(QuorumReport) report = NULL;

        g_usleep(50 * 1000);
        err_clear(err);
        r = quorum_query(NULL, 0, &report, err);
        if (r == 0) {
            uint32_t votes = votes_without(report, node->nodeid, &online);
            uint32_t quorum = report->facts.quorum;

            r = online            ? -ETIMEDOUT
                : votes >= quorum ? 0
                                  : quorum_set_expected(report->facts.expected - node->votes, err);
        }
    }
    if (r < 0) {
        return err->code != 0 ? r
                              : err_setf(err, r, "node '%s' does not leave the ring", node->name);
    }
    return cluster_wait_quorate(job->change->paths, REMOVE_COUNT_TIMEOUT_SEC, err);
}

/* What corosync expects is told by the configuration it runs with, which may be older than the
 * cluster's for a moment: then it would seem that the others can decide without the node. */
static void catch_up(const CorosyncConf *conf)
{
    gint64 deadline = g_get_monotonic_time() + REMOVE_COUNT_TIMEOUT_SEC * G_USEC_PER_SEC;
    uint64_t want = corosync_conf_version(conf), have = 0;
    bool told = false;

    while (quorum_config_version(&have, NULL) == 0 && have < want &&
           g_get_monotonic_time() < deadline) {
        if (!told) {
            conf_edit_spread(want);
            told = true;
        }
        g_usleep(50 * 1000);
    }
}

/* A node that is up loses its place in the ring first, or it would have to live with a
 * corosync.conf that does not name it. True when its votes are not expected any more since then. */
static bool kick(NodeJob *job, const CorosyncConf *conf, const CorosyncNode *node)
{
    g_autoptr(QuorumReport) report = NULL;
    Err err = ERR_INIT;
    bool online = false, needed;

    catch_up(conf);
    if (quorum_query(NULL, 0, &report, NULL) < 0) {
        return false; /* no corosync here: nobody could be told */
    }
    needed = votes_without(report, node->nodeid, &online) < report->facts.quorum;
    if (!online) {
        return false;
    }
    /* From here to the lowered votes nothing can be written to the tree: whoever recovers this job
     * must know that it is we who took the quorum away. */
    if (needed && job->journal && node_job_note(job, NOTE_KICKED, "1", &err) < 0) {
        node_job_say(job, "it is not told to leave the ring: %s", err_text(&err));
        return false;
    }
    if (quorum_kick_node(node->nodeid, &err) < 0) {
        node_job_say(job, "it could not be told to leave the ring: %s", err_text(&err));
        return false;
    }
    if (needed && go_on_without(job, node, &err) < 0) {
        node_job_say(job, "%s", err_text(&err));
    }
    return needed;
}

/* A reload that was due, for the version before, has corosync expect those votes again. */
static int commit_without(const NodeJob *job, ConfEdit *edit, const CorosyncNode *node, Err *err)
{
    int r = conf_edit_commit(edit, err);

    for (unsigned i = 0; r < 0 && i < KICK_COMMITS_MAX; i++) {
        err_clear(err);
        if ((r = go_on_without(job, node, err)) == 0) {
            r = conf_edit_commit(edit, err);
        }
    }
    return r;
}

/* No quorum, or the tree is just being brought up to date. */
static bool passes(int r)
{
    return r == -EACCES || r == -EBUSY;
}

int node_edit_commit(const NodeJob *job, ConfEdit *edit, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + EDIT_WAIT_SEC * G_USEC_PER_SEC;
    bool said = false;
    int r;

    while (passes(r = conf_edit_commit(edit, err)) && g_get_monotonic_time() < deadline) {
        if (!said) {
            node_job_say(job, "quorum went just now: waiting until it is back");
            said = true;
        }
        err_clear(err);
        g_usleep(EDIT_RETRY_MS * 1000);
    }
    return r;
}

int node_kick_out(NodeJob *job, ConfEdit *edit, Err *err)
{
    const char *name = node_job_get(job, "node");
    g_autoptr(GPtrArray) nodes = corosync_nodes(edit->conf);
    const CorosyncNode *node = corosync_nodes_find(nodes, name);
    bool without = node != NULL && kick(job, edit->conf, node);
    int r = corosync_conf_remove_node(edit->conf, name, err);

    if (r < 0) {
        return r;
    }
    return without ? commit_without(job, edit, node, err) : node_edit_commit(job, edit, err);
}

/* What the ring and the list say about the node of an interrupted job. Caller frees the list. */
static int kick_facts(const NodeJob *job,
                      CorosyncConf **ret_conf,
                      const CorosyncNode **ret_node,
                      GPtrArray **ret_nodes,
                      KickFacts *ret,
                      Err *err)
{
    g_autoptr(QuorumReport) report = NULL;
    int r;

    if ((r = quorum_query(NULL, 0, &report, err)) < 0 ||
        (r = node_tree_conf(job->change->paths->pve, ret_conf, err)) < 0) {
        return r;
    }
    *ret_nodes = corosync_nodes(*ret_conf);
    *ret_node = corosync_nodes_find(*ret_nodes, node_job_get(job, "node"));
    if (*ret_node != NULL) {
        ret->listed = true;
        ret->others = votes_without(report, (*ret_node)->nodeid, &ret->online);
        ret->quorum = report->facts.quorum;
        ret->expected = report->facts.expected;
    }
    return 0;
}

int node_kick_resume(NodeJob *job, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *node = NULL;
    KickFacts facts = {.listed = false};
    int r;

    if (node_job_get(job, NOTE_KICKED) == NULL) {
        return 0;
    }
    if ((r = kick_facts(job, &conf, &node, &nodes, &facts, err)) < 0) {
        return r;
    }
    switch (kick_resume(&facts)) {
    case KICK_RESUME_NOTHING:
        return 0;
    case KICK_RESUME_WAIT:
        return err_setf(err, -EAGAIN,
                        "the nodes that are not seen may decide without this one: try again when "
                        "they are there");
    case KICK_RESUME_AGAIN:
        if ((r = quorum_kick_node(node->nodeid, err)) < 0 && r != -ENOENT) {
            return r;
        }
        err_clear(err); /* -ENOENT: it has gone since it was looked at */
        break;
    case KICK_RESUME_WITHOUT:
        break;
    }
    node_job_say(job, "node '%s' was told to leave the ring: going on without its votes",
                 node->name);
    return go_on_without(job, node, err);
}

int node_edit_begin(NodeJob *job, ConfEdit *edit, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + EDIT_WAIT_SEC * G_USEC_PER_SEC;
    int r;

    while (passes(r = conf_edit_begin(job->change->paths->pve, edit, err)) &&
           g_get_monotonic_time() < deadline) {
        int resumed;

        g_usleep(EDIT_RETRY_MS * 1000);
        err_clear(err);
        if ((resumed = node_kick_resume(job, err)) < 0) {
            return resumed;
        }
    }
    return r;
}

int node_kick_over(NodeJob *job, Err *err)
{
    return node_job_get(job, NOTE_KICKED) == NULL ? 0 : node_job_note(job, NOTE_KICKED, NULL, err);
}

static int do_list(NodeJob *job, Err *err)
{
    const char *node = node_job_get(job, "node");
    g_auto(ConfEdit) edit = {0};
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *found;
    int r;

    if ((r = node_kick_resume(job, err)) < 0) {
        return r;
    }
    if ((r = node_edit_begin(job, &edit, err)) < 0) {
        return r == -EACCES ? -EPERM : r; /* no quorum: nothing was done */
    }
    nodes = corosync_nodes(edit.conf);
    found = corosync_nodes_find(nodes, node);
    if (found != NULL) {
        if ((r = node_kick_out(job, &edit, err)) < 0) {
            return r;
        }
        conf_edit_tell(&edit);
        cluster_log(LOG_NOTICE, "node '%s' %s the cluster (config version %" G_GUINT64_FORMAT ")",
                    node, node_job_get(job, "left") != NULL ? "has left" : "was removed from",
                    corosync_conf_version(edit.conf));
    }
    if (node_wait_expected(edit.conf, REMOVE_COUNT_TIMEOUT_SEC, err) < 0) {
        node_job_say(job, "%s; 'pvecm status' will show it", err_text(err));
        err_clear(err);
    }
    return 0;
}

static int move_directory(NodeJob *job, Err *err)
{
    g_autofree char *from =
        g_build_filename(job->change->paths->pve, "nodes", node_job_get(job, "node"), NULL);
    g_autofree char *archive = archive_path(job);
    g_autofree char *to = g_build_filename(archive, "node", NULL);
    g_autofree char *key = g_build_filename(to, "pve-ssl.key", NULL);
    int r;

    if (!g_file_test(from, G_FILE_TEST_IS_DIR)) {
        return 0; /* done before */
    }
    if ((r = make_archive(job, err)) < 0 || (r = node_tree_move(from, to, err)) < 0) {
        return r;
    }
    node_job_say(job, "its files are now in %s", archive);
    return node_tree_delete(key, err); /* nobody shall be this node any more */
}

static int do_files(NodeJob *job, Err *err)
{
    const char *pve = job->change->paths->pve;
    const char *node = node_job_get(job, "node");
    g_autoptr(GPtrArray) guests = node_tree_guests(pve, node);
    g_autoptr(GPtrArray) left = node_tree_mentions(pve, node);
    int r = node_tree_forget_keys(pve, node, err);

    if (r < 0) {
        return r;
    }
    if (guests->len > 0) {
        node_job_say(job, "%u guest(s) stay in %s/nodes/%s", guests->len, pve, node);
    } else if ((r = move_directory(job, err)) < 0) {
        return r;
    }
    for (guint i = 0; i < left->len; i++) {
        node_job_say(job, "still named in %s", (const char *)g_ptr_array_index(left, i));
    }
    return 0;
}

static int perform(NodeJob *job, unsigned step, Err *err)
{
    switch ((RemoveStep)step) {
    case REMOVE_STEP_CHECK:
        return do_check(job, err);
    case REMOVE_STEP_GUESTS:
        return do_guests(job, err);
    case REMOVE_STEP_TOMBSTONE:
        return do_tombstone(job, err);
    case REMOVE_STEP_LIST:
        return do_list(job, err);
    case REMOVE_STEP_FILES:
        return do_files(job, err);
    case REMOVE_STEP_N:
        break;
    }
    return -EINVAL;
}

static int undo(NodeJob *job, unsigned step, Err *err)
{
    switch ((RemoveStep)step) {
    case REMOVE_STEP_TOMBSTONE:
        return node_tree_unbury(job->change->paths->pve, node_job_get(job, "node"), err);
    case REMOVE_STEP_GUESTS:
        return move_guests(job, true, err);
    case REMOVE_STEP_CHECK:
    case REMOVE_STEP_LIST:
    case REMOVE_STEP_FILES:
    case REMOVE_STEP_N:
        break;
    }
    return 0;
}

static const char *const texts[REMOVE_STEP_N] = {
    [REMOVE_STEP_CHECK] = "checking",
    [REMOVE_STEP_TOMBSTONE] = "noting that the node was removed",
    [REMOVE_STEP_LIST] = "taking it out of corosync.conf",
    [REMOVE_STEP_FILES] = "clearing away its keys and files",
};

const NodeJobType node_remove_type = {NODE_PLAN_REMOVE, perform, undo, texts};

/* ---- entry ------------------------------------------------------------------------------------
 */

static void fill_job(NodeJob *job, const RemoveOptions *opt, const CorosyncNode *node)
{
    const char *pve = job->change->paths->pve;
    g_autoptr(GPtrArray) guests = node_tree_guests(pve, node->name);
    g_autoptr(GString) list = g_string_new(NULL);
    g_autofree char *id = g_strdup_printf("%u", node->nodeid);
    g_autofree char *mode = g_strdup_printf("%d", (int)opt->guests);
    g_autofree char *archive =
        g_strdup_printf("%s-%" G_GINT64_FORMAT, node->name, clock_wall().sec);

    for (guint i = 0; i < guests->len; i++) {
        g_string_append_printf(list, "%s%s", i > 0 ? " " : "",
                               (const char *)g_ptr_array_index(guests, i));
    }
    node_job_set(job, "node", node->name);
    node_job_set(job, "nodeid", id);
    node_job_set(job, "guests", mode);
    node_job_set(job, "list", list->str);
    node_job_set(job, "archive", archive);
    node_job_set(job, "adopt-to", opt->adopt_to);
    node_job_set(job, "left", opt->left ? "1" : NULL);
}

/* Not in the list: was it removed before? Then what an earlier run may have left is cleared away.
 */
static int removed_before(NodeJob *job, const char *name, Err *err)
{
    g_auto(Tombstone) t = {0};
    CorosyncNode node = {.name = (char *)name};
    RemoveOptions opt = {.node = name, .guests = REMOVE_GUESTS_LEAVE};
    int r;

    if (!corosync_valid_name(name) ||
        node_tree_tombstone(job->change->paths->pve, name, &t, NULL) < 0) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", name);
    }
    node.nodeid = t.nodeid;
    fill_job(job, &opt, &node);
    r = job->change->dry_run ? 0 : do_files(job, err);
    return r < 0 ? r : err_setf(err, -EALREADY, "node '%s' was removed before", name);
}

int node_remove(const NodeChange *change, const RemoveOptions *opt, bool journal, Err *err)
{
    g_auto(NodeJob) job = {0};
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *node;
    int r = node_tree_conf(change->paths->pve, &conf, err);

    if (r < 0) {
        return r;
    }
    node_job_init(&job, change, &node_remove_type);
    job.journal = journal;
    nodes = corosync_nodes(conf);
    node = corosync_nodes_find_any(nodes, opt->node);
    if (node == NULL) {
        return removed_before(&job, opt->node, err);
    }
    fill_job(&job, opt, node);
    r = node_job_run(&job, err);
    if (r == 0 && change->dry_run) {
        node_job_say(&job, "would remove node '%s' (id %u); the cluster would expect %u vote(s)",
                     node->name, node->nodeid, corosync_expected_votes(conf) - node->votes);
    }
    return r;
}
