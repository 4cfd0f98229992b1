/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_REQ, X509_REQ_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GENERAL_NAMES, GENERAL_NAMES_free)

#define DAY_SEC 86400

/* The one place where OpenSSL's errors become ours. */
static int ssl_fail(int code, const char *what, Err *err)
{
    unsigned long e = ERR_get_error();
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return err_setf(err, code, "%s: %s", what, reason != NULL ? reason : "OpenSSL failed");
}

/* ---- PEM ----------------------------------------------------------------------------------- */

static BIO *bio_of(const char *pem)
{
    size_t n = strnlen(pem, CERTS_PEM_SIZE_MAX + 1);

    return n <= CERTS_PEM_SIZE_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
}

static int no_password(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf, (void)size, (void)rwflag, (void)ctx;
    return -1; /* keys of ours have none; never ask on a terminal */
}

static EVP_PKEY *read_key(const char *pem)
{
    g_autoptr(BIO) bio = bio_of(pem);

    return bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
}

static X509 *read_cert(const char *pem)
{
    g_autoptr(BIO) bio = bio_of(pem);

    return bio != NULL ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
}

static char *text_of(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);

    return n > 0 ? g_strndup(data, (gsize)n) : NULL;
}

static int write_cert(X509 *cert, char **ret, Err *err)
{
    g_autoptr(BIO) bio = BIO_new(BIO_s_mem());

    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1) {
        return ssl_fail(-EIO, "writing a certificate", err);
    }
    *ret = text_of(bio);
    return 0;
}

void certs_free_key(char *key)
{
    if (key != NULL) {
        explicit_bzero(key, strlen(key));
        g_free(key);
    }
}

int certs_make_key(unsigned bits, char **ret_key, Err *err)
{
    g_autoptr(EVP_PKEY) key = EVP_RSA_gen(bits);
    g_autoptr(BIO) bio = BIO_new(BIO_s_secmem());

    if (key == NULL || bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return ssl_fail(-EIO, "making a key", err);
    }
    *ret_key = text_of(bio);
    return 0;
}

/* ---- parts of a certificate ------------------------------------------------------------------ */

static int set_serial(X509 *cert)
{
    uint8_t bytes[16];
    BIGNUM *bn;
    int ok;

    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return 0;
    }
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes long */
    bn = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    return ok;
}

static int set_life(X509 *cert, WallTime from, WallTime to)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from.sec) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)to.sec) != NULL;
}

static int add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                      -1, 0);
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    int ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext != NULL && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

/* ---- CA ------------------------------------------------------------------------------------ */

static int fill_ca(X509 *cert, EVP_PKEY *key, WallTime now)
{
    g_autofree char *unit = g_uuid_string_random();
    X509_NAME *name = X509_get_subject_name(cert);
    WallTime from = {now.sec - DAY_SEC}; /* clocks of new nodes may be a little behind */
    WallTime to = {from.sec + (int64_t)CERTS_CA_DAYS * DAY_SEC};

    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) && set_life(cert, from, to) &&
           add_name(name, "CN", "Proxmox Virtual Environment") && add_name(name, "OU", unit) &&
           add_name(name, "O", "PVE Cluster Manager CA") && X509_set_issuer_name(cert, name) &&
           X509_set_pubkey(cert, key) &&
           add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
           add_extension(cert, cert, NID_authority_key_identifier, "keyid:always") &&
           add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

int certs_make_ca(const char *key_pem, WallTime now, char **ret_cert, Err *err)
{
    g_autoptr(EVP_PKEY) key = read_key(key_pem);
    g_autoptr(X509) cert = X509_new();

    if (key == NULL) {
        return ssl_fail(-EBADMSG, "reading the key of the certificate authority", err);
    }
    if (cert == NULL || !fill_ca(cert, key, now)) {
        return ssl_fail(-EIO, "making the certificate authority", err);
    }
    return write_cert(cert, ret_cert, err);
}

/* ---- requests ------------------------------------------------------------------------------ */

int certs_make_request(const char *key_pem, const char *common_name, char **ret_csr, Err *err)
{
    g_autoptr(EVP_PKEY) key = read_key(key_pem);
    g_autoptr(X509_REQ) req = X509_REQ_new();
    g_autoptr(BIO) bio = BIO_new(BIO_s_mem());

    if (key == NULL) {
        return ssl_fail(-EBADMSG, "reading the node's key", err);
    }
    if (req == NULL || bio == NULL || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !add_name(X509_REQ_get_subject_name(req), "CN", common_name) ||
        !X509_REQ_set_pubkey(req, key) || X509_REQ_sign(req, key, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(bio, req) != 1) {
        return ssl_fail(-EIO, "making a certificate request", err);
    }
    *ret_csr = text_of(bio);
    return 0;
}

/* The public key to be certified: of a key, or of a request that proves to own it. */
static EVP_PKEY *subject_key(const char *key_or_csr)
{
    g_autoptr(BIO) bio = NULL;
    g_autoptr(X509_REQ) req = NULL;
    g_autoptr(EVP_PKEY) key = NULL;

    if (strstr(key_or_csr, "CERTIFICATE REQUEST") == NULL) {
        return read_key(key_or_csr);
    }
    bio = bio_of(key_or_csr);
    req = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
    key = req != NULL ? X509_REQ_get_pubkey(req) : NULL;
    if (key == NULL || X509_REQ_verify(req, key) != 1) {
        return NULL;
    }
    return g_steal_pointer(&key);
}

/* ---- node certificates --------------------------------------------------------------------- */

static bool is_address(const char *name)
{
    unsigned char buf[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, name, buf) == 1 || inet_pton(AF_INET6, name, buf) == 1;
}

static bool is_dns_name(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > 253 || !g_ascii_isalnum(name[0]) || !g_ascii_isalnum(name[n - 1])) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g_ascii_isalnum(name[i]) && name[i] != '-' && name[i] != '.') {
            return false;
        }
    }
    return true;
}

/* "IP:10.0.0.1,DNS:n1": only checked names come in, so the text cannot carry other extensions. */
static int san_text(const CertNames *names, char **ret, Err *err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) out = g_string_new(NULL);

    if (!is_dns_name(names->common_name) || strlen(names->common_name) > 64) {
        return err_setf(err, -EINVAL, "'%s' cannot be the common name of a certificate",
                        names->common_name);
    }
    for (guint i = 0; names->names[i] != NULL; i++) {
        const char *name = names->names[i];
        bool address = is_address(name);

        if (i >= CERTS_NAMES_MAX || (!address && !is_dns_name(name))) {
            return err_setf(err, -EINVAL, "'%s' is no name or address for a certificate", name);
        }
        if (g_hash_table_add(seen, (gpointer)name)) {
            g_string_append_printf(out, "%s%s:%s", out->len > 0 ? "," : "", address ? "IP" : "DNS",
                                   name);
        }
    }
    if (out->len == 0) {
        return err_setf(err, -EINVAL, "a certificate needs at least one name");
    }
    *ret = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

static bool cert_time(const ASN1_TIME *t, WallTime *ret)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    ret->sec = (int64_t)timegm(&tm);
    return true;
}

static int node_life(X509 *ca, unsigned days, WallTime now, WallTime *ret_to, Err *err)
{
    WallTime ca_end, limit;

    if (!cert_time(X509_get0_notAfter(ca), &ca_end)) {
        return err_setf(err, -EBADMSG, "the certificate authority has no readable end of life");
    }
    days = days == 0 || days > CERTS_NODE_DAYS_MAX ? CERTS_NODE_DAYS_MAX : days;
    limit.sec = ca_end.sec - (int64_t)CERTS_CA_MARGIN_DAYS * DAY_SEC;
    ret_to->sec = MIN(now.sec + ((int64_t)days - 1) * DAY_SEC, limit.sec); /* begins a day ago */
    if (ret_to->sec <= now.sec + DAY_SEC) {
        return err_setf(err, -EINVAL,
                        "the certificate authority ends too soon to sign anything: make a new one");
    }
    return 0;
}

static int fill_node(X509 *cert,
                     X509 *ca,
                     EVP_PKEY *ca_key,
                     EVP_PKEY *key,
                     const char *common_name,
                     const char *san,
                     WallTime now,
                     WallTime to)
{
    X509_NAME *name = X509_get_subject_name(cert);
    WallTime from = {now.sec - DAY_SEC};

    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) && set_life(cert, from, to) &&
           add_name(name, "OU", "PVE Cluster Node") &&
           add_name(name, "O", "Proxmox Virtual Environment") &&
           add_name(name, "CN", common_name) &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca)) && X509_set_pubkey(cert, key) &&
           add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
           add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") &&
           add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, ca, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
           add_extension(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_extension(cert, ca, NID_subject_alt_name, san) &&
           X509_sign(cert, ca_key, EVP_sha256()) > 0;
}

int certs_sign(const char *ca_key_pem,
               const char *ca_pem,
               const char *key_or_csr,
               const CertNames *names,
               unsigned days,
               WallTime now,
               char **ret_cert,
               Err *err)
{
    g_autoptr(EVP_PKEY) ca_key = read_key(ca_key_pem);
    g_autoptr(X509) ca = read_cert(ca_pem);
    g_autoptr(EVP_PKEY) key = subject_key(key_or_csr);
    g_autoptr(X509) cert = X509_new();
    g_autofree char *san = NULL;
    WallTime to = {0};
    int r;

    if (ca_key == NULL || ca == NULL || X509_check_private_key(ca, ca_key) != 1) {
        return ssl_fail(-EBADMSG, "reading the certificate authority", err);
    }
    if (key == NULL) {
        return ssl_fail(-EBADMSG, "reading the key or request to be signed", err);
    }
    if ((r = san_text(names, &san, err)) < 0 || (r = node_life(ca, days, now, &to, err)) < 0) {
        return r;
    }
    if (cert == NULL || !fill_node(cert, ca, ca_key, key, names->common_name, san, now, to)) {
        return ssl_fail(-EIO, "signing a certificate", err);
    }
    return write_cert(cert, ret_cert, err);
}

/* ---- looking at certificates ----------------------------------------------------------------- */

static void format_fingerprint(const uint8_t digest[32], char *ret)
{
    static const char hex[] = "0123456789ABCDEF";

    for (int i = 0; i < 32; i++) {
        ret[3 * i] = hex[digest[i] >> 4];
        ret[3 * i + 1] = hex[digest[i] & 15];
        ret[3 * i + 2] = i < 31 ? ':' : '\0';
    }
}

static bool fingerprints(X509 *cert, CertInfo *info)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    unsigned char *spki = NULL;
    int len;

    if (X509_digest(cert, EVP_sha256(), digest, &n) != 1 || n != 32) {
        return false;
    }
    format_fingerprint(digest, info->fingerprint);
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    if (len <= 0) {
        return false;
    }
    n = EVP_Digest(spki, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1 ? 32 : 0;
    OPENSSL_free(spki);
    if (n == 32) {
        format_fingerprint(digest, info->key_fingerprint);
    }
    return n == 32;
}

static char *name_text(const GENERAL_NAME *name)
{
    char text[INET6_ADDRSTRLEN];
    const unsigned char *data;
    int n;

    if (name->type == GEN_DNS) {
        data = ASN1_STRING_get0_data(name->d.dNSName);
        n = ASN1_STRING_length(name->d.dNSName);
        return memchr(data, 0, (size_t)n) == NULL ? g_strndup((const char *)data, (gsize)n) : NULL;
    }
    if (name->type != GEN_IPADD) {
        return NULL;
    }
    data = ASN1_STRING_get0_data(name->d.iPAddress);
    n = ASN1_STRING_length(name->d.iPAddress);
    if ((n != 4 && n != 16) ||
        inet_ntop(n == 4 ? AF_INET : AF_INET6, data, text, sizeof text) == NULL) {
        return NULL;
    }
    return g_strdup(text);
}

static void read_names(X509 *cert, GPtrArray *out)
{
    g_autoptr(GENERAL_NAMES) names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        char *text = name_text(sk_GENERAL_NAME_value(names, i));

        if (text != NULL) {
            g_ptr_array_add(out, text);
        }
    }
}

int certs_inspect(const char *pem, CertInfo *ret, Err *err)
{
    g_autoptr(X509) cert = read_cert(pem);
    g_auto(CertInfo) info = {.names = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(BIO) bio = BIO_new(BIO_s_mem());

    if (cert == NULL) {
        return ssl_fail(-EBADMSG, "reading a certificate", err);
    }
    if (bio == NULL || !cert_time(X509_get0_notBefore(cert), &info.not_before) ||
        !cert_time(X509_get0_notAfter(cert), &info.not_after) || !fingerprints(cert, &info) ||
        X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0) {
        return ssl_fail(-EBADMSG, "reading the fields of a certificate", err);
    }
    info.subject = text_of(bio);
    info.is_ca = X509_check_ca(cert) == 1;
    read_names(cert, info.names);
    *ret = info;
    info = (CertInfo){0};
    return 0;
}

void certs_info_done(CertInfo *info)
{
    g_clear_pointer(&info->subject, g_free);
    g_clear_pointer(&info->names, g_ptr_array_unref);
}

static int check_life(X509 *cert, const char *what, WallTime now, Err *err)
{
    WallTime from, to;

    if (!cert_time(X509_get0_notBefore(cert), &from) || !cert_time(X509_get0_notAfter(cert), &to)) {
        return err_setf(err, -EKEYREJECTED, "%s has no readable life time", what);
    }
    if (now.sec < from.sec || now.sec > to.sec) {
        return err_setf(err, -EKEYREJECTED, "%s %s", what,
                        now.sec < from.sec ? "is not valid yet: check the clock" : "has expired");
    }
    return 0;
}

int certs_verify(const char *ca_pem, const char *pem, const char *key_pem, WallTime now, Err *err)
{
    g_autoptr(X509) ca = read_cert(ca_pem);
    g_autoptr(X509) cert = read_cert(pem);
    g_autoptr(EVP_PKEY) key = key_pem != NULL ? read_key(key_pem) : NULL;
    int r;

    if (ca == NULL || cert == NULL) {
        return ssl_fail(-EKEYREJECTED, "reading the certificates", err);
    }
    if ((r = check_life(ca, "the certificate authority", now, err)) < 0 ||
        (r = check_life(cert, "the certificate", now, err)) < 0) {
        return r;
    }
    if (X509_check_issued(ca, cert) != X509_V_OK || X509_verify(cert, X509_get0_pubkey(ca)) != 1) {
        ERR_clear_error();
        return err_setf(err, -EKEYREJECTED,
                        "the certificate was not signed by this certificate authority");
    }
    if (key_pem != NULL && (key == NULL || X509_check_private_key(cert, key) != 1)) {
        ERR_clear_error();
        return err_setf(err, -EKEYREJECTED, "the key does not belong to the certificate");
    }
    return 0;
}

bool certs_needs_renewal(const CertInfo *info,
                         const CertNames *names,
                         WallTime now,
                         const char **ret_why)
{
    int64_t life = info->not_after.sec - info->not_before.sec;
    const char *why = NULL;

    if (now.sec > info->not_after.sec) {
        why = "it has expired";
    } else if ((info->not_after.sec - now.sec) * 3 <= life) {
        why = "a third of its life or less is left";
    }
    for (guint i = 0; why == NULL && names->names[i] != NULL; i++) {
        if (!g_ptr_array_find_with_equal_func(info->names, names->names[i], g_str_equal, NULL)) {
            why = "a name or address of the node is missing in it";
        }
    }
    if (ret_why != NULL) {
        *ret_why = why;
    }
    return why != NULL;
}

int certs_key_digest(const char *cert, uint8_t ret[32], Err *err)
{
    g_auto(CertInfo) info = {0};
    int r = certs_inspect(cert, &info, err);

    if (r < 0) {
        return r;
    }
    for (int i = 0; i < 32; i++) { /* hex with colons */
        ret[i] = (uint8_t)(g_ascii_xdigit_value(info.key_fingerprint[3 * i]) << 4 |
                           g_ascii_xdigit_value(info.key_fingerprint[3 * i + 1]));
    }
    return 0;
}
