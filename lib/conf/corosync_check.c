/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/corosync_check.h"

#include "lib/conf/corosync_nodes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void problem_free(void *p)
{
    CorosyncProblem *problem = p;

    g_free(problem->text);
    g_free(problem);
}

static void
add_problem(GPtrArray *problems, CorosyncSeverity severity, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void
add_problem(GPtrArray *problems, CorosyncSeverity severity, unsigned line, const char *fmt, ...)
{
    CorosyncProblem *problem = g_new0(CorosyncProblem, 1);
    va_list ap;

    problem->severity = severity;
    problem->line = line;
    va_start(ap, fmt);
    problem->text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_ptr_array_add(problems, problem);
}

static bool parse_u32(const char *text, uint32_t max, uint32_t *ret)
{
    guint64 v;

    if (!g_ascii_string_to_unsigned(text, 10, 0, max, &v, NULL)) {
        return false;
    }
    *ret = (uint32_t)v;
    return true;
}

/* AF_INET, AF_INET6, or 0 for a host name. */
static int address_family(const char *text)
{
    unsigned char buf[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, text, buf) == 1) {
        return AF_INET;
    }
    return inet_pton(AF_INET6, text, buf) == 1 ? AF_INET6 : 0;
}

/* ---- repeated sections and keys ------------------------------------------------------------- */

static bool may_repeat(const CorosyncItem *item)
{
    return item->kind == COROSYNC_ITEM_SECTION &&
           (strcmp(item->name, "node") == 0 || strcmp(item->name, "interface") == 0 ||
            strcmp(item->name, "logger_subsys") == 0);
}

static void check_repeats(const CorosyncItem *section, GPtrArray *problems)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < section->items->len; i++) {
        const CorosyncItem *item = g_ptr_array_index(section->items, i);
        bool is_section = item->kind == COROSYNC_ITEM_SECTION;

        if (item->kind == COROSYNC_ITEM_COMMENT) {
            continue;
        }
        if (is_section) {
            check_repeats(item, problems);
        }
        if (!may_repeat(item) &&
            !g_hash_table_add(seen, g_strdup_printf("%c%s", is_section ? 's' : 'k', item->name))) {
            add_problem(problems, COROSYNC_ERROR, item->line, "%s '%s' appears twice",
                        is_section ? "section" : "key", item->name);
        }
    }
}

/* ---- totem and quorum ----------------------------------------------------------------------- */

static void check_number(
    const CorosyncItem *section, const char *name, uint32_t min, uint32_t max, GPtrArray *problems)
{
    const CorosyncItem *key = corosync_key(section, name);
    uint32_t v;

    if (key != NULL && (!parse_u32(key->value, max, &v) || v < min)) {
        add_problem(problems, COROSYNC_ERROR, key->line, "'%s: %s' is no number from %u to %u",
                    name, key->value, min, max);
    }
}

static void check_word(const CorosyncItem *section,
                       const char *name,
                       const char *const *words,
                       GPtrArray *problems)
{
    const CorosyncItem *key = corosync_key(section, name);

    if (key != NULL && !g_strv_contains(words, key->value)) {
        g_autofree char *list = g_strjoinv(", ", (char **)words);

        add_problem(problems, COROSYNC_ERROR, key->line, "'%s: %s': expected one of %s", name,
                    key->value, list);
    }
}

static void check_security(const CorosyncItem *totem, GPtrArray *problems)
{
    const CorosyncItem *secauth = corosync_key(totem, "secauth");
    const CorosyncItem *cipher = corosync_key(totem, "crypto_cipher");

    if ((secauth == NULL || strcmp(secauth->value, "on") != 0) &&
        (cipher == NULL || strcmp(cipher->value, "none") == 0)) {
        add_problem(problems, COROSYNC_WARNING, totem->line,
                    "cluster traffic is neither signed nor encrypted: set 'secauth: on'");
    }
}

static void check_totem(const CorosyncItem *totem, GPtrArray *problems)
{
    static const char *const transports[] = {"knet", "udp", "udpu", NULL};
    static const char *const on_off[] = {"on", "off", NULL};
    static const char *const ip_versions[] = {"ipv4", "ipv6", "ipv6-4", "ipv4-6", NULL};
    static const char *const link_modes[] = {"passive", "active", "rr", NULL};
    const CorosyncItem *version = corosync_key(totem, "version");
    const CorosyncItem *config_version = corosync_key(totem, "config_version");
    const CorosyncItem *name = corosync_key(totem, "cluster_name");
    guint64 v;

    if (version == NULL || strcmp(version->value, "2") != 0) {
        add_problem(problems, COROSYNC_ERROR, version != NULL ? version->line : totem->line,
                    "'version: 2' is missing in totem");
    }
    if (config_version == NULL) {
        add_problem(problems, COROSYNC_ERROR, totem->line, "'config_version' is missing in totem");
    } else if (!g_ascii_string_to_unsigned(config_version->value, 10, 1, UINT64_MAX, &v, NULL)) {
        add_problem(problems, COROSYNC_ERROR, config_version->line,
                    "'config_version: %s' is no number above 0", config_version->value);
    }
    if (name == NULL) {
        add_problem(problems, COROSYNC_ERROR, totem->line, "'cluster_name' is missing in totem");
    }
    check_word(totem, "transport", transports, problems);
    check_word(totem, "secauth", on_off, problems);
    check_word(totem, "ip_version", ip_versions, problems);
    check_word(totem, "link_mode", link_modes, problems);
    check_number(totem, "token", 1, 3600000, problems);
    check_number(totem, "token_coefficient", 0, 3600000, problems);
    check_number(totem, "consensus", 1, 3600000, problems);
    check_number(totem, "netmtu", 400, 65535, problems);
    check_security(totem, problems);
}

static void check_interfaces(const CorosyncItem *totem, uint32_t *ret_links, GPtrArray *problems)
{
    g_autoptr(GPtrArray) interfaces = corosync_sections(totem, "interface");

    *ret_links = 0;
    for (guint i = 0; i < interfaces->len; i++) {
        const CorosyncItem *item = g_ptr_array_index(interfaces, i);
        const CorosyncItem *number = corosync_key(item, "linknumber");
        uint32_t link = 0;

        number = number != NULL ? number : corosync_key(item, "ringnumber");
        if (number != NULL && !parse_u32(number->value, COROSYNC_LINKS_MAX - 1, &link)) {
            add_problem(problems, COROSYNC_ERROR, number->line, "'%s: %s' is no link from 0 to %u",
                        number->name, number->value, COROSYNC_LINKS_MAX - 1);
            continue;
        }
        if (*ret_links & 1u << link) {
            add_problem(problems, COROSYNC_ERROR, item->line, "link %u has two interface sections",
                        link);
        }
        *ret_links |= 1u << link;
        check_number(item, "knet_link_priority", 0, COROSYNC_PRIORITY_MAX, problems);
        check_number(item, "mcastport", 1, 65535, problems);
    }
}

static void check_quorum(const CorosyncItem *quorum, GPtrArray *problems)
{
    const CorosyncItem *provider = corosync_key(quorum, "provider");

    if (provider == NULL || strcmp(provider->value, "corosync_votequorum") != 0) {
        add_problem(problems, COROSYNC_ERROR, provider != NULL ? provider->line : quorum->line,
                    "'provider: corosync_votequorum' is missing in quorum");
    }
    check_number(quorum, "expected_votes", 1, 65535, problems);
    check_number(quorum, "two_node", 0, 1, problems);
    check_number(quorum, "wait_for_all", 0, 1, problems);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

typedef struct NodeChecks {
    GHashTable *ids, *names, *addresses; /* text -> 1 */
    uint32_t links_all;                  /* links that some node has */
    int family[COROSYNC_LINKS_MAX];      /* of the first address seen per link; 0: none yet */
} NodeChecks;

/* "ring3_addr" or "link3_addr": 3; anything else: -1. */
static int address_link(const char *key)
{
    if ((strncmp(key, "ring", 4) == 0 || strncmp(key, "link", 4) == 0) && g_ascii_isdigit(key[4]) &&
        strcmp(key + 5, "_addr") == 0) {
        return key[4] - '0';
    }
    return -1;
}

static void check_address(NodeChecks *c, const CorosyncItem *key, int link, GPtrArray *problems)
{
    int family = address_family(key->value);

    if (link >= (int)COROSYNC_LINKS_MAX) {
        add_problem(problems, COROSYNC_ERROR, key->line, "'%s': links go from 0 to %u", key->name,
                    COROSYNC_LINKS_MAX - 1);
        return;
    }
    if (!g_hash_table_add(c->addresses, g_ascii_strdown(key->value, -1))) {
        add_problem(problems, COROSYNC_ERROR, key->line,
                    "address '%s' is used twice; this can bring the whole cluster down",
                    key->value);
    }
    if (family == 0) {
        add_problem(problems, COROSYNC_WARNING, key->line,
                    "'%s: %s' is a host name; use the address, so that the cluster does not depend "
                    "on name resolution",
                    key->name, key->value);
        return;
    }
    if (c->family[link] != 0 && c->family[link] != family) {
        add_problem(problems, COROSYNC_ERROR, key->line,
                    "link %d mixes IPv4 and IPv6 addresses ('%s')", link, key->value);
    }
    c->family[link] = family;
}

static uint32_t check_node(NodeChecks *c, const CorosyncItem *node, GPtrArray *problems)
{
    const CorosyncItem *id = corosync_key(node, "nodeid");
    const CorosyncItem *name = corosync_key(node, "name");
    uint32_t links = 0;
    uint32_t v;

    if (id == NULL) {
        add_problem(problems, COROSYNC_ERROR, node->line, "node without 'nodeid'");
    } else if (!parse_u32(id->value, UINT32_MAX, &v) || v == 0) {
        add_problem(problems, COROSYNC_ERROR, id->line, "'nodeid: %s' is no number above 0",
                    id->value);
    } else if (!g_hash_table_add(c->ids, g_strdup_printf("%u", v))) {
        add_problem(problems, COROSYNC_ERROR, id->line, "node id %u is used twice", v);
    }
    if (name == NULL) {
        add_problem(problems, COROSYNC_WARNING, node->line, "node without 'name'");
    } else if (!g_hash_table_add(c->names, g_strdup(name->value))) {
        add_problem(problems, COROSYNC_ERROR, name->line, "node name '%s' is used twice",
                    name->value);
    } else if (!corosync_valid_name(name->value)) {
        add_problem(problems, COROSYNC_WARNING, name->line,
                    "'%s' is no node name (letters, digits, inner hyphens)", name->value);
    }
    check_number(node, "quorum_votes", 0, 255, problems);
    for (guint i = 0; i < node->items->len; i++) {
        const CorosyncItem *key = g_ptr_array_index(node->items, i);
        int link = key->kind == COROSYNC_ITEM_KEY ? address_link(key->name) : -1;

        if (link >= 0) {
            check_address(c, key, link, problems);
            links |= link < (int)COROSYNC_LINKS_MAX ? 1u << link : 0;
        }
    }
    if (links == 0) {
        add_problem(problems, COROSYNC_ERROR, node->line, "node without an address (ring0_addr)");
    }
    return links;
}

static void check_links(const CorosyncItem *node,
                        uint32_t links,
                        uint32_t interfaces,
                        uint32_t links_all,
                        GPtrArray *problems)
{
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        uint32_t bit = 1u << n;

        if (interfaces != 0 && (links & bit) && !(interfaces & bit)) {
            add_problem(problems, COROSYNC_ERROR, node->line,
                        "node has an address for link %u, which has no interface section", n);
        } else if (interfaces != 0 && !(links & bit) && (interfaces & bit)) {
            add_problem(problems, COROSYNC_ERROR, node->line,
                        "node lacks an address for link %u (ring%u_addr)", n, n);
        } else if (interfaces == 0 && !(links & bit) && (links_all & bit)) {
            add_problem(problems, COROSYNC_ERROR, node->line,
                        "node lacks an address for link %u, which other nodes have", n);
        }
    }
}

static void check_nodelist(const CorosyncItem *nodelist, uint32_t interfaces, GPtrArray *problems)
{
    g_autoptr(GPtrArray) nodes = corosync_sections(nodelist, "node");
    g_autoptr(GArray) links = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    NodeChecks c = {
        .ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };

    if (nodes->len == 0) {
        add_problem(problems, COROSYNC_ERROR, nodelist->line, "nodelist has no node");
    }
    if (nodes->len > COROSYNC_NODES_MAX) {
        add_problem(problems, COROSYNC_ERROR, nodelist->line, "%u nodes are more than %u",
                    nodes->len, COROSYNC_NODES_MAX);
    }
    for (guint i = 0; i < nodes->len; i++) {
        uint32_t l = check_node(&c, g_ptr_array_index(nodes, i), problems);

        g_array_append_val(links, l);
        c.links_all |= l;
    }
    for (guint i = 0; i < nodes->len; i++) {
        check_links(g_ptr_array_index(nodes, i), g_array_index(links, uint32_t, i), interfaces,
                    c.links_all, problems);
    }
    g_hash_table_unref(c.ids);
    g_hash_table_unref(c.names);
    g_hash_table_unref(c.addresses);
}

/* ---- across sections ------------------------------------------------------------------------ */

static uint32_t number_or(const CorosyncItem *section, const char *name, uint32_t otherwise)
{
    const CorosyncItem *key = corosync_key(section, name);
    uint32_t v;

    return key != NULL && parse_u32(key->value, UINT32_MAX, &v) ? v : otherwise;
}

/* The token time in force: it grows with the ring (reference join, chapter 15). */
static uint64_t token_ms(const CorosyncItem *totem, guint nodes)
{
    uint64_t coefficient = number_or(totem, "token_coefficient", COROSYNC_LIBRARY_COEFFICIENT);

    return number_or(totem, "token", COROSYNC_TOKEN_MS) +
           (nodes > 2 ? (nodes - 2) * coefficient : 0);
}

uint64_t corosync_detection_ms(const CorosyncConf *conf)
{
    const CorosyncItem *totem = corosync_section(corosync_conf_root(conf), "totem");
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    uint64_t token;
    uint32_t consensus;

    if (nodes->len < 2) {
        return 0;
    }
    token = totem != NULL ? token_ms(totem, nodes->len) : COROSYNC_TOKEN_MS;
    consensus = totem != NULL ? number_or(totem, "consensus", 0) : 0;
    return token + (consensus > 0 ? consensus : token * 12 / 10);
}

/* The time without a token after which a node counts as lost has to grow with the ring: each node
 * holds the token for a while (reference join, chapter 15). */
static void check_timing(const CorosyncItem *totem, guint nodes, GPtrArray *problems)
{
    const CorosyncItem *key = corosync_key(totem, "token");
    uint64_t token = token_ms(totem, nodes);
    uint64_t least = 1000 + (nodes > 2 ? (nodes - 2) * UINT64_C(50) : 0);

    if (token < least) {
        add_problem(problems, COROSYNC_WARNING, key != NULL ? key->line : totem->line,
                    "a token time of %" G_GUINT64_FORMAT " ms is short for %u nodes: at least "
                    "%" G_GUINT64_FORMAT " ms ('token', 'token_coefficient')",
                    token, nodes, least);
    }
}

static void check_two_node(const CorosyncItem *quorum, guint nodes, GPtrArray *problems)
{
    const CorosyncItem *key = corosync_key(quorum, "two_node");

    if (key != NULL && strcmp(key->value, "1") == 0 && nodes != 2) {
        add_problem(problems, COROSYNC_ERROR, key->line, "'two_node: 1' with %u node(s)", nodes);
    }
}

/* ---- whole --------------------------------------------------------------------------------- */

static gint by_line(gconstpointer a, gconstpointer b)
{
    const CorosyncProblem *pa = *(const CorosyncProblem *const *)a;
    const CorosyncProblem *pb = *(const CorosyncProblem *const *)b;

    return pa->line < pb->line ? -1 : pa->line > pb->line;
}

GPtrArray *corosync_check(const CorosyncConf *conf)
{
    GPtrArray *problems = g_ptr_array_new_with_free_func(problem_free);
    const CorosyncItem *root = corosync_conf_root(conf);
    const CorosyncItem *totem = corosync_section(root, "totem");
    const CorosyncItem *nodelist = corosync_section(root, "nodelist");
    const CorosyncItem *quorum = corosync_section(root, "quorum");
    uint32_t interfaces = 0;

    check_repeats(root, problems);
    if (totem == NULL) {
        add_problem(problems, COROSYNC_ERROR, 0, "section 'totem' is missing");
    } else {
        check_totem(totem, problems);
        check_interfaces(totem, &interfaces, problems);
    }
    if (nodelist == NULL) {
        add_problem(problems, COROSYNC_ERROR, 0, "section 'nodelist' is missing");
    } else {
        check_nodelist(nodelist, interfaces, problems);
    }
    if (quorum == NULL) {
        add_problem(problems, COROSYNC_ERROR, 0, "section 'quorum' is missing");
    } else {
        check_quorum(quorum, problems);
    }
    if (totem != NULL && nodelist != NULL && quorum != NULL) {
        g_autoptr(GPtrArray) nodes = corosync_sections(nodelist, "node");

        check_timing(totem, nodes->len, problems);
        check_two_node(quorum, nodes->len, problems);
    }
    g_ptr_array_sort(problems, by_line);
    return problems;
}

void corosync_check_successor(const CorosyncConf *next,
                              const CorosyncConf *now,
                              GPtrArray *problems)
{
    const char *name_now = now != NULL ? corosync_conf_get(now, "totem.cluster_name") : NULL;
    const char *name_next = corosync_conf_get(next, "totem.cluster_name");
    g_autoptr(GPtrArray) nodes_now = NULL;
    g_autoptr(GPtrArray) nodes_next = corosync_nodes(next);

    if (now == NULL) {
        return;
    }
    if (corosync_conf_version(next) <= corosync_conf_version(now)) {
        add_problem(problems, COROSYNC_ERROR, 0,
                    "config_version %" G_GUINT64_FORMAT " is not above the %" G_GUINT64_FORMAT
                    " in force: raise it with every change",
                    corosync_conf_version(next), corosync_conf_version(now));
    }
    if (name_now != NULL && name_next != NULL && strcmp(name_now, name_next) != 0) {
        add_problem(problems, COROSYNC_WARNING, 0,
                    "cluster name changes from '%s' to '%s': every node must be restarted",
                    name_now, name_next);
    }
    nodes_now = corosync_nodes(now);
    for (guint i = 0; i < nodes_next->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes_next, i);
        const CorosyncNode *old = corosync_nodes_find_id(nodes_now, node->nodeid);

        if (node->nodeid != 0 && old != NULL && strcmp(old->name, node->name) != 0) {
            add_problem(problems, COROSYNC_WARNING, 0, "node id %u changes from '%s' to '%s'",
                        node->nodeid, old->name, node->name);
        }
    }
}

const CorosyncProblem *corosync_first_error(const GPtrArray *problems)
{
    for (guint i = 0; i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);

        if (p->severity == COROSYNC_ERROR) {
            return p;
        }
    }
    return NULL;
}

char *corosync_problem_format(const CorosyncProblem *p)
{
    return p->line > 0 ? g_strdup_printf("line %u: %s", p->line, p->text) : g_strdup(p->text);
}

int corosync_check_text(
    const char *text, size_t size, const char *now_text, size_t now_size, Err *err)
{
    g_autoptr(CorosyncConf) next = NULL;
    g_autoptr(CorosyncConf) now = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    const CorosyncProblem *first;
    int r = corosync_conf_parse(text, size, &next, err);

    if (r < 0) {
        return r;
    }
    problems = corosync_check(next);
    /* A damaged predecessor must not keep anybody from installing a good successor. */
    if (now_text != NULL && corosync_conf_parse(now_text, now_size, &now, NULL) == 0) {
        corosync_check_successor(next, now, problems);
    }
    first = corosync_first_error(problems);
    if (first != NULL) {
        g_autofree char *line = corosync_problem_format(first);

        return err_setf(err, -EINVAL, "%s", line);
    }
    return 0;
}
