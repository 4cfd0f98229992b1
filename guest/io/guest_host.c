/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_host.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

static int make_run_dir(const char *dir, Err *err)
{
    if (g_mkdir_with_parents(dir, 0700) < 0) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    return 0;
}

int guest_host_open(const char *root, const char *run_dir, GuestHost **ret, Err *err)
{
    g_autoptr(GuestHost) h = g_new0(GuestHost, 1);
    int r = guest_tree_open(root, NULL, &h->tree, err);

    h->run_dir = g_strdup(run_dir != NULL ? run_dir : GUEST_RUN_DIR);
    if (r == 0) {
        r = make_run_dir(h->run_dir, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&h);
    return 0;
}

void guest_host_free(GuestHost *h)
{
    if (h == NULL) {
        return;
    }
    guest_tree_free(h->tree);
    g_free(h->run_dir);
    g_free(h);
}

void guest_say(const GuestHost *h, GuestSayKind kind, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    if (h->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    h->say(h->ctx, kind, line);
}

char *guest_script_dir(void)
{
    char self[4096];
    ssize_t n = readlink(SELF, self, sizeof self - 1);

    if (n > 0) {
        self[n] = '\0';
        g_autofree char *here = g_path_get_dirname(self);
        g_autofree char *top = g_path_get_dirname(here);
        g_autofree char *dir = g_build_filename(top, "guest", NULL);
        g_autofree char *bridge = g_build_filename(dir, "qm-bridge", NULL);
        if (access(bridge, X_OK) == 0) {
            return g_steal_pointer(&dir);
        }
    }
    return g_strdup(QM_SCRIPT_DIR);
}
