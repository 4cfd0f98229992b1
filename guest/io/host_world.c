/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/host_world_priv.h"

#include "guest/io/textfile.h"
#include "lib/conf/vmconf.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define RUN_DIR          "/var/run/qemu-server"
#define EVENT_SOCKET     "/var/run/qmeventd.sock"
#define FIRMWARE_DIR     "/usr/share/OVMF"
#define ARM_FIRMWARE_DIR "/usr/share/AAVMF"
#define NODE_UNKNOWN     "localhost" /* a tree that is no node's own */

const char *host_world_keep(HostWorld *w, char *text)
{
    g_ptr_array_add(w->strings, text);
    return text;
}

void host_world_free(HostWorld *w)
{
    if (w == NULL) {
        return;
    }
    storagecfg_free(w->storages);
    mappingcfg_free(w->pci_map);
    mappingcfg_free(w->usb_map);
    mappingcfg_free(w->dir_map);
    sectionlines_free(w->cpu_models);
    g_ptr_array_unref(w->strings);
    g_free(w->root);
    g_free(w);
}

const HostFacts *host_world_facts(const HostWorld *w)
{
    return &w->facts;
}

/* The text of a file of the cluster; an absent one is empty. */
static int
read_cluster_file(const HostWorld *w, const char *name, char **ret, size_t *ret_len, Err *err)
{
    g_autofree char *path = g_build_filename(w->root, name, NULL);
    int r = textfile_read(path, VMCONF_TEXT_MAX, ret, ret_len, err);

    if (r == -ENOENT || r == -ENOTDIR) {
        err_clear(err);
        *ret = g_strdup("");
        *ret_len = 0;
        return 0;
    }
    return r;
}

static int read_mapping(const HostWorld *w, const char *name, MappingCfg **ret, Err *err)
{
    g_autofree char *text = NULL;
    size_t len;
    int r = read_cluster_file(w, name, &text, &len, err);

    return r < 0 ? r : mappingcfg_parse(name, text, len, ret, err);
}

static int read_cluster_files(HostWorld *w, Err *err)
{
    static const char models[] = "virtual-guest/cpu-models.conf";
    g_autofree char *storages = NULL;
    g_autofree char *cpus = NULL;
    size_t len;
    int r = read_cluster_file(w, "storage.cfg", &storages, &len, err);

    if (r == 0) {
        r = storagecfg_parse(storages, len, &w->storages, err);
    }
    if (r == 0) {
        r = read_mapping(w, "mapping/pci.cfg", &w->pci_map, err);
    }
    if (r == 0) {
        r = read_mapping(w, "mapping/usb.cfg", &w->usb_map, err);
    }
    if (r == 0) {
        r = read_mapping(w, "mapping/directory.cfg", &w->dir_map, err);
    }
    if (r == 0) {
        r = read_cluster_file(w, models, &cpus, &len, err);
    }
    if (r == 0) {
        r = sectionlines_parse(cpus, len, &w->cpu_models, err);
        r = r < 0 ? err_wrapf(err, r, models) : 0;
    }
    w->facts.storages = w->storages;
    w->facts.pci_map = w->pci_map;
    w->facts.usb_map = w->usb_map;
    w->facts.dir_map = w->dir_map;
    w->facts.cpu_models = w->cpu_models;
    return r;
}

/* The node whose tree this is: the target of `local`. */
static char *find_node(const HostWorld *w)
{
    g_autofree char *link = g_build_filename(w->root, "local", NULL);
    char target[512];
    ssize_t n = readlink(link, target, sizeof target - 1);

    if (n > 0) {
        target[n] = '\0';
        return g_path_get_basename(target);
    }
    return g_strdup(NODE_UNKNOWN);
}

int host_world_new(const HostWorldOptions *options, HostWorld **ret, Err *err)
{
    g_autoptr(HostWorld) w = g_new0(HostWorld, 1);
    int r;

    w->strings = g_ptr_array_new_with_free_func(g_free);
    w->root = g_strdup(options->root != NULL ? options->root : CLUSTER_ROOT);
    w->look_only = options->look_only;
    w->facts.arch = ARCH_N;
    w->facts.run_dir =
        options->run_dir != NULL ? host_world_keep(w, g_strdup(options->run_dir)) : RUN_DIR;
    w->facts.event_socket =
        options->run_dir != NULL && strcmp(options->run_dir, RUN_DIR) != 0
            ? host_world_keep(w, g_build_filename(options->run_dir, "qmeventd.sock", NULL))
            : EVENT_SOCKET;
    w->facts.firmware_dir = FIRMWARE_DIR;
    w->facts.arm_firmware_dir = ARM_FIRMWARE_DIR;
    w->facts.script_dir = options->script_dir != NULL
                              ? host_world_keep(w, g_strdup(options->script_dir))
                              : QM_SCRIPT_DIR;
    w->facts.cpu_vendor = "";
    r = host_assume(w, options->assume, err);
    if (r == 0 && w->facts.node == NULL) {
        w->facts.node = host_world_keep(w, find_node(w));
    }
    if (r == 0) {
        r = host_probe(w, err);
    }
    if (r == 0) {
        r = read_cluster_files(w, err);
    }
    if (r < 0) {
        return r;
    }
    host_probe_lookups(w);
    *ret = g_steal_pointer(&w);
    return 0;
}
