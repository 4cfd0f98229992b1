/* SPDX-License-Identifier: Apache-2.0 */
/* The target's QEMU: started so that it waits, given its sockets, and let run. */
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "migration/core/mig_caps.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_target_ops.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define START_MS 120000
#define PAUSE_MS 5000

static void on_migration(void *ctx, const char *status)
{
    mig_job_note(ctx, MIG_NOTE_QEMU, 0, 0, status);
}

static void on_gone(void *ctx, const char *why)
{
    g_autofree char *text = g_strdup_printf("QEMU has ended (%s)", why);

    mig_job_note(ctx, MIG_NOTE_QEMU_GONE, 0, 0, text);
}

static int open_qemu(MigJob *j, Err *err)
{
    MigQemuHandlers h = {.migration = on_migration, .gone = on_gone, .ctx = j};

    if (mig_qemu_alive(j->qemu)) {
        return 0;
    }
    mig_qemu_free(g_steal_pointer(&j->qemu));
    return mig_qemu_open(j->context, j->setup->run_dir, j->vmid, &h, &j->qemu, err);
}

/* ---- starting -------------------------------------------------------------------------------- */

void mig_target_start(MigJob *j)
{
    const MigSetup *s = j->setup;
    const char *config = jsontree_get_text(j->ask, "config");
    const char *machine = jsontree_get_text(j->ask, "machine");
    const char *cpu = jsontree_get_text(j->ask, "cpu");
    g_autofree char *vmid = g_strdup_printf("%u", j->vmid);
    const char *argv[20];
    int n = 0;
    Err err = ERR_INIT;
    int r;

    g_free(j->start_config);
    j->start_config = g_strdup_printf("%s/migrate-%u.conf", s->own_run, j->vmid);
    (void)unlink(j->start_config); /* of an earlier life */
    r = cfsfile_write(j->start_config, config, strlen(config), &err);
    if (r < 0) {
        mig_target_done(j, MIG_TOP_START, r, err_text(&err));
        return;
    }
    argv[n++] = s->qm;
    argv[n++] = "start";
    argv[n++] = vmid;
    argv[n++] = "--skiplock";
    argv[n++] = "--migratedfrom";
    argv[n++] = j->peer;
    argv[n++] = "--stateuri";
    argv[n++] = "defer";
    argv[n++] = "--config";
    argv[n++] = j->start_config;
    if (machine != NULL && *machine != '\0') {
        argv[n++] = "--machine";
        argv[n++] = machine;
    }
    if (cpu != NULL && *cpu != '\0') {
        argv[n++] = "--force-cpu"; /* what the guest has, whatever the configuration became */
        argv[n++] = cpu;
    }
    argv[n] = NULL;
    mig_job_command(j, MIG_NOTE_COMMAND, MIG_TOP_START, argv, START_MS);
}

/* Names of the migration capabilities of our QEMU; NULL on failure. */
static JsonTree *own_capabilities(MigJob *j, Err *err)
{
    g_autoptr(GPtrArray) names = NULL;
    JsonTree *list;

    if (mig_qemu_capabilities(j->qemu, &names, err) < 0) {
        return NULL;
    }
    list = jsontree_new_array();
    for (guint i = 0; i < names->len; i++) {
        jsontree_add(list, jsontree_new_text(g_ptr_array_index(names, i)));
    }
    return list;
}

/* What both QEMUs have; the source comes to the same with our list. Disks are activated when the
 * guest is told to run; one that stands still would keep them as they came, and QEMU 7.2 ends with
 * a failed assertion when such a guest is moved on. So its disks are activated when it is complete,
 * which is when the source has given them up. */
static int set_capabilities(MigJob *j, MigCaps *ret, Err *err)
{
    g_autoptr(JsonTree) own = own_capabilities(j, err);
    const char *on[6] = {"events", "return-path"};
    guint n = 2;
    int r;

    *ret = (MigCaps){.multifd = jsontree_get_int(j->ask, "channels", 0) > 0,
                     .postcopy = jsontree_get_bool(j->ask, "postcopy", false)};
    if (own == NULL) {
        return err->code;
    }
    r = mig_caps_agree(jsontree_get(j->ask, "capabilities"), j->peer, own, j->setup->tree.node, ret,
                       err);
    if (r < 0) {
        return r;
    }
    if (!jsontree_get_bool(j->ask, "stands", false)) {
        on[n++] = "late-block-activate";
    }
    if (ret->multifd) {
        on[n++] = "multifd";
    }
    if (ret->postcopy) {
        on[n++] = "postcopy-ram";
    }
    on[n] = NULL;
    return mig_qemu_set_capabilities(j->qemu, on, err);
}

static int set_parameters(MigJob *j, const MigCaps *caps, Err *err)
{
    JsonTree *a = jsontree_new_object();

    jsontree_set_text(a, "tls-creds", j->secure ? "migtls" : "");
    jsontree_set_text(a, "tls-authz", j->secure && j->peer_subject != NULL ? "migauth" : "");
    if (caps->multifd) {
        jsontree_set_int(a, "multifd-channels", jsontree_get_int(j->ask, "channels", 0));
        jsontree_set_text(a, "multifd-compression", jsontree_get_text(j->ask, "compression"));
    }
    return mig_qemu_call(j->qemu, "migrate-set-parameters", a, NULL, err);
}

static int credentials(MigJob *j, Err *err)
{
    int r;

    if (!j->secure) {
        return 0;
    }
    r = mig_qemu_tls(j->qemu, j->setup->tls_dir, "server", err);
    if (r == 0 && j->peer_subject != NULL) {
        r = mig_qemu_tls_peer(j->qemu, j->peer_subject, err);
    }
    return r;
}

static int give_socket(MigJob *j, MigLease *lease, const char *name, Err *err)
{
    int r = lease != NULL && lease->fd >= 0
                ? mig_qemu_give_fd(j->qemu, name, lease->fd, err)
                : err_setf(err, -EBADF, "no port is reserved for the %s stream", name);

    if (r == 0) {
        mig_lease_close_fd(lease); /* QEMU has it; when QEMU ends, so does the socket */
    }
    return r;
}

/* Memory that shrinks to a hundredth must not wait by the megabyte in sockets: the source takes it
 * for sent, stops the guest, and it stands still until all of that is unpacked. Connections inherit
 * it from the socket that listens. */
static void bound_arrivals(MigJob *j)
{
    const char *compression = jsontree_get_text(j->ask, "compression");
    int room = mig_socket_room(j->link != NULL ? mig_link_rtt_us(j->link) : -1);

    if (compression != NULL && strcmp(compression, "none") != 0 && j->lease[0] != NULL &&
        setsockopt(j->lease[0]->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0) {
        mig_job_say(j, "the buffer of the memory stream: %s", g_strerror(errno));
    }
}

static int listen_for_memory(MigJob *j, Err *err)
{
    JsonTree *a;
    int r;

    bound_arrivals(j);
    r = give_socket(j, j->lease[0], "memory", err);
    if (r < 0) {
        return r;
    }
    a = jsontree_new_object();
    jsontree_set_text(a, "uri", "tcp:fd:memory"); /* a listening socket by the name of getfd */
    return mig_qemu_call(j->qemu, "migrate-incoming", a, NULL, err);
}

static int listen_for_disks(MigJob *j, Err *err)
{
    JsonTree *a, *address, *data;
    int r = give_socket(j, j->lease[1], "disks", err);

    if (r < 0) {
        return r;
    }
    data = jsontree_new_object();
    jsontree_set_text(data, "str", "disks");
    address = jsontree_new_object();
    jsontree_set_text(address, "type", "fd");
    jsontree_set(address, "data", data);
    a = jsontree_new_object();
    jsontree_set(a, "addr", address);
    if (j->secure) {
        jsontree_set_text(a, "tls-creds", "migtls");
        if (j->peer_subject != NULL) {
            jsontree_set_text(a, "tls-authz", "migauth");
        }
    }
    return mig_qemu_call(j->qemu, "nbd-server-start", a, NULL, err);
}

static int export_drive(MigJob *j, const char *ds, Err *err)
{
    g_autofree char *name = g_strdup_printf("drive-%s", ds);
    g_autofree char *node = NULL;
    JsonTree *a;
    int64_t size = 0;
    int r = mig_qemu_drive_node(j->qemu, ds, &node, &size, err);

    if (r < 0) {
        return r;
    }
    a = jsontree_new_object();
    jsontree_set_text(a, "id", name);
    jsontree_set_text(a, "type", "nbd");
    jsontree_set_text(a, "node-name", node);
    jsontree_set_text(a, "name", name);
    jsontree_set_bool(a, "writable", true);
    return mig_qemu_call(j->qemu, "block-export-add", a, NULL, err);
}

static int make_ready(MigJob *j, Err *err)
{
    const JsonTree *exports = jsontree_get(j->ask, "exports");
    MigCaps caps;
    int r;

    if ((r = open_qemu(j, err)) < 0 || (r = credentials(j, err)) < 0 ||
        (r = set_capabilities(j, &caps, err)) < 0 || (r = set_parameters(j, &caps, err)) < 0 ||
        (r = listen_for_memory(j, err)) < 0) {
        return r;
    }
    if (jsontree_count(exports) > 0) {
        r = listen_for_disks(j, err);
    }
    for (guint i = 0; r == 0 && i < jsontree_count(exports); i++) {
        const char *ds = jsontree_text(jsontree_at(exports, i));

        r = ds != NULL ? export_drive(j, ds, err) : err_setf(err, -EBADMSG, "a drive without name");
    }
    return r;
}

static int answer_started(MigJob *j, Err *err)
{
    JsonTree *list = own_capabilities(j, err);
    JsonTree *t;

    if (list == NULL) {
        return err->code;
    }
    t = jsontree_new_object();
    jsontree_set_text(t, "host", j->listen);
    jsontree_set_int(t, "port", j->lease[0]->port);
    jsontree_set_int(t, "nbd_port", j->lease[1] != NULL ? j->lease[1]->port : 0);
    jsontree_set(t, "capabilities", list);
    jsontree_set(t, "exports", jsontree_new_array());
    mig_job_send(j, WIRE_MIG_STARTED, t);
    return 0;
}

void mig_target_start_command(MigJob *j, const MigNote *n)
{
    Err err = ERR_INIT;
    int r = n->r;

    if (r < 0) {
        (void)err_setf(&err, r, "%s", n->text != NULL && *n->text != '\0' ? n->text : "qm start");
    } else {
        r = make_ready(j, &err);
    }
    (void)unlink(j->start_config); /* only for the start */
    if (r == 0) {
        r = answer_started(j, &err);
    }
    mig_target_done(j, MIG_TOP_START, r, r < 0 ? err_text(&err) : NULL);
}

/* ---- running --------------------------------------------------------------------------------- */

static void stop_exports(MigJob *j)
{
    Err err = ERR_INIT;

    if (j->lease[1] != NULL && mig_qemu_call(j->qemu, "nbd-server-stop", NULL, NULL, &err) < 0) {
        mig_job_say(j, "%s", err_text(&err)); /* then `cont` says what stands in the way */
    }
}

/* A guest that came to an end of its own on its way is not begun again. Has it? */
static bool is_at_its_end(MigJob *j)
{
    Err err = ERR_INIT;
    g_autofree char *state = mig_qemu_run_state(j->qemu, &err);

    if (g_strcmp0(state, "shutdown") == 0) {
        mig_job_say(j, "the guest has shut down on its way: it is stopped here");
        if (mig_qemu_call(j->qemu, "quit", NULL, NULL, &err) < 0 && mig_qemu_alive(j->qemu)) {
            mig_job_say(j, "ending QEMU: %s", err_text(&err));
        }
        return true;
    }
    if (g_strcmp0(state, "guest-panicked") == 0 || g_strcmp0(state, "internal-error") == 0) {
        mig_job_say(j, "the guest has crashed on its way (%s): it is left as it is", state);
        return true;
    }
    return false;
}

static int let_run(MigJob *j, Err *err)
{
    /* The lease may have been lost since the first look: the source takes the guest back then. */
    int r = mig_target_guarded(j, err);

    if (r == 0) {
        r = open_qemu(j, err);
    }
    if (r == 0) {
        r = mig_qemu_answers(j->qemu, MIG_LOST_MS, err); /* one that is frozen is told nothing */
    }
    if (r < 0) {
        return r;
    }
    stop_exports(j);
    if (j->pairs != NULL &&
        (r = mig_tree_settle(&j->setup->tree, j->vmid, j->pairs, false, err)) < 0) {
        mig_job_say(j, "the new names of the volumes: %s", err_text(err)); /* with `unlock` again */
        r = 0;
    }
    if (j->source_paused || is_at_its_end(j)) {
        return 0;
    }
    r = mig_qemu_call(j->qemu, "cont", NULL, NULL, err);
    if (r == -ETIMEDOUT || (r < 0 && !mig_qemu_alive(j->qemu))) {
        mig_job_say(j, "QEMU ended or froze as the guest began to run: %s", err_text(err));
        r = 0; /* it may have run: it is this node's, whatever becomes of it */
    }
    return r;
}

void mig_target_qemu_run(MigJob *j)
{
    Err err = ERR_INIT;
    int r = j->target.online ? let_run(j, &err) : 0;

    mig_target_done(j, MIG_TOP_RUN, r, r < 0 ? err_text(&err) : NULL);
    if (r == 0 && !j->target.postcopy) {
        mig_lease_free(g_steal_pointer(&j->lease[0]));
        mig_lease_free(g_steal_pointer(&j->lease[1]));
    }
}

/* The old stream must be given up on this side, too. */
static int wait_paused(MigJob *j, Err *err)
{
    MonoTime until = mono_add_ms(clock_mono(), PAUSE_MS);
    Err ignored = ERR_INIT;

    for (;;) {
        g_autoptr(JsonTree) t = mig_qemu_query_migrate(j->qemu, err);
        const char *status = jsontree_get_text(t, "status");

        if (t == NULL) {
            return err->code;
        }
        if (g_strcmp0(status, "postcopy-paused") == 0) {
            return 0;
        }
        if (g_strcmp0(status, "completed") == 0) {
            return err_setf(err, -EALREADY, "all of the guest is here already");
        }
        if (!mono_before(clock_mono(), until)) {
            return err_setf(err, -ETIMEDOUT, "post-copy does not pause (%s)",
                            status != NULL ? status : "no status");
        }
        if (mig_qemu_call(j->qemu, "migrate-pause", NULL, NULL, &ignored) < 0) {
            g_usleep(50000); /* it is on its way */
        }
    }
}

void mig_target_new_stream(MigJob *j)
{
    Err err = ERR_INIT;
    unsigned position = 0;
    JsonTree *a, *t;
    int r;

    mig_lease_free(g_steal_pointer(&j->lease[0]));
    r = wait_paused(j, &err);
    if (r == 0) {
        r = mig_ports_take(j->setup->ports, j->listen, j, &position, &j->lease[0], &err);
    }
    if (r == 0) {
        r = give_socket(j, j->lease[0], "memory", &err);
    }
    if (r == 0) {
        a = jsontree_new_object();
        jsontree_set_text(a, "uri", "tcp:fd:memory");
        r = mig_qemu_call(j->qemu, "migrate-recover", a, NULL, &err);
    }
    mig_ports_leave(j->setup->ports, j);
    if (r == 0) {
        t = jsontree_new_object();
        jsontree_set_text(t, "host", j->listen);
        jsontree_set_int(t, "port", j->lease[0]->port);
        mig_job_send(j, WIRE_MIG_RECOVERED, t);
    }
    mig_target_done(j, MIG_TOP_RECOVER, r, r < 0 ? err_text(&err) : NULL);
}

/* QEMU is gone. A guest that was complete may have run for a moment: if it is this node's, it did,
 * as far as anybody knows, and the source must not go on with what is older. Without quorum nobody
 * knows whose it is, and nobody can change it. */
static int find_without_qemu(MigJob *j)
{
    Err err = ERR_INIT;
    int place;

    if (j->target.running) {
        return MIG_FOUND_RUNNING;
    }
    if (!j->target.loaded) {
        return MIG_FOUND_NO_QEMU;
    }
    while ((place = mig_tree_place(&j->setup->tree, j->peer, j->vmid, &err)) < 0) {
        g_usleep(MIG_RETRY_MS * 1000);
    }
    return place == MIG_PLACE_OWN ? MIG_FOUND_RUNNING : MIG_FOUND_NO_QEMU;
}

int mig_target_find(MigJob *j)
{
    Err err = ERR_INIT;
    g_autofree char *state = NULL;
    g_autoptr(JsonTree) t = NULL;

    if (!j->target.online) {
        return j->target.running ? MIG_FOUND_RUNNING : MIG_FOUND_NO_QEMU;
    }
    if (open_qemu(j, &err) < 0 || (state = mig_qemu_run_state(j->qemu, &err)) == NULL) {
        return find_without_qemu(j);
    }
    if (strcmp(state, "running") == 0 || j->target.running) {
        return MIG_FOUND_RUNNING;
    }
    t = mig_qemu_query_migrate(j->qemu, &err);
    return g_strcmp0(jsontree_get_text(t, "status"), "completed") == 0 ? MIG_FOUND_LOADED
                                                                       : MIG_FOUND_INCOMING;
}
