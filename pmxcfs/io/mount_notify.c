/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the kernel what changed without its doing.
 *
 * Why its answers cannot outlive this. A node is entered in the table before the state is read that
 * an answer tells. Whoever hears of a change
 *   - before that: the change was visible before it was heard of, so the answer has it;
 *   - after that: the node is found and the kernel is told. If the kernel takes the answer in later
 *     than this, one of three things holds. For an inode it knows, it sees by its own attribute
 *     version that the answer is the older one. For an inode it does not know yet it says ENOENT,
 *     and is told again until it does or has forgotten it. For a name (or a listing) the call waits
 *     for the directory's lock, under which the kernel looks names up and lists, and so comes after
 *     the answer.
 *
 * Because of that lock a name can wait for a request in its directory, at worst one that waits for
 * the group. So these calls never happen inside a request; inodes, which wait for no such thing,
 * are told by a thread of their own, and names by several, each for its share of the directories.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <string.h>

/* Inodes that the kernel did not know yet are told again after this long, doubling. */
#define RETRY_MS_MIN 1
#define RETRY_MS_MAX 64

/* What about an inode is to be told. */
#define TELL_ATTR 1u
#define TELL_DATA 2u /* pages, and attributes with them */

typedef struct Name {
    uint64_t parent;
    char name[];
} Name;

typedef struct Notifier {
    MountNotify *all;
    uint32_t index;
    GThread *thread;
    GMutex lock;
    GCond cond;
    GHashTable *inodes; /* node id -> TELL_* */
    GHashTable *names;  /* set of Name */
    bool every_attr;    /* attributes of all inodes changed */
    bool everything;    /* look at everything again */
    bool stop;
} Notifier;

struct MountNotify {
    Mount *m;
    GMutex stop_lock;
    Notifier notifiers[MOUNT_NOTIFIERS];
};

/* What one round tells. */
typedef struct Round {
    GHashTable *inodes, *names;
    bool every_attr, everything;
} Round;

static guint name_hash(gconstpointer p)
{
    const Name *n = p;
    return g_str_hash(n->name) * 31u + (guint)n->parent;
}

static gboolean name_equal(gconstpointer a, gconstpointer b)
{
    const Name *x = a;
    const Name *y = b;
    return x->parent == y->parent && strcmp(x->name, y->name) == 0;
}

static GHashTable *inodes_new(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

static GHashTable *names_new(void)
{
    return g_hash_table_new_full(name_hash, name_equal, g_free, NULL);
}

/* ---- queue --------------------------------------------------------------------------------- */

/* The first notifier tells of inodes, the others of names. */
static Notifier *inode_notifier(MountNotify *all)
{
    return &all->notifiers[0];
}

static Notifier *name_notifier(MountNotify *all, uint64_t parent)
{
    return &all->notifiers[1 + parent % MOUNT_NAME_NOTIFIERS];
}

/* Forgets the list when it is too long. Lock held. */
static void bound(Notifier *n)
{
    if (g_hash_table_size(n->inodes) + g_hash_table_size(n->names) > MOUNT_NOTIFY_MAX) {
        g_hash_table_remove_all(n->inodes);
        g_hash_table_remove_all(n->names);
        n->everything = true;
        mount_stats_add(n->all->m->stats, MOUNT_COUNT_INVAL_ALL, 1);
    }
    g_cond_signal(&n->cond);
}

static void tell_inode(MountNotify *all, uint64_t ino, uint32_t what)
{
    Notifier *n = inode_notifier(all);
    g_mutex_lock(&n->lock);
    uint32_t had = GPOINTER_TO_UINT(g_hash_table_lookup(n->inodes, &ino));
    if ((had & what) != what && !n->everything) {
        g_hash_table_insert(n->inodes, g_memdup2(&ino, sizeof(ino)), GUINT_TO_POINTER(had | what));
    }
    bound(n);
    g_mutex_unlock(&n->lock);
}

void mount_notify_data(MountNotify *all, uint64_t ino)
{
    tell_inode(all, ino, TELL_DATA);
}

void mount_notify_name(MountNotify *all, uint64_t parent, const char *name)
{
    Notifier *n = name_notifier(all, parent);
    gsize len = strlen(name);
    Name *item = g_malloc(sizeof(*item) + len + 1);
    item->parent = parent;
    memcpy(item->name, name, len + 1);
    g_mutex_lock(&n->lock);
    if (n->everything) {
        g_free(item);
    } else {
        g_hash_table_add(n->names, item);
    }
    bound(n);
    g_mutex_unlock(&n->lock);
}

static void tell_all(MountNotify *all, bool everything)
{
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        Notifier *n = &all->notifiers[i];
        g_mutex_lock(&n->lock);
        n->every_attr = true;
        n->everything = n->everything || everything;
        g_cond_signal(&n->cond);
        g_mutex_unlock(&n->lock);
    }
    if (everything) {
        mount_stats_add(all->m->stats, MOUNT_COUNT_INVAL_ALL, 1);
    }
}

/* ---- the engine's news --------------------------------------------------------------------- */

static bool is_forward(const MemdbEdit *edit)
{
    return edit->before != NULL && edit->after != NULL &&
           edit->after->version > edit->before->version;
}

/* Brings the node of an edited entry up to date. True when the kernel's pages and attributes are
 * right already, because the change is what a handle here wrote. */
static bool settle_node(Mount *m, const MemdbEdit *edit, bool own_write)
{
    const Entry *e = edit->after != NULL ? edit->after : edit->before;
    MountNode *n = mount_node_find(m->nodes, mount_ino_of(e->inode));
    bool known = false;
    if (n == NULL) {
        return true; /* the kernel does not know the inode */
    }
    g_mutex_lock(&n->lock);
    if (edit->after == NULL) {
        entry_unref(n->orphan);
        n->orphan = entry_ref(edit->before);
    } else {
        g_clear_pointer(&n->orphan, entry_unref);
        MountFile *f = own_write && is_forward(edit) ? n->file : NULL;
        if (edit->before != NULL && edit->before->data != edit->after->data) {
            mount_changed_locked(n, edit->before);
        }
        known = f != NULL && f->has_inflight;
        if (known) {
            overlay_op_clear(&f->inflight);
            f->has_inflight = false;
            n->overtaken = n->previous != NULL;
        } else if (is_forward(edit) && edit->before->data != edit->after->data &&
                   n->heard < edit->after->version && n->previous == NULL) {
            n->previous = entry_ref(edit->before);
            n->previous_until = g_get_monotonic_time() + MOUNT_READERS_WAIT_US;
        }
        n->heard = edit->after->version;
    }
    n->untold = n->untold || !known;
    g_mutex_unlock(&n->lock);
    mount_node_put(m->nodes, n);
    return known;
}

static void tell_place(Mount *m, const Entry *e)
{
    if (e != NULL && e->inode != 0) {
        mount_notify_name(m->notify, mount_ino_of(e->parent), e->name);
    }
}

static void hear_edit(Mount *m, const MemdbDelta *d, const MemdbEdit *edit, bool own)
{
    const Entry *before = edit->before;
    const Entry *after = edit->after;
    const Entry *e = after != NULL ? after : before;
    uint64_t ino = mount_ino_of(e->inode);
    bool settled = settle_node(m, edit, own && d->kind == TREE_OP_WRITE);

    if (d->replaces_tree || (own && mount_expected(m, d->kind, edit))) {
        return; /* everything is looked at again; or the kernel knows from our answer */
    }
    if (!settled) {
        bool same_bytes = before != NULL && after != NULL && before->data == after->data &&
                          before->size == after->size;
        tell_inode(m->notify, ino, same_bytes ? TELL_ATTR : TELL_DATA);
    }
    bool moved = before == NULL || after == NULL || before->parent != after->parent ||
                 strcmp(before->name, after->name) != 0;
    if (moved) {
        tell_place(m, before);
        tell_place(m, after);
    }
}

void mount_notify_listen(void *mount, const EngineNotice *notice)
{
    Mount *m = mount;
    const MemdbDelta *d = notice->delta;
    switch (notice->kind) {
    case ENGINE_NOTICE_DELTA:
        atomic_fetch_add(&m->changes, 1);
        for (guint i = 0; i < d->edits->len; i++) {
            hear_edit(m, d, &g_array_index(d->edits, MemdbEdit, i), notice->own);
        }
        if (d->replaces_tree) {
            tell_all(m->notify, true);
        }
        break;
    case ENGINE_NOTICE_QUORUM:
        tell_all(m->notify, false);
        break;
    case ENGINE_NOTICE_STATUS:
        break; /* virtual files are never kept */
    }
}

/* ---- telling ------------------------------------------------------------------------------- */

static bool kernel_knows(Mount *m, uint64_t ino)
{
    MountNode *n = mount_node_find(m->nodes, ino);
    mount_node_put(m->nodes, n);
    return n != NULL;
}

/* -ENOENT: the kernel does not know the inode, or not yet. */
static int inval_inode(Mount *m, uint64_t ino, bool data)
{
    mount_stats_add(m->stats, data ? MOUNT_COUNT_INVAL_DATA : MOUNT_COUNT_INVAL_ATTR, 1);
    return fuse_lowlevel_notify_inval_inode(m->session, ino, data ? 0 : -1, 0);
}

/* The name is dropped, or, in bulk and where the kernel can, only asked for again at its next use.
 * All results but success mean that there was nothing to drop. */
static void inval_name(Mount *m, uint64_t parent, const char *name, bool bulk)
{
    mount_stats_add(m->stats, MOUNT_COUNT_INVAL_NAME, 1);
    if (bulk && fuse_lowlevel_notify_expire_entry(m->session, parent, name, strlen(name),
                                                  FUSE_LL_EXPIRE_ONLY) != -ENOSYS) {
        return;
    }
    (void)fuse_lowlevel_notify_inval_entry(m->session, parent, name, strlen(name));
}

void mount_inval_attr_now(Mount *m, uint64_t ino)
{
    (void)inval_inode(m, ino, false); /* an inode that the kernel does not know is not stale */
}

void mount_inval_data_now(Mount *m, uint64_t ino)
{
    if (atomic_load(&m->serving)) { /* else nobody would answer the reads it waits for */
        (void)inval_inode(m, ino, true);
    }
}

/* Tells of one inode, and shows what is in the tree from then on. While readers are under way who
 * opened the file before, it can wait a moment: not only the content, also the call itself would
 * make the kernel take no notice of the size that it just asked for. False: to be told again. */
static bool tell_one(Mount *m, uint64_t ino, bool data)
{
    MountNode *n = mount_node_find(m->nodes, ino);
    if (n == NULL) {
        return true; /* nor does the kernel know it */
    }
    int r = 0;
    g_mutex_lock(&n->lock);
    bool wait =
        n->previous != NULL && n->cached_opens > 0 && g_get_monotonic_time() < n->previous_until;
    bool done = data && !n->untold;
    if (!wait && !done) {
        mount_settle_locked(n);
        n->untold = false;
        n->settling++;
        g_mutex_unlock(&n->lock);
        r = inval_inode(m, ino, data);
        g_mutex_lock(&n->lock);
        n->settling--;
        n->untold = n->untold || (data && r == -ENOENT);
    }
    g_mutex_unlock(&n->lock);
    mount_node_put(m->nodes, n);
    if (r == -ENOENT) {
        mount_stats_add(m->stats, MOUNT_COUNT_INVAL_RETRY, 1);
    }
    return !wait && r != -ENOENT;
}

/* Tells of the inodes; those that the kernel does not know yet stay in `inodes`. */
static void tell_inodes(Mount *m, GHashTable *inodes)
{
    GHashTableIter iter;
    gpointer key;
    gpointer what;
    g_hash_table_iter_init(&iter, inodes);
    while (g_hash_table_iter_next(&iter, &key, &what)) {
        uint64_t ino = *(const uint64_t *)key;
        if (tell_one(m, ino, (GPOINTER_TO_UINT(what) & TELL_DATA) != 0)) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

static void tell_names(Mount *m, GHashTable *names)
{
    g_autoptr(GHashTable) dirs = inodes_new();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, names);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Name *n = key;
        if (kernel_knows(m, n->parent)) {
            inval_name(m, n->parent, n->name, false);
            g_hash_table_add(dirs, g_memdup2(&n->parent, sizeof(n->parent)));
        }
    }
    /* After the names, whose calls waited for the directory: listings made before are complete and
     * go, those made later are right. */
    g_hash_table_iter_init(&iter, dirs);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        (void)inval_inode(m, *(const uint64_t *)key, true);
    }
}

/* ---- everything ---------------------------------------------------------------------------- */

/* Names as the kernel was told: what is not in the tree any more is found by its node. */
static void expire_told_name(const Notifier *t, uint64_t ino)
{
    Mount *m = t->all->m;
    MountNode *n = mount_node_find(m->nodes, ino);
    if (n == NULL) {
        return;
    }
    g_mutex_lock(&n->lock);
    uint64_t parent = n->parent;
    g_autofree char *name = g_strdup(n->name);
    g_mutex_unlock(&n->lock);
    mount_node_put(m->nodes, n);
    if (name != NULL && name_notifier(t->all, parent) == t) {
        inval_name(m, parent, name, true);
    }
}

/* Names as they are in the tree: what the kernel thinks missing is found here. */
static void expire_tree_names(Mount *m, uint64_t dir)
{
    GPtrArray *list = engine_list(m->engine, mount_tree_of(dir));
    if (list == NULL) {
        return;
    }
    for (guint i = 0; i < list->len; i++) {
        inval_name(m, dir, ((const Entry *)g_ptr_array_index(list, i))->name, true);
    }
    g_ptr_array_unref(list);
    (void)inval_inode(m, dir, true);
}

static void mark_untold(Mount *m, uint64_t ino)
{
    MountNode *n = mount_node_find(m->nodes, ino);
    if (n != NULL) {
        g_mutex_lock(&n->lock);
        n->untold = true;
        g_mutex_unlock(&n->lock);
        mount_node_put(m->nodes, n);
    }
}

/* Puts all inodes into the round. */
static void add_all_inodes(Mount *m, Round *r)
{
    g_autoptr(GArray) list = mount_nodes_list(m->nodes);
    uint32_t what = r->everything ? TELL_DATA : TELL_ATTR;
    for (guint i = 0; i < list->len; i++) {
        uint64_t ino = g_array_index(list, uint64_t, i);
        if (r->everything) {
            mark_untold(m, ino);
        }
        uint32_t had = GPOINTER_TO_UINT(g_hash_table_lookup(r->inodes, &ino));
        g_hash_table_insert(r->inodes, g_memdup2(&ino, sizeof(ino)), GUINT_TO_POINTER(had | what));
    }
    for (int s = 0; s < CFS_SPECIAL_N; s++) {
        mount_inval_attr_now(m, mount_ino_of_special((CfsSpecial)s));
    }
}

/* All names in this notifier's directories. */
static void tell_all_names(Notifier *n)
{
    Mount *m = n->all->m;
    g_autoptr(GArray) list = mount_nodes_list(m->nodes);
    for (guint i = 0; i < list->len; i++) {
        uint64_t ino = g_array_index(list, uint64_t, i);
        expire_told_name(n, ino);
        if (name_notifier(n->all, ino) == n) {
            expire_tree_names(m, ino);
        }
    }
}

/* ---- the threads --------------------------------------------------------------------------- */

/* Waits for something to tell, at most until `retry_ms` have passed when that is not 0. False:
 * stop. */
static bool take_round(Notifier *n, gint64 retry_ms, Round *ret)
{
    gint64 until = g_get_monotonic_time() + retry_ms * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&n->lock);
    bool timed_out = false;
    while (!n->stop && !n->every_attr && !n->everything && !timed_out &&
           g_hash_table_size(n->inodes) + g_hash_table_size(n->names) == 0) {
        if (retry_ms == 0) {
            g_cond_wait(&n->cond, &n->lock);
        } else {
            timed_out = !g_cond_wait_until(&n->cond, &n->lock, until);
        }
    }
    *ret = (Round){n->inodes, n->names, n->every_attr, n->everything};
    n->inodes = inodes_new();
    n->names = names_new();
    n->every_attr = n->everything = false;
    bool stop = n->stop;
    g_mutex_unlock(&n->lock);
    return !stop;
}

static void merge(GHashTable *into, GHashTable *from)
{
    GHashTableIter iter;
    gpointer key;
    gpointer what;
    g_hash_table_iter_init(&iter, from);
    while (g_hash_table_iter_next(&iter, &key, &what)) {
        guint had = GPOINTER_TO_UINT(g_hash_table_lookup(into, key));
        g_hash_table_insert(into, g_memdup2(key, sizeof(uint64_t)),
                            GUINT_TO_POINTER(had | GPOINTER_TO_UINT(what)));
    }
}

static gpointer notifier_main(gpointer data)
{
    Notifier *n = data;
    Mount *m = n->all->m;
    GHashTable *again = inodes_new(); /* told, and the kernel did not know the inode yet */
    gint64 retry_ms = 0;
    Round r;
    bool go_on = true;
    while (go_on) {
        go_on = take_round(n, retry_ms, &r);
        merge(r.inodes, again);
        if (go_on && n == inode_notifier(n->all)) {
            if (r.every_attr || r.everything) {
                add_all_inodes(m, &r);
            }
            tell_inodes(m, r.inodes);
        } else if (go_on && r.everything) {
            tell_all_names(n);
        } else if (go_on) {
            tell_names(m, r.names);
        }
        g_hash_table_unref(r.names);
        g_hash_table_unref(again);
        again = r.inodes;
        bool left = g_hash_table_size(again) > 0;
        retry_ms = left ? CLAMP(retry_ms * 2, RETRY_MS_MIN, RETRY_MS_MAX) : 0;
    }
    g_hash_table_unref(again);
    return NULL;
}

MountNotify *mount_notify_new(Mount *m)
{
    MountNotify *all = g_new0(MountNotify, 1);
    all->m = m;
    g_mutex_init(&all->stop_lock);
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        Notifier *n = &all->notifiers[i];
        n->all = all;
        n->index = i;
        g_mutex_init(&n->lock);
        g_cond_init(&n->cond);
        n->inodes = inodes_new();
        n->names = names_new();
    }
    return all;
}

void mount_notify_start(MountNotify *all)
{
    g_mutex_lock(&all->stop_lock);
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        all->notifiers[i].thread = g_thread_new("notifier", notifier_main, &all->notifiers[i]);
    }
    g_mutex_unlock(&all->stop_lock);
}

void mount_notify_stop(MountNotify *all)
{
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        Notifier *n = &all->notifiers[i];
        g_mutex_lock(&n->lock);
        n->stop = true;
        g_cond_signal(&n->cond);
        g_mutex_unlock(&n->lock);
    }
    g_mutex_lock(&all->stop_lock);
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        if (all->notifiers[i].thread != NULL) {
            g_thread_join(g_steal_pointer(&all->notifiers[i].thread));
        }
    }
    g_mutex_unlock(&all->stop_lock);
}

void mount_notify_free(MountNotify *all)
{
    if (all == NULL) {
        return;
    }
    for (uint32_t i = 0; i < MOUNT_NOTIFIERS; i++) {
        Notifier *n = &all->notifiers[i];
        g_assert(n->thread == NULL);
        g_hash_table_unref(n->inodes);
        g_hash_table_unref(n->names);
        g_cond_clear(&n->cond);
        g_mutex_clear(&n->lock);
    }
    g_mutex_clear(&all->stop_lock);
    g_free(all);
}
