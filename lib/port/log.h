/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: where the lines of daemons go: the system log (journal or syslog, facility daemon) and, in
 * the foreground, stderr; below systemd, when the journal reads stderr, only there. One line, one
 * event: `[domain] priority: text`. A line that repeats within a short time is counted instead of
 * written again. Any thread.
 *
 * Levels say who must act; see "Logging" in CONTRIBUTING.md.
 */
#ifndef LIB_PORT_LOG_H
#define LIB_PORT_LOG_H

#include "lib/base/tracer.h"

#include <stdbool.h>

/* `ident`: program name, kept by pointer. From here on lines go to the system log and, with
 * `to_stderr`, to stderr: with the time of day. When the journal reads stderr they go there alone,
 * with their level. Before, lines go to stderr only, as they are. */
void log_init(const char *ident, bool to_stderr);

/* Debug lines are written only while this is on (`-d`, `.debug`). */
void log_set_debug(bool on);
bool log_debug(void);

/* After daemonising: nothing more to stderr, all to the system log. */
void log_stop_stderr(void);

/* One line, cut at about 1000 bytes, control characters as blanks. Any thread; may block as long
 * as the system log does. `domain` is the part of the program that speaks. */
void log_line(TraceLevel level, const char *domain, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A tracer that writes to the log under `domain` (kept by pointer). */
Tracer log_tracer(const char *domain);

#endif
