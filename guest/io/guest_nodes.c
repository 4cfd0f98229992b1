/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_nodes.h"

#include "guest/core/qemucmd.h"
#include "guest/io/host_world.h"

#include <errno.h>
#include <string.h>

#define TRAY_TRIES 20

void guest_nodes_clear(GuestNodes *n)
{
    g_clear_pointer(&n->group, jsontree_free);
    g_clear_pointer(&n->tree, jsontree_free);
}

/* -------------------------------------------------------------------- form */

/* A device's place as query-block tells it: "scsi0", or a path with its name in it. */
static bool is_device(const char *qdev, const char *key)
{
    g_auto(GStrv) parts = qdev != NULL ? g_strsplit(qdev, "/", -1) : NULL;

    return parts != NULL && g_strv_contains((const char *const *)parts, key);
}

int guest_nodes_form(QmpClient *qmp, const char *key, bool *ret_nodes, Err *err)
{
    g_autofree char *drive = g_strconcat("drive-", key, NULL);
    g_autoptr(JsonTree) list = NULL;
    int r = qmp_call(qmp, "query-block", NULL, 0, &list, err);

    for (guint i = 0; r == 0 && i < jsontree_count(list); i++) {
        const JsonTree *b = jsontree_at(list, i);
        const char *device = jsontree_get_text(b, "device");
        const char *node = jsontree_get_text(jsontree_get(b, "inserted"), "node-name");
        if (g_strcmp0(device, drive) == 0) {
            *ret_nodes = false;
            return 0;
        }
        if (g_strcmp0(node, drive) == 0 || is_device(jsontree_get_text(b, "qdev"), key)) {
            *ret_nodes = true;
            return 0;
        }
    }
    return r < 0 ? r : err_setf(err, -ENOTSUP, "QEMU has no such drive");
}

/* -------------------------------------------------------------------- plan */

/* The value of `option` that is an object with this name. */
static JsonTree *find_words(const QemuCmd *cmd, const char *option, const char *key, char *name)
{
    for (guint i = 0; i + 1 < cmd->argv->len; i++) {
        const char *value = cmd->argv->pdata[i + 1];
        g_autoptr(JsonTree) tree = NULL;
        if (strcmp(cmd->argv->pdata[i], option) == 0 && value[0] == '{' &&
            jsontree_parse(value, strlen(value), &tree, NULL) == 0 &&
            g_strcmp0(jsontree_get_text(tree, key), name) == 0) {
            return g_steal_pointer(&tree);
        }
    }
    return NULL;
}

/* A guest of this disk alone: what else it has may be busy, or on its way. */
static VmConf *disk_alone(const VmSection *section, const char *key, const char *value)
{
    static const char *const keys[] = {"arch", "machine", "scsihw"};
    VmConf *conf = vmconf_new();

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *other = vmsection_get(section, keys[i]);
        if (other != NULL) {
            vmsection_set(vmconf_main(conf), keys[i], other);
        }
    }
    vmsection_set(vmconf_main(conf), key, value);
    return conf;
}

int guest_nodes_plan(const GuestHost *h,
                     uint32_t vmid,
                     const VmSection *section,
                     const char *key,
                     const char *value,
                     GuestNodes *ret,
                     Err *err)
{
    HostWorldOptions options = {.root = h->tree->root, .run_dir = h->run_dir};
    QemuCmdParams params = {.vmid = vmid};
    g_autofree char *group = g_strconcat("throttle-drive-", key, NULL);
    g_autofree char *node = g_strconcat("drive-", key, NULL);
    g_autoptr(VmConf) conf = disk_alone(section, key, value);
    g_autoptr(HostWorld) world = NULL;
    g_autoptr(QemuCmd) cmd = NULL;
    g_auto(GuestNodes) n = {0};
    int r = host_world_new(&options, &world, err);

    if (r == 0) {
        r = qemucmd_build(vmconf_main(conf), host_world_facts(world), &params, &cmd, err);
    }
    if (r < 0) {
        return r;
    }
    n.group = find_words(cmd, "-object", "id", group);
    n.tree = find_words(cmd, "-blockdev", "node-name", node);
    if (n.group == NULL || n.tree == NULL || jsontree_get(n.tree, "file") == NULL) {
        return err_setf(err, -ENOTSUP, "a running QEMU cannot be told of this volume as nodes");
    }
    *ret = n;
    n = (GuestNodes){0};
    return 0;
}

/* ------------------------------------------------------------------ copies */

static int
call_named(QmpClient *qmp, const char *command, const char *key, const char *id, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, key, id);
    return qmp_call(qmp, command, arguments, 0, NULL, err);
}

/* char *: nodes "NAME" (when asked for) and "NAME-1", ... The caller owns the array. */
static int list_nodes(QmpClient *qmp, const char *name, bool with_first, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) out = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *prefix = g_strconcat(name, "-", NULL);
    g_autoptr(JsonTree) list = NULL;
    JsonTree *arguments = jsontree_new_object();
    int r;

    jsontree_set_bool(arguments, "flat", true);
    r = qmp_call(qmp, "query-named-block-nodes", arguments, 0, &list, err);
    for (guint i = 0; r == 0 && i < jsontree_count(list); i++) {
        const char *node = jsontree_get_text(jsontree_at(list, i), "node-name");
        if (node != NULL &&
            (g_str_has_prefix(node, prefix) || (with_first && strcmp(node, name) == 0))) {
            g_ptr_array_add(out, g_strdup(node));
        }
    }
    if (r == 0) {
        *ret = g_steal_pointer(&out);
    }
    return r;
}

void guest_nodes_drop_copies(QmpClient *qmp, const char *key)
{
    g_autofree char *name = g_strconcat("format-", key, NULL);
    g_autoptr(GPtrArray) nodes = NULL;

    if (list_nodes(qmp, name, false, &nodes, NULL) < 0) {
        return; /* QEMU has ended, or is about to */
    }
    for (guint i = 0; i < nodes->len; i++) {
        /* QEMU refuses the one that the disk uses: that is how it is told from the others. */
        (void)!call_named(qmp, "blockdev-del", "node-name", nodes->pdata[i], NULL);
    }
}

/* A copy is written even where the guest only reads. */
static void name_copy(JsonTree *format, const char *key, int number)
{
    JsonTree *data = jsontree_copy(jsontree_get(format, "file"));
    g_autofree char *format_name = g_strdup_printf("format-%s-%d", key, number);
    g_autofree char *data_name = g_strdup_printf("data-%s-%d", key, number);

    jsontree_set_text(data, "node-name", data_name);
    jsontree_set_bool(data, "read-only", false);
    jsontree_set_text(format, "node-name", format_name);
    jsontree_set_bool(format, "read-only", false);
    jsontree_set(format, "file", data);
}

int guest_nodes_add_copy(QmpClient *qmp,
                         const char *key,
                         const GuestNodes *plan,
                         char **ret_now,
                         char **ret_copy,
                         Err *err)
{
    g_autofree char *name = g_strconcat("format-", key, NULL);
    g_autofree char *first = g_strconcat(name, "-1", NULL);
    g_autoptr(GPtrArray) nodes = NULL;
    JsonTree *format;
    int number;
    int r;

    guest_nodes_drop_copies(qmp, key);
    r = list_nodes(qmp, name, true, &nodes, err);
    if (r == 0 && nodes->len != 1) {
        r = err_setf(err, nodes->len == 0 ? -ENOTSUP : -EBUSY, "QEMU has %s of it",
                     nodes->len == 0 ? "no format node" : "copies in use");
    }
    if (r < 0) {
        return r;
    }
    number = strcmp(nodes->pdata[0], first) == 0 ? 2 : 1;
    format = jsontree_copy(jsontree_get(plan->tree, "file"));
    name_copy(format, key, number);
    r = qmp_call(qmp, "blockdev-add", format, 0, NULL, err);
    if (r == 0) {
        *ret_now = g_strdup(nodes->pdata[0]);
        *ret_copy = g_strdup_printf("%s-%d", name, number);
    }
    return r;
}

/* ------------------------------------------------------------------- discs */

/* What a start made for the disc goes, whether it is there or not. */
static void drop_disc(QmpClient *qmp, const char *key)
{
    g_autofree char *group = g_strconcat("throttle-drive-", key, NULL);
    g_autofree char *node = g_strconcat("drive-", key, NULL);

    (void)!call_named(qmp, "blockdev-del", "node-name", node, NULL);
    (void)!call_named(qmp, "object-del", "id", group, NULL);
}

static void open_tray(QmpClient *qmp, const char *key)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "id", key);
    jsontree_set_bool(arguments, "force", true);
    (void)!qmp_call(qmp, "blockdev-open-tray", arguments, 0, NULL, NULL); /* seen by what follows */
}

/* The guest may close the tray at any moment, also an empty one. */
static int insert(QmpClient *qmp, const char *key, Err *err)
{
    g_autofree char *node = g_strconcat("drive-", key, NULL);
    int r = -EAGAIN;

    for (int i = 0; r < 0 && i < TRAY_TRIES; i++) {
        JsonTree *arguments = jsontree_new_object();
        err_clear(err);
        open_tray(qmp, key);
        jsontree_set_text(arguments, "id", key);
        jsontree_set_text(arguments, "node-name", node);
        r = qmp_call(qmp, "blockdev-insert-medium", arguments, 0, NULL, err);
    }
    return r < 0 ? r : call_named(qmp, "blockdev-close-tray", "id", key, err);
}

int guest_nodes_change_disc(QmpClient *qmp, const char *key, const GuestNodes *plan, Err *err)
{
    JsonTree *arguments = jsontree_new_object();
    int r;

    jsontree_set_text(arguments, "id", key);
    jsontree_set_bool(arguments, "force", true);
    r = qmp_call(qmp, "eject", arguments, 0, NULL, err);
    if (r < 0) {
        return r;
    }
    drop_disc(qmp, key);
    if (plan == NULL) {
        return 0;
    }
    r = qmp_call(qmp, "object-add", jsontree_copy(plan->group), 0, NULL, err);
    if (r == 0) {
        r = qmp_call(qmp, "blockdev-add", jsontree_copy(plan->tree), 0, NULL, err);
    }
    if (r == 0) {
        r = insert(qmp, key, err);
    }
    if (r < 0) {
        drop_disc(qmp, key);
    }
    return r;
}
