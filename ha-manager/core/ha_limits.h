/* SPDX-License-Identifier: Apache-2.0 */
/* ha_limits: bounds on everything that comes from files or peers (INV-7), each with its reason. */
#ifndef HA_MANAGER_CORE_HA_LIMITS_H
#define HA_MANAGER_CORE_HA_LIMITS_H

#define HA_TEXT_MAX (1024 * 1024) /* largest file the cluster filesystem stores */

#define HA_JSON_DEPTH_MAX 16 /* our status files need 4 */

#define HA_SERVICES_MAX 20000 /* what fits into a manager_status of 1 MiB, twice over */

#define HA_NODES_MAX 128 /* far above what corosync forms */

#define HA_RULES_MAX 4096 /* rules in one rules.cfg, before transformation */

/* Pairs of related services after transformation: two rules of 1000 services each make a million.
 */
#define HA_RELATIONS_MAX 4000000

#define HA_COMMANDS_MAX 4096 /* commands taken from the queue in one round */

#define HA_SID_MAX 255 /* type and name of a service, bytes */

#define HA_FAILED_NODES_MAX 64 /* entries kept in failed_nodes; max_relocate beyond is an error */

#define HA_FENCE_DEVICES_MAX 256  /* devices in fence.cfg */
#define HA_FENCE_ARGS_MAX    4096 /* arguments of one device or connect line */

#define HA_WORKERS_MAX 64 /* parallel workers of one LRM, whatever max_workers says */

#define HA_BOOT_ID_MAX 64 /* bytes; Linux has 36 */

/* ... and while guests have to be gone before the watchdog fires. */
#define HA_STOP_WORKERS 16

#endif
