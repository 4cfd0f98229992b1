/* SPDX-License-Identifier: Apache-2.0 */
/* quorate-statd: tells the cluster what this node and its guests use. Man page quorate-statd(8). */
#include "guest/core/stat_limits.h"
#include "guest/io/stat_daemon.h"
#include "lib/base/err.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME "quorate-statd"

static char *option_run_dir;
static double option_period;
static gboolean option_version;

static GOptionEntry entries[] = {
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &option_run_dir, "Default /var/run/qemu-server",
     "DIR"},
    {"period", 0, 0, G_OPTION_ARG_DOUBLE, &option_period, "From round to round, default 10",
     "SECONDS"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "Print the version and exit", NULL},
    {0},
};

/* Root is who may talk to the cluster filesystem and to QEMU; of its powers two are needed: to see
 * the processes of guests and the folders of storages. */
static int drop_privileges(Err *err)
{
    const unsigned kept = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_SYS_PTRACE;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &head, data) < 0) {
        return err_setf(err, -errno, "privileges cannot be dropped: %s", g_strerror(errno));
    }
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        unsigned mask = i == 0 ? kept : 0;

        data[i].effective &= mask;
        data[i].permitted &= mask;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, data) < 0) {
        return err_setf(err, -errno, "privileges cannot be dropped: %s", g_strerror(errno));
    }
    return 0;
}

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static void serve(void)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    StatDaemonOptions options = {.run_dir = option_run_dir,
                                 .period_ms = (int64_t)(option_period * 1000),
                                 .seed = (uint64_t)clock_mono().us ^ (uint64_t)getpid() << 32};
    StatDaemon *daemon = stat_daemon_new(&options);

    (void)g_unix_signal_add(SIGTERM, on_signal, loop);
    (void)g_unix_signal_add(SIGINT, on_signal, loop);
    g_main_loop_run(loop);
    stat_daemon_free(daemon);
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    Err err = ERR_INIT;

    g_option_context_set_summary(context, "Tells the cluster what this node and its guests use.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
        fprintf(stderr, NAME ": %s\n", error != NULL ? error->message : "no operands expected");
        return 2;
    }
    if (option_version) {
        printf(NAME " (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    if (option_period != 0 &&
        !(option_period * 1000 >= STAT_PERIOD_MIN_MS && option_period <= 3600)) {
        fprintf(stderr, NAME ": --period takes 0.5 to 3600 seconds\n");
        return 2;
    }
    log_init(NAME, true);
    if (drop_privileges(&err) < 0) {
        log_line(TRACE_ERR, "statd", "%s", err_text(&err));
        return 1;
    }
    serve();
    return 0;
}
