/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_show: the verbs that look and change nothing on disk. */
#include "cli/pvecm_verbs.h"

#include "lib/conf/corosync_check.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/door.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

int pvecm_read_cluster_conf(char **ret, gsize *ret_size, Err *err)
{
    g_autoptr(GError) gerror = NULL;

    if (g_file_get_contents(PVECM_CLUSTER_CONF, ret, ret_size, &gerror)) {
        return 0;
    }
    if (g_error_matches(gerror, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        return err_setf(err, -ENOENT,
                        "this node is in no cluster (%s does not exist); make one with 'pvecm "
                        "create NAME' or join one with 'pvecm add'",
                        PVECM_CLUSTER_CONF);
    }
    return err_setf(err, -EIO, "%s", gerror->message);
}

static int show(void (*text)(const QuorumFacts *, GString *),
                void (*json)(const QuorumFacts *, GString *),
                Err *err)
{
    g_autoptr(QuorumReport) report = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *conf = NULL;
    gsize size = 0;
    bool as_json;
    int r;

    if ((r = cli_wants_json(&as_json, err)) < 0 ||
        (r = pvecm_read_cluster_conf(&conf, &size, err)) < 0) {
        return r;
    }
    if ((r = quorum_query(conf, size, &report, err)) < 0) {
        g_autofree char *refusal = door_refusal(PVECM_STATE_DIR);

        return refusal != NULL ? err_setf(err, r, "%s", refusal) : r;
    }
    (as_json ? json : text)(&report->facts, out);
    fputs(out->str, stdout);
    return 0;
}

int pvecm_status(char **operands, Err *err)
{
    (void)operands;
    return show(quorum_format_status, quorum_format_status_json, err);
}

int pvecm_nodes(char **operands, Err *err)
{
    (void)operands;
    return show(quorum_format_nodes, quorum_format_nodes_json, err);
}

int pvecm_expected(char **operands, Err *err)
{
    guint64 votes;
    int r;

    if (!g_ascii_string_to_unsigned(operands[0], 10, 1, 65535, &votes, NULL)) {
        return err_setf(err, -EINVAL, "'%s' is no number of votes from 1 to 65535", operands[0]);
    }
    if (pvecm_make.dry_run) {
        printf("would set the expected votes to %u; dry run: nothing was changed\n",
               (unsigned)votes);
        return 0;
    }
    if ((r = quorum_set_expected((uint32_t)votes, err)) == 0) {
        printf("expected votes are %u now\n", (unsigned)votes);
        cluster_log(LOG_NOTICE, "expected votes were set to %u", (unsigned)votes);
    }
    return r;
}

int pvecm_check(char **operands, Err *err)
{
    const char *file = operands[0] != NULL ? operands[0] : PVECM_CLUSTER_CONF;
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(CorosyncConf) now = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    g_autoptr(GError) gerror = NULL;
    g_autofree char *text = NULL;
    g_autofree char *now_text = NULL;
    gsize size = 0, now_size = 0;
    int r;

    if (!g_file_get_contents(file, &text, &size, &gerror)) {
        return err_setf(err, -EIO, "%s", gerror->message);
    }
    r = corosync_conf_parse(text, size, &conf, err);
    if (r < 0) {
        return err_wrapf(err, r, "%s", file);
    }
    problems = corosync_check(conf);
    /* Another file than the one in force is meant to replace it: compare the two. */
    if (strcmp(file, PVECM_CLUSTER_CONF) != 0 &&
        g_file_get_contents(PVECM_CLUSTER_CONF, &now_text, &now_size, NULL) &&
        corosync_conf_parse(now_text, now_size, &now, NULL) == 0) {
        corosync_check_successor(conf, now, problems);
    }
    for (guint i = 0; i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);
        g_autofree char *line = corosync_problem_format(p);

        printf("%s: %s: %s\n", file, p->severity == COROSYNC_ERROR ? "error" : "warning", line);
    }
    if (corosync_first_error(problems) != NULL) {
        return CLI_EXIT_FAILED;
    }
    printf("%s: good\n", file);
    return 0;
}

int pvecm_apiver(char **operands, Err *err)
{
    (void)operands;
    (void)err;
    printf("%d\n", PVECM_APIVERSION);
    return 0;
}
