/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The special entries of the top level: links to this node's directories, and virtual files whose
 * text the engine makes (reference 5.2).
 *
 * A virtual file is never kept by the kernel. Its text is made when it is opened, and again by each
 * read from its beginning, so that a reader who starts over sees what is new while one who reads on
 * sees the rest of the same text. Its size is that of a text made for the question.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

typedef struct View {
    GMutex lock;
    GString *text; /* NULL: could not be made */
    bool fresh;    /* made by open and not yet read */
} View;

GString *mount_special_text(Mount *m, CfsSpecial s)
{
    GString *text = NULL;
    if (engine_view(m->engine, cfs_special_name(s), &text) < 0) {
        return NULL;
    }
    if (s == CFS_SPECIAL_METRICS) {
        mount_format_metrics(m, text);
    }
    return text;
}

static void view_free(Mount *m, View *v)
{
    g_mutex_lock(&m->views_lock);
    m->views = g_slist_remove(m->views, v);
    g_mutex_unlock(&m->views_lock);
    if (v->text != NULL) {
        g_string_free(v->text, TRUE);
    }
    g_mutex_clear(&v->lock);
    g_free(v);
}

void mount_special_open(const MountCall *c, CfsSpecial s, struct fuse_file_info *fi)
{
    if (cfs_special_is_link(s)) {
        mount_reply(c, -ELOOP);
        return;
    }
    if (s == CFS_SPECIAL_EVENTS) {
        mount_events_open(c, fi);
        return;
    }
    View *v = g_new0(View, 1);
    g_mutex_init(&v->lock);
    if ((fi->flags & O_ACCMODE) != O_WRONLY) {
        v->text = mount_special_text(c->m, s);
        v->fresh = true;
    }
    Mount *m = c->m; /* the call ends with the reply */
    g_mutex_lock(&m->views_lock);
    m->views = g_slist_prepend(m->views, v);
    g_mutex_unlock(&m->views_lock);
    fi->fh = (uint64_t)(uintptr_t)v;
    fi->direct_io = 1;
    fi->noflush = 1;
    if (!mount_reply_open(c, fi)) {
        view_free(m, v);
    }
}

void mount_special_free_all(Mount *m)
{
    while (m->views != NULL) {
        view_free(m, m->views->data);
    }
}

void mount_special_read(
    const MountCall *c, CfsSpecial s, size_t size, off_t off, const struct fuse_file_info *fi)
{
    if (s == CFS_SPECIAL_EVENTS) {
        mount_events_read(c, size, off, fi);
        return;
    }
    View *v = (View *)(uintptr_t)fi->fh;
    g_mutex_lock(&v->lock);
    if (off == 0 && !v->fresh) {
        if (v->text != NULL) {
            g_string_free(v->text, TRUE);
        }
        v->text = mount_special_text(c->m, s);
    }
    v->fresh = false;
    g_autofree char *part = NULL;
    size_t len = 0;
    bool failed = v->text == NULL;
    if (!failed && off >= 0 && (uint64_t)off < v->text->len) {
        len = MIN(size, v->text->len - (size_t)off);
        part = g_memdup2(v->text->str + off, len);
    }
    g_mutex_unlock(&v->lock);
    if (failed) {
        mount_reply(c, -EIO);
    } else {
        mount_reply_buf(c, part, len);
    }
}

void mount_special_write(const MountCall *c, CfsSpecial s, const char *data, size_t size, off_t off)
{
    bool good = s == CFS_SPECIAL_DEBUG && off == 0 && size >= 2 &&
                (data[0] == '0' || data[0] == '1') && data[1] == '\n';
    if (!good) {
        mount_reply(c, -EIO);
        return;
    }
    if (c->m->opt.set_debug != NULL) {
        c->m->opt.set_debug(c->m->opt.ctx, data[0] == '1');
    }
    mount_reply_write(c, 2);
}

void mount_special_release(const MountCall *c, CfsSpecial s, const struct fuse_file_info *fi)
{
    if (s == CFS_SPECIAL_EVENTS) {
        mount_events_close(c->m, fi);
    } else {
        view_free(c->m, (View *)(uintptr_t)fi->fh);
    }
    mount_reply(c, 0);
}
