/* SPDX-License-Identifier: Apache-2.0 */
/* qm_config: config, pending, unlock, nextid. */
#include "cli/qm_store.h"
#include "cli/qm_verbs.h"

#include "guest/core/guest_change.h"
#include "guest/core/volid.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_hot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void warn_line(void *ctx, unsigned line, const char *text)
{
    fprintf(stderr, "warning: guest %u: line %u: %s\n", *(const uint32_t *)ctx, line, text);
}

static int load(char **operands, uint32_t *ret_vmid, GuestTree **ret_tree, VmConf **ret, Err *err)
{
    int r = vmid_parse(operands[0], ret_vmid, err);

    if (r == 0) {
        r = guest_tree_open(qm_options.root, NULL, ret_tree, err);
    }
    return r == 0 ? guest_conf_read(*ret_tree, NULL, *ret_vmid, warn_line, ret_vmid, ret, err) : r;
}

/* ------------------------------------------------------------------ config */

/* One line whatever the text holds. Caller frees. */
static char *encode(const char *text)
{
    GString *out = g_string_new(NULL);

    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == '%' || *c == 0x7f) {
            g_string_append_printf(out, "%%%02X", (unsigned char)*c);
        } else {
            g_string_append_c(out, *c);
        }
    }
    return g_string_free(out, FALSE);
}

static void print_section(const VmSection *s, const char *digest, bool json)
{
    g_autoptr(JsonTree) o = jsontree_new_object();

    if (json) {
        jsontree_set_text(o, "description", s->description);
        jsontree_set_text(o, "digest", digest);
        for (guint i = 0; i < s->entries->len; i++) {
            const VmEntry *e = s->entries->pdata[i];
            jsontree_set_text(o, e->key, qm_shown_value(e->key, e->value));
        }
        qm_print_json(o);
        return;
    }
    for (guint i = 0, described = s->description == NULL; i < s->entries->len || !described;) {
        const VmEntry *e = i < s->entries->len ? s->entries->pdata[i] : NULL;
        if (!described && (e == NULL || strcmp(e->key, "description") > 0)) {
            g_autofree char *text = encode(s->description);
            printf("description: %s\n", text);
            described = 1;
        } else {
            printf("%s: %s\n", e->key, qm_shown_value(e->key, e->value));
            i++;
        }
    }
}

/* What will be after the next start. */
static int choose(VmConf *conf, const VmSection **ret, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);

    if (qm_options.snapshot != NULL) {
        *ret = vmconf_section(conf, VM_SECTION_SNAPSHOT, qm_options.snapshot);
        return *ret != NULL ? 0 : err_setf(err, -ENOENT, "no snapshot '%s'", qm_options.snapshot);
    }
    if (!qm_store.current) {
        guest_pending_apply(conf, freed);
    }
    *ret = vmconf_main(conf);
    return 0;
}

int qm_config(char **operands, Err *err)
{
    g_autoptr(GuestTree) tree = NULL;
    g_autoptr(VmConf) conf = NULL;
    const VmSection *section = NULL;
    uint32_t vmid = 0;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = load(operands, &vmid, &tree, &conf, err);
    }
    if (r == 0) {
        r = choose(conf, &section, err);
    }
    if (r == 0) {
        print_section(section, conf->digest, json);
    }
    return r;
}

/* ----------------------------------------------------------------- pending */

static void print_pending(const GuestPending *p, const char *why)
{
    if (p->current != NULL) {
        printf("cur %s: %s\n", p->key, qm_shown_value(p->key, p->current));
    }
    if (p->next != NULL) {
        printf("new %s: %s\n", p->key, qm_shown_value(p->key, p->next));
    }
    if (p->removed) {
        printf("del %s: %s\n", p->key,
               p->current != NULL ? qm_shown_value(p->key, p->current) : "");
    }
    if (why != NULL) {
        printf("why %s: %s\n", p->key, why);
    }
}

static void add_pending(JsonTree *list, const GuestPending *p, const char *why)
{
    JsonTree *o = jsontree_new_object();

    jsontree_set_text(o, "key", p->key);
    if (p->current != NULL) {
        jsontree_set_text(o, "value", qm_shown_value(p->key, p->current));
    }
    if (p->next != NULL) {
        jsontree_set_text(o, "pending", qm_shown_value(p->key, p->next));
    }
    if (p->removed) {
        jsontree_set_int(o, "delete", 1);
    }
    if (why != NULL) {
        jsontree_set_text(o, "why", why);
    }
    jsontree_add(list, o);
}

/* *ret is NULL when nobody asked. */
static int find_reasons(uint32_t vmid, VmConf *conf, GHashTable **ret, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    int r;

    if (qm_store.why != 1) {
        return 0;
    }
    r = qm_store_open(&store, err);
    return r == 0 ? guest_hot_explain(store, vmid, conf, ret, err) : r;
}

int qm_pending(char **operands, Err *err)
{
    g_autoptr(JsonTree) list = jsontree_new_array();
    g_autoptr(GHashTable) reasons = NULL;
    g_autoptr(GuestTree) tree = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GArray) items = NULL;
    uint32_t vmid = 0;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = load(operands, &vmid, &tree, &conf, err);
    }
    if (r == 0) {
        r = find_reasons(vmid, conf, &reasons, err);
    }
    if (r < 0) {
        return r;
    }
    items = guest_pending_list(conf);
    for (guint i = 0; i < items->len; i++) {
        const GuestPending *p = &g_array_index(items, GuestPending, i);
        const char *why = reasons != NULL ? g_hash_table_lookup(reasons, p->key) : NULL;
        if (json) {
            add_pending(list, p, why);
        } else {
            print_pending(p, why);
        }
    }
    if (json) {
        qm_print_json(list);
    }
    return 0;
}

/* ------------------------------------------------------------------ others */

int qm_unlock(char **operands, Err *err)
{
    GuestEditOptions options = {.skiplock = true};
    g_autoptr(GuestTree) tree = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    uint32_t vmid = 0;
    int r = vmid_parse(operands[0], &vmid, err);

    if (r == 0) {
        r = guest_tree_open(qm_options.root, NULL, &tree, err);
    }
    if (r == 0) {
        r = guest_edit_begin(tree, vmid, &options, &edit, err);
    }
    if (r == 0) {
        (void)vmsection_unset(vmconf_main(guest_edit_conf(edit)), "lock"); /* or has none */
        r = guest_edit_commit(edit, err);
    }
    return r;
}

int qm_nextid(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = qm_store_open(&store, err);

    (void)operands;
    if (r == 0) {
        r = guest_store_next_id(store, &vmid, err);
    }
    if (r == 0) {
        printf("%u\n", vmid);
    }
    return r;
}
