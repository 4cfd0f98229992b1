/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/host_facts.h"

#include <errno.h>

#define MTU_USUAL 1500

bool host_exists(const HostFacts *h, const char *path)
{
    return h->lookup.exists == NULL || h->lookup.exists(h->lookup.ctx, path);
}

int host_bridge_mtu(const HostFacts *h, const char *bridge)
{
    int mtu = h->lookup.bridge_mtu != NULL ? h->lookup.bridge_mtu(h->lookup.ctx, bridge) : -ENOSYS;

    return mtu > 0 ? mtu : MTU_USUAL;
}

int host_scsi_type(const HostFacts *h, const char *path)
{
    return h->lookup.scsi_type != NULL ? h->lookup.scsi_type(h->lookup.ctx, path) : -ENOSYS;
}

int host_pci_functions(const HostFacts *h, const char *slot, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);

    if (h->lookup.pci_functions == NULL) {
        g_ptr_array_add(found, g_strdup_printf("%s.0", slot));
    } else {
        h->lookup.pci_functions(h->lookup.ctx, slot, found);
    }
    if (found->len == 0) {
        return err_setf(err, -ENODEV, "no PCI device found for '%s'", slot);
    }
    *ret = g_steal_pointer(&found);
    return 0;
}

int host_iscsi_lun(const HostFacts *h, const Storage *storage, const char *volume)
{
    return h->lookup.iscsi_lun != NULL ? h->lookup.iscsi_lun(h->lookup.ctx, storage, volume) : 0;
}

bool host_hugepages(const HostFacts *h, int mib)
{
    return h->lookup.hugepages == NULL || h->lookup.hugepages(h->lookup.ctx, mib);
}

bool host_numa_node(const HostFacts *h, int node)
{
    return h->lookup.numa_node == NULL || h->lookup.numa_node(h->lookup.ctx, node);
}
