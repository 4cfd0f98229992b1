/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/backups.h"

#include "lib/port/clock.h"
#include "quorum/io/node_tree.h"

#include <glib.h>
#include <string.h>

typedef struct Backup {
    char *name;
    guint64 when;
} Backup;

static void backup_clear(void *p)
{
    g_free(((Backup *)p)->name);
}

char *backups_path(const char *state_dir, const char *kind)
{
    g_autofree char *name = g_strdup_printf("%s-%" G_GINT64_FORMAT, kind, clock_wall().sec);

    return g_build_filename(state_dir, "backup", name, NULL);
}

/* "join-1767225600": letters, then seconds. */
static bool parse_name(const char *name, guint64 *ret_when)
{
    size_t n = 0;

    while (g_ascii_islower(name[n])) {
        n++;
    }
    return n > 0 && name[n] == '-' &&
           g_ascii_string_to_unsigned(name + n + 1, 10, 0, G_MAXINT64, ret_when, NULL);
}

static int newest_first(gconstpointer a, gconstpointer b)
{
    const Backup *x = a, *y = b;

    return x->when != y->when ? (x->when < y->when ? 1 : -1) : strcmp(x->name, y->name);
}

static GArray *list_backups(const char *dir_path)
{
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Backup));
    const char *name;

    g_array_set_clear_func(list, backup_clear);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        Backup b = {0};

        if (parse_name(name, &b.when)) {
            b.name = g_strdup(name);
            g_array_append_val(list, b);
        }
    }
    g_array_sort(list, newest_first);
    return list;
}

int backups_prune(const char *state_dir, const char *mine, Err *err)
{
    g_autofree char *dir = g_build_filename(state_dir, "backup", NULL);
    g_autoptr(GArray) list = list_backups(dir);
    int count = 0;

    for (guint i = BACKUPS_KEPT; i < list->len; i++) {
        g_autofree char *path = g_build_filename(dir, g_array_index(list, Backup, i).name, NULL);
        int r;

        if (g_strcmp0(path, mine) == 0) {
            continue;
        }
        if ((r = node_tree_delete(path, err)) < 0) {
            return r;
        }
        count++;
    }
    return count;
}
