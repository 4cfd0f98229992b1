/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/access_api.h"

#include "api/io/password.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/ticket_keys.h"
#include "lib/conf/corosync_conf.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>

#define TFA_MAX (1024u * 1024u)

const ParamSpec access_ticket_params[] = {
    {"username", PARAM_TEXT, 1, 64, true, NULL, NULL},
    {"password", PARAM_TEXT, 1, WIRE_TICKET_TEXT_MAX, true, NULL, NULL},
    {"realm", PARAM_TEXT, 1, 32, false, NULL, NULL},
    {"otp", PARAM_TEXT, 0, 64, false, NULL, NULL},
    {"path", PARAM_TEXT, 1, 256, false, NULL, NULL},
    {"privs", PARAM_TEXT, 1, 512, false, NULL, NULL},
    {"new-format", PARAM_BOOL, 0, 0, false, NULL, NULL},
    {"tfa-challenge", PARAM_TEXT, 0, WIRE_TICKET_TEXT_MAX, false, NULL, NULL},
    {0},
};

/* ---- who ---------------------------------------------------------------------------------------
 */

static char *user_of(const ApiCall *c)
{
    const char *name = params_get(c->params, "username");
    const char *realm = params_get(c->params, "realm");

    if (strchr(name, '@') != NULL && realm == NULL) {
        return g_strdup(name);
    }
    return g_strdup_printf("%s@%s", name, realm != NULL ? realm : "pam");
}

/* Has the user a second factor? Then a password alone must not open the door. A file that cannot be
 * read counts as yes. */
static bool has_second_factor(const char *pve, const char *user)
{
    g_autofree char *path = g_build_filename(pve, "priv", "tfa.cfg", NULL);
    g_autofree char *text = NULL;
    g_autoptr(JsonTree) tree = NULL;
    const JsonTree *kinds;
    gsize size = 0;
    int r = cfsfile_read(path, TFA_MAX, &text, &size, NULL);

    if (r == -ENOENT || (r == 0 && size == 0)) {
        return false;
    }
    if (r < 0 || jsontree_parse(text, size, &tree, NULL) < 0) {
        return true;
    }
    kinds = jsontree_get(jsontree_get(tree, "users"), user);
    for (guint i = 0; i < jsontree_count(kinds); i++) {
        if (jsontree_count(jsontree_at(kinds, i)) > 0) {
            return true;
        }
    }
    return false;
}

/* A ticket as password renews it; root@pam may take over another user. */
static int by_ticket(const ApiCall *c, const char *user, const char *ticket, Err *err)
{
    g_autofree char *owner = NULL;
    int r = ticket_keys_verify(c->pve, ticket, clock_wall(), &owner, err);

    if (r == 0 && strcmp(owner, user) != 0 && strcmp(owner, USERCFG_ROOT) != 0) {
        r = err_setf(err, -EACCES, "a ticket of another user");
    }
    return r;
}

static int read_users(ApiCall *c, Err *err)
{
    int r = api_auth_read_users(c->pve, &c->caller.cfg, err);

    if (r == 0 && usercfg_skipped(c->caller.cfg) > 0) {
        trace(c->tracer, TRACE_WARNING, "user.cfg: %u records cannot be read and grant nothing",
              usercfg_skipped(c->caller.cfg));
    }
    return r;
}

static int prove(ApiCall *c, const char *user, Err *err)
{
    const ApidContext *x = c->ctx;
    const char *password = params_get(c->params, "password");
    int r;

    if (!wire_ticket_valid_user(user)) {
        return err_setf(err, -EACCES, "no proper user name");
    }
    if ((r = read_users(c, err)) < 0 ||
        (r = usercfg_check_user(c->caller.cfg, user, clock_wall(), err)) < 0) {
        return r;
    }
    if (g_str_has_prefix(password, "PVE:")) {
        return by_ticket(c, user, password, err);
    }
    if (params_get(c->params, "tfa-challenge") != NULL || has_second_factor(c->pve, user)) {
        return err_setf(err, -EACCES, "a second factor is asked for, which is not supported yet");
    }
    return password_check(c->pve, x->pam_helper, user, password, c->request->peer, err);
}

/* ---- what he gets ------------------------------------------------------------------------------
 */

static JsonTree *privileges_at(const ApiCall *c, const char *path, const char *const *prefixes)
{
    PrivSet have = usercfg_privileges(c->caller.cfg, c->caller.who, path);
    JsonTree *out = jsontree_new_object();

    for (unsigned i = 0; i < usercfg_n_privs(); i++) {
        const char *name = usercfg_priv_name(i);

        for (unsigned k = 0; (have & usercfg_priv(name)) && prefixes[k] != NULL; k++) {
            if (g_str_has_prefix(name, prefixes[k])) {
                jsontree_set_int(out, name, 1);
            }
        }
    }
    return out;
}

/* What the web pages show or hide by it. */
static JsonTree *capabilities(const ApiCall *c)
{
    static const struct {
        const char *name, *path;
        const char *prefixes[6];
    } kinds[] = {
        {"vms", "/vms", {"VM.", "Permissions.Modify", NULL}},
        {"access", "/access", {"User.", "Group.", "Realm.", "Permissions.Modify", NULL}},
        {"storage", "/storage", {"Datastore.", "Permissions.Modify", NULL}},
        {"nodes", "/nodes", {"Sys.", "Permissions.Modify", NULL}},
        {"sdn", "/sdn", {"SDN.", "Permissions.Modify", NULL}},
        {"dc", "/", {"Sys.", "SDN.", NULL}},
        {"mapping", "/mapping", {"Mapping.", "Permissions.Modify", NULL}},
    };
    JsonTree *out = jsontree_new_object();

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        jsontree_set(out, kinds[i].name, privileges_at(c, kinds[i].path, kinds[i].prefixes));
    }
    return out;
}

static void add_cluster_name(const ApiCall *c, JsonTree *data)
{
    g_autofree char *path = g_build_filename(c->pve, "corosync.conf", NULL);
    g_autofree char *text = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    gsize size = 0;

    if (api_auth_need(&c->caller, "/", "Sys.Audit", NULL) == 0 &&
        cfsfile_read(path, COROSYNC_CONF_SIZE_MAX, &text, &size, NULL) == 0 &&
        corosync_conf_parse(text, size, &conf, NULL) == 0) {
        jsontree_set_text(data, "clustername", corosync_conf_get(conf, "totem.cluster_name"));
    }
}

static int answer(ApiCall *c, Err *err)
{
    g_autofree char *ticket = NULL;
    g_autofree char *csrf = NULL;
    char *www_key = NULL;
    int r;

    if ((r = ticket_keys_sign(c->pve, c->caller.user, clock_wall(), &ticket, err)) < 0 ||
        (r = api_auth_www_key(c->pve, &www_key, err)) < 0) {
        return r;
    }
    csrf = wire_csrf_format(www_key, c->caller.user, clock_wall());
    explicit_bzero(www_key, strlen(www_key));
    g_free(www_key);
    c->data = jsontree_new_object();
    jsontree_set_text(c->data, "username", c->caller.user);
    jsontree_set_text(c->data, "ticket", ticket);
    jsontree_set_text(c->data, "CSRFPreventionToken", csrf);
    jsontree_set(c->data, "cap", capabilities(c));
    add_cluster_name(c, c->data);
    return 0;
}

int access_post_ticket(ApiCall *c, Err *err)
{
    g_autofree char *user = user_of(c);
    const char *path = params_get(c->params, "path");
    const char *privs = params_get(c->params, "privs");
    int r = prove(c, user, err);

    if (r == 0) {
        c->caller.user = g_strdup(user);
        c->caller.who = g_strdup(user);
        r = path != NULL && privs != NULL ? api_auth_need(&c->caller, path, privs, err) : 0;
    }
    if (r < 0) {
        g_autofree char *shown = g_strescape(user, NULL); /* whatever it is: one line of log */

        trace(c->tracer, TRACE_WARNING, "login of '%.80s' from %s failed: %s", shown,
              c->request->peer, err_text(err));
        c->status = 401;
        err_clear(err);
        return err_setf(err, -EACCES, "authentication failure");
    }
    trace(c->tracer, TRACE_INFO, "'%s' logged in from %s", user, c->request->peer);
    return answer(c, err);
}

int access_get_ticket(ApiCall *c, Err *err)
{
    (void)c, (void)err;
    return 0;
}

int access_get_index(ApiCall *c, Err *err)
{
    static const char *const names[] = {"domains", "ticket"};

    (void)err;
    c->data = jsontree_new_array();
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "subdir", names[i]);
        jsontree_add(c->data, one);
    }
    return 0;
}

int access_get_domains(ApiCall *c, Err *err)
{
    static const struct {
        const char *realm, *comment;
    } realms[] = {{"pam", "Linux PAM standard authentication"},
                  {"pve", "Users of the cluster's own list"}};

    (void)err;
    c->data = jsontree_new_array();
    for (guint i = 0; i < G_N_ELEMENTS(realms); i++) {
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "realm", realms[i].realm);
        jsontree_set_text(one, "type", realms[i].realm);
        jsontree_set_text(one, "comment", realms[i].comment);
        jsontree_add(c->data, one);
    }
    return 0;
}

int access_get_version(ApiCall *c, Err *err)
{
    (void)err;
    c->data = jsontree_new_object();
    jsontree_set_text(c->data, "version", PACKAGE_VERSION);
    jsontree_set_text(c->data, "release", "9");
    jsontree_set_text(c->data, "repoid", PACKAGE_NAME);
    return 0;
}
