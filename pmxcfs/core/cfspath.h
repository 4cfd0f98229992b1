/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cfspath: what a path of the cluster filesystem says about itself: private, guest config, lock,
 * special name, mode. Pure string work; any thread. Reference: pmxcfs chapters 5.2, 5.3, 6 and 7.1.
 *
 * Paths are relative to the mount, without leading slash; "" and "." are the root. Every function
 * that takes a path looks at its components, so "a//b" and "/a/b/" mean what "a/b" means: the test
 * for private paths and the lookup can never disagree (reference 18.1.11).
 */
#ifndef PMXCFS_CORE_CFSPATH_H
#define PMXCFS_CORE_CFSPATH_H

#include "lib/base/strtab.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of guest; values and type words are part of formats (reference 1.2). */
typedef enum CfsGuestType {
    CFS_GUEST_QEMU = 1,
    CFS_GUEST_OPENVZ = 2,
    CFS_GUEST_LXC = 3,
} CfsGuestType;

/* "qemu", "openvz", "lxc": the word in `.vmlist`; NULL when unknown. */
const char *cfs_guest_type_name(CfsGuestType type);
/* "qemu-server", "openvz", "lxc": the directory; NULL when unknown. */
const char *cfs_guest_type_dir(CfsGuestType type);

typedef struct CfsGuest {
    uint32_t vmid; /* 1 to 4294967295 */
    CfsGuestType type;
    const char *node; /* borrowed from the path that was parsed, NOT NUL terminated */
    size_t node_len;
} CfsGuest;

/* Is `path` exactly nodes/<node>/<type>/<vmid>.conf? Fills `ret` (may be NULL) when it is. */
bool cfspath_guest(const char *path, CfsGuest *ret);

/* The path in its one canonical spelling: components joined by single slashes, none at the ends; ""
 * for the root. ".." and inner "." are ordinary names and stay. Caller frees. */
char *cfspath_normalize(const char *path);

/* Like cfspath_normalize, into a buffer; false when it does not fit. */
bool cfspath_normalize_buf(const char *path, char *buf, size_t size);

/* Below or at "priv", or "nodes/<any>/priv" or below: for root alone (reference 5.3). */
bool cfspath_is_private(const char *path);

/* A name directly in priv/lock: locks with mtime rules. */
bool cfspath_is_lock(const char *path);
/* Anything below priv/lock/, at any depth: may expire, and directories there are not renamed. */
bool cfspath_is_below_lock(const char *path);

/* Names whose files get u+x: vps.X, <number>.X (reference 5.3). `name`: the last component. */
bool cfspath_is_executable(const char *name);

/* Can a local caller create this name: 1 to CFS_NAME_MAX bytes, no slash, not "." or ".."? */
bool cfspath_name_ok(const char *name);

/* ---- special top level names (reference 5.2) ------------------------------------------------ */

#define CFS_SPECIAL_LIST(X)                                                                        \
    X(CFS_SPECIAL_LOCAL, "local")                                                                  \
    X(CFS_SPECIAL_QEMU_SERVER, "qemu-server")                                                      \
    X(CFS_SPECIAL_OPENVZ, "openvz")                                                                \
    X(CFS_SPECIAL_LXC, "lxc")                                                                      \
    X(CFS_SPECIAL_VERSION, ".version")                                                             \
    X(CFS_SPECIAL_MEMBERS, ".members")                                                             \
    X(CFS_SPECIAL_VMLIST, ".vmlist")                                                               \
    X(CFS_SPECIAL_RRD, ".rrd")                                                                     \
    X(CFS_SPECIAL_CLUSTERLOG, ".clusterlog")                                                       \
    X(CFS_SPECIAL_DEBUG, ".debug")                                                                 \
    X(CFS_SPECIAL_METRICS, ".metrics")                                                             \
    X(CFS_SPECIAL_EVENTS, ".events")
typedef enum CfsSpecial { CFS_SPECIAL_LIST(STRTAB_ENUM) CFS_SPECIAL_N } CfsSpecial;

/* cfs_special_name(CFS_SPECIAL_LOCAL) is "local"; cfs_special_from_name("local") is
 * CFS_SPECIAL_LOCAL, -1 for any other name. */
STRTAB_DECLARE(cfs_special, CfsSpecial);

/* The first four are symlinks, the others files. */
bool cfs_special_is_link(CfsSpecial special);

/* Target of a special link on the node `nodename`: "nodes/<nodename>[/<dir>]". Caller frees; NULL
 * for a special file. */
char *cfs_special_target(CfsSpecial special, const char *nodename);

/* ---- modes (reference 5.3) ------------------------------------------------------------------ */

/* Permission bits of a tree entry: `path` its full path, `is_dir` its type. */
uint32_t cfspath_mode(const char *path, bool is_dir, bool quorate);
/* Permission bits of a special entry. */
uint32_t cfs_special_mode(CfsSpecial special, bool quorate);

#endif
