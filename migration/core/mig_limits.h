/* SPDX-License-Identifier: Apache-2.0 */
/* mig_limits: every bound and every waiting time of a migration, with its reason. */
#ifndef MIGRATION_CORE_MIG_LIMITS_H
#define MIGRATION_CORE_MIG_LIMITS_H

#define MIG_PORT_CONTROL 60000u /* agents talk here; the documented range starts with it */
#define MIG_PORT_FIRST   60001u /* streams of QEMU */
#define MIG_PORT_LAST    60050u

#define MIG_PING_MS 1000 /* both sides, all the time */
#define MIG_LOST_MS 5000 /* nothing heard for so long: the other agent counts as lost */
/* Who connects and has not said who it is by then has lost its place. */
#define MIG_HELLO_MS 10000
/* Without a descriptor or memory for a connection none is accepted for so long. */
#define MIG_REST_MS 1000

/* A target that has the guest complete and hears nothing more looks this long for the configuration
 * in its own directory; then it ends its QEMU. */
#define MIG_HOLD_MS 20000
/* So long after it lost the target the source is sure that the target has ended its QEMU: it may
 * have noticed the loss MIG_LOST_MS later, and waits MIG_HOLD_MS. The rest is margin. */
#define MIG_LEASE_MS (MIG_LOST_MS + MIG_HOLD_MS + 10000)

#define MIG_RETRY_MS     1000  /* between tries of what must be done in the end */
#define MIG_PLACE_MS     200   /* between looks of a target that is alone */
#define MIG_REPORT_MS    60000 /* a target unreachable for so long: tell the user, go on trying */
#define MIG_UNLOCK_MS    30000 /* a target that runs the guest and hears nothing unlocks it */
#define MIG_FINISH_TRIES 60    /* at saying goodbye to a target that does not answer */

#define MIG_DOWNTIME_MS     300     /* promise when none is given */
#define MIG_DOWNTIME_MIN_MS 20      /* no QEMU keeps less */
#define MIG_DOWNTIME_MAX_MS 2000000 /* QEMU's own limit */
#define MIG_SWITCH_COST_MS                                                                         \
    60                    /* of the promise kept back for what QEMU does not count: end of         \
                             the mirrors, rename, a round trip, cont */
#define MIG_DOWNTIME_FIRST_MS                                                                      \
    30 /* QEMU stops the guest as soon as the rest fits into what it may take: so it is given      \
          little at first, and twice as much with each pass that does not come to an end */
/* The guest stands still: so much longer than was promised, and the move is taken back. It is what
 * a target is given that freezes with the last of the memory, or of a disk, on its way. */
#define MIG_SWITCH_MS 5000
/* Disks of which nothing goes through for so long (and for as long as a limited one may need for
 * one piece) have a target that does not answer. */
#define MIG_STALL_MS    60000
#define MIG_STALL_PIECE ((int64_t)16 << 20)
#define MIG_TIMEOUT_S 600 /* until the stated policy decides; never endless */

#define MIG_CHANNELS_MAX 16 /* of multifd: more only cost memory */
#define MIG_JOBS_MAX     64 /* of one agent, both roles; more are refused */
#define MIG_VOLUMES_MAX  64 /* of a guest */
#define MIG_TEXT_MAX     512
#define MIG_ID_SIZE      33 /* 32 hex digits and the NUL */
#define MIG_NODE_SIZE    64

#endif
