/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_host.h"

#include "guest/core/stat_limits.h"
#include "guest/core/stat_rate.h"
#include "guest/io/textfile.h"

#include <errno.h>
#include <math.h>
#include <sys/statvfs.h>

#define ROOT "/"

struct StatHost {
    char *proc;
    StatCpu last; /* all 0: the start of the machine */
};

StatHost *stat_host_new(const char *proc)
{
    StatHost *h = g_new0(StatHost, 1);

    h->proc = g_strdup(proc);
    return h;
}

void stat_host_free(StatHost *h)
{
    if (h != NULL) {
        g_free(h->proc);
        g_free(h);
    }
}

/* NULL: this kernel has no such file. */
static char *read_text(const StatHost *h, const char *name)
{
    g_autofree char *path = g_build_filename(h->proc, name, NULL);
    char *text = NULL;
    size_t len;

    return textfile_read(path, STAT_FILE_MAX, &text, &len, NULL) == 0 ? text : NULL;
}

static double first_number(const StatHost *h, const char *name)
{
    g_autofree char *text = read_text(h, name);

    return text != NULL ? stat_text_first(text) : NAN;
}

void stat_host_pressure(const char *path, double *ret_some, double *ret_full)
{
    g_autofree char *text = NULL;
    size_t len;
    bool there = textfile_read(path, STAT_FILE_MAX, &text, &len, NULL) == 0;

    *ret_some = there ? stat_text_pressure(text, "some") : NAN;
    *ret_full = there ? stat_text_pressure(text, "full") : NAN;
}

static void read_pressure(const StatHost *h, StatPressure *ret)
{
    const struct {
        const char *name;
        double *some;
        double *full;
    } files[] = {{"pressure/cpu", &ret->cpu_some, &ret->cpu_full},
                 {"pressure/io", &ret->io_some, &ret->io_full},
                 {"pressure/memory", &ret->memory_some, &ret->memory_full}};

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(h->proc, files[i].name, NULL);

        stat_host_pressure(path, files[i].some, files[i].full);
    }
}

static int read_cpu(StatHost *h, StatNode *n, Err *err)
{
    g_autofree char *text = read_text(h, "stat");
    StatCpu now;

    if (text == NULL || !stat_text_cpu(text, &now)) {
        return err_setf(err, -ENODATA, "%s/stat tells no processors", h->proc);
    }
    stat_rate_node(&h->last, &now, &n->cpu, &n->iowait);
    n->maxcpu = now.cpus;
    h->last = now;
    return 0;
}

static int read_memory(const StatHost *h, StatNode *n, Err *err)
{
    g_autofree char *text = read_text(h, "meminfo");

    if (text != NULL) {
        stat_text_memory(text, &n->memory);
    }
    return text != NULL && n->memory.total > 0
               ? 0
               : err_setf(err, -ENODATA, "%s/meminfo tells no memory", h->proc);
}

static void read_root(StatNode *n)
{
    struct statvfs st;

    if (statvfs(ROOT, &st) == 0) {
        n->root_total = (int64_t)((uint64_t)st.f_blocks * st.f_frsize);
        n->root_used = (int64_t)((uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize);
    }
}

int stat_host_read(StatHost *h, StatNode *ret, GHashTable **ret_taps, Err *err)
{
    StatNode n = {.root_total = STAT_UNKNOWN, .root_used = STAT_UNKNOWN};
    g_autofree char *devices = read_text(h, "net/dev");
    g_autofree char *arc = read_text(h, "spl/kstat/zfs/arcstats");
    double uptime = first_number(h, "uptime");
    int r = read_cpu(h, &n, err);

    if (r == 0) {
        r = read_memory(h, &n, err);
    }
    if (r < 0) {
        return r;
    }
    n.uptime_s = isfinite(uptime) && uptime < 1e15 ? (int64_t)uptime : STAT_UNKNOWN;
    n.loadavg = first_number(h, "loadavg");
    n.arc = arc != NULL ? stat_text_arc(arc) : 0; /* no ZFS: nothing is cached */
    read_pressure(h, &n.pressure);
    read_root(&n);
    stat_text_devices(devices != NULL ? devices : "", &n.traffic, ret_taps);
    *ret = n;
    return 0;
}
