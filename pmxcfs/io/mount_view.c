/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file looks like to whom, while its handles have written what is no change yet, and while
 * the kernel has not been told yet of a change by another node (reference 5.4).
 */
#include "pmxcfs/io/mount_priv.h"

#include <string.h>

bool mount_view_differs(const MountNode *n)
{
    const MountFile *f = n->file;
    return f != NULL && (f->has_inflight || f->cuts > 0 || !overlay_is_empty(&f->overlay));
}

void mount_changed_locked(MountNode *n, const Entry *before)
{
    if (before->size > 0) { /* of nothing there is no part to be mixed with */
        n->changed = g_get_monotonic_time();
        n->size_told = false;
    }
}

bool mount_view_cached(const MountNode *n)
{
    return !mount_view_differs(n) &&
           (n->changed == 0 ||
            (n->size_told && g_get_monotonic_time() - n->changed >= MOUNT_BUSY_US));
}

double mount_view_keep(MountNode *n)
{
    n->size_told =
        n->changed == 0 || g_get_monotonic_time() - n->changed >= MOUNT_SIZE_TOLD_US;
    return n->size_told ? MOUNT_KEEP_SEC : 0;
}

void mount_shown_locked(const MountNode *n, Entry **e, bool direct)
{
    bool hidden = direct && n->overtaken;

    if (n->previous != NULL && !hidden && n->orphan == NULL && !mount_view_differs(n)) {
        entry_unref(*e);
        *e = entry_ref(n->previous);
    }
}

void mount_settle_locked(MountNode *n)
{
    if (n->previous != NULL) {
        g_clear_pointer(&n->previous, entry_unref);
        n->overtaken = false;
        n->pages_cached = true;
    }
}

void mount_inval_settling(Mount *m, MountNode *n)
{
    mount_inval_data_now(m, n->ino);
    g_mutex_lock(&n->lock);
    g_assert(n->settling > 0);
    n->settling--;
    g_mutex_unlock(&n->lock);
}

static bool sees_cut(const MountFile *f, pid_t pid, const void *handle)
{
    for (GSList *l = f->cuts > 0 ? f->open : NULL; l != NULL; l = l->next) {
        const MountHandle *h = l->data;
        if (h->cuts && (handle == h || (pid != 0 && pid == h->pid))) {
            return true;
        }
    }
    return false;
}

uint32_t mount_view_size(const MountNode *n, const Entry *base, pid_t pid, const void *handle)
{
    const MountFile *f = n->file;
    if (f == NULL) {
        return base->size;
    }
    if (sees_cut(f, pid, handle)) {
        return 0;
    }
    return overlay_size(&f->overlay, mount_below_locked(n, base));
}

uint32_t mount_below_locked(const MountNode *n, const Entry *base)
{
    const MountFile *f = n->file;
    return f->has_inflight ? overlay_op_size(&f->inflight, base->size) : base->size;
}

void mount_cut_locked(Mount *m, MountNode *n, const Entry *base)
{
    MountFile *f = n->file;
    if (f->cuts == 0) {
        return;
    }
    size_t before = overlay_bytes(&f->overlay);
    overlay_truncate(&f->overlay, mount_below_locked(n, base), 0);
    atomic_fetch_sub(&m->pending, before - overlay_bytes(&f->overlay));
    for (GSList *l = f->open; l != NULL; l = l->next) {
        ((MountHandle *)l->data)->cuts = false;
    }
    f->cuts = 0;
}

void mount_truncate_locked(Mount *m, MountNode *n, const Entry *base, uint32_t size)
{
    MountFile *f = n->file;
    mount_cut_locked(m, n, base);
    size_t before = overlay_bytes(&f->overlay);
    overlay_truncate(&f->overlay, mount_below_locked(n, base), size);
    atomic_fetch_sub(&m->pending, before - overlay_bytes(&f->overlay));
    f->mtime = mount_now();
    mount_linger_wrote(m, f);
}

/* Bytes of `base` in [off, off + len), zeros where it has none. */
static void copy_base(const Entry *base, uint32_t off, uint32_t len, uint8_t *buf)
{
    uint32_t have = off < base->size ? MIN(len, base->size - off) : 0;
    if (base->data == NULL) {
        have = 0;
    }
    if (have > 0) {
        memcpy(buf, (const uint8_t *)g_bytes_get_data(base->data, NULL) + off, have);
    }
    memset(buf + have, 0, len - have);
}

uint8_t *mount_view_compose(const MountNode *n, const Entry *base, uint32_t off, uint32_t len)
{
    const MountFile *f = n->file;
    uint8_t *buf = g_malloc(len);
    uint32_t below = base->size;
    copy_base(base, off, len, buf);
    if (f->has_inflight) {
        overlay_op_apply(&f->inflight, below, off, len, buf);
        below = overlay_op_size(&f->inflight, below);
    }
    overlay_apply(&f->overlay, below, off, len, buf);
    return buf;
}

void mount_keep_orphan(MountNode *n)
{
    Entry *old = n->orphan;
    uint32_t size = mount_view_size(n, old, 0, NULL);
    g_autoptr(GBytes) data =
        size > 0 ? g_bytes_new_take(mount_view_compose(n, old, 0, size), size) : NULL;
    EntryInit init = {.parent = old->parent,
                      .inode = old->inode,
                      .version = old->version,
                      .writer = old->writer,
                      .mtime = MAX(old->mtime, n->file->mtime),
                      .type = old->type,
                      .name = old->name,
                      .data = data};
    n->orphan = entry_new(&init);
    entry_unref(old);
}
