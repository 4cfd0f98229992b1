/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated services: ha-scenarios.md section 6. `vm` and `ct` do as told; `fa` fails as its number
 * says. */
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/sim/hasim_world.h"

#include <errno.h>
#include <string.h>

/* What the digits of a failing service mean. */
typedef struct Failing {
    int starts;   /* attempts to start that fail */
    int moves;    /* attempts to migrate that fail */
    bool no_stop; /* shutting down does nothing */
    int node;     /* failures happen on this node only; 0: everywhere */
} Failing;

static void __attribute__((format(printf, 3, 4)))
say(const HaSimDaemon *d, const char *level, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    d->world->log(d->world->log_ctx, level, d->clock, d->source, text);
}

static bool is_type(const char *sid, const char *type)
{
    g_autofree char *of = ha_sid_type(sid);

    return strcmp(of, type) == 0;
}

static int digit(const char *id, size_t len, size_t i)
{
    return i < len && g_ascii_isdigit(id[i]) ? id[i] - '0' : 0;
}

static Failing failing(const char *sid)
{
    const char *colon = strchr(sid, ':');
    const char *id = colon != NULL ? colon + 1 : "";
    size_t len = strlen(id);

    if (!is_type(sid, "fa") || len < 3 || strspn(id, "0123456789") != len) {
        return (Failing){0};
    }
    return (Failing){.starts = digit(id, len, 1),
                     .moves = digit(id, len, 2),
                     .no_stop = digit(id, len, 3) != 0,
                     .node = digit(id, len, 5)};
}

static bool applies(const HaSimDaemon *d, const Failing *f)
{
    g_autofree char *name = g_strdup_printf("node%d", f->node);

    return f->node == 0 || strcmp(name, d->node->name) == 0;
}

/* Counts an attempt; true when it is one that fails. */
static bool attempt_fails(const HaSimDaemon *d, int *attempts, const Failing *f, int failures)
{
    if (applies(d, f) && ++*attempts <= failures) {
        return true;
    }
    *attempts = 0;
    return false;
}

bool hasim_agent_has_type(void *ctx, const char *type)
{
    (void)ctx;
    return strcmp(type, "vm") == 0 || strcmp(type, "ct") == 0 || strcmp(type, "fa") == 0;
}

int hasim_agent_running(void *ctx, const char *sid)
{
    const HaSimDaemon *d = ctx;

    return strmap_has(d->node->running, sid);
}

void hasim_agent_start(void *ctx, const char *sid)
{
    HaSimDaemon *d = ctx;
    HaSimGuest *g = hasim_world_guest(d->world, sid);
    Failing f = failing(sid);

    if (g == NULL || attempt_fails(d, &g->failed_starts, &f, f.starts)) {
        return;
    }
    if (g->lock != NULL) {
        say(d, "err", "service '%s' locked (%s), unable to start!", sid, g->lock);
        return;
    }
    strmap_set(d->node->running, sid, GINT_TO_POINTER(1));
}

void hasim_agent_stop(void *ctx, const char *sid, int64_t timeout_s)
{
    HaSimDaemon *d = ctx;
    const HaSimGuest *g = hasim_world_guest(d->world, sid);
    Failing f = failing(sid);

    (void)timeout_s;
    if (f.no_stop) {
        return;
    }
    if (g != NULL && g->lock != NULL) {
        say(d, "err", "service '%s' locked (%s), unable to shutdown!", sid, g->lock);
        return;
    }
    (void)strmap_remove(d->node->running, sid); /* stopped already is as good */
}

int hasim_agent_migrate(void *ctx, const char *sid, const char *target, bool online)
{
    HaSimDaemon *d = ctx;
    HaSimGuest *g = hasim_world_guest(d->world, sid);
    Failing f = failing(sid);
    bool running = strmap_has(d->node->running, sid);
    const char *verb;

    if (g == NULL || attempt_fails(d, &g->failed_moves, &f, f.moves)) {
        return -EIO;
    }
    if (online && running && is_type(sid, "ct")) {
        say(d, "warn", "unable to live migrate running container, fallback to relocate");
        online = false;
    }
    verb = online ? "migrate" : "relocate";
    say(d, "info", "service %s - start %s to node '%s'", sid, verb, target);
    if (g->lock != NULL) {
        say(d, "err", "service '%s' locked (%s), unable to %s!", sid, g->lock, verb);
        return -EBUSY;
    }
    if (!online && running) {
        say(d, "info", "stopping service %s (relocate)", sid);
        hasim_agent_stop(ctx, sid, -1);
        say(d, "info", "service status %s stopped", sid);
    }
    g_free(g->node);
    g->node = g_strdup(target);
    say(d, "info", "service %s - end %s to node '%s'", sid, verb, target);
    (void)strmap_remove(d->node->running, sid); /* stopped already is as good */
    return 0;
}
