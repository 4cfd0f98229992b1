/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines go: the system log, stderr, or the journal by stderr. Each exactly once. */
#include "lib/port/log.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static int n_syslog;

/* In place of the C library's, in both of its forms. */
void syslog(int priority, const char *fmt, ...)
{
    (void)priority, (void)fmt;
    n_syslog++;
}

void __syslog_chk(int priority, int flag, const char *fmt, ...);
void __syslog_chk(int priority, int flag, const char *fmt, ...)
{
    (void)priority, (void)flag, (void)fmt;
    n_syslog++;
}

/* What stderr got of one line; `named`: by the environment it is the journal's stream. */
static char *write_line(bool to_stderr, bool named, bool stopped, const char *text)
{
    g_autofree char *path = NULL;
    g_autofree char *stream = NULL;
    char *got = NULL;
    struct stat s;
    int fd = g_file_open_tmp("log-XXXXXX", &path, NULL);
    int before = dup(STDERR_FILENO);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(fd, &s), ==, 0);
    stream = g_strdup_printf("%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino + !named);
    (void)g_setenv("JOURNAL_STREAM", stream, TRUE);
    g_assert_cmpint(dup2(fd, STDERR_FILENO), ==, STDERR_FILENO);
    n_syslog = 0;
    log_init("test_log", to_stderr);
    if (stopped) {
        log_stop_stderr();
    }
    log_line(TRACE_WARNING, "domain", "%s", text);
    (void)fflush(stderr);
    g_assert_cmpint(dup2(before, STDERR_FILENO), ==, STDERR_FILENO);
    g_assert_true(g_file_get_contents(path, &got, NULL, NULL));
    (void)close(before); /* a copy */
    (void)close(fd);     /* read by its name */
    (void)g_unlink(path);
    return got;
}

static void test_journal(void)
{
    g_autofree char *got = write_line(true, true, false, "one");
    g_autofree char *quiet = write_line(false, true, false, "two");

    g_assert_cmpstr(got, ==, "<4>[domain] warning: one\n");
    g_assert_cmpstr(quiet, ==, "<4>[domain] warning: two\n");
    g_assert_cmpint(n_syslog, ==, 0);
}

static void test_other_stream(void)
{
    g_autofree char *got = write_line(true, false, false, "three");

    g_assert_cmpint(n_syslog, ==, 1);
    g_assert_true(g_str_has_suffix(got, " [domain] warning: three\n"));
    g_assert_true(g_ascii_isdigit(got[0])); /* the time */
}

static void test_system_log_alone(void)
{
    g_autofree char *got = write_line(false, false, false, "four");

    g_assert_cmpint(n_syslog, ==, 1);
    g_assert_cmpstr(got, ==, "");
}

static void test_daemonised(void)
{
    g_autofree char *got = write_line(true, true, true, "five");

    g_assert_cmpint(n_syslog, ==, 1);
    g_assert_cmpstr(got, ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/journal/gets-each-line-once-with-its-level", test_journal);
    g_test_add_func("/log/stderr/of-another-than-the-journal-has-the-time", test_other_stream);
    g_test_add_func("/log/system-log/alone-when-stderr-is-not-asked-for", test_system_log_alone);
    g_test_add_func("/log/daemonised/goes-to-the-system-log", test_daemonised);
    return g_test_run();
}
