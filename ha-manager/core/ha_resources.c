/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_resources.h"

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <string.h>

#define COMMENT_MAX 4096

static const char *const request_words[] = {"started",  "stopped", "enabled",
                                            "disabled", "ignored", NULL};

static const SectionProp resource_props[] = {
    {.name = "state", .kind = SECTION_WORD, .words = request_words},
    {.name = "group", .kind = SECTION_TEXT, .max = HA_SID_MAX},
    {.name = "failback", .kind = SECTION_BOOL},
    {.name = "max_restart", .kind = SECTION_INT, .min = 0, .max = INT32_MAX},
    {.name = "max_relocate", .kind = SECTION_INT, .min = 0, .max = INT32_MAX},
    {.name = "comment", .kind = SECTION_TEXT, .max = COMMENT_MAX},
};

bool ha_is_vmid(const char *text)
{
    return text[0] >= '1' && text[0] <= '9' && text[1] != '\0' &&
           strspn(text, "0123456789") == strlen(text);
}

static int check_vmid(const char *id, Err *err)
{
    return ha_is_vmid(id) && strlen(id) <= 9 ? 0 : err_setf(err, -EINVAL, "invalid VMID '%s'", id);
}

static int check_word(const char *id, Err *err)
{
    return strlen(id) <= HA_SID_MAX / 2 ? 0 : err_setf(err, -EINVAL, "name is too long");
}

char *ha_sid_type(const char *sid)
{
    const char *colon = strchr(sid, ':');

    return colon != NULL ? g_strndup(sid, (gsize)(colon - sid)) : g_strdup(sid);
}

SectionSchema ha_resources_schema(const char *const *more)
{
    size_t n_more = more != NULL ? g_strv_length((char **)more) : 0;
    SectionType *types = g_new0(SectionType, 2 + n_more);
    size_t n = 0;

    types[n++] = (SectionType){"vm", check_vmid, resource_props, G_N_ELEMENTS(resource_props)};
    types[n++] = (SectionType){"ct", check_vmid, resource_props, G_N_ELEMENTS(resource_props)};
    for (size_t i = 0; i < n_more; i++) {
        types[n++] =
            (SectionType){more[i], check_word, resource_props, G_N_ELEMENTS(resource_props)};
    }
    return (SectionSchema){.types = types, .n_types = n, .key_has_type = true};
}

static void resource_free(void *data)
{
    HaResource *r = data;

    g_free(r->type);
    g_free(r->name);
    g_free(r->group);
    g_free(r->node);
    g_free(r);
}

void ha_resources_free(HaResources *res)
{
    if (res == NULL) {
        return;
    }
    strmap_free(res->by_sid);
    g_free(res);
}

static HaRequest request_of(const Section *s)
{
    const char *word = section_text(s, "state");
    int n = word != NULL ? ha_request_from_name(word) : HA_REQUEST_STARTED;

    return n >= 0 ? (HaRequest)n : HA_REQUEST_STARTED; /* the only other word is "enabled" */
}

static HaResource *resource_new(const Section *s, const StrMap *guests)
{
    const HaGuest *guest = guests != NULL ? strmap_get(guests, s->key) : NULL;
    HaResource *r = g_new0(HaResource, 1);

    r->type = g_strdup(s->type->name);
    r->name = g_strdup(s->id);
    r->request = request_of(s);
    r->group = g_strdup(section_text(s, "group"));
    r->node = guest != NULL ? g_strdup(guest->node) : NULL;
    r->failback = section_bool(s, "failback", true);
    r->max_restart = section_int(s, "max_restart", 1);
    r->max_relocate = section_int(s, "max_relocate", 1);
    return r;
}

int ha_resources_parse(const char *const *types,
                       const char *text,
                       const StrMap *guests,
                       SectionWarn warn,
                       void *ctx,
                       HaResources **ret_res,
                       Err *err)
{
    SectionSchema schema = ha_resources_schema(types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    HaResources *res;
    int r = sectionconf_parse(&schema, text, strlen(text), warn, ctx, &conf, err);

    (void)owned;
    if (r < 0) {
        return err_wrapf(err, r, "ha/resources.cfg");
    }
    if (conf->sections->len > HA_SERVICES_MAX) {
        return err_setf(err, -EFBIG, "ha/resources.cfg: more than %d services", HA_SERVICES_MAX);
    }
    res = g_new0(HaResources, 1);
    res->by_sid = strmap_new(resource_free);
    (void)g_strlcpy(res->digest, conf->digest, sizeof res->digest); /* same size */
    for (guint i = 0; i < conf->sections->len; i++) {
        const Section *s = g_ptr_array_index(conf->sections, i);

        if (s->complete) {
            strmap_set(res->by_sid, s->key, resource_new(s, guests));
        }
    }
    *ret_res = res;
    return 0;
}

HaResource *ha_resources_get(const HaResources *res, const char *sid)
{
    return strmap_get(res->by_sid, sid);
}

HaRequest ha_resources_request(const HaResources *res, const char *sid)
{
    const HaResource *r = ha_resources_get(res, sid);

    return r != NULL ? r->request : HA_REQUEST_DISABLED;
}

static int
parse_for_edit(const SectionSchema *schema, const char *text, SectionConf **ret_conf, Err *err)
{
    int r = sectionconf_parse(schema, text, strlen(text), NULL, NULL, ret_conf, err);

    return r < 0 ? err_wrapf(err, r, "ha/resources.cfg") : 0;
}

int ha_resources_edit_request(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaRequestEdit *edit = data;
    SectionSchema schema = ha_resources_schema(edit->types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    Section *s;
    int r = parse_for_edit(&schema, old_text, &conf, err);

    (void)owned;
    if (r < 0) {
        return r;
    }
    s = sectionconf_get(conf, edit->sid);
    if (s == NULL) {
        return 1;
    }
    r = section_set(s, "state", ha_request_name(edit->request), err);
    if (r < 0) {
        return r;
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}

int ha_resources_edit_add(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaRequestEdit *edit = data;
    SectionSchema schema = ha_resources_schema(edit->types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    g_autofree char *type = ha_sid_type(edit->sid);
    const char *colon = strchr(edit->sid, ':');
    Section *s;
    int r = parse_for_edit(&schema, old_text, &conf, err);

    (void)owned;
    if (r == 0) {
        r = sectionconf_add(conf, type, colon != NULL ? colon + 1 : "", &s, err);
    }
    if (r == 0) {
        r = section_set(s, "state", ha_request_name(edit->request), err);
    }
    if (r < 0) {
        return r;
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}

int ha_resources_edit_remove(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaRequestEdit *edit = data;
    SectionSchema schema = ha_resources_schema(edit->types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    int r = parse_for_edit(&schema, old_text, &conf, err);

    (void)owned;
    if (r < 0) {
        return r;
    }
    if (!sectionconf_remove(conf, edit->sid)) {
        return 1;
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}

int ha_resources_edit_ungroup(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaUngroupEdit *edit = data;
    SectionSchema schema = ha_resources_schema(edit->types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    int r = parse_for_edit(&schema, old_text, &conf, err);

    (void)owned;
    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < conf->sections->len; i++) {
        Section *s = g_ptr_array_index(conf->sections, i);
        const HaResource *res = s->complete ? ha_resources_get(edit->resources, s->key) : NULL;

        if (res == NULL || section_text(s, "group") == NULL) {
            continue;
        }
        section_unset(s, "group");
        section_unset(s, "failback");
        if (!res->failback) {
            r = section_set(s, "failback", "0", err);
            if (r < 0) {
                return r;
            }
        }
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}
