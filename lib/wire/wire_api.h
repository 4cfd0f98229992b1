/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_api: what the unprivileged API worker and the root daemons behind it say to each other over
 * a local socket: a length (u32, little-endian) and that many bytes; strings as length and bytes.
 *
 *   request   u32 magic "QAR1", then in order: method, path, query, body, peer, authorization,
 * cookie, csrf, exporter; each u32 length + bytes (length 0xffffffff: absent) answer    u32 magic
 * "QAA1", u32 status, then body, cookie
 *
 * Bounded; unknown magic, cut or trailing bytes are -EBADMSG. Pure; any thread. docs/wire/api.md.
 */
#ifndef LIB_WIRE_WIRE_API_H
#define LIB_WIRE_WIRE_API_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

#define WIRE_API_FRAME_MAX (2u * 1024u * 1024u) /* bytes behind the length */
#define WIRE_API_BODY_MAX  (64u * 1024u)        /* of a request */

typedef struct ApiRequest {
    char *method, *path, *query; /* query without "?"; NULL: none */
    GBytes *body;                /* NULL: none */
    char *peer;                  /* address of the client */
    char *authorization, *cookie, *csrf;
    GBytes *exporter; /* keying material of the client's TLS channel; NULL: none */
} ApiRequest;

typedef struct ApiAnswer {
    uint32_t status; /* HTTP status */
    GBytes *body;    /* JSON; never NULL */
    char *cookie;    /* value for Set-Cookie; NULL: none */
} ApiAnswer;

void api_request_done(ApiRequest *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ApiRequest, api_request_done)
void api_answer_done(ApiAnswer *a);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ApiAnswer, api_answer_done)

/* With the length in front. NULL when it would be larger than the limit. */
GBytes *wire_api_request_encode(const ApiRequest *r);
GBytes *wire_api_answer_encode(const ApiAnswer *a);

/* Without the length. -EBADMSG. */
int wire_api_request_decode(const void *data, gsize size, ApiRequest *ret, Err *err) must_check;
int wire_api_answer_decode(const void *data, gsize size, ApiAnswer *ret, Err *err) must_check;

#endif
