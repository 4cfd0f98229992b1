/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_status.h"

#include "guest/core/guest_size.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_scope.h"
#include "guest/io/textfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SMALL_MAX  65536
#define MONITOR_MS 3000u /* status is asked for often; a busy monitor must not hold it up */
#define STAT_UTIME 11    /* fields of /proc/PID/stat behind the name, from 0 */
#define STAT_STIME 12
#define STAT_START 19

/* ------------------------------------------------------------ configuration */

static void add_conf(JsonTree *out, const GuestConf *gc, uint32_t vmid)
{
    static const char *const copied[] = {"lock", "tags", "template"};
    g_autofree char *default_name = g_strdup_printf("VM %u", vmid);
    GuestSize size = guest_size(gc);

    jsontree_set_text(out, "name",
                      guestconf_has(gc, "name") ? guestconf_text(gc, "name") : default_name);
    jsontree_set_int(out, "cpus", size.cpus);
    jsontree_set_int(out, "maxmem", size.memory);
    for (size_t i = 0; i < G_N_ELEMENTS(copied); i++) {
        if (guestconf_has(gc, copied[i])) {
            jsontree_set_text(out, copied[i], guestconf_text(gc, copied[i]));
        }
    }
    if (guestconf_has(gc, "balloon")) {
        jsontree_set_int(out, "balloon_min", guestconf_int(gc, "balloon") * GUEST_MIB);
    }
    if (size.disk >= 0) {
        jsontree_set_int(out, "maxdisk", size.disk);
    }
    jsontree_set_int(out, "disk", 0); /* only the guest knows what its file systems hold */
}

/* ------------------------------------------------------------------ process */

static int64_t stat_field(const char *text, int field)
{
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    g_auto(GStrv) words = after != NULL && after[1] != '\0' ? g_strsplit(after + 2, " ", -1) : NULL;

    return words != NULL && (int)g_strv_length(words) > field
               ? g_ascii_strtoll(words[field], NULL, 10)
               : 0;
}

static int64_t uptime_s(int64_t start_ticks)
{
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read("/proc/uptime", SMALL_MAX, &text, &len, NULL) < 0
               ? 0
               : g_ascii_strtoll(text, NULL, 10) - start_ticks / sysconf(_SC_CLK_TCK);
}

static void add_process(JsonTree *out, const GuestProc *proc)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)proc->pid);
    g_autofree char *statm_path = g_strdup_printf("/proc/%d/statm", (int)proc->pid);
    g_autofree char *text = NULL;
    g_autofree char *statm = NULL;
    int64_t group = guest_scope_memory(proc->pid);
    size_t len;

    jsontree_set_int(out, "pid", proc->pid);
    if (textfile_read(path, SMALL_MAX, &text, &len, NULL) == 0) {
        int64_t up = MAX(uptime_s(stat_field(text, STAT_START)), 0);
        int64_t ticks = stat_field(text, STAT_UTIME) + stat_field(text, STAT_STIME);
        jsontree_set_int(out, "uptime", up);
        double used = (double)ticks / (double)sysconf(_SC_CLK_TCK);
        jsontree_set(out, "cpu", jsontree_new_real(up > 0 ? used / (double)up : 0));
    }
    if (textfile_read(statm_path, SMALL_MAX, &statm, &len, NULL) == 0) {
        const char *resident = strchr(statm, ' ');
        int64_t pages = resident != NULL ? g_ascii_strtoll(resident + 1, NULL, 10) : 0;
        jsontree_set_int(out, "memhost", group >= 0 ? group : pages * sysconf(_SC_PAGESIZE));
    }
}

static int64_t net_bytes(uint32_t vmid, const char *direction)
{
    int64_t sum = 0;

    for (int i = 0; i < 32; i++) {
        g_autofree char *path =
            g_strdup_printf("/sys/class/net/tap%ui%d/statistics/%s", vmid, i, direction);
        g_autofree char *text = NULL;
        size_t len;
        if (textfile_read(path, SMALL_MAX, &text, &len, NULL) == 0) {
            sum += g_ascii_strtoll(text, NULL, 10);
        }
    }
    return sum;
}

/* ------------------------------------------------------------------ monitor */

static void add_blocks(JsonTree *out, const JsonTree *stats)
{
    int64_t rd = 0;
    int64_t wr = 0;

    for (guint i = 0; i < jsontree_count(stats); i++) {
        const JsonTree *s = jsontree_get(jsontree_at(stats, i), "stats");
        rd += jsontree_get_int(s, "rd_bytes", 0);
        wr += jsontree_get_int(s, "wr_bytes", 0);
    }
    jsontree_set_int(out, "diskread", rd);
    jsontree_set_int(out, "diskwrite", wr);
}

static void add_balloon(JsonTree *out, const JsonTree *info)
{
    jsontree_set_int(out, "balloon", jsontree_get_int(info, "actual", 0));
    jsontree_set_int(out, "mem", jsontree_get_int(info, "actual", 0));
    jsontree_set(out, "ballooninfo", jsontree_copy(info));
}

static void add_version(JsonTree *out, const JsonTree *answer)
{
    const JsonTree *q = jsontree_get(answer, "qemu");
    g_autofree char *text =
        g_strdup_printf("%d.%d.%d", (int)jsontree_get_int(q, "major", 0),
                        (int)jsontree_get_int(q, "minor", 0), (int)jsontree_get_int(q, "micro", 0));

    jsontree_set_text(out, "running-qemu", text);
}

static void add_machine(JsonTree *out, QmpClient *qmp)
{
    g_autoptr(JsonTree) answer = NULL;
    JsonTree *args = jsontree_new_object();
    const char *type;

    jsontree_set_text(args, "path", "/machine");
    jsontree_set_text(args, "property", "type");
    if (qmp_call(qmp, "qom-get", args, MONITOR_MS, &answer, NULL) < 0) {
        return;
    }
    type = jsontree_text(answer); /* "pc-i440fx-7.2-machine" */
    if (type != NULL) {
        g_autofree char *name = g_strdup(type);
        if (g_str_has_suffix(name, "-machine")) {
            name[strlen(name) - strlen("-machine")] = '\0';
        }
        jsontree_set_text(out, "running-machine", name);
    }
}

static void add_monitor(JsonTree *out, QmpClient *qmp)
{
    static const struct {
        const char *command;
        void (*add)(JsonTree *out, const JsonTree *answer);
    } questions[] = {{"query-blockstats", add_blocks},
                     {"query-balloon", add_balloon},
                     {"query-version", add_version}};

    for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
        g_autoptr(JsonTree) answer = NULL;
        int r = qmp_call(qmp, questions[i].command, NULL, MONITOR_MS, &answer, NULL);
        if (r == 0) {
            questions[i].add(out, answer);
        } else if (r == -ETIMEDOUT || r == -EPIPE) {
            return; /* the others would take as long */
        }
    }
    add_machine(out, qmp);
}

/* The word of the monitor; "running" when it does not say. */
static void add_qmp(const GuestHost *h, JsonTree *out, uint32_t vmid, bool full)
{
    g_autoptr(QmpClient) qmp = NULL;
    g_autoptr(JsonTree) answer = NULL;
    const char *status = NULL;

    jsontree_set_text(out, "qmpstatus", "running");
    if (guest_qmp_open(h->run_dir, vmid, &qmp, NULL) < 0 ||
        qmp_call(qmp, "query-status", NULL, MONITOR_MS, &answer, NULL) < 0) {
        return;
    }
    status = jsontree_get_text(answer, "status");
    if (status != NULL) {
        jsontree_set_text(out, "qmpstatus", status);
    }
    if (full) {
        add_monitor(out, qmp);
    }
}

int guest_status(const GuestHost *h, uint32_t vmid, bool full, JsonTree **ret, Err *err)
{
    g_autoptr(JsonTree) out = jsontree_new_object();
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GuestConf) gc = NULL;
    int r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);

    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
    }
    if (r < 0) {
        return r;
    }
    jsontree_set_int(out, "vmid", vmid);
    jsontree_set_text(out, "status", r == 1 ? "running" : "stopped");
    jsontree_set_text(out, "qmpstatus", "stopped");
    /* A file with a mistake in it still has a guest that runs or does not. */
    if (full && guestconf_new(vmconf_main(conf), vmid, warnings, &gc, NULL) == 0) {
        add_conf(out, gc, vmid);
    }
    if (r == 1) {
        add_qmp(h, out, vmid, full);
    }
    if (r == 1 && full) {
        add_process(out, &proc);
        jsontree_set_int(out, "netin", net_bytes(vmid, "tx_bytes")); /* the tap's other end */
        jsontree_set_int(out, "netout", net_bytes(vmid, "rx_bytes"));
    }
    *ret = g_steal_pointer(&out);
    return 0;
}
