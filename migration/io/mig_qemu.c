/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_qemu.h"

#include "lib/port/clock.h"
#include "lib/port/qmp.h"
#include "migration/core/mig_limits.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS     20000 /* nothing we ask for takes long in a QEMU that works */
#define MIRROR_END_MS 20000 /* of a mirror that is given up while the guest runs */
#define TLS_ID        "migtls"
#define AUTH_ID       "migauth"

struct MigQemu {
    GMainContext *context;
    QmpClient *qmp; /* NULL: gone */
    MigQemuHandlers handlers;
};

static void on_event(void *ctx, const WireQmp *event)
{
    MigQemu *q = ctx;

    if (strcmp(event->name, "MIGRATION") == 0 && q->handlers.migration != NULL) {
        const char *status = jsontree_get_text(event->data, "status");

        q->handlers.migration(q->handlers.ctx, status != NULL ? status : "");
    } else if (strcmp(event->name, "MIGRATION_PASS") == 0 && q->handlers.pass != NULL) {
        q->handlers.pass(q->handlers.ctx, (unsigned)jsontree_get_int(event->data, "pass", 1));
    } else if (strcmp(event->name, "JOB_STATUS_CHANGE") == 0 && q->handlers.job != NULL) {
        const char *id = jsontree_get_text(event->data, "id");
        const char *status = jsontree_get_text(event->data, "status");

        q->handlers.job(q->handlers.ctx, id != NULL ? id : "", status != NULL ? status : "");
    }
}

static void on_closed(void *ctx, const Err *why)
{
    MigQemu *q = ctx;
    QmpClient *gone = g_steal_pointer(&q->qmp);

    qmp_client_free(gone);
    if (q->handlers.gone != NULL) {
        q->handlers.gone(q->handlers.ctx, err_text(why));
    }
}

int mig_qemu_open(GMainContext *context,
                  const char *run_dir,
                  uint32_t vmid,
                  const MigQemuHandlers *handlers,
                  MigQemu **ret,
                  Err *err)
{
    g_autofree char *own = g_strdup_printf("%s/%u.mig", run_dir, vmid);
    g_autofree char *qmp = g_strdup_printf("%s/%u.qmp", run_dir, vmid);
    g_autoptr(MigQemu) q = g_new0(MigQemu, 1);
    QmpHandlers h = {.event = on_event, .closed = on_closed, .ctx = q};
    int r;

    q->context = g_main_context_ref(context);
    q->handlers = *handlers;
    r = qmp_client_new(context, access(own, F_OK) == 0 ? own : qmp, &h, &q->qmp, err);
    if (r < 0) {
        return err_wrapf(err, r, "guest %u", vmid);
    }
    qmp_client_want_oob(q->qmp);
    /* A first answer: from now on descriptors may be given. */
    r = mig_qemu_call(q, "query-status", NULL, NULL, err);
    if (r < 0) {
        return err_wrapf(err, r, "guest %u", vmid);
    }
    *ret = g_steal_pointer(&q);
    return 0;
}

void mig_qemu_free(MigQemu *q)
{
    if (q != NULL) {
        qmp_client_free(q->qmp);
        g_main_context_unref(q->context);
        g_free(q);
    }
}

bool mig_qemu_alive(const MigQemu *q)
{
    return q != NULL && q->qmp != NULL;
}

static int gone(Err *err)
{
    return err_setf(err, -ESRCH, "QEMU has ended");
}

int mig_qemu_call(MigQemu *q, const char *command, JsonTree *arguments, JsonTree **ret, Err *err)
{
    if (!mig_qemu_alive(q)) {
        jsontree_free(arguments);
        return gone(err);
    }
    return qmp_call(q->qmp, command, arguments, ANSWER_MS, ret, err);
}

/* For what is mostly not there: whether it was removed does not matter. */
static void try_call(MigQemu *q, const char *command, const char *key, const char *value)
{
    JsonTree *arguments = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set_text(arguments, key, value);
    if (mig_qemu_call(q, command, arguments, NULL, &err) < 0) {
        return;
    }
}

int mig_qemu_answers(MigQemu *q, unsigned ms, Err *err)
{
    return mig_qemu_alive(q) ? qmp_call(q->qmp, "query-status", NULL, ms, NULL, err) : gone(err);
}

int mig_qemu_give_fd(MigQemu *q, const char *name, int fd, Err *err)
{
    return mig_qemu_alive(q) ? qmp_give_fd(q->qmp, name, fd, err) : gone(err);
}

int mig_qemu_yank(MigQemu *q, const char *node, Err *err)
{
    JsonTree *instance = jsontree_new_object();
    JsonTree *list = jsontree_new_array();
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(instance, "type", node != NULL ? "block-node" : "migration");
    jsontree_set_text(instance, "node-name", node);
    jsontree_add(list, instance);
    jsontree_set(arguments, "instances", list);
    if (!mig_qemu_alive(q)) {
        jsontree_free(arguments);
        return gone(err);
    }
    return qmp_call_oob(q->qmp, "yank", arguments, 2000, err);
}

/* ---- questions ------------------------------------------------------------------------------- */

char *mig_qemu_run_state(MigQemu *q, Err *err)
{
    g_autoptr(JsonTree) t = NULL;

    if (mig_qemu_call(q, "query-status", NULL, &t, err) < 0) {
        return NULL;
    }
    return g_strdup(jsontree_get_text(t, "status"));
}

JsonTree *mig_qemu_query_migrate(MigQemu *q, Err *err)
{
    JsonTree *t = NULL;

    return mig_qemu_call(q, "query-migrate", NULL, &t, err) < 0 ? NULL : t;
}

char *mig_qemu_migrate_error(MigQemu *q)
{
    Err err = ERR_INIT;
    g_autoptr(JsonTree) t = mig_qemu_query_migrate(q, &err);
    const char *text = jsontree_get_text(t, "error-desc");

    return g_strdup(text != NULL ? text : "");
}

int mig_qemu_capabilities(MigQemu *q, GPtrArray **ret, Err *err)
{
    g_autoptr(JsonTree) t = NULL;
    GPtrArray *out;
    int r = mig_qemu_call(q, "query-migrate-capabilities", NULL, &t, err);

    if (r < 0) {
        return r;
    }
    out = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < jsontree_count(t); i++) {
        const char *name = jsontree_get_text(jsontree_at(t, i), "capability");

        if (name != NULL) {
            g_ptr_array_add(out, g_strdup(name));
        }
    }
    *ret = out;
    return 0;
}

int mig_qemu_set_capabilities(MigQemu *q, const char *const *on, Err *err)
{
    g_autoptr(GPtrArray) have = NULL;
    JsonTree *list, *arguments;
    int r = mig_qemu_capabilities(q, &have, err);

    if (r < 0) {
        return r;
    }
    list = jsontree_new_array();
    for (guint i = 0; i < have->len; i++) {
        const char *name = g_ptr_array_index(have, i);
        JsonTree *one;

        if (g_str_has_prefix(name, "x-")) {
            continue; /* experiments, off by default */
        }
        one = jsontree_new_object();
        jsontree_set_text(one, "capability", name);
        jsontree_set_bool(one, "state", g_strv_contains(on, name));
        jsontree_add(list, one);
    }
    arguments = jsontree_new_object();
    jsontree_set(arguments, "capabilities", list);
    return mig_qemu_call(q, "migrate-set-capabilities", arguments, NULL, err);
}

int mig_qemu_cpu(MigQemu *q, JsonTree *model, JsonTree **ret, Err *err)
{
    g_autoptr(JsonTree) t = NULL;
    JsonTree *arguments = jsontree_new_object();
    const JsonTree *props;
    int r;

    jsontree_set_text(arguments, "type", "full");
    jsontree_set(arguments, "model", model);
    r = mig_qemu_call(q, "query-cpu-model-expansion", arguments, &t, err);
    if (r < 0) {
        return r;
    }
    props = jsontree_get(jsontree_get(t, "model"), "props");
    if (props == NULL) {
        return err_setf(err, -EIO, "QEMU does not say what the CPU has");
    }
    *ret = jsontree_copy(props);
    return 0;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void delete_object(MigQemu *q, const char *id)
{
    try_call(q, "object-del", "id", id);
}

void mig_qemu_forget_tls(MigQemu *q)
{
    delete_object(q, TLS_ID);
    delete_object(q, AUTH_ID);
}

int mig_qemu_tls(MigQemu *q, const char *dir, const char *endpoint, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    delete_object(q, TLS_ID);
    jsontree_set_text(arguments, "qom-type", "tls-creds-x509");
    jsontree_set_text(arguments, "id", TLS_ID);
    jsontree_set_text(arguments, "dir", dir);
    jsontree_set_text(arguments, "endpoint", endpoint);
    jsontree_set_bool(arguments, "verify-peer", true);
    return mig_qemu_call(q, "object-add", arguments, NULL, err);
}

int mig_qemu_tls_peer(MigQemu *q, const char *subject, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    delete_object(q, AUTH_ID);
    jsontree_set_text(arguments, "qom-type", "authz-simple");
    jsontree_set_text(arguments, "id", AUTH_ID);
    jsontree_set_text(arguments, "identity", subject);
    return mig_qemu_call(q, "object-add", arguments, NULL, err);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static bool is_drive(const JsonTree *block, const char *ds)
{
    g_autofree char *drive = g_strdup_printf("drive-%s", ds);
    const char *device = jsontree_get_text(block, "device");
    const char *qdev = jsontree_get_text(block, "qdev");
    const JsonTree *inserted = jsontree_get(block, "inserted");
    const char *node = jsontree_get_text(inserted, "node-name");

    return g_strcmp0(device, drive) == 0 || g_strcmp0(node, drive) == 0 ||
           g_strcmp0(qdev, ds) == 0 ||
           (qdev != NULL && g_str_has_prefix(qdev, "/machine/peripheral/") &&
            strcmp(qdev + strlen("/machine/peripheral/"), ds) == 0) ||
           (qdev != NULL && g_str_has_prefix(qdev, ds) && qdev[strlen(ds)] == '/');
}

int mig_qemu_drive_node(MigQemu *q, const char *ds, char **ret_node, int64_t *ret_size, Err *err)
{
    g_autoptr(JsonTree) t = NULL;
    int r = mig_qemu_call(q, "query-block", NULL, &t, err);

    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < jsontree_count(t); i++) {
        const JsonTree *inserted = jsontree_get(jsontree_at(t, i), "inserted");
        const char *node = jsontree_get_text(inserted, "node-name");

        if (node != NULL && is_drive(jsontree_at(t, i), ds)) {
            *ret_node = g_strdup(node);
            *ret_size = jsontree_get_int(jsontree_get(inserted, "image"), "virtual-size", 0);
            return 0;
        }
    }
    return err_setf(err, -ENODEV, "QEMU has no drive '%s'", ds);
}

int64_t mig_qemu_drive_used(MigQemu *q, const char *ds)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    if (mig_qemu_call(q, "query-block", NULL, &t, &err) < 0) {
        return 0;
    }
    for (guint i = 0; i < jsontree_count(t); i++) {
        if (is_drive(jsontree_at(t, i), ds)) {
            const JsonTree *inserted = jsontree_get(jsontree_at(t, i), "inserted");

            return jsontree_get_int(jsontree_get(inserted, "image"), "actual-size", 0);
        }
    }
    return 0;
}

int mig_qemu_mirror_open(MigQemu *q, const MigQemuMirror *m, Err *err)
{
    g_autofree char *name = g_strdup_printf("mirror-%s", m->ds);
    JsonTree *server = jsontree_new_object();
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(server, "type", "unix");
    jsontree_set_text(server, "path", m->socket);
    jsontree_set_text(arguments, "driver", "nbd");
    jsontree_set_text(arguments, "node-name", name);
    jsontree_set(arguments, "server", server);
    jsontree_set_text(arguments, "export", m->export);
    return mig_qemu_call(q, "blockdev-add", arguments, NULL, err);
}

static void delete_node(MigQemu *q, const char *name)
{
    try_call(q, "blockdev-del", "node-name", name);
}

int mig_qemu_mirror(MigQemu *q, const MigQemuMirror *m, Err *err)
{
    g_autofree char *name = g_strdup_printf("mirror-%s", m->ds);
    g_autofree char *node = NULL;
    JsonTree *arguments;
    int64_t size = 0;
    int r = mig_qemu_drive_node(q, m->ds, &node, &size, err);

    if (r == 0) {
        arguments = jsontree_new_object();
        jsontree_set_text(arguments, "job-id", name);
        jsontree_set_text(arguments, "device", node);
        jsontree_set_text(arguments, "target", name);
        jsontree_set_text(arguments, "sync", "full");
        jsontree_set_text(arguments, "copy-mode", "background");
        jsontree_set_bool(arguments, "auto-dismiss", false);
        jsontree_set_int(arguments, "speed", m->speed);
        r = mig_qemu_call(q, "blockdev-mirror", arguments, NULL, err);
    }
    if (r < 0) {
        delete_node(q, name);
    }
    return r;
}

int mig_qemu_mirror_speed(MigQemu *q, const char *ds, int64_t speed, Err *err)
{
    g_autofree char *name = g_strdup_printf("mirror-%s", ds);
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "device", name);
    jsontree_set_int(arguments, "speed", speed);
    return mig_qemu_call(q, "block-job-set-speed", arguments, NULL, err);
}

int mig_qemu_mirror_state(MigQemu *q,
                          const char *ds,
                          char **ret_status,
                          char **ret_error,
                          int64_t *ret_done,
                          int64_t *ret_total,
                          Err *err)
{
    g_autofree char *name = g_strdup_printf("mirror-%s", ds);
    g_autoptr(JsonTree) t = NULL;
    int r = mig_qemu_call(q, "query-jobs", NULL, &t, err);

    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < jsontree_count(t); i++) {
        const JsonTree *job = jsontree_at(t, i);

        if (g_strcmp0(jsontree_get_text(job, "id"), name) == 0) {
            *ret_status = g_strdup(jsontree_get_text(job, "status"));
            *ret_error = g_strdup(jsontree_get_text(job, "error"));
            *ret_done = jsontree_get_int(job, "current-progress", 0);
            *ret_total = jsontree_get_int(job, "total-progress", 0);
            return 0;
        }
    }
    *ret_status = g_strdup("");
    return 0;
}

/* Waits until the job has ended; its error, if it has one. */
static int wait_concluded(MigQemu *q, const char *ds, unsigned ms, Err *err)
{
    MonoTime until = mono_add_ms(clock_mono(), ms);

    for (;;) {
        g_autofree char *status = NULL, *error = NULL;
        int64_t a, b;
        int r = mig_qemu_mirror_state(q, ds, &status, &error, &a, &b, err);

        if (r < 0) {
            return r;
        }
        if (*status == '\0' || strcmp(status, "concluded") == 0) {
            return error != NULL ? err_setf(err, -EIO, "mirror of %s: %s", ds, error) : 0;
        }
        if (!mono_before(clock_mono(), until)) {
            return err_setf(err, -ETIMEDOUT, "the mirror of %s does not end", ds);
        }
        g_usleep(1000); /* short: the guest stands still meanwhile */
    }
}

int mig_qemu_mirror_end(MigQemu *q, const char *ds, bool force, Err *err)
{
    g_autofree char *name = g_strdup_printf("mirror-%s", ds);
    JsonTree *arguments = jsontree_new_object();
    int r;

    jsontree_set_text(arguments, "device", name);
    if (force) {
        jsontree_set_bool(arguments, "force", true);
    }
    r = mig_qemu_call(q, "block-job-cancel", arguments, NULL, err);
    if (r == -ESRCH) {
        return r;
    }
    if (r == 0 || force) {
        /* The last blocks of a ready one took 3 to 33 ms, and the guest stands still for them. */
        r = wait_concluded(q, ds, force ? MIRROR_END_MS : MIG_SWITCH_MS, err);
    }
    try_call(q, "job-dismiss", "id", name);
    delete_node(q, name);
    return r;
}
