/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/memdb.h"

#include "lib/base/cursor.h"
#include "pmxcfs/core/memdb_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

/* A directory chain longer than this is a cycle or unusable; the kernel stops far earlier. */
#define PATH_STEPS_MAX 65536

/* ---- tree ---------------------------------------------------------------------------------- */

static guint entry_inode_hash(gconstpointer p)
{
    return g_int64_hash(&((const Entry *)p)->inode);
}

static gboolean entry_inode_equal(gconstpointer a, gconstpointer b)
{
    return ((const Entry *)a)->inode == ((const Entry *)b)->inode;
}

static void entry_destroy(gpointer p)
{
    entry_unref(p);
}

static void dir_destroy(gpointer p)
{
    MemdbDir *dir = p;

    g_hash_table_destroy(dir->children);
    g_free(dir);
}

static Entry *root_entry(const MemdbRoot *root)
{
    EntryInit init = {
        .version = root->version,
        .writer = root->writer,
        .mtime = root->mtime,
        .type = ENTRY_DIR,
        .name = "",
    };

    return entry_new(&init);
}

void memdb_tree_init(MemdbTree *t, const MemdbRoot *root)
{
    t->root = root_entry(root);
    t->inodes = g_hash_table_new_full(entry_inode_hash, entry_inode_equal, entry_destroy, NULL);
    t->dirs = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, dir_destroy);
    t->content_bytes = 0;
}

void memdb_tree_done(MemdbTree *t)
{
    g_clear_pointer(&t->dirs, g_hash_table_destroy);
    g_clear_pointer(&t->inodes, g_hash_table_destroy);
    g_clear_pointer(&t->root, entry_unref);
}

Entry *memdb_tree_get(const MemdbTree *t, uint64_t inode)
{
    if (inode == 0) {
        return t->root;
    }
    Entry key = {.inode = inode};
    return g_hash_table_lookup(t->inodes, &key);
}

Entry *memdb_tree_child(const MemdbTree *t, uint64_t parent, const char *name)
{
    const MemdbDir *dir = g_hash_table_lookup(t->dirs, &parent);

    return dir != NULL ? g_hash_table_lookup(dir->children, name) : NULL;
}

bool memdb_tree_is_empty_dir(const MemdbTree *t, const Entry *dir)
{
    return g_hash_table_lookup(t->dirs, &dir->inode) == NULL;
}

/* Takes `e` out of its directory and out of the sum, not out of `inodes`. */
static void detach(MemdbTree *t, Entry *e)
{
    MemdbDir *dir = g_hash_table_lookup(t->dirs, &e->parent);

    t->content_bytes -= e->size;
    if (dir != NULL && g_hash_table_lookup(dir->children, e->name) == e) {
        g_hash_table_remove(dir->children, e->name);
        if (g_hash_table_size(dir->children) == 0) {
            g_hash_table_remove(t->dirs, &dir->inode);
        }
    }
}

void memdb_tree_put(MemdbTree *t, Entry *e)
{
    Entry *old = memdb_tree_get(t, e->inode);
    MemdbDir *dir;

    g_assert(e->inode != 0);
    if (old != NULL) {
        detach(t, old);
    }
    dir = g_hash_table_lookup(t->dirs, &e->parent);
    if (dir == NULL) {
        dir = g_new(MemdbDir, 1);
        dir->inode = e->parent;
        dir->children = g_hash_table_new(g_str_hash, g_str_equal);
        g_hash_table_add(t->dirs, dir);
    }
    g_hash_table_replace(dir->children, e->name, e);
    t->content_bytes += e->size;
    g_hash_table_replace(t->inodes, entry_ref(e), e);
}

void memdb_tree_remove(MemdbTree *t, uint64_t inode)
{
    Entry *e = memdb_tree_get(t, inode);

    g_assert(inode != 0 && e != NULL);
    detach(t, e);
    g_hash_table_remove(t->inodes, e);
}

void memdb_tree_set_root(MemdbTree *t, const MemdbRoot *root)
{
    Entry *old = t->root;

    t->root = root_entry(root);
    entry_unref(old);
}

MemdbRoot memdb_tree_root(const MemdbTree *t)
{
    return (MemdbRoot){t->root->version, t->root->writer, t->root->mtime};
}

char *memdb_tree_path(const MemdbTree *t, uint64_t inode)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new();
    const Entry *e = memdb_tree_get(t, inode);

    while (e != NULL && e->inode != 0 && parts->len < PATH_STEPS_MAX) {
        g_ptr_array_add(parts, (gpointer)e->name);
        e = memdb_tree_get(t, e->parent);
    }
    if (e == NULL || e->inode != 0) {
        return NULL;
    }
    GString *path = g_string_new(NULL);
    for (guint i = parts->len; i > 0; i--) {
        g_string_append(path, g_ptr_array_index(parts, i - 1));
        if (i > 1) {
            g_string_append_c(path, '/');
        }
    }
    return g_string_free(path, FALSE);
}

Entry *memdb_tree_resolve(const MemdbTree *t, const char *path, int *ret_code)
{
    g_autofree char *copy = g_strdup(path);
    Entry *e = t->root;
    char *part = copy;

    while (e != NULL && *part != '\0') {
        char *end = strchr(part, '/');
        char *next = end != NULL ? end + 1 : part + strlen(part);
        if (end != NULL) {
            *end = '\0';
        }
        if (e->type != ENTRY_DIR) {
            *ret_code = -ENOTDIR;
            return NULL;
        }
        e = memdb_tree_child(t, e->inode, part);
        part = next;
    }
    *ret_code = e != NULL ? 0 : -ENOENT;
    return e;
}

/* ---- deltas -------------------------------------------------------------------------------- */

static void edit_clear(gpointer p)
{
    MemdbEdit *edit = p;

    entry_unref(edit->before);
    entry_unref(edit->after);
    g_free(edit->path_before);
    g_free(edit->path_after);
}

MemdbDelta *memdb_delta_new(const MemdbRoot *before, const MemdbRoot *after)
{
    MemdbDelta *d = g_new0(MemdbDelta, 1);

    d->refs = 1;
    d->root_before = *before;
    d->root_after = *after;
    d->edits = g_array_new(FALSE, FALSE, sizeof(MemdbEdit));
    g_array_set_clear_func(d->edits, edit_clear);
    return d;
}

void memdb_delta_add(
    MemdbDelta *d, Entry *before, char *path_before, Entry *after, char *path_after)
{
    MemdbEdit edit = {
        .before = before != NULL ? entry_ref(before) : NULL,
        .after = after != NULL ? entry_ref(after) : NULL,
        .path_before = path_before,
        .path_after = path_after,
    };

    g_array_append_val(d->edits, edit);
    if (after != NULL && after->data != NULL) {
        d->payload_bytes += after->size;
    }
}

MemdbDelta *memdb_delta_ref(MemdbDelta *d)
{
    (void)__atomic_add_fetch(&d->refs, 1, __ATOMIC_RELAXED);
    return d;
}

void memdb_delta_unref(MemdbDelta *d)
{
    if (d != NULL && __atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        g_array_unref(d->edits);
        g_clear_pointer(&d->record, g_bytes_unref);
        g_free(d);
    }
}

MemdbDelta *memdb_root_delta(const Memdb *db)
{
    MemdbRoot root = memdb_root(db);

    return memdb_empty_delta(&root);
}

MemdbDelta *memdb_empty_delta(const MemdbRoot *root)
{
    return memdb_delta_new(root, root);
}

/* ---- committing ---------------------------------------------------------------------------- */

void memdb_enter(Memdb *db)
{
    if (db->guard.enter != NULL) {
        db->guard.enter(db->guard.ctx);
    }
}

void memdb_leave(Memdb *db)
{
    if (db->guard.leave != NULL) {
        db->guard.leave(db->guard.ctx);
    }
    g_clear_pointer(&db->index, g_bytes_unref);
    db->has_checksum = false;
}

void memdb_commit_edits(Memdb *db, const MemdbDelta *d)
{
    for (guint i = 0; i < d->edits->len; i++) {
        const MemdbEdit *edit = &g_array_index(d->edits, MemdbEdit, i);
        if (edit->after != NULL) {
            memdb_tree_put(&db->tree, edit->after);
        } else {
            memdb_tree_remove(&db->tree, edit->before->inode);
        }
    }
    memdb_tree_set_root(&db->tree, &d->root_after);
}

void memdb_guest_add(Memdb *db, const char *path)
{
    CfsGuest guest;

    if (cfspath_guest(path, &guest)) {
        vmlist_register(db->guests, &guest);
    }
}

void memdb_lock_start(Memdb *db, const char *path, const Entry *e, MonoTime now)
{
    uint8_t csum[ENTRY_DIGEST_SIZE];

    entry_checksum(e, csum);
    locks_start(db->locks, path, csum, now);
}

/* ---- undo ---------------------------------------------------------------------------------- */

static void undo_edit_effects(Memdb *db, const MemdbEdit *edit)
{
    CfsGuest guest;

    if (edit->path_after != NULL) {
        tracked_bump(&db->tracked, edit->path_after);
        if (edit->after->type == ENTRY_FILE && cfspath_guest(edit->path_after, &guest)) {
            vmlist_unregister(db->guests, guest.vmid);
        }
    }
    if (edit->path_before != NULL) {
        if (g_strcmp0(edit->path_before, edit->path_after) != 0) {
            tracked_bump(&db->tracked, edit->path_before);
        }
        if (edit->before->type == ENTRY_FILE) {
            memdb_guest_add(db, edit->path_before);
        }
    }
}

static void undo_edit_locks(Memdb *db, const MemdbEdit *edit, MonoTime now)
{
    if (edit->path_after != NULL && edit->after->type == ENTRY_DIR) {
        locks_drop(db->locks, edit->path_after);
    }
    if (edit->path_before != NULL && edit->before->type == ENTRY_DIR &&
        cfspath_is_lock(edit->path_before)) {
        memdb_lock_start(db, edit->path_before, edit->before, now);
    }
}

static MemdbDelta *reversed(const MemdbDelta *delta)
{
    MemdbDelta *back = memdb_delta_new(&delta->root_after, &delta->root_before);

    for (guint i = delta->edits->len; i > 0; i--) {
        const MemdbEdit *edit = &g_array_index(delta->edits, MemdbEdit, i - 1);
        memdb_delta_add(back, edit->after, g_strdup(edit->path_after), edit->before,
                        g_strdup(edit->path_before));
    }
    back->replaces_tree = delta->replaces_tree;
    back->kind = delta->kind;
    return back;
}

void memdb_undo(Memdb *db, const MemdbDelta *delta, MonoTime now, MemdbDelta **ret)
{
    MemdbDelta *back = reversed(delta);
    MemdbRoot root = memdb_root(db);

    g_assert(root.version == delta->root_after.version);
    g_assert(root.writer == delta->root_after.writer && root.mtime == delta->root_after.mtime);
    memdb_enter(db);
    memdb_commit_edits(db, back);
    for (guint i = delta->edits->len; i > 0 && !delta->replaces_tree; i--) {
        undo_edit_effects(db, &g_array_index(delta->edits, MemdbEdit, i - 1));
    }
    if (delta->replaces_tree) {
        Vmlist *old = db->guests;
        db->guests = memdb_build_guests(&db->tree, NULL, old, NULL);
        vmlist_free(old);
        tracked_bump_all(&db->tracked);
    }
    memdb_leave(db);
    for (guint i = delta->edits->len; i > 0 && !delta->replaces_tree; i--) {
        undo_edit_locks(db, &g_array_index(delta->edits, MemdbEdit, i - 1), now);
    }
    if (delta->replaces_tree) {
        LockTable *old = db->locks;
        db->locks = memdb_build_locks(&db->tree, old, now);
        locks_free(old);
    }
    trace(&db->tracer, TRACE_WARNING,
          "memdb: change undone: version %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT,
          delta->root_after.version, delta->root_before.version);
    *ret = back;
}

/* ---- life ---------------------------------------------------------------------------------- */

Memdb *memdb_new(const Tracer *tracer, const MemdbGuard *guard)
{
    Memdb *db = g_new0(Memdb, 1);
    MemdbRoot root = {0};

    if (tracer != NULL) {
        db->tracer = *tracer;
    }
    if (guard != NULL) {
        db->guard = *guard;
    }
    db->limits = (MemdbLimits){CFS_FILE_SIZE_MAX, CFS_TOTAL_SIZE_MAX, CFS_INODES_MAX};
    memdb_tree_init(&db->tree, &root);
    db->guests = vmlist_new();
    db->locks = locks_new();
    return db;
}

void memdb_free(Memdb *db)
{
    if (db != NULL) {
        memdb_tree_done(&db->tree);
        vmlist_free(db->guests);
        locks_free(db->locks);
        g_clear_pointer(&db->index, g_bytes_unref);
        g_free(db);
    }
}

void memdb_set_limits(Memdb *db, const MemdbLimits *limits)
{
    memdb_enter(db);
    db->limits = *limits;
    memdb_leave(db);
}

const MemdbLimits *memdb_limits(const Memdb *db)
{
    return &db->limits;
}

/* ---- reading ------------------------------------------------------------------------------- */

MemdbRoot memdb_root(const Memdb *db)
{
    return memdb_tree_root(&db->tree);
}

static Entry *ref_or_null(Entry *e)
{
    return e != NULL ? entry_ref(e) : NULL;
}

Entry *memdb_get(const Memdb *db, uint64_t inode)
{
    return ref_or_null(memdb_tree_get(&db->tree, inode));
}

Entry *memdb_child(const Memdb *db, uint64_t parent, const char *name)
{
    return ref_or_null(memdb_tree_child(&db->tree, parent, name));
}

int memdb_lookup(const Memdb *db, const char *path, Entry **ret)
{
    g_autofree char *canonical = cfspath_normalize(path);
    int code;
    Entry *e = memdb_tree_resolve(&db->tree, canonical, &code);

    if (e != NULL) {
        *ret = entry_ref(e);
    }
    return code;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(Entry *const *)a)->name, (*(Entry *const *)b)->name);
}

GPtrArray *memdb_list(const Memdb *db, uint64_t dir)
{
    const Entry *e = memdb_tree_get(&db->tree, dir);
    const MemdbDir *d = g_hash_table_lookup(db->tree.dirs, &dir);
    GHashTableIter iter;
    gpointer child;

    if (e == NULL || e->type != ENTRY_DIR) {
        return NULL;
    }
    GPtrArray *list = g_ptr_array_new_with_free_func(entry_destroy);
    if (d != NULL) {
        g_hash_table_iter_init(&iter, d->children);
        while (g_hash_table_iter_next(&iter, NULL, &child)) {
            g_ptr_array_add(list, entry_ref(child));
        }
    }
    g_ptr_array_sort(list, by_name);
    return list;
}

char *memdb_path(const Memdb *db, uint64_t inode)
{
    return memdb_tree_path(&db->tree, inode);
}

uint32_t memdb_count(const Memdb *db)
{
    return g_hash_table_size(db->tree.inodes) + 1;
}

uint64_t memdb_content_bytes(const Memdb *db)
{
    return db->tree.content_bytes;
}

static gint by_inode(gconstpointer a, gconstpointer b)
{
    uint64_t x = (*(Entry *const *)a)->inode, y = (*(Entry *const *)b)->inode;

    return x < y ? -1 : x > y;
}

GPtrArray *memdb_all(const Memdb *db)
{
    GPtrArray *all = g_ptr_array_new_full(memdb_count(db), entry_destroy);
    GHashTableIter iter;
    gpointer e;

    g_ptr_array_add(all, entry_ref(db->tree.root));
    g_hash_table_iter_init(&iter, db->tree.inodes);
    while (g_hash_table_iter_next(&iter, &e, NULL)) {
        g_ptr_array_add(all, entry_ref(e));
    }
    g_ptr_array_sort(all, by_inode);
    return all;
}

/* ---- digests ------------------------------------------------------------------------------- */

GBytes *memdb_index(Memdb *db)
{
    if (db->index == NULL) {
        g_autoptr(GPtrArray) all = memdb_all(db);
        const Entry *last = g_ptr_array_index(all, all->len - 1);
        uint32_t bytes = 32 + 40 * all->len;
        g_auto(Writer) w;

        writer_init(&w, bytes);
        writer_le64(&w, db->tree.root->version);
        writer_le64(&w, last->inode);
        writer_le32(&w, db->tree.root->writer);
        writer_le32(&w, db->tree.root->mtime);
        writer_le32(&w, all->len);
        writer_le32(&w, bytes);
        for (guint i = 0; i < all->len; i++) {
            Entry *e = g_ptr_array_index(all, i);
            writer_le64(&w, e->inode);
            writer_bytes(&w, entry_digest(e), ENTRY_DIGEST_SIZE);
        }
        db->index = writer_steal(&w);
    }
    return g_bytes_ref(db->index);
}

void memdb_checksum(Memdb *db, uint8_t ret_csum[ENTRY_DIGEST_SIZE])
{
    if (!db->has_checksum) {
        g_autoptr(GPtrArray) all = memdb_all(db);
        g_autoptr(Sha256) h = sha256_new();

        for (guint i = 0; i < all->len; i++) {
            entry_hash(g_ptr_array_index(all, i), h);
        }
        sha256_finish(h, db->checksum);
        db->has_checksum = true;
    }
    memcpy(ret_csum, db->checksum, ENTRY_DIGEST_SIZE);
}

/* ---- locks and views ----------------------------------------------------------------------- */

bool memdb_lock_expired(Memdb *db,
                        const char *path,
                        const uint8_t csum[ENTRY_DIGEST_SIZE],
                        MonoTime now)
{
    g_autofree char *canonical = cfspath_normalize(path);
    uint8_t have[ENTRY_DIGEST_SIZE];
    int code;
    const Entry *e = memdb_tree_resolve(&db->tree, canonical, &code);

    if (e == NULL || e->type != ENTRY_DIR || !cfspath_is_below_lock(canonical)) {
        return false;
    }
    entry_checksum(e, have);
    return memcmp(have, csum, ENTRY_DIGEST_SIZE) == 0 &&
           locks_expired(db->locks, canonical, csum, now);
}

void memdb_format_vmlist(const Memdb *db, GString *out)
{
    vmlist_format(db->guests, out);
}

void memdb_format_tracked(const Memdb *db, GString *out)
{
    tracked_format(&db->tracked, out);
}

uint32_t memdb_vmlist_version(const Memdb *db)
{
    return vmlist_version(db->guests);
}

bool memdb_find_guest(
    const Memdb *db, uint32_t vmid, char **ret_node, char **ret_type, uint32_t *ret_version)
{
    const VmlistGuest *guest = vmlist_find(db->guests, vmid);

    if (guest == NULL) {
        return false;
    }
    if (ret_node != NULL) {
        *ret_node = g_strdup(guest->node);
    }
    if (ret_type != NULL) {
        *ret_type = g_strdup(cfs_guest_type_name(guest->type));
    }
    if (ret_version != NULL) {
        *ret_version = guest->version;
    }
    return true;
}

GArray *memdb_guests(const Memdb *db)
{
    return vmlist_ids(db->guests);
}
