/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs-db salvage: everything that can still be read, made into a tree that loads.
 *
 * Reading: rows in ascending order of inode; where a page is damaged, the inodes after the gap are
 * tried one by one, and what is behind it is read from the end. Content is read row by row, so that
 * a damaged content costs one file.
 *
 * Settling: one fault at a time, as memdb_load names them, until none is left. Nothing readable is
 * thrown away: what has no place in the tree any more goes to `lost`.
 */
#include "cli/pmxcfs_db.h"

#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/store_db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>

#define INO G_GUINT64_FORMAT

/* Version of a changed entry until all is settled: then it gets the new version of the tree. */
#define VERSION_MARK UINT64_MAX

/* Inodes tried one by one behind a damaged page, in one gap and altogether. */
#define GAP_TRIES_MAX 4096u
#define TRIES_MAX     1000000u

void db_salvage_init(DbSalvage *s)
{
    *s = (DbSalvage){
        .kept = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref),
        .lost = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref),
        .notes = g_ptr_array_new_with_free_func(g_free),
    };
}

void db_salvage_done(DbSalvage *s)
{
    g_clear_pointer(&s->kept, g_ptr_array_unref);
    g_clear_pointer(&s->lost, g_ptr_array_unref);
    g_clear_pointer(&s->notes, g_ptr_array_unref);
}

void db_note(DbSalvage *s, const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            *p = '?'; /* names may hold newlines */
        }
    }
    g_ptr_array_add(s->notes, text);
}

/* ---- reading ----------------------------------------------------------------------------- */

enum { COL_INODE, COL_PARENT, COL_VERSION, COL_WRITER, COL_MTIME, COL_TYPE, COL_NAME, COL_KIND };

#define COLUMNS "SELECT inode, parent, version, writer, mtime, type, name, typeof(data) FROM tree "

typedef struct Reading {
    sqlite3 *db;
    sqlite3_stmt *up, *down, *one, *content;
    GHashTable *seen; /* inodes, as int64 keys owned by the table */
    DbSalvage *s;
    uint64_t content_bytes;
    guint tries;
    bool gaps;
} Reading;

static int prepare(Reading *r, Err *err)
{
    const struct {
        sqlite3_stmt **st;
        const char *sql;
    } all[] = {
        {&r->up, COLUMNS "WHERE inode > ?1 ORDER BY inode"},
        {&r->down, COLUMNS "WHERE inode > ?1 ORDER BY inode DESC"},
        {&r->one, COLUMNS "WHERE inode = ?1"},
        {&r->content, "SELECT CAST(data AS BLOB) FROM tree WHERE inode = ?1"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        if (sqlite3_prepare_v2(r->db, all[i].sql, -1, all[i].st, NULL) != SQLITE_OK) {
            return err_setf(err, -EBADMSG, "table tree cannot be read: %s", sqlite3_errmsg(r->db));
        }
    }
    return 0;
}

/* The name as a name: never empty, no slash, no NUL, short enough. *ret_changed when it is not what
 * the row says. Caller frees. */
static char *usable_name(const char *text, int size, int64_t inode, bool *ret_changed)
{
    g_autofree char *name = g_strndup(text != NULL ? text : "", text != NULL ? (gsize)size : 0);
    gsize was = text != NULL ? (gsize)size : 0;

    if (strlen(name) > CFS_NAME_MAX) {
        g_autofree char *cut = g_strndup(name, CFS_NAME_MAX - 32);

        g_free(name);
        name = g_strdup_printf("%s.inode-%" INO, cut, (uint64_t)inode);
    }
    g_strdelimit(name, "/", '_');
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        g_free(name);
        name = g_strdup_printf("inode-%" INO, (uint64_t)inode);
    }
    *ret_changed = strlen(name) != was || memcmp(name, text, was) != 0;
    return g_steal_pointer(&name);
}

/* NULL with *ret_bad: it cannot be read; NULL without: there is none. */
static GBytes *read_content(Reading *r, int64_t inode, bool *ret_bad)
{
    GBytes *data = NULL;
    int size;

    *ret_bad = false;
    (void)sqlite3_bind_int64(r->content, 1, inode);
    if (sqlite3_step(r->content) != SQLITE_ROW) {
        *ret_bad = true;
    } else {
        const void *blob = sqlite3_column_blob(r->content, 0);

        size = sqlite3_column_bytes(r->content, 0);
        if (size > 0 && ((uint32_t)size > db_limits.file_size_max ||
                         r->content_bytes + (uint64_t)size > db_limits.total_size_max)) {
            *ret_bad = true;
        } else if (size > 0) {
            data = g_bytes_new(blob, (gsize)size);
            r->content_bytes += (uint64_t)size;
        }
    }
    (void)sqlite3_reset(r->content);
    return data;
}

static void take_root(Reading *r, sqlite3_stmt *st)
{
    r->s->root = (MemdbRoot){
        .version = (uint64_t)sqlite3_column_int64(st, COL_VERSION),
        .writer = (uint32_t)sqlite3_column_int64(st, COL_WRITER),
        .mtime = (uint32_t)sqlite3_column_int64(st, COL_MTIME),
    };
}

/* What a row with a wrong type byte is: what it is used as. */
static EntryType guess_type(Reading *r, sqlite3_stmt *st, int64_t inode, const GBytes *data)
{
    uint8_t type = (uint8_t)sqlite3_column_int64(st, COL_TYPE);

    if (type == ENTRY_FILE || (type == ENTRY_DIR && data == NULL)) {
        return (EntryType)type;
    }
    db_note(r->s, "inode %" INO ": type %u%s: taken as a %s", (uint64_t)inode, type,
            data != NULL ? " with content" : "", data != NULL ? "file" : "directory");
    return data != NULL ? ENTRY_FILE : ENTRY_DIR;
}

static void take_row(Reading *r, sqlite3_stmt *st)
{
    int64_t inode = sqlite3_column_int64(st, COL_INODE);
    const char *text = (const char *)sqlite3_column_text(st, COL_NAME);
    g_autoptr(GBytes) data = NULL;
    g_autofree char *name = NULL;
    bool changed, bad = false;
    int64_t *key;

    if (g_hash_table_contains(r->seen, &inode)) {
        return;
    }
    key = g_new(int64_t, 1);
    *key = inode;
    (void)g_hash_table_add(r->seen, key);
    if (inode == 0) {
        take_root(r, st);
        return;
    }
    name = usable_name(text, sqlite3_column_bytes(st, COL_NAME), inode, &changed);
    if (changed) {
        db_note(r->s, "inode %" INO ": name '%s' becomes '%s'", (uint64_t)inode,
                text != NULL ? text : "", name);
    }
    if (strcmp((const char *)sqlite3_column_text(st, COL_KIND), "null") != 0) {
        data = read_content(r, inode, &bad);
    }
    if (bad) {
        db_note(r->s, "inode %" INO " '%s': its content cannot be read: gone", (uint64_t)inode,
                name);
        r->s->gone++;
        return;
    }
    EntryInit init = {
        .parent = (uint64_t)sqlite3_column_int64(st, COL_PARENT),
        .inode = (uint64_t)inode,
        .version = (uint64_t)sqlite3_column_int64(st, COL_VERSION),
        .writer = (uint32_t)sqlite3_column_int64(st, COL_WRITER),
        .mtime = (uint32_t)sqlite3_column_int64(st, COL_MTIME),
        .type = guess_type(r, st, inode, data),
        .name = name,
        .data = data,
    };
    g_ptr_array_add(r->s->kept, entry_new(&init));
}

/* Reads rows until the end or damage; *last: the inode of the newest row read. True at the end.
 * A file whose pages form a loop would never end: the order of inodes must not turn. */
static bool scan(Reading *r, sqlite3_stmt *st, int64_t after, int64_t *last, bool up)
{
    bool first = true;
    int step;

    (void)sqlite3_bind_int64(st, 1, after);
    for (;;) {
        int64_t inode;

        step = sqlite3_step(st);
        if (step != SQLITE_ROW || r->s->kept->len > db_limits.inodes_max) {
            break;
        }
        inode = sqlite3_column_int64(st, COL_INODE);
        if (!first && (up ? inode <= *last : inode >= *last)) {
            step = SQLITE_CORRUPT;
            break;
        }
        first = false;
        *last = inode;
        take_row(r, st);
    }
    (void)sqlite3_reset(st);
    return step == SQLITE_DONE;
}

/* Behind a damaged page: the next inode that can be read. */
static bool skip_gap(Reading *r, int64_t *last)
{
    for (guint i = 1; i <= GAP_TRIES_MAX && r->tries < TRIES_MAX; i++, r->tries++) {
        int64_t inode = *last + (int64_t)i;
        bool found;

        (void)sqlite3_bind_int64(r->one, 1, inode);
        found = sqlite3_step(r->one) == SQLITE_ROW;
        if (found) {
            take_row(r, r->one);
        }
        (void)sqlite3_reset(r->one);
        if (found) {
            *last = inode;
            return true;
        }
    }
    return false;
}

static void read_rows(Reading *r)
{
    int64_t last = -1;
    int64_t from_end = INT64_MAX;
    bool done = false;

    while (!done && !scan(r, r->up, last, &last, true)) {
        r->gaps = true;
        done = !skip_gap(r, &last);
    }
    if (r->gaps) {
        (void)scan(r, r->down, last, &from_end, false);
    }
}

int db_salvage_read(const char *path, DbSalvage *s, Err *err)
{
    StoreDbOptions opt = {.read_only = true, .damaged_ok = true};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    Reading r = {.seen = seen, .s = s};
    StoreDb *db = NULL;
    bool fresh;
    int64_t zero = 0;
    int rc = store_db_open(path, &opt, &db, &fresh, err);

    if (rc < 0) {
        return rc;
    }
    r.db = store_db_handle(db);
    rc = prepare(&r, err);
    if (rc == 0) {
        read_rows(&r);
        if (r.gaps) {
            db_note(s, "damaged pages: rows may be missing");
            s->gone++;
        }
        if (!g_hash_table_contains(seen, &zero) && s->kept->len > 0) {
            db_note(s, "no version record: a new one is made");
        }
    }
    sqlite3_finalize(r.up);
    sqlite3_finalize(r.down);
    sqlite3_finalize(r.one);
    sqlite3_finalize(r.content);
    (void)store_db_close(db, NULL); /* opened for reading: nothing can be lost */
    return rc < 0 ? err_wrapf(err, rc, "%s", path) : 0;
}

/* ---- settling ---------------------------------------------------------------------------- */

/* `losing`: inodes (borrowed from the entries) that go to `lost` at the end of the round. */
typedef struct Settle {
    DbSalvage *s;
    GHashTable *by_inode; /* inode -> position in s->kept + 1 */
    GHashTable *children; /* parent -> GArray of guint: positions */
    GHashTable *guests; /* file name -> GArray of guint: positions of files in guest directories */
    GHashTable *losing; /* of positions + 1 */
    bool changed;       /* something in the tree is not as it was */
} Settle;

static Entry *at(const Settle *t, guint position)
{
    return g_ptr_array_index(t->s->kept, position);
}

static Entry *by_inode(const Settle *t, const uint64_t *inode, guint *ret_position)
{
    guint found = GPOINTER_TO_UINT(g_hash_table_lookup(t->by_inode, inode));

    if (found == 0) {
        return NULL;
    }
    *ret_position = found - 1;
    return at(t, found - 1);
}

static void add_position(GHashTable *lists, gconstpointer key, guint position)
{
    GArray *list = g_hash_table_lookup(lists, key);

    if (list == NULL) {
        list = g_array_new(FALSE, FALSE, sizeof(guint));
        g_hash_table_insert(lists, (gpointer)key, list);
    }
    g_array_append_val(list, position);
}

/* nodes/NODE/TYPE, where configurations of guests are. */
static bool is_guest_dir(const Settle *t, const uint64_t *inode)
{
    guint position;
    const Entry *dir = by_inode(t, inode, &position);
    const Entry *node = dir != NULL ? by_inode(t, &dir->parent, &position) : NULL;
    const Entry *nodes = node != NULL ? by_inode(t, &node->parent, &position) : NULL;

    if (nodes == NULL || nodes->parent != 0 || strcmp(nodes->name, "nodes") != 0) {
        return false;
    }
    for (int type = CFS_GUEST_QEMU; type <= CFS_GUEST_LXC; type++) {
        if (strcmp(dir->name, cfs_guest_type_dir((CfsGuestType)type)) == 0) {
            return true;
        }
    }
    return false;
}

/* Keys live in the entries of `originals`, which stay until drop_index. */
static void index_kept(Settle *t, GPtrArray *originals)
{
    GDestroyNotify free_list = (GDestroyNotify)g_array_unref;

    t->by_inode = g_hash_table_new(g_int64_hash, g_int64_equal);
    t->children = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_list);
    t->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_list);
    t->losing = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < originals->len; i++) {
        const Entry *e = g_ptr_array_index(originals, i);

        add_position(t->children, &e->parent, i);
        g_hash_table_insert(t->by_inode, (gpointer)&e->inode, GUINT_TO_POINTER(i + 1));
    }
    for (guint i = 0; i < originals->len; i++) {
        const Entry *e = g_ptr_array_index(originals, i);

        if (e->type == ENTRY_FILE && is_guest_dir(t, &e->parent)) {
            add_position(t->guests, e->name, i);
        }
    }
}

static void drop_index(Settle *t)
{
    g_clear_pointer(&t->by_inode, g_hash_table_unref);
    g_clear_pointer(&t->children, g_hash_table_unref);
    g_clear_pointer(&t->guests, g_hash_table_unref);
    g_clear_pointer(&t->losing, g_hash_table_unref);
}

static bool is_losing(const Settle *t, guint position)
{
    return g_hash_table_contains(t->losing, GUINT_TO_POINTER(position + 1));
}

/* The entry and all below it; a loop of directories ends where it meets itself. */
static void lose(Settle *t, guint position)
{
    g_autoptr(GArray) todo = g_array_new(FALSE, FALSE, sizeof(guint));

    g_array_append_val(todo, position);
    while (todo->len > 0) {
        guint next = g_array_index(todo, guint, todo->len - 1);
        const GArray *below = g_hash_table_lookup(t->children, &at(t, next)->inode);

        g_array_set_size(todo, todo->len - 1);
        if (g_hash_table_add(t->losing, GUINT_TO_POINTER(next + 1)) && below != NULL) {
            g_array_append_vals(todo, below->data, below->len);
        }
    }
}

static void move_lost(Settle *t)
{
    GPtrArray *all = g_steal_pointer(&t->s->kept);

    t->s->kept = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    for (guint i = 0; i < all->len; i++) {
        g_ptr_array_add(is_losing(t, i) ? t->s->lost : t->s->kept,
                        entry_ref(g_ptr_array_index(all, i)));
    }
    g_ptr_array_unref(all);
}

/* Puts a changed copy in its place; its version follows at the end. */
static void replace(Settle *t, guint position, const EntryInit *init)
{
    Entry *old = at(t, position);

    g_ptr_array_index(t->s->kept, position) = entry_new(init);
    entry_unref(old);
    t->changed = true;
}

static void rename_duplicate(Settle *t, guint position)
{
    const Entry *e = at(t, position);
    EntryInit init = entry_init_from(e);
    g_autofree char *cut = g_strndup(e->name, CFS_NAME_MAX - 48);
    g_autofree char *name = g_strdup_printf("%s.duplicate-%" INO, cut, e->inode);

    db_note(t->s, "inode %" INO " '%s': renamed to '%s'", e->inode, e->name, name);
    init.name = name;
    init.version = VERSION_MARK;
    replace(t, position, &init);
}

/* Another entry of the list that has the same name and stays; `own` when there is none. */
static guint find_twin(const Settle *t, const GArray *list, guint own)
{
    for (guint i = 0; list != NULL && i < list->len; i++) {
        guint other = g_array_index(list, guint, i);

        if (other != own && !is_losing(t, other) &&
            strcmp(at(t, other)->name, at(t, own)->name) == 0) {
            return other;
        }
    }
    return own;
}

/* Of two that are in each other's way the older gets another name. */
static bool settle_duplicate(Settle *t, const MemdbFault *f, guint position)
{
    const Entry *e = at(t, position);
    const GArray *list = f->kind == MEMDB_FAULT_DUPLICATE_NAME
                             ? g_hash_table_lookup(t->children, &e->parent)
                             : g_hash_table_lookup(t->guests, e->name);
    guint twin = find_twin(t, list, position);

    if (twin == position) {
        return false; /* settled with another fault of this round */
    }
    rename_duplicate(t, at(t, twin)->version < e->version ? twin : position);
    return true;
}

/* One fault; true when something was done about it. */
static bool settle_fault(Settle *t, const MemdbFault *f)
{
    guint position = 0;
    const Entry *e = by_inode(t, &f->inode, &position);

    if (e == NULL || is_losing(t, position)) {
        return false;
    }
    if (f->kind == MEMDB_FAULT_DUPLICATE_NAME || f->kind == MEMDB_FAULT_DUPLICATE_VMID) {
        return settle_duplicate(t, f, position);
    }
    if (f->kind == MEMDB_FAULT_VERSION_RANGE && e->inode <= MEMDB_VERSION_MAX) {
        EntryInit init = entry_init_from(e);

        if (e->version == VERSION_MARK) {
            return false;
        }
        db_note(t->s, "inode %" INO " '%s': version %" INO " is out of range: reset", e->inode,
                e->name, e->version);
        init.version = VERSION_MARK;
        replace(t, position, &init);
        return true;
    }
    db_note(t->s, "%s: put to the lost files", f->text);
    lose(t, position);
    return true;
}

/* Marked entries get a version above all others; so does the tree, or the same version would stand
 * for two contents. */
static void number_changes(Settle *t)
{
    DbSalvage *s = t->s;
    uint64_t newest = s->root.version <= MEMDB_VERSION_MAX ? s->root.version : 0;

    for (guint i = 0; i < s->kept->len; i++) {
        const Entry *e = g_ptr_array_index(s->kept, i);

        newest = e->inode <= MEMDB_VERSION_MAX ? MAX(newest, e->inode) : newest;
        newest = e->version <= MEMDB_VERSION_MAX ? MAX(newest, e->version) : newest;
    }
    s->root.version = newest + 1;
    s->root.mtime = db_now();
    for (guint i = 0; i < s->kept->len; i++) {
        Entry *e = g_ptr_array_index(s->kept, i);

        if (e->version == VERSION_MARK) {
            EntryInit init = entry_init_from(e);

            init.version = s->root.version;
            g_ptr_array_index(s->kept, i) = entry_new(&init);
            entry_unref(e);
        }
    }
}

/* One look at the whole: what loads, and which faults it has. A marked version is no fault yet. */
static int look(Settle *t, GArray *faults)
{
    g_autoptr(Memdb) tree = memdb_new(NULL, NULL);
    g_autoptr(GPtrArray) copies = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    MemdbRoot root = t->s->root;

    root.version = MIN(root.version, MEMDB_VERSION_MAX);
    for (guint i = 0; i < t->s->kept->len; i++) {
        Entry *e = g_ptr_array_index(t->s->kept, i);
        EntryInit init = entry_init_from(e);

        init.version = e->version == VERSION_MARK ? 1 : e->version;
        g_ptr_array_add(copies, e->version == VERSION_MARK ? entry_new(&init) : entry_ref(e));
    }
    return memdb_load(tree, copies, &root, (MonoTime){0}, faults, NULL);
}

/* One round; false when there was nothing to do. */
static bool settle_round(Settle *t, Err *err, int *ret)
{
    g_autoptr(GArray) faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    g_autoptr(GPtrArray) originals = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    bool done = false;
    int loads = look(t, faults);

    for (guint i = 0; i < t->s->kept->len; i++) {
        g_ptr_array_add(originals, entry_ref(g_ptr_array_index(t->s->kept, i)));
    }
    index_kept(t, originals);
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *f = &g_array_index(faults, MemdbFault, i);

        if (f->inode != 0 && (f->fatal || f->kind == MEMDB_FAULT_CYCLE)) {
            done = settle_fault(t, f) || done;
        }
    }
    if (g_hash_table_size(t->losing) > 0) {
        t->changed = true;
        move_lost(t);
    }
    drop_index(t);
    if (!done && loads < 0) {
        *ret = err_setf(err, -E2BIG, "the tree is too large to be settled");
    }
    return done;
}

int db_salvage_settle(DbSalvage *s, Err *err)
{
    Settle t = {.s = s};
    guint before = s->notes->len;
    int rc = 0;

    while (settle_round(&t, err, &rc)) {
    }
    if (rc == 0 && (t.changed || before > 0 || s->root.version > MEMDB_VERSION_MAX)) {
        number_changes(&t);
    }
    return rc;
}
