/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/tracked.h"

#include <string.h>

const char *const tracked_paths[TRACKED_N] = {
    "corosync.conf",
    "corosync.conf.new",
    "storage.cfg",
    "user.cfg",
    "domains.cfg",
    "notifications.cfg",
    "priv/notifications.cfg",
    "priv/shadow.cfg",
    "priv/acme/plugins.cfg",
    "priv/tfa.cfg",
    "priv/token.cfg",
    "priv/wg-keys.cfg",
    "datacenter.cfg",
    "vzdump.cron",
    "vzdump.conf",
    "jobs.cfg",
    "ha/crm_commands",
    "ha/manager_status",
    "ha/resources.cfg",
    "ha/rules.cfg",
    "ha/groups.cfg",
    "ha/fence.cfg",
    "status.cfg",
    "replication.cfg",
    "ceph.conf",
    "sdn/vnets.cfg",
    "sdn/zones.cfg",
    "sdn/controllers.cfg",
    "sdn/subnets.cfg",
    "sdn/ipams.cfg",
    "sdn/mac-cache.json",
    "sdn/pve-ipam-state.json",
    "sdn/dns.cfg",
    "sdn/fabrics.cfg",
    "sdn/route-maps.cfg",
    "sdn/prefix-lists.cfg",
    "sdn/.running-config",
    "virtual-guest/cpu-models.conf",
    "virtual-guest/profiles.cfg",
    "firewall/cluster.fw",
    "mapping/directory.cfg",
    "mapping/pci.cfg",
    "mapping/usb.cfg",
};

int tracked_find(const char *path)
{
    for (int i = 0; i < TRACKED_N; i++) {
        if (strcmp(tracked_paths[i], path) == 0) {
            return i;
        }
    }
    return -1;
}

void tracked_bump(Tracked *t, const char *path)
{
    int i = tracked_find(path);

    if (i >= 0) {
        t->count[i]++;
    }
}

void tracked_bump_all(Tracked *t)
{
    for (int i = 0; i < TRACKED_N; i++) {
        t->count[i]++;
    }
}

void tracked_format(const Tracked *t, GString *out)
{
    for (int i = 0; i < TRACKED_N; i++) {
        g_string_append_printf(out, "\"%s\": %u,\n", tracked_paths[i], t->count[i]);
    }
}
