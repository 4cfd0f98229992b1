/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_qmp.h"

#include "lib/base/jsontext.h"

#include <errno.h>
#include <string.h>

void wire_qmp_clear(WireQmp *m)
{
    g_clear_pointer(&m->tree, jsontree_free);
    *m = (WireQmp){0};
}

static int refuse(const char *what, Err *err)
{
    return err_setf(err, -EBADMSG, "QMP: %s", what);
}

static int decode_error(WireQmp *m, const JsonTree *error, Err *err)
{
    m->kind = WIRE_QMP_ERROR;
    m->name = jsontree_get_text(error, "class");
    m->description = jsontree_get_text(error, "desc");
    if (m->name == NULL || m->description == NULL) {
        return refuse("an error without class or text", err);
    }
    return 0;
}

static int decode_event(WireQmp *m, Err *err)
{
    const JsonTree *when = jsontree_get(m->tree, "timestamp");
    int64_t seconds = jsontree_get_int(when, "seconds", 0);
    int64_t rest = jsontree_get_int(when, "microseconds", 0);

    m->kind = WIRE_QMP_EVENT;
    m->name = jsontree_get_text(m->tree, "event");
    m->data = jsontree_get(m->tree, "data");
    if (m->name == NULL) {
        return refuse("an event without name", err);
    }
    /* QEMU says -1 when the clock failed; nonsense from a peer is no time either. */
    if (seconds > 0 && seconds < INT64_MAX / 1000000 - 1 && rest >= 0 && rest < 1000000) {
        m->time_us = seconds * 1000000 + rest;
    }
    return 0;
}

static int decode_tree(WireQmp *m, Err *err)
{
    const JsonTree *id = jsontree_get(m->tree, "id");

    if (jsontree_kind(m->tree) != JSONTREE_OBJECT) {
        return refuse("a message that is no object", err);
    }
    if (id != NULL) {
        if (jsontree_kind(id) != JSONTREE_INT || jsontree_int(id, -1) < 0) {
            return refuse("an id that is not ours", err);
        }
        m->has_id = true;
        m->id = (uint64_t)jsontree_int(id, 0);
    }
    if (jsontree_get(m->tree, "return") != NULL) {
        m->kind = WIRE_QMP_RETURN;
        m->data = jsontree_get(m->tree, "return");
        return 0;
    }
    if (jsontree_get(m->tree, "error") != NULL) {
        return decode_error(m, jsontree_get(m->tree, "error"), err);
    }
    if (jsontree_get(m->tree, "event") != NULL) {
        return decode_event(m, err);
    }
    if (jsontree_get(m->tree, "QMP") != NULL) {
        m->kind = WIRE_QMP_GREETING;
        m->data = jsontree_get(m->tree, "QMP");
        return 0;
    }
    return refuse("a message that is neither answer, event nor greeting", err);
}

int wire_qmp_decode(const char *line, size_t len, WireQmp *ret, Err *err)
{
    g_auto(WireQmp) m = {0};
    int r;

    if (len > WIRE_QMP_LINE_MAX) {
        return err_setf(err, -E2BIG, "QMP: a message of %" G_GSIZE_FORMAT " bytes", len);
    }
    r = jsontree_parse(line, len, &m.tree, err);
    if (r < 0) {
        return err_wrapf(err, r, "QMP");
    }
    r = decode_tree(&m, err);
    if (r < 0) {
        return r;
    }
    *ret = m;
    m = (WireQmp){0};
    return 0;
}

static char *encode(const char *how, const char *command, const JsonTree *arguments, uint64_t id)
{
    GString *out = g_string_new("{");

    json_append_string(out, how);
    g_string_append_c(out, ':');

    json_append_string(out, command);
    if (arguments != NULL) {
        g_string_append(out, ",\"arguments\":");
        jsontree_append(out, arguments);
    }
    g_string_append_printf(out, ",\"id\":%" G_GUINT64_FORMAT "}\n", id);
    return g_string_free(out, FALSE);
}

char *wire_qmp_encode(const char *command, const JsonTree *arguments, uint64_t id)
{
    return encode("execute", command, arguments, id);
}

char *wire_qmp_encode_oob(const char *command, const JsonTree *arguments, uint64_t id)
{
    return encode("exec-oob", command, arguments, id);
}

int wire_qmp_errno(const char *error_class)
{
    static const struct {
        const char *name;
        int code;
    } classes[] = {
        {"CommandNotFound", -EOPNOTSUPP},
        {"DeviceNotActive", -ENOTCONN},
        {"DeviceNotFound", -ENODEV},
        {"KVMMissingCap", -ENOTSUP},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (strcmp(classes[i].name, error_class) == 0) {
            return classes[i].code;
        }
    }
    return -EIO; /* GenericError, and whatever comes later */
}
