/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracer: how a pure core says what it does. The core formats one line; whoever made the core
 * decides where it goes (log, test transcript, nowhere). Lines carry no pointers and no wall time,
 * so that the transcript of a simulation is the same on every run.
 */
#ifndef LIB_BASE_TRACER_H
#define LIB_BASE_TRACER_H

/* Levels say who must act: see "Logging" in CONTRIBUTING.md. Numbers are those of syslog. */
typedef enum TraceLevel {
    TRACE_CRIT = 2,    /* node about to fence or to leave */
    TRACE_ERR = 3,     /* operation failed, somebody must look */
    TRACE_WARNING = 4, /* degraded, and what we do about it */
    TRACE_NOTICE = 5,  /* state change an operator wants to see */
    TRACE_INFO = 6,    /* one line per request of note */
    TRACE_DEBUG = 7,
} TraceLevel;

typedef struct Tracer {
    /* Called on the thread that runs the core; must not call back into it. `line` is borrowed. */
    void (*emit)(void *ctx, TraceLevel level, const char *line);
    void *ctx;
} Tracer;

/* Formats and emits one line (cut at 1024 bytes). Does nothing when `t` or its callback is NULL. */
void trace(const Tracer *t, TraceLevel level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
