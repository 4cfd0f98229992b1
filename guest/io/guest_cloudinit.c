/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_cloudinit.h"

#include "guest/core/cloudinit.h"
#include "guest/core/guestconf.h"
#include "guest/io/guest_disks.h"
#include "guest/io/textfile.h"
#include "guest/io/volume.h"
#include "lib/port/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPECIAL     "cloudinit"
#define SNIPPET_MAX (1024 * 1024)
#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_MAX  65536

/* ------------------------------------------------------------------- texts */

/* Texts that come from elsewhere. */
typedef struct Sources {
    CloudinitParams params; /* borrows from below */
    char *custom[4];        /* user, network, meta, vendor */
    char *nameserver;
    char *searchdomain;
} Sources;

static void sources_clear(Sources *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(s->custom); i++) {
        g_free(s->custom[i]);
    }
    g_free(s->nameserver);
    g_free(s->searchdomain);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sources, sources_clear)

/* What the host uses; a host without is no error. */
static void read_resolv(Sources *s)
{
    g_autoptr(GString) servers = g_string_new(NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;

    if (textfile_read(RESOLV_CONF, RESOLV_MAX, &text, &len, NULL) < 0) {
        return;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_strstrip(*line);
        if (g_str_has_prefix(*line, "nameserver ")) {
            g_string_append_printf(servers, "%s%s", servers->len > 0 ? " " : "",
                                   *line + strlen("nameserver "));
        } else if (g_str_has_prefix(*line, "search ") && s->searchdomain == NULL) {
            s->searchdomain = g_strdup(*line + strlen("search "));
        }
    }
    s->nameserver = servers->len > 0 ? g_strdup(servers->str) : NULL;
}

static int read_custom(const StorageSet *set, const GuestConf *gc, Sources *s, Err *err)
{
    static const char *const kinds[] = {"user", "network", "meta", "vendor"};
    const PropString *custom = guestconf_props(gc, "cicustom");

    for (size_t i = 0; custom != NULL && i < G_N_ELEMENTS(kinds); i++) {
        const char *volid = propstring_text(custom, kinds[i]);
        g_auto(VolumeRef) ref = {0};
        g_autofree char *path = NULL;
        size_t len;
        int r;

        if (volid == NULL) {
            continue;
        }
        r = volume_ref(set, volid, &ref, err);
        if (r == 0 && strcmp(ref.name.content, "snippets") != 0) {
            r = err_setf(err, -EINVAL, "'%s' is no snippet", volid);
        }
        if (r == 0) {
            r = volume_path(set, volid, &path, err);
        }
        if (r == 0) {
            r = textfile_read(path, SNIPPET_MAX, &s->custom[i], &len, err);
        }
        if (r < 0) {
            return err_wrapf(err, r, "cicustom: %s", kinds[i]);
        }
    }
    return 0;
}

static int read_sources(const StorageSet *set, const GuestConf *gc, Sources *s, Err *err)
{
    int r = read_custom(set, gc, s, err);

    read_resolv(s);
    s->params = (CloudinitParams){.nameserver = s->nameserver,
                                  .searchdomain = s->searchdomain,
                                  .user = s->custom[0],
                                  .network = s->custom[1],
                                  .meta = s->custom[2],
                                  .vendor = s->custom[3]};
    return r;
}

int guest_cloudinit_text(const StorageSet *set,
                         uint32_t vmid,
                         const VmConf *conf,
                         const char *kind,
                         char **ret,
                         Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    g_auto(Sources) sources = {0};
    int r = guestconf_new(vmconf_main(conf), vmid, warnings, &gc, err);

    if (r == 0) {
        r = read_sources(set, gc, &sources, err);
    }
    if (r < 0) {
        return r;
    }
    if (strcmp(kind, "user") == 0) {
        *ret = cloudinit_user(gc, &sources.params);
    } else if (strcmp(kind, "network") == 0) {
        *ret = cloudinit_network(gc, &sources.params);
    } else if (strcmp(kind, "meta") == 0) {
        *ret = cloudinit_meta(gc, &sources.params);
    } else {
        return err_setf(err, -EINVAL, "'%.40s' is not one of user, network, meta", kind);
    }
    return 0;
}

/* ------------------------------------------------------------------- image */

static int write_file(const char *dir, const CloudinitFile *f, Err *err)
{
    g_autofree char *path = g_build_filename(dir, f->path, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    FILE *out;
    bool ok;

    if (g_mkdir_with_parents(parent, 0700) < 0) {
        return err_setf(err, -errno, "%s: %s", parent, g_strerror(errno));
    }
    out = fopen(path, "we");
    if (out == NULL) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    ok = fputs(f->text, out) >= 0;
    ok = fclose(out) == 0 && ok;
    return ok ? 0 : err_setf(err, -EIO, "%s: cannot be written", path);
}

/* Everything that was written below `dir`, which is ours alone. */
static void remove_files(const char *dir, const GPtrArray *files)
{
    for (guint i = 0; i < files->len; i++) {
        const CloudinitFile *f = files->pdata[i];
        g_autofree char *path = g_build_filename(dir, "files", f->path, NULL);
        (void)g_unlink(path); /* it may not have come so far; directories that stay show it */
        for (;;) {
            char *parent = g_path_get_dirname(path);
            g_free(path);
            path = parent;
            if (strlen(path) <= strlen(dir) || g_rmdir(path) < 0) {
                break;
            }
        }
    }
}

static int make_iso(const char *dir, const GPtrArray *files, CloudinitFormat format, Err *err)
{
    g_autofree char *tree = g_build_filename(dir, "files", NULL);
    g_autofree char *iso = g_build_filename(dir, "iso", NULL);
    const char *const argv[] = {"genisoimage",           "-quiet", "-iso-level", "3",  "-R", "-V",
                                cloudinit_label(format), "-o",     iso,          tree, NULL};
    int r = 0;

    for (guint i = 0; r == 0 && i < files->len; i++) {
        r = write_file(tree, files->pdata[i], err);
    }
    if (r == 0) {
        r = process_check(argv, NULL, NULL, err);
    }
    if (r == -ENOENT) {
        r = err_setf(err, r, "genisoimage is not installed (Debian: genisoimage)");
    }
    return r;
}

/* The new image takes the place of the old one in one step. */
static int replace_image(const char *iso, const char *path, const char *format, Err *err)
{
    g_autofree char *temp = g_strconcat(path, ".new", NULL);
    ImageCreate create = {.path = temp, .format = format, .size = CLOUDINIT_BYTES};
    ImageCopy copy = {.from = iso, .from_format = "raw", .to = temp, .to_format = format};
    struct stat st;
    int fd;
    int r = 0;

    if (stat(iso, &st) < 0 || (uint64_t)st.st_size > CLOUDINIT_BYTES) {
        return err_setf(err, -EFBIG, "the cloud-init data does not fit into %d MiB",
                        (int)(CLOUDINIT_BYTES >> 20));
    }
    r = qemuimg_create(&create, NULL, err);
    if (r == 0) {
        r = qemuimg_copy(&copy, NULL, err);
    }
    fd = r == 0 ? open(temp, O_RDONLY | O_CLOEXEC) : -1;
    if (r == 0 && (fd < 0 || fchmod(fd, 0640) < 0 || fsync(fd) < 0 || rename(temp, path) < 0)) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd); /* synced, or failed already */
    }
    if (r < 0) {
        (void)unlink(temp);
    }
    return r;
}

static int make_image(const StorageSet *set,
                      const GuestConf *gc,
                      const CloudinitParams *params,
                      const char *volid,
                      Err *err)
{
    g_autoptr(GPtrArray) files = cloudinit_files(gc, params);
    g_autofree char *dir = g_dir_make_tmp("quorate-ci-XXXXXX", NULL);
    g_autofree char *iso = NULL;
    g_autofree char *path = NULL;
    g_auto(VolumeRef) ref = {0};
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0 && dir == NULL) {
        r = err_setf(err, -errno, "%s: %s", g_get_tmp_dir(), g_strerror(errno));
    }
    if (r == 0) {
        r = volume_path(set, volid, &path, err);
    }
    if (r < 0) {
        return r;
    }
    iso = g_build_filename(dir, "iso", NULL);
    r = make_iso(dir, files, cloudinit_format(gc), err);
    if (r == 0) {
        r = replace_image(iso, path, ref.name.format, err);
    }
    (void)g_unlink(iso); /* it may not have come so far */
    remove_files(dir, files);
    (void)g_rmdir(dir);
    return r;
}

/* ----------------------------------------------------------------- changes */

GArray *guest_cloudinit_pending(const VmConf *conf)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(CloudinitPending));
    const VmSection *main = vmconf_main(conf);
    const VmSection *made = vmconf_section(conf, VM_SECTION_SPECIAL, SPECIAL);

    for (guint i = 0; i < main->entries->len; i++) {
        const VmEntry *e = main->entries->pdata[i];
        const char *old = made != NULL ? vmsection_get(made, e->key) : NULL;
        if (cloudinit_uses(e->key) && g_strcmp0(old, e->value) != 0) {
            CloudinitPending p = {e->key, old, e->value};
            g_array_append_val(list, p);
        }
    }
    for (guint i = 0; made != NULL && i < made->entries->len; i++) {
        const VmEntry *e = made->entries->pdata[i];
        if (vmsection_get(main, e->key) == NULL) {
            CloudinitPending p = {e->key, e->value, NULL};
            g_array_append_val(list, p);
        }
    }
    return list;
}

static void remember(VmConf *conf)
{
    const VmSection *main = vmconf_main(conf);
    VmSection *made;

    (void)vmconf_remove_section(conf, VM_SECTION_SPECIAL, SPECIAL); /* or there was none */
    made = vmconf_need_section(conf, VM_SECTION_SPECIAL, SPECIAL);
    for (guint i = 0; i < main->entries->len; i++) {
        const VmEntry *e = main->entries->pdata[i];
        if (cloudinit_uses(e->key)) {
            vmsection_set(made, e->key, e->value);
        }
    }
}

int guest_cloudinit_update(const StorageSet *set, uint32_t vmid, VmConf *conf, bool force, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) disks = NULL;
    g_autoptr(GArray) pending = guest_cloudinit_pending(conf);
    g_autoptr(GuestConf) gc = NULL;
    g_auto(Sources) sources = {0};
    int made = 0;
    int r = guest_disks_of(vmconf_main(conf), false, &disks, err);

    /* Snippets are files: nothing says when they change. */
    force = force || pending->len > 0 || vmsection_get(vmconf_main(conf), "cicustom") != NULL ||
            vmconf_section(conf, VM_SECTION_SPECIAL, SPECIAL) == NULL;
    if (r < 0 || !force) {
        return r;
    }
    for (guint i = 0; r == 0 && i < disks->len; i++) {
        const GuestDisk *d = disks->pdata[i];
        if (!d->cloudinit) {
            continue;
        }
        if (gc == NULL) {
            r = guestconf_new(vmconf_main(conf), vmid, warnings, &gc, err);
            r = r == 0 ? read_sources(set, gc, &sources, err) : r;
        }
        r = r == 0 ? make_image(set, gc, &sources.params, d->volid, err) : r;
        r = r < 0 ? err_wrapf(err, r, "%s: cloud-init", d->key) : 0;
        made++;
    }
    if (r == 0 && made > 0) {
        remember(conf);
        return 1;
    }
    return r;
}

int guest_cloudinit_start(const GuestHost *h, uint32_t vmid, VmConf *conf, Err *err)
{
    g_autoptr(GPtrArray) disks = NULL;
    g_autoptr(StorageSet) set = NULL;
    bool any = false;
    int r = guest_disks_of(vmconf_main(conf), false, &disks, err);

    for (guint i = 0; r == 0 && i < disks->len; i++) {
        any = any || ((const GuestDisk *)disks->pdata[i])->cloudinit;
    }
    if (r < 0 || !any) {
        return r;
    }
    r = storage_set_open(h->tree, &set, err);
    return r == 0 ? guest_cloudinit_update(set, vmid, conf, false, err) : r;
}
