/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_ports.h"

#include "migration/io/mig_socket.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64 /* multifd opens its channels at once */

struct MigPorts {
    GMutex lock;
    unsigned first, last;
    bool *taken;   /* by port - first */
    GQueue *queue; /* tickets, in order */
};

MigPorts *mig_ports_new(unsigned first, unsigned last)
{
    MigPorts *p = g_new0(MigPorts, 1);

    assert(first <= last);
    g_mutex_init(&p->lock);
    p->first = first;
    p->last = last;
    p->taken = g_new0(bool, last - first + 1);
    p->queue = g_queue_new();
    return p;
}

void mig_ports_free(MigPorts *p)
{
    if (p != NULL) {
        g_mutex_clear(&p->lock);
        g_queue_free(p->queue);
        g_free(p->taken);
        g_free(p);
    }
}

static int listen_at(const char *address, unsigned port)
{
    struct sockaddr_storage at;
    int size = mig_address_parse(address, port, &at);
    int one = 1;
    int fd, r;

    if (size < 0) {
        return size;
    }
    fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    /* Old connections of this port may be in TIME_WAIT; a live listener still refuses us. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&at, (socklen_t)size) < 0 || listen(fd, BACKLOG) < 0) {
        r = -errno;
        (void)close(fd); /* nothing was sent */
        return r;
    }
    return fd;
}

/* Under the lock. A port that a foreign program holds is passed over. */
static MigLease *first_free(MigPorts *p, const char *address, int *ret_error)
{
    *ret_error = -EAGAIN;
    for (unsigned port = p->first; port <= p->last; port++) {
        MigLease *l;
        int fd;

        if (p->taken[port - p->first]) {
            continue;
        }
        fd = listen_at(address, port);
        if (fd == -EADDRINUSE) {
            continue;
        }
        if (fd < 0) {
            *ret_error = fd;
            return NULL;
        }
        p->taken[port - p->first] = true;
        l = g_new(MigLease, 1);
        *l = (MigLease){p, port, fd};
        return l;
    }
    return NULL;
}

int mig_ports_take(MigPorts *p,
                   const char *address,
                   const void *ticket,
                   unsigned *ret_position,
                   MigLease **ret,
                   Err *err)
{
    MigLease *l = NULL;
    int error = -EAGAIN;
    int place;

    g_mutex_lock(&p->lock);
    place = g_queue_index(p->queue, ticket);
    if (place == 0 || (place < 0 && g_queue_is_empty(p->queue))) {
        l = first_free(p, address, &error);
    }
    if (l != NULL || error != -EAGAIN) {
        (void)g_queue_remove(p->queue, ticket);
    } else if (place < 0) {
        g_queue_push_tail(p->queue, (void *)ticket);
        place = (int)p->queue->length - 1;
    }
    g_mutex_unlock(&p->lock);
    if (l != NULL) {
        *ret = l;
        return 0;
    }
    if (error == -EAGAIN) {
        *ret_position = (unsigned)place + 1;
        return err_setf(err, -EAGAIN, "all ports from %u to %u are taken: %u in the queue",
                        p->first, p->last, (unsigned)place + 1);
    }
    return err_setf(err, error, "listening at %s: %s", address, g_strerror(-error));
}

void mig_ports_leave(MigPorts *p, const void *ticket)
{
    g_mutex_lock(&p->lock);
    (void)g_queue_remove(p->queue, ticket);
    g_mutex_unlock(&p->lock);
}

void mig_lease_close_fd(MigLease *l)
{
    if (l != NULL && l->fd >= 0) {
        (void)close(l->fd); /* a listening socket */
        l->fd = -1;
    }
}

void mig_lease_free(MigLease *l)
{
    if (l == NULL) {
        return;
    }
    mig_lease_close_fd(l);
    g_mutex_lock(&l->ports->lock);
    l->ports->taken[l->port - l->ports->first] = false;
    g_mutex_unlock(&l->ports->lock);
    g_free(l);
}

MigPortsUse mig_ports_use(MigPorts *p)
{
    MigPortsUse use = {.total = p->last - p->first + 1};

    g_mutex_lock(&p->lock);
    for (unsigned i = 0; i < use.total; i++) {
        use.taken += p->taken[i];
    }
    use.waiting = p->queue->length;
    g_mutex_unlock(&p->lock);
    return use;
}
