/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: only who has proven himself gets in, and may do what user.cfg says and nothing else.
 * Method: tickets and CSRF texts against values worked out by other programs (openssl, python) and
 * with every byte changed; rights against the rules of reference api, chapter 8, case by case.
 */
#include "lib/cfs/api_call.h"
#include "lib/cfs/ticket_keys.h"
#include "lib/conf/usercfg.h"
#include "lib/wire/wire_params.h"
#include "lib/wire/wire_ticket.h"
#include "lib/wire/wire_upid.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#define NOW 1764345600

/* ---- texts ------------------------------------------------------------------------------------
 */

static void csrf_texts_are_those_of_the_peers(void)
{
    Err err = ERR_INIT;
    g_autofree char *text = wire_csrf_format("secret\n", "root@pam", (WallTime){NOW});

    /* python3: b=lambda x: base64.b64encode(x).rstrip(b'='); s=b(hmac(b'', b'secret\n'));
     * 'T:' + b(hmac(s, b'T:root@pam')), hmac with SHA-256, T=6929C700 */
    g_assert_cmpstr(text, ==, "6929C700:FV2V/nuCqqpUiHBv+7AyGlYVR4NejPYNBEJdZTfiFLQ");
    g_assert_cmpint(wire_csrf_check(text, "secret\n", "root@pam", (WallTime){NOW}, &err), ==, 0);
    g_assert_cmpint(wire_csrf_check(text, "secret\n", "root@pve", (WallTime){NOW}, &err), ==,
                    -EACCES);
    g_assert_cmpint(wire_csrf_check(text, "other\n", "root@pam", (WallTime){NOW}, &err), ==,
                    -EACCES);
    g_assert_cmpint(wire_csrf_check(text, "secret\n", "root@pam", (WallTime){NOW + 7201}, &err), ==,
                    -EACCES);
    g_assert_cmpint(wire_csrf_check(text, "secret\n", "root@pam", (WallTime){NOW - 301}, &err), ==,
                    -EACCES);
    for (gsize i = 0; text[i] != '\0'; i++) {
        g_autofree char *changed = g_strdup(text);

        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        g_assert_cmpint(wire_csrf_check(changed, "secret\n", "root@pam", (WallTime){NOW}, &err), ==,
                        -EACCES);
    }
}

static void tickets_are_read_or_refused(void)
{
    static const char *const bad[] = {"",
                                      "PVE:",
                                      "PVE:root@pam",
                                      "PVE:root@pam:6929C700",
                                      "PVE:root@pam:6929C700::",
                                      "PVE:root@pam:6929cb00::AAAA",
                                      "PVE::6929C700::AAAA",
                                      "PVE:root:6929C700::AAAA",
                                      "PVEVNC:root@pam:6929C700::AAAA",
                                      "PVE:!tfa!x:6929C700::AAAA",
                                      "PVE:ro ot@pam:6929C700::AAAA",
                                      "PVE:a%3Ab@pam:6929C700::AAAA"};
    guchar signature[256] = {1, 2, 3};
    g_autofree char *part = wire_ticket_part("root@pam", (WallTime){NOW});
    g_autofree char *text = wire_ticket_format(part, signature, sizeof signature);
    g_auto(Ticket) t = {0};
    Err err = ERR_INIT;

    g_assert_cmpstr(part, ==, "PVE:root@pam:6929C700");
    g_assert_cmpint(wire_ticket_parse(text, &t, &err), ==, 0);
    g_assert_cmpstr(t.user, ==, "root@pam");
    g_assert_cmpint(t.made.sec, ==, NOW);
    g_assert_cmpstr(t.part, ==, part);
    g_assert_cmpmem(t.signature, t.signature_size, signature, sizeof signature);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(Ticket) none = {0};
        g_autofree char *long_enough = g_strconcat(bad[i], strrchr(text, ':') + 1, NULL);

        g_assert_cmpint(wire_ticket_parse(bad[i], &none, &err), ==, -EBADMSG);
        if (strstr(bad[i], "::AAAA") != NULL) {
            g_assert_cmpint(wire_ticket_parse(long_enough, &none, &err), ==, -EBADMSG);
        }
    }
}

static void proofs_are_found_in_header_fields(void)
{
    g_autofree char *a = wire_ticket_from_cookie("x=1; PVEAuthCookie=PVE%3Aroot%40pam; y=2");
    g_autofree char *b = wire_ticket_from_cookie("NotPVEAuthCookie=1");
    g_autofree char *id = NULL;
    g_autofree char *secret = NULL;

    g_assert_cmpstr(a, ==, "PVE:root@pam");
    g_assert_null(b);
    g_assert_null(wire_ticket_from_cookie(NULL));
    g_assert_true(wire_api_token_parse("PVEAPIToken=joe@pve!mon=0123", &id, &secret));
    g_assert_cmpstr(id, ==, "joe@pve!mon");
    g_assert_cmpstr(secret, ==, "0123");
    g_assert_false(wire_api_token_parse("PVEAPIToken=joe@pve=0123", &id, &secret));
    g_assert_false(wire_api_token_parse("PVEAPIToken=joe@pve!mon=", &id, &secret));
    g_assert_false(wire_api_token_parse("Basic abc", &id, &secret));
}

static void task_ids_are_read_or_refused(void)
{
    static const char good[] = "UPID:node1:000004D2:123456789:6929C700:clusterjoin::root@pam:";
    static const char *const bad[] = {"",
                                      "UPID:node1:000004D2:00000001:6929C700:x::root@pam",
                                      "UPID:../x:000004D2:00000001:6929C700:x::root@pam:",
                                      "UPID:node1:4D2:00000001:6929C700:x::root@pam:",
                                      "UPID:node1:000004D2:00000001:6929C700::id:root@pam:",
                                      "UPID:node1:000004D2:00000001:6929C700:x:a/b:root@pam:",
                                      "UPID:node1:000004D2:00000001:6929C700:x::root@pam:more"};
    g_auto(Upid) u = {0};
    g_autofree char *again = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(upid_parse(good, &u, &err), ==, 0);
    g_assert_cmpuint(u.pid, ==, 1234);
    again = upid_format(&u);
    g_assert_cmpstr(again, ==, good);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(Upid) none = {0};

        g_assert_cmpint(upid_parse(bad[i], &none, &err), ==, -EBADMSG);
    }
}

/* ---- parameters -------------------------------------------------------------------------------
 */

static bool is_abc(const char *text)
{
    return strcmp(text, "abc") == 0;
}

static const ParamSpec specs[] = {
    {"n", PARAM_INT, 1, 9, false, NULL, NULL},
    {"b", PARAM_BOOL, 0, 0, false, NULL, NULL},
    {"t", PARAM_TEXT, 1, 5, true, is_abc, "abc"},
    {0},
};

static void expect_errors(const char *query, const char *body, const char *want)
{
    g_autoptr(Params) p = NULL;
    g_autofree char *errors = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(params_parse(query, body, strlen(body), &p, &err), ==, 0);
    errors = params_check(p, specs);
    g_assert_cmpstr(errors, ==, want);
}

static void parameters_are_checked_with_the_known_texts(void)
{
    expect_errors("t=abc&_dc=1", "", NULL);
    expect_errors(NULL, "t=abc&n=3&b=on", NULL);
    expect_errors(NULL, " {\"t\":\"abc\",\"n\":3,\"b\":true}", NULL);
    expect_errors("t=%61b%63", "", NULL);
    expect_errors("t=abd", "", "{\"t\":\"value does not look like a valid abc\"}");
    expect_errors("t=abc&n=x", "", "{\"n\":\"type check ('integer') failed - got 'x'\"}");
    expect_errors("t=abc&n=10", "", "{\"n\":\"value must have a maximum value of 9\"}");
    expect_errors("t=abc&b=maybe", "", "{\"b\":\"type check ('boolean') failed - got 'maybe'\"}");
    expect_errors("n=1", "", "{\"t\":\"property is missing and it is not optional\"}");
    expect_errors("t=abc&u=1", "",
                  "{\"u\":\"property is not defined in schema and the schema does not allow "
                  "additional properties\"}");
}

static void parameters_that_cannot_be_read_are_refused(void)
{
    static const char *const bad[] = {"a=%zz",   "=1",         "a b=1",
                                      "a=%00",   "{\"a\":{}}", "{\"a\":[[1]]}",
                                      "{\"a\":", "{\"a\":1}x", "a=%ff"};
    g_autoptr(GString) many = g_string_new(NULL);
    Params *p = NULL;
    Err err = ERR_INIT;

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(params_parse(NULL, bad[i], strlen(bad[i]), &p, &err), ==, -EBADMSG);
    }
    g_assert_cmpint(params_parse(NULL, "a=1\0", 4, &p, &err), ==, -EBADMSG);
    for (unsigned i = 0; i <= WIRE_PARAMS_MAX; i++) {
        g_string_append(many, "a=1&");
    }
    g_assert_cmpint(params_parse(many->str, NULL, 0, &p, &err), ==, -E2BIG);
    g_assert_null(p);
}

/* ---- rights -----------------------------------------------------------------------------------
 */

static const char users[] = "user:root@pam:1:0:::::\n"
                            "user:joe@pve:1:0:Joe::::\n"
                            "user:off@pve:0:0:::::\n"
                            "user:old@pve:1:100:::::\n"
                            "token:joe@pve!mon:0:1::\n"
                            "token:joe@pve!all:0:0::\n"
                            "token:root@pam!auto:0:0::\n"
                            "\n"
                            "group:admins:joe@pve::\n"
                            "pool:p1::100,101:local:\n"
                            "role:Mine:VM.Audit,No.Such:\n"
                            "role:Administrator:VM.Audit:\n" /* cannot be changed */
                            "acl:1:/vms:@admins:PVEVMAdmin:\n"
                            "acl:1:/vms/200:joe@pve:Mine:\n"
                            "acl:1:/vms/300:joe@pve:NoAccess:\n"
                            "acl:0:/nodes:joe@pve:PVEAuditor:\n"
                            "acl:1:/vms:joe@pve!mon:PVEAuditor:\n"
                            "acl:1:/pool/p1:joe@pve:PVEDatastoreUser:\n"
                            "nonsense\n";

static UserCfg *parsed(const char *text)
{
    UserCfg *cfg = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(usercfg_parse(text, strlen(text), &cfg, &err), ==, 0);
    return cfg;
}

static bool may(const UserCfg *cfg, const char *who, const char *path, const char *priv)
{
    g_assert_cmpuint(usercfg_priv(priv), !=, 0);
    return (usercfg_privileges(cfg, who, path) & usercfg_priv(priv)) != 0;
}

static void rights_follow_the_rules(void)
{
    g_autoptr(UserCfg) cfg = parsed(users);

    g_assert_cmpuint(usercfg_skipped(cfg), ==, 2);
    g_assert_true(may(cfg, "root@pam", "/any/where", "Permissions.Modify"));
    g_assert_true(may(cfg, "joe@pve", "/vms/100", "VM.Allocate"));  /* by the group */
    g_assert_false(may(cfg, "joe@pve", "/", "VM.Audit"));           /* not above */
    g_assert_true(may(cfg, "joe@pve", "/vms/200", "VM.Audit"));     /* deeper replaces ... */
    g_assert_false(may(cfg, "joe@pve", "/vms/200", "VM.Allocate")); /* ... what was higher */
    g_assert_false(may(cfg, "joe@pve", "/vms/300", "VM.Audit"));    /* NoAccess */
    g_assert_true(may(cfg, "joe@pve", "/nodes", "Sys.Audit"));      /* on the object itself */
    g_assert_false(may(cfg, "joe@pve", "/nodes/n1", "Sys.Audit"));  /* does not propagate */
    g_assert_true(may(cfg, "joe@pve", "/storage/local", "Datastore.AllocateSpace")); /* pool */
    g_assert_false(may(cfg, "joe@pve", "/storage/other", "Datastore.AllocateSpace"));
    g_assert_false(may(cfg, "nobody@pve", "/vms/100", "VM.Audit"));
}

static void tokens_never_have_more_than_their_user(void)
{
    g_autoptr(UserCfg) cfg = parsed(users);

    g_assert_true(may(cfg, "joe@pve!mon", "/vms/100", "VM.Audit"));
    g_assert_false(may(cfg, "joe@pve!mon", "/vms/100", "VM.Allocate"));
    g_assert_false(may(cfg, "joe@pve!mon", "/nodes", "Sys.Audit"));
    g_assert_true(may(cfg, "joe@pve!all", "/vms/100", "VM.Allocate"));
    g_assert_true(may(cfg, "root@pam!auto", "/", "Sys.Modify"));
    g_assert_false(may(cfg, "root@pam!unknown", "/", "Sys.Audit"));
}

static void only_good_accounts_count(void)
{
    g_autoptr(UserCfg) cfg = parsed(users);
    g_autoptr(UserCfg) empty = parsed("");
    Err err = ERR_INIT;
    WallTime now = {NOW};

    g_assert_cmpint(usercfg_check_user(cfg, "joe@pve", now, &err), ==, 0);
    g_assert_cmpint(usercfg_check_user(cfg, "off@pve", now, &err), ==, -EACCES);
    g_assert_cmpint(usercfg_check_user(cfg, "old@pve", now, &err), ==, -EACCES);
    g_assert_cmpint(usercfg_check_user(cfg, "nobody@pve", now, &err), ==, -EACCES);
    g_assert_cmpint(usercfg_check_token(cfg, "joe@pve!mon", now, &err), ==, 0);
    g_assert_cmpint(usercfg_check_token(cfg, "joe@pve!none", now, &err), ==, -EACCES);
    g_assert_cmpint(usercfg_check_user(empty, "root@pam", now, &err), ==, 0);
    g_assert_cmpint(usercfg_check_user(empty, "joe@pve", now, &err), ==, -EACCES);
}

static void roles_have_the_documented_rights(void)
{
    g_autoptr(UserCfg) cfg = parsed("acl:1:/a:a@pve:PVEAdmin:\nacl:1:/b:a@pve:PVEVMUser:\n"
                                    "acl:1:/c:a@pve:PVEAuditor:\nacl:1:/d:a@pve:PVESysUser:\n");

    g_assert_true(may(cfg, "a@pve", "/a", "VM.Allocate"));
    g_assert_false(may(cfg, "a@pve", "/a", "Sys.Modify"));
    g_assert_false(may(cfg, "a@pve", "/a", "Mapping.Modify"));
    g_assert_false(may(cfg, "a@pve", "/a", "Permissions.Modify"));
    g_assert_true(may(cfg, "a@pve", "/b", "VM.Console"));
    g_assert_false(may(cfg, "a@pve", "/b", "VM.Config.Disk"));
    g_assert_true(may(cfg, "a@pve", "/c", "Mapping.Audit"));
    g_assert_false(may(cfg, "a@pve", "/c", "VM.Console"));
    g_assert_cmpuint(usercfg_privileges(cfg, "a@pve", "/d"), ==, 0); /* no such role */
}

/* ---- keys and calls ---------------------------------------------------------------------------
 */

typedef struct Tree {
    char *pve;
} Tree;

static void put(const Tree *t, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(t->pve, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void new_keys(const Tree *t)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    g_autofree char *private = g_build_filename(t->pve, "priv", "authkey.key", NULL);
    g_autofree char *public = g_build_filename(t->pve, "authkey.pub", NULL);
    FILE *f = fopen(private, "w");

    g_assert_cmpint(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), ==, 1);
    fclose(f);
    f = fopen(public, "w");
    g_assert_cmpint(PEM_write_PUBKEY(f, key), ==, 1);
    fclose(f);
    EVP_PKEY_free(key);
}

static void tree_up(Tree *t)
{
    g_autofree char *priv = NULL;

    t->pve = g_dir_make_tmp("quorate-login.XXXXXX", NULL);
    priv = g_build_filename(t->pve, "priv", NULL);
    g_assert_cmpint(g_mkdir(priv, 0700), ==, 0);
    new_keys(t);
    put(t, "pve-www.key", "www secret");
    put(t, "user.cfg", users);
    put(t, "priv/token.cfg", "joe@pve!mon 0123-4567\njoe@pve!monitor 89ab\n");
}

static void tree_down(Tree *t)
{
    static const char *const names[] = {"priv/authkey.key",
                                        "authkey.pub",
                                        "authkey.pub.old",
                                        "pve-www.key",
                                        "user.cfg",
                                        "priv/token.cfg",
                                        "priv",
                                        "."};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(t->pve, names[i], NULL);

        (void)g_remove(path); /* some tests do not make all */
    }
    (void)g_rmdir(t->pve);
    g_free(t->pve);
}

static void tickets_are_good_only_as_signed(void)
{
    Tree t;
    g_autofree char *text = NULL;
    g_autofree char *user = NULL;
    Err err = ERR_INIT;
    WallTime now = {g_get_real_time() / G_USEC_PER_SEC};
    char *none = NULL;

    tree_up(&t);
    g_assert_cmpint(ticket_keys_sign(t.pve, "joe@pve", now, &text, &err), ==, 0);
    g_assert_cmpint(ticket_keys_verify(t.pve, text, now, &user, &err), ==, 0);
    g_assert_cmpstr(user, ==, "joe@pve");
    g_assert_cmpint(ticket_keys_verify(t.pve, text, (WallTime){now.sec + 7201}, &none, &err), ==,
                    -EACCES);
    for (gsize i = 0; text[i + 4] != '\0'; i++) {
        g_autofree char *changed = g_strdup(text);

        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        g_assert_cmpint(ticket_keys_verify(t.pve, changed, now, &none, &err), ==, -EACCES);
    }
    new_keys(&t); /* without keeping the old one */
    g_assert_cmpint(ticket_keys_verify(t.pve, text, now, &none, &err), ==, -EACCES);
    tree_down(&t);
}

static int say_hello(ApiCall *c, Err *err)
{
    (void)err;
    c->data = jsontree_new_text(c->part[0] != NULL ? c->part[0] : "world");
    return 0;
}

static const ApiEndpoint endpoints[] = {
    {"GET", "/hello", API_NEED_WORLD, NULL, NULL, NULL, say_hello},
    {"GET", "/user/{name}", API_NEED_USER, NULL, NULL, NULL, say_hello},
    {"POST", "/user", API_NEED_USER, NULL, NULL, specs, say_hello},
    {"POST", "/user/{name}/{vmid}", API_NEED_WORLD, NULL, NULL, specs, say_hello},
    {"GET", "/vm", API_NEED_PRIV, "/vms/100", "VM.Audit", NULL, say_hello},
    {"GET", "/sys", API_NEED_PRIV, "/", "Sys.Audit", NULL, say_hello},
    {"GET", "/root", API_NEED_ROOT, NULL, NULL, NULL, say_hello},
    {0},
};

typedef struct Caller {
    const char *cookie, *authorization, *csrf;
} Caller;

static void expect(const Tree *t,
                   const Caller *who,
                   const char *method,
                   const char *path,
                   const char *body,
                   uint32_t status,
                   const char *text)
{
    ApiTable table = {.endpoints = endpoints, .pve = t->pve};
    Tracer tracer = {0};
    g_auto(ApiRequest) q = {.method = g_strdup(method),
                            .path = g_strconcat("/api2/json", path, NULL),
                            .peer = g_strdup("10.0.0.1"),
                            .cookie = g_strdup(who->cookie),
                            .authorization = g_strdup(who->authorization),
                            .csrf = g_strdup(who->csrf)};
    g_auto(ApiAnswer) a = {0};
    g_autofree char *got = NULL;

    table.tracer = &tracer;
    q.body = body != NULL ? g_bytes_new(body, strlen(body)) : NULL;
    api_call_serve(&table, &q, &a);
    got = g_strndup(g_bytes_get_data(a.body, NULL), g_bytes_get_size(a.body));
    g_assert_cmpuint(a.status, ==, status);
    if (strstr(got, text) == NULL) {
        g_error("%s %s: '%s' is not in %s", method, path, text, got);
    }
}

static void calls_are_let_in_by_proof_and_right(void)
{
    Tree t;
    WallTime now = {g_get_real_time() / G_USEC_PER_SEC};
    g_autofree char *ticket = NULL;
    g_autofree char *cookie = NULL;
    g_autofree char *csrf = wire_csrf_format("www secret", "joe@pve", now);
    Err err = ERR_INIT;
    Caller nobody = {0}, joe = {0}, token = {0}, wrong = {0};

    tree_up(&t);
    g_assert_cmpint(ticket_keys_sign(t.pve, "joe@pve", now, &ticket, &err), ==, 0);
    cookie = g_strconcat("PVEAuthCookie=", ticket, NULL);
    joe.cookie = cookie;
    token.authorization = "PVEAPIToken=joe@pve!mon=0123-4567";
    wrong.authorization = "PVEAPIToken=joe@pve!mon=89ab";
    expect(&t, &nobody, "GET", "/hello", NULL, 200, "{\"data\":\"world\"}");
    expect(&t, &nobody, "GET", "/user/x", NULL, 401, "No ticket");
    expect(&t, &joe, "GET", "/user/x", NULL, 200, "{\"data\":\"x\"}");
    expect(&t, &joe, "GET", "/user/x/", NULL, 200, "{\"data\":\"x\"}");
    expect(&t, &joe, "GET", "/user/", NULL, 501, "Method 'GET /user/' not implemented");
    expect(&t, &token, "GET", "/user/x", NULL, 200, "\"x\"");
    expect(&t, &wrong, "GET", "/user/x", NULL, 401, "permission denied - invalid PVE ticket");
    expect(&t, &joe, "POST", "/user", "t=abc", 401, "invalid PVE ticket"); /* no CSRF text */
    joe.csrf = csrf;
    expect(&t, &joe, "POST", "/user", "t=abc", 200, "world");
    expect(&t, &joe, "POST", "/user", "t=x", 400, "\"message\":\"Parameter verification failed.\"");
    expect(&t, &joe, "POST", "/user", "t=x", 400, "\"errors\":{\"t\":");
    expect(&t, &joe, "POST", "/user/x/7", "vmid=7&t=abc&name=x", 200, "\"x\"");
    expect(&t, &joe, "POST", "/user/x/7", "{\"t\":\"abc\",\"vmid\":7}", 200, "\"x\"");
    expect(&t, &joe, "POST", "/user/x/7", "vmid=8&t=abc", 400, "\"errors\":{\"vmid\":\"differs");
    expect(&t, &joe, "GET", "/hello", "t=abc", 501, "Unexpected content");
    expect(&t, &joe, "GET", "/vm", NULL, 200, "world");
    expect(&t, &joe, "GET", "/sys", NULL, 403, "Permission check failed (/, Sys.Audit)");
    expect(&t, &joe, "GET", "/root", NULL, 403, "Permission check failed (user != root@pam)");
    put(&t, "user.cfg", "user:joe@pve:0:0:::::\n"); /* disabled while logged in */
    expect(&t, &joe, "GET", "/user/x", NULL, 401, "invalid PVE ticket");
    tree_down(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/login/csrf-texts-are-those-of-the-peers", csrf_texts_are_those_of_the_peers);
    g_test_add_func("/login/tickets-are-read-or-refused", tickets_are_read_or_refused);
    g_test_add_func("/login/proofs-are-found-in-header-fields", proofs_are_found_in_header_fields);
    g_test_add_func("/login/task-ids-are-read-or-refused", task_ids_are_read_or_refused);
    g_test_add_func("/login/parameters-are-checked-with-the-known-texts",
                    parameters_are_checked_with_the_known_texts);
    g_test_add_func("/login/parameters-that-cannot-be-read-are-refused",
                    parameters_that_cannot_be_read_are_refused);
    g_test_add_func("/login/rights-follow-the-rules", rights_follow_the_rules);
    g_test_add_func("/login/tokens-never-have-more-than-their-user",
                    tokens_never_have_more_than_their_user);
    g_test_add_func("/login/only-good-accounts-count", only_good_accounts_count);
    g_test_add_func("/login/roles-have-the-documented-rights", roles_have_the_documented_rights);
    g_test_add_func("/login/tickets-are-good-only-as-signed", tickets_are_good_only_as_signed);
    g_test_add_func("/login/calls-are-let-in-by-proof-and-right",
                    calls_are_let_in_by_proof_and_right);
    return g_test_run();
}
