/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: what is committed survives the process; what waits does not. Everything that waits is
 * committed in one transaction, as the store does.
 */
#include "tests/sim/sim.h"

#include <errno.h>

typedef struct Item {
    MemdbDelta *delta;
    uint64_t seq;
} Item;

struct SimDisk {
    Sim *sim;
    uint32_t host;
    GHashTable *rows; /* &entry->inode -> Entry*: committed */
    MemdbRoot root;
    GBytes *meta;
    GQueue waiting;  /* of Item* */
    GQueue underway; /* of Item*: the transaction being committed */
    uint64_t generation; /* a commit of an earlier process is void */
    bool failed;         /* until resumed */
    int code;
    bool slow, wiped;
};

typedef struct Commit {
    SimDisk *disk;
    uint64_t generation;
} Commit;

static void item_free(Item *i)
{
    memdb_delta_unref(i->delta);
    g_free(i);
}

SimDisk *sim_disk_new(Sim *sim, uint32_t host)
{
    SimDisk *d = g_new0(SimDisk, 1);

    d->sim = sim;
    d->host = host;
    d->rows = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)entry_unref);
    g_queue_init(&d->waiting);
    g_queue_init(&d->underway);
    return d;
}

static void drop_queues(SimDisk *d)
{
    g_queue_clear_full(&d->waiting, (GDestroyNotify)item_free);
    g_queue_clear_full(&d->underway, (GDestroyNotify)item_free);
}

void sim_disk_free(SimDisk *d)
{
    drop_queues(d);
    g_hash_table_unref(d->rows);
    g_clear_pointer(&d->meta, g_bytes_unref);
    g_free(d);
}

static void write_rows(SimDisk *d, const MemdbDelta *delta)
{
    for (guint i = 0; i < delta->edits->len; i++) {
        const MemdbEdit *e = &g_array_index(delta->edits, MemdbEdit, i);

        if (e->after != NULL) {
            Entry *row = entry_ref(e->after);

            (void)g_hash_table_replace(d->rows, &row->inode, row);
        } else {
            (void)g_hash_table_remove(d->rows, &e->before->inode);
        }
    }
    d->root = delta->root_after;
    if (delta->record != NULL) {
        g_clear_pointer(&d->meta, g_bytes_unref);
        d->meta = g_bytes_ref(delta->record);
    }
}

void sim_disk_write_now(SimDisk *d, const MemdbDelta *delta)
{
    write_rows(d, delta);
    d->wiped = true; /* its content no longer stands for the group's */
}

/* The transaction reached the disk. Returns its last number. */
static uint64_t make_durable(SimDisk *d)
{
    uint64_t seq = 0;
    Item *i;

    while ((i = g_queue_pop_head(&d->underway)) != NULL) {
        write_rows(d, i->delta);
        seq = i->seq;
        item_free(i);
    }
    return seq;
}

static void begin_commit(SimDisk *d);

static void fail_commit(SimDisk *d)
{
    const Item *first = g_queue_peek_head(&d->underway);
    uint64_t seq = first->seq;

    d->failed = true;
    drop_queues(d);
    sim_trace(d->sim, d->host, "disk: commit from %" G_GUINT64_FORMAT " fails", seq);
    sim_node_stored(sim_node(d->sim, d->host), seq, d->code);
}

static void commit(Sim *sim, void *data)
{
    const Commit *c = data;
    SimDisk *d = c->disk;

    if (c->generation != d->generation || g_queue_is_empty(&d->underway)) {
        return;
    }
    if (d->code != 0) {
        fail_commit(d);
        return;
    }
    sim_node_stored(sim_node(sim, d->host), make_durable(d), 0);
    begin_commit(d);
}

static void begin_commit(SimDisk *d)
{
    Commit *c;
    Item *i;

    if (g_queue_is_empty(&d->waiting) || !g_queue_is_empty(&d->underway)) {
        return;
    }
    while ((i = g_queue_pop_head(&d->waiting)) != NULL) {
        g_queue_push_tail(&d->underway, i);
    }
    c = g_new(Commit, 1);
    *c = (Commit){d, d->generation};
    sim_after_us(d->sim, sim_random(d->sim, 200, d->slow ? 4000000 : 6000), commit, c, g_free);
}

void sim_disk_submit(SimDisk *d, MemdbDelta *delta, uint64_t seq)
{
    Item *i;

    if (d->failed) {
        return;
    }
    i = g_new(Item, 1);
    *i = (Item){memdb_delta_ref(delta), seq};
    g_queue_push_tail(&d->waiting, i);
    begin_commit(d);
}

void sim_disk_resume(SimDisk *d)
{
    d->failed = false;
}

int sim_disk_probe(const SimDisk *d)
{
    return d->code;
}

GPtrArray *sim_disk_read(const SimDisk *d, MemdbRoot *ret_root, GBytes **ret_meta)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    GHashTableIter it;
    gpointer row;

    g_hash_table_iter_init(&it, d->rows);
    while (g_hash_table_iter_next(&it, NULL, &row)) {
        g_ptr_array_add(entries, entry_ref(row));
    }
    *ret_root = d->root;
    *ret_meta = d->meta != NULL ? g_bytes_ref(d->meta) : NULL;
    return entries;
}

void sim_disk_write_initial(SimDisk *d, GPtrArray *entries, MemdbRoot root)
{
    for (guint i = 0; i < entries->len; i++) {
        Entry *e = entry_ref(entries->pdata[i]);

        (void)g_hash_table_replace(d->rows, &e->inode, e);
    }
    d->root = root;
}

void sim_disk_crash(SimDisk *d)
{
    if (!g_queue_is_empty(&d->underway) && d->code == 0 && sim_chance(d->sim, 1, 2)) {
        (void)make_durable(d);
    }
    drop_queues(d);
    d->generation++;
    d->failed = false;
}

void sim_disk_wipe(SimDisk *d)
{
    g_hash_table_remove_all(d->rows);
    g_clear_pointer(&d->meta, g_bytes_unref);
    d->root = (MemdbRoot){.version = 1};
    d->wiped = true;
}

bool sim_disk_wiped(const SimDisk *d)
{
    return d->wiped;
}

void sim_disk_set_code(SimDisk *d, int code)
{
    d->code = code;
}

void sim_disk_set_slow(SimDisk *d, bool slow)
{
    d->slow = slow;
}
