/* SPDX-License-Identifier: Apache-2.0 */
/* Faults: which one, where and for how long is up to the seed. */
#include "tests/sim/sim.h"

#include <errno.h>

static uint32_t any_host(Sim *sim)
{
    return (uint32_t)sim_random(sim, 1, sim_options(sim)->hosts);
}

/* ---- what ends by itself --------------------------------------------------------------------- */

static void end_later(Sim *sim, SimFn fn, uint32_t host, int64_t min_ms, int64_t max_ms)
{
    sim_after_us(sim, sim_random(sim, min_ms, max_ms) * US_PER_MS, fn, GUINT_TO_POINTER(host),
                 NULL);
}

static void start_process(Sim *sim, void *data)
{
    sim_node_start(sim_node(sim, GPOINTER_TO_UINT(data)));
}

static void continue_process(Sim *sim, void *data)
{
    sim_node_pause(sim_node(sim, GPOINTER_TO_UINT(data)), false);
}

static void start_corosync(Sim *sim, void *data)
{
    sim_ring_start(sim_ring(sim), GPOINTER_TO_UINT(data));
}

static void end_flow_control(Sim *sim, void *data)
{
    sim_ring_flow(sim_ring(sim), GPOINTER_TO_UINT(data), false);
}

static void end_disk_fault(Sim *sim, void *data)
{
    SimDisk *d = sim_node_disk(sim_node(sim, GPOINTER_TO_UINT(data)));

    sim_disk_set_code(d, 0);
    sim_disk_set_slow(d, false);
}

static void merge(Sim *sim, void *data)
{
    static const uint8_t together[SIM_HOSTS_MAX + 1];

    (void)data;
    sim_ring_partition(sim_ring(sim), together);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void fault_kill(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_node_kill(sim_node(sim, host), false);
    end_later(sim, start_process, host, 0, 20000);
}

static void fault_kill_all(Sim *sim)
{
    for (uint32_t host = 1; host <= sim_options(sim)->hosts; host++) {
        sim_node_kill(sim_node(sim, host), false);
        end_later(sim, start_process, host, 0, 5000);
    }
}

static void fault_ghost(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_node_kill(sim_node(sim, host), true);
    end_later(sim, start_process, host, 0, 20000);
}

static void fault_pause(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_node_pause(sim_node(sim, host), true);
    end_later(sim, continue_process, host, 1, 40000);
}

static void fault_partition(Sim *sim)
{
    uint8_t part[SIM_HOSTS_MAX + 1] = {0};
    int64_t parts = sim_random(sim, 2, 3);

    for (uint32_t host = 1; host <= sim_options(sim)->hosts; host++) {
        part[host] = (uint8_t)sim_random(sim, 1, parts);
    }
    sim_ring_partition(sim_ring(sim), part);
    if (sim_chance(sim, 3, 4)) {
        end_later(sim, merge, 0, 500, 30000);
    }
}

static void fault_isolate_sender(Sim *sim)
{
    sim_ring_isolate_sender(sim_ring(sim), any_host(sim));
    end_later(sim, merge, 0, 5000, 30000);
}

/* One who has just sent several changes is cut off, and is back before the others have made as
 * many: its tree counts further than theirs. */
static void fault_isolate_busy(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_clients_burst(sim_clients(sim), host);
    sim_ring_isolate_sender(sim_ring(sim), host);
    end_later(sim, merge, 0, 1500, 8000);
}

/* At most one disk of a run is lost or changed from outside, and only where a quorum of the others
 * remains. */
static bool may_lose_disk(Sim *sim, uint32_t host)
{
    uint32_t all = 0;

    for (uint32_t h = 1; h <= sim_options(sim)->hosts; h++) {
        all += sim_ring_votes(sim_ring(sim), h);
        if (sim_disk_wiped(sim_node_disk(sim_node(sim, h)))) {
            return false;
        }
    }
    return sim_options(sim)->hosts >= 3 && 2 * sim_ring_votes(sim_ring(sim), host) < all;
}

/* Somebody starts the stopped daemon in local mode and removes what the group has. */
static void fault_local_mode(Sim *sim)
{
    uint32_t host = any_host(sim);
    SimNode *n = sim_node(sim, host);
    g_autofree char *path = sim_clients_acknowledged(sim_clients(sim));
    TreeOp op = {.kind = TREE_OP_DELETE, .path = path};

    if (sim_options(sim)->mixed || !sim_options(sim)->native || !may_lose_disk(sim, host) ||
        path == NULL) {
        return; /* there the highest version wins, wherever it comes from */
    }
    sim_node_kill(n, false);
    for (int64_t i = sim_random(sim, 1, 5); i > 0; i--) {
        g_autofree char *other = sim_clients_acknowledged(sim_clients(sim));

        op.path = other;
        sim_node_local_change(n, &op);
    }
    end_later(sim, start_process, host, 0, 10000);
}

static void fault_corosync(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_ring_stop(sim_ring(sim), host);
    end_later(sim, start_corosync, host, 100, 15000);
}

/* Process and corosync die together; unsynced data is lost. */
static void fault_power(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_node_kill(sim_node(sim, host), false);
    sim_ring_stop(sim_ring(sim), host);
    end_later(sim, start_corosync, host, 2000, 20000);
    end_later(sim, start_process, host, 1000, 25000);
}

static void lower_expected(Sim *sim, void *data)
{
    sim_ring_lower_expected(sim_ring(sim), GPOINTER_TO_UINT(data));
}

/* All but one lose power; the administrator lets the last one go on alone, and they come back. */
static void fault_expected(Sim *sim)
{
    uint32_t one = any_host(sim);

    if (!sim_chance(sim, 1, 8)) {
        return; /* this ends the promise to keep what was acknowledged */
    }
    for (uint32_t host = 1; host <= sim_options(sim)->hosts; host++) {
        if (host != one) {
            sim_node_kill(sim_node(sim, host), false);
            sim_ring_stop(sim_ring(sim), host);
            end_later(sim, start_corosync, host, 6000, 20000);
            end_later(sim, start_process, host, 5000, 25000);
        }
    }
    end_later(sim, lower_expected, one, 3500, 5500);
}

static void fault_flow(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_ring_flow(sim_ring(sim), host, true);
    end_later(sim, end_flow_control, host, 1, 8000);
}

static void fault_disk_error(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_trace(sim, host, "disk full");
    sim_disk_set_code(sim_node_disk(sim_node(sim, host)), -ENOSPC);
    end_later(sim, end_disk_fault, host, 100, 20000);
}

static void fault_disk_slow(Sim *sim)
{
    uint32_t host = any_host(sim);

    sim_disk_set_slow(sim_node_disk(sim_node(sim, host)), true);
    end_later(sim, end_disk_fault, host, 1000, 20000);
}

static void fault_disk_lost(Sim *sim)
{
    uint32_t host = any_host(sim);

    if (!may_lose_disk(sim, host)) {
        return;
    }
    sim_node_kill(sim_node(sim, host), false);
    sim_trace(sim, host, "disk replaced by an empty one");
    sim_disk_wipe(sim_node_disk(sim_node(sim, host)));
    end_later(sim, start_process, host, 0, 10000);
}

static void fault_clock(Sim *sim)
{
    static const int64_t jumps[] = {-86400, -3600, -5, 5, 3600, 86400};

    sim_node_jump_clock(sim_node(sim, any_host(sim)), jumps[sim_random(sim, 0, 5)]);
}

static void fault_merge(Sim *sim)
{
    merge(sim, NULL);
}

void sim_fault_step(Sim *sim)
{
    static void (*const faults[])(Sim *) = {
        fault_kill,  fault_kill,         fault_kill_all,       fault_ghost,
        fault_pause, fault_pause,        fault_partition,      fault_partition,
        fault_merge, fault_corosync,     fault_isolate_sender, fault_power,
        fault_flow,  fault_disk_error,   fault_disk_slow,      fault_disk_lost,
        fault_clock, fault_isolate_busy, fault_local_mode,     fault_expected,
    };

    faults[sim_random(sim, 0, G_N_ELEMENTS(faults) - 1)](sim);
}

void sim_fault_stop(Sim *sim)
{
    for (uint32_t host = 1; host <= sim_options(sim)->hosts; host++) {
        end_disk_fault(sim, GUINT_TO_POINTER(host));
        continue_process(sim, GUINT_TO_POINTER(host));
        start_process(sim, GUINT_TO_POINTER(host));
    }
    sim_ring_heal(sim_ring(sim));
}
