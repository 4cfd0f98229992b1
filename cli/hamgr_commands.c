/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager migrate, relocate, crm-command ...: what goes through the command queue. */
#include "cli/hamgr_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int queue(Err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int queue(Err *err, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return hamgr_update(HA_FILE_COMMANDS, ha_edit_queue, command, err);
}

static int check_node(const Hamgr *h, const char *node, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    int r = ha_cluster_members(h->cluster, members, err);

    if (r == 0 && !strmap_has(members, node)) {
        return err_setf(err, -ENOENT, "no such cluster node '%s'", node);
    }
    return r;
}

static bool is_on(const Hamgr *h, const char *sid, const char *node)
{
    const HaService *s = strmap_get(h->ms->services, sid);

    return s != NULL && s->state != HA_SERVICE_STOPPED &&
           (strcmp(s->node, node) == 0 || g_strcmp0(s->target, node) == 0);
}

/* What the master will make of it, as far as rules tell. */
static int report(const Hamgr *h, const char *verb, const char *sid, const char *node, Err *err)
{
    HaAffinity *a = NULL;
    const GPtrArray *others;
    GString *blocked;
    int r = hamgr_affinity(h, &a, err);

    if (r < 0) {
        return r;
    }
    blocked = g_string_new(NULL);
    others = ha_affinity_apart(a, sid);
    for (guint i = 0; i < others->len; i++) {
        const char *other = g_ptr_array_index(others, i);

        if (is_on(h, other, node)) {
            g_string_append_printf(
                blocked,
                "- resource '%s' on target node '%s' in negative affinity with resource '%s'\n",
                other, node, sid);
        }
    }
    others = ha_affinity_together(a, sid);
    for (guint i = 0; blocked->len == 0 && i < others->len; i++) {
        const char *other = g_ptr_array_index(others, i);

        if (!is_on(h, other, node)) {
            (void)printf("also %s resource '%s' in positive affinity with resource '%s' to target "
                         "node '%s'\n",
                         verb, other, sid, node);
        }
    }
    if (blocked->len > 0) {
        (void)fprintf(stderr, "cannot %s resource '%s' to node '%s':\n\n%s", verb, sid, node,
                      blocked->str);
        r = CLI_EXIT_FAILED;
    }
    (void)g_string_free(blocked, TRUE);
    ha_affinity_free(a);
    return r;
}

static int motion(const char *verb, char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = hamgr_sid(&h, operands[0], &sid, err);
    }
    if (r == 0) {
        r = hamgr_check_motion(&h, sid, err);
    }
    if (r == 0) {
        r = check_node(&h, operands[1], err);
    }
    if (r == 0) {
        r = queue(err, "%s %s %s", verb, sid, operands[1]);
    }
    return r < 0 ? r : report(&h, verb, sid, operands[1], err);
}

int hamgr_migrate(char **operands, Err *err)
{
    return motion("migrate", operands, err);
}

int hamgr_relocate(char **operands, Err *err)
{
    return motion("relocate", operands, err);
}

int hamgr_stop(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    guint64 timeout;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = hamgr_sid(&h, operands[0], &sid, err);
    }
    if (r == 0) {
        r = hamgr_check_motion(&h, sid, err);
    }
    if (r == 0 && !g_ascii_string_to_unsigned(operands[1], 10, 0, 86400, &timeout, NULL)) {
        r = err_setf(err, -EINVAL, "'%s' is no number of seconds from 0 to 86400", operands[1]);
    }
    return r < 0 ? r : queue(err, "stop %s %" G_GUINT64_FORMAT, sid, timeout);
}

int hamgr_maintenance(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    int r = hamgr_open(&h, err);

    if (r == 0 && strcmp(operands[0], "enable") != 0 && strcmp(operands[0], "disable") != 0) {
        r = err_setf(err, -EINVAL, "expected enable or disable, not '%s'", operands[0]);
    }
    if (r == 0) {
        r = check_node(&h, operands[1], err);
    }
    return r < 0 ? r : queue(err, "%s-node-maintenance %s", operands[0], operands[1]);
}

int hamgr_disarm(char **operands, Err *err)
{
    if (ha_disarm_mode_from_name(operands[0]) < 0) {
        return err_setf(err, -EINVAL, "expected freeze or ignore, not '%s'", operands[0]);
    }
    return queue(err, "disarm-ha %s", operands[0]);
}

int hamgr_arm(char **operands, Err *err)
{
    (void)operands;
    return queue(err, "arm-ha");
}
