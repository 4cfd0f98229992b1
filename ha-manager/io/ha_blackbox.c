/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_blackbox.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_MAX 4096

char *ha_blackbox_boot_id(void)
{
    const char *forced = g_getenv("QUORATE_BOOT_ID"); /* lab nodes share one kernel */
    char *text = NULL;

    if (forced != NULL && *forced != '\0') {
        return g_strdup(forced);
    }
    if (cfsfile_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL, NULL) < 0) {
        return NULL;
    }
    return g_strstrip(text);
}

/* Keeps the newer half. */
static void shorten(const char *file)
{
    g_autofree char *text = NULL;
    const char *from;
    gsize size = 0;

    if (cfsfile_read(file, 4 * HA_BLACKBOX_MAX, &text, &size, NULL) < 0 ||
        size <= HA_BLACKBOX_MAX) {
        return;
    }
    from = strchr(text + size / 2, '\n');
    if (from != NULL) {
        (void)!cfsfile_write(file, from + 1, size - (gsize)(from + 1 - text), NULL); /* next time */
    }
}

int ha_blackbox_add(const char *file, const char *event, JsonTree *facts, Err *err)
{
    g_autoptr(JsonTree) entry = jsontree_new_object();
    g_autoptr(GString) line = g_string_new(NULL);
    g_autofree char *boot = ha_blackbox_boot_id();
    g_autofree char *dir = g_path_get_dirname(file);
    int fd;
    int r = 0;

    jsontree_set_int(entry, "time", clock_wall().sec);
    jsontree_set_text(entry, "event", event);
    jsontree_set_text(entry, "boot_id", boot);
    jsontree_set(entry, "facts", facts);
    jsontree_append(line, entry);
    g_string_append_c(line, '\n');
    (void)g_mkdir_with_parents(dir, 0755); /* else opening says why */
    shorten(file);
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line->str, line->len) != (ssize_t)line->len || fsync(fd) < 0) {
        r = errno != 0 ? -errno : -EIO;
        (void)err_setf(err, r, "%s: %s", file, strerror(-r)); /* returned below */
    }
    if (fd >= 0) {
        (void)close(fd); /* synced, or the error is known */
    }
    return r;
}

int ha_blackbox_read(const char *file, JsonTree **ret, Err *err)
{
    g_autoptr(JsonTree) all = jsontree_new_array();
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    int r = cfsfile_read(file, 4 * HA_BLACKBOX_MAX, &text, NULL, err);

    if (r < 0 && r != -ENOENT) {
        return r;
    }
    lines = g_strsplit(text != NULL ? text : "", "\n", LINES_MAX);
    for (gsize i = 0; lines[i] != NULL; i++) {
        JsonTree *entry = NULL;

        if (jsontree_parse(lines[i], strlen(lines[i]), &entry, NULL) == 0) {
            jsontree_add(all, entry);
        }
    }
    if (r == -ENOENT) {
        err_clear(err);
    }
    *ret = g_steal_pointer(&all);
    return 0;
}
