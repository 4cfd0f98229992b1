/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process: runs another program to its end, without a shell, with its output caught up to a bound
 * and a deadline after which it is killed with everything it started. Any thread; blocks.
 */
#ifndef LIB_PORT_PROCESS_H
#define LIB_PORT_PROCESS_H

#include "lib/base/err.h"

#include <glib.h>
#include <signal.h>

typedef struct ProcessOptions {
    unsigned timeout_ms; /* 0: PROCESS_TIMEOUT_MS */
    const char *name;    /* of the program in errors; NULL: the first word of the command */
    gsize output_max;    /* bytes kept of each stream, 0: PROCESS_OUTPUT_MAX; the rest is dropped */
    int keep_fd;         /* a descriptor the program inherits under the same number; 0: none */
    const int *keep_fds; /* more of them; borrowed */
    gsize n_keep_fds;
    /* Called with each line of standard output as it comes; may be NULL. Lines longer than
     * output_max are cut. Progress bars end their lines with a carriage return: that counts too. */
    void (*line)(void *ctx, const char *line);
    void *ctx;
    /* Set by a signal handler of the caller: the program is ended, the answer is -ECANCELED. */
    const volatile sig_atomic_t *cancel;
} ProcessOptions;

#define PROCESS_TIMEOUT_MS 60000u
#define PROCESS_CANCEL_MS  200 /* between looks at `cancel` */
#define PROCESS_OUTPUT_MAX ((gsize)1024 * 1024)

typedef struct ProcessResult {
    int status; /* exit status, or 128 and the number of the signal that ended it */
    char *out;  /* what it wrote, NUL terminated; bytes that are NUL end it early for readers */
    char *err;
} ProcessResult;

void process_result_clear(ProcessResult *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ProcessResult, process_result_clear)

/* `argv` ends with NULL; argv[0] is a path or is looked up in PATH. Standard input is empty. 0 when
 * it ran to its end, whatever its status; -ENOENT and others when it could not start, -ETIMEDOUT
 * when it was killed, -ECANCELED. */
int process_run(const char *const *argv,
                const ProcessOptions *options,
                ProcessResult *ret,
                Err *err) must_check;

/* process_run, and a status other than 0 is an error as well: -EIO with the last line that the
 * program wrote to standard error. `ret_out` may be NULL; the caller frees it. */
int process_check(const char *const *argv, const ProcessOptions *options, char **ret_out, Err *err)
    must_check;

#endif
