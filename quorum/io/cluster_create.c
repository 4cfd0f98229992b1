/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/cluster_create.h"

#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_check.h"
#include "lib/port/lockfile.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/corosync_key.h"
#include "quorum/io/node_files.h"
#include "quorum/io/package_conf.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/services.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <unistd.h>

#define LOCK_WAIT_MS 10000

const ClusterPaths cluster_paths = {
    .pve = "/etc/pve",
    .host_conf = "/etc/corosync/corosync.conf",
    .authkey = "/etc/corosync/authkey",
    .lock_file = "/var/lock/pvecm.lock",
};

static void say(const ClusterCreate *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const ClusterCreate *c, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (c->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    c->say(c->ctx, text);
}

/* ---- this node ------------------------------------------------------------------------------- */

/* Can others reach this node by it? Routed networks put such addresses on `lo` as well; link-local
 * ones mean nothing without their interface. */
static bool is_reachable(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;

        return ntohl(in->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;

        return !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
    }
    return false;
}

static void add_own_addresses(GPtrArray *out)
{
    struct ifaddrs *list = NULL;
    char text[INET6_ADDRSTRLEN];

    if (getifaddrs(&list) < 0) {
        return; /* the certificate then names the node only */
    }
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        socklen_t size;

        if (i->ifa_addr == NULL || !is_reachable(i->ifa_addr)) {
            continue;
        }
        size = i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                 : sizeof(struct sockaddr_in6);
        if (getnameinfo(i->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0) {
            g_ptr_array_add(out, g_strdup(text));
        }
    }
    freeifaddrs(list);
}

int cluster_this_node(char **ret_name, char **ret_fqdn, GPtrArray **ret_addresses, Err *err)
{
    struct addrinfo hints = {.ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    struct utsname uts;
    g_autofree char *name = NULL;

    if (uname(&uts) < 0) {
        int r = -errno;

        return err_setf(err, r, "reading the host name: %s", strerror(-r));
    }
    name = g_strndup(uts.nodename, strcspn(uts.nodename, "."));
    if (!corosync_valid_name(name)) {
        return err_setf(err, -EINVAL, "host name '%s' cannot be a node name", uts.nodename);
    }
    *ret_fqdn = g_strdup(uts.nodename);
    if (getaddrinfo(uts.nodename, NULL, &hints, &list) == 0) {
        if (list->ai_canonname != NULL && strchr(list->ai_canonname, '.') != NULL) {
            g_free(*ret_fqdn);
            *ret_fqdn = g_strdup(list->ai_canonname);
        }
        freeaddrinfo(list);
    }
    *ret_addresses = g_ptr_array_new_with_free_func(g_free);
    add_own_addresses(*ret_addresses);
    *ret_name = g_steal_pointer(&name);
    return 0;
}

int cluster_own_address(const char *node, const GPtrArray *addresses, char **ret, Err *err)
{
    struct addrinfo *list = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char text[INET6_ADDRSTRLEN];
    int rc = getaddrinfo(node, NULL, &hints, &list);

    for (const struct addrinfo *i = rc == 0 ? list : NULL; i != NULL && *ret == NULL;
         i = i->ai_next) {
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
                0 &&
            g_ptr_array_find_with_equal_func((GPtrArray *)addresses, text, g_str_equal, NULL)) {
            *ret = g_strdup(text);
        }
    }
    if (rc == 0) {
        freeaddrinfo(list);
    }
    if (*ret == NULL) {
        return err_setf(
            err, -EADDRNOTAVAIL,
            "node name '%s' does not resolve to an address of this node: mend /etc/hosts "
            "or give --link0 ADDRESS",
            node);
    }
    return 0;
}

/* ---- lock and waiting --------------------------------------------------------------------------
 */

int cluster_lock(const ClusterPaths *paths, Err *err)
{
    int fd = lockfile_take(paths->lock_file, 0600, LOCK_WAIT_MS);

    if (fd == -EBUSY) {
        return err_setf(err, fd, "another pvecm is changing the cluster (%s is locked)",
                        paths->lock_file);
    }
    return fd < 0 ? err_setf(err, fd, "%s: %s", paths->lock_file, strerror(-fd)) : fd;
}

/* The write bit of the `local` link says that changes are possible (reference pmxcfs 5.3). */
static bool tree_writable(const ClusterPaths *paths)
{
    g_autofree char *local = g_build_filename(paths->pve, "local", NULL);
    struct stat st;

    return lstat(local, &st) == 0 && S_ISLNK(st.st_mode) && (st.st_mode & S_IWUSR) != 0;
}

bool cluster_configured(const ClusterPaths *paths)
{
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);

    return g_file_test(conf, G_FILE_TEST_EXISTS) ||
           g_file_test(paths->host_conf, G_FILE_TEST_EXISTS);
}

int cluster_wait_quorate(const ClusterPaths *paths, unsigned timeout_sec, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_sec * G_USEC_PER_SEC;

    while (quorum_is_quorate(NULL) != 1 || !tree_writable(paths)) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(
                err, -ETIMEDOUT,
                "the node was not quorate with a writable %s after %u s: see 'journalctl "
                "-u corosync -u pve-cluster'",
                paths->pve, timeout_sec);
        }
        g_usleep(100 * 1000);
    }
    return 0;
}

/* ---- create ------------------------------------------------------------------------------------
 */

typedef struct Undo {
    bool key_made, host_conf_made, corosync_started, conf_made;
} Undo;

static int check_create(const ClusterPaths *paths, const ClusterCreate *c, Err *err)
{
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);

    if (!corosync_valid_name(c->name) || strlen(c->name) > COROSYNC_CLUSTER_NAME_MAX) {
        return err_setf(err, -EINVAL,
                        "'%s' is no cluster name: up to %u letters, digits and inner hyphens",
                        c->name, COROSYNC_CLUSTER_NAME_MAX);
    }
    if (g_file_test(conf, G_FILE_TEST_EXISTS) && !package_conf_found(paths)) {
        return err_setf(err, -EEXIST, "this node is in a cluster already (%s exists)", conf);
    }
    /* The example's tree is read-only when its corosync was stopped. */
    if (!tree_writable(paths) && !package_conf_found(paths)) {
        return err_setf(err, -EROFS, "%s is not mounted or not writable: does pmxcfs run?",
                        paths->pve);
    }
    return 0;
}

/* A ring whose address is elsewhere would come up alone, and no node could ever join it. */
static int
check_links(const CorosyncLink links[COROSYNC_LINKS_MAX], const GPtrArray *addresses, Err *err)
{
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        g_autofree char *own = NULL;

        if (links[i].present &&
            (links[i].address == NULL ||
             cluster_own_address(links[i].address, addresses, &own, NULL) < 0)) {
            return err_setf(err, -EADDRNOTAVAIL,
                            "link %u: address '%s' is not configured on this node", i,
                            links[i].address != NULL ? links[i].address : "");
        }
    }
    return 0;
}

/* No new cluster begins with what `pvecm check` would refuse. */
static int check_conf(const ClusterCreate *c, const CorosyncConf *conf, Err *err)
{
    g_autoptr(GPtrArray) problems = corosync_check(conf);
    const CorosyncProblem *error = corosync_first_error(problems);

    for (guint i = 0; error == NULL && i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);

        say(c, "warning: %s", p->text);
    }
    return error == NULL ? 0 : err_setf(err, -EINVAL, "%s", error->text);
}

static int build_conf(const ClusterCreate *c, char **ret_text, Err *err)
{
    CorosyncLink links[COROSYNC_LINKS_MAX];
    g_autofree char *node = NULL, *fqdn = NULL, *address = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    bool any = false;
    int r = cluster_this_node(&node, &fqdn, &addresses, err);

    if (r < 0) {
        return r;
    }
    memcpy(links, c->links, sizeof links);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        any |= links[i].present;
    }
    if (!any) {
        if ((r = cluster_own_address(node, addresses, &address, err)) < 0) {
            return r;
        }
        links[0] = (CorosyncLink){.present = true, .address = address};
    }
    if (!links[0].present) {
        return err_setf(err, -EINVAL, "link 0 must be given when other links are");
    }
    if ((r = check_links(links, addresses, err)) < 0) {
        return r;
    }
    conf = corosync_conf_create(c->name, node, c->nodeid != 0 ? c->nodeid : 1, c->votes, links,
                                c->token_coefficient);
    if (c->token_ms != 0) {
        g_autofree char *token = g_strdup_printf("%u", c->token_ms);

        corosync_conf_set(conf, "totem.token", token);
    }
    if ((r = check_conf(c, conf, err)) < 0) {
        return r;
    }
    *ret_text = corosync_conf_format(conf);
    return 0;
}

static int need_authkey(const ClusterPaths *paths, const ClusterCreate *c, Undo *undo, Err *err)
{
    uint8_t key[COROSYNC_KEY_SIZE];
    int r;

    if (g_file_test(paths->authkey, G_FILE_TEST_EXISTS)) {
        say(c, "using the key in %s", paths->authkey);
        return 0;
    }
    say(c, "making a key for the messaging layer in %s", paths->authkey);
    if ((r = corosync_key_make(key, err)) == 0) {
        r = corosync_key_write(paths->authkey, key, sizeof key, err);
        undo->key_made = r == 0;
    }
    explicit_bzero(key, sizeof key);
    return r;
}

/* corosync first, with the host's copy only: the tree is not touched before it is proven to work.
 */
static int start_corosync(
    const ClusterPaths *paths, const ClusterCreate *c, const char *text, Undo *undo, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + CLUSTER_QUORATE_TIMEOUT_SEC * G_USEC_PER_SEC;
    int r = cfsfile_write(paths->host_conf, text, strlen(text), err);

    undo->host_conf_made = r == 0;
    if (r == 0 && g_chmod(paths->host_conf, 0644) < 0) {
        r = -errno;
    }
    if (r < 0) {
        return r;
    }
    say(c, "starting corosync");
    undo->corosync_started = true;
    if ((r = service_restart(SERVICE_COROSYNC, err)) < 0) {
        return r;
    }
    while (quorum_is_quorate(NULL) != 1) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT,
                            "corosync was not quorate after %d s: see 'journalctl -u corosync'",
                            CLUSTER_QUORATE_TIMEOUT_SEC);
        }
        g_usleep(100 * 1000);
    }
    return 0;
}

static int switch_tree(
    const ClusterPaths *paths, const ClusterCreate *c, const char *text, Undo *undo, Err *err)
{
    g_autofree char *staged = g_build_filename(paths->pve, "corosync.conf.new", NULL);
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);
    int r = cfsfile_write(staged, text, strlen(text), err);

    if (r < 0) {
        return r;
    }
    say(c, "writing %s and restarting the cluster file system", conf);
    if (g_rename(staged, conf) < 0) {
        r = -errno;
        (void)g_unlink(staged);
        return err_setf(err, r, "%s: %s", conf, strerror(-r));
    }
    undo->conf_made = true;
    if ((r = service_restart(SERVICE_PMXCFS, err)) < 0) {
        return r;
    }
    say(c, "waiting for quorum");
    return cluster_wait_quorate(paths, CLUSTER_QUORATE_TIMEOUT_SEC, err);
}

int cluster_wait_writable(const ClusterPaths *paths, unsigned timeout_sec, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_sec * G_USEC_PER_SEC;

    while (!tree_writable(paths)) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "%s was not mounted and writable after %u s",
                            paths->pve, timeout_sec);
        }
        g_usleep(50 * 1000);
    }
    return 0;
}

/* With corosync.conf in the tree pmxcfs wants a cluster: it is removed in forced local mode. */
int cluster_remove_tree_conf(const ClusterPaths *paths, unsigned timeout_sec, Err *err)
{
    g_autofree char *conf = g_build_filename(paths->pve, "corosync.conf", NULL);
    int r;

    if ((r = service_stop(SERVICE_PMXCFS, err)) < 0 || (r = service_start_local(err)) < 0) {
        return r;
    }
    r = cluster_wait_writable(paths, timeout_sec, err);
    if (r == 0 && g_unlink(conf) < 0 && errno != ENOENT) {
        r = -errno;
        (void)err_setf(err, r, "%s: %s", conf, strerror(-r));
    }
    int stopped = service_stop_local(r < 0 ? NULL : err);

    r = r < 0 ? r : stopped < 0 ? stopped : service_start(SERVICE_PMXCFS, err);
    return r < 0 ? r : cluster_wait_writable(paths, timeout_sec, err);
}

/* Back to a node without cluster. Failures here are told, but the first error stays the answer. */
static void undo_create(const ClusterPaths *paths, const ClusterCreate *c, const Undo *undo)
{
    Err err = ERR_INIT;

    if (undo->corosync_started || undo->key_made) {
        say(c, "failed: putting everything back");
    }
    if (undo->corosync_started && service_stop(SERVICE_COROSYNC, &err) < 0) {
        say(c, "could not stop corosync: %s", err_text(&err));
    }
    /* The host's copy first: a pmxcfs that starts with it would take it into the tree again. */
    if (undo->host_conf_made) {
        (void)g_unlink(paths->host_conf);
    }
    if (undo->key_made) {
        (void)g_unlink(paths->authkey);
    }
    err_clear(&err);
    if (undo->conf_made && cluster_remove_tree_conf(paths, CLUSTER_QUORATE_TIMEOUT_SEC, &err) < 0) {
        say(c, "could not remove corosync.conf from the tree: %s", err_text(&err));
    }
}

static void say_to(void *ctx, const char *line)
{
    say(ctx, "%s", line);
}

/* Keys take seconds of a processor, corosync seconds of waiting: both at the same time. */
typedef struct CertsTask {
    const ClusterPaths *paths;
    const ClusterCreate *create;
    int result;
    Err err;
} CertsTask;

static gpointer make_certs(gpointer data)
{
    CertsTask *t = data;

    t->result = cluster_update_certs(t->paths, false, say_to, (void *)t->create, &t->err);
    return NULL;
}

static int make_cluster(
    const ClusterPaths *paths, const ClusterCreate *c, const char *text, Undo *undo, Err *err)
{
    CertsTask certs = {.paths = paths, .create = c};
    GThread *thread;
    int r = package_conf_clear(paths, say_to, (void *)c, err);

    if (r < 0) {
        return r;
    }
    thread = g_thread_new("certs", make_certs, &certs);
    r = need_authkey(paths, c, undo, err);
    r = r < 0 ? r : start_corosync(paths, c, text, undo, err);
    (void)g_thread_join(thread);
    if (r == 0 && certs.result < 0) {
        r = err_setf(err, certs.result, "%s", err_text(&certs.err));
    }
    return r < 0 ? r : switch_tree(paths, c, text, undo, err);
}

int cluster_create(const ClusterPaths *paths, const ClusterCreate *c, Err *err)
{
    g_autofree char *text = NULL;
    Undo undo = {0};
    int lock = cluster_lock(paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    if ((r = check_create(paths, c, err)) == 0 && (r = build_conf(c, &text, err)) == 0) {
        if (c->dry_run) {
            say(c, "would write this configuration and start the cluster:\n%s", text);
        } else {
            r = make_cluster(paths, c, text, &undo, err);
            if (r < 0) {
                undo_create(paths, c, &undo);
            } else {
                cluster_log(LOG_NOTICE, "cluster '%s' was made", c->name);
            }
        }
    }
    (void)close(lock); /* ends the lock */
    return r;
}

typedef int (*NodeFilesFn)(const NodeFilesPlan *plan, Err *err);

static int with_node_files(NodeFilesFn fn,
                           const ClusterPaths *paths,
                           bool force,
                           void (*say_line)(void *ctx, const char *line),
                           void *ctx,
                           Err *err)
{
    g_autofree char *node = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    NodeFilesPlan plan = {.pve = paths->pve, .force = force, .say = say_line, .ctx = ctx};
    int r = cluster_this_node(&node, &fqdn, &addresses, err);

    if (r < 0) {
        return r;
    }
    plan.node = node;
    plan.fqdn = fqdn;
    plan.addresses = addresses;
    plan.now.sec = g_get_real_time() / G_USEC_PER_SEC;
    return fn(&plan, err);
}

int cluster_update_certs(const ClusterPaths *paths,
                         bool force,
                         void (*say_line)(void *ctx, const char *line),
                         void *ctx,
                         Err *err)
{
    return with_node_files(node_files_update, paths, force, say_line, ctx, err);
}

int cluster_preview_certs(const ClusterPaths *paths,
                          bool force,
                          void (*say_line)(void *ctx, const char *line),
                          void *ctx,
                          Err *err)
{
    return with_node_files(node_files_preview, paths, force, say_line, ctx, err);
}
