/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "migration/io/mig_agent.h"
#include "migration/io/mig_job.h"
#include "migration/io/mig_source_ops.h"

#include <errno.h>
#include <string.h>

#define STOP_MS       60000 /* for `qm stop` and `pvesm free` */
#define STREAM_MIN_MS 50    /* a shorter one says nothing about the speed */
#define STREAM_MIN    (INT64_C(32) << 20) /* nor does one of fewer bytes: it is all handshake */

void mig_source_done(MigJob *j, MigOp op, int r, const char *text)
{
    mig_job_note(j, MIG_EV_DONE, op, r, text);
}

static void done_err(MigJob *j, MigOp op, int r, const Err *err)
{
    mig_source_done(j, op, r, r < 0 ? err_text(err) : NULL);
}

/* ---- the link -------------------------------------------------------------------------------- */

static void drop_link(MigJob *j)
{
    if (j->link != NULL) {
        mig_link_close(j->link);
        mig_link_unref(g_steal_pointer(&j->link));
    }
}

static void op_connect(MigJob *j)
{
    const MigSetup *s = j->setup;
    MigIdentity me = {s->tree.pve, s->tree.node};
    MigLinkHandlers h = mig_job_link_handlers(j);
    g_autofree char *address = NULL;
    Err err = ERR_INIT;
    int r = strcmp(j->peer, s->tree.node) == 0
                ? err_setf(&err, -EINVAL, "the guest is on node '%s' already", j->peer)
                : mig_tree_member(&s->tree, j->peer, &address, &err);

    drop_link(j);
    if (r == 0) {
        r = mig_link_connect(NULL, &me, j->peer, address, MIG_PORT_CONTROL, &h, &j->link, &err);
    }
    if (r < 0) {
        done_err(j, MIG_OP_CONNECT, r, &err);
    }
}

static void say_hello(MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_int(t, "version", WIRE_MIG_VERSION);
    jsontree_set_int(t, "oldest", WIRE_MIG_VERSION);
    jsontree_set_text(t, "node", j->setup->tree.node);
    jsontree_set_text(t, "id", j->id);
    jsontree_set_int(t, "vmid", j->vmid);
    jsontree_set_text(t, "purpose", "control");
    mig_job_send(j, WIRE_MIG_HELLO, t);
}

static void on_prepared(MigJob *j, const WireMig *m)
{
    Err err = ERR_INIT;
    int r = mig_volumes_note_new(j->volumes, jsontree_get(m->body, "volumes"), &err);

    done_err(j, MIG_OP_PREPARE, r, &err);
}

static void on_started(MigJob *j, const WireMig *m)
{
    Err err = ERR_INIT;

    g_free(j->stream_host);
    j->stream_host = g_strdup(jsontree_get_text(m->body, "host"));
    j->stream_port = (unsigned)jsontree_get_int(m->body, "port", 0);
    j->nbd_port = (unsigned)jsontree_get_int(m->body, "nbd_port", 0);
    done_err(j, MIG_OP_START, mig_source_agree(j, jsontree_get(m->body, "capabilities"), &err),
             &err);
}

/* Answered by the target, over the link. */
static bool is_remote(MigOp op)
{
    return op == MIG_OP_CHECK || op == MIG_OP_PREPARE || op == MIG_OP_START || op == MIG_OP_RUN ||
           op == MIG_OP_FINISH || op == MIG_OP_ABORT || op == MIG_OP_RECOVER;
}

static void on_error(MigJob *j, const WireMig *m)
{
    MigOp busy = j->source.busy;
    const char *text = jsontree_get_text(m->body, "text");
    int code = (int)jsontree_get_int(m->body, "code", EIO);

    if (busy == MIG_OP_CONNECT || is_remote(busy)) {
        g_autofree char *named = g_strdup_printf("node '%s': %s", j->peer, text);

        mig_source_done(j, busy, -(code > 0 ? code : EIO), named);
        return;
    }
    mig_job_say(j, "node '%s' says: %s", j->peer, text);
}

static void on_message(MigJob *j, MigNote *n)
{
    const WireMig *m = &n->message;
    Err err = ERR_INIT;
    int r;

    switch (m->type) {
    case WIRE_MIG_WELCOME:
        mig_source_done(j, MIG_OP_CONNECT, (int)mig_peer_state(jsontree_get_text(m->body, "state")),
                        NULL);
        break;
    case WIRE_MIG_CHECKED:
        r = mig_source_judge(j, m->body, &err);
        done_err(j, MIG_OP_CHECK, r, &err);
        break;
    case WIRE_MIG_PREPARED:
        on_prepared(j, m);
        break;
    case WIRE_MIG_WAITING:
        mig_job_say(j, "all ports of node '%s' are taken: place %" G_GINT64_FORMAT " in its queue",
                    j->peer, jsontree_get_int(m->body, "position", 0));
        break;
    case WIRE_MIG_STARTED:
        on_started(j, m);
        break;
    case WIRE_MIG_RUNNING:
        if (j->stats.stopped_at.us != 0) {
            j->stats.stopped_ms = mono_diff_us(clock_mono(), j->stats.stopped_at) / US_PER_MS;
        }
        mig_source_done(j, MIG_OP_RUN, 0, NULL);
        break;
    case WIRE_MIG_FINISHED:
        mig_source_done(j, MIG_OP_FINISH, 0, NULL);
        break;
    case WIRE_MIG_ABORTED:
        mig_source_done(j, MIG_OP_ABORT, 0, NULL);
        break;
    case WIRE_MIG_RECOVERED:
        mig_source_recover(j, jsontree_get_text(m->body, "host"),
                           (unsigned)jsontree_get_int(m->body, "port", 0));
        break;
    case WIRE_MIG_LOG:
        mig_job_say(j, "%s: %s", j->peer, jsontree_get_text(m->body, "text"));
        break;
    case WIRE_MIG_ERROR:
        on_error(j, m);
        break;
    default:
        break; /* `loaded`: QEMU has told us as well */
    }
}

static void on_unlinked(MigJob *j, const MigNote *n)
{
    g_autofree char *text =
        g_strdup_printf("the agent of node '%s': %s", j->peer, n->text != NULL ? n->text : "gone");
    MigOp busy = j->source.busy;

    mig_link_unref(g_steal_pointer(&j->link));
    if (busy == MIG_OP_CONNECT) {
        mig_source_done(j, busy, -EHOSTUNREACH, text);
        return;
    }
    if (j->source.state != MIG_SRC_FINISH) {
        mig_job_say(j, "%s", text);
    }
    j->link_lost = true;
    if (busy == MIG_OP_REST) {
        mig_source_pause_postcopy(j); /* its stream will not notice for many minutes */
    }
    mig_job_note(j, MIG_EV_LOST, 0, 0, text);
    if (is_remote(busy)) {
        mig_source_done(j, busy, -EPIPE, text);
    }
}

/* ---- operations ------------------------------------------------------------------------------ */

static void op_check(MigJob *j)
{
    JsonTree *t;
    Err err = ERR_INIT;
    int r = mig_source_look(j, &err);

    if (r < 0) {
        done_err(j, MIG_OP_CHECK, r, &err);
        return;
    }
    t = jsontree_new_object();
    jsontree_set(t, "needs", mig_source_needs(j));
    jsontree_set_bool(t, "online", j->request.online);
    mig_job_send(j, WIRE_MIG_CHECK, t);
}

static void op_journal(MigJob *j)
{
    JsonTree *t = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set(t, "request", mig_request_write(&j->request));
    jsontree_set_bool(t, "online", j->source.online);
    jsontree_set_bool(t, "locked", j->source.locked);
    jsontree_set_bool(t, "prepared", j->source.prepared);
    jsontree_set_bool(t, "migrating", j->source.migrating);
    jsontree_set_bool(t, "paused", j->guest_paused);
    if (j->volumes != NULL) {
        jsontree_set(t, "volumes", mig_volumes_write(j->volumes));
    }
    if (mig_journal_write(j, t, &err) < 0) {
        j->journal_failed = true;
        mig_job_say(j, "the journal: %s", err_text(&err));
    }
}

static void op_lock(MigJob *j)
{
    Err err = ERR_INIT;
    int r = j->journal_failed
                ? err_setf(&err, -EROFS, "the journal of migrations cannot be written")
                : mig_tree_lock(&j->setup->tree, j->vmid, &err);

    done_err(j, MIG_OP_LOCK, r, &err);
}

static void op_prepare(MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_bool(t, "online", j->request.online);
    jsontree_set_bool(t, "secure", !j->request.insecure);
    jsontree_set(t, "volumes", mig_volumes_write(j->volumes));
    if (j->request.network[0] != '\0') {
        jsontree_set_text(t, "network", j->request.network);
    }
    mig_job_send(j, WIRE_MIG_PREPARE, t);
}

static void op_start(MigJob *j)
{
    Err err = ERR_INIT;
    JsonTree *t = mig_source_start_body(j, &err);

    if (t == NULL) {
        done_err(j, MIG_OP_START, err.code, &err);
    } else {
        mig_job_send(j, WIRE_MIG_START, t);
    }
}

static void op_run(MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_bool(t, "paused", j->guest_paused);
    mig_job_send(j, WIRE_MIG_RUN, t);
}

static void op_abort(MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_text(t, "text", j->source.why);
    mig_job_send(j, WIRE_MIG_ABORT, t);
}

static void op_place(MigJob *j)
{
    Err err = ERR_INIT;
    int r;

    if (j->restarted) {
        /* Behind this nothing of an earlier life can come any more. */
        r = mig_tree_claim(&j->setup->tree, j->id, &err);
        if (r == 0) {
            j->source.claimed = true;
            j->restarted = false;
        } else if (r == -EEXIST) {
            j->restarted = false;
        } else {
            mig_source_done(j, MIG_OP_PLACE, -EAGAIN, err_text(&err));
            return;
        }
    }
    r = mig_tree_place(&j->setup->tree, j->peer, j->vmid, &err);
    mig_source_done(j, MIG_OP_PLACE, r, r < 0 ? err_text(&err) : NULL);
}

/* The process first; then the volumes, one command each. */
static void clean_next(MigJob *j)
{
    while (j->volumes != NULL && j->volumes->list->len > 0) {
        g_autofree char *volid = NULL;
        MigVolume *v = g_ptr_array_index(j->volumes->list, 0);

        volid = g_strdup(v->volid);
        g_ptr_array_remove_index(j->volumes->list, 0);
        mig_job_command(j, MIG_NOTE_COMMAND, MIG_OP_CLEAN,
                        (const char *const[]){j->setup->pvesm, "free", volid, NULL}, STOP_MS);
        return;
    }
    mig_source_done(j, MIG_OP_CLEAN, j->source.problem[0] != '\0' ? -EIO : 0, j->source.problem);
}

/* What the next prediction may count on: only of a stream that was not held back, and long enough
 * to tell something. */
static void note_stream(MigJob *j)
{
    const MigStats *s = &j->stats;
    int64_t ms = s->total_ms - s->setup_ms;

    if (j->source.online && j->speed_set == 0 && s->throttle == 0 && !j->compress &&
        !j->source.postcopy && ms >= STREAM_MIN_MS && s->transferred >= STREAM_MIN) {
        mig_agent_note_stream(j->setup->agent, j->peer, !j->request.insecure,
                              s->transferred / ms * 1000);
    }
}

static void op_clean(MigJob *j)
{
    g_autofree char *vmid = g_strdup_printf("%u", j->vmid);

    mig_source_stop_poll(j);
    mig_source_final_stats(j);
    note_stream(j);
    mig_qemu_free(g_steal_pointer(&j->qemu));
    if (!j->source.online) {
        clean_next(j);
        return;
    }
    mig_job_command(j, MIG_NOTE_COMMAND, MIG_OP_CLEAN,
                    (const char *const[]){j->setup->qm, "stop", vmid, "--skiplock",
                                          "--migratedfrom", j->peer, NULL},
                    STOP_MS);
}

static void on_command(MigJob *j, const MigNote *n)
{
    if (n->op != MIG_OP_CLEAN) {
        return;
    }
    if (n->r < 0) {
        mig_job_say(j, "cleaning up: %s", n->text != NULL ? n->text : "failed");
        if (j->source.problem[0] == '\0') {
            (void)g_strlcpy(j->source.problem, n->text, sizeof j->source.problem);
        }
    }
    clean_next(j);
}

static int exit_code_of(MigResult r)
{
    switch (r) {
    case MIG_RESULT_MOVED:
        return 0;
    case MIG_RESULT_CANCELLED:
        return 3;
    case MIG_RESULT_PROBLEMS:
        return 4;
    case MIG_RESULT_REFUSED:
        return 5;
    case MIG_RESULT_LOST:
        return 6;
    case MIG_RESULT_NONE:
    case MIG_RESULT_FAILED:
    case MIG_RESULT_N:
        break;
    }
    return 1;
}

static void count_result(MigJob *j, MigResult r)
{
    static const MigCounter counters[MIG_RESULT_N] = {
        [MIG_RESULT_NONE] = MIG_COUNT_FAILED,    [MIG_RESULT_MOVED] = MIG_COUNT_MOVED,
        [MIG_RESULT_PROBLEMS] = MIG_COUNT_MOVED, [MIG_RESULT_REFUSED] = MIG_COUNT_REFUSED,
        [MIG_RESULT_FAILED] = MIG_COUNT_FAILED,  [MIG_RESULT_CANCELLED] = MIG_COUNT_CANCELLED,
        [MIG_RESULT_LOST] = MIG_COUNT_LOST,
    };

    if (!j->request.dry_run) {
        mig_agent_count(j->setup->agent, counters[r], 1);
        mig_agent_count(j->setup->agent, MIG_COUNT_BYTES, j->stats.transferred);
        mig_agent_count(j->setup->agent, MIG_COUNT_DOWNTIME_MS, j->stats.stopped_ms);
    }
}

/* Where the time went, state by state. */
static JsonTree *phase_times(const MigJob *j)
{
    JsonTree *t = jsontree_new_object();

    for (int i = 0; i < MIG_SRC_N; i++) {
        if (j->stats.phase_us[i] >= US_PER_MS) {
            jsontree_set_int(t, mig_src_name((MigSrcState)i), j->stats.phase_us[i] / US_PER_MS);
        }
    }
    return t;
}

/* What it really took, to be laid beside what was predicted. */
static void say_figures(MigJob *j)
{
    const MigStats *s = &j->stats;
    int64_t ms = MAX(s->total_ms, 1);

    if (j->source.online) {
        mig_job_say(
            j,
            "memory: %.1f MiB in %.2f s, %.1f MiB/s; disks: %.1f MiB; QEMU counts %" G_GINT64_FORMAT
            " ms of standing still",
            (double)s->transferred / (1 << 20), (double)ms / 1000,
            (double)s->transferred / (1 << 20) * 1000 / (double)ms,
            (double)s->disk_done / (1 << 20), s->downtime_ms);
    }
}

/* Why it ended as it did, and what is to be done about it. Caller frees. */
static char *reason(const MigJob *j)
{
    const MigSource *s = &j->source;

    if (s->result == MIG_RESULT_MOVED || s->result == MIG_RESULT_PROBLEMS) {
        return g_strdup(s->problem);
    }
    if (s->state == MIG_SRC_RESUME) {
        return g_strdup_printf("%s; the guest stands still on this node, whose QEMU cannot let it "
                               "go on either (%s): that is tried every second until it does. To "
                               "give its memory up: 'qm stop %u --skiplock', then 'qm start %u'",
                               s->why, s->problem, j->vmid, j->vmid);
    }
    return s->problem[0] != '\0' ? g_strdup_printf("%s; the guest is down on this node: %s", s->why,
                                                   s->problem)
                                 : g_strdup(s->why);
}

static void op_report(MigJob *j)
{
    const MigSource *s = &j->source;
    int64_t ms = mono_diff_us(clock_mono(), j->stats.began) / US_PER_MS;
    g_autofree char *why = reason(j);
    JsonTree *t = jsontree_new_object();

    if (j->request.dry_run && s->result == MIG_RESULT_MOVED) {
        mig_job_say(j, "nothing stands against it");
    } else if (s->result == MIG_RESULT_MOVED) {
        say_figures(j);
        mig_job_say(j,
                    "migration finished successfully (duration %" G_GINT64_FORMAT
                    ".%03d s, guest stopped %" G_GINT64_FORMAT " ms)",
                    ms / 1000, (int)(ms % 1000), j->stats.stopped_ms);
    } else {
        mig_job_log(j, "%s %s: %s", j->request.dry_run ? "dry run" : "migration",
                    mig_result_name(s->result), why);
    }
    count_result(j, s->result);
    j->exit_code = exit_code_of(s->result);
    jsontree_set_text(t, "event", "end");
    jsontree_set_text(t, "result", mig_result_name(s->result));
    jsontree_set_int(t, "exit", j->exit_code);
    jsontree_set_text(t, "why", why);
    jsontree_set_int(t, "vmid", j->vmid);
    jsontree_set_text(t, "target", j->peer);
    jsontree_set_int(t, "total_ms", ms);
    jsontree_set_int(t, "stopped_ms", j->stats.stopped_ms);
    jsontree_set_int(t, "qemu_downtime_ms", j->stats.downtime_ms);
    jsontree_set_int(t, "qemu_total_ms", j->stats.total_ms);
    jsontree_set_int(t, "transferred", j->stats.transferred);
    jsontree_set_int(t, "disk_bytes", j->stats.disk_done);
    jsontree_set(t, "phases_ms", phase_times(j));
    mig_job_progress(j, t);
}

static void op_interrupt(MigJob *j)
{
    j->interrupted = true;
    if (j->source.busy == MIG_OP_COPY) {
        g_atomic_int_set(&j->copy_stop, 1); /* its thread reports the end */
    } else {
        mig_source_done(j, j->source.busy, -EINTR, NULL);
    }
}

static void op_rename(MigJob *j)
{
    const MigTree *t = &j->setup->tree;
    Err err = ERR_INIT;

    done_err(j, MIG_OP_RENAME, mig_tree_rename(t, j->vmid, t->node, j->peer, &err), &err);
}

static void op_back(MigJob *j)
{
    const MigTree *t = &j->setup->tree;
    Err err = ERR_INIT;

    done_err(j, MIG_OP_BACK, mig_tree_rename(t, j->vmid, j->peer, t->node, &err), &err);
}

static void op_claim(MigJob *j)
{
    Err err = ERR_INIT;

    done_err(j, MIG_OP_CLAIM, mig_tree_claim(&j->setup->tree, j->id, &err), &err);
}

static void op_unlock(MigJob *j)
{
    Err err = ERR_INIT;
    int r = mig_tree_settle(&j->setup->tree, j->vmid, NULL, true, &err);

    done_err(j, MIG_OP_UNLOCK, r, &err);
}

/* What was seen as broken may have been the old stream, while the new one was on its way. */
static void op_recover(MigJob *j)
{
    if (mig_source_is_paused(j)) {
        mig_job_send(j, WIRE_MIG_RECOVER, NULL);
    } else {
        mig_source_done(j, MIG_OP_RECOVER, 0, NULL);
    }
}

static void op_finish(MigJob *j)
{
    mig_job_send(j, WIRE_MIG_FINISH, NULL);
}

static void op_end(MigJob *j)
{
    mig_source_stop_poll(j);
    mig_journal_forget(j);
    mig_tree_drop_claim(&j->setup->tree, j->id);
}

static void (*const performers[MIG_OP_N])(MigJob *j) = {
    [MIG_OP_CONNECT] = op_connect,
    [MIG_OP_CHECK] = op_check,
    [MIG_OP_JOURNAL] = op_journal,
    [MIG_OP_LOCK] = op_lock,
    [MIG_OP_PREPARE] = op_prepare,
    [MIG_OP_COPY] = mig_source_copy,
    [MIG_OP_START] = op_start,
    [MIG_OP_MIRROR] = mig_source_mirror,
    [MIG_OP_MIGRATE] = mig_source_migrate,
    [MIG_OP_THROTTLE] = mig_source_throttle,
    [MIG_OP_POSTCOPY] = mig_source_postcopy,
    [MIG_OP_SWITCH] = mig_source_switch,
    [MIG_OP_CONTINUE] = mig_source_continue,
    [MIG_OP_REST] = mig_source_rest,
    [MIG_OP_RECOVER] = op_recover,
    [MIG_OP_RENAME] = op_rename,
    [MIG_OP_PLACE] = op_place,
    [MIG_OP_RUN] = op_run,
    [MIG_OP_CLEAN] = op_clean,
    [MIG_OP_FINISH] = op_finish,
    [MIG_OP_INTERRUPT] = op_interrupt,
    [MIG_OP_CANCEL] = mig_source_cancel_stream,
    [MIG_OP_ABORT] = op_abort,
    [MIG_OP_CLAIM] = op_claim,
    [MIG_OP_BACK] = op_back,
    [MIG_OP_CONT] = mig_source_cont,
    [MIG_OP_UNLOCK] = op_unlock,
    [MIG_OP_REPORT] = op_report,
    [MIG_OP_END] = op_end,
};

static void perform(MigJob *j, MigOp op)
{
    if (mig_op_waits(op)) {
        j->seq++;
        j->interrupted = false;
    }
    if (is_remote(op) && j->link == NULL) {
        mig_source_done(j, op, -EPIPE, "the agent of the target is not connected");
    } else {
        performers[op](j);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void set_phase(MigJob *j, MigSrcState before)
{
    MonoTime now = clock_mono();

    j->stats.phase_us[before] += mono_diff_us(now, j->stats.phase_began);
    j->stats.phase_began = now;
    g_mutex_lock(&j->lock);
    (void)g_strlcpy(j->phase, mig_src_name(j->source.state), sizeof j->phase);
    g_mutex_unlock(&j->lock);
}

static void step(MigJob *j, const MigNote *n)
{
    MigEvent ev = {.kind = (MigEventKind)n->kind,
                   .now = clock_mono(),
                   .op = (MigOp)n->op,
                   .r = n->r,
                   .text = n->text};
    MigSrcState before;
    MigStep out;

    before = j->source.state;
    mig_source_step(&j->source, &ev, &out);
    set_phase(j, before);
    for (unsigned i = 0; i < out.n; i++) {
        perform(j, out.ops[i]);
    }
    mig_job_alarm(j, j->source.deadline, MIG_EV_TICK);
}

static void handle(MigJob *j, MigNote *n)
{
    switch (n->kind) {
    case MIG_NOTE_READY:
        if (n->link == j->link) {
            j->link_lost = false;
            say_hello(j);
        }
        break;
    case MIG_NOTE_MESSAGE:
        if (n->link == j->link) {
            on_message(j, n);
        }
        break;
    case MIG_NOTE_UNLINKED:
        if (n->link == j->link) {
            on_unlinked(j, n);
        }
        break;
    case MIG_NOTE_COMMAND:
        on_command(j, n);
        break;
    case MIG_NOTE_POLL:
    case MIG_NOTE_QEMU:
    case MIG_NOTE_PASS:
    case MIG_NOTE_QEMU_GONE:
        mig_source_news(j, n);
        break;
    default:
        step(j, n);
        break;
    }
}

void mig_source_run(MigJob *j)
{
    j->stats.began = j->stats.phase_began = clock_mono();
    j->source.tracer = log_tracer("migrate");
    mig_job_note(j, j->restarted ? (int)MIG_EV_RESTART : (int)MIG_EV_START, 0, 0, NULL);
    while (!mig_source_ended(&j->source)) {
        MigNote *n = mig_job_next(j, MIG_EV_DONE);

        if (n != NULL) {
            handle(j, n);
            mig_note_free(n);
        }
    }
}

void mig_source_cancel(MigJob *j)
{
    mig_job_note_later(j, MIG_EV_CANCEL, 0, 0, 0, NULL);
}
