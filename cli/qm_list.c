/* SPDX-License-Identifier: Apache-2.0 */
/* qm_list: the guests of this node, one line each. Reads files only: no guest is asked. */
#include "cli/qm_store.h"
#include "cli/qm_verbs.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_proc.h"
#include "lib/base/sizetext.h"
#include "lib/conf/propstring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_DIR    "/var/run/qemu-server"
#define MEMORY_MIB 512 /* when nothing is said */
#define READERS    4   /* most of a read is waiting for the cluster's file system */
#define FEW        64  /* guests that one reader has read before others have begun */

typedef struct Row {
    uint32_t vmid;
    char *name;
    int64_t memory_mib;
    uint64_t disk_bytes;
    pid_t pid;
    char *tags;
    char *lock;
    bool template;
    char *problem; /* the file cannot be read */
} Row;

static void row_free(void *data)
{
    Row *row = data;

    g_free(row->name);
    g_free(row->tags);
    g_free(row->lock);
    g_free(row->problem);
    g_free(row);
}

/* A disk's `size=`, and whether it is a disk at all. */
static bool disk_size(const VmSection *s, const char *key, uint64_t *ret)
{
    const ConfOption *o = confschema_find(key, NULL);
    const char *value = vmsection_get(s, key);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    const char *size;

    if (o == NULL || value == NULL || !(o->flags & CONF_DISK) ||
        propstring_parse(o->props, value, unknown, &p, NULL) < 0 ||
        g_strcmp0(propstring_text(p, "media"), "cdrom") == 0) {
        return false;
    }
    size = propstring_text(p, "size");
    return size == NULL || size_parse(size, ret, NULL) == 0;
}

/* The first disk that the guest boots from; without an order, the first there is. */
static uint64_t boot_disk(const VmSection *s)
{
    const char *boot = vmsection_get(s, "boot");
    const char *disk = vmsection_get(s, "bootdisk");
    const char *order = boot != NULL ? strstr(boot, "order=") : NULL;
    g_auto(GStrv) names = g_strsplit(order != NULL ? order + strlen("order=") : "", ";", -1);
    uint64_t size = 0;

    for (char **name = names; *name != NULL; name++) {
        if (disk_size(s, *name, &size)) {
            return size;
        }
    }
    if (disk != NULL && disk_size(s, disk, &size)) {
        return size;
    }
    for (guint i = 0; order == NULL && i < s->entries->len; i++) {
        if (disk_size(s, ((const VmEntry *)s->entries->pdata[i])->key, &size)) {
            return size;
        }
    }
    return 0;
}

static int64_t memory_of(const VmSection *s)
{
    const char *value = vmsection_get(s, "memory");
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;

    return value != NULL && propstring_parse(&props_memory, value, unknown, &p, NULL) == 0
               ? propstring_int(p, "current")
               : MEMORY_MIB;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Only guests that have a pid file can run: one look at the directory answers for most. */
static bool may_run(const GArray *pids, uint32_t vmid)
{
    return pids->len > 0 &&
           bsearch(&vmid, pids->data, pids->len, sizeof(uint32_t), compare_ids) != NULL;
}

static Row *read_row(const GuestTree *tree, const char *run_dir, const GArray *pids, uint32_t vmid)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(VmConf) conf = NULL;
    Row *row = g_new0(Row, 1);
    Err err = ERR_INIT;
    const VmSection *s;
    const char *template;

    row->vmid = vmid;
    if (may_run(pids, vmid) && guest_proc_find(run_dir, vmid, &proc, &err) > 0) {
        row->pid = proc.pid;
    }
    if (guest_conf_read(tree, NULL, vmid, NULL, NULL, &conf, &err) < 0) {
        row->problem = g_strdup(err_text(&err));
        row->name = g_strdup("");
        return row;
    }
    s = vmconf_main(conf);
    row->name = vmsection_get(s, "name") != NULL ? g_strdup(vmsection_get(s, "name"))
                                                 : g_strdup_printf("VM %u", vmid);
    row->memory_mib = memory_of(s);
    row->disk_bytes = boot_disk(s);
    row->tags = g_strdup(vmsection_get(s, "tags"));
    row->lock = g_strdup(vmsection_get(s, "lock"));
    template = vmsection_get(s, "template");
    row->template = template != NULL && propstring_parse_bool(template) == 1;
    return row;
}

/* What the readers share; each takes the next guest that nobody has. */
typedef struct Reading {
    const GuestTree *tree;
    const char *run_dir;
    const GArray *pids; /* uint32_t */
    const GArray *ids;  /* uint32_t */
    Row **rows;         /* one for each id; each is written by one reader */
    gint next;
} Reading;

static void *reader(void *data)
{
    Reading *all = data;
    guint i;

    while ((i = (guint)g_atomic_int_add(&all->next, 1)) < all->ids->len) {
        all->rows[i] =
            read_row(all->tree, all->run_dir, all->pids, g_array_index(all->ids, uint32_t, i));
    }
    return NULL;
}

/* Row *, in the order of the ids. The caller owns the array. */
static GPtrArray *
read_rows(const GuestTree *tree, const char *run_dir, const GArray *pids, const GArray *ids)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
    Reading all = {.tree = tree, .run_dir = run_dir, .pids = pids, .ids = ids};
    GThread *others[READERS - 1] = {NULL};

    g_ptr_array_set_size(rows, (gint)ids->len);
    all.rows = (Row **)rows->pdata;
    for (size_t i = 0; i < G_N_ELEMENTS(others) && ids->len > FEW; i++) {
        others[i] = g_thread_try_new("reader", reader, &all, NULL); /* this one does all, else */
    }
    (void)reader(&all);
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (others[i] != NULL) {
            (void)g_thread_join(others[i]);
        }
    }
    return rows;
}

static JsonTree *row_json(const Row *row)
{
    JsonTree *o = jsontree_new_object();

    jsontree_set_int(o, "vmid", row->vmid);
    jsontree_set_text(o, "name", row->name);
    jsontree_set_text(o, "status", row->pid > 0 ? "running" : "stopped");
    jsontree_set_int(o, "maxmem", row->memory_mib * 1024 * 1024);
    jsontree_set_int(o, "maxdisk", (int64_t)row->disk_bytes);
    jsontree_set_text(o, "tags", row->tags);
    jsontree_set_text(o, "lock", row->lock);
    jsontree_set_text(o, "problem", row->problem);
    if (row->pid > 0) {
        jsontree_set_int(o, "pid", row->pid);
    }
    if (row->template) {
        jsontree_set_int(o, "template", 1);
    }
    return o;
}

static void print_rows(const GPtrArray *rows)
{
    if (rows->len == 0) {
        return;
    }
    printf("%10s %-20s %-10s %-10s %12s %-10s%s\n", "VMID", "NAME", "STATUS", "MEM(MB)",
           "BOOTDISK(GB)", "PID", qm_store.full == 1 ? " LOCK       TAGS" : "");
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = rows->pdata[i];
        g_autofree char *memory = g_strdup_printf("%" G_GINT64_FORMAT, row->memory_mib);
        g_autofree char *pid = g_strdup_printf("%d", (int)row->pid);

        printf("%10u %-20s %-10s %-10s %12.2f %-10s", row->vmid, row->name,
               row->pid > 0 ? "running" : "stopped", memory,
               (double)row->disk_bytes / (1024.0 * 1024 * 1024), pid);
        if (qm_store.full == 1) {
            printf(" %-10s %s", row->lock != NULL ? row->lock : "",
                   row->tags != NULL ? row->tags : "");
        }
        printf("\n");
    }
}

int qm_list(char **operands, Err *err)
{
    const char *run_dir = qm_options.run_dir != NULL ? qm_options.run_dir : RUN_DIR;
    g_autoptr(JsonTree) list = jsontree_new_array();
    g_autoptr(GPtrArray) rows = NULL;
    g_autoptr(GuestTree) tree = NULL;
    g_autoptr(GArray) ids = NULL;
    g_autoptr(GArray) pids = guest_run_list(run_dir);
    bool json = false;
    int r = cli_wants_json(&json, err);

    (void)operands;
    if (r == 0) {
        r = guest_tree_open(qm_options.root, NULL, &tree, err);
    }
    if (r == 0) {
        r = guest_tree_list(tree, NULL, &ids, err);
    }
    if (r < 0) {
        return r;
    }
    rows = read_rows(tree, run_dir, pids, ids);
    for (guint i = 0; json && i < rows->len; i++) {
        jsontree_add(list, row_json(rows->pdata[i]));
    }
    if (json) {
        qm_print_json(list);
    } else {
        print_rows(rows);
    }
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = rows->pdata[i];
        if (row->problem != NULL) {
            fprintf(stderr, "warning: guest %u: %s\n", row->vmid, row->problem);
        }
    }
    return 0;
}
