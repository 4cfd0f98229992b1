/* SPDX-License-Identifier: Apache-2.0 */
/* Modes, owners, times, sizes, numbers (reference 5.3, 5.5). */
#include "tests/integration/posix.h"

#include <dirent.h>
#include <sys/time.h>
#include <sys/xattr.h>

static void check_mode(const char *name, mode_t mode)
{
    struct stat st = posix_stat(mt("%s", name));
    if (st.st_mode != mode) {
        g_error("%s has mode %o, expected %o", name, st.st_mode, mode);
    }
    g_assert_cmpint(st.st_uid, ==, 0);
    g_assert_cmpint(st.st_gid, ==, WWW_DATA);
}

static void test_modes(void)
{
    bool had_priv = access(mt("priv"), F_OK) == 0;
    posix_dir_make("m");
    if (!had_priv) {
        MT_OK(mkdir(mt("priv"), 0777)); /* what is asked for does not matter */
    }
    MT_OK(mkdir(mt("priv/pt"), 0777));
    mt_text(mt("m/f"), "");
    mt_text(mt("priv/pt/f"), "");
    mt_text(mt("m/vps.mount"), "");
    mt_text(mt("m/100.start"), "");
    mt_text(mt("m/010.start"), "");
    mt_text(mt("m/100.other"), "");
    mt_text(mt("priv/pt/7.stop"), "");
    check_mode("m", S_IFDIR | 0755);
    check_mode("m/f", S_IFREG | 0640);
    check_mode("priv", S_IFDIR | 0700);
    check_mode("priv/pt", S_IFDIR | 0700);
    check_mode("priv/pt/f", S_IFREG | 0600);
    check_mode("m/vps.mount", S_IFREG | 0740);
    check_mode("m/100.start", S_IFREG | 0740);
    check_mode("m/010.start", S_IFREG | 0640);
    check_mode("m/100.other", S_IFREG | 0640);
    check_mode("priv/pt/7.stop", S_IFREG | 0700);
    /* The mode follows the path, also when the kernel knew the file by another one. */
    MT_OK(rename(mt("m/f"), mt("priv/pt/g")));
    check_mode("priv/pt/g", S_IFREG | 0600);
    MT_OK(rename(mt("priv/pt/g"), mt("m/g")));
    check_mode("m/g", S_IFREG | 0640);
    MT_OK(rename(mt("m/g"), mt("m/12.umount")));
    check_mode("m/12.umount", S_IFREG | 0740);
    posix_dir_remove("priv/pt");
    if (!had_priv) {
        MT_OK(rmdir(mt("priv")));
    }
    posix_dir_remove("m");
}

static void test_node_priv(void)
{
    bool had = access(mt("nodes"), F_OK) == 0;
    if (!had) {
        posix_dir_make("nodes");
    }
    posix_dir_make("nodes/ptest");
    posix_dir_make("nodes/ptest/priv");
    posix_dir_make("nodes/ptest/privy");
    mt_text(mt("nodes/ptest/priv/key"), "k");
    check_mode("nodes/ptest/priv", S_IFDIR | 0700);
    check_mode("nodes/ptest/privy", S_IFDIR | 0755);
    check_mode("nodes/ptest/priv/key", S_IFREG | 0600);
    posix_dir_remove(had ? "nodes/ptest" : "nodes");
}

static void test_sizes(void)
{
    posix_dir_make("s");
    char *bytes = g_malloc0(FILE_MAX);
    const size_t sizes[] = {0, 1, 511, 4096, 4097, FILE_MAX};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        mt_write(mt("s/f"), bytes, sizes[i]);
        struct stat st = posix_stat(mt("s/f"));
        g_assert_cmpint(st.st_size, ==, (off_t)sizes[i]);
        g_assert_cmpint(st.st_blocks, ==, (blkcnt_t)((sizes[i] + 4095) / 4096));
        g_assert_cmpint(st.st_blksize, ==, 4096);
        g_assert_cmpint(st.st_nlink, ==, 1);
    }
    struct stat st = posix_stat(mt("s"));
    g_assert_cmpint(st.st_nlink, ==, 2);
    g_assert_cmpint(st.st_size, ==, 0);
    g_free(bytes);
    posix_dir_remove("s");
}

static void test_times(void)
{
    posix_dir_make("t");
    time_t begin = g_get_real_time() / G_USEC_PER_SEC;
    mt_text(mt("t/f"), "x");
    struct stat st = posix_stat(mt("t/f"));
    g_assert_cmpint(st.st_mtime, >=, begin);
    g_assert_cmpint(st.st_mtime, <=, g_get_real_time() / G_USEC_PER_SEC);
    g_assert_cmpint(st.st_mtim.tv_nsec, ==, 0);
    g_assert_cmpint(st.st_atime, ==, st.st_mtime);
    g_assert_cmpint(st.st_ctime, ==, st.st_mtime);
    /* A directory's time is not that of its entries. */
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    MT_OK(utimensat(AT_FDCWD, mt("t"), old, 0));
    mt_text(mt("t/g"), "x");
    MT_OK(unlink(mt("t/g")));
    g_assert_cmpint(posix_stat(mt("t")).st_mtime, ==, 1000);
    /* A rename sets the time of what is renamed. */
    MT_OK(utimensat(AT_FDCWD, mt("t/f"), old, 0));
    MT_OK(rename(mt("t/f"), mt("t/h")));
    g_assert_cmpint(posix_stat(mt("t/h")).st_mtime, >=, begin);
    posix_dir_remove("t");
}

/* Goal: what touch -a and touch -m do, does something (reference 18.1.21). */
static void test_touch(void)
{
    posix_dir_make("u");
    mt_text(mt("u/f"), "x");
    const char *f = mt("u/f");
    struct timespec both[2] = {{5, 999999999}, {1577836800, 5}};
    struct timespec only_m[2] = {{5, UTIME_OMIT}, {1577836801, 0}};
    struct timespec only_a[2] = {{1577836802, 0}, {5, UTIME_OMIT}};
    struct timespec m_now[2] = {{5, UTIME_OMIT}, {0, UTIME_NOW}};
    struct timespec neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    MT_OK(utimensat(AT_FDCWD, f, both, 0));
    g_assert_cmpint(posix_stat(f).st_mtime, ==, 1577836800);
    g_assert_cmpint(posix_stat(f).st_atime, ==, 1577836800);
    g_assert_cmpint(posix_stat(f).st_mtim.tv_nsec, ==, 0);
    MT_OK(utimensat(AT_FDCWD, f, only_m, 0));
    g_assert_cmpint(posix_stat(f).st_mtime, ==, 1577836801);
    MT_OK(utimensat(AT_FDCWD, f, only_a, 0));
    g_assert_cmpint(posix_stat(f).st_atime, ==, 1577836802);
    MT_OK(utimensat(AT_FDCWD, f, neither, 0));
    g_assert_cmpint(posix_stat(f).st_atime, ==, 1577836802);
    time_t begin = g_get_real_time() / G_USEC_PER_SEC;
    MT_OK(utimensat(AT_FDCWD, f, m_now, 0));
    g_assert_cmpint(posix_stat(f).st_mtime, >=, begin);
    /* 32 bits of seconds are kept. */
    struct timespec late[2] = {{0, 0}, {(time_t)4294967295, 0}};
    MT_OK(utimensat(AT_FDCWD, f, late, 0));
    g_assert_cmpint(posix_stat(f).st_mtime, ==, 4294967295);
    posix_dir_remove("u");
}

/* Goal: a time set on an open file stays after its close (cp -p, tar, rsync). */
static void test_time_outlives_close(void)
{
    posix_dir_make("u");
    int fd = open(mt("u/f"), O_WRONLY | O_CREAT, 0640);
    MT_OK(fd);
    MT_OK(write(fd, "abc", 3));
    struct timespec times[2] = {{77, 0}, {77, 0}};
    MT_OK(futimens(fd, times));
    MT_OK(close(fd));
    g_assert_cmpint(posix_stat(mt("u/f")).st_mtime, ==, 77);
    g_assert_true(mt_has(mt("u/f"), "abc"));
    posix_dir_remove("u");
}

static void test_chmod(void)
{
    posix_dir_make("c");
    mt_text(mt("c/f"), "");
    const char *all[] = {"c", "c/f", ".version", ".debug"};
    const mode_t bad[] = {0600, 0644, 0755, 0777, 0, 04640, 02640};
    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        mode_t before = posix_stat(mt("%s", all[i])).st_mode;
        MT_OK(chmod(mt("%s", all[i]), 0640));
        for (guint b = 0; b < G_N_ELEMENTS(bad); b++) {
            MT_FAILS(chmod(mt("%s", all[i]), bad[b]), EPERM);
        }
        g_assert_cmpint(posix_stat(mt("%s", all[i])).st_mode, ==, before);
    }
    bool had_priv = access(mt("priv"), F_OK) == 0;
    if (!had_priv) {
        posix_dir_make("priv");
    }
    mt_text(mt("priv/cf"), "");
    MT_OK(chmod(mt("priv/cf"), 0600));
    MT_FAILS(chmod(mt("priv/cf"), 0640), EPERM);
    MT_OK(unlink(mt("priv/cf")));
    if (!had_priv) {
        MT_OK(rmdir(mt("priv")));
    }
    posix_dir_remove("c");
}

static void test_chown(void)
{
    const uid_t same_uid = (uid_t)-1;
    const gid_t same_gid = (gid_t)-1;
    posix_dir_make("c");
    mt_text(mt("c/f"), "");
    const char *all[] = {"c", "c/f", ".version", "local"};
    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        const char *path = mt("%s", all[i]);
        MT_OK(lchown(path, 0, WWW_DATA));
        MT_OK(lchown(path, same_uid, WWW_DATA));
        MT_OK(lchown(path, 0, same_gid));
        MT_OK(lchown(path, same_uid, same_gid));
        MT_FAILS(lchown(path, 1, same_gid), EPERM);
        MT_FAILS(lchown(path, 0, 0), EPERM);
        MT_FAILS(lchown(path, same_uid, 0), EPERM);
    }
    posix_dir_remove("c");
}

static void test_xattr(void)
{
    char buf[64];
    mt_text(mt("xa"), "");
    MT_FAILS(setxattr(mt("xa"), "user.a", "b", 1, 0), ENOTSUP);
    MT_FAILS(getxattr(mt("xa"), "user.a", buf, sizeof(buf)), ENOTSUP);
    MT_FAILS(listxattr(mt("xa"), buf, sizeof(buf)), ENOTSUP);
    MT_FAILS(removexattr(mt("xa"), "user.a"), ENOTSUP);
    MT_OK(unlink(mt("xa")));
}

/* Goal: a file keeps its number through everything but its end, and listings tell the same. */
static void test_inode_numbers(void)
{
    posix_dir_make("i");
    mt_text(mt("i/f"), "1");
    ino_t ino = posix_stat(mt("i/f")).st_ino;
    mt_text(mt("i/f"), "22");
    g_assert_cmpuint(posix_stat(mt("i/f")).st_ino, ==, ino);
    MT_OK(rename(mt("i/f"), mt("i/g")));
    g_assert_cmpuint(posix_stat(mt("i/g")).st_ino, ==, ino);
    DIR *d = opendir(mt("i"));
    g_assert_nonnull(d);
    bool found = false;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, "g") == 0) {
            found = true;
            g_assert_cmpuint(e->d_ino, ==, ino);
            g_assert_cmpint(e->d_type, ==, DT_REG);
        }
    }
    closedir(d);
    g_assert_true(found);
    MT_OK(unlink(mt("i/g")));
    mt_text(mt("i/g"), "");
    g_assert_cmpuint(posix_stat(mt("i/g")).st_ino, !=, ino);
    posix_dir_remove("i");
}

void posix_add_attr(void)
{
    g_test_add_func("/posix/attr/modes-follow-the-path", test_modes);
    g_test_add_func("/posix/attr/private-of-a-node", test_node_priv);
    g_test_add_func("/posix/attr/sizes-and-blocks", test_sizes);
    g_test_add_func("/posix/attr/times", test_times);
    g_test_add_func("/posix/attr/touch", test_touch);
    g_test_add_func("/posix/attr/time-outlives-close", test_time_outlives_close);
    g_test_add_func("/posix/attr/chmod", test_chmod);
    g_test_add_func("/posix/attr/chown", test_chown);
    g_test_add_func("/posix/attr/no-extended-attributes", test_xattr);
    g_test_add_func("/posix/attr/inode-numbers", test_inode_numbers);
}
