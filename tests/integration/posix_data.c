/* SPDX-License-Identifier: Apache-2.0 */
/* Content: limits, offsets, holes, truncation (reference 4.2, 5.5). */
#include "tests/integration/posix.h"

#include <sys/mman.h>
#include <sys/uio.h>

static int fresh(const char *name, int flags)
{
    int fd = open(mt("%s", name), O_CREAT | O_EXCL | flags, 0640);
    MT_OK(fd);
    return fd;
}

static void done(const char *name, int fd)
{
    MT_OK(close(fd));
    MT_OK(unlink(mt("%s", name)));
}

static char *pattern(size_t size)
{
    char *bytes = g_malloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)('a' + (i * 7 + i / 4096) % 26);
    }
    return bytes;
}

static void check_content(const char *name, const char *bytes, size_t size)
{
    GString *is = mt_read(mt("%s", name));
    g_assert_nonnull(is);
    g_assert_cmpuint(is->len, ==, size);
    g_assert_true(memcmp(is->str, bytes, size) == 0);
    g_string_free(is, TRUE);
}

static void test_limit(void)
{
    g_autofree char *bytes = pattern(FILE_MAX + 1);
    int fd = fresh("big", O_RDWR);
    g_assert_cmpint(write(fd, bytes, FILE_MAX + 1), ==, FILE_MAX);
    MT_FAILS(write(fd, "x", 1), EFBIG);
    MT_FAILS(pwrite(fd, "x", 1, FILE_MAX), EFBIG);
    MT_FAILS(pwrite(fd, "x", 1, FILE_MAX + 5), EFBIG);
    g_assert_cmpint(pwrite(fd, "zzzz", 4, FILE_MAX - 2), ==, 2);
    MT_FAILS(ftruncate(fd, FILE_MAX + 1), EFBIG);
    bytes[FILE_MAX - 2] = bytes[FILE_MAX - 1] = 'z';
    MT_OK(fsync(fd));
    check_content("big", bytes, FILE_MAX);
    done("big", fd);
}

/* Goal: 64 bit offsets are never cut to 32 (reference 18.1.6). */
static void test_wide_offsets(void)
{
    int fd = fresh("wide", O_RDWR);
    MT_OK(write(fd, "abcdef", 6));
    const off_t wide = INT64_C(1) << 32;
    MT_FAILS(pwrite(fd, "x", 1, wide + 1), EFBIG);
    MT_FAILS(ftruncate(fd, wide + 3), EFBIG);
    MT_FAILS(truncate(mt("wide"), wide + 3), EFBIG);
    char c;
    g_assert_cmpint(pread(fd, &c, 1, wide), ==, 0);
    MT_FAILS(ftruncate(fd, -1), EINVAL);
    MT_OK(fsync(fd));
    g_assert_true(mt_has(mt("wide"), "abcdef"));
    done("wide", fd);
}

static void test_pieces(void)
{
    const size_t steps[] = {1, 100, 4096, 5000, 131072, FILE_MAX};
    g_autofree char *bytes = pattern(FILE_MAX);
    for (guint s = 0; s < G_N_ELEMENTS(steps); s++) {
        size_t size = steps[s] < 4096 ? 20000 : FILE_MAX;
        int fd = fresh("pieces", O_WRONLY);
        for (size_t at = 0; at < size; at += steps[s]) {
            size_t n = MIN(steps[s], size - at);
            g_assert_cmpint(write(fd, bytes + at, n), ==, (ssize_t)n);
        }
        MT_OK(fsync(fd));
        check_content("pieces", bytes, size);
        done("pieces", fd);
    }
}

static void test_holes(void)
{
    int fd = fresh("hole", O_RDWR);
    MT_OK(pwrite(fd, "end", 3, 10000));
    char buf[10003];
    g_assert_cmpint(pread(fd, buf, sizeof(buf), 0), ==, 10003);
    for (int i = 0; i < 10000; i++) {
        g_assert_cmpint(buf[i], ==, 0);
    }
    g_assert_cmpint(memcmp(buf + 10000, "end", 3), ==, 0);
    MT_OK(pwrite(fd, "mid", 3, 5000));
    MT_OK(fsync(fd));
    memcpy(buf + 5000, "mid", 3);
    check_content("hole", buf, sizeof(buf));
    done("hole", fd);
}

static void test_truncate(void)
{
    int fd = fresh("cut", O_RDWR);
    MT_OK(write(fd, "0123456789", 10));
    MT_OK(close(fd));
    MT_OK(truncate(mt("cut"), 4));
    g_assert_true(mt_has(mt("cut"), "0123"));
    MT_OK(truncate(mt("cut"), 8));
    check_content("cut", "0123\0\0\0\0", 8);
    MT_OK(truncate(mt("cut"), 0));
    g_assert_true(mt_has(mt("cut"), ""));
    /* A length without a byte crashed the original's readers (reference 18.1.1). */
    MT_OK(truncate(mt("cut"), 10));
    check_content("cut", "\0\0\0\0\0\0\0\0\0\0", 10);
    MT_FAILS(truncate(mt("none"), 0), ENOENT);
    MT_FAILS(truncate(mt_dir(), 0), EISDIR);
    MT_OK(unlink(mt("cut")));
}

static void test_ftruncate(void)
{
    int fd = fresh("cut", O_RDWR);
    MT_OK(write(fd, "0123456789", 10));
    MT_OK(ftruncate(fd, 3));
    struct stat st;
    MT_OK(fstat(fd, &st));
    g_assert_cmpint(st.st_size, ==, 3);
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, 3);
    MT_OK(ftruncate(fd, 6));
    MT_OK(pwrite(fd, "x", 1, 4));
    g_assert_cmpint(posix_stat(mt("cut")).st_size, ==, 6);
    MT_OK(ftruncate(fd, 0));
    MT_OK(fstat(fd, &st));
    g_assert_cmpint(st.st_size, ==, 0);
    MT_OK(ftruncate(fd, 2));
    MT_OK(fsync(fd));
    check_content("cut", "\0\0", 2);
    done("cut", fd);
}

static void test_append(void)
{
    int a = fresh("log", O_WRONLY | O_APPEND);
    int b = open(mt("log"), O_WRONLY | O_APPEND);
    MT_OK(b);
    GString *want = g_string_new(NULL);
    for (int i = 0; i < 50; i++) {
        g_autofree char *line = g_strdup_printf("line %d\n", i);
        g_assert_cmpint(write(i % 2 != 0 ? a : b, line, strlen(line)), ==, (ssize_t)strlen(line));
        g_string_append(want, line);
        if (i % 10 == 0) {
            MT_OK(fsync(a));
        }
        g_assert_true(mt_has(mt("log"), want->str)); /* seen by others at once */
    }
    MT_OK(close(b));
    g_assert_true(mt_has(mt("log"), want->str));
    g_string_free(want, TRUE);
    done("log", a);
}

static void test_vectors(void)
{
    int fd = fresh("vec", O_RDWR);
    struct iovec out[3] = {
        {(void *)(uintptr_t) "ab", 2}, {NULL, 0}, {(void *)(uintptr_t) "cde", 3}};
    char x[3];
    char y[4];
    struct iovec in[2] = {{x, 3}, {y, 4}};
    g_assert_cmpint(writev(fd, out, 3), ==, 5);
    g_assert_cmpint(preadv(fd, in, 2, 0), ==, 5);
    g_assert_cmpmem(x, 3, "abc", 3);
    g_assert_cmpmem(y, 2, "de", 2);
    g_assert_cmpint(write(fd, "", 0), ==, 0);
    done("vec", fd);
}

static void test_fallocate(void)
{
    int fd = fresh("room", O_RDWR);
    g_assert_cmpint(posix_fallocate(fd, 0, 10000), ==, 0);
    g_assert_cmpint(posix_stat(mt("room")).st_size, ==, 10000);
    done("room", fd);
}

static void test_mmap(void)
{
    mt_text(mt("map"), "hello world");
    int fd = open(mt("map"), O_RDONLY);
    MT_OK(fd);
    char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    g_assert_true(shared != MAP_FAILED);
    char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    g_assert_true(own != MAP_FAILED);
    g_assert_cmpstr(shared, ==, "hello world");
    own[0] = 'J';
    g_assert_cmpstr(own, ==, "Jello world");
    /* A change by the way of write is seen through the map. */
    int w = open(mt("map"), O_WRONLY);
    MT_OK(w);
    MT_OK(pwrite(w, "HELLO", 5, 0));
    g_assert_cmpstr(shared, ==, "HELLO world");
    MT_OK(close(w));
    g_assert_cmpstr(shared, ==, "HELLO world");
    MT_OK(munmap(shared, 4096));
    MT_OK(munmap(own, 4096));
    MT_OK(close(fd));
    /* Writing through a shared map is refused, as errors could not be reported. */
    fd = open(mt("map"), O_RDWR);
    MT_OK(fd);
    errno = 0;
    g_assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    g_assert_cmpint(errno, ==, ENODEV);
    own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    g_assert_true(own != MAP_FAILED);
    g_assert_cmpstr(own, ==, "HELLO world");
    MT_OK(munmap(own, 4096));
    done("map", fd);
}

static void test_direct(void)
{
    void *aligned = NULL;
    g_assert_cmpint(posix_memalign(&aligned, 4096, 4096), ==, 0);
    memset(aligned, 'd', 4096);
    int fd = fresh("direct", O_RDWR | O_DIRECT);
    g_assert_cmpint(pwrite(fd, aligned, 4096, 0), ==, 4096);
    memset(aligned, 0, 4096);
    g_assert_cmpint(pread(fd, aligned, 4096, 0), ==, 4096);
    g_assert_cmpint(((char *)aligned)[4095], ==, 'd');
    free(aligned);
    done("direct", fd);
}

void posix_add_data(void)
{
    g_test_add_func("/posix/data/one-mebibyte-and-no-more", test_limit);
    g_test_add_func("/posix/data/wide-offsets", test_wide_offsets);
    g_test_add_func("/posix/data/pieces-of-any-size", test_pieces);
    g_test_add_func("/posix/data/holes-are-zeros", test_holes);
    g_test_add_func("/posix/data/truncate", test_truncate);
    g_test_add_func("/posix/data/ftruncate", test_ftruncate);
    g_test_add_func("/posix/data/append", test_append);
    g_test_add_func("/posix/data/vectors", test_vectors);
    g_test_add_func("/posix/data/fallocate-by-the-library", test_fallocate);
    g_test_add_func("/posix/data/mmap", test_mmap);
    g_test_add_func("/posix/data/o-direct", test_direct);
}
