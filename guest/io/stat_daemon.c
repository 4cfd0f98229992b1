/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_daemon.h"

#include "guest/core/stat_limits.h"
#include "guest/core/stat_rate.h"
#include "guest/io/guest_host.h"
#include "guest/io/guest_scope.h"
#include "guest/io/stat_guests.h"
#include "guest/io/stat_host.h"
#include "guest/io/stat_storage.h"
#include "lib/base/prng.h"
#include "lib/cfs/ipcc.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"

#include <errno.h>
#include <string.h>

#define DOMAIN "statd"

/* The manager of the reference whose rules our managers keep to: foreign masters ask for it before
 * they convert groups to rules (ha.md 10). */
#define RULES_VERSION "9.1.0"
#define RULES_RELEASE "9.1"

struct StatDaemon {
    int64_t period_ms;
    Prng jitter;
    Ipcc *ipc;
    StatHost *host;
    StatGuests *guests;
    StatStorages *storages;
    guint timer;
    MonoTime gather_until;
    WallTime now; /* of the round */
    bool told;    /* a round has reached the filesystem: it is there */
    bool silent;  /* it is away, and that was said */

    /* What was read last, by the filesystem's own numbers. */
    char *node;
    int64_t starttime;
    int64_t vmlist;
    int64_t storage_cfg;
};

static gboolean on_round(gpointer data);

static void schedule(StatDaemon *d, int64_t ms, GSourceFunc what)
{
    d->timer = g_timeout_add((guint)MAX(ms, 0), what, d);
}

static void schedule_round(StatDaemon *d, int64_t period_ms)
{
    MonoTime now = clock_mono();
    MonoTime next = stat_next_round(now, period_ms, prng_u64(&d->jitter));

    schedule(d, mono_diff_us(next, now) / US_PER_MS, on_round);
}

/* ---- what the filesystem says ---- */

static int ask_json(StatDaemon *d, WireIpcId id, JsonTree **ret, Err *err)
{
    WireIpcRequest q = {.id = (int32_t)id};
    g_autoptr(GBytes) answer = NULL;
    gsize size = 0;
    const char *text;
    int r = ipcc_call(d->ipc, &q, &answer, err);

    if (r < 0) {
        return r;
    }
    text = answer != NULL ? g_bytes_get_data(answer, &size) : "";
    while (size > 0 && text[size - 1] == '\0') {
        size--;
    }
    return jsontree_parse(text, size, ret, err);
}

static int read_node(StatDaemon *d, Err *err)
{
    g_autoptr(JsonTree) members = NULL;
    const char *name;
    int r = ask_json(d, WIRE_IPC_GET_MEMBERS, &members, err);

    if (r < 0) {
        return r;
    }
    name = jsontree_get_text(members, "nodename");
    if (name == NULL || *name == '\0') {
        return err_setf(err, -EBADMSG, "the cluster filesystem does not say which node this is");
    }
    g_free(d->node);
    d->node = g_strdup(name);
    return 0;
}

static int read_vmlist(StatDaemon *d, Err *err)
{
    g_autoptr(JsonTree) vmlist = NULL;
    int r = ask_json(d, WIRE_IPC_GET_VMLIST, &vmlist, err);

    if (r == 0) {
        stat_guests_list(d->guests, vmlist, d->node);
    }
    return r;
}

static int read_storages(StatDaemon *d, Err *err)
{
    g_autoptr(GBytes) text = NULL;
    Err bad = ERR_INIT;
    int r = ipcc_get_file(d->ipc, "storage.cfg", &text, err);

    if (r == -ENOENT) {
        err_clear(err);
        text = g_bytes_new_static("", 0);
    } else if (r < 0) {
        return r;
    }
    /* One that cannot be read leaves the former ones; guests are told all the same. */
    if (stat_storages_set(d->storages, text, d->node, &bad) < 0) {
        log_line(TRACE_WARNING, DOMAIN, "%s", err_text(&bad));
    }
    return 0;
}

static int fetch_conf(void *ctx, uint32_t vmid, bool container, GBytes **ret, Err *err)
{
    StatDaemon *d = ctx;
    g_autofree char *path =
        g_strdup_printf("nodes/%s/%s/%u.conf", d->node, container ? "lxc" : "qemu-server", vmid);

    return ipcc_get_file(d->ipc, path, ret, err);
}

/* Reads what changed since the last round. Numbers are kept only once all of it has been read. */
static int look_at_cluster(StatDaemon *d, Err *err)
{
    g_autoptr(JsonTree) version = NULL;
    int r = ask_json(d, WIRE_IPC_GET_VERSION, &version, err);
    int64_t starttime = jsontree_get_int(version, "starttime", 0);
    int64_t vmlist = jsontree_get_int(version, "vmlist", 0);
    int64_t storage_cfg = jsontree_get_int(version, "storage.cfg", 0);
    bool anew = r == 0 && (d->node == NULL || starttime != d->starttime);

    if (anew) {
        stat_guests_forget_versions(d->guests);
        r = read_node(d, err);
    }
    if (r == 0 && (anew || vmlist != d->vmlist)) {
        r = read_vmlist(d, err);
    }
    if (r == 0 && (anew || storage_cfg != d->storage_cfg)) {
        r = read_storages(d, err);
    }
    if (r == 0) {
        r = stat_guests_read(d->guests, fetch_conf, d, err);
    }
    if (r == 0) {
        d->starttime = starttime;
        d->vmlist = vmlist;
        d->storage_cfg = storage_cfg;
    }
    return r;
}

/* ---- telling ---- */

static bool is_away(int r)
{
    return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -ECONNRESET || r == -EACCES;
}

/* One value that is refused does not keep back the others. */
static int tell(StatDaemon *d, const char *prefix, const char *id, const char *value, Err *err)
{
    g_autofree char *key = g_strconcat(prefix, id, NULL);
    Err refused = ERR_INIT;
    int r = ipcc_set_status(d->ipc, key, value, &refused);

    if (is_away(r)) {
        return err_setf(err, r, "%s", err_text(&refused));
    }
    if (r < 0) {
        log_line(TRACE_WARNING, DOMAIN, "%s was refused: %s", key, err_text(&refused));
    }
    return 0;
}

/* A value that stays: only when the filesystem has another, or none. */
static int tell_once(StatDaemon *d, const char *key, const char *value, Err *err)
{
    g_autoptr(GBytes) known = NULL;
    gsize size = 0;
    const char *text = NULL;
    int r = ipcc_get_status(d->ipc, NULL, key, &known, NULL);

    if (r == 0 && known != NULL) {
        text = g_bytes_get_data(known, &size);
    }
    if (text != NULL && size == strlen(value) + 1 && memcmp(text, value, size) == 0) {
        return 0;
    }
    return tell(d, "", key, value, err);
}

static int tell_node(StatDaemon *d, const StatNode *n, Err *err)
{
    g_autofree char *line = stat_line_node(n, d->now);
    g_autofree char *size = stat_line_static(n->maxcpu, n->memory.total);
    g_autofree char *version =
        stat_line_version(RULES_VERSION, RULES_RELEASE, PACKAGE_NAME "-" PACKAGE_VERSION);
    int r = tell(d, STAT_KEY_NODE, d->node, line, err);

    if (r == 0) {
        r = tell_once(d, STAT_KEY_STATIC, size, err);
    }
    return r == 0 ? tell_once(d, STAT_KEY_VERSION, version, err) : r;
}

static int tell_guest(void *ctx, uint32_t vmid, const StatGuest *guest, Err *err)
{
    StatDaemon *d = ctx;
    g_autofree char *id = g_strdup_printf("%u", vmid);
    g_autofree char *line = stat_line_guest(guest, d->now);

    return tell(d, STAT_KEY_GUEST, id, line, err);
}

static int tell_storage(void *ctx, const char *storage, uint64_t total, uint64_t used, Err *err)
{
    StatDaemon *d = ctx;
    g_autofree char *id = g_strdup_printf("%s/%s", d->node, storage);
    g_autofree char *line = stat_line_storage((int64_t)total, (int64_t)used, d->now);

    return tell(d, STAT_KEY_STORAGE, id, line, err);
}

static int tell_all(StatDaemon *d, Err *err)
{
    g_autoptr(GHashTable) taps = NULL;
    StatNode node;
    int r = stat_host_read(d->host, &node, &taps, err);

    if (r < 0) {
        return r;
    }
    r = tell_node(d, &node, err);
    if (r == 0) {
        r = stat_guests_tell(d->guests, taps, tell_guest, d, err);
    }
    return r == 0 ? stat_storages_tell(d->storages, tell_storage, d, err) : r;
}

/* ---- rounds ---- */

/* Said once when it begins and once when it ends. */
static void end_round(StatDaemon *d, int r, const Err *err)
{
    if (r < 0 && !d->silent) {
        log_line(TRACE_WARNING, DOMAIN, "nothing can be told: %s; trying again", err_text(err));
    } else if (r == 0 && (d->silent || !d->told)) {
        log_line(TRACE_NOTICE, DOMAIN, "telling the cluster about node '%s'", d->node);
    }
    d->silent = r < 0;
    d->told = d->told || r == 0;
    schedule_round(d, r < 0 ? MIN(d->period_ms, STAT_RETRY_MS) : d->period_ms);
}

static gboolean on_gathered(gpointer data)
{
    StatDaemon *d = data;
    Err err = ERR_INIT;
    int r;

    if (stat_guests_busy(d->guests) && mono_before(clock_mono(), d->gather_until)) {
        return G_SOURCE_CONTINUE;
    }
    d->now = clock_wall();
    r = tell_all(d, &err);
    end_round(d, r, &err);
    return G_SOURCE_REMOVE;
}

static gboolean on_round(gpointer data)
{
    StatDaemon *d = data;
    Err err = ERR_INIT;
    int r = look_at_cluster(d, &err);

    if (r < 0) {
        end_round(d, r, &err);
        return G_SOURCE_REMOVE;
    }
    stat_storages_begin(d->storages);
    stat_guests_begin(d->guests);
    d->gather_until = mono_add_ms(clock_mono(), STAT_GATHER_MS);
    schedule(d, STAT_GATHER_TICK_MS, on_gathered);
    return G_SOURCE_REMOVE;
}

/* The counters are looked at once before, so that the first shares are those of now. */
static void look_first(StatDaemon *d)
{
    g_autoptr(GHashTable) taps = NULL;
    StatNode node;
    Err err = ERR_INIT;

    if (stat_host_read(d->host, &node, &taps, &err) < 0) {
        log_line(TRACE_WARNING, DOMAIN, "%s", err_text(&err));
    }
}

StatDaemon *stat_daemon_new(const StatDaemonOptions *options)
{
    const char *proc = options->proc != NULL ? options->proc : "/proc";
    const char *run_dir = options->run_dir != NULL ? options->run_dir : GUEST_RUN_DIR;
    StatDaemon *d = g_new0(StatDaemon, 1);

    d->period_ms = options->period_ms > 0 ? options->period_ms : STAT_PERIOD_MS;
    prng_init(&d->jitter, options->seed);
    /* A restart of the filesystem is not waited for: the next round asks again. */
    d->ipc = ipcc_new(&(IpccOptions){.timeout_ms = STAT_IPC_MS, .restart_flag = "/nonexistent"});
    d->host = stat_host_new(proc);
    d->guests = stat_guests_new(run_dir, proc, GUEST_SCOPE_ROOT);
    d->storages = stat_storages_new();
    look_first(d);
    schedule(d, STAT_FIRST_MS, on_round);
    return d;
}

void stat_daemon_free(StatDaemon *d)
{
    if (d == NULL) {
        return;
    }
    (void)g_source_remove(d->timer); /* one is always set, or runs just now */
    stat_guests_free(d->guests);
    stat_storages_free(d->storages);
    stat_host_free(d->host);
    ipcc_free(d->ipc);
    g_free(d->node);
    g_free(d);
}
