/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/ipcc.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qbipcc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOOR_RETRY_MS 5
#define RESTART_FLAG  "/run/pve-cluster/cfs-restart-flag"

struct Ipcc {
    char *service;
    char *restart_flag;
    int64_t timeout_ms;
    qb_ipcc_connection_t *conn; /* NULL: not connected */
    pid_t owner;                /* process that made it */
    uint8_t *buffer;            /* for answers */
};

Ipcc *ipcc_new(const IpccOptions *opt)
{
    static const IpccOptions none;
    Ipcc *c = g_new0(Ipcc, 1);

    opt = opt != NULL ? opt : &none;
    c->service = g_strdup(opt->service != NULL ? opt->service : WIRE_IPC_SERVICE);
    c->restart_flag = g_strdup(opt->restart_flag != NULL ? opt->restart_flag : RESTART_FLAG);
    c->timeout_ms = opt->timeout_ms > 0 ? opt->timeout_ms : IPCC_TIMEOUT_MS;
    c->buffer = g_malloc(WIRE_IPC_MESSAGE_MAX);
    return c;
}

static void disconnect(Ipcc *c)
{
    if (c->conn != NULL && c->owner == getpid()) {
        qb_ipcc_disconnect(c->conn);
    }
    /* After a fork it is left alone: closing it here would shut the parent's socket down. */
    c->conn = NULL;
}

void ipcc_free(Ipcc *c)
{
    if (c == NULL) {
        return;
    }
    disconnect(c);
    g_free(c->service);
    g_free(c->restart_flag);
    g_free(c->buffer);
    g_free(c);
}

static int64_t ms_left(MonoTime deadline)
{
    return MAX(0, mono_diff_us(deadline, clock_mono()) / US_PER_MS);
}

/* ---- connecting ---- */

/* Waits for the answer to our hello; libqb alone would wait for ever. */
static int wait_welcome(int fd, MonoTime deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc;

    do {
        rc = poll(&p, 1, (int)MIN(ms_left(deadline), INT_MAX));
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : -errno;
}

static int connect_once(Ipcc *c, MonoTime deadline)
{
    qb_ipcc_connection_t *conn;
    int fd = -1;
    int rc;

    errno = 0;
    conn = qb_ipcc_connect_async(c->service, WIRE_IPC_MESSAGE_MAX, &fd);
    if (conn == NULL) {
        return errno != 0 ? -errno : -ECONNREFUSED;
    }
    rc = wait_welcome(fd, deadline);
    if (rc < 0) {
        (void)close(fd); /* an unfinished connection does not own it */
        qb_ipcc_disconnect(conn);
        return rc;
    }
    errno = 0;
    rc = qb_ipcc_connect_continue(conn); /* frees it on failure */
    if (rc != 0) {
        return rc < 0 ? rc : -ECONNREFUSED;
    }
    c->conn = conn;
    c->owner = getpid();
    return 0;
}

static bool daemon_restarts(const Ipcc *c)
{
    struct stat st;

    return stat(c->restart_flag, &st) == 0;
}

/* A daemon that stopped in order to come back leaves a flag: it is waited for, and when it does not
 * come, the flag is removed so that nobody else waits in vain. */
static int connect_to_daemon(Ipcc *c, MonoTime deadline)
{
    MonoTime give_up = mono_min(deadline, mono_add_ms(clock_mono(), IPCC_RESTART_WAIT_MS));
    int rc = connect_once(c, deadline);

    /* EAGAIN: too many others are at the door. */
    while (rc == -EAGAIN || (rc == -ECONNREFUSED && daemon_restarts(c))) {
        if (ms_left(rc == -EAGAIN ? deadline : give_up) == 0) {
            if (rc == -ECONNREFUSED && ms_left(deadline) > 0) {
                (void)unlink(c->restart_flag); /* not ours to remove unless root: then it stays */
            }
            break;
        }
        g_usleep((rc == -EAGAIN ? DOOR_RETRY_MS : IPCC_RESTART_RETRY_MS) * 1000);
        rc = connect_once(c, deadline);
    }
    return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

/* ---- calling ---- */

static int
exchange(Ipcc *c, const void *request, size_t size, MonoTime deadline, GBytes **ret, bool *ret_sent)
{
    struct iovec iov = {.iov_base = (void *)request, .iov_len = size};
    ssize_t rc;

    *ret_sent = false;
    if (c->conn != NULL && c->owner != getpid()) {
        disconnect(c);
    }
    if (c->conn == NULL) {
        int code = connect_to_daemon(c, deadline);

        if (code < 0) {
            return code;
        }
    }
    rc = qb_ipcc_sendv(c->conn, &iov, 1);
    if (rc >= 0) {
        *ret_sent = true;
        do {
            rc = qb_ipcc_recv(c->conn, c->buffer, WIRE_IPC_MESSAGE_MAX,
                              (int32_t)CLAMP(ms_left(deadline), 1, 1000));
        } while ((rc == -ETIMEDOUT || rc == -EAGAIN) && ms_left(deadline) > 0 &&
                 qb_ipcc_is_connected(c->conn));
    }
    if (rc < 0) {
        if (rc == -ETIMEDOUT || rc == -EAGAIN) {
            rc = ms_left(deadline) > 0 ? -ENOTCONN : -ETIMEDOUT;
        }
        disconnect(c); /* a late answer must not be taken for that of the next request */
        return (int)rc;
    }
    *ret = g_bytes_new(c->buffer, (gsize)rc);
    return 0;
}

static bool is_broken(int rc)
{
    return rc < 0 && rc != -ETIMEDOUT && rc != -EMSGSIZE && rc != -EACCES && rc != -ECONNREFUSED;
}

int ipcc_call_raw(Ipcc *c, const void *request, size_t size, GBytes **ret, Err *err)
{
    MonoTime deadline = mono_add_ms(clock_mono(), c->timeout_ms);
    bool had_connection = c->conn != NULL;
    int32_t id = 0;
    bool sent;
    int rc;

    if (size > WIRE_IPC_MESSAGE_MAX) {
        return err_setf(err, -EMSGSIZE, "request longer than %u bytes", WIRE_IPC_MESSAGE_MAX);
    }
    memcpy(&id, request, MIN(size, sizeof id));
    rc = exchange(c, request, size, deadline, ret, &sent);
    if (is_broken(rc) && had_connection && !(sent && id == WIRE_IPC_LOG)) {
        rc = exchange(c, request, size, deadline, ret, &sent);
    }
    if (rc < 0) {
        return err_setf(err, rc, "cluster filesystem does not answer: %s", g_strerror(-rc));
    }
    return 0;
}

int ipcc_call(Ipcc *c, const WireIpcRequest *req, GBytes **ret, Err *err)
{
    g_autoptr(GBytes) request = NULL;
    g_autoptr(GBytes) response = NULL;
    WireIpcResponse r;
    gsize size;
    const void *data;
    int rc = wire_ipc_encode(req, &request);

    if (rc < 0) {
        return err_setf(err, rc, "%s: a part of the request is too long", wire_ipc_name(req->id));
    }
    data = g_bytes_get_data(request, &size);
    rc = ipcc_call_raw(c, data, size, &response, err);
    if (rc < 0) {
        return rc;
    }
    data = g_bytes_get_data(response, &size);
    if (wire_ipc_decode_response(data, size, &r) < 0 || r.id != req->id) {
        disconnect(c);
        return err_setf(err, -EBADMSG, "%s: malformed answer", wire_ipc_name(req->id));
    }
    if (r.error < 0) {
        return err_setf(err, r.error, "%s", g_strerror(-r.error));
    }
    if (ret != NULL) {
        *ret = r.size > 0 ? g_bytes_new_from_bytes(response, size - r.size, r.size) : NULL;
    }
    return 0;
}

/* ---- the common ones ---- */

int ipcc_get_file(Ipcc *c, const char *path, GBytes **ret, Err *err)
{
    const WireIpcRequest req = {.id = WIRE_IPC_GET_FILE,
                                .u.path = {.s = path, .len = strlen(path)}};
    GBytes *data = NULL;
    int rc = ipcc_call(c, &req, &data, err);

    if (rc < 0) {
        return err_wrapf(err, rc, "%s", path);
    }
    *ret = data != NULL ? data : g_bytes_new_static("", 0);
    return 0;
}

int ipcc_set_status(Ipcc *c, const char *key, const char *value, Err *err)
{
    const WireIpcRequest req = {.id = WIRE_IPC_SET_STATUS,
                                .u.set_status = {.key = key,
                                                 .value = value,
                                                 .size = value != NULL ? strlen(value) + 1 : 0}};

    return ipcc_call(c, &req, NULL, err);
}

int ipcc_get_status(Ipcc *c, const char *node, const char *key, GBytes **ret, Err *err)
{
    const WireIpcRequest req = {.id = WIRE_IPC_GET_STATUS,
                                .u.get_status = {.key = key, .node = node != NULL ? node : ""}};

    return ipcc_call(c, &req, ret, err);
}

int ipcc_log(
    Ipcc *c, uint8_t priority, const char *ident, const char *tag, const char *text, Err *err)
{
    const WireIpcRequest req = {.id = WIRE_IPC_LOG,
                                .u.log = {.priority = priority,
                                          .ident = ident,
                                          .tag = tag,
                                          .text = {.s = text, .len = strlen(text)}}};

    return ipcc_call(c, &req, NULL, err);
}
