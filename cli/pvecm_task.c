/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pvecm_task.h"

#include "lib/port/task.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static TaskRecord *current; /* NULL: nothing is recorded */

void pvecm_task_begin(const char *type, const char *id)
{
    char node[256] = "";
    TaskSpec spec = {.node = node, .type = type, .id = id, .user = "root@pam"};
    bool recorded = g_getenv(TASK_ENV) != NULL;
    Err err = ERR_INIT;

    g_unsetenv(TASK_ENV); /* daemons that we start are not part of the task */
    (void)gethostname(node, sizeof node - 1);
    node[strcspn(node, ".")] = '\0';
    if (!recorded && task_record_begin(TASK_DIR, &spec, &current, &err) < 0) {
        fprintf(stderr, "no task log is kept: %s\n", err_text(&err));
    }
}

void pvecm_task_say(void *ctx, const char *line)
{
    (void)ctx;
    printf("%s\n", line);
    (void)fflush(stdout); /* progress: a failing terminal must not stop the work */
    task_record_say(current, line);
}

int pvecm_task_end(int r, const Err *err)
{
    const char *reason = err->code != 0 ? err_text(err) : strerror(-r);

    task_record_end(current, r < 0 ? reason : NULL);
    current = NULL;
    return r;
}
