/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/door.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/member_client.h"
#include "quorum/io/node_tree.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define CONSOLE    "/dev/console"
#define ISSUE_DIR  "/run/issue.d" /* shown by agetty before the login prompt */
#define ISSUE_FILE "/run/issue.d/quorate-removed.issue"

static char *marker_path(const char *state_dir)
{
    return g_build_filename(state_dir, DOOR_MARKER, NULL);
}

char *door_refusal(const char *state_dir)
{
    g_autofree char *path = marker_path(state_dir);
    char *text = NULL;

    if (cfsfile_read(path, DOOR_TEXT_MAX, &text, NULL, NULL) < 0) {
        return NULL;
    }
    return g_strchomp(text);
}

bool door_refused(const char *state_dir)
{
    g_autofree char *text = door_refusal(state_dir);

    return text != NULL;
}

void door_forget(const char *state_dir)
{
    g_autofree char *path = marker_path(state_dir);

    (void)g_unlink(path); /* mostly there is none */
    (void)g_unlink(ISSUE_FILE);
}

/* On the console of the machine, now and before each login: best effort, the log has it too. */
static void tell_console(const char *text)
{
    g_autofree char *line = g_strdup_printf("\nquorate: %s\n\n", text);
    int fd = open(CONSOLE, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = write(fd, line, strlen(line));

        (void)n;
        (void)close(fd);
    }
    if (g_mkdir_with_parents(ISSUE_DIR, 0755) == 0) {
        (void)g_file_set_contents(ISSUE_FILE, line, -1, NULL);
    }
}

static DoorAnswer refuse(const char *state_dir, const char *text, const Tracer *tracer, Err *err)
{
    g_autofree char *path = marker_path(state_dir);
    g_autofree char *old = door_refusal(state_dir);

    if (old == NULL) {
        trace(tracer, TRACE_CRIT, "refused by the cluster: %s", text);
        tell_console(text);
        if (cfsfile_write(path, text, strlen(text), err) < 0) {
            return DOOR_UNKNOWN;
        }
    }
    /* Its old key and configuration must not disturb anybody. */
    if (service_running(SERVICE_COROSYNC, err) == 1 && service_stop(SERVICE_COROSYNC, err) < 0) {
        return DOOR_UNKNOWN;
    }
    return DOOR_REMOVED;
}

/* A member with an older configuration than the cluster's: it may have missed where the others are.
 */
static DoorAnswer update(const ClusterPaths *paths,
                         const char *state_dir,
                         const char *text,
                         const Tracer *tracer,
                         Err *err)
{
    g_autofree char *have = NULL;
    uint64_t version = 0, own = 0;
    gsize size = 0;

    door_forget(state_dir);
    if (!corosync_text_version(text, strlen(text), &version) ||
        cfsfile_read(paths->host_conf, COROSYNC_CONF_SIZE_MAX, &have, &size, err) < 0) {
        return DOOR_UNKNOWN;
    }
    if (corosync_text_version(have, size, &own) && own >= version) {
        return DOOR_MEMBER;
    }
    trace(tracer, TRACE_NOTICE,
          "this node missed corosync.conf version %" G_GUINT64_FORMAT
          ": taking it over and restarting corosync",
          version);
    if (cfsfile_write(paths->host_conf, text, strlen(text), err) < 0 ||
        g_chmod(paths->host_conf, 0644) < 0 || service_restart(SERVICE_COROSYNC, err) < 0) {
        return DOOR_UNKNOWN;
    }
    return DOOR_UPDATED;
}

static DoorAnswer act_on(const ClusterPaths *paths,
                         const char *state_dir,
                         JsonObject *data,
                         const Tracer *tracer,
                         Err *err)
{
    const char *state = json_object_get_string_member_with_default(data, "state", "");
    const char *text = json_object_get_string_member_with_default(data, "text", NULL);
    const char *conf = json_object_get_string_member_with_default(data, "corosync_conf", NULL);

    if (strcmp(state, "removed") == 0 && text != NULL && strlen(text) < DOOR_TEXT_MAX) {
        return refuse(state_dir, text, tracer, err);
    }
    if (strcmp(state, "member") == 0 && conf != NULL && strlen(conf) <= COROSYNC_CONF_SIZE_MAX) {
        return update(paths, state_dir, conf, tracer, err);
    }
    (void)err_setf(err, -EBADMSG, "the member's answer makes no sense");
    return DOOR_UNKNOWN;
}

DoorAnswer
door_ask(const ClusterPaths *paths, const char *state_dir, const Tracer *tracer, Err *err)
{
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);
    g_autofree char *ca = g_build_filename(paths->pve, "pve-root-ca.pem", NULL);
    g_autofree char *node = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    g_autoptr(MemberPeers) peers = NULL;
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;

    if (!g_file_test(conf, G_FILE_TEST_EXISTS)) {
        return DOOR_MEMBER; /* in no cluster */
    }
    if (quorum_is_quorate(NULL) == 1) {
        door_forget(state_dir);
        return DOOR_MEMBER;
    }
    if (cluster_this_node(&node, &fqdn, &addresses, err) < 0 ||
        member_peers_read(conf, ca, paths->authkey, node, &peers, err) < 0 ||
        member_ask(peers, MEMBER_STEP_DOOR, false, &parser, &data, err) < 0) {
        return DOOR_UNKNOWN;
    }
    return act_on(paths, state_dir, data, tracer, err);
}
