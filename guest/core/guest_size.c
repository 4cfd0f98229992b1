/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/guest_size.h"

#include "guest/core/drive.h"
#include "lib/base/sizetext.h"

#define MEMORY_MIB 512 /* of a guest that does not say */

/* Drives that say nothing readable count as nothing. */
static int64_t disk_bytes(const GPtrArray *drives)
{
    int64_t bytes = 0;

    for (guint i = 0; i < drives->len; i++) {
        const Drive *d = drives->pdata[i];
        const char *size = d->cdrom ? NULL : propstring_text(d->props, "size");
        uint64_t value = 0;
        int64_t sum;

        if (size != NULL && size_parse(size, &value, NULL) == 0 && value <= INT64_MAX &&
            !__builtin_add_overflow(bytes, (int64_t)value, &sum)) {
            bytes = sum;
        }
    }
    return bytes;
}

GuestSize guest_size(const GuestConf *gc)
{
    const PropString *memory = guestconf_props(gc, "memory");
    g_autoptr(GPtrArray) drives = NULL;
    GuestSize out = {.cpus = guestconf_int(gc, "sockets") * guestconf_int(gc, "cores"), .disk = -1};

    if (guestconf_int(gc, "vcpus") > 0) {
        out.cpus = guestconf_int(gc, "vcpus");
    }
    out.memory = (memory != NULL ? propstring_int(memory, "current") : MEMORY_MIB) * GUEST_MIB;
    if (drives_list(gc, true, &drives, NULL) == 0) {
        out.disk = disk_bytes(drives);
    }
    return out;
}
