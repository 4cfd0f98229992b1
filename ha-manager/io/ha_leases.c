/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_leases.h"

#include "ha-manager/io/ha_lease_dirs.h"
#include "lib/base/strmap.h"
#include "lib/cfs/cfslock.h"

#include <errno.h>
#include <string.h>

#define GONE_QUIET_MS                                                                              \
    INT64_C(5000)                 /* a master that left is replaced when its lock rests so long    \
                                   */
#define TAKE_MS_MAX INT64_C(2000) /* a taking that was held up for longer is given up */

typedef struct Lease {
    bool held;
    bool taken;         /* from somebody else: NAME.take is still there */
    MonoTime renewed;   /* ours: as of before the last renewal */
    int64_t life_ms;    /* ours */
    HaLeaseLook marked; /* as it looked when the holder's death began to be proven */
    HaLeaseLook seen;
    MonoTime seen_since; /* that it looks so */
    bool watched;
} Lease;

struct HaLeases {
    HaLeasesOptions o;
    const HaLeasesFolder *folder;
    void *folder_ctx;
    HaLeaseDirs *dirs; /* NULL: another folder was given */
    StrMap *by_name;   /* Lease * */
};

HaLeases *ha_leases_new(const HaLeasesOptions *options)
{
    HaLeases *l = g_new0(HaLeases, 1);

    l->o = *options;
    l->folder = options->folder;
    l->folder_ctx = options->ctx;
    if (options->folder == NULL) {
        l->dirs = ha_lease_dirs_new(options);
        l->folder = &ha_lease_dirs;
        l->folder_ctx = l->dirs;
    }
    l->by_name = strmap_new(g_free);
    return l;
}

void ha_leases_free(HaLeases *l)
{
    if (l != NULL) {
        strmap_free(l->by_name);
        ha_lease_dirs_free(l->dirs);
        g_free(l);
    }
}

static char *mark_of(const char *name)
{
    return g_strconcat(name, ".take", NULL);
}

static Lease *lease_of(HaLeases *l, const char *name)
{
    Lease *lease = strmap_get(l->by_name, name);

    if (lease == NULL) {
        lease = g_new0(Lease, 1);
        strmap_set(l->by_name, name, lease);
    }
    return lease;
}

static MonoTime now_of(const HaLeases *l)
{
    return l->o.mono(l->o.ctx);
}

static int64_t ms_since(const HaLeases *l, MonoTime t)
{
    return mono_diff_us(now_of(l), t) / US_PER_MS;
}

static HaLeaseLook look_at(const HaLeases *l, const char *file)
{
    return l->folder->look(l->folder_ctx, file);
}

static int make_dir(const HaLeases *l, const char *file)
{
    return l->folder->make(l->folder_ctx, file);
}

static int remove_dir(const HaLeases *l, const char *file)
{
    return l->folder->remove(l->folder_ctx, file);
}

static bool same(const HaLeaseLook *a, const HaLeaseLook *b)
{
    return a->there == b->there && a->inode == b->inode && a->mtime == b->mtime;
}

static void note(HaLeases *l, Lease *lease, HaLeaseLook look)
{
    if (!lease->watched || !same(&lease->seen, &look)) {
        lease->watched = true;
        lease->seen = look;
        lease->seen_since = now_of(l);
    }
}

void ha_leases_watch(HaLeases *l, const char *name)
{
    note(l, lease_of(l, name), look_at(l, name));
}

int64_t ha_leases_age_ms(const HaLeases *l, const char *name)
{
    const Lease *lease = strmap_get(l->by_name, name);

    if (lease == NULL || !lease->watched || !lease->seen.there) {
        return -1;
    }
    return ms_since(l, lease->seen_since);
}

bool ha_leases_held(const HaLeases *l, const char *name)
{
    const Lease *lease = strmap_get(l->by_name, name);

    return lease != NULL && lease->held;
}

static bool in_time(const HaLeases *l, const Lease *lease)
{
    return lease->held && ms_since(l, lease->renewed) < lease->life_ms;
}

bool ha_leases_in_time(const HaLeases *l, const char *name)
{
    const Lease *lease = strmap_get(l->by_name, name);

    return lease != NULL && in_time(l, lease);
}

/* Asks the cluster to remove it, should it have expired by the documented rule. */
static void poke(const HaLeases *l, const char *file)
{
    /* EACCES for a live lock, ENOENT for one that is gone: both are fine. */
    (void)!l->folder->touch(l->folder_ctx, file, 0);
}

static void now_held(HaLeases *l, Lease *lease, const char *name, MonoTime since, int64_t life_ms)
{
    lease->held = true;
    lease->renewed = since;
    lease->life_ms = life_ms;
    note(l, lease, look_at(l, name));
}

/* Time moves on by a second at least: the tree keeps no less, and each renewal must show. */
static int touch(const HaLeases *l, const char *name, const HaLeaseLook *before)
{
    return l->folder->touch(l->folder_ctx, name,
                            MAX(l->folder->wall(l->folder_ctx), before->mtime + 1));
}

/* Somebody is taking the lock just now: what was done to it a moment ago may be undone. */
static bool being_taken(const HaLeases *l, const Lease *lease, const char *name)
{
    g_autofree char *take = mark_of(name);

    if (lease->taken || !look_at(l, take).there) {
        return false;
    }
    poke(l, take); /* of one who died in the middle of it */
    return true;
}

static int renew(HaLeases *l, Lease *lease, const char *name, int64_t life_ms)
{
    MonoTime since = now_of(l);
    HaLeaseLook look = look_at(l, name);
    int r;

    if (!look.there || look.inode != lease->seen.inode) {
        lease->held = false;
        lease->taken = false;
        note(l, lease, look);
        return look.there ? -ESTALE : -ENOENT;
    }
    r = touch(l, name, &look);
    if (r < 0) {
        return r; /* no quorum: it stays ours while it lasts */
    }
    if (being_taken(l, lease, name)) {
        return -ESTALE;
    }
    now_held(l, lease, name, since, life_ms);
    return 0;
}

/* Takes a lock that is not there. One who saw the lock before it was given back may still remove
 * what it finds under that name: the new one counts only without a mark (tests/model/ha_lease.pml,
 * defect IGNORE_MARK); with one it is renewed later, if it is still there then. */
static int acquire_free(HaLeases *l, Lease *lease, const char *name, int64_t life_ms)
{
    MonoTime since = now_of(l);
    int r;

    lease->taken = false;
    if (being_taken(l, lease, name)) {
        return -EBUSY;
    }
    r = make_dir(l, name);
    if (r < 0) {
        return r;
    }
    now_held(l, lease, name, since, life_ms);
    return being_taken(l, lease, name) ? -ESTALE : 0;
}

/* The holder had its time. */
static bool is_over(HaLeases *l, const Lease *lease, const char *name)
{
    int64_t life_ms = l->o.lease_ms(l->o.ctx, name);
    int64_t age_ms = ms_since(l, lease->seen_since);

    if (life_ms > 0 && age_ms > life_ms) {
        return true;
    }
    return age_ms > GONE_QUIET_MS && l->o.holder_gone(l->o.ctx, name);
}

/* NAME.take is ours: nobody else takes, and who renews now will see it. */
static int take_marked(HaLeases *l, Lease *lease, const char *name, bool dead)
{
    MonoTime since = now_of(l);
    HaLeaseLook look = look_at(l, name);
    int r = 0;

    if (look.there) {
        if (dead && !same(&look, &lease->marked)) {
            return -ESTALE;
        }
        if (!dead && (!same(&look, &lease->seen) || !is_over(l, lease, name))) {
            note(l, lease, look);
            return -EBUSY;
        }
        if (ms_since(l, since) > TAKE_MS_MAX) {
            return -EBUSY;
        }
        r = remove_dir(l, name);
    }
    return r < 0 ? r : make_dir(l, name);
}

static int take(HaLeases *l, Lease *lease, const char *name, int64_t life_ms, bool dead)
{
    g_autofree char *mark = mark_of(name);
    MonoTime since = now_of(l);
    int r = make_dir(l, mark);

    if (r < 0) {
        poke(l, mark);
        return r;
    }
    r = take_marked(l, lease, name, dead);
    if (r < 0) {
        (void)remove_dir(l, mark); /* else it expires by itself, and delays the next taking */
        return r;
    }
    lease->taken = true;
    now_held(l, lease, name, since, life_ms);
    /* One who was held up meanwhile for longer than that has nothing: it may be gone again. */
    return in_time(l, lease) ? 0 : -ESTALE;
}

static int acquire(HaLeases *l, Lease *lease, const char *name, int64_t life_ms, bool other)
{
    HaLeaseLook look = look_at(l, name);

    note(l, lease, look);
    if (!look.there) {
        return other ? take(l, lease, name, life_ms, false) : acquire_free(l, lease, name, life_ms);
    }
    if (is_over(l, lease, name)) {
        return take(l, lease, name, life_ms, false);
    }
    if (ms_since(l, lease->seen_since) > CFSLOCK_LIFE_SEC * 1000) {
        poke(l, name);
    }
    return -EBUSY;
}

static int lock(HaLeases *l, const char *name, int64_t life_ms, bool other)
{
    Lease *lease = lease_of(l, name);

    if (in_time(l, lease)) {
        return renew(l, lease, name, life_ms);
    }
    lease->held = false;
    return acquire(l, lease, name, life_ms, other);
}

int ha_leases_lock(HaLeases *l, const char *name, int64_t life_ms)
{
    return lock(l, name, life_ms, false);
}

int ha_leases_lock_other(HaLeases *l, const char *name, int64_t life_ms)
{
    return lock(l, name, life_ms, true);
}

void ha_leases_mark(HaLeases *l, const char *name)
{
    lease_of(l, name)->marked = look_at(l, name);
}

int ha_leases_lock_dead(HaLeases *l, const char *name, int64_t life_ms)
{
    Lease *lease = lease_of(l, name);

    return lease->held ? lock(l, name, life_ms, true) : take(l, lease, name, life_ms, true);
}

int ha_leases_unlock(HaLeases *l, const char *name)
{
    g_autofree char *mark = mark_of(name);
    Lease *lease = lease_of(l, name);
    bool taken = lease->taken;
    HaLeaseLook look = look_at(l, name);
    int r = 0;

    if (lease->held && look.there && look.inode == lease->seen.inode) {
        r = remove_dir(l, name);
    }
    lease->held = false;
    lease->taken = false;
    if (taken && remove_dir(l, mark) < 0) {
        poke(l, mark); /* it expires */
    }
    return r;
}

void ha_leases_settle(HaLeases *l, const char *keep)
{
    for (guint i = 0; i < strmap_size(l->by_name); i++) {
        const char *name = strmap_key(l->by_name, i);
        Lease *lease = strmap_value(l->by_name, i);

        if (lease->held && strcmp(name, keep) != 0) {
            (void)!ha_leases_unlock(l, name); /* else it expires: its node waits so long */
        } else if (lease->held && lease->taken) {
            g_autofree char *mark = mark_of(name);

            lease->taken = remove_dir(l, mark) < 0;
        }
    }
}

int ha_leases_drop_own(HaLeases *l, const char *name)
{
    g_autofree char *mark = mark_of(name);
    int r;

    if (ha_leases_held(l, name) || !look_at(l, name).there) {
        return 0;
    }
    r = make_dir(l, mark);
    if (r < 0) {
        poke(l, mark);
        return r;
    }
    r = remove_dir(l, name);
    (void)remove_dir(l, mark); /* else it expires by itself */
    return r;
}
