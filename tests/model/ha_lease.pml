/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence protocol of one node and the rest of the cluster: lease, watchdog, guests, takeover.
 * An independent check of what ha-manager/core/ha_timing.h claims: no service runs twice (INV-5)
 * and none is recovered before its node is proven to have stopped it (INV-6).
 *
 * Node A runs the service. Its LRM takes a time t0, renews the lease, feeds the watchdog as of t0,
 * and starts the guest; between any two of these steps any time may pass (every process of this
 * model may be delayed for as long as the clock lets it). The multiplexer looks at the age of the
 * feeding and pets the device, with any delay between the two. Only the device is punctual: the
 * clock does not pass the moment at which it fires. The master on the other side takes the lease
 * when it has seen no renewal for LEASE, or after a confirmed fence, or after A came back with a
 * new boot id, or when A gave the lease back; then it starts the service on B.
 *
 * All times are whole steps, given by the test from the timing table: LEASE rounded down and with
 * the drift of both clocks taken off, the others rounded up.
 *
 *   LEASE  CLIENT  MUX_TICK  DEVICE  WINDOW
 *
 * Defects, one at a time, to show that the properties can fail: FEED_AS_OF_NOW, CHECK_BEFORE_FEED
 * (and not after it), FEED_FIRST, RELEASE_UNSTOPPED, FENCE_UNCONFIRMED, BOOT_ID_OLD, IGNORE_MARK,
 * FREE_UNMARKED.
 * VACUOUS asks for a run in which the service does get to B: must be found.
 */
#ifndef LEASE
#define LEASE 11
#define CLIENT 6
#define MUX_TICK 1
#define DEVICE 1
#define WINDOW 3
#endif

#define NOBODY 0
#define NODE_A 1
#define MASTER 2

bool a_up = true;        /* the machine A has power and runs */
bool a_linked = true;    /* A is in the quorate part */
bool runs_a = false;     /* the guest runs on A */
bool runs_b = false;
byte owner = NOBODY;     /* of A's agent lock */
byte config_at = NODE_A; /* whose directory the guest's configuration is in */
byte renew_age = 0;      /* since the last renewal of the lock, at the master's clock */
byte fed_age = 0;        /* since the t0 of the last feeding */
byte t0_age = 0;         /* since the LRM read the clock */
byte dev_age = 0;        /* since the multiplexer pet the device */
bool wd_open = false;    /* the LRM is a client of the multiplexer */
bool wd_dead = false;    /* the multiplexer has stopped petting, for good */
bool died = false;       /* A was reset and its LRM has not begun anew */
bool fresh = false;      /* renewed since the master looked */
bool mark = false;       /* the master is about to take the lease: NAME.take is there */
bool kept = false;       /* the master has taken it and keeps NAME.take until all is written */
bool old_boot = false;   /* the lease was taken by an earlier boot of A than this one */

#define RUNS (a_up && !died)
#ifdef FEED_AS_OF_NOW
#define FEED fed_age = 0
#else
#define FEED fed_age = t0_age
#endif
#ifdef IGNORE_MARK
#define LEASE_IS_MINE true
#else
#define LEASE_IS_MINE (a_linked && !mark && owner == NODE_A)
#endif
#ifdef CHECK_BEFORE_FEED
#define MAY_START true
#else
#define MAY_START (t0_age <= WINDOW)
#endif

inline reset_a()
{
    runs_a = false;
    a_up = false;
    wd_open = false;
    wd_dead = false;
    fed_age = 0;
    dev_age = 0;
    t0_age = 0;
    died = true;
    old_boot = (owner == NODE_A)
}

/* Above `limit` all ages are the same; what nobody looks at stays as it is: fewer states. */
inline older(age, limit)
{
    if
    :: age < limit -> age++
    :: else
    fi
}

/* Time passes, but not over the moment at which the device fires. */
active proctype Clock()
{
    do
    :: d_step { !(a_up && wd_open && dev_age >= DEVICE) ->
           if :: owner == NODE_A -> older(renew_age, LEASE) :: else fi;
           if
           :: wd_open -> older(fed_age, CLIENT + 1); older(dev_age, DEVICE)
           :: else
           fi;
           if :: RUNS -> older(t0_age, CLIENT + 1) :: else fi }
    od
}

active proctype Device()
{
    do
    :: d_step { a_up && wd_open && dev_age >= DEVICE -> reset_a() }
    od
}

/* Looks at the client, and pets the device some time later. */
active proctype Mux()
{
    bool good;
    do
    :: d_step { a_up && wd_open && !wd_dead && dev_age >= MUX_TICK ->
           good = (fed_age <= CLIENT); wd_dead = !good }
       if
       :: d_step { a_up && wd_open && good -> dev_age = 0 }
       :: d_step { !(a_up && wd_open && good) -> skip }
       fi
    od
}

/* One round after the other; a machine that was reset starts anew, without the lease. */
active proctype Lrm()
{
    bool held;
off:
    atomic { a_up || died -> died = false; held = false; t0_age = 0 }
    /* what lies there is taken for a lock of the boot before, unless it is marked */
    if
    :: died -> goto off
    :: atomic { RUNS && a_linked && !mark && !kept -> owner = NOBODY; old_boot = false }
    :: RUNS
    fi;
    do
    :: died -> goto off
    :: atomic { RUNS -> t0_age = 0 }
#ifdef FEED_FIRST
       if
       :: atomic { RUNS -> if :: wd_open -> fed_age = 0 :: else fi }
       :: died -> goto off
       fi;
#endif
       /* renewal: of the lease that this process took, or of a free one */
       if
       :: died -> goto off
       :: atomic { RUNS && a_linked && owner == NODE_A && held -> renew_age = 0; fresh = true }
       :: atomic { RUNS && a_linked && owner == NOBODY && config_at == NODE_A ->
              owner = NODE_A; renew_age = 0; fresh = true; held = true; old_boot = false }
       :: atomic { RUNS && !(a_linked && ((owner == NODE_A && held) ||
                                        (owner == NOBODY && config_at == NODE_A))) ->
              held = false }
       fi;
       /* somebody else may be taking it just now: renewed or taken counts only without the mark */
       if
       :: died -> goto off
       :: RUNS && LEASE_IS_MINE
       :: atomic { RUNS && !(LEASE_IS_MINE) -> held = false }
       fi;
       if
       :: died -> goto off
       :: RUNS && held ->
#ifdef CHECK_BEFORE_FEED
          if
          :: died -> goto off
          :: RUNS && t0_age <= WINDOW
          :: RUNS && t0_age > WINDOW -> goto next
          fi;
#endif
          if
          :: died -> goto off
          :: atomic { RUNS ->
              FEED;
              if
              :: !wd_open -> wd_open = true; dev_age = 0
              :: else
              fi }
          fi;
          if
          :: died -> goto off
          :: RUNS && MAY_START
          :: RUNS && !(MAY_START) -> goto next /* took too long: starts nothing */
          fi;
          if
          :: died -> goto off
          :: atomic { RUNS && config_at == NODE_A -> runs_a = true }
          :: atomic { RUNS && config_at != NODE_A -> runs_a = false }
          :: RUNS /* keeps what runs, starts nothing */
          fi
       :: RUNS && !held ->
          /* guests before hosts: stop them, then nothing needs the watchdog any more */
          if
          :: died -> goto off
#ifdef RELEASE_UNSTOPPED
          :: atomic { RUNS && !wd_dead -> wd_open = false; fed_age = 0; dev_age = 0 }
#else
          :: atomic { RUNS -> runs_a = false }
          :: atomic { RUNS && !runs_a && !wd_dead -> wd_open = false; fed_age = 0; dev_age = 0 }
#endif
          fi
       fi;
next:  skip
    :: atomic { RUNS && held && owner == NODE_A && a_linked && !runs_a && !wd_dead ->
           /* orderly release: nothing runs, the watchdog is closed, the lease given back */
           wd_open = false; fed_age = 0; dev_age = 0; owner = NOBODY; renew_age = 0; held = false }
    od
}

/* The rest of the cluster, always quorate. */
#ifdef FREE_UNMARKED
#define KEPT_FREE false
#else
#define KEPT_FREE true
#endif

active proctype Master()
{
    bool has; /* it believes that the lock is its own */
    do
    /* Taking from a silent holder, as docs/wire/ha-lease.md has it: mark, look again, take. Only
     * each single step is one operation on the tree. */
    :: atomic { owner == NODE_A && renew_age >= LEASE -> fresh = false }
       mark = true;
       if
       :: owner == NODE_A && !fresh ->
          if
          :: atomic { owner == NODE_A -> owner = MASTER; renew_age = 0; has = true; kept = true;
                 assert(!runs_a) }
          :: owner != NODE_A /* given back just now */
          fi
       :: owner != NODE_A || fresh
       fi;
       mark = false
    :: d_step { owner == NOBODY && config_at == NODE_A && !a_linked -> owner = MASTER;
           renew_age = 0; has = true; kept = KEPT_FREE; assert(!runs_a) }
    :: atomic { owner == NODE_A -> /* a fence agent */
#ifndef FENCE_UNCONFIRMED
           reset_a();
#endif
           owner = MASTER; renew_age = 0; has = true; kept = true; assert(!runs_a) }
    :: d_step { owner == NODE_A && old_boot && a_up && a_linked -> /* proven reboot: it shows an
           other boot id than that with which the lease was taken */
           old_boot = false; owner = MASTER; renew_age = 0; has = true; kept = true;
           assert(!runs_a) }
#ifdef BOOT_ID_OLD
    :: d_step { owner == NODE_A && a_linked && a_up -> owner = MASTER; renew_age = 0;
           has = true; kept = true; assert(!runs_a) }
#endif
    :: d_step { has && config_at == NODE_A -> config_at = MASTER }
    :: d_step { has && config_at == MASTER -> runs_b = true; has = false; kept = false;
           if :: owner == MASTER -> owner = NOBODY :: else fi }
    /* back home, as a migration does it: stopped there before the configuration moves */
    :: d_step { runs_b && a_linked && owner == NOBODY -> runs_b = false; config_at = NODE_A }
    od
}

/* Links break and mend, machines come back. */
active proctype World()
{
    do
    :: a_linked = !a_linked
    :: d_step { !a_up && !died -> a_up = true }
    :: d_step { a_up && !died -> reset_a() } /* power loss */
    od
}

#ifdef VACUOUS
never { /* found when the service can get to B at all */
wait:
    if
    :: runs_b -> goto accept
    :: else -> goto wait
    fi;
accept:
    assert(false)
}
#else
never { /* INV-5, INV-6 */
wait:
    if
    :: runs_a && runs_b -> assert(false)
    :: else -> goto wait
    fi
}
#endif
