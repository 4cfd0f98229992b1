/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_gate.h"

#include <glib.h>
#include <string.h>

static GMutex turn; /* held from enter to leave; taken before `lock` */
static GMutex lock; /* protects what follows */
static GCond changed;
static unsigned coming;  /* requests between enter and leave, or waiting for their turn */
static GPtrArray *group; /* names; NULL: none is being collected */
static unsigned number;  /* of the group */
static bool adding;      /* the request that has the turn has joined the group, and is not done */
static gint64 first, last;
static GQueue announced; /* of gint64*: when; oldest first; as many as have not come yet */

void join_gate_announce(void)
{
    gint64 *when = g_new(gint64, 1);

    *when = g_get_monotonic_time();
    g_mutex_lock(&lock);
    g_queue_push_tail(&announced, when);
    g_mutex_unlock(&lock);
}

/* When the last of those that announced themselves should have come; 0: none is expected. Drops
 * those that are overdue. */
static gint64 expected_until(gint64 now)
{
    const gint64 soon = JOIN_GATE_SOON_MS * G_TIME_SPAN_MILLISECOND;
    const gint64 *when;

    while ((when = g_queue_peek_head(&announced)) != NULL && *when + soon <= now) {
        g_free(g_queue_pop_head(&announced));
    }
    when = g_queue_peek_tail(&announced);
    return when != NULL ? *when + soon : 0;
}

void join_gate_enter(void)
{
    g_mutex_lock(&lock);
    coming++;
    g_mutex_unlock(&lock);
    g_mutex_lock(&turn);
}

void join_gate_add(const char *node)
{
    g_mutex_lock(&lock);
    g_free(g_queue_pop_head(&announced)); /* whoever it was: one less to wait for */
    last = g_get_monotonic_time();
    if (group == NULL) {
        group = g_ptr_array_new_with_free_func(g_free);
        first = last;
        number++;
    }
    g_ptr_array_add(group, g_strdup(node));
    adding = true;
    g_mutex_unlock(&lock);
}

void join_gate_leave(void)
{
    g_mutex_lock(&lock);
    adding = false;
    g_mutex_unlock(&lock);
    g_mutex_unlock(&turn);
    g_mutex_lock(&lock);
    coming--;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
}

bool join_gate_has(const char *node)
{
    bool found;

    g_mutex_lock(&lock);
    found = group != NULL && g_ptr_array_find_with_equal_func(group, node, g_str_equal, NULL);
    g_mutex_unlock(&lock);
    return found;
}

/* Under `lock`. */
static bool is_full(void)
{
    return group != NULL && group->len >= JOIN_GATE_GROUP;
}

bool join_gate_full(void)
{
    bool full;

    g_mutex_lock(&lock);
    full = is_full();
    g_mutex_unlock(&lock);
    return full;
}

bool join_gate_wait(void)
{
    bool closing = false;
    unsigned mine;

    g_mutex_lock(&lock);
    mine = number;
    while (group != NULL && number == mine && !closing) {
        gint64 now = g_get_monotonic_time();
        gint64 end = first + JOIN_GATE_MAX_MS * G_TIME_SPAN_MILLISECOND;
        gint64 quiet =
            MAX(last + JOIN_GATE_QUIET_MS * G_TIME_SPAN_MILLISECOND, expected_until(now));

        closing = !adding && (is_full() || now >= end || (coming == 0 && now >= quiet));
        /* The one who leaves last wakes the others. */
        if (adding) {
            g_cond_wait(&changed, &lock);
        } else if (!closing) {
            (void)g_cond_wait_until(&changed, &lock, coming == 0 ? MIN(end, quiet) : end);
        }
    }
    if (closing) {
        g_clear_pointer(&group, g_ptr_array_unref);
        g_cond_broadcast(&changed);
    }
    g_mutex_unlock(&lock);
    return closing;
}
