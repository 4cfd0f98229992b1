/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/cloudinit.h"

#include "lib/conf/propstring.h"

#include <string.h>

#define NETS_MAX 32

/* ------------------------------------------------------------------ helpers */

CloudinitFormat cloudinit_format(const GuestConf *gc)
{
    const char *type = guestconf_text(gc, "citype");

    if (type == NULL) {
        return guestconf_windows(gc) > 0 ? CLOUDINIT_CONFIGDRIVE2 : CLOUDINIT_NOCLOUD;
    }
    return strcmp(type, "configdrive2") == 0 ? CLOUDINIT_CONFIGDRIVE2
           : strcmp(type, "opennebula") == 0 ? CLOUDINIT_OPENNEBULA
                                             : CLOUDINIT_NOCLOUD;
}

const char *cloudinit_label(CloudinitFormat format)
{
    switch (format) {
    case CLOUDINIT_NOCLOUD:
        return "cidata";
    case CLOUDINIT_CONFIGDRIVE2:
        return "config-2";
    case CLOUDINIT_OPENNEBULA:
        return "CONTEXT";
    }
    return "cidata";
}

bool cloudinit_uses(const char *key)
{
    static const char *const keys[] = {"citype",   "ciuser",  "cipassword", "ciupgrade",
                                       "cicustom", "sshkeys", "nameserver", "searchdomain",
                                       "name",     "ostype"};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return g_str_has_prefix(key, "ipconfig") ||
           (g_str_has_prefix(key, "net") && g_ascii_isdigit(key[3]));
}

/* A scalar that YAML reads as this text, whatever is in it. */
static void append_yaml(GString *out, const char *text)
{
    g_string_append_c(out, '\'');
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x20) { /* no line breaks within a scalar */
            g_string_append_len(out, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
        }
    }
    g_string_append_c(out, '\'');
}

/* Plain where that is safe, for people who read it. */
static void append_word(GString *out, const char *text)
{
    bool plain = g_ascii_isalpha(text[0]);

    for (const char *c = text; plain && *c != '\0'; c++) {
        plain = g_ascii_isalnum(*c) || strchr("._-", *c) != NULL;
    }
    if (plain) {
        g_string_append(out, text);
    } else {
        append_yaml(out, text);
    }
}

/* Words of a list. The caller frees. */
static char **split(const char *list)
{
    return g_strsplit_set(list != NULL ? list : "", ",; \t", -1);
}

/* The public keys, one each. The caller frees. */
static char **ssh_keys(const GuestConf *gc)
{
    const char *encoded = guestconf_text(gc, "sshkeys");
    g_autofree char *text = encoded != NULL ? g_uri_unescape_string(encoded, NULL) : g_strdup("");

    return g_strsplit_set(text != NULL ? text : "", "\r\n", -1);
}

static const char *nameservers(const GuestConf *gc, const CloudinitParams *p)
{
    const char *own = guestconf_text(gc, "nameserver");

    return own != NULL ? own : p->nameserver;
}

static const char *search_domains(const GuestConf *gc, const CloudinitParams *p)
{
    const char *own = guestconf_text(gc, "searchdomain");

    return own != NULL ? own : p->searchdomain;
}

/* The first label is the host name; NULL in *ret_fqdn when nothing says the domain. */
static char *host_name(const GuestConf *gc, const CloudinitParams *p, char **ret_fqdn)
{
    const char *name = guestconf_text(gc, "name");
    g_autofree char *fallback = g_strdup_printf("VM%u", guestconf_vmid(gc));
    const char *full = name != NULL ? name : fallback;
    g_auto(GStrv) domains = split(search_domains(gc, p));
    const char *dot = strchr(full, '.');

    *ret_fqdn = NULL;
    if (dot != NULL) {
        *ret_fqdn = g_strdup(full);
        return g_strndup(full, (gsize)(dot - full));
    }
    if (domains[0] != NULL && domains[0][0] != '\0') {
        *ret_fqdn = g_strdup_printf("%s.%s", full, domains[0]);
    }
    return g_strdup(full);
}

/* ---------------------------------------------------------------- user-data */

static void append_keys(GString *out, const GuestConf *gc)
{
    g_auto(GStrv) keys = ssh_keys(gc);
    bool first = true;

    for (char **key = keys; *key != NULL; key++) {
        g_strstrip(*key);
        if (**key != '\0') {
            g_string_append(out, first ? "ssh_authorized_keys:\n  - " : "  - ");
            append_yaml(out, *key);
            g_string_append_c(out, '\n');
            first = false;
        }
    }
}

char *cloudinit_user(const GuestConf *gc, const CloudinitParams *params)
{
    GString *out = g_string_new("#cloud-config\n");
    g_autofree char *fqdn = NULL;
    g_autofree char *host = host_name(gc, params, &fqdn);
    const char *user = guestconf_text(gc, "ciuser");
    const char *password = guestconf_text(gc, "cipassword");

    if (params->user != NULL) {
        g_string_assign(out, params->user);
        return g_string_free(out, FALSE);
    }
    g_string_append(out, "hostname: ");
    append_word(out, host);
    g_string_append(out, "\nmanage_etc_hosts: true\n");
    if (fqdn != NULL) {
        g_string_append(out, "fqdn: ");
        append_word(out, fqdn);
        g_string_append_c(out, '\n');
    }
    if (user != NULL) {
        g_string_append(out, "user: ");
        append_word(out, user);
        g_string_append(out, strcmp(user, "root") == 0 ? "\ndisable_root: False\n" : "\n");
    }
    if (password != NULL) {
        g_string_append(out, "password: ");
        append_yaml(out, password);
        g_string_append_c(out, '\n');
    }
    append_keys(out, gc);
    g_string_append(out, "chpasswd:\n  expire: False\n");
    if (user == NULL || strcmp(user, "root") != 0) {
        g_string_append(out, "users:\n  - default\n");
    }
    g_string_append_printf(out, "package_upgrade: %s\n",
                           guestconf_bool(gc, "ciupgrade") ? "true" : "false");
    return g_string_free(out, FALSE);
}

/* ----------------------------------------------------------------- network */

/* One card: MAC, and its addresses. */
typedef struct Card {
    int index;
    const char *mac;
    char *ip; /* without bits; NULL: dhcp or none */
    int bits;
    const char *gw;
    bool dhcp4;
    char *ip6;
    int bits6;
    const char *gw6;
    bool dhcp6;
    bool auto6;
} Card;

static void card_clear(Card *c)
{
    g_free(c->ip);
    g_free(c->ip6);
}

static char *split_cidr(const char *cidr, int *ret_bits)
{
    const char *slash = strchr(cidr, '/');

    *ret_bits = slash != NULL ? (int)g_ascii_strtoll(slash + 1, NULL, 10) : 0;
    return slash != NULL ? g_strndup(cidr, (gsize)(slash - cidr)) : g_strdup(cidr);
}

/* False when there is no such card. No ipconfig means DHCP. */
static bool read_card(const GuestConf *gc, int i, Card *ret)
{
    const PropString *net = guestconf_props_at(gc, "net", i);
    const PropString *conf = guestconf_props_at(gc, "ipconfig", i);
    const char *ip = conf != NULL ? propstring_text(conf, "ip") : NULL;
    const char *ip6 = conf != NULL ? propstring_text(conf, "ip6") : NULL;

    if (net == NULL || propstring_text(net, "macaddr") == NULL) {
        return false;
    }
    *ret = (Card){.index = i, .mac = propstring_text(net, "macaddr")};
    ret->dhcp4 = (ip == NULL && ip6 == NULL) || g_strcmp0(ip, "dhcp") == 0;
    if (ip != NULL && !ret->dhcp4) {
        ret->ip = split_cidr(ip, &ret->bits);
        ret->gw = propstring_text(conf, "gw");
    }
    ret->dhcp6 = g_strcmp0(ip6, "dhcp") == 0;
    ret->auto6 = g_strcmp0(ip6, "auto") == 0;
    if (ip6 != NULL && !ret->dhcp6 && !ret->auto6) {
        ret->ip6 = split_cidr(ip6, &ret->bits6);
        ret->gw6 = propstring_text(conf, "gw6");
    }
    return true;
}

/* 24 -> "255.255.255.0" */
static char *netmask(int bits)
{
    guint32 mask = bits <= 0 ? 0 : bits >= 32 ? 0xffffffffu : ~0u << (32 - bits);

    return g_strdup_printf("%u.%u.%u.%u", mask >> 24, mask >> 16 & 255u, mask >> 8 & 255u,
                           mask & 255u);
}

static void append_card_v1(GString *out, const Card *c)
{
    g_autofree char *mask = netmask(c->bits);
    g_autofree char *mac = g_ascii_strdown(c->mac, -1);

    g_string_append_printf(out,
                           "    - type: physical\n      name: eth%d\n      mac_address: '%s'\n"
                           "      subnets:\n",
                           c->index, mac);
    if (c->dhcp4) {
        g_string_append(out, "      - type: dhcp4\n");
    }
    if (c->ip != NULL) {
        g_string_append_printf(
            out, "      - type: static\n        address: '%s'\n        netmask: '%s'\n", c->ip,
            mask);
        if (c->gw != NULL) {
            g_string_append_printf(out, "        gateway: '%s'\n", c->gw);
        }
    }
    if (c->dhcp6) {
        g_string_append(out, "      - type: dhcp6\n");
    }
    if (c->auto6) {
        g_string_append(out, "      - type: ipv6_slaac\n");
    }
    if (c->ip6 != NULL) {
        g_string_append_printf(out, "      - type: static6\n        address: '%s/%d'\n", c->ip6,
                               c->bits6);
        if (c->gw6 != NULL) {
            g_string_append_printf(out, "        gateway: '%s'\n", c->gw6);
        }
    }
}

static void append_words_v1(GString *out, const char *key, const char *list)
{
    g_auto(GStrv) words = split(list);
    bool first = true;

    for (char **word = words; *word != NULL; word++) {
        if (**word != '\0') {
            if (first) {
                g_string_append_printf(out, "      %s:\n", key);
            }
            g_string_append(out, "      - ");
            append_yaml(out, *word);
            g_string_append_c(out, '\n');
            first = false;
        }
    }
}

static char *network_v1(const GuestConf *gc, const CloudinitParams *p)
{
    GString *out = g_string_new("version: 1\nconfig:\n");

    for (int i = 0; i < NETS_MAX; i++) {
        Card c;
        if (read_card(gc, i, &c)) {
            append_card_v1(out, &c);
            card_clear(&c);
        }
    }
    if (nameservers(gc, p) != NULL || search_domains(gc, p) != NULL) {
        g_string_append(out, "    - type: nameserver\n");
        append_words_v1(out, "address", nameservers(gc, p));
        append_words_v1(out, "search", search_domains(gc, p));
    }
    return g_string_free(out, FALSE);
}

static void append_card_eni(GString *out, const Card *c)
{
    g_autofree char *mask = netmask(c->bits);
    bool any4 = c->dhcp4 || c->ip != NULL;

    g_string_append_printf(out, "\nauto eth%d\n", c->index);
    if (any4) {
        g_string_append_printf(out, "iface eth%d inet %s\n", c->index,
                               c->dhcp4 ? "dhcp" : "static");
    }
    if (c->ip != NULL) {
        g_string_append_printf(out, "        address %s\n        netmask %s\n", c->ip, mask);
        if (c->gw != NULL) {
            g_string_append_printf(out, "        gateway %s\n", c->gw);
        }
    }
    if (c->dhcp6 || c->auto6) {
        g_string_append_printf(out, "iface eth%d inet6 %s\n", c->index, c->dhcp6 ? "dhcp" : "auto");
    }
    if (c->ip6 != NULL) {
        g_string_append_printf(out, "iface eth%d inet6 static\n        address %s/%d\n", c->index,
                               c->ip6, c->bits6);
        if (c->gw6 != NULL) {
            g_string_append_printf(out, "        gateway %s\n", c->gw6);
        }
    }
}

static void append_words_eni(GString *out, const char *key, const char *list)
{
    g_auto(GStrv) words = split(list);
    g_autoptr(GString) line = g_string_new(NULL);

    for (char **word = words; *word != NULL; word++) {
        if (**word != '\0') {
            g_string_append_printf(line, " %s", *word);
        }
    }
    if (line->len > 0) {
        g_string_append_printf(out, "        %s%s\n", key, line->str);
    }
}

static char *network_eni(const GuestConf *gc, const CloudinitParams *p)
{
    GString *out = g_string_new("auto lo\niface lo inet loopback\n");

    for (int i = 0; i < NETS_MAX; i++) {
        Card c;
        if (read_card(gc, i, &c)) {
            append_card_eni(out, &c);
            card_clear(&c);
        }
    }
    append_words_eni(out, "dns_nameservers", nameservers(gc, p));
    append_words_eni(out, "dns_search", search_domains(gc, p));
    return g_string_free(out, FALSE);
}

char *cloudinit_network(const GuestConf *gc, const CloudinitParams *params)
{
    if (params->network != NULL) {
        return g_strdup(params->network);
    }
    return cloudinit_format(gc) == CLOUDINIT_CONFIGDRIVE2 ? network_eni(gc, params)
                                                          : network_v1(gc, params);
}

/* -------------------------------------------------------------------- meta */

char *cloudinit_meta(const GuestConf *gc, const CloudinitParams *params)
{
    g_autofree char *user = NULL;
    g_autofree char *network = NULL;
    g_autofree char *both = NULL;
    g_autofree char *id = NULL;

    if (params->meta != NULL) {
        return g_strdup(params->meta);
    }
    user = cloudinit_user(gc, params);
    network = cloudinit_network(gc, params);
    both = g_strconcat(user, network, NULL);
    id = g_compute_checksum_for_string(G_CHECKSUM_SHA1, both, -1);
    if (cloudinit_format(gc) == CLOUDINIT_CONFIGDRIVE2) {
        return g_strdup_printf("{\n     \"uuid\": \"%s\",\n     \"network_config\": { "
                               "\"content_path\": \"/content/0000\" }\n}\n",
                               id);
    }
    return g_strdup_printf("instance-id: %s\n", id);
}

/* ------------------------------------------------------------- opennebula */

/* A word for a shell. */
static void append_shell(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, "%s='", key);
    for (; *value != '\0'; value++) {
        if (*value == '\'') {
            g_string_append(out, "'\\''");
        } else {
            g_string_append_c(out, *value);
        }
    }
    g_string_append(out, "'\n");
}

static void append_card_shell(GString *out, const Card *c)
{
    const char *values[6][2] = {{"MAC", c->mac},    {"IP", c->ip},   {"MASK", NULL},
                                {"GATEWAY", c->gw}, {"IP6", c->ip6}, {"GATEWAY6", c->gw6}};
    g_autofree char *mask = netmask(c->bits);

    values[2][1] = c->ip != NULL ? mask : NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        if (values[i][1] != NULL) {
            g_autofree char *key = g_strdup_printf("ETH%d_%s", c->index, values[i][0]);
            append_shell(out, key, values[i][1]);
        }
    }
}

static char *context_sh(const GuestConf *gc, const CloudinitParams *p)
{
    GString *out = g_string_new(NULL);
    g_autofree char *fqdn = NULL;
    g_autofree char *host = host_name(gc, p, &fqdn);
    g_auto(GStrv) keys = ssh_keys(gc);
    g_autofree char *joined = g_strjoinv("\n", keys);
    const char *password = guestconf_text(gc, "cipassword");

    append_shell(out, "SET_HOSTNAME", fqdn != NULL ? fqdn : host);
    append_shell(out, "NETWORK", "YES");
    if (guestconf_text(gc, "ciuser") != NULL) {
        append_shell(out, "USERNAME", guestconf_text(gc, "ciuser"));
    }
    if (password != NULL) {
        g_autofree char *base64 = g_base64_encode((const guchar *)password, strlen(password));
        append_shell(out, "CRYPTED_PASSWORD_BASE64", base64);
    }
    if (joined[0] != '\0') {
        append_shell(out, "SSH_PUBLIC_KEY", joined);
    }
    if (nameservers(gc, p) != NULL) {
        append_shell(out, "DNS", nameservers(gc, p));
    }
    if (search_domains(gc, p) != NULL) {
        append_shell(out, "SEARCH_DOMAIN", search_domains(gc, p));
    }
    for (int i = 0; i < NETS_MAX; i++) {
        Card c;
        if (read_card(gc, i, &c)) {
            append_card_shell(out, &c);
            card_clear(&c);
        }
    }
    return g_string_free(out, FALSE);
}

/* ------------------------------------------------------------------- files */

static void file_free(void *data)
{
    CloudinitFile *f = data;

    g_free(f->path);
    g_free(f->text);
    g_free(f);
}

static void add_file(GPtrArray *files, const char *path, char *text)
{
    CloudinitFile *f = g_new0(CloudinitFile, 1);

    f->path = g_strdup(path);
    f->text = text;
    g_ptr_array_add(files, f);
}

GPtrArray *cloudinit_files(const GuestConf *gc, const CloudinitParams *p)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(file_free);

    switch (cloudinit_format(gc)) {
    case CLOUDINIT_NOCLOUD:
        add_file(files, "user-data", cloudinit_user(gc, p));
        add_file(files, "network-config", cloudinit_network(gc, p));
        add_file(files, "meta-data", cloudinit_meta(gc, p));
        add_file(files, "vendor-data", g_strdup(p->vendor != NULL ? p->vendor : ""));
        break;
    case CLOUDINIT_CONFIGDRIVE2:
        add_file(files, "openstack/latest/user_data", cloudinit_user(gc, p));
        add_file(files, "openstack/content/0000", cloudinit_network(gc, p));
        add_file(files, "openstack/latest/meta_data.json", cloudinit_meta(gc, p));
        if (p->vendor != NULL) {
            add_file(files, "openstack/latest/vendor_data.json", g_strdup(p->vendor));
        }
        break;
    case CLOUDINIT_OPENNEBULA:
        add_file(files, "context.sh", context_sh(gc, p));
        break;
    }
    return files;
}
