/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs_limits: every bound of the cluster filesystem, once, with its reason.
 * Numbers marked "compat" are those of the documented format (reference pmxcfs, chapter 1.2) and
 * hold while any member is foreign.
 */
#ifndef PMXCFS_CORE_PMXCFS_LIMITS_H
#define PMXCFS_CORE_PMXCFS_LIMITS_H

#include <stdint.h>

#define CFS_FILE_SIZE_MAX        (1024u * 1024u)         /* compat: largest file */
#define CFS_FILE_SIZE_MAX_NATIVE (16u * 1024u * 1024u)   /* when all members agree */
#define CFS_TOTAL_SIZE_MAX       (128u * 1024u * 1024u)  /* compat: as statfs says; enforced */
#define CFS_TOTAL_SIZE_MAX_NATIVE (1024u * 1024u * 1024u)
#define CFS_INODES_MAX           262144u                 /* compat: as statfs says; enforced */
#define CFS_NAME_MAX             1024u                   /* bytes; what every kernel takes */
#define CFS_NAME_REPORTED        256u                    /* compat: what statfs says of it */
#define CFS_PATH_MAX             4096u                   /* bytes incl. NUL; for peers' paths */
#define CFS_DEPTH_MAX            64u                     /* directories below each other */
#define CFS_BLOCK_SIZE           4096u                   /* statfs and st_blocks unit */
#define CFS_LOCK_TIMEOUT_SEC     120                     /* a lock older than this is expired */
#define CFS_VERIFY_INTERVAL_SEC  3600                    /* tree verification */

#define CFS_STATUS_SIZE_MAX 32768u  /* one status value */
#define CFS_STATUS_KEY_MAX  256u    /* key field incl. NUL */
#define CFS_RRD_SIZE_MAX    4096u   /* RRD value incl. NUL must stay below this */
#define CFS_STATUS_KEYS_MAX 4096u   /* keys of one node: a peer cannot fill our memory with more */
#define CFS_STATUS_NODE_BYTES_MAX (16u * 1024u * 1024u) /* values of one node, same reason */
#define CFS_NODEIP_MAX      256u    /* `nodeip` value incl. NUL must stay below this */
#define CFS_RRD_EXPIRE_SEC  300     /* RRD entries not refreshed for longer are dropped */
#define CFS_RRD_IDS_MAX     65536u  /* RRD sources of the whole cluster */
#define CFS_RRD_DUMP_REUSE_MS 2000  /* an RRD dump is reused while younger than this */
#define CFS_CLOG_SIZE       131072u /* ring of the cluster log, part of the wire format */
#define CFS_CLOG_ENTRY_MAX  4096u

#define CFS_SERVICE_RETRY_SEC 5 /* corosync service reconnect */

#endif
