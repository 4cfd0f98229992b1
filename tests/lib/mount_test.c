/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/mount_test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED     77
#define PATIENCE_US (90 * G_USEC_PER_SEC)

static struct {
    char *dir, *base;
    pid_t pid;
    FILE *to, *from;
    GMutex lock; /* one command at a time */
    GMutex paths_lock;
    GPtrArray *paths;
} host;

static void skip(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    exit(SKIPPED);
}

static char *host_program(void)
{
    const char *given = g_getenv("MOUNT_HOST");
    const char *build = g_getenv("G_TEST_BUILDDIR");
    if (given != NULL) {
        return g_strdup(given);
    }
    if (build != NULL) {
        return g_build_filename(build, "lib", "mount_host", NULL);
    }
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = g_path_get_dirname(self);
    return g_build_filename(here, "..", "lib", "mount_host", NULL);
}

static void enter_namespaces(void)
{
    if (geteuid() != 0) {
        skip("needs root");
    }
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        skip("needs /dev/fuse");
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        skip("needs namespaces");
    }
}

static void spawn(const char *program)
{
    int to[2];
    int from[2];
    MT_OK(pipe2(to, O_CLOEXEC));
    MT_OK(pipe2(from, O_CLOEXEC));
    host.pid = fork();
    MT_OK(host.pid);
    if (host.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(program, program, host.dir, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    host.to = fdopen(to[1], "w");
    host.from = fdopen(from[0], "r");
}

void mt_start(const char *dir)
{
    char line[64] = "";
    if (dir != NULL) {
        host.dir = g_strdup(dir);
        return;
    }
    enter_namespaces();
    (void)umask(022);
    host.base = g_dir_make_tmp("quorate-mount-XXXXXX", NULL);
    MT_OK(chmod(host.base, 0755));
    host.dir = g_build_filename(host.base, "mnt", NULL);
    g_autofree char *program = host_program();
    spawn(program);
    if (fgets(line, sizeof(line), host.from) == NULL || strcmp(line, "ready\n") != 0) {
        g_error("%s did not start", program);
    }
}

void mt_stop(void)
{
    int status = -1;
    if (host.pid > 0) {
        fclose(host.to); /* the end of its input stops it */
        MT_OK(waitpid(host.pid, &status, 0));
        fclose(host.from);
        g_assert_cmpint(status, ==, 0);
        MT_OK(rmdir(host.dir));
        MT_OK(rmdir(host.base));
    }
    if (host.paths != NULL) {
        g_ptr_array_unref(host.paths);
    }
    g_free(host.dir);
    g_free(host.base);
}

bool mt_has_ctl(void)
{
    return host.pid > 0;
}

int64_t mt_ctl(const char *format, ...)
{
    char answer[128] = "";
    char word[16] = "";
    long long value = 0;
    va_list args;
    va_start(args, format);
    g_autofree char *command = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&host.lock);
    fprintf(host.to, "%s\n", command);
    fflush(host.to);
    if (fgets(answer, sizeof(answer), host.from) == NULL ||
        sscanf(answer, "%15s %lld", word, &value) != 2) {
        g_error("no answer to '%s'", command);
    }
    g_mutex_unlock(&host.lock);
    return strcmp(word, "ok") == 0 ? value : -value;
}

const char *mt_dir(void)
{
    return host.dir;
}

pid_t mt_host_pid(void)
{
    return host.pid;
}

const char *mt(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *name = g_strdup_vprintf(format, args);
    va_end(args);
    char *path = g_strdup_printf("%s/%s", host.dir, name);
    g_mutex_lock(&host.paths_lock);
    if (host.paths == NULL) {
        host.paths = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(host.paths, path);
    g_mutex_unlock(&host.paths_lock);
    return path;
}

void mt_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size) || close(fd) != 0) {
        g_error("writing %s: %s", path, g_strerror(errno));
    }
}

void mt_text(const char *path, const char *text)
{
    mt_write(path, text, strlen(text));
}

GString *mt_read(const char *path)
{
    char buf[65536];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return NULL;
    }
    GString *text = g_string_new(NULL);
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(text, buf, n);
    }
    close(fd);
    return text;
}

bool mt_has(const char *path, const char *text)
{
    GString *is = mt_read(path);
    bool same = is != NULL && is->len == strlen(text) && memcmp(is->str, text, is->len) == 0;
    if (is != NULL) {
        g_string_free(is, TRUE);
    }
    return same;
}

bool mt_becomes(const char *path, const char *text)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    while (!mt_has(path, text)) {
        if (g_get_monotonic_time() > until) {
            return false;
        }
        g_usleep(1000);
    }
    return true;
}

int mt_as(uid_t uid, gid_t gid, int (*fn)(const void *arg), const void *arg)
{
    int status = -1;
    pid_t pid = fork();
    MT_OK(pid);
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0) {
            _exit(126);
        }
        _exit(fn(arg));
    }
    MT_OK(waitpid(pid, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
