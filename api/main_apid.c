/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-apid: the root daemon behind the API worker for logins, tasks and what the whole cluster
 * looks like. Man page quorate-apid(8).
 */
#include "api/io/access_api.h"
#include "api/io/cluster_api.h"
#include "api/io/task_api.h"
#include "lib/port/api_socket.h"
#include "lib/port/log.h"
#include "lib/port/secrecy.h"
#include "lib/port/task.h"

#include <glib-unix.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char *option_pve, *option_run_dir, *option_pam_helper;
static gboolean option_version;

static GOptionEntry entries[] = {
    {"pve", 0, 0, G_OPTION_ARG_FILENAME, &option_pve, "The tree, default /etc/pve", "DIR"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_run_dir, "Default /run/quorate", "DIR"},
    {"pam-helper", 0, 0, G_OPTION_ARG_FILENAME, &option_pam_helper,
     "Program that asks PAM, default " QUORATE_LIBEXEC "/quorate-pam", "PROGRAM"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "Print the version and exit", NULL},
    {0},
};

#define USER  API_NEED_USER, NULL, NULL
#define WORLD API_NEED_WORLD, NULL, NULL

static const ApiEndpoint endpoints[] = {
    {"GET", "/access", USER, NULL, access_get_index},
    {"GET", "/access/domains", WORLD, NULL, access_get_domains},
    {"GET", "/access/ticket", WORLD, NULL, access_get_ticket},
    {"POST", "/access/ticket", WORLD, access_ticket_params, access_post_ticket},
    {"GET", "/cluster/resources", USER, cluster_resources_params, cluster_get_resources},
    {"GET", "/cluster/status", API_NEED_PRIV, "/", "Sys.Audit", NULL, cluster_get_status},
    {"GET", "/nodes", USER, NULL, cluster_get_nodes},
    {"GET", "/nodes/{node}/tasks/{upid}/log", USER, task_log_params, task_get_log},
    {"GET", "/nodes/{node}/tasks/{upid}/status", USER, NULL, task_get_status},
    {"GET", "/version", USER, NULL, access_get_version},
    {0},
};

static void handle(void *ctx, const ApiRequest *request, ApiAnswer *ret)
{
    api_call_serve(ctx, request, ret);
}

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static int serve(ApiTable *table, const char *run_dir, Err *err)
{
    g_autofree char *path = g_build_filename(run_dir, "apid.sock", NULL);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    ApiServer *server = NULL;
    gid_t gid;
    int r;

    if ((r = api_run_dir(run_dir, &gid, err)) < 0 ||
        (r = api_server_start(path, gid, handle, table, table->tracer, &server, err)) < 0) {
        return r;
    }
    (void)g_unix_signal_add(SIGTERM, on_signal, loop);
    (void)g_unix_signal_add(SIGINT, on_signal, loop);
    log_line(TRACE_NOTICE, "apid", "serving %s", path);
    g_main_loop_run(loop);
    api_server_stop(server);
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- logins and tasks of the REST API");
    g_autoptr(GError) gerror = NULL;
    ApidContext x = {.task_dir = TASK_DIR};
    ApiTable table = {.endpoints = endpoints, .ctx = &x, .tracer = &x.tracer};
    Err err = ERR_INIT;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror) || argc > 1) {
        fprintf(stderr, "quorate-apid: %s\n", gerror != NULL ? gerror->message : "wrong operand");
        return 2;
    }
    if (option_version) {
        printf("quorate-apid (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    secrecy_hide_memory(); /* passwords pass through this process (INV-8) */
    (void)umask(027);
    log_init("quorate-apid", isatty(2));
    x.tracer = log_tracer("apid");
    x.pam_helper = option_pam_helper != NULL ? option_pam_helper : QUORATE_LIBEXEC "/quorate-pam";
    table.pve = option_pve != NULL ? option_pve : "/etc/pve";
    if (serve(&table, option_run_dir != NULL ? option_run_dir : "/run/quorate", &err) < 0) {
        log_line(TRACE_ERR, "apid", "%s", err_text(&err));
        return 1;
    }
    return 0;
}
