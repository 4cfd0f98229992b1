/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/witness_sync.h"

#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_device.h"
#include "lib/port/process.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define STAMP_FILE WITNESS_HOST_DIR "/quorate-generation"
#define STORE_DIR  WITNESS_HOST_DIR "/nssdb"
#define TEXT_MAX   4096
#define LOOK_EVERY 10 /* calls: asking for the daemon's state starts a process */
#define LOCK_FILE  "/run/lock/quorate-witness.lock" /* `pvecm` and the daemon may both follow */

/* What the store and the daemon depend on, as one text; NULL: no device that is ours. */
static char *wanted(const char *pve, Err *err, int *ret)
{
    g_autofree char *conf_path = g_build_filename(pve, "corosync.conf", NULL);
    g_autofree char *gen_path = g_build_filename(pve, WITNESS_TREE_DIR, WITNESS_GEN_FILE, NULL);
    g_autofree char *text = NULL;
    g_autofree char *generation = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    CorosyncDevice d;
    gsize size = 0;

    *ret = cfsfile_read(conf_path, COROSYNC_CONF_SIZE_MAX, &text, &size, err);
    if (*ret == 0) {
        *ret = corosync_conf_parse(text, size, &conf, err);
    }
    if (*ret < 0) {
        /* In no cluster (any more): no device either. */
        *ret = *ret == -ENOENT ? 0 : *ret;
        return NULL;
    }
    if (!corosync_device_get(conf, &d) || strcmp(d.model, "net") != 0 ||
        cfsfile_read(gen_path, TEXT_MAX, &generation, NULL, NULL) < 0) {
        return NULL;
    }
    return g_strdup_printf("%s %s %s\n", g_strstrip(generation), d.host != NULL ? d.host : "",
                           d.algorithm != NULL ? d.algorithm : "");
}

static int remove_store(Err *err)
{
    g_autoptr(GDir) dir = g_dir_open(STORE_DIR, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(STORE_DIR, name, NULL);

        if (g_unlink(path) < 0) {
            int r = -errno;

            return err_setf(err, r, "%s: %s", path, strerror(-r));
        }
    }
    if (g_rmdir(STORE_DIR) < 0 && errno != ENOENT) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", STORE_DIR, strerror(-r));
    }
    return 0;
}

static int fill_store(const char *pve, Err *err)
{
    g_autofree char *ca = g_build_filename(pve, WITNESS_TREE_DIR, WITNESS_CA_FILE, NULL);
    g_autofree char *p12 = g_build_filename(pve, WITNESS_TREE_DIR, WITNESS_P12_FILE, NULL);
    const char *init[] = {"corosync-qdevice-net-certutil", "-i", "-c", ca, NULL};
    const char *import[] = {"corosync-qdevice-net-certutil", "-m", "-c", p12, NULL};
    int r;

    if ((r = remove_store(err)) < 0 || (r = process_check(init, NULL, NULL, err)) < 0 ||
        (r = process_check(import, NULL, NULL, err)) < 0) {
        return r == -ENOENT ? err_setf(err, r,
                                       "corosync-qdevice is not installed here (Debian: apt "
                                       "install corosync-qdevice)")
                            : r;
    }
    return 0;
}

static int set_up(const char *pve, const char *want, Err *err)
{
    int r;

    (void)g_unlink(STAMP_FILE); /* until all is done */
    if ((r = service_stop(SERVICE_QDEVICE, err)) < 0 || (r = fill_store(pve, err)) < 0 ||
        (r = service_start(SERVICE_QDEVICE, err)) < 0 ||
        (r = service_enable(SERVICE_QDEVICE, true, err)) < 0) {
        return r;
    }
    return cfsfile_write(STAMP_FILE, want, strlen(want), err);
}

static int take_down(Err *err)
{
    int r;

    if ((r = service_stop(SERVICE_QDEVICE, err)) < 0 ||
        (r = service_enable(SERVICE_QDEVICE, false, err)) < 0 || (r = remove_store(err)) < 0) {
        return r;
    }
    if (g_unlink(STAMP_FILE) < 0 && errno != ENOENT) {
        r = -errno;
        return err_setf(err, r, "%s: %s", STAMP_FILE, strerror(-r));
    }
    return 0;
}

static void tell(char *what, size_t size, const char *text)
{
    if (what != NULL) {
        (void)g_strlcpy(what, text, size);
    }
}

/* The daemon may have been stopped, or not be started at boot by this host's service manager. */
static int keep_running(Err *err)
{
    static unsigned calls;
    int r;

    if (calls++ % LOOK_EVERY != 0) {
        return 0;
    }
    r = service_running(SERVICE_QDEVICE, err);
    if (r == 0) {
        r = service_start(SERVICE_QDEVICE, err);
    }
    calls = r < 0 ? 0 : calls; /* corosync may not be ready yet: look again next time */
    return r < 0 ? r : 0;
}

static int follow(const char *pve, char *what, size_t what_size, Err *err)
{
    g_autofree char *stamp = NULL;
    g_autofree char *want = NULL;
    int r = 0;

    want = wanted(pve, err, &r);
    if (r < 0) {
        return r;
    }
    if (!g_file_get_contents(STAMP_FILE, &stamp, NULL, NULL)) {
        stamp = NULL;
    }
    if (g_strcmp0(stamp, want) == 0) {
        return want != NULL ? keep_running(err) : 0;
    }
    r = want != NULL ? set_up(pve, want, err) : take_down(err);
    if (r < 0) {
        return err_wrapf(err, r,
                         want != NULL ? "following the cluster's witness"
                                      : "leaving the cluster's witness");
    }
    tell(what, what_size,
         want != NULL ? "this node uses the cluster's witness now"
                      : "this node uses the cluster's witness no longer");
    return 1;
}

int witness_sync(const char *pve, char *what, size_t what_size, Err *err)
{
    int lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r;

    if (lock < 0 || flock(lock, LOCK_EX) < 0) {
        r = -errno;
        if (lock >= 0) {
            (void)close(lock); /* never was a lock */
        }
        return err_setf(err, r, "%s: %s", LOCK_FILE, strerror(-r));
    }
    r = follow(pve, what, what_size, err);
    (void)close(lock); /* ends the lock */
    return r;
}
