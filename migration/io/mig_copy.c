/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that no QEMU mirrors, and the snapshots of those that one will: `pvesm export` on the
 * source, a TLS connection of its own to port 60000, `pvesm import` on the target. Both sides work
 * on threads of their own, blocking; both count and digest what passes.
 */
#include "lib/base/sha256.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_source_ops.h"
#include "migration/io/mig_target_ops.h"
#include "migration/io/mig_tls.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <limits.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define STREAM_MS   30000  /* a peer that neither reads nor writes for so long is gone */
#define IMPORTED_MS 600000 /* the target may have to sync the whole volume */
#define REFUSED_MS  10000  /* a source that has not heard by then why nothing more is taken */
#define WORDS_MAX   65536  /* of what pvesm says */

typedef struct Stream {
    SSL *ssl;
    int fd;
    GByteArray *in; /* received, not yet a whole message */
    gint *stop;
    Sha256 *digest;
    int64_t bytes;
} Stream;

static void stream_done(Stream *s)
{
    if (s->ssl != NULL) {
        (void)SSL_shutdown(s->ssl); /* politeness */
        SSL_free(s->ssl);
    }
    if (s->fd >= 0) {
        (void)close(s->fd); /* everything that matters was acknowledged */
    }
    if (s->in != NULL) {
        g_byte_array_unref(s->in);
    }
    sha256_free(s->digest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Stream, stream_done)

static int tls_fail(Stream *s, Err *err)
{
    mig_tls_reason(s->ssl, err, -EPIPE, "the stream of the volume");
    return -EPIPE;
}

static int send_bytes(Stream *s, GBytes *message, Err *err)
{
    gsize size = 0;
    const guint8 *data = message != NULL ? g_bytes_get_data(message, &size) : NULL;
    int r = message != NULL ? 0 : err_setf(err, -EMSGSIZE, "a message does not fit");

    while (size > 0 && r == 0) {
        int n = SSL_write(s->ssl, data, (int)size);

        if (n <= 0) {
            r = tls_fail(s, err);
        } else {
            data += n;
            size -= (gsize)n;
        }
    }
    if (message != NULL) {
        g_bytes_unref(message);
    }
    return r;
}

/* Says the other side something? Records of TLS itself make a connection readable as well. */
static bool has_word(Stream *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    guint8 first;
    int n;

    if (s->in->len > 0 || SSL_pending(s->ssl) > 0) {
        return true;
    }
    if (poll(&p, 1, 0) <= 0) {
        return false;
    }
    (void)g_unix_set_fd_nonblocking(s->fd, TRUE, NULL); /* a connected socket */
    n = SSL_peek(s->ssl, &first, 1);
    (void)g_unix_set_fd_nonblocking(s->fd, FALSE, NULL);
    ERR_clear_error();
    return n > 0;
}

/* The next message. */
static int receive(Stream *s, WireMig *ret, Err *err)
{
    guint8 piece[65536];

    for (;;) {
        int64_t size = wire_mig_size(s->in->data, s->in->len, err);
        int n;

        if (size < 0) {
            return (int)size;
        }
        if (size > 0 && s->in->len >= (guint64)size) {
            int r = wire_mig_decode(s->in->data, (size_t)size, ret, err);

            g_byte_array_remove_range(s->in, 0, (guint)size);
            return r;
        }
        n = SSL_read(s->ssl, piece, sizeof piece);
        if (n <= 0) {
            return tls_fail(s, err);
        }
        g_byte_array_append(s->in, piece, (guint)n);
    }
}

static void count(Stream *s, const void *data, gsize n)
{
    sha256_bytes(s->digest, data, n);
    s->bytes += (int64_t)n;
}

static void hex_digest(Stream *s, char ret[2 * SHA256_SIZE + 1])
{
    uint8_t digest[SHA256_SIZE];

    sha256_finish(s->digest, digest);
    for (int i = 0; i < SHA256_SIZE; i++) {
        ret[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    ret[2 * SHA256_SIZE] = '\0';
}

/* Whatever it is that is read and thrown away, so that the other side can hear what was said. */
static void drain(Stream *s)
{
    MonoTime until = mono_add_ms(clock_mono(), REFUSED_MS);
    guint8 piece[65536];

    mig_socket_timeout(s->fd, REFUSED_MS);
    while (g_atomic_int_get(s->stop) == 0 && mono_before(clock_mono(), until) &&
           SSL_read(s->ssl, piece, sizeof piece) > 0) {
    }
    ERR_clear_error();
}

/* ---- the source ------------------------------------------------------------------------------ */

typedef struct CopyJob {
    MigJob *job;
    unsigned seq;
    char *address;
    GPtrArray *volumes; /* of MigVolume *, borrowed: the list does not change meanwhile */
    int64_t done;
} CopyJob;

static int open_stream(CopyJob *c, const MigVolume *v, Stream *s, Err *err)
{
    const MigTree *tree = &c->job->setup->tree;
    g_autoptr(JsonTree) t = jsontree_new_object();
    int r = mig_socket_connect(c->address, MIG_PORT_CONTROL, STREAM_MS, err);

    if (r < 0) {
        return r;
    }
    s->fd = r;
    s->in = g_byte_array_new();
    s->digest = sha256_new();
    r = mig_tls_new(tree->pve, tree->node, c->job->peer, s->fd, &s->ssl, err);
    if (r < 0) {
        return r;
    }
    if (SSL_do_handshake(s->ssl) != 1) {
        return tls_fail(s, err);
    }
    jsontree_set_int(t, "version", WIRE_MIG_VERSION);
    jsontree_set_int(t, "oldest", WIRE_MIG_VERSION);
    jsontree_set_text(t, "node", tree->node);
    jsontree_set_text(t, "id", c->job->id);
    jsontree_set_int(t, "vmid", c->job->vmid);
    jsontree_set_text(t, "purpose", "volume");
    jsontree_set_text(t, "volume", v->volid);
    return send_bytes(s, wire_mig_encode(WIRE_MIG_HELLO, t), err);
}

static void show_progress(CopyJob *c, const MigVolume *v, int64_t bytes)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_text(t, "event", "progress");
    jsontree_set_text(t, "phase", "copy");
    jsontree_set_text(t, "volume", v->volid);
    jsontree_set_int(t, "transferred", c->done + bytes);
    jsontree_set_int(t, "elapsed_ms", mono_diff_us(clock_mono(), c->job->stats.began) / US_PER_MS);
    mig_job_progress(c->job, t);
}

typedef struct Pace {
    int64_t limit, bytes; /* since `began` */
    MonoTime began;
} Pace;

/* Sleeps as long as what was sent is ahead of the limit, which may change meanwhile. */
static void keep_limit(Pace *p, int64_t limit, gssize sent)
{
    int64_t ahead_us;

    if (limit != p->limit) {
        *p = (Pace){limit, 0, clock_mono()};
    }
    p->bytes += sent;
    if (limit <= 0) {
        return;
    }
    ahead_us =
        (int64_t)((double)p->bytes / (double)limit * 1e6) - mono_diff_us(clock_mono(), p->began);
    if (ahead_us > 0) {
        g_usleep((gulong)MIN(ahead_us, 500000));
    }
}

/* What the target says instead of having taken the volume. */
static int refusal(CopyJob *c, const MigVolume *v, const WireMig *m, Err *err)
{
    const char *text = jsontree_get_text(m->body, "text");
    int64_t code = jsontree_get_int(m->body, "code", EIO);
    g_autofree char *advice = mig_volumes_full_advice(text, c->job->peer, v->to);

    return err_setf(err, code > 0 && code <= INT_MAX ? -(int)code : -EIO, "%s: node '%s': %s%s",
                    v->volid, c->job->peer, text != NULL ? text : wire_mig_name(m->type), advice);
}

static int pump_out(CopyJob *c, const MigVolume *v, Stream *s, GInputStream *from, Err *err)
{
    g_autofree guint8 *piece = g_malloc(WIRE_MIG_DATA_MAX);
    MonoTime shown = clock_mono();
    Pace pace = {.began = shown};

    for (;;) {
        g_autoptr(GError) gerror = NULL;
        gssize n = g_input_stream_read(from, piece, WIRE_MIG_DATA_MAX, NULL, &gerror);
        int r;

        if (n < 0) {
            return err_setf(err, -EIO, "%s: %s", v->volid, gerror->message);
        }
        if (n == 0) {
            return 0;
        }
        if (g_atomic_int_get(&c->job->copy_stop) != 0) {
            return err_setf(err, -EINTR, "given up");
        }
        if (has_word(s)) {
            g_auto(WireMig) m = {0};

            r = receive(s, &m, err);
            return r < 0 ? r : refusal(c, v, &m, err);
        }
        count(s, piece, (gsize)n);
        r = send_bytes(s, wire_mig_encode_data(piece, (gsize)n), err);
        if (r < 0) {
            return r;
        }
        keep_limit(&pace, mig_source_limit(c->job, v), n);
        if (mono_diff_us(clock_mono(), shown) > 250 * US_PER_MS) {
            shown = clock_mono();
            show_progress(c, v, s->bytes);
        }
    }
}

static int end_stream(CopyJob *c, Stream *s, const MigVolume *v, char **ret_volid, Err *err)
{
    char digest[2 * SHA256_SIZE + 1];
    g_autoptr(JsonTree) t = jsontree_new_object();
    g_auto(WireMig) m = {0};
    int r;

    hex_digest(s, digest);
    jsontree_set_int(t, "size", s->bytes);
    jsontree_set_text(t, "sha256", digest);
    mig_socket_timeout(s->fd, IMPORTED_MS);
    if ((r = send_bytes(s, wire_mig_encode(WIRE_MIG_END, t), err)) < 0 ||
        (r = receive(s, &m, err)) < 0) {
        return r;
    }
    if (m.type != WIRE_MIG_IMPORTED) {
        return refusal(c, v, &m, err);
    }
    *ret_volid = g_strdup(jsontree_get_text(m.body, "volid"));
    return 0;
}

static int copy_one(CopyJob *c, MigVolume *v, Err *err)
{
    bool mirror = v->how == MIG_VOLUME_MIRROR;
    g_autofree char *format = g_strdup_printf("%s+size", mirror ? "snapshots" : v->format);
    g_autoptr(GError) gerror = NULL;
    g_auto(Stream) s = {.fd = -1};
    g_autoptr(GSubprocess) p = NULL;
    int r = open_stream(c, v, &s, err);

    if (r < 0) {
        return r;
    }
    p = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE, &gerror, c->job->setup->pvesm, "export",
                         v->volid, format, "-", "-with-snapshots", v->snapshots ? "1" : "0", NULL);
    if (p == NULL) {
        return err_setf(err, -EIO, "pvesm: %s", gerror->message);
    }
    r = pump_out(c, v, &s, g_subprocess_get_stdout_pipe(p), err);
    if (r < 0) {
        g_subprocess_force_exit(p);
    }
    if (!g_subprocess_wait_check(p, NULL, &gerror) && r == 0) {
        r = err_setf(err, -EIO, "pvesm export %s: %s", v->volid, gerror->message);
    }
    if (r == 0) {
        g_autofree char *fresh = NULL;

        r = end_stream(c, &s, v, &fresh, err);
        if (r == 0) {
            g_free(v->new_volid);
            v->new_volid = g_steal_pointer(&fresh);
            c->done += s.bytes;
        }
    }
    return r;
}

static void *copy_main(void *data)
{
    CopyJob *c = data;
    Err err = ERR_INIT;
    int r = 0;

    for (guint i = 0; r == 0 && i < c->volumes->len; i++) {
        MigVolume *v = g_ptr_array_index(c->volumes, i);

        if (mig_volume_is_copied(v)) {
            mig_job_say(c->job, "copying %s '%s'",
                        v->how == MIG_VOLUME_MIRROR ? "the snapshots of volume" : "volume",
                        v->volid);
            r = copy_one(c, v, &err);
        }
    }
    mig_job_note_later(c->job, MIG_EV_DONE, MIG_OP_COPY, r, c->seq, r < 0 ? err_text(&err) : NULL);
    g_ptr_array_unref(c->volumes);
    mig_job_unref(c->job);
    g_free(c->address);
    g_free(c);
    return NULL;
}

void mig_source_copy(MigJob *j)
{
    CopyJob *c;
    char *address = NULL;
    Err err = ERR_INIT;
    int r = mig_tree_member(&j->setup->tree, j->peer, &address, &err);

    if (r < 0) {
        mig_source_done(j, MIG_OP_COPY, r, err_text(&err));
        return;
    }
    g_atomic_int_set(&j->copy_stop, 0);
    c = g_new0(CopyJob, 1);
    *c = (CopyJob){mig_job_ref(j), j->seq, address, g_ptr_array_ref(j->volumes->list), 0};
    g_thread_unref(g_thread_new("mig-copy", copy_main, c));
}

/* ---- the target ------------------------------------------------------------------------------ */

typedef struct Incoming {
    MigJob *job;
    Stream stream;
    char *volume, *storage, *format;
    bool snapshots, base;
    bool import_ended; /* before all had come: it says why */
} Incoming;

static void incoming_free(Incoming *in)
{
    stream_done(&in->stream);
    (void)g_atomic_int_add(&in->job->streams, -1);
    mig_job_unref(in->job);
    g_free(in->volume);
    g_free(in->storage);
    g_free(in->format);
    g_free(in);
}

static int check_end(Incoming *in, const WireMig *m, Err *err)
{
    char digest[2 * SHA256_SIZE + 1];

    hex_digest(&in->stream, digest);
    if (jsontree_get_int(m->body, "size", -1) != in->stream.bytes ||
        g_strcmp0(jsontree_get_text(m->body, "sha256"), digest) != 0) {
        return err_setf(err, -EBADMSG, "what arrived is not what was sent");
    }
    return 0;
}

/* Writes what comes to `to`, until the end or a fault. */
static int pump_in(Incoming *in, GOutputStream *to, Err *err)
{
    for (;;) {
        g_auto(WireMig) m = {0};
        g_autoptr(GError) gerror = NULL;
        int r = receive(&in->stream, &m, err);

        if (r < 0) {
            return r;
        }
        if (g_atomic_int_get(&in->job->copy_stop) != 0) {
            return err_setf(err, -EINTR, "given up");
        }
        if (m.type == WIRE_MIG_END) {
            return check_end(in, &m, err);
        }
        if (m.type == WIRE_MIG_DATA) {
            gsize size = 0;
            const void *data = g_bytes_get_data(m.data, &size);

            count(&in->stream, data, size);
            if (!g_output_stream_write_all(to, data, size, NULL, NULL, &gerror)) {
                in->import_ended = true;
                return err_setf(err, -EIO, "pvesm import: %s", gerror->message);
            }
        } else if (m.type != WIRE_MIG_PING) {
            return err_setf(err, -EPROTO, "'%s' in a stream", wire_mig_name(m.type));
        }
    }
}

/* What a program said until its end, as far as it is kept. Caller frees. */
static char *read_words(GInputStream *from)
{
    g_autofree char *text = g_malloc0(WORDS_MAX + 1);
    gsize n = 0;

    (void)g_input_stream_read_all(from, text, WORDS_MAX, &n, NULL, NULL); /* what there was */
    text[n] = '\0';
    return g_strdup(g_strchomp(text));
}

/* The volume between quotes in what `pvesm import` says last. */
static char *imported_name(GSubprocess *p)
{
    g_autofree char *text = read_words(g_subprocess_get_stdout_pipe(p));
    char *end = strrchr(text, '\'');
    char *begin;

    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    begin = strrchr(text, '\'');
    return begin != NULL ? g_strdup(begin + 1) : NULL;
}

/* Why it failed: its last words. */
static int import_failed(GSubprocess *p, const char *wish, Err *err)
{
    g_autofree char *words = read_words(g_subprocess_get_stderr_pipe(p));
    const char *line = strrchr(words, '\n') != NULL ? strrchr(words, '\n') + 1 : words;
    g_autoptr(GError) gerror = NULL;

    (void)g_subprocess_wait_check(p, NULL, &gerror); /* it has failed */
    return err_setf(err, strstr(line, g_strerror(ENOSPC)) != NULL ? -ENOSPC : -EIO,
                    "pvesm import %s: %s", wish,
                    *line != '\0'     ? line
                    : gerror != NULL ? gerror->message
                                     : "it ended too early");
}

static GSubprocess *start_import(Incoming *in, const char *wish, Err *err)
{
    g_autofree char *format = g_strdup_printf("%s+size", in->format);
    g_autoptr(GError) gerror = NULL;
    GSubprocess *p = g_subprocess_new(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
            G_SUBPROCESS_FLAGS_STDERR_PIPE,
        &gerror, in->job->setup->pvesm, "import", wish, format, "-", "-allow-rename",
        in->base ? "0" : "1", "-with-snapshots", in->snapshots ? "1" : "0", NULL);

    if (p == NULL) {
        (void)err_setf(err, -EIO, "pvesm: %s", gerror->message);
    }
    return p;
}

static int import(Incoming *in, char **ret_volid, Err *err)
{
    const char *colon = strchr(in->volume, ':');
    g_autofree char *wish = g_strdup_printf("%s:%s", in->storage, colon != NULL ? colon + 1 : "");
    g_autoptr(GSubprocess) p = start_import(in, wish, err);
    g_autofree char *name = NULL;
    int r;

    if (p == NULL) {
        return err->code;
    }
    r = pump_in(in, g_subprocess_get_stdin_pipe(p), err);
    if (in->import_ended) {
        return import_failed(p, wish, err);
    }
    if (r < 0) {
        g_subprocess_force_exit(p); /* an import that does not see its end leaves nothing */
        (void)g_subprocess_wait(p, NULL, NULL);
        return r;
    }
    (void)g_output_stream_close(g_subprocess_get_stdin_pipe(p), NULL, NULL); /* seen below */
    name = imported_name(p);
    if (!g_subprocess_wait_check(p, NULL, NULL)) {
        return import_failed(p, wish, err);
    }
    if (name == NULL) {
        return err_setf(err, -EIO, "pvesm import %s does not say what it made", wish);
    }
    *ret_volid = g_steal_pointer(&name);
    return 0;
}

typedef struct Arrived {
    Incoming *in;
    char *volid;
} Arrived;

/* On the job's thread: into the journal first, then the source hears of it. */
static gboolean on_arrived(gpointer data)
{
    Arrived *a = data;
    g_autoptr(JsonTree) t = jsontree_new_object();
    Err err = ERR_INIT;

    mig_target_note_volume(a->in->job, a->in->volume, a->volid);
    jsontree_set_text(t, "volid", a->volid);
    if (send_bytes(&a->in->stream, wire_mig_encode(WIRE_MIG_IMPORTED, t), &err) < 0) {
        mig_job_say(a->in->job, "%s", err_text(&err));
    }
    return G_SOURCE_REMOVE;
}

static void arrived_free(void *data)
{
    Arrived *a = data;

    incoming_free(a->in);
    g_free(a->volid);
    g_free(a);
}

static void *incoming_main(void *data)
{
    Incoming *in = data;
    char *volid = NULL;
    Err err = ERR_INIT;

    mig_socket_timeout(in->stream.fd, STREAM_MS);
    if (import(in, &volid, &err) < 0) {
        g_autoptr(JsonTree) t = jsontree_new_object();
        Err ignored = ERR_INIT;

        jsontree_set_int(t, "code", -err.code);
        jsontree_set_text(t, "text", err_text(&err));
        if (send_bytes(&in->stream, wire_mig_encode(WIRE_MIG_ERROR, t), &ignored) == 0) {
            drain(&in->stream); /* else the source sees the end of the connection */
        }
        log_line(TRACE_WARNING, "migrate", "volume '%s': %s", in->volume, err_text(&err));
        incoming_free(in);
    } else {
        Arrived *a = g_new(Arrived, 1);

        *a = (Arrived){in, volid};
        mig_post(in->job->context, on_arrived, a, arrived_free);
    }
    return NULL;
}

/* On the job's thread: looks the volume up in what `prepare` asked for. */
static gboolean on_volume(gpointer data)
{
    Incoming *in = data;
    const JsonTree *list = jsontree_get(in->job->asked, "volumes");
    Err err = ERR_INIT;

    (void)err_setf(&err, -ENOENT, "it was not announced");
    for (guint i = 0; i < jsontree_count(list); i++) {
        const JsonTree *v = jsontree_at(list, i);
        const char *format =
            mig_target_is_replayed(v) ? "snapshots" : jsontree_get_text(v, "format");

        if (in->job->target.state == MIG_TGT_PREPARED &&
            g_strcmp0(jsontree_get_text(v, "volid"), in->volume) == 0) {
            in->storage = g_strdup(jsontree_get_text(v, "storage"));
            in->format = g_strdup(format != NULL ? format : "raw");
            in->snapshots = jsontree_get_bool(v, "snapshots", false);
            in->base = jsontree_get_bool(v, "base", false);
            if (mig_target_intend(in->job, in->storage, &err) < 0) {
                break;
            }
            g_thread_unref(g_thread_new("mig-import", incoming_main, in));
            return G_SOURCE_REMOVE;
        }
    }
    mig_job_say(in->job, "volume '%s': %s", in->volume, err_text(&err));
    incoming_free(in);
    return G_SOURCE_REMOVE;
}

void mig_target_volume(MigJob *j, MigLink *link, const char *volume)
{
    Incoming *in = g_new0(Incoming, 1);
    void *ssl = NULL;

    in->job = mig_job_ref(j);
    in->volume = g_strdup(volume);
    mig_link_steal(link, &in->stream.fd, &ssl, &in->stream.in);
    in->stream.ssl = ssl;
    in->stream.digest = sha256_new();
    in->stream.stop = &j->copy_stop;
    (void)g_atomic_int_add(&j->streams, 1);
    mig_post(j->context, on_volume, in, NULL);
}
