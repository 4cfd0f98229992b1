/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of each change, in the order of checks of reference pmxcfs chapter 4. */
#include "pmxcfs/core/memdb_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

/* A path of an operation, looked up. */
typedef struct Target {
    char *path;       /* canonical; owned */
    const char *name; /* last component, inside `path` */
    Entry *dir;       /* borrowed; NULL when dir_code says why */
    int dir_code;
    Entry *entry; /* borrowed; NULL when missing */
    bool name_ok; /* false: empty, "." or ".." */
    bool is_guest;
    CfsGuest guest; /* borrows from `path` */
} Target;

static void target_done(Target *t)
{
    g_free(t->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, target_done)

/* One operation between its checks and its delta. */
typedef struct Change {
    const TreeOp *op;
    TreeOrigin from;
    bool strict; /* also the rules that only hold for local callers */
    Target a, b; /* path, and `to` of a rename */
} Change;

static void change_done(Change *c)
{
    target_done(&c->a);
    target_done(&c->b);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Change, change_done)

static void target_init(const Memdb *db, const char *path, Target *t)
{
    int code;
    char *slash;

    t->path = cfspath_normalize(path);
    slash = strrchr(t->path, '/');
    t->name = slash != NULL ? slash + 1 : t->path;
    t->name_ok = t->name[0] != '\0' && strcmp(t->name, ".") != 0 && strcmp(t->name, "..") != 0;
    t->is_guest = cfspath_guest(t->path, &t->guest);
    if (slash != NULL) {
        *slash = '\0';
    }
    t->dir = memdb_tree_resolve(&db->tree, slash != NULL ? t->path : "", &t->dir_code);
    if (slash != NULL) {
        *slash = '/';
    }
    if (t->dir != NULL && t->dir->type != ENTRY_DIR) {
        t->dir = NULL;
        t->dir_code = -ENOTDIR;
    }
    t->entry = memdb_tree_resolve(&db->tree, t->path, &code);
}

static bool is_root(const Target *t)
{
    return t->path[0] == '\0';
}

/* ---- rules --------------------------------------------------------------------------------- */

/* The directory part and the last component: rules 1 and 2 of create. */
static int check_place(const Change *c, const Target *t)
{
    if (t->dir == NULL) {
        return t->dir_code;
    }
    if (!t->name_ok) {
        return -EACCES;
    }
    if (c->strict && (strlen(t->name) > CFS_NAME_MAX || strlen(t->path) >= CFS_PATH_MAX)) {
        return -ENAMETOOLONG;
    }
    return 0;
}

static int check_guest(const Memdb *db, const Change *c, const Target *t)
{
    return t->is_guest && vmlist_conflicts(db->guests, &t->guest, !c->strict) ? -EEXIST : 0;
}

static int check_room(const Memdb *db, const Change *c, uint32_t new_entries, uint64_t new_bytes)
{
    if (!c->strict) {
        return 0;
    }
    if (new_entries > 0 && memdb_count(db) >= db->limits.inodes_max) {
        return -ENOSPC;
    }
    if (new_bytes > 0 && db->tree.content_bytes + new_bytes > db->limits.total_size_max) {
        return -ENOSPC;
    }
    return 0;
}

/* Size of the file after a write; the caller has checked that it fits. */
static uint32_t size_after(const TreeOp *op, uint32_t old_size)
{
    uint64_t end = op->offset + (op->data != NULL ? g_bytes_get_size(op->data) : 0);

    return end > old_size || op->truncate ? (uint32_t)end : old_size;
}

static int check_create(const Memdb *db, const Change *c)
{
    int r = check_place(c, &c->a);

    if (r == 0) {
        r = check_guest(db, c, &c->a);
    }
    if (r == 0 && c->a.entry != NULL) {
        r = c->a.entry->type == ENTRY_DIR ? -ENOTDIR : -EEXIST;
    }
    return r != 0 ? r : check_room(db, c, 1, 0);
}

static int check_write(const Memdb *db, const Change *c)
{
    size_t count = c->op->data != NULL ? g_bytes_get_size(c->op->data) : 0;
    int r;

    if (count > db->limits.file_size_max || c->op->offset > db->limits.file_size_max - count) {
        return -EFBIG;
    }
    r = check_place(c, &c->a);
    if (r == 0) {
        r = check_guest(db, c, &c->a);
    }
    if (r != 0) {
        return r;
    }
    if (c->a.entry == NULL) {
        return -ENOENT;
    }
    if (c->a.entry->type == ENTRY_DIR) {
        return -EISDIR;
    }
    uint32_t size = size_after(c->op, c->a.entry->size);
    return check_room(db, c, 0, size > c->a.entry->size ? size - c->a.entry->size : 0);
}

static int check_mkdir(const Memdb *db, const Change *c)
{
    int r = check_place(c, &c->a);

    if (r == 0 && c->a.entry != NULL) {
        r = -EEXIST;
    }
    if (r == 0 && c->strict && c->a.is_guest) {
        r = -EACCES;
    }
    return r != 0 ? r : check_room(db, c, 1, 0);
}

static int check_delete(const Memdb *db, const Change *c)
{
    if (c->a.entry == NULL) {
        return c->a.dir == NULL ? c->a.dir_code : -ENOENT;
    }
    if (is_root(&c->a)) {
        return -EACCES;
    }
    if (c->a.entry->type == ENTRY_DIR && !memdb_tree_is_empty_dir(&db->tree, c->a.entry)) {
        return -ENOTEMPTY;
    }
    return 0;
}

/* Rule 2 of rename: a file may become a guest config only where that VMID may live. */
static int check_rename_guest(const Memdb *db, const Change *c)
{
    bool same_guest = c->a.is_guest && c->b.is_guest && c->a.guest.vmid == c->b.guest.vmid;

    if (!c->b.is_guest) {
        return 0;
    }
    if (c->a.entry->type == ENTRY_DIR) {
        return c->strict ? -EACCES : 0;
    }
    return same_guest ? 0 : check_guest(db, c, &c->b);
}

/* Rule 4 of rename: what is at the target, or where it would be. */
static int check_rename_target(const Memdb *db, const Change *c)
{
    const Entry *from = c->a.entry, *to = c->b.entry;
    size_t from_len = strlen(c->a.path);

    if (is_root(&c->b)) {
        return -EACCES;
    }
    if (to == from ||
        (strncmp(c->b.path, c->a.path, from_len) == 0 && c->b.path[from_len] == '/')) {
        return -EINVAL;
    }
    if (to == NULL) {
        return check_place(c, &c->b);
    }
    if (c->op->noreplace) {
        return -EEXIST;
    }
    if (c->strict && from->type != to->type) {
        return to->type == ENTRY_DIR ? -EISDIR : -ENOTDIR;
    }
    if (to->type == ENTRY_DIR && !memdb_tree_is_empty_dir(&db->tree, to)) {
        return -ENOTEMPTY;
    }
    return 0;
}

static int check_rename(const Memdb *db, const Change *c)
{
    int r;

    if (c->a.entry == NULL) {
        return c->a.dir == NULL ? c->a.dir_code : -ENOENT;
    }
    if (is_root(&c->a)) {
        return -EACCES;
    }
    r = check_rename_guest(db, c);
    if (r == 0 && c->a.entry->type == ENTRY_DIR && cfspath_is_below_lock(c->a.path)) {
        r = -EACCES;
    }
    if (r == 0) {
        r = check_rename_target(db, c);
    }
    /* Checked before the target is touched: a rename that fails leaves both as they were. */
    if (r == 0 && c->a.entry->type == ENTRY_DIR &&
        !memdb_tree_is_empty_dir(&db->tree, c->a.entry)) {
        r = -ENOTEMPTY;
    }
    return r;
}

static int check_mtime(const Change *c)
{
    int r = check_place(c, &c->a);

    if (r != 0) {
        return r;
    }
    if (c->a.entry == NULL) {
        return -ENOENT;
    }
    if (c->a.entry->type == ENTRY_DIR && cfspath_is_lock(c->a.path) &&
        (c->op->mtime < c->a.entry->mtime || c->from.writer != c->a.entry->writer)) {
        return -EACCES;
    }
    return 0;
}

static int check_unlock(const Memdb *db, const Change *c)
{
    uint8_t csum[ENTRY_DIGEST_SIZE];

    if (c->a.entry == NULL) {
        return c->a.dir == NULL ? c->a.dir_code : -ENOENT;
    }
    if (c->a.entry->type != ENTRY_DIR || !cfspath_is_below_lock(c->a.path)) {
        return -ESTALE;
    }
    entry_checksum(c->a.entry, csum);
    if (memcmp(csum, c->op->csum, sizeof csum) != 0) {
        return -ESTALE;
    }
    return memdb_tree_is_empty_dir(&db->tree, c->a.entry) ? 0 : -ENOTEMPTY;
}

/* The counter can move on, and the number it gives is not taken: an entry is never overwritten. */
static int check_counter(const Memdb *db)
{
    uint64_t version = db->tree.root->version;

    if (version >= MEMDB_VERSION_MAX || memdb_tree_get(&db->tree, version + 1) != NULL) {
        return -EOVERFLOW;
    }
    return 0;
}

static int check_change(const Memdb *db, Change *c)
{
    int r = -EINVAL;

    target_init(db, c->op->path, &c->a);
    switch (c->op->kind) {
    case TREE_OP_CREATE:
        r = check_create(db, c);
        break;
    case TREE_OP_WRITE:
        r = check_write(db, c);
        break;
    case TREE_OP_MKDIR:
        r = check_mkdir(db, c);
        break;
    case TREE_OP_DELETE:
        r = check_delete(db, c);
        break;
    case TREE_OP_RENAME:
        target_init(db, c->op->to, &c->b);
        r = check_rename(db, c);
        break;
    case TREE_OP_MTIME:
        r = check_mtime(c);
        break;
    case TREE_OP_UNLOCK_REQUEST:
    case TREE_OP_UNLOCK:
        r = check_unlock(db, c);
        break;
    case TREE_OP_N:
        break;
    }
    return r != 0 ? r : check_counter(db);
}

int memdb_check(const Memdb *db, const TreeOp *op, TreeOrigin from)
{
    g_auto(Change) c = {.op = op, .from = from, .strict = true};
    int r = check_change(db, &c);

    return r == 0 && op->kind == TREE_OP_WRITE && op->data != NULL ? (int)g_bytes_get_size(op->data)
                                                                   : r;
}

/* ---- building the delta -------------------------------------------------------------------- */

/* Content of the file after the write; sets the content fields of `init`. */
static void write_content(const Change *c, const Entry *old, EntryInit *init)
{
    size_t count = c->op->data != NULL ? g_bytes_get_size(c->op->data) : 0;
    size_t offset = (size_t)c->op->offset;
    uint32_t size = size_after(c->op, old->size);
    bool grows_empty = old->size == 0 && size > 0;
    bool stays_hollow = old->hollow && size <= old->size;

    init->data = NULL;
    init->hollow_size = 0;
    if (size == 0) {
        return;
    }
    if (count == 0 && (stays_hollow || (grows_empty && !c->strict))) {
        init->hollow_size = size;
    } else if (count == size) {
        init->data = g_bytes_ref(c->op->data);
    } else if (count == 0 && old->data != NULL && size == old->size) {
        init->data = g_bytes_ref(old->data);
    } else {
        uint8_t *bytes = g_malloc0(size);
        (void)entry_read(old, 0, bytes, size);
        if (count > 0) {
            memcpy(bytes + offset, g_bytes_get_data(c->op->data, NULL), count);
        }
        init->data = g_bytes_new_take(bytes, size);
    }
}

static Entry *make_entry(const Memdb *db, const Change *c, const MemdbRoot *root)
{
    const Entry *old = c->a.entry;
    EntryInit init;

    if (c->op->kind == TREE_OP_CREATE || c->op->kind == TREE_OP_MKDIR) {
        init = (EntryInit){
            .parent = c->a.dir->inode,
            .inode = db->tree.root->version + 1,
            .type = c->op->kind == TREE_OP_MKDIR ? ENTRY_DIR : ENTRY_FILE,
            .name = c->a.name,
        };
    } else {
        init = entry_init_from(old);
    }
    init.version = root->version;
    init.writer = root->writer;
    init.mtime = root->mtime;
    if (c->op->kind == TREE_OP_RENAME) {
        const Target *to = &c->b;
        init.parent = to->entry != NULL ? to->entry->parent : to->dir->inode;
        init.name = to->name;
    }
    if (c->op->kind == TREE_OP_WRITE) {
        write_content(c, old, &init);
    }
    Entry *e = entry_new(&init);
    if (c->op->kind == TREE_OP_WRITE && init.data != NULL) {
        g_bytes_unref(init.data);
    }
    return e;
}

static MemdbDelta *build_delta(const Memdb *db, const Change *c)
{
    MemdbRoot before = memdb_root(db);
    MemdbRoot after = {before.version + 1, c->from.writer,
                       c->op->kind == TREE_OP_MTIME ? c->op->mtime : c->from.time};
    MemdbDelta *d = memdb_delta_new(&before, &after);

    d->kind = c->op->kind;
    if (c->op->kind == TREE_OP_DELETE || c->op->kind == TREE_OP_UNLOCK) {
        memdb_delta_add(d, c->a.entry, g_strdup(c->a.path), NULL, NULL);
        return d;
    }
    if (c->op->kind == TREE_OP_RENAME && c->b.entry != NULL) {
        memdb_delta_add(d, c->b.entry, g_strdup(c->b.path), NULL, NULL);
    }
    g_autoptr(Entry) e = make_entry(db, c, &after);
    const char *path_after = c->op->kind == TREE_OP_RENAME ? c->b.path : c->a.path;
    memdb_delta_add(d, c->a.entry, c->a.entry != NULL ? g_strdup(c->a.path) : NULL, e,
                    g_strdup(path_after));
    return d;
}

/* ---- what follows from a change ------------------------------------------------------------ */

/* `type`: of the entry that is no longer at the guest path. */
static void guest_gone(Memdb *db, const Change *c, EntryType type)
{
    if (!c->a.is_guest) {
        return;
    }
    if (type == ENTRY_FILE) {
        vmlist_unregister(db->guests, c->a.guest.vmid);
    } else if (!c->strict) {
        vmlist_free_for_peers(db->guests, c->a.guest.vmid);
    }
}

/* Guest list and change counters; readers see them, so inside the guard. */
static void change_effects(Memdb *db, const Change *c, EntryType type)
{
    if (c->op->kind != TREE_OP_MKDIR && c->op->kind != TREE_OP_UNLOCK) {
        tracked_bump(&db->tracked, c->a.path);
    }
    switch (c->op->kind) {
    case TREE_OP_CREATE:
    case TREE_OP_WRITE:
        memdb_guest_add(db, c->a.path);
        break;
    case TREE_OP_DELETE:
        guest_gone(db, c, type);
        break;
    case TREE_OP_RENAME:
        tracked_bump(&db->tracked, c->b.path);
        guest_gone(db, c, type);
        if (type == ENTRY_FILE) {
            memdb_guest_add(db, c->b.path);
        }
        break;
    case TREE_OP_MKDIR:
    case TREE_OP_MTIME:
    case TREE_OP_UNLOCK_REQUEST:
    case TREE_OP_UNLOCK:
    case TREE_OP_N:
        break;
    }
}

static void lock_effects(Memdb *db, const Change *c, const MemdbDelta *d, MonoTime now)
{
    for (guint i = 0; i < d->edits->len; i++) {
        const MemdbEdit *edit = &g_array_index(d->edits, MemdbEdit, i);
        const Entry *e = edit->after != NULL ? edit->after : edit->before;
        bool moved = g_strcmp0(edit->path_before, edit->path_after) != 0;

        if (e->type != ENTRY_DIR) {
            continue;
        }
        if (edit->path_before != NULL && moved) {
            locks_drop(db->locks, edit->path_before);
        }
        if (edit->path_after != NULL && c->op->kind != TREE_OP_RENAME &&
            cfspath_is_lock(edit->path_after)) {
            memdb_lock_start(db, edit->path_after, e, now);
        }
    }
}

/* A peer renames a directory with entries onto something: the original has taken the target out of
 * its tree before it refuses (18.1.8), and its digests are those of a tree without it. */
static bool loses_target(const Memdb *db, const Change *c, int code)
{
    return code == -ENOTEMPTY && !c->strict && c->op->kind == TREE_OP_RENAME &&
           c->b.entry != NULL &&
           (c->b.entry->type == ENTRY_FILE || memdb_tree_is_empty_dir(&db->tree, c->b.entry));
}

/* What that leaves: no target, and no step of the version. */
static MemdbDelta *lose_target(Memdb *db, const Change *c)
{
    MemdbRoot root = memdb_root(db);
    MemdbDelta *d = memdb_delta_new(&root, &root);

    d->kind = TREE_OP_DELETE;
    memdb_delta_add(d, c->b.entry, g_strdup(c->b.path), NULL, NULL);
    if (c->b.entry->type == ENTRY_DIR) {
        locks_drop(db->locks, c->b.path);
    }
    memdb_enter(db);
    memdb_commit_edits(db, d);
    tracked_bump(&db->tracked, c->a.path);
    tracked_bump(&db->tracked, c->b.path);
    memdb_leave(db);
    return d;
}

int memdb_apply(Memdb *db,
                const TreeOp *op,
                TreeOrigin from,
                bool from_peer,
                MonoTime now,
                MemdbDelta **ret_delta)
{
    g_auto(Change) c = {.op = op, .from = from, .strict = !from_peer};
    int r = op->kind == TREE_OP_UNLOCK_REQUEST ? -EINVAL : check_change(db, &c);

    if (r != 0) {
        if (loses_target(db, &c, r)) {
            *ret_delta = lose_target(db, &c);
        }
        return r;
    }
    MemdbDelta *d = build_delta(db, &c);
    EntryType type = c.a.entry != NULL ? c.a.entry->type : ENTRY_FILE;
    memdb_enter(db);
    memdb_commit_edits(db, d);
    change_effects(db, &c, type);
    memdb_leave(db);
    lock_effects(db, &c, d, now);
    *ret_delta = d;
    return op->kind == TREE_OP_WRITE && op->data != NULL ? (int)g_bytes_get_size(op->data) : 0;
}
