/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: CRM and LRM decide as documented, in order, to the line. Method: scenarios are replayed by
 * the simulator in this process and its log is compared with log.expect beside them: our own bank
 * in tests/sim/scenarios/ha, what we do better in ha-improved beside it, and, where it is found,
 * the shared reference data. */
#include "ha-manager/sim/hasim_hardware.h"
#include "ha-manager/sim/hasim_scenario.h"

#include <glib.h>
#include <string.h>

static void
collect(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    g_string_append_printf(ctx, "%-5s %5d %12s: %s\n", level, (int)time, source, text);
}

static char *replay(const char *dir, bool improved)
{
    GString *log = g_string_new(NULL);
    g_autoptr(HaSimWorld) w = hasim_world_new(collect, log);
    g_autoptr(GPtrArray) lists = NULL;
    Err err = ERR_INIT;

    if (improved) {
        w->conduct = ha_conduct_improved;
    }
    if (hasim_scenario_load(w, dir, &lists, &err) < 0 || hasim_hardware_run(w, lists, &err) < 0) {
        g_string_append_printf(log, "ended with: %s\n", err_text(&err));
    }
    return g_string_free(log, FALSE);
}

/* Says where the two differ first. */
static void compare(const char *expected, const char *got)
{
    g_auto(GStrv) e = g_strsplit(expected, "\n", -1);
    g_auto(GStrv) g = g_strsplit(got, "\n", -1);

    for (size_t i = 0; e[i] != NULL || g[i] != NULL; i++) {
        if (e[i] == NULL || g[i] == NULL || strcmp(e[i], g[i]) != 0) {
            g_test_message("line %zu\n expected: %s\n      got: %s", i + 1,
                           e[i] != NULL ? e[i] : "(end)", g[i] != NULL ? g[i] : "(end)");
            g_test_fail();
            return;
        }
    }
}

static void scenario(gconstpointer data)
{
    const char *dir = data;
    g_autofree char *path = g_build_filename(dir, "log.expect", NULL);
    g_autofree char *expected = NULL;
    g_autofree char *got = NULL;

    if (!g_file_get_contents(path, &expected, NULL, NULL)) {
        g_test_message("%s cannot be read", path);
        g_test_fail();
        return;
    }
    got = replay(dir, strstr(dir, "/ha-improved/") != NULL);
    compare(expected, got);
}

/* One case per folder; the number of folders. */
static guint add_folder(const char *prefix, const char *base)
{
    GDir *dir = g_dir_open(base, 0, NULL);
    const char *name;
    guint n = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(base, name, "cmdlist", NULL);
        g_autofree char *test = g_strdup_printf("/ha/scenario/%s/%s", prefix, name);

        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            g_test_add_data_func_full(test, g_build_filename(base, name, NULL), scenario, g_free);
            n++;
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
    return n;
}

static void no_shared_data(void)
{
    g_test_skip("no reference scenarios: QUORATE_SHARED/ha-scenarios is not there");
}

static void there_are_scenarios_of_our_own(gconstpointer count)
{
    g_assert_cmpuint(GPOINTER_TO_UINT(count), >, 10);
}

int main(int argc, char **argv)
{
    g_autofree char *own = NULL;
    g_autofree char *better = NULL;
    g_autofree char *shared = NULL;
    const char *root;
    guint n;

    g_test_init(&argc, &argv, NULL);
    own = g_test_build_filename(G_TEST_DIST, "sim", "scenarios", "ha", NULL);
    n = add_folder("own", own);
    better = g_test_build_filename(G_TEST_DIST, "sim", "scenarios", "ha-improved", NULL);
    n += add_folder("improved", better);
    g_test_add_data_func("/ha/scenario/bank-is-found", GUINT_TO_POINTER(n),
                         there_are_scenarios_of_our_own);
    root = g_getenv("QUORATE_SHARED");
    shared = g_build_filename(root != NULL ? root : "shared", "ha-scenarios", NULL);
    if (add_folder("reference", shared) == 0) {
        g_test_add_func("/ha/scenario/reference", no_shared_data);
    }
    return g_test_run();
}
