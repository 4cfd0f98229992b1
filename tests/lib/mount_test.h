/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_test: starts mount_host in namespaces of its own, talks to it, ends it. For test programs
 * that need a real mount; they skip (exit status 77) where none can be made. One host at a time;
 * mt_ctl may be called from several threads.
 */
#ifndef TESTS_LIB_MOUNT_TEST_H
#define TESTS_LIB_MOUNT_TEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Enters private mount and network namespaces and starts the host on a fresh directory. With `dir`
 * not NULL: uses the file system mounted there and starts nothing. */
void mt_start(const char *dir);

/* Unmounts and checks that the host ended well. Its status must be 0. */
void mt_stop(void);

/* Is there a host that takes commands? */
bool mt_has_ctl(void);

/* One command of mount_host. Returns its value, or -errno. */
int64_t mt_ctl(const char *format, ...) G_GNUC_PRINTF(1, 2);

const char *mt_dir(void);
pid_t mt_host_pid(void);

/* The full path of a name in the mount; a printf format. Freed when the test program ends. */
const char *mt(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* ---- small things that tests do ---- */

/* Writes the whole file (O_CREAT | O_TRUNC); aborts the test when that fails. */
void mt_write(const char *path, const void *data, size_t size);
void mt_text(const char *path, const char *text);

/* The whole content; NULL when it cannot be read (errno). Caller frees with g_string_free. */
GString *mt_read(const char *path);

/* Does the file have exactly this text? */
bool mt_has(const char *path, const char *text);

/* Waits up to five seconds until `path` has `text`; false when it never does. */
bool mt_becomes(const char *path, const char *text);

/* Runs `fn` in a child with this user and group and no others; returns its exit status. */
int mt_as(uid_t uid, gid_t gid, int (*fn)(const void *arg), const void *arg);

/* The call must fail with that errno. */
#define MT_FAILS(call, code)                                                                       \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long mt_result = (long)(call);                                                             \
        int mt_errno = errno;                                                                      \
        if (mt_result != -1 || mt_errno != (code)) {                                               \
            g_error("%s:%d: %s gave %ld (%s), expected %s", __FILE__, __LINE__, #call, mt_result,  \
                    g_strerror(mt_errno), #code);                                                  \
        }                                                                                          \
    } while (0)

/* The call must succeed; the value is thrown away. */
#define MT_OK(call)                                                                                \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long mt_result = (long)(call);                                                             \
        if (mt_result < 0) {                                                                       \
            g_error("%s:%d: %s failed: %s", __FILE__, __LINE__, #call, g_strerror(errno));         \
        }                                                                                          \
    } while (0)

#endif
