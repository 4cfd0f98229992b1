/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: an error that travels up with its reason.
 *
 * A function that can fail returns 0 (or a positive value) on success and a negative errno on
 * failure. When the number alone does not tell a person what to do, it also fills an Err that the
 * caller owns. No allocation happens on the error path. `err` may be NULL everywhere.
 *
 * Any thread may call; an Err belongs to one thread at a time.
 */
#ifndef LIB_BASE_ERR_H
#define LIB_BASE_ERR_H

#include <stddef.h>

#define ERR_TEXT_MAX 512 /* longest message kept, including the NUL; longer text is cut */

typedef struct Err {
    int code;                /* negative errno, 0 while nothing failed */
    char text[ERR_TEXT_MAX]; /* one line, no newline at the end */
} Err;

#define ERR_INIT {0, ""}

#define must_check __attribute__((warn_unused_result))

/* Sets code and text; `code` must be negative. Returns `code`, so that callers can write
 * `return err_setf(err, -EBADMSG, "dcdb: path length %u exceeds message", n);` */
int err_setf(Err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text already in `err`, keeps its code, and returns `code`. */
int err_wrapf(Err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Empties `err` so that it can be used again. */
void err_clear(Err *err);

/* The text of `err`, or strerror(-code) when no text was set, or "" when nothing failed.
 * Borrowed from `err` or static storage. */
const char *err_text(const Err *err);

#endif
