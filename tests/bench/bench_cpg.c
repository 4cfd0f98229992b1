/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_cpg: what corosync's process groups can do here, with nothing on top.
 *
 *   bench_cpg listen LOG SECONDS     notes "NUMBER MICROSECONDS" of each timed message
 *   bench_cpg latency COUNT          sends timed messages of 1 KiB, 20 ms apart
 *   bench_cpg rate SECONDS [WINDOW]  sends as fast as it is taken
 *
 * With a window only so many are on the way, as that many callers would have them who wait. `rate`
 * prints own deliveries per second and the processor time of this program for each in microseconds.
 * Times are CLOCK_MONOTONIC, which the nodes of a lab share.
 */
#include <corosync/cpg.h>
#include <glib.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE 1024

typedef struct Message {
    gint64 number; /* 0: one of many, not timed */
    gint64 sent_us;
    char rest[SIZE - 2 * sizeof(gint64)];
} Message;

static cpg_handle_t handle;
static unsigned self;
static FILE *log_file;
static gint64 own; /* deliveries of what this process sent */

static void on_deliver(cpg_handle_t h,
                       const struct cpg_name *group,
                       uint32_t node,
                       uint32_t pid,
                       void *data,
                       size_t size)
{
    Message m;

    (void)h;
    (void)group;
    if (size != sizeof m) {
        return;
    }
    memcpy(&m, data, sizeof m);
    own += node == self && pid == (uint32_t)getpid();
    if (log_file != NULL && m.number > 0) {
        fprintf(log_file, "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", m.number,
                g_get_monotonic_time() - m.sent_us);
    }
}

static void die(const char *what, cs_error_t rc)
{
    g_printerr("bench_cpg: %s: error %d\n", what, (int)rc);
    exit(1);
}

static void join(void)
{
    cpg_callbacks_t callbacks = {.cpg_deliver_fn = on_deliver};
    struct cpg_name name = {.length = sizeof "bench" - 1, .value = "bench"};
    cs_error_t rc = cpg_initialize(&handle, &callbacks);

    if (rc != CS_OK || (rc = cpg_local_get(handle, &self)) != CS_OK ||
        (rc = cpg_join(handle, &name)) != CS_OK) {
        die("cannot join", rc);
    }
}

/* Delivers what is there; waits for something at most so long. */
static void dispatch(int timeout_ms)
{
    struct pollfd p = {.events = POLLIN};

    (void)cpg_fd_get(handle, &p.fd);
    if (poll(&p, 1, timeout_ms) > 0) {
        cs_error_t rc = cpg_dispatch(handle, CS_DISPATCH_ALL);

        if (rc != CS_OK) {
            die("dispatch", rc);
        }
    }
}

static bool send_one(gint64 number)
{
    Message m = {.number = number, .sent_us = g_get_monotonic_time()};
    struct iovec iov = {&m, sizeof m};
    cs_error_t rc = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &iov, 1);

    if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN) {
        die("send", rc);
    }
    return rc == CS_OK;
}

static void latency(gint64 count)
{
    for (gint64 i = 1; i <= count; i++) {
        while (!send_one(i)) {
            dispatch(1);
        }
        while (own < i) {
            dispatch(1000);
        }
        g_usleep(20000);
    }
}

static double processor_us(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u); /* cannot fail with these arguments */
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* `window` 0: no bound. */
static void rate(gint64 seconds, gint64 window)
{
    gint64 start = g_get_monotonic_time();
    gint64 until = start + seconds * G_USEC_PER_SEC;
    gint64 sent = 0;

    while (g_get_monotonic_time() < until) {
        bool went = (window == 0 || sent - own < window) && send_one(0);

        sent += went;
        dispatch(went ? 0 : 1);
    }
    printf("%.0f %.1f\n", (double)own * 1e6 / (double)(g_get_monotonic_time() - start),
           processor_us() / (double)MAX(own, 1));
}

static void listen_for(const char *path, gint64 seconds)
{
    gint64 until = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    log_file = fopen(path, "w");
    if (log_file == NULL) {
        g_printerr("bench_cpg: cannot write %s\n", path);
        exit(1);
    }
    while (g_get_monotonic_time() < until) {
        dispatch(100);
    }
    if (fclose(log_file) != 0) {
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "listen") == 0) {
        join();
        listen_for(argv[2], g_ascii_strtoll(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "latency") == 0) {
        join();
        latency(g_ascii_strtoll(argv[2], NULL, 10));
    } else if ((argc == 3 || argc == 4) && strcmp(argv[1], "rate") == 0) {
        join();
        rate(g_ascii_strtoll(argv[2], NULL, 10),
             argc == 4 ? g_ascii_strtoll(argv[3], NULL, 10) : 0);
    } else {
        g_printerr("usage: bench_cpg listen LOG SECONDS | latency COUNT | rate SECONDS [WINDOW]\n");
        return 2;
    }
    (void)cpg_finalize(handle);
    return 0;
}
