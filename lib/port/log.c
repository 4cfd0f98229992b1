/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/log.h"

#include <glib.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_SIZE    1024
#define REPEAT_WINDOW_US (10 * G_USEC_PER_SEC)

static struct {
    GMutex lock;                   /* protects the fields below; held for one line */
    bool open, to_stderr, journal; /* journal: it reads stderr */
    char last[LINE_MAX_SIZE];
    TraceLevel last_level;
    gint64 last_at;
    unsigned repeats;
} state = {.to_stderr = true};

static gint debug_on;

/* systemd names the stream that it gave us; what runs in the foreground of a unit may have another.
 */
static bool journal_reads_stderr(void)
{
    const char *stream = g_getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat s;

    if (stream == NULL || fstat(STDERR_FILENO, &s) < 0) {
        return false;
    }
    (void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
    return strcmp(stream, ours) == 0;
}

void log_init(const char *ident, bool to_stderr)
{
    g_mutex_lock(&state.lock);
    openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
    state.open = true;
    state.to_stderr = to_stderr;
    state.journal = journal_reads_stderr();
    g_mutex_unlock(&state.lock);
}

void log_set_debug(bool on)
{
    g_atomic_int_set(&debug_on, on);
}

bool log_debug(void)
{
    return g_atomic_int_get(&debug_on) != 0;
}

void log_stop_stderr(void)
{
    g_mutex_lock(&state.lock);
    state.to_stderr = state.journal = false;
    g_mutex_unlock(&state.lock);
}

static const char *level_name(TraceLevel level)
{
    switch (level) {
    case TRACE_CRIT:
        return "crit";
    case TRACE_ERR:
        return "error";
    case TRACE_WARNING:
        return "warning";
    case TRACE_NOTICE:
        return "notice";
    case TRACE_INFO:
        return "info";
    case TRACE_DEBUG:
        return "debug";
    }
    return "?";
}

/* With the time, for whoever reads a log file; in local time, as the other logs of the node. */
static void write_stderr(const char *line)
{
    gint64 now = g_get_real_time();
    time_t sec = (time_t)(now / G_USEC_PER_SEC);
    struct tm tm;
    char clock[16];

    if (!state.open || localtime_r(&sec, &tm) == NULL ||
        strftime(clock, sizeof clock, "%H:%M:%S", &tm) == 0) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "%s.%03d %s\n", clock, (int)(now % G_USEC_PER_SEC / 1000), line);
}

/* The journal gets each line once, by the stream: it knows whose that is even when the writer has
 * ended at once, which of the system log's socket it does not. */
static void write_line(TraceLevel level, const char *line)
{
    if (state.journal) {
        fprintf(stderr, "<%d>%s\n", (int)level, line);
        return;
    }
    if (state.open) {
        syslog(level, "%s", line);
    }
    if (state.to_stderr) {
        write_stderr(line);
    }
}

static void flush_repeats(void)
{
    char line[64];

    if (state.repeats > 0) {
        (void)snprintf(line, sizeof line, "[log] last line repeated %u times", state.repeats);
        write_line(state.last_level, line);
        state.repeats = 0;
    }
}

static void put_line(TraceLevel level, const char *line)
{
    gint64 now = g_get_monotonic_time();

    g_mutex_lock(&state.lock);
    if (strcmp(line, state.last) == 0 && now - state.last_at < REPEAT_WINDOW_US) {
        state.repeats++;
    } else {
        flush_repeats();
        write_line(level, line);
        (void)g_strlcpy(state.last, line, sizeof state.last);
        state.last_level = level;
        state.last_at = now;
    }
    g_mutex_unlock(&state.lock);
}

static void emit(TraceLevel level, const char *domain, const char *text)
{
    char line[LINE_MAX_SIZE];

    (void)snprintf(line, sizeof line, "[%s] %s: %s", domain, level_name(level), text);
    /* Text from outside must not fake further lines. */
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' ';
        }
    }
    put_line(level, line);
}

void log_line(TraceLevel level, const char *domain, const char *fmt, ...)
{
    char text[LINE_MAX_SIZE];
    va_list ap;

    if (level == TRACE_DEBUG && !log_debug()) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut lines are fine in a log */
    va_end(ap);
    emit(level, domain, text);
}

static void trace_line(void *ctx, TraceLevel level, const char *line)
{
    if (level != TRACE_DEBUG || log_debug()) {
        emit(level, ctx, line);
    }
}

Tracer log_tracer(const char *domain)
{
    return (Tracer){.emit = trace_line, .ctx = (void *)domain};
}
