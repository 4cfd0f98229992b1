/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_file: what happens to a database as a file: locked, copied, moved aside. Blocks on the
 * disk. Any thread. Knows nothing of SQLite but that PATH-wal, PATH-shm and PATH-journal belong to
 * PATH.
 */
#ifndef PMXCFS_IO_STORE_FILE_H
#define PMXCFS_IO_STORE_FILE_H

#include "lib/base/err.h"

#include <stdbool.h>

/* Opens the database file and locks it for this process: exclusively when `writable` (then it is
 * also created when missing, made mode 0600 with its companions, and a WAL or journal left over
 * from a lost database is moved aside first), shared otherwise. The caller closes *ret_fd when
 * nothing of the file is in use any more: a close drops SQLite's locks. `ret_created` may be NULL.
 * -EBUSY: locked by another process; -EINVAL: no regular file; -EFBIG. */
int store_file_lock(const char *path, bool writable, int *ret_fd, bool *ret_created, Err *err)
    must_check;

/* Does a WAL or journal with content lie beside the file? */
bool store_file_has_leftovers(const char *path);

/* Copies the database with WAL and journal into a new directory of mode 0700 below the system's
 * temporary directory. Both results are owned by the caller. */
int store_file_private_copy(const char *path, char **ret_dir, char **ret_path, Err *err) must_check;
void store_file_remove_copy(const char *dir);

/* Copies content into a new file of mode 0600 and syncs it. -EEXIST: the name is taken. */
int store_file_copy(const char *from, const char *to, Err *err) must_check;

/* Renames, never over something: -EEXIST. */
int store_file_rename_new(const char *from, const char *to, Err *err) must_check;

/* Renames a database with its companions to PATH.WORD-YYYYMMDDTHHMMSSZ-REASON[-N]; see
 * store_set_aside, which does this with the word "damaged". */
int store_file_keep(
    const char *path, const char *word, const char *reason, char **ret_name, Err *err) must_check;

/* Copies a database with WAL and journal to such a name, mode 0600, synced. */
int store_file_back_up(const char *path, const char *reason, char **ret_name, Err *err) must_check;

/* Makes creations, renames and removals in the directory of `path` durable. */
int store_file_sync_dir(const char *path, Err *err) must_check;

#endif
