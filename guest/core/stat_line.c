/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/stat_line.h"

#include "guest/core/stat_limits.h"
#include "lib/base/jsontree.h"

#include <math.h>
#include <string.h>

StatPressure stat_pressure_unknown(void)
{
    return (StatPressure){NAN, NAN, NAN, NAN, NAN, NAN};
}

static void add_text(GString *out, const char *text)
{
    if (out->len > 0) {
        g_string_append_c(out, ':');
    }
    g_string_append(out, text);
}

static void add_int(GString *out, int64_t value)
{
    g_string_append_c(out, ':');
    if (value < 0) {
        g_string_append_c(out, 'U');
    } else {
        g_string_append_printf(out, "%" G_GINT64_FORMAT, value);
    }
}

static void add_real(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    g_string_append_c(out, ':');
    if (!isfinite(value) || value < 0 || value > 1e15) {
        g_string_append_c(out, 'U');
    } else {
        g_string_append(out, g_ascii_formatd(text, sizeof text, "%.6g", value));
    }
}

/* A live column in front: 0 when it is not known. */
static void add_uptime(GString *out, int64_t uptime_s)
{
    g_string_append_printf(out, "%" G_GINT64_FORMAT, MAX(uptime_s, 0));
}

/* Names from a file that somebody may have damaged: nothing that ends a column or a line. */
static void add_name(GString *out, const char *name)
{
    g_autofree char *valid = g_utf8_make_valid(name, (gssize)strnlen(name, STAT_NAME_MAX));

    for (char *c = valid; *c != '\0'; c++) {
        if (*c == ':' || g_ascii_iscntrl(*c)) {
            *c = '_';
        }
    }
    add_text(out, valid);
}

static int64_t difference(int64_t all, int64_t rest)
{
    return all < 0 || rest < 0 ? STAT_UNKNOWN : MAX(all - rest, 0);
}

char *stat_line_node(const StatNode *n, WallTime now)
{
    GString *out = g_string_new(NULL);

    add_uptime(out, n->uptime_s);
    add_text(out, ""); /* no subscription */
    add_int(out, now.sec);
    add_real(out, n->loadavg);
    add_int(out, n->maxcpu);
    add_real(out, n->cpu);
    add_real(out, n->iowait);
    add_int(out, n->memory.total);
    add_int(out, difference(n->memory.total, n->memory.available));
    add_int(out, n->memory.swap_total);
    add_int(out, difference(n->memory.swap_total, n->memory.swap_free));
    add_int(out, n->root_total);
    add_int(out, n->root_used);
    add_int(out, n->traffic.in);
    add_int(out, n->traffic.out);
    add_int(out, n->memory.available);
    add_int(out, n->arc);
    add_real(out, n->pressure.cpu_some);
    add_real(out, n->pressure.io_some);
    add_real(out, n->pressure.io_full);
    add_real(out, n->pressure.memory_some);
    add_real(out, n->pressure.memory_full);
    return g_string_free(out, FALSE);
}

static void add_counters(GString *out, const StatGuest *g)
{
    bool on = g->running;

    add_int(out, on ? g->traffic.in : STAT_UNKNOWN);
    add_int(out, on ? g->traffic.out : STAT_UNKNOWN);
    add_int(out, on ? g->disk_read : STAT_UNKNOWN);
    add_int(out, on ? g->disk_written : STAT_UNKNOWN);
    add_int(out, on ? g->memhost : STAT_UNKNOWN);
}

char *stat_line_guest(const StatGuest *g, WallTime now)
{
    StatPressure p = g->running ? g->pressure : stat_pressure_unknown();
    GString *out = g_string_new(NULL);

    add_uptime(out, g->running ? g->uptime_s : 0);
    add_name(out, g->name);
    add_text(out, g->running ? "running" : "stopped");
    add_text(out, g->is_template ? "1" : "0");
    add_int(out, now.sec);
    add_int(out, g->maxcpu);
    add_real(out, g->running ? g->cpu : NAN);
    add_int(out, g->maxmem);
    add_int(out, g->running ? g->mem : STAT_UNKNOWN);
    add_int(out, g->maxdisk);
    add_int(out, 0); /* only the guest knows what its file systems hold */
    add_counters(out, g);
    add_real(out, p.cpu_some);
    add_real(out, p.cpu_full);
    add_real(out, p.io_some);
    add_real(out, p.io_full);
    add_real(out, p.memory_some);
    add_real(out, p.memory_full);
    return g_string_free(out, FALSE);
}

char *stat_line_storage(int64_t total, int64_t used, WallTime now)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "%" G_GINT64_FORMAT, now.sec);
    add_int(out, total);
    add_int(out, used);
    return g_string_free(out, FALSE);
}

static char *json_text(const JsonTree *tree)
{
    GString *out = g_string_new(NULL);

    jsontree_append(out, tree);
    return g_string_free(out, FALSE);
}

char *stat_line_static(int64_t cpus, int64_t memory)
{
    g_autoptr(JsonTree) tree = jsontree_new_object();

    jsontree_set_int(tree, "cpus", cpus);
    jsontree_set_int(tree, "memory", memory);
    return json_text(tree);
}

char *stat_line_version(const char *version, const char *release, const char *build)
{
    g_autoptr(JsonTree) tree = jsontree_new_object();

    jsontree_set_text(tree, "version", version);
    jsontree_set_text(tree, "release", release);
    jsontree_set_text(tree, "repoid", build);
    return json_text(tree);
}
