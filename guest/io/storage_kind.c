/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/storage_kind.h"

#include <errno.h>
#include <string.h>

static const StorageKind *const kinds[] = {
    &storage_kind_cephfs,
    &storage_kind_cifs,
    &storage_kind_dir,
    &storage_kind_nfs,
};

int storage_kind_of(const Storage *s, const StorageKind **ret, Err *err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i]->type, s->type) == 0) {
            *ret = kinds[i];
            return 0;
        }
    }
    return err_setf(err, -ENOTSUP, "storage '%s': volumes of type '%s' cannot be managed here yet",
                    s->id, s->type);
}

void volume_item_free(void *item)
{
    VolumeItem *i = item;

    g_free(i->volume);
    volume_name_clear(&i->name);
    g_free(i->parent);
    g_free(i);
}
