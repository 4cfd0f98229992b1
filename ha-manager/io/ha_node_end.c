/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_node_end.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/process.h"

#include <string.h>

#define ASK_MS 5000

HaShutdown ha_node_end_parse(const char *jobs)
{
    g_auto(GStrv) lines = g_strsplit(jobs, "\n", -1);
    HaShutdown end = {0};

    for (gsize i = 0; lines[i] != NULL; i++) {
        bool start = strstr(lines[i], " start ") != NULL;

        if (start && strstr(lines[i], " shutdown.target ") != NULL) {
            end.node = true;
        }
        if (start && strstr(lines[i], " reboot.target ") != NULL) {
            end.node = true;
            end.reboot = true;
        }
    }
    return end;
}

HaShutdown ha_node_end_ask(void)
{
    const char *const argv[] = {"systemctl", "list-jobs", "--no-legend", "--plain", NULL};
    ProcessOptions options = {.timeout_ms = ASK_MS};
    g_autofree char *word = NULL;
    g_autofree char *jobs = NULL;

    if (cfsfile_read(HA_NODE_END_FILE, 64, &word, NULL, NULL) == 0) {
        return (HaShutdown){.node = true, .reboot = g_str_has_prefix(word, "reboot")};
    }
    if (process_check(argv, &options, &jobs, NULL) < 0) {
        return (HaShutdown){0}; /* no systemd, or it does not answer: only we are asked to end */
    }
    return ha_node_end_parse(jobs);
}
