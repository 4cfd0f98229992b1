/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: payloads of the configuration group, byte for byte. Method: golden bytes written out here,
 * captured messages of the documented peer, every truncation and changed byte.
 */
#include "lib/wire/wire_dcdb.h"
#include "lib/wire/wire_dfsm.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

static const char write_hex[] = "03000000 07000000 04000000 00000000 00000000  612f6200  78797a";
static const char truncate_hex[] = "00000000 09000000 02000000 00000000 01000000  6100";
static const char rename_hex[] = "00000000 00000000 02000000 03000000 00000000  6100 626300";
static const char unlock_hex[] =
    "0101010101010101020202020202020203030303030303030404040404040404 6c6f636b00";
static const char index_hex[] =
    "0900000000000000 0800000000000000 01000000 d2040000 02000000 70000000"
    "0000000000000000 0101010101010101010101010101010101010101010101010101010101010101"
    "0800000000000000 0202020202020202020202020202020202020202020202020202020202020202";
static const char update_hex[] = "0100000000000000 0200000000000000 0300000000000000"
                                 "04000000 05000000 02000000 02000000 08 6600 7878";

static const void *bytes_of(GBytes *b, gsize *size)
{
    return g_bytes_get_data(b, size);
}

static void check_file(const char *hex, const WireDcdbFile *want)
{
    g_autoptr(GBytes) golden = testdata_hex(hex);
    g_autoptr(GBytes) made = NULL;
    WireDcdbFile f;
    gsize size;
    const void *data = bytes_of(golden, &size);

    g_assert_cmpint(wire_dcdb_encode_file(want, &made), ==, 0);
    g_assert_true(g_bytes_equal(made, golden));
    g_assert_cmpint(wire_dcdb_decode_file(data, size, &f), ==, 0);
    g_assert_cmpuint(f.offset, ==, want->offset);
    g_assert_cmpint(f.truncate, ==, want->truncate);
    g_assert_cmpstr(f.path, ==, want->path);
    g_assert_cmpstr(f.to, ==, want->to);
    g_assert_cmpmem(f.data, f.size, want->data, want->size);
}

static void file_messages(void)
{
    check_file(write_hex, &(WireDcdbFile){.offset = 7, .path = "a/b", .data = "xyz", .size = 3});
    check_file(truncate_hex, &(WireDcdbFile){.offset = 9, .truncate = true, .path = "a"});
    check_file(rename_hex, &(WireDcdbFile){.path = "a", .to = "bc"});
}

static void refuse_file(const char *hex)
{
    g_autoptr(GBytes) bytes = testdata_hex(hex);
    WireDcdbFile f;
    gsize size;
    const void *data = bytes_of(bytes, &size);

    g_assert_cmpint(wire_dcdb_decode_file(data, size, &f), ==, -EBADMSG);
}

static void file_lengths_must_add_up(void)
{
    refuse_file("");
    refuse_file("00000000 00000000 02000000 00000000 00000000  6100 00");   /* trailing */
    refuse_file("00000000 00000000 02000000 00000000 00000000  61");        /* cut */
    refuse_file("00000000 00000000 02000000 00000000 00000000  6162");      /* no NUL */
    refuse_file("ffffffff 00000000 ffffffff ffffffff 00000000  6100");      /* sum overflows */
    refuse_file("00000000 00000000 02000000 02000000 00000000  6100 6262"); /* second: no NUL */
}

static void inner_nul_ends_a_path(void)
{
    g_autoptr(GBytes) b = testdata_hex("00000000 00000000 04000000 00000000 00000000  61006200");
    WireDcdbFile f;
    gsize size;
    const void *data = bytes_of(b, &size);

    g_assert_cmpint(wire_dcdb_decode_file(data, size, &f), ==, 0);
    g_assert_cmpstr(f.path, ==, "a");
}

static void missing_paths_are_null(void)
{
    g_autoptr(GBytes) b = testdata_hex("00000000 00000000 00000000 00000000 00000000");
    WireDcdbFile f;
    gsize size;
    const void *data = bytes_of(b, &size);

    g_assert_cmpint(wire_dcdb_decode_file(data, size, &f), ==, 0);
    g_assert_null(f.path);
    g_assert_null(f.to);
}

static void unlock_message(void)
{
    g_autoptr(GBytes) golden = testdata_hex(unlock_hex);
    g_autoptr(GBytes) made = NULL;
    WireDcdbUnlock u;
    gsize size;
    const void *data = bytes_of(golden, &size);

    g_assert_cmpint(wire_dcdb_decode_unlock(data, size, &u), ==, 0);
    g_assert_cmpstr(u.path, ==, "lock");
    g_assert_cmpuint(u.csum[31], ==, 4);
    made = wire_dcdb_encode_unlock(&u);
    g_assert_true(g_bytes_equal(made, golden));
    g_assert_cmpint(wire_dcdb_decode_unlock(data, WIRE_DCDB_CSUM_SIZE, &u), ==, -EBADMSG);
    g_assert_cmpint(wire_dcdb_decode_unlock(data, size - 1, &u), ==, -EBADMSG);
}

static void index_of_a_tree(void)
{
    g_autoptr(GBytes) golden = testdata_hex(index_hex);
    WireDcdbIndex x;
    gsize size;
    const void *data = bytes_of(golden, &size);

    g_assert_cmpint(wire_dcdb_decode_index(data, size, &x), ==, 0);
    g_assert_cmpuint(x.version, ==, 9);
    g_assert_cmpuint(x.last_inode, ==, 8);
    g_assert_cmpuint(x.writer, ==, 1);
    g_assert_cmpuint(x.mtime, ==, 1234);
    g_assert_cmpuint(x.n, ==, 2);
    g_assert_cmpuint(wire_dcdb_index_inode(&x, 1), ==, 8);
    g_assert_cmpuint(wire_dcdb_index_digest(&x, 1)[0], ==, 2);
}

static void damage_index(gsize at, guint8 value)
{
    g_autoptr(GBytes) golden = testdata_hex(index_hex);
    gsize size;
    const void *data = bytes_of(golden, &size);
    g_autofree guint8 *copy = g_memdup2(data, size);
    WireDcdbIndex x;

    g_assert_cmpuint(copy[at], !=, value);
    copy[at] = value;
    g_assert_cmpint(wire_dcdb_decode_index(copy, size, &x), ==, -EBADMSG);
}

static void index_counts_must_agree(void)
{
    damage_index(24, 1);    /* entries */
    damage_index(24, 3);    /* more than there are */
    damage_index(28, 0x6f); /* bytes */
    damage_index(32, 8);    /* inodes not ascending */
    damage_index(32, 9);
}

static void update_of_one_entry(void)
{
    WireDcdbUpdate want = {1, 2, 3, 4, 5, 8, "f", "xx", 2}, u;
    g_autoptr(GBytes) golden = testdata_hex(update_hex);
    g_autoptr(GBytes) made = wire_dcdb_encode_update(&want);
    gsize size;
    const void *data = bytes_of(golden, &size);

    g_assert_true(g_bytes_equal(made, golden));
    g_assert_cmpint(wire_dcdb_decode_update(data, size, &u), ==, 0);
    g_assert_cmpuint(u.parent, ==, 1);
    g_assert_cmpuint(u.inode, ==, 2);
    g_assert_cmpuint(u.version, ==, 3);
    g_assert_cmpuint(u.writer, ==, 4);
    g_assert_cmpuint(u.mtime, ==, 5);
    g_assert_cmpuint(u.type, ==, 8);
    g_assert_cmpstr(u.name, ==, "f");
    g_assert_cmpmem(u.data, u.size, "xx", 2);
}

static void refuse_update(gsize at, guint8 value)
{
    g_autoptr(GBytes) golden = testdata_hex(update_hex);
    gsize size;
    const void *data = bytes_of(golden, &size);
    g_autofree guint8 *copy = g_memdup2(data, size);
    WireDcdbUpdate u;

    g_assert_cmpuint(copy[at], !=, value);
    copy[at] = value;
    g_assert_cmpint(wire_dcdb_decode_update(copy, size, &u), ==, -EBADMSG);
}

static void bad_updates_are_refused(void)
{
    refuse_update(32, 1);   /* size too small: trailing byte */
    refuse_update(32, 3);   /* size too large */
    refuse_update(36, 0);   /* no name */
    refuse_update(36, 1);   /* name without NUL */
    refuse_update(40, 9);   /* unknown type */
    refuse_update(40, 4);   /* directory with content */
    refuse_update(41, 0);   /* name with a NUL inside */
    refuse_update(42, 'x'); /* name not terminated */
}

static void decode_all(const void *data, gsize size)
{
    WireDcdbFile f;
    WireDcdbUnlock u;
    WireDcdbIndex x;
    WireDcdbUpdate e;
    volatile uint64_t sink = 0;

    if (wire_dcdb_decode_file(data, size, &f) == 0) {
        sink += (f.path != NULL ? strlen(f.path) : 0) + (f.to != NULL ? strlen(f.to) : 0);
        g_assert_cmpuint(f.size, <=, size);
    }
    if (wire_dcdb_decode_unlock(data, size, &u) == 0) {
        sink += strlen(u.path) + u.csum[31];
    }
    if (wire_dcdb_decode_index(data, size, &x) == 0) {
        for (uint32_t i = 0; i < x.n; i++) {
            sink += wire_dcdb_index_inode(&x, i) + wire_dcdb_index_digest(&x, i)[31];
        }
    }
    if (wire_dcdb_decode_update(data, size, &e) == 0) {
        sink += strlen(e.name);
        g_assert_cmpuint(e.size, <, size);
    }
    (void)sink;
}

static void damaged_payloads_are_survived(void)
{
    static const char *const goldens[] = {write_hex,  truncate_hex, rename_hex,
                                          unlock_hex, index_hex,    update_hex};

    for (gsize i = 0; i < G_N_ELEMENTS(goldens); i++) {
        g_autoptr(GBytes) golden = testdata_hex(goldens[i]);

        testdata_mutate(golden, decode_all);
    }
}

static void truncations_of_index_and_update_are_refused(void)
{
    g_autoptr(GBytes) index = testdata_hex(index_hex);
    g_autoptr(GBytes) update = testdata_hex(update_hex);
    gsize size;
    const void *data = bytes_of(index, &size);
    WireDcdbIndex x;
    WireDcdbUpdate u;

    for (gsize n = 0; n < size; n++) {
        g_autofree void *copy = g_memdup2(data, n);

        g_assert_cmpint(wire_dcdb_decode_index(copy, n, &x), ==, -EBADMSG);
    }
    data = bytes_of(update, &size);
    for (gsize n = 0; n < size; n++) {
        g_autofree void *copy = g_memdup2(data, n);

        g_assert_cmpint(wire_dcdb_decode_update(copy, n, &u), ==, -EBADMSG);
    }
}

/* Decodes the captured message, skips when it is absent. */
static bool captured(const char *name, GBytes **bytes, WireDfsmMessage *m)
{
    gsize size;

    *bytes = testdata_sample(name);
    if (*bytes == NULL) {
        return false;
    }
    g_assert_cmpint(wire_dfsm_decode(bytes_of(*bytes, &size), g_bytes_get_size(*bytes), 1, m), ==,
                    0);
    return true;
}

static void captured_file_messages(void)
{
    static const struct {
        const char *name;
        WireDcdbSubtype subtype;
        const char *path, *to;
        uint32_t offset;
        bool truncate;
        size_t size;
    } files[] = {
        {"wire-dcdb-normal-mkdir.hex", WIRE_DCDB_MKDIR, "ha/sub", NULL, 0, false, 0},
        {"wire-dcdb-normal-create.hex", WIRE_DCDB_CREATE, "ha/sub/f", NULL, 0, false, 0},
        {"wire-dcdb-normal-write-1.hex", WIRE_DCDB_WRITE, "ha/sub/f", NULL, 0, false, 6},
        {"wire-dcdb-normal-write-2.hex", WIRE_DCDB_WRITE, "ha/sub/f", NULL, 0, true, 0},
        {"wire-dcdb-normal-write-3.hex", WIRE_DCDB_WRITE, "ha/sub/f", NULL, 0, false, 3},
        {"wire-dcdb-normal-rename.hex", WIRE_DCDB_RENAME, "ha/sub/f", "ha/g", 0, false, 0},
        {"wire-dcdb-normal-mtime.hex", WIRE_DCDB_MTIME, "ha/g", NULL, 1700000000, false, 0},
        {"wire-dcdb-normal-delete.hex", WIRE_DCDB_DELETE, "ha/g", NULL, 0, false, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GBytes) again = NULL;
        WireDfsmMessage m;
        WireDcdbFile f;

        if (!captured(files[i].name, &bytes, &m)) {
            return;
        }
        g_assert_cmpuint(m.head.subtype, ==, files[i].subtype);
        g_assert_cmpint(wire_dcdb_decode_file(m.payload, m.payload_size, &f), ==, 0);
        g_assert_cmpstr(f.path, ==, files[i].path);
        g_assert_cmpstr(f.to, ==, files[i].to);
        g_assert_cmpuint(f.offset, ==, files[i].offset);
        g_assert_cmpint(f.truncate, ==, files[i].truncate);
        g_assert_cmpuint(f.size, ==, files[i].size);
        g_assert_cmpint(wire_dcdb_encode_file(&f, &again), ==, 0);
        g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), m.payload,
                        m.payload_size);
        testdata_mutate(again, decode_all);
    }
}

static void captured_unlocks(void)
{
    static const char *const names[] = {"wire-dcdb-normal-unlock-request.hex",
                                        "wire-dcdb-normal-unlock.hex"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GBytes) again = NULL;
        WireDfsmMessage m;
        WireDcdbUnlock u;

        if (!captured(names[i], &bytes, &m)) {
            return;
        }
        g_assert_cmpuint(m.head.subtype, ==, WIRE_DCDB_UNLOCK_REQUEST + i);
        g_assert_cmpint(wire_dcdb_decode_unlock(m.payload, m.payload_size, &u), ==, 0);
        g_assert_true(g_str_has_prefix(u.path, "priv/lock/"));
        again = wire_dcdb_encode_unlock(&u);
        g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), m.payload,
                        m.payload_size);
    }
}

static void captured_index(void)
{
    g_autoptr(GBytes) bytes = NULL;
    WireDfsmMessage m;
    WireDcdbIndex x;

    if (!captured("wire-dcdb-state-1.hex", &bytes, &m)) {
        return;
    }
    g_assert_cmpint(wire_dcdb_decode_index(m.payload, m.payload_size, &x), ==, 0);
    g_assert_cmpuint(x.version, ==, 39);
    g_assert_cmpuint(x.last_inode, ==, 38);
    g_assert_cmpuint(x.n, ==, 20);
    g_assert_cmpuint(wire_dcdb_index_inode(&x, 0), ==, 0);
}

static void captured_updates(void)
{
    static const uint64_t inodes[] = {14, 0, 18, 38};

    for (guint i = 0; i < G_N_ELEMENTS(inodes); i++) {
        g_autofree char *name = g_strdup_printf("wire-dcdb-update-%u.hex", i + 1);
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GBytes) again = NULL;
        WireDfsmMessage m;
        WireDcdbUpdate u;

        if (!captured(name, &bytes, &m)) {
            return;
        }
        g_assert_cmpint(wire_dcdb_decode_update(m.payload, m.payload_size, &u), ==, 0);
        g_assert_cmpuint(u.inode, ==, inodes[i]);
        again = wire_dcdb_encode_update(&u);
        g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), m.payload,
                        m.payload_size);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-dcdb/file-messages", file_messages);
    g_test_add_func("/wire-dcdb/file-lengths-must-add-up", file_lengths_must_add_up);
    g_test_add_func("/wire-dcdb/inner-nul-ends-a-path", inner_nul_ends_a_path);
    g_test_add_func("/wire-dcdb/missing-paths-are-null", missing_paths_are_null);
    g_test_add_func("/wire-dcdb/unlock-message", unlock_message);
    g_test_add_func("/wire-dcdb/index-of-a-tree", index_of_a_tree);
    g_test_add_func("/wire-dcdb/index-counts-must-agree", index_counts_must_agree);
    g_test_add_func("/wire-dcdb/update-of-one-entry", update_of_one_entry);
    g_test_add_func("/wire-dcdb/bad-updates-are-refused", bad_updates_are_refused);
    g_test_add_func("/wire-dcdb/damaged-payloads-are-survived", damaged_payloads_are_survived);
    g_test_add_func("/wire-dcdb/truncations-are-refused",
                    truncations_of_index_and_update_are_refused);
    g_test_add_func("/wire-dcdb/captured-file-messages", captured_file_messages);
    g_test_add_func("/wire-dcdb/captured-unlocks", captured_unlocks);
    g_test_add_func("/wire-dcdb/captured-index", captured_index);
    g_test_add_func("/wire-dcdb/captured-updates", captured_updates);
    return g_test_run();
}
