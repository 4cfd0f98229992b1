/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_container.h"

#include "guest/core/stat_limits.h"
#include "guest/io/stat_host.h"
#include "guest/io/textfile.h"
#include "lib/port/clock.h"

#include <sys/stat.h>

static char *read_file(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    char *text = NULL;
    size_t len;

    return textfile_read(path, STAT_FILE_MAX, &text, &len, NULL) == 0 ? text : NULL;
}

static int64_t read_number(const char *dir, const char *name)
{
    g_autofree char *text = read_file(dir, name);

    return text != NULL ? stat_text_only(text) : STAT_UNKNOWN;
}

static bool is_populated(const char *dir)
{
    g_autofree char *events = read_file(dir, "cgroup.events");

    return events != NULL && stat_text_keyed(events, "populated") == 1;
}

static void read_pressure(const char *dir, StatPressure *ret)
{
    g_autofree char *cpu = g_build_filename(dir, "cpu.pressure", NULL);
    g_autofree char *io = g_build_filename(dir, "io.pressure", NULL);
    g_autofree char *memory = g_build_filename(dir, "memory.pressure", NULL);

    stat_host_pressure(cpu, &ret->cpu_some, &ret->cpu_full);
    stat_host_pressure(io, &ret->io_some, &ret->io_full);
    stat_host_pressure(memory, &ret->memory_some, &ret->memory_full);
}

/* A container that was started anew has a new folder. */
static bool take_sample(const char *dir, StatSample *ret)
{
    g_autofree char *cpu = read_file(dir, "cpu.stat");
    int64_t used_us = cpu != NULL ? stat_text_keyed(cpu, "usage_usec") : STAT_UNKNOWN;
    struct stat st;

    if (used_us < 0 || stat(dir, &st) < 0) {
        return false;
    }
    ret->at = clock_mono();
    ret->process.used = (uint64_t)used_us;
    ret->process.start = st.st_ino;
    return true;
}

bool stat_container_read(const char *root, uint32_t vmid, StatContainer *ret)
{
    g_autofree char *dir = g_strdup_printf("%s/" STAT_CONTAINER_GROUP "/%u", root, vmid);
    g_autofree char *monitor = g_strdup_printf("%s/" STAT_CONTAINER_MONITOR "/%u", root, vmid);
    g_autofree char *io = NULL;

    if (!is_populated(dir) || !take_sample(dir, &ret->sample)) {
        return false;
    }
    io = read_file(dir, "io.stat");
    stat_text_io(io != NULL ? io : "", &ret->disk_read, &ret->disk_written);
    ret->mem = read_number(dir, "memory.current");
    ret->monitor = read_number(monitor, "cgroup.procs");
    read_pressure(dir, &ret->pressure);
    return true;
}
