/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: changes of a configuration do what reference guest.md 3 and 12 say, all or nothing, and no
 * volume is freed that anything still refers to.
 * Method: a file, a change written in words, the file it must become and the volumes freed. */
#include "guest/core/guest_change.h"

#include <errno.h>
#include <string.h>

static VmConf *parse(const char *text)
{
    VmConf *conf = NULL;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    return conf;
}

/* "key=value" sets, "-key" removes, "~key" reverts, "running", "force". Words are split at "|". */
static void read_change(const char *words, GuestChange *c)
{
    g_auto(GStrv) list = g_strsplit(words, "|", -1);

    guest_change_init(c);
    for (char **word = list; *word != NULL; word++) {
        char *eq = strchr(*word, '=');
        if (strcmp(*word, "running") == 0) {
            c->running = true;
        } else if (strcmp(*word, "force") == 0) {
            c->force = true;
        } else if ((*word)[0] == '-') {
            g_ptr_array_add(c->remove, g_strdup(*word + 1));
        } else if ((*word)[0] == '~') {
            g_ptr_array_add(c->revert, g_strdup(*word + 1));
        } else if (eq != NULL) {
            g_hash_table_insert(c->set, g_strndup(*word, (gsize)(eq - *word)), g_strdup(eq + 1));
        }
    }
}

#define DISK0 "local:100/vm-100-disk-0.raw"
#define DISK1 "local:100/vm-100-disk-1.raw"

static void test_changes(void)
{
    static const struct {
        const char *before;
        const char *change;
        const char *after;
        const char *freed;
    } cases[] = {
        /* off: everything at once */
        {"cores: 1\n", "cores=2|name=a", "cores: 2\nname: a\n", ""},
        {"cores: 1\nname: a\n", "-cores", "name: a\n", ""},
        {"", "-cores", "", ""},
        {"#old\n", "description=new\nlines", "#new\n#lines\n", ""},
        {"#old\n", "-description", "", ""},
        /* running: most wait */
        {"cores: 1\n", "running|cores=2", "cores: 1\n\n[PENDING]\ncores: 2\n", ""},
        {"cores: 1\n", "running|name=a", "cores: 1\nname: a\n", ""},
        {"cores: 1\n", "running|-cores", "cores: 1\n\n[PENDING]\ndelete: cores\n", ""},
        {"cores: 1\n\n[PENDING]\ncores: 2\n", "running|cores=1", "cores: 1\n", ""},
        {"cores: 1\n\n[PENDING]\ndelete: cores\n", "running|cores=1", "cores: 1\n", ""},
        {"cores: 1\n\n[PENDING]\ncores: 2\n", "running|-cores",
         "cores: 1\n\n[PENDING]\ndelete: cores\n", ""},
        {"cores: 1\n\n[PENDING]\ncores: 2\ndelete: name,net0\nmemory: 9\n", "running|~cores|~net0",
         "cores: 1\n\n[PENDING]\ndelete: name\nmemory: 9\n", ""},
        {"[PENDING]\nballoon: 1\n", "running|~balloon", "", ""},
        {"", "running|-cores", "", ""},
        {"[PENDING]\nscsi1: " DISK0 "\n", "running|~scsi1", "unused0: " DISK0 "\n", ""},
        {"[PENDING]\nscsi1: " DISK0 "\n", "running|scsi1=" DISK1,
         "unused0: " DISK0 "\n\n[PENDING]\nscsi1: " DISK1 "\n", ""},
        {"[PENDING]\nscsi1: " DISK0 "\n", "running|scsi1=" DISK0 ",ssd=1",
         "[PENDING]\nscsi1: " DISK0 ",ssd=1\n", ""},
        {"[PENDING]\nscsi1: " DISK0 "\n", "running|-scsi1", "unused0: " DISK0 "\n", ""},
        /* disks */
        {"scsi0: " DISK0 "\n", "-scsi0", "unused0: " DISK0 "\n", ""},
        {"scsi0: " DISK0 "\n", "-scsi0|force", "", DISK0},
        {"unused0: " DISK0 "\n", "-unused0", "", DISK0},
        {"unused0: " DISK0 "\n", "scsi1=" DISK0, "scsi1: " DISK0 "\n", ""},
        {"scsi0: " DISK0 "\n", "scsi0=" DISK1, "scsi0: " DISK1 "\nunused0: " DISK0 "\n", ""},
        {"scsi0: " DISK0 "\n", "scsi0=" DISK0 ",ssd=1", "scsi0: " DISK0 ",ssd=1\n", ""},
        {"ide2: local:iso/a.iso,media=cdrom\n", "-ide2", "", ""},
        {"scsi0: /dev/sdx\n", "-scsi0|force", "", ""},
        {"unused0: " DISK0 "\n\n[s1]\nscsi0: " DISK0 "\n", "-unused0", "[s1]\nscsi0: " DISK0 "\n",
         ""},
        {"scsi0: " DISK0 "\nscsi1: " DISK0 "\n", "-scsi0|force", "scsi1: " DISK0 "\n", ""},
        {"scsi0: " DISK0 "\n", "running|-scsi0|force",
         "scsi0: " DISK0 "\n\n[PENDING]\ndelete: !scsi0\n", ""},
        {"unused0: " DISK0 "\nvmstate: local:100/vm-100-state-x.raw\n", "running|-unused0",
         "vmstate: local:100/vm-100-state-x.raw\n", DISK0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(VmConf) conf = parse(cases[i].before);
        g_auto(GuestChange) c = {0};
        g_autofree char *after = NULL;
        g_autofree char *list = NULL;
        Err err = ERR_INIT;

        g_test_message("%s with %s", cases[i].before, cases[i].change);
        read_change(cases[i].change, &c);
        g_assert_cmpint(guest_change_apply(conf, &c, freed, &err), ==, 0);
        after = vmconf_format(conf);
        g_assert_cmpstr(after, ==, cases[i].after);
        g_ptr_array_add(freed, NULL);
        list = g_strjoinv("|", (char **)freed->pdata);
        g_assert_cmpstr(list, ==, cases[i].freed);
    }
}

static void test_refusals_change_nothing(void)
{
    static const struct {
        const char *before;
        const char *change;
        int code;
        const char *said;
    } cases[] = {
        {"cores: 1\n", "name=ok|cores=0", -EINVAL, "cores: '0' is not"},
        {"cores: 1\n", "colour=red", -EINVAL, "unknown option 'colour'"},
        {"cores: 1\n", "-colour", -ENOENT, "unknown option 'colour'"},
        {"cores: 1\n", "cores=2|-cores", -EINVAL, "cannot be set and deleted"},
        {"cores: 1\n", "parent=x", -EINVAL, "kept by the program"},
        {"cores: 1\n", "name=a\nargs: x", -EINVAL, "line breaks"},
        {"cores: 1\n", "net0=virtio,newer=1", -EINVAL, "unknown property 'newer'"},
        {"protection: 1\nunused0: " DISK0 "\n", "-unused0", -EPERM, "protected"},
        {"protection: 1\nscsi0: " DISK0 "\n", "-scsi0|force", -EPERM, "protected"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(VmConf) conf = parse(cases[i].before);
        g_auto(GuestChange) c = {0};
        g_autofree char *after = NULL;
        Err err = ERR_INIT;

        g_test_message("%s with %s", cases[i].before, cases[i].change);
        read_change(cases[i].change, &c);
        g_assert_cmpint(guest_change_apply(conf, &c, freed, &err), ==, cases[i].code);
        g_assert_nonnull(strstr(err_text(&err), cases[i].said));
        after = vmconf_format(conf);
        g_assert_cmpstr(after, ==, cases[i].before);
        g_assert_cmpuint(freed->len, ==, 0);
    }
}

static void test_cold_start_applies_what_waits(void)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) conf =
        parse("cores: 1\nname: a\nscsi0: " DISK0 "\nscsi1: " DISK1 "\n\n"
              "[PENDING]\n#new text\ncores: 4\ndelete: name,!scsi0,scsi1\nmemory: 64\n");
    g_autofree char *after = NULL;

    guest_pending_apply(conf, freed);
    after = vmconf_format(conf);
    g_assert_cmpstr(after, ==, "#new text\ncores: 4\nmemory: 64\nunused0: " DISK1 "\n");
    g_assert_cmpuint(freed->len, ==, 1);
    g_assert_cmpstr(freed->pdata[0], ==, DISK0);
    guest_pending_apply(conf, freed);
    g_assert_cmpuint(freed->len, ==, 1);
}

static void test_pending_list(void)
{
    g_autoptr(VmConf) conf = parse("cores: 1\nname: a\n\n[PENDING]\nballoon: 0\ncores: 2\n"
                                   "delete: name\n");
    g_autoptr(GArray) list = guest_pending_list(conf);
    const GuestPending *p = &g_array_index(list, GuestPending, 0);

    g_assert_cmpuint(list->len, ==, 3);
    g_assert_cmpstr(p[0].key, ==, "balloon");
    g_assert_null(p[0].current);
    g_assert_cmpstr(p[0].next, ==, "0");
    g_assert_cmpstr(p[1].current, ==, "1");
    g_assert_cmpstr(p[1].next, ==, "2");
    g_assert_true(p[2].removed && !p[1].removed);
}

static void test_unused_numbers(void)
{
    g_autoptr(VmConf) conf = parse("unused0: " DISK1 "\n");
    Err err = ERR_INIT;

    g_assert_cmpint(guest_keep_unused(conf, DISK1, &err), ==, 0);
    g_assert_cmpint(guest_keep_unused(conf, DISK0, &err), ==, 0);
    g_assert_cmpstr(vmsection_get(vmconf_main(conf), "unused1"), ==, DISK0);
    for (int i = 2; i < 256; i++) {
        g_autofree char *volid = g_strdup_printf("local:100/vm-100-disk-%d.raw", i);
        g_assert_cmpint(guest_keep_unused(conf, volid, &err), ==, 0);
    }
    g_assert_cmpint(guest_keep_unused(conf, "local:100/vm-100-disk-999.raw", &err), ==, -ENOSPC);
}

static void test_small(void)
{
    const guint8 bytes[16] = {0, 1, 2, 3, 4, 5, 0xf6, 7, 0xff, 9, 10, 11, 12, 13, 14, 15};
    g_autoptr(VmConf) locked = parse("lock: backup\n");
    g_autofree char *uuid = guest_uuid(bytes);
    Err err = ERR_INIT;

    g_assert_cmpstr(uuid, ==, "00010203-0405-4607-bf09-0a0b0c0d0e0f");
    g_assert_cmpint(guest_check_lock(locked, false, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&err), "(backup)"));
    g_assert_cmpint(guest_check_lock(locked, true, &err), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest-change/changes", test_changes);
    g_test_add_func("/guest-change/refusals-change-nothing", test_refusals_change_nothing);
    g_test_add_func("/guest-change/cold-start-applies-what-waits",
                    test_cold_start_applies_what_waits);
    g_test_add_func("/guest-change/pending-list", test_pending_list);
    g_test_add_func("/guest-change/unused-numbers", test_unused_numbers);
    g_test_add_func("/guest-change/small", test_small);
    return g_test_run();
}
