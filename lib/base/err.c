/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_setf(Err *err, int code, const char *fmt, ...)
{
    va_list ap;

    assert(code < 0);
    if (err == NULL) {
        return code;
    }
    err->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, ap); /* cut text is better than none */
    va_end(ap);
    return code;
}

int err_wrapf(Err *err, int code, const char *fmt, ...)
{
    char inner[ERR_TEXT_MAX];
    va_list ap;
    int n;

    assert(code < 0);
    if (err == NULL) {
        return code;
    }
    err->code = code;
    memcpy(inner, err->text, sizeof inner);
    va_start(ap, fmt);
    n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof err->text) {
        return code;
    }
    if (inner[0] == '\0') {
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", strerror(-code));
    } else {
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", inner);
    }
    return code;
}

void err_clear(Err *err)
{
    if (err != NULL) {
        err->code = 0;
        err->text[0] = '\0';
    }
}

const char *err_text(const Err *err)
{
    if (err == NULL || err->code == 0) {
        return "";
    }
    return err->text[0] != '\0' ? err->text : strerror(-err->code);
}
