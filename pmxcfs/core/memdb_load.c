/* SPDX-License-Identifier: Apache-2.0 */
/* Whole trees: checking a set of entries, and swapping it in (reference pmxcfs 3.4 and 10.5). */
#include "pmxcfs/core/memdb_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* The original enforces no limits; what it made must open. Above these we could not serve it. */
#define HARD_FILE_SIZE_MAX  CFS_FILE_SIZE_MAX_NATIVE
#define HARD_TOTAL_SIZE_MAX CFS_TOTAL_SIZE_MAX_NATIVE
#define HARD_INODES_MAX     (16 * CFS_INODES_MAX)

STRTAB_DEFINE(memdb_fault, MemdbFaultKind, MEMDB_FAULT_LIST, MEMDB_FAULT_N)

void memdb_fault_add(
    GArray *faults, MemdbFaultKind kind, bool fatal, uint64_t inode, const char *fmt, ...)
{
    MemdbFault fault = {.kind = kind, .fatal = fatal, .inode = inode};
    va_list args;

    if (faults == NULL) {
        return;
    }
    va_start(args, fmt);
    g_vsnprintf(fault.text, sizeof fault.text, fmt, args);
    va_end(args);
    for (char *p = fault.text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            *p = '?'; /* names may hold newlines; a fault is one line */
        }
    }
    g_array_append_val(faults, fault);
}

/* ---- single entries ------------------------------------------------------------------------ */

#define INO G_GUINT64_FORMAT

static void check_fields(const Memdb *db, const Entry *e, GArray *faults)
{
    if (e->inode == 0) {
        memdb_fault_add(faults, MEMDB_FAULT_DUPLICATE_INODE, true, 0,
                        "entry '%.64s' claims the inode of the root", e->name);
    }
    if (e->name[0] == '\0') {
        memdb_fault_add(faults, MEMDB_FAULT_NAME_EMPTY, true, e->inode,
                        "inode %" INO " has no name", e->inode);
    } else if (!cfspath_name_ok(e->name)) {
        memdb_fault_add(faults, MEMDB_FAULT_NAME_INVALID, false, e->inode,
                        "inode %" INO " has the name '%.64s', which no program can open", e->inode,
                        e->name);
    }
    if (e->inode > MEMDB_VERSION_MAX || e->version > MEMDB_VERSION_MAX) {
        memdb_fault_add(faults, MEMDB_FAULT_VERSION_RANGE, true, e->inode,
                        "inode %" INO " '%.64s' has version %" INO ", out of range", e->inode,
                        e->name, e->version);
    }
    if (e->size > db->limits.file_size_max) {
        memdb_fault_add(faults, MEMDB_FAULT_FILE_SIZE, e->size > HARD_FILE_SIZE_MAX, e->inode,
                        "inode %" INO " '%.64s' has %u bytes, above the limit of %u", e->inode,
                        e->name, e->size, db->limits.file_size_max);
    }
}

/* ---- the set as a tree --------------------------------------------------------------------- */

/* Puts every entry that the structure can hold into `t`. */
static void insert_all(const Memdb *db, MemdbTree *t, GPtrArray *entries, GArray *faults)
{
    for (guint i = 0; i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        const Entry *twin;

        check_fields(db, e, faults);
        if (e->inode == 0) {
            continue;
        }
        if (memdb_tree_get(t, e->inode) != NULL) {
            memdb_fault_add(faults, MEMDB_FAULT_DUPLICATE_INODE, true, e->inode,
                            "inode %" INO " exists twice, once as '%.64s'", e->inode, e->name);
            continue;
        }
        twin = memdb_tree_child(t, e->parent, e->name);
        if (twin != NULL) {
            memdb_fault_add(faults, MEMDB_FAULT_DUPLICATE_NAME, true, e->inode,
                            "inodes %" INO " and %" INO " are both '%.64s' in directory %" INO,
                            twin->inode, e->inode, e->name, e->parent);
            continue;
        }
        memdb_tree_put(t, e);
    }
}

static void check_parents(const MemdbTree *t, GPtrArray *entries, GArray *faults)
{
    for (guint i = 0; i < entries->len; i++) {
        const Entry *e = g_ptr_array_index(entries, i);
        const Entry *parent = memdb_tree_get(t, e->parent);

        if (parent == NULL) {
            memdb_fault_add(faults, MEMDB_FAULT_PARENT_MISSING, true, e->inode,
                            "inode %" INO " '%.64s' is in directory %" INO ", which is missing",
                            e->inode, e->name, e->parent);
        } else if (parent->type != ENTRY_DIR) {
            memdb_fault_add(faults, MEMDB_FAULT_PARENT_FILE, true, e->inode,
                            "inode %" INO " '%.64s' is in %" INO " '%.64s', which is a file",
                            e->inode, e->name, parent->inode, parent->name);
        }
    }
}

/* Walks up from each entry; `seen` remembers in which walk a directory was met first. Meeting one
 * of the same walk again closes a cycle; meeting an older one means the rest is known. */
static void check_cycles(const MemdbTree *t, GPtrArray *entries, GArray *faults)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < entries->len; i++) {
        const Entry *e = g_ptr_array_index(entries, i);
        gpointer walk = GUINT_TO_POINTER(i + 1);

        while (e != NULL && e->inode != 0) {
            gpointer met = g_hash_table_lookup(seen, e);
            if (met == walk) {
                memdb_fault_add(faults, MEMDB_FAULT_CYCLE, false, e->inode,
                                "directory %" INO " '%.64s' is inside itself and out of reach",
                                e->inode, e->name);
            }
            if (met != NULL) {
                break;
            }
            g_hash_table_insert(seen, (gpointer)e, walk);
            e = memdb_tree_get(t, e->parent);
        }
    }
}

static void check_sums(const Memdb *db, const MemdbTree *t, guint n, GArray *faults)
{
    if (t->content_bytes > db->limits.total_size_max) {
        memdb_fault_add(faults, MEMDB_FAULT_TOTAL_SIZE, t->content_bytes > HARD_TOTAL_SIZE_MAX, 0,
                        "all files together have %" INO " bytes, above the limit of %" INO,
                        t->content_bytes, db->limits.total_size_max);
    }
    if (n >= db->limits.inodes_max) {
        memdb_fault_add(faults, MEMDB_FAULT_TOO_MANY, n >= HARD_INODES_MAX, 0,
                        "%u entries, above the limit of %u", n + 1, db->limits.inodes_max);
    }
}

/* Returns the root record as it must be: at least as new as every entry. A number that leaves no
 * room to count says nothing of the tree: from a file (`loading`) it gives way to that of the
 * newest entry, from a member it is an error. */
static MemdbRoot check_root(const MemdbRoot *root, GPtrArray *entries, bool loading, GArray *faults)
{
    MemdbRoot r = root != NULL ? *root : (MemdbRoot){.version = 1};
    uint64_t newest = 0;

    if (root == NULL) {
        memdb_fault_add(faults, MEMDB_FAULT_ROOT_MISSING, false, 0, "no version record%s",
                        entries->len > 0 ? " although there are entries" : ": a fresh tree");
    }
    for (guint i = 0; i < entries->len; i++) {
        const Entry *e = g_ptr_array_index(entries, i);
        newest = MAX(newest, MAX(e->inode, e->version));
    }
    if (r.version > MEMDB_VERSION_MAX) {
        memdb_fault_add(faults, MEMDB_FAULT_VERSION_RANGE, !loading, 0,
                        "the tree has version %" INO ", out of range; its newest entry has %" INO,
                        r.version, newest);
        r.version = MAX(newest, 1);
    }
    if (r.version < newest) {
        memdb_fault_add(faults, MEMDB_FAULT_VERSION_BEHIND, false, 0,
                        "the tree has version %" INO ", behind its newest entry %" INO, r.version,
                        newest);
        r.version = newest;
    }
    return r;
}

/* ---- what belongs to a tree ---------------------------------------------------------------- */

/* Every entry of the directory `parent`; NULL when it has none. */
static GHashTable *children_of(const MemdbTree *t, uint64_t parent)
{
    const MemdbDir *dir = g_hash_table_lookup(t->dirs, &parent);

    return dir != NULL ? dir->children : NULL;
}

/* The entry that a guest of the list is configured by; NULL when there is none. */
static const Entry *config_of(const MemdbTree *t, const VmlistGuest *guest)
{
    int code;
    g_autofree char *path = g_strdup_printf("nodes/%s/%s/%u.conf", guest->node,
                                            cfs_guest_type_dir(guest->type), guest->vmid);

    return memdb_tree_resolve(t, path, &code);
}

/* A second config of one VMID. No start with that; but a synchronisation may bring it from a peer
 * of another make (18.1.7), whose list has the one that was written last. */
static void carry_twin(const MemdbTree *t,
                       const Vmlist *old,
                       const Entry *e,
                       const CfsGuest *guest,
                       bool unchanged,
                       Vmlist *l)
{
    const Entry *first = config_of(t, vmlist_find(l, guest->vmid));

    if (first != NULL && first->version < e->version) {
        vmlist_unregister(l, guest->vmid);
        (void)vmlist_carry(l, old, guest, unchanged);
    }
}

static void carry_guests(const MemdbTree *t,
                         const MemdbTree *old_tree,
                         const Vmlist *old,
                         uint64_t dir,
                         Vmlist *l,
                         GArray *faults)
{
    GHashTable *children = children_of(t, dir);
    GHashTableIter iter;
    gpointer p;

    if (children == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, children);
    while (g_hash_table_iter_next(&iter, NULL, &p)) {
        const Entry *e = p;
        g_autofree char *path = e->type == ENTRY_FILE ? memdb_tree_path(t, e->inode) : NULL;
        CfsGuest guest;

        if (path == NULL || !cfspath_guest(path, &guest)) {
            continue;
        }
        bool unchanged = old_tree != NULL && memdb_tree_get(old_tree, e->inode) == e;
        if (!vmlist_carry(l, old, &guest, unchanged)) {
            memdb_fault_add(faults, MEMDB_FAULT_DUPLICATE_VMID, old_tree == NULL, e->inode,
                            "guest %u is configured twice, once as '%.128s'", guest.vmid, path);
            carry_twin(t, old, e, &guest, unchanged, l);
        }
    }
}

Vmlist *
memdb_build_guests(const MemdbTree *t, const MemdbTree *old_tree, const Vmlist *old, GArray *faults)
{
    static const CfsGuestType types[] = {CFS_GUEST_QEMU, CFS_GUEST_OPENVZ, CFS_GUEST_LXC};
    Vmlist *l = old != NULL ? vmlist_new_after(old) : vmlist_new();
    const Entry *nodes = memdb_tree_child(t, 0, "nodes");
    GHashTable *children = nodes != NULL ? children_of(t, nodes->inode) : NULL;
    GHashTableIter iter;
    gpointer p;

    if (nodes == NULL || nodes->type != ENTRY_DIR) {
        return l;
    }
    if (children != NULL) {
        g_hash_table_iter_init(&iter, children);
        while (g_hash_table_iter_next(&iter, NULL, &p)) {
            for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
                const Entry *dir =
                    memdb_tree_child(t, ((const Entry *)p)->inode, cfs_guest_type_dir(types[i]));
                if (dir != NULL) {
                    carry_guests(t, old_tree, old, dir->inode, l, faults);
                }
            }
        }
    }
    vmlist_count_rebuild(l);
    return l;
}

static void
carry_locks(const MemdbTree *t, LockTable *l, const LockTable *old, uint64_t dir, MonoTime now)
{
    GHashTable *children = children_of(t, dir);
    GHashTableIter iter;
    gpointer p;

    if (children == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, children);
    while (g_hash_table_iter_next(&iter, NULL, &p)) {
        const Entry *e = p;
        g_autofree char *path = e->type == ENTRY_DIR ? memdb_tree_path(t, e->inode) : NULL;
        uint8_t csum[ENTRY_DIGEST_SIZE];

        if (path != NULL) {
            entry_checksum(e, csum);
            locks_carry(l, old, path, csum, now);
        }
    }
}

LockTable *memdb_build_locks(const MemdbTree *t, const LockTable *old, MonoTime now)
{
    LockTable *l = locks_new();
    const Entry *priv = memdb_tree_child(t, 0, "priv");
    const Entry *lock = priv != NULL ? memdb_tree_child(t, priv->inode, "lock") : NULL;

    if (lock != NULL) {
        carry_locks(t, l, old, lock->inode, now);
    }
    return l;
}

/* ---- check and swap ------------------------------------------------------------------------ */

static int first_fatal(const GArray *faults, guint from, Err *err)
{
    for (guint i = from; i < faults->len; i++) {
        const MemdbFault *fault = &g_array_index(faults, MemdbFault, i);
        if (fault->fatal) {
            return err_setf(err, -EBADMSG, "%s: %s", memdb_fault_name(fault->kind), fault->text);
        }
    }
    return 0;
}

/* A tree and its guest list, checked but not yet in use. */
typedef struct Candidate {
    MemdbTree tree;
    Vmlist *guests;
} Candidate;

static void candidate_done(Candidate *c)
{
    memdb_tree_done(&c->tree);
    vmlist_free(c->guests);
}

/* Checks `entries` (sorted by the caller) and builds the candidate. -EBADMSG with a fatal fault;
 * the candidate is then empty. */
static int build_candidate(Memdb *db,
                           GPtrArray *entries,
                           const MemdbRoot *root,
                           const MemdbTree *old_tree,
                           const Vmlist *old_guests,
                           GArray *faults,
                           Candidate *ret,
                           Err *err)
{
    g_autoptr(GArray) own = NULL;
    guint from = faults != NULL ? faults->len : 0;
    MemdbRoot checked;
    int r;

    if (faults == NULL) {
        faults = own = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    }
    checked = check_root(root, entries, old_tree == NULL, faults);
    memdb_tree_init(&ret->tree, &checked);
    insert_all(db, &ret->tree, entries, faults);
    check_parents(&ret->tree, entries, faults);
    check_cycles(&ret->tree, entries, faults);
    check_sums(db, &ret->tree, entries->len, faults);
    ret->guests = memdb_build_guests(&ret->tree, old_tree, old_guests, faults);
    r = first_fatal(faults, from, err);
    if (r < 0) {
        candidate_done(ret);
    }
    return r;
}

static gint by_inode(gconstpointer a, gconstpointer b)
{
    uint64_t x = (*(Entry *const *)a)->inode, y = (*(Entry *const *)b)->inode;

    return x < y ? -1 : x > y;
}

/* The entries ascending by inode, so that faults and deltas have one order. */
static GPtrArray *sorted_copy(GPtrArray *entries)
{
    GPtrArray *copy = g_ptr_array_sized_new(entries->len);

    for (guint i = 0; i < entries->len; i++) {
        g_ptr_array_add(copy, g_ptr_array_index(entries, i));
    }
    g_ptr_array_sort(copy, by_inode);
    return copy;
}

/* Swaps the candidate in and gives the old content back in it. */
static void swap_in(Memdb *db, Candidate *c, MonoTime now)
{
    MemdbTree old_tree = db->tree;
    Vmlist *old_guests = db->guests;
    LockTable *old_locks = db->locks;
    LockTable *locks = memdb_build_locks(&c->tree, old_locks, now);

    memdb_enter(db);
    db->tree = c->tree;
    db->guests = c->guests;
    tracked_bump_all(&db->tracked);
    memdb_leave(db);
    db->locks = locks;
    locks_free(old_locks);
    c->tree = old_tree;
    c->guests = old_guests;
}

int memdb_load(
    Memdb *db, GPtrArray *entries, const MemdbRoot *root, MonoTime now, GArray *faults, Err *err)
{
    g_autoptr(GPtrArray) sorted = sorted_copy(entries);
    Candidate c;
    int r;

    g_assert(memdb_count(db) == 1);
    r = build_candidate(db, sorted, root, NULL, NULL, faults, &c, err);
    if (r < 0) {
        return r;
    }
    swap_in(db, &c, now);
    candidate_done(&c);
    return 0;
}

/* ---- replace ------------------------------------------------------------------------------- */

static bool same_entry(Entry *a, Entry *b)
{
    return a == b || (a->inode == b->inode && a->hollow == b->hollow &&
                      memcmp(entry_digest(a), entry_digest(b), ENTRY_DIGEST_SIZE) == 0);
}

/* The new entries, with the old object wherever nothing changed: its digest is known already. */
static GPtrArray *reuse_old(const MemdbTree *old, GPtrArray *entries)
{
    GPtrArray *out = g_ptr_array_sized_new(entries->len);

    for (guint i = 0; i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        Entry *have = memdb_tree_get(old, e->inode);
        g_ptr_array_add(out, e->inode != 0 && have != NULL && same_entry(have, e) ? have : e);
    }
    return out;
}

static MemdbDelta *replace_delta(const MemdbTree *old, const MemdbTree *new, GPtrArray *entries)
{
    MemdbRoot before = memdb_tree_root(old), after = memdb_tree_root(new);
    MemdbDelta *d = memdb_delta_new(&before, &after);
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    GHashTableIter iter;
    gpointer p;

    d->replaces_tree = true;
    g_hash_table_iter_init(&iter, old->inodes);
    while (g_hash_table_iter_next(&iter, &p, NULL)) {
        if (memdb_tree_get(new, ((Entry *)p)->inode) == NULL) {
            g_ptr_array_add(gone, p);
        }
    }
    g_ptr_array_sort(gone, by_inode);
    for (guint i = 0; i < gone->len; i++) {
        Entry *e = g_ptr_array_index(gone, i);
        memdb_delta_add(d, e, memdb_tree_path(old, e->inode), NULL, NULL);
    }
    for (guint i = 0; i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        Entry *was = memdb_tree_get(old, e->inode);
        if (was != e) {
            memdb_delta_add(d, was, was != NULL ? memdb_tree_path(old, was->inode) : NULL, e,
                            memdb_tree_path(new, e->inode));
        }
    }
    return d;
}

static void report_twins(const Memdb *db, const GArray *faults)
{
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *f = &g_array_index(faults, MemdbFault, i);

        if (f->kind == MEMDB_FAULT_DUPLICATE_VMID) {
            trace(&db->tracer, TRACE_ERR,
                  "memdb: %s: remove one of them, pmxcfs does not start with both", f->text);
        }
    }
}

int memdb_replace(Memdb *db,
                  GPtrArray *entries,
                  const MemdbRoot *root,
                  MonoTime now,
                  MemdbDelta **ret_delta,
                  Err *err)
{
    g_autoptr(GPtrArray) sorted = sorted_copy(entries);
    g_autoptr(GPtrArray) merged = reuse_old(&db->tree, sorted);
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    Candidate c;
    int r = build_candidate(db, merged, root, &db->tree, db->guests, faults, &c, err);

    if (r < 0) {
        return r;
    }
    report_twins(db, faults);
    memdb_tree_set_root(&c.tree, root);
    *ret_delta = replace_delta(&db->tree, &c.tree, merged);
    swap_in(db, &c, now);
    candidate_done(&c);
    return 0;
}
