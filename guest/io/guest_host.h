/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_host: where a verb works: the cluster's tree, this node's runtime directory, and where its
 * progress goes. Main thread.
 */
#ifndef GUEST_IO_GUEST_HOST_H
#define GUEST_IO_GUEST_HOST_H

#include "guest/io/guest_tree.h"
#include "lib/base/err.h"

#include <glib.h>

#define GUEST_RUN_DIR "/var/run/qemu-server"

typedef enum GuestSayKind {
    GUEST_SAY_PROGRESS, /* what is being done; for people */
    GUEST_SAY_WARNING,  /* something did not go as it should, and what was done about it */
    GUEST_SAY_FACT,     /* a line that a program reads */
} GuestSayKind;

typedef struct GuestHost {
    GuestTree *tree;
    char *run_dir;
    /* One line for the caller of the verb; may be NULL. */
    void (*say)(void *ctx, GuestSayKind kind, const char *line);
    void *ctx;
} GuestHost;

/* `root` and `run_dir` NULL: the usual ones. Makes the runtime directory, for root alone. */
int guest_host_open(const char *root, const char *run_dir, GuestHost **ret, Err *err) must_check;
void guest_host_free(GuestHost *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestHost, guest_host_free)

/* One line for the person who asked, through the callback of the host; NULL there: nobody hears. */
void guest_say(const GuestHost *h, GuestSayKind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Directory of qm-bridge and the other programs that are not typed by people: beside the build's
 * programs, or where they are installed. Caller frees. */
char *guest_script_dir(void);

#endif
