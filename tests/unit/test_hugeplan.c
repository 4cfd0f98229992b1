/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: huge pages that are missing are added where they are needed, no more of them, and as many
 * go back when nobody uses them; what the administrator set aside stays, also after kills.
 * Method: a host of pools in memory that gives pages as its memory lasts; then the same through
 * files of a tree like /sys.
 */
#include "guest/core/hugeplan.h"
#include "guest/io/guest_huge.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define NODES 3

typedef struct Pool {
    uint64_t total;
    uint64_t used;
    uint64_t memory; /* how large it can become */
} Pool;

typedef struct Rig {
    Pool pools[NODES]; /* of 2 MiB */
    HugeHost host;
    GArray *ledger;
    GArray *needs;
    char *saved;
    bool first_only; /* of what is saved */
    Err err;
} Rig;

static int
rig_count(void *ctx, int node, int mib, uint64_t *ret_total, uint64_t *ret_free, Err *err)
{
    const Rig *rig = ctx;

    (void)err;
    g_assert_cmpint(mib, ==, 2);
    *ret_total = rig->pools[node].total;
    *ret_free = rig->pools[node].total - rig->pools[node].used;
    return 0;
}

static int rig_resize(void *ctx, int node, int mib, uint64_t total, Err *err)
{
    Rig *rig = ctx;
    Pool *pool = &rig->pools[node];

    (void)mib;
    (void)err;
    pool->total = MAX(MIN(total, pool->memory), pool->used);
    return 0;
}

static int rig_save(void *ctx, const GArray *ledger, Err *err)
{
    Rig *rig = ctx;

    (void)err;
    if (rig->first_only && rig->saved != NULL) {
        return 0;
    }
    g_free(rig->saved);
    rig->saved = hugeplan_format(ledger);
    return 0;
}

static void set_up(Rig *rig, const void *data)
{
    (void)data;
    rig->host = (HugeHost){.ctx = rig,
                           .nodes = 7,
                           .room_mib = 1000,
                           .count = rig_count,
                           .resize = rig_resize,
                           .save = rig_save};
    rig->ledger = g_array_new(FALSE, FALSE, sizeof(HugeRow));
    rig->needs = g_array_new(FALSE, FALSE, sizeof(HugeNeed));
    for (int i = 0; i < NODES; i++) {
        rig->pools[i].memory = 100;
    }
}

static void tear_down(Rig *rig, const void *data)
{
    (void)data;
    g_array_unref(rig->ledger);
    g_array_unref(rig->needs);
    g_free(rig->saved);
}

static void need(Rig *rig, const char *rest)
{
    g_autofree char *object =
        g_strconcat("memory-backend-file,id=ram,", rest, ",share=on,prealloc=yes", NULL);

    g_assert_cmpint(hugeplan_need(rig->needs, object, NULL), ==, 0);
}

#define SMALL ",mem-path=/run/hugepages/kvm/2048kB"

/* Reserves, and lets a QEMU take the pages of `uses` on each node. */
static int reserve(Rig *rig, GArray **ret_added)
{
    GArray *added = NULL;
    int r = hugeplan_reserve(&rig->host, rig->ledger, rig->needs, &added, &rig->err);

    g_array_set_size(rig->needs, 0);
    if (r == 0 && ret_added != NULL) {
        *ret_added = added;
    } else if (r == 0) {
        g_array_unref(added);
    }
    return r;
}

static void check_totals(const Rig *rig, uint64_t a, uint64_t b, uint64_t c)
{
    g_assert_cmpuint(rig->pools[0].total, ==, a);
    g_assert_cmpuint(rig->pools[1].total, ==, b);
    g_assert_cmpuint(rig->pools[2].total, ==, c);
}

static void test_needs(Rig *rig, const void *data)
{
    const HugeNeed *n;

    (void)data;
    g_assert_cmpint(hugeplan_need(rig->needs, "memory-backend-ram,id=a,size=64M", NULL), ==, 0);
    g_assert_cmpint(
        hugeplan_need(rig->needs, "memory-backend-file,id=a,size=64M,mem-path=/tmp", NULL), ==, 0);
    g_assert_cmpuint(rig->needs->len, ==, 0);
    need(rig, "size=64M" SMALL);
    need(rig, "size=4096M,mem-path=/run/hugepages/kvm/1048576kB,host-nodes=0-1,host-nodes=3,"
              "policy=bind");
    need(rig, "size=64M" SMALL ",host-nodes=2,policy=preferred");
    n = &g_array_index(rig->needs, HugeNeed, 0);
    g_assert_true(n->mib == 2 && n->pages == 32 && n->nodes == 0 && !n->strict);
    n = &g_array_index(rig->needs, HugeNeed, 1);
    g_assert_true(n->mib == 1024 && n->pages == 4 && n->nodes == 0xb && n->strict);
    n = &g_array_index(rig->needs, HugeNeed, 2);
    g_assert_true(n->mib == 2 && n->pages == 32 && n->nodes == 4 && !n->strict);
    g_assert_cmpint(hugeplan_need(rig->needs,
                                  "memory-backend-file,size=2M" SMALL ",host-nodes=64,policy=bind",
                                  &rig->err),
                    ==, -EINVAL);
}

static void test_missing(Rig *rig, const void *data)
{
    (void)data;
    rig->pools[0] = (Pool){.total = 10, .used = 4, .memory = 100}; /* the administrator's */
    need(rig, "size=80M" SMALL ",host-nodes=0,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    check_totals(rig, 44, 0, 0); /* six were free */
    rig->pools[0].used += 40;
    g_assert_cmpint(hugeplan_give_back(&rig->host, rig->ledger, NULL), ==, 0);
    check_totals(rig, 44, 0, 0); /* the guest has them */
    rig->pools[0].used -= 40;
    g_assert_cmpint(hugeplan_give_back(&rig->host, rig->ledger, NULL), ==, 0);
    check_totals(rig, 10, 0, 0);
    g_assert_cmpuint(rig->ledger->len, ==, 0);
}

static void test_two_guests(Rig *rig, const void *data)
{
    (void)data;
    need(rig, "size=40M" SMALL ",host-nodes=1,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    rig->pools[1].used = 20;
    need(rig, "size=20M" SMALL ",host-nodes=1,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    rig->pools[1].used = 30;
    check_totals(rig, 0, 30, 0);
    rig->pools[1].used = 10; /* the first has ended */
    g_assert_cmpint(hugeplan_give_back(&rig->host, rig->ledger, NULL), ==, 0);
    check_totals(rig, 0, 10, 0);
    rig->pools[1].used = 0;
    g_assert_cmpint(hugeplan_give_back(&rig->host, rig->ledger, NULL), ==, 0);
    check_totals(rig, 0, 0, 0);
}

/* Shared out evenly; what one node cannot give, the others do; those with a choice come last. */
static void test_nodes(Rig *rig, const void *data)
{
    (void)data;
    rig->pools[2] = (Pool){.total = 5, .memory = 5};
    need(rig, "size=120M" SMALL);
    need(rig, "size=10M" SMALL ",host-nodes=2,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    g_assert_cmpuint(rig->pools[2].total, ==, 5);
    g_assert_cmpuint(rig->pools[0].total + rig->pools[1].total, ==, 60);
    g_assert_cmpuint(rig->pools[0].total, >=, 20);
    g_assert_cmpuint(rig->pools[1].total, >=, 20);
    rig->pools[0].used = rig->pools[0].total;
    rig->pools[1].used = rig->pools[1].total;
    rig->pools[2].used = 5;
    rig->pools[0].memory = rig->pools[0].total + 1;
    need(rig, "size=20M" SMALL ",host-nodes=0,policy=preferred");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    g_assert_cmpuint(rig->pools[0].total, ==, rig->pools[0].memory);
    g_assert_cmpuint(rig->pools[0].total + rig->pools[1].total, ==, 70);
}

static void test_too_few(Rig *rig, const void *data)
{
    (void)data;
    rig->pools[0] = (Pool){.total = 7, .used = 3, .memory = 30};
    need(rig, "size=20M" SMALL ",host-nodes=1,policy=bind");
    need(rig, "size=80M" SMALL ",host-nodes=0,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, -ENOMEM);
    g_assert_nonnull(strstr(rig->err.text, "40 pages of 2 MiB are needed on NUMA node 0, 27 can"));
    check_totals(rig, 7, 0, 0);
    g_assert_cmpuint(rig->ledger->len, ==, 0);
}

/* Not even tried: it would cost the host all its caches. */
static void test_no_room(Rig *rig, const void *data)
{
    (void)data;
    rig->pools[1].total = 10;
    rig->host.room_mib = 59;
    need(rig, "size=80M" SMALL);
    g_assert_cmpint(reserve(rig, NULL), ==, -ENOMEM);
    g_assert_nonnull(strstr(rig->err.text, "60 MiB of pages are missing, the host has 59 MiB"));
    check_totals(rig, 0, 10, 0);
    rig->host.room_mib = 60;
    need(rig, "size=80M" SMALL);
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
}

static void test_keep(Rig *rig, const void *data)
{
    g_autoptr(GArray) added = NULL;

    (void)data;
    need(rig, "size=20M" SMALL ",host-nodes=1,policy=bind");
    g_assert_cmpint(reserve(rig, NULL), ==, 0);
    rig->pools[1].used = 10;
    need(rig, "size=10M" SMALL ",host-nodes=1,policy=bind");
    g_assert_cmpint(reserve(rig, &added), ==, 0);
    hugeplan_forget(rig->ledger, added);
    rig->pools[1].used = 0;
    g_assert_cmpint(hugeplan_give_back(&rig->host, rig->ledger, NULL), ==, 0);
    check_totals(rig, 0, 5, 0);
}

/* Killed before, within or after the change, with nothing written after it: what came is known, and
 * goes back. */
static void test_killed(Rig *rig, const void *data)
{
    (void)data;
    for (uint64_t memory = 3; memory <= 23; memory += 5) {
        g_autoptr(GArray) ledger = NULL;
        rig->pools[0] = (Pool){.total = 3, .memory = memory};
        rig->first_only = true;
        need(rig, "size=40M" SMALL ",host-nodes=0,policy=bind");
        g_assert_cmpint(reserve(rig, NULL), ==, memory < 20 ? -ENOMEM : 0);
        rig->pools[0].total = MIN(memory, 20u); /* as the killed one left it */
        rig->first_only = false;
        g_assert_cmpint(hugeplan_parse(rig->saved, &ledger, NULL), ==, 0);
        g_assert_cmpuint(g_array_index(ledger, HugeRow, 0).pending, >, 0);
        g_assert_cmpint(hugeplan_recover(&rig->host, ledger, NULL), ==, 0);
        g_assert_cmpint(hugeplan_give_back(&rig->host, ledger, NULL), ==, 0);
        check_totals(rig, 3, 0, 0);
        g_array_set_size(rig->ledger, 0);
        g_clear_pointer(&rig->saved, g_free);
    }
}

static void test_ledger(Rig *rig, const void *data)
{
    static const char *const bad[] = {"0 2 1 0\n",   "0 2 1 0 0 0\n", "64 2 1 0 0\n",
                                      "0 4 1 0 0\n", "0 2 -1 0 0\n",  "0 2 99999999999 0 0\n"};
    HugeRow row = {.node = 63, .mib = 1024, .pages = 5, .pending = 6, .before = 7};
    g_autoptr(GArray) rows = NULL;
    g_autofree char *text = NULL;

    (void)data;
    g_array_append_val(rig->ledger, row);
    text = hugeplan_format(rig->ledger);
    g_assert_cmpint(hugeplan_parse(text, &rows, NULL), ==, 0);
    g_assert_cmpuint(rows->len, ==, 1);
    g_assert_cmpmem(rows->data, sizeof row, rig->ledger->data, sizeof row);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GArray) none = NULL;
        g_assert_cmpint(hugeplan_parse(bad[i], &none, NULL), ==, -EBADMSG);
        g_assert_null(none);
    }
}

/* ------------------------------------------------------------------- files */

#define ALL    "kernel/mm/hugepages/hugepages-2048kB/"
#define NODE_0 "devices/system/node/node0/hugepages/hugepages-2048kB/"

static void put(const char *root, const char *dir, const char *name, const char *text)
{
    g_autofree char *folder = g_build_filename(root, dir, NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);

    g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void check_file(const char *root, const char *dir, const char *name, const char *wanted)
{
    g_autofree char *path = g_build_filename(root, dir, name, NULL);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    text[strcspn(text, "\n")] = '\0'; /* unlike the kernel, a file keeps what was longer */
    g_assert_cmpstr(text, ==, wanted);
}

/* Pools of a tree that is no kernel: nothing becomes free by itself. */
static void test_files(const void *data)
{
    const char *in = data;
    g_autofree char *root = g_dir_make_tmp("hugeplan-XXXXXX", NULL);
    g_autofree char *ledger = g_build_filename(root, "hugepages", NULL);
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_autoptr(GuestHuge) h = NULL;
    char plain[] = "-object";
    char object[] = "memory-backend-file,id=ram,size=20M" SMALL ",host-nodes=0,policy=bind";

    put(root, ALL, "resv_hugepages", "3\n");
    put(root, in, "nr_hugepages", "8\n");
    put(root, in, "free_hugepages", "8\n");
    put(root, in, "surplus_hugepages", "1\n");
    g_ptr_array_add(words, plain);
    g_assert_cmpint(guest_huge_take(root, root, words, &h, NULL), ==, 0);
    g_assert_null(h);
    g_ptr_array_add(words, object);
    /* 5 of 8 are nobody's: 5 are missing and do not come, as the number of free ones stays. */
    g_assert_cmpint(guest_huge_take(root, root, words, &h, NULL), ==, -ENOMEM);
    check_file(root, in, "nr_hugepages", "7");
    g_assert_cmpint(access(ledger, F_OK), <, 0);
    put(root, in, "free_hugepages", "13\n");
    g_assert_cmpint(guest_huge_take(root, root, words, &h, NULL), ==, 0);
    check_file(root, in, "nr_hugepages", "7"); /* none were missing */
    guest_huge_done(h, false);
    g_clear_pointer(&h, guest_huge_free);
    put(root, ".", "hugepages", "0 2 4 0 0\n");
    g_assert_cmpint(guest_huge_give_back(root, root, NULL), ==, 0);
    check_file(root, in, "nr_hugepages", "2"); /* the surplus is the kernel's */
    put(root, ".", "hugepages", "broken\n");
    g_assert_cmpint(guest_huge_give_back(root, root, NULL), ==, -EBADMSG);
    check_file(root, in, "nr_hugepages", "2");
    test_remove_tree(root);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/hugeplan/" name, Rig, NULL, set_up, func, tear_down)
    ADD("needs-are-read-from-the-command", test_needs);
    ADD("missing-pages-come-and-go", test_missing);
    ADD("two-guests-give-back-their-own", test_two_guests);
    ADD("nodes-share-and-stand-in", test_nodes);
    ADD("too-few-changes-nothing", test_too_few);
    ADD("too-little-memory-is-not-tried", test_no_room);
    ADD("kept-pages-stay", test_keep);
    ADD("kills-lose-nothing", test_killed);
    ADD("the-ledger-is-read-as-written", test_ledger);
    g_test_add_data_func("/hugeplan/files-of-a-node", NODE_0, test_files);
    g_test_add_data_func("/hugeplan/files-without-numa", ALL, test_files);
    return g_test_run();
}
