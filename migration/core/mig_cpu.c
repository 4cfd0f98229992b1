/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_cpu.h"

#include <string.h>

#define SHOWN_MAX 16 /* flags that are named; more are counted */

static void set_flag(JsonTree *props, const char *text)
{
    g_autofree char *name = NULL;
    const char *value = strchr(text, '=');

    if (*text == '+' || *text == '-') {
        jsontree_set_bool(props, text + 1, *text == '+');
        return;
    }
    if (value == NULL) {
        if (*text != '\0') {
            jsontree_set_bool(props, text, true);
        }
        return;
    }
    name = g_strndup(text, (gsize)(value - text));
    if (strcmp(value, "=on") == 0 || strcmp(value, "=off") == 0) {
        jsontree_set_bool(props, name, strcmp(value, "=on") == 0);
    }
}

JsonTree *mig_cpu_model(const char *cpu)
{
    g_auto(GStrv) words = g_strsplit(cpu, ",", -1);
    JsonTree *t = jsontree_new_object();
    JsonTree *props = jsontree_new_object();

    jsontree_set_text(t, "name", words[0] != NULL ? words[0] : "");
    for (int i = 1; words[0] != NULL && words[i] != NULL; i++) {
        set_flag(props, words[i]);
    }
    jsontree_set(t, "props", props);
    return t;
}

/* QEMU lists switches of its own among them. What paravirtual interfaces there are depends on the
 * machine type and QEMU, not on the processor. */
static bool is_flag(const char *name)
{
    static const char *const others[] = {"check",
                                         "cpuid-0xb",
                                         "enforce",
                                         "fill-mtrr-mask",
                                         "hotplugged",
                                         "host-phys-bits",
                                         "kvm",
                                         "l3-cache",
                                         "legacy-cache",
                                         "migratable",
                                         "pmu",
                                         "realized",
                                         "start-powered-off",
                                         "tcg-cpuid",
                                         "vmware-cpuid-freq",
                                         "cr8legacy"};

    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        if (strcmp(name, others[i]) == 0) {
            return false;
        }
    }
    return strpbrk(name, "_.") == NULL && !g_str_has_prefix(name, "x-") &&
           !g_str_has_prefix(name, "hv-") && !g_str_has_prefix(name, "kvm-") &&
           !g_str_has_prefix(name, "full-") && !g_str_has_prefix(name, "host-");
}

JsonTree *mig_cpu_needs(const JsonTree *model, const JsonTree *max)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < jsontree_count(model); i++) {
        const char *name = jsontree_key(model, i);

        if (jsontree_bool(jsontree_at(model, i), false) && jsontree_get_bool(max, name, false) &&
            is_flag(name)) {
            jsontree_add(list, jsontree_new_text(name));
        }
    }
    return list;
}

char *mig_cpu_missing(const JsonTree *needs, const JsonTree *max)
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint n = 0;

    for (guint i = 0; i < jsontree_count(needs); i++) {
        const char *name = jsontree_text(jsontree_at(needs, i));

        if (name == NULL || jsontree_get_bool(max, name, false)) {
            continue;
        }
        if (n++ < SHOWN_MAX) {
            g_string_append_printf(out, "%s%s", n > 1 ? ", " : "", name);
        }
    }
    if (n > SHOWN_MAX) {
        g_string_append_printf(out, " and %u more", n - SHOWN_MAX);
    }
    return n > 0 ? g_strdup(out->str) : NULL;
}
