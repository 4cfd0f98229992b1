/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/task_api.h"

#include "api/io/access_api.h"
#include "lib/port/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOG_LIMIT 50

const ParamSpec task_log_params[] = {
    {"start", PARAM_INT, 0, INT32_MAX, false, NULL, NULL},
    {"limit", PARAM_INT, 0, INT32_MAX, false, NULL, NULL},
    {0},
};

/* The id, when it is one of this node that the caller may look at. */
static int open_task(ApiCall *c, Upid *ret, Err *err)
{
    char own[256] = "";
    g_autofree char *path = NULL;
    g_autofree char *owner = NULL;
    int r = upid_parse(c->part[1], ret, err);

    if (r < 0) {
        return r;
    }
    (void)gethostname(own, sizeof own - 1); /* "" is no node */
    own[strcspn(own, ".")] = '\0';
    if (strcmp(ret->node, c->part[0]) != 0 || strcmp(ret->node, own) != 0) {
        c->status = 596;
        return err_setf(err, -EHOSTUNREACH, "the task ran on node '%s': ask that node", ret->node);
    }
    owner = g_strndup(ret->user, strcspn(ret->user, "!"));
    if (strcmp(owner, c->caller.user) == 0) {
        return 0;
    }
    path = g_strconcat("/nodes/", ret->node, NULL);
    return api_auth_need(&c->caller, path, "Sys.Audit", err);
}

int task_get_status(ApiCall *c, Err *err)
{
    const ApidContext *x = c->ctx;
    g_auto(Upid) u = {0};
    TaskStatus status = {0};
    const char *token;
    int r = open_task(c, &u, err);

    if (r < 0 || (r = task_status(x->task_dir, c->part[1], &status, err)) < 0) {
        return r;
    }
    c->data = jsontree_new_object();
    token = strchr(u.user, '!');
    jsontree_set_text(c->data, "upid", c->part[1]);
    jsontree_set_text(c->data, "node", u.node);
    jsontree_set_int(c->data, "pid", u.pid);
    jsontree_set_int(c->data, "pstart", (int64_t)u.pstart);
    jsontree_set_int(c->data, "starttime", u.starttime);
    jsontree_set_text(c->data, "type", u.type);
    jsontree_set_text(c->data, "id", u.id);
    jsontree_set_text(c->data, "user", u.user);
    jsontree_set_text(c->data, "tokenid", token != NULL ? token + 1 : NULL);
    jsontree_set_text(c->data, "status", status.running ? "running" : "stopped");
    jsontree_set_text(c->data, "exitstatus", status.exitstatus);
    g_free(status.exitstatus);
    return 0;
}

int task_get_log(ApiCall *c, Err *err)
{
    const ApidContext *x = c->ctx;
    int64_t start = params_int(c->params, "start", 0);
    int64_t limit = params_int(c->params, "limit", LOG_LIMIT);
    g_auto(Upid) u = {0};
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    gsize size = 0;
    guint count;
    int r = open_task(c, &u, err);

    if (r < 0 || (r = task_log(x->task_dir, c->part[1], &text, &size, err)) < 0) {
        return r;
    }
    lines = g_strsplit(g_strchomp(text), "\n", -1);
    count = g_strv_length(lines);
    c->data = jsontree_new_array();
    for (int64_t i = start; i < count && (limit == 0 || i < start + limit); i++) {
        JsonTree *one = jsontree_new_object();

        jsontree_set_int(one, "n", i + 1);
        jsontree_set_text(one, "t", lines[i]);
        jsontree_add(c->data, one);
    }
    c->total = count;
    return 0;
}
