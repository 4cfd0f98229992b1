/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/volume_states.h"

#include "guest/core/qcowmap.h"
#include "guest/core/statestream.h"
#include "guest/io/nbd_disk.h"
#include "guest/io/qemuimg.h"
#include "guest/io/stream_io.h"
#include "lib/conf/sectionconf.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#define QUIET_MAX (UINT64_C(64) << 20) /* so much is read at most without a sign of life */

/* -------------------------------------------------------------------- send */

/* A snapshot, and its table of the first level. */
typedef struct State {
    QcowSnapshot snap;
    uint8_t *first;
} State;

static void state_free(void *data)
{
    State *s = data;

    qcow_snapshot_clear(&s->snap);
    g_free(s->first);
    g_free(s);
}

typedef struct Sender {
    const StorageSet *set;
    const char *path;
    int fd, to;
    ImageHead head;
    GPtrArray *states; /* State *, in the order in which they were made */
    NbdDisk *disk;     /* the snapshot that is being sent */
    uint8_t *before, *now, *piece;
    const State *last;
    bool fresh;   /* nothing is there yet: zeroes need not be said */
    bool resized; /* between `last` and this one */
    uint64_t quiet;
} Sender;

static void sender_clear(Sender *s)
{
    g_clear_pointer(&s->states, g_ptr_array_unref);
    g_clear_pointer(&s->disk, nbd_disk_close);
    g_free(s->before);
    g_free(s->now);
    g_free(s->piece);
    if (s->fd >= 0) {
        (void)close(s->fd); /* only read from */
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sender, sender_clear)

/* Up to `len` bytes, fewer at the end of the file. */
static int
read_file(const Sender *s, void *buf, size_t len, uint64_t at, bool whole, size_t *ret, Err *err)
{
    uint8_t *to = buf;
    size_t have = 0;

    while (have < len) {
        ssize_t n = pread(s->fd, to + have, len - have, (off_t)(at + have));
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "%s: %s", s->path, g_strerror(errno));
        }
        if (n == 0) {
            break;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    if (whole && have < len) {
        return err_setf(err, -EBADMSG, "%s: is cut off", s->path);
    }
    *ret = have;
    return 0;
}

static int open_image(Sender *s, Err *err)
{
    uint8_t head[IMAGEHEAD_SIZE];
    size_t n = 0;
    int r;

    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0) {
        return err_setf(err, -errno, "%s: %s", s->path, g_strerror(errno));
    }
    r = read_file(s, head, sizeof head, 0, false, &n, err);
    if (r < 0) {
        return r;
    }
    if ((r = imagehead_parse(head, n, &s->head, err)) < 0 ||
        (r = qcowmap_check(&s->head, err)) < 0) {
        return err_wrapf(err, r, "%s", s->path);
    }
    s->before = g_malloc((size_t)1 << s->head.cluster_bits);
    s->now = g_malloc((size_t)1 << s->head.cluster_bits);
    s->piece = g_malloc(STREAM_PIECE);
    s->states = g_ptr_array_new_with_free_func(state_free);
    return 0;
}

/* The next one of the list, which goes on at *at. */
static int read_state(Sender *s, uint64_t *at, Err *err)
{
    uint8_t bytes[QCOWMAP_SNAPSHOT_MAX];
    State *state = g_new0(State, 1);
    size_t n = 0, used = 0;
    int r = read_file(s, bytes, sizeof bytes, *at, false, &n, err);

    g_ptr_array_add(s->states, state);
    if (r == 0) {
        r = qcowmap_snapshot(&s->head, bytes, n, &state->snap, &used, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", s->path);
    }
    if (sectionconf_check_configid(state->snap.name, NULL) < 0) {
        return err_setf(err, -ENOTSUP, "%s: has a snapshot '%s' that qm did not make", s->path,
                        state->snap.name);
    }
    if (state->snap.size > s->head.size) { /* QEMU shows only as much of it as there is now */
        return err_setf(err, -ENOTSUP,
                        "%s: its snapshot '%s' is of a time when it was larger: stop the guest",
                        s->path, state->snap.name);
    }
    *at += used;
    state->first = g_malloc((size_t)state->snap.entries * 8);
    return read_file(s, state->first, (size_t)state->snap.entries * 8, state->snap.table, true, &n,
                     err);
}

static int say(Sender *s, StateKind kind, uint64_t position, uint32_t length, Err *err)
{
    StateRecord r = {kind, length, position};
    uint8_t head[STATESTREAM_HEAD];

    statestream_write(&r, head);
    s->quiet = 0;
    return stream_write(s->to, head, sizeof head, err);
}

static int send_zeroes(Sender *s, uint64_t at, uint64_t end, Err *err)
{
    int r = 0;

    while (r == 0 && at < end && !s->fresh) {
        uint32_t n = (uint32_t)MIN(STATESTREAM_ZERO_MAX, end - at);

        r = say(s, STATE_ZERO, at, n, err);
        at += n;
    }
    return r;
}

static int send_piece(Sender *s, uint64_t at, size_t n, Err *err)
{
    int r = nbd_disk_read(s->disk, at, s->piece, n, err);

    for (size_t done = 0; r == 0 && done < n; done += STREAM_HOLE) {
        size_t part = MIN(STREAM_HOLE, n - done);

        if (stream_is_zero(s->piece + done, part)) {
            r = send_zeroes(s, at + done, at + done + part, err);
        } else if ((r = say(s, STATE_DATA, at + done, (uint32_t)part, err)) == 0) {
            r = stream_write(s->to, s->piece + done, part, err);
        }
    }
    s->quiet += n;
    return r == 0 && s->quiet >= QUIET_MAX ? say(s, STATE_ZERO, 0, 0, err) : r;
}

static int send_run(Sender *s, QcowChange change, uint64_t at, uint64_t end, Err *err)
{
    int r = 0;

    if (change != QCOW_DATA) {
        return change == QCOW_ZERO ? send_zeroes(s, at, end, err) : 0;
    }
    while (r == 0 && at < end) {
        size_t n = (size_t)MIN(STREAM_PIECE, end - at);

        r = stream_is_cancelled(s->set) ? err_setf(err, -ECANCELED, "interrupted")
                                        : send_piece(s, at, n, err);
        at += n;
    }
    return r;
}

/* Where the table of the second level is, or 0. */
static uint64_t table_at(const State *state, uint64_t i)
{
    return state != NULL && i < state->snap.entries ? qcowmap_table_at(state->first, i) : 0;
}

/* NULL in *ret: there is none. */
static int read_table(const Sender *s, uint64_t at, uint8_t *buf, const uint8_t **ret, Err *err)
{
    size_t n = 0;

    *ret = at != 0 ? buf : NULL;
    return at != 0 ? read_file(s, buf, (size_t)1 << s->head.cluster_bits, at, true, &n, err) : 0;
}

/* Behind the end of a snapshot that was smaller nothing was there before; the cluster in which it
 * ended may have had anything. */
static QcowChange
change_of(const Sender *s, const uint8_t *before, const uint8_t *now, uint64_t i, uint64_t cluster)
{
    uint64_t end = s->resized ? s->last->snap.size >> s->head.cluster_bits : UINT64_MAX;

    if (cluster == end) {
        return QCOW_DATA;
    }
    return qcowmap_change(&s->head, cluster > end ? NULL : before, now, i);
}

/* All clusters of table `i`. */
static int send_table(Sender *s, const State *state, uint64_t i, Err *err)
{
    uint64_t per = qcowmap_per_table(&s->head), size = state->snap.size;
    uint64_t first = i * per, bits = s->head.cluster_bits;
    uint64_t n = MIN(per, ((size + (UINT64_C(1) << bits) - 1) >> bits) - first);
    const uint8_t *before = NULL, *now = NULL;
    QcowChange run = QCOW_SAME;
    uint64_t begin = 0;
    int r;

    if ((r = read_table(s, table_at(s->last, i), s->before, &before, err)) < 0 ||
        (r = read_table(s, table_at(state, i), s->now, &now, err)) < 0) {
        return r;
    }
    for (uint64_t k = 0; r == 0 && k <= n; k++) {
        QcowChange c = k < n ? change_of(s, before, now, k, first + k) : QCOW_SAME;

        if (c == run && k < n) {
            continue;
        }
        r = send_run(s, run, (first + begin) << bits, MIN((first + k) << bits, size), err);
        run = c;
        begin = k;
    }
    return r;
}

static int send_clusters(Sender *s, const State *state, Err *err)
{
    uint64_t covers = qcowmap_per_table(&s->head) << s->head.cluster_bits;
    int r = 0;

    s->resized = s->last != NULL && s->last->snap.size != state->snap.size;
    for (uint64_t i = 0; r == 0 && i * covers < state->snap.size; i++) {
        /* A table that both have is the same one; so is one that both have not. */
        if (s->resized || table_at(s->last, i) != table_at(state, i)) {
            r = send_table(s, state, i, err);
        }
    }
    return r;
}

static int send_state(Sender *s, const State *state, Err *err)
{
    NbdDiskOptions how = {
        .path = s->path, .format = "qcow2", .snapshot = state->snap.name, .in_use = true};
    size_t name = strlen(state->snap.name);
    int r = say(s, STATE_BEGIN, state->snap.size, (uint32_t)name, err);

    if (r == 0) {
        r = stream_write(s->to, state->snap.name, name, err);
    }
    if (r == 0) {
        r = nbd_disk_open(&how, &s->disk, err);
    }
    if (r == 0) {
        r = send_clusters(s, state, err);
    }
    g_clear_pointer(&s->disk, nbd_disk_close);
    s->last = state;
    s->fresh = false;
    return r == 0 ? say(s, STATE_END, 0, 0, err) : r;
}

int volume_states_send(const StorageSet *set, const char *path, int to, Err *err)
{
    g_auto(Sender) s = {.set = set, .path = path, .fd = -1, .to = to, .fresh = true};
    int r = open_image(&s, err);
    uint64_t at = s.head.snapshots_offset;

    for (uint32_t i = 0; r == 0 && i < s.head.snapshots; i++) {
        r = read_state(&s, &at, err);
    }
    for (guint i = 0; r == 0 && i < s.states->len; i++) {
        r = send_state(&s, g_ptr_array_index(s.states, i), err);
        stream_tell(set, i + 1, s.states->len);
    }
    return r == 0 ? say(&s, STATE_LAST, s.states->len, 0, err) : r;
}

/* ----------------------------------------------------------------- receive */

typedef struct Receiver {
    const StorageSet *set;
    const char *path;
    int from;
    uint64_t size; /* of the image now */
    StateStream stream;
    NbdDisk *disk;
    char name[STATESTREAM_NAME_MAX + 1];
    uint8_t *piece;
} Receiver;

static void receiver_clear(Receiver *v)
{
    g_clear_pointer(&v->disk, nbd_disk_close);
    g_free(v->piece);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Receiver, receiver_clear)

static int take(const Receiver *v, void *buf, size_t len, Err *err)
{
    size_t n = 0;
    int r = stream_read(v->set, v->from, buf, len, &n, err);

    return r == 0 && n < len ? err_setf(err, -EBADMSG, "the stream of snapshots ended early") : r;
}

static int set_size(Receiver *v, uint64_t size, Err *err)
{
    int r = 0;

    if (size != v->size) {
        r = qemuimg_resize(v->path, "qcow2", size, size < v->size, err);
        v->size = size;
    }
    return r;
}

static int begin_state(Receiver *v, const StateRecord *r, Err *err)
{
    NbdDiskOptions how = {.path = v->path, .format = "qcow2", .writable = true};
    int n = take(v, v->name, r->length, err);

    v->name[r->length] = '\0';
    if (n == 0 && (strlen(v->name) != r->length || sectionconf_check_configid(v->name, NULL) < 0)) {
        n = err_setf(err, -EBADMSG, "a snapshot with a bad name in the stream");
    }
    if (n == 0) {
        n = set_size(v, r->position, err);
    }
    return n == 0 ? nbd_disk_open(&how, &v->disk, err) : n;
}

static int end_state(Receiver *v, Err *err)
{
    int r = nbd_disk_flush(v->disk, err);

    g_clear_pointer(&v->disk, nbd_disk_close);
    return r == 0 ? qemuimg_snapshot(v->path, IMAGE_SNAPSHOT_CREATE, v->name, err) : r;
}

static int put_record(Receiver *v, const StateRecord *r, Err *err)
{
    int n;

    switch (r->kind) {
    case STATE_BEGIN:
        return begin_state(v, r, err);
    case STATE_DATA:
        n = take(v, v->piece, r->length, err);
        return n == 0 ? nbd_disk_write(v->disk, r->position, v->piece, r->length, err) : n;
    case STATE_ZERO:
        return r->length > 0 ? nbd_disk_zero(v->disk, r->position, r->length, err) : 0;
    case STATE_END:
        return end_state(v, err);
    case STATE_LAST:
        break;
    }
    return 0;
}

int volume_states_receive(
    const StorageSet *set, int from, const char *path, uint64_t size, Err *err)
{
    g_auto(Receiver) v = {.set = set, .path = path, .from = from, .size = size};
    uint8_t more;
    size_t n = 0;
    int r = 0;

    v.piece = g_malloc(STATESTREAM_DATA_MAX);
    while (r == 0 && !v.stream.ended) {
        uint8_t head[STATESTREAM_HEAD];
        StateRecord record = {0};

        r = take(&v, head, sizeof head, err);
        if (r == 0) {
            r = statestream_next(&v.stream, head, &record, err);
        }
        if (r == 0) {
            r = put_record(&v, &record, err);
        }
    }
    if (r == 0) {
        r = stream_read(set, from, &more, 1, &n, err);
    }
    if (r == 0 && n != 0) {
        r = err_setf(err, -EBADMSG, "the stream of snapshots goes on behind its end");
    }
    return r == 0 ? set_size(&v, size, err) : r;
}
