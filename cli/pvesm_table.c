/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm_table: which verbs there are. */
#include "cli/pvesm_verbs.h"

#include "lib/conf/storagecfg_edit.h"

#include <string.h>

PvesmOptions pvesm_options;

#define ROOT_OPTION                                                                                \
    {                                                                                              \
        "root", 0, 0, G_OPTION_ARG_FILENAME, &pvesm_options.root,                                  \
            "Use this tree in the place of /etc/pve", "DIR"                                        \
    }
#define TEXT_OPTION(name, var, text, arg)                                                          \
    {                                                                                              \
        name, 0, 0, G_OPTION_ARG_STRING, &pvesm_options.var, text, arg                             \
    }
#define VMID_OPTION                                                                                \
    {                                                                                              \
        "vmid", 0, 0, G_OPTION_ARG_INT, &pvesm_options.vmid, "Only volumes of this guest", "VMID"  \
    }

static GOptionEntry status_options[] = {
    TEXT_OPTION("storage", storage, "Only this one", "STORAGE"),
    TEXT_OPTION("content", content, "Only storages for this content", "CONTENT"),
    CLI_FLAG("enabled", pvesm_options.enabled, "Only those that are not disabled"),
    CLI_OUTPUT_FORMAT_OPTION,
    ROOT_OPTION,
    {0},
};

static GOptionEntry list_options[] = {
    TEXT_OPTION("content", content, "Only this content: images, iso, backup, ...", "CONTENT"),
    VMID_OPTION,
    CLI_OUTPUT_FORMAT_OPTION,
    ROOT_OPTION,
    {0},
};

static GOptionEntry root_options[] = {ROOT_OPTION, {0}};

static GOptionEntry alloc_options[] = {
    TEXT_OPTION("format", format, "raw, qcow2 or vmdk", "FORMAT"),
    CLI_OUTPUT_FORMAT_OPTION,
    ROOT_OPTION,
    {0},
};

static GOptionEntry export_options[] = {
    CLI_FLAG("with-snapshots", pvesm_options.with_snapshots, "With the snapshots in the image"),
    TEXT_OPTION("snapshot", snapshot, "The state of this snapshot", "NAME"),
    TEXT_OPTION("base", base, "For incremental streams, which no storage here has", "NAME"),
    ROOT_OPTION,
    {0},
};

static GOptionEntry import_options[] = {
    CLI_FLAG("with-snapshots", pvesm_options.with_snapshots, "The image comes with snapshots"),
    CLI_FLAG("allow-rename", pvesm_options.allow_rename, "Take another name when it is taken"),
    TEXT_OPTION("snapshot", snapshot, "Ignored: the stream holds what was exported", "NAME"),
    TEXT_OPTION("delete-snapshot", delete_snapshot, "Remove this snapshot afterwards", "NAME"),
    TEXT_OPTION("base", base, "For incremental streams, which no storage here has", "NAME"),
    CLI_OUTPUT_FORMAT_OPTION,
    ROOT_OPTION,
    {0},
};

static GOptionEntry config_options[] = {CLI_OUTPUT_FORMAT_OPTION, ROOT_OPTION, {0}};

static const CliVerb verbs[] = {
    {"status", "", "Show the storages and how full they are", 0, 0, status_options, pvesm_status},
    {"list", "STORAGE", "List what is kept on a storage", 1, 1, list_options, pvesm_list},
    {"path", "VOLUME", "Print where a volume is", 1, 1, root_options, pvesm_path},
    {"alloc", "STORAGE VMID NAME SIZE", "Make a disk; NAME '' takes the next free one", 4, 4,
     alloc_options, pvesm_alloc},
    {"free", "VOLUME", "Delete a volume and its data", 1, 1, root_options, pvesm_free},
    {"export", "VOLUME FORMAT FILE|-",
     "Write a volume as a stream: raw+size, qcow2+size, snapshots+size", 3, 3, export_options,
     pvesm_export},
    {"import", "VOLUME FORMAT FILE|-", "Make a volume from a stream", 3, 3, import_options,
     pvesm_import},
    {"config", "STORAGE", "Show the properties of a storage", 1, 1, config_options, pvesm_config},
    {"add", "TYPE STORAGE", "Tell the cluster about a storage", 2, 2, NULL, pvesm_add},
    {"set", "STORAGE", "Change properties of a storage", 1, 1, NULL, pvesm_set},
    {"remove", "STORAGE", "Forget a storage; its data stays", 1, 1, root_options, pvesm_remove},
    {0},
};

static gboolean take_prop(const char *option, const char *value, void *data, GError **error)
{
    (void)data;
    (void)error;
    g_ptr_array_add(pvesm_options.props, g_strdup(option + strspn(option, "-")));
    g_ptr_array_add(pvesm_options.props, g_strdup(value != NULL ? value : "1"));
    return TRUE;
}

/* One option per property; `add` with those that cannot change later. Lives until the end. */
static GOptionEntry *prop_options(bool add)
{
    static GOptionEntry for_all[] = {
        TEXT_OPTION("delete", delete_list, "Properties to take away", "LIST"),
        TEXT_OPTION("digest", digest, "Refuse when the file has changed", "SHA1"),
        ROOT_OPTION,
    };
    GArray *entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));

    for (size_t i = 0; i < storage_prop_count(); i++) {
        const StorageProp *p = storage_prop_at(i);
        bool flag = p->kind == STORAGE_PROP_FLAG;
        GOptionEntry e = {p->name,
                          0,
                          0,
                          G_OPTION_ARG_CALLBACK,
                          (void *)take_prop,
                          p->text,
                          flag ? CLI_FLAG_VALUE : "VALUE"};
        if (add || !p->fixed) {
            g_array_append_val(entries, e);
        }
    }
    g_array_append_vals(entries, add ? &for_all[2] : for_all, add ? 1 : 3);
    return (GOptionEntry *)(void *)g_array_free(entries, FALSE);
}

const CliVerb *pvesm_verbs(void)
{
    static CliVerb all[G_N_ELEMENTS(verbs)];

    pvesm_options.props = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        all[i] = verbs[i];
        if (all[i].name != NULL && all[i].options == NULL) {
            all[i].options = prop_options(strcmp(all[i].name, "add") == 0);
        }
    }
    return all;
}
