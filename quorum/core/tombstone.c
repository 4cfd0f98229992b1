/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/tombstone.h"

#include "lib/conf/corosync_nodes.h"

#include <errno.h>
#include <string.h>

void tombstone_done(Tombstone *t)
{
    g_clear_pointer(&t->node, g_free);
    g_clear_pointer(&t->by, g_free);
}

char *tombstone_format(const Tombstone *t)
{
    return g_strdup_printf("version: 1\nnode: %s\nnodeid: %u\nwhen: %" G_GINT64_FORMAT
                           "\nby: %s\nhow: %s\n",
                           t->node, t->nodeid, t->when.sec, t->by, t->left ? "left" : "removed");
}

static bool take_name(char **name, const char *value)
{
    if (*name != NULL || !corosync_valid_name(value)) {
        return false;
    }
    *name = g_strdup(value);
    return true;
}

static bool take(Tombstone *t, const char *key, const char *value, bool *ret_version)
{
    guint64 v = 0;

    if (strcmp(key, "version") == 0) {
        *ret_version = strcmp(value, "1") == 0;
        return *ret_version;
    }
    if (strcmp(key, "node") == 0) {
        return take_name(&t->node, value);
    }
    if (strcmp(key, "by") == 0) {
        return take_name(&t->by, value);
    }
    if (strcmp(key, "nodeid") == 0) {
        bool good = g_ascii_string_to_unsigned(value, 10, 1, UINT32_MAX, &v, NULL);

        t->nodeid = (uint32_t)v;
        return good;
    }
    if (strcmp(key, "when") == 0) {
        bool good = g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &v, NULL);

        t->when.sec = (int64_t)v;
        return good;
    }
    if (strcmp(key, "how") == 0) {
        t->left = strcmp(value, "left") == 0;
        return t->left || strcmp(value, "removed") == 0;
    }
    return true; /* of a newer version of us */
}

int tombstone_parse(const char *text, size_t size, Tombstone *ret, Err *err)
{
    g_auto(Tombstone) t = {0};
    g_autofree char *copy = NULL;
    g_auto(GStrv) lines = NULL;
    bool version = false;

    if (size > TOMBSTONE_SIZE_MAX || memchr(text, '\0', size) != NULL) {
        return err_setf(err, -EBADMSG, "the tombstone is no text of a sensible size");
    }
    copy = g_strndup(text, size);
    lines = g_strsplit(copy, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        char *colon = strstr(lines[i], ": ");

        if (lines[i][0] == '\0') {
            continue;
        }
        if (colon == NULL) {
            return err_setf(err, -EBADMSG, "tombstone, line %u: no 'key: value'", i + 1);
        }
        *colon = '\0';
        if (!take(&t, lines[i], colon + 2, &version)) {
            return err_setf(err, -EBADMSG, "tombstone, line %u: bad '%s'", i + 1, lines[i]);
        }
    }
    if (!version || t.node == NULL || t.by == NULL || t.nodeid == 0) {
        return err_setf(err, -EBADMSG, "the tombstone lacks version, node, nodeid or by");
    }
    *ret = t;
    t = (Tombstone){0};
    return 0;
}

char *tombstone_text(const Tombstone *t, const char *cluster)
{
    g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc(t->when.sec);
    g_autofree char *date =
        when != NULL ? g_date_time_format(when, "%Y-%m-%d %H:%M UTC") : g_strdup("an unknown date");

    return g_strdup_printf(
        "node '%s' %s cluster '%s' on %s (by '%s'); it may join again with a new "
        "token: 'pvecm token' on a member, then 'pvecm add TOKEN' here",
        t->node, t->left ? "left" : "was removed from", cluster, date, t->by);
}
