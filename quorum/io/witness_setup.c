/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/witness_setup.h"

#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_device.h"
#include "lib/port/process.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/quorum_query.h"
#include "quorum/io/witness_sync.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define CA_NICKNAME      "QNet CA" /* names that corosync-qdevice looks for */
#define CLUSTER_NICKNAME "Cluster Cert"
#define NOISE_SIZE       64
#define ENROL_DIR        "/run/quorate-enrol" /* holds the key while it is made; one at a time */
#define QNETD_PORT       5403

static void say(const WitnessSetup *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const WitnessSetup *s, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    s->say(s->ctx, text);
}

/* ---- what stands against it --------------------------------------------------------------------
 */

static int check_online(const WitnessSetup *s, const CorosyncConf *conf, Err *err)
{
    g_autoptr(QuorumReport) report = NULL;
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    unsigned missing = 0;
    int r = quorum_query(NULL, 0, &report, err);

    if (r < 0) {
        return r;
    }
    if (!report->facts.quorate) {
        return err_setf(err, -EACCES, "the cluster has no quorum");
    }
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        if (!quorum_has_member(&report->facts, node->nodeid)) {
            say(s, "problem: node '%s' is offline", node->name);
            missing++;
        }
    }
    return missing == 0 ? 0
                        : err_setf(err, -EHOSTDOWN, "all nodes must be online; %u %s not", missing,
                                   missing == 1 ? "is" : "are");
}

static int check_setup(const WitnessSetup *s, const CorosyncConf *conf, Err *err)
{
    CorosyncDevice d;
    unsigned voters = corosync_voters(conf);

    if (corosync_device_get(conf, &d) && !s->force) {
        return err_setf(err, -EEXIST, "the cluster has a witness already ('%s'): remove it first",
                        d.host != NULL ? d.host : d.model);
    }
    if (voters % 2 != 0 && !s->force) {
        return err_setf(err, -EINVAL,
                        "a witness helps clusters with an even number of nodes; this one has %u "
                        "(--force sets it up all the same: then every node but the last may fail, "
                        "but not the witness and a node)",
                        voters);
    }
    return check_online(s, conf, err);
}

/* ---- certificates ------------------------------------------------------------------------------
 */

static int put(const char *dir, const char *name, const void *data, gsize size, Err *err)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return cfsfile_write(path, data, size, err);
}

static int certutil(const char *first, const char *dir, const char *const *more, Err *err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    int r;

    g_ptr_array_add(argv, (char *)"certutil");
    g_ptr_array_add(argv, (char *)first);
    g_ptr_array_add(argv, (char *)"-d");
    g_ptr_array_add(argv, (char *)dir);
    for (; *more != NULL; more++) {
        g_ptr_array_add(argv, (char *)*more);
    }
    g_ptr_array_add(argv, NULL);
    r = process_check((const char *const *)argv->pdata, NULL, NULL, err);
    return r == -ENOENT ? err_setf(err, r,
                                   "certutil is not installed here (Debian: apt install "
                                   "corosync-qdevice)")
                        : r;
}

/* A new store with a key and a request for the cluster's certificate. */
static int make_request(const char *dir, const char *cluster, Err *err)
{
    g_autofree char *noise = g_build_filename(dir, "noise", NULL);
    g_autofree char *ca = g_build_filename(dir, "ca.crt", NULL);
    g_autofree char *crq = g_build_filename(dir, "node.crq", NULL);
    g_autofree char *subject = g_strconcat("CN=", cluster, NULL);
    g_autofree char *password = g_build_filename(dir, "password", NULL);
    const char *const init[] = {"-f", password, NULL};
    const char *const add[] = {"-t", "CT,c,c", "-n", CA_NICKNAME, "-f", password, "-i", ca, NULL};
    const char *const request[] = {"-s", subject, "-o", crq, "-f", password, "-z", noise, NULL};
    uint8_t random[NOISE_SIZE];
    int r;

    if (getrandom(random, sizeof random, 0) != sizeof random) {
        return err_setf(err, -EIO, "the kernel's random source gave nothing");
    }
    if ((r = put(dir, "noise", random, sizeof random, err)) < 0 ||
        (r = put(dir, "password", "\n", 1, err)) < 0 || (r = certutil("-N", dir, init, err)) < 0 ||
        (r = certutil("-A", dir, add, err)) < 0) {
        return r;
    }
    return certutil("-R", dir, request, err);
}

static int import_signed(const char *dir, Err *err)
{
    g_autofree char *crt = g_build_filename(dir, "node.crt", NULL);
    g_autofree char *p12 = g_build_filename(dir, WITNESS_P12_FILE, NULL);
    g_autofree char *password = g_build_filename(dir, "password", NULL);
    const char *const add[] = {"-t", "u,u,u", "-n", CLUSTER_NICKNAME, "-f", password,
                               "-i", crt,     NULL};
    const char *const export[] = {
        "pk12util", "-d", dir, "-o", p12, "-W", "", "-k", password, "-n", CLUSTER_NICKNAME, NULL};
    int r = certutil("-A", dir, add, err);

    return r < 0 ? r : process_check(export, NULL, NULL, err);
}

/* All certificates, made in `dir`: WITNESS_CA_FILE and WITNESS_P12_FILE. */
static int enrol(const char *dir, const char *cluster, const WitnessPeer *peer, Err *err)
{
    g_autofree guint8 *ca = NULL;
    g_autofree guint8 *crt = NULL;
    g_autofree char *crq = NULL;
    g_autofree char *crq_path = g_build_filename(dir, "node.crq", NULL);
    gsize ca_size = 0, crt_size = 0, crq_size = 0;
    int r;

    if ((r = peer->ca(peer->ctx, cluster, &ca, &ca_size, err)) < 0 ||
        (r = put(dir, "ca.crt", ca, ca_size, err)) < 0 ||
        (r = put(dir, WITNESS_CA_FILE, ca, ca_size, err)) < 0 ||
        (r = make_request(dir, cluster, err)) < 0 ||
        (r = cfsfile_read(crq_path, WITNESS_CRQ_MAX, &crq, &crq_size, err)) < 0 ||
        (r = peer->sign(peer->ctx, cluster, (const guint8 *)crq, crq_size, &crt, &crt_size, err)) <
            0 ||
        (r = put(dir, "node.crt", crt, crt_size, err)) < 0) {
        return r;
    }
    return import_signed(dir, err);
}

static void remove_directory(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        (void)g_unlink(file); /* what cannot be removed keeps the directory, which is tried anew */
    }
    (void)g_rmdir(path);
}

/* ---- the tree ----------------------------------------------------------------------------------
 */

static const char *const cert_names[] = {WITNESS_CA_FILE, WITNESS_P12_FILE};

/* What the nodes need: these files' contents. */
typedef struct Certs {
    char *data[G_N_ELEMENTS(cert_names)];
    gsize size[G_N_ELEMENTS(cert_names)];
} Certs;

static void certs_clear(Certs *c)
{
    for (guint i = 0; i < G_N_ELEMENTS(cert_names); i++) {
        if (c->data[i] != NULL) {
            explicit_bzero(c->data[i], c->size[i]);
        }
        g_clear_pointer(&c->data[i], g_free);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Certs, certs_clear)

static int certs_load(const char *dir, Certs *ret, Err *err)
{
    for (guint i = 0; i < G_N_ELEMENTS(cert_names); i++) {
        g_autofree char *path = g_build_filename(dir, cert_names[i], NULL);
        int r = cfsfile_read(path, 4 * WITNESS_CRQ_MAX, &ret->data[i], &ret->size[i], err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The mark that tells each node to take the certificates comes last. */
static int publish(const WitnessSetup *s, const Certs *certs, Err *err)
{
    g_autofree char *to = g_build_filename(s->paths->pve, WITNESS_TREE_DIR, NULL);
    g_autofree char *generation = NULL;
    uint32_t mark;
    int r;

    if (getrandom(&mark, sizeof mark, 0) != sizeof mark) {
        return err_setf(err, -EIO, "the kernel's random source gave nothing");
    }
    if (g_mkdir(to, 0700) < 0 && errno != EEXIST) {
        r = -errno;
        return err_setf(err, r, "%s: %s", to, strerror(-r));
    }
    generation = g_strdup_printf("%08x\n", mark);
    for (guint i = 0; i < G_N_ELEMENTS(cert_names); i++) {
        if ((r = put(to, cert_names[i], certs->data[i], certs->size[i], err)) < 0) {
            return r;
        }
    }
    return put(to, WITNESS_GEN_FILE, generation, strlen(generation), err);
}

static void unpublish(const WitnessSetup *s)
{
    g_autofree char *path = g_build_filename(s->paths->pve, WITNESS_TREE_DIR, NULL);

    remove_directory(path);
}

static int configure(const WitnessSetup *s, const char *host, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    CorosyncItem *quorum;
    const CorosyncItem *two_node;
    int r = conf_edit_begin(s->paths->pve, &edit, err);

    if (r < 0) {
        return r;
    }
    quorum = corosync_section(corosync_conf_root(edit.conf), "quorum");
    two_node = quorum != NULL ? corosync_key(quorum, "two_node") : NULL;
    if (two_node != NULL) { /* corosync does not take both */
        say(s, "quorum.two_node goes: the witness does its work");
        corosync_item_remove(quorum, two_node);
    }
    corosync_device_set(edit.conf, host);
    return conf_edit_commit(&edit, err);
}

static int deconfigure(const WitnessSetup *s, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    int r = conf_edit_begin(s->paths->pve, &edit, err);

    if (r == 0 && !corosync_device_remove(edit.conf)) {
        return err_setf(err, -ENOENT, "the cluster has no witness");
    }
    return r < 0 ? r : conf_edit_commit(&edit, err);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

/* Nodes for which the witness votes; -errno. `ret_here`: for this one? corosync-qdevice alone makes
 * itself known to corosync as soon as it runs, connected or not: only a vote is a sign of the host.
 */
static int count_votes(bool *ret_here, Err *err)
{
    g_autoptr(QuorumReport) report = NULL;
    const uint32_t votes = QUORUM_FLAG_QDEVICE_ALIVE | QUORUM_FLAG_QDEVICE_VOTE;
    int r = quorum_query(NULL, 0, &report, err);
    int count = 0;

    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < report->facts.n_members; i++) {
        const QuorumMember *m = &report->facts.members[i];
        bool voted = (m->flags & votes) == votes;

        count += voted;
        *ret_here = *ret_here || (voted && m->nodeid == report->facts.nodeid);
    }
    return count;
}

static int wait_here(const WitnessSetup *s, const char *host, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + WITNESS_VOTE_TIMEOUT_SEC * G_USEC_PER_SEC;
    Err last = ERR_INIT;
    bool here = false;

    while (g_get_monotonic_time() < deadline) {
        err_clear(&last);
        /* Until corosync has read the new configuration the daemon cannot start. */
        if (witness_sync(s->paths->pve, NULL, 0, &last) >= 0 && count_votes(&here, NULL) >= 0 &&
            here) {
            return 0;
        }
        g_usleep(500 * 1000);
    }
    return err_setf(err, -ETIMEDOUT,
                    "the witness '%s' did not vote within %d s%s%s (is TCP port "
                    "5403 open there?)",
                    host, WITNESS_VOTE_TIMEOUT_SEC, last.code != 0 ? ": " : "",
                    last.code != 0 ? err_text(&last) : "");
}

static void wait_for_others(const WitnessSetup *s, unsigned nodes)
{
    gint64 deadline = g_get_monotonic_time() + WITNESS_ALL_TIMEOUT_SEC * G_USEC_PER_SEC;
    bool here = false;
    int count = 0;

    while ((count = count_votes(&here, NULL)) < (int)nodes && g_get_monotonic_time() < deadline) {
        g_usleep(500 * 1000);
    }
    if (count >= (int)nodes) {
        say(s, "the witness votes on all %u nodes", nodes);
    } else {
        say(s,
            "the witness is used by %d of %u nodes yet: does quorate-joind run on all, with "
            "corosync-qdevice installed?",
            MAX(count, 0), nodes);
    }
}

/* ---- public ------------------------------------------------------------------------------------
 */

static int read_cluster(const WitnessSetup *s, CorosyncConf **ret, Err *err)
{
    g_auto(ConfEdit) edit = {0};
    int r = conf_edit_begin(s->paths->pve, &edit, err);

    if (r == 0) {
        *ret = g_steal_pointer(&edit.conf);
    }
    return r;
}

/* A witness that does not answer here could only be taken back, after a minute of waiting. */
static int check_answers(const char *host, Err *err)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GError) gerror = NULL;

    g_socket_client_set_timeout(client, WITNESS_CONNECT_TIMEOUT_SEC);
    connection = g_socket_client_connect_to_host(client, host, QNETD_PORT, NULL, &gerror);
    return connection != NULL
               ? 0
               : err_setf(err, -EHOSTUNREACH,
                          "nothing answers on TCP port %d of '%s' (%s): does corosync-qnetd run "
                          "there?",
                          QNETD_PORT, host, gerror->message);
}

/* Gets certificates from the witness; nothing of them stays on this node. */
static int
exchange(const WitnessSetup *s, const WitnessPeer *peer, const char *cluster, Certs *ret, Err *err)
{
    int r;

    remove_directory(ENROL_DIR); /* of one that was killed: the local lock says that none runs */
    if (g_mkdir(ENROL_DIR, 0700) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", ENROL_DIR, strerror(-r));
    }
    say(s, "exchanging certificates with '%s'", peer->host);
    if ((r = enrol(ENROL_DIR, cluster, peer, err)) == 0 &&
        (r = check_answers(peer->host, err)) == 0) {
        r = certs_load(ENROL_DIR, ret, err);
    }
    remove_directory(ENROL_DIR);
    return r;
}

/* The witness that is replaced by --force. */
typedef struct Former {
    char *host; /* NULL: there is none */
    Certs certs;
} Former;

static void former_clear(Former *f)
{
    g_free(f->host);
    certs_clear(&f->certs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Former, former_clear)

static void keep_former(const WitnessSetup *s, const CorosyncConf *conf, Former *ret)
{
    g_autofree char *dir = g_build_filename(s->paths->pve, WITNESS_TREE_DIR, NULL);
    CorosyncDevice d;

    /* One whose certificates we do not have was not ours to begin with. */
    if (corosync_device_get(conf, &d) && d.host != NULL &&
        certs_load(dir, &ret->certs, NULL) == 0) {
        ret->host = g_strdup(d.host);
    }
}

static int take_back(const WitnessSetup *s, const Former *former, Err *err)
{
    Err e = ERR_INIT;
    int r;

    say(s, "taking everything back");
    if (former->host != NULL) {
        (void)((r = publish(s, &former->certs, err)) < 0 ||
               (r = configure(s, former->host, err)) < 0);
    } else {
        r = deconfigure(s, err);
        if (r == -ENOENT) { /* it was not in the configuration yet */
            err_clear(err);
            r = 0;
        }
        unpublish(s);
    }
    if (r == 0 && witness_sync(s->paths->pve, NULL, 0, &e) < 0) {
        say(s, "%s; the daemon tries again", err_text(&e));
    }
    return r;
}

/* From the first change of the tree on; everything before leaves no trace. */
static int bring_in(const WitnessSetup *s, const char *host, const Certs *certs, Err *err)
{
    int r = publish(s, certs, err);

    if (r == 0) {
        say(s, "adding the witness to corosync.conf");
        r = configure(s, host, err);
    }
    if (r == 0) {
        say(s, "waiting for its vote");
        r = wait_here(s, host, err);
    }
    return r;
}

static int set_up(const WitnessSetup *s,
                  const WitnessPeer *peer,
                  const CorosyncConf *conf,
                  const char *cluster,
                  Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    g_auto(Certs) certs = {0};
    g_auto(Former) former = {0};
    Err e = ERR_INIT;
    int r = exchange(s, peer, cluster, &certs, err);

    if (r < 0) {
        return r;
    }
    keep_former(s, conf, &former);
    if ((r = bring_in(s, peer->host, &certs, err)) < 0) {
        return take_back(s, &former, &e) < 0
                   ? err_wrapf(err, r, "taking it back failed too (%s)", err_text(&e))
                   : r;
    }
    cluster_log(LOG_NOTICE, "the cluster has the witness '%s'", peer->host);
    wait_for_others(s, nodes->len);
    return 0;
}

int witness_setup(const WitnessSetup *s, const WitnessPeer *peer, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    const char *name;
    int lock = cluster_lock(s->paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    r = read_cluster(s, &conf, err);
    if (r == 0 && (r = check_setup(s, conf, err)) == 0 && !s->dry_run) {
        name = corosync_conf_get(conf, "totem.cluster_name");
        r = name != NULL && corosync_valid_name(name)
                ? set_up(s, peer, conf, name, err)
                : err_setf(err, -EINVAL, "the cluster has no proper name (totem.cluster_name)");
    }
    (void)close(lock); /* ends the lock */
    return r;
}

int witness_remove(const WitnessSetup *s, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    CorosyncDevice d;
    Err e = ERR_INIT;
    int lock = cluster_lock(s->paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    if ((r = read_cluster(s, &conf, err)) == 0 && !corosync_device_get(conf, &d)) {
        r = err_setf(err, -ENOENT, "the cluster has no witness");
    }
    if (r == 0 && !s->force) {
        r = check_online(s, conf, err);
    }
    if (r == 0 && !s->dry_run && (r = deconfigure(s, err)) == 0) {
        unpublish(s);
        if (witness_sync(s->paths->pve, NULL, 0, &e) < 0) {
            say(s, "%s; the daemon tries again", err_text(&e));
        }
        cluster_log(LOG_NOTICE, "the witness was removed");
        say(s, "the witness is no longer part of the cluster");
    }
    (void)close(lock); /* ends the lock */
    return r;
}
