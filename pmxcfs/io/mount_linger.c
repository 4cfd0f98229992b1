/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles that stay open: what a program wrote and neither closed nor synced for a while becomes a
 * change all the same, so that other nodes see a file that is never closed, and little is lost with
 * this process. A file that is written without such a pause stays one change. One thread, which
 * sleeps while nothing waits.
 */
#include "pmxcfs/io/mount_priv.h"

/* Looks taken at an unchanged file before it is committed, and the time between two of them. Looks
 * are counted rather than seconds: a machine that stood still wrote nothing either. */
#define LOOKS        8u
#define LOOK_EVERY_S 1

struct MountLinger {
    Mount *m;
    atomic_bool armed; /* something may wait */
    GMutex lock;       /* guards the rest */
    GCond cond;
    GThread *thread;
    bool stop;
};

MountLinger *mount_linger_new(Mount *m)
{
    MountLinger *l = g_new0(MountLinger, 1);
    l->m = m;
    g_mutex_init(&l->lock);
    g_cond_init(&l->cond);
    return l;
}

void mount_linger_wrote(Mount *m, MountFile *f)
{
    MountLinger *l = m->linger;
    f->looks = 0;
    if (!atomic_exchange(&l->armed, true)) {
        g_mutex_lock(&l->lock);
        g_cond_signal(&l->cond);
        g_mutex_unlock(&l->lock);
    }
}

/* A change that is refused drops what was written. So nothing is tried that may well do later:
 * without quorum, or with half of a text that is checked as a whole. Node lock held. */
static bool may_try(const Mount *m, const MountNode *n)
{
    bool whole = n->parent == FUSE_ROOT_ID && g_strcmp0(n->name, "corosync.conf") == 0;
    return !whole && engine_quorate(m->engine);
}

/* Commits the file when it is time; true when something still waits. */
static bool look_at(Mount *m, MountNode *n)
{
    g_mutex_lock(&n->lock);
    bool waits = n->file != NULL && !overlay_is_empty(&n->file->overlay);
    bool due = waits && ++n->file->looks >= LOOKS && may_try(m, n);
    g_mutex_unlock(&n->lock);
    if (due) {
        /* Who wrote it hears of an error with the next write, fsync or close. */
        (void)mount_commit(m, n, REPLICA_WAIT_APPLIED, false, NULL);
    }
    return waits && !due;
}

static bool look_at_all(Mount *m)
{
    g_autoptr(GArray) list = mount_nodes_list(m->nodes);
    bool more = false;
    for (guint i = 0; i < list->len; i++) {
        MountNode *n = mount_node_find(m->nodes, g_array_index(list, uint64_t, i));
        if (n != NULL) {
            more = look_at(m, n) || more;
            mount_node_put(m->nodes, n);
        }
    }
    return more;
}

static gpointer run(gpointer data)
{
    MountLinger *l = data;
    g_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!atomic_load(&l->armed)) {
            g_cond_wait(&l->cond, &l->lock);
            continue;
        }
        gint64 until = g_get_monotonic_time() + LOOK_EVERY_S * G_USEC_PER_SEC;
        while (!l->stop && g_cond_wait_until(&l->cond, &l->lock, until)) {
            /* woken by a write: the time is not over */
        }
        if (l->stop) {
            break;
        }
        g_mutex_unlock(&l->lock);
        /* Before the look: who writes during it arms again. */
        atomic_store(&l->armed, false);
        if (look_at_all(l->m)) {
            atomic_store(&l->armed, true);
        }
        g_mutex_lock(&l->lock);
    }
    g_mutex_unlock(&l->lock);
    return NULL;
}

void mount_linger_start(MountLinger *l)
{
    l->thread = g_thread_new("mount-linger", run, l);
}

void mount_linger_stop(MountLinger *l)
{
    g_mutex_lock(&l->lock);
    l->stop = true;
    g_cond_signal(&l->cond);
    g_mutex_unlock(&l->lock);
    if (l->thread != NULL) {
        g_thread_join(g_steal_pointer(&l->thread));
    }
}

void mount_linger_free(MountLinger *l)
{
    g_assert(l->thread == NULL);
    g_mutex_clear(&l->lock);
    g_cond_clear(&l->cond);
    g_free(l);
}
