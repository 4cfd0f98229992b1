/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_edit.h"

#include "guest/core/guest_change.h"
#include "guest/io/guest_leftover.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/lockfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_RETRY_MS 20

struct GuestLock {
    int fd;
};

struct GuestEdit {
    const GuestTree *tree;
    uint32_t vmid;
    char *path;
    GuestLock *lock;
    VmConf *conf;
    char digest[VMCONF_DIGEST_SIZE]; /* of the file as we know it */
};

/* -------------------------------------------------------------------- lock */

void guest_lock_release(GuestLock *l)
{
    if (l == NULL) {
        return;
    }
    (void)close(l->fd);
    g_free(l);
}

int guest_lock_take(
    const GuestTree *t, uint32_t vmid, unsigned timeout_ms, GuestLock **ret, Err *err)
{
    unsigned wait = timeout_ms > 0 ? timeout_ms : GUEST_EDIT_TIMEOUT_MS;
    g_autofree char *path = g_strdup_printf("%s/lock-%u.conf", t->lock_dir, vmid);
    int fd;

    if (g_mkdir_with_parents(t->lock_dir, 0755) < 0) {
        return err_setf(err, -errno, "%s: %s", t->lock_dir, g_strerror(errno));
    }
    fd = lockfile_take(path, 0640, wait);
    if (fd < 0) {
        return fd == -EBUSY ? err_setf(err, fd,
                                       "guest %u: another command works on it (%s was not free "
                                       "within %u s)",
                                       vmid, path, wait / 1000)
                            : err_setf(err, fd, "%s: %s", path, g_strerror(-fd));
    }
    *ret = g_new0(GuestLock, 1);
    (*ret)->fd = fd;
    return 0;
}

/* ----------------------------------------------------------------- reading */

static int read_conf(const char *path, VmConfWarn warn, void *ctx, VmConf **ret, Err *err)
{
    g_autofree char *text = NULL;
    size_t len;
    int r = textfile_read(path, VMCONF_TEXT_MAX, &text, &len, err);

    if (r < 0) {
        return r;
    }
    r = vmconf_parse(text, len, &(VmConfParse){.file = path, .warn = warn, .ctx = ctx}, ret, err);
    return r < 0 ? err_wrapf(err, r, "%s", path) : 0;
}

int guest_conf_read(const GuestTree *t,
                    const char *node,
                    uint32_t vmid,
                    VmConfWarn warn,
                    void *ctx,
                    VmConf **ret,
                    Err *err)
{
    g_autofree char *path = guest_tree_path(t, node, vmid);
    int r = read_conf(path, warn, ctx, ret, err);

    if (r == -ENOENT && node == NULL) {
        err_clear(err);
        r = guest_tree_check_here(t, vmid, err);
        return r < 0 ? r : err_setf(err, -ENOENT, "there is no guest %u", vmid);
    }
    return r;
}

/* ---------------------------------------------------------------- checking */

static int check_word(const VmConf *conf, const GuestEditOptions *o, Err *err)
{
    const char *word = vmsection_get(vmconf_main(conf), "lock");

    if (o->my_lock != NULL && !o->skiplock && g_strcmp0(word, o->my_lock) != 0) {
        return err_setf(err, -EBUSY, "expected 'lock: %s' in the configuration, found %s%s",
                        o->my_lock, word != NULL ? "lock: " : "no lock", word != NULL ? word : "");
    }
    return o->my_lock != NULL ? 0 : guest_check_lock(conf, o->skiplock, err);
}

static int check_digest(const VmConf *conf, const char *digest, Err *err)
{
    if (digest == NULL || g_ascii_strcasecmp(digest, conf->digest) == 0) {
        return 0;
    }
    return err_setf(err, -ESTALE,
                    "the configuration was changed by somebody else (digest %s, expected %.40s): "
                    "look at it and try again",
                    conf->digest, digest);
}

static int load(GuestEdit *e, const GuestEditOptions *o, Err *err)
{
    int r = guest_tree_check_quorum(e->tree, err);

    if (r == 0) {
        r = guest_conf_read(e->tree, NULL, e->vmid, o->warn, o->ctx, &e->conf, err);
    }
    if (r == 0) {
        r = check_digest(e->conf, o->digest, err);
    }
    if (r == 0) {
        r = check_word(e->conf, o, err);
    }
    if (r == 0) {
        g_strlcpy(e->digest, e->conf->digest, sizeof e->digest);
    }
    return r;
}

static int
new_edit(const GuestTree *t, uint32_t vmid, unsigned timeout_ms, GuestEdit **ret, Err *err)
{
    g_autoptr(GuestEdit) e = g_new0(GuestEdit, 1);
    int r = guest_lock_take(t, vmid, timeout_ms, &e->lock, err);

    e->tree = t;
    e->vmid = vmid;
    e->path = guest_tree_path(t, NULL, vmid);
    if (r == 0) {
        guest_leftover_sweep(t, vmid);
        *ret = g_steal_pointer(&e);
    }
    return r;
}

int guest_edit_begin(
    const GuestTree *t, uint32_t vmid, const GuestEditOptions *options, GuestEdit **ret, Err *err)
{
    static const GuestEditOptions defaults;
    const GuestEditOptions *o = options != NULL ? options : &defaults;
    g_autoptr(GuestEdit) e = NULL;
    int r = new_edit(t, vmid, o->timeout_ms, &e, err);

    if (r == 0) {
        r = load(e, o, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&e);
    }
    return r;
}

/* ----------------------------------------------------------------- writing */

static int write_text(GuestEdit *e, Err *err)
{
    g_autofree char *text = vmconf_format(e->conf);
    size_t len = strlen(text);
    int r;

    if (len > VMCONF_TEXT_MAX) {
        return err_setf(err, -EFBIG, "%s: would grow beyond %d bytes", e->path, VMCONF_TEXT_MAX);
    }
    r = cfsfile_write(e->path, text, len, err);
    if (r == -EACCES || r == -EEXIST) {
        /* The tree's own words: no quorum, or the id is on another node by now. */
        Err why = ERR_INIT;
        int now = guest_tree_check_quorum(e->tree, &why);
        if (now < 0) {
            *err = why;
            return now;
        }
    }
    if (r == 0) {
        vmconf_digest(text, len, e->digest);
        g_strlcpy(e->conf->digest, e->digest, sizeof e->conf->digest);
    }
    return r;
}

/* Nobody wrote behind our back: an editor that takes no lock, or a migration that moved it. */
static int check_unchanged(const GuestEdit *e, Err *err)
{
    g_autofree char *text = NULL;
    char digest[VMCONF_DIGEST_SIZE];
    size_t len;
    int r = textfile_read(e->path, VMCONF_TEXT_MAX, &text, &len, err);

    if (r < 0) {
        return r == -ENOENT ? err_setf(err, -ESTALE, "%s: was moved or removed meanwhile", e->path)
                            : r;
    }
    vmconf_digest(text, len, digest);
    if (strcmp(digest, e->digest) != 0) {
        return err_setf(err, -ESTALE, "%s: was changed meanwhile by somebody who took no lock",
                        e->path);
    }
    return 0;
}

int guest_edit_commit(GuestEdit *e, Err *err)
{
    g_autofree char *text = vmconf_format(e->conf);
    char digest[VMCONF_DIGEST_SIZE];
    int r = check_unchanged(e, err);

    if (r < 0) {
        return r;
    }
    vmconf_digest(text, strlen(text), digest);
    return strcmp(digest, e->digest) == 0 ? 0 : write_text(e, err);
}

/* With the lock held and the id free everywhere; the tree refuses it when another node was faster.
 */
static int create_file(GuestEdit *e, const char *lock_word, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(e->path);
    g_auto(GuestPlace) place = {0};
    int r = guest_tree_check_quorum(e->tree, err);

    if (r < 0) {
        return r;
    }
    if (guest_tree_find(e->tree, e->vmid, &place, err) == 0) {
        return err_setf(err, -EEXIST, "guest %u exists already (a %s on node '%s')", e->vmid,
                        place.container ? "container" : "VM", place.node);
    }
    err_clear(err);
    if (g_mkdir_with_parents(dir, 0755) < 0) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    e->conf = vmconf_new();
    vmsection_set(vmconf_main(e->conf), "lock", lock_word);
    r = write_text(e, err);
    return r == -EEXIST ? err_setf(err, r, "guest %u exists already on another node", e->vmid) : r;
}

int guest_edit_create(
    const GuestTree *t, uint32_t vmid, const char *lock_word, GuestEdit **ret, Err *err)
{
    g_autoptr(GuestEdit) e = NULL;
    int r = new_edit(t, vmid, 0, &e, err);

    if (r == 0) {
        r = create_file(e, lock_word, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&e);
    }
    return r;
}

int guest_edit_remove(GuestEdit *e, Err *err)
{
    int r = check_unchanged(e, err);

    if (r == 0 && unlink(e->path) < 0) {
        r = err_setf(err, -errno, "%s: %s", e->path, g_strerror(errno));
    }
    return r;
}

/* ------------------------------------------------------------------- other */

VmConf *guest_edit_conf(GuestEdit *e)
{
    return e->conf;
}

void guest_edit_replace(GuestEdit *e, VmConf *conf)
{
    vmconf_free(e->conf);
    e->conf = conf;
}

void guest_edit_free(GuestEdit *e)
{
    if (e == NULL) {
        return;
    }
    vmconf_free(e->conf);
    guest_lock_release(e->lock);
    g_free(e->path);
    g_free(e);
}

int guest_edit_lock_word(
    const GuestTree *t, uint32_t vmid, const char *from, const char *to, Err *err)
{
    g_autoptr(GuestEdit) e = NULL;
    VmSection *main;
    int r = guest_edit_begin(t, vmid, &(GuestEditOptions){.my_lock = from}, &e, err);

    if (r < 0) {
        return r;
    }
    main = vmconf_main(e->conf);
    if (to != NULL) {
        vmsection_set(main, "lock", to);
    } else {
        (void)vmsection_unset(main, "lock"); /* it may have had none */
    }
    return guest_edit_commit(e, err);
}
