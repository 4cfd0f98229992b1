/* SPDX-License-Identifier: Apache-2.0 */
/* mig_caps: what two QEMUs that need not be of the same version can do together. Pure. */
#ifndef MIGRATION_CORE_MIG_CAPS_H
#define MIGRATION_CORE_MIG_CAPS_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <stdbool.h>

/* What is wished for; afterwards, what of it both have. */
typedef struct MigCaps {
    bool multifd, postcopy;
} MigCaps;

/* Compares the lists of names of migration capabilities that the QEMUs of both nodes gave. -ENOTSUP
 * when one of them lacks what no move is safe without; the node and the capability are named. */
int mig_caps_agree(const JsonTree *source,
                   const char *source_node,
                   const JsonTree *target,
                   const char *target_node,
                   MigCaps *wish,
                   Err *err) must_check;
/* Is the name in such a list? */
bool mig_caps_have(const JsonTree *list, const char *name);

#endif
