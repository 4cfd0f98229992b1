/* SPDX-License-Identifier: Apache-2.0 */
/* --assume: facts of another host in place of this one's. */
#include "guest/io/host_world_priv.h"

#include "guest/io/textfile.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define CAPS_TEXT_MAX   (256 * 1024) /* a handful of numbers */
#define CAPS_NUMBER_MAX 255          /* positions and counts of bits */

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

/* What the file does not say, the host does not have. */
static int read_flag(JsonObject *o, const char *name, bool *ret, Err *err)
{
    JsonNode *node = json_object_get_member(o, name);

    *ret = false;
    if (node == NULL) {
        return 0;
    }
    if (json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
        return err_setf(err, -EBADMSG, "'%s' is neither true nor false", name);
    }
    *ret = json_node_get_boolean(node);
    return 0;
}

static int read_number(JsonObject *o, const char *name, int *ret, Err *err)
{
    JsonNode *node = json_object_get_member(o, name);

    *ret = 0;
    if (node == NULL) {
        return 0;
    }
    if (json_node_get_value_type(node) != G_TYPE_INT64 || json_node_get_int(node) < 0 ||
        json_node_get_int(node) > CAPS_NUMBER_MAX) {
        return err_setf(err, -EBADMSG, "'%s' is not a number 0..%d", name, CAPS_NUMBER_MAX);
    }
    *ret = (int)json_node_get_int(node);
    return 0;
}

/* The object of one technique; NULL when the file does not have it. */
static int read_object(JsonObject *o, const char *name, JsonObject **ret, Err *err)
{
    JsonNode *node = json_object_get_member(o, name);

    *ret = NULL;
    if (node == NULL) {
        return 0;
    }
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        return err_setf(err, -EBADMSG, "'%s' is not an object", name);
    }
    *ret = json_node_get_object(node);
    return 0;
}

static int read_sev(JsonObject *root, SevCaps *ret, Err *err)
{
    JsonObject *sev;
    int r = read_object(root, "amd-sev", &sev, err);

    *ret = (SevCaps){0};
    if (r < 0 || sev == NULL) {
        return r;
    }
    r = read_flag(sev, "sev-support", &ret->std, err);
    if (r == 0) {
        r = read_flag(sev, "sev-support-es", &ret->es, err);
    }
    if (r == 0) {
        r = read_flag(sev, "sev-support-snp", &ret->snp, err);
    }
    if (r == 0) {
        r = read_number(sev, "cbitpos", &ret->cbitpos, err);
    }
    if (r == 0) {
        r = read_number(sev, "reduced-phys-bits", &ret->reduced_phys_bits, err);
    }
    return r;
}

static int read_tdx(JsonObject *root, bool *ret, Err *err)
{
    JsonObject *tdx;
    int r = read_object(root, "intel-tdx", &tdx, err);

    *ret = false;
    return r < 0 || tdx == NULL ? r : read_flag(tdx, "tdx-support", ret, err);
}

static int read_caps(HostWorld *w, const char *path, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    JsonNode *root;
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
    r = read_sev(json_node_get_object(root), &w->facts.sev, err);
    if (r == 0) {
        r = read_tdx(json_node_get_object(root), &w->facts.tdx, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "--assume: capabilities: %s", path);
    }
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
