/* SPDX-License-Identifier: Apache-2.0 */
/* qm: QEMU guests of this node. Verbs live in qm_*.c. */
#include "cli/cmdline.h"
#include "cli/qm_migrate.h"
#include "cli/qm_verbs.h"

#include <stdio.h>
#include <string.h>

/* Verbs that people bring along from elsewhere, and what does their work here. */
static const struct {
    const char *verb;
    const char *instead;
} elsewhere[] = {
    {"remote-migrate", "guests move between the nodes of one cluster only; in another cluster make "
                       "the guest with 'qm create' and its disks with import-from=PATH"},
    {"import", "make the guest with 'qm create' and its disks with import-from=PATH or "
               "import-from=VOLUME, or add one with 'qm disk import'"},
};

static const char *done_by(const char *verb)
{
    for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++) {
        if (strcmp(elsewhere[i].verb, verb) == 0) {
            return elsewhere[i].instead;
        }
    }
    return NULL;
}

static void add_all(GArray *verbs, const CliVerb *table)
{
    for (; table->name != NULL; table++) {
        g_array_append_vals(verbs, table, 1);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GArray) verbs = g_array_new(TRUE, FALSE, sizeof(CliVerb));
    const char *instead = argc > 1 ? done_by(argv[1]) : NULL;

    if (instead != NULL) {
        (void)fprintf(stderr, "qm: %s is not supported: %s\n", argv[1], instead);
        return 1;
    }
    add_all(verbs, qm_store_verbs());
    add_all(verbs, qm_run_verbs);
    add_all(verbs, qm_migrate_verbs);
    return cli_main("qm", "Manages the QEMU guests of this node.",
                    (const CliVerb *)(void *)verbs->data, argc, argv);
}
