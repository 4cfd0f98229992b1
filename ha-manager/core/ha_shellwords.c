/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_shellwords.h"

#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads one word from *p on; *p is left behind it. */
static int take_word(const char **p, GString *word, Err *err)
{
    char quote = '\0';
    const char *s = *p;

    for (; *s != '\0' && (quote != '\0' || !is_blank(*s)); s++) {
        if (quote == '\0' && (*s == '\'' || *s == '"')) {
            quote = *s;
        } else if (quote != '\0' && *s == quote) {
            quote = '\0';
        } else if (*s == '\\' && s[1] != '\0' &&
                   (quote == '\0' || (quote == '"' && strchr("\"\\$`", s[1]) != NULL))) {
            s++;
            g_string_append_c(word, *s);
        } else {
            g_string_append_c(word, *s);
        }
    }
    *p = s;
    return quote == '\0' ? 0 : err_setf(err, -EINVAL, "unbalanced quote in arguments");
}

int ha_shellwords_split(const char *text, GPtrArray **ret_words, Err *err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (;;) {
        g_autoptr(GString) word = g_string_new(NULL);
        int r;

        while (is_blank(*text)) {
            text++;
        }
        if (*text == '\0') {
            break;
        }
        if (words->len >= HA_FENCE_ARGS_MAX) {
            return err_setf(err, -EINVAL, "more than %d arguments", HA_FENCE_ARGS_MAX);
        }
        r = take_word(&text, word, err);
        if (r < 0) {
            return r;
        }
        g_ptr_array_add(words, g_strdup(word->str));
    }
    *ret_words = g_steal_pointer(&words);
    return 0;
}

static bool is_plain(const char *word)
{
    for (const char *p = word; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && strchr("_!%+,-./:=@^", *p) == NULL) {
            return false;
        }
    }
    return word[0] != '\0';
}

void ha_shellwords_append_quoted(GString *out, const char *word)
{
    if (is_plain(word)) {
        g_string_append(out, word);
        return;
    }
    g_string_append_c(out, '\'');
    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '\'') {
            g_string_append(out, "'\\''");
        } else {
            g_string_append_c(out, *p);
        }
    }
    g_string_append_c(out, '\'');
}
