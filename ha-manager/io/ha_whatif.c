/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_whatif.h"

#include "ha-manager/core/ha_manager.h"
#include "ha-manager/io/ha_agents.h"

#include <errno.h>
#include <string.h>

#define ROUNDS  8
#define STEP_MS 120000 /* from one round to the next: past every delay */
#define GIB     (1024.0 * 1024.0 * 1024.0)

/* The copy of the world that the manager acts on. */
typedef struct World {
    HaCluster *cluster;
    const StrMap *failed;
    char *texts[HA_FILE_N];
    StrMap *guests; /* HaGuest * */
    MonoTime now;
    GPtrArray *log;
} World;

static MonoTime w_mono(void *ctx)
{
    const World *w = ctx;

    return w->now;
}

static void w_sleep(void *ctx, int64_t ms)
{
    (void)ctx;
    (void)ms;
}

static void w_log(void *ctx, TraceLevel level, const char *text)
{
    World *w = ctx;

    if (level != TRACE_DEBUG) {
        g_ptr_array_add(w->log, g_strdup(text));
    }
}

static void w_notify(void *ctx, const HaNotice *notice)
{
    (void)ctx;
    (void)notice;
}

static bool w_quorate(void *ctx)
{
    (void)ctx;
    return true;
}

static int w_refresh(void *ctx)
{
    (void)ctx;
    return 0;
}

static int w_members(void *ctx, StrMap *ret_online, Err *err)
{
    const World *w = ctx;
    int r = ha_cluster_members(w->cluster, ret_online, err);

    for (guint i = 0; r == 0 && i < strmap_size(w->failed); i++) {
        if (strmap_has(ret_online, strmap_key(w->failed, i))) {
            strmap_set(ret_online, strmap_key(w->failed, i), NULL);
        }
    }
    return r;
}

static int w_read(void *ctx, HaFile file, const char *node, char **ret_text, Err *err)
{
    World *w = ctx;

    if (file == HA_FILE_LRM_STATUS) {
        return ha_cluster_read(w->cluster, file, node, ret_text, err);
    }
    *ret_text = g_strdup(w->texts[file]);
    return 0;
}

static int w_write(void *ctx, HaFile file, const char *node, const char *text, Err *err)
{
    World *w = ctx;

    (void)node;
    (void)err;
    g_free(w->texts[file]);
    w->texts[file] = g_strdup(text);
    return 0;
}

static int w_update(void *ctx, HaFile file, HaEdit edit, void *data, Err *err)
{
    World *w = ctx;
    char *text = NULL;
    int r = edit(w->texts[file], &text, data, err);

    if (r == 0) {
        g_free(w->texts[file]);
        w->texts[file] = text;
    }
    return r < 0 ? r : 0;
}

/* What failed lets go of its lock in time; everybody else does not. */
static int w_lock(void *ctx, const char *name)
{
    const World *w = ctx;

    for (guint i = 0; i < strmap_size(w->failed); i++) {
        g_autofree char *lock = ha_agent_lock_name(strmap_key(w->failed, i));

        if (strcmp(lock, name) == 0) {
            return 0;
        }
    }
    return -EBUSY;
}

static int w_nothing(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return 0;
}

static int w_guests(void *ctx, StrMap *ret_guests, Err *err)
{
    const World *w = ctx;

    (void)err;
    for (guint i = 0; i < strmap_size(w->guests); i++) {
        const HaGuest *from = strmap_value(w->guests, i);
        HaGuest *guest = g_new0(HaGuest, 1);

        guest->node = g_strdup(from->node);
        guest->started = from->started;
        strmap_set(ret_guests, strmap_key(w->guests, i), guest);
    }
    return 0;
}

static char *w_guest_node(void *ctx, const char *sid)
{
    const World *w = ctx;
    const HaGuest *guest = strmap_get(w->guests, sid);

    return guest != NULL ? g_strdup(guest->node) : NULL;
}

static int w_guest_move(void *ctx, const char *sid, const char *from, const char *to, Err *err)
{
    const World *w = ctx;
    HaGuest *guest = strmap_get(w->guests, sid);

    (void)from;
    if (guest == NULL) {
        return err_setf(err, -ENOENT, "service '%s' has no guest", sid);
    }
    g_free(guest->node);
    guest->node = g_strdup(to);
    return 0;
}

static char *w_guest_lock(void *ctx, const char *sid)
{
    (void)ctx;
    (void)sid;
    return NULL;
}

static int w_loads(void *ctx, HaScheduler mode, HaLoads *loads, Err *err)
{
    const World *w = ctx;

    return ha_cluster_loads(w->cluster, mode, loads, err);
}

static char *w_version(void *ctx, const char *node)
{
    (void)ctx;
    (void)node;
    return NULL;
}

static const HaEnvOps whatif_ops = {
    .mono = w_mono,
    .sleep_ms = w_sleep,
    .log = w_log,
    .notify = w_notify,
    .quorate = w_quorate,
    .refresh = w_refresh,
    .members = w_members,
    .read = w_read,
    .write = w_write,
    .update = w_update,
    .lock = w_lock,
    .unlock = w_nothing,
    .guests = w_guests,
    .guest_node = w_guest_node,
    .guest_move = w_guest_move,
    .guest_lock = w_guest_lock,
    .loads = w_loads,
    .node_version = w_version,
};

static int copy_world(World *w, Err *err)
{
    int r = 0;

    for (int f = 0; f < HA_FILE_N && r == 0; f++) {
        if (f == HA_FILE_COMMANDS || f == HA_FILE_LRM_STATUS) {
            w->texts[f] = g_strdup("");
        } else {
            r = ha_cluster_read(w->cluster, (HaFile)f, NULL, &w->texts[f], err);
        }
    }
    w->guests = strmap_new(ha_guest_free);
    return r < 0 ? r : ha_cluster_guests(w->cluster, w->guests, err);
}

/* A node that is left and takes the master's part. */
static int find_master(World *w, char **ret, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    guint left = 0;
    int r = w_members(w, members, err);

    if (r < 0) {
        return r;
    }
    for (guint i = strmap_size(members); i > 0; i--) {
        if (strmap_value(members, i - 1) != NULL) {
            left++;
            g_free(*ret);
            *ret = g_strdup(strmap_key(members, i - 1));
        }
    }
    if (left * 2 <= strmap_size(members)) {
        return err_setf(err, -EINVAL,
                        "%u of %u nodes would be left: no quorum, all services would stop", left,
                        strmap_size(members));
    }
    return 0;
}

static int run_manager(World *w, const char *master, Err *err)
{
    HaTiming timing = ha_timing_compatible;
    HaEnv env = {.ops = &whatif_ops,
                 .ctx = w,
                 .node = master,
                 .timing = &timing,
                 .conduct = ha_conduct_improved,
                 .types = ha_agent_types,
                 .seed = 1};
    g_autoptr(StrMap) last_seen = ha_last_seen_new();
    g_autoptr(HaManager) m = NULL;
    int r;

    timing.groups_first_round = ROUNDS + 1; /* nothing is migrated in a thought */
    env.conduct.report_config = false;
    r = ha_manager_new(&env, last_seen, 0, &m, err);
    for (int i = 0; r == 0 && i < ROUNDS; i++) {
        r = ha_manager_round(m, (HaNow){w->now, {0}}, err);
        w->now = mono_add_ms(w->now, STEP_MS);
    }
    return r;
}

static void find_stuck(HaWhatif *what, const StrMap *failed)
{
    for (guint i = 0; i < strmap_size(what->after->services); i++) {
        const HaService *s = strmap_value(what->after->services, i);
        bool lost = strmap_has(failed, s->node);

        if (s->state == HA_SERVICE_RECOVERY ||
            (lost && (s->state == HA_SERVICE_FENCE || s->state == HA_SERVICE_STARTED))) {
            g_ptr_array_add(what->stuck, g_strdup(strmap_key(what->after->services, i)));
        }
    }
}

/* Would the guests that are to run on a node fit into its memory? Only where both are known. */
static void find_full(World *w, HaWhatif *what)
{
    g_auto(HaLoads) loads = {NULL, NULL};
    g_autoptr(StrMap) members = strmap_new(NULL);

    ha_loads_init(&loads);
    if (ha_cluster_loads(w->cluster, HA_SCHEDULER_STATIC, &loads, NULL) < 0 ||
        w_members(w, members, NULL) < 0) {
        return;
    }
    for (guint i = 0; i < strmap_size(members); i++) {
        const char *node = strmap_key(members, i);
        const HaLoad *have = strmap_get(loads.nodes, node);
        double want = 0;

        for (guint k = 0; k < strmap_size(w->guests); k++) {
            const HaGuest *guest = strmap_value(w->guests, k);
            const char *sid = strmap_key(w->guests, k);
            const HaService *s = strmap_get(what->after->services, sid);
            const HaLoad *load = strmap_get(loads.guests, sid);
            bool runs = s != NULL ? s->state == HA_SERVICE_STARTED : guest->started;

            if (runs && load != NULL && strcmp(guest->node, node) == 0) {
                want += load->maxmem;
            }
        }
        if (have != NULL && have->maxmem > 0 && want > have->maxmem &&
            strmap_value(members, i) != NULL) {
            g_ptr_array_add(what->full, g_strdup_printf("node '%s' would need %.1f GiB of %.1f GiB",
                                                        node, want / GIB, have->maxmem / GIB));
        }
    }
}

int ha_whatif_run(HaCluster *c, const StrMap *failed, HaWhatif **ret, Err *err)
{
    g_autoptr(HaWhatif) what = g_new0(HaWhatif, 1);
    g_autofree char *master = NULL;
    World w = {.cluster = c, .failed = failed, .now = {INT64_C(1000000000)}};
    int r;

    what->log = g_ptr_array_new_with_free_func(g_free);
    what->stuck = g_ptr_array_new_with_free_func(g_free);
    what->full = g_ptr_array_new_with_free_func(g_free);
    w.log = what->log;
    r = copy_world(&w, err);
    if (r == 0) {
        r = ha_manager_status_parse(w.texts[HA_FILE_MANAGER_STATUS], NULL, NULL, &what->before,
                                    err);
    }
    if (r == 0) {
        r = find_master(&w, &master, err);
    }
    if (r == 0) {
        r = run_manager(&w, master, err);
    }
    if (r == 0) {
        r = ha_manager_status_parse(w.texts[HA_FILE_MANAGER_STATUS], NULL, NULL, &what->after, err);
    }
    if (r == 0) {
        find_stuck(what, failed);
        find_full(&w, what);
        *ret = g_steal_pointer(&what);
    }
    for (int f = 0; f < HA_FILE_N; f++) {
        g_free(w.texts[f]);
    }
    strmap_free(w.guests);
    return r;
}

void ha_whatif_free(HaWhatif *w)
{
    if (w == NULL) {
        return;
    }
    ha_manager_status_free(w->before);
    ha_manager_status_free(w->after);
    g_clear_pointer(&w->log, g_ptr_array_unref);
    g_clear_pointer(&w->stuck, g_ptr_array_unref);
    g_clear_pointer(&w->full, g_ptr_array_unref);
    g_free(w);
}

static char *why_not(const char *node, const HaWhatif *what)
{
    if (what->stuck->len > 0) {
        return g_strdup_printf("if '%s' fails, no node can take %s%s", node,
                               (const char *)g_ptr_array_index(what->stuck, 0),
                               what->stuck->len > 1 ? " and others" : "");
    }
    if (what->full->len > 0) {
        return g_strdup_printf("if '%s' fails, %s", node,
                               (const char *)g_ptr_array_index(what->full, 0));
    }
    return NULL;
}

int ha_whatif_spare(HaCluster *c, char **ret_why, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    g_autofree char *why = NULL;
    int r = ha_cluster_members(c, members, err);

    for (guint i = 0; r == 0 && why == NULL && i < strmap_size(members); i++) {
        g_autoptr(StrMap) failed = strmap_new(NULL);
        g_autoptr(HaWhatif) what = NULL;
        Err reason = ERR_INIT;

        if (strmap_value(members, i) == NULL) {
            continue;
        }
        strmap_set(failed, strmap_key(members, i), GINT_TO_POINTER(1));
        if (ha_whatif_run(c, failed, &what, &reason) < 0) {
            why = g_strdup_printf("if '%s' fails: %s", strmap_key(members, i), err_text(&reason));
        } else {
            why = why_not(strmap_key(members, i), what);
        }
    }
    if (r == 0) {
        *ret_why = g_steal_pointer(&why);
    }
    return r;
}
