/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small process beside the daemon that ends the connection of its mount when the daemon dies.
 *
 * The kernel does so itself when the last descriptor of the connection is closed. But a thread that
 * tells the kernel of a change may wait for the lock of a directory, which is held by a request,
 * which waits for the daemon: after a SIGKILL neither ever ends, the descriptor stays open, and so
 * does the lock that keeps a second daemon out. Ending the connection lets all of them go on. The
 * mount stays, answering nothing, until the next start cleans it up.
 *
 * Between fork and exit the child makes system calls and nothing else: other threads of the daemon
 * may have held any lock of the C library.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sent by the kernel when the thread that forked ends. Not SIGTERM, which a service manager sends
 * to every process of a service. */
#define DEATH_SIGNAL (SIGRTMIN + 7)

/* Reads the "mnt_id" of descriptor 0 as text. */
static bool mount_id(char *buf, size_t size)
{
    static const char key[] = "mnt_id:";
    int fd = open("/proc/self/fdinfo/0", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;
    char *at;
    char *end;

    if (fd >= 0) {
        (void)close(fd);
    }
    buf[MAX(n, 0)] = '\0';
    at = strstr(buf, key);
    end = at != NULL ? strchr(at, '\n') : NULL;
    if (end == NULL) {
        return false;
    }
    memmove(buf, at, (size_t)(end - at));
    buf[end - at] = '\0';
    return true;
}

/* Opens the root of the mount as descriptor 0; the kernel asks nobody for that. */
static bool open_root(const char *mountpoint, char *ret_id, size_t size)
{
    (void)close(0);
    return open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC) == 0 && mount_id(ret_id, size);
}

static void guard(const char *mountpoint, pid_t parent)
{
    char before[512];
    char now[512];
    sigset_t all;
    sigset_t death;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)sigemptyset(&death);
    (void)sigaddset(&death, DEATH_SIGNAL);
    (void)prctl(PR_SET_NAME, "pmxcfs-guard");
    (void)prctl(PR_SET_PDEATHSIG, DEATH_SIGNAL);
    /* Nothing of the daemon's is held: no lock, no caller's pipe, and not the connection. */
    (void)close_range(0, ~0U, 0);
    if (!open_root(mountpoint, before, sizeof(before))) {
        return;
    }
    (void)close(0); /* an open root would keep others from unmounting */
    while (getppid() == parent && sigwaitinfo(&death, NULL) < 0 && errno == EINTR) {
        /* a debugger, or a stop and its end */
    }
    /* Another mount may be there by now. Of the own one, which our descriptor keeps busy, only the
     * connection ends. */
    if (open_root(mountpoint, now, sizeof(now)) && strcmp(before, now) == 0) {
        (void)umount2("/proc/self/fd/0", MNT_FORCE);
    }
}

void mount_guard_start(Mount *m)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        guard(m->mountpoint, parent);
        _exit(0);
    }
    if (pid < 0) {
        trace(&m->tracer, TRACE_WARNING, "mount: no guard process: %s", g_strerror(errno));
    }
    m->guard = MAX(pid, 0);
}

void mount_guard_stop(Mount *m)
{
    if (m->guard > 0) {
        (void)kill(m->guard, SIGKILL);
        while (waitpid(m->guard, NULL, 0) < 0 && errno == EINTR) {
            /* a signal for somebody else */
        }
        m->guard = 0;
    }
}
