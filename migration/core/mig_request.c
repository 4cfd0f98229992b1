/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

STRTAB_DEFINE(mig_compress, MigCompress, MIG_COMPRESS_LIST, MIG_COMPRESS_N)

#define VMID_MIN 100
#define VMID_MAX 999999999

static int text_member(const JsonTree *t, const char *key, char *ret, gsize size, Err *err)
{
    const char *text = jsontree_get_text(t, key);

    if (text != NULL && g_strlcpy(ret, text, size) >= size) {
        return err_setf(err, -EINVAL, "%s is too long", key);
    }
    return 0;
}

/* `ret` stays as it is when there is none. */
static int
number(const JsonTree *t, const char *key, int64_t min, int64_t max, int64_t *ret, Err *err)
{
    int64_t v = jsontree_get_int(t, key, *ret);

    if (v < min || v > max) {
        return err_setf(err, -EINVAL, "%s must be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, key,
                        min, max);
    }
    *ret = v;
    return 0;
}

/* Is it an address with the length of a network's prefix? */
static bool is_network(const char *text)
{
    g_autofree char *base = g_strndup(text, strcspn(text, "/"));
    unsigned char address[sizeof(struct in6_addr)];
    guint64 bits = inet_pton(AF_INET, base, address) == 1    ? 32
                   : inet_pton(AF_INET6, base, address) == 1 ? 128
                                                             : 0;

    return bits > 0 && text[strlen(base)] == '/' &&
           g_ascii_string_to_unsigned(text + strlen(base) + 1, 10, 0, bits, NULL, NULL);
}

static int read_network(const JsonTree *t, MigRequest *q, Err *err)
{
    int r = text_member(t, "migration_network", q->network, sizeof q->network, err);

    if (r == 0 && q->network[0] != '\0' && !is_network(q->network)) {
        return err_setf(err, -EINVAL, "migration_network '%s' is no network (10.0.0.0/24)",
                        q->network);
    }
    return r;
}

static int read_policy(const JsonTree *t, MigPolicy *ret, Err *err)
{
    const char *text = jsontree_get_text(t, "on-timeout");
    int v = text != NULL ? mig_policy_from_name(text) : MIG_POLICY_ABORT;

    if (v < 0) {
        return err_setf(err, -EINVAL, "on-timeout must be abort, throttle or postcopy");
    }
    *ret = (MigPolicy)v;
    return 0;
}

static int read_compress(const JsonTree *t, MigCompress *ret, Err *err)
{
    const char *text = jsontree_get_text(t, "compress");
    int v = text != NULL ? mig_compress_from_name(text) : MIG_COMPRESS_AUTO;

    if (v < 0) {
        return err_setf(err, -EINVAL, "compress must be auto, none or zstd");
    }
    *ret = (MigCompress)v;
    return 0;
}

static int read_type(const JsonTree *t, MigRequest *q, Err *err)
{
    const char *type = jsontree_get_text(t, "migration_type");

    q->has_type = type != NULL;
    q->insecure = g_strcmp0(type, "insecure") == 0;
    if (type != NULL && !q->insecure && strcmp(type, "secure") != 0) {
        return err_setf(err, -EINVAL, "migration_type must be secure or insecure");
    }
    return 0;
}

int mig_request_read(const JsonTree *t, MigRequest *ret, Err *err)
{
    MigRequest q = {.policy = MIG_POLICY_ABORT,
                    .channels = -1,
                    .downtime_ms = MIG_DOWNTIME_MS,
                    .timeout_s = MIG_TIMEOUT_S};
    int64_t vmid = jsontree_get_int(t, "vmid", 0);
    int r;

    if (vmid < VMID_MIN || vmid > VMID_MAX) {
        return err_setf(err, -EINVAL, "vmid must be %d to %d", VMID_MIN, VMID_MAX);
    }
    q.vmid = (uint32_t)vmid;
    q.online = jsontree_get_bool(t, "online", false);
    q.local_disks = jsontree_get_bool(t, "with-local-disks", false);
    q.force = jsontree_get_bool(t, "force", false);
    q.dry_run = jsontree_get_bool(t, "dry-run", false);
    if ((r = text_member(t, "target", q.target, sizeof q.target, err)) < 0 ||
        (r = text_member(t, "targetstorage", q.map, sizeof q.map, err)) < 0 ||
        (r = read_network(t, &q, err)) < 0 ||
        (r = number(t, "bwlimit", 0, INT64_C(1) << 40, &q.bwlimit_kib, err)) < 0 ||
        (r = number(t, "downtime", 1, MIG_DOWNTIME_MAX_MS, &q.downtime_ms, err)) < 0 ||
        (r = number(t, "timeout", 1, 7 * 24 * 3600, &q.timeout_s, err)) < 0 ||
        (jsontree_get(t, "channels") != NULL &&
         (r = number(t, "channels", 0, MIG_CHANNELS_MAX, &q.channels, err)) < 0) ||
        (r = read_policy(t, &q.policy, err)) < 0 || (r = read_compress(t, &q.compress, err)) < 0 ||
        (r = read_type(t, &q, err)) < 0 || (r = mig_map_check(q.map, err)) < 0) {
        return r;
    }
    if (q.target[0] == '\0') {
        return err_setf(err, -EINVAL, "target is missing");
    }
    *ret = q;
    return 0;
}

JsonTree *mig_request_write(const MigRequest *q)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_int(t, "vmid", q->vmid);
    jsontree_set_text(t, "target", q->target);
    jsontree_set_bool(t, "online", q->online);
    jsontree_set_bool(t, "with-local-disks", q->local_disks);
    jsontree_set_bool(t, "force", q->force);
    jsontree_set_bool(t, "dry-run", q->dry_run);
    if (q->has_type) {
        jsontree_set_text(t, "migration_type", q->insecure ? "insecure" : "secure");
    }
    if (q->map[0] != '\0') {
        jsontree_set_text(t, "targetstorage", q->map);
    }
    if (q->network[0] != '\0') {
        jsontree_set_text(t, "migration_network", q->network);
    }
    jsontree_set_int(t, "bwlimit", q->bwlimit_kib);
    jsontree_set_int(t, "downtime", q->downtime_ms);
    jsontree_set_int(t, "timeout", q->timeout_s);
    jsontree_set_text(t, "on-timeout", mig_policy_name(q->policy));
    jsontree_set_text(t, "compress", mig_compress_name(q->compress));
    if (q->channels >= 0) {
        jsontree_set_int(t, "channels", q->channels);
    }
    return t;
}

/* ---- the map --------------------------------------------------------------------------------- */

static bool storage_name(const char *s)
{
    if (!g_ascii_isalpha(*s)) {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (!g_ascii_isalnum(*s) && strchr("-_.", *s) == NULL) {
            return false;
        }
    }
    return true;
}

int mig_map_check(const char *map, Err *err)
{
    g_auto(GStrv) words = g_strsplit_set(map, ",; ", -1);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bool fallback = false;

    if (strcmp(map, "1") == 0) {
        return 0;
    }
    for (int i = 0; words[i] != NULL; i++) {
        char *colon = strchr(words[i], ':');

        if (*words[i] == '\0') {
            continue;
        }
        if (colon != NULL) {
            *colon = '\0';
        }
        if (!storage_name(words[i]) || (colon != NULL && !storage_name(colon + 1))) {
            return err_setf(err, -EINVAL, "targetstorage: '%s' is no storage", words[i]);
        }
        if (colon == NULL && fallback) {
            return err_setf(err, -EINVAL, "targetstorage: only one default is possible");
        }
        if (colon != NULL && !g_hash_table_add(seen, g_strdup(words[i]))) {
            return err_setf(err, -EINVAL, "targetstorage: '%s' is named twice", words[i]);
        }
        fallback = fallback || colon == NULL;
    }
    return 0;
}

char *mig_map_storage(const char *map, const char *source)
{
    g_auto(GStrv) words = g_strsplit_set(map, ",; ", -1);
    const char *fallback = NULL;

    if (strcmp(map, "1") == 0) {
        return g_strdup(source);
    }
    for (int i = 0; words[i] != NULL; i++) {
        char *colon = strchr(words[i], ':');

        if (colon == NULL) {
            fallback = *words[i] != '\0' ? words[i] : fallback;
        } else if ((gsize)(colon - words[i]) == strlen(source) &&
                   strncmp(words[i], source, strlen(source)) == 0) {
            return g_strdup(colon + 1);
        }
    }
    return g_strdup(fallback != NULL ? fallback : source);
}

int64_t mig_least_limit(int64_t a, int64_t b)
{
    return a == 0 ? b : b == 0 ? a : MIN(a, b);
}
