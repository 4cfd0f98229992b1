/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share that read and change configurations and volumes. */
#include "cli/qm_store.h"

#include "cli/guest_cli.h"
#include "cli/qm_run.h"
#include "guest/core/confschema.h"
#include "guest/core/volid.h"
#include "guest/io/guest_recover.h"

#include <stdio.h>
#include <string.h>

QmStoreOptions qm_store = {.full = -1};

static gboolean take_option(const char *option, const char *value, void *data, GError **error)
{
    const char *key = option + strspn(option, "-");

    (void)data;
    if (g_hash_table_contains(qm_store.config, key)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s is there twice", key);
        return FALSE;
    }
    g_hash_table_insert(qm_store.config, g_strdup(key), g_strdup(value != NULL ? value : "1"));
    return TRUE;
}

static void add_option(GArray *entries, const ConfOption *o, int index)
{
    bool flag = o->props == NULL && o->value.kind == PROP_BOOL;
    GOptionEntry e = {
        o->count > 0 ? g_strdup_printf("%s%d", o->value.name, index) : o->value.name,
        0,
        o->count > 0 && index > o->first ? G_OPTION_FLAG_HIDDEN : 0,
        G_OPTION_ARG_CALLBACK,
        (void *)take_option,
        o->value.text,
        flag ? CLI_FLAG_VALUE : "VALUE",
    };

    g_array_append_val(entries, e);
}

GOptionEntry *qm_config_options(const GOptionEntry *more)
{
    static const GOptionEntry cdrom = {"cdrom",
                                       0,
                                       0,
                                       G_OPTION_ARG_CALLBACK,
                                       (void *)take_option,
                                       "short for --ide2 VOLUME,media=cdrom",
                                       "VOLUME"};
    GArray *entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));

    if (qm_store.config == NULL) { /* one for the options of all verbs: only one verb runs */
        qm_store.config = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    }
    for (size_t i = 0; i < confschema_count(); i++) {
        const ConfOption *o = confschema_at(i);
        if ((o->flags & CONF_INTERNAL) && strcmp(o->value.name, "lock") != 0) {
            continue;
        }
        for (int k = o->first; k < o->first + MAX(o->count, 1); k++) {
            add_option(entries, o, k);
        }
    }
    g_array_append_val(entries, cdrom);
    for (; more->long_name != NULL; more++) {
        g_array_append_vals(entries, more, 1);
    }
    return (GOptionEntry *)(void *)g_array_free(entries, FALSE);
}

int qm_store_open(GuestStore **ret, Err *err)
{
    GuestHost *host = NULL;
    int r = qm_run_open(&host, err);

    if (r == 0) {
        r = guest_store_open(host, ret, err);
    }
    if (r == 0) {
        guest_cli_long_work((*ret)->set, stdout);
        (*ret)->set->progress.rate_bytes = (uint64_t)MAX(qm_store.bwlimit, 0) * 1024;
    }
    return r;
}

int qm_store_begin(char **operands, GuestStore **ret, uint32_t *ret_vmid, Err *err)
{
    int r = vmid_parse(operands[0], ret_vmid, err);

    if (r == 0) {
        r = qm_store_open(ret, err);
    }
    if (r == 0) {
        guest_recover((*ret)->host, *ret_vmid);
    }
    return r;
}

GPtrArray *qm_words(const char *list)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit_set(list != NULL ? list : "", ",; ", -1);

    for (char **part = parts; *part != NULL; part++) {
        if (**part != '\0') {
            g_ptr_array_add(words, g_strdup(*part));
        }
    }
    return words;
}

void qm_print_json(const JsonTree *tree)
{
    g_autofree char *text = jsontree_pretty(tree);

    fputs(text, stdout);
}

const char *qm_shown_value(const char *key, const char *value)
{
    const ConfOption *o = confschema_find(key, NULL);

    return o != NULL && (o->flags & CONF_SECRET) ? "**********" : value;
}
