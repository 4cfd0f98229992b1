/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_links.h"

#include "lib/conf/corosync_nodes.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS   100
#define PORT_BASE 5405u

/* Links that both have. */
static uint32_t shared_links(const CorosyncNode *a, const CorosyncNode *b)
{
    uint32_t links = 0;

    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        links |= a->link[i] != NULL && b->link[i] != NULL ? 1u << i : 0;
    }
    return links;
}

static const CorosyncNode *by_id(const GPtrArray *nodes, uint32_t nodeid, guint *ret_at)
{
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        if (node->nodeid == nodeid) {
            *ret_at = i;
            return node;
        }
    }
    return NULL;
}

static int
name_missing(const CorosyncNode *self, const CorosyncNode *node, uint32_t missing, Err *err)
{
    unsigned link = (unsigned)g_bit_nth_lsf(missing, -1);

    return err_setf(err, -EHOSTUNREACH,
                    "link %u: %s of this node and %s of node '%s' do not reach each other; are the "
                    "addresses right, and UDP port %u open both ways?",
                    link, self->link[link], node->link[link], node->name, PORT_BASE + link);
}

/* Adds to `up` (one mask for each of `nodes`) what is connected now. 0: all that should have been
 * up once; -EHOSTUNREACH with what is missing; -ENOENT: corosync does not tell. */
static int look(const GPtrArray *nodes, const CorosyncNode *self, uint32_t *up, Err *err)
{
    g_autoptr(QuorumReport) report = NULL;
    int r = quorum_query(NULL, 0, &report, err);
    int result = 0;

    for (uint32_t i = 0; r == 0 && i < report->facts.n_members; i++) {
        uint32_t id = report->facts.members[i].nodeid, links = 0;
        guint at = 0;
        const CorosyncNode *node = by_id(nodes, id, &at);

        if (node == NULL || node == self) {
            continue; /* one that came after this configuration is its own joiner's business */
        }
        if ((r = quorum_node_links(id, &links, err)) < 0) {
            return r;
        }
        up[at] |= links;
        if (result == 0 && (shared_links(self, node) & ~up[at]) != 0) {
            result = name_missing(self, node, shared_links(self, node) & ~up[at], err);
        }
    }
    return r < 0 ? r : result;
}

int join_links_wait(const char *conf, gsize size, const char *self, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + JOIN_LINKS_TIMEOUT_SEC * G_USEC_PER_SEC;
    g_autoptr(CorosyncConf) doc = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autofree uint32_t *up = NULL;
    const CorosyncNode *own;
    int r = corosync_conf_parse(conf, size, &doc, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(doc);
    own = corosync_nodes_find(nodes, self);
    if (own == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster's configuration", self);
    }
    up = g_new0(uint32_t, nodes->len);
    /* Each link needs to have been up once: on a busy machine one may be away for a moment. */
    while ((r = look(nodes, own, up, err)) < 0 && r != -ENOENT &&
           g_get_monotonic_time() < deadline) {
        g_usleep(LOOK_MS * 1000);
    }
    if (r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    return r;
}
