/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_server.h"

#include "lib/base/jsontext.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/api_socket.h"
#include "lib/port/clock.h"
#include "quorum/core/join_request.h"
#include "quorum/io/certs.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/config_api.h"
#include "quorum/io/join_gate.h"
#include "quorum/io/join_records.h"
#include "quorum/io/member_server.h"
#include "quorum/io/node_files.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#define JOIN_PATH   "/api2/json/cluster/config/join2"
#define AUTHKEY_MAX 4096

/* ---- token records ----------------------------------------------------------------------------
 */

static int ca_key_digest(const char *pve, uint8_t ret[JOINTOKEN_CA_SIZE], Err *err)
{
    g_autofree char *path = g_build_filename(pve, "pve-root-ca.pem", NULL);
    g_autofree char *pem = NULL;
    int r = cfsfile_read(path, CERTS_PEM_SIZE_MAX, &pem, NULL, err);

    return r < 0 ? r : certs_key_digest(pem, ret, err);
}

/* Addresses for the token: this node's own first, then other members, at most five. */
static GPtrArray *member_addresses(const CorosyncConf *conf)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    char own[256] = "";

    (void)gethostname(own, sizeof own - 1); /* then the order is that of the file */
    own[strcspn(own, ".")] = '\0';
    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < nodes->len && out->len < JOINTOKEN_ADDRESSES_MAX; i++) {
            const CorosyncNode *node = g_ptr_array_index(nodes, i);

            if (node->link[0] != NULL && (strcmp(node->name, own) == 0) == (pass == 0)) {
                g_ptr_array_add(out, g_strdup(node->link[0]));
            }
        }
    }
    g_ptr_array_add(out, NULL);
    return out;
}

static int make_directory(const char *path, Err *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static int
store_token(const char *pve, const JoinToken *token, const JoinTokenOptions *opt, Err *err)
{
    g_autofree char *dir = g_build_filename(pve, "priv", "join-tokens", NULL);
    g_autofree char *path = join_record_path(pve, token->id);
    g_auto(JoinRecord)
        record = {.expires = token->expires, .uses_left = opt->uses, .votes = opt->votes};
    int r;

    jointoken_derive(token->secret, record.key);
    record.node = g_strdup(opt->node);
    if ((r = make_directory(dir, err)) < 0) {
        return r;
    }
    return join_record_write(path, &record, err);
}

int join_token_create(const char *pve, const JoinTokenOptions *opt, char **ret_line, Err *err)
{
    uint8_t random[JOINTOKEN_ID_SIZE + JOINTOKEN_SECRET_SIZE], ca[JOINTOKEN_CA_SIZE];
    g_autofree char *conf_path = g_build_filename(pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    g_auto(JoinToken) token = {0};
    const char *name;
    gsize size = 0;
    int r;

    if (!quorum_wait(opt->say, opt->ctx)) {
        return err_setf(err, -EACCES, "the cluster has no quorum: nobody can join now");
    }
    if ((r = cfsfile_read(conf_path, COROSYNC_CONF_SIZE_MAX, &text, &size, err)) < 0 ||
        (r = corosync_conf_parse(text, size, &conf, err)) < 0 ||
        (r = ca_key_digest(pve, ca, err)) < 0) {
        return r;
    }
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        return err_setf(err, -EIO, "the kernel's random source gave no secret");
    }
    addresses = member_addresses(conf);
    name = corosync_conf_get(conf, "totem.cluster_name");
    r = jointoken_make(name != NULL ? name : "", (const char *const *)addresses->pdata, ca, random,
                       (WallTime){clock_wall().sec + opt->ttl_sec}, &token, err);
    explicit_bzero(random, sizeof random);
    if (r == 0) {
        r = store_token(pve, &token, opt, err);
    }
    if (r == 0) {
        *ret_line = jointoken_format(&token);
    }
    return r;
}

/* ---- steps -------------------------------------------------------------------------------------
 */

static GArray *cluster_vmids(const char *pve)
{
    g_autofree char *nodes_path = g_build_filename(pve, "nodes", NULL);
    g_autoptr(GDir) nodes = g_dir_open(nodes_path, 0, NULL);
    static const char *const kinds[] = {"qemu-server", "lxc", "openvz"};
    GArray *out = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    const char *node;

    while (nodes != NULL && (node = g_dir_read_name(nodes)) != NULL) {
        for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
            g_autofree char *path = g_build_filename(nodes_path, node, kinds[k], NULL);
            g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
            const char *name;

            while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
                g_autofree char *id = g_strndup(name, strcspn(name, "."));
                guint64 v;

                if (g_str_has_suffix(name, ".conf") &&
                    g_ascii_string_to_unsigned(id, 10, 1, UINT32_MAX, &v, NULL)) {
                    uint32_t vmid = (uint32_t)v;

                    g_array_append_val(out, vmid);
                }
            }
        }
    }
    return out;
}

static bool staged_by(const JoinRecord *record, const char *node)
{
    return record->used_by != NULL && strcmp(record->used_by, node) == 0 && record->staged.sec != 0;
}

/* Bytes of all files: the joining node must have room for them. 0: not known. */
static uint64_t tree_size(const char *pve)
{
    struct statvfs st;

    return statvfs(pve, &st) == 0 ? (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize : 0;
}

static void answer_problems(const GPtrArray *problems, bool quorate, uint64_t size, ApiAnswer *ret)
{
    g_autoptr(GString) out = g_string_new("{\"data\":{\"problems\":[");

    for (guint i = 0; i < problems->len; i++) {
        g_string_append(out, i > 0 ? "," : "");
        json_append_string(out, g_ptr_array_index(problems, i));
    }
    g_string_append_printf(out, "],\"quorate\":%s,\"size\":%" G_GUINT64_FORMAT "}}",
                           quorate ? "true" : "false", size);
    api_answer_set(ret, 200, out->str);
}

static GPtrArray *problems_now(JoinServer *s,
                               const JoinRequest *q,
                               const JoinRecord *record,
                               const CorosyncConf *conf,
                               bool quorate)
{
    g_autoptr(GArray) vmids = cluster_vmids(s->pve);

    return join_problems(q, conf, vmids, staged_by(record, q->node), quorate, clock_wall());
}

/* Is the node among the members that corosync sees? */
static bool is_in_ring(const CorosyncConf *conf, const char *name)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const CorosyncNode *node = corosync_nodes_find(nodes, name);
    g_autoptr(QuorumReport) report = NULL;

    return node != NULL && quorum_query(NULL, 0, &report, NULL) == 0 &&
           quorum_has_member(&report->facts, node->nodeid);
}

/* The others who are on the way, with whom the node cannot go: "2 other nodes join first: a, b";
 * NULL: there are none. With `conf` NULL: those not of our group, since a ring that is forming is
 * left in peace. Otherwise: those not in the ring yet, since corosync ends when it sees a newer
 * configuration than its own there. */
static char *joiners_ahead(JoinServer *s, const char *node, const CorosyncConf *conf)
{
    g_autofree char *dir_path = g_build_filename(s->pve, "priv", "join-tokens", NULL);
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    g_autoptr(GString) names = g_string_new(NULL);
    bool full = conf == NULL && join_gate_full();
    WallTime now = clock_wall();
    unsigned count = 0;
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(dir_path, name, NULL);
        g_auto(JoinRecord) r = {0};

        if (strstr(name, ".tmp.") != NULL || join_record_read(path, &r, NULL) < 0) {
            continue; /* being written, or used up and gone */
        }
        if (r.staged.sec != 0 && r.used_by != NULL && strcmp(r.used_by, node) != 0 &&
            now.sec - r.staged.sec < JOIN_BUSY_SEC &&
            (conf != NULL ? !is_in_ring(conf, r.used_by) : full || !join_gate_has(r.used_by))) {
            g_string_append_printf(names, "%s%s", count++ > 0 ? ", " : "", r.used_by);
        }
    }
    return count > 0 ? g_strdup_printf("%u other node%s first: %s", count,
                                       count == 1 ? " joins" : "s join", names->str)
                     : NULL;
}

static int
do_hello(JoinServer *s, const JoinRequest *q, const JoinRecord *record, ApiAnswer *ret, Err *err)
{
    g_autofree char *path = g_build_filename(s->pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    g_autofree char *others = NULL;
    bool quorate = quorum_is_quorate(NULL) == 1;
    gsize size = 0;
    int r;

    if ((r = cfsfile_read(path, COROSYNC_CONF_SIZE_MAX, &text, &size, err)) < 0 ||
        (r = corosync_conf_parse(text, size, &conf, err)) < 0) {
        return r;
    }
    /* Others who join make the ring form anew, as often as one of their groups comes. */
    if (!quorate && (others = joiners_ahead(s, q->node, conf)) != NULL) {
        return err_setf(err, -EAGAIN, "no quorum at the moment: %s", others);
    }
    problems = problems_now(s, q, record, conf, quorate);
    if (problems->len == 0) {
        join_gate_announce();
    }
    answer_problems(problems, quorate, tree_size(s->pve), ret);
    return 0;
}

static int sign(JoinServer *s, const JoinRequest *q, char **ret_cert, char **ret_ca, Err *err)
{
    g_autofree char *key_path = g_build_filename(s->pve, "priv", "pve-root-ca.key", NULL);
    g_autofree char *ca_path = g_build_filename(s->pve, "pve-root-ca.pem", NULL);
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    CertNames names = {.common_name = q->node};
    char *key = NULL;
    int r;

    g_ptr_array_add(list, (char *)"127.0.0.1");
    g_ptr_array_add(list, (char *)"::1");
    g_ptr_array_add(list, (char *)"localhost");
    g_ptr_array_add(list, q->node);
    if (q->address != NULL) {
        g_ptr_array_add(list, q->address);
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        if (q->link[i] != NULL) {
            g_ptr_array_add(list, q->link[i]);
        }
    }
    g_ptr_array_add(list, NULL);
    names.names = (const char *const *)list->pdata;
    if ((r = cfsfile_read(key_path, CERTS_PEM_SIZE_MAX, &key, NULL, err)) == 0 &&
        (r = cfsfile_read(ca_path, CERTS_PEM_SIZE_MAX, ret_ca, NULL, err)) == 0) {
        r = certs_sign(key, *ret_ca, q->csr, &names, 0, clock_wall(), ret_cert, err);
    }
    certs_free_key(key);
    return r;
}

static int answer_stage(JoinServer *s,
                        const JoinRequest *q,
                        const CorosyncConf *conf,
                        uint32_t nodeid,
                        ApiAnswer *ret,
                        Err *err)
{
    g_autofree char *text = corosync_conf_format(conf);
    g_autofree char *cert = NULL, *ca = NULL, *authkey = NULL, *base64 = NULL;
    g_autoptr(GString) out = g_string_sized_new(16384);
    gsize size = 0;
    int r;

    if ((r = cfsfile_read(s->authkey, AUTHKEY_MAX, &authkey, &size, err)) < 0 ||
        (r = sign(s, q, &cert, &ca, err)) < 0) {
        return r;
    }
    base64 = g_base64_encode((const guchar *)authkey, size);
    g_string_append_printf(out, "{\"data\":{\"nodeid\":%u,\"corosync_authkey\":\"%s\"", nodeid,
                           base64);
    g_string_append(out, ",\"corosync_conf\":");
    json_append_string(out, text);
    g_string_append(out, ",\"ca\":");
    json_append_string(out, ca);
    g_string_append(out, ",\"cert\":");
    json_append_string(out, cert);
    g_string_append(out, "}}");
    api_answer_set(ret, 200, out->str);
    explicit_bzero(authkey, size);
    explicit_bzero(base64, strlen(base64));
    explicit_bzero(out->str, out->len);
    return 0;
}

static int
may_stage(JoinServer *s, const JoinRequest *q, JoinRecord *record, ConfEdit *edit, Err *err)
{
    g_autoptr(GPtrArray) problems = problems_now(s, q, record, edit->conf, true);
    g_autofree char *other = NULL;

    /* At `hello` there was: the ring is formed anew, most likely for others who join. */
    if (quorum_is_quorate(NULL) != 1) {
        return err_setf(err, -EAGAIN, "the cluster has no quorum at the moment");
    }
    if (problems->len > 0) {
        return err_setf(err, -EPERM, "%s", (const char *)g_ptr_array_index(problems, 0));
    }
    /* A node that is in the list already only asks again. */
    if (!staged_by(record, q->node) && (other = joiners_ahead(s, q->node, NULL)) != NULL) {
        return err_setf(err, -EAGAIN, "%s", other);
    }
    return 0;
}

/* Between join_gate_enter and join_gate_leave. */
static int stage(JoinServer *s,
                 const JoinRequest *q,
                 JoinRecord *record,
                 const char *path,
                 uint32_t *ret_id,
                 Err *err)
{
    g_auto(ConfEdit) edit = {0};
    bool again;
    int r = conf_edit_begin(s->pve, &edit, err);

    if (r < 0 || (r = join_record_read(path, record, err)) < 0 ||
        (r = join_record_check(record, q->node, clock_wall(), err)) < 0 ||
        (r = may_stage(s, q, record, &edit, err)) < 0) {
        return r;
    }
    again = staged_by(record, q->node);
    if ((r = join_stage(edit.conf, q, again, ret_id, err)) < 0) {
        return r;
    }
    if (!again) {
        g_free(record->used_by);
        record->used_by = g_strdup(q->node);
        record->uses_left -= record->uses_left > 0;
    }
    record->staged = clock_wall();
    join_gate_add(q->node); /* before others can see that it is on its way */
    /* The record first: a node in the list that no record knows would never be taken out again. */
    if ((r = join_record_write(path, record, err)) < 0 ||
        (r = node_files_directories(s->pve, q->node, err)) < 0 ||
        (r = conf_edit_commit(&edit, err)) < 0) {
        return r;
    }
    trace(&s->tracer, TRACE_NOTICE, "node '%s' (id %u) is joining", q->node, *ret_id);
    cluster_log(LOG_NOTICE, "node '%s' (id %u) is joining", q->node, *ret_id);
    return 0;
}

/* Looked at before anything is locked: many who wait must not stop the one they wait for. */
static int
wait_for_turn(JoinServer *s, const JoinRequest *q, const char *path, bool in_ring, Err *err)
{
    g_auto(JoinRecord) seen = {0};
    g_autoptr(CorosyncConf) conf = NULL;
    g_autofree char *other = NULL;
    int r;

    if ((r = join_record_read(path, &seen, err)) < 0 ||
        (r = node_tree_conf(s->pve, &conf, err)) < 0) {
        return r;
    }
    if (in_ring == staged_by(&seen, q->node)) {
        other = joiners_ahead(s, q->node, in_ring ? conf : NULL);
    }
    return other != NULL ? err_setf(err, -EAGAIN, "%s", other) : 0;
}

static int do_stage(JoinServer *s,
                    const JoinRequest *q,
                    JoinRecord *record,
                    const char *path,
                    ApiAnswer *ret,
                    Err *err)
{
    g_auto(ConfEdit) edit = {.pve = g_strdup(s->pve)};
    uint32_t id = 0;
    int r;

    if ((r = wait_for_turn(s, q, path, false, err)) < 0) {
        return r;
    }
    join_gate_enter();
    r = stage(s, q, record, path, &id, err);
    join_gate_leave();
    if (r < 0) {
        return r;
    }
    bool tell = join_gate_wait();

    /* What stands there now: all of the group get the same. */
    if ((r = node_tree_conf(s->pve, &edit.conf, err)) < 0) {
        return r;
    }
    if (tell) {
        conf_edit_tell(&edit);
    }
    return answer_stage(s, q, edit.conf, id, ret, err);
}

/* The answer to an earlier `ready` was lost, and others have used the token since. */
static bool is_voting_member(const CorosyncConf *conf, const char *name)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const CorosyncNode *node = corosync_nodes_find(nodes, name);

    return node != NULL && node->votes > 0;
}

static int
make_ready(JoinServer *s, const JoinRequest *q, JoinRecord *record, const char *path, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    g_autofree char *other = NULL;
    int r = conf_edit_begin(s->pve, &edit, err);

    if (r < 0 || (r = join_record_read(path, record, err)) < 0) {
        return r;
    }
    if (record->used_by == NULL || strcmp(record->used_by, q->node) != 0) {
        return is_voting_member(edit.conf, q->node)
                   ? 0
                   : err_setf(err, -EPERM, "node '%s' was not staged with this token", q->node);
    }
    if (record->staged.sec == 0) {
        return 0;
    }
    if ((other = joiners_ahead(s, q->node, edit.conf)) != NULL) {
        return err_setf(err, -EAGAIN, "%s", other);
    }
    /* A name that was removed may be taken again: from now on it is this node's. */
    if ((r = node_tree_unbury(s->pve, q->node, err)) < 0 ||
        (r = corosync_conf_set_votes(edit.conf, q->node, record->votes, err)) < 0 ||
        (r = conf_edit_commit(&edit, err)) < 0) {
        return r;
    }
    record->staged.sec = 0;
    if (join_record_write(path, record, err) < 0) {
        /* The vote is given, which counts; the record is put in order when it is overdue. */
        trace(&s->tracer, TRACE_WARNING, "token of node '%s': %s", q->node, err_text(err));
        err_clear(err);
    }
    conf_edit_tell(&edit);
    trace(&s->tracer, TRACE_NOTICE, "node '%s' has joined with %u vote(s)", q->node, record->votes);
    cluster_log(LOG_NOTICE, "node '%s' has joined with %u vote(s)", q->node, record->votes);
    return 0;
}

static int do_ready(JoinServer *s,
                    const JoinRequest *q,
                    JoinRecord *record,
                    const char *path,
                    ApiAnswer *ret,
                    Err *err)
{
    g_autofree char *answer = NULL;
    int r;

    if ((r = wait_for_turn(s, q, path, true, err)) < 0) {
        return r;
    }
    join_gate_enter(); /* no contest for the cluster's lock among our own threads */
    r = make_ready(s, q, record, path, err);
    join_gate_leave();
    if (r < 0) {
        return r;
    }
    answer = g_strdup_printf("{\"data\":{\"votes\":%u}}", record->votes);
    api_answer_set(ret, 200, answer);
    return 0;
}

/* Takes a staged node out of the list, unless it has its votes, and frees the token for another
 * try.
 */
static int unstage(
    JoinServer *s, const char *node, JoinRecord *record, const char *path, ConfEdit *edit, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(edit->conf);
    const CorosyncNode *found = corosync_nodes_find(nodes, node);
    bool member = found != NULL && found->votes > 0; /* only the record missed that */
    int r;

    if (found != NULL && !member &&
        ((r = corosync_conf_remove_node(edit->conf, node, err)) < 0 ||
         (r = conf_edit_commit(edit, err)) < 0)) {
        return r;
    }
    if (!member) {
        trace(&s->tracer, TRACE_NOTICE, "the join of node '%s' was taken back", node);
        cluster_log(LOG_NOTICE, "the join of node '%s' was taken back", node);
    }
    if (g_strcmp0(record->made_by, JOIN_RECORD_BY_PASSWORD) == 0) {
        /* No token stands behind it that could be used again. */
        if (unlink(path) < 0 && errno != ENOENT) {
            r = -errno;
            return err_setf(err, r, "%s: %s", path, strerror(-r));
        }
        return 0;
    }
    record->staged.sec = 0;
    if (!member) {
        record->uses_left++;
        g_clear_pointer(&record->used_by, g_free);
    }
    return join_record_write(path, record, err);
}

static int do_abort(JoinServer *s,
                    const JoinRequest *q,
                    JoinRecord *record,
                    const char *path,
                    ApiAnswer *ret,
                    Err *err)
{
    g_auto(ConfEdit) edit = {0};
    int r = conf_edit_begin(s->pve, &edit, err);

    if (r < 0 || (r = join_record_read(path, record, err)) < 0 ||
        (staged_by(record, q->node) && (r = unstage(s, q->node, record, path, &edit, err)) < 0)) {
        return r;
    }
    api_answer_set(ret, 200, "{\"data\":null}");
    return 0;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static uint32_t status_of(int code)
{
    switch (code) {
    case -EBADMSG:
    case -EINVAL:
        return 400;
    case -EPERM:
    case -ETIME:
    case -EALREADY:
        return 403;
    case -EEXIST:
        return 409;
    case -EACCES:
    case -EAGAIN:
    case -ETIMEDOUT:
        return 503;
    default:
        return 500;
    }
}

static bool proven(const JoinRequest *q, const JoinRecord *record, GBytes *exporter)
{
    uint8_t proof[JOINTOKEN_KEY_SIZE];

    if (exporter == NULL || g_bytes_get_size(exporter) != JOINTOKEN_EXPORTER_SIZE) {
        return false;
    }
    jointoken_proof(record->key, g_bytes_get_data(exporter, NULL), q->node, proof);
    return jointoken_same_proof(proof, q->proof);
}

static int do_step(JoinServer *s,
                   const JoinRequest *q,
                   JoinRecord *record,
                   const char *path,
                   ApiAnswer *ret,
                   Err *err)
{
    switch (q->step) {
    case JOIN_STEP_HELLO:
        return do_hello(s, q, record, ret, err);
    case JOIN_STEP_STAGE:
        return do_stage(s, q, record, path, ret, err);
    case JOIN_STEP_READY:
        return do_ready(s, q, record, path, ret, err);
    case JOIN_STEP_ABORT:
        return do_abort(s, q, record, path, ret, err);
    case JOIN_STEP_N:
        break;
    }
    return -EBADMSG;
}

static void handle_join(JoinServer *s, const ApiRequest *request, ApiAnswer *ret)
{
    g_auto(JoinRequest) q = {0};
    g_auto(JoinRecord) record = {0};
    g_autofree char *path = NULL;
    Err err = ERR_INIT;
    int r;

    if (request->body == NULL ||
        join_request_parse(g_bytes_get_data(request->body, NULL), g_bytes_get_size(request->body),
                           &q, &err) < 0) {
        api_answer_error(ret, 400, err.code != 0 ? err_text(&err) : "the request has no body");
        return;
    }
    path = join_record_path(s->pve, q.id);
    /* An unknown token and a wrong proof look the same from outside. */
    if (join_record_read(path, &record, &err) < 0 || !proven(&q, &record, request->exporter)) {
        trace(&s->tracer, TRACE_WARNING,
              "a join from %s was refused: no such token, or wrong proof", request->peer);
        api_answer_error(ret, 401, "the token is not known here, or was made void");
        return;
    }
    r = q.step == JOIN_STEP_ABORT || q.step == JOIN_STEP_READY
            ? 0
            : join_record_check(&record, q.node, clock_wall(), &err);
    if (r == 0) {
        join_record_done(&record);
        record = (JoinRecord){0};
        r = do_step(s, &q, &record, path, ret, &err);
    }
    if (r < 0) {
        trace(&s->tracer, TRACE_WARNING, "join of '%s' from %s, step %s: %s", q.node, request->peer,
              join_step_name(q.step), err_text(&err));
        api_answer_error(ret, status_of(r), err_text(&err));
    }
}

void join_server_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret)
{
    if (strcmp(request->path, JOIN_PATH) == 0 && strcmp(request->method, "POST") == 0) {
        handle_join(s, request, ret);
    } else if (strcmp(request->path, MEMBER_PATH) == 0) {
        member_server_handle(s, request, ret);
    } else {
        config_api_handle(s, request, ret);
    }
}

/* ---- nodes that never came
 * ----------------------------------------------------------------------- */

static bool overdue(const JoinRecord *record, WallTime now)
{
    return record->staged.sec != 0 && record->used_by != NULL &&
           (now.sec - record->staged.sec > JOIN_PENDING_SEC || now.sec < record->staged.sec);
}

static int reap_one(JoinServer *s, const char *path, Err *err)
{
    g_auto(JoinRecord) record = {0};
    g_auto(ConfEdit) edit = {0};
    g_autofree char *node = NULL;
    int r = join_record_read(path, &record, err);

    if (r < 0 || !overdue(&record, clock_wall())) {
        return r < 0 ? r : 0;
    }
    if ((r = conf_edit_begin(s->pve, &edit, err)) < 0) {
        return r;
    }
    join_record_done(&record);
    record = (JoinRecord){0};
    /* Again under the lock: another member may have done it, or the node became ready. */
    if ((r = join_record_read(path, &record, err)) < 0 || !overdue(&record, clock_wall())) {
        return r < 0 ? r : 0;
    }
    node = g_strdup(record.used_by);
    r = unstage(s, node, &record, path, &edit, err);
    return r < 0 ? r : 1;
}

int join_server_reap(JoinServer *s, Err *err)
{
    g_autofree char *dir_path = g_build_filename(s->pve, "priv", "join-tokens", NULL);
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    const char *name;
    int count = 0;

    for (int i = 0; dir != NULL && i < JOIN_RECORDS_MAX && (name = g_dir_read_name(dir)) != NULL;
         i++) {
        g_autofree char *path = g_build_filename(dir_path, name, NULL);
        int r = strstr(name, ".tmp.") == NULL ? reap_one(s, path, err) : 0;

        if (r < 0) {
            return r;
        }
        count += r;
    }
    return count;
}
