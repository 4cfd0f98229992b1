/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as ha/rules.cfg: reading, checking and compiling end, and what is written reads the
 * same. */
#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_rules.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void ignore(void *ctx, const char *line)
{
    (void)ctx;
    g_assert_true(g_str_has_prefix(line, "Drop rule '"));
}

/* No rule may both put together and keep apart. */
static void check_sense(const HaRules *rules, const HaAffinity *affinity)
{
    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        const HaRule *rule = strmap_value(rules->by_id, i);

        if (!ha_rule_is_active(rule) || rule->type != HA_RULE_RESOURCE_AFFINITY) {
            continue;
        }
        g_assert_cmpuint(strmap_size(rule->resources), >=, 2);
        g_assert_cmpuint(ha_affinity_together(affinity, strmap_key(rule->resources, 0))->len +
                             ha_affinity_apart(affinity, strmap_key(rule->resources, 0))->len,
                         >, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_autoptr(HaRules) rules = NULL;
    g_autoptr(HaRules) none = ha_rules_new();
    g_autoptr(HaAffinity) affinity = NULL;
    g_autoptr(StrMap) nodes = strmap_new(NULL);
    g_autofree char *written = NULL;
    g_autofree char *again = NULL;
    Err err = ERR_INIT;

    if (ha_rules_parse(text, NULL, NULL, &rules, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    if (ha_rules_edit_add(text, &written, none, NULL) == 0 &&
        ha_rules_edit_add(written, &again, none, NULL) == 0) {
        g_assert_cmpstr(again, ==, written);
    }
    strmap_set(nodes, "node1", GINT_TO_POINTER(1));
    strmap_set(nodes, "node2", GINT_TO_POINTER(1));
    ha_rules_check(rules, 2, ignore, NULL);
    if (ha_rules_transform(rules, &err) < 0 ||
        ha_affinity_compile(rules, nodes, &affinity, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    check_sense(rules, affinity);
    return 0;
}
