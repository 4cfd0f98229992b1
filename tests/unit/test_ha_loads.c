/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the schedulers weigh what nodes and guests really use, and what is missing is told from
 * what is nothing. Method: texts as the cluster filesystem shows them (.rrd, static-info, guest
 * configurations), and the usage that the core makes of them.
 */
#include "ha-manager/core/ha_usage.h"
#include "ha-manager/io/ha_loads.h"

#include <glib.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)

/* Node: uptime, subscription, time, load average, CPUs, share in use, waiting, memory, in use, ...
 * Guest: uptime, name, status, template, time, CPUs, share in use, memory, in use, ... */
static const char rrd[] =
    "pve-node-9.0/n1:5000:c:1764345600:0.5:8:0.25:0.01:16000000000:4000000000:0:0:9:1:7:8:U:U:U\n"
    "pve-vm-9.0/100:4000:web:running:0:1764345600:2:0.5:2147483648:1073741824:0:0:1:2:3:4\n"
    "pve-vm-9.0/101:0:mail:stopped:0:1764345600:4:0:4294967296:0:0:0:1:2:3:4\n"
    "pve-vm-9.0/102:4000:odd:running:0:1764345600:U:U:U:U:U:U\n"
    "pve-vm-9.0/103:4000:short:running\n"
    "pve-storage-9.0/n1/local:1764345600:100:50\n"
    "no line at all\n"
    ":\n"
    "\n"
    "pve-node-9.0/n10:5000:c:1764345600:0.5:U:U:0.01:U:U\n"
    "pve2-node/n3:5000:c:1764345600:0.5:8:0.25:0.01:16000000000:4000000000\n"
    "pve-node-9.0/n2:5000:c:1764345600:0.5:4:-1:0.01:8000000000:1000000000";

static HaValues *values(void)
{
    return ha_values_new(rrd, sizeof rrd); /* with its NUL, as IPC answers */
}

static void assert_load(HaLoad *taken, double maxcpu, double cpu, double maxmem, double mem)
{
    g_autofree HaLoad *load = taken;

    g_assert_nonnull(load);
    g_assert_cmpfloat(load->maxcpu, ==, maxcpu);
    g_assert_cmpfloat(load->cpu, ==, cpu);
    g_assert_cmpfloat(load->maxmem, ==, maxmem);
    g_assert_cmpfloat(load->mem, ==, mem);
}

static void nodes_are_measured(void)
{
    g_autoptr(HaValues) v = values();

    assert_load(ha_values_node_load(v, "n1"), 8, 2, 16e9, 4e9);
    assert_load(ha_values_node_load(v, "n2"), 4, 0, 8e9, 1e9); /* a share below 0 is none */
}

static void node_that_tells_nothing_is_not_known(void)
{
    g_autoptr(HaValues) v = values();
    g_autoptr(HaValues) none = ha_values_new("", 0);

    g_assert_null(ha_values_node_load(v, "n10")); /* not how many CPUs */
    g_assert_null(ha_values_node_load(v, "n3"));  /* in words of an older version */
    g_assert_null(ha_values_node_load(v, "n"));
    g_assert_null(ha_values_node_load(v, ""));
    g_assert_null(ha_values_node_load(none, "n1"));
}

static void guests_are_measured(void)
{
    g_autoptr(HaValues) v = values();

    assert_load(ha_values_guest_load(v, "vm:100"), 2, 1, 2048 * MIB, 1024 * MIB);
    assert_load(ha_values_guest_load(v, "ct:101"), 4, 0, 4096 * MIB, 0);
    assert_load(ha_values_guest_load(v, "vm:102"), 0, 0, 0, 0);
    assert_load(ha_values_guest_load(v, "vm:103"), 0, 0, 0, 0);
    g_assert_null(ha_values_guest_load(v, "vm:10"));
    g_assert_null(ha_values_guest_load(v, "exec:web"));
}

static void status_is_the_last_word_of_the_guest(void)
{
    g_autoptr(HaValues) v = values();

    g_assert_true(ha_values_guest_runs(v, "vm:100"));
    g_assert_true(ha_values_guest_runs(v, "vm:103"));
    g_assert_false(ha_values_guest_runs(v, "vm:101"));
    g_assert_false(ha_values_guest_runs(v, "vm:104"));
}

static void size_of_a_node_by_what_it_told(void)
{
    static const char good[] = "{\"cpus\": 12, \"memory\": 33554432}";

    assert_load(ha_load_of_static_info(good, strlen(good)), 12, 0, 33554432, 0);
    assert_load(ha_load_of_static_info("{}", 2), 0, 0, 0, 0);
    g_assert_null(ha_load_of_static_info("", 0));
    g_assert_null(ha_load_of_static_info("{\"cpus\":", 8));
}

static void check_config(const char *sid, const char *text, double cpu, double mem_mib)
{
    assert_load(ha_load_of_config(sid, text, strlen(text)), cpu, cpu, mem_mib * MIB, mem_mib * MIB);
}

static void configuration_says_what_a_guest_may_use(void)
{
    check_config("vm:1", "cores: 4\nsockets: 2\nmemory: 2048\n", 8, 2048);
    check_config("vm:1", "cores: 4\nsockets: 2\nvcpus: 3\nmemory: current=1024\n", 3, 1024);
    check_config("vm:1", "name: small\n", 1, 512);
    check_config("vm:1", "cores: 2\n\n[snap]\ncores: 8\nmemory: 4096\n", 2, 512);
    check_config("ct:1", "cores: 4\nmemory: 256\n", 4, 256);
    check_config("ct:1", "cores: 4\ncpulimit: 1.5\nmemory: 256\n", 1.5, 256);
    check_config("ct:1", "memory: 256\n", 0, 256); /* as many as there are */
}

static void check_properties(const char *sid, const char *text, double cpu, double mem_mib)
{
    g_autoptr(JsonTree) tree = NULL;

    if (text != NULL) {
        g_assert_cmpint(jsontree_parse(text, strlen(text), &tree, NULL), ==, 0);
    }
    assert_load(ha_load_of_properties(sid, tree), cpu, cpu, mem_mib * MIB, mem_mib * MIB);
}

static void properties_say_the_same(void)
{
    check_properties("vm:1", "{\"cores\":\"4\",\"sockets\":\"2\",\"memory\":\"2048\"}", 8, 2048);
    check_properties("vm:1", "{\"cores\":\"4\",\"vcpus\":\"3\",\"memory\":\"current=1024\"}", 3,
                     1024);
    check_properties("vm:1", NULL, 1, 512);
    check_properties("vm:1", "[]", 1, 512);
    check_properties("ct:1", "{\"cores\":\"4\",\"cpulimit\":\"1.5\",\"memory\":\"256\"}", 1.5, 256);
}

/* What the dynamic scheduler makes of it: 0, or why it cannot be used. */
static int use(const char *const *nodes, Err *err)
{
    g_autoptr(HaValues) v = values();
    g_autoptr(StrMap) online = strmap_new(NULL);
    g_auto(HaLoads) loads = {NULL, NULL};
    g_autoptr(HaUsage) usage = NULL;
    int r;

    ha_loads_init(&loads);
    for (gsize i = 0; nodes[i] != NULL; i++) {
        HaLoad *load = ha_values_node_load(v, nodes[i]);

        strmap_set(online, nodes[i], GINT_TO_POINTER(1));
        if (load != NULL) {
            strmap_set(loads.nodes, nodes[i], load);
        }
    }
    strmap_set(loads.guests, "vm:100", ha_values_guest_load(v, "vm:100"));
    r = ha_usage_new(HA_SCHEDULER_DYNAMIC, online, &loads, &usage, err);
    if (r == 0) {
        const HaNodeUse *view = ha_usage_balance_view(usage);
        double cpu;
        double mem;

        g_assert_cmpfloat(view[0].cpu, ==, 2);
        g_assert_cmpfloat(view[1].mem, ==, 1e9);
        g_assert_true(ha_usage_running_load(usage, "vm:100", &cpu, &mem));
        g_assert_cmpfloat(cpu, ==, 1);
        g_assert_cmpfloat(mem, ==, 1024 * MIB);
        g_assert_false(ha_usage_running_load(usage, "vm:999", &cpu, &mem));
    }
    return r;
}

static void dynamic_scheduler_needs_every_node(void)
{
    static const char *const known[] = {"n1", "n2", NULL};
    static const char *const one_missing[] = {"n1", "n10", "n2", NULL};
    Err err = ERR_INIT;

    g_assert_cmpint(use(known, &err), ==, 0);
    g_assert_cmpint(use(one_missing, &err), <, 0);
    g_assert_cmpstr(err_text(&err), ==, "did not get dynamic node usage information for 'n10'");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/loads/nodes-are-measured", nodes_are_measured);
    g_test_add_func("/ha/loads/node-that-tells-nothing-is-not-known",
                    node_that_tells_nothing_is_not_known);
    g_test_add_func("/ha/loads/guests-are-measured", guests_are_measured);
    g_test_add_func("/ha/loads/status-is-the-last-word-of-the-guest",
                    status_is_the_last_word_of_the_guest);
    g_test_add_func("/ha/loads/size-of-a-node-by-what-it-told", size_of_a_node_by_what_it_told);
    g_test_add_func("/ha/loads/configuration-says-what-a-guest-may-use",
                    configuration_says_what_a_guest_may_use);
    g_test_add_func("/ha/loads/properties-say-the-same", properties_say_the_same);
    g_test_add_func("/ha/loads/dynamic-scheduler-needs-every-node",
                    dynamic_scheduler_needs_every_node);
    return g_test_run();
}
