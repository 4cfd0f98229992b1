/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-joind: the root daemon behind the API worker that serves /cluster/config. Man page
 * quorate-joind(8).
 */
#include "lib/port/api_socket.h"
#include "lib/port/log.h"
#include "lib/port/secrecy.h"
#include "quorum/io/config_api.h"
#include "quorum/io/upkeep.h"
#include "quorum/io/witness_sync.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAP_SEC    30
#define PROMOTE_SEC 2
#define STATE_DIR   "/var/lib/pve-cluster"
#define WITNESS_SEC 3

static char *option_pve, *option_run_dir, *option_authkey;
static gboolean option_version;
static int option_renew_sec = UPKEEP_RENEW_SEC;

static GOptionEntry entries[] = {
    {"pve", 0, 0, G_OPTION_ARG_FILENAME, &option_pve, "The tree, default /etc/pve", "DIR"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_run_dir, "Default /run/quorate", "DIR"},
    {"authkey", 0, 0, G_OPTION_ARG_FILENAME, &option_authkey, "Default /etc/corosync/authkey",
     "FILE"},
    {"renew", 0, 0, G_OPTION_ARG_INT, &option_renew_sec,
     "Time between looks at this node's certificate, default 21600", "SEC"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "Print the version and exit", NULL},
    {0},
};

static void handle(void *ctx, const ApiRequest *request, ApiAnswer *ret)
{
    join_server_handle(ctx, request, ret);
}

static gboolean reap(gpointer data)
{
    Err err = ERR_INIT;

    if (join_server_reap(data, &err) < 0) {
        log_line(TRACE_DEBUG, "join", "looking for abandoned joins: %s", err_text(&err));
    }
    return G_SOURCE_CONTINUE;
}

/* Nodes that were added with a password wait for their vote. */
static gboolean promote(gpointer data)
{
    Err err = ERR_INIT;

    if (config_api_promote(data, &err) < 0) {
        log_line(TRACE_DEBUG, "join", "looking for nodes that have shown up: %s", err_text(&err));
    }
    return G_SOURCE_CONTINUE;
}

/* A failure is told once, until it changes. */
static gboolean follow_witness(gpointer data)
{
    static Err told;
    const JoinServer *s = data;
    char what[128] = "";
    Err err = ERR_INIT;
    int r = witness_sync(s->pve, what, sizeof what, &err);

    if (r > 0) {
        log_line(TRACE_NOTICE, "witness", "%s", what);
    } else if (r < 0 && strcmp(err_text(&err), err_text(&told)) != 0) {
        log_line(TRACE_WARNING, "witness", "%s", err_text(&err));
    }
    told = err;
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static int serve(JoinServer *s, const char *run_dir, Err *err)
{
    g_autofree char *path = g_build_filename(run_dir, "joind.sock", NULL);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    ApiServer *server = NULL;
    gid_t gid;
    Upkeep *upkeep;
    int r;

    if ((r = api_run_dir(run_dir, &gid, err)) < 0 ||
        (r = api_server_start(path, gid, handle, s, &s->tracer, &server, err)) < 0) {
        return r;
    }
    (void)g_unix_signal_add(SIGTERM, on_signal, loop);
    (void)g_unix_signal_add(SIGINT, on_signal, loop);
    (void)g_timeout_add_seconds(REAP_SEC, reap, s);
    (void)g_timeout_add_seconds(PROMOTE_SEC, promote, s);
    (void)g_timeout_add_seconds(WITNESS_SEC, follow_witness, s);
    log_line(TRACE_NOTICE, "join", "serving %s", path);
    upkeep = upkeep_start(s->pve, s->authkey, STATE_DIR, option_renew_sec, s->tracer);
    g_main_loop_run(loop);
    upkeep_stop(upkeep);
    api_server_stop(server);
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- join service of the cluster");
    g_autoptr(GError) gerror = NULL;
    JoinServer s = {0};
    Err err = ERR_INIT;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror) || argc > 1) {
        fprintf(stderr, "quorate-joind: %s\n", gerror != NULL ? gerror->message : "wrong operand");
        return 2;
    }
    if (option_renew_sec < 1) {
        fprintf(stderr, "quorate-joind: --renew: expected 1 or more seconds\n");
        return 2;
    }
    if (option_version) {
        printf("quorate-joind (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    secrecy_hide_memory(); /* keys pass through this process (INV-8) */
    (void)umask(027);
    log_init("quorate-joind", isatty(2));
    s.pve = option_pve != NULL ? option_pve : "/etc/pve";
    s.authkey = option_authkey != NULL ? option_authkey : "/etc/corosync/authkey";
    s.tracer = log_tracer("join");
    if (serve(&s, option_run_dir != NULL ? option_run_dir : "/run/quorate", &err) < 0) {
        log_line(TRACE_ERR, "join", "%s", err_text(&err));
        return 1;
    }
    return 0;
}
