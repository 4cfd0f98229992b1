/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold at any moment: members that were synchronised together and count the same version
 * have the same content (INV-1); callers are answered in time (INV-4); a VMID is in one place
 * (INV-5). Where all members are native: a term is begun once, and what was acknowledged in a term
 * is part of every later one, so no two partitions accept changes (INV-2, INV-3). After the last
 * fault: all agree.
 */
#include "tests/sim/sim.h"

#include "pmxcfs/core/entry.h"

#include <string.h>

typedef struct Key {
    WireDfsmEpoch epoch; /* names the view */
    uint64_t version;
    uint32_t lost; /* see sim_node_lost */
} Key;

typedef struct Seen {
    Key key;
    uint8_t csum[ENTRY_DIGEST_SIZE];
    uint32_t host;
} Seen;

typedef struct Term {
    uint64_t number, base, confirmed;
    WireDfsmEpoch epoch;
} Term;

struct SimCheck {
    Sim *sim;
    GArray *terms;    /* of Term */
    GHashTable *seen; /* &seen->key -> Seen* */
};

static guint key_hash(gconstpointer p)
{
    const Key *k = p;
    guint h = 5381;

    h = h * 33 + k->epoch.counter;
    h = h * 33 + k->epoch.time;
    h = h * 33 + k->epoch.nodeid;
    h = h * 33 + k->epoch.pid;
    return h * 33 + (guint)k->version;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const Key *x = a, *y = b;

    return x->version == y->version && x->lost == y->lost &&
           wire_dfsm_epoch_equal(&x->epoch, &y->epoch);
}

SimCheck *sim_check_new(Sim *sim)
{
    SimCheck *c = g_new0(SimCheck, 1);

    c->sim = sim;
    c->terms = g_array_new(FALSE, FALSE, sizeof(Term));
    c->seen = g_hash_table_new_full(key_hash, key_equal, NULL, g_free);
    return c;
}

void sim_check_free(SimCheck *c)
{
    g_hash_table_unref(c->seen);
    g_array_unref(c->terms);
    g_free(c);
}

static Term *find_term(SimCheck *c, const ReplicaStatus *status)
{
    Term fresh = {.number = status->term, .base = status->base, .epoch = status->epoch};

    for (guint i = 0; i < c->terms->len; i++) {
        Term *t = &g_array_index(c->terms, Term, i);

        if (t->number == status->term) {
            return t;
        }
    }
    g_array_append_val(c->terms, fresh);
    return &g_array_index(c->terms, Term, c->terms->len - 1);
}

static void check_terms(SimCheck *c, SimNode *n, const ReplicaStatus *status)
{
    Term *mine;

    if (!status->native || !sim_options(c->sim)->native || sim_options(c->sim)->mixed ||
        sim_ring_below_majority(sim_ring(c->sim))) {
        return;
    }
    mine = find_term(c, status);
    if (!wire_dfsm_epoch_equal(&mine->epoch, &status->epoch) || mine->base != status->base) {
        sim_fail(c->sim, "host %u: term %" G_GUINT64_FORMAT " was begun twice", sim_node_host(n),
                 status->term);
    }
    mine->confirmed = MAX(mine->confirmed, status->confirmed);
    for (guint i = 0; i < c->terms->len; i++) {
        const Term *other = &g_array_index(c->terms, Term, i);
        const Term *older = other->number < mine->number ? other : mine;
        const Term *newer = older == mine ? other : mine;

        if (older != newer && older->confirmed > newer->base) {
            sim_fail(c->sim,
                     "term %" G_GUINT64_FORMAT " acknowledged version %" G_GUINT64_FORMAT
                     ", term %" G_GUINT64_FORMAT " began at %" G_GUINT64_FORMAT,
                     older->number, older->confirmed, newer->number, newer->base);
        }
    }
}

/* Looks at the tree itself, not at the list that is kept beside it. */
static void check_guests(SimCheck *c, SimNode *n)
{
    g_autoptr(Entry) one = NULL;
    g_autoptr(GPtrArray) guests = NULL;

    if (memdb_lookup(sim_node_db(n), "nodes/n1/qemu-server", &one) < 0) {
        return;
    }
    guests = memdb_list(sim_node_db(n), one->inode);
    for (guint i = 0; i < guests->len; i++) {
        const Entry *guest = guests->pdata[i];
        g_autofree char *path = g_strdup_printf("nodes/n2/qemu-server/%s", guest->name);
        g_autoptr(Entry) twin = NULL;

        if (guest->type == ENTRY_FILE && memdb_lookup(sim_node_db(n), path, &twin) == 0 &&
            twin->type == ENTRY_FILE) {
            sim_fail(c->sim, "host %u: guest %s is on two nodes", sim_node_host(n), guest->name);
        }
    }
}

void sim_check_changed(SimCheck *c, SimNode *n)
{
    ReplicaStatus status;
    const Seen *other;
    Seen *mine;

    sim_node_status(n, &status);
    check_guests(c, n);
    if (status.mode != GROUP_MODE_SYNCED) {
        return;
    }
    check_terms(c, n, &status);
    mine = g_new0(Seen, 1);
    mine->key = (Key){status.epoch, memdb_root(sim_node_db(n)).version, sim_node_lost(n)};
    mine->host = sim_node_host(n);
    memdb_checksum(sim_node_db(n), mine->csum);
    other = g_hash_table_lookup(c->seen, &mine->key);
    if (other == NULL || other->host == mine->host) { /* a disk that refused made it go back */
        (void)g_hash_table_replace(c->seen, &mine->key, mine);
        return;
    }
    if (memcmp(other->csum, mine->csum, sizeof mine->csum) != 0) {
        sim_fail(c->sim, "hosts %u and %u differ at version %" G_GUINT64_FORMAT " of one view",
                 other->host, mine->host, mine->key.version);
    }
    g_free(mine);
}

bool sim_check_converged(SimCheck *c, char **ret_why)
{
    uint32_t hosts = sim_options(c->sim)->hosts;
    uint8_t first[ENTRY_DIGEST_SIZE], csum[ENTRY_DIGEST_SIZE];

    for (uint32_t host = 1; host <= hosts; host++) {
        SimNode *n = sim_node(c->sim, host);
        ReplicaStatus status;

        sim_node_status(n, &status);
        if (status.mode != GROUP_MODE_SYNCED || status.members != hosts || status.synced != hosts ||
            !status.quorate || status.waiting > 0) {
            *ret_why =
                g_strdup_printf("host %u: mode %s, %u of %u members synced, %squorate, %u waiting",
                                host, group_mode_name(status.mode), status.synced, status.members,
                                status.quorate ? "" : "not ", status.waiting);
            return false;
        }
        memdb_checksum(sim_node_db(n), csum);
        if (host == 1) {
            memcpy(first, csum, sizeof first);
        } else if (memcmp(first, csum, sizeof first) != 0) {
            *ret_why = g_strdup_printf("host %u differs from host 1", host);
            return false;
        }
    }
    if (sim_clients_waiting(sim_clients(c->sim)) > 0) {
        *ret_why = g_strdup("callers wait");
        return false;
    }
    return true;
}
