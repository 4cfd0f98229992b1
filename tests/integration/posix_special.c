/* SPDX-License-Identifier: Apache-2.0 */
/* The special entries of the top level (reference 5.2, 5.5). */
#include "tests/integration/posix.h"

#include <dirent.h>
#include <sys/statvfs.h>

static const char *const files[] = {".version", ".members", ".vmlist", ".rrd", ".clusterlog"};
static const char *const links[] = {"local", "qemu-server", "openvz", "lxc"};

static void test_listed(void)
{
    DIR *d = opendir(mt_dir());
    g_assert_nonnull(d);
    guint seen = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
            seen += strcmp(e->d_name, files[i]) == 0;
        }
        for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
            seen += strcmp(e->d_name, links[i]) == 0;
        }
        seen += strcmp(e->d_name, ".debug") == 0;
        /* Ours stay out of the way of cp, grep and backups. */
        g_assert_cmpstr(e->d_name, !=, ".events");
        g_assert_cmpstr(e->d_name, !=, ".metrics");
    }
    closedir(d);
    g_assert_cmpuint(seen, ==, G_N_ELEMENTS(files) + G_N_ELEMENTS(links) + 1);
}

static void test_links(void)
{
    char local[256] = "";
    MT_OK(readlink(mt("local"), local, sizeof(local) - 1));
    g_assert_true(g_str_has_prefix(local, "nodes/"));
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        char target[256] = "";
        ssize_t n = readlink(mt("%s", links[i]), target, sizeof(target) - 1);
        struct stat st = posix_stat(mt("%s", links[i]));
        g_autofree char *want =
            i == 0 ? g_strdup(local) : g_strdup_printf("%s/%s", local, links[i]);
        g_assert_cmpstr(target, ==, want);
        g_assert_cmpint(st.st_size, ==, n);
        g_assert_cmpint(st.st_mode, ==, S_IFLNK | 0755);
        g_assert_cmpint(st.st_nlink, ==, 1);
        g_assert_cmpint(st.st_mtime, ==, 0);
    }
}

static void test_modes(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        struct stat st = posix_stat(mt("%s", files[i]));
        g_assert_cmpint(st.st_mode, ==, S_IFREG | 0440);
        g_assert_cmpint(st.st_uid, ==, 0);
        g_assert_cmpint(st.st_gid, ==, WWW_DATA);
        g_assert_cmpint(st.st_mtime, ==, 0);
        g_assert_cmpint(st.st_nlink, ==, 1);
    }
    g_assert_cmpint(posix_stat(mt(".debug")).st_mode, ==, S_IFREG | 0640);
}

/* Goal: one reader sees one text, however small its pieces; one who starts over sees a new one. */
static void test_one_text_per_reader(void)
{
    int fd = open(mt(".version"), O_RDONLY);
    MT_OK(fd);
    GString *whole = g_string_new(NULL);
    char c;
    while (read(fd, &c, 1) == 1) {
        g_string_append_c(whole, c);
    }
    g_assert_cmpuint(whole->len, >, 0);
    g_assert_cmpint(whole->str[0], ==, '{');
    g_assert_cmpint(whole->str[whole->len - 1], ==, '\n');
    char again[65536];
    ssize_t n = pread(fd, again, sizeof(again), 0);
    g_assert_cmpint(n, >, 0);
    g_assert_cmpint(again[0], ==, '{');
    if (mt_has_ctl()) { /* the stand-in makes a new text each time */
        g_assert_false((gsize)n == whole->len && memcmp(again, whole->str, whole->len) == 0);
    }
    g_assert_cmpint(pread(fd, again, sizeof(again), 1 << 20), ==, 0);
    close(fd);
    g_string_free(whole, TRUE);
}

static void test_size_is_that_of_a_text(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        struct stat st = posix_stat(mt("%s", files[i]));
        GString *text = mt_read(mt("%s", files[i]));
        g_assert_nonnull(text);
        g_assert_cmpint(ABS(st.st_size - (off_t)text->len), <=, 64); /* another moment's text */
        g_string_free(text, TRUE);
    }
}

static void test_writes_refused(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        int fd = open(mt("%s", files[i]), O_WRONLY);
        MT_OK(fd);
        MT_FAILS(write(fd, "x", 1), EIO);
        MT_FAILS(ftruncate(fd, 0), EIO);
        close(fd);
        MT_FAILS(truncate(mt("%s", files[i]), 0), EIO);
        MT_FAILS(open(mt("%s", files[i]), O_WRONLY | O_TRUNC), EIO);
    }
}

static void test_debug(void)
{
    int fd = open(mt(".debug"), O_RDWR);
    MT_OK(fd);
    g_assert_cmpint(pwrite(fd, "1\n", 2, 0), ==, 2);
    g_assert_cmpint(pwrite(fd, "0\nxyz", 5, 0), ==, 2);
    MT_FAILS(pwrite(fd, "1", 1, 0), EIO);
    MT_FAILS(pwrite(fd, "2\n", 2, 0), EIO);
    MT_FAILS(pwrite(fd, "on", 2, 0), EIO);
    MT_FAILS(pwrite(fd, "1\n", 2, 1), EIO);
    MT_OK(ftruncate(fd, 0));
    close(fd);
    MT_OK(truncate(mt(".debug"), 0));
    mt_text(mt(".debug"), "0\n"); /* O_TRUNC, as a shell does */
    GString *text = mt_read(mt(".debug"));
    g_assert_cmpstr(text->str, ==, "0\n");
    g_string_free(text, TRUE);
}

static void test_names_are_taken(void)
{
    const char *all[] = {"local", "qemu-server", ".version", ".debug"};
    mt_text(mt("plain"), "x");
    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        const char *path = mt("%s", all[i]);
        MT_FAILS(unlink(path), EACCES);
        MT_FAILS(mkdir(path, 0755), EEXIST);
        MT_FAILS(rename(path, mt("other")), EACCES);
        MT_FAILS(rename(mt("plain"), path), EACCES);
        MT_FAILS(open(path, O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
        MT_FAILS(utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW), EACCES);
    }
    MT_FAILS(mkdir(mt(".version/x"), 0755), ENOTDIR);
    MT_FAILS(open(mt(".members/x"), O_WRONLY | O_CREAT, 0640), ENOTDIR);
    struct stat st;
    if (stat(mt("lxc"), &st) != 0) {
        MT_FAILS(mkdir(mt("lxc/x"), 0755), ENOENT);
    }
    MT_OK(unlink(mt("plain")));
}

static void test_below_link(void)
{
    char local[256] = "";
    MT_OK(readlink(mt("local"), local, sizeof(local) - 1));
    bool had = access(mt("nodes"), F_OK) == 0;
    if (had) {
        return; /* somebody's tree */
    }
    MT_OK(mkdir(mt("nodes"), 0755));
    MT_OK(mkdir(mt("%s", local), 0755));
    MT_OK(mkdir(mt("%s/qemu-server", local), 0755));
    mt_text(mt("qemu-server/100.conf"), "name: a\n");
    g_assert_true(mt_has(mt("%s/qemu-server/100.conf", local), "name: a\n"));
    g_assert_true(mt_has(mt("local/qemu-server/100.conf"), "name: a\n"));
    posix_dir_remove("nodes");
    MT_FAILS(access(mt("local/qemu-server"), F_OK), ENOENT);
}

static void test_root(void)
{
    struct stat st = posix_stat(mt_dir());
    g_assert_cmpint(st.st_mode, ==, S_IFDIR | 0755);
    g_assert_cmpint(st.st_nlink, ==, 2);
    g_assert_cmpint(st.st_mtime, ==, 0);
    g_assert_cmpint(st.st_gid, ==, WWW_DATA);
    g_assert_cmpint(st.st_size, ==, 0);
    MT_FAILS(rmdir(mt_dir()), EBUSY);
    MT_FAILS(utimensat(AT_FDCWD, mt_dir(), NULL, 0), EACCES);
}

static void test_statfs(void)
{
    struct statvfs before;
    struct statvfs after;
    char bytes[8192] = {0};
    MT_OK(statvfs(mt_dir(), &before));
    g_assert_cmpuint(before.f_bsize, ==, 4096);
    g_assert_cmpuint(before.f_blocks, ==, 32768);
    g_assert_cmpuint(before.f_files, ==, 262144);
    g_assert_cmpuint(before.f_namemax, ==, 256);
    g_assert_cmpuint(before.f_bavail, ==, before.f_bfree);
    mt_write(mt("fill"), bytes, sizeof(bytes));
    MT_OK(statvfs(mt_dir(), &after));
    g_assert_cmpuint(before.f_bfree - after.f_bfree, ==, 2);
    g_assert_cmpuint(before.f_ffree - after.f_ffree, ==, 1);
    MT_OK(unlink(mt("fill")));
    MT_OK(statvfs(mt_dir(), &after));
    g_assert_cmpuint(before.f_bfree, ==, after.f_bfree);
}

static void test_proc_mounts(void)
{
    g_autofree char *text = NULL;
    g_autofree char *want = g_strdup_printf(
        "/dev/fuse %s fuse rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,"
        "allow_other 0 0\n",
        mt_dir());
    g_assert_true(g_file_get_contents("/proc/mounts", &text, NULL, NULL));
    g_assert_nonnull(strstr(text, want));
}

void posix_add_special(void)
{
    g_test_add_func("/posix/special/all-are-listed", test_listed);
    g_test_add_func("/posix/special/links-name-this-node", test_links);
    g_test_add_func("/posix/special/modes-owner-times", test_modes);
    g_test_add_func("/posix/special/one-reader-sees-one-text", test_one_text_per_reader);
    g_test_add_func("/posix/special/size-is-that-of-a-text", test_size_is_that_of_a_text);
    g_test_add_func("/posix/special/writes-give-eio", test_writes_refused);
    g_test_add_func("/posix/special/debug-takes-0-and-1", test_debug);
    g_test_add_func("/posix/special/names-cannot-be-taken", test_names_are_taken);
    g_test_add_func("/posix/special/links-lead-somewhere", test_below_link);
    g_test_add_func("/posix/special/root", test_root);
    g_test_add_func("/posix/special/statfs", test_statfs);
    g_test_add_func("/posix/special/proc-mounts", test_proc_mounts);
}
