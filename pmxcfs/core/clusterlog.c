/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/clusterlog.h"

#include "lib/base/jsontext.h"
#include "lib/wire/wire_clog.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert(WIRE_CLOG_RING_SIZE == CFS_CLOG_SIZE, "one size of the ring");
_Static_assert(WIRE_CLOG_ENTRY_MAX == CFS_CLOG_ENTRY_MAX, "one size of an entry");

/* Merging stops here, so that the result still has room for one entry of any size. */
#define MERGE_SPACE (WIRE_CLOG_RING_SIZE - WIRE_CLOG_RING_HEAD - WIRE_CLOG_ENTRY_MAX)

/* Nodes remembered; a cluster has at most 128, the rest is for former ones. Bounds what a peer that
 * invents names can make us keep. */
#define SEEN_MAX 4096u

/* The longest piece of converted text plus its NUL: conversion stops when less than this is left.
 */
#define PIECE_MAX 7u

/* Newest entry known of one node. */
typedef struct Seen {
    uint64_t node_digest; /* key in the table */
    uint32_t time;
    uint32_t uid;
} Seen;

struct Clusterlog {
    char *nodename; /* cut as entries carry it */
    Tracer tracer;
    uint64_t node_digest;
    uint32_t uid;     /* last one given */
    GHashTable *seen; /* node digest -> Seen */
    uint8_t ring[WIRE_CLOG_RING_SIZE];
};

Clusterlog *clusterlog_new(const char *nodename, const Tracer *tracer)
{
    Clusterlog *log = g_new0(Clusterlog, 1);

    log->nodename = g_strndup(nodename, WIRE_CLOG_NAME_MAX);
    log->tracer = tracer != NULL ? *tracer : (Tracer){0};
    log->node_digest = wire_clog_digest(log->nodename);
    log->seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    wire_clog_ring_init(log->ring);
    return log;
}

void clusterlog_free(Clusterlog *log)
{
    if (log == NULL) {
        return;
    }
    g_hash_table_unref(log->seen);
    g_free(log->nodename);
    g_free(log);
}

/* ---- text ---- */

static int hex4(const char *s)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(s[i]);

        if (digit < 0) {
            return -1;
        }
        v = v << 4 | digit;
    }
    return v;
}

/* Length of the escape \uXXXX (or of a surrogate pair of them) at `s`, 0 when there is none that a
 * JSON parser would take. */
static size_t unicode_escape_len(const char *s)
{
    int v = s[0] == '\\' && s[1] == 'u' ? hex4(s + 2) : -1;

    if (v < 0 || (v >= 0xdc00 && v <= 0xdfff)) {
        return 0;
    }
    if (v < 0xd800 || v > 0xdbff) {
        return 6;
    }
    if (s[6] == '\\' && s[7] == 'u') {
        int low = hex4(s + 8);

        return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
    }
    return 0;
}

/* One character of valid UTF-8 -> at most 6 bytes. */
static void convert_char(gunichar c, char *piece, size_t size)
{
    if (c < 32 || c == 127) {
        g_snprintf(piece, size, "#%03u", c);
    } else if (c == '"' || c == '\\') {
        g_snprintf(piece, size, "\\%c", (char)c);
    } else if (c < 127) {
        g_snprintf(piece, size, "%c", (char)c);
    } else if (c <= 0xffff) {
        g_snprintf(piece, size, "\\u%04x", c);
    } else {
        piece[0] = '\0';
    }
}

/* One byte of text in an unknown encoding. */
static void convert_byte(uint8_t c, char *piece, size_t size)
{
    if (c >= 127) {
        g_snprintf(piece, size, "?");
    } else {
        convert_char(c, piece, size);
    }
}

void clusterlog_convert_text(const char *text, size_t space, GString *out)
{
    bool utf8 = g_utf8_validate(text, -1, NULL);
    char piece[PIECE_MAX];

    while (*text != '\0' && space >= PIECE_MAX) {
        size_t escape = unicode_escape_len(text);
        size_t len;

        if (escape > 0) { /* made by the caller: passes through, whole or not at all */
            if (escape >= space) {
                return;
            }
            g_string_append_len(out, text, (gssize)escape);
            text += escape;
            space -= escape;
            continue;
        }
        if (utf8) {
            convert_char(g_utf8_get_char(text), piece, sizeof piece);
            text = g_utf8_next_char(text);
        } else {
            convert_byte((uint8_t)*text++, piece, sizeof piece);
        }
        len = strlen(piece);
        g_string_append_len(out, piece, (gssize)len);
        space -= len;
    }
}

/* ---- what is new ---- */

static bool is_newer(const Clusterlog *log, uint64_t node_digest, uint32_t time, uint32_t uid)
{
    const Seen *seen = g_hash_table_lookup(log->seen, &node_digest);

    return seen == NULL || time > seen->time || (time == seen->time && uid > seen->uid);
}

/* False when the table is full. */
static bool remember(Clusterlog *log, uint64_t node_digest, uint32_t time, uint32_t uid)
{
    Seen *seen = g_hash_table_lookup(log->seen, &node_digest);

    if (seen == NULL) {
        if (g_hash_table_size(log->seen) >= SEEN_MAX && node_digest != log->node_digest) {
            return false;
        }
        seen = g_new0(Seen, 1);
        seen->node_digest = node_digest;
        g_hash_table_insert(log->seen, &seen->node_digest, seen);
    }
    seen->time = time;
    seen->uid = uid;
    return true;
}

/* Was the clock of a node that logs at `time` set back since it logged at `newest`? A small step is
 * bridged (see stamp_own); after a large one (a machine that came up in another year) the times
 * tell the truth again at once. */
static bool clock_was_reset(uint32_t newest, uint32_t time)
{
    return newest > time && newest - time > CLUSTERLOG_STEP_MAX_SEC;
}

/* Time and uid of the next own entry: later than all known ones of this node. A restart begins the
 * uids anew, and a clock may step back; the other members would drop such entries. */
static void stamp_own(Clusterlog *log, WallTime wall, uint32_t *ret_time, uint32_t *ret_uid)
{
    const Seen *seen = g_hash_table_lookup(log->seen, &log->node_digest);
    uint32_t time = wall_u32(wall);
    uint32_t uid = log->uid + 1;

    if (seen != NULL && time <= seen->time && !clock_was_reset(seen->time, time)) {
        time = seen->time;
        if (seen->uid == UINT32_MAX) {
            time += time < UINT32_MAX;
        } else if (uid <= seen->uid) {
            uid = seen->uid + 1;
        }
    }
    *ret_time = time;
    *ret_uid = uid;
}

int clusterlog_add(
    Clusterlog *log, const ClusterlogText *t, WallTime wall, GBytes **ret_entry, Err *err)
{
    g_autofree char *ident = g_strndup(t->ident, WIRE_CLOG_NAME_MAX);
    g_autofree char *tag = g_strndup(t->tag, WIRE_CLOG_NAME_MAX);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GBytes) bytes = NULL;
    WireClogEntry e = {.priority = t->priority, .pid = t->pid};
    size_t offset;
    int rc;

    if (t->priority > 7) {
        return err_setf(err, -EINVAL, "cluster log: no priority %u", t->priority);
    }
    offset = WIRE_CLOG_ENTRY_HEAD + strlen(log->nodename) + strlen(ident) + strlen(tag) + 3;
    clusterlog_convert_text(t->text, WIRE_CLOG_ENTRY_MAX - offset, text);
    stamp_own(log, wall, &e.time, &e.uid);
    e.node_digest = log->node_digest;
    e.ident_digest = wire_clog_digest(ident);
    e.node = log->nodename;
    e.ident = ident;
    e.tag = tag;
    e.text = text->str;
    rc = wire_clog_encode(&e, &bytes);
    assert(rc == 0); /* names were cut and the text was given its space above */
    log->uid = e.uid;
    (void)remember(log, e.node_digest, e.time, e.uid); /* there is always room for our own */
    wire_clog_ring_append(log->ring, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (ret_entry != NULL) {
        *ret_entry = g_steal_pointer(&bytes);
    }
    return 0;
}

static bool has_entry(const Clusterlog *log, const WireClogEntry *e)
{
    WireClogWalk w;
    WireClogEntry other;
    int rc = wire_clog_walk_init(&w, log->ring, WIRE_CLOG_RING_SIZE);

    assert(rc == 0); /* our own ring */
    while (wire_clog_walk_next(&w, &other, NULL, NULL)) {
        if (other.time == e->time && other.uid == e->uid && other.node_digest == e->node_digest) {
            return true;
        }
    }
    return false;
}

/* A message brings an entry once; it is old only when a merge has brought it already, or when the
 * clock of its node was set back. */
static bool is_old(const Clusterlog *log, const WireClogEntry *e)
{
    const Seen *seen = g_hash_table_lookup(log->seen, &e->node_digest);

    return !is_newer(log, e->node_digest, e->time, e->uid) &&
           (!clock_was_reset(seen->time, e->time) || has_entry(log, e));
}

int clusterlog_insert(Clusterlog *log, const void *entry, size_t size)
{
    WireClogEntry e;
    int rc = wire_clog_decode(entry, size, &e);

    if (rc < 0) {
        return rc;
    }
    if (is_old(log, &e)) {
        trace(&log->tracer, TRACE_DEBUG, "clusterlog: dropped old entry uid=%u time=%u", e.uid,
              e.time);
        return 0;
    }
    if (!remember(log, e.node_digest, e.time, e.uid)) {
        trace(&log->tracer, TRACE_WARNING, "clusterlog: too many nodes, entry dropped");
        return 0;
    }
    wire_clog_ring_append(log->ring, entry, size);
    return 1;
}

/* ---- order ---- */

/* An entry somewhere in a ring that outlives it. */
typedef struct Item {
    uint64_t node_digest;
    uint32_t time;
    uint32_t uid;
    const uint8_t *raw;
    size_t size;
} Item;

static int item_compare(gconstpointer a, gconstpointer b)
{
    const Item *x = a;
    const Item *y = b;

    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }
    if (x->node_digest != y->node_digest) {
        return x->node_digest < y->node_digest ? -1 : 1;
    }
    if (x->uid != y->uid) {
        return x->uid < y->uid ? -1 : 1;
    }
    return 0;
}

static int collect(GArray *items, const void *ring, size_t size)
{
    WireClogWalk w;
    WireClogEntry e;
    Item it;
    int rc = wire_clog_walk_init(&w, ring, size);

    if (rc < 0) {
        return rc;
    }
    while (wire_clog_walk_next(&w, &e, &it.raw, &it.size)) {
        it.node_digest = e.node_digest;
        it.time = e.time;
        it.uid = e.uid;
        g_array_append_val(items, it);
    }
    return 0;
}

/* Makes the ring anew from `items`[first..], which point into the old one or into other rings. */
static void rebuild(Clusterlog *log, const GArray *items, guint first)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);

    wire_clog_ring_init(ring);
    for (guint i = first; i < items->len; i++) {
        const Item *it = &g_array_index(items, Item, i);

        wire_clog_ring_append(ring, it->raw, it->size);
    }
    memcpy(log->ring, ring, WIRE_CLOG_RING_SIZE);
}

GBytes *clusterlog_state(Clusterlog *log)
{
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(Item));
    int rc = collect(items, log->ring, WIRE_CLOG_RING_SIZE);

    assert(rc == 0); /* our own ring */
    g_array_sort(items, item_compare);
    rebuild(log, items, 0);
    return g_bytes_new(log->ring, WIRE_CLOG_RING_SIZE);
}

void clusterlog_merge(Clusterlog *log, GBytes *const *rings, guint n_rings)
{
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(Item));
    uint32_t space = 0;
    guint first, kept;
    int rc = collect(items, log->ring, WIRE_CLOG_RING_SIZE);

    assert(rc == 0);
    for (guint i = 0; i < n_rings; i++) {
        size_t size;
        const void *data = g_bytes_get_data(rings[i], &size);

        if (data == NULL || collect(items, data, size) < 0) {
            trace(&log->tracer, TRACE_WARNING, "clusterlog: left out a malformed log of a member");
        }
    }
    g_array_sort(items, item_compare);
    /* From the newest down: drop duplicates by moving what stays to the end, until it is full. */
    first = kept = items->len;
    while (first > 0 && space < MERGE_SPACE) {
        const Item it = g_array_index(items, Item, --first);

        if (kept == items->len || item_compare(&it, &g_array_index(items, Item, kept)) != 0) {
            g_array_index(items, Item, --kept) = it;
            space += wire_clog_space(it.size);
        }
    }
    g_hash_table_remove_all(log->seen);
    for (guint i = kept; i < items->len; i++) { /* ascending: the last one stays */
        const Item *it = &g_array_index(items, Item, i);

        (void)remember(log, it->node_digest, it->time,
                       it->uid); /* full: those are not remembered */
    }
    rebuild(log, items, kept);
}

/* ---- dump ---- */

/* Escapes of stored text are kept: \" and \\ and \uXXXX, which is what conversion writes. Anything
 * else is made into valid JSON: a lone backslash or quote (older members store them), raw bytes. */
static void append_text(GString *out, const char *s)
{
    const char *plain = s; /* start of what is not yet appended */
    g_autoptr(GString) tmp = g_string_new(NULL);

    g_string_append_c(out, '"');
    for (;;) {
        size_t keep = 0;

        if (*s == '\\') {
            keep = s[1] == '"' || s[1] == '\\' ? 2 : unicode_escape_len(s);
        }
        if (*s == '\0' || keep > 0) {
            g_string_truncate(tmp, 0);
            json_append_string_len(tmp, plain, (gsize)(s - plain));
            g_string_append_len(out, tmp->str + 1, (gssize)tmp->len - 2);
            g_string_append_len(out, s, (gssize)keep);
            plain = s + keep;
        }
        if (*s == '\0') {
            break;
        }
        s += MAX(keep, 1);
    }
    g_string_append_c(out, '"');
}

static void append_entry(GString *out, const WireClogEntry *e)
{
    g_string_append_printf(out, "{\"uid\": %u, \"time\": %u, \"pri\": %u, \"tag\": ", e->uid,
                           e->time, e->priority);
    json_append_string(out, e->tag);
    g_string_append_printf(out, ", \"pid\": %u, \"node\": ", e->pid);
    json_append_string(out, e->node);
    g_string_append(out, ", \"user\": ");
    json_append_string(out, e->ident);
    g_string_append(out, ", \"msg\": ");
    append_text(out, e->text);
    g_string_append_c(out, '}');
}

void clusterlog_format(const Clusterlog *log, const char *user, uint32_t max, GString *out)
{
    bool filter = user != NULL && user[0] != '\0';
    uint64_t digest = filter ? wire_clog_digest(user) : 0;
    WireClogWalk w;
    WireClogEntry e;
    uint32_t n = 0;
    int rc = wire_clog_walk_init(&w, log->ring, WIRE_CLOG_RING_SIZE);

    assert(rc == 0);
    if (max == 0) {
        max = CLUSTERLOG_DUMP_DEFAULT;
    }
    g_string_append(out, "{\n\"data\": [\n");
    while (n < max && wire_clog_walk_next(&w, &e, NULL, NULL)) {
        if (filter && e.ident_digest != digest) {
            continue;
        }
        if (n++ > 0) {
            g_string_append(out, ",\n");
        }
        append_entry(out, &e);
    }
    g_string_append(out, n > 0 ? "\n]\n}\n" : "]\n}\n");
}
