/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/cluster_api.h"

#include "api/core/cluster_view.h"
#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool known_type(const char *text)
{
    return strcmp(text, "vm") == 0 || strcmp(text, "node") == 0 || strcmp(text, "storage") == 0 ||
           strcmp(text, "sdn") == 0;
}

const ParamSpec cluster_resources_params[] = {
    {"type", PARAM_TEXT, 1, 16, false, known_type, "resource type"},
    {0},
};

/* Facts with what they point to. */
typedef struct Texts {
    ClusterFacts facts;
    char node[256];
    JsonTree *members, *vmlist;
} Texts;

static void texts_done(Texts *t)
{
    jsontree_free(t->members);
    jsontree_free(t->vmlist);
    if (t->facts.rrd != NULL) {
        g_hash_table_unref(t->facts.rrd);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Texts, texts_done)

static int read_view(const char *pve, const char *name, char **ret, gsize *ret_size, Err *err)
{
    g_autofree char *path = g_build_filename(pve, name, NULL);

    return cfsfile_read(path, CLUSTER_VIEW_TEXT_MAX, ret, ret_size, err);
}

static int read_json(const char *pve, const char *name, JsonTree **ret, Err *err)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = read_view(pve, name, &text, &size, err);

    return r < 0 ? r : jsontree_parse(text, size, ret, err);
}

static int read_facts(const char *pve, Texts *t, Err *err)
{
    g_autofree char *rrd = NULL;
    gsize size = 0;
    int r;

    (void)gethostname(t->node, sizeof t->node - 1); /* "" is no node */
    t->node[strcspn(t->node, ".")] = '\0';
    if ((r = read_json(pve, ".members", &t->members, err)) < 0 ||
        (r = read_json(pve, ".vmlist", &t->vmlist, err)) < 0 ||
        (r = read_view(pve, ".rrd", &rrd, &size, err)) < 0) {
        return err_wrapf(err, r == -EBADMSG ? -EIO : r, "the cluster's files");
    }
    t->facts = (ClusterFacts){.node = t->node,
                              .members = t->members,
                              .vmlist = t->vmlist,
                              .rrd = cluster_view_rrd(rrd, size)};
    return 0;
}

static bool may_see(void *ctx, const char *kind, const char *id)
{
    const ApiCaller *caller = ctx;
    bool node = strcmp(kind, "node") == 0, storage = strcmp(kind, "storage") == 0;
    g_autofree char *path = g_strdup_printf("/%s/%s",
                                            node      ? "nodes"
                                            : storage ? "storage"
                                                      : "vms",
                                            id);

    return api_auth_need(caller, path,
                         node      ? "Sys.Audit"
                         : storage ? "Datastore.Audit|Datastore.AllocateSpace"
                                   : "VM.Audit",
                         NULL) == 0;
}

int cluster_get_status(ApiCall *c, Err *err)
{
    g_auto(Texts) t = {0};
    int r = read_facts(c->pve, &t, err);

    c->data = r == 0 ? cluster_view_status(&t.facts) : NULL;
    return r;
}

int cluster_get_resources(ApiCall *c, Err *err)
{
    g_auto(Texts) t = {0};
    int r = read_facts(c->pve, &t, err);

    c->data = r == 0 ? cluster_view_resources(&t.facts, params_get(c->params, "type"), may_see,
                                              &c->caller)
                     : NULL;
    return r;
}

int cluster_get_nodes(ApiCall *c, Err *err)
{
    g_auto(Texts) t = {0};
    int r = read_facts(c->pve, &t, err);

    c->data = r == 0 ? cluster_view_nodes(&t.facts, may_see, &c->caller) : NULL;
    return r;
}
