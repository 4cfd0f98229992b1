/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_line: what a node broadcasts about itself, its guests and its storages, as the columns that
 * all members and the schedulers of HA read. Pure. Reference: pmxcfs chapter 13, ha 8.2.
 *
 * Numbers that are unknown (STAT_UNKNOWN, NAN) are told as "U". Texts cannot break a line: what
 * would is replaced.
 */
#ifndef GUEST_CORE_STAT_LINE_H
#define GUEST_CORE_STAT_LINE_H

#include "guest/core/stat_text.h"
#include "lib/base/timeval.h"

/* Status keys; with the name of the node, the VMID, or node and storage behind them. */
#define STAT_KEY_NODE    "rrd/pve-node-9.0/"
#define STAT_KEY_GUEST   "rrd/pve-vm-9.0/"
#define STAT_KEY_STORAGE "rrd/pve-storage-9.0/"
#define STAT_KEY_STATIC  "static-info"
#define STAT_KEY_VERSION "version-info"

/* Pressure: percent of the last ten seconds in which some or all had to wait. */
typedef struct StatPressure {
    double cpu_some, cpu_full;
    double io_some, io_full;
    double memory_some, memory_full;
} StatPressure;

/* All of it unknown. */
StatPressure stat_pressure_unknown(void);

typedef struct StatNode {
    int64_t uptime_s;
    double loadavg;
    int64_t maxcpu;
    double cpu; /* share of all processors */
    double iowait;
    StatMemory memory; /* bytes, as all sizes */
    int64_t root_total, root_used;
    StatTraffic traffic;
    int64_t arc;
    StatPressure pressure;
} StatNode;

/* Caller frees, also those below. */
char *stat_line_node(const StatNode *n, WallTime now);

typedef struct StatGuest {
    bool running;
    bool is_template;
    const char *name;
    int64_t uptime_s;
    int64_t maxcpu;
    double cpu; /* share of maxcpu */
    int64_t maxmem, mem, maxdisk;
    StatTraffic traffic;
    int64_t disk_read, disk_written;
    int64_t memhost; /* what it takes from the host */
    StatPressure pressure;
} StatGuest;

/* Of one that does not run only what it may use counts. */
char *stat_line_guest(const StatGuest *g, WallTime now);

/* Value of STAT_KEY_STORAGE, bytes; negative: unknown. Caller frees. */
char *stat_line_storage(int64_t total, int64_t used, WallTime now);

/* Value of STAT_KEY_STATIC: JSON. */
char *stat_line_static(int64_t cpus, int64_t memory);
/* Value of STAT_KEY_VERSION: JSON. `version` is that of the manager whose rules we keep to. */
char *stat_line_version(const char *version, const char *release, const char *build);

#endif
