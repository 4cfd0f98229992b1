/* SPDX-License-Identifier: Apache-2.0 */
/* Without quorum: reading works, nothing else does (reference 5.3, 5.6; INV-3). */
#include "tests/integration/posix.h"

/* Modes follow quorum a moment later: the kernel is told, not asked. */
static void mode_becomes(const char *path, mode_t mode)
{
    for (int i = 0; i < 5000 && (posix_stat(path).st_mode & 07777) != mode; i++) {
        g_usleep(1000);
    }
    g_assert_cmpint(posix_stat(path).st_mode & 07777, ==, mode);
}

static void test_modes(void)
{
    posix_dir_make("q");
    posix_dir_make("priv");
    mt_text(mt("q/f"), "text");
    mt_text(mt("priv/k"), "key");
    mode_becomes(mt("q/f"), 0640);
    mt_ctl("quorum 0");
    mode_becomes(mt("q"), 0555);
    mode_becomes(mt("q/f"), 0440);
    mode_becomes(mt("priv"), 0500);
    mode_becomes(mt("priv/k"), 0400);
    mode_becomes(mt("local"), 0555); /* how the tools test for quorum */
    mode_becomes(mt(".version"), 0440);
    mode_becomes(mt(".debug"), 0640);
    mode_becomes(mt_dir(), 0755);
    g_assert_true(mt_has(mt("q/f"), "text"));
    mt_ctl("quorum 1");
    mode_becomes(mt("q"), 0755);
    mode_becomes(mt("q/f"), 0640);
    mode_becomes(mt("priv/k"), 0600);
    mode_becomes(mt("local"), 0755);
    posix_dir_remove("priv");
    posix_dir_remove("q");
}

static void test_refused(void)
{
    posix_dir_make("q");
    mt_text(mt("q/f"), "text");
    mt_ctl("quorum 0");
    MT_FAILS(open(mt("q/g"), O_WRONLY | O_CREAT, 0640), EACCES);
    MT_FAILS(mknod(mt("q/g"), S_IFREG | 0640, 0), EACCES);
    MT_FAILS(mkdir(mt("q/d"), 0755), EACCES);
    MT_FAILS(unlink(mt("q/f")), EACCES);
    MT_FAILS(rename(mt("q/f"), mt("q/g")), EACCES);
    MT_FAILS(truncate(mt("q/f"), 0), EACCES);
    MT_FAILS(open(mt("q/f"), O_WRONLY | O_TRUNC), EACCES);
    MT_FAILS(utimensat(AT_FDCWD, mt("q/f"), NULL, 0), EACCES);
    int fd = open(mt("q/f"), O_WRONLY); /* root's open is not a change */
    MT_OK(fd);
    MT_FAILS(write(fd, "x", 1), EACCES);
    MT_FAILS(ftruncate(fd, 0), EACCES);
    MT_OK(close(fd));
    g_assert_true(mt_has(mt("q/f"), "text"));
    MT_OK(chmod(mt("q/f"), 0640));
    MT_FAILS(chmod(mt("q/f"), 0600), EPERM);
    mt_text(mt(".debug"), "0\n");
    mt_ctl("quorum 1");
    posix_dir_remove("q");
}

/* Goal: what was written when quorum went away is refused at close, and gone for readers. */
static void test_lost_while_open(void)
{
    mt_text(mt("ql"), "before");
    int r = open(mt("ql"), O_RDONLY);
    int w = open(mt("ql"), O_WRONLY);
    MT_OK(r);
    MT_OK(w);
    MT_OK(pwrite(w, "AFTER and more", 14, 0));
    g_assert_true(mt_has(mt("ql"), "AFTER and more"));
    mt_ctl("quorum 0");
    MT_FAILS(close(w), EACCES);
    g_assert_true(mt_has(mt("ql"), "before"));
    char buf[32] = "";
    g_assert_cmpint(pread(r, buf, sizeof(buf), 0), ==, 6);
    g_assert_cmpstr(buf, ==, "before");
    g_assert_cmpint(posix_stat(mt("ql")).st_size, ==, 6);
    mt_ctl("quorum 1");
    MT_OK(close(r));
    g_assert_true(mt_has(mt("ql"), "before"));
    MT_OK(unlink(mt("ql")));
}

/* Goal: the errno of the disk reaches the caller, memory goes back, and the next change works. */
static void test_disk(void)
{
    mt_text(mt("dk"), "before");
    const int codes[] = {EIO, ENOSPC, EROFS};
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        int w = open(mt("dk"), O_WRONLY | O_TRUNC);
        MT_OK(w);
        MT_OK(write(w, "lost", 4));
        mt_ctl("fail %d", codes[i]);
        MT_FAILS(i == 0 ? fsync(w) : close(w), codes[i]);
        g_assert_true(mt_has(mt("dk"), "before"));
        if (i == 0) {
            MT_OK(close(w));
        }
        mt_ctl("fail %d", codes[i]);
        MT_FAILS(mkdir(mt("dk.d"), 0755), codes[i]);
        g_assert_cmpint(access(mt("dk.d"), F_OK), ==, -1);
        mt_ctl("fail %d", codes[i]);
        MT_FAILS(unlink(mt("dk")), codes[i]);
        g_assert_true(mt_becomes(mt("dk"), "before"));
        mt_ctl("fail %d", codes[i]);
        MT_FAILS(rename(mt("dk"), mt("dk2")), codes[i]);
        g_assert_true(mt_becomes(mt("dk"), "before"));
        g_assert_cmpint(access(mt("dk2"), F_OK), ==, -1);
    }
    mt_text(mt("dk"), "after");
    g_assert_true(mt_has(mt("dk"), "after"));
    MT_OK(unlink(mt("dk")));
}

/* Goal: a file whose making the disk refused after it had been seen takes no bytes that would be
 * lost in silence, although the close of a copy of its descriptor was told already: a shell makes
 * one for its redirection and does not look at its close. */
static void test_making_lost(void)
{
    mt_ctl("lose %d", ENOSPC);
    int first = open(mt("ml"), O_WRONLY | O_CREAT | O_EXCL, 0640);
    MT_OK(first);
    int w = dup(first);
    MT_OK(w);
    MT_FAILS(close(first), ENOSPC);
    MT_FAILS(write(w, "lost", 4), ENOSPC);
    MT_FAILS(write(w, "lost", 4), ENOSPC);
    MT_FAILS(fsync(w), ENOSPC);
    MT_FAILS(close(w), ENOSPC);
    for (int i = 0; i < 60000 && access(mt("ml"), F_OK) == 0; i++) {
        g_usleep(1000); /* the kernel is told that the name is gone */
    }
    MT_FAILS(access(mt("ml"), F_OK), ENOENT);
    mt_text(mt("ml"), "kept");
    g_assert_true(mt_has(mt("ml"), "kept"));
    MT_OK(unlink(mt("ml")));
}

/* Goal: when the close of one fails, the other who wrote hears of it too, and nothing of either is
 * left to mix with the old content. */
static void test_two_writers(void)
{
    mt_text(mt("tw"), "before");
    int a = open(mt("tw"), O_WRONLY | O_TRUNC);
    int b = open(mt("tw"), O_WRONLY);
    int idle = open(mt("tw"), O_WRONLY);
    MT_OK(a);
    MT_OK(b);
    MT_OK(idle);
    MT_OK(write(a, "abc", 3));
    MT_OK(pwrite(b, "def", 3, 3));
    mt_ctl("fail %d", EIO);
    MT_FAILS(close(a), EIO);
    g_assert_true(mt_has(mt("tw"), "before"));
    MT_FAILS(pwrite(b, "X", 1, 1), EIO);
    MT_FAILS(fsync(b), EIO);
    MT_OK(pwrite(b, "E", 1, 1)); /* told once: what comes now is meant for what is there */
    MT_OK(close(b));
    MT_OK(close(idle));
    g_assert_true(mt_has(mt("tw"), "bEfore"));
    MT_OK(unlink(mt("tw")));
}

/* Goal: who cuts a file and then cannot write it leaves it as it was. */
static void test_cut_given_up(void)
{
    mt_text(mt("cg"), "before");
    int w = open(mt("cg"), O_WRONLY | O_TRUNC);
    MT_OK(w);
    mt_ctl("quorum 0");
    MT_FAILS(write(w, "after", 5), EACCES);
    mt_ctl("quorum 1");
    MT_FAILS(close(w), EACCES);
    g_assert_true(mt_has(mt("cg"), "before"));
    MT_OK(unlink(mt("cg")));
}

void posix_add_quorum(void)
{
    posix_add_steered("/posix/quorum/making-of-a-file-lost", test_making_lost);
    posix_add_steered("/posix/quorum/two-writers-hear-of-a-failure", test_two_writers);
    posix_add_steered("/posix/quorum/a-cut-is-given-up-with-its-write", test_cut_given_up);
    posix_add_steered("/posix/quorum/modes", test_modes);
    posix_add_steered("/posix/quorum/changes-refused", test_refused);
    posix_add_steered("/posix/quorum/lost-while-open", test_lost_while_open);
    posix_add_steered("/posix/quorum/errors-of-the-disk", test_disk);
}
