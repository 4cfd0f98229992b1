/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_plug.h"

#include "guest/core/hotplan.h"
#include "guest/io/guest_nodes.h"
#include "guest/io/guest_qmp.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS 500u

typedef struct Plug {
    QmpClient *qmp;
    GHashTable *gone;    /* char *: devices that QEMU said are deleted */
    GHashTable *refused; /* char *: devices that the guest keeps */
    bool look;           /* time to ask QEMU what is there */
    bool lost;           /* QEMU ended */
} Plug;

/* ------------------------------------------------------------------ events */

static void on_event(void *ctx, const WireQmp *event)
{
    Plug *p = ctx;
    const char *device = jsontree_get_text(event->data, "device");

    if (device == NULL) {
        return;
    }
    if (strcmp(event->name, "DEVICE_DELETED") == 0) {
        g_hash_table_add(p->gone, g_strdup(device));
    } else if (strcmp(event->name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 ||
               strcmp(event->name, "MEM_UNPLUG_ERROR") == 0) {
        g_hash_table_add(p->refused, g_strdup(device));
    }
}

static void on_closed(void *ctx, const Err *why)
{
    (void)why; /* the next command says it */
    ((Plug *)ctx)->lost = true;
}

static gboolean on_tick(void *ctx)
{
    ((Plug *)ctx)->look = true;
    return G_SOURCE_CONTINUE;
}

/* Some devices leave without an event. */
static bool is_there(Plug *p, const char *id)
{
    g_autoptr(JsonTree) list = NULL;
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "path", "/machine/peripheral");
    if (qmp_call(p->qmp, "qom-list", arguments, 0, &list, NULL) < 0) {
        return true; /* as far as anybody knows */
    }
    for (guint i = 0; i < jsontree_count(list); i++) {
        if (g_strcmp0(jsontree_get_text(jsontree_at(list, i), "name"), id) == 0) {
            return true;
        }
    }
    return false;
}

/* Until the device is gone. */
static int wait_gone(Plug *p, const char *id, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)GUEST_UNPLUG_MS * 1000;
    guint timer = g_timeout_add(LOOK_MS, on_tick, p);
    bool gone = false;
    bool refused = false;

    while (!gone && !refused && !p->lost && g_get_monotonic_time() < deadline) {
        (void)g_main_context_iteration(NULL, TRUE); /* what it did shows below */
        gone = g_hash_table_remove(p->gone, id) || (p->look && !is_there(p, id));
        refused = g_hash_table_remove(p->refused, id);
        p->look = false;
    }
    (void)g_source_remove(timer);
    if (gone) {
        return 0;
    }
    if (p->lost) {
        return err_setf(err, -EPIPE, "QEMU ended");
    }
    return refused ? err_setf(err, -EBUSY, "the guest does not give '%s' up", id)
                   : err_setf(err, -ETIMEDOUT, "the guest did not give '%s' up within %u s", id,
                              GUEST_UNPLUG_MS / 1000);
}

/* ---------------------------------------------------------- human monitor */

/* One argument of the human monitor, which splits at blanks. Caller frees. */
static char *quoted(const char *text)
{
    GString *out = g_string_new("\"");

    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            g_string_append_c(out, '\\');
        }
        g_string_append_c(out, *text);
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}

/* QEMU's devices and drives are told as on the command line only here: the machine protocol wants
 * types that a word does not show. `good` is what success says. */
static int human(Plug *p, const char *command, const char *text, const char *good, Err *err)
{
    g_autofree char *word = quoted(text);
    g_autofree char *line = g_strdup_printf("%s %s", command, word);
    g_autofree char *said = NULL;
    int r = guest_qmp_human(p->qmp, line, &said, err);

    if (r < 0) {
        return r;
    }
    g_strstrip(said);
    if (strcmp(said, good) == 0) {
        return 0;
    }
    return err_setf(err, -EIO, "QEMU: %s",
                    said[0] == '\0'                     ? "no answer"
                    : g_str_has_prefix(said, "Error: ") ? said + strlen("Error: ")
                                                        : said);
}

/* ------------------------------------------------------------------- steps */

static int add(Plug *p, const HotStep *s, Err *err)
{
    JsonTree *arguments = NULL;
    int r;

    switch (s->kind) {
    case HOT_DEVICE:
        return human(p, "device_add", s->text, "", err);
    case HOT_DRIVE:
        return human(p, "drive_add 0", s->text, "OK", err);
    case HOT_OBJECT:
    case HOT_BLOCKDEV:
    case HOT_NETDEV:
        break;
    }
    r = hotplan_arguments(s->kind, s->text, &arguments, err);
    if (r < 0) {
        return r;
    }
    return qmp_call(p->qmp,
                    s->kind == HOT_OBJECT     ? "object-add"
                    : s->kind == HOT_BLOCKDEV ? "blockdev-add"
                                              : "netdev_add",
                    arguments, 0, NULL, err);
}

static int call_named(Plug *p, const char *command, const char *key, const char *id, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, key, id);
    return qmp_call(p->qmp, command, arguments, 0, NULL, err);
}

/* A device may be gone already: with its bus, or because the guest released it after somebody had
 * stopped waiting. */
static int remove_device(Plug *p, const char *id, Err *err)
{
    Err why = ERR_INIT;
    int r = call_named(p, "device_del", "id", id, &why);

    if (r == -ENODEV || r == -ENOENT) {
        return 0;
    }
    if (r < 0 && strstr(err_text(&why), "in the process of unplug") == NULL) {
        return err_setf(err, r, "%s", err_text(&why));
    }
    return wait_gone(p, id, err);
}

static int remove_part(Plug *p, const HotStep *s, Err *err)
{
    Err why = ERR_INIT;
    int r = 0;

    switch (s->kind) {
    case HOT_DEVICE:
        return remove_device(p, s->id, err);
    case HOT_DRIVE:
        /* QEMU removes it with its device by itself, mostly. */
        if (human(p, "drive_del", s->id, "", &why) < 0 &&
            strstr(err_text(&why), "not found") == NULL) {
            r = err_setf(err, -EIO, "%s", err_text(&why));
        }
        return r;
    case HOT_OBJECT:
        return call_named(p, "object-del", "id", s->id, err);
    case HOT_BLOCKDEV:
        r = call_named(p, "blockdev-del", "node-name", s->id, err);
        if (r == 0 && g_str_has_prefix(s->id, "drive-")) {
            guest_nodes_drop_copies(p->qmp, s->id + strlen("drive-")); /* of a disk that moved */
        }
        return r;
    case HOT_NETDEV:
        return call_named(p, "netdev_del", "id", s->id, err);
    }
    return r;
}

/* QEMU keeps a limit that is not named: each one is, those that are none as it has them at first.
 */
static JsonTree *all_limits(const JsonTree *limits)
{
    static const char *const kinds[] = {"bps-total",  "bps-read",  "bps-write",
                                        "iops-total", "iops-read", "iops-write"};
    JsonTree *out = jsontree_new_object();

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *max = g_strconcat(kinds[i], "-max", NULL);
        g_autofree char *length = g_strconcat(kinds[i], "-max-length", NULL);
        jsontree_set_int(out, kinds[i], jsontree_get_int(limits, kinds[i], 0));
        jsontree_set_int(out, max, jsontree_get_int(limits, max, 0));
        jsontree_set_int(out, length, jsontree_get_int(limits, length, 1));
    }
    return out;
}

static int set_group(Plug *p, const char *id, const char *text, Err *err)
{
    g_autoptr(JsonTree) group = NULL;
    JsonTree *arguments = NULL;
    int r = hotplan_arguments(HOT_OBJECT, text, &group, err);

    if (r < 0) {
        return r;
    }
    arguments = jsontree_new_object();
    jsontree_set_text(arguments, "path", id);
    jsontree_set_text(arguments, "property", "limits");
    jsontree_set(arguments, "value", all_limits(jsontree_get(group, "limits")));
    return qmp_call(p->qmp, "qom-set", arguments, 0, NULL, err);
}

static int set_limits(Plug *p, const HotStep *s, const char *text, Err *err)
{
    return s->action == HOT_GROUP ? set_group(p, s->id, text, err)
                                  : qmp_call(p->qmp, "block_set_io_throttle",
                                             hotplan_throttle(s->id, text), 0, NULL, err);
}

static int perform(Plug *p, const HotStep *s, Err *err)
{
    switch (s->action) {
    case HOT_ADD:
        return add(p, s, err);
    case HOT_REMOVE:
        return remove_part(p, s, err);
    case HOT_THROTTLE:
    case HOT_GROUP:
        break;
    }
    return set_limits(p, s, s->text, err);
}

static int take_back(Plug *p, const HotStep *s, Err *err)
{
    switch (s->action) {
    case HOT_ADD:
        return remove_part(p, s, err);
    case HOT_REMOVE:
        return add(p, s, err);
    case HOT_THROTTLE:
    case HOT_GROUP:
        break;
    }
    return set_limits(p, s, s->old, err);
}

static int run(Plug *p, const GPtrArray *steps, Err *err)
{
    guint done = 0;
    int r = 0;

    while (r == 0 && done < steps->len) {
        r = perform(p, steps->pdata[done], err);
        done += r == 0 ? 1 : 0;
    }
    for (guint i = done; r < 0 && i > 0; i--) {
        const HotStep *s = steps->pdata[i - 1];
        Err back = ERR_INIT;
        if (take_back(p, s, &back) < 0) {
            return err_wrapf(err, r, "'%s' is not as it was (%s)", s->id, err_text(&back));
        }
    }
    return r;
}

int guest_plug_run(const char *run_dir, uint32_t vmid, const GPtrArray *steps, Err *err)
{
    Plug p = {0};
    QmpHandlers handlers = {.event = on_event, .closed = on_closed, .ctx = &p};
    int r;

    if (steps->len == 0) {
        return 0;
    }
    r = guest_qmp_open_with(run_dir, vmid, &handlers, &p.qmp, err);
    if (r < 0) {
        return r;
    }
    p.gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    p.refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    r = run(&p, steps, err);
    qmp_client_free(p.qmp);
    g_hash_table_unref(p.gone);
    g_hash_table_unref(p.refused);
    return r;
}
