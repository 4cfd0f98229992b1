/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/status.h"

#include "lib/base/jsontext.h"
#include "pmxcfs/core/clusterlog.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/core/rrdtable.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* One key of one node. A forgotten key keeps its version without a value, so that the same key set
 * again later never shows a version that a client has already seen with other content. */
typedef struct Kv {
    GBytes *value; /* NULL: forgotten */
    uint32_t version;
    bool awaited; /* a synchronisation began and the owner has not sent it again yet */
} Kv;

typedef struct KvTable {
    GTree *keys;  /* name -> Kv */
    size_t bytes; /* sum of the values */
} KvTable;

typedef struct Node {
    uint32_t nodeid;
    char *name;
    uint32_t votes;
    bool online;
    uint32_t pid; /* of its daemon when last seen, 0 never */
    bool awaited; /* its keys are being sent again */
    KvTable *kv;  /* NULL until it sets a key; the own node uses Status.own */
} Node;

struct Status {
    char *nodename;
    WallTime starttime;
    Tracer tracer;
    Clusterlog *log;
    RrdTable *rrd;
    char *cluster_name; /* NULL: no cluster information */
    uint64_t config_version;
    bool quorate;
    GPtrArray *nodes; /* of Node, ascending by node id */
    KvTable *own;
    GHashTable *ips;         /* node name -> address */
    uint32_t clinfo_version; /* of `.members` */
    uint64_t generation;
    GString *kv_text; /* tail of `.version`, valid when kv_text_ok */
    bool kv_text_ok;
};

/* ---- key tables ---- */

static void kv_free(gpointer data)
{
    Kv *kv = data;

    g_clear_pointer(&kv->value, g_bytes_unref);
    g_free(kv);
}

static gint key_compare(gconstpointer a, gconstpointer b, gpointer unused)
{
    (void)unused;
    return strcmp(a, b);
}

static KvTable *kvtable_new(void)
{
    KvTable *t = g_new0(KvTable, 1);

    t->keys = g_tree_new_full(key_compare, NULL, g_free, kv_free);
    return t;
}

static void kvtable_free(KvTable *t)
{
    if (t == NULL) {
        return;
    }
    g_tree_unref(t->keys);
    g_free(t);
}

static void kv_forget(KvTable *t, Kv *kv)
{
    if (kv->value != NULL) {
        t->bytes -= g_bytes_get_size(kv->value);
        g_clear_pointer(&kv->value, g_bytes_unref);
    }
    kv->awaited = false;
}

static bool kv_equals(const Kv *kv, const void *value, size_t size)
{
    return kv->value != NULL && g_bytes_get_size(kv->value) == size &&
           memcmp(g_bytes_get_data(kv->value, NULL), value, size) == 0;
}

/* `size` > 0. Returns -ENOSPC, 1 when the view changed, 0 when it did not. */
static int kvtable_store(KvTable *t, const char *key, const void *value, size_t size)
{
    Kv *kv = g_tree_lookup(t->keys, key);
    size_t old = kv != NULL && kv->value != NULL ? g_bytes_get_size(kv->value) : 0;

    if (kv != NULL && kv->awaited && kv_equals(kv, value, size)) {
        kv->awaited = false; /* nothing is new: clients may keep what they cached */
        return 0;
    }
    if (t->bytes - old + size > CFS_STATUS_NODE_BYTES_MAX) {
        return -ENOSPC;
    }
    if (kv == NULL) {
        if (g_tree_nnodes(t->keys) >= (gint)CFS_STATUS_KEYS_MAX) {
            return -ENOSPC;
        }
        kv = g_new0(Kv, 1);
        g_tree_insert(t->keys, g_strdup(key), kv);
    } else {
        kv->version++;
        kv_forget(t, kv);
    }
    kv->value = g_bytes_new(value, size);
    kv->awaited = false;
    t->bytes += size;
    return 1;
}

static void kvtable_remove(KvTable *t, const char *key)
{
    Kv *kv = g_tree_lookup(t->keys, key);

    if (kv != NULL) {
        kv_forget(t, kv);
        g_tree_remove(t->keys, key);
    }
}

static gboolean forget_one(gpointer key, gpointer value, gpointer ctx)
{
    (void)key;
    kv_forget(ctx, value);
    return FALSE;
}

static gboolean forget_awaited(gpointer key, gpointer value, gpointer ctx)
{
    const Kv *kv = value;

    return kv->awaited ? forget_one(key, value, ctx) : FALSE;
}

static gboolean await_one(gpointer key, gpointer value, gpointer ctx)
{
    Kv *kv = value;

    (void)key;
    (void)ctx;
    kv->awaited = kv->value != NULL;
    return FALSE;
}

/* ---- life ---- */

static void node_free(gpointer data)
{
    Node *n = data;

    kvtable_free(n->kv);
    g_free(n->name);
    g_free(n);
}

Status *status_new(const char *nodename, uint32_t pid, WallTime starttime, const Tracer *tracer)
{
    Status *s = g_new0(Status, 1);
    int rc;

    s->nodename = g_strdup(nodename);
    s->starttime = starttime;
    s->tracer = tracer != NULL ? *tracer : (Tracer){0};
    s->log = clusterlog_new(nodename, tracer);
    s->rrd = rrdtable_new();
    s->nodes = g_ptr_array_new_with_free_func(node_free);
    s->own = kvtable_new();
    s->ips = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->kv_text = g_string_new(NULL);
    rc = status_log(s, 6, "root", "cluster", pid, "starting cluster log", starttime, NULL, NULL);
    assert(rc == 0); /* all arguments are constant */
    return s;
}

void status_free(Status *s)
{
    if (s == NULL) {
        return;
    }
    clusterlog_free(s->log);
    rrdtable_free(s->rrd);
    g_ptr_array_unref(s->nodes);
    kvtable_free(s->own);
    g_hash_table_unref(s->ips);
    g_string_free(s->kv_text, TRUE);
    g_free(s->cluster_name);
    g_free(s->nodename);
    g_free(s);
}

static void members_changed(Status *s)
{
    s->clinfo_version++;
    s->generation++;
}

static void keys_changed(Status *s)
{
    s->kv_text_ok = false;
    s->generation++;
}

/* ---- nodes ---- */

static Node *find_node(const Status *s, uint32_t nodeid)
{
    for (guint i = 0; i < s->nodes->len; i++) {
        Node *n = g_ptr_array_index(s->nodes, i);

        if (n->nodeid == nodeid) {
            return n;
        }
    }
    return NULL;
}

static Node *find_node_by_name(const Status *s, const char *name)
{
    for (guint i = 0; i < s->nodes->len; i++) {
        Node *n = g_ptr_array_index(s->nodes, i);

        if (strcmp(n->name, name) == 0) {
            return n;
        }
    }
    return NULL;
}

static bool is_self(const Status *s, const Node *n)
{
    return strcmp(n->name, s->nodename) == 0;
}

static gint node_compare(gconstpointer a, gconstpointer b)
{
    const Node *x = *(Node *const *)a;
    const Node *y = *(Node *const *)b;

    return x->nodeid < y->nodeid ? -1 : x->nodeid > y->nodeid;
}

static gboolean ip_is_orphan(gpointer name, gpointer ip, gpointer ctx)
{
    const Status *s = ctx;

    (void)ip;
    return strcmp(name, s->nodename) != 0 && find_node_by_name(s, name) == NULL;
}

void status_set_cluster(Status *s,
                        const char *cluster_name,
                        uint64_t config_version,
                        const StatusNode *nodes,
                        guint n_nodes)
{
    g_autoptr(GPtrArray) old = s->nodes;

    s->nodes = g_ptr_array_new_with_free_func(node_free);
    for (guint i = 0; i < n_nodes; i++) {
        Node *n = g_new0(Node, 1);

        n->nodeid = nodes[i].nodeid;
        n->name = g_strdup(nodes[i].name);
        n->votes = nodes[i].votes;
        for (guint j = 0; j < old->len; j++) {
            Node *o = g_ptr_array_index(old, j);

            if (o->nodeid == n->nodeid) {
                n->online = o->online;
                n->pid = o->pid;
                n->awaited = o->awaited;
                n->kv = g_steal_pointer(&o->kv);
            }
        }
        n->online = n->online || is_self(s, n);
        g_ptr_array_add(s->nodes, n);
    }
    g_ptr_array_sort(s->nodes, node_compare);
    g_free(s->cluster_name);
    s->cluster_name = g_strdup(cluster_name);
    s->config_version = config_version;
    g_hash_table_foreach_remove(s->ips, ip_is_orphan, s);
    members_changed(s);
    keys_changed(s);
}

void status_set_quorate(Status *s, bool quorate)
{
    if (s->quorate != quorate) {
        s->quorate = quorate;
        s->generation++;
    }
}

/* Notes which process a node has now. */
static void note_process(Status *s, Node *n, uint32_t pid)
{
    if (n->pid != 0 && n->pid != pid && n->kv != NULL && !is_self(s, n)) {
        trace(&s->tracer, TRACE_INFO, "status: node='%s' was restarted, its keys are forgotten",
              n->name);
        g_tree_foreach(n->kv->keys, forget_one, n->kv);
        keys_changed(s);
    }
    n->pid = pid;
}

void status_set_members(Status *s, const GroupMember *members, guint n)
{
    bool changed = n > 0;

    for (guint i = 0; i < s->nodes->len; i++) {
        Node *node = g_ptr_array_index(s->nodes, i);
        bool online = is_self(s, node);

        for (guint j = 0; j < n; j++) {
            if (members[j].nodeid == node->nodeid) {
                online = true;
                note_process(s, node, members[j].pid);
            }
        }
        changed |= node->online != online;
        node->online = online;
    }
    if (changed) {
        members_changed(s);
    }
}

void status_resync(Status *s)
{
    for (guint i = 0; i < s->nodes->len; i++) {
        Node *n = g_ptr_array_index(s->nodes, i);

        if (n->online && n->kv != NULL && !is_self(s, n)) {
            n->awaited = true;
            g_tree_foreach(n->kv->keys, await_one, NULL);
        }
    }
}

/* ---- keys ---- */

const char *status_rrd_id(const char *key)
{
    return g_str_has_prefix(key, "rrd/") ? key + strlen("rrd/") : NULL;
}

static int set_ip(Status *s, const char *name, const char *value, size_t size, Err *err)
{
    const char *old = g_hash_table_lookup(s->ips, name);

    if (size == 0 || size >= CFS_NODEIP_MAX || value[size - 1] != '\0') {
        return err_setf(err, -ENOMEM, "status: key='nodeip' needs 1 to %u bytes with a NUL",
                        CFS_NODEIP_MAX - 1);
    }
    if (old == NULL || strcmp(old, value) != 0) {
        g_hash_table_replace(s->ips, g_strdup(name), g_strdup(value));
        members_changed(s);
    }
    return 0;
}

static int
set_rrd(Status *s, const char *id, const void *value, size_t size, MonoTime now, Err *err)
{
    int rc;

    if (!rrdtable_value_ok(value, size)) {
        return err_setf(err, -ENOMEM, "status: key='rrd/%s' needs 1 to %u bytes with a NUL", id,
                        CFS_RRD_SIZE_MAX - 1);
    }
    rc = rrdtable_set(s->rrd, id, value, now);
    if (rc < 0) {
        return err_setf(err, rc, "status: more than %u RRD sources", CFS_RRD_IDS_MAX);
    }
    s->generation++;
    return 0;
}

static int set_key(Status *s, KvTable *t, const char *key, const void *value, size_t size, Err *err)
{
    int rc;

    if (size == 0) {
        kvtable_remove(t, key);
        keys_changed(s);
        return 0;
    }
    rc = kvtable_store(t, key, value, size);
    if (rc < 0) {
        return err_setf(err, rc, "status: key='%s' refused: more than %u keys or %u bytes", key,
                        CFS_STATUS_KEYS_MAX, CFS_STATUS_NODE_BYTES_MAX);
    }
    if (rc > 0) {
        keys_changed(s);
    }
    return 0;
}

/* The node has sent again what it has: the rest is from before. */
static void end_resync(Status *s, Node *n)
{
    if (n->awaited) {
        n->awaited = false;
        g_tree_foreach(n->kv->keys, forget_awaited, n->kv);
        keys_changed(s);
    }
}

int status_set(Status *s,
               uint32_t nodeid,
               const char *key,
               const void *value,
               size_t size,
               MonoTime now,
               Err *err)
{
    Node *n = nodeid != 0 ? find_node(s, nodeid) : NULL;
    const char *rrd_id = status_rrd_id(key);

    if (nodeid != 0 && n == NULL) {
        return err_setf(err, -ENOENT, "status: node id %u is not in the node list", nodeid);
    }
    if (strlen(key) >= CFS_STATUS_KEY_MAX) {
        return err_setf(err, -EINVAL, "status: key longer than %u bytes", CFS_STATUS_KEY_MAX - 1);
    }
    if (size > CFS_STATUS_SIZE_MAX) {
        return err_setf(err, -EFBIG, "status: key='%s' value longer than %u bytes", key,
                        CFS_STATUS_SIZE_MAX);
    }
    if (rrd_id != NULL) {
        return set_rrd(s, rrd_id, value, size, now, err);
    }
    if (strcmp(key, "nodeip") == 0) {
        int rc = set_ip(s, n != NULL ? n->name : s->nodename, value, size, err);

        if (rc == 0 && n != NULL) {
            end_resync(s, n);
        }
        return rc;
    }
    if (n == NULL || is_self(s, n)) {
        return set_key(s, s->own, key, value, size, err);
    }
    if (n->kv == NULL) {
        n->kv = kvtable_new();
    }
    return set_key(s, n->kv, key, value, size, err);
}

int status_get(const Status *s, const char *node, const char *key, GBytes **ret)
{
    const KvTable *t = s->own;
    const Kv *kv;

    if (node != NULL && node[0] != '\0' && strcmp(node, s->nodename) != 0) {
        const Node *n = find_node_by_name(s, node);

        t = n != NULL ? n->kv : NULL;
    }
    kv = t != NULL ? g_tree_lookup(t->keys, key) : NULL;
    if (kv == NULL || kv->value == NULL) {
        return -ENOENT;
    }
    *ret = g_bytes_ref(kv->value);
    return 0;
}

typedef struct OwnWalk {
    void (*fn)(void *ctx, const char *key, const void *value, size_t size);
    void *ctx;
} OwnWalk;

static gboolean give_own(gpointer key, gpointer value, gpointer ctx)
{
    const OwnWalk *walk = ctx;
    const Kv *kv = value;

    if (kv->value != NULL) {
        gsize size;
        const void *data = g_bytes_get_data(kv->value, &size);

        walk->fn(walk->ctx, key, data, size);
    }
    return FALSE;
}

void status_foreach_own(const Status *s,
                        void (*fn)(void *ctx, const char *key, const void *value, size_t size),
                        void *ctx)
{
    OwnWalk walk = {.fn = fn, .ctx = ctx};

    g_tree_foreach(s->own->keys, give_own, &walk);
}

/* ---- cluster log ---- */

int status_log(Status *s,
               uint8_t priority,
               const char *ident,
               const char *tag,
               uint32_t pid,
               const char *text,
               WallTime wall,
               GBytes **ret_entry,
               Err *err)
{
    ClusterlogText t = {.priority = priority, .ident = ident, .tag = tag, .pid = pid, .text = text};
    int rc = clusterlog_add(s->log, &t, wall, ret_entry, err);

    s->generation += rc == 0;
    return rc;
}

int status_log_insert(Status *s, const void *entry, size_t size)
{
    int rc = clusterlog_insert(s->log, entry, size);

    s->generation += rc > 0;
    return rc;
}

GBytes *status_log_state(Status *s)
{
    return clusterlog_state(s->log);
}

void status_log_merge(Status *s, GBytes *const *rings, guint n_rings)
{
    clusterlog_merge(s->log, rings, n_rings);
    s->generation++;
}

/* ---- views ---- */

typedef struct KeyLines {
    GString *out;
    bool any;
} KeyLines;

static gboolean append_key(gpointer key, gpointer value, gpointer ctx)
{
    const Kv *kv = value;
    KeyLines *lines = ctx;

    if (kv->value != NULL) {
        g_string_append(lines->out, lines->any ? ",\n" : "");
        json_append_string(lines->out, key);
        g_string_append_printf(lines->out, ": %u", kv->version);
        lines->any = true;
    }
    return FALSE;
}

static void append_table(GString *out, const char *name, const KvTable *t)
{
    KeyLines lines = {.out = out};

    json_append_string(out, name);
    g_string_append(out, ": {\n");
    g_tree_foreach(t->keys, append_key, &lines);
    g_string_append(out, "}\n");
}

/* The part of `.version` that grows with the cluster is kept until a key changes. */
static void refresh_kv_text(Status *s)
{
    if (s->kv_text_ok) {
        return;
    }
    g_string_assign(s->kv_text, "\"kvstore\": {\n");
    append_table(s->kv_text, s->nodename, s->own);
    for (guint i = 0; i < s->nodes->len; i++) {
        const Node *n = g_ptr_array_index(s->nodes, i);

        if (n->kv != NULL && !is_self(s, n)) {
            g_string_append(s->kv_text, ",\n");
            append_table(s->kv_text, n->name, n->kv);
        }
    }
    g_string_append(s->kv_text, "}\n}\n");
    s->kv_text_ok = true;
}

void status_format_version(Status *s, const char *tracked, uint32_t vmlist_version, GString *out)
{
    refresh_kv_text(s);
    g_string_append_printf(out,
                           "{\n\"starttime\": %" PRId64 ",\n\"clinfo\": %u,\n\"vmlist\": %u,\n",
                           s->starttime.sec, s->clinfo_version, vmlist_version);
    g_string_append(out, tracked);
    g_string_append_len(out, s->kv_text->str, (gssize)s->kv_text->len);
}

static void append_node(const Status *s, GString *out, const Node *n)
{
    const char *ip = g_hash_table_lookup(s->ips, n->name);

    g_string_append(out, "  ");
    json_append_string(out, n->name);
    g_string_append_printf(out, ": { \"id\": %u, \"online\": %d", n->nodeid, n->online);
    if (ip != NULL && ip[0] != '\0') {
        g_string_append(out, ", \"ip\": ");
        json_append_string(out, ip);
    }
    g_string_append_c(out, '}');
}

void status_format_members(const Status *s, GString *out)
{
    g_string_append(out, "{\n\"nodename\": ");
    json_append_string(out, s->nodename);
    g_string_append_printf(out, ",\n\"version\": %u", s->clinfo_version);
    if (s->cluster_name == NULL) {
        g_string_append(out, "\n}\n");
        return;
    }
    g_string_append(out, ",\n\"cluster\": { \"name\": ");
    json_append_string(out, s->cluster_name);
    g_string_append_printf(out, ", \"version\": %" PRIu64 ", \"nodes\": %u, \"quorate\": %d },\n",
                           s->config_version, s->nodes->len, s->quorate);
    g_string_append(out, "\"nodelist\": {\n");
    for (guint i = 0; i < s->nodes->len; i++) {
        append_node(s, out, g_ptr_array_index(s->nodes, i));
        g_string_append(out, i + 1 < s->nodes->len ? ",\n" : "\n");
    }
    g_string_append(out, "  }\n}\n");
}

void status_format_clusterlog(const Status *s, const char *user, uint32_t max, GString *out)
{
    clusterlog_format(s->log, user, max, out);
}

void status_format_rrd(Status *s, MonoTime now, GString *out)
{
    rrdtable_format(s->rrd, now, out);
}

uint64_t status_generation(const Status *s)
{
    return s->generation;
}
