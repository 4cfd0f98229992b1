/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/storagecfg_edit.h"

#include "lib/conf/propstring.h"
#include "lib/conf/sectionlines.h"
#include "lib/conf/storagecfg.h"

#include <errno.h>
#include <string.h>

#define LOCAL_ID "local"
#define DIRS     "dir nfs cifs cephfs btrfs"
#define CONTENTS "images rootdir vztmpl iso backup snippets import none"

/* Where the data is never changes under those who use it: `fixed`. */
static const StorageProp props_table[] = {
    {"path", STORAGE_PROP_PATH, DIRS, true, "folder that holds it"},
    {"content", STORAGE_PROP_CONTENT, NULL, false, "what may be kept on it: " CONTENTS},
    {"nodes", STORAGE_PROP_NODES, NULL, false, "nodes that have it; by default all"},
    {"disable", STORAGE_PROP_FLAG, NULL, false, "nobody uses it"},
    {"shared", STORAGE_PROP_FLAG, "dir btrfs lvm", false, "all nodes see the same volumes"},
    {"prune-backups", STORAGE_PROP_TEXT, NULL, false, "which backups are kept"},
    {"max-protected-backups", STORAGE_PROP_NUMBER, NULL, false, "protected backups of a guest"},
    {"bwlimit", STORAGE_PROP_TEXT, NULL, false, "limits in KiB/s: clone=,default=,move="},
    {"format", STORAGE_PROP_FORMAT, DIRS, false, "of new disks: raw, qcow2, vmdk"},
    {"preallocation", STORAGE_PROP_PREALLOCATION, DIRS, false,
     "of new disks: off, metadata, falloc, full"},
    {"content-dirs", STORAGE_PROP_TEXT, DIRS, false, "other folders: iso=isos,images=disks"},
    {"snapshot-as-volume-chain", STORAGE_PROP_FLAG, NULL, true, "snapshots as chained volumes"},
    {"mkdir", STORAGE_PROP_FLAG, DIRS, false, "make missing folders; by default on"},
    {"create-base-path", STORAGE_PROP_FLAG, DIRS, false, "make the folder itself; by default on"},
    {"create-subdirs", STORAGE_PROP_FLAG, DIRS, false, "make folders in it; by default on"},
    {"is_mountpoint", STORAGE_PROP_MOUNTPOINT, "dir btrfs", false,
     "use it only while something is mounted there (or at this path)"},
    {"server", STORAGE_PROP_TEXT, "nfs cifs pbs esxi", true, "host that has it"},
    {"export", STORAGE_PROP_TEXT, "nfs", true, "path on the server"},
    {"options", STORAGE_PROP_TEXT, "nfs cifs", false, "options of mount"},
    {"share", STORAGE_PROP_TEXT, "cifs", true, "share on the server"},
    {"username", STORAGE_PROP_TEXT, "cifs cephfs rbd pbs esxi", false, "user there"},
    {"domain", STORAGE_PROP_TEXT, "cifs", false, "domain of the user"},
    {"smbversion", STORAGE_PROP_TEXT, "cifs", false, "version of the protocol"},
    {"subdir", STORAGE_PROP_TEXT, "cifs cephfs", false, "folder on the server"},
    {"monhost", STORAGE_PROP_TEXT, "cephfs rbd", false, "monitors"},
    {"fuse", STORAGE_PROP_FLAG, "cephfs", false, "mount through FUSE"},
    {"fs-name", STORAGE_PROP_TEXT, "cephfs", true, "file system"},
    {"nocow", STORAGE_PROP_FLAG, "btrfs", false, "no copy on write for images"},
    {"vgname", STORAGE_PROP_TEXT, "lvm lvmthin", true, "volume group"},
    {"base", STORAGE_PROP_TEXT, "lvm", true, "volume below the group"},
    {"saferemove", STORAGE_PROP_FLAG, "lvm", false, "overwrite what is freed"},
    {"saferemove_throughput", STORAGE_PROP_TEXT, "lvm", false, "limit of that"},
    {"tagged_only", STORAGE_PROP_FLAG, "lvm", false, "only volumes with our tag"},
    {"thinpool", STORAGE_PROP_TEXT, "lvmthin", true, "thin pool"},
    {"pool", STORAGE_PROP_TEXT, "zfspool zfs rbd", true, "pool"},
    {"blocksize", STORAGE_PROP_TEXT, "zfspool zfs", false, "of new volumes"},
    {"sparse", STORAGE_PROP_FLAG, "zfspool zfs", false, "take space when it is used"},
    {"mountpoint", STORAGE_PROP_PATH, "zfspool", false, "of the pool"},
    {"data-pool", STORAGE_PROP_TEXT, "rbd", true, "pool for the data"},
    {"namespace", STORAGE_PROP_TEXT, "rbd pbs", true, "namespace"},
    {"krbd", STORAGE_PROP_FLAG, "rbd", false, "through the kernel"},
    {"portal", STORAGE_PROP_TEXT, "iscsi iscsidirect zfs", true, "address of the target"},
    {"target", STORAGE_PROP_TEXT, "iscsi iscsidirect zfs", true, "name of the target"},
    {"iscsiprovider", STORAGE_PROP_TEXT, "zfs", true, "what serves the target"},
    {"datastore", STORAGE_PROP_TEXT, "pbs", true, "datastore"},
    {"port", STORAGE_PROP_NUMBER, "pbs", false, "by default 8007"},
    {"fingerprint", STORAGE_PROP_TEXT, "pbs", false, "of its certificate"},
};

size_t storage_prop_count(void)
{
    return G_N_ELEMENTS(props_table);
}

const StorageProp *storage_prop_at(size_t i)
{
    return &props_table[i];
}

/* ---------------------------------------------------------------- checking */

static bool in_words(const char *words, const char *word)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);

    return g_strv_contains((const char *const *)list, word);
}

static const StorageProp *find_prop(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(props_table); i++) {
        if (strcmp(props_table[i].name, name) == 0) {
            return &props_table[i];
        }
    }
    return NULL;
}

static int check_list(const StorageProp *p, const char *value, const char *words, Err *err)
{
    g_auto(GStrv) list = g_strsplit_set(value, ",; ", -1);
    guint n = 0;

    for (char **word = list; *word != NULL; word++) {
        bool ok = words != NULL ? in_words(words, *word)
                                : (*word)[strspn(*word, "abcdefghijklmnopqrstuvwxyz"
                                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                        "0123456789-")] == '\0';
        n += **word != '\0';
        if (**word != '\0' && !ok) {
            return err_setf(err, -EINVAL, "%s: '%.40s' is not one of %s", p->name, *word,
                            words != NULL ? words : "names of nodes");
        }
    }
    return n > 0 ? 0 : err_setf(err, -EINVAL, "%s: the list is empty", p->name);
}

static int check_path(const StorageProp *p, const char *value, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(value, "/", -1);

    if (value[0] != '/') {
        return err_setf(err, -EINVAL, "%s: '%.80s' is not an absolute path", p->name, value);
    }
    for (char **part = parts; *part != NULL; part++) {
        if (strcmp(*part, "..") == 0 || strcmp(*part, ".") == 0) {
            return err_setf(err, -EINVAL, "%s: '%.80s' must not have '.' or '..'", p->name, value);
        }
    }
    return 0;
}

static int check_word(const StorageProp *p, const char *value, const char *words, Err *err)
{
    return in_words(words, value) && value[0] != '\0'
               ? 0
               : err_setf(err, -EINVAL, "%s: '%.40s' is not one of %s", p->name, value, words);
}

static int check_value(const StorageProp *p, const char *value, Err *err)
{
    if (value[0] == '\0' || strpbrk(value, "\r\n") != NULL || !g_utf8_validate(value, -1, NULL)) {
        return err_setf(err, -EINVAL, "%s: needs a value of one line", p->name);
    }
    switch (p->kind) {
    case STORAGE_PROP_TEXT:
        return 0;
    case STORAGE_PROP_FLAG:
        return propstring_parse_bool(value) >= 0
                   ? 0
                   : err_setf(err, -EINVAL, "%s: '%.40s' is not 1 or 0", p->name, value);
    case STORAGE_PROP_NUMBER:
        return value[strspn(value, "0123456789")] == '\0' && strlen(value) < 10
                   ? 0
                   : err_setf(err, -EINVAL, "%s: '%.40s' is no number", p->name, value);
    case STORAGE_PROP_PATH:
        return check_path(p, value, err);
    case STORAGE_PROP_CONTENT:
        return check_list(p, value, CONTENTS, err);
    case STORAGE_PROP_NODES:
        return check_list(p, value, NULL, err);
    case STORAGE_PROP_FORMAT:
        return check_word(p, value, "raw qcow2 vmdk", err);
    case STORAGE_PROP_PREALLOCATION:
        return check_word(p, value, "off metadata falloc full", err);
    case STORAGE_PROP_MOUNTPOINT:
        return propstring_parse_bool(value) >= 0 ? 0 : check_path(p, value, err);
    }
    return 0;
}

/* Any property that this kind of storage has; `fixed` ones only when it is new. */
static int check_prop(const char *type, const char *name, const char *value, bool add, Err *err)
{
    const StorageProp *p = find_prop(name);

    if (p == NULL || (p->types != NULL && !in_words(p->types, type))) {
        return err_setf(err, -EINVAL, "storages of type '%s' have no property '%.40s'", type, name);
    }
    if (p->fixed && !add) {
        return err_setf(err, -EINVAL,
                        "%s: cannot change: it says where the data is. Add a second storage", name);
    }
    return value != NULL ? check_value(p, value, err) : 0;
}

static int check_props(const char *type, const GPtrArray *props, bool add, Err *err)
{
    int r = 0;

    for (guint i = 0; r == 0 && i + 1 < props->len; i += 2) {
        r = check_prop(type, props->pdata[i], props->pdata[i + 1], add, err);
    }
    return r;
}

static int check_id(const char *id, Err *err)
{
    size_t len = strlen(id);
    bool ok = len >= 2 && len <= 64 && g_ascii_isalpha(id[0]) && g_ascii_isalnum(id[len - 1]);

    for (size_t i = 0; ok && i < len; i++) {
        ok = g_ascii_isalnum(id[i]) || strchr("._-", id[i]) != NULL;
    }
    return ok ? 0
              : err_setf(err, -EINVAL,
                         "'%.80s' is not a storage name: a letter, then letters, digits, '.', '_', "
                         "'-', at least 2 characters",
                         id);
}

/* ----------------------------------------------------------------- editing */

/* Nothing is written that we could not use ourselves. */
static int check_result(const char *text, const char *id, Err *err)
{
    g_autoptr(StorageCfg) cfg = NULL;
    const Storage *s;
    int r = storagecfg_parse(text, strlen(text), &cfg, err);

    return r == 0 ? storagecfg_get(cfg, id, &s, err) : r;
}

static int find_type(const char *text, const char *id, char **ret, Err *err)
{
    g_autoptr(StorageCfg) cfg = NULL;
    int r = storagecfg_parse(text, strlen(text), &cfg, err);

    for (guint i = 0; r == 0 && i < storagecfg_count(cfg); i++) {
        const Storage *s = storagecfg_at(cfg, i);
        if (strcmp(s->id, id) == 0) {
            *ret = g_strdup(s->type);
            return 0;
        }
    }
    return r < 0 ? r : err_setf(err, -ENOENT, "storage '%.64s' does not exist", id);
}

/* A section as the reader sees it, in the lines of the text: [first, end). */
typedef struct Section {
    const SectionLinesEntry *entry;
    guint first; /* its header */
    guint end;   /* after its last property and the comments below it */
} Section;

static bool is_indented(const char *line)
{
    return (line[0] == ' ' || line[0] == '\t') && line[strspn(line, " \t\r")] != '\0';
}

static bool find_section(const SectionLines *text, char *const *lines, const char *id, Section *ret)
{
    for (guint i = 0; i < text->sections->len; i++) {
        const SectionLinesEntry *e = text->sections->pdata[i];
        guint end = e->line; /* counted from 1, so this is the index of the next */

        if (strcmp(e->id, id) != 0) {
            continue;
        }
        if (e->lines->len > 0) {
            end = ((const SectionLine *)e->lines->pdata[e->lines->len - 1])->line;
        }
        while (lines[end] != NULL && is_indented(lines[end])) {
            end++;
        }
        *ret = (Section){.entry = e, .first = e->line - 1, .end = end};
        return true;
    }
    return false;
}

static void append_prop(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, "\t%s %s\n", key, value);
}

static bool is_given(const GPtrArray *props, const char *key)
{
    for (guint i = 0; i + 1 < props->len; i += 2) {
        if (strcmp(props->pdata[i], key) == 0) {
            return true;
        }
    }
    return false;
}

/* The key of the property in line `i`, NULL when it holds none. */
static const char *key_in_line(const SectionLinesEntry *e, guint i)
{
    for (guint k = 0; k < e->lines->len; k++) {
        const SectionLine *l = e->lines->pdata[k];
        if (l->line == i + 1) {
            return l->key;
        }
    }
    return NULL;
}

/* The section's lines with what changes; keys not there yet come last. */
static void append_changed(GString *out,
                           char *const *lines,
                           const Section *at,
                           const GPtrArray *props,
                           const GPtrArray *remove)
{
    g_string_append_printf(out, "%s\n", lines[at->first]);
    for (guint i = at->first + 1; i < at->end; i++) {
        const char *key = key_in_line(at->entry, i);
        bool goes = key != NULL &&
                    (is_given(props, key) ||
                     (remove != NULL && g_ptr_array_find_with_equal_func((GPtrArray *)remove, key,
                                                                         g_str_equal, NULL)));

        if (!goes) {
            g_string_append_printf(out, "%s\n", lines[i]);
        }
    }
    for (guint i = 0; i + 1 < props->len; i += 2) {
        append_prop(out, props->pdata[i], props->pdata[i + 1]);
    }
}

int storagecfg_add(const char *text,
                   const char *type,
                   const char *id,
                   const GPtrArray *props,
                   char **ret,
                   Err *err)
{
    g_autoptr(GString) out = g_string_new(text);
    g_autofree char *other = NULL;
    int r = check_id(id, err);

    if (r == 0 && find_type(text, id, &other, NULL) == 0) {
        r = err_setf(err, -EEXIST, "storage '%s' exists already (%s)", id, other);
    }
    if (r == 0) {
        r = check_props(type, props, true, err);
    }
    if (r < 0) {
        return r;
    }
    if (out->len > 0 && out->str[out->len - 1] != '\n') {
        g_string_append_c(out, '\n');
    }
    if (out->len > 0 && !g_str_has_suffix(out->str, "\n\n")) {
        g_string_append_c(out, '\n');
    }
    g_string_append_printf(out, "%s: %s\n", type, id);
    for (guint i = 0; i + 1 < props->len; i += 2) {
        append_prop(out, props->pdata[i], props->pdata[i + 1]);
    }
    r = check_result(out->str, id, err);
    if (r == 0) {
        *ret = g_string_free(g_steal_pointer(&out), FALSE);
    }
    return r;
}

/* What is implicit must be written down before it can change. */
static const char implicit_local[] = "dir: local\n\tpath /var/lib/vz\n"
                                     "\tcontent backup,images,iso,rootdir,snippets,vztmpl\n"
                                     "\tprune-backups keep-all=1\n";

/* All lines but those of the section, in whose place `section` comes. */
static char *replace_section(char *const *lines, const Section *at, const char *section)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; lines[i] != NULL; i++) {
        if (i == at->first) {
            g_string_append(out, section);
        } else if ((i < at->first || i >= at->end) &&
                   (lines[i + 1] != NULL || lines[i][0] != '\0')) {
            g_string_append_printf(out, "%s\n", lines[i]);
        }
    }
    return g_string_free(out, FALSE);
}

static int change_section(const char *text,
                          const char *id,
                          const GPtrArray *props,
                          const GPtrArray *remove,
                          char **ret,
                          Err *err)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(SectionLines) parsed = NULL;
    g_autoptr(GString) section = g_string_new(NULL);
    Section at;
    int r = sectionlines_parse(text, strlen(text), &parsed, err);

    if (r < 0) {
        return r;
    }
    if (!find_section(parsed, lines, id, &at)) {
        g_autofree char *whole = NULL;

        g_assert(strcmp(id, LOCAL_ID) == 0); /* the only one that is there without lines */
        whole = g_strconcat(implicit_local, text[0] != '\0' ? "\n" : "", text, NULL);
        return change_section(whole, id, props, remove, ret, err);
    }
    append_changed(section, lines, &at, props, remove);
    *ret = replace_section(lines, &at, section->str);
    return 0;
}

int storagecfg_change(const char *text,
                      const char *id,
                      const GPtrArray *props,
                      const GPtrArray *remove,
                      char **ret,
                      Err *err)
{
    g_autofree char *type = NULL;
    g_autofree char *changed = NULL;
    int r = find_type(text, id, &type, err);

    if (r == 0) {
        r = check_props(type, props, false, err);
    }
    for (guint i = 0; r == 0 && remove != NULL && i < remove->len; i++) {
        r = check_prop(type, remove->pdata[i], NULL, false, err);
    }
    if (r == 0) {
        r = change_section(text, id, props, remove, &changed, err);
    }
    if (r == 0) {
        r = check_result(changed, id, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&changed);
    }
    return r;
}

int storagecfg_remove(const char *text, const char *id, char **ret, Err *err)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(SectionLines) parsed = NULL;
    g_autofree char *left = NULL;
    size_t len;
    Section at;
    int r;

    if (strcmp(id, LOCAL_ID) == 0) {
        return err_setf(err, -EINVAL, "storage 'local' is part of every node; disable it instead");
    }
    r = sectionlines_parse(text, strlen(text), &parsed, err);
    if (r < 0) {
        return err_wrapf(err, r, "storage.cfg");
    }
    if (!find_section(parsed, lines, id, &at)) {
        return err_setf(err, -ENOENT, "storage '%.64s' does not exist", id);
    }
    while (lines[at.end] != NULL && lines[at.end][0] == '\0' && lines[at.end + 1] != NULL) {
        at.end++; /* the empty line that parts it from the next */
    }
    left = replace_section(lines, &at, "");
    len = strlen(left);
    while (len >= 2 && left[len - 1] == '\n' && left[len - 2] == '\n') { /* it was the last one */
        left[--len] = '\0';
    }
    *ret = g_steal_pointer(&left);
    return 0;
}
