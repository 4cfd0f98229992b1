/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_node.h"

#include "ha-manager/core/ha_agent.h"
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_settings.h"
#include "ha-manager/io/ha_alerts.h"
#include "ha-manager/io/ha_tree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/conf/vmconf.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITE_MS 20000 /* a change of the tree without a lease to keep */
#define LAST_MS  100   /* one for which it is too late, lest nothing is ever tried again */

#define RUN_DIR    "/var/run/qemu-server"
#define AGENT_HEAD "ha_agent_"
#define AGENT_TAIL "_lock"

/* ---- time, log ------------------------------------------------------------------------------- */

static MonoTime env_mono(void *ctx)
{
    (void)ctx;
    return clock_boot();
}

static void env_sleep(void *ctx, int64_t ms)
{
    (void)ctx;
    g_usleep((gulong)ms * 1000);
}

static void env_log(void *ctx, TraceLevel level, const char *text)
{
    const HaNode *n = ctx;

    log_line(level, n->o.domain, "%s", text);
}

static void say_info(void *ctx, const char *line)
{
    env_log(ctx, TRACE_INFO, line);
}

void ha_node_notify(HaNode *n, const HaNotice *notice)
{
    g_autofree char *line = g_strdup_printf("%s: %s", notice->prefix, notice->text);
    g_autofree char *status = NULL;

    log_line(TRACE_NOTICE, n->o.domain, "alert %s", line);
    ha_cluster_log(n->cluster, TRACE_ERR, "pve-ha", line);
    (void)!ha_cluster_read(n->cluster, HA_FILE_MANAGER_STATUS, NULL, &status, NULL); /* or none */
    ha_alerts_send(n->workers, &ha_alert_paths, notice, n->name, status);
}

static void env_notify(void *ctx, const HaNotice *notice)
{
    ha_node_notify(ctx, notice);
}

/* ---- membership -------------------------------------------------------------------------------
 */

static bool env_quorate(void *ctx)
{
    HaNode *n = ctx;

    return ha_cluster_quorate(n->cluster);
}

static int env_refresh(void *ctx)
{
    HaNode *n = ctx;
    Err why = ERR_INIT;
    int r = ha_cluster_refresh(n->cluster, &why);

    if (r < 0) {
        log_line(TRACE_WARNING, n->o.domain, "cluster state: %s", err_text(&why));
    }
    return r;
}

static int env_members(void *ctx, StrMap *ret_online, Err *err)
{
    const HaNode *n = ctx;

    return ha_cluster_members(n->cluster, ret_online, err);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int env_read(void *ctx, HaFile file, const char *node, char **ret_text, Err *err)
{
    HaNode *n = ctx;

    return ha_cluster_read(n->cluster, file, node, ret_text, err);
}

/* What others go by is what was published last: until a longer lease is, the watchdog keeps to the
 * old one. */
static const HaTiming *timing_in_force(const HaNode *n)
{
    const HaTiming *t = n->env.timing;

    return n->published != NULL && n->published->client_ms < t->client_ms ? n->published : t;
}

/* Changes of the tree wait while corosync finds out who has left. With a lease to keep we wait
 * along only while there is time left to stop guests. */
static MonoTime patience_ends(void *ctx)
{
    const HaNode *n = ctx;
    MonoTime now = clock_boot();
    MonoTime until;

    if (!ha_dog_is_open(&n->dog)) {
        return mono_add_ms(now, WRITE_MS);
    }
    until = mono_add_ms(n->fed, timing_in_force(n)->giveup_ms);
    return mono_before(mono_add_ms(now, LAST_MS), until) ? until : mono_add_ms(now, LAST_MS);
}

typedef struct Write {
    char *pve, *node, *text;
    HaFile file;
} Write;

static void write_free(void *data)
{
    Write *w = data;

    g_free(w->pve);
    g_free(w->node);
    g_free(w->text);
    g_free(w);
}

static int write_run(void *data, Err *err)
{
    const Write *w = data;

    return ha_tree_write(w->pve, w->file, w->node, w->text, err);
}

/* Whoever was held up beyond its lease is master no more, and had better notice it before others
 * have to put right what it did (a later epoch does, for what it wrote). */
static int still_master(const HaNode *n, const char *what, Err *err)
{
    if (ha_leases_in_time(n->leases, HA_MANAGER_LOCK)) {
        return 0;
    }
    return err_setf(err, -ESTALE, "%s: the lease of '%s' is over, not changed", what,
                    HA_MANAGER_LOCK);
}

static int env_write(void *ctx, HaFile file, const char *node, const char *text, Err *err)
{
    HaNode *n = ctx;
    Write *w;
    int r;

    if (file == HA_FILE_MANAGER_STATUS && still_master(n, "manager_status", err) < 0) {
        return -ESTALE;
    }
    w = g_new(Write, 1);
    *w = (Write){g_strdup(n->pve), g_strdup(node), g_strdup(text), file};
    r = ha_patience_run(n->patience, write_run, w, write_free, patience_ends(n), err);
    if (r < 0) {
        return r;
    }
    n->published = n->env.timing;
    if (file == HA_FILE_MANAGER_STATUS) {
        ha_leases_settle(n->leases, HA_MANAGER_LOCK); /* what they were taken for is written */
    }
    return 0;
}

static int env_update(void *ctx, HaFile file, HaEdit edit, void *data, Err *err)
{
    HaNode *n = ctx;

    if (still_master(n, ha_file_name(file), err) < 0) {
        return -ESTALE;
    }
    return ha_tree_update(n->pve, file, edit, data, HA_LOCK_ROUND_MS, err);
}

/* ---- leases and watchdog ------------------------------------------------------------------------
 */

static char *agent_node(const char *lock)
{
    gsize size = strlen(lock);

    if (!g_str_has_prefix(lock, AGENT_HEAD) || !g_str_has_suffix(lock, AGENT_TAIL)) {
        return NULL;
    }
    return g_strndup(lock + strlen(AGENT_HEAD), size - strlen(AGENT_HEAD AGENT_TAIL));
}

/* Read anew each time, and past every cache: it must be what holds now. Only what is the same text
 * as before is not taken apart again: it may be long. NULL: it cannot be read. */
static const HaManagerStatus *manager_status_now(HaNode *n)
{
    char *text = NULL;

    return ha_cluster_read(n->cluster, HA_FILE_MANAGER_STATUS, NULL, &text, NULL) == 0 &&
                   ha_status_cache_take(&n->master, text, false, NULL) == 0
               ? n->master.ms
               : NULL;
}

static int64_t published_lease_ms(void *ctx, const char *lock)
{
    HaNode *n = ctx;
    g_autofree char *node = agent_node(lock);
    g_autofree char *text = NULL;
    g_autoptr(HaLrmStatus) ls = NULL;
    const HaManagerStatus *ms;

    if (node == NULL) {
        ms = manager_status_now(n);
        return ms != NULL ? ms->lease_ms : 0;
    }
    return ha_cluster_read(n->cluster, HA_FILE_LRM_STATUS, node, &text, NULL) == 0 &&
                   ha_lrm_status_parse(text, &ls, NULL) == 0
               ? ls->lease_ms
               : 0;
}

/* A master that is out of the membership can write nothing, and runs nothing. */
static bool master_gone(void *ctx, const char *lock)
{
    HaNode *n = ctx;
    const HaManagerStatus *ms;
    g_autoptr(StrMap) members = strmap_new(NULL);

    return n->all_ours && strcmp(lock, HA_MANAGER_LOCK) == 0 &&
           (ms = manager_status_now(n)) != NULL && ms->master_node != NULL &&
           ha_cluster_members(n->cluster, members, NULL) == 0 &&
           strmap_get(members, ms->master_node) == NULL;
}

static int env_lock(void *ctx, const char *name)
{
    HaNode *n = ctx;
    bool before = ha_leases_held(n->leases, name);
    int64_t life_ms = n->env.timing->lease_ms;
    bool other = !n->o.lrm && strcmp(name, HA_MANAGER_LOCK) != 0;
    int r = other ? ha_leases_lock_other(n->leases, name, life_ms)
                  : ha_leases_lock(n->leases, name, life_ms);

    if (r == 0 && !before) {
        log_line(TRACE_INFO, n->o.domain, "successfully acquired lock '%s'", name);
    } else if (r < 0 && before && !ha_leases_held(n->leases, name)) {
        log_line(TRACE_ERR, n->o.domain, "lost lock '%s' - %s", name, strerror(-r));
    }
    if (r == 0 && n->o.lrm) {
        ha_leases_settle(n->leases, name); /* nothing has to be written for our own */
    }
    return r;
}

static int env_lock_dead(void *ctx, const char *name)
{
    HaNode *n = ctx;

    return ha_leases_lock_dead(n->leases, name, n->env.timing->lease_ms);
}

static int env_unlock(void *ctx, const char *name)
{
    HaNode *n = ctx;

    return ha_leases_unlock(n->leases, name);
}

static int warn(const HaNode *n, int r, const Err *why)
{
    if (r < 0) {
        log_line(TRACE_ERR, n->o.domain, "%s", err_text(why));
    }
    return r;
}

/* Tells the rest of this node (the migration agent) that what runs here for HA is guarded. It stays
 * when we are killed: then the watchdog fires, and guards to the end. */
static void mark_guarded(const HaNode *n, bool on)
{
    int fd;

    if (!n->o.lrm) {
        return;
    }
    if (!on) {
        (void)unlink(HA_GUARDED_FILE); /* or it was never there */
        return;
    }
    (void)g_mkdir_with_parents("/run/quorate", 0755); /* else opening fails */
    fd = open(HA_GUARDED_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        log_line(TRACE_ERR, n->o.domain, "%s: %s", HA_GUARDED_FILE, strerror(errno));
        return;
    }
    (void)close(fd); /* it is empty */
}

static int env_watchdog_open(void *ctx)
{
    HaNode *n = ctx;
    Err why = ERR_INIT;
    int r = warn(n, ha_dog_open(&n->dog, &why), &why);

    if (r == 0) {
        mark_guarded(n, true);
    }
    return r;
}

static int env_watchdog_feed(void *ctx, MonoTime since)
{
    HaNode *n = ctx;
    const HaTiming *t = timing_in_force(n);
    Err why = ERR_INIT;

    n->fed = since;
    return warn(n, ha_dog_feed(&n->dog, since, t->client_ms, t->device_ms, &why), &why);
}

static int env_watchdog_close(void *ctx)
{
    HaNode *n = ctx;
    Err why = ERR_INIT;

    mark_guarded(n, false); /* before it is true */
    return warn(n, ha_dog_close(&n->dog, &why), &why);
}

/* ---- guests -----------------------------------------------------------------------------------
 */

static int env_guests(void *ctx, StrMap *ret_guests, Err *err)
{
    const HaNode *n = ctx;

    return ha_cluster_guests(n->cluster, ret_guests, err);
}

static char *env_guest_node(void *ctx, const char *sid)
{
    const HaNode *n = ctx;

    return ha_cluster_guest_node(n->cluster, sid);
}

typedef struct Move {
    char *from, *to;
} Move;

static void move_free(void *data)
{
    Move *m = data;

    g_free(m->from);
    g_free(m->to);
    g_free(m);
}

static int move_run(void *data, Err *err)
{
    const Move *m = data;
    g_autofree char *dir = g_path_get_dirname(m->to);

    (void)g_mkdir_with_parents(dir, 0755); /* else the rename says why */
    if (rename(m->from, m->to) < 0 && access(m->to, F_OK) != 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", m->to, strerror(-r));
    }
    return 0;
}

static int env_guest_move(void *ctx, const char *sid, const char *from, const char *to, Err *err)
{
    HaNode *n = ctx;
    g_autofree char *old_path = ha_tree_guest_path(n->pve, sid, from);
    Move *m;
    int r;

    if (old_path == NULL) {
        return err_setf(err, -EINVAL, "service '%s' has no configuration to move", sid);
    }
    if (strcmp(from, to) == 0) {
        return 0;
    }
    if (still_master(n, sid, err) < 0) {
        return -ESTALE;
    }
    m = g_new(Move, 1);
    *m = (Move){g_steal_pointer(&old_path), ha_tree_guest_path(n->pve, sid, to)};
    r = ha_patience_run(n->patience, move_run, m, move_free, patience_ends(n), err);
    if (r == 0) {
        (void)env_refresh(n); /* logged there; the next round looks again */
    }
    return r;
}

static int guest_conf(const HaNode *n, const char *sid, char **ret_path, VmConf **ret, Err *err)
{
    g_autofree char *node = ha_cluster_guest_node(n->cluster, sid);
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    gsize size = 0;
    int r;

    if (node == NULL || g_str_has_prefix(sid, "exec:")) {
        return err_setf(err, -ENOENT, "service '%s' has no guest configuration", sid);
    }
    path = ha_tree_guest_path(n->pve, sid, node);
    r = cfsfile_read(path, VMCONF_TEXT_MAX, &text, &size, err);
    if (r == 0) {
        r = vmconf_parse(text, size, &(VmConfParse){.file = path}, ret, err);
    }
    if (r == 0) {
        *ret_path = g_steal_pointer(&path);
    }
    return r;
}

static char *env_guest_lock(void *ctx, const char *sid)
{
    const HaNode *n = ctx;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *path = NULL;

    if (guest_conf(n, sid, &path, &conf, NULL) < 0) {
        return NULL;
    }
    return g_strdup(vmsection_get(vmconf_main(conf), "lock"));
}

static int env_guest_unlock(void *ctx, const char *sid, const char *lock, Err *err)
{
    const HaNode *n = ctx;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    int r = guest_conf(n, sid, &path, &conf, err);

    if (r < 0) {
        return r;
    }
    if (g_strcmp0(vmsection_get(vmconf_main(conf), "lock"), lock) != 0) {
        return err_setf(err, -ENOENT, "the lock is gone");
    }
    (void)vmsection_unset(vmconf_main(conf), "lock"); /* it is there */
    text = vmconf_format(conf);
    return cfsfile_write(path, text, strlen(text), err);
}

static int env_loads(void *ctx, HaScheduler mode, HaLoads *loads, Err *err)
{
    HaNode *n = ctx;

    return ha_cluster_loads(n->cluster, mode, loads, err);
}

static char *env_node_version(void *ctx, const char *node)
{
    HaNode *n = ctx;

    return ha_cluster_version(n->cluster, node);
}

/* ---- fencing ----------------------------------------------------------------------------------
 */

static bool env_can_fence(void *ctx, const char *node)
{
    const HaNode *n = ctx;

    return ha_fencing_can(n->fencing, node);
}

static int env_fence(void *ctx, const char *node)
{
    HaNode *n = ctx;
    g_autofree char *lock = ha_agent_lock_name(node);

    if (!ha_fencing_begun(n->fencing, node)) {
        ha_leases_mark(n->leases, lock);
    }
    return ha_fencing_fence(n->fencing, node);
}

static void env_fence_over(void *ctx, const char *node)
{
    HaNode *n = ctx;

    ha_fencing_over(n->fencing, node);
}

/* ---- agents and workers -----------------------------------------------------------------------
 */

static bool env_agent_has_type(void *ctx, const char *type)
{
    (void)ctx;
    return ha_agents_has_type(type);
}

static int env_agent_running(void *ctx, const char *sid)
{
    const HaNode *n = ctx;

    return ha_agents_running(&n->agents, sid);
}

static void env_agent_start(void *ctx, const char *sid)
{
    const HaNode *n = ctx;

    ha_agents_start(&n->agents, sid);
}

static void env_agent_stop(void *ctx, const char *sid, int64_t timeout_s)
{
    const HaNode *n = ctx;

    ha_agents_stop(&n->agents, sid, timeout_s);
}

static int env_agent_migrate(void *ctx, const char *sid, const char *target, bool online)
{
    const HaNode *n = ctx;

    return ha_agents_migrate(&n->agents, sid, target, online);
}

typedef struct Work {
    HaNode *n;
    const HaJob *job;
} Work;

/* A stop that nobody asked for by name is for whatever runs here, configured or not. */
static bool is_configured(HaNode *n, const HaJob *job)
{
    g_autoptr(HaResources) res = NULL;
    g_autofree char *text = NULL;

    if (job->uid == NULL || ha_cluster_read(n->cluster, HA_FILE_RESOURCES, NULL, &text, NULL) < 0) {
        return true;
    }
    return ha_resources_parse(n->env.types, text, NULL, NULL, NULL, &res, NULL) == 0 &&
           ha_resources_get(res, job->sid) != NULL;
}

static int work_in_child(void *data)
{
    const Work *w = data;

    if (w->job->uid != NULL) {
        (void)env_refresh(w->n); /* else what the parent knew has to do */
    }
    return (int)ha_agent_run(&w->n->env, w->job, is_configured(w->n, w->job));
}

static int env_worker_start(void *ctx, const HaJob *job)
{
    HaNode *n = ctx;
    Work w = {n, job};

    return ha_workers_start(n->workers, job->sid, work_in_child, &w);
}

static int env_worker_reap(void *ctx, HaWorkerExit *ret_exit)
{
    HaNode *n = ctx;
    char *tag = NULL;
    int status = 0;

    if (ha_workers_reap(n->workers, &tag, &status) == 0) {
        return 0;
    }
    *ret_exit = (HaWorkerExit){.sid = tag, .ran = true};
    if (WIFSIGNALED(status)) {
        ret_exit->signal = WTERMSIG(status);
    } else {
        ret_exit->code = WEXITSTATUS(status);
    }
    return 1;
}

static const HaEnvOps node_ops = {
    .mono = env_mono,
    .sleep_ms = env_sleep,
    .log = env_log,
    .notify = env_notify,
    .quorate = env_quorate,
    .refresh = env_refresh,
    .members = env_members,
    .read = env_read,
    .write = env_write,
    .update = env_update,
    .lock = env_lock,
    .unlock = env_unlock,
    .fence = env_fence,
    .can_fence = env_can_fence,
    .fence_over = env_fence_over,
    .lock_dead = env_lock_dead,
    .watchdog_open = env_watchdog_open,
    .watchdog_feed = env_watchdog_feed,
    .watchdog_close = env_watchdog_close,
    .guests = env_guests,
    .guest_node = env_guest_node,
    .guest_move = env_guest_move,
    .guest_lock = env_guest_lock,
    .guest_unlock = env_guest_unlock,
    .loads = env_loads,
    .node_version = env_node_version,
    .agent_has_type = env_agent_has_type,
    .agent_running = env_agent_running,
    .agent_start = env_agent_start,
    .agent_stop = env_agent_stop,
    .agent_migrate = env_agent_migrate,
    .worker_start = env_worker_start,
    .worker_reap = env_worker_reap,
};

/* ---- timing -----------------------------------------------------------------------------------
 */

/* A member whose LRM does not tell its lease is none of ours; one without status is no matter. */
static bool only_ours(HaNode *n)
{
    g_autoptr(StrMap) members = strmap_new(NULL);

    if (ha_cluster_members(n->cluster, members, NULL) < 0) {
        return n->all_ours;
    }
    for (guint i = 0; i < strmap_size(members); i++) {
        g_autoptr(HaLrmStatus) ls = NULL;
        g_autofree char *text = NULL;

        if (ha_cluster_read(n->cluster, HA_FILE_LRM_STATUS, strmap_key(members, i), &text, NULL) <
            0) {
            return n->all_ours;
        }
        if (text[0] != '\0' && (ha_lrm_status_parse(text, &ls, NULL) < 0 || ls->lease_ms == 0)) {
            return false;
        }
    }
    return true;
}

static void watch_locks(HaNode *n)
{
    g_autoptr(StrMap) members = strmap_new(NULL);

    ha_leases_watch(n->leases, HA_MANAGER_LOCK);
    if (ha_cluster_members(n->cluster, members, NULL) < 0) {
        return;
    }
    for (guint i = 0; i < strmap_size(members); i++) {
        g_autofree char *lock = ha_agent_lock_name(strmap_key(members, i));

        ha_leases_watch(n->leases, lock);
    }
}

static void choose_timing(HaNode *n, const HaSettings *settings)
{
    const char *wanted = n->forced_timing != NULL ? n->forced_timing : settings->timing;
    const HaTiming *t = *wanted != '\0' ? ha_timing_by_name(wanted) : NULL;
    int64_t slow_ms = 0;

    if (ha_cluster_detection_ms(n->cluster, &slow_ms, NULL) < 0) {
        slow_ms = n->detection_ms; /* as before */
    }
    n->detection_ms = slow_ms;
    n->all_ours = only_ours(n);
    if (t == NULL || !n->all_ours) {
        bool fast = n->all_ours && slow_ms <= ha_timing_detect_max_ms(&ha_timing_fast);

        t = fast ? &ha_timing_fast : &ha_timing_compatible;
    }
    if (t != n->env.timing) {
        log_line(TRACE_NOTICE, n->o.domain, "using timing profile '%s'", t->name);
        n->env.timing = t;
    }
    if (slow_ms > ha_timing_detect_max_ms(&ha_timing_fast) && n->all_ours && !n->told_slow) {
        log_line(TRACE_WARNING, n->o.domain,
                 "corosync takes %" G_GINT64_FORMAT
                 " ms to notice the loss of a node: timing profile "
                 "'fast' needs at most %" G_GINT64_FORMAT " ms ('token' in corosync.conf)",
                 slow_ms, ha_timing_detect_max_ms(&ha_timing_fast));
        n->told_slow = true;
    }
}

void ha_node_prepare_round(HaNode *n)
{
    g_autofree char *datacenter = NULL;
    g_autofree char *fence = NULL;
    HaSettings settings;

    ha_settings_init(&settings);
    if (ha_cluster_read(n->cluster, HA_FILE_DATACENTER, NULL, &datacenter, NULL) == 0) {
        ha_settings_parse(datacenter, &settings);
        n->env.max_workers = CLAMP(settings.max_workers, 1, HA_WORKERS_MAX);
        choose_timing(n, &settings);
    }
    if (!n->o.lrm) {
        ha_fencing_poll(n->fencing);
        if (ha_cluster_read(n->cluster, HA_FILE_FENCE, NULL, &fence, NULL) == 0) {
            ha_fencing_configure(n->fencing, fence);
        }
        watch_locks(n);
    }
}

static void drop_dog(void *ctx)
{
    HaNode *n = ctx;

    ha_dog_drop(&n->dog);
}

static uint64_t random_seed(void)
{
    uint64_t seed = (uint64_t)clock_boot().us ^ (uint64_t)getpid() << 40;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!read(fd, &seed, sizeof seed); /* else the clock has to do */
        (void)close(fd);
    }
    return seed;
}

HaNode *ha_node_new(const HaNodeOptions *options, const char *node)
{
    HaNode *n = g_new0(HaNode, 1);
    const char *run_dir = g_getenv("QUORATE_RUN_DIR");
    const char *timing = g_getenv("QUORATE_HA_TIMING");

    n->o = *options;
    n->pve = g_strdup(options->pve != NULL ? options->pve : HA_TREE_DEFAULT);
    n->name = g_strdup(node);
    n->forced_timing = g_strdup(timing);
    n->cluster = ha_cluster_new(n->pve, n->name);
    n->patience = ha_patience_new();
    n->leases = ha_leases_new(&(HaLeasesOptions){.pve = n->pve,
                                                 .lease_ms = published_lease_ms,
                                                 .holder_gone = master_gone,
                                                 .patience = n->patience,
                                                 .until = patience_ends,
                                                 .mono = env_mono,
                                                 .ctx = n});
    ha_dog_init(&n->dog, HA_DOG_SOCKET);
    n->agents = (HaAgents){.pve = n->pve,
                           .node = n->name,
                           .run_dir = run_dir != NULL ? run_dir : RUN_DIR,
                           .services = HA_GENERIC_FOLDER,
                           .log = say_info,
                           .ctx = n};
    n->workers = ha_workers_new(drop_dog, n);
    n->fencing = ha_fencing_new(say_info, drop_dog, n);
    n->env = (HaEnv){.ops = &node_ops,
                     .ctx = n,
                     .node = n->name,
                     .timing = &ha_timing_compatible,
                     .conduct = ha_conduct_improved,
                     .types = ha_agent_types,
                     .max_workers = 4,
                     .seed = random_seed()};
    return n;
}

void ha_node_free(HaNode *n)
{
    if (n == NULL) {
        return;
    }
    ha_dog_drop(&n->dog);
    ha_workers_free(n->workers);
    ha_fencing_free(n->fencing);
    ha_leases_free(n->leases);
    ha_patience_free(n->patience);
    ha_cluster_free(n->cluster);
    ha_status_cache_done(&n->master);
    g_free(n->forced_timing);
    g_free(n->pve);
    g_free(n->name);
    g_free(n);
}
