/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_recover.h"

#include "guest/io/guest_disks.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_mirror.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_snapshot.h"
#include "guest/io/guest_start.h"
#include "guest/io/guest_suspend.h"
#include "guest/io/guest_work.h"
#include "guest/io/volume.h"

#include <errno.h>
#include <string.h>

#define AT_ONCE_MS 1u /* who does not get a lock now leaves it to the next */
#define STOP_MS    60000u
#define LOOK_US    20000

typedef struct Recover {
    const GuestHost *host;
    uint32_t vmid;
    GuestWork *work;
    QmpClient *qmp; /* NULL: the guest does not run */
} Recover;

/* ------------------------------------------------------------------ looking */

/* The word of the configuration when it is one of ours. Caller frees. *ret_foreign: somebody else,
 * like a migration, has the guest, and would be in our way or we in his. */
static char *suspect_word(const GuestHost *h, uint32_t vmid, bool *ret_foreign)
{
    static const char *const words[] = {"snapshot", "snapshot-delete", "suspending", "suspended",
                                        NULL};
    g_autoptr(VmConf) conf = NULL;
    const char *word;

    *ret_foreign = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, NULL) < 0;
    if (*ret_foreign) {
        return NULL;
    }
    word = vmsection_get(vmconf_main(conf), "lock");
    *ret_foreign = word != NULL && !g_strv_contains(words, word);
    return word != NULL && !*ret_foreign ? g_strdup(word) : NULL;
}

/* Rest of a found line that begins with `word`, or NULL. */
static const char *rest_of(const char *line, const char *word)
{
    size_t len = strlen(word);

    return strncmp(line, word, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static bool found_word(const Recover *v, const char *word)
{
    const GPtrArray *found = guest_work_found(v->work);

    for (guint i = 0; i < found->len; i++) {
        if (rest_of(found->pdata[i], word) != NULL) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ volumes */

/* "scsi0 tank:100/vm-100-disk-1.raw": the file says with which of the two the guest goes on. */
static int end_copy(const Recover *v, const VmConf *conf, const char *line, Err *err)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    const char *value;
    bool takes;

    if (v->qmp == NULL || g_strv_length(words) != 2) {
        return 0;
    }
    value = vmsection_get(vmconf_main(conf), words[0]);
    takes = value != NULL && g_str_has_prefix(value, words[1]) &&
            (value[strlen(words[1])] == ',' || value[strlen(words[1])] == '\0');
    return guest_mirror_recover(v->qmp, words[0], takes, err);
}

static int end_copies(const Recover *v, const VmConf *conf, Err *err)
{
    const GPtrArray *found = guest_work_found(v->work);
    int r = 0;

    for (guint i = 0; r == 0 && i < found->len; i++) {
        const char *line = rest_of(found->pdata[i], GUEST_WORK_COPY);
        r = line != NULL ? end_copy(v, conf, line, err) : 0;
    }
    return r;
}

static int free_volumes(const Recover *v, const StorageSet *set, const VmConf *conf, Err *err)
{
    const GPtrArray *found = guest_work_found(v->work);
    g_autoptr(GPtrArray) named = guest_volumes_of(conf);
    int r = 0;

    for (guint i = 0; r == 0 && i < found->len; i++) {
        const char *volid = rest_of(found->pdata[i], GUEST_WORK_VOLUME);

        if (volid == NULL || volume_is_among(set, named, volid)) {
            continue;
        }
        r = volume_free_of(set, v->vmid, volid, err);
        if (r == 0) {
            guest_say(v->host, GUEST_SAY_PROGRESS,
                      "'%s' goes, which a command that was killed has left", volid);
        }
    }
    return r;
}

static int recover_volumes(const Recover *v, Err *err)
{
    GuestEditOptions options = {.skiplock = true, .timeout_ms = AT_ONCE_MS};
    g_autoptr(StorageSet) set = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    int r = guest_edit_begin(v->host->tree, v->vmid, &options, &edit, err);

    if (r == 0) {
        r = storage_set_open(v->host->tree, &set, err);
    }
    if (r == 0) {
        r = end_copies(v, guest_edit_conf(edit), err);
    }
    return r == 0 ? free_volumes(v, set, guest_edit_conf(edit), err) : r;
}

/* ------------------------------------------------------------------- memory */

/* 1 while QEMU writes the memory for whom nobody waits. */
static int is_saving(QmpClient *qmp, Err *err)
{
    static const char *const busy[] = {"setup", "active", "device", "cancelling", NULL};
    g_autoptr(JsonTree) answer = NULL;
    const char *status;
    int r = qmp_call(qmp, "query-migrate", NULL, STOP_MS, &answer, err);

    status = r == 0 ? jsontree_get_text(answer, "status") : NULL;
    return r < 0 ? r : status != NULL && g_strv_contains(busy, status);
}

static int stop_saving(QmpClient *qmp, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)STOP_MS * 1000;
    int r = is_saving(qmp, err);

    if (r == 1) {
        r = qmp_call(qmp, "migrate_cancel", NULL, 0, NULL, err);
        r = r == 0 ? 1 : r;
    }
    while (r == 1 && g_get_monotonic_time() < deadline) {
        g_usleep(LOOK_US);
        r = is_saving(qmp, err);
    }
    return r == 1 ? err_setf(err, -ETIMEDOUT, "QEMU does not stop writing its memory") : r;
}

/* The guest stood still for its memory, and would for ever. */
static int let_go_on(const Recover *v, Err *err)
{
    int r;

    if (v->qmp == NULL) {
        return 0;
    }
    r = stop_saving(v->qmp, err);
    if (r == 0 && found_word(v, GUEST_WORK_RAN)) {
        r = qmp_call(v->qmp, "cont", NULL, STOP_MS, NULL, err);
    }
    return r;
}

/* -------------------------------------------------------------------- front */

static int recover_word(Recover *v, const char *word, Err *err)
{
    int r;

    if (strcmp(word, GUEST_LOCK_SUSPENDED) == 0) {
        return v->qmp != NULL ? guest_sleep_settle(v->host, v->vmid, v->qmp, err) : 0;
    }
    guest_say(v->host, GUEST_SAY_PROGRESS,
              "taking back what a command that was killed has left (%s)", word);
    r = let_go_on(v, err);
    g_clear_pointer(&v->qmp, qmp_client_free); /* QEMU has time for one at once */
    if (r < 0) {
        return r;
    }
    return strcmp(word, "suspending") == 0
               ? guest_sleep_take_back(v->host, v->vmid, err)
               : guest_snapshot_take_back(v->host, v->vmid, v->work, word, err);
}

static int open_qemu(Recover *v, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = guest_proc_find(v->host->run_dir, v->vmid, &proc, err);

    return r == 1 ? guest_qmp_open(v->host->run_dir, v->vmid, &v->qmp, err) : r;
}

static int recover(Recover *v, Err *err)
{
    bool foreign = false;
    g_autofree char *word = suspect_word(v->host, v->vmid, &foreign); /* now nobody is at work */
    int r = 0;

    if (foreign) {
        return 0;
    }
    if (word == NULL && guest_work_found(v->work)->len == 0) {
        return 0;
    }
    if (found_word(v, GUEST_WORK_START)) {
        r = guest_start_take_back(v->host, v->vmid, err);
    }
    if (r == 0) {
        r = open_qemu(v, err);
    }
    if (r == 0 && guest_work_found(v->work)->len > 0) {
        r = recover_volumes(v, err);
    }
    if (r == 0 && word != NULL) {
        r = recover_word(v, word, err);
    } else if (r == 0 && found_word(v, GUEST_WORK_RAN)) {
        r = let_go_on(v, err); /* it stood still for a clone */
    }
    if (r == 0) {
        guest_work_forget(v->work);
    }
    return r;
}

void guest_recover(const GuestHost *h, uint32_t vmid)
{
    Recover v = {.host = h, .vmid = vmid};
    bool foreign = false;
    g_autofree char *word = suspect_word(h, vmid, &foreign);
    Err err = ERR_INIT;

    if (foreign || (word == NULL && !guest_work_is_noted(h->tree, vmid)) ||
        guest_tree_check_here(h->tree, vmid, NULL) < 0 ||
        guest_tree_check_quorum(h->tree, NULL) < 0 ||
        guest_work_begin(h->tree, vmid, AT_ONCE_MS, &v.work, NULL) < 0) {
        return;
    }
    if (recover(&v, &err) < 0 && err.code != -EBUSY) {
        guest_say(h, GUEST_SAY_WARNING, "what a command that was killed has left of guest %u: %s",
                  vmid, err_text(&err));
    }
    qmp_client_free(v.qmp);
    guest_work_end(v.work);
}
