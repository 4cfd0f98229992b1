/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_tree.h"

#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX  (512u * 1024u)
#define DEPTH_MAX 8 /* of directories below nodes/NAME */

int node_tree_conf(const char *pve, CorosyncConf **ret, Err *err)
{
    g_autofree char *path = g_build_filename(pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, COROSYNC_CONF_SIZE_MAX, &text, &size, err);

    if (r == -ENOENT) {
        return err_setf(err, r, "this node is in no cluster (%s does not exist)", path);
    }
    if (r == 0 && (r = corosync_conf_parse(text, size, ret, err)) < 0) {
        return err_wrapf(err, r, "%s", path);
    }
    return r;
}

/* ---- guests -----------------------------------------------------------------------------------
 */

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *node_tree_guests(const char *pve, const char *node)
{
    static const char *const kinds[] = {"qemu-server", "lxc", "openvz"};
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *path = g_build_filename(pve, "nodes", node, kinds[k], NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
            g_autofree char *id = g_strndup(name, strcspn(name, "."));

            if (g_str_has_suffix(name, ".conf") &&
                g_ascii_string_to_unsigned(id, 10, 1, UINT32_MAX, NULL, NULL)) {
                g_ptr_array_add(out, g_strdup_printf("%s/%s", kinds[k], name));
            }
        }
    }
    g_ptr_array_sort(out, by_text);
    return out;
}

static char *guest_id(const char *guest)
{
    const char *name = strrchr(guest, '/') + 1;

    return g_strndup(name, strcspn(name, "."));
}

GPtrArray *node_tree_guest_names(const GPtrArray *guests)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < guests->len; i++) {
        const char *guest = g_ptr_array_index(guests, i);
        char *id = guest_id(guest);

        if (g_str_has_prefix(guest, "qemu-server/")) {
            g_ptr_array_add(out, id);
        } else {
            g_ptr_array_add(out, g_strdup_printf("%s (container)", id));
            g_free(id);
        }
    }
    return out;
}

GPtrArray *node_tree_ha_guests(const char *pve, const GPtrArray *guests)
{
    g_autofree char *path = g_build_filename(pve, "ha", "resources.cfg", NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    if (cfsfile_read(path, TEXT_MAX, &text, NULL, NULL) < 0) {
        return out; /* no HA here */
    }
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; i < guests->len; i++) {
        const char *guest = g_ptr_array_index(guests, i);
        g_autofree char *id = guest_id(guest);
        g_autofree char *want =
            g_strdup_printf("%s:%s", g_str_has_prefix(guest, "qemu-server/") ? "vm" : "ct", id);

        for (guint n = 0; lines[n] != NULL; n++) {
            g_auto(GStrv) words = g_strsplit(lines[n], " ", -1);
            g_autofree char *have = g_strjoinv("", words);

            if (strcmp(have, want) == 0) {
                g_ptr_array_add(out, g_strdup(want));
            }
        }
    }
    return out;
}

/* ---- removing ---------------------------------------------------------------------------------
 */

static int delete_below(const char *path, int depth, Err *err)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    int r = 0;

    while (r == 0 && dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        GStatBuf st;

        if (g_lstat(child, &st) == 0 && S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            r = delete_below(child, depth + 1, err);
        } else if (g_unlink(child) < 0 && errno != ENOENT) {
            r = -errno;
            (void)err_setf(err, r, "%s: %s", child, strerror(-r));
        }
    }
    if (r == 0 && g_rmdir(path) < 0 && errno != ENOENT) {
        r = -errno;
        (void)err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return r;
}

int node_tree_delete(const char *path, Err *err)
{
    GStatBuf st;

    if (g_lstat(path, &st) < 0) {
        int r = -errno;

        return r == -ENOENT ? 0 : err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    if (S_ISDIR(st.st_mode)) {
        return delete_below(path, 0, err);
    }
    if (g_unlink(path) < 0 && errno != ENOENT) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static int move_below(const char *from, const char *to, int depth, Err *err)
{
    g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
    const char *name;
    int r = 0;

    if (dir == NULL) {
        return 0; /* moved before */
    }
    if (g_mkdir(to, 0700) < 0 && errno != EEXIST) {
        r = -errno;
        return err_setf(err, r, "%s: %s", to, strerror(-r));
    }
    while (r == 0 && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(from, name, NULL);
        g_autofree char *place = g_build_filename(to, name, NULL);

        if (g_file_test(child, G_FILE_TEST_IS_DIR) && depth < DEPTH_MAX) {
            r = move_below(child, place, depth + 1, err);
        } else if (g_rename(child, place) < 0) {
            r = -errno;
            (void)err_setf(err, r, "moving %s to %s: %s", child, place, strerror(-r));
        }
    }
    if (r == 0 && g_rmdir(from) < 0) {
        r = -errno;
        (void)err_setf(err, r, "%s: %s", from, strerror(-r));
    }
    return r;
}

int node_tree_move(const char *from, const char *to, Err *err)
{
    return move_below(from, to, 0, err);
}

/* Is this line the node's? Keys end in "root@NODE", known hosts begin with their names. */
static bool line_is_of(const char *line, const char *node)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
    guint n = g_strv_length(words);
    g_autofree char *comment = g_strdup_printf("root@%s", node);
    g_auto(GStrv) hosts = NULL;

    if (n == 0 || line[0] == '#') {
        return false;
    }
    hosts = g_strsplit(words[0], ",", -1);
    return (n >= 3 && strcmp(words[n - 1], comment) == 0) ||
           (n >= 3 && g_strv_contains((const char *const *)hosts, node));
}

int node_tree_forget_keys(const char *pve, const char *node, Err *err)
{
    static const char *const names[] = {"authorized_keys", "known_hosts"};
    int count = 0;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(pve, "priv", names[i], NULL);
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        int before = count;
        int r = cfsfile_read(path, TEXT_MAX, &text, NULL, err);

        if (r < 0) {
            if (r != -ENOENT) {
                return r;
            }
            err_clear(err);
            continue;
        }
        lines = g_strsplit(text, "\n", -1);
        for (guint n = 0; lines[n] != NULL; n++) {
            if (line_is_of(lines[n], node)) {
                count++;
            } else {
                g_string_append_printf(out, "%s%s", lines[n], lines[n + 1] != NULL ? "\n" : "");
            }
        }
        if (count > before && (r = cfsfile_write(path, out->str, out->len, err)) < 0) {
            return r;
        }
    }
    return count;
}

static bool mentions(const char *line, const char *node)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t,:;=", -1);

    return line[0] != '#' && g_strv_contains((const char *const *)words, node);
}

GPtrArray *node_tree_mentions(const char *pve, const char *node)
{
    static const char *const names[] = {
        "storage.cfg",     "replication.cfg", "jobs.cfg",         "ha/groups.cfg",
        "ha/rules.cfg",    "vzdump.cron",     "ha/resources.cfg", "firewall/cluster.fw",
        "mapping/pci.cfg", "mapping/usb.cfg", "sdn/zones.cfg",    "datacenter.cfg"};
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(pve, names[i], NULL);
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        if (cfsfile_read(path, TEXT_MAX, &text, NULL, NULL) < 0) {
            continue; /* most clusters lack most of them */
        }
        lines = g_strsplit(text, "\n", -1);
        for (guint n = 0; lines[n] != NULL; n++) {
            if (mentions(lines[n], node)) {
                g_ptr_array_add(out, g_strdup_printf("%s, line %u", names[i], n + 1));
            }
        }
    }
    return out;
}

/* ---- tombstones -------------------------------------------------------------------------------
 */

static char *tombstone_path(const char *pve, const char *node)
{
    return g_build_filename(pve, "priv", "removed-nodes", node, NULL);
}

int node_tree_tombstone(const char *pve, const char *node, Tombstone *ret, Err *err)
{
    g_autofree char *path = tombstone_path(pve, node);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, TOMBSTONE_SIZE_MAX, &text, &size, err);

    return r < 0 ? r : tombstone_parse(text, size, ret, err);
}

int node_tree_bury(const char *pve, const Tombstone *t, Err *err)
{
    g_autofree char *path = tombstone_path(pve, t->node);
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = tombstone_format(t);

    if (g_mkdir(dir, 0700) < 0 && errno != EEXIST) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", dir, strerror(-r));
    }
    return cfsfile_write(path, text, strlen(text), err);
}

int node_tree_unbury(const char *pve, const char *node, Err *err)
{
    g_autofree char *path = tombstone_path(pve, node);

    if (g_unlink(path) < 0 && errno != ENOENT) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}
