/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/rawhead.h"

#include "guest/core/drive.h"
#include "guest/core/storage_path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The size of a file that begins with a hole; 0 when there is nothing to do. */
static int unfit_size(int fd, off_t *ret)
{
    struct stat st;
    off_t data;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    *ret = 0;
    if (!S_ISREG(st.st_mode) || st.st_size % RAWHEAD_ALIGN == 0) {
        return 0;
    }
    data = lseek(fd, 0, SEEK_DATA);
    if (data < 0 && errno != ENXIO) { /* that is: nothing but a hole */
        return errno == EINVAL ? 0 : -errno; /* file systems without holes */
    }
    *ret = data != 0 ? st.st_size : 0;
    return 0;
}

static int fill(int fd)
{
    static const char zeroes[RAWHEAD_ALIGN];
    off_t size = 0;
    int r = unfit_size(fd, &size);
    size_t want = (size_t)MIN(size, (off_t)sizeof zeroes);
    ssize_t n = r == 0 && want > 0 ? pwrite(fd, zeroes, want, 0) : (ssize_t)want;

    if (r < 0 || n < 0) {
        return r < 0 ? r : -errno;
    }
    if ((size_t)n != want) {
        return -EIO;
    }
    return want > 0 && fdatasync(fd) < 0 ? -errno : 0; /* until then it may count as a hole */
}

int rawhead_fill(const char *path, Err *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int r = fd < 0 ? -errno : fill(fd);

    if (fd >= 0) {
        (void)close(fd); /* synced */
    }
    return r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : 0;
}

static bool is_read_only(const Drive *d)
{
    return (d->bus == DRIVE_SCSI || d->bus == DRIVE_VIRTIO) && propstring_bool(d->props, "ro");
}

static int fill_drive(const Drive *d, const HostFacts *facts, Err *err)
{
    g_autoptr(VolumeSource) source = NULL;
    struct stat st;
    int r;

    if (d->cdrom || is_read_only(d) ||
        (d->volid.kind != VOLID_VOLUME && d->volid.kind != VOLID_PATH)) {
        return 0;
    }
    r = volume_locate(facts, propstring_text(d->props, "file"), &source, err);
    if (r < 0 || source->kind != SOURCE_FILE || strcmp(source->format, "raw") != 0) {
        return r;
    }
    if (lstat(source->path, &st) < 0 || !S_ISREG(st.st_mode)) {
        return 0; /* whether it is there has been checked; a link leads to what is not ours */
    }
    r = st.st_size % RAWHEAD_ALIGN != 0 ? rawhead_fill(source->path, err) : 0;
    return r < 0 ? err_wrapf(err, r, "%s", d->name) : 0;
}

int rawhead_fill_drives(const GuestConf *conf, const HostFacts *facts, const char *key, Err *err)
{
    g_autoptr(GPtrArray) drives = NULL;
    int r = drives_list(conf, false, &drives, err);

    for (guint i = 0; r == 0 && i < drives->len; i++) {
        const Drive *d = drives->pdata[i];
        if (key == NULL || strcmp(d->name, key) == 0) {
            r = fill_drive(d, facts, err);
        }
    }
    return r;
}
