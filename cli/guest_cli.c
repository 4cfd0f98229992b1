/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/guest_cli.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STEP_PERCENT 10.0 /* between two lines when the output is no terminal */

static volatile sig_atomic_t cancelled;

typedef struct Meter {
    FILE *out;
    bool terminal;
    double told; /* percent of the last line */
} Meter;

static Meter meter;

static void on_signal(int number)
{
    (void)number;
    cancelled = 1;
}

static void on_percent(void *ctx, double percent)
{
    Meter *m = ctx;

    if (percent < m->told) { /* the next piece of work */
        m->told = -1;
    }
    if (m->terminal) {
        fprintf(m->out, "\rtransferred %.2f%%%s", percent, percent >= 100 ? "\n" : "");
    } else if (percent >= m->told + STEP_PERCENT || m->told < 0 ||
               (percent >= 100 && m->told < 100)) {
        fprintf(m->out, "transferred %.2f%%\n", percent);
        m->told = percent;
    }
    if (m->terminal) {
        m->told = percent;
    }
    fflush(m->out);
}

void guest_cli_close(GuestCli *c)
{
    g_clear_pointer(&c->set, storage_set_free);
    g_clear_pointer(&c->tree, guest_tree_free);
}

int guest_cli_open(const char *root, GuestCli *ret, Err *err)
{
    g_auto(GuestCli) c = {0};
    int r = guest_tree_open(root, NULL, &c.tree, err);

    if (r == 0) {
        r = storage_set_open(c.tree, &c.set, err);
    }
    if (r == 0) {
        *ret = c;
        c = (GuestCli){0};
    }
    return r;
}

void guest_cli_long_work(StorageSet *set, FILE *out)
{
    struct sigaction action = {.sa_handler = on_signal};

    (void)sigemptyset(&action.sa_mask); /* valid arguments: none of these can fail */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    meter = (Meter){.out = out, .terminal = isatty(fileno(out)) == 1, .told = -1};
    set->progress.percent = on_percent;
    set->progress.ctx = &meter;
    set->progress.cancel = &cancelled;
}

void guest_cli_warn(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "warning: %s\n", text);
}
