/* SPDX-License-Identifier: Apache-2.0 */
/* qm_ovf: a guest from what another product has exported: importovf. */
#include "cli/qm_store.h"

#include "guest/io/guest_make.h"
#include "guest/io/guest_ovf.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static void show(GHashTable *options, bool json)
{
    GList *keys = g_list_sort(g_hash_table_get_keys(options), by_name);
    g_autoptr(JsonTree) tree = jsontree_new_object();

    for (const GList *k = keys; k != NULL; k = k->next) {
        const char *value = g_hash_table_lookup(options, k->data);
        if (json) {
            jsontree_set_text(tree, k->data, value);
        } else {
            printf("%s: %s\n", (const char *)k->data, value);
        }
    }
    g_list_free(keys);
    if (json) {
        qm_print_json(tree);
    }
}

int qm_importovf(char **operands, Err *err)
{
    g_autoptr(GHashTable) options = NULL;
    g_autoptr(GuestStore) store = NULL;
    g_autoptr(Ovf) ovf = NULL;
    const Storage *storage;
    uint32_t vmid = 0;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = guest_ovf_read(operands[1], &ovf, err);
    }
    if (r == 0) {
        r = ovf_options(ovf, operands[2], qm_store.format, &options, err);
    }
    if (r == 0) {
        r = qm_store_begin(operands, &store, &vmid, err);
    }
    if (r == 0) {
        r = storage_set_use(store->set, operands[2], &storage, err);
    }
    if (r < 0) {
        return r;
    }
    if (qm_store.dryrun == 1) {
        show(options, json);
        return 0;
    }
    r = guest_create(store, vmid, options, err);
    if (r == 0 && ovf->cards > 0) {
        guest_say(store->host, GUEST_SAY_PROGRESS,
                  "its %u network card%s: add what fits here, as with 'qm set %u --net0 "
                  "virtio,bridge=vmbr0'",
                  ovf->cards, ovf->cards > 1 ? "s are not taken over" : " is not taken over", vmid);
    }
    return r;
}
