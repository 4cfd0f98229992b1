/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-api: the unprivileged HTTPS worker on port 8006. Reads the node's certificate and key
 * from the tree, waiting for them as long as it takes, gives up root, and passes requests to the
 * root daemons. Restarts itself into a renewed certificate. Man page quorate-api(8).
 */
#include "api/core/api_ignored.h"
#include "api/io/api_front.h"
#include "lib/port/log.h"
#include "lib/port/secrecy.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_CERT_SEC  60
#define AWAIT_CERT_MS   250
#define AWAIT_QUIET_SEC 60 /* of waiting at boot nothing is said */

typedef struct Options {
    char *pve, *run_dir, *user;
    int port;
    gboolean version;
} Options;

static Options options = {.port = API_PORT};

static GOptionEntry entries[] = {
    {"pve", 0, 0, G_OPTION_ARG_FILENAME, &options.pve, "The tree, default /etc/pve", "DIR"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.run_dir,
     "Where the daemons' sockets are, default /run/quorate", "DIR"},
    {"user", 0, 0, G_OPTION_ARG_STRING, &options.user, "Run as this user, default www-data",
     "NAME"},
    {"port", 0, 0, G_OPTION_ARG_INT, &options.port, "Default 8006", "PORT"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &options.version, "Print the version and exit", NULL},
    {0},
};

typedef struct Identity {
    char *chain, *key;
} Identity;

/* Custom certificate first, then the node's own with the CA behind it. */
static int read_identity(const char *pve, Identity *ret, Err *err)
{
    static const char *const names[][2] = {{"pveproxy-ssl.pem", "pveproxy-ssl.key"},
                                           {"pve-ssl.pem", "pve-ssl.key"}};
    g_autofree char *ca_path = g_build_filename(pve, "pve-root-ca.pem", NULL);
    g_autofree char *ca = NULL;

    (void)g_file_get_contents(ca_path, &ca, NULL, NULL); /* custom certificates need none */
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *cert_path = g_build_filename(pve, "local", names[i][0], NULL);
        g_autofree char *key_path = g_build_filename(pve, "local", names[i][1], NULL);
        g_autofree char *cert = NULL;
        char *key = NULL;

        if (g_file_get_contents(cert_path, &cert, NULL, NULL) &&
            g_file_get_contents(key_path, &key, NULL, NULL)) {
            ret->chain = g_strconcat(cert, "\n", ca != NULL ? ca : "", NULL);
            ret->key = key;
            return 0;
        }
    }
    return err_setf(err, -ENOENT,
                    "%s/local has no certificate yet: make it with 'pvecm updatecerts'", pve);
}

static void identity_done(Identity *id)
{
    g_clear_pointer(&id->chain, g_free);
    if (id->key != NULL) {
        explicit_bzero(id->key, strlen(id->key));
        g_clear_pointer(&id->key, g_free);
    }
}

static int drop_privileges(const char *user, Err *err)
{
    const struct passwd *pw = getpwnam(user);

    if (pw == NULL) {
        return err_setf(err, -ENOENT, "user '%s' does not exist", user);
    }
    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
         setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)) {
        int r = -errno;

        return err_setf(err, r, "becoming user '%s': %s", user, strerror(-r));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        int r = -errno;

        return err_setf(err, r, "giving up privileges: %s", strerror(-r));
    }
    return 0;
}

typedef struct Watch {
    GMainLoop *loop;
    Tracer tracer;
    const char *pve, *run_dir, *user;
    char *chain;     /* in use; NULL: there is none yet */
    ApiFront *front; /* serves with it */
    gint64 quiet;    /* until then waiting is not told; 0: it was */
    bool renewed;    /* ended to start anew */
    int failed;      /* could not serve: -errno */
    Err err;         /* then */
} Watch;

/* The library takes certificates only at its start: end, and let the service manager start us anew.
 */
static gboolean check_cert(gpointer data)
{
    Watch *w = data;
    Identity now = {0};

    if (read_identity(w->pve, &now, NULL) == 0 && strcmp(now.chain, w->chain) != 0) {
        log_line(TRACE_NOTICE, "api", "the certificate was renewed: starting again");
        w->renewed = true;
        g_main_loop_quit(w->loop);
    }
    identity_done(&now);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(((Watch *)data)->loop);
    return G_SOURCE_CONTINUE;
}

static void warn_of_ignored(void)
{
    g_autofree char *text = NULL;
    g_autofree char *keys = NULL;

    if (g_file_get_contents(API_IGNORED_FILE, &text, NULL, NULL) &&
        (keys = api_ignored_keys(text)) != NULL) {
        log_line(TRACE_WARNING, "api",
                 "%s is not read, these have no effect: %s; restrict who may "
                 "connect by a firewall",
                 API_IGNORED_FILE, keys);
    }
}

static int serve(Watch *w, const Identity *id)
{
    ApiFrontConfig cfg = {.port = (uint16_t)options.port,
                          .run_dir = w->run_dir,
                          .pve = w->pve,
                          .tracer = &w->tracer,
                          .cert = id->chain,
                          .key = id->key};
    int r = drop_privileges(w->user, &w->err);

    if (r < 0 || (r = api_front_start(&cfg, &w->front, &w->err)) < 0) {
        return r;
    }
    w->chain = g_strdup(id->chain);
    log_line(TRACE_NOTICE, "api", "serving HTTPS on port %d", options.port);
    return 0;
}

/* At boot the tree is mounted, and in sync, a little later than we start; a node that just was
 * installed gets its certificate when somebody makes it. Nothing is served before, and nothing
 * fails. */
static gboolean await_identity(gpointer data)
{
    Watch *w = data;
    Identity id = {0};
    Err why = ERR_INIT;

    if (read_identity(w->pve, &id, &why) < 0) {
        if (w->quiet != 0 && g_get_monotonic_time() > w->quiet) {
            log_line(TRACE_NOTICE, "api", "waiting: %s", err_text(&why));
            w->quiet = 0;
        }
        return G_SOURCE_CONTINUE;
    }
    w->failed = serve(w, &id);
    identity_done(&id);
    if (w->failed < 0) {
        g_main_loop_quit(w->loop);
    } else {
        (void)g_timeout_add_seconds(CHECK_CERT_SEC, check_cert, w);
    }
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- HTTPS worker of the REST API");
    g_autoptr(GError) gerror = NULL;
    Watch w = {0};

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror) || argc > 1 || options.port < 1 ||
        options.port > 65535) {
        fprintf(stderr, "quorate-api: %s\n", gerror != NULL ? gerror->message : "wrong operand");
        return 2;
    }
    if (options.version) {
        printf("quorate-api (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    secrecy_hide_memory(); /* the key of the certificate (INV-8) */
    log_init("quorate-api", isatty(2));
    warn_of_ignored();
    w.tracer = log_tracer("api");
    w.pve = options.pve != NULL ? options.pve : "/etc/pve";
    w.run_dir = options.run_dir != NULL ? options.run_dir : "/run/quorate";
    w.user = options.user != NULL ? options.user : "www-data";
    w.quiet = g_get_monotonic_time() + AWAIT_QUIET_SEC * G_USEC_PER_SEC;
    w.loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, on_signal, &w);
    (void)g_unix_signal_add(SIGINT, on_signal, &w);
    if (await_identity(&w)) {
        (void)g_timeout_add(AWAIT_CERT_MS, await_identity, &w);
    }
    if (w.failed == 0) {
        g_main_loop_run(w.loop);
    }
    api_front_stop(w.front);
    if (w.failed < 0) {
        log_line(TRACE_ERR, "api", "%s", err_text(&w.err));
    }
    g_main_loop_unref(w.loop);
    g_free(w.chain);
    return w.failed < 0 ? 1 : w.renewed ? 75 : 0;
}
