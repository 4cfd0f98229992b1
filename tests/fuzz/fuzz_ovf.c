/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an OVF description: what is taken names no file outside its folder, and gives
 * options; all else has a reason. */
#include "guest/core/ovf.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_disks(Ovf *ovf)
{
    g_assert_cmpuint(ovf->disks->len, <=, OVF_DISKS_MAX);
    for (guint i = 0; i < ovf->disks->len; i++) {
        OvfDisk *d = ovf->disks->pdata[i];
        g_assert_nonnull(d->slot);
        g_assert_true(d->href != NULL || d->capacity > 0);
        if (d->href != NULL) {
            g_assert_cmpint(ovf_check_href(d->href, NULL), ==, 0);
            d->path = g_strdup("/images/a.vmdk");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GHashTable) options = NULL;
    g_autoptr(Ovf) ovf = NULL;
    Err err = ERR_INIT;

    if (ovf_parse((const char *)data, size, &ovf, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    check_disks(ovf);
    g_assert_true(ovf->name == NULL || strlen(ovf->name) <= 63);
    g_assert_cmpint(ovf_options(ovf, "local", NULL, &options, &err), ==, 0);
    g_assert_true(g_hash_table_size(options) >= ovf->disks->len);
    return 0;
}
