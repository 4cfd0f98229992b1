/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/usercfg.h"

#include <errno.h>
#include <string.h>

typedef enum Category {
    CAT_NONE,
    CAT_DATASTORE,
    CAT_MAPPING,
    CAT_POOL,
    CAT_SDN,
    CAT_SYS,
    CAT_USER,
    CAT_VM,
} Category;

typedef enum Level { LEVEL_A, LEVEL_U, LEVEL_M, LEVEL_R } Level;

static const struct {
    const char *name;
    Category category;
    Level level;
} privs[] = {
#define ROW(name, category, level) {name, CAT_##category, LEVEL_##level},
    USERCFG_PRIV_LIST(ROW)
#undef ROW
};
_Static_assert(G_N_ELEMENTS(privs) < 63, "a set of privileges fits into 63 bits");

#define ALL_PRIVS (((PrivSet)1 << G_N_ELEMENTS(privs)) - 1)
#define NO_ACCESS ((PrivSet)1 << 63) /* of a role: takes everything away */

typedef struct User {
    bool enabled;
    int64_t expire; /* 0: never */
    bool privsep;   /* of tokens */
} User;

typedef struct Rule {
    bool propagate;
    char *path;
    char *who; /* user, "@group" or token */
    PrivSet privs;
} Rule;

typedef struct Pool {
    char *name;
    char **vms, **storages;
} Pool;

struct UserCfg {
    GHashTable *users, *tokens; /* id -> User */
    GHashTable *groups;         /* name -> GHashTable of users */
    GHashTable *roles;          /* name -> PrivSet* */
    GPtrArray *rules, *pools;
    unsigned skipped;
};

PrivSet usercfg_priv(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(privs); i++) {
        if (strcmp(privs[i].name, name) == 0) {
            return (PrivSet)1 << i;
        }
    }
    return 0;
}

unsigned usercfg_n_privs(void)
{
    return G_N_ELEMENTS(privs);
}

const char *usercfg_priv_name(unsigned i)
{
    return privs[i].name;
}

/* ---- roles that always exist ------------------------------------------------------------------
 */

static PrivSet up_to(Category category, Level level)
{
    PrivSet set = 0;

    for (guint i = 0; i < G_N_ELEMENTS(privs); i++) {
        if (privs[i].category == category && privs[i].level <= level) {
            set |= (PrivSet)1 << i;
        }
    }
    return set;
}

static PrivSet of_level(Level level)
{
    PrivSet set = 0;

    for (guint i = 0; i < G_N_ELEMENTS(privs); i++) {
        if (privs[i].level <= level) {
            set |= (PrivSet)1 << i;
        }
    }
    return set;
}

static void add_role(UserCfg *cfg, const char *name, PrivSet set)
{
    g_hash_table_replace(cfg->roles, g_strdup(name), g_memdup2(&set, sizeof set));
}

static void add_builtin_roles(UserCfg *cfg)
{
    static const struct {
        const char *name;
        Category category;
        bool has_user;
    } categories[] = {
        {"VM", CAT_VM, true},
        {"Sys", CAT_SYS, false},
        {"Datastore", CAT_DATASTORE, true},
        {"SDN", CAT_SDN, true},
        {"User", CAT_USER, false},
        {"Pool", CAT_POOL, true},
        {"Mapping", CAT_MAPPING, true},
    };

    add_role(cfg, "Administrator", ALL_PRIVS);
    add_role(cfg, "NoAccess", NO_ACCESS);
    add_role(cfg, "PVEAdmin", of_level(LEVEL_M) & ~usercfg_priv("Mapping.Modify"));
    add_role(cfg, "PVEAuditor", of_level(LEVEL_A));
    add_role(cfg, "PVETemplateUser", usercfg_priv("VM.Clone") | usercfg_priv("VM.Audit"));
    for (guint i = 0; i < G_N_ELEMENTS(categories); i++) {
        g_autofree char *admin = g_strdup_printf("PVE%sAdmin", categories[i].name);

        add_role(cfg, admin, up_to(categories[i].category, LEVEL_M));
        if (categories[i].has_user) {
            g_autofree char *user = g_strdup_printf("PVE%sUser", categories[i].name);

            add_role(cfg, user, up_to(categories[i].category, LEVEL_U));
        }
    }
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

static void rule_free(void *p)
{
    Rule *r = p;

    g_free(r->path);
    g_free(r->who);
    g_free(r);
}

static void pool_free(void *p)
{
    Pool *pool = p;

    g_free(pool->name);
    g_strfreev(pool->vms);
    g_strfreev(pool->storages);
    g_free(pool);
}

void usercfg_free(UserCfg *cfg)
{
    if (cfg == NULL) {
        return;
    }
    g_hash_table_unref(cfg->users);
    g_hash_table_unref(cfg->tokens);
    g_hash_table_unref(cfg->groups);
    g_hash_table_unref(cfg->roles);
    g_ptr_array_unref(cfg->rules);
    g_ptr_array_unref(cfg->pools);
    g_free(cfg);
}

static char **split_list(const char *text)
{
    return g_strsplit_set(text, ",; ", -1);
}

static bool number(const char *text, int64_t *ret)
{
    gint64 v = 0;

    if (*text != '\0' && !g_ascii_string_to_signed(text, 10, 0, G_MAXINT64, &v, NULL)) {
        return false;
    }
    *ret = v;
    return true;
}

static bool take_user(UserCfg *cfg, char **f, guint n)
{
    User u = {.enabled = n > 2 && strcmp(f[2], "1") == 0};

    if (n < 4 || *f[1] == '\0' || !number(f[3], &u.expire)) {
        return false;
    }
    g_hash_table_replace(cfg->users, g_strdup(f[1]), g_memdup2(&u, sizeof u));
    return true;
}

static bool take_token(UserCfg *cfg, char **f, guint n)
{
    /* What is not plainly 0 keeps the rights apart: the safe reading. */
    User u = {.enabled = true, .privsep = n < 4 || strcmp(f[3], "0") != 0};

    if (n < 3 || strchr(f[1], '!') == NULL || !number(f[2], &u.expire)) {
        return false;
    }
    g_hash_table_replace(cfg->tokens, g_strdup(f[1]), g_memdup2(&u, sizeof u));
    return true;
}

static bool take_group(UserCfg *cfg, char **f, guint n)
{
    g_auto(GStrv) users = NULL;
    GHashTable *set;

    if (n < 3 || *f[1] == '\0') {
        return false;
    }
    users = split_list(f[2]);
    set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; users[i] != NULL; i++) {
        (void)g_hash_table_add(set, g_strdup(users[i]));
    }
    g_hash_table_replace(cfg->groups, g_strdup(f[1]), set);
    return true;
}

static bool take_pool(UserCfg *cfg, char **f, guint n)
{
    Pool *pool;

    if (n < 5 || *f[1] == '\0') {
        return false;
    }
    pool = g_new0(Pool, 1);
    pool->name = g_strdup(f[1]);
    pool->vms = split_list(f[3]);
    pool->storages = split_list(f[4]);
    g_ptr_array_add(cfg->pools, pool);
    return true;
}

static bool take_role(UserCfg *cfg, char **f, guint n)
{
    g_auto(GStrv) names = NULL;
    PrivSet set = 0;

    if (n < 3 || *f[1] == '\0') {
        return false;
    }
    if (g_hash_table_contains(cfg->roles, f[1])) {
        return false; /* roles that always exist cannot be changed */
    }
    names = split_list(f[2]);
    for (guint i = 0; names[i] != NULL; i++) {
        set |= usercfg_priv(names[i]); /* of other versions: unknown here, gives nothing */
    }
    add_role(cfg, f[1], set);
    return true;
}

static bool take_acl(UserCfg *cfg, char **f, guint n)
{
    g_auto(GStrv) who = NULL;
    g_auto(GStrv) roles = NULL;
    PrivSet set = 0;
    bool any = false;

    if (n < 5 || f[2][0] != '/') {
        return false;
    }
    who = split_list(f[3]);
    roles = split_list(f[4]);
    for (guint i = 0; roles[i] != NULL; i++) {
        const PrivSet *role = g_hash_table_lookup(cfg->roles, roles[i]);

        any = any || role != NULL;
        set |= role != NULL ? *role : 0;
    }
    for (guint i = 0; any && who[i] != NULL; i++) {
        Rule *rule;

        if (*who[i] == '\0') {
            continue;
        }
        rule = g_new0(Rule, 1);
        rule->propagate = strcmp(f[1], "1") == 0;
        rule->path = g_strdup(f[2]);
        rule->who = g_strdup(who[i]);
        rule->privs = set;
        g_ptr_array_add(cfg->rules, rule);
    }
    return any;
}

static void take_line(UserCfg *cfg, const char *line)
{
    static const struct {
        const char *name;
        bool (*take)(UserCfg *cfg, char **fields, guint n);
    } kinds[] = {{"user", take_user}, {"token", take_token}, {"group", take_group},
                 {"pool", take_pool}, {"role", take_role},   {"acl", take_acl}};
    g_auto(GStrv) fields = NULL;

    if (*line == '\0' || *line == '#') {
        return;
    }
    fields = g_strsplit(line, ":", 12);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(fields[0], kinds[i].name) == 0) {
            cfg->skipped += !kinds[i].take(cfg, fields, g_strv_length(fields));
            return;
        }
    }
    cfg->skipped++;
}

static GHashTable *table(GDestroyNotify free_value)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_value);
}

int usercfg_parse(const char *text, gsize size, UserCfg **ret, Err *err)
{
    g_autoptr(UserCfg) cfg = NULL;
    g_autofree char *copy = NULL;
    g_auto(GStrv) lines = NULL;

    if (size > USERCFG_SIZE_MAX) {
        return err_setf(err, -E2BIG, "user.cfg is larger than %u bytes", USERCFG_SIZE_MAX);
    }
    cfg = g_new0(UserCfg, 1);
    cfg->users = table(g_free);
    cfg->tokens = table(g_free);
    cfg->groups = table((GDestroyNotify)g_hash_table_unref);
    cfg->roles = table(g_free);
    cfg->rules = g_ptr_array_new_with_free_func(rule_free);
    cfg->pools = g_ptr_array_new_with_free_func(pool_free);
    add_builtin_roles(cfg);
    copy = g_strndup(text, size);
    lines = g_strsplit(copy, "\n", -1);
    if (g_strv_length(lines) > USERCFG_RECORDS_MAX) {
        return err_setf(err, -E2BIG, "user.cfg has more than %u lines", USERCFG_RECORDS_MAX);
    }
    for (guint i = 0; lines[i] != NULL; i++) {
        take_line(cfg, g_strstrip(lines[i]));
    }
    *ret = g_steal_pointer(&cfg);
    return 0;
}

unsigned usercfg_skipped(const UserCfg *cfg)
{
    return cfg->skipped;
}

/* ---- who --------------------------------------------------------------------------------------
 */

static int check(const User *u, const char *kind, const char *id, WallTime now, Err *err)
{
    if (u == NULL) {
        return err_setf(err, -EACCES, "no such %s ('%s')", kind, id);
    }
    if (!u->enabled) {
        return err_setf(err, -EACCES, "%s '%s' is disabled", kind, id);
    }
    if (u->expire > 0 && u->expire < now.sec) {
        return err_setf(err, -EACCES, "%s '%s' has expired", kind, id);
    }
    return 0;
}

int usercfg_check_user(const UserCfg *cfg, const char *user, WallTime now, Err *err)
{
    const User *u = g_hash_table_lookup(cfg->users, user);

    if (u == NULL && strcmp(user, USERCFG_ROOT) == 0) {
        return 0; /* exists without a record */
    }
    return check(u, "user", user, now, err);
}

static char *user_of(const char *who)
{
    return g_strndup(who, strcspn(who, "!"));
}

int usercfg_check_token(const UserCfg *cfg, const char *token, WallTime now, Err *err)
{
    g_autofree char *user = user_of(token);
    int r = usercfg_check_user(cfg, user, now, err);

    return r < 0 ? r : check(g_hash_table_lookup(cfg->tokens, token), "token", token, now, err);
}

/* ---- what -------------------------------------------------------------------------------------
 */

/* Which kind of entry a rule is for `who`: 0 none, 1 group, 2 itself. */
static int matches(const UserCfg *cfg, const Rule *rule, const char *who)
{
    GHashTable *group;

    if (rule->who[0] != '@') {
        return strcmp(rule->who, who) == 0 ? 2 : 0;
    }
    group = g_hash_table_lookup(cfg->groups, rule->who + 1);
    return group != NULL && g_hash_table_contains(group, who) ? 1 : 0;
}

/* Roles of one level of the path; false when there is none. An own entry beats those of groups. */
static bool
at_level(const UserCfg *cfg, const char *who, const char *level, bool is_object, PrivSet *ret)
{
    int best = 0;
    PrivSet set = 0;

    for (guint i = 0; i < cfg->rules->len; i++) {
        const Rule *rule = g_ptr_array_index(cfg->rules, i);
        int kind;

        if (strcmp(rule->path, level) != 0 || !(rule->propagate || is_object) ||
            (kind = matches(cfg, rule, who)) == 0 || kind < best) {
            continue;
        }
        set = kind > best ? rule->privs : set | rule->privs;
        best = kind;
    }
    if (best > 0) {
        *ret = set;
    }
    return best > 0;
}

static PrivSet walk(const UserCfg *cfg, const char *who, const char *path)
{
    PrivSet set = 0;
    gsize n = strlen(path);

    (void)at_level(cfg, who, "/", n == 1, &set);
    for (gsize i = 1; i <= n; i++) {
        if (i > 1 && (path[i] == '/' || path[i] == '\0')) {
            g_autofree char *level = g_strndup(path, i);

            (void)at_level(cfg, who, level, i == n, &set);
        }
    }
    return set;
}

static bool in_pool(const Pool *pool, const char *path)
{
    if (g_str_has_prefix(path, "/vms/")) {
        return g_strv_contains((const char *const *)pool->vms, path + 5);
    }
    return g_str_has_prefix(path, "/storage/") &&
           g_strv_contains((const char *const *)pool->storages, path + 9);
}

static PrivSet of_one(const UserCfg *cfg, const char *who, const char *path)
{
    PrivSet set = walk(cfg, who, path);

    for (guint i = 0; !(set & NO_ACCESS) && i < cfg->pools->len; i++) {
        const Pool *pool = g_ptr_array_index(cfg->pools, i);

        if (in_pool(pool, path)) {
            g_autofree char *pool_path = g_strconcat("/pool/", pool->name, NULL);

            set |= walk(cfg, who, pool_path);
        }
    }
    return set & NO_ACCESS ? 0 : set;
}

PrivSet usercfg_privileges(const UserCfg *cfg, const char *who, const char *path)
{
    g_autofree char *user = user_of(who);
    bool is_token = strchr(who, '!') != NULL;
    PrivSet of_user;

    if (path[0] != '/') {
        return 0;
    }
    of_user = strcmp(user, USERCFG_ROOT) == 0 ? ALL_PRIVS : of_one(cfg, user, path);
    if (is_token) {
        const User *token = g_hash_table_lookup(cfg->tokens, who);

        return token == NULL ? 0 : token->privsep ? of_user & of_one(cfg, who, path) : of_user;
    }
    return of_user;
}
