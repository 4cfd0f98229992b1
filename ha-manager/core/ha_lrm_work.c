/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_lrm_work.h"

#include "ha-manager/core/ha_agent.h"
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_resources.h"

#include <string.h>

struct HaWork {
    const HaEnv *env;
    StrMap *waiting;  /* sid -> HaJob * */
    StrMap *busy;     /* sid -> HaJob *: a worker has it */
    StrMap *results;  /* uid -> HaResult * */
    StrMap *restarts; /* sid -> number of restarts so far */
    StrMap *own_stops; /* sid: a stop of ours was queued since the process began; set */
    StrMap *held;      /* sid -> MonoTime * (g_free): its move waits for the lease of its target */
    unsigned stop_failures;
    char *resources_text; /* what `resources` was read from */
    HaResources *resources;
};

HaWork *ha_work_new(const HaEnv *env)
{
    HaWork *w = g_new0(HaWork, 1);

    w->env = env;
    w->waiting = strmap_new(ha_job_free);
    w->busy = strmap_new(ha_job_free);
    w->results = strmap_new(ha_result_free);
    w->restarts = strmap_new(NULL);
    w->own_stops = strmap_new(NULL);
    w->held = strmap_new(g_free);
    return w;
}

void ha_work_free(HaWork *w)
{
    if (w == NULL) {
        return;
    }
    strmap_free(w->waiting);
    strmap_free(w->busy);
    strmap_free(w->results);
    strmap_free(w->restarts);
    strmap_free(w->own_stops);
    strmap_free(w->held);
    g_free(w->resources_text);
    ha_resources_free(w->resources);
    g_free(w);
}

const StrMap *ha_work_results(const HaWork *w)
{
    return w->results;
}

unsigned ha_work_stop_failures(const HaWork *w)
{
    return w->stop_failures;
}

void ha_work_forget_stop_failures(HaWork *w)
{
    w->stop_failures = 0;
}

/* A stop that is reported to nobody. */
static bool is_own_stop(const HaJob *job)
{
    return job->uid == NULL;
}

/* As documented, what waits is replaced. A stop of ours that is lost that way would leave a guest
 * running on a node that goes down. */
static bool outranks(const HaWork *w, const HaJob *waiting)
{
    return w->env->conduct.stops_first && is_own_stop(waiting);
}

/* A stop waits for the worker that has the service: that one may be starting it. */
static void queue(HaWork *w, const char *sid, HaJob *job)
{
    const HaJob *before = strmap_get(w->waiting, sid);

    if (!is_own_stop(job) &&
        (strmap_has(w->busy, sid) || (before != NULL && outranks(w, before)))) {
        ha_job_free(job);
        return;
    }
    job->passed_over = before != NULL ? before->passed_over : 0;
    strmap_set(w->waiting, sid, job);
}

static HaJob *job_new(const char *sid, const char *uid, HaServiceState state, int64_t timeout_s)
{
    HaJob *job = g_new0(HaJob, 1);

    job->sid = g_strdup(sid);
    job->uid = g_strdup(uid);
    job->state = state;
    job->timeout_s = timeout_s;
    return job;
}

static bool is_for_lrm(HaServiceState state)
{
    return state != HA_SERVICE_RECOVERY && state != HA_SERVICE_FREEZE &&
           state != HA_SERVICE_REQUEST_START;
}

static void forget_restarts(HaWork *w, const HaManagerStatus *ms)
{
    for (guint i = 0; i < strmap_size(w->restarts);) {
        if (strmap_has(ms->services, strmap_key(w->restarts, i))) {
            i++;
        } else {
            strmap_remove_at(w->restarts, i);
        }
    }
}

static bool is_motion(HaServiceState state)
{
    return state == HA_SERVICE_MIGRATE || state == HA_SERVICE_RELOCATE ||
           state == HA_SERVICE_REQUEST_START_BALANCE;
}

static void report(HaWork *w, const HaManagerStatus *ms, const HaJob *job, int code)
{
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);

    strmap_set(w->results, job->uid,
               ha_result_new(job->sid, ha_service_state_name(job->state), code));
    if (strmap_size(w->results) <= strmap_size(ms->services)) {
        return; /* pruning costs a walk over everything: only when there is something to prune */
    }
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        g_hash_table_add(known, (char *)s->uid);
    }
    for (guint i = 0; i < strmap_size(w->results);) {
        if (g_hash_table_contains(known, strmap_key(w->results, i))) {
            i++;
        } else {
            strmap_remove_at(w->results, i);
        }
    }
}

/* Does the LRM of that node hold its lease? (In maintenance it takes it when something comes.) One
 * that is not ours does not tell; an unreadable file is no reason to keep a guest. */
static bool holds_lease(const HaWork *w, const char *node)
{
    g_autofree char *text = NULL;
    g_autoptr(HaLrmStatus) ls = NULL;

    return w->env->ops->read(w->env->ctx, HA_FILE_LRM_STATUS, node, &text, NULL) < 0 ||
           ha_lrm_status_parse(text, &ls, NULL) < 0 || ls->boot_id == NULL ||
           ls->state == HA_LRM_ACTIVE || ls->state == HA_LRM_MAINTENANCE;
}

/* A guest that arrives before the lease would run unguarded: with its node cut off just then it
 * would be begun elsewhere at once. `known`: what was found of nodes in this round. */
static bool is_guarded(const HaWork *w, const char *node, StrMap *known)
{
    if (!strmap_has(known, node)) {
        strmap_set(known, node, GINT_TO_POINTER(holds_lease(w, node)));
    }
    return GPOINTER_TO_INT(strmap_get(known, node)) != 0;
}

/* True when the move has to wait; one that has waited for too long is answered as failed. */
static bool
hold_move(HaWork *w, const HaManagerStatus *ms, const char *sid, const HaService *s, StrMap *known)
{
    MonoTime now = w->env->ops->mono(w->env->ctx);
    const MonoTime *since = strmap_get(w->held, sid);

    if (!w->env->conduct.guard_moves || s->state != HA_SERVICE_MIGRATE || s->target == NULL ||
        strmap_has(w->busy, sid) || is_guarded(w, s->target, known)) {
        (void)strmap_remove(w->held, sid); /* most are not there */
        return false;
    }
    if (since == NULL) {
        ha_log(w->env, TRACE_INFO,
               "service '%s' waits with its move: node '%s' does not hold its agent lock", sid,
               s->target);
        strmap_set(w->held, sid, g_memdup2(&now, sizeof now));
    } else if (mono_diff_us(now, *since) >= w->env->timing->move_wait_ms * US_PER_MS) {
        HaJob job = {.sid = (char *)sid, .uid = (char *)s->uid, .state = s->state};

        ha_log(w->env, TRACE_ERR,
               "service '%s' stays: node '%s' did not take its agent lock for %d seconds", sid,
               s->target, (int)(w->env->timing->move_wait_ms / 1000));
        report(w, ms, &job, HA_EXIT_ERROR);
        (void)strmap_remove(w->held, sid); /* was found above */
    }
    return true;
}

static void queue_wanted(HaWork *w, const HaManagerStatus *ms, bool motions_only)
{
    g_autoptr(StrMap) known = strmap_new(NULL);

    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const char *sid = strmap_key(ms->services, i);
        const HaService *s = strmap_value(ms->services, i);
        HaJob *job;

        if (strcmp(s->node, w->env->node) != 0 || s->uid[0] == '\0' || !is_for_lrm(s->state) ||
            (motions_only && !is_motion(s->state))) {
            continue;
        }
        /* A stopped service is stopped again and again: somebody may have started it. */
        if (s->state != HA_SERVICE_STOPPED && strmap_has(w->results, s->uid)) {
            continue;
        }
        if (hold_move(w, ms, sid, s, known)) {
            continue;
        }
        job = job_new(sid, s->uid, s->state, s->timeout_s);
        job->target = g_strdup(s->target);
        queue(w, sid, job);
    }
}

void ha_work_queue_services(HaWork *w, const HaManagerStatus *ms)
{
    forget_restarts(w, ms);
    queue_wanted(w, ms, false);
}

void ha_work_queue_motions(HaWork *w, const HaManagerStatus *ms)
{
    queue_wanted(w, ms, true);
}

static bool has_strayed(const HaWork *w, const char *sid, const HaService *s)
{
    g_autofree char *where = NULL;

    if (strcmp(s->node, w->env->node) == 0) {
        return false;
    }
    where = w->env->ops->guest_node(w->env->ctx, sid);
    return g_strcmp0(where, w->env->node) == 0;
}

unsigned ha_work_strayed(const HaWork *w, const HaManagerStatus *ms)
{
    unsigned n = 0;

    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        n += ha_service_may_run(s->state) && g_strcmp0(s->target, w->env->node) != 0 &&
             has_strayed(w, strmap_key(ms->services, i), s);
    }
    return n;
}

static void queue_own_stop(HaWork *w, const char *sid, int64_t timeout_s)
{
    strmap_set(w->own_stops, sid, GINT_TO_POINTER(1));
    queue(w, sid, job_new(sid, NULL, HA_SERVICE_REQUEST_STOP, timeout_s));
}

void ha_work_queue_stops(HaWork *w, const HaManagerStatus *ms, int64_t timeout_s, bool incoming)
{
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const char *sid = strmap_key(ms->services, i);
        const HaService *s = strmap_value(ms->services, i);

        if (strcmp(s->node, w->env->node) == 0 || has_strayed(w, sid, s) ||
            (incoming && g_strcmp0(s->target, w->env->node) == 0)) {
            queue_own_stop(w, sid, timeout_s);
        }
    }
}

guint ha_work_queue_arrivals(HaWork *w, const HaManagerStatus *ms, guint *ret_incoming)
{
    guint n = 0;

    *ret_incoming = 0;
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const char *sid = strmap_key(ms->services, i);
        const HaService *s = strmap_value(ms->services, i);

        if (is_motion(s->state) && g_strcmp0(s->target, w->env->node) == 0) {
            (*ret_incoming)++; /* its guest may be here already, but the move has not ended */
        } else if (!strmap_has(w->own_stops, sid) &&
                   (strcmp(s->node, w->env->node) == 0 || has_strayed(w, sid, s))) {
            queue_own_stop(w, sid, -1);
            n++;
        }
    }
    return n;
}

/* Reads ha/resources.cfg if it changed. An error leaves what was known. */
static int read_resources(HaWork *w)
{
    g_autofree char *text = NULL;
    HaResources *res = NULL;
    Err why = ERR_INIT;
    int r = w->env->ops->read(w->env->ctx, HA_FILE_RESOURCES, NULL, &text, &why);

    if (r == 0 && w->resources_text != NULL && strcmp(w->resources_text, text) == 0) {
        return 0;
    }
    if (r == 0) {
        r = ha_resources_parse(w->env->types, text, NULL, NULL, NULL, &res, &why);
    }
    if (r < 0) {
        ha_log(w->env, TRACE_ERR, "could not read resource configuration: %s", err_text(&why));
        return r;
    }
    ha_resources_free(w->resources);
    w->resources = res;
    g_free(w->resources_text);
    w->resources_text = g_steal_pointer(&text);
    return 0;
}

/* A failed start is tried again here before anybody is told. True when it is to be reported. */
static bool give_up_start(HaWork *w, const char *sid)
{
    const HaResource *res = w->resources != NULL ? ha_resources_get(w->resources, sid) : NULL;
    int64_t max_restart = res != NULL ? res->max_restart : 1;
    int tries = GPOINTER_TO_INT(strmap_get(w->restarts, sid));

    if (tries >= max_restart) {
        ha_log(w->env, TRACE_ERR, "unable to start service %s on local node after %d retries", sid,
               tries);
        (void)strmap_remove(w->restarts, sid); /* counts anew next time */
        return true;
    }
    strmap_set(w->restarts, sid, GINT_TO_POINTER(tries + 1));
    ha_log(w->env, TRACE_WARNING, "restart policy: retry number %d for service '%s'", tries + 1,
           sid);
    return false;
}

static void finish(HaWork *w, const HaManagerStatus *ms, const HaJob *job, int code)
{
    if (job->uid == NULL) {
        w->stop_failures += code != HA_EXIT_SUCCESS;
        return;
    }
    if (job->state == HA_SERVICE_STARTED) {
        if (code == HA_EXIT_SUCCESS) {
            (void)strmap_remove(w->restarts, job->sid); /* none: nothing to forget */
        } else if (code == HA_EXIT_ERROR && !give_up_start(w, job->sid)) {
            return;
        }
    }
    report(w, ms, job, code);
}

static void collect(HaWork *w, const HaManagerStatus *ms)
{
    HaWorkerExit gone;

    while (w->env->ops->worker_reap(w->env->ctx, &gone) == 1) {
        g_autofree char *sid = gone.sid;
        HaJob *job = strmap_get(w->busy, sid);
        int code = gone.code;

        if (job == NULL) {
            continue;
        }
        if (!gone.ran) {
            ha_log(w->env, TRACE_ERR, "resource agent %s finished - failed to execute", sid);
            code = HA_EXIT_FAILED;
        } else if (gone.signal != 0) {
            ha_log(w->env, TRACE_ERR, "resource agent %s finished - got signal %d", sid,
                   gone.signal);
            code = HA_EXIT_FAILED;
        }
        finish(w, ms, job, code);
        (void)strmap_remove(w->busy, sid); /* was found above */
    }
}

static gint by_turn(gconstpointer a, gconstpointer b)
{
    const HaJob *ja = *(const HaJob *const *)a;
    const HaJob *jb = *(const HaJob *const *)b;

    if (ja->passed_over != jb->passed_over) {
        return ja->passed_over > jb->passed_over ? -1 : 1;
    }
    return strcmp(ja->sid, jb->sid);
}

static GPtrArray *take_waiting(HaWork *w)
{
    GPtrArray *jobs = g_ptr_array_new();

    for (guint i = 0; i < strmap_size(w->waiting); i++) {
        g_ptr_array_add(jobs, strmap_value(w->waiting, i));
    }
    g_ptr_array_sort(jobs, by_turn);
    return jobs;
}

/* A job leaves the queue: what becomes of it is up to the caller. */
static HaJob *take_job(HaWork *w, HaJob *job)
{
    HaJob *taken = g_new(HaJob, 1);

    *taken = *job;
    *job = (HaJob){0};
    (void)strmap_remove(w->waiting, taken->sid); /* it came from there */
    return taken;
}

static void run_in_line(HaWork *w, const HaManagerStatus *ms)
{
    g_autoptr(GPtrArray) jobs = take_waiting(w);

    for (guint i = 0; i < jobs->len; i++) {
        HaJob *job = take_job(w, g_ptr_array_index(jobs, i));
        bool configured = ha_resources_get(w->resources, job->sid) != NULL;

        finish(w, ms, job, ha_agent_run(w->env, job, configured));
        ha_job_free(job);
    }
}

/* A stop that cannot wait: the lease is lost. */
static bool is_urgent(const HaJob *job)
{
    return is_own_stop(job) && job->timeout_s == 0;
}

static void start_workers(HaWork *w)
{
    guint limit = (guint)CLAMP(w->env->max_workers, 1, HA_WORKERS_MAX);
    g_autoptr(GPtrArray) jobs = take_waiting(w);

    for (guint i = 0; i < jobs->len; i++) {
        HaJob *job = g_ptr_array_index(jobs, i);

        if (strmap_has(w->busy, job->sid)) {
            continue; /* its turn comes when that worker has ended */
        }
        if (strmap_size(w->busy) >= (is_urgent(job) ? MAX(limit, HA_STOP_WORKERS) : limit) ||
            w->env->ops->worker_start(w->env->ctx, job) < 0) {
            job->passed_over++;
            continue;
        }
        job = take_job(w, job);
        strmap_set(w->busy, job->sid, job);
    }
}

guint ha_work_run(HaWork *w, const HaManagerStatus *ms)
{
    if (w->env->max_workers > 0) {
        collect(w, ms);
    }
    /* Without the cluster filesystem what was known before has to do: stops cannot wait. */
    if (strmap_size(w->waiting) > 0 && (read_resources(w) == 0 || w->resources != NULL)) {
        if (w->env->max_workers > 0) {
            start_workers(w);
        } else {
            run_in_line(w, ms);
        }
    }
    return strmap_size(w->waiting) + strmap_size(w->busy);
}
