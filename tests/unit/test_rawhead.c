/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a raw image that begins with a hole gets its first block, with the zeroes that were read
 * there before, exactly when QEMU would not open it else; what is in a file never changes. Method:
 * files of a folder of their own; where the file system has no holes, there is nothing to fill.
 */
#include "guest/io/rawhead.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ODD 10737664 /* whole sectors, no multiple of 4 KiB */

typedef struct Fixture {
    char *dir;
    char *path;
} Fixture;

static void set_up(Fixture *f, const void *data)
{
    (void)data;
    f->dir = g_dir_make_tmp("rawhead-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "disk.raw", NULL);
}

static void tear_down(Fixture *f, const void *data)
{
    (void)data;
    test_remove_tree(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

/* A sparse file of `size` bytes with `text` at `at`. */
static void make(const Fixture *f, off_t size, const char *text, off_t at)
{
    int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    if (text != NULL) {
        g_assert_cmpint(pwrite(fd, text, strlen(text), at), ==, (ssize_t)strlen(text));
    }
    g_assert_cmpint(fsync(fd), ==, 0);
    (void)close(fd);
}

/* Where data begins, the size at the end of a file without any. */
static off_t data_begins(const Fixture *f)
{
    int fd = open(f->path, O_RDONLY);
    off_t at = lseek(fd, 0, SEEK_DATA);

    if (at < 0) {
        g_assert_cmpint(errno, ==, ENXIO);
        at = lseek(fd, 0, SEEK_END);
    }
    (void)close(fd);
    return at;
}

static void expect(const Fixture *f, off_t size, const char *text, off_t at)
{
    g_autofree char *have = NULL;
    gsize len = 0;

    g_assert_true(g_file_get_contents(f->path, &have, &len, NULL));
    g_assert_cmpint((off_t)len, ==, size);
    for (off_t i = 0; i < size; i++) {
        bool inside = text != NULL && i >= at && i < at + (off_t)strlen(text);
        if (have[i] != (inside ? text[i - at] : '\0')) {
            g_error("byte %ld is %d", (long)i, have[i]);
        }
    }
}

static void fill(const Fixture *f)
{
    Err err = ERR_INIT;

    g_assert_cmpint(rawhead_fill(f->path, &err), ==, 0);
}

static void test_hole(Fixture *f, const void *data)
{
    (void)data;
    make(f, ODD, NULL, 0);
    fill(f);
    g_assert_cmpint(data_begins(f), ==, 0);
    expect(f, ODD, NULL, 0);
}

static void test_tiny(Fixture *f, const void *data)
{
    (void)data;
    make(f, 700, NULL, 0);
    fill(f);
    expect(f, 700, NULL, 0);
    make(f, 0, NULL, 0);
    fill(f);
    expect(f, 0, NULL, 0);
}

static void test_later_data(Fixture *f, const void *data)
{
    (void)data;
    make(f, ODD, "guest", 65536);
    fill(f);
    g_assert_cmpint(data_begins(f), ==, 0);
    expect(f, ODD, "guest", 65536);
}

static void test_first_data(Fixture *f, const void *data)
{
    (void)data;
    make(f, ODD, "boot", 0);
    fill(f);
    expect(f, ODD, "boot", 0);
}

static void test_even(Fixture *f, const void *data)
{
    off_t before;

    (void)data;
    make(f, 1 << 20, NULL, 0);
    before = data_begins(f);
    fill(f);
    g_assert_cmpint(data_begins(f), ==, before);
}

static void test_missing(Fixture *f, const void *data)
{
    g_autofree char *link = g_build_filename(f->dir, "link.raw", NULL);
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(rawhead_fill(f->path, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err_text(&err), f->path));
    make(f, ODD, NULL, 0);
    g_assert_cmpint(symlink(f->path, link), ==, 0);
    g_assert_cmpint(rawhead_fill(link, NULL), ==, -ELOOP);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define CASE(path, fn) g_test_add("/rawhead/" path, Fixture, NULL, set_up, fn, tear_down)
    CASE("hole-at-the-start-is-filled", test_hole);
    CASE("small-and-empty-files-keep-their-size", test_tiny);
    CASE("what-is-behind-the-hole-stays", test_later_data);
    CASE("what-is-at-the-start-stays", test_first_data);
    CASE("sizes-that-fit-are-left-alone", test_even);
    CASE("missing-files-and-links-are-refused", test_missing);
    return g_test_run();
}
