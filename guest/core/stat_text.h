/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_text: numbers out of the texts by which the kernel tells the state of the machine: /proc and
 * cgroup files. Pure. What a text does not say is unknown (STAT_UNKNOWN, NAN), never 0.
 */
#ifndef GUEST_CORE_STAT_TEXT_H
#define GUEST_CORE_STAT_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define STAT_UNKNOWN INT64_C(-1)

/* /proc/stat: ticks since the machine started, over all processors. */
typedef struct StatCpu {
    uint64_t total;
    uint64_t idle; /* without waiting for disks */
    uint64_t iowait;
    unsigned cpus; /* processors that are on */
} StatCpu;

/* /proc/stat, its line of all processors; false: no such line. */
bool stat_text_cpu(const char *text, StatCpu *ret);

/* /proc/meminfo, in bytes; each may be unknown. */
typedef struct StatMemory {
    int64_t total;
    int64_t available;
    int64_t swap_total;
    int64_t swap_free;
} StatMemory;

/* Cannot fail: what is not there is unknown. */
void stat_text_memory(const char *text, StatMemory *ret);

/* The first number: /proc/loadavg, /proc/uptime. NAN when there is none. */
double stat_text_first(const char *text);

/* The second word as a number of bytes or pages: /proc/PID/statm. */
int64_t stat_text_second(const char *text);

/* A text that is one number: memory.current. */
int64_t stat_text_only(const char *text);

/* The number behind a word that a line begins with: cpu.stat, cgroup.events. */
int64_t stat_text_keyed(const char *text, const char *key);

/* Bytes read and written, of all devices: io.stat. Unknown when no device is named. */
void stat_text_io(const char *text, int64_t *ret_read, int64_t *ret_written);

/* `avg10` of the line that begins with `kind` ("some", "full"), in percent. */
double stat_text_pressure(const char *text, const char *kind);

/* Size of the ZFS cache: the row `size` of arcstats. */
int64_t stat_text_arc(const char *text);

/* /proc/PID/stat: ticks of processor time used, and when it started in ticks after the machine. */
typedef struct StatProcess {
    uint64_t used;
    uint64_t start;
} StatProcess;

/* /proc/PID/stat; false when it is none. */
bool stat_text_process(const char *text, StatProcess *ret);

/* Bytes through interfaces, as the machine (or the guest) sees them. */
typedef struct StatTraffic {
    int64_t in;
    int64_t out;
} StatTraffic;

/* /proc/net/dev: what went through the interfaces to the outside (not bridges, bonds, VLANs or
 * those made for guests: their bytes are the same ones again), and by VMID (GUINT_TO_POINTER) what
 * went through the taps of each guest, or the veth pairs of a container (StatTraffic *). The caller
 * frees *ret_guests by g_hash_table_unref. */
void stat_text_devices(const char *text, StatTraffic *ret_node, GHashTable **ret_guests);

#endif
