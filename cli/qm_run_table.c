/* SPDX-License-Identifier: Apache-2.0 */
/* qm_run_table: the verbs that work on running guests. */
#include "cli/qm_verbs.h"

const CliVerb qm_run_verbs[] = {
    {0},
};
