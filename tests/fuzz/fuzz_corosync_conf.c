/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as corosync.conf: refused with a reason, or read, checked, and written back to a text
 * that reads the same. */
#include "lib/conf/corosync_check.h"
#include "lib/conf/corosync_nodes.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void change(CorosyncConf *conf)
{
    CorosyncAddNode add = {.name = "fuzz", .votes = 1, .fallback_address = "10.255.255.254"};
    uint64_t before = corosync_conf_version(conf);
    uint32_t id = 0;
    Err err = ERR_INIT;

    if (corosync_conf_add_node(conf, &add, &id, &err) == 0) {
        g_autoptr(GPtrArray) nodes = corosync_nodes(conf);

        g_assert_nonnull(corosync_nodes_find(nodes, "fuzz"));
        g_assert_cmpuint(corosync_conf_version(conf), ==, before + 1);
    } else {
        g_assert_cmpstr(err_text(&err), !=, "");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(CorosyncConf) again = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    g_autofree char *text = NULL;
    g_autofree char *twice = NULL;
    Err err = ERR_INIT;
    uint64_t v = 0;

    (void)corosync_text_version((const char *)data, size, &v);
    if (corosync_conf_parse((const char *)data, size, &conf, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    text = corosync_conf_format(conf);
    g_assert_cmpint(corosync_conf_parse(text, strlen(text), &again, &err), ==, 0);
    twice = corosync_conf_format(again);
    g_assert_cmpstr(text, ==, twice);
    problems = corosync_check(conf);
    corosync_check_successor(conf, again, problems);
    (void)corosync_expected_votes(conf);
    change(conf);
    return 0;
}
