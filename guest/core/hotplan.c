/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/hotplan.h"

#include "guest/core/cmdbuild.h"
#include "lib/base/sizetext.h"

#include <errno.h>
#include <string.h>

#define THROTTLING "throttling."

/* ------------------------------------------------------------------- words */

/* "a,b=c,,d" -> "a", "b=c,d". The caller owns the array. */
static GPtrArray *split_props(const char *text)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) part = g_string_new(NULL);

    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == ',' && at[1] == ',') {
            g_string_append_c(part, ',');
            at++;
        } else if (*at == ',') {
            g_ptr_array_add(out, g_strdup(part->str));
            g_string_truncate(part, 0);
        } else {
            g_string_append_c(part, *at);
        }
    }
    g_ptr_array_add(out, g_strdup(part->str));
    return out;
}

/* The value of one property, or NULL. Caller frees. */
static char *prop_of(const char *text, const char *key)
{
    g_autoptr(GPtrArray) parts = NULL;
    g_autofree char *prefix = g_strconcat(key, "=", NULL);

    if (text[0] == '{') {
        g_autoptr(JsonTree) tree = NULL;
        return jsontree_parse(text, strlen(text), &tree, NULL) == 0
                   ? g_strdup(jsontree_get_text(tree, key))
                   : NULL;
    }
    parts = split_props(text);
    for (guint i = 0; i < parts->len; i++) {
        if (g_str_has_prefix(parts->pdata[i], prefix)) {
            return g_strdup((const char *)parts->pdata[i] + strlen(prefix));
        }
    }
    return NULL;
}

/* The text without properties that begin with `prefix`, for comparing. Caller frees. */
static char *without(const char *text, const char *prefix)
{
    g_autoptr(GPtrArray) parts = split_props(text);
    g_autoptr(GString) out = g_string_new(NULL);

    for (guint i = 0; i < parts->len; i++) {
        if (!g_str_has_prefix(parts->pdata[i], prefix)) {
            g_string_append_printf(out, "%s\n", (const char *)parts->pdata[i]);
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static bool same_without(const char *a, const char *b, const char *prefix)
{
    g_autofree char *x = without(a, prefix);
    g_autofree char *y = without(b, prefix);

    return strcmp(x, y) == 0;
}

/* The driver of a device. Caller frees. */
static char *driver_of(const char *text)
{
    return text[0] == '{' ? prop_of(text, "driver") : g_strndup(text, strcspn(text, ","));
}

/* ------------------------------------------------------------------- units */

/* One word of a command that QEMU can take while it runs, with the name that others use for it. */
typedef struct Unit {
    HotKind kind;
    char *id;
    const char *text; /* borrowed from the command */
    bool other;       /* it is not the same in the other command */
} Unit;

typedef struct Units {
    GPtrArray *list;     /* Unit * */
    GPtrArray *at_start; /* char *: words that only a start takes; borrowed */
} Units;

static void unit_free(void *unit)
{
    Unit *u = unit;

    g_free(u->id);
    g_free(u);
}

static void units_clear(Units *u)
{
    g_clear_pointer(&u->list, g_ptr_array_unref);
    g_clear_pointer(&u->at_start, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Units, units_clear)

static const struct {
    const char *option;
    const char *name; /* property that names it */
    HotKind kind;
} kinds[] = {{"-object", "id", HOT_OBJECT},
             {"-drive", "id", HOT_DRIVE},
             {"-blockdev", "node-name", HOT_BLOCKDEV},
             {"-netdev", "id", HOT_NETDEV},
             {"-device", "id", HOT_DEVICE}};

static Unit *read_unit(const char *option, const char *value)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].option, option) == 0) {
            char *id = prop_of(value, kinds[i].name);
            Unit *u = id != NULL ? g_new0(Unit, 1) : NULL;
            if (u != NULL) {
                *u = (Unit){.kind = kinds[i].kind, .id = id, .text = value};
            }
            return u;
        }
    }
    return NULL;
}

static void read_units(const GPtrArray *argv, Units *u)
{
    u->list = g_ptr_array_new_with_free_func(unit_free);
    u->at_start = g_ptr_array_new();
    for (guint i = 0; i < argv->len; i++) {
        Unit *unit = i + 1 < argv->len ? read_unit(argv->pdata[i], argv->pdata[i + 1]) : NULL;
        if (unit != NULL) {
            g_ptr_array_add(u->list, unit);
            i++;
        } else {
            g_ptr_array_add(u->at_start, argv->pdata[i]);
        }
    }
}

static Unit *find(const Units *u, const Unit *like)
{
    for (guint i = 0; i < u->list->len; i++) {
        Unit *unit = u->list->pdata[i];
        if (unit->kind == like->kind && strcmp(unit->id, like->id) == 0) {
            return unit;
        }
    }
    return NULL;
}

/* `text` of a device names `u`: its drive, its network, its bus and so on. */
static bool refers(const Unit *device, const Unit *u)
{
    static const char *const keys[] = {"drive", "netdev", "iothread", "memdev", "bus"};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *value = prop_of(device->text, keys[i]);
        size_t len = strlen(u->id);
        if (value != NULL && strncmp(value, u->id, len) == 0 &&
            (value[len] == '\0' || (value[len] == '.' && strcmp(keys[i], "bus") == 0))) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ compare */

static int check_start_words(const Units *before, const Units *after, Err *err)
{
    const char *option = "";

    for (guint i = 0; i < MAX(before->at_start->len, after->at_start->len); i++) {
        const char *a = i < before->at_start->len ? before->at_start->pdata[i] : "";
        const char *b = i < after->at_start->len ? after->at_start->pdata[i] : "";
        option = a[0] == '-' ? a : b[0] == '-' ? b : option;
        if (strcmp(a, b) != 0) {
            return err_setf(err, -ENOTSUP, "QEMU takes '%s' at its start only", option);
        }
    }
    return 0;
}

/* Its limits alone differ. */
static bool only_limits(const Unit *a, const Unit *b)
{
    if (a->kind == HOT_DRIVE) {
        return same_without(a->text, b->text, THROTTLING);
    }
    if (a->kind == HOT_OBJECT && a->text[0] == '{') {
        g_autofree char *type = prop_of(a->text, "qom-type");
        return g_strcmp0(type, "throttle-group") == 0;
    }
    return false;
}

static HotStep *new_step(HotAction action, const Unit *u, const char *old)
{
    HotStep *s = g_new0(HotStep, 1);

    *s = (HotStep){.action = action,
                   .kind = u->kind,
                   .id = g_strdup(u->id),
                   .text = g_strdup(u->text),
                   .old = g_strdup(old)};
    return s;
}

void hotplan_step_free(void *step)
{
    HotStep *s = step;

    g_free(s->id);
    g_free(s->text);
    g_free(s->old);
    g_free(s);
}

/* Marks what differs in both; limits become steps. The place in the boot order counts from the next
 * start: a device is not unplugged for it. */
static int mark(const Units *before, const Units *after, bool replace, GPtrArray *steps, Err *err)
{
    for (guint i = 0; i < before->list->len; i++) {
        Unit *a = before->list->pdata[i];
        Unit *b = find(after, a);

        if (b == NULL || strcmp(a->text, b->text) == 0 ||
            (a->kind == HOT_DEVICE && same_without(a->text, b->text, "bootindex="))) {
            a->other = b == NULL;
            continue;
        }
        if (only_limits(a, b)) {
            g_ptr_array_add(steps,
                            new_step(a->kind == HOT_DRIVE ? HOT_THROTTLE : HOT_GROUP, b, a->text));
            continue;
        }
        if (!replace || a->kind == HOT_OBJECT) {
            return err_setf(err, -ENOTSUP, "'%s' cannot be changed while it is in use", a->id);
        }
        a->other = b->other = true;
    }
    for (guint i = 0; i < after->list->len; i++) {
        Unit *b = after->list->pdata[i];
        b->other = b->other || find(before, b) == NULL;
    }
    return 0;
}

/* A device whose drive, network or bus goes must go first, and come back after it. */
static void mark_users(const Units *here, const Units *there)
{
    bool more = true;

    while (more) {
        more = false;
        for (guint i = 0; i < here->list->len; i++) {
            Unit *d = here->list->pdata[i];
            for (guint k = 0; d->kind == HOT_DEVICE && !d->other && k < here->list->len; k++) {
                const Unit *u = here->list->pdata[k];
                if (u->other && refers(d, u)) {
                    Unit *twin = find(there, d);
                    d->other = more = true;
                    if (twin != NULL) {
                        twin->other = true;
                    }
                }
            }
        }
    }
}

/* ------------------------------------------------------------------- steps */

static int check_device(const Unit *u, Err *err)
{
    static const char *const drivers[] = {"e1000",          "e1000-82540em",   "e1000-82544gc",
                                          "e1000-82545em",  "e1000e",          "i82551",
                                          "i82557b",        "i82559er",        "lsi",
                                          "lsi53c810",      "megasas",         "ne2k_pci",
                                          "pc-dimm",        "pcnet",           "pvscsi",
                                          "qemu-xhci",      "rtl8139",         "scsi-block",
                                          "scsi-cd",        "scsi-generic",    "scsi-hd",
                                          "usb-host",       "usb-tablet",      "virtio-blk-pci",
                                          "virtio-net-pci", "virtio-scsi-pci", "vmxnet3"};
    g_autofree char *driver = driver_of(u->text);

    if (driver != NULL && g_str_has_suffix(driver, "-cpu")) {
        return 0;
    }
    for (size_t i = 0; driver != NULL && i < G_N_ELEMENTS(drivers); i++) {
        if (strcmp(drivers[i], driver) == 0) {
            return 0;
        }
    }
    return err_setf(err, -ENOTSUP, "a device '%s' cannot come or go while the guest runs",
                    driver != NULL ? driver : u->id);
}

/* QEMU that emulates processors (7.2 for sure) keeps listening for one that was unplugged, and dies
 * at the next change of the guest's memory map: any device that comes or goes. */
static int check_cpus(const Units *before, Err *err)
{
    bool emulated = false;

    for (guint i = 0; i < before->at_start->len; i++) {
        emulated = emulated || strstr(before->at_start->pdata[i], "accel=tcg") != NULL;
    }
    for (guint i = 0; emulated && i < before->list->len; i++) {
        const Unit *u = before->list->pdata[i];
        g_autofree char *driver = u->other && u->kind == HOT_DEVICE ? driver_of(u->text) : NULL;
        if (driver != NULL && g_str_has_suffix(driver, "-cpu")) {
            return err_setf(err, -ENOTSUP,
                            "without KVM QEMU does not survive the unplugging of a "
                            "processor");
        }
    }
    return 0;
}

/* Devices go in the order in which they came, a bus before what sits on it: that goes with the bus,
 * and a guest that keeps the bus keeps all. Then what they used, backwards. */
static int add_steps(const Units *before, const Units *after, GPtrArray *steps, Err *err)
{
    int r = check_cpus(before, err);

    for (guint i = 0; r == 0 && i < before->list->len; i++) {
        const Unit *u = before->list->pdata[i];
        if (u->other && u->kind == HOT_DEVICE) {
            r = check_device(u, err);
            g_ptr_array_add(steps, new_step(HOT_REMOVE, u, NULL));
        }
    }
    for (guint i = before->list->len; r == 0 && i > 0; i--) {
        const Unit *u = before->list->pdata[i - 1];
        if (u->other && u->kind != HOT_DEVICE) {
            g_ptr_array_add(steps, new_step(HOT_REMOVE, u, NULL));
        }
    }
    for (guint i = 0; r == 0 && i < after->list->len; i++) {
        const Unit *u = after->list->pdata[i];
        if (u->other) {
            r = u->kind == HOT_DEVICE ? check_device(u, err) : 0;
            g_ptr_array_add(steps, new_step(HOT_ADD, u, NULL));
        }
    }
    return r;
}

int hotplan_make(
    const GPtrArray *before, const GPtrArray *after, bool replace, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(hotplan_step_free);
    g_auto(Units) a = {0};
    g_auto(Units) b = {0};
    int r;

    read_units(before, &a);
    read_units(after, &b);
    r = check_start_words(&a, &b, err);
    if (r == 0) {
        r = mark(&a, &b, replace, steps, err);
    }
    if (r == 0) {
        mark_users(&a, &b);
        mark_users(&b, &a);
        r = add_steps(&a, &b, steps, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&steps);
    }
    return r;
}

/* --------------------------------------------------------------- arguments */

static JsonTree *number_list(const char *range)
{
    JsonTree *list = jsontree_new_array();
    const char *dash = strchr(range, '-');
    gint64 first = g_ascii_strtoll(range, NULL, 10);
    gint64 last = dash != NULL ? g_ascii_strtoll(dash + 1, NULL, 10) : first;

    for (gint64 i = first; i <= last && i - first < 1024; i++) {
        jsontree_add(list, jsontree_new_int(i));
    }
    return list;
}

static int set_typed(JsonTree *out, const char *key, const char *value, Err *err)
{
    uint64_t size = 0;
    int r = 0;

    if (strcmp(key, "size") == 0) {
        r = size_parse(value, &size, err);
        jsontree_set_int(out, key, (int64_t)size);
    } else if (strcmp(key, "queues") == 0) {
        jsontree_set_int(out, key, g_ascii_strtoll(value, NULL, 10));
    } else if (strcmp(key, "host-nodes") == 0) {
        jsontree_set(out, key, number_list(value));
    } else if (strcmp(key, "vhost") == 0 || strcmp(key, "share") == 0 ||
               strcmp(key, "prealloc") == 0) {
        jsontree_set_bool(out, key, strcmp(value, "on") == 0 || strcmp(value, "yes") == 0);
    } else {
        jsontree_set_text(out, key, value);
    }
    return r;
}

int hotplan_arguments(HotKind kind, const char *text, JsonTree **ret, Err *err)
{
    g_autoptr(JsonTree) out = NULL;
    g_autoptr(GPtrArray) parts = NULL;
    int r = 0;

    if (text[0] == '{') {
        return jsontree_parse(text, strlen(text), ret, err);
    }
    out = jsontree_new_object();
    parts = split_props(text);
    for (guint i = 0; r == 0 && i < parts->len; i++) {
        char *part = parts->pdata[i];
        char *equals = strchr(part, '=');
        if (equals == NULL) {
            jsontree_set_text(out, kind == HOT_OBJECT ? "qom-type" : "type", part);
            continue;
        }
        *equals = '\0';
        r = set_typed(out, part, equals + 1, err);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&out);
    }
    return r;
}

/* "bps-read-max-length" -> "bps_rd_max_length" */
static char *throttle_key(const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, "-", -1);
    g_autoptr(GString) out = g_string_new(NULL);

    for (char **part = parts; *part != NULL; part++) {
        const char *word = strcmp(*part, "read") == 0    ? "rd"
                           : strcmp(*part, "write") == 0 ? "wr"
                                                         : *part;
        if (strcmp(word, "total") != 0) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? "_" : "", word);
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

JsonTree *hotplan_throttle(const char *id, const char *text)
{
    static const char *const needed[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    JsonTree *out = jsontree_new_object();
    g_autoptr(GPtrArray) parts = split_props(text);

    jsontree_set_text(out, "device", id);
    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        jsontree_set_int(out, needed[i], 0);
    }
    for (guint i = 0; i < parts->len; i++) {
        char *part = parts->pdata[i];
        char *equals = strchr(part, '=');
        if (g_str_has_prefix(part, THROTTLING) && equals != NULL) {
            g_autofree char *name = g_strndup(part, (gsize)(equals - part));
            g_autofree char *key = throttle_key(name + strlen(THROTTLING));
            jsontree_set_int(out, key, g_ascii_strtoll(equals + 1, NULL, 10));
        }
    }
    return out;
}

/* ------------------------------------------------------------------- small */

int64_t hotplan_next_memory(int64_t now, bool more, int64_t at_start, bool giant)
{
    int64_t module = giant ? 1024 : CMD_DIMM_MIB;
    int64_t sum = at_start;

    for (int i = 0; i < CMD_DIMMS_PER_SIZE * CMD_DIMM_SIZES; i++) {
        if (i > 0 && i % CMD_DIMMS_PER_SIZE == 0) {
            module *= 2;
        }
        if (more ? sum > now : sum + module >= now) {
            return sum;
        }
        sum += module;
    }
    return sum;
}

static bool differ(const PropString *a, const PropString *b, const char *key)
{
    return g_strcmp0(propstring_text(a, key), propstring_text(b, key)) != 0;
}

HotNet hotplan_net(const PropString *before, const PropString *after)
{
    return (HotNet){
        .replug = propstring_text(after, "bridge") != NULL &&
                  (differ(before, after, "bridge") || differ(before, after, "tag") ||
                   differ(before, after, "trunks") || differ(before, after, "rate") ||
                   propstring_bool(before, "firewall") != propstring_bool(after, "firewall")),
        .link = propstring_bool(before, "link_down") != propstring_bool(after, "link_down")};
}
