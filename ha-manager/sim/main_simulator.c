/* SPDX-License-Identifier: Apache-2.0 */
/* ha-simulator: the HA core on a cluster that exists in memory only. See ha-simulator(8). */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/sim/hasim_check.h"
#include "ha-manager/sim/hasim_hardware.h"
#include "ha-manager/sim/hasim_scenario.h"
#include "ha-manager/sim/hasim_shell.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Options {
    char *scenario;
    char *rules;
    char *fence;
    gboolean interactive;
    gboolean documented;
    gboolean improved;
    gboolean plain;
    gboolean version;
} Options;

static int fail(const char *what, const Err *err)
{
    fprintf(stderr, "ha-simulator: %s: %s\n", what, err_text(err));
    return EXIT_FAILURE;
}

static void
print_line(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    size_t len = strlen(text);

    (void)ctx;
    if (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    printf("%-5s %5d %12s: %.*s\n", level, (int)time, source, (int)len, text);
}

static int run_scenario(const char *dir, bool improved)
{
    g_autoptr(HaSimWorld) w = hasim_world_new(print_line, NULL);
    g_autoptr(GPtrArray) lists = NULL;
    Err err = ERR_INIT;

    if (improved) {
        w->conduct = ha_conduct_improved;
    }
    if (hasim_scenario_load(w, dir, &lists, &err) < 0 || hasim_hardware_run(w, lists, &err) < 0) {
        (void)fflush(stdout);
        return fail(dir, &err);
    }
    return EXIT_SUCCESS;
}

static int read_file(const char *path, char **ret_text, Err *err)
{
    g_autoptr(GError) gerr = NULL;
    gsize len;

    if (!g_file_get_contents(path, ret_text, &len, &gerr)) {
        return err_setf(err, -1, "%s", gerr->message);
    }
    if (len > HA_TEXT_MAX || strlen(*ret_text) != len) {
        return err_setf(err, -1, "too large or not a text");
    }
    return 0;
}

static int check_file(const char *path, bool rules)
{
    g_autofree char *text = NULL;
    g_autofree char *report = NULL;
    Err err = ERR_INIT;
    int r = read_file(path, &text, &err);

    if (r == 0 && rules) {
        r = hasim_check_rules(text, &report, &err);
    } else if (r == 0) {
        report = hasim_check_fence(text, path);
    }
    if (r < 0) {
        return fail(path, &err);
    }
    printf("%s", report);
    return EXIT_SUCCESS;
}

static int run_shell(const Options *o, int argc, char **argv)
{
    HaSimShellOptions shell = {
        .dir = argc > 1 ? argv[1] : NULL, .plain = o->plain, .documented = o->documented};
    Err err = ERR_INIT;

    if (hasim_shell_run(&shell, &err) < 0) {
        (void)fflush(stdout);
        return fail(shell.dir != NULL ? shell.dir : "interactive", &err);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    Options o = {0};
    const GOptionEntry entries[] = {
        {"scenario", 0, 0, G_OPTION_ARG_FILENAME, &o.scenario, "Replay a scenario", "DIR"},
        {"check-rules", 0, 0, G_OPTION_ARG_FILENAME, &o.rules, "Check a rules.cfg", "FILE"},
        {"check-fence", 0, 0, G_OPTION_ARG_FILENAME, &o.fence, "Check a fence.cfg", "FILE"},
        {"interactive", 'i', 0, G_OPTION_ARG_NONE, &o.interactive, "Take commands (default)", NULL},
        {"documented", 0, 0, G_OPTION_ARG_NONE, &o.documented, "Strictly documented conduct", NULL},
        {"improved", 0, 0, G_OPTION_ARG_NONE, &o.improved, "Scenario with our own conduct", NULL},
        {"plain", 0, 0, G_OPTION_ARG_NONE, &o.plain, "Print the log, draw no view", NULL},
        {"version", 'V', 0, G_OPTION_ARG_NONE, &o.version, "Print the version", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("[DIR] - try out high availability");
    g_autoptr(GError) gerr = NULL;
    int r;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerr)) {
        fprintf(stderr, "ha-simulator: %s\n", gerr->message);
        return EXIT_FAILURE;
    }
    if (o.version) {
        printf("ha-simulator (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        r = EXIT_SUCCESS;
    } else if (o.rules != NULL) {
        r = check_file(o.rules, true);
    } else if (o.fence != NULL) {
        r = check_file(o.fence, false);
    } else if (o.scenario != NULL) {
        r = run_scenario(o.scenario, o.improved);
    } else {
        r = run_shell(&o, argc, argv);
    }
    g_free(o.scenario);
    g_free(o.rules);
    g_free(o.fence);
    return r;
}
