/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sha256.h"

#include <openssl/evp.h>

struct Sha256 {
    EVP_MD_CTX *ctx;
};

/* SHA-256 is in the default provider: a failure means memory is gone or libcrypto is broken, and a
 * wrong digest would be worse than an end. */
static void must(int ok)
{
    if (ok != 1) {
        g_error("libcrypto cannot compute SHA-256");
    }
}

Sha256 *sha256_new(void)
{
    Sha256 *h = g_new0(Sha256, 1);

    h->ctx = EVP_MD_CTX_new();
    must(h->ctx != NULL);
    must(EVP_DigestInit_ex2(h->ctx, EVP_sha256(), NULL));
    return h;
}

void sha256_free(Sha256 *h)
{
    if (h != NULL) {
        EVP_MD_CTX_free(h->ctx);
        g_free(h);
    }
}

void sha256_bytes(Sha256 *h, const void *data, size_t n)
{
    if (n > 0) {
        must(EVP_DigestUpdate(h->ctx, data, n));
    }
}

void sha256_u8(Sha256 *h, uint8_t v)
{
    sha256_bytes(h, &v, 1);
}

void sha256_le32(Sha256 *h, uint32_t v)
{
    uint32_t le = GUINT32_TO_LE(v);

    sha256_bytes(h, &le, sizeof le);
}

void sha256_le64(Sha256 *h, uint64_t v)
{
    uint64_t le = GUINT64_TO_LE(v);

    sha256_bytes(h, &le, sizeof le);
}

void sha256_finish(Sha256 *h, uint8_t ret[SHA256_SIZE])
{
    unsigned int n = 0;

    must(EVP_DigestFinal_ex(h->ctx, ret, &n));
    g_assert(n == SHA256_SIZE);
    must(EVP_DigestInit_ex2(h->ctx, NULL, NULL));
}
