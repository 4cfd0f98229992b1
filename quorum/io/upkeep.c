/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/upkeep.h"

#include "quorum/io/cluster_log.h"
#include "quorum/io/door.h"
#include "quorum/io/join_client.h"
#include "quorum/io/node_job.h"

#include <syslog.h>

struct Upkeep {
    char *pve, *authkey, *state_dir;
    ClusterPaths paths;
    int renew_sec;
    Tracer tracer;
    GThread *thread;
    GMutex lock; /* protects what follows */
    GCond wake;
    bool stop;
};

/* Seconds until the next time. */
static int ask_at_door(Upkeep *u)
{
    DoorAnswer answer = DOOR_MEMBER;
    Err err = ERR_INIT;

    /* A join or a departure under way starts and stops things by itself. */
    if (!node_job_pending(u->state_dir) && !join_client_pending(u->state_dir)) {
        answer = door_ask(&u->paths, u->state_dir, &u->tracer, &err);
    }
    if (answer == DOOR_UNKNOWN) {
        trace(&u->tracer, TRACE_DEBUG, "asking whether this node is a member: %s", err_text(&err));
    }
    return answer == DOOR_REMOVED ? DOOR_REMOVED_SEC : DOOR_REPEAT_SEC;
}

static void say_line(void *ctx, const char *line)
{
    Upkeep *u = ctx;

    trace(&u->tracer, TRACE_NOTICE, "%s", line);
}

/* Certificates end; who runs a cluster for years should not have to think of it. */
static void renew_certificates(Upkeep *u)
{
    g_autofree char *conf = g_build_filename(u->pve, "corosync.conf", NULL);
    Err err = ERR_INIT;
    int r;

    if (!g_file_test(conf, G_FILE_TEST_EXISTS) || cluster_wait_quorate(&u->paths, 0, &err) < 0) {
        return; /* in no cluster, or not able to write: next time */
    }
    r = cluster_update_certs(&u->paths, false, say_line, u, &err);
    if (r < 0) {
        trace(&u->tracer, TRACE_ERR, "renewing this node's certificate: %s", err_text(&err));
    } else if (r > 0) {
        cluster_log(LOG_INFO, "%d key(s) and certificate(s) of this node were renewed", r);
    }
}

static gpointer run(gpointer data)
{
    Upkeep *u = data;
    gint64 next = g_get_monotonic_time() + DOOR_FIRST_SEC * G_USEC_PER_SEC;
    gint64 renew =
        g_get_monotonic_time() + MIN(u->renew_sec, UPKEEP_START_SEC) * (gint64)G_USEC_PER_SEC;

    g_mutex_lock(&u->lock);
    while (!u->stop) {
        if (g_cond_wait_until(&u->wake, &u->lock, MIN(next, renew))) {
            continue;
        }
        g_mutex_unlock(&u->lock);
        if (g_get_monotonic_time() >= next) {
            int pause_sec = ask_at_door(u);

            next = g_get_monotonic_time() + pause_sec * (gint64)G_USEC_PER_SEC;
        }
        if (g_get_monotonic_time() >= renew) {
            renew_certificates(u);
            renew = g_get_monotonic_time() + u->renew_sec * (gint64)G_USEC_PER_SEC;
        }
        g_mutex_lock(&u->lock);
    }
    g_mutex_unlock(&u->lock);
    return NULL;
}

Upkeep *upkeep_start(
    const char *pve, const char *authkey, const char *state_dir, int renew_sec, Tracer tracer)
{
    Upkeep *u = g_new0(Upkeep, 1);

    u->pve = g_strdup(pve);
    u->authkey = g_strdup(authkey);
    u->state_dir = g_strdup(state_dir);
    u->paths = cluster_paths;
    u->paths.pve = u->pve;
    u->paths.authkey = u->authkey;
    u->renew_sec = renew_sec;
    u->tracer = tracer;
    g_mutex_init(&u->lock);
    g_cond_init(&u->wake);
    u->thread = g_thread_new("upkeep", run, u);
    return u;
}

void upkeep_stop(Upkeep *u)
{
    if (u == NULL) {
        return;
    }
    g_mutex_lock(&u->lock);
    u->stop = true;
    g_cond_signal(&u->wake);
    g_mutex_unlock(&u->lock);
    (void)g_thread_join(u->thread);
    g_mutex_clear(&u->lock);
    g_cond_clear(&u->wake);
    g_free(u->pve);
    g_free(u->authkey);
    g_free(u->state_dir);
    g_free(u);
}
