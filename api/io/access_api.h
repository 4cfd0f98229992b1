/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_api: logging in (/access/ticket, /access/domains) and /version. Any thread; blocks.
 * Reference: api, chapters 5 and 11.
 */
#ifndef API_IO_ACCESS_API_H
#define API_IO_ACCESS_API_H

#include "lib/cfs/api_call.h"

/* What `ctx` of the calls points to. */
typedef struct ApidContext {
    const char *pam_helper;
    const char *task_dir;
    Tracer tracer;
} ApidContext;

extern const ParamSpec access_ticket_params[];

/* What is served below /access; the realms one can log in to. For everybody. */
int access_get_index(ApiCall *c, Err *err) must_check;
int access_get_domains(ApiCall *c, Err *err) must_check;
int access_get_ticket(ApiCall *c, Err *err) must_check; /* nothing: pages ask for it */
int access_post_ticket(ApiCall *c, Err *err) must_check;
int access_get_version(ApiCall *c, Err *err) must_check;

#endif
