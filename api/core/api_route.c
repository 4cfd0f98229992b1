/* SPDX-License-Identifier: Apache-2.0 */
#include "api/core/api_route.h"

#include <stddef.h>
#include <string.h>

static const ApiRoute routes[] = {
    {"/cluster/config", "joind.sock"},
    {"/cluster/resources", "apid.sock"},
    {"/cluster/status", "apid.sock"},
    {"/access", "apid.sock"},
    {"/nodes", "apid.sock"},
    {"/version", "apid.sock"},
    {"/witness", "witness.sock"}, /* only while `pvecm witness token` waits */
};

const ApiRoute *api_route_find(const char *path)
{
    const size_t skip = sizeof API_PREFIX - 1;
    const ApiRoute *found = NULL;
    size_t best = 0;

    if (strncmp(path, API_PREFIX, skip) != 0) {
        return NULL;
    }
    path += skip;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].prefix);

        if (n >= best && strncmp(path, routes[i].prefix, n) == 0 &&
            (path[n] == '\0' || path[n] == '/')) {
            found = &routes[i];
            best = n;
        }
    }
    return found;
}
