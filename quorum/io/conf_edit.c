/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/conf_edit.h"

#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_check.h"
#include "lib/conf/corosync_device.h"
#include "quorum/io/cluster_create.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_TIMEOUT_MS 1000

static unsigned timeout_ms = CONF_EDIT_TIMEOUT_MS;

void conf_edit_be_patient(void)
{
    timeout_ms = CFSLOCK_LIFE_SEC * 1000 + CONF_EDIT_TIMEOUT_MS;
}

int conf_edit_begin(const char *pve, ConfEdit *ret, Err *err)
{
    g_auto(ConfEdit) e = {.pve = g_strdup(pve)};
    int r;

    if ((r = own_lock_acquire(pve, CONF_EDIT_LOCK, timeout_ms, &e.lock, err)) < 0 ||
        (r = node_tree_conf(pve, &e.conf, err)) < 0) {
        return r;
    }
    e.version = corosync_conf_version(e.conf);
    *ret = e;
    e = (ConfEdit){0};
    return 0;
}

int conf_edit_commit(ConfEdit *e, Err *err)
{
    g_autofree char *staged = g_build_filename(e->pve, "corosync.conf.new", NULL);
    g_autofree char *path = g_build_filename(e->pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    int r;

    if (corosync_conf_version(e->conf) == e->version) {
        return 0;
    }
    (void)corosync_device_follow(e->conf); /* whether or not the witness' votes had to change */
    text = corosync_conf_format(e->conf);
    if ((r = corosync_check_text(text, strlen(text), NULL, 0, err)) < 0) {
        return err_wrapf(err, r, "the changed corosync.conf");
    }
    if ((r = own_lock_renew(e->lock, err)) < 0 ||
        (r = cfsfile_write(staged, text, strlen(text), err)) < 0) {
        return r;
    }
    if (rename(staged, path) < 0) {
        r = -errno;
        (void)unlink(staged);
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    e->version = corosync_conf_version(e->conf);
    return 0;
}

void conf_edit_tell(ConfEdit *e)
{
    own_lock_release(g_steal_pointer(&e->lock));
    conf_edit_spread(corosync_conf_version(e->conf));
}

void conf_edit_spread(uint64_t want)
{
    gint64 deadline = g_get_monotonic_time() + TELL_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    bool there = false;

    while (!there && g_get_monotonic_time() < deadline) {
        g_autofree char *text = NULL;
        uint64_t version = 0;
        gsize size = 0;

        there = cfsfile_read(cluster_paths.host_conf, COROSYNC_CONF_SIZE_MAX, &text, &size, NULL) ==
                    0 &&
                corosync_text_version(text, size, &version) && version >= want;
        if (!there) {
            g_usleep(5 * 1000);
        }
    }
    /* When it fails the cluster filesystem does it, a little later. */
    if (there && service_reload_corosync(NULL) < 0) {
        return;
    }
}

void conf_edit_done(ConfEdit *e)
{
    own_lock_release(e->lock);
    e->lock = NULL;
    corosync_conf_free(e->conf);
    e->conf = NULL;
    g_clear_pointer(&e->pve, g_free);
}
