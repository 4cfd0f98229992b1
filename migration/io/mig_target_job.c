/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "migration/io/mig_agent.h"
#include "migration/io/mig_target_ops.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STOP_MS 60000

void mig_target_done(MigJob *j, MigTop op, int r, const char *text)
{
    mig_job_note(j, MIG_TEV_DONE, op, r, text);
}

static void done_err(MigJob *j, MigTop op, int r, const Err *err)
{
    mig_target_done(j, op, r, r < 0 ? err_text(err) : NULL);
}

/* ---- the journal ----------------------------------------------------------------------------- */

void mig_target_journal(MigJob *j)
{
    JsonTree *t = jsontree_new_object();
    JsonTree *made = jsontree_new_array();
    Err err = ERR_INIT;

    for (guint i = 0; i < j->made->len; i++) {
        jsontree_add(made, jsontree_new_text(g_ptr_array_index(j->made, i)));
    }
    jsontree_set(t, "made", made);
    jsontree_set_bool(t, "online", j->target.online);
    jsontree_set_bool(t, "loaded", j->target.loaded || j->target.postcopy);
    jsontree_set_bool(t, "running", j->target.running);
    if (j->pairs != NULL) {
        jsontree_set(t, "pairs", jsontree_copy(j->pairs));
    }
    if (j->intents != NULL) {
        jsontree_set(t, "intents", jsontree_copy(j->intents));
    }
    if (mig_journal_write(j, t, &err) < 0) {
        j->journal_failed = true;
        mig_job_say(j, "the journal: %s", err_text(&err));
    }
}

/* For a source that asks later: it was given up here and will not run. */
static int write_tombstone(MigJob *j, Err *err)
{
    g_autofree char *path = g_strdup_printf("%s/%s.gone", j->setup->state_dir, j->id);
    g_autofree char *text = g_strdup_printf("gone %u\n", j->vmid);

    if (access(path, F_OK) == 0) {
        return 0;
    }
    return cfsfile_write(path, text, strlen(text), err);
}

/* ---- what the source says -------------------------------------------------------------------- */

static void on_message(MigJob *j, MigNote *n)
{
    static const struct {
        WireMigType type;
        MigTevKind kind;
    } kinds[] = {
        {WIRE_MIG_CHECK, MIG_TEV_CHECK},     {WIRE_MIG_PREPARE, MIG_TEV_PREPARE},
        {WIRE_MIG_START, MIG_TEV_START},     {WIRE_MIG_RUN, MIG_TEV_RUN},
        {WIRE_MIG_FINISH, MIG_TEV_FINISH},   {WIRE_MIG_ABORT, MIG_TEV_ABORT},
        {WIRE_MIG_RECOVER, MIG_TEV_RECOVER},
    };
    WireMig *m = &n->message;

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (kinds[i].type != m->type) {
            continue;
        }
        if (m->type == WIRE_MIG_PREPARE && j->target.state == MIG_TGT_OPEN) {
            j->target.online = jsontree_get_bool(m->body, "online", false);
            j->secure = jsontree_get_bool(m->body, "secure", true);
        } else if (m->type == WIRE_MIG_RUN) {
            j->source_paused = jsontree_get_bool(m->body, "paused", false);
        }
        if (j->target.busy == MIG_TOP_N) {
            jsontree_free(j->ask);
            j->ask = g_steal_pointer(&m->body);
        }
        mig_job_note(j, (int)kinds[i].kind, 0, 0, NULL);
        return;
    }
    mig_job_say(j, "the source sends '%s' to a target", wire_mig_name(m->type));
}

/* ---- operations ------------------------------------------------------------------------------ */

static void op_place(MigJob *j)
{
    Err err = ERR_INIT;
    int r = mig_tree_place(&j->setup->tree, j->peer, j->vmid, &err);

    mig_target_done(j, MIG_TOP_PLACE, r < 0 ? -EAGAIN : r == MIG_PLACE_OWN, err_text(&err));
}

static void op_unlock(MigJob *j)
{
    Err err = ERR_INIT;
    int r = mig_tree_settle(&j->setup->tree, j->vmid, j->pairs, true, &err);

    done_err(j, MIG_TOP_UNLOCK, r, &err);
}

/* A QEMU that never ran the guest has nothing to bring to an end, and one that is asked to quit may
 * wait for the source's mirrors, and they for it: the guest on the source would stand still. */
static void end_hard(MigJob *j)
{
    g_autofree char *path = g_strdup_printf("%s/%u.pid", j->setup->run_dir, j->vmid);
    g_autofree char *proc = NULL, *words = NULL;
    int64_t pid = mig_job_qemu_pid(j);
    gsize size = 0;
    Err err = ERR_INIT;

    if (pid == 0) {
        return; /* `qm stop` knows what to do */
    }
    proc = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    if (cfsfile_read(proc, 1024 * 1024, &words, &size, &err) == 0 &&
        memmem(words, size, path, strlen(path)) != NULL && kill((pid_t)pid, SIGKILL) < 0) {
        mig_job_say(j, "ending QEMU: %s", g_strerror(errno));
    }
}

static void op_kill(MigJob *j)
{
    g_autofree char *vmid = g_strdup_printf("%u", j->vmid);

    mig_qemu_free(g_steal_pointer(&j->qemu));
    g_atomic_int_set(&j->copy_stop, 1);
    if (!j->target.online) {
        mig_job_note(j, MIG_NOTE_COMMAND, MIG_TOP_KILL, 0, NULL);
        return;
    }
    end_hard(j);
    mig_job_command(j, MIG_NOTE_COMMAND, MIG_TOP_KILL,
                    (const char *const[]){j->setup->qm, "stop", vmid, "--skiplock",
                                          "--migratedfrom", j->peer, NULL},
                    STOP_MS);
}

static void killed(MigJob *j, const MigNote *n)
{
    Err err = ERR_INIT;
    int r = n->r;

    if (r < 0) {
        mig_job_say(j, "ending QEMU: %s", n->text != NULL ? n->text : "failed");
    } else {
        r = write_tombstone(j, &err);
    }
    mig_lease_free(g_steal_pointer(&j->lease[0]));
    mig_lease_free(g_steal_pointer(&j->lease[1]));
    mig_target_done(j, MIG_TOP_KILL, r, r < 0 ? err_text(&err) : NULL);
}

static void say_error(MigJob *j)
{
    JsonTree *t = jsontree_new_object();
    g_autofree char *cut = g_strndup(j->target.why, WIRE_MIG_TEXT_MAX - 4);

    jsontree_set_int(t, "code", j->target.code < 0 ? -j->target.code : EIO);
    jsontree_set_text(t, "text", cut);
    mig_job_send(j, WIRE_MIG_ERROR, t);
}

static void say_aborted(MigJob *j)
{
    JsonTree *t = jsontree_new_object();
    Err err = ERR_INIT;
    int place = mig_tree_place(&j->setup->tree, j->peer, j->vmid, &err);

    jsontree_set_text(t, "place",
                      place < 0                ? "unknown"
                      : place == MIG_PLACE_OWN ? "here"
                                               : "there");
    jsontree_set_bool(t, "quorate", place >= 0);
    mig_job_send(j, WIRE_MIG_ABORTED, t);
}

static void perform(MigJob *j, MigTop op)
{
    Err err = ERR_INIT;

    if (mig_top_waits(op)) {
        j->seq++;
        j->interrupted = false;
    }
    switch (op) {
    case MIG_TOP_CHECK:
        mig_target_check(j);
        break;
    case MIG_TOP_JOURNAL:
        mig_target_journal(j);
        break;
    case MIG_TOP_PREPARE:
        mig_target_prepare(j);
        break;
    case MIG_TOP_START:
        mig_target_start(j);
        break;
    case MIG_TOP_RECOVER:
        mig_target_new_stream(j);
        break;
    case MIG_TOP_PLACE:
        op_place(j);
        break;
    case MIG_TOP_CLAIM:
        done_err(j, op, mig_tree_claim(&j->setup->tree, j->id, &err), &err);
        break;
    case MIG_TOP_RUN:
        mig_target_qemu_run(j);
        break;
    case MIG_TOP_UNLOCK:
        op_unlock(j);
        break;
    case MIG_TOP_KILL:
        op_kill(j);
        break;
    case MIG_TOP_FREE:
        mig_target_free(j);
        break;
    case MIG_TOP_INTERRUPT:
        j->interrupted = true;
        break;
    case MIG_TOP_SAY_LOADED:
        mig_job_send(j, WIRE_MIG_LOADED, NULL);
        break;
    case MIG_TOP_SAY_RUNNING:
        mig_job_send(j, WIRE_MIG_RUNNING, NULL);
        break;
    case MIG_TOP_SAY_FINISHED:
        mig_job_send(j, WIRE_MIG_FINISHED, NULL);
        break;
    case MIG_TOP_SAY_ABORTED:
        say_aborted(j);
        break;
    case MIG_TOP_SAY_ERROR:
        say_error(j);
        break;
    case MIG_TOP_END:
        mig_journal_forget(j); /* the claim stays until the source has ended */
        break;
    case MIG_TOP_N:
        break;
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void step(MigJob *j, const MigNote *n)
{
    MigTgtEvent ev = {.kind = (MigTevKind)n->kind,
                      .now = clock_mono(),
                      .op = (MigTop)n->op,
                      .r = n->r,
                      .text = n->text};
    MigTgtStep out;

    mig_target_step(&j->target, &ev, &out);
    g_mutex_lock(&j->lock);
    (void)g_strlcpy(j->phase, mig_tgt_name(j->target.state), sizeof j->phase);
    g_mutex_unlock(&j->lock);
    for (unsigned i = 0; i < out.n; i++) {
        perform(j, out.ops[i]);
    }
    mig_job_alarm(j, j->target.deadline, MIG_TEV_TICK);
}

static void on_command(MigJob *j, const MigNote *n)
{
    switch (n->op) {
    case MIG_TOP_PREPARE:
        mig_target_prepare_next(j, n);
        break;
    case MIG_TOP_START:
        mig_target_start_command(j, n);
        break;
    case MIG_TOP_KILL:
        killed(j, n);
        break;
    case MIG_TOP_FREE:
        mig_target_free_next(j, n);
        break;
    default:
        break;
    }
}

static void on_ready(MigJob *j, MigNote *n)
{
    JsonTree *t = jsontree_new_object();

    if (j->link != NULL) {
        mig_link_close(j->link);
        mig_link_unref(j->link);
        j->link_lost = true; /* the source has given the old one up */
    }
    j->link = g_steal_pointer(&n->link);
    jsontree_set_int(t, "version", WIRE_MIG_VERSION);
    jsontree_set_text(t, "node", j->setup->tree.node);
    jsontree_set_text(t, "state", mig_tgt_name(j->target.state));
    mig_job_send(j, WIRE_MIG_WELCOME, t);
    g_free(j->peer_subject);
    j->peer_subject = g_strdup(n->text);
    mig_job_note(j, MIG_TEV_LINKED, 0, 0, NULL);
}

static void on_qemu(MigJob *j, const char *status)
{
    if (strcmp(status, "completed") == 0) {
        Err err = ERR_INIT;

        /* Now, while the source renames the configuration: the guest stands still until it runs. */
        j->not_ha = mig_target_is_ha(j, &err) == 0;
        mig_job_note(j, MIG_TEV_LOADED, 0, 0, NULL);
    } else if (strcmp(status, "postcopy-active") == 0) {
        mig_job_note(j, MIG_TEV_POSTCOPY, 0, 0, NULL);
    }
}

static void handle(MigJob *j, MigNote *n)
{
    switch (n->kind) {
    case MIG_NOTE_READY:
        on_ready(j, n);
        break;
    case MIG_NOTE_MESSAGE:
        if (n->link == j->link) {
            on_message(j, n);
        }
        break;
    case MIG_NOTE_UNLINKED:
        if (n->link == j->link) {
            mig_job_say(j, "the agent of node '%s': %s", j->peer, n->text);
            mig_link_unref(g_steal_pointer(&j->link));
            mig_job_note(j, MIG_TEV_LOST, 0, 0, NULL);
        }
        break;
    case MIG_NOTE_COMMAND:
        on_command(j, n);
        break;
    case MIG_NOTE_QEMU:
        on_qemu(j, n->text);
        break;
    case MIG_NOTE_QEMU_GONE:
        mig_job_note(j, MIG_TEV_QEMU_GONE, 0, 0, n->text);
        break;
    default:
        step(j, n);
        break;
    }
}

void mig_target_run(MigJob *j)
{
    j->target.tracer = log_tracer("migrate");
    if (j->restarted) {
        mig_job_note(j, MIG_TEV_RESTART, 0, mig_target_find(j), NULL);
    }
    while (!mig_target_ended(&j->target)) {
        MigNote *n = mig_job_next(j, MIG_TEV_DONE);

        if (n != NULL) {
            handle(j, n);
            mig_note_free(n);
        }
    }
    if (j->target.state == MIG_TGT_DONE) {
        mig_agent_count(j->setup->agent, MIG_COUNT_INCOMING, 1);
    }
}
