/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_command.h"

#include "ha-manager/core/ha_manager_status.h"
#include "ha-manager/core/ha_resources.h"

#include <errno.h>
#include <string.h>

#define WORDS_MAX 8
#define MIB       (1024.0 * 1024.0)

/* A command, split. */
typedef struct Call {
    HaSimWorld *w;
    HaSimSchedule *sched;
    const char *word[WORDS_MAX]; /* "" where there is none */
    guint n;
    const char *source;
} Call;

typedef struct Verb {
    const char *name;
    guint min; /* words, with the verb */
    guint max;
    int (*run)(const Call *c, Err *err);
    const char *help;
} Verb;

/* The node that the command names, or NULL and the reason. */
static HaSimNode *find_node(const Call *c, Err *err)
{
    HaSimNode *n = hasim_world_node(c->w, c->word[1]);

    if (n == NULL) {
        (void)err_setf(err, -EINVAL, "no such node '%s'", c->word[1]); /* the caller returns it */
    }
    return n;
}

static int bad(const Call *c, guint i, Err *err)
{
    return err_setf(err, -EINVAL, "%s: '%s' makes no sense here", c->word[0], c->word[i]);
}

static HaNow now_of(const HaSimDaemon *d)
{
    return (HaNow){{d->clock * US_PER_SEC}, {d->clock}};
}

static void append_command(HaSimWorld *w, const char *text)
{
    g_autofree char *queue = g_strconcat(hasim_world_file(w, HA_FILE_COMMANDS), text, "\n", NULL);

    hasim_world_set_file(w, HA_FILE_COMMANDS, queue);
}

static int do_power(const Call *c, Err *err)
{
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    if (strcmp(c->word[2], "on") == 0) {
        hasim_node_power_on(n, c->w);
    } else if (strcmp(c->word[2], "off") == 0) {
        hasim_node_power_off(n, c->w);
    } else {
        return bad(c, 2, err);
    }
    return 0;
}

static int do_network(const Call *c, Err *err)
{
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    if (strcmp(c->word[2], "on") != 0 && strcmp(c->word[2], "off") != 0) {
        return bad(c, 2, err);
    }
    n->network = strcmp(c->word[2], "on") == 0;
    return 0;
}

static int do_delay(const Call *c, Err *err)
{
    guint64 s;

    if (!g_ascii_string_to_unsigned(c->word[1], 10, 0, 100000, &s, NULL)) {
        return bad(c, 1, err);
    }
    c->sched->next_cmd = c->w->time + (int64_t)s;
    return 0;
}

static int do_skip_round(const Call *c, Err *err)
{
    guint64 k = 1;

    if (c->n > 2 && !g_ascii_string_to_unsigned(c->word[2], 10, 0, 100000, &k, NULL)) {
        return bad(c, 2, err);
    }
    if (strcmp(c->word[1], "crm") == 0) {
        c->sched->skip_crm += (unsigned)k;
    } else if (strcmp(c->word[1], "lrm") == 0) {
        c->sched->skip_lrm += (unsigned)k;
    } else {
        return bad(c, 1, err);
    }
    return 0;
}

static int do_cfs(const Call *c, Err *err)
{
    bool fail = strcmp(c->word[3], "fail") == 0;
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    if (!fail && strcmp(c->word[3], "work") != 0) {
        return bad(c, 3, err);
    }
    if (strcmp(c->word[2], "rw") == 0) {
        n->cfs_rw_fail = fail;
    } else if (strcmp(c->word[2], "update") == 0) {
        n->cfs_update_fail = fail;
    } else {
        return bad(c, 2, err);
    }
    return 0;
}

static int do_shutdown(const Call *c, Err *err)
{
    bool reboot = strcmp(c->word[0], "reboot") == 0;
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    n->shutdown = reboot ? HASIM_REBOOT : HASIM_SHUTDOWN;
    if (n->lrm.lrm != NULL) {
        HaShutdown why = {.node = true, .reboot = reboot};

        ha_lrm_request_shutdown(n->lrm.lrm, why, now_of(&n->lrm));
    }
    return 0;
}

static int do_restart_lrm(const Call *c, Err *err)
{
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    if (n->lrm.lrm != NULL) {
        HaShutdown why = {.node = n->shutdown != HASIM_NO_SHUTDOWN,
                          .reboot = n->shutdown == HASIM_REBOOT};

        n->restart_lrm = true;
        ha_lrm_request_shutdown(n->lrm.lrm, why, now_of(&n->lrm));
    }
    return 0;
}

static int do_crm(const Call *c, Err *err)
{
    const char *verb = c->word[2];
    g_autofree char *line = NULL;
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    if (strcmp(verb, "stop") == 0) {
        if (n->crm.crm != NULL) {
            ha_crm_request_shutdown(n->crm.crm);
        }
    } else if (strcmp(verb, "start") == 0) {
        hasim_start_crm(n, c->w);
    } else if (strcmp(verb, "enable-node-maintenance") == 0 ||
               strcmp(verb, "disable-node-maintenance") == 0) {
        line = g_strdup_printf("%s %s", verb, n->name);
        append_command(c->w, line);
    } else if (strcmp(verb, "disarm-ha") == 0 && c->n == 4) {
        line = g_strdup_printf("%s %s", verb, c->word[3]);
        append_command(c->w, line);
    } else if (strcmp(verb, "arm-ha") == 0) {
        append_command(c->w, verb);
    } else {
        return bad(c, 2, err);
    }
    return 0;
}

static int do_version(const Call *c, Err *err)
{
    HaSimNode *n = find_node(c, err);

    if (n == NULL) {
        return -EINVAL;
    }
    g_free(n->version);
    n->version = g_strdup(c->word[3]);
    return 0;
}

/* --- service <sid> ... ------------------------------------------------------------------------ */

static int service_request(const Call *c, HaRequest request, Err *err)
{
    HaRequestEdit edit = {(const char *const *)c->w->types, c->word[1], request};

    return hasim_world_edit(c->w, HA_FILE_RESOURCES, ha_resources_edit_request, &edit, err);
}

static int service_queue(const Call *c, Err *err)
{
    g_autofree char *line = g_strdup_printf("%s %s %s", c->word[2], c->word[1], c->word[3]);

    (void)err;
    append_command(c->w, line);
    return 0;
}

static int service_add(const Call *c, Err *err)
{
    int request = c->n > 4 ? ha_request_from_name(c->word[4]) : HA_REQUEST_STARTED;
    HaRequestEdit edit = {(const char *const *)c->w->types, c->word[1], (HaRequest)request};
    HaSimNode *n = hasim_world_node(c->w, c->word[3]);
    int r;

    if (n == NULL) {
        return err_setf(err, -EINVAL, "no such node '%s'", c->word[3]);
    }
    if (request < 0 && strcmp(c->word[4], "enabled") != 0) {
        return bad(c, 4, err);
    }
    edit.request = request < 0 ? HA_REQUEST_STARTED : (HaRequest)request;
    r = hasim_world_edit(c->w, HA_FILE_RESOURCES, ha_resources_edit_add, &edit, err);
    if (r < 0) {
        return r;
    }
    hasim_world_default_load(c->w, hasim_world_add_guest(c->w, c->word[1], n->name));
    if (c->n > 5 && strcmp(c->word[5], "0") != 0) {
        strmap_set(n->running, c->word[1], GINT_TO_POINTER(1));
    } else {
        (void)strmap_remove(n->running, c->word[1]); /* was not running: nothing to do */
    }
    return 0;
}

static int service_delete(const Call *c, Err *err)
{
    HaRequestEdit edit = {(const char *const *)c->w->types, c->word[1], HA_REQUEST_DISABLED};
    int r = hasim_world_edit(c->w, HA_FILE_RESOURCES, ha_resources_edit_remove, &edit, err);

    if (r == 0) {
        (void)strmap_remove(c->w->guests, c->word[1]); /* unknown: as good as deleted */
    }
    return r;
}

static int set_stats(const Call *c, bool is_static, Err *err)
{
    HaSimGuest *g = hasim_world_guest(c->w, c->word[1]);

    for (guint i = 3; i + 1 < c->n; i += 2) {
        double value = g_ascii_strtod(c->word[i + 1], NULL);

        if (is_static && strcmp(c->word[i], "maxcpu") == 0) {
            g->load.maxcpu = value;
        } else if (is_static && strcmp(c->word[i], "maxmem") == 0) {
            g->load.maxmem = value * MIB;
        } else if (!is_static && strcmp(c->word[i], "cpu") == 0) {
            g->load.cpu = value;
        } else if (!is_static && strcmp(c->word[i], "mem") == 0) {
            g->load.mem = value * MIB;
        } else {
            return bad(c, i, err);
        }
    }
    g->has_static = g->has_static || is_static;
    return 0;
}

static bool disarmed_ignore(const HaSimWorld *w)
{
    g_autoptr(HaManagerStatus) ms = NULL;

    return ha_manager_status_parse(hasim_world_file(w, HA_FILE_MANAGER_STATUS), NULL, NULL, &ms,
                                   NULL) == 0 &&
           ms->disarm && ms->disarm_mode == HA_DISARM_IGNORE;
}

/* Moving a guest by hand is only right where HA does not care for it: else its guest tools refuse,
 * and the rest of the cluster goes on. */
static int service_manual_migrate(const Call *c, Err *err)
{
    HaSimGuest *g = hasim_world_guest(c->w, c->word[1]);
    g_autoptr(HaResources) res = NULL;
    int r =
        ha_resources_parse((const char *const *)c->w->types,
                           hasim_world_file(c->w, HA_FILE_RESOURCES), NULL, NULL, NULL, &res, err);

    if (r < 0) {
        return r;
    }
    if (hasim_world_node(c->w, c->word[3]) == NULL) {
        return err_setf(err, -EINVAL, "no such node '%s'", c->word[3]);
    }
    if (ha_resources_request(res, c->word[1]) != HA_REQUEST_IGNORED && !disarmed_ignore(c->w)) {
        hasim_log(c->w, "warn", c->source,
                  "service '%s' is managed by HA, not moved by hand (migrate asks HA for it)",
                  c->word[1]);
        return 0;
    }
    g_free(g->node);
    g->node = g_strdup(c->word[3]);
    return 0;
}

static int service_lock(const Call *c, const char *lock)
{
    HaSimGuest *g = hasim_world_guest(c->w, c->word[1]);

    g_free(g->lock);
    g->lock = g_strdup(lock);
    return 0;
}

static int do_known_service(const Call *c, Err *err)
{
    const char *verb = c->word[2];
    int request = ha_request_from_name(verb);

    if (request >= 0 && c->n == 3) {
        return service_request(c, (HaRequest)request, err);
    }
    if ((strcmp(verb, "migrate") == 0 || strcmp(verb, "relocate") == 0 ||
         strcmp(verb, "stop") == 0) &&
        c->n == 4) {
        return service_queue(c, err);
    }
    if (strcmp(verb, "delete") == 0) {
        return service_delete(c, err);
    }
    if (strcmp(verb, "lock") == 0) {
        return service_lock(c, c->n > 3 ? c->word[3] : "backup");
    }
    if (strcmp(verb, "unlock") == 0) {
        return service_lock(c, NULL);
    }
    if (strcmp(verb, "set-static-stats") == 0 || strcmp(verb, "set-dynamic-stats") == 0) {
        return set_stats(c, strcmp(verb, "set-static-stats") == 0, err);
    }
    if (strcmp(verb, "manual-migrate") == 0 && c->n == 4) {
        return service_manual_migrate(c, err);
    }
    return bad(c, 2, err);
}

static int do_service(const Call *c, Err *err)
{
    if (strcmp(c->word[2], "add") == 0 && c->n > 3) {
        return service_add(c, err);
    }
    if (hasim_world_guest(c->w, c->word[1]) == NULL) {
        return err_setf(err, -EINVAL, "no such service '%s'", c->word[1]);
    }
    return do_known_service(c, err);
}

static const Verb verbs[] = {
    {"power", 3, 3, do_power, "power NODE on|off"},
    {"network", 3, 3, do_network, "network NODE on|off"},
    {"delay", 2, 2, do_delay, "delay SECONDS"},
    {"skip-round", 2, 3, do_skip_round, "skip-round crm|lrm [COUNT]"},
    {"cfs", 4, 4, do_cfs, "cfs NODE rw|update work|fail"},
    {"reboot", 2, 2, do_shutdown, "reboot NODE"},
    {"shutdown", 2, 2, do_shutdown, "shutdown NODE"},
    {"restart-lrm", 2, 2, do_restart_lrm, "restart-lrm NODE"},
    {"crm", 3, 4, do_crm,
     "crm NODE start|stop|enable-node-maintenance|disable-node-maintenance|arm-ha\n"
     "crm NODE disarm-ha freeze|ignore"},
    {"pve-manager-version", 4, 4, do_version, "pve-manager-version NODE set VERSION"},
    {"service", 3, 8, do_service,
     "service SID started|stopped|disabled|ignored\n"
     "service SID migrate|relocate NODE\n"
     "service SID stop SECONDS\n"
     "service SID add NODE [STATE [0|1]]\n"
     "service SID delete\n"
     "service SID lock|unlock [NAME]\n"
     "service SID set-static-stats [maxcpu N] [maxmem MIB]\n"
     "service SID set-dynamic-stats [cpu N] [mem MIB]\n"
     "service SID manual-migrate NODE"},
};

const char *hasim_command_help(void)
{
    static char *text;

    if (text == NULL) {
        GString *out = g_string_new(NULL);

        for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
            g_string_append_printf(out, "%s\n", verbs[i].help);
        }
        text = g_string_free(out, FALSE);
    }
    return text;
}

static const Verb *find_verb(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

int hasim_command_run(
    HaSimWorld *w, HaSimSchedule *sched, const char *cmd, const char *source, Err *err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit_set(cmd, " \t", -1);
    Call c = {.w = w, .sched = sched, .source = source};
    const Verb *verb;

    for (size_t i = 0; parts[i] != NULL; i++) {
        if (parts[i][0] != '\0') {
            g_ptr_array_add(words, g_strdup(parts[i]));
        }
    }
    for (guint i = 0; i < WORDS_MAX; i++) {
        c.word[i] = i < words->len ? g_ptr_array_index(words, i) : "";
    }
    c.n = words->len;
    verb = find_verb(c.word[0]);
    if (verb == NULL) {
        return err_setf(err, -EINVAL, "unknown command '%s'", c.word[0]);
    }
    if (c.n < verb->min || c.n > verb->max) {
        return err_setf(err, -EINVAL, "usage: %s", verb->help);
    }
    hasim_log(w, "info", source, "execute %s", cmd);
    return verb->run(&c, err);
}
