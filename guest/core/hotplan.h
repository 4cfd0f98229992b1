/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotplan: what a running QEMU must be told so that it is what another command would have started.
 * Both commands are made by qemucmd, from the configuration as it runs and as it shall be, so a
 * plugged device is the same, and at the same address, as after the next start. Reference:
 * guest.md section 12. Pure: guest/io/guest_plug performs the steps.
 */
#ifndef GUEST_CORE_HOTPLAN_H
#define GUEST_CORE_HOTPLAN_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/conf/propstring.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum HotKind { HOT_OBJECT, HOT_DRIVE, HOT_BLOCKDEV, HOT_NETDEV, HOT_DEVICE } HotKind;

typedef enum HotAction {
    HOT_ADD,      /* `text` as QEMU's command has it */
    HOT_REMOVE,   /* `text` is what was there */
    HOT_THROTTLE, /* of a -drive: its limits are those of `text`, were those of `old` */
    HOT_GROUP,    /* of a throttle group: the same */
} HotAction;

typedef struct HotStep {
    HotAction action;
    HotKind kind;
    char *id;
    char *text;
    char *old; /* NULL unless the action names it */
} HotStep;

void hotplan_step_free(void *step);

/* Words of two commands -> HotStep *, in the order of doing; none when nothing differs. `replace`:
 * what is there may be taken away and come back changed; without, only limits may change. The
 * caller owns the array. -ENOTSUP says what only a start can bring. */
int hotplan_make(const GPtrArray *before,
                 const GPtrArray *after,
                 bool replace,
                 GPtrArray **ret,
                 Err *err) must_check;

/* "iothread,id=a,size=1M" as arguments of object-add, or of netdev_add. The caller frees *ret. */
int hotplan_arguments(HotKind kind, const char *text, JsonTree **ret, Err *err) must_check;

/* Arguments of block_set_io_throttle for the limits in the value of a -drive; caller frees. */
JsonTree *hotplan_throttle(const char *id, const char *text);

/* ---- small */

/* The next amount of memory, one module more or less than `now`; `giant`: huge pages of 1 GiB.
 * Stays at what cannot be unplugged. MiB. */
int64_t hotplan_next_memory(int64_t now, bool more, int64_t at_start, bool giant);

/* What changes at a card beside its device. */
typedef struct HotNet {
    bool replug; /* bridge, VLANs, firewall bridge, rate */
    bool link;   /* link_down */
} HotNet;
HotNet hotplan_net(const PropString *before, const PropString *after);

#endif
