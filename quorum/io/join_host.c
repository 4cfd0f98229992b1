/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_host.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

/* Key and configuration of before (of an earlier cluster, or as the package brought it) stay beside
 * the new ones, and come back when the join is undone. */
static int set_aside_keys(Joiner *j, bool away, Err *err)
{
    const char *const paths[] = {j->paths->authkey, j->paths->host_conf};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *there = g_strconcat(paths[i], ".before-join", NULL);

        if (away) {
            (void)g_unlink(there); /* of a join long ago, if any */
        }
        if (rename(away ? paths[i] : there, away ? there : paths[i]) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "moving %s: %s", paths[i], strerror(-r));
        }
    }
    return 0;
}

int join_host_save(Joiner *j, Err *err)
{
    int r = set_aside_keys(j, true, err);

    if (r < 0) {
        return r;
    }
    if (g_mkdir_with_parents(j->backup, 0700) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", j->backup, strerror(-r));
    }
    for (guint i = 0; i < j->guests->len; i++) {
        const JoinerGuest *g = g_ptr_array_index(j->guests, i);
        g_autofree char *name = g_strdup_printf("%s-%s", g->dir, g->name);
        g_autofree char *path = joiner_saved(j, name);

        (void)g_unlink(path); /* of an earlier try */
        if ((r = cfsfile_write(path, g->text, g->size, err)) < 0) {
            return r;
        }
    }
    return 0;
}

int join_host_write_conf(const Joiner *j, Err *err)
{
    int r = cfsfile_write(j->paths->host_conf, j->conf, strlen(j->conf), err);

    if (r == 0 && g_chmod(j->paths->host_conf, 0644) < 0) {
        r = -errno;
        (void)err_setf(err, r, "%s: %s", j->paths->host_conf, strerror(-r));
    }
    return r;
}

int join_host_keys(Joiner *j, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(j->paths->authkey);
    int r;

    if (g_mkdir_with_parents(dir, 0755) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", dir, strerror(-r));
    }
    r = corosync_key_write(j->paths->authkey, j->authkey, j->authkey_size, err);
    return r < 0 ? r : join_host_write_conf(j, err);
}

static const char *const database_files[] = {"config.db", "config.db-wal", "config.db-shm",
                                             "config.db-journal"};

/* Moves the database out of the way, or back. */
static int move_database(Joiner *j, bool away, Err *err)
{
    for (guint i = 0; i < G_N_ELEMENTS(database_files); i++) {
        g_autofree char *here = g_build_filename(j->opt->state_dir, database_files[i], NULL);
        g_autofree char *there = joiner_saved(j, database_files[i]);

        if (rename(away ? here : there, away ? there : here) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "moving %s: %s", away ? here : there, strerror(-r));
        }
    }
    return 0;
}

int join_host_stop(Joiner *j, Err *err)
{
    int r = service_stop(SERVICE_PMXCFS, err);

    return r < 0 ? r : move_database(j, true, err);
}

int join_host_undo_save(Joiner *j, Err *err)
{
    (void)g_rmdir(j->backup); /* stays unless it is empty */
    return set_aside_keys(j, false, err);
}

int join_host_undo_keys(Joiner *j, Err *err)
{
    const char *const paths[] = {j->paths->authkey, j->paths->host_conf};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (g_unlink(paths[i]) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "%s: %s", paths[i], strerror(-r));
        }
    }
    return 0;
}

int join_host_undo_stop(Joiner *j, Err *err)
{
    g_autofree char *there = joiner_saved(j, "config.db");
    int r;

    /* With the old database still in place nothing was moved: it must not be replaced. */
    if (g_file_test(there, G_FILE_TEST_EXISTS)) {
        for (guint i = 0; i < G_N_ELEMENTS(database_files); i++) {
            g_autofree char *here = g_build_filename(j->opt->state_dir, database_files[i], NULL);

            (void)g_unlink(here); /* the cluster's content, which the cluster has */
        }
        if ((r = move_database(j, false, err)) < 0) {
            return r;
        }
    }
    return service_start(SERVICE_PMXCFS, err);
}
