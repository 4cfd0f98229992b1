/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/feed.h"

#include "lib/base/jsontext.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/io/metrics.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* A delta with more entries than this is told as "resync": listing them would push out the rest. */
#define EDITS_MAX (FEED_LINES_MAX / 4)
/* Room for most lines. */
#define LINE_USUAL 192

typedef struct FeedLine {
    uint64_t seq;
    bool private; /* names something that only root may list */
    gsize len;
    char text[];
} FeedLine;

struct Feed {
    pthread_mutex_t lock;
    GQueue lines; /* of FeedLine*, ascending and without gaps */
    gsize bytes;
    uint64_t newest;
    bool shut;
    void (*listener)(void *ctx);
    void *listener_ctx;
};

Feed *feed_new(WallTime start)
{
    Feed *f = g_new0(Feed, 1);

    pthread_mutex_init(&f->lock, NULL);
    g_queue_init(&f->lines);
    f->newest = (uint64_t)MAX(start.sec, 1) * FEED_NUMBERS_PER_SEC;
    return f;
}

void feed_free(Feed *f)
{
    if (f != NULL) {
        g_queue_clear_full(&f->lines, g_free);
        pthread_mutex_destroy(&f->lock);
        g_free(f);
    }
}

void feed_set_listener(Feed *f, void (*fn)(void *ctx), void *ctx)
{
    f->listener = fn;
    f->listener_ctx = ctx;
}

/* ---- appending ---- */

/* A line is made with each change, and printf is slow. */
static void append_number(GString *s, const char *before, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    g_string_append(s, before);
    g_string_append_len(s, digits + at, (gssize)(sizeof digits - at));
}

/* Starts a line; the caller adds members and hands it to append. */
static GString *begin(uint64_t seq, WallTime now, const char *op)
{
    GString *s = g_string_sized_new(LINE_USUAL);

    append_number(s, "{\"seq\":", seq);
    append_number(s, ",\"time\":", (uint64_t)MAX(now.sec, 0));
    g_string_append(s, ",\"op\":\"");
    g_string_append(s, op);
    g_string_append_c(s, '"');
    return s;
}

static void member(GString *s, const char *name, const char *value)
{
    g_string_append(s, ",\"");
    g_string_append(s, name);
    g_string_append(s, "\":");
    json_append_string(s, value);
}

static FeedLine *finish(GString *s, uint64_t seq, bool private)
{
    g_string_append(s, "}\n");
    FeedLine *line = g_malloc(sizeof *line + s->len);
    line->seq = seq;
    line->private = private;
    line->len = s->len;
    memcpy(line->text, s->str, s->len);
    g_string_free(s, TRUE);
    return line;
}

static void append(Feed *f, GPtrArray *lines)
{
    pthread_mutex_lock(&f->lock);
    for (guint i = 0; i < lines->len; i++) {
        FeedLine *line = g_ptr_array_index(lines, i);
        g_assert(line->seq == f->newest + 1);
        f->newest = line->seq;
        f->bytes += line->len;
        g_queue_push_tail(&f->lines, line);
    }
    while (f->lines.length > FEED_LINES_MAX || f->bytes > FEED_BYTES_MAX) {
        FeedLine *old = g_queue_pop_head(&f->lines);
        f->bytes -= old->len;
        g_free(old);
    }
    pthread_mutex_unlock(&f->lock);
    metrics_add(METRIC_EVENTS, lines->len);
    if (f->listener != NULL) {
        f->listener(f->listener_ctx);
    }
}

/* The word for what happened to one entry. */
static const char *edit_word(const MemdbEdit *edit)
{
    if (edit->before == NULL) {
        return edit->after->type == ENTRY_DIR ? "mkdir" : "create";
    }
    if (edit->after == NULL) {
        return edit->before->type == ENTRY_DIR ? "rmdir" : "delete";
    }
    if (g_strcmp0(edit->path_before, edit->path_after) != 0) {
        return "rename";
    }
    return edit->before->size == edit->after->size && edit->before->data == edit->after->data
               ? "touch"
               : "write";
}

static FeedLine *edit_line(
    const MemdbEdit *edit, const MemdbDelta *d, uint64_t seq, bool own, bool undone, WallTime now)
{
    const char *path = edit->path_before != NULL ? edit->path_before : edit->path_after;
    const char *word = edit_word(edit);
    GString *s = begin(seq, now, word);
    bool private = cfspath_is_private(path);

    member(s, "path", path);
    if (strcmp(word, "rename") == 0) {
        member(s, "to", edit->path_after);
        private = private || cfspath_is_private(edit->path_after);
    }
    append_number(s, ",\"version\":", d->root_after.version);
    append_number(s, ",\"node\":", d->root_after.writer);
    g_string_append(s, own ? ",\"own\":true" : ",\"own\":false");
    if (undone) {
        g_string_append(s, ",\"undone\":true");
    }
    return finish(s, seq, private);
}

void feed_append_delta(Feed *f, const MemdbDelta *d, bool own, WallTime now)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new();
    bool undone = d->root_after.version < d->root_before.version;

    if (d->replaces_tree || d->edits->len > EDITS_MAX) {
        GString *s = begin(f->newest + 1, now, "resync");
        g_string_append_printf(s, ",\"version\":%" G_GUINT64_FORMAT, d->root_after.version);
        g_ptr_array_add(lines, finish(s, f->newest + 1, false));
    } else {
        for (guint i = 0; i < d->edits->len; i++) {
            const MemdbEdit *edit = &g_array_index(d->edits, MemdbEdit, i);
            uint64_t seq = f->newest + 1 + lines->len;
            if (edit->path_before != NULL || edit->path_after != NULL) {
                g_ptr_array_add(lines, edit_line(edit, d, seq, own, undone, now));
            }
        }
    }
    if (lines->len > 0) {
        append(f, lines);
    }
}

void feed_append_quorum(Feed *f, bool quorate, WallTime now)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new();
    GString *s = begin(f->newest + 1, now, "quorum");

    g_string_append_printf(s, ",\"quorate\":%s", quorate ? "true" : "false");
    g_ptr_array_add(lines, finish(s, f->newest + 1, false));
    append(f, lines);
}

/* ---- reading ---- */

uint64_t feed_newest(Feed *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t newest = f->newest;
    pthread_mutex_unlock(&f->lock);
    return newest;
}

static void hand_out(FeedCursor *c, uint64_t seq, const char *op, WallTime now)
{
    FeedLine *line = finish(begin(seq, now, op), seq, false);

    g_string_append_len(c->pending, line->text, (gssize)line->len);
    g_free(line);
}

void feed_cursor_init(FeedCursor *c, Feed *f, bool privileged, WallTime now)
{
    *c = (FeedCursor){
        .after = feed_newest(f), .pending = g_string_new(NULL), .privileged = privileged};
    hand_out(c, c->after, "open", now);
}

void feed_cursor_done(FeedCursor *c)
{
    if (c->pending != NULL) {
        g_string_free(c->pending, TRUE);
        c->pending = NULL;
    }
}

/* The list is without gaps, so a line's place follows from its number: walk from the nearer end. */
static GList *first_after(Feed *f, uint64_t after)
{
    if (after >= f->newest || f->lines.length == 0) {
        return NULL;
    }
    uint64_t oldest = ((const FeedLine *)f->lines.head->data)->seq;
    return g_queue_peek_nth_link(&f->lines, after < oldest ? 0 : (guint)(after + 1 - oldest));
}

/* Takes whole lines until `want` bytes wait, with the lock held. */
static void refill(Feed *f, FeedCursor *c, gsize want)
{
    GList *link = first_after(f, c->after);
    const FeedLine *first = link != NULL ? link->data : NULL;

    if (first != NULL && first->seq > c->after + 1) {
        metrics_add(METRIC_EVENTS_LOST, 1);
        g_string_append_printf(c->pending, "{\"seq\":%" G_GUINT64_FORMAT ",\"op\":\"lost\"}\n",
                               first->seq - 1);
    }
    for (; link != NULL && c->pending->len - c->taken < want; link = link->next) {
        const FeedLine *line = link->data;
        c->after = line->seq;
        if (!line->private || c->privileged) {
            g_string_append_len(c->pending, line->text, (gssize)line->len);
        }
    }
}

size_t feed_read(Feed *f, FeedCursor *c, uint64_t offset, void *buf, size_t n)
{
    if (offset != c->expected) {
        c->after = offset;
        c->expected = offset;
        c->taken = c->pending->len;
    }
    if (c->taken == c->pending->len) {
        g_string_truncate(c->pending, 0);
        c->taken = 0;
    }
    pthread_mutex_lock(&f->lock);
    if (c->after > f->newest) {
        c->after = f->newest; /* a number that was never given: wait for what comes */
    }
    refill(f, c, n);
    pthread_mutex_unlock(&f->lock);

    size_t count = MIN(n, c->pending->len - c->taken);
    if (count > 0) {
        memcpy(buf, c->pending->str + c->taken, count);
    }
    c->taken += count;
    c->expected += count;
    return count;
}

bool feed_ready(Feed *f, const FeedCursor *c)
{
    bool ready = c->taken < c->pending->len;

    pthread_mutex_lock(&f->lock);
    for (GList *l = first_after(f, c->after); l != NULL && !ready; l = l->next) {
        ready = c->privileged || !((const FeedLine *)l->data)->private;
    }
    ready = ready || f->shut;
    pthread_mutex_unlock(&f->lock);
    return ready;
}

void feed_shutdown(Feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->shut = true;
    pthread_mutex_unlock(&f->lock);
    if (f->listener != NULL) {
        f->listener(f->listener_ctx);
    }
}
