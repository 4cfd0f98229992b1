/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_tree.h"

#include "lib/base/jsontree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/conf/vmconf.h"
#include "lib/port/lockfile.h"
#include "migration/core/mig_volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMBERS_MAX    (1024 * 1024)
#define LOCK_TIMEOUT_MS 10000 /* the documented 10 s */
#define DATACENTER_MAX (1024 * 1024)

static char *conf_path(const MigTree *t, const char *node, uint32_t vmid)
{
    return g_strdup_printf("%s/nodes/%s/qemu-server/%u.conf", t->pve, node, vmid);
}

/* ---- members --------------------------------------------------------------------------------- */

static int members(const MigTree *t, JsonTree **ret, Err *err)
{
    g_autofree char *path = g_build_filename(t->pve, ".members", NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, MEMBERS_MAX, &text, &size, err);

    return r < 0 ? r : jsontree_parse(text, size, ret, err);
}

int mig_tree_quorate(const MigTree *t, Err *err)
{
    g_autoptr(JsonTree) m = NULL;
    int r = members(t, &m, err);

    if (r < 0) {
        return r;
    }
    return jsontree_get(m, "cluster") == NULL ||
           jsontree_get_int(jsontree_get(m, "cluster"), "quorate", 0) != 0;
}

int mig_tree_member(const MigTree *t, const char *name, char **ret_address, Err *err)
{
    g_autoptr(JsonTree) m = NULL;
    const JsonTree *node;
    int r = members(t, &m, err);

    if (r < 0) {
        return r;
    }
    node = jsontree_get(jsontree_get(m, "nodelist"), name);
    if (node == NULL || jsontree_get_text(node, "ip") == NULL) {
        return err_setf(err, -ENOENT, "the cluster has no node '%s'", name);
    }
    if (jsontree_get_int(node, "online", 0) == 0) {
        return err_setf(err, -EHOSTDOWN, "node '%s' is not online", name);
    }
    *ret_address = g_strdup(jsontree_get_text(node, "ip"));
    return 0;
}

/* ---- the configuration ----------------------------------------------------------------------- */

int mig_tree_read(const MigTree *t, const char *node, uint32_t vmid, char **ret, Err *err)
{
    g_autofree char *path = conf_path(t, node, vmid);

    return cfsfile_read(path, VMCONF_TEXT_MAX, ret, NULL, err);
}

int mig_tree_place(const MigTree *t, const char *peer, uint32_t vmid, Err *err)
{
    g_autofree char *own = conf_path(t, t->node, vmid);
    g_autofree char *other = conf_path(t, peer, vmid);
    int r = mig_tree_quorate(t, err);

    if (r < 0 || r == 0) {
        return r < 0 ? r : err_setf(err, -EAGAIN, "no quorum: nobody knows where the guest is");
    }
    if (access(own, F_OK) == 0) {
        return MIG_PLACE_OWN;
    }
    return access(other, F_OK) == 0 ? MIG_PLACE_PEER : MIG_PLACE_OTHER;
}

/* The lock of everybody who changes a configuration on this node. */
static int take_flock(const MigTree *t, uint32_t vmid, int *ret, Err *err)
{
    g_autofree char *path = g_strdup_printf("%s/lock-%u.conf", t->lock_dir, vmid);
    int fd = g_mkdir_with_parents(t->lock_dir, 0755) < 0
                 ? -errno
                 : lockfile_take(path, 0640, LOCK_TIMEOUT_MS);

    if (fd == -EBUSY) {
        return err_setf(err, fd, "guest %u is being changed by another command", vmid);
    }
    if (fd < 0) {
        return err_setf(err, fd, "%s: %s", path, g_strerror(-fd));
    }
    *ret = fd;
    return 0;
}

typedef int (*Edit)(VmConf *conf, void *ctx, Err *err);

/* Reads, changes, writes, under the lock. An edit that returns 1 needs no writing. */
static int change(const MigTree *t, uint32_t vmid, Edit edit, void *ctx, Err *err)
{
    g_autofree char *path = conf_path(t, t->node, vmid);
    g_autofree char *text = NULL, *fresh = NULL;
    g_autoptr(VmConf) conf = NULL;
    gsize size = 0;
    int fd = -1;
    int r = take_flock(t, vmid, &fd, err);

    if (r < 0) {
        return r;
    }
    if ((r = cfsfile_read(path, VMCONF_TEXT_MAX, &text, &size, err)) == 0 &&
        (r = vmconf_parse(text, size, NULL, &conf, err)) == 0 && (r = edit(conf, ctx, err)) == 0) {
        fresh = vmconf_format(conf);
        r = cfsfile_write(path, fresh, strlen(fresh), err);
    }
    (void)close(fd); /* gives the lock back */
    return r < 0 ? r : 0;
}

static int set_lock(VmConf *conf, void *ctx, Err *err)
{
    VmSection *main = vmconf_main(conf);
    const char *word = vmsection_get(main, "lock");

    if (word != NULL) {
        return err_setf(err, -EALREADY, "guest %u is locked (%s)", *(uint32_t *)ctx, word);
    }
    vmsection_set(main, "lock", "migrate");
    return 0;
}

int mig_tree_lock(const MigTree *t, uint32_t vmid, Err *err)
{
    return change(t, vmid, set_lock, &vmid, err);
}

bool mig_tree_is_locked(const MigTree *t, uint32_t vmid)
{
    g_autofree char *text = NULL;
    g_autoptr(VmConf) conf = NULL;
    Err err = ERR_INIT;

    return mig_tree_read(t, t->node, vmid, &text, &err) == 0 &&
           vmconf_parse(text, strlen(text), NULL, &conf, &err) == 0 &&
           g_strcmp0(vmsection_get(vmconf_main(conf), "lock"), "migrate") == 0;
}

bool mig_tree_moves(const MigTree *t, uint32_t vmid)
{
    g_autofree char *nodes = g_build_filename(t->pve, "nodes", NULL);
    g_autoptr(GDir) list = g_dir_open(nodes, 0, NULL);
    bool moves = list == NULL;
    const char *name;
    Err err = ERR_INIT;

    if (mig_tree_quorate(t, &err) != 1) {
        return true; /* what is seen here may be of yesterday */
    }
    while (list != NULL && !moves && (name = g_dir_read_name(list)) != NULL) {
        MigTree there = {t->pve, name, t->lock_dir};

        moves = mig_tree_is_locked(&there, vmid);
    }
    return moves;
}

typedef struct Settle {
    const JsonTree *pairs;
    bool unlock;
} Settle;

static int settle(VmConf *conf, void *ctx, Err *err)
{
    const Settle *s = ctx;
    VmSection *main = vmconf_main(conf);
    bool changed = s->pairs != NULL;

    (void)err;
    if (s->pairs != NULL) {
        mig_volumes_rename(conf, s->pairs);
    }
    if (s->unlock && g_strcmp0(vmsection_get(main, "lock"), "migrate") == 0) {
        changed = vmsection_unset(main, "lock");
    }
    return changed ? 0 : 1;
}

/* A node without quorum sees what was. Only one that is part of the whole can write, and then it
 * has seen what the others did before. */
static int see_all(const MigTree *t, uint32_t vmid, Err *err)
{
    g_autofree char *dir = g_build_filename(t->pve, "priv", "migration", NULL);
    g_autofree char *name = g_strdup_printf("%s.%u", t->node, vmid);
    g_autofree char *path = g_build_filename(dir, name, NULL);
    int r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;

    (void)rmdir(path); /* of an earlier life */
    if (r == 0 && mkdir(path, 0700) < 0) {
        r = -errno;
    }
    if (r == 0) {
        (void)rmdir(path); /* the next one tries again */
        return 0;
    }
    return err_setf(err, r, "%s: %s", path, r == -EACCES ? "no quorum" : g_strerror(-r));
}

int mig_tree_settle(const MigTree *t, uint32_t vmid, const JsonTree *pairs, bool unlock, Err *err)
{
    Settle s = {pairs, unlock};
    int r = change(t, vmid, settle, &s, err);

    if (r == -ENOENT && unlock && (r = see_all(t, vmid, err)) == 0) {
        r = change(t, vmid, settle, &s, err);
    }
    return r == -ENOENT ? 0 : r;
}

int mig_tree_rename(const MigTree *t, uint32_t vmid, const char *from, const char *to, Err *err)
{
    g_autofree char *old = conf_path(t, from, vmid);
    g_autofree char *new = conf_path(t, to, vmid);

    if (rename(old, new) < 0) {
        int r = -errno;

        return err_setf(err, r, "giving the configuration of guest %u to node '%s': %s", vmid, to,
                        r == -EACCES ? "no quorum" : g_strerror(-r));
    }
    return 0;
}

/* ---- the claim ------------------------------------------------------------------------------- */

/* mkdir ID is the claim; ID/NODE in it says whose it is, so that a restarted agent knows its own.
 * An agent that died between the two finds a claim of nobody, and takes it for the other side's. */
int mig_tree_claim(const MigTree *t, const char *id, Err *err)
{
    g_autofree char *dir = g_build_filename(t->pve, "priv", "migration", NULL);
    g_autofree char *claim = g_build_filename(dir, id, NULL);
    g_autofree char *mine = g_build_filename(claim, t->node, NULL);
    int r;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        r = -errno;
        return err_setf(err, r, "%s: %s", dir, g_strerror(-r));
    }
    if (mkdir(claim, 0700) == 0) {
        (void)mkdir(mine, 0700); /* without it the claim is still ours, for this life */
        return 0;
    }
    r = -errno;
    if (r == -EEXIST && access(mine, F_OK) == 0) {
        return 0; /* of an earlier life */
    }
    return err_setf(err, r, "%s: %s", claim,
                    r == -EEXIST ? "the other side was first" : g_strerror(-r));
}

void mig_tree_drop_claim(const MigTree *t, const char *id)
{
    g_autofree char *dir = g_build_filename(t->pve, "priv", "migration", NULL);
    g_autofree char *claim = g_build_filename(dir, id, NULL);
    g_autoptr(GDir) list = g_dir_open(claim, 0, NULL);
    const char *name;

    while (list != NULL && (name = g_dir_read_name(list)) != NULL) {
        g_autofree char *path = g_build_filename(claim, name, NULL);

        (void)rmdir(path); /* there may be none; the number is never used again */
    }
    (void)rmdir(claim);
    (void)rmdir(dir); /* when no other move has a claim */
}

/* ---- datacenter.cfg -------------------------------------------------------------------------- */

char *mig_tree_datacenter(const MigTree *t, const char *key)
{
    g_autofree char *path = g_build_filename(t->pve, "datacenter.cfg", NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Err err = ERR_INIT;

    if (cfsfile_read(path, DATACENTER_MAX, &text, NULL, &err) < 0) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i] != NULL; i++) {
        gsize n = strlen(key);

        if (strncmp(lines[i], key, n) == 0 && lines[i][n] == ':') {
            return g_strstrip(g_strdup(lines[i] + n + 1));
        }
    }
    return NULL;
}
