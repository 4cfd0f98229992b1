/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node table. A node lives while the kernel knows its inode or somebody holds a reference. It
 * is entered before the state of the entry is read for an answer: so whoever hears of a change
 * later finds the node, and whoever heard of it earlier made it visible earlier.
 */
#include "pmxcfs/io/mount_priv.h"

#define PARTS 16u

typedef struct Part {
    GMutex lock;
    GHashTable *nodes; /* MountNode by its ino */
} Part;

struct MountNodes {
    Part parts[PARTS];
};

static uint32_t hash_of(uint64_t ino)
{
    return (uint32_t)((ino * UINT64_C(0x9E3779B97F4A7C15)) >> 40);
}

static Part *part_of(MountNodes *t, uint64_t ino)
{
    return &t->parts[hash_of(ino) % PARTS];
}

static void node_free(MountNode *n)
{
    g_assert(n->file == NULL);
    if (n->listing != NULL) {
        g_ptr_array_unref(n->listing);
    }
    entry_unref(n->orphan);
    entry_unref(n->previous);
    g_free(n->name);
    g_mutex_clear(&n->lock);
    g_free(n);
}

MountNodes *mount_nodes_new(void)
{
    MountNodes *t = g_new0(MountNodes, 1);
    for (uint32_t i = 0; i < PARTS; i++) {
        g_mutex_init(&t->parts[i].lock);
        t->parts[i].nodes = g_hash_table_new(g_int64_hash, g_int64_equal);
    }
    return t;
}

void mount_nodes_free(MountNodes *t)
{
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        GHashTableIter iter;
        gpointer n;
        g_hash_table_iter_init(&iter, t->parts[i].nodes);
        while (g_hash_table_iter_next(&iter, NULL, &n)) {
            node_free(n); /* the kernel is gone: it forgot everything */
        }
        g_hash_table_unref(t->parts[i].nodes);
        g_mutex_clear(&t->parts[i].lock);
    }
    g_free(t);
}

MountNode *mount_node_find(MountNodes *t, uint64_t ino)
{
    Part *p = part_of(t, ino);
    g_mutex_lock(&p->lock);
    MountNode *n = g_hash_table_lookup(p->nodes, &ino);
    if (n != NULL) {
        n->refs++;
    }
    g_mutex_unlock(&p->lock);
    return n;
}

MountNode *mount_node_get(MountNodes *t, uint64_t ino)
{
    Part *p = part_of(t, ino);
    g_mutex_lock(&p->lock);
    MountNode *n = g_hash_table_lookup(p->nodes, &ino);
    if (n == NULL) {
        n = g_new0(MountNode, 1);
        n->ino = ino;
        g_mutex_init(&n->lock);
        g_hash_table_insert(p->nodes, &n->ino, n);
    }
    n->refs++;
    g_mutex_unlock(&p->lock);
    return n;
}

/* Takes the node out when nothing holds it. Table lock held; the caller frees what it returns. */
static MountNode *node_settle(Part *p, MountNode *n)
{
    if (n->refs > 0 || n->nlookup > 0) {
        return NULL;
    }
    g_hash_table_remove(p->nodes, &n->ino);
    return n;
}

void mount_node_put(MountNodes *t, MountNode *n)
{
    if (n == NULL) {
        return;
    }
    Part *p = part_of(t, n->ino);
    g_mutex_lock(&p->lock);
    g_assert(n->refs > 0);
    n->refs--;
    MountNode *dead = node_settle(p, n);
    g_mutex_unlock(&p->lock);
    if (dead != NULL) {
        node_free(dead);
    }
}

void mount_node_told(MountNodes *t, MountNode *n)
{
    Part *p = part_of(t, n->ino);
    g_mutex_lock(&p->lock);
    n->nlookup++;
    g_mutex_unlock(&p->lock);
}

void mount_node_forget(MountNodes *t, uint64_t ino, uint64_t count)
{
    Part *p = part_of(t, ino);
    g_mutex_lock(&p->lock);
    MountNode *n = g_hash_table_lookup(p->nodes, &ino);
    MountNode *dead = NULL;
    if (n != NULL && n->nlookup > 0) {
        n->nlookup -= MIN(count, n->nlookup);
        dead = node_settle(p, n);
    }
    g_mutex_unlock(&p->lock);
    if (dead != NULL) {
        node_free(dead);
    }
}

GArray *mount_nodes_list(MountNodes *t)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (uint32_t i = 0; i < PARTS; i++) {
        g_mutex_lock(&t->parts[i].lock);
        GHashTableIter iter;
        gpointer p;
        g_hash_table_iter_init(&iter, t->parts[i].nodes);
        while (g_hash_table_iter_next(&iter, NULL, &p)) {
            g_array_append_val(list, ((MountNode *)p)->ino);
        }
        g_mutex_unlock(&t->parts[i].lock);
    }
    return list;
}

bool mount_file_wait(MountNode *n, gint64 until)
{
    bool in_time = true;
    n->file->waiting++;
    if (until == 0) {
        g_cond_wait(&n->file->cond, &n->lock);
    } else {
        in_time = g_cond_wait_until(&n->file->cond, &n->lock, until);
    }
    n->file->waiting--;
    return in_time;
}

void mount_file_wake(MountNode *n)
{
    if (n->file->waiting > 0) {
        g_cond_broadcast(&n->file->cond);
    }
}

void mount_file_hold(MountNode *n)
{
    if (n->file == NULL) {
        n->file = g_new0(MountFile, 1);
        g_cond_init(&n->file->cond);
    }
    n->file->handles++;
}

void mount_file_drop(Mount *m, MountNode *n)
{
    MountFile *f = n->file;
    g_assert(f != NULL && f->handles > 0);
    if (--f->handles > 0) {
        return;
    }
    g_assert(!f->busy && f->open == NULL);
    if (n->orphan != NULL && mount_view_differs(n)) {
        mount_keep_orphan(n); /* others may still read the removed file */
    }
    atomic_fetch_sub(&m->pending, overlay_bytes(&f->overlay)); /* of a removed file */
    overlay_clear(&f->overlay);
    overlay_op_clear(&f->inflight);
    g_cond_clear(&f->cond);
    g_free(f);
    n->file = NULL;
}
