/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_net.h"

#include "guest/core/confprops.h"
#include "guest/core/netplan.h"
#include "guest/io/guest_proc.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NET_CLASS    "/sys/class/net"
#define NETS_MAX     65536
#define SMALL_MAX    4096
#define STEP_TIMEOUT 10000u

static bool interface_exists(void *ctx, const char *name)
{
    g_autofree char *path = g_build_filename(NET_CLASS, name, NULL);

    (void)ctx;
    return access(path, F_OK) == 0;
}

static int read_number(const char *name, const char *file)
{
    g_autofree char *path = g_build_filename(NET_CLASS, name, file, NULL);
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read(path, SMALL_MAX, &text, &len, NULL) < 0
               ? 0
               : (int)g_ascii_strtoll(text, NULL, 10);
}

static bool has_file(const char *name, const char *file)
{
    g_autofree char *path = g_build_filename(NET_CLASS, name, file, NULL);

    return access(path, F_OK) == 0;
}

/* A card of the machine, a bond, or (namespaces have no cards) one end of a cable named eth. */
static bool is_uplink(const char *port)
{
    return has_file(port, "device") || has_file(port, "bonding") || g_str_has_prefix(port, "eth") ||
           g_str_has_prefix(port, "bond");
}

/* Ports of the bridge that lead out of the host: char *. */
static GPtrArray *find_uplinks(const char *bridge)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = g_build_filename(NET_CLASS, bridge, "brif", NULL);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (is_uplink(name)) {
            g_ptr_array_add(out, g_strdup(name));
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
    return out;
}

static int check_bridge_there(int index, const char *bridge, Err *err)
{
    return has_file(bridge, "bridge")
               ? 0
               : err_setf(err, -ENODEV, "net%d: there is no bridge '%s' on this node", index,
                          bridge);
}

int guest_net_check(const GuestConf *conf, Err *err)
{
    for (int i = 0; i < NETPLAN_CARDS_MAX; i++) {
        const PropString *net = guestconf_props_at(conf, "net", i);
        const char *bridge = net != NULL ? propstring_text(net, "bridge") : NULL;
        int r = bridge != NULL ? check_bridge_there(i, bridge, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int guest_net_write(const char *run_dir, const GuestConf *conf, Err *err)
{
    g_autofree char *path = guest_run_path(run_dir, guestconf_vmid(conf), "nets");
    g_autoptr(GString) text = g_string_new(NULL);

    for (int i = 0; i < NETPLAN_CARDS_MAX; i++) {
        const PropString *net = guestconf_props_at(conf, "net", i);
        if (net != NULL && propstring_text(net, "bridge") != NULL) {
            g_autofree char *value = propstring_format(net);
            g_string_append_printf(text, "%d %s\n", i, value);
        }
    }
    return cfsfile_write(path, text->str, text->len, err);
}

/* The line "INDEX VALUE" of the card. */
static int read_net(const char *run_dir, uint32_t vmid, int index, PropString **ret, Err *err)
{
    g_autofree char *path = guest_run_path(run_dir, vmid, "nets");
    g_autofree char *prefix = g_strdup_printf("%d ", index);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;
    int r = textfile_read(path, NETS_MAX, &text, &len, err);

    if (r < 0) {
        return r;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, prefix)) {
            return propstring_parse(&props_net, *line + strlen(prefix), NULL, ret, err);
        }
    }
    return err_setf(err, -ENOENT, "%s: no card net%d", path, index);
}

static int run_steps(const GPtrArray *steps, Err *err)
{
    const ProcessOptions options = {.timeout_ms = STEP_TIMEOUT};

    for (guint i = 0; i < steps->len; i++) {
        const char *const *argv = steps->pdata[i];
        int r = process_check(argv, &options, NULL, err);
        if (r < 0) {
            g_autofree char *line = g_strjoinv(" ", (char **)argv);
            return err_wrapf(err, r, "'%s'", line);
        }
    }
    return 0;
}

int guest_net_plug(const char *run_dir, const char *tap, Err *err)
{
    g_autoptr(PropString) net = NULL;
    g_autoptr(GPtrArray) uplinks = NULL;
    g_autoptr(GPtrArray) steps = NULL;
    const char *bridge;
    uint32_t vmid;
    int index;
    int r = netplan_parse_tap(tap, &vmid, &index, err);

    if (r == 0) {
        r = read_net(run_dir, vmid, index, &net, err);
    }
    if (r < 0) {
        return r;
    }
    bridge = propstring_text(net, "bridge");
    r = bridge != NULL ? check_bridge_there(index, bridge, err)
                       : err_setf(err, -EINVAL, "net%d has no bridge", index);
    if (r < 0) {
        return r;
    }
    uplinks = find_uplinks(bridge);
    r = netplan_plug(vmid, index, net,
                     &(NetFacts){.vlan_aware = read_number(bridge, "bridge/vlan_filtering") == 1,
                                 .mtu = read_number(bridge, "mtu"),
                                 .uplinks = uplinks,
                                 .exists = interface_exists},
                     &steps, err);
    return r < 0 ? r : run_steps(steps, err);
}

int guest_net_unplug(const char *tap, Err *err)
{
    g_autoptr(GPtrArray) steps = NULL;
    uint32_t vmid;
    int index;
    int r = netplan_parse_tap(tap, &vmid, &index, err);

    if (r < 0) {
        return r;
    }
    steps = netplan_unplug(vmid, index, &(NetFacts){.exists = interface_exists});
    return run_steps(steps, err);
}

int guest_net_detach(const char *tap, const PropString *net, Err *err)
{
    g_autoptr(GPtrArray) steps = NULL;
    uint32_t vmid;
    int index;
    int r = netplan_parse_tap(tap, &vmid, &index, err);

    if (r < 0) {
        return r;
    }
    steps = netplan_detach(vmid, index, net, &(NetFacts){.exists = interface_exists});
    return run_steps(steps, err);
}

void guest_net_sweep(uint32_t vmid)
{
    for (int i = 0; i < NETPLAN_CARDS_MAX; i++) {
        g_autoptr(GPtrArray) steps =
            netplan_unplug(vmid, i, &(NetFacts){.exists = interface_exists});
        (void)!run_steps(steps, NULL); /* left-overs are taken over by the next start */
    }
}
