/* SPDX-License-Identifier: Apache-2.0 */
/* Making, removing, renaming and listing (reference 4, 5.4, 5.5). */
#include "tests/integration/posix.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

static int rename2(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void test_mkdir(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "");
    MT_FAILS(mkdir(mt("a"), 0755), EEXIST);
    MT_FAILS(mkdir(mt("a/f"), 0755), EEXIST);
    MT_FAILS(mkdir(mt("a/no/b"), 0755), ENOENT);
    MT_FAILS(mkdir(mt("a/f/b"), 0755), ENOTDIR);
    MT_OK(mkdir(mt("a/__version__"), 0755));
    posix_dir_remove("a");
}

static void test_create(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "old");
    MT_FAILS(open(mt("a/f/g"), O_WRONLY | O_CREAT, 0640), ENOTDIR);
    MT_FAILS(open(mt("a/no/g"), O_WRONLY | O_CREAT, 0640), ENOENT);
    MT_FAILS(open(mt("a/f"), O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
    MT_FAILS(open(mt("a"), O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
    MT_FAILS(open(mt("a"), O_WRONLY), EISDIR);
    MT_FAILS(open(mt("a/none"), O_RDONLY), ENOENT);
    int fd = open(mt("a/f"), O_RDWR | O_CREAT, 0640);
    MT_OK(fd);
    char buf[8] = "";
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 3);
    close(fd);
    fd = open(mt("a/g"), O_RDONLY | O_CREAT | O_EXCL, 0640);
    MT_OK(fd);
    MT_OK(close(fd));
    g_assert_true(mt_has(mt("a/g"), ""));
    MT_OK(mknod(mt("a/n"), S_IFREG | 0640, 0));
    g_assert_true(mt_has(mt("a/n"), ""));
    MT_FAILS(mknod(mt("a/n"), S_IFREG | 0640, 0), EEXIST);
    posix_dir_remove("a");
}

static void test_not_there(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "");
    MT_FAILS(symlink("x", mt("a/l")), ENOSYS);
    MT_FAILS(link(mt("a/f"), mt("a/l")), EPERM);
    MT_FAILS(mkfifo(mt("a/p"), 0640), ENOSYS);
    MT_FAILS(mknod(mt("a/d"), S_IFCHR | 0640, makedev(1, 3)), ENOSYS);
    MT_FAILS(mknod(mt("a/d"), S_IFSOCK | 0640, 0), ENOSYS);
    MT_FAILS(open(mt("a"), O_TMPFILE | O_WRONLY, 0640), ENOTSUP);
    MT_FAILS(access(mt("a/l"), F_OK), ENOENT);
    MT_FAILS(access(mt("a/p"), F_OK), ENOENT);
    posix_dir_remove("a");
}

static void test_remove(void)
{
    posix_dir_make("a");
    posix_dir_make("a/d");
    mt_text(mt("a/d/f"), "");
    MT_FAILS(rmdir(mt("a/d")), ENOTEMPTY);
    MT_FAILS(rmdir(mt("a/d/f")), ENOTDIR);
    MT_FAILS(rmdir(mt("a/none")), ENOENT);
    MT_FAILS(unlink(mt("a/d")), EISDIR);
    MT_FAILS(unlink(mt("a/none")), ENOENT);
    MT_FAILS(unlink(mt("a/d/f/g")), ENOTDIR);
    MT_OK(unlink(mt("a/d/f")));
    MT_FAILS(access(mt("a/d/f"), F_OK), ENOENT);
    MT_OK(rmdir(mt("a/d")));
    MT_FAILS(access(mt("a/d"), F_OK), ENOENT);
    posix_dir_remove("a");
}

static void test_rename_errors(void)
{
    posix_dir_make("a");
    posix_dir_make("a/full");
    posix_dir_make("a/empty");
    mt_text(mt("a/full/x"), "");
    mt_text(mt("a/f"), "f");
    MT_FAILS(rename(mt("a/none"), mt("a/b")), ENOENT);
    MT_FAILS(rename(mt("a/f"), mt("a/no/b")), ENOENT);
    MT_FAILS(rename(mt("a/f"), mt("a/full/x/b")), ENOTDIR);
    MT_FAILS(rename(mt("a/full"), mt("a/other")), ENOTEMPTY);
    MT_FAILS(rename(mt("a/full"), mt("a/empty")), ENOTEMPTY);
    MT_FAILS(rename(mt("a/empty"), mt("a/full")), ENOTEMPTY);
    MT_FAILS(rename(mt("a/f"), mt("a/empty")), EISDIR);
    MT_FAILS(rename(mt("a/empty"), mt("a/f")), ENOTDIR);
    MT_FAILS(rename(mt("a/empty"), mt("a/empty/x")), EINVAL);
    /* What failed left everything as it was (reference 18.1.8). */
    g_assert_true(S_ISDIR(posix_stat(mt("a/empty")).st_mode));
    MT_OK(rmdir(mt("a/empty")));
    g_assert_true(mt_has(mt("a/full/x"), ""));
    posix_dir_remove("a");
}

static void test_rename(void)
{
    posix_dir_make("a");
    posix_dir_make("a/d");
    posix_dir_make("a/e");
    mt_text(mt("a/f"), "one");
    mt_text(mt("a/g"), "two");
    MT_OK(rename(mt("a/f"), mt("a/h")));
    MT_FAILS(access(mt("a/f"), F_OK), ENOENT);
    g_assert_true(mt_has(mt("a/h"), "one"));
    MT_OK(rename(mt("a/h"), mt("a/g")));
    g_assert_true(mt_has(mt("a/g"), "one"));
    MT_FAILS(access(mt("a/h"), F_OK), ENOENT);
    MT_OK(rename(mt("a/g"), mt("a/d/g")));
    g_assert_true(mt_has(mt("a/d/g"), "one"));
    MT_OK(rename(mt("a/d/g"), mt("a/d/g")));
    MT_OK(unlink(mt("a/d/g")));
    MT_OK(rename(mt("a/d"), mt("a/e"))); /* an empty directory onto an empty one */
    MT_FAILS(access(mt("a/d"), F_OK), ENOENT);
    mt_text(mt("a/e/x"), "x");
    g_assert_true(mt_has(mt("a/e/x"), "x"));
    posix_dir_remove("a");
}

static void test_rename_flags(void)
{
    posix_dir_make("a");
    mt_text(mt("a/f"), "one");
    mt_text(mt("a/g"), "two");
    MT_FAILS(rename2(mt("a/f"), mt("a/g"), RENAME_NOREPLACE), EEXIST);
    MT_FAILS(rename2(mt("a/f"), mt("a/g"), RENAME_EXCHANGE), EINVAL);
    MT_OK(rename2(mt("a/f"), mt("a/h"), RENAME_NOREPLACE));
    g_assert_true(mt_has(mt("a/h"), "one"));
    g_assert_true(mt_has(mt("a/g"), "two"));
    posix_dir_remove("a");
}

static void test_names(void)
{
    posix_dir_make("a");
    g_autofree char *most = g_strnfill(1024, 'n'); /* more than statfs says (reference 1.2) */
    g_autofree char *more = g_strnfill(1025, 'n');
    const char *odd[] = {"a b", "x\ny", "q\"q", "\xff\xfe", "\\", "__version__", ".hidden", "-"};
    mt_text(mt("a/%s", most), "long");
    g_assert_true(mt_has(mt("a/%s", most), "long"));
    MT_FAILS(open(mt("a/%s", more), O_WRONLY | O_CREAT, 0640), ENAMETOOLONG);
    MT_FAILS(mkdir(mt("a/%s", more), 0755), ENAMETOOLONG);
    MT_FAILS(rename(mt("a/%s", most), mt("a/%s", more)), ENAMETOOLONG);
    MT_OK(rename(mt("a/%s", most), mt("a/%.256s", most)));
    MT_OK(unlink(mt("a/%.256s", most)));
    for (guint i = 0; i < G_N_ELEMENTS(odd); i++) {
        mt_text(mt("a/%s", odd[i]), odd[i]);
        g_assert_true(mt_has(mt("a/%s", odd[i]), odd[i]));
    }
    posix_dir_remove("a");
}

/* Goal: one VMID, one guest; also behind the back of a directory of that name (18.1.7). */
static void test_vmid(void)
{
    bool had = access(mt("nodes"), F_OK) == 0;
    if (!had) {
        posix_dir_make("nodes");
    }
    posix_dir_make("nodes/v1");
    posix_dir_make("nodes/v1/qemu-server");
    posix_dir_make("nodes/v1/lxc");
    posix_dir_make("nodes/v2");
    posix_dir_make("nodes/v2/qemu-server");
    mt_text(mt("nodes/v1/qemu-server/987654.conf"), "a");
    MT_FAILS(open(mt("nodes/v2/qemu-server/987654.conf"), O_WRONLY | O_CREAT, 0640), EEXIST);
    MT_FAILS(open(mt("nodes/v1/lxc/987654.conf"), O_WRONLY | O_CREAT, 0640), EEXIST);
    mt_text(mt("nodes/v2/tmp"), "b");
    MT_FAILS(rename(mt("nodes/v2/tmp"), mt("nodes/v2/qemu-server/987654.conf")), EEXIST);
    MT_OK(rename(mt("nodes/v1/qemu-server/987654.conf"),
                 mt("nodes/v2/qemu-server/987654.conf"))); /* a migration */
    MT_FAILS(open(mt("nodes/v1/qemu-server/987654.conf"), O_WRONLY | O_CREAT, 0640), EEXIST);
    MT_FAILS(mkdir(mt("nodes/v1/qemu-server/987653.conf"), 0755), EACCES);
    posix_dir_make("nodes/v1/dir");
    MT_FAILS(rename(mt("nodes/v1/dir"), mt("nodes/v1/qemu-server/987653.conf")), EACCES);
    MT_OK(unlink(mt("nodes/v2/qemu-server/987654.conf")));
    mt_text(mt("nodes/v1/lxc/987654.conf"), "free again");
    posix_dir_remove("nodes/v1");
    posix_dir_remove("nodes/v2");
    if (!had) {
        posix_dir_remove("nodes");
    }
}

/* Counts how often each of `n` names "f<i>" in `dir` is listed. */
static guint *list_counts(const char *dir, guint n, guint remove_at, guint *ret_total)
{
    guint *seen = g_new0(guint, n);
    DIR *d = opendir(dir);
    g_assert_nonnull(d);
    guint total = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        guint i = 0;
        if (sscanf(e->d_name, "f%u", &i) == 1 && i < n) {
            seen[i]++;
        }
        if (++total == remove_at) { /* while the listing is under way */
            for (guint k = 0; k < n; k += 3) {
                g_autofree char *path = g_strdup_printf("%s/f%u", dir, k);
                (void)unlink(path); /* gone already in a second round */
            }
        }
    }
    closedir(d);
    *ret_total = total;
    return seen;
}

static void test_listing(void)
{
    const guint n = 1000;
    guint total = 0;
    posix_dir_make("a");
    const char *dir = mt("a");
    for (guint i = 0; i < n; i++) {
        g_autofree char *path = g_strdup_printf("%s/f%u", dir, i);
        mt_text(path, "");
    }
    for (int round = 0; round < 3; round++) {
        g_autofree guint *seen = list_counts(dir, n, 0, &total);
        g_assert_cmpuint(total, ==, n + 2);
        for (guint i = 0; i < n; i++) {
            g_assert_cmpuint(seen[i], ==, 1);
        }
    }
    /* Entries that stay are listed exactly once, whatever goes meanwhile. */
    g_autofree guint *seen = list_counts(dir, n, 100, &total);
    for (guint i = 0; i < n; i++) {
        g_assert_true(i % 3 == 0 ? seen[i] <= 1 : seen[i] == 1);
    }
    g_autofree guint *after = list_counts(dir, n, 0, &total);
    for (guint i = 0; i < n; i++) {
        g_assert_cmpuint(after[i], ==, i % 3 == 0 ? 0 : 1);
    }
    posix_dir_remove("a");
}

static void test_rewind_and_seek(void)
{
    posix_dir_make("a");
    for (int i = 0; i < 20; i++) {
        mt_text(mt("a/f%d", i), "");
    }
    DIR *d = opendir(mt("a"));
    g_assert_nonnull(d);
    for (int i = 0; i < 10; i++) {
        g_assert_nonnull(readdir(d));
    }
    long place = telldir(d);
    g_autofree char *next = g_strdup(readdir(d)->d_name);
    while (readdir(d) != NULL) {
    }
    seekdir(d, place);
    g_assert_cmpstr(readdir(d)->d_name, ==, next);
    mt_text(mt("a/new"), "");
    MT_OK(unlink(mt("a/f0")));
    rewinddir(d);
    bool seen_new = false;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        seen_new = seen_new || strcmp(e->d_name, "new") == 0;
        g_assert_cmpstr(e->d_name, !=, "f0");
    }
    g_assert_true(seen_new);
    closedir(d);
    posix_dir_remove("a");
}

/* Goal: who stands in a directory that is removed is told so, and can leave. */
static void test_removed_directory(void)
{
    posix_dir_make("a");
    int fd = open(mt("a"), O_RDONLY | O_DIRECTORY);
    MT_OK(fd);
    MT_OK(rmdir(mt("a")));
    MT_FAILS(openat(fd, "x", O_WRONLY | O_CREAT, 0640), ENOENT);
    MT_FAILS(mkdirat(fd, "x", 0755), ENOENT);
    struct stat st;
    MT_OK(fstat(fd, &st));
    g_assert_true(S_ISDIR(st.st_mode));
    MT_OK(close(fd));
    posix_dir_make("a");
    posix_dir_remove("a");
}

void posix_add_names(void)
{
    g_test_add_func("/posix/names/mkdir", test_mkdir);
    g_test_add_func("/posix/names/create", test_create);
    g_test_add_func("/posix/names/kinds-the-tree-has-not", test_not_there);
    g_test_add_func("/posix/names/remove", test_remove);
    g_test_add_func("/posix/names/rename-refused", test_rename_errors);
    g_test_add_func("/posix/names/rename", test_rename);
    g_test_add_func("/posix/names/rename-flags", test_rename_flags);
    g_test_add_func("/posix/names/length-and-bytes", test_names);
    g_test_add_func("/posix/names/one-vmid-one-guest", test_vmid);
    g_test_add_func("/posix/names/listing-while-it-changes", test_listing);
    g_test_add_func("/posix/names/rewind-and-seek", test_rewind_and_seek);
    g_test_add_func("/posix/names/removed-directory", test_removed_directory);
}
