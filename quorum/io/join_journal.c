/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_journal.h"

#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

static char *journal_path(const char *state_dir)
{
    return g_build_filename(state_dir, "join-journal", NULL);
}

bool join_journal_exists(const char *state_dir)
{
    g_autofree char *path = journal_path(state_dir);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

int join_journal_record(Joiner *j, JoinPlanStep step, Err *err)
{
    g_autofree char *path = journal_path(j->opt->state_dir);
    char *text;
    int r;

    if (step < JOIN_PLAN_SAVE) {
        return 0; /* nothing to undo yet */
    }
    if (step == JOIN_PLAN_N) {
        if (g_unlink(path) < 0 && errno != ENOENT) {
            r = -errno;
            return err_setf(err, r, "%s: %s", path, strerror(-r));
        }
        return 0;
    }
    text =
        g_strdup_printf("step: %s\nbackup: %s\n%s%s: %s\n", join_plan_step_name(step), j->backup,
                        j->was_listed ? "listed: 1\n" : "", joiner_by_token(j) ? "token" : "peer",
                        joiner_by_token(j) ? j->token_line : j->peer);
    r = cfsfile_write(path, text, strlen(text), err);
    jointoken_free_line(text);
    return r;
}

static char *journal_value(char **lines, const char *name)
{
    for (guint i = 0; lines[i] != NULL; i++) {
        if (g_str_has_prefix(lines[i], name)) {
            return lines[i] + strlen(name);
        }
    }
    return NULL;
}

/* The guests that were brought along, by their saved copies: so that they can be taken out again.
 */
static void read_saved_guests(Joiner *j)
{
    g_autoptr(GDir) dir = g_dir_open(j->backup, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        const char *conf = strrchr(name, '-');

        if (conf != NULL && g_str_has_suffix(name, ".conf")) {
            g_autofree char *kind = g_strndup(name, (gsize)(conf - name));

            (void)joiner_add_guest(j, kind, conf + 1);
        }
    }
}

int join_journal_read(Joiner *j, JoinPlanStep *ret_step, Err *err)
{
    g_autofree char *path = journal_path(j->opt->state_dir);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    const char *step, *backup, *token, *peer;
    int r = cfsfile_read(path, 2 * JOINTOKEN_LINE_MAX, &text, NULL, err);
    int at;

    if (r < 0) {
        return r;
    }
    lines = g_strsplit(text, "\n", -1);
    step = journal_value(lines, "step: ");
    backup = journal_value(lines, "backup: ");
    token = journal_value(lines, "token: ");
    peer = journal_value(lines, "peer: ");
    at = step != NULL ? join_plan_step_from_name(step) : -1;
    if (at < 0 || backup == NULL || (token == NULL && peer == NULL)) {
        return err_setf(err, -EBADMSG, "%s is damaged", path);
    }
    j->backup = g_strdup(backup);
    j->was_listed = journal_value(lines, "listed: ") != NULL;
    *ret_step = (JoinPlanStep)at;
    read_saved_guests(j);
    return joiner_prepare(j, token, peer, err);
}
