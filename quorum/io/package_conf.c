/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/package_conf.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef enum Found { FOUND_NOTHING, FOUND_EXAMPLE, FOUND_CLUSTER } Found;

/* What cannot be read as a configuration is somebody's cluster: hands off. */
static Found look(const char *path)
{
    g_autofree char *text = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, COROSYNC_CONF_SIZE_MAX, &text, &size, NULL);

    if (r < 0) {
        return r == -ENOENT ? FOUND_NOTHING : FOUND_CLUSTER;
    }
    return corosync_conf_parse(text, size, &conf, NULL) == 0 && corosync_is_example(conf)
               ? FOUND_EXAMPLE
               : FOUND_CLUSTER;
}

static Found in_tree(const ClusterPaths *paths)
{
    g_autofree char *path = g_build_filename(paths->pve, "corosync.conf", NULL);

    return look(path);
}

bool package_conf_found(const ClusterPaths *paths)
{
    Found host = look(paths->host_conf), tree = in_tree(paths);

    return host != FOUND_CLUSTER && tree != FOUND_CLUSTER &&
           (host == FOUND_EXAMPLE || tree == FOUND_EXAMPLE);
}

int package_conf_clear(const ClusterPaths *paths,
                       void (*say)(void *ctx, const char *line),
                       void *ctx,
                       Err *err)
{
    g_autofree char *kept = g_strconcat(paths->host_conf, PACKAGE_CONF_KEPT, NULL);
    int r;

    if (!package_conf_found(paths)) {
        return 0;
    }
    if (say != NULL) {
        say(ctx, "the example configuration of the corosync package goes out of the way");
    }
    if ((r = service_stop(SERVICE_COROSYNC, err)) < 0) {
        return r;
    }
    /* Before pmxcfs starts again, which would take it in once more. */
    if (rename(paths->host_conf, kept) < 0 && errno != ENOENT) {
        r = -errno;
        return err_setf(err, r, "moving %s: %s", paths->host_conf, strerror(-r));
    }
    return in_tree(paths) == FOUND_EXAMPLE
               ? cluster_remove_tree_conf(paths, PACKAGE_CONF_WAIT_SEC, err)
               : 0;
}
