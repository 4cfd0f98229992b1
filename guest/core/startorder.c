/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/startorder.h"

#include "guest/core/confprops.h"

#include <string.h>

#define DELAY_MAX_SEC (24 * 3600)

static bool flag(const VmSection *s, const char *key)
{
    const char *text = vmsection_get(s, key);

    return text != NULL && propstring_parse_bool(text) == 1;
}

static unsigned seconds(const PropString *p, const char *key, unsigned fallback)
{
    int64_t value = propstring_text(p, key) != NULL ? propstring_int(p, key) : -1;

    return value >= 0 ? (unsigned)MIN(value, DELAY_MAX_SEC) : fallback;
}

StartOrder startorder_read(uint32_t vmid, const VmConf *conf)
{
    const VmSection *main = vmconf_main(conf);
    const char *startup = vmsection_get(main, "startup");
    StartOrder o = {.vmid = vmid,
                    .order = STARTORDER_LAST,
                    .down_sec = STARTORDER_DOWN_SEC,
                    .onboot = flag(main, "onboot"),
                    .template = flag(main, "template")};
    g_autoptr(PropString) p = NULL;

    if (startup == NULL || propstring_parse(&props_startup, startup, NULL, &p, NULL) < 0) {
        return o;
    }
    if (propstring_text(p, "order") != NULL) {
        o.order = (uint32_t)CLAMP(propstring_int(p, "order"), 0, (int64_t)STARTORDER_LAST);
    }
    o.up_sec = seconds(p, "up", 0);
    o.down_sec = seconds(p, "down", STARTORDER_DOWN_SEC);
    return o;
}

static int by_order(const void *a, const void *b)
{
    const StartOrder *x = a;
    const StartOrder *y = b;

    if (x->order != y->order) {
        return x->order < y->order ? -1 : 1;
    }
    return x->vmid < y->vmid ? -1 : x->vmid > y->vmid;
}

static int by_order_down(const void *a, const void *b)
{
    return by_order(b, a);
}

void startorder_sort(GArray *guests, bool stopping)
{
    g_array_sort(guests, stopping ? by_order_down : by_order);
}
