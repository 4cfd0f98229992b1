/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever two trees are like, the taker ends with exactly the giver's, and gets little more
 * than what differs. Method: random trees that share a past; the messages are handed over by hand,
 * encoded and decoded as on the wire; also several takers at once, who hear each other's answers.
 */
#include "pmxcfs/core/nsync.h"

#include "lib/base/prng.h"

#include <errno.h>
#include <string.h>

static const MonoTime t0 = {0};
static const WireDfsmEpoch epoch = {1, 2, 3, 4};

typedef struct Totals {
    gsize bytes;
    guint messages, largest;
} Totals;

static Memdb *tree_new(void)
{
    return memdb_new(NULL, NULL);
}

static void apply(Memdb *db, TreeOp op, uint32_t time)
{
    g_autoptr(MemdbDelta) delta = NULL;

    if (memdb_apply(db, &op, (TreeOrigin){1, time}, false, t0, &delta) < 0) {
        g_assert_null(delta); /* what does not fit is left out */
    }
}

static void random_change(Memdb *db, Prng *rng, uint32_t time)
{
    g_autofree char *dir = g_strdup_printf("d%d", (int)prng_range(rng, 0, 5));
    g_autofree char *path = g_strdup_printf("%s/f%d", dir, (int)prng_range(rng, 0, 60));
    gsize size = (gsize)prng_range(rng, 0, prng_chance(rng, 1, 40) ? 300000 : 300);
    g_autofree guint8 *content = g_malloc(size + 1);
    g_autoptr(GBytes) data = NULL;

    memset(content, (int)prng_range(rng, 0, 255), size);
    data = g_bytes_new(content, size);
    switch (prng_range(rng, 0, 9)) {
    case 0:
        apply(db, (TreeOp){.kind = TREE_OP_MKDIR, .path = dir}, time);
        break;
    case 1:
        apply(db, (TreeOp){.kind = TREE_OP_DELETE, .path = path}, time);
        break;
    case 2:
    case 3:
    case 4:
        apply(db, (TreeOp){.kind = TREE_OP_CREATE, .path = path}, time);
        break;
    default:
        apply(db,
              (TreeOp){.kind = TREE_OP_WRITE,
                       .path = path,
                       .truncate = true,
                       .data = size > 0 ? data : NULL},
              time);
    }
}

static Memdb *copy_of(Memdb *db)
{
    g_autoptr(GPtrArray) all = memdb_all(db);
    Memdb *copy = tree_new();
    MemdbRoot root = memdb_root(db);

    g_ptr_array_remove_index(all, 0); /* the root */
    g_assert_cmpint(memdb_load(copy, all, &root, t0, NULL, NULL), ==, 0);
    return copy;
}

static void hand_over(GBytes *payload, WireNative *m, Totals *t)
{
    gsize size;
    const void *data = g_bytes_get_data(payload, &size);

    g_assert_cmpint(wire_native_decode(data, size, m), ==, 0);
    g_assert_true(wire_dfsm_epoch_equal(&m->epoch, &epoch));
    t->bytes += size;
    t->messages++;
    t->largest = MAX(t->largest, (guint)size);
}

/* Lets the giver serve all takers until nobody has anything to say. */
static Totals synchronise(Memdb *from, NsyncTaker **takers, guint n)
{
    g_autoptr(NsyncGiver) giver = nsync_giver_new(from, &epoch);
    Totals t = {0};
    bool more = true;

    while (more) {
        GBytes *payload;
        WireNative m;

        more = false;
        for (guint i = 0; i < n; i++) {
            while ((payload = nsync_taker_next(takers[i])) != NULL) {
                hand_over(payload, &m, &t);
                nsync_giver_want(giver, &m);
                g_bytes_unref(payload);
                more = true;
            }
        }
        payload = nsync_giver_next(giver);
        if (payload != NULL) {
            hand_over(payload, &m, &t);
            for (guint i = 0; i < n; i++) {
                g_assert_cmpint(nsync_taker_take(takers[i], &m), >=, 0);
            }
            g_bytes_unref(payload);
            more = true;
        }
    }
    return t;
}

static void become_equal(Memdb *to, NsyncTaker *taker, Memdb *from)
{
    uint8_t want[WIRE_NATIVE_DIGEST_SIZE], have[WIRE_NATIVE_DIGEST_SIZE];
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(MemdbDelta) delta = NULL;
    MemdbRoot root;
    Err err = ERR_INIT;

    g_assert_true(nsync_taker_complete(taker));
    g_assert_cmpint(nsync_taker_result(taker, &entries, &root), ==, 0);
    g_assert_cmpint(memdb_replace(to, entries, &root, t0, &delta, &err), ==, 0);
    nsync_tree_digest(from, want);
    nsync_tree_digest(to, have);
    g_assert_cmpmem(want, sizeof want, have, sizeof have);
}

static void any_two_trees_become_equal(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        g_autoptr(Memdb) from = tree_new();
        g_autoptr(Memdb) a = NULL;
        g_autoptr(Memdb) b = NULL;
        NsyncTaker *takers[2];
        Prng rng;

        prng_init(&rng, seed);
        for (int i = (int)prng_range(&rng, 0, 400); i > 0; i--) {
            random_change(from, &rng, 1);
        }
        a = copy_of(from);
        b = prng_chance(&rng, 1, 3) ? tree_new() : copy_of(from);
        for (int i = (int)prng_range(&rng, 0, 100); i > 0; i--) {
            random_change(from, &rng, 2);
            random_change(prng_chance(&rng, 1, 2) ? a : b, &rng, 3);
        }
        takers[0] = nsync_taker_new(a, &epoch);
        takers[1] = nsync_taker_new(b, &epoch);
        (void)synchronise(from, takers, 2);
        become_equal(a, takers[0], from);
        become_equal(b, takers[1], from);
        nsync_taker_free(takers[0]);
        nsync_taker_free(takers[1]);
    }
}

static Memdb *large_tree(guint files, gsize size)
{
    Memdb *db = tree_new();
    g_autofree guint8 *content = g_malloc0(size);
    g_autoptr(GBytes) data = g_bytes_new(content, size);

    for (guint i = 0; i < files; i++) {
        g_autofree char *path = g_strdup_printf("file-%u", i);

        apply(db, (TreeOp){.kind = TREE_OP_CREATE, .path = path}, i);
        apply(db, (TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = data}, i);
    }
    return db;
}

static void only_what_differs_travels(void)
{
    g_autoptr(Memdb) from = large_tree(5000, 1000);
    g_autoptr(Memdb) to = copy_of(from);
    g_autoptr(GBytes) data = g_bytes_new_static("new", 3);
    NsyncTaker *taker;
    Totals t;

    for (guint i = 0; i < 50; i++) {
        g_autofree char *path = g_strdup_printf("file-%u", i * 100);

        apply(from, (TreeOp){.kind = TREE_OP_WRITE, .path = path, .truncate = true, .data = data},
              9);
    }
    taker = nsync_taker_new(to, &epoch);
    t = synchronise(from, &taker, 1);
    become_equal(to, taker, from);
    /* 80 leaves of 40 bytes, at most 51 lists of 64 entries, 51 entries; of 5 MB in all. */
    g_assert_cmpuint(t.bytes, <, 160000);
    g_assert_cmpuint(nsync_taker_bytes(taker), <, 10000);
    nsync_taker_free(taker);
}

static void equal_trees_need_one_round(void)
{
    g_autoptr(Memdb) from = large_tree(1000, 10);
    g_autoptr(Memdb) to = copy_of(from);
    NsyncTaker *taker = nsync_taker_new(to, &epoch);
    Totals t = synchronise(from, &taker, 1);

    become_equal(to, taker, from);
    g_assert_cmpuint(t.messages, ==, 1);
    nsync_taker_free(taker);
}

static void large_files_come_in_pieces(void)
{
    g_autoptr(Memdb) from = large_tree(3, 1000000);
    g_autoptr(Memdb) to = tree_new();
    NsyncTaker *taker = nsync_taker_new(to, &epoch);
    Totals t = synchronise(from, &taker, 1);

    become_equal(to, taker, from);
    g_assert_cmpuint(t.largest, <=, NSYNC_PIECE_BYTES + 100);
    g_assert_cmpuint(t.messages, >, 45);
    nsync_taker_free(taker);
}

/* A leaf list that is not the announced one, and an entry that is not. */
static void lies_are_noticed(void)
{
    g_autoptr(Memdb) from = large_tree(10, 10);
    g_autoptr(Memdb) to = tree_new();
    g_autoptr(NsyncGiver) giver = nsync_giver_new(from, &epoch);
    g_autoptr(NsyncTaker) taker = nsync_taker_new(to, &epoch);
    g_autoptr(GBytes) top = nsync_giver_next(giver);
    g_autoptr(GBytes) want = NULL;
    g_autoptr(GBytes) leaf = NULL;
    g_autofree uint8_t *changed = NULL;
    Totals t = {0};
    WireNative m;

    hand_over(top, &m, &t);
    g_assert_cmpint(nsync_taker_take(taker, &m), ==, 1);
    g_assert_cmpint(nsync_taker_take(taker, &m), ==, -EBADMSG); /* twice */
    want = nsync_taker_next(taker);
    hand_over(want, &m, &t);
    nsync_giver_want(giver, &m);
    leaf = nsync_giver_next(giver);
    changed = g_memdup2(g_bytes_get_data(leaf, NULL), g_bytes_get_size(leaf));
    changed[g_bytes_get_size(leaf) - 1] ^= 1;
    g_assert_cmpint(wire_native_decode(changed, g_bytes_get_size(leaf), &m), ==, 0);
    g_assert_cmpint(nsync_taker_take(taker, &m), ==, -EBADMSG);
    g_assert_false(nsync_taker_complete(taker));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nsync/any-two-trees-become-equal", any_two_trees_become_equal);
    g_test_add_func("/nsync/only-what-differs-travels", only_what_differs_travels);
    g_test_add_func("/nsync/equal-trees-need-one-round", equal_trees_need_one_round);
    g_test_add_func("/nsync/large-files-come-in-pieces", large_files_come_in_pieces);
    g_test_add_func("/nsync/lies-are-noticed", lies_are_noticed);
    return g_test_run();
}
