/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_seed: what tests take their random numbers from: the same ones each time, so that a run that
 * failed fails again, unless QUORATE_SEED asks for others, as scripts/soak does.
 */
#ifndef TESTS_LIB_TEST_SEED_H
#define TESTS_LIB_TEST_SEED_H

#include <glib.h>
#include <stdint.h>

/* QUORATE_SEED, or 1. Ends the program when that is no number. */
static inline uint64_t test_seed(void)
{
    const char *text = g_getenv("QUORATE_SEED");
    guint64 seed = 1;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &seed, NULL)) {
        g_error("QUORATE_SEED is not a number: %s", text);
    }
    return seed;
}

#endif
