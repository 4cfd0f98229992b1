/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hugeplan: how many huge pages a QEMU command needs and from which NUMA nodes of the host; which
 * of them are missing, and are added to the kernel's pool; and the ledger of what was added, so
 * that this much and no more goes back when guests end: pages that the administrator set aside
 * stay. Pure: the host is behind callbacks. guest/io/guest_huge is the one on a real node.
 */
#ifndef GUEST_CORE_HUGEPLAN_H
#define GUEST_CORE_HUGEPLAN_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define HUGE_NODES_MAX   64   /* bits of a set; the largest machines have 32 */
#define HUGE_LEDGER_MAX  8192 /* bytes: two sizes on each node, 50 bytes a line */
#define HUGE_LEDGER_ROWS (2 * HUGE_NODES_MAX)

typedef struct HugeNeed {
    int mib; /* of one page */
    uint64_t pages;
    uint64_t nodes; /* bit N: NUMA node N; 0: whichever */
    bool strict;    /* these nodes or none; else they are only tried first */
} HugeNeed;

/* What was added to one pool. While a change is under way, and after somebody was killed in it,
 * `pending` pages are asked for on top of `before`, the pool's size until then. */
typedef struct HugeRow {
    int node;
    int mib;
    uint64_t pages;
    uint64_t pending;
    uint64_t before;
} HugeRow;

typedef struct HugeHost {
    void *ctx;
    uint64_t nodes;    /* that there are: bits as above */
    uint64_t room_mib; /* memory that the host can do without, at most */
    /* The size of a pool, and how many of its pages nobody uses or may claim. */
    int (*count)(void *ctx, int node, int mib, uint64_t *ret_total, uint64_t *ret_free, Err *err);
    /* Asks for that size; how far it came is for count() to say. */
    int (*resize)(void *ctx, int node, int mib, uint64_t total, Err *err);
    /* Keeps the ledger (HugeRow) in case this process ends now. */
    int (*save)(void *ctx, const GArray *ledger, Err *err);
} HugeHost;

/* Adds what one -object value needs to `needs` (HugeNeed); nothing when it takes no huge pages.
 * -EINVAL for a node of the host that a set cannot hold. */
int hugeplan_need(GArray *needs, const char *object, Err *err) must_check;

/* Makes that `needs` are free all at once. `*ret_added` gets what was added for them (HugeRow), the
 * caller's; the ledger has it too. -ENOMEM when the host has not that many: then the pools and the
 * ledger are as before. */
int hugeplan_reserve(const HugeHost *host,
                     GArray *ledger,
                     const GArray *needs,
                     GArray **ret_added,
                     Err *err) must_check;

/* What of the ledger is free now goes back to the host. The first error, after trying all. */
int hugeplan_give_back(const HugeHost *host, GArray *ledger, Err *err) must_check;

/* `added` is the host's from now on (keephugepages). */
void hugeplan_forget(GArray *ledger, const GArray *added);

/* After a kill: how far the pending change came. */
int hugeplan_recover(const HugeHost *host, GArray *ledger, Err *err) must_check;

/* The ledger as text, one row a line. The caller owns results. -EBADMSG. */
char *hugeplan_format(const GArray *ledger);
int hugeplan_parse(const char *text, GArray **ret, Err *err) must_check;

#endif
