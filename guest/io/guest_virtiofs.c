/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_virtiofs.h"

#include "guest/io/guest_proc.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OWN_PROGRAM   "/usr/libexec/virtiofsd"  /* of a package of its own */
#define QEMUS_PROGRAM "/usr/lib/qemu/virtiofsd" /* of QEMU before 8.0 */
#define CHILD_FD      3

/* ------------------------------------------------------------------ checks */

/* What the entry stands for on this node. */
static int find_dir(const HostFacts *facts, const PropString *fs, char **ret, Err *err)
{
    const char *id = propstring_text(fs, "dirid");
    g_autoptr(GPtrArray) paths = NULL;
    int r;

    if (facts->dir_map == NULL) {
        return err_setf(err, -ENOENT, "directory '%s': there is no mapping/directory.cfg", id);
    }
    r = mappingcfg_paths(facts->dir_map, id, facts->node, &paths, err);
    if (r == 0) {
        *ret = g_strdup(paths->pdata[0]);
    }
    return r;
}

static int check_one(const HostFacts *facts, const PropString *fs, Err *err)
{
    g_autofree char *path = NULL;
    struct stat st;
    int r = find_dir(facts, fs, &path, err);

    if (r < 0) {
        return r;
    }
    if (stat(path, &st) < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return err_setf(err, -ENOTDIR, "%s: is no directory", path);
    }
    if (access(OWN_PROGRAM, X_OK) < 0 && access(QEMUS_PROGRAM, X_OK) < 0) {
        return err_setf(err, -ENOTSUP, "needs " OWN_PROGRAM " (Debian package virtiofsd)");
    }
    return 0;
}

int guest_virtiofs_check(const GuestConf *conf, const HostFacts *facts, Err *err)
{
    for (int i = 0; i < GUEST_VIRTIOFS_MAX; i++) {
        const PropString *fs = guestconf_props_at(conf, "virtiofs", i);
        int r = fs != NULL ? check_one(facts, fs, err) : 0;
        if (r < 0) {
            return err_wrapf(err, r, "virtiofs%d", i);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------- start */

static void add(GPtrArray *argv, const char *word)
{
    g_ptr_array_add(argv, g_strdup(word));
}

static void own_words(GPtrArray *argv, const PropString *fs, const char *path)
{
    add(argv, OWN_PROGRAM);
    g_ptr_array_add(argv, g_strdup_printf("--fd=%d", CHILD_FD));
    g_ptr_array_add(argv, g_strconcat("--shared-dir=", path, NULL));
    g_ptr_array_add(argv, g_strconcat("--cache=", propstring_value(fs, "cache"), NULL));
    add(argv, "--announce-submounts");
    add(argv, "--syslog");
    if (propstring_bool(fs, "direct-io")) {
        add(argv, "--allow-direct-io");
    }
    if (propstring_bool(fs, "expose-xattr") || propstring_bool(fs, "expose-acl")) {
        add(argv, "--xattr");
    }
    if (propstring_bool(fs, "expose-acl")) {
        add(argv, "--posix-acl");
    }
}

/* QEMU's own had other words, and no cache of names alone. */
static void qemus_words(GPtrArray *argv, const PropString *fs, const char *path)
{
    const char *cache = propstring_value(fs, "cache");
    const char *word = strcmp(cache, "never") == 0      ? "none"
                       : strcmp(cache, "metadata") == 0 ? "auto"
                                                        : cache;
    bool acl = propstring_bool(fs, "expose-acl");

    add(argv, QEMUS_PROGRAM);
    g_ptr_array_add(argv, g_strdup_printf("--fd=%d", CHILD_FD));
    add(argv, "-f");
    add(argv, "--syslog");
    add(argv, "-o");
    g_ptr_array_add(argv,
                    g_strdup_printf("source=%s,cache=%s,announce_submounts%s%s%s", path, word,
                                    propstring_bool(fs, "direct-io") ? ",allow_direct_io" : "",
                                    acl || propstring_bool(fs, "expose-xattr") ? ",xattr" : "",
                                    acl ? ",posix_acl" : ""));
}

static int words_of(const PropString *fs, const char *path, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    add(argv, "setsid"); /* what ends the caller's terminal does not end it */
    if (access(OWN_PROGRAM, X_OK) == 0) {
        own_words(argv, fs, path);
    } else if (strpbrk(path, ",\\") == NULL) {
        qemus_words(argv, fs, path);
    } else {
        return err_setf(err, -ENOTSUP, QEMUS_PROGRAM " takes no path with a comma: '%s'", path);
    }
    g_ptr_array_add(argv, NULL);
    *ret = g_steal_pointer(&argv);
    return 0;
}

static int make_address(const char *path, struct sockaddr_un *ret, Err *err)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (g_strlcpy(ret->sun_path, path, sizeof ret->sun_path) >= sizeof ret->sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    return 0;
}

/* A socket that listens: QEMU may connect before the program has come so far. */
static int listen_at(const char *path, int *ret, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    struct sockaddr_un address;
    int r = make_address(path, &address, err);
    int fd;

    if (r < 0) {
        return r;
    }
    if (g_mkdir_with_parents(dir, 0700) < 0) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    (void)unlink(path); /* of an earlier run, or not there */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 1) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
        if (fd >= 0) {
            (void)close(fd); /* nothing was written */
        }
        return r;
    }
    *ret = fd;
    return 0;
}

static int start_one(const GuestConf *conf, const HostFacts *facts, int i, GArray *pids, Err *err)
{
    const PropString *fs = guestconf_props_at(conf, "virtiofs", i);
    g_autofree char *path = guest_virtiofs_path(facts->run_dir, guestconf_vmid(conf), i);
    g_autofree char *dir = NULL;
    g_autoptr(GPtrArray) argv = NULL;
    g_autoptr(GError) error = NULL;
    const int target = CHILD_FD;
    GPid pid = 0;
    int fd = -1;
    int r = find_dir(facts, fs, &dir, err);

    if (r == 0) {
        r = words_of(fs, dir, &argv, err);
    }
    if (r == 0) {
        r = listen_at(path, &fd, err);
    }
    if (r < 0) {
        return r;
    }
    if (!g_spawn_async_with_pipes_and_fds(
            "/", (const char *const *)argv->pdata, NULL,
            G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
            NULL, -1, -1, -1, &fd, &target, 1, &pid, NULL, NULL, NULL, &error)) {
        r = err_setf(err, -EIO, "%s", error->message);
    } else {
        g_array_append_val(pids, pid);
    }
    (void)close(fd); /* the program has it */
    return r;
}

int guest_virtiofs_start(const GuestConf *conf, const HostFacts *facts, GArray *pids, Err *err)
{
    for (int i = 0; i < GUEST_VIRTIOFS_MAX; i++) {
        bool there = guestconf_props_at(conf, "virtiofs", i) != NULL;
        int r = there ? start_one(conf, facts, i, pids, err) : 0;
        if (r < 0) {
            return err_wrapf(err, r, "virtiofs%d", i);
        }
    }
    return 0;
}

/* Each ends when its one client goes: be the one, and go. */
void guest_virtiofs_give_up(const GuestConf *conf, const HostFacts *facts)
{
    for (int i = 0; i < GUEST_VIRTIOFS_MAX; i++) {
        g_autofree char *path = guest_virtiofs_path(facts->run_dir, guestconf_vmid(conf), i);
        struct sockaddr_un address;
        int fd;

        if (guestconf_props_at(conf, "virtiofs", i) == NULL ||
            make_address(path, &address, NULL) < 0) {
            continue;
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) {
            (void)!connect(fd, (const struct sockaddr *)&address, sizeof address); /* or it ended */
            (void)close(fd);
        }
    }
}
