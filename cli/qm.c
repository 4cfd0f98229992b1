/* SPDX-License-Identifier: Apache-2.0 */
/* qm: QEMU guests of this node. Verbs live in qm_*.c. */
#include "cli/cmdline.h"
#include "cli/qm_migrate.h"
#include "cli/qm_verbs.h"

static void add_all(GArray *verbs, const CliVerb *table)
{
    for (; table->name != NULL; table++) {
        g_array_append_vals(verbs, table, 1);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GArray) verbs = g_array_new(TRUE, FALSE, sizeof(CliVerb));

    add_all(verbs, qm_store_verbs());
    add_all(verbs, qm_run_verbs);
    add_all(verbs, qm_migrate_verbs);
    return cli_main("qm", "Manages the QEMU guests of this node.",
                    (const CliVerb *)(void *)verbs->data, argc, argv);
}
