/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_names.h"

STRTAB_DEFINE(ha_service_state, HaServiceState, HA_SERVICE_STATE_LIST, HA_SERVICE_STATE_N)
STRTAB_DEFINE(ha_request, HaRequest, HA_REQUEST_LIST, HA_REQUEST_N)
STRTAB_DEFINE(ha_node_state, HaNodeState, HA_NODE_STATE_LIST, HA_NODE_STATE_N)
STRTAB_DEFINE(ha_crm_state, HaCrmState, HA_CRM_STATE_LIST, HA_CRM_STATE_N)
STRTAB_DEFINE(ha_lrm_state, HaLrmState, HA_LRM_STATE_LIST, HA_LRM_STATE_N)
STRTAB_DEFINE(ha_lrm_mode, HaLrmMode, HA_LRM_MODE_LIST, HA_LRM_MODE_N)
STRTAB_DEFINE(ha_disarm_mode, HaDisarmMode, HA_DISARM_MODE_LIST, HA_DISARM_MODE_N)
STRTAB_DEFINE(ha_policy, HaPolicy, HA_POLICY_LIST, HA_POLICY_N)
STRTAB_DEFINE(ha_scheduler, HaScheduler, HA_SCHEDULER_LIST, HA_SCHEDULER_N)
