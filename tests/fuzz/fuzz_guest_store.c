/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the head of an image, as the tables of its snapshots and a stream of them, as
 * storage.cfg to be changed, and as a guest's configuration of which a clone and cloud-init data
 * are made: sizes stay bounded, a change writes what can be read again, a clone keeps nothing of
 * the old one, no value becomes a line of its own. */
#include "guest/core/cloudinit.h"
#include "guest/core/guest_fresh.h"
#include "guest/core/imagehead.h"
#include "guest/core/qcowmap.h"
#include "guest/core/statestream.h"
#include "guest/core/volname.h"
#include "lib/conf/storagecfg.h"
#include "lib/conf/storagecfg_edit.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void fill(void *ctx, uint8_t *buf, size_t n)
{
    (void)ctx;
    memset(buf, 0x5a, n);
}

static void try_head(const uint8_t *data, size_t size)
{
    ImageHead head;
    Err err = ERR_INIT;

    if (imagehead_parse(data, size, &head, &err) == 0) {
        g_assert_cmpuint(head.size, <=, INT64_MAX);
        g_assert_cmpuint(head.backing_size, <=, IMAGEHEAD_BACKING_MAX);
        g_assert_true(imagehead_is_formatted(data, size));
    } else {
        g_assert_cmpstr(err_text(&err), !=, "");
    }
}

static void try_snapshot(const uint8_t *data, size_t size)
{
    ImageHead head = {.size = 1 << 20, .cluster_bits = 16};
    g_auto(QcowSnapshot) s = {0};
    size_t used = 0;

    if (qcowmap_snapshot(&head, data, size, &s, &used, NULL) == 0) {
        g_assert_cmpuint(used, >, 0);
        g_assert_cmpuint(used, <=, size + 7);
        g_assert_cmpuint(s.size, <=, INT64_MAX);
        g_assert_cmpuint(s.entries, <=, QCOWMAP_L1_MAX);
        g_assert_nonnull(s.name);
    }
    for (uint64_t i = 0; (i + 1) * 16 <= size; i++) {
        g_assert_cmpint(qcowmap_change(&head, data, data, i), ==, QCOW_SAME);
        g_assert_cmpint(qcowmap_change(&head, data, NULL, i), !=, QCOW_DATA);
    }
}

/* What is taken of a stream lies within the snapshot that it is in. */
static void try_stream(const uint8_t *data, size_t size)
{
    StateStream s = {0};
    StateRecord r = {0};

    while (size >= STATESTREAM_HEAD && statestream_next(&s, data, &r, NULL) == 0) {
        size_t payload = statestream_payload(&r);

        if (r.kind == STATE_DATA || r.kind == STATE_ZERO) {
            g_assert_cmpuint(r.position + r.length, <=, s.size);
        }
        data += STATESTREAM_HEAD;
        size -= STATESTREAM_HEAD;
        data += MIN(payload, size);
        size -= MIN(payload, size);
    }
}

static void check_text(const char *text, const char *id, bool there)
{
    g_autoptr(StorageCfg) cfg = NULL;
    const Storage *s = NULL;

    g_assert_cmpint(storagecfg_parse(text, strlen(text), &cfg, NULL), ==, 0);
    if (there) {
        g_assert_cmpint(storagecfg_get(cfg, id, &s, NULL), ==, 0);
    }
}

static void try_storages(const char *text)
{
    static const char *const pairs[] = {"path", "/zz", "content", "images"};
    g_autoptr(GPtrArray) props = g_ptr_array_new();
    g_autoptr(GPtrArray) some = g_ptr_array_new();
    g_autoptr(StorageCfg) cfg = NULL;
    g_autofree char *added = NULL;
    g_autofree char *changed = NULL;
    g_autofree char *removed = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_ptr_array_add(i < 2 ? props : some, (char *)pairs[i]);
    }
    if (storagecfg_parse(text, strlen(text), &cfg, NULL) < 0) {
        return;
    }
    if (storagecfg_add(text, "dir", "zz", props, &added, NULL) == 0) {
        check_text(added, "zz", true);
    }
    if (storagecfg_change(text, "d1", some, NULL, &changed, NULL) == 0) {
        check_text(changed, "d1", true);
    }
    if (storagecfg_remove(text, "d1", &removed, NULL) == 0) {
        check_text(removed, "d1", false);
    }
}

/* In user-data only the generated keys stand at the left margin. */
static void check_user(const char *text)
{
    static const char known[] = "#cloud-config hostname manage_etc_hosts fqdn user disable_root "
                                "password ssh_authorized_keys chpasswd users package_upgrade";
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        if (**line != '\0' && **line != ' ') {
            g_autofree char *key = g_strndup(*line, strcspn(*line, ":"));
            g_assert_nonnull(strstr(known, key));
        }
    }
}

static void try_guest(const char *text)
{
    FreshSource fresh = {.random = fill};
    CloudinitParams none = {0};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GuestConf) gc = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *user = NULL;

    if (vmconf_parse(text, strlen(text), NULL, &conf, NULL) < 0 ||
        guestconf_new(vmconf_main(conf), 100, warnings, &gc, NULL) < 0) {
        return;
    }
    files = cloudinit_files(gc, &none);
    user = cloudinit_user(gc, &none);
    check_user(user);
    if (fresh_clone(&fresh, vmconf_main(conf), NULL) == 0) {
        g_assert_null(vmsection_get(vmconf_main(conf), "lock"));
        g_assert_null(vmsection_get(vmconf_main(conf), "unused0"));
        g_assert_nonnull(vmsection_get(vmconf_main(conf), "smbios1"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);

    try_head(data, size);
    try_snapshot(data, size);
    try_stream(data, size);
    try_storages(text);
    try_guest(text);
    if (volname_check(text, 100, NULL) == 0) {
        g_assert_null(strchr(text, '/'));
    }
    return 0;
}
