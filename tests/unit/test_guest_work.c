/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: who works on a guest is known while he lives, and what he noted is found when he was killed
 * and only then. Method: a second worker is a second descriptor; a killed one is a child that ends
 * without a word. */
#include "guest/io/guest_work.h"

#include "tests/lib/test_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Rig {
    char *top;
    GuestTree tree;
} Rig;

static void setup(Rig *rig, const void *data)
{
    (void)data;
    rig->top = g_dir_make_tmp("guest-work-XXXXXX", NULL);
    rig->tree = (GuestTree){.root = rig->top, .lock_dir = rig->top};
}

static void teardown(Rig *rig, const void *data)
{
    (void)data;
    test_remove_tree(rig->top);
    g_free(rig->top);
}

static GuestWork *begin(Rig *rig)
{
    GuestWork *w = NULL;

    g_assert_cmpint(guest_work_begin(&rig->tree, 100, 1, &w, NULL), ==, 0);
    return w;
}

static void killed_after(Rig *rig, const char *word, const char *rest)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        GuestWork *w = NULL;
        if (guest_work_begin(&rig->tree, 100, 1, &w, NULL) < 0) {
            _exit(1);
        }
        guest_work_note(w, word, rest);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

static void test_one(Rig *rig, const void *data)
{
    g_autoptr(GuestWork) first = begin(rig);
    g_autoptr(GuestWork) second = NULL;
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(guest_work_begin(&rig->tree, 100, 1, &second, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&err), "guest 100"));
    g_assert_cmpint(guest_work_begin(&rig->tree, 101, 1, &second, NULL), ==, 0);
    guest_work_end(g_steal_pointer(&first));
    guest_work_end(g_steal_pointer(&second));
    second = begin(rig);
}

static void test_gone(Rig *rig, const void *data)
{
    GuestWork *w = begin(rig);

    (void)data;
    g_assert_false(guest_work_is_noted(&rig->tree, 100));
    guest_work_note(w, GUEST_WORK_VOLUME, "d1:100/vm-100-disk-0.raw");
    g_assert_true(guest_work_is_noted(&rig->tree, 100));
    guest_work_end(w);
    g_assert_false(guest_work_is_noted(&rig->tree, 100));
}

static void test_found(Rig *rig, const void *data)
{
    GuestWork *w;

    (void)data;
    killed_after(rig, GUEST_WORK_COPY, "scsi0 d1:100/vm-100-disk-1.raw");
    killed_after(rig, GUEST_WORK_RAN, "");
    w = begin(rig);
    g_assert_cmpuint(guest_work_found(w)->len, ==, 2);
    g_assert_cmpstr(guest_work_found(w)->pdata[0], ==, "copy scsi0 d1:100/vm-100-disk-1.raw");
    g_assert_cmpstr(guest_work_found(w)->pdata[1], ==, "ran ");
    guest_work_note(w, GUEST_WORK_VOLUME, "mine");
    guest_work_end(w); /* nobody has dealt with what was found */
    w = begin(rig);
    g_assert_cmpuint(guest_work_found(w)->len, ==, 2);
    guest_work_forget(w);
    guest_work_end(w);
    w = begin(rig);
    g_assert_cmpuint(guest_work_found(w)->len, ==, 0);
    guest_work_end(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/guest_work/" name, Rig, NULL, setup, function, teardown)
    TEST("one-at-a-time", test_one);
    TEST("who-ends-takes-his-notes-along", test_gone);
    TEST("notes-of-the-killed-stay-until-dealt-with", test_found);
    return g_test_run();
}
