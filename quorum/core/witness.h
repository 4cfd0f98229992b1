/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness: what a cluster and the host that is to be its witness say to each other: the one line
 * printed on the witness host, and the two requests of the enrolment. The line begins with
 * `PVEW1.`; it holds the host's address, the SHA-256 of the certificate it shows for this one
 * enrolment, and a secret. Pure; any thread. docs/wire/witness.md.
 */
#ifndef QUORUM_CORE_WITNESS_H
#define QUORUM_CORE_WITNESS_H

#include "lib/base/strtab.h"
#include "quorum/core/jointoken.h"

#define WITNESS_LINE_MAX 1024u
#define WITNESS_TTL_SEC  3600
#define WITNESS_PORT     5402 /* of the enrolment; corosync-qnetd itself has 5403 */
#define WITNESS_PATH     "/api2/json/witness/enrol"
#define WITNESS_CRQ_MAX  16384u /* bytes of a certificate request or certificate */
#define WITNESS_HOST_MAX 253u

typedef struct WitnessToken {
    char *host; /* address or name the nodes reach the witness by */
    uint16_t port;
    uint8_t fingerprint[32];
    uint8_t secret[JOINTOKEN_SECRET_SIZE];
    WallTime expires;
} WitnessToken;
void witness_token_done(WitnessToken *t); /* wipes */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WitnessToken, witness_token_done)

/* An address or a host name, no longer than WITNESS_HOST_MAX. */
bool witness_valid_host(const char *host);

/* Free the line with jointoken_free_line. */
char *witness_token_format(const WitnessToken *t);
/* -EBADMSG with what is wrong, never with its content. */
int witness_token_parse(const char *line, WitnessToken *ret, Err *err) must_check;

#define WITNESS_STEP_LIST(X)                                                                       \
    X(WITNESS_STEP_HELLO, "hello") /* give me your CA's certificate */                             \
    X(WITNESS_STEP_SIGN, "sign")   /* sign this request; ends the enrolment */
typedef enum WitnessStep { WITNESS_STEP_LIST(STRTAB_ENUM) WITNESS_STEP_N } WitnessStep;
STRTAB_DECLARE(witness_step, WitnessStep);

typedef struct WitnessRequest {
    WitnessStep step;
    char *cluster; /* a good cluster name */
    uint8_t proof[JOINTOKEN_KEY_SIZE];
    uint8_t *crq; /* SIGN: the request, DER */
    gsize crq_size;
} WitnessRequest;
void witness_request_done(WitnessRequest *q);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WitnessRequest, witness_request_done)

/* JSON, caller frees; and back: -EBADMSG with the place. */
char *witness_request_format(const WitnessRequest *q);
int witness_request_parse(const char *json, gsize size, WitnessRequest *ret, Err *err) must_check;

/* Answers hold one piece of bytes: `name` "ca" or "crt". Caller frees. */
char *witness_answer_format(const char *name, const void *data, gsize size);
int witness_answer_parse(const char *json,
                         gsize size,
                         const char *name,
                         guint8 **ret,
                         gsize *ret_size,
                         Err *err) must_check;

#endif
