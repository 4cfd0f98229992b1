/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as VMID.conf: what is read is written as a text that reads the same. */
#include "lib/conf/vmconf.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const VmConfParse strict = {.file = "100.conf", .strict = true};
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(VmConf) again = NULL;
    g_autoptr(VmConf) sound = NULL;
    g_autofree char *text = NULL;
    g_autofree char *second = NULL;
    Err err = ERR_INIT;

    if (vmconf_parse((const char *)data, size, NULL, &conf, &err) < 0) {
        return 0;
    }
    text = vmconf_format(conf);
    if (vmconf_parse(text, strlen(text), NULL, &again, &err) < 0) {
        /* Encoding may pass the size limit; nothing else may go wrong. */
        g_assert_cmpuint(strlen(text), >, VMCONF_TEXT_MAX);
        return 0;
    }
    second = vmconf_format(again);
    g_assert_cmpstr(second, ==, text);
    if (vmconf_parse((const char *)data, size, &strict, &sound, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
    }
    return 0;
}
