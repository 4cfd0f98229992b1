/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: messages of migration agents are read as they were written, and nothing else is taken.
 * Method: one good message of each type from the table of fields; golden bytes; every truncation;
 * every single byte changed; each field missing, of another kind, too long.
 */
#include "lib/wire/wire_migration.h"

#include <errno.h>
#include <string.h>

static JsonTree *value_of(const WireMigField *f, bool too_much)
{
    JsonTree *t;

    switch (f->kind) {
    case WIRE_MIG_TEXT: {
        g_autofree char *text =
            g_strnfill(too_much ? (gsize)f->max + 1 : MIN((gsize)f->max, 8), 'x');
        return jsontree_new_text(text);
    }
    case WIRE_MIG_INT:
        return jsontree_new_int(!too_much ? 1 : f->max < INT64_MAX ? f->max + 1 : -1);
    case WIRE_MIG_BOOL:
        return too_much ? jsontree_new_int(1) : jsontree_new_bool(true);
    case WIRE_MIG_LIST:
        t = jsontree_new_array();
        for (int i = 0; too_much && i <= f->max; i++) {
            jsontree_add(t, jsontree_new_int(i));
        }
        return t;
    case WIRE_MIG_TABLE:
        return too_much ? jsontree_new_array() : jsontree_new_object();
    }
    g_assert_not_reached();
}

/* A body with all members but `missing`; `wrong` gets a value that does not fit. */
static JsonTree *body_of(WireMigType type, const char *missing, const char *wrong)
{
    JsonTree *t = jsontree_new_object();

    for (const WireMigField *f = wire_mig_fields(type); f->name != NULL; f++) {
        if (g_strcmp0(f->name, missing) != 0) {
            jsontree_set(t, f->name, value_of(f, g_strcmp0(f->name, wrong) == 0));
        }
    }
    return t;
}

static void test_round_trip(void)
{
    for (int type = WIRE_MIG_NONE + 1; type < WIRE_MIG_N; type++) {
        g_autoptr(JsonTree) body = body_of((WireMigType)type, NULL, NULL);
        g_autoptr(GBytes) bytes = type == WIRE_MIG_DATA ? wire_mig_encode_data("raw\0bytes", 9)
                                                        : wire_mig_encode((WireMigType)type, body);
        g_auto(WireMig) m = {0};
        g_autoptr(GString) a = g_string_new(NULL);
        g_autoptr(GString) b = g_string_new(NULL);
        Err err = ERR_INIT;
        gsize size;
        const void *data;

        g_assert_nonnull(bytes);
        data = g_bytes_get_data(bytes, &size);
        g_assert_cmpint(wire_mig_size(data, size, &err), ==, (int64_t)size);
        g_assert_cmpint(wire_mig_decode(data, size, &m, &err), ==, 0);
        g_assert_cmpint(m.type, ==, type);
        if (type == WIRE_MIG_DATA) {
            g_assert_cmpmem(g_bytes_get_data(m.data, NULL), g_bytes_get_size(m.data), "raw\0bytes",
                            9);
        } else {
            jsontree_append(a, body);
            jsontree_append(b, m.body);
            g_assert_cmpstr(a->str, ==, b->str);
        }
        g_assert_cmpint(wire_mig_from_name(wire_mig_name((WireMigType)type)), ==, type);
        g_assert_nonnull(wire_mig_text((WireMigType)type));
    }
}

static void test_golden(void)
{
    static const char want[] = "QM\x01\x11\0\0\0\0\x02\0\0\0{}";
    static const char error[] =
        "QM\x01\x16\0\0\0\0\x22\0\0\0{\"code\":28,\"text\":\"no space left\"}";
    g_autoptr(GBytes) ping = wire_mig_encode(WIRE_MIG_PING, NULL);
    g_autoptr(JsonTree) body = jsontree_new_object();
    g_autoptr(GBytes) full = NULL;

    g_assert_cmpmem(g_bytes_get_data(ping, NULL), g_bytes_get_size(ping), want, sizeof want - 1);
    jsontree_set_int(body, "code", 28);
    jsontree_set_text(body, "text", "no space left");
    full = wire_mig_encode(WIRE_MIG_ERROR, body);
    g_assert_cmpint(error[8], ==, (int)g_bytes_get_size(full) - 12);
    g_assert_cmpmem(g_bytes_get_data(full, NULL), g_bytes_get_size(full), error, sizeof error - 1);
}

static void test_fields(void)
{
    for (int type = WIRE_MIG_NONE + 1; type < WIRE_MIG_N; type++) {
        for (const WireMigField *f = wire_mig_fields((WireMigType)type); f->name != NULL; f++) {
            g_autoptr(JsonTree) missing = body_of((WireMigType)type, f->name, NULL);
            g_autoptr(JsonTree) wrong = body_of((WireMigType)type, NULL, f->name);
            Err err = ERR_INIT;
            int r = wire_mig_check((WireMigType)type, missing, &err);

            g_assert_cmpint(r, ==, f->required ? -EBADMSG : 0);
            g_assert_true(!f->required || strstr(err_text(&err), f->name) != NULL);
            g_assert_cmpint(wire_mig_check((WireMigType)type, wrong, &err), ==, -EBADMSG);
            g_assert_null(wire_mig_encode((WireMigType)type, wrong));
        }
    }
}

static GBytes *sample(void)
{
    g_autoptr(JsonTree) body = body_of(WIRE_MIG_HELLO, NULL, NULL);

    return wire_mig_encode(WIRE_MIG_HELLO, body);
}

static void test_truncated(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    for (gsize n = 0; n < size; n++) {
        g_auto(WireMig) m = {0};
        Err err = ERR_INIT;
        int64_t want = wire_mig_size(data, n, &err);

        g_assert_true(want == 0 || want == (int64_t)size);
        g_assert_cmpint(wire_mig_decode(data, n, &m, &err), <, 0);
    }
}

static void test_flipped(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    for (gsize i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            g_autofree guint8 *copy = g_memdup2(data, size);
            g_auto(WireMig) m = {0};
            Err err = ERR_INIT;
            int r;

            copy[i] ^= (guint8)(1 << bit);
            r = wire_mig_decode(copy, size, &m, &err);
            if (i < 3 || (i >= 4 && i < WIRE_MIG_HEADER_SIZE)) {
                g_assert_cmpint(r, <, 0);
            }
            if (r == 0) {
                g_assert_cmpint(m.type == WIRE_MIG_DATA ? 0 : wire_mig_check(m.type, m.body, &err),
                                ==, 0);
            }
        }
    }
}

static void test_bounds(void)
{
    guint8 head[WIRE_MIG_HEADER_SIZE] = {'Q', 'M', 1, WIRE_MIG_HELLO, 0, 0, 0, 0, 1, 0, 0x40, 0};
    Err err = ERR_INIT;

    g_assert_cmpint(wire_mig_size(head, sizeof head, &err), ==, -E2BIG);
    head[3] = WIRE_MIG_N;
    g_assert_cmpint(wire_mig_size(head, sizeof head, &err), ==, -EBADMSG);
    head[3] = WIRE_MIG_NONE;
    g_assert_cmpint(wire_mig_size(head, sizeof head, &err), ==, -EBADMSG);
}

/* docs/wire/migration.md lists every message and every member, in order. */
static void test_page(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "..", "docs", "wire", "migration.md", NULL);
    g_autofree char *page = NULL;

    g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
    for (int type = WIRE_MIG_NONE + 1; type < WIRE_MIG_N; type++) {
        g_autofree char *head =
            g_strdup_printf("\n| %d | `%s` | %s |", type, wire_mig_name((WireMigType)type),
                            wire_mig_text((WireMigType)type));

        if (strstr(page, head) == NULL) {
            g_test_message("missing in docs/wire/migration.md:%s", head);
            g_test_fail();
        }
        for (const WireMigField *f = wire_mig_fields((WireMigType)type); f->name != NULL; f++) {
            g_autofree char *line =
                g_strdup_printf("\n| `%s` | `%s` |%s| %s |", wire_mig_name((WireMigType)type),
                                f->name, f->required ? "" : " may be absent ", f->text);

            if (strstr(page, line) == NULL) {
                g_test_message("missing in docs/wire/migration.md:%s", line);
                g_test_fail();
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire_migration/every-type-comes-back-as-sent", test_round_trip);
    g_test_add_func("/wire_migration/golden-bytes", test_golden);
    g_test_add_func("/wire_migration/missing-and-wrong-members-are-refused", test_fields);
    g_test_add_func("/wire_migration/every-truncation-is-refused", test_truncated);
    g_test_add_func("/wire_migration/a-changed-byte-never-breaks-the-rules", test_flipped);
    g_test_add_func("/wire_migration/length-and-type-are-bounded", test_bounds);
    g_test_add_func("/wire_migration/the-page-lists-all", test_page);
    return g_test_run();
}
