/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strtab: an enum and its names from one list.
 *
 *     #define COLOUR_LIST(X) X(COLOUR_RED, "red") X(COLOUR_BLUE, "blue")
 *     typedef enum Colour { COLOUR_LIST(STRTAB_ENUM) COLOUR_N } Colour;
 *     STRTAB_DECLARE(colour, Colour);                      in the header
 *     STRTAB_DEFINE(colour, Colour, COLOUR_LIST, COLOUR_N)  in the .c
 *
 * gives colour_name(COLOUR_RED) == "red" (NULL out of range) and
 * colour_from_name("blue") == COLOUR_BLUE (-1 when unknown).
 */
#ifndef LIB_BASE_STRTAB_H
#define LIB_BASE_STRTAB_H

#include <stddef.h>
#include <string.h>

#define STRTAB_ENUM(value, text) value,
#define STRTAB_TEXT(value, text) [value] = text,

#define STRTAB_DECLARE(prefix, Type)                                                               \
    const char *prefix##_name(Type value);                                                         \
    int prefix##_from_name(const char *name)

#define STRTAB_DEFINE(prefix, Type, LIST, count)                                                   \
    static const char *const prefix##_names[count] = {LIST(STRTAB_TEXT)};                          \
    const char *prefix##_name(Type value)                                                          \
    {                                                                                              \
        return (size_t)value < (size_t)(count) ? prefix##_names[value] : NULL;                     \
    }                                                                                              \
    int prefix##_from_name(const char *name)                                                       \
    {                                                                                              \
        for (int i = 0; i < (int)(count); i++) {                                                   \
            if (prefix##_names[i] != NULL && strcmp(prefix##_names[i], name) == 0) {               \
                return i;                                                                          \
            }                                                                                      \
        }                                                                                          \
        return -1;                                                                                 \
    }

#endif
