/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged, foreign or hostile files of HA, all at once, under a running cluster: the input is cut
 * at lines `%%` into manager_status, resources.cfg, rules.cfg, groups.cfg, crm_commands, a node's
 * lrm_status and datacenter.cfg. CRM and LRM of three nodes go through some rounds on them: nobody
 * crashes, no healthy node is reset, and no service runs twice.
 */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/sim/hasim_hardware.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define ROUNDS 4

static const HaFile parts[] = {HA_FILE_MANAGER_STATUS, HA_FILE_RESOURCES, HA_FILE_RULES,
                               HA_FILE_GROUPS,         HA_FILE_COMMANDS,  HA_FILE_LRM_STATUS,
                               HA_FILE_DATACENTER};

static void ignore(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    (void)ctx;
    (void)level;
    (void)time;
    (void)source;
    g_assert_nonnull(text);
}

static void make_cluster(HaSimWorld *w)
{
    static const char *const guests[] = {"vm:101", "vm:102", "ct:103", "vm:104"};

    for (int i = 1; i <= 3; i++) {
        g_autofree char *name = g_strdup_printf("node%d", i);
        HaSimNode *n = hasim_world_add_node(w, name);

        n->maxcpu = 8;
        n->maxmem = 1e9;
        hasim_node_power_on(n, w);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(guests); i++) {
        HaSimGuest *g = hasim_world_add_guest(w, guests[i], i % 2 == 0 ? "node1" : "node2");

        g->has_static = true;
        g->load = (HaLoad){1, 1e8, 1, 1e8};
    }
}

static void put_files(HaSimWorld *w, const char *text)
{
    g_auto(GStrv) part = g_strsplit(text, "\n%%\n", G_N_ELEMENTS(parts));

    for (size_t i = 0; i < G_N_ELEMENTS(parts) && part[i] != NULL; i++) {
        if (parts[i] == HA_FILE_LRM_STATUS) {
            hasim_world_node(w, "node2")->lrm_status = g_strdup(part[i]);
        } else {
            hasim_world_set_file(w, parts[i], part[i]);
        }
    }
}

/* INV-5, as far as it can be seen here. */
static void check_world(const HaSimWorld *w)
{
    for (guint i = 0; i < strmap_size(w->guests); i++) {
        int running = 0;

        for (guint n = 0; n < strmap_size(w->nodes); n++) {
            const HaSimNode *node = strmap_value(w->nodes, n);

            running += strmap_has(node->running, strmap_key(w->guests, i));
            g_assert_true(node->power);
        }
        g_assert_cmpint(running, <=, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_autoptr(HaSimWorld) w = hasim_world_new(ignore, NULL);
    HaSimSchedule sched = {0};
    Err err = ERR_INIT;

    if (size > HA_TEXT_MAX) {
        return 0;
    }
    if (size % 2 == 0) {
        w->conduct = ha_conduct_improved;
    }
    make_cluster(w);
    put_files(w, text);
    for (int i = 0; i < ROUNDS; i++) {
        g_assert_cmpint(hasim_hardware_loop(w, &sched, &err), ==, 0);
        check_world(w);
    }
    return 0;
}
