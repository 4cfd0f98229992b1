/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-api: the unprivileged HTTPS worker on port 8006. Reads the node's certificate and key
 * from the tree, gives up root, and passes requests to the root daemons. Restarts itself into a
 * renewed certificate. Man page quorate-api(8).
 */
#include "api/core/api_ignored.h"
#include "api/io/api_front.h"
#include "lib/port/log.h"

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

#define CHECK_CERT_SEC 60
#define WAIT_CERT_SEC  60

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

/* At boot the tree is mounted, and in sync, a little later than we start. */
static int await_identity(const char *pve, Identity *ret, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_CERT_SEC * G_USEC_PER_SEC;
    int r;

    while ((r = read_identity(pve, ret, err)) < 0 && g_get_monotonic_time() < deadline) {
        g_usleep(200 * 1000);
    }
    return r;
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
    const char *pve;
    char *chain; /* in use */
    bool renewed;
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

static int serve(Watch *w, const char *run_dir, const char *user, Err *err)
{
    Tracer tracer = log_tracer("api");
    Identity id = {0};
    ApiFrontConfig cfg = {
        .port = (uint16_t)options.port, .run_dir = run_dir, .pve = w->pve, .tracer = &tracer};
    ApiFront *front = NULL;
    int r = await_identity(w->pve, &id, err);

    if (r < 0) {
        return r;
    }
    cfg.cert = id.chain;
    cfg.key = id.key;
    w->chain = g_strdup(id.chain);
    (void)((r = drop_privileges(user, err)) < 0 || (r = api_front_start(&cfg, &front, err)) < 0);
    identity_done(&id);
    if (r < 0) {
        return r;
    }
    log_line(TRACE_NOTICE, "api", "serving HTTPS on port %d", options.port);
    g_main_loop_run(w->loop);
    api_front_stop(front);
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- HTTPS worker of the REST API");
    g_autoptr(GError) gerror = NULL;
    Watch w = {0};
    Err err = ERR_INIT;
    int r;

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
    log_init("quorate-api", isatty(2));
    warn_of_ignored();
    w.pve = options.pve != NULL ? options.pve : "/etc/pve";
    w.loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, on_signal, &w);
    (void)g_unix_signal_add(SIGINT, on_signal, &w);
    (void)g_timeout_add_seconds(CHECK_CERT_SEC, check_cert, &w);
    r = serve(&w, options.run_dir != NULL ? options.run_dir : "/run/quorate",
              options.user != NULL ? options.user : "www-data", &err);
    if (r < 0) {
        log_line(TRACE_ERR, "api", "%s", err_text(&err));
    }
    g_main_loop_unref(w.loop);
    g_free(w.chain);
    return r < 0 ? 1 : w.renewed ? 75 : 0;
}
