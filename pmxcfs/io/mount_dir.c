/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings. There are no directory handles: the kernel keeps listings and asks only when it has
 * none. So a request must make sense by itself, and the place in a listing is the inode of the
 * entry before: whatever comes and goes between two requests, every entry that stays is listed
 * once.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Places: "." and ".." and the special entries come first. */
#define PLACE_DOT     1
#define PLACE_DOTDOT  2
#define PLACE_SPECIAL 3  /* + CfsSpecial */
#define PLACE_TREE    64 /* + inode of the tree */

G_STATIC_ASSERT(PLACE_SPECIAL + CFS_SPECIAL_N <= PLACE_TREE);

/* An answer under construction. */
typedef struct Listing {
    Mount *m;
    fuse_req_t req;
    uint64_t dir;
    bool plus;
    char *buf;
    size_t size, used;
    bool full;
    GArray *told; /* plus: node ids that the answer tells the kernel of */
} Listing;

/* Appends one entry; sets `full` when it does not fit. */
static void put(Listing *l, const char *name, const struct fuse_entry_param *e, off_t place)
{
    size_t left = l->size - l->used;
    size_t need = l->plus
                      ? fuse_add_direntry_plus(l->req, l->buf + l->used, left, name, e, place)
                      : fuse_add_direntry(l->req, l->buf + l->used, left, name, &e->attr, place);
    if (need > left) {
        l->full = true;
        return;
    }
    l->used += need;
    if (e->ino != 0) {
        g_array_append_val(l->told, e->ino);
    }
}

/* An entry of which only number and type are told. */
static struct fuse_entry_param bare(uint64_t ino, mode_t type)
{
    return (struct fuse_entry_param){.attr = {.st_ino = ino, .st_mode = type}};
}

static void put_dots(Listing *l, off_t after)
{
    if (after < PLACE_DOT) {
        struct fuse_entry_param e = bare(l->dir, S_IFDIR);
        put(l, ".", &e, PLACE_DOT);
    }
    if (after < PLACE_DOTDOT && !l->full) {
        g_autoptr(Entry) self = engine_get(l->m->engine, mount_tree_of(l->dir));
        struct fuse_entry_param e = bare(mount_ino_of(self != NULL ? self->parent : 0), S_IFDIR);
        put(l, "..", &e, PLACE_DOTDOT);
    }
}

/* Ours have no business in a listing that people compare, copy and search: a read of `.events`
 * waits, and `.metrics` changes with each look. */
static bool is_listed(CfsSpecial s)
{
    return s != CFS_SPECIAL_EVENTS && s != CFS_SPECIAL_METRICS;
}

static void put_specials(Listing *l, off_t after)
{
    for (int s = 0; s < CFS_SPECIAL_N && !l->full; s++) {
        off_t place = PLACE_SPECIAL + s;
        if (place > after && is_listed((CfsSpecial)s)) {
            mode_t type = cfs_special_is_link((CfsSpecial)s) ? S_IFLNK : S_IFREG;
            struct fuse_entry_param e = bare(mount_ino_of_special((CfsSpecial)s), type);
            put(l, cfs_special_name((CfsSpecial)s), &e, place);
        }
    }
}

static int by_inode(gconstpointer a, gconstpointer b)
{
    const Entry *x = *(Entry *const *)a;
    const Entry *y = *(Entry *const *)b;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Children by inode; NULL when it is no directory (any more). Made anew for the first request of a
 * reader, kept for its next ones while nothing changes. */
static GPtrArray *children(Mount *m, MountNode *n, bool first)
{
    uint64_t changes = atomic_load(&m->changes);
    g_mutex_lock(&n->lock);
    if (!first && n->listing != NULL && n->listing_of == changes) {
        GPtrArray *list = g_ptr_array_ref(n->listing);
        g_mutex_unlock(&n->lock);
        return list;
    }
    g_mutex_unlock(&n->lock);
    GPtrArray *list = engine_list(m->engine, mount_tree_of(n->ino));
    if (list == NULL) {
        return NULL;
    }
    g_ptr_array_sort(list, by_inode);
    g_mutex_lock(&n->lock);
    if (n->listing != NULL) {
        g_ptr_array_unref(n->listing);
    }
    n->listing = g_ptr_array_ref(list);
    n->listing_of = changes;
    g_mutex_unlock(&n->lock);
    return list;
}

/* Drops the kept listing: its reader is at the end. */
static void children_done(MountNode *n)
{
    g_mutex_lock(&n->lock);
    g_clear_pointer(&n->listing, g_ptr_array_unref);
    g_mutex_unlock(&n->lock);
}

/* Index of the first child after `place`. */
static guint first_after(const GPtrArray *list, off_t place)
{
    guint lo = 0;
    guint hi = list->len;
    while (lo < hi) {
        guint mid = lo + (hi - lo) / 2;
        const Entry *e = g_ptr_array_index(list, mid);
        if ((uint64_t)PLACE_TREE + e->inode <= (uint64_t)place) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void put_child(Listing *l, const Entry *child)
{
    off_t place = (off_t)(PLACE_TREE + child->inode);
    mode_t type = child->type == ENTRY_DIR ? S_IFDIR : S_IFREG;
    struct fuse_entry_param e = bare(mount_ino_of(child->inode), type);
    if (mount_special_child(l->dir, child->name) >= 0) {
        return; /* hidden by the special entry of that name */
    }
    if (!cfspath_name_ok(child->name)) {
        return; /* of a foreign database: the kernel would refuse the whole listing */
    }
    if (l->plus && mount_entry_fill(l->m, l->dir, child->name, &e) < 0) {
        return; /* removed since the listing was made */
    }
    put(l, child->name, &e, place);
    if (l->full && e.ino != 0) {
        mount_node_forget(l->m->nodes, e.ino, 1);
    }
}

static void put_children(Listing *l, MountNode *n, off_t after)
{
    GPtrArray *list = children(l->m, n, after <= PLACE_TREE);
    if (list == NULL) {
        return;
    }
    guint i = first_after(list, after);
    if (i == list->len) {
        children_done(n);
    }
    for (; i < list->len && !l->full; i++) {
        put_child(l, g_ptr_array_index(list, i));
    }
    g_ptr_array_unref(list);
}

static void answer(fuse_req_t req, MountOp op, uint64_t ino, size_t size, off_t off)
{
    MountCall c = mount_call(req, op);
    Mount *m = c.m;
    Listing l = {.m = m, .req = req, .dir = ino, .plus = op == MOUNT_OP_READDIRPLUS};
    l.size = MIN(size, (size_t)MOUNT_WRITE_MAX);
    l.buf = g_malloc(l.size);
    l.told = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    put_dots(&l, off);
    if (ino == FUSE_ROOT_ID && !l.full) {
        put_specials(&l, off);
    }
    if (!l.full) {
        MountNode *n = mount_node_get(m->nodes, ino);
        put_children(&l, n, off);
        mount_node_put(m->nodes, n);
    }
    if (!mount_reply_dir(&c, l.buf, l.used)) {
        for (guint i = 0; i < l.told->len; i++) {
            mount_node_forget(m->nodes, g_array_index(l.told, uint64_t, i), 1);
        }
    }
    g_array_free(l.told, TRUE);
    g_free(l.buf);
}

void mount_op_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    answer(req, MOUNT_OP_READDIR, ino, size, off);
}

void mount_op_readdirplus(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    answer(req, MOUNT_OP_READDIRPLUS, ino, size, off);
}

/* Tells the kernel not to ask again: it takes open directories as kept listings by itself. */
void mount_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_OPENDIR);
    (void)ino;
    (void)fi;
    mount_reply(&c, -ENOSYS);
}
