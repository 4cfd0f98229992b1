/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_client: one HTTPS connection to a node, with the server proven in one of three ways, and
 * every step under one deadline. By OpenSSL, TLS 1.2 or newer. Blocking; one thread per connection.
 */
#ifndef LIB_PORT_TLS_CLIENT_H
#define LIB_PORT_TLS_CLIENT_H

#include "lib/base/err.h"
#include "lib/wire/wire_http.h"

#include <stdint.h>

#define TLS_FINGERPRINT_SIZE 32 /* SHA-256 */

typedef struct TlsClient TlsClient;

typedef enum TlsTrust {
    TLS_TRUST_CA_KEY,      /* the chain ends in a CA whose public key (SPKI) has this SHA-256 */
    TLS_TRUST_FINGERPRINT, /* the server's own certificate (DER) has this SHA-256 */
    TLS_TRUST_CA_FILE,     /* the chain ends in this CA, and the name or address matches */
} TlsTrust;

typedef struct TlsConfig {
    const char *host; /* name or address */
    const char *port; /* "8006" */
    TlsTrust trust;
    const uint8_t *digest; /* TLS_FINGERPRINT_SIZE bytes for the first two */
    const char *ca_file;   /* PEM */
    const char *cert_file; /* own certificate and key (PEM), NULL: none */
    const char *key_file;
    unsigned timeout_ms; /* for connecting and for each request */
} TlsConfig;

/* Connects and proves the server. -EHOSTUNREACH, -ECONNREFUSED, -ETIMEDOUT ...; -EKEYREJECTED when
 * it is not the expected server, with a text that says what was expected and found. */
int tls_client_connect(const TlsConfig *cfg, TlsClient **ret, Err *err) must_check;
void tls_client_free(TlsClient *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsClient, tls_client_free)

/* Keying material of this channel (RFC 5705, no context). */
int tls_client_exporter(TlsClient *c, const char *label, void *ret, size_t size, Err *err)
    must_check;

/* Sends one request and reads the answer; the connection is of no use afterwards. The Host field is
 * filled in. */
int tls_client_request(TlsClient *c, HttpRequest *request, HttpAnswer *ret, Err *err) must_check;

/* Fingerprint (SHA-256 of the DER form) of the certificate the server shows, without trusting it:
 * for people to compare. */
int tls_client_peek(const char *host,
                    const char *port,
                    unsigned timeout_ms,
                    uint8_t ret[TLS_FINGERPRINT_SIZE],
                    Err *err) must_check;

#endif
