/* SPDX-License-Identifier: Apache-2.0 */
/* qmeventd: sees how guests end. Man page qmeventd(8). */
#include "guest/io/event_daemon.h"
#include "lib/port/log.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

static char *option_socket, *option_run_dir, *option_root, *option_qm;
static gboolean option_version;

static GOptionEntry entries[] = {
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &option_socket, "Default " EVENT_DAEMON_SOCKET, "FILE"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_run_dir, "Default /var/run/qemu-server",
     "DIR"},
    {"root", 0, 0, G_OPTION_ARG_FILENAME, &option_root, "The tree, default /etc/pve", "DIR"},
    {"qm", 0, 0, G_OPTION_ARG_FILENAME, &option_qm, "Program that cleans up, default qm", "FILE"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "Print the version and exit", NULL},
    {0},
};

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

/* Each guest holds two files open here; the usual limit would do for some five hundred. */
static void raise_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* else: fewer guests, and the log says so */
    }
}

static int serve(Err *err)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(EventDaemon) daemon = NULL;
    EventDaemonOptions options = {
        .socket = option_socket, .run_dir = option_run_dir, .qm = option_qm, .root = option_root};
    int r = event_daemon_new(&options, &daemon, err);

    if (r < 0) {
        return r;
    }
    (void)g_unix_signal_add(SIGTERM, on_signal, loop);
    (void)g_unix_signal_add(SIGINT, on_signal, loop);
    log_line(TRACE_INFO, "qmeventd", "ready");
    g_main_loop_run(loop);
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    Err err = ERR_INIT;

    g_option_context_set_summary(context, "Sees how QEMU guests end and cleans up after them.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
        fprintf(stderr, "qmeventd: %s\n", error != NULL ? error->message : "no operands expected");
        return 2;
    }
    if (option_version) {
        printf("qmeventd (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    log_init("qmeventd", true);
    raise_limit();
    if (serve(&err) < 0) {
        log_line(TRACE_ERR, "qmeventd", "%s", err_text(&err));
        return 1;
    }
    return 0;
}
