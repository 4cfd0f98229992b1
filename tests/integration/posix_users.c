/* SPDX-License-Identifier: Apache-2.0 */
/* What users that are not root may do (reference 5.5). */
#include "tests/integration/posix.h"

#include <dirent.h>

/* Prints what failed: the exit status alone would not tell. */
#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, g_strerror(errno)); \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

#define WANT_ERRNO(call, code) WANT((errno = 0, (call)) == -1 && errno == (code))

static int may_read(const char *path)
{
    int fd = open(path, O_RDONLY);
    char c;
    int r = fd >= 0 && read(fd, &c, 1) >= 0;
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

static int may_list(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return 0;
    }
    closedir(d);
    return 1;
}

static int changes_refused(void)
{
    WANT_ERRNO(open(mt("us/new"), O_WRONLY | O_CREAT, 0640), EACCES);
    WANT_ERRNO(open(mt("us/f"), O_WRONLY), EACCES);
    WANT_ERRNO(open(mt("us/f"), O_RDONLY | O_TRUNC), EACCES);
    WANT_ERRNO(truncate(mt("us/f"), 0), EACCES);
    WANT_ERRNO(mkdir(mt("us/d"), 0755), EACCES);
    WANT_ERRNO(unlink(mt("us/f")), EACCES);
    WANT_ERRNO(rmdir(mt("us/sub")), EACCES);
    WANT_ERRNO(rename(mt("us/f"), mt("us/g")), EACCES);
    WANT_ERRNO(utimensat(AT_FDCWD, mt("us/f"), NULL, 0), EACCES);
    WANT_ERRNO(chmod(mt("us/f"), 0640), EPERM);
    WANT_ERRNO(chown(mt("us/f"), 0, WWW_DATA), EPERM);
    WANT_ERRNO(open(mt(".debug"), O_WRONLY), EACCES);
    return 0;
}

static int as_www_data(const void *arg)
{
    struct stat st;
    (void)arg;
    WANT(may_read(mt("us/f")));
    WANT(may_read(mt(".version")));
    WANT(may_list(mt("us")));
    WANT(may_list(mt_dir()));
    WANT(stat(mt("priv"), &st) == 0);
    WANT_ERRNO(stat(mt("priv/us"), &st), EACCES);
    WANT_ERRNO(open(mt("priv/us"), O_RDONLY), EACCES);
    WANT(!may_list(mt("priv")));
    return changes_refused();
}

static int as_nobody(const void *arg)
{
    struct stat st;
    (void)arg;
    WANT(!may_read(mt("us/f")));
    WANT(!may_read(mt(".version")));
    WANT(may_list(mt("us")));
    WANT(may_list(mt_dir()));
    WANT(stat(mt("us/f"), &st) == 0 && st.st_size == 5);
    WANT_ERRNO(stat(mt("priv/us"), &st), EACCES);
    WANT_ERRNO(open(mt("us/new"), O_WRONLY | O_CREAT, 0640), EACCES);
    WANT_ERRNO(unlink(mt("us/f")), EACCES);
    WANT_ERRNO(chmod(mt("us/f"), 0640), EPERM);
    return 0;
}

static void with_files(int (*fn)(const void *arg), gid_t gid)
{
    bool had_priv = access(mt("priv"), F_OK) == 0;
    posix_dir_make("us");
    posix_dir_make("us/sub");
    mt_text(mt("us/f"), "hello");
    if (!had_priv) {
        posix_dir_make("priv");
    }
    mt_text(mt("priv/us"), "secret");
    g_assert_cmpint(mt_as(gid == WWW_DATA ? WWW_DATA : NOBODY, gid, fn, NULL), ==, 0);
    g_assert_true(mt_has(mt("us/f"), "hello"));
    MT_OK(unlink(mt("priv/us")));
    if (!had_priv) {
        MT_OK(rmdir(mt("priv")));
    }
    posix_dir_remove("us");
}

static void test_www_data(void)
{
    with_files(as_www_data, WWW_DATA);
}

static void test_nobody(void)
{
    with_files(as_nobody, NOBODY);
}

static int cannot_read(const void *path)
{
    return may_read(path) ? 1 : 0;
}

static int can_read(const void *path)
{
    return may_read(path) ? 0 : 1;
}

/* Goal: a file that moves into a private place is out of reach at once, whatever the kernel kept.
 */
static void test_move_to_private(void)
{
    bool had_priv = access(mt("priv"), F_OK) == 0;
    if (!had_priv) {
        posix_dir_make("priv");
    }
    if (access(mt("nodes"), F_OK) != 0) {
        posix_dir_make("nodes");
    }
    posix_dir_make("nodes/mv");
    posix_dir_make("nodes/mv/priv");
    mt_text(mt("nodes/mv/f"), "text");
    g_assert_cmpint(mt_as(WWW_DATA, WWW_DATA, can_read, mt("nodes/mv/f")), ==, 0);
    int dir = open(mt("nodes/mv/priv"), O_RDONLY | O_DIRECTORY);
    MT_OK(dir);
    MT_OK(rename(mt("nodes/mv/f"), mt("nodes/mv/priv/f")));
    g_assert_cmpint(mt_as(WWW_DATA, WWW_DATA, cannot_read, mt("nodes/mv/priv/f")), ==, 0);
    /* Also for one who got past the directory: the file's own mode counts. */
    g_autofree char *through = g_strdup_printf("/proc/%d/fd/%d/f", (int)getpid(), dir);
    g_assert_cmpint(posix_stat(through).st_mode & 0777, ==, 0600);
    close(dir);
    posix_dir_remove("nodes/mv");
    (void)rmdir(mt("nodes")); /* not empty in somebody's tree */
    if (!had_priv) {
        MT_OK(rmdir(mt("priv")));
    }
}

void posix_add_users(void)
{
    g_test_add_func("/posix/users/www-data", test_www_data);
    g_test_add_func("/posix/users/nobody", test_nobody);
    g_test_add_func("/posix/users/moved-to-private", test_move_to_private);
}
