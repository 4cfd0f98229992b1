/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as storage.cfg and as a mapping file: every storage answers or tells its error. */
#include "lib/conf/mappingcfg.h"
#include "lib/conf/storagecfg.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

static void ask(const StorageCfg *cfg, const Storage *s)
{
    const Storage *found = NULL;
    Err err = ERR_INIT;

    (void)storage_has_content(s, "images"); /* the answer does not matter here */
    (void)storage_on_node(s, "n1");
    (void)storage_flag(s, "krbd", false);
    if (storagecfg_get(cfg, s->id, &found, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
    } else {
        g_assert_cmpstr(found->id, ==, s->id);
        g_assert_null(found->error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(StorageCfg) cfg = NULL;
    g_autoptr(MappingCfg) map = NULL;
    g_autoptr(GPtrArray) paths = NULL;
    const Storage *local = NULL;
    Err err = ERR_INIT;

    if (storagecfg_parse((const char *)data, size, &cfg, &err) == 0) {
        int r = storagecfg_get(cfg, "local", &local, &err);
        g_assert_true(r == 0 || r == -EINVAL);
        for (guint i = 0; i < storagecfg_count(cfg); i++) {
            ask(cfg, storagecfg_at(cfg, i));
        }
    }
    if (mappingcfg_parse("pci.cfg", (const char *)data, size, &map, &err) == 0 &&
        mappingcfg_paths(map, "gpu", "n1", &paths, &err) == 0) {
        g_assert_cmpuint(paths->len, >, 0);
    }
    return 0;
}
