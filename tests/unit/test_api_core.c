/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: requests find their daemon, and guessing secrets gets slow without hurting anybody else. */
#include "api/core/api_format.h"
#include "api/core/api_guard.h"
#include "api/core/api_ignored.h"
#include "api/core/api_route.h"
#include "api/core/cluster_view.h"

#include <glib.h>
#include <string.h>

static void routes_match_whole_components(void)
{
    g_assert_nonnull(api_route_find("/api2/json/cluster/config"));
    g_assert_nonnull(api_route_find("/api2/json/cluster/config/join2"));
    g_assert_null(api_route_find("/api2/json/cluster/configuration"));
    g_assert_null(api_route_find("/api2/json/nodesandmore"));
    g_assert_null(api_route_find("/cluster/config"));
    g_assert_null(api_route_find("/api2/json"));
}

static void expect_envelope(uint32_t status, const char *body, const char *want)
{
    g_auto(ApiAnswer) a = {.status = status, .body = g_bytes_new(body, strlen(body))};

    api_format_answer(API_FORMAT_EXTJS, &a);
    g_assert_cmpuint(a.status, ==, 200);
    g_assert_cmpmem(g_bytes_get_data(a.body, NULL), g_bytes_get_size(a.body), want, strlen(want));
}

static void the_path_names_the_format(void)
{
    static const struct {
        const char *path, *want;
        ApiFormat format;
    } cases[] = {
        {"/api2/json/version", "/api2/json/version", API_FORMAT_JSON},
        {"/api2/extjs/version", "/api2/json/version", API_FORMAT_EXTJS},
        {"/api2/extjs", "/api2/json", API_FORMAT_EXTJS},
        {"/api2/extjsx/version", "/api2/extjsx/version", API_FORMAT_JSON},
        {"/api2/html/version", "/api2/html/version", API_FORMAT_JSON},
        {"", "", API_FORMAT_JSON},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        ApiFormat format = API_FORMAT_JSON;
        g_autofree char *path = api_format_path(cases[i].path, &format);

        g_assert_cmpstr(path, ==, cases[i].want);
        g_assert_cmpint(format, ==, cases[i].format);
    }
}

static void extjs_tells_success_and_failure_in_the_body(void)
{
    g_auto(ApiAnswer) json = {.status = 400, .body = g_bytes_new("{\"data\":null}", 13)};

    expect_envelope(200, "{\"data\":[1]}", "{\"success\":1,\"data\":[1]}");
    expect_envelope(403, "{\"data\":null,\"message\":\"no\"}",
                    "{\"success\":0,\"status\":403,\"data\":null,\"message\":\"no\"}");
    expect_envelope(200, "{}", "{\"success\":1 }");
    api_format_answer(API_FORMAT_JSON, &json);
    g_assert_cmpuint(json.status, ==, 400);
    g_assert_cmpuint(g_bytes_get_size(json.body), ==, 13);
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

/* ---- the cluster as a whole -------------------------------------------------------------------
 */

static JsonTree *tree_of(const char *text)
{
    JsonTree *t = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(jsontree_parse(text, strlen(text), &t, &err), ==, 0);
    return t;
}

static bool sees(void *ctx, const char *kind, const char *id)
{
    return ctx == NULL || (strcmp(kind, "node") == 0 ? FALSE : strcmp(id, ctx) == 0);
}

static void expect_view(JsonTree *view, const char *want)
{
    g_autoptr(GString) out = g_string_new(NULL);

    jsontree_append(out, view);
    g_assert_cmpstr(out->str, ==, want);
    jsontree_free(view);
}

static void the_cluster_is_told_from_the_tree(void)
{
    static const char rrd[] =
        "pve-node-9.0/n1:100::1764345600:0.5:4:0.25:0:8000:2000:0:0:900:300:1:2\n"
        "pve-node-9.0/n2:99:\n"
        "pve2.3-vm/100:7:web:running:0:1764345600:2:0.5:512:U:10:0:1:2:3:4\n"
        "pve-vm-9.0/101:0:mail:stopped:1:1764345600:4:U:512:U:10:0:U:U:U:U:9:U:U:U:U:U:U\n"
        "pve-storage-9.0/n1/local:1764345600:900:300\n"
        "garbage\n";
    g_autoptr(JsonTree) members =
        tree_of("{\"nodename\":\"n1\",\"version\":5,\"cluster\":{\"name\":\"lab\",\"version\":3,"
                "\"nodes\":2,\"quorate\":1},\"nodelist\":{\"n1\":{\"id\":1,\"online\":1,"
                "\"ip\":\"10.0.0.1\"},\"n2\":{\"id\":2,\"online\":0}}}");
    g_autoptr(JsonTree) vmlist =
        tree_of("{\"version\":1,\"ids\":{\"100\":{\"node\":\"n1\",\"type\":\"qemu\"},"
                "\"101\":{\"node\":\"n1\",\"type\":\"qemu\"},"
                "\"200\":{\"node\":\"n2\",\"type\":\"lxc\"}}}");
    ClusterFacts f = {.node = "n1",
                      .members = members,
                      .vmlist = vmlist,
                      .rrd = cluster_view_rrd(rrd, sizeof rrd - 1)};

    expect_view(cluster_view_status(&f),
                "[{\"id\":\"cluster\",\"type\":\"cluster\",\"name\":\"lab\",\"version\":3,"
                "\"nodes\":2,\"quorate\":1},"
                "{\"id\":\"node/n1\",\"type\":\"node\",\"name\":\"n1\",\"nodeid\":1,"
                "\"ip\":\"10.0.0.1\",\"local\":1,\"online\":1,\"level\":\"\"},"
                "{\"id\":\"node/n2\",\"type\":\"node\",\"name\":\"n2\",\"nodeid\":2,"
                "\"local\":0,\"online\":0,\"level\":\"\"}]");
    expect_view(cluster_view_nodes(&f, sees, NULL),
                "[{\"id\":\"node/n1\",\"node\":\"n1\",\"type\":\"node\",\"status\":\"online\","
                "\"uptime\":100,\"maxcpu\":4,\"cpu\":0.25,\"maxmem\":8000,\"mem\":2000,"
                "\"maxdisk\":900,\"disk\":300,\"level\":\"\"},"
                "{\"id\":\"node/n2\",\"node\":\"n2\",\"type\":\"node\",\"status\":\"offline\"}]");
    expect_view(cluster_view_resources(&f, "vm", sees, (void *)"100"),
                "[{\"id\":\"qemu/100\",\"type\":\"qemu\",\"vmid\":100,\"node\":\"n1\","
                "\"status\":\"running\",\"template\":0,\"uptime\":7,\"name\":\"web\","
                "\"maxcpu\":2,\"cpu\":0.5,\"maxmem\":512,\"maxdisk\":10,\"disk\":0,\"netin\":1,"
                "\"netout\":2,\"diskread\":3,\"diskwrite\":4}]");
    expect_view(cluster_view_resources(&f, "vm", sees, (void *)"101"),
                "[{\"id\":\"qemu/101\",\"type\":\"qemu\",\"vmid\":101,\"node\":\"n1\","
                "\"status\":\"stopped\",\"template\":1,\"uptime\":0,\"name\":\"mail\","
                "\"maxcpu\":4,\"maxmem\":512,\"maxdisk\":10,\"disk\":0,\"memhost\":9}]");
    expect_view(cluster_view_resources(&f, "storage", sees, NULL),
                "[{\"id\":\"storage/n1/local\",\"type\":\"storage\",\"storage\":\"local\","
                "\"node\":\"n1\",\"status\":\"available\",\"maxdisk\":900,\"disk\":300}]");
    g_hash_table_unref(f.rrd);
}

static void without_a_cluster_there_is_this_node(void)
{
    g_autoptr(JsonTree) members = tree_of("{\"nodename\":\"n1\",\"version\":0}");
    ClusterFacts f = {.node = "n1", .address = "10.0.0.1", .members = members};

    expect_view(cluster_view_status(&f),
                "[{\"id\":\"node/n1\",\"type\":\"node\",\"name\":\"n1\",\"nodeid\":0,"
                "\"ip\":\"10.0.0.1\",\"local\":1,\"online\":1,\"level\":\"\"}]");
    expect_view(cluster_view_nodes(&f, sees, NULL),
                "[{\"id\":\"node/n1\",\"node\":\"n1\",\"type\":\"node\",\"status\":\"online\"}]");
}

static void bodies_are_forms_or_json(void)
{
    static const struct {
        const char *type;
        bool readable;
    } cases[] = {
        {NULL, true},
        {"", true},
        {"application/json", true},
        {"Application/JSON;charset=UTF-8", true},
        {"application/x-www-form-urlencoded ; charset=UTF-8", true},
        {"text/plain", false},
        {"multipart/form-data; boundary=x", false},
        {"application/jsonx", false},
        {"application", false},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(api_format_readable(cases[i].type), ==, cases[i].readable);
    }
}

static void settings_without_effect_are_named(void)
{
    static const char text[] = "# ALLOW_FROM=\"10.0.0.0/8\"\n ALLOW_FROM=\"10.0.0.0/8\"\r\n"
                               "POLICY=deny\n=x\nlower=1\nTWO WORDS=1\n\nTLS_1_2=";
    g_autofree char *keys = api_ignored_keys(text);

    g_assert_cmpstr(keys, ==, "ALLOW_FROM, POLICY, TLS_1_2");
    g_assert_null(api_ignored_keys(""));
    g_assert_null(api_ignored_keys("# nothing\n\n"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/api/routes-match-whole-components", routes_match_whole_components);
    g_test_add_func("/api/format/path", the_path_names_the_format);
    g_test_add_func("/api/ignored", settings_without_effect_are_named);
    g_test_add_func("/api/format/readable", bodies_are_forms_or_json);
    g_test_add_func("/api/format/extjs", extjs_tells_success_and_failure_in_the_body);
    g_test_add_func("/api/guard/failures-cost-time", failures_cost_time_and_success_forgets);
    g_test_add_func("/api/guard/memory-is-bounded", memory_is_bounded);
    g_test_add_func("/api/the-cluster-is-told-from-the-tree", the_cluster_is_told_from_the_tree);
    g_test_add_func("/api/without-a-cluster-there-is-this-node",
                    without_a_cluster_there_is_this_node);
    return g_test_run();
}
