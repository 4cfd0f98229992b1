/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/corosync_device.h"

#include "lib/conf/corosync_nodes.h"

#include <string.h>

static CorosyncItem *device_of(const CorosyncConf *conf)
{
    CorosyncItem *quorum = corosync_section(corosync_conf_root(conf), "quorum");

    return quorum != NULL ? corosync_section(quorum, "device") : NULL;
}

bool corosync_device_get(const CorosyncConf *conf, CorosyncDevice *ret)
{
    const char *model = corosync_conf_get(conf, "quorum.device.model");

    if (device_of(conf) == NULL || model == NULL) {
        return false;
    }
    *ret = (CorosyncDevice){
        .model = model,
        .host = corosync_conf_get(conf, "quorum.device.net.host"),
        .algorithm = corosync_conf_get(conf, "quorum.device.net.algorithm"),
        .votes = corosync_conf_get(conf, "quorum.device.votes"),
    };
    return true;
}

unsigned corosync_voters(const CorosyncConf *conf)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    unsigned count = 0;

    for (guint i = 0; i < nodes->len; i++) {
        count += ((const CorosyncNode *)g_ptr_array_index(nodes, i))->votes > 0;
    }
    return count;
}

static bool remove_section(CorosyncConf *conf)
{
    CorosyncItem *quorum = corosync_section(corosync_conf_root(conf), "quorum");
    CorosyncItem *device = device_of(conf);

    if (device == NULL) {
        return false;
    }
    corosync_item_remove(quorum, device);
    return true;
}

bool corosync_device_remove(CorosyncConf *conf)
{
    if (!remove_section(conf)) {
        return false;
    }
    corosync_conf_bump(conf);
    return true;
}

/* Algorithm and votes for the present number of voting nodes; true when something changed. */
static bool fit(CorosyncConf *conf)
{
    bool even = corosync_voters(conf) % 2 == 0;
    const char *algorithm = even ? "ffsplit" : "lms";
    CorosyncItem *device = device_of(conf);
    const CorosyncItem *votes = corosync_key(device, "votes");
    const char *now = corosync_conf_get(conf, "quorum.device.net.algorithm");
    bool changed = g_strcmp0(now, algorithm) != 0;

    if (changed) {
        corosync_conf_set(conf, "quorum.device.net.algorithm", algorithm);
    }
    if (even && (votes == NULL || strcmp(votes->value, "1") != 0)) {
        corosync_conf_set(conf, "quorum.device.votes", "1");
        changed = true;
    } else if (!even && votes != NULL) {
        corosync_item_remove(device, votes);
        changed = true;
    }
    return changed;
}

void corosync_device_set(CorosyncConf *conf, const char *host)
{
    (void)remove_section(conf); /* none before is as good */
    corosync_conf_set(conf, "quorum.device.model", "net");
    corosync_conf_set(conf, "quorum.device.net.host", host);
    corosync_conf_set(conf, "quorum.device.net.tls", "on");
    (void)fit(conf); /* always changes a new section */
    corosync_conf_bump(conf);
}

bool corosync_device_follow(CorosyncConf *conf)
{
    CorosyncDevice d;

    /* An algorithm that is none of the two was chosen by somebody who knows why. */
    return corosync_device_get(conf, &d) && strcmp(d.model, "net") == 0 && d.algorithm != NULL &&
           (strcmp(d.algorithm, "ffsplit") == 0 || strcmp(d.algorithm, "lms") == 0) && fit(conf);
}
