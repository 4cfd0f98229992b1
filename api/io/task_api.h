/* SPDX-License-Identifier: Apache-2.0 */
/* task_api: state and log of this node's tasks. Any thread. Reference: api, chapter 10. */
#ifndef API_IO_TASK_API_H
#define API_IO_TASK_API_H

#include "lib/cfs/api_call.h"

extern const ParamSpec task_log_params[];

/* Path variables: node, id of the task. */
int task_get_status(ApiCall *c, Err *err) must_check;
int task_get_log(ApiCall *c, Err *err) must_check;

#endif
