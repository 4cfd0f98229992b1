/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_caps.h"

#include <errno.h>
#include <glib.h>

bool mig_caps_have(const JsonTree *list, const char *name)
{
    for (guint i = 0; i < jsontree_count(list); i++) {
        if (g_strcmp0(jsontree_text(jsontree_at(list, i)), name) == 0) {
            return true;
        }
    }
    return false;
}

static int need(const JsonTree *list, const char *node, const char *name, const char *why, Err *err)
{
    return mig_caps_have(list, name)
               ? 0
               : err_setf(err, -ENOTSUP,
                          "QEMU of node '%s' lacks '%s', without which %s: update it there", node,
                          name, why);
}

int mig_caps_agree(const JsonTree *source,
                   const char *source_node,
                   const JsonTree *target,
                   const char *target_node,
                   MigCaps *wish,
                   Err *err)
{
    static const char proof[] = "nobody knows whether the guest has arrived";
    int r;

    if ((r = need(source, source_node, "return-path", proof, err)) < 0 ||
        (r = need(target, target_node, "return-path", proof, err)) < 0 ||
        (r = need(source, source_node, "pause-before-switchover",
                  "the guest cannot be given back", err)) < 0 ||
        (r = need(source, source_node, "events", "its states are not seen", err)) < 0 ||
        (r = need(target, target_node, "events", "its states are not seen", err)) < 0) {
        return r;
    }
    wish->multifd = wish->multifd && mig_caps_have(source, "multifd") &&
                    mig_caps_have(target, "multifd");
    wish->postcopy = wish->postcopy && mig_caps_have(source, "postcopy-ram") &&
                     mig_caps_have(target, "postcopy-ram");
    return 0;
}
