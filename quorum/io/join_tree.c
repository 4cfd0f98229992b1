/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_tree.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/join_login.h"
#include "quorum/io/node_files.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define SYNC_TIMEOUT_SEC 120 /* until the cluster's tree is mounted and in sync */

/* The token's own record is in the cluster's tree: seeing it means that the tree has arrived. So
 * does the CA's key, which a new database does not hold. */
static int wait_for_tree(Joiner *j, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + SYNC_TIMEOUT_SEC * G_USEC_PER_SEC;
    g_autofree char *id = jointoken_id_text(j->token.id);
    g_autofree char *path = joiner_by_token(j)
                                ? g_build_filename(j->paths->pve, "priv", "join-tokens", id, NULL)
                                : g_build_filename(j->paths->pve, "priv", "pve-root-ca.key", NULL);

    while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "the cluster's files did not arrive within %d s",
                            SYNC_TIMEOUT_SEC);
        }
        g_usleep(50 * 1000);
    }
    return 0;
}

int join_tree_mount(Joiner *j, Err *err)
{
    int r;

    if ((r = service_start(SERVICE_PMXCFS, err)) < 0 || (r = wait_for_tree(j, err)) < 0) {
        return r;
    }
    return cluster_wait_quorate(j->paths, SYNC_TIMEOUT_SEC, err);
}

int join_tree_fill(Joiner *j, Err *err)
{
    g_autofree char *base = g_build_filename(j->paths->pve, "nodes", j->node, NULL);
    g_autofree char *key = g_build_filename(base, "pve-ssl.key", NULL);
    g_autofree char *cert = g_build_filename(base, "pve-ssl.pem", NULL);
    int r;

    if (!joiner_by_token(j)) {
        r = join_login_files(j, err);
    } else if ((r = node_files_directories(j->paths->pve, j->node, err)) == 0 &&
               (r = cfsfile_write(key, j->key, strlen(j->key), err)) == 0) {
        r = cfsfile_write(cert, j->cert, strlen(j->cert), err);
    }
    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < j->guests->len; i++) {
        const JoinerGuest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *path = g_build_filename(base, g->dir, g->name, NULL);

        if ((r = cfsfile_write(path, g->text, g->size, err)) < 0) {
            return r;
        }
        joiner_say(j, "kept guest %s", g->name);
    }
    return 0;
}

/* Guests that were brought in are taken out again while the tree is still writable. */
void join_tree_undo_fill(Joiner *j)
{
    for (guint i = 0; i < j->guests->len; i++) {
        const JoinerGuest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *path =
            g_build_filename(j->paths->pve, "nodes", j->node, g->dir, g->name, NULL);

        (void)g_unlink(path); /* not written yet, or no quorum: then the cluster's admin sees it */
    }
}
