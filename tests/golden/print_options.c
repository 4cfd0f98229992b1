/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the option table in two forms:
 *     print_options man      the generated part of vmid.conf(5), mdoc
 *     print_options table    "KEY<TAB>PROPERTY<TAB>VALUE" of each value the table accepts, for the
 *                            test that starts them all; PROPERTY is "-" for plain options
 */
#include "guest/core/confschema.h"
#include "guest/core/cpu_models.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------- manual page */

/* `text` with what troff would take for its own made harmless. */
static void print_text(const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        printf("\\&");
    }
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '\\':
            printf("\\e");
            break;
        case '-':
            printf("\\-");
            break;
        default:
            putchar(*text);
        }
    }
}

/* "what it is; what it accepts; its default." */
static void print_facts(const PropKey *key, bool with_values)
{
    g_autofree char *accepts = propkey_accepts(key);

    print_text(key->text);
    if (with_values && key->kind != PROP_TEXT) {
        printf("; ");
        print_text(accepts);
    }
    if (with_values && key->fallback != NULL) {
        printf("; default ");
        print_text(key->fallback);
    }
    printf(".\n");
}

static void print_key(const PropKey *key)
{
    printf(".It Cm ");
    print_text(key->name);
    printf("%s\n", (key->flags & PROP_DEFAULT_KEY) ? " No (may be left out)" : "");
    if (key->alias != NULL) {
        printf("Stands for\n.Cm %s .\n", key->alias);
        return;
    }
    print_facts(key, true);
    if (key->flags & PROP_REQUIRED) {
        printf("Required.\n");
    }
}

static void print_props(const PropSchema *schema)
{
    printf(".Bl -tag -width Ds -compact\n");
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (schema->keys[i].implies == NULL) { /* MODEL=MAC is explained at `model` */
            print_key(&schema->keys[i]);
        }
    }
    printf(".El\n");
}

static void print_option(const ConfOption *o)
{
    printf(".It Cm ");
    print_text(o->value.name);
    if (o->count > 1) {
        printf(" Ns Ar N No (N: %d..%d)", o->first, o->first + o->count - 1);
    } else if (o->count == 1) {
        printf("%d", o->first);
    }
    printf("\n");
    print_facts(&o->value, o->props == NULL);
    if (o->flags & CONF_IMMEDIATE) {
        printf("Changes count at once.\n");
    } else if (o->flags & CONF_HOTPLUG) {
        printf("Can change while the guest runs%s%s%s.\n",
               o->hotplug != NULL ? " when hotplug has " : "", o->hotplug != NULL ? o->hotplug : "",
               "");
    }
    if (o->flags & CONF_ROOT) {
        printf("Only root may set it.\n");
    }
    if (o->flags & CONF_INTERNAL) {
        printf("Kept by the program.\n");
    }
    if (o->props != NULL) {
        printf("A property string:\n");
        print_props(o->props);
    }
}

static void print_man(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < confschema_count(); i++) {
        print_option(confschema_at(i));
    }
    printf(".El\n");
}

/* ------------------------------------------------------------------- table */

static void print_value(const ConfOption *o, const char *property, const char *value)
{
    if (o->count > 0) {
        printf("%s%d\t%s\t%s\n", o->value.name, o->first, property, value);
    } else {
        printf("%s\t%s\t%s\n", o->value.name, property, value);
    }
}

/* Each word, both booleans, both ends of a range; nothing for free text. */
static void print_values(const ConfOption *o, const char *property, const PropKey *key)
{
    if (key->kind == PROP_WORD) {
        g_auto(GStrv) words = g_strsplit(key->words, " ", -1);
        for (char **word = words; *word != NULL; word++) {
            print_value(o, property, *word);
        }
    } else if (key->kind == PROP_BOOL) {
        print_value(o, property, "0");
        print_value(o, property, "1");
    } else if (key->kind == PROP_INT || key->kind == PROP_NUMBER) {
        g_autofree char *low = g_strdup_printf("%" G_GINT64_FORMAT, key->min);
        g_autofree char *high = g_strdup_printf("%" G_GINT64_FORMAT, key->max);
        print_value(o, property, low);
        print_value(o, property, high);
    }
}

static void print_table(void)
{
    for (size_t i = 0; i < confschema_count(); i++) {
        const ConfOption *o = confschema_at(i);
        if (o->props == NULL) {
            print_values(o, "-", &o->value);
            continue;
        }
        for (size_t k = 0; k < o->props->n_keys; k++) {
            if (o->props->keys[k].alias == NULL) {
                print_values(o, o->props->keys[k].name, &o->props->keys[k]);
            }
        }
    }
    for (size_t i = 0; i < cpu_model_count(); i++) {
        printf("cpu\tcputype\t%s\n", cpu_model_at(i)->name);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "man") == 0) {
        print_man();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "table") == 0) {
        print_table();
        return 0;
    }
    fprintf(stderr, "usage: print_options man|table\n");
    return 2;
}
