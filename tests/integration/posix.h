/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix: what a mounted tree does for each call, and the errno of each refused one (reference
 * pmxcfs chapters 4 to 6). `posix_suite` runs it on the mount over an engine in memory;
 * `posix_suite --dir DIR` on whatever is mounted there, without the cases that steer the engine.
 */
#ifndef TESTS_INTEGRATION_POSIX_H
#define TESTS_INTEGRATION_POSIX_H

#include "tests/lib/mount_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WWW_DATA 33
#define NOBODY   65534
#define FILE_MAX 1048576

/* Each case works in a directory of its own name and removes it. */
void posix_dir_make(const char *name);
void posix_dir_remove(const char *name); /* with everything in it */

/* Adds a case that needs a host which takes commands. */
void posix_add_steered(const char *name, void (*fn)(void));

struct stat posix_stat(const char *path); /* lstat; must succeed */

void posix_add_special(void);
void posix_add_attr(void);
void posix_add_names(void);
void posix_add_data(void);
void posix_add_open(void);
void posix_add_users(void);
void posix_add_locks(void);
void posix_add_quorum(void);

#endif
