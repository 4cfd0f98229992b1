/* SPDX-License-Identifier: Apache-2.0 */
/* What would fail, and why, before anything is changed; and what the target must be told. */
#include "lib/cfs/cfsfile.h"
#include "lib/conf/vmconf.h"
#include "lib/port/clock.h"
#include "migration/core/mig_caps.h"
#include "migration/core/mig_cpu.h"
#include "migration/core/mig_predict.h"
#include "migration/io/mig_agent.h"
#include "migration/io/mig_host.h"
#include "migration/io/mig_probe.h"
#include "migration/io/mig_source_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STORAGE_CFG_MAX (1024 * 1024)
#define CMDLINE_MAX     (1024 * 1024)
#define CONFIG_MAX      (1024 * 1024)
#define RAW_ALIGN       4096 /* what QEMU takes for a file whose beginning tells nothing */
#define DIRTY_S         1    /* so long QEMU looks how fast the guest writes its memory */
#define DIRTY_WAIT_MS   5000 /* for its answer */
#define CHANNELS_FROM                                                                              \
    ((int64_t)1024 * 1024 * 1024) /* smaller guests are through before more                        \
                                   * channels have shaken hands */

static void problem(MigJob *j, const char *check, bool fatal, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void problem(MigJob *j, const char *check, bool fatal, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    JsonTree *t = jsontree_new_object();
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    jsontree_set_text(t, "check", check);
    jsontree_set_bool(t, "fatal", fatal);
    jsontree_set_text(t, "text", text);
    jsontree_add(j->problems, t);
}

static int parse_config(MigJob *j, VmConf **ret, Err *err)
{
    g_free(g_steal_pointer(&j->config));
    if (mig_tree_read(&j->setup->tree, j->setup->tree.node, j->vmid, &j->config, err) < 0) {
        return err_setf(err, -ENOENT, "guest %u is not on this node (%s)", j->vmid,
                        j->setup->tree.node);
    }
    return vmconf_parse(j->config, strlen(j->config), NULL, ret, err);
}

static int read_storages(MigJob *j, StorageCfg **ret, Err *err)
{
    g_autofree char *path = g_build_filename(j->setup->tree.pve, "storage.cfg", NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, STORAGE_CFG_MAX, &text, &size, err);

    if (r == -ENOENT) {
        text = g_strdup("");
        size = 0;
    } else if (r < 0) {
        return r;
    }
    return storagecfg_parse(text, size, ret, err);
}

/* ---- the running QEMU ------------------------------------------------------------------------ */

static char *qom_type(MigJob *j)
{
    g_autoptr(JsonTree) t = NULL;
    JsonTree *a = jsontree_new_object();
    Err err = ERR_INIT;
    char *type;

    jsontree_set_text(a, "path", "/machine");
    jsontree_set_text(a, "property", "type");
    if (mig_qemu_call(j->qemu, "qom-get", a, &t, &err) < 0 || jsontree_text(t) == NULL) {
        return NULL;
    }
    type = g_strdup(jsontree_text(t));
    if (g_str_has_suffix(type, "-machine")) {
        type[strlen(type) - strlen("-machine")] = '\0';
    }
    return type;
}

static int64_t memory_bytes(MigJob *j)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    if (mig_qemu_call(j->qemu, "query-memory-size-summary", NULL, &t, &err) < 0) {
        return 0;
    }
    return jsontree_get_int(t, "base-memory", 0) + jsontree_get_int(t, "plugged-memory", 0);
}

static void look_at_sizes(MigJob *j)
{
    for (guint i = 0; i < j->volumes->list->len; i++) {
        MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        g_autofree char *node = NULL;
        Err err = ERR_INIT;

        if (v->how != MIG_VOLUME_MIRROR) {
            continue;
        }
        if (mig_qemu_drive_node(j->qemu, v->drive, &node, &v->size, &err) < 0) {
            problem(j, "disk", true, "%s: %s", v->drive, err_text(&err));
        }
        v->used = mig_qemu_drive_used(j->qemu, v->drive);
    }
}

static bool moves(const MigJob *j, const char *drive)
{
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        if (strcmp(v->drive, drive) == 0) {
            return true;
        }
    }
    return false;
}

static bool begins_with_hole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool hole = fd >= 0 && lseek(fd, 0, SEEK_DATA) != 0 && errno != EINVAL;

    if (fd >= 0) {
        (void)close(fd); /* only looked at */
    }
    return hole;
}

/* A shared raw file that a guest has discarded the beginning of: the target's QEMU would align
 * its writes to more than the file's size is a multiple of, and refuse when the guest is there. */
static void look_at_heads(MigJob *j)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    if (mig_qemu_call(j->qemu, "query-block", NULL, &t, &err) < 0) {
        return; /* the next question to QEMU says it */
    }
    for (guint i = 0; i < jsontree_count(t); i++) {
        const char *device = jsontree_get_text(jsontree_at(t, i), "device");
        const JsonTree *inserted = jsontree_get(jsontree_at(t, i), "inserted");
        const JsonTree *image = jsontree_get(inserted, "image");
        const char *path = jsontree_get_text(image, "filename");
        int64_t size = jsontree_get_int(image, "virtual-size", 0);

        if (device == NULL || !g_str_has_prefix(device, "drive-") || path == NULL || *path != '/' ||
            g_strcmp0(jsontree_get_text(image, "format"), "raw") != 0 ||
            jsontree_get_bool(inserted, "ro", false) || size % RAW_ALIGN == 0) {
            continue;
        }
        device += strlen("drive-");
        if (!moves(j, device) && begins_with_hole(path)) {
            problem(j, "disk", true,
                    "%s: its file begins with a hole and its size is no multiple of 4 KiB, which "
                    "the target's QEMU could not write to: 'qm disk resize %u %s +1K' mends that",
                    device, j->vmid, device);
        }
    }
}

static int look_at_qemu(MigJob *j, Err *err)
{
    g_autofree char *state = NULL;
    int r = mig_source_open_qemu(j, err);

    if (r < 0) {
        return r;
    }
    state = mig_qemu_run_state(j->qemu, err);
    if (state == NULL) {
        return -EIO;
    }
    j->guest_paused = strcmp(state, "paused") == 0;
    j->guest_stands = strcmp(state, "running") != 0;
    if (strcmp(state, "running") != 0 && !j->guest_paused && strcmp(state, "suspended") != 0) {
        problem(j, "state", true, "the guest is '%s': it must run or be paused", state);
    }
    g_free(j->machine);
    j->machine = qom_type(j);
    j->stats.total = memory_bytes(j);
    look_at_sizes(j);
    look_at_heads(j);
    return 0;
}

/* Running? Then QEMU is looked at; else an online move silently becomes an offline one. */
static int look_at_state(MigJob *j, Err *err)
{
    Err why = ERR_INIT;
    int r = mig_source_open_qemu(j, &why);
    bool runs = r == 0;

    if (!runs && r != -ENOENT && r != -ECONNREFUSED) {
        return err_setf(err, r, "%s", err_text(&why));
    }
    if (runs && !j->request.online) {
        problem(j, "online", true, "the guest runs: move it with --online, or stop it first");
    }
    if (!runs && j->request.online) {
        mig_job_say(j, "the guest does not run: it is moved offline");
    }
    j->request.online = runs;
    j->source.online = runs;
    return 0;
}

/* A linked clone of any guest on what moves; only guests of this node can have one. */
static char *clone_of(const MigJob *j, const char *volid)
{
    g_autofree char *dir =
        g_build_filename(j->setup->tree.pve, "nodes", j->setup->tree.node, "qemu-server", NULL);
    g_autofree char *part = g_strdup_printf("%s/", volid);
    g_autoptr(GDir) list = g_dir_open(dir, 0, NULL);
    const char *name;

    while (list != NULL && (name = g_dir_read_name(list)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *text = NULL;
        Err err = ERR_INIT;

        if (g_str_has_suffix(name, ".conf") &&
            cfsfile_read(path, CONFIG_MAX, &text, NULL, &err) == 0 && strstr(text, part) != NULL) {
            return g_strndup(name, strlen(name) - strlen(".conf"));
        }
    }
    return NULL;
}

static void look_at_clones(MigJob *j)
{
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);
        g_autofree char *clone = v->base ? clone_of(j, v->volid) : NULL;

        if (clone != NULL) {
            problem(j, "template", true,
                    "guest %u is a template, and guest %s a linked clone on its image '%s', which "
                    "cannot stay behind: make it stand alone first (qm move-disk)",
                    j->vmid, clone, v->volid);
        }
    }
}

static void note_volume_problems(MigJob *j)
{
    for (guint i = 0; i < j->volumes->problems->len; i++) {
        problem(j, "volume", true, "%s", (char *)g_ptr_array_index(j->volumes->problems, i));
    }
}

/* What of the running state the request does not go along with. */
static void judge_request(MigJob *j, const VmConf *conf)
{
    const char *lock = vmsection_get(vmconf_main(conf), "lock");

    if (lock != NULL) {
        problem(j, "lock", true, "guest %u is locked (%s)", j->vmid, lock);
    }
    if (j->request.policy == MIG_POLICY_POSTCOPY && j->source.mirrors) {
        problem(j, "postcopy", false,
                "post-copy is not possible with local disks: at the "
                "deadline the move is aborted");
    }
}

int mig_source_look(MigJob *j, Err *err)
{
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(StorageCfg) storages = NULL;
    int q = mig_tree_quorate(&j->setup->tree, err);
    int r;

    jsontree_free(j->problems);
    j->problems = jsontree_new_array();
    if (q <= 0) {
        return q < 0 ? q : err_setf(err, -EACCES, "no quorum on this node");
    }
    if ((r = parse_config(j, &conf, err)) < 0 || (r = read_storages(j, &storages, err)) < 0 ||
        (r = look_at_state(j, err)) < 0) {
        return r;
    }
    mig_volumes_free(j->volumes);
    j->volumes = mig_volumes_plan(conf, storages,
                                  &(MigVolumesHow){.vmid = j->vmid,
                                                   .online = j->request.online,
                                                   .local_disks = j->request.local_disks,
                                                   .force = j->request.force,
                                                   .map = j->request.map,
                                                   .target = j->peer});
    note_volume_problems(j);
    look_at_clones(j);
    j->source.copies = j->source.mirrors = false;
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        j->source.mirrors = j->source.mirrors || v->how == MIG_VOLUME_MIRROR;
        j->source.copies = j->source.copies || mig_volume_is_copied(v);
    }
    judge_request(j, conf);
    return j->request.online ? look_at_qemu(j, err) : 0;
}

/* ---- what the target must have --------------------------------------------------------------- */

static JsonTree *names(const GPtrArray *list)
{
    JsonTree *t = jsontree_new_array();

    for (guint i = 0; i < list->len && i < WIRE_MIG_LIST_MAX; i++) {
        jsontree_add(t, jsontree_new_text(g_ptr_array_index(list, i)));
    }
    return t;
}

static char *qemu_version(MigJob *j)
{
    g_autoptr(JsonTree) t = NULL;
    const JsonTree *v;
    Err err = ERR_INIT;

    if (mig_qemu_call(j->qemu, "query-version", NULL, &t, &err) < 0) {
        return NULL;
    }
    v = jsontree_get(t, "qemu");
    return g_strdup_printf("%d.%d", (int)jsontree_get_int(v, "major", 0),
                           (int)jsontree_get_int(v, "minor", 0));
}

static bool uses_kvm(MigJob *j)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    return mig_qemu_call(j->qemu, "query-kvm", NULL, &t, &err) == 0 &&
           jsontree_get_bool(t, "enabled", false);
}

/* What the running QEMU was given as -cpu. Caller frees; NULL when that cannot be read. */
static char *cpu_option(MigJob *j)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%" G_GINT64_FORMAT "/cmdline", mig_job_qemu_pid(j));
    g_autofree char *words = NULL;
    gsize size = 0;
    Err err = ERR_INIT;

    if (cfsfile_read(path, CMDLINE_MAX, &words, &size, &err) < 0) {
        return NULL;
    }
    for (const char *w = words; w < words + size; w += strlen(w) + 1) {
        const char *value = w + strlen(w) + 1;

        if (strcmp(w, "-cpu") == 0 && value < words + size) {
            return g_strdup(value);
        }
    }
    return NULL;
}

/* Flags of the running CPU; the target's QEMU must know them all. */
static JsonTree *cpu_flags(MigJob *j)
{
    g_autoptr(JsonTree) mine = NULL;
    g_autoptr(JsonTree) max = NULL;
    Err err = ERR_INIT;

    if (j->cpu == NULL || mig_qemu_cpu(j->qemu, mig_cpu_model(j->cpu), &mine, &err) < 0 ||
        mig_qemu_cpu(j->qemu, mig_cpu_model("max"), &max, &err) < 0) {
        return jsontree_new_array();
    }
    return mig_cpu_needs(mine, max);
}

static void add_running_needs(MigJob *j, JsonTree *t)
{
    g_autofree char *version = qemu_version(j);

    g_free(j->cpu);
    j->cpu = cpu_option(j);
    jsontree_set_int(t, "memory", j->stats.total);
    jsontree_set_text(t, "machine", j->machine);
    jsontree_set_text(t, "qemu", version);
    jsontree_set_bool(t, "kvm", uses_kvm(j));
    jsontree_set(t, "cpu", cpu_flags(j));
    jsontree_set_int(t, "ports", j->source.mirrors ? 2 : 1);
}

/* What the guest's network cards send goes through a bridge there, too. */
static JsonTree *mtus(const VmConf *conf)
{
    g_autoptr(JsonTree) asked = mig_volumes_mtus(conf);
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < jsontree_count(asked); i++) {
        JsonTree *one = jsontree_copy(jsontree_at(asked, i));
        int64_t mtu = jsontree_get_int(one, "mtu", 0);

        if (mtu == 1) {
            mtu = mig_host_mtu(jsontree_get_text(one, "bridge"));
        }
        jsontree_set_int(one, "mtu", mtu);
        jsontree_add(list, one);
    }
    return list;
}

JsonTree *mig_source_needs(MigJob *j)
{
    g_autoptr(VmConf) conf = NULL;
    JsonTree *t = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set_int(t, "vmid", j->vmid);
    jsontree_set_bool(t, "wait", !j->request.dry_run);
    jsontree_set(t, "bridges", names(j->volumes->bridges));
    jsontree_set(t, "storages", names(j->volumes->storages));
    jsontree_set(t, "space", mig_volumes_space(j->volumes));
    if (j->request.network[0] != '\0') {
        jsontree_set_text(t, "network", j->request.network);
    }
    if (j->request.online) {
        add_running_needs(j, t);
    }
    if (vmconf_parse(j->config, strlen(j->config), NULL, &conf, &err) == 0) {
        jsontree_set_text(t, "arch", vmsection_get(vmconf_main(conf), "arch"));
        jsontree_set(t, "mtus", mtus(conf));
    }
    return t;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* A firewall shows only when it is tried. In a dry run the link is measured as well. */
static void try_port(MigJob *j)
{
    const char *address = jsontree_get_text(j->peer_facts, "address");
    unsigned port = (unsigned)jsontree_get_int(j->peer_facts, "probe_port", 0);
    Err err = ERR_INIT;

    if (address != NULL && port != 0 &&
        mig_probe_connect(address, port, j->request.dry_run ? &j->stats.link_speed : NULL, &err) <
            0) {
        problem(j, "ports", true, "no way to node '%s': %s; is TCP %u to %u open in its firewall?",
                j->peer, err_text(&err), MIG_PORT_CONTROL, MIG_PORT_LAST);
    }
}

/* How fast the guest writes its memory, by QEMU's own samples. */
static void measure_dirtying(MigJob *j)
{
    MonoTime until = mono_add_ms(clock_mono(), DIRTY_WAIT_MS);
    JsonTree *a = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set_int(a, "calc-time", DIRTY_S);
    if (mig_qemu_call(j->qemu, "calc-dirty-rate", a, NULL, &err) < 0) {
        return; /* nothing is predicted then */
    }
    while (mono_before(clock_mono(), until)) {
        g_autoptr(JsonTree) t = NULL;

        g_usleep(50000);
        if (mig_qemu_call(j->qemu, "query-dirty-rate", NULL, &t, &err) < 0) {
            return;
        }
        if (g_strcmp0(jsontree_get_text(t, "status"), "measured") == 0) {
            j->stats.dirty_rate = jsontree_get_int(t, "dirty-rate", 0) << 20;
            j->stats.dirty_known = true;
            return;
        }
    }
}

/* Decided here, where both QEMUs and the link are known. Post-copy has no channels to compress. */
static void choose_compression(MigJob *j)
{
    bool possible =
        jsontree_get_bool(j->peer_facts, "zstd", false) && j->request.policy != MIG_POLICY_POSTCOPY;
    int64_t link = jsontree_get_int(j->peer_facts, "speed", 0);

    j->compress = possible && (j->request.compress == MIG_COMPRESS_ZSTD ||
                               (j->request.compress == MIG_COMPRESS_AUTO &&
                                mig_compression_pays(link, mig_source_limit(j, NULL))));
    if (j->request.online && j->request.compress == MIG_COMPRESS_ZSTD && !possible) {
        problem(j, "compress", false, "zstd is not possible here: the memory moves as it is");
    }
}

int mig_source_judge(MigJob *j, const JsonTree *checked, Err *err)
{
    const JsonTree *theirs = jsontree_get(checked, "problems");
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < jsontree_count(theirs); i++) {
        jsontree_add(j->problems, jsontree_copy(jsontree_at(theirs, i)));
    }
    jsontree_free(j->peer_facts);
    j->peer_facts = jsontree_copy(jsontree_get(checked, "facts"));
    if (j->request.online) {
        try_port(j);
    }
    if (j->request.online && j->request.dry_run) {
        measure_dirtying(j);
    }
    choose_compression(j);
    mig_source_show_plan(j);
    for (guint i = 0; i < jsontree_count(j->problems); i++) {
        const JsonTree *p = jsontree_at(j->problems, i);
        const char *what = jsontree_get_text(p, "text");

        if (jsontree_get_bool(p, "fatal", true)) {
            g_string_append_printf(text, "%s%s", text->len > 0 ? "; " : "",
                                   what != NULL ? what : "?");
        }
    }
    return text->len > 0 ? err_setf(err, -EPERM, "%s", text->str) : 0;
}

/* What the stream of the memory may take, bytes per second; 0: not known. QEMU itself is slower
 * than many a link: what it did last counts, as far as the link does that now. */
static int64_t stream_speed(const MigJob *j)
{
    int64_t link =
        j->stats.link_speed > 0 ? j->stats.link_speed : jsontree_get_int(j->peer_facts, "speed", 0);
    int64_t stream = mig_agent_stream_speed(j->setup->agent, j->peer, !j->request.insecure);

    if (stream == 0) {
        stream = j->request.insecure ? MIG_STREAM_PLAIN : MIG_STREAM_TLS;
    }
    return link > 0 ? mig_least_limit(MIN(link, stream), mig_source_limit(j, NULL)) : 0;
}

static void say_prediction(MigJob *j, const MigPrediction *p, int64_t speed)
{
    if (!p->known) {
        mig_job_say(j, "predicted: nothing, the speed of the link is not known");
    } else if (!j->request.online) {
        mig_job_say(j, "predicted: at most %.1f s at %.1f MiB/s", (double)p->total_ms / 1000,
                    (double)speed / (1 << 20));
    } else if (!p->converges) {
        mig_job_say(j,
                    "predicted: the guest writes %.1f MiB/s, %.1f MiB/s get through: after "
                    "%" G_GINT64_FORMAT " s --on-timeout %s decides",
                    (double)j->stats.dirty_rate / (1 << 20), (double)speed / (1 << 20),
                    j->request.timeout_s, mig_policy_name(j->request.policy));
    } else {
        mig_job_say(j,
                    "predicted: at most %.1f s in %u rounds, stopped about %" G_GINT64_FORMAT
                    " ms; the guest writes %.1f MiB/s, %.1f MiB/s get through",
                    (double)p->total_ms / 1000, p->rounds, p->downtime_ms,
                    (double)j->stats.dirty_rate / (1 << 20), (double)speed / (1 << 20));
    }
}

/* A real move does not wait a second to know how long it will take: its progress tells. */
static void predict(MigJob *j, JsonTree *t)
{
    MigPredictAsk ask = {.memory = j->request.online ? j->stats.total : 0,
                         .speed = stream_speed(j),
                         .dirty = j->stats.dirty_rate,
                         .downtime_ms = j->request.downtime_ms};
    MigPrediction p;

    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        ask.disks += v->used > 0 ? v->used : v->size;
    }
    p = mig_predict(&ask);
    jsontree_set_int(t, "bytes", ask.memory + ask.disks);
    jsontree_set_int(t, "speed", ask.speed);
    jsontree_set_int(t, "promised_downtime_ms", j->request.online ? j->request.downtime_ms : 0);
    if (!j->request.dry_run) {
        return;
    }
    say_prediction(j, &p, ask.speed);
    if (p.known) {
        jsontree_set_int(t, "predicted_ms", p.total_ms);
        jsontree_set_bool(t, "converges", p.converges);
    }
    if (j->stats.dirty_known) {
        jsontree_set_int(t, "dirty_rate", ask.dirty);
        jsontree_set_int(t, "predicted_downtime_ms", p.downtime_ms);
    }
}

/* Each item that was looked at: on this side what can stand against it at all. */
static void say_items(MigJob *j)
{
    const JsonTree *theirs = jsontree_get(j->peer_facts, "passed");

    mig_job_say(j, "ok: quorum, state, lock and devices of guest %u were looked at here", j->vmid);
    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        mig_job_say(j, "ok: volume '%s', %" G_GINT64_FORMAT " MiB, goes to storage '%s' %s",
                    v->volid, v->size >> 20, v->to,
                    v->how != MIG_VOLUME_MIRROR ? "as a copy"
                    : v->snapshots              ? "while the guest runs, its snapshots first"
                                                : "while the guest runs");
    }
    for (guint i = 0; i < jsontree_count(theirs); i++) {
        const char *text = jsontree_text(jsontree_at(theirs, i));

        mig_job_say(j, "ok: %s: %s", j->peer, text != NULL ? text : "?");
    }
    if (jsontree_get_int(j->peer_facts, "probe_port", 0) != 0 && j->stats.link_speed > 0) {
        mig_job_say(j, "ok: ports: reached port %d of %s",
                    (int)jsontree_get_int(j->peer_facts, "probe_port", 0),
                    jsontree_get_text(j->peer_facts, "address"));
    }
}

static void say_problems(MigJob *j)
{
    for (guint i = 0; i < jsontree_count(j->problems); i++) {
        const JsonTree *p = jsontree_at(j->problems, i);
        bool fatal = jsontree_get_bool(p, "fatal", true);

        if (j->request.dry_run || !fatal) {
            mig_job_say(j, "%s: %s", fatal ? "problem" : "note", jsontree_get_text(p, "text"));
        }
    }
}

void mig_source_show_plan(MigJob *j)
{
    g_autofree char *memory = NULL;
    JsonTree *t = jsontree_new_object();

    jsontree_set_text(t, "event", "plan");
    jsontree_set_text(t, "mode", j->request.online ? "online" : "offline");
    jsontree_set(t, "volumes", mig_volumes_write(j->volumes));
    jsontree_set(t, "problems", jsontree_copy(j->problems));
    if (j->peer_facts != NULL) {
        jsontree_set(t, "target", jsontree_copy(j->peer_facts));
    }
    if (j->request.online) {
        memory = g_strdup_printf("memory %" G_GINT64_FORMAT " MiB, ", j->stats.total >> 20);
    }
    mig_job_say(j, "%s move of guest %u to node '%s': %s%u local volume%s",
                j->request.online ? "online" : "offline", j->vmid, j->peer,
                memory != NULL ? memory : "", j->volumes->list->len,
                j->volumes->list->len == 1 ? "" : "s");
    if (j->request.dry_run) {
        say_items(j);
    }
    say_problems(j);
    predict(j, t);
    mig_job_progress(j, t);
}

/* ---- the start ------------------------------------------------------------------------------- */

/* The configuration as QEMU on the target shall see it. */
static char *target_config(MigJob *j, Err *err)
{
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(JsonTree) pairs = mig_volumes_pairs(j->volumes);

    if (vmconf_parse(j->config, strlen(j->config), NULL, &conf, err) < 0) {
        return NULL;
    }
    if (pairs != NULL) {
        mig_volumes_rename(conf, pairs);
    }
    return vmconf_format(conf);
}

static JsonTree *exports(MigJob *j)
{
    JsonTree *t = jsontree_new_array();

    for (guint i = 0; i < j->volumes->list->len; i++) {
        const MigVolume *v = g_ptr_array_index(j->volumes->list, i);

        if (v->how == MIG_VOLUME_MIRROR) {
            jsontree_add(t, jsontree_new_text(v->drive));
        }
    }
    return t;
}

/* One channel for post-copy: QEMU 7.2 cannot do both. Only channels can be compressed. */
static unsigned channels_of(const MigJob *j)
{
    int64_t link = jsontree_get_int(j->peer_facts, "speed", 0);

    if (j->request.policy == MIG_POLICY_POSTCOPY) {
        return 0;
    }
    if (j->request.channels > 0 || (j->request.channels == 0 && !j->compress)) {
        return (unsigned)j->request.channels;
    }
    return j->compress || (j->stats.total >= CHANNELS_FROM && !j->request.insecure)
               ? mig_tls_channels(link, g_get_num_processors())
               : 0;
}

static void say_streams(MigJob *j)
{
    g_autofree char *channels = g_strdup_printf("one and %u channels", j->channels);

    mig_job_say(j, "memory goes %s over %s%s", j->request.insecure ? "in plain" : "in TLS",
                j->channels > 0 ? channels : "one connection",
                j->channels > 0 && j->compress ? ", compressed" : "");
}

JsonTree *mig_source_start_body(MigJob *j, Err *err)
{
    g_autofree char *config = target_config(j, err);
    g_autoptr(GPtrArray) capabilities = NULL;
    JsonTree *t;

    if (config == NULL || mig_qemu_capabilities(j->qemu, &capabilities, err) < 0) {
        return NULL;
    }
    j->channels = channels_of(j);
    say_streams(j);
    t = jsontree_new_object();
    jsontree_set_text(t, "config", config);
    jsontree_set_text(t, "machine", j->machine != NULL ? j->machine : "");
    jsontree_set_text(t, "cpu", j->cpu);
    jsontree_set_int(t, "channels", j->channels);
    jsontree_set_text(t, "compression", j->compress ? "zstd" : "none");
    jsontree_free(j->capabilities);
    j->capabilities = names(capabilities);
    jsontree_set(t, "capabilities", jsontree_copy(j->capabilities));
    jsontree_set(t, "exports", exports(j));
    jsontree_set_bool(t, "postcopy", j->request.policy == MIG_POLICY_POSTCOPY);
    jsontree_set_bool(t, "stands", j->guest_stands);
    return t;
}

int mig_source_agree(MigJob *j, const JsonTree *theirs, Err *err)
{
    bool channels = j->channels > 0, postcopy = j->request.policy == MIG_POLICY_POSTCOPY;
    MigCaps caps = {channels, postcopy};
    int r = mig_caps_agree(j->capabilities, j->setup->tree.node, theirs, j->peer, &caps, err);

    if (r < 0) {
        return r;
    }
    if (channels && !caps.multifd) {
        j->channels = 0;
        j->compress = false;
        mig_job_say(j, "QEMU of node '%s' has no channels: memory goes over one connection",
                    mig_caps_have(theirs, "multifd") ? j->setup->tree.node : j->peer);
    }
    if (postcopy && !caps.postcopy) {
        j->request.policy = j->source.policy = MIG_POLICY_ABORT;
        mig_job_say(j, "QEMU of node '%s' has no post-copy: at the deadline the move is aborted",
                    mig_caps_have(theirs, "postcopy-ram") ? j->setup->tree.node : j->peer);
    }
    return 0;
}
