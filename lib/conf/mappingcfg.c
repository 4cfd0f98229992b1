/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/mappingcfg.h"

#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

struct MappingCfg {
    char *file;
    SectionLines *text;
};

static const PropKey map_keys[] = {
    {.name = "node", .kind = PROP_TEXT, .flags = PROP_REQUIRED, .max = 255},
    {.name = "path", .kind = PROP_TEXT, .max = 4096},
    {.name = "id", .kind = PROP_TEXT, .max = 64},
    {.name = "subsystem-id", .kind = PROP_TEXT, .max = 64},
    {.name = "iommugroup", .kind = PROP_TEXT, .max = 16},
    {.name = "description", .kind = PROP_TEXT, .max = 4096},
};
static const PropSchema map_schema = {"map", map_keys, G_N_ELEMENTS(map_keys)};

void mappingcfg_free(MappingCfg *cfg)
{
    if (cfg != NULL) {
        g_free(cfg->file);
        sectionlines_free(cfg->text);
        g_free(cfg);
    }
}

int mappingcfg_parse(const char *file, const char *text, size_t len, MappingCfg **ret, Err *err)
{
    g_autoptr(MappingCfg) cfg = g_new0(MappingCfg, 1);
    int r = sectionlines_parse(text, len, &cfg->text, err);

    if (r < 0) {
        return err_wrapf(err, r, "%s", file);
    }
    cfg->file = g_strdup(file);
    *ret = g_steal_pointer(&cfg);
    return 0;
}

static const SectionLinesEntry *find(const MappingCfg *cfg, const char *name)
{
    for (guint i = 0; i < cfg->text->sections->len; i++) {
        const SectionLinesEntry *e = cfg->text->sections->pdata[i];
        if (strcmp(e->id, name) == 0) {
            return e;
        }
    }
    return NULL;
}

/* Adds the path of one `map` line when it is for `node`. USB devices may be known by id alone. */
static int
add_path(const MappingCfg *cfg, const SectionLine *l, const char *node, GPtrArray *paths, Err *err)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    const char *path;
    int r = propstring_parse(&map_schema, l->value, unknown, &p, err);

    if (r < 0) {
        return err_wrapf(err, r, "%s: line %u", cfg->file, l->line);
    }
    path = propstring_text(p, "path");
    path = path != NULL ? path : propstring_text(p, "id");
    if (path == NULL || path[0] == '\0') {
        return err_setf(err, -EINVAL, "%s: line %u: neither path nor id", cfg->file, l->line);
    }
    if (strcmp(propstring_text(p, "node"), node) == 0) {
        g_ptr_array_add(paths, g_strdup(path));
    }
    return 0;
}

int mappingcfg_paths(
    const MappingCfg *cfg, const char *name, const char *node, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    const SectionLinesEntry *e = find(cfg, name);

    if (e == NULL) {
        return err_setf(err, -ENOENT, "mapping '%.60s' is not in %s", name, cfg->file);
    }
    if (e->error != NULL) {
        return err_setf(err, -EINVAL, "%s: %s", cfg->file, e->error);
    }
    for (guint i = 0; i < e->lines->len; i++) {
        const SectionLine *l = e->lines->pdata[i];
        if (strcmp(l->key, "map") == 0) {
            int r = add_path(cfg, l, node, paths, err);
            if (r < 0) {
                return r;
            }
        }
    }
    if (paths->len == 0) {
        return err_setf(err, -ENODEV, "mapping '%.60s' has nothing on node '%.60s'", name, node);
    }
    *ret = g_steal_pointer(&paths);
    return 0;
}
