/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qm_migrate: `qm migrate`, `qm migrate-cancel`, `qm migrations`: talks to the migration agent of
 * this node over its local socket (quorate-migrated(8)), shows what it says, and turns Ctrl-C into
 * a cancel.
 */
#include "cli/qm_migrate.h"

#include "cli/qm_run.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH    "/run/quorate/migration.sock"
#define LINE_MAX_SIZE  (4u * 1024 * 1024)
#define EXIT_CANCELLED 3

#define NOT_GIVEN G_MININT64 /* the agent judges every number that is given */

QmMigrateOptions qm_migrate_options = {
    .channels = NOT_GIVEN, .bwlimit = NOT_GIVEN, .downtime = NOT_GIVEN, .timeout = NOT_GIVEN};

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupts++;
}

typedef struct Talk {
    int fd;
    GByteArray *in;
    bool json, tty;
    bool dirty_line; /* a line of progress stands on the terminal */
    int exit_code;   /* -1: not told yet */
    guint problems;  /* that a dry run has named */
    sig_atomic_t cancelled;
    bool asked; /* the agent knows */
} Talk;

static void talk_done(Talk *t)
{
    if (t->fd >= 0) {
        (void)close(t->fd); /* the agent goes on by itself */
    }
    if (t->in != NULL) {
        g_byte_array_unref(t->in);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Talk, talk_done)

static int talk_open(Talk *t, Err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = qm_migrate_options.socket != NULL ? qm_migrate_options.socket : SOCKET_PATH;

    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    t->in = g_byte_array_new();
    t->exit_code = -1;
    t->tty = isatty(STDOUT_FILENO) == 1;
    if (t->fd < 0 || connect(t->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int r = -errno;

        return err_setf(err, r,
                        "the migration agent of this node does not answer (%s: %s): "
                        "systemctl start quorate-migrated",
                        path, g_strerror(-r));
    }
    return cli_wants_json(&t->json, err);
}

static int talk_send(Talk *t, const JsonTree *request, Err *err)
{
    g_autoptr(GString) line = g_string_new(NULL);
    gsize at = 0;

    jsontree_append(line, request);
    g_string_append_c(line, '\n');
    while (at < line->len) {
        ssize_t n = send(t->fd, line->str + at, line->len - at, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            return err_setf(err, -EPIPE,
                            "the migration agent ended: it goes on when it is started "
                            "again");
        }
        at += n > 0 ? (gsize)n : 0;
    }
    return 0;
}

static int send_cancel(Talk *t, Err *err)
{
    g_autoptr(JsonTree) request = jsontree_new_object();

    jsontree_set_text(request, "verb", "cancel");
    return talk_send(t, request, err);
}

/* ---- showing --------------------------------------------------------------------------------- */

static void end_line(Talk *t)
{
    if (t->dirty_line) {
        printf("\n");
        t->dirty_line = false;
    }
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1024 * 1024);
}

/* One line that is written over and over; on a pipe one line each. */
static void show_progress(Talk *t, const JsonTree *m)
{
    const char *phase = jsontree_get_text(m, "phase");
    int64_t done = jsontree_get_int(m, "transferred", 0);
    int64_t total = jsontree_get_int(m, "total", 0);
    int64_t rest = jsontree_get_int(m, "remaining", -1);
    g_autoptr(GString) s = g_string_new(NULL);

    g_string_append_printf(s, "%s: %.1f MiB", phase != NULL ? phase : "?", mib(done));
    if (total > 0) {
        g_string_append_printf(s, " of %.1f MiB", mib(total));
    }
    if (rest >= 0) {
        g_string_append_printf(s, ", %.1f MiB left, %.1f MiB/s, dirtied %.1f MiB/s", mib(rest),
                               mib(jsontree_get_int(m, "rate", 0)),
                               mib(jsontree_get_int(m, "dirty_rate", 0)));
        g_string_append_printf(s, ", would stop %d ms",
                               (int)jsontree_get_int(m, "expected_downtime_ms", 0));
    }
    g_string_append_printf(s, ", %.1f s", (double)jsontree_get_int(m, "elapsed_ms", 0) / 1000);
    if (t->tty) {
        printf("\r%s\033[K", s->str);
        t->dirty_line = true;
    } else {
        printf("%s\n", s->str);
    }
    (void)fflush(stdout); /* progress that cannot be shown is no failure */
}

static guint fatal_problems(const JsonTree *plan)
{
    const JsonTree *list = jsontree_get(plan, "problems");
    guint n = 0;

    for (guint i = 0; i < jsontree_count(list); i++) {
        n += jsontree_get_bool(jsontree_at(list, i), "fatal", true);
    }
    return n;
}

static void show(Talk *t, const char *line, const JsonTree *m)
{
    const char *event = jsontree_get_text(m, "event");
    const char *text = jsontree_get_text(m, "text");

    if (g_strcmp0(event, "end") == 0) {
        t->exit_code = (int)jsontree_get_int(m, "exit", 1);
    }
    if (t->json) {
        printf("%s\n", line);
        (void)fflush(stdout); /* a reader that is gone is no failure of the move */
    } else if (g_strcmp0(event, "log") == 0) {
        end_line(t);
        printf("%s\n", text != NULL ? text : "");
        (void)fflush(stdout); /* as above */
    } else if (g_strcmp0(event, "progress") == 0) {
        show_progress(t, m);
    } else if (g_strcmp0(event, "plan") == 0) {
        t->problems = fatal_problems(m);
    } else if (g_strcmp0(event, "metrics") == 0) {
        printf("%s", text != NULL ? text : "");
        t->exit_code = 0;
    }
    end_line(t->exit_code >= 0 ? t : &(Talk){0});
}

static int take_lines(Talk *t, Err *err)
{
    for (;;) {
        guint8 *end = t->in->len > 0 ? memchr(t->in->data, '\n', t->in->len) : NULL;
        g_autofree char *line = NULL;
        g_autoptr(JsonTree) m = NULL;
        gsize len;

        if (end == NULL) {
            return t->in->len > LINE_MAX_SIZE ? err_setf(err, -E2BIG, "the agent talks nonsense")
                                              : 0;
        }
        len = (gsize)(end - t->in->data);
        line = g_strndup((const char *)t->in->data, len);
        g_byte_array_remove_range(t->in, 0, (guint)len + 1);
        if (jsontree_parse(line, len, &m, err) < 0) {
            return -EBADMSG;
        }
        if (qm_migrate_options.listing) {
            qm_migrate_options.listing(m);
            t->exit_code = 0;
        } else {
            show(t, line, m);
        }
        if (t->exit_code > 0 && !t->json && jsontree_get_text(m, "why") != NULL) {
            g_free(qm_migrate_options.why);
            qm_migrate_options.why = g_strdup(jsontree_get_text(m, "why"));
        }
    }
}

/* What a dry run named line by line is not said once more; a cancel is what was asked for. */
static void say_why(const Talk *t, Err *err)
{
    const char *why = qm_migrate_options.why != NULL ? qm_migrate_options.why : "failed";

    if (t->exit_code == EXIT_CANCELLED) {
        printf("%s", t->json ? "" : "migration cancelled\n");
    } else if (t->exit_code > 0 && qm_migrate_options.dry_run && t->problems > 0) {
        (void)err_setf(err, -EIO, "it would be refused: %u problem%s", t->problems,
                       t->problems == 1 ? "" : "s");
    } else if (t->exit_code > 0) {
        (void)err_setf(err, -EIO, "%s", why);
    }
}

/* Until the agent has said how it ended. */
static int listen_until_end(Talk *t, Err *err)
{
    while (t->exit_code < 0) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        guint8 piece[16384];
        ssize_t n;
        int r;

        if (interrupts > t->cancelled && t->cancelled++ > 0) {
            end_line(t);
            return err_setf(err, -EINTR, "not waiting for the end any longer; see `qm migrations`");
        }
        if (t->cancelled == 1 && !t->asked) {
            t->asked = true;
            if ((r = send_cancel(t, err)) < 0) {
                return r;
            }
        }
        if (poll(&p, 1, 200) <= 0) {
            continue;
        }
        n = recv(t->fd, piece, sizeof piece, 0);
        if (n <= 0) {
            end_line(t);
            return err_setf(err, -EPIPE,
                            "the migration agent ended: the move goes on, or is taken "
                            "back, when it is started again");
        }
        g_byte_array_append(t->in, piece, (guint)n);
        if ((r = take_lines(t, err)) < 0) {
            return r;
        }
    }
    say_why(t, err);
    return t->exit_code;
}

/* Ends with the agent's exit code; its reason goes to stderr. */
static int ask(const JsonTree *request, Err *err)
{
    g_auto(Talk) t = {.fd = -1};
    struct sigaction action = {.sa_handler = on_interrupt};
    int r = talk_open(&t, err);

    if (r < 0) {
        return r;
    }
    (void)sigaction(SIGINT, &action, NULL); /* valid signals: cannot fail */
    (void)sigaction(SIGTERM, &action, NULL);
    if ((r = talk_send(&t, request, err)) < 0) {
        return r;
    }
    r = listen_until_end(&t, err);
    if (r > 0 && err->code != 0 && !t.json) {
        fprintf(stderr, "qm: %s\n", err_text(err));
        err_clear(err);
    }
    return r;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

/* 0, or the exit status for a wrong command line. */
static int parse_vmid(const char *text, int64_t *ret)
{
    guint64 v;

    if (!g_ascii_string_to_unsigned(text, 10, 100, 999999999, &v, NULL)) {
        fprintf(stderr, "qm: '%s' is no VMID (100 to 999999999)\n", text);
        return CLI_EXIT_USAGE;
    }
    *ret = (int64_t)v;
    return 0;
}

static void set_given(JsonTree *t, const char *key, int64_t value)
{
    if (value != NOT_GIVEN) {
        jsontree_set_int(t, key, value);
    }
}

static JsonTree *build_request(int64_t vmid, const char *target)
{
    const QmMigrateOptions *o = &qm_migrate_options;
    JsonTree *t = jsontree_new_object();

    jsontree_set_text(t, "verb", "migrate");
    jsontree_set_int(t, "vmid", vmid);
    jsontree_set_text(t, "target", target);
    jsontree_set_bool(t, "online", o->online != 0);
    jsontree_set_bool(t, "with-local-disks", o->local_disks != 0);
    jsontree_set_bool(t, "force", o->force != 0);
    jsontree_set_bool(t, "dry-run", o->dry_run);
    jsontree_set_text(t, "targetstorage", o->map);
    jsontree_set_text(t, "migration_network", o->network);
    jsontree_set_text(t, "migration_type", o->type);
    jsontree_set_text(t, "on-timeout", o->on_timeout);
    jsontree_set_text(t, "compress", o->compress);
    set_given(t, "channels", o->channels);
    set_given(t, "bwlimit", o->bwlimit);
    set_given(t, "downtime", o->downtime);
    set_given(t, "timeout", o->timeout);
    return t;
}

/* A guest that HA manages is moved by HA. */
static int hand_over(char **operands, Err *err)
{
    g_autofree char *sid = g_strdup_printf("vm:%s", operands[0]);
    GuestHost *h = NULL;
    uint32_t vmid = 0;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0) {
        r = qm_run_ask_ha(h, vmid, "migration",
                          (const char *const[]){qm_migrate_options.online ? "migrate" : "relocate",
                                                sid, operands[1], NULL},
                          err);
    }
    guest_host_free(h);
    return r;
}

int qm_migrate(char **operands, Err *err)
{
    g_autoptr(JsonTree) request = NULL;
    int64_t vmid = 0;
    int r = parse_vmid(operands[0], &vmid);

    if (r != 0) {
        return r;
    }
    if (!qm_migrate_options.dry_run) {
        r = hand_over(operands, err);
        if (r != 0) {
            return r < 0 ? r : 0;
        }
    }
    request = build_request(vmid, operands[1]);
    return ask(request, err);
}

int qm_migrate_cancel(char **operands, Err *err)
{
    g_autoptr(JsonTree) request = jsontree_new_object();
    int64_t vmid = 0;
    int r = parse_vmid(operands[0], &vmid);

    if (r != 0) {
        return r;
    }
    jsontree_set_text(request, "verb", "cancel");
    jsontree_set_int(request, "vmid", vmid);
    r = ask(request, err);
    return r == EXIT_CANCELLED ? 0 : r; /* that is what was asked for */
}

static void show_list(const JsonTree *m)
{
    const JsonTree *list = jsontree_get(m, "migrations");
    bool json = false;
    Err err = ERR_INIT;

    if (cli_wants_json(&json, &err) == 0 && json) {
        g_autofree char *text = jsontree_pretty(m);

        printf("%s", text);
        return;
    }
    printf("%-10s %-7s %-16s %s\n", "VMID", "ROLE", "PEER", "STATE");
    for (guint i = 0; i < jsontree_count(list); i++) {
        const JsonTree *one = jsontree_at(list, i);

        printf("%-10d %-7s %-16s %s\n", (int)jsontree_get_int(one, "vmid", 0),
               jsontree_get_text(one, "role"), jsontree_get_text(one, "peer"),
               jsontree_get_text(one, "state"));
    }
    printf("ports: %d of %d taken, %d waiting\n", (int)jsontree_get_int(m, "ports_taken", 0),
           (int)jsontree_get_int(m, "ports_total", 0),
           (int)jsontree_get_int(m, "ports_waiting", 0));
}

int qm_migrations(char **operands, Err *err)
{
    g_autoptr(JsonTree) request = jsontree_new_object();

    (void)operands;
    jsontree_set_text(request, "verb", qm_migrate_options.metrics ? "metrics" : "list");
    if (!qm_migrate_options.metrics) {
        qm_migrate_options.listing = show_list;
    }
    return ask(request, err);
}

/* ---- table ----------------------------------------------------------------------------------- */

#define SOCKET_OPTION                                                                              \
    {                                                                                              \
        "socket", 0, 0, G_OPTION_ARG_FILENAME, &qm_migrate_options.socket,                         \
            "Socket of the agent, /run/quorate/migration.sock by default", "FILE"                  \
    }

static GOptionEntry migrate_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    SOCKET_OPTION,
    CLI_FLAG("online", qm_migrate_options.online, "The guest runs and goes on running"),
    CLI_FLAG("with-local-disks",
             qm_migrate_options.local_disks,
             "A running guest takes its local disks along"),
    CLI_FLAG("force",
             qm_migrate_options.force,
             "Move a stopped guest although it has devices of this node"),
    {"targetstorage", 0, 0, G_OPTION_ARG_STRING, &qm_migrate_options.map,
     "Storages for local disks: SOURCE:TARGET,...,DEFAULT; 1: the same", "MAP"},
    {"bwlimit", 0, 0, G_OPTION_ARG_INT64, &qm_migrate_options.bwlimit, "At most so fast", "KiB/s"},
    {"migration_network", 0, 0, G_OPTION_ARG_STRING, &qm_migrate_options.network,
     "Network for the streams", "CIDR"},
    {"migration_type", 0, 0, G_OPTION_ARG_STRING, &qm_migrate_options.type,
     "secure (default): in TLS; insecure: plain", "TYPE"},
    {"channels", 0, 0, G_OPTION_ARG_INT64, &qm_migrate_options.channels,
     "Connections for the memory beside the first; by default 2 for large guests in TLS", "N"},
    {"downtime", 0, 0, G_OPTION_ARG_INT64, &qm_migrate_options.downtime,
     "The guest stands still at most so long, 300 by default", "MS"},
    {"timeout", 0, 0, G_OPTION_ARG_INT64, &qm_migrate_options.timeout,
     "Time for the memory, 600 by default; then --on-timeout", "SECONDS"},
    {"on-timeout", 0, 0, G_OPTION_ARG_STRING, &qm_migrate_options.on_timeout,
     "abort (default), throttle or postcopy", "POLICY"},
    {"compress", 0, 0, G_OPTION_ARG_STRING, &qm_migrate_options.compress,
     "Channels of the memory: auto (default), none or zstd", "HOW"},
    CLI_FLAG("dry-run",
             qm_migrate_options.dry_run,
             "Only say what would fail, and how it would be done"),
    CLI_OUTPUT_FORMAT_OPTION,
    {0},
};

static GOptionEntry cancel_options[] = {SOCKET_OPTION, CLI_OUTPUT_FORMAT_OPTION, {0}};

static GOptionEntry list_options[] = {
    SOCKET_OPTION,
    {"metrics", 0, 0, G_OPTION_ARG_NONE, &qm_migrate_options.metrics,
     "Counters of the agent as Prometheus text", NULL},
    CLI_OUTPUT_FORMAT_OPTION,
    {0},
};

const CliVerb qm_migrate_verbs[] = {
    {"migrate", "VMID TARGET", "Move a guest to another node", 2, 2, migrate_options, qm_migrate},
    {"migrate-cancel", "VMID", "Stop the move of a guest away from this node", 1, 1, cancel_options,
     qm_migrate_cancel},
    {"migrations", "", "Show the moves from and to this node", 0, 0, list_options, qm_migrations},
    {0},
};
