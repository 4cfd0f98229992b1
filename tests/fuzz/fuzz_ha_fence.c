/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as ha/fence.cfg: an error names a line, or the commands can be made; what is written
 * reads the same. */
#include "ha-manager/core/ha_fence.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void walk(const HaFence *f)
{
    for (guint level = 0; level < 3; level++) {
        g_autoptr(GPtrArray) commands = ha_fence_commands(f, "node1", level);

        for (guint i = 0; i < commands->len; i++) {
            g_autofree char *line = ha_fence_command_text(g_ptr_array_index(commands, i));

            g_assert_cmpstr(line, !=, "");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_autoptr(HaFence) f = NULL;
    g_autoptr(HaFence) again = NULL;
    g_autofree char *errors = NULL;
    g_autofree char *written = NULL;
    g_autofree char *second = NULL;

    if (ha_fence_parse(text, "fence.cfg", NULL, NULL, &f, &errors) < 0) {
        g_assert_nonnull(strstr(errors, "line "));
        return 0;
    }
    walk(f);
    written = ha_fence_format(f);
    if (ha_fence_parse(written, "fence.cfg", NULL, NULL, &again, NULL) == 0) {
        second = ha_fence_format(again);
        g_assert_cmpstr(second, ==, written);
    }
    return 0;
}
