/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_rules: ha/rules.cfg: where services should run (node-affinity) and which belong together or
 * apart (resource-affinity). Reference: ha.md sections 2.4 and 7.1.
 *
 * A rule set is read (ha_rules_parse), checked against itself (ha_rules_check drops rules that
 * cannot work), and made explicit (ha_rules_transform merges connected positive rules, adds the
 * implied negative ones, and extends node rules to positively related services). The compiled form,
 * answering questions per service, is in ha_affinity.
 */
#ifndef HA_MANAGER_CORE_HA_RULES_H
#define HA_MANAGER_CORE_HA_RULES_H

#include "lib/base/err.h"
#include "lib/base/strmap.h"
#include "lib/conf/sectionconf.h"

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

extern const SectionSchema ha_rules_schema; /* of the file */

typedef enum HaRuleType { HA_RULE_NODE_AFFINITY, HA_RULE_RESOURCE_AFFINITY } HaRuleType;

typedef struct HaRule {
    HaRuleType type;
    char *id;
    int64_t order;     /* place in the file, from 1 */
    StrMap *resources; /* set of sids */
    StrMap *nodes;     /* node-affinity: node -> GINT_TO_POINTER(priority); else NULL */
    bool positive;     /* resource-affinity */
    int strict;        /* node-affinity: 1, 0, or -1 for "not given", which acts as 0 */
    int disable;       /* -1: not given; any given value makes the rule inactive */
    char *comment;     /* NULL: none */
} HaRule;

typedef struct HaRules {
    StrMap *by_id; /* id -> HaRule * */
    char digest[41];
    bool join_late; /* not as documented: positive rules connected by a later one count as one */
} HaRules;

HaRules *ha_rules_new(void);
void ha_rules_free(HaRules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaRules, ha_rules_free)

/* Content that does not fit is reported to `warn` and left out. -EFBIG, -EBADMSG. */
int ha_rules_parse(const char *text, SectionWarn warn, void *ctx, HaRules **ret_rules, Err *err)
    must_check;

/* Adds an empty rule, replacing one of the same id; borrowed. */
HaRule *ha_rules_add(HaRules *rules, HaRuleType type, const char *id, int64_t order);

/* Neither disabled by a person nor in conflict with another rule. */
bool ha_rule_is_active(const HaRule *rule);

/* Adds the words of a list "node[:prio]" to `nodes`; entries that do not parse are ignored. */
void ha_rules_add_nodes(StrMap *nodes, const char *list);

/* The rule set as a JSON value with members in key order; caller frees (json_node_unref). */
JsonNode *ha_rules_to_json(const HaRules *rules);

/* Drops rules that contradict others or cannot be kept with that many nodes. `log` gets one line
 * per reason, in order of rule ids. */
void ha_rules_check(HaRules *rules,
                    guint n_nodes,
                    void (*log)(void *ctx, const char *line),
                    void *ctx);

/* -EFBIG when the rules imply more relations than HA_RELATIONS_MAX; the set is then unusable. */
int ha_rules_transform(HaRules *rules, Err *err) must_check;

/* Positive rules that share services. By the documented single pass a rule joins the first set it
 * shares a service with, no matter with how many it does; with `join_late` it makes one of them. */
typedef struct HaRuleSet {
    GPtrArray *rules;  /* HaRule *, borrowed, in the order they joined */
    StrMap *resources; /* union */
} HaRuleSet;

/* GPtrArray of HaRuleSet *. */
GPtrArray *ha_rules_connected_sets(const HaRules *rules);

/* File edit: adds the rules of `data` (HaRules *) that the file lacks. */
int ha_rules_edit_add(const char *old_text, char **ret_text, void *data, Err *err);

#endif
