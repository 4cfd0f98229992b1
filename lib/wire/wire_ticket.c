/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_ticket.h"

#include <errno.h>
#include <string.h>

#define API_TOKEN_PREFIX "PVEAPIToken="
#define TIME_DIGITS      8u
#define SIGNATURE_MIN    64u /* bytes: RSA 512, below any key in use */

static bool valid_realm(const char *text, gsize size)
{
    if (size < 2 || !g_ascii_isalpha(text[0])) {
        return false;
    }
    for (gsize i = 1; i < size; i++) {
        if (!g_ascii_isalnum(text[i]) && strchr("._-", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool valid_user_part(const char *text, gsize size)
{
    const char *at = g_strrstr_len(text, (gssize)size, "@");

    if (size > WIRE_TICKET_USER_MAX || at == NULL || at == text) {
        return false;
    }
    for (const char *c = text; c < at; c++) {
        /* Our own bounds: control characters would end up in logs. */
        if ((guchar)*c <= ' ' || *c == 0x7f || *c == ':' || *c == '/') {
            return false;
        }
    }
    return valid_realm(at + 1, size - (gsize)(at + 1 - text));
}

bool wire_ticket_valid_user(const char *user)
{
    return valid_user_part(user, strlen(user));
}

bool wire_ticket_valid_token_id(const char *id)
{
    const char *mark = strrchr(id, '!');

    return mark != NULL && valid_user_part(id, (gsize)(mark - id)) && strlen(mark + 1) <= 64 &&
           valid_realm(mark + 1, strlen(mark + 1));
}

void ticket_done(Ticket *t)
{
    g_clear_pointer(&t->user, g_free);
    g_clear_pointer(&t->part, g_free);
    g_clear_pointer(&t->signature, g_free);
}

static bool parse_time(const char *text, WallTime *ret)
{
    int64_t v = 0;

    for (gsize i = 0; i < TIME_DIGITS; i++) {
        if (!g_ascii_isxdigit(text[i]) || g_ascii_islower(text[i])) {
            return false;
        }
        v = v * 16 + g_ascii_xdigit_value(text[i]);
    }
    *ret = (WallTime){v};
    return true;
}

int wire_ticket_parse(const char *text, Ticket *ret, Err *err)
{
    g_auto(Ticket) t = {0};
    const char *sig, *time;

    if (strnlen(text, WIRE_TICKET_TEXT_MAX + 1) > WIRE_TICKET_TEXT_MAX ||
        !g_str_has_prefix(text, "PVE:") || (sig = strstr(text, "::")) == NULL ||
        sig < text + 4 + 1 + TIME_DIGITS) {
        return err_setf(err, -EBADMSG, "no login ticket");
    }
    time = sig - TIME_DIGITS;
    if (time[-1] != ':' || time - 1 <= text + 4 || !parse_time(time, &t.made)) {
        return err_setf(err, -EBADMSG, "a login ticket without time");
    }
    {
        g_autofree char *escaped = g_strndup(text + 4, (gsize)(time - 1 - (text + 4)));

        t.user = g_uri_unescape_string(escaped, NULL);
    }
    if (t.user == NULL || !wire_ticket_valid_user(t.user)) {
        return err_setf(err, -EBADMSG, "a login ticket without user");
    }
    t.part = g_strndup(text, (gsize)(sig - text));
    t.signature = g_base64_decode(sig + 2, &t.signature_size);
    if (t.signature_size < SIGNATURE_MIN) {
        return err_setf(err, -EBADMSG, "a login ticket without signature");
    }
    *ret = t;
    t = (Ticket){0};
    return 0;
}

char *wire_ticket_part(const char *user, WallTime now)
{
    return g_strdup_printf("PVE:%s:%08X", user, (guint32)now.sec);
}

char *wire_ticket_format(const char *part, const guchar *signature, gsize size)
{
    g_autofree char *base64 = g_base64_encode(signature, size);

    return g_strdup_printf("%s::%s", part, base64);
}

bool wire_ticket_in_time(WallTime made, WallTime now)
{
    int64_t age = now.sec - made.sec;

    return age >= -WIRE_TICKET_EARLY_SEC && age <= WIRE_TICKET_LIFE_SEC;
}

/* ---- CSRF ------------------------------------------------------------------------------------
 */

static char *mac_text(const char *key, const char *data)
{
    guint8 digest[32];
    gsize size = sizeof digest;
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, (const guchar *)key, strlen(key));
    char *text;

    g_hmac_update(hmac, (const guchar *)data, (gssize)strlen(data));
    g_hmac_get_digest(hmac, digest, &size);
    g_hmac_unref(hmac);
    text = g_base64_encode(digest, size);
    text[strcspn(text, "=")] = '\0';
    return text;
}

static char *csrf_at(const char *www_key, const char *user, const char *time)
{
    g_autofree char *secret = mac_text("", www_key);
    g_autofree char *data = g_strdup_printf("%s:%s", time, user);
    g_autofree char *mac = mac_text(secret, data);
    char *text = g_strdup_printf("%s:%s", time, mac);

    explicit_bzero(secret, strlen(secret));
    return text;
}

char *wire_csrf_format(const char *www_key, const char *user, WallTime now)
{
    g_autofree char *time = g_strdup_printf("%08X", (guint32)now.sec);

    return csrf_at(www_key, user, time);
}

int wire_csrf_check(const char *text, const char *www_key, const char *user, WallTime now, Err *err)
{
    g_autofree char *time = NULL;
    g_autofree char *want = NULL;
    WallTime made;

    if (strnlen(text, 129) > 128 || strcspn(text, ":") != TIME_DIGITS || !parse_time(text, &made)) {
        return err_setf(err, -EACCES, "CSRFPreventionToken has no known form");
    }
    time = g_strndup(text, TIME_DIGITS);
    want = csrf_at(www_key, user, time);
    if (!wire_ticket_same_text(text, want)) {
        return err_setf(err, -EACCES, "CSRFPreventionToken does not belong to this login");
    }
    if (!wire_ticket_in_time(made, now)) {
        return err_setf(err, -EACCES, "CSRFPreventionToken is too old");
    }
    return 0;
}

/* ---- header fields ---------------------------------------------------------------------------
 */

char *wire_ticket_from_cookie(const char *cookies)
{
    g_auto(GStrv) parts = NULL;

    if (cookies == NULL) {
        return NULL;
    }
    parts = g_strsplit(cookies, ";", 64);
    for (guint i = 0; parts[i] != NULL; i++) {
        const char *p = g_strstrip(parts[i]);

        if (g_str_has_prefix(p, WIRE_TICKET_COOKIE_NAME "=")) {
            return g_uri_unescape_string(p + sizeof WIRE_TICKET_COOKIE_NAME, NULL);
        }
    }
    return NULL;
}

char *wire_ticket_from_authorization(const char *value)
{
    return value != NULL && g_str_has_prefix(value, WIRE_TICKET_COOKIE_NAME "=")
               ? g_uri_unescape_string(value + sizeof WIRE_TICKET_COOKIE_NAME, NULL)
               : NULL;
}

bool wire_api_token_parse(const char *value, char **ret_id, char **ret_secret)
{
    g_autofree char *id = NULL;
    gsize n;

    if (value == NULL || !g_str_has_prefix(value, API_TOKEN_PREFIX) || strnlen(value, 513) > 512) {
        return false;
    }
    value += sizeof API_TOKEN_PREFIX - 1;
    n = strcspn(value, "=:");
    id = g_strndup(value, n);
    if (value[n] == '\0' || value[n + 1] == '\0' || !wire_ticket_valid_token_id(id)) {
        return false;
    }
    *ret_id = g_steal_pointer(&id);
    *ret_secret = g_strdup(value + n + 1);
    return true;
}

bool wire_ticket_same_text(const char *a, const char *b)
{
    gsize na = strlen(a), nb = strlen(b);
    guchar differ = na != nb;

    for (gsize i = 0; i < na; i++) {
        differ |= (guchar)(a[i] ^ b[nb > 0 ? i % nb : 0]);
    }
    return differ == 0;
}
