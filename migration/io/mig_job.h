/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_job: one guest on its way, seen from one side: a thread with a context of its own, which
 * performs what the pure machine says. Links live on the daemon's main thread; what they hear is
 * handed to the thread of the job in order.
 */
#ifndef MIGRATION_IO_MIG_JOB_H
#define MIGRATION_IO_MIG_JOB_H

#include "lib/base/jsontree.h"
#include "lib/wire/wire_migration.h"
#include "migration/core/mig_limits.h"
#include "migration/core/mig_request.h"
#include "migration/core/mig_source.h"
#include "migration/core/mig_target.h"
#include "migration/core/mig_volumes.h"
#include "migration/io/mig_host.h"
#include "migration/io/mig_link.h"
#include "migration/io/mig_ports.h"
#include "migration/io/mig_qemu.h"
#include "migration/io/mig_tree.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigAgent MigAgent;

/* What all jobs of a daemon share; never changes while it runs. */
typedef struct MigSetup {
    MigTree tree;
    const char *run_dir;   /* of the guests: /var/run/qemu-server */
    const char *own_run;   /* /run/quorate */
    const char *state_dir; /* /var/lib/quorate/migration */
    const char *log_dir;   /* /var/log/quorate */
    const char *tls_dir;   /* certificates for QEMU */
    const char *qm, *pvesm;
    unsigned port_first, port_last; /* of the streams */
    int64_t bwlimit_kib;            /* of all moves away from this node together; 0: none */
    MigPorts *ports;
    MigHosts *hosts;
    MigAgent *agent;
} MigSetup;

typedef struct MigStats {
    MonoTime began, moved_from;
    int64_t transferred, total, remaining, rate, dirty_rate, disk_done, disk_total;
    int64_t expected_downtime_ms, downtime_ms, stopped_ms, throttle, total_ms, setup_ms;
    int64_t link_speed; /* measured, bytes per second; 0: not */
    bool dirty_known;
    MonoTime stopped_at;
    int64_t phase_us[MIG_SRC_N]; /* time spent in each state of the source */
    MonoTime phase_began;
    MonoTime disks_moved; /* when something of a disk last got through */
} MigStats;

typedef struct MigJob MigJob;
struct MigJob {
    const MigSetup *setup;
    bool is_source;
    char id[MIG_ID_SIZE];
    uint32_t vmid;
    char peer[MIG_NODE_SIZE]; /* the other node */
    gint refs;
    GThread *thread;
    GMainContext *context;
    GQueue *inbox; /* MigNote *: not yet seen by the machine; job thread only */
    MigLink *link; /* job thread only; NULL: none */
    MigQemu *qemu;
    GSource *alarm;   /* deadline of the machine */
    bool link_lost;   /* for loops inside an operation */
    bool interrupted; /* the machine wants the running operation to end */
    bool journal_failed;
    unsigned seq; /* of the operation under way: ends of older ones do not count */
    bool restarted;
    gint worker; /* 1 while a command runs on its own thread */

    /* Source. */
    MigRequest request;
    MigSource source;
    MigVolumes *volumes; /* local ones that move */
    char *config, *machine, *cpu, *peer_subject;
    JsonTree *peer_facts, *problems, *capabilities;
    char *stream_host;
    unsigned stream_port, nbd_port, channels;
    bool compress, guest_paused, asked_mirrors;
    bool guest_stands; /* so it is, or asleep */
    int64_t speed_set; /* limit of the memory or the mirrors as QEMU knows it */
    GSource *poll;
    MigStats stats;
    bool bounded; /* what waits in the sockets of a compressed stream is */
    gint copy_stop; /* 1: streams of volumes shall end */

    /* Target. */
    MigTarget target;
    JsonTree *ask;      /* body of the message being worked on */
    JsonTree *asked;    /* body of `prepare` */
    MigLease *lease[2]; /* ports: memory, disks */
    char *start_config, *listen;
    bool secure, source_paused;
    bool not_ha;         /* when it was complete, the guest was not HA's */
    GPtrArray *made;     /* char *: volumes made here */
    JsonTree *pairs;     /* {old, new} of those whose name changed; NULL: none */
    JsonTree *pairs_all; /* {old, new} of all */
    JsonTree *intents;   /* {storage, before}: where volumes were to be made; NULL: nowhere */
    guint at;            /* of an operation with several steps */
    bool allocating, renaming;
    gint streams; /* volumes that are coming in */
    bool resumed;

    GMutex lock; /* of what others look at */
    char phase[32];
    char *last_progress; /* JSON */
    bool ended;
    int exit_code;
};

MigJob *
mig_job_new(const MigSetup *setup, bool is_source, const char *id, uint32_t vmid, const char *peer);
MigJob *mig_job_ref(MigJob *j);
void mig_job_unref(MigJob *j); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigJob, mig_job_unref)

/* Starts the thread: `run` until it returns. */
void mig_job_start(MigJob *j, void (*run)(MigJob *j));

/* When its thread has been joined, on the main thread: closes connections that came for the job
 * after it had looked for the last time. Nobody would answer on them, and their handlers are the
 * job's. */
void mig_job_refuse_late(MigJob *j);

/* Runs on the thread of the context, later, in order. Any thread. */
void mig_post(GMainContext *context, GSourceFunc f, void *data, GDestroyNotify free_data);

/* ---- for both machines */

/* A note for the machine: number of an event (MigEventKind or MigTevKind), operation, result. */
typedef struct MigNote {
    int kind, op, r;
    unsigned seq;
    char *text;
    MigLink *link;   /* of a message or of news about a link; owned */
    WireMig message; /* for MIG_NOTE_MESSAGE */
} MigNote;

/* Kinds beyond those of the machines. */
enum {
    MIG_NOTE_READY = 100, /* a link has shaken hands */
    MIG_NOTE_MESSAGE,     /* a link brought a message */
    MIG_NOTE_UNLINKED,    /* a link was lost */
    MIG_NOTE_COMMAND,     /* a command of an operation with several steps has ended */
    MIG_NOTE_POLL,        /* time to look at QEMU */
    MIG_NOTE_QEMU,        /* `text`: new status of the stream */
    MIG_NOTE_PASS,        /* `r`: number of the stream's pass over the memory */
    MIG_NOTE_QEMU_GONE,
};
void mig_note_free(MigNote *n);
/* From the job's thread. */
void mig_job_note(MigJob *j, int kind, int op, int r, const char *text);
/* From any thread; `seq` of the operation it belongs to. */
void mig_job_note_later(MigJob *j, int kind, int op, int r, unsigned seq, const char *text);
/* The next note, or NULL after one turn of the context; ends of operations that were given up are
 * dropped (kind `done_kind`). The caller frees. */
MigNote *mig_job_next(MigJob *j, int done_kind);

/* Handlers for a link of this job: what it hears comes as notes. Each holds a reference of the job
 * until the link is closed or lost. */
MigLinkHandlers mig_job_link_handlers(MigJob *j);

/* Process id of the guest's QEMU by its pid file, 0: there is none. */
int64_t mig_job_qemu_pid(const MigJob *j);

/* Sends over the link, if there is one. Takes `body` (may be NULL). */
void mig_job_send(MigJob *j, WireMigType type, JsonTree *body);

/* A line for the log of the task, the daemon's log and who watches. */
void mig_job_say(MigJob *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For both logs only: who watches is told by the event that ends the move. */
void mig_job_log(MigJob *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Progress for who watches; takes `t`. */
void mig_job_progress(MigJob *j, JsonTree *t);

/* Sets the alarm to the machine's deadline. */
void mig_job_alarm(MigJob *j, MonoTime deadline, int tick_kind);

/* Runs a command on a thread of its own; its end comes as MigNote (kind, op). On success `text` is
 * its standard output, on failure its last words. `argv` is copied. */
void mig_job_command(MigJob *j, int kind, int op, const char *const *argv, unsigned timeout_ms);

/* The journal of a job: state_dir/ID.source or .target. */
int mig_journal_write(MigJob *j, JsonTree *extra, Err *err) must_check;
void mig_journal_forget(MigJob *j);
int mig_journal_read(const char *path, JsonTree **ret, Err *err) must_check;

/* ---- the two sides */

void mig_source_run(MigJob *j); /* thread function; from request or journal */
void mig_target_run(MigJob *j);

/* From the main thread: the link of a target's job (again), by whom it was proven to be. */
void mig_target_attach(MigJob *j, MigLink *link, const char *subject);
/* From the main thread: a volume comes in over a connection of its own. */
void mig_target_volume(MigJob *j, MigLink *link, const char *volume);

/* From any thread. */
void mig_source_cancel(MigJob *j);

#endif
