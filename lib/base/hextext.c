/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/hextext.h"

#include <string.h>

char *hextext_format(const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *text = g_malloc(2 * size + 1);

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

bool hextext_parse(const char *text, uint8_t *ret, size_t size)
{
    if (text == NULL || strlen(text) != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
