/* SPDX-License-Identifier: Apache-2.0 */
/* From the database to the tree, and what a fresh database gets first (reference pmxcfs 2.2, 3.4).
 */
#include "lib/conf/corosync_nodes.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "lib/wire/wire_native.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/engine_priv.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The original enforces no limits: what it made must open, as far as it can be served at all. */
static const MemdbLimits read_limits = {CFS_FILE_SIZE_MAX_NATIVE, CFS_TOTAL_SIZE_MAX_NATIVE,
                                        16 * CFS_INODES_MAX};

/* ---- callbacks of the store (from who writes) ---------------------------------------------- */

/* While the first changes of a fresh database are written nobody else is there to hear of it. */
static bool heard_as_seed(Engine *e, uint64_t stored, int code, const char *text)
{
    bool seeding;

    pthread_mutex_lock(&e->seed_lock);
    seeding = e->seeding;
    if (seeding && code == 0) {
        e->seed_stored = stored;
    } else if (seeding) {
        e->seed_code = code;
        g_strlcpy(e->seed_text, text, sizeof e->seed_text);
    }
    pthread_cond_signal(&e->seed_cond);
    pthread_mutex_unlock(&e->seed_lock);
    return seeding;
}

static void push_stored(Engine *e, uint64_t seq)
{
    bool grown = false;

    pthread_mutex_lock(&e->queue_lock);
    if (e->stored != NULL) {
        e->stored->seq = seq;
        grown = true;
    }
    pthread_mutex_unlock(&e->queue_lock);
    if (!grown) {
        Job *job = engine_job_new(JOB_STORED);
        job->seq = seq;
        engine_push(e, job);
    }
}

static void on_committed(void *ctx, uint64_t seq)
{
    Engine *e = ctx;

    if (heard_as_seed(e, seq, 0, NULL) || seq <= e->seq_base) {
        return;
    }
    seq -= e->seq_base;
    if (!e->local) {
        push_stored(e, seq);
    } else if (engine_own(e)) {
        engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_STORED, .seq = seq});
        engine_disown(e);
    }
}

static void on_failed(void *ctx, uint64_t first_seq, int code, const char *text)
{
    Engine *e = ctx;
    Job *job;

    log_line(TRACE_ERR, "database", "'%s': %s", e->database, text);
    if (heard_as_seed(e, 0, code, text)) {
        return;
    }
    job = engine_job_new(JOB_STORE_FAILED);
    job->seq = first_seq - e->seq_base;
    job->code = code;
    engine_push(e, job);
}

/* ---- reading the file ---------------------------------------------------------------------- */

static int open_store(Engine *e, bool *ret_fresh, Err *err)
{
    StoreOptions opt = {
        .durability = e->durability == REPLICA_DURABILITY_RELAXED ? STORE_RELAXED : STORE_SYNCED,
        .vfs = e->vfs,
        .look_first = true,
        .on_committed = on_committed,
        .on_failed = on_failed,
        .ctx = e,
    };

    return store_open(e->database, &opt, &e->store, ret_fresh, err);
}

static void guard_enter(void *ctx)
{
    pthread_rwlock_wrlock(ctx);
}

static void guard_leave(void *ctx)
{
    pthread_rwlock_unlock(ctx);
}

static void log_faults(const Engine *e, const GArray *faults)
{
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *fault = &g_array_index(faults, MemdbFault, i);
        if (fault->kind != MEMDB_FAULT_ROOT_MISSING) {
            log_line(fault->fatal ? TRACE_ERR : TRACE_WARNING, "database", "'%s': %s: %s",
                     e->database, memdb_fault_name(fault->kind), fault->text);
        }
    }
}

/* A row that could not even become an entry is lost with everything below it. */
static int first_fatal(const GArray *faults, Err *err)
{
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *fault = &g_array_index(faults, MemdbFault, i);
        if (fault->fatal) {
            return err_setf(err, -EBADMSG, "%s: %s", memdb_fault_name(fault->kind), fault->text);
        }
    }
    return 0;
}

/* Reads the file that is open into a new tree. */
static int load_tree(Engine *e, Err *err)
{
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GArray) faults = g_array_new(FALSE, FALSE, sizeof(MemdbFault));
    MemdbGuard guard = {guard_enter, guard_leave, &e->tree_lock};
    MemdbRoot root = {0};
    bool has_root = false;
    int r = store_read(e->store, &read_limits, &entries, &root, &has_root, faults, err);

    if (r < 0) {
        return r;
    }
    if (!has_root) {
        root = (MemdbRoot){.version = 1, .mtime = wall_u32(e->start)};
    }
    g_clear_pointer(&e->db, memdb_free);
    e->db = memdb_new(&e->log_db, &guard);
    r = first_fatal(faults, err);
    if (r == 0) {
        MemdbLimits usual = *memdb_limits(e->db);

        /* What the native protocol allows is no fault, whichever protocol rules when we are up. */
        memdb_set_limits(e->db, e->native ? &read_limits : &usual);
        r = memdb_load(e->db, entries, &root, clock_mono(), faults, err);
        memdb_set_limits(e->db, &usual);
    }
    log_faults(e, faults);
    if (r == 0 && (!has_root || memdb_root(e->db).version != root.version)) {
        g_ptr_array_add(e->seeds, memdb_root_delta(e->db));
    }
    return r;
}

/* ---- a damaged file ------------------------------------------------------------------------ */

static char *read_host_conf(const Engine *e, gsize *ret_size)
{
    g_autoptr(GError) gerror = NULL;
    char *text = NULL;

    if (!g_file_get_contents(e->host_conf, &text, ret_size, &gerror)) {
        if (!g_error_matches(gerror, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            log_line(TRACE_WARNING, "database", "'%s': %s", e->host_conf, gerror->message);
        }
        return NULL;
    }
    if (*ret_size > CFS_FILE_SIZE_MAX) {
        log_line(TRACE_WARNING, "database", "'%s': too large for a corosync.conf", e->host_conf);
        g_clear_pointer(&text, g_free);
    }
    return text;
}

/* NULL: none, or one that cannot be read. */
static CorosyncConf *parse_host_conf(const Engine *e)
{
    gsize size = 0;
    g_autofree char *text = e->local ? NULL : read_host_conf(e, &size);
    CorosyncConf *conf = NULL;

    return text != NULL && corosync_conf_parse(text, size, &conf, NULL) == 0 ? conf : NULL;
}

/* Are there other nodes that have the content? */
static bool cluster_has_copies(const Engine *e)
{
    g_autoptr(CorosyncConf) conf = parse_host_conf(e);

    if (conf == NULL) {
        return false;
    }
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    return nodes->len > 1;
}

/* Does the code say that the content is bad, and not that the disk or somebody is in the way? */
static bool is_damage(int code)
{
    return code == -EBADMSG || code == -E2BIG || code == -EFBIG;
}

static int open_and_load(Engine *e, bool *ret_fresh, Err *err)
{
    int r = open_store(e, ret_fresh, err);

    if (r == 0) {
        r = load_tree(e, err);
    }
    if (r == 0) {
        r = store_take_over(e->store, err);
    }
    if (r < 0) {
        (void)store_close(g_steal_pointer(&e->store)); /* nothing was queued */
        g_ptr_array_set_size(e->seeds, 0);
    }
    return r;
}

static int open_or_begin_anew(Engine *e, bool *ret_fresh, Err *err)
{
    g_autofree char *kept = NULL;
    Err why = ERR_INIT;
    int r = open_and_load(e, ret_fresh, &why);

    if (r == 0) {
        return 0;
    }
    if (!is_damage(r)) {
        return err_setf(err, r, "%s", err_text(&why));
    }
    if (!cluster_has_copies(e)) {
        return err_setf(err, r, "%s; the file is left as it is, see pmxcfs-db(8) for repair",
                        err_text(&why));
    }
    r = store_set_aside(e->database, "damaged", &kept, err);
    if (r < 0) {
        return r;
    }
    log_line(TRACE_CRIT, "database",
             "%s; kept as '%s', beginning anew: the content comes back from the other nodes",
             err_text(&why), kept);
    return open_and_load(e, ret_fresh, err);
}

/* ---- a fresh file -------------------------------------------------------------------------- */

static int seed_change(Engine *e, const TreeOp *op, Err *err)
{
    TreeOrigin from = {.writer = 0, .time = wall_u32(e->start)};
    MemdbDelta *delta = NULL;
    int r = memdb_apply(e->db, op, from, false, clock_mono(), &delta);

    if (r < 0) {
        return err_setf(err, r, "importing '%s': %s", e->host_conf, strerror(-r));
    }
    g_ptr_array_add(e->seeds, delta);
    return 0;
}

static int import_corosync_conf(Engine *e, Err *err)
{
    gsize size = 0;
    char *text = read_host_conf(e, &size);
    int r;

    if (text == NULL) {
        return 0;
    }
    g_autoptr(GBytes) bytes = g_bytes_new_take(text, size);
    r = seed_change(e, &(TreeOp){.kind = TREE_OP_CREATE, .path = "corosync.conf"}, err);
    if (r == 0) {
        r = seed_change(e, &(TreeOp){.kind = TREE_OP_WRITE, .path = "corosync.conf", .data = bytes},
                        err);
    }
    if (r == 0) {
        log_line(TRACE_NOTICE, "database", "fresh database: imported '%s'", e->host_conf);
    }
    return r;
}

int engine_write_seeds(Engine *e, Err *err)
{
    struct timespec end;
    int r = 0, waited = 0;

    if (e->seeds->len == 0) {
        return 0;
    }
    e->seq_base = e->seeds->len;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ENGINE_SEED_MS / 1000;
    pthread_mutex_lock(&e->seed_lock);
    e->seeding = true;
    pthread_mutex_unlock(&e->seed_lock);
    for (guint i = 0; i < e->seeds->len; i++) {
        (void)store_submit(e->store, g_ptr_array_index(e->seeds, i), i + 1 < e->seeds->len);
    }
    store_hurry(e->store, e->seq_base, false);
    pthread_mutex_lock(&e->seed_lock);
    while (e->seed_stored < e->seq_base && e->seed_code == 0 && waited == 0) {
        waited = pthread_cond_timedwait(&e->seed_cond, &e->seed_lock, &end);
    }
    if (e->seed_code != 0) {
        r = err_setf(err, e->seed_code, "'%s': %s", e->database, e->seed_text);
    } else if (e->seed_stored < e->seq_base) {
        r = err_setf(err, -ETIMEDOUT, "'%s': the disk does not answer", e->database);
    }
    e->seeding = false;
    pthread_mutex_unlock(&e->seed_lock);
    g_ptr_array_set_size(e->seeds, 0);
    return r;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* A corosync.conf in the tree, even an empty one, means that this node is in a cluster. */
static void choose_mode(Engine *e)
{
    g_autoptr(Entry) conf = memdb_child(e->db, 0, "corosync.conf");
    bool cluster = conf != NULL && conf->type == ENTRY_FILE;

    if (cluster && e->local) {
        log_line(TRACE_WARNING, "main", "the tree has a corosync.conf: forcing local mode");
    }
    e->local = e->local || !cluster;
    atomic_store(&e->quorate, e->local);
}

/* ---- a file of another cluster ------------------------------------------------------------- */

static CorosyncConf *parse_tree_conf(const Engine *e)
{
    g_autoptr(Entry) file = memdb_child(e->db, 0, "corosync.conf");
    CorosyncConf *conf = NULL;
    gsize size;
    const char *text;

    if (file == NULL || file->data == NULL) {
        return NULL;
    }
    text = g_bytes_get_data(file->data, &size);
    return corosync_conf_parse(text, size, &conf, NULL) == 0 ? conf : NULL;
}

/* By the name of the cluster, in the tree and on this host. */
static bool is_of_another_cluster(const Engine *e)
{
    g_autoptr(CorosyncConf) here = parse_host_conf(e);
    g_autoptr(CorosyncConf) there = here != NULL ? parse_tree_conf(e) : NULL;
    const char *ours = here != NULL ? corosync_conf_get(here, "totem.cluster_name") : NULL;
    const char *its = there != NULL ? corosync_conf_get(there, "totem.cluster_name") : NULL;

    if (ours == NULL || its == NULL || strcmp(ours, its) == 0) {
        return false;
    }
    log_line(TRACE_WARNING, "database",
             "'%s' is of the cluster '%s', by its corosync.conf, and this node is in '%s', by "
             "'%s': among members with a database of the cluster its content does not count",
             e->database, its, ours, e->host_conf);
    return true;
}

/* Terms of another cluster could be later than those of this one, and would lead over them. Its
 * content becomes that of no term, made outside of the group. What this node promised holds: should
 * the cluster have been renamed by hand, it is the same one. */
static GBytes *disown_record(const Engine *e, GBytes *meta)
{
    WireNativeMeta its = {0};
    gsize size = 0;
    const void *data = meta != NULL ? g_bytes_get_data(meta, &size) : NULL;
    WireNativeMeta ours = {.clean = memdb_root(e->db).version, .told = UINT64_MAX};

    if (data != NULL && wire_native_decode_meta(data, size, &its) == 0) {
        ours.promised = MAX(its.promised, its.term);
    }
    return wire_native_encode_meta(&ours);
}

static int make_replica(Engine *e, Err *err)
{
    g_autoptr(GBytes) meta = NULL;
    ReplicaConfig cfg = {
        .local = e->local,
        .pid = (uint32_t)getpid(),
        .durability = e->durability,
        .native = e->native,
        .seed = (uint64_t)clock_mono().us ^ ((uint64_t)getpid() << 40),
    };
    int r = store_get_meta(e->store, MEMDB_RECORD_KEY, &meta, err);

    if (r < 0 && r != -ENOENT) {
        return r;
    }
    e->disowned = is_of_another_cluster(e);
    if (e->disowned) {
        GBytes *record = disown_record(e, meta);
        g_clear_pointer(&meta, g_bytes_unref);
        meta = record;
    }
    cfg.meta = meta;
    e->replica = replica_new(&cfg, e->db, &e->log_dcdb);
    replica_status(e->replica, &e->shown);
    return 0;
}

int engine_open(const EngineConfig *cfg, Engine **ret, Err *err)
{
    g_autoptr(Engine) e = engine_new(cfg);
    bool fresh = false;
    int r = open_or_begin_anew(e, &fresh, err);

    if (r == 0 && fresh && !e->local) {
        r = import_corosync_conf(e, err);
    }
    if (r == 0) {
        choose_mode(e);
        engine_status_init(e);
        r = make_replica(e, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&e);
    return 0;
}
