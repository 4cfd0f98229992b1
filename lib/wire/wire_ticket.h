/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_ticket: texts that prove a login of the REST API.
 *
 *   ticket   PVE:USER@REALM:TIME::SIGNATURE     TIME 8 hex digits, SIGNATURE base64 over what is
 *                                               before "::"; a ":" of the user would be "%3A"
 *   CSRF     TIME:MAC                           MAC unpadded base64 of HMAC-SHA-256 over TIME:USER
 *   API token  PVEAPIToken=USER@REALM!NAME=SECRET
 *
 * Signing and verifying is lib/cfs/ticket_keys. Pure; any thread. Reference: api, chapter 5;
 * docs/wire/login.md.
 */
#ifndef LIB_WIRE_WIRE_TICKET_H
#define LIB_WIRE_WIRE_TICKET_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>

#define WIRE_TICKET_TEXT_MAX    2048u /* RSA 8192 needs 1366 characters of base64 */
#define WIRE_TICKET_LIFE_SEC    7200
#define WIRE_TICKET_EARLY_SEC   300 /* a clock that is ahead by less is forgiven */
#define WIRE_TICKET_USER_MAX    64u
#define WIRE_TICKET_COOKIE_NAME "PVEAuthCookie"

/* `NAME@REALM`: no blank, colon or slash, at most 64 bytes. */
bool wire_ticket_valid_user(const char *user);
/* The same with `!TOKEN` behind it. */
bool wire_ticket_valid_token_id(const char *id);

typedef struct Ticket {
    char *user;
    WallTime made;
    char *part; /* what the signature covers */
    guchar *signature;
    gsize signature_size;
} Ticket;
void ticket_done(Ticket *t);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ticket, ticket_done)

/* -EBADMSG; says nothing about the signature being right. */
int wire_ticket_parse(const char *text, Ticket *ret, Err *err) must_check;

/* What is to be signed, and the whole text. Caller frees. */
char *wire_ticket_part(const char *user, WallTime now);
char *wire_ticket_format(const char *part, const guchar *signature, gsize size);

/* Neither too old nor from the future. */
bool wire_ticket_in_time(WallTime made, WallTime now);

/* Text for the CSRF header. `www_key`: content of pve-www.key. Caller frees. */
char *wire_csrf_format(const char *www_key, const char *user, WallTime now);
/* -EACCES with the reason. */
int wire_csrf_check(const char *text, const char *www_key, const char *user, WallTime now, Err *err)
    must_check;

/* The login ticket among cookies ("a=b; PVEAuthCookie=..."), unescaped; NULL: none. Caller frees.
 */
char *wire_ticket_from_cookie(const char *cookies);
/* The same from an Authorization field "PVEAuthCookie=..."; NULL: none. */
char *wire_ticket_from_authorization(const char *value);

/* Splits "PVEAPIToken=ID=SECRET" (or "ID:SECRET"); false when it is none. Caller frees both. */
bool wire_api_token_parse(const char *value, char **ret_id, char **ret_secret);

/* Compares without telling by its duration where two texts differ. */
bool wire_ticket_same_text(const char *a, const char *b);

#endif
