/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm_config: add, set, remove: changes of storage.cfg, under the lock of that file. */
#include "cli/guest_cli.h"
#include "cli/pvesm_verbs.h"

#include "guest/io/guest_leftover.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"
#include "lib/conf/sectionlines.h"
#include "lib/conf/storagecfg_edit.h"
#include "lib/conf/vmconf.h"

#include <errno.h>
#include <string.h>

#define LOCK_NAME       "file-storage_cfg"
#define LOCK_TIMEOUT_MS 10000

/* One read-modify-write of storage.cfg. */
typedef struct ConfigEdit {
    GuestTree *tree;
    CfsLock *lock;
    char *path;
    char *text;
} ConfigEdit;

static void config_edit_clear(ConfigEdit *e)
{
    cfslock_release(e->lock);
    guest_tree_free(e->tree);
    g_free(e->path);
    g_free(e->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ConfigEdit, config_edit_clear)

static int begin(ConfigEdit *e, Err *err)
{
    char digest[VMCONF_DIGEST_SIZE];
    size_t len = 0;
    int r = guest_tree_open(pvesm_options.root, NULL, &e->tree, err);

    if (r == 0) {
        r = guest_tree_check_quorum(e->tree, err);
    }
    if (r == 0) {
        r = cfslock_acquire(e->tree->root, LOCK_NAME, LOCK_TIMEOUT_MS, &e->lock, err);
    }
    if (r < 0) {
        return r;
    }
    e->path = g_build_filename(e->tree->root, "storage.cfg", NULL);
    guest_leftover_drop(e->path);
    r = textfile_read(e->path, SECTIONLINES_TEXT_MAX, &e->text, &len, err);
    if (r == -ENOENT) {
        err_clear(err);
        e->text = g_strdup("");
        r = 0;
    }
    if (r == 0 && memchr(e->text, '\0', len) != NULL) {
        r = err_setf(err, -EBADMSG, "%s: holds a NUL byte", e->path);
    }
    if (r == 0 && pvesm_options.digest != NULL) {
        vmconf_digest(e->text, len, digest);
        if (g_ascii_strcasecmp(digest, pvesm_options.digest) != 0) {
            r = err_setf(err, -ESTALE, "%s was changed by somebody else: look at it and try again",
                         e->path);
        }
    }
    return r;
}

static int commit(ConfigEdit *e, const char *text, Err *err)
{
    int r = strlen(text) <= SECTIONLINES_TEXT_MAX
                ? 0
                : err_setf(err, -EFBIG, "%s: would grow too large", e->path);

    if (r == 0) {
        r = cfslock_renew(e->lock, err);
    }
    return r == 0 ? cfsfile_write(e->path, text, strlen(text), err) : r;
}

/* A storage that cannot be used after the change is told, not refused: it may come later. */
static void try_out(const char *id)
{
    g_auto(GuestCli) cli = {0};
    const Storage *s;
    Err err = ERR_INIT;

    if (guest_cli_open(pvesm_options.root, &cli, &err) < 0 ||
        (storagecfg_get(cli.set->cfg, id, &s, &err) == 0 && storage_on_node(s, cli.tree->node) &&
         storage_set_use(cli.set, id, &s, &err) < 0)) {
        guest_cli_warn(NULL, err_text(&err));
    }
}

int pvesm_add(char **operands, Err *err)
{
    g_auto(ConfigEdit) e = {0};
    g_autofree char *text = NULL;
    int r = begin(&e, err);

    if (r == 0) {
        r = storagecfg_add(e.text, operands[0], operands[1], pvesm_options.props, &text, err);
    }
    if (r == 0) {
        r = commit(&e, text, err);
    }
    if (r == 0) {
        try_out(operands[1]);
    }
    return r;
}

int pvesm_set(char **operands, Err *err)
{
    g_autoptr(GPtrArray) remove = g_ptr_array_new_with_free_func(g_free);
    const char *list = pvesm_options.delete_list;
    g_auto(GStrv) words = g_strsplit_set(list != NULL ? list : "", ",; ", -1);
    g_auto(ConfigEdit) e = {0};
    g_autofree char *text = NULL;
    int r = begin(&e, err);

    for (char **word = words; *word != NULL; word++) {
        if (**word != '\0') {
            g_ptr_array_add(remove, g_strdup(*word));
        }
    }
    if (r == 0) {
        r = storagecfg_change(e.text, operands[0], pvesm_options.props, remove, &text, err);
    }
    if (r == 0) {
        r = commit(&e, text, err);
    }
    if (r == 0) {
        try_out(operands[0]);
    }
    return r;
}

int pvesm_remove(char **operands, Err *err)
{
    g_auto(ConfigEdit) e = {0};
    g_autofree char *text = NULL;
    int r = begin(&e, err);

    if (r == 0) {
        r = storagecfg_remove(e.text, operands[0], &text, err);
    }
    return r == 0 ? commit(&e, text, err) : r;
}
