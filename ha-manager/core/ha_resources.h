/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_resources: ha/resources.cfg: which services HA cares for and what it shall do with them.
 * Reference: ha.md section 2.2. Types are `vm` and `ct` (the name is a VMID) and whatever further
 * types the environment names (the name is any word).
 */
#ifndef HA_MANAGER_CORE_HA_RESOURCES_H
#define HA_MANAGER_CORE_HA_RESOURCES_H

#include "ha-manager/core/ha_names.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"
#include "lib/conf/sectionconf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct HaResource {
    char *type;
    char *name;
    HaRequest request;
    char *group; /* NULL: none */
    char *node;  /* owns the guest's configuration; NULL: there is no such guest */
    bool failback;
    int64_t max_restart;
    int64_t max_relocate;
} HaResource;

typedef struct HaResources {
    StrMap *by_sid; /* sid -> HaResource * */
    char digest[41];
} HaResources;

/* The schema of the file for vm, ct and the further types (NULL terminated, or NULL). What `types`
 * of the result points to is to be freed with g_free. */
SectionSchema ha_resources_schema(const char *const *more);

void ha_resources_free(HaResources *res);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaResources, ha_resources_free)

/* `types`: further types, NULL terminated, or NULL. `guests`: sid -> HaGuest *, for the nodes.
 * Content that does not fit is reported to `warn` and left out. -EFBIG, -EBADMSG. */
int ha_resources_parse(const char *const *types,
                       const char *text,
                       const StrMap *guests,
                       SectionWarn warn,
                       void *ctx,
                       HaResources **ret_res,
                       Err *err) must_check;

/* Borrowed; NULL: not configured. */
HaResource *ha_resources_get(const HaResources *res, const char *sid);

/* Requested state; a service that is not configured counts as disabled. */
HaRequest ha_resources_request(const HaResources *res, const char *sid);

/* Type of a sid: the part before the colon; caller frees. */
char *ha_sid_type(const char *sid);

/* [1-9][0-9]+ */
bool ha_is_vmid(const char *text);

/* Edits for HaEnvOps.update. Data: HaRequestEdit, and HaUngroupEdit. */
typedef struct HaRequestEdit {
    const char *const *types;
    const char *sid;
    HaRequest request;
} HaRequestEdit;

/* Sets the requested state; a service that is gone meanwhile is left alone. */
int ha_resources_edit_request(const char *old_text, char **ret_text, void *data, Err *err);

/* Adds the service with that requested state; -EEXIST. Data: HaRequestEdit. */
int ha_resources_edit_add(const char *old_text, char **ret_text, void *data, Err *err);
/* Removes the service; one that is gone meanwhile is no error. Data: HaRequestEdit. */
int ha_resources_edit_remove(const char *old_text, char **ret_text, void *data, Err *err);

typedef struct HaUngroupEdit {
    const char *const *types;
    const HaResources *resources; /* with the failback that the groups gave */
} HaUngroupEdit;

/* Takes `group` out of every service that has one, and writes down its failback when off. */
int ha_resources_edit_ungroup(const char *old_text, char **ret_text, void *data, Err *err);

#endif
