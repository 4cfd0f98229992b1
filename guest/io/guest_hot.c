/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_hot.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/guest_change.h"
#include "guest/core/guestconf.h"
#include "guest/core/hotplan.h"
#include "guest/core/netplan.h"
#include "guest/core/qemucmd.h"
#include "guest/core/volid.h"
#include "guest/io/guest_huge.h"
#include "guest/io/guest_net.h"
#include "guest/io/guest_nodes.h"
#include "guest/io/guest_plug.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_scope.h"
#include "guest/io/host_world.h"
#include "guest/io/rawhead.h"
#include "guest/io/volume.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MIB            (INT64_C(1) << 20)
#define MEMORY_DEFAULT 512
#define CLOUDINIT_MARK "cloudinit" /* such a drive gets its disc at a start */

typedef struct Hot {
    GuestStore *s;
    uint32_t vmid;
    VmConf *conf;
    GuestEdit *edit; /* whose conf it is; NULL: nothing is done or written */
    HostWorld *world;
} Hot;

/* One option that waits. */
typedef struct Change {
    char *key;
    char *next; /* NULL: it goes */
    bool force;
    const ConfOption *option; /* NULL: not in the table */
    int index;                /* of the option, -1: none */
} Change;

static void change_free(void *change)
{
    Change *c = change;

    g_free(c->key);
    g_free(c->next);
    g_free(c);
}

static VmSection *main_of(const Hot *h)
{
    return vmconf_main(h->conf);
}

static void request_of(const Change *c, GuestChange *ret)
{
    guest_change_init(ret);
    ret->force = c->force;
    if (c->next != NULL) {
        g_hash_table_insert(ret->set, g_strdup(c->key), g_strdup(c->next));
    } else {
        g_ptr_array_add(ret->remove, g_strdup(c->key));
    }
}

/* The configuration with this one change. */
static int draft_with(const Hot *h, const Change *c, VmConf **ret, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) draft = vmconf_copy(h->conf);
    g_auto(GuestChange) change;
    int r;

    request_of(c, &change);
    r = guest_change_apply(draft, &change, freed, err);
    if (r == 0) {
        *ret = g_steal_pointer(&draft);
    }
    return r;
}

/* ------------------------------------------------------------- two commands */

static int need_world(Hot *h, Err *err)
{
    g_autofree char *scripts = guest_script_dir();
    HostWorldOptions options = {
        .root = h->s->host->tree->root, .run_dir = h->s->host->run_dir, .script_dir = scripts};

    return h->world != NULL ? 0 : host_world_new(&options, &h->world, err);
}

static int plan(Hot *h, const VmSection *after, bool replace, GPtrArray **ret, Err *err)
{
    QemuCmdParams params = {.vmid = h->vmid};
    g_autoptr(QemuCmd) now = NULL;
    g_autoptr(QemuCmd) next = NULL;
    int r = need_world(h, err);

    if (r == 0) {
        r = qemucmd_build(main_of(h), host_world_facts(h->world), &params, &now, err);
    }
    if (r == 0) {
        r = qemucmd_build(after, host_world_facts(h->world), &params, &next, err);
    }
    return r < 0 ? r : hotplan_make(now->argv, next->argv, replace, ret, err);
}

/* The huge pages of what is added; *ret is NULL when there are none. */
static int take_pages(const Hot *h, const GPtrArray *steps, GuestHuge **ret, Err *err)
{
    g_autoptr(GPtrArray) objects = g_ptr_array_new();

    for (guint i = 0; i < steps->len; i++) {
        const HotStep *s = steps->pdata[i];
        if (s->action == HOT_ADD && s->kind == HOT_OBJECT) {
            g_ptr_array_add(objects, s->text);
        }
    }
    return guest_huge_take(GUEST_HUGE_SYSFS, h->s->host->run_dir, objects, ret, err);
}

static int switch_to(Hot *h, const VmSection *after, bool replace, Err *err)
{
    const char *run_dir = h->s->host->run_dir;
    g_autoptr(GPtrArray) steps = NULL;
    g_autoptr(GuestHuge) huge = NULL;
    int r = plan(h, after, replace, &steps, err);

    if (r == 0) {
        r = take_pages(h, steps, &huge, err);
    }
    if (r == 0) {
        r = guest_plug_run(run_dir, h->vmid, steps, err);
    }
    if (r == 0) {
        const char *keep = vmsection_get(main_of(h), "keephugepages");
        guest_huge_done(huge, keep != NULL && propstring_parse_bool(keep) == 1);
    }
    return r;
}

/* -------------------------------------------------------------------- disks */

static PropString *read_drive(const Change *c, const char *value)
{
    PropString *p = NULL;

    return value != NULL && propstring_parse(c->option->props, value, NULL, &p, NULL) == 0 ? p
                                                                                           : NULL;
}

static bool is_cdrom(const PropString *p)
{
    return p != NULL && g_strcmp0(propstring_text(p, "media"), "cdrom") == 0;
}

static int disc_as_drive(QmpClient *qmp, const char *key, const char *path, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "id", key);
    if (path == NULL) {
        jsontree_set_bool(arguments, "force", true);
        return qmp_call(qmp, "eject", arguments, 0, NULL, err);
    }
    jsontree_set_text(arguments, "filename", path);
    jsontree_set_text(arguments, "format", "raw");
    return qmp_call(qmp, "blockdev-change-medium", arguments, 0, NULL, err);
}

/* `path` NULL: none. */
static int disc_as_nodes(
    const Hot *h, QmpClient *qmp, const char *key, const char *value, const char *path, Err *err)
{
    g_auto(GuestNodes) plan = {0};
    int r = 0;

    if (path != NULL) {
        r = guest_nodes_plan(h->s->host, h->vmid, main_of(h), key, value, &plan, err);
    }
    return r < 0 ? r : guest_nodes_change_disc(qmp, key, path != NULL ? &plan : NULL, err);
}

static int change_disc(const Hot *h, const Change *c, const PropString *p, Err *err)
{
    const char *file = propstring_text(p, "file");
    g_autoptr(QmpClient) qmp = NULL;
    g_autofree char *path = NULL;
    bool nodes = false;
    Volid v;
    int r = volid_parse(file, &v, err);

    if (r == 0 && v.kind == VOLID_CDROM) {
        r = err_setf(err, -ENOTSUP, "the host's own drive comes at the next start");
    }
    if (r == 0 && v.kind != VOLID_NONE) {
        r = volume_path(h->s->set, file, &path, err);
    }
    if (r == 0 && path != NULL && access(path, R_OK) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (r == 0) {
        r = guest_qmp_open(h->s->host->run_dir, h->vmid, &qmp, err);
    }
    if (r == 0) {
        r = guest_nodes_form(qmp, c->key, &nodes, err);
    }
    if (r < 0) {
        return r;
    }
    return nodes ? disc_as_nodes(h, qmp, c->key, c->next, path, err)
                 : disc_as_drive(qmp, c->key, path, err);
}

/* Another disc, which QEMU takes at any time. */
static bool is_disc(const Hot *h, const Change *c)
{
    bool disk = c->option != NULL && c->option->flags & CONF_DISK;
    g_autoptr(PropString) old = disk ? read_drive(c, vmsection_get(main_of(h), c->key)) : NULL;
    g_autoptr(PropString) next = disk ? read_drive(c, c->next) : NULL;

    return is_cdrom(old) && is_cdrom(next) && strstr(c->next, CLOUDINIT_MARK) == NULL;
}

/* 1: another disc is in the CD drive, of whatever bus; 0: this is no such change. */
static int try_disc(const Hot *h, const Change *c, Err *err)
{
    g_autoptr(PropString) next = NULL;
    int r;

    if (!is_disc(h, c)) {
        return 0;
    }
    next = read_drive(c, c->next);
    r = change_disc(h, c, next, err);
    return r < 0 ? r : 1;
}

/* QEMU is about to open it. */
static int fill_head(Hot *h, const char *key, const VmSection *after, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    int r = need_world(h, err);

    if (r == 0) {
        r = guestconf_new(after, h->vmid, warnings, &gc, err);
    }
    return r < 0 ? r : rawhead_fill_drives(gc, host_world_facts(h->world), key, err);
}

/* Taking a disk away to bring it back with other options is for people to decide: it stays. */
static int change_disk(Hot *h, const Change *c, const VmSection *after, Err *err)
{
    g_autoptr(PropString) old = read_drive(c, vmsection_get(main_of(h), c->key));
    g_autoptr(PropString) next = read_drive(c, c->next);
    bool same = old != NULL && next != NULL &&
                g_strcmp0(propstring_text(old, "file"), propstring_text(next, "file")) == 0;
    int r = next != NULL && !same ? fill_head(h, c->key, after, err) : 0;

    return r < 0 ? r : switch_to(h, after, !same, err);
}

/* ------------------------------------------------------------------ network */

static int set_link(const Hot *h, const char *key, bool up, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_text(arguments, "name", key);
    jsontree_set_bool(arguments, "up", up);
    return guest_qmp_call(h->s->host->run_dir, h->vmid, "set_link", arguments, 0, NULL, err);
}

static int write_cards(const Hot *h, const VmSection *section, bool check, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    int r = guestconf_new(section, h->vmid, warnings, &gc, err);

    if (r == 0 && check) {
        r = guest_net_check(gc, err);
    }
    return r < 0 ? r : guest_net_write(h->s->host->run_dir, gc, err);
}

static int replug(const Hot *h, int index, const PropString *old, Err *err)
{
    g_autofree char *tap = NULL;
    int r = netplan_tap(h->vmid, index, &tap, err);

    if (r == 0) {
        r = guest_net_detach(tap, old, err);
    }
    return r < 0 ? r : guest_net_plug(h->s->host->run_dir, tap, err);
}

/* The card itself, then what it hangs on, then its cable. */
static int
change_card(Hot *h, const Change *c, const VmSection *after, const PropString *old, Err *err)
{
    g_autoptr(PropString) next = read_drive(c, c->next);
    g_autoptr(GPtrArray) steps = NULL;
    bool down = next != NULL && propstring_bool(next, "link_down");
    int r = plan(h, after, true, &steps, err);

    if (r == 0) {
        r = guest_plug_run(h->s->host->run_dir, h->vmid, steps, err);
    }
    if (r < 0 || next == NULL) {
        return r;
    }
    if (steps->len > 0 || old == NULL) {
        return down ? set_link(h, c->key, false, err) : 0;
    }
    HotNet what = hotplan_net(old, next);
    if (what.replug) {
        r = replug(h, c->index, old, err);
    }
    return r == 0 && what.link ? set_link(h, c->key, !down, err) : r;
}

static int change_net(Hot *h, const Change *c, const VmSection *after, Err *err)
{
    g_autoptr(PropString) old = read_drive(c, vmsection_get(main_of(h), c->key));
    g_autoptr(PropString) next = read_drive(c, c->next);
    Err back = ERR_INIT;
    int r = write_cards(h, after, true, err);

    if (r == 0) {
        r = change_card(h, c, after, old, err);
    }
    if (r == 0) {
        return 0;
    }
    /* As it was; what the tap hangs on now is not known, so it is taken off everything. */
    if (write_cards(h, main_of(h), false, &back) == 0 && old != NULL && next != NULL &&
        hotplan_net(old, next).replug && propstring_text(old, "bridge") != NULL &&
        replug(h, c->index, next, &back) < 0) {
        guest_say(h->s->host, GUEST_SAY_WARNING, "%s is not connected: %s", c->key,
                  err_text(&back));
    }
    return r;
}

/* ------------------------------------------------------- processors, memory */

static int set_balloon(const Hot *h, const char *value, Err *err)
{
    JsonTree *arguments = jsontree_new_object();

    jsontree_set_int(arguments, "value", g_ascii_strtoll(value, NULL, 10) * MIB);
    return guest_qmp_call(h->s->host->run_dir, h->vmid, "balloon", arguments, 0, NULL, err);
}

static int64_t memory_of(const GuestConf *gc)
{
    const PropString *memory = guestconf_props(gc, "memory");

    return memory != NULL ? propstring_int(memory, "current") : MEMORY_DEFAULT;
}

static int64_t vcpus_of(const GuestConf *gc)
{
    int64_t vcpus = guestconf_int(gc, "vcpus");

    return vcpus > 0 ? vcpus : guestconf_int(gc, "sockets") * guestconf_int(gc, "cores");
}

/* One processor or memory module after the other, each written down as it is there or gone: a guest
 * that keeps one leaves the rest as far as it came. */
static int stepwise(Hot *h, const Change *c, const GuestConf *from, const GuestConf *to, Err *err)
{
    bool memory = strcmp(c->key, "memory") == 0;
    bool giant = g_strcmp0(guestconf_text(from, "hugepages"), "1024") == 0;
    int64_t start = giant ? 1024 * guestconf_int(from, "sockets") : 1024;
    int64_t now = memory ? memory_of(from) : vcpus_of(from);
    int64_t target = memory ? memory_of(to) : vcpus_of(to);
    int r = 0;

    while (r == 0 && now != target) {
        bool more = target > now;
        int64_t next =
            memory ? hotplan_next_memory(now, more, start, giant) : now + (more ? 1 : -1);
        g_autofree char *value = g_strdup_printf("%" G_GINT64_FORMAT, next);
        Change one = {.key = c->key, .next = value};
        g_autoptr(VmConf) draft = NULL;

        r = draft_with(h, &one, &draft, err);
        if (r == 0) {
            r = switch_to(h, vmconf_main(draft), false, err);
        }
        if (r == 0) {
            vmsection_set(main_of(h), c->key, value);
            r = guest_edit_commit(h->edit, err);
            now = next;
        }
    }
    return r;
}

/* More before it comes, less once it has gone. The bound is for leaks: a guest does not go without
 * its memory for it. */
static void bound_memory(const Hot *h, const GuestConf *gc)
{
    Err why = ERR_INIT;

    if (guest_scope_set_memory(GUEST_SCOPE_ROOT, h->vmid, guest_scope_limits(gc).memory_bytes,
                               &why) < 0) {
        guest_say(h->s->host, GUEST_SAY_WARNING, "bound of the guest's processes: %s",
                  err_text(&why));
    }
}

static int change_amount(Hot *h, const Change *c, const VmSection *after, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) before = vmconf_copy(h->conf);
    g_autoptr(GuestConf) from = NULL;
    g_autoptr(GuestConf) to = NULL;
    g_autoptr(GPtrArray) steps = NULL;
    bool memory = strcmp(c->key, "memory") == 0;
    int r = plan(h, after, false, &steps, err); /* it can be reached at all */

    if (r == 0) {
        r = guestconf_new(vmconf_main(before), h->vmid, warnings, &from, err);
    }
    if (r == 0) {
        r = guestconf_new(after, h->vmid, warnings, &to, err);
    }
    if (r == 0 && memory && memory_of(to) > memory_of(from)) {
        bound_memory(h, to);
    }
    if (r == 0) {
        r = stepwise(h, c, from, to, err);
    }
    if (r == 0 && memory && memory_of(to) < memory_of(from)) {
        bound_memory(h, to);
    }
    return r;
}

static int change_limits(const Hot *h, const VmSection *after, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(GuestConf) gc = NULL;
    int r = guestconf_new(after, h->vmid, warnings, &gc, err);

    if (r == 0) {
        r = guest_proc_find(h->s->host->run_dir, h->vmid, &proc, err);
    }
    if (r == 0) {
        return err_setf(err, -ESRCH, "the guest has ended");
    }
    if (r > 0) {
        GuestLimits limits = guest_scope_limits(gc);
        r = guest_scope_set(GUEST_SCOPE_ROOT, h->vmid, proc.pid, &limits, err);
    }
    return r;
}

/* ------------------------------------------------------------------- front */

static int check_allowed(const Hot *h, const Change *c, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    int r;

    if (c->option == NULL || !(c->option->flags & CONF_HOTPLUG)) {
        return err_setf(err, -ENOTSUP, "QEMU takes it at its start only");
    }
    if (c->option->hotplug == NULL) {
        return 0;
    }
    r = guestconf_new(main_of(h), h->vmid, warnings, &gc, err);
    if (r == 0 && !guestconf_hotplug(gc, c->option->hotplug)) {
        r = err_setf(err, -ENOTSUP, "the option hotplug does not have '%s'", c->option->hotplug);
    }
    return r;
}

static int perform(Hot *h, const Change *c, Err *err)
{
    const char *now = vmsection_get(main_of(h), c->key);
    g_autoptr(VmConf) draft = NULL;
    const VmSection *after;
    int r = try_disc(h, c, err);

    if (r != 0) {
        return r;
    }
    r = check_allowed(h, c, err);
    if (r == 0) {
        r = draft_with(h, c, &draft, err);
    }
    if (r < 0) {
        return r;
    }
    after = vmconf_main(draft);
    if (c->option->flags & CONF_DISK) {
        return change_disk(h, c, after, err);
    }
    if (c->option->props == &props_net) {
        return change_net(h, c, after, err);
    }
    if (strcmp(c->key, "memory") == 0 || strcmp(c->key, "vcpus") == 0) {
        return change_amount(h, c, after, err);
    }
    if (strcmp(c->key, "cpulimit") == 0 || strcmp(c->key, "cpuunits") == 0) {
        return change_limits(h, after, err);
    }
    if (strcmp(c->key, "balloon") == 0 && c->next != NULL && strcmp(c->next, "0") != 0 &&
        g_strcmp0(now, "0") != 0) {
        return set_balloon(h, c->next, err);
    }
    return switch_to(h, after, true, err);
}

/* What QEMU took counts from now on. */
static int settle(Hot *h, const Change *c, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_auto(GuestChange) change;
    int r;

    request_of(c, &change);
    r = guest_change_apply(h->conf, &change, freed, err);
    for (guint i = 0; r == 0 && i < freed->len; i++) {
        guest_store_note(h->s, GUEST_WORK_VOLUME, freed->pdata[i]);
    }
    if (r == 0) {
        r = guest_edit_commit(h->edit, err);
    }
    if (r == 0) {
        guest_store_free(h->s, h->vmid, freed);
    }
    return r;
}

/* Deletions first: they make room. */
static GPtrArray *list_changes(const VmConf *conf)
{
    GPtrArray *changes = g_ptr_array_new_with_free_func(change_free);
    g_autoptr(GArray) pending = guest_pending_list(conf);

    for (int sets = 0; sets <= 1; sets++) {
        for (guint i = 0; i < pending->len; i++) {
            const GuestPending *p = &g_array_index(pending, GuestPending, i);
            if (sets == 1 ? p->next != NULL : p->removed && p->next == NULL) {
                Change *c = g_new0(Change, 1);
                *c = (Change){.key = g_strdup(p->key),
                              .next = g_strdup(p->next),
                              .force = p->forced,
                              .index = -1};
                c->option = confschema_find(c->key, &c->index);
                g_ptr_array_add(changes, c);
            }
        }
    }
    return changes;
}

int guest_hot_apply(GuestStore *s, uint32_t vmid, GuestEdit *edit, Err *err)
{
    Hot h = {.s = s, .vmid = vmid, .conf = guest_edit_conf(edit), .edit = edit};
    g_autoptr(GPtrArray) changes = list_changes(h.conf);
    int r = 0;

    for (guint i = 0; r == 0 && i < changes->len; i++) {
        const Change *c = changes->pdata[i];
        Err why = ERR_INIT;

        if (perform(&h, c, &why) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s waits for the next start: %s", c->key,
                      err_text(&why));
        } else {
            r = settle(&h, c, err);
        }
    }
    host_world_free(h.world);
    return r;
}

/* ------------------------------------------------------------------ telling */

/* What perform() would run into, as far as it shows without trying. */
static int look_ahead(Hot *h, const Change *c, Err *err)
{
    g_autoptr(GPtrArray) steps = NULL;
    g_autoptr(PropString) old = NULL;
    g_autoptr(PropString) next = NULL;
    g_autoptr(VmConf) draft = NULL;
    bool replace = true;
    int r = is_disc(h, c) ? 0 : check_allowed(h, c, err);

    if (r == 0) {
        r = draft_with(h, c, &draft, err);
    }
    if (r < 0 || is_disc(h, c)) {
        return r;
    }
    if (c->option->flags & CONF_DISK) {
        old = read_drive(c, vmsection_get(main_of(h), c->key));
        next = read_drive(c, c->next);
        replace = old == NULL || next == NULL ||
                  g_strcmp0(propstring_text(old, "file"), propstring_text(next, "file")) != 0;
    } else if (strcmp(c->key, "memory") == 0 || strcmp(c->key, "vcpus") == 0) {
        replace = false;
    }
    return plan(h, vmconf_main(draft), replace, &steps, err);
}

int guest_hot_explain(
    GuestStore *s, uint32_t vmid, VmConf *conf, GHashTable **ret_reasons, Err *err)
{
    g_autoptr(GHashTable) reasons = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GPtrArray) changes = list_changes(conf);
    Hot h = {.s = s, .vmid = vmid, .conf = conf};
    int running = guest_store_running(s, vmid, err);

    for (guint i = 0; running >= 0 && i < changes->len; i++) {
        const Change *c = changes->pdata[i];
        Err why = ERR_INIT;
        const char *text = running == 0 ? "the guest is off: it counts at the next start"
                           : look_ahead(&h, c, &why) < 0
                               ? err_text(&why)
                               : "QEMU or the guest did not take it: set it again to try again";
        g_hash_table_insert(reasons, g_strdup(c->key), g_strdup(text));
    }
    host_world_free(h.world);
    if (running >= 0) {
        *ret_reasons = g_steal_pointer(&reasons);
    }
    return MIN(running, 0);
}
