/* SPDX-License-Identifier: Apache-2.0 */
/* Can the guest run on this node? */
#include "lib/cfs/cfsfile.h"
#include "lib/conf/storagecfg.h"
#include "lib/port/process.h"
#include "migration/io/mig_target_ops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STORAGE_CFG_MAX (1024 * 1024)
#define QEMU_MS         20000

typedef struct Check {
    MigJob *job;
    const JsonTree *needs;
    JsonTree *problems, *facts;
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
        char text[INET6_ADDRSTRLEN];

        if (i->ifa_addr != NULL && in_network(i->ifa_addr, family, net, (unsigned)bits) &&
            inet_ntop(family,
                      family == AF_INET
                          ? (void *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr
                          : (void *)&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr,
                      text, sizeof text) != NULL) {
            found = g_strdup(text);
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
        }
    }
}

/* A guest that HA manages may only come to a node whose LRM would be reset by its watchdog when it
 * loses its lease (INV-6): the LRM says so by this file. */
int mig_target_guarded(const MigJob *j, Err *err)
{
    g_autofree char *guard = g_build_filename(j->setup->own_run, "ha-lrm.guarded", NULL);
    g_autofree char *path = g_build_filename(j->setup->tree.pve, "ha", "resources.cfg", NULL);
    g_autofree char *sid = g_strdup_printf("vm: %u", j->vmid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    int r;

    if (access(guard, F_OK) == 0) {
        return 0;
    }
    r = cfsfile_read(path, STORAGE_CFG_MAX, &text, NULL, err);
    if (r < 0) {
        return r == -ENOENT ? 0 : r;
    }
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i] != NULL; i++) {
        if (strcmp(g_strchomp(lines[i]), sid) == 0) {
            return err_setf(err, -EPERM, "does not guard HA services now (its LRM holds no lease)");
        }
    }
    return 0;
}

static void check_guard(Check *c)
{
    Err err = ERR_INIT;

    if (mig_target_guarded(c->job, &err) < 0) {
        problem(c, "ha", true, "%s", err_text(&err));
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
    }
}

/* One line of `qemu -machine help` starts with this name. */
static bool has_machine(const char *list, const char *machine)
{
    g_auto(GStrv) lines = g_strsplit(list, "\n", -1);
    gsize n = strlen(machine);

    for (int i = 0; lines[i] != NULL; i++) {
        if (strncmp(lines[i], machine, n) == 0 && g_ascii_isspace(lines[i][n])) {
            return true;
        }
    }
    return false;
}

static void check_qemu(Check *c)
{
    const char *arch = jsontree_get_text(c->needs, "arch");
    const char *machine = jsontree_get_text(c->needs, "machine");
    const char *theirs = jsontree_get_text(c->needs, "qemu");
    g_autofree char *program =
        g_strdup_printf("qemu-system-%s", g_strcmp0(arch, "aarch64") == 0 ? arch : "x86_64");
    ProcessOptions options = {.timeout_ms = QEMU_MS};
    g_autofree char *machines = NULL, *version = NULL;
    Err err = ERR_INIT;
    char *at;

    if (process_check((const char *const[]){program, "-version", NULL}, &options, &version, &err) <
            0 ||
        process_check((const char *const[]){program, "-machine", "help", NULL}, &options, &machines,
                      &err) < 0) {
        problem(c, "qemu", true, "%s: %s", program, err_text(&err));
        return;
    }
    at = strstr(version, "version ");
    if (at != NULL) {
        at += strlen("version ");
        at[strcspn(at, " \n(")] = '\0';
        jsontree_set_text(c->facts, "qemu", at);
        if (theirs != NULL && g_ascii_strtod(at, NULL) < g_ascii_strtod(theirs, NULL)) {
            problem(c, "qemu", false, "QEMU %s here is older than %s there", at, theirs);
        }
    }
    if (machine != NULL && !has_machine(machines, machine)) {
        problem(c, "machine", true, "QEMU here has no machine type '%s'", machine);
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
    }
}

void mig_target_check(MigJob *j)
{
    Check c = {.job = j,
               .needs = jsontree_get(j->ask, "needs"),
               .problems = jsontree_new_array(),
               .facts = jsontree_new_object()};
    JsonTree *t = jsontree_new_object();

    check_place(&c);
    check_bridges(&c);
    check_storages(&c);
    check_guard(&c);
    if (jsontree_get_bool(j->ask, "online", false)) {
        check_memory(&c);
        check_qemu(&c);
        check_ports(&c);
    }
    jsontree_set(t, "problems", c.problems);
    jsontree_set(t, "facts", c.facts);
    mig_job_send(j, WIRE_MIG_CHECKED, t);
    mig_target_done(j, MIG_TOP_CHECK, 0, NULL);
}
