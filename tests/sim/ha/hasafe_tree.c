/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the shared tree: they go round while the caller waits, for as long as it has patience
 * (ha_patience.h); one that it no longer waits for may still happen. On top of them the folder of
 * locks, in which the product's own leases work. */
#include "tests/sim/ha/hasafe.h"

#include <errno.h>
#include <string.h>

#define SEC       US_PER_SEC
#define CFS_LIMIT (20 * SEC)  /* WRITE_MS of ha_node.c: without a lease to keep */
#define CFS_LAST  (SEC / 10)  /* LAST_MS of ha_node.c */
#define LOCK_LIFE (120 * SEC) /* of a lock that nobody renews, by the cluster filesystem itself */

struct HaSafeStraggler {
    HaSafeNode *node;
    unsigned boot;
    HaSafeDaemon *d;
    HaSafeChange change;
};

static bool is_there(const HaSafeNode *n, unsigned boot)
{
    return n->up && n->boot == boot && !n->s->failed;
}

/* The filesystem of the node takes the change: it answers, and members are settled. */
static bool is_open(const HaSafeNode *n)
{
    return n->stable && hasafe_now(n->s) >= n->cfs_until;
}

static void change_done(HaSafeChange *change)
{
    g_clear_pointer(&change->text, g_ref_string_release);
}

static void straggle(HaSafe *s, void *data)
{
    HaSafeStraggler *st = data;
    HaSafeNode *n = st->node;

    while (is_there(n, st->boot) && !is_open(n)) {
        hasafe_sleep(s, SEC / 10);
    }
    if (is_there(n, st->boot) && n->quorate) {
        hasafe_say(s, n->name, "a change that was given up happens now");
        (void)st->change.apply(n, &st->change); /* nobody asks */
    }
    if (st->d->straggler == st) {
        st->d->straggler = NULL;
    }
    change_done(&st->change);
    g_free(st);
}

static int give_up(HaSafeCaller *c, const HaSafeChange *change)
{
    HaSafeStraggler *st = g_new(HaSafeStraggler, 1);

    *st = (HaSafeStraggler){c->d->node, c->boot, c->d, *change};
    if (change->text != NULL) {
        st->change.text = g_ref_string_acquire(change->text);
    }
    if (hasafe_alive(c)) {
        c->d->straggler = st;
    }
    hasafe_spawn(c->d->s, straggle, st);
    return -ETIMEDOUT;
}

/* patience_ends of ha_node.c: with a lease to keep, only while there is time to stop guests. */
static int64_t patience(const HaSafeCaller *c)
{
    const HaSafeNode *n = c->d->node;
    const HaSafeClient *dog = &n->clients[c->d->is_lrm ? 1 : 0];
    int64_t left = dog->fed + n->s->timing.giveup_ms * US_PER_MS - hasafe_mono(n);

    return dog->open ? MAX(left, CFS_LAST) : CFS_LIMIT;
}

int hasafe_change(HaSafeCaller *c, const HaSafeChange *change)
{
    HaSafeDaemon *d = c->d;
    HaSafeNode *n = d->node;
    HaSafe *s = d->s;
    int64_t limit;
    int r;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    limit = hasafe_now(s) + patience(c);
    while (hasafe_alive(c) && d->straggler != NULL && hasafe_now(s) < limit) {
        hasafe_sleep(s, SEC / 20);
    }
    if (!hasafe_alive(c) || d->straggler != NULL) {
        return -ETIMEDOUT; /* what was asked for later never happens earlier */
    }
    if (is_open(n) && !n->quorate) {
        return -EACCES;
    }
    hasafe_sleep(s, hasafe_random(s, 500, hasafe_chance(s, 1, 50) ? SEC : 20000));
    while (is_there(n, c->boot) && !is_open(n) && hasafe_now(s) < limit) {
        hasafe_sleep(s, SEC / 10);
    }
    if (!is_there(n, c->boot)) {
        return -EIO;
    }
    if (!is_open(n)) {
        return give_up(c, change);
    }
    /* The end of the process does not call back what is on its way. */
    if (!n->quorate || (!hasafe_alive(c) && hasafe_chance(s, 1, 2))) {
        return -EACCES;
    }
    r = change->apply(n, change);
    hasafe_call(c); /* the answer comes back: time passes, the change has happened */
    return hasafe_alive(c) ? r : -EIO;
}

/* ---- the folder of locks ---- */

/* Every member of the partition has seen the lock change. */
static void dir_seen(HaSafe *s, HaSafeDir *l, unsigned members)
{
    for (unsigned i = 0; i < s->n_nodes; i++) {
        const HaSafeNode *n = &s->nodes[i];

        if ((members >> i & 1u) != 0 && n->up) {
            l->seen[i] = hasafe_mono(n) + MAX(n->cfs_until - hasafe_now(s), 0);
        }
    }
}

static int apply_make(HaSafeNode *n, const HaSafeChange *change)
{
    HaSafeDir *l = &n->s->tree.dirs[change->dir];

    if (l->there) {
        return -EBUSY;
    }
    *l = (HaSafeDir){
        .there = true, .owner = n->index, .inode = ++n->s->inodes, .mtime = hasafe_wall(n)};
    dir_seen(n->s, l, n->members);
    return 0;
}

static int apply_remove(HaSafeNode *n, const HaSafeChange *change)
{
    n->s->tree.dirs[change->dir].there = false;
    return 0;
}

/* The lowest member removes it when it has been quiet for long by that member's own clock; one that
 * has not joined yet has nothing to tell: its record is of the time before. */
static int apply_poke(HaSafeNode *n, const HaSafeChange *change)
{
    HaSafe *s = n->s;
    HaSafeDir *l = &s->tree.dirs[change->dir];
    const HaSafeNode *lowest = &s->nodes[__builtin_ctz(n->members)];

    if (l->there && lowest->up && lowest->synced && hasafe_now(s) >= lowest->cfs_until &&
        hasafe_mono(lowest) - l->seen[lowest->index] > LOCK_LIFE) {
        hasafe_say(s, n->name, "lock %u of %s has expired", change->dir, s->nodes[l->owner].name);
        l->there = false;
    }
    return -EACCES;
}

static int apply_touch(HaSafeNode *n, const HaSafeChange *change)
{
    HaSafeDir *l = &n->s->tree.dirs[change->dir];

    if (!l->there) {
        return -ENOENT;
    }
    if (l->owner != n->index || change->mtime < l->mtime) {
        return -EACCES;
    }
    l->mtime = change->mtime;
    dir_seen(n->s, l, n->members);
    return 0;
}

/* NAME, or NAME.take. */
static unsigned dir_index(const HaSafe *s, const char *file)
{
    bool mark = g_str_has_suffix(file, ".take");

    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (g_str_has_prefix(file, s->lock_names[i])) {
            return mark ? HASAFE_LOCKS + i : i;
        }
    }
    return mark ? 2 * HASAFE_LOCKS - 1 : HASAFE_LOCKS - 1;
}

static HaLeaseLook folder_look(void *ctx, const char *file)
{
    HaSafeCaller *c = ctx;
    unsigned i = dir_index(c->d->s, file);
    const HaSafeDir *l;

    if (!hasafe_cfs_ready(c)) {
        return (HaLeaseLook){0};
    }
    l = &hasafe_view(c->d->node)->dirs[i];
    return l->there ? (HaLeaseLook){true, l->inode, l->mtime} : (HaLeaseLook){0};
}

static int folder_make(void *ctx, const char *file)
{
    HaSafeCaller *c = ctx;

    return hasafe_change(c, &(HaSafeChange){apply_make, .dir = dir_index(c->d->s, file)});
}

static int folder_remove(void *ctx, const char *file)
{
    HaSafeCaller *c = ctx;

    return hasafe_change(c, &(HaSafeChange){apply_remove, .dir = dir_index(c->d->s, file)});
}

static int folder_touch(void *ctx, const char *file, int64_t mtime)
{
    HaSafeCaller *c = ctx;

    return hasafe_change(c, &(HaSafeChange){mtime == 0 ? apply_poke : apply_touch,
                                            .dir = dir_index(c->d->s, file), .mtime = mtime});
}

static int64_t folder_wall(void *ctx)
{
    const HaSafeCaller *c = ctx;

    return hasafe_wall(c->d->node);
}

static const HaLeasesFolder folder = {
    .look = folder_look,
    .make = folder_make,
    .remove = folder_remove,
    .touch = folder_touch,
    .wall = folder_wall,
};

static MonoTime lease_mono(void *ctx)
{
    const HaSafeCaller *c = ctx;

    return (MonoTime){hasafe_mono(c->d->node) + c->beyond};
}

static const char *status_of(HaSafeCaller *c, const char *lock)
{
    unsigned i = dir_index(c->d->s, lock);
    const HaSafeTree *t = hasafe_view(c->d->node);
    const char *text;

    if (!hasafe_cfs_ready(c)) {
        return "";
    }
    text = i < HASAFE_NODES_MAX ? t->lrm_status[i] : t->files[HA_FILE_MANAGER_STATUS];
    return text != NULL ? text : "";
}

/* What the file says, without taking it apart: this is asked for all the time. */
static int64_t lease_ms(void *ctx, const char *lock)
{
    const char *key = "\"lease_ms\":";
    const char *at = strstr(status_of(ctx, lock), key);

    return at != NULL ? g_ascii_strtoll(at + strlen(key), NULL, 10) : 0;
}

static bool holder_gone(void *ctx, const char *lock)
{
    HaSafeCaller *c = ctx;
    const char *key = "\"master_node\":\"node";
    const char *at;

    if (dir_index(c->d->s, lock) < HASAFE_NODES_MAX) {
        return false;
    }
    at = strstr(status_of(c, lock), key);
    return at != NULL && (c->d->node->members >> (at[strlen(key)] - '1') & 1u) == 0;
}

HaLeases *hasafe_leases_new(HaSafeCaller *c)
{
    return ha_leases_new(&(HaLeasesOptions){.folder = &folder,
                                            .lease_ms = lease_ms,
                                            .holder_gone = holder_gone,
                                            .mono = lease_mono,
                                            .ctx = c});
}
