/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_route: which root daemon serves which part of the REST tree. The API worker knows this table
 * and nothing else about the components; a new component adds a line. Pure; any thread.
 */
#ifndef API_CORE_API_ROUTE_H
#define API_CORE_API_ROUTE_H

typedef struct ApiRoute {
    const char *prefix; /* path below /api2/json */
    const char *socket; /* below the run directory */
} ApiRoute;

#define API_PREFIX "/api2/json"

/* The route with the longest matching prefix; NULL: nobody serves the path. `path` is the whole
 * path of the request without query. */
const ApiRoute *api_route_find(const char *path);

#endif
