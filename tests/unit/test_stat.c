/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a node tells about itself and its guests is exact to the column, and stays sane when
 * counters start anew, clocks step and texts are damaged. Method: texts as kernels write them,
 * golden lines, and looks at counters that go wrong in each way; a /proc made of files; storages in
 * a temporary directory.
 */
#include "guest/core/container_size.h"
#include "guest/core/guest_size.h"
#include "guest/core/stat_limits.h"
#include "guest/core/stat_line.h"
#include "guest/core/stat_rate.h"
#include "guest/io/stat_guests.h"
#include "guest/io/stat_host.h"
#include "guest/io/stat_storage.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char stat_text[] = "cpu  100 1 50 800 40 2 3 4 60 1\n"
                                "cpu0 50 0 25 400 20 1 1 2 30 0\n"
                                "cpu1 50 1 25 400 20 1 2 2 30 1\n"
                                "intr 1 2 3\n"
                                "ctxt 99\n";

/* ------------------------------------------------------------------- texts */

static void processor_time_is_summed_without_guests(void)
{
    StatCpu cpu;

    g_assert_true(stat_text_cpu(stat_text, &cpu));
    g_assert_cmpuint(cpu.total, ==, 1000);
    g_assert_cmpuint(cpu.idle, ==, 800);
    g_assert_cmpuint(cpu.iowait, ==, 40);
    g_assert_cmpuint(cpu.cpus, ==, 2);
}

static void texts_that_say_nothing_are_unknown(void)
{
    static const char *const bad[] = {"", "\n", "cpu", "cpu  1 2 3\ncpu0 1 2 3\n",
                                      "cpu  1 2 3 4 5"};
    StatCpu cpu;
    StatProcess p;
    StatMemory m;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(stat_text_cpu(bad[i], &cpu));
    }
    g_assert_false(stat_text_process("", &p));
    g_assert_false(stat_text_process("17 (x)", &p));
    g_assert_false(stat_text_process("17 (x) S 1 2 3", &p));
    stat_text_memory("MemTotal: many kB\nMemAvailable:\n", &m);
    g_assert_cmpint(m.total, ==, STAT_UNKNOWN);
    g_assert_cmpint(m.available, ==, STAT_UNKNOWN);
    stat_text_memory("MemTotal: 99999999999999999999 kB\n", &m);
    g_assert_cmpint(m.total, ==, STAT_UNKNOWN);
    g_assert_true(isnan(stat_text_first("load")));
    g_assert_true(isnan(stat_text_first("-1")));
    g_assert_true(isnan(stat_text_first("inf")));
    g_assert_true(isnan(stat_text_pressure("some avg60=1\n", "some")));
    g_assert_true(isnan(stat_text_pressure("some avg10=1\n", "full")));
    g_assert_cmpint(stat_text_only("max\n"), ==, STAT_UNKNOWN);
    g_assert_cmpint(stat_text_only("99999999999999999999"), ==, STAT_UNKNOWN);
    g_assert_cmpint(stat_text_second("1\n"), ==, STAT_UNKNOWN);
}

static void process_is_read_whatever_its_name(void)
{
    StatProcess p;

    g_assert_true(
        stat_text_process("17 (kvm) S) (x) R 1 17 17 0 -1 4194560 5 6 7 8 300 25 0 0 20 0 "
                          "4 0 12345 99 1 18446744073709551615\n",
                          &p));
    g_assert_cmpuint(p.used, ==, 325);
    g_assert_cmpuint(p.start, ==, 12345);
}

static void pressure_is_that_of_ten_seconds(void)
{
    static const char text[] = "some avg10=1.50 avg60=2.00 avg300=3.00 total=4\n"
                               "full avg10=0.25 avg60=2.00 avg300=3.00 total=4\n";

    g_assert_cmpfloat(stat_text_pressure(text, "some"), ==, 1.5);
    g_assert_cmpfloat(stat_text_pressure(text, "full"), ==, 0.25);
}

static void interfaces_of_guests_are_told_from_those_outside(void)
{
    static const char text[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
        "    lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0\n"
        "  eno1:  500 1 0 0 0 0 0 0 70 1 0 0 0 0 0 0\n"
        "  eno2:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
        " vmbr0: 9999 1 0 0 0 0 0 0 9999 1 0 0 0 0 0 0\n"
        "eno1.7: 9999 1 0 0 0 0 0 0 9999 1 0 0 0 0 0 0\n"
        "tap100i0: 30 1 0 0 0 0 0 0 40 1 0 0 0 0 0 0\n"
        "tap100i1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n"
        "tap7: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n"
        "tap101i0: 3 1 0 0 0 0 0 0\n"
        "wrong\n";
    g_autoptr(GHashTable) guests = NULL;
    const StatTraffic *t;
    StatTraffic node;

    stat_text_devices(text, &node, &guests);
    g_assert_cmpint(node.in, ==, 505);
    g_assert_cmpint(node.out, ==, 77);
    g_assert_cmpuint(g_hash_table_size(guests), ==, 1);
    t = g_hash_table_lookup(guests, GUINT_TO_POINTER(100));
    g_assert_cmpint(t->in, ==, 42);
    g_assert_cmpint(t->out, ==, 31);
    g_clear_pointer(&guests, g_hash_table_unref);
    stat_text_devices("", &node, &guests);
    g_assert_cmpint(node.in, ==, STAT_UNKNOWN);
}

/* ------------------------------------------------------------------- rates */

static void shares_are_those_between_two_looks(void)
{
    StatCpu from = {.total = 1000, .idle = 800, .iowait = 40, .cpus = 2};
    StatCpu to = {.total = 2000, .idle = 1300, .iowait = 140, .cpus = 2};
    double cpu;
    double iowait;

    stat_rate_node(&from, &to, &cpu, &iowait);
    g_assert_cmpfloat_with_epsilon(cpu, 0.4, 1e-9);
    g_assert_cmpfloat_with_epsilon(iowait, 0.1, 1e-9);
    to.iowait = 30; /* the kernel takes some back */
    stat_rate_node(&from, &to, &cpu, &iowait);
    g_assert_cmpfloat_with_epsilon(cpu, 0.5, 1e-9);
    g_assert_cmpfloat(iowait, ==, 0);
    to.idle = 9000; /* more than all */
    stat_rate_node(&from, &to, &cpu, &iowait);
    g_assert_cmpfloat(cpu, ==, 0);
    stat_rate_node(&to, &from, &cpu, &iowait); /* back */
    g_assert_true(isnan(cpu) && isnan(iowait));
    stat_rate_node(&from, &from, &cpu, &iowait);
    g_assert_true(isnan(cpu) && isnan(iowait));
}

static StatSample sample(int64_t at_ms, uint64_t used, uint64_t start)
{
    return (StatSample){.at = {at_ms * US_PER_MS}, .process = {used, start}};
}

static double rate(StatSample from, StatSample to)
{
    return stat_rate_process(&from, &to, 2, 100);
}

static void process_has_a_rate_only_of_itself(void)
{
    StatSample now = sample(100000, 500, 7);
    StatSample begin = stat_sample_begin(&now, 10);

    /* 10 s, 10 s of one processor, of two */
    g_assert_cmpfloat_with_epsilon(rate(sample(0, 0, 7), sample(10000, 1000, 7)), 0.5, 1e-9);
    g_assert_cmpfloat_with_epsilon(rate(sample(0, 0, 7), sample(1, 1, 7)), 5, 1e-9);
    g_assert_true(isnan(rate(sample(0, 500, 7), sample(10000, 20, 9)))); /* started anew */
    g_assert_true(isnan(rate(sample(0, 500, 7), sample(10000, 20, 7)))); /* went back */
    g_assert_true(isnan(rate(sample(0, 5, 7), sample(0, 20, 7))));       /* no time between */
    g_assert_true(isnan(rate(sample(10, 5, 7), sample(5, 20, 7))));
    g_assert_true(isnan(stat_rate_process(&begin, &now, STAT_UNKNOWN, 100)));
    g_assert_cmpfloat_with_epsilon(rate(begin, now), 0.25, 1e-9);
    begin = stat_sample_begin(&now, NAN);
    g_assert_true(isnan(rate(begin, now)));
}

static void rounds_are_spread(void)
{
    MonoTime now = {5000000};
    int64_t low = INT64_MAX;
    int64_t high = 0;

    for (uint64_t draw = 0; draw < 5000; draw++) {
        int64_t ms = mono_diff_us(stat_next_round(now, 10000, draw * 7919), now) / US_PER_MS;

        low = MIN(low, ms);
        high = MAX(high, ms);
    }
    g_assert_cmpint(low, ==, 9500);
    g_assert_cmpint(high, ==, 10500);
    now = stat_next_round((MonoTime){0}, 1, UINT64_MAX);
    g_assert_cmpint(now.us, ==, 1000);
}

static void silent_monitor_is_asked_less_often(void)
{
    StatBackoff b = {0, 0};
    guint asked = 0;

    for (int i = 0; i < 1000; i++) {
        if (stat_backoff_due(&b)) {
            asked++;
            stat_backoff_note(&b, false);
        }
    }
    g_assert_cmpuint(asked, ==, 35); /* in rounds 0, 2, 5, 10, 19, 36, then each 33rd */
    stat_backoff_note(&b, true);
    g_assert_true(stat_backoff_due(&b));
}

/* ------------------------------------------------------------------- lines */

static void node_line_is_golden(void)
{
    StatNode n = {.uptime_s = 5000,
                  .loadavg = 0.52,
                  .maxcpu = 8,
                  .cpu = 0.25,
                  .iowait = 0.0125,
                  .memory = {16000000000, 12000000000, 1000, 400},
                  .root_total = 9000,
                  .root_used = 1000,
                  .traffic = {7, 8},
                  .arc = 0,
                  .pressure = {1.5, 9, 0.25, 0.125, 3, 4}};
    g_autofree char *line = stat_line_node(&n, (WallTime){1764345600});
    g_autofree char *unknown = NULL;

    g_assert_cmpstr(line, ==,
                    "5000::1764345600:0.52:8:0.25:0.0125:16000000000:4000000000:1000:600:9000:1000:"
                    "7:8:12000000000:0:1.5:0.25:0.125:3:4");
    n = (StatNode){.uptime_s = -1,
                   .loadavg = NAN,
                   .maxcpu = 2,
                   .cpu = -0.5,
                   .iowait = INFINITY,
                   .memory = {5, -1, -1, -1},
                   .root_total = -1,
                   .root_used = -1,
                   .traffic = {-1, -1},
                   .arc = -1,
                   .pressure = stat_pressure_unknown()};
    unknown = stat_line_node(&n, (WallTime){1});
    g_assert_cmpstr(unknown, ==, "0::1:U:2:U:U:5:U:U:U:U:U:U:U:U:U:U:U:U:U:U");
}

static StatGuest burner(void)
{
    return (StatGuest){.running = true,
                       .name = "web",
                       .uptime_s = 4000,
                       .maxcpu = 2,
                       .cpu = 0.5,
                       .maxmem = 2147483648,
                       .mem = 1073741824,
                       .maxdisk = 34359738368,
                       .traffic = {1, 2},
                       .disk_read = 3,
                       .disk_written = 4,
                       .memhost = 1200000000,
                       .pressure = {0.5, 0, 1, 0.25, 2, 1e-05}};
}

static void guest_line_is_golden(void)
{
    StatGuest g = burner();
    g_autofree char *line = stat_line_guest(&g, (WallTime){1764345600});
    g_autofree char *stopped = NULL;

    g_assert_cmpstr(line, ==,
                    "4000:web:running:0:1764345600:2:0.5:2147483648:1073741824:34359738368:0:1:2:3:"
                    "4:1200000000:0.5:0:1:0.25:2:1e-05");
    g.running = false;
    g.is_template = true;
    stopped = stat_line_guest(&g, (WallTime){1764345600});
    g_assert_cmpstr(stopped, ==,
                    "0:web:stopped:1:1764345600:2:U:2147483648:U:34359738368:0:U:U:U:U:U:U:U:U:U:U:"
                    "U");
}

static void no_name_breaks_a_line(void)
{
    g_autofree char *longest = g_strnfill(5000, 'x');
    static const char *const names[] = {"a:b", "a\nb", "\xff\xfe", "", "U", "caf\xc3\xa9"};

    for (size_t i = 0; i <= G_N_ELEMENTS(names); i++) {
        StatGuest g = burner();
        g_autofree char *line = NULL;
        g_auto(GStrv) columns = NULL;

        g.name = i < G_N_ELEMENTS(names) ? names[i] : longest;
        line = stat_line_guest(&g, (WallTime){1});
        columns = g_strsplit(line, ":", -1);
        g_assert_cmpuint(g_strv_length(columns), ==, 22);
        g_assert_null(strchr(line, '\n'));
        g_assert_true(g_utf8_validate(line, -1, NULL));
        g_assert_cmpuint(strlen(line), <, 1000);
    }
}

static void other_values_are_golden(void)
{
    g_autofree char *storage = stat_line_storage(100, 50, (WallTime){1764345600});
    g_autofree char *size = stat_line_static(8, 16000000000);
    g_autofree char *version = stat_line_version("9.1.0", "9.1", "x");

    g_assert_cmpstr(storage, ==, "1764345600:100:50");
    g_assert_cmpstr(size, ==, "{\"cpus\":8,\"memory\":16000000000}");
    g_assert_cmpstr(version, ==, "{\"version\":\"9.1.0\",\"release\":\"9.1\",\"repoid\":\"x\"}");
}

static GuestSize size_of(const char *text)
{
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GuestConf) gc = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){0}, &conf, NULL), ==, 0);
    g_assert_cmpint(guestconf_new(vmconf_main(conf), 100, warnings, &gc, NULL), ==, 0);
    return guest_size(gc);
}

static void size_is_that_of_the_configuration(void)
{
    GuestSize size = size_of("cores: 2\nsockets: 2\nmemory: 2048\nscsi0: local:100/a.raw,size=8G\n"
                             "ide2: local:iso/x.iso,media=cdrom,size=1G\n");

    g_assert_cmpint(size.cpus, ==, 4);
    g_assert_cmpint(size.memory, ==, 2048 * GUEST_MIB);
    g_assert_cmpint(size.disk, ==, 8192 * GUEST_MIB);
    size = size_of("cores: 4\nvcpus: 3\n");
    g_assert_cmpint(size.cpus, ==, 3);
    g_assert_cmpint(size.memory, ==, 512 * GUEST_MIB);
    g_assert_cmpint(size.disk, ==, 0);
}

/* ---------------------------------------------------------------- adapters */

static void put(const char *dir, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void host_is_read_from_proc(void)
{
    g_autofree char *dir = g_dir_make_tmp("stat-XXXXXX", NULL);
    g_autoptr(StatHost) h = stat_host_new(dir);
    g_autoptr(GHashTable) taps = NULL;
    StatNode n;

    g_assert_cmpint(stat_host_read(h, &n, &taps, NULL), ==, -ENODATA);
    put(dir, "stat", stat_text);
    put(dir, "meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n");
    put(dir, "loadavg", "1.25 1 1 1/2 3\n");
    put(dir, "uptime", "77.91 12\n");
    put(dir, "pressure/cpu", "some avg10=2.00 avg60=0 avg300=0 total=0\n");
    g_assert_cmpint(stat_host_read(h, &n, &taps, NULL), ==, 0);
    g_assert_cmpfloat_with_epsilon(n.cpu, 0.16, 1e-9); /* since it started */
    g_assert_cmpint(n.memory.total, ==, 1024000);
    g_assert_cmpint(n.uptime_s, ==, 77);
    g_assert_cmpfloat(n.loadavg, ==, 1.25);
    g_assert_cmpfloat(n.pressure.cpu_some, ==, 2);
    g_assert_true(isnan(n.pressure.io_full));
    g_assert_cmpint(n.root_total, >, 0);
    g_clear_pointer(&taps, g_hash_table_unref);
    put(dir, "stat", "cpu  200 1 50 1500 40 2 3 4 60 1\ncpu0 1\ncpu1 1\n");
    g_assert_cmpint(stat_host_read(h, &n, &taps, NULL), ==, 0);
    g_assert_cmpfloat_with_epsilon(n.cpu, 0.125, 1e-9); /* since the last look */
    test_remove_tree(dir);
}

/* ---------------------------------------------------------------- containers */

static void group_files_are_read(void)
{
    int64_t r;
    int64_t w;

    g_assert_cmpint(stat_text_keyed("populated 1\nfrozen 0\n", "populated"), ==, 1);
    g_assert_cmpint(stat_text_keyed("usage_usec 7\nuser_usec 5\n", "user_usec"), ==, 5);
    g_assert_cmpint(stat_text_keyed("usage_usec_x 7\n", "usage_usec"), ==, STAT_UNKNOWN);
    g_assert_cmpint(stat_text_keyed("", "x"), ==, STAT_UNKNOWN);
    stat_text_io("8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0\n253:1 rbytes=1\n", &r, &w);
    g_assert_cmpint(r, ==, 11);
    g_assert_cmpint(w, ==, 20);
    stat_text_io("", &r, &w);
    g_assert_cmpint(r, ==, STAT_UNKNOWN);
    g_assert_cmpint(w, ==, STAT_UNKNOWN);
}

static GuestSize size_of_container(const char *text)
{
    g_autoptr(VmConf) conf = NULL;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){0}, &conf, NULL), ==, 0);
    return container_size(vmconf_main(conf), 16);
}

static void size_of_a_container_is_that_of_its_limits(void)
{
    GuestSize s = size_of_container("cores: 4\ncpulimit: 1.5\nmemory: 1024\n"
                                    "rootfs: local:100/vm-100-disk-0.raw,size=8G,quota=1\n");

    g_assert_cmpint(s.cpus, ==, 2);
    g_assert_cmpint(s.memory, ==, 1024 * GUEST_MIB);
    g_assert_cmpint(s.disk, ==, INT64_C(8) << 30);
    s = size_of_container("cores: 4\ncpulimit: 0\n");
    g_assert_cmpint(s.cpus, ==, 4);
    g_assert_cmpint(s.memory, ==, 512 * GUEST_MIB);
    g_assert_cmpint(s.disk, ==, STAT_UNKNOWN);
    s = size_of_container("cores: many\nmemory: -3\nrootfs: local:1,size=huge\nlxc.x.y: z\n");
    g_assert_cmpint(s.cpus, ==, 16);
    g_assert_cmpint(s.memory, ==, 512 * GUEST_MIB);
    g_assert_cmpint(s.disk, ==, STAT_UNKNOWN);
}

static int fetch_container(void *ctx, uint32_t vmid, bool container, GBytes **ret, Err *err)
{
    static const char text[] = "hostname: web\ncores: 2\nmemory: 256\n";

    (void)ctx;
    (void)err;
    g_assert_true(container);
    g_assert_true(vmid == 200 || vmid == 201);
    *ret = g_bytes_new_static(text, strlen(text));
    return 0;
}

/* The last words about 200 are kept; its name is not ours. */
static int keep_guest(void *ctx, uint32_t vmid, const StatGuest *guest, Err *err)
{
    (void)err;
    g_assert_cmpstr(guest->name, ==, "web");
    g_assert_cmpint(guest->maxcpu, ==, 2);
    g_assert_cmpint(guest->maxmem, ==, 256 * GUEST_MIB);
    if (vmid == 200) {
        *(StatGuest *)ctx = *guest;
    } else {
        g_assert_false(guest->running);
    }
    return 0;
}

static StatGuest tell_container(StatGuests *g)
{
    g_autoptr(GHashTable) taps = NULL;
    StatTraffic node;
    StatGuest out = {0};

    stat_text_devices("veth200i0: 30 1 0 0 0 0 0 0 40 1 0 0 0 0 0 0\n"
                      "vethab12: 3 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0\n",
                      &node, &taps);
    stat_guests_begin(g);
    g_assert_cmpint(stat_guests_tell(g, taps, keep_guest, &out, NULL), ==, 0);
    return out;
}

static void put_group(const char *dir, const char *usage)
{
    put(dir, "cg/lxc/200/cgroup.events", "populated 1\nfrozen 0\n");
    put(dir, "cg/lxc/200/cpu.stat", usage);
    put(dir, "cg/lxc/200/memory.current", "5000\n");
    put(dir, "cg/lxc/200/io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n");
    put(dir, "cg/lxc/200/cpu.pressure", "some avg10=2.00 avg60=0 avg300=0 total=0\n");
    put(dir, "cg/lxc.monitor/200/cgroup.procs", "17\n");
    put(dir, "proc/uptime", "1000.00 1\n");
    put(dir, "proc/17/stat",
        "17 (lxc-start) S 1 17 17 0 -1 4194560 5 6 7 8 300 25 0 0 20 0 4 0 100 99 1 0\n");
}

static void containers_are_told_by_their_groups(void)
{
    static const char list[] = "{\"version\":1,\"ids\":{"
                               "\"200\":{\"node\":\"n1\",\"type\":\"lxc\",\"version\":1},"
                               "\"201\":{\"node\":\"n1\",\"type\":\"lxc\",\"version\":2},"
                               "\"202\":{\"node\":\"n2\",\"type\":\"lxc\",\"version\":3}}}";
    g_autofree char *dir = g_dir_make_tmp("stat-XXXXXX", NULL);
    g_autofree char *proc = g_build_filename(dir, "proc", NULL);
    g_autofree char *cgroups = g_build_filename(dir, "cg", NULL);
    g_autoptr(StatGuests) g = stat_guests_new(dir, proc, cgroups);
    g_autoptr(JsonTree) vmlist = NULL;
    StatGuest c;

    g_assert_cmpint(jsontree_parse(list, strlen(list), &vmlist, NULL), ==, 0);
    stat_guests_list(g, vmlist, "n1");
    g_assert_cmpint(stat_guests_read(g, fetch_container, NULL, NULL), ==, 0);
    c = tell_container(g);
    g_assert_false(c.running);
    put_group(dir, "usage_usec 1000000\nuser_usec 5\n");
    c = tell_container(g);
    g_assert_true(c.running);
    g_assert_true(isnan(c.cpu)); /* there is nothing to compare with yet */
    g_assert_cmpint(c.mem, ==, 5000);
    g_assert_cmpint(c.disk_read, ==, 10);
    g_assert_cmpint(c.disk_written, ==, 20);
    g_assert_cmpint(c.traffic.in, ==, 40);
    g_assert_cmpint(c.traffic.out, ==, 30);
    g_assert_cmpint(c.uptime_s, ==, 1000 - 100 / sysconf(_SC_CLK_TCK));
    g_assert_cmpfloat(c.pressure.cpu_some, ==, 2);
    g_assert_true(isnan(c.pressure.io_some));
    g_usleep(10000);
    put_group(dir, "usage_usec 3000000\n");
    c = tell_container(g);
    g_assert_cmpfloat(c.cpu, >, 0);
    put(dir, "cg/lxc/200/cgroup.events", "populated 0\n");
    c = tell_container(g);
    g_assert_false(c.running);
    test_remove_tree(dir);
}

static int note_storage(void *ctx, const char *id, uint64_t total, uint64_t used, Err *err)
{
    g_assert_cmpuint(total, >=, used);
    g_string_append_printf(ctx, "%s ", id);
    return strcmp(id, "stop") == 0 ? err_setf(err, -ECONNREFUSED, "no") : 0;
}

/* Rounds until all that answer have done so. */
static char *told(StatStorages *s)
{
    GString *out = g_string_new(NULL);

    for (int i = 0; i < 600 && strstr(out->str, "good") == NULL; i++) {
        g_string_truncate(out, 0);
        stat_storages_begin(s);
        g_usleep(50000);
        g_assert_cmpint(stat_storages_tell(s, note_storage, out, NULL), ==, 0);
    }
    return g_string_free(out, FALSE);
}

static void storages_are_told_when_they_are_there(void)
{
    g_autofree char *dir = g_dir_make_tmp("stat-XXXXXX", NULL);
    g_autofree char *cfg = g_strdup_printf("dir: local\n\tdisable\n\tpath /nowhere\n\n"
                                           "dir: gone\n\tpath %s/gone\n\n"
                                           "nfs: mounted\n\tpath %s\n\tserver x\n\texport /y\n\n"
                                           "dir: other\n\tpath %s\n\tnodes n2\n\n"
                                           "zfspool: unmanaged\n\tpool x\n\n"
                                           "dir: good\n\tpath %s\n",
                                           dir, dir, dir, dir);
    g_autoptr(GBytes) text = g_bytes_new(cfg, strlen(cfg));
    static const char nothing[] = "dir: local\n\tdisable\n\tpath /x\n";
    g_autoptr(GBytes) none = g_bytes_new_static(nothing, strlen(nothing));
    g_autoptr(StatStorages) s = stat_storages_new();
    g_autofree char *line = NULL;

    g_assert_cmpint(stat_storages_set(s, text, "n1", NULL), ==, 0);
    line = told(s);
    g_assert_cmpstr(line, ==, "good ");
    g_assert_cmpint(stat_storages_set(s, none, "n1", NULL), ==, 0);
    stat_storages_begin(s);
    g_assert_cmpint(stat_storages_tell(s, note_storage, NULL, NULL), ==, 0);
    test_remove_tree(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stat/text/processor-time", processor_time_is_summed_without_guests);
    g_test_add_func("/stat/text/nothing-is-unknown", texts_that_say_nothing_are_unknown);
    g_test_add_func("/stat/text/process", process_is_read_whatever_its_name);
    g_test_add_func("/stat/text/pressure", pressure_is_that_of_ten_seconds);
    g_test_add_func("/stat/text/interfaces", interfaces_of_guests_are_told_from_those_outside);
    g_test_add_func("/stat/rate/node", shares_are_those_between_two_looks);
    g_test_add_func("/stat/rate/process", process_has_a_rate_only_of_itself);
    g_test_add_func("/stat/rate/rounds-are-spread", rounds_are_spread);
    g_test_add_func("/stat/rate/silent-monitor", silent_monitor_is_asked_less_often);
    g_test_add_func("/stat/line/node", node_line_is_golden);
    g_test_add_func("/stat/line/guest", guest_line_is_golden);
    g_test_add_func("/stat/line/no-name-breaks-it", no_name_breaks_a_line);
    g_test_add_func("/stat/line/others", other_values_are_golden);
    g_test_add_func("/stat/size", size_is_that_of_the_configuration);
    g_test_add_func("/stat/host", host_is_read_from_proc);
    g_test_add_func("/stat/container/group-files", group_files_are_read);
    g_test_add_func("/stat/container/size", size_of_a_container_is_that_of_its_limits);
    g_test_add_func("/stat/container/told", containers_are_told_by_their_groups);
    g_test_add_func("/stat/storages", storages_are_told_when_they_are_there);
    return g_test_run();
}
