/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_info: what corosync says about quorum and the node list, as events on one GMainContext.
 * Connects by itself, keeps watching, and connects again after a loss: first at once, then with a
 * growing delay up to CFS_SERVICE_RETRY_SEC. Never blocks longer than one library call. Reference:
 * pmxcfs chapter 14. All calls and callbacks on the thread that runs the context.
 */
#ifndef PMXCFS_IO_COROSYNC_INFO_H
#define PMXCFS_IO_COROSYNC_INFO_H

#include "lib/base/tracer.h"
#include "pmxcfs/core/status.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct CorosyncInfo CorosyncInfo;

typedef struct CorosyncInfoEvents {
    /* Quorum gained or lost, or the nodes changed that the verdict is about; also false, about
     * none, when the connection is lost. Never repeated unchanged. */
    void (*quorum)(void *ctx, bool quorate, const uint32_t *nodes, guint n_nodes);
    /* The node list was read (again): cluster name, totem.config_version, nodes with name and id.
     */
    void (*cluster)(void *ctx,
                    const char *name,
                    uint64_t config_version,
                    const StatusNode *nodes,
                    guint n_nodes);
    void *ctx;
} CorosyncInfoEvents;

/* `context` and the tracer (copied) must outlive the object; NULL context: the default one. */
CorosyncInfo *
corosync_info_new(GMainContext *context, const CorosyncInfoEvents *events, const Tracer *tracer);

/* Begins to connect. */
void corosync_info_start(CorosyncInfo *c);

/* Closes the connections; no event comes any more. NULL is allowed. */
void corosync_info_free(CorosyncInfo *c);

#endif
