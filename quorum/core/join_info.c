/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/join_info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FINGERPRINT_TEXT 95u
#define AUTHKEY_MAX      4096u
#define BLOB_LOOKS_MIN   40u

/* ---- configuration as objects ---------------------------------------------------------------- */

static void copy_keys(const CorosyncItem *section, JsonTree *out)
{
    for (guint i = 0; i < section->items->len; i++) {
        const CorosyncItem *item = g_ptr_array_index(section->items, i);

        if (item->kind == COROSYNC_ITEM_KEY) {
            jsontree_set_text(out, item->name, item->value);
        }
    }
}

JsonTree *join_info_totem(const CorosyncConf *conf)
{
    const CorosyncItem *totem = corosync_section(corosync_conf_root(conf), "totem");
    JsonTree *out = jsontree_new_object();
    JsonTree *interfaces = jsontree_new_object();

    if (totem != NULL) {
        g_autoptr(GPtrArray) sections = corosync_sections(totem, "interface");

        copy_keys(totem, out);
        for (guint i = 0; i < sections->len; i++) {
            const CorosyncItem *section = g_ptr_array_index(sections, i);
            const CorosyncItem *number = corosync_key(section, "linknumber");
            JsonTree *one = jsontree_new_object();

            number = number != NULL ? number : corosync_key(section, "ringnumber");
            copy_keys(section, one);
            jsontree_set(interfaces, number != NULL ? number->value : "0", one);
        }
    }
    jsontree_set(out, "interface", interfaces);
    return out;
}

JsonTree *join_info_nodes(const CorosyncConf *conf, bool with_node)
{
    const CorosyncItem *list = corosync_section(corosync_conf_root(conf), "nodelist");
    JsonTree *out = jsontree_new_array();
    g_autoptr(GPtrArray) sections = list != NULL ? corosync_sections(list, "node") : NULL;

    for (guint i = 0; sections != NULL && i < sections->len; i++) {
        const CorosyncItem *section = g_ptr_array_index(sections, i);
        const CorosyncItem *name = corosync_key(section, "name");
        const CorosyncItem *ring0 = corosync_key(section, "ring0_addr");
        const char *text = name != NULL ? name->value : ring0 != NULL ? ring0->value : "";
        JsonTree *one = jsontree_new_object();

        copy_keys(section, one);
        jsontree_set_text(one, "name", text);
        if (with_node) {
            jsontree_set_text(one, "node", text);
        }
        jsontree_add(out, one);
    }
    return out;
}

GPtrArray *join_info_addresses(const JsonTree *nodes, const char *node)
{
    GPtrArray *out;

    for (guint i = 0; i < jsontree_count(nodes); i++) {
        const JsonTree *one = jsontree_at(nodes, i);

        if (g_strcmp0(jsontree_get_text(one, "node"), node) != 0 &&
            g_strcmp0(jsontree_get_text(one, "name"), node) != 0) {
            continue;
        }
        out = g_ptr_array_new_with_free_func(g_free);
        for (unsigned k = 0; k < COROSYNC_LINKS_MAX; k++) {
            char key[16];
            const char *address;

            (void)snprintf(key, sizeof key, "ring%u_addr", k);
            if ((address = jsontree_get_text(one, key)) != NULL) {
                g_ptr_array_add(out, g_strdup(address));
            }
        }
        return out;
    }
    return NULL;
}

/* What the rules look at, of a node. */
static bool is_node_key(const char *key)
{
    return strcmp(key, "name") == 0 || strcmp(key, "nodeid") == 0 ||
           strcmp(key, "quorum_votes") == 0 || g_str_has_suffix(key, "_addr");
}

static void take_node(CorosyncItem *section, const JsonTree *node)
{
    for (guint i = 0; i < jsontree_count(node); i++) {
        const char *key = jsontree_key(node, i);
        const JsonTree *value = jsontree_at(node, i);
        g_autofree char *number = NULL;
        const char *text = jsontree_text(value);

        if (jsontree_kind(value) == JSONTREE_INT) {
            text = number = g_strdup_printf("%" G_GINT64_FORMAT, jsontree_int(value, 0));
        }
        if (text != NULL && *text != '\0' && strchr(text, '\n') == NULL && is_node_key(key)) {
            corosync_item_set(section, key, text);
        }
    }
    if (corosync_key(section, "name") == NULL && jsontree_get_text(node, "node") != NULL &&
        corosync_valid_name(jsontree_get_text(node, "node"))) {
        corosync_item_set(section, "name", jsontree_get_text(node, "node"));
    }
}

int join_info_conf(const JsonTree *nodes, const JsonTree *totem, CorosyncConf **ret, Err *err)
{
    g_autoptr(CorosyncConf) conf = corosync_conf_new();
    CorosyncItem *root = corosync_conf_root(conf);
    const JsonTree *interfaces = jsontree_get(totem, "interface");
    CorosyncItem *list = corosync_item_add_section(root, "nodelist");
    CorosyncItem *section = corosync_item_add_section(root, "totem");

    if (jsontree_kind(nodes) != JSONTREE_ARRAY || jsontree_count(nodes) > COROSYNC_NODES_MAX) {
        return err_setf(err, -EBADMSG, "the member's list of nodes cannot be read");
    }
    for (guint i = 0; i < jsontree_count(nodes); i++) {
        const JsonTree *node = jsontree_at(nodes, i);

        if (jsontree_kind(node) == JSONTREE_OBJECT) {
            take_node(corosync_item_add_section(list, "node"), node);
        }
    }
    for (guint i = 0; i < jsontree_count(interfaces); i++) {
        const char *link = jsontree_key(interfaces, i);

        if (g_ascii_string_to_unsigned(link, 10, 0, COROSYNC_LINKS_MAX - 1, NULL, NULL)) {
            corosync_item_set(corosync_item_add_section(section, "interface"), "linknumber", link);
        }
    }
    *ret = g_steal_pointer(&conf);
    return 0;
}

/* ---- the copied text ---------------------------------------------------------------------------
 */

static const JsonTree *node_named(const JsonTree *nodes, const char *name)
{
    for (guint i = 0; i < jsontree_count(nodes); i++) {
        const JsonTree *node = jsontree_at(nodes, i);

        if (g_strcmp0(jsontree_get_text(node, "name"), name) == 0) {
            return node;
        }
    }
    return NULL;
}

int join_info_blob(const JsonTree *data, char **ret, Err *err)
{
    const char *preferred = jsontree_get_text(data, "preferred_node");
    const JsonTree *node = node_named(jsontree_get(data, "nodelist"), preferred);
    const JsonTree *totem = jsontree_get(data, "totem");
    g_autoptr(JsonTree) out = jsontree_new_object();
    g_autoptr(GString) text = g_string_new(NULL);
    JsonTree *links = jsontree_new_object();
    JsonTree *list = jsontree_new_array();

    for (unsigned i = 0; node != NULL && i < COROSYNC_LINKS_MAX; i++) {
        char key[16], number[4];
        const char *address;

        (void)snprintf(key, sizeof key, "ring%u_addr", i);
        (void)snprintf(number, sizeof number, "%u", i);
        address = jsontree_get_text(node, key);
        if (address != NULL) {
            jsontree_set_text(links, number, address);
            jsontree_add(list, jsontree_new_text(address));
        }
    }
    jsontree_set_text(out, "ipAddress", jsontree_get_text(node, "pve_addr"));
    jsontree_set_text(out, "fingerprint", jsontree_get_text(node, "pve_fp"));
    jsontree_set(out, "peerLinks", links);
    jsontree_set(out, "ring_addr", list);
    if (node == NULL || totem == NULL || jsontree_get(out, "ipAddress") == NULL ||
        jsontree_get(out, "fingerprint") == NULL) {
        return err_setf(err, -EBADMSG, "the join information is incomplete");
    }
    jsontree_set(out, "totem", jsontree_copy(totem));
    jsontree_append(text, out);
    *ret = g_base64_encode((const guchar *)text->str, text->len);
    return 0;
}

void join_blob_done(JoinBlob *b)
{
    g_clear_pointer(&b->address, g_free);
    g_clear_pointer(&b->fingerprint, g_free);
    g_clear_pointer(&b->cluster, g_free);
}

bool join_blob_looks_like(const char *text)
{
    /* base64 of `{"` and of `{` with a blank or a line end. */
    return strlen(text) >= BLOB_LOOKS_MIN && text[0] == 'e' && (text[1] == 'y' || text[1] == 'w') &&
           strchr(text, '.') == NULL;
}

int join_blob_parse(const char *text, JoinBlob *ret, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    g_autofree guchar *json = NULL;
    const char *address, *fingerprint;
    uint8_t digest[32];
    gsize size = 0;
    int r;

    if (strnlen(text, JOIN_BLOB_MAX + 1) > JOIN_BLOB_MAX) {
        return err_setf(err, -EBADMSG, "the join information is longer than %u characters",
                        JOIN_BLOB_MAX);
    }
    json = g_base64_decode(text, &size);
    if ((r = jsontree_parse((const char *)json, size, &tree, err)) < 0) {
        return err_wrapf(err, -EBADMSG, "the join information is damaged");
    }
    address = jsontree_get_text(tree, "ipAddress");
    fingerprint = jsontree_get_text(tree, "fingerprint");
    if (address == NULL || *address == '\0' || strlen(address) > 253 ||
        strpbrk(address, " \t\r\n/@") != NULL) {
        return err_setf(err, -EBADMSG, "the join information names no address");
    }
    if (fingerprint == NULL || !join_fingerprint_parse(fingerprint, digest)) {
        return err_setf(err, -EBADMSG, "the join information has no proper fingerprint");
    }
    if (jsontree_kind(jsontree_get(tree, "totem")) != JSONTREE_OBJECT) {
        return err_setf(err, -EBADMSG, "the join information has no section 'totem'");
    }
    ret->address = g_strdup(address);
    ret->fingerprint = join_fingerprint_format(digest);
    ret->cluster = g_strdup(jsontree_get_text(jsontree_get(tree, "totem"), "cluster_name"));
    return 0;
}

bool join_fingerprint_parse(const char *text, uint8_t ret[32])
{
    uint8_t out[32];

    if (strnlen(text, FINGERPRINT_TEXT + 1) != FINGERPRINT_TEXT) {
        return false;
    }
    for (unsigned i = 0; i < sizeof out; i++) {
        int high = g_ascii_xdigit_value(text[3 * i]);
        int low = g_ascii_xdigit_value(text[3 * i + 1]);

        if (high < 0 || low < 0 || text[3 * i + 2] != (i + 1 < sizeof out ? ':' : '\0')) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret, out, sizeof out);
    return true;
}

char *join_fingerprint_format(const uint8_t digest[32])
{
    GString *out = g_string_sized_new(FINGERPRINT_TEXT + 1);

    for (unsigned i = 0; i < 32; i++) {
        g_string_append_printf(out, "%s%02X", i > 0 ? ":" : "", digest[i]);
    }
    return g_string_free(out, FALSE);
}

/* ---- corosync's key as text --------------------------------------------------------------------
 */

void join_authkey_append(GString *out, const uint8_t *key, gsize size)
{
    g_string_append_c(out, '"');
    for (gsize i = 0; i < size; i++) {
        if (key[i] < 0x20 || key[i] == '"' || key[i] == '\\' || key[i] == 0x7f) {
            g_string_append_printf(out, "\\u%04x", key[i]);
        } else {
            g_string_append_unichar(out, key[i]);
        }
    }
    g_string_append_c(out, '"');
}

#define NUL_STAND_IN 0x100u

/* Texts of our trees end at a NUL, but a key may hold some: their escapes become those of a
 * character that no byte has. */
static void replace_nuls(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if (*c != '\\') {
            continue;
        }
        if (strncmp(c, "\\u0000", 6) == 0) {
            c[3] = '1';
        }
        if (c[1] == '\0') {
            break;
        }
        c++; /* what is escaped is no backslash that escapes */
    }
}

static int authkey_decode(const char *text, uint8_t **ret, gsize *ret_size, Err *err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        uint8_t byte = u == NUL_STAND_IN ? 0 : (uint8_t)u;

        if (u > NUL_STAND_IN || out->len >= AUTHKEY_MAX) {
            return err_setf(err, -EBADMSG, "the cluster's key cannot be read");
        }
        g_byte_array_append(out, &byte, 1);
    }
    *ret_size = out->len;
    *ret = g_byte_array_free(g_steal_pointer(&out), FALSE);
    return 0;
}

void join_classic_answer_done(JoinClassicAnswer *a)
{
    if (a->authkey != NULL) {
        explicit_bzero(a->authkey, a->authkey_size);
        g_clear_pointer(&a->authkey, g_free);
    }
    g_clear_pointer(&a->conf, g_free);
    g_clear_pointer(&a->warnings, g_ptr_array_unref);
}

int join_classic_parse(char *text, JoinClassicAnswer *ret, Err *err)
{
    g_auto(JoinClassicAnswer) a = {0};
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *data, *warnings;
    const char *key, *conf;
    int r;

    replace_nuls(text);
    if ((r = jsontree_parse(text, strlen(text), &tree, err)) < 0) {
        return err_wrapf(err, -EBADMSG, "the member's answer");
    }
    data = jsontree_get(tree, "data");
    key = jsontree_get_text(data, "corosync_authkey");
    conf = jsontree_get_text(data, "corosync_conf");
    if (key == NULL || conf == NULL) {
        return err_setf(err, -EBADMSG, "the member's answer lacks key or configuration");
    }
    if ((r = authkey_decode(key, &a.authkey, &a.authkey_size, err)) < 0) {
        return r;
    }
    a.conf = g_strdup(conf);
    a.warnings = g_ptr_array_new_with_free_func(g_free);
    warnings = jsontree_get(data, "warnings");
    for (guint i = 0; i < jsontree_count(warnings); i++) {
        const char *line = jsontree_text(jsontree_at(warnings, i));

        if (line != NULL) {
            g_ptr_array_add(a.warnings, g_strdup(line));
        }
    }
    *ret = a;
    a = (JoinClassicAnswer){0};
    return 0;
}
