/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/corosync_nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void corosync_node_free(CorosyncNode *node)
{
    if (node == NULL) {
        return;
    }
    g_free(node->name);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        g_free(node->link[i]);
    }
    g_free(node);
}

void corosync_link_clear(CorosyncLink *link)
{
    g_clear_pointer(&link->address, g_free);
    *link = (CorosyncLink){0};
}

bool corosync_valid_name(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > 63 || !g_ascii_isalnum(name[0]) || !g_ascii_isalnum(name[n - 1])) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g_ascii_isalnum(name[i]) && name[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool valid_address(const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n > 253) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g_ascii_isalnum(text[i]) && strchr(".-:%", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

int corosync_link_parse(const char *text, CorosyncLink *ret, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    const char *address = NULL;
    guint64 priority = 0;
    bool has_priority = false;

    for (guint i = 0; parts[i] != NULL; i++) {
        const char *part = parts[i];

        if (g_str_has_prefix(part, "priority=") && !has_priority) {
            has_priority = true;
            if (!g_ascii_string_to_unsigned(part + 9, 10, 0, COROSYNC_PRIORITY_MAX, &priority,
                                            NULL)) {
                return err_setf(err, -EINVAL, "link '%s': priority must be 0 to %u", text,
                                COROSYNC_PRIORITY_MAX);
            }
            continue;
        }
        if (g_str_has_prefix(part, "address=")) {
            part += 8;
        } else if (i > 0 || strchr(part, '=') != NULL) {
            return err_setf(err, -EINVAL, "link '%s': expected [address=]ADDRESS[,priority=0..255]",
                            text);
        }
        if (address != NULL || !valid_address(part)) {
            return err_setf(err, -EINVAL, "link '%s': '%s' is no address or host name", text, part);
        }
        address = part;
    }
    if (address == NULL) {
        return err_setf(err, -EINVAL, "link '%s' has no address", text);
    }
    *ret = (CorosyncLink){
        .present = true, .address = g_strdup(address), .priority = (uint32_t)priority};
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static uint32_t number_or(const CorosyncItem *section, const char *name, uint32_t otherwise)
{
    const CorosyncItem *key = corosync_key(section, name);
    guint64 v;

    if (key == NULL || !g_ascii_string_to_unsigned(key->value, 10, 0, UINT32_MAX, &v, NULL)) {
        return otherwise;
    }
    return (uint32_t)v;
}

static const CorosyncItem *address_key(const CorosyncItem *node, unsigned link)
{
    char name[16];
    const CorosyncItem *key;

    (void)snprintf(name, sizeof name, "ring%u_addr", link);
    key = corosync_key(node, name);
    if (key == NULL) {
        (void)snprintf(name, sizeof name, "link%u_addr", link);
        key = corosync_key(node, name);
    }
    return key;
}

static CorosyncNode *read_node(const CorosyncItem *item)
{
    CorosyncNode *node = g_new0(CorosyncNode, 1);
    const CorosyncItem *name = corosync_key(item, "name");

    node->nodeid = number_or(item, "nodeid", 0);
    node->votes = number_or(item, "quorum_votes", corosync_key(item, "quorum_votes") ? 0 : 1);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const CorosyncItem *key = address_key(item, i);

        node->link[i] = key != NULL ? g_strdup(key->value) : NULL;
    }
    if (name != NULL) {
        node->name = g_strdup(name->value);
    } else if (node->link[0] != NULL) {
        node->name = g_strdup(node->link[0]);
    } else {
        node->name = g_strdup_printf("node-%u", node->nodeid);
    }
    return node;
}

/* corosync counts one vote for a node without the key; Proxmox leaves the key out for none. The
 * messaging layer decides, so one it is. */
GPtrArray *corosync_nodes(const CorosyncConf *conf)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)corosync_node_free);
    const CorosyncItem *list = corosync_section(corosync_conf_root(conf), "nodelist");
    g_autoptr(GPtrArray) items = NULL;

    if (list == NULL) {
        return nodes;
    }
    items = corosync_sections(list, "node");
    for (guint i = 0; i < items->len; i++) {
        g_ptr_array_add(nodes, read_node(g_ptr_array_index(items, i)));
    }
    return nodes;
}

const CorosyncNode *corosync_nodes_find(const GPtrArray *nodes, const char *name)
{
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        if (strcmp(node->name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

const CorosyncNode *corosync_nodes_find_id(const GPtrArray *nodes, uint32_t nodeid)
{
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        if (node->nodeid == nodeid) {
            return node;
        }
    }
    return NULL;
}

static const CorosyncNode *find_by_address(const GPtrArray *nodes, const char *address)
{
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
            if (node->link[n] != NULL && g_ascii_strcasecmp(node->link[n], address) == 0) {
                return node;
            }
        }
    }
    return NULL;
}

const CorosyncNode *corosync_nodes_find_any(const GPtrArray *nodes, const char *name_or_address)
{
    const CorosyncNode *node = corosync_nodes_find(nodes, name_or_address);

    return node != NULL ? node : find_by_address(nodes, name_or_address);
}

bool corosync_is_example(const CorosyncConf *conf)
{
    const char *name = corosync_conf_get(conf, "totem.cluster_name");
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const CorosyncNode *node = nodes->len == 1 ? g_ptr_array_index(nodes, 0) : NULL;

    return node != NULL && g_strcmp0(node->link[0], "127.0.0.1") == 0 &&
           g_strcmp0(name, "debian") == 0 &&
           corosync_conf_get(conf, "totem.config_version") == NULL;
}

uint32_t corosync_links(const CorosyncConf *conf)
{
    const CorosyncItem *totem = corosync_section(corosync_conf_root(conf), "totem");
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    uint32_t links = 0;

    if (totem != NULL) {
        g_autoptr(GPtrArray) interfaces = corosync_sections(totem, "interface");

        for (guint i = 0; i < interfaces->len; i++) {
            const CorosyncItem *item = g_ptr_array_index(interfaces, i);
            uint32_t link = number_or(item, "linknumber", number_or(item, "ringnumber", 0));

            links |= link < COROSYNC_LINKS_MAX ? 1u << link : 0;
        }
    }
    for (guint i = 0; links == 0 && i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
            links |= node->link[n] != NULL ? 1u << n : 0;
        }
    }
    return links;
}

uint32_t corosync_expected_votes(const CorosyncConf *conf)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    uint64_t device = 0;
    uint32_t sum = 0;

    for (guint i = 0; i < nodes->len; i++) {
        sum += ((const CorosyncNode *)g_ptr_array_index(nodes, i))->votes;
    }
    if (!corosync_conf_get_u64(conf, "quorum.device.votes", &device) &&
        corosync_conf_get(conf, "quorum.device.model") != NULL) {
        /* corosync's default for a device without votes: one less than the nodes. */
        device = nodes->len > 0 ? nodes->len - 1 : 0;
    }
    return sum + (uint32_t)device;
}

/* ---- changing ------------------------------------------------------------------------------ */

static void set_number(CorosyncItem *section, const char *name, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    corosync_item_set(section, name, text);
}

void corosync_conf_bump(CorosyncConf *conf)
{
    CorosyncItem *totem = corosync_section(corosync_conf_root(conf), "totem");

    if (totem == NULL) {
        totem = corosync_item_add_section(corosync_conf_root(conf), "totem");
    }
    set_number(totem, "config_version", corosync_conf_version(conf) + 1);
}

static void set_address(CorosyncItem *node, unsigned link, const char *address)
{
    const CorosyncItem *old = address_key(node, link);
    char name[16];

    (void)snprintf(name, sizeof name, "ring%u_addr", link);
    corosync_item_set(node, old != NULL ? old->name : name, address);
}

CorosyncConf *corosync_conf_create(const char *cluster_name,
                                   const char *node_name,
                                   uint32_t nodeid,
                                   uint32_t votes,
                                   const CorosyncLink *links,
                                   uint32_t token_coefficient)
{
    CorosyncConf *conf = corosync_conf_new();
    CorosyncItem *node, *totem;

    assert(links[0].present && links[0].address != NULL);
    corosync_conf_set(conf, "logging.debug", "off");
    corosync_conf_set(conf, "logging.to_syslog", "yes");
    node = corosync_item_add_section(
        corosync_item_add_section(corosync_conf_root(conf), "nodelist"), "node");
    corosync_item_set(node, "name", node_name);
    set_number(node, "nodeid", nodeid);
    set_number(node, "quorum_votes", votes);
    corosync_conf_set(conf, "quorum.provider", "corosync_votequorum");
    corosync_conf_set(conf, "totem.cluster_name", cluster_name);
    corosync_conf_set(conf, "totem.config_version", "1");
    corosync_conf_set(conf, "totem.ip_version", "ipv4-6");
    corosync_conf_set(conf, "totem.link_mode", "passive");
    corosync_conf_set(conf, "totem.secauth", "on");
    corosync_conf_set(conf, "totem.version", "2");
    totem = corosync_section(corosync_conf_root(conf), "totem");
    set_number(totem, "token_coefficient", token_coefficient);
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        CorosyncItem *interface;

        if (!links[n].present) {
            continue;
        }
        set_address(node, n, links[n].address);
        interface = corosync_item_add_section(totem, "interface");
        if (links[n].priority > 0) {
            set_number(interface, "knet_link_priority", links[n].priority);
        }
        set_number(interface, "linknumber", n);
    }
    return conf;
}

static uint32_t free_id(const GPtrArray *nodes)
{
    uint32_t id = 1;

    while (corosync_nodes_find_id(nodes, id) != NULL) {
        id++;
    }
    return id;
}

/* Keys of the quorum section that say the same as the node list once more follow it: two_node is
 * for exactly two nodes, and expected_votes wins over the sum of the votes. */
static void settle_quorum(CorosyncConf *conf)
{
    CorosyncItem *quorum = corosync_section(corosync_conf_root(conf), "quorum");
    const CorosyncItem *two_node = quorum != NULL ? corosync_key(quorum, "two_node") : NULL;
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);

    if (two_node != NULL && strcmp(two_node->value, "0") != 0 && nodes->len != 2) {
        corosync_item_remove(quorum, two_node);
    }
    if (quorum != NULL && corosync_key(quorum, "expected_votes") != NULL) {
        set_number(quorum, "expected_votes", MAX(corosync_expected_votes(conf), 1u));
    }
}

/* Gives the address per link, with the fallback where it is allowed. */
static int
plan_links(const CorosyncConf *conf, const CorosyncAddNode *add, const char **ret_link, Err *err)
{
    uint32_t want = corosync_links(conf);
    uint32_t have = 0;

    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        ret_link[n] = add->link[n];
        have |= add->link[n] != NULL ? 1u << n : 0;
    }
    if (have == 0 && add->fallback_address != NULL && __builtin_popcount(want) == 1) {
        ret_link[__builtin_ctz(want)] = add->fallback_address;
        have = want;
    }
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        uint32_t bit = 1u << n;

        if ((want & bit) && !(have & bit)) {
            return err_setf(err, -EINVAL, "the cluster uses link %u: give an address with --link%u",
                            n, n);
        }
        if (!(want & bit) && (have & bit)) {
            return err_setf(err, -EINVAL, "the cluster does not use link %u: leave out --link%u", n,
                            n);
        }
        if (ret_link[n] != NULL && !valid_address(ret_link[n])) {
            return err_setf(err, -EINVAL, "link %u: '%s' is no address or host name", n,
                            ret_link[n]);
        }
    }
    return 0;
}

/* No address may belong to another node: that can bring the whole messaging layer down. */
static int
check_addresses_free(const GPtrArray *nodes, const char *name, const char *const *link, Err *err)
{
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        const CorosyncNode *owner = link[n] != NULL ? find_by_address(nodes, link[n]) : NULL;

        if (owner != NULL && strcmp(owner->name, name) != 0) {
            return err_setf(err, -EEXIST, "address '%s' already belongs to node '%s'", link[n],
                            owner->name);
        }
        for (unsigned m = 0; link[n] != NULL && m < n; m++) {
            if (link[m] != NULL && g_ascii_strcasecmp(link[m], link[n]) == 0) {
                return err_setf(err, -EEXIST, "address '%s' is given for links %u and %u", link[n],
                                m, n);
            }
        }
    }
    return 0;
}

static int
check_identity(const GPtrArray *nodes, const CorosyncAddNode *add, uint32_t *ret_id, Err *err)
{
    const CorosyncNode *old = corosync_nodes_find(nodes, add->name);
    uint32_t id = add->nodeid;

    if (!corosync_valid_name(add->name)) {
        return err_setf(err, -EINVAL, "'%s' is no node name (letters, digits, inner hyphens)",
                        add->name);
    }
    if (old != NULL) {
        id = id != 0 ? id : old->nodeid;
        if (!add->force || id != old->nodeid || add->votes != old->votes) {
            return err_setf(err, -EEXIST,
                            "node '%s' is already in the cluster, with id %u and %u vote(s)",
                            add->name, old->nodeid, old->votes);
        }
    } else if (id != 0 && corosync_nodes_find_id(nodes, id) != NULL) {
        return err_setf(err, -EEXIST, "node id %u already belongs to node '%s'", id,
                        corosync_nodes_find_id(nodes, id)->name);
    } else if (nodes->len >= COROSYNC_NODES_MAX) {
        return err_setf(err, -ENOSPC, "the cluster already has %u nodes", nodes->len);
    }
    *ret_id = id != 0 ? id : free_id(nodes);
    return 0;
}

static CorosyncItem *
find_node_item(const CorosyncConf *conf, const char *name, CorosyncItem **ret_list)
{
    CorosyncItem *list = corosync_section(corosync_conf_root(conf), "nodelist");
    g_autoptr(GPtrArray) items = list != NULL ? corosync_sections(list, "node") : NULL;

    for (guint i = 0; items != NULL && i < items->len; i++) {
        CorosyncItem *item = g_ptr_array_index(items, i);
        g_autoptr(CorosyncNode) node = read_node(item);

        if (strcmp(node->name, name) == 0) {
            *ret_list = list;
            return item;
        }
    }
    return NULL;
}

int corosync_conf_add_node(CorosyncConf *conf,
                           const CorosyncAddNode *add,
                           uint32_t *ret_nodeid,
                           Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const char *link[COROSYNC_LINKS_MAX];
    CorosyncItem *list = NULL;
    CorosyncItem *node;
    uint32_t id = 0;
    int r;

    if ((r = check_identity(nodes, add, &id, err)) < 0 ||
        (r = plan_links(conf, add, link, err)) < 0 ||
        (r = check_addresses_free(nodes, add->name, link, err)) < 0) {
        return r;
    }
    node = find_node_item(conf, add->name, &list);
    if (node == NULL) {
        list = corosync_section(corosync_conf_root(conf), "nodelist");
        if (list == NULL) {
            list = corosync_item_add_section(corosync_conf_root(conf), "nodelist");
        }
        node = corosync_item_add_section(list, "node");
    }
    corosync_item_set(node, "name", add->name);
    set_number(node, "nodeid", id);
    /* Without the key corosync counts one vote, so "none" has to be said. */
    set_number(node, "quorum_votes", add->votes);
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        if (link[n] != NULL) {
            set_address(node, n, link[n]);
        }
    }
    settle_quorum(conf);
    corosync_conf_bump(conf);
    *ret_nodeid = id;
    return 0;
}

int corosync_conf_remove_node(CorosyncConf *conf, const char *name, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    CorosyncItem *list = NULL;
    CorosyncItem *node = find_node_item(conf, name, &list);

    if (node == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", name);
    }
    if (nodes->len == 1) {
        return err_setf(err, -EBUSY, "'%s' is the last node of the cluster", name);
    }
    corosync_item_remove(list, node);
    settle_quorum(conf);
    corosync_conf_bump(conf);
    return 0;
}

int corosync_conf_set_votes(CorosyncConf *conf, const char *name, uint32_t votes, Err *err)
{
    CorosyncItem *list = NULL;
    CorosyncItem *node = find_node_item(conf, name, &list);

    if (node == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", name);
    }
    set_number(node, "quorum_votes", votes);
    settle_quorum(conf);
    corosync_conf_bump(conf);
    return 0;
}

int corosync_conf_rename_node(CorosyncConf *conf, const char *name, const char *to, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    CorosyncItem *list = NULL;
    CorosyncItem *node = find_node_item(conf, name, &list);

    if (!corosync_valid_name(to)) {
        return err_setf(err, -EINVAL, "'%s' is no node name (letters, digits, inner hyphens)", to);
    }
    if (node == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", name);
    }
    if (corosync_nodes_find(nodes, to) != NULL) {
        return err_setf(err, -EEXIST, "node '%s' is in the cluster already", to);
    }
    corosync_item_set(node, "name", to);
    corosync_conf_bump(conf);
    return 0;
}

int corosync_conf_readdress(
    CorosyncConf *conf, const char *name, unsigned link, const char *address, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    CorosyncItem *list = NULL;
    CorosyncItem *node = find_node_item(conf, name, &list);
    const CorosyncNode *owner;

    if (node == NULL) {
        return err_setf(err, -ENOENT, "node '%s' is not in the cluster", name);
    }
    if (link >= COROSYNC_LINKS_MAX || address_key(node, link) == NULL) {
        return err_setf(err, -EINVAL, "node '%s' has no link %u", name, link);
    }
    if (!valid_address(address)) {
        return err_setf(err, -EINVAL, "'%s' is no address or host name", address);
    }
    owner = find_by_address(nodes, address);
    if (owner != NULL && strcmp(owner->name, name) != 0) {
        return err_setf(err, -EEXIST, "address '%s' already belongs to node '%s'", address,
                        owner->name);
    }
    set_address(node, link, address);
    corosync_conf_bump(conf);
    return 0;
}
