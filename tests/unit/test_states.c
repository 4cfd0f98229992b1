/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the drawings of the replica's states are those of the code. Method: each table is made from
 * the functions that rule the transitions and looked for in its page of docs/states; what a page
 * lacks is printed so that it can be put there.
 */
#include "pmxcfs/core/dfsm.h"
#include "pmxcfs/core/native.h"

#include <string.h>

static void check_page(const char *name, const char *table)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "docs", "states", name, NULL);
    g_autofree char *page = NULL;

    g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
    if (strstr(page, table) == NULL) {
        g_test_message("docs/states/%s must hold\n%s", name, table);
        g_test_fail();
    }
}

static void dfsm_modes(void)
{
    g_autoptr(GString) t = g_string_new("| from \\ to |");

    for (int to = 0; to < GROUP_MODE_N; to++) {
        g_string_append_printf(t, " %s |", group_mode_name((GroupMode)to));
    }
    g_string_append(t, "\n|---|");
    for (int to = 0; to < GROUP_MODE_N; to++) {
        g_string_append(t, "---|");
    }
    for (int from = 0; from < GROUP_MODE_N; from++) {
        g_string_append_printf(t, "\n| %s |", group_mode_name((GroupMode)from));
        for (int to = 0; to < GROUP_MODE_N; to++) {
            g_string_append(t,
                            dfsm_mode_allowed((GroupMode)from, (GroupMode)to) ? " yes |" : "  |");
        }
    }
    g_string_append_c(t, '\n');
    check_page("dfsm.md", t->str);
}

static void dfsm_reactions(void)
{
    g_autoptr(GString) t = g_string_new("| mode |");

    for (int type = 0; type <= WIRE_DFSM_TYPE_N; type++) {
        const char *name = wire_dfsm_type_name((WireDfsmType)type);

        g_string_append_printf(t, " %s |", name != NULL ? name : "unknown");
    }
    g_string_append(t, "\n|---|");
    for (int type = 0; type <= WIRE_DFSM_TYPE_N; type++) {
        g_string_append(t, "---|");
    }
    for (int mode = 0; mode < GROUP_MODE_N; mode++) {
        g_string_append_printf(t, "\n| %s |", group_mode_name((GroupMode)mode));
        for (int type = 0; type <= WIRE_DFSM_TYPE_N; type++) {
            g_string_append_printf(
                t, " %s |", dfsm_reaction_name(dfsm_reaction((GroupMode)mode, (WireDfsmType)type)));
        }
    }
    g_string_append_c(t, '\n');
    check_page("dfsm.md", t->str);
}

static void native_phases(void)
{
    g_autoptr(GString) t = g_string_new("```\n");

    for (int from = 0; from < NATIVE_PHASE_N; from++) {
        g_string_append_printf(t, "%-10s ->", native_phase_name((NativePhase)from));
        for (int to = 0; to < NATIVE_PHASE_N; to++) {
            if (native_phase_allowed((NativePhase)from, (NativePhase)to)) {
                g_string_append_printf(t, " %s,", native_phase_name((NativePhase)to));
            }
        }
        g_string_truncate(t, t->len - 1);
        g_string_append_c(t, '\n');
    }
    g_string_append(t, "```\n");
    check_page("native.md", t->str);
}

/* From everywhere a new view or the loss of the group leads back to the begin. */
static void no_native_phase_is_a_dead_end(void)
{
    for (int from = 0; from < NATIVE_PHASE_N; from++) {
        g_assert_true(native_phase_allowed((NativePhase)from, NATIVE_PHASE_WAITING));
        g_assert_true(native_phase_allowed((NativePhase)from, NATIVE_PHASE_DOCUMENTED));
        g_assert_true(native_phase_allowed((NativePhase)from, NATIVE_PHASE_COLLECTING));
    }
    g_assert_false(native_phase_allowed(NATIVE_PHASE_COLLECTING, NATIVE_PHASE_ACTIVE));
    g_assert_false(native_phase_allowed(NATIVE_PHASE_WAITING, NATIVE_PHASE_ACTIVE));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/states/dfsm-modes", dfsm_modes);
    g_test_add_func("/states/dfsm-reactions", dfsm_reactions);
    g_test_add_func("/states/native-phases", native_phases);
    g_test_add_func("/states/no-native-phase-is-a-dead-end", no_native_phase_is_a_dead_end);
    return g_test_run();
}
