/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_fence.h"

#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_shellwords.h"
#include "lib/base/strmap.h"

#include <errno.h>
#include <string.h>

/* One of the devices that are used together. */
typedef struct SubDevice {
    char *agent;
    GPtrArray *args;  /* char * */
    StrMap *connects; /* node -> GPtrArray of char * */
} SubDevice;

typedef struct Device {
    char *name;
    StrMap *subs; /* number as text -> SubDevice * */
} Device;

struct HaFence {
    GPtrArray *devices; /* Device *, by priority */
};

static void sub_free(void *data)
{
    SubDevice *sub = data;

    g_free(sub->agent);
    g_ptr_array_unref(sub->args);
    strmap_free(sub->connects);
    g_free(sub);
}

static void device_free(void *data)
{
    Device *dev = data;

    g_free(dev->name);
    strmap_free(dev->subs);
    g_free(dev);
}

void ha_fence_free(HaFence *f)
{
    if (f == NULL) {
        return;
    }
    g_ptr_array_unref(f->devices);
    g_free(f);
}

static Device *find_device(const HaFence *f, const char *name)
{
    for (guint i = 0; i < f->devices->len; i++) {
        Device *dev = g_ptr_array_index(f->devices, i);

        if (strcmp(dev->name, name) == 0) {
            return dev;
        }
    }
    return NULL;
}

/* `name[:k]`; without a number it is the first. */
static void split_name(const char *word, char **ret_name, char **ret_number)
{
    const char *colon = strrchr(word, ':');

    if (colon != NULL && colon > word && colon[1] != '\0' &&
        strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
        *ret_name = g_strndup(word, (gsize)(colon - word));
        *ret_number = g_strdup(colon + 1);
    } else {
        *ret_name = g_strdup(word);
        *ret_number = g_strdup("1");
    }
}

static int add_device(
    HaFence *f, const char *name, const char *number, const char *agent, GPtrArray *args, Err *err)
{
    Device *dev = find_device(f, name);
    SubDevice *sub;

    if (dev != NULL && strmap_has(dev->subs, number)) {
        return err_setf(err, -EINVAL, "device '%s:%s' already declared", name, number);
    }
    if (dev == NULL) {
        if (f->devices->len >= HA_FENCE_DEVICES_MAX) {
            return err_setf(err, -EINVAL, "more than %d devices", HA_FENCE_DEVICES_MAX);
        }
        dev = g_new0(Device, 1);
        dev->name = g_strdup(name);
        dev->subs = strmap_new(sub_free);
        g_ptr_array_add(f->devices, dev);
    }
    sub = g_new0(SubDevice, 1);
    sub->agent = g_strdup(agent);
    sub->args = g_ptr_array_ref(args);
    sub->connects = strmap_new((GDestroyNotify)g_ptr_array_unref);
    strmap_set(dev->subs, number, sub);
    return 0;
}

static int add_connect(
    HaFence *f, const char *name, const char *number, const char *target, GPtrArray *args, Err *err)
{
    const Device *dev = find_device(f, name);
    SubDevice *sub = dev != NULL ? strmap_get(dev->subs, number) : NULL;
    const char *node = target + strlen("node=");

    if (dev == NULL) {
        return err_setf(err, -EINVAL, "device '%s' must be declared before you can connect to it",
                        name);
    }
    if (sub == NULL) {
        return err_setf(err, -EINVAL, "No parallel device '%s:%s' found", name, number);
    }
    if (!g_str_has_prefix(target, "node=") || node[0] == '\0') {
        return err_setf(err, -EINVAL, "node=nodename needed to connect device '%s' to node", name);
    }
    if (strmap_has(sub->connects, node)) {
        return err_setf(err, -EINVAL, "node '%s' already connected to device '%s:%s'", node, name,
                        number);
    }
    strmap_set(sub->connects, node, g_ptr_array_ref(args));
    return 0;
}

/* The first three words of a line and where the rest begins; false when there is no rest. */
static bool split_line(const char *line, char *ret_words[3], const char **ret_rest)
{
    const char *p = line;

    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(p, " \t");

        ret_words[i] = g_strndup(p, n);
        p += n;
        p += strspn(p, " \t");
    }
    *ret_rest = p;
    return *p != '\0';
}

/* One line with something on it. 1: not a command. */
static int take_line(HaFence *f, const char *line, Err *err)
{
    g_autofree char *name = NULL;
    g_autofree char *number = NULL;
    g_autoptr(GPtrArray) args = NULL;
    char *words[3];
    const char *rest;
    bool device;
    int r;

    if (!split_line(line, words, &rest)) {
        r = 1;
        goto out;
    }
    device = strcmp(words[0], "device") == 0;
    if (!device && strcmp(words[0], "connect") != 0) {
        r = 1;
        goto out;
    }
    split_name(words[1], &name, &number);
    r = ha_shellwords_split(rest, &args, err);
    if (r == 0) {
        r = device ? add_device(f, name, number, words[2], args, err)
                   : add_connect(f, name, number, words[2], args, err);
    }
out:
    for (int i = 0; i < 3; i++) {
        g_free(words[i]);
    }
    return r;
}

int ha_fence_parse(const char *text,
                   const char *file,
                   void (*warn)(void *ctx, unsigned line, const char *text),
                   void *ctx,
                   HaFence **ret_fence,
                   char **ret_errors)
{
    g_autoptr(HaFence) f = g_new0(HaFence, 1);
    g_autoptr(GString) errors = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    f->devices = g_ptr_array_new_with_free_func(device_free);
    for (unsigned i = 0; lines[i] != NULL; i++) {
        char *line = g_strstrip(lines[i]);
        Err err = ERR_INIT;
        int r;

        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        r = take_line(f, line, &err);
        if (r < 0) {
            g_string_append_printf(errors, "\nline %u: %s", i + 1, err_text(&err));
        } else if (r > 0 && warn != NULL) {
            warn(ctx, i + 1, "not a device or connect command, ignoring it");
        }
    }
    if (errors->len > 0) {
        if (ret_errors != NULL) {
            *ret_errors =
                g_strdup_printf("Encountered error(s) on parsing '%s':%s", file, errors->str);
        }
        return -EINVAL;
    }
    *ret_fence = g_steal_pointer(&f);
    return 0;
}

/* `key=value` as agents take it on their command line. */
static void add_args(GPtrArray *argv, const GPtrArray *args)
{
    for (guint i = 0; i < args->len; i++) {
        const char *arg = g_ptr_array_index(args, i);
        const char *equal = strchr(arg, '=');
        size_t n = equal != NULL ? (size_t)(equal - arg) : strlen(arg);

        if (n == 1) {
            g_ptr_array_add(argv, g_strdup_printf("-%c", arg[0]));
            if (equal != NULL) {
                g_ptr_array_add(argv, g_strdup(equal + 1));
            }
        } else {
            g_ptr_array_add(argv, g_strdup_printf("--%s", arg));
        }
    }
}

static char **make_argv(const SubDevice *sub, const GPtrArray *connect)
{
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, g_strdup(sub->agent));
    add_args(argv, sub->args);
    add_args(argv, connect);
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

GPtrArray *ha_fence_commands(const HaFence *f, const char *node, guint level)
{
    GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    guint found = 0;

    for (guint i = 0; i < f->devices->len; i++) {
        const Device *dev = g_ptr_array_index(f->devices, i);
        bool connected = false;

        for (guint k = 0; k < strmap_size(dev->subs); k++) {
            const SubDevice *sub = strmap_value(dev->subs, k);
            const GPtrArray *connect = strmap_get(sub->connects, node);

            connected = connected || connect != NULL;
            if (connect != NULL && found == level) {
                g_ptr_array_add(out, make_argv(sub, connect));
            }
        }
        if (out->len > 0) {
            break;
        }
        found += connected;
    }
    return out;
}

/* Quotes the value only, so that the option stays readable: --password='12"345' */
static void append_word(GString *out, const char *word)
{
    const char *equal = g_str_has_prefix(word, "--") ? strchr(word, '=') : NULL;

    if (equal != NULL) {
        g_autofree char *key = g_strndup(word, (gsize)(equal + 1 - word));

        g_string_append(out, key);
        ha_shellwords_append_quoted(out, equal + 1);
    } else {
        ha_shellwords_append_quoted(out, word);
    }
}

char *ha_fence_command_text(char *const *argv)
{
    GString *out = g_string_new(NULL);

    for (size_t i = 0; argv[i] != NULL; i++) {
        if (i > 0) {
            g_string_append_c(out, ' ');
        }
        append_word(out, argv[i]);
    }
    return g_string_free(out, FALSE);
}

static void append_args(GString *out, const GPtrArray *args)
{
    for (guint i = 0; i < args->len; i++) {
        g_string_append_c(out, ' ');
        ha_shellwords_append_quoted(out, g_ptr_array_index(args, i));
    }
    g_string_append_c(out, '\n');
}

static void append_sub(GString *out, const char *name, const char *number, const SubDevice *sub)
{
    g_string_append_printf(out, "\ndevice %s:%s %s", name, number, sub->agent);
    append_args(out, sub->args);
    for (guint i = 0; i < strmap_size(sub->connects); i++) {
        g_string_append_printf(out, "connect %s:%s node=%s", name, number,
                               strmap_key(sub->connects, i));
        append_args(out, strmap_value(sub->connects, i));
    }
}

char *ha_fence_format(const HaFence *f)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < f->devices->len; i++) {
        const Device *dev = g_ptr_array_index(f->devices, i);

        for (guint k = 0; k < strmap_size(dev->subs); k++) {
            append_sub(out, dev->name, strmap_key(dev->subs, k), strmap_value(dev->subs, k));
        }
    }
    return g_string_free(out, FALSE);
}
