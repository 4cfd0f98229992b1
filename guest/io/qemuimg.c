/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/qemuimg.h"

#include "lib/base/jsontree.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>

#define PROGRAM "qemu-img"
/* A copy may take days; a forgotten one does not stay for ever. */
#define COPY_MS       (7u * 24 * 3600 * 1000)
#define CHECK_LEAKS   3  /* exit status: sound, but space is lost */
#define CHECK_NOTHING 63 /* exit status: the format has no check */

/* "    (12.34/100%)" */
static void read_percent(void *ctx, const char *line)
{
    const ImageProgress *p = ctx;
    const char *open = strchr(line, '(');

    if (p->percent != NULL && open != NULL && strstr(open, "/100%)") != NULL) {
        p->percent(p->ctx, g_ascii_strtod(open + 1, NULL));
    }
}

static int run(GPtrArray *argv, const ImageProgress *progress, char **ret_out, Err *err)
{
    ImageProgress p = progress != NULL ? *progress : (ImageProgress){0};
    ProcessOptions options = {.timeout_ms = COPY_MS, .name = PROGRAM, .cancel = p.cancel};

    if (p.percent != NULL) {
        options.line = read_percent;
        options.ctx = &p;
    }
    g_ptr_array_add(argv, NULL);
    return process_check((const char *const *)argv->pdata, &options, ret_out, err);
}

static GPtrArray *words(const char *first, ...)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    va_list list;

    g_ptr_array_add(argv, g_strdup(PROGRAM));
    va_start(list, first);
    for (const char *word = first; word != NULL; word = va_arg(list, const char *)) {
        g_ptr_array_add(argv, g_strdup(word));
    }
    va_end(list);
    return argv;
}

static void add(GPtrArray *argv, const char *option, char *value)
{
    g_ptr_array_add(argv, g_strdup(option));
    g_ptr_array_add(argv, value);
}

int qemuimg_create(const ImageCreate *c, const ImageProgress *progress, Err *err)
{
    g_autoptr(GPtrArray) argv = words("create", "-q", "-f", c->format, NULL);
    bool prealloc = c->preallocation != NULL && strcmp(c->preallocation, "off") != 0;

    if (strcmp(c->format, "raw") == 0 && g_strcmp0(c->preallocation, "metadata") == 0) {
        prealloc = false; /* a raw image has none */
    }
    if (prealloc && strcmp(c->format, "vmdk") != 0 && c->backing == NULL) {
        add(argv, "-o", g_strdup_printf("preallocation=%s", c->preallocation));
    }
    if (c->backing != NULL) {
        add(argv, "-b", g_strdup(c->backing));
        add(argv, "-F", g_strdup(c->backing_format));
    }
    g_ptr_array_add(argv, g_strdup(c->path));
    if (c->backing == NULL) {
        g_ptr_array_add(argv, g_strdup_printf("%" G_GUINT64_FORMAT, c->size));
    }
    return run(argv, progress, NULL, err);
}

int qemuimg_resize(const char *path, const char *format, uint64_t size, bool shrink, Err *err)
{
    g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, size);
    g_autoptr(GPtrArray) argv = words("resize", "-q", "-f", format, path, NULL);

    if (shrink) {
        g_ptr_array_add(argv, g_strdup("--shrink"));
    }
    g_ptr_array_add(argv, g_steal_pointer(&bytes)); /* the last word, or it is not understood */
    return run(argv, NULL, NULL, err);
}

/* When this process is killed, its copy ends: it would keep the source locked for as long as it
 * takes, and nobody waits for it. */
static void die_with_us(GPtrArray *argv)
{
    static const char *const before[] = {"setpriv", "--pdeathsig", "KILL"};

    for (guint i = 0; i < G_N_ELEMENTS(before); i++) {
        g_ptr_array_insert(argv, (gint)i, g_strdup(before[i]));
    }
}

int qemuimg_copy(const ImageCopy *c, const ImageProgress *progress, Err *err)
{
    g_autoptr(GPtrArray) argv =
        words("convert", "-p", "-n", "-f", c->from_format, "-O", c->to_format, NULL);

    if (c->to_is_zero) {
        g_ptr_array_add(argv, g_strdup("--target-is-zero"));
    }
    if (c->in_use) {
        g_ptr_array_add(argv, g_strdup("-U"));
    }
    if (c->snapshot != NULL) {
        add(argv, "-l", g_strdup_printf("snapshot.name=%s", c->snapshot));
    }
    if (progress != NULL && progress->rate_bytes > 0) {
        add(argv, "-r", g_strdup_printf("%" G_GUINT64_FORMAT, progress->rate_bytes));
    }
    g_ptr_array_add(argv, g_strdup(c->from));
    g_ptr_array_add(argv, g_strdup(c->to));
    die_with_us(argv);
    return run(argv, progress, NULL, err);
}

/* -------------------------------------------------------------------- info */

void image_info_clear(ImageInfo *i)
{
    g_clear_pointer(&i->backing, g_free);
    g_clear_pointer(&i->snapshots, g_ptr_array_unref);
}

/* A vmdk may be spread over files, a qcow2 may keep its data elsewhere. */
static bool is_foreign(const JsonTree *info, const char *path)
{
    const JsonTree *data = jsontree_get(jsontree_get(info, "format-specific"), "data");
    const JsonTree *extents = jsontree_get(data, "extents");

    for (guint i = 0; i < jsontree_count(extents); i++) {
        if (g_strcmp0(jsontree_get_text(jsontree_at(extents, i), "filename"), path) != 0) {
            return true;
        }
    }
    return jsontree_get_text(data, "data-file") != NULL;
}

int qemuimg_info(const char *path, const char *format, ImageInfo *ret, Err *err)
{
    g_autoptr(GPtrArray) argv = words("info", "-U", "--output=json", "-f", format, path, NULL);
    g_autoptr(JsonTree) info = NULL;
    g_autofree char *text = NULL;
    const JsonTree *snapshots;
    int64_t size;
    int r = run(argv, NULL, &text, err);

    if (r == 0) {
        r = jsontree_parse(text, strlen(text), &info, err);
    }
    if (r < 0) {
        return r;
    }
    size = jsontree_get_int(info, "virtual-size", -1);
    if (size < 0) {
        return err_setf(err, -EBADMSG, "%s: qemu-img tells no size", path);
    }
    *ret = (ImageInfo){.size = (uint64_t)size,
                       .backing = g_strdup(jsontree_get_text(info, "backing-filename")),
                       .snapshots = g_ptr_array_new_with_free_func(g_free),
                       .foreign = is_foreign(info, path)};
    snapshots = jsontree_get(info, "snapshots");
    for (guint i = 0; i < jsontree_count(snapshots); i++) {
        const char *name = jsontree_get_text(jsontree_at(snapshots, i), "name");
        g_ptr_array_add(ret->snapshots, g_strdup(name != NULL ? name : ""));
    }
    return 0;
}

int qemuimg_check(const char *path, const char *format, Err *err)
{
    g_autoptr(GPtrArray) argv = words("check", "-q", "-f", format, path, NULL);
    ProcessOptions options = {.timeout_ms = COPY_MS};
    g_auto(ProcessResult) result = {0};
    int r;

    if (strcmp(format, "raw") == 0) {
        return 0;
    }
    g_ptr_array_add(argv, NULL);
    r = process_run((const char *const *)argv->pdata, &options, &result, err);
    if (r < 0) {
        return r;
    }
    if (result.status != 0 && result.status != CHECK_LEAKS && result.status != CHECK_NOTHING) {
        return err_setf(err, -EBADMSG, "%s: the image is damaged (qemu-img check: %d)", path,
                        result.status);
    }
    return 0;
}

/* --------------------------------------------------------------- snapshots */

/* qemu-img would make a second one of the same name, or take a number for another one's id. */
static int check_name(const char *path, ImageSnapshotAction action, const char *name, Err *err)
{
    g_auto(ImageInfo) info = {0};
    int r = qemuimg_info(path, "qcow2", &info, err);
    bool found =
        r == 0 && g_ptr_array_find_with_equal_func(info.snapshots, name, g_str_equal, NULL);

    if (r == 0 && action == IMAGE_SNAPSHOT_CREATE && found) {
        r = err_setf(err, -EEXIST, "%s: has a snapshot '%s' already", path, name);
    } else if (r == 0 && action != IMAGE_SNAPSHOT_CREATE && !found) {
        r = err_setf(err, -ENOENT, "%s: has no snapshot '%s'", path, name);
    }
    return r;
}

int qemuimg_snapshot(const char *path, ImageSnapshotAction action, const char *name, Err *err)
{
    static const char *const options[] = {"-c", "-a", "-d"};
    g_autoptr(GPtrArray) argv = words("snapshot", "-q", options[action], name, path, NULL);
    Err why = ERR_INIT;
    int r = check_name(path, action, name, err);

    if (r == 0) {
        r = run(argv, NULL, NULL, err);
    }
    if (r < 0 && r != -EEXIST && action == IMAGE_SNAPSHOT_CREATE &&
        check_name(path, IMAGE_SNAPSHOT_DELETE, name, &why) == 0) {
        g_autoptr(GPtrArray) undo = words("snapshot", "-q", "-d", name, path, NULL);
        (void)run(undo, NULL, NULL, NULL); /* the first error is the one to tell */
    }
    return r;
}
