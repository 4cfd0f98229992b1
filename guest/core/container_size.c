/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/container_size.h"

#include "guest/core/stat_text.h"
#include "lib/base/sizetext.h"

#include <math.h>
#include <string.h>

#define MEMORY_MIB 512       /* of a container that does not say */
#define CPUS_MAX   8192      /* more than any machine has */
#define MIB_MAX    (1 << 30) /* likewise, 1 PiB */

static double number(const VmSection *conf, const char *key)
{
    const char *text = vmsection_get(conf, key);

    return text != NULL ? stat_text_first(text) : NAN;
}

static int64_t disk_bytes(const char *rootfs)
{
    g_auto(GStrv) parts = g_strsplit(rootfs, ",", -1);

    for (size_t i = 0; parts[i] != NULL; i++) {
        uint64_t value = 0;

        if (g_str_has_prefix(parts[i], "size=") &&
            size_parse(parts[i] + strlen("size="), &value, NULL) == 0 && value <= INT64_MAX) {
            return (int64_t)value;
        }
    }
    return STAT_UNKNOWN;
}

/* Up to the next whole one. */
static int64_t whole(double value, int64_t max)
{
    int64_t below = value < (double)max ? (int64_t)value : max;

    return below + (below < max && (double)below < value);
}

GuestSize container_size(const VmSection *conf, int64_t host_cpus)
{
    const char *rootfs = vmsection_get(conf, "rootfs");
    double limit = number(conf, "cpulimit");
    double cores = number(conf, "cores");
    double mib = number(conf, "memory");
    GuestSize out = {.cpus = host_cpus, .memory = MEMORY_MIB * GUEST_MIB, .disk = STAT_UNKNOWN};

    if (limit > 0) {
        out.cpus = whole(limit, CPUS_MAX);
    } else if (cores > 0) {
        out.cpus = whole(cores, CPUS_MAX);
    }
    if (mib > 0) {
        out.memory = whole(mib, MIB_MAX) * GUEST_MIB;
    }
    if (rootfs != NULL) {
        out.disk = disk_bytes(rootfs);
    }
    return out;
}
