/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/imagehead.h"

#include <errno.h>
#include <string.h>

#define SIZE_V2     72
#define DATA_FILE   (UINT64_C(1) << 2) /* incompatible features */
#define EXTENDED    (UINT64_C(1) << 4)
#define SIZE_MAX_OK ((uint64_t)INT64_MAX)

static uint64_t be(const uint8_t *at, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

int imagehead_parse(const void *bytes, size_t len, ImageHead *ret, Err *err)
{
    const uint8_t *b = bytes;
    ImageHead h = {0};
    uint64_t version;

    if (len < SIZE_V2 || memcmp(b, "QFI\xfb", 4) != 0) {
        return err_setf(err, -EBADMSG, "is not a qcow2 image");
    }
    version = be(b + 4, 4);
    if (version != 2 && version != 3) {
        return err_setf(err, -EBADMSG, "is a qcow image of version %u, only 2 and 3 are known",
                        (unsigned)version);
    }
    if (version == 3 && len < IMAGEHEAD_SIZE) {
        return err_setf(err, -EBADMSG, "is a qcow2 image that was cut off");
    }
    h.backing_offset = be(b + 8, 8);
    h.backing_size = (uint32_t)be(b + 16, 4);
    h.size = be(b + 24, 8);
    h.encrypted = be(b + 32, 4) != 0;
    h.snapshots = (uint32_t)be(b + 60, 4);
    h.snapshots_offset = be(b + 64, 8);
    h.cluster_bits = (unsigned)be(b + 20, 4);
    h.extended = version == 3 && (be(b + 72, 8) & EXTENDED) != 0;
    h.data_file = version == 3 && (be(b + 72, 8) & DATA_FILE) != 0;
    if (h.backing_offset == 0) {
        h.backing_size = 0;
    }
    if (h.size > SIZE_MAX_OK || h.backing_size > IMAGEHEAD_BACKING_MAX) {
        return err_setf(err, -EBADMSG, "is a damaged qcow2 image");
    }
    *ret = h;
    return 0;
}

bool imagehead_is_formatted(const void *bytes, size_t len)
{
    static const struct {
        size_t offset;
        const char *magic;
        size_t size;
    } magics[] = {
        {0, "QFI\xfb", 4},
        {0, "KDMV", 4},
        {0, "COWD", 4},
        {0, "QED\0", 4},
        {0, "vhdxfile", 8},
        {0, "LUKS\xba\xbe", 6},
        {0, "# Disk DescriptorFile", 21},
        {64, "\x7f\x10\xda\xbe", 4},
    };
    const uint8_t *b = bytes;

    for (size_t i = 0; i < G_N_ELEMENTS(magics); i++) {
        if (len >= magics[i].offset + magics[i].size &&
            memcmp(b + magics[i].offset, magics[i].magic, magics[i].size) == 0) {
            return true;
        }
    }
    return false;
}

char *imagehead_backing_name(const void *bytes, size_t len)
{
    if (len == 0 || len > IMAGEHEAD_BACKING_MAX || memchr(bytes, '\0', len) != NULL) {
        return NULL;
    }
    return g_strndup(bytes, len);
}
