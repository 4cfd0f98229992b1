/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_crowd.h"

#include <string.h>

static size_t count_of(const char *const *addresses, size_t n, const char *address)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += strcmp(addresses[i], address) == 0;
    }
    return count;
}

size_t mig_crowd_leaves(const char *const *addresses, size_t n)
{
    size_t most = 0, leaves = 0;

    for (size_t i = 0; i < n; i++) {
        size_t count = count_of(addresses, n, addresses[i]);

        if (count > most) { /* the first of an address is its oldest */
            most = count;
            leaves = i;
        }
    }
    return leaves;
}
