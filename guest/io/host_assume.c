/* SPDX-License-Identifier: Apache-2.0 */
/* --assume: facts of another host in place of this one's. */
#include "guest/io/host_world_priv.h"

#include "guest/io/textfile.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define CAPS_TEXT_MAX (256 * 1024) /* a handful of numbers */

static const PropKey assume_keys[] = {
    {.name = "qemu", .kind = PROP_TEXT, .text = "a QEMU version like 7.2.0"},
    {.name = "arch", .kind = PROP_WORD, .words = "x86_64 aarch64"},
    {.name = "cpu-vendor", .kind = PROP_TEXT, .max = 32},
    {.name = "capabilities", .kind = PROP_TEXT, .text = "path of a JSON file"},
    {.name = "pci", .kind = PROP_WORD, .words = "any host"},
    {.name = "node", .kind = PROP_TEXT, .max = 64},
    {.name = "phys-bits", .kind = PROP_INT, .min = 32, .max = 64},
};
static const PropSchema assume_schema = {"--assume", assume_keys, G_N_ELEMENTS(assume_keys)};

static bool member_bool(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_BOOLEAN &&
           json_node_get_boolean(node);
}

static int member_int(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_INT64
               ? (int)CLAMP(json_node_get_int(node), 0, 255)
               : 0;
}

static JsonObject *member_object(JsonObject *o, const char *name)
{
    JsonNode *node = o != NULL ? json_object_get_member(o, name) : NULL;

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static int read_caps(HostWorld *w, const char *path, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    JsonNode *root;
    JsonObject *sev;
    size_t len;
    int r = textfile_read(path, CAPS_TEXT_MAX, &text, &len, err);

    if (r < 0) {
        return err_wrapf(err, r, "--assume: capabilities");
    }
    if (!json_parser_load_from_data(parser, text, (gssize)len, &error)) {
        return err_setf(err, -EBADMSG, "--assume: capabilities: %s: %s", path, error->message);
    }
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        return err_setf(err, -EBADMSG, "--assume: capabilities: %s: not a JSON object", path);
    }
    sev = member_object(json_node_get_object(root), "amd-sev");
    if (sev != NULL) {
        w->facts.sev = (SevCaps){
            .std = member_bool(sev, "sev-support"),
            .es = member_bool(sev, "sev-support-es"),
            .snp = member_bool(sev, "sev-support-snp"),
            .cbitpos = member_int(sev, "cbitpos"),
            .reduced_phys_bits = member_int(sev, "reduced-phys-bits"),
        };
    }
    w->facts.tdx =
        member_object(json_node_get_object(root), "intel-tdx") != NULL &&
        member_bool(member_object(json_node_get_object(root), "intel-tdx"), "tdx-support");
    w->caps_known = true;
    return 0;
}

static int apply(HostWorld *w, const PropString *p, Err *err)
{
    const char *qemu = propstring_text(p, "qemu");
    const char *arch = propstring_text(p, "arch");
    const char *vendor = propstring_text(p, "cpu-vendor");
    const char *caps = propstring_text(p, "capabilities");
    const char *node = propstring_text(p, "node");

    if (qemu != NULL) {
        int r = qemu_version_parse(qemu, &w->facts.qemu, err);
        if (r < 0) {
            return err_wrapf(err, r, "--assume");
        }
        w->qemu_known = true;
    }
    if (arch != NULL) {
        w->facts.arch = (Arch)arch_from_name(arch);
    }
    if (vendor != NULL) {
        w->facts.cpu_vendor = host_world_keep(w, g_strdup(vendor));
        w->vendor_known = true;
    }
    if (node != NULL) {
        w->facts.node = host_world_keep(w, g_strdup(node));
    }
    w->facts.phys_bits = (int)propstring_int(p, "phys-bits");
    w->any_pci = g_strcmp0(propstring_text(p, "pci"), "any") == 0;
    return caps != NULL ? read_caps(w, caps, err) : 0;
}

int host_assume(HostWorld *w, const char *text, Err *err)
{
    g_autoptr(PropString) p = NULL;
    int r;

    if (text == NULL) {
        return 0;
    }
    w->assumed = true;
    r = propstring_parse(&assume_schema, text, NULL, &p, err);
    return r < 0 ? r : apply(w, p, err);
}
