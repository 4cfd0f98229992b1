/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_guests: the guests of this node and what they use. Their configurations are kept until the
 * cluster says that they changed; a process is known by its pid file and held by a descriptor; the
 * rest comes from /proc, cgroups and monitors (stat_monitor). Of containers all comes from their
 * cgroups (stat_container). Main thread; never waits for a guest.
 */
#ifndef GUEST_IO_STAT_GUESTS_H
#define GUEST_IO_STAT_GUESTS_H

#include "guest/core/stat_line.h"
#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <glib.h>

typedef struct StatGuests StatGuests;

/* Strings are copied. `cgroups`: the root of cgroups, in which containers are looked for. */
StatGuests *stat_guests_new(const char *run_dir, const char *proc, const char *cgroups);
void stat_guests_free(StatGuests *g);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatGuests, stat_guests_free)

/* The machines and containers of `node` by `vmlist` (of .vmlist). Configurations that changed are
 * to be read. */
void stat_guests_list(StatGuests *g, const JsonTree *vmlist, const char *node);
/* The numbers of the cluster's list start anew: nothing that is kept can be trusted. */
void stat_guests_forget_versions(StatGuests *g);

/* Reads a configuration through `fetch`, which returns 0 and content, -ENOENT, or another error
 * that ends the reading until the next call. */
typedef int (*StatFetch)(void *ctx, uint32_t vmid, bool container, GBytes **ret, Err *err);
int stat_guests_read(StatGuests *g, StatFetch fetch, void *ctx, Err *err) must_check;

/* Looks which guests run and asks their monitors. */
void stat_guests_begin(StatGuests *g);
/* Monitors have time left to answer. */
bool stat_guests_busy(const StatGuests *g);

/* What is known of each guest now, `taps` as of stat_host_read; `tell` returns a negative errno to
 * end it, which is returned. */
typedef int (*StatTell)(void *ctx, uint32_t vmid, const StatGuest *guest, Err *err);
int stat_guests_tell(StatGuests *g, GHashTable *taps, StatTell tell, void *ctx, Err *err)
    must_check;

#endif
