/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_lrm_status: the file nodes/NODE/lrm_status in memory: what an LRM is, and the results of its
 * work. Reference: ha.md section 2.8. Written by the LRM of that node only.
 */
#ifndef HA_MANAGER_CORE_HA_LRM_STATUS_H
#define HA_MANAGER_CORE_HA_LRM_STATUS_H

#include "ha-manager/core/ha_names.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <stdbool.h>
#include <stdint.h>

/* Outcome of one request. */
typedef struct HaResult {
    char *sid;
    char *state; /* the state that was executed, by name */
    int exit_code;
} HaResult;

HaResult *ha_result_new(const char *sid, const char *state, int exit_code);
void ha_result_free(void *result);

typedef struct HaLrmStatus {
    bool has_state; /* false: the file does not say */
    HaLrmState state;
    HaLrmMode mode;
    int64_t timestamp;   /* Unix seconds of the last write; 0: unknown */
    char *boot_id;       /* of the kernel that wrote it; NULL: not told */
    bool guests_stopped; /* the node went down in order: none of its HA guests runs */
    int64_t lease_ms;    /* for how long its agent lock counts after a renewal; 0: not told */
    StrMap *results;     /* uid -> HaResult * */
} HaLrmStatus;

HaLrmStatus *ha_lrm_status_new(void);
void ha_lrm_status_free(HaLrmStatus *ls);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaLrmStatus, ha_lrm_status_free)

/* Reads the file's text; "" is the empty status, mode active. -EBADMSG, -EFBIG. */
int ha_lrm_status_parse(const char *text, HaLrmStatus **ret_ls, Err *err) must_check;

/* The file's text; caller frees. */
char *ha_lrm_status_format(const HaLrmStatus *ls);

#endif
