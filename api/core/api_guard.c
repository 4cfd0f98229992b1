/* SPDX-License-Identifier: Apache-2.0 */
#include "api/core/api_guard.h"

#include <glib.h>

typedef struct Peer {
    unsigned failures;
    MonoTime last, allowed;
} Peer;

struct ApiGuard {
    GHashTable *peers; /* address -> Peer */
};

ApiGuard *api_guard_new(void)
{
    ApiGuard *g = g_new0(ApiGuard, 1);

    g->peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return g;
}

void api_guard_free(ApiGuard *g)
{
    if (g != NULL) {
        g_hash_table_unref(g->peers);
        g_free(g);
    }
}

static bool forgotten(const Peer *p, MonoTime now)
{
    return mono_diff_us(now, p->last) > API_GUARD_FORGET_SEC * US_PER_SEC;
}

int64_t api_guard_wait_ms(ApiGuard *g, const char *peer, MonoTime now)
{
    const Peer *p = g_hash_table_lookup(g->peers, peer);
    int64_t left_us;

    if (p == NULL || forgotten(p, now)) {
        return 0;
    }
    left_us = mono_diff_us(p->allowed, now);
    return left_us > 0 ? (left_us + US_PER_MS - 1) / US_PER_MS : 0;
}

static void make_room(ApiGuard *g)
{
    GHashTableIter iter;
    gpointer key, value;
    const char *quietest = NULL;
    MonoTime since = MONO_NEVER;

    if (g_hash_table_size(g->peers) < API_GUARD_PEERS_MAX) {
        return;
    }
    g_hash_table_iter_init(&iter, g->peers);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const Peer *p = value;

        if (mono_before(p->last, since)) {
            since = p->last;
            quietest = key;
        }
    }
    g_hash_table_remove(g->peers, quietest);
}

static int64_t penalty_ms(unsigned failures)
{
    int64_t ms = API_GUARD_FIRST_MS;

    if (failures <= API_GUARD_FREE) {
        return 0;
    }
    for (unsigned i = API_GUARD_FREE + 1; i < failures && ms < API_GUARD_MAX_MS; i++) {
        ms *= 2;
    }
    return MIN(ms, API_GUARD_MAX_MS);
}

unsigned api_guard_result(ApiGuard *g, const char *peer, bool success, MonoTime now)
{
    Peer *p = g_hash_table_lookup(g->peers, peer);

    if (success) {
        g_hash_table_remove(g->peers, peer);
        return 0;
    }
    if (p == NULL) {
        make_room(g);
        p = g_new0(Peer, 1);
        g_hash_table_insert(g->peers, g_strdup(peer), p);
    } else if (forgotten(p, now)) {
        p->failures = 0;
    }
    p->failures++;
    p->last = now;
    p->allowed = mono_add_ms(now, penalty_ms(p->failures));
    return p->failures;
}
