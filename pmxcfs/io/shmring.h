/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shmring: one direction of a libqb connection: a ring of messages in files that a client maps too
 * (docs/wire/libqb-shm.md). This is the side of the daemon, which trusts nothing in the shared
 * memory: it keeps its own positions, sizes and paths, bounds what it reads, and survives a client
 * that truncates the files. Why libqb's own server is not used:
 * docs/decisions/0006-ipc-transport.md.
 *
 * One thread per ring at a time.
 */
#ifndef PMXCFS_IO_SHMRING_H
#define PMXCFS_IO_SHMRING_H

#include "lib/base/err.h"

#include <glib.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct ShmRing {
    struct shmring_head *head; /* mapped, shared */
    uint32_t *words;           /* mapped, shared */
    size_t words_size;         /* bytes of the mapping */
    uint32_t n_words;
    uint32_t at;        /* our position: of the next message to take or to put */
    size_t message_max; /* bytes */
    int dirfd;          /* borrowed */
    char name[64];      /* of the files, without "-header" and "-data" */
} ShmRing;

/* Makes the files `<dir>/<name>-header` and `-data`, for `owner` alone, and maps them. `dirfd` is
 * `dir`, borrowed until the ring is closed. On failure nothing is left. */
int shmring_create(ShmRing *ring,
                   int dirfd,
                   const char *dir,
                   const char *name,
                   size_t message_max,
                   uid_t owner,
                   gid_t group) must_check;

/* Unmaps and unlinks; safe on a zeroed struct. */
void shmring_close(ShmRing *ring);

/* Takes the next message as a copy: 1 and *ret, 0 when there is none, -EBADMSG when the client
 * broke the ring, -EFAULT when it took the memory away. After an error only shmring_close may
 * follow. */
int shmring_take(ShmRing *ring, GBytes **ret) must_check;

/* Puts one message made of `n` pieces: 0, -EAGAIN no room (the client does not read), -EMSGSIZE,
 * -EBADMSG and -EFAULT as above. */
int shmring_put(ShmRing *ring, const struct iovec *iov, int n) must_check;

/* Installs the handler that lets the functions above survive truncated files. Once per process, any
 * thread; SIGBUS from elsewhere keeps its default action. */
void shmring_guard_install(void);

#endif
