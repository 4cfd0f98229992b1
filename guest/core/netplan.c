/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/netplan.h"

#include "guest/core/volid.h"

#include <errno.h>
#include <string.h>

#define NAME_MAX_BYTES 15 /* IFNAMSIZ without the NUL */
#define BURST_BYTES    "1048576"

typedef struct Plan {
    uint32_t vmid;
    int index;
    const NetFacts *facts;
    GPtrArray *steps;
} Plan;

static void free_step(void *step)
{
    g_strfreev(step);
}

/* Words separated by one blank; none of ours holds one: names come from checked values. */
static void step(Plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void step(Plan *p, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_ptr_array_add(p->steps, g_strsplit(line, " ", -1));
}

static bool there(const Plan *p, const char *name)
{
    return p->facts->exists != NULL && p->facts->exists(p->facts->ctx, name);
}

static int check_name(const char *name, Err *err)
{
    if (strlen(name) > NAME_MAX_BYTES) {
        return err_setf(err, -EINVAL, "interface name '%s' is longer than %d characters", name,
                        NAME_MAX_BYTES);
    }
    return 0;
}

int netplan_tap(uint32_t vmid, int index, char **ret, Err *err)
{
    g_autofree char *name = g_strdup_printf("tap%ui%d", vmid, index);
    int r = check_name(name, err);

    if (r == 0) {
        *ret = g_steal_pointer(&name);
    }
    return r;
}

int netplan_parse_tap(const char *tap, uint32_t *ret_vmid, int *ret_index, Err *err)
{
    const char *i = g_str_has_prefix(tap, "tap") ? strchr(tap, 'i') : NULL;
    g_autofree char *digits = i != NULL ? g_strndup(tap + 3, (gsize)(i - tap - 3)) : NULL;
    uint32_t vmid = 0;
    gint64 index = -1;
    char *end = NULL;

    if (i != NULL && vmid_parse(digits, &vmid, NULL) == 0 && g_ascii_isdigit(i[1])) {
        index = g_ascii_strtoll(i + 1, &end, 10);
    }
    if (index < 0 || index >= NETPLAN_CARDS_MAX || *end != '\0') {
        return err_setf(err, -EINVAL, "'%.40s' is no interface of a guest", tap);
    }
    *ret_vmid = vmid;
    *ret_index = (int)index;
    return 0;
}

/* ------------------------------------------------------------------- parts */

/* A bridge that carries one VLAN out of every uplink of `bridge`. */
static int vlan_bridge(Plan *p, const char *bridge, int tag, char **ret, Err *err)
{
    g_autofree char *name = g_strdup_printf("%sv%d", bridge, tag);
    const GPtrArray *uplinks = p->facts->uplinks;
    int r = check_name(name, err);

    if (r < 0) {
        return r;
    }
    if (uplinks == NULL || uplinks->len == 0) {
        return err_setf(err, -ENODEV, "no physical interface on bridge '%s' to carry VLAN %d",
                        bridge, tag);
    }
    if (!there(p, name)) {
        step(p, "ip link add name %s type bridge", name);
    }
    for (guint i = 0; i < uplinks->len; i++) {
        const char *uplink = uplinks->pdata[i];
        g_autofree char *port = g_strdup_printf("%s.%d", uplink, tag);
        r = check_name(port, err);
        if (r < 0) {
            return r;
        }
        if (!there(p, port)) {
            step(p, "ip link add link %s name %s type vlan id %d", uplink, port, tag);
        }
        step(p, "ip link set dev %s master %s up", port, name);
    }
    step(p, "ip link set dev %s up", name);
    *ret = g_steal_pointer(&name);
    return 0;
}

/* The port's own VLANs on a bridge that filters. */
static void port_vlans(Plan *p, const char *port, int tag, const char *trunks)
{
    step(p, "bridge vlan del dev %s vid 1-4094", port);
    step(p, "bridge vlan add dev %s vid %d pvid untagged", port, tag > 0 ? tag : 1);
    if (trunks != NULL) {
        g_auto(GStrv) ranges = g_strsplit(trunks, ";", -1);
        for (char **range = ranges; *range != NULL; range++) {
            step(p, "bridge vlan add dev %s vid %s", port, *range);
        }
    } else if (tag == 0) {
        step(p, "bridge vlan add dev %s vid 2-4094", port);
    }
}

static void mtu_and_up(Plan *p, const char *name, const char *master)
{
    if (p->facts->mtu > 0) {
        step(p, "ip link set dev %s mtu %d master %s up", name, p->facts->mtu, master);
    } else {
        step(p, "ip link set dev %s master %s up", name, master);
    }
}

static char *fw_name(const Plan *p, const char *kind, char separator)
{
    return g_strdup_printf("%s%u%c%d", kind, p->vmid, separator, p->index);
}

/* The bridge whose traffic the firewall sees. *ret_port: its end on the outside. */
static int firewall_bridge(Plan *p, const char *tap, char **ret_port, Err *err)
{
    g_autofree char *bridge = fw_name(p, "fwbr", 'i');
    g_autofree char *inner = fw_name(p, "fwln", 'i');
    g_autofree char *outer = fw_name(p, "fwpr", 'p');
    int r = check_name(bridge, err);

    if (r < 0) {
        return r;
    }
    if (!there(p, bridge)) {
        step(p, "ip link add name %s type bridge", bridge);
    }
    if (!there(p, inner)) {
        step(p, "ip link add name %s type veth peer name %s", inner, outer);
    }
    step(p, "ip link set dev %s up", bridge);
    mtu_and_up(p, inner, bridge);
    mtu_and_up(p, tap, bridge);
    *ret_port = g_steal_pointer(&outer);
    return 0;
}

/* Both directions; `rate` in MB/s. */
static void rate_limit(Plan *p, const char *tap, double rate)
{
    gint64 bytes = (gint64)(rate * 1024 * 1024);

    step(p, "tc qdisc add dev %s handle 1: root htb default 1", tap);
    step(p,
         "tc class add dev %s parent 1: classid 1:1 htb rate %" G_GINT64_FORMAT
         "bps burst " BURST_BYTES,
         tap, bytes);
    step(p, "tc qdisc add dev %s handle ffff: ingress", tap);
    step(p,
         "tc filter add dev %s parent ffff: protocol all prio 50 matchall action police rate "
         "%" G_GINT64_FORMAT "bps burst " BURST_BYTES " mtu 64kb conform-exceed drop",
         tap, bytes);
}

/* ------------------------------------------------------------------- front */

static int plug(Plan *p, const PropString *net, Err *err)
{
    const char *bridge = propstring_text(net, "bridge");
    const char *trunks = propstring_text(net, "trunks");
    int tag = propstring_text(net, "tag") != NULL ? (int)propstring_int(net, "tag") : 0;
    g_autofree char *tap = NULL;
    g_autofree char *outer = NULL;
    g_autofree char *target = NULL;
    int r = netplan_tap(p->vmid, p->index, &tap, err);

    if (r < 0) {
        return r;
    }
    if (bridge == NULL) {
        return err_setf(err, -EINVAL, "the card has no bridge");
    }
    if (!p->facts->vlan_aware && trunks != NULL) {
        return err_setf(err, -EINVAL, "trunks need a VLAN-aware bridge, '%s' is none", bridge);
    }
    if (tag > 0 && !p->facts->vlan_aware) {
        r = vlan_bridge(p, bridge, tag, &target, err);
    }
    if (r == 0 && propstring_bool(net, "firewall")) {
        r = firewall_bridge(p, tap, &outer, err);
    }
    if (r < 0) {
        return r;
    }
    const char *port = outer != NULL ? outer : tap;
    mtu_and_up(p, port, target != NULL ? target : bridge);
    if (p->facts->vlan_aware) {
        port_vlans(p, port, tag, trunks);
    }
    if (propstring_text(net, "rate") != NULL && propstring_number(net, "rate") > 0) {
        rate_limit(p, tap, propstring_number(net, "rate"));
    }
    return 0;
}

int netplan_plug(uint32_t vmid,
                 int index,
                 const PropString *net,
                 const NetFacts *facts,
                 GPtrArray **ret,
                 Err *err)
{
    g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(free_step);
    Plan p = {.vmid = vmid, .index = index, .facts = facts, .steps = steps};
    int r = plug(&p, net, err);

    if (r < 0) {
        return err_wrapf(err, r, "net%d", index);
    }
    *ret = g_steal_pointer(&steps);
    return 0;
}

GPtrArray *netplan_unplug(uint32_t vmid, int index, const NetFacts *facts)
{
    GPtrArray *steps = g_ptr_array_new_with_free_func(free_step);
    Plan p = {.vmid = vmid, .index = index, .facts = facts, .steps = steps};
    g_autofree char *bridge = fw_name(&p, "fwbr", 'i');
    g_autofree char *inner = fw_name(&p, "fwln", 'i');

    if (there(&p, inner)) {
        step(&p, "ip link del dev %s", inner); /* its other end goes with it */
    }
    if (there(&p, bridge)) {
        step(&p, "ip link del dev %s", bridge);
    }
    return steps;
}

GPtrArray *netplan_detach(uint32_t vmid, int index, const PropString *net, const NetFacts *facts)
{
    GPtrArray *steps = netplan_unplug(vmid, index, facts);
    Plan p = {.vmid = vmid, .index = index, .facts = facts, .steps = steps};
    g_autofree char *tap = g_strdup_printf("tap%ui%d", vmid, index);

    step(&p, "ip link set dev %s nomaster", tap);
    if (propstring_text(net, "rate") != NULL && propstring_number(net, "rate") > 0) {
        step(&p, "tc qdisc del dev %s root", tap);
        step(&p, "tc qdisc del dev %s ingress", tap);
    }
    return steps;
}
