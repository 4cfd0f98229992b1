/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_clone.h"

#include "guest/core/confschema.h"
#include "guest/io/guest_disks.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_mirror.h"
#include "guest/io/volume.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_BYTES 63 /* of one label of a host name */

/* What one clone is made of. */
typedef struct Job {
    GuestStore *store;
    const GuestClone *how;
    uint32_t vmid;
    bool full;
    bool in_use;         /* the source runs and a snapshot of it is read */
    bool running;        /* the source runs and its QEMU makes the copies */
    VmConf *conf;        /* of the new guest */
    GuestMirror *mirror; /* with `running` */
} Job;

static bool is_template(const VmSection *main)
{
    const char *value = vmsection_get(main, "template");

    return value != NULL && propstring_parse_bool(value) == 1;
}

/* ------------------------------------------------------------------- disks */

static char *disk_storage(const Job *job, const GuestDisk *d)
{
    const char *colon = strchr(d->volid, ':');

    return job->how->storage != NULL ? g_strdup(job->how->storage)
                                     : g_strndup(d->volid, (gsize)(colon - d->volid));
}

/* Cloud-init data is made anew for its own guest. */
static int new_cloudinit(const Job *job, const GuestDisk *d, char **ret_value, Err *err)
{
    g_autofree char *storage = disk_storage(job, d);
    g_autofree char *wish = g_strdup_printf("%s:cloudinit", storage);

    return guest_disk_resolve(job->store, job->how->newid, vmconf_main(job->conf), d->key, wish,
                              ret_value, err);
}

static int new_copy(const Job *job, const GuestDisk *d, char **ret, Err *err)
{
    g_autofree char *storage = disk_storage(job, d);
    VolumeCopy copy = {.from = d->volid,
                       .snapshot = job->how->snapname,
                       .vmid = job->how->newid,
                       .format = job->how->format,
                       .in_use = job->in_use};

    if (strcmp(d->key, "tpmstate0") == 0) {
        copy.format = "raw";
    }
    copy.storage = storage;
    guest_say(job->store->host, GUEST_SAY_PROGRESS, "create full clone of drive %s (%s)", d->key,
              d->volid);
    if (job->running) {
        return guest_mirror_add(job->mirror, vmconf_main(job->conf), d, &copy, ret, err);
    }
    return volume_copy(job->store->set, &copy, ret, err);
}

static int new_disk(const Job *job, const GuestDisk *d, char **ret_value, Err *err)
{
    g_autofree char *volid = NULL;
    VolumeInfo info = {0};
    int r;

    if (d->cloudinit) {
        return new_cloudinit(job, d, ret_value, err);
    }
    if (d->cdrom) {
        *ret_value = propstring_format(d->props);
        return 0;
    }
    if (job->full || strcmp(d->key, "tpmstate0") == 0) { /* the emulator takes raw only */
        r = new_copy(job, d, &volid, err);
    } else {
        guest_say(job->store->host, GUEST_SAY_PROGRESS, "create linked clone of drive %s (%s)",
                  d->key, d->volid);
        r = volume_clone(job->store->set, d->volid, job->how->newid, &volid, err);
    }
    if (r < 0) {
        return job->running ? r : err_wrapf(err, r, "%s", d->key); /* says it itself */
    }
    if (!job->running) {
        guest_store_add(job->store, volid);
    }
    r = volume_info(job->store->set, volid, &info, err);
    if (r == 0) {
        *ret_value = guest_disk_with(d, volid, info.size);
    }
    return r;
}

static bool has_agent(const VmSection *main)
{
    const ConfOption *option = confschema_find("agent", NULL);
    const char *value = vmsection_get(main, "agent");
    g_autoptr(PropString) p = NULL;

    return value != NULL && propstring_parse(option->props, value, NULL, &p, NULL) == 0 &&
           propstring_bool(p, "enabled");
}

static int new_disks(Job *job, Err *err)
{
    VmSection *main = vmconf_main(job->conf);
    g_autoptr(GPtrArray) disks = NULL;
    int r = guest_disks_of(main, false, &disks, err);

    if (r == 0 && job->running) {
        r = guest_mirror_open(job->store, job->vmid, &job->mirror, err);
    }
    for (guint i = 0; r == 0 && i < disks->len; i++) {
        const GuestDisk *d = disks->pdata[i];
        g_autofree char *value = NULL;
        r = new_disk(job, d, &value, err);
        if (r == 0) {
            vmsection_set(main, d->key, value);
        }
    }
    if (r == 0 && job->running) {
        r = guest_mirror_wait(job->mirror, err);
    }
    if (r == 0 && job->running) {
        r = guest_mirror_part(job->mirror, has_agent(main), err);
    }
    g_clear_pointer(&job->mirror, guest_mirror_close); /* before volumes are taken back */
    return r;
}

/* ------------------------------------------------------------------ checks */

/* Another node reaches only what is shared. */
static int check_target(const Job *job, const VmSection *from, Err *err)
{
    const GuestTree *tree = job->store->host->tree;
    g_autofree char *dir = NULL;
    g_autoptr(GPtrArray) disks = NULL;
    struct stat st;
    int r;

    if (job->how->target == NULL || strcmp(job->how->target, tree->node) == 0) {
        return 0;
    }
    dir = g_build_filename(tree->root, "nodes", job->how->target, "qemu-server", NULL);
    if (strchr(job->how->target, '/') != NULL || stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return err_setf(err, -ENOENT, "there is no node '%.64s'", job->how->target);
    }
    r = guest_disks_of(from, false, &disks, err);
    for (guint i = 0; r == 0 && i < disks->len; i++) {
        const GuestDisk *d = disks->pdata[i];
        g_autofree char *id = disk_storage(job, d);
        const Storage *s = NULL;
        r = storage_set_use(job->store->set, id, &s, err);
        if (r == 0 && (!storage_is_shared(s) || !storage_on_node(s, job->how->target))) {
            r = err_setf(err, -EINVAL, "%s: storage '%s' cannot be reached from node '%s'", d->key,
                         id, job->how->target);
        }
    }
    return r;
}

static int check_format(const GuestClone *how, Err *err)
{
    if (how->name != NULL && confschema_find("name", NULL) != NULL) {
        g_autofree char *stored = NULL;
        int r = confschema_check("name", how->name, NULL, &stored, err);
        if (r < 0) {
            return r;
        }
    }
    if (!how->full && !how->linked) {
        return 0;
    }
    return how->linked && (how->storage != NULL || how->format != NULL || how->snapname != NULL)
               ? err_setf(err, -EINVAL,
                          "--storage, --format and --snapname go with full clones (--full)")
               : 0;
}

/* Fills in what kind of clone it is. */
static int plan(Job *job, const VmConf *source, const VmSection **ret_from, Err *err)
{
    const GuestClone *how = job->how;
    bool template = is_template(vmconf_main(source));
    int r = check_format(how, err);

    if (r < 0) {
        return r;
    }
    *ret_from = how->snapname != NULL ? vmconf_section(source, VM_SECTION_SNAPSHOT, how->snapname)
                                      : vmconf_main(source);
    if (*ret_from == NULL) {
        return err_setf(err, -ENOENT, "guest %u has no snapshot '%.40s'", job->vmid, how->snapname);
    }
    if (how->linked && !template) {
        return err_setf(err, -EINVAL,
                        "guest %u is no template: linked clones are made of templates only "
                        "(--full 1 copies)",
                        job->vmid);
    }
    job->full = how->full || !template || how->storage != NULL || how->format != NULL ||
                how->snapname != NULL;
    r = guest_store_running(job->store, job->vmid, err);
    job->in_use = r > 0 && how->snapname != NULL;
    job->running = r > 0 && how->snapname == NULL;
    if (job->running && vmsection_get(*ret_from, "tpmstate0") != NULL) {
        return err_setf(err, -EBUSY,
                        "guest %u runs, and the emulator of its TPM has tpmstate0 open: stop it, "
                        "or clone one of its snapshots (--snapname)",
                        job->vmid);
    }
    return r < 0 ? r : check_target(job, *ret_from, err);
}

/* -------------------------------------------------------------------- clone */

static char *default_name(const VmSection *from, uint32_t vmid)
{
    const char *old = vmsection_get(from, "name");
    char *name = old != NULL ? g_strdup_printf("Copy-of-VM-%s", old)
                             : g_strdup_printf("Copy-of-VM-%u", vmid);

    if (strlen(name) > NAME_MAX_BYTES) {
        name[NAME_MAX_BYTES] = '\0';
        g_strdelimit(name + NAME_MAX_BYTES - 1, "-.", 'x'); /* a label must not end so */
    }
    return name;
}

static int draft(Job *job, const VmSection *from, Err *err)
{
    FreshSource fresh = guest_store_fresh(job->store, true);
    g_autofree char *name =
        job->how->name != NULL ? g_strdup(job->how->name) : default_name(from, job->vmid);
    VmSection *main;
    int r;

    job->conf = vmconf_new();
    main = vmconf_main(job->conf);
    vmsection_assign(main, from);
    r = fresh_clone(&fresh, main, err);
    if (r < 0) {
        return r;
    }
    vmsection_set(main, "name", name);
    if (job->how->description != NULL) {
        vmsection_set_description(main, job->how->description);
    }
    return guest_disks_check(main, job->how->newid, err);
}

/* The file goes to the node that will run the guest. */
static int hand_over(const Job *job, Err *err)
{
    const GuestTree *tree = job->store->host->tree;
    g_autofree char *from = guest_tree_path(tree, NULL, job->how->newid);
    g_autofree char *to = guest_tree_path(tree, job->how->target, job->how->newid);

    if (job->how->target == NULL || strcmp(from, to) == 0) {
        return 0;
    }
    return rename(from, to) < 0 ? err_setf(err, -errno, "%s: %s", to, g_strerror(errno)) : 0;
}

static int finish(Job *job, GuestEdit *edit, Err *err)
{
    int r = new_disks(job, err);

    if (r == 0) {
        guest_edit_replace(edit, g_steal_pointer(&job->conf));
        r = guest_edit_commit(edit, err);
    }
    return r == 0 ? hand_over(job, err) : r;
}

static int clone_now(Job *job, const VmSection *from, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    int r = draft(job, from, err);

    if (r == 0) {
        r = guest_edit_create(job->store->host->tree, job->how->newid, "clone", &edit, err);
    }
    if (r < 0) {
        return r;
    }
    r = finish(job, edit, err);
    if (r == 0) {
        guest_store_keep(job->store);
        return 0;
    }
    guest_store_undo(job->store);
    if (guest_edit_remove(edit, NULL) < 0) {
        guest_say(job->store->host, GUEST_SAY_WARNING,
                  "the configuration of guest %u stays: remove it with 'qm destroy %u --skiplock'",
                  job->how->newid, job->how->newid);
    }
    return r;
}

int guest_clone(GuestStore *s, uint32_t vmid, const GuestClone *how, Err *err)
{
    Job job = {.store = s, .how = how, .vmid = vmid};
    g_autoptr(GuestEdit) source = NULL; /* nobody changes or starts it meanwhile */
    const VmSection *from = NULL;
    int r;

    if (vmid == how->newid) {
        return err_setf(err, -EINVAL, "a guest cannot be cloned onto itself");
    }
    r = guest_edit_begin(s->host->tree, vmid, NULL, &source, err);
    if (r == 0) {
        guest_store_works_on(s, vmid);
        r = plan(&job, guest_edit_conf(source), &from, err);
    }
    if (r == 0) {
        r = clone_now(&job, from, err);
    }
    vmconf_free(job.conf);
    return r;
}

/* ---------------------------------------------------------------- template */

static int check_template(GuestStore *s, uint32_t vmid, const VmConf *conf, Err *err)
{
    int r = guest_store_check_off(s, vmid, "cannot become a template", err);

    for (guint i = 0; r == 0 && i < conf->sections->len; i++) {
        const VmSection *section = conf->sections->pdata[i];
        if (section->kind == VM_SECTION_SNAPSHOT) {
            r = err_setf(err, -EBUSY, "guest %u has snapshots ('%s'): remove them first", vmid,
                         section->name);
        }
    }
    return r;
}

/* Each disk is written down at once, so that an end in the middle leaves a whole guest. */
static int make_base(GuestStore *s, GuestEdit *edit, const GuestDisk *d, Err *err)
{
    VmSection *main = vmconf_main(guest_edit_conf(edit));
    g_auto(VolumeRef) ref = {0};
    g_autofree char *volid = NULL;
    g_autofree char *value = NULL;
    VolumeInfo info = {0};
    int r = volume_ref(s->set, d->volid, &ref, err);

    if (r < 0 || ref.name.is_base) {
        return r;
    }
    r = volume_make_base(s->set, d->volid, &volid, err);
    if (r == 0) {
        r = volume_info(s->set, volid, &info, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", d->key);
    }
    value = guest_disk_with(d, volid, info.size);
    vmsection_set(main, d->key, value);
    return guest_edit_commit(edit, err);
}

int guest_template(GuestStore *s, uint32_t vmid, const char *disk, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(GPtrArray) disks = NULL;
    bool found = false;
    int r = guest_edit_begin(s->host->tree, vmid, NULL, &edit, err);

    if (r == 0) {
        r = check_template(s, vmid, guest_edit_conf(edit), err);
    }
    if (r == 0) {
        r = guest_disks_of(vmconf_main(guest_edit_conf(edit)), false, &disks, err);
    }
    for (guint i = 0; r == 0 && i < disks->len; i++) {
        const GuestDisk *d = disks->pdata[i];
        if (!d->cdrom && (disk == NULL || strcmp(disk, d->key) == 0)) {
            found = true;
            r = make_base(s, edit, d, err);
        }
    }
    if (r == 0 && disk != NULL && !found) {
        r = err_setf(err, -ENOENT, "guest %u has no disk '%.40s'", vmid, disk);
    }
    if (r == 0) {
        vmsection_set(vmconf_main(guest_edit_conf(edit)), "template", "1");
        r = guest_edit_commit(edit, err);
    }
    return r;
}
