/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_login.h"

#include "quorum/io/join_classic.h"
#include "quorum/io/member_client.h"

#include <errno.h>
#include <string.h>

/* Guests may come along when the member tells which ids are taken, and ours are not. */
static int check_guests(Joiner *j, Err *err)
{
    g_autoptr(GArray) taken = NULL;
    int count = 0, r;

    if (j->guests->len == 0) {
        return 0;
    }
    if ((r = join_classic_vmids(j->opt->session, &taken, err)) < 0) {
        return err_wrapf(err, r, "this node has guests, and whether their ids are free is unknown");
    }
    for (guint i = 0; i < j->guests->len; i++) {
        const JoinerGuest *g = g_ptr_array_index(j->guests, i);
        uint32_t vmid = (uint32_t)g_ascii_strtoull(g->name, NULL, 10);

        for (guint k = 0; k < taken->len; k++) {
            if (g_array_index(taken, uint32_t, k) == vmid) {
                joiner_problem(
                    j, &count,
                    "guest %u exists in the cluster already: give this node's guest another id",
                    vmid);
            }
        }
    }
    return count == 0 ? 0 : err_setf(err, -EPERM, "%d guest id(s) are taken in the cluster", count);
}

static int check_name(Joiner *j, Err *err)
{
    g_autoptr(GPtrArray) listed = NULL;
    int r = join_classic_addresses(j->opt->session, j->node, &listed, err);

    if (r < 0) {
        return r;
    }
    j->was_listed = listed != NULL;
    if (j->was_listed && !j->opt->force) {
        return err_setf(err, -EEXIST,
                        "a node named '%s' is in the cluster already: give this one another name, "
                        "or, when it is that one made anew, join with --force",
                        j->node);
    }
    return 0;
}

/* The member would refuse an id or an address that is taken, or links that do not match; it is
 * asked only when the node is to be added, so the same rules are tried on what it tells. */
static int check_place(Joiner *j, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    CorosyncAddNode add = {.name = j->node,
                           .nodeid = j->opt->nodeid,
                           .votes = j->opt->votes >= 0 ? (uint32_t)j->opt->votes : 1,
                           .force = j->opt->force,
                           .fallback_address = j->address};
    uint32_t id = 0;
    int r = join_classic_conf(j->opt->session, &conf, err);

    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        add.link[i] = j->opt->links[i].present ? j->opt->links[i].address : NULL;
    }
    return r < 0 ? r : corosync_conf_add_node(conf, &add, &id, err);
}

int join_login_check(Joiner *j, Err *err)
{
    int r = j->version = join_classic_version(j->opt->session, err);

    r = r < 0 ? r : check_name(j, err);
    r = r < 0 ? r : check_place(j, err);
    return r < 0 ? r : check_guests(j, err);
}

static JoinClassicAdd add_of(const Joiner *j)
{
    return (JoinClassicAdd){.node = j->node,
                            .version = j->version,
                            .nodeid = j->opt->nodeid,
                            .votes = j->opt->votes,
                            .force = j->opt->force,
                            .address = j->address,
                            .links = j->opt->links};
}

int join_login_stage(Joiner *j, Err *err)
{
    g_auto(JoinClassicAnswer) a = {0};
    JoinClassicAdd add = add_of(j);
    int r = join_classic_add(j->opt->session, &add, &a, err);

    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < a.warnings->len; i++) {
        joiner_say(j, "warning: %s", (const char *)g_ptr_array_index(a.warnings, i));
    }
    if (a.authkey_size < COROSYNC_KEY_MIN || a.authkey_size > sizeof j->authkey) {
        return err_setf(err, -EBADMSG,
                        "the cluster's key has the impossible size of %" G_GSIZE_FORMAT " bytes",
                        a.authkey_size);
    }
    memcpy(j->authkey, a.authkey, a.authkey_size);
    j->authkey_size = a.authkey_size;
    j->conf = g_strdup(a.conf);
    return 0;
}

int join_login_files(Joiner *j, Err *err)
{
    return cluster_update_certs(j->paths, true, j->opt->say, j->opt->ctx, err);
}

/* Does the cluster list this node, by an address that is here? Another one of its name, which was
 * there before or came meanwhile, must not be taken out in its place. */
static int is_listed(Joiner *j, Err *err)
{
    g_autoptr(GPtrArray) listed = NULL;
    int r = join_classic_addresses(j->opt->session, j->node, &listed, err);

    for (guint i = 0; r == 0 && listed != NULL && i < listed->len; i++) {
        g_autofree char *own = NULL;

        if (cluster_own_address(listed->pdata[i], j->addresses, &own, NULL) == 0) {
            return 1;
        }
    }
    return r;
}

/* After a death there is no login any more. With the cluster's tree still mounted, its authority
 * proves the member, and the key of the messaging layer this node: as one that leaves. */
static int remove_by_key(Joiner *j, Err *err)
{
    g_autofree char *ca = g_build_filename(j->paths->pve, "pve-root-ca.pem", NULL);
    g_autoptr(MemberPeers) peers = NULL;
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;
    int r = member_peers_read(j->paths->host_conf, ca, j->paths->authkey, j->node, &peers, err);

    return r < 0 ? r : member_ask(peers, MEMBER_STEP_REMOVE, true, &parser, &data, err);
}

static int unstage(Joiner *j, Err *err)
{
    int r;

    if (j->was_listed || j->unstaged) {
        return 0; /* as before */
    }
    if (j->opt->session == NULL) {
        r = remove_by_key(j, err);
    } else if ((r = is_listed(j, err)) > 0) {
        r = join_classic_remove(j->opt->session, j->node, err);
    }
    j->unstaged = r == 0;
    return r;
}

void join_login_unstage_early(Joiner *j)
{
    Err unknown = ERR_INIT; /* the second try tells */

    (void)!unstage(j, &unknown);
}

void join_login_unstage(Joiner *j)
{
    Err e = ERR_INIT;

    if (unstage(j, &e) < 0) {
        joiner_say(j,
                   "the cluster could not be told (%s): if 'pvecm nodes' there still lists '%s' "
                   "after five minutes, take it out with 'pvecm delnode %s'",
                   err_text(&e), j->node, j->node);
    }
}
