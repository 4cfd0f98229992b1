/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmdline.h"

#include "lib/port/stdfds.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

char *cli_output_format;

int cli_wants_json(bool *ret, Err *err)
{
    const char *format = cli_output_format != NULL ? cli_output_format : "text";

    if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0) {
        return err_setf(err, -EINVAL, "--output-format %s: expected text or json", format);
    }
    *ret = strcmp(format, "json") == 0;
    return 0;
}

static void print_verbs(const char *program, const char *summary, const CliVerb *verbs, FILE *out)
{
    fprintf(out, "Usage: %s VERB [OPTION...] [OPERAND...]\n\n%s\n\nVerbs:\n", program, summary);
    for (const CliVerb *v = verbs; v->name != NULL; v++) {
        g_autofree char *left = g_strdup_printf("%s %s", v->name, v->operands);

        fprintf(out, "  %-34s %s\n", left, v->summary);
    }
    fprintf(out,
            "\n'%s VERB --help' explains a verb. Exit status: 0 done, 1 failed or refused, "
            "2 wrong command line.\n",
            program);
}

/* A verb of two words wins over one of one word. */
static const CliVerb *find_verb(const CliVerb *verbs, int argc, char **argv, int *ret_words)
{
    const CliVerb *found = NULL;

    for (const CliVerb *v = verbs; v->name != NULL; v++) {
        g_auto(GStrv) words = g_strsplit(v->name, " ", -1);
        int n = (int)g_strv_length(words);
        bool match = n < argc;

        for (int i = 0; match && i < n; i++) {
            match = strcmp(words[i], argv[1 + i]) == 0;
        }
        if (match && (found == NULL || n > *ret_words)) {
            found = v;
            *ret_words = n;
        }
    }
    return found;
}

/* Is it the first word of verbs of two words? */
static bool is_group(const CliVerb *verbs, const char *word)
{
    g_autofree char *start = g_strconcat(word, " ", NULL);
    bool found = false;

    for (const CliVerb *v = verbs; !found && v->name != NULL; v++) {
        found = g_str_has_prefix(v->name, start);
    }
    return found;
}

static GOptionContext *verb_context(const CliVerb *verb)
{
    GOptionContext *context = g_option_context_new(verb->operands);

    g_option_context_set_summary(context, verb->summary);
    if (verb->options != NULL) {
        g_option_context_add_main_entries(context, verb->options, NULL);
    }
    return context;
}

static int usage_error(const char *program, const CliVerb *verb, const char *reason)
{
    fprintf(stderr, "%s %s: %s\nSee '%s %s --help'.\n", program, verb->name, reason, program,
            verb->name);
    return CLI_EXIT_USAGE;
}

/* ------------------------------------------------- options as people write them */

/* The entry that "--name", "-name" or "--name=value" is about, or NULL. */
static const GOptionEntry *find_option(const GOptionEntry *options, const char *word)
{
    size_t dashes = strspn(word, "-");
    size_t len = strcspn(word + dashes, "=");

    if (dashes == 0 || dashes > 2 || len < 2) {
        return NULL;
    }
    for (; options != NULL && options->long_name != NULL; options++) {
        if (strlen(options->long_name) == len &&
            strncmp(options->long_name, word + dashes, len) == 0) {
            return options;
        }
    }
    return NULL;
}

/* "1" or "0" for the words that mean true and false, NULL for others. */
static const char *flag_value(const char *word)
{
    static const char *const words[] = {"1", "on", "yes", "true", "0", "off", "no", "false"};

    for (size_t i = 0; word != NULL && i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(words[i], word) == 0) {
            return i < G_N_ELEMENTS(words) / 2 ? "1" : "0";
        }
    }
    return NULL;
}

/* One dash becomes two, and a flag gets its value attached, so that GOption reads both. Words that
 * name no option of the verb stay as they are. The caller frees the words. */
static GPtrArray *normalise(const GOptionEntry *options, const GPtrArray *args)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    bool operands_only = false;

    for (guint i = 0; i < args->len; i++) {
        const char *word = args->pdata[i];
        const GOptionEntry *e = operands_only || i == 0 ? NULL : find_option(options, word);
        const char *value = strchr(word, '=');

        operands_only = operands_only || strcmp(word, "--") == 0;
        if (e == NULL) {
            g_ptr_array_add(out, g_strdup(word));
        } else if (g_strcmp0(e->arg_description, CLI_FLAG_VALUE) != 0) {
            g_ptr_array_add(out, g_strconcat("--", e->long_name, value, NULL));
            if (value == NULL && e->arg != G_OPTION_ARG_NONE && i + 1 < args->len) {
                g_ptr_array_add(out, g_strdup(args->pdata[++i])); /* whatever it looks like */
            }
        } else {
            const char *next = i + 1 < args->len ? flag_value(args->pdata[i + 1]) : NULL;
            const char *said = value != NULL ? flag_value(value + 1) : next;
            i += value == NULL && next != NULL;
            said = said != NULL ? said : value != NULL ? value + 1 : "1";
            g_ptr_array_add(out, g_strconcat("--", e->long_name, "=", said, NULL));
        }
    }
    return out;
}

/* GOption leaves the "--" before operands that look like options where it stands. */
static void drop_separator(char **argv)
{
    char **at = argv + 1;

    while (*at != NULL && strcmp(*at, "--") != 0) {
        at++;
    }
    if (*at != NULL) {
        g_free(*at);
        for (; *at != NULL; at++) {
            at[0] = at[1];
        }
    }
}

static int run_verb(const char *program, const CliVerb *verb, GPtrArray *args)
{
    g_autoptr(GOptionContext) context = verb_context(verb);
    g_autoptr(GPtrArray) words = normalise(verb->options, args);
    g_autoptr(GError) gerror = NULL;
    g_auto(GStrv) argv = NULL;
    Err err = ERR_INIT;
    int n, r;

    g_ptr_array_add(words, NULL);
    argv = g_strdupv((char **)words->pdata);
    if (!g_option_context_parse_strv(context, &argv, &gerror)) {
        return usage_error(program, verb, gerror->message);
    }
    drop_separator(argv);
    n = (int)g_strv_length(argv) - 1;
    if (n < verb->min_operands || n > verb->max_operands) {
        return usage_error(program, verb,
                           n < verb->min_operands ? "an operand is missing" : "too many operands");
    }
    r = verb->run(argv + 1, &err);
    if (r < 0) {
        fprintf(stderr, "%s %s: %s\n", program, verb->name,
                err.code != 0 ? err_text(&err) : strerror(-r));
        return CLI_EXIT_FAILED;
    }
    return r;
}

int cli_main(const char *program, const char *summary, const CliVerb *verbs, int argc, char **argv)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    const CliVerb *verb;
    bool help = false;
    int words = 0;

    if (stdfds_fill() < 0) {
        return CLI_EXIT_FAILED;
    }
    (void)setlocale(LC_CTYPE, ""); /* without it the C locale is used */
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("%s (%s) %s\n", program, PACKAGE_NAME, PACKAGE_VERSION);
        return CLI_EXIT_OK;
    }
    help = argc > 1 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                        strcmp(argv[1], "-h") == 0);
    verb = find_verb(verbs, help ? argc - 1 : argc, help ? argv + 1 : argv, &words);
    if (verb == NULL) {
        const char *unknown = argc > 1 + help ? argv[1 + help] : NULL;
        bool group = unknown != NULL && is_group(verbs, unknown);
        bool asked = help && (unknown == NULL || group);

        if (unknown != NULL && !asked) {
            const char *second = argc > 2 + help ? argv[2 + help] : "...";

            fprintf(stderr, "%s: no verb '%s%s%s'\n", program, unknown, group ? " " : "",
                    group ? second : "");
        }
        print_verbs(program, summary, verbs, asked ? stdout : stderr);
        return asked ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    g_autofree char *name = g_strdup_printf("%s %s", program, verb->name);
    g_ptr_array_add(args, name);
    if (help) {
        g_ptr_array_add(args, (char *)"--help");
    } else {
        for (int i = 1 + words; i < argc; i++) {
            g_ptr_array_add(args, argv[i]);
        }
    }
    g_set_prgname(name);
    return run_verb(program, verb, args);
}
