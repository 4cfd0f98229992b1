/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_lrm_status.h"

#include "ha-manager/core/ha_json.h"
#include "ha-manager/core/ha_limits.h"
#include "lib/base/jsontext.h"

HaResult *ha_result_new(const char *sid, const char *state, int exit_code)
{
    HaResult *r = g_new0(HaResult, 1);

    r->sid = g_strdup(sid);
    r->state = g_strdup(state);
    r->exit_code = exit_code;
    return r;
}

void ha_result_free(void *data)
{
    HaResult *r = data;

    if (r == NULL) {
        return;
    }
    g_free(r->sid);
    g_free(r->state);
    g_free(r);
}

HaLrmStatus *ha_lrm_status_new(void)
{
    HaLrmStatus *ls = g_new0(HaLrmStatus, 1);

    ls->mode = HA_MODE_ACTIVE;
    ls->results = strmap_new(ha_result_free);
    return ls;
}

void ha_lrm_status_free(HaLrmStatus *ls)
{
    if (ls == NULL) {
        return;
    }
    g_free(ls->boot_id);
    strmap_free(ls->results);
    g_free(ls);
}

static void load_result(JsonObject *o, const char *uid, JsonNode *node, void *data)
{
    HaLrmStatus *ls = data;
    JsonObject *entry = ha_json_object(o, uid);
    const char *sid = entry != NULL ? ha_json_text(entry, "sid") : NULL;
    const char *state = entry != NULL ? ha_json_text(entry, "state") : NULL;

    (void)node;
    if (sid == NULL || !json_object_has_member(entry, "exit_code") ||
        strmap_size(ls->results) >= HA_SERVICES_MAX) {
        return; /* a result nobody can use is as good as none: the request is simply repeated */
    }
    strmap_set(ls->results, uid,
               ha_result_new(sid, state != NULL ? state : "",
                             (int)ha_json_int(entry, "exit_code", HA_EXIT_FAILED)));
}

int ha_lrm_status_parse(const char *text, HaLrmStatus **ret_ls, Err *err)
{
    g_autoptr(HaLrmStatus) ls = ha_lrm_status_new();
    g_autoptr(JsonObject) root = NULL;
    const char *state;
    const char *mode;
    JsonObject *results;
    int r;

    r = ha_json_parse_object(text, &root, err);
    if (r < 0) {
        return err_wrapf(err, r, "lrm_status");
    }
    state = ha_json_text(root, "state");
    mode = ha_json_text(root, "mode");
    if (state != NULL && ha_lrm_state_from_name(state) >= 0) {
        ls->has_state = true;
        ls->state = (HaLrmState)ha_lrm_state_from_name(state);
    }
    if (mode != NULL) {
        int n = ha_lrm_mode_from_name(mode);

        ls->mode = n >= 0 ? (HaLrmMode)n : HA_MODE_UNKNOWN;
    }
    ls->timestamp = ha_json_int(root, "timestamp", 0);
    ls->boot_id = g_strdup(ha_json_text(root, "boot_id"));
    ls->guests_stopped = ha_json_int(root, "guests_stopped", 0) != 0;
    ls->lease_ms = MAX(ha_json_int(root, "lease_ms", 0), 0);
    results = ha_json_object(root, "results");
    if (results != NULL) {
        json_object_foreach_member(results, load_result, ls);
    }
    *ret_ls = g_steal_pointer(&ls);
    return 0;
}

char *ha_lrm_status_format(const HaLrmStatus *ls)
{
    GString *out = g_string_sized_new(128 + 80 * strmap_size(ls->results));

    g_string_append_printf(out, "{\"state\":\"%s\",\"mode\":\"%s\",\"timestamp\":%" G_GINT64_FORMAT,
                           ha_lrm_state_name(ls->state), ha_lrm_mode_name(ls->mode), ls->timestamp);
    if (ls->boot_id != NULL) {
        g_string_append(out, ",\"boot_id\":");
        json_append_string(out, ls->boot_id);
    }
    if (ls->guests_stopped) {
        g_string_append(out, ",\"guests_stopped\":1");
    }
    if (ls->lease_ms > 0) {
        g_string_append_printf(out, ",\"lease_ms\":%" G_GINT64_FORMAT, ls->lease_ms);
    }
    g_string_append(out, ",\"results\":{");
    for (guint i = 0; i < strmap_size(ls->results); i++) {
        const HaResult *res = strmap_value(ls->results, i);

        if (i > 0) {
            g_string_append_c(out, ',');
        }
        json_append_string(out, strmap_key(ls->results, i));
        g_string_append(out, ":{\"sid\":");
        json_append_string(out, res->sid);
        g_string_append(out, ",\"state\":");
        json_append_string(out, res->state);
        g_string_append_printf(out, ",\"exit_code\":%d}", res->exit_code);
    }
    g_string_append(out, "}}\n");
    return g_string_free(out, FALSE);
}
