/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_cluster.h"

#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/io/ha_loads.h"
#include "ha-manager/io/ha_tree.h"
#include "lib/base/jsontree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/ipcc.h"
#include "lib/conf/corosync_check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CALL_MS       2000    /* of one call: well below the silence that a watchdog forgives */
#define RULES_VERSION "9.1.0" /* what our own managers are as good as */

struct HaCluster {
    char *pve;
    char *node;
    Ipcc *ipc;
    bool unmounted; /* at the last refresh: a filesystem that is ending takes questions and does not
                     * answer them, so it is asked nothing */
    JsonTree *members; /* NULL: never could be read */
    JsonTree *vmlist;
    StrMap *generic; /* sid of type exec -> char * node */
};

HaCluster *ha_cluster_new(const char *pve, const char *node)
{
    HaCluster *c = g_new0(HaCluster, 1);

    c->pve = g_strdup(pve);
    c->node = g_strdup(node);
    /* A restart of the filesystem is not waited for: the next round asks again. */
    c->ipc = ipcc_new(&(IpccOptions){.timeout_ms = CALL_MS, .restart_flag = "/nonexistent"});
    c->generic = strmap_new(g_free);
    return c;
}

void ha_cluster_free(HaCluster *c)
{
    if (c == NULL) {
        return;
    }
    ipcc_free(c->ipc);
    jsontree_free(c->members);
    jsontree_free(c->vmlist);
    strmap_free(c->generic);
    g_free(c->pve);
    g_free(c->node);
    g_free(c);
}

static int check_mounted(const HaCluster *c, Err *err)
{
    return c->unmounted ? ha_tree_check(c->pve, err) : 0;
}

static int ask_request(HaCluster *c, const WireIpcRequest *q, JsonTree **ret, Err *err)
{
    g_autoptr(GBytes) answer = NULL;
    gsize size = 0;
    const char *text;
    JsonTree *tree = NULL;
    int r = check_mounted(c, err);

    if (r == 0) {
        r = ipcc_call(c->ipc, q, &answer, err);
    }
    if (r < 0) {
        return r;
    }
    text = answer != NULL ? g_bytes_get_data(answer, &size) : "";
    while (size > 0 && text[size - 1] == '\0') {
        size--;
    }
    r = jsontree_parse(text, size, &tree, err);
    if (r < 0) {
        return r;
    }
    jsontree_free(*ret);
    *ret = tree;
    return 0;
}

static int ask_json(HaCluster *c, WireIpcId id, JsonTree **ret, Err *err)
{
    return ask_request(c, &(WireIpcRequest){.id = (int32_t)id}, ret, err);
}

/* Generic services: a file in the node's directory, as VMID.conf is for guests. */
static void find_generic(HaCluster *c)
{
    g_autofree char *nodes = g_build_filename(c->pve, "nodes", NULL);
    GDir *dir = g_dir_open(nodes, 0, NULL);
    const char *node;

    strmap_clear(c->generic);
    while (dir != NULL && (node = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(nodes, node, HA_GENERIC_DIR, NULL);
        GDir *services = g_dir_open(path, 0, NULL);
        const char *name;

        while (services != NULL && (name = g_dir_read_name(services)) != NULL) {
            g_autofree char *sid = g_strconcat("exec:", name, NULL);

            if (strstr(name, ".tmp.") == NULL && strmap_size(c->generic) < HA_SERVICES_MAX) {
                strmap_set(c->generic, sid, g_strdup(node));
            }
        }
        g_clear_pointer(&services, g_dir_close);
    }
    g_clear_pointer(&dir, g_dir_close);
}

int ha_cluster_refresh(HaCluster *c, Err *err)
{
    int r = ask_json(c, WIRE_IPC_GET_MEMBERS, &c->members, err);

    if (r == 0) {
        r = ask_json(c, WIRE_IPC_GET_VMLIST, &c->vmlist, err);
    }
    if (r == 0) {
        r = ha_tree_check(c->pve, err);
        c->unmounted = r < 0;
    }
    if (r == 0) {
        find_generic(c);
    }
    return r;
}

/* A node that is in no cluster is its own majority. */
static bool says_quorate(const JsonTree *members)
{
    const JsonTree *cluster = jsontree_get(members, "cluster");

    return members != NULL && (cluster == NULL || jsontree_get_int(cluster, "quorate", 0) != 0);
}

bool ha_cluster_quorate(HaCluster *c)
{
    g_autoptr(JsonTree) now = NULL;

    return ask_json(c, WIRE_IPC_GET_MEMBERS, &now, NULL) == 0 && says_quorate(now);
}

int ha_cluster_members(const HaCluster *c, StrMap *ret_online, Err *err)
{
    const JsonTree *list = jsontree_get(c->members, "nodelist");

    if (c->members == NULL) {
        return err_setf(err, -ENOTCONN, "the members of the cluster are not known yet");
    }
    for (guint i = 0; i < jsontree_count(list) && i < HA_NODES_MAX; i++) {
        bool online = jsontree_get_int(jsontree_at(list, i), "online", 0) != 0;

        strmap_set(ret_online, jsontree_key(list, i), GINT_TO_POINTER(online));
    }
    strmap_set(ret_online, c->node, GINT_TO_POINTER(1)); /* we are here */
    return 0;
}

/* What all nodes have broadcast; none of it when that cannot be told now. */
static HaValues *ask_values(HaCluster *c)
{
    WireIpcRequest q = {.id = WIRE_IPC_GET_RRD};
    g_autoptr(GBytes) answer = NULL;
    gsize size = 0;
    const char *data;

    if (check_mounted(c, NULL) < 0 || ipcc_call(c->ipc, &q, &answer, NULL) < 0 || answer == NULL) {
        return ha_values_new("", 0);
    }
    data = g_bytes_get_data(answer, &size);
    return ha_values_new(data, size);
}

int ha_cluster_guests(const HaCluster *c, StrMap *ret_guests, Err *err)
{
    const JsonTree *ids = jsontree_get(c->vmlist, "ids");
    g_autoptr(HaValues) values = NULL;

    if (c->vmlist == NULL) {
        return err_setf(err, -ENOTCONN, "the guests of the cluster are not known yet");
    }
    values = ask_values((HaCluster *)(uintptr_t)c); /* the connection is no part of what we say */
    for (guint i = 0; i < jsontree_count(ids) && i < HA_SERVICES_MAX; i++) {
        const JsonTree *entry = jsontree_at(ids, i);
        const char *type = g_strcmp0(jsontree_get_text(entry, "type"), "lxc") == 0 ? "ct" : "vm";
        g_autofree char *sid = g_strdup_printf("%s:%s", type, jsontree_key(ids, i));
        HaGuest *guest;

        if (jsontree_get_text(entry, "node") == NULL) {
            continue;
        }
        guest = g_new0(HaGuest, 1);
        guest->node = g_strdup(jsontree_get_text(entry, "node"));
        guest->started = ha_values_guest_runs(values, sid);
        strmap_set(ret_guests, sid, guest);
    }
    for (guint i = 0; i < strmap_size(c->generic); i++) {
        HaGuest *guest = g_new0(HaGuest, 1);

        guest->node = g_strdup(strmap_value(c->generic, i));
        strmap_set(ret_guests, strmap_key(c->generic, i), guest);
    }
    return 0;
}

char *ha_cluster_guest_node(const HaCluster *c, const char *sid)
{
    const char *colon = strchr(sid, ':');
    const JsonTree *entry;

    if (colon == NULL) {
        return NULL;
    }
    if (strmap_has(c->generic, sid)) {
        return g_strdup(strmap_get(c->generic, sid));
    }
    entry = jsontree_get(jsontree_get(c->vmlist, "ids"), colon + 1);
    if ((g_str_has_prefix(sid, "ct:")) !=
        (g_strcmp0(jsontree_get_text(entry, "type"), "lxc") == 0)) {
        return NULL;
    }
    return g_strdup(jsontree_get_text(entry, "node"));
}

int ha_cluster_read(HaCluster *c, HaFile file, const char *node, char **ret_text, Err *err)
{
    g_autofree char *path = ha_tree_path("", file, node);
    g_autoptr(GBytes) content = NULL;
    gsize size = 0;
    const char *data;
    int r = check_mounted(c, err);

    if (r < 0) {
        return r;
    }
    r = ipcc_get_file(c->ipc, path + strspn(path, "/"), &content, err);
    if (r == -ENOENT) {
        err_clear(err);
        *ret_text = g_strdup("");
        return 0;
    }
    if (r < 0) {
        return r;
    }
    data = g_bytes_get_data(content, &size);
    *ret_text = g_strndup(data != NULL ? data : "", size);
    return 0;
}

int ha_cluster_detection_ms(HaCluster *c, int64_t *ret, Err *err)
{
    g_autoptr(GBytes) content = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    gsize size = 0;
    const char *text;
    int r = ipcc_get_file(c->ipc, "corosync.conf", &content, err);

    if (r == -ENOENT) {
        err_clear(err);
        *ret = 0;
        return 0;
    }
    if (r < 0) {
        return r;
    }
    text = g_bytes_get_data(content, &size);
    r = corosync_conf_parse(text != NULL ? text : "", size, &conf, err);
    if (r == 0) {
        *ret = (int64_t)corosync_detection_ms(conf);
    }
    return r;
}

/* What the node once told of itself, should it broadcast nothing. */
static HaLoad *told_node_load(HaCluster *c, const char *node)
{
    g_autoptr(GBytes) info = NULL;
    gsize size = 0;
    const char *text;

    if (ipcc_get_status(c->ipc, node, "static-info", &info, NULL) < 0 || info == NULL) {
        return NULL;
    }
    text = g_bytes_get_data(info, &size);
    return text != NULL ? ha_load_of_static_info(text, strnlen(text, size)) : NULL;
}

/* By its file; nothing when there is none that can be read. */
static HaLoad *load_by_file(const HaCluster *c, const char *sid, const char *node)
{
    g_autofree char *path = ha_tree_guest_path(c->pve, sid, node);
    g_autofree char *text = NULL;
    gsize size = 0;

    if (path == NULL || cfsfile_read(path, HA_TEXT_MAX, &text, &size, NULL) < 0) {
        return g_new0(HaLoad, 1);
    }
    return ha_load_of_config(sid, text, size);
}

/* What their configurations allow guests, asked for once and only when somebody wants it. */
typedef struct Configured {
    bool asked;
    JsonTree *properties; /* VMID -> properties; NULL: the answer would have been too long */
} Configured;

static HaLoad *configured_load(HaCluster *c, Configured *all, const char *sid, const char *node)
{
    const WireIpcRequest q = {
        .id = WIRE_IPC_GUEST_PROPERTIES,
        .u.properties = {.n_names = HA_LOAD_PROPERTIES_N, .names = HA_LOAD_PROPERTIES}};
    const char *colon = strchr(sid, ':');

    if (g_str_has_prefix(sid, "exec:") || colon == NULL) {
        return g_new0(HaLoad, 1);
    }
    if (!all->asked) {
        all->asked = true;
        if (ask_request(c, &q, &all->properties, NULL) < 0) {
            all->properties = NULL;
        }
    }
    return all->properties != NULL
               ? ha_load_of_properties(sid, jsontree_get(all->properties, colon + 1))
               : load_by_file(c, sid, node);
}

int ha_cluster_loads(HaCluster *c, HaScheduler mode, HaLoads *loads, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    g_autoptr(StrMap) guests = strmap_new(ha_guest_free);
    g_autoptr(HaValues) values = ask_values(c);
    Configured configured = {false, NULL};
    int r = ha_cluster_members(c, members, err);

    if (r == 0) {
        r = ha_cluster_guests(c, guests, err);
    }
    for (guint i = 0; r == 0 && i < strmap_size(members); i++) {
        const char *node = strmap_key(members, i);
        HaLoad *load = ha_values_node_load(values, node);

        if (load == NULL && mode != HA_SCHEDULER_DYNAMIC) {
            load = told_node_load(c, node);
        }
        if (load != NULL) {
            strmap_set(loads->nodes, node, load);
        }
    }
    for (guint i = 0; r == 0 && i < strmap_size(guests); i++) {
        const char *sid = strmap_key(guests, i);
        const HaGuest *guest = strmap_value(guests, i);
        HaLoad *load = mode == HA_SCHEDULER_DYNAMIC ? ha_values_guest_load(values, sid) : NULL;

        strmap_set(loads->guests, sid,
                   load != NULL ? load : configured_load(c, &configured, sid, guest->node));
    }
    jsontree_free(configured.properties);
    return r;
}

/* One of ours says for how long its lease counts; it understands rules. */
static bool is_one_of_ours(HaCluster *c, const char *node)
{
    g_autofree char *text = NULL;
    g_autoptr(HaLrmStatus) ls = NULL;

    return ha_cluster_read(c, HA_FILE_LRM_STATUS, node, &text, NULL) == 0 &&
           ha_lrm_status_parse(text, &ls, NULL) == 0 && ls->lease_ms > 0;
}

char *ha_cluster_version(HaCluster *c, const char *node)
{
    g_autoptr(GBytes) info = NULL;
    g_autoptr(JsonTree) tree = NULL;
    gsize size = 0;
    const char *text;

    if (ipcc_get_status(c->ipc, node, "version-info", &info, NULL) == 0 && info != NULL) {
        text = g_bytes_get_data(info, &size);
        if (text != NULL && jsontree_parse(text, strnlen(text, size), &tree, NULL) == 0) {
            return g_strdup(jsontree_get_text(tree, "version"));
        }
    }
    return is_one_of_ours(c, node) ? g_strdup(RULES_VERSION) : NULL;
}

void ha_cluster_log(HaCluster *c, TraceLevel level, const char *ident, const char *text)
{
    if (check_mounted(c, NULL) < 0) {
        return;
    }
    /* Best effort: the same line is in the node's own log. */
    (void)!ipcc_log(c->ipc, (uint8_t)level, "root@pam", ident, text, NULL);
}
