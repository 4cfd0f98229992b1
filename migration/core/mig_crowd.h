/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_crowd: who has to go when all places for connections that have said nothing yet are taken.
 * Pure; any thread.
 */
#ifndef MIGRATION_CORE_MIG_CROWD_H
#define MIGRATION_CORE_MIG_CROWD_H

#include <stddef.h>

/* Index of the one that goes: the oldest from the address that has most of them, so that whoever
 * floods only drives itself out. `addresses` from the oldest to the newest, `n` at least 1. */
size_t mig_crowd_leaves(const char *const *addresses, size_t n);

#endif
