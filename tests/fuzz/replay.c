/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one fuzz target over its corpus: each file of the folders named on the command line, or of
 * $top_srcdir/tests/fuzz/corpus/NAME for a program called fuzz_NAME; then truncations and seeded
 * random changes of each. Prints TAP.
 */
#include "lib/base/prng.h"
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <string.h>

#define CHANGES_PER_FILE 2000u
#define SIZE_MAX_TRIED   (256u * 1024u)

static void run_copy(const guint8 *data, gsize size)
{
    g_autofree guint8 *copy = g_memdup2(data, size); /* exact size: reads past the end are seen */

    (void)LLVMFuzzerTestOneInput(copy, size);
}

static void run_changed(const guint8 *data, gsize size, Prng *rng)
{
    for (guint i = 0; i < CHANGES_PER_FILE && size > 0; i++) {
        g_autofree guint8 *copy = g_memdup2(data, size);
        guint edits = (guint)prng_range(rng, 1, 4);

        while (edits-- > 0) {
            copy[prng_below(rng, size)] = (guint8)prng_u64(rng);
        }
        run_copy(copy, prng_chance(rng, 1, 4) ? prng_below(rng, size + 1) : size);
    }
}

static guint run_folder(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    const char *name;
    guint files = 0;
    Prng rng;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *data = NULL;
        gsize size = 0;

        g_file_get_contents(path, &data, &size, &error);
        g_assert_no_error(error);
        size = MIN(size, SIZE_MAX_TRIED);
        prng_init(&rng, g_str_hash(name)); /* whatever the order of the folder */
        run_copy((const guint8 *)data, size);
        for (gsize n = 0; n < MIN(size, 4096u); n++) {
            run_copy((const guint8 *)data, n);
        }
        run_changed((const guint8 *)data, size, &rng);
        files++;
    }
    return files;
}

int main(int argc, char **argv)
{
    const char *top = g_getenv("top_srcdir");
    g_autofree char *base = g_path_get_basename(argv[0]);
    const char *format = strstr(base, "fuzz_");
    guint files = 0;

    g_print("1..1\n");
    run_copy(NULL, 0);
    for (int i = 1; i < argc; i++) {
        files += run_folder(argv[i]);
    }
    if (argc == 1) {
        g_autofree char *folder = NULL;

        g_assert_nonnull(format);
        folder = g_build_filename(top != NULL ? top : ".", "tests", "fuzz", "corpus",
                                  format + strlen("fuzz_"), NULL);
        files = run_folder(folder);
    }
    g_print("%s 1 - %s survives %u inputs and their mutations\n", files > 0 ? "ok" : "not ok", base,
            files);
    return files > 0 ? 0 : 1;
}
