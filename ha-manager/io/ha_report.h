/* SPDX-License-Identifier: Apache-2.0 */
/* ha_report: gathers what a node knows of its trouble, for its black box and for its peers. */
#ifndef HA_MANAGER_IO_HA_REPORT_H
#define HA_MANAGER_IO_HA_REPORT_H

#include "ha-manager/io/ha_node.h"

/* Writes the entry in a child: neither a slow disk nor a dead network may hold the daemon up. */
void ha_report_blackbox(HaNode *n, const char *event);

#endif
