/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/rrdmap.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define GAUGE(name)  "DS:" name ":GAUGE:120:0:U"
#define DERIVE(name) "DS:" name ":DERIVE:120:0:U"
#define ARCHIVES(cf)                                                                               \
    "RRA:" cf ":0.5:1:1440", "RRA:" cf ":0.5:30:1440", "RRA:" cf ":0.5:360:1440",                  \
        "RRA:" cf ":0.5:10080:570"

static const char *const node_definitions[] = {
    GAUGE("loadavg"),
    GAUGE("maxcpu"),
    GAUGE("cpu"),
    GAUGE("iowait"),
    GAUGE("memtotal"),
    GAUGE("memused"),
    GAUGE("swaptotal"),
    GAUGE("swapused"),
    GAUGE("roottotal"),
    GAUGE("rootused"),
    DERIVE("netin"),
    DERIVE("netout"),
    GAUGE("memavailable"),
    GAUGE("arcsize"),
    GAUGE("pressurecpusome"),
    GAUGE("pressureiosome"),
    GAUGE("pressureiofull"),
    GAUGE("pressurememorysome"),
    GAUGE("pressurememoryfull"),
    ARCHIVES("AVERAGE"),
    ARCHIVES("MAX"),
    NULL,
};

static const char *const guest_definitions[] = {
    GAUGE("maxcpu"),
    GAUGE("cpu"),
    GAUGE("maxmem"),
    GAUGE("mem"),
    GAUGE("maxdisk"),
    GAUGE("disk"),
    DERIVE("netin"),
    DERIVE("netout"),
    DERIVE("diskread"),
    DERIVE("diskwrite"),
    GAUGE("memhost"),
    GAUGE("pressurecpusome"),
    GAUGE("pressurecpufull"),
    GAUGE("pressureiosome"),
    GAUGE("pressureiofull"),
    GAUGE("pressurememorysome"),
    GAUGE("pressurememoryfull"),
    ARCHIVES("AVERAGE"),
    ARCHIVES("MAX"),
    NULL,
};

static const char *const storage_definitions[] = {
    GAUGE("total"), GAUGE("used"), ARCHIVES("AVERAGE"), ARCHIVES("MAX"), NULL,
};

typedef struct Kind {
    const char *family;     /* of newer formats: FAMILY-<version>/ */
    const char *old_prefix; /* of the oldest format */
    const char *folder;     /* where all of them are stored */
    const char *const *definitions;
    unsigned skip;        /* live columns in front */
    unsigned old_columns; /* after the time, in the oldest format */
    unsigned columns;     /* after the time, in the file */
    unsigned depth;       /* names behind the prefix */
} Kind;

static const Kind kinds[RRD_KIND_N] = {
    [RRD_KIND_NODE] = {"pve-node-", "pve2-node", "pve-node-9.0", node_definitions, 2, 12, 19, 1},
    [RRD_KIND_GUEST] = {"pve-vm-", "pve2.3-vm", "pve-vm-9.0", guest_definitions, 4, 10, 17, 1},
    [RRD_KIND_STORAGE] = {"pve-storage-", "pve2-storage", "pve-storage-9.0", storage_definitions, 0,
                          2, 2, 2},
};

const char *const *rrdmap_definitions(RrdKind kind)
{
    assert(kind < RRD_KIND_N);
    return kinds[kind].definitions;
}

unsigned rrdmap_columns(RrdKind kind)
{
    assert(kind < RRD_KIND_N);
    return kinds[kind].columns;
}

/* May this be the name of a file, and a word in a line of rrdcached's protocol? */
static bool name_ok(const char *s, size_t len)
{
    if (len == 0 || len > 255 || s[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isalnum(s[i]) && strchr("-_.+@", s[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* Exactly `depth` good names, separated by slashes. */
static bool names_ok(const char *s, unsigned depth)
{
    while (depth-- > 0) {
        size_t len = strcspn(s, "/");

        if (!name_ok(s, len) || (s[len] == '/') != (depth > 0)) {
            return false;
        }
        s += len + (depth > 0 ? 1 : 0);
    }
    return true;
}

/* Does the first component of `id` belong to this kind, and in which format? */
static bool prefix_fits(const Kind *k, const char *id, size_t len, bool *ret_old)
{
    if (len == strlen(k->old_prefix) && memcmp(id, k->old_prefix, len) == 0) {
        *ret_old = true;
        return true;
    }
    *ret_old = false;
    return len > strlen(k->family) && memcmp(id, k->family, strlen(k->family)) == 0;
}

int rrdmap_target(const char *id, RrdTarget *ret)
{
    const char *slash = strchr(id, '/');
    bool old;

    for (unsigned i = 0; slash != NULL && i < RRD_KIND_N; i++) {
        const Kind *k = &kinds[i];

        if (!prefix_fits(k, id, (size_t)(slash - id), &old)) {
            continue;
        }
        if (!names_ok(slash + 1, k->depth)) {
            return -EINVAL;
        }
        *ret = (RrdTarget){
            .kind = (RrdKind)i, .skip = k->skip, .columns = old ? k->old_columns : k->columns};
        g_snprintf(ret->file, sizeof ret->file, "%s/%s", k->folder, slash + 1);
        return 0;
    }
    return -EINVAL;
}

/* Numbers in any spelling of RRD, and "U". */
static bool column_ok(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isdigit(s[i]) && strchr("+-.eEUNnaif", s[i]) == NULL) {
            return false;
        }
    }
    return len > 0 && len < 64;
}

static bool time_ok(const char *s, size_t len)
{
    return len > 0 && len < 12 && strspn(s, "0123456789") == len;
}

int rrdmap_row(const RrdTarget *t, const char *value, char **ret)
{
    g_autoptr(GString) row = g_string_new(NULL);
    const char *s = value;

    for (unsigned i = 0; i < t->skip; i++) {
        s = strchr(s, ':');
        if (s == NULL) {
            return -EINVAL;
        }
        s++;
    }
    for (unsigned i = 0; i <= t->columns; i++) {
        size_t len = strcspn(s, ":");

        if (i == 0 ? !time_ok(s, len) : !column_ok(s, len)) {
            return -EINVAL;
        }
        g_string_append_len(row, i == 0 ? "" : ":", i == 0 ? 0 : 1);
        g_string_append_len(row, s, (gssize)len);
        if (s[len] == '\0' && i < t->columns) {
            return -EINVAL;
        }
        s += len + (s[len] == ':' ? 1 : 0);
    }
    for (unsigned i = t->columns; i < kinds[t->kind].columns; i++) {
        g_string_append(row, ":U");
    }
    *ret = g_string_free(g_steal_pointer(&row), FALSE);
    return 0;
}
