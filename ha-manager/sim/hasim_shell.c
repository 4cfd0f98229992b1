/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_shell.h"

#include "ha-manager/sim/hasim_hardware.h"
#include "ha-manager/sim/hasim_scenario.h"
#include "ha-manager/sim/hasim_view.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define LOG_KEPT       1000
#define LOG_SHOWN      14
#define ROUNDS_MAX     10000
#define TICK_MS        1000 /* real time between rounds while time runs by itself */

typedef struct Shell {
    HaSimWorld *w;
    HaSimSchedule sched;
    GQueue log; /* char *, newest last */
    bool plain;
    bool going; /* time runs by itself */
    bool done;
    bool failed;  /* some command made no sense */
    char *answer; /* of the last command, shown below the view */
} Shell;

static const char shell_help[] = "cut NODE...           take the network from these nodes\n"
                                 "heal                  power and network for all nodes\n"
                                 "run [ROUNDS]          let rounds pass; an empty line is one\n"
                                 "go, pause             let time run by itself, or not\n"
                                 "show                  nodes and services\n"
                                 "log [LINES]           the last lines of the log\n"
                                 "help                  this\n"
                                 "quit                  the end\n";

static void
keep_line(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    Shell *s = ctx;
    char *line = g_strdup_printf("%-5s %5d %12s: %s", level, (int)time, source, text);

    if (s->plain) {
        printf("%s\n", line);
    }
    g_queue_push_tail(&s->log, line);
    if (s->log.length > LOG_KEPT) {
        g_free(g_queue_pop_head(&s->log));
    }
}

static void __attribute__((format(printf, 2, 3))) answer(Shell *s, const char *fmt, ...)
{
    va_list ap;

    g_free(s->answer);
    va_start(ap, fmt);
    s->answer = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (s->plain) {
        printf("%s\n", s->answer);
    }
}

static void append_log(const Shell *s, GString *out, guint n)
{
    guint skip = s->log.length > n ? s->log.length - n : 0;

    for (const GList *l = s->log.head; l != NULL; l = l->next) {
        if (skip > 0) {
            skip--;
        } else {
            g_string_append_printf(out, "%s\n", (const char *)l->data);
        }
    }
}

/* Draws over what is there; what is being typed stays where it is. */
static void draw(const Shell *s, bool fresh)
{
    g_autofree char *view = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    if (s->plain) {
        return;
    }
    view = hasim_view(s->w);
    g_string_append(out, view);
    g_string_append_c(out, '\n');
    append_log(s, out, LOG_SHOWN);
    g_string_append_printf(out, "\n%s\n", s->answer != NULL ? s->answer : "");
    lines = g_strsplit(out->str, "\n", -1);
    printf(fresh ? "\033[2J\033[H" : "\0337\033[H");
    for (size_t i = 0; lines[i] != NULL && lines[i + 1] != NULL; i++) {
        printf("%s\033[K\n", lines[i]);
    }
    if (fresh) {
        printf("%s> ", s->going ? "" : "[paused] ");
    } else {
        printf("\0338");
    }
    (void)fflush(stdout);
}

static int pass(Shell *s, guint64 rounds, Err *err)
{
    for (guint64 i = 0; i < rounds; i++) {
        int r = hasim_hardware_loop(s->w, &s->sched, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static void set_network(Shell *s, const char *node, bool on)
{
    g_autofree char *cmd = g_strdup_printf("network %s %s", node, on ? "on" : "off");
    Err why = ERR_INIT;

    if (hasim_command_run(s->w, &s->sched, cmd, "cmdlist", &why) < 0) {
        s->failed = true;
        answer(s, "%s", err_text(&why));
    }
}

static void heal(Shell *s)
{
    for (guint i = 0; i < strmap_size(s->w->nodes); i++) {
        g_autofree char *cmd = g_strdup_printf("power %s on", strmap_key(s->w->nodes, i));

        if (hasim_command_run(s->w, &s->sched, cmd, "cmdlist", NULL) < 0) {
            s->failed = true; /* cannot be: the node is known */
        }
    }
}

static void show_log(Shell *s, const char *count)
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint64 n = LOG_SHOWN;

    (void)g_ascii_string_to_unsigned(count, 10, 1, LOG_KEPT, &n, NULL); /* else the default */
    append_log(s, out, (guint)n);
    answer(s, "%s", out->str);
}

/* A command of the shell itself; 1: not one of these. */
static int own_command(Shell *s, char **word, Err *err)
{
    guint64 rounds = 1;

    if (strcmp(word[0], "quit") == 0 || strcmp(word[0], "exit") == 0) {
        s->done = true;
    } else if (strcmp(word[0], "go") == 0 || strcmp(word[0], "pause") == 0) {
        s->going = word[0][0] == 'g';
        answer(s, "%s", s->going ? "time runs" : "time stands still");
    } else if (strcmp(word[0], "run") == 0 || g_ascii_isdigit(word[0][0])) {
        const char *n = g_ascii_isdigit(word[0][0]) ? word[0] : word[1];

        if (n != NULL && !g_ascii_string_to_unsigned(n, 10, 1, ROUNDS_MAX, &rounds, NULL)) {
            return err_setf(err, -EINVAL, "run: '%s' is not a number up to %d", n, ROUNDS_MAX);
        }
        return pass(s, rounds, err);
    } else if (strcmp(word[0], "show") == 0) {
        g_autofree char *view = hasim_view(s->w);

        answer(s, "%s", s->plain ? view : "");
    } else if (strcmp(word[0], "log") == 0) {
        show_log(s, word[1] != NULL ? word[1] : "");
    } else if (strcmp(word[0], "cut") == 0) {
        for (size_t i = 1; word[i] != NULL; i++) {
            set_network(s, word[i], false);
        }
    } else if (strcmp(word[0], "heal") == 0) {
        heal(s);
    } else if (strcmp(word[0], "help") == 0 || strcmp(word[0], "?") == 0) {
        answer(s, "%s%s", hasim_command_help(), shell_help);
    } else {
        return 1;
    }
    return 0;
}

static void take_line(Shell *s, char *line)
{
    g_auto(GStrv) word = NULL;
    Err why = ERR_INIT;
    int r;

    g_clear_pointer(&s->answer, g_free);
    g_strstrip(line);
    if (line[0] == '#') {
        return;
    }
    word = g_strsplit_set(line[0] != '\0' ? line : "run", " \t", -1);
    r = own_command(s, word, &why);
    if (r == 1) {
        r = hasim_command_run(s->w, &s->sched, line, "cmdlist", &why);
    }
    if (r < 0) {
        s->failed = true;
        answer(s, "%s", err_text(&why));
    }
}

static void start_node(HaSimWorld *w, HaSimSchedule *sched, const char *name)
{
    g_autofree char *cmd = g_strdup_printf("power %s on", name);

    if (hasim_command_run(w, sched, cmd, "cmdlist", NULL) < 0) {
        return; /* cannot be: the node is known */
    }
}

/* Something to play with. */
static void make_cluster(HaSimWorld *w)
{
    static const char resources[] =
        "vm: 101\n\tstate started\n\nvm: 102\n\tstate started\n\nvm: 103\n\tstate started\n\n"
        "ct: 104\n\tstate started\n";
    static const struct {
        const char *sid;
        const char *node;
    } guests[] = {
        {"vm:101", "node1"}, {"vm:102", "node2"}, {"vm:103", "node3"}, {"ct:104", "node3"}};

    for (int i = 1; i <= 3; i++) {
        g_autofree char *name = g_strdup_printf("node%d", i);

        hasim_world_add_node(w, name);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(guests); i++) {
        hasim_world_add_guest(w, guests[i].sid, guests[i].node);
    }
    hasim_world_set_file(w, HA_FILE_RESOURCES, resources);
}

/* Waits for a line; while time runs by itself, rounds pass meanwhile. */
static int wait_for_input(Shell *s, Err *err)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    while (s->going && poll(&in, 1, TICK_MS) == 0) {
        int r = pass(s, 1, err);

        if (r < 0) {
            return r;
        }
        draw(s, false);
    }
    return 0;
}

static int loop(Shell *s, Err *err)
{
    char line[LINE_MAX_BYTES];
    int r;

    /* Lines are read one at a time, so that poll sees what is left to read. */
    (void)setvbuf(stdin, NULL, _IONBF, 0);
    draw(s, true);
    for (;;) {
        r = wait_for_input(s, err);
        if (r < 0 || fgets(line, sizeof line, stdin) == NULL) {
            return r;
        }
        take_line(s, line);
        if (s->done) {
            return 0;
        }
        draw(s, true);
    }
}

int hasim_shell_run(const HaSimShellOptions *o, Err *err)
{
    Shell s = {.plain = o->plain || !isatty(STDOUT_FILENO)};
    g_autoptr(HaSimWorld) w = hasim_world_new(keep_line, &s);
    int r = 0;

    g_queue_init(&s.log);
    s.w = w;
    s.going = !s.plain && isatty(STDIN_FILENO);
    if (!o->documented) {
        w->conduct = ha_conduct_improved;
    }
    if (o->dir != NULL) {
        r = hasim_scenario_load(w, o->dir, NULL, err);
    } else {
        make_cluster(w);
    }
    for (guint i = 0; r == 0 && i < strmap_size(w->nodes); i++) {
        start_node(w, &s.sched, strmap_key(w->nodes, i));
    }
    if (r == 0) {
        r = pass(&s, 3, err);
    }
    if (r == 0) {
        r = loop(&s, err);
    }
    if (r == 0 && s.failed && s.plain) {
        r = err_setf(err, -EINVAL, "some command failed");
    }
    g_queue_clear_full(&s.log, g_free);
    g_free(s.answer);
    return r;
}
