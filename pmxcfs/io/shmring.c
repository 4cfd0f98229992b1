/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/shmring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Layout of libqb's shared header; positions count 32 bit words. */
struct shmring_head {
    uint32_t write_at;
    uint32_t read_at;
    uint32_t n_words;
    char head_path[PATH_MAX];
    char data_path[PATH_MAX];
    int32_t users; /* 2 while both sides have it */
    sem_t messages;
    int32_t flow_control; /* 0: send as you like */
} __attribute__((aligned(8)));

_Static_assert(offsetof(struct shmring_head, data_path) == 12 + PATH_MAX, "as libqb has it");
_Static_assert(offsetof(struct shmring_head, users) == 12 + 2 * PATH_MAX, "as libqb has it");
_Static_assert(offsetof(struct shmring_head, messages) == 16 + 2 * PATH_MAX, "as libqb has it");
_Static_assert(sizeof(sem_t) % 8 == 0, "the flow control word follows without a gap");
_Static_assert(sizeof(long) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "post() knows the semaphore of 64 bit little-endian glibc");

/* In front of each message: its size in bytes, and a mark. */
#define HEAD_WORDS  2u
#define MARK_READY  UINT32_C(0xa1a1a1a1)
#define MARK_TAKEN  UINT32_C(0xd0d0d0d0)
#define MARK_FILLED UINT32_C(0xa110ced0) /* being written */
/* Bytes kept free behind a message: its own head and one word for sizes that are no multiple of 4.
 */
#define MARGIN ((HEAD_WORDS + 1u) * 4u)

/* ---- memory that may vanish ---- */

static _Thread_local sigjmp_buf escape;
static _Thread_local volatile sig_atomic_t armed;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (armed) {
        siglongjmp(escape, 1);
    }
    /* Not ours: the faulting instruction runs again and meets the default action. */
    (void)signal(sig, SIG_DFL);
}

void shmring_guard_install(void)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

        (void)sigemptyset(&sa.sa_mask);
        (void)sigaction(SIGBUS, &sa, NULL); /* fails only for a wrong number */
        g_once_init_leave(&once, 1);
    }
}

/* Runs `fn`, which touches shared memory and owns nothing; -EFAULT when that memory is gone. */
static int guarded(int (*fn)(ShmRing *ring, void *ctx), ShmRing *ring, void *ctx)
{
    int rc;

    if (sigsetjmp(escape, 0) != 0) {
        armed = 0;
        return -EFAULT;
    }
    armed = 1;
    atomic_signal_fence(memory_order_seq_cst);
    rc = fn(ring, ctx);
    atomic_signal_fence(memory_order_seq_cst);
    armed = 0;
    return rc;
}

/* ---- making and closing ---- */

static int map_file(int dirfd, const char *name, size_t size, uid_t owner, gid_t group, void **ret)
{
    int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *map;
    int rc;

    if (fd < 0) {
        return -errno;
    }
    rc = posix_fallocate(fd, 0, (off_t)size); /* full: an error now, not a fault later */
    if (rc == 0 && fchown(fd, owner, group) < 0) {
        rc = errno;
    }
    map = rc == 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (rc == 0 && map == MAP_FAILED) {
        rc = errno;
    }
    (void)close(fd); /* the mapping stays */
    if (rc != 0) {
        (void)unlinkat(dirfd, name, 0);
        return -rc;
    }
    *ret = map;
    return 0;
}

static void file_name(const ShmRing *ring, const char *suffix, char *buf, size_t size)
{
    g_snprintf(buf, (gulong)size, "%s%s", ring->name, suffix);
}

int shmring_create(ShmRing *ring,
                   int dirfd,
                   const char *dir,
                   const char *name,
                   size_t message_max,
                   uid_t owner,
                   gid_t group)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char file[96];
    void *map = NULL;
    int rc;

    *ring = (ShmRing){.dirfd = dirfd, .message_max = message_max};
    g_strlcpy(ring->name, name, sizeof ring->name);
    ring->words_size = (message_max + MARGIN + 1 + page - 1) / page * page;
    ring->n_words = (uint32_t)(ring->words_size / 4);
    file_name(ring, "-header", file, sizeof file);
    rc = map_file(dirfd, file, sizeof(struct shmring_head), owner, group, &map);
    if (rc < 0) {
        return rc;
    }
    ring->head = map;
    ring->head->n_words = ring->n_words;
    ring->head->users = 1;
    g_snprintf(ring->head->head_path, PATH_MAX, "%s/%s", dir, file);
    file_name(ring, "-data", file, sizeof file);
    g_snprintf(ring->head->data_path, PATH_MAX, "%s/%s", dir, file);
    rc = sem_init(&ring->head->messages, 1, 0) < 0 ? -errno : 0;
    if (rc == 0) {
        rc = map_file(dirfd, file, ring->words_size, owner, group, &map);
    }
    if (rc < 0) {
        shmring_close(ring);
        return rc;
    }
    ring->words = map;
    return 0;
}

static int say_goodbye(ShmRing *ring, void *unused)
{
    (void)unused;
    __atomic_store_n(&ring->head->users, 0, __ATOMIC_RELEASE);
    return 0;
}

void shmring_close(ShmRing *ring)
{
    char file[96];

    if (ring->head != NULL) {
        (void)guarded(say_goodbye, ring, NULL); /* gone already: nobody to tell */
        (void)munmap(ring->head, sizeof(struct shmring_head));
        file_name(ring, "-header", file, sizeof file);
        (void)unlinkat(ring->dirfd, file, 0); /* the client may have been faster */
    }
    if (ring->words != NULL) {
        (void)munmap(ring->words, ring->words_size);
        file_name(ring, "-data", file, sizeof file);
        (void)unlinkat(ring->dirfd, file, 0);
    }
    *ring = (ShmRing){0};
}

/* ---- taking ---- */

static uint32_t *word(ShmRing *ring, uint32_t at)
{
    return &ring->words[at % ring->n_words];
}

/* Words that a message of `size` bytes takes with its head. */
static uint32_t span(size_t size)
{
    return HEAD_WORDS + (uint32_t)((size + 3) / 4);
}

static int look(ShmRing *ring, void *ctx)
{
    uint32_t *ret_size = ctx;

    /* Sent in this order: message, mark, semaphore. */
    if (sem_trywait(&ring->head->messages) < 0) {
        return 0;
    }
    if (__atomic_load_n(word(ring, ring->at + 1), __ATOMIC_ACQUIRE) != MARK_READY) {
        return -EBADMSG;
    }
    *ret_size = __atomic_load_n(word(ring, ring->at), __ATOMIC_RELAXED);
    return 1;
}

typedef struct Piece {
    uint8_t *data;
    uint32_t size;
} Piece;

/* `size` bytes from or to the words at `at`, around the end of the ring. */
static void copy_out(ShmRing *ring, uint32_t at, uint8_t *to, size_t size)
{
    size_t first = MIN(size, ring->words_size - (size_t)(at % ring->n_words) * 4);

    memcpy(to, word(ring, at), first);
    memcpy(to + first, ring->words, size - first);
}

static int fetch(ShmRing *ring, void *ctx)
{
    const Piece *p = ctx;
    uint32_t next = (ring->at + span(p->size)) % ring->n_words;

    copy_out(ring, ring->at + HEAD_WORDS, p->data, p->size);
    __atomic_store_n(word(ring, ring->at), 0, __ATOMIC_RELAXED);
    __atomic_store_n(word(ring, ring->at + 1), MARK_TAKEN, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->head->read_at, next, __ATOMIC_RELEASE);
    return 0;
}

int shmring_take(ShmRing *ring, GBytes **ret)
{
    g_autofree uint8_t *data = NULL;
    uint32_t size = 0;
    Piece piece;
    int rc = guarded(look, ring, &size);

    if (rc <= 0) {
        return rc;
    }
    if (size > ring->message_max) {
        return -EBADMSG;
    }
    data = g_malloc(MAX(size, 1));
    piece = (Piece){.data = data, .size = size};
    rc = guarded(fetch, ring, &piece);
    if (rc < 0) {
        return rc;
    }
    ring->at = (ring->at + span(size)) % ring->n_words;
    *ret = g_bytes_new_take(g_steal_pointer(&data), size);
    return 1;
}

/* ---- putting ---- */

/*
 * sem_post, without its trust: glibc's ends the process when the futex call fails, and the flags of
 * that call lie in the semaphore, where the client can write. The low half of its first word is the
 * value, the high half the number of waiters. (sem_trywait makes no system call and needs no such
 * care.)
 */
static void post(sem_t *sem)
{
    uint64_t *state = (uint64_t *)(void *)sem;
    uint64_t was = __atomic_fetch_add(state, 1, __ATOMIC_RELEASE);

    if (was >> 32 > 0) {
        (void)syscall(SYS_futex, state, FUTEX_WAKE, 1, NULL, NULL, 0); /* fails: it is their loss */
    }
}

typedef struct Message {
    const struct iovec *iov;
    int n;
    size_t size;
} Message;

static void copy_in(ShmRing *ring, size_t byte, const void *from, size_t size)
{
    size_t at = byte % ring->words_size;
    size_t first = MIN(size, ring->words_size - at);

    memcpy((uint8_t *)ring->words + at, from, first);
    memcpy(ring->words, (const uint8_t *)from + first, size - first);
}

static int store(ShmRing *ring, void *ctx)
{
    const Message *m = ctx;
    uint32_t read_at = __atomic_load_n(&ring->head->read_at, __ATOMIC_ACQUIRE);
    size_t byte = ((size_t)ring->at + HEAD_WORDS) * 4;
    size_t room;

    if (read_at >= ring->n_words) {
        return -EBADMSG;
    }
    /* Never filled to the last word, so equal positions mean empty. */
    room = read_at == ring->at ? ring->n_words
                               : (read_at + ring->n_words - ring->at - 1) % ring->n_words;
    if (room * 4 < m->size + MARGIN) {
        return -EAGAIN;
    }
    __atomic_store_n(word(ring, ring->at), 0, __ATOMIC_RELAXED);
    __atomic_store_n(word(ring, ring->at + 1), MARK_FILLED, __ATOMIC_RELEASE);
    for (int i = 0; i < m->n; i++) {
        if (m->iov[i].iov_len > 0) {
            copy_in(ring, byte, m->iov[i].iov_base, m->iov[i].iov_len);
            byte += m->iov[i].iov_len;
        }
    }
    __atomic_store_n(word(ring, ring->at), (uint32_t)m->size, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->head->write_at, (ring->at + span(m->size)) % ring->n_words,
                     __ATOMIC_RELEASE);
    __atomic_store_n(word(ring, ring->at + 1), MARK_READY, __ATOMIC_RELEASE);
    post(&ring->head->messages);
    return 0;
}

int shmring_put(ShmRing *ring, const struct iovec *iov, int n)
{
    Message m = {.iov = iov, .n = n};
    int rc;

    for (int i = 0; i < n; i++) {
        m.size += iov[i].iov_len;
    }
    if (m.size > ring->message_max) {
        return -EMSGSIZE;
    }
    rc = guarded(store, ring, &m);
    if (rc == 0) {
        ring->at = (ring->at + span(m.size)) % ring->n_words;
    }
    return rc;
}
