/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/config_api.h"

#include "lib/cfs/api_call.h"
#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_check.h"
#include "lib/port/clock.h"
#include "lib/port/process.h"
#include "lib/port/task.h"
#include "quorum/core/join_info.h"
#include "quorum/core/join_request.h"
#include "quorum/io/certs.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/join_records.h"
#include "quorum/io/node_add.h"
#include "quorum/io/node_files.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define MEMBERS_MAX     65536
#define DELNODE_WAIT_MS 80000
#define PASSWORD_MAX    128

static JoinServer *server_of(const ApiCall *c)
{
    return c->ctx;
}

/* ---- reading the configuration ----------------------------------------------------------------
 */

static int
read_conf(const char *pve, CorosyncConf **ret, char **ret_text, gsize *ret_size, Err *err)
{
    g_autofree char *path = g_build_filename(pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, COROSYNC_CONF_SIZE_MAX, &text, &size, err);

    if (r == -ENOENT) {
        return err_setf(err, r, "node is not in a cluster, no join info available!");
    }
    if (r < 0 || (r = corosync_conf_parse(text, size, ret, err)) < 0) {
        return r;
    }
    if (ret_text != NULL) {
        *ret_text = g_steal_pointer(&text);
        *ret_size = size;
    }
    return 0;
}

static char *short_name(void)
{
    char name[256] = "";

    (void)gethostname(name, sizeof name - 1); /* "" is in no list */
    name[strcspn(name, ".")] = '\0';
    return g_strdup(name);
}

/* What the cluster filesystem knows of its members; NULL: nothing. */
static JsonTree *read_members(const char *pve)
{
    g_autofree char *path = g_build_filename(pve, ".members", NULL);
    g_autofree char *text = NULL;
    JsonTree *tree = NULL;
    gsize size = 0;

    if (cfsfile_read(path, MEMBERS_MAX, &text, &size, NULL) < 0 ||
        jsontree_parse(text, size, &tree, NULL) < 0) {
        return NULL;
    }
    return tree;
}

/* Address by which the cluster filesystem knows a node; NULL: it does not. Caller frees. */
static char *member_address(const char *pve, const char *node)
{
    g_autoptr(JsonTree) tree = read_members(pve);

    return g_strdup(jsontree_get_text(jsontree_get(jsontree_get(tree, "nodelist"), node), "ip"));
}

/* Fingerprint of the certificate a node shows on its API port; NULL when it has none. */
static char *api_fingerprint(const char *pve, const char *node)
{
    static const char *const names[] = {"pveproxy-ssl.pem", "pve-ssl.pem"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(pve, "nodes", node, names[i], NULL);
        g_autofree char *pem = NULL;
        g_auto(CertInfo) info = {0};

        if (cfsfile_read(path, CERTS_PEM_SIZE_MAX, &pem, NULL, NULL) == 0 &&
            certs_inspect(pem, &info, NULL) == 0) {
            return g_strdup(info.fingerprint);
        }
    }
    return NULL;
}

/* The list with the management address and the fingerprint of each node. */
static JsonTree *nodes_with_api(const char *pve, const CorosyncConf *conf)
{
    JsonTree *nodes = jsontree_new_array();
    g_autoptr(JsonTree) plain = join_info_nodes(conf, false);

    for (guint i = 0; i < jsontree_count(plain); i++) {
        JsonTree *node = jsontree_copy(jsontree_at(plain, i));
        const char *name = jsontree_get_text(node, "name");
        g_autofree char *address = member_address(pve, name);
        g_autofree char *fingerprint = api_fingerprint(pve, name);

        jsontree_set_text(node, "pve_addr",
                          address != NULL ? address : jsontree_get_text(node, "ring0_addr"));
        jsontree_set_text(node, "pve_fp", fingerprint);
        jsontree_add(nodes, node);
    }
    return nodes;
}

int config_api_join_info(const char *pve, const char *node, JsonTree **ret, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autofree char *text = NULL;
    g_autofree char *digest = NULL;
    g_autofree char *own = short_name();
    gsize size = 0;
    int r = read_conf(pve, &conf, &text, &size, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(conf);
    if (node != NULL && corosync_nodes_find(nodes, node) == NULL) {
        return err_setf(err, -EINVAL, "cluster has no node '%s'", node);
    }
    digest = corosync_text_digest(text, size);
    *ret = jsontree_new_object();
    jsontree_set(*ret, "nodelist", nodes_with_api(pve, conf));
    jsontree_set_text(*ret, "preferred_node", node != NULL ? node : own);
    jsontree_set(*ret, "totem", join_info_totem(conf));
    jsontree_set_text(*ret, "config_digest", digest);
    return 0;
}

/* ---- GET --------------------------------------------------------------------------------------
 */

static int get_index(ApiCall *c, Err *err)
{
    static const char *const names[] = {
        "nodes",   "totem",      "join",
        "qdevice", "apiversion", "join2"}; /* the last: nodes may join by token */

    (void)err;
    c->data = jsontree_new_array();
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "name", names[i]);
        jsontree_add(c->data, one);
    }
    return 0;
}

static int get_apiversion(ApiCall *c, Err *err)
{
    (void)err;
    c->data = jsontree_new_int(NODE_ADD_API_VERSION);
    return 0;
}

static int get_join(ApiCall *c, Err *err)
{
    int r = config_api_join_info(c->pve, params_get(c->params, "node"), &c->data, err);

    c->status = r == -ENOENT ? 424 : 0;
    return r;
}

static int get_nodes(ApiCall *c, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    int r = read_conf(c->pve, &conf, NULL, NULL, err);

    if (r == -ENOENT) { /* no cluster: no nodes in it */
        c->data = jsontree_new_array();
        return 0;
    }
    c->data = r == 0 ? join_info_nodes(conf, true) : NULL;
    return r;
}

static int get_totem(ApiCall *c, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    int r = read_conf(c->pve, &conf, NULL, NULL, err);

    if (r == -ENOENT) {
        c->data = jsontree_new_object();
        return 0;
    }
    c->data = r == 0 ? join_info_totem(conf) : NULL;
    return r;
}

/* What the device's own tool says, as far as it is documented. */
static int get_qdevice(ApiCall *c, Err *err)
{
    static const char *const argv[] = {"corosync-qdevice-tool", "-s", "-v", NULL};
    static const char *const keys[] = {"Algorithm",  "Echo reply", "Last poll call", "Model",
                                       "QNetd host", "State",      "Tie-breaker"};
    g_autoptr(CorosyncConf) conf = NULL;
    g_auto(ProcessResult) result = {0};
    g_auto(GStrv) lines = NULL;
    int r = read_conf(c->pve, &conf, NULL, NULL, err);

    c->data = jsontree_new_object();
    if (r == -ENOENT || (r == 0 && corosync_conf_get(conf, "quorum.device.model") == NULL)) {
        return 0;
    }
    if (r < 0 || (r = process_run(argv, NULL, &result, err)) < 0) {
        return r;
    }
    lines = g_strsplit(result.out, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        char *colon = strchr(lines[i], ':');

        if (colon == NULL) {
            continue;
        }
        *colon = '\0';
        for (guint k = 0; k < G_N_ELEMENTS(keys); k++) {
            if (strcmp(g_strstrip(lines[i]), keys[k]) == 0) {
                jsontree_set_text(c->data, keys[k], g_strstrip(colon + 1));
            }
        }
    }
    return 0;
}

/* ---- adding a node ---------------------------------------------------------------------------
 */

/* The faults found, as the endpoint tells them: errors beside the message, warnings in the answer.
 */
static void tell_problems(ApiCall *c, const GPtrArray *problems, bool failed, JsonTree *warnings)
{
    g_autoptr(GString) out = g_string_new("{");
    guint errors = 0, n = 0;

    for (guint i = 0; i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);
        g_autofree char *text = corosync_problem_format(p);
        g_autoptr(JsonTree) value = jsontree_new_text(text);
        bool error = p->severity == COROSYNC_ERROR;

        g_string_append_printf(out, "%s\"%s%u\":", out->len > 1 ? "," : "",
                               error ? "error" : "warning", error ? errors++ : n++);
        jsontree_append(out, value);
        if (!error) {
            jsontree_add(warnings, jsontree_new_text(text));
        }
    }
    g_string_append_c(out, '}');
    c->errors = failed && errors > 0 ? g_strdup(out->str) : NULL;
}

static void fill_add(const ApiCall *c, CorosyncAddNode *add)
{
    static const char *const links[COROSYNC_LINKS_MAX] = {"link0", "link1", "link2", "link3",
                                                          "link4", "link5", "link6", "link7"};

    add->name = c->part[0];
    add->nodeid = (uint32_t)params_int(c->params, "nodeid", 0);
    add->votes = (uint32_t)params_int(c->params, "votes", 1);
    add->force = params_bool(c->params, "force", false);
    add->fallback_address = params_get(c->params, "new_node_ip");
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        add->link[i] = params_get(c->params, links[i]);
    }
}

static int answer_added(ApiCall *c, const CorosyncConf *conf, const JsonTree *warnings, Err *err)
{
    g_autofree char *text = corosync_conf_format(conf);
    g_autoptr(JsonTree) value = jsontree_new_text(text);
    g_autofree char *key = NULL;
    GString *out;
    gsize size = 0;
    int r = cfsfile_read(server_of(c)->authkey, COROSYNC_KEY_MAX, &key, &size, err);

    if (r < 0) {
        return r;
    }
    out = g_string_sized_new(16384);
    g_string_append(out, "{\"corosync_authkey\":");
    join_authkey_append(out, (const uint8_t *)key, size);
    explicit_bzero(key, size);
    g_string_append(out, ",\"corosync_conf\":");
    jsontree_append(out, value);
    g_string_append(out, ",\"warnings\":");
    jsontree_append(out, warnings);
    g_string_append_c(out, '}');
    c->raw = g_string_free(out, FALSE);
    return 0;
}

static int post_node(ApiCall *c, Err *err)
{
    g_autofree char *by = g_strdup_printf("by '%s' from %s", c->caller.who, c->request->peer);
    g_autoptr(JsonTree) warnings = jsontree_new_array();
    g_autoptr(GPtrArray) problems = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    NodeAdd add = {.pve = c->pve,
                   .tracer = c->tracer,
                   .by = by,
                   .apiversion = params_int(c->params, "apiversion", 0)};
    int r;

    fill_add(c, &add.node);
    r = node_add(&add, &conf, &problems, err);
    if (problems != NULL) {
        tell_problems(c, problems, r < 0, warnings);
    }
    return r < 0 ? r : answer_added(c, conf, warnings, err);
}

static int delete_node(ApiCall *c, Err *err)
{
    const char *argv[] = {"pvecm", "delnode", c->part[0], NULL};
    ProcessOptions options = {.timeout_ms = DELNODE_WAIT_MS};

    if (!corosync_valid_name(c->part[0])) {
        return err_setf(err, -EINVAL, "'%s' is no node name", c->part[0]);
    }
    return process_check(argv, &options, NULL, err);
}

/* ---- nodes that have shown up ------------------------------------------------------------------
 */

/* Has its cluster filesystem been seen? Being in the ring is not enough: whoever fails between the
 * two would take the votes away again, and the quorum with them. */
static bool is_mounted(const char *pve, const char *node)
{
    g_autoptr(JsonTree) tree = read_members(pve);

    return jsontree_get_int(jsontree_get(jsontree_get(tree, "nodelist"), node), "online", 0) != 0;
}

static bool waits(const JoinRecord *record)
{
    return record->staged.sec != 0 && record->used_by != NULL &&
           g_strcmp0(record->made_by, JOIN_RECORD_BY_PASSWORD) == 0;
}

static int give_votes(JoinServer *s, const char *path, const JoinRecord *record, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    g_autoptr(QuorumReport) report = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *node;
    int r;

    if ((r = quorum_query(NULL, 0, &report, err)) < 0 ||
        (r = conf_edit_begin(s->pve, &edit, err)) < 0) {
        return r;
    }
    if (access(path, F_OK) < 0) {
        return 0; /* another member was faster */
    }
    nodes = corosync_nodes(edit.conf);
    node = corosync_nodes_find(nodes, record->used_by);
    if (node != NULL && (!quorum_has_member(&report->facts, node->nodeid) ||
                         !is_mounted(s->pve, node->name))) {
        return 0;
    }
    if (node != NULL && node->votes == 0 &&
        ((r = corosync_conf_set_votes(edit.conf, record->used_by, record->votes, err)) < 0 ||
         (r = conf_edit_commit(&edit, err)) < 0)) {
        return r;
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        r = -errno;
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    if (node == NULL) {
        return 0; /* removed by an administrator meanwhile */
    }
    trace(&s->tracer, TRACE_NOTICE, "node '%s' has shown up and has %u vote(s) now",
          record->used_by, record->votes);
    cluster_log(LOG_NOTICE, "node '%s' has joined with %u vote(s)", record->used_by, record->votes);
    return 1;
}

int config_api_promote(JoinServer *s, Err *err)
{
    g_autofree char *dir_path = g_build_filename(s->pve, "priv", "join-tokens", NULL);
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    const char *name;
    int count = 0;

    for (int i = 0; dir != NULL && i < JOIN_RECORDS_MAX && (name = g_dir_read_name(dir)) != NULL;
         i++) {
        g_autofree char *path = g_build_filename(dir_path, name, NULL);
        g_auto(JoinRecord) record = {0};
        int r;

        if (strstr(name, ".tmp.") != NULL || join_record_read(path, &record, NULL) < 0 ||
            !waits(&record)) {
            continue;
        }
        if ((r = give_votes(s, path, &record, err)) < 0) {
            return r;
        }
        count += r;
    }
    return count;
}

/* ---- tasks and tokens --------------------------------------------------------------------------
 */

/* Options that both commands have, as `--NAME VALUE`. */
static void add_options(const ApiCall *c, const ParamSpec *specs, GPtrArray *argv)
{
    for (const ParamSpec *s = specs; s->name != NULL; s++) {
        const char *value = params_get(c->params, s->name);

        if (value == NULL || strcmp(s->name, "password") == 0 || strcmp(s->name, "hostname") == 0 ||
            strcmp(s->name, "clustername") == 0) {
            continue;
        }
        if (s->kind == PARAM_BOOL) {
            if (params_bool(c->params, s->name, false)) {
                g_ptr_array_add(argv, g_strconcat("--", s->name, NULL));
            }
            continue;
        }
        /* One word, so that no value is read as an option. */
        g_ptr_array_add(argv, g_strdup_printf("--%s=%s", s->name, value));
    }
    g_ptr_array_add(argv, NULL);
}

static int start_task(
    ApiCall *c, const char *type, const char *id, GPtrArray *argv, const char *input, Err *err)
{
    g_autofree char *node = short_name();
    g_autofree char *upid = NULL;
    TaskSpec spec = {.argv = (const char *const *)argv->pdata,
                     .input = input,
                     .node = node,
                     .type = type,
                     .id = id,
                     .user = c->caller.who};
    int r = task_start(TASK_DIR, &spec, &upid, err);

    c->data = r == 0 ? jsontree_new_text(upid) : NULL;
    return r;
}

static const ParamSpec create_params[] = {
    {"clustername", PARAM_TEXT, 1, COROSYNC_CLUSTER_NAME_MAX, true, corosync_valid_name,
     "cluster name"},
    {"nodeid", PARAM_INT, 1, INT32_MAX, false, NULL, NULL},
    {"votes", PARAM_INT, 1, 255, false, NULL, NULL},
    {"token-coefficient", PARAM_INT, 0, 3600000, false, NULL, NULL},
#define LINK_PARAM(n)                                                                              \
    {                                                                                              \
        "link" #n, PARAM_TEXT, 1, 300, false, NULL, NULL                                           \
    }
#define LINK_PARAMS                                                                                \
    LINK_PARAM(0), LINK_PARAM(1), LINK_PARAM(2), LINK_PARAM(3), LINK_PARAM(4), LINK_PARAM(5),      \
        LINK_PARAM(6), LINK_PARAM(7)
    LINK_PARAMS,
    {0},
};

static int post_create(ApiCall *c, Err *err)
{
    const char *name = params_get(c->params, "clustername");
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(argv, g_strdup("pvecm"));
    g_ptr_array_add(argv, g_strdup("create"));
    g_ptr_array_add(argv, g_strdup(name));
    add_options(c, create_params, argv);
    return start_task(c, "clustercreate", name, argv, NULL, err);
}

static bool valid_host(const char *text)
{
    return text[0] != '-' && strpbrk(text, " \t\r\n/@") == NULL;
}

static bool valid_fingerprint(const char *text)
{
    uint8_t digest[32];

    return join_fingerprint_parse(text, digest);
}

static bool valid_password(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

static const ParamSpec join_params[] = {
    {"hostname", PARAM_TEXT, 1, 253, true, valid_host, "host name or address"},
    {"password", PARAM_TEXT, 1, PASSWORD_MAX, true, valid_password, "password"},
    {"fingerprint", PARAM_TEXT, 1, 95, true, valid_fingerprint, "certificate fingerprint"},
    {"nodeid", PARAM_INT, 1, INT32_MAX, false, NULL, NULL},
    {"votes", PARAM_INT, 0, 255, false, NULL, NULL},
    {"force", PARAM_BOOL, 0, 0, false, NULL, NULL},
    LINK_PARAMS,
    {0},
};

static int post_join(ApiCall *c, Err *err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *input = g_strconcat(params_get(c->params, "password"), "\n", NULL);
    int r;

    g_ptr_array_add(argv, g_strdup("pvecm"));
    g_ptr_array_add(argv, g_strdup("add"));
    g_ptr_array_add(argv, g_strdup(params_get(c->params, "hostname")));
    add_options(c, join_params, argv);
    r = start_task(c, "clusterjoin", "", argv, input, err);
    explicit_bzero(input, strlen(input));
    g_free(input);
    return r;
}

static const ParamSpec token_params[] = {
    {"ttl", PARAM_INT, 1, JOINTOKEN_TTL_MAX_SEC, false, NULL, NULL},
    {"votes", PARAM_INT, 0, 255, false, NULL, NULL},
    {"node", PARAM_TEXT, 1, 63, true, corosync_valid_name, "node name"},
    {0},
};

/* For a node that has logged in with a password: it goes on by token, in two phases. */
static int post_token(ApiCall *c, Err *err)
{
    JoinTokenOptions opt = {.ttl_sec = (unsigned)params_int(c->params, "ttl", JOIN_PENDING_SEC),
                            .uses = 1,
                            .votes = (unsigned)params_int(c->params, "votes", 1),
                            .node = params_get(c->params, "node")};
    char *line = NULL;
    int r = join_token_create(c->pve, &opt, &line, err);

    if (r == 0) {
        c->data = jsontree_new_object();
        jsontree_set_text(c->data, "token", line);
        trace(c->tracer, TRACE_NOTICE, "a token for node '%s' was made for '%s' at %s", opt.node,
              c->caller.who, c->request->peer);
        cluster_log(LOG_INFO, "a join token for node '%s' was made by '%s'", opt.node,
                    c->caller.who);
    }
    jointoken_free_line(line);
    return r;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static const ParamSpec node_params[] = {
    {"node", PARAM_TEXT, 1, 63, false, corosync_valid_name, "node name"},
    {0},
};

static const ParamSpec add_params[] = {
    {"nodeid", PARAM_INT, 1, INT32_MAX, false, NULL, NULL},
    {"votes", PARAM_INT, 0, 255, false, NULL, NULL},
    {"force", PARAM_BOOL, 0, 0, false, NULL, NULL},
    {"new_node_ip", PARAM_TEXT, 1, 253, false, valid_host, "address"},
    {"apiversion", PARAM_INT, 0, INT32_MAX, false, NULL, NULL},
    LINK_PARAMS,
    {0},
};

#define BASE  "/cluster/config"
#define AUDIT API_NEED_PRIV, "/", "Sys.Audit"
#define ROOT  API_NEED_ROOT, NULL, NULL

static const ApiEndpoint endpoints[] = {
    {"GET", BASE, AUDIT, NULL, get_index},
    {"POST", BASE, ROOT, create_params, post_create},
    {"GET", BASE "/apiversion", AUDIT, NULL, get_apiversion},
    {"GET", BASE "/join", AUDIT, node_params, get_join},
    {"POST", BASE "/join", ROOT, join_params, post_join},
    {"POST", BASE "/join2/token", ROOT, token_params, post_token},
    {"GET", BASE "/nodes", AUDIT, NULL, get_nodes},
    {"POST", BASE "/nodes/{node}", ROOT, add_params, post_node},
    {"DELETE", BASE "/nodes/{node}", ROOT, NULL, delete_node},
    {"GET", BASE "/qdevice", AUDIT, NULL, get_qdevice},
    {"GET", BASE "/totem", AUDIT, NULL, get_totem},
    {0},
};

void config_api_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret)
{
    ApiTable table = {.endpoints = endpoints, .pve = s->pve, .tracer = &s->tracer, .ctx = s};

    api_call_serve(&table, request, ret);
}
