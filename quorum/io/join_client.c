/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_client.h"

#include "lib/base/jsontext.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "lib/port/tls_client.h"
#include "quorum/core/join_request.h"
#include "quorum/core/joinjson.h"
#include "quorum/io/certs.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/join_classic.h"
#include "quorum/io/join_links.h"
#include "quorum/io/node_files.h"
#include "quorum/io/package_conf.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define JOIN_TARGET           "/api2/json/cluster/config/join2"
#define COROSYNC_RESTARTS_MAX 5u
#define GUEST_MAX             (1024u * 1024u)
#define MIB                   (UINT64_C(1024) * 1024)
#define JOIN_SPACE_MIN        (8 * MIB)          /* free for the database of any cluster */
#define JOIN_TREE_MAX         (INT64_C(1) << 40) /* no tree is that large */

typedef struct Guest {
    char *dir, *name; /* "qemu-server", "100.conf" */
    char *text;
    gsize size;
} Guest;

typedef struct Joiner {
    const ClusterPaths *paths;
    const JoinClientOptions *opt;
    JoinToken token;
    char *token_line; /* NULL: under a login */
    char *peer;       /* then: the member */
    int version;      /* and its join API */
    bool was_listed;  /* there the cluster lists a node of this name already */
    char *node, *fqdn;
    GPtrArray *addresses;
    char *address; /* own one for single-link clusters */
    char *backup;  /* directory with everything that is put back */
    char *key;     /* node's new private key */
    char *cert, *ca, *conf;
    uint8_t authkey[COROSYNC_KEY_MAX];
    gsize authkey_size;
    GPtrArray *guests; /* of Guest */
} Joiner;

static void guest_free(void *p)
{
    Guest *g = p;

    g_free(g->dir);
    g_free(g->name);
    g_free(g->text);
    g_free(g);
}

static void joiner_done(Joiner *j)
{
    jointoken_done(&j->token);
    jointoken_free_line(j->token_line);
    certs_free_key(j->key);
    explicit_bzero(j->authkey, sizeof j->authkey);
    g_clear_pointer(&j->addresses, g_ptr_array_unref);
    g_clear_pointer(&j->guests, g_ptr_array_unref);
    g_free(j->peer);
    g_free(j->node);
    g_free(j->fqdn);
    g_free(j->address);
    g_free(j->backup);
    g_free(j->cert);
    g_free(j->ca);
    g_free(j->conf);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Joiner, joiner_done)

static void say(const Joiner *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const Joiner *j, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (j->opt->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    j->opt->say(j->opt->ctx, text);
}

/* ---- talking to the cluster ---------------------------------------------------------------------
 */

static void split_address(const char *address, char **ret_host, const char **ret_port)
{
    const char *end = strchr(address, ']');

    *ret_port = JOIN_PORT;
    if (address[0] == '[' && end != NULL) {
        *ret_host = g_strndup(address + 1, (gsize)(end - address - 1));
        *ret_port = end[1] == ':' ? end + 2 : JOIN_PORT;
    } else if (strchr(address, ':') != NULL && strchr(address, ':') == strrchr(address, ':')) {
        *ret_host = g_strndup(address, strcspn(address, ":"));
        *ret_port = strchr(address, ':') + 1;
    } else {
        *ret_host = g_strdup(address);
    }
}

static bool by_token(const Joiner *j)
{
    return j->token_line != NULL;
}

static void fill_request(Joiner *j, JoinStep step, const char *csr, JoinRequest *q)
{
    q->step = step;
    memcpy(q->id, j->token.id, sizeof q->id);
    q->node = g_strdup(j->node);
    q->csr = g_strdup(csr);
    q->address = g_strdup(j->address);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        q->link[i] = j->opt->links[i].present ? g_strdup(j->opt->links[i].address) : NULL;
    }
    q->clock = clock_wall();
    q->vmids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (guint i = 0; j->guests != NULL && i < j->guests->len; i++) {
        const Guest *g = g_ptr_array_index(j->guests, i);
        uint32_t vmid = (uint32_t)g_ascii_strtoull(g->name, NULL, 10);

        g_array_append_val(q->vmids, vmid);
    }
}

static int ask_one(Joiner *j, const char *address, JoinRequest *q, HttpAnswer *ret, Err *err)
{
    uint8_t exporter[JOINTOKEN_EXPORTER_SIZE], key[JOINTOKEN_KEY_SIZE];
    g_autoptr(TlsClient) tls = NULL;
    g_autofree char *host = NULL;
    g_autofree char *body = NULL;
    HttpRequest http = {
        .method = "POST", .target = JOIN_TARGET, .content_type = "application/json"};
    TlsConfig cfg = {
        .trust = TLS_TRUST_CA_KEY, .digest = j->token.ca, .timeout_ms = JOIN_TIMEOUT_MS};
    int r;

    split_address(address, &host, &cfg.port);
    cfg.host = host;
    if ((r = tls_client_connect(&cfg, &tls, err)) < 0 ||
        (r = tls_client_exporter(tls, JOINTOKEN_EXPORTER, exporter, sizeof exporter, err)) < 0) {
        return r;
    }
    jointoken_derive(j->token.secret, key);
    jointoken_proof(key, exporter, q->node, q->proof);
    explicit_bzero(key, sizeof key);
    body = join_request_format(q);
    http.body = body;
    http.body_size = strlen(body);
    return tls_client_request(tls, &http, ret, err);
}

/* Codes of the API as ours. */
static int errno_of(int status)
{
    switch (status) {
    case 200:
        return 0;
    case 400:
        return -EBADMSG;
    case 401:
    case 403:
        return -EPERM;
    case 409:
        return -EEXIST;
    case 429:
    case 503:
        return -EAGAIN;
    default:
        return -EREMOTEIO;
    }
}

static int refusal(const HttpAnswer *a, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    const char *message = NULL;
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);
    int r = errno_of(a->status);

    if (json_check_outline(text, size, JSON_DEPTH_MAX, NULL) == 0 &&
        json_parser_load_from_data(parser, text, (gssize)size, NULL) &&
        JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
        JsonObject *o = json_node_get_object(json_parser_get_root(parser));

        message = joinjson_text(o, "message");
    }
    return err_setf(err, r, "%s%s", r == -EAGAIN ? "" : "the cluster refuses: ",
                    message != NULL     ? message
                    : a->reason != NULL ? a->reason
                                        : "no reason given");
}

static int read_answer(const HttpAnswer *a, JsonParser **ret, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);

    if (json_check_outline(text, size, JSON_DEPTH_MAX, NULL) < 0 ||
        !json_parser_load_from_data(parser, text, (gssize)size, NULL) ||
        !JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
        return err_setf(err, -EBADMSG, "the cluster's answer cannot be read");
    }
    *ret = g_steal_pointer(&parser);
    return 0;
}

/* Asks one member after the other; only one that cannot be reached, or is not able to, sends us on.
 * A member that wants us to wait counts for more than one that is away: -EAGAIN. */
static int ask(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err)
{
    Err later = ERR_INIT;
    int r = -EHOSTUNREACH;

    for (guint i = 0; i < j->token.addresses->len; i++) {
        g_auto(JoinRequest) q = {0};
        g_auto(HttpAnswer) a = {0};

        fill_request(j, step, csr, &q);
        err_clear(err);
        r = ask_one(j, g_ptr_array_index(j->token.addresses, i), &q, &a, err);
        if (r == 0 && a.status == 200) {
            return read_answer(&a, ret, err);
        }
        if (r == 0) {
            r = refusal(&a, err);
        }
        if (r == -EPERM || r == -EEXIST || r == -EBADMSG || r == -EKEYREJECTED) {
            return r;
        }
        if (r == -EAGAIN) {
            later = *err;
        }
    }
    if (later.code != 0) {
        *err = later;
        r = -EAGAIN;
    }
    return r;
}

static JsonObject *data_of(JsonParser *parser)
{
    JsonNode *node =
        json_object_get_member(json_node_get_object(json_parser_get_root(parser)), "data");

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* ---- steps -------------------------------------------------------------------------------------
 */

static int read_guests(Joiner *j, Err *err)
{
    static const char *const kinds[] = {"qemu-server", "lxc"};

    j->guests = g_ptr_array_new_with_free_func(guest_free);
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *path = g_build_filename(j->paths->pve, "local", kinds[k], NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
            g_autofree char *file = g_build_filename(path, name, NULL);
            Guest *g;
            int r;

            if (!g_str_has_suffix(name, ".conf") || g_ascii_strtoull(name, NULL, 10) == 0) {
                continue;
            }
            g = g_new0(Guest, 1);
            g->dir = g_strdup(kinds[k]);
            g->name = g_strdup(name);
            g_ptr_array_add(j->guests, g);
            if ((r = cfsfile_read(file, GUEST_MAX, &g->text, &g->size, err)) < 0) {
                return r;
            }
        }
    }
    return 0;
}

/* Tells what stands against joining; all of it before giving up. */
static void problem(Joiner *j, int *count, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(Joiner *j, int *count, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    say(j, "problem: %s", text);
    (*count)++;
}

static void check_links(Joiner *j, int *count)
{
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const CorosyncLink *link = &j->opt->links[i];
        g_autofree char *own = NULL;

        if (link->present && link->address == NULL) {
            problem(j, count, "link %u: no address is given", i);
        } else if (link->present &&
                   cluster_own_address(link->address, j->addresses, &own, NULL) < 0) {
            problem(j, count, "link %u: address '%s' is not configured on this node", i,
                    link->address);
        }
    }
}

static int check_state(Joiner *j, int *count, Err *err)
{
    g_autofree char *conf = g_build_filename(j->paths->pve, "corosync.conf", NULL);
    bool example = package_conf_found(j->paths); /* in a dry run it is still there */
    int running;

    if (g_file_test(conf, G_FILE_TEST_EXISTS) && !example) {
        problem(j, count, "this node is in a cluster already (%s exists)", conf);
    }
    if (!j->opt->force && g_file_test(j->paths->authkey, G_FILE_TEST_EXISTS)) {
        problem(j, count, "%s exists: it belongs to another cluster; move it away to join this one",
                j->paths->authkey);
    }
    running = service_running(SERVICE_COROSYNC, err);
    if (running > 0 && !example) {
        problem(j, count, "corosync runs on this node: stop it before joining");
    }
    return running < 0 ? running : 0;
}

/* Room for a tree of `tree` bytes: the database holds it, and while it is written once more. */
static void check_space(Joiner *j, uint64_t tree, int *count)
{
    uint64_t need = JOIN_SPACE_MIN + 2 * tree;
    struct statvfs st;

    if (statvfs(j->opt->state_dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < need) {
        problem(j, count,
                "only %" PRIu64 " MiB are free in %s, the cluster's files need %" PRIu64 " MiB",
                (uint64_t)st.f_bavail * st.f_frsize / MIB, j->opt->state_dir,
                (need + MIB - 1) / MIB);
    }
}

static int do_check(Joiner *j, Err *err)
{
    g_autofree char *cwd = g_get_current_dir();
    int count = 0, r;

    if (g_str_has_prefix(cwd, j->paths->pve)) {
        return err_setf(err, -EBUSY, "leave %s first: it is mounted anew while joining", cwd);
    }
    if ((r = check_state(j, &count, err)) < 0) {
        return r;
    }
    check_links(j, &count);
    check_space(j, 0, &count);
    if (count > 0) {
        return err_setf(err, -EPERM, "this node cannot join (%d problem%s, see above)", count,
                        count == 1 ? "" : "s");
    }
    return read_guests(j, err);
}

/* ---- the documented endpoints ------------------------------------------------------------------
 */

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
        const Guest *g = g_ptr_array_index(j->guests, i);
        uint32_t vmid = (uint32_t)g_ascii_strtoull(g->name, NULL, 10);

        for (guint k = 0; k < taken->len; k++) {
            if (g_array_index(taken, uint32_t, k) == vmid) {
                problem(j, &count,
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

static int classic_hello(Joiner *j, Err *err)
{
    int r = j->version = join_classic_version(j->opt->session, err);

    r = r < 0 ? r : check_name(j, err);
    return r < 0 ? r : check_guests(j, err);
}

static int classic_stage(Joiner *j, Err *err)
{
    g_auto(JoinClassicAnswer) a = {0};
    JoinClassicAdd add = {.node = j->node,
                          .version = j->version,
                          .nodeid = j->opt->nodeid,
                          .votes = j->opt->votes,
                          .force = j->opt->force,
                          .address = j->address,
                          .links = j->opt->links};
    int r = join_classic_add(j->opt->session, &add, &a, err);

    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < a.warnings->len; i++) {
        say(j, "warning: %s", (const char *)g_ptr_array_index(a.warnings, i));
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

/* The node has the CA's key now and signs for itself. */
static int classic_files(Joiner *j, Err *err)
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

static void classic_unstage(Joiner *j)
{
    Err e = ERR_INIT;
    int listed = 0;

    if (j->was_listed) {
        return; /* as before */
    }
    if (j->opt->session != NULL &&
        ((listed = is_listed(j, &e)) == 0 ||
         (listed > 0 && join_classic_remove(j->opt->session, j->node, &e) == 0))) {
        return;
    }
    say(j,
        "the member could not be told%s%s: if 'pvecm nodes' there still lists '%s' after a few "
        "minutes, take it out with 'pvecm delnode %s'",
        e.code != 0 ? ": " : "", e.code != 0 ? err_text(&e) : "", j->node, j->node);
}

/* ---- steps -------------------------------------------------------------------------------------
 */

/* Asks whether the cluster would take this node. While a ring is formed anew, as when another node
 * has just joined or one came back, nobody has quorum for a moment: that is waited for. */
static int ask_hello(Joiner *j, JsonParser **ret, JsonObject **ret_data, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + JOIN_QUORUM_SEC * G_USEC_PER_SEC;
    bool told = false;

    for (;;) {
        g_autoptr(JsonParser) parser = NULL;
        JsonObject *data;
        int r = ask(j, JOIN_STEP_HELLO, NULL, &parser, err);

        if (r < 0) {
            return r;
        }
        data = data_of(parser);
        if (data == NULL ||
            json_object_get_boolean_member_with_default(data, "quorate", TRUE) ||
            g_get_monotonic_time() >= deadline) {
            *ret = g_steal_pointer(&parser);
            *ret_data = data;
            return 0;
        }
        if (!told) {
            say(j, "waiting: the cluster has no quorum at the moment (up to %d s)",
                JOIN_QUORUM_SEC);
            told = true;
        }
        g_usleep(JOIN_QUEUE_RETRY_MS * 1000);
    }
}

static int do_hello(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;
    JsonNode *node;
    int64_t size;
    int count = 0, r;

    if (!by_token(j)) {
        return classic_hello(j, err);
    }
    if ((r = ask_hello(j, &parser, &data, err)) < 0) {
        return r;
    }
    node = data != NULL ? json_object_get_member(data, "problems") : NULL;
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node)) {
        return err_setf(err, -EBADMSG, "the cluster's answer lacks its list of problems");
    }
    for (guint i = 0; i < json_array_get_length(json_node_get_array(node)); i++) {
        problem(j, &count, "%s", json_array_get_string_element(json_node_get_array(node), i));
    }
    size = json_object_get_int_member_with_default(data, "size", 0);
    check_space(j, (uint64_t)CLAMP(size, 0, JOIN_TREE_MAX), &count);
    return count > 0 ? err_setf(err, -EPERM, "the cluster '%s' cannot take this node in yet",
                                j->token.cluster)
                     : 0;
}

static char *saved(const Joiner *j, const char *name)
{
    return g_build_filename(j->backup, name, NULL);
}

/* Key and configuration of before (of an earlier cluster, or as the package brought it) stay beside
 * the new ones, and come back when the join is undone. */
static int set_aside_keys(Joiner *j, bool away, Err *err)
{
    const char *const paths[] = {j->paths->authkey, j->paths->host_conf};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *there = g_strconcat(paths[i], ".before-join", NULL);

        if (away) {
            (void)g_unlink(there); /* of a join long ago, if any */
        }
        if (rename(away ? paths[i] : there, away ? there : paths[i]) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "moving %s: %s", paths[i], strerror(-r));
        }
    }
    return 0;
}

static int do_save(Joiner *j, Err *err)
{
    int r = set_aside_keys(j, true, err);

    if (r < 0) {
        return r;
    }
    if (g_mkdir_with_parents(j->backup, 0700) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", j->backup, strerror(-r));
    }
    for (guint i = 0; i < j->guests->len; i++) {
        const Guest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *name = g_strdup_printf("%s-%s", g->dir, g->name);
        g_autofree char *path = saved(j, name);

        (void)g_unlink(path); /* of an earlier try */
        if ((r = cfsfile_write(path, g->text, g->size, err)) < 0) {
            return r;
        }
    }
    return 0;
}

static int take_stage_answer(Joiner *j, JsonObject *data, Err *err)
{
    const char *conf = joinjson_text(data, "corosync_conf");
    const char *key = joinjson_text(data, "corosync_authkey");
    const char *ca = joinjson_text(data, "ca");
    const char *cert = joinjson_text(data, "cert");
    g_autofree guchar *raw = NULL;
    gsize size = 0;
    int r;

    if (conf == NULL || key == NULL || ca == NULL || cert == NULL) {
        return err_setf(err, -EBADMSG, "the cluster's answer is incomplete");
    }
    raw = g_base64_decode(key, &size);
    if (size < COROSYNC_KEY_MIN || size > sizeof j->authkey) {
        return err_setf(err, -EBADMSG,
                        "the cluster's key has the impossible size of %" G_GSIZE_FORMAT " bytes",
                        size);
    }
    memcpy(j->authkey, raw, size);
    j->authkey_size = size;
    explicit_bzero(raw, size);
    if ((r = certs_verify(ca, cert, j->key, clock_wall(), err)) < 0) {
        return r;
    }
    j->conf = g_strdup(conf);
    j->ca = g_strdup(ca);
    j->cert = g_strdup(cert);
    return 0;
}

/* The cluster takes in one group of nodes at a time: others wait for their turn. And a member that
 * dies while it holds the cluster's lock leaves it behind for two minutes. */
static int ask_patiently(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + JOIN_QUEUE_SEC * G_USEC_PER_SEC;
    g_autofree char *told = NULL;
    int r;

    while ((r = ask(j, step, csr, ret, err)) == -EAGAIN && g_get_monotonic_time() < deadline) {
        if (g_strcmp0(told, err_text(err)) != 0) {
            say(j, "waiting: %s", err_text(err));
            g_free(told);
            told = g_strdup(err_text(err));
        }
        g_usleep(JOIN_QUEUE_RETRY_MS * 1000);
    }
    return r;
}

static int do_stage(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    g_autofree char *csr = NULL;
    int r;

    if (!by_token(j)) {
        return classic_stage(j, err);
    }
    if ((r = certs_make_key(CERTS_NODE_BITS, &j->key, err)) < 0 ||
        (r = certs_make_request(j->key, j->node, &csr, err)) < 0 ||
        (r = ask_patiently(j, JOIN_STEP_STAGE, csr, &parser, err)) < 0) {
        return r;
    }
    return take_stage_answer(j, data_of(parser), err);
}

static int do_keys(Joiner *j, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(j->paths->authkey);
    int r;

    if (g_mkdir_with_parents(dir, 0755) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", dir, strerror(-r));
    }
    if ((r = corosync_key_write(j->paths->authkey, j->authkey, j->authkey_size, err)) < 0 ||
        (r = cfsfile_write(j->paths->host_conf, j->conf, strlen(j->conf), err)) < 0) {
        return r;
    }
    return g_chmod(j->paths->host_conf, 0644) < 0 ? -errno : 0;
}

static const char *const database_files[] = {"config.db", "config.db-wal", "config.db-shm",
                                             "config.db-journal"};

/* Moves the database out of the way, or back. */
static int move_database(Joiner *j, bool away, Err *err)
{
    for (guint i = 0; i < G_N_ELEMENTS(database_files); i++) {
        g_autofree char *here = g_build_filename(j->opt->state_dir, database_files[i], NULL);
        g_autofree char *there = saved(j, database_files[i]);

        if (rename(away ? here : there, away ? there : here) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "moving %s: %s", away ? here : there, strerror(-r));
        }
    }
    return 0;
}

static int do_stop(Joiner *j, Err *err)
{
    int r = service_stop(SERVICE_PMXCFS, err);

    return r < 0 ? r : move_database(j, true, err);
}

/* corosync ends when, at its first sight of the ring, the others have a newer configuration: it was
 * changed since this node got its own. Staging is asked again, which gives the one in force. */
static int start_with_newer_conf(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    g_autofree char *csr = NULL;
    int r;

    say(j, "the configuration has changed meanwhile: taking the new one");
    if ((r = certs_make_request(j->key, j->node, &csr, err)) < 0 ||
        (r = ask_patiently(j, JOIN_STEP_STAGE, csr, &parser, err)) < 0) {
        return r;
    }
    g_clear_pointer(&j->conf, g_free);
    g_clear_pointer(&j->ca, g_free);
    g_clear_pointer(&j->cert, g_free);
    if ((r = take_stage_answer(j, data_of(parser), err)) < 0 ||
        (r = cfsfile_write(j->paths->host_conf, j->conf, strlen(j->conf), err)) < 0) {
        return r;
    }
    if (g_chmod(j->paths->host_conf, 0644) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", j->paths->host_conf, strerror(-r));
    }
    return service_start(SERVICE_COROSYNC, err);
}

/* A node that is in by one link, while another is dead, would be out when the first one fails. */
static int check_reach(Joiner *j, Err *err)
{
    int r = join_links_wait(j->conf, strlen(j->conf), j->node, err);

    if (r == -EHOSTUNREACH && j->opt->force) {
        say(j, "warning: %s", err_text(err));
        err_clear(err);
        r = 0;
    }
    return r;
}

static int do_corosync(Joiner *j, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + CLUSTER_QUORATE_TIMEOUT_SEC * G_USEC_PER_SEC;
    unsigned looks = 0, restarts = 0;
    int r;

    if ((r = service_start(SERVICE_COROSYNC, err)) < 0) {
        return r;
    }
    while (quorum_is_quorate(NULL) != 1) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(
                err, -ETIMEDOUT,
                "corosync did not see the cluster within %d s: are the link addresses right, "
                "and UDP ports 5405-5412 open between the nodes?",
                CLUSTER_QUORATE_TIMEOUT_SEC);
        }
        /* Once a second: it costs a process. */
        if (++looks % 10 == 0 && by_token(j) && restarts < COROSYNC_RESTARTS_MAX &&
            service_running(SERVICE_COROSYNC, NULL) == 0) {
            restarts++;
            if ((r = start_with_newer_conf(j, err)) < 0) {
                return r;
            }
        }
        g_usleep(100 * 1000);
    }
    return check_reach(j, err);
}

/* The token's own record is in the cluster's tree: seeing it means that the tree has arrived. So
 * does the CA's key, which a new database does not hold. */
static int wait_for_tree(Joiner *j, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + JOIN_SYNC_TIMEOUT_SEC * G_USEC_PER_SEC;
    g_autofree char *id = jointoken_id_text(j->token.id);
    g_autofree char *path = by_token(j)
                                ? g_build_filename(j->paths->pve, "priv", "join-tokens", id, NULL)
                                : g_build_filename(j->paths->pve, "priv", "pve-root-ca.key", NULL);

    while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "the cluster's files did not arrive within %d s",
                            JOIN_SYNC_TIMEOUT_SEC);
        }
        g_usleep(50 * 1000);
    }
    return 0;
}

static int do_mount(Joiner *j, Err *err)
{
    int r;

    if ((r = service_start(SERVICE_PMXCFS, err)) < 0 || (r = wait_for_tree(j, err)) < 0) {
        return r;
    }
    return cluster_wait_quorate(j->paths, JOIN_SYNC_TIMEOUT_SEC, err);
}

static int do_files(Joiner *j, Err *err)
{
    g_autofree char *base = g_build_filename(j->paths->pve, "nodes", j->node, NULL);
    g_autofree char *key = g_build_filename(base, "pve-ssl.key", NULL);
    g_autofree char *cert = g_build_filename(base, "pve-ssl.pem", NULL);
    int r;

    if (!by_token(j)) {
        r = classic_files(j, err);
    } else if ((r = node_files_directories(j->paths->pve, j->node, err)) == 0 &&
               (r = cfsfile_write(key, j->key, strlen(j->key), err)) == 0) {
        r = cfsfile_write(cert, j->cert, strlen(j->cert), err);
    }
    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < j->guests->len; i++) {
        const Guest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *path = g_build_filename(base, g->dir, g->name, NULL);

        if ((r = cfsfile_write(path, g->text, g->size, err)) < 0) {
            return r;
        }
        say(j, "kept guest %s", g->name);
    }
    return 0;
}

/* corosync learns of the vote a moment after the file was written; the node counts when it has. */
static void wait_for_vote(Joiner *j)
{
    gint64 deadline = g_get_monotonic_time() + JOIN_VOTE_TIMEOUT_SEC * G_USEC_PER_SEC;

    while (g_get_monotonic_time() < deadline) {
        g_autoptr(QuorumReport) report = NULL;

        if (quorum_query(NULL, 0, &report, NULL) == 0) {
            for (uint32_t i = 0; i < report->facts.n_members; i++) {
                const QuorumMember *m = &report->facts.members[i];

                if (m->nodeid == report->facts.nodeid && m->votes > 0) {
                    return;
                }
            }
        }
        g_usleep(100 * 1000);
    }
    say(j, "the node's vote is not counted yet; 'pvecm status' will show it");
}

static int do_ready(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data;
    int r;

    if (!by_token(j)) {
        wait_for_vote(j); /* the member gives it when it sees the node */
        return 0;
    }
    r = ask_patiently(j, JOIN_STEP_READY, NULL, &parser, err);
    if (r < 0) {
        return r;
    }
    data = data_of(parser);
    if (data != NULL && json_object_get_int_member_with_default(data, "votes", 0) > 0) {
        wait_for_vote(j);
    }
    return 0;
}

/* ---- undoing ------------------------------------------------------------------------------------
 */

static int undo_keys(Joiner *j, Err *err)
{
    const char *const paths[] = {j->paths->authkey, j->paths->host_conf};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (g_unlink(paths[i]) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "%s: %s", paths[i], strerror(-r));
        }
    }
    return 0;
}

static int undo_stop(Joiner *j, Err *err)
{
    g_autofree char *there = saved(j, "config.db");
    int r;

    /* With the old database still in place nothing was moved: it must not be replaced. */
    if (g_file_test(there, G_FILE_TEST_EXISTS)) {
        for (guint i = 0; i < G_N_ELEMENTS(database_files); i++) {
            g_autofree char *here = g_build_filename(j->opt->state_dir, database_files[i], NULL);

            (void)g_unlink(here); /* the cluster's content, which the cluster has */
        }
        if ((r = move_database(j, false, err)) < 0) {
            return r;
        }
    }
    return service_start(SERVICE_PMXCFS, err);
}

/* The cluster's entry. When no member can be reached it takes the node out by itself after a while.
 */
static int undo_stage(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    Err e = ERR_INIT;
    int r;

    (void)err;
    if (!by_token(j)) {
        classic_unstage(j);
        return 0;
    }
    r = ask(j, JOIN_STEP_ABORT, NULL, &parser, &e);
    if (r < 0 && r != -EPERM) {
        say(j, "the cluster could not be told (%s); it forgets this node within %d s", err_text(&e),
            JOIN_PENDING_SEC);
    }
    return 0;
}

/* Guests that were brought in are taken out again while the tree is still writable. */
static int undo_files(Joiner *j, Err *err)
{
    (void)err;
    for (guint i = 0; j->guests != NULL && i < j->guests->len; i++) {
        const Guest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *path =
            g_build_filename(j->paths->pve, "nodes", j->node, g->dir, g->name, NULL);

        (void)g_unlink(path); /* not written yet, or no quorum: then the cluster's admin sees it */
    }
    return 0;
}

/* ---- the plan's operations ----------------------------------------------------------------------
 */

static int perform(void *ctx, JoinPlanStep step, Err *err)
{
    static const struct {
        const char *text;
        int (*fn)(Joiner *j, Err *err);
    } steps[JOIN_PLAN_N] = {
        [JOIN_PLAN_CHECK] = {"checking this node", do_check},
        [JOIN_PLAN_HELLO] = {"asking the cluster", do_hello},
        [JOIN_PLAN_SAVE] = {"saving this node's configuration", do_save},
        [JOIN_PLAN_STAGE] = {"the cluster takes the node in, without a vote yet", do_stage},
        [JOIN_PLAN_KEYS] = {"writing key and configuration of the messaging layer", do_keys},
        [JOIN_PLAN_STOP] = {"stopping the local tree", do_stop},
        [JOIN_PLAN_COROSYNC] = {"starting corosync, waiting for the cluster", do_corosync},
        [JOIN_PLAN_MOUNT] = {"mounting the cluster's tree", do_mount},
        [JOIN_PLAN_FILES] = {"writing certificate and guests", do_files},
        [JOIN_PLAN_READY] = {"getting the vote", do_ready},
    };
    Joiner *j = ctx;

    say(j, "%s", steps[step].text);
    return steps[step].fn(j, err);
}

static int undo(void *ctx, JoinPlanStep step, Err *err)
{
    Joiner *j = ctx;

    switch (step) {
    case JOIN_PLAN_FILES:
        return undo_files(j, err);
    case JOIN_PLAN_MOUNT:
        return service_stop(SERVICE_PMXCFS, err);
    case JOIN_PLAN_COROSYNC:
        return service_stop(SERVICE_COROSYNC, err);
    case JOIN_PLAN_STOP:
        return undo_stop(j, err);
    case JOIN_PLAN_KEYS:
        return undo_keys(j, err);
    case JOIN_PLAN_STAGE:
        say(j, "taking everything back");
        return undo_stage(j, err);
    case JOIN_PLAN_SAVE:
        (void)g_rmdir(j->backup); /* stays unless it is empty */
        return set_aside_keys(j, false, err);
    case JOIN_PLAN_HELLO:
    case JOIN_PLAN_CHECK:
    case JOIN_PLAN_READY:
    case JOIN_PLAN_N:
        return 0; /* nothing was changed */
    }
    return -EINVAL;
}

static char *journal_path(const JoinClientOptions *opt)
{
    return g_build_filename(opt->state_dir, "join-journal", NULL);
}

bool join_client_pending(const char *state_dir)
{
    const JoinClientOptions opt = {.state_dir = state_dir};
    g_autofree char *path = journal_path(&opt);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static int record(void *ctx, JoinPlanStep step, Err *err)
{
    Joiner *j = ctx;
    g_autofree char *path = journal_path(j->opt);
    char *text;
    int r;

    if (step < JOIN_PLAN_SAVE) {
        return 0; /* nothing to undo yet */
    }
    if (step == JOIN_PLAN_N) {
        if (g_unlink(path) < 0 && errno != ENOENT) {
            r = -errno;
            return err_setf(err, r, "%s: %s", path, strerror(-r));
        }
        return 0;
    }
    text = g_strdup_printf("step: %s\nbackup: %s\n%s: %s\n", join_plan_step_name(step), j->backup,
                           by_token(j) ? "token" : "peer", by_token(j) ? j->token_line : j->peer);
    r = cfsfile_write(path, text, strlen(text), err);
    jointoken_free_line(text);
    return r;
}

/* ---- entry points -------------------------------------------------------------------------------
 */

/* `line`: a token, or NULL; then `peer` is the member. */
static int prepare(Joiner *j, const char *line, const char *peer, Err *err)
{
    int r;

    if ((line != NULL && (r = jointoken_parse(line, &j->token, err)) < 0) ||
        (r = cluster_this_node(&j->node, &j->fqdn, &j->addresses, err)) < 0) {
        return r;
    }
    j->token_line = line != NULL ? jointoken_format(&j->token) : NULL;
    j->peer = g_strdup(peer);
    r = cluster_own_address(j->node, j->addresses, &j->address, err);
    if (r < 0 && j->opt->links[0].present) {
        err_clear(err); /* links are given: the fallback address is not needed */
        r = 0;
    }
    return r;
}

JoinOutcome join_client_run(const ClusterPaths *paths, const JoinClientOptions *opt, Err *err)
{
    g_auto(Joiner) j = {.paths = paths, .opt = opt};
    g_autofree char *name = g_strdup_printf("join-%" G_GINT64_FORMAT, clock_wall().sec);
    g_autofree char *journal = journal_path(opt);
    JoinPlanOps ops = {.perform = perform, .undo = undo, .record = record, .ctx = &j};
    JoinOutcome outcome = JOIN_UNDONE;
    int lock = cluster_lock(paths, err);

    if (lock < 0) {
        return JOIN_UNDONE;
    }
    j.backup = g_build_filename(opt->state_dir, "backup", name, NULL);
    if (g_file_test(journal, G_FILE_TEST_EXISTS)) {
        (void)err_setf(err, -EBUSY, "an earlier join was interrupted: run 'pvecm recover' first");
    } else if (prepare(&j, opt->token, opt->session != NULL ? api_session_host(opt->session) : NULL,
                       err) == 0) {
        if (!opt->dry_run) {
            outcome = package_conf_clear(paths, opt->say, opt->ctx, err) == 0
                          ? join_plan_run(&ops, err)
                          : JOIN_UNDONE;
        } else if (perform(&j, JOIN_PLAN_CHECK, err) == 0 &&
                   perform(&j, JOIN_PLAN_HELLO, err) == 0) {
            say(&j, "nothing stands against joining cluster '%s'",
                by_token(&j) ? j.token.cluster : j.peer);
            outcome = JOIN_DONE;
        }
    }
    (void)close(lock); /* ends the lock */
    return outcome;
}

static char *journal_value(char **lines, const char *name)
{
    for (guint i = 0; lines[i] != NULL; i++) {
        if (g_str_has_prefix(lines[i], name)) {
            return lines[i] + strlen(name);
        }
    }
    return NULL;
}

static int read_journal(Joiner *j, JoinPlanStep *ret_step, Err *err)
{
    g_autofree char *path = journal_path(j->opt);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    const char *step, *backup, *token, *peer;
    int r = cfsfile_read(path, 2 * JOINTOKEN_LINE_MAX, &text, NULL, err);
    int at;

    if (r < 0) {
        return r;
    }
    lines = g_strsplit(text, "\n", -1);
    step = journal_value(lines, "step: ");
    backup = journal_value(lines, "backup: ");
    token = journal_value(lines, "token: ");
    peer = journal_value(lines, "peer: ");
    at = step != NULL ? join_plan_step_from_name(step) : -1;
    if (at < 0 || backup == NULL || (token == NULL && peer == NULL)) {
        return err_setf(err, -EBADMSG, "%s is damaged", path);
    }
    j->backup = g_strdup(backup);
    *ret_step = (JoinPlanStep)at;
    return prepare(j, token, peer, err);
}

/* The guests that were brought along, by their saved copies: so that they can be taken out again.
 */
static void read_saved_guests(Joiner *j)
{
    g_autoptr(GDir) dir = g_dir_open(j->backup, 0, NULL);
    const char *name;

    j->guests = g_ptr_array_new_with_free_func(guest_free);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        const char *conf = strrchr(name, '-');
        Guest *g;

        if (conf == NULL || !g_str_has_suffix(name, ".conf")) {
            continue;
        }
        g = g_new0(Guest, 1);
        g->dir = g_strndup(name, (gsize)(conf - name));
        g->name = g_strdup(conf + 1);
        g_ptr_array_add(j->guests, g);
    }
}

int join_client_recover(const ClusterPaths *paths,
                        const JoinClientOptions *opt,
                        JoinOutcome *ret,
                        Err *err)
{
    g_auto(Joiner) j = {.paths = paths, .opt = opt};
    JoinPlanOps ops = {.perform = perform, .undo = undo, .record = record, .ctx = &j};
    JoinPlanStep step = JOIN_PLAN_N;
    int lock = cluster_lock(paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    r = read_journal(&j, &step, err);
    if (r == 0) {
        read_saved_guests(&j);
        say(&j, "an earlier join ended in step '%s'", join_plan_step_name(step));
        *ret = join_plan_recover(&ops, step, err);
        r = 1;
    } else if (r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    (void)close(lock); /* ends the lock */
    return r;
}
