/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_job.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "lib/port/process.h"
#include "migration/io/mig_agent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_MAX (4 * 1024 * 1024)

void mig_note_free(MigNote *n)
{
    if (n != NULL) {
        g_free(n->text);
        mig_link_unref(n->link);
        wire_mig_clear(&n->message);
        g_free(n);
    }
}

static void note_free(void *n)
{
    mig_note_free(n);
}

MigJob *
mig_job_new(const MigSetup *setup, bool is_source, const char *id, uint32_t vmid, const char *peer)
{
    MigJob *j = g_new0(MigJob, 1);

    j->setup = setup;
    j->is_source = is_source;
    (void)g_strlcpy(j->id, id, sizeof j->id);
    j->vmid = vmid;
    (void)g_strlcpy(j->peer, peer, sizeof j->peer);
    j->refs = 1;
    j->context = g_main_context_new();
    j->inbox = g_queue_new();
    j->made = g_ptr_array_new_with_free_func(g_free);
    mig_source_init(&j->source);
    mig_target_init(&j->target);
    g_mutex_init(&j->lock);
    return j;
}

MigJob *mig_job_ref(MigJob *j)
{
    g_atomic_int_inc(&j->refs);
    return j;
}

static void free_job(MigJob *j)
{
    g_queue_free_full(j->inbox, note_free);
    mig_volumes_free(j->volumes);
    g_free(j->config);
    g_free(j->machine);
    g_free(j->cpu);
    g_free(j->peer_subject);
    g_free(j->stream_host);
    g_free(j->start_config);
    g_free(j->listen);
    g_free(j->last_progress);
    jsontree_free(j->peer_facts);
    jsontree_free(j->problems);
    jsontree_free(j->capabilities);
    jsontree_free(j->ask);
    jsontree_free(j->asked);
    jsontree_free(j->pairs);
    jsontree_free(j->pairs_all);
    jsontree_free(j->intents);
    mig_lease_free(j->lease[0]);
    mig_lease_free(j->lease[1]);
    g_ptr_array_unref(j->made);
    g_mutex_clear(&j->lock);
    g_main_context_unref(j->context);
    g_free(j);
}

void mig_job_unref(MigJob *j)
{
    if (j != NULL && g_atomic_int_dec_and_test(&j->refs)) {
        free_job(j);
    }
}

typedef struct Start {
    MigJob *job;
    void (*run)(MigJob *j);
} Start;

static void *thread_main(void *data)
{
    Start *s = data;
    MigJob *j = s->job;

    (void)g_main_context_acquire(j->context); /* nobody else ever does */
    g_main_context_push_thread_default(j->context);
    s->run(j);
    mig_job_alarm(j, MONO_NEVER, 0);
    mig_qemu_free(g_steal_pointer(&j->qemu));
    if (j->link != NULL) {
        mig_link_close(j->link);
        mig_link_unref(g_steal_pointer(&j->link));
    }
    while (g_main_context_iteration(j->context, FALSE)) {
    }
    g_main_context_pop_thread_default(j->context);
    g_main_context_release(j->context);
    mig_agent_job_ended(j->setup->agent, j);
    mig_job_unref(j);
    g_free(s);
    return NULL;
}

void mig_job_start(MigJob *j, void (*run)(MigJob *j))
{
    Start *s = g_new(Start, 1);

    *s = (Start){mig_job_ref(j), run};
    j->thread = g_thread_new(j->is_source ? "mig-source" : "mig-target", thread_main, s);
}

void mig_post(GMainContext *context, GSourceFunc f, void *data, GDestroyNotify free_data)
{
    GSource *s = g_idle_source_new();

    g_source_set_priority(s, G_PRIORITY_HIGH);
    g_source_set_callback(s, f, data, free_data);
    (void)g_source_attach(s, context);
    g_source_unref(s);
}

/* ---- notes ----------------------------------------------------------------------------------- */

void mig_job_note(MigJob *j, int kind, int op, int r, const char *text)
{
    MigNote *n = g_new0(MigNote, 1);

    n->kind = kind;
    n->op = op;
    n->r = r;
    n->seq = j->seq;
    n->text = g_strdup(text);
    g_queue_push_tail(j->inbox, n);
}

typedef struct Later {
    MigJob *job;
    MigNote *note;
} Later;

static gboolean on_later(gpointer data)
{
    Later *l = data;

    g_queue_push_tail(l->job->inbox, g_steal_pointer(&l->note));
    return G_SOURCE_REMOVE;
}

static void later_free(void *data)
{
    Later *l = data;

    mig_note_free(l->note);
    mig_job_unref(l->job);
    g_free(l);
}

static void post_note(MigJob *j, MigNote *n)
{
    Later *l = g_new0(Later, 1);

    *l = (Later){mig_job_ref(j), n};
    mig_post(j->context, on_later, l, later_free);
}

void mig_job_note_later(MigJob *j, int kind, int op, int r, unsigned seq, const char *text)
{
    MigNote *n = g_new0(MigNote, 1);

    n->kind = kind;
    n->op = op;
    n->r = r;
    n->seq = seq;
    n->text = g_strdup(text);
    post_note(j, n);
}

MigNote *mig_job_next(MigJob *j, int done_kind)
{
    MigNote *n;

    if (g_queue_is_empty(j->inbox)) {
        (void)g_main_context_iteration(j->context, TRUE);
    }
    while ((n = g_queue_pop_head(j->inbox)) != NULL) {
        if ((n->kind != done_kind && n->kind != MIG_NOTE_COMMAND) || n->seq == j->seq) {
            return n;
        }
        mig_note_free(n);
    }
    return NULL;
}

void mig_job_refuse_late(MigJob *j)
{
    MigNote *n;

    while (g_main_context_iteration(j->context, FALSE)) {
    }
    while ((n = g_queue_pop_head(j->inbox)) != NULL) {
        if (n->kind == MIG_NOTE_READY && n->link != NULL) {
            mig_link_close(n->link);
        }
        mig_note_free(n);
    }
}

/* ---- links ----------------------------------------------------------------------------------- */

static void link_news(MigJob *j, MigLink *link, int kind, WireMig *m, const char *text)
{
    MigNote *n = g_new0(MigNote, 1);

    n->kind = kind;
    n->link = mig_link_ref(link);
    n->text = g_strdup(text);
    if (m != NULL) {
        n->message = *m;
        *m = (WireMig){0};
    }
    post_note(j, n);
}

static void on_link_ready(void *ctx, MigLink *link)
{
    link_news(ctx, link, MIG_NOTE_READY, NULL, NULL);
}

static void on_link_message(void *ctx, MigLink *link, WireMig *m)
{
    link_news(ctx, link, MIG_NOTE_MESSAGE, m, NULL);
}

static void on_link_lost(void *ctx, MigLink *link, const Err *why)
{
    link_news(ctx, link, MIG_NOTE_UNLINKED, NULL, err_text(why));
}

void mig_target_attach(MigJob *j, MigLink *link, const char *subject)
{
    MigLinkHandlers h = mig_job_link_handlers(j);

    mig_link_set_handlers(link, &h);
    link_news(j, link, MIG_NOTE_READY, NULL, subject);
}

/* The job outlives its links: the daemon keeps it in its table until they are closed. */
MigLinkHandlers mig_job_link_handlers(MigJob *j)
{
    return (MigLinkHandlers){on_link_ready, on_link_message, on_link_lost, j};
}

int64_t mig_job_qemu_pid(const MigJob *j)
{
    g_autofree char *path = g_strdup_printf("%s/%u.pid", j->setup->run_dir, j->vmid);
    g_autofree char *text = NULL;
    Err err = ERR_INIT;
    gint64 pid = 0;

    if (cfsfile_read(path, 64, &text, NULL, &err) == 0) {
        pid = g_ascii_strtoll(text, NULL, 10);
    }
    return pid > 1 && pid <= INT32_MAX ? pid : 0;
}

void mig_job_send(MigJob *j, WireMigType type, JsonTree *body)
{
    GBytes *message = wire_mig_encode(type, body);

    if (message == NULL) {
        log_line(TRACE_ERR, "migrate", "vmid=%u: message '%s' does not fit", j->vmid,
                 wire_mig_name(type));
    } else if (j->link != NULL) {
        mig_link_send(j->link, message);
    } else {
        g_bytes_unref(message);
    }
    jsontree_free(body);
}

static gboolean on_alarm(gpointer data)
{
    MigJob *j = data;

    mig_job_note(j, j->is_source ? (int)MIG_EV_TICK : (int)MIG_TEV_TICK, 0, 0, NULL);
    return G_SOURCE_REMOVE;
}

void mig_job_alarm(MigJob *j, MonoTime deadline, int tick_kind)
{
    int64_t ms;

    (void)tick_kind;
    if (j->alarm != NULL) {
        g_source_destroy(j->alarm);
        g_source_unref(j->alarm);
        j->alarm = NULL;
    }
    if (deadline.us == MONO_NEVER.us) {
        return;
    }
    ms = mono_diff_us(deadline, clock_mono()) / US_PER_MS + 1;
    j->alarm = g_timeout_source_new((guint)CLAMP(ms, 1, 3600 * 1000));
    g_source_set_callback(j->alarm, on_alarm, j, NULL);
    (void)g_source_attach(j->alarm, j->context);
}

/* ---- what people see ------------------------------------------------------------------------- */

static void append_log(MigJob *j, const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/migrate-%u.log", j->setup->log_dir, j->vmid);
    time_t now = (time_t)clock_wall().sec;
    struct tm tm;
    char date[32] = "";
    FILE *f = fopen(path, "ae");

    if (f == NULL) {
        log_line(TRACE_WARNING, "migrate", "%s: %s", path, g_strerror(errno));
        return;
    }
    if (localtime_r(&now, &tm) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm); /* "" is good enough */
    }
    if (fprintf(f, "%s %s\n", date, text) < 0 || fclose(f) != 0) {
        log_line(TRACE_WARNING, "migrate", "%s: %s", path, g_strerror(errno));
    }
}

/* Into both logs, and to the other side's. Caller frees. */
static char *log_text(MigJob *j, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static char *log_text(MigJob *j, const char *fmt, va_list ap)
{
    char *text = g_strdelimit(g_strdup_vprintf(fmt, ap), "\r\n", ' ');

    log_line(TRACE_INFO, "migrate", "vmid=%u %s: %s", j->vmid, j->is_source ? "out" : "in", text);
    append_log(j, text);
    if (!j->is_source && j->link != NULL) {
        g_autofree char *cut = g_strndup(text, WIRE_MIG_TEXT_MAX - 4);
        JsonTree *t = jsontree_new_object();

        jsontree_set_text(t, "text", cut);
        mig_job_send(j, WIRE_MIG_LOG, t);
    }
    return text;
}

void mig_job_log(MigJob *j, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_free(log_text(j, fmt, ap));
    va_end(ap);
}

void mig_job_say(MigJob *j, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = log_text(j, fmt, ap);
    va_end(ap);
    if (j->is_source) {
        JsonTree *t = jsontree_new_object();

        jsontree_set_text(t, "event", "log");
        jsontree_set_text(t, "text", text);
        mig_agent_publish(j->setup->agent, j->id, t);
    }
}

void mig_job_progress(MigJob *j, JsonTree *t)
{
    GString *text = g_string_new(NULL);

    jsontree_append(text, t);
    g_mutex_lock(&j->lock);
    g_free(j->last_progress);
    j->last_progress = g_string_free(text, FALSE);
    g_mutex_unlock(&j->lock);
    mig_agent_publish(j->setup->agent, j->id, t);
}

/* ---- commands -------------------------------------------------------------------------------- */

typedef struct Command {
    MigJob *job;
    int kind, op;
    unsigned seq;
    char **argv;
    unsigned timeout_ms;
} Command;

/* The last line, without what the command calls itself. */
static char *last_words(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *last = "";

    for (int i = 0; lines[i] != NULL; i++) {
        if (*g_strstrip(lines[i]) != '\0') {
            last = lines[i];
        }
    }
    return g_strdup(last);
}

static void *command_main(void *data)
{
    Command *c = data;
    ProcessOptions options = {.timeout_ms = c->timeout_ms};
    g_auto(ProcessResult) result = {0};
    Err err = ERR_INIT;
    int r = process_run((const char *const *)c->argv, &options, &result, &err);

    if (r < 0) {
        mig_job_note_later(c->job, c->kind, c->op, r, c->seq, err_text(&err));
    } else if (result.status != 0) {
        g_autofree char *words = last_words(result.err);

        mig_job_note_later(c->job, c->kind, c->op, -EIO, c->seq, words);
    } else {
        mig_job_note_later(c->job, c->kind, c->op, 0, c->seq, result.out);
    }
    g_atomic_int_set(&c->job->worker, 0);
    mig_job_unref(c->job);
    g_strfreev(c->argv);
    g_free(c);
    return NULL;
}

void mig_job_command(MigJob *j, int kind, int op, const char *const *argv, unsigned timeout_ms)
{
    Command *c = g_new(Command, 1);

    *c = (Command){mig_job_ref(j), kind, op, j->seq, g_strdupv((char **)argv), timeout_ms};
    g_atomic_int_set(&j->worker, 1);
    g_thread_unref(g_thread_new("mig-command", command_main, c));
}

/* ---- journal --------------------------------------------------------------------------------- */

static char *journal_path(const MigJob *j)
{
    return g_strdup_printf("%s/%s.%s", j->setup->state_dir, j->id,
                           j->is_source ? "source" : "target");
}

int mig_journal_write(MigJob *j, JsonTree *extra, Err *err)
{
    g_autofree char *path = journal_path(j);
    g_autofree char *text = NULL;
    g_autoptr(JsonTree) t = extra;

    jsontree_set_int(t, "version", 1);
    jsontree_set_text(t, "id", j->id);
    jsontree_set_int(t, "vmid", j->vmid);
    jsontree_set_text(t, "peer", j->peer);
    text = jsontree_pretty(t);
    return cfsfile_write(path, text, strlen(text), err);
}

void mig_journal_forget(MigJob *j)
{
    g_autofree char *path = journal_path(j);

    if (unlink(path) < 0 && errno != ENOENT) {
        log_line(TRACE_ERR, "migrate", "%s: %s", path, g_strerror(errno));
    }
}

int mig_journal_read(const char *path, JsonTree **ret, Err *err)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, JOURNAL_MAX, &text, &size, err);

    if (r < 0) {
        return r;
    }
    r = jsontree_parse(text, size, ret, err);
    if (r == 0 && jsontree_get_int(*ret, "version", 0) != 1) {
        jsontree_free(g_steal_pointer(ret));
        r = err_setf(err, -EBADMSG, "%s is of another version", path);
    }
    return r < 0 ? err_wrapf(err, r, "%s", path) : 0;
}
