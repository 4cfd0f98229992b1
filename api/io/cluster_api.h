/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_api: /cluster/status, /cluster/resources and /nodes, read from the mounted tree. Any
 * thread. Reference: api, chapter 11.
 */
#ifndef API_IO_CLUSTER_API_H
#define API_IO_CLUSTER_API_H

#include "lib/cfs/api_call.h"

extern const ParamSpec cluster_resources_params[];

/* The nodes and their quorum; guests, nodes and storages with what they use, as far as the
 * caller may see them; the nodes alone. */
int cluster_get_status(ApiCall *c, Err *err) must_check;
int cluster_get_resources(ApiCall *c, Err *err) must_check;
int cluster_get_nodes(ApiCall *c, Err *err) must_check;

#endif
