/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_http: the little of HTTP/1.1 (RFC 9112) that our own clients speak: one request, one answer,
 * then the connection is closed. Bounded; anything unusual is refused. Pure; any thread.
 */
#ifndef LIB_WIRE_WIRE_HTTP_H
#define LIB_WIRE_WIRE_HTTP_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

#define WIRE_HTTP_HEAD_MAX (16u * 1024u)   /* status line and header fields */
#define WIRE_HTTP_BODY_MAX (1024u * 1024u) /* most an answer of ours ever has */

typedef struct HttpRequest {
    const char *method;        /* "GET", "POST" ... */
    const char *host;          /* for the Host field, with port */
    const char *target;        /* "/api2/json/..." */
    const char *content_type;  /* NULL without body */
    const char *authorization; /* value of extra "Authorization" field; NULL: none */
    const char *cookie;        /* NULL: none */
    const char *csrf;          /* CSRFPreventionToken; NULL: none */
    const char *forwarded_for; /* address of the client that another node asks for; NULL: none */
    const void *body;
    gsize body_size;
} HttpRequest;

/* The bytes to send; -EINVAL when a field holds characters that do not belong there. */
int wire_http_request(const HttpRequest *r, GBytes **ret, Err *err) must_check;

typedef struct HttpAnswer {
    int status;   /* 100 ... 599 */
    char *reason; /* text behind the status */
    GBytes *body; /* never NULL */
} HttpAnswer;
void http_answer_done(HttpAnswer *a);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HttpAnswer, http_answer_done)

/* Looks at what has arrived so far. 1 and the answer when it is complete, 0 when more is needed,
 * -EBADMSG or -E2BIG. `closed`: the peer has closed the connection, nothing more comes. */
int wire_http_answer(const void *data, gsize size, bool closed, HttpAnswer *ret, Err *err)
    must_check;

#endif
