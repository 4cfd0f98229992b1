/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_agent.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "migration/core/mig_crowd.h"
#include "migration/io/mig_local.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_tls.h"

#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOMBSTONE_DAYS 7 /* a source that asks later has a person at hand */
#define TOMBSTONE_MAX  64
#define DEFAULT_LIMITS 4096

struct MigAgent {
    MigSetup *setup;
    MigLocal *local;
    int listener;
    guint listener_source; /* or, while it rests, of the timer that ends that */
    bool crowded;          /* said already */
    GHashTable *jobs;      /* key "s:ID" or "t:ID" -> MigJob *, one reference */
    gint sources;          /* moves away from this node, dry runs not counted */
    GQueue *fresh; /* MigLink * that have not said hello, oldest first, one reference each */
    gint64 counters[MIG_COUNT_N];
    GHashTable *streams; /* key "s:PEER" in TLS or "p:PEER" -> gint64 *, bytes per second */
    GMutex lock;         /* of the counters and of `streams` */
};

static const struct {
    const char *name, *text;
} counter_names[MIG_COUNT_N] = {
    [MIG_COUNT_STARTED] = {"started_total", "Migrations asked for on this node."},
    [MIG_COUNT_MOVED] = {"moved_total", "Guests that moved away."},
    [MIG_COUNT_FAILED] = {"failed_total", "Migrations that failed; the guest stayed."},
    [MIG_COUNT_CANCELLED] = {"cancelled_total", "Migrations that were cancelled."},
    [MIG_COUNT_REFUSED] = {"refused_total", "Migrations refused before anything was changed."},
    [MIG_COUNT_LOST] = {"lost_total", "Guests that broke off in post-copy."},
    [MIG_COUNT_INCOMING] = {"incoming_total", "Guests that came in."},
    [MIG_COUNT_BYTES] = {"memory_bytes_total", "Bytes of memory sent, as QEMU counts them."},
    [MIG_COUNT_DOWNTIME_MS] = {"stopped_milliseconds_total", "Time guests stood still."},
    [MIG_COUNT_LINKS_REFUSED] = {"links_refused_total", "Connections of agents that were refused."},
};

void mig_agent_count(MigAgent *a, MigCounter c, int64_t n)
{
    g_mutex_lock(&a->lock);
    a->counters[c] += n;
    g_mutex_unlock(&a->lock);
}

int64_t mig_agent_share(MigAgent *a)
{
    int64_t n = MAX(g_atomic_int_get(&a->sources), 1);

    return a->setup->bwlimit_kib > 0 ? MAX(a->setup->bwlimit_kib / n, 1) : 0;
}

/* The mean of the last one and of those before, as one may have had bad luck. */
void mig_agent_note_stream(MigAgent *a, const char *peer, bool secure, int64_t speed)
{
    char *key = g_strdup_printf("%c:%s", secure ? 's' : 'p', peer);
    int64_t *have;

    g_mutex_lock(&a->lock);
    have = g_hash_table_lookup(a->streams, key);
    if (have != NULL) {
        *have = (*have + speed) / 2;
        g_free(key);
    } else {
        have = g_new(int64_t, 1);
        *have = speed;
        (void)g_hash_table_insert(a->streams, key, have);
    }
    g_mutex_unlock(&a->lock);
}

int64_t mig_agent_stream_speed(MigAgent *a, const char *peer, bool secure)
{
    g_autofree char *key = g_strdup_printf("%c:%s", secure ? 's' : 'p', peer);
    const int64_t *have;
    int64_t speed;

    g_mutex_lock(&a->lock);
    have = g_hash_table_lookup(a->streams, key);
    speed = have != NULL ? *have : 0;
    g_mutex_unlock(&a->lock);
    return speed;
}

static char *job_key(bool is_source, const char *id)
{
    return g_strdup_printf("%c:%s", is_source ? 's' : 't', id);
}

static MigJob *find_job(MigAgent *a, bool is_source, const char *id)
{
    g_autofree char *key = job_key(is_source, id);

    return g_hash_table_lookup(a->jobs, key);
}

static MigJob *find_guest(MigAgent *a, bool is_source, uint32_t vmid)
{
    GHashTableIter i;
    void *value;

    g_hash_table_iter_init(&i, a->jobs);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        MigJob *j = value;

        if (j->is_source == is_source && j->vmid == vmid) {
            return j;
        }
    }
    return NULL;
}

static void add_job(MigAgent *a, MigJob *j, void (*run)(MigJob *j))
{
    if (j->is_source && !j->request.dry_run) {
        g_atomic_int_inc(&a->sources);
    }
    g_hash_table_insert(a->jobs, job_key(j->is_source, j->id), j);
    mig_job_start(j, run);
}

/* ---- what jobs tell -------------------------------------------------------------------------- */

typedef struct Publish {
    MigAgent *agent;
    char *id, *line;
} Publish;

static gboolean on_publish(gpointer data)
{
    Publish *p = data;

    mig_local_publish(p->agent->local, p->id, p->line);
    return G_SOURCE_REMOVE;
}

static void publish_free(void *data)
{
    Publish *p = data;

    g_free(p->id);
    g_free(p->line);
    g_free(p);
}

void mig_agent_publish(MigAgent *a, const char *id, JsonTree *t)
{
    Publish *p = g_new(Publish, 1);
    GString *line = g_string_new(NULL);

    jsontree_append(line, t);
    jsontree_free(t);
    *p = (Publish){a, g_strdup(id), g_string_free(line, FALSE)};
    mig_post(NULL, on_publish, p, publish_free);
}

typedef struct Ended {
    MigAgent *agent;
    MigJob *job;
} Ended;

static gboolean on_ended(gpointer data)
{
    Ended *e = data;
    g_autofree char *key = job_key(e->job->is_source, e->job->id);

    g_thread_join(e->job->thread);
    mig_job_refuse_late(e->job);
    if (e->job->is_source && !e->job->request.dry_run) {
        (void)g_atomic_int_add(&e->agent->sources, -1);
    }
    (void)g_hash_table_remove(e->agent->jobs, key);
    return G_SOURCE_REMOVE;
}

static void ended_free(void *data)
{
    Ended *e = data;

    mig_job_unref(e->job);
    g_free(e);
}

void mig_agent_job_ended(MigAgent *a, MigJob *j)
{
    Ended *e = g_new(Ended, 1);

    *e = (Ended){a, mig_job_ref(j)};
    mig_post(NULL, on_ended, e, ended_free);
}

/* ---- other agents ---------------------------------------------------------------------------- */

static void forget_link(MigAgent *a, MigLink *link)
{
    if (g_queue_remove(a->fresh, link)) {
        a->crowded = a->crowded && a->fresh->length >= MIG_JOBS_MAX / 2;
        mig_link_unref(link);
    }
}

static void refuse_link(MigAgent *a, MigLink *link, int code, const char *text)
{
    JsonTree *t = jsontree_new_object();

    log_line(TRACE_WARNING, "migrate", "connection from %s refused: %s",
             mig_link_peer_address(link), text);
    mig_agent_count(a, MIG_COUNT_LINKS_REFUSED, 1);
    jsontree_set_int(t, "code", code);
    jsontree_set_text(t, "text", text);
    mig_link_send(link, wire_mig_encode(WIRE_MIG_ERROR, t));
    jsontree_free(t);
    mig_link_close(link);
    forget_link(a, link);
}

static bool good_id(const char *id)
{
    return id != NULL && strlen(id) == WIRE_MIG_ID_LEN &&
           strspn(id, "0123456789abcdef") == WIRE_MIG_ID_LEN;
}

static bool was_given_up(MigAgent *a, const char *id)
{
    g_autofree char *path = g_strdup_printf("%s/%s.gone", a->setup->state_dir, id);

    return access(path, F_OK) == 0;
}

static void welcome_gone(MigAgent *a, MigLink *link)
{
    JsonTree *t = jsontree_new_object();

    jsontree_set_int(t, "version", WIRE_MIG_VERSION);
    jsontree_set_text(t, "node", a->setup->tree.node);
    jsontree_set_text(t, "state", mig_tgt_name(MIG_TGT_GONE));
    mig_link_send(link, wire_mig_encode(WIRE_MIG_WELCOME, t));
    jsontree_free(t);
    mig_link_close(link);
    forget_link(a, link);
}

static void take_control(MigAgent *a, MigLink *link, const WireMig *m)
{
    const char *id = jsontree_get_text(m->body, "id");
    uint32_t vmid = (uint32_t)jsontree_get_int(m->body, "vmid", 0);
    MigJob *j = find_job(a, false, id);
    g_autofree char *subject = mig_link_peer_subject(link);

    if (j == NULL && was_given_up(a, id)) {
        welcome_gone(a, link);
        return;
    }
    if (j == NULL &&
        (find_guest(a, false, vmid) != NULL || g_hash_table_size(a->jobs) >= MIG_JOBS_MAX * 2)) {
        refuse_link(a, link, EBUSY, "another migration of this guest is under way here");
        return;
    }
    if (j == NULL) {
        j = mig_job_new(a->setup, false, id, vmid, jsontree_get_text(m->body, "node"));
        add_job(a, j, mig_target_run);
    }
    mig_target_attach(j, link, subject);
    forget_link(a, link);
}

static void on_hello(void *ctx, MigLink *link, WireMig *m)
{
    MigAgent *a = ctx;
    const char *node = jsontree_get_text(m->body, "node");
    const char *id = jsontree_get_text(m->body, "id");
    const char *purpose = jsontree_get_text(m->body, "purpose");
    const char *volume = jsontree_get_text(m->body, "volume");
    g_autofree char *address = NULL;
    MigJob *j;
    Err err = ERR_INIT;

    if (m->type != WIRE_MIG_HELLO || !good_id(id)) {
        refuse_link(a, link, EPROTO, "no proper first message");
    } else if (jsontree_get_int(m->body, "oldest", 0) > WIRE_MIG_VERSION) {
        refuse_link(a, link, EPROTONOSUPPORT, "this agent is too old for you: update it first");
    } else if (!mig_link_peer_has_name(link, node)) {
        refuse_link(a, link, EACCES, "your certificate is not that of the node you say you are");
    } else if (mig_tree_member(&a->setup->tree, node, &address, &err) < 0) {
        refuse_link(a, link, EACCES, err_text(&err));
    } else if (strcmp(purpose, "control") == 0) {
        take_control(a, link, m);
    } else if (strcmp(purpose, "volume") == 0 && volume != NULL &&
               (j = find_job(a, false, id)) != NULL && strcmp(j->peer, node) == 0) {
        mig_target_volume(j, link, volume);
        forget_link(a, link);
    } else {
        refuse_link(a, link, EPROTO, "nothing is known of that migration");
    }
}

static void on_fresh_lost(void *ctx, MigLink *link, const Err *why)
{
    MigAgent *a = ctx;

    log_line(TRACE_INFO, "migrate", "connection from %s: %s", mig_link_peer_address(link),
             err_text(why));
    if (why->code == -EKEYREJECTED) {
        mig_agent_count(a, MIG_COUNT_LINKS_REFUSED, 1);
    }
    forget_link(a, link);
}

/* A flood, as a rule from one address: it drives its own connections out, not those of others. */
static void make_place(MigAgent *a)
{
    const char *addresses[MIG_JOBS_MAX];
    size_t n = 0;
    MigLink *link;

    for (GList *i = a->fresh->head; i != NULL && n < MIG_JOBS_MAX; i = i->next) {
        addresses[n++] = mig_link_peer_address(i->data);
    }
    link = g_queue_peek_nth(a->fresh, (guint)mig_crowd_leaves(addresses, n));
    if (!a->crowded) {
        log_line(TRACE_WARNING, "migrate",
                 "%u connections have not said who they are, most from %s: the oldest of these go",
                 a->fresh->length, mig_link_peer_address(link));
        a->crowded = true;
    }
    mig_agent_count(a, MIG_COUNT_LINKS_REFUSED, 1);
    mig_link_close(link);
    forget_link(a, link);
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer data);

static gboolean on_rested(gpointer data)
{
    MigAgent *a = data;

    a->listener_source = g_unix_fd_add(a->listener, G_IO_IN, on_connection, a);
    return G_SOURCE_REMOVE;
}

static bool is_short_of_something(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer data)
{
    MigAgent *a = data;
    MigIdentity me = {a->setup->tree.pve, a->setup->tree.node};
    MigLinkHandlers h = {NULL, on_hello, on_fresh_lost, a};
    MigLink *link = NULL;
    Err err = ERR_INIT;
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)condition;
    if (got < 0 && is_short_of_something(errno)) {
        /* It would go on being readable: the others of this thread would not get a turn. */
        log_line(TRACE_ERR, "migrate", "a connection cannot be accepted: %s", g_strerror(errno));
        a->listener_source = g_timeout_add(MIG_REST_MS, on_rested, a);
        return G_SOURCE_REMOVE;
    }
    if (got < 0) {
        return G_SOURCE_CONTINUE; /* it went away again */
    }
    if (a->fresh->length >= MIG_JOBS_MAX) {
        make_place(a);
    }
    if (mig_link_accept(NULL, &me, got, &h, &link, &err) < 0) {
        log_line(TRACE_ERR, "migrate", "%s", err_text(&err));
        return G_SOURCE_CONTINUE;
    }
    g_queue_push_tail(a->fresh, link);
    return G_SOURCE_CONTINUE;
}

static int open_listener(const char *address, unsigned port, Err *err)
{
    struct sockaddr_storage at;
    int size = mig_address_parse(address, port, &at);
    int one = 1, zero = 0;
    int fd;

    if (size < 0) {
        return err_setf(err, size, "'%s' is no address", address);
    }
    fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero); /* both families */
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, (socklen_t)size) < 0 ||
        listen(fd, 64) < 0) {
        int r = -errno;

        if (fd >= 0) {
            (void)close(fd); /* never was of use */
        }
        return err_setf(err, r, "port %u at %s: %s", port, address, g_strerror(-r));
    }
    return fd;
}

/* ---- the local socket ------------------------------------------------------------------------ */

static int make_id(char ret[MIG_ID_SIZE])
{
    uint8_t bytes[WIRE_MIG_ID_LEN / 2];

    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
        return -EIO;
    }
    for (guint i = 0; i < sizeof bytes; i++) {
        ret[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    ret[WIRE_MIG_ID_LEN] = '\0';
    return 0;
}

/* Value of `key=` in a property string such as "type=secure,network=10.0.0.0/24". */
static char *property(const char *text, const char *key)
{
    g_auto(GStrv) parts = g_strsplit(text != NULL ? text : "", ",", -1);

    for (int i = 0; parts[i] != NULL; i++) {
        char *part = g_strstrip(parts[i]);

        if (g_str_has_prefix(part, key) && part[strlen(key)] == '=') {
            return g_strdup(part + strlen(key) + 1);
        }
    }
    return NULL;
}

/* What the request leaves open comes from datacenter.cfg. */
static void add_defaults(MigAgent *a, MigRequest *q)
{
    g_autofree char *migration = mig_tree_datacenter(&a->setup->tree, "migration");
    g_autofree char *limits = mig_tree_datacenter(&a->setup->tree, "bwlimit");
    g_autofree char *network = property(migration, "network");
    g_autofree char *type = property(migration, "type");
    g_autofree char *limit = property(limits, "migration");
    g_autofree char *fallback = property(limits, "default");
    const char *text = limit != NULL ? limit : fallback;

    if (q->network[0] == '\0' && network != NULL) {
        (void)g_strlcpy(q->network, network, sizeof q->network);
    }
    if (!q->has_type && type != NULL) {
        q->insecure = strcmp(type, "insecure") == 0;
    }
    if (text != NULL) {
        q->bwlimit_kib = mig_least_limit(q->bwlimit_kib, g_ascii_strtoll(text, NULL, 10));
    }
}

static void ask_migrate(MigAgent *a, MigLocalClient *c, const JsonTree *t)
{
    MigRequest q;
    char id[MIG_ID_SIZE];
    MigJob *j;
    Err err = ERR_INIT;

    if (mig_request_read(t, &q, &err) < 0) {
        mig_local_fail(c, 2, err_text(&err));
        return;
    }
    if (find_guest(a, true, q.vmid) != NULL || find_guest(a, false, q.vmid) != NULL) {
        mig_local_fail(c, 5, "the guest is being moved already");
        return;
    }
    if (g_hash_table_size(a->jobs) >= MIG_JOBS_MAX || make_id(id) < 0) {
        mig_local_fail(c, 5, "too many migrations are under way on this node");
        return;
    }
    add_defaults(a, &q);
    j = mig_job_new(a->setup, true, id, q.vmid, q.target);
    j->request = q;
    j->source.dry_run = q.dry_run;
    j->source.policy = q.policy;
    j->source.timeout_ms = q.timeout_s * 1000;
    j->source.switch_ms = q.downtime_ms + MIG_SWITCH_MS;
    mig_local_watch(c, id);
    if (!q.dry_run) {
        mig_agent_count(a, MIG_COUNT_STARTED, 1);
    }
    add_job(a, j, mig_source_run);
}

static void say_tree(MigLocalClient *c, JsonTree *t)
{
    g_autoptr(GString) line = g_string_new(NULL);

    jsontree_append(line, t);
    jsontree_free(t);
    mig_local_say(c, line->str);
}

static void ask_cancel(MigAgent *a, MigLocalClient *c, const JsonTree *t)
{
    int64_t vmid = jsontree_get_int(t, "vmid", 0);
    MigJob *j = vmid > 0                       ? find_guest(a, true, (uint32_t)vmid)
                : mig_local_watched(c) != NULL ? find_job(a, true, mig_local_watched(c))
                                               : NULL;

    if (j == NULL) {
        if (vmid > 0) {
            mig_local_fail(c, 1, "no migration of this guest away from this node is under way");
        }
        return;
    }
    if (vmid > 0) {
        mig_local_watch(c, j->id);
    }
    mig_source_cancel(j);
}

static void ask_list(MigAgent *a, MigLocalClient *c)
{
    MigPortsUse use = mig_ports_use(a->setup->ports);
    JsonTree *t = jsontree_new_object();
    JsonTree *list = jsontree_new_array();
    GHashTableIter i;
    void *value;

    g_hash_table_iter_init(&i, a->jobs);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        MigJob *j = value;
        JsonTree *one = jsontree_new_object();

        g_mutex_lock(&j->lock);
        jsontree_set_int(one, "vmid", j->vmid);
        jsontree_set_text(one, "id", j->id);
        jsontree_set_text(one, "role", j->is_source ? "source" : "target");
        jsontree_set_text(one, "peer", j->peer);
        jsontree_set_text(one, "state", j->phase);
        g_mutex_unlock(&j->lock);
        jsontree_add(list, one);
    }
    jsontree_set_text(t, "event", "list");
    jsontree_set(t, "migrations", list);
    jsontree_set_int(t, "ports_total", use.total);
    jsontree_set_int(t, "ports_taken", use.taken);
    jsontree_set_int(t, "ports_waiting", use.waiting);
    say_tree(c, t);
}

static char *metrics_text(MigAgent *a)
{
    MigPortsUse use = mig_ports_use(a->setup->ports);
    GString *out = g_string_new(NULL);

    g_mutex_lock(&a->lock);
    for (int i = 0; i < MIG_COUNT_N; i++) {
        g_string_append_printf(out,
                               "# HELP quorate_migration_%s %s\n# TYPE quorate_migration_%s "
                               "counter\nquorate_migration_%s %" G_GINT64_FORMAT "\n",
                               counter_names[i].name, counter_names[i].text, counter_names[i].name,
                               counter_names[i].name, a->counters[i]);
    }
    g_mutex_unlock(&a->lock);
    g_string_append_printf(out,
                           "# HELP quorate_migration_running Migrations under way.\n"
                           "# TYPE quorate_migration_running gauge\n"
                           "quorate_migration_running %u\n"
                           "# HELP quorate_migration_ports_taken Ports in use.\n"
                           "# TYPE quorate_migration_ports_taken gauge\n"
                           "quorate_migration_ports_taken %u\n"
                           "# HELP quorate_migration_ports_waiting Requests in the queue.\n"
                           "# TYPE quorate_migration_ports_waiting gauge\n"
                           "quorate_migration_ports_waiting %u\n",
                           g_hash_table_size(a->jobs), use.taken, use.waiting);
    return g_string_free(out, FALSE);
}

static void on_ask(void *ctx, MigLocalClient *c, const JsonTree *t)
{
    MigAgent *a = ctx;
    const char *verb = jsontree_get_text(t, "verb");

    if (g_strcmp0(verb, "migrate") == 0) {
        ask_migrate(a, c, t);
    } else if (g_strcmp0(verb, "cancel") == 0) {
        ask_cancel(a, c, t);
    } else if (g_strcmp0(verb, "list") == 0) {
        ask_list(a, c);
    } else if (g_strcmp0(verb, "metrics") == 0) {
        g_autofree char *text = metrics_text(a);
        JsonTree *answer = jsontree_new_object();

        jsontree_set_text(answer, "event", "metrics");
        jsontree_set_text(answer, "text", text);
        say_tree(c, answer);
    } else {
        mig_local_fail(c, 2, "unknown verb");
    }
}

/* ---- journals -------------------------------------------------------------------------------- */

static void resume_source(MigAgent *a, const JsonTree *t)
{
    MigRequest q;
    MigJob *j;
    Err err = ERR_INIT;

    if (mig_request_read(jsontree_get(t, "request"), &q, &err) < 0) {
        log_line(TRACE_ERR, "migrate", "journal: %s", err_text(&err));
        return;
    }
    j = mig_job_new(a->setup, true, jsontree_get_text(t, "id"), q.vmid, q.target);
    j->request = q;
    j->restarted = true;
    j->guest_paused = jsontree_get_bool(t, "paused", false);
    j->source.online = jsontree_get_bool(t, "online", false);
    j->source.locked = jsontree_get_bool(t, "locked", true);
    j->source.prepared = jsontree_get_bool(t, "prepared", true);
    j->source.migrating = j->source.online && jsontree_get_bool(t, "prepared", true);
    j->source.linked = true;
    j->volumes = mig_volumes_restore(jsontree_get(t, "volumes"));
    add_job(a, j, mig_source_run);
}

static void resume_target(MigAgent *a, const JsonTree *t)
{
    const JsonTree *made = jsontree_get(t, "made");
    MigJob *j = mig_job_new(a->setup, false, jsontree_get_text(t, "id"),
                            (uint32_t)jsontree_get_int(t, "vmid", 0), jsontree_get_text(t, "peer"));

    j->restarted = true;
    j->target.online = jsontree_get_bool(t, "online", false);
    j->target.loaded = jsontree_get_bool(t, "loaded", false);
    j->target.running = jsontree_get_bool(t, "running", false);
    for (guint i = 0; i < jsontree_count(made); i++) {
        g_ptr_array_add(j->made, g_strdup(jsontree_text(jsontree_at(made, i))));
    }
    if (jsontree_get(t, "pairs") != NULL) {
        j->pairs = jsontree_copy(jsontree_get(t, "pairs"));
    }
    if (jsontree_get(t, "intents") != NULL) {
        j->intents = jsontree_copy(jsontree_get(t, "intents"));
    }
    add_job(a, j, mig_target_run);
}

static void resume_one(MigAgent *a, const char *path, bool is_source)
{
    g_autoptr(JsonTree) t = NULL;
    Err err = ERR_INIT;

    if (mig_journal_read(path, &t, &err) < 0 || !good_id(jsontree_get_text(t, "id")) ||
        jsontree_get_text(t, "peer") == NULL) {
        log_line(TRACE_ERR, "migrate", "%s cannot be used: %s; the guest stays locked", path,
                 err_text(&err));
        return;
    }
    log_line(TRACE_NOTICE, "migrate", "finding out about the move of guest %d (%s)",
             (int)jsontree_get_int(t, "vmid", 0), path);
    (is_source ? resume_source : resume_target)(a, t);
}

/* A source that still wants to know keeps its guest locked. The clock alone proves nothing: it may
 * have been set. */
static bool is_wanted(MigAgent *a, const char *path)
{
    g_autofree char *text = NULL;
    unsigned vmid = 0;
    Err err = ERR_INIT;

    if (cfsfile_read(path, TOMBSTONE_MAX, &text, NULL, &err) < 0) {
        return true;
    }
    return sscanf(text, "gone %u", &vmid) == 1 && mig_tree_moves(&a->setup->tree, vmid);
}

static void bury(MigAgent *a, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && clock_wall().sec - st.st_mtime > TOMBSTONE_DAYS * 24 * 3600 &&
        !is_wanted(a, path)) {
        (void)unlink(path); /* the next start tries again */
    }
}

/* What an agent was writing when it was killed; before any job writes its own. */
static void drop_unfinished(const char *state_dir, GDir *dir)
{
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(state_dir, name, NULL);

        if (strstr(name, ".tmp.") != NULL) {
            (void)unlink(path); /* the next start tries again */
        }
    }
}

static int resume_all(MigAgent *a, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GDir) dir = g_dir_open(a->setup->state_dir, 0, &gerror);
    const char *name;

    if (dir == NULL) {
        return err_setf(err, -EIO, "%s", gerror->message);
    }
    drop_unfinished(a->setup->state_dir, dir);
    g_dir_rewind(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(a->setup->state_dir, name, NULL);

        if (g_str_has_suffix(name, ".source")) {
            resume_one(a, path, true);
        } else if (g_str_has_suffix(name, ".target")) {
            resume_one(a, path, false);
        } else if (g_str_has_suffix(name, ".gone")) {
            bury(a, path);
        }
    }
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void unref_job(void *j)
{
    mig_job_unref(j);
}

int mig_agent_new(MigSetup *setup, MigAgent **ret, Err *err)
{
    const char *const dirs[] = {setup->own_run, setup->state_dir, setup->log_dir};
    MigAgent *a;

    for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
        if (g_mkdir_with_parents(dirs[i], 0755) < 0) {
            int r = -errno;

            return err_setf(err, r, "%s: %s", dirs[i], g_strerror(-r));
        }
    }
    a = g_new0(MigAgent, 1);
    a->setup = setup;
    a->listener = -1;
    a->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_job);
    a->fresh = g_queue_new();
    a->streams = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&a->lock);
    setup->agent = a;
    setup->ports = mig_ports_new(setup->port_first, setup->port_last);
    setup->hosts = mig_hosts_new();
    *ret = a;
    return 0;
}

int mig_agent_start(MigAgent *a, const char *listen_at, Err *err)
{
    g_autofree char *path = g_build_filename(a->setup->own_run, "migration.sock", NULL);
    int r = mig_tls_qemu_dir(a->setup->tree.pve, a->setup->tree.node, a->setup->tls_dir, err);

    if (r < 0 || (r = resume_all(a, err)) < 0) {
        return r;
    }
    r = open_listener(listen_at, MIG_PORT_CONTROL, err);
    if (r == -EAFNOSUPPORT && strcmp(listen_at, "::") == 0) {
        r = open_listener("0.0.0.0", MIG_PORT_CONTROL, err); /* a kernel without IPv6 */
    }
    if (r < 0) {
        return r;
    }
    mig_hosts_warm(a->setup->hosts);
    a->listener = r;
    a->listener_source = g_unix_fd_add(a->listener, G_IO_IN, on_connection, a);
    return mig_local_new(path, on_ask, a, &a->local, err);
}

/* Jobs are not waited for: their journals tell the next daemon. */
void mig_agent_free(MigAgent *a)
{
    if (a == NULL) {
        return;
    }
    if (a->listener >= 0) {
        (void)g_source_remove(a->listener_source);
        (void)close(a->listener); /* a listening socket */
    }
    mig_local_free(a->local);
}
