/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: fence.cfg gives the right commands at the right level, and every kind of mistake is named
 * with its line. Method: small files. */
#include "ha-manager/core/ha_fence.h"
#include "ha-manager/core/ha_shellwords.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static HaFence *parse(const char *text)
{
    HaFence *f = NULL;
    g_autofree char *errors = NULL;

    g_assert_cmpint(ha_fence_parse(text, "f", NULL, NULL, &f, &errors), ==, 0);
    return f;
}

static char *commands(const HaFence *f, const char *node, guint level)
{
    g_autoptr(GPtrArray) list = ha_fence_commands(f, node, level);
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++) {
        g_autofree char *line = ha_fence_command_text(g_ptr_array_index(list, i));

        g_string_append_printf(out, "%s%s", i > 0 ? " + " : "", line);
    }
    return g_string_free(out, FALSE);
}

#define ASSERT_COMMANDS(f, node, level, expected)                                                  \
    do {                                                                                           \
        g_autofree char *got_ = commands(f, node, level);                                          \
        g_assert_cmpstr(got_, ==, expected);                                                       \
    } while (0)

static void levels_are_devices_that_are_connected(void)
{
    g_autoptr(HaFence) f = parse("device a fence_a ip=1 ssh\n"
                                 "  device b:2 fence_b x=1 v\n"
                                 "# a remark\n"
                                 "\n"
                                 "device b:1 fence_b y\n"
                                 "connect b:1 node=n1 plug=1\n"
                                 "connect b:2 node=n1 plug=2\n"
                                 "connect a node=n2 plug=3\n"
                                 "connect b:2 node=n2 plug=4\n");

    ASSERT_COMMANDS(f, "n1", 0, "fence_b -y --plug=1 + fence_b -x 1 -v --plug=2");
    ASSERT_COMMANDS(f, "n1", 1, "");
    ASSERT_COMMANDS(f, "n2", 0, "fence_a --ip=1 --ssh --plug=3");
    ASSERT_COMMANDS(f, "n2", 1, "fence_b -x 1 -v --plug=4");
    ASSERT_COMMANDS(f, "n3", 0, "");
}

static void first_declaration_keeps_its_place(void)
{
    g_autoptr(HaFence) f = parse("device one:1 fa x=1\ndevice two fb x=1\ndevice one:2 fa x=2\n"
                                 "connect one:2 node=n p=1\nconnect two node=n p=2\n");

    ASSERT_COMMANDS(f, "n", 0, "fa -x 2 -p 1");
    ASSERT_COMMANDS(f, "n", 1, "fb -x 1 -p 2");
}

static void names_may_have_dashes_and_dots(void)
{
    g_autoptr(HaFence) f = parse("device apc-1.rack fence_apc ip=1\n"
                                 "connect apc-1.rack node=node-1.example plug=1\n");

    ASSERT_COMMANDS(f, "node-1.example", 0, "fence_apc --ip=1 --plug=1");
    ASSERT_COMMANDS(f, "node", 0, "");
}

static void every_mistake_is_named_with_its_line(void)
{
    g_autofree char *errors = NULL;
    HaFence *f = NULL;

    g_assert_cmpint(ha_fence_parse("device a fence_a ip=1\n"
                                   "\n"
                                   "device a:1 fence_a ip=2\n"
                                   "connect b node=n1 plug=1\n"
                                   "connect a:7 node=n1 plug=1\n"
                                   "connect a n1 plug=1\n"
                                   "connect a node=n1 plug=1\n"
                                   "connect a:1 node=n1 plug=2\n"
                                   "connect a node=n2 plug='2\n",
                                   "the/file", NULL, NULL, &f, &errors),
                    ==, -EINVAL);
    g_assert_null(f);
    g_assert_cmpstr(errors, ==,
                    "Encountered error(s) on parsing 'the/file':\n"
                    "line 3: device 'a:1' already declared\n"
                    "line 4: device 'b' must be declared before you can connect to it\n"
                    "line 5: No parallel device 'a:7' found\n"
                    "line 6: node=nodename needed to connect device 'a' to node\n"
                    "line 8: node 'n1' already connected to device 'a:1'\n"
                    "line 9: unbalanced quote in arguments");
}

static void count(void *ctx, unsigned line, const char *text)
{
    (void)text;
    *(unsigned *)ctx += line;
}

static void other_lines_are_ignored_with_a_warning(void)
{
    g_autoptr(HaFence) f = NULL;
    unsigned lines = 0;

    g_assert_cmpint(ha_fence_parse("device a fence_a ip=1\nwhatever b c d\ndevice x fence_x\n"
                                   "connect a node=n\n",
                                   "f", count, &lines, &f, NULL),
                    ==, 0);
    g_assert_cmpuint(lines, ==, 2 + 3 + 4);
    ASSERT_COMMANDS(f, "n", 0, "");
}

static void written_form_reads_the_same(void)
{
    g_autoptr(HaFence) f = parse("device d:2 fence_d password=\"a'b c\" on\n"
                                 "connect d:2 node=n2 p=2\nconnect d:2 node=n1 p=1\n");
    g_autofree char *text = ha_fence_format(f);
    g_autoptr(HaFence) again = parse(text);
    g_autofree char *text2 = ha_fence_format(again);

    g_assert_cmpstr(text, ==,
                    "\ndevice d:2 fence_d 'password=a'\\''b c' on\n"
                    "connect d:2 node=n1 p=1\nconnect d:2 node=n2 p=2\n");
    g_assert_cmpstr(text2, ==, text);
}

static void words_are_split_as_a_shell_does(void)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"a b\tc", "a|b|c"},
        {"  a  ", "a"},
        {"", ""},
        {"'a b' \"c d\"", "a b|c d"},
        {"x='1 2'y", "x=1 2y"},
        {"a\\ b \"q\\\"\\\\\" '\\'", "a b|q\"\\|\\"},
        {"''", ""},
        {"\"a\\nb\"", "a\\nb"},
        {"\"a\\$b\\`c\"", "a$b`c"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *joined = NULL;

        g_assert_cmpint(ha_shellwords_split(cases[i].text, &words, NULL), ==, 0);
        g_ptr_array_add(words, NULL);
        joined = g_strjoinv("|", (char **)words->pdata);
        g_assert_cmpstr(joined, ==, cases[i].words);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/fence/levels", levels_are_devices_that_are_connected);
    g_test_add_func("/ha/fence/first-declaration-keeps-its-place",
                    first_declaration_keeps_its_place);
    g_test_add_func("/ha/fence/names-with-dashes", names_may_have_dashes_and_dots);
    g_test_add_func("/ha/fence/mistakes", every_mistake_is_named_with_its_line);
    g_test_add_func("/ha/fence/other-lines", other_lines_are_ignored_with_a_warning);
    g_test_add_func("/ha/fence/written-form", written_form_reads_the_same);
    g_test_add_func("/ha/shellwords/split", words_are_split_as_a_shell_does);
    return g_test_run();
}
