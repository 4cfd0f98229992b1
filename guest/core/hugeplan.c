/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/hugeplan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define KIND   "memory-backend-file,"
#define FOLDER "/run/hugepages/kvm/"

/* ------------------------------------------------------------------- needs */

static int add_nodes(const char *list, uint64_t *nodes, Err *err)
{
    char *end = NULL;
    guint64 first = g_ascii_strtoull(list, &end, 10);
    guint64 last = *end == '-' ? g_ascii_strtoull(end + 1, NULL, 10) : first;

    if (last >= HUGE_NODES_MAX || first > last) {
        return err_setf(err, -EINVAL, "hugepages: NUMA nodes '%s' are not within 0..%d", list,
                        HUGE_NODES_MAX - 1);
    }
    for (guint64 i = first; i <= last; i++) {
        *nodes |= UINT64_C(1) << i;
    }
    return 0;
}

int hugeplan_need(GArray *needs, const char *object, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(object, ",", -1);
    HugeNeed need = {0};
    guint64 size = 0;
    int r = 0;

    if (!g_str_has_prefix(object, KIND)) {
        return 0;
    }
    for (char **part = parts; r == 0 && *part != NULL; part++) {
        const char *value = strchr(*part, '=');
        if (g_str_has_prefix(*part, "size=")) {
            size = g_ascii_strtoull(value + 1, NULL, 10); /* MiB, as the command is made */
        } else if (g_str_has_prefix(*part, "mem-path=" FOLDER)) {
            value = *part + strlen("mem-path=" FOLDER);
            need.mib = (int)(g_ascii_strtoull(value, NULL, 10) / 1024);
        } else if (g_str_has_prefix(*part, "host-nodes=")) {
            r = add_nodes(value + 1, &need.nodes, err);
        } else if (strcmp(*part, "policy=bind") == 0 || strcmp(*part, "policy=interleave") == 0) {
            need.strict = true;
        }
    }
    if (r == 0 && need.mib > 0) {
        need.pages = size / (guint64)need.mib;
        g_array_append_val(needs, need);
    }
    return r;
}

/* ------------------------------------------------------------------ ledger */

static HugeRow *row_of(GArray *rows, int node, int mib)
{
    HugeRow fresh = {.node = node, .mib = mib};

    for (guint i = 0; i < rows->len; i++) {
        HugeRow *row = &g_array_index(rows, HugeRow, i);
        if (row->node == node && row->mib == mib) {
            return row;
        }
    }
    g_array_append_val(rows, fresh);
    return &g_array_index(rows, HugeRow, rows->len - 1);
}

static void drop_empty(GArray *rows)
{
    for (guint i = rows->len; i > 0; i--) {
        const HugeRow *row = &g_array_index(rows, HugeRow, i - 1);
        if (row->pages == 0 && row->pending == 0) {
            g_array_remove_index(rows, i - 1);
        }
    }
}

void hugeplan_forget(GArray *ledger, const GArray *added)
{
    for (guint i = 0; i < added->len; i++) {
        const HugeRow *gone = &g_array_index(added, HugeRow, i);
        HugeRow *row = row_of(ledger, gone->node, gone->mib);
        row->pages -= MIN(row->pages, gone->pages);
    }
    drop_empty(ledger);
}

char *hugeplan_format(const GArray *ledger)
{
    GString *out = g_string_new("# node MiB added pending before\n");

    for (guint i = 0; i < ledger->len; i++) {
        const HugeRow *row = &g_array_index(ledger, HugeRow, i);
        g_string_append_printf(out, "%d %d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", row->node,
                               row->mib, row->pages, row->pending, row->before);
    }
    return g_string_free(out, FALSE);
}

static int parse_row(const char *line, HugeRow *ret, Err *err)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 6);
    guint64 n[5];

    for (guint i = 0; i < G_N_ELEMENTS(n); i++) {
        if (g_strv_length(words) != G_N_ELEMENTS(n) ||
            !g_ascii_string_to_unsigned(words[i], 10, 0, UINT32_MAX, &n[i], NULL)) {
            return err_setf(err, -EBADMSG, "hugepages: '%s' is no row of the ledger", line);
        }
    }
    if (n[0] >= HUGE_NODES_MAX || (n[1] != 2 && n[1] != 1024)) {
        return err_setf(err, -EBADMSG, "hugepages: '%s' names no pool", line);
    }
    *ret = (HugeRow){
        .node = (int)n[0], .mib = (int)n[1], .pages = n[2], .pending = n[3], .before = n[4]};
    return 0;
}

int hugeplan_parse(const char *text, GArray **ret, Err *err)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(HugeRow));
    g_auto(GStrv) lines = g_strsplit(text, "\n", HUGE_LEDGER_ROWS + 2);

    for (char **line = lines; *line != NULL; line++) {
        HugeRow row = {0};
        if (**line != '\0' && **line != '#') {
            int r = parse_row(*line, &row, err);
            if (r < 0) {
                return r;
            }
            g_array_append_val(rows, row);
        }
    }
    *ret = g_steal_pointer(&rows);
    return 0;
}

int hugeplan_recover(const HugeHost *host, GArray *ledger, Err *err)
{
    for (guint i = 0; i < ledger->len; i++) {
        HugeRow *row = &g_array_index(ledger, HugeRow, i);
        uint64_t total;
        uint64_t unused;
        int r;
        if (row->pending == 0) {
            continue;
        }
        r = host->count(host->ctx, row->node, row->mib, &total, &unused, err);
        if (r < 0) {
            return r;
        }
        row->pages += total > row->before ? MIN(total - row->before, row->pending) : 0;
        row->pending = 0;
        row->before = 0;
    }
    drop_empty(ledger);
    return 0;
}

/* ----------------------------------------------------------------- reserve */

typedef struct Reserve {
    const HugeHost *host;
    GArray *ledger;
    GArray *added;
    GArray *taken; /* HugeRow: of each pool, what earlier needs will use */
    Err refused;   /* why the kernel took no change, the first time */
} Reserve;

/* Pages of a pool that are left for this need. */
static int left_in(Reserve *v, int node, int mib, uint64_t *ret_left, uint64_t *ret_total, Err *err)
{
    const HugeRow *taken = row_of(v->taken, node, mib);
    uint64_t unused;
    int r = v->host->count(v->host->ctx, node, mib, ret_total, &unused, err);

    if (r == 0) {
        *ret_left = unused - MIN(unused, taken->pages);
    }
    return r;
}

/* Takes up to `most` of what is there. */
static int take(Reserve *v, int node, const HugeNeed *need, uint64_t most, uint64_t *got, Err *err)
{
    uint64_t left;
    uint64_t total;
    int r = left_in(v, node, need->mib, &left, &total, err);

    if (r == 0) {
        uint64_t now = MIN(left, most);
        row_of(v->taken, node, need->mib)->pages += now;
        *got += now;
    }
    return r;
}

/* Makes the pool larger by up to `most`. The ledger knows before and after. */
static int grow(Reserve *v, int node, const HugeNeed *need, uint64_t most, Err *err)
{
    HugeRow *row = row_of(v->ledger, node, need->mib);
    const HugeHost *h = v->host;
    uint64_t before;
    uint64_t total;
    uint64_t left;
    int r = left_in(v, node, need->mib, &left, &before, err);

    if (r == 0) {
        row->pending = most;
        row->before = before;
        r = h->save(h->ctx, v->ledger, err);
    }
    if (r < 0) {
        row->pending = 0;
        return r;
    }
    if (h->resize(h->ctx, node, need->mib, before + most,
                  v->refused.code == 0 ? &v->refused : NULL) < 0) {
        total = before; /* what the refusal means is seen when all nodes were tried */
    } else {
        r = left_in(v, node, need->mib, &left, &total, err);
    }
    if (r == 0) {
        uint64_t came = total > before ? MIN(total - before, most) : 0;
        row->pages += came;
        row_of(v->added, node, need->mib)->pages += came;
        row->pending = 0;
        r = h->save(h->ctx, v->ledger, err);
    }
    return r;
}

/* From these nodes: what is there, then more, first a fair share of each, then what it can give. */
static int fill(Reserve *v, const HugeNeed *need, uint64_t nodes, uint64_t *got, Err *err)
{
    int r = 0;

    for (int pass = 0; pass < 3; pass++) {
        uint64_t shares = (uint64_t)__builtin_popcountll(nodes);
        for (int node = 0; r == 0 && node < HUGE_NODES_MAX && *got < need->pages; node++) {
            uint64_t missing = need->pages - *got;
            uint64_t most = missing;
            if ((nodes & UINT64_C(1) << node) == 0) {
                continue;
            }
            if (pass == 1) {
                most = (missing + shares - 1) / shares;
                shares--;
            }
            if (pass > 0) {
                r = grow(v, node, need, most, err);
            }
            if (r == 0) {
                r = take(v, node, need, missing, got, err);
            }
        }
    }
    return r;
}

static int too_few(const Reserve *v, const HugeNeed *need, uint64_t got, Err *err)
{
    g_autoptr(GString) where = g_string_new(NULL);

    for (int node = 0; node < HUGE_NODES_MAX && need->strict; node++) {
        if (need->nodes & UINT64_C(1) << node) {
            g_string_append_printf(where, "%s%d", where->len > 0 ? "," : " on NUMA node ", node);
        }
    }
    return err_setf(
        err, -ENOMEM,
        "hugepages: %" PRIu64 " pages of %d MiB are needed%s, %" PRIu64 " can be had: %s",
        need->pages, need->mib, where->str, got,
        v->refused.code < 0 ? err_text(&v->refused)
                            : "the host's memory is used or in pieces (pages set aside soon after "
                              "its boot are there)");
}

static int satisfy(Reserve *v, const HugeNeed *need, Err *err)
{
    uint64_t first = need->nodes != 0 ? need->nodes & v->host->nodes : v->host->nodes;
    uint64_t got = 0;
    int r = fill(v, need, first, &got, err);

    if (r == 0 && got < need->pages && !need->strict) {
        r = fill(v, need, v->host->nodes & ~first, &got, err);
    }
    return r == 0 && got < need->pages ? too_few(v, need, got, err) : r;
}

/* Those that have least choice come first. */
static gint by_choice(gconstpointer a, gconstpointer b)
{
    const HugeNeed *x = a;
    const HugeNeed *y = b;

    if (x->strict != y->strict) {
        return x->strict ? -1 : 1;
    }
    return __builtin_popcountll(x->nodes) - __builtin_popcountll(y->nodes);
}

/* `rows` out of the pools and off the ledger, as far as they are free. */
static int shrink(const HugeHost *h, GArray *ledger, const GArray *rows, Err *err)
{
    int first = 0;

    for (guint i = 0; i < rows->len; i++) {
        const HugeRow *row = &g_array_index(rows, HugeRow, i);
        HugeRow *kept = row_of(ledger, row->node, row->mib);
        uint64_t total = 0;
        uint64_t unused = 0;
        uint64_t after = 0;
        int r = h->count(h->ctx, row->node, row->mib, &total, &unused, err);
        uint64_t going = MIN(MIN(row->pages, kept->pages), unused);

        if (r == 0 && going > 0) {
            r = h->resize(h->ctx, row->node, row->mib, total - going, err);
        }
        if (r == 0 && going > 0) {
            r = h->count(h->ctx, row->node, row->mib, &after, &unused, err);
        }
        if (r == 0 && going > 0) {
            kept->pages -= total > after ? MIN(total - after, kept->pages) : 0;
        }
        first = first < 0 ? first : r;
    }
    drop_empty(ledger);
    if (first == 0) {
        first = h->save(h->ctx, ledger, err);
    }
    return first;
}

/* MiB of pages of one size that are not there on any node. */
static int missing_of(const HugeHost *h, const GArray *needs, int mib, uint64_t *sum, Err *err)
{
    uint64_t pages = 0;
    int r = 0;

    for (guint i = 0; i < needs->len; i++) {
        const HugeNeed *need = &g_array_index(needs, HugeNeed, i);
        pages += need->mib == mib ? need->pages : 0;
    }
    for (int node = 0; r == 0 && node < HUGE_NODES_MAX && pages > 0; node++) {
        uint64_t total;
        uint64_t unused = 0;
        if (h->nodes & UINT64_C(1) << node) {
            r = h->count(h->ctx, node, mib, &total, &unused, err);
            pages -= MIN(pages, unused);
        }
    }
    *sum += pages * (uint64_t)mib;
    return r;
}

/* Trying what cannot be would push everything else out of the host's memory first. */
static int check_room(const HugeHost *h, const GArray *needs, Err *err)
{
    uint64_t missing = 0;
    int r = missing_of(h, needs, 2, &missing, err);

    if (r == 0) {
        r = missing_of(h, needs, 1024, &missing, err);
    }
    if (r == 0 && missing > h->room_mib) {
        r = err_setf(err, -ENOMEM,
                     "hugepages: %" PRIu64 " MiB of pages are missing, the host has %" PRIu64
                     " MiB of memory available",
                     missing, h->room_mib);
    }
    return r;
}

int hugeplan_reserve(
    const HugeHost *host, GArray *ledger, const GArray *needs, GArray **ret_added, Err *err)
{
    g_autoptr(GArray) sorted = g_array_new(FALSE, FALSE, sizeof(HugeNeed));
    g_autoptr(GArray) added = g_array_new(FALSE, FALSE, sizeof(HugeRow));
    g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(HugeRow));
    Reserve v = {
        .host = host, .ledger = ledger, .added = added, .taken = taken, .refused = ERR_INIT};
    int r = check_room(host, needs, err);

    g_array_append_vals(sorted, needs->data, needs->len);
    g_array_sort(sorted, by_choice);
    for (guint i = 0; r == 0 && i < sorted->len; i++) {
        r = satisfy(&v, &g_array_index(sorted, HugeNeed, i), err);
    }
    drop_empty(ledger);
    if (r < 0) {
        Err back = ERR_INIT;
        if (shrink(host, ledger, added, &back) < 0) {
            return err_wrapf(err, r, "pages that were added stay for now (%s)", err_text(&back));
        }
        return r;
    }
    *ret_added = g_steal_pointer(&added);
    return 0;
}

int hugeplan_give_back(const HugeHost *host, GArray *ledger, Err *err)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(HugeRow));

    g_array_append_vals(all, ledger->data, ledger->len);
    return shrink(host, ledger, all, err);
}
