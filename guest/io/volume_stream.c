/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/volume_stream.h"

#include "guest/core/imagehead.h"
#include "guest/io/nbd_disk.h"
#include "guest/io/rawhead.h"
#include "guest/io/stream_io.h"
#include "guest/io/volume.h"
#include "guest/io/volume_states.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 8
#define SNAPSHOTS   "snapshots+size"

static int send_header(int fd, uint64_t size, Err *err)
{
    uint8_t header[HEADER_SIZE];

    for (size_t i = 0; i < sizeof header; i++) {
        header[i] = (uint8_t)(size >> (8 * i));
    }
    return stream_write(fd, header, sizeof header, err);
}

/* ------------------------------------------------------------------ export */

static int send_file(const StorageSet *set, const char *path, uint64_t header, int to, Err *err)
{
    g_autofree uint8_t *buf = g_malloc(STREAM_PIECE);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint64_t done = 0;
    struct stat st;
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

    r = r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : send_header(to, header, err);
    while (r == 0 && done < (uint64_t)st.st_size) {
        size_t want = MIN(STREAM_PIECE, (uint64_t)st.st_size - done);
        size_t n = 0;
        r = stream_read(set, fd, buf, want, &n, err);
        if (r == 0 && n < want) {
            r = err_setf(err, -EIO, "%s: became shorter meanwhile", path);
        }
        if (r == 0) {
            r = stream_write(to, buf, n, err);
        }
        done += n;
        stream_tell(set, done, (uint64_t)st.st_size);
    }
    if (fd >= 0) {
        (void)close(fd); /* only read from */
    }
    return r;
}

static int send_disk(const StorageSet *set, const NbdDiskOptions *options, int to, Err *err)
{
    g_autofree uint8_t *buf = g_malloc(STREAM_PIECE);
    g_autoptr(NbdDisk) disk = NULL;
    int r = nbd_disk_open(options, &disk, err);
    uint64_t size = r == 0 ? nbd_disk_size(disk) : 0;

    if (r == 0) {
        r = send_header(to, size, err);
    }
    for (uint64_t at = 0; r == 0 && at < size;) {
        size_t n = MIN(STREAM_PIECE, size - at);
        r = stream_is_cancelled(set) ? err_setf(err, -ECANCELED, "interrupted")
                                     : nbd_disk_read(disk, at, buf, n, err);
        if (r == 0) {
            r = stream_write(to, buf, n, err);
        }
        at += n;
        stream_tell(set, at, size);
    }
    return r;
}

int volume_export(
    const StorageSet *set, const char *volid, const VolumeExport *how, int fd, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    g_autofree char *path = NULL;
    VolumeInfo info = {0};
    const char *format;
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0) {
        r = ref.kind->info(ref.storage, &ref.name, &info, err);
    }
    if (r == 0) {
        r = volume_path(set, volid, &path, err);
    }
    if (r < 0) {
        return r;
    }
    format = ref.name.format != NULL ? ref.name.format : "raw";
    if (strcmp(how->format, "raw+size") == 0) {
        if (strcmp(format, "raw") == 0 && how->snapshot == NULL) {
            return send_file(set, path, info.size, fd, err);
        }
        return send_disk(
            set, &(NbdDiskOptions){.path = path, .format = format, .snapshot = how->snapshot}, fd,
            err);
    }
    if (strcmp(how->format, SNAPSHOTS) == 0 && strcmp(format, "qcow2") == 0) {
        r = send_header(fd, info.size, err);
        return r == 0 ? volume_states_send(set, path, fd, err) : r;
    }
    if (strcmp(how->format, "qcow2+size") != 0 || strcmp(format, "qcow2") != 0) {
        return err_setf(err, -ENOTSUP, "volume '%s' (%s) cannot be exported as '%.40s': %s", volid,
                        format, how->format,
                        strcmp(format, "qcow2") == 0
                            ? "raw+size, qcow2+size and snapshots+size can be"
                            : "raw+size can be");
    }
    if (ref.name.base != NULL) {
        return err_setf(err, -ENOTSUP,
                        "volume '%s' is a linked clone: its data is partly elsewhere, export it as "
                        "raw+size",
                        volid);
    }
    if (info.snapshots > 0 && !how->with_snapshots) {
        return err_setf(err, -EINVAL,
                        "volume '%s' has snapshots: export it with -with-snapshots 1, or as "
                        "raw+size",
                        volid);
    }
    return send_file(set, path, info.size, fd, err);
}

/* ------------------------------------------------------------------ import */

/* Where the pieces of a stream go; zeroes are already there. */
typedef struct Sink {
    int fd;        /* raw */
    NbdDisk *disk; /* all other formats */
} Sink;

static int put_block(const Sink *sink, uint64_t at, const uint8_t *buf, size_t n, Err *err)
{
    if (stream_is_zero(buf, n)) {
        return 0;
    }
    if (sink->disk != NULL) {
        return nbd_disk_write(sink->disk, at, buf, n, err);
    }
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(sink->fd, buf + done, n - done, (off_t)(at + done));
        if (w < 0 && errno != EINTR) {
            return err_setf(err, -errno, "writing: %s", g_strerror(errno));
        }
        done += w > 0 ? (size_t)w : 0;
    }
    return 0;
}

static int put_piece(const Sink *sink, uint64_t at, const uint8_t *buf, size_t n, Err *err)
{
    int r = 0;

    for (size_t done = 0; r == 0 && done < n; done += STREAM_HOLE) {
        r = put_block(sink, at + done, buf + done, MIN(STREAM_HOLE, n - done), err);
    }
    return r;
}

/* Exactly `size` bytes and then the end. */
static int receive(const StorageSet *set, int from, uint64_t size, const Sink *sink, Err *err)
{
    g_autofree uint8_t *buf = g_malloc(STREAM_PIECE);
    size_t n = 0;
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < size; at += n) {
        size_t want = MIN(STREAM_PIECE, size - at);
        r = stream_read(set, from, buf, want, &n, err);
        if (r == 0 && n < want) {
            r = err_setf(err, -EBADMSG,
                         "the stream ended after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                         " bytes",
                         at + n, size);
        }
        if (r == 0) {
            r = put_piece(sink, at, buf, n, err);
        }
        stream_tell(set, at + n, size);
    }
    if (r == 0) {
        r = stream_read(set, from, buf, 1, &n, err);
    }
    if (r == 0 && n != 0) {
        r = err_setf(err, -EBADMSG,
                     "the stream is longer than the %" G_GUINT64_FORMAT " bytes it said", size);
    }
    return r;
}

static int receive_raw(
    const StorageSet *set, int from, uint64_t size, const char *path, const char *format, Err *err)
{
    Sink sink = {.fd = -1};
    int r;

    if (strcmp(format, "raw") != 0) {
        NbdDiskOptions options = {.path = path, .format = format, .writable = true};
        r = nbd_disk_open(&options, &sink.disk, err);
        if (r == 0) {
            r = receive(set, from, size, &sink, err);
        }
        if (r == 0) {
            r = nbd_disk_flush(sink.disk, err);
        }
        nbd_disk_close(sink.disk);
        return r;
    }
    sink.fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    r = sink.fd < 0 ? err_setf(err, -errno, "%s: %s", path, g_strerror(errno))
                    : receive(set, from, size, &sink, err);
    if (r == 0 && fsync(sink.fd) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (sink.fd >= 0) {
        (void)close(sink.fd); /* synced, or failed already */
    }
    return r == 0 ? rawhead_fill(path, err) : r;
}

/* The bytes of a file, as they come; zeroes become holes. */
static int receive_file(const StorageSet *set, int from, const char *path, Err *err)
{
    g_autofree uint8_t *buf = g_malloc(STREAM_PIECE);
    Sink sink = {.fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)};
    uint64_t at = 0;
    size_t n = 1;
    int r = sink.fd < 0 ? err_setf(err, -errno, "%s: %s", path, g_strerror(errno)) : 0;

    while (r == 0 && n > 0) {
        r = stream_read(set, from, buf, STREAM_PIECE, &n, err);
        if (r == 0) {
            r = put_piece(&sink, at, buf, n, err);
        }
        at += n;
    }
    if (r == 0 && (ftruncate(sink.fd, (off_t)at) < 0 || fsync(sink.fd) < 0)) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (sink.fd >= 0) {
        (void)close(sink.fd); /* synced, or failed already */
    }
    return r;
}

/* What came must be a whole image that names no other file of this host. */
static int check_qcow2(const char *path, uint64_t size, const VolumeImport *how, Err *err)
{
    g_auto(ImageInfo) info = {0};
    int r = qemuimg_info(path, "qcow2", &info, err);

    if (r == 0 && (info.backing != NULL || info.foreign)) {
        r = err_setf(err, -EPERM, "the image that came has data in another file");
    }
    if (r == 0 && info.size != size) {
        r = err_setf(err, -EBADMSG,
                     "the image that came has %" G_GUINT64_FORMAT
                     " bytes, the stream said %" G_GUINT64_FORMAT,
                     info.size, size);
    }
    if (r == 0 && info.snapshots->len > 0 && !how->with_snapshots) {
        r = err_setf(err, -EINVAL, "the image that came has snapshots, without -with-snapshots 1");
    }
    return r == 0 ? qemuimg_check(path, "qcow2", err) : r;
}

static int read_header(const StorageSet *set, int fd, uint64_t *ret, Err *err)
{
    uint8_t header[HEADER_SIZE];
    uint64_t size = 0;
    size_t n = 0;
    int r = stream_read(set, fd, header, sizeof header, &n, err);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < sizeof header; i++) {
        size |= (uint64_t)header[i] << (8 * i);
    }
    if (n < sizeof header || size > INT64_MAX) {
        return err_setf(err, -EBADMSG, "the stream has no size in front");
    }
    *ret = size;
    return 0;
}

/* The volume by its own name or, when that is taken and may be another, by the next one. */
static int alloc(const StorageSet *set,
                 const VolumeRef *ref,
                 const VolumeImport *how,
                 uint64_t size,
                 char **ret,
                 Err *err)
{
    VolumeSpec spec = {
        .vmid = ref->name.owner, .name = ref->name.name, .format = ref->name.format, .size = size};
    int r = volume_alloc(set, ref->storage->id, &spec, ret, err);

    if (r == -EEXIST && how->allow_rename) {
        err_clear(err);
        spec.name = NULL;
        r = volume_alloc(set, ref->storage->id, &spec, ret, err);
    }
    return r;
}

static int fill(const StorageSet *set,
                const char *volid,
                const VolumeRef *ref,
                const VolumeImport *how,
                uint64_t size,
                int fd,
                Err *err)
{
    g_autofree char *path = NULL;
    int r = volume_path(set, volid, &path, err);

    if (r < 0) {
        return r;
    }
    if (strcmp(how->format, "raw+size") == 0) {
        return receive_raw(set, fd, size, path, ref->name.format, err);
    }
    if (strcmp(how->format, SNAPSHOTS) == 0) {
        r = volume_states_receive(set, fd, path, size, err);
        return r == 0 ? qemuimg_check(path, "qcow2", err) : r;
    }
    r = receive_file(set, fd, path, err);
    if (r == 0) {
        r = check_qcow2(path, size, how, err);
    }
    if (r == 0 && how->delete_snapshot != NULL) {
        r = volume_snapshot(set, volid, IMAGE_SNAPSHOT_DELETE, how->delete_snapshot, err);
    }
    return r;
}

static int check_wish(const char *volid, const VolumeRef *ref, const VolumeImport *how, Err *err)
{
    bool raw = strcmp(how->format, "raw+size") == 0;
    const char *format = ref->name.format;

    if (strcmp(ref->name.content, "images") != 0) {
        return err_setf(err, -EINVAL, "volume '%s' is no disk", volid);
    }
    if (!raw && strcmp(how->format, "qcow2+size") != 0 && strcmp(how->format, SNAPSHOTS) != 0) {
        return err_setf(err, -ENOTSUP,
                        "'%.40s' cannot be imported: raw+size, qcow2+size and snapshots+size can",
                        how->format);
    }
    if (!raw && strcmp(format, "qcow2") != 0) {
        return err_setf(err, -EINVAL, "a stream of %s cannot become '%s'", how->format, volid);
    }
    if (ref->name.base != NULL && !how->allow_rename) {
        return err_setf(err, -EINVAL,
                        "'%s' is the name of a linked clone: what is imported stands alone and "
                        "needs another name (-allow-rename 1)",
                        volid);
    }
    return 0;
}

int volume_import(const StorageSet *set,
                  const char *volid,
                  const VolumeImport *how,
                  int fd,
                  char **ret_volid,
                  Err *err)
{
    g_auto(VolumeRef) ref = {0};
    g_autofree char *made = NULL;
    uint64_t size = 0;
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0) {
        r = check_wish(volid, &ref, how, err);
    }
    if (r == 0) {
        r = read_header(set, fd, &size, err);
    }
    if (r == 0) {
        r = alloc(set, &ref, how, size, &made, err);
    }
    if (r < 0) {
        return r;
    }
    r = fill(set, made, &ref, how, size, fd, err);
    if (r < 0) {
        Err why = ERR_INIT;
        if (volume_free(set, made, &why) < 0) {
            return err_wrapf(err, r, "'%s' could not be removed again (%s)", made, err_text(&why));
        }
        return r;
    }
    *ret_volid = g_steal_pointer(&made);
    return 0;
}
