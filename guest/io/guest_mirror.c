/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_mirror.h"

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
    GPtrArray *jobs; /* char *: names of those that go on */
};

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
    m->jobs = g_ptr_array_new_with_free_func(g_free);
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
        job_abort(m, m->jobs->pdata[i]);
    }
    g_ptr_array_unref(m->jobs);
    qmp_client_free(m->qmp);
    g_free(m);
}

/* QEMU knows the disk by this name, and as one device: a tree of nodes (machine 10 and newer) would
 * lose its limits when its top were exchanged. */
static int check_drive(const GuestMirror *m, const char *drive, Err *err)
{
    g_autoptr(JsonTree) list = NULL;
    int r = qmp_call(m->qmp, "query-block", NULL, 0, &list, err);

    for (guint i = 0; r == 0 && i < jsontree_count(list); i++) {
        const JsonTree *b = jsontree_at(list, i);
        if (g_strcmp0(jsontree_get_text(b, "device"), drive) == 0) {
            return 0;
        }
    }
    return r < 0 ? r
                 : err_setf(err, -ENOTSUP,
                            "cannot be copied while the guest runs: QEMU has no such drive");
}

static int begin(GuestMirror *m, const char *drive, const char *job, const char *volid, Err *err)
{
    JsonTree *arguments = jsontree_new_object();
    g_auto(VolumeRef) ref = {0};
    g_autofree char *path = NULL;
    int r = volume_path(m->store->set, volid, &path, err);

    if (r == 0) {
        r = volume_ref(m->store->set, volid, &ref, err);
    }
    if (r < 0) {
        jsontree_free(arguments);
        return r;
    }
    jsontree_set_text(arguments, "job-id", job);
    jsontree_set_text(arguments, "device", drive);
    jsontree_set_text(arguments, "target", path);
    jsontree_set_text(arguments, "format", ref.name.format);
    jsontree_set_text(arguments, "mode", "existing");
    jsontree_set_text(arguments, "sync", "full");
    /* Once equal, both stay equal at every write that the guest was told is done. */
    jsontree_set_text(arguments, "copy-mode", "write-blocking");
    jsontree_set_bool(arguments, "auto-dismiss", false);
    jsontree_set_int(arguments, "speed", (int64_t)m->store->set->progress.rate_bytes);
    return qmp_call(m->qmp, "drive-mirror", arguments, 0, NULL, err);
}

int guest_mirror_add(
    GuestMirror *m, const GuestDisk *disk, const VolumeCopy *to, char **ret_volid, Err *err)
{
    g_autofree char *drive = g_strconcat("drive-", disk->key, NULL);
    g_autofree char *job = g_strconcat(JOB_PREFIX, disk->key, NULL);
    g_autofree char *volid = NULL;
    g_auto(JobState) old = {0};
    int r = check_drive(m, drive, err);

    if (r == 0) {
        r = job_state(m, job, &old, err);
    }
    if (r == 0 && old.status[0] != '\0') {
        job_abort(m, job); /* who began it is gone: the guest's lock is ours */
    }
    if (r == 0) {
        r = volume_alloc_like(m->store->set, to, &volid, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", disk->key);
    }
    guest_store_add(m->store, volid);
    g_ptr_array_add(m->jobs, g_strdup(job)); /* also when it is not known whether it began */
    r = begin(m, drive, job, volid, err);
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
        const char *job = m->jobs->pdata[i];
        g_auto(JobState) state = {0};
        int r = job_state(m, job, &state, err);

        if (r < 0) {
            return r;
        }
        if (state.status[0] == '\0' || strcmp(state.status, "concluded") == 0) {
            return err_setf(err, -EIO, "%s: %s", job + strlen(JOB_PREFIX),
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
        const char *job = m->jobs->pdata[0];

        r = tell_job(m, command, "device", job, err);
        if (r == 0) {
            r = job_end(m, job, err);
        }
        if (r == 0) {
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
