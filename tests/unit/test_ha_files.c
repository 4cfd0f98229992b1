/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: status files, settings and resources are read and written as documented; damage is named
 * and contained; the timing table is safe. Method: texts good and bad, round trips, and tables made
 * unsafe on purpose. */
#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_json.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_settings.h"
#include "ha-manager/core/ha_status_cache.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void count(void *ctx, const char *what, const char *why)
{
    g_assert_nonnull(what);
    g_assert_nonnull(why);
    ++*(guint *)ctx;
}

static HaManagerStatus *parse(const char *text, guint *warnings)
{
    HaManagerStatus *ms = NULL;

    *warnings = 0;
    g_assert_cmpint(ha_manager_status_parse(text, count, warnings, &ms, NULL), ==, 0);
    return ms;
}

static const char full_status[] =
    "{\"master_node\":\"n1\",\"timestamp\":1700000000,\"epoch\":3,"
    "\"node_status\":{\"n1\":\"online\",\"n2\":\"fence\"},"
    "\"node_boot\":{\"n1\":\"b-1\"},\"node_lost\":{\"n2\":[0,1699999000,1699999900]},"
    "\"node_request\":{\"n2\":{\"maintenance\":1}},"
    "\"disarm\":{\"mode\":\"ignore\",\"state\":\"disarmed\"},"
    "\"service_status\":{"
    "\"vm:1\":{\"state\":\"started\",\"node\":\"n1\",\"uid\":\"abc\",\"running\":1,"
    "\"failed_nodes\":[\"n2\",\"n3\"],\"maintenance_node\":\"n2\",\"cmd\":[\"migrate\",\"n2\"]},"
    "\"vm:2\":{\"state\":\"migrate\",\"node\":\"n2\",\"target\":\"n1\",\"uid\":\"d\"},"
    "\"vm:3\":{\"state\":\"request_stop\",\"node\":\"n1\",\"timeout\":0,\"uid\":\"e\","
    "\"cmd\":[\"stop\",\"17\"]}}}";

static void manager_status_survives_a_round_trip(void)
{
    guint warnings;
    g_autoptr(HaManagerStatus) ms = parse(full_status, &warnings);
    g_autofree char *text = ha_manager_status_format(ms);
    g_autoptr(HaManagerStatus) again = parse(text, &warnings);
    g_autofree char *text2 = ha_manager_status_format(again);
    const HaService *s = strmap_get(again->services, "vm:1");

    g_assert_cmpuint(warnings, ==, 0);
    g_assert_cmpstr(text2, ==, text);
    g_assert_cmpstr(again->master_node, ==, "n1");
    g_assert_cmpint(again->timestamp, ==, 1700000000);
    g_assert_cmpuint(again->epoch, ==, 3);
    g_assert_true(again->disarm && again->disarmed);
    g_assert_cmpint(again->disarm_mode, ==, HA_DISARM_IGNORE);
    g_assert_true(strmap_has(again->maintenance, "n2"));
    g_assert_cmpstr(strmap_get(again->boots, "n1"), ==, "b-1");
    g_assert_cmpint(((const HaFlaps *)strmap_get(again->flaps, "n2"))->lost[1], ==, 1699999000);
    g_assert_cmpint(ha_manager_status_node(again, "n2"), ==, HA_NODE_FENCE);
    g_assert_cmpint(ha_manager_status_node(again, "n9"), ==, HA_NODE_UNKNOWN);
    g_assert_cmpint(s->pending, ==, HA_PENDING_MIGRATE);
    g_assert_cmpuint(s->failed_nodes->len, ==, 2);
    g_assert_true(s->running);
    s = strmap_get(again->services, "vm:3");
    g_assert_cmpint(s->timeout_s, ==, 0);
    g_assert_cmpint(s->pending_timeout_s, ==, 17);
}

static void questions_about_a_node(void)
{
    guint warnings;
    g_autoptr(HaManagerStatus) ms = parse(full_status, &warnings);

    g_assert_cmpuint(ha_manager_status_active_count(ms, "n1"), ==, 3); /* one is on its way */
    g_assert_cmpuint(ha_manager_status_active_count(ms, "n2"), ==, 1);
    g_assert_cmpuint(ha_manager_status_active_count(ms, "n3"), ==, 0);
    g_assert_true(ha_manager_status_fence_requested(ms, "n2"));
    g_assert_false(ha_manager_status_service_in_fence(ms, "n2"));
    g_assert_false(ha_manager_status_fence_requested(ms, "n1"));
}

static void damaged_entries_are_named_and_left_out(void)
{
    guint warnings;
    g_autoptr(HaManagerStatus) ms =
        parse("{\"timestamp\":\"x\",\"node_status\":{\"n1\":7,\"n2\":\"dreaming\"},"
              "\"service_status\":{\"vm:1\":[],\"vm:2\":{\"state\":\"started\"},"
              "\"vm:3\":{\"state\":\"levitating\",\"node\":\"n1\",\"uid\":5,"
              "\"cmd\":[\"migrate\"],\"failed_nodes\":{}}},"
              "\"node_request\":[],\"disarm\":{\"mode\":\"sing\"}}",
              &warnings);

    g_assert_cmpuint(warnings, ==, 6);
    g_assert_cmpuint(strmap_size(ms->services), ==, 1);
    /* a state from the future is left alone */
    g_assert_cmpint(((HaService *)strmap_get(ms->services, "vm:3"))->state, ==, HA_SERVICE_FREEZE);
    g_assert_cmpint(ha_manager_status_node(ms, "n2"), ==, HA_NODE_UNKNOWN);
    g_assert_true(ms->disarm);
}

static void what_is_no_status_is_refused(void)
{
    static const char *const bad[] = {"{", "[]", "null", "{\"a\":}", "{}1 :1", "{}{}", "\xff\xfe"};
    g_autofree char *deep = g_strnfill(100000, '[');
    HaManagerStatus *ms = NULL;
    HaLrmStatus *ls = NULL;
    JsonObject *o = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(ha_manager_status_parse(bad[i], NULL, NULL, &ms, NULL), <, 0);
        g_assert_cmpint(ha_lrm_status_parse(bad[i], &ls, NULL), <, 0);
    }
    g_assert_cmpint(ha_json_parse_object(deep, &o, NULL), ==, -EBADMSG);
    g_assert_null(ms);
    g_assert_null(ls);
    g_assert_null(o);
}

static int take_epoch_4(HaStatusCache *cache, int timestamp)
{
    char *text = g_strdup_printf("{\"epoch\":4,\"timestamp\":%d}", timestamp);

    return ha_status_cache_take(cache, text, true, NULL);
}

/* Nobody is left who knew the higher epoch but us: who goes on writing holds the manager lock. */
static void master_that_goes_on_is_believed(void)
{
    HaStatusCache cache = {0};

    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":5}"), true, NULL), ==, 0);
    for (int i = 1; i < HA_STATUS_REFUSALS; i++) {
        g_assert_cmpint(take_epoch_4(&cache, i), ==, -ESTALE);
        g_assert_cmpint(take_epoch_4(&cache, i), ==, -ESTALE); /* the same one again: no news */
    }
    /* The master of the higher epoch is still there: counting begins anew. */
    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":5}"), true, NULL), ==, 0);
    for (int i = 1; i < HA_STATUS_REFUSALS; i++) {
        g_assert_cmpint(take_epoch_4(&cache, i), ==, -ESTALE);
    }
    g_assert_cmpint(take_epoch_4(&cache, HA_STATUS_REFUSALS), ==, 0);
    g_assert_cmpuint(cache.ms->epoch, ==, 4);
    ha_status_cache_done(&cache);
}

static void status_of_a_replaced_master_is_refused(void)
{
    HaStatusCache cache = {0};

    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":5}"), true, NULL), ==, 0);
    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":4}"), true, NULL), ==,
                    -ESTALE);
    g_assert_cmpuint(cache.ms->epoch, ==, 5);
    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{"), true, NULL), ==, -EBADMSG);
    g_assert_cmpuint(cache.ms->epoch, ==, 5);
    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":4}"), false, NULL), ==, 0);
    g_assert_cmpint(ha_status_cache_take(&cache, g_strdup("{\"epoch\":6}"), true, NULL), ==, 0);
    g_assert_cmpuint(cache.ms->epoch, ==, 6);
    ha_status_cache_done(&cache);
}

static void lrm_status_survives_a_round_trip(void)
{
    g_autoptr(HaLrmStatus) ls = ha_lrm_status_new();
    g_autoptr(HaLrmStatus) back = NULL;
    g_autoptr(HaLrmStatus) empty = NULL;
    g_autofree char *text = NULL;
    const HaResult *res;

    ls->state = HA_LRM_MAINTENANCE;
    ls->mode = HA_MODE_RESTART;
    ls->boot_id = g_strdup("b");
    ls->guests_stopped = true;
    strmap_set(ls->results, "uid\"1", ha_result_new("vm:1", "started", 3));
    text = ha_lrm_status_format(ls);
    g_assert_cmpint(ha_lrm_status_parse(text, &back, NULL), ==, 0);
    res = strmap_get(back->results, "uid\"1");
    g_assert_cmpint(res->exit_code, ==, 3);
    g_assert_cmpstr(res->sid, ==, "vm:1");
    g_assert_cmpint(back->state, ==, HA_LRM_MAINTENANCE);
    g_assert_cmpint(back->mode, ==, HA_MODE_RESTART);
    g_assert_true(back->guests_stopped);
    g_assert_cmpint(ha_lrm_status_parse("{}", &empty, NULL), ==, 0);
    g_assert_false(empty->has_state);
    g_assert_cmpint(empty->mode, ==, HA_MODE_ACTIVE);
}

static void settings_are_read(void)
{
    HaSettings s;

    ha_settings_parse("# x\nha: shutdown_policy=migrate\nkeyboard: de\nmax_workers: 9\n"
                      "crs: ha=dynamic, ha-rebalance-on-start=yes,ha-auto-rebalance=1,"
                      "ha-auto-rebalance-threshold=45,ha-auto-rebalance-margin=0.2,"
                      "ha-auto-rebalance-method=topsis,ha-auto-rebalance-hold-duration=7\n"
                      "fencing: both\n",
                      &s);
    g_assert_cmpstr(s.shutdown_policy, ==, "migrate");
    g_assert_cmpstr(s.scheduler, ==, "dynamic");
    g_assert_true(s.rebalance_on_start && s.auto_rebalance && s.topsis);
    g_assert_cmpfloat(s.threshold, ==, 0.45); /* percent in the file */
    g_assert_cmpfloat(s.margin, ==, 0.2);
    g_assert_cmpint(s.hold_duration, ==, 7);
    g_assert_cmpint(s.max_workers, ==, 9);
    g_assert_cmpint(s.fencing, ==, HA_FENCING_BOTH);
}

static void settings_that_make_no_sense_leave_the_default(void)
{
    HaSettings s;
    HaSettings d;

    ha_settings_init(&d);
    ha_settings_parse("max_workers: many\ncrs: ha-auto-rebalance-threshold=-1,"
                      "ha-auto-rebalance-margin=nan,ha-auto-rebalance-hold-duration=x\nha:\n",
                      &s);
    g_assert_cmpint(s.max_workers, ==, d.max_workers);
    g_assert_cmpfloat(s.threshold, ==, d.threshold);
    g_assert_cmpfloat(s.margin, ==, d.margin);
    g_assert_cmpint(s.hold_duration, ==, d.hold_duration);
    g_assert_cmpstr(s.shutdown_policy, ==, "conditional");
}

static const char *const more_types[] = {"svc", NULL};

static void resources_are_read_with_defaults(void)
{
    g_autoptr(StrMap) guests = strmap_new(ha_guest_free);
    g_autoptr(HaResources) res = NULL;
    HaGuest *guest = g_new0(HaGuest, 1);
    const HaResource *r;

    guest->node = g_strdup("n1");
    strmap_set(guests, "vm:100", guest);
    g_assert_cmpint(ha_resources_parse(more_types,
                                       "vm: 100\n\nct: 101\n\tstate enabled\n\tfailback 0\n\n"
                                       "svc: web\n\tstate ignored\n\tmax_restart 5\n\n"
                                       "vm: 012\n\nfoo: 1\n\nvm: 1\n",
                                       guests, NULL, NULL, &res, NULL),
                    ==, 0);
    g_assert_cmpuint(strmap_size(res->by_sid), ==, 3);
    r = ha_resources_get(res, "vm:100");
    g_assert_cmpint(r->request, ==, HA_REQUEST_STARTED);
    g_assert_true(r->failback);
    g_assert_cmpint(r->max_restart, ==, 1);
    g_assert_cmpstr(r->node, ==, "n1");
    r = ha_resources_get(res, "ct:101");
    g_assert_cmpint(r->request, ==, HA_REQUEST_STARTED);
    g_assert_false(r->failback);
    g_assert_null(r->node);
    g_assert_cmpint(ha_resources_request(res, "svc:web"), ==, HA_REQUEST_IGNORED);
    g_assert_cmpint(ha_resources_request(res, "vm:999"), ==, HA_REQUEST_DISABLED);
}

static void requested_state_is_edited_in_place(void)
{
    HaRequestEdit edit = {NULL, "vm:100", HA_REQUEST_STOPPED};
    HaRequestEdit gone = {NULL, "vm:999", HA_REQUEST_STOPPED};
    g_autofree char *text = NULL;
    char *none = NULL;

    g_assert_cmpint(ha_resources_edit_request("vm: 100\n\tgroup g\n\tnewer thing\n\nct: 101\n",
                                              &text, &edit, NULL),
                    ==, 0);
    g_assert_cmpstr(text, ==, "vm: 100\n\tgroup g\n\tstate stopped\n\tnewer thing\n\nct: 101\n\n");
    g_assert_cmpint(ha_resources_edit_request("vm: 100\n", &none, &gone, NULL), ==, 1);
    g_assert_null(none);
}

static void profiles_are_safe(void)
{
    g_assert_nonnull(ha_timing_by_name("compatible"));
    g_assert_nonnull(ha_timing_by_name("fast"));
    g_assert_null(ha_timing_by_name("reckless"));
    for (size_t i = 0; ha_timing_profiles[i] != NULL; i++) {
        g_assert_true(ha_timing_is_safe(ha_timing_profiles[i]));
    }
    /* 60 s client, 1 s tick, twice 10 s device */
    g_assert_cmpint(ha_timing_reset_ms(&ha_timing_compatible), ==, 81000);
    g_assert_cmpint(ha_timing_fast.failover_max_ms, <=, 25000);
}

/* Each of these is a way to lose a guest twice, or a healthy node. */
static void unsafe_tables_are_recognised(void)
{
    const struct {
        size_t offset;
        int64_t value;
    } changes[] = {
        {offsetof(HaTiming, lease_ms), 15000},        {offsetof(HaTiming, client_ms), 10000},
        {offsetof(HaTiming, device_ms), 6000},        {offsetof(HaTiming, mux_tick_ms), 3000},
        {offsetof(HaTiming, drift_ppm), 50000},       {offsetof(HaTiming, lrm_round_ms), 3000},
        {offsetof(HaTiming, crm_round_ms), 3000},     {offsetof(HaTiming, client_warn_ms), 8000},
        {offsetof(HaTiming, giveup_ms), 8000},        {offsetof(HaTiming, giveup_ms), 2400},
        {offsetof(HaTiming, failover_max_ms), 20000},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        HaTiming t = ha_timing_fast;

        g_assert_true(ha_timing_is_safe(&t));
        memcpy((char *)&t + changes[i].offset, &changes[i].value, sizeof changes[i].value);
        g_assert_false(ha_timing_is_safe(&t));
    }
}

/* Every name once, and back. */
static void names_are_unique(void)
{
    for (int i = 0; i < HA_SERVICE_STATE_N; i++) {
        g_assert_cmpint(ha_service_state_from_name(ha_service_state_name((HaServiceState)i)), ==,
                        i);
    }
    for (int i = 0; i < HA_LRM_MODE_N; i++) {
        g_assert_cmpint(ha_lrm_mode_from_name(ha_lrm_mode_name((HaLrmMode)i)), ==, i);
    }
    for (int i = 0; i < HA_NODE_STATE_N; i++) {
        g_assert_cmpint(ha_node_state_from_name(ha_node_state_name((HaNodeState)i)), ==, i);
    }
    g_assert_cmpint(ha_service_state_from_name("levitating"), ==, -1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/status/round-trip", manager_status_survives_a_round_trip);
    g_test_add_func("/ha/status/questions-about-a-node", questions_about_a_node);
    g_test_add_func("/ha/status/damaged-entries", damaged_entries_are_named_and_left_out);
    g_test_add_func("/ha/status/what-is-none-is-refused", what_is_no_status_is_refused);
    g_test_add_func("/ha/status/master-goes-on", master_that_goes_on_is_believed);
    g_test_add_func("/ha/status/replaced-master", status_of_a_replaced_master_is_refused);
    g_test_add_func("/ha/lrm-status/round-trip", lrm_status_survives_a_round_trip);
    g_test_add_func("/ha/settings/read", settings_are_read);
    g_test_add_func("/ha/settings/nonsense", settings_that_make_no_sense_leave_the_default);
    g_test_add_func("/ha/resources/defaults", resources_are_read_with_defaults);
    g_test_add_func("/ha/resources/edit-request", requested_state_is_edited_in_place);
    g_test_add_func("/ha/timing/profiles-are-safe", profiles_are_safe);
    g_test_add_func("/ha/timing/unsafe-tables-are-recognised", unsafe_tables_are_recognised);
    g_test_add_func("/ha/names/unique", names_are_unique);
    return g_test_run();
}
