/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/dcdb.h"

#include "lib/wire/wire_dcdb.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

G_STATIC_ASSERT((int)TREE_OP_WRITE == WIRE_DCDB_WRITE);
G_STATIC_ASSERT((int)TREE_OP_MTIME == WIRE_DCDB_MTIME);
G_STATIC_ASSERT((int)TREE_OP_UNLOCK == WIRE_DCDB_UNLOCK);
G_STATIC_ASSERT(ENTRY_DIGEST_SIZE == WIRE_DCDB_CSUM_SIZE);

/* ---- changes --------------------------------------------------------------------------------- */

int dcdb_encode_op(const TreeOp *op, GBytes **ret)
{
    WireDcdbFile f = {.path = op->path, .truncate = op->truncate};
    WireDcdbUnlock u = {.csum = op->csum, .path = op->path};

    switch (op->kind) {
    case TREE_OP_WRITE:
        if (op->offset > UINT32_MAX) {
            return -EFBIG;
        }
        f.offset = (uint32_t)op->offset;
        f.data = op->data != NULL ? g_bytes_get_data(op->data, &f.size) : NULL;
        return wire_dcdb_encode_file(&f, ret);
    case TREE_OP_RENAME:
        if (op->noreplace) {
            return -EINVAL;
        }
        f.to = op->to;
        return wire_dcdb_encode_file(&f, ret);
    case TREE_OP_MTIME:
        f.offset = op->mtime;
        return wire_dcdb_encode_file(&f, ret);
    case TREE_OP_MKDIR:
    case TREE_OP_DELETE:
    case TREE_OP_CREATE:
        return wire_dcdb_encode_file(&f, ret);
    case TREE_OP_UNLOCK_REQUEST:
    case TREE_OP_UNLOCK:
        *ret = wire_dcdb_encode_unlock(&u);
        return 0;
    case TREE_OP_N:
        break;
    }
    return -EINVAL;
}

static int decode_file_op(uint16_t subtype, const void *payload, size_t size, TreeOp *ret)
{
    WireDcdbFile f;

    if (wire_dcdb_decode_file(payload, size, &f) < 0 || f.path == NULL ||
        (subtype == WIRE_DCDB_RENAME && f.to == NULL)) {
        return -EBADMSG;
    }
    *ret = (TreeOp){.kind = (TreeOpKind)subtype, .path = f.path};
    if (subtype == WIRE_DCDB_WRITE) {
        ret->offset = f.offset;
        ret->truncate = f.truncate;
        ret->data = f.size > 0 ? g_bytes_new(f.data, f.size) : NULL;
    } else if (subtype == WIRE_DCDB_RENAME) {
        ret->to = f.to;
    } else if (subtype == WIRE_DCDB_MTIME) {
        ret->mtime = f.offset;
    }
    return 0;
}

int dcdb_decode_op(uint16_t subtype, const void *payload, size_t size, TreeOp *ret)
{
    WireDcdbUnlock u;

    if (subtype >= WIRE_DCDB_WRITE && subtype <= WIRE_DCDB_MTIME) {
        return decode_file_op(subtype, payload, size, ret);
    }
    if ((subtype != WIRE_DCDB_UNLOCK_REQUEST && subtype != WIRE_DCDB_UNLOCK) ||
        wire_dcdb_decode_unlock(payload, size, &u) < 0) {
        return -EBADMSG;
    }
    *ret = (TreeOp){.kind = (TreeOpKind)subtype, .path = u.path};
    memcpy(ret->csum, u.csum, sizeof ret->csum);
    return 0;
}

/* ---- synchronisation ------------------------------------------------------------------------- */

struct DcdbSync {
    Memdb *db;
    const Tracer *tracer;
    uint32_t leader;      /* node id */
    GBytes *leader_state; /* owns what `target` points into */
    WireDcdbIndex target; /* index of the leader */
    GPtrArray *to_send;   /* leader: of Entry*, in descending order of sending */
    GHashTable *received; /* &entry->inode -> Entry* */
    uint64_t received_bytes;
};

DcdbSync *dcdb_sync_new(Memdb *db, const Tracer *tracer)
{
    DcdbSync *s = g_new0(DcdbSync, 1);

    s->db = db;
    s->tracer = tracer;
    s->received =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)entry_unref);
    return s;
}

void dcdb_sync_reset(DcdbSync *s)
{
    s->leader = 0;
    s->target = (WireDcdbIndex){0};
    g_clear_pointer(&s->leader_state, g_bytes_unref);
    g_clear_pointer(&s->to_send, g_ptr_array_unref);
    g_hash_table_remove_all(s->received);
    s->received_bytes = 0;
}

void dcdb_sync_free(DcdbSync *s)
{
    if (s != NULL) {
        dcdb_sync_reset(s);
        g_hash_table_unref(s->received);
        g_free(s);
    }
}

static int decode_state(const DfsmMember *m, WireDcdbIndex *ret)
{
    gsize size;
    const void *data = g_bytes_get_data(m->state, &size);

    return wire_dcdb_decode_index(data, size, ret);
}

/* Puts the inodes of `mine` that `other` lacks or has differently into `wanted`. */
static void
collect_differences(const WireDcdbIndex *mine, const WireDcdbIndex *other, GHashTable *wanted)
{
    uint32_t j = 0;

    for (uint32_t i = 0; i < mine->n; i++) {
        uint64_t inode = wire_dcdb_index_inode(mine, i);

        while (j < other->n && wire_dcdb_index_inode(other, j) < inode) {
            j++;
        }
        if (j == other->n || wire_dcdb_index_inode(other, j) != inode ||
            memcmp(wire_dcdb_index_digest(mine, i), wire_dcdb_index_digest(other, j),
                   WIRE_DCDB_CSUM_SIZE) != 0) {
            (void)g_hash_table_add(wanted, g_memdup2(&inode, sizeof inode));
        }
    }
}

/* Keeps the entries that others lack as they are now: later changes make new ones. */
static void prepare_updates(DcdbSync *s, GHashTable *wanted)
{
    GHashTableIter it;
    gpointer key;

    s->to_send = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_hash_table_iter_init(&it, wanted);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        Entry *e = memdb_get(s->db, *(const uint64_t *)key);

        assert(e != NULL); /* it is in our own index */
        g_ptr_array_add(s->to_send, e);
    }
}

static int compare_inodes_descending(gconstpointer a, gconstpointer b)
{
    const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;

    return (x->inode < y->inode) - (x->inode > y->inode);
}

static int lead(DcdbSync *s, const DfsmMember *members, uint32_t n)
{
    g_autoptr(GHashTable) wanted = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);

    for (uint32_t i = 0; i < n; i++) {
        WireDcdbIndex other;

        if (decode_state(&members[i], &other) < 0) {
            return -EBADMSG;
        }
        collect_differences(&s->target, &other, wanted);
    }
    prepare_updates(s, wanted);
    /* The order is free; ascending inodes make a transcript readable. */
    g_ptr_array_sort(s->to_send, compare_inodes_descending);
    return 0;
}

static bool leads_over(const WireDcdbIndex *a, const WireDcdbIndex *b)
{
    return a->version > b->version || (a->version == b->version && a->mtime > b->mtime);
}

int dcdb_sync_states(DcdbSync *s, DfsmMember *members, uint32_t n, uint32_t self)
{
    uint32_t leader = 0;

    dcdb_sync_reset(s);
    for (uint32_t i = 0; i < n; i++) {
        WireDcdbIndex index;

        if (decode_state(&members[i], &index) < 0) {
            trace(s->tracer, TRACE_ERR, "dcdb: state of member %u is no index",
                  members[i].id.nodeid);
            return -EBADMSG;
        }
        if (i == 0 || leads_over(&index, &s->target)) {
            leader = i;
            s->target = index;
        }
    }
    s->leader = members[leader].id.nodeid;
    s->leader_state = g_bytes_ref(members[leader].state);
    for (uint32_t i = 0; i < n; i++) {
        members[i].synced = g_bytes_equal(members[i].state, s->leader_state);
    }
    trace(s->tracer, TRACE_INFO, "dcdb: member %u leads at version %" G_GUINT64_FORMAT, s->leader,
          s->target.version);
    return leader == self ? lead(s, members, n) : 0;
}

bool dcdb_sync_leading(const DcdbSync *s)
{
    return s->to_send != NULL;
}

GBytes *dcdb_sync_next_update(DcdbSync *s)
{
    g_autoptr(Entry) e = NULL;
    g_autofree void *content = NULL;

    if (s->to_send == NULL || s->to_send->len == 0) {
        g_clear_pointer(&s->to_send, g_ptr_array_unref);
        return NULL;
    }
    e = g_ptr_array_steal_index(s->to_send, s->to_send->len - 1);
    if (e->hollow) {
        content = g_malloc0(e->size); /* what it reads as; see dcdb_sync_update */
    }
    return wire_dcdb_encode_update(&(WireDcdbUpdate){
        .parent = e->parent,
        .inode = e->inode,
        .version = e->version,
        .writer = e->writer,
        .mtime = e->mtime,
        .type = (uint8_t)e->type,
        .name = e->name,
        .data = e->data != NULL ? g_bytes_get_data(e->data, NULL) : content,
        .size = e->size,
    });
}

/* Position of `inode` in the index; -1: not there. */
static int64_t find_inode(const WireDcdbIndex *index, uint64_t inode)
{
    uint32_t lo = 0, hi = index->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        uint64_t at = wire_dcdb_index_inode(index, mid);

        if (at == inode) {
            return mid;
        }
        if (at < inode) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return -1;
}

static bool has_digest_of(Entry *e, const WireDcdbIndex *index, int64_t at)
{
    return memcmp(entry_digest(e), wire_dcdb_index_digest(index, (uint32_t)at),
                  ENTRY_DIGEST_SIZE) == 0;
}

/* The entry of an UPDATE, as a file with that content or as a hollow one. */
static Entry *make_entry(const WireDcdbUpdate *u, bool hollow)
{
    g_autoptr(GBytes) data = u->size > 0 && !hollow ? g_bytes_new(u->data, u->size) : NULL;

    return entry_new(&(EntryInit){.parent = u->parent,
                                  .inode = u->inode,
                                  .version = u->version,
                                  .writer = u->writer,
                                  .mtime = u->mtime,
                                  .type = (EntryType)u->type,
                                  .name = u->name,
                                  .data = data,
                                  .hollow_size = hollow ? u->size : 0});
}

static bool all_zero(const void *data, size_t size)
{
    const uint8_t *p = data;

    return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

int dcdb_sync_update(DcdbSync *s, const void *payload, size_t size)
{
    Entry *e;
    WireDcdbUpdate u;
    int64_t at;

    if (s->leader_state == NULL || wire_dcdb_decode_update(payload, size, &u) < 0) {
        return -EBADMSG;
    }
    at = find_inode(&s->target, u.inode);
    if (at < 0 || s->received_bytes + u.size > DCDB_UPDATE_BYTES_MAX) {
        return -EBADMSG;
    }
    e = make_entry(&u, false);
    if (!has_digest_of(e, &s->target, at) && u.size > 0 && all_zero(u.data, u.size)) {
        /* The leader may have a file with a size and no content (chapter 17): its digest tells. */
        entry_unref(e);
        e = make_entry(&u, true);
    }
    if (!has_digest_of(e, &s->target, at)) {
        trace(s->tracer, TRACE_ERR,
              "dcdb: update of inode %" G_GUINT64_FORMAT " is not as announced", u.inode);
        entry_unref(e);
        return -EBADMSG;
    }
    s->received_bytes += u.size;
    (void)g_hash_table_replace(s->received, &e->inode, e);
    return 0;
}

uint32_t dcdb_sync_leader(const DcdbSync *s)
{
    return s->leader;
}

bool dcdb_sync_loses(const DcdbSync *s)
{
    g_autoptr(GPtrArray) all = memdb_all(s->db);

    /* Whether a difference is a loss or just news cannot be told from two indexes alone: any entry
     * of ours that is gone or different afterwards counts. */
    for (guint i = 0; i < all->len; i++) {
        Entry *e = all->pdata[i];
        int64_t at = find_inode(&s->target, e->inode);

        if (e->inode != 0 && (at < 0 || !has_digest_of(e, &s->target, at))) {
            return true;
        }
    }
    return false;
}

/* The entry that the leader has at position `i`: received, or ours when equal. */
static Entry *entry_at(DcdbSync *s, uint32_t i)
{
    uint64_t inode = wire_dcdb_index_inode(&s->target, i);
    Entry *e = g_hash_table_lookup(s->received, &inode);

    if (e != NULL) {
        return entry_ref(e);
    }
    e = memdb_get(s->db, inode);
    if (e != NULL && !has_digest_of(e, &s->target, i)) {
        g_clear_pointer(&e, entry_unref);
    }
    return e;
}

/* The root record that the leader announced in the head of its index is that of its inode 0. */
static bool root_is_announced(const DcdbSync *s)
{
    g_autoptr(Entry) e = entry_new(&(EntryInit){.version = s->target.version,
                                                .writer = s->target.writer,
                                                .mtime = s->target.mtime,
                                                .type = ENTRY_DIR,
                                                .name = ""});

    return s->target.n > 0 && wire_dcdb_index_inode(&s->target, 0) == 0 &&
           has_digest_of(e, &s->target, 0);
}

int dcdb_sync_commit(DcdbSync *s, MonoTime now, MemdbDelta **ret_delta, Err *err)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    MemdbRoot root = {s->target.version, s->target.writer, s->target.mtime};
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(MemdbDelta) back = NULL;
    g_autoptr(GBytes) index = NULL;
    int ret;

    if (s->leader_state == NULL || !root_is_announced(s)) {
        return err_setf(err, -EBADMSG, "no usable index of a leader");
    }
    for (uint32_t i = 0; i < s->target.n; i++) {
        Entry *e = entry_at(s, i);

        if (e == NULL) {
            return err_setf(err, -EBADMSG, "inode %" G_GUINT64_FORMAT " was not sent",
                            wire_dcdb_index_inode(&s->target, i));
        }
        if (e->inode == 0) {
            entry_unref(e);
        } else {
            g_ptr_array_add(entries, e);
        }
    }
    ret = memdb_replace(s->db, entries, &root, now, &delta, err);
    if (ret < 0) {
        return ret;
    }
    index = memdb_index(s->db);
    if (!g_bytes_equal(index, s->leader_state)) {
        memdb_undo(s->db, delta, now, &back);
        return err_setf(err, -EBADMSG, "the tree would differ from that of member %u", s->leader);
    }
    *ret_delta = g_steal_pointer(&delta);
    return 0;
}
