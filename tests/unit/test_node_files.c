/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a node's files are made once, renewed when due, and nothing good is ever replaced. */
#include "quorum/io/certs.h"
#include "quorum/io/node_files.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

static char *top;

static char *slurp(const char *name)
{
    g_autofree char *path = g_build_filename(top, name, NULL);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static NodeFilesPlan plan_for_n1(GPtrArray *addresses)
{
    return (NodeFilesPlan){.pve = top,
                           .node = "n1",
                           .fqdn = "n1.test",
                           .addresses = addresses,
                           .now = {1795309371},
                           .ca_bits = 2048,
                           .node_bits = 2048};
}

static void makes_everything_once(void)
{
    g_autoptr(GPtrArray) addresses = g_ptr_array_new();
    NodeFilesPlan plan = plan_for_n1(addresses);
    g_autofree char *before = NULL, *after = NULL, *ca = NULL, *key = NULL;
    Err err = ERR_INIT;

    g_ptr_array_add(addresses, (char *)"10.0.0.1");
    g_assert_cmpint(node_files_update(&plan, &err), >, 0);
    before = slurp("nodes/n1/pve-ssl.pem");
    ca = slurp("pve-root-ca.pem");
    key = slurp("nodes/n1/pve-ssl.key");
    g_assert_cmpint(certs_verify(ca, before, key, plan.now, &err), ==, 0);
    g_assert_cmpint(node_files_update(&plan, &err), ==, 0); /* safe to repeat */
    after = slurp("nodes/n1/pve-ssl.pem");
    g_assert_cmpstr(before, ==, after);
}

static void renews_when_an_address_is_new(void)
{
    g_autoptr(GPtrArray) addresses = g_ptr_array_new();
    NodeFilesPlan plan = plan_for_n1(addresses);
    g_autofree char *cert = NULL, *ca_before = slurp("pve-root-ca.pem"), *ca_after = NULL;
    g_auto(CertInfo) info = {0};
    Err err = ERR_INIT;

    g_ptr_array_add(addresses, (char *)"10.0.0.9");
    g_assert_cmpint(node_files_update(&plan, &err), ==, 1);
    cert = slurp("nodes/n1/pve-ssl.pem");
    g_assert_cmpint(certs_inspect(cert, &info, &err), ==, 0);
    g_assert_true(g_ptr_array_find_with_equal_func(info.names, "10.0.0.9", g_str_equal, NULL));
    ca_after = slurp("pve-root-ca.pem");
    g_assert_cmpstr(ca_before, ==, ca_after);
}

static void never_replaces_a_ca_whose_key_is_gone(void)
{
    g_autoptr(GPtrArray) addresses = g_ptr_array_new();
    NodeFilesPlan plan = plan_for_n1(addresses);
    g_autofree char *path = g_build_filename(top, "priv", "pve-root-ca.key", NULL);
    g_autofree char *ca_before = slurp("pve-root-ca.pem"), *ca_after = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(node_files_update(&plan, &err), ==, -EKEYREJECTED);
    g_assert_nonnull(strstr(err.text, "restore priv/pve-root-ca.key"));
    ca_after = slurp("pve-root-ca.pem");
    g_assert_cmpstr(ca_before, ==, ca_after);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    top = g_dir_make_tmp("node-files-XXXXXX", NULL);
    g_test_add_func("/node-files/makes-everything-once", makes_everything_once);
    g_test_add_func("/node-files/renews-for-a-new-address", renews_when_an_address_is_new);
    g_test_add_func("/node-files/keeps-a-ca-without-key", never_replaces_a_ca_whose_key_is_gone);
    r = g_test_run();
    test_remove_tree(top);
    g_free(top);
    return r;
}
