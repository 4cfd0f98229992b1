/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the daemon's side of a shared ring works with libqb's ring functions on the other side, and
 * a client that writes anything into the shared memory, or takes it away, cannot do more than end
 * its own connection. Method: libqb's public ring functions as the peer for the good case; for the
 * bad ones, the files of the ring are mapped and changed as a client could.
 */
#include "lib/base/prng.h"
#include "pmxcfs/io/shmring.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <qb/qbdefs.h>
#include <qb/qbrb.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGE_MAX 20000

typedef struct Fixture {
    char dir[64];
    int dirfd;
    ShmRing ring;
    qb_ringbuffer_t *peer;
    uint8_t *head;   /* the client's mapping of the header file */
    uint32_t *words; /* and of the data file, once */
} Fixture;

/* Offsets in the shared header, as libqb has them. */
enum { WRITE_AT = 0, READ_AT = 4, N_WORDS = 8, HEAD_PATH = 12, SEM = 8208, HEAD_SIZE = 8248 };

static void *map(Fixture *f, const char *suffix, gsize size)
{
    g_autofree char *path = g_strdup_printf("%s/ring%s", f->dir, suffix);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p;

    g_assert_cmpint(fd, >=, 0);
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(p != MAP_FAILED);
    g_assert_cmpint(close(fd), ==, 0);
    return p;
}

static void setup(Fixture *f, gconstpointer unused)
{
    g_autofree char *name = NULL;

    (void)unused;
    shmring_guard_install();
    g_strlcpy(f->dir, "/dev/shm/qb-test-shmring-XXXXXX", sizeof f->dir);
    g_assert_nonnull(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(f->dirfd, >=, 0);
    g_assert_cmpint(
        shmring_create(&f->ring, f->dirfd, f->dir, "ring", MESSAGE_MAX, getuid(), getgid()), ==, 0);
    name = g_strdup_printf("%s/ring", f->dir);
    f->peer = qb_rb_open(name, MESSAGE_MAX, QB_RB_FLAG_SHARED_PROCESS, 4);
    g_assert_nonnull(f->peer);
    f->head = map(f, "-header", HEAD_SIZE);
    f->words = map(f, "-data", f->ring.words_size);
}

static void teardown(Fixture *f, gconstpointer unused)
{
    gsize size = f->ring.words_size;

    (void)unused;
    if (f->peer != NULL) {
        qb_rb_close(f->peer);
    }
    shmring_close(&f->ring);
    munmap(f->head, HEAD_SIZE);
    munmap(f->words, size);
    (void)close(f->dirfd);
    g_assert_cmpint(rmdir(f->dir), ==, 0); /* the files are gone */
}

static uint8_t *make_message(gsize size, uint64_t seed)
{
    uint8_t *m = g_malloc(size + 1);
    Prng rng;

    prng_init(&rng, seed);
    for (gsize i = 0; i < size; i++) {
        m[i] = (uint8_t)prng_u64(&rng);
    }
    return m;
}

/* Sizes of all kinds, many times around the ring. */
static void from_libqb(Fixture *f, gconstpointer unused)
{
    Prng rng;

    (void)unused;
    prng_init(&rng, 7);
    for (uint64_t i = 0; i < 3000; i++) {
        gsize size = i < 10 ? (gsize)i + 1 : i == 10 ? MESSAGE_MAX : 1 + prng_below(&rng, 9000);
        g_autofree uint8_t *m = make_message(size, i);
        g_autoptr(GBytes) got = NULL;
        g_autoptr(GBytes) none = NULL;

        g_assert_cmpint(qb_rb_chunk_write(f->peer, m, size), ==, (gssize)size);
        g_assert_cmpint(shmring_take(&f->ring, &got), ==, 1);
        g_assert_cmpmem(g_bytes_get_data(got, NULL), g_bytes_get_size(got), m, size);
        g_assert_cmpint(shmring_take(&f->ring, &none), ==, 0);
    }
}

static void to_libqb(Fixture *f, gconstpointer unused)
{
    g_autofree uint8_t *buf = g_malloc(MESSAGE_MAX);
    Prng rng;

    (void)unused;
    prng_init(&rng, 8);
    for (uint64_t i = 0; i < 3000; i++) {
        gsize size = i < 10 ? (gsize)i + 1 : i == 10 ? MESSAGE_MAX : 1 + prng_below(&rng, 9000);
        gsize first = prng_below(&rng, size + 1);
        g_autofree uint8_t *m = make_message(size, i);
        const struct iovec iov[] = {{m, first}, {m + first, size - first}};

        g_assert_cmpint(shmring_put(&f->ring, iov, 2), ==, 0);
        g_assert_cmpint(qb_rb_chunk_read(f->peer, buf, MESSAGE_MAX, 0), ==, (gssize)size);
        g_assert_cmpmem(buf, size, m, size);
    }
}

static void several_wait(Fixture *f, gconstpointer unused)
{
    uint32_t n = 0;

    (void)unused;
    for (uint32_t i = 0; qb_rb_chunk_write(f->peer, &i, sizeof i) == sizeof i; i++) {
        n++;
    }
    g_assert_cmpuint(n, >, 1000);
    for (uint32_t i = 0; i < n; i++) {
        g_autoptr(GBytes) got = NULL;

        g_assert_cmpint(shmring_take(&f->ring, &got), ==, 1);
        g_assert_cmpmem(g_bytes_get_data(got, NULL), 4, &i, 4);
    }
}

static void full_ring(Fixture *f, gconstpointer unused)
{
    g_autofree uint8_t *m = make_message(3000, 1);
    const struct iovec iov = {m, 3000};
    const struct iovec too_long = {m, MESSAGE_MAX + 1};
    int n = 0;
    g_autofree uint8_t *buf = g_malloc(MESSAGE_MAX);

    (void)unused;
    g_assert_cmpint(shmring_put(&f->ring, &too_long, 1), ==, -EMSGSIZE);
    while (n < 100 && shmring_put(&f->ring, &iov, 1) == 0) {
        n++;
    }
    g_assert_cmpint(n, ==, 6); /* 20480 bytes */
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, -EAGAIN);
    g_assert_cmpint(qb_rb_chunk_read(f->peer, buf, MESSAGE_MAX, 0), ==, 3000);
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, 0);
    for (int i = 0; i < 6; i++) {
        g_assert_cmpint(qb_rb_chunk_read(f->peer, buf, MESSAGE_MAX, 0), ==, 3000);
        g_assert_cmpmem(buf, 3000, m, 3000);
    }
}

/* ---- a client that lies ---- */

/* libqb in this very process believes what it finds in the memory: it must not look again. */
static void abandon(Fixture *f)
{
    static GPtrArray *all; /* reachable, so that no leak is reported */

    if (all == NULL) {
        all = g_ptr_array_new();
    }
    g_ptr_array_add(all, g_steal_pointer(&f->peer));
}

/* Any result is right, as long as there is one. */
static void survived(int rc)
{
    g_assert_cmpint(rc, <=, 1);
}

static void put_word(void *base, gsize at, uint32_t v)
{
    memcpy((uint8_t *)base + at, &v, sizeof v);
}

static void send_hello(Fixture *f)
{
    g_assert_cmpint(qb_rb_chunk_write(f->peer, "hello", 6), ==, 6);
}

static void assert_taken(Fixture *f)
{
    g_autoptr(GBytes) got = NULL;

    g_assert_cmpint(shmring_take(&f->ring, &got), ==, 1);
    g_assert_cmpstr(g_bytes_get_data(got, NULL), ==, "hello");
}

/* Positions, sizes and paths of the header mean nothing to us. */
static void lying_header(Fixture *f, gconstpointer unused)
{
    const uint32_t values[] = {0, 1, 5, 0x7fffffff, 0xffffffff};

    (void)unused;
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        send_hello(f);
        put_word(f->head, READ_AT, values[i]);
        put_word(f->head, N_WORDS, values[i]); /* 0: a division by zero, were it believed */
        assert_taken(f);
        put_word(f->head, READ_AT, f->ring.at);
        put_word(f->head, N_WORDS, f->ring.n_words);
    }
    memset(f->head + HEAD_PATH, 0, 8192);
    g_strlcpy((char *)f->head + HEAD_PATH, "/etc/passwd", 4096); /* libqb would unlink that */
    g_strlcpy((char *)f->head + HEAD_PATH + 4096, "/etc/passwd", 4096);
    qb_rb_close(g_steal_pointer(&f->peer));
    shmring_close(&f->ring);
    g_assert_true(g_file_test("/etc/passwd", G_FILE_TEST_EXISTS));
    f->ring.words_size = 20480; /* for teardown */
}

static void lying_sizes(Fixture *f, gconstpointer unused)
{
    const uint32_t sizes[] = {MESSAGE_MAX + 1, 100000000, 0x7fffffff, 0xfffffff0, 0xffffffff};

    (void)unused;
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GBytes) got = NULL;

        teardown(f, NULL);
        setup(f, NULL);
        send_hello(f);
        put_word(f->words, 0, sizes[i]);
        g_assert_cmpint(shmring_take(&f->ring, &got), ==, -EBADMSG);
    }
}

static void lying_mark(Fixture *f, gconstpointer unused)
{
    g_autoptr(GBytes) got = NULL;

    (void)unused;
    send_hello(f);
    put_word(f->words, 4, 0x12345678);
    g_assert_cmpint(shmring_take(&f->ring, &got), ==, -EBADMSG);
}

static void lying_semaphore(Fixture *f, gconstpointer unused)
{
    g_autoptr(GBytes) got = NULL;
    g_autoptr(GBytes) none = NULL;

    (void)unused;
    g_assert_cmpint(sem_post((sem_t *)(void *)(f->head + SEM)), ==, 0); /* a message that is not */
    g_assert_cmpint(shmring_take(&f->ring, &none), ==, -EBADMSG);
    teardown(f, NULL);
    setup(f, NULL);
    send_hello(f);
    memset(f->head + SEM, 0xff, 32);
    survived(shmring_take(&f->ring, &got));
}

static void lying_reader(Fixture *f, gconstpointer unused)
{
    const struct iovec iov = {(void *)"hello", 6};

    (void)unused;
    put_word(f->head, READ_AT, 0xffffffff);
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, -EBADMSG);
    put_word(f->head, READ_AT, f->ring.n_words);
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, -EBADMSG);
    put_word(f->head, READ_AT, 1);
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, -EAGAIN);
    put_word(f->head, READ_AT, 0);
    memset(f->head + SEM, 0xff, 32); /* a count at its end */
    survived(shmring_put(&f->ring, &iov, 1));
}

static void random_memory(Fixture *f, gconstpointer unused)
{
    Prng rng;

    (void)unused;
    prng_init(&rng, 99);
    for (int i = 0; i < 300; i++) {
        const struct iovec iov = {(void *)"answer", 7};
        int rc = 1;

        teardown(f, NULL);
        setup(f, NULL);
        for (int n = 0; n < 5; n++) {
            send_hello(f);
        }
        for (int n = 0; n < 20; n++) {
            put_word(f->head, prng_below(&rng, HEAD_SIZE / 4) * 4, (uint32_t)prng_u64(&rng));
            put_word(f->head, prng_below(&rng, 3) * 4, (uint32_t)prng_u64(&rng));
            put_word(f->words, prng_below(&rng, 40) * 4, (uint32_t)prng_u64(&rng));
        }
        for (int n = 0; n < 50 && rc == 1; n++) {
            g_autoptr(GBytes) got = NULL;

            rc = shmring_take(&f->ring, &got);
        }
        survived(shmring_put(&f->ring, &iov, 1));
        abandon(f);
    }
}

/* The files shrink under us. */
static void truncated_files(Fixture *f, gconstpointer data)
{
    const char *suffix = data;
    g_autofree char *path = g_strdup_printf("%s/ring%s", f->dir, suffix);
    const struct iovec iov = {(void *)"answer", 7};
    g_autoptr(GBytes) got = NULL;

    send_hello(f);
    g_assert_cmpint(truncate(path, 0), ==, 0);
    g_assert_cmpint(shmring_take(&f->ring, &got), ==, -EFAULT);
    g_assert_cmpint(shmring_put(&f->ring, &iov, 1), ==, -EFAULT);
    abandon(f);
}

static void no_space_left(Fixture *f, gconstpointer unused)
{
    ShmRing big;

    (void)unused;
    /* More than any machine has in /dev/shm: refused, and nothing left behind. */
    g_assert_cmpint(
        shmring_create(&big, f->dirfd, f->dir, "big", (gsize)1 << 41, getuid(), getgid()), <, 0);
}

#define ADD(path, data, fn) g_test_add("/shmring/" path, Fixture, data, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("libqb/sends", NULL, from_libqb);
    ADD("libqb/receives", NULL, to_libqb);
    ADD("libqb/several-messages-wait", NULL, several_wait);
    ADD("full", NULL, full_ring);
    ADD("hostile/header", NULL, lying_header);
    ADD("hostile/sizes", NULL, lying_sizes);
    ADD("hostile/mark", NULL, lying_mark);
    ADD("hostile/semaphore", NULL, lying_semaphore);
    ADD("hostile/reader", NULL, lying_reader);
    ADD("hostile/random-memory", NULL, random_memory);
    ADD("hostile/truncated-header", "-header", truncated_files);
    ADD("hostile/truncated-data", "-data", truncated_files);
    ADD("no-space-left", NULL, no_space_left);
    return g_test_run();
}
