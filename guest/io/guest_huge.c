/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_huge.h"

#include "guest/core/hugeplan.h"
#include "guest/core/stat_text.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/lockfile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAKE_WAIT_MS  300000u /* a QEMU that clears a terabyte of pages */
#define GIVE_WAIT_MS  10000u  /* whoever holds the lock gives back too, when done */
#define NUMBER_MAX    64
#define MEMINFO_MAX   65536
#define MIB           (UINT64_C(1) << 20)

struct GuestHuge {
    char *sysfs;
    char *ledger_path;
    int lock;
    HugeHost host;
    GArray *ledger; /* HugeRow */
    GArray *added;  /* HugeRow, NULL until it is known */
};

/* -------------------------------------------------------------------- host */

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The folder of a pool. A kernel without NUMA has only that of the whole host. */
static char *pool_dir(const GuestHuge *h, int node, int mib)
{
    g_autofree char *of_node =
        g_strdup_printf("%s/devices/system/node/node%d/hugepages", h->sysfs, node);
    const char *in = is_there(of_node) ? of_node : NULL;

    return in != NULL
               ? g_strdup_printf("%s/hugepages-%dkB", in, mib * 1024)
               : g_strdup_printf("%s/kernel/mm/hugepages/hugepages-%dkB", h->sysfs, mib * 1024);
}

static int number_in(const char *dir, const char *name, uint64_t *ret, Err *err)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = NULL;
    size_t len;
    int r = cfsfile_read(path, NUMBER_MAX, &text, &len, err);

    if (r == 0) {
        *ret = g_ascii_strtoull(text, NULL, 10);
    }
    return r;
}

static int count(void *ctx, int node, int mib, uint64_t *ret_total, uint64_t *ret_free, Err *err)
{
    const GuestHuge *h = ctx;
    g_autofree char *dir = pool_dir(h, node, mib);
    g_autofree char *all =
        g_strdup_printf("%s/kernel/mm/hugepages/hugepages-%dkB", h->sysfs, mib * 1024);
    uint64_t total;
    uint64_t unused;
    uint64_t surplus;
    uint64_t claimed; /* by programs that have not touched them yet, on whichever node */
    int r = number_in(dir, "nr_hugepages", &total, err);

    if (r == 0) {
        r = number_in(dir, "free_hugepages", &unused, err);
    }
    if (r == 0) {
        r = number_in(dir, "surplus_hugepages", &surplus, err);
    }
    if (r == 0) {
        r = number_in(all, "resv_hugepages", &claimed, err);
    }
    if (r == 0) {
        *ret_total = total - MIN(total, surplus);
        *ret_free = unused - MIN(unused, claimed);
    }
    return r;
}

static int resize(void *ctx, int node, int mib, uint64_t total, Err *err)
{
    const GuestHuge *h = ctx;
    g_autofree char *dir = pool_dir(h, node, mib);
    g_autofree char *path = g_build_filename(dir, "nr_hugepages", NULL);
    g_autofree char *text = g_strdup_printf("%" PRIu64 "\n", total);

    return textfile_tell(path, text, err);
}

static int save(void *ctx, const GArray *ledger, Err *err)
{
    const GuestHuge *h = ctx;
    g_autofree char *text = NULL;

    if (ledger->len == 0) {
        return unlink(h->ledger_path) == 0 || errno == ENOENT
                   ? 0
                   : err_setf(err, -errno, "%s: %s", h->ledger_path, g_strerror(errno));
    }
    text = hugeplan_format(ledger);
    return cfsfile_write(h->ledger_path, text, strlen(text), err);
}

static uint64_t list_nodes(const char *sysfs)
{
    uint64_t nodes = 0;

    for (int i = 0; i < HUGE_NODES_MAX; i++) {
        g_autofree char *path = g_strdup_printf("%s/devices/system/node/node%d", sysfs, i);
        nodes |= is_there(path) ? UINT64_C(1) << i : 0;
    }
    return nodes != 0 ? nodes : 1;
}

static int available(uint64_t *ret_mib, Err *err)
{
    g_autofree char *text = NULL;
    gsize size;
    StatMemory memory;
    int r = cfsfile_read("/proc/meminfo", MEMINFO_MAX, &text, &size, err);

    if (r < 0) {
        return r;
    }
    stat_text_memory(text, &memory);
    *ret_mib = memory.available > 0 ? (uint64_t)memory.available / MIB : 0;
    return 0;
}

/* -------------------------------------------------------------------- open */

static int take_lock(const char *run_dir, unsigned wait_ms, Err *err)
{
    g_autofree char *path = g_build_filename(run_dir, "hugepages.lock", NULL);
    int fd = lockfile_take(path, 0600, wait_ms);

    if (fd == -EBUSY) {
        return err_setf(err, fd,
                        "hugepages: another guest is taking its pages (%s was not free within "
                        "%u s)",
                        path, wait_ms / 1000);
    }
    return fd < 0 ? err_setf(err, fd, "%s: %s", path, g_strerror(-fd)) : fd;
}

static int read_ledger(GuestHuge *h, Err *err)
{
    g_autofree char *text = NULL;
    gsize size;
    int r = cfsfile_read(h->ledger_path, HUGE_LEDGER_MAX, &text, &size, err);

    if (r == -ENOENT) {
        err_clear(err);
        h->ledger = g_array_new(FALSE, FALSE, sizeof(HugeRow));
        return 0;
    }
    if (r == 0) {
        r = hugeplan_parse(text, &h->ledger, err);
    }
    if (r == 0) {
        r = hugeplan_recover(&h->host, h->ledger, err);
    }
    return r < 0 ? err_wrapf(err, r, "%s", h->ledger_path) : 0;
}

static void close_all(GuestHuge *h)
{
    g_free(h->sysfs);
    g_free(h->ledger_path);
    g_clear_pointer(&h->ledger, g_array_unref);
    g_clear_pointer(&h->added, g_array_unref);
    (void)close(h->lock); /* that is what frees it */
    g_free(h);
}

static int
open_all(const char *sysfs, const char *run_dir, unsigned wait_ms, GuestHuge **ret, Err *err)
{
    int lock = take_lock(run_dir, wait_ms, err);
    GuestHuge *h;
    int r;

    if (lock < 0) {
        return lock;
    }
    h = g_new0(GuestHuge, 1);
    h->sysfs = g_strdup(sysfs);
    h->ledger_path = g_build_filename(run_dir, "hugepages", NULL);
    h->lock = lock;
    h->host = (HugeHost){
        .ctx = h, .nodes = list_nodes(sysfs), .count = count, .resize = resize, .save = save};
    r = available(&h->host.room_mib, err);
    if (r == 0) {
        r = read_ledger(h, err);
    }
    if (r < 0) {
        close_all(h);
        return r;
    }
    *ret = h;
    return 0;
}

/* ------------------------------------------------------------------- front */

int guest_huge_take(
    const char *sysfs, const char *run_dir, const GPtrArray *objects, GuestHuge **ret, Err *err)
{
    g_autoptr(GArray) needs = g_array_new(FALSE, FALSE, sizeof(HugeNeed));
    g_autoptr(GuestHuge) h = NULL;
    int r = 0;

    for (guint i = 0; r == 0 && i < objects->len; i++) {
        r = hugeplan_need(needs, objects->pdata[i], err);
    }
    if (r == 0 && needs->len == 0) {
        *ret = NULL;
        return 0;
    }
    if (r == 0) {
        r = open_all(sysfs, run_dir, TAKE_WAIT_MS, &h, err);
    }
    if (r == 0) {
        r = hugeplan_reserve(&h->host, h->ledger, needs, &h->added, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&h);
    }
    return r;
}

void guest_huge_done(GuestHuge *h, bool keep)
{
    if (h != NULL && keep) {
        hugeplan_forget(h->ledger, h->added); /* written down below, with the rest */
    }
}

void guest_huge_free(GuestHuge *h)
{
    if (h == NULL) {
        return;
    }
    (void)!hugeplan_give_back(&h->host, h->ledger, NULL); /* the next one tries again */
    close_all(h);
}

int guest_huge_give_back(const char *sysfs, const char *run_dir, Err *err)
{
    g_autofree char *path = g_build_filename(run_dir, "hugepages", NULL);
    GuestHuge *h = NULL;
    int r = is_there(path) ? open_all(sysfs, run_dir, GIVE_WAIT_MS, &h, err) : 0;

    if (r == 0 && h != NULL) {
        r = hugeplan_give_back(&h->host, h->ledger, err);
        close_all(h);
    }
    return r;
}
