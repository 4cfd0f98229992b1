/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmdline: what all our commands share: a table of verbs, options by GOption, help, exit codes and
 * the way errors are shown. One thread (main).
 */
#ifndef CLI_CMDLINE_H
#define CLI_CMDLINE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

/* Exit codes of every command; also in the man pages. */
typedef enum CliExit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1, /* the operation failed or was refused; the reason is on stderr */
    CLI_EXIT_USAGE = 2,  /* the command line is wrong */
} CliExit;

typedef struct CliVerb {
    const char *name;     /* one word, or two ("qdevice setup") */
    const char *operands; /* for help: "CLUSTERNAME" */
    const char *summary;  /* one line for help */
    int min_operands, max_operands;
    GOptionEntry *options; /* may be NULL; ends with an empty entry */
    /* `operands` are borrowed. 0 or a positive exit code; negative errno with text in `err`. */
    int (*run)(char **operands, Err *err);
} CliVerb;

/* Finds the verb, parses its options and runs it. Prints errors as "PROGRAM VERB: reason". Handles
 * `help [VERB]`, `--help`, `-h` and `--version`. Options may be written with one dash. Returns the
 * exit code. */
int cli_main(const char *program, const char *summary, const CliVerb *verbs, int argc, char **argv);

/* `--output-format` text|json, shared by all verbs that print facts. */
extern char *cli_output_format;
#define CLI_OUTPUT_FORMAT_OPTION                                                                   \
    {                                                                                              \
        "output-format", 0, 0, G_OPTION_ARG_STRING, &cli_output_format, "text (default) or json",  \
            "FORMAT"                                                                               \
    }

/* A flag that may be followed by its value, as scripts write it: `--full`, `--full 1`, `--full=0`.
 * `var` is an int: 1 or 0, and what it was before when the flag is not given. */
#define CLI_FLAG_VALUE "0|1"
#define CLI_FLAG(name, var, text)                                                                  \
    {                                                                                              \
        name, 0, 0, G_OPTION_ARG_INT, &(var), text, CLI_FLAG_VALUE                                 \
    }

/* True for json; an unknown format is an error of the command line (-EINVAL). */
int cli_wants_json(bool *ret, Err *err) must_check;

#endif
