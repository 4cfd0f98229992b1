/* SPDX-License-Identifier: Apache-2.0 */
/* quorate-migrated: the migration agent of a node. Man page quorate-migrated(8). */
#include "lib/port/log.h"
#include "lib/port/secrecy.h"
#include "migration/io/mig_agent.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *option_pve, *option_run_dir, *option_state_dir, *option_log_dir, *option_listen;
static char *option_guest_dir, *option_qm, *option_pvesm, *option_node, *option_ports;
static gint64 option_bwlimit;
static gboolean option_version, option_debug;

static GOptionEntry entries[] = {
    {"pve", 0, 0, G_OPTION_ARG_FILENAME, &option_pve, "The tree, default /etc/pve", "DIR"},
    {"node", 0, 0, G_OPTION_ARG_STRING, &option_node, "Name of this node, default its host name",
     "NAME"},
    {"listen", 0, 0, G_OPTION_ARG_STRING, &option_listen,
     "Address of port 60000, default ::", "ADDRESS"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_run_dir, "Default /run/quorate", "DIR"},
    {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_state_dir,
     "Default /var/lib/quorate/migration", "DIR"},
    {"log-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_log_dir, "Default /var/log/quorate", "DIR"},
    {"guest-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_guest_dir,
     "Sockets of guests, default /var/run/qemu-server", "DIR"},
    {"ports", 0, 0, G_OPTION_ARG_STRING, &option_ports, "Ports of the streams, default 60001-60050",
     "FIRST-LAST"},
    {"bwlimit", 0, 0, G_OPTION_ARG_INT64, &option_bwlimit,
     "All moves away from here together at most so fast", "KiB/s"},
    {"qm", 0, 0, G_OPTION_ARG_FILENAME, &option_qm, "Default qm", "PROGRAM"},
    {"pvesm", 0, 0, G_OPTION_ARG_FILENAME, &option_pvesm, "Default pvesm", "PROGRAM"},
    {"debug", 'd', 0, G_OPTION_ARG_NONE, &option_debug, "Log more", NULL},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "Print the version and exit", NULL},
    {0},
};

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static const char * or (const char *given, const char *fallback)
{
    return given != NULL ? given : fallback;
}

/* "60001-60050", within the documented range. */
static int parse_ports(const char *text, MigSetup *setup, Err *err)
{
    const char *dash = strchr(text, '-');
    g_autofree char *first = dash != NULL ? g_strndup(text, (gsize)(dash - text)) : NULL;
    guint64 a = 0, b = 0;

    if (dash == NULL ||
        !g_ascii_string_to_unsigned(first, 10, MIG_PORT_FIRST, MIG_PORT_LAST, &a, NULL) ||
        !g_ascii_string_to_unsigned(dash + 1, 10, a, MIG_PORT_LAST, &b, NULL)) {
        return err_setf(err, -EINVAL, "--ports: '%s' is no part of %u-%u", text, MIG_PORT_FIRST,
                        MIG_PORT_LAST);
    }
    setup->port_first = (unsigned)a;
    setup->port_last = (unsigned)b;
    return 0;
}

static MigSetup make_setup(char *node)
{
    const char *own = or (option_run_dir, "/run/quorate");

    return (MigSetup){
        .tree = { or (option_pve, "/etc/pve"), or (option_node, node), "/var/lock/qemu-server"},
        .run_dir = or (option_guest_dir, "/var/run/qemu-server"),
        .own_run = own,
        .state_dir = or (option_state_dir, "/var/lib/quorate/migration"),
        .log_dir = or (option_log_dir, "/var/log/quorate"),
        .tls_dir = g_build_filename(own, "migration-tls", NULL),
        .qm = or (option_qm, "qm"),
        .pvesm = or (option_pvesm, "pvesm"),
        .port_first = MIG_PORT_FIRST,
        .port_last = MIG_PORT_LAST,
        .bwlimit_kib = MAX(option_bwlimit, 0),
    };
}

static int serve(MigSetup *setup, Err *err)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    MigAgent *agent = NULL;
    int r = mig_agent_new(setup, &agent, err);

    /* Here and not in the loop: what jobs post is done by this thread only. */
    if (!g_main_context_acquire(NULL)) {
        return err_setf(err, -EBUSY, "the main context is not free");
    }
    if (r == 0) {
        r = mig_agent_start(agent, or (option_listen, "::"), err);
    }
    if (r == 0) {
        (void)g_unix_signal_add(SIGTERM, on_signal, loop);
        (void)g_unix_signal_add(SIGINT, on_signal, loop);
        log_line(TRACE_NOTICE, "migrate", "agent of node '%s' serves port %u", setup->tree.node,
                 MIG_PORT_CONTROL);
        g_main_loop_run(loop);
    }
    mig_agent_free(agent);
    g_main_context_release(NULL);
    return r;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- migration agent of a node");
    g_autoptr(GError) gerror = NULL;
    char node[256] = "";
    MigSetup setup;
    Err err = ERR_INIT;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror) || argc > 1) {
        fprintf(stderr, "quorate-migrated: %s\n",
                gerror != NULL ? gerror->message : "wrong operand");
        return 2;
    }
    if (option_version) {
        printf("quorate-migrated (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    (void)gethostname(node, sizeof node - 1); /* "" is refused below */
    node[strcspn(node, ".")] = '\0';
    secrecy_hide_memory(); /* keys pass through this process (INV-8) */
    (void)umask(027);
    (void)signal(SIGPIPE, SIG_IGN); /* streams of volumes end with EPIPE */
    log_init("quorate-migrated", isatty(2));
    log_set_debug(option_debug);
    setup = make_setup(node);
    if (option_ports != NULL && parse_ports(option_ports, &setup, &err) < 0) {
        fprintf(stderr, "quorate-migrated: %s\n", err_text(&err));
        return 2;
    }
    if (serve(&setup, &err) < 0) {
        log_line(TRACE_ERR, "migrate", "%s", err_text(&err));
        return 1;
    }
    return 0;
}
