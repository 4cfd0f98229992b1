/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/ledger.h"

#include "pmxcfs/core/replica_priv.h"

#include <assert.h>
#include <errno.h>

/* A delta on its way to the disk. */
typedef struct Pending {
    uint64_t seq;
    MemdbDelta *delta;
} Pending;

typedef struct Waiter {
    uint64_t token, seq, version;
    int result;
    MonoTime deadline;
} Waiter;

typedef struct Failure {
    uint64_t first, last;
    int code;
} Failure;

struct Ledger {
    Memdb *db;
    const Tracer *tracer;
    GBytes *record; /* goes with the next delta; NULL: none */
    GQueue pending; /* of Pending*, ascending */
    size_t pending_bytes;
    GQueue waiters;       /* of Waiter*, ascending by seq */
    GHashTable *by_token; /* &waiter->token -> GList link */
    uint64_t last_seq, stored_seq;
    uint64_t stored_version; /* of the tree on disk */
    uint64_t confirmed; /* tree version */
    MonoTime expire_at; /* no deadline is earlier; may be that of a waiter who is gone */
    Failure failures[LEDGER_FAILURES_MAX]; /* ring, newest at failures_n - 1 */
    uint64_t failures_n;
};

static void pending_free(Pending *p)
{
    memdb_delta_unref(p->delta);
    g_free(p);
}

Ledger *ledger_new(Memdb *db, const Tracer *tracer)
{
    Ledger *l = g_new0(Ledger, 1);

    l->db = db;
    l->tracer = tracer;
    g_queue_init(&l->pending);
    g_queue_init(&l->waiters);
    l->by_token = g_hash_table_new(g_int64_hash, g_int64_equal);
    l->confirmed = UINT64_MAX;
    l->expire_at = MONO_NEVER;
    l->stored_version = memdb_root(db).version;
    return l;
}

void ledger_free(Ledger *l)
{
    if (l == NULL) {
        return;
    }
    g_queue_clear_full(&l->pending, (GDestroyNotify)pending_free);
    g_hash_table_unref(l->by_token);
    g_queue_clear_full(&l->waiters, g_free);
    g_clear_pointer(&l->record, g_bytes_unref);
    g_free(l);
}

static uint64_t book(Ledger *l, MemdbDelta *delta, ReplicaUpdate *up)
{
    Pending *p = g_new(Pending, 1);

    delta->record = g_steal_pointer(&l->record);
    *p = (Pending){.seq = ++l->last_seq, .delta = delta};
    g_queue_push_tail(&l->pending, p);
    l->pending_bytes += delta->payload_bytes;
    update_store(up, delta, p->seq);
    return p->seq;
}

uint64_t ledger_add(Ledger *l, MemdbDelta *delta, bool own, ReplicaUpdate *up)
{
    update_notice(up, delta, own);
    return book(l, delta, up);
}

void ledger_set_record(Ledger *l, GBytes *record)
{
    g_clear_pointer(&l->record, g_bytes_unref);
    l->record = record;
}

uint64_t ledger_add_record(Ledger *l, ReplicaUpdate *up)
{
    return book(l, memdb_root_delta(l->db), up);
}

static void answer_and_drop(Ledger *l, GList *link, int result, const char *text, ReplicaUpdate *up)
{
    Waiter *w = link->data;

    update_answer(up, w->token, result, w->seq, text);
    (void)g_hash_table_remove(l->by_token, &w->token);
    g_queue_delete_link(&l->waiters, link);
    g_free(w);
}

/* Code of the failure that lost number `seq`; 0: not lost. */
static int lost_code(const Ledger *l, uint64_t seq)
{
    uint64_t kept = MIN(l->failures_n, LEDGER_FAILURES_MAX);

    for (uint64_t i = 1; i <= kept; i++) {
        const Failure *f = &l->failures[(l->failures_n - i) % LEDGER_FAILURES_MAX];

        if (seq >= f->first && seq <= f->last) {
            return f->code;
        }
    }
    /* Older than all that is remembered: it cannot be told any more, "lost" is the safe side. */
    if (l->failures_n > LEDGER_FAILURES_MAX &&
        seq < l->failures[l->failures_n % LEDGER_FAILURES_MAX].first) {
        return -EIO;
    }
    return 0;
}

void ledger_wait(Ledger *l,
                 uint64_t token,
                 uint64_t seq,
                 uint64_t version,
                 int result,
                 MonoTime now,
                 ReplicaUpdate *up)
{
    int code = lost_code(l, seq);
    Waiter *w;
    GList *after;

    if (code != 0) {
        update_answer(up, token, code, seq, "the disk refused this change");
        return;
    }
    if (seq <= l->stored_seq && version <= l->confirmed) {
        update_answer(up, token, result, seq, NULL);
        return;
    }
    w = g_new(Waiter, 1);
    *w = (Waiter){.token = token,
                  .seq = seq,
                  .version = version,
                  .result = result,
                  .deadline = mono_add_ms(now, REPLICA_DURABLE_MS)};
    l->expire_at = mono_min(l->expire_at, w->deadline);
    for (after = l->waiters.tail; after != NULL; after = after->prev) {
        if (((const Waiter *)after->data)->seq <= seq) {
            break;
        }
    }
    if (after == NULL) {
        g_queue_push_head(&l->waiters, w);
        after = l->waiters.head;
    } else {
        g_queue_insert_after(&l->waiters, after, w);
        after = after->next;
    }
    (void)g_hash_table_insert(l->by_token, &w->token, after);
}

bool ledger_cancel(Ledger *l, uint64_t token)
{
    GList *link = g_hash_table_lookup(l->by_token, &token);

    if (link == NULL) {
        return false;
    }
    (void)g_hash_table_remove(l->by_token, &token);
    g_free(link->data);
    g_queue_delete_link(&l->waiters, link);
    return true;
}

/* Answers everybody whose change has become durable. */
static void release_ready(Ledger *l, ReplicaUpdate *up)
{
    GList *next;

    for (GList *link = l->waiters.head; link != NULL; link = next) {
        const Waiter *w = link->data;

        next = link->next;
        if (w->seq > l->stored_seq) {
            break;
        }
        if (w->version <= l->confirmed) {
            answer_and_drop(l, link, w->result, NULL, up);
        }
    }
}

void ledger_expire(Ledger *l, MonoTime now, ReplicaUpdate *up)
{
    MonoTime earliest = MONO_NEVER;
    GList *next;

    if (mono_before(now, l->expire_at)) {
        return;
    }
    for (GList *link = l->waiters.head; link != NULL; link = next) {
        const Waiter *w = link->data;

        next = link->next;
        if (!mono_before(now, w->deadline)) {
            answer_and_drop(l, link, -EBUSY, REPLICA_TEXT_UNKNOWN, up);
        } else {
            earliest = mono_min(earliest, w->deadline);
        }
    }
    l->expire_at = earliest;
}

MonoTime ledger_next_deadline(const Ledger *l)
{
    return l->expire_at;
}

void ledger_stored(Ledger *l, uint64_t seq, ReplicaUpdate *up)
{
    Pending *p;

    if (seq > l->last_seq || seq <= l->stored_seq) {
        return; /* late, or of an earlier run of numbers */
    }
    l->stored_seq = seq;
    while ((p = g_queue_peek_head(&l->pending)) != NULL && p->seq <= seq) {
        (void)g_queue_pop_head(&l->pending);
        l->pending_bytes -= p->delta->payload_bytes;
        l->stored_version = p->delta->root_after.version;
        pending_free(p);
    }
    release_ready(l, up);
}

uint32_t
ledger_failed(Ledger *l, uint64_t seq, int code, const char *text, MonoTime now, ReplicaUpdate *up)
{
    uint32_t undone = 0;
    Pending *p;
    GList *prev;

    assert(code < 0);
    if (seq > l->last_seq || seq <= l->stored_seq) {
        return 0;
    }
    while ((p = g_queue_peek_tail(&l->pending)) != NULL && p->seq >= seq) {
        (void)g_queue_pop_tail(&l->pending);
        l->pending_bytes -= p->delta->payload_bytes;
        if (p->delta->edits->len > 0 || p->delta->replaces_tree) {
            MemdbDelta *back = NULL;

            memdb_undo(l->db, p->delta, now, &back);
            update_notice(up, back, false);
            memdb_delta_unref(back);
            undone++;
        }
        pending_free(p);
    }
    l->failures[l->failures_n++ % LEDGER_FAILURES_MAX] =
        (Failure){.first = seq, .last = l->last_seq, .code = code};
    for (GList *link = l->waiters.tail; link != NULL; link = prev) {
        prev = link->prev;
        if (((const Waiter *)link->data)->seq < seq) {
            break;
        }
        answer_and_drop(l, link, code, text, up);
    }
    /* Who waits for an earlier number, with all that the tree had then, would wait in vain for a
     * version that there is no more. */
    ledger_rebase(l, memdb_root(l->db).version);
    release_ready(l, up);
    trace(l->tracer, TRACE_ERR, "replica: disk refused %u change(s) (%s), taken back", undone,
          g_strerror(-code));
    return undone;
}

void ledger_confirm(Ledger *l, uint64_t version, ReplicaUpdate *up)
{
    l->confirmed = version;
    release_ready(l, up);
}

void ledger_rebase(Ledger *l, uint64_t version)
{
    for (GList *link = l->waiters.head; link != NULL; link = link->next) {
        Waiter *w = link->data;

        w->version = MIN(w->version, version);
    }
}

void ledger_release(Ledger *l, uint64_t seq, int result, const char *text, ReplicaUpdate *up)
{
    GList *prev;

    for (GList *link = l->waiters.tail; link != NULL; link = prev) {
        prev = link->prev;
        if (((const Waiter *)link->data)->seq <= seq) {
            break;
        }
        answer_and_drop(l, link, result, text, up);
    }
}

uint64_t ledger_stored_seq(const Ledger *l)
{
    return l->stored_seq;
}

uint64_t ledger_stored_version(const Ledger *l)
{
    return l->stored_version;
}

uint64_t ledger_confirmed(const Ledger *l)
{
    return l->confirmed;
}

uint64_t ledger_last_seq(const Ledger *l)
{
    return l->last_seq;
}

size_t ledger_pending_bytes(const Ledger *l)
{
    return l->pending_bytes;
}

uint32_t ledger_waiting(const Ledger *l)
{
    return l->waiters.length;
}
