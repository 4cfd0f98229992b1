/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_cpu: does another node's QEMU know every flag of a guest's CPU? What a model means is asked
 * of QEMU (`query-cpu-model-expansion`); here is what is done with the answers. Pure; any thread.
 */
#ifndef MIGRATION_CORE_MIG_CPU_H
#define MIGRATION_CORE_MIG_CPU_H

#include "lib/base/jsontree.h"

#include <glib.h>

/* Argument of -cpu ("qemu64,-apic,+aes,enforce=on") as QMP wants it: {name, props}. Of the
 * properties only those that are on or off. The last one of a name wins. Caller frees. */
JsonTree *mig_cpu_model(const char *cpu);

/* Names of the flags that are on in `model` and possible in `max`, both as QEMU expands them:
 * what the guest really has. Properties that are no flags of a CPU, and second spellings of those
 * that are, are left out. A flag that even the own node cannot give is none the guest could miss.
 * Caller frees. */
JsonTree *mig_cpu_needs(const JsonTree *model, const JsonTree *max);

/* Those of the list `needs` that are not on in `max`, "aes, avx2"; NULL when none is missing.
 * Caller frees. */
char *mig_cpu_missing(const JsonTree *needs, const JsonTree *max);

#endif
