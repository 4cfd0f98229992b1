/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_names: every state and mode of the HA stack, each with the one spelling used in status files,
 * configuration and log. Reference: ha.md sections 2 to 6 and 13.
 */
#ifndef HA_MANAGER_CORE_HA_NAMES_H
#define HA_MANAGER_CORE_HA_NAMES_H

#include "lib/base/strtab.h"

/*
 * Service states (manager_status). Who acts while a service is in the state:
 *   LRM of its node: stopped, request_stop, started, migrate, relocate, request_start_balance,
 *                    error
 *   master only:     request_start, fence, recovery
 *   nobody:          freeze
 */
#define HA_SERVICE_STATE_LIST(X)                                                                   \
    X(HA_SERVICE_STOPPED, "stopped")                                                               \
    X(HA_SERVICE_REQUEST_STOP, "request_stop")                                                     \
    X(HA_SERVICE_REQUEST_START, "request_start")                                                   \
    X(HA_SERVICE_REQUEST_START_BALANCE, "request_start_balance")                                   \
    X(HA_SERVICE_STARTED, "started")                                                               \
    X(HA_SERVICE_FENCE, "fence")                                                                   \
    X(HA_SERVICE_RECOVERY, "recovery")                                                             \
    X(HA_SERVICE_MIGRATE, "migrate")                                                               \
    X(HA_SERVICE_RELOCATE, "relocate")                                                             \
    X(HA_SERVICE_FREEZE, "freeze")                                                                 \
    X(HA_SERVICE_ERROR, "error")

typedef enum HaServiceState {
    HA_SERVICE_STATE_LIST(STRTAB_ENUM) HA_SERVICE_STATE_N
} HaServiceState;
STRTAB_DECLARE(ha_service_state, HaServiceState);

/* What the configuration asks for. "enabled" is read as started. */
#define HA_REQUEST_LIST(X)                                                                         \
    X(HA_REQUEST_STARTED, "started")                                                               \
    X(HA_REQUEST_STOPPED, "stopped")                                                               \
    X(HA_REQUEST_DISABLED, "disabled")                                                             \
    X(HA_REQUEST_IGNORED, "ignored")

typedef enum HaRequest { HA_REQUEST_LIST(STRTAB_ENUM) HA_REQUEST_N } HaRequest;
STRTAB_DECLARE(ha_request, HaRequest);

/* Node states as the master sees them. */
#define HA_NODE_STATE_LIST(X)                                                                      \
    X(HA_NODE_UNKNOWN, "unknown")                                                                  \
    X(HA_NODE_ONLINE, "online")                                                                    \
    X(HA_NODE_MAINTENANCE, "maintenance")                                                          \
    X(HA_NODE_FENCE, "fence")                                                                      \
    X(HA_NODE_GONE, "gone")

typedef enum HaNodeState { HA_NODE_STATE_LIST(STRTAB_ENUM) HA_NODE_STATE_N } HaNodeState;
STRTAB_DECLARE(ha_node_state, HaNodeState);

#define HA_CRM_STATE_LIST(X)                                                                       \
    X(HA_CRM_STARTUP, "startup")                                                                   \
    X(HA_CRM_WAIT_FOR_QUORUM, "wait_for_quorum")                                                   \
    X(HA_CRM_SLAVE, "slave")                                                                       \
    X(HA_CRM_MASTER, "master")                                                                     \
    X(HA_CRM_LOST_MANAGER_LOCK, "lost_manager_lock")

typedef enum HaCrmState { HA_CRM_STATE_LIST(STRTAB_ENUM) HA_CRM_STATE_N } HaCrmState;
STRTAB_DECLARE(ha_crm_state, HaCrmState);

#define HA_LRM_STATE_LIST(X)                                                                       \
    X(HA_LRM_STARTUP, "startup")                                                                   \
    X(HA_LRM_WAIT_FOR_AGENT_LOCK, "wait_for_agent_lock")                                           \
    X(HA_LRM_ACTIVE, "active")                                                                     \
    X(HA_LRM_MAINTENANCE, "maintenance")                                                           \
    X(HA_LRM_LOST_AGENT_LOCK, "lost_agent_lock")

typedef enum HaLrmState { HA_LRM_STATE_LIST(STRTAB_ENUM) HA_LRM_STATE_N } HaLrmState;
STRTAB_DECLARE(ha_lrm_state, HaLrmState);

/* What an LRM is about to do. `unknown` is never written: it stands for "no status file read". */
#define HA_LRM_MODE_LIST(X)                                                                        \
    X(HA_MODE_UNKNOWN, "unknown")                                                                  \
    X(HA_MODE_ACTIVE, "active")                                                                    \
    X(HA_MODE_REBOOT, "reboot")                                                                    \
    X(HA_MODE_SHUTDOWN, "shutdown")                                                                \
    X(HA_MODE_RESTART, "restart")                                                                  \
    X(HA_MODE_MAINTENANCE, "maintenance")                                                          \
    X(HA_MODE_DISARM, "disarm")

typedef enum HaLrmMode { HA_LRM_MODE_LIST(STRTAB_ENUM) HA_LRM_MODE_N } HaLrmMode;
STRTAB_DECLARE(ha_lrm_mode, HaLrmMode);

#define HA_DISARM_MODE_LIST(X)                                                                     \
    X(HA_DISARM_FREEZE, "freeze")                                                                  \
    X(HA_DISARM_IGNORE, "ignore")

typedef enum HaDisarmMode { HA_DISARM_MODE_LIST(STRTAB_ENUM) HA_DISARM_MODE_N } HaDisarmMode;
STRTAB_DECLARE(ha_disarm_mode, HaDisarmMode);

#define HA_POLICY_LIST(X)                                                                          \
    X(HA_POLICY_CONDITIONAL, "conditional")                                                        \
    X(HA_POLICY_FREEZE, "freeze")                                                                  \
    X(HA_POLICY_FAILOVER, "failover")                                                              \
    X(HA_POLICY_MIGRATE, "migrate")

typedef enum HaPolicy { HA_POLICY_LIST(STRTAB_ENUM) HA_POLICY_N } HaPolicy;
STRTAB_DECLARE(ha_policy, HaPolicy);

#define HA_SCHEDULER_LIST(X)                                                                       \
    X(HA_SCHEDULER_BASIC, "basic")                                                                 \
    X(HA_SCHEDULER_STATIC, "static")                                                               \
    X(HA_SCHEDULER_DYNAMIC, "dynamic")

typedef enum HaScheduler { HA_SCHEDULER_LIST(STRTAB_ENUM) HA_SCHEDULER_N } HaScheduler;
STRTAB_DECLARE(ha_scheduler, HaScheduler);

/* Exit codes of a request to a resource agent: the contract between LRM and worker. */
typedef enum HaExit {
    HA_EXIT_FAILED = -1, /* the worker was killed or never ran */
    HA_EXIT_SUCCESS = 0,
    HA_EXIT_ERROR = 1,
    HA_EXIT_TRY_AGAIN = 2,
    HA_EXIT_WRONG_NODE = 3,
    HA_EXIT_UNKNOWN_TYPE = 4,
    HA_EXIT_UNKNOWN_COMMAND = 5,
    HA_EXIT_INVALID_PARAMETER = 6,
    HA_EXIT_UNKNOWN_SERVICE = 7,
    HA_EXIT_IGNORED = 8,
} HaExit;

#endif
