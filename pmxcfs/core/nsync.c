/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/nsync.h"

#include "lib/base/cursor.h"
#include "lib/base/sha256.h"
#include "lib/wire/wire_dcdb.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define LEAF WIRE_NATIVE_LEAF_MAX

void nsync_tree_digest(Memdb *db, uint8_t ret[WIRE_NATIVE_DIGEST_SIZE])
{
    g_autoptr(Sha256) h = sha256_new();
    g_autoptr(GBytes) index = memdb_index(db);
    gsize size;
    const void *data = g_bytes_get_data(index, &size);

    sha256_bytes(h, data, size);
    sha256_finish(h, ret);
}

/* Digest of `n` entries: their inodes and digests. */
static void leaf_digest(GPtrArray *all, guint first, guint n, uint8_t ret[WIRE_NATIVE_DIGEST_SIZE])
{
    g_autoptr(Sha256) h = sha256_new();

    for (guint i = first; i < first + n; i++) {
        Entry *e = all->pdata[i];

        sha256_le64(h, e->inode);
        sha256_bytes(h, entry_digest(e), ENTRY_DIGEST_SIZE);
    }
    sha256_finish(h, ret);
}

/* First position whose inode is not below `inode`. */
static guint find_from(GPtrArray *all, uint64_t inode)
{
    guint lo = 0, hi = all->len;

    while (lo < hi) {
        guint mid = lo + (hi - lo) / 2;

        if (((const Entry *)all->pdata[mid])->inode < inode) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static Entry *find_entry(GPtrArray *all, uint64_t inode)
{
    guint at = find_from(all, inode);

    return at < all->len && ((const Entry *)all->pdata[at])->inode == inode ? all->pdata[at] : NULL;
}

static void add_number(GHashTable *set, uint64_t number)
{
    (void)g_hash_table_add(set, g_memdup2(&number, sizeof number));
}

/* ---- the giver ------------------------------------------------------------------------------- */

struct NsyncGiver {
    WireDfsmEpoch epoch;
    GPtrArray *all; /* of Entry*, ascending by inode */
    uint32_t n_leaves, top_next;
    GHashTable *asked_leaves, *asked_entries; /* of uint64_t: in the lists below */
    GArray *leaves, *entries;                 /* of uint64_t: to be given, oldest first */
    guint leaves_at, entries_at;
    GBytes *entry; /* being given */
    uint64_t entry_inode;
    uint32_t entry_at;
};

NsyncGiver *nsync_giver_new(Memdb *db, const WireDfsmEpoch *epoch)
{
    NsyncGiver *g = g_new0(NsyncGiver, 1);

    g->epoch = *epoch;
    g->all = memdb_all(db);
    g->n_leaves = (g->all->len + LEAF - 1) / LEAF;
    g->asked_leaves = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g->asked_entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g->leaves = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g->entries = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    return g;
}

void nsync_giver_free(NsyncGiver *g)
{
    if (g == NULL) {
        return;
    }
    g_ptr_array_unref(g->all);
    g_hash_table_unref(g->asked_leaves);
    g_hash_table_unref(g->asked_entries);
    g_array_unref(g->leaves);
    g_array_unref(g->entries);
    g_clear_pointer(&g->entry, g_bytes_unref);
    g_free(g);
}

void nsync_giver_want(NsyncGiver *g, const WireNative *m)
{
    bool leaves = m->kind == WIRE_NATIVE_WANT_LEAVES;
    GHashTable *asked = leaves ? g->asked_leaves : g->asked_entries;
    GArray *list = leaves ? g->leaves : g->entries;

    for (uint32_t i = 0; i < m->n; i++) {
        uint64_t number = wire_native_item(m, i, NULL);
        bool exists = leaves ? number < g->n_leaves : find_entry(g->all, number) != NULL;

        if (exists && !g_hash_table_contains(asked, &number)) {
            add_number(asked, number);
            g_array_append_val(list, number);
        }
    }
}

static guint leaf_size(const NsyncGiver *g, uint32_t leaf)
{
    return MIN(LEAF, g->all->len - leaf * LEAF);
}

static void write_item(Writer *w, uint64_t inode, const uint8_t *digest)
{
    writer_le64(w, inode);
    writer_bytes(w, digest, WIRE_NATIVE_DIGEST_SIZE);
}

static GBytes *encode_items(const NsyncGiver *g, WireNative *m, GBytes *items)
{
    gsize size;

    m->epoch = g->epoch;
    m->data = g_bytes_get_data(items, &size);
    m->size = size;
    return wire_native_encode(m, NULL);
}

static GBytes *next_top(NsyncGiver *g)
{
    WireNative m = {.kind = WIRE_NATIVE_TOP, .number = g->n_leaves, .first = g->top_next};
    g_auto(Writer) w = {0};
    g_autoptr(GBytes) items = NULL;

    m.n = MIN(WIRE_NATIVE_LEAVES_MAX, g->n_leaves - g->top_next);
    writer_init(&w, (size_t)m.n * 40);
    for (uint32_t leaf = m.first; leaf < m.first + m.n; leaf++) {
        uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];

        leaf_digest(g->all, leaf * LEAF, leaf_size(g, leaf), digest);
        write_item(&w, ((const Entry *)g->all->pdata[leaf * LEAF])->inode, digest);
    }
    g->top_next += m.n;
    items = writer_steal(&w);
    return encode_items(g, &m, items);
}

static GBytes *next_leaf(NsyncGiver *g)
{
    uint64_t leaf = g_array_index(g->leaves, uint64_t, g->leaves_at++);
    bool was_asked = g_hash_table_remove(g->asked_leaves, &leaf);
    WireNative m = {.kind = WIRE_NATIVE_LEAF, .number = leaf};
    g_auto(Writer) w = {0};
    g_autoptr(GBytes) items = NULL;

    assert(was_asked);
    m.n = leaf_size(g, (uint32_t)leaf);
    writer_init(&w, (size_t)m.n * 40);
    for (guint i = 0; i < m.n; i++) {
        Entry *e = g->all->pdata[leaf * LEAF + i];

        write_item(&w, e->inode, entry_digest(e));
    }
    items = writer_steal(&w);
    return encode_items(g, &m, items);
}

static GBytes *encode_entry(const Entry *e)
{
    g_autofree void *content = e->hollow ? g_malloc0(e->size) : NULL;

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

static GBytes *next_piece(NsyncGiver *g)
{
    WireNative m = {.kind = WIRE_NATIVE_ENTRY, .epoch = g->epoch};
    const uint8_t *data;
    GBytes *payload;
    gsize size;

    if (g->entry == NULL) {
        g->entry_inode = g_array_index(g->entries, uint64_t, g->entries_at++);
        /* Who finds out only now that it lacks this one has missed the beginning: it asks again. */
        (void)g_hash_table_remove(g->asked_entries, &g->entry_inode);
        g->entry = encode_entry(find_entry(g->all, g->entry_inode));
        g->entry_at = 0;
    }
    data = g_bytes_get_data(g->entry, &size);
    m.number = g->entry_inode;
    m.total = (uint32_t)size;
    m.first = g->entry_at;
    m.data = data + g->entry_at;
    m.size = MIN(NSYNC_PIECE_BYTES, size - g->entry_at);
    payload = wire_native_encode(&m, NULL);
    g->entry_at += (uint32_t)m.size;
    if (g->entry_at == size) {
        g_clear_pointer(&g->entry, g_bytes_unref);
    }
    return payload;
}

GBytes *nsync_giver_next(NsyncGiver *g)
{
    if (g->top_next < g->n_leaves) {
        return next_top(g);
    }
    if (g->leaves_at < g->leaves->len) {
        return next_leaf(g);
    }
    return g->entry != NULL || g->entries_at < g->entries->len ? next_piece(g) : NULL;
}

/* ---- the taker ------------------------------------------------------------------------------- */

/* An entry that is wanted; its inode is the key. */
typedef struct Wanted {
    uint64_t inode;
    uint8_t digest[ENTRY_DIGEST_SIZE];
    GByteArray *pieces; /* NULL: nothing came yet */
    Entry *entry;       /* NULL: not complete */
} Wanted;

typedef struct Leaf {
    uint64_t first; /* inode */
    uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
    bool known, listed; /* listed: equal to ours, or its list has come */
} Leaf;

struct NsyncTaker {
    WireDfsmEpoch epoch;
    GPtrArray *mine; /* of Entry*, ascending */
    Leaf *leaves;
    uint32_t n_leaves, leaves_known, leaves_listed;
    GPtrArray *kept;                  /* of Entry*: ours that the giver has too */
    GHashTable *wanted;               /* &inode -> Wanted */
    guint complete;                   /* of wanted */
    GArray *ask_leaves, *ask_entries; /* of uint64_t: not asked for yet */
    uint64_t bytes;
};

static void wanted_free(Wanted *w)
{
    if (w->pieces != NULL) {
        g_byte_array_unref(w->pieces);
    }
    g_clear_pointer(&w->entry, entry_unref);
    g_free(w);
}

NsyncTaker *nsync_taker_new(Memdb *db, const WireDfsmEpoch *epoch)
{
    NsyncTaker *t = g_new0(NsyncTaker, 1);

    t->epoch = *epoch;
    t->mine = memdb_all(db);
    t->kept = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    t->wanted =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)wanted_free);
    t->ask_leaves = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    t->ask_entries = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    return t;
}

void nsync_taker_free(NsyncTaker *t)
{
    if (t == NULL) {
        return;
    }
    g_ptr_array_unref(t->mine);
    g_ptr_array_unref(t->kept);
    g_hash_table_unref(t->wanted);
    g_array_unref(t->ask_leaves);
    g_array_unref(t->ask_entries);
    g_free(t->leaves);
    g_free(t);
}

/* The leaf that `leaf` covers in our tree: from its first inode up to the next one's. */
static void own_range(const NsyncTaker *t, uint32_t leaf, guint *ret_first, guint *ret_n)
{
    guint end =
        leaf + 1 < t->n_leaves ? find_from(t->mine, t->leaves[leaf + 1].first) : t->mine->len;

    *ret_first = leaf == 0 ? 0 : find_from(t->mine, t->leaves[leaf].first);
    *ret_n = end > *ret_first ? end - *ret_first : 0;
}

/* All of the top is known: finds out which leaves differ. */
static int compare_leaves(NsyncTaker *t)
{
    for (uint32_t i = 1; i < t->n_leaves; i++) {
        if (t->leaves[i - 1].first >= t->leaves[i].first) {
            return -EBADMSG;
        }
    }
    for (uint32_t i = 0; i < t->n_leaves; i++) {
        uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
        uint64_t number = i;
        guint first, n;

        own_range(t, i, &first, &n);
        leaf_digest(t->mine, first, n, digest);
        if (memcmp(digest, t->leaves[i].digest, sizeof digest) != 0) {
            g_array_append_val(t->ask_leaves, number);
            continue;
        }
        t->leaves[i].listed = true;
        t->leaves_listed++;
        for (guint j = first; j < first + n; j++) {
            g_ptr_array_add(t->kept, entry_ref(t->mine->pdata[j]));
        }
    }
    return 1;
}

static int take_top(NsyncTaker *t, const WireNative *m)
{
    if (t->leaves == NULL) {
        t->n_leaves = (uint32_t)m->number;
        if (t->n_leaves > 2 * CFS_INODES_MAX / LEAF + 1) {
            return -EBADMSG;
        }
        t->leaves = g_new0(Leaf, t->n_leaves);
    }
    if (m->number != t->n_leaves) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        Leaf *leaf = &t->leaves[m->first + i];
        const uint8_t *digest;

        if (leaf->known) {
            return -EBADMSG;
        }
        leaf->first = wire_native_item(m, i, &digest);
        memcpy(leaf->digest, digest, sizeof leaf->digest);
        leaf->known = true;
        t->leaves_known++;
    }
    return t->leaves_known == t->n_leaves ? compare_leaves(t) : 1;
}

static int take_leaf(NsyncTaker *t, const WireNative *m)
{
    g_autoptr(Sha256) h = sha256_new();
    uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
    Leaf *leaf;

    if (t->leaves == NULL || t->leaves_known < t->n_leaves) {
        return 0;
    }
    if (m->number >= t->n_leaves) {
        return -EBADMSG;
    }
    leaf = &t->leaves[m->number];
    if (leaf->listed) {
        return 0; /* somebody else asked for it */
    }
    sha256_bytes(h, m->data, m->size);
    sha256_finish(h, digest);
    if (memcmp(digest, leaf->digest, sizeof digest) != 0) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        const uint8_t *entry_is;
        uint64_t inode = wire_native_item(m, i, &entry_is);
        Entry *e = find_entry(t->mine, inode);
        Wanted *w;

        if (e != NULL && memcmp(entry_digest(e), entry_is, ENTRY_DIGEST_SIZE) == 0) {
            g_ptr_array_add(t->kept, entry_ref(e));
            continue;
        }
        w = g_new0(Wanted, 1);
        w->inode = inode;
        memcpy(w->digest, entry_is, sizeof w->digest);
        (void)g_hash_table_replace(t->wanted, &w->inode, w);
        g_array_append_val(t->ask_entries, inode);
    }
    leaf->listed = true;
    t->leaves_listed++;
    return 1;
}

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

/* All pieces are there: the entry must be the one that was announced, as a file with that content
 * or as a hollow one. */
static int complete_entry(NsyncTaker *t, Wanted *w)
{
    WireDcdbUpdate u;

    if (wire_dcdb_decode_update(w->pieces->data, w->pieces->len, &u) < 0 || u.inode != w->inode) {
        return -EBADMSG;
    }
    w->entry = make_entry(&u, false);
    if (memcmp(entry_digest(w->entry), w->digest, sizeof w->digest) != 0 && u.size > 0) {
        entry_unref(w->entry);
        w->entry = make_entry(&u, true);
    }
    if (memcmp(entry_digest(w->entry), w->digest, sizeof w->digest) != 0) {
        return -EBADMSG;
    }
    g_byte_array_unref(w->pieces);
    w->pieces = NULL;
    t->complete++;
    return 1;
}

static int take_entry(NsyncTaker *t, const WireNative *m)
{
    Wanted *w = g_hash_table_lookup(t->wanted, &m->number);

    if (w == NULL || w->entry != NULL) {
        return 0;
    }
    if (w->pieces == NULL) {
        if (m->first != 0) {
            return 0; /* asked for by another one, and begun before we knew */
        }
        w->pieces = g_byte_array_new();
    }
    if (m->first != w->pieces->len || t->bytes + m->size > NSYNC_BYTES_MAX) {
        return -EBADMSG;
    }
    g_byte_array_append(w->pieces, m->data, (guint)m->size);
    t->bytes += m->size;
    return w->pieces->len == m->total ? complete_entry(t, w) : 1;
}

int nsync_taker_take(NsyncTaker *t, const WireNative *m)
{
    switch (m->kind) {
    case WIRE_NATIVE_TOP:
        return take_top(t, m);
    case WIRE_NATIVE_LEAF:
        return take_leaf(t, m);
    case WIRE_NATIVE_ENTRY:
        return take_entry(t, m);
    default:
        return 0;
    }
}

GBytes *nsync_taker_next(NsyncTaker *t)
{
    bool leaves = t->ask_leaves->len > 0;
    GArray *ask = leaves ? t->ask_leaves : t->ask_entries;
    WireNative m = {.kind = leaves ? WIRE_NATIVE_WANT_LEAVES : WIRE_NATIVE_WANT_ENTRIES,
                    .epoch = t->epoch,
                    .n = MIN(ask->len, WIRE_NATIVE_WANT_MAX)};
    g_auto(Writer) w = {0};
    g_autoptr(GBytes) numbers = NULL;
    GBytes *payload;

    if (ask->len == 0) {
        return NULL;
    }
    writer_init(&w, 8 * (size_t)m.n);
    for (uint32_t i = 0; i < m.n; i++) {
        writer_le64(&w, g_array_index(ask, uint64_t, i));
    }
    numbers = writer_steal(&w);
    m.data = g_bytes_get_data(numbers, NULL);
    m.size = 8 * (size_t)m.n;
    payload = wire_native_encode(&m, NULL);
    g_array_remove_range(ask, 0, m.n);
    return payload;
}

bool nsync_taker_complete(const NsyncTaker *t)
{
    return t->leaves != NULL && t->leaves_listed == t->n_leaves &&
           t->complete == g_hash_table_size(t->wanted);
}

static void add_result(GPtrArray *entries, Entry *e, MemdbRoot *root, bool *has_root)
{
    if (e->inode == 0) {
        *root = (MemdbRoot){e->version, e->writer, e->mtime};
        *has_root = true;
    } else {
        g_ptr_array_add(entries, entry_ref(e));
    }
}

int nsync_taker_result(NsyncTaker *t, GPtrArray **ret_entries, MemdbRoot *ret_root)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    GHashTableIter it;
    gpointer value;
    MemdbRoot root = {0};
    bool has_root = false;

    assert(nsync_taker_complete(t));
    for (guint i = 0; i < t->kept->len; i++) {
        add_result(entries, t->kept->pdata[i], &root, &has_root);
    }
    g_hash_table_iter_init(&it, t->wanted);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        add_result(entries, ((const Wanted *)value)->entry, &root, &has_root);
    }
    if (!has_root) {
        return -EBADMSG;
    }
    *ret_entries = g_steal_pointer(&entries);
    *ret_root = root;
    return 0;
}

uint64_t nsync_taker_bytes(const NsyncTaker *t)
{
    return t->bytes;
}
