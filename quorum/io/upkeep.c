/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/upkeep.h"

#include "quorum/io/cluster_log.h"
#include "quorum/io/door.h"
#include "quorum/io/join_journal.h"
#include "quorum/io/node_job.h"

#include <syslog.h>
#include <unistd.h>

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
    if (!node_job_pending(u->state_dir) && !join_journal_exists(u->state_dir)) {
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

/* A node of its own needs a certificate as well, for its API. Under the lock: one that joins
 * meanwhile must not get an authority made for itself alone. Number of things made, or -errno; 0
 * also when it could not write now. */
static int update_own(Upkeep *u, Err *err)
{
    int lock = cluster_lock(&u->paths, err);
    int r = lock < 0 ? lock : 0;

    if (r == 0 && !cluster_configured(&u->paths) &&
        cluster_wait_writable(&u->paths, 0, NULL) == 0) {
        r = cluster_update_certs(&u->paths, false, say_line, u, err);
    }
    if (lock >= 0) {
        (void)close(lock); /* ends the lock */
    }
    return r;
}

/* Certificates end; who runs a cluster for years should not have to think of it. */
static void renew_certificates(Upkeep *u)
{
    Err err = ERR_INIT;
    int r = 0;

    if (!cluster_configured(&u->paths)) {
        r = update_own(u, &err);
    } else if (cluster_wait_quorate(&u->paths, 0, NULL) == 0) {
        r = cluster_update_certs(&u->paths, false, say_line, u, &err);
    } /* else: not able to write; next time */
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
