/* SPDX-License-Identifier: Apache-2.0 */
/* watch_probe DIR: prints `ready` when it watches, then each change that lib/cfs/watch tells of,
 * one line each, until it is killed. For integration tests: it must survive what the daemon goes
 * through. */
#include "lib/cfs/watch.h"

#include <stdio.h>

static const char *or_dash(const char *s)
{
    return s != NULL ? s : "-";
}

int main(int argc, char **argv)
{
    g_autoptr(CfsWatch) w = NULL;
    Err err = ERR_INIT;
    int rc = argc == 2 ? cfs_watch_open(argv[1], NULL, &w, &err) : -1;

    if (rc >= 0) {
        puts("ready");
        (void)fflush(stdout); /* the test waits for it */
    }
    while (rc >= 0) {
        g_auto(CfsChange) c = {0};

        rc = cfs_watch_next(w, -1, &c, &err);
        if (rc > 0) {
            printf("%s %s\n", c.kind == CFS_CHANGE_ANYTHING ? "anything" : or_dash(c.op),
                   or_dash(c.path));
            (void)fflush(stdout); /* the test reads while we go on */
        }
    }
    fprintf(stderr, "watch_probe: %s\n", err_text(&err));
    return 1;
}
