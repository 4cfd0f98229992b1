/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/ticket_keys.h"

#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_MAX      16384
#define LOCK_NAME    "authkey"
#define LOCK_WAIT_MS 5000

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

static int read_key(const char *pve, const char *name, bool private, EVP_PKEY **ret, Err *err)
{
    g_autofree char *path = g_build_filename(pve, name, NULL);
    g_autofree char *text = NULL;
    g_autoptr(BIO) bio = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, PEM_MAX, &text, &size, err);

    if (r < 0) {
        return r;
    }
    bio = BIO_new_mem_buf(text, (int)size);
    *ret = private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                   : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    explicit_bzero(text, size);
    return *ret != NULL ? 0 : err_setf(err, -EBADMSG, "%s holds no key", path);
}

/* ---- renewing the pair ------------------------------------------------------------------------
 */

/* Seconds since the public key was written; negative when it cannot be told. */
static int64_t key_age(const char *pve, WallTime now)
{
    g_autofree char *path = g_build_filename(pve, "authkey.pub", NULL);
    struct stat st;

    return stat(path, &st) == 0 ? now.sec - (int64_t)st.st_mtime : -1;
}

static int to_pem(EVP_PKEY *key, bool private, char **ret, Err *err)
{
    g_autoptr(BIO) bio = BIO_new(BIO_s_mem());
    char *data;
    long size;

    if ((private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                 : PEM_write_bio_PUBKEY(bio, key)) != 1) {
        return err_setf(err, -EIO, "writing a key as text failed");
    }
    size = BIO_get_mem_data(bio, &data);
    *ret = g_strndup(data, (gsize)size);
    explicit_bzero(data, (size_t)size);
    return 0;
}

static int write_pair(const char *pve, const char *old_pub, EVP_PKEY *key, Err *err)
{
    g_autofree char *old_path = g_build_filename(pve, "authkey.pub.old", NULL);
    g_autofree char *pub_path = g_build_filename(pve, "authkey.pub", NULL);
    g_autofree char *key_path = g_build_filename(pve, "priv", "authkey.key", NULL);
    g_autofree char *pub = NULL;
    g_autofree char *text = NULL;
    int r;

    if ((r = to_pem(key, true, &text, err)) < 0 || (r = to_pem(key, false, &pub, err)) < 0) {
        return r;
    }
    /* The old public key first: at no moment may a good ticket find no key. */
    if ((r = cfsfile_write(old_path, old_pub, strlen(old_pub), err)) == 0 &&
        (r = cfsfile_write(pub_path, pub, strlen(pub), err)) == 0) {
        r = cfsfile_write(key_path, text, strlen(text), err);
    }
    explicit_bzero(text, strlen(text));
    return r;
}

static int rotate(const char *pve, WallTime now, Err *err)
{
    g_autofree char *pub_path = g_build_filename(pve, "authkey.pub", NULL);
    g_autofree char *old_pub = NULL;
    g_autoptr(CfsLock) lock = NULL;
    g_autoptr(EVP_PKEY) key = NULL;
    int r;

    if ((r = cfslock_acquire(pve, LOCK_NAME, LOCK_WAIT_MS, &lock, err)) < 0) {
        return r;
    }
    if (key_age(pve, now) < TICKET_KEYS_ROTATE_SEC) {
        return 0; /* another node was faster */
    }
    if ((r = cfsfile_read(pub_path, PEM_MAX, &old_pub, NULL, err)) < 0) {
        return r;
    }
    key = EVP_RSA_gen(TICKET_KEYS_BITS);
    if (key == NULL) {
        return err_setf(err, -EIO, "making a key failed");
    }
    return write_pair(pve, old_pub, key, err);
}

/* ---- signing ----------------------------------------------------------------------------------
 */

/* A signature over `part` that anybody can check; caller frees. */
static int sign(EVP_PKEY *key, const char *part, guchar **ret, gsize *ret_size, Err *err)
{
    g_autoptr(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    size_t size = 0;
    g_autofree guchar *out = NULL;

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha1(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, NULL, &size, (const guchar *)part, strlen(part)) != 1) {
        return err_setf(err, -EIO, "signing the ticket failed");
    }
    out = g_malloc(size);
    if (EVP_DigestSign(ctx, out, &size, (const guchar *)part, strlen(part)) != 1) {
        return err_setf(err, -EIO, "signing the ticket failed");
    }
    *ret = g_steal_pointer(&out);
    *ret_size = size;
    return 0;
}

int ticket_keys_sign(const char *pve, const char *user, WallTime now, char **ret, Err *err)
{
    g_autofree char *part = wire_ticket_part(user, now);
    g_autofree guchar *signature = NULL;
    g_autoptr(EVP_PKEY) key = NULL;
    gsize size = 0;
    int r;

    if (key_age(pve, now) >= TICKET_KEYS_ROTATE_SEC) {
        Err e = ERR_INIT;

        (void)rotate(pve, now, &e); /* without quorum the old key goes on */
    }
    if ((r = read_key(pve, "priv/authkey.key", true, &key, err)) < 0) {
        return err_wrapf(err, r, "no key to sign logins with (pvecm updatecerts makes it)");
    }
    if ((r = sign(key, part, &signature, &size, err)) < 0) {
        return r;
    }
    *ret = wire_ticket_format(part, signature, size);
    return 0;
}

static bool verifies(const char *pve, const char *name, const Ticket *t)
{
    g_autoptr(EVP_PKEY) key = NULL;
    g_autoptr(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool good;

    if (read_key(pve, name, false, &key, NULL) < 0) {
        return false;
    }
    good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha1(), NULL, key) == 1 &&
           EVP_DigestVerify(ctx, t->signature, t->signature_size, (const guchar *)t->part,
                            strlen(t->part)) == 1;
    ERR_clear_error(); /* a wrong signature is no fault of ours */
    return good;
}

int ticket_keys_verify(const char *pve, const char *text, WallTime now, char **ret_user, Err *err)
{
    g_auto(Ticket) t = {0};
    int64_t age;

    if (wire_ticket_parse(text, &t, err) < 0) {
        return -EACCES;
    }
    if (!wire_ticket_in_time(t.made, now)) {
        return err_setf(err, -EACCES, "the login ticket has expired");
    }
    age = key_age(pve, now);
    /* The old key only for what was signed before it was replaced. */
    if (!verifies(pve, "authkey.pub", &t) &&
        (age < 0 || t.made.sec > now.sec - age + WIRE_TICKET_EARLY_SEC ||
         !verifies(pve, "authkey.pub.old", &t))) {
        return err_setf(err, -EACCES, "the login ticket is not signed by this cluster");
    }
    *ret_user = g_steal_pointer(&t.user);
    return 0;
}
