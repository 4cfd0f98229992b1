/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_add.h"

#include "lib/conf/corosync_check.h"
#include "lib/port/clock.h"
#include "quorum/core/join_request.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/join_records.h"
#include "quorum/io/node_files.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <syslog.h>

/* The address counts; a priority is taken and ignored, as documented. */
static int plain_links(CorosyncAddNode *node, GPtrArray *keep, Err *err)
{
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        CorosyncLink link = {0};
        int r = node->link[i] != NULL ? corosync_link_parse(node->link[i], &link, err) : 0;

        if (r < 0) {
            return r;
        }
        if (node->link[i] != NULL && link.address == NULL) {
            return err_setf(err, -EINVAL, "link%u: address is missing", i);
        }
        node->link[i] = link.address;
        g_ptr_array_add(keep, link.address);
    }
    return 0;
}

static int check_present(const GPtrArray *problems, Err *err)
{
    guint errors = 0;

    for (guint i = 0; i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);

        errors += p->severity == COROSYNC_ERROR;
    }
    return errors == 0 ? 0
                       : err_setf(err, -EINVAL, "invalid corosync config: %u error%s, see 'errors'",
                                  errors, errors == 1 ? "" : "s");
}

static int write_waiting(const char *pve, const char *node, uint32_t votes, Err *err)
{
    uint8_t id[JOINTOKEN_ID_SIZE];
    g_autofree char *dir = g_build_filename(pve, "priv", "join-tokens", NULL);
    g_autofree char *path = NULL;
    g_auto(JoinRecord) record = {.votes = votes, .staged = clock_wall()};

    /* Its key is random and nobody knows it: no request can use this record. */
    if (getrandom(id, sizeof id, 0) != sizeof id ||
        getrandom(record.key, sizeof record.key, 0) != sizeof record.key) {
        return err_setf(err, -EIO, "the kernel's random source gave nothing");
    }
    record.expires = (WallTime){record.staged.sec + JOIN_PENDING_SEC};
    record.node = g_strdup(node);
    record.used_by = g_strdup(node);
    record.made_by = g_strdup(JOIN_RECORD_BY_PASSWORD);
    path = join_record_path(pve, id);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", dir, strerror(-r));
    }
    return join_record_write(path, &record, err);
}

static int add_to_list(const NodeAdd *a, ConfEdit *edit, CorosyncAddNode *add, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(edit->conf);
    bool known = corosync_nodes_find(nodes, add->name) != NULL;
    uint32_t votes = add->votes, id = 0;
    int r;

    if (known && !add->force) {
        return err_setf(err, -EINVAL,
                        "can't add existing node '%s'; remove it first or use 'force'", add->name);
    }
    if (!known) {
        add->votes = 0; /* until it has shown up */
    }
    if ((r = corosync_conf_add_node(edit->conf, add, &id, err)) < 0 || a->dry_run) {
        return r;
    }
    /* The record first: a node in the list that no record knows would never be taken out again. */
    if (!known && votes > 0 && (r = write_waiting(a->pve, add->name, votes, err)) < 0) {
        return r;
    }
    if ((r = node_tree_unbury(a->pve, add->name, err)) < 0 ||
        (r = node_files_directories(a->pve, add->name, err)) < 0 ||
        (r = conf_edit_commit(edit, err)) < 0) {
        return r;
    }
    trace(a->tracer, TRACE_NOTICE, "node '%s' (id %u) was added %s", add->name, id, a->by);
    cluster_log(LOG_NOTICE, "node '%s' is joining, added %s", add->name, a->by);
    return 0;
}

int node_add(const NodeAdd *a, CorosyncConf **ret_conf, GPtrArray **ret_problems, Err *err)
{
    g_autoptr(GPtrArray) keep = g_ptr_array_new_with_free_func(g_free);
    g_auto(ConfEdit) edit = {0};
    CorosyncAddNode add = a->node;
    int r;

    if (!corosync_valid_name(add.name)) {
        return err_setf(err, -EINVAL, "'%s' is no node name", add.name);
    }
    if (a->apiversion < NODE_ADD_API_VERSION - 1) {
        return err_setf(err, -EINVAL, "unsupported old API version of the joining node");
    }
    if ((r = plain_links(&add, keep, err)) < 0) {
        return r;
    }
    if (!quorum_wait(NULL, NULL)) {
        return err_setf(err, -EACCES, "cluster not ready - no quorum?");
    }
    if ((r = conf_edit_begin(a->pve, &edit, err)) < 0) {
        return r;
    }
    *ret_problems = corosync_check(edit.conf);
    if ((r = check_present(*ret_problems, err)) < 0 || (r = add_to_list(a, &edit, &add, err)) < 0) {
        return r;
    }
    *ret_conf = g_steal_pointer(&edit.conf);
    return 0;
}
