/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompt: asks a person for what must not be seen (INV-8). Main thread of a program for people,
 * while it is the only one.
 */
#ifndef LIB_PORT_PROMPT_H
#define LIB_PORT_PROMPT_H

#include "lib/base/err.h"

#include <stddef.h>

/* Reads one line into `ret` (`size` bytes), without its end: from the terminal after `question`,
 * without echo, or from whatever standard input is. What is typed before the question is dropped. A
 * signal that would end or stop the program does so with the echo restored; after a stop it asks
 * again. The line may be empty. -EINVAL: no line, or one that is too long; -EINTR: a signal that
 * somebody else handles; -EIO: the terminal cannot be read, or kept from showing what is typed. The
 * caller wipes `ret`. */
int prompt_secret(const char *question, char *ret, size_t size, Err *err) must_check;

#endif
