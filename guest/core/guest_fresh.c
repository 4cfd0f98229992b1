/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/guest_fresh.h"

#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/guest_change.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

#define MAC_BYTES 6

/* What a clone does not take over. */
static const char *const not_cloned[] = {
    "lock",       "parent",         "snaptime", "snapstate", "vmstate", "running-nets-host-mtu",
    "runningcpu", "runningmachine", "template", "digest",    "delete",
};

/* ----------------------------------------------------------------- network */

static int read_prefix(const char *prefix, uint8_t ret[MAC_BYTES], Err *err)
{
    g_auto(GStrv) parts = g_strsplit(prefix, ":", -1);
    guint n = g_strv_length(parts);

    if (n < 1 || n >= MAC_BYTES) {
        return err_setf(err, -EINVAL, "'%.40s' is no prefix of a MAC address", prefix);
    }
    for (guint i = 0; i < n; i++) {
        if (strlen(parts[i]) != 2 || !g_ascii_isxdigit(parts[i][0]) ||
            !g_ascii_isxdigit(parts[i][1])) {
            return err_setf(err, -EINVAL, "'%.40s' is no prefix of a MAC address", prefix);
        }
        ret[i] =
            (uint8_t)(g_ascii_xdigit_value(parts[i][0]) * 16 + g_ascii_xdigit_value(parts[i][1]));
    }
    if (ret[0] & 1) {
        return err_setf(err, -EINVAL, "'%.40s' is the prefix of group addresses", prefix);
    }
    return (int)n;
}

int fresh_check_prefix(const char *prefix, Err *err)
{
    uint8_t bytes[MAC_BYTES];
    int r = read_prefix(prefix, bytes, err);

    return r < 0 ? r : 0;
}

static int fresh_mac(const FreshSource *f, char **ret, Err *err)
{
    uint8_t b[MAC_BYTES];
    int r;

    f->random(f->ctx, b, sizeof b);
    r = read_prefix(f->mac_prefix != NULL ? f->mac_prefix : FRESH_MAC_PREFIX, b, err);
    if (r < 0) {
        return r;
    }
    *ret = g_strdup_printf("%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3], b[4], b[5]);
    return 0;
}

int fresh_net(const FreshSource *f, const char *value, bool renew, char **ret, Err *err)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    g_autofree char *mac = NULL;
    int r = propstring_parse(&props_net, value, unknown, &p, err);

    if (r == 0 && (renew || propstring_text(p, "macaddr") == NULL)) {
        r = fresh_mac(f, &mac, err);
        if (r == 0) {
            r = propstring_set(p, "macaddr", mac, err);
        }
    }
    if (r == 0) {
        *ret = propstring_format(p);
    }
    return r;
}

static int fresh_nets(const FreshSource *f, VmSection *main, bool renew, Err *err)
{
    int r = 0;

    for (guint i = 0; r == 0 && i < main->entries->len; i++) {
        VmEntry *e = main->entries->pdata[i];
        const ConfOption *option = confschema_find(e->key, NULL);
        char *value;
        if (option == NULL || option->props != &props_net) {
            continue;
        }
        r = fresh_net(f, e->value, renew, &value, err);
        if (r < 0) {
            return err_wrapf(err, r, "%s", e->key);
        }
        g_free(e->value);
        e->value = value;
    }
    return r;
}

/* ---------------------------------------------------------------- identity */

static char *fresh_uuid(const FreshSource *f)
{
    guint8 bytes[16];

    f->random(f->ctx, bytes, sizeof bytes);
    return guest_uuid(bytes);
}

/* The other fields of smbios1 stay. */
static int set_uuid(const FreshSource *f, VmSection *main, bool renew, Err *err)
{
    const char *old = vmsection_get(main, "smbios1");
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    g_autofree char *uuid = fresh_uuid(f);
    g_autofree char *text = NULL;
    int r = old != NULL ? propstring_parse(&props_smbios, old, unknown, &p, err) : 0;

    if (r < 0) {
        return err_wrapf(err, r, "smbios1");
    }
    if (p == NULL) {
        p = propstring_new(&props_smbios);
    } else if (!renew && propstring_text(p, "uuid") != NULL) {
        return 0;
    }
    r = propstring_set(p, "uuid", uuid, err);
    if (r == 0) {
        text = propstring_format(p);
        vmsection_set(main, "smbios1", text);
    }
    return r;
}

static bool is_off(const char *vmgenid)
{
    return vmgenid != NULL && strcmp(vmgenid, "0") == 0;
}

void fresh_generation(const FreshSource *f, VmSection *main)
{
    g_autofree char *id = fresh_uuid(f);

    if (vmsection_get(main, "vmgenid") != NULL && !is_off(vmsection_get(main, "vmgenid"))) {
        vmsection_set(main, "vmgenid", id);
    }
}

static void set_meta(const FreshSource *f, VmSection *main)
{
    g_autofree char *text =
        f->qemu != NULL
            ? g_strdup_printf("creation-qemu=%s,ctime=%" G_GINT64_FORMAT, f->qemu, f->now_sec)
            : g_strdup_printf("ctime=%" G_GINT64_FORMAT, f->now_sec);

    vmsection_set(main, "meta", text);
}

int fresh_create(const FreshSource *f, VmSection *main, Err *err)
{
    g_autofree char *boot = fresh_boot(main);
    const char *vmgenid = vmsection_get(main, "vmgenid");
    int r = fresh_nets(f, main, false, err);

    if (r == 0) {
        r = set_uuid(f, main, false, err);
    }
    if (r < 0) {
        return r;
    }
    if (vmgenid == NULL || strcmp(vmgenid, "1") == 0) {
        vmsection_set(main, "vmgenid", "1");
        fresh_generation(f, main);
    } else if (is_off(vmgenid)) {
        (void)vmsection_unset(main, "vmgenid"); /* it is there */
    }
    if (vmsection_get(main, "boot") == NULL && boot != NULL) {
        vmsection_set(main, "boot", boot);
    }
    set_meta(f, main);
    return 0;
}

int fresh_clone(const FreshSource *f, VmSection *main, Err *err)
{
    int r;

    for (size_t i = 0; i < G_N_ELEMENTS(not_cloned); i++) {
        (void)vmsection_unset(main, not_cloned[i]); /* it may have had none */
    }
    for (guint i = main->entries->len; i > 0; i--) {
        const VmEntry *e = main->entries->pdata[i - 1];
        if (g_str_has_prefix(e->key, "unused")) {
            g_autofree char *key = g_strdup(e->key);
            (void)vmsection_unset(main, key); /* it is there */
        }
    }
    r = fresh_nets(f, main, true, err);
    if (r == 0) {
        r = set_uuid(f, main, true, err);
    }
    if (r == 0) {
        fresh_generation(f, main);
        set_meta(f, main);
    }
    return r;
}

/* -------------------------------------------------------------------- boot */

static bool is_cdrom(const char *value)
{
    return propstring_has_part(value, "media=cdrom");
}

char *fresh_boot(const VmSection *main)
{
    const char *disk = NULL;
    const char *cdrom = NULL;
    const char *net = NULL;
    GString *order = g_string_new(NULL);
    const char *found[3];

    for (guint i = 0; i < main->entries->len; i++) {
        const VmEntry *e = main->entries->pdata[i];
        const ConfOption *option = confschema_find(e->key, NULL);
        if (option != NULL && (option->flags & CONF_DISK) &&
            strstr(e->value, "cloudinit") != NULL) {
            continue; /* holds no system */
        }
        if (option != NULL && (option->flags & CONF_DISK) && is_cdrom(e->value)) {
            cdrom = cdrom == NULL ? e->key : cdrom;
        } else if (option != NULL && (option->flags & CONF_DISK)) {
            disk = disk == NULL ? e->key : disk;
        } else if (option != NULL && option->props == &props_net) {
            net = net == NULL ? e->key : net;
        }
    }
    found[0] = disk;
    found[1] = cdrom;
    found[2] = net;
    for (size_t i = 0; i < G_N_ELEMENTS(found); i++) {
        if (found[i] != NULL) {
            g_string_append_printf(order, "%s%s", order->len > 0 ? ";" : "order=", found[i]);
        }
    }
    if (order->len == 0) {
        g_string_free(order, TRUE);
        return NULL;
    }
    return g_string_free(order, FALSE);
}

/* -------------------------------------------------------------------- tags */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *fresh_tags(const char *value)
{
    g_autofree char *lower = g_ascii_strdown(value, -1);
    g_auto(GStrv) words = g_strsplit_set(lower, ",; ", -1);
    g_autoptr(GPtrArray) tags = g_ptr_array_new();
    GString *out = g_string_new(NULL);

    for (char **word = words; *word != NULL; word++) {
        if (**word != '\0') {
            g_ptr_array_add(tags, *word);
        }
    }
    g_ptr_array_sort(tags, compare_text);
    for (guint i = 0; i < tags->len; i++) {
        if (i == 0 || strcmp(tags->pdata[i], tags->pdata[i - 1]) != 0) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? ";" : "",
                                   (const char *)tags->pdata[i]);
        }
    }
    return g_string_free(out, FALSE);
}
