/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: property strings and sizes are read and written by the rules of reference guest.md 4, and
 * an error says which key is wrong and what it accepts.
 * Method: two small schemas with every kind of key; tables of texts with the answer. */
#include "lib/base/sizetext.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

static int check_even(const char *value, Err *err)
{
    size_t len = strlen(value);

    return len % 2 == 0 ? 0 : err_setf(err, -EINVAL, "'%s' has an odd length", value);
}

static const PropKey disk_keys[] = {
    {.name = "file", .kind = PROP_TEXT, .flags = PROP_DEFAULT_KEY | PROP_REQUIRED, .max = 40},
    {.name = "volume", .alias = "file"},
    {.name = "cache", .kind = PROP_WORD, .words = "none writethrough writeback"},
    {.name = "backup", .kind = PROP_BOOL, .fallback = "1"},
    {.name = "iops", .kind = PROP_INT, .min = 0, .max = 1000},
    {.name = "mbps", .kind = PROP_NUMBER, .min = 0, .max = 100, .fallback = "0.5"},
    {.name = "size", .kind = PROP_SIZE},
    {.name = "even", .kind = PROP_TEXT, .check = check_even},
    {.name = "version", .kind = PROP_WORD, .flags = PROP_REQUIRED, .words = "v1 v2"},
};
static const PropSchema disk = {"disk", disk_keys, G_N_ELEMENTS(disk_keys)};

static const PropKey nic_keys[] = {
    {.name = "model", .kind = PROP_WORD, .flags = PROP_DEFAULT_KEY, .words = "virtio e1000"},
    {.name = "macaddr", .kind = PROP_TEXT},
    {.name = "virtio", .alias = "macaddr", .implies = "model"},
    {.name = "e1000", .alias = "macaddr", .implies = "model"},
    {.name = "tag", .kind = PROP_INT, .min = 1, .max = 4094},
};
static const PropSchema nic = {"nic", nic_keys, G_N_ELEMENTS(nic_keys)};

static void test_round_trip(void)
{
    static const struct {
        const PropSchema *schema;
        const char *in;
        const char *out;
    } cases[] = {
        {&disk, "a,version=v1", "a,version=v1"},
        {&disk, "file=a,version=v1", "a,version=v1"},
        {&disk, "volume=a,version=v1", "a,version=v1"},
        {&disk, "size=32G,cache=none,version=v2,file=x:y/z",
         "x:y/z,version=v2,cache=none,size=32G"},
        {&disk, "a,backup=no,version=v1", "a,version=v1,backup=0"},
        {&disk, "a,,version=v1,", "a,version=v1"},
        {&disk, "file=a=b,version=v1", "file=a=b,version=v1"},
        {&nic, "virtio=AA:BB,tag=7", "virtio=AA:BB,tag=7"},
        {&nic, "model=virtio,macaddr=AA:BB", "virtio=AA:BB"},
        {&nic, "virtio", "virtio"},
        {&nic, "macaddr=AA", "macaddr=AA"},
        {&nic, "", ""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PropString) p = NULL;
        g_autofree char *out = NULL;
        Err err = ERR_INIT;
        int r = propstring_parse(cases[i].schema, cases[i].in, NULL, &p, &err);

        g_test_message("%s: %s", cases[i].in, err_text(&err));
        g_assert_cmpint(r, ==, 0);
        out = propstring_format(p);
        g_assert_cmpstr(out, ==, cases[i].out);
    }
}

static void test_errors(void)
{
    static const struct {
        const PropSchema *schema;
        const char *in;
        const char *said;
    } cases[] = {
        {&disk, "a", "disk: 'version' is missing"},
        {&disk, "version=v1", "disk: 'file' is missing"},
        {&disk, "a,version=v3", "disk: version: 'v3' is not one of v1, v2"},
        {&disk, "a,version=v1 v2", "'v1 v2' is not one of"},
        {&disk, "a,version=", "'' is not one of"},
        {&disk, "a,b,version=v1", "disk: 'file' is given twice"},
        {&disk, "a,volume=b,version=v1", "disk: 'file' is given twice"},
        {&disk, "a,version=v1,cache=none,cache=none", "disk: 'cache' is given twice"},
        {&disk, "a,version=v1,iops=1001", "iops: '1001' is not a whole number 0..1000"},
        {&disk, "a,version=v1,iops=-1", "iops: '-1' is not"},
        {&disk, "a,version=v1,iops=+1", "iops: '+1' is not"},
        {&disk, "a,version=v1,iops=0x10", "iops: '0x10' is not"},
        {&disk, "a,version=v1,iops= 1", "iops: ' 1' is not"},
        {&disk, "a,version=v1,iops=99999999999999999999", "is not a whole number"},
        {&disk, "a,version=v1,mbps=1e3", "mbps: '1e3' is not a number 0..100"},
        {&disk, "a,version=v1,mbps=.5", "mbps: '.5' is not"},
        {&disk, "a,version=v1,mbps=5.", "mbps: '5.' is not"},
        {&disk, "a,version=v1,mbps=100.5", "mbps: '100.5' is not"},
        {&disk, "a,version=v1,size=1X", "size: '1X' is not a size"},
        {&disk, "a,version=v1,backup=maybe", "backup: 'maybe' is not 0 or 1"},
        {&disk, "a,version=v1,even=abc", "disk: even: 'abc' has an odd length"},
        {&disk, "a,version=v1,colour=red", "unknown property 'colour', known are: file cache"},
        {&disk, "a\001,version=v1", "file: the value has a control character"},
        {&disk, "0123456789012345678901234567890123456789x,version=v1", "file: '"},
        {&nic, "virtio=A,e1000=B", "nic: 'model' is given twice"},
        {&nic, "virtio=A,model=e1000", "nic: 'model' is given twice"},
        {&nic, "tag=0", "tag: '0' is not a whole number 1..4094"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PropString) p = NULL;
        Err err = ERR_INIT;
        int r = propstring_parse(cases[i].schema, cases[i].in, NULL, &p, &err);

        g_test_message("%s: %s", cases[i].in, err_text(&err));
        g_assert_cmpint(r, ==, -EINVAL);
        g_assert_nonnull(strstr(err_text(&err), cases[i].said));
        g_assert_null(p);
    }
}

static void test_too_long_is_refused(void)
{
    g_autoptr(PropString) p = NULL;
    g_autofree char *text = g_strnfill(PROPSTRING_TEXT_MAX + 1, 'a');

    g_assert_cmpint(propstring_parse(&disk, text, NULL, &p, NULL), ==, -EINVAL);
}

static void test_unknown_is_kept_and_named(void)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    g_autofree char *out = NULL;

    g_assert_cmpint(propstring_parse(&disk, "a,zoom=9,version=v1,alpha=1", unknown, &p, NULL), ==,
                    0);
    g_assert_cmpuint(unknown->len, ==, 2);
    g_assert_cmpstr(unknown->pdata[0], ==, "zoom");
    g_assert_cmpstr(unknown->pdata[1], ==, "alpha");
    out = propstring_format(p);
    g_assert_cmpstr(out, ==, "a,version=v1,alpha=1,zoom=9");
}

static void test_access(void)
{
    g_autoptr(PropString) p = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(propstring_parse(&disk, "a,version=v1,iops=7", NULL, &p, NULL), ==, 0);
    g_assert_cmpstr(propstring_text(p, "file"), ==, "a");
    g_assert_null(propstring_text(p, "backup"));
    g_assert_cmpstr(propstring_value(p, "backup"), ==, "1");
    g_assert_true(propstring_bool(p, "backup"));
    g_assert_cmpint(propstring_int(p, "iops"), ==, 7);
    g_assert_cmpfloat(propstring_number(p, "mbps"), ==, 0.5);
    g_assert_cmpint(propstring_set(p, "backup", "off", &err), ==, 0);
    g_assert_false(propstring_bool(p, "backup"));
    g_assert_cmpint(propstring_set(p, "backup", "off,on", &err), ==, -EINVAL);
    g_assert_cmpint(propstring_set(p, "volume", "b", &err), ==, -EINVAL);
    g_assert_cmpint(propstring_set(p, "iops", "1001", &err), ==, -EINVAL);
    g_assert_cmpint(propstring_int(p, "iops"), ==, 7);
    propstring_unset(p, "iops");
    g_assert_cmpint(propstring_int(p, "iops"), ==, 0);
}

static void test_sizes(void)
{
    static const struct {
        const char *in;
        uint64_t bytes;
        const char *out;
    } cases[] = {
        {"0", 0, "0"},
        {"1", 1, "1"},
        {"1K", 1024, "1K"},
        {"104858K", UINT64_C(104858) << 10, "104858K"},
        {"1024K", 1 << 20, "1M"},
        {"32G", UINT64_C(32) << 30, "32G"},
        {"32GiB", UINT64_C(32) << 30, "32G"},
        {"1.5T", UINT64_C(3) << 39, "1536G"},
        {"0.5K", 512, "512"},
        {"1.0005K", 1024, "1K"},
        {"2048T", UINT64_C(2048) << 40, "2048T"},
        {"0.000000001G", 1, "1"},
        {"9223372036854775807", INT64_MAX, "9223372036854775807"},
    };
    static const char *const bad[] = {"",   "G",  "-1",  "+1",     " 1",  "1 G",  "1GB",
                                      "1g", "1.", ".5G", "1.5.5G", "1GG", "1Gib", "0x10"};
    static const char *const large[] = {"9223372036854775808", "8388608T", "99999999999999999999T",
                                        "8388607.9999999999T"};
    uint64_t bytes;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *out = NULL;

        g_test_message("%s", cases[i].in);
        g_assert_cmpint(size_parse(cases[i].in, &bytes, NULL), ==, 0);
        g_assert_cmpuint(bytes, ==, cases[i].bytes);
        out = size_format(bytes);
        g_assert_cmpstr(out, ==, cases[i].out);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%s", bad[i]);
        g_assert_cmpint(size_parse(bad[i], &bytes, NULL), ==, -EINVAL);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(large); i++) {
        g_test_message("%s", large[i]);
        int r = size_parse(large[i], &bytes, NULL);
        g_assert_true(r == -ERANGE || (r == 0 && bytes <= (uint64_t)INT64_MAX));
    }
    g_assert_cmpint(size_parse("8388608T", &bytes, NULL), ==, -ERANGE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/propstring/written-in-the-documented-order", test_round_trip);
    g_test_add_func("/propstring/errors-name-key-and-accepted-values", test_errors);
    g_test_add_func("/propstring/too-long-is-refused", test_too_long_is_refused);
    g_test_add_func("/propstring/unknown-is-kept-and-named", test_unknown_is_kept_and_named);
    g_test_add_func("/propstring/access-and-change", test_access);
    g_test_add_func("/sizetext/sizes", test_sizes);
    return g_test_run();
}
