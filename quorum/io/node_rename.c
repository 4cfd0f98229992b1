/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_rename.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/node_files.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/services.h"

#include <ctype.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <unistd.h>

#define HOSTNAME_FILE "/etc/hostname"
#define HOSTS_FILE    "/etc/hosts"
#define HOSTS_MAX     (1024u * 1024u)
#define WAIT_SEC      60

/* ---- check ------------------------------------------------------------------------------------
 */

static int check_free(const NodeJob *job, const char *to, Err *err)
{
    const char *pve = job->change->paths->pve;
    g_autoptr(GPtrArray) taken = node_tree_guests(pve, to);
    g_auto(Tombstone) t = {0};

    if (taken->len > 0) {
        return err_setf(err, -EEXIST, "%s/nodes/%s has guests of a node that once had this name",
                        pve, to);
    }
    if (node_tree_tombstone(pve, to, &t, NULL) == 0) {
        return err_setf(err, -EEXIST,
                        "a node '%s' was removed from the cluster and may come back; when it never "
                        "will, remove %s/priv/removed-nodes/%s",
                        to, pve, to);
    }
    return 0;
}

static int do_check(NodeJob *job, Err *err)
{
    const char *pve = job->change->paths->pve;
    const char *from = node_job_get(job, "node");
    const char *to = node_job_get(job, "to");
    g_autofree char *cwd = g_get_current_dir();
    g_autoptr(GPtrArray) guests = node_tree_guests(pve, from);
    g_autoptr(CorosyncConf) conf = NULL;
    int r;

    if (g_str_has_prefix(cwd, pve)) {
        return err_setf(err, -EBUSY, "leave %s first: it is mounted anew", cwd);
    }
    /* Of this copy: is it possible? */
    if ((r = node_tree_conf(pve, &conf, err)) < 0 ||
        (r = corosync_conf_rename_node(conf, from, to, err)) < 0 ||
        (r = check_free(job, to, err)) < 0) {
        return r;
    }
    if (!node_job_wait_quorum(job)) {
        return err_setf(err, -EPERM, "the cluster has no quorum: bring its nodes up first");
    }
    if (guests->len > 0) {
        g_autoptr(GPtrArray) names = node_tree_guest_names(guests);

        return err_setf(err, -EPERM,
                        "node '%s' has %u guest(s), for example %s: only an empty node can be "
                        "renamed; move them away first",
                        from, guests->len, (const char *)g_ptr_array_index(names, 0));
    }
    return 0;
}

/* ---- dirs, list -------------------------------------------------------------------------------
 */

static int remove_dirs(NodeJob *job, const char *name, Err *err)
{
    g_autofree char *path = g_build_filename(job->change->paths->pve, "nodes", name, NULL);

    return node_tree_delete(path, err);
}

static int rename_in_list(NodeJob *job, const char *from, const char *to, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    g_autoptr(GPtrArray) nodes = NULL;
    int r = conf_edit_begin(job->change->paths->pve, &edit, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(edit.conf);
    if (corosync_nodes_find(nodes, from) == NULL) {
        return 0; /* done, or undone, before */
    }
    r = corosync_conf_rename_node(edit.conf, from, to, err);
    if (r == 0 && (r = conf_edit_commit(&edit, err)) == 0) {
        conf_edit_tell(&edit);
    }
    return r;
}

/* ---- host name --------------------------------------------------------------------------------
 */

/* Replaces whole words: "node1" in "10.0.0.1 node1.example.com node1", never in "node10". */
static char *replace_name(const char *text, const char *from, const char *to)
{
    GString *out = g_string_new(NULL);
    size_t n = strlen(from);

    for (const char *p = text; *p != '\0';) {
        bool begins = p == text || isspace((unsigned char)p[-1]);
        char after = strncmp(p, from, n) == 0 ? p[n] : 'x';

        if (begins && (after == '\0' || after == '.' || isspace((unsigned char)after))) {
            g_string_append(out, to);
            p += n;
        } else {
            g_string_append_c(out, *p++);
        }
    }
    return g_string_free(out, FALSE);
}

static int replace_in_file(const char *path, const char *from, const char *to, Err *err)
{
    g_autofree char *text = NULL;
    g_autofree char *next = NULL;
    int r = cfsfile_read(path, HOSTS_MAX, &text, NULL, err);

    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    next = replace_name(text, from, to);
    if (strcmp(next, text) == 0) {
        return 0;
    }
    if ((r = cfsfile_write(path, next, strlen(next), err)) < 0) {
        return r;
    }
    if (g_chmod(path, 0644) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static int set_host_name(const char *from, const char *to, Err *err)
{
    g_autofree char *next = NULL;
    struct utsname uts;
    int r;

    if ((r = replace_in_file(HOSTS_FILE, from, to, err)) < 0 ||
        (r = replace_in_file(HOSTNAME_FILE, from, to, err)) < 0) {
        return r;
    }
    if (uname(&uts) < 0) {
        r = -errno;
        return err_setf(err, r, "reading the host name: %s", strerror(-r));
    }
    next = replace_name(uts.nodename, from, to);
    if (strcmp(next, uts.nodename) != 0 && sethostname(next, strlen(next)) < 0) {
        r = -errno;
        return err_setf(err, r, "setting the host name: %s", strerror(-r));
    }
    return 0;
}

/* ---- start, files -----------------------------------------------------------------------------
 */

static int start_tree(NodeJob *job, Err *err)
{
    int r = service_start(SERVICE_PMXCFS, err);

    return r < 0 ? r : cluster_wait_quorate(job->change->paths, WAIT_SEC, err);
}

static void say_line(void *ctx, const char *line)
{
    node_job_say(ctx, "%s", line);
}

static int do_files(NodeJob *job, Err *err)
{
    const char *from = node_job_get(job, "node");
    const char *to = node_job_get(job, "to");
    int r = cluster_update_certs(job->change->paths, false, say_line, job, err);

    r = r > 0 ? 0 : r;

    if (r == 0 && (r = remove_dirs(job, from, err)) == 0) {
        cluster_log(LOG_NOTICE, "node '%s' is now called '%s'", from, to);
    }
    return r;
}

/* ---- the plan's operations --------------------------------------------------------------------
 */

static int perform(NodeJob *job, unsigned step, Err *err)
{
    const char *from = node_job_get(job, "node");
    const char *to = node_job_get(job, "to");

    switch ((RenameStep)step) {
    case RENAME_STEP_CHECK:
        return do_check(job, err);
    case RENAME_STEP_DIRS:
        return node_files_directories(job->change->paths->pve, to, err);
    case RENAME_STEP_LIST:
        return rename_in_list(job, from, to, err);
    case RENAME_STEP_STOP:
        return service_stop(SERVICE_PMXCFS, err);
    case RENAME_STEP_HOSTNAME:
        return set_host_name(from, to, err);
    case RENAME_STEP_START:
        return start_tree(job, err);
    case RENAME_STEP_FILES:
        return do_files(job, err);
    case RENAME_STEP_N:
        break;
    }
    return -EINVAL;
}

static int undo(NodeJob *job, unsigned step, Err *err)
{
    const char *from = node_job_get(job, "node");
    const char *to = node_job_get(job, "to");

    switch ((RenameStep)step) {
    case RENAME_STEP_START:
        return service_stop(SERVICE_PMXCFS, err);
    case RENAME_STEP_HOSTNAME:
        return set_host_name(to, from, err);
    case RENAME_STEP_STOP:
        return start_tree(job, err);
    case RENAME_STEP_LIST:
        return rename_in_list(job, to, from, err);
    case RENAME_STEP_DIRS:
        return remove_dirs(job, to, err);
    case RENAME_STEP_CHECK:
    case RENAME_STEP_FILES:
    case RENAME_STEP_N:
        break;
    }
    return 0;
}

static const char *const texts[RENAME_STEP_N] = {
    [RENAME_STEP_CHECK] = "checking",
    [RENAME_STEP_LIST] = "writing the new name into corosync.conf",
    [RENAME_STEP_STOP] = "stopping the tree",
    [RENAME_STEP_HOSTNAME] = "changing the host name",
    [RENAME_STEP_START] = "mounting the tree under the new name",
    [RENAME_STEP_FILES] = "renewing the certificate, removing the old directories",
};

const NodeJobType node_rename_type = {NODE_PLAN_RENAME, perform, undo, texts};

int node_rename(const NodeChange *change, const char *to, Err *err)
{
    g_auto(NodeJob) job = {0};
    g_autofree char *node = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    int r = cluster_this_node(&node, &fqdn, &addresses, err);

    if (r < 0) {
        return r;
    }
    if (!corosync_valid_name(to)) {
        return err_setf(err, -EINVAL, "'%s' is no node name (letters, digits, inner hyphens)", to);
    }
    if (strcmp(node, to) == 0) {
        return err_setf(err, -EALREADY, "this node is called '%s'", to);
    }
    node_job_init(&job, change, &node_rename_type);
    node_job_set(&job, "node", node);
    node_job_set(&job, "to", to);
    r = node_job_run(&job, err);
    if (r == 0 && change->dry_run) {
        node_job_say(&job, "would rename node '%s' to '%s'", node, to);
    }
    return r;
}
