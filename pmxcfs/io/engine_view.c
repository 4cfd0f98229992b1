/* SPDX-License-Identifier: Apache-2.0 */
/* What any thread may read at any time. */
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/io/engine_priv.h"
#include "pmxcfs/io/metrics.h"

#include <errno.h>
#include <string.h>

/* ---- tree ---------------------------------------------------------------------------------- */

Entry *engine_get(Engine *e, uint64_t inode)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    Entry *entry = memdb_get(e->db, inode);
    pthread_rwlock_unlock(&e->tree_lock);
    return entry;
}

Entry *engine_child(Engine *e, uint64_t parent, const char *name)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    Entry *entry = memdb_child(e->db, parent, name);
    pthread_rwlock_unlock(&e->tree_lock);
    return entry;
}

int engine_lookup(Engine *e, const char *path, Entry **ret)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    int r = memdb_lookup(e->db, path, ret);
    pthread_rwlock_unlock(&e->tree_lock);
    return r;
}

GPtrArray *engine_list(Engine *e, uint64_t dir)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    GPtrArray *list = memdb_list(e->db, dir);
    pthread_rwlock_unlock(&e->tree_lock);
    return list;
}

char *engine_path(Engine *e, uint64_t inode)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    char *path = memdb_path(e->db, inode);
    pthread_rwlock_unlock(&e->tree_lock);
    return path;
}

void engine_usage(Engine *e, uint64_t *ret_bytes, uint32_t *ret_entries, MemdbLimits *ret_limits)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    *ret_bytes = memdb_content_bytes(e->db);
    *ret_entries = memdb_count(e->db);
    *ret_limits = *memdb_limits(e->db);
    pthread_rwlock_unlock(&e->tree_lock);
}

bool engine_find_guest(
    Engine *e, uint32_t vmid, char **ret_node, char **ret_type, uint32_t *ret_version)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    bool found = memdb_find_guest(e->db, vmid, ret_node, ret_type, ret_version);
    pthread_rwlock_unlock(&e->tree_lock);
    return found;
}

GArray *engine_guests(Engine *e)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    GArray *ids = memdb_guests(e->db);
    pthread_rwlock_unlock(&e->tree_lock);
    return ids;
}

bool engine_quorate(Engine *e)
{
    return atomic_load(&e->quorate);
}

const char *engine_nodename(const Engine *e)
{
    return e->nodename;
}

bool engine_is_local(const Engine *e)
{
    return e->local;
}

Feed *engine_feed(Engine *e)
{
    return e->feed;
}

/* ---- views --------------------------------------------------------------------------------- */

static void view_version(Engine *e, GString *out)
{
    g_autoptr(GString) tracked = g_string_new(NULL);
    uint32_t vmlist;

    pthread_rwlock_rdlock(&e->tree_lock);
    memdb_format_tracked(e->db, tracked);
    vmlist = memdb_vmlist_version(e->db);
    pthread_rwlock_unlock(&e->tree_lock);
    pthread_mutex_lock(&e->status_lock);
    status_format_version(e->status, tracked->str, vmlist, out);
    pthread_mutex_unlock(&e->status_lock);
}

static void metric(GString *out, const char *name, const char *help, uint64_t value)
{
    metrics_format_value(out, name, "gauge", help, value);
}

static void counter(GString *out, const char *name, const char *help, uint64_t value)
{
    metrics_format_value(out, name, "counter", help, value);
}

static void metrics_tree(Engine *e, GString *out)
{
    pthread_rwlock_rdlock(&e->tree_lock);
    uint64_t version = memdb_root(e->db).version, bytes = memdb_content_bytes(e->db);
    uint32_t entries = memdb_count(e->db);
    pthread_rwlock_unlock(&e->tree_lock);
    metric(out, "pmxcfs_tree_version", "Version of the tree", version);
    metric(out, "pmxcfs_tree_entries", "Files and directories", entries);
    metric(out, "pmxcfs_tree_bytes", "Content of all files", bytes);
}

static void metrics_store(Engine *e, GString *out)
{
    StoreStats s = {0};
    size_t backlog = 0;

    pthread_mutex_lock(&e->status_lock); /* keeps the store open meanwhile */
    if (e->store != NULL) {
        store_stats(e->store, &s);
        backlog = store_backlog_bytes(e->store);
    }
    pthread_mutex_unlock(&e->status_lock);
    counter(out, "pmxcfs_disk_bytes_total", "Bytes written for the database, journal included",
            s.disk_bytes);
    counter(out, "pmxcfs_disk_payload_bytes_total", "Content bytes committed", s.payload_bytes);
    counter(out, "pmxcfs_disk_transactions_total", "Transactions committed", s.transactions);
    counter(out, "pmxcfs_disk_changes_total", "Changes committed", s.deltas);
    counter(out, "pmxcfs_disk_syncs_total", "Times the disk was told to sync", s.syncs);
    counter(out, "pmxcfs_disk_failures_total", "Commits that failed", s.failures);
    counter(out, "pmxcfs_disk_commit_microseconds_total", "Time spent in commits",
            s.commit_us_total);
    metric(out, "pmxcfs_disk_backlog_bytes", "Content waiting for the disk", backlog);
}

static void metric_mode(GString *out, const char *name, const char *help, GroupMode mode)
{
    g_string_append_printf(out, "# HELP %s %s.\n# TYPE %s gauge\n", name, help, name);
    for (int m = 0; m < GROUP_MODE_N; m++) {
        g_string_append_printf(out, "%s{mode=\"%s\"} %d\n", name, group_mode_name((GroupMode)m),
                               mode == (GroupMode)m ? 1 : 0);
    }
}

static void metrics_replica(Engine *e, GString *out)
{
    ReplicaStatus r;
    GroupMode status_mode;
    uint32_t status_members;

    pthread_mutex_lock(&e->status_lock);
    r = e->shown;
    status_mode = statusgroup_mode(e->status_group);
    status_members = statusgroup_members(e->status_group);
    pthread_mutex_unlock(&e->status_lock);
    metric(out, "pmxcfs_quorate", "Is this node part of a quorum", engine_quorate(e) ? 1 : 0);
    metric(out, "pmxcfs_local_mode", "Does this node run without a cluster", e->local ? 1 : 0);
    metric(out, "pmxcfs_native", "Do all members speak the native protocol", r.native ? 1 : 0);
    metric(out, "pmxcfs_native_term", "Term of the native protocol that the content belongs to",
           r.term);
    metric(out, "pmxcfs_members", "Members of the configuration group", r.members);
    metric(out, "pmxcfs_members_synced", "Of them, those with the newest content", r.synced);
    metric(out, "pmxcfs_status_members", "Members of the status group", status_members);
    metric(out, "pmxcfs_messages_held", "Messages waiting for a synchronisation", r.queued);
    metric(out, "pmxcfs_callers_waiting", "Callers waiting for an answer", r.waiting);
    metric_mode(out, "pmxcfs_mode", "State of this member", r.mode);
    metric_mode(out, "pmxcfs_status_mode", "State of this member in the status group", status_mode);
}

static void view_metrics(Engine *e, GString *out)
{
    metric(out, "pmxcfs_start_time_seconds", "Start of this process, Unix time",
           (uint64_t)e->start.sec);
    metrics_tree(e, out);
    metrics_replica(e, out);
    metrics_store(e, out);
    metrics_format(out);
}

static void view_status(Engine *e, CfsSpecial special, GString *out)
{
    pthread_mutex_lock(&e->status_lock);
    if (special == CFS_SPECIAL_MEMBERS) {
        status_format_members(e->status, out);
    } else if (special == CFS_SPECIAL_RRD) {
        status_format_rrd(e->status, clock_mono(), out);
    } else {
        status_format_clusterlog(e->status, NULL, 0, out);
    }
    pthread_mutex_unlock(&e->status_lock);
}

int engine_view(Engine *e, const char *name, GString **ret)
{
    int special = cfs_special_from_name(name);
    GString *out = g_string_new(NULL);

    switch (special) {
    case CFS_SPECIAL_VERSION:
        view_version(e, out);
        break;
    case CFS_SPECIAL_MEMBERS:
    case CFS_SPECIAL_RRD:
    case CFS_SPECIAL_CLUSTERLOG:
        view_status(e, (CfsSpecial)special, out);
        break;
    case CFS_SPECIAL_VMLIST:
        pthread_rwlock_rdlock(&e->tree_lock);
        memdb_format_vmlist(e->db, out);
        pthread_rwlock_unlock(&e->tree_lock);
        break;
    case CFS_SPECIAL_DEBUG:
        g_string_append(out, log_debug() ? "1\n" : "0\n");
        break;
    case CFS_SPECIAL_METRICS:
        view_metrics(e, out);
        break;
    default:
        g_string_free(out, TRUE);
        return -ENOENT;
    }
    *ret = out;
    return 0;
}
