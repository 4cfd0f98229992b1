/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jointoken: the one line that lets a new node join, and the record a cluster keeps of it.
 *
 * The line is `PVEJ1.` and base64url of a small JSON object: cluster name, member addresses,
 * SHA-256 of the CA's public key, token id, secret, expiry. It says whom to trust (the CA) and
 * proves the right to join (the secret). The cluster keeps only a key derived from the secret,
 * which proves that a caller knows the secret but does not give it back. The proof of the caller
 * covers the TLS channel (exporter value), so that nobody in the middle can use it (reference join,
 * chapter 19).
 *
 * Pure: random bytes and time come in. Any thread. Secrets are wiped by the *_done functions
 * (INV-8).
 */
#ifndef QUORUM_CORE_JOINTOKEN_H
#define QUORUM_CORE_JOINTOKEN_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define JOINTOKEN_ID_SIZE       8 /* bytes; 16 hex digits in file names and messages */
#define JOINTOKEN_SECRET_SIZE   32
#define JOINTOKEN_KEY_SIZE      32 /* derived key and proofs: HMAC-SHA-256 */
#define JOINTOKEN_CA_SIZE       32 /* SHA-256 of the CA's SubjectPublicKeyInfo */
#define JOINTOKEN_LINE_MAX      4096
#define JOINTOKEN_ADDRESSES_MAX 5
#define JOINTOKEN_TTL_SEC       3600 /* default life */
#define JOINTOKEN_TTL_MAX_SEC   (7 * 86400)
#define JOINTOKEN_EXPORTER      "EXPORTER-pve-join-v1" /* label of the TLS exporter */
#define JOINTOKEN_EXPORTER_SIZE 32

typedef struct JoinToken {
    char *cluster;
    uint8_t id[JOINTOKEN_ID_SIZE];
    uint8_t secret[JOINTOKEN_SECRET_SIZE];
    uint8_t ca[JOINTOKEN_CA_SIZE];
    GPtrArray
        *addresses; /* of char*: "10.0.0.1", "[fd00::1]", "host", each with optional ":port" */
    WallTime expires;
} JoinToken;

/* `random`: JOINTOKEN_ID_SIZE + JOINTOKEN_SECRET_SIZE fresh bytes. -EINVAL for bad addresses. */
int jointoken_make(const char *cluster,
                   const char *const *addresses,
                   const uint8_t ca[JOINTOKEN_CA_SIZE],
                   const uint8_t *random,
                   WallTime expires,
                   JoinToken *ret,
                   Err *err) must_check;
void jointoken_done(JoinToken *t);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JoinToken, jointoken_done)

/* The line without newline. Wipe it with jointoken_free_line. */
char *jointoken_format(const JoinToken *t);
void jointoken_free_line(char *line);

/* Reads a line (surrounding blanks allowed). -EBADMSG with what is wrong, never with its content.
 */
int jointoken_parse(const char *line, JoinToken *ret, Err *err) must_check;

/* Does this text look like a token (rather than a host name)? */
bool jointoken_looks_like(const char *text);

char *jointoken_id_text(const uint8_t id[JOINTOKEN_ID_SIZE]); /* 16 hex digits; caller frees */

/* Key kept by the cluster and used for proofs. */
void jointoken_derive(const uint8_t secret[JOINTOKEN_SECRET_SIZE],
                      uint8_t ret_key[JOINTOKEN_KEY_SIZE]);

/* Proof of the joiner for one channel and one node name. */
void jointoken_proof(const uint8_t key[JOINTOKEN_KEY_SIZE],
                     const uint8_t exporter[JOINTOKEN_EXPORTER_SIZE],
                     const char *node_name,
                     uint8_t ret_proof[JOINTOKEN_KEY_SIZE]);

/* Compares two proofs in constant time. */
bool jointoken_same_proof(const uint8_t a[JOINTOKEN_KEY_SIZE], const uint8_t b[JOINTOKEN_KEY_SIZE]);

/* ---- the record in priv/join-tokens/ID --------------------------------------------------------
 */

typedef struct JoinRecord {
    uint8_t key[JOINTOKEN_KEY_SIZE];
    WallTime expires;
    uint32_t uses_left;
    uint32_t votes;
    char *node;    /* bound to this node name; NULL: any */
    char *used_by; /* name of the node that is using or has used it; NULL: nobody */
    WallTime staged; /* when that node was taken in without a vote; 0: it is not waiting */
    char *made_by; /* node and user, for the log */
} JoinRecord;

void join_record_done(JoinRecord *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JoinRecord, join_record_done)

char *join_record_format(const JoinRecord *r); /* `key: value` lines; holds the key: wipe */
int join_record_parse(const char *text, size_t size, JoinRecord *ret, Err *err) must_check;

/* May `node` use this token at `now`? -ETIME (expired), -EALREADY (used up), -EPERM (bound to
 * another name), with a text for people. The node that uses it already may go on (retry). */
int join_record_check(const JoinRecord *r, const char *node, WallTime now, Err *err) must_check;

#endif
