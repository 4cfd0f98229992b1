/* SPDX-License-Identifier: Apache-2.0 */
/* The source's QEMU: mirrors, the memory stream, the switch, and the way back. */
#include "lib/port/clock.h"
#include "migration/core/mig_predict.h"
#include "migration/io/mig_agent.h"
#include "migration/io/mig_relay.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_source_ops.h"

#include <errno.h>
#include <string.h>

#define POLL_MS      250
#define CANCEL_MS    5000                /* for QEMU to give the stream up */
#define UNLIMITED    ((int64_t)16 << 30) /* bytes per second */
#define THROTTLE_MAX 99

/* ---- QEMU's news ----------------------------------------------------------------------------- */

static void on_migration(void *ctx, const char *status)
{
    MigJob *j = ctx;

    if (strcmp(status, "pre-switchover") == 0) {
        j->stats.stopped_at = clock_mono();
    }
    mig_job_note(j, MIG_NOTE_QEMU, 0, 0, status);
}

static void on_pass(void *ctx, unsigned n)
{
    mig_job_note(ctx, MIG_NOTE_PASS, 0, (int)n, NULL);
}

static void on_job(void *ctx, const char *id, const char *status)
{
    (void)id;
    if (strcmp(status, "ready") == 0 || strcmp(status, "concluded") == 0) {
        mig_job_note(ctx, MIG_NOTE_POLL, 0, 0, NULL);
    }
}

static void on_gone(void *ctx, const char *why)
{
    mig_job_note(ctx, MIG_NOTE_QEMU_GONE, 0, 0, why);
}

int mig_source_open_qemu(MigJob *j, Err *err)
{
    MigQemuHandlers h = {on_migration, on_pass, on_job, on_gone, j};

    if (mig_qemu_alive(j->qemu)) {
        return 0;
    }
    mig_qemu_free(g_steal_pointer(&j->qemu));
    return mig_qemu_open(j->context, j->setup->run_dir, j->vmid, &h, &j->qemu, err);
}

static gboolean on_poll(gpointer data)
{
    mig_job_note(data, MIG_NOTE_POLL, 0, 0, NULL);
    return G_SOURCE_CONTINUE;
}

static void start_poll(MigJob *j)
{
    mig_source_stop_poll(j);
    j->poll = g_timeout_source_new(POLL_MS);
    g_source_set_callback(j->poll, on_poll, j, NULL);
    (void)g_source_attach(j->poll, j->context);
}

void mig_source_stop_poll(MigJob *j)
{
    if (j->poll != NULL) {
        g_source_destroy(j->poll);
        g_source_unref(j->poll);
        j->poll = NULL;
    }
}

static JsonTree *progress(MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_text(t, "event", "progress");
    jsontree_set_text(t, "phase", mig_src_name(j->source.state));
    jsontree_set_int(t, "elapsed_ms", mono_diff_us(clock_mono(), j->stats.began) / US_PER_MS);
    return t;
}

/* ---- mirrors --------------------------------------------------------------------------------- */

int64_t mig_source_limit(const MigJob *j, const MigVolume *v)
{
    int64_t kib = mig_least_limit(j->request.bwlimit_kib, mig_agent_share(j->setup->agent));

    return mig_least_limit(kib, v != NULL ? v->limit_kib : 0) * 1024;
}

static int tls_credentials(MigJob *j, Err *err)
{
    return j->request.insecure ? 0 : mig_qemu_tls(j->qemu, j->setup->tls_dir, "client", err);
}

/* The relay of a mirror is not ours any more once QEMU has it. */
static int start_mirror(MigJob *j, const MigVolume *v, Err *err)
{
    const MigTree *tree = &j->setup->tree;
    g_autofree char *export = g_strdup_printf("drive-%s", v->drive);
    g_autofree char *file = g_strdup_printf("nbd-%u-%s", j->vmid, v->drive);
    g_autofree char *path = g_build_filename(j->setup->own_run, file, NULL);
    MigRelayTo to = {.pve = tree->pve,
                     .node = tree->node,
                     .peer = j->request.insecure ? NULL : j->peer,
                     .address = j->stream_host,
                     .port = j->nbd_port,
                     .path = path};
    MigQemuMirror m = {
        .ds = v->drive, .socket = path, .export = export, .speed = mig_source_limit(j, v)};
    g_autoptr(MigRelay) relay = NULL;
    int r = mig_relay_open(&to, &relay, err);

    if (r == 0) {
        r = mig_qemu_mirror_open(j->qemu, &m, err);
    }
    if (r < 0) {
        return r;
    }
    mig_relay_settled(relay);
    return mig_qemu_mirror(j->qemu, &m, err);
}

static int start_mirrors(MigJob *j, Err *err)
{
    int r = 0;

    for (guint i = 0; r == 0 && i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        if (v->how == MIG_VOLUME_MIRROR) {
            r = start_mirror(j, v, err);
        }
    }
    return r;
}

void mig_source_mirror(MigJob *j)
{
    Err err = ERR_INIT;
    int r;

    j->speed_set = mig_source_limit(j, NULL);
    j->stats.disks_moved = clock_mono();
    r = start_mirrors(j, &err);

    if (r < 0) {
        mig_source_done(j, MIG_OP_MIRROR, r, err_text(&err));
        return;
    }
    start_poll(j);
    mig_job_note(j, MIG_NOTE_POLL, 0, 0, NULL);
}

static int mirror_ended(const MigJob *j, const MigVolume *v, const char *error, Err *err)
{
    g_autofree char *advice = mig_volumes_full_advice(error, j->peer, v->to);

    return err_setf(err, -EIO, "the mirror of %s to storage '%s' of node '%s' ended: %s%s",
                    v->drive, v->to, j->peer, error != NULL ? error : "no reason given", advice);
}

/* 1 all are ready, 0 not yet. */
static int look_at_mirrors(MigJob *j, Err *err)
{
    JsonTree *t;
    bool all = true;
    int64_t before = j->stats.disk_done;

    j->stats.disk_done = j->stats.disk_total = 0;
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        g_autofree char *status = NULL, *error = NULL;
        int64_t done = 0, total = 0;
        int r;

        if (v->how != MIG_VOLUME_MIRROR) {
            continue;
        }
        r = mig_qemu_mirror_state(j->qemu, v->drive, &status, &error, &done, &total, err);
        if (r < 0) {
            return r;
        }
        if (strcmp(status, "concluded") == 0 || *status == '\0') {
            return mirror_ended(j, v, error, err);
        }
        all = all && strcmp(status, "ready") == 0;
        j->stats.disk_done += done;
        j->stats.disk_total += total;
    }
    if (j->stats.disk_done != before) {
        j->stats.disks_moved = clock_mono();
    }
    t = progress(j);
    jsontree_set_int(t, "transferred", j->stats.disk_done);
    jsontree_set_int(t, "total", j->stats.disk_total);
    mig_job_progress(j, t);
    return all;
}

/* QEMU waits for ever for a target that keeps its connection and does nothing. */
static int judge_silence(const MigJob *j, Err *err)
{
    int64_t silent_ms = mono_diff_us(clock_mono(), j->stats.disks_moved) / US_PER_MS;
    int64_t slowest = j->speed_set;

    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        slowest = mig_least_limit(slowest, mig_source_limit(j, v));
    }
    if (silent_ms < MIG_STALL_MS + (slowest > 0 ? MIG_STALL_PIECE * 1000 / slowest : 0)) {
        return 0;
    }
    return err_setf(err, -ETIMEDOUT,
                    "the target has taken nothing of the disks for %" G_GINT64_FORMAT " s",
                    silent_ms / 1000);
}

static void poll_mirrors(MigJob *j)
{
    Err err = ERR_INIT;
    int r = look_at_mirrors(j, &err);

    if (r == 0) {
        r = judge_silence(j, &err);
    }
    if (r != 0) {
        mig_source_done(j, MIG_OP_MIRROR, r < 0 ? r : 0, r < 0 ? err_text(&err) : NULL);
    }
}

/* All of them before the first is ended: ending one waits for the requests of the others, and a
 * connection that hangs would hang QEMU as a whole. */
static void cut_mirrors(MigJob *j)
{
    for (guint i = 0; j->volumes != NULL && i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        g_autofree char *node = g_strdup_printf("mirror-%s", v->drive);
        Err err = ERR_INIT;

        if (v->how == MIG_VOLUME_MIRROR && mig_qemu_yank(j->qemu, node, &err) == -ETIMEDOUT) {
            mig_job_say(j, "cutting the mirror of %s: %s", v->drive, err_text(&err));
        }
    }
}

static int end_mirrors(MigJob *j, bool force, Err *err)
{
    int worst = 0;

    for (guint i = 0; j->volumes != NULL && i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        int r;

        if (v->how != MIG_VOLUME_MIRROR) {
            continue;
        }
        r = mig_qemu_mirror_end(j->qemu, v->drive, force, err);
        worst = r < 0 && !force ? r : worst;
    }
    return worst;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int set_capabilities(MigJob *j, Err *err)
{
    const char *on[10] = {"events", "return-path", "pause-before-switchover", "auto-converge",
                          "late-block-activate"};
    guint n = 5;

    if (j->channels > 0) {
        on[n++] = "multifd";
    }
    if (j->request.policy == MIG_POLICY_POSTCOPY) {
        on[n++] = "postcopy-ram";
        on[3] = "events"; /* throttled pages and post-copy do not help each other */
    }
    on[n] = NULL;
    return mig_qemu_set_capabilities(j->qemu, on, err);
}

static int set_parameters(MigJob *j, Err *err)
{
    JsonTree *a = jsontree_new_object();

    j->speed_set = mig_source_limit(j, NULL);
    jsontree_set_int(a, "max-bandwidth", j->speed_set > 0 ? j->speed_set : UNLIMITED);
    jsontree_set_int(a, "downtime-limit", mig_downtime_limit(j->request.downtime_ms, 1));
    jsontree_set_text(a, "tls-creds", j->request.insecure ? "" : "migtls");
    jsontree_set_text(a, "tls-hostname", j->request.insecure ? "" : j->peer);
    jsontree_set_int(a, "cpu-throttle-initial", 20);
    jsontree_set_int(a, "cpu-throttle-increment", 10);
    jsontree_set_int(a, "max-cpu-throttle", THROTTLE_MAX);
    if (j->channels > 0) {
        jsontree_set_int(a, "multifd-channels", j->channels);
        jsontree_set_text(a, "multifd-compression", j->compress ? "zstd" : "none");
    }
    return mig_qemu_call(j->qemu, "migrate-set-parameters", a, NULL, err);
}

static int begin_stream(MigJob *j, bool resume, Err *err)
{
    bool six = strchr(j->stream_host, ':') != NULL;
    g_autofree char *uri = g_strdup_printf("tcp:%s%s%s:%u", six ? "[" : "", j->stream_host,
                                           six ? "]" : "", j->stream_port);
    JsonTree *a = jsontree_new_object();

    jsontree_set_text(a, "uri", uri);
    if (resume) {
        jsontree_set_bool(a, "resume", true);
    }
    return mig_qemu_call(j->qemu, "migrate", a, NULL, err);
}

/* See bound_arrivals() of the target. QEMU makes its connections by itself, one after the other, so
 * this is called until all of them were there. */
static void bound_departures(MigJob *j)
{
    Err err = ERR_INIT;
    int n;

    if (!j->compress || j->bounded) {
        return;
    }
    n = mig_socket_bound(mig_job_qemu_pid(j), j->stream_host, j->stream_port, &err);
    if (n < 0) {
        mig_job_say(j, "%s: the guest may stand still longer than promised", err_text(&err));
    }
    j->bounded = n < 0 || (unsigned)n > j->channels;
}

void mig_source_migrate(MigJob *j)
{
    Err err = ERR_INIT;
    int r;

    j->stats.moved_from = clock_mono();
    if ((r = tls_credentials(j, &err)) < 0 || (r = set_capabilities(j, &err)) < 0 ||
        (r = set_parameters(j, &err)) < 0 || (r = begin_stream(j, false, &err)) < 0) {
        mig_source_done(j, MIG_OP_MIGRATE, r, err_text(&err));
        return;
    }
    start_poll(j);
}

void mig_source_throttle(MigJob *j)
{
    JsonTree *a = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set_int(a, "cpu-throttle-initial", THROTTLE_MAX);
    jsontree_set_int(a, "cpu-throttle-increment", THROTTLE_MAX);
    mig_job_say(j, "the time is over: the guest is slowed down as far as it goes");
    if (mig_qemu_call(j->qemu, "migrate-set-parameters", a, NULL, &err) < 0) {
        mig_job_say(j, "%s", err_text(&err));
    }
}

void mig_source_postcopy(MigJob *j)
{
    Err err = ERR_INIT;

    mig_job_say(j, "the time is over: going on as post-copy, there is no way back");
    if (mig_qemu_call(j->qemu, "migrate-start-postcopy", NULL, NULL, &err) < 0) {
        mig_source_done(j, MIG_OP_MIGRATE, -EIO, err_text(&err));
    }
}

void mig_source_pause_postcopy(MigJob *j)
{
    Err err = ERR_INIT;

    if (mig_qemu_call(j->qemu, "migrate-pause", NULL, NULL, &err) < 0) {
        mig_job_say(j, "%s", err_text(&err)); /* then it has ended or paused by itself */
    }
}

static int go_on(MigJob *j, Err *err)
{
    JsonTree *a = jsontree_new_object();

    jsontree_set_text(a, "state", "pre-switchover");
    return mig_qemu_call(j->qemu, "migrate-continue", a, NULL, err);
}

/* The guest is stopped: the mirrors end with equal disks, then the last of the memory goes. */
void mig_source_switch(MigJob *j)
{
    Err err = ERR_INIT;
    int r = end_mirrors(j, false, &err);

    if (r == 0) {
        r = go_on(j, &err);
    }
    if (r < 0) {
        mig_source_done(j, MIG_OP_SWITCH, r, err_text(&err));
    }
}

void mig_source_continue(MigJob *j)
{
    Err err = ERR_INIT;
    int r = go_on(j, &err);

    if (r < 0) {
        mig_source_done(j, MIG_OP_CONTINUE, r, err_text(&err));
    }
}

/* The status may have come already. */
void mig_source_rest(MigJob *j)
{
    Err err = ERR_INIT;
    g_autoptr(JsonTree) t = mig_qemu_query_migrate(j->qemu, &err);
    const char *status = jsontree_get_text(t, "status");

    mig_job_note(j, status != NULL ? (int)MIG_NOTE_QEMU : (int)MIG_NOTE_QEMU_GONE, 0, 0, status);
}

bool mig_source_is_paused(MigJob *j)
{
    Err err = ERR_INIT;
    g_autoptr(JsonTree) t = mig_qemu_query_migrate(j->qemu, &err);

    return g_strcmp0(jsontree_get_text(t, "status"), "postcopy-paused") == 0;
}

void mig_source_recover(MigJob *j, const char *host, unsigned port)
{
    Err err = ERR_INIT;
    int r;

    g_free(j->stream_host);
    j->stream_host = g_strdup(host);
    j->stream_port = port;
    r = begin_stream(j, true, &err);
    mig_source_done(j, MIG_OP_RECOVER, r, r < 0 ? err_text(&err) : NULL);
}

/* ---- limits that change -----------------------------------------------------------------------
 */

static void set_mirror_speeds(MigJob *j)
{
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        Err err = ERR_INIT;

        if (v->how == MIG_VOLUME_MIRROR &&
            mig_qemu_mirror_speed(j->qemu, v->drive, mig_source_limit(j, v), &err) < 0) {
            mig_job_say(j, "the limit of %s: %s", v->drive, err_text(&err));
        }
    }
}

/* Other moves began or ended: the share of the node's limit is another one. */
static void adapt_speed(MigJob *j)
{
    int64_t now = mig_source_limit(j, NULL);
    JsonTree *a;
    Err err = ERR_INIT;

    if (now == j->speed_set) {
        return;
    }
    j->speed_set = now;
    if (j->source.busy == MIG_OP_MIRROR) {
        set_mirror_speeds(j);
        return;
    }
    a = jsontree_new_object();
    jsontree_set_int(a, "max-bandwidth", now > 0 ? now : UNLIMITED);
    if (mig_qemu_call(j->qemu, "migrate-set-parameters", a, NULL, &err) < 0) {
        mig_job_say(j, "the limit of the memory: %s", err_text(&err));
    }
}

/* The last pass was not the last one: the guest may stand still longer, within the promise. */
static void on_next_pass(MigJob *j, unsigned pass)
{
    int64_t limit = mig_downtime_limit(j->request.downtime_ms, pass);
    JsonTree *a;
    Err err = ERR_INIT;

    if (limit == mig_downtime_limit(j->request.downtime_ms, pass - 1)) {
        return;
    }
    a = jsontree_new_object();
    jsontree_set_int(a, "downtime-limit", limit);
    if (mig_qemu_call(j->qemu, "migrate-set-parameters", a, NULL, &err) < 0) {
        mig_job_say(j, "the limit of standing still: %s", err_text(&err));
    }
}

/* ---- progress -------------------------------------------------------------------------------- */

static void note_stats(MigJob *j, const JsonTree *t)
{
    const JsonTree *ram = jsontree_get(t, "ram");
    MigStats *s = &j->stats;

    s->transferred = jsontree_get_int(ram, "transferred", s->transferred);
    s->remaining = jsontree_get_int(ram, "remaining", s->remaining);
    s->total = jsontree_get_int(ram, "total", s->total);
    s->rate = (int64_t)(jsontree_real(jsontree_get(ram, "mbps"), 0) * 125000);
    s->dirty_rate =
        jsontree_get_int(ram, "dirty-pages-rate", 0) * jsontree_get_int(ram, "page-size", 4096);
    s->expected_downtime_ms = jsontree_get_int(t, "expected-downtime", s->expected_downtime_ms);
    s->throttle = jsontree_get_int(t, "cpu-throttle-percentage", 0);
    s->downtime_ms = jsontree_get_int(t, "downtime", s->downtime_ms);
    s->total_ms = jsontree_get_int(t, "total-time", s->total_ms);
    s->setup_ms = jsontree_get_int(t, "setup-time", s->setup_ms);
}

void mig_source_final_stats(MigJob *j)
{
    Err err = ERR_INIT;
    g_autoptr(JsonTree) t = mig_qemu_alive(j->qemu) ? mig_qemu_query_migrate(j->qemu, &err) : NULL;

    if (t != NULL) {
        note_stats(j, t);
    }
}

static void poll_memory(MigJob *j)
{
    Err err = ERR_INIT;
    g_autoptr(JsonTree) t = mig_qemu_query_migrate(j->qemu, &err);
    JsonTree *p;

    if (t == NULL) {
        return; /* its end is reported on its own */
    }
    /* Here, and not when the guest is stopped: without quorum the rename fails as well. */
    j->source.quorate = mig_tree_quorate(&j->setup->tree, &err) == 1;
    note_stats(j, t);
    p = progress(j);
    jsontree_set_int(p, "transferred", j->stats.transferred);
    jsontree_set_int(p, "remaining", j->stats.remaining);
    jsontree_set_int(p, "total", j->stats.total);
    jsontree_set_int(p, "rate", j->stats.rate);
    jsontree_set_int(p, "dirty_rate", j->stats.dirty_rate);
    jsontree_set_int(p, "expected_downtime_ms", j->stats.expected_downtime_ms);
    jsontree_set_int(p, "throttle", j->stats.throttle);
    mig_job_progress(j, p);
}

static void stream_failed(MigJob *j, const char *status)
{
    g_autofree char *why = mig_qemu_migrate_error(j->qemu);
    g_autofree char *text =
        g_strdup_printf("the stream of the memory %s%s%s", status, *why != '\0' ? ": " : "", why);

    mig_source_done(j, j->source.busy, -EIO, text);
}

static void on_status(MigJob *j, const char *status)
{
    MigOp busy = j->source.busy;
    bool bad = strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0;

    if (busy == MIG_OP_MIGRATE && strcmp(status, "active") == 0) {
        bound_departures(j);
    }
    if (bad && (busy == MIG_OP_MIGRATE || busy == MIG_OP_SWITCH || busy == MIG_OP_CONTINUE ||
                busy == MIG_OP_REST)) {
        stream_failed(j, status);
    } else if (busy == MIG_OP_MIGRATE && strcmp(status, "pre-switchover") == 0) {
        mig_source_done(j, busy, 0, NULL);
    } else if (busy == MIG_OP_CONTINUE &&
               (strcmp(status, "postcopy-active") == 0 || strcmp(status, "completed") == 0)) {
        mig_source_done(j, busy, 0, NULL);
    } else if (busy == MIG_OP_REST && strcmp(status, "postcopy-paused") == 0) {
        mig_source_done(j, busy, -EAGAIN, "the stream of the memory broke");
    } else if ((busy == MIG_OP_SWITCH || busy == MIG_OP_REST) && strcmp(status, "completed") == 0) {
        mig_source_done(j, busy, 0, NULL);
    }
}

static void on_qemu_gone(MigJob *j, const char *why)
{
    static const MigOp local[] = {MIG_OP_MIRROR, MIG_OP_MIGRATE, MIG_OP_SWITCH, MIG_OP_CONTINUE,
                                  MIG_OP_REST};
    g_autofree char *text = g_strdup_printf("QEMU of the guest has ended (%s)", why);

    for (guint i = 0; i < G_N_ELEMENTS(local); i++) {
        if (j->source.busy == local[i]) {
            mig_source_done(j, local[i], -ESRCH, text);
        }
    }
}

void mig_source_news(MigJob *j, const MigNote *n)
{
    if (n->kind == MIG_NOTE_QEMU) {
        on_status(j, n->text);
    } else if (n->kind == MIG_NOTE_QEMU_GONE) {
        on_qemu_gone(j, n->text);
    } else if (n->kind == MIG_NOTE_PASS) {
        if (j->source.busy == MIG_OP_MIGRATE && n->r > 1) {
            on_next_pass(j, (unsigned)n->r);
        }
    } else if (j->source.busy == MIG_OP_MIRROR) {
        adapt_speed(j);
        poll_mirrors(j);
    } else if (j->source.busy == MIG_OP_MIGRATE || j->source.busy == MIG_OP_REST) {
        bound_departures(j);
        adapt_speed(j);
        poll_memory(j);
    }
}

/* ---- the way back ---------------------------------------------------------------------------- */

static bool settled(const char *status)
{
    return strcmp(status, "active") != 0 && strcmp(status, "setup") != 0 &&
           strcmp(status, "cancelling") != 0 && strcmp(status, "device") != 0 &&
           strcmp(status, "pre-switchover") != 0 && strcmp(status, "wait-unplug") != 0;
}

/* Status of the stream once it is settled. Caller frees; NULL when QEMU is gone or hangs. */
static char *wait_settled(MigJob *j, unsigned ms, Err *err)
{
    MonoTime until = mono_add_ms(clock_mono(), ms);

    for (;;) {
        g_autoptr(JsonTree) t = mig_qemu_query_migrate(j->qemu, err);
        const char *status = jsontree_get_text(t, "status");

        if (t == NULL) {
            return NULL;
        }
        note_stats(j, t);
        if (status == NULL || settled(status)) {
            return g_strdup(status != NULL ? status : "none");
        }
        if (!mono_before(clock_mono(), until)) {
            (void)err_setf(err, -ETIMEDOUT, "QEMU does not give the stream up (%s)", status);
            return NULL;
        }
        g_usleep(10000);
    }
}

static char *cancel_stream(MigJob *j, Err *err)
{
    Err ignored = ERR_INIT;
    char *status;

    if (mig_qemu_call(j->qemu, "migrate_cancel", NULL, NULL, err) < 0 && !mig_qemu_alive(j->qemu)) {
        return NULL;
    }
    status = wait_settled(j, CANCEL_MS, err);
    if (status != NULL || !mig_qemu_alive(j->qemu)) {
        return status;
    }
    mig_job_say(j, "%s: its connection is cut", err_text(err));
    if (mig_qemu_yank(j->qemu, NULL, &ignored) < 0) {
        mig_job_say(j, "%s", err_text(&ignored));
    }
    return wait_settled(j, CANCEL_MS, err);
}

/* After a stream that did not complete the guest goes on by itself; to be sure it is told again. */
static MigCanceled ensure_running(MigJob *j)
{
    Err err = ERR_INIT;
    g_autofree char *state = mig_qemu_run_state(j->qemu, &err);

    if (state == NULL || strcmp(state, "running") == 0 || j->guest_paused) {
        return MIG_CANCELED_RUNS;
    }
    return mig_qemu_call(j->qemu, "cont", NULL, NULL, &err) < 0 ? MIG_CANCELED_STANDS
                                                                : MIG_CANCELED_RUNS;
}

void mig_source_cancel_stream(MigJob *j)
{
    Err err = ERR_INIT;
    g_autofree char *status = NULL;
    MigCanceled became = MIG_CANCELED_RUNS;

    mig_source_stop_poll(j);
    if (mig_source_open_qemu(j, &err) < 0) {
        mig_job_say(j, "%s", err_text(&err));
        mig_source_done(j, MIG_OP_CANCEL, became, NULL); /* nothing of it is left to cancel */
        return;
    }
    cut_mirrors(j);
    if (end_mirrors(j, true, &err) < 0) {
        mig_job_say(j, "%s", err_text(&err));
    }
    status = cancel_stream(j, &err);
    if (status != NULL && strcmp(status, "completed") == 0) {
        mig_source_done(j, MIG_OP_CANCEL, MIG_CANCELED_TOO_LATE, NULL);
        return;
    }
    if (mig_qemu_alive(j->qemu)) {
        mig_qemu_forget_tls(j->qemu);
        became = ensure_running(j);
    }
    mig_source_done(j, MIG_OP_CANCEL, became, NULL);
}

void mig_source_cont(MigJob *j)
{
    Err err = ERR_INIT;
    int r = mig_source_open_qemu(j, &err);
    bool gone = r == -ENOENT || r == -ECONNREFUSED;

    if (r == 0 && !j->guest_paused) {
        r = mig_qemu_call(j->qemu, "cont", NULL, NULL, &err);
        gone = r < 0 && !mig_qemu_alive(j->qemu);
    }
    if (r == 0) {
        mig_qemu_forget_tls(j->qemu);
        mig_job_say(j, "the guest goes on here");
    }
    mig_source_done(j, MIG_OP_CONT, gone ? -ESRCH : r < 0 ? -EIO : 0,
                    r < 0 ? err_text(&err) : NULL);
}
