/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hextext: bytes as pairs of hexadecimal digits without anything between them. Pure; any thread.
 */
#ifndef LIB_BASE_HEXTEXT_H
#define LIB_BASE_HEXTEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Digits in lower case; caller frees. */
char *hextext_format(const uint8_t *data, size_t size);

/* Reads exactly 2 * `size` digits of either case. False when `text` is NULL, has another length or
 * another character; what `ret` holds then is undefined. */
bool hextext_parse(const char *text, uint8_t *ret, size_t size);

#endif
