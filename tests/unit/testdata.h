/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testdata: files captured from the documented peer. They are not part of this tree: a test that
 * needs one finds it below $QUORATE_SHARED and skips, saying so, when it is absent.
 */
#ifndef TESTS_UNIT_TESTDATA_H
#define TESTS_UNIT_TESTDATA_H

#include <glib.h>
#include <stdbool.h>

/* Bytes of reference/pmxcfs-samples/NAME; a name that ends in ".hex" is decoded. NULL when absent:
 * the running test has then been marked as skipped and should return. */
GBytes *testdata_sample(const char *name);

/* Absolute path of a file below $QUORATE_SHARED, or NULL with the test marked as skipped. */
char *testdata_path(const char *relative);

/* Bytes from hexadecimal text with any white space in it; fails the test on anything else. */
GBytes *testdata_hex(const char *text);

/* Calls `fn` with every truncation of `bytes` and with every single byte changed in several ways.
 * The copies are exactly as long as stated, so that a sanitizer sees a read past the end. */
void testdata_mutate(GBytes *bytes, void (*fn)(const void *data, gsize size));

#endif
