/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/witness_host.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/api_socket.h"
#include "lib/port/clock.h"
#include "lib/port/process.h"
#include "quorum/core/join_info.h"
#include "quorum/io/certs.h"
#include "quorum/io/cluster_create.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_DIR      "/run/quorate-witness"
#define IDENTITY_DIR RUN_DIR "/identity"
#define QNETD_DIR    "/etc/corosync/qnetd/nssdb"
#define LINGER_MS    1500 /* so that the last answer gets out */

typedef struct Host {
    const WitnessHostOptions *opt;
    WitnessToken token;
    uint8_t key[JOINTOKEN_KEY_SIZE];
    GMainLoop *loop;
    GMutex lock; /* protects what follows: requests come on several threads */
    bool done;
    int result;
} Host;

/* ---- corosync-qnetd ----------------------------------------------------------------------------
 */

static int not_installed(Err *err)
{
    return err_setf(err, -ENOENT,
                    "corosync-qnetd is not installed here (Debian: apt install corosync-qnetd)");
}

static int prepare_qnetd(Err *err)
{
    static const char *const argv[] = {"corosync-qnetd-certutil", "-i", NULL};
    int r = 0;

    if (access(QNETD_DIR "/cert9.db", F_OK) < 0 && access(QNETD_DIR "/cert8.db", F_OK) < 0) {
        r = process_check(argv, NULL, NULL, err);
        if (r == 0) { /* it reads its certificates when it starts */
            r = service_stop(SERVICE_QNETD, err);
        }
    }
    if (r == 0) {
        r = service_start(SERVICE_QNETD, err);
    }
    return r == -ENOENT ? not_installed(err) : r;
}

static int sign(const WitnessRequest *q, char **ret, gsize *ret_size, Err *err)
{
    g_autofree char *crq = g_strdup(RUN_DIR "/identity/request.XXXXXX");
    g_autofree char *crt = g_strdup_printf(QNETD_DIR "/cluster-%s.crt", q->cluster);
    const char *argv[] = {"corosync-qnetd-certutil", "-s", "-c", crq, "-n", q->cluster, NULL};
    int fd = g_mkstemp_full(crq, O_RDWR | O_CLOEXEC, 0600);
    int r = 0;

    if (fd < 0 || write(fd, q->crq, q->crq_size) != (ssize_t)q->crq_size) {
        r = err_setf(err, -EIO, "%s cannot be written", crq);
    }
    if (fd >= 0) {
        (void)close(fd); /* the tool says whether it can read it */
    }
    (void)g_unlink(crt); /* of an earlier enrolment: what is read below must be new */
    if (r == 0 && (r = process_check(argv, NULL, NULL, err)) == 0) {
        r = cfsfile_read(crt, WITNESS_CRQ_MAX, ret, ret_size, err);
    }
    (void)g_unlink(crq); /* in a directory that goes with us */
    return r;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static gboolean quit(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

static bool proven(const Host *h, const WitnessRequest *q, GBytes *exporter)
{
    uint8_t proof[JOINTOKEN_KEY_SIZE];

    if (exporter == NULL || g_bytes_get_size(exporter) != JOINTOKEN_EXPORTER_SIZE) {
        return false;
    }
    jointoken_proof(h->key, g_bytes_get_data(exporter, NULL), q->cluster, proof);
    return jointoken_same_proof(proof, q->proof);
}

static int do_step(Host *h, const WitnessRequest *q, ApiAnswer *ret, Err *err)
{
    g_autofree char *data = NULL;
    g_autofree char *json = NULL;
    gsize size = 0;
    bool signs = q->step == WITNESS_STEP_SIGN;
    int r = signs ? sign(q, &data, &size, err)
                  : cfsfile_read(QNETD_DIR "/qnetd-cacert.crt", WITNESS_CRQ_MAX, &data, &size, err);

    if (r < 0) {
        return r;
    }
    json = witness_answer_format(signs ? "crt" : "ca", data, size);
    api_answer_set(ret, 200, json);
    if (signs) {
        g_autofree char *line = g_strdup_printf("cluster '%s' is enrolled", q->cluster);

        h->done = true;
        h->opt->say(h->opt->ctx, line);
        (void)g_timeout_add(LINGER_MS, quit, h->loop);
    }
    return 0;
}

static void handle(void *ctx, const ApiRequest *request, ApiAnswer *ret)
{
    Host *h = ctx;
    g_auto(WitnessRequest) q = {0};
    gsize size = 0;
    const char *body = request->body != NULL ? g_bytes_get_data(request->body, &size) : NULL;
    Err err = ERR_INIT;
    int r;

    if (strcmp(request->path, WITNESS_PATH) != 0 || strcmp(request->method, "POST") != 0) {
        api_answer_error(ret, 501, "only the enrolment of a cluster is served here");
        return;
    }
    if (body == NULL || witness_request_parse(body, size, &q, &err) < 0) {
        api_answer_error(ret, 400, err.code != 0 ? err_text(&err) : "the request has no body");
        return;
    }
    g_mutex_lock(&h->lock);
    if (!proven(h, &q, request->exporter)) {
        api_answer_error(ret, 401, "the token is not the one that was printed here");
    } else if (h->done || clock_wall().sec > h->token.expires.sec) {
        api_answer_error(ret, 403, "the token was used already, or has expired");
    } else if ((r = do_step(h, &q, ret, &err)) < 0) {
        h->opt->say(h->opt->ctx, err_text(&err));
        api_answer_error(ret, 500, err_text(&err));
    }
    g_mutex_unlock(&h->lock);
}

/* ---- the service -------------------------------------------------------------------------------
 */

static int put(const char *name, const char *text, Err *err)
{
    g_autofree char *path = g_build_filename(IDENTITY_DIR, name, NULL);

    return cfsfile_write(path, text, strlen(text), err);
}

/* A key and a certificate for this one enrolment; nobody but the token says that it is right. */
static int make_identity(Host *h, Err *err)
{
    const char *const names[] = {h->token.host, NULL};
    CertNames cert_names = {.common_name = "witness", .names = names};
    g_autofree char *ca = NULL;
    g_autofree char *cert = NULL;
    g_auto(CertInfo) info = {0};
    char *key = NULL;
    WallTime now = clock_wall();
    int r;

    if ((r = certs_make_key(CERTS_NODE_BITS, &key, err)) == 0 &&
        (r = certs_make_ca(key, now, &ca, err)) == 0 &&
        (r = certs_sign(key, ca, key, &cert_names, 0, now, &cert, err)) == 0 &&
        (r = certs_inspect(cert, &info, err)) == 0 &&
        (r = put("local/pve-ssl.key", key, err)) == 0) {
        r = put("local/pve-ssl.pem", cert, err);
    }
    certs_free_key(key);
    if (r == 0 && !join_fingerprint_parse(info.fingerprint, h->token.fingerprint)) {
        r = err_setf(err, -EIO, "the certificate has no fingerprint");
    }
    return r;
}

static int make_directories(gid_t *ret_gid, Err *err)
{
    const struct group *group = getgrnam("www-data");

    if (group == NULL) {
        return err_setf(err, -ENOENT, "group 'www-data' does not exist");
    }
    *ret_gid = group->gr_gid;
    if ((g_mkdir(RUN_DIR, 0750) < 0 && errno != EEXIST) || chown(RUN_DIR, 0, *ret_gid) < 0 ||
        g_mkdir_with_parents(IDENTITY_DIR "/local", 0700) < 0 || chmod(IDENTITY_DIR, 0700) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", RUN_DIR, strerror(-r));
    }
    return 0;
}

static void remove_identity(void)
{
    static const char *const names[] = {"/local/pve-ssl.key", "/local/pve-ssl.pem", "/local", ""};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strconcat(IDENTITY_DIR, names[i], NULL);

        (void)g_remove(path); /* what is left is of no use to anybody */
    }
}

static int pick_address(Host *h, Err *err)
{
    g_autofree char *node = NULL;
    g_autofree char *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    int r;

    if (h->opt->address != NULL) {
        h->token.host = g_strdup(h->opt->address);
    } else if ((r = cluster_this_node(&node, &fqdn, &addresses, err)) < 0) {
        return r;
    }
    for (guint i = 0; h->token.host == NULL && i < addresses->len; i++) {
        const char *a = g_ptr_array_index(addresses, i);

        if (!g_str_has_prefix(a, "127.") && strcmp(a, "::1") != 0 &&
            !g_str_has_prefix(a, "fe80:")) {
            h->token.host = g_strdup(a);
        }
    }
    return h->token.host != NULL && witness_valid_host(h->token.host)
               ? 0
               : err_setf(err, -EADDRNOTAVAIL,
                          "no address by which the nodes reach this host: give it with --address");
}

static int make_token(Host *h, Err *err)
{
    char *line;

    h->token.port = (uint16_t)h->opt->port;
    h->token.expires = (WallTime){clock_wall().sec + h->opt->ttl_sec};
    if (getrandom(h->token.secret, sizeof h->token.secret, 0) != sizeof h->token.secret) {
        return err_setf(err, -EIO, "the kernel's random source gave no secret");
    }
    jointoken_derive(h->token.secret, h->key);
    line = witness_token_format(&h->token);
    h->opt->token(h->opt->ctx, line);
    jointoken_free_line(line);
    return 0;
}

static void on_front_end(GObject *object, GAsyncResult *result, gpointer data)
{
    Host *h = data;

    (void)g_subprocess_wait_finish(G_SUBPROCESS(object), result, NULL);
    if (!h->done) {
        h->result = -EIO;
    }
    g_main_loop_quit(h->loop);
}

static gboolean on_expiry(gpointer data)
{
    ((Host *)data)->result = -ETIMEDOUT;
    g_main_loop_quit(((Host *)data)->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer data)
{
    ((Host *)data)->result = -EINTR;
    g_main_loop_quit(((Host *)data)->loop);
    return G_SOURCE_CONTINUE;
}

static int wait_for_cluster(Host *h, gid_t gid, Err *err)
{
    g_autofree char *port = g_strdup_printf("%u", h->opt->port);
    const char *argv[] = {"quorate-api", "--pve",  IDENTITY_DIR, "--run-dir",
                          RUN_DIR,       "--port", port,         NULL};
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GSubprocess) front = NULL;
    ApiServer *server = NULL;
    int r = api_server_start(RUN_DIR "/witness.sock", gid, handle, h, NULL, &server, err);

    if (r < 0) {
        return r;
    }
    front = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_NONE, &gerror);
    if (front == NULL) {
        api_server_stop(server);
        return err_setf(err, -EIO, "quorate-api: %s", gerror->message);
    }
    g_subprocess_wait_async(front, NULL, on_front_end, h);
    (void)g_timeout_add_seconds(h->opt->ttl_sec, on_expiry, h);
    (void)g_unix_signal_add(SIGTERM, on_signal, h);
    (void)g_unix_signal_add(SIGINT, on_signal, h);
    if ((r = make_token(h, err)) == 0) {
        g_main_loop_run(h->loop);
    }
    g_subprocess_send_signal(front, SIGTERM);
    (void)g_subprocess_wait(front, NULL, NULL); /* it was told to end */
    api_server_stop(server);
    return r;
}

static int outcome(const Host *h, Err *err)
{
    if (h->done) {
        return 0;
    }
    switch (h->result) {
    case -ETIMEDOUT:
        return err_setf(err, -ETIMEDOUT, "no cluster came within %u s; the token is void",
                        h->opt->ttl_sec);
    case -EINTR:
        return err_setf(err, -EINTR, "ended before a cluster came; the token is void");
    default:
        return err_setf(err, -EIO, "the service ended: is port %u free?", h->opt->port);
    }
}

static int preview(const Host *h, Err *err)
{
    g_autofree char *tool = g_find_program_in_path("corosync-qnetd-certutil");
    g_autofree char *line =
        g_strdup_printf("would start corosync-qnetd and wait for a cluster at %s, TCP port %u, for "
                        "%u s",
                        h->token.host, h->opt->port, h->opt->ttl_sec);

    if (tool == NULL) {
        return not_installed(err);
    }
    h->opt->say(h->opt->ctx, line);
    return 0;
}

int witness_host_serve(const WitnessHostOptions *opt, Err *err)
{
    Host h = {.opt = opt};
    gid_t gid = 0;
    int r;

    g_mutex_init(&h.lock);
    h.loop = g_main_loop_new(NULL, FALSE);
    if ((r = pick_address(&h, err)) == 0 && opt->dry_run) {
        r = preview(&h, err);
        h.done = r == 0;
    } else if (r == 0) {
        if ((r = prepare_qnetd(err)) == 0 && (r = make_directories(&gid, err)) == 0 &&
            (r = make_identity(&h, err)) == 0) {
            r = wait_for_cluster(&h, gid, err);
        }
        remove_identity();
    }
    explicit_bzero(h.key, sizeof h.key);
    witness_token_done(&h.token);
    g_main_loop_unref(h.loop);
    g_mutex_clear(&h.lock);
    return r < 0 ? r : outcome(&h, err);
}
