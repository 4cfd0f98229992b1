/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_edit.h"

#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_rules.h"

#include <errno.h>
#include <string.h>

static int check_digest(const HaSectionEdit *e, const SectionConf *conf, Err *err)
{
    if (e->digest == NULL || strcmp(e->digest, conf->digest) == 0) {
        return 0;
    }
    return err_setf(err, -ESTALE,
                    "detected modified configuration - file changed by other user? Try again.");
}

static int find(const HaSectionEdit *e, SectionConf *conf, Section **ret, Err *err)
{
    Section *s = sectionconf_get(conf, e->key);

    if (s == NULL) {
        return err_setf(err, -ENOENT, "%s '%s' does not exist", e->what, e->key);
    }
    if (e->type != NULL && s->type != NULL && strcmp(s->type->name, e->type) != 0) {
        return err_setf(err, -EINVAL, "%s '%s' is of type '%s', not '%s'", e->what, e->key,
                        s->type->name, e->type);
    }
    *ret = s;
    return 0;
}

static int add(const HaSectionEdit *e, SectionConf *conf, Section **ret, Err *err)
{
    if (sectionconf_get(conf, e->key) != NULL) {
        return err_setf(err, -EEXIST, "%s '%s' already defined", e->what, e->key);
    }
    if (conf->sections->len >= HA_SERVICES_MAX) {
        return err_setf(err, -E2BIG, "there are %u already", conf->sections->len);
    }
    return sectionconf_add(conf, e->type, e->id, ret, err);
}

static int change_values(const HaSectionEdit *e, Section *s, Err *err)
{
    g_autoptr(GPtrArray) unset = sectionconf_split_list(e->unset != NULL ? e->unset : "");
    int r = 0;

    for (guint i = 0; i < unset->len; i++) {
        section_unset(s, g_ptr_array_index(unset, i));
    }
    for (const HaEditValue *v = e->values; v != NULL && v->name != NULL && r == 0; v++) {
        if (v->value != NULL) {
            r = section_set(s, v->name, v->value, err);
        }
    }
    return r;
}

static int check_complete(const HaSectionEdit *e, const Section *s, Err *err)
{
    for (size_t i = 0; i < s->type->n_props; i++) {
        const SectionProp *p = &s->type->props[i];

        if (p->required && section_text(s, p->name) == NULL) {
            return err_setf(err, -EINVAL, "%s '%s': property '%s' is required", e->what, e->key,
                            p->name);
        }
    }
    return 0;
}

int ha_edit_section(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaSectionEdit *e = data;
    g_autoptr(SectionConf) conf = NULL;
    Section *s = NULL;
    int r = sectionconf_parse(e->schema, old_text, strlen(old_text), NULL, NULL, &conf, err);

    if (r == 0) {
        r = check_digest(e, conf, err);
    }
    if (r == 0) {
        r = e->action == HA_EDIT_ADD ? add(e, conf, &s, err) : find(e, conf, &s, err);
    }
    if (r == 0 && e->action == HA_EDIT_REMOVE) {
        (void)sectionconf_remove(conf, e->key); /* it was found */
    } else if (r == 0) {
        r = change_values(e, s, err);
        if (r == 0) {
            r = check_complete(e, s, err);
        }
    }
    if (r == 0) {
        *ret_text = sectionconf_format(conf);
    }
    return r;
}

/* The list without the word; NULL when it was not in it. */
static char *list_without(const char *list, const char *word)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);
    GString *out = g_string_new(NULL);
    bool found = false;

    for (guint i = 0; i < words->len; i++) {
        const char *w = g_ptr_array_index(words, i);

        if (strcmp(w, word) == 0) {
            found = true;
        } else {
            g_string_append_printf(out, "%s%s", out->len > 0 ? "," : "", w);
        }
    }
    return g_string_free(out, !found);
}

int ha_edit_purge_rules(const char *old_text, char **ret_text, void *data, Err *err)
{
    const char *sid = data;
    g_autoptr(SectionConf) conf = NULL;
    bool changed = false;
    int r = sectionconf_parse(&ha_rules_schema, old_text, strlen(old_text), NULL, NULL, &conf, err);

    for (guint i = 0; r == 0 && i < conf->sections->len;) {
        Section *s = g_ptr_array_index(conf->sections, i);
        const char *list = s->type != NULL ? section_text(s, "resources") : NULL;
        g_autofree char *rest = list != NULL ? list_without(list, sid) : NULL;

        i++;
        if (rest == NULL) {
            continue;
        }
        changed = true;
        if (rest[0] != '\0') {
            r = section_set(s, "resources", rest, err);
        } else {
            g_autofree char *key = g_strdup(s->key);

            (void)sectionconf_remove(conf, key); /* it is there */
            i--;
        }
    }
    if (r < 0 || !changed) {
        return r < 0 ? r : 1;
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}

int ha_edit_queue(const char *old_text, char **ret_text, void *data, Err *err)
{
    gsize n = strlen(old_text);

    if (n > HA_TEXT_MAX / 2) {
        return err_setf(err, -EFBIG, "the command queue is full: is there a master?");
    }
    *ret_text = g_strconcat(old_text, n > 0 && old_text[n - 1] != '\n' ? "\n" : "",
                            (const char *)data, "\n", NULL);
    return 0;
}
