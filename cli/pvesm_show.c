/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm_show: status, list, path, config. Nothing is changed. */
#include "cli/guest_cli.h"
#include "cli/pvesm_verbs.h"

#include "guest/io/volume.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <string.h>

static void print_json(const JsonTree *tree)
{
    g_autofree char *text = jsontree_pretty(tree);

    fputs(text, stdout);
}

/* ------------------------------------------------------------------ status */

typedef struct StatusRow {
    const Storage *storage;
    const char *state; /* active, inactive, disabled */
    StorageStatus status;
    char *why; /* not active: the reason */
} StatusRow;

static void status_row_free(void *data)
{
    StatusRow *row = data;

    g_free(row->why);
    g_free(row);
}

static StatusRow *look(const GuestCli *cli, const Storage *s)
{
    StatusRow *row = g_new0(StatusRow, 1);
    const StorageKind *kind = NULL;
    const Storage *used = NULL;
    Err err = ERR_INIT;

    row->storage = s;
    row->state = storage_flag(s, "disable", false) ? "disabled" : "inactive";
    if (storage_set_use(cli->set, s->id, &used, &err) < 0 ||
        storage_kind_of(used, &kind, &err) < 0 || kind->status(used, &row->status, &err) < 0) {
        row->why = g_strdup(err_text(&err));
        row->status = (StorageStatus){0};
    } else {
        row->state = "active";
    }
    return row;
}

static bool is_wanted(const GuestCli *cli, const Storage *s)
{
    bool disabled = storage_flag(s, "disable", false);

    return (pvesm_options.storage == NULL || strcmp(pvesm_options.storage, s->id) == 0) &&
           (pvesm_options.content == NULL || storage_has_content(s, pvesm_options.content)) &&
           !(pvesm_options.enabled && disabled) &&
           (disabled || storage_on_node(s, cli->tree->node));
}

static void print_status_json(const GPtrArray *rows)
{
    g_autoptr(JsonTree) list = jsontree_new_array();

    for (guint i = 0; i < rows->len; i++) {
        const StatusRow *row = rows->pdata[i];
        JsonTree *o = jsontree_new_object();
        const char *content = storage_prop(row->storage, "content");
        bool active = strcmp(row->state, "active") == 0;

        jsontree_set_text(o, "storage", row->storage->id);
        jsontree_set_text(o, "type", row->storage->type);
        jsontree_set_text(o, "content", content != NULL ? content : "images,rootdir");
        jsontree_set_int(o, "active", active);
        jsontree_set_int(o, "enabled", strcmp(row->state, "disabled") != 0);
        jsontree_set_int(o, "shared", storage_is_shared(row->storage));
        jsontree_set_int(o, "total", (int64_t)row->status.total);
        jsontree_set_int(o, "used", (int64_t)row->status.used);
        jsontree_set_int(o, "avail", (int64_t)row->status.avail);
        jsontree_set_text(o, "reason", row->why);
        jsontree_add(list, o);
    }
    print_json(list);
}

static void print_status(const GPtrArray *rows)
{
    int width = (int)strlen("Name");

    for (guint i = 0; i < rows->len; i++) {
        const StatusRow *row = rows->pdata[i];
        width = MAX(width, (int)strlen(row->storage->id));
    }
    printf("%-*s %10s %10s %15s %15s %15s %8s\n", width, "Name", "Type", "Status", "Total", "Used",
           "Available", "%");
    for (guint i = 0; i < rows->len; i++) {
        const StatusRow *row = rows->pdata[i];
        g_autofree char *percent = strcmp(row->state, "disabled") == 0 ? g_strdup("N/A")
                                   : row->status.total == 0
                                       ? g_strdup("0.00%")
                                       : g_strdup_printf("%.2f%%", (double)row->status.used * 100 /
                                                                       (double)row->status.total);
        printf("%-*s %10s %10s %15" G_GUINT64_FORMAT " %15" G_GUINT64_FORMAT " %15" G_GUINT64_FORMAT
               " %8s\n",
               width, row->storage->id, row->storage->type, row->state, row->status.total / 1024,
               row->status.used / 1024, row->status.avail / 1024, percent);
    }
    for (guint i = 0; i < rows->len; i++) {
        const StatusRow *row = rows->pdata[i];
        if (strcmp(row->state, "inactive") == 0) {
            guest_cli_warn(NULL, row->why);
        }
    }
}

int pvesm_status(char **operands, Err *err)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(status_row_free);
    g_auto(GuestCli) cli = {0};
    bool json = false;
    int r = cli_wants_json(&json, err);

    (void)operands;
    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r == 0 && pvesm_options.storage != NULL) {
        const Storage *s;
        r = storagecfg_get(cli.set->cfg, pvesm_options.storage, &s, err);
    }
    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < storagecfg_count(cli.set->cfg); i++) {
        const Storage *s = storagecfg_at(cli.set->cfg, i);
        if (is_wanted(&cli, s)) {
            g_ptr_array_add(rows, look(&cli, s));
        }
    }
    if (json) {
        print_status_json(rows);
    } else {
        print_status(rows);
    }
    return 0;
}

/* -------------------------------------------------------------------- list */

static void print_list_json(const Storage *s, const GPtrArray *items)
{
    g_autoptr(JsonTree) list = jsontree_new_array();

    for (guint i = 0; i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        g_autofree char *volid = g_strdup_printf("%s:%s", s->id, item->volume);
        JsonTree *o = jsontree_new_object();

        jsontree_set_text(o, "volid", volid);
        jsontree_set_text(o, "format", item->format);
        jsontree_set_text(o, "content", item->name.content);
        jsontree_set_int(o, "size", (int64_t)item->size);
        jsontree_set_int(o, "used", (int64_t)item->used);
        jsontree_set_int(o, "ctime", item->ctime);
        jsontree_set_text(o, "parent", item->parent);
        if (item->name.owner != 0) {
            jsontree_set_int(o, "vmid", item->name.owner);
        }
        jsontree_add(list, o);
    }
    print_json(list);
}

static void print_list(const Storage *s, const GPtrArray *items)
{
    int width = (int)strlen("Volid");

    for (guint i = 0; i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        width = MAX(width, (int)(strlen(s->id) + 1 + strlen(item->volume)));
    }
    printf("%-*s %-7s %-9s %15s %s\n", width, "Volid", "Format", "Type", "Size", "VMID");
    for (guint i = 0; i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        g_autofree char *volid = g_strdup_printf("%s:%s", s->id, item->volume);
        g_autofree char *owner =
            item->name.owner != 0 ? g_strdup_printf("%u", item->name.owner) : g_strdup("");
        printf("%-*s %-7s %-9s %15" G_GUINT64_FORMAT " %s\n", width, volid, item->format,
               item->name.content, item->size, owner);
    }
}

int pvesm_list(char **operands, Err *err)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(volume_item_free);
    g_auto(GuestCli) cli = {0};
    const StorageKind *kind = NULL;
    const Storage *s = NULL;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r == 0) {
        r = storage_set_use(cli.set, operands[0], &s, err);
    }
    if (r == 0) {
        r = storage_kind_of(s, &kind, err);
    }
    if (r == 0) {
        r = kind->list(s, pvesm_options.content, (uint32_t)MAX(pvesm_options.vmid, 0), items, err);
    }
    if (r < 0) {
        return r;
    }
    if (json) {
        print_list_json(s, items);
    } else {
        print_list(s, items);
    }
    return 0;
}

int pvesm_path(char **operands, Err *err)
{
    g_auto(GuestCli) cli = {0};
    g_autofree char *path = NULL;
    int r = guest_cli_open(pvesm_options.root, &cli, err);

    if (r == 0) {
        r = volume_path(cli.set, operands[0], &path, err);
    }
    if (r == 0) {
        printf("%s\n", path);
    }
    return r;
}

int pvesm_config(char **operands, Err *err)
{
    g_autoptr(JsonTree) o = jsontree_new_object();
    g_auto(GuestCli) cli = {0};
    const Storage *s = NULL;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r == 0) {
        r = storagecfg_get(cli.set->cfg, operands[0], &s, err);
    }
    if (r < 0) {
        return r;
    }
    jsontree_set_text(o, "type", s->type);
    jsontree_set_text(o, "storage", s->id);
    for (guint i = 0; i < s->entry->lines->len; i++) {
        const SectionLine *line = s->entry->lines->pdata[i];
        const char *value = storage_prop(s, line->key);
        jsontree_set_text(o, line->key, value[0] != '\0' ? value : "1");
    }
    if (json) {
        print_json(o);
        return 0;
    }
    for (guint i = 0; i < jsontree_count(o); i++) {
        printf("%s: %s\n", jsontree_key(o, i), jsontree_text(jsontree_at(o, i)));
    }
    return 0;
}
