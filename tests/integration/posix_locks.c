/* SPDX-License-Identifier: Apache-2.0 */
/* Lock directories below priv/lock (reference chapter 6). */
#include "tests/integration/posix.h"

#include <dirent.h>

static void locks_make(void)
{
    if (access(mt("priv"), F_OK) != 0) {
        posix_dir_make("priv");
    }
    if (access(mt("priv/lock"), F_OK) != 0) {
        posix_dir_make("priv/lock");
    }
}

static void locks_remove(void)
{
    (void)rmdir(mt("priv/lock")); /* in use in somebody's tree */
    (void)rmdir(mt("priv"));
}

static int set_time(const char *path, time_t t)
{
    struct timespec times[2] = {{0, 0}, {t, 0}};
    return utimensat(AT_FDCWD, path, times, 0);
}

static void test_hold(void)
{
    locks_make();
    time_t now = g_get_real_time() / G_USEC_PER_SEC;
    const char *lock = mt("priv/lock/pt-a");
    MT_OK(mkdir(lock, 0755));
    MT_FAILS(mkdir(lock, 0755), EEXIST);
    MT_FAILS(set_time(lock, 0), EACCES); /* alive */
    MT_FAILS(mkdir(lock, 0755), EEXIST);
    MT_OK(set_time(lock, now + 5)); /* renewed */
    g_assert_cmpint(posix_stat(lock).st_mtime, ==, now + 5);
    MT_FAILS(set_time(lock, now - 1000), EACCES); /* never back */
    MT_FAILS(rename(lock, mt("priv/lock/pt-b")), EACCES);
    MT_OK(rmdir(lock));
    MT_OK(mkdir(lock, 0755)); /* the next holder */
    MT_OK(rmdir(lock));
    /* Files there, and directories deeper down, have no such rules for times. */
    mt_text(mt("priv/lock/pt-f"), "");
    MT_OK(set_time(mt("priv/lock/pt-f"), 0));
    MT_OK(unlink(mt("priv/lock/pt-f")));
    locks_remove();
}

static bool listed(const char *name)
{
    DIR *d = opendir(mt("priv/lock"));
    g_assert_nonnull(d);
    bool found = false;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        found = found || strcmp(e->d_name, name) == 0;
    }
    closedir(d);
    return found;
}

/* Goal: an expired lock goes with the question, and the next mkdir has it: no name and no listing
 * of the kernel stands in between. */
static void test_expire(void)
{
    locks_make();
    const char *lock = mt("priv/lock/pt-x");
    for (int round = 0; round < 20; round++) {
        MT_OK(mkdir(lock, 0755));
        g_assert_true(listed("pt-x"));
        MT_FAILS(set_time(lock, 0), EACCES);
        mt_ctl("advance 120");
        MT_FAILS(set_time(lock, 0), EACCES); /* 120 seconds are not more than 120 */
        mt_ctl("advance 2");
        MT_FAILS(set_time(lock, 0), ENOENT);
        g_assert_false(listed("pt-x"));
        MT_OK(mkdir(lock, 0755));
        MT_FAILS(set_time(lock, 0), EACCES); /* a new life */
        MT_OK(rmdir(lock));
    }
    locks_remove();
}

/* Goal: renewing starts the time anew. */
static void test_renew(void)
{
    locks_make();
    const char *lock = mt("priv/lock/pt-r");
    MT_OK(mkdir(lock, 0755));
    for (int i = 0; i < 5; i++) {
        mt_ctl("advance 100");
        MT_OK(set_time(lock, g_get_real_time() / G_USEC_PER_SEC + i));
    }
    MT_FAILS(set_time(lock, 0), EACCES);
    MT_OK(rmdir(lock));
    locks_remove();
}

void posix_add_locks(void)
{
    g_test_add_func("/posix/locks/hold-and-release", test_hold);
    posix_add_steered("/posix/locks/expire", test_expire);
    posix_add_steered("/posix/locks/renew", test_renew);
}
