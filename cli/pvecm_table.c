/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_table: which verbs there are. */
#include "cli/pvecm_verbs.h"

#include "quorum/io/corosync_key.h"

#include <stdio.h>
#include <string.h>

int pvecm_keygen(char **operands, Err *err)
{
    uint8_t key[COROSYNC_KEY_SIZE];
    int r = corosync_key_make(key, err);

    if (r == 0) {
        r = corosync_key_write(operands[0], key, sizeof key, err);
    }
    explicit_bzero(key, sizeof key);
    return r;
}

static GOptionEntry show_options[] = {CLI_OUTPUT_FORMAT_OPTION, {0}};

const CliVerb pvecm_verbs[] = {
    {"status", "", "Show the cluster, its votes and its members", 0, 0, show_options, pvecm_status},
    {"nodes", "", "Show the members", 0, 0, show_options, pvecm_nodes},
    {"expected", "VOTES", "Set the expected votes until membership grows", 1, 1, NULL,
     pvecm_expected},
    {"check", "[FILE]", "Check a corosync.conf before it is used", 0, 1, NULL, pvecm_check},
    {"keygen", "FILE", "Make a new key for the messaging layer", 1, 1, NULL, pvecm_keygen},
    {"apiver", "", "Print the version of the join API", 0, 0, NULL, pvecm_apiver},
    {0},
};
