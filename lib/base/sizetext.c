/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sizetext.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char unit_letters[] = "KMGT";

#define FRACTION_DIGITS_MAX 12 /* finer than two bytes of a terabyte */

/* Shift of the unit that `text` is made of; -1 when it is none. */
static int unit_shift(const char *text)
{
    const char *letter;

    if (text[0] == '\0') {
        return 0;
    }
    letter = strchr(unit_letters, text[0]);
    if (letter == NULL || (text[1] != '\0' && strcmp(text + 1, "iB") != 0)) {
        return -1;
    }
    return (int)(letter - unit_letters + 1) * 10;
}

/* Digits at *text, moved past; false when the number passes 2^63-1. */
static bool take_digits(const char **text, uint64_t *ret)
{
    uint64_t n = 0;

    for (; g_ascii_isdigit(**text); (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (n > (INT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *ret = n;
    return true;
}

/* The part of one unit that the digits after the point are, in bytes, rounded down. */
static uint64_t take_fraction(const char **text, int shift)
{
    uint64_t num = 0;
    uint64_t den = 1;

    for (int i = 0; g_ascii_isdigit(**text); (*text)++, i++) {
        if (i < FRACTION_DIGITS_MAX) {
            num = num * 10 + (uint64_t)(**text - '0');
            den *= 10;
        }
    }
    /* num < 10^12 < 2^40 and shift <= 40 do not fit in one product: the unit is split in two. */
    uint64_t whole = (num << 20) / den;
    uint64_t rest = (num << 20) % den;

    return shift >= 20 ? (whole << (shift - 20)) + ((rest << (shift - 20)) / den)
                       : whole >> (20 - shift);
}

int size_parse(const char *text, uint64_t *ret_bytes, Err *err)
{
    const char *at = text;
    const char *fraction = NULL;
    uint64_t n;
    uint64_t part = 0;
    int shift;

    if (!g_ascii_isdigit(at[0])) {
        return err_setf(err, -EINVAL, "'%s' is not a size: write a number and K, M, G or T", text);
    }
    if (!take_digits(&at, &n)) {
        return err_setf(err, -ERANGE, "size '%s' is too large", text);
    }
    if (at[0] == '.' && g_ascii_isdigit(at[1])) {
        fraction = at + 1;
        for (at++; g_ascii_isdigit(at[0]); at++) {
        }
    }
    shift = unit_shift(at);
    if (shift < 0) {
        return err_setf(err, -EINVAL, "'%s' is not a size: write a number and K, M, G or T", text);
    }
    if (fraction != NULL) {
        part = take_fraction(&fraction, shift);
    }
    if (n > ((uint64_t)INT64_MAX >> shift) || (n << shift) > (uint64_t)INT64_MAX - part) {
        return err_setf(err, -ERANGE, "size '%s' is too large", text);
    }
    *ret_bytes = (n << shift) + part;
    return 0;
}

char *size_format(uint64_t bytes)
{
    int unit = -1;

    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < (int)strlen(unit_letters)) {
        bytes /= 1024;
        unit++;
    }
    return unit < 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, bytes)
                    : g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes, unit_letters[unit]);
}
