/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_upid.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void upid_done(Upid *u)
{
    g_clear_pointer(&u->node, g_free);
    g_clear_pointer(&u->type, g_free);
    g_clear_pointer(&u->id, g_free);
    g_clear_pointer(&u->user, g_free);
}

static bool hex(const char *text, gsize min, gsize max, uint64_t *ret)
{
    gsize n = strlen(text);
    uint64_t v = 0;

    if (n < min || n > max) {
        return false;
    }
    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isxdigit(text[i])) {
            return false;
        }
        v = v * 16 + (uint64_t)g_ascii_xdigit_value(text[i]);
    }
    *ret = v;
    return true;
}

/* No separator, no blank, nothing that would make another path of a file name. */
static bool word(const char *text, bool may_be_empty)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((guchar)*c <= ' ' || *c == 0x7f || *c == '/' || *c == ':') {
            return false;
        }
    }
    return may_be_empty || *text != '\0';
}

static bool node_name(const char *text)
{
    gsize n = strlen(text);

    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isalnum(text[i]) && (text[i] != '-' || i == 0 || i + 1 == n)) {
            return false;
        }
    }
    return n > 0;
}

int upid_parse(const char *text, Upid *ret, Err *err)
{
    g_auto(GStrv) f = NULL;
    uint64_t pid, pstart, starttime;

    if (strnlen(text, WIRE_UPID_MAX + 1) > WIRE_UPID_MAX) {
        return err_setf(err, -EBADMSG, "a task id is too long");
    }
    f = g_strsplit(text, ":", 10);
    if (g_strv_length(f) != 9 || strcmp(f[0], "UPID") != 0 || *f[8] != '\0' || !node_name(f[1]) ||
        !hex(f[2], 8, 8, &pid) || !hex(f[3], 8, 9, &pstart) || !hex(f[4], 8, 8, &starttime) ||
        !word(f[5], false) || !word(f[6], true) || !word(f[7], false)) {
        return err_setf(err, -EBADMSG, "unable to parse worker upid '%s'", text);
    }
    *ret = (Upid){.node = g_strdup(f[1]),
                  .type = g_strdup(f[5]),
                  .id = g_strdup(f[6]),
                  .user = g_strdup(f[7]),
                  .pid = (uint32_t)pid,
                  .pstart = pstart,
                  .starttime = (uint32_t)starttime};
    return 0;
}

char *upid_format(const Upid *u)
{
    return g_strdup_printf("UPID:%s:%08X:%08" G_GINT64_MODIFIER "X:%08X:%s:%s:%s:", u->node, u->pid,
                           u->pstart, u->starttime, u->type, u->id, u->user);
}
