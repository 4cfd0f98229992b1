/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: only a good and newer corosync.conf reaches the host, whole, and corosync hears of it once.
 */
#include "pmxcfs/io/corosync_conf_sync.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *conf_text(unsigned version, const char *extra)
{
    return g_strdup_printf("totem {\n  version: 2\n  cluster_name: t\n  config_version: %u\n"
                           "  secauth: on\n}\nnodelist {\n  node {\n    name: a\n    nodeid: 1\n"
                           "    ring0_addr: 10.0.0.1\n  }\n}\n"
                           "quorum {\n  provider: corosync_votequorum\n}\n%s",
                           version, extra);
}

static CorosyncConfVerdict verdict(const char *text, const char *host)
{
    return corosync_conf_verdict(text, strlen(text), host, host != NULL ? strlen(host) : 0, NULL);
}

static void verdict_follows_the_version_rules(void)
{
    g_autofree char *v2 = conf_text(2, "");
    g_autofree char *v2b = conf_text(2, "# other\n");
    g_autofree char *v3 = conf_text(3, "");
    g_autofree char *bad = conf_text(4, "nonsense\n");

    g_assert_cmpint(verdict("", v2), ==, COROSYNC_CONF_SAME);
    g_assert_cmpint(verdict(v2, v2), ==, COROSYNC_CONF_SAME);
    g_assert_cmpint(verdict(v2, NULL), ==, COROSYNC_CONF_INSTALL);
    g_assert_cmpint(verdict(v3, v2), ==, COROSYNC_CONF_INSTALL);
    g_assert_cmpint(verdict(v2b, v2), ==, COROSYNC_CONF_INSTALL);
    g_assert_cmpint(verdict(v2, v3), ==, COROSYNC_CONF_OLDER);
    g_assert_cmpint(verdict(bad, v2), ==, COROSYNC_CONF_BAD);
    g_assert_cmpint(verdict("no version", v2), ==, COROSYNC_CONF_BAD);
    g_assert_cmpint(verdict(v2, "rubbish"), ==, COROSYNC_CONF_INSTALL);
}

static void push(CorosyncConfSync *s, const char *text, bool notify)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    corosync_conf_sync_push(s, bytes, notify);
}

static void installs_and_tells_corosync(void)
{
    g_autofree char *dir = g_dir_make_tmp("conf-sync-XXXXXX", NULL);
    g_autofree char *host = g_build_filename(dir, "corosync.conf", NULL);
    g_autofree char *told = g_build_filename(dir, "told", NULL);
    g_autofree char *tool = g_build_filename(dir, "tool", NULL);
    g_autofree char *script = g_strdup_printf("#!/bin/sh\necho \"$1\" >> %s\n", told);
    g_autofree char *v1 = conf_text(1, "");
    g_autofree char *v2 = conf_text(2, "");
    g_autofree char *now = NULL, *calls = NULL;
    CorosyncConfSync *s;
    struct stat st;

    g_assert_true(g_file_set_contents(tool, script, -1, NULL));
    g_assert_cmpint(g_chmod(tool, 0755), ==, 0);
    s = corosync_conf_sync_new(host, tool, NULL);
    push(s, v1, true); /* the host had none: written, corosync is not told */
    corosync_conf_sync_free(s);
    g_assert_false(g_file_test(told, G_FILE_TEST_EXISTS));
    s = corosync_conf_sync_new(host, tool, NULL);
    push(s, v2, true);
    corosync_conf_sync_free(s);
    g_assert_true(g_file_get_contents(host, &now, NULL, NULL));
    g_assert_cmpstr(now, ==, v2);
    g_assert_true(g_file_get_contents(told, &calls, NULL, NULL));
    g_assert_cmpstr(calls, ==, "-R\n");
    g_assert_cmpint(g_stat(host, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0644);
    s = corosync_conf_sync_new(host, tool, NULL);
    push(s, v1, true); /* older: refused */
    corosync_conf_sync_free(s);
    g_clear_pointer(&now, g_free);
    g_assert_true(g_file_get_contents(host, &now, NULL, NULL));
    g_assert_cmpstr(now, ==, v2);
    (void)g_remove(host);
    (void)g_remove(told);
    (void)g_remove(tool);
    (void)g_remove(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/corosync-conf-sync/verdict", verdict_follows_the_version_rules);
    g_test_add_func("/corosync-conf-sync/installs-and-tells", installs_and_tells_corosync);
    return g_test_run();
}
