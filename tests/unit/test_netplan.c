/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a network card is connected as its options say, on every kind of bridge. Method: plans are
 * compared as text; nothing is run.
 */
#include "guest/core/confprops.h"
#include "guest/core/netplan.h"

#include <errno.h>
#include <string.h>

static bool nothing(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return false;
}

static bool everything(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return true;
}

static char *text_of(const GPtrArray *steps)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < steps->len; i++) {
        g_autofree char *line = g_strjoinv(" ", steps->pdata[i]);
        g_string_append_printf(out, "%s\n", line);
    }
    return g_string_free(out, FALSE);
}

static PropString *net(const char *text)
{
    PropString *p = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(propstring_parse(&props_net, text, NULL, &p, &err), ==, 0);
    return p;
}

static void expect(const char *text, const NetFacts *facts, const char *wanted)
{
    g_autoptr(PropString) p = net(text);
    g_autoptr(GPtrArray) steps = NULL;
    g_autofree char *got = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(netplan_plug(100, 2, p, facts, &steps, &err), ==, 0);
    got = text_of(steps);
    g_assert_cmpstr(got, ==, wanted);
}

static int refusal(uint32_t vmid, const char *text, const NetFacts *facts)
{
    g_autoptr(PropString) p = net(text);
    g_autoptr(GPtrArray) steps = NULL;
    Err err = ERR_INIT;
    int r = netplan_plug(vmid, 31, p, facts, &steps, &err);

    g_assert_null(steps);
    g_assert_cmpint(err.code, ==, r);
    return r;
}

static void test_plain(void)
{
    expect("virtio=BC:24:11:00:00:01,bridge=vmbr0", &(NetFacts){.mtu = 1500, .exists = nothing},
           "ip link set dev tap100i2 mtu 1500 master vmbr0 up\n");
}

static void test_firewall(void)
{
    expect("virtio,bridge=vmbr0,firewall=1", &(NetFacts){.mtu = 9000, .exists = nothing},
           "ip link add name fwbr100i2 type bridge\n"
           "ip link add name fwln100i2 type veth peer name fwpr100p2\n"
           "ip link set dev fwbr100i2 up\n"
           "ip link set dev fwln100i2 mtu 9000 master fwbr100i2 up\n"
           "ip link set dev tap100i2 mtu 9000 master fwbr100i2 up\n"
           "ip link set dev fwpr100p2 mtu 9000 master vmbr0 up\n");
    /* What an earlier run left is taken over. */
    expect("virtio,bridge=vmbr0,firewall=1", &(NetFacts){.exists = everything},
           "ip link set dev fwbr100i2 up\n"
           "ip link set dev fwln100i2 master fwbr100i2 up\n"
           "ip link set dev tap100i2 master fwbr100i2 up\n"
           "ip link set dev fwpr100p2 master vmbr0 up\n");
}

static void test_tag(void)
{
    g_autoptr(GPtrArray) uplinks = g_ptr_array_new();

    g_ptr_array_add(uplinks, (void *)(uintptr_t) "eno1");
    expect("e1000,bridge=vmbr0,tag=20", &(NetFacts){.uplinks = uplinks, .exists = nothing},
           "ip link add name vmbr0v20 type bridge\n"
           "ip link add link eno1 name eno1.20 type vlan id 20\n"
           "ip link set dev eno1.20 master vmbr0v20 up\n"
           "ip link set dev vmbr0v20 up\n"
           "ip link set dev tap100i2 master vmbr0v20 up\n");
    expect("e1000,bridge=vmbr0,tag=20", &(NetFacts){.vlan_aware = true, .exists = nothing},
           "ip link set dev tap100i2 master vmbr0 up\n"
           "bridge vlan del dev tap100i2 vid 1-4094\n"
           "bridge vlan add dev tap100i2 vid 20 pvid untagged\n");
    expect("e1000,bridge=vmbr0,trunks=5;7-9,firewall=1",
           &(NetFacts){.vlan_aware = true, .exists = everything},
           "ip link set dev fwbr100i2 up\n"
           "ip link set dev fwln100i2 master fwbr100i2 up\n"
           "ip link set dev tap100i2 master fwbr100i2 up\n"
           "ip link set dev fwpr100p2 master vmbr0 up\n"
           "bridge vlan del dev fwpr100p2 vid 1-4094\n"
           "bridge vlan add dev fwpr100p2 vid 1 pvid untagged\n"
           "bridge vlan add dev fwpr100p2 vid 5\n"
           "bridge vlan add dev fwpr100p2 vid 7-9\n");
    g_assert_cmpint(refusal(100, "e1000,bridge=vmbr0,tag=20", &(NetFacts){.exists = nothing}), ==,
                    -ENODEV);
    g_assert_cmpint(refusal(100, "e1000,bridge=vmbr0,trunks=5", &(NetFacts){.exists = nothing}), ==,
                    -EINVAL);
}

static void test_rate(void)
{
    expect("virtio,bridge=vmbr0,rate=0.5", &(NetFacts){.exists = nothing},
           "ip link set dev tap100i2 master vmbr0 up\n"
           "tc qdisc add dev tap100i2 handle 1: root htb default 1\n"
           "tc class add dev tap100i2 parent 1: classid 1:1 htb rate 524288bps burst 1048576\n"
           "tc qdisc add dev tap100i2 handle ffff: ingress\n"
           "tc filter add dev tap100i2 parent ffff: protocol all prio 50 matchall action police "
           "rate 524288bps burst 1048576 mtu 64kb conform-exceed drop\n");
}

static void test_names(void)
{
    static const char *const bad[] = {"",          "tap",       "tapi0",     "tap99i0",
                                      "tap0100i0", "tap100i32", "tap100i",   "tap100i1x",
                                      "eth0",      "tap100i-1", "tap100i 1", "tap1000000000i0"};
    Err err = ERR_INIT;
    uint32_t vmid = 0;
    int index = 0;

    g_assert_cmpint(netplan_parse_tap("tap100i31", &vmid, &index, &err), ==, 0);
    g_assert_cmpint(vmid, ==, 100);
    g_assert_cmpint(index, ==, 31);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(netplan_parse_tap(bad[i], &vmid, &index, &err), ==, -EINVAL);
    }
    /* fwbr999999999i31 has 16 characters. */
    g_assert_cmpint(
        refusal(999999999, "virtio,bridge=vmbr0,firewall=1", &(NetFacts){.exists = nothing}), ==,
        -EINVAL);
    g_assert_cmpint(refusal(100, "virtio", &(NetFacts){.exists = nothing}), ==, -EINVAL);
}

static void test_unplug(void)
{
    g_autoptr(GPtrArray) none = netplan_unplug(100, 2, &(NetFacts){.exists = nothing});
    g_autoptr(GPtrArray) all = netplan_unplug(100, 2, &(NetFacts){.exists = everything});
    g_autofree char *text = text_of(all);

    g_assert_cmpint(none->len, ==, 0);
    g_assert_cmpstr(text, ==, "ip link del dev fwln100i2\nip link del dev fwbr100i2\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/netplan/a-plain-card-joins-its-bridge", test_plain);
    g_test_add_func("/netplan/firewall-puts-a-bridge-between", test_firewall);
    g_test_add_func("/netplan/tags-and-trunks-on-both-kinds-of-bridge", test_tag);
    g_test_add_func("/netplan/rate-limits-both-directions", test_rate);
    g_test_add_func("/netplan/names-are-checked", test_names);
    g_test_add_func("/netplan/unplug-removes-what-is-there", test_unplug);
    return g_test_run();
}
