/* SPDX-License-Identifier: Apache-2.0 */
/* -m, NUMA nodes, memory devices, huge pages. All sizes in MiB. Reference guest.md section 8. */
#include "guest/core/cmdbuild.h"
#include "guest/core/confschema.h"

#include <errno.h>
#include <string.h>

#define HUGEPAGE_DIR    "/run/hugepages/kvm"
#define PHYS_BITS_USUAL 40
#define MAX_MIB         (4 * 1024 * INT64_C(1024)) /* 4 TiB of pluggable memory are enough */
#define NUMA_NODES_MAX  8

typedef struct Memory {
    CmdBuild *b;
    int64_t total;
    int64_t at_start; /* part of `total` that is not pluggable */
    int64_t sockets;
    int64_t cores;
    bool pluggable;
    const char *hugepages; /* NULL, "any", "2", "1024" */
} Memory;

/* Size of the huge pages for a block of `mib`. */
static int hugepage_size(const Memory *m, int64_t mib, int *ret, Err *err)
{
    const HostFacts *host = m->b->host;
    int size;

    if (strcmp(m->hugepages, "any") == 0) {
        if (mib % 1024 == 0 && host_hugepages(host, 1024)) {
            size = 1024;
        } else if (mib % 2 == 0 && host_hugepages(host, 2)) {
            size = 2;
        } else {
            return err_setf(err, -EINVAL, "hugepages: none fits memory of %d MiB", (int)mib);
        }
    } else {
        size = (int)g_ascii_strtoll(m->hugepages, NULL, 10);
    }
    if (mib % size != 0) {
        return err_setf(err, -EINVAL,
                        "hugepages: memory of %" G_GINT64_FORMAT " MiB is no multiple of %d MiB",
                        mib, size);
    }
    if (!host_hugepages(host, size)) {
        return err_setf(err, -ENOTSUP, "hugepages: the host has none of %d MiB", size);
    }
    *ret = size;
    return 0;
}

/* The object that holds `mib` of memory, as value of -object. Caller frees. */
static int backend(const Memory *m, const char *id, int64_t mib, char **ret, Err *err)
{
    int pages = 0;
    int r;

    if (m->hugepages == NULL) {
        /* The daemon that serves a directory reads the guest's memory. */
        bool shared = cmd_has_virtiofs(m->b);
        *ret = g_strdup_printf("memory-backend-%s,id=%s,size=%" G_GINT64_FORMAT "M%s",
                               shared ? "memfd" : "ram", id, mib, shared ? ",share=on" : "");
        return 0;
    }
    r = hugepage_size(m, mib, &pages, err);
    if (r < 0) {
        return r;
    }
    *ret = g_strdup_printf("memory-backend-file,id=%s,size=%" G_GINT64_FORMAT
                           "M,mem-path=%s/%dkB,share=on,prealloc=yes",
                           id, mib, HUGEPAGE_DIR, pages * 1024);
    return 0;
}

/* "0-1;3" -> "0-1,KEY=3": how QEMU takes a list. Caller frees. */
static char *repeated(const char *list, const char *key)
{
    g_auto(GStrv) parts = g_strsplit(list, ";", -1);
    g_autofree char *separator = g_strdup_printf(",%s=", key);

    return g_strjoinv(separator, parts);
}

static int check_host_nodes(const Memory *m, const char *list, int node, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(list, ";", -1);

    for (char **part = parts; *part != NULL; part++) {
        const char *dash = strchr(*part, '-');
        int first = (int)g_ascii_strtoll(*part, NULL, 10);
        int last = dash != NULL ? (int)g_ascii_strtoll(dash + 1, NULL, 10) : first;
        for (int i = first; i <= last; i++) {
            if (!host_numa_node(m->b->host, i)) {
                return err_setf(err, -ENOTSUP, "numa%d: the host has no NUMA node %d", node, i);
            }
        }
    }
    return 0;
}

/* ",host-nodes=0,policy=bind" of numaN. Caller frees. */
static int placement(const Memory *m, const PropString *numa, int node, char **ret, Err *err)
{
    const char *list = propstring_text(numa, "hostnodes");
    const char *policy = propstring_text(numa, "policy");
    g_autofree char *nodes = NULL;
    int r;

    if (list == NULL) {
        if (m->hugepages != NULL) {
            return err_setf(err, -EINVAL, "numa%d: huge pages need 'hostnodes'", node);
        }
        *ret = g_strdup("");
        return 0;
    }
    if (policy == NULL) {
        return err_setf(err, -EINVAL, "numa%d: 'hostnodes' needs a 'policy'", node);
    }
    r = check_host_nodes(m, list, node, err);
    if (r < 0) {
        return r;
    }
    nodes = repeated(list, "host-nodes");
    *ret = g_strdup_printf(",host-nodes=%s,policy=%s", nodes, policy);
    return 0;
}

/* One node as numaN describes it; adds its size to *ret_sum. */
static int configured_node(Memory *m, int node, int64_t *ret_sum, Err *err)
{
    const PropString *numa = guestconf_props_at(m->b->conf, "numa", node);
    g_autofree char *id = g_strdup_printf("ram-node%d", node);
    g_autofree char *object = NULL;
    g_autofree char *place = NULL;
    g_autofree char *cpus = NULL;
    int64_t mib;
    int r;

    if (numa == NULL) {
        return 0;
    }
    mib = (int64_t)propstring_number(numa, "memory");
    if (mib == 0) {
        return err_setf(err, -EINVAL, "numa%d: 'memory' is missing", node);
    }
    r = backend(m, id, mib, &object, err);
    if (r == 0) {
        r = placement(m, numa, node, &place, err);
    }
    if (r < 0) {
        return r;
    }
    cpus = repeated(propstring_text(numa, "cpus"), "cpus");
    cmd_option(m->b, "-object", "%s%s", object, place);
    cmd_option(m->b, "-numa", "node,nodeid=%d,cpus=%s,memdev=%s", node, cpus, id);
    *ret_sum += mib;
    return 0;
}

/* Without numaN: one node per socket, memory shared out evenly. */
static int node_per_socket(Memory *m, Err *err)
{
    int64_t mib = m->at_start / m->sockets;

    for (int64_t i = 0; i < m->sockets; i++) {
        g_autofree char *id = g_strdup_printf("ram-node%d", (int)i);
        g_autofree char *object = NULL;
        g_autofree char *cpus = NULL;
        int r;

        if (m->hugepages != NULL && !host_numa_node(m->b->host, (int)i)) {
            return err_setf(err, -ENOTSUP, "numa: the host has no NUMA node %d", (int)i);
        }
        r = backend(m, id, mib, &object, err);
        if (r < 0) {
            return r;
        }
        cpus = m->cores > 1
                   ? g_strdup_printf("%d-%d", (int)(m->cores * i), (int)(m->cores * (i + 1) - 1))
                   : g_strdup_printf("%d", (int)i);
        cmd_option(m->b, "-object", "%s", object);
        cmd_option(m->b, "-numa", "node,nodeid=%d,cpus=%s,memdev=%s", (int)i, cpus, id);
    }
    return 0;
}

static int numa_nodes(Memory *m, Err *err)
{
    int64_t sum = 0;

    for (int i = 0; i < NUMA_NODES_MAX; i++) {
        int r = configured_node(m, i, &sum, err);
        if (r < 0) {
            return r;
        }
    }
    if (sum == 0) {
        return node_per_socket(m, err);
    }
    if (sum != m->at_start) {
        return err_setf(err, -EINVAL,
                        "numa: the nodes' memory, %" G_GINT64_FORMAT
                        " MiB, is not the guest's, %" G_GINT64_FORMAT " MiB",
                        sum, m->at_start);
    }
    return 0;
}

/* --------------------------------------------------------- pluggable memory */

/* How far the address space of the guest's processor reaches, halved for what else lives there. */
static int64_t most_memory(const CmdBuild *b)
{
    const char *bits_text = cmd_cpu_prop(b, "phys-bits");
    const char *model = b->cpu_model != NULL ? b->cpu_model->name : NULL;
    int host_bits = b->host->phys_bits > 0 ? b->host->phys_bits : PHYS_BITS_USUAL;
    int bits = PHYS_BITS_USUAL;

    if (bits_text != NULL) {
        bits =
            strcmp(bits_text, "host") == 0 ? host_bits : (int)g_ascii_strtoll(bits_text, NULL, 10);
    } else if (g_strcmp0(model, "host") == 0 || g_strcmp0(model, "max") == 0) {
        bits = host_bits;
    }
    bits = CLAMP(bits, 32, 62);
    return MIN(INT64_C(1) << (bits - 21), MAX_MIB);
}

/* The NUMA nodes that memory devices are spread over. */
static int memory_nodes(const Memory *m, int nodes[NUMA_NODES_MAX + 1])
{
    int n = 0;

    for (int i = 0; i < NUMA_NODES_MAX; i++) {
        if (guestconf_props_at(m->b->conf, "numa", i) != NULL) {
            nodes[n++] = i;
        }
    }
    for (int i = 0; n == 0 && i < m->sockets && i < NUMA_NODES_MAX; i++) {
        nodes[i] = i;
        if (i + 1 == m->sockets || i + 1 == NUMA_NODES_MAX) {
            n = i + 1;
        }
    }
    return n;
}

/* 32 devices of 512 MiB, 32 of 1 GiB, and so on until the configured size is reached. */
static int plug_memory(Memory *m, Err *err)
{
    int nodes[NUMA_NODES_MAX + 1] = {0};
    int n_nodes = memory_nodes(m, nodes);
    int64_t dimm = g_strcmp0(m->hugepages, "1024") == 0 ? 1024 : CMD_DIMM_MIB;
    int64_t sum = m->at_start;

    for (int i = 0; i < CMD_DIMMS_PER_SIZE * CMD_DIMM_SIZES && sum < m->total; i++) {
        g_autofree char *id = g_strdup_printf("mem-dimm%d", i);
        g_autofree char *object = NULL;
        int r;

        if (i > 0 && i % CMD_DIMMS_PER_SIZE == 0) {
            dimm *= 2;
        }
        sum += dimm;
        if (sum > m->total) {
            return err_setf(err, -EINVAL,
                            "memory: %" G_GINT64_FORMAT " MiB is no sum of plugged modules, the "
                            "next possible size is %" G_GINT64_FORMAT " MiB",
                            m->total, sum);
        }
        r = backend(m, id, dimm, &object, err);
        if (r < 0) {
            return r;
        }
        cmd_option(m->b, "-object", "%s", object);
        cmd_option(m->b, "-device", "pc-dimm,id=dimm%d,memdev=%s,node=%d", i, id,
                   nodes[i % CMD_DIMMS_PER_SIZE % n_nodes]);
    }
    return sum == m->total ? 0 : err_setf(err, -EINVAL, "memory: more than modules can be plugged");
}

static int size_option(Memory *m, Err *err)
{
    int64_t most;

    if (!m->pluggable) {
        m->at_start = m->total;
        cmd_option(m->b, "-m", "%" G_GINT64_FORMAT, m->total);
        return 0;
    }
    most = most_memory(m->b);
    m->at_start = CMD_MEMORY_STATIC_MIB;
    if (g_strcmp0(m->hugepages, "1024") == 0) {
        m->at_start = CMD_MEMORY_STATIC_MIB * m->sockets;
    }
    if (m->total < m->at_start || m->total > most) {
        return err_setf(err, -EINVAL,
                        "memory: with hotplug of memory it must be %" G_GINT64_FORMAT
                        "..%" G_GINT64_FORMAT " MiB",
                        m->at_start, most);
    }
    cmd_option(m->b, "-m", "size=%" G_GINT64_FORMAT ",slots=255,maxmem=%" G_GINT64_FORMAT "M",
               m->at_start, most);
    return 0;
}

int cmd_memory(CmdBuild *b, Err *err)
{
    const PropString *memory = guestconf_props(b->conf, "memory");
    Memory m = {
        .b = b,
        .total = memory != NULL ? propstring_int(memory, "current") : 512,
        .sockets = guestconf_int(b->conf, "sockets"),
        .cores = guestconf_int(b->conf, "cores"),
        .pluggable = guestconf_hotplug(b->conf, "memory"),
        .hugepages = guestconf_text(b->conf, "hugepages"),
    };
    bool numa = guestconf_bool(b->conf, "numa");
    int r;

    if (m.pluggable && !numa) {
        return err_setf(err, -EINVAL, "numa: hotplug of memory needs numa to be on");
    }
    if (m.hugepages != NULL && !numa) {
        return err_setf(err, -EINVAL, "numa: huge pages need numa to be on");
    }
    r = size_option(&m, err);
    if (r == 0 && numa) {
        r = numa_nodes(&m, err);
    }
    if (r == 0 && m.pluggable) {
        r = plug_memory(&m, err);
    }
    return r;
}
