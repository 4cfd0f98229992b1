/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/qcowmap.h"

#include <errno.h>
#include <string.h>

#define BITS_MIN    9 /* of a cluster */
#define BITS_MAX    21
#define BITS_PARTS  14 /* of one that has parts */
#define FIXED       40 /* bytes of a snapshot before its extra data */
#define EXTRA_SIZE  16 /* so much of that, and it has the size of the disk */
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define COPIED      (UINT64_C(1) << 63) /* only says that nobody else has the cluster */
#define COMPRESSED  (UINT64_C(1) << 62)
#define ZERO        UINT64_C(1)
#define PARTS_THERE UINT64_C(0xffffffff) /* extended: which parts of the cluster have data */
#define SIZE_MAX_OK ((uint64_t)INT64_MAX)

static uint64_t be(const uint8_t *at, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

void qcow_snapshot_clear(QcowSnapshot *s)
{
    g_clear_pointer(&s->name, g_free);
}

int qcowmap_check(const ImageHead *head, Err *err)
{
    if (head->backing_offset != 0 || head->data_file || head->encrypted) {
        return err_setf(err, -ENOTSUP, "%s",
                        head->encrypted ? "is encrypted" : "has data in another file");
    }
    if (head->cluster_bits < (head->extended ? BITS_PARTS : BITS_MIN) ||
        head->cluster_bits > BITS_MAX || head->snapshots > QCOWMAP_SNAPSHOTS ||
        head->snapshots_offset > SIZE_MAX_OK) {
        return err_setf(err, -EBADMSG, "is a damaged qcow2 image");
    }
    return 0;
}

int qcowmap_snapshot(const ImageHead *head,
                     const void *bytes,
                     size_t len,
                     QcowSnapshot *ret,
                     size_t *ret_used,
                     Err *err)
{
    const uint8_t *b = bytes;
    QcowSnapshot s = {0};
    size_t id, name, extra, end;

    if (len < FIXED) {
        return err_setf(err, -EBADMSG, "its list of snapshots is cut off");
    }
    s.table = be(b, 8);
    s.entries = (uint32_t)be(b + 8, 4);
    id = (size_t)be(b + 12, 2);
    name = (size_t)be(b + 14, 2);
    extra = (size_t)be(b + 36, 4);
    if (extra > len || FIXED + extra + id + name > len) {
        return err_setf(err, -EBADMSG, "its list of snapshots is cut off");
    }
    s.size = extra >= EXTRA_SIZE ? be(b + FIXED + 8, 8) : head->size;
    if (s.table % 8 != 0 || s.table > SIZE_MAX_OK || s.size > SIZE_MAX_OK ||
        s.entries > QCOWMAP_L1_MAX || memchr(b + FIXED + extra + id, '\0', name) != NULL) {
        return err_setf(err, -EBADMSG, "its list of snapshots is damaged");
    }
    s.name = g_strndup((const char *)b + FIXED + extra + id, name);
    end = FIXED + extra + id + name;
    *ret = s;
    *ret_used = (end + 7) / 8 * 8;
    return 0;
}

uint64_t qcowmap_per_table(const ImageHead *head)
{
    return (UINT64_C(1) << head->cluster_bits) / (head->extended ? 16 : 8);
}

uint64_t qcowmap_table_at(const void *first, uint64_t i)
{
    const uint8_t *b = first;

    return be(b + 8 * i, 8) & OFFSET_MASK;
}

/* One entry as far as it says something of the data. */
typedef struct Entry {
    uint64_t word, parts;
} Entry;

static Entry entry_of(const ImageHead *head, const uint8_t *table, uint64_t i)
{
    size_t size = head->extended ? 16 : 8;

    if (table == NULL) {
        return (Entry){0, 0};
    }
    return (Entry){be(table + size * i, 8) & ~COPIED,
                   head->extended ? be(table + size * i + 8, 8) : 0};
}

static bool reads_as_zeroes(const ImageHead *head, Entry e)
{
    if ((e.word & COMPRESSED) != 0) {
        return false;
    }
    if (head->extended) {
        return (e.parts & PARTS_THERE) == 0;
    }
    return (e.word & ZERO) != 0 || (e.word & OFFSET_MASK) == 0;
}

QcowChange qcowmap_change(const ImageHead *head, const void *before, const void *now, uint64_t i)
{
    Entry a = entry_of(head, before, i);
    Entry b = entry_of(head, now, i);

    if (a.word == b.word && a.parts == b.parts) {
        return QCOW_SAME;
    }
    if (reads_as_zeroes(head, b)) {
        return reads_as_zeroes(head, a) ? QCOW_SAME : QCOW_ZERO;
    }
    return QCOW_DATA;
}
