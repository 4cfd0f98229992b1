/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_tls: mutual TLS with the node's certificate and the cluster's authority, both read anew for
 * each connection, so that renewed ones count at once. And the directory from which QEMU takes the
 * same certificates: links, no copies (INV-8). Any thread.
 */
#ifndef MIGRATION_IO_MIG_TLS_H
#define MIGRATION_IO_MIG_TLS_H

#include "lib/base/err.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/* A connection object for `fd` (not yet shaken hands); the caller frees it with SSL_free. The peer
 * must show a certificate of the authority; as client (`expect` not NULL) with that name in it. */
int mig_tls_new(const char *pve, const char *node, const char *expect, int fd, SSL **ret, Err *err)
    must_check;

/* Does the certificate of the peer carry this name? */
bool mig_tls_peer_has_name(SSL *ssl, const char *name);

/* Subject of the peer's certificate as QEMU compares it (tls-authz): "O=...,CN=...". Caller frees;
 * NULL when it cannot be read. */
char *mig_tls_peer_subject(SSL *ssl);

/* What stopped the last call, for people. */
void mig_tls_reason(SSL *ssl, Err *err, int code, const char *what);

/* `dir` with ca-cert.pem, server-cert.pem, ... as QEMU wants it, and with a Diffie-Hellman group,
 * so that no QEMU searches one of its own. -EIO, -ENOMEM, or what the file system says. */
int mig_tls_qemu_dir(const char *pve, const char *node, const char *dir, Err *err) must_check;

#endif
