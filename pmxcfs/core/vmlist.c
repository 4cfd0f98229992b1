/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/vmlist.h"

#include <string.h>

struct Vmlist {
    GHashTable *guests; /* vmid -> VmlistGuest */
    uint32_t version;
    uint32_t registrations; /* the newest guest version given */
};

Vmlist *vmlist_new(void)
{
    Vmlist *l = g_new0(Vmlist, 1);

    l->guests = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return l;
}

Vmlist *vmlist_new_after(const Vmlist *old)
{
    Vmlist *l = vmlist_new();

    l->version = old->version;
    l->registrations = old->registrations;
    return l;
}

void vmlist_free(Vmlist *l)
{
    if (l != NULL) {
        g_hash_table_destroy(l->guests);
        g_free(l);
    }
}

static gpointer key_of(uint32_t vmid)
{
    return GSIZE_TO_POINTER(vmid);
}

const VmlistGuest *vmlist_find(const Vmlist *l, uint32_t vmid)
{
    return g_hash_table_lookup(l->guests, key_of(vmid));
}

static bool same_place(const VmlistGuest *have, const CfsGuest *guest)
{
    return have->type == guest->type && strlen(have->node) == guest->node_len &&
           memcmp(have->node, guest->node, guest->node_len) == 0;
}

bool vmlist_conflicts(const Vmlist *l, const CfsGuest *guest, bool as_peer)
{
    const VmlistGuest *have = vmlist_find(l, guest->vmid);

    if (have == NULL || (as_peer && have->freed_for_peers)) {
        return false;
    }
    return !same_place(have, guest);
}

static void put(Vmlist *l, const CfsGuest *guest, uint32_t version)
{
    VmlistGuest *g = g_malloc0(sizeof *g + guest->node_len + 1);

    g->vmid = guest->vmid;
    g->type = guest->type;
    g->version = version;
    memcpy(g->node, guest->node, guest->node_len);
    g_hash_table_replace(l->guests, key_of(guest->vmid), g);
}

void vmlist_register(Vmlist *l, const CfsGuest *guest)
{
    put(l, guest, ++l->registrations);
    l->version++;
}

void vmlist_unregister(Vmlist *l, uint32_t vmid)
{
    if (g_hash_table_remove(l->guests, key_of(vmid))) {
        l->version++;
    }
}

void vmlist_free_for_peers(Vmlist *l, uint32_t vmid)
{
    VmlistGuest *have = g_hash_table_lookup(l->guests, key_of(vmid));

    if (have != NULL) {
        have->freed_for_peers = true;
    }
}

bool vmlist_carry(Vmlist *l, const Vmlist *old, const CfsGuest *guest, bool unchanged)
{
    const VmlistGuest *before = old != NULL ? vmlist_find(old, guest->vmid) : NULL;

    if (vmlist_find(l, guest->vmid) != NULL) {
        return false;
    }
    if (unchanged && before != NULL && same_place(before, guest)) {
        put(l, guest, before->version);
    } else {
        put(l, guest, ++l->registrations);
    }
    return true;
}

void vmlist_count_rebuild(Vmlist *l)
{
    l->version++;
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

GArray *vmlist_ids(const Vmlist *l)
{
    GArray *ids = g_array_sized_new(FALSE, FALSE, sizeof(uint32_t), g_hash_table_size(l->guests));
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, l->guests);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        uint32_t vmid = (uint32_t)GPOINTER_TO_SIZE(key);
        g_array_append_val(ids, vmid);
    }
    g_array_sort(ids, by_number);
    return ids;
}

uint32_t vmlist_version(const Vmlist *l)
{
    return l->version;
}

void vmlist_format(const Vmlist *l, GString *out)
{
    g_autoptr(GArray) ids = vmlist_ids(l);

    g_string_append_printf(out, "{\n\"version\": %u", l->version);
    for (guint i = 0; i < ids->len; i++) {
        const VmlistGuest *g = vmlist_find(l, g_array_index(ids, uint32_t, i));
        g_string_append_printf(out,
                               "%s\"%u\": { \"node\": \"%s\", \"type\": \"%s\", \"version\": %u }",
                               i == 0 ? ",\n\"ids\": {\n" : ",\n", g->vmid, g->node,
                               cfs_guest_type_name(g->type), g->version);
    }
    g_string_append(out, ids->len > 0 ? "}\n\n}\n" : "\n\n}\n");
}
