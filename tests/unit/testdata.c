/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/testdata.h"

#include <string.h>

char *testdata_path(const char *relative)
{
    const char *shared = g_getenv("QUORATE_SHARED");
    g_autofree char *path = shared != NULL ? g_build_filename(shared, relative, NULL) : NULL;

    if (path == NULL || !g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_test_skip("no captured data: QUORATE_SHARED does not name its folder");
        return NULL;
    }
    return g_steal_pointer(&path);
}

GBytes *testdata_hex(const char *text)
{
    GByteArray *out = g_byte_array_new();
    int high = -1;

    for (; *text != '\0'; text++) {
        int digit = g_ascii_xdigit_value(*text);

        if (g_ascii_isspace(*text)) {
            continue;
        }
        g_assert_cmpint(digit, >=, 0);
        if (high < 0) {
            high = digit;
        } else {
            guint8 byte = (guint8)(high << 4 | digit);

            g_byte_array_append(out, &byte, 1);
            high = -1;
        }
    }
    g_assert_cmpint(high, ==, -1);
    return g_byte_array_free_to_bytes(out);
}

GBytes *testdata_sample(const char *name)
{
    g_autofree char *relative = g_build_filename("reference", "pmxcfs-samples", name, NULL);
    g_autofree char *path = testdata_path(relative);
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    gsize size = 0;
    GBytes *bytes;

    if (path == NULL) {
        return NULL;
    }
    g_file_get_contents(path, &text, &size, &error);
    g_assert_no_error(error);
    if (!g_str_has_suffix(name, ".hex")) {
        return g_bytes_new_take(text, size);
    }
    bytes = testdata_hex(text);
    g_free(text);
    return bytes;
}

void testdata_mutate(GBytes *bytes, void (*fn)(const void *data, gsize size))
{
    static const guint8 flips[] = {0x01, 0x80, 0xff};
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    for (gsize n = 0; n < size; n++) {
        g_autofree guint8 *copy = g_memdup2(data, n);

        fn(copy, n);
    }
    for (gsize i = 0; i < size; i++) {
        for (gsize f = 0; f < sizeof flips; f++) {
            g_autofree guint8 *copy = g_memdup2(data, size);

            copy[i] ^= flips[f];
            fn(copy, size);
        }
    }
}
