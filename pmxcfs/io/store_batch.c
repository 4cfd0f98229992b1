/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store_batch.h"

#include <string.h>

/* Granularity in which content is compared: the page size of our databases. */
#define COMPARE_BLOCK 512u

void store_batch_init(StoreBatch *b)
{
    *b = (StoreBatch){
        .deltas = g_ptr_array_new_with_free_func((GDestroyNotify)memdb_delta_unref),
        .rows = g_array_new(FALSE, TRUE, sizeof(StoreRow)),
        .index = g_hash_table_new(g_int64_hash, g_int64_equal),
    };
}

void store_batch_done(StoreBatch *b)
{
    g_clear_pointer(&b->index, g_hash_table_unref);
    g_clear_pointer(&b->rows, g_array_unref);
    g_clear_pointer(&b->deltas, g_ptr_array_unref);
    g_clear_pointer(&b->meta, g_hash_table_unref);
}

static StoreRow *row_of(StoreBatch *b, const MemdbEdit *edit)
{
    const Entry *any = edit->after != NULL ? edit->after : edit->before;
    guint found = GPOINTER_TO_UINT(g_hash_table_lookup(b->index, &any->inode));

    if (found == 0) {
        StoreRow row = {.inode = any->inode, .before = edit->before};

        g_array_append_val(b->rows, row);
        found = b->rows->len;
        /* The key lives in the entry, which the delta keeps. */
        g_hash_table_insert(b->index, (gpointer)&any->inode, GUINT_TO_POINTER(found));
    }
    return &g_array_index(b->rows, StoreRow, found - 1);
}

void store_batch_add(StoreBatch *b, MemdbDelta *delta)
{
    g_ptr_array_add(b->deltas, memdb_delta_ref(delta));
    for (guint i = 0; i < delta->edits->len; i++) {
        const MemdbEdit *edit = &g_array_index(delta->edits, MemdbEdit, i);
        StoreRow *row = row_of(b, edit);

        row->after = edit->after;
        row->empty_blob = edit->before != NULL && !delta->replaces_tree;
    }
    b->record = delta->record != NULL ? delta->record : b->record;
    b->has_root = true;
    b->root = delta->root_after;
    b->root_from_sync = delta->replaces_tree;
    b->payload_bytes += delta->payload_bytes;
}

static size_t fresh_bytes(const StoreRow *row)
{
    gsize old_size = 0;
    gsize new_size = 0;
    size_t fresh = 0;
    const uint8_t *old;
    const uint8_t *new;

    if (row->after == NULL || row->after->data == NULL) {
        return 0;
    }
    new = g_bytes_get_data(row->after->data, &new_size);
    if (row->before == NULL || row->before->data == NULL) {
        return new_size;
    }
    if (row->before->data == row->after->data) {
        return 0;
    }
    old = g_bytes_get_data(row->before->data, &old_size);
    if (old_size != new_size) {
        return new_size; /* SQLite writes the whole row anew when its size changes */
    }
    for (size_t at = 0; at < new_size; at += COMPARE_BLOCK) {
        size_t n = MIN(COMPARE_BLOCK, new_size - at);

        if (memcmp(old + at, new + at, n) != 0) {
            fresh += n;
        }
    }
    return fresh;
}

void store_batch_seal(StoreBatch *b)
{
    b->fresh_bytes = 0;
    for (guint i = 0; i < b->rows->len; i++) {
        StoreRow *row = &g_array_index(b->rows, StoreRow, i);

        row->fresh_bytes = fresh_bytes(row);
        b->fresh_bytes += row->fresh_bytes;
    }
}

static uint64_t seq_at(const StoreBatch *b, guint i)
{
    return ((const MemdbDelta *)g_ptr_array_index(b->deltas, i))->seq;
}

uint64_t store_batch_first(const StoreBatch *b)
{
    return b->deltas->len > 0 ? seq_at(b, 0) : 0;
}

uint64_t store_batch_last(const StoreBatch *b)
{
    return b->deltas->len > 0 ? seq_at(b, b->deltas->len - 1) : 0;
}
