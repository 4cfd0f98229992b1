/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: requests find their daemon, and guessing secrets gets slow without hurting anybody else. */
#include "api/core/api_guard.h"
#include "api/core/api_route.h"

#include <glib.h>

static void routes_match_whole_components(void)
{
    g_assert_nonnull(api_route_find("/api2/json/cluster/config"));
    g_assert_nonnull(api_route_find("/api2/json/cluster/config/join2"));
    g_assert_null(api_route_find("/api2/json/cluster/configuration"));
    g_assert_null(api_route_find("/api2/json/nodesandmore"));
    g_assert_null(api_route_find("/cluster/config"));
    g_assert_null(api_route_find("/api2/json"));
}

static void failures_cost_time_and_success_forgets(void)
{
    ApiGuard *g = api_guard_new();
    MonoTime t = {0};

    for (unsigned i = 1; i <= API_GUARD_FREE; i++) {
        g_assert_cmpuint(api_guard_result(g, "a", false, t), ==, i);
        g_assert_cmpint(api_guard_wait_ms(g, "a", t), ==, 0);
    }
    (void)api_guard_result(g, "a", false, t);
    g_assert_cmpint(api_guard_wait_ms(g, "a", t), ==, 1000);
    g_assert_cmpint(api_guard_wait_ms(g, "b", t), ==, 0);
    t = mono_add_ms(t, 1000);
    g_assert_cmpint(api_guard_wait_ms(g, "a", t), ==, 0);
    for (int i = 0; i < 100; i++) {
        (void)api_guard_result(g, "a", false, t);
    }
    g_assert_cmpint(api_guard_wait_ms(g, "a", t), ==, API_GUARD_MAX_MS);
    g_assert_cmpuint(api_guard_result(g, "a", true, t), ==, 0);
    g_assert_cmpint(api_guard_wait_ms(g, "a", t), ==, 0);
    api_guard_free(g);
}

static void memory_is_bounded(void)
{
    ApiGuard *g = api_guard_new();

    for (int round = 0; round < 5; round++) {
        (void)api_guard_result(g, "keeper", false, (MonoTime){1});
    }
    for (unsigned i = 0; i < API_GUARD_PEERS_MAX + 100; i++) {
        g_autofree char *peer = g_strdup_printf("p%u", i);

        (void)api_guard_result(g, peer, false, (MonoTime){2 + i});
    }
    g_assert_cmpint(api_guard_wait_ms(g, "keeper", (MonoTime){2}), ==, 0); /* quietest: forgotten */
    api_guard_free(g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/api/routes-match-whole-components", routes_match_whole_components);
    g_test_add_func("/api/guard/failures-cost-time", failures_cost_time_and_success_forgets);
    g_test_add_func("/api/guard/memory-is-bounded", memory_is_bounded);
    return g_test_run();
}
