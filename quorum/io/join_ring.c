/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_ring.h"

#include "quorum/io/join_host.h"
#include "quorum/io/join_links.h"
#include "quorum/io/join_list.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <string.h>

#define COROSYNC_RESTARTS_MAX 5u

/* corosync ends when, at its first sight of the ring, the others have a newer configuration: it was
 * changed since this node got its own. Staging is asked again, which gives the one in force. */
static int start_with_newer_conf(Joiner *j, Err *err)
{
    int r;

    joiner_say(j, "the configuration has changed meanwhile: taking the new one");
    if ((r = join_list_stage_again(j, err)) < 0 || (r = join_host_write_conf(j, err)) < 0) {
        return r;
    }
    return service_start(SERVICE_COROSYNC, err);
}

/* A node that is in by one link, while another is dead, would be out when the first one fails. */
static int check_reach(Joiner *j, Err *err)
{
    int r = join_links_wait(j->conf, strlen(j->conf), j->node, err);

    if (r == -EHOSTUNREACH && j->opt->force) {
        joiner_say(j, "warning: %s", err_text(err));
        err_clear(err);
        r = 0;
    }
    return r;
}

int join_ring_enter(Joiner *j, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + CLUSTER_QUORATE_TIMEOUT_SEC * G_USEC_PER_SEC;
    unsigned looks = 0, restarts = 0;
    int r;

    if ((r = service_start(SERVICE_COROSYNC, err)) < 0) {
        return r;
    }
    while (quorum_is_quorate(NULL) != 1) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(
                err, -ETIMEDOUT,
                "corosync did not see the cluster within %d s: are the link addresses right, "
                "and UDP ports 5405-5412 open between the nodes?",
                CLUSTER_QUORATE_TIMEOUT_SEC);
        }
        /* Once a second: it costs a process. */
        if (++looks % 10 == 0 && joiner_by_token(j) && restarts < COROSYNC_RESTARTS_MAX &&
            service_running(SERVICE_COROSYNC, NULL) == 0) {
            restarts++;
            if ((r = start_with_newer_conf(j, err)) < 0) {
                return r;
            }
        }
        g_usleep(100 * 1000);
    }
    return check_reach(j, err);
}
