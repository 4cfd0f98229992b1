/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_groups: ha/groups.cfg, the deprecated form of node-affinity rules, and its conversion.
 * Reference: ha.md sections 2.3 and 12.
 */
#ifndef HA_MANAGER_CORE_HA_GROUPS_H
#define HA_MANAGER_CORE_HA_GROUPS_H

#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_rules.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <stdbool.h>

extern const SectionSchema ha_groups_schema; /* of the file */

typedef struct HaGroup {
    StrMap *nodes; /* node -> GINT_TO_POINTER(priority) */
    bool restricted;
    bool nofailback;
    char *comment; /* NULL: none */
} HaGroup;

typedef struct HaGroups {
    StrMap *by_id; /* id -> HaGroup * */
    char digest[41];
} HaGroups;

void ha_groups_free(HaGroups *groups);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaGroups, ha_groups_free)

/* Sections that make no sense are told to `warn` and left out. -EFBIG, and errors of
 * sectionconf_parse. */
int ha_groups_parse(const char *text, SectionWarn warn, void *ctx, HaGroups **ret_groups, Err *err)
    must_check;

/* A service with a group fails back unless the group says nofailback. */
void ha_groups_apply_failback(const HaGroups *groups, HaResources *resources);

/* Adds a rule `ha-group-GROUP` for every group that a service uses. */
void ha_groups_add_rules(const HaGroups *groups, const HaResources *resources, HaRules *rules);

/* True when a manager of that version understands rules: 9.0.0~16 or newer. */
bool ha_groups_version_ok(const char *version);

#endif
