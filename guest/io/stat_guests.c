/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_guests.h"

#include "guest/core/container_size.h"
#include "guest/core/guest_size.h"
#include "guest/core/stat_limits.h"
#include "guest/core/stat_rate.h"
#include "guest/core/volid.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_scope.h"
#include "guest/io/stat_container.h"
#include "guest/io/stat_host.h"
#include "guest/io/stat_monitor.h"
#include "guest/io/textfile.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

typedef struct Guest {
    uint32_t vmid;
    bool container;
    int64_t version; /* of its configuration in the cluster's list */
    bool listed;     /* in the last list */
    bool stale;      /* its configuration has to be read */
    guint age;       /* rounds since that was done */
    char *name;
    bool is_template;
    GuestSize size;

    GuestProc proc;
    char *group; /* cgroup of the process; NULL: none */
    bool sampled;
    StatSample sample;
} Guest;

struct StatGuests {
    char *run_dir;
    char *proc;
    char *cgroups;
    GTree *table; /* GUINT_TO_POINTER(vmid) -> Guest, ascending */
    StatMonitors *monitors;
    long hz;
    long page;
};

static void drop_process(Guest *guest)
{
    guest_proc_clear(&guest->proc);
    g_clear_pointer(&guest->group, g_free);
    guest->sampled = false;
}

static void guest_free(void *data)
{
    Guest *guest = data;

    drop_process(guest);
    g_free(guest->name);
    g_free(guest);
}

static int compare_ids(const void *a, const void *b, void *unused)
{
    guint x = GPOINTER_TO_UINT(a);
    guint y = GPOINTER_TO_UINT(b);

    (void)unused;
    return x < y ? -1 : x > y;
}

StatGuests *stat_guests_new(const char *run_dir, const char *proc, const char *cgroups)
{
    StatGuests *g = g_new0(StatGuests, 1);

    g->run_dir = g_strdup(run_dir);
    g->proc = g_strdup(proc);
    g->cgroups = g_strdup(cgroups);
    g->table = g_tree_new_full(compare_ids, NULL, NULL, guest_free);
    g->monitors = stat_monitors_new(run_dir);
    g->hz = sysconf(_SC_CLK_TCK);
    g->page = sysconf(_SC_PAGESIZE);
    return g;
}

void stat_guests_free(StatGuests *g)
{
    if (g != NULL) {
        g_tree_unref(g->table);
        stat_monitors_free(g->monitors);
        g_free(g->run_dir);
        g_free(g->proc);
        g_free(g->cgroups);
        g_free(g);
    }
}

/* ---- which guests ---- */

static char *usual_name(const Guest *guest)
{
    return g_strdup_printf("%s %u", guest->container ? "CT" : "VM", guest->vmid);
}

static Guest *guest_new(uint32_t vmid, bool container)
{
    Guest *guest = g_new0(Guest, 1);

    guest->vmid = vmid;
    guest->container = container;
    guest->stale = true;
    guest->name = usual_name(guest);
    guest->size = (GuestSize){STAT_UNKNOWN, STAT_UNKNOWN, STAT_UNKNOWN};
    guest->proc = (GuestProc)GUEST_PROC_INIT;
    return guest;
}

static void list_one(StatGuests *g, uint32_t vmid, bool container, int64_t version)
{
    Guest *guest = g_tree_lookup(g->table, GUINT_TO_POINTER(vmid));

    if (guest == NULL || guest->container != container) { /* its id may be given anew */
        if (g_tree_nnodes(g->table) >= STAT_GUESTS_MAX) {
            return; /* no machine runs so many */
        }
        stat_monitors_forget(g->monitors, vmid);
        guest = guest_new(vmid, container);
        g_tree_insert(g->table, GUINT_TO_POINTER(vmid), guest);
    }
    guest->stale = guest->stale || guest->version != version;
    guest->version = version;
    guest->listed = true;
}

static gboolean unlist(void *key, void *value, void *unused)
{
    (void)key;
    (void)unused;
    ((Guest *)value)->listed = false;
    return FALSE;
}

static gboolean note_gone(void *key, void *value, void *gone)
{
    if (!((const Guest *)value)->listed) {
        g_ptr_array_add(gone, key);
    }
    return FALSE;
}

void stat_guests_list(StatGuests *g, const JsonTree *vmlist, const char *node)
{
    const JsonTree *ids = jsontree_get(vmlist, "ids");
    g_autoptr(GPtrArray) gone = g_ptr_array_new();

    g_tree_foreach(g->table, unlist, NULL);
    for (guint i = 0; i < jsontree_count(ids); i++) {
        const JsonTree *entry = jsontree_at(ids, i);
        const char *type = jsontree_get_text(entry, "type");
        bool container = g_strcmp0(type, "lxc") == 0;
        uint32_t vmid;

        if (g_strcmp0(jsontree_get_text(entry, "node"), node) == 0 &&
            (container || g_strcmp0(type, "qemu") == 0) &&
            vmid_parse(jsontree_key(ids, i), &vmid, NULL) == 0) {
            list_one(g, vmid, container, jsontree_get_int(entry, "version", 0));
        }
    }
    g_tree_foreach(g->table, note_gone, gone);
    for (guint i = 0; i < gone->len; i++) {
        stat_monitors_forget(g->monitors, GPOINTER_TO_UINT(gone->pdata[i]));
        (void)g_tree_remove(g->table, gone->pdata[i]);
    }
}

static gboolean forget_version(void *key, void *value, void *unused)
{
    (void)key;
    (void)unused;
    ((Guest *)value)->stale = true;
    return FALSE;
}

void stat_guests_forget_versions(StatGuests *g)
{
    g_tree_foreach(g->table, forget_version, NULL);
}

/* ---- configurations ---- */

static void name_guest(Guest *guest, const char *name)
{
    g_free(guest->name);
    guest->name = name != NULL ? g_strdup(name) : usual_name(guest);
}

static void take_machine(Guest *guest, const VmSection *section)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;

    if (guestconf_new(section, guest->vmid, warnings, &gc, NULL) < 0) {
        return;
    }
    name_guest(guest, guestconf_has(gc, "name") ? guestconf_text(gc, "name") : NULL);
    guest->is_template = guestconf_bool(gc, "template");
    guest->size = guest_size(gc);
}

static void take_container(Guest *guest, const VmSection *section)
{
    const char *template = vmsection_get(section, "template");

    name_guest(guest, vmsection_get(section, "hostname"));
    guest->is_template = template != NULL && strcmp(template, "0") != 0;
    guest->size = container_size(section, sysconf(_SC_NPROCESSORS_ONLN));
}

/* What cannot be read keeps its last size: the guest may run by it still. */
static void take_conf(Guest *guest, GBytes *content)
{
    g_autoptr(VmConf) conf = NULL;
    gsize size = 0;
    const char *text = g_bytes_get_data(content, &size);

    if (size > STAT_CONF_MAX ||
        vmconf_parse(text != NULL ? text : "", size, &(VmConfParse){0}, &conf, NULL) < 0) {
        return;
    }
    if (guest->container) {
        take_container(guest, vmconf_main(conf));
    } else {
        take_machine(guest, vmconf_main(conf));
    }
}

typedef struct Reading {
    StatFetch fetch;
    void *ctx;
    guint count;
    int r;
    Err *err;
} Reading;

static gboolean read_one(void *key, void *value, void *data)
{
    Guest *guest = value;
    Reading *reading = data;
    g_autoptr(GBytes) content = NULL;

    (void)key;
    guest->age++;
    if (!guest->stale && guest->age < STAT_CONF_ROUNDS) {
        return FALSE;
    }
    if (reading->count >= STAT_CONFS_AT_ONCE) {
        return FALSE; /* the next round goes on */
    }
    reading->count++;
    reading->r =
        reading->fetch(reading->ctx, guest->vmid, guest->container, &content, reading->err);
    if (reading->r == -ENOENT) { /* it moves just now: the next list says so */
        err_clear(reading->err);
        reading->r = 0;
    } else if (reading->r == 0) {
        take_conf(guest, content);
        guest->stale = false;
        guest->age = 0;
    }
    return reading->r < 0;
}

int stat_guests_read(StatGuests *g, StatFetch fetch, void *ctx, Err *err)
{
    Reading reading = {.fetch = fetch, .ctx = ctx, .err = err};

    g_tree_foreach(g->table, read_one, &reading);
    return reading.r;
}

/* ---- processes ---- */

static gboolean begin_one(void *key, void *value, void *data)
{
    StatGuests *g = data;
    Guest *guest = value;

    (void)key;
    if (guest->container) {
        return FALSE; /* its group tells all, and at once */
    }
    if (guest->proc.fd >= 0 && guest_proc_wait(&guest->proc, 0)) {
        drop_process(guest);
    }
    /* What goes wrong with its pid file is for the verbs to say; here it does not run. */
    if (guest->proc.fd < 0 && guest_proc_find(g->run_dir, guest->vmid, &guest->proc, NULL) < 0) {
        guest->proc = (GuestProc)GUEST_PROC_INIT;
    }
    if (guest->proc.fd >= 0) {
        if (guest->group == NULL) { /* it enters its own soon after its start */
            guest->group = guest_scope_group(guest->proc.pid);
        }
        stat_monitors_ask(g->monitors, guest->vmid, guest->proc.pid);
    } else {
        stat_monitors_forget(g->monitors, guest->vmid);
    }
    return FALSE;
}

void stat_guests_begin(StatGuests *g)
{
    g_tree_foreach(g->table, begin_one, g);
}

bool stat_guests_busy(const StatGuests *g)
{
    return stat_monitors_busy(g->monitors);
}

static char *read_process_file(const StatGuests *g, int64_t pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%d/%s", g->proc, (int)pid, name);
    char *text = NULL;
    size_t len;

    return textfile_read(path, STAT_FILE_MAX, &text, &len, NULL) == 0 ? text : NULL;
}

static double uptime_of_machine(const StatGuests *g)
{
    g_autofree char *path = g_build_filename(g->proc, "uptime", NULL);
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read(path, STAT_FILE_MAX, &text, &len, NULL) == 0 ? stat_text_first(text) : NAN;
}

/* False: it has ended since. */
static bool read_cpu(const StatGuests *g, Guest *guest, double machine_s, StatGuest *out)
{
    g_autofree char *text = read_process_file(g, guest->proc.pid, "stat");
    StatSample now = {.at = clock_mono()};
    StatSample before;
    double uptime_s;

    if (text == NULL || !stat_text_process(text, &now.process)) {
        return false;
    }
    uptime_s = machine_s - (double)now.process.start / (double)g->hz;
    out->uptime_s = isfinite(uptime_s) && uptime_s > 0 ? (int64_t)uptime_s : 0;
    before = guest->sampled ? guest->sample : stat_sample_begin(&now, uptime_s);
    out->cpu = stat_rate_process(&before, &now, guest->size.cpus, g->hz);
    guest->sample = now;
    guest->sampled = true;
    return true;
}

/* What its group uses, else what QEMU itself does. */
static int64_t read_memory(const StatGuests *g, const Guest *guest)
{
    int64_t bytes = guest_scope_memory(guest->proc.pid);
    g_autofree char *statm = bytes < 0 ? read_process_file(g, guest->proc.pid, "statm") : NULL;
    int64_t pages = statm != NULL ? stat_text_second(statm) : STAT_UNKNOWN;

    if (bytes >= 0) {
        return bytes;
    }
    return pages >= 0 && pages < INT64_MAX / g->page ? pages * g->page : STAT_UNKNOWN;
}

static void read_pressure(const Guest *guest, StatPressure *ret)
{
    g_autofree char *cpu = g_build_filename(guest->group, "cpu.pressure", NULL);
    g_autofree char *io = g_build_filename(guest->group, "io.pressure", NULL);
    g_autofree char *memory = g_build_filename(guest->group, "memory.pressure", NULL);

    stat_host_pressure(cpu, &ret->cpu_some, &ret->cpu_full);
    stat_host_pressure(io, &ret->io_some, &ret->io_full);
    stat_host_pressure(memory, &ret->memory_some, &ret->memory_full);
}

typedef struct Telling {
    StatGuests *g;
    GHashTable *taps;
    double machine_s;
    StatTell tell;
    void *ctx;
    int r;
    Err *err;
} Telling;

static void describe_process(const Telling *t, Guest *guest, StatGuest *out)
{
    StatMonitorWords words = stat_monitors_get(t->g->monitors, guest->vmid);
    const StatTraffic *traffic = g_hash_table_lookup(t->taps, GUINT_TO_POINTER(guest->vmid));

    out->running = read_cpu(t->g, guest, t->machine_s, out);
    if (!out->running) {
        return;
    }
    out->memhost = read_memory(t->g, guest);
    out->mem = words.mem >= 0 ? words.mem : out->memhost;
    out->disk_read = words.disk_read;
    out->disk_written = words.disk_written;
    out->traffic = traffic != NULL ? *traffic : (StatTraffic){0, 0};
    if (guest->group != NULL) {
        read_pressure(guest, &out->pressure);
    }
}

static double uptime_of_process(const Telling *t, int64_t pid)
{
    g_autofree char *text = pid > 0 ? read_process_file(t->g, pid, "stat") : NULL;
    StatProcess p;

    return text != NULL && stat_text_process(text, &p)
               ? t->machine_s - (double)p.start / (double)t->g->hz
               : NAN;
}

static void describe_container(const Telling *t, Guest *guest, StatGuest *out)
{
    const StatTraffic *traffic = g_hash_table_lookup(t->taps, GUINT_TO_POINTER(guest->vmid));
    StatContainer c;
    double uptime_s;

    out->running = stat_container_read(t->g->cgroups, guest->vmid, &c);
    if (!out->running) {
        guest->sampled = false;
        return;
    }
    uptime_s = uptime_of_process(t, c.monitor);
    out->uptime_s = isfinite(uptime_s) && uptime_s > 0 ? (int64_t)uptime_s : 0;
    out->cpu = guest->sampled ? stat_rate_process(&guest->sample, &c.sample, guest->size.cpus,
                                                  STAT_CONTAINER_HZ)
                              : NAN;
    guest->sample = c.sample;
    guest->sampled = true;
    out->mem = c.mem;
    out->memhost = c.mem;
    out->disk_read = c.disk_read;
    out->disk_written = c.disk_written;
    out->traffic = traffic != NULL ? *traffic : (StatTraffic){0, 0};
    out->pressure = c.pressure;
}

static gboolean tell_one(void *key, void *value, void *data)
{
    Guest *guest = value;
    Telling *t = data;
    StatGuest out = {.is_template = guest->is_template,
                     .name = guest->name,
                     .maxcpu = guest->size.cpus,
                     .maxmem = guest->size.memory,
                     .maxdisk = guest->size.disk,
                     .pressure = stat_pressure_unknown()};

    (void)key;
    if (guest->container) {
        describe_container(t, guest, &out);
    } else if (guest->proc.fd >= 0) {
        describe_process(t, guest, &out);
    }
    t->r = t->tell(t->ctx, guest->vmid, &out, t->err);
    return t->r < 0;
}

int stat_guests_tell(StatGuests *g, GHashTable *taps, StatTell tell, void *ctx, Err *err)
{
    Telling t = {.g = g,
                 .taps = taps,
                 .machine_s = uptime_of_machine(g),
                 .tell = tell,
                 .ctx = ctx,
                 .err = err};

    g_tree_foreach(g->table, tell_one, &t);
    return t.r;
}
