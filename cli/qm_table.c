/* SPDX-License-Identifier: Apache-2.0 */
/* qm_table: the verbs that read and change configurations and volumes. */
#include "cli/qm_store.h"
#include "cli/qm_verbs.h"

QmOptions qm_options;

#define TEXT_OPTION(name, var, text, arg)                                                          \
    {                                                                                              \
        name, 0, 0, G_OPTION_ARG_STRING, &(var), text, arg                                         \
    }
#define BWLIMIT_OPTION                                                                             \
    {                                                                                              \
        "bwlimit", 0, 0, G_OPTION_ARG_INT, &qm_store.bwlimit, "Limit of copies", "KIB/S"           \
    }
#define SKIPLOCK_OPTION                                                                            \
    CLI_FLAG("skiplock", qm_store.skiplock, "Do not look at the guest's lock; root only")
#define DIGEST_OPTION                                                                              \
    TEXT_OPTION("digest", qm_store.digest, "Refuse when the configuration has changed", "SHA1")

static GOptionEntry showcmd_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {"config", 0, 0, G_OPTION_ARG_FILENAME, &qm_options.config,
     "Use this file as the guest's configuration", "FILE"},
    {"assume", 0, 0, G_OPTION_ARG_STRING, &qm_options.assume,
     "Facts of another host: qemu=VERSION,arch=ARCH,cpu-vendor=VENDOR,capabilities=FILE,"
     "pci=any|host,node=NAME,phys-bits=N",
     "FACTS"},
    TEXT_OPTION("snapshot", qm_options.snapshot, "Use the configuration of this snapshot", "NAME"),
    {"pretty", 0, 0, G_OPTION_ARG_NONE, &qm_options.pretty, "One option a line", NULL},
    {0},
};

static GOptionEntry create_more[] = {
    TEXT_OPTION("storage", qm_store.storage, "For disks given as a size alone", "STORAGE"),
    CLI_FLAG("start", qm_store.start, "Start it afterwards"),
    BWLIMIT_OPTION,
    TEXT_OPTION("archive", qm_store.archive, "Refused: backups cannot be restored yet", "FILE"),
    TEXT_OPTION("pool", qm_store.pool, "Refused: there are no pools yet", "POOL"),
    CLI_FLAG("force", qm_store.force, "Goes with --archive"),
    CLI_FLAG("unique", qm_store.unique, "Goes with --archive"),
    CLI_FLAG("live-restore", qm_store.live_restore, "Goes with --archive"),
    CLI_FLAG("ha-managed", qm_store.ha_managed, "Refused: use ha-manager add"),
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry set_more[] = {
    TEXT_OPTION("delete", qm_store.delete_list, "Options to take away", "LIST"),
    TEXT_OPTION("revert", qm_store.revert_list, "Options whose pending change is dropped", "LIST"),
    CLI_FLAG("force", qm_store.force, "With --delete: free the volumes of disks at once"),
    DIGEST_OPTION,
    SKIPLOCK_OPTION,
    BWLIMIT_OPTION,
    {"background_delay", 0, 0, G_OPTION_ARG_INT, &qm_store.background_delay,
     "Accepted; the verb works in the foreground", "SECONDS"},
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry config_options[] = {
    CLI_FLAG("current", qm_store.current, "As it is now, without pending changes"),
    TEXT_OPTION("snapshot", qm_options.snapshot, "As it was in this snapshot", "NAME"),
    CLI_OUTPUT_FORMAT_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry pending_options[] = {
    CLI_FLAG("why", qm_store.why, "With the reason why each change waits"),
    CLI_OUTPUT_FORMAT_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry list_options[] = {
    CLI_FLAG("full", qm_store.full, "With lock and tags"),
    CLI_OUTPUT_FORMAT_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry destroy_options[] = {
    CLI_FLAG("purge", qm_store.purge, "Remove it from HA, backup and replication jobs as well"),
    CLI_FLAG("destroy-unreferenced-disks",
             qm_store.unreferenced,
             "Free volumes with its number that it does not name as well"),
    SKIPLOCK_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry clone_options[] = {
    TEXT_OPTION("name", qm_store.name, "Name of the new guest", "NAME"),
    TEXT_OPTION("description", qm_store.description, "Its description", "TEXT"),
    CLI_FLAG("full", qm_store.full, "Copy all data; by default, clones of templates are linked"),
    TEXT_OPTION("snapname", qm_store.snapname, "As the guest was in this snapshot", "NAME"),
    TEXT_OPTION("storage", qm_store.storage, "Where copies go", "STORAGE"),
    TEXT_OPTION("format", qm_store.format, "Of copies: raw, qcow2, vmdk", "FORMAT"),
    TEXT_OPTION("target", qm_store.target, "Node that gets it; needs shared storage", "NODE"),
    TEXT_OPTION("pool", qm_store.pool, "Refused: there are no pools yet", "POOL"),
    BWLIMIT_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry template_options[] = {
    TEXT_OPTION("disk", qm_store.disk, "Only this disk", "DISK"),
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry resize_options[] = {
    DIGEST_OPTION, SKIPLOCK_OPTION, QM_ROOT_OPTION, QM_RUN_DIR_OPTION, {0},
};

static GOptionEntry move_options[] = {
    TEXT_OPTION("storage", qm_store.storage, "Where to", "STORAGE"),
    TEXT_OPTION("format", qm_store.format, "raw, qcow2, vmdk; by default as it is", "FORMAT"),
    CLI_FLAG("delete", qm_store.delete_source, "Free the old volume; else it stays as unused"),
    {"target-vmid", 0, 0, G_OPTION_ARG_INT, &qm_store.target_vmid,
     "Give it to this guest, on the same storage", "VMID"},
    TEXT_OPTION("target-disk", qm_store.target_disk, "With --target-vmid: as which disk", "DISK"),
    BWLIMIT_OPTION,
    DIGEST_OPTION,
    SKIPLOCK_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry import_options[] = {
    TEXT_OPTION("format", qm_store.format, "raw, qcow2, vmdk; by default as it is", "FORMAT"),
    TEXT_OPTION("target-disk", qm_store.target_disk, "As which disk; by default unused", "DISK"),
    BWLIMIT_OPTION,
    SKIPLOCK_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry ovf_options_of_verb[] = {
    TEXT_OPTION("format", qm_store.format, "raw, qcow2, vmdk; by default as they are", "FORMAT"),
    CLI_FLAG("dryrun", qm_store.dryrun, "Only tell what would be made"),
    BWLIMIT_OPTION,
    CLI_OUTPUT_FORMAT_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry rescan_options[] = {
    {"vmid", 0, 0, G_OPTION_ARG_INT, &qm_store.vmid, "Only this guest", "VMID"},
    CLI_FLAG("dryrun", qm_store.dryrun, "Only tell"),
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry unlink_options[] = {
    TEXT_OPTION("idlist", qm_store.idlist, "Disks to take away: scsi1,unused0", "LIST"),
    CLI_FLAG("force", qm_store.force, "Free their volumes at once"),
    SKIPLOCK_OPTION,
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

static GOptionEntry root_options[] = {QM_ROOT_OPTION, QM_RUN_DIR_OPTION, {0}};

static const CliVerb verbs[] = {
    {"list", "", "List the guests of this node", 0, 0, list_options, qm_list},
    {"create", "VMID", "Make a guest", 1, 1, create_more, qm_create},
    {"set", "VMID", "Change a guest", 1, 1, set_more, qm_set},
    {"config", "VMID", "Show a guest's configuration", 1, 1, config_options, qm_config},
    {"pending", "VMID", "Show it with the changes that wait for the next start", 1, 1,
     pending_options, qm_pending},
    {"destroy", "VMID", "Remove a guest and its disks", 1, 1, destroy_options, qm_destroy},
    {"clone", "VMID NEWID", "Make a guest like this one", 2, 2, clone_options, qm_clone},
    {"template", "VMID", "Make a template, of which linked clones can be made", 1, 1,
     template_options, qm_template},
    {"disk resize", "VMID DISK SIZE", "Make a disk larger: 32G, or +5G", 3, 3, resize_options,
     qm_disk_resize},
    {"resize", "VMID DISK SIZE", "Another name of disk resize", 3, 3, resize_options,
     qm_disk_resize},
    {"disk move", "VMID DISK [STORAGE]", "Move a disk to a storage or guest", 2, 3, move_options,
     qm_disk_move},
    {"move-disk", "VMID DISK [STORAGE]", "Another name of disk move", 2, 3, move_options,
     qm_disk_move},
    {"move_disk", "VMID DISK [STORAGE]", "Another name of disk move", 2, 3, move_options,
     qm_disk_move},
    {"disk import", "VMID SOURCE STORAGE", "Copy an image in as a disk", 3, 3, import_options,
     qm_disk_import},
    {"importdisk", "VMID SOURCE STORAGE", "Another name of disk import", 3, 3, import_options,
     qm_disk_import},
    {"importovf", "VMID MANIFEST STORAGE", "Make a guest of an OVF export", 3, 3,
     ovf_options_of_verb, qm_importovf},
    {"disk rescan", "", "Look for sizes and volumes that changed", 0, 0, rescan_options,
     qm_disk_rescan},
    {"rescan", "", "Another name of disk rescan", 0, 0, rescan_options, qm_disk_rescan},
    {"disk unlink", "VMID", "Take disks away", 1, 1, unlink_options, qm_disk_unlink},
    {"unlink", "VMID", "Another name of disk unlink", 1, 1, unlink_options, qm_disk_unlink},
    {"cloudinit dump", "VMID user|network|meta", "Print what the cloud-init drive will hold", 2, 2,
     root_options, qm_cloudinit_dump},
    {"cloudinit pending", "VMID", "Show what differs from what the drive was made from", 1, 1,
     root_options, qm_cloudinit_pending},
    {"cloudinit update", "VMID", "Make the drive anew now", 1, 1, root_options,
     qm_cloudinit_update},
    {"unlock", "VMID", "Take away the lock that an interrupted operation left", 1, 1, root_options,
     qm_unlock},
    {"nextid", "", "Print the next free VMID", 0, 0, root_options, qm_nextid},
    {"showcmd", "VMID", "Print the QEMU command of a guest; nothing is started or changed", 1, 1,
     showcmd_options, qm_showcmd},
    {0},
};

/* Verbs that take all options of VMID.conf have them beside their own. */
const CliVerb *qm_store_verbs(void)
{
    static CliVerb all[G_N_ELEMENTS(verbs)];

    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        all[i] = verbs[i];
        if (all[i].options == create_more || all[i].options == set_more) {
            all[i].options = qm_config_options(all[i].options);
        }
    }
    return all;
}
