/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: docs/states/ha.md draws the states of the code. Method: the names on the left of its lists
 * of changes are those of ha_names.h, in their order; every change of state in the expected logs of
 * the scenario banks, which other tests hold to what the code does, is in those lists.
 */
#include "ha-manager/core/ha_names.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

static char *page; /* docs/states/ha.md */

static void check_names(const char *kind, const char *(*name)(int), int n)
{
    const char *from = page;

    for (int i = 0; i < n; i++) {
        g_autofree char *begin = g_strdup_printf("\n%s %s -> ", kind, name(i));
        g_autofree char *row = g_strdup_printf("\n| %s | ", name(i));
        const char *at = strstr(from, begin);

        if (strstr(page, row) == NULL) {
            g_test_message("docs/states/ha.md lacks a row for %s %s", kind, name(i));
            g_test_fail();
        }
        if (at == NULL) {
            g_test_message("docs/states/ha.md lacks a line '%s', or has it elsewhere", begin + 1);
            g_test_fail();
            return;
        }
        from = at;
    }
}

static const char *crm_name(int i)
{
    return ha_crm_state_name((HaCrmState)i);
}

static const char *lrm_name(int i)
{
    return ha_lrm_state_name((HaLrmState)i);
}

static const char *node_name(int i)
{
    return ha_node_state_name((HaNodeState)i);
}

static const char *service_name(int i)
{
    return ha_service_state_name((HaServiceState)i);
}

static void names(void)
{
    check_names("crm", crm_name, HA_CRM_STATE_N);
    check_names("lrm", lrm_name, HA_LRM_STATE_N);
    check_names("node", node_name, HA_NODE_STATE_N);
    check_names("service", service_name, HA_SERVICE_STATE_N);
}

/* The page allows it. */
static bool allowed(const char *kind, const char *from, const char *to)
{
    g_autofree char *begin = g_strdup_printf("\n%s %s -> ", kind, from);
    const char *at = strstr(page, begin);
    g_autofree char *line = NULL;
    g_auto(GStrv) list = NULL;

    if (at == NULL) {
        return false;
    }
    at += strlen(begin);
    line = g_strndup(at, strcspn(at, "\n"));
    list = g_strsplit(line, ", ", -1);
    return g_strv_contains((const char *const *)list, to);
}

/* How a change of each kind looks in a log. */
static const char *const patterns[] = {
    "(?P<kind>service) '[^']+': state changed from '(?P<from>\\w+)' to '(?P<to>\\w+)'",
    "(?P<kind>node) '[^']+': state changed from '(?P<from>\\w+)' => '(?P<to>\\w+)'",
    "/(?P<kind>crm|lrm): status change (?P<from>\\w+) => (?P<to>\\w+)",
};

/* The number of changes in the log. */
static guint check_log(const char *path, const char *pattern)
{
    g_autoptr(GRegex) regex = g_regex_new(pattern, 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_autofree char *log = NULL;
    guint n = 0;

    g_assert_true(g_file_get_contents(path, &log, NULL, NULL));
    (void)g_regex_match(regex, log, 0, &match); /* asked below */
    while (g_match_info_matches(match)) {
        g_autofree char *kind = g_match_info_fetch_named(match, "kind");
        g_autofree char *from = g_match_info_fetch_named(match, "from");
        g_autofree char *to = g_match_info_fetch_named(match, "to");

        if (!allowed(kind, from, to)) {
            g_test_message("%s: docs/states/ha.md lacks %s %s -> %s", path, kind, from, to);
            g_test_fail();
        }
        n++;
        (void)g_match_info_next(match, NULL);
    }
    return n;
}

/* All scenarios of a bank; the number of changes, 0 when there is no such bank. */
static guint check_bank(const char *base, const char *pattern)
{
    GDir *dir = g_dir_open(base, 0, NULL);
    const char *name;
    guint n = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(base, name, "log.expect", NULL);

        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            n += check_log(path, pattern);
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
    return n;
}

static void changes(void)
{
    const char *root = g_getenv("QUORATE_SHARED");
    g_autofree char *shared =
        g_build_filename(root != NULL ? root : "shared", "ha-scenarios", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(patterns); i++) {
        g_autofree char *own = g_test_build_filename(G_TEST_DIST, "sim", "scenarios", "ha", NULL);
        g_autofree char *better =
            g_test_build_filename(G_TEST_DIST, "sim", "scenarios", "ha-improved", NULL);

        g_assert_cmpuint(check_bank(own, patterns[i]), >, 10);
        g_assert_cmpuint(check_bank(better, patterns[i]), >, 0);
        (void)check_bank(shared, patterns[i]); /* where it is found */
    }
}

int main(int argc, char **argv)
{
    g_autofree char *path = NULL;

    g_test_init(&argc, &argv, NULL);
    path = g_test_build_filename(G_TEST_DIST, "..", "docs", "states", "ha.md", NULL);
    g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
    g_test_add_func("/ha/states/names", names);
    g_test_add_func("/ha/states/changes", changes);
    return g_test_run();
}
