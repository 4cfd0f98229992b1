/* SPDX-License-Identifier: Apache-2.0 */
/*
 * startorder: in which order the guests of a node start and stop, from their options `onboot` and
 * `startup`. Reference: guest.md section 17. Pure.
 */
#ifndef GUEST_CORE_STARTORDER_H
#define GUEST_CORE_STARTORDER_H

#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define STARTORDER_LAST     UINT32_MAX /* of guests that do not say */
#define STARTORDER_DOWN_SEC 180        /* to turn off, when a guest does not say */

typedef struct StartOrder {
    uint32_t vmid;
    uint32_t order;
    unsigned up_sec;   /* to wait after its start, before a later order begins */
    unsigned down_sec; /* it has for turning itself off */
    bool onboot;
    bool template;
} StartOrder;

/* Reads the options. A value that makes no sense counts as not said. */
StartOrder startorder_read(uint32_t vmid, const VmConf *conf);

/* StartOrder elements: by order, then VMID; `stopping` turns it around. */
void startorder_sort(GArray *guests, bool stopping);

#endif
