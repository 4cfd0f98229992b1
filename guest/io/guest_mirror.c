/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_mirror.h"

#include "guest/io/guest_nodes.h"
#include "guest/io/guest_qmp.h"

#include <errno.h>
#include <string.h>

#define LOOK_US    (200 * 1000)
#define END_MS     60000 /* the last blocks; the disks of a loaded host */
#define FREEZE_MS  60000u
#define JOB_PREFIX "mirror-"

struct GuestMirror {
    GuestStore *store;
    uint32_t vmid;
    QmpClient *qmp;
    GPtrArray *jobs; /* Job *: those that go on */
};

typedef struct Job {
    char *name; /* "mirror-scsi0" */
    char *key;
    bool nodes; /* the disk is a tree of nodes (machine 10 and newer), and so is its copy */
} Job;

static void job_free(void *job)
{
    Job *j = job;

    g_free(j->name);
    g_free(j->key);
    g_free(j);
}

typedef struct JobState {
    char *status; /* of query-jobs; "" when there is no such job */
    char *error;
    int64_t done;
    int64_t total;
} JobState;

static void job_state_clear(JobState *j)
{
    g_free(j->status);
    g_free(j->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JobState, job_state_clear)

/* -------------------------------------------------------------------- jobs */

static int job_state(const GuestMirror *m, const char *job, JobState *ret, Err *err)
{
    g_autoptr(JsonTree) list = NULL;
    int r = qmp_call(m->qmp, "query-jobs", NULL, 0, &list, err);

    for (guint i = 0; r == 0 && i < jsontree_count(list); i++) {
        const JsonTree *j = jsontree_at(list, i);
        if (g_strcmp0(jsontree_get_text(j, "id"), job) == 0) {
            ret->status = g_strdup(jsontree_get_text(j, "status"));
            ret->error = g_strdup(jsontree_get_text(j, "error"));
            ret->done = jsontree_get_int(j, "current-progress", 0);
            ret->total = jsontree_get_int(j, "total-progress", 0);
        }
    }
    if (r == 0 && ret->status == NULL) {
        ret->status = g_strdup("");
    }
    return r;
}

static int
tell_job(const GuestMirror *m, const char *command, const char *key, const char *job, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, key, job);
    return qmp_call(m->qmp, command, arguments, 0, NULL, err);
}

/* Waits for the job's end and forgets it; its failure is ours. */
static int job_end(const GuestMirror *m, const char *job, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)END_MS * 1000;

    for (;;) {
        g_auto(JobState) state = {0};
        int r = job_state(m, job, &state, err);

        if (r < 0 || state.status[0] == '\0') {
            return r;
        }
        if (strcmp(state.status, "concluded") == 0) {
            (void)!tell_job(m, "job-dismiss", "id", job, NULL); /* it goes with QEMU at last */
            return state.error != NULL
                       ? err_setf(err, -EIO, "%s: %s", job + strlen(JOB_PREFIX), state.error)
                       : 0;
        }
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "%s: the copy does not end", job + strlen(JOB_PREFIX));
        }
        g_usleep(LOOK_US / 10); /* the guest may stand still meanwhile */
    }
}

/* Its failure is what is wanted. */
static void job_abort(const GuestMirror *m, const char *job)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "device", job);
    jsontree_set_bool(arguments, "force", true);
    (void)!qmp_call(m->qmp, "block-job-cancel", arguments, 0, NULL, NULL);
    (void)!job_end(m, job, NULL);
}

/* ----------------------------------------------------------------- opening */

int guest_mirror_open(GuestStore *s, uint32_t vmid, GuestMirror **ret, Err *err)
{
    g_autoptr(GuestMirror) m = g_new0(GuestMirror, 1);
    int r;

    m->store = s;
    m->vmid = vmid;
    m->jobs = g_ptr_array_new_with_free_func(job_free);
    r = guest_qmp_open(s->host->run_dir, vmid, &m->qmp, err);
    if (r == 0) {
        *ret = g_steal_pointer(&m);
    }
    return r;
}

void guest_mirror_close(GuestMirror *m)
{
    if (m == NULL) {
        return;
    }
    for (guint i = 0; i < m->jobs->len; i++) {
        const Job *job = m->jobs->pdata[i];
        job_abort(m, job->name);
        if (job->nodes) {
            guest_nodes_drop_copies(m->qmp, job->key);
        }
    }
    g_ptr_array_unref(m->jobs);
    qmp_client_free(m->qmp);
    g_free(m);
}

/* What both forms say alike. */
static JsonTree *
job_arguments(const GuestMirror *m, const char *drive, const char *job, const char *target)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "job-id", job);
    jsontree_set_text(arguments, "device", drive);
    jsontree_set_text(arguments, "target", target);
    jsontree_set_text(arguments, "sync", "full");
    /* Once equal, both stay equal at every write that the guest was told is done. */
    jsontree_set_text(arguments, "copy-mode", "write-blocking");
    jsontree_set_bool(arguments, "auto-dismiss", false);
    jsontree_set_int(arguments, "speed", (int64_t)m->store->set->progress.rate_bytes);
    return arguments;
}

static int begin_drive(GuestMirror *m, const Job *job, const char *volid, Err *err)
{
    g_autofree char *drive = g_strconcat("drive-", job->key, NULL);
    g_auto(VolumeRef) ref = {0};
    g_autofree char *path = NULL;
    JsonTree *arguments;
    int r = volume_path(m->store->set, volid, &path, err);

    if (r == 0) {
        r = volume_ref(m->store->set, volid, &ref, err);
    }
    if (r < 0) {
        return r;
    }
    arguments = job_arguments(m, drive, job->name, path);
    jsontree_set_text(arguments, "format", ref.name.format);
    jsontree_set_text(arguments, "mode", "existing");
    return qmp_call(m->qmp, "drive-mirror", arguments, 0, NULL, err);
}

/* The filter on top keeps the disk's name and limits: what is below it will be exchanged. */
static int begin_nodes(GuestMirror *m,
                       const Job *job,
                       const VmSection *section,
                       const GuestDisk *disk,
                       const char *volid,
                       Err *err)
{
    g_autofree char *drive = g_strconcat("drive-", job->key, NULL);
    g_autofree char *value = guest_disk_with(disk, volid, 0);
    g_auto(GuestNodes) plan = {0};
    g_autofree char *now = NULL;
    g_autofree char *copy = NULL;
    JsonTree *arguments;
    int r = guest_nodes_plan(m->store->host, m->vmid, section, job->key, value, &plan, err);

    if (r == 0) {
        r = guest_nodes_add_copy(m->qmp, job->key, &plan, &now, &copy, err);
    }
    if (r < 0) {
        return r;
    }
    arguments = job_arguments(m, drive, job->name, copy);
    jsontree_set_text(arguments, "replaces", now);
    return qmp_call(m->qmp, "blockdev-mirror", arguments, 0, NULL, err);
}

int guest_mirror_add(GuestMirror *m,
                     const VmSection *section,
                     const GuestDisk *disk,
                     const VolumeCopy *to,
                     char **ret_volid,
                     Err *err)
{
    g_autofree char *name = g_strconcat(JOB_PREFIX, disk->key, NULL);
    g_autofree char *volid = NULL;
    g_autofree char *note = NULL;
    g_auto(JobState) old = {0};
    bool nodes = false;
    Job *job;
    int r = guest_nodes_form(m->qmp, disk->key, &nodes, err);

    if (r == 0) {
        r = job_state(m, name, &old, err);
    }
    if (r == 0 && old.status[0] != '\0') {
        job_abort(m, name); /* who began it is gone: the guest's lock is ours */
    }
    if (r == 0) {
        r = volume_alloc_like(m->store->set, to, &volid, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", disk->key);
    }
    guest_store_add(m->store, volid);
    note = g_strdup_printf("%s %s", disk->key, volid);
    guest_store_note(m->store, GUEST_WORK_COPY, note);
    job = g_new0(Job, 1);
    *job = (Job){.name = g_strdup(name), .key = g_strdup(disk->key), .nodes = nodes};
    g_ptr_array_add(m->jobs, job); /* also when it is not known whether it began */
    r = nodes ? begin_nodes(m, job, section, disk, volid, err) : begin_drive(m, job, volid, err);
    if (r < 0) {
        return err_wrapf(err, r, "%s", disk->key);
    }
    *ret_volid = g_steal_pointer(&volid);
    return 0;
}

/* ------------------------------------------------------------------ waiting */

/* 1 when all are ready. */
static int look(const GuestMirror *m, double *ret_percent, Err *err)
{
    int64_t done = 0;
    int64_t total = 0;
    int ready = 1;

    for (guint i = 0; i < m->jobs->len; i++) {
        const Job *job = m->jobs->pdata[i];
        g_auto(JobState) state = {0};
        int r = job_state(m, job->name, &state, err);

        if (r < 0) {
            return r;
        }
        if (state.status[0] == '\0' || strcmp(state.status, "concluded") == 0) {
            return err_setf(err, -EIO, "%s: %s", job->key,
                            state.error != NULL ? state.error : "the copy has ended");
        }
        ready = ready && strcmp(state.status, "ready") == 0;
        done += state.done;
        total += state.total;
    }
    *ret_percent = total > 0 ? 100.0 * (double)done / (double)total : ready ? 100 : 0;
    return ready;
}

int guest_mirror_wait(GuestMirror *m, Err *err)
{
    const ImageProgress *p = &m->store->set->progress;

    for (;;) {
        double percent = 0;
        int r = look(m, &percent, err);

        if (r < 0) {
            return r;
        }
        if (p->percent != NULL) {
            p->percent(p->ctx, percent);
        }
        if (r > 0) {
            return 0;
        }
        if (p->cancel != NULL && *p->cancel) {
            return err_setf(err, -ECANCELED, "cancelled");
        }
        g_usleep(LOOK_US); /* QEMU tells of progress only when asked */
    }
}

/* ------------------------------------------------------------------- ending */

/* Ends one job after the other by `command`; those that are left stay on the list. */
static int end_all(GuestMirror *m, const char *command, Err *err)
{
    int r = 0;

    while (r == 0 && m->jobs->len > 0) {
        const Job *job = m->jobs->pdata[0];

        r = tell_job(m, command, "device", job->name, err);
        if (r == 0) {
            r = job_end(m, job->name, err);
        }
        if (r == 0) {
            if (job->nodes) {
                guest_nodes_drop_copies(m->qmp, job->key); /* the one that has parted */
            }
            g_ptr_array_remove_index(m->jobs, 0);
        }
    }
    return r;
}

int guest_mirror_switch(GuestMirror *m, Err *err)
{
    return end_all(m, "block-job-complete", err);
}

int guest_mirror_part(GuestMirror *m, bool agent, Err *err)
{
    const char *run_dir = m->store->host->run_dir;
    bool frozen = agent && guest_agent_call(run_dir, m->vmid, "guest-fsfreeze-freeze", NULL,
                                            FREEZE_MS, NULL, NULL) == 0;
    g_autoptr(JsonTree) status = NULL;
    bool ran;
    Err back = ERR_INIT;
    int r = qmp_call(m->qmp, "query-status", NULL, 0, &status, err);

    ran = r == 0 && !frozen && jsontree_get_bool(status, "running", false);
    if (r == 0 && ran) {
        guest_store_note(m->store, GUEST_WORK_RAN, "");
        r = qmp_call(m->qmp, "stop", NULL, 0, NULL, err);
    }
    if (r == 0) {
        r = end_all(m, "block-job-cancel", err); /* of jobs that are ready: a good end */
    }
    if (ran && qmp_call(m->qmp, "cont", NULL, 0, NULL, &back) < 0) {
        guest_say(m->store->host, GUEST_SAY_WARNING, "the guest stands still: %s", err_text(&back));
    }
    if (frozen &&
        guest_agent_call(run_dir, m->vmid, "guest-fsfreeze-thaw", NULL, 0, NULL, &back) < 0) {
        guest_say(m->store->host, GUEST_SAY_WARNING, "its file systems may be frozen: %s",
                  err_text(&back));
    }
    return r;
}

/* ---------------------------------------------------- after killed commands */

int guest_mirror_recover(QmpClient *qmp, const char *key, bool takes, Err *err)
{
    const GuestMirror m = {.qmp = qmp};
    g_autofree char *name = g_strconcat(JOB_PREFIX, key, NULL);
    g_auto(JobState) state = {0};
    int r = job_state(&m, name, &state, err);

    if (r < 0 || state.status[0] == '\0') {
        return r;
    }
    if (takes && strcmp(state.status, "ready") == 0) {
        r = tell_job(&m, "block-job-complete", "device", name, err);
        if (r == 0) {
            r = job_end(&m, name, err);
        }
    } else if (takes) {
        r = err_setf(err, -EIO,
                     "%s: the copy that the file names is not complete (%s): the guest writes to "
                     "the old volume",
                     key, state.error != NULL ? state.error : state.status);
    } else {
        job_abort(&m, name);
    }
    if (r == 0) {
        guest_nodes_drop_copies(qmp, key);
    }
    return r;
}
