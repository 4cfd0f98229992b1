/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the cluster log shows, merges and sends exactly what the deployed peers would, never drops
 * an entry of this node, and its dump parses whatever the entries contain. Method: captured rings
 * and dump; the generator described with them; a JSON parser on every dump.
 */
#include "lib/wire/wire_clog.h"
#include "pmxcfs/core/clusterlog.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define STATE_HEADER 32

static Clusterlog *new_log(const char *node)
{
    return clusterlog_new(node, NULL);
}

static GBytes *add(Clusterlog *log, const char *text, int64_t sec)
{
    const ClusterlogText t = {
        .priority = 6, .ident = "root@pam", .tag = "tst", .pid = 42, .text = text};
    GBytes *entry = NULL;

    g_assert_cmpint(clusterlog_add(log, &t, (WallTime){sec}, &entry, NULL), ==, 0);
    return entry;
}

static void add_only(Clusterlog *log, const char *text, int64_t sec)
{
    g_bytes_unref(add(log, text, sec));
}

static int insert(Clusterlog *log, GBytes *entry)
{
    return clusterlog_insert(log, g_bytes_get_data(entry, NULL), g_bytes_get_size(entry));
}

static char *dump(const Clusterlog *log, const char *user, uint32_t max)
{
    GString *out = g_string_new(NULL);

    clusterlog_format(log, user, max, out);
    return g_string_free(out, FALSE);
}

/* Parses a dump; gives the array of entries. */
static JsonArray *parse(JsonParser *parser, const Clusterlog *log)
{
    g_autofree char *text = dump(log, NULL, G_MAXUINT32);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_utf8_validate(text, -1, NULL));
    json_parser_load_from_data(parser, text, -1, &error);
    g_assert_no_error(error);
    return json_object_get_array_member(json_node_get_object(json_parser_get_root(parser)), "data");
}

/* ---- text ---- */

static void check_text(const char *in, const char *want)
{
    g_autoptr(GString) out = g_string_new(NULL);

    clusterlog_convert_text(in, 4000, out);
    g_assert_cmpstr(out->str, ==, want);
}

static void text_rules(void)
{
    check_text("plain text ~", "plain text ~");
    check_text("say \"hi\"", "say \\\"hi\\\"");
    check_text("a\001b\nc\177d", "a#001b#010c#127d");
    check_text("w\xc3\xb6rld \xe2\x82\xac", "w\\u00f6rld \\u20ac");
    check_text("\xf0\x9f\x98\x80!", "!"); /* above U+FFFF: dropped */
    check_text("bad\xff\x01\x7f\x80 ok", "bad?#001?? ok");
    check_text("bad\xff \"q\"", "bad? \\\"q\\\"");
    check_text("", "");
}

/* Escapes that callers made pass; any other backslash is a character of the text. */
static void text_backslashes(void)
{
    check_text("w\\u00f6rld", "w\\u00f6rld");
    check_text("w\\u00F6rld", "w\\u00F6rld");
    check_text("\\ud83d\\ude00", "\\ud83d\\ude00");
    check_text("\\ud83d alone", "\\\\ud83d alone");
    check_text("\\ude00 alone", "\\\\ude00 alone");
    check_text("C:\\new\\x", "C:\\\\new\\\\x");
    check_text("\\u12", "\\\\u12");
    check_text("end\\", "end\\\\");
    check_text("\xff C:\\u00e4 \\x", "? C:\\u00e4 \\\\x");
}

static void text_limit(void)
{
    g_autofree char *in = g_strnfill(5000, 'a');
    g_autoptr(GString) out = g_string_new(NULL);

    clusterlog_convert_text(in, 100, out);
    g_assert_cmpuint(out->len, ==, 94);           /* stops when fewer than 7 of 100 are left */
    for (size_t space = 0; space < 40; space++) { /* no escape is cut in two */
        g_string_truncate(out, 0);
        clusterlog_convert_text("\\u00e4\xc3\xa4\\u00e4\\ud83d\\ude00\\ud83d\\ude00\"", space, out);
        g_assert_cmpuint(out->len, <, MAX(space, 1));
        g_assert_true(out->len % 6 == 0 || out->str[out->len - 1] == '"');
    }
}

static void longest_entry(void)
{
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autofree char *text = g_strnfill(10000, 'a');
    g_autofree char *ident = g_strnfill(300, 'i');
    g_autofree char *tag = g_strnfill(300, 't');
    g_autoptr(GBytes) entry = add(log, text, 5);
    g_autoptr(GBytes) longest = NULL;
    ClusterlogText t = {.priority = 7, .ident = ident, .tag = tag, .text = text};
    WireClogEntry e;

    g_assert_cmpuint(g_bytes_get_size(entry), ==, WIRE_CLOG_ENTRY_MAX - 1);
    g_assert_cmpint(clusterlog_add(log, &t, (WallTime){5}, &longest, NULL), ==, 0);
    g_assert_cmpuint(g_bytes_get_size(longest), ==, WIRE_CLOG_ENTRY_MAX - 1);
    g_assert_cmpint(
        wire_clog_decode(g_bytes_get_data(longest, NULL), g_bytes_get_size(longest), &e), ==, 0);
    g_assert_cmpuint(strlen(e.ident), ==, 254);
    g_assert_cmpuint(strlen(e.tag), ==, 254);
    t.priority = 8;
    g_assert_cmpint(clusterlog_add(log, &t, (WallTime){5}, NULL, NULL), ==, -EINVAL);
}

/* ---- dump ---- */

static void dump_bytes(void)
{
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autofree char *empty = dump(log, NULL, 0);
    g_autofree char *two = NULL;

    g_assert_cmpstr(empty, ==, "{\n\"data\": [\n]\n}\n");
    add_only(log, "starting cluster log", 1795309371);
    add_only(log, "hello w\xc3\xb6rld", 1795309381);
    two = dump(log, "", 0);
    g_assert_cmpstr(two, ==,
                    "{\n\"data\": [\n"
                    "{\"uid\": 2, \"time\": 1795309381, \"pri\": 6, \"tag\": \"tst\", \"pid\": 42, "
                    "\"node\": \"n1\", \"user\": \"root@pam\", \"msg\": \"hello w\\u00f6rld\"},\n"
                    "{\"uid\": 1, \"time\": 1795309371, \"pri\": 6, \"tag\": \"tst\", \"pid\": 42, "
                    "\"node\": \"n1\", \"user\": \"root@pam\", \"msg\": \"starting cluster log\"}\n"
                    "]\n}\n");
}

static void dump_limit_and_filter(void)
{
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autofree char *all = NULL;
    g_autofree char *three = NULL;
    g_autofree char *mine = NULL;
    g_autofree char *none = NULL;
    ClusterlogText t = {.ident = "user@pve", .tag = "t", .text = "mine"};

    g_assert_cmpint(clusterlog_add(log, &t, (WallTime){1}, NULL, NULL), ==, 0);
    for (int i = 0; i < 60; i++) {
        add_only(log, "x", 10 + i);
    }
    all = dump(log, NULL, 0);
    three = dump(log, NULL, 3);
    mine = dump(log, "user@pve", 0);
    none = dump(log, "nobody", 0);
    g_assert_null(strstr(all, "\"uid\": 11,")); /* 61 entries, the newest 50 are shown */
    g_assert_nonnull(strstr(all, "\"uid\": 12,"));
    g_assert_nonnull(strstr(three, "\"uid\": 59,"));
    g_assert_null(strstr(three, "\"uid\": 58,"));
    g_assert_nonnull(strstr(mine, "\"msg\": \"mine\"}\n]"));
    g_assert_cmpstr(none, ==, "{\n\"data\": [\n]\n}\n");
}

/* What we logged comes back as it was typed. */
static void dump_round_trip(void)
{
    static const char *const texts[] = {
        "plain",  "quote \" and \\ back",         "\\\\server\\share",   "C:\\new", "end\\", "\\\"",
        "\\\\\"", "umlaut \xc3\xa4 \xe2\x82\xac", "/slash/ {json: [1]}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Clusterlog) log = new_log("n1");
        g_autoptr(JsonParser) parser = json_parser_new();
        JsonObject *entry;

        add_only(log, texts[i], 1);
        entry = json_array_get_object_element(parse(parser, log), 0);
        g_assert_cmpstr(json_object_get_string_member(entry, "msg"), ==, texts[i]);
    }
}

/* Entries that another program stored, with anything in their strings, never break the dump. */
static void dump_always_parses(void)
{
    static const char *const bad[] = {
        "\\",         "a\\b",       "\\x",      "\"",       "\\\\\\",
        "\\u",        "\\u12g4",    "\\ud800",  "\\udc00x", "\\ud800\\n",
        "\n\t",       "\x7f",       "\xff\xfe", "\xc3",     "C:\\Users\\new",
        "\xc3\\\xa4", "{\"a\": 1}", "\\\"\\",   "#001",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Clusterlog) log = new_log("n1");
        g_autoptr(JsonParser) parser = json_parser_new();
        const WireClogEntry e = {.uid = 1,
                                 .time = 1,
                                 .node_digest = 9,
                                 .priority = 255,
                                 .node = bad[i],
                                 .ident = bad[i],
                                 .tag = bad[i],
                                 .text = bad[i]};
        g_autoptr(GBytes) bytes = NULL;

        g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, 0);
        g_assert_cmpint(insert(log, bytes), ==, 1);
        add_only(log, "good", 2);
        g_assert_cmpuint(json_array_get_length(parse(parser, log)), ==, 2);
    }
}

/* ---- golden ring ---- */

static Clusterlog *generated_log(void)
{
    Clusterlog *log = new_log("n1");

    for (uint32_t i = 0; i < 1750; i++) {
        static const char *const nodes[] = {"n1", "n2", "n3"};
        g_autofree char *tail = g_strnfill(i * 37 % 300, (char)('a' + i % 26));
        g_autofree char *text = g_strdup_printf("message number %u %s", i, tail);
        g_autoptr(GBytes) bytes = NULL;
        WireClogEntry e = {
            .uid = i + 1,
            .time = 1700000000 + i / 4,
            .pid = 1000 + i,
            .priority = i % 8,
            .node = nodes[i % 3],
            .ident = i % 5 == 0 ? "user@pve" : "root@pam",
            .tag = "gen",
            .text = text,
        };

        e.node_digest = wire_clog_digest(e.node);
        e.ident_digest = wire_clog_digest(e.ident);
        g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, 0);
        g_assert_cmpint(insert(log, bytes), ==, 1);
    }
    return log;
}

static void golden_dump(void)
{
    g_autoptr(GBytes) want = testdata_sample("clog-wrapped-dump.json");
    g_autoptr(Clusterlog) log = generated_log();
    g_autofree char *got = dump(log, NULL, G_MAXUINT32);

    if (want == NULL) {
        return;
    }
    g_assert_cmpmem(got, strlen(got), g_bytes_get_data(want, NULL), g_bytes_get_size(want));
}

/* The same ring, byte for byte, but for slack and padding: ours are zero. */
static void assert_same_ring(GBytes *ours, const void *theirs, gsize size)
{
    WireClogWalk a, b;
    WireClogEntry x, y;
    const uint8_t *raw_x, *raw_y;
    size_t size_x, size_y;

    g_assert_cmpuint(g_bytes_get_size(ours), ==, size);
    g_assert_cmpmem(g_bytes_get_data(ours, NULL), 8, theirs, 8);
    g_assert_cmpint(wire_clog_walk_init(&a, g_bytes_get_data(ours, NULL), size), ==, 0);
    g_assert_cmpint(wire_clog_walk_init(&b, theirs, size), ==, 0);
    while (wire_clog_walk_next(&a, &x, &raw_x, &size_x)) {
        g_assert_true(wire_clog_walk_next(&b, &y, &raw_y, &size_y));
        g_assert_cmpmem(raw_x, size_x - 4, raw_y, size_y - 4);
        g_assert_cmpint(raw_x - (const uint8_t *)g_bytes_get_data(ours, NULL), ==,
                        raw_y - (const uint8_t *)theirs);
    }
    g_assert_false(wire_clog_walk_next(&b, &y, NULL, NULL));
}

static void golden_state(void)
{
    g_autoptr(GBytes) want = testdata_sample("clog-wrapped-state.bin");
    g_autoptr(Clusterlog) log = generated_log();
    g_autoptr(GBytes) state = clusterlog_state(log);
    g_autoptr(GBytes) again = clusterlog_state(log);

    if (want == NULL) {
        return;
    }
    assert_same_ring(state, g_bytes_get_data(want, NULL), g_bytes_get_size(want));
    g_assert_true(g_bytes_equal(state, again)); /* already in order */
}

/* Chapter 16: the two STATE samples and the LOG sample make the third STATE sample. */
static void golden_merge(void)
{
    g_autoptr(GBytes) n1 = testdata_sample("wire-kvstore-state-n1.bin");
    g_autoptr(GBytes) n2 = testdata_sample("wire-kvstore-state-n2.bin");
    g_autoptr(GBytes) message = testdata_sample("wire-kvstore-normal-log.hex");
    g_autoptr(GBytes) want = testdata_sample("wire-kvstore-state-n2-after-merge.bin");
    GBytes *payloads[2];
    g_autoptr(GBytes) log_entry = NULL;
    g_autoptr(GBytes) state = NULL;
    g_autoptr(Clusterlog) log = new_log("n2");
    gsize size;

    if (want == NULL) {
        return;
    }
    g_assert_true(n1 != NULL && n2 != NULL && message != NULL);
    payloads[0] = g_bytes_new_from_bytes(n1, STATE_HEADER, g_bytes_get_size(n1) - STATE_HEADER);
    payloads[1] = g_bytes_new_from_bytes(n2, STATE_HEADER, g_bytes_get_size(n2) - STATE_HEADER);
    clusterlog_merge(log, payloads, 2);
    log_entry = g_bytes_new_from_bytes(message, 24, g_bytes_get_size(message) - 24);
    g_assert_cmpint(insert(log, log_entry), ==, 1);
    g_assert_cmpint(insert(log, log_entry), ==, 0); /* the same once more */
    state = clusterlog_state(log);
    size = g_bytes_get_size(want) - STATE_HEADER;
    g_assert_cmpmem(g_bytes_get_data(state, NULL), g_bytes_get_size(state),
                    (const uint8_t *)g_bytes_get_data(want, NULL) + STATE_HEADER, size);
    g_bytes_unref(payloads[0]);
    g_bytes_unref(payloads[1]);
}

/* ---- what is new ---- */

static void old_entries_dropped(void)
{
    g_autoptr(Clusterlog) from = new_log("n2");
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autoptr(GBytes) a = add(from, "a", 100);
    g_autoptr(GBytes) b = add(from, "b", 100);
    g_autoptr(GBytes) c = add(from, "c", 101);

    g_assert_cmpint(insert(log, b), ==, 1);
    g_assert_cmpint(insert(log, a), ==, 0);
    g_assert_cmpint(insert(log, b), ==, 0);
    g_assert_cmpint(insert(log, c), ==, 1);
    g_assert_cmpint(clusterlog_insert(log, "junk", 4), ==, -EBADMSG);
}

/* 18.1.18: the clock goes back one hour; nothing is lost, here or at the other member. */
static void clock_steps_back(void)
{
    g_autoptr(Clusterlog) us = new_log("n1");
    g_autoptr(Clusterlog) peer = new_log("n2");
    g_autofree char *shown = NULL;
    const int64_t times[] = {5000, 5000, 1400, 1401, 1401, 5000, 5001};

    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autoptr(GBytes) entry = add(us, "x", times[i]);

        g_assert_cmpint(insert(peer, entry), ==, 1);
    }
    shown = dump(us, NULL, 0);
    g_assert_nonnull(strstr(shown, "\"uid\": 7, \"time\": 5001"));
    g_assert_nonnull(strstr(shown, "\"uid\": 3, \"time\": 5000"));
}

/* A machine came up in the far future, and its clock was then set right: later entries tell the
 * true time, nothing is lost, nothing comes twice. */
static void clock_was_far_ahead(void)
{
    g_autoptr(Clusterlog) us = new_log("n1");
    g_autoptr(Clusterlog) peer = new_log("n2");
    g_autoptr(GBytes) future = add(us, "from the future", 4000000000);
    g_autoptr(GBytes) now = add(us, "now", 1800000000);
    g_autoptr(GBytes) next = add(us, "next", 1800000000);
    g_autoptr(GBytes) ring = clusterlog_state(us);
    g_autofree char *shown = dump(us, NULL, 0);

    g_assert_nonnull(strstr(shown, "\"time\": 1800000000"));
    g_assert_cmpint(insert(peer, future), ==, 1);
    g_assert_cmpint(insert(peer, now), ==, 1);
    g_assert_cmpint(insert(peer, now), ==, 0);
    g_assert_cmpint(insert(peer, next), ==, 1);
    clusterlog_merge(peer, &ring, 1);
    g_assert_cmpint(insert(peer, next), ==, 0); /* known by the merge */
    g_assert_cmpint(insert(peer, future), ==, 0);
}

/* A restarted daemon starts its uids anew; the log that the others give back knows higher ones. */
static void restart_in_the_same_second(void)
{
    g_autoptr(Clusterlog) before = new_log("n1");
    g_autoptr(Clusterlog) peer = new_log("n2");
    g_autoptr(Clusterlog) after = new_log("n1");
    g_autoptr(GBytes) ring = NULL;
    g_autoptr(GBytes) entry = NULL;

    for (int i = 0; i < 5; i++) {
        g_autoptr(GBytes) e = add(before, "x", 100);

        g_assert_cmpint(insert(peer, e), ==, 1);
    }
    ring = clusterlog_state(peer);
    clusterlog_merge(after, &ring, 1);
    entry = add(after, "back again", 100);
    g_assert_cmpint(insert(peer, entry), ==, 1);
}

static void uid_at_its_end(void)
{
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autoptr(Clusterlog) peer = new_log("n2");
    const WireClogEntry last = {.uid = UINT32_MAX,
                                .time = 100,
                                .node = "n1",
                                .ident = "i",
                                .tag = "t",
                                .text = "x",
                                .node_digest = wire_clog_digest("n1")};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GBytes) next = NULL;

    g_assert_cmpint(wire_clog_encode(&last, &bytes), ==, 0);
    g_assert_cmpint(insert(log, bytes), ==, 1);
    g_assert_cmpint(insert(peer, bytes), ==, 1);
    next = add(log, "next", 50);
    g_assert_cmpint(insert(peer, next), ==, 1);
}

/* ---- merge ---- */

static void merge_keeps_the_newest(void)
{
    g_autoptr(Clusterlog) a = new_log("n1");
    g_autoptr(Clusterlog) b = new_log("n2");
    g_autoptr(GBytes) ring = NULL;
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree char *text = g_strnfill(500, 'x');
    JsonArray *entries;
    gint64 last = G_MAXINT64;

    for (int i = 0; i < 200; i++) { /* each ring nearly full */
        add_only(a, text, 1000 + 2 * i);
        add_only(b, text, 1001 + 2 * i);
    }
    ring = clusterlog_state(b);
    clusterlog_merge(a, &ring, 1);
    entries = parse(parser, a);
    g_assert_cmpuint(json_array_get_length(entries), ==, 224); /* 126968 bytes, 568 each */
    for (guint i = 0; i < json_array_get_length(entries); i++) {
        JsonObject *e = json_array_get_object_element(entries, i);
        gint64 t = json_object_get_int_member(e, "time");

        g_assert_cmpint(t, ==, last == G_MAXINT64 ? 1399 : last - 1);
        last = t;
    }
    clusterlog_merge(a, &ring, 1); /* all of it is known by now */
    g_assert_cmpuint(json_array_get_length(parse(parser, a)), ==, 224);
}

static void merge_skips_malformed(void)
{
    g_autoptr(Clusterlog) log = new_log("n1");
    g_autoptr(Clusterlog) good = new_log("n3");
    GBytes *rings[4];
    g_autoptr(JsonParser) parser = json_parser_new();

    add_only(log, "own", 1);
    add_only(good, "good", 2);
    rings[0] = g_bytes_new_static("", 0);
    rings[1] = g_bytes_new_static("12345678901234567", 17);
    rings[2] = clusterlog_state(good);
    rings[3] = g_bytes_new_from_bytes(rings[2], 0, 1000); /* its size field says more */
    clusterlog_merge(log, rings, 4);
    g_assert_cmpuint(json_array_get_length(parse(parser, log)), ==, 2);
    for (int i = 0; i < 4; i++) {
        g_bytes_unref(rings[i]);
    }
}

/* Every bit of a peer's ring may be wrong: the merge ends and the dump parses. */
static void merge_survives_flips(void)
{
    g_autoptr(Clusterlog) peer = new_log("n2");
    g_autoptr(GBytes) ring = NULL;

    for (int i = 0; i < 3; i++) {
        add_only(peer, "some text", 100 + i);
    }
    ring = clusterlog_state(peer);
    for (gsize i = 0; i < 8 + 3 * 80; i++) {
        g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(ring, NULL), WIRE_CLOG_RING_SIZE);
        g_autoptr(GBytes) bad = NULL;
        g_autoptr(Clusterlog) log = new_log("n1");
        g_autoptr(JsonParser) parser = json_parser_new();

        copy[i] ^= (uint8_t)(1u << (i % 8));
        bad = g_bytes_new_static(copy, WIRE_CLOG_RING_SIZE);
        add_only(log, "own", 5);
        clusterlog_merge(log, &bad, 1);
        g_assert_cmpuint(json_array_get_length(parse(parser, log)), >=, 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clusterlog/text/documented-rules", text_rules);
    g_test_add_func("/clusterlog/text/backslashes-are-kept-as-text", text_backslashes);
    g_test_add_func("/clusterlog/text/stops-before-the-end-of-the-entry", text_limit);
    g_test_add_func("/clusterlog/text/longest-entry-fits", longest_entry);
    g_test_add_func("/clusterlog/dump/documented-bytes", dump_bytes);
    g_test_add_func("/clusterlog/dump/limit-and-user-filter", dump_limit_and_filter);
    g_test_add_func("/clusterlog/dump/shows-what-was-logged", dump_round_trip);
    g_test_add_func("/clusterlog/dump/always-parses", dump_always_parses);
    g_test_add_func("/clusterlog/golden/dump-of-a-wrapped-ring", golden_dump);
    g_test_add_func("/clusterlog/golden/sorted-ring", golden_state);
    g_test_add_func("/clusterlog/golden/merge", golden_merge);
    g_test_add_func("/clusterlog/insert/old-entries-are-dropped", old_entries_dropped);
    g_test_add_func("/clusterlog/insert/clock-stepping-back-loses-nothing", clock_steps_back);
    g_test_add_func("/clusterlog/insert/clock-that-was-far-ahead", clock_was_far_ahead);
    g_test_add_func("/clusterlog/insert/restart-in-the-same-second", restart_in_the_same_second);
    g_test_add_func("/clusterlog/insert/uid-at-its-end", uid_at_its_end);
    g_test_add_func("/clusterlog/merge/keeps-the-newest-once-each", merge_keeps_the_newest);
    g_test_add_func("/clusterlog/merge/leaves-out-malformed-rings", merge_skips_malformed);
    g_test_add_func("/clusterlog/merge/survives-every-flipped-bit", merge_survives_flips);
    return g_test_run();
}
