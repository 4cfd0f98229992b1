/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_store.h"

#include "guest/io/guest_proc.h"
#include "guest/io/host_world.h"
#include "guest/io/textfile.h"
#include "guest/io/volume.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define NOTE_WAIT_MS 1000u /* for a verb that is just ending */

static int read_datacenter(GuestStore *s, Err *err)
{
    g_autofree char *path = g_build_filename(s->host->tree->root, "datacenter.cfg", NULL);
    g_autofree char *text = NULL;
    size_t len = 0;
    int r = textfile_read(path, VMCONF_TEXT_MAX, &text, &len, err);

    if (r < 0 && r != -ENOENT) {
        return r;
    }
    err_clear(err);
    r = vmconf_parse(text != NULL ? text : "", len, &(VmConfParse){.file = path}, &s->datacenter,
                     err);
    return r < 0 ? err_wrapf(err, r, "%s", path) : 0;
}

static const char *datacenter(const GuestStore *s, const char *key)
{
    return vmsection_get(vmconf_main(s->datacenter), key);
}

int guest_store_open(GuestHost *host, GuestStore **ret, Err *err)
{
    g_autoptr(GuestStore) s = g_new0(GuestStore, 1);
    const char *prefix;
    int r;

    s->host = host;
    s->made = g_ptr_array_new_with_free_func(g_free);
    r = storage_set_open(host->tree, &s->set, err);
    if (r == 0) {
        r = read_datacenter(s, err);
    }
    prefix = r == 0 ? datacenter(s, "mac_prefix") : NULL;
    if (prefix != NULL) {
        r = fresh_check_prefix(prefix, err);
        r = r < 0 ? err_wrapf(err, r, "datacenter.cfg: mac_prefix") : 0;
    }
    if (r == 0) {
        *ret = g_steal_pointer(&s);
    }
    return r;
}

void guest_store_close(GuestStore *s)
{
    if (s == NULL) {
        return;
    }
    if (s->set != NULL) {
        guest_store_undo(s);
    }
    guest_work_end(s->work); /* nothing of what was noted is left by now */
    g_ptr_array_unref(s->made);
    storage_set_free(s->set);
    vmconf_free(s->datacenter);
    guest_host_free(s->host);
    g_free(s->qemu);
    g_free(s);
}

void guest_store_note(GuestStore *s, const char *word, const char *rest)
{
    if (s->work == NULL && s->vmid != 0 &&
        guest_work_begin(s->host->tree, s->vmid, NOTE_WAIT_MS, &s->work, NULL) < 0) {
        return; /* a note is a help for later, no reason to fail now */
    }
    if (s->work != NULL) {
        guest_work_note(s->work, word, rest);
    }
}

static void note_made(void *ctx, uint32_t vmid, const char *volid)
{
    GuestStore *s = ctx;

    if (vmid == s->vmid) { /* another guest that is being made says so itself by its `lock:` */
        guest_store_note(s, GUEST_WORK_VOLUME, volid);
    }
}

void guest_store_works_on(GuestStore *s, uint32_t vmid)
{
    s->vmid = vmid;
    s->set->made = note_made;
    s->set->made_ctx = s;
}

void guest_store_add(GuestStore *s, const char *volid)
{
    g_ptr_array_add(s->made, g_strdup(volid));
}

void guest_store_keep(GuestStore *s)
{
    g_ptr_array_set_size(s->made, 0);
}

void guest_store_undo(GuestStore *s)
{
    while (s->made->len > 0) {
        const char *volid = s->made->pdata[s->made->len - 1];
        Err err = ERR_INIT;
        if (volume_free(s->set, volid, &err) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "'%s' could not be removed again: %s", volid,
                      err_text(&err));
        }
        g_ptr_array_set_size(s->made, (gint)s->made->len - 1);
    }
}

void guest_store_free(GuestStore *s, uint32_t vmid, const GPtrArray *freed)
{
    for (guint i = 0; i < freed->len; i++) {
        Err why = ERR_INIT;
        if (volume_free_of(s->set, vmid, freed->pdata[i], &why) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "volume '%s' stays: %s",
                      (const char *)freed->pdata[i], err_text(&why));
        }
    }
}

/* ---------------------------------------------------------------- identity */

static void fill_random(void *ctx, uint8_t *buf, size_t n)
{
    (void)ctx;
    while (n > 0) {
        ssize_t got = getrandom(buf, n, 0);
        if (got > 0) { /* anything else: a signal; there is no other failure for valid arguments */
            buf += got;
            n -= (size_t)got;
        }
    }
}

FreshSource guest_store_fresh(GuestStore *s, bool with_qemu)
{
    HostWorldOptions options = {.root = s->host->tree->root, .run_dir = s->host->run_dir};
    g_autoptr(HostWorld) world = NULL;

    /* A node without QEMU may make guests for others: then nobody knows the version. */
    if (with_qemu && s->qemu == NULL && host_world_new(&options, &world, NULL) == 0) {
        QemuVersion v = host_world_facts(world)->qemu;
        s->qemu = g_strdup_printf("%d.%d.%d", v.major, v.minor, v.micro);
    }
    return (FreshSource){.random = fill_random,
                         .mac_prefix = datacenter(s, "mac_prefix"),
                         .qemu = s->qemu,
                         .now_sec = clock_wall().sec};
}

/* ----------------------------------------------------------------- running */

int guest_store_running(const GuestStore *s, uint32_t vmid, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;

    return guest_proc_find(s->host->run_dir, vmid, &proc, err);
}

int guest_store_check_off(const GuestStore *s, uint32_t vmid, const char *why, Err *err)
{
    int r = guest_store_running(s, vmid, err);

    return r > 0 ? err_setf(err, -EBUSY, "guest %u runs: it %s", vmid, why) : r;
}

static void read_limit(const char *list, const char *key, uint32_t *ret)
{
    g_auto(GStrv) items = g_strsplit(list, ",", -1);

    for (char **item = items; *item != NULL; item++) {
        guint64 n;
        if (g_str_has_prefix(*item, key) &&
            g_ascii_string_to_unsigned(*item + strlen(key), 10, 100, 1000000000, &n, NULL)) {
            *ret = (uint32_t)n;
        }
    }
}

int guest_store_next_id(const GuestStore *s, uint32_t *ret, Err *err)
{
    const char *list = datacenter(s, "next-id");
    uint32_t low = GUEST_NEXT_LOW;
    uint32_t high = GUEST_NEXT_HIGH;

    if (list != NULL) {
        read_limit(list, "lower=", &low);
        read_limit(list, "upper=", &high);
    }
    return guest_tree_next_id(s->host->tree, low, high, ret, err);
}
