/* SPDX-License-Identifier: Apache-2.0 */
/* pmxcfs-db check, stat, dump, compare: what a database holds, for people and for programs. */
#include "cli/pmxcfs_db.h"

#include "lib/base/hextext.h"
#include "lib/base/jsontext.h"
#include "pmxcfs/io/store_db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INO G_GUINT64_FORMAT

/* Problems of pages that are listed; more say no more. */
#define PAGE_FAULTS_MAX "100"

static void print_out(const GString *out)
{
    (void)fwrite(out->str, 1, out->len, stdout); /* main looks at the stream in the end */
}

static void json_text(GString *out, const char *key, const char *value)
{
    json_append_string(out, key);
    g_string_append(out, ": ");
    json_append_string(out, value);
}

/* Control characters and invalid UTF-8 of a hostile name must not reach a terminal. */
static char *printable(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);

    for (char *p = valid; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }
    return valid;
}

/* ---- check ------------------------------------------------------------------------------- */

typedef struct Finding {
    char *kind;
    bool fatal;
    char *text;
} Finding;

static void finding_clear(gpointer p)
{
    g_free(((Finding *)p)->kind);
    g_free(((Finding *)p)->text);
}

static void add_finding(GArray *found, const char *kind, bool fatal, const char *text)
{
    Finding f = {g_strdup(kind), fatal, printable(text)};

    g_array_append_val(found, f);
}

/* Every damaged page that SQLite can name. */
static void find_bad_pages(const char *path, const char *reason, GArray *found)
{
    StoreDbOptions opt = {.read_only = true, .damaged_ok = true};
    StoreDb *db = NULL;
    sqlite3_stmt *st = NULL;
    bool fresh;
    guint before = found->len;

    if (store_db_open(path, &opt, &db, &fresh, NULL) < 0) {
        add_finding(found, "database", true, reason);
        return;
    }
    if (sqlite3_prepare_v2(store_db_handle(db), "PRAGMA integrity_check(" PAGE_FAULTS_MAX ")", -1,
                           &st, NULL) == SQLITE_OK) {
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(st, 0);
            g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);

            for (char **line = lines; *line != NULL; line++) {
                if (strcmp(*line, "ok") != 0 && !g_str_has_prefix(*line, "***")) {
                    add_finding(found, "page", true, *line);
                }
            }
        }
    }
    sqlite3_finalize(st);
    if (found->len == before) {
        add_finding(found, "database", true, reason);
    }
    (void)store_db_close(db, NULL); /* opened for reading: nothing can be lost */
}

static int find_faults(const char *path, GArray *found, DbTree *tree, Err *err)
{
    int rc = db_tree_load(path, tree, err);

    if (rc == -EBADMSG || rc == -E2BIG) {
        find_bad_pages(path, err_text(err), found);
        err_clear(err);
        return 0;
    }
    for (guint i = 0; rc == 0 && i < tree->faults->len; i++) {
        const MemdbFault *f = &g_array_index(tree->faults, MemdbFault, i);

        if (f->kind != MEMDB_FAULT_ROOT_MISSING || tree->entries->len > 0) {
            add_finding(found, memdb_fault_name(f->kind), f->fatal, f->text);
        }
    }
    return rc;
}

static guint count_fatal(const GArray *found)
{
    guint n = 0;

    for (guint i = 0; i < found->len; i++) {
        n += g_array_index(found, Finding, i).fatal;
    }
    return n;
}

static void print_check_json(const char *path, const GArray *found)
{
    g_autoptr(GString) out = g_string_new("{");

    json_text(out, "database", path);
    g_string_append_printf(out, ", \"usable\": %s, \"faults\": [",
                           count_fatal(found) == 0 ? "true" : "false");
    for (guint i = 0; i < found->len; i++) {
        const Finding *f = &g_array_index(found, Finding, i);

        g_string_append(out, i > 0 ? ",\n  {" : "\n  {");
        json_text(out, "kind", f->kind);
        g_string_append_printf(out, ", \"fatal\": %s, ", f->fatal ? "true" : "false");
        json_text(out, "text", f->text);
        g_string_append_c(out, '}');
    }
    g_string_append(out, "]}\n");
    print_out(out);
}

static void print_check_text(const char *path, const GArray *found, const DbTree *tree)
{
    guint fatal = count_fatal(found);

    for (guint i = 0; i < found->len; i++) {
        const Finding *f = &g_array_index(found, Finding, i);

        printf("%s: %s: %s\n", f->fatal ? "error" : "warning", f->kind, f->text);
    }
    if (found->len == 0) {
        printf("%s: %u entries, version %" INO ", no faults\n", path, tree->entries->len,
               tree->root.version);
    } else if (fatal == 0) {
        printf("%s: usable, with %u warnings\n", path, found->len);
    } else {
        printf(
            "%s: not usable: %u errors, %u warnings; 'pmxcfs-db repair' keeps what can be kept\n",
            path, fatal, found->len - fatal);
    }
}

int db_verb_check(char **operands, Err *err)
{
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(Finding));
    g_auto(DbTree) tree = {0};
    int lock = -1;
    bool json;
    int rc = cli_wants_json(&json, err);

    (void)operands;
    g_array_set_clear_func(found, finding_clear);
    rc = rc < 0 ? rc : db_lock(db_path(), false, &lock, err);
    rc = rc < 0 ? rc : find_faults(db_path(), found, &tree, err);
    if (rc == 0) {
        if (json) {
            print_check_json(db_path(), found);
        } else {
            print_check_text(db_path(), found, &tree);
        }
        rc = found->len > 0 ? DB_EXIT_FOUND : CLI_EXIT_OK;
    }
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- stat -------------------------------------------------------------------------------- */

typedef struct Stat {
    int64_t file_bytes, wal_bytes, page_size, pages, free_pages, own_values;
    guint files, dirs;
    uint64_t content_bytes;
    uint32_t largest_bytes;
    char *largest;
    char checksum[2 * ENTRY_DIGEST_SIZE + 1];
} Stat;

static int64_t size_of(const char *path, const char *suffix)
{
    g_autofree char *name = g_strconcat(path, suffix, NULL);
    struct stat st;

    return stat(name, &st) == 0 ? st.st_size : 0;
}

static int64_t pragma(StoreDb *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t value = 0;

    if (sqlite3_prepare_v2(store_db_handle(db), sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW) {
        value = sqlite3_column_int64(st, 0);
    }
    sqlite3_finalize(st);
    return value;
}

static void count_entries(const DbTree *tree, Stat *s)
{
    const Entry *largest = NULL;
    g_autofree char *hex = NULL;
    uint8_t csum[ENTRY_DIGEST_SIZE];

    for (guint i = 0; i < tree->entries->len; i++) {
        const Entry *e = g_ptr_array_index(tree->entries, i);

        s->files += e->type == ENTRY_FILE;
        s->dirs += e->type == ENTRY_DIR;
        s->content_bytes += e->size;
        if (e->size > 0 && (largest == NULL || e->size > largest->size)) {
            largest = e;
        }
    }
    if (largest != NULL) {
        g_autofree char *path = memdb_path(tree->tree, largest->inode);

        s->largest = printable(path != NULL ? path : largest->name);
        s->largest_bytes = largest->size;
    }
    memdb_checksum(tree->tree, csum);
    hex = hextext_format(csum, sizeof csum);
    g_strlcpy(s->checksum, hex, sizeof s->checksum);
}

static int collect_stat(const DbTree *tree, Stat *s, Err *err)
{
    StoreDbOptions opt = {.read_only = true};
    StoreDb *db = NULL;
    GHashTable *meta;
    bool fresh;
    int rc = store_db_open(db_path(), &opt, &db, &fresh, err);

    if (rc < 0) {
        return rc;
    }
    s->file_bytes = size_of(db_path(), "");
    s->wal_bytes = size_of(db_path(), "-wal");
    s->page_size = pragma(db, "PRAGMA page_size");
    s->pages = pragma(db, "PRAGMA page_count");
    s->free_pages = pragma(db, "PRAGMA freelist_count");
    meta = store_db_take_meta(db);
    s->own_values = g_hash_table_size(meta);
    g_hash_table_unref(meta);
    count_entries(tree, s);
    return store_db_close(db, err);
}

static void print_stat_text(const DbTree *t, const Stat *s)
{
    printf("database      %s\n", db_path());
    printf("size          %" G_GINT64_FORMAT " bytes, %" G_GINT64_FORMAT
           " pages of %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT " free\n",
           s->file_bytes, s->pages, s->page_size, s->free_pages);
    printf("not folded in %" G_GINT64_FORMAT " bytes (write-ahead log)\n", s->wal_bytes);
    printf("tree version  %" INO ", writer %u, mtime %u\n", t->root.version, t->root.writer,
           t->root.mtime);
    printf("checksum      %s\n", s->checksum);
    printf("entries       %u files, %u directories\n", s->files, s->dirs);
    printf("content       %" INO " bytes", s->content_bytes);
    if (s->largest != NULL) {
        printf(", largest %u: %s", s->largest_bytes, s->largest);
    }
    printf("\nown values    %" G_GINT64_FORMAT "\n", s->own_values);
}

static void print_stat_json(const DbTree *t, const Stat *s)
{
    g_autoptr(GString) out = g_string_new("{");

    json_text(out, "database", db_path());
    g_string_append_printf(out,
                           ",\n \"file_bytes\": %" G_GINT64_FORMAT
                           ", \"wal_bytes\": %" G_GINT64_FORMAT ", \"page_size\": %" G_GINT64_FORMAT
                           ", \"pages\": %" G_GINT64_FORMAT ", \"free_pages\": %" G_GINT64_FORMAT
                           ",\n \"version\": %" INO ", \"writer\": %u, \"mtime\": %u, ",
                           s->file_bytes, s->wal_bytes, s->page_size, s->pages, s->free_pages,
                           t->root.version, t->root.writer, t->root.mtime);
    json_text(out, "checksum", s->checksum);
    g_string_append_printf(out,
                           ",\n \"files\": %u, \"directories\": %u, \"content_bytes\": %" INO
                           ", \"largest_bytes\": %u, ",
                           s->files, s->dirs, s->content_bytes, s->largest_bytes);
    json_text(out, "largest", s->largest != NULL ? s->largest : "");
    g_string_append_printf(out, ", \"own_values\": %" G_GINT64_FORMAT "}\n", s->own_values);
    print_out(out);
}

int db_verb_stat(char **operands, Err *err)
{
    g_auto(DbTree) tree = {0};
    Stat s = {0};
    int lock = -1;
    bool json;
    int rc = cli_wants_json(&json, err);

    (void)operands;
    rc = rc < 0 ? rc : db_lock(db_path(), false, &lock, err);
    rc = rc < 0 ? rc : db_tree_load_usable(db_path(), &tree, err);
    rc = rc < 0 ? rc : collect_stat(&tree, &s, err);
    if (rc == 0 && json) {
        print_stat_json(&tree, &s);
    } else if (rc == 0) {
        print_stat_text(&tree, &s);
    }
    g_free(s.largest);
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- dump -------------------------------------------------------------------------------- */

/* Is `path` one of the operands, or below one? No operands: all are. */
static bool selected(char **operands, const char *path)
{
    for (char **op = operands; *op != NULL; op++) {
        size_t n = strlen(*op);

        while (n > 0 && (*op)[n - 1] == '/') {
            n--;
        }
        if (n == 0 || (strncmp(path, *op, n) == 0 && (path[n] == '\0' || path[n] == '/'))) {
            return true;
        }
    }
    return *operands == NULL;
}

static void dump_json(GString *out, const char *path, Entry *e)
{
    g_autofree char *digest = hextext_format(entry_digest(e), ENTRY_DIGEST_SIZE);

    g_string_append_printf(out,
                           "{\"inode\": %" INO ", \"parent\": %" INO ", \"version\": %" INO
                           ", \"writer\": %u, \"mtime\": %u, \"type\": \"%s\", \"size\": %u, ",
                           e->inode, e->parent, e->version, e->writer, e->mtime,
                           e->type == ENTRY_DIR ? "directory" : "file", e->size);
    json_text(out, "path", path);
    g_string_append_printf(out, ", \"digest\": \"%s\"", digest);
    if (db_content && e->type == ENTRY_FILE) {
        gsize size = 0;
        const guchar *data = e->data != NULL ? g_bytes_get_data(e->data, &size) : NULL;
        g_autofree char *text = size > 0 ? g_base64_encode(data, size) : g_strdup("");

        g_string_append_printf(out, ", \"content\": \"%s\"", text);
    }
    g_string_append_c(out, '}');
}

static void dump_entry(GString *out, const char *path, Entry *e, bool json, guint *count)
{
    if (json) {
        g_string_append(out, *count > 0 ? ",\n " : "\n ");
        dump_json(out, path, e);
    } else {
        g_autofree char *shown = printable(path);

        g_string_append_printf(out, "%s %8" INO " %8" INO " %8" INO " %3u %10u %8u  %s\n",
                               e->type == ENTRY_DIR ? "d" : "-", e->inode, e->parent, e->version,
                               e->writer, e->mtime, e->size, shown);
    }
    (*count)++;
}

typedef struct Dump {
    GString *out;
    char **operands;
    bool json;
    guint count;
    GHashTable *seen; /* of Entry* that a path led to */
} Dump;

static void dump_visit(void *ctx, const char *path, Entry *e)
{
    Dump *d = ctx;

    (void)g_hash_table_add(d->seen, e);
    if (selected(d->operands, path)) {
        dump_entry(d->out, path, e, d->json, &d->count);
    }
}

/* Entries that no path leads to: directories in a cycle and what is in them. */
static void dump_unreachable(const DbTree *t, Dump *d)
{
    for (guint i = 0; i < t->entries->len; i++) {
        Entry *e = g_ptr_array_index(t->entries, i);

        if (!g_hash_table_contains(d->seen, e)) {
            g_autofree char *name = g_strdup_printf("(unreachable)/%s", e->name);

            dump_entry(d->out, name, e, d->json, &d->count);
        }
    }
}

int db_verb_dump(char **operands, Err *err)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_auto(DbTree) tree = {0};
    Dump d = {.out = out, .operands = operands, .seen = seen};
    int lock = -1;
    int rc = cli_wants_json(&d.json, err);

    rc = rc < 0 ? rc : db_lock(db_path(), false, &lock, err);
    rc = rc < 0 ? rc : db_tree_load_usable(db_path(), &tree, err);
    if (rc == 0) {
        g_string_append(out, d.json ? "[" : "");
        db_walk(tree.tree, dump_visit, &d);
        if (*operands == NULL) {
            dump_unreachable(&tree, &d);
        }
        g_string_append(out, d.json ? "]\n" : "");
        if (d.count == 0 && *operands != NULL) {
            rc = err_setf(err, -ENOENT, "no entry at or below the given paths");
        } else {
            print_out(out);
        }
    }
    db_unlock(lock);
    return db_exit(rc, err);
}

/* ---- compare ----------------------------------------------------------------------------- */

typedef struct PathIndex {
    GTree *paths; /* path -> Entry *[2], borrowed from the trees */
    gsize at;
} PathIndex;

static void index_visit(void *ctx, const char *path, Entry *e)
{
    PathIndex *index = ctx;
    Entry **pair = g_tree_lookup(index->paths, path);

    if (pair == NULL) {
        pair = g_new0(Entry *, 2);
        g_tree_insert(index->paths, g_strdup(path), pair);
    }
    pair[index->at] = e;
}

static gint by_bytes(gconstpointer a, gconstpointer b, gpointer unused)
{
    (void)unused;
    return strcmp(a, b);
}

static bool same_content(const Entry *a, const Entry *b)
{
    if (a->type != b->type || a->size != b->size) {
        return false;
    }
    return a->data == b->data ||
           (a->data != NULL && b->data != NULL && g_bytes_equal(a->data, b->data));
}

typedef struct Compare {
    GString *out;
    bool json;
    guint only_a, only_b, content, fields;
} Compare;

static void list_fields(GString *out, const Entry *a, const Entry *b)
{
    const char *sep = "";
    const struct {
        const char *name;
        bool differs;
    } fields[] = {
        {"inode", a->inode != b->inode},
        {"version", a->version != b->version},
        {"writer", a->writer != b->writer},
        {"mtime", a->mtime != b->mtime},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (fields[i].differs) {
            g_string_append_printf(out, "%s%s", sep, fields[i].name);
            sep = ", ";
        }
    }
}

static gboolean compare_path(gpointer key, gpointer value, gpointer ctx)
{
    const Entry *a = ((Entry **)value)[0];
    const Entry *b = ((Entry **)value)[1];
    g_autoptr(GString) fields = g_string_new(NULL);
    g_autofree char *shown = printable(key);
    Compare *c = ctx;
    guint so_far = c->only_a + c->only_b + c->content + c->fields;
    const char *kind;
    guint *counter;

    if (a != NULL && b != NULL) {
        list_fields(fields, a, b);
    }
    if (b == NULL) {
        kind = "only-first";
        counter = &c->only_a;
    } else if (a == NULL) {
        kind = "only-second";
        counter = &c->only_b;
    } else if (!same_content(a, b)) {
        kind = "content";
        counter = &c->content;
    } else if (fields->len > 0) {
        kind = "fields";
        counter = &c->fields;
    } else {
        return FALSE;
    }
    (*counter)++;
    if (c->json) {
        g_string_append(c->out, so_far > 0 ? ",\n  {" : "\n  {");
        json_text(c->out, "difference", kind);
        g_string_append(c->out, ", ");
        json_text(c->out, "path", key);
        g_string_append(c->out, ", ");
        json_text(c->out, "fields", fields->str);
        g_string_append_c(c->out, '}');
    } else {
        g_string_append_printf(c->out, "%-11s %s%s%s%s\n", kind, shown, fields->len > 0 ? " (" : "",
                               fields->str, fields->len > 0 ? ")" : "");
    }
    return FALSE;
}

static int compare_trees(const DbTree *a, const DbTree *b, bool json)
{
    g_autoptr(GTree) paths = g_tree_new_full(by_bytes, NULL, g_free, g_free);
    g_autoptr(GString) out = g_string_new(NULL);
    Compare c = {.out = out, .json = json};
    bool roots = a->root.version != b->root.version || a->root.writer != b->root.writer ||
                 a->root.mtime != b->root.mtime;
    bool differ;

    db_walk(a->tree, index_visit, &(PathIndex){paths, 0});
    db_walk(b->tree, index_visit, &(PathIndex){paths, 1});
    if (json) {
        g_string_append_printf(
            out, "{\"first_version\": %" INO ", \"second_version\": %" INO ", \"differences\": [",
            a->root.version, b->root.version);
    }
    g_tree_foreach(paths, compare_path, &c);
    differ = roots || c.only_a + c.only_b + c.content + c.fields > 0;
    if (json) {
        g_string_append_printf(out, "], \"equal\": %s}\n", differ ? "false" : "true");
    } else if (differ) {
        g_string_append_printf(out,
                               "versions %" INO " and %" INO
                               "; %u only in the first, %u only in the second, %u with other"
                               " content, %u with other fields\n",
                               a->root.version, b->root.version, c.only_a, c.only_b, c.content,
                               c.fields);
    } else {
        g_string_append_printf(out, "equal, version %" INO "\n", a->root.version);
    }
    print_out(out);
    return differ ? DB_EXIT_FOUND : CLI_EXIT_OK;
}

/* With one operand the database is the first of the two. */
int db_verb_compare(char **operands, Err *err)
{
    const char *first = operands[1] != NULL ? operands[0] : db_path();
    const char *second = operands[1] != NULL ? operands[1] : operands[0];
    g_auto(DbTree) a = {0};
    g_auto(DbTree) b = {0};
    int lock_a = -1;
    int lock_b = -1;
    bool json;
    int rc = cli_wants_json(&json, err);

    rc = rc < 0 ? rc : db_lock(first, false, &lock_a, err);
    rc = rc < 0 ? rc : db_lock(second, false, &lock_b, err);
    rc = rc < 0 ? rc : db_tree_load_usable(first, &a, err);
    rc = rc < 0 ? rc : db_tree_load_usable(second, &b, err);
    rc = rc < 0 ? rc : compare_trees(&a, &b, json);
    db_unlock(lock_a);
    db_unlock(lock_b);
    return db_exit(rc, err);
}
