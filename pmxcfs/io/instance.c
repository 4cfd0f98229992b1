/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/instance.h"

#include "lib/port/lockfile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- who this node is ------------------------------------------------------------------------ */

int instance_nodename(char **ret, Err *err)
{
    struct utsname uts;
    g_autofree char *name = NULL;

    if (uname(&uts) < 0) {
        int r = -errno;

        return err_setf(err, r, "reading the host name: %s", strerror(-r));
    }
    name = g_strndup(uts.nodename, strcspn(uts.nodename, "."));
    if (*name == '\0' || strlen(name) > 63 || strchr(name, '/') != NULL) {
        return err_setf(err, -EINVAL, "host name '%s' cannot be a node name", uts.nodename);
    }
    *ret = g_steal_pointer(&name);
    return 0;
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct in_addr a = ((const struct sockaddr_in *)(const void *)sa)->sin_addr;

        return ntohl(a.s_addr) >> 24 == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

int instance_address(const char *nodename, char **ret, Err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(nodename, NULL, &hints, &list);
    char text[INET6_ADDRSTRLEN];
    bool found = false;

    if (rc != 0) {
        return err_setf(
            err, -EADDRNOTAVAIL,
            "node name '%s' does not resolve (%s): add a line 'ADDRESS %s' to /etc/hosts", nodename,
            gai_strerror(rc), nodename);
    }
    for (const struct addrinfo *ai = list; ai != NULL && !found; ai = ai->ai_next) {
        found =
            (ai->ai_family == AF_INET || ai->ai_family == AF_INET6) && !is_loopback(ai->ai_addr) &&
            getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
                0;
    }
    freeaddrinfo(list);
    if (!found) {
        return err_setf(
            err, -EADDRNOTAVAIL,
            "node name '%s' resolves to loopback addresses only: add a line 'ADDRESS %s' "
            "to /etc/hosts",
            nodename, nodename);
    }
    *ret = g_strdup(text);
    return 0;
}

int instance_group(const char *name, gid_t *ret, Err *err)
{
    const struct group *g = getgrnam(name);

    if (g == NULL) {
        return err_setf(err, -ENOENT, "group '%s' does not exist: make it with 'groupadd -r %s'",
                        name, name);
    }
    *ret = g->gr_gid;
    return 0;
}

/* ---- directories and lock ---------------------------------------------------------------------
 */

int instance_directories(const InstancePaths *p, gid_t gid, Err *err)
{
    int r = 0;

    if (g_mkdir_with_parents(p->state_dir, 0750) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", p->state_dir, strerror(-r));
    }
    if (g_mkdir_with_parents(p->run_dir, 0750) < 0 || chown(p->run_dir, 0, gid) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", p->run_dir, strerror(-r));
    }
    return 0;
}

static pid_t lock_holder(const InstancePaths *p)
{
    g_autofree char *text = NULL;
    guint64 pid;

    if (!g_file_get_contents(p->pid_file, &text, NULL, NULL) ||
        !g_ascii_string_to_unsigned(g_strstrip(text), 10, 1, G_MAXINT, &pid, NULL)) {
        return 0;
    }
    return (pid_t)pid;
}

int instance_lock(const InstancePaths *p, int *ret_fd, Err *err)
{
    g_autofree char *path = g_strdup_printf("%s/.pmxcfs.lockfile", p->state_dir);
    int fd = lockfile_take(path, 0600, INSTANCE_LOCK_WAIT_MS);

    if (fd == -EBUSY) {
        pid_t pid = lock_holder(p);
        g_autofree char *who = pid > 0 ? g_strdup_printf(" (pid %d)", (int)pid) : g_strdup("");

        return err_setf(err, fd, "another pmxcfs%s runs on this node: %s is locked", who, path);
    }
    if (fd < 0) {
        return err_setf(err, fd, "%s: %s", path, strerror(-fd));
    }
    *ret_fd = fd;
    return 0;
}

/* ---- pid file and restart flag ----------------------------------------------------------------
 */

int instance_write_pid(const InstancePaths *p, pid_t pid, Err *err)
{
    g_autofree char *temp = g_strdup_printf("%s.tmp.%d", p->pid_file, (int)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    int r = 0;

    if (fd < 0 || fchmod(fd, 0644) < 0 || dprintf(fd, "%d\n", (int)pid) < 0) {
        r = -errno;
    }
    if (fd >= 0 && close(fd) < 0 && r == 0) {
        r = -errno;
    }
    if (r == 0 && rename(temp, p->pid_file) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlink(temp);
        return err_setf(err, r, "%s: %s", p->pid_file, strerror(-r));
    }
    return 0;
}

void instance_remove_pid(const InstancePaths *p)
{
    (void)unlink(p->pid_file); /* gone already is as good */
}

static char *flag_path(const InstancePaths *p)
{
    return g_strdup_printf("%s/cfs-restart-flag", p->run_dir);
}

void instance_set_restart_flag(const InstancePaths *p, gid_t gid)
{
    g_autofree char *path = flag_path(p);
    int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0440);

    if (fd >= 0) {
        (void)!fchown(fd, 0, gid); /* unreadable for the group then: its clients just do not wait */
        (void)close(fd);
    }
}

void instance_clear_restart_flag(const InstancePaths *p)
{
    g_autofree char *path = flag_path(p);

    (void)unlink(path); /* usually not there */
}
