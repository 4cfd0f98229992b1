/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usercfg: `/etc/pve/user.cfg`, read: users, tokens, groups, pools, roles and access rules, and
 * what follows from them: may this caller do that there? root@pam may do everything. Records that
 * cannot be read are skipped and counted. Pure; a parsed object may be read by many threads.
 * Reference: api, chapters 7 to 9.
 */
#ifndef LIB_CONF_USERCFG_H
#define LIB_CONF_USERCFG_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define USERCFG_SIZE_MAX    (1024u * 1024u) /* a file of the tree */
#define USERCFG_RECORDS_MAX 65536u
#define USERCFG_ROOT        "root@pam"

/* name, category, level. Levels: A audit, U user, M admin, R root only. */
#define USERCFG_PRIV_LIST(X)                                                                       \
    X("Datastore.Allocate", DATASTORE, M)                                                          \
    X("Datastore.AllocateSpace", DATASTORE, U)                                                     \
    X("Datastore.AllocateTemplate", DATASTORE, M)                                                  \
    X("Datastore.Audit", DATASTORE, A)                                                             \
    X("Group.Allocate", USER, M)                                                                   \
    X("Mapping.Audit", MAPPING, A)                                                                 \
    X("Mapping.Modify", MAPPING, M)                                                                \
    X("Mapping.Use", MAPPING, U)                                                                   \
    X("Permissions.Modify", NONE, R)                                                               \
    X("Pool.Allocate", POOL, M)                                                                    \
    X("Pool.Audit", POOL, A)                                                                       \
    X("Realm.Allocate", USER, R)                                                                   \
    X("Realm.AllocateUser", USER, M)                                                               \
    X("SDN.Allocate", SDN, M)                                                                      \
    X("SDN.Audit", SDN, A)                                                                         \
    X("SDN.Use", SDN, U)                                                                           \
    X("Sys.AccessNetwork", SYS, R)                                                                 \
    X("Sys.Audit", SYS, A)                                                                         \
    X("Sys.Console", SYS, M)                                                                       \
    X("Sys.Incoming", SYS, R)                                                                      \
    X("Sys.Modify", SYS, R)                                                                        \
    X("Sys.PowerMgmt", SYS, R)                                                                     \
    X("Sys.Syslog", SYS, M)                                                                        \
    X("User.Modify", USER, M)                                                                      \
    X("VM.Allocate", VM, M)                                                                        \
    X("VM.Audit", VM, A)                                                                           \
    X("VM.Backup", VM, U)                                                                          \
    X("VM.Clone", VM, M)                                                                           \
    X("VM.Config.CDROM", VM, U)                                                                    \
    X("VM.Config.CPU", VM, M)                                                                      \
    X("VM.Config.Cloudinit", VM, U)                                                                \
    X("VM.Config.Disk", VM, M)                                                                     \
    X("VM.Config.HWType", VM, M)                                                                   \
    X("VM.Config.Memory", VM, M)                                                                   \
    X("VM.Config.Network", VM, M)                                                                  \
    X("VM.Config.Options", VM, M)                                                                  \
    X("VM.Console", VM, U)                                                                         \
    X("VM.GuestAgent.Audit", VM, A)                                                                \
    X("VM.GuestAgent.FileRead", VM, U)                                                             \
    X("VM.GuestAgent.FileSystemMgmt", VM, U)                                                       \
    X("VM.GuestAgent.FileWrite", VM, U)                                                            \
    X("VM.GuestAgent.Unrestricted", VM, M)                                                         \
    X("VM.Migrate", VM, M)                                                                         \
    X("VM.PowerMgmt", VM, U)                                                                       \
    X("VM.Replicate", VM, M)                                                                       \
    X("VM.Snapshot", VM, M)                                                                        \
    X("VM.Snapshot.Rollback", VM, M)

typedef uint64_t PrivSet; /* bit n: the n-th of the list */

/* The privilege's bit; 0 for an unknown name. */
PrivSet usercfg_priv(const char *name);
unsigned usercfg_n_privs(void);
const char *usercfg_priv_name(unsigned i);

typedef struct UserCfg UserCfg;

/* An empty text is good. -E2BIG. */
int usercfg_parse(const char *text, gsize size, UserCfg **ret, Err *err) must_check;
void usercfg_free(UserCfg *cfg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UserCfg, usercfg_free)
/* Records that could not be read. */
unsigned usercfg_skipped(const UserCfg *cfg);

/* Known, enabled and not expired? 0, or -EACCES with the reason (for the log). */
int usercfg_check_user(const UserCfg *cfg, const char *user, WallTime now, Err *err) must_check;
/* The same for `USER!TOKEN`, whose user must be good as well. */
int usercfg_check_token(const UserCfg *cfg, const char *token, WallTime now, Err *err) must_check;

/* What `who` (user or `USER!TOKEN`) may do at `path` ("/", "/vms/100"). */
PrivSet usercfg_privileges(const UserCfg *cfg, const char *who, const char *path);

#endif
