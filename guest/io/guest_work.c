/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_work.h"

#include "guest/io/guest_edit.h"
#include "guest/io/textfile.h"
#include "lib/port/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTES_MAX 65536

struct GuestWork {
    int fd;
    off_t found_bytes; /* lines of others, which stay until they are dealt with */
    GPtrArray *found;
};

static char *work_path(const GuestTree *t, uint32_t vmid)
{
    return g_strdup_printf("%s/work-%u", t->lock_dir, vmid);
}

static void read_found(GuestWork *w, const char *path)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len = 0;

    if (textfile_read(path, NOTES_MAX, &text, &len, NULL) < 0) {
        return; /* notes are a help, no more */
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (**line != '\0') {
            g_ptr_array_add(w->found, g_strdup(*line));
        }
    }
    w->found_bytes = (off_t)len;
}

int guest_work_begin(
    const GuestTree *t, uint32_t vmid, unsigned timeout_ms, GuestWork **ret, Err *err)
{
    g_autofree char *path = work_path(t, vmid);
    int fd;
    int r;

    if (g_mkdir_with_parents(t->lock_dir, 0755) < 0) {
        return err_setf(err, -errno, "%s: %s", t->lock_dir, g_strerror(errno));
    }
    fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    r = fd < 0 ? -errno : lockfile_wait(fd, timeout_ms);
    if (r < 0) {
        if (fd >= 0) {
            (void)close(fd); /* nothing was written */
        }
        return r == -EBUSY
                   ? err_setf(err, r, "guest %u: another command is at work on it", vmid)
                   : err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    *ret = g_new0(GuestWork, 1);
    (*ret)->fd = fd;
    (*ret)->found = g_ptr_array_new_with_free_func(g_free);
    read_found(*ret, path);
    return 0;
}

void guest_work_note(GuestWork *w, const char *word, const char *rest)
{
    g_autofree char *line = g_strdup_printf("%s %s\n", word, rest);

    (void)!write(w->fd, line, strlen(line)); /* see the header */
}

const GPtrArray *guest_work_found(const GuestWork *w)
{
    return w->found;
}

void guest_work_forget(GuestWork *w)
{
    w->found_bytes = 0;
}

void guest_work_end(GuestWork *w)
{
    if (w == NULL) {
        return;
    }
    (void)!ftruncate(w->fd, w->found_bytes); /* notes that stay say less than the configuration */
    (void)close(w->fd);
    g_ptr_array_unref(w->found);
    g_free(w);
}

bool guest_work_is_noted(const GuestTree *t, uint32_t vmid)
{
    g_autofree char *path = work_path(t, vmid);
    struct stat st;

    return stat(path, &st) == 0 && st.st_size > 0;
}
