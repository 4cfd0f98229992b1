/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_call: serves a table of REST endpoints for a root daemon behind the API worker: finds the
 * endpoint, proves the caller, checks rights and parameters, runs it, and puts result or error into
 * the envelope clients know. Any thread. Reference: api, chapters 2, 3, 8.
 */
#ifndef LIB_CFS_API_CALL_H
#define LIB_CFS_API_CALL_H

#include "lib/base/jsontree.h"
#include "lib/base/tracer.h"
#include "lib/cfs/api_auth.h"
#include "lib/wire/wire_params.h"

#define API_CALL_PREFIX    "/api2/json"
#define API_CALL_PARTS_MAX 3u /* variables in a path */

typedef struct ApiCall {
    void *ctx; /* of the daemon */
    const char *pve;
    const Tracer *tracer;
    const ApiRequest *request;
    ApiCaller caller; /* empty where none is needed */
    Params *params;
    char *part[API_CALL_PARTS_MAX]; /* values of the path's variables, in order */
    JsonTree *data;                 /* result; NULL: null */
    char *raw;                      /* result as JSON text, instead of `data`; wiped; NULL: none */
    int64_t total;                  /* member "total" beside the data; negative: none */
    char *cookie;                   /* for Set-Cookie; NULL: none */
    char *errors;                   /* JSON object beside an error's message; NULL: none */
    uint32_t status;                /* of an error, instead of what its errno gives; 0: that one */
} ApiCall;

/* 0, or -errno with the text for the caller. */
typedef int (*ApiMethod)(ApiCall *call, Err *err);

typedef enum ApiNeed {
    API_NEED_ROOT,  /* root@pam */
    API_NEED_PRIV,  /* `privs` at `priv_path` */
    API_NEED_USER,  /* anybody who is logged in; the method filters */
    API_NEED_WORLD, /* nobody must be logged in */
} ApiNeed;

typedef struct ApiEndpoint {
    const char *method;
    const char *path; /* below the prefix, variables in braces: "/cluster/config/nodes/{node}" */
    ApiNeed need;
    const char *priv_path, *privs;
    const ParamSpec *params; /* NULL: none are allowed */
    ApiMethod run;
} ApiEndpoint;

typedef struct ApiTable {
    const ApiEndpoint *endpoints; /* ends with a NULL method */
    const char *pve;
    const Tracer *tracer;
    void *ctx;
} ApiTable;

/* Answers in any case. */
void api_call_serve(const ApiTable *table, const ApiRequest *request, ApiAnswer *ret);

/* Does the path below the prefix match the pattern? Values of variables go to `ret_parts`, which
 * may be NULL; the caller frees them. */
bool api_call_match(const char *pattern, const char *path, char **ret_parts);

#endif
