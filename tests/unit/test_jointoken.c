/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a token survives copying, a damaged one is refused, its record does not give the secret
 * away. */
#include "quorum/core/jointoken.h"

#include <errno.h>
#include <string.h>

static const uint8_t ca[JOINTOKEN_CA_SIZE] = {1, 2, 3};
static const char *const addresses[] = {"10.0.0.1", "[fd00::1]:8006", "n3.test", NULL};

static JoinToken make_token(void)
{
    uint8_t random[JOINTOKEN_ID_SIZE + JOINTOKEN_SECRET_SIZE];
    JoinToken t = {0};
    Err err = ERR_INIT;

    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)(7 * i + 1);
    }
    g_assert_cmpint(jointoken_make("lab", addresses, ca, random, (WallTime){2000}, &t, &err), ==,
                    0);
    return t;
}

static void line_round_trip(void)
{
    g_auto(JoinToken) t = make_token();
    g_auto(JoinToken) back = {0};
    g_autofree char *line = jointoken_format(&t);
    g_autofree char *padded = g_strdup_printf("  %s\n", line);
    Err err = ERR_INIT;

    g_assert_true(jointoken_looks_like(padded));
    g_assert_false(jointoken_looks_like("n1.test"));
    g_assert_null(strpbrk(line, "+/= \n"));
    g_assert_cmpint(jointoken_parse(padded, &back, &err), ==, 0);
    g_assert_cmpstr(back.cluster, ==, "lab");
    g_assert_cmpmem(back.id, sizeof back.id, t.id, sizeof t.id);
    g_assert_cmpmem(back.secret, sizeof back.secret, t.secret, sizeof t.secret);
    g_assert_cmpmem(back.ca, sizeof back.ca, ca, sizeof ca);
    g_assert_cmpuint(back.addresses->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(back.addresses, 1), ==, "[fd00::1]:8006");
    g_assert_cmpint(back.expires.sec, ==, 2000);
}

/* Every truncation and every changed character either fails cleanly or still gives bounded values.
 */
static void damaged_lines_are_refused(void)
{
    g_auto(JoinToken) t = make_token();
    g_autofree char *line = jointoken_format(&t);
    size_t n = strlen(line);
    unsigned accepted = 0;

    for (size_t i = 0; i < n; i++) {
        g_autofree char *cut = g_strndup(line, i);
        g_auto(JoinToken) back = {0};
        Err err = ERR_INIT;

        g_assert_cmpint(jointoken_parse(cut, &back, &err), ==, -EBADMSG);
        g_assert_null(back.cluster);
    }
    for (size_t i = 0; i < n; i++) {
        g_autofree char *flipped = g_strdup(line);
        g_auto(JoinToken) back = {0};

        flipped[i] = flipped[i] == 'A' ? 'B' : 'A';
        accepted += jointoken_parse(flipped, &back, NULL) == 0;
    }
    g_assert_cmpuint(accepted, <, n); /* texts inside may change; the form may not */
    g_auto(JoinToken) back = {0};
    g_autofree char *huge = g_strnfill(JOINTOKEN_LINE_MAX + 1, 'A');
    g_assert_cmpint(jointoken_parse(huge, &back, NULL), ==, -EBADMSG);
}

static void errors_never_show_the_secret(void)
{
    g_auto(JoinToken) t = make_token();
    g_autofree char *line = jointoken_format(&t);
    g_auto(JoinToken) back = {0};
    Err err = ERR_INIT;

    line[strlen(line) - 5] = '!';
    g_assert_cmpint(jointoken_parse(line, &back, &err), ==, -EBADMSG);
    g_assert_cmpuint(strlen(err.text), <, 100);
    g_assert_null(strstr(err.text, line + 20));
}

static void proof_is_bound_to_channel_and_name(void)
{
    g_auto(JoinToken) t = make_token();
    uint8_t key[JOINTOKEN_KEY_SIZE], a[JOINTOKEN_KEY_SIZE], b[JOINTOKEN_KEY_SIZE];
    uint8_t channel[JOINTOKEN_EXPORTER_SIZE] = {9};

    jointoken_derive(t.secret, key);
    g_assert_true(memcmp(key, t.secret, sizeof key) != 0);
    jointoken_proof(key, channel, "n4", a);
    jointoken_proof(key, channel, "n4", b);
    g_assert_true(jointoken_same_proof(a, b));
    jointoken_proof(key, channel, "n5", b);
    g_assert_false(jointoken_same_proof(a, b));
    channel[31] = 1;
    jointoken_proof(key, channel, "n4", b);
    g_assert_false(jointoken_same_proof(a, b));
}

static void record_round_trip_and_rules(void)
{
    JoinRecord r = {.key = {5, 6}, .expires = {2000}, .uses_left = 1, .votes = 0};
    g_auto(JoinRecord) back = {0};
    g_autofree char *text = NULL;
    Err err = ERR_INIT;

    r.node = g_strdup("n4");
    text = join_record_format(&r);
    g_assert_cmpint(join_record_parse(text, strlen(text), &back, &err), ==, 0);
    g_assert_cmpmem(back.key, sizeof back.key, r.key, sizeof r.key);
    g_assert_cmpuint(back.votes, ==, 0);
    g_assert_cmpint(join_record_check(&back, "n4", (WallTime){1999}, &err), ==, 0);
    g_assert_cmpint(join_record_check(&back, "n4", (WallTime){2000}, &err), ==, -ETIME);
    g_assert_cmpint(join_record_check(&back, "n5", (WallTime){1999}, &err), ==, -EPERM);
    g_clear_pointer(&back.node, g_free);
    back.uses_left = 0;
    back.used_by = g_strdup("n4");
    g_assert_cmpint(join_record_check(&back, "n5", (WallTime){1999}, &err), ==, -EALREADY);
    g_assert_cmpint(join_record_check(&back, "n4", (WallTime){1999}, &err), ==, 0);
    join_record_done(&r);
}

static void damaged_records_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "version: 2\n",
                                      "version: 1\nkey: 00\n",
                                      "version: 1\nexpires: -1\n",
                                      "version: 1\nuses: 1\nexpires: 5\n",
                                      "version: 1\nunknown: 1\n",
                                      "node: a\nnode: b\n",
                                      "nonsense"};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(JoinRecord) r = {0};

        g_assert_cmpint(join_record_parse(bad[i], strlen(bad[i]), &r, NULL), ==, -EBADMSG);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jointoken/line-round-trip", line_round_trip);
    g_test_add_func("/jointoken/damaged-lines-refused", damaged_lines_are_refused);
    g_test_add_func("/jointoken/errors-never-show-the-secret", errors_never_show_the_secret);
    g_test_add_func("/jointoken/proof-bound-to-channel", proof_is_bound_to_channel_and_name);
    g_test_add_func("/jointoken/record-round-trip-and-rules", record_round_trip_and_rules);
    g_test_add_func("/jointoken/damaged-records-refused", damaged_records_are_refused);
    return g_test_run();
}
