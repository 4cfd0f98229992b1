/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs: the cluster's certificate authority and the nodes' certificates, by OpenSSL, as PEM texts.
 * Where they are kept is the caller's business. RFC 5280: critical basic constraints and key usage,
 * key identifiers, random serial numbers, names in subjectAltName. Any thread.
 * Reference: join chapter 3.
 *
 * Texts returned are freed by the caller; private keys with certs_free_key, which wipes them
 * (INV-8).
 */
#ifndef QUORUM_IO_CERTS_H
#define QUORUM_IO_CERTS_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CERTS_CA_BITS          4096
#define CERTS_CA_DAYS          3650
#define CERTS_NODE_BITS        2048
#define CERTS_NODE_DAYS_MAX    730
#define CERTS_CA_MARGIN_DAYS   2 /* a node certificate ends at least this long before its CA */
#define CERTS_PEM_SIZE_MAX     65536
#define CERTS_NAMES_MAX        64
#define CERTS_FINGERPRINT_SIZE 96 /* 32 bytes in hex with colons, and the NUL */

/* A new key in PEM (PKCS #8). Takes up to some seconds for the CA's size. */
int certs_make_key(unsigned bits, char **ret_key, Err *err) must_check;
void certs_free_key(char *key); /* wipes, then frees; NULL is allowed */

/* A self-signed CA over `key`, with the subject administrators know and a random unit name. */
int certs_make_ca(const char *key, WallTime now, char **ret_cert, Err *err) must_check;

/* Names a node certificate must carry: DNS names and addresses, told apart by their form. */
typedef struct CertNames {
    const char *common_name;  /* fqdn, or the short name */
    const char *const *names; /* NULL terminated; duplicates are dropped */
} CertNames;

/* A signing request for `key`; the member decides which names go into the certificate. */
int certs_make_request(const char *key, const char *common_name, char **ret_csr, Err *err)
    must_check;

/* Signs for the public key of `key_or_csr`, which is a key or a request (whose own signature is
 * verified). `days` 0: the longest allowed. The certificate is for server and client use. -EINVAL
 * for bad names or a CA that has expired or has too little life left; -EBADMSG for PEM that is
 * none. */
int certs_sign(const char *ca_key,
               const char *ca_cert,
               const char *key_or_csr,
               const CertNames *names,
               unsigned days,
               WallTime now,
               char **ret_cert,
               Err *err) must_check;

typedef struct CertInfo {
    WallTime not_before, not_after;
    char fingerprint[CERTS_FINGERPRINT_SIZE];     /* SHA-256 of the DER form, upper case, colons */
    char key_fingerprint[CERTS_FINGERPRINT_SIZE]; /* SHA-256 of the public key (SPKI) */
    char *subject;
    GPtrArray *names; /* of char*: subjectAltName entries as text */
    bool is_ca;
} CertInfo;

/* Reads a certificate (PEM). -EBADMSG: it is none. Caller: certs_info_done. */
int certs_inspect(const char *cert, CertInfo *ret, Err *err) must_check;
void certs_info_done(CertInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CertInfo, certs_info_done)

/* SHA-256 of the certificate's public key (SPKI), as tokens and tls_client want it. */
int certs_key_digest(const char *cert, uint8_t ret[32], Err *err) must_check;

/* 0 when `ca_cert` signed `cert`, both are valid at `now`, and `key` (may be NULL) belongs to it;
 * -EKEYREJECTED with the reason otherwise. */
int certs_verify(const char *ca_cert, const char *cert, const char *key, WallTime now, Err *err)
    must_check;

/* Must the node certificate be made anew? True when a third of its life or less is left, or when a
 * name is missing in it; `ret_why` (may be NULL) is a static text. */
bool certs_needs_renewal(const CertInfo *info,
                         const CertNames *names,
                         WallTime now,
                         const char **ret_why);

#endif
