/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guestconf: one section of VMID.conf read by the option table: every value checked, property
 * strings taken apart, defaults filled in. This is what all decisions about a guest read.
 *
 * Keys that the table does not know stay in the file and are only warned about. Immutable after
 * creation; borrows the section it was made from.
 */
#ifndef GUEST_CORE_GUESTCONF_H
#define GUEST_CORE_GUESTCONF_H

#include "lib/base/err.h"
#include "lib/conf/propstring.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestConf GuestConf;

/* Checks all of `section`, which must live as long. `warnings` (GPtrArray of char *) gets what was
 * passed over. -EINVAL: "line N: KEY: ...". */
int guestconf_new(const VmSection *section,
                  uint32_t vmid,
                  GPtrArray *warnings,
                  GuestConf **ret,
                  Err *err) must_check;
void guestconf_free(GuestConf *gc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestConf, guestconf_free)

/* As given when it was made. */
uint32_t guestconf_vmid(const GuestConf *gc);

/* The value was written down (a default does not count). */
bool guestconf_has(const GuestConf *gc, const char *key);

/* Value, else the default of the table, else NULL. Borrowed. Not for property strings. */
const char *guestconf_text(const GuestConf *gc, const char *key);
/* Value, else default, else false / 0. */
bool guestconf_bool(const GuestConf *gc, const char *key);
int64_t guestconf_int(const GuestConf *gc, const char *key);

/* The property string under `key`, or NULL when it is not there. Borrowed. */
const PropString *guestconf_props(const GuestConf *gc, const char *key);

/* guestconf_props for "NAMEi". */
const PropString *guestconf_props_at(const GuestConf *gc, const char *name, int index);

/* "vmVMID" or what the guest is called. Borrowed. */
const char *guestconf_name(const GuestConf *gc);

/* 0 when it is no Windows; 5 for XP, 2000 and 2003; 6 for Vista and 2008; then 7, 8, 10, 11. */
int guestconf_windows(const GuestConf *gc);
/* `class` is one of those in the option hotplug. */
bool guestconf_hotplug(const GuestConf *gc, const char *class);

/* The guest agent is there and may freeze file systems. An option that cannot be read says no. */
bool guestconf_freezes(const VmSection *section);

#endif
