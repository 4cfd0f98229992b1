/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/jointoken.h"

#include "lib/base/hextext.h"
#include "lib/base/jsontext.h"
#include "quorum/core/joinjson.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define PREFIX "PVEJ1."

/* ---- hex and base64url ---------------------------------------------------------------------- */

static void wipe_text(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        g_free(text);
    }
}

char *jointoken_id_text(const uint8_t id[JOINTOKEN_ID_SIZE])
{
    return hextext_format(id, JOINTOKEN_ID_SIZE);
}

/* ---- making -------------------------------------------------------------------------------- */

static bool valid_address(const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n > 255) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g_ascii_isalnum(text[i]) && strchr(".-:[]%", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool valid_cluster(const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n > 63) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g_ascii_isalnum(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return true;
}

int jointoken_make(const char *cluster,
                   const char *const *addresses,
                   const uint8_t ca[JOINTOKEN_CA_SIZE],
                   const uint8_t *random,
                   WallTime expires,
                   JoinToken *ret,
                   Err *err)
{
    g_auto(JoinToken) t = {.expires = expires, .addresses = g_ptr_array_new_with_free_func(g_free)};

    if (!valid_cluster(cluster)) {
        return err_setf(err, -EINVAL, "'%s' is no cluster name", cluster);
    }
    t.cluster = g_strdup(cluster);
    for (guint i = 0; addresses[i] != NULL && i < JOINTOKEN_ADDRESSES_MAX; i++) {
        if (!valid_address(addresses[i])) {
            return err_setf(err, -EINVAL, "'%s' is no address", addresses[i]);
        }
        g_ptr_array_add(t.addresses, g_strdup(addresses[i]));
    }
    if (t.addresses->len == 0) {
        return err_setf(err, -EINVAL, "a token needs at least one member address");
    }
    memcpy(t.ca, ca, sizeof t.ca);
    memcpy(t.id, random, sizeof t.id);
    memcpy(t.secret, random + sizeof t.id, sizeof t.secret);
    *ret = t;
    t = (JoinToken){0};
    return 0;
}

void jointoken_done(JoinToken *t)
{
    g_clear_pointer(&t->cluster, g_free);
    g_clear_pointer(&t->addresses, g_ptr_array_unref);
    explicit_bzero(t->secret, sizeof t->secret);
}

char *jointoken_format(const JoinToken *t)
{
    g_autoptr(GString) json = g_string_sized_new(1024); /* no growth: no stray copy of the secret */
    g_autofree char *id = hextext_format(t->id, sizeof t->id);
    g_autofree char *ca = hextext_format(t->ca, sizeof t->ca);
    char *secret = hextext_format(t->secret, sizeof t->secret);
    char *base64, *line;

    g_string_append_printf(json, "{\"v\":1,\"cluster\":\"%s\",\"id\":\"%s\",\"secret\":\"%s\",",
                           t->cluster, id, secret);
    g_string_append_printf(json, "\"ca\":\"%s\",\"expires\":%" G_GINT64_FORMAT ",\"addresses\":[",
                           ca, t->expires.sec);
    for (guint i = 0; i < t->addresses->len; i++) {
        g_string_append(json, i > 0 ? "," : "");
        json_append_string(json, g_ptr_array_index(t->addresses, i));
    }
    g_string_append(json, "]}");
    base64 = g_base64_encode((const guchar *)json->str, json->len);
    g_strdelimit(base64, "+", '-');
    g_strdelimit(base64, "/", '_');
    line = g_strconcat(PREFIX, g_strdelimit(base64, "=", '\0'), NULL);
    explicit_bzero(json->str, json->len);
    wipe_text(secret);
    wipe_text(base64);
    return line;
}

void jointoken_free_line(char *line)
{
    wipe_text(line);
}

/* ---- reading ------------------------------------------------------------------------------- */

bool jointoken_looks_like(const char *text)
{
    while (g_ascii_isspace(*text)) {
        text++;
    }
    return g_str_has_prefix(text, PREFIX);
}

/* The decoded payload with a NUL behind it; NULL when it is no base64url. */
static char *decode_line(const char *line, gsize *ret_size)
{
    g_autoptr(GString) base64 = g_string_new(NULL);
    char *payload;

    while (g_ascii_isspace(*line)) {
        line++;
    }
    if (!g_str_has_prefix(line, PREFIX)) {
        return NULL;
    }
    for (line += strlen(PREFIX); *line != '\0' && !g_ascii_isspace(*line); line++) {
        if (!g_ascii_isalnum(*line) && *line != '-' && *line != '_') {
            return NULL;
        }
        g_string_append_c(base64, *line == '-' ? '+' : *line == '_' ? '/' : *line);
    }
    while (g_ascii_isspace(*line)) {
        line++;
    }
    if (*line != '\0' || base64->len == 0 || base64->len % 4 == 1) {
        return NULL;
    }
    while (base64->len % 4 != 0) {
        g_string_append_c(base64, '=');
    }
    g_base64_decode_inplace(base64->str, ret_size);
    base64->str[*ret_size] = '\0';
    payload = g_strndup(base64->str, *ret_size);
    explicit_bzero(base64->str, base64->len);
    return payload;
}

static int read_addresses(JsonObject *o, JoinToken *t, Err *err)
{
    JsonNode *node = json_object_get_member(o, "addresses");
    JsonArray *array =
        node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint n = array != NULL ? json_array_get_length(array) : 0;

    if (n == 0 || n > JOINTOKEN_ADDRESSES_MAX) {
        return err_setf(err, -EBADMSG, "the token names %s member addresses",
                        n == 0 ? "no" : "too many");
    }
    for (guint i = 0; i < n; i++) {
        JsonNode *item = json_array_get_element(array, i);
        const char *text =
            json_node_get_value_type(item) == G_TYPE_STRING ? json_node_get_string(item) : NULL;

        if (text == NULL || !valid_address(text)) {
            return err_setf(err, -EBADMSG, "the token holds a member address that is none");
        }
        g_ptr_array_add(t->addresses, g_strdup(text));
    }
    return 0;
}

static int read_object(JsonObject *o, JoinToken *t, Err *err)
{
    const char *cluster = joinjson_text(o, "cluster");
    int64_t v = 0;

    if (!joinjson_number(o, "v", &v) || v != 1) {
        return err_setf(err, -EBADMSG, "the token is of an unknown version: update this node");
    }
    if (cluster == NULL || !valid_cluster(cluster) ||
        !hextext_parse(joinjson_text(o, "id"), t->id, sizeof t->id) ||
        !hextext_parse(joinjson_text(o, "secret"), t->secret, sizeof t->secret) ||
        !hextext_parse(joinjson_text(o, "ca"), t->ca, sizeof t->ca) ||
        !joinjson_number(o, "expires", &t->expires.sec)) {
        return err_setf(err, -EBADMSG, "the token is damaged: was it copied whole?");
    }
    t->cluster = g_strdup(cluster);
    return read_addresses(o, t, err);
}

int jointoken_parse(const char *line, JoinToken *ret, Err *err)
{
    g_auto(JoinToken) t = {.addresses = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    gsize size = 0;
    char *payload;
    JsonNode *root;
    int r;

    if (strnlen(line, JOINTOKEN_LINE_MAX + 1) > JOINTOKEN_LINE_MAX) {
        return err_setf(err, -EBADMSG, "the token is longer than any token can be");
    }
    payload = decode_line(line, &size);
    if (payload == NULL) {
        return err_setf(err, -EBADMSG,
                        "this is no join token: one begins with %s, and is to be copied whole",
                        PREFIX);
    }
    /* Texts with NUL, deep nesting or wrong UTF-8 are refused by the parser or the checks below. */
    if (json_check_outline(payload, size, JSON_DEPTH_MAX, NULL) < 0 ||
        !json_parser_load_from_data(parser, payload, (gssize)size, NULL) ||
        (root = json_parser_get_root(parser)) == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        r = err_setf(err, -EBADMSG, "the token is damaged: was it copied whole?");
    } else {
        r = read_object(json_node_get_object(root), &t, err);
    }
    wipe_text(payload);
    if (r < 0) {
        return r;
    }
    *ret = t;
    t = (JoinToken){0};
    return 0;
}

/* ---- keys and proofs ------------------------------------------------------------------------ */

static void hmac(const uint8_t *key,
                 size_t key_size,
                 const char *label,
                 const uint8_t *data,
                 size_t size,
                 const char *text,
                 uint8_t ret[JOINTOKEN_KEY_SIZE])
{
    GHmac *h = g_hmac_new(G_CHECKSUM_SHA256, key, key_size);
    gsize n = JOINTOKEN_KEY_SIZE;

    g_hmac_update(h, (const guchar *)label, (gssize)strlen(label) + 1);
    g_hmac_update(h, data, (gssize)size);
    g_hmac_update(h, (const guchar *)text, (gssize)strlen(text));
    g_hmac_get_digest(h, ret, &n);
    g_hmac_unref(h);
}

void jointoken_derive(const uint8_t secret[JOINTOKEN_SECRET_SIZE],
                      uint8_t ret_key[JOINTOKEN_KEY_SIZE])
{
    hmac(secret, JOINTOKEN_SECRET_SIZE, "quorate-join-key-v1", (const uint8_t *)"", 0, "", ret_key);
}

void jointoken_proof(const uint8_t key[JOINTOKEN_KEY_SIZE],
                     const uint8_t exporter[JOINTOKEN_EXPORTER_SIZE],
                     const char *node_name,
                     uint8_t ret_proof[JOINTOKEN_KEY_SIZE])
{
    hmac(key, JOINTOKEN_KEY_SIZE, "quorate-join-proof-v1", exporter, JOINTOKEN_EXPORTER_SIZE,
         node_name, ret_proof);
}

bool jointoken_same_proof(const uint8_t a[JOINTOKEN_KEY_SIZE], const uint8_t b[JOINTOKEN_KEY_SIZE])
{
    uint8_t diff = 0;

    for (size_t i = 0; i < JOINTOKEN_KEY_SIZE; i++) {
        diff |= (uint8_t)(a[i] ^ b[i]);
    }
    return diff == 0;
}

/* ---- record -------------------------------------------------------------------------------- */

void join_record_done(JoinRecord *r)
{
    explicit_bzero(r->key, sizeof r->key);
    g_clear_pointer(&r->node, g_free);
    g_clear_pointer(&r->used_by, g_free);
    g_clear_pointer(&r->made_by, g_free);
}

char *join_record_format(const JoinRecord *r)
{
    GString *out = g_string_sized_new(512);
    char *key = hextext_format(r->key, sizeof r->key);

    g_string_append_printf(out, "version: 1\nkey: %s\nexpires: %" G_GINT64_FORMAT "\nuses: %u\n",
                           key, r->expires.sec, r->uses_left);
    g_string_append_printf(out, "votes: %u\n", r->votes);
    if (r->node != NULL) {
        g_string_append_printf(out, "node: %s\n", r->node);
    }
    if (r->used_by != NULL) {
        g_string_append_printf(out, "used-by: %s\n", r->used_by);
    }
    if (r->staged.sec != 0) {
        g_string_append_printf(out, "staged: %" G_GINT64_FORMAT "\n", r->staged.sec);
    }
    if (r->made_by != NULL) {
        g_string_append_printf(out, "made-by: %s\n", r->made_by);
    }
    wipe_text(key);
    return g_string_free(out, FALSE);
}

static bool record_number(const char *value, int64_t max, int64_t *ret)
{
    gint64 v;

    if (!g_ascii_string_to_signed(value, 10, 0, max, &v, NULL)) {
        return false;
    }
    *ret = v;
    return true;
}

typedef struct RecordSeen {
    bool version, key, expires, uses;
} RecordSeen;

static bool record_line(JoinRecord *r, RecordSeen *seen, const char *name, const char *value)
{
    int64_t v = 0;

    if (strcmp(name, "version") == 0) {
        seen->version = strcmp(value, "1") == 0;
        return seen->version;
    }
    if (strcmp(name, "key") == 0) {
        seen->key = hextext_parse(value, r->key, sizeof r->key);
        return seen->key;
    }
    if (strcmp(name, "expires") == 0) {
        seen->expires = record_number(value, INT64_MAX, &r->expires.sec);
        return seen->expires;
    }
    if (strcmp(name, "uses") == 0 && record_number(value, 1000, &v)) {
        r->uses_left = (uint32_t)v;
        seen->uses = true;
        return true;
    }
    if (strcmp(name, "staged") == 0) {
        return record_number(value, INT64_MAX, &r->staged.sec);
    }
    if (strcmp(name, "votes") == 0 && record_number(value, 255, &v)) {
        r->votes = (uint32_t)v;
        return true;
    }
    char **slot = strcmp(name, "node") == 0      ? &r->node
                  : strcmp(name, "used-by") == 0 ? &r->used_by
                  : strcmp(name, "made-by") == 0 ? &r->made_by
                                                 : NULL;
    if (slot == NULL || *slot != NULL) {
        return false;
    }
    *slot = g_strdup(value);
    return true;
}

int join_record_parse(const char *text, size_t size, JoinRecord *ret, Err *err)
{
    g_auto(JoinRecord) r = {.votes = 1};
    g_auto(GStrv) lines = NULL;
    g_autofree char *copy = NULL;
    RecordSeen seen = {0};

    if (size == 0 || size > JOINTOKEN_LINE_MAX || memchr(text, '\0', size) != NULL) {
        return err_setf(err, -EBADMSG, "the token record is no small text");
    }
    copy = g_strndup(text, size);
    lines = g_strsplit(copy, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        char *colon = strstr(lines[i], ": ");

        if (*lines[i] == '\0') {
            continue;
        }
        if (colon != NULL) {
            *colon = '\0';
        }
        if (colon == NULL || !record_line(&r, &seen, lines[i], colon + 2)) {
            return err_setf(err, -EBADMSG, "line %u of the token record is damaged", i + 1);
        }
    }
    if (!seen.version || !seen.key || !seen.expires || !seen.uses) {
        return err_setf(err, -EBADMSG, "the token record is incomplete");
    }
    *ret = r;
    r = (JoinRecord){0};
    return 0;
}

int join_record_check(const JoinRecord *r, const char *node, WallTime now, Err *err)
{
    if (r->node != NULL && strcmp(r->node, node) != 0) {
        return err_setf(err, -EPERM, "this token is for a node named '%s', not '%s'", r->node,
                        node);
    }
    if (now.sec >= r->expires.sec) {
        return err_setf(err, -ETIME, "this token has expired; make a new one with 'pvecm token'");
    }
    if (r->used_by != NULL && strcmp(r->used_by, node) == 0) {
        return 0; /* the same node tries again */
    }
    if (r->uses_left == 0) {
        return err_setf(err, -EALREADY,
                        "this token was used already%s%s; make a new one with "
                        "'pvecm token'",
                        r->used_by != NULL ? " by node " : "",
                        r->used_by != NULL ? r->used_by : "");
    }
    return 0;
}
