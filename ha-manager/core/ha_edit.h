/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_edit: changes that people make to ha/resources.cfg, rules.cfg and groups.cfg, and to the
 * command queue, as edits for HaEnvOps.update. Pure.
 */
#ifndef HA_MANAGER_CORE_HA_EDIT_H
#define HA_MANAGER_CORE_HA_EDIT_H

#include "lib/base/err.h"
#include "lib/conf/sectionconf.h"

typedef enum HaEditAction { HA_EDIT_ADD, HA_EDIT_SET, HA_EDIT_REMOVE } HaEditAction;

typedef struct HaEditValue {
    const char *name;
    const char *value; /* NULL: not given */
} HaEditValue;

typedef struct HaSectionEdit {
    const SectionSchema *schema;
    HaEditAction action;
    const char *type; /* of the section; NULL: any */
    const char *id;
    const char *key;           /* id, or type:id, by the schema */
    const HaEditValue *values; /* ends with an entry without name; may be NULL */
    const char *unset;         /* list of properties to take out, or NULL */
    const char *digest;        /* SHA-1 that the file must still have, or NULL */
    const char *what;          /* for messages: "resource ID", "HA rule", "HA group" */
} HaSectionEdit;

/* Data: HaSectionEdit. -EEXIST, -ENOENT, -ESTALE for another digest, -EINVAL. */
int ha_edit_section(const char *old_text, char **ret_text, void *data, Err *err) must_check;

/* Takes the service `data` (const char *) out of all rules; rules left without one go. */
int ha_edit_purge_rules(const char *old_text, char **ret_text, void *data, Err *err) must_check;

/* Appends the command `data` (const char *). */
int ha_edit_queue(const char *old_text, char **ret_text, void *data, Err *err) must_check;

#endif
