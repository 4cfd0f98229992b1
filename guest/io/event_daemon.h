/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_daemon: sees how guests end. Every QEMU connects to its socket; a guest that has turned
 * itself off is ended here (QEMU stays because of -no-shutdown), and when the process of a guest
 * is gone, however that came, `qm cleanup` runs for it. It may be restarted at any time: QEMU
 * connects again, and what ended meanwhile is found by its files.
 * Reference: guest.md section 9. One thread: that of the default main context.
 */
#ifndef GUEST_IO_EVENT_DAEMON_H
#define GUEST_IO_EVENT_DAEMON_H

#include "lib/base/err.h"

#include <glib.h>

#define EVENT_DAEMON_SOCKET "/var/run/qmeventd.sock"

typedef struct EventDaemon EventDaemon;

typedef struct EventDaemonOptions {
    const char *socket;  /* NULL: EVENT_DAEMON_SOCKET */
    const char *run_dir; /* NULL: the usual one */
    const char *qm;      /* program to run for cleaning up; NULL: "qm" */
    const char *root;    /* the tree, for it; NULL: the usual one */
    unsigned term_ms;    /* for QEMU to end after SIGTERM, 0: the usual */
} EventDaemonOptions;

/* Listens, and looks for guests that run already or have ended unseen. -EADDRINUSE when another one
 * serves this socket. */
int event_daemon_new(const EventDaemonOptions *options, EventDaemon **ret, Err *err) must_check;
void event_daemon_free(EventDaemon *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EventDaemon, event_daemon_free)

#endif
