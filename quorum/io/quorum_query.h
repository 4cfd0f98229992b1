/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorum_query: asks the running corosync on this node what the cluster looks like (libquorum,
 * libvotequorum, libcmap, libcfg). Each call opens and closes its own connections and never waits
 * longer than QUORUM_QUERY_TIMEOUT_MS for corosync (INV-4). Any thread.
 */
#ifndef QUORUM_IO_QUORUM_QUERY_H
#define QUORUM_IO_QUORUM_QUERY_H

#include "lib/base/err.h"
#include "quorum/core/quorum_view.h"

#define QUORUM_QUERY_TIMEOUT_MS 3000
#define QUORUM_WAIT_SEC         10 /* until a ring that is formed anew has quorum */
#define QUORUM_WAIT_TEXT        "waiting: the cluster has no quorum at the moment (up to 10 s)"

/* Facts with the strings and members they point to. */
typedef struct QuorumReport {
    QuorumFacts facts;
    GArray *members;    /* of QuorumMember */
    GPtrArray *strings; /* owns every text the facts point to */
} QuorumReport;

void quorum_report_free(QuorumReport *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QuorumReport, quorum_report_free)

/* Everything from corosync; the configuration part (cluster name, version, ...) is taken from the
 * text `conf` (may be NULL) of `conf_size` bytes. -ENOTCONN when corosync does not run, -ETIMEDOUT.
 */
int quorum_query(const char *conf, size_t conf_size, QuorumReport **ret, Err *err) must_check;

/* Sets the live number of expected votes. -EINVAL when votequorum refuses the number. */
int quorum_set_expected(uint32_t expected, Err *err) must_check;

/* Asks corosync to drop a node from the membership (it is normally off already). -ENOENT: it is not
 * there. */
int quorum_kick_node(uint32_t nodeid, Err *err) must_check;

/* Address of a node on a link as the running corosync has it. -ENOENT. Caller frees. */
int quorum_node_address(uint32_t nodeid, unsigned link, char **ret, Err *err) must_check;

/* On which links corosync has a connection to another node: bit N for link N. -ENOENT: it does not
 * tell (a transport without knet, or the node is not in its list). */
int quorum_node_links(uint32_t nodeid, uint32_t *ret_links, Err *err) must_check;

/* config_version of the configuration that corosync runs with. -ENOENT: it has none. */
int quorum_config_version(uint64_t *ret, Err *err) must_check;

/* Quorate now? 1, 0, or -errno. */
int quorum_is_quorate(Err *err) must_check;

/* The same, before something is refused: while a ring is formed anew, as when a node comes or goes,
 * nobody has quorum for a moment. That is waited for, up to QUORUM_WAIT_SEC, and told to `say`
 * (may be NULL). Without corosync nothing is. */
bool quorum_wait(void (*say)(void *ctx, const char *line), void *ctx);

#endif
