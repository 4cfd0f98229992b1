/* SPDX-License-Identifier: Apache-2.0 */
/* Can the guest run on this node? */
#include "lib/cfs/cfsfile.h"
#include "lib/conf/storagecfg.h"
#include "lib/port/process.h"
#include "migration/core/mig_cpu.h"
#include "migration/io/mig_host.h"
#include "migration/io/mig_probe.h"
#include "migration/io/mig_target_ops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STORAGE_CFG_MAX (1024 * 1024)
#define STATUS_MS       20000
#define GUARD_WAIT_MS   30000
#define GUARD_LOOK_MS   200

typedef struct Check {
    MigJob *job;
    const JsonTree *needs;
    JsonTree *problems, *facts, *passed;
} Check;

static void problem(Check *c, const char *check, bool fatal, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void problem(Check *c, const char *check, bool fatal, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *full = NULL;
    JsonTree *t;
    va_list ap;

    if (jsontree_count(c->problems) >= WIRE_MIG_LIST_MAX) {
        return; /* enough to say no */
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    full = g_strdup_printf("node '%s': %s", c->job->setup->tree.node, text);
    t = jsontree_new_object();
    jsontree_set_text(t, "check", check);
    jsontree_set_bool(t, "fatal", fatal);
    jsontree_set_text(t, "text", full);
    jsontree_add(c->problems, t);
}

/* A line for who asks what was looked at. */
static void passed(Check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void passed(Check *c, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    jsontree_add(c->passed, jsontree_new_text(text));
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool in_network(const struct sockaddr *a, int family, const uint8_t *net, unsigned bits)
{
    const void *address = a; /* as large and as aligned as its family says */
    const struct sockaddr_in *in = address;
    const struct sockaddr_in6 *in6 = address;
    const uint8_t *bytes =
        family == AF_INET ? (const uint8_t *)&in->sin_addr : (const uint8_t *)&in6->sin6_addr;

    if (a->sa_family != family) {
        return false;
    }
    for (unsigned i = 0; i < bits; i++) {
        if (((bytes[i / 8] ^ net[i / 8]) >> (7 - i % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

/* Numeric; NULL when it is neither IPv4 nor IPv6. Caller frees. */
static char *address_text(const struct sockaddr *a)
{
    const void *address = a; /* as large and as aligned as its family says */
    const struct sockaddr_in *in = address;
    const struct sockaddr_in6 *in6 = address;
    char text[INET6_ADDRSTRLEN];
    const char *done =
        a->sa_family == AF_INET    ? inet_ntop(AF_INET, &in->sin_addr, text, sizeof text)
        : a->sa_family == AF_INET6 ? inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text)
                                   : NULL;

    return g_strdup(done);
}

static int address_in(const char *cidr, char **ret, Err *err)
{
    g_autofree char *base = g_strndup(cidr, strcspn(cidr, "/"));
    const char *slash = strchr(cidr, '/');
    int family = strchr(base, ':') != NULL ? AF_INET6 : AF_INET;
    uint8_t net[16];
    guint64 bits = 0;
    struct ifaddrs *list = NULL;
    g_autofree char *found = NULL;

    if (slash == NULL || inet_pton(family, base, net) != 1 ||
        !g_ascii_string_to_unsigned(slash + 1, 10, 0, family == AF_INET ? 32 : 128, &bits, NULL)) {
        return err_setf(err, -EINVAL, "'%s' is no network (10.0.0.0/24)", cidr);
    }
    if (getifaddrs(&list) < 0) {
        return err_setf(err, -errno, "reading the addresses of this node: %s", g_strerror(errno));
    }
    for (struct ifaddrs *i = list; i != NULL && found == NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && in_network(i->ifa_addr, family, net, (unsigned)bits)) {
            found = address_text(i->ifa_addr);
        }
    }
    freeifaddrs(list);
    if (found == NULL) {
        return err_setf(err, -EADDRNOTAVAIL, "this node has no address in %s", cidr);
    }
    *ret = g_steal_pointer(&found);
    return 0;
}

int mig_target_address(MigJob *j, const char *network, char **ret, Err *err)
{
    if (network != NULL && *network != '\0') {
        return address_in(network, ret, err);
    }
    return mig_tree_member(&j->setup->tree, j->setup->tree.node, ret, err);
}

/* ---- single checks --------------------------------------------------------------------------- */

static void check_place(Check *c)
{
    const MigSetup *s = c->job->setup;
    g_autofree char *pid = g_strdup_printf("%s/%u.pid", s->run_dir, c->job->vmid);
    Err err = ERR_INIT;
    int r = mig_tree_quorate(&s->tree, &err);

    if (r <= 0) {
        problem(c, "quorum", true, "no quorum");
    }
    r = mig_tree_place(&s->tree, c->job->peer, c->job->vmid, &err);
    if (r == MIG_PLACE_OWN) {
        problem(c, "place", true, "guest %u is here already", c->job->vmid);
    }
    if (access(pid, F_OK) == 0) {
        problem(c, "process", true, "a process of guest %u runs here (%s)", c->job->vmid, pid);
    }
}

static void check_bridges(Check *c)
{
    const JsonTree *list = jsontree_get(c->needs, "bridges");

    for (guint i = 0; i < jsontree_count(list); i++) {
        const char *name = jsontree_text(jsontree_at(list, i));
        g_autofree char *path = NULL;

        if (name == NULL || strchr(name, '/') != NULL) {
            problem(c, "bridge", true, "a bridge with a bad name");
            continue;
        }
        path = g_build_filename("/sys/class/net", name, NULL);
        if (access(path, F_OK) != 0) {
            problem(c, "bridge", true, "bridge '%s' does not exist", name);
        } else {
            passed(c, "bridge: '%s' is there", name);
        }
    }
}

static void check_mtus(Check *c)
{
    const JsonTree *list = jsontree_get(c->needs, "mtus");

    for (guint i = 0; i < jsontree_count(list); i++) {
        const JsonTree *one = jsontree_at(list, i);
        const char *bridge = jsontree_get_text(one, "bridge");
        int64_t mtu = jsontree_get_int(one, "mtu", 0);
        int64_t have = bridge != NULL ? mig_host_mtu(bridge) : 0;

        if (have > 0 && have < mtu) {
            problem(c, "mtu", true,
                    "bridge '%s' takes packets of %" G_GINT64_FORMAT
                    " bytes, the guest sends them of %" G_GINT64_FORMAT,
                    bridge, have, mtu);
        }
    }
}

static void check_storages(Check *c)
{
    const MigTree *tree = &c->job->setup->tree;
    g_autofree char *path = g_build_filename(tree->pve, "storage.cfg", NULL);
    const JsonTree *list = jsontree_get(c->needs, "storages");
    g_autofree char *text = NULL;
    g_autoptr(StorageCfg) cfg = NULL;
    gsize size = 0;
    Err err = ERR_INIT;

    if (jsontree_count(list) == 0) {
        return;
    }
    if (cfsfile_read(path, STORAGE_CFG_MAX, &text, &size, &err) < 0) {
        g_free(text);
        text = g_strdup("");
        size = 0;
    }
    if (storagecfg_parse(text, size, &cfg, &err) < 0) {
        problem(c, "storage", true, "storage.cfg: %s", err_text(&err));
        return;
    }
    for (guint i = 0; i < jsontree_count(list); i++) {
        const char *id = jsontree_text(jsontree_at(list, i));
        const Storage *s = NULL;
        const char *dir;

        if (id == NULL || storagecfg_get(cfg, id, &s, &err) < 0) {
            problem(c, "storage", true, "%s",
                    id != NULL ? err_text(&err) : "a storage without name");
        } else if (!storage_on_node(s, tree->node)) {
            problem(c, "storage", true, "storage '%s' is not for this node, or disabled", id);
        } else if (!storage_is_shared(s) && !storage_has_content(s, "images")) {
            problem(c, "storage", true, "storage '%s' keeps no disk images", id);
        } else if (strcmp(s->type, "dir") == 0 && (dir = storage_prop(s, "path")) != NULL &&
                   access(dir, W_OK) != 0) {
            problem(c, "storage", true, "storage '%s': %s: %s", id, dir, g_strerror(errno));
        } else {
            passed(c, "storage: '%s' is there", id);
        }
    }
}

static int status_of(Check *c, const char *storage, JsonTree **ret, Err *err)
{
    ProcessOptions options = {.timeout_ms = STATUS_MS};
    g_autofree char *text = NULL;
    int r = process_check((const char *const[]){c->job->setup->pvesm, "status", "--storage",
                                                storage, "--output-format", "json", NULL},
                          &options, &text, err);

    return r < 0 ? r : jsontree_parse(text, strlen(text), ret, err);
}

/* What is allocated must fit; that the rest of a thin volume fits as well is not certain. */
static void check_space(Check *c)
{
    const JsonTree *list = jsontree_get(c->needs, "space");

    for (guint i = 0; i < jsontree_count(list); i++) {
        const JsonTree *one = jsontree_at(list, i);
        const char *id = jsontree_get_text(one, "storage");
        int64_t used = jsontree_get_int(one, "used", 0), size = jsontree_get_int(one, "size", 0);
        g_autoptr(JsonTree) status = NULL;
        Err err = ERR_INIT;
        int64_t have;

        if (id == NULL || status_of(c, id, &status, &err) < 0 || jsontree_count(status) != 1) {
            continue; /* no such storage: said already */
        }
        have = jsontree_get_int(jsontree_at(status, 0), "avail", 0);
        if (used > have || size > have) {
            problem(c, "space", used > have,
                    "storage '%s': the volumes have %" G_GINT64_FORMAT " MiB, %" G_GINT64_FORMAT
                    " of them in use; %" G_GINT64_FORMAT " MiB are free",
                    id, size >> 20, used >> 20, have >> 20);
        } else {
            passed(c,
                   "space: %" G_GINT64_FORMAT " MiB are free on '%s' for %" G_GINT64_FORMAT " MiB",
                   have >> 20, id, size >> 20);
        }
    }
}

/* Line `i` begins the section of a service: does HA do nothing about it? */
static bool is_ignored(char **lines, int i)
{
    while (lines[i + 1] != NULL && g_ascii_isspace(*lines[i + 1])) {
        g_auto(GStrv) words = g_strsplit_set(g_strstrip(lines[++i]), " \t", 2);

        if (g_strcmp0(words[0], "state") == 0 && words[1] != NULL &&
            strcmp(g_strstrip(words[1]), "ignored") == 0) {
            return true;
        }
    }
    return false;
}

int mig_target_is_ha(const MigJob *j, Err *err)
{
    g_autofree char *path = g_build_filename(j->setup->tree.pve, "ha", "resources.cfg", NULL);
    g_autofree char *sid = g_strdup_printf("vm: %u", j->vmid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    int r = cfsfile_read(path, STORAGE_CFG_MAX, &text, NULL, err);

    if (r < 0) {
        return r == -ENOENT ? 0 : r;
    }
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i] != NULL; i++) {
        if (strcmp(g_strchomp(lines[i]), sid) == 0 && !is_ignored(lines, i)) {
            return 1;
        }
    }
    return 0;
}

/* A guest that HA manages may only come to a node whose LRM would be reset by its watchdog when it
 * loses its lease (INV-6): the LRM says so by this file. */
int mig_target_guarded(const MigJob *j, Err *err)
{
    g_autofree char *guard = g_build_filename(j->setup->own_run, "ha-lrm.guarded", NULL);
    int r;

    if (access(guard, F_OK) == 0) {
        return 0;
    }
    r = j->not_ha ? 0 : mig_target_is_ha(j, err);
    return r <= 0
               ? r
               : err_setf(err, -EPERM, "does not guard HA services now (its LRM holds no lease)");
}

/* HA has just told the LRM here of the guest: it takes its lease within a round or two. */
static int wait_guarded(Check *c, Err *err)
{
    unsigned tries = jsontree_get_bool(c->needs, "wait", false) ? GUARD_WAIT_MS / GUARD_LOOK_MS : 0;

    for (;;) {
        int r = mig_target_guarded(c->job, err);

        if (r != -EPERM || tries-- == 0) {
            return r;
        }
        g_usleep(GUARD_LOOK_MS * 1000);
    }
}

static void check_guard(Check *c)
{
    Err err = ERR_INIT;

    if (wait_guarded(c, &err) < 0) {
        problem(c, "ha", true, "%s", err_text(&err));
    } else {
        passed(c, "ha: not an HA guest, or guarded here");
    }
}

static int64_t memory_available(void)
{
    g_autofree char *text = NULL;
    Err err = ERR_INIT;
    const char *at;

    if (cfsfile_read("/proc/meminfo", 65536, &text, NULL, &err) < 0 ||
        (at = strstr(text, "MemAvailable:")) == NULL) {
        return -1;
    }
    return g_ascii_strtoll(at + strlen("MemAvailable:"), NULL, 10) * 1024;
}

static void check_memory(Check *c)
{
    int64_t need = jsontree_get_int(c->needs, "memory", 0);
    int64_t have = memory_available();

    jsontree_set_int(c->facts, "memory_available", have);
    if (have >= 0 && need > have) {
        problem(c, "memory", true,
                "the guest needs %" G_GINT64_FORMAT " MiB of memory, %" G_GINT64_FORMAT
                " MiB are available",
                need >> 20, have >> 20);
    } else {
        passed(c, "memory: %" G_GINT64_FORMAT " MiB are available for %" G_GINT64_FORMAT " MiB",
               have >> 20, need >> 20);
    }
}

static bool has_machine(const MigHost *host, const char *machine)
{
    for (guint i = 0; i < jsontree_count(host->machines); i++) {
        if (g_strcmp0(jsontree_text(jsontree_at(host->machines, i)), machine) == 0) {
            return true;
        }
    }
    return false;
}

static void check_cpu(Check *c, const MigHost *host)
{
    const JsonTree *flags = jsontree_get(c->needs, "cpu");
    g_autofree char *missing = NULL;

    if (host->cpu == NULL || jsontree_count(flags) == 0) {
        return; /* not every architecture can tell */
    }
    missing = mig_cpu_missing(flags, host->cpu);
    if (missing != NULL) {
        problem(c, "cpu", true, "the CPU of the guest has what none here can have: %s", missing);
    } else {
        passed(c, "cpu: all %u flags of the guest's CPU are there", jsontree_count(flags));
    }
}

/* "7.2" and "10.0.3", by numbers. */
static bool older(const char *a, const char *b)
{
    g_auto(GStrv) x = g_strsplit(a, ".", -1);
    g_auto(GStrv) y = g_strsplit(b, ".", -1);

    for (int i = 0; x[i] != NULL && y[i] != NULL; i++) {
        gint64 m = g_ascii_strtoll(x[i], NULL, 10), n = g_ascii_strtoll(y[i], NULL, 10);

        if (m != n) {
            return m < n;
        }
    }
    return false;
}

static void check_qemu(Check *c)
{
    const char *arch = jsontree_get_text(c->needs, "arch");
    const char *machine = jsontree_get_text(c->needs, "machine");
    const char *theirs = jsontree_get_text(c->needs, "qemu");
    const MigHost *host = NULL;
    Err err = ERR_INIT;

    if (mig_hosts_get(c->job->setup->hosts, g_strcmp0(arch, "aarch64") == 0 ? arch : "x86_64",
                      jsontree_get_bool(c->needs, "kvm", false), &host, &err) < 0) {
        problem(c, "qemu", true, "%s", err_text(&err));
        return;
    }
    jsontree_set_text(c->facts, "qemu", host->version);
    jsontree_set_bool(c->facts, "zstd", host->zstd);
    if (theirs != NULL && older(host->version, theirs)) {
        problem(c, "qemu", false, "QEMU %s here is older than %s there", host->version, theirs);
    } else {
        passed(c, "qemu: %s", host->version);
    }
    if (machine != NULL && !has_machine(host, machine)) {
        problem(c, "machine", true, "QEMU here has no machine type '%s'", machine);
    } else if (machine != NULL) {
        passed(c, "machine: %s", machine);
    }
    check_cpu(c, host);
}

/* Megabits per second of the interface with that address, as the kernel says; 0: it does not. */
static int64_t interface_speed(const char *address)
{
    struct ifaddrs *list = NULL;
    int64_t speed = 0;

    if (getifaddrs(&list) < 0) {
        return 0;
    }
    for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        g_autofree char *have = i->ifa_addr != NULL ? address_text(i->ifa_addr) : NULL;

        if (g_strcmp0(have, address) == 0) {
            g_autofree char *path = g_build_filename("/sys/class/net", i->ifa_name, "speed", NULL);
            g_autofree char *text = NULL;
            Err err = ERR_INIT;

            if (cfsfile_read(path, 64, &text, NULL, &err) == 0) {
                speed = MAX(g_ascii_strtoll(text, NULL, 10), 0);
            }
        }
    }
    freeifaddrs(list);
    return speed;
}

/* The source tries whether it gets through to the port. */
static void open_probe(Check *c, const char *address)
{
    unsigned port = 0;
    Err err = ERR_INIT;
    int r = mig_probe_listen(c->job->setup->ports, address, &port, &err);

    if (r == 0) {
        jsontree_set_int(c->facts, "probe_port", port);
    } else if (r != -EAGAIN) {
        problem(c, "ports", true, "%s", err_text(&err));
    }
}

static void check_ports(Check *c)
{
    MigPortsUse use = mig_ports_use(c->job->setup->ports);
    const char *network = jsontree_get_text(c->needs, "network");
    g_autofree char *address = NULL;
    Err err = ERR_INIT;

    jsontree_set_int(c->facts, "ports_free", use.total - use.taken);
    if (use.taken + (unsigned)jsontree_get_int(c->needs, "ports", 1) > use.total) {
        problem(c, "ports", false, "all ports are taken, %u wait: the move will queue",
                use.waiting);
    }
    if (mig_target_address(c->job, network, &address, &err) < 0) {
        problem(c, "network", true, "%s", err_text(&err));
    } else {
        jsontree_set_text(c->facts, "address", address);
        jsontree_set_int(c->facts, "speed", interface_speed(address) * 125000);
        open_probe(c, address);
    }
}

void mig_target_check(MigJob *j)
{
    Check c = {.job = j,
               .needs = jsontree_get(j->ask, "needs"),
               .problems = jsontree_new_array(),
               .facts = jsontree_new_object(),
               .passed = jsontree_new_array()};
    JsonTree *t = jsontree_new_object();

    check_place(&c);
    check_bridges(&c);
    check_mtus(&c);
    check_storages(&c);
    check_space(&c);
    check_guard(&c);
    if (jsontree_get_bool(j->ask, "online", false)) {
        check_memory(&c);
        check_qemu(&c);
        check_ports(&c);
    }
    jsontree_set(c.facts, "passed", c.passed);
    jsontree_set(t, "problems", c.problems);
    jsontree_set(t, "facts", c.facts);
    mig_job_send(j, WIRE_MIG_CHECKED, t);
    mig_target_done(j, MIG_TOP_CHECK, 0, NULL);
}
