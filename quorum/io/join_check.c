/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_check.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/join_call.h"
#include "quorum/io/join_login.h"
#include "quorum/io/package_conf.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#define MIB            (UINT64_C(1024) * 1024)
#define JOIN_SPACE_MIN (8 * MIB)          /* free for the database of any cluster */
#define JOIN_TREE_MAX  (INT64_C(1) << 40) /* no tree is that large */

static int read_guests(Joiner *j, Err *err)
{
    static const char *const kinds[] = {"qemu-server", "lxc"};

    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *path = g_build_filename(j->paths->pve, "local", kinds[k], NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
            g_autofree char *file = g_build_filename(path, name, NULL);
            JoinerGuest *g;
            int r;

            if (!g_str_has_suffix(name, ".conf") || g_ascii_strtoull(name, NULL, 10) == 0) {
                continue;
            }
            g = joiner_add_guest(j, kinds[k], name);
            if ((r = cfsfile_read(file, JOINER_GUEST_MAX, &g->text, &g->size, err)) < 0) {
                return r;
            }
        }
    }
    return 0;
}

static void check_links(Joiner *j, int *count)
{
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        const CorosyncLink *link = &j->opt->links[i];
        g_autofree char *own = NULL;

        if (link->present && link->address == NULL) {
            joiner_problem(j, count, "link %u: no address is given", i);
        } else if (link->present &&
                   cluster_own_address(link->address, j->addresses, &own, NULL) < 0) {
            joiner_problem(j, count, "link %u: address '%s' is not configured on this node", i,
                           link->address);
        }
    }
}

static int check_state(Joiner *j, int *count, Err *err)
{
    g_autofree char *conf = g_build_filename(j->paths->pve, "corosync.conf", NULL);
    bool example = package_conf_found(j->paths); /* in a dry run it is still there */
    int running;

    if (g_file_test(conf, G_FILE_TEST_EXISTS) && !example) {
        joiner_problem(j, count, "this node is in a cluster already (%s exists)", conf);
    }
    if (!j->opt->force && g_file_test(j->paths->authkey, G_FILE_TEST_EXISTS)) {
        joiner_problem(j, count,
                       "%s exists: it belongs to another cluster; move it away to join this one",
                       j->paths->authkey);
    }
    running = service_running(SERVICE_COROSYNC, err);
    if (running > 0 && !example) {
        joiner_problem(j, count, "corosync runs on this node: stop it before joining");
    }
    return running < 0 ? running : 0;
}

/* Room for a tree of `tree` bytes: the database holds it, and while it is written once more. */
static void check_space(Joiner *j, uint64_t tree, int *count)
{
    uint64_t need = JOIN_SPACE_MIN + 2 * tree;
    struct statvfs st;

    if (statvfs(j->opt->state_dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < need) {
        joiner_problem(
            j, count,
            "only %" PRIu64 " MiB are free in %s, the cluster's files need %" PRIu64 " MiB",
            (uint64_t)st.f_bavail * st.f_frsize / MIB, j->opt->state_dir, (need + MIB - 1) / MIB);
    }
}

int join_check_node(Joiner *j, Err *err)
{
    g_autofree char *cwd = g_get_current_dir();
    int count = 0, r;

    if (g_str_has_prefix(cwd, j->paths->pve)) {
        return err_setf(err, -EBUSY, "leave %s first: it is mounted anew while joining", cwd);
    }
    if ((r = check_state(j, &count, err)) < 0) {
        return r;
    }
    check_links(j, &count);
    check_space(j, 0, &count);
    if (count > 0) {
        return err_setf(err, -EPERM, "this node cannot join (%d problem%s, see above)", count,
                        count == 1 ? "" : "s");
    }
    return read_guests(j, err);
}

/* Asks whether the cluster would take this node. While a ring is formed anew, as when another node
 * has just joined or one came back, nobody has quorum for a moment: that is waited for. */
static int ask_hello(Joiner *j, JsonParser **ret, JsonObject **ret_data, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + QUORUM_WAIT_SEC * G_USEC_PER_SEC;
    bool told = false;

    for (;;) {
        g_autoptr(JsonParser) parser = NULL;
        JsonObject *data;
        int r = join_call_patiently(j, JOIN_STEP_HELLO, NULL, &parser, err);

        if (r < 0) {
            return r;
        }
        data = join_call_data(parser);
        if (data == NULL || json_object_get_boolean_member_with_default(data, "quorate", TRUE) ||
            g_get_monotonic_time() >= deadline) {
            *ret = g_steal_pointer(&parser);
            *ret_data = data;
            return 0;
        }
        if (!told) {
            joiner_say(j, QUORUM_WAIT_TEXT);
            told = true;
        }
        g_usleep(JOIN_CALL_RETRY_MS * 1000);
    }
}

int join_check_cluster(Joiner *j, Err *err)
{
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *data = NULL;
    JsonNode *node;
    int64_t size;
    int count = 0, r;

    if (!joiner_by_token(j)) {
        return join_login_check(j, err);
    }
    if ((r = ask_hello(j, &parser, &data, err)) < 0) {
        return r;
    }
    node = data != NULL ? json_object_get_member(data, "problems") : NULL;
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node)) {
        return err_setf(err, -EBADMSG, "the cluster's answer lacks its list of problems");
    }
    for (guint i = 0; i < json_array_get_length(json_node_get_array(node)); i++) {
        joiner_problem(j, &count, "%s",
                       json_array_get_string_element(json_node_get_array(node), i));
    }
    size = json_object_get_int_member_with_default(data, "size", 0);
    check_space(j, (uint64_t)CLAMP(size, 0, JOIN_TREE_MAX), &count);
    return count > 0 ? err_setf(err, -EPERM, "the cluster '%s' cannot take this node in yet",
                                j->token.cluster)
                     : 0;
}
