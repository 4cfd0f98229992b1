/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock_jump: a wall clock that jumps, for the programs that are started with this in LD_PRELOAD.
 * CLOCK_JUMP names a file of eight bytes: so many seconds, a number as the machine has it, the wall
 * clock is ahead of the real one, from when on they are written. Monotonic time is as it is.
 * Waits until a time of the wall clock, as QEMU has them, go by the clock as it is when they begin:
 * one that a jump falls into is not touched by it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WALL_FROM 1000000000 /* no machine is up for 31 years: it is no monotonic time */

static const volatile int64_t zero;
static const volatile int64_t *ahead = &zero;

__attribute__((constructor)) static void find_file(void)
{
    const char *path = getenv("CLOCK_JUMP");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (map == MAP_FAILED) {
        abort(); /* a test that jumps nowhere would show nothing */
    }
    ahead = map;
    (void)close(fd); /* only read */
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret);

    if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        ret->tv_sec += *ahead;
    }
    return r;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond,
                           pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec at = *until;

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    }
    if (at.tv_sec > WALL_FROM) {
        at.tv_sec -= *ahead;
    }
    return real(cond, mutex, &at);
}

/* These two by the names that programs call them. */
int jumped_timeval(struct timeval *ret, void *zone) __asm__("gettimeofday");
time_t jumped_seconds(time_t *ret) __asm__("time");

int jumped_timeval(struct timeval *ret, void *zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0) {
        return -1;
    }
    ret->tv_sec = now.tv_sec;
    ret->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t jumped_seconds(time_t *ret)
{
    struct timespec now;
    time_t seconds = clock_gettime(CLOCK_REALTIME, &now) < 0 ? -1 : now.tv_sec;

    if (ret != NULL) {
        *ret = seconds;
    }
    return seconds;
}
