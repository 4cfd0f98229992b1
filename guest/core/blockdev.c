/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/blockdev.h"

#include "guest/core/cmdbuild.h"
#include "lib/base/jsontext.h"

#include <string.h>

#define RBD_PORT "3300" /* of monitors that are given without one */

/* ------------------------------------------------------------------- JSON */

static void open_object(GString *out)
{
    g_string_append_c(out, '{');
}

static void close_object(GString *out)
{
    g_string_append_c(out, '}');
}

static void add_key(GString *out, const char *key)
{
    char last = out->str[out->len - 1];

    g_string_append_printf(out, "%s\"%s\":", last == '{' || last == '[' ? "" : ",", key);
}

static void add_text(GString *out, const char *key, const char *value)
{
    add_key(out, key);
    json_append_string(out, value);
}

static void add_bool(GString *out, const char *key, bool value)
{
    add_key(out, key);
    g_string_append(out, value ? "true" : "false");
}

static void add_int(GString *out, const char *key, int64_t value)
{
    add_key(out, key);
    g_string_append_printf(out, "%" G_GINT64_FORMAT, value);
}

static void add_name(GString *out, const char *prefix, const char *drive)
{
    g_autofree char *name = g_strdup_printf("%s-%s", prefix, drive);

    add_text(out, "node-name", name);
}

/* What every node of a tree repeats: QEMU does not hand these down on its own. */
static void add_common(GString *out, const DiskOptions *o)
{
    add_key(out, "cache");
    open_object(out);
    add_bool(out, "direct", o->direct);
    add_bool(out, "no-flush", o->no_flush);
    close_object(out);
    if (o->detect_zeroes != NULL) {
        add_text(out, "detect-zeroes", o->detect_zeroes);
    }
    if (o->discard != NULL) {
        add_text(out, "discard", o->discard);
    }
    add_bool(out, "read-only", o->read_only);
}

/* "host", "host:port", "[v6]:port" or "v6" */
static void split_host(const char *text, char **ret_host, const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strchr(text, ']');

    *ret_port = RBD_PORT;
    if (bracket != NULL) {
        *ret_host = g_strndup(text + 1, (gsize)(bracket - text - 1));
        *ret_port = bracket[1] == ':' ? bracket + 2 : RBD_PORT;
    } else if (colon != NULL && colon == strchr(text, ':')) {
        *ret_host = g_strndup(text, (gsize)(colon - text));
        *ret_port = colon + 1;
    } else {
        *ret_host = g_strdup(text);
    }
}

static void add_rbd(GString *out, const VolumeSource *s)
{
    add_text(out, "pool", s->pool);
    if (s->namespace != NULL) {
        add_text(out, "namespace", s->namespace);
    }
    add_text(out, "image", s->image);
    if (s->hosts->len == 0) {
        add_text(out, "conf", "/etc/pve/ceph.conf");
        return;
    }
    add_key(out, "auth-client-required");
    g_string_append(out, "[\"none\"]");
    add_key(out, "server");
    g_string_append_c(out, '[');
    for (guint i = 0; i < s->hosts->len; i++) {
        g_autofree char *host = NULL;
        const char *port;
        split_host(s->hosts->pdata[i], &host, &port);
        g_string_append(out, i > 0 ? "," : "");
        open_object(out);
        add_text(out, "host", host);
        add_text(out, "port", port);
        close_object(out);
    }
    g_string_append_c(out, ']');
}

static void add_protocol(GString *out, const VolumeSource *s, const DiskOptions *o)
{
    static const char *const drivers[] = {
        [SOURCE_FILE] = "file",
        [SOURCE_HOST_DEVICE] = "host_device",
        [SOURCE_HOST_CDROM] = "host_cdrom",
        [SOURCE_RBD] = "rbd",
        [SOURCE_ISCSI] = "iscsi",
    };

    open_object(out);
    add_text(out, "driver", drivers[s->kind]);
    switch (s->kind) {
    case SOURCE_FILE:
    case SOURCE_HOST_DEVICE:
    case SOURCE_HOST_CDROM:
        add_text(out, "filename", s->path);
        add_text(out, "aio", o->aio);
        break;
    case SOURCE_RBD:
        add_rbd(out, s);
        break;
    case SOURCE_ISCSI:
        add_text(out, "transport", "tcp");
        add_text(out, "portal", s->portal);
        add_text(out, "target", s->target);
        add_int(out, "lun", s->lun);
        break;
    }
    add_common(out, o);
    add_name(out, "data", o->drive);
    close_object(out);
}

static void add_format(GString *out, const VolumeSource *s, const DiskOptions *o)
{
    open_object(out);
    add_text(out, "driver", s->format);
    add_common(out, o);
    if (o->size > 0 && strcmp(s->format, "raw") == 0) {
        add_int(out, "size", o->size);
    }
    add_name(out, o->throttle ? "format" : "drive", o->drive);
    add_key(out, "file");
    add_protocol(out, s, o);
    close_object(out);
}

char *blockdev_json(const VolumeSource *source, const DiskOptions *o)
{
    GString *out = g_string_new(NULL);

    if (!o->throttle) {
        add_format(out, source, o);
        return g_string_free(out, FALSE);
    }
    open_object(out);
    add_text(out, "driver", "throttle");
    add_common(out, o);
    add_name(out, "drive", o->drive);
    add_key(out, "throttle-group");
    g_string_append_printf(out, "\"throttle-drive-%s\"", o->drive);
    add_key(out, "file");
    add_format(out, source, o);
    close_object(out);
    return g_string_free(out, FALSE);
}

char *blockdev_throttle_group(const char *drive, const GArray *limits)
{
    GString *out = g_string_new(NULL);

    open_object(out);
    add_text(out, "qom-type", "throttle-group");
    add_key(out, "id");
    g_string_append_printf(out, "\"throttle-drive-%s\"", drive);
    add_key(out, "limits");
    open_object(out);
    for (guint i = 0; i < limits->len; i++) {
        const DriveLimit *limit = &g_array_index(limits, DriveLimit, i);
        add_int(out, limit->name, limit->value);
    }
    close_object(out);
    close_object(out);
    return g_string_free(out, FALSE);
}

/* ----------------------------------------------------------------- -drive */

/* A value inside "rbd:...": `:` and `\` are QEMU's separators there. */
static void append_rbd_value(GString *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr(":\\@=", *text) != NULL) {
            g_string_append_c(out, '\\');
        }
        g_string_append_c(out, *text);
    }
}

static void append_rbd(GString *out, const VolumeSource *s, bool flash)
{
    g_string_append_printf(out, "rbd:%s/%s%s%s", s->pool, s->namespace != NULL ? s->namespace : "",
                           s->namespace != NULL ? "/" : "", s->image);
    if (s->hosts->len == 0) {
        g_string_append(out, ":conf=/etc/pve/ceph.conf");
    } else {
        g_string_append(out, ":mon_host=");
    }
    for (guint i = 0; i < s->hosts->len; i++) {
        const char *host = s->hosts->pdata[i];
        bool v6 = strchr(host, ':') != strrchr(host, ':') && host[0] != '[';
        g_string_append(out, i > 0 ? ";" : "");
        g_string_append(out, v6 ? "[" : "");
        append_rbd_value(out, host);
        g_string_append(out, v6 ? "]" : "");
    }
    if (s->keyring != NULL) {
        g_string_append_printf(out, ":auth_supported=cephx:id=%s:keyring=", s->user);
        append_rbd_value(out, s->keyring);
    } else if (s->hosts->len > 0) {
        g_string_append(out, ":auth_supported=none");
    }
    g_string_append(out, flash ? ":rbd_cache_policy=writeback" : "");
}

static void append_file(GString *out, const VolumeSource *s, bool flash)
{
    g_autoptr(GString) file = g_string_new(NULL);
    g_autofree char *escaped = NULL;

    switch (s->kind) {
    case SOURCE_FILE:
    case SOURCE_HOST_DEVICE:
    case SOURCE_HOST_CDROM:
        g_string_append(file, s->path); /* absolute: QEMU cannot take it for a protocol */
        break;
    case SOURCE_RBD:
        append_rbd(file, s, flash);
        break;
    case SOURCE_ISCSI:
        g_string_append_printf(file, "iscsi://%s/%s/%d", s->portal, s->target, s->lun);
        break;
    }
    escaped = cmd_escape(file->str);
    g_string_append_printf(out, "file=%s,", escaped);
}

static const char *cache_word(const DiskOptions *o)
{
    if (o->no_flush) {
        return "unsafe";
    }
    if (o->write_through) {
        return o->direct ? "directsync" : "writethrough";
    }
    return o->direct ? "none" : "writeback";
}

char *blockdev_drive(const VolumeSource *source, const DiskOptions *o, const GArray *limits)
{
    GString *out = g_string_new(NULL);

    if (source != NULL) {
        append_file(out, source, o->flash);
    }
    g_string_append_printf(out, "id=drive-%s", o->drive);
    g_string_append(out, o->cdrom ? ",media=cdrom" : "");
    if (source != NULL) {
        g_string_append_printf(out, ",format=%s,cache=%s", source->format, cache_word(o));
    }
    if (o->aio != NULL) {
        g_string_append_printf(out, ",aio=%s", o->aio);
    }
    if (g_strcmp0(o->discard, "unmap") == 0) {
        g_string_append(out, ",discard=on");
    }
    if (o->detect_zeroes != NULL) {
        g_string_append_printf(out, ",detect-zeroes=%s", o->detect_zeroes);
    }
    if (o->size > 0 && strcmp(source->format, "raw") == 0) {
        g_string_append_printf(out, ",size=%" G_GINT64_FORMAT, o->size);
    }
    if (o->read_only && !o->cdrom) {
        g_string_append(out, ",readonly=on");
    }
    if (o->overlay) {
        g_string_append(out, ",snapshot=on");
    }
    for (guint i = 0; limits != NULL && i < limits->len; i++) {
        const DriveLimit *limit = &g_array_index(limits, DriveLimit, i);
        g_string_append_printf(out, ",throttling.%s=%" G_GINT64_FORMAT, limit->name, limit->value);
    }
    return g_string_free(out, FALSE);
}

bool blockdev_needs_drive(const VolumeSource *source, const DiskOptions *o)
{
    return source->chain || source->keyring != NULL || o->overlay;
}
