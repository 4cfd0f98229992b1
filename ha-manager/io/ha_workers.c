/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_workers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Child {
    pid_t pid;
    char *tag;
} Child;

struct HaWorkers {
    GPtrArray *children; /* Child * */
    void (*in_child)(void *ctx);
    void *ctx;
};

static void child_free(void *data)
{
    Child *child = data;

    g_free(child->tag);
    g_free(child);
}

HaWorkers *ha_workers_new(void (*in_child)(void *ctx), void *ctx)
{
    HaWorkers *w = g_new0(HaWorkers, 1);

    w->children = g_ptr_array_new_with_free_func(child_free);
    w->in_child = in_child;
    w->ctx = ctx;
    return w;
}

void ha_workers_free(HaWorkers *w)
{
    if (w != NULL) {
        g_ptr_array_unref(w->children);
        g_free(w);
    }
}

static void become_worker(pid_t parent)
{
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail with a valid signal */
    if (getppid() != parent) {
        _exit(1); /* it died before we could ask to die with it */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGTERM, SIG_IGN); /* for the daemon: it waits for us */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
}

int ha_workers_start(HaWorkers *w, const char *tag, int (*work)(void *data), void *data)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    Child *child;

    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        become_worker(parent);
        if (w->in_child != NULL) {
            w->in_child(w->ctx);
        }
        _exit(work(data));
    }
    child = g_new0(Child, 1);
    child->pid = pid;
    child->tag = g_strdup(tag);
    g_ptr_array_add(w->children, child);
    return 0;
}

int ha_workers_reap(HaWorkers *w, char **ret_tag, int *ret_status)
{
    for (guint i = 0; i < w->children->len; i++) {
        Child *child = g_ptr_array_index(w->children, i);
        int status;

        if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
            *ret_tag = g_strdup(child->tag);
            *ret_status = status;
            g_ptr_array_remove_index(w->children, i);
            return 1;
        }
    }
    return 0;
}

bool ha_workers_busy(const HaWorkers *w, const char *tag)
{
    for (guint i = 0; i < w->children->len; i++) {
        const Child *child = g_ptr_array_index(w->children, i);

        if (strcmp(child->tag, tag) == 0) {
            return true;
        }
    }
    return false;
}

guint ha_workers_count(const HaWorkers *w)
{
    return w->children->len;
}
