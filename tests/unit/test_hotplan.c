/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a running QEMU is told exactly what makes it what a start would have made, in an order that
 * works, and what only a start can do is refused. Method: two configurations, the steps between
 * their commands as text. */
#include "guest/core/hotplan.h"

#include "guest/core/confprops.h"
#include "guest/core/netplan.h"
#include "guest/core/qemucmd.h"

#include <errno.h>
#include <string.h>

static const HostFacts host = {.node = "n1",
                               .qemu = {11, 0, 0},
                               .arch = ARCH_X86_64,
                               .cpu_vendor = "GenuineIntel",
                               .run_dir = "/run/q",
                               .event_socket = "/run/e",
                               .firmware_dir = "/f",
                               .arm_firmware_dir = "/f",
                               .script_dir = "/s"};

/* What all cases have; the machine is one that QEMU 7.2 has unless the case says otherwise. */
#define BASE "cores: 4\nkvm: 0\nscsihw: virtio-scsi-single\n"
#define OLD  BASE "machine: pc-i440fx-7.2\n"
#define FAST "cores: 4\nkvm: 1\nmachine: pc-i440fx-7.2\n"

static QemuCmd *build(const char *text)
{
    g_autoptr(VmConf) conf = NULL;
    QemuCmd *cmd = NULL;
    Err err = ERR_INIT;
    int r;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    r = qemucmd_build(vmconf_main(conf), &host, &(QemuCmdParams){.vmid = 100}, &cmd, &err);
    g_test_message("%s", err_text(&err));
    g_assert_cmpint(r, ==, 0);
    return cmd;
}

static int plan(const char *before, const char *after, bool replace, GPtrArray **ret, Err *err)
{
    g_autoptr(QemuCmd) a = build(before);
    g_autoptr(QemuCmd) b = build(after);

    return hotplan_make(a->argv, b->argv, replace, ret, err);
}

/* "+device:scsi1 -drive:x ~drive:y" */
static char *steps_text(const GPtrArray *steps)
{
    static const char *const kinds[] = {[HOT_OBJECT] = "object",
                                        [HOT_DRIVE] = "drive",
                                        [HOT_BLOCKDEV] = "blockdev",
                                        [HOT_NETDEV] = "netdev",
                                        [HOT_DEVICE] = "device"};
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < steps->len; i++) {
        const HotStep *s = steps->pdata[i];
        g_string_append_printf(out, "%s%c%s:%s", i > 0 ? " " : "",
                               s->action == HOT_ADD      ? '+'
                               : s->action == HOT_REMOVE ? '-'
                                                         : '~',
                               kinds[s->kind], s->id);
    }
    return g_string_free(out, FALSE);
}

#define DISK "scsi0: /dev/a\n"

static void test_steps(void)
{
    static const struct {
        const char *before;
        const char *after;
        const char *steps;
    } cases[] = {
        {OLD DISK, OLD DISK, ""},
        {OLD DISK, OLD "scsi0: /dev/a,backup=0\n", ""},
        {OLD DISK, OLD DISK "scsi1: /dev/b,iothread=1\n",
         "+object:iothread-virtioscsi1 +device:virtioscsi1 +drive:drive-scsi1 +device:scsi1"},
        {OLD DISK "scsi1: /dev/b,iothread=1\n", OLD DISK,
         "-device:virtioscsi1 -device:scsi1 -drive:drive-scsi1 -object:iothread-virtioscsi1"},
        {OLD DISK, OLD DISK "virtio3: /dev/b\n", "+drive:drive-virtio3 +device:virtio3"},
        {OLD "virtio3: /dev/b\n", OLD "virtio3: /dev/c\n",
         "-device:virtio3 -drive:drive-virtio3 +drive:drive-virtio3 +device:virtio3"},
        {OLD DISK, OLD "scsi0: /dev/a,mbps=5\n", "~drive:drive-scsi0"},
        {OLD "scsi0: /dev/a,mbps=5\n", OLD DISK, "~drive:drive-scsi0"},
        {BASE DISK, BASE "scsi0: /dev/a,mbps=5\n", "~object:throttle-drive-scsi0"},
        {BASE DISK, BASE DISK "virtio1: /dev/b\n",
         "+object:throttle-drive-virtio1 +blockdev:drive-virtio1 +device:virtio1"},
        {BASE DISK "virtio1: /dev/b\n", BASE DISK,
         "-device:virtio1 -blockdev:drive-virtio1 -object:throttle-drive-virtio1"},
        {OLD, OLD "net1: virtio=BC:24:11:00:00:01\n", "+netdev:net1 +device:net1"},
        {OLD "net1: virtio=BC:24:11:00:00:01\n", OLD "net1: e1000=BC:24:11:00:00:01\n",
         "-device:net1 +device:net1"},
        {OLD "net1: virtio=BC:24:11:00:00:01\n", OLD "net1: virtio=BC:24:11:00:00:01,bridge=b0\n",
         "-device:net1 -netdev:net1 +netdev:net1 +device:net1"},
        {OLD "net1: virtio=BC:24:11:00:00:01,bridge=b0\n",
         OLD "net1: virtio=BC:24:11:00:00:01,bridge=b1,tag=3,link_down=1\n", ""},
        /* another place in the boot order is no reason to unplug anything */
        {OLD "net0: virtio\nboot: order=net0\n",
         OLD "net0: virtio\nscsi1: /dev/b\nboot: order=scsi1;net0\n",
         "+device:virtioscsi1 +drive:drive-scsi1 +device:scsi1"},
        {OLD "ostype: l26\n", OLD "ostype: l26\nusb3: 1234:5678\n", "+device:xhci +device:usb3"},
        {OLD "ostype: l26\nusb0: 1234:5678\nusb3: 1-2\n", OLD "ostype: l26\nusb0: 1234:5678\n",
         "-device:usb3"},
        {OLD "hotplug: cpu\nvcpus: 1\n", OLD "hotplug: cpu\nvcpus: 3\n",
         "+device:cpu2 +device:cpu3"},
        {FAST "hotplug: cpu\nvcpus: 3\n", FAST "hotplug: cpu\nvcpus: 2\n", "-device:cpu3"},
        {OLD "hotplug: memory\nnuma: 1\nmemory: 1024\n",
         OLD "hotplug: memory\nnuma: 1\nmemory: 2048\n",
         "+object:mem-dimm0 +device:dimm0 +object:mem-dimm1 +device:dimm1"},
        {OLD "hotplug: memory\nnuma: 1\nmemory: 2048\n",
         OLD "hotplug: memory\nnuma: 1\nmemory: 1536\n", "-device:dimm1 -object:mem-dimm1"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) steps = NULL;
        g_autofree char *text = NULL;
        Err err = ERR_INIT;
        int r;

        g_test_message("%s to %s", cases[i].before, cases[i].after);
        r = plan(cases[i].before, cases[i].after, true, &steps, &err);
        g_test_message("%s", err_text(&err));
        g_assert_cmpint(r, ==, 0);
        text = steps_text(steps);
        g_assert_cmpstr(text, ==, cases[i].steps);
    }
}

static void test_what_only_a_start_can_do(void)
{
    static const struct {
        const char *before;
        const char *after;
        bool replace;
        const char *said;
    } cases[] = {
        {OLD, OLD "sockets: 2\n", true, "'-smp' at its start only"},
        {OLD, OLD "memory: 1024\n", true, "'-m' at its start only"},
        {OLD, OLD "hotplug: cpu\n", true, "'-smp' at its start only"},
        {OLD DISK, OLD "scsi0: /dev/a,cache=writeback\n", false, "drive-scsi0"},
        {OLD DISK, OLD "scsi0: /dev/a,ssd=1\n", false, "scsi0"},
        {OLD "hotplug: cpu\nvcpus: 3\n", OLD "hotplug: cpu\nvcpus: 2\n", true, "without KVM"},
        {OLD, OLD "ide1: /dev/b\n", true, "'ide-hd' cannot come or go"},
        {OLD, OLD "sata1: /dev/b\n", true, "'ahci' cannot come or go"},
        {OLD, OLD "balloon: 0\n", true, "'virtio-balloon-pci' cannot come or go"},
        {OLD, OLD "usb0: 1234:5678\n", true, "'ich9-usb-"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        GPtrArray *steps = NULL;
        Err err = ERR_INIT;

        g_test_message("%s to %s", cases[i].before, cases[i].after);
        g_assert_cmpint(plan(cases[i].before, cases[i].after, cases[i].replace, &steps, &err), ==,
                        -ENOTSUP);
        g_test_message("%s", err_text(&err));
        g_assert_nonnull(strstr(err_text(&err), cases[i].said));
        g_assert_null(steps);
    }
}

static void test_arguments(void)
{
    static const struct {
        HotKind kind;
        const char *text;
        const char *json;
    } cases[] = {
        {HOT_OBJECT, "iothread,id=a", "{\"qom-type\":\"iothread\",\"id\":\"a\"}"},
        {HOT_OBJECT, "memory-backend-ram,id=m,size=512M,host-nodes=0-1,policy=bind",
         "{\"qom-type\":\"memory-backend-ram\",\"id\":\"m\",\"size\":536870912,"
         "\"host-nodes\":[0,1],\"policy\":\"bind\"}"},
        {HOT_OBJECT, "memory-backend-file,id=m,size=2M,share=on,prealloc=yes",
         "{\"qom-type\":\"memory-backend-file\",\"id\":\"m\",\"size\":2097152,\"share\":true,"
         "\"prealloc\":true}"},
        {HOT_NETDEV, "type=tap,id=net0,ifname=t,vhost=on,queues=2",
         "{\"type\":\"tap\",\"id\":\"net0\",\"ifname\":\"t\",\"vhost\":true,\"queues\":2}"},
        {HOT_NETDEV, "user,id=n,hostname=a,,b",
         "{\"type\":\"user\",\"id\":\"n\",\"hostname\":\"a,b\"}"},
        {HOT_BLOCKDEV, "{\"node-name\":\"x\"}", "{\"node-name\":\"x\"}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonTree) tree = NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        g_assert_cmpint(hotplan_arguments(cases[i].kind, cases[i].text, &tree, NULL), ==, 0);
        jsontree_append(out, tree);
        g_assert_cmpstr(out->str, ==, cases[i].json);
    }
}

static void test_throttle(void)
{
    g_autoptr(JsonTree) tree =
        hotplan_throttle("d", "file=a,throttling.bps-read=5,throttling.iops-total-max=7,throttling."
                              "iops-write-max-length=2");

    g_assert_cmpstr(jsontree_get_text(tree, "device"), ==, "d");
    g_assert_cmpint(jsontree_get_int(tree, "bps", -1), ==, 0);
    g_assert_cmpint(jsontree_get_int(tree, "bps_rd", -1), ==, 5);
    g_assert_cmpint(jsontree_get_int(tree, "iops_max", -1), ==, 7);
    g_assert_cmpint(jsontree_get_int(tree, "iops_wr_max_length", -1), ==, 2);
}

static void test_memory_ladder(void)
{
    int64_t now = 1024;

    g_assert_cmpint(hotplan_next_memory(1024, false, 1024, false), ==, 1024);
    g_assert_cmpint(hotplan_next_memory(1025, true, 1024, false), ==, 1536);
    for (int i = 0; i < 100; i++) {
        int64_t next = hotplan_next_memory(now, true, 1024, false);
        g_assert_cmpint(next - now, ==, i < 32 ? 512 : i < 64 ? 1024 : i < 96 ? 2048 : 4096);
        g_assert_cmpint(hotplan_next_memory(next, false, 1024, false), ==, now);
        now = next;
    }
    g_assert_cmpint(hotplan_next_memory(2048, true, 2048, true), ==, 3072);
}

static void test_cards(void)
{
    static const struct {
        const char *before;
        const char *after;
        bool replug;
        bool link;
    } cases[] = {
        {"virtio,bridge=a", "virtio,bridge=a", false, false},
        {"virtio,bridge=a", "virtio,bridge=b", true, false},
        {"virtio,bridge=a", "virtio,bridge=a,tag=4", true, false},
        {"virtio,bridge=a,rate=3", "virtio,bridge=a", true, false},
        {"virtio,bridge=a,firewall=0", "virtio,bridge=a", false, false},
        {"virtio,bridge=a", "virtio,bridge=a,firewall=1,link_down=1", true, true},
        {"virtio,link_down=1", "virtio", false, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PropString) a = NULL;
        g_autoptr(PropString) b = NULL;
        HotNet what;

        g_assert_cmpint(propstring_parse(&props_net, cases[i].before, NULL, &a, NULL), ==, 0);
        g_assert_cmpint(propstring_parse(&props_net, cases[i].after, NULL, &b, NULL), ==, 0);
        what = hotplan_net(a, b);
        g_assert_cmpint(what.replug, ==, cases[i].replug);
        g_assert_cmpint(what.link, ==, cases[i].link);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hotplan/steps-between-two-commands", test_steps);
    g_test_add_func("/hotplan/what-only-a-start-can-do-is-refused", test_what_only_a_start_can_do);
    g_test_add_func("/hotplan/words-become-typed-arguments", test_arguments);
    g_test_add_func("/hotplan/limits-of-a-drive", test_throttle);
    g_test_add_func("/hotplan/memory-goes-module-by-module", test_memory_ladder);
    g_test_add_func("/hotplan/cards-change-beside-their-device", test_cards);
    return g_test_run();
}
