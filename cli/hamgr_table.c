/* SPDX-License-Identifier: Apache-2.0 */
/* hamgr_table: which verbs there are. */
#include "cli/hamgr_verbs.h"

HamgrOptions hamgr_options = {.purge = 1};

#define TEXT(name, var, text, what)                                                                \
    {                                                                                              \
        name, 0, 0, G_OPTION_ARG_STRING, &hamgr_options.var, text, what                            \
    }

#define RESOURCE_OPTIONS                                                                           \
    TEXT("state", state, "Requested state: started, stopped, enabled, disabled, ignored",          \
         "STATE"),                                                                                 \
        TEXT("group", group, "HA group (deprecated: use rules)", "GROUP"),                         \
        TEXT("failback", failback, "Return to a better node when it is back: 1 (default) or 0",    \
             "0|1"),                                                                               \
        TEXT("max_restart", max_restart, "Tries to start it on one node, default 1", "N"),         \
        TEXT("max_relocate", max_relocate, "Tries on other nodes, default 1", "N"),                \
        TEXT("comment", comment, "For people", "TEXT"),                                            \
        TEXT("type", type, "Type of the resource, when it is given by number", "vm|ct|exec")

#define CHANGE_OPTIONS                                                                             \
    TEXT("delete", unset, "Properties to take out", "LIST"),                                       \
        TEXT("digest", digest, "Refuse when the file is not this one any more", "SHA1")

static GOptionEntry add_options[] = {RESOURCE_OPTIONS, {0}};
static GOptionEntry set_options[] = {RESOURCE_OPTIONS, CHANGE_OPTIONS, {0}};
static GOptionEntry remove_options[] = {
    CLI_FLAG("purge", hamgr_options.purge, "Take it out of all rules as well (default 1)"), {0}};
static GOptionEntry config_options[] = {
    TEXT("type", type, "Only these", "vm|ct|exec"), CLI_OUTPUT_FORMAT_OPTION, {0}};

#define RULE_OPTIONS                                                                               \
    TEXT("resources", resources, "The services: vm:100,ct:101", "LIST"),                           \
        TEXT("nodes", nodes, "node-affinity: the nodes, NODE[:PRIORITY]", "LIST"),                 \
        TEXT("strict", strict, "node-affinity: never on other nodes", "0|1"),                      \
        TEXT("affinity", affinity, "resource-affinity: together or apart", "positive|negative"),   \
        TEXT("comment", comment, "For people", "TEXT"),                                            \
        TEXT("disable", disable, "Keep the rule, but do not use it", "0|1")

static GOptionEntry rule_add_options[] = {RULE_OPTIONS, {0}};
static GOptionEntry rule_set_options[] = {RULE_OPTIONS, CHANGE_OPTIONS, {0}};
static GOptionEntry rule_show_options[] = {
    TEXT("type", type, "Only rules of this type", "TYPE"),
    TEXT("resource", resource, "Only rules with this service", "SID"),
    CLI_OUTPUT_FORMAT_OPTION,
    {0}};

#define GROUP_OPTIONS                                                                              \
    TEXT("nodes", nodes, "The nodes, NODE[:PRIORITY]", "LIST"),                                    \
        TEXT("restricted", restricted, "Never on other nodes", "0|1"),                             \
        TEXT("nofailback", nofailback, "Do not return to a better node", "0|1"),                   \
        TEXT("comment", comment, "For people", "TEXT")

static GOptionEntry group_add_options[] = {GROUP_OPTIONS, {0}};
static GOptionEntry group_set_options[] = {GROUP_OPTIONS, CHANGE_OPTIONS, {0}};

static GOptionEntry status_options[] = {
    CLI_FLAG("verbose", hamgr_options.verbose, "And the whole state as JSON"),
    CLI_OUTPUT_FORMAT_OPTION,
    {0}};
static GOptionEntry json_options[] = {CLI_OUTPUT_FORMAT_OPTION, {0}};
static GOptionEntry fence_options[] = {
    CLI_FLAG("dry-run", hamgr_options.dry_run, "Only print the commands"),
    CLI_FLAG("really-off", hamgr_options.really, "Switch the node off, now"),
    {0}};

const CliVerb hamgr_verbs[] = {
    {"status", "", "Show the state of the HA stack and of all services", 0, 0, status_options,
     hamgr_status},
    {"config", "", "Show the configured services", 0, 0, config_options, hamgr_config},
    {"add", "SID", "Put a service under HA: vm:100, ct:101, exec:NAME", 1, 1, add_options,
     hamgr_add},
    {"set", "SID", "Change a service", 1, 1, set_options, hamgr_set},
    {"remove", "SID", "Take a service out of HA; it stays as it is", 1, 1, remove_options,
     hamgr_remove},
    {"migrate", "SID NODE", "Move a service, running", 2, 2, NULL, hamgr_migrate},
    {"relocate", "SID NODE", "Stop a service and start it there", 2, 2, NULL, hamgr_relocate},
    {"explain", "SID", "Why is it where it is, and what does it wait for?", 1, 1, json_options,
     hamgr_explain},
    {"simulate", "NODE...", "What would happen if these nodes failed now?", 1, 32, json_options,
     hamgr_simulate},
    {"why-rebooted", "", "What this node knew before its last resets", 0, 0, json_options,
     hamgr_why_rebooted},
    {"fence-test", "NODE", "Ask the fence devices of a node for its status", 1, 1, fence_options,
     hamgr_fence_test},
    {"managed", "SID", "Exit status 0 when HA manages the service", 1, 1, NULL, hamgr_managed},
    {"crm-command migrate", "SID NODE", "As migrate", 2, 2, NULL, hamgr_migrate},
    {"crm-command relocate", "SID NODE", "As relocate", 2, 2, NULL, hamgr_relocate},
    {"crm-command stop", "SID TIMEOUT", "Stop a service; 0: at once", 2, 2, NULL, hamgr_stop},
    {"crm-command node-maintenance", "enable|disable NODE", "Drain a node, or take it back", 2, 2,
     NULL, hamgr_maintenance},
    {"crm-command disarm-ha", "freeze|ignore", "Release all watchdogs, before planned work", 1, 1,
     NULL, hamgr_disarm},
    {"crm-command arm-ha", "", "End that", 0, 0, NULL, hamgr_arm},
    {"rules list", "", "All rules with their properties", 0, 0, rule_show_options,
     hamgr_rules_list},
    {"rules config", "", "All rules and whether they are in use", 0, 0, rule_show_options,
     hamgr_rules_config},
    {"rules add", "TYPE RULE", "Add a rule: node-affinity or resource-affinity", 2, 2,
     rule_add_options, hamgr_rules_add},
    {"rules set", "TYPE RULE", "Change a rule", 2, 2, rule_set_options, hamgr_rules_set},
    {"rules remove", "RULE", "Remove a rule", 1, 1, NULL, hamgr_rules_remove},
    {"groupadd", "GROUP", "Add a group (deprecated: use rules)", 1, 1, group_add_options,
     hamgr_groupadd},
    {"groupset", "GROUP", "Change a group", 1, 1, group_set_options, hamgr_groupset},
    {"groupremove", "GROUP", "Remove a group", 1, 1, NULL, hamgr_groupremove},
    {"groupconfig", "", "Show the groups", 0, 0, json_options, hamgr_groupconfig},
    {0},
};
