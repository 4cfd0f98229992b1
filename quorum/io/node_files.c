/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_files.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/certs.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX 65536

static void say(const NodeFilesPlan *plan, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const NodeFilesPlan *plan, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (plan->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    plan->say(plan->ctx, text);
}

/* ---- files --------------------------------------------------------------------------------- */

/* 1 and the text, 0 when missing, or -errno. */
static int read_text(const char *path, char **ret, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    g_autofree char *text = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &text, &size, &gerror)) {
        if (g_error_matches(gerror, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return 0;
        }
        return err_setf(err, -EIO, "%s", gerror->message);
    }
    if (size > FILE_SIZE_MAX || memchr(text, '\0', size) != NULL) {
        return err_setf(err, -EBADMSG, "%s is no text of a sensible size", path);
    }
    *ret = g_steal_pointer(&text);
    return size > 0;
}

static int make_directory(const char *path, Err *err)
{
    if (g_mkdir(path, 0755) < 0 && errno != EEXIST) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

int node_files_directories(const char *pve, const char *node, Err *err)
{
    static const char *const below[] = {"", "/qemu-server", "/lxc", "/openvz", "/priv"};
    static const char *const top[] = {"nodes", "priv", "priv/lock"};

    for (guint i = 0; i < G_N_ELEMENTS(top); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", pve, top[i]);
        int r = make_directory(path, err);

        if (r < 0) {
            return r;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(below); i++) {
        g_autofree char *path = g_strdup_printf("%s/nodes/%s%s", pve, node, below[i]);
        int r = make_directory(path, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- keys and certificates ------------------------------------------------------------------ */

/* Reads a key, or makes and writes it. `*ret_made` tells which. */
static int need_key(const NodeFilesPlan *plan,
                    const char *path,
                    unsigned bits,
                    char **ret_key,
                    bool *ret_made,
                    Err *err)
{
    char *key = NULL;
    int r = read_text(path, &key, err);

    *ret_made = r == 0;
    if (r == 0) {
        certs_free_key(key); /* an empty file counts as missing */
        key = NULL;
        say(plan, "making %s", path);
        r = certs_make_key(bits, &key, err);
        if (r == 0) {
            r = cfsfile_write(path, key, strlen(key), err);
        }
    }
    if (r < 0) {
        certs_free_key(key);
        return r;
    }
    *ret_key = key;
    return 0;
}

static int need_ca(const NodeFilesPlan *plan, char **ret_key, char **ret_cert, Err *err)
{
    g_autofree char *key_path = g_strdup_printf("%s/priv/pve-root-ca.key", plan->pve);
    g_autofree char *cert_path = g_strdup_printf("%s/pve-root-ca.pem", plan->pve);
    g_autofree char *cert = NULL;
    char *key = NULL;
    bool made_key;
    int r = need_key(plan, key_path, plan->ca_bits != 0 ? plan->ca_bits : CERTS_CA_BITS, &key,
                     &made_key, err);

    if (r < 0) {
        return r;
    }
    r = read_text(cert_path, &cert, err);
    if (r > 0 && made_key) {
        r = err_setf(err, -EKEYREJECTED,
                     "%s is there but its key was missing: restore priv/pve-root-ca.key, or remove "
                     "both files to make a new authority",
                     cert_path);
        (void)g_unlink(key_path); /* the new key fits nothing */
    } else if (r == 0) {
        g_clear_pointer(&cert, g_free);
        say(plan, "making %s", cert_path);
        r = certs_make_ca(key, plan->now, &cert, err);
        if (r == 0) {
            r = cfsfile_write(cert_path, cert, strlen(cert), err);
        }
        r = r == 0 ? 1 : r;
    } else if (r > 0) {
        r = 0;
    }
    if (r < 0) {
        certs_free_key(key);
        return r;
    }
    *ret_key = key;
    *ret_cert = g_steal_pointer(&cert);
    return r + made_key;
}

/* Names of the certificate: loopback, every address, short and full name. */
static GPtrArray *wanted_names(const NodeFilesPlan *plan)
{
    GPtrArray *names = g_ptr_array_new();

    g_ptr_array_add(names, (char *)"127.0.0.1");
    g_ptr_array_add(names, (char *)"::1");
    g_ptr_array_add(names, (char *)"localhost");
    for (guint i = 0; plan->addresses != NULL && i < plan->addresses->len; i++) {
        g_ptr_array_add(names, g_ptr_array_index(plan->addresses, i));
    }
    g_ptr_array_add(names, (char *)plan->node);
    g_ptr_array_add(names, (char *)plan->fqdn);
    g_ptr_array_add(names, NULL);
    return names;
}

/* Why the certificate must be made; NULL: it is good. */
static char *reason_to_sign(const NodeFilesPlan *plan,
                            const char *ca,
                            const char *key,
                            const char *cert,
                            const CertNames *names)
{
    g_auto(CertInfo) info = {0};
    const char *why = NULL;
    Err err = ERR_INIT;

    if (plan->force) {
        return g_strdup("asked for");
    }
    if (certs_verify(ca, cert, key, plan->now, &err) < 0 || certs_inspect(cert, &info, &err) < 0) {
        return g_strdup(err_text(&err));
    }
    return certs_needs_renewal(&info, names, plan->now, &why) ? g_strdup(why) : NULL;
}

static int need_node_cert(const NodeFilesPlan *plan, const char *ca_key, const char *ca, Err *err)
{
    g_autofree char *key_path = g_strdup_printf("%s/nodes/%s/pve-ssl.key", plan->pve, plan->node);
    g_autofree char *cert_path = g_strdup_printf("%s/nodes/%s/pve-ssl.pem", plan->pve, plan->node);
    g_autoptr(GPtrArray) list = wanted_names(plan);
    CertNames names = {.common_name = plan->fqdn, .names = (const char *const *)list->pdata};
    g_autofree char *cert = NULL;
    g_autofree char *fresh = NULL;
    g_autofree char *why = NULL;
    char *key = NULL;
    bool made_key;
    int r = need_key(plan, key_path, plan->node_bits != 0 ? plan->node_bits : CERTS_NODE_BITS, &key,
                     &made_key, err);

    if (r < 0) {
        return r;
    }
    r = read_text(cert_path, &cert, err);
    why = r == 0  ? g_strdup("it is missing")
          : r > 0 ? reason_to_sign(plan, ca, key, cert, &names)
                  : NULL;
    if (r >= 0 && why != NULL) {
        say(plan, "making %s (%s)", cert_path, why);
        r = certs_sign(ca_key, ca, key, &names, 0, plan->now, &fresh, err);
        if (r == 0) {
            r = cfsfile_write(cert_path, fresh, strlen(fresh), err);
        }
        r = r == 0 ? 1 : r;
    } else if (r > 0) {
        r = 0;
    }
    certs_free_key(key);
    return r < 0 ? r : r + made_key;
}

/* ---- ticket keys ---------------------------------------------------------------------------- */

static char *public_half(const char *key_pem)
{
    BIO *in = BIO_new_mem_buf(key_pem, -1);
    EVP_PKEY *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    char *data = NULL;

    if (key != NULL && out != NULL && PEM_write_bio_PUBKEY(out, key) == 1) {
        long n = BIO_get_mem_data(out, &data);

        text = g_strndup(data, (gsize)n);
    }
    EVP_PKEY_free(key);
    BIO_free(in);
    BIO_free(out);
    return text;
}

static int need_ticket_keys(const NodeFilesPlan *plan, Err *err)
{
    g_autofree char *key_path = g_strdup_printf("%s/priv/authkey.key", plan->pve);
    g_autofree char *pub_path = g_strdup_printf("%s/authkey.pub", plan->pve);
    g_autofree char *pub = NULL;
    char *key = NULL;
    bool made_key;
    int r = need_key(plan, key_path, CERTS_NODE_BITS, &key, &made_key, err);

    if (r < 0) {
        return r;
    }
    r = read_text(pub_path, &pub, err);
    if (r == 0 || (r > 0 && made_key)) {
        g_clear_pointer(&pub, g_free);
        pub = public_half(key);
        r = pub != NULL ? cfsfile_write(pub_path, pub, strlen(pub), err)
                        : err_setf(err, -EBADMSG, "%s holds no key", key_path);
        r = r == 0 ? 1 : r;
    } else if (r > 0) {
        r = 0;
    }
    certs_free_key(key);
    return r < 0 ? r : r + made_key;
}

/* Secret behind the tokens against cross-site requests. */
static int need_www_key(const NodeFilesPlan *plan, Err *err)
{
    g_autofree char *path = g_strdup_printf("%s/pve-www.key", plan->pve);
    char *key = NULL;
    int r = read_text(path, &key, err);

    certs_free_key(key);
    key = NULL;
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = certs_make_key(CERTS_NODE_BITS, &key, err);
    if (r == 0) {
        r = cfsfile_write(path, key, strlen(key), err);
    }
    certs_free_key(key);
    return r < 0 ? r : 1;
}

int node_files_update(const NodeFilesPlan *plan, Err *err)
{
    g_autofree char *ca = NULL;
    char *ca_key = NULL;
    int made = 0;
    int r;

    if ((r = node_files_directories(plan->pve, plan->node, err)) < 0 ||
        (r = need_ca(plan, &ca_key, &ca, err)) < 0) {
        return r;
    }
    made += r;
    r = need_node_cert(plan, ca_key, ca, err);
    certs_free_key(ca_key);
    if (r < 0) {
        return r;
    }
    made += r;
    if ((r = need_ticket_keys(plan, err)) < 0) {
        return r;
    }
    made += r;
    r = need_www_key(plan, err);
    return r < 0 ? r : made + r;
}

/* 1 when the file is missing or empty, and that was said; 0; -errno. */
static int preview_file(const NodeFilesPlan *plan, const char *path, Err *err)
{
    char *text = NULL;
    int r = read_text(path, &text, err);

    certs_free_key(text); /* it may be one */
    if (r == 0) {
        say(plan, "would make %s", path);
    }
    return r < 0 ? r : r == 0;
}

static int preview_cert(const NodeFilesPlan *plan, Err *err)
{
    g_autofree char *ca_path = g_strdup_printf("%s/pve-root-ca.pem", plan->pve);
    g_autofree char *key_path = g_strdup_printf("%s/nodes/%s/pve-ssl.key", plan->pve, plan->node);
    g_autofree char *cert_path = g_strdup_printf("%s/nodes/%s/pve-ssl.pem", plan->pve, plan->node);
    g_autoptr(GPtrArray) list = wanted_names(plan);
    CertNames names = {.common_name = plan->fqdn, .names = (const char *const *)list->pdata};
    g_autofree char *ca = NULL;
    g_autofree char *cert = NULL;
    g_autofree char *why = NULL;
    char *key = NULL;
    int r;

    if ((r = read_text(ca_path, &ca, err)) > 0 && (r = read_text(key_path, &key, err)) > 0 &&
        (r = read_text(cert_path, &cert, err)) > 0) {
        why = reason_to_sign(plan, ca, key, cert, &names);
    }
    certs_free_key(key);
    if (r == 0 || why != NULL) {
        say(plan, "would make %s (%s)", cert_path, why != NULL ? why : "something is missing");
    }
    return r < 0 ? r : r == 0 || why != NULL;
}

int node_files_preview(const NodeFilesPlan *plan, Err *err)
{
    static const char *const names[] = {"priv/pve-root-ca.key", "pve-root-ca.pem",
                                        "priv/authkey.key", "authkey.pub", "pve-www.key"};
    int count = preview_cert(plan, err);

    for (guint i = 0; count >= 0 && i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", plan->pve, names[i]);
        int r = preview_file(plan, path, err);

        count = r < 0 ? r : count + r;
    }
    return count;
}
