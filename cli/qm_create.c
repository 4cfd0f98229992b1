/* SPDX-License-Identifier: Apache-2.0 */
/* qm_create: a new guest, and changes of one: create, set. */
#include "cli/qm_run.h"
#include "cli/qm_store.h"
#include "cli/qm_verbs.h"

#include "guest/core/volid.h"
#include "guest/io/guest_make.h"
#include "guest/io/textfile.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEYS_MAX 65536 /* what the option takes, before encoding */

/* --cdrom is another way to say --ide2. */
static int take_cdrom(GHashTable *options, Err *err)
{
    const char *value = g_hash_table_lookup(options, "cdrom");

    if (value == NULL) {
        return 0;
    }
    if (g_hash_table_contains(options, "ide2")) {
        return err_setf(err, -EINVAL, "--cdrom is ide2: it cannot go with --ide2");
    }
    g_hash_table_insert(options, g_strdup("ide2"),
                        propstring_has_part(value, "media=")
                            ? g_strdup(value)
                            : g_strconcat(value, ",media=cdrom", NULL));
    (void)g_hash_table_remove(options, "cdrom"); /* it is there */
    return 0;
}

/* --sshkeys names a file of public keys. */
static int take_sshkeys(GHashTable *options, Err *err)
{
    const char *path = g_hash_table_lookup(options, "sshkeys");
    g_autofree char *text = NULL;
    size_t len;
    int r;

    if (path == NULL) {
        return 0;
    }
    r = textfile_read(path, KEYS_MAX, &text, &len, err);
    if (r < 0) {
        return err_wrapf(err, r, "--sshkeys");
    }
    g_strchomp(text);
    g_hash_table_insert(options, g_strdup("sshkeys"), g_uri_escape_string(text, NULL, FALSE));
    return 0;
}

static int check_create(Err *err)
{
    if (qm_store.archive != NULL) {
        return err_setf(err, -ENOTSUP,
                        "--archive: restoring backups is not part of this version; --scsi0 "
                        "STORAGE:0,import-from=IMAGE takes disk images in");
    }
    if (qm_store.force || qm_store.unique || qm_store.live_restore) {
        return err_setf(err, -EINVAL, "--force, --unique and --live-restore go with --archive");
    }
    if (qm_store.pool != NULL) {
        return err_setf(err, -ENOTSUP, "--pool: pools are not part of this version");
    }
    if (qm_store.ha_managed) {
        return err_setf(err, -ENOTSUP,
                        "--ha-managed: use 'ha-manager add vm:VMID' when the guest is there");
    }
    return 0;
}

/* `STORAGE:` may be left out of wishes when --storage names one: `--scsi0 32`. */
static void take_storage(GHashTable *options)
{
    GHashTableIter iter;
    void *key;
    void *value;

    if (qm_store.storage == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *text = value;
        size_t digits = strspn(text, "0123456789.");
        bool disk = g_str_has_prefix(key, "scsi") || g_str_has_prefix(key, "virtio") ||
                    g_str_has_prefix(key, "sata") || g_str_has_prefix(key, "ide") ||
                    g_str_has_prefix(key, "efidisk") || g_str_has_prefix(key, "tpmstate");
        if (disk && digits > 0 && (text[digits] == '\0' || text[digits] == ',')) {
            g_hash_table_iter_replace(&iter, g_strdup_printf("%s:%s", qm_store.storage, text));
        }
    }
}

int qm_create(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = check_create(err);

    if (r == 0) {
        r = take_cdrom(qm_store.config, err);
    }
    if (r == 0) {
        r = take_sshkeys(qm_store.config, err);
    }
    if (r == 0) {
        r = qm_store_begin(operands, &store, &vmid, err);
    }
    if (r == 0) {
        take_storage(qm_store.config);
        r = guest_create(store, vmid, qm_store.config, err);
    }
    if (r == 0 && qm_store.start) {
        r = qm_start(operands, err);
    }
    return r;
}

int qm_set(char **operands, Err *err)
{
    GuestSet set = {.digest = qm_store.digest, .skiplock = qm_store.skiplock == 1};
    g_autoptr(GPtrArray) remove = qm_words(qm_store.delete_list);
    g_autoptr(GPtrArray) revert = qm_words(qm_store.revert_list);
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = take_cdrom(qm_store.config, err);

    if (r == 0 && g_hash_table_size(qm_store.config) == 0 && remove->len == 0 && revert->len == 0) {
        r = err_setf(err, -EINVAL, "nothing to change: name an option, --delete or --revert");
    }
    if (r == 0) {
        r = take_sshkeys(qm_store.config, err);
    }
    if (r == 0) {
        r = qm_store_begin(operands, &store, &vmid, err);
    }
    if (r == 0) {
        set.change = (GuestChange){.set = qm_store.config,
                                   .remove = remove,
                                   .revert = revert,
                                   .force = qm_store.force == 1};
        r = guest_set(store, vmid, &set, err);
    }
    return r;
}
