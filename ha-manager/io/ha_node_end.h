/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_node_end: is the whole machine going down, or only this daemon? Asks systemd for a queued job;
 * where there is no systemd, the file HA_NODE_END_FILE with the word `reboot` or `shutdown` says
 * it.
 */
#ifndef HA_MANAGER_IO_HA_NODE_END_H
#define HA_MANAGER_IO_HA_NODE_END_H

#include "ha-manager/core/ha_lrm.h"

#define HA_NODE_END_FILE "/run/quorate/node-end"

/* Blocks while systemd is asked, which has a deadline. Without an answer: only the daemon ends. */
HaShutdown ha_node_end_ask(void);

/* From the output of `systemctl list-jobs`. */
HaShutdown ha_node_end_parse(const char *jobs);

#endif
