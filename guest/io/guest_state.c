/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_state.h"

#include "guest/core/drive.h"
#include "guest/io/textfile.h"
#include "guest/io/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MIB           (UINT64_C(1024) * 1024)
#define STATE_EXTRA   (500 * MIB) /* devices, and what compresses badly */
#define FD_NAME       "quorate-state"
#define POLL_FIRST_MS 10u
#define POLL_LAST_MS  500u
#define STALL_MS      60000u /* without progress; a disk that hangs so long is broken */
#define CMDLINE_MAX   (4 * 1024 * 1024)
#define SAVE_SPEED    (INT64_C(1) << 40) /* no limit but the disk */

/* -------------------------------------------------------------------- place */

/* Storage of the first disk; NULL when there is none. Caller frees. */
static char *disk_storage(const GuestConf *conf)
{
    g_autoptr(GPtrArray) drives = NULL;

    if (drives_list(conf, true, &drives, NULL) < 0) {
        return NULL;
    }
    for (guint i = 0; i < drives->len; i++) {
        const Drive *d = drives->pdata[i];
        if (!d->cdrom && d->volid.kind == VOLID_VOLUME) {
            return g_strdup(d->volid.storage);
        }
    }
    return NULL;
}

int guest_state_alloc(const StorageSet *set,
                      const GuestConf *conf,
                      const char *storage,
                      const char *name,
                      char **ret_volid,
                      Err *err)
{
    uint32_t vmid = guestconf_vmid(conf);
    g_autofree char *disk = disk_storage(conf);
    g_autofree char *file = g_strdup_printf("vm-%u-state-%s.raw", vmid, name);
    const PropString *memory = guestconf_props(conf, "memory");
    uint64_t mib = memory != NULL ? (uint64_t)propstring_int(memory, "current") : 512;
    VolumeSpec spec = {
        .vmid = vmid, .name = file, .format = "raw", .size = 2 * mib * MIB + STATE_EXTRA};
    int r;

    if (storage == NULL) {
        storage = guestconf_text(conf, "vmstatestorage");
    }
    if (storage == NULL) {
        storage = disk != NULL ? disk : "local";
    }
    r = volume_alloc(set, storage, &spec, ret_volid, err);
    return r < 0 ? err_wrapf(err, r, "volume for the memory") : 0;
}

int guest_state_open(const StorageSet *set, const char *volid, Err *err)
{
    g_autofree char *path = NULL;
    int r = volume_path(set, volid, &path, err);
    int fd;

    if (r < 0) {
        return r;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
}

/* --------------------------------------------------------------------- note */

/* The word after `option` on the process' command line, or NULL. Caller frees. */
static char *command_word(pid_t pid, const char *option)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    g_autofree char *text = NULL;
    const char *previous = "";
    size_t len = 0;

    if (textfile_read(path, CMDLINE_MAX, &text, &len, NULL) < 0) {
        return NULL;
    }
    for (const char *word = text; word < text + len; word += strlen(word) + 1) {
        if (strcmp(previous, option) == 0) {
            return g_strdup(word);
        }
        previous = word;
    }
    return NULL;
}

int guest_state_note(const GuestProc *proc, QmpClient *qmp, VmSection *section, Err *err)
{
    g_autofree char *cpu = command_word(proc->pid, "-cpu");
    g_autoptr(JsonTree) answer = NULL;
    g_autofree char *machine = NULL;
    JsonTree *args = jsontree_new_object();
    int r;

    jsontree_set_text(args, "path", "/machine");
    jsontree_set_text(args, "property", "type");
    r = qmp_call(qmp, "qom-get", args, 0, &answer, err);
    if (r < 0) {
        return r;
    }
    machine = g_strdup(jsontree_text(answer)); /* "pc-i440fx-7.2-machine" */
    if (machine == NULL || !g_str_has_suffix(machine, "-machine")) {
        return err_setf(err, -EBADMSG, "QEMU does not tell its machine type");
    }
    machine[strlen(machine) - strlen("-machine")] = '\0';
    vmsection_set(section, "runningmachine", machine);
    if (cpu != NULL) {
        vmsection_set(section, "runningcpu", cpu);
    }
    return 0;
}

/* --------------------------------------------------------------------- save */

static void add_capability(JsonTree *list, const char *name, bool on)
{
    JsonTree *entry = jsontree_new_object();

    jsontree_set_text(entry, "capability", name);
    jsontree_set_bool(entry, "state", on);
    jsontree_add(list, entry);
}

/* An earlier migration may have left any of them on. */
static int set_capabilities(QmpClient *qmp, Err *err)
{
    static const char *const off[] = {"xbzrle",  "auto-converge", "postcopy-ram",
                                      "multifd", "return-path",   "pause-before-switchover"};
    JsonTree *args = jsontree_new_object();
    JsonTree *list = jsontree_new_array();

    for (size_t i = 0; i < G_N_ELEMENTS(off); i++) {
        add_capability(list, off[i], false);
    }
    jsontree_set(args, "capabilities", list);
    return qmp_call(qmp, "migrate-set-capabilities", args, 0, NULL, err);
}

static int set_parameters(QmpClient *qmp, Err *err)
{
    JsonTree *args = jsontree_new_object();

    jsontree_set_int(args, "max-bandwidth", SAVE_SPEED);
    jsontree_set_text(args, "tls-creds", "");
    return qmp_call(qmp, "migrate-set-parameters", args, 0, NULL, err);
}

/* 1 done, 0 under way, -errno. */
static int look(QmpClient *qmp, int64_t *ret_bytes, Err *err)
{
    g_autoptr(JsonTree) answer = NULL;
    const char *status;
    const char *why;
    int r = qmp_call(qmp, "query-migrate", NULL, STALL_MS, &answer, err);

    if (r < 0) {
        return r;
    }
    status = jsontree_get_text(answer, "status");
    why = jsontree_get_text(answer, "error-desc");
    *ret_bytes = jsontree_get_int(jsontree_get(answer, "ram"), "transferred", 0);
    if (g_strcmp0(status, "completed") == 0) {
        return 1;
    }
    if (status == NULL || strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0) {
        return err_setf(err, -EIO, "QEMU could not write the memory: %s",
                        why != NULL ? why : "is the storage full?");
    }
    return 0;
}

static int wait_saved(QmpClient *qmp, int64_t *ret_bytes, Err *err)
{
    unsigned pause_ms = POLL_FIRST_MS;
    gint64 moved = g_get_monotonic_time();
    int64_t before = -1;

    for (;;) {
        int r = look(qmp, ret_bytes, err);
        if (r != 0) {
            return MIN(r, 0);
        }
        if (*ret_bytes != before) {
            before = *ret_bytes;
            moved = g_get_monotonic_time();
        } else if (g_get_monotonic_time() - moved > (gint64)STALL_MS * 1000) {
            (void)!qmp_call(qmp, "migrate_cancel", NULL, 0, NULL, NULL);
            return err_setf(err, -ETIMEDOUT, "QEMU has written nothing for %u s", STALL_MS / 1000);
        }
        g_usleep(pause_ms * 1000); /* QEMU is busy writing; each look costs it little */
        pause_ms = MIN(pause_ms * 2, POLL_LAST_MS);
    }
}

static int migrate_to(QmpClient *qmp, int fd, int64_t *ret_bytes, Err *err)
{
    JsonTree *args;
    int r = set_capabilities(qmp, err);

    if (r == 0) {
        r = set_parameters(qmp, err);
    }
    if (r == 0) {
        r = qmp_give_fd(qmp, FD_NAME, fd, err);
    }
    if (r < 0) {
        return r;
    }
    args = jsontree_new_object();
    jsontree_set_text(args, "uri", "fd:" FD_NAME);
    r = qmp_call(qmp, "migrate", args, 0, NULL, err);
    return r < 0 ? r : wait_saved(qmp, ret_bytes, err);
}

int guest_state_save(
    const GuestHost *h, const StorageSet *set, QmpClient *qmp, const char *volid, Err *err)
{
    gint64 begin = g_get_monotonic_time();
    g_autofree char *path = NULL;
    int64_t bytes = 0;
    int r = volume_path(set, volid, &path, err);
    int fd;

    if (r < 0) {
        return r;
    }
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    r = migrate_to(qmp, fd, &bytes, err);
    if (r == 0 && fsync(fd) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    (void)close(fd); /* synced */
    if (r < 0) {
        return err_wrapf(err, r, "saving the memory to '%s'", volid);
    }
    guest_say(h, GUEST_SAY_PROGRESS, "saved %.1f MiB of memory to '%s' in %.1f s",
              (double)bytes / (double)MIB, volid,
              (double)(g_get_monotonic_time() - begin) / G_USEC_PER_SEC);
    return 0;
}
