/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_classic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BASE        "/cluster/config"
#define API_VERSION 1
#define VMIDS_MAX   100000u

/* One request whose answer must be 200; its tree. */
static int ask(ApiSession *s,
               const char *method,
               const char *path,
               const char *const *params,
               JsonTree **ret,
               Err *err)
{
    g_auto(HttpAnswer) a = {0};
    const char *text;
    gsize size;
    int r = api_session_call(s, method, path, params, &a, err);

    if (r < 0) {
        return r;
    }
    if (a.status != 200) {
        return api_session_refusal(&a, path, err);
    }
    text = g_bytes_get_data(a.body, &size);
    if (jsontree_parse(text != NULL ? text : "", size, ret, err) < 0) {
        return err_wrapf(err, -EBADMSG, "the member's answer to %s", path);
    }
    return 0;
}

int join_classic_has_tokens(ApiSession *s, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *data;
    int r = ask(s, "GET", BASE, NULL, &tree, err);

    if (r < 0) {
        return r;
    }
    data = jsontree_get(tree, "data");
    for (guint i = 0; i < jsontree_count(data); i++) {
        if (g_strcmp0(jsontree_get_text(jsontree_at(data, i), "name"), "join2") == 0) {
            return 1;
        }
    }
    return 0;
}

int join_classic_token(ApiSession *s, const char *node, unsigned votes, char **ret, Err *err)
{
    g_autofree char *number = g_strdup_printf("%u", votes);
    const char *const params[] = {"node", node, "votes", number, NULL};
    g_autoptr(JsonTree) tree = NULL;
    const char *token;
    int r = ask(s, "POST", BASE "/join2/token", params, &tree, err);

    if (r < 0) {
        return r;
    }
    token = jsontree_get_text(jsontree_get(tree, "data"), "token");
    if (token == NULL) {
        return err_setf(err, -EBADMSG, "the member's answer holds no token");
    }
    *ret = g_strdup(token);
    return 0;
}

int join_classic_version(ApiSession *s, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *data;
    int r = ask(s, "GET", BASE "/apiversion", NULL, &tree, err);

    if (r == -ENOSYS) {
        err_clear(err); /* from before there were versions */
        return 0;
    }
    if (r < 0) {
        return r;
    }
    data = jsontree_get(tree, "data");
    /* Numbers come as texts from some. */
    return jsontree_kind(data) == JSONTREE_TEXT
               ? (int)CLAMP(g_ascii_strtoll(jsontree_text(data), NULL, 10), 0, INT32_MAX)
               : (int)CLAMP(jsontree_int(data, 0), 0, INT32_MAX);
}

int join_classic_vmids(ApiSession *s, GArray **ret, Err *err)
{
    static const char *const params[] = {"type", "vm", NULL};
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *data;
    int r = ask(s, "GET", "/cluster/resources", params, &tree, err);

    if (r < 0) {
        return r;
    }
    data = jsontree_get(tree, "data");
    if (jsontree_kind(data) != JSONTREE_ARRAY || jsontree_count(data) > VMIDS_MAX) {
        return err_setf(err, -EBADMSG, "the member's list of guests cannot be read");
    }
    *ret = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (guint i = 0; i < jsontree_count(data); i++) {
        uint32_t vmid = (uint32_t)jsontree_get_int(jsontree_at(data, i), "vmid", 0);

        g_array_append_val(*ret, vmid);
    }
    return 0;
}

int join_classic_addresses(ApiSession *s, const char *node, GPtrArray **ret, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *data;
    int r = ask(s, "GET", BASE "/nodes", NULL, &tree, err);

    if (r < 0) {
        return r;
    }
    data = jsontree_get(tree, "data");
    if (jsontree_kind(data) != JSONTREE_ARRAY) {
        return err_setf(err, -EBADMSG, "the member's list of nodes cannot be read");
    }
    *ret = join_info_addresses(data, node);
    return 0;
}

int join_classic_conf(ApiSession *s, CorosyncConf **ret, Err *err)
{
    g_autoptr(JsonTree) nodes = NULL;
    g_autoptr(JsonTree) totem = NULL;
    int r = ask(s, "GET", BASE "/nodes", NULL, &nodes, err);

    if (r < 0 || ((r = ask(s, "GET", BASE "/totem", NULL, &totem, err)) < 0 && r != -ENOSYS)) {
        return r;
    }
    err_clear(err); /* without totem the addresses of the nodes tell the links */
    return join_info_conf(jsontree_get(nodes, "data"), jsontree_get(totem, "data"), ret, err);
}

static void add_param(GPtrArray *params, const char *name, char *value)
{
    g_ptr_array_add(params, g_strdup(name));
    g_ptr_array_add(params, value);
}

static GPtrArray *params_of(const JoinClassicAdd *add)
{
    GPtrArray *params = g_ptr_array_new_with_free_func(g_free);
    bool linked = false;

    if (add->force) {
        add_param(params, "force", g_strdup("1"));
    }
    if (add->nodeid > 0) {
        add_param(params, "nodeid", g_strdup_printf("%u", add->nodeid));
    }
    if (add->votes >= 0) {
        add_param(params, "votes", g_strdup_printf("%d", add->votes));
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        char name[8];

        if (add->links[i].present) {
            (void)snprintf(name, sizeof name, "link%u", i);
            add_param(params, name, g_strdup(add->links[i].address));
            linked = true;
        }
    }
    if (!linked && add->address != NULL) {
        add_param(params, add->version == 0 ? "link0" : "new_node_ip", g_strdup(add->address));
    }
    if (add->version > 0) {
        add_param(params, "apiversion", g_strdup_printf("%d", API_VERSION));
    }
    g_ptr_array_add(params, NULL);
    return params;
}

int join_classic_add(ApiSession *s, const JoinClassicAdd *add, JoinClassicAnswer *ret, Err *err)
{
    g_autoptr(GPtrArray) params = params_of(add);
    g_autofree char *path = g_strconcat(BASE "/nodes/", add->node, NULL);
    g_auto(HttpAnswer) a = {0};
    const char *data;
    char *text;
    gsize size;
    int r = api_session_call(s, "POST", path, (const char *const *)params->pdata, &a, err);

    if (r < 0) {
        return r;
    }
    if (a.status != 200) {
        return api_session_refusal(&a, "adding this node", err);
    }
    data = g_bytes_get_data(a.body, &size);
    text = g_strndup(data != NULL ? data : "", size);
    r = join_classic_parse(text, ret, err);
    explicit_bzero(text, size);
    g_free(text);
    return r;
}

int join_classic_remove(ApiSession *s, const char *node, Err *err)
{
    g_autofree char *path = g_strconcat(BASE "/nodes/", node, NULL);
    g_autoptr(JsonTree) tree = NULL;

    return ask(s, "DELETE", path, NULL, &tree, err);
}
